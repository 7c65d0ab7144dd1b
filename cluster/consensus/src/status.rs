//! What the machine shows of itself.

use std::collections::BTreeMap;

use haven_types::{LogIndex, LogPosition, NodeId, Term};
use serde::{Deserialize, Serialize};

use crate::configuration::Configuration;
use crate::interface::Role;

/// How the leader feeds a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerState {
    /// Looks for the last entry both have.
    Probing,
    /// Streams entries.
    Replicating,
    /// Sends a snapshot first.
    Snapshot,
}

/// A member as the leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Everything up to here is durable there.
    pub matched: LogIndex,
    /// How it is fed.
    pub state: PeerState,
    /// Whether it answered within the last election timeout.
    pub recently_active: bool,
}

/// Counts since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Messages taken in.
    pub received: u64,
    /// Messages given out.
    pub sent: u64,
    /// Messages given out again because no answer came.
    pub resent: u64,
    /// Bytes that were no message.
    pub undecodable: u64,
    /// Messages dropped because they contradict this log or themselves.
    pub implausible: u64,
    /// Forced vote requests dropped because the leader is alive.
    pub forced_votes_dropped: u64,
    /// Batches given out.
    pub batches: u64,
    /// Proposals appended.
    pub proposals: u64,
    /// Entries committed.
    pub committed: u64,
    /// Campaigns begun, pre-votes not counted.
    pub campaigns: u64,
}

/// The machine at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// This node.
    pub id: NodeId,
    /// Its part.
    pub role: Role,
    /// The current term.
    pub term: Term,
    /// Who leads it, where known.
    pub leader: Option<NodeId>,
    /// Whom this node voted for in it.
    pub vote: Option<NodeId>,
    /// The last entry, durable or not.
    pub last: LogPosition,
    /// The last durable entry.
    pub persisted: LogIndex,
    /// The last entry known committed.
    pub committed: LogIndex,
    /// The last entry handed out.
    pub applied: LogIndex,
    /// The first entry still in the log.
    pub first: LogIndex,
    /// Bytes of entries held.
    pub log_bytes: u64,
    /// The configuration in force.
    pub configuration: Configuration,
    /// The newest configuration in the log with the entry that brought it.
    pub configuration_in_log: (LogPosition, Configuration),
    /// The members, on the leader; empty elsewhere.
    pub peers: BTreeMap<NodeId, PeerStatus>,
    /// Whether a change of members is under way.
    pub changing_members: bool,
    /// The disk failed: this process takes no part any more.
    pub mute: bool,
    /// Counts.
    pub counters: Counters,
}
