//! Coordinator duties: when to plan, what to grant, whom to ask. Composes the pure parts of a node.
//!
//! ```text
//!  heartbeat ──views, verdicts, leases──▶┌────────────┐──claims, releases──▶ heartbeat
//!  peers ──consensus, orders, status────▶│ Controller │──the same──────────▶ peers
//!  store ──persisted────────────────────▶│            │──persist───────────▶ store
//!  agents ──outcomes────────────────────▶│            │──run, abort────────▶ agents
//!  clients ──requests───────────────────▶└────────────┘──replies───────────▶ clients
//! ```
//!
//! Every node runs one. All of them follow the log and stream their own status to each other; the one
//! that leads the consensus group, the coordinator, also plans, grants leases and gives orders.
//!
//! Invariants: an order carries the term of its coordinator and a lower one is refused (L7); a leased
//! resource is ordered to start only under a grant that is committed; a dead node's resources move
//! only after the verdict (L6), never because a lease lapsed.
//!
//! What it never does: open the gate (the heartbeat machine does, on a majority's promises), read a
//! clock, wait for anything inside a step.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::wildcard_enum_match_arm,
        reason = "tests fail by panicking and look for single outputs"
    )
)]

mod address_report;
mod admission;
mod ahead;
mod alarms;
mod alerts;
mod amend;
#[cfg(test)]
mod amend_tests;
mod attribute_requests;
mod attributes;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod bench_tests;
mod blocked;
mod claims;
mod command;
mod commits;
#[cfg(test)]
mod commits_tests;
mod configure;
mod confirm;
#[cfg(test)]
mod confirm_tests;
mod contacts;
#[cfg(test)]
mod contacts_tests;
mod controller;
mod coordinate;
mod documents;
mod expelled;
mod failures;
mod foreign;
#[cfg(test)]
mod foreign_tests;
mod forwarding;
mod goals;
mod grants;
mod growth;
mod guarded;
mod heard;
mod history;
mod inherited;
mod leases;
mod leaving;
mod lifetime;
mod local;
mod log;
#[cfg(test)]
mod log_tests;
mod message;
mod minority;
#[cfg(test)]
mod minority_tests;
mod moves;
#[cfg(test)]
mod moves_tests;
mod node_requests;
mod orders;
#[cfg(test)]
mod orders_tests;
mod overview;
mod picture;
#[cfg(test)]
mod picture_tests;
mod planning;
#[cfg(test)]
mod planning_tests;
mod port;
mod quorum;
#[cfg(test)]
mod quorum_tests;
mod regroup;
#[cfg(test)]
mod regroup_tests;
#[cfg(test)]
mod reload_tests;
mod remains;
#[cfg(test)]
mod replan_tests;
mod replicated;
#[cfg(test)]
mod replicated_tests;
mod report;
mod request;
mod resource_requests;
mod starting;
#[cfg(test)]
mod upheaval_tests;
mod upon;
mod waiting;

pub use alarms::SHOWN_FOR;
pub use alerts::Alert;
pub use attributes::{AttributeChange, Traits};
pub use command::{
    Authorship, Command, DecodeCommandError, JoinRefusal, Member, Role, TokenRefusal,
};
pub use controller::{Config, Controller};
pub use guarded::{Guarded, NEVER_GRANTED};
pub use history::{NodeHistory, ResourceRecords, Slot, StatusDelta};
pub use leases::{lease_group, leased_primitives, unprotected};
pub use message::PeerMessage;
pub use planning::Planner;
pub use port::{AgentSaid, Clock, Hook, Input, Local, Output};
pub use replicated::{
    Applied, Commit, Grant, MAX_COMMIT_BYTES, MAX_COMMITS, MAX_MESSAGE, MAX_TOKENS, Replicated,
    TOKEN_LIFETIME,
};
pub use starting::{HandOver, StartControllerError};
