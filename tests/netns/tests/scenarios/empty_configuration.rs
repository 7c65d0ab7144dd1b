//! Resync of an empty configuration: a node that has lost everything gets it from the others.

use std::time::Duration;

use haven_netns_tests::audits::audited;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
#[ignore = "forms a cluster and admits a node twice"]
fn a_node_without_a_store_joins_anew_and_has_the_same_configuration() {
    let Some(audited) = audited("s-empty", "stonith-enabled=false") else { return };
    let (lab, bed) = (&audited.lab, &audited.lab.cluster.bed);
    lab.haven("n1", &["node", "standby", "n3"]).unwrap();
    lab.wait("an empty node", LIMIT, |_| {
        ["a", "b", "x", "y", "lone"].iter().all(|r| audited.service("n3", r).is_none())
    });
    lab.haven("n1", &["cluster", "remove", "n3", "--force"]).unwrap();
    let cluster = &lab.cluster;
    lab.wait("the end of the daemon", LIMIT, |_| !cluster.system.runs(bed, "n3"));
    std::fs::remove_dir_all(bed.node_state("n3")).unwrap();
    let printed = lab.haven("n1", &["cluster", "token"]).unwrap();
    let words: Vec<_> = printed.split_whitespace().collect();
    let at = words.windows(3).position(|w| w == ["haven", "cluster", "join"]).unwrap();
    lab.haven("n3", &["cluster", "join", words[at + 3], words[at + 4]]).unwrap();
    cluster.system.start(bed, "n3").unwrap();
    lab.wait("three nodes online", LIMIT, |lab| {
        lab.json("n3", &["status"])["nodes"].as_array().is_some_and(|nodes| {
            nodes.len() == 3 && nodes.iter().all(|node| node["state"] == "online")
        })
    });
    audited.audit_all_running();
    // It serves like any other.
    lab.haven("n1", &["node", "standby", "n1"]).unwrap();
    lab.haven("n1", &["node", "standby", "n2"]).unwrap();
    lab.wait("everything on the new node", LIMIT, |_| {
        ["a", "b", "x", "y", "lone"].iter().all(|r| audited.service("n3", r).is_some())
    });
    audited.audit_all_running();
}
