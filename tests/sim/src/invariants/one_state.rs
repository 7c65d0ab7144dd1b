//! Nodes that have applied the same entries are in the same state, whether they applied them one by
//! one or were given a snapshot.

use std::collections::BTreeMap;

use haven_consensus::Status;
use haven_controller::Controller;
use haven_types::{LogIndex, NodeId};

use super::Verdict;

pub(crate) const RULE: &str = "one state: the same committed log makes the same state";

#[derive(Debug, Default)]
pub(crate) struct OneState {
    states: BTreeMap<LogIndex, (NodeId, Vec<u8>)>,
    looked: BTreeMap<NodeId, LogIndex>,
}

impl OneState {
    pub(crate) fn on_start(&mut self, node: NodeId) {
        self.looked.remove(&node);
    }

    pub(crate) fn look(
        &mut self,
        node: NodeId,
        controller: &Controller,
        status: &Status,
    ) -> Verdict {
        // Before the first entry a joiner knows but the members it was told.
        if status.applied == LogIndex(0) || self.looked.get(&node) == Some(&status.applied) {
            return Ok(());
        }
        self.looked.insert(node, status.applied);
        let state = controller.state().encode();
        let (other, known) =
            self.states.entry(status.applied).or_insert_with(|| (node, state.clone()));
        if *known == state {
            return Ok(());
        }
        Err(format!("{node} and {other} applied the log to {} and differ", status.applied))
    }
}
