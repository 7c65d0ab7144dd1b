//! Small messages between members, each delivered exactly once over datagrams that get lost.
//!
//! [`Express`] is a pure machine for all peers of a node. It cuts messages into fragments, numbers them,
//! repeats those not acknowledged, and puts them together at the other end. A message is at most
//! [`MAX_MESSAGE`] bytes; larger things go over the TLS channel.
//!
//! ```text
//!  Send ─▶ queue per class ─window▶ in flight ─Transmit▶ ~~~ ─Received▶ fragments ─▶ in order per stream ─▶ Delivered
//!                                      ▲ repeat after max(10 ms, 1.5 × RTT) │
//!                                      └──────────── acknowledgement ◀──────┘
//! ```
//! **Sessions.** Numbers belong to the pair (our boot id, the peer's boot id). When a peer restarts,
//! what was queued or in flight for its earlier life is dropped and said so ([`Output::PeerReset`]);
//! nothing is ever delivered to another life than the one it was sent to.
//!
//! **Links.** Every packet may go over any link. Small messages and all repetitions go over two links at
//! once when there are two.
//!
//! **Never:** delivers twice; delivers the messages of an ordered stream out of order; holds back a
//! stream, or unordered messages, for the sake of another; queues beyond [`MAX_QUEUED`] messages or
//! [`MAX_QUEUED_BYTES`] for a peer; repeats a message for a peer that was removed.

mod machine;
mod packet;
mod receiver;
mod rtt;
mod sender;
#[cfg(test)]
mod tests;

use haven_base::Instant;
use haven_types::{BootId, LinkId, NodeId};
use serde::{Deserialize, Serialize};

pub use machine::{Express, PeerStatus, Status};
pub use packet::MAX_PACKET;

/// Longest message in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Longest piece of a message in one packet, in bytes.
pub const FRAGMENT: usize = 1_100;
/// Messages waiting for the window of one peer.
pub const MAX_QUEUED: usize = 1_024;
/// Bytes waiting for the window of one peer.
pub const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;

/// The order a message keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// None: delivered as soon as it is complete.
    Unordered,
    /// After all earlier messages of the same stream to the same peer.
    Ordered(u8),
}

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Deliver these bytes.
    Send {
        /// The receiver.
        to: NodeId,
        /// Their order.
        class: Class,
        /// At most [`MAX_MESSAGE`].
        bytes: Vec<u8>,
        /// Drop the message if its first packet could not leave before this ([`Output::Expired`]).
        /// Once a packet left, it is repeated until it arrives or the peer is reset.
        expires: Option<Instant>,
    },
    /// An express packet in an authentic, fresh frame.
    Received {
        /// Its sender.
        from: NodeId,
        /// The sender's boot id.
        boot: BootId,
        /// The link it came by.
        link: LinkId,
        /// The frame's payload.
        bytes: Vec<u8>,
    },
    /// Any authentic, fresh frame of a peer: tells its boot id sooner than a packet of its own would.
    /// Needed once per boot; harmless at any time.
    Heard {
        /// The peer.
        from: NodeId,
        /// Its boot id.
        boot: BootId,
    },
    /// Whether a peer can be reached by a link. All links are tried as long as all are said to be down.
    LinkState {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// True when beats pass.
        up: bool,
    },
    /// The peer is no member any more: forget it.
    PeerGone {
        /// The peer.
        peer: NodeId,
    },
    /// The deadline has come. Harmless at any time.
    Tick,
}

/// What the machine wants done or known, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Seal these bytes as [`Kind::Express`](crate::Kind::Express) and send them.
    Transmit {
        /// The receiver.
        to: NodeId,
        /// The link to send by.
        link: LinkId,
        /// At most [`MAX_PACKET`].
        bytes: Vec<u8>,
    },
    /// A message arrived, for the first and only time.
    Delivered {
        /// Its sender.
        from: NodeId,
        /// The life of the sender that sent it.
        boot: BootId,
        /// Its order.
        class: Class,
        /// The message.
        bytes: Vec<u8>,
    },
    /// The peer runs anew. Messages to its earlier life that were not acknowledged may or may not have
    /// been delivered; they are not repeated.
    PeerReset {
        /// The peer.
        peer: NodeId,
        /// Its new boot id.
        boot: BootId,
        /// Messages dropped.
        dropped: usize,
    },
    /// A message was not taken.
    Overflow {
        /// Its receiver.
        to: NodeId,
        /// Its order.
        class: Class,
        /// Its length in bytes.
        length: usize,
        /// Why.
        cause: OverflowCause,
    },
    /// A message was dropped unsent, its time being over.
    Expired {
        /// Its receiver.
        to: NodeId,
        /// Its order.
        class: Class,
    },
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OverflowCause {
    /// Longer than [`MAX_MESSAGE`].
    TooLong,
    /// [`MAX_QUEUED`] or [`MAX_QUEUED_BYTES`] reached: the peer does not answer or is too slow.
    QueueFull,
}
