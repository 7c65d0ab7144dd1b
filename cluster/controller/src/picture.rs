//! From what is known to the policy engine's [`Status`]: one entry per node with its membership, its
//! attributes and its operation history.

use std::collections::{BTreeMap, BTreeSet};

use haven_policy::AgentFacts;
use haven_types::NodeId;
use haven_types::operation::{ExecutionStatus, OcfCode, OperationRecord as Record};
use haven_types::status::{NodeState, OperationRecord, Presence, ResourceHistory, Status};

use crate::command::Role;
use crate::history::{
    NodeHistory, ResourceRecords, Slot, active, expected_code, is_probe, unleased,
};
use crate::leases::{declares_lease, lease_groups, leased_primitives, unprotected_primitives};
use crate::replicated::Replicated;

/// What the coordinator knows beside the log.
#[derive(Clone, Debug)]
pub(crate) struct Known<'a> {
    /// The replicated state.
    pub(crate) state: &'a Replicated,
    /// The nodes of the view.
    pub(crate) present: &'a BTreeSet<NodeId>,
    /// The nodes that are heard, in the view or not.
    pub(crate) alive: &'a BTreeSet<NodeId>,
    /// Nodes that were present once and have been declared dead since.
    pub(crate) dead: &'a BTreeSet<NodeId>,
    /// Of those, the nodes that are confirmed dead by hand.
    pub(crate) confirmed: &'a BTreeSet<NodeId>,
    /// What the metadata of agents says.
    pub(crate) facts: &'a AgentFacts,
    /// Each node's status as last received.
    pub(crate) histories: &'a BTreeMap<NodeId, NodeHistory>,
    /// Whether this partition may act.
    pub(crate) quorate: bool,
    /// This node.
    pub(crate) coordinator: NodeId,
}

/// What is known, with what the configuration says of leases read out of it once.
struct Picture<'a> {
    known: &'a Known<'a>,
    /// Lease groups by primitive.
    groups: BTreeMap<String, String>,
    /// Primitives that two nodes may have, by intent.
    unprotected: BTreeSet<String>,
}

impl<'a> std::ops::Deref for Picture<'a> {
    type Target = Known<'a>;

    fn deref(&self) -> &Known<'a> {
        self.known
    }
}

/// The picture the policy engine plans on.
pub(crate) fn status(known: &Known<'_>) -> Status {
    let groups = lease_groups(&known.state.cib, known.facts);
    let unprotected = unprotected_primitives(&known.state.cib, known.facts);
    let known = &Picture { known, groups, unprotected };
    let nodes = known
        .state
        .members
        .values()
        .filter(|member| member.role == Role::Full)
        .map(|member| node_state(known, member.id, &member.name))
        .collect();
    Status {
        quorate: Some(known.quorate),
        dc: Some(known.coordinator.to_string()),
        nodes,
        ..Status::default()
    }
}

fn node_state(known: &Picture<'_>, node: NodeId, name: &str) -> NodeState {
    let history = known.histories.get(&node);
    let heard = known.alive.contains(&node);
    let presence = if heard { Presence::Yes } else { Presence::No };
    // A node that is heard but whose status has not come yet, or that some member cannot reach, is
    // on its way: nothing is started there, and nothing it runs is taken from it (L6).
    let joined = known.present.contains(&node) && history.is_some();
    // A dead node is unclean only for what needs to be known to have ended.
    let lost = known.dead.contains(&node)
        && history.is_some_and(|history| {
            history
                .resources
                .iter()
                .any(|(name, records)| active(records) && !given_up(known, node, name, records))
        });
    let stays = is_on_its_way(known, node) && !fences(&known.state.cib);
    let join = match (joined || stays, heard) {
        (true, _) => "member",
        (false, true) => "pending",
        (false, false) => "down",
    };
    let expected = if joined || lost || stays { "member" } else { "down" };
    let mut told = history.map(|h| resources(known, node, name, h)).unwrap_or_default();
    if heard && !joined && history.is_some() {
        told.extend(never_started(known, name, &told));
    }
    NodeState {
        id: node.to_string(),
        uname: name.to_owned(),
        in_membership: presence,
        peer_online: presence,
        join: Some(join.to_owned()),
        expected: Some(expected.to_owned()),
        has_history: history.is_some(),
        attributes: history.map(|h| h.attributes.clone()).unwrap_or_default(),
        resources: told,
        ..NodeState::default()
    }
}

/// A node that is heard and whose status is known, but that some member cannot reach. Where lost nodes are fenced the engine
/// knows such nodes (pending) and takes nothing from them. Where they are not it would forget all that they run:
/// there they stand as in maintenance, in which nothing is touched either.
pub(crate) fn is_on_its_way(known: &Known<'_>, node: NodeId) -> bool {
    let heard = known.alive.contains(&node) && !known.present.contains(&node);
    heard && known.histories.contains_key(&node)
}

/// Whether lost nodes are to be fenced.
pub(crate) fn fences(cib: &haven_cib::Cib) -> bool {
    let word = cib.option("fencing-enabled").or_else(|| cib.option("stonith-enabled"));
    !word.is_some_and(|word| {
        matches!(word.to_ascii_lowercase().as_str(), "false" | "off" | "no" | "0" | "n")
    })
}

/// The leased resources that a node has nothing to tell of. A node on its way cannot be probed, and
/// nobody may have to wait for it: without having been started there under a lease, none of them can
/// be active there.
fn never_started(
    known: &Picture<'_>,
    node: &str,
    told: &[ResourceHistory],
) -> Vec<ResourceHistory> {
    let told: BTreeSet<&str> = told.iter().map(|history| history.id.as_str()).collect();
    leased_primitives(&known.state.cib, known.facts)
        .into_iter()
        .filter(|(primitive, _)| !told.contains(primitive.id.as_str()))
        .map(|(primitive, _)| ResourceHistory {
            id: primitive.id.clone(),
            class: primitive.class.clone().unwrap_or_default(),
            provider: primitive.provider.clone(),
            kind: primitive.kind.clone().unwrap_or_default(),
            operations: vec![known_stopped(node, &primitive.id)],
            ..ResourceHistory::default()
        })
        .collect()
}

fn resources(
    known: &Picture<'_>,
    node: NodeId,
    name: &str,
    history: &NodeHistory,
) -> Vec<ResourceHistory> {
    history
        .resources
        .iter()
        .filter_map(|(resource, records)| {
            // What ran under a lease on a dead node ends with the lease: the successor's claim waits
            // for that, so the plan need not (ARCHITECTURE §5, `requires=lease`).
            let dead = known.dead.contains(&node);
            let ended = dead && given_up(known, node, resource, records);
            let leased = leased(known, resource);
            // Not what it should be, and not nothing either: it is stopped, then started.
            let failed =
                (leased && outside_of_lease(records)).then(|| with_failed_probe(records.clone()));
            let mut history = resource_history(name, resource, failed.as_ref().unwrap_or(records))?;
            for operation in &mut history.operations {
                if started_otherwise(known.facts, records, leased) && operation.operation == "start"
                {
                    operation.op_digest = Some(OTHERWISE.to_owned());
                }
            }
            if ended || superseded(known.state, node, records) {
                history.operations = vec![known_stopped(name, resource)];
            } else {
                let declares =
                    |record: &Record| declares_lease(known.facts, &record.operation.agent);
                history.unleased = dead && unleased(records) && records.values().any(declares);
            }
            Some(history)
        })
        .collect()
}

fn leased(known: &Picture<'_>, resource: &str) -> bool {
    known.groups.contains_key(resource)
}

/// What a dead node ran and a successor need not wait for: a lease that it ran under has ended by itself, with
/// `lease=off` two owners are accepted (L8), and of the rest somebody may have made sure. That the configuration
/// wants a lease by now ends nothing that was started without.
fn given_up(known: &Picture<'_>, node: NodeId, resource: &str, records: &ResourceRecords) -> bool {
    (leased(known, resource) && !unleased(records))
        || known.unprotected.contains(resource)
        || known.confirmed.contains(&node)
}

/// Stands for the parameters of a start that was made under a lease where none is wanted now, or the
/// other way round: the resource must be started anew. Not where its agent declares none: a lease that guarded nothing
/// leaves nothing behind.
const OTHERWISE: &str = "started with another lease setting";

fn started_otherwise(facts: &AgentFacts, records: &ResourceRecords, leased: bool) -> bool {
    records.get(&Slot::Last).is_some_and(|record| {
        let otherwise = record.lease.is_some() != leased;
        let guards = leased || declares_lease(facts, &record.operation.agent);
        record.operation.action == "start" && otherwise && guards
    })
}

/// A probe that found a leased resource active without its lease, after a failed stop for instance:
/// its gate is closed, nobody claims it, and it would stay silent where it is for good.
fn outside_of_lease(records: &ResourceRecords) -> bool {
    records.get(&Slot::Last).is_some_and(|last| {
        let code = last.outcome.as_ref().map(|outcome| outcome.code);
        is_probe(last) && code == Some(OcfCode::OK) && last.lease.is_none()
    })
}

fn with_failed_probe(mut records: ResourceRecords) -> ResourceRecords {
    let outcome = records.get_mut(&Slot::Last).and_then(|last| last.outcome.as_mut());
    if let Some(outcome) = outcome {
        outcome.code = OcfCode::ERROR;
        outcome.reason = "active without its lease".to_owned();
    }
    records
}

/// A resource whose lease was granted to somebody else since cannot be active here, whatever this
/// node last said of it: its gate is closed for good (L2).
fn superseded(state: &Replicated, node: NodeId, records: &ResourceRecords) -> bool {
    let Some(lease) = records.get(&Slot::Last).and_then(|record| record.lease) else {
        return false;
    };
    state.grants.values().any(|grant| {
        grant.group == lease.group && grant.epoch > lease.epoch && grant.holder != Some(node)
    })
}

/// Stands for the end that a lease brought: the resource is known not to be active there.
fn known_stopped(node: &str, resource: &str) -> OperationRecord {
    let key = format!("0:0:0:{TRANSITION_UUID}");
    OperationRecord {
        id: format!("{resource}_last_0"),
        operation_key: Some(format!("{resource}_stop_0")),
        operation: "stop".to_owned(),
        call_id: i32::MAX,
        transition_magic: Some(format!("0:0;{key}")),
        transition_key: Some(key),
        on_node: Some(node.to_owned()),
        ..OperationRecord::default()
    }
}

fn resource_history(
    node: &str,
    resource: &str,
    records: &ResourceRecords,
) -> Option<ResourceHistory> {
    let agent = &records.values().next()?.operation.agent;
    Some(ResourceHistory {
        id: resource.to_owned(),
        class: agent.standard.clone(),
        provider: agent.provider.clone(),
        kind: agent.name.clone(),
        operations: records
            .iter()
            .map(|(slot, record)| operation(node, resource, slot, record))
            .collect(),
        ..ResourceHistory::default()
    })
}

fn operation(node: &str, resource: &str, slot: &Slot, record: &Record) -> OperationRecord {
    let id = match slot {
        Slot::Last => format!("{resource}_last_0"),
        Slot::LastFailure => format!("{resource}_last_failure_0"),
        Slot::Recurring(key) => key.clone(),
    };
    let (rc, exec_status, reason) = match &record.outcome {
        None => (193, -1, None),
        Some(outcome) => {
            let status = match outcome.status {
                ExecutionStatus::Done if outcome.code == expected_code(record) => 0,
                ExecutionStatus::Done if matches!(outcome.code.0, 0 | 7 | 8 | 190 | 191) => 0,
                ExecutionStatus::Done | ExecutionStatus::Error => 4,
                ExecutionStatus::Cancelled => 1,
                ExecutionStatus::Timeout => 2,
                ExecutionStatus::NotInstalled => 7,
            };
            let reason = (!outcome.reason.is_empty()).then(|| outcome.reason.clone());
            (outcome.code.0, status, reason)
        }
    };
    let force_restart = record.operation.meta.get(haven_executor::FORCE_RESTART);
    let number = record.order.map_or(0, |order| order.number);
    let key = format!(
        "{number}:{}:{}:{}",
        record.order.map_or(0, |order| order.term.0),
        expected_code(record).0,
        TRANSITION_UUID
    );
    OperationRecord {
        id,
        operation_key: Some(record.operation.key()),
        operation: record.operation.action.clone(),
        call_id: i32::try_from(record.call).unwrap_or(i32::MAX),
        rc,
        exec_status,
        interval_ms: u32::try_from(record.operation.interval.as_millis()).unwrap_or(u32::MAX),
        transition_magic: Some(format!("{exec_status}:{rc};{key}")),
        transition_key: Some(key),
        on_node: Some(node.to_owned()),
        exit_reason: reason,
        last_rc_change: Some(record.last_change.seconds),
        exec_time_ms: u64::try_from(record.took.as_millis()).ok(),
        queue_time_ms: u64::try_from(record.queued.as_millis()).ok(),
        op_digest: Some(haven_policy::operation_digest(
            &record.operation.params,
            u64::try_from(record.operation.interval.as_millis()).unwrap_or(u64::MAX),
            record.operation.meta.get("timeout").map(String::as_str),
        )),
        op_restart_digest: force_restart.map(|list| {
            let names: Vec<&str> = list.split(' ').collect();
            let mut fixed = record.operation.params.clone();
            fixed.retain(|name, _| names.contains(&name.as_str()));
            haven_policy::operation_digest(&fixed, 0, None)
        }),
        op_force_restart: force_restart.cloned(),
        ..OperationRecord::default()
    }
}

/// Stands where the field writes the coordinator's incarnation; orders carry ours as their term.
const TRANSITION_UUID: &str = "00000000-0000-0000-0000-000000000000";
