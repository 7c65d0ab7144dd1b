//! When a new plan is made, and that none waits for what is under way (ADR 22).

use std::fmt::Write as _;

use haven_types::NodeId;

use crate::bench::{Bench, VIP};

const SLOW: &str = "primitive slow ocf:haven:ip params ip=192.0.2.20 nic=eth0 \
                    op start timeout=600s interval=0";

fn planned(bench: &Bench) -> u64 {
    let coordinator = &bench.nodes[&NodeId(bench.coordinator())].coordinator;
    coordinator.as_ref().unwrap().planned
}

#[test]
fn a_start_of_ten_minutes_delays_nothing_unrelated() {
    let mut bench = Bench::new("property stonith-enabled=false");
    let coordinator = bench.coordinator();
    let mut others = (1..=3).filter(|id| *id != coordinator);
    let (slow, owner) = (others.next().unwrap(), others.next().unwrap());
    bench.hanging.insert("slow_start_0".to_owned());
    let lines =
        format!("{SLOW}\n{VIP}\nlocation a slow inf: n{slow}\nlocation b vip 100: n{owner}");
    bench.load(coordinator, &lines, false).unwrap();
    assert_eq!((bench.called("slow_start_0"), bench.owner()), (vec![slow], owner));
    let started = |bench: &Bench, key: &str| {
        let last = bench.calls.iter().rev().find(|call| call.2 == key);
        last.map(|call| (call.0, call.1)).unwrap()
    };
    // Something is added, on the same node as well.
    let before = bench.now;
    let other = "primitive other ocf:haven:ip params ip=192.0.2.30 nic=eth0";
    bench.load(coordinator, &format!("{other}\nlocation c other inf: n{slow}"), false).unwrap();
    let (at, node) = started(&bench, "other_start_0");
    assert!(at - before < 100 && node == slow, "{:?}", bench.calls);
    // A node dies that has nothing to do with it.
    bench.kill(owner);
    let before = bench.now;
    bench.notice(owner);
    bench.run(200);
    let (at, node) = started(&bench, "vip_start_0");
    assert!(at > before && node != owner, "{:?}", bench.calls);
    // Something else fails, and is recovered.
    bench.codes.insert((slow, "other_monitor_10000".to_owned()), 7);
    let before = bench.now;
    let monitored = format!("{other} op monitor interval=10s");
    bench.load(coordinator, &monitored, false).unwrap();
    assert!(started(&bench, "other_stop_0").0 > before, "{:?}", bench.calls);
    assert_eq!(bench.called("slow_start_0"), [slow], "it is neither aborted nor asked twice");
    bench.codes.clear();
    bench.run(20_000);
    let planned = planned(&bench);
    bench.run(60_000);
    assert_eq!(planned, self::planned(&bench), "waiting needs no plans");
}

#[test]
fn results_that_the_plan_expected_need_no_new_plan() {
    let mut bench = Bench::new("property stonith-enabled=false");
    let coordinator = bench.coordinator();
    let before = planned(&bench);
    let mut lines = String::new();
    for number in 0..60 {
        let _ = writeln!(lines, "primitive d{number} ocf:pacemaker:Dummy op monitor interval=10s");
    }
    bench.load(coordinator, &lines, false).unwrap();
    for number in 0..60 {
        assert_eq!(bench.called(&format!("d{number}_monitor_0")).len(), 3);
        assert_eq!(bench.called(&format!("d{number}_start_0")).len(), 1);
        assert_eq!(bench.called(&format!("d{number}_monitor_10000")).len(), 1);
    }
    // 180 probes, 60 starts and 60 monitors were answered.
    assert!(planned(&bench) - before <= 3, "{} plans", planned(&bench) - before);
}

#[test]
fn a_result_that_the_plan_did_not_expect_is_planned_anew_at_once() {
    let mut bench = Bench::new("property stonith-enabled=false start-failure-is-fatal=true");
    let coordinator = bench.coordinator();
    for id in 1..=3 {
        bench.codes.insert((id, "d_start_0".to_owned()), 1);
    }
    let before = bench.now;
    bench.load(coordinator, "primitive d ocf:pacemaker:Dummy", false).unwrap();
    let starts: Vec<_> = bench.calls.iter().filter(|call| call.2 == "d_start_0").collect();
    assert_eq!(starts.len(), 3, "one node after the other: {starts:?}");
    assert!(starts[2].0 - before < 200, "{starts:?}");
}
