//! A node that hears no majority and nobody who coordinates: it stops by itself what `no-quorum-policy` has stopped.
//!
//! Whoever coordinates plans on, also with few, but a node that did not cannot be elected among few, so nobody would
//! tell it. Its own stops need nobody: they can make nothing run twice. They go in waves, each of a plan of its own, since
//! the order among them is the plan's; what such a plan wants done elsewhere, or started, is left alone.

use std::collections::BTreeSet;
use std::time::Duration;

use haven_api::EventSeverity;
use haven_base::Instant;
use haven_types::graph::{Action, ActionId, ActionKind, TransitionGraph};

use crate::controller::{Controller, Internal};
use crate::coordinate::operation;
use crate::port::Clock;

/// How long a node is without a majority and a coordinator before it plans for itself: shorter splits are often over
/// sooner than what they would stop has started again.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two plans where nothing has ended in the meantime.
const AGAIN: Duration = Duration::from_secs(5);

/// When a node looks what it has to stop by itself.
#[derive(Debug, Default)]
pub(crate) struct Minority {
    look_at: Option<Instant>,
    /// What has begun to stop and has not ended.
    stopping: BTreeSet<String>,
}

impl Minority {
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.look_at
    }

    /// A stop has ended here: the next wave may be due.
    pub(crate) fn ended(&mut self, now: Instant, resource: &str) {
        if self.stopping.remove(resource) && self.stopping.is_empty() {
            self.look_at = Some(now);
        }
    }
}

impl Controller {
    /// Begins the stops that this node owes its lost majority. Call once in every step.
    pub(crate) fn stop_without_majority(&mut self, clock: Clock) {
        let led = self.leader.is_some() || self.coordinator.is_some();
        if self.quorum.verdict.quorate || led || self.halted {
            self.minority = Minority::default();
            return;
        }
        let due = *self.minority.look_at.get_or_insert(clock.now + PATIENCE);
        if due > clock.now {
            return;
        }
        self.minority.look_at = Some(clock.now + AGAIN);
        let status = self.planning_status();
        let decision = self.decide(clock, &status);
        for stop in first_stops(&decision.graph, &self.config.name) {
            let operation = operation(stop);
            let resource = operation.resource.clone();
            self.inbox.push_back(Internal::Executor(haven_executor::Input::Stop(operation)));
            if self.minority.stopping.insert(resource.clone()) {
                let text = format!(
                    "{resource} is stopped here: no majority is heard, nobody coordinates, and no-quorum-policy does \
                     not let it run on; once a majority is back it starts again"
                );
                let subject = format!("resource/{resource}");
                self.event(clock, "HV1207", EventSeverity::Warning, subject, text);
            }
        }
        self.settle(clock);
    }
}

/// The stops and demotions on `node` that wait for no other there.
fn first_stops<'g>(graph: &'g TransitionGraph, node: &str) -> Vec<&'g Action> {
    let here = |action: &&Action| {
        action.kind == ActionKind::Resource
            && matches!(action.operation.as_str(), "stop" | "demote")
            && action.node.as_ref().is_some_and(|on| on.uname == node)
    };
    let mut after: Vec<Vec<ActionId>> = vec![Vec::new(); graph.actions.len()];
    for action in &graph.actions {
        for input in &action.inputs {
            after[input.index()].push(action.id);
        }
    }
    let stops: Vec<&Action> = graph.actions.iter().filter(here).collect();
    let mut waits = vec![false; graph.actions.len()];
    let mut left: Vec<ActionId> = stops.iter().map(|stop| stop.id).collect();
    while let Some(id) = left.pop() {
        for next in &after[id.index()] {
            if !std::mem::replace(&mut waits[next.index()], true) {
                left.push(*next);
            }
        }
    }
    stops.into_iter().filter(|stop| !waits[stop.id.index()]).collect()
}
