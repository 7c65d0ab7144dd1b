//! Whole clusters on real kernel networking: what the tests share.
//!
//! A test builds a lab of its own under its own name and removes it, whatever happens. Without root
//! it says *skipped, because …* and leaves a line in the file that `HAVEN_SKIPPED` names, which
//! `./dev test` counts.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "tests fail by panicking")]

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use haven_lab::scenario::{self, Outcome, Scenario, Times};
use haven_lab::system::SystemKind;
use haven_lab::{Bed, BedOptions, Cluster, Family, Topology};

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
    let line = format!("skipped, because it needs root: {test}\n");
    if let Some(path) = std::env::var_os("HAVEN_SKIPPED") {
        let open = std::fs::File::options().append(true).create(true).open(path);
        open.unwrap().write_all(line.as_bytes()).unwrap();
    }
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    false
}

/// A lab of `nodes` nodes, serving its VIPs; `None` where it cannot be built.
#[must_use]
pub fn lab(name: &str, nodes: u8, witness: bool, family: Family) -> Option<Lab> {
    if !can_run(name) {
        return None;
    }
    let topology = Topology::new(name, nodes, witness, family).unwrap();
    let config = haven_lab::haven::default_configuration(&topology);
    let (haven, system) = (haven(), SystemKind::Haven);
    let bed = Bed::create(BedOptions { topology, dir: None, haven, config, system }).unwrap();
    // From here on a failure must remove the bed, too.
    let mut lab = Lab { cluster: Cluster::of(bed) };
    lab.cluster.form(&mut |_| {}).unwrap();
    lab.cluster.restore().unwrap();
    Some(lab)
}

impl Lab {
    /// Does one experiment with the lab's first VIP, watched for `after_heal` after its end.
    pub fn experiment(&mut self, scenario: Scenario, after_heal: Duration) -> Outcome {
        let vip = self.cluster.bed.topology().vips()[0];
        let times = Times { after_heal, noise: Duration::from_secs(8), ..Times::default() };
        let mut rng = haven_base::Rng::new(1);
        scenario::run(&mut self.cluster, vip, scenario, times, &mut rng).unwrap()
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
