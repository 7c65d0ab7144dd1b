//! Messages between members: a version byte, then postcard.
//!
//! The raft crate's own encoding never travels. Every field is bounded on arrival by `guard`.

use haven_types::{LogIndex, LogPosition, Term};
use serde::{Deserialize, Serialize};

use crate::persist::{LogEntry, Snapshot};

/// The version this build speaks.
const VERSION: u8 = 1;

/// Why a candidate asks although a leader may be alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Force {
    /// It does not: an ordinary campaign.
    No,
    /// The membership declared the leader dead.
    LeaderDead,
    /// The leader itself handed over.
    HandedOver,
}

/// What a vote request says about the candidate's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ballot {
    /// The last entry of the sender's log.
    pub(crate) last: LogPosition,
    /// What the sender knows committed.
    pub(crate) commit: LogPosition,
    /// The sender's priority.
    pub(crate) priority: i64,
}

/// What kind of message, with its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Body {
    /// Would you vote for me in `Message::term`?
    PreVote(Ballot),
    /// Answer to it.
    PreVoteAnswer { granted: bool, commit: LogPosition },
    /// Vote for me in `Message::term`.
    Vote { ballot: Ballot, force: Force },
    /// Answer to it.
    VoteAnswer { granted: bool, commit: LogPosition },
    /// Entries that follow `previous`.
    Append { previous: LogPosition, commit: LogIndex, entries: Vec<LogEntry> },
    /// Everything up to `matched` agrees with the leader's log and is durable.
    AppendAccepted { matched: LogIndex, commit: LogIndex },
    /// The entry at `refused` is another here; try after `hint`.
    AppendRefused { refused: LogIndex, hint: LogPosition, commit: LogIndex },
    /// The leader lives; `read` names a read that waits for a majority of answers.
    Heartbeat { commit: LogIndex, read: Vec<u8> },
    /// Answer to it.
    HeartbeatAnswer { commit: LogIndex, read: Vec<u8> },
    /// The state instead of entries that are gone.
    Snapshot(Snapshot),
    /// Campaign now: leadership is handed to you.
    TimeoutNow,
}

/// One message. Sender and receiver are the channel's business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// The sender's term, or the term it asks votes for.
    pub(crate) term: Term,
    /// The rest.
    pub(crate) body: Body,
}

impl Message {
    /// The bytes to send.
    pub(crate) fn encode(&self) -> Vec<u8> {
        // Serialising our own types into memory has no way to fail.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// What these bytes say; `None` where they are no message of this version, exactly.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        if version != VERSION {
            return None;
        }
        match postcard::take_from_bytes(rest) {
            Ok((message, [])) => Some(message),
            Ok(_) | Err(_) => None,
        }
    }
}
