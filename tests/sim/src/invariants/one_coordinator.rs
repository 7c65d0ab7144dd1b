//! A term has one leader at most, and only a leader coordinates.

use std::collections::BTreeMap;

use haven_consensus::{Role, Status};
use haven_types::{NodeId, Term};

use super::Verdict;

pub(crate) const RULE: &str = "one coordinator: a term has one leader at most";

#[derive(Debug, Default)]
pub(crate) struct OneCoordinator {
    leaders: BTreeMap<Term, NodeId>,
}

impl OneCoordinator {
    pub(crate) fn look(&mut self, node: NodeId, status: &Status) -> Verdict {
        if status.role != Role::Leader {
            return Ok(());
        }
        match *self.leaders.entry(status.term).or_insert(node) {
            leader if leader == node => Ok(()),
            other => Err(format!("{other} and {node} both led term {}", status.term)),
        }
    }

    /// Who led a term, where anybody did.
    pub(crate) fn leader_of(&self, term: Term) -> Option<NodeId> {
        self.leaders.get(&term).copied()
    }
}
