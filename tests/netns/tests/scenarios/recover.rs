//! Resource recover: a service dies behind the cluster's back.

use std::time::Duration;

use haven_netns_tests::audits::audited;

#[test]
fn a_service_that_dies_is_restarted_where_it_was_with_what_depends_on_it() {
    let Some(audited) = audited("s-recover", "stonith-enabled=false") else { return };
    for resource in ["lone", "a", "x", "b"] {
        let node = audited.node_of(resource).unwrap();
        let dead = audited.service(node, resource);
        audited.kill_service(node, resource);
        audited.lab.wait("the restart", Duration::from_secs(10), |_| {
            audited.service(node, resource).is_some_and(|pid| Some(pid) != dead)
        });
        audited.audit_all_running();
        assert_eq!(audited.node_of(resource), Some(node), "{resource} moved");
    }
}
