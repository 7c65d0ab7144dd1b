//! What goes into the machine and what comes out.

use std::collections::BTreeSet;
use std::time::Duration;

use haven_types::{LogIndex, LogPosition, NodeId, Term};
use serde::{Deserialize, Serialize};

use crate::configuration::Configuration;
use crate::persist::{Batch, LogEntry};

/// Names a proposal of this node until its fate is known; chosen by the proposer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ProposalId(pub u64);

/// Names a linearizable read of this node; chosen by the reader, not reused while one is under way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ReadId(pub u64);

/// Names a [`Output::Persist`]; rises by one with each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct PersistToken(pub u64);

/// What stays fixed for the life of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// This node; not 0.
    pub id: NodeId,
    /// Length of one tick until [`Input::SetTick`] says otherwise. A leader's heartbeat goes out
    /// every [`Config::heartbeat_ticks`].
    pub tick: Duration,
    /// Ticks between heartbeats of the leader, at least 1.
    pub heartbeat_ticks: u8,
    /// Ticks without a leader after which a voter campaigns (drawn from this to twice this); more
    /// than `heartbeat_ticks`. The slow fallback: a death verdict forces a campaign at once.
    pub election_ticks: u8,
    /// Voters prefer candidates of higher priority among equally long logs. Witnesses: −1, else 0.
    pub priority: i8,
    /// Time between a change of the voters seen committed and the next one: `D_max·(1+ρ)` plus two
    /// ticks of the lease at least (rule L5), and so much more that the new voters' silence, which
    /// begins when they apply the change and may be measured by a slower clock, has ended: else a change
    /// that adds half of the voters ends leases.
    pub change_spacing: Duration,
    /// Bytes of entries after which a snapshot is asked for.
    pub snapshot_after_bytes: u64,
    /// Entries kept behind the snapshot for followers that lag a little.
    pub keep_entries: u64,
    /// Bytes of entries not yet committed beyond which proposals are dropped.
    pub max_uncommitted_bytes: u64,
}

impl Config {
    /// The defaults for `id`: ticks of 50 ms, heartbeat every 20, election after 40 to 80, spacing
    /// for `D_max` = 5 s and ρ = 0.10 (1.4 times the silence of a new voter), a snapshot every 4 MiB.
    ///
    /// Heartbeats may be few, and an idle node stays idle: the failure detector's beats tell that the leader lives, a
    /// death verdict forces an election, and silence of a leader that beats is a main task at work.
    #[must_use]
    pub const fn new(id: NodeId) -> Self {
        Self {
            id,
            tick: Duration::from_millis(50),
            heartbeat_ticks: 20,
            election_ticks: 40,
            priority: 0,
            change_spacing: Duration::from_millis(7_720),
            snapshot_after_bytes: 4 << 20,
            keep_entries: 256,
            max_uncommitted_bytes: 16 << 20,
        }
    }
}

/// Everything that can happen to the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Time passed; due at [`crate::Consensus::deadline`]. A spare one is harmless. The very first
    /// input (any) also delivers what was recovered.
    Tick,
    /// The measured network delay changed: ticks last this long from now on (1 ms to 10 s, clamped).
    SetTick(Duration),
    /// Bytes of another member's [`Output::Send`], as authenticated by messaging.
    Received {
        /// The authenticated sender.
        from: NodeId,
        /// What it sent.
        bytes: Vec<u8>,
    },
    /// Append this to the log. Only the leader can; elsewhere dropped with the leader's name.
    Propose {
        /// Comes back with the entry's fate.
        id: ProposalId,
        /// Opaque; at most 16 MiB.
        bytes: Vec<u8>,
    },
    /// Ask for an index from which a read is linearizable (`ReadOnlyOption::Safe`); leader only.
    ReadIndex(ReadId),
    /// The leader was declared dead and this node is its rightful successor: campaign at once,
    /// without pre-vote. Once per verdict; what follows a failed campaign is the slow fallback.
    ForceCampaign,
    /// What this node's own detector says of another. While it holds the leader alive, forced
    /// vote requests are dropped; once it holds it dead, ordinary candidates are heard at once.
    PeerAlive {
        /// The other node.
        node: NodeId,
        /// The detector's opinion. A node never mentioned counts as not alive.
        alive: bool,
    },
    /// A new life of another node is heard. It may have forgotten what it promised, so it promises nothing
    /// for a while (rule L4), and until then a change of voters does not count on it.
    PeerStarted(NodeId),
    /// Bring the membership to this, step by step; replaces a target not yet reached. Leader only.
    ChangeMembers {
        /// Members that shall vote; not empty. New ones first catch up as learners.
        voters: BTreeSet<NodeId>,
        /// Members that shall receive the log without voting; disjoint from `voters`.
        learners: BTreeSet<NodeId>,
    },
    /// Hand leadership to this voter as soon as its log is complete. Leader only.
    TransferLeadership(NodeId),
    /// Every batch up to this token is durable.
    Persisted(PersistToken),
    /// A batch could not be made durable. From now on the machine is mute.
    PersistFailed,
    /// The application's state, as of having applied the entry at `index`.
    Snapshot {
        /// The last entry contained; not above what was handed out as committed.
        index: LogIndex,
        /// Opaque.
        bytes: Vec<u8>,
    },
    /// The transport gave up on a message to this node (connection refused or reset).
    Unreachable(NodeId),
}

/// Which way a message travels best.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Carrier {
    /// Smaller than 64 KiB: an express datagram. May be lost, doubled or reordered.
    Datagram,
    /// Larger: the reliable channel.
    Stream,
}

/// The part a member plays.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Role {
    /// Takes entries from the leader, or waits for one.
    #[default]
    Follower,
    /// Asks whether a campaign could be won, without disturbing anybody.
    PreCandidate,
    /// Campaigns.
    Candidate,
    /// Orders the log: the coordinator.
    Leader,
}

/// Everything the machine can ask for or tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Make this durable, in order, then answer [`Input::Persisted`]. Batches may share an fsync.
    Persist {
        /// Comes back.
        token: PersistToken,
        /// What to write.
        batch: Batch,
    },
    /// Send to another member.
    Send {
        /// The receiver.
        to: NodeId,
        /// What [`Input::Received`] takes there.
        bytes: Vec<u8>,
        /// By size.
        carrier: Carrier,
    },
    /// Entries joined the log, committed or not, durable or not.
    Appended {
        /// In order, without gaps.
        entries: Vec<LogEntry>,
    },
    /// Entries from this index on left the log; they were never committed.
    Truncated {
        /// The first index that went.
        from: LogIndex,
    },
    /// The newest voter configuration in this node's log, committed or not (rule L5), is another. At a
    /// start each that the log knows is told, oldest first.
    ConfigurationInLog {
        /// The entry that brought it.
        position: LogPosition,
        /// What it says.
        configuration: Configuration,
    },
    /// A configuration was committed and is applied (rule L4 counts from here).
    ConfigurationCommitted {
        /// The entry that brought it.
        position: LogPosition,
        /// What it says.
        configuration: Configuration,
    },
    /// The next committed entry. Each index once per life of the machine, in order; indices of
    /// entries without content are skipped.
    Committed {
        /// Place in the log.
        index: LogIndex,
        /// Term of the leader that appended it.
        term: Term,
        /// What was proposed.
        bytes: Vec<u8>,
        /// Set where this node proposed it in this life.
        proposal: Option<ProposalId>,
    },
    /// Leader, term or this node's part changed.
    RoleChanged {
        /// Who leads `term`, where known.
        leader: Option<NodeId>,
        /// The current term.
        term: Term,
        /// This node's part.
        role: Role,
    },
    /// This node leads and has seen an entry of its own term committed: what it reads locally now
    /// contains everything committed before. Once per term led.
    LeaderReady {
        /// The term.
        term: Term,
    },
    /// A proposal of this node met its end without being committed, or may have.
    ProposalDropped {
        /// Which.
        id: ProposalId,
        /// Why.
        why: DropReason,
    },
    /// A read may be answered once everything up to `index` is applied.
    ReadReady {
        /// Which.
        id: ReadId,
        /// Apply this first.
        index: LogIndex,
    },
    /// A read cannot be answered here; ask the leader or again.
    ReadDropped {
        /// Which.
        id: ReadId,
        /// The leader, where known and another.
        leader: Option<NodeId>,
    },
    /// Replace the application's state by this; entries up to `position` are part of it now.
    /// Entries appended after it stay.
    RestoreSnapshot {
        /// The last entry contained.
        position: LogPosition,
        /// What [`Input::Snapshot`] took, here or elsewhere.
        bytes: Vec<u8>,
    },
    /// Answer with [`Input::Snapshot`], soon: the state as it is, and the index of the last
    /// [`Output::Committed`] or [`Output::RestoreSnapshot`] it contains.
    SnapshotWanted,
    /// The membership asked for by [`Input::ChangeMembers`] is in force.
    MembersReached {
        /// What is in force.
        configuration: Configuration,
    },
    /// A [`Input::ChangeMembers`] ended early; what is in force stays until asked again.
    MembersDropped {
        /// Why.
        why: MembersReason,
    },
    /// For logs and counters; nothing to do.
    Event(Event),
}

/// Why a proposal is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DropReason {
    /// This node does not lead: never appended; safe to repeat at the leader.
    NotLeader {
        /// Who does, where known.
        leader: Option<NodeId>,
    },
    /// Leadership is being handed over: never appended; safe to repeat later.
    Transferring,
    /// Too many bytes wait for commitment: never appended; safe to repeat later.
    Overloaded,
    /// The entry alone is longer than any may be: never appended.
    TooBig {
        /// Its length in bytes.
        bytes: usize,
        /// The longest allowed, in bytes.
        most: usize,
    },
    /// Another leader's entry took its place: certainly not committed.
    Superseded,
    /// Leadership was lost while it waited, and its fate is not known here: it may be committed.
    Unknown,
    /// The disk failed: fate unknown, and this process takes no more.
    Mute,
}

/// Why a change of members ended early.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MembersReason {
    /// This node does not lead (any more), for one because the target leaves it out and leadership went to another
    /// first; the new leader may be asked.
    NotLeader {
        /// Who does, where known.
        leader: Option<NodeId>,
    },
    /// The target has no voter, or names a node as voter and learner.
    Contradictory,
}

/// Things worth a log line or a counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Bytes that are no message of this version.
    Undecodable {
        /// Who sent them.
        from: NodeId,
    },
    /// A message that contradicts this node's log or itself was dropped.
    Implausible {
        /// Who sent it.
        from: NodeId,
        /// What was wrong with it, in words.
        what: String,
    },
    /// A forced vote request was dropped: this node's detector holds the leader alive.
    ForcedVoteDropped {
        /// Who campaigned.
        candidate: NodeId,
    },
    /// This node refused a forced candidate because its own log is longer: it is the better one.
    ForcedVoteRefused {
        /// Who campaigned.
        candidate: NodeId,
    },
    /// A forced campaign could not start.
    ForcedCampaignRefused {
        /// What stood in the way, in words.
        why: String,
    },
    /// The disk failed; this process neither votes nor appends any more. Restart it once the disk
    /// is sound.
    Mute,
}
