//! What is under way may contradict what a newer graph takes for granted: it was made as if nothing had been given out
//! lately. Nothing is started upon what is just being stopped, and nothing is stopped below what is just being started;
//! whoever had to wait for that waits for the plan that knows how it ended, too.

use std::collections::{BTreeMap, BTreeSet};

use haven_types::graph::Action;
use serde::{Deserialize, Serialize};

use super::{Engine, FlightId, executing_node};

/// What stands directly upon what: for each resource those that must run before it and stop after it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Upon(pub(super) BTreeMap<String, BTreeSet<String>>);

impl Upon {
    /// Whether `upper` stands upon `lower`, directly or upon something that does.
    fn stands(&self, upper: &str, lower: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut look_at = vec![upper];
        while let Some(name) = look_at.pop() {
            for below in self.0.get(name).into_iter().flatten() {
                if below == lower {
                    return true;
                }
                if seen.insert(below.as_str()) {
                    look_at.push(below);
                }
            }
        }
        false
    }
}

/// Which way an operation goes: up, down, or neither.
fn way(action: &Action) -> Option<bool> {
    match action.operation.as_str() {
        "start" | "promote" => Some(true),
        "stop" | "demote" => Some(false),
        _ => None,
    }
}

impl Engine {
    /// What is under way on an action's node and goes the other way where one stands upon the other.
    pub(super) fn opposed(&self, action: &Action) -> Option<FlightId> {
        if self.upon.0.is_empty() {
            return None;
        }
        let (up, node) = (way(action)?, executing_node(action)?);
        let own = &action.resource.as_ref()?.id;
        let there = self.by_node.get(node)?;
        there.iter().copied().find(|id| {
            let Some(flight) = self.flights.get(id) else { return false };
            let (Some(other), Some(goes_up)) = (flight.resource(), way(&flight.action)) else {
                return false;
            };
            goes_up != up
                && if up { self.upon.stands(own, other) } else { self.upon.stands(other, own) }
        })
    }
}
