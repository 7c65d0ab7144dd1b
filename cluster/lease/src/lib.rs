//! One owner per address: the voter's promises ([`Voter`]) and the holder's claims ([`Holder`]).
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
mod holder;
mod holding;
mod promises;
mod rounds;
mod rules;
mod terms;
mod voter;
mod wire;

pub use configuration::Configuration;
pub use gate::{GateOrder, LossCause, Ticket};
pub use holder::{Answered, Holder, HolderOutput, MAX_CLAIMS, TooManyClaims};
pub use holding::LeaseView;
pub use promises::{MAX_PROMISED_BEATS, Promise, PromiseTable};
pub use rounds::{MAX_ROUNDS, Round, Rounds};
pub use rules::{Rule, Rules};
pub use terms::Terms;
pub use voter::{Asking, MAX_GROUPS, Voter};
pub use wire::{Claim, Refusal, RefusalCause, Release};
