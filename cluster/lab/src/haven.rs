//! haven in a bed: its files, and the commands an operator would type.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::bed::Bed;
use crate::error::LabError;
use crate::system::System;
use crate::topology::{HEARTBEAT_PORT, Net, Node, Place, Topology, prefix_length};
use crate::wait;

/// How long a daemon may take to answer on its control socket.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long all members may take to see each other; thirty on two busy processors need a minute.
const FORM_LIMIT: Duration = Duration::from_secs(90);

/// haven as the operator of the lab drives it: by its own command line.
#[derive(Clone, Copy, Debug)]
pub struct Haven;

/// Path of a node's `haven.toml`.
#[must_use]
pub fn config_file(bed: &Bed, node: &str) -> PathBuf {
    bed.node_dir(node).join("haven.toml")
}

/// The `haven.toml` of `node`.
#[must_use]
pub fn node_configuration(bed: &Bed, node: &Node) -> String {
    let topology = bed.topology();
    let mut text =
        format!("[cluster]\nname = \"{}\"\n\n[node]\nname = \"{}\"\n", topology.name, node.name);
    for (number, net) in Net::ALL.into_iter().enumerate() {
        let local = topology.link_address(node, net);
        let _ = write!(
            text,
            "\n[[link]]\nnumber = {number}\nlocal = \"{local}\"\nport = {HEARTBEAT_PORT}\n"
        );
    }
    let _ = write!(
        text,
        "\n[channel]\nlisten = \"{}\"\n\n[paths]\nstate = \"{}\"\nrun = \"{}\"\n\n[log]\nlevel = \"info\"\n",
        channel(topology, node),
        bed.node_state(&node.name).display(),
        bed.node_dir(&node.name).join("run").display(),
    );
    // Nodes share this host's files: what agents note down must not be found by other nodes.
    let notes = bed.node_dir(&node.name).join("agents");
    let own = ocf_root(bed);
    let root =
        if own.is_dir() { format!("ocf_root = \"{}\"\n", own.display()) } else { String::new() };
    let _ = write!(
        text,
        "\n[agents]\n{root}environment = {{ HA_VARRUN = \"{0}\", HA_RSCTMP = \"{0}\" }}\n",
        notes.display()
    );
    text
}

/// Where a lab keeps OCF agents of its own: its nodes use them instead of the host's once the directory
/// is there.
#[must_use]
pub fn ocf_root(bed: &Bed) -> PathBuf {
    bed.dir().join("ocf")
}

fn channel(topology: &Topology, node: &Node) -> std::net::SocketAddr {
    (topology.link_address(node, Net::Heartbeat), HEARTBEAT_PORT + 1).into()
}

/// Name of the resource that holds `vip`.
#[must_use]
pub fn resource(topology: &Topology, vip: IpAddr) -> String {
    match (topology.vips().len(), vip) {
        (1, _) => "vip".to_owned(),
        (_, IpAddr::V4(_)) => "vip4".to_owned(),
        (_, IpAddr::V6(_)) => "vip6".to_owned(),
    }
}

/// The cluster configuration of a lab when the operator gives none: its VIPs.
#[must_use]
pub fn default_configuration(topology: &Topology) -> String {
    let mut text = String::new();
    for vip in topology.vips() {
        let _ = writeln!(
            text,
            "primitive {} ocf:haven:ip params ip={vip} cidr_netmask={} nic=client op monitor interval=10s",
            resource(topology, vip),
            prefix_length(vip)
        );
    }
    text
}

impl Haven {
    /// Runs `haven ARGS --config FILE` on `node`.
    fn run(bed: &Bed, node: &str, args: &[&str]) -> Result<String, LabError> {
        let mut command = Command::new(bed.haven());
        command.args(args).arg("--config").arg(config_file(bed, node));
        bed.run(&Place::Node(node.to_owned()), &mut command)
    }

    /// Like [`Self::run`], again and again while the cluster has no coordinator yet, or no time.
    pub(crate) fn run_patiently(bed: &Bed, node: &str, args: &[&str]) -> Result<String, LabError> {
        let mut last = Self::run(bed, node, args);
        wait::until(START_LIMIT, Duration::from_millis(100), || {
            if last.is_err() {
                last = Self::run(bed, node, args);
            }
            last.is_ok()
        });
        last
    }

    fn status(bed: &Bed, node: &str) -> Option<Value> {
        let text = Self::run(bed, node, &["status", "--json"]).ok()?;
        serde_json::from_str::<Value>(&text).ok()?.get_mut("status").map(Value::take)
    }

    fn wait_answering(&self, bed: &Bed, node: &str) -> Result<(), LabError> {
        let answering = || Self::status(bed, node).is_some();
        if wait::until(START_LIMIT, Duration::from_millis(50), answering) {
            return Ok(());
        }
        Err(LabError::TimedOut {
            what: format!("an answer of the daemon on {node}"),
            seconds: START_LIMIT.as_secs(),
            hint: format!("see its log {}", self.log(bed, node).display()),
        })
    }

    fn join(&self, bed: &Bed, first: &str, node: &Node) -> Result<(), LabError> {
        let printed = Self::run_patiently(bed, first, &["cluster", "token"])?;
        let words: Vec<_> = printed.split_whitespace().collect();
        let Some(at) = words.windows(3).position(|w| w == ["haven", "cluster", "join"]) else {
            return Err(LabError::Command {
                command: "haven cluster token".to_owned(),
                place: first.to_owned(),
                output: format!("no `haven cluster join ADDR TOKEN` in {printed:?}"),
            });
        };
        let mut args = vec!["cluster", "join"];
        args.extend(words.get(at + 3..at + 5).unwrap_or_default());
        if node.witness {
            args.push("--witness");
        }
        // A host that carries many nodes may be too busy to answer at once; a token serves its node again.
        Self::run_patiently(bed, &node.name, &args)?;
        self.start(bed, &node.name)?;
        self.wait_answering(bed, &node.name)
    }

    /// Puts the lab's cluster configuration into force.
    fn load(bed: &Bed, node: &str) -> Result<(), LabError> {
        let path = bed.dir().join("cluster.crm");
        std::fs::write(&path, bed.config())
            .map_err(LabError::io(format!("write {}", path.display())))?;
        let file = path.display().to_string();
        Self::run_patiently(bed, node, &["configure", "load", &file]).map(drop)
    }

    /// A node that answers, to give orders to: the first one that runs.
    fn speaker(&self, bed: &Bed) -> Option<String> {
        let names = bed.topology().workers().map(|n| n.name.clone());
        names.into_iter().find(|node| self.runs(bed, node))
    }
}

impl System for Haven {
    fn form(&self, bed: &Bed) -> Result<(), LabError> {
        let nodes = &bed.topology().nodes;
        for node in nodes {
            let path = config_file(bed, &node.name);
            std::fs::write(&path, node_configuration(bed, node))
                .map_err(LabError::io(format!("write {}", path.display())))?;
            let notes = bed.node_dir(&node.name).join("agents");
            std::fs::create_dir_all(&notes)
                .map_err(LabError::io(format!("make {}", notes.display())))?;
        }
        let Some((first, others)) = nodes.split_first() else { return Ok(()) };
        Self::run(bed, &first.name, &["cluster", "init"])?;
        self.start(bed, &first.name)?;
        self.wait_answering(bed, &first.name)?;
        for node in others {
            self.join(bed, &first.name, node)?;
        }
        let settled = || self.settled(bed);
        if !wait::until(FORM_LIMIT, Duration::from_millis(50), settled) {
            return Err(LabError::TimedOut {
                what: "the formation of the cluster".to_owned(),
                seconds: FORM_LIMIT.as_secs(),
                hint: format!("see the logs {}/*/daemon.log", bed.dir().display()),
            });
        }
        Self::load(bed, &first.name)
    }

    fn start(&self, bed: &Bed, node: &str) -> Result<(), LabError> {
        let mut command = Command::new(bed.haven());
        command.args(["node", "run", "--config"]).arg(config_file(bed, node));
        bed.spawn(&Place::Node(node.to_owned()), &mut command, &self.log(bed, node)).map(drop)
    }

    fn runs(&self, bed: &Bed, node: &str) -> bool {
        bed.usage(node, self.is_daemon()).is_ok_and(|usage| usage.rss_kib > 0)
    }

    fn settled(&self, bed: &Bed) -> bool {
        bed.topology().nodes.iter().all(|node| {
            let Some(status) = Self::status(bed, &node.name) else { return false };
            let members = status["nodes"]
                .as_array()
                .map_or(0, |nodes| nodes.iter().filter(|n| n["state"] == "online").count());
            members == bed.topology().nodes.len()
        })
    }

    fn switch_over(&self, bed: &Bed, vip: IpAddr, from: &str, to: &str) -> Result<(), LabError> {
        let name = resource(bed.topology(), vip);
        Self::run(bed, from, &["resource", "move", &name, to, "--no-wait"]).map(drop)
    }

    fn after_switch_over(&self, bed: &Bed, from: &str) -> Result<(), LabError> {
        for vip in bed.topology().vips() {
            let name = resource(bed.topology(), vip);
            Self::run(bed, from, &["resource", "clear", &name])?;
        }
        Ok(())
    }

    fn restart(&self, bed: &Bed, node: &str) -> Result<(), LabError> {
        Self::run(bed, node, &["node", "restart"]).map(drop)
    }

    fn forget_failures(&self, bed: &Bed) -> Result<(), LabError> {
        let Some(node) = self.speaker(bed) else { return Ok(()) };
        Self::run_patiently(bed, &node, &["resource", "cleanup"]).map(drop)
    }

    fn coordinator(&self, bed: &Bed) -> Option<String> {
        let status = Self::status(bed, &self.speaker(bed)?)?;
        status["coordinator"]["node"].as_str().map(str::to_owned)
    }

    /// A voter that starts promises nothing for D_max · (1 + ρ) + 2 ticks, 5.5 s.
    fn settle_time(&self) -> Duration {
        Duration::from_secs(6)
    }

    /// The first becomes two at once. A change of voters comes 7.7 s after the one before: the third is one, more than
    /// one go by a joint entry and a final one. New voters are silent for 5.5 s then.
    fn forming_time(&self, members: usize) -> Duration {
        let changes = match members {
            0..3 => 0,
            3 => 1,
            4.. => 2,
        };
        self.settle_time() + Duration::from_millis(7_720) * changes
    }

    fn is_daemon(&self) -> fn(&str) -> bool {
        |line| line.contains(" node run ")
    }
}
