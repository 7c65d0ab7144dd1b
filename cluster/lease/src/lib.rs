//! One owner per address: the voter's promises ([`Promises`]) and the holder's claims ([`Claims`]).
//!
//! The rules are L1–L9 of ARCHITECTURE §5 (the idea of `PaxosLease`: no synchronised clocks, nothing
//! on disk); each is cited as `spec: L<n>` at the line that meets it. Both machines live on the
//! heartbeat thread inside `haven_heartbeat::Heartbeat`, which carries their messages.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::cast_possible_truncation,
        reason = "tests fail by panicking"
    )
)]

mod configuration;
mod gate;
mod promises;
mod rules;
mod terms;
mod wire;

pub use configuration::Configuration;
pub use gate::{GateOrder, LossCause, Ticket};
pub use promises::{Promise, PromiseTable};
pub use rules::{Rule, Rules};
pub use terms::Terms;
pub use wire::{Claim, Refusal, RefusalCause, Release};
