//! Maintenance: whatever happens, nothing is done about it until it is over.

use std::time::Duration;

use haven_netns_tests::audits::audited;

#[test]
#[ignore = "forms a cluster and leaves a dead service alone"]
fn in_maintenance_nothing_is_touched_and_afterwards_all_is_mended() {
    let Some(audited) = audited("s-maint", "stonith-enabled=false") else { return };
    audited.load("property maintenance-mode=true\n");
    audited.wait_settled();
    let before = audited.changes();
    let node = audited.node_of("a").unwrap();
    audited.kill_service(node, "a");
    // The cluster is made to look: it learns that the service is gone, plans with that, and does nothing.
    let looked = audited.calls(node, "a");
    audited.lab.haven("n1", &["resource", "refresh", "a"]).unwrap();
    audited.lab.wait("a look at the dead service", Duration::from_secs(20), |_| {
        audited.calls(node, "a") > looked
    });
    audited.load("property batch-limit=12\n");
    audited.wait_settled();
    assert_eq!(audited.changes(), before, "something was started or stopped");
    assert_eq!(audited.node_of("a"), None);
    audited.load("property maintenance-mode=false\n");
    audited.audit_all_running();
    assert!(audited.changes() > before);
}
