//! The daemon: drives the machines over the host.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking"))]

pub mod beat;
mod checks;
pub mod config;
mod control;
mod daemon;
mod membership;
mod people;
pub mod trust;

pub use control::ControlError;
pub use daemon::{BuiltIn, End, StartError, rewrite_hand_over, run};
pub use membership::{MembershipError, init, join};
