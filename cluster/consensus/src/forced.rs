//! Forced elections: who may hold one, whose vote it gets, and when this node's own begins.

use haven_types::NodeId;
use raft::StateRole;
use raft::eraftpb::{Message as RaftMessage, MessageType};

use crate::convert::{self, node_id};
use crate::interface::{Event, Output};
use crate::machine::Consensus;
use crate::wire::{Body, Force, Message};

/// A forced campaign waiting for its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forcing {
    pub(crate) reason: Force,
    /// The term in which it was asked for; void in another.
    pub(crate) term: u64,
}

impl Consensus {
    /// The rules of forced elections; whether the crate shall see the message.
    pub(crate) fn admit(&mut self, from: NodeId, message: &Message, out: &mut Vec<Output>) -> bool {
        let raft = &mut self.raw.raft;
        let leader = node_id(raft.leader_id);
        let newer = message.term.0 > raft.term;
        match &message.body {
            Body::Vote { ballot, force: Force::LeaderDead } if newer => {
                let alive = leader.is_some_and(|it| {
                    it == self.config.id || (it != from && self.opinions.get(&it) == Some(&true))
                });
                if alive {
                    self.counters.forced_votes_dropped += 1;
                    out.push(Output::Event(Event::ForcedVoteDropped { candidate: from }));
                    return false;
                }
                if ballot.last < self.raw.store().last_position() {
                    out.push(Output::Event(Event::ForcedVoteRefused { candidate: from }));
                }
                true
            }
            Body::PreVote(_) | Body::Vote { force: Force::No, .. } => {
                self.notice_end_of_leader(from, message.term);
                true
            }
            Body::TimeoutNow => {
                if leader == Some(from) && message.term.0 == raft.term {
                    self.forcing = Some(Forcing { reason: Force::HandedOver, term: raft.term });
                    self.try_forced(out);
                }
                false
            }
            Body::VoteAnswer { .. }
                if message.term.0 == raft.term && self.durable_term != raft.term =>
            {
                // Requests go out while this node's own vote is being written; until that is
                // durable no answer counts.
                if self.early_answers.len() < self.applied_configuration.1.members().len() {
                    let to = self.config.id;
                    self.early_answers.push(convert::message_to_raft(from, to, message.clone()));
                }
                false
            }
            Body::PreVoteAnswer { .. }
            | Body::Vote { .. }
            | Body::VoteAnswer { .. }
            | Body::Append { .. }
            | Body::AppendAccepted { .. }
            | Body::AppendRefused { .. }
            | Body::Heartbeat { .. }
            | Body::HeartbeatAnswer { .. }
            | Body::Snapshot(_) => true,
        }
    }

    /// Campaigns without pre-vote, once nothing stands in the way any more.
    pub(crate) fn try_forced(&mut self, out: &mut Vec<Output>) {
        let Some(forcing) = self.forcing else { return };
        let raft = &mut self.raw.raft;
        let void = forcing.term != raft.term || raft.state == StateRole::Leader;
        if void || !raft.promotable() {
            self.forcing = None;
            let why = if raft.state == StateRole::Leader {
                "this node leads"
            } else if void {
                "the term is over"
            } else {
                "this node does not vote"
            };
            out.push(Output::Event(Event::ForcedCampaignRefused { why: why.to_owned() }));
            return;
        }
        if !self.held.is_empty() {
            return; // Again when the disk has answered.
        }
        let term = raft.term;
        if raft.state != StateRole::Follower {
            raft.become_follower(term, raft::INVALID_ID);
        }
        self.forcing = None;
        self.force = forcing.reason;
        let mut now_is_the_time = RaftMessage::default();
        now_is_the_time.set_msg_type(MessageType::MsgTimeoutNow);
        now_is_the_time.from = raft.id;
        now_is_the_time.to = raft.id;
        now_is_the_time.term = term;
        // Stepped, not campaign(): the crate checks for configuration changes not yet applied.
        drop(self.raw.step(now_is_the_time));
        if self.raw.raft.state == StateRole::Follower {
            let why = "a committed configuration change is not applied yet".to_owned();
            out.push(Output::Event(Event::ForcedCampaignRefused { why }));
        }
    }

    /// Takes in the answers that came before this node's own vote was durable.
    pub(crate) fn step_early_answers(&mut self) {
        if self.durable_term == self.raw.raft.term {
            for message in std::mem::take(&mut self.early_answers) {
                drop(self.raw.step(message));
            }
        }
    }
}
