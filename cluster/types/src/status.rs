//! The status of the cluster: what is known about nodes, operations and tickets.
//!
//! Soft state: each node owns its part, the coordinator collects it. Nothing here is
//! configuration. Names follow the status section of a CIB.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All that is known of the present.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether this partition has quorum; unknown counts as no.
    pub quorate: Option<bool>,
    /// Quorum was had before and lost (`no-quorum-panic`); lets `no-quorum-policy=fence` act.
    pub quorum_lost: bool,
    /// Node id of the coordinator (DC).
    pub dc: Option<String>,
    /// The second (since 1970) this was recorded at, if it is a saved one.
    pub recorded_at: Option<i64>,
    /// One entry for each node ever seen, in the order they became known.
    pub nodes: Vec<NodeState>,
    /// Tickets of a multi-site cluster.
    pub tickets: Vec<TicketState>,
}

impl Status {
    /// The state of the node with this name.
    #[must_use]
    pub fn node(&self, uname: &str) -> Option<&NodeState> {
        self.nodes.iter().find(|n| n.uname == uname)
    }

    /// The state of the node with this name, to be changed.
    pub fn node_mut(&mut self, uname: &str) -> Option<&mut NodeState> {
        self.nodes.iter_mut().find(|n| n.uname == uname)
    }
}

/// Present or not, and since when. Old writers give only yes or no.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Presence {
    /// Never told.
    #[default]
    Unknown,
    /// No.
    No,
    /// Yes, since a time unknown.
    Yes,
    /// Yes, since this second (since 1970).
    Since(i64),
}

impl Presence {
    /// True for both kinds of yes.
    #[must_use]
    pub const fn is_yes(self) -> bool {
        matches!(self, Self::Yes | Self::Since(_))
    }
}

/// The state of one node, as far as it was told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Node id.
    pub id: String,
    /// Node name.
    pub uname: String,
    /// True for a remote or guest node, which has no membership of its own.
    pub remote: bool,
    /// In the membership (`in_ccm`).
    pub in_membership: Presence,
    /// Its controller answers (`crmd`).
    pub peer_online: Presence,
    /// How far it has joined (`join`): `down`, `pending`, `member`, `banned`.
    pub join: Option<String>,
    /// What it should be (`expected`): `member`, `down`.
    pub expected: Option<String>,
    /// Written while the node was fenced and has not been seen since (`node_fenced`).
    pub node_fenced: Option<String>,
    /// Maintenance as told by a remote node's own entry.
    pub remote_maintenance: Option<String>,
    /// Whether an executor's history was recorded at all.
    pub has_history: bool,
    /// Transient attributes: `standby`, `shutdown`, `fail-count-…`, `master-…`, `#health-…`.
    pub attributes: BTreeMap<String, String>,
    /// Transient utilization.
    pub utilization: BTreeMap<String, String>,
    /// Operation history, one entry for each resource seen there.
    pub resources: Vec<ResourceHistory>,
}

impl NodeState {
    /// A node that is a full, joined and healthy member.
    #[must_use]
    pub fn member(id: impl Into<String>, uname: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            uname: uname.into(),
            in_membership: Presence::Yes,
            peer_online: Presence::Yes,
            join: Some("member".into()),
            expected: Some("member".into()),
            has_history: true,
            ..Self::default()
        }
    }

    /// The history of a resource on this node.
    #[must_use]
    pub fn resource(&self, id: &str) -> Option<&ResourceHistory> {
        self.resources.iter().find(|r| r.id == id)
    }
}

/// What is known of one resource on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceHistory {
    /// Resource id; of an anonymous clone's instance usually the bare one.
    pub id: String,
    /// Agent class.
    pub class: String,
    /// Agent provider.
    pub provider: Option<String>,
    /// Agent type.
    pub kind: String,
    /// The container it ran in.
    pub container: Option<String>,
    /// Locked to this node by a clean shutdown since this second.
    pub shutdown_lock: Option<i64>,
    /// It may be active there under no lease, so the end of none stands in for the fencing of the node.
    #[serde(default)]
    pub unleased: bool,
    /// Operations, in the order recorded.
    pub operations: Vec<OperationRecord>,
}

/// One entry of the operation history (`lrm_rsc_op`). Absent fields are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationRecord {
    /// Entry id, such as `web_last_0`.
    pub id: String,
    /// `RESOURCE_OPERATION_INTERVALMS`.
    pub operation_key: Option<String>,
    /// `start`, `stop`, `monitor`, …
    pub operation: String,
    /// The executor's call number; −1 while pending.
    pub call_id: i32,
    /// What the agent returned (OCF code).
    pub rc: i32,
    /// How the execution ended: 0 done, −1 pending, 1 cancelled, 2 timeout, 3 not supported,
    /// 4 error, 7 not installed, …
    pub exec_status: i32,
    /// Interval in milliseconds; 0 for one-time operations.
    pub interval_ms: u32,
    /// `ACTION:TRANSITION:TARGET_RC:UUID` of the action this answers.
    pub transition_key: Option<String>,
    /// `STATUS:RC;` and the transition key.
    pub transition_magic: Option<String>,
    /// Node name it ran on.
    pub on_node: Option<String>,
    /// The agent's own words about a failure.
    pub exit_reason: Option<String>,
    /// Second (since 1970) of the last change of result.
    pub last_rc_change: Option<i64>,
    /// Second of the last execution.
    pub last_run: Option<i64>,
    /// Execution time in milliseconds.
    pub exec_time_ms: Option<u64>,
    /// Queue time in milliseconds.
    pub queue_time_ms: Option<u64>,
    /// Digest of all parameters.
    pub op_digest: Option<String>,
    /// Digest of the parameters that force a restart.
    pub op_restart_digest: Option<String>,
    /// Digest without private parameters.
    pub op_secure_digest: Option<String>,
    /// Names of the parameters that force a restart, separated by blanks.
    pub op_force_restart: Option<String>,
    /// Names of the private parameters, separated by blanks.
    pub op_secure_params: Option<String>,
    /// Where a migration came from.
    pub migrate_source: Option<String>,
    /// Where a migration goes.
    pub migrate_target: Option<String>,
    /// Feature set of the writer.
    pub crm_feature_set: Option<String>,
}

/// A ticket as this site sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketState {
    /// Ticket name.
    pub id: String,
    /// Granted to this site.
    pub granted: bool,
    /// Second it was last granted.
    pub last_granted: Option<i64>,
    /// Asked to stand by.
    pub standby: bool,
    /// All attributes as written.
    pub attributes: BTreeMap<String, String>,
}
