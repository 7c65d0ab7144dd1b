//! What the machine keeps on disk, as types. Their encoding is in `record`.

use haven_types::{LogIndex, LogPosition, NodeId, Term};
use serde::{Deserialize, Serialize};

use crate::configuration::Configuration;

/// What one entry carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing: a new leader's first entry.
    Empty,
    /// A proposal, opaque.
    Proposal(Vec<u8>),
    /// The configuration that holds once this entry is committed and applied.
    Configuration(Configuration),
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Where and in whose term.
    pub position: LogPosition,
    /// What.
    pub payload: Payload,
}

/// What must survive besides entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    /// The newest term seen.
    pub term: Term,
    /// Whom this node voted for in `term`.
    pub vote: Option<NodeId>,
    /// Everything up to here is known committed. May lag; never ahead of what is durable.
    pub commit: LogIndex,
}

/// The application's state with what the log before it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last entry contained.
    pub position: LogPosition,
    /// The configuration in force there.
    pub configuration: Configuration,
    /// The entry that brought it.
    pub configuration_position: LogPosition,
    /// The application's bytes, opaque.
    pub bytes: Vec<u8>,
}

/// One atomic write. Order of effect: snapshot, entries, hard state, compaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Replaces the older snapshot.
    pub snapshot: Option<Snapshot>,
    /// Set where the snapshot came from a leader: every entry on disk goes.
    pub clear_entries: bool,
    /// In order, without gaps. Entries on disk from the first one's index on go first.
    pub entries: Vec<LogEntry>,
    /// Replaces the older hard state.
    pub hard_state: Option<HardState>,
    /// Entries before this index may go; the one at it stays, for its term.
    pub compact_before: Option<LogIndex>,
}

/// What a store held at start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// The newest snapshot.
    pub snapshot: Option<Snapshot>,
    /// In order, without gaps; may begin before the snapshot's index.
    pub entries: Vec<LogEntry>,
    /// Terms and votes.
    pub hard_state: HardState,
}

impl Recovered {
    /// A member that knows nothing yet and waits for a leader.
    #[must_use]
    pub fn blank() -> Self {
        Self::default()
    }

    /// A new cluster of these voters whose application starts with `bytes`. Every founding member
    /// must start with the same; normally there is one.
    #[must_use]
    pub fn founding(voters: impl IntoIterator<Item = NodeId>, bytes: Vec<u8>) -> Self {
        let position = LogPosition { term: Term(1), index: LogIndex(1) };
        Self {
            snapshot: Some(Snapshot {
                position,
                configuration: Configuration::of_voters(voters),
                configuration_position: position,
                bytes,
            }),
            entries: Vec::new(),
            hard_state: HardState { term: Term(1), vote: None, commit: LogIndex(1) },
        }
    }

    /// The batch that writes this into an empty store.
    #[must_use]
    pub fn into_batch(self) -> Batch {
        Batch {
            snapshot: self.snapshot,
            clear_entries: true,
            entries: self.entries,
            hard_state: Some(self.hard_state),
            compact_before: None,
        }
    }
}
