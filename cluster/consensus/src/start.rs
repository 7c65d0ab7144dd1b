//! From what a store held to a log in memory.

use haven_types::{LogIndex, LogPosition, Term};
use raft::eraftpb::HardState as RaftHardState;

use crate::convert::{self, raft_id};
use crate::guard::FAR;
use crate::memory::MemoryLog;
use crate::persist::{LogEntry, Recovered, Snapshot};

/// Why the machine cannot start from what was recovered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The configuration of the machine contradicts itself.
    #[error("cannot start consensus: {0}")]
    Config(String),
    /// The log does not join up.
    #[error(
        "cannot start consensus from the store: entry {found} stands where {expected} belongs; \
         set the store aside and join again"
    )]
    Gap {
        /// The index that belongs there.
        expected: LogIndex,
        /// The index found.
        found: LogIndex,
    },
    /// Terms fall, or the log and the snapshot disagree about one.
    #[error(
        "cannot start consensus from the store: entry {index} has a term that cannot be; \
         set the store aside and join again"
    )]
    Term {
        /// Where.
        index: LogIndex,
    },
    /// An index or a term that no log reaches, and behind which there might be no next one.
    #[error(
        "cannot start consensus from the store: it names entry {index} of term {term}, which no log \
         reaches; set the store aside and join again"
    )]
    Far {
        /// The index; 0 where a term stands alone.
        index: LogIndex,
        /// The term.
        term: Term,
    },
}

/// Twice what is believed of a peer: a member may have added to it since.
const FARTHEST: u64 = 2 * FAR;

/// What a start has to tell once.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) entries: Vec<LogEntry>,
}

/// Checks that what was recovered joins up, and builds the log in memory.
pub(crate) fn load(recovered: Recovered) -> Result<(MemoryLog, Start), StartError> {
    check_reach(&recovered)?;
    let Recovered { snapshot, mut entries, hard_state } = recovered;
    let at = snapshot.as_ref().map_or_else(LogPosition::default, |it| it.position);
    if entries.last().is_some_and(|it| it.position.index < at.index) {
        entries.clear();
    }
    let mut dummy = at;
    if let Some(first) = entries.first().map(|it| it.position) {
        if first.index <= at.index && at.index.0 > 0 {
            dummy = first;
            entries.remove(0);
        } else if first.index.0 != at.index.0 + 1 {
            let expected = LogIndex(at.index.0 + 1);
            return Err(StartError::Gap { expected, found: first.index });
        }
    }
    let mut before = dummy;
    for entry in &entries {
        let it = entry.position;
        if it.index.0 != before.index.0 + 1 {
            let expected = LogIndex(before.index.0 + 1);
            return Err(StartError::Gap { expected, found: it.index });
        }
        if it.term < before.term || (it.index == at.index && it.term != at.term) {
            return Err(StartError::Term { index: it.index });
        }
        before = it;
    }
    if dummy.index == at.index && dummy.term != at.term {
        return Err(StartError::Term { index: dummy.index });
    }
    let mut raft_hard_state = RaftHardState::default();
    // A term can be behind the log only where the store lied; the log's own is a safe bound.
    raft_hard_state.term = hard_state.term.0.max(before.term.0);
    raft_hard_state.vote =
        hard_state.vote.filter(|_| raft_hard_state.term == hard_state.term.0).map_or(0, raft_id);
    raft_hard_state.commit = hard_state.commit.0.min(before.index.0).max(at.index.0);
    let placed =
        snapshot.as_ref().map(|it| (at, (it.configuration_position, it.configuration.clone())));
    let mut log = MemoryLog::new(dummy, placed, raft_hard_state);
    let raft_entries: Vec<_> = entries.iter().cloned().map(convert::entry_to_raft).collect();
    log.append(&raft_entries);
    log.note_snapshot(at);
    Ok((log, Start { snapshot, entries }))
}

/// Past this, whatever adds one to an index or a term of the store has room.
fn check_reach(recovered: &Recovered) -> Result<(), StartError> {
    let Recovered { snapshot, entries, hard_state } = recovered;
    let alone = LogPosition { term: hard_state.term, index: LogIndex(0) };
    let named = entries.iter().map(|it| it.position);
    let named = named.chain(snapshot.iter().map(|it| it.position)).chain([alone]);
    let mut far = named.filter(|it| it.index.0 > FARTHEST || it.term.0 > FARTHEST);
    far.next().map_or(Ok(()), |LogPosition { term, index }| Err(StartError::Far { index, term }))
}
