//! As many nodes as one host carries, each with paths, ports and addresses of its own.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use haven_lab::Family;
use haven_lab::scenario::Scenario;
use haven_netns_tests::{Lab, assert_one_owner, lab};

const NODES: u8 = 12;
/// Of a build without optimisation; an idle daemon among three takes 24 MiB in a release build.
const RSS_LIMIT_KIB: u64 = 128 * 1024;

fn assert_small(lab: &Lab, when: &str) {
    let cluster = &lab.cluster;
    for node in &cluster.bed.topology().nodes {
        let usage = cluster.bed.usage(&node.name, cluster.system.is_daemon()).unwrap();
        let rss = usage.rss_kib;
        assert!(rss <= RSS_LIMIT_KIB, "{}: {rss} KiB in memory {when}", node.name);
    }
}

#[test]
#[ignore = "long: twelve daemons on one host, run by ./dev test --all"]
fn twelve_nodes_on_one_host_have_one_owner_and_a_successor_once_it_is_killed() {
    let Some(mut lab) = lab("many", NODES, false, Family::V4) else { return };
    assert_small(&lab, "once all are members");
    let outcome = lab.experiment(Scenario::Kill, Duration::from_secs(10));
    let table = outcome.report.table();
    assert_one_owner(&outcome.report);
    assert!(outcome.owner_after.is_some(), "nobody took over\n{table}");
    assert_ne!(outcome.owner_after, outcome.owner_before, "{table}");
    assert_small(&lab, "after a takeover");
}
