//! A term has one leader at most, and only a leader coordinates.
//!
//! It is a term's and not a view's: a view is who hears whom, a term is the log's. Leadership is handed over, or won by a
//! campaign, while everybody hears everybody, and until the former leader hears of the higher term both lead within one
//! view. The former can do nothing then: `orders` judges that nobody obeys a lower term (L7), and `one_log` that what it
//! appends is committed by a majority or not at all.

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
