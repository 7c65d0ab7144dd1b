//! Members that leave: first nothing more is placed on them, then they vote no more, and only then the
//! log removes them. Its daemon ends where it learns of that, and stops nothing any more: what still ran
//! there would be left behind, under a lease until that ends, without one for good.

use haven_api::{ApiError, Code, Notice, ReplyBody, RequestBody};
use haven_quorum::{Options, Rules};
use haven_types::NodeId;

use crate::command::{Command, Role};
use crate::controller::{Controller, Purpose};
use crate::forwarding::Forwarded;
use crate::history::active;
use crate::leases::{leased_primitives, unprotected_primitives};
use crate::port::{Clock, Output};
use crate::quorum::voters;
use crate::request::ReplyTo;

/// A member about to be removed.
#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    /// The requests that asked for it, all answered by the one removal.
    requests: Vec<u64>,
    /// It goes whatever runs there.
    force: bool,
    /// It has no vote any more.
    voteless: bool,
    /// Its removal is on its way into the log.
    proposed: bool,
}

impl Leaving {
    pub(crate) const fn new() -> Self {
        Self { requests: Vec::new(), force: false, voteless: false, proposed: false }
    }

    /// One more request asks for it. Of those before, the first stays, under which the removal may be proposed, and
    /// whose answers are awaited.
    pub(crate) fn ask(&mut self, request: u64, force: bool, awaited: impl Fn(u64) -> bool) {
        let first = self.requests.first().copied();
        self.requests.retain(|it| Some(*it) == first || awaited(*it));
        self.requests.push(request);
        self.force |= force;
    }

    pub(crate) fn is_of(&self, request: u64) -> bool {
        self.requests.contains(&request)
    }

    /// It waits for its vote to go, or for what runs there: its removal is not in the log yet.
    pub(crate) const fn waits(&self) -> bool {
        !self.proposed
    }

    pub(crate) fn into_requests(self) -> Vec<u64> {
        self.requests
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
            .filter_map(|(node, it)| Some((*node, *it.requests.first()?)))
            .collect();
        for (node, request) in ready {
            self.propose(&Command::RemoveMember { node }, Purpose::Request(request));
            let leaving = self.coordinator.as_mut().and_then(|it| it.leaving.get_mut(&node));
            if let Some(leaving) = leaving {
                leaving.proposed = true;
            }
        }
    }

    /// This node coordinates no more, as it is about to leave: whoever asked for that here, and listens still, need not
    /// ask again. Everybody else is told that the coordinator has changed.
    pub(crate) fn keep_own_leave(&mut self) {
        let leaving = self.coordinator.as_ref().and_then(|it| it.leaving.get(&self.config.node));
        let Some(Leaving { requests, force, .. }) = leaving.cloned() else { return };
        if self.own_leave.is_some() {
            return;
        }
        let local = requests.iter().find_map(|id| match self.waiters.get(id)?.reply_to {
            ReplyTo::Local(client) => Some((*id, client)),
            ReplyTo::Peer(..) => None,
        });
        if let Some((id, client)) = local {
            self.waiters.remove(&id);
            self.own_leave = Some((client, force));
        }
    }

    /// Asks the next coordinator, as soon as there is one, for the removal of this node; that may be this node again.
    pub(crate) fn pass_on_own_leave(&mut self, clock: Clock) {
        let Some(leader) = self.leader else { return };
        let ready = self.coordinator.as_ref().is_some_and(|coordinator| coordinator.ready);
        if leader == self.config.node && !ready {
            return;
        }
        let Some((client, force)) = self.own_leave.take() else { return };
        let body = RequestBody::ClusterLeave { force };
        self.serve(clock, ReplyTo::Local(client), String::new(), body);
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

    /// Whether those who stay can keep a lease through the loss of one of them, where something needs a lease.
    ///
    /// # Errors
    /// [`Code::Unsafe`] names who would stay, what would suffer, and what to do instead.
    // spec: L8 "Two nodes need a witness"
    pub(crate) fn leaves_a_majority_to_lose(&self, node: NodeId) -> Result<(), ApiError> {
        let leased = leased_primitives(&self.state.cib, &self.config.facts);
        let mut counted = self.counted_members();
        // Whoever does not vote is no loss, and whose vote is away protects nobody: another may need the place.
        let votes = counted.remove(&node).is_some() && self.heard(node);
        let (stay, _) = voters(&self.state.cib, &counted);
        let alone = Rules::of_any(Options::default(), stay).lease_majority().is_err();
        let (Some((one, _)), true, true) = (leased.first(), votes, alone) else { return Ok(()) };
        let more = match leased.len() - 1 {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        let name = self.name_of(node);
        let stay: Vec<&str> = counted.values().map(|member| member.name.as_str()).collect();
        let stay = stay.join(" and ");
        let message = format!(
            "cannot remove {name}: {stay} would be two nodes without a witness, and the loss of either would end \
             the lease of {}{more}",
            one.id
        );
        let voteless = self.voteless();
        let first = if voteless.is_empty() {
            "first add the member that takes its place: run `haven cluster token` here and the command it prints \
             on another machine, with --witness if that machine shall run nothing, and start its daemon"
                .to_owned()
        } else {
            format!("start the daemon on {} first: it does not vote yet", voteless.join(" or "))
        };
        let remedy = format!("{first}; to do without: haven cluster remove {name} --force");
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
    use haven_types::Term;

    use super::*;
    use crate::bench::{Bench, VIP};

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
        bench.join_fourth();
        let members = |bench: &Bench| bench.nodes[&NodeId(at)].state().members.len();
        assert_eq!(members(&bench), 4);
        let idle = bench.ids().into_iter().find(|id| *id != at && *id != owner).unwrap();
        bench.witness_beside([idle, owner]);
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
            bench.witness_beside([node, owner]);
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

    /// It could not hand over, so nobody else leads: as the core tells it, by way of nobody or at once.
    #[test]
    fn who_leaves_and_coordinates_again_serves_its_own_leave_as_soon_as_it_may() {
        use haven_consensus::{Output as Log, Role as LogRole};
        for by_way_of_nobody in [true, false] {
            let mut bench = Bench::new("");
            let at = bench.coordinator();
            let node = NodeId(at);
            bench.ask(at, RequestBody::ClusterLeave { force: false });
            let clock = bench.clock();
            let controller = bench.nodes.get_mut(&node).unwrap();
            let term = Term(controller.term.0 + 1);
            if by_way_of_nobody {
                let role = LogRole::Follower;
                controller.on_consensus(clock, Log::RoleChanged { leader: None, term, role });
            }
            let (leader, role) = (Some(node), LogRole::Leader);
            controller.on_consensus(clock, Log::RoleChanged { leader, term, role });
            assert!(controller.own_leave.is_some(), "it may propose nothing yet");
            controller.on_consensus(clock, Log::LeaderReady { term });
            assert_eq!(controller.own_leave, None);
            let leaving = &controller.coordinator.as_ref().unwrap().leaving;
            assert!(leaving.contains_key(&node), "{leaving:?}");
        }
    }

    /// Asks for the removal of a member.
    fn removes(bench: &mut Bench, node: u16, force: bool) -> crate::bench::Answer {
        let (at, node) = (bench.coordinator(), format!("n{node}"));
        bench.answer(at, RequestBody::ClusterRemoveNode { node, force })
    }

    /// A member that neither coordinates nor owns the address.
    fn third(bench: &Bench) -> u16 {
        let (at, owner) = (bench.coordinator(), bench.owner());
        bench.ids().into_iter().find(|id| *id != at && *id != owner).unwrap()
    }

    // spec: L8 test
    #[test]
    fn two_nodes_are_left_without_a_witness_by_force_only_and_status_says_what_that_means() {
        for witness in [true, false] {
            let mut bench = Bench::new(VIP);
            let node = third(&bench);
            if witness {
                bench.be_witness(node);
            }
            let error = removes(&mut bench, node, false).unwrap_err();
            assert_eq!(error.code, Code::Unsafe, "{error:?}");
            let told = "would be two nodes without a witness, and the loss of either would end the lease of vip";
            assert!(error.message.contains(told), "{error:?}");
            let remedy = error.remedy.unwrap();
            let force = format!("haven cluster remove n{node} --force");
            assert!(
                remedy.contains("haven cluster token") && remedy.contains("--witness"),
                "{remedy}"
            );
            assert!(remedy.ends_with(&force), "{remedy}");
            assert!(removes(&mut bench, node, true).is_ok());
            bench.nodes.remove(&NodeId(node));
            bench.run(2_000);
            let at = bench.coordinator();
            let Ok(ReplyBody::Status(status)) = bench.answer(at, RequestBody::Status) else {
                panic!()
            };
            let alarm = status.alarms.iter().find(|it| it.contains("two nodes without a witness"));
            assert!(alarm.is_some_and(|it| it.contains("--witness")), "{:?}", status.alarms);
            let left = &bench.nodes[&NodeId(at)];
            assert_eq!(left.leaves_a_majority_to_lose(NodeId(at)), Ok(()), "one of two may go");
        }
    }

    #[test]
    fn a_member_goes_unforced_where_no_lease_suffers_or_another_votes_in_its_place() {
        for lines in ["", &VIP.replace(" op ", " meta lease=off op ")] {
            let mut bench = Bench::new(lines);
            let at = bench.coordinator();
            let idle = |id: &u16| *id != at && (lines.is_empty() || *id != bench.owner());
            let node = bench.ids().into_iter().find(idle).unwrap();
            assert!(removes(&mut bench, node, false).is_ok(), "{lines}");
        }
        let mut bench = Bench::new(VIP);
        let (at, node) = (bench.coordinator(), third(&bench));
        bench.join_fourth();
        let error = removes(&mut bench, node, false).unwrap_err();
        let remedy = error.remedy.unwrap();
        assert!(
            remedy.starts_with("start the daemon on n4 first: it does not vote yet"),
            "{remedy}"
        );
        let known = bench.nodes[&NodeId(at)].state().members.values().cloned().collect();
        bench.boot_from(4, haven_consensus::Recovered::blank(), known);
        bench.all_hear_all();
        bench.run(20_000);
        let answer = removes(&mut bench, node, false);
        assert!(answer.is_ok(), "{answer:?}");
    }

    #[test]
    fn who_asks_for_a_removal_that_is_under_way_is_answered_with_the_first() {
        let mut bench = Bench::new("");
        let at = bench.coordinator();
        let [node, other] = bench.ids().into_iter().filter(|id| *id != at).collect::<Vec<_>>()[..]
        else {
            panic!()
        };
        let node = format!("n{node}");
        let body = |force| RequestBody::ClusterRemoveNode { node: node.clone(), force };
        let asked = [(at, false), (other, true), (at, false)];
        let requests = asked.map(|(from, force)| bench.ask(from, body(force)));
        bench.run(5_000);
        for request in requests {
            let answers = bench.answers.remove(&request).unwrap_or_default();
            assert!(matches!(answers.as_slice(), [Ok(ReplyBody::Done(_))]), "{answers:?}");
        }
    }

    /// Its place and name may be needed at once, and nobody is protected by its vote meanwhile.
    #[test]
    fn who_is_away_for_good_goes_unforced_and_status_tells_what_is_missing() {
        let mut bench = Bench::new(VIP);
        let node = third(&bench);
        bench.be_witness(node);
        bench.kill(node);
        bench.notice(node);
        bench.run(2_000);
        assert!(removes(&mut bench, node, false).is_ok());
        bench.run(2_000);
        let at = bench.coordinator();
        let Ok(ReplyBody::Status(status)) = bench.answer(at, RequestBody::Status) else { panic!() };
        let told = |it: &String| it.contains("two nodes without a witness");
        assert!(status.alarms.iter().any(told), "{:?}", status.alarms);
    }
}
