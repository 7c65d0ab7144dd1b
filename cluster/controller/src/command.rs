//! What the replicated log carries.

use std::net::SocketAddr;

use haven_base::WallTime;
use haven_cib::Cib;
use haven_cib::crm::ObjectChange;
use haven_messaging::KeyNotice;
use haven_types::{BootId, Epoch, LinkId, NodeId};
use serde::{Deserialize, Serialize};

/// First byte of every command; a log written by a newer version is refused, not guessed at.
pub(crate) const FORMAT: u8 = 4;

/// What a member does in the cluster.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub enum Role {
    /// Votes and runs resources.
    #[default]
    Full,
    /// Votes and answers beats, runs nothing.
    Witness,
}

/// A member of the cluster, as all others know it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub id: NodeId,
    /// Its name, unique.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Where its beats come from and go to, by link.
    pub links: Vec<(LinkId, SocketAddr)>,
    /// Where its TLS channel listens.
    pub channel: SocketAddr,
    /// SHA-256 of its public key: its certificate is good for this member only.
    pub key: [u8; 32],
}

/// Why a node cannot be a member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum JoinRefusal {
    /// No token of this secret is outstanding.
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
    /// Nobody can commit anything at present.
    NoCoordinator,
}

/// Why no token to join with was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenRefusal {
    /// Nobody can commit anything at present.
    #[error("no coordinator is known here: nothing can be committed")]
    NoCoordinator,
    /// As many are outstanding as there may be.
    #[error("{most} tokens that nobody has joined with are outstanding, as many as there may be", most = crate::replicated::MAX_TOKENS)]
    TooMany,
}

/// Who wanted a change of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Authorship {
    /// Who asked, by the credentials of the caller.
    pub author: String,
    /// Name of the node whose daemon was asked.
    pub node: String,
    /// What it is for.
    pub message: String,
    /// When, by the coordinator's civil clock.
    pub at: WallTime,
}

/// One change of the replicated state. What a command does to it never changes: entries that one version applied are
/// applied by another one, beside it or after it. New effects are new commands, at the end.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// A new configuration. Refused on applying unless the one it was made from is still current.
    Configure {
        /// Version it was made from.
        base: haven_cib::Version,
        /// The whole new document.
        cib: Box<Cib>,
        /// How it differs, object by object, for the commit log.
        changes: Vec<ObjectChange>,
        /// Who asked, on which node, why and when, for the commit log.
        by: Authorship,
    },
    /// A lease group changes hands.
    Grant {
        /// Name of the group (the id of its outermost resource).
        group: String,
        /// The epoch it makes: one above the last, or the entry is out of date and does nothing.
        epoch: Epoch,
        /// The new holder; nobody when the group is withdrawn.
        holder: Option<NodeId>,
    },
    /// A node joins. Uses the token up.
    AddMember {
        /// Name, role, addresses; the number is given on applying.
        member: Member,
        /// SHA-256 of the token's secret.
        token: [u8; 32],
        /// Where the joiner waits for the answer, and for which request.
        answer: (NodeId, u64),
    },
    /// A node leaves for good. Its number is never given again.
    RemoveMember {
        /// Which.
        node: NodeId,
    },
    /// A token to join with exists.
    MintToken {
        /// SHA-256 of its secret.
        token: [u8; 32],
        /// When it is void.
        expires: WallTime,
        /// Where the answer is awaited, and for which request.
        answer: (NodeId, u64),
    },
    /// A life of a node is over: somebody has made sure of it by hand.
    ConfirmDead {
        /// The node.
        node: NodeId,
        /// Which of its lives.
        boot: BootId,
        /// Who, on which node, why and when, for the commit log.
        by: Authorship,
    },
    /// A node that was confirmed dead is heard.
    Reappeared {
        /// Which.
        node: NodeId,
    },
    /// So many votes were seen together (`expected_votes_tracking`).
    NoteVotes {
        /// How many.
        votes: u32,
    },
    /// The heartbeats' next key is this one. Members give its secret to each other over TLS.
    RotateKey {
        /// Which; its epoch is one above the last, or the entry is out of date and does nothing.
        notice: KeyNotice,
        /// Where the answer is awaited, and for which request.
        answer: (NodeId, u64),
    },
    /// Tokens whose time is over make room.
    DropVoidTokens {
        /// By the coordinator's civil clock.
        now: WallTime,
    },
}

/// Why the bytes of a log entry are not a command of this version.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeCommandError {
    /// Written by another version.
    #[error(
        "log entry of format {found}, this version reads format {FORMAT}; run the version of haven that wrote it, or a newer one"
    )]
    Format {
        /// The format found.
        found: u8,
    },
    /// Not a command at all.
    #[error("log entry is damaged: {detail}")]
    Damaged {
        /// What the decoder said.
        detail: String,
    },
}

impl Command {
    /// The bytes for the log: one format byte, then postcard.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let encoded = postcard::to_extend(self, vec![FORMAT]);
        assert!(encoded.is_ok(), "a command has no part that cannot be encoded");
        encoded.unwrap_or_default()
    }

    /// Group and epoch where the bytes are a grant. A long command of another kind is not read through.
    pub(crate) fn granted(bytes: &[u8]) -> Option<(String, Epoch)> {
        /// Postcard's number of the variant, behind the format.
        const GRANT: u8 = 1;
        if bytes.get(1) != Some(&GRANT) {
            return None;
        }
        match Self::decode(bytes) {
            Ok(Self::Grant { group, epoch, .. }) => Some((group, epoch)),
            Ok(_) | Err(_) => None,
        }
    }

    /// Reads [`Command::encode`]'s bytes.
    ///
    /// # Errors
    /// When the bytes are of another format or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeCommandError> {
        match bytes.split_first() {
            Some((&FORMAT, body)) => postcard::from_bytes(body)
                .map_err(|error| DecodeCommandError::Damaged { detail: error.to_string() }),
            Some((&found, _)) => Err(DecodeCommandError::Format { found }),
            None => Err(DecodeCommandError::Damaged { detail: "it is empty".to_owned() }),
        }
    }
}
