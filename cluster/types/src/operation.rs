//! Operations on resources: what the coordinator orders, what an agent answers, what is recorded.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use haven_base::WallTime;
use serde::{Deserialize, Serialize};

use crate::{Epoch, GroupId, NodeId, Term};

/// Which agent acts on a resource, in the notation `standard:provider:name` (`ocf:haven:ip`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct AgentName {
    /// `ocf`, `systemd`, `service`, `lsb` or `stonith`.
    pub standard: String,
    /// Second part of an OCF name; absent for the other standards.
    pub provider: Option<String>,
    /// The agent itself.
    pub name: String,
}

impl AgentName {
    /// Whether the agent is part of the daemon: what it does costs no process.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.standard == "ocf" && self.provider.as_deref() == Some("haven")
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.provider {
            Some(provider) => write!(f, "{}:{provider}:{}", self.standard, self.name),
            None => write!(f, "{}:{}", self.standard, self.name),
        }
    }
}

/// One call of an agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Operation {
    /// The resource instance, as the history names it.
    pub resource: String,
    /// Who performs it.
    pub agent: AgentName,
    /// `start`, `stop`, `monitor`, `promote`, …
    pub action: String,
    /// Zero for a single call, else the time between two calls.
    pub interval: Duration,
    /// From the order's arrival to the agent's answer. Zero means the agent's own default.
    pub timeout: Duration,
    /// Instance parameters.
    pub params: BTreeMap<String, String>,
    /// Meta attributes as the agent sees them (`CRM_meta_…` without the prefix).
    pub meta: BTreeMap<String, String>,
}

impl Operation {
    /// The field's name of an operation: `vip_monitor_10000` (interval in milliseconds).
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}_{}_{}", self.resource, self.action, self.interval.as_millis())
    }
}

/// Exit code of an agent (OCF resource agent API 1.1 §3.6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OcfCode(pub i32);

impl OcfCode {
    /// The action succeeded; of a monitor: running.
    pub const OK: Self = Self(0);
    /// Failed without a better code; soft.
    pub const ERROR: Self = Self(1);
    /// The parameters cannot work on this node.
    pub const BAD_ARGUMENTS: Self = Self(2);
    /// The agent does not know the action.
    pub const UNIMPLEMENTED: Self = Self(3);
    /// The daemon lacks a permission.
    pub const NO_PERMISSION: Self = Self(4);
    /// A tool or device that the agent needs is missing on this node.
    pub const NOT_INSTALLED: Self = Self(5);
    /// The parameters cannot work on any node.
    pub const BAD_CONFIGURATION: Self = Self(6);
    /// Cleanly stopped.
    pub const NOT_RUNNING: Self = Self(7);
}

impl fmt::Display for OcfCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.0 {
            0 => "ok",
            1 => "error",
            2 => "invalid parameter",
            3 => "unimplemented action",
            4 => "insufficient privileges",
            5 => "not installed",
            6 => "not configured",
            7 => "not running",
            8 => "promoted",
            9 => "promoted (failed)",
            190 => "degraded",
            191 => "promoted (degraded)",
            other => return write!(f, "exit code {other}"),
        };
        f.write_str(word)
    }
}

/// How the execution itself ended, apart from what the agent said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ExecutionStatus {
    /// The agent answered.
    Done,
    /// No answer within the timeout.
    Timeout,
    /// No such agent here.
    NotInstalled,
    /// Taken back before it ran, or the lease it needed was never gained.
    Cancelled,
    /// The agent could not be run at all.
    Error,
}

/// What an agent answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// How the execution ended.
    pub status: ExecutionStatus,
    /// The agent's exit code; [`OcfCode::ERROR`] where there was none.
    pub code: OcfCode,
    /// One sentence for the operator; empty on success.
    pub reason: String,
}

impl Outcome {
    /// An answer with this code and reason.
    #[must_use]
    pub fn done(code: OcfCode, reason: impl Into<String>) -> Self {
        Self { status: ExecutionStatus::Done, code, reason: reason.into() }
    }
}

/// The lease a resource runs under.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// What is leased.
    pub group: GroupId,
    /// Which grant.
    pub epoch: Epoch,
}

/// Names one order for as long as anybody may answer it: answers to unknown orders are ignored.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct OrderId {
    /// Term of the coordinator that gave the order; executors refuse lower terms (L7).
    pub term: Term,
    /// Counts the orders of that term.
    pub number: u64,
}

/// What the coordinator tells an executor to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Name of the order.
    pub id: OrderId,
    /// What to do.
    pub operation: Operation,
    /// For a start: the lease without which it must not happen. For a stop: the lease to give up.
    pub lease: Option<Lease>,
    /// Take back the recurring operation named by `operation` instead of running it.
    pub cancel: bool,
}

/// The recorded end of an operation, the unit of a node's status.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OperationRecord {
    /// Where it ran.
    pub node: NodeId,
    /// What ran.
    pub operation: Operation,
    /// What came of it; absent while it is still running.
    pub outcome: Option<Outcome>,
    /// Rises with every record of a node.
    pub call: u64,
    /// When the first of a run of equal results was seen.
    pub last_change: WallTime,
    /// How long the agent took.
    pub took: Duration,
    /// How long the order waited before the agent was called.
    pub queued: Duration,
    /// The order that caused it; absent for later calls of a recurring operation.
    pub order: Option<OrderId>,
    /// The lease it ran under.
    pub lease: Option<Lease>,
}
