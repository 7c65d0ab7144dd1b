//! What can be asked of a daemon.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{AttributeLifetime, Format, Load, LoadMode, ObjectEdit, Version};

/// How long `node standby` holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StandbyLifetime {
    /// Until `node online`.
    #[default]
    Forever,
    /// Until the node's daemon starts anew.
    Reboot,
}

/// One request. Names of nodes, resources and addresses are those of the configuration.
///
/// `wait: true` asks the daemon to report [`ReplyBody::Progress`](crate::ReplyBody::Progress) until the
/// cluster has carried the change out, at most `timeout_ms`; otherwise the answer comes as soon as the
/// change is committed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do", deny_unknown_fields)]
pub enum RequestBody {
    /// Who is there: versions, node, boot. Answered with `Hello`, without the coordinator.
    Hello,
    /// The cluster as this node sees it. Answered with `Status`.
    Status,
    /// A `Status` now and once in each interval, and the events as they happen; ends with the connection.
    Watch {
        /// Send events, from the one after this cursor; none sends only those to come.
        #[serde(default)]
        after: Option<u64>,
        /// Milliseconds from one `Status` to the next, 50 to 60 000; 1 000 when not given.
        #[serde(default)]
        interval_ms: Option<u64>,
    },
    /// Events, each once, in order. Answered with `Event`, and `EventsMissed` where some are gone; ends with
    /// `EventsEnd` unless it follows.
    Events {
        /// From the one after this cursor; none means all that are kept, or with `follow` only those to come.
        #[serde(default)]
        after: Option<u64>,
        /// The life of the daemon that the cursor is of; none means the present one.
        #[serde(default)]
        boot: Option<u64>,
        /// Stay for those to come; ends with the connection.
        #[serde(default)]
        follow: bool,
    },
    /// This node's counters (packets refused, beats lost, gate writes …). Answered with `Counters`.
    Counters,
    /// The configuration. Answered with `Configuration`.
    ConfigureShow {
        /// The notation wanted.
        #[serde(default)]
        format: Format,
    },
    /// What the coordinator plans with: configuration and status as one CIB document, as Pacemaker's tools read
    /// it. Answered with `Configuration` in XML.
    PlanningInput,
    /// Change the configuration as one transaction. Answered with `Committed`, or an error with all
    /// findings, in which case nothing has changed.
    ConfigureLoad(Load),
    /// Change objects of the configuration by name, as one transaction. Answered with `Committed`, or an error that says
    /// what is in the way, in which case nothing has changed.
    ConfigureChange {
        /// What to do.
        change: ObjectEdit,
        /// Refuse with [`Code::StaleWrite`](crate::Code::StaleWrite) unless this is the current version.
        #[serde(default)]
        expected: Option<Version>,
        /// Delete what runs, too, and accept findings that are unsafe but not contradictory.
        #[serde(default)]
        force: bool,
        /// What the change is for, for the log; none says what was changed.
        #[serde(default)]
        message: Option<String>,
    },
    /// The latest changes of the configuration, newest first. Answered with `ConfigurationLog`, without the
    /// coordinator.
    ConfigureLog {
        /// So many at most; none means all that are kept.
        #[serde(default)]
        limit: Option<usize>,
    },
    /// What differs between two versions. Answered with `ConfigurationDiff`, without the coordinator.
    ConfigureDiff {
        /// The older one; none is the one before the latest change.
        #[serde(default)]
        from: Option<Version>,
        /// The newer one; none is the one in force.
        #[serde(default)]
        to: Option<Version>,
    },
    /// Take one change of the configuration back, by a new change. Answered with `Committed`, or an error that says
    /// what is in the way, in which case nothing has changed.
    ConfigureUndo {
        /// The version that the change made; none is the latest.
        #[serde(default)]
        version: Option<Version>,
        /// What this is for, for the log; none names the change that is taken back.
        #[serde(default)]
        message: Option<String>,
        /// Do it in spite of findings that are unsafe but not contradictory.
        #[serde(default)]
        force: bool,
    },
    /// Judge a configuration without loading it. Answered with `Verified`.
    ConfigureVerify {
        /// The text to judge as `ConfigureLoad` would; none judges the live configuration.
        #[serde(default)]
        text: Option<String>,
        /// Notation of `text`.
        #[serde(default)]
        format: Format,
        /// How `text` would be loaded.
        #[serde(default)]
        mode: LoadMode,
        /// What no schema knows would be kept.
        #[serde(default)]
        lenient: bool,
    },
    /// Put a node into standby, or take it back. Answered with `Done`.
    NodeStandby {
        /// The node; none is the daemon's own.
        #[serde(default)]
        node: Option<String>,
        /// True for standby, false for online.
        on: bool,
        /// When standby ends by itself.
        #[serde(default)]
        lifetime: StandbyLifetime,
        /// Wait until the node is empty.
        #[serde(default)]
        wait: bool,
        /// How long to wait, in milliseconds; none is 60 000.
        #[serde(default)]
        timeout_ms: Option<u64>,
    },
    /// Attributes of nodes. Answered with `Attributes`, without the coordinator.
    NodeAttributes {
        /// Only of this node; none means every one.
        #[serde(default)]
        node: Option<String>,
        /// Only of this name; none means every one.
        #[serde(default)]
        name: Option<String>,
    },
    /// Set or delete an attribute of a node. Answered with `Done`.
    NodeAttributeSet {
        /// The node; none is the daemon's own.
        #[serde(default)]
        node: Option<String>,
        /// Name of the attribute.
        name: String,
        /// Its new value; `value++` and `value+=N` count from the present one; none deletes it.
        #[serde(default)]
        value: Option<String>,
        /// How long it lives.
        #[serde(default)]
        lifetime: AttributeLifetime,
        /// Hold changes of this attribute back until so many milliseconds have passed since the last, on
        /// whichever node; none keeps what was said before, at first 0. Only with lifetime `reboot`.
        #[serde(default)]
        delay_ms: Option<u64>,
        /// Never use it for planning. Only with lifetime `reboot`.
        #[serde(default)]
        private: bool,
    },
    /// Put a node into maintenance (nothing on it is started, stopped or watched), or take it back.
    /// Answered with `Done`.
    NodeMaintenance {
        /// The node; none is the daemon's own.
        #[serde(default)]
        node: Option<String>,
        /// True for maintenance, false for ready.
        on: bool,
        /// Wait until it is done.
        #[serde(default)]
        wait: bool,
        /// How long to wait, in milliseconds; none is 60 000.
        #[serde(default)]
        timeout_ms: Option<u64>,
    },
    /// Somebody has made sure that a node is off: what waits for its fencing may start elsewhere. Refused while it is heard
    /// and within a minute after. Answered with `Done`.
    NodeConfirmDead {
        /// The node.
        node: String,
        /// How that is known, for the log.
        reason: String,
        /// Wait until what waited for it has started.
        #[serde(default)]
        wait: bool,
        /// How long to wait, in milliseconds; none is 60 000.
        #[serde(default)]
        timeout_ms: Option<u64>,
    },
    /// Forbid a resource a node. Answered with `Done`.
    ResourceBan {
        /// The resource.
        resource: String,
        /// The node; none means where it runs now.
        #[serde(default)]
        node: Option<String>,
        /// How long, in milliseconds; none is until it is cleared, or as `lifetime` says.
        #[serde(default)]
        lifetime_ms: Option<u64>,
        /// How long, as ISO 8601 writes it: `PT30M`, `P1DT12H`, `P1M`; at most ten years.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lifetime: Option<String>,
        /// Wait until it is done.
        #[serde(default)]
        wait: bool,
        /// How long to wait, in milliseconds; none is 60 000.
        #[serde(default)]
        timeout_ms: Option<u64>,
    },
    /// Stop a resource where it runs and start it again. Answered with `Done`.
    ResourceRestart {
        /// The resource.
        resource: String,
        /// Only on this node.
        #[serde(default)]
        node: Option<String>,
        /// Wait until it is done.
        #[serde(default)]
        wait: bool,
        /// How long to wait, in milliseconds; none is 60 000.
        #[serde(default)]
        timeout_ms: Option<u64>,
    },
    /// Forget failures and all else that is known of a resource, and ask anew. Answered with `Done`.
    ResourceRefresh {
        /// The resource; none means every one.
        #[serde(default)]
        resource: Option<String>,
        /// Only on this node.
        #[serde(default)]
        node: Option<String>,
    },
    /// Failures as they are counted. Answered with `Failures`, without the coordinator.
    ResourceFailures {
        /// The resource; none means every one.
        #[serde(default)]
        resource: Option<String>,
        /// Only on this node.
        #[serde(default)]
        node: Option<String>,
    },
    /// Have an OCF agent note down what it does, or no more. Answered with `Done`.
    ResourceTrace {
        /// The resource, a primitive.
        resource: String,
        /// The operation.
        operation: String,
        /// True to begin, false to end with every operation.
        on: bool,
    },
    /// Ask for a resource to run elsewhere. Answered with `Done`.
    ResourceMove {
        /// The resource.
        resource: String,
        /// Where to; none means anywhere but where it runs now.
        #[serde(default)]
        node: Option<String>,
        /// How long the wish counts, as ISO 8601 writes it: `PT30M`, `P1DT12H`, `P1M`; at most ten years. None is until
        /// it is cleared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lifetime: Option<String>,
        /// Wait until it runs there.
        #[serde(default)]
        wait: bool,
        /// How long to wait, in milliseconds; none is 60 000.
        #[serde(default)]
        timeout_ms: Option<u64>,
    },
    /// Forget earlier moves and bans. Answered with `Done`.
    ResourceClear {
        /// Of this resource; none means of every one, with `expired` only.
        #[serde(default)]
        resource: Option<String>,
        /// Only those whose time is over.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        expired: bool,
    },
    /// Set a resource's target role to `Started`. Answered with `Done`.
    ResourceStart {
        /// The resource.
        resource: String,
        /// Wait until it runs.
        #[serde(default)]
        wait: bool,
        /// How long to wait, in milliseconds; none is 60 000.
        #[serde(default)]
        timeout_ms: Option<u64>,
    },
    /// Set a resource's target role to `Stopped`. Answered with `Done`.
    ResourceStop {
        /// The resource.
        resource: String,
        /// Wait until it is stopped everywhere.
        #[serde(default)]
        wait: bool,
        /// How long to wait, in milliseconds; none is 60 000.
        #[serde(default)]
        timeout_ms: Option<u64>,
    },
    /// Forget the failures of a resource, or of all. Answered with `Done`.
    ResourceCleanup {
        /// The resource; none means every one.
        #[serde(default)]
        resource: Option<String>,
        /// Only failures on this node.
        #[serde(default)]
        node: Option<String>,
    },
    /// A new single-use token for one node to join with. Answered with `Token`.
    ClusterToken {
        /// How long it is good for, in milliseconds, at most and by default 24 hours.
        #[serde(default)]
        lifetime_ms: Option<u64>,
    },
    /// This node leaves the cluster for good. Answered with `Done`.
    ClusterLeave {
        /// Leave although the rest will have no quorum, or without asking it.
        #[serde(default)]
        force: bool,
    },
    /// Remove another node that is gone for good. Answered with `Done`.
    ClusterRemoveNode {
        /// The node.
        node: String,
        /// Remove it although it is online.
        #[serde(default)]
        force: bool,
    },
    /// All addresses of the cluster. Answered with `Addresses`.
    IpStatus,
    /// Who owns an address and why. Answered with `Why`.
    IpWhy {
        /// The address.
        address: IpAddr,
    },
    /// Hand the coordinator's duties to another node. Answered with `Done`.
    Handover {
        /// The successor; none lets the coordinator choose.
        #[serde(default)]
        to: Option<String>,
    },
    /// Prepare this node's daemon to be restarted without a gap: obtain a long lease, then end.
    /// Answered with `Restarting` before the daemon goes.
    PlanRestart,
    /// Make a new key for the heartbeats on all nodes. Answered with `KeyRotated`.
    KeyRotate,
}

impl RequestBody {
    /// True for requests that change something, which the audit records.
    #[must_use]
    pub const fn mutates(&self) -> bool {
        match self {
            Self::Hello
            | Self::Status
            | Self::Watch { .. }
            | Self::Counters
            | Self::Events { .. }
            | Self::ConfigureShow { .. }
            | Self::PlanningInput
            | Self::ConfigureVerify { .. }
            | Self::NodeAttributes { .. }
            | Self::ResourceFailures { .. }
            | Self::ConfigureLog { .. }
            | Self::ConfigureDiff { .. }
            | Self::IpStatus
            | Self::IpWhy { .. } => false,
            Self::ConfigureLoad(_)
            | Self::ConfigureUndo { .. }
            | Self::ConfigureChange { .. }
            | Self::NodeStandby { .. }
            | Self::NodeAttributeSet { .. }
            | Self::NodeMaintenance { .. }
            | Self::NodeConfirmDead { .. }
            | Self::ResourceBan { .. }
            | Self::ResourceRestart { .. }
            | Self::ResourceRefresh { .. }
            | Self::ResourceTrace { .. }
            | Self::ResourceMove { .. }
            | Self::ResourceClear { .. }
            | Self::ResourceStart { .. }
            | Self::ResourceStop { .. }
            | Self::ResourceCleanup { .. }
            | Self::ClusterToken { .. }
            | Self::ClusterLeave { .. }
            | Self::ClusterRemoveNode { .. }
            | Self::Handover { .. }
            | Self::PlanRestart
            | Self::KeyRotate => true,
        }
    }
}
