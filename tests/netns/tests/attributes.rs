//! Attributes of nodes and promoted roles in a cluster of three, with Debian's agents as they come.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::Duration;

use haven_lab::{Family, Fault};
use haven_netns_tests::{Lab, lab};

const PATIENCE: Duration = Duration::from_secs(20);
const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn load(lab: &Lab, text: &str) {
    let file = lab.cluster.bed.dir().join("attributes.crm");
    std::fs::write(&file, text).unwrap();
    lab.haven("n1", &["configure", "load", &file.display().to_string()]).unwrap();
}

/// Nodes whose instance is in a state, by the agents' own notes.
fn instances(lab: &Lab, state: &str) -> Vec<&'static str> {
    let note = |node: &str| lab.cluster.bed.node_dir(node).join("agents/Stateful-st.state");
    let is =
        |node: &&str| std::fs::read_to_string(note(node)).is_ok_and(|text| text.trim() == state);
    NODES.into_iter().filter(is).collect()
}

fn value(lab: &Lab, asked: &str, node: &str, name: &str) -> String {
    lab.haven(asked, &["node", "attribute", node, "get", name])
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[test]
fn promotion_scores_of_debian_s_agent_decide_who_is_promoted() {
    let Some(mut lab) = lab("at-prom", 3, false, Family::V4) else { return };
    if !Path::new("/usr/lib/ocf/resource.d/pacemaker/Stateful").exists() {
        haven_netns_tests::skip("pacemaker-resource-agents is not installed", "promoted roles");
        return;
    }
    load(
        &lab,
        "property stonith-enabled=false
primitive st ocf:pacemaker:Stateful op monitor interval=1s role=Promoted op monitor interval=2s role=Unpromoted
clone st-clone st meta promotable=true interleave=true
primitive d ocf:pacemaker:Dummy
location d-on-rack d rule -inf: not_defined rack or rack ne 7
",
    );
    // The agent called `crm_attribute --promotion` for its scores: one instance is promoted, all run.
    lab.wait("one promoted instance", PATIENCE, |lab| {
        instances(lab, "Promoted").len() == 1 && instances(lab, "Unpromoted").len() == 2
    });
    let first = instances(&lab, "Promoted")[0];
    lab.wait("its score", PATIENCE, |lab| value(lab, "n2", first, "master-st") == "10");
    let status = lab.json("n3", &["status"]);
    let active = status["resources"].as_array().unwrap().iter().find(|r| r["id"] == "st-clone");
    let roles: Vec<(&str, &str)> = active.unwrap()["children"][0]["active"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["node"].as_str().unwrap(), a["role"].as_str().unwrap()))
        .collect();
    assert_eq!(roles.len(), 3, "{roles:?}");
    assert!(roles.contains(&(first, "Promoted")), "{roles:?}");
    assert_eq!(roles.iter().filter(|(_, role)| *role == "Unpromoted").count(), 2, "{roles:?}");
    // The promoted instance dies with its node: another one is promoted, not started anew.
    lab.cluster.inject(&Fault::Kill(first.to_owned())).unwrap();
    let note = lab.cluster.bed.node_dir(first).join("agents/Stateful-st.state");
    std::fs::remove_file(note).unwrap();
    lab.wait("the next promoted instance", PATIENCE, |lab| instances(lab, "Promoted").len() == 1);
    // A transient attribute ends with the life of its node.
    let other = *NODES.iter().find(|node| **node != first).unwrap();
    assert_eq!(value(&lab, other, first, "master-st"), "");
    lab.cluster.system.start(&lab.cluster.bed, first).unwrap();
    lab.wait("its return as unpromoted", PATIENCE, |lab| instances(lab, "Unpromoted").len() == 2);
    attributes_rule(&lab, first, other);
}

/// Permanent, transient and damped attributes, seen by a rule.
fn attributes_rule(lab: &Lab, one: &str, two: &str) {
    let dummy = |node: &str| lab.cluster.bed.node_dir(node).join("agents/Dummy-d.state").exists();
    assert!(NODES.iter().all(|node| !dummy(node)), "no node has a rack yet");
    let set = |node: &str, more: &[&str]| {
        lab.haven("n1", &[&["node", "attribute", node, "set", "rack"], more].concat()).unwrap()
    };
    let said = set(one, &["7", "--lifetime", "reboot", "--delay", "10s"]);
    assert!(said.contains("in force 10000 ms after"), "{said}");
    let listed = lab.haven(two, &["node", "attribute", one, "list"]).unwrap();
    assert!(listed.contains("to be 7, delay 10 s"), "{listed}");
    assert_eq!(value(lab, two, one, "rack"), "", "it is held back");
    lab.wait("the start by the rule", PATIENCE, |_| dummy(one));
    assert_eq!(value(lab, two, one, "rack"), "7");
    // Permanent ones survive; what is transient goes.
    set(two, &["7"]);
    lab.haven("n1", &["node", "attribute", one, "delete", "rack"]).unwrap();
    lab.wait("the move to the permanent one", PATIENCE, |_| dummy(two) && !dummy(one));
    let shown = lab.haven("n1", &["configure", "show"]).unwrap();
    assert!(shown.contains("rack=7"), "{shown}");
    let refused = lab.haven("n1", &["node", "attribute", two, "get", "shelf"]).unwrap_err();
    assert!(refused.to_string().contains("has no attribute"), "{refused}");
}
