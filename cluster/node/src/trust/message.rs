//! What a new node and a member say to each other: one frame each way, a version byte, then postcard.

use std::fmt;
use std::net::SocketAddr;

use haven_messaging::Keyring;
use haven_types::{LinkId, NodeId};
use serde::{Deserialize, Serialize};

use super::admission::Refused;
use super::identity::Cluster;

/// Longest join frame in bytes.
pub(super) const MAX_FRAME: usize = 64 * 1024;
/// Most links a node may name.
const MAX_LINKS: usize = 8;
const VERSION: u8 = 1;

/// What a node does in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Votes and runs resources.
    Full,
    /// Votes and answers beats, runs nothing, holds no authority key.
    Witness,
}

/// Where a member is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Its number.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Where its beats come from and go to, by link.
    pub links: Vec<(LinkId, SocketAddr)>,
    /// Where its TLS channel listens.
    pub channel: SocketAddr,
    /// SHA-256 of its public key.
    pub key: [u8; 32],
}

/// A node asks to become a member.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The token's secret.
    pub secret: [u8; 32],
    /// Name of the cluster in its configuration.
    pub cluster: String,
    /// Its own name.
    pub name: String,
    /// What it is to do.
    pub role: Role,
    /// Where its beats come from and go to, by link, numbered 0 to 7, rising.
    pub links: Vec<(LinkId, SocketAddr)>,
    /// Where its TLS channel listens.
    pub channel: SocketAddr,
    /// Uncompressed point on P-256.
    pub public_key: Vec<u8>,
    /// Signature by that key over keys of this very connection.
    pub possession: Vec<u8>,
}

/// All a new member needs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Welcome {
    pub(super) cluster: Cluster,
    pub(super) node: NodeId,
    pub(super) certificate: Vec<u8>,
    pub(super) authority: Vec<u8>,
    pub(super) authority_key: Option<Vec<u8>>,
    pub(super) keys: Keyring,
    pub(super) members: Vec<Contact>,
}

/// A member's answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum JoinReply {
    Welcome(Box<Welcome>),
    Refused(Refused),
}

/// Why a join frame cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Its version is not this program's.
    #[error(
        "the other side speaks version {0} of the join protocol, this program {VERSION}; use the same version of haven on both"
    )]
    Version(u8),
    /// It contradicts its format.
    #[error("the other side sent something that is no join message: {0}")]
    Malformed(String),
}

impl fmt::Debug for JoinRequest {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest")
            .field("cluster", &self.cluster)
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl JoinRequest {
    /// The frame's bytes: a version byte, then postcard.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads a stranger's frame.
    ///
    /// # Errors
    /// Where it is of another version, no join request, or names its links wrongly.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let request: Self = decode(bytes)?;
        let links = &request.links;
        let rising = links.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let numbered = links.iter().all(|(link, _)| usize::from(link.0) < MAX_LINKS);
        if links.is_empty() || !rising || !numbered {
            let problem = "links must be numbered 0 to 7, rising, at least one";
            return Err(DecodeError::Malformed(problem.to_owned()));
        }
        Ok(request)
    }
}

impl JoinReply {
    pub(super) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes)
    }
}

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let encoded = postcard::to_extend(value, vec![VERSION]);
    assert!(encoded.is_ok(), "a join message has no part that cannot be encoded");
    encoded.unwrap_or_default()
}

pub(super) fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, DecodeError> {
    match bytes.split_first() {
        Some((&VERSION, body)) => {
            let (value, rest) = postcard::take_from_bytes(body)
                .map_err(|error| DecodeError::Malformed(error.to_string()))?;
            if rest.is_empty() {
                Ok(value)
            } else {
                Err(DecodeError::Malformed(format!("{} bytes too many", rest.len())))
            }
        }
        Some((&version, _)) => Err(DecodeError::Version(version)),
        None => Err(DecodeError::Malformed("it is empty".to_owned())),
    }
}
