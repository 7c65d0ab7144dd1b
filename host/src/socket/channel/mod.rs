//! The reliable channel: one TLS connection to every peer for what is too large for datagrams.
//!
//! Every node connects to every peer and sends on the connection it opened; it receives on those it
//! accepted. Frames on one connection arrive in order, each once. What was queued or under way when a
//! connection broke may be lost: the owner hears [`ChannelEvent::Disconnected`] and repeats what it needs.
//!
//! Whoever proves to hold a certificate of the authority and is no peer is turned away with a
//! [word](Channel::set_word) of the owner's, which its channel tells as [`ChannelEvent::TurnedAway`].
//!
//! ```text
//!  waiting ──address known──▶ connecting ──TLS, name, key──▶ connected ──broken──▶ waiting (50 ms … 1 s)
//!     ▲                            │ refused, 1 s over                               │
//!     └────────────────────────────┴──────────── kick: at once ◀────────────────────┘
//! ```

mod accept;
mod dial;
mod frames;
mod refusals;
mod tcp;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector, server::TlsStream};

pub use dial::{connect_pinned, describe};
pub use frames::{FrameReader, MAX_FRAME, write_frame};

use self::refusals::Refusals;
use super::tls::{TlsError, TlsIdentity};

/// Frames waiting for one connection.
pub const MAX_QUEUED: usize = 1_024;
/// Bytes waiting for one connection, two of the longest frames.
pub const MAX_QUEUED_BYTES: usize = 2 * MAX_FRAME;
/// Events waiting for the owner; when it is slow, connections wait, and TCP makes their senders wait.
pub const MAX_EVENTS: usize = 256;

/// The accepting side's first byte: frames may follow.
const ACCEPTED: u8 = 1;
/// The accepting side's first byte: a word follows, its length in a byte before it, and nothing else.
const TURNED_AWAY: u8 = 2;

/// Longest [word](Channel::set_word).
pub const MAX_WORD: usize = 255;

/// Another member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelPeer {
    /// Its name, as its certificate has it.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Fingerprint of its public key ([`key_fingerprint`](super::tls::key_fingerprint)). With it a
    /// certificate of a removed member that had the same name is refused.
    pub key: Option<[u8; 32]>,
}

/// What the channel is made of.
#[derive(Debug)]
pub struct ChannelConfig {
    /// Address and port to listen on. Outgoing connections leave from the same address.
    pub listen: SocketAddr,
    /// Certificate, key, authority.
    pub identity: TlsIdentity,
    /// This process's boot id: told to peers, so that they can tell lives apart.
    pub boot: u64,
    /// Where connections of nodes that want to join go; `None` refuses them.
    pub joins: Option<mpsc::Sender<Stranger>>,
}

/// A connection of a node that wants to join: it has proved nothing yet.
#[derive(Debug)]
pub struct Stranger {
    /// The connection, TLS done.
    pub stream: TlsStream<TcpStream>,
    /// Where it comes from.
    pub remote: SocketAddr,
    /// Counts against the number of strangers served at one time; keep it as long as the stream.
    pub permit: OwnedSemaphorePermit,
}

/// What the channel tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// Frames to this peer go through from now on.
    Connected {
        /// The peer.
        peer: String,
    },
    /// The connection to this peer is gone; what was queued is lost.
    Disconnected {
        /// The peer.
        peer: String,
        /// Why.
        reason: String,
    },
    /// This peer, proved by its certificate and the key it is known by, does not take this node for a member.
    /// Told at every attempt, a second apart at most.
    TurnedAway {
        /// The peer.
        peer: String,
        /// What its owner says to that.
        word: Vec<u8>,
    },
    /// A frame arrived.
    Frame {
        /// Its sender, proved by certificate.
        peer: String,
        /// The sender's boot id.
        boot: u64,
        /// The frame.
        bytes: Bytes,
    },
    /// Somebody was turned away, or a peer proved to be another than expected.
    Refused {
        /// Who.
        remote: SocketAddr,
        /// Why.
        reason: String,
        /// How often since this was told last; it is told once in ten seconds.
        times: u64,
    },
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Not among the peers.
    #[error("cannot send: no such peer")]
    UnknownPeer,
    /// No connection at present.
    #[error("cannot send: the peer is not connected")]
    NotConnected,
    /// [`MAX_QUEUED`] or [`MAX_QUEUED_BYTES`] reached: the peer is slower than its sender.
    #[error("cannot send: too much waits for this peer already")]
    QueueFull,
    /// Above [`MAX_FRAME`].
    #[error("cannot send: a frame has at most {MAX_FRAME} bytes")]
    TooLong,
}

/// State of the connection to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelStatus {
    /// Where the peer listens.
    pub address: SocketAddr,
    /// Whether frames go through.
    pub connected: bool,
    /// Bytes waiting.
    pub queued_bytes: usize,
    /// Why the last attempt failed; empty after a success.
    pub last_error: String,
}

/// What all tasks of a channel share.
struct Shared {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    listen: SocketAddr,
    boot: u64,
    peers: Mutex<BTreeMap<String, Arc<Peer>>>,
    /// What nodes of this cluster are told that are no peers; empty says nothing.
    word: Mutex<Vec<u8>>,
    events: mpsc::Sender<ChannelEvent>,
    joins: Option<mpsc::Sender<Stranger>>,
    /// Address bound, or why not.
    listening: Mutex<Result<SocketAddr, String>>,
    rebind: Notify,
    refusals: Mutex<Refusals>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// One peer's queue and state.
#[derive(Debug)]
struct Peer {
    peer: ChannelPeer,
    queue: mpsc::Sender<Bytes>,
    queued_bytes: AtomicUsize,
    connected: AtomicBool,
    kick: Notify,
    last_error: Mutex<String>,
    /// The task that keeps the connection.
    dialer: Mutex<Option<JoinHandle<()>>>,
    /// The task that reads the newest connection accepted from this peer.
    reader: Mutex<Option<JoinHandle<()>>>,
}

impl Peer {
    /// Ends its tasks, and with them its connections.
    fn stop(&self) {
        for task in [&self.dialer, &self.reader] {
            if let Some(task) = lock(task).take() {
                task.abort();
            }
        }
    }
}

/// A lock whose holders never panic while holding it; none is held across an await.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections to all peers. Dropping it closes them.
#[derive(Debug)]
pub struct Channel {
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

impl Channel {
    /// Begins to listen; while the address is missing, it tries again. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`TlsError`] when certificate, key and authority cannot be used.
    pub fn start(config: ChannelConfig) -> Result<(Self, mpsc::Receiver<ChannelEvent>), TlsError> {
        let (events, receiver) = mpsc::channel(MAX_EVENTS);
        let shared = Arc::new(Shared {
            acceptor: config.identity.acceptor()?,
            connector: config.identity.connector()?,
            listen: config.listen,
            boot: config.boot,
            peers: Mutex::new(BTreeMap::new()),
            word: Mutex::default(),
            events,
            joins: config.joins,
            listening: Mutex::new(Err("not bound yet".to_owned())),
            rebind: Notify::new(),
            refusals: Mutex::default(),
        });
        let listener = tokio::spawn(accept::run(Arc::clone(&shared)));
        Ok((Self { shared, listener }, receiver))
    }

    /// From now on these are the peers. Connections to those that stay as they were are kept;
    /// those to others are closed without an event.
    pub fn set_peers(&self, peers: Vec<ChannelPeer>) {
        let mut known = lock(&self.shared.peers);
        known.retain(|_, held| {
            let stays = peers.contains(&held.peer);
            if !stays {
                held.stop();
            }
            stays
        });
        for peer in peers {
            known.entry(peer.name.clone()).or_insert_with(|| dial::start(&self.shared, peer));
        }
    }

    /// What those are told who prove to hold a certificate of the authority and are no peers: at most
    /// [`MAX_WORD`] bytes, nothing where it is empty.
    pub fn set_word(&self, word: Vec<u8>) {
        assert!(word.len() <= MAX_WORD, "its length goes in one byte");
        *lock(&self.shared.word) = word;
    }

    /// Queues a frame.
    ///
    /// # Errors
    /// [`SendError`]; nothing is queued while the peer is not connected.
    pub fn send(&self, peer: &str, frame: Bytes) -> Result<(), SendError> {
        if frame.len() > MAX_FRAME {
            return Err(SendError::TooLong);
        }
        let peers = lock(&self.shared.peers);
        let peer = peers.get(peer).ok_or(SendError::UnknownPeer)?;
        if !peer.connected.load(Ordering::Acquire) {
            return Err(SendError::NotConnected);
        }
        let length = frame.len();
        let before = peer.queued_bytes.fetch_add(length, Ordering::AcqRel);
        if before + length > MAX_QUEUED_BYTES || peer.queue.try_send(frame).is_err() {
            peer.queued_bytes.fetch_sub(length, Ordering::AcqRel);
            return Err(SendError::QueueFull);
        }
        Ok(())
    }

    /// The path to this peer is back: an attempt under way begins anew, a connection that waits for a
    /// retransmission timer is replaced.
    pub fn kick(&self, peer: &str) {
        if let Some(peer) = lock(&self.shared.peers).get(peer) {
            peer.kick.notify_one();
        }
    }

    /// An address or interface appeared: try to listen now.
    pub fn rebind(&self) {
        self.shared.rebind.notify_one();
    }

    /// The address listened on, or why there is none at present.
    ///
    /// # Errors
    /// The reason in words.
    pub fn listening(&self) -> Result<SocketAddr, String> {
        lock(&self.shared.listening).clone()
    }

    /// State of all peers by name.
    #[must_use]
    pub fn status(&self) -> BTreeMap<String, ChannelStatus> {
        let of = |held: &Peer| ChannelStatus {
            address: held.peer.address,
            connected: held.connected.load(Ordering::Acquire),
            queued_bytes: held.queued_bytes.load(Ordering::Acquire),
            last_error: lock(&held.last_error).clone(),
        };
        lock(&self.shared.peers).iter().map(|(name, held)| (name.clone(), of(held))).collect()
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.listener.abort();
        for peer in lock(&self.shared.peers).values() {
            peer.stop();
        }
    }
}
