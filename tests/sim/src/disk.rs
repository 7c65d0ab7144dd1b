//! A disk that takes its time and forgets what was not synced. It stands for the store's worker and
//! directory: batches in, "durable up to this token" out.

use std::collections::{BTreeMap, VecDeque};

use haven_base::Rng;
use haven_consensus::{
    Batch, BatchRecords, Payload, PersistToken, RecordError, Recovered, RecoveredRecords,
};
use haven_controller::Replicated;

/// One host's disk. What is written goes through the real encoding.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    entries: BTreeMap<u64, Vec<u8>>,
    values: BTreeMap<String, Vec<u8>>,
    snapshot: Option<(u64, Vec<u8>)>,
    /// Not durable yet, in order, with the true time each will be.
    pending: VecDeque<(u64, PersistToken, BatchRecords)>,
    /// The next sync fails, and all after it.
    pub(crate) broken: bool,
    /// A mutant: says durable as soon as asked.
    pub(crate) lies: bool,
    /// A mutant: the last entry reads as an empty one.
    pub(crate) rots: bool,
    /// A mutant: the two newest entries known committed are in each other's place.
    pub(crate) swaps: bool,
    /// A mutant: the snapshot reads with a comment in its configuration that nobody wrote.
    pub(crate) adds: bool,
}

impl Disk {
    pub(crate) fn new(recovered: Recovered) -> Self {
        let mut disk = Self::default();
        disk.write(recovered.into_batch().to_records());
        disk
    }

    /// Queues a batch that will be durable at `due`, or as soon as those before it are. The true time
    /// at which the caller is told.
    pub(crate) fn submit(&mut self, now: u64, due: u64, token: PersistToken, batch: &Batch) -> u64 {
        let due = self.pending.back().map_or(due, |(last, ..)| due.max(*last));
        self.pending.push_back((due, token, batch.to_records()));
        if self.lies { now } else { due }
    }

    /// The newest token that is durable by `now`, or `None` where the disk is broken.
    pub(crate) fn sync(&mut self, now: u64) -> Option<PersistToken> {
        let mut newest = None;
        if self.broken {
            return None;
        }
        if self.lies {
            return self.pending.back().map(|(_, token, _)| *token);
        }
        while self.pending.front().is_some_and(|(due, ..)| *due <= now) {
            let (_, token, records) = self.pending.pop_front()?;
            self.write(records);
            newest = Some(token);
        }
        newest
    }

    /// A lying disk writes, too, later than it says.
    pub(crate) fn write_late(&mut self, now: u64) {
        while self.lies && self.pending.front().is_some_and(|(due, ..)| *due <= now) {
            let Some((_, _, records)) = self.pending.pop_front() else { return };
            self.write(records);
        }
    }

    /// The process or the power goes: some of what was under way got through, in order.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        let kept = rng.below(self.pending.len() as u64 + 1);
        let kept = if self.broken || self.lies { 0 } else { kept as usize };
        for (_, _, records) in std::mem::take(&mut self.pending).into_iter().take(kept) {
            self.write(records);
        }
    }

    /// The process ends by itself: its store waits until everything queued is durable.
    pub(crate) fn flush(&mut self) {
        for (_, _, records) in std::mem::take(&mut self.pending) {
            if !self.broken {
                self.write(records);
            }
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
        self.values.extend(records.values);
        if let Some(before) = records.compact_before {
            self.entries = self.entries.split_off(&before);
        }
    }

    pub(crate) fn recover(&self) -> Result<Recovered, RecordError> {
        let mut recovered = self.read()?;
        if let Some(last) = recovered.entries.last_mut().filter(|_| self.rots) {
            last.payload = Payload::Empty;
        }
        let commit = recovered.hard_state.commit;
        let known = recovered.entries.partition_point(|entry| entry.position.index <= commit);
        if let [.., one, other] = &mut recovered.entries[..known]
            && self.swaps
        {
            std::mem::swap(&mut one.payload, &mut other.payload);
        }
        if let Some(snapshot) = recovered.snapshot.as_mut().filter(|_| self.adds)
            && let Ok(mut state) = Replicated::decode(&snapshot.bytes)
        {
            state.cib.comments.insert(String::new(), vec!["# rot".to_owned()]);
            snapshot.bytes = state.encode();
        }
        Ok(recovered)
    }

    fn read(&self) -> Result<Recovered, RecordError> {
        Recovered::from_records(&RecoveredRecords {
            snapshot: self.snapshot.clone(),
            entries: self.entries.clone().into_iter().collect(),
            hard_state: self.values.get(RecoveredRecords::VALUE_KEY).cloned(),
        })
    }
}
