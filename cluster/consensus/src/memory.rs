//! The log as the raft crate reads it: everything after the snapshot, in memory.
//!
//! Entries enter when the crate hands them out for writing, before they are durable; the crate
//! itself keeps the two apart.

use std::cell::Cell;
use std::collections::VecDeque;

use haven_types::{LogIndex, LogPosition, Term};
use raft::eraftpb::{ConfState, Entry, HardState as RaftHardState, Snapshot as RaftSnapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};

use crate::configuration::Configuration;
use crate::convert;
use crate::persist::Snapshot;

/// What an entry costs besides its bytes, roughly.
const ENTRY_OVERHEAD: u64 = 64;

/// A configuration with the entry that brought it.
pub(crate) type Placed = (LogPosition, Configuration);

/// The log in memory.
#[derive(Debug)]
pub(crate) struct MemoryLog {
    /// The entry before the first one held.
    dummy: LogPosition,
    entries: VecDeque<Entry>,
    bytes: u64,
    /// Bytes that joined since the newest snapshot.
    bytes_since_snapshot: u64,
    /// The newest durable or installed snapshot's last entry.
    snapshot: LogPosition,
    /// Ascending; the first is the one in force at `snapshot`.
    configurations: VecDeque<Placed>,
    hard_state: RaftHardState,
    /// Kept only while a member needs it.
    for_peers: Option<Snapshot>,
    wanted_by_peer: Cell<bool>,
}

impl MemoryLog {
    pub(crate) fn new(
        dummy: LogPosition,
        snapshot: Option<(LogPosition, Placed)>,
        hard_state: RaftHardState,
    ) -> Self {
        let (snapshot, placed) = snapshot.unwrap_or_default();
        Self {
            dummy,
            entries: VecDeque::new(),
            bytes: 0,
            bytes_since_snapshot: 0,
            snapshot,
            configurations: VecDeque::from([placed]),
            hard_state,
            for_peers: None,
            wanted_by_peer: Cell::new(false),
        }
    }

    /// The index of the first entry held.
    pub(crate) const fn first(&self) -> u64 {
        self.dummy.index.0 + 1
    }

    /// The index of the last entry held, or of the one before the first.
    pub(crate) fn last(&self) -> u64 {
        self.entries.back().map_or(self.dummy.index.0, |it| it.index)
    }

    /// Bytes held.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that joined since the newest snapshot.
    pub(crate) const fn bytes_since_snapshot(&self) -> u64 {
        self.bytes_since_snapshot
    }

    /// The newest snapshot's last entry.
    pub(crate) const fn snapshot_position(&self) -> LogPosition {
        self.snapshot
    }

    fn offset(&self, index: u64) -> Option<usize> {
        index.checked_sub(self.first()).and_then(|it| usize::try_from(it).ok())
    }

    /// The term of the entry at `index`, where it or its place before the first is held.
    pub(crate) fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.dummy.index.0 {
            return Some(self.dummy.term.0);
        }
        self.entries.get(self.offset(index)?).map(|it| it.term)
    }

    /// Adds entries; those from the first one's index on go first. Returns whether some went.
    pub(crate) fn append(&mut self, entries: &[Entry]) -> bool {
        let Some(first) = entries.first() else { return false };
        assert!(
            self.first() <= first.index && first.index <= self.last() + 1,
            "an appended entry follows the log without a gap"
        );
        let truncated = first.index <= self.last();
        while self.entries.back().is_some_and(|it| it.index >= first.index) {
            if let Some(gone) = self.entries.pop_back() {
                self.bytes -= cost(&gone);
                self.bytes_since_snapshot = self.bytes_since_snapshot.saturating_sub(cost(&gone));
            }
        }
        while self.configurations.len() > 1
            && self.configurations.back().is_some_and(|(at, _)| at.index.0 >= first.index)
        {
            self.configurations.pop_back();
        }
        for entry in entries {
            self.bytes += cost(entry);
            self.bytes_since_snapshot += cost(entry);
            if let Some(configuration) = convert::configuration_of(entry)
                && entry.index > self.snapshot.index.0
            {
                self.configurations.push_back((convert::position_of(entry), configuration));
            }
            self.entries.push_back(entry.clone());
        }
        truncated
    }

    /// Replaces everything by what a snapshot says.
    pub(crate) fn install(&mut self, snapshot: &Snapshot) {
        self.dummy = snapshot.position;
        self.snapshot = snapshot.position;
        self.entries.clear();
        self.bytes = 0;
        self.bytes_since_snapshot = 0;
        self.configurations.clear();
        self.configurations
            .push_back((snapshot.configuration_position, snapshot.configuration.clone()));
        self.for_peers = None;
    }

    /// A snapshot of this node's own making is newer than the last.
    pub(crate) fn note_snapshot(&mut self, position: LogPosition) {
        if position.index <= self.snapshot.index {
            return;
        }
        self.snapshot = position;
        while self.configurations.get(1).is_some_and(|(at, _)| at.index <= position.index) {
            self.configurations.pop_front();
        }
        self.bytes_since_snapshot =
            self.entries.iter().rev().take_while(|it| it.index > position.index.0).map(cost).sum();
    }

    /// Drops entries up to and including `index`.
    pub(crate) fn compact_through(&mut self, index: u64) {
        while self.entries.front().is_some_and(|it| it.index <= index) {
            if let Some(gone) = self.entries.pop_front() {
                self.bytes -= cost(&gone);
                self.dummy = convert::position_of(&gone);
            }
        }
    }

    /// The configurations from the one in force at the newest snapshot on, oldest first.
    pub(crate) fn configurations(&self) -> impl Iterator<Item = &Placed> {
        self.configurations.iter()
    }

    /// The newest configuration, committed or not.
    pub(crate) fn newest_configuration(&self) -> Placed {
        self.configurations.back().cloned().unwrap_or_default()
    }

    /// The configuration in force at `index`, which is not before the newest snapshot.
    pub(crate) fn configuration_at(&self, index: LogIndex) -> Placed {
        self.configurations
            .iter()
            .rev()
            .find(|(at, _)| at.index <= index)
            .or_else(|| self.configurations.front())
            .cloned()
            .unwrap_or_default()
    }

    /// Whether the crate asked for a snapshot in vain since the last call.
    pub(crate) fn take_wanted(&self) -> bool {
        self.wanted_by_peer.take()
    }

    /// The snapshot kept for members that need one.
    pub(crate) const fn for_peers(&self) -> Option<&Snapshot> {
        self.for_peers.as_ref()
    }

    pub(crate) fn set_for_peers(&mut self, snapshot: Option<Snapshot>) {
        self.for_peers = snapshot;
    }
}

fn cost(entry: &Entry) -> u64 {
    (entry.data.len() + entry.context.len()) as u64 + ENTRY_OVERHEAD
}

impl Storage for MemoryLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let (_, configuration) = self.configuration_at(self.snapshot.index);
        let conf_state: ConfState = convert::conf_state_of(&configuration);
        Ok(RaftState::new(self.hard_state.clone(), conf_state))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let Some(start) = self.offset(low) else {
            return Err(Error::Store(StorageError::Compacted));
        };
        let limit = max_size.into().unwrap_or(u64::MAX);
        let mut size = 0_u64;
        let mut result = Vec::new();
        for entry in self.entries.iter().skip(start).take_while(|it| it.index < high) {
            size += cost(entry);
            if !result.is_empty() && size > limit {
                break;
            }
            result.push(entry.clone());
        }
        Ok(result)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        self.term_at(index).ok_or({
            Error::Store(if index < self.dummy.index.0 {
                StorageError::Compacted
            } else {
                StorageError::Unavailable
            })
        })
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    /// The snapshot kept for members. Where `to` joined after it was made, it is of no use there: the crate restores
    /// none that does not know its receiver, and answers as if it had.
    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<RaftSnapshot> {
        let needed = request_index.max(self.dummy.index.0);
        let known = |of: &Configuration| {
            convert::node_id(to).is_some_and(|node| of.members().contains(&node))
        };
        match &self.for_peers {
            Some(snapshot)
                if snapshot.position.index.0 >= needed && known(&snapshot.configuration) =>
            {
                Ok(convert::snapshot_meta(snapshot))
            }
            Some(_) | None => {
                self.wanted_by_peer.set(true);
                Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
            }
        }
    }
}

impl MemoryLog {
    /// The last entry's position.
    pub(crate) fn last_position(&self) -> LogPosition {
        self.entries.back().map_or(self.dummy, convert::position_of)
    }

    /// The term and place of the entry at `index`, where held.
    pub(crate) fn position_at(&self, index: u64) -> Option<LogPosition> {
        let term = self.term_at(index)?;
        Some(LogPosition { term: Term(term), index: LogIndex(index) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haven_types::NodeId;

    #[test]
    fn no_member_is_sent_a_snapshot_that_was_made_before_it_joined() {
        let position = LogPosition { term: Term(2), index: LogIndex(15) };
        let configuration = Configuration::of_voters([NodeId(1), NodeId(2)]);
        let mut log = MemoryLog::new(position, None, RaftHardState::default());
        let configuration_position = position;
        let snapshot = Snapshot { position, configuration, configuration_position, bytes: vec![7] };
        log.set_for_peers(Some(snapshot));
        assert_eq!(log.snapshot(0, 2).map(|it| it.get_metadata().index), Ok(15));
        assert!(!log.take_wanted());
        let newcomer = log.snapshot(0, 3);
        let unavailable = Error::Store(StorageError::SnapshotTemporarilyUnavailable);
        assert_eq!(newcomer, Err(unavailable));
        assert!(log.take_wanted(), "a new one is asked for");
    }
}
