//! What a node's two threads decide around their machines. [`Hub`] is the main thread: how its controller,
//! the delivery of messages, agents, connections, members and the end of a life are joined. [`Heart`] is the
//! heartbeat thread: in which order its machine is told things, and where goes what it says. [`Beginning`]
//! is what both begin with.
//!
//! ```text
//!  heartbeat thread ──reports, packets, lives──▶┌───────────────────────────┐──orders, packets──▶ heartbeat thread
//!  connections ──frames──▶ Frame ──────────────▶│ Hub                       │──frames──────────▶ connections
//!  store, agents ──done, said──────────────────▶│  Express ⇄ Core           │──persist, run────▶ store, agents
//!  clients ──requests──▶ wait for a coordinator▶│  (Controller) ▶ Guarded   │──replies, serve──▶ clients
//!  signals ──terminate─────────────────────────▶│  Phase: how a life ends   │──entries─────────▶ gate
//!                                               └───────────────────────────┘──end─────────────▶ the process
//! ```
//!
//! The daemon and the simulation of whole clusters both drive these machines: what one of them shows holds
//! for the other. A shell tells [`Hub::step`] everything that happens, in order, takes the
//! [effects](Hub::next_effect) and carries them out in the order in which it gets them. When it has told
//! all there is to tell, it says [`Happening::Tick`]; it does so again at the [deadline](Hub::deadline).
//!
//! Invariants: effects leave in the order in which they were decided, also when a shell tells something
//! while it carries out others, so tokens of the store only rise; an address stands under the gate before
//! anything that follows from it; who is no member is not listened to and leaves nothing behind; whoever
//! is being replaced under long leases (L9) decides nothing more once it said so.
//!
//! What it never does: read a clock, draw chance, wait, change what the controller says.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::wildcard_enum_match_arm,
        reason = "tests fail by panicking and look for single effects"
    )
)]

#[cfg(test)]
mod bed;
mod beginning;
mod departing;
mod ending;
mod frame;
mod heart;
mod hub;
mod leases;
mod peers;
mod port;
mod requests;
#[cfg(test)]
mod tests;

pub use beginning::{Beginning, Origin};
pub use ending::{LEAVE_LIMIT, LEAVE_PATIENCE, Phase, RESTART_PATIENCE};
pub use frame::Frame;
pub use heart::{Errand, Heart, Turn};
pub use hub::{Addresses, Config, Core, Hub};
pub use leases::{EXTEND_EVERY, LEAST_LEASE};
pub use peers::STALE;
pub use port::{Effect, End, Happening};
pub use requests::{COORDINATOR_PATIENCE, MAX_DEFERRED};
