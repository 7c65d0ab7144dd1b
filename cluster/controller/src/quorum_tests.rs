//! What an operator of votequorum expects, asked of the controller.

use std::collections::BTreeSet;
use std::time::Duration;

use haven_api::{ReplyBody, RequestBody, Status};
use haven_base::{Instant, WallTime};
use haven_cib::crm;
use haven_consensus::Recovered;
use haven_heartbeat::{Output as Beat, View};
use haven_types::{BootId, NodeId};

use crate::command::{Command, Member, Role};
use crate::controller::{Config, Controller};
use crate::message::PeerMessage;
use crate::port::{Clock, Input, Local, Output};
use crate::quorum;
use crate::replicated::Replicated;
use crate::starting::HandOver;

fn clock(millis: u64) -> Clock {
    let now = Instant::from_nanos(millis * 1_000_000);
    Clock { now, wall: WallTime::from_seconds(1_000) }
}

fn member(id: u16, role: Role) -> Member {
    Member {
        id: NodeId(id),
        name: format!("n{id}"),
        role,
        links: Vec::new(),
        channel: format!("192.0.2.{id}:5406").parse().unwrap(),
        key: [u8::try_from(id).unwrap(); 32],
    }
}

/// A cluster of so many full members under these lines.
fn state(count: u16, witness: bool, lines: &str) -> Replicated {
    let mut state = Replicated::founded(member(1, Role::Full), haven_cib::Cib::default());
    for id in 2..=count {
        let role = if witness && id == count { Role::Witness } else { Role::Full };
        let (expires, answer) = (WallTime::from_seconds(2_000), (NodeId(1), 1));
        let token = [u8::try_from(id).unwrap(); 32];
        state.apply(Command::MintToken { token, expires, answer });
        let member = member(id, role);
        state.apply(Command::AddMember { member, token, answer });
    }
    state.cib = crm::load(&state.cib, lines, crm::Mode::Update).unwrap().cib;
    state
}

fn started(state: &Replicated, handed_over: Option<HandOver>) -> Controller {
    let config = Config {
        node: NodeId(1),
        boot: BootId(1),
        name: "n1".to_owned(),
        cluster: "test".to_owned(),
        consensus: haven_consensus::Config::new(NodeId(1)),
        facts: haven_policy::AgentFacts::default(),
        verification: crm::Facts::default(),
        seed: 1,
    };
    let recovered = Recovered::founding(state.members.keys().copied(), state.encode());
    let mut controller =
        Controller::new(config, recovered, Vec::new(), handed_over, Instant::ZERO).unwrap();
    controller.step(clock(0), Input::Tick);
    controller
}

/// Node 1 of such a cluster, which hears nobody yet.
fn first_of(count: u16, lines: &str) -> Controller {
    started(&state(count, false, lines), None)
}

fn beat(controller: &mut Controller, report: Beat) -> Vec<Output> {
    controller.step(clock(10), Input::Heartbeat(report))
}

/// These nodes, and no others, are heard.
fn hear(controller: &mut Controller, ids: &[u16]) -> Vec<Output> {
    let mut out = Vec::new();
    for node in controller.others() {
        let boot = BootId(1);
        if ids.contains(&node.0) {
            out.extend(beat(controller, Beat::Alive { node, boot }));
        } else if controller.alive.contains_key(&node) {
            let silent = Duration::from_millis(80);
            out.extend(beat(controller, Beat::Suspect { node, boot, silent }));
        }
    }
    let members: BTreeSet<NodeId> = ids.iter().map(|id| NodeId(*id)).chain([NodeId(1)]).collect();
    out.extend(beat(controller, Beat::View(View { number: 2, members })));
    out
}

fn status(controller: &mut Controller) -> Status {
    let (id, author, body) = (1, String::new(), RequestBody::Status);
    let out = controller.step(clock(20), Input::Local(Local::Request { id, author, body }));
    let status = out.into_iter().find_map(|output| match output {
        Output::Reply { body, .. } => match *body {
            Ok(ReplyBody::Status(status)) => Some(*status),
            _ => None,
        },
        _ => None,
    });
    status.unwrap()
}

fn quorate(controller: &mut Controller) -> bool {
    let quorum = status(controller).quorum;
    assert_eq!(quorum.quorate, quorum.remedy.is_none(), "{quorum:?}");
    quorum.quorate
}

#[test]
fn more_than_half_of_the_votes_must_be_present() {
    let mut controller = first_of(3, "");
    assert!(!quorate(&mut controller));
    hear(&mut controller, &[2]);
    let seen = status(&mut controller).quorum;
    assert_eq!((seen.quorate, seen.present, seen.expected, seen.needed), (true, 2, 3, 2));
    hear(&mut controller, &[]);
    let lost = status(&mut controller).quorum;
    assert_eq!((lost.quorate, lost.present), (false, 1));
    assert_eq!(lost.reason, "only 1 of 3 votes are present, 2 are needed");
    let remedy = lost.remedy.unwrap();
    assert_eq!(remedy, "start the daemon on n2 or n3, or mend the links to there");
    assert_eq!(lost.votes.iter().filter(|vote| vote.present).count(), 1);
}

#[test]
fn a_moment_of_silence_takes_no_vote_away() {
    let mut controller = first_of(3, "");
    hear(&mut controller, &[2, 3]);
    for node in [NodeId(2), NodeId(3)] {
        let silent = Duration::from_millis(80);
        beat(&mut controller, Beat::Suspect { node, boot: BootId(1), silent });
    }
    assert!(quorate(&mut controller), "the view still takes them in");
    // A node that no third one reaches, but that is heard here, votes here.
    hear(&mut controller, &[2, 3]);
    let members = [NodeId(1), NodeId(2)].into();
    beat(&mut controller, Beat::View(View { number: 9, members }));
    assert_eq!(status(&mut controller).quorum.present, 3);
    let dead = Beat::Dead { node: NodeId(2), boot: BootId(1), successor: None };
    beat(&mut controller, dead);
    assert_eq!(status(&mut controller).quorum.present, 2);
}

#[test]
fn a_turn_is_an_event_with_its_reason() {
    let mut controller = first_of(3, "");
    let text = |out: Vec<Output>| {
        let mut events = out.into_iter().filter_map(|output| match output {
            Output::Event(event) if event.code == "HV1206" => Some(event.text),
            _ => None,
        });
        (events.next(), events.next())
    };
    let reached = "quorum reached: 2 of 3 votes are present, 2 are needed".to_owned();
    assert_eq!(text(hear(&mut controller, &[2])), (Some(reached), None));
    assert_eq!(text(hear(&mut controller, &[2, 3])), (None, None));
    let lost = "quorum lost: only 1 of 3 votes are present, 2 are needed".to_owned();
    assert_eq!(text(hear(&mut controller, &[])), (Some(lost), None));
}

#[test]
fn wait_for_all_waits_once() {
    let mut controller = first_of(3, "property wait_for_all=yes");
    hear(&mut controller, &[2]);
    let waiting = status(&mut controller).quorum;
    assert!(!waiting.quorate);
    assert!(waiting.reason.ends_with("since the start; n3 is missing"), "{}", waiting.reason);
    let remedy = waiting.remedy.unwrap();
    assert_eq!(remedy, "start n3; if that is not possible: property wait_for_all=no");
    hear(&mut controller, &[2, 3]);
    assert!(quorate(&mut controller));
    hear(&mut controller, &[2]);
    assert!(quorate(&mut controller), "seen together once is enough");
}

#[test]
fn who_joins_a_partition_that_has_seen_all_need_not_wait_again() {
    let mut controller = first_of(3, "property wait_for_all=yes");
    hear(&mut controller, &[2]);
    let history = haven_quorum::History { all_seen: true, ..haven_quorum::History::default() };
    let tell = |controller: &mut Controller, boot| {
        let bytes = PeerMessage::Quorum(Box::new(history.clone())).encode();
        controller.step(clock(15), Input::Peer { from: NodeId(2), boot, bytes })
    };
    tell(&mut controller, BootId(7));
    assert!(!quorate(&mut controller), "of another life");
    let out = tell(&mut controller, BootId(1));
    assert!(quorate(&mut controller));
    // It passes that on, and keeps it over a planned restart.
    let told = out.iter().any(|output| match output {
        Output::Send { bytes, .. } => {
            matches!(PeerMessage::decode(bytes), Some(PeerMessage::Quorum(h)) if h.all_seen)
        }
        _ => false,
    });
    assert!(told);
    let state = controller.state().clone();
    let mut next = started(&state, Some(controller.hand_over()));
    hear(&mut next, &[2]);
    assert!(quorate(&mut next));
}

#[test]
fn an_even_split_has_no_winner_unless_told_which() {
    let mut controller = first_of(4, "");
    hear(&mut controller, &[2]);
    let split = status(&mut controller).quorum;
    assert_eq!(split.reason, "an even split: 2 of 4 votes are present, 3 are needed");
    assert!(split.remedy.unwrap().contains("a witness would decide an even split"));
    for (lines, wins, by) in [
        ("property auto_tie_breaker=yes", true, "side of n1, which is this one"),
        (
            "property auto_tie_breaker=1 auto_tie_breaker_node=highest",
            false,
            "side of n4, which is not",
        ),
        ("property auto_tie_breaker=on auto_tie_breaker_node=\"n3 2\"", false, "side of n3"),
        ("property auto_tie_breaker=on auto_tie_breaker_node=\"2,3\"", true, "side of n2"),
    ] {
        let mut controller = first_of(4, lines);
        hear(&mut controller, &[2]);
        let quorum = status(&mut controller).quorum;
        assert_eq!(quorum.quorate, wins, "{lines}: {}", quorum.reason);
        assert!(quorum.reason.contains(by), "{lines}: {}", quorum.reason);
        let alarms = status(&mut controller).alarms;
        let warned = alarms.iter().any(|alarm| alarm.contains("no lease lives here"));
        assert_eq!(warned, wins, "votes are not a majority: {alarms:?}");
    }
}

#[test]
fn votes_and_expected_votes_weigh() {
    let mut controller = first_of(3, "node n1 attributes quorum_votes=3");
    assert!(quorate(&mut controller), "3 of 5 votes are its own");
    let mut controller = first_of(3, "property expected_votes=7");
    hear(&mut controller, &[2, 3]);
    let quorum = status(&mut controller).quorum;
    assert_eq!((quorum.quorate, quorum.expected, quorum.needed), (false, 7, 4));
    let remedy = quorum.remedy.unwrap();
    assert_eq!(remedy, "every member is present: lower expected_votes to at most 3");
    let mut controller = first_of(3, "node n3 attributes quorum_votes=0");
    hear(&mut controller, &[3]);
    assert!(!quorate(&mut controller), "a member that only stores");
}

#[test]
fn a_witness_has_a_vote() {
    let mut controller = started(&state(3, true, ""), None);
    hear(&mut controller, &[3]);
    assert!(quorate(&mut controller));
}

#[test]
fn who_has_joined_and_was_never_heard_does_not_count_yet() {
    let state = state(2, false, "");
    // The log knows one voter as yet.
    let config = Config {
        node: NodeId(1),
        boot: BootId(1),
        name: "n1".to_owned(),
        cluster: "test".to_owned(),
        consensus: haven_consensus::Config::new(NodeId(1)),
        facts: haven_policy::AgentFacts::default(),
        verification: crm::Facts::default(),
        seed: 1,
    };
    let recovered = Recovered::founding([NodeId(1)], state.encode());
    let mut controller =
        Controller::new(config, recovered, Vec::new(), None, Instant::ZERO).unwrap();
    controller.step(clock(0), Input::Tick);
    let quorum = status(&mut controller).quorum;
    assert_eq!((quorum.quorate, quorum.expected), (true, 1));
    assert_eq!(quorum.votes.iter().map(|vote| vote.votes).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn the_highest_votes_seen_are_kept_where_they_are_tracked() {
    let mut state = state(3, false, "property expected_votes_tracking=yes");
    state.apply(Command::NoteVotes { votes: 5 });
    state.apply(Command::NoteVotes { votes: 4 });
    let mut controller = started(&state, None);
    hear(&mut controller, &[2]);
    let quorum = status(&mut controller).quorum;
    assert_eq!((quorum.quorate, quorum.expected, quorum.needed), (false, 5, 3));
    hear(&mut controller, &[2, 3]);
    assert!(quorate(&mut controller));
}

#[test]
fn options_that_do_not_fit_are_refused_and_never_loosen_anything() {
    for (count, lines, says) in [
        (2, "property two_node=yes", "two_node lets both halves of a split run"),
        (3, "property last_man_standing=yes", "last_man_standing needs wait_for_all"),
        (3, "property auto_tie_breaker=1 auto_tie_breaker_node=n9", "names \"n9\", which is no"),
        (3, "property expected_votes=0", "expected_votes is 0"),
        (3, "property expected_votes=many", "expected_votes is \"many\""),
        (3, "node n2 attributes quorum_votes=none", "quorum_votes of n2 is \"none\""),
        (3, "node n2 attributes quorum_votes=256", "node 2 has 256 votes"),
    ] {
        let state = state(count, false, lines);
        let wrong = quorum::judged(&state.cib, &state.members);
        assert!(wrong.iter().any(|text| text.contains(says)), "{lines}: {wrong:?}");
        let mut controller = started(&state, None);
        let status = status(&mut controller);
        assert!(!status.quorum.quorate, "{lines}: {}", status.quorum.reason);
        let alarm = status.alarms.iter().any(|alarm| alarm.contains("not in force"));
        assert!(alarm, "{lines}: {:?}", status.alarms);
    }
    let fine = state(3, false, "property wait_for_all=yes expected_votes=3");
    assert_eq!(quorum::judged(&fine.cib, &fine.members), Vec::<String>::new());
}

#[test]
fn options_that_do_less_than_they_promise_say_so() {
    let lines = "property wait_for_all=yes last_man_standing=yes last_man_standing_window=500 \
                 auto_tie_breaker=yes";
    let state = state(5, false, lines);
    assert_eq!(quorum::judged(&state.cib, &state.members), Vec::<String>::new());
    assert_eq!(quorum::hints(&state.cib).len(), 2);
    let (options, _) = quorum::options(&state.cib, &state.members);
    assert_eq!(options.last_man_standing_window, Duration::from_millis(500));
    // Nobody is confirmed fenced, so nothing is lowered however long a view lasts.
    let mut controller = started(&state, None);
    hear(&mut controller, &[2, 3, 4, 5]);
    hear(&mut controller, &[2, 3]);
    controller.step(clock(60_000), Input::Tick);
    assert_eq!(status(&mut controller).quorum.expected, 5);
}

#[test]
fn two_nodes_alone_with_an_address_are_told_the_remedies() {
    let line = "primitive vip ocf:haven:ip params ip=192.0.2.10 nic=eth0";
    let mut controller = started(&state(2, false, line), None);
    hear(&mut controller, &[2]);
    let alarms = status(&mut controller).alarms;
    assert!(alarms.iter().any(|alarm| alarm.contains("--witness")), "{alarms:?}");
    let mut controller = started(&state(3, true, line), None);
    hear(&mut controller, &[2, 3]);
    assert_eq!(status(&mut controller).alarms, Vec::<String>::new());
}

/// The civil clock jumps by years in either direction: it dates things, and decides nothing.
#[test]
fn a_jump_of_the_civil_clock_moves_nothing() {
    let jumps = [1_000, 900_000_000, 0, -5_000_000_000, 9_000_000_000, 2_000];
    let line = "primitive vip ocf:haven:ip params ip=192.0.2.10 nic=eth0 op monitor interval=10s";
    let run = |walls: &[i64]| {
        let mut controller = started(&state(1, false, line), None);
        let mut seen = Vec::new();
        for millis in 0..400_u64 {
            let index = usize::try_from(millis / 70).unwrap() % walls.len();
            let now = Instant::from_nanos(millis * 50_000_000);
            let clock = Clock { now, wall: WallTime::from_seconds(walls[index]) };
            let mut inputs = vec![Input::Tick];
            while let Some(input) = inputs.pop() {
                for output in controller.step(clock, input) {
                    match output {
                        Output::Persist { token, .. } => {
                            inputs.push(Input::Local(Local::Persisted(token)))
                        }
                        Output::RunAgent { run, operation, .. } => {
                            seen.push((millis, operation.key()));
                            let code = haven_types::operation::OcfCode(
                                if operation.interval.is_zero() && operation.action == "monitor" {
                                    7
                                } else {
                                    0
                                },
                            );
                            let outcome = haven_types::operation::Outcome::done(code, "");
                            inputs.push(Input::AgentFinished { run, outcome });
                        }
                        Output::Heartbeat(input) => {
                            if let haven_heartbeat::Input::Claim { group, epoch } = *input {
                                let until = now + Duration::from_secs(1);
                                let gained = Beat::LeaseGained { group, epoch, until };
                                inputs.push(Input::Heartbeat(gained));
                            }
                        }
                        _ => {}
                    }
                }
            }
            let (id, author, body) = (1, String::new(), RequestBody::Status);
            controller.step(clock, Input::Local(Local::Request { id, author, body }));
        }
        seen
    };
    let steady = run(&[1_000]);
    let started = steady.iter().filter(|(_, key)| key == "vip_start_0").count();
    assert_eq!(started, 1, "{steady:?}");
    assert_eq!(run(&jumps), steady, "what is done and when depends on no calendar");
}
