//! The planned restart with another program in the place of the one that runs: an upgrade (L9).

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use haven_netns_tests::{Lab, assert_unmoved, haven, lab_of};

/// Which file the daemon of `node` was started from.
fn runs(lab: &Lab, node: &str) -> Option<u64> {
    let pid = lab.daemon(node)?.as_raw_nonzero();
    fs::metadata(format!("/proc/{pid}/exe")).ok().map(|file| file.ino())
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn a_new_program_under_the_old_name_goes_on_without_an_outage() {
    let dir = tempfile::tempdir().unwrap();
    let (program, next) = (dir.path().join("haven"), dir.path().join("haven.next"));
    fs::copy(haven(), &program).unwrap();
    let Some(lab) = lab_of(program.clone(), "upgrade") else { return };
    // As package managers do: whoever runs the old file keeps it.
    fs::copy(haven(), &next).unwrap();
    fs::rename(&next, &program).unwrap();
    let new = fs::metadata(&program).unwrap().ino();
    let measuring = lab.measure();
    for node in ["n1", "n2", "n3"] {
        assert!(runs(&lab, node).is_some_and(|file| file != new), "{node} runs the old one");
        lab.haven(node, &["node", "restart"]).unwrap();
        assert_eq!(runs(&lab, node), Some(new), "{node} runs the new one");
        let log = lab.log(node);
        assert!(!log.contains("goes on without it"), "what was handed over is refused:\n{log}");
    }
    // With one away at a time, a voter that its own restart had made silent would end the lease.
    for node in ["n2", "n3"] {
        lab.haven(node, &["node", "restart"]).unwrap();
    }
    let report = measuring.finish().unwrap();
    assert_unmoved(&report);
    assert_eq!(report.probes.sent, report.probes.answered, "{}", report.table());
}
