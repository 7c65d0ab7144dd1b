//! The question to the cluster: may this node become a member?

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use haven_types::{LinkId, NodeId};
use serde::{Deserialize, Serialize};

use super::message::{Contact, Role};

/// A node that has proved to hold a private key and claims to hold a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionRequest {
    /// SHA-256 of the secret it showed: compare with the records of tokens.
    pub token: [u8; 32],
    /// The name it wants; its form is checked.
    pub name: String,
    /// What it wants to do.
    pub role: Role,
    /// Where its beats come from and go to; 1 to 8, rising.
    pub links: Vec<(LinkId, SocketAddr)>,
    /// Where its TLS channel listens.
    pub channel: SocketAddr,
    /// SHA-256 of its public key. A repeated request with the same token and key means that our answer
    /// was lost: answering as before makes that harmless.
    pub key: [u8; 32],
}

/// The cluster took the node in, and that is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its number.
    pub node: NodeId,
    /// All members, the new one included.
    pub members: Vec<Contact>,
}

/// Why a node is not taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// No such token was ever made, or it was forgotten after it expired.
    UnknownToken,
    /// The token's time is over.
    ExpiredToken,
    /// Somebody joined with it.
    UsedToken,
    /// A member has this name.
    NameTaken {
        /// The name.
        name: String,
        /// Its owner.
        by: NodeId,
    },
    /// A member has one of the addresses.
    AddressTaken {
        /// The address.
        address: SocketAddr,
        /// Its owner.
        by: NodeId,
    },
    /// The cluster or node name cannot be used.
    BadName {
        /// The name.
        name: String,
    },
    /// The node's configuration names another cluster.
    OtherCluster {
        /// What the new node's configuration says.
        found: String,
        /// The cluster's name.
        expected: String,
    },
    /// The private key was not proved.
    Unproved,
    /// The message could not be read.
    Malformed {
        /// What is wrong with it.
        problem: String,
    },
    /// Too many failed attempts.
    TooManyAttempts {
        /// Time to wait.
        wait: Duration,
    },
    /// This member cannot admit: it is a witness, or not a member itself any more.
    AskAnother,
    /// The cluster cannot decide now, for want of a majority or a coordinator.
    NoQuorum,
    /// The cluster is not to grow further, or another change of members is under way.
    Busy {
        /// Which.
        reason: String,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownToken => f.write_str(
                "the cluster knows no such token; print a new one with `haven cluster token`",
            ),
            Self::ExpiredToken => f.write_str(
                "the token expired; print a new one with `haven cluster token` on a member",
            ),
            Self::UsedToken => f.write_str(
                "a node has joined with this token already; print a new one with `haven cluster token`",
            ),
            Self::NameTaken { name, by } => write!(
                f,
                "node {by} has the name {name} already; choose another in [node] name, or remove \
                 the old node first"
            ),
            Self::AddressTaken { address, by } => write!(
                f,
                "node {by} has the address {address} already; correct [[link]] or [channel] on \
                 this node, or remove the old node first"
            ),
            Self::BadName { name } => write!(f, "a node cannot have the name {name:?}"),
            Self::OtherCluster { found, expected } => write!(
                f,
                "this node's configuration says [cluster] name = {found:?}, the token is of \
                 cluster {expected:?}"
            ),
            Self::Unproved => f.write_str("the node did not prove its private key"),
            Self::Malformed { problem } => f.write_str(problem),
            Self::TooManyAttempts { wait } => {
                write!(f, "too many failed attempts; try again in {} s", wait.as_secs().max(1))
            }
            Self::AskAnother => {
                f.write_str("this member cannot admit others; use the address of a full member")
            }
            Self::NoQuorum => f.write_str(
                "the cluster cannot decide now: no majority; try again when `haven status` is OK",
            ),
            Self::Busy { reason } => write!(f, "not now: {reason}"),
        }
    }
}

impl Refused {
    /// Whether a guess at a token may be behind it.
    pub(super) fn is_suspicious(&self) -> bool {
        matches!(
            self,
            Self::UnknownToken
                | Self::ExpiredToken
                | Self::UsedToken
                | Self::Unproved
                | Self::Malformed { .. }
        )
    }
}

/// The cluster's decision. It must be committed, together with the token's use, before it is given.
pub trait Admission: Send + Sync + 'static {
    /// Decides on one request.
    fn admit(
        &self,
        request: AdmissionRequest,
    ) -> impl Future<Output = Result<Admitted, Refused>> + Send;
}
