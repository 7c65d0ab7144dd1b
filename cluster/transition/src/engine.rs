//! The engine's machine.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::Instant;
use haven_types::graph::{Action, ActionId, ActionKind, TransitionGraph};
use serde::{Deserialize, Serialize};

/// Added to an action's own timeout before it counts as lost: the executor reports its timeout
/// itself, this only catches executors that never answer (`cluster-delay` of the field, 60 s).
const ANSWER_ALLOWANCE: Duration = Duration::from_secs(60);

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
    /// The decision now in force; replaces the one before.
    Graph(Box<TransitionGraph>),
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
    fn same_as(&self, action: &Action) -> bool {
        self.action.operation_key == action.operation_key && self.action.node == action.node
    }

    fn resource(&self) -> Option<&str> {
        self.action.resource.as_ref().map(|resource| resource.id.as_str())
    }
}

/// The engine of the coordinator.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Engine {
    graph: TransitionGraph,
    states: Vec<State>,
    flights: BTreeMap<FlightId, InFlight>,
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
        self.flights.values().map(|flight| flight.deadline).min()
    }

    /// Advances by one input.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Graph(graph) => self.on_graph(*graph),
            Input::Finished { flight, ok } => self.end(flight, ok),
            Input::NodeLost(name) => self.on_node_lost(&name),
            Input::Tick => self.on_tick(now, &mut out),
        }
        self.advance(now, &mut out);
        out
    }

    fn on_graph(&mut self, graph: TransitionGraph) {
        self.states = graph
            .actions
            .iter()
            .map(|action| {
                let running = self.flights.iter().find(|(_, flight)| flight.same_as(action));
                running.map_or(State::Waiting, |(id, _)| State::InFlight(*id))
            })
            .collect();
        self.graph = graph;
        self.complete = false;
    }

    fn end(&mut self, flight: FlightId, ok: bool) {
        if self.flights.remove(&flight).is_none() {
            return;
        }
        for state in &mut self.states {
            if *state == State::InFlight(flight) {
                *state = if ok { State::Done } else { State::Failed };
            }
        }
    }

    fn on_node_lost(&mut self, name: &str) {
        let lost: Vec<FlightId> = self
            .flights
            .iter()
            .filter(|(_, flight)| {
                flight.action.kind == ActionKind::Resource
                    && flight.action.node.as_ref().is_some_and(|node| node.uname == name)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            self.end(id, false);
        }
    }

    fn on_tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        let overdue: Vec<(FlightId, Box<Action>)> = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.deadline <= now)
            .map(|(id, flight)| (*id, flight.action.clone()))
            .collect();
        for (flight, action) in overdue {
            self.end(flight, false);
            out.push(Output::Overdue { flight, action });
        }
    }

    /// Gives out all that may be given out. Pseudo actions end on the spot and may free more.
    fn advance(&mut self, now: Instant, out: &mut Vec<Output>) {
        loop {
            let mut moved = false;
            for index in self.by_priority() {
                moved |= self.try_action(now, index, out);
            }
            if !moved {
                break;
            }
        }
        self.note_completion(out);
    }

    /// Waiting actions, most urgent first, then in the order of the graph.
    fn by_priority(&self) -> Vec<usize> {
        let mut waiting: Vec<usize> =
            (0..self.states.len()).filter(|i| self.states[*i] == State::Waiting).collect();
        waiting.sort_by_key(|i| std::cmp::Reverse(self.graph.actions[*i].priority));
        waiting
    }

    fn try_action(&mut self, now: Instant, index: usize, out: &mut Vec<Output>) -> bool {
        let action = &self.graph.actions[index];
        if !action.inputs.iter().all(|input| self.state(*input) == Some(State::Done)) {
            return false;
        }
        if action.kind == ActionKind::Pseudo {
            self.states[index] = State::Done;
            return true;
        }
        if self.batch_full() || self.conflicts(action) {
            return false;
        }
        let flight = FlightId(self.next_flight);
        self.next_flight += 1;
        let action = Box::new(action.clone());
        let allowed = action.timeout.unwrap_or(DEFAULT_TIMEOUT) + ANSWER_ALLOWANCE;
        self.states[index] = State::InFlight(flight);
        let entry = InFlight { action: action.clone(), since: now, deadline: now + allowed };
        self.flights.insert(flight, entry);
        out.push(Output::Perform { flight, action });
        false
    }

    fn state(&self, id: ActionId) -> Option<State> {
        self.states.get(id.index()).copied()
    }

    fn batch_full(&self) -> bool {
        let limit = self.graph.batch_limit.parse::<usize>().unwrap_or(0);
        limit > 0 && self.flights.len() >= limit
    }

    /// One resource does one thing at a time, cluster-wide, unless the graph itself put them in
    /// parallel (probes on several nodes, instances on several nodes).
    fn conflicts(&self, action: &Action) -> bool {
        let Some(resource) = action.resource.as_ref().map(|resource| resource.id.as_str()) else {
            return false;
        };
        self.flights.iter().any(|(id, flight)| {
            let same_node = flight.action.node == action.node;
            let of_this_graph = self.states.contains(&State::InFlight(*id));
            flight.resource() == Some(resource) && (same_node || !of_this_graph)
        })
    }

    fn note_completion(&mut self, out: &mut Vec<Output>) {
        if self.complete || self.states.iter().any(|s| matches!(s, State::InFlight(_))) {
            return;
        }
        let unreached = self.states.iter().filter(|s| **s == State::Waiting).count();
        let failed = self.states.contains(&State::Failed);
        // Waiting without a failure: held back by a flight of an earlier graph, so not over.
        if unreached > 0 && !failed && !self.flights.is_empty() {
            return;
        }
        self.complete = true;
        out.push(Output::Complete { unreached });
    }
}
