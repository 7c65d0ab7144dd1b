//! Members that leave: first nothing more is placed on them, then they vote no more, and only then the
//! log removes them. Its daemon ends where it learns of that, and stops nothing any more: what still ran
//! there would be left behind, under a lease until that ends, without one for good.

use haven_types::NodeId;

use crate::command::Command;
use crate::controller::{Controller, Purpose};
use crate::history::active;
use crate::leases::unprotected_primitives;

/// A member about to be removed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving {
    /// The request that asked for it.
    request: u64,
    /// It goes whatever runs there.
    force: bool,
    /// It has no vote any more.
    voteless: bool,
    /// Its removal is on its way into the log.
    proposed: bool,
}

impl Leaving {
    pub(crate) const fn new(request: u64, force: bool) -> Self {
        Self { request, force, voteless: false, proposed: false }
    }

    pub(crate) const fn is_of(&self, request: u64) -> bool {
        self.request == request
    }

    /// Somebody asks for it again, by force.
    pub(crate) const fn hurry(&mut self) {
        self.force = true;
    }
}

impl Controller {
    /// A change of voters is in force.
    pub(crate) fn on_members_reached(&mut self, reached: &haven_consensus::Configuration) {
        let Some(coordinator) = &mut self.coordinator else { return };
        for (node, leaving) in &mut coordinator.leaving {
            leaving.voteless = !reached.voters.contains(node) && !reached.outgoing.contains(node);
        }
    }

    /// Removes those who vote no more once nothing runs there.
    pub(crate) fn remove_who_may_go(&mut self) {
        let Some(coordinator) = &self.coordinator else { return };
        let waiting = coordinator.leaving.iter().filter(|(_, it)| it.voteless && !it.proposed);
        let ready: Vec<(NodeId, u64)> = waiting
            .filter(|(node, it)| it.force || self.is_empty(**node))
            .map(|(node, it)| (*node, it.request))
            .collect();
        for (node, request) in ready {
            self.propose(&Command::RemoveMember { node }, Purpose::Request(request));
            let leaving = self.coordinator.as_mut().and_then(|it| it.leaving.get_mut(&node));
            if let Some(leaving) = leaving {
                leaving.proposed = true;
            }
        }
    }

    /// What was last known to run on a node by nobody's leave: no lease ends it.
    pub(crate) fn left_unprotected(&self, node: NodeId) -> Vec<String> {
        let Some(history) = self.histories.get(&node) else { return Vec::new() };
        let unprotected = unprotected_primitives(&self.state.cib, &self.config.facts).into_iter();
        unprotected.filter(|it| history.resources.get(it).is_some_and(active)).collect()
    }

    /// Whether nothing runs on a node or is about to, or the node is not heard and its leases end by themselves.
    fn is_empty(&self, node: NodeId) -> bool {
        let Some(coordinator) = &self.coordinator else { return false };
        let ordered = coordinator.orders.awaited().any(|(to, _)| to == node);
        let quiet = coordinator.ready && !coordinator.replan && !ordered;
        if !self.alive.contains_key(&node) {
            return self.left_unprotected(node).is_empty();
        }
        quiet && self.resources_on(node).is_empty()
    }
}
