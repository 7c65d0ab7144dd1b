//! The machine from outside: what follows from what, in which phase, and until when.

use std::time::Duration;

use bytes::Bytes;
use haven_api::{AttributeLifetime, Code, EventSeverity, ReplyBody, RequestBody};
use haven_consensus::{Batch, PersistToken};
use haven_controller::{Input, Local, Output};
use haven_executor::RunId;
use haven_heartbeat::{Input as ToBeat, Output as Beat};
use haven_messaging::ClusterKey;
use haven_types::operation::{AgentName, Lease, Operation};
use haven_types::{BootId, Epoch, GroupId, LinkId, NodeId};

use crate::bed::{Bed, LARGE, VIP, finished, frame, member, members};
use crate::port::{Effect, End, Happening};
use crate::{
    COORDINATOR_PATIENCE, EXTEND_EVERY, LEAST_LEASE, LEAVE_PATIENCE, MAX_DEFERRED, Phase,
    RESTART_PATIENCE, STALE,
};

fn asked(id: u64, body: RequestBody) -> Happening {
    Happening::Asked { id, author: "root".to_owned(), body }
}

fn restart_ready() -> Happening {
    Happening::Heartbeat(Beat::RestartReady { until: None })
}

fn cleanup() -> RequestBody {
    RequestBody::ResourceCleanup { resource: None, node: None }
}

/// An effect that matters for the end of a life, in a word.
fn word(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::End(end) => format!("{end:?}"),
        Effect::Removed => "removed".to_owned(),
        Effect::Heartbeat(input) if **input == ToBeat::PlanRestart => "plan".to_owned(),
        Effect::Heartbeat(input) if **input == ToBeat::Resume => "resume".to_owned(),
        Effect::Reply { id, body, .. } => match &**body {
            Ok(ReplyBody::Restarting { .. }) => format!("{id}: restarting"),
            Ok(other) => format!("{id}: {other:?}"),
            Err(error) => format!("{id}: {:?}", error.code),
        },
        _ => return None,
    })
}

fn words(effects: &[Effect]) -> String {
    effects.iter().filter_map(word).collect::<Vec<_>>().join(", ")
}

fn phase(bed: &Bed) -> &'static str {
    match bed.hub.phase() {
        Phase::Serving => "serving",
        Phase::Leaving { .. } => "leaving",
        Phase::Restarting { .. } => "restarting",
        Phase::Ended(End::Stopped) => "stopped",
        Phase::Ended(End::Replaced) => "replaced",
    }
}

/// A node that runs something, in a phase of its end.
fn in_phase(name: &str) -> Bed {
    let mut bed = Bed::running();
    let way = match name {
        "serving" => vec![],
        "leaving" => vec![Happening::Terminate],
        "restarting" => vec![asked(1, RequestBody::PlanRestart)],
        "stopped" => vec![Happening::Terminate, Happening::Terminate],
        "replaced" => vec![asked(1, RequestBody::PlanRestart), restart_ready()],
        other => panic!("there is no phase {other}"),
    };
    for happening in way {
        bed.tell(happening);
    }
    assert_eq!(phase(&bed), name);
    bed.told();
    bed
}

/// What happens, in which phase the life is then, and what is said of its end.
type Row = (&'static str, [(&'static str, &'static str); 5]);

const PHASES: [&str; 5] = ["serving", "leaving", "restarting", "stopped", "replaced"];

const TABLE: [Row; 8] = [
    (
        "terminate",
        [
            ("leaving", ""),
            ("stopped", "Stopped"),
            ("leaving", "resume, 1: Unavailable"),
            ("stopped", ""),
            ("replaced", ""),
        ],
    ),
    (
        "plan a restart",
        [
            ("restarting", "plan"),
            ("leaving", "9: Unavailable"),
            ("restarting", "9: Unavailable"),
            ("stopped", ""),
            ("replaced", ""),
        ],
    ),
    (
        "long leases",
        [
            ("serving", ""),
            ("leaving", ""),
            ("replaced", "1: restarting, Replaced"),
            ("stopped", ""),
            ("replaced", ""),
        ],
    ),
    (
        "removed",
        [
            ("stopped", "removed, Stopped"),
            ("stopped", "removed, Stopped"),
            ("stopped", "removed, Stopped"),
            ("stopped", ""),
            ("replaced", ""),
        ],
    ),
    (
        "heartbeats ended",
        [
            ("stopped", "Stopped"),
            ("stopped", "Stopped"),
            ("stopped", "Stopped"),
            ("stopped", ""),
            ("replaced", ""),
        ],
    ),
    (
        "a tick",
        [("serving", ""), ("leaving", ""), ("restarting", ""), ("stopped", ""), ("replaced", "")],
    ),
    (
        "the restart's patience",
        [
            ("serving", ""),
            ("leaving", ""),
            ("serving", "resume, 1: Timeout"),
            ("stopped", ""),
            ("replaced", ""),
        ],
    ),
    (
        "the leave's patience",
        [
            ("serving", ""),
            ("stopped", "Stopped"),
            ("serving", "resume, 1: Timeout"),
            ("stopped", ""),
            ("replaced", ""),
        ],
    ),
];

fn happens(bed: &mut Bed, what: &str) -> Vec<Effect> {
    match what {
        "terminate" => bed.tell(Happening::Terminate),
        "plan a restart" => bed.tell(asked(9, RequestBody::PlanRestart)),
        "long leases" => bed.tell(restart_ready()),
        "removed" => bed.say(vec![Output::Removed]),
        "heartbeats ended" => bed.tell(Happening::HeartbeatEnded),
        "a tick" => bed.tell(Happening::Tick),
        "the restart's patience" => bed.wait(RESTART_PATIENCE),
        "the leave's patience" => bed.wait(LEAVE_PATIENCE),
        other => panic!("nothing is called {other}"),
    }
}

// spec: L9
#[test]
fn every_phase_answers_everything_as_the_table_says() {
    for (what, row) in TABLE {
        for (from, (to, said)) in PHASES.into_iter().zip(row) {
            let mut bed = in_phase(from);
            let effects = happens(&mut bed, what);
            assert_eq!((phase(&bed), &*words(&effects)), (to, said), "{what}, {from}");
        }
    }
}

#[test]
fn nothing_follows_after_the_end() {
    for name in ["stopped", "replaced"] {
        let mut bed = in_phase(name);
        for happening in [
            Happening::Tick,
            Happening::Local(Local::Persisted(PersistToken(99))),
            Happening::Local(Local::Sound { about: "late".to_owned() }),
            Happening::Heartbeat(Beat::Link { peer: NodeId(2), link: LinkId(0), up: true }),
            asked(5, cleanup()),
        ] {
            assert_eq!(bed.tell(happening), [], "{name}");
        }
        assert_eq!(bed.wait(LEAVE_PATIENCE), [], "{name}");
        assert_eq!(bed.told(), [], "{name}");
        assert_eq!(bed.hub.deadline(), None, "{name}");
    }
}

#[test]
fn who_leaves_waits_for_what_runs_here_and_for_nothing_else() {
    let mut idle = Bed::new(&[1, 2], "");
    idle.tell(Happening::Terminate);
    assert_eq!(words(&idle.tell(Happening::Tick)), "Stopped", "nothing runs here");

    let mut bed = Bed::running();
    bed.tell(Happening::Terminate);
    assert_eq!(bed.told(), [Input::Shutdown]);
    let since = bed.clock().now;
    let until = since + LEAVE_PATIENCE;
    assert_eq!(bed.hub.phase(), Phase::Leaving { since, until });
    assert!(bed.hub.deadline().is_some_and(|at| at <= until));
    bed.now += LEAVE_PATIENCE.saturating_sub(Duration::from_millis(1));
    assert_eq!(words(&bed.tell(Happening::Tick)), "");
    assert_eq!(words(&bed.wait(Duration::from_millis(1))), "Stopped");
}

/// Runs what may take a minute to stop, and was told to end; its agent does not answer.
fn slow_to_end() -> (Bed, RunId) {
    let db = "primitive db ocf:heartbeat:Dummy op stop timeout=60s";
    let mut bed = Bed::running_what(&format!("property stonith-enabled=false\n{db}"));
    bed.hangs = true;
    bed.hub.step(bed.clock(), Happening::Terminate);
    bed.live(100);
    assert!(bed.hub.controller().busy(), "{:?}", bed.seen);
    let run = bed.hung[0];
    (bed, run)
}

/// What was said to be wrong.
fn errors(effects: &[Effect]) -> Vec<&str> {
    let all = effects.iter().filter_map(|effect| match effect {
        Effect::Line { severity: EventSeverity::Error, text } => Some(text.as_str()),
        _ => None,
    });
    all.collect()
}

#[test]
fn who_leaves_waits_for_a_stop_as_long_as_that_may_take() {
    let (mut bed, run) = slow_to_end();
    bed.live(55_000);
    assert_eq!((phase(&bed), &*words(&bed.seen)), ("leaving", ""));
    bed.hub.step(bed.clock(), finished(run, 0));
    bed.live(100);
    assert_eq!((&*words(&bed.seen), errors(&bed.seen).len()), ("Stopped", 0));
}

#[test]
fn who_ends_with_something_still_running_says_what_and_how_to_go_on() {
    let failed = {
        let (mut bed, _) = slow_to_end();
        bed.live(59_000);
        assert_eq!(phase(&bed), "leaving");
        // The stop's time is over, and nobody tries again.
        bed.live(22_000);
        bed.seen
    };
    let told_twice = slow_to_end().0.tell(Happening::Terminate);
    let no_heartbeat = slow_to_end().0.tell(Happening::HeartbeatEnded);
    let removed = slow_to_end().0.say(vec![Output::Removed]);
    for (effects, remedy) in [
        (failed, "start the daemon again (they did not move within"),
        (told_twice, "start the daemon again (they did not move within 0 s)"),
        (no_heartbeat, "start the daemon again"),
        (removed, "stop them by hand"),
    ] {
        let [text] = errors(&effects)[..] else { panic!("{effects:?}") };
        let named = "the daemon ends while these still run here, or may: db; nobody watches them: ";
        assert!(text.starts_with(named) && text.contains(remedy), "{text}");
        assert_eq!(effects.last(), Some(&Effect::End(End::Stopped)), "said before the end");
    }
}

/// A stop of the resource that a running node runs, as an operator's wish; agents do not answer.
fn operation_under_way(bed: &mut Bed) -> RunId {
    bed.hangs = true;
    let standby = RequestBody::NodeStandby {
        node: Some("n1".to_owned()),
        on: true,
        lifetime: haven_api::StandbyLifetime::Forever,
        wait: false,
        timeout_ms: None,
    };
    bed.hub.step(bed.clock(), asked(3, standby));
    bed.live(3_000);
    assert!(bed.hub.controller().busy(), "{:?}", bed.seen);
    bed.seen.clear();
    bed.hung[0]
}

// spec: L9
#[test]
fn a_restart_waits_for_the_operation_under_way() {
    let mut bed = Bed::running();
    let run = operation_under_way(&mut bed);
    let planned = bed.tell(asked(1, RequestBody::PlanRestart));
    assert_eq!(words(&planned), "plan");
    let until = bed.clock().now + Duration::from_millis(1_500);
    let ready = Happening::Heartbeat(Beat::RestartReady { until: Some(until) });
    assert_eq!(words(&bed.tell(ready)), "");
    assert_eq!(words(&bed.wait(Duration::from_millis(500))), "", "it is under way still");
    assert_eq!(phase(&bed), "restarting");
    bed.tell(finished(run, 0));
    let effects = bed.tell(Happening::Tick);
    assert_eq!(words(&effects), "1: restarting, Replaced");
    let Some(Effect::Reply { body, .. }) = effects.iter().find(|e| word(e).is_some()) else {
        panic!("an answer: {effects:?}");
    };
    assert_eq!(**body, Ok(ReplyBody::Restarting { boot: 1, lease_left_ms: Some(1_000) }));
}

// spec: L9
#[test]
fn a_restart_that_was_called_off_does_not_come_back() {
    let mut bed = Bed::running();
    let run = operation_under_way(&mut bed);
    bed.tell(asked(1, RequestBody::PlanRestart));
    let until = bed.clock().now + RESTART_PATIENCE;
    assert!(bed.hub.deadline().is_some_and(|at| at <= until));
    bed.tell(restart_ready());
    assert_eq!(words(&bed.wait(RESTART_PATIENCE)), "resume, 1: Timeout");
    bed.tell(finished(run, 0));
    assert_eq!(words(&bed.tell(Happening::Tick)), "");
    assert_eq!(words(&bed.tell(restart_ready())), "", "it comes too late");
    assert_eq!(phase(&bed), "serving");
    assert_eq!(
        words(&bed.tell(asked(2, RequestBody::PlanRestart))),
        "plan",
        "it may be tried again"
    );
    assert_eq!(words(&bed.tell(restart_ready())), "2: restarting, Replaced");
}

fn persist(token: u64) -> Output {
    Output::Persist { token: PersistToken(token), batch: Box::new(Batch::default()) }
}

#[test]
fn what_was_decided_first_is_done_first() {
    // A key is drawn and announced while what the same step decided still waits to be carried out: its
    // entry of the log must not reach the disk before theirs.
    let mut bed = Bed::new(&[1, 2], "");
    bed.will_say(vec![persist(1), Output::KeyOutdated, persist(2)]);
    bed.hub.step(bed.clock(), Happening::Local(Local::RequestGone(0)));
    let mut tokens = Vec::new();
    while let Some(effect) = bed.hub.next_effect() {
        match effect {
            Effect::KeyOutdated => {
                bed.will_say(vec![persist(3)]);
                let notice = ClusterKey { epoch: 2, secret: [1; 32] }.notice();
                let drawn = Happening::Local(Local::RotateKey { request: 0, notice });
                bed.hub.step(bed.clock(), drawn);
            }
            Effect::Persist { token, .. } => tokens.push(token.0),
            _ => {}
        }
    }
    assert_eq!(tokens, [1, 2, 3]);
}

// spec: L8
#[test]
fn addresses_come_under_the_gate_before_anything_that_follows_from_them() {
    let mut bed = Bed::new(&[1], VIP);
    let effects = std::mem::take(&mut bed.seen);
    assert!(matches!(&effects[0], Effect::Entries(entries) if entries.len() == 1), "{effects:?}");
    let told = |effects: &[Effect]| {
        effects.iter().filter(|effect| matches!(effect, Effect::Entries(_))).count()
    };
    assert_eq!(told(&effects), 1);
    assert_eq!(told(&bed.tell(Happening::Tick)), 0, "once for each change");
}

#[test]
fn large_messages_travel_by_the_connection() {
    let mut bed = Bed::new(&[1, 2], "");
    bed.say(vec![Output::Members(members(&[1, 2]))]);
    bed.tell(Happening::Heard { from: NodeId(2), boot: BootId(5) });
    let send = |to: u16, length: usize, ordered: bool| {
        vec![Output::Send { to: NodeId(to), bytes: vec![3; length], ordered }]
    };
    for ordered in [false, true] {
        let effects = bed.say(send(2, LARGE, ordered));
        assert!(matches!(effects[..], [Effect::Transmit { to: NodeId(2), .. }]), "{effects:?}");
        let effects = bed.say(send(2, LARGE + 1, ordered));
        let frame = Bytes::from([vec![1], vec![3; LARGE + 1]].concat());
        assert_eq!(effects, [Effect::Stream { to: NodeId(2), frame }]);
        assert_eq!(bed.say(send(7, LARGE + 1, ordered)), [], "no member");
    }
}

#[test]
fn what_is_not_ordered_grows_stale_and_what_is_ordered_does_not() {
    let left = |ordered| {
        let mut bed = Bed::new(&[1, 2], "");
        // Nothing was heard of it: what is sent waits.
        bed.say(vec![Output::Send { to: NodeId(2), bytes: vec![3], ordered }]);
        bed.will_say(vec![]);
        bed.wait(STALE);
        bed.tell(Happening::Heard { from: NodeId(2), boot: BootId(5) });
        let peer = bed.hub.under_way().peers[&NodeId(2)].clone();
        peer.queued + peer.in_flight
    };
    assert_eq!(left(true), left(false) + 1);
}

#[test]
fn who_is_no_member_is_not_listened_to() {
    let mut bed = Bed::new(&[1, 2], "");
    bed.say(vec![Output::Members(members(&[1, 2]))]);
    bed.told();
    for bytes in [&b"\x01message"[..], b"\x02keys", b"\x09other", b""] {
        assert_eq!(bed.tell(frame("stranger", bytes)), []);
    }
    assert_eq!(bed.tell(Happening::Connected { peer: "stranger".to_owned() }), []);
    let (peer, as_of) = ("stranger".to_owned(), haven_types::LogIndex(7));
    assert_eq!(bed.tell(Happening::TurnedAway { peer, as_of }), []);
    assert_eq!(bed.told(), []);

    bed.will_say(vec![]);
    assert_eq!(bed.tell(frame("n2", b"\x01message")), []);
    let (from, boot) = (NodeId(2), BootId(1));
    assert_eq!(bed.told(), [Input::Peer { from, boot, bytes: b"message".to_vec() }]);
    let peer = "n2".to_owned();
    bed.will_say(vec![]);
    assert_eq!(bed.tell(Happening::TurnedAway { peer, as_of }), []);
    assert_eq!(bed.told(), [Input::TurnedAway { by: from, as_of }]);
    let bytes = Bytes::from_static(b"keys");
    assert_eq!(bed.tell(frame("n2", b"\x02keys")), [Effect::KeyMessage { from, bytes }]);
    let effects = bed.tell(frame("n2", b"\x09other"));
    let [Effect::Line { severity: EventSeverity::Warning, text }] = &effects[..] else {
        panic!("a line: {effects:?}");
    };
    assert!(text.contains("kind 9"), "{text}");
    assert_eq!(bed.tell(frame("n2", b"")), []);
    assert_eq!(bed.told(), []);
    bed.will_say(vec![]);
    let up = bed.tell(Happening::Connected { peer: "n2".to_owned() });
    assert_eq!(up, [Effect::Connected(NodeId(2))]);
    assert_eq!(bed.told(), [Input::PeerReset(NodeId(2))], "what was too large was lost");
}

fn link(peer: u16, up: bool) -> Happening {
    Happening::Heartbeat(Beat::Link { peer: NodeId(peer), link: LinkId(0), up })
}

#[test]
fn a_member_that_comes_back_is_connected_at_once() {
    let mut bed = Bed::new(&[1, 2], "");
    bed.say(vec![Output::Members(members(&[1, 2]))]);
    let mut reconnects = |happening| -> Vec<Effect> {
        let effects = bed.tell(happening).into_iter();
        effects.filter(|effect| matches!(effect, Effect::Reconnect(_))).collect()
    };
    assert_eq!(reconnects(link(2, true)), [Effect::Reconnect(NodeId(2))]);
    assert_eq!(reconnects(link(2, false)), []);
    assert_eq!(reconnects(link(7, true)), [], "no member");
}

#[test]
fn a_member_that_was_removed_leaves_nothing_behind() {
    let mut bed = Bed::new(&[1, 2, 3], "");
    bed.say(vec![Output::Members(members(&[1, 2, 3]))]);
    for peer in [2, 3] {
        bed.tell(Happening::Heard { from: NodeId(peer), boot: BootId(5) });
        bed.say(vec![Output::Send { to: NodeId(peer), bytes: vec![1], ordered: true }]);
    }
    assert_eq!(bed.hub.under_way().peers.len(), 2);
    let effects = bed.say(vec![Output::Members(members(&[1, 2]))]);
    assert_eq!(effects, [Effect::Members([(NodeId(2), member(2))].into())], "the others");
    assert!(!bed.hub.under_way().peers.contains_key(&NodeId(3)), "nothing is repeated");
    bed.told();
    assert_eq!(bed.tell(frame("n3", b"\x01message")), []);
    assert_eq!(bed.told(), []);
    // What the heartbeat thread told before it knew.
    let (from, boot, link) = (NodeId(3), BootId(5), LinkId(0));
    bed.tell(Happening::Heard { from, boot });
    bed.tell(Happening::Packet { from, boot, link, bytes: vec![1] });
    bed.tell(self::link(3, true));
    assert!(!bed.hub.under_way().peers.contains_key(&NodeId(3)), "nor begun anew");
    let large = Output::Send { to: NodeId(3), bytes: vec![1; LARGE + 1], ordered: true };
    assert_eq!(bed.say(vec![large]), []);
}

#[test]
fn a_change_waits_for_a_coordinator() {
    let mut bed = Bed::new(&[1, 2, 3], "");
    let served = |effects: Vec<Effect>| -> Vec<u64> {
        let id = |effect| match effect {
            Effect::Serve { id, .. } => Some(id),
            _ => None,
        };
        effects.into_iter().filter_map(id).collect()
    };
    assert_eq!(served(bed.tell(asked(1, RequestBody::Status))), [1], "it changes nothing");
    let own = RequestBody::NodeAttributeSet {
        node: None,
        name: "a".to_owned(),
        value: Some("1".to_owned()),
        lifetime: AttributeLifetime::Reboot,
        delay_ms: None,
        private: false,
    };
    assert_eq!(served(bed.tell(asked(2, own))), [2], "it is this node's own affair");
    assert!(served(bed.tell(asked(3, cleanup()))).is_empty());
    bed.now += Duration::from_secs(1);
    assert!(served(bed.tell(asked(4, cleanup()))).is_empty());
    assert_eq!(served(bed.wait(COORDINATOR_PATIENCE - Duration::from_secs(1))), [3]);
    assert_eq!(served(bed.wait(Duration::from_secs(1))), [4], "nobody waits for ever");
}

#[test]
fn a_change_is_served_as_soon_as_somebody_coordinates() {
    let mut bed = Bed::new(&[1], "");
    bed.tell(asked(1, cleanup()));
    let since = bed.now;
    bed.hangs = true;
    for _ in 0..450 {
        bed.live(10);
        if bed.hub.controller().leader().is_some() {
            break;
        }
        assert!(bed.seen.iter().all(|effect| word(effect).is_none()), "{:?}", bed.seen);
    }
    bed.live(50);
    assert!(bed.now - since < COORDINATOR_PATIENCE);
    let answered = bed.seen.iter().any(|effect| matches!(effect, Effect::Reply { id: 1, .. }));
    assert!(answered, "{:?}", bed.seen);
}

#[test]
fn only_so_many_changes_wait() {
    let mut bed = Bed::new(&[1, 2, 3], "");
    for id in 0..MAX_DEFERRED as u64 {
        assert_eq!(bed.tell(asked(id, cleanup())), []);
    }
    let refused = bed.tell(asked(5_000, cleanup()));
    assert_eq!(words(&refused), format!("5000: {:?}", Code::Unavailable));
}

fn start() -> Operation {
    Operation {
        resource: "vip".to_owned(),
        agent: AgentName { standard: "ocf".to_owned(), provider: None, name: "ip".to_owned() },
        action: "start".to_owned(),
        interval: Duration::ZERO,
        timeout: Duration::from_secs(1),
        params: [].into(),
        meta: [].into(),
    }
}

#[test]
fn an_agent_is_told_when_its_lease_ends_at_least() {
    let lease = Lease { group: GroupId(4), epoch: Epoch(2) };
    let mut bed = Bed::new(&[1, 2], "");
    let now = bed.clock().now;
    let told = |bed: &mut Bed| {
        let call = Output::RunAgent { run: RunId(1), operation: start(), lease: Some(lease) };
        let effects = bed.say(vec![call]);
        let [Effect::RunAgent { lease: Some(held), .. }] = &effects[..] else {
            panic!("a call: {effects:?}");
        };
        assert_eq!(held.lease, lease);
        held.until
    };
    let gained = |epoch, millis| Beat::LeaseGained {
        group: GroupId(4),
        epoch: Epoch(epoch),
        until: now + Duration::from_millis(millis),
    };
    assert_eq!(told(&mut bed), now + LEAST_LEASE, "not reported yet");
    bed.tell(Happening::Heartbeat(gained(1, 700)));
    assert_eq!(told(&mut bed), now + LEAST_LEASE, "that of another grant");
    bed.tell(Happening::Heartbeat(gained(2, 500)));
    assert_eq!(told(&mut bed), now + Duration::from_millis(500));
    bed.tell(Happening::Heartbeat(gained(2, 10)));
    assert_eq!(told(&mut bed), now + LEAST_LEASE, "renewed since, or it would be lost");
    bed.tell(Happening::Heartbeat(gained(2, 500)));
    bed.tell(Happening::Heartbeat(Beat::Released { group: GroupId(4), epoch: Epoch(2) }));
    assert_eq!(told(&mut bed), now + LEAST_LEASE);
}

#[test]
fn what_runs_under_a_lease_is_extended_every_second() {
    let extended = |effects: &[Effect]| {
        effects.iter().filter(|effect| matches!(effect, Effect::Extend(_))).count()
    };
    let mut bed = Bed::running();
    bed.wait(EXTEND_EVERY);
    assert_eq!(extended(&bed.tell(Happening::Tick)), 0);
    let effects = bed.wait(EXTEND_EVERY);
    let Some(Effect::Extend(started)) = effects.iter().find(|e| matches!(e, Effect::Extend(_)))
    else {
        panic!("an extension: {effects:?}");
    };
    assert_eq!(started.len(), 1);
    assert!(bed.hub.deadline().is_some_and(|at| at <= bed.clock().now + EXTEND_EVERY));
    let mut idle = Bed::new(&[1, 2], "");
    assert_eq!(extended(&idle.wait(EXTEND_EVERY)), 0, "nothing runs here");
}
