//! The cluster as one node sees it.

use haven_base::WallTime;
use serde::{Deserialize, Serialize};

use crate::{Verdict, Version};

/// The first screen: everything an operator asks first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The whole in one line. Filled by [`Status::judge`].
    pub verdict: Verdict,
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the node that answers.
    pub node: String,
    /// When, by that node's civil clock.
    pub at: WallTime,
    /// Version of the configuration in force.
    pub configuration: Version,
    /// The coordinator, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<Coordinator>,
    /// Votes.
    pub quorum: QuorumStatus,
    /// Every configured node, in order of number.
    pub nodes: Vec<NodeStatus>,
    /// Every configured resource, in the order of the configuration.
    pub resources: Vec<ResourceStatus>,
    /// Moves and bans in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intents: Vec<Intent>,
    /// Failures that have not been cleaned up, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedAction>,
    /// Actions under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingAction>,
    /// Other things that want attention, one sentence each (a read-only disk, a missing hook …).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
}

/// Who plans at the moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Coordinator {
    /// Name of the node.
    pub node: String,
    /// Consensus term of its election.
    pub term: u64,
    /// Milliseconds since it took over.
    pub for_ms: u64,
}

/// Votes, and what follows from them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct QuorumStatus {
    /// The answering node's partition may act.
    pub quorate: bool,
    /// Votes of the members that this node sees.
    pub present: u32,
    /// Votes of all configured members.
    pub expected: u32,
    /// Votes needed to act.
    pub needed: u32,
    /// Why it is quorate or not, in one sentence.
    pub reason: String,
    /// What to do where it is not quorate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Each member's votes.
    pub votes: Vec<Vote>,
}

/// One member's part in the quorum.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Vote {
    /// Name of the member.
    pub node: String,
    /// Its votes.
    pub votes: u32,
    /// They count at present.
    pub present: bool,
}

/// What a node does at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// Member of the view, may run resources.
    Online,
    /// Member of the view, asked to run nothing.
    Standby,
    /// Member of the view, nothing on it is started, stopped or monitored.
    Maintenance,
    /// Heard, and has not told yet what it runs; nothing is started there.
    Pending,
    /// Heard by the node that answers, and not by every other one: nothing is started there, and nothing
    /// is taken from it.
    Suspect,
    /// Not heard; it ran nothing but what had a lease, which has ended.
    Offline,
    /// Not heard; it may still run something that no lease ends.
    Unclean,
}

impl NodeState {
    /// The word that a table prints.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Standby => "standby",
            Self::Maintenance => "maintenance",
            Self::Pending => "pending",
            Self::Suspect => "suspect",
            Self::Offline => "offline",
            Self::Unclean => "unclean",
        }
    }

    /// The node is a member of the view and takes part in everything.
    #[must_use]
    pub const fn is_member(self) -> bool {
        match self {
            Self::Online | Self::Standby | Self::Maintenance | Self::Suspect => true,
            Self::Pending | Self::Offline | Self::Unclean => false,
        }
    }
}

/// One node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u16,
    /// A witness votes and answers beats but runs nothing.
    pub witness: bool,
    /// What it does.
    pub state: NodeState,
    /// Milliseconds in that state; none when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// How many resources are active there.
    pub running: u32,
    /// The answering node's links to it; empty for the answering node itself.
    pub links: Vec<LinkHealth>,
    /// One line of trouble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// Whether a link carries beats.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// Beats arrive and are answered.
    Up,
    /// One direction only, or heavy loss.
    Degraded,
    /// Nothing arrives.
    Down,
}

/// A link as measured from the answering node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkHealth {
    /// Its number, 0 to 7.
    pub number: u8,
    /// Whether it carries beats.
    pub state: LinkState,
    /// Median round trip in microseconds; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// Share of beats lost, in thousandths.
    pub loss_permille: u16,
}

/// What a resource consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// A single resource.
    Primitive,
    /// Members that live together, in order.
    Group,
    /// The same resource on several nodes.
    Clone,
    /// A resource in containers.
    Bundle,
}

/// A resource's role on a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Not active.
    Stopped,
    /// Active.
    Started,
    /// Active as the promoted instance.
    Promoted,
    /// Active, not promoted.
    Unpromoted,
    /// On its way up.
    Starting,
    /// On its way down.
    Stopping,
    /// Its last operation failed.
    Failed,
    /// No answer from the node.
    Unknown,
}

impl Role {
    /// The word that a table prints.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stopped => "Stopped",
            Self::Started => "Started",
            Self::Promoted => "Promoted",
            Self::Unpromoted => "Unpromoted",
            Self::Starting => "Starting",
            Self::Stopping => "Stopping",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        }
    }
}

/// Whether the kernel lets the address's traffic through on its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Traffic passes until the lease ends.
    Open,
    /// The host is silent for the address.
    Closed,
    /// The owner did not report it.
    Unknown,
}

impl Gate {
    /// The word that a table prints.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Unknown => "unknown",
        }
    }
}

/// The lease under which a resource is active.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaseState {
    /// How often the lease group was granted.
    pub epoch: u64,
    /// Name of the holder; none while nobody holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Milliseconds until it ends unless renewed, as the holder last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
    /// The duration that the holder asks for at present, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The gate in the holder's kernel.
    pub gate: Gate,
}

/// Where a resource is active.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Active {
    /// Name of the node.
    pub node: String,
    /// Its role there.
    pub role: Role,
    /// Milliseconds in that role; none when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
}

/// One resource.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// Its id.
    pub id: String,
    /// What it consists of.
    pub kind: ResourceKind,
    /// `class:provider:type` of a primitive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What the configuration wants.
    pub target: Role,
    /// The cluster starts and stops it.
    pub managed: bool,
    /// Where it is active; empty when it is stopped. A resource with children may leave it empty.
    pub active: Vec<Active>,
    /// Its lease; none when it needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseState>,
    /// Why two owners are possible; none when they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unprotected: Option<String>,
    /// How often it failed and was not cleaned up, on all nodes together; 1 000 000 stands for INFINITY.
    #[serde(default)]
    pub fail_count: u32,
    /// One line of trouble: why it is not where or what it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Members of a group, or the resource that a clone repeats.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Self>,
}

impl ResourceStatus {
    /// It should be active and is, everywhere it has been asked for.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let wanted = self.target != Role::Stopped;
        let up = |active: &Active| {
            matches!(active.role, Role::Started | Role::Promoted | Role::Unpromoted)
        };
        self.trouble.is_none()
            && (!wanted
                || !self.children.is_empty()
                || (!self.active.is_empty() && self.active.iter().all(up)))
            && self.children.iter().all(Self::is_well)
    }
}

/// A wish of an operator that binds the placement until it is cleared.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Intent {
    /// The resource.
    pub resource: String,
    /// In words: `prefer n2`, `avoid n1`.
    pub wish: String,
    /// Id of the constraint that carries it.
    pub constraint: String,
    /// Its time is over: it says nothing any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
}

/// An operation that failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FailedAction {
    /// The resource.
    pub resource: String,
    /// The operation: `start`, `monitor` …
    pub operation: String,
    /// Interval of a recurring operation in milliseconds, 0 otherwise.
    #[serde(default)]
    pub interval_ms: u64,
    /// Name of the node.
    pub node: String,
    /// OCF exit code.
    pub rc: u8,
    /// Exit reason in the agent's words.
    pub reason: String,
    /// Milliseconds since.
    pub ago_ms: u64,
    /// The same operation has worked there since.
    #[serde(default)]
    pub later_succeeded: bool,
}

/// Failures of one operation of a resource on a node, as they are counted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FailureRow {
    /// The resource.
    pub resource: String,
    /// Name of the node.
    pub node: String,
    /// The operation: `start`, `monitor` …
    pub operation: String,
    /// Interval of a recurring operation in milliseconds, 0 otherwise.
    pub interval_ms: u64,
    /// How often; 1 000 000 stands for INFINITY.
    pub count: u32,
    /// Second of the last one, since 1970, by the node's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<i64>,
    /// OCF exit code of the last one, while it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rc: Option<i32>,
    /// Exit reason of the last one in the agent's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// An operation under way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PendingAction {
    /// The resource.
    pub resource: String,
    /// The operation.
    pub operation: String,
    /// Name of the node.
    pub node: String,
    /// Milliseconds since it was ordered.
    pub elapsed_ms: u64,
    /// Milliseconds after which it counts as failed.
    pub timeout_ms: u64,
}
