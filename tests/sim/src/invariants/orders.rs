//! L7: an order of a lower term than a node knows is refused, and orders come from the leader of their
//! term only.

use std::collections::{BTreeMap, BTreeSet};

use haven_controller::{Input, Output, PeerMessage};
use haven_heartbeat::Input as ToBeat;
use haven_types::operation::OrderId;
use haven_types::{NodeId, Term};

use super::Verdict;
use super::one_coordinator::OneCoordinator;

pub(crate) const RULE: &str = "orders (L7): a coordinator that wakes up can do nothing";

#[derive(Debug, Default)]
pub(crate) struct Orders {
    terms: BTreeMap<NodeId, Term>,
    /// Who has made a plan in the present round.
    planned: BTreeSet<NodeId>,
    /// Who refused an order and acted in the same step of the present round: by a plan of its own, or it obeyed.
    acted: BTreeMap<NodeId, String>,
}

impl Orders {
    pub(crate) fn on_start(&mut self, node: NodeId) {
        self.terms.remove(&node);
        self.planned.remove(&node);
        self.acted.remove(&node);
    }

    pub(crate) fn on_plan(&mut self, node: NodeId) {
        self.planned.insert(node);
    }

    pub(crate) fn after_round(&mut self, node: NodeId, term: Term) -> Verdict {
        self.terms.insert(node, term);
        let planned = self.planned.remove(&node);
        match self.acted.remove(&node) {
            Some(what) if !planned => Err(what),
            _ => Ok(()),
        }
    }

    pub(crate) fn on_controller(
        &mut self,
        node: NodeId,
        leaders: &OneCoordinator,
        input: &Input,
        outputs: &[Output],
    ) -> Verdict {
        let Input::Peer { from, bytes, .. } = input else { return Ok(()) };
        let Some(PeerMessage::Order { order, .. }) = PeerMessage::decode(bytes) else {
            return Ok(());
        };
        let term = order.id.term;
        if leaders.leader_of(term).is_some_and(|leader| leader != *from) {
            return Err(format!("{from} orders in term {term}, which it did not lead"));
        }
        let known = self.terms.get(&node).copied().unwrap_or_default();
        let acts = outputs.iter().any(|output| match output {
            Output::RunAgent { .. } => true,
            Output::Heartbeat(input) => {
                matches!(**input, ToBeat::Claim { .. } | ToBeat::Release { .. })
            }
            _ => false,
        });
        if term >= known || !acts {
            return Ok(());
        }
        let what = format!("{node} obeys an order of term {term}, it knew term {known}");
        if !outputs.iter().any(|output| refuses(output, order.id)) {
            return Err(what);
        }
        self.acted.insert(node, what);
        Ok(())
    }
}

fn refuses(output: &Output, id: OrderId) -> bool {
    let Output::Send { bytes, .. } = output else { return false };
    matches!(PeerMessage::decode(bytes), Some(PeerMessage::Refused { order, .. }) if order == id)
}
