//! The commands of `haven`, as a library.
//!
//! ```text
//!            ┌──────── args: what may be typed (help, completion, man page come from it)
//!  typed ──▶ run ──▶ commands ──▶ client ──▶ control socket ──▶ daemon
//!                       │            ◀── replies, progress, events
//!                       └──▶ render: reply to text, a pure function of reply and width
//! ```
//!
//! Commands know nothing but the control API, and never import the daemon. What only the daemon's crate
//! can do (read the configuration file, run, create or join a cluster) the root binary hands in as
//! [`Daemon`]; further commands (`lab`, …) it hands in as [`Extra`], so that help, completion and manual
//! cover them, too.
//!
//! Results go to standard output, progress and errors to standard error. With `--json` the same content
//! comes as one JSON document, errors included. Exit codes are those of [`haven_api::Code`].

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod args;
mod client;
mod commands;
mod daemon;
mod duration;
mod manual;
mod output;
pub mod render;
mod run;
mod shell;
mod tools;

pub use args::{DEFAULT_CONFIG, JoinArgs, TokenArgs};
pub use client::Client;
pub use daemon::{Daemon, Initialised, Joined};
pub use run::{Extra, ExtraRun, command, configuration_file, planning_input, run};
pub use shell::snapshot::Parameter;
pub use tools::{TOOLS, run_tool, tool_called};
