//! Between our types and the raft crate's. Nothing here parses bytes from outside.
#![allow(
    clippy::field_reassign_with_default,
    reason = "the raft crate's generated structs have private fields, so literals cannot build them"
)]

use haven_types::{LogIndex, LogPosition, NodeId, Term};
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState, Entry,
    EntryType, Message as RaftMessage, MessageType, Snapshot as RaftSnapshot,
};

use crate::configuration::Configuration;
use crate::persist::{LogEntry, Payload, Snapshot};
use crate::wire::{Ballot, Body, Force, Message};

/// Marks an entry that carries a proposal, so that an empty proposal is one, too.
const PROPOSAL_MARK: &[u8] = &[1];

/// The raft crate's mark of a campaign that ignores its leader lease.
const FORCED: &[u8] = b"CampaignTransfer";

pub(crate) fn raft_id(node: NodeId) -> u64 {
    u64::from(node.0)
}

/// The crate's 0 means nobody; ids never exceed 65 535 because only [`raft_id`] makes them.
pub(crate) fn node_id(id: u64) -> Option<NodeId> {
    u16::try_from(id).ok().filter(|it| *it != 0).map(NodeId)
}

pub(crate) fn position(term: u64, index: u64) -> LogPosition {
    LogPosition { term: Term(term), index: LogIndex(index) }
}

pub(crate) fn position_of(entry: &Entry) -> LogPosition {
    position(entry.term, entry.index)
}

/// The context bytes that mark a proposal's entry.
pub(crate) fn proposal_mark() -> Vec<u8> {
    PROPOSAL_MARK.to_vec()
}

/// The context bytes that carry a configuration inside an entry in memory.
pub(crate) fn configuration_bytes(configuration: &Configuration) -> Vec<u8> {
    // Serialising our own types into memory has no way to fail.
    postcard::to_stdvec(configuration).unwrap_or_default()
}

/// The configuration an entry brings, if it brings one.
pub(crate) fn configuration_of(entry: &Entry) -> Option<Configuration> {
    match entry.get_entry_type() {
        EntryType::EntryConfChangeV2 | EntryType::EntryConfChange => {
            postcard::from_bytes(&entry.context).ok()
        }
        EntryType::EntryNormal => None,
    }
}

pub(crate) fn entry_to_ours(entry: &Entry) -> LogEntry {
    let payload = match configuration_of(entry) {
        Some(configuration) => Payload::Configuration(configuration),
        None if entry.context.is_empty() && entry.data.is_empty() => Payload::Empty,
        None => Payload::Proposal(entry.data.to_vec()),
    };
    LogEntry { position: position_of(entry), payload }
}

pub(crate) fn entry_to_raft(entry: LogEntry) -> Entry {
    let mut it = Entry::default();
    it.term = entry.position.term.0;
    it.index = entry.position.index.0;
    match entry.payload {
        Payload::Empty => {}
        Payload::Proposal(bytes) => {
            it.data = bytes.into();
            it.context = proposal_mark().into();
        }
        Payload::Configuration(configuration) => {
            it.set_entry_type(EntryType::EntryConfChangeV2);
            it.context = configuration_bytes(&configuration).into();
        }
    }
    it
}

pub(crate) fn conf_state_of(configuration: &Configuration) -> ConfState {
    let ids = |set: &std::collections::BTreeSet<NodeId>| set.iter().copied().map(raft_id).collect();
    let mut it = ConfState::default();
    it.set_voters(ids(&configuration.voters));
    it.set_voters_outgoing(ids(&configuration.outgoing));
    it.set_learners(ids(&configuration.learners));
    it.set_learners_next(ids(&configuration.learners_next));
    it
}

pub(crate) fn configuration_from(state: &ConfState) -> Configuration {
    let nodes = |ids: &[u64]| ids.iter().copied().filter_map(node_id).collect();
    Configuration {
        voters: nodes(state.get_voters()),
        outgoing: nodes(state.get_voters_outgoing()),
        learners: nodes(state.get_learners()),
        learners_next: nodes(state.get_learners_next()),
    }
}

/// The crate's change that leads from `current` to `result`. Whether it does is checked where it
/// is applied.
pub(crate) fn change_between(current: &Configuration, result: &Configuration) -> ConfChangeV2 {
    let mut change = ConfChangeV2::default();
    if current.is_joint() && !result.is_joint() {
        return change; // Empty means: leave the joint configuration.
    }
    let single = |node: NodeId, kind: ConfChangeType| {
        let mut it = ConfChangeSingle::default();
        it.node_id = raft_id(node);
        it.set_change_type(kind);
        it
    };
    let learners: std::collections::BTreeSet<_> =
        result.learners.union(&result.learners_next).copied().collect();
    let mut changes = Vec::new();
    for node in result.voters.difference(&current.voters) {
        changes.push(single(*node, ConfChangeType::AddNode));
    }
    for node in learners.difference(&current.learners) {
        changes.push(single(*node, ConfChangeType::AddLearnerNode));
    }
    for node in current.voters.union(&current.learners) {
        if !result.voters.contains(node) && !learners.contains(node) {
            changes.push(single(*node, ConfChangeType::RemoveNode));
        }
    }
    if result.is_joint() {
        change.set_transition(ConfChangeTransition::Explicit);
    }
    change.set_changes(changes.into());
    change
}

/// A snapshot without its bytes, which stay outside the crate.
pub(crate) fn snapshot_meta(snapshot: &Snapshot) -> RaftSnapshot {
    let mut it = RaftSnapshot::default();
    let meta = it.mut_metadata();
    meta.index = snapshot.position.index.0;
    meta.term = snapshot.position.term.0;
    meta.set_conf_state(conf_state_of(&snapshot.configuration));
    it
}

/// Our message for one of the crate's; `None` for kinds that never travel.
pub(crate) fn message_to_ours(
    message: &RaftMessage,
    force: Force,
    snapshot: Option<&Snapshot>,
) -> Option<Message> {
    let commit = LogIndex(message.commit);
    let read = || message.context.to_vec();
    let ballot = || Ballot {
        last: position(message.log_term, message.index),
        commit: position(message.commit_term, message.commit),
        priority: message.priority,
    };
    let granted = !message.reject;
    let voted = position(message.commit_term, message.commit);
    let body = match message.get_msg_type() {
        MessageType::MsgRequestPreVote => Body::PreVote(ballot()),
        MessageType::MsgRequestPreVoteResponse => Body::PreVoteAnswer { granted, commit: voted },
        MessageType::MsgRequestVote => Body::Vote {
            ballot: ballot(),
            force: if message.context == FORCED { force } else { Force::No },
        },
        MessageType::MsgRequestVoteResponse => Body::VoteAnswer { granted, commit: voted },
        MessageType::MsgAppend => Body::Append {
            previous: position(message.log_term, message.index),
            commit,
            entries: message.get_entries().iter().map(entry_to_ours).collect(),
        },
        MessageType::MsgAppendResponse if granted => {
            Body::AppendAccepted { matched: LogIndex(message.index), commit }
        }
        MessageType::MsgAppendResponse => Body::AppendRefused {
            refused: LogIndex(message.index),
            hint: position(message.log_term, message.reject_hint),
            commit,
        },
        MessageType::MsgHeartbeat => Body::Heartbeat { commit, read: read() },
        MessageType::MsgHeartbeatResponse => Body::HeartbeatAnswer { commit, read: read() },
        MessageType::MsgSnapshot => {
            let index = message.get_snapshot().get_metadata().index;
            Body::Snapshot(snapshot.filter(|it| it.position.index.0 == index)?.clone())
        }
        MessageType::MsgTimeoutNow => Body::TimeoutNow,
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp => return None,
    };
    Some(Message { term: Term(message.term), body })
}

/// The crate's message for one of ours. A snapshot goes without its bytes.
pub(crate) fn message_to_raft(from: NodeId, to: NodeId, message: Message) -> RaftMessage {
    let mut it = RaftMessage::default();
    it.from = raft_id(from);
    it.to = raft_id(to);
    it.term = message.term.0;
    let set_commit = |it: &mut RaftMessage, commit: LogPosition| {
        it.commit = commit.index.0;
        it.commit_term = commit.term.0;
    };
    let set_ballot = |it: &mut RaftMessage, ballot: Ballot| {
        it.index = ballot.last.index.0;
        it.log_term = ballot.last.term.0;
        it.priority = ballot.priority;
        set_commit(it, ballot.commit);
    };
    match message.body {
        Body::PreVote(ballot) => {
            it.set_msg_type(MessageType::MsgRequestPreVote);
            set_ballot(&mut it, ballot);
        }
        Body::PreVoteAnswer { granted, commit } => {
            it.set_msg_type(MessageType::MsgRequestPreVoteResponse);
            it.reject = !granted;
            set_commit(&mut it, commit);
        }
        Body::Vote { ballot, force } => {
            it.set_msg_type(MessageType::MsgRequestVote);
            set_ballot(&mut it, ballot);
            if force != Force::No {
                it.context = FORCED.to_vec().into();
            }
        }
        Body::VoteAnswer { granted, commit } => {
            it.set_msg_type(MessageType::MsgRequestVoteResponse);
            it.reject = !granted;
            set_commit(&mut it, commit);
        }
        Body::Append { previous, commit, entries } => {
            it.set_msg_type(MessageType::MsgAppend);
            it.index = previous.index.0;
            it.log_term = previous.term.0;
            it.commit = commit.0;
            it.set_entries(entries.into_iter().map(entry_to_raft).collect::<Vec<_>>().into());
        }
        Body::AppendAccepted { matched, commit } => {
            it.set_msg_type(MessageType::MsgAppendResponse);
            it.index = matched.0;
            it.commit = commit.0;
        }
        Body::AppendRefused { refused, hint, commit } => {
            it.set_msg_type(MessageType::MsgAppendResponse);
            it.reject = true;
            it.index = refused.0;
            it.reject_hint = hint.index.0;
            it.log_term = hint.term.0;
            it.commit = commit.0;
        }
        Body::Heartbeat { commit, read } => {
            it.set_msg_type(MessageType::MsgHeartbeat);
            it.commit = commit.0;
            it.context = read.into();
        }
        Body::HeartbeatAnswer { commit, read } => {
            it.set_msg_type(MessageType::MsgHeartbeatResponse);
            it.commit = commit.0;
            it.context = read.into();
        }
        Body::Snapshot(snapshot) => {
            it.set_msg_type(MessageType::MsgSnapshot);
            it.set_snapshot(snapshot_meta(&snapshot));
        }
        Body::TimeoutNow => it.set_msg_type(MessageType::MsgTimeoutNow),
    }
    it
}
