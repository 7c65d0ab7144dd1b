//! Who is a member of the consensus group, and in which part.

use std::collections::BTreeSet;

use haven_types::NodeId;
use serde::{Deserialize, Serialize};

/// More members than any cluster has. The raft crate takes the square of their number to restore a snapshot: 8,000 of them,
/// who fit a datagram, would stop this node for many seconds.
pub(crate) const MAX_MEMBERS: usize = 256;

/// The members of the consensus group. While `outgoing` is not empty the configuration is joint:
/// every decision needs a majority of `voters` and one of `outgoing`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Members that vote (the incoming half while joint).
    pub voters: BTreeSet<NodeId>,
    /// The voters before, while joint.
    pub outgoing: BTreeSet<NodeId>,
    /// Members that receive the log without voting.
    pub learners: BTreeSet<NodeId>,
    /// Outgoing voters that become learners when the joint configuration is left.
    pub learners_next: BTreeSet<NodeId>,
}

/// Why a configuration cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// Nobody votes.
    #[error("the configuration has no voter")]
    NoVoter,
    /// Too many members, by number.
    #[error("the configuration has {0} members, {MAX_MEMBERS} are the most")]
    TooMany(usize),
    /// Number 0 means nobody.
    #[error("the configuration names node 0")]
    NodeZero,
    /// A node cannot vote and learn at once.
    #[error("node {0} is both voter and learner")]
    VoterAndLearner(NodeId),
    /// Only outgoing voters can be waiting to become learners.
    #[error("node {0} waits to become a learner but is no outgoing voter")]
    NotOutgoing(NodeId),
}

impl Configuration {
    /// A plain configuration of these voters.
    #[must_use]
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Self {
        Self { voters: voters.into_iter().collect(), ..Self::default() }
    }

    /// Whether two majorities are needed.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether `node` votes in either half.
    #[must_use]
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.outgoing.contains(&node)
    }

    /// Every member: voters of both halves and learners.
    #[must_use]
    pub fn members(&self) -> BTreeSet<NodeId> {
        self.voters
            .iter()
            .chain(&self.outgoing)
            .chain(&self.learners)
            .chain(&self.learners_next)
            .copied()
            .collect()
    }

    /// Whether `agreed` contains a majority of each half.
    #[must_use]
    pub fn has_majority(&self, agreed: &BTreeSet<NodeId>) -> bool {
        let half = |voters: &BTreeSet<NodeId>| {
            voters.is_empty() || voters.intersection(agreed).count() > voters.len() / 2
        };
        !self.voters.is_empty() && half(&self.voters) && half(&self.outgoing)
    }

    /// The plain configuration a joint one leads to.
    #[must_use]
    pub fn left(&self) -> Self {
        Self {
            voters: self.voters.clone(),
            outgoing: BTreeSet::new(),
            learners: self.learners.union(&self.learners_next).copied().collect(),
            learners_next: BTreeSet::new(),
        }
    }

    /// Checks what every configuration obeys.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn check(&self) -> Result<(), ConfigurationError> {
        if self.voters.is_empty() {
            return Err(ConfigurationError::NoVoter);
        }
        let members = self.members();
        if members.len() > MAX_MEMBERS {
            return Err(ConfigurationError::TooMany(members.len()));
        }
        if members.contains(&NodeId(0)) {
            return Err(ConfigurationError::NodeZero);
        }
        for node in self.learners.iter().chain(&self.learners_next) {
            let next = self.learners_next.contains(node);
            if self.voters.contains(node)
                || (self.learners.contains(node) && (next || self.outgoing.contains(node)))
            {
                return Err(ConfigurationError::VoterAndLearner(*node));
            }
            if next && !self.outgoing.contains(node) {
                return Err(ConfigurationError::NotOutgoing(*node));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u16]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn a_joint_configuration_needs_both_majorities() {
        let joint = Configuration {
            voters: nodes(&[1, 2, 3]),
            outgoing: nodes(&[1, 4, 5]),
            ..Configuration::default()
        };
        assert!(!joint.has_majority(&nodes(&[1, 2, 3])));
        assert!(!joint.has_majority(&nodes(&[1, 4, 5])));
        assert!(joint.has_majority(&nodes(&[1, 2, 4])));
        assert!(!Configuration::default().has_majority(&nodes(&[1])));
        assert!(!Configuration::of_voters([NodeId(1), NodeId(2)]).has_majority(&nodes(&[1])));
    }

    #[test]
    fn contradictions_are_named() {
        let mut it = Configuration::of_voters([NodeId(1)]);
        assert_eq!(it.check(), Ok(()));
        it.learners = nodes(&[1]);
        assert_eq!(it.check(), Err(ConfigurationError::VoterAndLearner(NodeId(1))));
        it.learners = nodes(&[0]);
        assert_eq!(it.check(), Err(ConfigurationError::NodeZero));
        it.learners = nodes(&[]);
        it.learners_next = nodes(&[4]);
        assert_eq!(it.check(), Err(ConfigurationError::NotOutgoing(NodeId(4))));
        it.outgoing = nodes(&[4]);
        assert_eq!(it.check(), Ok(()));
        assert_eq!(it.left().learners, nodes(&[4]));
        assert_eq!(Configuration::default().check(), Err(ConfigurationError::NoVoter));
    }
}
