//! Whole clusters on real kernel networking: what the tests share.
//!
//! A test builds a lab of its own under its own name and removes it, whatever happens. Without root
//! it says *skipped, because …* and leaves a line in the file that `HAVEN_SKIPPED` names, which
//! `./dev test` counts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "tests fail by panicking"
)]

pub mod audits;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use haven_lab::scenario::{self, Outcome, Scenario, Times};
use haven_lab::system::SystemKind;
use haven_lab::{
    Bed, BedOptions, Cluster, Family, LabError, MeasureOptions, Measuring, Place, Report, Topology,
    namespace, processes, wait,
};
pub use haven_skipped::skip;
use rustix::process::Pid;
use serde_json::Value;

/// A cluster of haven nodes that removes itself.
#[derive(Debug)]
pub struct Lab {
    /// The cluster.
    pub cluster: Cluster,
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        let name = self.cluster.bed.topology().name.clone();
        drop(Bed::remove(&name, None));
    }
}

/// The program under test: `HAVEN_BIN`, or the one cargo built beside the tests.
#[must_use]
pub fn haven() -> PathBuf {
    if let Some(path) = std::env::var_os("HAVEN_BIN") {
        return path.into();
    }
    let tests = std::env::current_exe().unwrap();
    let beside = tests.ancestors().nth(2).unwrap().join("haven");
    assert!(beside.exists(), "{} is missing: `cargo build --bin haven`", beside.display());
    beside
}

/// Whether this test can run here; says why not otherwise.
#[must_use]
pub fn can_run(test: &str) -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    skip("it needs root", test);
    false
}

/// A lab of `nodes` nodes, serving its VIPs; `None` where it cannot be built.
#[must_use]
pub fn lab(name: &str, nodes: u8, witness: bool, family: Family) -> Option<Lab> {
    lab_with(name, nodes, witness, family, |_| {})
}

/// [`lab`], after `prepare` had its way with the bed.
#[must_use]
pub fn lab_with(
    name: &str,
    nodes: u8,
    witness: bool,
    family: Family,
    prepare: impl FnOnce(&Bed),
) -> Option<Lab> {
    if !can_run(name) {
        return None;
    }
    let topology = Topology::new(name, nodes, witness, family).unwrap();
    let config = haven_lab::haven::default_configuration(&topology);
    let mut lab = build(topology, config, haven());
    prepare(&lab.cluster.bed);
    serve(&mut lab);
    Some(lab)
}

/// A lab of three nodes that run `program`, serving its VIPs; `None` where it cannot be built.
#[must_use]
pub fn lab_of(program: PathBuf, name: &str) -> Option<Lab> {
    if !can_run(name) {
        return None;
    }
    let topology = Topology::new(name, 3, false, Family::V4).unwrap();
    let config = haven_lab::haven::default_configuration(&topology);
    let mut lab = build(topology, config, program);
    serve(&mut lab);
    Some(lab)
}

fn serve(lab: &mut Lab) {
    lab.cluster.form(&mut |_| {}).unwrap();
    lab.cluster.restore().unwrap();
}

/// A lab of `nodes` nodes whose daemons nobody has started; `None` where it cannot be built.
#[must_use]
pub fn unformed(name: &str, nodes: u8) -> Option<Lab> {
    can_run(name).then(|| {
        let topology = Topology::new(name, nodes, false, Family::V4).unwrap();
        build(topology, String::new(), haven())
    })
}

/// From here on a failure removes the bed, too.
fn build(topology: Topology, config: String, haven: PathBuf) -> Lab {
    let system = SystemKind::Haven;
    let bed = Bed::create(BedOptions { topology, dir: None, haven, config, system }).unwrap();
    Lab { cluster: Cluster::of(bed) }
}

/// Fails unless one node at most owned the address at any time, as a whole capture shows it.
pub fn assert_one_owner(report: &Report) {
    let table = report.table();
    assert_eq!(report.ownership.overlaps, [], "two owners\n{table}");
    assert_eq!(report.capture_lost, 0, "the judge saw less than there was\n{table}");
}

/// Fails unless nobody moved and nobody spoke beside the owner.
pub fn assert_unmoved(report: &Report) {
    assert_one_owner(report);
    let table = report.table();
    assert_eq!((report.probes.moves, report.ownership.moves()), (0, 0), "{table}");
    assert!(report.probes.outage <= Duration::from_millis(500), "{table}");
}

impl Lab {
    /// Does one experiment with the lab's first VIP, watched for `after_heal` after its end.
    pub fn experiment(&mut self, scenario: Scenario, after_heal: Duration) -> Outcome {
        let vip = self.cluster.bed.topology().vips()[0];
        let times = Times { after_heal, noise: Duration::from_secs(8), ..Times::default() };
        let mut rng = haven_base::Rng::new(1);
        scenario::run(&mut self.cluster, vip, scenario, times, &mut rng).unwrap()
    }

    /// Begins to measure the lab's first VIP.
    #[must_use]
    pub fn measure(&self) -> Measuring {
        let vip = self.cluster.bed.topology().vips()[0];
        Measuring::start(&self.cluster.bed, vip, MeasureOptions::default()).unwrap()
    }

    /// Runs `haven ARGS` on `node` as an operator would; what it printed.
    ///
    /// # Errors
    /// When it ends with another code than 0; with all that it printed.
    pub fn haven(&self, node: &str, args: &[&str]) -> Result<String, LabError> {
        self.cluster.bed.run(&Place::Node(node.to_owned()), &mut self.command(node, args))
    }

    /// Begins what [`Self::haven`] does, while the test goes on.
    pub fn begin(&self, node: &str, args: &[&str]) -> JoinHandle<Result<String, LabError>> {
        let mut command = self.command(node, args);
        let name = self.cluster.bed.topology().namespace(&Place::Node(node.to_owned()));
        std::thread::spawn(move || {
            namespace::within(&name, || namespace::run(&mut command, "", &name))
        })
    }

    fn command(&self, node: &str, args: &[&str]) -> Command {
        let bed = &self.cluster.bed;
        let mut command = Command::new(bed.haven());
        command.args(args).arg("--config").arg(haven_lab::haven::config_file(bed, node));
        command
    }

    /// What `haven ARGS --json` says on `node`, below its outermost name; nothing when it fails.
    #[must_use]
    pub fn json(&self, node: &str, args: &[&str]) -> Value {
        let text = self.haven(node, &[args, &["--json"]].concat()).unwrap_or_default();
        let parsed: Value = serde_json::from_str(&text).unwrap_or_default();
        parsed.as_object().and_then(|all| all.values().next().cloned()).unwrap_or_default()
    }

    /// Waits until `done`, or panics with the status of every node.
    pub fn wait(&self, what: &str, limit: Duration, mut done: impl FnMut(&Self) -> bool) {
        if wait::until(limit, Duration::from_millis(50), || done(self)) {
            return;
        }
        let nodes = &self.cluster.bed.topology().nodes;
        let seen = |node: &str| self.haven(node, &["status"]).unwrap_or_else(|e| e.to_string());
        let all: Vec<String> = nodes.iter().map(|n| seen(&n.name)).collect();
        panic!("{what}: not within {limit:?}\n{}", all.join("\n"));
    }

    /// The process of a node's daemon.
    #[must_use]
    pub fn daemon(&self, node: &str) -> Option<Pid> {
        let place = Place::Node(node.to_owned());
        let inside = processes::of(&self.cluster.bed.topology().namespace(&place)).unwrap();
        inside.into_iter().find(|pid| {
            let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
            let line = std::fs::read_to_string(path).unwrap_or_default().replace('\0', " ");
            self.cluster.system.is_daemon()(&line)
        })
    }

    /// The log of a node's daemon.
    #[must_use]
    pub fn log(&self, node: &str) -> String {
        let path = self.cluster.system.log(&self.cluster.bed, node);
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// Prints the end of each node's log.
    pub fn print_logs(&self) {
        let mut out = std::io::stderr();
        for log in self.cluster.logs() {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let last: Vec<_> = text.lines().rev().take(40).collect();
            drop(writeln!(out, "── {}", log.display()));
            last.iter().rev().for_each(|line| drop(writeln!(out, "{line}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use haven_lab::measure::Recording;

    use super::*;

    #[test]
    #[should_panic(expected = "the judge saw less than there was")]
    fn what_the_capture_lost_may_hide_an_owner() {
        let recording = Recording { capture_lost: 1, ..Recording::default() };
        assert_unmoved(&recording.report(IpAddr::from([10, 77, 1, 100]), [].into()));
    }
}
