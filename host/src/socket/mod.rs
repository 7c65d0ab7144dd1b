//! UDP, TCP and TLS sockets. No opinion on what they carry.
//!
//! - [`UdpLink`] is one heartbeat link's socket; [`wait`] and [`Waker`] are the poll loop around them.
//! - [`echo`] asks a host for one ICMP echo.
//! - [`tls`] makes TLS 1.3 configurations for the members of a cluster; [`channel`] keeps one connection
//!   to every peer and carries frames of up to 64 MiB.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::print_stderr,
        clippy::print_stdout,
        reason = "tests fail by panicking, and say what they could not try"
    )
)]

pub mod channel;
#[cfg(test)]
mod netns;
mod ping;
mod poll;
pub mod tls;
mod udp;

pub use ping::{default_router, echo};
pub use poll::{Ready, WakeHandle, Waker, wait};
pub use udp::{Batch, LinkSpec, LinkState, Pending, Received, Sent, UdpLink};
