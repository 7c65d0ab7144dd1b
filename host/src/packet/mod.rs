//! Raw Ethernet frames: ARP and IPv6 neighbour discovery, out and in.
//!
//! Frames leave through the queueing discipline (`PACKET_QDISC_BYPASS` is never set): the gate's egress
//! hook sits there and must see our own announcements, too.

mod filter;
mod socket;

pub use socket::{Heard, Listener, Sender};

use std::io;

use haven_base::IfIndex;

/// Why a raw frame could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// A packet socket could not be opened.
    #[error("open a packet socket ({step}): is CAP_NET_RAW missing?")]
    Open {
        /// The step that failed.
        step: &'static str,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The kernel did not take the frame. `EPERM` and `ENOBUFS` here mean that a filter (the gate) or
    /// the queueing discipline dropped it.
    #[error("send a frame of {bytes} bytes by interface {index}")]
    Send {
        /// Interface.
        index: IfIndex,
        /// Frame length.
        bytes: usize,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// Receiving failed for good.
    #[error("receive frames")]
    Receive {
        /// The system's word.
        #[source]
        source: io::Error,
    },
}
