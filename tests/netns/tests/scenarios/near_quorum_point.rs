//! Near the quorum point: node after node is lost, and comes back.

use std::time::Duration;

use haven_lab::Fault;
use haven_netns_tests::audits::audited;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
#[ignore = "forms a cluster and loses two of three nodes"]
fn with_two_of_three_all_runs_with_one_nothing_and_with_all_everything() {
    let Some(mut audited) = audited("s-quorum", "stonith-enabled=false") else { return };
    let kill = |audited: &mut haven_netns_tests::audits::Audited, node: &str| {
        audited.lab.cluster.inject(&Fault::Kill(node.into())).unwrap();
        audited.note_kill(node);
    };
    // Who is left coordinates, or does not: then nobody is there to tell it.
    for (first, second, left) in [("n3", "n2", "n1"), ("n1", "n2", "n3")] {
        kill(&mut audited, first);
        audited.audit_all_running();
        kill(&mut audited, second);
        audited.lab.wait("the loss of the quorum", LIMIT, |lab| {
            lab.json(left, &["status"])["quorum"]["quorate"] == false
        });
        audited.lab.wait("the stop of everything", LIMIT, |_| {
            ["a", "b", "x", "y", "lone"].iter().all(|resource| audited.node_of(resource).is_none())
        });
        audited.wait_settled();
        audited.audit();
        audited.lab.cluster.restore().unwrap();
        audited.audit_all_running();
    }
}
