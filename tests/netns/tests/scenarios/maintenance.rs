//! Maintenance: whatever happens, nothing is done about it until it is over.

use std::time::Duration;

use haven_netns_tests::audits::audited;

#[test]
#[ignore = "forms a cluster and leaves it alone for seconds"]
fn in_maintenance_nothing_is_touched_and_afterwards_all_is_mended() {
    let Some(audited) = audited("s-maint", "stonith-enabled=false") else { return };
    audited.load("property maintenance-mode=true\n");
    audited.wait_settled();
    let before = audited.changes();
    let node = audited.node_of("a").unwrap();
    audited.kill_service(node, "a");
    // paced: six times the interval of its monitor
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(audited.changes(), before, "something was started or stopped");
    assert_eq!(audited.node_of("a"), None);
    audited.load("property maintenance-mode=false\n");
    audited.audit_all_running();
    assert!(audited.changes() > before);
}
