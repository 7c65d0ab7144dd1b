//! The machine of the heartbeat thread: membership and lease over one beat.
//!
//! [`Heartbeat`] is pure. A shell on a dedicated realtime thread owns it: it takes datagrams from the
//! links' sockets, opens their frames, and calls [`Heartbeat::step`] with a clock read after that; it
//! carries out the [`Output`]s in order, and calls `step` with [`Input::Tick`] at
//! [`Heartbeat::deadline`].
//!
//! What safety asks of the shell and of the log beside it:
//! - `now` is read after the datagram left the socket, and before anything the step says is sent (L2, L3);
//! - a voter acknowledges a configuration entry to the coordinator only after the machine has taken it
//!   in ([`Input::Configurations`]): an answer must name what its sender's log holds (L5);
//! - a gate order is acknowledged after the kernel took it; [`GateOrder::Close`] only once no earlier
//!   order of its group can reach the kernel any more (L3);
//! - a new process starts after the old one is dead, with a higher boot id, and with
//!   [`Start::HandedOver`] only for a table that has been deleted from where it was kept (L4, L9);
//! - the coordinator keeps [`Terms::configuration_spacing`] between voter configurations (L5).
//!
//! What it never does: read a clock, own anything without a completed round trip with a majority, or
//! fail on what a peer sends.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::cast_possible_truncation,
        reason = "tests fail by panicking"
    )
)]

mod answering;
mod config;
mod copies;
mod machine;
mod message;
mod pace;
mod port;
mod sending;
mod status;

pub use config::{Config, Held, Member, Role, Start};
pub use haven_lease::{
    Claim, Configuration, GateOrder, LeaseView, LossCause, MAX_CLAIMS, Promise, PromiseTable,
    Refusal, RefusalCause, Release, Rule, Rules, Terms, Ticket,
};
pub use haven_membership::{PeerState, View};
pub use machine::{HandOver, Heartbeat};
pub use message::{
    Answer, Beat, DecodeMessageError, Echo, Echoes, MAX_MESSAGE_BYTES, MESSAGE_VERSION, Message,
    Unheard,
};
pub use port::{Input, Output};
pub use status::{Counters, LeaseStatus, LinkFault, LinkStatus, PeerStatus, Status};
