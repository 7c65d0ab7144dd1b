//! Whole clusters in one process: clocks, network, disks, kernels' gates, crashes, pauses, people and
//! changes of members, all from one seed.
//!
//! ```text
//!           requests, joins          faults
//!                 │                     │
//!  ┌──────────────▼─────────────────────▼───────────────┐
//!  │ World: agenda under true time                      │──every step──▶ Checks (invariants/)
//!  │  Host: clock · kernel (gates, addresses) · disk    │──every step──▶ Trace
//!  │    Process: BeatThread ⇄ MainThread ⇄ agents       │
//!  │      Heart, Frames       Hub (Controller, Express) │
//!  └──────────────┬─────────────────────────────────────┘
//!                 ▼ datagrams (sealed), connections
//!              Network
//! ```
//! The machines are the daemon's own; what is simulated is everything around them. A life has two
//! halves: a storm, in which only safety is judged, and the calm after it, in which the cluster must
//! have exactly one owner for every address again and keep it.
//!
//! A failing seed prints the command that replays it with its trace.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a bed for tests: it fails by panicking"
)]

mod agents;
mod beat;
mod clock;
mod connections;
mod disk;
mod host;
mod invariants;
mod joining;
mod kernel;
mod life;
mod main_thread;
mod network;
mod people;
mod plans;
mod processes;
mod services;
mod settings;
mod storm;
mod threads;
mod trace;
mod verbs;
mod world;

pub use haven_heartbeat::{Rule, Rules};
pub use invariants::Broken;
pub use life::{Ended, Life};
pub use settings::{Faults, Mutant, Settings};
pub use verbs::Verb;
