//! Moves and bans for some time: written as rules, shown, over by themselves, cleared.

use std::time::Duration;

use haven_api::{Code, Format, Intent, ReplyBody, RequestBody};
use haven_transition::Input as ToEngine;
use haven_types::NodeId;

use crate::bench::{Bench, VIP};
use crate::port::{Clock, Input, Output};

const LINES: &str = "\
primitive a ocf:haven:Dummy op monitor interval=10s
primitive a2 ocf:haven:Dummy op monitor interval=10s
property stonith-enabled=false";

fn to(resource: &str, node: Option<&str>, lifetime: Option<&str>) -> RequestBody {
    RequestBody::ResourceMove {
        resource: resource.to_owned(),
        node: node.map(str::to_owned),
        lifetime: lifetime.map(str::to_owned),
        wait: true,
        timeout_ms: Some(5_000),
    }
}

fn intents(bench: &mut Bench) -> Vec<Intent> {
    match bench.answer(1, RequestBody::Status) {
        Ok(ReplyBody::Status(status)) => status.intents,
        other => panic!("{other:?}"),
    }
}

fn place(bench: &Bench, resource: &str) -> u16 {
    *bench.called(&format!("{resource}_start_0")).last().unwrap()
}

fn elsewhere(node: u16) -> String {
    format!("n{}", node % 3 + 1)
}

fn cleared(bench: &mut Bench, resource: Option<&str>, expired: bool) -> String {
    let resource = resource.map(str::to_owned);
    match bench.answer(2, RequestBody::ResourceClear { resource, expired }) {
        Ok(ReplyBody::Done(notice)) => notice.text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_move_with_a_lifetime_is_a_rule_that_ends_and_can_be_cleared_when_it_has() {
    let mut bench = Bench::new(LINES);
    bench.run(1_000);
    let other = elsewhere(place(&bench, "a"));
    bench.answer(1, to("a", Some(&other), Some("PT30S"))).unwrap();
    assert_eq!(format!("n{}", place(&bench, "a")), other);
    let shown = bench.answer(1, RequestBody::ConfigureShow { format: Format::Xml }).unwrap();
    let ReplyBody::Configuration { text, .. } = shown else { panic!("{shown:?}") };
    for part in [
        "<rsc_location id=\"cli-prefer-a\" rsc=\"a\"",
        "id=\"cli-prefer-rule-a\" score=\"INFINITY\"",
        "id=\"cli-prefer-expr-a\"",
        "<date_expression id=\"cli-prefer-lifetime-end-a\" operation=\"lt\" end=\"",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let found = intents(&mut bench);
    assert!(
        !found[0].expired && found[0].wish.starts_with(&format!("prefer {other} until ")),
        "{found:?}"
    );
    assert!(cleared(&mut bench, None, true).contains("no expired"));
    assert_eq!(intents(&mut bench).len(), 1);
    bench.run(31_000);
    let found = intents(&mut bench);
    assert!(found[0].expired && found[0].wish.ends_with("(expired)"), "{found:?}");
    assert!(cleared(&mut bench, None, true).contains("cli-prefer-a"));
    assert_eq!(intents(&mut bench), []);
}

#[test]
fn a_ban_ends_and_a_clear_forgets_only_what_is_of_that_resource() {
    let mut bench = Bench::new(LINES);
    bench.run(1_000);
    let home = place(&bench, "a");
    // Away from where it runs, for a while.
    bench.answer(1, to("a", None, Some("PT20S"))).unwrap();
    assert_ne!(place(&bench, "a"), home);
    let other = elsewhere(place(&bench, "a2"));
    bench.answer(1, to("a2", Some(&other), None)).unwrap();
    assert_eq!(intents(&mut bench).len(), 2);
    assert!(cleared(&mut bench, Some("a"), true).contains("no expired"));
    bench.run(21_000);
    assert!(cleared(&mut bench, Some("a2"), true).contains("no expired"));
    assert!(cleared(&mut bench, Some("a"), false).contains(&format!("cli-ban-a-on-n{home}")));
    let left = intents(&mut bench);
    assert_eq!((left.len(), left[0].constraint.as_str()), (1, "cli-prefer-a2"), "{left:?}");
}

#[test]
fn a_lifetime_that_is_none_and_a_clear_of_nothing_named_are_refused() {
    let mut bench = Bench::new(LINES);
    bench.run(1_000);
    for wrong in ["30", "P", "tomorrow"] {
        let error = bench.answer(1, to("a", Some("n1"), Some(wrong))).unwrap_err();
        assert_eq!(error.code, Code::Usage);
        assert!(error.remedy.unwrap().contains("PT30M"));
    }
    let all = RequestBody::ResourceClear { resource: None, expired: false };
    assert_eq!(bench.answer(1, all).unwrap_err().code, Code::Usage);
    assert_eq!(intents(&mut bench), []);
}

/// The owner serves on while the log learns of its successor, whichever node coordinates.
#[test]
fn an_owner_is_stopped_once_its_successor_is_granted_the_lease() {
    let mut bench = Bench::new(VIP);
    for _ in 0..6 {
        let (owner, (epoch, _)) = (bench.owner(), bench.grant());
        let stops = bench.called("vip_stop_0").len();
        let target = elsewhere(owner);
        bench.ask(1, to("vip", Some(&target), None));
        let coordinator = NodeId(bench.coordinator());
        for _ in 0..200 {
            if bench.called("vip_stop_0").len() > stops {
                break;
            }
            bench.run(1);
        }
        assert_eq!(bench.called("vip_stop_0").last(), Some(&owner));
        let grant = bench.nodes[&coordinator].state().grants["vip"];
        assert_eq!(
            (grant.epoch.0, format!("n{}", grant.holder.unwrap())),
            (epoch.0 + 1, target.clone())
        );
        bench.run(1_000);
        assert_eq!(format!("n{}", bench.owner()), target);
        assert_eq!(bench.grant().0.0, epoch.0 + 1, "one grant is enough");
    }
}

fn waits(bench: &Bench, at: u16) -> bool {
    let coordinator = bench.nodes[&NodeId(at)].coordinator.as_ref();
    coordinator.is_some_and(|it| !it.awaiting.is_empty())
}

/// The coordinator owns the address, shall give it to another, and its stop waits for that one's grant.
fn stop_that_waits() -> (Bench, u16) {
    let mut bench = Bench::new(VIP);
    let at = bench.coordinator();
    bench.answer(at, to("vip", Some(&format!("n{at}")), None)).unwrap();
    bench.run(1_000);
    assert_eq!(bench.owner(), at);
    bench.calls.clear();
    bench.ask(at, to("vip", Some(&elsewhere(at)), None));
    for _ in 0..200 {
        if waits(&bench, at) {
            break;
        }
        bench.run(1);
    }
    assert!(waits(&bench, at));
    assert_eq!(bench.called("vip_stop_0").len(), 0);
    (bench, at)
}

#[test]
fn an_order_that_was_never_given_is_not_told_as_one_that_was_never_answered() {
    let (mut bench, at) = stop_that_waits();
    let late = bench.clock();
    let late = Clock { now: late.now + Duration::from_secs(3_600), ..late };
    let controller = bench.nodes.get_mut(&NodeId(at)).unwrap();
    controller.step_engine(late, ToEngine::Tick);
    let texts = controller.out.iter().filter_map(|output| match output {
        Output::Event(event) if event.code == "HV1603" => Some(event.text.clone()),
        _ => None,
    });
    let texts: Vec<String> = texts.collect();
    let [text] = &texts[..] else { panic!("{texts:?}") };
    let told = format!(
        "vip_stop_0 on n{at} was never ordered, as the log did not grant the lease of vip to n"
    );
    assert!(text.starts_with(&told), "{text}");
}

#[test]
fn a_move_whose_grant_is_not_taken_is_told_as_given_up_and_planned_again() {
    let (mut bench, at) = stop_that_waits();
    let clock = bench.clock();
    bench.nodes.get_mut(&NodeId(at)).unwrap().on_grant_dropped(clock, "vip");
    bench.step(at, Input::Tick);
    let told = bench.events.iter().filter(|(_, code, _)| code == "HV1602");
    let told: Vec<&str> = told.map(|(.., text)| text.as_str()).collect();
    let [text] = told[..] else { panic!("{told:?}") };
    let named = format!("vip stop on n{at} failed or was given up and kept back ");
    assert!(text.starts_with(&named), "{text}");
    assert!(text.contains("; the next plan holds what is still to be done"), "{text}");
    let planned = |bench: &Bench| {
        bench.nodes[&NodeId(at)].coordinator.as_ref().map_or(0, |coordinator| coordinator.planned)
    };
    let before = planned(&bench);
    bench.run(1_000);
    assert!(planned(&bench) > before);
}

/// The plan changes while the grant of the successor is being written, and may never be.
#[test]
fn a_stop_does_not_wait_for_a_successor_that_is_planned_no_more() {
    let (mut bench, at) = stop_that_waits();
    let others: Vec<u16> = bench.ids().into_iter().filter(|id| *id != at).collect();
    for id in &others {
        bench.kill(*id);
    }
    for id in &others {
        bench.notice(*id);
    }
    bench.run(20);
    assert!(!waits(&bench, at));
    assert_eq!(bench.called("vip_stop_0").len(), 1, "without a majority it stops at once");
}
