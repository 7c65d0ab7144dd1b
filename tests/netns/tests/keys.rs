//! The heartbeats' key changes on a running cluster, and nobody notices.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use haven_lab::{Family, Fault, MeasureOptions, Measuring};
use haven_netns_tests::{Lab, assert_unmoved, lab};

/// Sealing with a new key begins 2 s after it was accepted, the old one is refused after 20 s.
const RETIRED: Duration = Duration::from_secs(30);

fn epoch(lab: &Lab, node: &str) -> Option<u64> {
    lab.json(node, &["node", "counters"])["key_epoch"].as_u64()
}

/// Lines of a log that tell of members lost or suspected.
fn losses(lab: &Lab, nodes: &[&str]) -> usize {
    let lost = |line: &&str| line.contains("is dead") || line.contains("has been silent");
    nodes.iter().map(|node| lab.log(node).lines().filter(lost).count()).sum()
}

#[test]
fn a_rotation_is_done_in_seconds_and_loses_no_beat() {
    let Some(lab) = lab("k-quiet", 3, false, Family::V4) else { return };
    let nodes = ["n1", "n2", "n3"];
    let vip = lab.cluster.bed.topology().vips()[0];
    let before = losses(&lab, &nodes);
    let measuring = Measuring::start(&lab.cluster.bed, vip, MeasureOptions::default()).unwrap();
    let said = lab.haven("n2", &["cluster", "rotate-key"]).unwrap();
    assert!(said.contains("heartbeats use key generation 2"), "{said}");
    for node in nodes {
        assert_eq!(epoch(&lab, node), Some(2), "all had it when the command said so: {node}");
    }
    lab.wait("the old key's end on every node", RETIRED, |lab| {
        nodes.iter().all(|node| lab.log(node).contains("key 2 is the only one in use now"))
    });
    // What a machine that stands still costs is no matter of keys; a lost key would be silence for good.
    assert_unmoved(&measuring.finish().unwrap());
    assert_eq!(losses(&lab, &nodes), before, "somebody was not understood");
    // A node that starts anew reads the key from its disk.
    let mut lab = lab;
    lab.cluster.inject(&Fault::Kill("n3".into())).unwrap();
    lab.cluster.restore().unwrap();
    assert_eq!(epoch(&lab, "n3"), Some(2));
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn a_node_killed_during_a_rotation_catches_up_when_it_returns() {
    let Some(mut lab) = lab("k-kill", 3, false, Family::V4) else { return };
    // The others must not wait for it: it dies as soon as the key is announced.
    let rotating = lab.begin("n1", &["cluster", "rotate-key"]);
    lab.wait("the announcement", RETIRED, |lab| {
        let log = lab.log("n3");
        log.contains("key 2 was announced") || log.contains("key 2 is accepted")
    });
    lab.cluster.inject(&Fault::Kill("n3".into())).unwrap();
    let said = rotating.join().unwrap();
    assert!(said.as_ref().is_ok_and(|said| said.contains("generation 2")), "{said:?}");
    let said = lab.haven("n2", &["cluster", "rotate-key"]).unwrap();
    assert!(said.contains("generation 3"), "{said}");
    lab.wait("the end of every older key", 2 * RETIRED, |lab| {
        ["n1", "n2"].iter().all(|n| lab.log(n).contains("key 3 is the only one in use now"))
    });
    lab.cluster.restore().unwrap();
    assert_eq!(epoch(&lab, "n3"), Some(3));
    assert_eq!(lab.json("n3", &["status"])["quorum"]["present"], 3);
}

#[test]
fn a_member_that_is_removed_is_left_with_an_old_key() {
    let Some(mut lab) = lab("k-gone", 3, false, Family::V4) else { return };
    lab.cluster.inject(&Fault::Kill("n3".into())).unwrap();
    lab.wait("the verdict on n3", RETIRED, |lab| {
        lab.json("n1", &["status"])["quorum"]["present"] == 2
    });
    let removed = lab.haven("n1", &["cluster", "remove", "n3", "--force"]).unwrap();
    assert!(removed.contains("n3 is no member any more"), "{removed}");
    lab.wait("a new key by itself", RETIRED, |lab| {
        ["n1", "n2"].iter().all(|node| epoch(lab, node) == Some(2))
    });
    // Its daemon comes back with the old key, gets no other, is told that it is no member, and ends.
    let (bed, system) = (&lab.cluster.bed, &lab.cluster.system);
    system.start(bed, "n3").unwrap();
    lab.wait("its refusal", RETIRED, |lab| lab.log("n1").contains("n3 is not a member"));
    lab.wait("its end", RETIRED, |lab| {
        lab.log("n3").contains("n3 was removed from the cluster without hearing of it")
            && !system.runs(bed, "n3")
    });
    assert!(lab.log("n3").contains("haven cluster token"), "{}", lab.log("n3"));
    let keys = bed.node_state("n3").join("identity.former/keys.json");
    let keys = std::fs::read_to_string(keys).unwrap();
    assert!(keys.contains("\"epoch\": 1") && !keys.contains("\"epoch\": 2"), "it has the old key");
    system.start(bed, "n3").unwrap();
    lab.wait("its next start", RETIRED, |lab| {
        lab.log("n3").contains("was removed from its cluster and belongs to none")
    });
    // What was written while it went is whole, also where the new key was drawn: each starts again over it.
    for node in ["n1", "n2"] {
        lab.cluster.inject(&Fault::Kill(node.into())).unwrap();
        let (bed, system) = (&lab.cluster.bed, &lab.cluster.system);
        system.start(bed, node).unwrap();
        lab.wait("its return", RETIRED, |lab| {
            lab.haven(node, &["status"]).is_ok_and(|text| text.contains("2 of 2 nodes"))
        });
    }
}
