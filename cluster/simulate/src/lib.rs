//! `haven simulate`: what the policy engine would do, asked for a saved configuration and status or
//! for the running cluster, and what would come of it.
//!
//! ```text
//!  args ──▶ run ──▶ input ──▶ inject ──▶ haven_policy::schedule ──▶ execute ──▶ text, or JSON
//!                  (file,     (made-up      (the decision)          (the graph on paper:
//!                  running     events)                               results go into the status)
//!                  cluster)
//! ```
//!
//! Options, reports and exit codes are those of `crm_simulate`. Everything between reading and
//! writing is a function of what was read and of the time.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod args;
mod dot;
mod execute;
mod history;
mod inject;
mod input;
mod nodes;
mod profile;
mod run;
mod session;
mod text;
mod time;

pub use args::Args;
pub use input::{Live, Snapshot};
pub use run::{run, run_with};
