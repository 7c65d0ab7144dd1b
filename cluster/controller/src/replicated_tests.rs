//! What each command does to the state, and what it refuses; what each record does to a history.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::WallTime;
use haven_cib::Cib;
use haven_messaging::ClusterKey;
use haven_types::operation::{
    AgentName, ExecutionStatus, OcfCode, Operation, OperationRecord, Outcome,
};
use haven_types::{BootId, Epoch, GroupId, NodeId};

use crate::command::{Authorship, Command, JoinRefusal, Member, Role};
use crate::failures;
use crate::history::{Merged, NodeHistory, Slot, StatusDelta};
use crate::replicated::{Applied, MAX_TOKENS, Replicated};

fn member(id: u16) -> Member {
    Member {
        id: NodeId(id),
        name: format!("n{id}"),
        role: Role::Full,
        links: vec![(haven_types::LinkId(0), format!("192.0.2.{id}:5405").parse().unwrap())],
        channel: format!("192.0.2.{id}:5406").parse().unwrap(),
        key: [u8::try_from(id).unwrap(); 32],
    }
}

const ANSWER: (NodeId, u64) = (NodeId(1), 7);

fn founded() -> Replicated {
    Replicated::founded(member(1), Cib::default())
}

fn mint(state: &mut Replicated, byte: u8) -> Applied {
    let expires = WallTime::from_seconds(2_000);
    state.apply(Command::MintToken { token: [byte; 32], expires, answer: ANSWER })
}

fn join(state: &mut Replicated, member: Member, byte: u8) -> Applied {
    state.apply(Command::AddMember { member, token: [byte; 32], answer: ANSWER })
}

fn grant(state: &mut Replicated, group: &str, epoch: u64, holder: Option<u16>) -> Applied {
    let (epoch, holder) = (Epoch(epoch), holder.map(NodeId));
    state.apply(Command::Grant { group: group.to_owned(), epoch, holder })
}

#[test]
fn a_grant_makes_just_the_next_epoch() {
    let mut state = founded();
    assert_eq!(grant(&mut state, "a", 2, Some(1)), Applied::Nothing, "from the future");
    assert!(matches!(grant(&mut state, "a", 1, Some(1)), Applied::Granted { .. }));
    assert_eq!(grant(&mut state, "a", 1, Some(2)), Applied::Nothing, "out of date");
    assert_eq!(grant(&mut state, "a", 3, Some(2)), Applied::Nothing, "one too far");
    assert!(matches!(grant(&mut state, "a", 2, Some(2)), Applied::Granted { .. }));
    assert_eq!(state.grants["a"].holder, Some(NodeId(2)));
    grant(&mut state, "b", 1, None);
    assert_eq!((state.grants["a"].group, state.grants["b"].group), (GroupId(1), GroupId(2)));
}

#[test]
fn a_configuration_made_from_an_older_one_changes_nothing() {
    let mut state = founded();
    let base = state.cib.version;
    let load = |state: &mut Replicated, author: &str| {
        let (author, node, message) = (author.to_owned(), "n1".to_owned(), String::new());
        let by = Authorship { author, node, message, at: WallTime::from_seconds(1) };
        let cib = Box::new(Cib::default());
        state.apply(Command::Configure { base, cib, changes: Vec::new(), by })
    };
    assert!(matches!(load(&mut state, "first"), Applied::Configured(_)));
    let current = state.cib.version;
    assert_eq!(load(&mut state, "second"), Applied::Stale { current });
    assert_eq!(state.commits.len(), 1);
    assert_eq!(state.commits[0].by.author, "first");
}

#[test]
fn a_configuration_made_before_the_members_changed_changes_nothing() {
    let names = |state: &Replicated| -> Vec<String> {
        state.cib.nodes.iter().map(|node| node.uname.clone()).collect()
    };
    let made = |state: &Replicated| Command::Configure {
        base: state.cib.version,
        cib: Box::new(state.cib.clone()),
        changes: Vec::new(),
        by: Authorship {
            author: "uid 0".to_owned(),
            node: "n1".to_owned(),
            message: String::new(),
            at: WallTime::from_seconds(1),
        },
    };
    let mut state = founded();
    let without = made(&state);
    mint(&mut state, 1);
    join(&mut state, member(2), 1);
    assert!(matches!(state.apply(without), Applied::Stale { .. }));
    assert_eq!(names(&state), ["n1", "n2"], "who joined meanwhile stays in the document");
    let with = made(&state);
    assert_eq!(state.apply(Command::RemoveMember { node: NodeId(2) }), Applied::Left(NodeId(2)));
    assert!(matches!(state.apply(with), Applied::Stale { .. }));
    assert_eq!(names(&state), ["n1"], "who left meanwhile is not brought back");
    let now = made(&state);
    assert!(matches!(state.apply(now), Applied::Configured(_)));
}

#[test]
fn a_token_admits_one_node_once() {
    let mut state = founded();
    let refused = |applied: Applied| match applied {
        Applied::NotJoined { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(join(&mut state, member(2), 1)), JoinRefusal::UnknownToken);
    mint(&mut state, 1);
    let joined = join(&mut state, member(2), 1);
    assert!(matches!(joined, Applied::Joined { ref member, .. } if member.id == NodeId(2)));
    // The same node asks again, as its answer was lost.
    assert_eq!(join(&mut state, member(2), 1), joined);
    assert_eq!(refused(join(&mut state, member(3), 1)), JoinRefusal::UsedToken);
    mint(&mut state, 2);
    let named = Member { name: "n2".to_owned(), ..member(3) };
    let taken = JoinRefusal::NameTaken { name: "n2".to_owned(), by: NodeId(2) };
    assert_eq!(refused(join(&mut state, named, 2)), taken);
    for addressed in [
        Member { channel: member(2).channel, ..member(3) },
        Member { links: member(2).links, ..member(3) },
        // A link where the other has its channel.
        Member { links: vec![(haven_types::LinkId(0), member(2).channel)], ..member(3) },
    ] {
        let taken = refused(join(&mut state, addressed, 2));
        assert!(matches!(taken, JoinRefusal::AddressTaken { by: NodeId(2), .. }), "{taken:?}");
    }
    // A refusal costs no token, and numbers are never given again.
    join(&mut state, member(3), 2);
    state.apply(Command::RemoveMember { node: NodeId(3) });
    mint(&mut state, 3);
    let next = join(&mut state, member(4), 3);
    assert!(matches!(next, Applied::Joined { ref member, .. } if member.id == NodeId(4)));
    assert_eq!(
        state.cib.nodes.iter().map(|n| n.uname.as_str()).collect::<Vec<_>>(),
        ["n1", "n2", "n4"]
    );
}

#[test]
fn tokens_are_bounded() {
    let mut state = founded();
    for byte in 0..MAX_TOKENS {
        let minted = mint(&mut state, u8::try_from(byte).unwrap());
        assert_eq!(minted, Applied::TokenMinted(ANSWER));
    }
    assert_eq!(mint(&mut state, 255), Applied::TokenRefused(ANSWER));
    assert_eq!(state.tokens.len(), MAX_TOKENS);
}

#[test]
fn tokens_that_are_void_make_room_for_new_ones() {
    let mut state = founded();
    for byte in 0..MAX_TOKENS {
        mint(&mut state, u8::try_from(byte).unwrap());
    }
    // The others are void from 2,000 on.
    let at = WallTime::from_seconds;
    let made = Command::MintToken { token: [255; 32], expires: at(1 << 40), answer: ANSWER };
    assert_eq!(
        state.apply(made.clone()),
        Applied::TokenRefused(ANSWER),
        "an entry means what it meant"
    );
    for (now, left) in [(1_999, MAX_TOKENS), (2_000, 0)] {
        assert_eq!(state.wants_room(at(now)), left == 0);
        assert_eq!(state.apply(Command::DropVoidTokens { now: at(now) }), Applied::Nothing);
        assert_eq!(state.tokens.len(), left);
    }
    assert_eq!(state.apply(made), Applied::TokenMinted(ANSWER));
    assert!(!state.wants_room(at(i64::MAX)), "there is room");
}

/// Postcard numbers the variants: a command of a log that another version wrote must stay what it was.
#[test]
fn commands_keep_their_numbers_and_new_ones_come_last() {
    let now = WallTime::from_seconds(2_000);
    let mint = Command::MintToken { token: [0; 32], expires: now, answer: ANSWER };
    assert_eq!(mint.encode()[1], 4);
    assert_eq!(Command::NoteVotes { votes: 1 }.encode()[1], 7);
    assert_eq!(Command::DropVoidTokens { now }.encode()[1], 9);
}

#[test]
fn who_leaves_takes_its_grants_along() {
    let mut state = founded();
    mint(&mut state, 1);
    join(&mut state, member(2), 1);
    grant(&mut state, "a", 1, Some(2));
    grant(&mut state, "b", 1, Some(1));
    assert!(!state.key_outdated);
    assert_eq!(state.apply(Command::RemoveMember { node: NodeId(2) }), Applied::Left(NodeId(2)));
    let held = |group: &str| (state.grants[group].epoch, state.grants[group].holder);
    assert_eq!(held("a"), (Epoch(2), None), "an epoch that nobody holds");
    assert_eq!(held("b"), (Epoch(1), Some(NodeId(1))));
    assert!(state.key_outdated, "it knows the key");
    assert_eq!(state.apply(Command::RemoveMember { node: NodeId(2) }), Applied::Nothing);
}

#[test]
fn keys_are_announced_one_after_the_other() {
    let mut state = founded();
    let rotate = |state: &mut Replicated, epoch: u32| {
        let notice = ClusterKey { epoch, secret: [3; 32] }.notice();
        state.apply(Command::RotateKey { notice, answer: ANSWER })
    };
    assert_eq!(rotate(&mut state, 1), Applied::KeyRefused(ANSWER));
    assert_eq!(rotate(&mut state, 3), Applied::KeyRefused(ANSWER));
    state.key_outdated = true;
    assert!(matches!(rotate(&mut state, 2), Applied::KeyAnnounced { .. }));
    assert!(!state.key_outdated);
    assert_eq!((state.key_epoch(), rotate(&mut state, 2)), (2, Applied::KeyRefused(ANSWER)));
}

fn record(action: &str, interval: u64, status: ExecutionStatus, code: i32) -> OperationRecord {
    let agent = AgentName { standard: "ocf".to_owned(), provider: None, name: "x".to_owned() };
    OperationRecord {
        node: NodeId(1),
        operation: Operation {
            resource: "r".to_owned(),
            agent,
            action: action.to_owned(),
            interval: Duration::from_millis(interval),
            timeout: Duration::ZERO,
            params: BTreeMap::new(),
            meta: BTreeMap::new(),
        },
        outcome: Some(Outcome { status, code: OcfCode(code), reason: String::new() }),
        call: 1,
        last_change: WallTime::from_seconds(50),
        took: Duration::ZERO,
        queued: Duration::ZERO,
        order: None,
        lease: None,
    }
}

#[test]
fn a_history_takes_deltas_in_order_and_of_one_life() {
    let mut history = NodeHistory::new(NodeId(1), BootId(5));
    let delta = |boot: u64, version: u64| StatusDelta {
        node: NodeId(1),
        boot: BootId(boot),
        version,
        records: vec![record("start", 0, ExecutionStatus::Done, 0)],
        forgotten: Vec::new(),
        attributes: None,
        traits: None,
    };
    assert_eq!(history.merge(&delta(5, 2)), Merged::Gap);
    assert_eq!(history.merge(&delta(5, 1)), Merged::Applied);
    assert_eq!(history.merge(&delta(5, 1)), Merged::Known);
    assert_eq!(history.merge(&delta(4, 2)), Merged::Known, "of an earlier life");
    assert_eq!(history.merge(&delta(6, 2)), Merged::Gap, "of a later life");
    assert_eq!(history.merge(&delta(5, 3)), Merged::Gap);
    assert_eq!(history.merge(&delta(5, 2)), Merged::Applied);
    let forget = StatusDelta { forgotten: vec!["r".to_owned()], records: vec![], ..delta(5, 3) };
    assert_eq!(history.merge(&forget), Merged::Applied);
    assert_eq!(history.resources, BTreeMap::new());
}

#[test]
fn what_never_ran_says_nothing_and_what_ended_is_forgotten() {
    let mut history = NodeHistory::new(NodeId(1), BootId(5));
    history.record(record("start", 0, ExecutionStatus::Done, 0));
    history.record(record("stop", 0, ExecutionStatus::Cancelled, 1));
    assert_eq!(history.resources["r"][&Slot::Last].operation.action, "start");
    history.record(record("monitor", 10_000, ExecutionStatus::Done, 0));
    assert_eq!(history.resources["r"].len(), 2);
    history.record(record("monitor", 10_000, ExecutionStatus::Cancelled, 0));
    assert_eq!(history.resources["r"].len(), 1, "a recurring operation that was ended");
    history.record(record("monitor", 10_000, ExecutionStatus::Error, 1));
    assert!(history.resources["r"].contains_key(&Slot::LastFailure));
    history.record(record("stop", 0, ExecutionStatus::Done, 0));
    let recurring = |slot: &Slot| matches!(slot, Slot::Recurring(_));
    assert!(!history.resources["r"].keys().any(recurring), "nothing recurs on what is stopped");
}

#[test]
fn failures_are_counted_where_they_forbid_something() {
    let none = BTreeMap::new();
    let cib = Cib::default();
    let lenient = haven_cib::crm::load(
        &cib,
        "property start-failure-is-fatal=false",
        haven_cib::crm::Mode::Update,
    );
    let lenient = failures::Options::of(&lenient.unwrap().cib);
    let strict = failures::Options::of(&cib);
    let count = |attributes: &BTreeMap<String, String>, records: &[OperationRecord], options| {
        let counted = failures::counted(attributes, records, options).unwrap_or_default();
        let count = failures::count_of(&counted, "r");
        (counted, count)
    };
    let failed = |action, interval| [record(action, interval, ExecutionStatus::Error, 1)];
    assert_eq!(count(&none, &failed("start", 0), strict).1, 1_000_000);
    assert_eq!(count(&none, &failed("start", 0), lenient).1, 1);
    assert_eq!(count(&none, &failed("stop", 0), lenient).1, 1_000_000, "it may run still");
    assert_eq!(count(&none, &failed("monitor", 0), strict).1, 0, "a probe only asks");
    let (once, one) = count(&none, &failed("monitor", 10_000), strict);
    let (twice, two) = count(&once, &failed("monitor", 10_000), strict);
    assert_eq!((one, two), (1, 2));
    assert_eq!(twice.get("last-failure-r#monitor_10000").map(String::as_str), Some("50"));
    let well = [record("start", 0, ExecutionStatus::Done, 0)];
    assert_eq!(failures::counted(&once, &well, strict), None);
    assert_eq!(failures::cleared(twice.clone(), "other"), twice);
    assert_eq!(failures::cleared(twice.clone(), "r"), none);
    assert_eq!(failures::cleared(twice, ""), none, "all of them");
}
