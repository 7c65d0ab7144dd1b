//! Lease groups granted to nodes by the log, and what waits for it: starts, and stops before them.

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

/// An order that waits until the log grants its lease group.
#[derive(Clone, Debug)]
pub(crate) struct Awaiting {
    group: String,
    /// To whom.
    holder: NodeId,
    /// The node that has the group now and is to stop first; nothing for a start on the holder itself.
    stops: Option<NodeId>,
}

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
            _ => self.await_grant(flight, group, node, None),
        }
    }

    fn await_grant(
        &mut self,
        flight: FlightId,
        group: &str,
        holder: NodeId,
        stops: Option<NodeId>,
    ) {
        if let Some(coordinator) = &mut self.coordinator {
            let group = group.to_owned();
            coordinator.awaiting.insert(flight, Awaiting { group, holder, stops });
        }
        self.grant(group, holder);
    }

    /// What the log has yet to do before an order is given.
    pub(crate) fn awaited_grant(&self, flight: FlightId) -> Option<String> {
        let it = self.coordinator.as_ref()?.awaiting.get(&flight)?;
        Some(format!("grant the lease of {} to {}", it.group, self.name_of(it.holder)))
    }

    /// Starts that wait for a grant: the flight, the group, and the node.
    pub(crate) fn awaited_starts(&self) -> impl Iterator<Item = (FlightId, &str, NodeId)> {
        let awaiting = self.coordinator.iter().flat_map(|it| &it.awaiting);
        let starts = awaiting.filter(|(_, it)| it.stops.is_none());
        starts.map(|(flight, it)| (*flight, it.group.as_str(), it.holder))
    }

    fn regranting(&self, group: &str) -> bool {
        self.coordinator.as_ref().is_some_and(|c| c.proposed.contains_key(group))
    }

    /// A stop that a start elsewhere follows waits until the log has granted the group to the successor:
    /// the owner serves on while disks write, and the address is silent only for the stop and the start.
    pub(crate) fn stop_leased(
        &mut self,
        clock: Clock,
        flight: FlightId,
        (resource, group): (&str, &str),
        from: NodeId,
    ) {
        let granted = self.state.grants.get(group).and_then(|grant| grant.holder);
        match self.successor(resource).filter(|node| *node != from) {
            Some(node) if granted != Some(node) || self.regranting(group) => {
                self.await_grant(flight, group, node, Some(from));
            }
            _ => self.order(clock, flight, from, None),
        }
    }

    /// A stop waits no longer for a successor that the newest plan does not want.
    pub(crate) fn review_waiting_stops(&mut self, clock: Clock) {
        let waiting = self.coordinator.iter().flat_map(|it| &it.awaiting);
        let stops: Vec<(FlightId, Awaiting)> = waiting
            .filter(|(_, it)| it.stops.is_some())
            .map(|(flight, it)| (*flight, it.clone()))
            .collect();
        for (flight, it) in stops {
            let Some(coordinator) = &mut self.coordinator else { return };
            let wanted = coordinator.engine.in_force(flight);
            let resource = coordinator.engine.flights().get(&flight).and_then(|flight| {
                flight.action.resource.as_ref().map(|resource| resource.id.clone())
            });
            let successor = resource.and_then(|resource| self.successor(&resource));
            if wanted && successor == Some(it.holder) {
                continue;
            }
            if let Some(coordinator) = &mut self.coordinator {
                coordinator.awaiting.remove(&flight);
            }
            match it.stops.filter(|_| wanted) {
                Some(from) => self.order(clock, flight, from, None),
                None => self.finish_flight(flight, false),
            }
        }
    }

    /// Where the plan in force starts a resource.
    fn successor(&self, resource: &str) -> Option<NodeId> {
        let graph = self.coordinator.as_ref()?.engine.graph();
        let start = graph.actions.iter().find(|action| {
            action.operation == "start"
                && action.resource.as_ref().is_some_and(|r| r.id == resource)
        });
        let node = start?.node.as_ref()?;
        self.state.member_named(&node.uname).map(|member| member.id)
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
        let granted = |it: &Awaiting| it.group == group && grant.holder == Some(it.holder);
        for (flight, it) in self.no_longer_await(granted) {
            match it.stops {
                Some(from) => self.order(clock, flight, from, None),
                None => self.order_start(clock, flight, it.holder, grant.lease()),
            }
        }
    }

    /// Takes what waits and is meant, in the order of the flights.
    fn no_longer_await(&mut self, meant: impl Fn(&Awaiting) -> bool) -> Vec<(FlightId, Awaiting)> {
        let Some(coordinator) = &mut self.coordinator else { return Vec::new() };
        coordinator.awaiting.extract_if(.., |_, it| meant(it)).collect()
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
        for (flight, it) in self.no_longer_await(|it| it.group == group) {
            match it.stops {
                Some(from) => self.order(clock, flight, from, None),
                None => self.start_leased(clock, flight, group, it.holder),
            }
        }
    }

    /// A proposal of ours was not taken: leadership is being handed over, or the store has failed.
    /// Whoever waits for it is planned anew a little later; asking again at once would be refused
    /// at once, for ever.
    pub(crate) fn on_grant_dropped(&mut self, clock: Clock, group: &str) {
        let Some(coordinator) = &mut self.coordinator else { return };
        coordinator.proposed.remove(group);
        self.plan_soon(clock);
        for (flight, _) in self.no_longer_await(|it| it.group == group) {
            self.finish_flight(flight, false);
        }
    }
}
