//! What a daemon answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AddressRow, AttributeRow, CommitRow, Event, EventsMissed, FailureRow, Finding, Format, IpWhy,
    ObjectChange, PendingAction, Status, Version,
};

/// Who answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// API version the daemon speaks.
    pub api: u32,
    /// Version of the program.
    pub version: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the daemon's node.
    pub node: String,
    /// Its number.
    pub node_id: u16,
    /// This life of the daemon.
    pub boot: u64,
    /// Process id in the daemon's own namespace.
    pub pid: u32,
}

/// A permit to join.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Token {
    /// Where the new node connects to, `ADDRESS:PORT`.
    pub address: String,
    /// The token: single use, pins the cluster's certificate authority.
    pub token: String,
    /// The command to run on the new node.
    pub command: String,
    /// Milliseconds until it is void.
    pub expires_in_ms: u64,
    /// What the new member will cost those who are served now, and how to avoid it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
}

/// How far a change has got.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notice {
    /// One line for the person who waits.
    pub text: String,
    /// Milliseconds since the request.
    pub elapsed_ms: u64,
    /// Actions under way that the change waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingAction>,
}

/// One answer. [`ReplyBody::Progress`], [`ReplyBody::Event`] and the `Status` replies to a `Watch` are
/// followed by more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyBody {
    /// Who answers.
    Hello(Hello),
    /// The cluster as the asked node sees it.
    Status(Box<Status>),
    /// Something happened.
    Event(Event),
    /// Events that were asked for are gone.
    EventsMissed(EventsMissed),
    /// There are no more events at present.
    EventsEnd {
        /// Cursor of the last: go on with it.
        cursor: u64,
        /// The life of the daemon that the cursor is of.
        boot: u64,
    },
    /// Numbers by name, all counted since the daemon started.
    Counters(BTreeMap<String, u64>),
    /// The configuration.
    Configuration {
        /// Its version.
        version: Version,
        /// Notation of `text`.
        format: Format,
        /// The document.
        text: String,
    },
    /// A change of configuration is committed.
    Committed {
        /// The version it made; the version before when nothing differed.
        version: Version,
        /// Ids of the objects that were added, changed or removed, in the order of the document.
        changed: Vec<String>,
        /// Warnings and advice.
        findings: Vec<Finding>,
    },
    /// Changes of the configuration, newest first.
    ConfigurationLog(Vec<CommitRow>),
    /// What differs between two versions.
    ConfigurationDiff {
        /// The older one.
        from: Version,
        /// The newer one.
        to: Version,
        /// By object.
        changes: Vec<ObjectChange>,
    },
    /// A configuration was judged.
    Verified {
        /// Errors, warnings and advice.
        findings: Vec<Finding>,
    },
    /// The request is under way.
    Progress(Notice),
    /// The request is carried out.
    Done(Notice),
    /// A permit to join.
    Token(Token),
    /// Attributes of nodes, by node and name.
    Attributes(Vec<AttributeRow>),
    /// Failures that are counted, by resource, node and operation.
    Failures(Vec<FailureRow>),
    /// All addresses of the cluster.
    Addresses(Vec<AddressRow>),
    /// Who owns an address and why.
    Why(IpWhy),
    /// The daemon ends now, under a long lease; its successor has a larger boot number.
    Restarting {
        /// This life of the daemon.
        boot: u64,
        /// Milliseconds until the shortest of the leases it leaves behind ends; none when it has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease_left_ms: Option<u64>,
    },
    /// A new heartbeat key is in use.
    KeyRotated {
        /// Its generation.
        generation: u64,
    },
}
