//! The daemon's command typed beside the daemon that runs.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use haven_lab::Family;
use haven_netns_tests::{assert_unmoved, lab};

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn a_start_beside_a_running_daemon_costs_the_next_planned_restart_nothing() {
    let Some(lab) = lab("second", 3, false, Family::V4) else { return };
    let measuring = lab.measure();
    for node in ["n1", "n2", "n3"] {
        let refused = lab.haven(node, &["node", "run"]).unwrap_err().to_string();
        assert!(refused.contains("store"), "{refused}");
        lab.haven(node, &["node", "restart"]).unwrap();
        let log = lab.log(node);
        assert!(!log.contains("goes on without it"), "what was handed over is refused:\n{log}");
    }
    let report = measuring.finish().unwrap();
    assert_unmoved(&report);
    assert_eq!(report.probes.sent, report.probes.answered, "{}", report.table());
}
