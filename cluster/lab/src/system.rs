//! The cluster software in a bed: haven, or one to compare it with.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bed::Bed;
use crate::error::LabError;
use crate::haven::Haven;
use crate::keepalived::Keepalived;

/// Which cluster software runs in a lab.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SystemKind {
    /// This program.
    #[default]
    Haven,
    /// keepalived with its default advertisement interval of 1 s.
    Keepalived,
    /// keepalived at its fastest that is usable: an advertisement each 30 ms.
    KeepalivedFast,
}

impl SystemKind {
    /// The software's driver.
    #[must_use]
    pub fn driver(self) -> Box<dyn System> {
        match self {
            Self::Haven => Box::new(Haven),
            Self::Keepalived => Box::new(Keepalived::new(Duration::from_secs(1))),
            Self::KeepalivedFast => Box::new(Keepalived::new(Duration::from_millis(30))),
        }
    }
}

impl fmt::Display for SystemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Haven => "haven",
            Self::Keepalived => "keepalived, 1 s",
            Self::KeepalivedFast => "keepalived, 0.03 s",
        })
    }
}

/// How a bed drives one kind of cluster software. Implementations start programs and talk to
/// them; they never look at who owns an address, which is the judge's work.
pub trait System: Send + Sync {
    /// Writes the files the nodes need and forms a cluster of them, each node's daemon running.
    ///
    /// # Errors
    /// Those of the commands behind it; a daemon that does not come up is named with its log.
    fn form(&self, bed: &Bed) -> Result<(), LabError>;

    /// Starts the daemon of `node`, once, without waiting for it.
    ///
    /// # Errors
    /// [`LabError::MissingProgram`] or [`LabError::Io`] when it could not be started.
    fn start(&self, bed: &Bed, node: &str) -> Result<(), LabError>;

    /// Whether the daemon of `node` runs.
    fn runs(&self, bed: &Bed, node: &str) -> bool;

    /// Whether every node is a member in good standing, as the software sees it.
    fn settled(&self, bed: &Bed) -> bool;

    /// Moves the address from `from` to `to` as an operator plans it; returns when the order was
    /// accepted.
    ///
    /// # Errors
    /// Those of the command behind it.
    fn switch_over(&self, bed: &Bed, vip: IpAddr, from: &str, to: &str) -> Result<(), LabError>;

    /// Takes back what [`Self::switch_over`] leaves behind (a ban, a stopped daemon).
    ///
    /// # Errors
    /// Those of the command behind it.
    fn after_switch_over(&self, bed: &Bed, from: &str) -> Result<(), LabError>;

    /// Restarts the daemon of `node` as an upgrade does it; returns when the new one was started.
    ///
    /// # Errors
    /// Those of the commands behind it.
    fn restart(&self, bed: &Bed, node: &str) -> Result<(), LabError>;

    /// Makes the software forget failures of earlier experiments, as an operator does after a repair.
    ///
    /// # Errors
    /// Those of the command behind it.
    fn forget_failures(&self, bed: &Bed) -> Result<(), LabError>;

    /// The node that coordinates, where the software has such a thing.
    fn coordinator(&self, bed: &Bed) -> Option<String>;

    /// How long after its start a node may still be without a say in who takes over: no experiment
    /// begins before, since it would meet a cluster with one node less than it seems to have.
    fn settle_time(&self) -> Duration;

    /// The same for a cluster of `members`, witnesses counted, from the start of the last of them.
    fn forming_time(&self, _members: usize) -> Duration {
        self.settle_time()
    }

    /// Whether a process with this command line belongs to the daemon.
    fn is_daemon(&self) -> fn(&str) -> bool;

    /// The log of the daemon of `node`.
    fn log(&self, bed: &Bed, node: &str) -> std::path::PathBuf {
        bed.node_dir(node).join("daemon.log")
    }
}
