//! Addresses: who owns them, and why not somebody else.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// How an address stands on the node that should serve it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressState {
    /// No node serves it.
    Down,
    /// A lease is asked for, or the address is being added.
    Starting,
    /// The owner answers for it.
    Up,
    /// The owner gives it back.
    Stopping,
    /// The last operation on it failed.
    Failed,
    /// The owner cannot be asked at the moment.
    Unknown,
}

/// How far the word about the new owner has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Announcement {
    /// Gratuitous ARP or unsolicited NA frames sent since the takeover.
    pub sent: u64,
}

/// A row of `haven ip status`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddressRow {
    /// The address.
    pub address: IpAddr,
    /// Prefix length, 0 to 32 or 0 to 128.
    pub prefix_len: u8,
    /// Interface that carries it, where one is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Id of the resource it belongs to.
    pub resource: String,
    /// Name of the node that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Epoch of its lease; none when it runs without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Milliseconds until the owner's lease ends, as the owner last reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_left_ms: Option<u64>,
    /// How it stands.
    pub state: AddressState,
    /// Announcing; known on the owner only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Announcement>,
    /// A neighbour's answer proved the path; none when nobody was asked, and on other nodes than the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<bool>,
    /// How often another machine claimed the address since the takeover; known on the owner only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<u64>,
    /// The machine that claimed it within the last minutes, and what to do; known on the owner only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contested: Option<String>,
    /// True when the address runs without a lease: two owners are possible.
    pub unprotected: bool,
}

/// Why one node does not own an address, or why it does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeReason {
    /// Name of the node.
    pub node: String,
    /// Placement score, -1000000 (never) to 1000000 (always); none when it was not considered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<i32>,
    /// The first condition that fails there, or the term that decided for it.
    pub reason: String,
}

/// The answer to `haven ip why ADDRESS`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IpWhy {
    /// The address asked about.
    pub address: IpAddr,
    /// Id of the resource it belongs to.
    pub resource: String,
    /// The owner and what decided for it; none when no node owns the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<NodeReason>,
    /// Why no node owns it, in one sentence; none when one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nobody: Option<String>,
    /// Every other node with its first failing condition.
    pub others: Vec<NodeReason>,
}
