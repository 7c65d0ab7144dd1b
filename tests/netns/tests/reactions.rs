//! What follows a failure, what is left alone, and what is not begun, on a cluster of three.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use haven_lab::Family;
use haven_netns_tests::{Lab, lab};

const PATIENCE: Duration = Duration::from_secs(20);
const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn load(lab: &Lab, text: &str) {
    let file = lab.cluster.bed.dir().join("reactions.crm");
    std::fs::write(&file, text).unwrap();
    lab.haven("n1", &["configure", "load", &file.display().to_string()]).unwrap();
}

fn note(lab: &Lab, node: &str, id: &str) -> PathBuf {
    lab.cluster.bed.node_dir(node).join(format!("agents/Dummy-{id}.state"))
}

fn runs_on(lab: &Lab, id: &str) -> Vec<&'static str> {
    NODES.into_iter().filter(|node| note(lab, node, id).exists()).collect()
}

fn counted(lab: &Lab, id: &str) -> bool {
    let text = lab.haven("n2", &["resource", "failures", id]).unwrap_or_default();
    text.contains("monitor every 300 ms")
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn failures_have_the_consequences_that_the_configuration_names() {
    let Some(lab) = lab("re-fail", 3, false, Family::V4) else { return };
    if !Path::new("/usr/lib/ocf/resource.d/pacemaker/Dummy").exists() {
        haven_netns_tests::skip("pacemaker-resource-agents is not installed", "reactions");
        return;
    }
    // Without a device nothing that needs fencing is started, and status says what to do.
    load(&lab, "primitive needy ocf:pacemaker:Dummy\n");
    lab.wait("the safety check's words", PATIENCE, |lab| {
        let status = lab.haven("n2", &["status"]).unwrap_or_default();
        let flat = status.split_whitespace().collect::<Vec<_>>().join(" ");
        flat.contains("needy") && flat.contains("property stonith-enabled=false")
    });
    assert_eq!(runs_on(&lab, "needy"), [] as [&str; 0], "started without fencing");
    // What runs already is found and adopted, not started a second time.
    std::fs::create_dir_all(note(&lab, "n2", "found").parent().unwrap()).unwrap();
    std::fs::write(note(&lab, "n2", "found"), "").unwrap();
    let op = |on_fail: &str| format!("op monitor interval=300ms on-fail={on_fail}");
    load(
        &lab,
        &format!(
            "property stonith-enabled=false
primitive found ocf:pacemaker:Dummy meta resource-stickiness=100
primitive ignore ocf:pacemaker:Dummy {}
primitive block ocf:pacemaker:Dummy {}
primitive stop ocf:pacemaker:Dummy {}
primitive restart ocf:pacemaker:Dummy {}
primitive free ocf:pacemaker:Dummy op monitor interval=300ms meta is-managed=false
primitive leave ocf:pacemaker:Dummy {}
location free-n1 free 100: n1
location ignore-n1 ignore 100: n1
location block-n1 block 100: n1
location stop-n1 stop 100: n1
location restart-n1 restart 100: n1
location leave-n3 leave 100: n3
",
            op("ignore"),
            op("block"),
            op("stop"),
            op("restart"),
            op("standby"),
        ),
    );
    lab.wait("the starts", PATIENCE, |lab| {
        ["ignore", "block", "stop", "restart"].iter().all(|id| runs_on(lab, id) == ["n1"])
            && runs_on(lab, "leave") == ["n3"]
            && runs_on(lab, "needy").len() == 1
    });
    assert_eq!(runs_on(&lab, "found"), ["n2"]);
    let counters = lab.json("n2", &["node", "counters"]);
    assert!(counters["operation_found_start_0_count"].is_null(), "it was running: {counters}");
    assert_eq!(runs_on(&lab, "free"), [] as [&str; 0], "unmanaged");
    for id in ["ignore", "block", "stop", "restart"] {
        std::fs::remove_file(note(&lab, "n1", id)).unwrap();
    }
    lab.wait("the restart", PATIENCE, |lab| runs_on(lab, "restart") == ["n1"]);
    lab.wait("every count", PATIENCE, |lab| {
        ["ignore", "block", "stop"].iter().all(|id| counted(lab, id))
    });
    let state = |lab: &Lab, id: &str| {
        let status = lab.json("n2", &["status"]);
        let found = status["resources"].as_array().unwrap().iter().find(|r| r["id"] == id);
        found.unwrap()["active"].as_array().map_or(0, Vec::len)
    };
    lab.wait("the end of the one to be stopped", PATIENCE, |lab| state(lab, "stop") == 0);
    assert_eq!(state(&lab, "ignore"), 1, "ignored: it counts as running");
    assert_eq!(state(&lab, "block"), 1, "blocked: nothing is done about it");
    for id in ["ignore", "block", "stop"] {
        assert_eq!(runs_on(&lab, id), [] as [&str; 0], "{id} was started again");
    }
    // One failure empties the node.
    std::fs::remove_file(note(&lab, "n3", "leave")).unwrap();
    lab.wait("the node's standby", PATIENCE, |lab| {
        let places = runs_on(lab, "leave");
        places.len() == 1 && places != ["n3"]
    });
}
