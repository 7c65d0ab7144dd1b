//! Standby, of each node in turn.

use std::time::Duration;

use haven_netns_tests::audits::audited;

#[test]
#[ignore = "forms a cluster and sends each node into standby"]
fn a_node_in_standby_is_empty_and_comes_back() {
    let Some(audited) = audited("s-standby", "stonith-enabled=false") else { return };
    for node in ["n1", "n2", "n3"] {
        audited.lab.haven("n1", &["node", "standby", node]).unwrap();
        audited.lab.wait("an empty node", Duration::from_secs(30), |_| {
            ["a", "b", "x", "y", "lone"].iter().all(|r| audited.service(node, r).is_none())
        });
        audited.audit_all_running();
        audited.lab.haven("n1", &["node", "online", node]).unwrap();
        audited.wait_settled();
        audited.audit_all_running();
    }
}
