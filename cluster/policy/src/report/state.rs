//! What the cluster is like now, as configuration and status say it: nodes, resources, failures.
//!
//! Nothing is decided for it; it is what the first phase has read, in words that can be shown.

mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The present state of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    /// Number of resource instances.
    pub instances: usize,
    /// How many of them are switched off by their target role.
    pub disabled: usize,
    /// How many of them are left alone because of a failure.
    pub blocked: usize,
    /// Nothing is managed (`maintenance-mode`).
    pub maintenance: bool,
    /// All nodes, by name; numbers in names are compared as numbers.
    pub nodes: Vec<NodeView>,
    /// Resources that are not part of another, by priority, then as configured, then removed ones.
    pub resources: Vec<ResourceView>,
    /// Failed operations, oldest first.
    pub failures: Vec<FailedOperation>,
    /// Fail counts of the nodes that are online, in the order of the status.
    pub fail_counts: Vec<NodeFailures>,
    /// Tickets that resources depend on.
    pub tickets: Vec<TicketView>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    /// A full member.
    Member,
    /// Reached through a connection resource.
    Remote,
    /// Launched by a resource: a guest, or the inside of a bundle.
    Guest,
}

/// A node's health, the worst of its `#health` attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Health {
    /// At least one is red.
    Red,
    /// At least one is yellow.
    Yellow,
    /// All are green, or there are none.
    Green,
}

/// A node as it is seen now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent fact about a node")]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// What it is.
    pub kind: NodeKind,
    /// It can be reached and takes part.
    pub online: bool,
    /// Its state is not known to be good; it is to be fenced.
    pub unclean: bool,
    /// It is about to join.
    pub pending: bool,
    /// It may run nothing.
    pub standby: bool,
    /// It may run nothing since an operation failed there (`on-fail=standby`).
    pub standby_by_failure: bool,
    /// What runs there is left alone.
    pub maintenance: bool,
    /// Its health.
    pub health: Health,
    /// Instances that run there, by id.
    pub running: Vec<String>,
    /// Its attributes, permanent and transient ones.
    pub attributes: BTreeMap<String, String>,
    /// What connectivity attributes are worth when everything answers: the attributes that `ping`
    /// resources active here set, with the number of hosts times the multiplier.
    pub connectivity: BTreeMap<String, i64>,
}

/// What a resource is composed of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceKind {
    /// One agent.
    Primitive,
    /// A list of primitives.
    Group,
    /// Many instances of a primitive or a group.
    Clone,
    /// Containers with what runs in them.
    Bundle,
}

/// A resource, or an instance of one, as it is seen now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent fact about a resource")]
pub struct ResourceView {
    /// Its id, with the instance number if it is cloned.
    pub id: String,
    /// Its id as configured.
    pub config_id: String,
    /// The id its history is kept under, where that differs from both.
    pub history_id: Option<String>,
    /// What it is composed of.
    pub kind: ResourceKind,
    /// `CLASS:PROVIDER:TYPE` of a primitive's agent.
    pub agent: Option<String>,
    /// What it does: `Stopped`, `Started`, `Unpromoted`, `Promoted`, `Unknown`.
    pub role: String,
    /// All of it is active.
    pub active: bool,
    /// Any part of it is active.
    pub partially_active: bool,
    /// Nodes it is active on.
    pub nodes: Vec<String>,
    /// The node it is taken to run on.
    pub node: Option<String>,
    /// The operation under way.
    pub pending_action: Option<String>,
    /// Where that is.
    pub pending_node: Option<String>,
    /// The node it is locked to while that is down.
    pub lock_node: Option<String>,
    /// `target-role` as configured.
    pub target_role: Option<String>,
    /// Its target role switches it off.
    pub disabled: bool,
    /// No longer configured.
    pub removed: bool,
    /// The cluster may start and stop it.
    pub managed: bool,
    /// It is left alone because of a failure.
    pub blocked: bool,
    /// It is left alone because maintenance was asked for.
    pub maintenance: bool,
    /// An operation of it has failed.
    pub failed: bool,
    /// A failure of it is ignored.
    pub failure_ignored: bool,
    /// Made by the cluster, not configured: the connection to a guest.
    pub implicit: bool,
    /// It runs only under a lease, which ends by itself when its node is lost.
    pub leased: bool,
    /// Its instances are told apart.
    pub unique: bool,
    /// It can be promoted: its instances, or, of an instance, the clone it belongs to says so.
    pub promotable: bool,
    /// The id under which a probe's verdict holds for all of what it belongs to.
    pub probed_as: String,
    /// Most instances of a clone.
    pub clone_max: i32,
    /// Nodes a clone may use, by name.
    pub candidates: Vec<String>,
    /// Image of a bundle's containers.
    pub image: Option<String>,
    /// Members of a group, instances of a clone.
    pub children: Vec<Self>,
    /// Containers of a bundle.
    pub replicas: Vec<ReplicaView>,
}

/// One container of a bundle with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaView {
    /// The address it is reached at.
    pub address: Option<String>,
    /// The instance inside.
    pub child: Option<ResourceView>,
    /// The address resource.
    pub ip: Option<ResourceView>,
    /// The container resource.
    pub container: Option<ResourceView>,
    /// The connection to the inside.
    pub remote: Option<ResourceView>,
}

/// A failed operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedOperation {
    /// `RESOURCE_OPERATION_INTERVALMS`.
    pub key: String,
    /// Name of the node.
    pub node: String,
    /// The node as the entry itself names it.
    pub on_node: Option<String>,
    /// What the agent returned (OCF code).
    pub rc: i32,
    /// How the execution ended.
    pub exec_status: i32,
    /// The executor's call number.
    pub call_id: i32,
    /// The agent's own words.
    pub exit_reason: Option<String>,
    /// Second (since 1970) of the last change of result.
    pub last_rc_change: Option<i64>,
    /// Queue time in milliseconds.
    pub queue_time_ms: Option<u64>,
    /// Execution time in milliseconds.
    pub exec_time_ms: Option<u64>,
    /// A probe whose failure only means that the resource cannot run there.
    pub masked_probe: bool,
}

/// Fail counts on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFailures {
    /// Name of the node.
    pub node: String,
    /// What has failed there, in the order of its history.
    pub resources: Vec<ResourceFailures>,
}

/// How often a resource has failed on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceFailures {
    /// Id in the history.
    pub resource: String,
    /// So many failures make it leave the node; 1,000,000 is never.
    pub migration_threshold: i32,
    /// How often it has failed; 1,000,000 is for good.
    pub count: i32,
    /// Second (since 1970) of the last failure.
    pub last: Option<i64>,
}

/// A ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketView {
    /// Its name.
    pub id: String,
    /// Granted to this site.
    pub granted: bool,
    /// Asked to stand by.
    pub standby: bool,
}
