//! What the coordinator hands out to plan with is what it plans with.

use haven_api::{Format, ReplyBody, RequestBody};
use haven_base::WallTime;
use haven_cib::Cib;
use haven_heartbeat::{Output as Beat, View};
use haven_policy::{Options, Question, explain, schedule};
use haven_types::NodeId;

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

#[test]
fn what_waits_for_the_end_of_a_lease_goes_on_once_the_node_is_dead() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    let home = (1..=3).find(|id| *id != coordinator).unwrap();
    let lines = format!(
        "primitive one ocf:heartbeat:Dummy meta requires=lease lease=off\n\
         clone c one meta clone-max=1\n\
         location here c 100: n{home}"
    );
    bench.load(coordinator, &lines, true).unwrap();
    bench.run(5_000);
    assert_eq!(bench.called("one_start_0"), [home]);
    bench.kill(home);
    bench.notice(home);
    let planned = |bench: &Bench| {
        let graph = bench.nodes[&NodeId(coordinator)].plan_in_force().unwrap();
        graph.actions.iter().any(|action| action.operation == "lease_ended")
    };
    assert!(planned(&bench), "the plan waits for it");
    bench.run(5_000);
    let starts = bench.called("one_start_0");
    assert_eq!(starts.len(), 2, "{starts:?}");
    assert_ne!(starts[1], home);
}

#[test]
fn a_node_that_some_member_cannot_reach_keeps_what_it_runs_where_nothing_fences() {
    let mut bench = Bench::new("property stonith-enabled=false");
    let coordinator = bench.coordinator();
    let home = (1..=3).find(|id| *id != coordinator).unwrap();
    let lines = format!(
        "{VIP}\nprimitive web ocf:haven:Dummy\nlocation here vip 100: n{home}\nlocation there web 100: n{home}"
    );
    bench.load(coordinator, &lines, true).unwrap();
    bench.run(5_000);
    let before = (bench.called("web_start_0"), bench.called("vip_start_0"), bench.grant());
    assert_eq!((&before.0, &before.1), (&vec![home], &vec![home]));
    // The third node hears the coordinator, which hears both: for a moment the view is those two.
    let members = (1..=3).filter(|id| *id != home).map(NodeId).collect();
    let view = View { number: 5, members };
    for id in bench.ids() {
        bench.beat(id, Beat::View(view.clone()));
    }
    bench.run(5_000);
    let after = (bench.called("web_start_0"), bench.called("vip_start_0"), bench.grant());
    assert_eq!(after, before, "nothing is started elsewhere, no lease changes hands");
    assert!(bench.called("web_stop_0").is_empty() && bench.called("vip_stop_0").is_empty());
}
