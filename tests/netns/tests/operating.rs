//! Taking resources and nodes out of service and back, as an operator does, on a cluster of three.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::Duration;

use haven_lab::Family;
use haven_netns_tests::{Lab, lab};

const PATIENCE: Duration = Duration::from_secs(20);
const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn load(lab: &Lab, text: &str) {
    let file = lab.cluster.bed.dir().join("operating.crm");
    std::fs::write(&file, text).unwrap();
    lab.haven("n1", &["configure", "load", &file.display().to_string()]).unwrap();
}

fn note(lab: &Lab, node: &str, id: &str) -> std::path::PathBuf {
    lab.cluster.bed.node_dir(node).join(format!("agents/Dummy-{id}.state"))
}

fn runs_on(lab: &Lab, id: &str) -> Vec<&'static str> {
    NODES.into_iter().filter(|node| note(lab, node, id).exists()).collect()
}

fn said(lab: &Lab, node: &str, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    lab.haven(node, &words).unwrap_or_else(|error| error.to_string())
}

/// Both run on a node: the one that failed was started again after what depends on it was stopped.
fn both_on(lab: &Lab, node: &str) -> bool {
    runs_on(lab, "d") == [node] && runs_on(lab, "e") == [node]
}

fn started(lab: &Lab, node: &str, id: &str) -> u64 {
    let counters = lab.json(node, &["node", "counters"]);
    counters[format!("operation_{id}_start_0_count")].as_u64().unwrap_or_default()
}

fn debian(test: &str) -> bool {
    let there = Path::new("/usr/lib/ocf/resource.d/pacemaker/Dummy").exists();
    if !there {
        haven_netns_tests::skip("pacemaker-resource-agents is not installed", test);
    }
    there
}

#[test]
fn resources_and_nodes_are_taken_out_of_service_and_back() {
    let Some(lab) = lab("op-verbs", 3, false, Family::V4) else { return };
    if !debian("operators' verbs") {
        return;
    }
    load(
        &lab,
        "property stonith-enabled=false
primitive d ocf:pacemaker:Dummy op monitor interval=500ms meta migration-threshold=2 failure-timeout=4s
primitive e ocf:pacemaker:Dummy op monitor interval=500ms
colocation e-with-d inf: e d
order d-first inf: d e
location d-likes-n1 d 50: n1
location d-then-n2 d 20: n2
",
    );
    lab.wait("the start", PATIENCE, |lab| both_on(lab, "n1"));
    // Each answer comes when it is done, asked on whichever node.
    assert!(said(&lab, "n2", "resource locate d").contains("d is Started on n1"));
    let both = |lab: &Lab| (started(lab, "n1", "d"), started(lab, "n1", "e"));
    lab.wait("the end of the starts", PATIENCE, |lab| both(lab) == (1, 1));
    let text = said(&lab, "n3", "resource restart d");
    assert!(text.contains("d runs on n1"), "{text}");
    assert_eq!(both(&lab), (2, 2), "what depends on it is restarted, and once");
    let text = said(&lab, "n2", "resource ban d n1 --lifetime 1h");
    assert!(text.contains("d avoids n1 and runs on n2"), "{text}");
    assert_eq!((runs_on(&lab, "d"), runs_on(&lab, "e")), (vec!["n2"], vec!["n2"]));
    assert!(
        said(&lab, "n1", "status").contains("avoid n1 until 2"),
        "{}",
        said(&lab, "n1", "status")
    );
    said(&lab, "n1", "resource clear d");
    lab.wait("its return", PATIENCE, |lab| both_on(lab, "n1"));
    let text = said(&lab, "n3", "resource move d n3");
    assert!(text.contains("d runs on n3"), "{text}");
    said(&lab, "n1", "resource clear d");
    failures(&lab);
    let text = said(&lab, "n2", "node drain n1 --until-reboot");
    assert!(text.contains("n1 is in standby until it restarts and runs nothing"), "{text}");
    assert_eq!(runs_on(&lab, "d"), ["n2"]);
    assert!(said(&lab, "n2", "node attribute n1 get standby").contains("on"));
    let text = said(&lab, "n2", "node online n1");
    assert!(text.contains("n1 is online"), "{text}");
    lab.wait("its return", PATIENCE, |lab| both_on(lab, "n1"));
    maintenance(&lab);
}

/// Counted, moved at the threshold, forgotten by command and by time.
fn failures(lab: &Lab) {
    lab.wait("its return", PATIENCE, |lab| both_on(lab, "n1"));
    let fails = |count: &str| {
        std::fs::remove_file(note(lab, "n1", "d")).unwrap();
        lab.wait("the count", PATIENCE, |lab| {
            said(lab, "n2", "resource failures d")
                .contains(&format!("monitor every 500 ms  {count}"))
        });
    };
    fails("1");
    lab.wait("the restart", PATIENCE, |lab| both_on(lab, "n1"));
    fails("2");
    lab.wait("the move at the threshold", PATIENCE, |lab| both_on(lab, "n2"));
    assert!(said(lab, "n3", "resource failures --node n2").contains("no failures"));
    let text = said(lab, "n3", "resource cleanup d");
    assert!(text.contains("failures of d are forgotten"), "{text}");
    assert!(said(lab, "n1", "resource failures").contains("no failures are counted"));
    lab.wait("its return", PATIENCE, |lab| both_on(lab, "n1"));
    fails("1");
    lab.wait("the end of the failure by time", PATIENCE, |lab| {
        said(lab, "n1", "resource failures").contains("no failures are counted")
    });
    let before = started(lab, "n1", "d");
    let text = said(lab, "n2", "resource refresh d");
    assert!(text.contains("asked anew"), "{text}");
    assert_eq!(started(lab, "n1", "d"), before, "it was found, not started");
    assert_eq!(runs_on(lab, "d"), ["n1"]);
}

fn maintenance(lab: &Lab) {
    let text = said(lab, "n3", "node maintenance n1");
    assert!(text.contains("haven node ready n1"), "{text}");
    assert_eq!(lab.json("n2", &["status"])["nodes"][0]["state"], "maintenance");
    std::fs::remove_file(note(lab, "n1", "e")).unwrap();
    let text = said(lab, "n2", "resource stop e");
    assert!(text.contains("e still runs on n1"), "{text}");
    assert!(text.contains("maintenance or is-managed=false"), "{text}");
    said(lab, "n2", "resource start e --no-wait");
    assert!(!note(lab, "n1", "e").exists(), "the hands are off");
    let text = said(lab, "n3", "node ready n1");
    assert!(text.contains("n1 is ready"), "{text}");
    lab.wait("the recovery after maintenance", PATIENCE, |lab| both_on(lab, "n1"));
}
