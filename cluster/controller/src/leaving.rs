//! Members that leave: first nothing more is placed on them, then they vote no more, and only then the
//! log removes them. Its daemon ends where it learns of that, and stops nothing any more: what still ran
//! there would be left behind, under a lease until that ends, without one for good.

use haven_api::{ApiError, Code};
use haven_types::NodeId;

use crate::command::{Command, Role};
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

    /// Whether a member may go without force.
    ///
    /// # Errors
    /// [`Code::Unsafe`] says what runs there, or may, and what to do first.
    pub(crate) fn may_leave(&self, node: NodeId) -> Result<(), ApiError> {
        let name = self.name_of(node);
        let online = self.alive.contains_key(&node);
        let active = self.resources_on(node);
        if online && !active.is_empty() {
            let message = format!("cannot remove {name}: {} run there", active.join(", "));
            return Err(ApiError::new(Code::Unsafe, message)
                .remedy(format!("first: haven node standby {name}")));
        }
        let left = self.left_unprotected(node);
        if left.is_empty() {
            return Ok(());
        }
        let known = self.histories.contains_key(&node);
        let found = match (online, known) {
            (true, _) => "it has not said yet what it runs, and",
            (false, true) => "it is away, and",
            (false, false) => {
                "it is away, was not heard since this coordinator started, and for all that is known"
            }
        };
        let left = left.join(", ");
        let message = format!(
            "cannot remove {name}: {found} {left} may still run there without a lease (lease=off); \
             no longer a member, it would never be told to stop that"
        );
        let remedy = match online {
            true => format!("try again once `haven status` shows {name} online"),
            false => format!(
                "start {name} again, or switch it off and then: haven cluster remove {name} --force"
            ),
        };
        Err(ApiError::new(Code::Unsafe, message).remedy(remedy))
    }

    /// What may run on a node that is not heard, or says nothing, though no lease ends it: what it said last, and
    /// whatever could be there where it never said anything to this node.
    fn left_unprotected(&self, node: NodeId) -> Vec<String> {
        let unprotected = unprotected_primitives(&self.state.cib, &self.config.facts).into_iter();
        let witness = self.state.members.get(&node).is_some_and(|it| it.role == Role::Witness);
        match self.histories.get(&node) {
            Some(history) => {
                unprotected.filter(|name| history.resources.get(name).is_some_and(active)).collect()
            }
            None if witness => Vec::new(),
            None => unprotected.collect(),
        }
    }

    /// Whether nothing runs on a node or is about to; of one that is not heard, nothing but what its leases end.
    fn is_empty(&self, node: NodeId) -> bool {
        let Some(coordinator) = &self.coordinator else { return false };
        if !self.left_unprotected(node).is_empty() {
            return false;
        }
        let ordered = coordinator.orders.awaited().any(|(to, _)| to == node);
        let quiet = coordinator.ready && !coordinator.replan && !ordered;
        !self.alive.contains_key(&node) || (quiet && self.resources_on(node).is_empty())
    }
}
