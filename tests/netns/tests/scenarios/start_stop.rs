//! Stop and start, of resources and of whole nodes.

use std::time::Duration;

use haven_netns_tests::audits::audited;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
#[ignore = "forms a cluster and stops it node by node"]
fn resources_and_nodes_are_stopped_and_started() {
    let Some(audited) = audited("s-stop", "stonith-enabled=false") else { return };
    let lab = &audited.lab;
    lab.haven("n1", &["resource", "stop", "a"]).unwrap();
    lab.wait("the stop of the pair", LIMIT, |_| {
        audited.node_of("a").is_none() && audited.node_of("b").is_none()
    });
    audited.wait_settled();
    audited.audit();
    lab.haven("n1", &["resource", "start", "a"]).unwrap();
    audited.audit_all_running();
    // A daemon that is told to end moves its resources away first.
    let cluster = &lab.cluster;
    for node in ["n1", "n2", "n3"] {
        let daemon = lab.daemon(node).unwrap();
        rustix::process::kill_process(daemon, rustix::process::Signal::TERM).unwrap();
        lab.wait("the end of the daemon", LIMIT, |_| !cluster.system.runs(&cluster.bed, node));
        let left = ["a", "b", "x", "y", "lone"].iter().any(|r| audited.service(node, r).is_some());
        assert!(!left, "{node} ended and left services behind");
        audited.audit_all_running();
        cluster.system.start(&cluster.bed, node).unwrap();
        lab.wait("the return of the node", LIMIT, |lab| {
            lab.json(audited.speaker(), &["status"])["nodes"]
                .as_array()
                .is_some_and(|nodes| nodes.iter().all(|node| node["state"] == "online"))
        });
    }
    audited.audit_all_running();
}
