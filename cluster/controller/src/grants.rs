//! Lease groups granted to nodes by the log, and starts that wait for it.

use std::time::Duration;

use haven_api::EventSeverity;
use haven_transition::FlightId;
use haven_types::operation::Lease;
use haven_types::{Epoch, NodeId};

use crate::command::Command;
use crate::controller::{Controller, Purpose};
use crate::leases::lease_groups;
use crate::port::Clock;
use crate::replicated::Grant;

/// After a proposal that was not taken, the next attempt comes no sooner.
const GRANT_AGAIN: Duration = Duration::from_millis(250);

impl Controller {
    /// The lease group of a primitive by the configuration as it is now.
    pub(crate) fn lease_group_of(&mut self, primitive: &str) -> Option<String> {
        let coordinator = self.coordinator.as_mut()?;
        let version = self.state.cib.version;
        if coordinator.groups.0 != Some(version) {
            let groups = lease_groups(&self.state.cib, &self.config.facts);
            coordinator.groups = (Some(version), groups);
        }
        coordinator.groups.1.get(primitive).cloned()
    }

    pub(crate) fn start_leased(
        &mut self,
        clock: Clock,
        flight: FlightId,
        group: &str,
        node: NodeId,
    ) {
        match self.state.grants.get(group) {
            Some(grant) if grant.holder == Some(node) && !self.regranting(group) => {
                let lease = grant.lease();
                self.order_start(clock, flight, node, lease);
            }
            _ => {
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.awaiting.insert(flight, (group.to_owned(), node));
                }
                self.grant(group, node);
            }
        }
    }

    /// Starts that wait for a grant: the flight, the group, and the node.
    pub(crate) fn awaited_starts(&self) -> impl Iterator<Item = (FlightId, &str, NodeId)> {
        let awaiting = self.coordinator.iter().flat_map(|it| &it.awaiting);
        awaiting.map(|(flight, (group, node))| (*flight, group.as_str(), *node))
    }

    fn regranting(&self, group: &str) -> bool {
        self.coordinator.as_ref().is_some_and(|c| c.proposed.contains_key(group))
    }

    /// A stop that a start elsewhere follows: the log learns of the successor while the stop is
    /// under way, so that the start need not wait for it.
    pub(crate) fn grant_ahead(&mut self, resource: &str, group: &str, from: NodeId) {
        let Some(coordinator) = &self.coordinator else { return };
        let target = coordinator.engine.graph().actions.iter().find(|action| {
            action.operation == "start"
                && action.resource.as_ref().is_some_and(|r| r.id == resource)
        });
        let target = target
            .and_then(|action| action.node.as_ref())
            .and_then(|node| self.state.member_named(&node.uname))
            .map(|member| member.id);
        if let Some(target) = target.filter(|target| *target != from) {
            self.grant(group, target);
        }
    }

    fn grant(&mut self, group: &str, node: NodeId) {
        let Some(coordinator) = &mut self.coordinator else { return };
        if coordinator.proposed.contains_key(group) {
            return;
        }
        coordinator.proposed.insert(group.to_owned(), node);
        let epoch = self.state.grants.get(group).map_or(1, |grant| grant.epoch.0 + 1);
        let command =
            Command::Grant { group: group.to_owned(), epoch: Epoch(epoch), holder: Some(node) };
        self.propose(&command, Purpose::Grant(group.to_owned()));
    }

    /// The log carries a new grant: starts that waited for it may go.
    pub(crate) fn on_granted(&mut self, clock: Clock, group: &str, grant: Grant) {
        let text = match grant.holder {
            Some(holder) => {
                format!("lease epoch {} granted to {}", grant.epoch, self.name_of(holder))
            }
            None => format!("lease withdrawn at epoch {}", grant.epoch),
        };
        self.event(clock, "HV1502", EventSeverity::Info, format!("resource/{group}"), text);
        let Some(coordinator) = &mut self.coordinator else { return };
        let go: Vec<(FlightId, NodeId)> = coordinator
            .awaiting
            .iter()
            .filter(|(_, (wanted, node))| wanted == group && grant.holder == Some(*node))
            .map(|(flight, (_, node))| (*flight, *node))
            .collect();
        for (flight, node) in go {
            if let Some(coordinator) = &mut self.coordinator {
                coordinator.awaiting.remove(&flight);
            }
            self.order_start(clock, flight, node, grant.lease());
        }
    }

    /// A start goes where its lease is, unless a change gives the address another group meanwhile.
    fn order_start(&mut self, clock: Clock, flight: FlightId, node: NodeId, lease: Lease) {
        if self.is_regrouped(flight, node, lease) {
            self.plan_soon(clock);
            self.finish_flight(flight, false);
        } else {
            self.order(clock, flight, node, Some(lease));
        }
    }

    fn plan_soon(&mut self, clock: Clock) {
        let Some(coordinator) = &mut self.coordinator else { return };
        let again = clock.now + GRANT_AGAIN;
        coordinator.recheck = Some(coordinator.recheck.map_or(again, |at| at.min(again)));
    }

    /// A proposal of ours met its end: whoever still waits for another holder asks again.
    pub(crate) fn on_grant_settled(&mut self, clock: Clock, group: &str) {
        let Some(coordinator) = &mut self.coordinator else { return };
        coordinator.proposed.remove(group);
        let again: Vec<(FlightId, NodeId)> = coordinator
            .awaiting
            .iter()
            .filter(|(_, (wanted, _))| wanted == group)
            .map(|(flight, (_, node))| (*flight, *node))
            .collect();
        for (flight, node) in again {
            if let Some(coordinator) = &mut self.coordinator {
                coordinator.awaiting.remove(&flight);
            }
            self.start_leased(clock, flight, group, node);
        }
    }

    /// A proposal of ours was not taken: leadership is being handed over, or the store has failed.
    /// Whoever waits for it is planned anew a little later; asking again at once would be refused
    /// at once, for ever.
    pub(crate) fn on_grant_dropped(&mut self, clock: Clock, group: &str) {
        let Some(coordinator) = &mut self.coordinator else { return };
        coordinator.proposed.remove(group);
        let waiting: Vec<FlightId> = coordinator
            .awaiting
            .iter()
            .filter(|(_, (wanted, _))| wanted == group)
            .map(|(flight, _)| *flight)
            .collect();
        coordinator.awaiting.retain(|_, (wanted, _)| wanted != group);
        self.plan_soon(clock);
        for flight in waiting {
            self.finish_flight(flight, false);
        }
    }
}
