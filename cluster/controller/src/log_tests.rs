//! What is applied, and what a snapshot may claim to contain.

use haven_api::EventSeverity;
use haven_base::{Instant, WallTime};
use haven_consensus::{LogEntry, Output as Log, Payload, Recovered};
use haven_types::{BootId, Epoch, LogIndex, LogPosition, NodeId, Term};

use crate::command::{Command, Member, Role};
use crate::controller::{Config, Controller, Internal};
use crate::port::{Clock, Output};
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
    let alarms = |controller: &Controller| controller.alarms.texts(CLOCK.now);
    assert!(alarms(&controller).iter().any(|alarm| alarm.contains("format 99")));
    // A snapshot of the coordinator fills the hole.
    let (_, bytes) = snapshot(&mut controller);
    let position = LogPosition { term: Term(2), index: LogIndex(6) };
    controller.on_consensus(CLOCK, Log::RestoreSnapshot { position, bytes });
    assert_eq!(alarms(&controller), [""; 0], "that is over");
    commit(&mut controller, 7, token(3));
    assert_eq!(controller.state.tokens.len(), 2);
    let errors = |o: &Output| matches!(o, Output::Event(e) if e.severity == EventSeverity::Error);
    assert!(!controller.out.iter().any(errors), "{:?}", controller.out);
}

// spec: L2
#[test]
fn the_lease_hears_of_an_epoch_when_it_is_in_the_log_and_not_only_when_it_is_applied() {
    let mut controller = founded();
    let grant = |epoch| {
        let (group, holder) = ("vip".to_owned(), Some(NodeId(2)));
        Command::Grant { group, epoch: Epoch(epoch), holder }.encode()
    };
    commit(&mut controller, 4, grant(1));
    controller.out.clear();
    let position = LogPosition { term: Term(2), index: LogIndex(5) };
    let payload = Payload::Proposal(grant(2));
    let entries = vec![LogEntry { position, payload }];
    controller.on_consensus(CLOCK, Log::Appended { entries });
    let told = controller.out.iter().any(|output| match output {
        Output::Heartbeat(input) => {
            let epoch = Epoch(2);
            **input == haven_heartbeat::Input::Epoch { group: haven_types::GroupId(1), epoch }
        }
        _ => false,
    });
    assert!(told, "{:?}", controller.out);
}

// spec: L5
#[test]
fn a_configuration_that_is_cut_off_the_log_is_forgotten() {
    let mut controller = founded();
    let position = |index| LogPosition { term: Term(2), index: LogIndex(index) };
    for index in [5, 9] {
        let configuration = haven_consensus::Configuration {
            voters: [NodeId(1)].into(),
            ..haven_consensus::Configuration::default()
        };
        let position = position(index);
        controller.on_consensus(CLOCK, Log::ConfigurationInLog { position, configuration });
    }
    controller.on_consensus(CLOCK, Log::Truncated { from: LogIndex(9) });
    let latest = controller.configurations.back().map(|known| known.position);
    assert_eq!(latest, Some(position(5)));
}

#[test]
fn a_leader_that_is_merely_suspected_has_led_until_a_new_term_says_otherwise() {
    use haven_consensus::Role as R;
    let mut controller = founded();
    let mut turn = |leader: Option<u16>, term, role| {
        let leader = leader.map(NodeId);
        controller.on_consensus(CLOCK, Log::RoleChanged { leader, term: Term(term), role });
        let coordinates = controller.coordinator.as_ref().map(|it| it.term.0);
        (controller.leader, controller.led, coordinates)
    };
    let two = Some(NodeId(2));
    assert_eq!(turn(Some(2), 3, R::Follower), (two, two, None));
    assert_eq!(turn(None, 3, R::Follower), (None, two, None), "who succeeds it must know");
    assert_eq!(turn(None, 4, R::Candidate), (None, None, None));
    let one = Some(NodeId(1));
    assert_eq!(turn(Some(1), 4, R::Leader), (one, one, Some(4)));
    assert_eq!(turn(Some(1), 6, R::Leader), (one, one, Some(6)), "all is begun anew");
    assert_eq!(turn(Some(2), 7, R::Follower), (two, two, None));
}

/// L2 speaks of what the log holds: a grant counts as soon as it is appended, and no longer than it
/// stays.
// spec: L2
#[test]
fn the_epoch_of_a_truncated_grant_binds_nobody() {
    let grant = |epoch| {
        let holder = Some(NodeId(1));
        Command::Grant { group: "vip".to_owned(), epoch: Epoch(epoch), holder }.encode()
    };
    let told = |controller: &mut Controller| {
        std::mem::take(&mut controller.out).into_iter().rev().find_map(|output| match output {
            Output::Heartbeat(input) => match *input {
                haven_heartbeat::Input::Epoch { epoch, .. } => Some(epoch),
                _ => None,
            },
            _ => None,
        })
    };
    let append = |controller: &mut Controller, index: u64, epoch| {
        let position = LogPosition { term: Term(2), index: LogIndex(index) };
        let entry = LogEntry { position, payload: Payload::Proposal(grant(epoch)) };
        controller.on_consensus(CLOCK, Log::Appended { entries: vec![entry] });
    };
    let mut controller = founded();
    commit(&mut controller, 4, grant(1));
    assert_eq!(told(&mut controller), Some(Epoch(1)));
    append(&mut controller, 5, 2);
    append(&mut controller, 6, 3);
    assert_eq!(told(&mut controller), Some(Epoch(3)));
    commit(&mut controller, 5, grant(2));
    assert_eq!(told(&mut controller), Some(Epoch(3)), "applying does not forget what lies ahead");
    controller.on_consensus(CLOCK, Log::Truncated { from: LogIndex(6) });
    assert_eq!(told(&mut controller), Some(Epoch(2)));
}

#[test]
fn a_message_of_the_log_that_is_dropped_is_told_with_its_sender_and_what_to_do() {
    use haven_consensus::Event;
    let mut controller = founded();
    let (from, what) = (NodeId(1), "it names entry 9 of 7".to_owned());
    for event in [Event::Undecodable { from }, Event::Implausible { from, what }] {
        controller.on_consensus(CLOCK, Log::Event(event));
    }
    let texts = controller.out.iter().filter_map(|output| match output {
        Output::Event(event) if event.code == "HV1204" => Some(event.text.as_str()),
        _ => None,
    });
    let told = [
        "a message of the log from n1 could not be read and was dropped; run the same version of haven on both",
        "a message of the log from n1 was dropped: it names entry 9 of 7",
    ];
    assert_eq!(texts.collect::<Vec<_>>(), told);
}
