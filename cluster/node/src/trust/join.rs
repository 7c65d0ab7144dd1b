//! The new node's side of a join.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use haven_base::WallTime;
use haven_host::identity::{FileError, read_secret, write_secret};
use haven_host::socket::channel::{FrameReader, connect_pinned, describe, write_frame};
use haven_host::socket::tls::{fingerprint, key_fingerprint, names};
use haven_types::LinkId;
use rcgen::KeyPair;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::admission::Refused;
use super::authority::{AuthorityError, new_key, read_key, sign};
use super::identity::{Identity, IdentityError, InitError, check_name, refuse_existing};
use super::message::{Contact, JoinReply, JoinRequest, MAX_FRAME, Role, Welcome};
use super::token::{JoinToken, TokenError};

/// Keys of the connection are exported under this label (RFC 8446 §7.5).
pub(super) const EXPORTER: &[u8] = b"EXPORTER-haven-join-1";
/// The private key of a join under way; kept until the answer is there, so that a repeated join is known
/// to be the same.
const PENDING_KEY: &str = "joining.key";
/// Longest wait for the cluster's decision.
const ANSWER: Duration = Duration::from_secs(30);

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Name of the cluster in its configuration.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// What it wants to do.
    pub role: Role,
    /// Where its beats come from and go to; rising by link.
    pub links: Vec<(LinkId, SocketAddr)>,
    /// Where its TLS channel listens.
    pub channel: SocketAddr,
}

/// Why a node did not become a member.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The name cannot be used.
    #[error(transparent)]
    Name(#[from] InitError),
    /// No member answered.
    #[error("cannot reach a member to join: {}", tried.iter().map(|(address, reason)| format!("{address}: {reason}")).collect::<Vec<_>>().join("; "))]
    Unreachable {
        /// The addresses tried, and what went wrong.
        tried: Vec<(SocketAddr, String)>,
    },
    /// The cluster said no.
    #[error("the cluster refused this node: {0}")]
    Refused(Refused),
    /// The connection broke before the answer was complete.
    #[error(
        "no answer from {address}: {reason}; the cluster may have admitted this node all the same: look at `haven status` there, then try again"
    )]
    NoAnswer {
        /// The member asked.
        address: SocketAddr,
        /// What happened.
        reason: String,
    },
    /// The answer contradicts what was asked.
    #[error("the answer of {address} cannot be used: {problem}")]
    BadAnswer {
        /// The member asked.
        address: SocketAddr,
        /// What is wrong.
        problem: String,
    },
    /// The private key could not be kept.
    #[error(transparent)]
    File(#[from] FileError),
    /// No key.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The identity could not be written, or there is one.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Becomes a member: asks the first member that answers, and writes the identity to `state`. Also
/// returns the members, where the daemon will find the others.
///
/// # Errors
/// [`JoinError`]. Nothing secret was sent unless the member proved to be of the token's cluster.
pub async fn join(
    state: &Path,
    addresses: &[SocketAddr],
    token: &JoinToken,
    candidate: &Candidate,
    now: WallTime,
) -> Result<(Identity, Vec<Contact>), JoinError> {
    check_name(&candidate.name)?;
    token.check_time(now)?;
    refuse_existing(state)?;
    let key = pending_key(state)?;
    let (address, stream) = connect_any(addresses, token).await?;
    let request = make_request(&stream, token, candidate, &key)?;
    let welcome = ask(stream, &request, address).await?;
    check(&welcome, candidate, token, &key)
        .map_err(|problem| JoinError::BadAnswer { address, problem })?;
    let identity = Identity {
        cluster: welcome.cluster,
        node: welcome.node,
        name: candidate.name.clone(),
        role: candidate.role,
        certificate: welcome.certificate,
        key: key.serialize_der(),
        authority: welcome.authority,
        authority_key: welcome.authority_key,
        keys: welcome.keys,
    };
    identity.create(state)?;
    if let Err(error) = std::fs::remove_file(state.join(PENDING_KEY)) {
        tracing::debug!(%error, "the key of the join stays beside the identity, which holds it, too");
    }
    Ok((identity, welcome.members))
}

fn pending_key(state: &Path) -> Result<KeyPair, JoinError> {
    let path = state.join(PENDING_KEY);
    match read_secret(&path) {
        Ok(der) => Ok(read_key(&der)?),
        Err(error) if error.is_missing() => {
            let key = new_key()?;
            write_secret(&path, &key.serialize_der())?;
            Ok(key)
        }
        Err(error) => Err(error.into()),
    }
}

async fn connect_any(
    addresses: &[SocketAddr],
    token: &JoinToken,
) -> Result<(SocketAddr, TlsStream<TcpStream>), JoinError> {
    let mut tried = Vec::new();
    for address in addresses {
        match connect_pinned(*address, token.authority).await {
            Ok(stream) => return Ok((*address, stream)),
            Err(error) => tried.push((*address, describe(&error))),
        }
    }
    Err(JoinError::Unreachable { tried })
}

fn make_request(
    stream: &TlsStream<TcpStream>,
    token: &JoinToken,
    candidate: &Candidate,
    key: &KeyPair,
) -> Result<JoinRequest, JoinError> {
    let exported = stream.get_ref().1.export_keying_material([0; 32], EXPORTER, None);
    let exported = exported.map_err(|error| JoinError::Unreachable {
        tried: vec![(candidate.channel, error.to_string())],
    })?;
    Ok(JoinRequest {
        secret: token.secret,
        cluster: candidate.cluster.clone(),
        name: candidate.name.clone(),
        role: candidate.role,
        links: candidate.links.clone(),
        channel: candidate.channel,
        public_key: key.public_key_raw().to_vec(),
        possession: sign(key, &exported)?,
    })
}

async fn ask(
    mut stream: TlsStream<TcpStream>,
    request: &JoinRequest,
    address: SocketAddr,
) -> Result<Welcome, JoinError> {
    let broken = |error: io::Error| JoinError::NoAnswer { address, reason: describe(&error) };
    write_frame(&mut stream, &request.encode()).await.map_err(broken)?;
    let mut reader = FrameReader::with_limit(stream, MAX_FRAME);
    let reply = timeout(ANSWER, reader.next())
        .await
        .map_err(|_| broken(io::Error::new(io::ErrorKind::TimedOut, "none within 30 s")))?
        .map_err(broken)?
        .ok_or_else(|| broken(io::ErrorKind::UnexpectedEof.into()))?;
    match JoinReply::decode(&reply) {
        Ok(JoinReply::Welcome(welcome)) => Ok(*welcome),
        Ok(JoinReply::Refused(refused)) => Err(JoinError::Refused(refused)),
        Err(error) => Err(JoinError::BadAnswer { address, problem: error.to_string() }),
    }
}

/// Whether the answer is for us and holds together.
fn check(
    welcome: &Welcome,
    candidate: &Candidate,
    token: &JoinToken,
    key: &KeyPair,
) -> Result<(), String> {
    if fingerprint(&welcome.authority) != token.authority {
        return Err("its authority is not the token's".to_owned());
    }
    let issued = key_fingerprint(&welcome.certificate).map_err(|error| error.to_string())?;
    let ours = rcgen::PublicKeyData::subject_public_key_info(key);
    if issued != fingerprint(&ours) {
        return Err("the certificate is for another key".to_owned());
    }
    let names = names(&welcome.certificate).map_err(|error| error.to_string())?;
    if names != [candidate.name.as_str()] {
        return Err(format!("the certificate is for {}", names.join(", ")));
    }
    if !welcome.keys.is_sound() || welcome.node.0 == 0 {
        return Err("its keys or its number are impossible".to_owned());
    }
    Ok(())
}
