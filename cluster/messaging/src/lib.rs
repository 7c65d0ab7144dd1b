//! Messages between members: sealed datagrams, keys, replay windows and express delivery.
//!
//! Everything here is pure: bytes, time and chance are arguments. The sockets are `haven_host::socket`.
//!
//! ```text
//!   beat, express packet ──▶ Frames::seal ──▶ datagram ──▶ UDP link … UDP link ──▶ datagram ──▶ Frames::open ──▶ Opened
//!   message ──▶ Express (fragments, acknowledgements, retransmission) ──▶ express packet
//! ```
//!
//! - [`Frames`] seals and opens datagrams ([`frame`] has the layout). It is owned by one thread.
//! - [`Keyring`] says which cluster keys are in use, [`KeyChange`] moves from one to the next.
//! - [`Express`] delivers small messages exactly once over the lossy datagrams.
//! - [`Rejections`] counts what was refused, and says when a line about it is due.
//!
//! **Never:** panics or allocates without bound because of what arrived; accepts a frame twice, from a
//! node that is no member, or from an earlier life of either end; reuses a nonce.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::print_stdout,
        reason = "tests fail by panicking, and print what they measured"
    )
)]

pub mod express;
pub mod frame;
mod frames;
pub mod keyring;
pub mod reject;
pub mod replay;
mod session;

pub use express::{Class, Express};
pub use frame::Kind;
pub use frames::{Frames, Local, Opened, SealError};
pub use keyring::{ClusterKey, KeyChange, KeyChangeError, KeyNotice, Keyring};
pub use reject::{Names, Naming, Rejected, RejectionLine, Rejections};
pub use replay::{ReplayWindow, Verdict};
