//! The daemon: drives the machines over the host.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking"))]

pub mod config;
pub mod trust;
