//! What four members of the log's group live through together: a start, entries, reads, a member that is away until only
//! a snapshot helps it, one that joins, leadership handed over and taken, and a slow disk.
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not looked at is ignored")]

use std::collections::VecDeque;

use haven_consensus::{Event, Output, RecoveredRecords};
use haven_fuzz_tests::life::{Member, Step};
use haven_fuzz_tests::records;

/// The founding voters, one bit a node.
const FOUNDERS: u8 = 0b111;
const COUNT: u8 = 4;

struct Group {
    members: Vec<Member>,
    lives: Vec<Vec<u8>>,
    stores: Vec<RecoveredRecords>,
    way: VecDeque<(u8, u8, Vec<u8>)>,
    /// Nobody hears it, and it hears nobody.
    away: Option<u8>,
    heard: Vec<Vec<u8>>,
}

impl Group {
    fn new() -> Self {
        let founders = |id| if id == COUNT { 0 } else { FOUNDERS };
        Self {
            members: (1..=COUNT).map(|id| Member::new(id, founders(id))).collect(),
            lives: (1..=COUNT).map(|id| vec![id, founders(id)]).collect(),
            stores: vec![RecoveredRecords::default(); usize::from(COUNT)],
            way: VecDeque::new(),
            away: None,
            heard: Vec::new(),
        }
    }

    fn step(&mut self, id: u8, step: &Step) {
        let at = usize::from(id) - 1;
        step.write(&mut self.lives[at]);
        for output in self.members[at].step(step) {
            match output {
                Output::Send { to, bytes, .. } => {
                    self.way.push_back((id, u8::try_from(to.0).unwrap(), bytes));
                }
                Output::Persist { batch, .. } => store(&mut self.stores[at], batch.to_records()),
                Output::Event(event) => assert!(is_honest(&event), "node {id}: {event:?}"),
                _ => {}
            }
        }
    }

    fn deliver(&mut self) {
        while let Some((from, to, bytes)) = self.way.pop_front() {
            if self.away != Some(from) && self.away != Some(to) {
                self.heard.push(bytes.clone());
                self.step(to, &Step::Message(from, bytes));
            }
        }
    }

    fn run(&mut self, ticks: u8) {
        for _ in 0..ticks {
            for id in 1..=COUNT {
                self.step(id, &Step::Pass(1));
            }
            self.deliver();
        }
    }

    fn propose(&mut self, id: u8, entries: u8) {
        for length in 0..entries {
            self.step(id, &Step::Propose(length * 8));
            self.run(1);
        }
    }
}

/// Whether this may be said where all members tell the truth: what one encodes another reads and believes.
const fn is_honest(event: &Event) -> bool {
    !matches!(event, Event::Undecodable { .. } | Event::Implausible { .. })
}

/// As the store of a daemon does it.
fn store(records: &mut RecoveredRecords, batch: haven_consensus::BatchRecords) {
    if batch.snapshot.is_some() {
        records.snapshot = batch.snapshot;
    }
    let first = batch.entries.first().map_or(u64::MAX, |(index, _)| *index);
    records.entries.retain(|(index, _)| !batch.clear_entries && *index < first);
    records.entries.extend(batch.entries);
    if let Some((_, value)) = batch.values.into_iter().next() {
        records.hard_state = Some(value);
    }
    let before = batch.compact_before.unwrap_or(0);
    records.entries.retain(|(index, _)| *index >= before);
}

/// Lives of the members, messages alone, and what their stores held in the end.
pub(super) struct Lived {
    pub(super) lives: Vec<Vec<u8>>,
    pub(super) stores: Vec<Vec<u8>>,
}

pub(super) fn lived() -> Lived {
    let mut group = Group::new();
    group.step(1, &Step::Force);
    group.run(2);
    group.propose(1, 2);
    group.step(1, &Step::Read);
    let young = group.stores[0].clone();
    group.away = Some(3);
    group.propose(1, 12);
    group.away = None;
    group.run(6);
    group.step(1, &Step::Change(0b1111, 0));
    group.run(30);
    group.step(1, &Step::Transfer(2));
    group.run(6);
    group.step(2, &Step::Disk(false));
    group.propose(2, 3);
    group.step(2, &Step::Disk(true));
    group.run(4);
    let full = group.stores[1].clone();
    group.away = Some(2);
    group.step(3, &Step::Dead(2));
    group.step(4, &Step::Dead(2));
    group.step(3, &Step::Force);
    group.run(6);
    group.step(3, &Step::Change(0b1101, 0b0010));
    group.propose(3, 3);
    group.away = Some(3);
    group.run(30);
    group.away = None;
    group.run(20);
    assert_kinds(&group.heard);
    let stores = [young, full].iter().chain(&group.stores).map(records::write).collect();
    Lived { lives: group.lives, stores }
}

/// Every kind of message was sent, or the corpus is worth less than it seems. The kind follows the version and the term.
fn assert_kinds(heard: &[Vec<u8>]) {
    let mut kinds: Vec<u8> = heard.iter().map(|bytes| bytes[2]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, (0..=10).collect::<Vec<u8>>());
}

/// What follows the term in a message of each kind: its number, then `n` for a great number, a digit for itself.
const KINDS: [&str; 11] = [
    "0nnnnn",
    "11nn",
    "2nnnnn1",
    "31nn",
    "4nnn0",
    "5nn",
    "6nnnn",
    "7n0",
    "8n0",
    "9nn11000nn0",
    ":",
];

/// The numbers that are great: two about the farthest that is believed, and the last there is.
const GREAT: [u64; 3] = [1 << 60, (1 << 60) + 1, u64::MAX];

/// As postcard has it.
fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

/// Those that lived among honest members, and a founder who hears from another founder, or from a stranger, what nobody
/// honest says.
pub(super) fn with_hostile(lived: Vec<Vec<u8>>) -> super::Inputs {
    let mut inputs = super::numbered("member", lived);
    for (name, from) in [("hostile-founder", 2), ("hostile-stranger", 9)] {
        let mut life = vec![1, FOUNDERS];
        let mut member = Member::new(1, FOUNDERS);
        for (term, great) in GREAT.iter().flat_map(|great| [(5, *great), (*great, 1)]) {
            for kind in KINDS {
                let fields = kind.bytes().flat_map(|it| match it {
                    b'n' => varint(great),
                    digit => vec![digit - b'0'],
                });
                let message = [1].into_iter().chain(varint(term)).chain(fields).collect();
                for step in [Step::Message(from, message), Step::Pass(1)] {
                    step.write(&mut life);
                    let outputs = member.step(&step);
                    let unread =
                        |it: &Output| matches!(it, Output::Event(Event::Undecodable { .. }));
                    assert!(!outputs.iter().any(unread), "{kind} is no message");
                }
            }
        }
        inputs.push((name.to_owned(), life));
    }
    inputs
}
