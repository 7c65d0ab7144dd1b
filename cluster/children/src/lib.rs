//! Agents of others: OCF scripts, init scripts and units of systemd behind the `Agent` trait.
//!
//! ```text
//! ocf:PROVIDER:TYPE   child OCF_ROOT/resource.d/PROVIDER/TYPE ACTION, parameters in the environment
//! lsb:NAME            child /etc/init.d/NAME start|stop|status, exit codes translated
//! systemd:UNIT        jobs of the manager over D-Bus, ActiveState translated
//! service:NAME        lsb where there is such a script, else systemd
//! ```
//!
//! What it never does: take an agent's word for more than the agent's own resource; believe metadata
//! blindly ([`metadata::read`] takes what can be read and names what cannot); wait without a bound, since
//! the executor drops a call whose time is up and dropping it ends all of it.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking"))]

pub mod environment;
mod lsb;
pub mod metadata;
mod ocf;
mod service;
mod systemd;

pub use lsb::{InitScripts, init_code};
pub use ocf::{OcfAgents, OcfSettings, PathError};
pub use service::Services;
pub use systemd::{Bus, SystemdUnits};
