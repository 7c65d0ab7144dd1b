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
use haven_host::store::{Contents, Store, StoreError};
use haven_types::NodeId;

use crate::config::NodeConfig;
use crate::daemon::{forget_hand_over, store_directory, to_store};
use crate::trust::{
    self, Candidate, Contact, IdentityError, InitError, JoinError, JoinToken, TokenError,
};

/// The members as they were told to a joiner, until the log tells them.
const BOOTSTRAP: &str = "members";

/// Why a node did not become a member, or cannot say who the others are.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// Founding.
    #[error("cannot create the cluster")]
    Init(#[from] InitError),
    /// A node that belongs to a cluster already.
    #[error("nothing was done")]
    Member(#[from] IdentityError),
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
    /// What an earlier membership left cannot be set aside.
    #[error("cannot set aside {} of an earlier membership: {problem}; move it away by hand", path.display())]
    Former {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        problem: String,
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
            | Self::Member(_)
            | Self::Join(_)
            | Self::Store(_)
            | Self::File(_)
            | Self::Certificate(_)
            | Self::Former { .. }
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
            | Self::Member(_)
            | Self::Join(_)
            | Self::Token(_)
            | Self::Store(_)
            | Self::File(_)
            | Self::Certificate(_)
            | Self::Former { .. }
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
    let mut store = fresh_store(config)?;
    match std::fs::remove_file(config.state.join(BOOTSTRAP)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(MembershipError::Former {
                path: config.state.join(BOOTSTRAP),
                problem: error.to_string(),
            });
        }
        _ => {}
    }
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
    store.append(&to_store(&recovered.into_batch()))?;
    Ok(())
}

/// An empty store. What an earlier membership left is set aside: its log is not that of the member to be, even of
/// the same cluster.
fn fresh_store(config: &NodeConfig) -> Result<Store, MembershipError> {
    trust::refuse_existing(&config.state)?;
    forget_hand_over(config).map_err(|error| MembershipError::Former {
        path: config.run.join("handover"),
        problem: error.to_string(),
    })?;
    let directory = store_directory(config);
    if directory.exists() {
        match Store::open(&directory) {
            Ok((store, contents)) if contents == Contents::default() => return Ok(store),
            Ok((store, _)) => {
                drop(store);
                let former = config.state.join(format!("store.former-{}", wall_time().seconds));
                std::fs::rename(&directory, &former).map_err(|error| MembershipError::Former {
                    path: directory.clone(),
                    problem: error.to_string(),
                })?;
            }
            // It is set aside already.
            Err(StoreError::Corrupt { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Store::create(&directory)?)
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
    drop(fresh_store(config)?);
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
    #[test]
    fn a_member_to_be_begins_with_an_empty_store_whatever_an_earlier_one_left() {
        let state = tempfile::tempdir().unwrap();
        let text = "[cluster]\nname = \"demo\"\n[node]\nname = \"n1\"\n[[link]]\nnumber = 0\nlocal = \"192.0.2.1\"\n";
        let mut config = NodeConfig::parse(text).unwrap();
        config.state = state.path().to_owned();
        init(&config).unwrap();
        assert!(matches!(fresh_store(&config), Err(MembershipError::Member(_))), "it is a member");
        std::fs::write(config.state.join(BOOTSTRAP), b"others").unwrap();
        trust::Identity::retire(&config.state).unwrap();
        drop(fresh_store(&config).unwrap());
        let contents = || Store::open(&store_directory(&config)).unwrap().1;
        assert_eq!(contents(), Contents::default());
        let former = || {
            let names = std::fs::read_dir(&config.state).unwrap().map(|it| it.unwrap().file_name());
            names.filter(|it| it.to_string_lossy().starts_with("store.former-")).count()
        };
        drop(fresh_store(&config).unwrap());
        assert_eq!(former(), 1, "an empty one is used as it is");
        init(&config).unwrap();
        assert_ne!(contents(), Contents::default());
        assert!(bootstrap(&config).unwrap().is_empty(), "nobody of the former cluster is known");
    }
}
