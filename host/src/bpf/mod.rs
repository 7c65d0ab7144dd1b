//! The kernel's BPF machine: maps, programs, and hooks on network devices, over raw `bpf(2)`.
//!
//! Programs are written with the small assembler in [`asm`]; no compiler is needed at build time and no
//! library at run time. Nothing here knows what a program is for.

pub mod asm;
mod attach;
mod map;
mod program;
mod sys;

pub use attach::{Hook, attach, attached, detach, replace};
pub use map::{Map, MapInfo};
pub use program::{Program, ProgramInfo, TestRun};

use std::io;

/// Longest name of a map or program in bytes; the kernel keeps one more for the terminator.
pub const NAME_LEN: usize = 15;

/// A `bpf(2)` command that failed.
#[derive(Debug, thiserror::Error)]
pub enum BpfError {
    /// The kernel refused the command.
    #[error("cannot {attempted}: {source}")]
    Command {
        /// What was attempted, on what.
        attempted: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The verifier refused a program: a defect of the program or a kernel too old for it.
    #[error("cannot load the program {name}: {source}; the verifier said: {log}")]
    Verifier {
        /// The program's name.
        name: String,
        /// The kernel's answer.
        source: io::Error,
        /// The end of the verifier's log.
        log: String,
    },
    /// A program could not be assembled: an unknown label or a jump too far.
    #[error(transparent)]
    Assemble(#[from] asm::AssembleError),
}

impl BpfError {
    fn command(attempted: impl Into<String>, source: io::Error) -> Self {
        Self::Command { attempted: attempted.into(), source }
    }

    /// The error number the kernel answered with, where there is one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Command { source, .. } | Self::Verifier { source, .. } => source.raw_os_error(),
            Self::Assemble(_) => None,
        }
    }
}
