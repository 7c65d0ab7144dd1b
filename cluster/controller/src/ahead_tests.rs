use haven_api::{Code, Format, Load, ReplyBody, RequestBody, Version};

use crate::bench::Bench;

fn load(text: &str) -> RequestBody {
    RequestBody::ConfigureLoad(Load { text: text.to_owned(), ..Load::default() })
}

fn named(n: usize) -> RequestBody {
    load(&format!("tag t{n} n1"))
}

fn shown(bench: &mut Bench, node: u16) -> (Version, String) {
    match bench.answer(node, RequestBody::ConfigureShow { format: Format::Crm }) {
        Ok(ReplyBody::Configuration { version, text, .. }) => (version, text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn changes_asked_for_at_once_are_all_made_each_under_its_own_version() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    let (before, _) = shown(&mut bench, coordinator);
    let asked: Vec<u64> = (0..16).map(|n| bench.ask(coordinator, named(n))).collect();
    bench.run(1_000);
    let made: Vec<u64> = asked
        .iter()
        .map(|id| match &bench.answers[id][0] {
            Ok(ReplyBody::Committed { version, changed, .. }) => {
                assert_eq!(changed.len(), 1, "{changed:?}");
                version.epoch - before.epoch
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(made, (1..=16).collect::<Vec<_>>());
    let all = shown(&mut bench, coordinator);
    assert!((0..16).all(|n| all.1.contains(&format!("tag t{n}: n1"))), "{}", all.1);
    for node in bench.ids() {
        assert_eq!(shown(&mut bench, node), all, "on n{node}");
        let log = bench.answer(node, RequestBody::ConfigureLog { limit: Some(16) }).unwrap();
        let ReplyBody::ConfigurationLog(rows) = log else { panic!("{log:?}") };
        assert!(rows.iter().all(|row| row.changed.len() == 1), "{rows:?}");
    }
    let coordinator = &bench.nodes[&haven_types::NodeId(coordinator)];
    assert!(coordinator.ahead.is_none(), "nothing is proposed any more");
}

#[test]
fn who_expects_a_version_is_compared_with_what_is_in_force() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    let (expected, _) = shown(&mut bench, coordinator);
    let expecting = |n| {
        let (text, expected) = (format!("tag t{n} n1"), Some(expected));
        RequestBody::ConfigureLoad(Load { text, expected, ..Load::default() })
    };
    let asked: Vec<u64> = (0..4).map(|n| bench.ask(coordinator, expecting(n))).collect();
    let other = bench.ask(coordinator, named(9));
    bench.run(1_000);
    assert!(bench.answers[&asked[0]][0].is_ok(), "{:?}", bench.answers[&asked[0]]);
    for id in &asked[1..] {
        assert_eq!(bench.answers[id][0].as_ref().unwrap_err().code, Code::StaleWrite);
    }
    assert!(bench.answers[&other][0].is_ok(), "{:?}", bench.answers[&other]);
    let (_, text) = shown(&mut bench, coordinator);
    assert!(text.contains("tag t0:") && !text.contains("tag t1:") && text.contains("tag t9:"));
}

#[test]
fn who_wants_what_is_proposed_already_is_answered_with_it() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    let (before, _) = shown(&mut bench, coordinator);
    let (first, second) = (bench.ask(coordinator, named(1)), bench.ask(coordinator, named(1)));
    bench.run(1_000);
    for id in [first, second] {
        let Ok(ReplyBody::Committed { version, .. }) = &bench.answers[&id][0] else {
            panic!("{:?}", bench.answers[&id])
        };
        assert_eq!(version.epoch, before.epoch + 1);
    }
    assert_eq!(shown(&mut bench, coordinator).0.epoch, before.epoch + 1, "one change");
}

#[test]
fn what_is_made_from_a_change_that_is_lost_is_lost_too() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    let (before, _) = shown(&mut bench, coordinator);
    // Between making and applying, somebody else's change comes into force: a node joins.
    let asked: Vec<u64> = (0..3).map(|n| bench.ask(coordinator, named(n))).collect();
    let same = bench.ask(coordinator, named(2));
    let controller = bench.nodes.get_mut(&haven_types::NodeId(coordinator)).unwrap();
    controller.state.cib.version.num_updates += 1;
    bench.run(1_000);
    for id in asked.iter().chain([&same]) {
        let error = bench.answers[id][0].as_ref().unwrap_err();
        assert_eq!(error.code, Code::StaleWrite, "{error}");
    }
    let (version, text) = shown(&mut bench, coordinator);
    assert_eq!((version.epoch, text.contains("tag t")), (before.epoch, false), "{text}");
    // And the next is made from what is in force.
    assert!(bench.answer(coordinator, named(7)).is_ok());
}

#[test]
fn changes_under_a_coordinator_that_ends_are_made_whole_or_not_at_all() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    let asked: Vec<u64> = (0..5).map(|n| bench.ask(coordinator, named(n))).collect();
    bench.nodes.remove(&haven_types::NodeId(coordinator));
    bench.notice(coordinator);
    bench.run(20_000);
    let next = bench.coordinator();
    let (_, text) = shown(&mut bench, next);
    // A later change is never there without those it was made from.
    let there: Vec<bool> = (0..asked.len()).map(|n| text.contains(&format!("tag t{n}:"))).collect();
    assert!(there.is_sorted_by(|a, b| a >= b), "{there:?}");
    assert!(bench.answer(next, named(8)).is_ok());
}
