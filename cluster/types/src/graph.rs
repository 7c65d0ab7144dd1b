//! The transition graph: what the policy engine decides and the transition engine carries out.
//!
//! A graph is a list of actions. Each action waits for its [`Action::inputs`]; nothing else orders
//! them. The words are Pacemaker's: `operation_key` is `RESOURCE_OPERATION_INTERVALMS`, meta
//! attributes are kept without their `CRM_meta_` prefix.
//!
//! Two crates meet here: `policy` makes graphs, `transition` runs them; neither imports the other.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The number of an action within its graph; counts from 0 and is its index in
/// [`TransitionGraph::actions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActionId(pub u32);

impl ActionId {
    /// The index of this action in [`TransitionGraph::actions`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Everything to be done to bring the cluster from its present state to the decided one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionGraph {
    /// Round trip allowance between nodes (`cluster-delay`), as written.
    pub cluster_delay: String,
    /// How long a fencing action may take (`fencing-timeout`), as written.
    pub fencing_timeout: String,
    /// What a failed stop does to the fail count: `INFINITY`.
    pub failed_stop_offset: Option<String>,
    /// What a failed start does to the fail count: `INFINITY` or `1`.
    pub failed_start_offset: Option<String>,
    /// Most actions in flight at once; 0 is no limit (`batch-limit`).
    pub batch_limit: String,
    /// Most live migrations in flight at once on a node (`migration-limit`).
    pub migration_limit: Option<String>,
    /// Seconds since 1970 at which the decision may change by itself (a date rule, an expiring
    /// failure); plan again then.
    pub recheck_by: Option<i64>,
    /// The actions, by [`ActionId`].
    pub actions: Vec<Action>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Its index in the graph.
    pub id: ActionId,
    /// Who carries it out.
    pub kind: ActionKind,
    /// What to do: `start`, `stop`, `monitor`, `promote`, `demote`, `notify`, `migrate_to`,
    /// `migrate_from`, `reload-agent`, `cancel`, `delete`, `stonith`, `do_shutdown`,
    /// `clear_failcount`, `lrm_delete`, `lease_ended`, or the name of a pseudo event.
    pub operation: String,
    /// `RESOURCE_OPERATION_INTERVALMS`; unique together with the node.
    pub operation_key: String,
    /// The key with the instance number, when `operation_key` has none.
    pub internal_operation_key: Option<String>,
    /// Where it happens; for a fencing event the node to be fenced, for `lease_ended` the node
    /// whose lease must have ended. Pseudo events have none.
    pub node: Option<ActionNode>,
    /// The resource operated on.
    pub resource: Option<ActionResource>,
    /// Instance parameters for the agent. Of `maintenance_nodes`, the ids of remote nodes with `1`
    /// for those now in maintenance and `0` for those no longer in it.
    pub params: BTreeMap<String, String>,
    /// Meta attributes without `CRM_meta_` and with dashes turned to underscores: `timeout` and
    /// `interval` in milliseconds, `op_target_rc`, `on_fail`, `name`, …
    pub meta: BTreeMap<String, String>,
    /// Node ids that a success of this action takes down.
    pub downed: Vec<String>,
    /// Higher goes first where there is a choice; 0 when nothing asks for more.
    pub priority: i32,
    /// The limit of the operation, where it has one.
    pub timeout: Option<Duration>,
    /// Locked to its node since this second (`shutdown-lock`).
    pub shutdown_lock: Option<i64>,
    /// Actions that must have ended well before this one may begin.
    pub inputs: Vec<ActionId>,
}

/// Who carries an action out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ActionKind {
    /// The executor of the action's node (`rsc_op`).
    Resource,
    /// Nobody: it is done when its inputs are (`pseudo_event`).
    Pseudo,
    /// The cluster itself (`crm_event`): fencing, shutdown, fail counts, `lease_ended`.
    Cluster,
}

/// Where an action happens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActionNode {
    /// Node name.
    pub uname: String,
    /// Node id.
    pub id: String,
    /// The cluster node that hosts the connection, when the node is remote or a guest.
    pub router: Option<String>,
}

/// The resource an action is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActionResource {
    /// The id used in operation history: of an anonymous clone's instance, the bare one.
    pub id: String,
    /// `PARENT:INSTANCE` form, or the instance's full id where `id` is bare.
    pub long_id: Option<String>,
    /// Agent class, such as `ocf`.
    pub class: String,
    /// Agent provider; only classes that have providers.
    pub provider: Option<String>,
    /// Agent type.
    pub kind: String,
}

impl TransitionGraph {
    /// The action with this id.
    #[must_use]
    pub fn action(&self, id: ActionId) -> Option<&Action> {
        self.actions.get(id.index())
    }

    /// True when there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }
}

impl Action {
    /// A meta attribute by its name without `CRM_meta_`.
    #[must_use]
    pub fn meta(&self, name: &str) -> Option<&str> {
        self.meta.get(name).map(String::as_str)
    }

    /// The interval of a recurring operation; zero for all others.
    #[must_use]
    pub fn interval(&self) -> Duration {
        let ms = self.meta("interval").and_then(|v| v.parse().ok()).unwrap_or(0);
        Duration::from_millis(ms)
    }

    /// The result code that counts as success; 0 unless said otherwise.
    #[must_use]
    pub fn target_rc(&self) -> i32 {
        self.meta("op_target_rc").and_then(|v| v.parse().ok()).unwrap_or(0)
    }
}
