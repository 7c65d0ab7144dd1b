//! The running cluster is asked why, and what it would do, from a node that does not coordinate.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::Duration;

use haven_lab::Family;
use haven_netns_tests::lab;

#[test]
fn the_running_cluster_says_why_a_resource_is_where_it_is() {
    let Some(lab) = lab("ex-live", 3, false, Family::V4) else { return };
    if !Path::new("/usr/lib/ocf/resource.d/pacemaker/Dummy").exists() {
        haven_netns_tests::skip("pacemaker-resource-agents is not installed", "explain");
        return;
    }
    let file = lab.cluster.bed.dir().join("explain.crm");
    let lines = "property stonith-enabled=false
primitive d ocf:pacemaker:Dummy
location d-likes-n2 d 100: n2
location d-not-n3 d -inf: n3
";
    std::fs::write(&file, lines).unwrap();
    lab.haven("n1", &["configure", "load", &file.display().to_string()]).unwrap();
    let note = lab.cluster.bed.node_dir("n2").join("agents/Dummy-d.state");
    lab.wait("the start of d", Duration::from_secs(20), |_| note.exists());
    for asked in ["n1", "n2", "n3"] {
        let told = lab.haven(asked, &["explain", "d"]).unwrap();
        assert!(told.contains("d-likes-n2") && told.contains("d-not-n3"), "{told}");
        let told = lab.haven(asked, &["explain", "d", "--node", "n3", "--json"]).unwrap();
        assert!(told.trim_start().starts_with('{') && told.contains("d-not-n3"), "{told}");
        let report = lab.haven(asked, &["simulate", "--live-check"]).unwrap();
        assert!(report.contains("Started n2"), "{report}");
    }
}
