//! What the machine shows of itself.

use std::collections::BTreeMap;

use haven_types::{LogIndex, LogPosition, NodeId, Term};
use serde::{Deserialize, Serialize};

use raft::StateRole;

use crate::configuration::Configuration;
use crate::convert::node_id;
use crate::interface::Role;
use crate::machine::{Consensus, role_of};

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

impl Consensus {
    /// The machine at a glance.
    #[must_use]
    pub fn status(&self) -> Status {
        let raft = &self.raw.raft;
        let log = self.raw.store();
        let leads = raft.state == StateRole::Leader && !self.mute;
        let peers = if leads { self.peers() } else { BTreeMap::new() };
        Status {
            id: self.config.id,
            role: if self.mute { Role::Follower } else { role_of(raft.state) },
            term: Term(raft.term),
            leader: node_id(raft.leader_id).filter(|_| !self.mute),
            vote: node_id(raft.vote),
            last: log.last_position(),
            persisted: LogIndex(raft.raft_log.persisted),
            committed: LogIndex(raft.raft_log.committed),
            applied: LogIndex(raft.raft_log.applied),
            first: LogIndex(log.first()),
            log_bytes: log.bytes(),
            configuration: self.applied_configuration.1.clone(),
            configuration_in_log: log.newest_configuration(),
            peers,
            changing_members: self.members.is_changing(&self.applied_configuration.1),
            mute: self.mute,
            counters: self.counters,
        }
    }

    fn peers(&self) -> BTreeMap<NodeId, PeerStatus> {
        let mut peers = BTreeMap::new();
        for (id, progress) in self.raw.raft.prs().iter() {
            let Some(node) = node_id(*id).filter(|it| *it != self.config.id) else { continue };
            let state = match progress.state {
                raft::ProgressState::Probe => PeerState::Probing,
                raft::ProgressState::Replicate => PeerState::Replicating,
                raft::ProgressState::Snapshot => PeerState::Snapshot,
            };
            let matched = LogIndex(progress.matched);
            let recently_active = progress.recent_active;
            peers.insert(node, PeerStatus { matched, state, recently_active });
        }
        peers
    }
}
