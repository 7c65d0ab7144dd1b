//! What this version sends and stores, byte for byte: an upgraded node must read what an older one
//! wrote and sent. A fixture that fails means a new version byte, never a new fixture.

use haven_types::{LogIndex, LogPosition, NodeId, Term};

use crate::configuration::Configuration;
use crate::persist::{Batch, HardState, LogEntry, Payload, Recovered, Snapshot};
use crate::record::{RecordError, RecoveredRecords};
use crate::wire::{Ballot, Body, Force, Message};

fn at(term: u64, index: u64) -> LogPosition {
    LogPosition { term: Term(term), index: LogIndex(index) }
}

fn configuration() -> Configuration {
    Configuration {
        voters: [NodeId(1), NodeId(2)].into(),
        outgoing: [NodeId(1), NodeId(3)].into(),
        learners: [NodeId(4)].into(),
        learners_next: [NodeId(3)].into(),
    }
}

fn entries() -> Vec<LogEntry> {
    vec![
        LogEntry { position: at(4, 6), payload: Payload::Empty },
        LogEntry { position: at(4, 7), payload: Payload::Proposal(vec![0xAB, 0xCD]) },
        LogEntry { position: at(4, 8), payload: Payload::Configuration(configuration()) },
    ]
}

fn snapshot() -> Snapshot {
    Snapshot {
        position: at(4, 300),
        configuration: configuration(),
        configuration_position: at(4, 8),
        bytes: vec![1, 2, 3],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

/// Every kind of message with the bytes of version 1.
fn messages() -> Vec<(Body, &'static str)> {
    let ballot = Ballot { last: at(4, 7), commit: at(3, 5), priority: -1 };
    vec![
        (Body::PreVote(ballot), "0109000407030501"),
        (Body::PreVoteAnswer { granted: true, commit: at(3, 5) }, "010901010305"),
        (Body::Vote { ballot, force: Force::LeaderDead }, "010902040703050101"),
        (Body::Vote { ballot, force: Force::HandedOver }, "010902040703050102"),
        (Body::VoteAnswer { granted: false, commit: at(3, 5) }, "010903000305"),
        (
            Body::Append { previous: at(4, 5), commit: LogIndex(5), entries: entries() },
            "0109040405050304060004070102abcd04080202010202010301040103",
        ),
        (Body::AppendAccepted { matched: LogIndex(8), commit: LogIndex(5) }, "0109050805"),
        (
            Body::AppendRefused { refused: LogIndex(8), hint: at(2, 4), commit: LogIndex(5) },
            "01090608020405",
        ),
        (Body::Heartbeat { commit: LogIndex(5), read: vec![7] }, "010907050107"),
        (Body::HeartbeatAnswer { commit: LogIndex(5), read: vec![] }, "0109080500"),
        (Body::Snapshot(snapshot()), "01090904ac0202010202010301040103040803010203"),
        (Body::TimeoutNow, "01090a"),
    ]
}

#[test]
fn messages_of_version_1_stay_as_they_are() {
    for (body, fixture) in messages() {
        let message = Message { term: Term(9), body };
        let bytes = message.encode();
        assert_eq!(hex(&bytes), fixture, "{message:?}");
        assert_eq!(Message::decode(&bytes), Some(message));
    }
}

#[test]
fn what_is_no_message_of_this_version_is_none() {
    let bytes = Message { term: Term(9), body: Body::TimeoutNow }.encode();
    assert_eq!(Message::decode(&[]), None);
    assert_eq!(Message::decode(&bytes[..1]), None);
    assert_eq!(Message::decode(&[2, 9, 10]), None, "another version");
    assert_eq!(Message::decode(&[1, 9, 11]), None, "an unknown kind");
    let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
    assert_eq!(Message::decode(&longer), None, "something behind the end");
}

#[test]
fn records_of_version_1_stay_as_they_are() {
    let hard_state = HardState { term: Term(9), vote: Some(NodeId(2)), commit: LogIndex(7) };
    let batch = Batch {
        snapshot: Some(snapshot()),
        clear_entries: false,
        entries: entries(),
        hard_state: Some(hard_state),
        compact_before: Some(LogIndex(5)),
    };
    let records = batch.to_records();
    let (index, bytes) = records.snapshot.clone().unwrap();
    assert_eq!((index, hex(&bytes).as_str()), (300, "0104ac0202010202010301040103040803010203"));
    let stored: Vec<String> = records.entries.iter().map(|(_, it)| hex(it)).collect();
    assert_eq!(stored, ["01040600", "0104070102abcd", "0104080202010202010301040103"]);
    assert_eq!(hex(&records.values[0].1), "0109010207");
    let recovered = RecoveredRecords {
        snapshot: records.snapshot,
        entries: records.entries,
        hard_state: Some(records.values[0].1.clone()),
    };
    let expected = Recovered { snapshot: Some(snapshot()), entries: entries(), hard_state };
    assert_eq!(Recovered::from_records(&recovered), Ok(expected));
}

#[test]
fn records_that_cannot_be_are_named() {
    let with = |entries| RecoveredRecords { entries, ..RecoveredRecords::default() };
    let newer = Recovered::from_records(&with(vec![(6, vec![2, 4, 6, 0])])).unwrap_err();
    assert!(matches!(newer, RecordError::NewerVersion { found: 2, .. }));
    assert!(newer.to_string().contains("run the newer haven again"), "{newer}");
    for bytes in [vec![], vec![1], vec![0, 4, 6, 0], vec![1, 4, 6, 0, 0], vec![1, 4, 9, 0]] {
        let damaged = Recovered::from_records(&with(vec![(6, bytes)])).unwrap_err();
        assert!(matches!(damaged, RecordError::Damaged { .. }), "{damaged}");
        assert!(damaged.to_string().contains("the log entry at index 6"), "{damaged}");
    }
}
