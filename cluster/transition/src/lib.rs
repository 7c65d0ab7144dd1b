//! The transition engine: carries a graph out and goes on when a newer one arrives.
//!
//! ```text
//!              Graph(newer) ─────────────┐
//!                                        ▼
//!  waiting ──inputs done, no conflict──▶ in flight ──Finished(ok)──▶ done ──▶ dependents
//!                                        │
//!                                        └──Finished(failed) / NodeLost / overdue──▶ failed: dependents never run
//! ```
//!
//! Planning never waits for what is under way. A newer graph replaces the older at once: what is in
//! flight stays in flight, the same action in the newer graph is recognised as it, and an action of
//! a resource that has something else in flight waits for just that, and for the graph after it: this one
//! was made without knowing how that would end.
//!
//! Inputs: a graph, ends of flights, lost nodes, ticks. Outputs: actions to perform, overdue flights,
//! and the news that a graph is worked off or out of date. It never decides what should run, and never sends the
//! same action twice while the first is under way.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking"))]

mod engine;
#[cfg(test)]
mod tests;

pub use engine::{Engine, FlightId, InFlight, Input, MAX_RECENT, Output, RECENT};
