//! What the coordinator hands out to plan with is what it plans with.

use haven_api::{Format, ReplyBody, RequestBody};
use haven_base::WallTime;
use haven_cib::Cib;
use haven_policy::{Options, Question, explain, schedule};

use crate::bench::{Bench, VIP};

fn planning_input(bench: &mut Bench, asked: u16) -> String {
    let answer = bench.answer(asked, RequestBody::PlanningInput).unwrap();
    let ReplyBody::Configuration { format: Format::Xml, text, .. } = answer else {
        panic!("{answer:?}")
    };
    text
}

#[test]
fn any_node_hands_out_what_the_coordinator_plans_with() {
    let mut bench = Bench::new("property stonith-enabled=false");
    let coordinator = bench.coordinator();
    let home = (1..=3).find(|id| *id != coordinator).unwrap();
    bench.load(coordinator, &format!("{VIP}\nlocation here vip 100: n{home}"), false).unwrap();
    bench.run(5_000);
    assert_eq!(bench.owner(), home);
    for asked in 1..=3 {
        let text = planning_input(&mut bench, asked);
        let (cib, status) = Cib::from_xml(&text).unwrap();
        let now = WallTime::from_seconds(status.recorded_at.unwrap());
        let age = bench.clock().wall.seconds - now.seconds;
        assert!((0..=2).contains(&age), "asked n{asked}: {age} s old");
        // Everything is as it should be: nothing to do, and it is where it was put.
        let decision = schedule(&cib, &status, now, &Options::default());
        assert!(decision.graph.actions.is_empty(), "{:?}", decision.graph);
        let places: Vec<_> =
            decision.placements.iter().map(|p| (p.resource.as_str(), p.node.clone())).collect();
        assert_eq!(places, [("vip", format!("n{home}"))]);
    }
}

#[test]
fn the_cluster_s_own_input_explains_where_a_resource_went() {
    let mut bench = Bench::new("property stonith-enabled=false");
    let coordinator = bench.coordinator();
    let home = (1..=3).find(|id| *id != coordinator).unwrap();
    bench.load(coordinator, &format!("{VIP}\nlocation here vip 100: n{home}"), false).unwrap();
    bench.kill(home);
    bench.notice(home);
    bench.run(5_000);
    let heir = bench.owner();
    assert_ne!(heir, home);
    let asked = (1..=3).find(|id| *id != home && *id != coordinator).unwrap();
    let (cib, status) = Cib::from_xml(&planning_input(&mut bench, asked)).unwrap();
    let now = WallTime::from_seconds(status.recorded_at.unwrap());
    let question = Question { resource: "vip".to_owned(), node: None };
    let told = explain(&cib, &status, now, &Options::default(), &question, &mut || true).unwrap();
    let told = told.to_string();
    assert!(told.contains(&format!("n{heir}")) && told.contains("here"), "{told}");
}
