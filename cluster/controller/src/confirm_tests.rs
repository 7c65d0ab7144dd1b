//! Who is confirmed dead is let go of once, for one life, and never while it is heard.

use haven_api::{Code, NodeState, ReplyBody, RequestBody, Status};
use haven_heartbeat::{Output as Beat, View};
use haven_types::{BootId, NodeId};

use crate::bench::{Bench, VIP};

const LINES: &str = "property stonith-enabled=true\n\
    primitive fence stonith:fence_none\n\
    primitive web ocf:heartbeat:Dummy\n";

/// Three nodes, one of which runs `web` and the address and is not the coordinator.
fn scene() -> (Bench, u16) {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    let home = (1..=3).find(|id| *id != coordinator).unwrap();
    let places = format!(
        "location a vip 100: n{home}\nlocation b web 100: n{home}\n\
         location c fence 100: n{coordinator}"
    );
    let lines = format!("{LINES}{VIP}\n{places}");
    bench.load(coordinator, &lines, true).unwrap();
    bench.run(5_000);
    assert_eq!(bench.called("web_start_0"), [home]);
    (bench, home)
}

fn confirm(bench: &mut Bench, node: u16) -> Result<String, (Code, String)> {
    let body = RequestBody::NodeConfirmDead {
        node: format!("n{node}"),
        reason: "plug pulled".to_owned(),
        wait: false,
        timeout_ms: None,
    };
    let asked = bench.ids()[0];
    match bench.answer(asked, body) {
        Ok(ReplyBody::Done(notice)) => Ok(notice.text),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err((error.code, error.to_string())),
    }
}

fn status(bench: &mut Bench) -> Status {
    let asked = bench.coordinator();
    match bench.answer(asked, RequestBody::Status).unwrap() {
        ReplyBody::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

fn state_of(bench: &mut Bench, node: u16) -> NodeState {
    let name = format!("n{node}");
    status(bench).nodes.iter().find(|n| n.name == name).unwrap().state
}

/// The node's daemon was silent only: everybody hears it again.
fn heard_again(bench: &mut Bench, node: u16) {
    for other in bench.ids() {
        bench.beat(other, Beat::Alive { node: NodeId(node), boot: BootId(1) });
        let members = bench.ids().into_iter().chain([node]).map(NodeId).collect();
        bench.beat(other, Beat::View(View { number: 3, members }));
    }
}

#[test]
fn what_waits_for_a_dead_node_goes_on_once_it_is_confirmed_dead_and_no_sooner() {
    let (mut bench, home) = scene();
    let heard = confirm(&mut bench, home).unwrap_err();
    assert!(heard.0 == Code::Unsafe && heard.1.contains("it is heard"), "{heard:?}");
    bench.kill(home);
    bench.notice(home);
    bench.run(5_000);
    // The address moved under its lease; the rest waits, and status says for what.
    assert_ne!(bench.owner(), home);
    assert_eq!(bench.called("web_start_0"), [home]);
    assert_eq!(state_of(&mut bench, home), NodeState::Unclean);
    let alarm = status(&mut bench).alarms.join("\n");
    let remedy = format!("haven node confirm-dead n{home} --reason TEXT");
    assert!(alarm.contains(&remedy), "{alarm}");
    let asked = bench.events.iter().find(|(_, code, _)| code == "HV1701");
    assert!(asked.is_some_and(|(.., text)| text.ends_with(&remedy)), "{asked:?}");
    let early = confirm(&mut bench, home).unwrap_err();
    assert!(early.0 == Code::Unsafe && early.1.contains("try again in"), "{early:?}");
    bench.run(60_000);
    let epoch = bench.grant();
    let text = confirm(&mut bench, home).unwrap();
    assert_eq!(text, format!("n{home} is confirmed dead: web may start elsewhere"));
    bench.run(2_000);
    let started = bench.called("web_start_0");
    assert!(started.len() == 2 && started[1] != home, "{started:?}");
    assert_eq!(state_of(&mut bench, home), NodeState::Offline);
    assert_eq!(bench.grant(), epoch, "no lease is concerned");
    // Who did it and why stands in the log of commits; there is nothing in it to take back.
    let asked = bench.coordinator();
    let log = bench.answer(asked, RequestBody::ConfigureLog { limit: Some(1) }).unwrap();
    let ReplyBody::ConfigurationLog(rows) = log else { panic!("{log:?}") };
    assert_eq!(rows[0].author, "uid 0");
    assert_eq!(rows[0].changed, [format!("n{home}")]);
    assert!(rows[0].message.ends_with("(web): plug pulled"), "{}", rows[0].message);
    assert!(bench.events.iter().any(|(_, code, text)| code == "HV1702" && text.contains("uid 0")));
    // Asked twice, nothing waits any more.
    assert!(confirm(&mut bench, home).unwrap().starts_with("nothing waits for"));
}

#[test]
fn a_confirmation_is_over_when_the_node_is_heard_and_does_not_count_for_its_next_death() {
    let (mut bench, home) = scene();
    bench.kill(home);
    bench.notice(home);
    bench.run(65_000);
    confirm(&mut bench, home).unwrap();
    bench.run(2_000);
    let runs = bench.called("web_start_0").len();
    assert_eq!(runs, 2);
    heard_again(&mut bench, home);
    bench.run(2_000);
    let asked = bench.ids()[0];
    assert!(bench.nodes[&NodeId(asked)].state().confirmed_dead.is_empty(), "it was heard");
    // It dies again with what it ran: that must be confirmed anew.
    bench.notice(home);
    bench.run(5_000);
    assert_eq!(state_of(&mut bench, home), NodeState::Unclean);
    let early = confirm(&mut bench, home).unwrap_err();
    assert_eq!(early.0, Code::Unsafe);
}
