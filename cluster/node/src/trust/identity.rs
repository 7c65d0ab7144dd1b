//! What makes a node a member, in `<state>/identity`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use haven_base::WallTime;
use haven_host::identity::{
    EntropyError, FileError, fill, mark_first_life, read_secret, sync_directory, write_secret,
};
use haven_host::socket::tls::{TlsIdentity, fingerprint};
use haven_messaging::{ClusterKey, Keyring};
use haven_types::NodeId;
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};

use super::authority::{Authority, AuthorityError, new_key};
use super::message::Role;

const DIRECTORY: &str = "identity";
/// Where the identity of a node is kept that was removed from its cluster.
const FORMER: &str = "identity.former";
const VERSION: u32 = 1;
const NODE: &str = "node.json";
const KEYS: &str = "keys.json";
const CERTIFICATE: &str = "node.der";
const KEY: &str = "node.key";
const AUTHORITY: &str = "authority.der";
const AUTHORITY_KEY: &str = "authority.key";

/// A cluster: its name for people, its id for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The operator's name for it.
    pub name: String,
    /// 128 random bits in hexadecimal.
    pub id: String,
}

/// Everything that makes a node a member. `Debug` prints no secret.
pub struct Identity {
    /// The cluster.
    pub cluster: Cluster,
    /// This node's number.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// What it does in the cluster.
    pub role: Role,
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// Its private key, PKCS #8.
    pub key: Vec<u8>,
    /// Certificate of the cluster's authority, DER.
    pub authority: Vec<u8>,
    /// The authority's private key, PKCS #8; `None` on a witness.
    pub authority_key: Option<Vec<u8>>,
    /// The cluster keys.
    pub keys: Keyring,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// The readable part of the identity.
#[derive(Serialize, Deserialize)]
struct NodeFile {
    version: u32,
    cluster: Cluster,
    node: NodeId,
    name: String,
    role: Role,
}

/// Why an identity cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// This node is no member of a cluster.
    #[error("this node belongs to no cluster yet: {} does not exist; run `haven cluster init`, or `haven cluster join` with a token of another node", path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// This node was a member, and was removed.
    #[error("this node was removed from its cluster and belongs to none (what it was is kept in {}): run `haven cluster join` with a new token of a member", former.display())]
    Removed {
        /// Its identity until then.
        former: PathBuf,
    },
    /// It is one already.
    #[error("this node belongs to cluster {cluster} already, as {name} (node {node}); to begin anew, first `haven cluster leave`; where that cluster is no more, remove {}", path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
        /// The cluster.
        cluster: String,
        /// Its name there.
        name: String,
        /// Its number there.
        node: NodeId,
    },
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file holds something else.
    #[error("cannot use {}: {problem}; restore it from a backup of this node, or remove the node from the cluster and join anew", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The directory could not be moved to its place.
    #[error("cannot put the new identity in place at {}", path.display())]
    Place {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why a cluster could not be made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A name that cannot stand in a certificate.
    #[error(
        "cannot use the name {name:?}: 1 to 63 letters, digits, '-' and '_', in parts separated by single dots; no part begins or ends with '-'"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// No entropy.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// No certificate.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Not written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Makes the first node of a new cluster and writes its identity. Nothing is written on an error.
///
/// # Errors
/// [`InitError`]; [`IdentityError::Exists`] when this node is a member already.
pub fn initialise(
    state: &Path,
    cluster: &str,
    node: &str,
    now: WallTime,
) -> Result<Identity, InitError> {
    check_name(node)?;
    refuse_existing(state)?;
    let mut id = [0; 16];
    fill(&mut id)?;
    let mut secret = [0; 32];
    fill(&mut secret)?;
    let id = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let cluster = Cluster { name: cluster.to_owned(), id };
    let authority = Authority::create(&cluster, now)?;
    let key = new_key()?;
    let number = NodeId(1);
    let certificate = authority.issue(&cluster, node, number, key.public_key_raw(), now)?;
    let identity = Identity {
        cluster,
        node: number,
        name: node.to_owned(),
        role: Role::Full,
        certificate,
        key: key.serialize_der(),
        authority: authority.certificate,
        authority_key: Some(authority.key),
        keys: Keyring::new(ClusterKey { epoch: 1, secret }),
    };
    identity.create(state)?;
    Ok(identity)
}

/// Whether a node can have this name: it stands in its certificate and is what its peers look for.
///
/// # Errors
/// [`InitError::Name`].
pub fn check_name(name: &str) -> Result<(), InitError> {
    let dns =
        ServerName::try_from(name).is_ok_and(|parsed| matches!(parsed, ServerName::DnsName(_)));
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let ends = !name.ends_with('.') && !name.starts_with('.');
    if dns && plain && ends && name.len() <= 63 {
        Ok(())
    } else {
        Err(InitError::Name { name: name.to_owned() })
    }
}

/// Refuses to replace an identity.
///
/// # Errors
/// [`IdentityError::Exists`], and what else loading the present one finds.
pub fn refuse_existing(state: &Path) -> Result<(), IdentityError> {
    let path = state.join(DIRECTORY);
    if !path.exists() {
        return Ok(());
    }
    let held = Identity::load(state)?;
    Err(IdentityError::Exists {
        path,
        cluster: held.cluster.name,
        name: held.name,
        node: held.node,
    })
}

impl Identity {
    /// Reads the identity of this node.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn load(state: &Path) -> Result<Self, IdentityError> {
        let directory = state.join(DIRECTORY);
        if !directory.exists() {
            let former = state.join(FORMER);
            return Err(match former.exists() {
                true => IdentityError::Removed { former },
                false => IdentityError::Missing { path: directory },
            });
        }
        let node: NodeFile = read_json(&directory.join(NODE))?;
        if node.version != VERSION {
            let found = node.version;
            let problem = format!("it is of version {found}, this program reads {VERSION}");
            return Err(IdentityError::Corrupt { path: directory.join(NODE), problem });
        }
        let keys: Keyring = read_json(&directory.join(KEYS))?;
        if !keys.is_sound() {
            let problem = "its keys contradict each other".to_owned();
            return Err(IdentityError::Corrupt { path: directory.join(KEYS), problem });
        }
        let authority_key = match read_secret(&directory.join(AUTHORITY_KEY)) {
            Ok(key) => Some(key),
            Err(error) if error.is_missing() => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            cluster: node.cluster,
            node: node.node,
            name: node.name,
            role: node.role,
            certificate: read_secret(&directory.join(CERTIFICATE))?,
            key: read_secret(&directory.join(KEY))?,
            authority: read_secret(&directory.join(AUTHORITY))?,
            authority_key,
            keys,
        })
    }

    /// Writes a new identity: all of it or nothing, also when the power fails.
    pub(super) fn create(&self, state: &Path) -> Result<(), IdentityError> {
        refuse_existing(state)?;
        let temporary = state.join("identity.new");
        let place = |source| IdentityError::Place { path: state.join(DIRECTORY), source };
        match std::fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(place(error)),
            _ => {}
        }
        let node = NodeFile {
            version: VERSION,
            cluster: self.cluster.clone(),
            node: self.node,
            name: self.name.clone(),
            role: self.role,
        };
        write_json(&temporary.join(NODE), &node)?;
        write_json(&temporary.join(KEYS), &self.keys)?;
        write_secret(&temporary.join(CERTIFICATE), &self.certificate)?;
        write_secret(&temporary.join(KEY), &self.key)?;
        write_secret(&temporary.join(AUTHORITY), &self.authority)?;
        if let Some(key) = &self.authority_key {
            write_secret(&temporary.join(AUTHORITY_KEY), key)?;
        }
        mark_first_life(state)?;
        std::fs::rename(&temporary, state.join(DIRECTORY)).map_err(place)?;
        sync_directory(state)?;
        Ok(())
    }

    /// Writes the keys of a changed ring, before they are used.
    ///
    /// # Errors
    /// [`IdentityError::File`]; the keys before are then still there.
    pub fn save_keys(state: &Path, keys: &Keyring) -> Result<(), IdentityError> {
        let directory = state.join(DIRECTORY);
        if !directory.exists() {
            // It was removed meanwhile, and half an identity would be none.
            return Err(IdentityError::Missing { path: directory });
        }
        write_json(&directory.join(KEYS), keys)
    }

    /// Puts the identity of a node that was removed aside: it is no member, starts no more as one, and may join anew.
    ///
    /// # Errors
    /// [`IdentityError::Place`]; the identity is then still in place.
    pub fn retire(state: &Path) -> Result<(), IdentityError> {
        let former = state.join(FORMER);
        let place = |source| IdentityError::Place { path: former.clone(), source };
        match std::fs::remove_dir_all(&former) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(place(error)),
            _ => {}
        }
        std::fs::rename(state.join(DIRECTORY), &former).map_err(place)?;
        sync_directory(state)?;
        Ok(())
    }

    /// What the TLS channel needs.
    #[must_use]
    pub fn tls(&self) -> TlsIdentity {
        TlsIdentity {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            authority: self.authority.clone(),
        }
    }

    /// SHA-256 of the authority's certificate: what tokens pin.
    #[must_use]
    pub fn authority_fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.authority)
    }
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, IdentityError> {
    let bytes = read_secret(path)?;
    serde_json::from_slice(&bytes).map_err(|error| IdentityError::Corrupt {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), IdentityError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| IdentityError::Corrupt {
        path: path.to_owned(),
        problem: error.to_string(),
    })?;
    bytes.push(b'\n');
    Ok(write_secret(path, &bytes)?)
}
