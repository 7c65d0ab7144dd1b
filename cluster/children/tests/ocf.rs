//! OCF agents as children: hostile ones written here, and those of Debian's packages.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use haven_children::metadata::MetadataError;
use haven_children::{OcfAgents, OcfSettings};
use haven_executor::Agent as _;
use haven_host::process::Launcher;
use haven_skipped::skip;
use haven_types::operation::{ExecutionStatus, OcfCode, Outcome};
use support::{Place, name, operation};

const DEBIAN: &str = "/usr/lib/ocf";

fn agents(root: &Path, notes: &Path) -> OcfAgents {
    let launcher = Launcher::start(support::groups()).unwrap();
    let environment = ["HA_VARRUN", "HA_RSCTMP"]
        .map(|variable| (variable.to_owned(), notes.display().to_string()))
        .into();
    OcfAgents::new(launcher, OcfSettings { root: root.to_owned(), environment })
}

/// Agents of our own, each the body of a script.
fn own(scripts: &[(&str, &str)]) -> (Place, OcfAgents) {
    let place = Place::new();
    for (agent, body) in scripts {
        place.script(&format!("resource.d/test/{agent}"), body);
    }
    let agents = agents(place.path(), place.path());
    (place, agents)
}

async fn ask(agents: &OcfAgents, agent: &str, action: &str, params: &[(&str, &str)]) -> Outcome {
    let work = agents.run(operation(agent, action, params), None);
    tokio::time::timeout(Duration::from_secs(30), work).await.unwrap()
}

#[tokio::test]
async fn codes_and_reasons_arrive_and_lies_are_only_failures() {
    let body = r#"echo "ocf-exit-reason:$OCF_RESKEY_why" >&2; exit "$OCF_RESKEY_code""#;
    let (_place, agents) = own(&[("liar", body), ("killed", "kill -SEGV $$")]);
    for code in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 42, 190, 191, 255] {
        let params = [("why", "disk full"), ("code", &code.to_string())];
        let outcome = ask(&agents, "ocf:test:liar", "start", &params).await;
        let reason = if code == 0 { "" } else { "disk full" };
        assert_eq!(outcome, Outcome::done(OcfCode(code), reason));
    }
    let outcome = ask(&agents, "ocf:test:killed", "monitor", &[]).await;
    assert_eq!(outcome.status, ExecutionStatus::Error);
    assert!(outcome.reason.contains("signal 11"), "{}", outcome.reason);
}

#[tokio::test]
async fn what_is_not_there_or_no_agent_s_name_is_said_so() {
    let (place, agents) = own(&[("good", "exit 0")]);
    std::fs::write(place.path().join("resource.d/test/plain"), "exit 0\n").unwrap();
    for agent in ["ocf:test:missing", "ocf:test:plain", "ocf:nobody:good"] {
        let outcome = ask(&agents, agent, "monitor", &[]).await;
        assert_eq!(outcome.status, ExecutionStatus::NotInstalled, "{agent}");
        assert_eq!(outcome.code, OcfCode::NOT_INSTALLED);
        assert!(outcome.reason.contains("install its package"), "{}", outcome.reason);
    }
    for agent in ["ocf:..:good", "ocf:test/../test:good", "ocf:test:.good", "ocf:test:"] {
        let outcome = ask(&agents, agent, "start", &[]).await;
        assert_eq!(outcome.code, OcfCode::BAD_CONFIGURATION, "{agent}: {}", outcome.reason);
    }
    assert_eq!(agents.installed(), [name("ocf:test:good")]);
}

#[tokio::test]
async fn hanging_flooding_and_forking_concern_one_resource_and_end_with_the_call() {
    let hang = "echo $$ >$HA_VARRUN/leader; setsid sleep 300 & echo $! >$HA_VARRUN/away
        (while :; do echo flood; done) >&2 & touch $HA_VARRUN/up; wait";
    let (place, agents) = own(&[("hang", hang), ("good", "exit 7")]);
    let work = tokio::spawn(agents.run(operation("ocf:test:hang", "start", &[]), None));
    support::until(|| place.path().join("up").exists()).await;
    let began = Instant::now();
    let outcome = ask(&agents, "ocf:test:good", "monitor", &[]).await;
    assert_eq!(outcome.code, OcfCode::NOT_RUNNING);
    assert!(began.elapsed() < Duration::from_secs(2), "others do not wait: {:?}", began.elapsed());
    // What the executor does when the time is up.
    work.abort();
    let alive = |file: &str| {
        let pid = std::fs::read_to_string(place.path().join(file)).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim().starts_with('Z'))
    };
    support::until(|| !alive("leader") && !alive("away")).await;
}

#[tokio::test]
async fn broken_metadata_is_a_finding_and_never_blocks() {
    let body = |text: &str| format!("cat <<'EOF'\n{text}\nEOF");
    let good = "<?xml version=\"1.0\"?>\n<resource-agent name=\"x\"><shortdesc>s</shortdesc>
        <parameters><parameter name=\"a\" required=\"1\" unique=\"1\"><longdesc>Of &lt;a&gt;</longdesc>
        <content type=\"select\" default=\"b\"><option value=\"b\"/></content></parameter>
        <parameter name=\"old\"><deprecated><replaced-with name=\"a\"/></deprecated></parameter>
        </parameters><actions><action name=\"start\" timeout=\"20s\"/><action name=\"stop\"/>
        <action name=\"monitor\" depth=\"10\" interval=\"10s\"/><action name=\"meta-data\"/></actions>";
    let whole = format!("{good}</resource-agent>");
    let noisy = format!("sh: warning: setlocale\n{whole}\nbye");
    let crossed = whole.replace("</parameters>", "</params>");
    let bodies: Vec<(&str, String)> = vec![
        ("whole", body(&whole)),
        ("noisy", body(&noisy)),
        ("cut", body(good)),
        ("crossed", body(&crossed)),
        ("empty", "exit 0".to_owned()),
        ("prose", body("Usage: x {start|stop}")),
        ("fails", "echo ocf-exit-reason:no python >&2; exit 5".to_owned()),
        ("floods", "head -c 8000000 /dev/zero".to_owned()),
        ("endless", "while :; do echo '<resource-agent>'; done".to_owned()),
    ];
    let scripts: Vec<(&str, &str)> = bodies.iter().map(|(n, b)| (*n, b.as_str())).collect();
    let (_place, agents) = own(&scripts);
    let ask = |agent: &str| {
        let (agents, agent) = (agents.clone(), name(&format!("ocf:test:{agent}")));
        async move { agents.metadata(&agent).await }
    };
    for agent in ["whole", "noisy"] {
        let read = ask(agent).await.unwrap();
        assert_eq!(read.findings, [""; 0], "{agent}");
        let a = &read.parameters["a"];
        assert!(a.required && a.unique && a.options == ["b"] && a.long == "Of <a>", "{a:?}");
        assert_eq!(read.parameters["old"].replaced_by.as_deref(), Some("a"));
        assert_eq!(read.facts().params["old"].alias_of.as_deref(), Some("a"));
        assert_eq!(read.actions[2].depth.as_deref(), Some("10"));
    }
    let cut = ask("cut").await.unwrap();
    assert_eq!((cut.parameters.len(), cut.actions.len()), (2, 4));
    assert!(cut.findings[0].contains("ends inside of <resource-agent>"), "{:?}", cut.findings);
    let crossed = ask("crossed").await.unwrap();
    assert_eq!(crossed.parameters.len(), 2, "what came before counts");
    assert!(crossed.findings[0].contains("not well-formed at line"), "{:?}", crossed.findings);
    for (agent, part) in
        [("empty", "nothing at all"), ("prose", "Usage"), ("floods", "no metadata")]
    {
        let error = ask(agent).await.unwrap_err();
        assert!(matches!(error, MetadataError::Unreadable { .. }), "{agent}: {error}");
        assert!(error.to_string().contains(part), "{agent}: {error}");
    }
    let error = ask("fails").await.unwrap_err().to_string();
    assert!(error.contains("not installed (no python)"), "{error}");
    let began = Instant::now();
    let error = ask("endless").await.unwrap_err();
    assert!(matches!(error, MetadataError::Late { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(8));
}

/// Debian's agents, or why not.
fn debian(agent: &str) -> Option<(Place, OcfAgents)> {
    let path = Path::new(DEBIAN).join("resource.d").join(agent);
    if !path.exists() {
        let test = format!("the agent {agent}");
        skip(
            &format!(
                "{} is missing (apt-get install resource-agents pacemaker-resource-agents)",
                path.display()
            ),
            &test,
        );
        return None;
    }
    let place = Place::new();
    let agents = agents(Path::new(DEBIAN), place.path());
    Some((place, agents))
}

/// Goes through the life of a resource.
async fn life(agents: &OcfAgents, agent: &str, params: &[(&str, &str)]) {
    for (action, code) in [
        ("monitor", 7),
        ("stop", 0),
        ("start", 0),
        ("start", 0),
        ("monitor", 0),
        ("stop", 0),
        ("stop", 0),
        ("monitor", 7),
    ] {
        let outcome = ask(agents, agent, action, params).await;
        assert_eq!(outcome.code, OcfCode(code), "{agent} {action}: {outcome:?}");
        assert_eq!(outcome.status, ExecutionStatus::Done);
    }
}

#[tokio::test]
async fn debian_s_dummy_and_delay_live_and_describe_themselves() {
    let Some((_place, agents)) = debian("pacemaker/Dummy") else { return };
    life(&agents, "ocf:pacemaker:Dummy", &[]).await;
    let metadata = agents.metadata(&name("ocf:pacemaker:Dummy")).await.unwrap();
    assert_eq!(metadata.findings, [""; 0]);
    assert!(metadata.parameters.contains_key("state") && !metadata.short.is_empty());
    let Some((_place, agents)) = debian("heartbeat/Delay") else { return };
    let params = [("startdelay", "1"), ("stopdelay", "0"), ("mondelay", "0")];
    let began = Instant::now();
    life(&agents, "ocf:heartbeat:Delay", &params).await;
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn debian_s_stateful_is_promoted_and_demoted() {
    let Some((_place, agents)) = debian("pacemaker/Stateful") else { return };
    for (action, code) in [
        ("monitor", 7),
        ("start", 0),
        ("monitor", 0),
        ("promote", 0),
        ("monitor", 8),
        ("demote", 0),
        ("monitor", 0),
        ("stop", 0),
        ("monitor", 7),
    ] {
        let outcome = ask(&agents, "ocf:pacemaker:Stateful", action, &[]).await;
        assert_eq!(outcome.code, OcfCode(code), "{action}: {outcome:?}");
    }
}

#[tokio::test]
async fn debian_s_metadata_is_read_without_findings_that_matter() {
    let Some((_place, agents)) = debian("heartbeat/IPaddr2") else { return };
    for agent in ["IPaddr2", "nginx", "apache", "Filesystem", "pgsql", "mysql"] {
        let metadata = agents.metadata(&name(&format!("ocf:heartbeat:{agent}"))).await.unwrap();
        assert!(metadata.parameters.len() >= 3, "{agent}: {metadata:?}");
        assert!(metadata.actions.iter().any(|action| action.name == "monitor"), "{agent}");
    }
}

/// A network namespace of its own.
struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        let name = format!("hvocf-{}", std::process::id());
        support::run("ip", &["netns", "add", &name]);
        let pair = ["-n", &name, "link", "add", "lan", "type", "veth", "peer", "name", "far"];
        support::run("ip", &pair);
        support::run("ip", &["-n", &name, "addr", "add", "192.0.2.1/24", "dev", "lan"]);
        support::run("ip", &["-n", &name, "link", "set", "lan", "up"]);
        support::run("ip", &["-n", &name, "link", "set", "far", "up"]);
        Self(name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        support::run("ip", &["netns", "del", &self.0]);
    }
}

#[tokio::test]
async fn debian_s_ipaddr2_moves_an_address() {
    let Some((place, _)) = debian("heartbeat/IPaddr2") else { return };
    if !support::is_root() {
        return skip("it needs root", "the agent heartbeat/IPaddr2");
    }
    let namespace = Namespace::new();
    let wrapped = format!(
        "OCF_ROOT={DEBIAN}; export OCF_ROOT
        exec ip netns exec {} {DEBIAN}/resource.d/heartbeat/IPaddr2 \"$@\"",
        namespace.0
    );
    place.script("resource.d/test/IPaddr2", &wrapped);
    let agents = agents(place.path(), place.path());
    let params = [("ip", "192.0.2.10"), ("cidr_netmask", "24"), ("nic", "lan"), ("arp_count", "1")];
    life(&agents, "ocf:test:IPaddr2", &params).await;
}

#[tokio::test]
async fn debian_s_nginx_serves_and_stays_when_the_call_is_over() {
    let Some((place, agents)) = debian("heartbeat/nginx") else { return };
    if !Path::new("/usr/sbin/nginx").exists() || !support::is_root() {
        return skip("it needs nginx-light, and root", "the agent heartbeat/nginx");
    }
    let port = support::free_port();
    let dir = place.path().display();
    let config = PathBuf::from(place.path()).join("nginx.conf");
    let text = format!(
        "pid {dir}/nginx.pid; error_log {dir}/error.log; events {{}}
         http {{ access_log off; server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }} }}"
    );
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let params = [("configfile", config.as_str()), ("httpd", "/usr/sbin/nginx")];
    let started = ask(&agents, "ocf:heartbeat:nginx", "start", &params).await;
    assert_eq!(started.code, OcfCode::OK, "{started:?}");
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(ask(&agents, "ocf:heartbeat:nginx", "monitor", &params).await.code, OcfCode::OK);
    let stopped = ask(&agents, "ocf:heartbeat:nginx", "stop", &params).await;
    assert_eq!(stopped.code, OcfCode::OK, "{stopped:?}");
    assert_eq!(
        ask(&agents, "ocf:heartbeat:nginx", "monitor", &params).await.code,
        OcfCode::NOT_RUNNING
    );
}

#[tokio::test]
async fn what_can_be_reloaded_is_read_from_the_metadata_and_again_when_the_agent_changes() {
    let body = |reloadable: &str, actions: &str| {
        format!(
            "cat <<'EOF'\n<resource-agent name=\"x\"><parameters><parameter name=\"level\" \
             reloadable=\"{reloadable}\"/><parameter name=\"port\"/></parameters><actions>{actions}\
             <action name=\"start\"/></actions></resource-agent>\nEOF"
        )
    };
    let reload = "<action name=\"reload-agent\"/>";
    let (able, none, old) = (body("1", reload), body("0", reload), body("1", ""));
    let (place, agents) = own(&[("able", &able), ("none", &none), ("old", &old)]);
    let asked = async |agent: &str| haven_executor::Agent::restarting(&agents, &name(agent)).await;
    assert_eq!(asked("ocf:test:able").await, Some(vec!["port".to_owned()]));
    assert_eq!(asked("ocf:test:none").await, None);
    assert_eq!(asked("ocf:test:old").await, None, "it has no such action");
    assert_eq!(asked("ocf:test:missing").await, None);
    let before = std::fs::metadata(place.path().join("resource.d/test/able")).unwrap();
    let later = before.modified().unwrap() + Duration::from_secs(2);
    place.script("resource.d/test/able", &none);
    let file =
        std::fs::File::options().append(true).open(place.path().join("resource.d/test/able"));
    file.unwrap().set_modified(later).unwrap();
    assert_eq!(asked("ocf:test:able").await, None);
}
