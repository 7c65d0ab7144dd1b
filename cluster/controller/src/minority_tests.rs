//! What a node does that is left alone and did not coordinate.

use std::collections::BTreeSet;
use std::time::Duration;

use haven_heartbeat::{Output as Beat, View};
use haven_types::{BootId, NodeId};

use crate::bench::Bench;

/// Loses the coordinator and the third node; the one that runs the group `g` of `a` and `b` is left.
fn left_alone(policy: &str) -> (Bench, u16) {
    let lines = "primitive a ocf:pacemaker:Dummy\nprimitive b ocf:pacemaker:Dummy\ngroup g a b";
    let mut bench =
        Bench::new(&format!("{lines}\nproperty stonith-enabled=false no-quorum-policy={policy}"));
    let coordinator = bench.coordinator();
    let left = bench.ids().into_iter().find(|id| *id != coordinator).unwrap();
    bench.load(coordinator, &format!("location there g inf: n{left}"), false).unwrap();
    bench.run(5_000);
    assert_eq!(bench.called("b_start_0").last(), Some(&left));
    bench.calls.clear();
    let gone: Vec<u16> = bench.ids().into_iter().filter(|id| *id != left).collect();
    for id in &gone {
        bench.kill(*id);
        let silent = Duration::from_millis(60);
        bench.beat(left, Beat::Suspect { node: NodeId(*id), boot: BootId(1), silent });
    }
    let members = BTreeSet::from([NodeId(left)]);
    bench.beat(left, Beat::View(View { number: 3, members }));
    (bench, left)
}

#[test]
fn a_node_left_alone_stops_by_itself_in_order_what_may_not_run_on() {
    let (mut bench, left) = left_alone("stop");
    bench.run(1_500);
    assert_eq!(bench.called("b_stop_0"), [0_u16; 0], "a short split stops nothing");
    bench.run(1_500);
    assert_eq!(bench.called("a_stop_0"), [left], "one wave follows the other at once");
    bench.run(20_000);
    let stops = bench.calls.iter().filter(|(_, _, called)| called.ends_with("_stop_0"));
    let stops: Vec<(u16, &str)> = stops.map(|(_, at, called)| (*at, called.as_str())).collect();
    assert_eq!(stops, [(left, "b_stop_0"), (left, "a_stop_0")], "once each");
    let told = bench.events.iter().filter(|(at, code, _)| (*at, code.as_str()) == (left, "HV1207"));
    assert_eq!(told.count(), 2);
}

#[test]
fn who_hears_somebody_who_coordinates_leaves_the_stops_to_it() {
    let (mut bench, left) = left_alone("stop");
    for _ in 0..100 {
        // Nobody is there to be heard; who leads is forgotten again and again.
        bench.nodes.get_mut(&NodeId(left)).unwrap().leader = Some(NodeId(left % 3 + 1));
        bench.run(100);
    }
    assert_eq!(bench.called("b_stop_0"), [0_u16; 0]);
}

#[test]
fn what_may_run_on_without_a_majority_runs_on() {
    for policy in ["ignore", "freeze"] {
        let (mut bench, _) = left_alone(policy);
        bench.run(20_000);
        assert_eq!(bench.called("b_stop_0"), [0_u16; 0], "{policy}");
    }
}

#[test]
fn a_stop_that_fails_is_not_tried_for_ever_and_nothing_below_it_is_stopped() {
    let (mut bench, left) = left_alone("stop");
    bench.codes.insert((left, "b_stop_0".to_owned()), 1);
    bench.run(60_000);
    assert_eq!(bench.called("b_stop_0"), [left]);
    assert_eq!(bench.called("a_stop_0"), [0_u16; 0]);
}
