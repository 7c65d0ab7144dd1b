//! What the heartbeat thread is given, in which order, and what it says to be done.

use haven_heartbeat::{Configuration, Start, Terms};
use haven_types::{Epoch, LogPosition};

use super::*;
use crate::departing::LAST_ANSWERS;

const TICK: Duration = Duration::from_millis(4);
const GROUP: GroupId = GroupId(1);

fn now() -> Instant {
    Instant::from_nanos(10_000_000_000)
}

/// Alone in its cluster, after its first tick.
fn heart() -> Heart {
    let node = NodeId(1);
    let alone = Configuration {
        position: LogPosition::default(),
        voters: BTreeSet::from([node]),
        outgoing: None,
    };
    let config = Config {
        start: Start::First,
        terms: Terms { tick: TICK, ..Terms::default() },
        configurations: vec![alone],
        ..Config::new(node, BootId(1))
    };
    let mut heart = Heart::new(config, Vec::new(), now());
    assert_eq!(heart.next_input(), Some(Input::Tick));
    heart.step(now(), Input::Tick);
    let _said = errands(&mut heart);
    heart
}

fn errands(heart: &mut Heart) -> Vec<Errand> {
    std::iter::from_fn(|| heart.next_errand()).collect()
}

fn frame(kind: Kind, boot: u64, payload: &[u8]) -> Opened<'_> {
    Opened { from: NodeId(2), boot: BootId(boot), link: LinkId(0), kind, payload }
}

fn hear(heart: &mut Heart, opened: &Opened<'_>) -> (bool, Vec<Happening>) {
    let mut told = Vec::new();
    let heard = heart.hear(opened, |happening| told.push(happening));
    (heard.is_ok(), told)
}

/// The turn by which a claim opens the gate.
fn opening(heart: &mut Heart) -> (Turn, Instant) {
    heart.step(now(), Input::Claim { group: GROUP, epoch: Epoch(1) });
    let _said = errands(heart);
    heart.step(heart.deadline().unwrap(), Input::Tick);
    let deadline = heart.decided().iter().find_map(|output| match output {
        Output::Gate(GateOrder::Renew { deadline, .. }) => Some(*deadline),
        _ => None,
    });
    let turn = errands(heart).into_iter().find_map(|errand| match errand {
        Errand::Gate(turn) => Some(turn),
        _ => None,
    });
    (turn.unwrap(), deadline.unwrap())
}

// spec: L3
#[test]
fn a_gate_is_asked_for_until_a_tick_before_the_lease_ends() {
    let mut heart = heart();
    let (turn, deadline) = opening(&mut heart);
    assert_eq!((turn.group, turn.until), (GROUP, Some(deadline.before(TICK))));
}

#[test]
fn the_kernel_s_answer_is_the_next_input() {
    for done in [true, false] {
        let mut heart = heart();
        let (turn, _) = opening(&mut heart);
        heart.obey(now(), Input::Resume);
        heart.acknowledge(turn, done);
        let Turn { group, ticket, .. } = turn;
        let answer = if done {
            Input::GateOpened { group, ticket }
        } else {
            Input::GateFailed { group, ticket }
        };
        assert_eq!(heart.next_input(), Some(answer), "before what waited");
        assert_eq!(heart.next_input(), Some(Input::Resume));
        assert_eq!(heart.next_input(), None);
    }
}

#[test]
fn a_gate_that_was_closed_is_said_to_be_closed() {
    let mut heart = heart();
    let (turn, _) = opening(&mut heart);
    heart.step(now(), turn.answered(true));
    let gained = |errand: &Errand| {
        matches!(errand, Errand::Tell(Happening::Heartbeat(Output::LeaseGained { .. })))
    };
    assert!(errands(&mut heart).iter().any(gained));
    heart.step(now(), Input::Release { group: GROUP });
    let closing = errands(&mut heart).into_iter().find_map(|errand| match errand {
        Errand::Gate(turn) => Some(turn),
        _ => None,
    });
    let Turn { group, until, ticket } = closing.unwrap();
    assert_eq!(until, None);
    heart.acknowledge(closing.unwrap(), true);
    assert_eq!(heart.next_input(), Some(Input::GateClosed { group, ticket }));
}

// spec: L3 "abandons every gate write begun before it"
#[test]
fn an_opening_that_the_kernel_acknowledges_after_the_release_gives_no_lease() {
    let mut heart = heart();
    let (opening, _) = opening(&mut heart);
    heart.step(now(), Input::Release { group: GROUP });
    let closing = errands(&mut heart).into_iter().find_map(|errand| match errand {
        Errand::Gate(turn) => Some(turn),
        _ => None,
    });
    let mut told = |turn| {
        heart.acknowledge(turn, true);
        let answer = heart.next_input().unwrap();
        heart.step(now(), answer);
        let told = errands(&mut heart).into_iter().filter_map(|errand| match errand {
            Errand::Tell(Happening::Heartbeat(output)) => Some(output),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(told(opening), []);
    let released = Output::Released { group: GROUP, epoch: Epoch(1) };
    assert_eq!(told(closing.unwrap()), [released]);
}

#[test]
fn a_life_is_told_of_once_and_before_what_it_said() {
    let mut heart = heart();
    let (from, link) = (NodeId(2), LinkId(0));
    let heard = |boot| Happening::Heard { from, boot: BootId(boot) };
    let packet =
        |boot| Happening::Packet { from, boot: BootId(boot), link, bytes: b"said".to_vec() };
    let express = |boot| frame(Kind::Express, boot, b"said");
    assert_eq!(hear(&mut heart, &express(1)), (true, vec![heard(1), packet(1)]));
    assert_eq!(hear(&mut heart, &express(1)), (true, vec![packet(1)]));
    assert_eq!(hear(&mut heart, &express(2)), (true, vec![heard(2), packet(2)]));
    heart.set_members(&BTreeSet::new());
    assert_eq!(hear(&mut heart, &express(2)), (true, vec![heard(2), packet(2)]));
    for boot in [1, 1, 2, 2] {
        let boot = BootId(boot);
        assert_eq!(heart.next_input(), Some(Input::Heard { from, boot, link }));
    }
}

#[test]
fn who_sends_what_does_not_decode_lives_and_has_said_nothing() {
    let mut heart = heart();
    let happening = Happening::Heard { from: NodeId(2), boot: BootId(1) };
    assert_eq!(hear(&mut heart, &frame(Kind::Beat, 1, &[0xff])), (false, vec![happening]));
    assert_eq!(heart.next_input(), None);
}

#[test]
fn nothing_follows_after_the_hand_over() {
    let mut heart = heart();
    heart.obey(now(), Input::Resume);
    assert!(heart.hand_over(now()).is_some());
    assert_eq!((heart.next_input(), heart.deadline()), (None, None));
    assert_eq!(heart.hand_over(now()), None);
}

/// Does what there is to do now, with a kernel that obeys; returns the errands but those to peers.
fn settle(heart: &mut Heart, now: Instant) -> Vec<Errand> {
    let mut done = Vec::new();
    loop {
        for errand in errands(heart) {
            match errand {
                Errand::Gate(turn) => heart.acknowledge(turn, true),
                Errand::Send { .. } => continue,
                _ => {}
            }
            done.push(errand);
        }
        let Some(input) = heart.next_input() else { return done };
        heart.step(now, input);
    }
}

/// Has its lease, the gate open, and nothing to do.
fn holding() -> (Heart, Instant) {
    let mut heart = heart();
    heart.obey(now(), Input::Claim { group: GROUP, epoch: Epoch(1) });
    let mut at = now();
    while !heart.machine().unwrap().lease(GROUP).is_some_and(|lease| lease.gained) {
        let _done = settle(&mut heart, at);
        at = heart.deadline().unwrap();
        heart.tick(at);
    }
    let _done = settle(&mut heart, at);
    (heart, at)
}

fn closes(errands: &[Errand]) -> bool {
    errands.iter().any(|e| matches!(e, Errand::Gate(Turn { group: GROUP, until: None, .. })))
}

fn releases(errands: &[Errand]) -> usize {
    let released = |errand: &&Errand| {
        matches!(errand, Errand::Tell(Happening::Heartbeat(Output::Released { group: GROUP, .. })))
    };
    errands.iter().filter(released).count()
}

const RELEASE: Input = Input::Release { group: GROUP };

#[test]
fn a_release_waits_a_moment_in_which_the_gate_takes_no_newcomers() {
    let (mut heart, at) = holding();
    heart.obey(at, RELEASE);
    assert_eq!(settle(&mut heart, at), [Errand::RefuseNewcomers(GROUP)]);
    let closing = at + LAST_ANSWERS;
    assert!(heart.deadline().unwrap() <= closing);
    heart.tick(closing.before(Duration::from_nanos(1)));
    assert!(!closes(&settle(&mut heart, at)));
    heart.tick(closing);
    let done = settle(&mut heart, closing);
    assert_eq!((closes(&done), releases(&done)), (true, 1));
}

/// In a switchover the owner may learn of its successor's grant before it is ordered to stop.
#[test]
fn a_grant_to_another_waits_as_well_and_the_release_behind_it_no_longer() {
    let (mut heart, at) = holding();
    let granted = |epoch| Input::Granted { group: GROUP, epoch: Epoch(epoch) };
    heart.obey(at, granted(1));
    assert_eq!(settle(&mut heart, at), [], "what is held is granted again at a restart");
    heart.obey(at, granted(2));
    heart.obey(at + LAST_ANSWERS / 2, RELEASE);
    assert_eq!(settle(&mut heart, at), [Errand::RefuseNewcomers(GROUP)]);
    heart.tick(at + LAST_ANSWERS);
    let done = settle(&mut heart, at + LAST_ANSWERS);
    // The one tells that the gate closed, the other answers the order.
    assert_eq!((closes(&done), releases(&done)), (true, 2));
}

#[test]
fn what_is_not_held_is_released_at_once() {
    let (mut heart, at) = (heart(), now());
    heart.obey(at, RELEASE);
    assert_eq!(releases(&settle(&mut heart, at)), 1);
}

#[test]
fn a_claim_follows_upon_the_release_of_its_group_and_hurries_no_other() {
    let claim = |group| Input::Claim { group, epoch: Epoch(1) };
    let (mut heart, at) = holding();
    heart.obey(at, RELEASE);
    heart.obey(at, claim(GroupId(2)));
    assert!(!closes(&settle(&mut heart, at)));
    heart.obey(at, claim(GROUP));
    let done = settle(&mut heart, at);
    assert_eq!((closes(&done), releases(&done)), (true, 1));
    assert!(heart.machine().unwrap().lease(GROUP).is_some(), "and it is claimed anew");
}

#[test]
fn before_a_restart_or_the_end_what_was_given_up_is_closed() {
    for order in [Some(Input::PlanRestart), None] {
        let (mut heart, at) = holding();
        heart.obey(at, RELEASE);
        match order {
            Some(order) => heart.obey(at, order),
            None => assert!(heart.hurry()),
        }
        let done = settle(&mut heart, at);
        assert_eq!((closes(&done), releases(&done)), (true, 1));
        assert!(!heart.hurry());
        assert_eq!(heart.hand_over(at).unwrap().held, [], "a successor inherits it no more");
    }
}
