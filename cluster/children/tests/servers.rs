//! Debian's agents of whole servers, with what happens to servers: started, watched, lost behind the agent's
//! back, started anew, stopped; nothing is left behind.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haven_children::{OcfAgents, OcfSettings};
use haven_executor::Agent as _;
use haven_host::process::Launcher;
use haven_skipped::skip;
use haven_types::operation::OcfCode;
use support::{Place, operation};

/// An agent of Debian with its parameters.
struct Server<'a> {
    agents: OcfAgents,
    place: PathBuf,
    agent: &'a str,
    params: Vec<(&'a str, String)>,
}

impl<'a> Server<'a> {
    fn new(place: &Place, agent: &'a str, params: Vec<(&'a str, String)>) -> Self {
        let launcher = Launcher::start(support::groups()).unwrap();
        let environment = ["HA_VARRUN", "HA_RSCTMP"]
            .map(|variable| (variable.to_owned(), place.path().display().to_string()))
            .into();
        let settings = OcfSettings { root: PathBuf::from("/usr/lib/ocf"), environment };
        let place = place.path().to_owned();
        Self { agents: OcfAgents::new(launcher, settings), place, agent, params }
    }

    async fn ask(&self, action: &str) -> (OcfCode, String) {
        let params: Vec<_> = self.params.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let work = self.agents.run(operation(self.agent, action, &params), None);
        let outcome = tokio::time::timeout(Duration::from_secs(60), work).await.unwrap();
        (outcome.code, outcome.reason)
    }

    async fn expect(&self, action: &str, code: OcfCode) {
        let (found, reason) = self.ask(action).await;
        assert_eq!(found, code, "{} {action}: {reason}", self.agent);
    }

    /// From nothing to nothing. `serves` is asked while it should run, `pid_file` names its first process.
    async fn lives_its_life(&self, serves: impl Fn() -> bool, pid_file: &Path) {
        let pid = || std::fs::read_to_string(pid_file).unwrap_or_default();
        let first = || pid().lines().next().unwrap_or_default().trim().to_owned();
        let alive =
            |pid: &str| !pid.is_empty() && Path::new("/proc").join(pid).join("exe").exists();
        self.expect("monitor", OcfCode::NOT_RUNNING).await;
        self.expect("stop", OcfCode::OK).await;
        self.expect("start", OcfCode::OK).await;
        self.expect("monitor", OcfCode::OK).await;
        assert!(serves(), "{} was started and does not serve", self.agent);
        self.expect("start", OcfCode::OK).await;
        let lost = first();
        // Workers can outlive the first process and serve on.
        let place = self.place.display().to_string();
        for pid in processes_with(&place) {
            support::run("kill", &["-9", &pid]);
        }
        support::until(|| !alive(&lost)).await;
        let (code, reason) = self.ask("monitor").await;
        assert_ne!(code, OcfCode::OK, "{}: its loss was missed ({reason})", self.agent);
        // What a recovery does.
        self.expect("stop", OcfCode::OK).await;
        self.expect("start", OcfCode::OK).await;
        assert!(serves(), "{} was recovered and does not serve", self.agent);
        let last = first();
        assert_ne!(last, lost);
        self.expect("stop", OcfCode::OK).await;
        self.expect("monitor", OcfCode::NOT_RUNNING).await;
        support::until(|| !alive(&last)).await;
        assert!(!serves(), "{} was stopped and serves", self.agent);
        let left = self.agents_left();
        assert!(left.is_empty(), "{} left processes behind: {left:?}", self.agent);
    }

    fn agents_left(&self) -> Vec<u32> {
        let scope = operation(self.agent, "stop", &[]).resource;
        support::groups().map(|groups| groups.left(&scope)).unwrap_or_default()
    }
}

/// Processes that name a path in their command line.
fn processes_with(path: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().into_string().ok());
    let names_it = |pid: &String| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(path)
    };
    pids.filter(|name| name.parse::<u32>().is_ok()).filter(names_it).collect()
}

/// Whether an agent and its server are there; says why not otherwise.
fn there(agent: &str, program: &str, package: &str) -> bool {
    let script = Path::new("/usr/lib/ocf/resource.d/heartbeat").join(agent);
    if script.exists() && Path::new(program).exists() && support::is_root() {
        return true;
    }
    let reason = format!("it needs resource-agents, {package}, and root");
    skip(&reason, &format!("the life of a server under heartbeat/{agent}"));
    false
}

fn connects(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[tokio::test]
#[ignore = "long: starts a web server twice, run by ./dev test --all"]
async fn debian_s_apache_lives_its_life() {
    if !there("apache", "/usr/sbin/apache2", "apache2") {
        return;
    }
    let (place, port) = (Place::new(), support::free_port());
    let dir = place.path().display();
    let modules = ["mpm_event", "authz_core", "status"].map(|module| {
        format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n")
    });
    let text = format!(
        "{}ServerRoot {dir}\nServerName localhost\nPidFile {dir}/apache.pid\nListen 127.0.0.1:{port}\n\
         ErrorLog {dir}/error.log\nDocumentRoot {dir}\n<Location /server-status>\nSetHandler server-status\n\
         </Location>\n",
        modules.concat()
    );
    let config = place.path().join("apache.conf");
    std::fs::write(&config, text).unwrap();
    let params = vec![
        ("configfile", config.display().to_string()),
        ("httpd", "/usr/sbin/apache2".to_owned()),
        ("statusurl", format!("http://127.0.0.1:{port}/server-status")),
    ];
    let server = Server::new(&place, "ocf:heartbeat:apache", params);
    server.lives_its_life(|| connects(port), &place.path().join("apache.pid")).await;
}

/// The directory of the newest PostgreSQL's programs.
fn postgresql() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let programs = versions.map(|version| version.path().join("bin"));
    programs.filter(|dir| dir.join("initdb").exists()).max()
}

#[tokio::test]
#[ignore = "long: makes and starts a database, run by ./dev test --all"]
async fn debian_s_pgsql_lives_its_life() {
    let programs = postgresql().unwrap_or_default();
    if !there("pgsql", &programs.join("initdb").display().to_string(), "postgresql") {
        return;
    }
    let (place, port) = (Place::new(), support::free_port());
    // The database's user works below it.
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let data = place.path().join("data");
    let (path, sockets) = (data.display().to_string(), place.path().join("sockets"));
    std::fs::create_dir(&sockets).unwrap();
    support::run("install", &["-d", "-o", "postgres", "-m", "700", &path]);
    let log = place.path().join("pgsql.log");
    std::fs::write(&log, "").unwrap();
    for file in [&sockets, &log] {
        support::run("chown", &["postgres", &file.display().to_string()]);
    }
    let initdb = programs.join("initdb").display().to_string();
    support::run("runuser", &["-u", "postgres", "--", &initdb, "-A", "trust", "-N", "-D", &path]);
    let program = |name: &str| programs.join(name).display().to_string();
    let params = vec![
        ("pgctl", program("pg_ctl")),
        ("psql", program("psql")),
        ("pgdata", path),
        ("pgport", port.to_string()),
        ("pghost", "127.0.0.1".to_owned()),
        ("socketdir", sockets.display().to_string()),
        ("logfile", log.display().to_string()),
    ];
    let server = Server::new(&place, "ocf:heartbeat:pgsql", params);
    server.lives_its_life(|| connects(port), &data.join("postmaster.pid")).await;
}
