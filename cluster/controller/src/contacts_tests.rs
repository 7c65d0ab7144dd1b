//! A node that was away catches up with a leader it has never heard of.

use std::collections::BTreeSet;

use haven_consensus::{Input as ToLog, Recovered};
use haven_types::{LogIndex, NodeId};

use crate::bench::{Bench, member};
use crate::controller::Internal;
use crate::port::Input;

/// Three members of whom one is away while a fourth joins and comes to lead; the one away.
fn led_by_a_newcomer() -> (Bench, u16, crate::controller::Controller) {
    let mut bench = Bench::new("");
    let at = bench.coordinator();
    let away = *bench.ids().iter().rev().find(|id| **id != at).unwrap();
    let left = bench.nodes.remove(&NodeId(away)).unwrap();
    bench.notice(away);
    bench.join_fourth();
    let known = bench.nodes[&NodeId(at)].state().members.values().cloned().collect();
    bench.boot_from(4, Recovered::blank(), known);
    bench.all_hear_all();
    bench.run(10_000);
    let controller = bench.nodes.get_mut(&NodeId(at)).unwrap();
    let transfer = Internal::Consensus(ToLog::TransferLeadership(NodeId(4)));
    controller.inbox.push_back(transfer);
    bench.step(at, Input::Tick);
    bench.run(3_000);
    assert_eq!(bench.coordinator(), 4);
    (bench, away, left)
}

#[test]
fn a_node_that_was_away_catches_up_with_a_leader_it_does_not_know() {
    let (mut bench, away, left) = led_by_a_newcomer();
    assert!(!left.state().members.contains_key(&NodeId(4)));
    bench.nodes.insert(NodeId(away), left);
    // It bears its silent coordinator for 5 s after a first time-out of 2 s to 4 s.
    bench.run(11_000);
    let back = &bench.nodes[&NodeId(away)];
    assert_eq!(back.leader(), Some(NodeId(4)), "{:?}", back.consensus_status());
    assert!(back.state().members.contains_key(&NodeId(4)));
    assert_eq!(bench.coordinator(), 4, "nobody was disturbed");
    // Its own log has come as far: what was learnt serves no more.
    assert_eq!(back.contacts(), &back.state().members);
}

#[test]
fn contacts_are_taken_from_a_longer_log_only_and_name_nobody_else_a_member() {
    let mut bench = Bench::new("");
    let id = *bench.ids().first().unwrap();
    let clock = bench.clock();
    let controller = bench.nodes.get_mut(&NodeId(id)).unwrap();
    controller.out.clear();
    let (here, own) = (controller.applied, NodeId(id));
    let later = |by: u64| LogIndex(here.0 + by);
    let list = |ids: &[u16]| ids.iter().map(|id| member(*id)).collect::<Vec<_>>();
    let known = |it: &crate::controller::Controller| -> BTreeSet<u16> {
        it.contacts().keys().map(|n| n.0).collect()
    };
    let own_list = BTreeSet::from([1, 2, 3]);
    for (applied, told) in [(here, list(&[1, 2, 3, 4])), (later(3), list(&[7, 8]))] {
        controller.on_members_told(applied, told);
        assert_eq!(known(controller), own_list, "no newer, or without node {own}");
    }
    controller.on_members_told(later(3), list(&[1, 2, 4]));
    assert_eq!(known(controller), BTreeSet::from([1, 2, 4]));
    controller.on_members_told(later(2), list(&[1, 2, 3, 5]));
    assert_eq!(known(controller), BTreeSet::from([1, 2, 4]), "an older list");
    let out = std::mem::take(&mut controller.out);
    assert!(
        matches!(&out[..], [crate::port::Output::Members(members)] if members.len() == 3),
        "the shell learns it once, the lease and the detector never: {out:?}"
    );
    let members: BTreeSet<u16> = controller.state().members.keys().map(|node| node.0).collect();
    assert_eq!(members, own_list);
    // The own log has come as far.
    controller.applied = later(3);
    assert_eq!(known(controller), own_list);
    // Whoever is as far is not answered, and strangers are not.
    for (from, applied, answered) in [(2, later(3), false), (9, here, false), (2, here, true)] {
        controller.on_members_wanted(NodeId(from), applied);
        assert_eq!(controller.out.drain(..).count() == 1, answered, "{from} at {applied}");
    }
    controller.ask_for_members(clock);
    assert!(controller.out.is_empty(), "somebody leads");
}
