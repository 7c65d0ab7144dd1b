//! What the laboratory of Pacemaker does to a cluster, each followed by the audits.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod component_kill;
mod empty_configuration;
mod maintenance;
mod near_quorum_point;
mod on_fail;
mod recover;
mod standby;
mod start_stop;
