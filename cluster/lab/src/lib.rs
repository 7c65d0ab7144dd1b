//! A cluster in network namespaces: bed, faults and the measuring client.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::cast_possible_truncation,
        reason = "tests fail by panicking"
    )
)]

pub mod bed;
pub mod bench;
pub mod cli;
pub mod client;
pub mod cluster;
mod commits;
pub mod demo;
pub mod error;
pub mod fault;
pub mod haven;
mod interrupt;
pub mod judge;
pub mod keepalived;
pub mod measure;
pub mod namespace;
pub mod outage;
pub mod pacemaker;
pub mod processes;
pub mod relay;
pub mod resources;
pub mod ruleset;
pub mod scenario;
pub mod service;
pub mod sighting;
pub mod store;
pub mod system;
pub mod timed;
pub mod topology;
mod verdict;
pub mod wait;

pub use bed::{Bed, BedOptions};
pub use cli::{LabArgs, command, execute};
pub use cluster::Cluster;
pub use error::LabError;
pub use fault::{Fault, Noise};
pub use measure::{MeasureOptions, Measuring, Report};
pub use topology::{Family, Net, Place, Topology};
