//! What can go wrong with a store, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none. Operator: init or join.
    #[error(
        "cannot open the store in {dir}: there is none; start a cluster with `haven cluster init` \
         or enter one with `haven cluster join`"
    )]
    Missing {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// There is one already. Operator: choose another place or remove it.
    #[error("cannot create a store in {dir}: there is one already; move it away first")]
    Exists {
        /// Where.
        dir: PathBuf,
    },
    /// Another process has it open. Operator: stop that one.
    #[error("cannot open the store in {dir}: another process has it open; stop that daemon first")]
    Locked {
        /// Where.
        dir: PathBuf,
    },
    /// A newer build wrote it. Operator: run that one again.
    #[error(
        "cannot open the store: {path} has format {found}, this build knows up to {known}; \
         run the newer haven again, or leave the cluster with it and join anew"
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u16,
        /// The newest this build reads.
        known: u16,
    },
    /// Its bytes are not what was written. Operator: join again as a new member.
    #[error(
        "cannot open the store: {path}: {what}{}; this node forgot what it voted: remove it from \
         the cluster and join it again, it gets a new number",
        set_aside.as_ref().map_or_else(String::new, |it| format!("; all of it was kept in {}", it.display()))
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
        /// Where the store was moved.
        set_aside: Option<PathBuf>,
    },
    /// No room. Operator: free some, then restart the daemon.
    #[error("cannot {doing} {path}: the disk is full; free some space, then restart the daemon")]
    DiskFull {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
    },
    /// Read-only file system. Operator: look why (often a disk error), remount, restart.
    #[error(
        "cannot {doing} {path}: the file system is read-only; see the kernel's log for why, \
         remount it, then restart the daemon"
    )]
    ReadOnly {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
    },
    /// Others may read it, and it belongs to somebody else. Operator: give it to the daemon's user.
    #[error(
        "cannot take others' rights from {path}; run as root `chown -R USER {dir}` with the user \
         that the daemon runs as, and `chmod 700 {dir}`, then start the daemon"
    )]
    Exposed {
        /// The store.
        dir: PathBuf,
        /// The file, or the store itself.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file that keeps a second process out cannot be opened. Operator: give it to the daemon's user.
    #[error(
        "cannot open {path}, the file by which a daemon keeps a second one out of the store; it must be a file that the \
         daemon's user may write: run as root `chown -R USER {dir}` with that user, or, where it is a directory, \
         move that away; then start the daemon"
    )]
    LockFile {
        /// The store.
        dir: PathBuf,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file system cannot lock files. Operator: keep the state on another one.
    #[error(
        "cannot lock {path}, by which a daemon keeps a second one out of the store; keep the daemon's state on a file \
         system of this host, not of the network"
    )]
    Unlockable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else the kernel reports.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// An earlier write or sync failed: what is on disk is not known any more.
    #[error("the store in {dir} failed before; restart the daemon once the disk is sound")]
    Failed {
        /// Which.
        dir: PathBuf,
    },
    /// More than one batch may hold. Nothing was written.
    #[error("a batch of {bytes} bytes is too large for the store")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
}

impl StoreError {
    /// The right variant for what the kernel said.
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        let kind = source.kind();
        if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::DiskFull { doing, path }
        } else if kind == io::ErrorKind::ReadOnlyFilesystem {
            Self::ReadOnly { doing, path }
        } else {
            Self::Io { doing, path, source }
        }
    }

    pub(super) fn corrupt(path: PathBuf, what: impl Into<String>) -> Self {
        Self::Corrupt { path, what: what.into(), set_aside: None }
    }
}
