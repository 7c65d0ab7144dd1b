//! Results of an action: an OCF number, a reason a program can match, a sentence a person can act on.

use std::fmt;

use haven_base::MacAddr;
use serde::{Deserialize, Serialize};

/// Exit codes of the Open Cluster Framework resource agent API 1.1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum OcfCode {
    /// 0: done, or running.
    Success = 0,
    /// 1: a failure that a retry or another node may cure.
    ErrGeneric = 1,
    /// 2: bad arguments.
    ErrArgs = 2,
    /// 3: unknown action.
    ErrUnimplemented = 3,
    /// 4: missing permission or capability.
    ErrPerm = 4,
    /// 5: something this host lacks.
    ErrInstalled = 5,
    /// 6: the configuration is wrong on every node.
    ErrConfigured = 6,
    /// 7: cleanly not running.
    NotRunning = 7,
}

impl OcfCode {
    /// The process exit status.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Why an action ended other than plainly well.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reason {
    /// The address is on no interface.
    Missing,
    /// The address is there with this prefix length.
    WrongPrefix {
        /// Found prefix length.
        found: u8,
    },
    /// The address is on this interface.
    WrongDev {
        /// Found interface name.
        found: String,
    },
    /// The IPv4 label is not the configured one.
    LabelDiffers {
        /// Found label.
        found: Option<String>,
    },
    /// The interface is down, or the one below it.
    LinkDown,
    /// Duplicate address detection still runs.
    Tentative,
    /// Duplicate address detection found the address on another station.
    DadFailed,
    /// Another station claims the address.
    DuplicateSeen {
        /// That station's hardware address.
        mac: MacAddr,
    },
    /// Nobody asked through the address has answered.
    NoGatewayReply,
    /// The configured interface does not exist; the address follows as soon as it does.
    Pending,
    /// The configured interface does not exist and `require-dev=yes`.
    NoSuchDev,
    /// The lease that allows the address has ended.
    LeaseEnded,
    /// The kernel's gate, which makes a lease's end true, is not in force on the interface.
    Ungated,
    /// Parameters are missing, unknown or contradict each other.
    BadParameters,
    /// No interface could be chosen by route.
    NoRoute,
    /// The kernel refused, or the agent's sockets failed.
    Kernel,
}

/// What an action of the agent came to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The OCF number.
    pub code: OcfCode,
    /// The reason, where there is more to say than the number.
    pub reason: Option<Reason>,
    /// For a person: what was attempted, on what, what was found, what to do. May be empty on success.
    pub text: String,
}

impl Outcome {
    /// Plain success.
    #[must_use]
    pub const fn success() -> Self {
        Self { code: OcfCode::Success, reason: None, text: String::new() }
    }

    /// Success with something to tell.
    #[must_use]
    pub fn success_but(reason: Reason, text: impl Into<String>) -> Self {
        Self { code: OcfCode::Success, reason: Some(reason), text: text.into() }
    }

    /// Cleanly not running.
    #[must_use]
    pub fn not_running(text: impl Into<String>) -> Self {
        Self { code: OcfCode::NotRunning, reason: Some(Reason::Missing), text: text.into() }
    }

    /// A failure.
    #[must_use]
    pub fn failed(code: OcfCode, reason: Reason, text: impl Into<String>) -> Self {
        Self { code, reason: Some(reason), text: text.into() }
    }

    /// True for [`OcfCode::Success`].
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code == OcfCode::Success
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() {
            write!(f, "{:?} ({})", self.code, self.code.code())
        } else {
            write!(f, "{} ({:?}, {})", self.text, self.code, self.code.code())
        }
    }
}
