//! What can go wrong with the gate, and what to do about it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use haven_base::Instant;

use crate::bpf::BpfError;

/// A gate that cannot be put in force or changed.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The process may not do what the gate needs. Fixed by the operator.
    #[error(
        "cannot put the gate in force: this process lacks {}; run haven as root, or give its service \
         AmbientCapabilities={}",
        missing.join(" and "),
        missing.join(" ")
    )]
    Capability {
        /// Names of the capabilities.
        missing: Vec<&'static str>,
    },
    /// The kernel has no such mechanism. Fixed by the operator.
    #[error("cannot put the gate in force: this kernel has no {what}; {remedy}")]
    Unsupported {
        /// What is missing.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Another process has the gate; it may be stopped. A retry helps once it is dead.
    #[error(
        "cannot take the gate: {} is held by {}; the gate has one process at a time, so end that one \
         first (a stopped process holds it, too: kill -9)",
        path.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Held {
        /// The lock.
        path: PathBuf,
        /// Its holder, as far as it can be read.
        pid: Option<u32>,
    },
    /// The lock file cannot be made. Fixed by the operator.
    #[error("cannot take the gate: the lock {} is not usable: {source}", path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel's programs and this process read different clocks. Fixed by the operator.
    #[error(
        "cannot put the gate in force: this process reads {process:?} on CLOCK_BOOTTIME while the \
         kernel's programs do not; run haven outside a time namespace"
    )]
    Clock {
        /// What the process read.
        process: Instant,
    },
    /// An entry that makes no sense. Fixed by the operator.
    #[error("cannot gate the address {address}: {reason}")]
    Entry {
        /// The address.
        address: IpAddr,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A table is full. Fixed by the operator.
    #[error("cannot gate more than {limit} {what}; spread the resources over more nodes")]
    Full {
        /// What there are too many of.
        what: &'static str,
        /// How many fit.
        limit: u32,
    },
    /// Maps left by another version of haven do not fit. Fixed by the operator.
    #[error(
        "cannot take over the gate left on device {device}: {found}; stop the resources on this node, \
         remove that gate with the version of haven that made it, or restart the node"
    )]
    Foreign {
        /// Index of the device.
        device: u32,
        /// What does not fit.
        found: String,
    },
    /// The kernel refused a BPF command.
    #[error(transparent)]
    Bpf(#[from] BpfError),
    /// The kernel refused or garbled a netlink request.
    #[error("cannot {attempted}: {source}")]
    Netlink {
        /// What was attempted, on what.
        attempted: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel acknowledged a timed write too late, several times. The group keeps its earlier deadline;
    /// a retry may help.
    #[error(
        "cannot renew group {group}: the kernel took longer than {limit:?} to acknowledge, so the \
         renewal was taken back; this host is starved of processor time"
    )]
    Slow {
        /// The lease group.
        group: u32,
        /// How long a write may take.
        limit: Duration,
    },
    /// A file that describes this process cannot be read.
    #[error("cannot read {path}: {source}; haven needs /proc")]
    Proc {
        /// The file.
        path: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl GateError {
    /// The kernel has no BPF, or forbids it to a process that holds the capabilities in its own namespace.
    pub(super) fn bpf_refused(&self) -> bool {
        let forbidden = |error: &BpfError| error.errno() == Some(libc::EPERM);
        matches!(self, Self::Unsupported { .. }) || matches!(self, Self::Bpf(e) if forbidden(e))
    }

    pub(super) fn netlink(attempted: impl Into<String>, source: io::Error) -> Self {
        Self::Netlink { attempted: attempted.into(), source }
    }
}
