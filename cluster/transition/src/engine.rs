//! The engine's machine.

mod upon;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_types::graph::{Action, ActionKind, TransitionGraph};
use serde::{Deserialize, Serialize};

/// Added to an action's own timeout before it counts as lost: the executor reports its timeout
/// itself, this only catches executors that never answer (`cluster-delay` of the field, 60 s).
const ANSWER_ALLOWANCE: Duration = Duration::from_secs(60);

/// Operations given to one node lately and not answered yet; one more waits for an answer or for the
/// oldest to be no longer recent.
pub const MAX_RECENT: usize = 256;
/// For how long an operation counts as recent. What takes longer waits for something, and nobody shall
/// wait for it (docs/adr/0022).
pub const RECENT: Duration = Duration::from_millis(250);

/// Used for actions that carry no timeout.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// Names one performed action for as long as its answer is awaited.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct FlightId(pub u64);

/// What the engine reacts to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Input {
    /// What stands directly upon what from now on: for each resource those that run before it and stop after it.
    Upon(BTreeMap<String, BTreeSet<String>>),
    /// The decision now in force; replaces the one before.
    Graph(Box<TransitionGraph>),
    /// Most operations under way on one node from now on (`node-action-limit`); 0 is no limit.
    NodeLimit(usize),
    /// An action has ended. Unknown flights are ignored: they were given up before.
    Finished {
        /// Which.
        flight: FlightId,
        /// Whether it ended as the graph expects.
        ok: bool,
    },
    /// Nothing that this node was asked will be answered any more.
    NodeLost(String),
    /// Time may have passed.
    Tick,
}

/// What the controller does for the engine, in this order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// Have this done and answer with [`Input::Finished`].
    Perform {
        /// Its name in the answer.
        flight: FlightId,
        /// What to do.
        action: Box<Action>,
    },
    /// Nobody answered for this flight within its time; it counts as failed.
    Overdue {
        /// Which.
        flight: FlightId,
        /// What it was.
        action: Box<Action>,
    },
    /// Something ended of which the graph did not know, and nothing more is done with that resource: a
    /// newer graph is due.
    Outdated,
    /// Nothing of the graph is left to do or under way.
    Complete {
        /// Actions that could not be done because of a failure before them.
        unreached: usize,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum State {
    Waiting,
    InFlight(FlightId),
    Done,
    Failed,
}

/// An action under way.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct InFlight {
    /// What it is.
    pub action: Box<Action>,
    /// When it was given out.
    pub since: Instant,
    /// When it counts as lost.
    pub deadline: Instant,
}

impl InFlight {
    fn resource(&self) -> Option<&str> {
        self.action.resource.as_ref().map(|resource| resource.id.as_str())
    }

    /// The node whose executor was asked.
    fn node(&self) -> Option<&str> {
        executing_node(&self.action)
    }

    /// Whether `name` was asked for it: its executor, or what keeps its status.
    fn is_asked_of(&self, name: &str) -> bool {
        let of_status =
            matches!(self.action.operation.as_str(), "clear_failcount" | "delete" | "lrm_delete");
        let asked = of_status || self.action.kind == ActionKind::Resource;
        asked && self.action.node.as_ref().is_some_and(|node| node.uname == name)
    }
}

/// The node on whose executor an action's operation runs.
fn executing_node(action: &Action) -> Option<&str> {
    let asked = action.kind == ActionKind::Resource;
    action.node.as_ref().filter(|_| asked).map(|node| node.uname.as_str())
}

/// A waiting action whose inputs are done, the most urgent first, then in the order of the graph.
type Ready = (Reverse<i32>, usize);

/// What a ready action waits for besides its inputs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
enum Obstacle {
    /// An end among the flights of its resource.
    Resource(String),
    /// An end among the operations of its node.
    Node(String),
    /// The end of a flight that goes the other way, and a newer graph.
    Opposed(FlightId),
}

/// The engine of the coordinator. A step costs as much as what it changes, times the logarithm of
/// the graph: whatever is counted or searched is kept as a count or an ordered set.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Engine {
    graph: TransitionGraph,
    states: Vec<State>,
    /// How many inputs of each action are not done.
    unmet: Vec<usize>,
    /// The actions that each action is an input of, as often as it is.
    dependents: Vec<Vec<usize>>,
    /// Waiting actions that may go as far as is known.
    ready: BTreeSet<Ready>,
    /// Pseudo actions whose inputs are done.
    pseudo: Vec<usize>,
    /// Ready actions that something holds up.
    held: BTreeMap<Obstacle, BTreeSet<Ready>>,
    /// Resources of which something ended that this graph did not know of: what it wants of them may be
    /// wrong by now, the next graph will tell.
    stale: BTreeSet<String>,
    waiting: usize,
    failed: usize,
    flights: BTreeMap<FlightId, InFlight>,
    /// The actions of this graph that are under way.
    adopted: BTreeMap<FlightId, usize>,
    deadlines: BTreeSet<(Instant, FlightId)>,
    by_resource: BTreeMap<String, BTreeSet<FlightId>>,
    /// Operations under way by node.
    by_node: BTreeMap<String, BTreeSet<FlightId>>,
    /// The recent ones among them, each with the instant at which it no longer is.
    recent: BTreeMap<String, BTreeSet<(Instant, FlightId)>>,
    upon: upon::Upon,
    node_limit: usize,
    next_flight: u64,
    complete: bool,
}

impl Engine {
    /// An engine without a graph. Flights are numbered from `first_flight`.
    #[must_use]
    pub fn new(first_flight: u64) -> Self {
        Self { next_flight: first_flight, complete: true, ..Self::default() }
    }

    /// What is under way.
    #[must_use]
    pub const fn flights(&self) -> &BTreeMap<FlightId, InFlight> {
        &self.flights
    }

    /// Whether a flight is an action of the graph in force, unchanged since it was given out.
    #[must_use]
    pub fn in_force(&self, flight: FlightId) -> bool {
        let planned = self.adopted.get(&flight).and_then(|index| self.graph.actions.get(*index));
        let performed = self.flights.get(&flight).map(|flight| &*flight.action);
        // Where it stands in the graph is no part of what is done.
        let same = |a: &Action, b: &Action| {
            a.operation_key == b.operation_key
                && a.node == b.node
                && a.resource == b.resource
                && a.params == b.params
                && a.meta == b.meta
        };
        matches!((planned, performed), (Some(planned), Some(done)) if same(planned, done))
    }

    /// The actions of the graph in force that failed or were given up, in its order.
    pub fn failed(&self) -> impl Iterator<Item = &Action> {
        let all = self.graph.actions.iter().zip(&self.states);
        all.filter(|(_, state)| **state == State::Failed).map(|(action, _)| action)
    }

    /// The graph in force.
    #[must_use]
    pub const fn graph(&self) -> &TransitionGraph {
        &self.graph
    }

    /// Whether the graph is worked off and nothing is under way.
    #[must_use]
    pub fn idle(&self) -> bool {
        self.complete && self.flights.is_empty()
    }

    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let overdue = self.deadlines.first().map(|(at, _)| *at);
        let held = |node: &String| self.held.contains_key(&Obstacle::Node(node.clone()));
        let recent = self.recent.iter().filter(|(node, _)| held(node));
        let place = recent.filter_map(|(_, flights)| flights.first().map(|(at, _)| *at)).min();
        [overdue, place].into_iter().flatten().min()
    }

    /// Advances by one input.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        let stale = self.stale.len();
        match input {
            Input::Upon(upon) => self.upon = upon::Upon(upon),
            Input::Graph(graph) => self.on_graph(*graph),
            Input::NodeLimit(limit) => {
                self.node_limit = limit;
                self.ready.extend(std::mem::take(&mut self.held).into_values().flatten());
            }
            Input::Finished { flight, ok } => self.end(flight, ok),
            Input::NodeLost(name) => self.on_node_lost(&name),
            Input::Tick => self.on_tick(now, &mut out),
        }
        if self.stale.len() > stale {
            out.push(Output::Outdated);
        }
        self.advance(now, &mut out);
        out
    }

    fn on_graph(&mut self, graph: TransitionGraph) {
        let name = |action: &Action| (action.operation_key.clone(), action.node.clone());
        let running: BTreeMap<_, FlightId> =
            self.flights.iter().rev().map(|(id, flight)| (name(&flight.action), *id)).collect();
        let count = graph.actions.len();
        self.graph = graph;
        self.states = vec![State::Waiting; count];
        self.unmet = vec![0; count];
        self.dependents = vec![Vec::new(); count];
        self.ready.clear();
        self.pseudo.clear();
        self.held.clear();
        self.stale.clear();
        self.adopted.clear();
        (self.waiting, self.failed, self.complete) = (count, 0, false);
        let mut free = Vec::new();
        for (index, action) in self.graph.actions.iter().enumerate() {
            self.unmet[index] = action.inputs.len();
            for input in &action.inputs {
                // An input that is not in the graph is never done.
                if let Some(dependents) = self.dependents.get_mut(input.index()) {
                    dependents.push(index);
                }
            }
            if let Some(flight) = running.get(&name(action)) {
                self.states[index] = State::InFlight(*flight);
                self.adopted.insert(*flight, index);
                self.waiting -= 1;
            } else if action.inputs.is_empty() {
                free.push(index);
            }
        }
        for index in free {
            self.make_ready(index);
        }
    }

    /// The last input of a waiting action is done.
    fn make_ready(&mut self, index: usize) {
        let action = &self.graph.actions[index];
        if action.kind == ActionKind::Pseudo {
            self.pseudo.push(index);
        } else {
            self.ready.insert((Reverse(action.priority), index));
        }
    }

    fn end(&mut self, flight: FlightId, ok: bool) {
        let Some(ended) = self.flights.remove(&flight) else { return };
        self.deadlines.remove(&(ended.deadline, flight));
        if let Some(resource) = ended.resource() {
            leave(&mut self.by_resource, resource, flight);
            if self.adopted.contains_key(&flight) {
                self.release_resource(resource);
            } else {
                self.stale.insert(resource.to_owned());
            }
        }
        if let Some(node) = ended.node() {
            leave(&mut self.by_node, node, flight);
            if let Some(recent) = self.recent.get_mut(node) {
                recent.remove(&(ended.since + RECENT, flight));
            }
            self.release_node(node);
        }
        for ready in self.held.remove(&Obstacle::Opposed(flight)).unwrap_or_default() {
            // What this graph wants of it may be wrong by now.
            let resource = self.graph.actions[ready.1].resource.as_ref();
            self.stale.extend(resource.map(|resource| resource.id.clone()));
            self.ready.insert(ready);
        }
        let Some(index) = self.adopted.remove(&flight) else { return };
        if ok {
            self.done(index);
        } else {
            self.states[index] = State::Failed;
            self.failed += 1;
        }
    }

    /// Notes that an action is done and frees what waited for nothing else.
    fn done(&mut self, index: usize) {
        self.states[index] = State::Done;
        for dependent in std::mem::take(&mut self.dependents[index]) {
            self.unmet[dependent] -= 1;
            if self.unmet[dependent] == 0 && self.states[dependent] == State::Waiting {
                self.make_ready(dependent);
            }
        }
    }

    /// Lets what waits for an end among a resource's flights try again.
    fn release_resource(&mut self, resource: &str) {
        let freed = self.held.remove(&Obstacle::Resource(resource.to_owned()));
        self.ready.extend(freed.unwrap_or_default());
    }

    /// Lets the most urgent of what waits for a node try again: one place is free there.
    fn release_node(&mut self, node: &str) {
        let obstacle = Obstacle::Node(node.to_owned());
        let Some(waiting) = self.held.get_mut(&obstacle) else { return };
        self.ready.extend(waiting.pop_first());
        if waiting.is_empty() {
            self.held.remove(&obstacle);
        }
    }

    fn on_node_lost(&mut self, name: &str) {
        let asked = self.flights.iter().filter(|(_, flight)| flight.is_asked_of(name));
        for id in asked.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end(id, false);
        }
    }

    fn on_tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some((_, flight)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            let Some(action) = self.flights.get(&flight).map(|flight| flight.action.clone()) else {
                break;
            };
            self.end(flight, false);
            out.push(Output::Overdue { flight, action });
        }
    }

    /// Lets as many of what waits for a node try again as operations there are no longer recent.
    fn forget_recent(&mut self, now: Instant) {
        let mut free = Vec::new();
        for (node, flights) in &mut self.recent {
            while flights.first().is_some_and(|(until, _)| *until <= now) {
                flights.pop_first();
                free.push(node.clone());
            }
        }
        for node in free {
            self.release_node(&node);
        }
    }

    /// Gives out all that may be given out. Pseudo actions end on the spot and may free more.
    fn advance(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.forget_recent(now);
        while let Some(index) = self.pseudo.pop() {
            self.waiting -= 1;
            self.done(index);
        }
        while !self.batch_full()
            && let Some(ready) = self.ready.pop_first()
        {
            let action = &self.graph.actions[ready.1];
            match self.obstacle(action) {
                None => out.push(self.take_off(now, ready.1)),
                Some(obstacle) => {
                    let node = executing_node(action).map(str::to_owned);
                    let of_resource = !matches!(obstacle, Obstacle::Node(_));
                    self.held.entry(obstacle).or_default().insert(ready);
                    // It may have been let go for a place that another can take.
                    if let Some(node) = node.filter(|_| of_resource) {
                        self.release_node(&node);
                    }
                }
            }
        }
        self.note_completion(out);
    }

    fn take_off(&mut self, now: Instant, index: usize) -> Output {
        let flight = FlightId(self.next_flight);
        self.next_flight += 1;
        let action = Box::new(self.graph.actions[index].clone());
        let allowed = action.timeout.unwrap_or(DEFAULT_TIMEOUT) + ANSWER_ALLOWANCE;
        let entry = InFlight { action: action.clone(), since: now, deadline: now + allowed };
        self.deadlines.insert((entry.deadline, flight));
        if let Some(resource) = entry.resource() {
            self.by_resource.entry(resource.to_owned()).or_default().insert(flight);
        }
        if let Some(node) = entry.node() {
            self.by_node.entry(node.to_owned()).or_default().insert(flight);
            let recent = self.recent.entry(node.to_owned()).or_default();
            recent.insert((now + RECENT, flight));
        }
        self.flights.insert(flight, entry);
        self.states[index] = State::InFlight(flight);
        self.adopted.insert(flight, index);
        self.waiting -= 1;
        Output::Perform { flight, action }
    }

    fn batch_full(&self) -> bool {
        let limit = self.graph.batch_limit.parse::<usize>().unwrap_or(0);
        limit > 0 && self.flights.len() >= limit
    }

    /// What holds an action up. One resource does one thing at a time, cluster-wide, unless the graph
    /// itself put them in parallel (probes on several nodes, instances on several nodes).
    fn obstacle(&self, action: &Action) -> Option<Obstacle> {
        let conflicting = |flight: &FlightId| {
            let same_node = self.flights.get(flight).is_some_and(|f| f.action.node == action.node);
            same_node || !self.adopted.contains_key(flight)
        };
        let stale = |resource: &str| self.stale.contains(resource);
        if let Some(resource) = action.resource.as_ref().filter(|resource| stale(&resource.id)) {
            return Some(Obstacle::Resource(resource.id.clone()));
        }
        if let Some(resource) = &action.resource
            && self.by_resource.get(&resource.id).is_some_and(|all| all.iter().any(conflicting))
        {
            return Some(Obstacle::Resource(resource.id.clone()));
        }
        if let Some(flight) = self.opposed(action) {
            return Some(Obstacle::Opposed(flight));
        }
        let node = executing_node(action)?;
        let recent = self.recent.get(node).map_or(0, BTreeSet::len);
        let busy = || self.by_node.get(node).map_or(0, BTreeSet::len);
        let full = recent >= MAX_RECENT || (self.node_limit > 0 && busy() >= self.node_limit);
        full.then(|| Obstacle::Node(node.to_owned()))
    }

    fn note_completion(&mut self, out: &mut Vec<Output>) {
        if self.complete || !self.adopted.is_empty() || !self.stale.is_empty() {
            return;
        }
        // Waiting without a failure: held back by a flight of an earlier graph, so not over.
        if self.waiting > 0 && self.failed == 0 && !self.flights.is_empty() {
            return;
        }
        self.complete = true;
        out.push(Output::Complete { unreached: self.waiting });
    }
}

/// Removes a flight from an index, and the entry with the last of its flights.
fn leave(index: &mut BTreeMap<String, BTreeSet<FlightId>>, name: &str, flight: FlightId) {
    if let Some(flights) = index.get_mut(name) {
        flights.remove(&flight);
        if flights.is_empty() {
            index.remove(name);
        }
    }
}
