//! What is applied, and what a snapshot may claim to contain.

use haven_api::EventSeverity;
use haven_base::{Instant, WallTime};
use haven_consensus::{Output as Log, Recovered};
use haven_types::{BootId, LogIndex, NodeId, Term};

use crate::command::{Command, Member, Role};
use crate::controller::{Config, Controller, Internal};
use crate::port::Clock;
use crate::replicated::Replicated;

const CLOCK: Clock = Clock { now: Instant::ZERO, wall: WallTime::from_seconds(1_000) };

fn founded() -> Controller {
    let first = Member {
        id: NodeId(1),
        name: "n1".to_owned(),
        role: Role::Full,
        links: Vec::new(),
        channel: "192.0.2.1:5406".parse().unwrap(),
        key: [0; 32],
    };
    let state = Replicated::founded(first, haven_cib::Cib::default());
    let config = Config {
        node: NodeId(1),
        boot: BootId(1),
        name: "n1".to_owned(),
        cluster: "test".to_owned(),
        consensus: haven_consensus::Config::new(NodeId(1)),
        facts: haven_policy::AgentFacts::default(),
        verification: haven_cib::crm::Facts::default(),
        seed: 1,
    };
    let recovered = Recovered::founding([NodeId(1)], state.encode());
    Controller::new(config, recovered, Vec::new(), None, Instant::ZERO).unwrap()
}

fn commit(controller: &mut Controller, index: u64, bytes: Vec<u8>) {
    let (index, term) = (LogIndex(index), Term(2));
    controller.on_consensus(CLOCK, Log::Committed { index, term, bytes, proposal: None });
}

fn token(byte: u8) -> Vec<u8> {
    let expires = WallTime::from_seconds(2_000);
    Command::MintToken { token: [byte; 32], expires, answer: (NodeId(9), 1) }.encode()
}

/// The index and bytes with which the controller answers a wish for a snapshot.
fn snapshot(controller: &mut Controller) -> (LogIndex, Vec<u8>) {
    controller.on_consensus(CLOCK, Log::SnapshotWanted);
    match controller.inbox.pop_back() {
        Some(Internal::Consensus(haven_consensus::Input::Snapshot { index, bytes })) => {
            (index, bytes)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_snapshot_claims_exactly_what_it_contains() {
    let mut controller = founded();
    assert_eq!(snapshot(&mut controller).0, LogIndex(1));
    commit(&mut controller, 4, token(1));
    let (index, bytes) = snapshot(&mut controller);
    assert_eq!(index, LogIndex(4));
    assert_eq!(Replicated::decode(&bytes).unwrap().tokens.len(), 1);
}

#[test]
fn nothing_is_applied_after_an_entry_that_cannot_be_read() {
    let mut controller = founded();
    commit(&mut controller, 4, token(1));
    commit(&mut controller, 5, vec![99, 1, 2]);
    commit(&mut controller, 6, token(2));
    assert_eq!(controller.state.tokens.len(), 1, "entry 6 would leave a hole");
    assert_eq!(snapshot(&mut controller).0, LogIndex(4));
    assert!(controller.alarms.iter().any(|alarm| alarm.contains("format 99")));
    // A snapshot of the coordinator fills the hole.
    let (_, bytes) = snapshot(&mut controller);
    let position = haven_types::LogPosition { term: Term(2), index: LogIndex(6) };
    controller.on_consensus(CLOCK, Log::RestoreSnapshot { position, bytes });
    commit(&mut controller, 7, token(3));
    assert_eq!(controller.state.tokens.len(), 2);
    let errors = |o: &crate::Output| matches!(o, crate::Output::Event(e) if e.severity == EventSeverity::Error);
    assert!(!controller.out.iter().any(errors), "{:?}", controller.out);
}
