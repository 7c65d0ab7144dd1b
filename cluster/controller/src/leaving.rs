//! Members that leave: first nothing more is placed on them, then they vote no more, and only then the
//! log removes them. Its daemon ends where it learns of that, and stops nothing any more: what still ran
//! there would be left behind, under a lease until that ends, without one for good.

use haven_api::{ApiError, Code, Notice, ReplyBody, RequestBody};
use haven_types::NodeId;

use crate::command::{Command, Role};
use crate::controller::{Controller, Purpose};
use crate::forwarding::Forwarded;
use crate::history::active;
use crate::leases::unprotected_primitives;
use crate::port::Output;
use crate::request::ReplyTo;

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
    /// Notes whose vote is gone. A change of voters that waits for somebody else does not keep them.
    fn note_votes(&mut self) {
        let Some(coordinator) = self.coordinator.as_mut().filter(|it| !it.leaving.is_empty())
        else {
            return;
        };
        let status = self.consensus.status();
        for (node, leaving) in &mut coordinator.leaving {
            let votes = |of: &haven_consensus::Configuration| {
                of.voters.contains(node) || of.outgoing.contains(node)
            };
            leaving.voteless =
                !votes(&status.configuration) && !votes(&status.configuration_in_log.1);
        }
    }

    /// Removes those who vote no more once nothing runs there.
    pub(crate) fn remove_who_may_go(&mut self) {
        self.note_votes();
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

    /// This node coordinates no more, as it is about to leave: whoever asked for that here need not ask again.
    pub(crate) fn keep_own_leave(&mut self) {
        let leaving =
            self.coordinator.as_ref().and_then(|it| it.leaving.get(&self.config.node)).copied();
        let Some(leaving) = leaving else { return };
        let waits = self.waiters.get(&leaving.request).map(|waiter| waiter.reply_to);
        if let Some(ReplyTo::Local(client)) = waits {
            self.waiters.remove(&leaving.request);
            self.own_leave = Some((client, leaving.force));
        }
    }

    /// Asks the next coordinator, as soon as there is one, for the removal of this node.
    pub(crate) fn pass_on_own_leave(&mut self) {
        if self.leader.is_none_or(|leader| leader == self.config.node) {
            return;
        }
        let Some((client, force)) = self.own_leave.take() else { return };
        let body = RequestBody::ClusterLeave { force };
        self.forward(ReplyTo::Local(client), "", &body, Vec::new());
    }

    /// This node is no member any more, and its daemon ends: who asked for that is told here, for no answer of the
    /// coordinator reaches a stranger.
    pub(crate) fn answer_leaver(&mut self) {
        let text = format!("{} is no member any more; its daemon ends", self.config.name);
        let asked = std::mem::take(&mut self.forwarded).into_values().filter(|it| it.leaves);
        for Forwarded { request, .. } in asked {
            let notice = Notice { text: text.clone(), elapsed_ms: 0, pending: Vec::new() };
            let body = Box::new(Ok(ReplyBody::Done(notice)));
            self.out.push(Output::Reply { id: request, more: false, body });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Bench, VIP};
    use crate::port::{Input, Local};

    /// Asks a member for its own removal, as `haven cluster leave` does there, until it is answered.
    fn leaves(bench: &mut Bench, node: u16) -> Vec<crate::bench::Answer> {
        let request = bench.ask(node, RequestBody::ClusterLeave { force: false });
        for _ in 0..8_000 {
            bench.run(5);
            if bench.answers.contains_key(&request) {
                break;
            }
        }
        bench.answers.remove(&request).unwrap_or_default()
    }

    #[test]
    fn who_joined_and_was_never_started_is_removed_and_keeps_nobody_from_leaving() {
        let mut bench = Bench::new(VIP);
        let (at, owner) = (bench.coordinator(), bench.owner());
        let (token, expires) = ([9; 32], haven_base::WallTime::from_seconds(90_000));
        bench.step(at, Input::Local(Local::MintToken { request: 1, token, expires }));
        bench.run(500);
        let member = crate::bench::member(4);
        bench.step(at, Input::Local(Local::Admit { request: 2, member, token }));
        bench.run(500);
        let members = |bench: &Bench| bench.nodes[&NodeId(at)].state().members.len();
        assert_eq!(members(&bench), 4);
        let idle = bench.ids().into_iter().find(|id| *id != at && *id != owner).unwrap();
        for node in [idle, 4] {
            let body = RequestBody::ClusterRemoveNode { node: format!("n{node}"), force: false };
            let request = bench.ask(at, body);
            bench.run(40_000);
            let answers = bench.answers.remove(&request).unwrap_or_default();
            assert!(matches!(answers.as_slice(), [Ok(_)]), "n{node}: {answers:?}");
        }
        assert_eq!(members(&bench), 2);
    }

    #[test]
    fn who_leaves_is_told_so_wherever_the_coordinator_is() {
        for coordinates in [false, true] {
            let mut bench = Bench::new(VIP);
            let (at, owner) = (bench.coordinator(), bench.owner());
            let node = match coordinates {
                true => at,
                false => bench.ids().into_iter().find(|id| *id != at && *id != owner).unwrap(),
            };
            if node == owner {
                let standby = RequestBody::NodeStandby {
                    node: Some(format!("n{node}")),
                    on: true,
                    lifetime: haven_api::StandbyLifetime::default(),
                    wait: true,
                    timeout_ms: Some(5_000),
                };
                assert!(bench.answer(at, standby).is_ok());
            }
            let answers = leaves(&mut bench, node);
            let [Ok(ReplyBody::Done(notice))] = answers.as_slice() else { panic!("{answers:?}") };
            assert!(notice.text.starts_with(&format!("n{node} is no member any more")));
            bench.nodes.remove(&NodeId(node));
            let left = bench.coordinator();
            let members = &bench.nodes[&NodeId(left)].state().members;
            assert!(!members.contains_key(&NodeId(node)) && members.len() == 2);
        }
    }
}
