//! A disk that takes its time and forgets what was not synced.

use std::collections::{BTreeMap, VecDeque};

use haven_base::{Instant, Rng};

use crate::interface::PersistToken;
use crate::persist::{Batch, Recovered};
use crate::record::{BatchRecords, RecoveredRecords};

/// A way to do it wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mutant {
    #[default]
    None,
    /// Term and vote are never written.
    ForgetsHardState,
    /// Says durable as soon as asked.
    AcknowledgesEarly,
}

/// One node's disk. What is written goes through the real encoding.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    entries: BTreeMap<u64, Vec<u8>>,
    values: BTreeMap<String, Vec<u8>>,
    snapshot: Option<(u64, Vec<u8>)>,
    /// Not durable yet, in order, with the time each will be.
    pending: VecDeque<(Instant, PersistToken, BatchRecords)>,
    mutant: Mutant,
}

impl Disk {
    pub(super) fn new(recovered: Recovered, mutant: Mutant) -> Self {
        let mut it = Self { mutant, ..Self::default() };
        it.write(recovered.into_batch().to_records());
        it
    }

    /// Takes a batch; when it will be durable, and whether it is said to be at once.
    pub(super) fn submit(&mut self, due: Instant, token: PersistToken, batch: &Batch) -> bool {
        let due = self.pending.back().map_or(due, |(last, _, _)| due.max(*last));
        self.pending.push_back((due, token, batch.to_records()));
        self.mutant == Mutant::AcknowledgesEarly
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.pending.front().map(|(due, _, _)| *due)
    }

    /// The newest token that became durable by `now`.
    pub(super) fn sync(&mut self, now: Instant) -> Option<PersistToken> {
        let mut newest = None;
        while self.pending.front().is_some_and(|(due, _, _)| *due <= now) {
            let (_, token, records) = self.pending.pop_front()?;
            self.write(records);
            newest = Some(token);
        }
        newest
    }

    /// The power goes: some of what was under way got through, in order.
    pub(super) fn crash(&mut self, rng: &mut Rng) {
        let kept = rng.below(self.pending.len() as u64 + 1);
        for (_, _, records) in std::mem::take(&mut self.pending).into_iter().take(kept as usize) {
            self.write(records);
        }
    }

    fn write(&mut self, records: BatchRecords) {
        if records.clear_entries {
            self.entries.clear();
        }
        if records.snapshot.is_some() {
            self.snapshot = records.snapshot;
        }
        if let Some((from, _)) = records.entries.first() {
            self.entries.split_off(from);
        }
        self.entries.extend(records.entries);
        if self.mutant != Mutant::ForgetsHardState {
            self.values.extend(records.values);
        }
        if let Some(before) = records.compact_before {
            self.entries = self.entries.split_off(&before);
        }
    }

    pub(super) fn recover(&self) -> Recovered {
        let records = RecoveredRecords {
            snapshot: self.snapshot.clone(),
            entries: self.entries.clone().into_iter().collect(),
            hard_state: self.values.get(RecoveredRecords::VALUE_KEY).cloned(),
        };
        Recovered::from_records(&records).unwrap()
    }
}
