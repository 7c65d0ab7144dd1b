//! Where the members are reached, learnt from one another where the log cannot tell.
//!
//! A node that was away while another joined does not know the newcomer. When that one leads the
//! consensus, the entries that would name it come from a stranger, and a stranger's frames are
//! dropped. So a node that hears of no leader asks those it knows, and whoever has applied more of
//! the log names the members as committed there.
//!
//! What is learnt so says whom to talk to, no more: neither a vote, nor a lease, nor a verdict counts
//! by it, and the heartbeat machine is not told of it. It ends where the own log has come as far.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::Instant;
use haven_types::{LogIndex, NodeId};

use crate::command::Member;
use crate::controller::Controller;
use crate::message::PeerMessage;
use crate::port::{Clock, Output};

/// How long nobody leads before the others are asked, and between two times they are.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a node knows of the members beyond its own log.
#[derive(Debug, Default)]
pub(crate) struct Contacts {
    /// When the others are asked; nothing while somebody leads.
    ask_at: Option<Instant>,
    /// The members as of a committed entry that was not applied here when they were learnt.
    learnt: Option<(LogIndex, BTreeMap<NodeId, Member>)>,
}

impl Contacts {
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.ask_at
    }
}

impl Controller {
    /// Whom this node talks to: the members of the newest committed state it knows of.
    pub(crate) fn contacts(&self) -> &BTreeMap<NodeId, Member> {
        match &self.contacts.learnt {
            Some((at, members)) if *at > self.applied => members,
            Some(_) | None => &self.state.members,
        }
    }

    /// Asks the others who the members are while nobody is known to lead.
    pub(crate) fn ask_for_members(&mut self, clock: Clock) {
        if self.leader.is_some() {
            self.contacts.ask_at = None;
            return;
        }
        let due = *self.contacts.ask_at.get_or_insert(clock.now + PATIENCE);
        if due > clock.now {
            return;
        }
        self.contacts.ask_at = Some(clock.now + PATIENCE);
        let own = self.config.node;
        let others: Vec<NodeId> =
            self.contacts().keys().copied().filter(|node| *node != own).collect();
        for node in others {
            self.send(node, &PeerMessage::MembersWanted { applied: self.applied });
        }
    }

    /// A member whose log ends earlier is told what it may be missing.
    pub(crate) fn on_members_wanted(&mut self, from: NodeId, applied: LogIndex) {
        if self.applied > applied && self.state.members.contains_key(&from) {
            let members = self.state.members.values().cloned().collect();
            self.send(from, &PeerMessage::Members { applied: self.applied, members });
        }
    }

    /// The members as `applied` leaves them. A list without this node is of no use to it.
    pub(crate) fn on_members_told(&mut self, applied: LogIndex, members: Vec<Member>) {
        let known = self.contacts.learnt.as_ref().map_or(LogIndex(0), |(at, _)| *at);
        let members: BTreeMap<NodeId, Member> =
            members.into_iter().map(|member| (member.id, member)).collect();
        if applied <= known.max(self.applied) || !members.contains_key(&self.config.node) {
            return;
        }
        let news = members != *self.contacts();
        self.contacts.learnt = Some((applied, members));
        if news {
            self.out.push(Output::Members(self.contacts().clone()));
        }
    }
}
