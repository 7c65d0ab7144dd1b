//! Votes, tie-break, wait-for-all: who may act, as a pure function.
//!
//! ```text
//!  options, members ──check──▶ Rules        Rules, view, history ──judge──▶ Verdict
//!                                           Rules, view, history, time ──note──▶ history'
//! ```
//!
//! Options, names and defaults are votequorum's. What must be remembered between views ([`History`])
//! is a value of its own, so that every answer can be computed again from what is on record.
//!
//! Quorum here decides whether a partition may run resources. It is not the majority of the
//! consensus group or of a lease: those need more than half of the *voters*, always, and
//! [`Rules::lease_majority`] says whether this membership can ever give one that survives a loss.
//!
//! What it never does: read a clock, or lower the expected votes for leases.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::cast_possible_truncation,
        reason = "tests fail by panicking"
    )
)]

mod history;
mod options;
mod verdict;

#[cfg(test)]
mod tests;

pub use history::History;
pub use options::{
    Kind, LeaseRefusal, Member, Options, OptionsError, Rules, TieBreaker, TieBreakerNode,
};
pub use verdict::{Reason, Verdict};
