use haven_base::WallTime;

use super::*;
use crate::{
    Active, Coordinator, FailedAction, LinkHealth, LinkState, QuorumStatus, ResourceKind, Version,
    Vote,
};

fn node(name: &str, id: u16) -> NodeStatus {
    NodeStatus {
        name: name.into(),
        id,
        witness: false,
        state: NodeState::Online,
        for_ms: Some(1000),
        running: 0,
        links: Vec::new(),
        trouble: None,
    }
}

fn vip() -> ResourceStatus {
    ResourceStatus {
        id: "vip".into(),
        kind: ResourceKind::Primitive,
        agent: Some("ocf:haven:ip".into()),
        target: Role::Started,
        managed: true,
        active: vec![Active { node: "n1".into(), role: Role::Started, for_ms: Some(5) }],
        lease: None,
        unprotected: None,
        fail_count: 0,
        trouble: None,
        children: Vec::new(),
    }
}

fn three_nodes() -> Status {
    let votes =
        ["n1", "n2", "n3"].map(|name| Vote { node: name.into(), votes: 1, present: true }).to_vec();
    Status {
        verdict: Verdict::default(),
        cluster: "demo".into(),
        node: "n1".into(),
        at: WallTime::from_seconds(0),
        configuration: Version::default(),
        coordinator: Some(Coordinator { node: "n1".into(), term: 3, for_ms: 1 }),
        quorum: QuorumStatus {
            quorate: true,
            present: 3,
            expected: 3,
            needed: 2,
            reason: "3 of 3 votes".into(),
            remedy: None,
            votes,
        },
        nodes: vec![node("n1", 1), node("n2", 2), node("n3", 3)],
        resources: vec![vip()],
        intents: Vec::new(),
        failed: Vec::new(),
        pending: Vec::new(),
        alarms: Vec::new(),
    }
}

fn verdict_after(change: impl FnOnce(&mut Status)) -> Verdict {
    let mut status = three_nodes();
    change(&mut status);
    status.judge();
    status.verdict
}

#[test]
fn an_address_whose_holder_is_silent_is_down_whatever_runs() {
    for (gate, holder, level) in [
        (Gate::Open, Some("n1"), Level::Ok),
        (Gate::Unknown, Some("n1"), Level::Ok),
        (Gate::Closed, Some("n1"), Level::Down),
    ] {
        let holder = holder.map(str::to_owned);
        let lease = LeaseState { epoch: 1, holder, left_ms: None, duration_ms: None, gate };
        let verdict = verdict_after(|status| status.resources[0].lease = Some(lease));
        assert_eq!(verdict.level, level, "{gate:?}: {verdict}");
    }
    let text = verdict_after(|status| {
        let (holder, gate) = (Some("n1".to_owned()), Gate::Closed);
        let lease = LeaseState { epoch: 1, holder, left_ms: None, duration_ms: None, gate };
        status.resources[0].lease = Some(lease);
        status.resources[0].trouble = Some("no majority".to_owned());
    });
    assert_eq!(text.causes[0], "vip is silent: no majority");
}

#[test]
fn three_healthy_nodes_are_ok_and_survive_one_loss() {
    let verdict = verdict_after(|_| {});
    assert_eq!((verdict.level, verdict.survives), (Level::Ok, 1));
    assert_eq!(verdict.to_string(), "OK");
}

#[test]
fn a_lost_node_leaves_the_cluster_at_risk() {
    let verdict = verdict_after(|status| {
        status.nodes[2].state = NodeState::Offline;
        status.quorum.votes[2].present = false;
        status.quorum.present = 2;
    });
    assert_eq!((verdict.level, verdict.survives), (Level::AtRisk, 0));
    assert!(verdict.causes.iter().any(|cause| cause == "n3 is offline"), "{verdict:?}");
}

#[test]
fn five_nodes_survive_two_losses_and_a_witness_hosts_nothing() {
    let verdict = verdict_after(|status| {
        for (name, id) in [("n4", 4), ("n5", 5)] {
            status.nodes.push(node(name, id));
            status.quorum.votes.push(Vote { node: name.into(), votes: 1, present: true });
        }
        status.quorum.needed = 3;
    });
    assert_eq!(verdict.survives, 2);
    let verdict = verdict_after(|status| {
        status.nodes[1].witness = true;
        status.nodes[2].witness = true;
    });
    assert_eq!(verdict.survives, 0, "the only host may not fail");
}

#[test]
fn no_quorum_and_a_stopped_service_are_down() {
    let verdict = verdict_after(|status| {
        status.quorum.quorate = false;
        status.quorum.reason = "1 of 3 votes, 2 needed".into();
    });
    assert_eq!(verdict.to_string(), "DOWN: no quorum: 1 of 3 votes, 2 needed");
    let verdict = verdict_after(|status| {
        status.resources[0].active.clear();
        status.resources[0].trouble = Some("no node may run it".into());
    });
    assert_eq!(verdict.to_string(), "DOWN: vip is stopped: no node may run it");
    let verdict = verdict_after(|status| {
        status.resources[0].active.clear();
        status.resources[0].target = Role::Stopped;
    });
    assert_eq!(verdict.level, Level::Ok, "stopped on purpose");
}

#[test]
fn the_gravest_cause_comes_first() {
    let verdict = verdict_after(|status| {
        status.failed.push(FailedAction {
            resource: "web".into(),
            operation: "monitor".into(),
            interval_ms: 10_000,
            node: "n2".into(),
            rc: 7,
            reason: "not running".into(),
            ago_ms: 5,
            later_succeeded: false,
        });
        status.nodes[1].links.push(LinkHealth {
            number: 1,
            state: LinkState::Down,
            rtt_us: None,
            loss_permille: 1000,
        });
        status.resources[0].unprotected = Some("lease=off".into());
    });
    assert_eq!(verdict.level, Level::AtRisk);
    assert_eq!(
        verdict.causes,
        ["vip is UNPROTECTED: lease=off", "link 1 to n2 is down", "1 failed action not cleaned up"]
    );
}

#[test]
fn trouble_in_a_group_names_the_member() {
    let verdict = verdict_after(|status| {
        let mut member = vip();
        member.id = "web".into();
        member.active.clear();
        let mut group = vip();
        group.id = "site".into();
        group.kind = ResourceKind::Group;
        group.children = vec![vip(), member];
        status.resources = vec![group];
    });
    assert_eq!(verdict.to_string(), "DOWN: web is stopped");
}
