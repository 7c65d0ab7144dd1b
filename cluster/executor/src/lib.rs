//! Local operations: one node's queue of orders, its recurring operations, their timeouts, and the
//! leases resources run under.
//!
//! ```text
//!            Order ─▶ queue of the resource ─▶ [await lease] ─▶ agent ─▶ record ─▶ status
//!  start with lease:  Claim ─▶ LeaseGained ─▶ RunAgent(start)
//!  agents of others:  wait for a turn while as many calls as the processors can do are younger than
//!                     a quarter of a second
//!  stop with lease:   Release ─▶ LeaseReleased (gate closed, kernel acknowledged) ─▶ RunAgent(stop)
//!  no room for one:   Claim ─▶ ClaimRefused ─▶ record (a failure)
//! ```
//!
//! What it never does: run two operations of one resource at once; start a leased resource before the
//! lease is gained; obey a coordinator of a lower term (L7); call an agent by itself (the shell does).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking"))]

mod agent;
mod machine;
mod port;
#[cfg(test)]
mod release_tests;
mod resource;
mod run_times;
#[cfg(test)]
mod tests;

pub use agent::{
    Agent, AgentFuture, AgentRegistry, Carried, CarriedFuture, DescriptionFuture, HeldLease, Hook,
    HookFuture, RestartingFuture, Serves, Standing,
};
pub use machine::{BUSY_FOR, Executor, FORCE_RESTART, MAX_QUEUED_PER_RESOURCE};
pub use port::{Input, Output, RunId};
pub use run_times::{MAX_MEASURED, Measured, RunTimes};
