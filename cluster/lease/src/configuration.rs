//! Voter configurations as the log holds them, and what a majority of one is.

use std::collections::BTreeSet;

use haven_types::{LogPosition, NodeId};
use serde::{Deserialize, Serialize};

/// One voter-configuration entry of the log. While joint, a majority means one of each half.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Configuration {
    /// Where the entry stands in the log. Term 0, index 0 names the configuration a cluster was
    /// founded with.
    pub position: LogPosition,
    /// The voters (witnesses among them); the incoming half while joint.
    pub voters: BTreeSet<NodeId>,
    /// The outgoing half while joint, else none.
    pub outgoing: Option<BTreeSet<NodeId>>,
}

impl Configuration {
    /// True while the change from one set of voters to another is under way.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        self.outgoing.is_some()
    }

    /// True when `node` votes in either half.
    #[must_use]
    pub fn has_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node)
            || self.outgoing.as_ref().is_some_and(|half| half.contains(&node))
    }

    /// Every node that votes in either half, each once, in order.
    #[must_use]
    pub fn all_voters(&self) -> BTreeSet<NodeId> {
        let mut all = self.voters.clone();
        all.extend(self.outgoing.iter().flatten());
        all
    }

    /// True when those for whom `agrees` holds are a majority, of both halves while joint (L5). An
    /// empty half never agrees.
    #[must_use]
    pub fn majority(&self, agrees: impl Fn(NodeId) -> bool) -> bool {
        let half = |voters: &BTreeSet<NodeId>| {
            voters.iter().filter(|&&voter| agrees(voter)).count() > voters.len() / 2
        };
        half(&self.voters) && self.outgoing.as_ref().is_none_or(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[u16]) -> BTreeSet<NodeId> {
        ids.iter().map(|&id| NodeId(id)).collect()
    }

    #[test]
    fn majorities_for_every_subset_of_up_to_five_voters() {
        for n in 0..=5_u16 {
            let config =
                Configuration { voters: set(&(1..=n).collect::<Vec<_>>()), ..Default::default() };
            for mask in 0..1_u32 << n {
                let agree = |node: NodeId| mask & (1 << (node.0 - 1)) != 0;
                assert_eq!(config.majority(agree), mask.count_ones() * 2 > u32::from(n));
            }
        }
    }

    #[test]
    fn a_joint_configuration_needs_both_halves() {
        let joint = Configuration {
            voters: set(&[1, 4, 5]),
            outgoing: Some(set(&[1, 2, 3])),
            ..Default::default()
        };
        assert!(!joint.majority(|node| set(&[1, 2]).contains(&node)));
        assert!(!joint.majority(|node| set(&[1, 4, 5]).contains(&node)));
        assert!(joint.majority(|node| set(&[1, 2, 5]).contains(&node)));
        assert!(joint.has_voter(NodeId(3)) && joint.is_joint());
        assert_eq!(joint.all_voters(), set(&[1, 2, 3, 4, 5]));
    }
}
