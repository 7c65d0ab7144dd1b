//! The coordinator's duties: plan when something changed, and carry the plan out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use haven_api::EventSeverity;
use haven_base::Instant;
use haven_policy::Placement;
use haven_transition::{Engine, FlightId, Input as ToEngine, Output as FromEngine};
use haven_types::graph::{Action, ActionKind, TransitionGraph};
use haven_types::operation::{AgentName, Lease, Operation, OperationRecord, Order, OrderId};
use haven_types::{NodeId, Term};

use crate::alerts::Happened;
use crate::command::Role;
use crate::controller::{Controller, Internal};
use crate::grants::Awaiting;
use crate::history::{as_expected, cancelled_as_ordered};
use crate::leaving::Leaving;
use crate::message::PeerMessage;
use crate::orders::Orders;
use crate::port::Clock;
use crate::resource_requests::Restarts;
use crate::upon::stands_upon;

/// Plans made within [`PLANS_WITHIN`] at most.
const MAX_PLANS: usize = 40;
/// See [`MAX_PLANS`].
const PLANS_WITHIN: Duration = Duration::from_secs(1);
/// How long a new coordinator waits for the status of a node that is heard before it plans without.
const STATUS_PATIENCE: Duration = Duration::from_secs(2);

/// What only the coordinator keeps. All of it can be rebuilt from the log and the nodes' status.
#[derive(Debug)]
pub(crate) struct Coordinator {
    pub(crate) term: Term,
    /// An entry of this term is committed: what was committed before is applied here.
    pub(crate) ready: bool,
    /// Something changed since the last plan.
    pub(crate) replan: bool,
    pub(crate) engine: Engine,
    /// The version of the configuration of which the engine knows what stands upon what.
    upon_of: Option<haven_cib::Version>,
    pub(crate) placements: Vec<Placement>,
    pub(crate) warnings: Vec<String>,
    /// Orders whose answer is awaited.
    pub(crate) orders: Orders,
    pub(crate) next_order: u64,
    /// Orders about nodes' own status that are not answered yet.
    pub(crate) errands: BTreeMap<OrderId, NodeId>,
    /// What is to be started anew.
    pub(crate) restarts: Restarts,
    /// What waits for a lease group to be granted.
    pub(crate) awaiting: BTreeMap<FlightId, Awaiting>,
    /// Members about to be removed.
    pub(crate) leaving: BTreeMap<NodeId, Leaving>,
    /// Lease groups by primitive, and the configuration they were read from.
    pub(crate) groups: (Option<haven_cib::Version>, BTreeMap<String, String>),
    /// Grants proposed and not settled.
    pub(crate) proposed: BTreeMap<String, NodeId>,
    /// The decision may change by itself at this instant (date rules, expiring failures).
    pub(crate) recheck: Option<Instant>,
    /// Planning waits until then for nodes that have not told their status.
    patience: Option<Instant>,
    /// When the latest plans were made; at most [`MAX_PLANS`] within [`PLANS_WITHIN`].
    plans: VecDeque<Instant>,
    /// No plan sooner, unless something urgent happened: the last one was of a large cluster.
    next_plan: Instant,
    /// What changed is worth a plan at once, whatever plans cost.
    pub(crate) urgent: bool,
    /// Plans made in this term.
    pub(crate) planned: u64,
}

impl Coordinator {
    pub(crate) fn new(term: Term) -> Self {
        Self {
            term,
            ready: false,
            replan: true,
            engine: Engine::new(1),
            upon_of: None,
            placements: Vec::new(),
            warnings: Vec::new(),
            orders: Orders::default(),
            next_order: 1,
            errands: BTreeMap::new(),
            restarts: Restarts::new(),
            awaiting: BTreeMap::new(),
            leaving: BTreeMap::new(),
            groups: (None, BTreeMap::new()),
            proposed: BTreeMap::new(),
            recheck: None,
            patience: None,
            plans: VecDeque::new(),
            next_plan: Instant::ZERO,
            urgent: true,
            planned: 0,
        }
    }

    /// Whether one plan more would be one too many just now; then it is made a little later. A
    /// cluster whose every plan fails at once must not spin.
    fn too_many_plans(&mut self, now: Instant) -> bool {
        if !self.urgent && now < self.next_plan {
            self.recheck = Some(self.recheck.map_or(self.next_plan, |at| at.min(self.next_plan)));
            return true;
        }
        while self.plans.front().is_some_and(|at| now.since(*at) > PLANS_WITHIN) {
            self.plans.pop_front();
        }
        if self.plans.len() >= MAX_PLANS {
            self.recheck = Some(now + PLANS_WITHIN / 4);
            return true;
        }
        self.plans.push_back(now);
        false
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.engine.deadline(), self.recheck, self.patience, self.orders.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether the present plan is worked off and no change waits to be planned.
    pub(crate) fn settled(&self) -> bool {
        self.ready && !self.replan && self.errands.is_empty() && self.engine.idle()
    }
}

impl Controller {
    pub(crate) fn replan(&mut self) {
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.replan = true;
        }
    }

    /// Plans at once, however large the cluster is: a node came or went, or somebody asked.
    pub(crate) fn replan_now(&mut self) {
        self.replan();
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.urgent = true;
        }
    }

    pub(crate) fn plan_if_needed(&mut self, clock: Clock) {
        self.remove_who_may_go();
        let Some(coordinator) = &mut self.coordinator else { return };
        if coordinator.recheck.is_some_and(|at| at <= clock.now) {
            coordinator.recheck = None;
            coordinator.replan = true;
        }
        if !coordinator.ready || !coordinator.replan {
            return;
        }
        if self.must_wait_for_status(clock) {
            return;
        }
        let spins = self.coordinator.as_mut().is_some_and(|c| c.too_many_plans(clock.now));
        if !spins {
            self.plan(clock);
        }
    }

    /// Nodes in the view that have not told what they run are waited for a little: a plan without
    /// them would leave them out and be made anew at once.
    fn must_wait_for_status(&mut self, clock: Clock) -> bool {
        let missing: Vec<NodeId> = self
            .view
            .members
            .iter()
            .filter(|node| !self.histories.contains_key(node))
            .filter(|node| self.state.members.get(node).is_some_and(|m| m.role == Role::Full))
            .copied()
            .collect();
        let Some(coordinator) = &mut self.coordinator else { return false };
        if missing.is_empty() {
            coordinator.patience = None;
            return false;
        }
        let until = *coordinator.patience.get_or_insert(clock.now + STATUS_PATIENCE);
        if until > clock.now {
            return true;
        }
        coordinator.patience = None;
        let term = coordinator.term;
        for node in missing {
            self.send(node, &PeerMessage::StatusRequest { term });
        }
        false
    }

    fn plan(&mut self, clock: Clock) {
        self.settle_restarts();
        let status = self.planning_status();
        let decision = self.decide(clock, &status);
        let Some(coordinator) = &mut self.coordinator else { return };
        coordinator.replan = false;
        coordinator.urgent = false;
        coordinator.planned += 1;
        coordinator.next_plan =
            clock.now + pause(self.state.cib.resources.len(), status.nodes.len());
        coordinator.placements = decision.placements;
        coordinator.warnings = decision.warnings;
        coordinator.recheck = decision.graph.recheck_by.map(|second| {
            let left = u64::try_from(second - clock.wall.seconds).unwrap_or(0);
            clock.now + Duration::from_secs(left.max(1))
        });
        if coordinator.upon_of != Some(self.state.cib.version) {
            coordinator.upon_of = Some(self.state.cib.version);
            let upon = stands_upon(&self.state.cib);
            self.inbox.push_back(Internal::Engine(ToEngine::Upon(upon)));
        }
        let limit = self.state.cib.option("node-action-limit").and_then(|text| text.parse().ok());
        self.inbox.push_back(Internal::Engine(ToEngine::NodeLimit(limit.unwrap_or(0))));
        self.inbox.push_back(Internal::Engine(ToEngine::Graph(Box::new(decision.graph))));
    }

    pub(crate) fn step_engine(&mut self, clock: Clock, input: ToEngine) {
        let Some(coordinator) = &mut self.coordinator else { return };
        let planned = matches!(input, ToEngine::Graph(_));
        for output in coordinator.engine.step(clock.now, input) {
            match output {
                FromEngine::Perform { flight, action } => self.perform(clock, flight, &action),
                FromEngine::Overdue { flight, action } => self.on_overdue(clock, flight, &action),
                FromEngine::Outdated => self.replan(),
                FromEngine::Complete { unreached } => self.on_complete(clock, unreached),
            }
        }
        if planned {
            self.review_waiting_stops(clock);
        }
    }

    fn on_overdue(&mut self, clock: Clock, flight: FlightId, action: &Action) {
        let node = action.node.as_ref().map_or("", |node| node.uname.as_str());
        let fate = match self.awaited_grant(flight) {
            Some(grant) => format!("was never ordered, as the log did not {grant} in time"),
            None => "was never answered".to_owned(),
        };
        let text = format!("{} on {node} {fate}; it counts as failed", action.operation_key);
        let subject = format!("node/{node}");
        self.event(clock, "HV1603", EventSeverity::Error, subject, text);
        self.replan();
    }

    fn on_complete(&mut self, clock: Clock, unreached: usize) {
        let Some(coordinator) = self.coordinator.as_ref().filter(|_| unreached > 0) else { return };
        let mut failed = coordinator.engine.failed();
        let (subject, what) = match failed.next() {
            Some(action) => (subject_of(action), in_words(action)),
            None => ("cluster/transition".to_owned(), "a part of the plan".to_owned()),
        };
        let others = match failed.count() {
            0 => String::new(),
            more => format!(", and {more} more,"),
        };
        let text = format!(
            "{what}{others} failed or was given up and kept back {unreached} of the actions after it; the next plan \
             holds what is still to be done (see HV1601 or HV1603 before this)"
        );
        self.event(clock, "HV1602", EventSeverity::Warning, subject, text);
    }

    pub(crate) fn perform(&mut self, clock: Clock, flight: FlightId, action: &Action) {
        match action.kind {
            ActionKind::Pseudo => self.finish_flight(flight, true),
            ActionKind::Resource => self.perform_operation(clock, flight, action),
            ActionKind::Cluster => self.perform_cluster_action(clock, flight, action),
        }
    }

    fn perform_operation(&mut self, clock: Clock, flight: FlightId, action: &Action) {
        let node = action.node.as_ref().and_then(|node| self.state.member_named(&node.uname));
        let (Some(node), Some(resource)) = (node.map(|member| member.id), &action.resource) else {
            let name = action.node.as_ref().map_or("its node", |node| node.uname.as_str());
            let text = format!(
                "{} was never ordered: {name} is no member, so nobody can carry it out",
                in_words(action)
            );
            self.event(clock, "HV1603", EventSeverity::Error, subject_of(action), text);
            self.finish_flight(flight, false);
            return;
        };
        let group = self.lease_group_of(&resource.id);
        match (action.operation.as_str(), group) {
            ("start", Some(group)) => self.start_leased(clock, flight, &group, node),
            ("stop", Some(group)) => {
                self.stop_leased(clock, flight, (&resource.id, &group), node);
            }
            _ => self.order(clock, flight, node, None),
        }
    }

    /// Gives the order of a flight to the executor of a node.
    pub(crate) fn order(
        &mut self,
        clock: Clock,
        flight: FlightId,
        node: NodeId,
        lease: Option<Lease>,
    ) {
        let Some(coordinator) = &mut self.coordinator else { return };
        let Some(action) = coordinator.engine.flights().get(&flight).map(|f| f.action.clone())
        else {
            return;
        };
        let id = OrderId { term: coordinator.term, number: coordinator.next_order };
        coordinator.next_order += 1;
        let cancel = action.operation == "cancel";
        let order = Order { id, operation: operation(&action), lease, cancel };
        self.give(clock, Some(flight), node, order);
    }

    fn perform_cluster_action(&mut self, clock: Clock, flight: FlightId, action: &Action) {
        let node = action.node.as_ref().map(|node| node.uname.clone()).unwrap_or_default();
        let member = self.state.member_named(&node).map(|member| member.id);
        match (action.operation.as_str(), member) {
            // The successor's claim waits for the end of the lease; the verdict is enough to plan on.
            ("lease_ended", Some(id)) => {
                let dead = self.dead.contains_key(&id);
                self.finish_flight(flight, dead);
            }
            // The node ends by itself once nothing runs there.
            ("do_shutdown", _) => self.finish_flight(flight, true),
            ("clear_failcount" | "delete" | "lrm_delete", Some(id)) => {
                self.order(clock, flight, id, None);
            }
            (operation, _) => {
                let text = format!(
                    "the plan asks for {operation} of {node}, and haven cannot drive fencing devices yet, configured \
                     or not; what needs fencing stays where it is. Make sure that {node} is off, then: \
                     haven node confirm-dead {node} --reason TEXT"
                );
                let (target, operation) = (node.clone(), operation.to_owned());
                let told = Happened::Fencing { target, operation, rc: 1, text: text.clone() };
                self.alert(clock, &told);
                self.event(clock, "HV1701", EventSeverity::Error, format!("node/{node}"), text);
                self.finish_flight(flight, false);
            }
        }
    }

    pub(crate) fn finish_flight(&mut self, flight: FlightId, ok: bool) {
        self.inbox.push_back(Internal::Engine(ToEngine::Finished { flight, ok }));
    }

    /// Records that answer orders end their flights; others may change the decision.
    pub(crate) fn note_records(&mut self, clock: Clock, records: &[OperationRecord]) {
        for record in records {
            let ok = as_expected(record) || cancelled_as_ordered(record);
            self.report(clock, record, ok);
            let Some(coordinator) = &mut self.coordinator else { continue };
            let flight = record.order.and_then(|order| coordinator.orders.answered(order));
            match flight {
                Some(flight) => {
                    // What the plan expected of it changes nothing in the plan (docs/adr/0022).
                    if !ok || !coordinator.engine.in_force(flight) {
                        coordinator.replan = true;
                    }
                    self.finish_flight(flight, ok);
                }
                None => coordinator.replan = true,
            }
        }
    }

    fn report(&mut self, clock: Clock, record: &OperationRecord, ok: bool) {
        let Some(outcome) = &record.outcome else { return };
        let operation = &record.operation;
        let quiet = operation.action == "monitor" && (ok || operation.interval.is_zero());
        if quiet {
            return;
        }
        let node = self.name_of(record.node);
        let took = record.took.as_millis();
        let text = if ok {
            format!(
                "{} {} on {node} ended well after {took} ms",
                operation.resource, operation.action
            )
        } else {
            format!(
                "{} {} on {node} failed after {took} ms: {} {}",
                operation.resource, operation.action, outcome.code, outcome.reason
            )
        };
        let severity = if ok { EventSeverity::Info } else { EventSeverity::Error };
        let subject = format!("resource/{}", operation.resource);
        self.event(clock, "HV1601", severity, subject, text);
    }

    pub(crate) fn on_done(&mut self, clock: Clock, order: OrderId) {
        let _ = clock;
        let Some(coordinator) = &mut self.coordinator else { return };
        if coordinator.errands.remove(&order).is_some() {
            coordinator.replan = true;
        }
        if let Some(flight) = coordinator.orders.answered(order) {
            self.finish_flight(flight, true);
        }
    }

    pub(crate) fn on_refused(&mut self, clock: Clock, order: OrderId, reason: &str) {
        let Some(coordinator) = &mut self.coordinator else { return };
        coordinator.errands.remove(&order);
        let Some(flight) = coordinator.orders.answered(order) else { return };
        coordinator.replan = true;
        let refused = coordinator.engine.flights().get(&flight).map(|flight| &*flight.action);
        let (subject, text) = match refused {
            Some(action) => {
                let node = action.node.as_ref().map_or("its node", |node| node.uname.as_str());
                let resource = action.resource.as_ref().map_or("", |resource| resource.id.as_str());
                let text = format!("{node} refused {} of {resource}: {reason}", action.operation);
                (subject_of(action), text)
            }
            None => {
                let text = format!("an order that is planned no more was refused: {reason}");
                ("cluster/transition".to_owned(), text)
            }
        };
        self.finish_flight(flight, false);
        self.event(clock, "HV1604", EventSeverity::Warning, subject, text);
    }

    /// A node is gone: nothing it was asked will be answered, and what changed is planned anew.
    pub(crate) fn on_node_lost(&mut self, lost: NodeId, name: &str) {
        if let Some(coordinator) = &mut self.coordinator {
            // Those of a plan end with their flights.
            for (errand, _) in coordinator.errands.extract_if(.., |_, node| *node == lost) {
                coordinator.orders.answered(errand);
            }
            self.inbox.push_back(Internal::Engine(ToEngine::NodeLost(name.to_owned())));
        }
        self.replan_now();
    }

    pub(crate) fn step_down(&mut self, clock: Clock) {
        self.keep_own_leave();
        self.coordinator = None;
        self.ahead = None;
        let subject = format!("node/{}", self.config.name);
        let text = format!("{} no longer coordinates the cluster", self.config.name);
        self.event(clock, "HV1202", EventSeverity::Info, subject, text);
        self.fail_waiters();
    }

    /// How many actions of a graph are under way, where this node coordinates.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.coordinator.as_ref().map_or(0, |coordinator| coordinator.engine.flights().len())
    }

    /// The graph in force, where this node coordinates.
    #[must_use]
    pub fn plan_in_force(&self) -> Option<&TransitionGraph> {
        self.coordinator.as_ref().map(|coordinator| coordinator.engine.graph())
    }
}

/// For how long no further plan is made after one of so many resources on so many nodes, so that
/// planning leaves most of the main task's time to what is planned; nothing where that is little.
fn pause(resources: usize, nodes: usize) -> Duration {
    const EACH: Duration = Duration::from_micros(30);
    const LITTLE: Duration = Duration::from_millis(25);
    const MOST: Duration = Duration::from_secs(2);
    let places = u32::try_from(resources.saturating_mul(nodes)).unwrap_or(u32::MAX);
    let pause = EACH.saturating_mul(places);
    if pause < LITTLE { Duration::ZERO } else { pause.min(MOST) }
}

/// What an action is, for people.
fn in_words(action: &Action) -> String {
    let node = action.node.as_ref().map_or("no node", |node| node.uname.as_str());
    match &action.resource {
        Some(resource) => format!("{} {} on {node}", resource.id, action.operation),
        None => format!("{} of {node}", action.operation),
    }
}

/// What an event about an action is about.
fn subject_of(action: &Action) -> String {
    match (&action.resource, &action.node) {
        (Some(resource), _) => format!("resource/{}", resource.id),
        (None, Some(node)) => format!("node/{}", node.uname),
        (None, None) => "cluster/transition".to_owned(),
    }
}

/// The agent's operation that an action stands for.
pub(crate) fn operation(action: &Action) -> Operation {
    let resource = action.resource.as_ref();
    let agent = AgentName {
        standard: resource.map(|r| r.class.clone()).unwrap_or_default(),
        provider: resource.and_then(|r| r.provider.clone()),
        name: resource.map(|r| r.kind.clone()).unwrap_or_default(),
    };
    // A cancellation names the recurring operation it ends.
    let name = match (action.operation.as_str(), action.meta("operation")) {
        ("cancel", Some(cancelled)) => cancelled.to_owned(),
        (operation, _) => operation.to_owned(),
    };
    Operation {
        resource: resource.map(|r| r.id.clone()).unwrap_or_default(),
        agent,
        action: name,
        interval: action.interval(),
        timeout: action.timeout.unwrap_or_default(),
        params: action.params.clone(),
        meta: action.meta.clone(),
    }
}
