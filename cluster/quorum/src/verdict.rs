//! The verdict on a view.

use std::collections::BTreeSet;

use haven_types::NodeId;
use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::options::{Rules, TieBreakerNode};

/// Why a view is quorate or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// More than half of the expected votes are present.
    Majority,
    /// `two_node`: one of two is enough.
    TwoNode,
    /// An even split, and the deciding node is here.
    TieWon {
        /// The deciding node.
        by: NodeId,
    },
    /// An even split, and the deciding node is elsewhere, or there is none.
    TieLost {
        /// The deciding node.
        by: Option<NodeId>,
    },
    /// Too few votes.
    Minority,
    /// `wait_for_all`: not all members were seen together yet.
    WaitingForAll {
        /// Who was not seen in this view.
        missing: Vec<NodeId>,
    },
}

/// What quorum says of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether this partition may act.
    pub quorate: bool,
    /// Why.
    pub reason: Reason,
    /// Votes present.
    pub present: u32,
    /// Votes expected.
    pub expected: u32,
    /// Votes needed.
    pub needed: u32,
}

impl Rules {
    /// Whether a partition of these members may act. Nodes that are no members do not count, nor do
    /// those `last_man_standing` stopped counting.
    #[must_use]
    pub fn judge(&self, present: &BTreeSet<NodeId>, history: &History) -> Verdict {
        let votes = self.counted_votes(present, history);
        let expected = self.expected(history);
        let needed = if self.two_node() { 1 } else { expected / 2 + 1 };
        let (quorate, reason) = if self.wait_for_all() && !history.all_seen {
            self.judge_unseen(present, votes)
        } else if votes >= needed {
            (true, if self.two_node() && votes < 2 { Reason::TwoNode } else { Reason::Majority })
        } else if votes > 0 && votes * 2 == expected {
            self.judge_tie(present, history)
        } else {
            (false, Reason::Minority)
        };
        Verdict { quorate, reason, present: votes, expected, needed }
    }

    fn judge_unseen(&self, present: &BTreeSet<NodeId>, votes: u32) -> (bool, Reason) {
        if votes >= self.configured_expected() {
            return (true, Reason::Majority);
        }
        let missing = self.members.keys().filter(|it| !present.contains(it)).copied().collect();
        (false, Reason::WaitingForAll { missing })
    }

    fn judge_tie(&self, present: &BTreeSet<NodeId>, history: &History) -> (bool, Reason) {
        match self.tie_breaker(history) {
            Some(by) if present.contains(&by) => (true, Reason::TieWon { by }),
            by => (false, Reason::TieLost { by }),
        }
    }

    /// The node that decides an even split. Both sides must name the same whatever each has seen,
    /// so it depends on who counts, not on who was last seen.
    fn tie_breaker(&self, history: &History) -> Option<NodeId> {
        if !self.options.auto_tie_breaker.enabled {
            return None;
        }
        let counts = |it: &NodeId| {
            self.members.get(it).is_some_and(|member| member.votes > 0)
                && history.lowered_to.as_ref().is_none_or(|counted| counted.contains(it))
        };
        match &self.options.auto_tie_breaker.node {
            TieBreakerNode::Lowest => self.members.keys().copied().find(counts),
            TieBreakerNode::Highest => self.members.keys().rev().copied().find(counts),
            TieBreakerNode::List(list) => list.iter().copied().find(counts),
        }
    }

    /// The votes present of members that count.
    fn counted_votes(&self, present: &BTreeSet<NodeId>, history: &History) -> u32 {
        match &history.lowered_to {
            Some(counted) => self.votes_of(&present.intersection(counted).copied().collect()),
            None => self.votes_of(present),
        }
    }

    pub(crate) fn votes_of(&self, nodes: &BTreeSet<NodeId>) -> u32 {
        nodes.iter().filter_map(|it| self.members.get(it)).map(|it| it.votes).sum()
    }

    /// What the configuration expects: never less than what the members have together.
    pub(crate) fn configured_expected(&self) -> u32 {
        self.options.expected_votes.unwrap_or(0).max(self.total())
    }

    /// The votes expected now.
    pub(crate) fn expected(&self, history: &History) -> u32 {
        if let Some(counted) = &history.lowered_to {
            // Without a tie-breaker two votes stay expected: the last of two does not go on alone.
            let floor = if self.options.auto_tie_breaker.enabled { 1 } else { 2 };
            return self.votes_of(counted).max(floor);
        }
        let tracked = if self.options.expected_votes_tracking { history.highest_votes } else { 0 };
        self.configured_expected().max(tracked)
    }
}
