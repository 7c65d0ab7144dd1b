//! The machine of the heartbeat thread: membership and lease over one beat.
//!
//! [`Heartbeat`] is pure. A shell on a dedicated realtime thread owns it: it takes datagrams from the
//! links' sockets, opens their frames, and calls [`Heartbeat::step`] with a clock read after that; it
//! carries out the [`Output`]s in order, and calls `step` with [`Input::Tick`] at
//! [`Heartbeat::deadline`].

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::cast_possible_truncation,
        reason = "tests fail by panicking"
    )
)]

mod config;
mod machine;
mod message;
mod pace;
mod port;
mod sending;
mod status;

pub use config::{Config, Held, Member, Role, Start};
pub use haven_lease::{
    Claim, Configuration, GateOrder, LossCause, Promise, PromiseTable, Refusal, RefusalCause,
    Release, Rule, Rules, Terms, Ticket,
};
pub use haven_membership::{PeerState, View};
pub use machine::{HandOver, Heartbeat};
pub use message::{
    Answer, Beat, DecodeMessageError, MAX_MESSAGE_BYTES, MESSAGE_VERSION, Message, Unheard,
};
pub use port::{Input, Output};
pub use status::{Counters, LeaseStatus, LinkFault, LinkStatus, PeerStatus, Status};
