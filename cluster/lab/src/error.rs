//! What can go wrong between an operator and a lab.

use std::io;
use std::path::PathBuf;

/// Why a lab operation failed. Every message says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Namespaces and packet sockets need privileges.
    #[error("a lab needs root (namespaces, bridges, packet sockets): run it with sudo")]
    NotRoot,
    /// The name of a lab is outside its alphabet or length.
    #[error("{name:?} cannot name a lab: use 1 to 16 lower-case letters, digits or '-'")]
    BadName {
        /// What was asked for.
        name: String,
    },
    /// Too few or too many nodes.
    #[error("a lab of {asked} nodes cannot be built: ask for 1 to {most}, the witness included")]
    BadNodeCount {
        /// What was asked for.
        asked: u8,
        /// The most there can be.
        most: u8,
    },
    /// The kernel's table of neighbours, one for all namespaces, is too small for that many nodes.
    #[error(
        "a lab of {nodes} nodes has {needed} neighbours, and this kernel keeps {most} for all namespaces: run \
         `sysctl -w net.{family}.neigh.default.gc_thresh3=8192 net.{family}.neigh.default.gc_thresh2=4096`, \
         which lasts until the next boot, or ask for fewer nodes"
    )]
    NeighbourTable {
        /// What was asked for.
        nodes: u8,
        /// Entries that takes.
        needed: u32,
        /// Entries there may be.
        most: u32,
        /// `ipv4` or `ipv6`.
        family: &'static str,
    },
    /// A program the lab is built with is not installed.
    #[error("the lab needs the program `{program}`: install it with `apt-get install {package}`")]
    MissingProgram {
        /// The missing program.
        program: String,
        /// The Debian package that holds it.
        package: String,
    },
    /// No lab was found where one was expected.
    #[error(
        "there is no lab {name:?} ({path}); `haven lab list` shows those there are, `haven lab up` makes one"
    )]
    NoSuchLab {
        /// The lab's name.
        name: String,
        /// Where its state was looked for.
        path: PathBuf,
    },
    /// The lab has no node of that name.
    #[error("the lab has no node {node:?}; it has {known}")]
    NoSuchNode {
        /// What was asked for.
        node: String,
        /// The nodes there are.
        known: String,
    },
    /// A fault that makes no sense as given.
    #[error("fault refused: {reason}")]
    BadFault {
        /// What is wrong, and how to say it right.
        reason: String,
    },
    /// A command of the bed ended badly.
    #[error("`{command}` in {place} failed: {output}")]
    Command {
        /// What was run.
        command: String,
        /// Where it ran.
        place: String,
        /// Exit status and what it printed.
        output: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {seconds} s; {hint}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// Where to look.
        hint: String,
    },
    /// A packet socket failed.
    #[error(transparent)]
    Capture(#[from] haven_host::capture::CaptureError),
    /// A file, socket or process call failed.
    #[error("cannot {attempt}")]
    Io {
        /// What was attempted, on what.
        attempt: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A lab's state file is not what this version writes.
    #[error(
        "the lab's state {path} cannot be read; remove the lab with `haven lab down` and build it again"
    )]
    State {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
}

impl LabError {
    /// Wraps a failed system call with what was attempted.
    pub fn io(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Io { attempt, source }
    }
}
