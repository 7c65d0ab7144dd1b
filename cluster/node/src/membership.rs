//! How a node comes to be a member: by founding a cluster, or by joining one. Both leave an identity
//! and a store behind that `node run` starts from.

use std::net::SocketAddr;
use std::path::PathBuf;

use haven_api::Code;
use haven_cib::Cib;
use haven_consensus::Recovered;
use haven_controller::{Member, Replicated, Role};
use haven_host::drive::wall_time;
use haven_host::identity::{FileError, write_durable};
use haven_host::socket::tls::{TlsError, key_fingerprint};
use haven_host::store::{Store, StoreError};
use haven_types::NodeId;

use crate::config::NodeConfig;
use crate::daemon::{store_directory, to_store};
use crate::trust::{self, Candidate, Contact, InitError, JoinError, JoinToken, TokenError};

/// The members as they were told to a joiner, until the log tells them.
const BOOTSTRAP: &str = "members";

/// Why a node did not become a member, or cannot say who the others are.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// Founding.
    #[error("cannot create the cluster")]
    Init(#[from] InitError),
    /// Joining.
    #[error("cannot join the cluster")]
    Join(#[from] JoinError),
    /// The token.
    #[error("cannot join the cluster")]
    Token(#[from] TokenError),
    /// The store.
    #[error("cannot prepare the store")]
    Store(#[from] StoreError),
    /// A file.
    #[error("cannot keep the list of members")]
    File(#[from] FileError),
    /// This node's own certificate.
    #[error("cannot read this node's certificate")]
    Certificate(#[from] TlsError),
    /// The address to join at.
    #[error("{found:?} is no address of a member: expected ADDRESS:PORT, an IPv6 one in brackets")]
    Address {
        /// What was given.
        found: String,
    },
    /// The list of members cannot be read.
    #[error("cannot read {}: {problem}; leave the cluster and join again", path.display())]
    Bootstrap {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl MembershipError {
    /// What the command ends with.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Address { .. } => Code::Usage,
            Self::Token(_) | Self::Join(JoinError::Token(_)) => Code::BadData,
            Self::Join(JoinError::Refused(_) | JoinError::BadAnswer { .. }) => Code::Failed,
            Self::Join(JoinError::NoAnswer { .. }) => Code::Indeterminate,
            Self::Init(_)
            | Self::Join(_)
            | Self::Store(_)
            | Self::File(_)
            | Self::Certificate(_)
            | Self::Bootstrap { .. } => Code::Unavailable,
        }
    }

    /// What to do, where the message itself does not say it.
    #[must_use]
    pub const fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Join(JoinError::Unreachable { .. }) => Some(
                "the member's daemon must run, its TCP port be open to this node, and the token be of its cluster; \
                 the address of any other member will do as well",
            ),
            Self::Address { .. } => Some("copy the line that `haven cluster token` printed"),
            Self::Init(_)
            | Self::Join(_)
            | Self::Token(_)
            | Self::Store(_)
            | Self::File(_)
            | Self::Certificate(_)
            | Self::Bootstrap { .. } => None,
        }
    }
}

/// Creates a cluster whose only member is this node.
///
/// # Errors
/// When this node is a member already, or its state directory cannot be written. A second attempt
/// after a failure that left an identity behind says how to begin anew.
pub fn init(config: &NodeConfig) -> Result<(), MembershipError> {
    let identity = trust::initialise(&config.state, &config.cluster, &config.name, wall_time())?;
    let first = Member {
        id: identity.node,
        name: config.name.clone(),
        role: Role::Full,
        links: config.links.iter().map(|link| (link.number, link.address())).collect(),
        channel: config.channel,
        key: key_fingerprint(&identity.certificate)?,
    };
    let state = Replicated::founded(first, Cib::default());
    let recovered = Recovered::founding([identity.node], state.encode());
    let mut store = Store::create(&store_directory(config))?;
    store.append(&to_store(&recovered.into_batch()))?;
    Ok(())
}

/// Joins the cluster that made the token. The number this node was given.
///
/// # Errors
/// When no member answers at the address, it is not of the token's cluster, or it refuses this node.
pub async fn join(
    config: &NodeConfig,
    address: &str,
    token: &str,
    witness: bool,
) -> Result<NodeId, MembershipError> {
    let addresses: Vec<SocketAddr> = address
        .split(',')
        .map(|one| one.parse().map_err(|_| MembershipError::Address { found: one.to_owned() }))
        .collect::<Result<_, _>>()?;
    let token: JoinToken = token.parse()?;
    let candidate = Candidate {
        cluster: config.cluster.clone(),
        name: config.name.clone(),
        role: if witness { trust::Role::Witness } else { trust::Role::Full },
        links: config.links.iter().map(|link| (link.number, link.address())).collect(),
        channel: config.channel,
    };
    // The store first: an identity without a store would be a member that cannot start.
    let store = store_directory(config);
    if !store.exists() {
        drop(Store::create(&store)?);
    }
    let (identity, contacts) =
        trust::join(&config.state, &addresses, &token, &candidate, wall_time()).await?;
    let members: Vec<Member> = contacts.iter().map(member).collect();
    let bytes = postcard::to_stdvec(&members).unwrap_or_default();
    write_durable(&config.state.join(BOOTSTRAP), &bytes, 0o600)?;
    Ok(identity.node)
}

/// The members as told at joining; none where this node founded the cluster.
pub(crate) fn bootstrap(config: &NodeConfig) -> Result<Vec<Member>, MembershipError> {
    let path = config.state.join(BOOTSTRAP);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(MembershipError::Bootstrap { path, problem: error.to_string() }),
    };
    postcard::from_bytes(&bytes)
        .map_err(|error| MembershipError::Bootstrap { path, problem: error.to_string() })
}

fn member(contact: &Contact) -> Member {
    Member {
        id: contact.id,
        name: contact.name.clone(),
        role: match contact.role {
            trust::Role::Full => Role::Full,
            trust::Role::Witness => Role::Witness,
        },
        links: contact.links.clone(),
        channel: contact.channel,
        key: contact.key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_word_a_refusal_and_an_unknown_outcome_end_with_codes_of_their_own() {
        let answer = |of: &str| JoinError::NoAnswer {
            address: ([192, 0, 2, 1], 5406).into(),
            reason: of.to_owned(),
        };
        let address = MembershipError::Address { found: "n1".to_owned() };
        assert!(address.remedy().is_some());
        for (error, code) in [
            (address, Code::Usage),
            (MembershipError::Token(TokenError::Prefix), Code::BadData),
            (JoinError::Token(TokenError::Damaged).into(), Code::BadData),
            (JoinError::Refused(trust::Refused::UsedToken).into(), Code::Failed),
            (answer("broken").into(), Code::Indeterminate),
            (JoinError::Unreachable { tried: Vec::new() }.into(), Code::Unavailable),
        ] {
            assert_eq!(error.code(), code, "{error:?}");
        }
    }
}
