//! Pacemaker and Corosync as Debian packages them, each node in namespaces of its own: for comparison,
//! and as a stranger that calls haven's agents.
//!
//! Nodes share nothing but the programs: network, host name, System V objects and mounts are their own,
//! and of the file system what these daemons write to.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::bed::{Bed, STATE_ROOT};
use crate::error::LabError;
use crate::interrupt;
use crate::namespace;
use crate::topology::Topology;
use crate::wait;

/// How long a cluster may take to form.
const FORM_LIMIT: Duration = Duration::from_secs(90);
/// Programs that must be there, with their packages.
const PROGRAMS: [(&str, &str); 4] = [
    ("/usr/sbin/corosync", "corosync"),
    ("/usr/sbin/pacemakerd", "pacemaker"),
    ("/usr/sbin/crm_mon", "pacemaker-cli-utils"),
    ("/usr/bin/nsenter", "util-linux"),
];
/// What each node has for itself, besides /run and /dev/shm.
const OWN: [(&str, &str); 4] = [
    ("etc", "/etc/corosync"),
    ("corosync", "/var/lib/corosync"),
    ("pacemaker", "/var/lib/pacemaker"),
    ("log", "/var/log"),
];

/// The package that is missing here for such a cluster, if any is.
#[must_use]
pub fn missing_package() -> Option<&'static str> {
    PROGRAMS.iter().find(|(path, _)| !Path::new(path).exists()).map(|(_, package)| *package)
}

/// A cluster of Pacemaker; removes itself.
#[derive(Debug)]
pub struct Pacemaker {
    name: String,
    dir: PathBuf,
    /// One process for each node, which holds its namespaces.
    anchors: Vec<Child>,
}

impl Pacemaker {
    /// Forms a cluster of nodes `p1`, `p2`, …, 2 to 9, and waits until all are online. `ocf_root` stands
    /// where their OCF agents are looked for.
    ///
    /// # Errors
    /// [`LabError::MissingProgram`], [`LabError::TimedOut`], and those of the commands behind it.
    pub fn form(name: &str, nodes: u8, ocf_root: Option<&Path>) -> Result<Self, LabError> {
        if let Some(package) = missing_package() {
            let package = package.to_owned();
            return Err(LabError::MissingProgram { program: package.clone(), package });
        }
        // Not below /run: each node has its own.
        let dir = Path::new(STATE_ROOT).join(name);
        Bed::remove(name, Some(dir.clone()))?;
        let mut cluster = Self { name: name.to_owned(), dir, anchors: Vec::new() };
        cluster.lay_cables(nodes)?;
        for node in 1..=nodes {
            cluster.begin(node, nodes, ocf_root)?;
        }
        let online = || {
            let shown = cluster.at(1, &["crm_mon", "-1"]).unwrap_or_default();
            let listed = shown.lines().find(|line| line.contains("Online: ["));
            (1..=nodes).all(|node| listed.is_some_and(|l| l.contains(&format!(" p{node} "))))
        };
        if wait::until(FORM_LIMIT, Duration::from_millis(200), online) {
            return Ok(cluster);
        }
        Err(LabError::TimedOut {
            what: "a cluster of Pacemaker".to_owned(),
            seconds: FORM_LIMIT.as_secs(),
            hint: format!("see the logs {}/*/log", cluster.dir.display()),
        })
    }

    /// Name of a node's network namespace.
    #[must_use]
    pub fn namespace(&self, node: u8) -> String {
        format!("{}p{node}", Topology::namespace_prefix(&self.name))
    }

    /// Where the file system of a node is seen from outside.
    #[must_use]
    pub fn root(&self, node: u8) -> Option<PathBuf> {
        let anchor = self.anchors.get(usize::from(node).checked_sub(1)?)?;
        Some(Path::new("/proc").join(anchor.id().to_string()).join("root"))
    }

    /// Runs a command on a node; what it printed.
    ///
    /// # Errors
    /// Those of [`namespace::run`].
    pub fn at(&self, node: u8, command: &[&str]) -> Result<String, LabError> {
        let number = usize::from(node).saturating_sub(1);
        let anchor = self.anchors.get(number).map(|child| child.id().to_string());
        let target = anchor.unwrap_or_default();
        let mut entering = Command::new("nsenter");
        entering.args(["-t", &target, "-m", "-u", "-i", "-n"]).args(command);
        namespace::run(&mut entering, "", &format!("p{node}"))
    }

    /// Adds resources, XML as it stands in the CIB's section of that name.
    ///
    /// # Errors
    /// Those of [`Self::at`].
    pub fn add_resources(&self, xml: &str) -> Result<(), LabError> {
        let file = self.dir.join("resources.xml");
        std::fs::write(&file, format!("<resources>{xml}</resources>"))
            .map_err(LabError::io(format!("write {}", file.display())))?;
        let path = file.display().to_string();
        self.at(1, &["cibadmin", "--replace", "-o", "resources", "-x", &path]).map(drop)
    }

    fn lay_cables(&self, nodes: u8) -> Result<(), LabError> {
        let switch = format!("{}sw", Topology::namespace_prefix(&self.name));
        namespace::ip_batch(None, &format!("netns add {switch}\n"))?;
        namespace::ip_batch(Some(&switch), "link add br0 type bridge\nlink set br0 up\n")?;
        for node in 1..=nodes {
            let own = self.namespace(node);
            namespace::ip_batch(None, &format!("netns add {own}\n"))?;
            let inside = format!(
                "link set lo up\nlink add lan type veth peer name v{node} netns {switch}\n\
                 addr add {}/24 dev lan\nlink set lan up\n",
                address(node)
            );
            namespace::ip_batch(Some(&own), &inside)?;
            let port = format!("link set v{node} master br0\nlink set v{node} up\n");
            namespace::ip_batch(Some(&switch), &port)?;
        }
        Ok(())
    }

    fn begin(&mut self, node: u8, nodes: u8, ocf_root: Option<&Path>) -> Result<(), LabError> {
        let dir = self.dir.join(format!("p{node}"));
        let write = |path: &Path, text: &str| {
            std::fs::write(path, text).map_err(LabError::io(format!("write {}", path.display())))
        };
        let parts = OWN.map(|(part, _)| part).into_iter();
        for part in parts.chain(["pacemaker/cib", "pacemaker/pengine", "log/pacemaker"]) {
            let path = dir.join(part);
            std::fs::create_dir_all(&path)
                .map_err(LabError::io(format!("make {}", path.display())))?;
        }
        write(&dir.join("etc/corosync.conf"), &configuration(nodes))?;
        let script = dir.join("begin.sh");
        write(&script, &beginning(&dir, node, ocf_root))?;
        let log = std::fs::File::create(dir.join("begin.log"))
            .and_then(|out| Ok((out.try_clone()?, out)))
            .map_err(LabError::io("open a log"))?;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(node)]);
        command.args(["unshare", "--mount", "--uts", "--ipc", "sh"]).arg(script);
        command.stdin(Stdio::null()).stdout(log.0).stderr(log.1);
        interrupt::give_way();
        let mut child = command.spawn().map_err(|error| namespace::not_started(&command, error))?;
        if interrupt::is_under_way() {
            drop(child.kill());
        }
        self.anchors.push(child);
        let ready = || dir.join("ready").exists();
        if wait::until(Duration::from_secs(20), Duration::from_millis(20), ready) {
            return Ok(());
        }
        let hint = format!("see {}", dir.join("begin.log").display());
        Err(LabError::TimedOut { what: format!("the mounts of p{node}"), seconds: 20, hint })
    }
}

impl Drop for Pacemaker {
    fn drop(&mut self) {
        let removed = Bed::remove(&self.name, Some(self.dir.clone()));
        drop(removed);
        for anchor in &mut self.anchors {
            // Killed with its namespace; what is left is its entry in the process table.
            drop(anchor.wait());
        }
    }
}

fn address(node: u8) -> String {
    format!("10.99.0.{node}")
}

fn configuration(nodes: u8) -> String {
    let mut text =
        "totem {\n version: 2\n cluster_name: peer\n transport: knet\n crypto_cipher: none\n \
                    crypto_hash: none\n}\nnodelist {\n"
            .to_owned();
    for node in 1..=nodes {
        let _ = write!(
            text,
            " node {{\n  ring0_addr: {}\n  name: p{node}\n  nodeid: {node}\n }}\n",
            address(node)
        );
    }
    let two = if nodes == 2 { " two_node: 1\n wait_for_all: 0\n" } else { "" };
    let _ = write!(
        text,
        "}}\nquorum {{\n provider: corosync_votequorum\n{two}}}\nlogging {{\n to_syslog: no\n \
         to_logfile: yes\n logfile: /var/log/corosync.log\n}}\n"
    );
    text
}

/// What a node does first: its own mounts, then the daemons. The shell stays, as the namespaces' anchor.
fn beginning(dir: &Path, node: u8, ocf_root: Option<&Path>) -> String {
    let dir = dir.display();
    let mut text = format!(
        "set -e\nmount --make-rprivate /\nhostname p{node}\n\
         chown -R hacluster:haclient {dir}/pacemaker {dir}/log/pacemaker\n"
    );
    for (own, path) in OWN {
        let _ = writeln!(text, "mount --bind {dir}/{own} {path}");
    }
    if let Some(root) = ocf_root {
        let _ = writeln!(text, "mount --bind {} /usr/lib/ocf", root.display());
    }
    let _ = write!(
        text,
        "mount -t tmpfs tmpfs /dev/shm\nmount -t tmpfs tmpfs /run\n\
         mkdir -p /run/crm /run/corosync /run/resource-agents\nchown hacluster:haclient /run/crm\n\
         touch {dir}/ready\nset +e\ncorosync -f &\n\
         until corosync-cfgtool -s >/dev/null 2>&1; do sleep 0.1; done\npacemakerd &\n\
         while :; do sleep 3600; done\n"
    );
    text
}
