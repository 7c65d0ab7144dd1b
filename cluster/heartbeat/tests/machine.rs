//! The machine by itself and through its planned restart.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests fail by panicking and print what they measured"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::{Instant, Rng};
use haven_heartbeat::{
    Answer, Beat, Claim, Config, Configuration, DecodeMessageError, Echo, Echoes, GateOrder,
    Heartbeat, Input, LossCause, MAX_MESSAGE_BYTES, Member, Message, Output, PromiseTable, Refusal,
    RefusalCause, Release, Role, Start, Terms, Unheard,
};
use haven_types::{BootId, Epoch, GroupId, LinkId, LogIndex, LogPosition, NodeId, Seq, Term};
use support::world::{MS, SECOND, World};

const G: GroupId = GroupId(1);

fn at(ms: u64) -> Instant {
    Instant::from_nanos(1_000_000_000 + ms * MS)
}

fn config(voters: u16) -> Config {
    let ids: BTreeSet<NodeId> = (1..=voters).map(NodeId).collect();
    let links = BTreeSet::from([LinkId(0), LinkId(1)]);
    let member = Member { role: Role::Full, links: links.clone() };
    let mut config = Config::new(NodeId(1), BootId(7));
    config.links = links;
    config.members = ids.iter().map(|&id| (id, member.clone())).collect::<BTreeMap<_, _>>();
    config.configurations = vec![Configuration { voters: ids, ..Configuration::default() }];
    config.start = Start::First;
    config
}

fn beat(seq: u64) -> Beat {
    Beat { seq: Seq(seq), duration_micros: 60_000, ..Beat::default() }
}

fn received(from: u16, boot: u64, link: u8, message: Message) -> Input {
    Input::Received { from: NodeId(from), boot: BootId(boot), link: LinkId(link), message }
}

fn answers(out: &[Output]) -> Vec<(NodeId, LinkId, Answer)> {
    let found = out.iter().filter_map(|said| match said {
        Output::Send { to, link, message: Message::Answer(answer) } => {
            Some((*to, *link, answer.clone()))
        }
        _ => None,
    });
    found.collect()
}

fn beats(out: &[Output]) -> Vec<(NodeId, LinkId, Beat)> {
    let found = out.iter().filter_map(|said| match said {
        Output::Send { to, link, message: Message::Beat(beat) } => Some((*to, *link, beat.clone())),
        _ => None,
    });
    found.collect()
}

/// A machine that hears both its peers.
fn quiet() -> Heartbeat {
    let mut machine = Heartbeat::new(config(3), at(0));
    machine.step(at(0), Input::Tick);
    for peer in [2, 3] {
        machine.step(at(0), Input::Heard { from: NodeId(peer), boot: BootId(4), link: LinkId(0) });
    }
    // Those it has just heard are told at once; the next beat comes 14 to 15 ms later.
    machine.step(at(1), Input::Tick);
    machine
}

// spec: L1
#[test]
fn every_copy_of_a_beat_that_asks_is_answered_in_its_step_on_its_link() {
    let mut machine = quiet();
    let claim = Claim { group: G, epoch: Epoch(1), gated: None };
    let asking = [
        Beat { claims: vec![claim], ..beat(9) },
        Beat { releases: vec![Release { group: G, before: Seq(8) }], ..beat(9) },
        Beat { unheard: vec![Unheard { node: NodeId(3), boot: None }], ..beat(9) },
        Beat { away_millis: 1, ..beat(9) },
    ];
    for (beat, link) in asking.into_iter().zip([0, 1, 0, 1]) {
        let out = machine.step(at(2), received(2, 4, link, Message::Beat(beat)));
        let expected = Answer { boot: BootId(4), seq: Seq(9), ..Answer::default() };
        assert_eq!(answers(&out), [(NodeId(2), LinkId(link), expected)]);
    }
}

// spec: L5
#[test]
fn a_deferred_answer_names_what_the_log_held_when_it_was_promised() {
    let mut machine = quiet();
    machine.step(at(2), received(2, 4, 0, Message::Beat(beat(1))));
    let position = LogPosition { term: Term(1), index: LogIndex(5) };
    let changed = Configuration { position, ..config(3).configurations[0].clone() };
    let log = vec![config(3).configurations[0].clone(), changed];
    machine.step(at(3), Input::Configurations(log));
    let at_once = answers(&machine.step(at(4), received(2, 4, 0, Message::Beat(beat(2)))));
    assert_eq!(at_once.len(), 1, "what comes under another cannot wait with it");
    assert_eq!(at_once[0].2.configuration, position);
    let said = beats(&machine.step(at(20), Input::Tick));
    let (_, _, own) = said.into_iter().find(|(to, _, _)| *to == NodeId(2)).unwrap();
    let echoes = own.answers.unwrap();
    assert_eq!(echoes.configuration, LogPosition::default());
    assert_eq!(echoes.echoes.iter().map(|echo| echo.seq).collect::<Vec<_>>(), [Seq(1)]);
}

/// A node that goes to standby may give up more leases than one beat tells of.
// spec: L2
#[test]
fn every_release_is_told_at_once_whether_or_not_all_voters_answer() {
    for answering in [&[2, 3][..], &[2]] {
        let mut machine = quiet();
        let mut out = Vec::new();
        for group in (1..=20).map(GroupId) {
            machine.step(at(2), Input::Claim { group, epoch: Epoch(1) });
            out.extend(machine.step(at(2), Input::Release { group }));
        }
        let closed = |said: &Output| match *said {
            Output::Gate(GateOrder::Close { group, ticket }) => {
                Some(Input::GateClosed { group, ticket })
            }
            _ => None,
        };
        let closed: Vec<Input> = out.iter().filter_map(closed).collect();
        assert_eq!(closed.len(), 20);
        let acknowledged = closed.into_iter().map(|input| (at(3), input));
        let ticks = (0..5).map(|n| (at(4) + Duration::from_micros(n * 500), Input::Tick));
        let mut told = BTreeSet::new();
        for (now, input) in acknowledged.chain(ticks) {
            for (_, _, beat) in beats(&machine.step(now, input)) {
                told.extend(beat.releases.iter().map(|release| release.group.0));
                for voter in answering {
                    let answer = Answer { boot: BootId(7), seq: beat.seq, ..Answer::default() };
                    machine.step(now, received(*voter, 4, 0, Message::Answer(answer)));
                }
            }
        }
        assert_eq!(told, (1..=20).collect::<BTreeSet<_>>(), "with answers of {answering:?}");
    }
}

// spec: L1
#[test]
fn a_beat_that_asks_for_nothing_is_answered_by_the_next_beat() {
    let mut machine = quiet();
    for (link, seq) in [(0, 9), (0, 10), (1, 9)] {
        let out = machine.step(at(seq - 5), received(2, 4, link, Message::Beat(beat(seq))));
        assert_eq!(answers(&out), []);
    }
    let out = machine.step(at(16), Input::Tick);
    let echoes = |to: u16, link: u8| {
        let sent = beats(&out).into_iter().find(|(t, l, _)| (t.0, l.0) == (to, link));
        sent.unwrap().2.answers.map(|a| (a.boot.0, a.echoes))
    };
    let echo = |seq, link, held_micros| Echo { seq: Seq(seq), link: LinkId(link), held_micros };
    let expected = vec![echo(9, 0, 12_000), echo(10, 0, 11_000), echo(9, 1, 11_000)];
    assert_eq!(echoes(2, 0), Some((4, expected.clone())));
    assert_eq!(echoes(2, 1), Some((4, expected)));
    assert_eq!(echoes(3, 0), None);
    let out = machine.step(at(31), Input::Tick);
    assert_eq!(beats(&out).len(), 4);
    assert!(beats(&out).iter().all(|(_, _, beat)| beat.answers.is_none()), "once");
}

// spec: L1
#[test]
fn a_beat_that_asks_when_the_own_is_due_soon_is_answered_by_that_on_every_link() {
    let mut machine = quiet();
    let claim = Claim { group: G, epoch: Epoch(1), gated: None };
    let asking = Beat { claims: vec![claim], ..beat(9) };
    let out = machine.step(at(12), received(2, 4, 0, Message::Beat(asking.clone())));
    assert_eq!(answers(&out), []);
    let sent = beats(&out);
    assert_eq!(sent.len(), 4);
    for (to, _, beat) in sent {
        let echoes = beat.answers.map(|answers| answers.echoes);
        let echo = Echo { seq: Seq(9), link: LinkId(0), held_micros: 0 };
        assert_eq!(echoes, (to == NodeId(2)).then_some(vec![echo]));
    }
    let out = machine.step(at(12), received(2, 4, 1, Message::Beat(asking.clone())));
    assert_eq!((answers(&out).len(), beats(&out).len()), (0, 0), "the other copy has time");
    let refused = Beat { claims: vec![claim], seq: Seq(10), ..beat(10) };
    let out = machine.step(at(24), received(3, 4, 0, Message::Beat(refused)));
    assert_eq!(answers(&out).len(), 1, "a refusal is told at once, with its cause");
}

#[test]
fn what_finds_no_room_or_comes_while_a_member_is_silent_is_answered_at_once() {
    let mut machine = quiet();
    let later = (20..40).filter(|&seq| {
        let out = machine.step(at(2), received(2, 4, 0, Message::Beat(beat(seq))));
        answers(&out).is_empty()
    });
    assert_eq!(later.count(), 16);
    let mut machine = quiet();
    for ms in 2..70 {
        let heard = Input::Heard { from: NodeId(2), boot: BootId(4), link: LinkId(0) };
        machine.step(at(ms), heard);
    }
    let out = machine.step(at(70), received(2, 4, 0, Message::Beat(beat(20))));
    assert_eq!(answers(&out).len(), 1, "node 3 has been silent for 70 ms");
}

#[test]
fn an_answer_kept_back_is_no_sign_of_a_slow_network() {
    let mut machine = quiet();
    for round in 1..400_u64 {
        let now = machine.deadline().unwrap();
        let sent = beats(&machine.step(now, Input::Tick));
        // Each beat is answered 8 ms later by a peer that says so.
        for (to, link, own) in sent {
            let echoes = vec![Echo { seq: own.seq, link, held_micros: 8_000 }];
            let answers = Some(Echoes { boot: BootId(7), echoes, ..Echoes::default() });
            let beat = Beat { answers, ..beat(round) };
            let later = now + Duration::from_millis(8);
            machine.step(later, received(to.0, 4, link.0, Message::Beat(beat)));
        }
    }
    let status = machine.status(at(9_000));
    assert!(status.counters.answers_received > 700, "{:?}", status.counters);
    assert_eq!(status.duration, Duration::from_millis(60));
    let rtt = status.peers[&NodeId(2)].links[&LinkId(0)].rtt_smooth;
    assert!(rtt.is_some_and(|rtt| rtt < Duration::from_millis(2)), "{rtt:?}");
}

/// Which links carry how many beats to node 3 in a second, while node 2 holds a lease, beats before this node's beat
/// is due, by every link, and so draws it out.
fn links_beside_a_holder_that_sends_every_copy() -> [u32; 2] {
    let mut machine = quiet();
    let claim = Claim { group: G, epoch: Epoch(1), gated: None };
    let mut own: Vec<(NodeId, LinkId, Seq, Instant)> = Vec::new();
    let mut carried = [0; 2];
    for round in 1..=200_u64 {
        let now = at(round * 15);
        let echoes = |to: NodeId| {
            let mine = own.iter().filter(|(peer, ..)| *peer == to);
            let echo = |&(_, link, seq, sent): &(NodeId, LinkId, Seq, Instant)| {
                let held = (now - sent).saturating_sub(Duration::from_micros(200));
                Echo { seq, link, held_micros: held.as_micros() as u32 }
            };
            Some(Echoes { boot: BootId(7), echoes: mine.map(echo).collect(), ..Echoes::default() })
        };
        let holder = Beat { claims: vec![claim], answers: echoes(NodeId(2)), ..beat(round) };
        let other = Beat { alone: true, answers: echoes(NodeId(3)), ..beat(round) };
        let ways: Vec<u8> =
            own.iter().filter(|(to, ..)| *to == NodeId(3)).map(|(_, link, ..)| link.0).collect();
        let back = ways.get(round as usize % ways.len().max(1)).copied().unwrap_or(0);
        let copies = [(2, 0, &holder), (2, 1, &holder), (3, back, &other)];
        let mut sent = Vec::new();
        for (n, (from, link, said)) in (0..).zip(copies) {
            let when = now + Duration::from_micros(20 * n);
            let out = machine.step(when, received(from, 4, link, Message::Beat(said.clone())));
            sent.extend(beats(&out).into_iter().map(|(to, link, it)| (to, link, it.seq, when)));
        }
        if round > 130 {
            for (_, link, ..) in sent.iter().filter(|(to, ..)| *to == NodeId(3)) {
                carried[usize::from(link.0)] += 1;
            }
        }
        own = sent;
    }
    carried
}

#[test]
fn beside_a_holder_that_sends_every_copy_no_link_falls_silent() {
    let [first, second] = links_beside_a_holder_that_sends_every_copy();
    assert_eq!(first + second, 35, "one link in turn: {first} + {second}");
    assert!(first.min(second) >= 15, "{first} and {second}");
}

#[test]
fn one_beat_goes_to_every_peer_on_every_link_with_one_seq() {
    let mut machine = Heartbeat::new(config(3), at(0));
    let out = machine.step(at(0), Input::Tick);
    let sent: BTreeSet<_> =
        beats(&out).into_iter().map(|(to, l, b)| (to.0, l.0, b.seq.0)).collect();
    assert_eq!(sent, BTreeSet::from([(2, 0, 1), (2, 1, 1), (3, 0, 1), (3, 1, 1)]));
    machine.step(at(1), Input::Carrier { link: LinkId(1), up: false });
    let out = machine.step(at(15), Input::Tick);
    assert_eq!(beats(&out).len(), 2, "nothing is sent where there is no carrier");
}

#[test]
fn after_a_tick_the_deadline_is_ahead() {
    let mut machine = Heartbeat::new(config(3), at(0));
    machine.step(at(0), Input::Claim { group: G, epoch: Epoch(1) });
    let mut now = at(0);
    for _ in 0..2_000 {
        machine.step(now, Input::Tick);
        let next = machine.deadline().unwrap();
        assert!(next > now, "the machine spins at {now:?}");
        now = next;
    }
    let before = machine.status(now).counters.beats_sent;
    let out = machine.step(now.before(Duration::from_millis(1)), Input::Tick);
    assert!(beats(&out).is_empty(), "a spare tick is harmless");
    assert_eq!(machine.status(now).counters.beats_sent, before);
}

#[test]
fn frames_of_an_older_boot_and_of_strangers_are_counted_and_dropped() {
    let mut machine = Heartbeat::new(config(3), at(0));
    machine.step(at(0), received(2, 8, 0, Message::Beat(beat(1))));
    let out = machine.step(at(1), received(2, 7, 0, Message::Beat(beat(5))));
    assert!(answers(&out).is_empty());
    let out = machine.step(at(2), received(4, 1, 0, Message::Beat(beat(5))));
    assert!(answers(&out).is_empty());
    let counters = machine.status(at(2)).counters;
    assert_eq!((counters.frames_of_older_boot, counters.frames_of_strangers), (1, 1));
    // Two processes under one id: said once a minute, after the grace of a restart.
    let warnings = (3..120).filter(|s| {
        let out = machine.step(at(s * 1000), received(2, 7, 0, Message::Beat(beat(5))));
        out.iter().any(|said| {
            let (node, newest, dropped) = (NodeId(2), BootId(8), BootId(7));
            *said == Output::DuplicateNode { node, newest, dropped }
        })
    });
    assert_eq!(warnings.count(), 2);
}

#[test]
fn a_lease_is_gained_kept_and_lost_by_the_answers_alone() {
    let mut machine = Heartbeat::new(config(3), at(0));
    machine.step(at(0), received(2, 4, 0, Message::Beat(beat(1))));
    let out = machine.step(at(1), Input::Claim { group: G, epoch: Epoch(3) });
    let (_, _, sent) = beats(&out).pop().unwrap();
    assert_eq!(sent.claims, [Claim { group: G, epoch: Epoch(3), gated: None }]);
    let answer = Answer { boot: BootId(7), seq: sent.seq, ..Answer::default() };
    let wrong = Answer { boot: BootId(6), ..answer.clone() };
    let out = machine.step(at(2), received(2, 4, 0, Message::Answer(wrong)));
    assert!(!out.iter().any(|said| matches!(said, Output::Gate(_))));
    let out = machine.step(at(3), received(2, 4, 0, Message::Answer(answer)));
    let order = out.iter().find_map(|said| match said {
        Output::Gate(order) => Some(*order),
        _ => None,
    });
    let Some(GateOrder::Renew { deadline, ticket, epoch: Epoch(3), group: G }) = order else {
        panic!("{out:?}")
    };
    assert_eq!(deadline, at(1 + 46), "from the send, not from the answer");
    let out = machine.step(at(4), Input::GateOpened { group: G, ticket });
    assert!(out.contains(&Output::LeaseGained { group: G, epoch: Epoch(3), until: deadline }));
    let mut lost = None;
    let mut now = at(4);
    while lost.is_none() {
        now = machine.deadline().unwrap();
        let out = machine.step(now, Input::Tick);
        lost = out.into_iter().find(|said| matches!(said, Output::LeaseLost { .. }));
    }
    assert_eq!(now, deadline);
    let cause = LossCause::Lapsed;
    assert_eq!(lost, Some(Output::LeaseLost { group: G, epoch: Epoch(3), cause }));
}

#[test]
fn a_higher_epoch_that_is_granted_closes_the_gate_then_tells_the_voters() {
    let mut world = World::new(4, 3, 1, Terms::default());
    world.start_all(&Start::First);
    world.give(NodeId(1), Input::Claim { group: G, epoch: Epoch(1) });
    world.run_for(SECOND);
    assert_eq!(world.owners(G), [NodeId(1)]);
    let at = world.now;
    for id in world.ids() {
        world.give(id, Input::Epoch { group: G, epoch: Epoch(2) });
        world.give(id, Input::Granted { group: G, epoch: Epoch(2) });
    }
    world.give(NodeId(2), Input::Claim { group: G, epoch: Epoch(2) });
    while world.owners(G) != [NodeId(2)] {
        world.run_for(MS / 20);
        assert!(world.now - at < 5 * MS, "a planned switchover takes 5 ms at most");
    }
    println!("switchover without an owner: at most {} µs", (world.now - at) / 1000);
    assert!(world.violations.is_empty());
}

/// A process that was replaced claims what its controller holds while a grant may still be truncated.
#[test]
fn a_claim_is_refused_by_a_later_grant_and_not_by_one_that_may_be_truncated() {
    let mut machine = Heartbeat::new(config(3), at(0));
    let claim = Input::Claim { group: G, epoch: Epoch(3) };
    let lost = Output::LeaseLost { group: G, epoch: Epoch(3), cause: LossCause::Superseded };
    machine.step(at(0), Input::Epoch { group: G, epoch: Epoch(4) });
    assert!(!machine.step(at(1), claim.clone()).contains(&lost));
    assert!(machine.step(at(2), Input::Granted { group: G, epoch: Epoch(4) }).contains(&lost));
    assert!(machine.step(at(3), claim).contains(&lost));
}

/// An entry that may be truncated takes nothing away: the voters refuse to renew, what they promised lasts.
// spec: L2
#[test]
fn an_epoch_that_is_not_committed_closes_no_gate() {
    let mut world = World::new(4, 3, 1, Terms::default());
    world.start_all(&Start::First);
    world.give(NodeId(1), Input::Claim { group: G, epoch: Epoch(1) });
    world.run_for(SECOND);
    let epoch = |world: &mut World, epoch| {
        for id in world.ids() {
            world.give(id, Input::Epoch { group: G, epoch: Epoch(epoch) });
        }
    };
    let serves = |world: &mut World, millis| {
        for _ in 0..millis {
            world.run_for(MS);
            assert_eq!(world.owners(G), [NodeId(1)]);
        }
    };
    epoch(&mut world, 2);
    serves(&mut world, 15);
    // It is truncated: where the lease lapsed meanwhile, it is gained again.
    epoch(&mut world, 1);
    world.run_for(100 * MS);
    serves(&mut world, 500);
    // It stays: the lease ends by itself; once it is committed, nothing is waited for.
    epoch(&mut world, 2);
    serves(&mut world, 15);
    world.give(NodeId(1), Input::Granted { group: G, epoch: Epoch(2) });
    world.run_for(MS);
    assert_eq!(world.owners(G), []);
    assert!(world.violations.is_empty());
}

/// How a peer's claim is refused, `ms` after the voter's process took over with `left`.
fn refused_after(ms: u64, left: PromiseTable, config: Config) -> Vec<Refusal> {
    let mut machine = Heartbeat::new(Config { start: Start::HandedOver(left), ..config }, at(0));
    machine.step(at(0), Input::Tick);
    let claims = vec![Claim { group: G, epoch: Epoch(1), gated: None }];
    let asking = Message::Beat(Beat { claims, ..beat(1) });
    let mut said = machine.step(at(ms), received(2, 4, 0, asking));
    said.extend(machine.step(at(ms + 20), Input::Tick));
    answers(&said).into_iter().flat_map(|(_, _, answer)| answer.refusals).collect()
}

// spec: L4, L9
#[test]
fn a_planned_restart_makes_no_new_voter_of_an_old_one() {
    let position = |index| LogPosition { term: Term(1), index: LogIndex(index) };
    let named = |index, ids: &[u16]| Configuration {
        position: position(index),
        voters: ids.iter().copied().map(NodeId).collect(),
        outgoing: None,
    };
    let joined = |applied| {
        let configurations = vec![named(3, &[2, 3]), named(8, &[1, 2, 3])];
        Config { configurations, applied, ..config(3) }
    };
    let left = |applied| PromiseTable { applied, ..PromiseTable::default() };
    let at_once = refused_after(1, left(position(8)), joined(position(8)));
    assert_eq!(at_once, [], "who has voted before goes on");
    let unknown = refused_after(1, left(position(8)), joined(LogPosition::default()));
    assert_eq!(unknown, [], "what the process before had applied need not be applied again");
    let [new] = refused_after(1, left(position(3)), joined(position(8)))[..] else {
        panic!("promised")
    };
    assert_eq!(new.cause, RefusalCause::TooNew, "nobody waited for an entry applied since");
    assert!(new.retry_micros > 5_000_000, "{new:?}");
    let later = refused_after(5_600, left(position(3)), joined(position(8)));
    assert_eq!(later, [], "its wait ends, though nothing is applied any more");
    let changing = vec![named(8, &[1, 2, 3]), named(9, &[1, 2, 4])];
    let changing = Config { configurations: changing, ..joined(position(8)) };
    assert_eq!(
        refused_after(1, left(position(8)), changing),
        [],
        "a change under way is of others"
    );
}

// spec: L9
#[test]
fn a_planned_restart_keeps_the_gate_open_and_the_verdict_away() {
    let mut world = World::new(4, 3, 1, Terms::default());
    world.start_all(&Start::First);
    world.give(NodeId(1), Input::Claim { group: G, epoch: Epoch(1) });
    world.run_for(SECOND);
    for round in 0..5 {
        world.give(NodeId(1), Input::PlanRestart);
        while !world.nodes[&NodeId(1)].restart_ready {
            world.run_for(MS);
        }
        // Between hand-over and start the process is away for two seconds.
        let node = world.nodes.get_mut(&NodeId(1)).unwrap();
        let local = node.clock.at(world.now);
        let left = node.machine.take().unwrap().hand_over(local);
        assert_eq!(left.held.len(), 1);
        world.kill(NodeId(1));
        for _ in 0..2_000 {
            world.run_for(MS);
            assert_eq!(world.owners(G), [NodeId(1)], "round {round}");
        }
        world.start(NodeId(1), Start::HandedOver(left.promises), true);
        for _ in 0..4_000 {
            world.run_for(MS);
            assert_eq!(world.owners(G), [NodeId(1)], "round {round}");
        }
        let dead = world.said.iter().any(|(_, _, said)| matches!(said, Output::Dead { .. }));
        assert!(!dead, "round {round}");
    }
    // The long lease is shortened on return: others need not wait for it.
    let voter = world.nodes[&NodeId(2)].machine.as_ref().unwrap();
    let local = world.nodes[&NodeId(2)].clock.at(world.now);
    let (_, end) = voter.status(local).promises[&G];
    assert!(end - local <= Duration::from_millis(80));
}

// spec: L9
#[test]
fn nobody_leaves_under_a_lease_gained_by_a_short_beat() {
    for step in 0..40 {
        let mut world = World::new(4, 3, 1, Terms::default());
        world.start_all(&Start::First);
        // The restart is planned while the beat that gains the lease is on its way.
        world.give(NodeId(1), Input::Claim { group: G, epoch: Epoch(1) });
        world.run_for(step * MS / 20);
        world.give(NodeId(1), Input::PlanRestart);
        while !world.nodes[&NodeId(1)].restart_ready {
            world.run_for(MS / 20);
        }
        let node = world.nodes.get_mut(&NodeId(1)).unwrap();
        let local = node.clock.at(world.now);
        let long = world.terms.lease(world.terms.d_max);
        for held in node.machine.take().unwrap().hand_over(local).held {
            let left = held.deadline.since(local);
            assert!(left >= long / 2, "step {step}: {left:?} of {long:?}");
        }
    }
}

// spec: L9
#[test]
fn nobody_leaves_on_a_lease_that_was_asked_for_before_the_restart_was_planned() {
    // Long enough by itself, in a network that made leases long.
    let mut machine = Heartbeat::new(Config { floor: Duration::from_secs(4), ..config(3) }, at(0));
    machine.step(at(0), Input::Tick);
    for peer in [2, 3] {
        machine.step(at(0), Input::Heard { from: NodeId(peer), boot: BootId(4), link: LinkId(0) });
    }
    let out = machine.step(at(2), Input::Claim { group: G, epoch: Epoch(1) });
    let (_, _, before) = beats(&out).pop().unwrap();
    let out = machine.step(at(4), Input::PlanRestart);
    let (_, _, after) = beats(&out).pop().unwrap();
    assert!(after.duration_micros > before.duration_micros);
    let ready = |out: &[Output]| out.iter().any(|o| matches!(o, Output::RestartReady { .. }));
    let granted = |seq| Message::Answer(Answer { boot: BootId(7), seq, ..Answer::default() });
    let ticket = |out: &[Output]| {
        out.iter().find_map(|said| match said {
            Output::Gate(GateOrder::Renew { ticket, .. }) => Some(*ticket),
            _ => None,
        })
    };
    let out = machine.step(at(5), received(2, 4, 0, granted(before.seq)));
    let ticket_before = ticket(&out).unwrap();
    machine.step(at(6), Input::GateOpened { group: G, ticket: ticket_before });
    let refusal = Refusal { group: G, cause: RefusalCause::TooNew, retry_micros: 1_000 };
    let refused =
        Answer { boot: BootId(7), seq: after.seq, refusals: vec![refusal], ..Answer::default() };
    for peer in [2, 3] {
        let out = machine.step(at(7), received(peer, 4, 0, Message::Answer(refused.clone())));
        assert!(!ready(&out), "{out:?}");
    }
    let (_, _, later) = beats(&machine.step(at(40), Input::Tick)).pop().unwrap();
    let out = machine.step(at(41), received(2, 4, 0, granted(later.seq)));
    let mut all = out.clone();
    all.extend(machine.step(at(42), Input::GateOpened { group: G, ticket: ticket(&out).unwrap() }));
    let (_, _, last) = beats(&machine.step(at(80), Input::Tick)).pop().unwrap();
    all.extend(machine.step(at(81), received(2, 4, 0, granted(last.seq))));
    assert!(ready(&all), "{all:?}");
}

// spec: L9
#[test]
fn nobody_is_ready_to_leave_while_a_short_beat_may_still_gain_a_lease() {
    let mut machine = quiet();
    let out = machine.step(at(2), Input::Claim { group: G, epoch: Epoch(1) });
    let (_, _, short) = beats(&out).pop().unwrap();
    let out = machine.step(at(4), Input::PlanRestart);
    let (_, _, long) = beats(&out).pop().unwrap();
    assert!(long.duration_micros > short.duration_micros);
    // Its copy was overtaken by that of the long beat, and came when the old promise had ended.
    let refusal = Refusal { group: G, cause: RefusalCause::Promised, retry_micros: 1_000 };
    let refused =
        Answer { boot: BootId(7), seq: long.seq, refusals: vec![refusal], ..Answer::default() };
    let granted = Answer { boot: BootId(7), seq: short.seq, ..Answer::default() };
    let ready = |out: &[Output]| out.iter().any(|o| matches!(o, Output::RestartReady { .. }));
    for peer in [2, 3] {
        let out = machine.step(at(5), received(peer, 4, 0, Message::Answer(refused.clone())));
        assert!(!ready(&out));
    }
    let out = machine.step(at(6), received(2, 4, 0, Message::Answer(granted)));
    assert!(out.iter().any(|o| matches!(o, Output::Gate(GateOrder::Renew { .. }))), "{out:?}");
    assert!(!ready(&out));
    // What was never granted keeps nobody for longer than a short beat's lease could begin.
    let mut machine = quiet();
    machine.step(at(2), Input::Claim { group: G, epoch: Epoch(1) });
    machine.step(at(4), Input::PlanRestart);
    machine.step(at(70), Input::Tick);
    let (_, _, later) = beats(&machine.step(at(90), Input::Tick)).pop().unwrap();
    let refused = Answer { seq: later.seq, ..refused };
    let out = machine.step(at(91), received(2, 4, 0, Message::Answer(refused)));
    assert!(ready(&out), "{out:?}");
}

#[test]
fn a_voter_that_starts_with_nothing_known_promises_nothing_for_five_and_a_half_seconds() {
    let mut world = World::new(4, 3, 1, Terms::default());
    world.start_all(&Start::Unknown);
    world.give(NodeId(1), Input::Claim { group: G, epoch: Epoch(1) });
    world.run_for(5_507 * MS);
    assert!(world.owners(G).is_empty());
    world.run_for(10 * MS);
    assert_eq!(world.owners(G), [NodeId(1)], "the claim is repeated at that very moment");
}

fn samples() -> Vec<Message> {
    let position = LogPosition { term: Term(300), index: LogIndex(70_000) };
    let claim = |i: u32| Claim {
        group: GroupId(i),
        epoch: Epoch(900),
        gated: Some(Seq(3_000_000 + u64::from(i))),
    };
    let full = Beat {
        seq: Seq(3_000_000),
        duration_micros: 600_000,
        log: position,
        claims: (200..264).map(claim).collect(),
        releases: (200..216).map(|i| Release { group: GroupId(i), before: Seq(1 << 22) }).collect(),
        unheard: vec![Unheard { node: NodeId(3), boot: Some(BootId(5)) }],
        relayed: vec![(NodeId(4), vec![NodeId(3)])],
        away_millis: 4_500,
        copy: 3,
        alone: true,
        answers: Some(Echoes {
            boot: BootId(7),
            configuration: position,
            echoes: vec![Echo { seq: Seq(3_000_000), link: LinkId(7), held_micros: 24_999 }; 16],
        }),
    };
    let refusal = Refusal { group: G, cause: RefusalCause::Promised, retry_micros: 74_000 };
    let answer = Answer {
        boot: BootId(7),
        seq: Seq(3_000_000),
        configuration: position,
        refusals: vec![refusal; 64],
    };
    vec![
        Message::Beat(beat(1)),
        Message::Beat(full),
        Message::Answer(Answer::default()),
        Message::Answer(answer),
        Message::Vacant(G),
    ]
}

#[test]
fn messages_come_back_as_they_went_and_are_small() {
    for message in samples() {
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes), Ok(message));
        assert!(bytes.len() <= MAX_MESSAGE_BYTES, "{}", bytes.len());
    }
    assert!(Message::Beat(beat(1)).encode().len() <= 16, "an idle beat is small");
}

#[test]
fn no_bytes_hurt() {
    assert_eq!(Message::decode(&[]), Err(DecodeMessageError::Empty));
    assert_eq!(Message::decode(&[9, 0]), Err(DecodeMessageError::Version { found: 9 }));
    let mut rng = Rng::new(5);
    let mut machine = Heartbeat::new(config(3), at(0));
    machine.step(at(0), Input::Claim { group: G, epoch: Epoch(1) });
    let samples: Vec<_> = samples().iter().map(Message::encode).collect();
    let mut decoded = 0;
    for round in 0..20_000_u64 {
        let mut bytes = samples[rng.below(samples.len() as u64) as usize].clone();
        for _ in 0..1 + rng.below(4) {
            let i = 1 + rng.below(bytes.len() as u64 - 1) as usize;
            bytes[i] = rng.next_u64() as u8;
        }
        bytes.truncate(1 + rng.below(bytes.len() as u64 * 2) as usize);
        if let Ok(message) = Message::decode(&bytes) {
            decoded += 1;
            let (from, boot) = (2 + rng.below(2) as u16, rng.below(3));
            machine.step(at(round / 8), received(from, boot, 0, message));
            assert!(machine.deadline().is_some());
        }
    }
    assert!(decoded > 1_000, "{decoded}");
    assert!(machine.status(at(9_999)).promises.len() <= 4_096);
}

/// What a process finds in its log makes it a voter at once; the same told later makes it a new one.
// spec: L4
#[test]
fn a_voter_that_starts_anew_is_no_new_voter() {
    let alone = Configuration {
        position: LogPosition { term: Term(1), index: LogIndex(1) },
        voters: BTreeSet::from([NodeId(1)]),
        outgoing: None,
    };
    let told =
        [Input::ConfigurationApplied(alone.position), Input::Configurations(vec![alone.clone()])];
    let gate = |config: Config, rest: Vec<Input>| {
        let mut machine = Heartbeat::new(config, at(0));
        let claim = Input::Claim { group: G, epoch: Epoch(1) };
        let inputs = rest.into_iter().chain([Input::Tick, claim]);
        let mut said: Vec<Output> = inputs.flat_map(|input| machine.step(at(0), input)).collect();
        said.extend(machine.step(at(1), Input::Tick));
        said.iter().any(|output| matches!(output, Output::Gate(GateOrder::Renew { .. })))
    };
    let fresh = || Config { start: Start::First, ..Config::new(NodeId(1), BootId(7)) };
    let mut knowing = fresh();
    let rest = told.iter().cloned().filter_map(|input| knowing.learn(input)).collect();
    assert!(gate(knowing, rest), "a cluster of one serves at once");
    assert!(!gate(fresh(), told.to_vec()), "who learns it as an input waits");
}
