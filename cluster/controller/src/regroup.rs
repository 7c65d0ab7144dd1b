//! An address belongs to one lease group at a time. The group follows from the names in the
//! configuration, so a resource that is renamed, or moved into a group or out of one, changes it; and
//! promises made for the one bind nobody who asks for the other. So that is refused while somebody may
//! still own the address by the lease of the group before, or by none on a node that is away.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use haven_api::{ApiError, Code};
use haven_cib::Cib;
use haven_transition::FlightId;
use haven_types::operation::{Lease, OcfCode};
use haven_types::{Epoch, GroupId, NodeId};

use crate::controller::Controller;
use crate::coordinate::operation;
use crate::guarded::parameters;
use crate::history::{ResourceRecords, active, unleased};
use crate::leases::{declares_lease, lease_group, leased_primitives};

/// A resource that may be active and should have one owner.
#[derive(Debug)]
struct Held {
    resource: String,
    addresses: BTreeSet<IpAddr>,
    node: NodeId,
    by: By,
}

/// By what right it is, or will be, active.
#[derive(Debug)]
enum By {
    Lease(Lease),
    /// The lease of this group, which its start waits for.
    Awaited(String),
    /// Nothing: it was started without a lease, on a node that is away.
    Nothing,
}

impl By {
    const fn lease(&self) -> Option<Lease> {
        match self {
            Self::Lease(lease) => Some(*lease),
            Self::Awaited(_) | Self::Nothing => None,
        }
    }
}

/// A primitive whose address somebody may own by the lease of another group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Conflict {
    primitive: String,
    group: String,
    /// The group whose lease it would be active under, if under any.
    before: Option<String>,
    resource: String,
    node: NodeId,
}

impl Controller {
    /// Whether every address keeps its lease group in `cib`, or has no owner that could be left.
    ///
    /// # Errors
    /// [`Code::Unsafe`] names the resource, the node, and what to do first.
    // spec: L2
    pub(crate) fn keeps_lease_groups(&self, cib: &Cib) -> Result<(), ApiError> {
        let held = self.held();
        let already = self.conflicts(&self.state.cib, &held);
        let new = self.conflicts(cib, &held);
        let Some(found) = new.difference(&already).next() else { return Ok(()) };
        let (node, resource) = (self.name_of(found.node), &found.resource);
        let Some(before) = &found.before else {
            let message = format!(
                "{} would run under the lease of {}, and {resource} may still be active on {node}, which is \
                 away, under none: one address would perhaps have two owners; nothing was changed",
                found.primitive, found.group,
            );
            let remedy = format!(
                "start {node} again, or switch it off and remove it (haven cluster remove {node}) or confirm that \
                 it is dead (haven node confirm-dead {node} --reason WHY)"
            );
            return Err(ApiError::new(Code::Unsafe, message).remedy(remedy));
        };
        let message = format!(
            "{} would run under the lease of {}, and {resource} may still be active on {node} under \
             the lease of {}: one address would have two leases, and so perhaps two owners; nothing \
             was changed",
            found.primitive, found.group, before,
        );
        let remedy = format!(
            "first: haven resource stop {resource}; change the configuration once it is stopped. \
             Where {node} is away, start it again or remove it (haven cluster remove {node})"
        );
        Err(ApiError::new(Code::Unsafe, message).remedy(remedy))
    }

    /// Whether what is about to start belongs to another lease group by now, or would by a configuration that
    /// is proposed.
    // spec: L2
    pub(crate) fn is_regrouped(&self, flight: FlightId, node: NodeId, lease: Lease) -> bool {
        let (newest, in_force) = (self.newest(), &self.state.cib);
        let Some(start) = self.starting(flight, By::Lease(lease), node) else { return false };
        let group = lease_group(in_force, &self.config.facts, &start.resource);
        let granted = group.and_then(|group| self.state.grants.get(&group));
        if granted.is_none_or(|grant| grant.group != lease.group) {
            return true;
        }
        if newest.version == in_force.version {
            return false;
        }
        let held = [start];
        !self.conflicts(newest, &held).is_subset(&self.conflicts(in_force, &held))
    }

    /// Whether no lease ends what a node that is away may still run, though its agent declares one.
    // spec: L8
    pub(crate) fn is_left_unleased(&self, node: NodeId, records: &ResourceRecords) -> bool {
        let declares = |it: &ResourceRecords| {
            let facts = &self.config.facts;
            it.values().any(|record| declares_lease(facts, &record.operation.agent))
        };
        !self.heard(node) && !self.is_confirmed_dead(node) && unleased(records) && declares(records)
    }

    /// What is, or may become without a further decision, active under a lease on any member, or without one
    /// on a member that is away.
    fn held(&self) -> Vec<Held> {
        let mut held = Vec::new();
        for (node, history) in &self.histories {
            for (resource, records) in history.resources.iter().filter(|(_, it)| active(it)) {
                let leased = records.values().filter(|record| record.lease.is_some());
                let latest = leased.max_by_key(|record| record.lease.map(|it| it.epoch));
                let (record, by) = if self.is_left_unleased(*node, records) {
                    (records.values().next(), Some(By::Nothing))
                } else {
                    (latest, latest.and_then(|record| record.lease).map(By::Lease))
                };
                let (Some(record), Some(by)) = (record, by) else { continue };
                let started = records.values().find(|it| it.operation.action == "start");
                let params = &started.unwrap_or(record).operation.params;
                let (resource, addresses) = (resource.clone(), addresses(params));
                held.push(Held { resource, addresses, node: *node, by });
            }
        }
        let awaited = self.coordinator.iter().flat_map(|it| it.orders.awaited());
        held.extend(awaited.filter_map(|(node, order)| {
            let (operation, lease) = (&order.operation, order.lease?);
            let (resource, addresses) = (operation.resource.clone(), addresses(&operation.params));
            Some(Held { resource, addresses, node, by: By::Lease(lease) })
        }));
        held.extend(self.granted_unheard());
        held.extend(self.awaited_starts().filter_map(|(flight, group, node)| {
            self.starting(flight, By::Awaited(group.to_owned()), node)
        }));
        // Whoever gained a later lease of the group waited for the end of the earlier ones.
        let latest = self.latest_gained();
        held.retain(|it| {
            it.by.lease().is_none_or(|lease| {
                latest.get(&lease.group).is_none_or(|epoch| *epoch <= lease.epoch)
            })
        });
        held
    }

    /// What a flight is about to start on a node.
    fn starting(&self, flight: FlightId, by: By, node: NodeId) -> Option<Held> {
        let action = &self.coordinator.as_ref()?.engine.flights().get(&flight)?.action;
        let operation = operation(action);
        let addresses = addresses(&operation.params);
        Some(Held { resource: operation.resource, addresses, node, by })
    }

    /// What was granted to members whose status is not known: they may have it.
    fn granted_unheard(&self) -> Vec<Held> {
        let (cib, state) = (&self.state.cib, &self.state);
        let unheard =
            |node: &NodeId| state.members.contains_key(node) && !self.histories.contains_key(node);
        leased_primitives(cib, &self.config.facts)
            .into_iter()
            .filter_map(|(primitive, group)| {
                let grant = state.grants.get(&group)?;
                let node = grant.holder.filter(unheard)?;
                let addresses = addresses(&parameters(cib, primitive));
                let by = By::Lease(grant.lease());
                Some(Held { resource: primitive.id.clone(), addresses, node, by })
            })
            .collect()
    }

    /// The latest lease of each group that somebody is known to have gained.
    fn latest_gained(&self) -> BTreeMap<GroupId, Epoch> {
        let mut latest = BTreeMap::new();
        let resources = self.histories.values().flat_map(|history| history.resources.values());
        for record in resources.flat_map(|records| records.values()) {
            let well = record.outcome.as_ref().is_some_and(|it| it.code == OcfCode::OK);
            if let Some(lease) = record.lease.filter(|_| well) {
                let epoch: &mut Epoch = latest.entry(lease.group).or_default();
                *epoch = lease.epoch.max(*epoch);
            }
        }
        latest
    }

    fn conflicts(&self, cib: &Cib, held: &[Held]) -> BTreeSet<Conflict> {
        let mut by_name: BTreeMap<&str, Vec<&Held>> = BTreeMap::new();
        let mut by_address: BTreeMap<IpAddr, Vec<&Held>> = BTreeMap::new();
        for it in held {
            by_name.entry(&it.resource).or_default().push(it);
            for address in &it.addresses {
                by_address.entry(*address).or_default().push(it);
            }
        }
        let mut found = BTreeSet::new();
        for (primitive, group) in leased_primitives(cib, &self.config.facts) {
            let its = addresses(&parameters(cib, primitive));
            let granted = self.state.grants.get(&group).map(|grant| grant.group);
            let named = by_name.get(primitive.id.as_str()).into_iter().flatten();
            let same = its.iter().filter_map(|address| by_address.get(address)).flatten();
            let other = |it: &&&Held| match &it.by {
                By::Lease(lease) => granted != Some(lease.group),
                By::Awaited(name) => *name != group,
                By::Nothing => true,
            };
            for it in named.chain(same).filter(other) {
                found.insert(Conflict {
                    primitive: primitive.id.clone(),
                    group: group.clone(),
                    before: match &it.by {
                        By::Lease(lease) => Some(self.group_name(lease.group)),
                        By::Awaited(name) => Some(name.clone()),
                        By::Nothing => None,
                    },
                    resource: it.resource.clone(),
                    node: it.node,
                });
            }
        }
        found
    }
}

/// The addresses that the parameters name, as all agents of addresses spell it: one or a list.
fn addresses(params: &BTreeMap<String, String>) -> BTreeSet<IpAddr> {
    let list = params.get("ip").map_or("", String::as_str);
    let words = list.split(|c: char| c == ',' || c == ';' || c.is_whitespace());
    words.filter_map(|word| word.split('/').next()?.parse().ok()).collect()
}
