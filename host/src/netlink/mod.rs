//! Links, addresses, routes and neighbours over rtnetlink.
//!
//! [`Netlink`] asks and changes: the kernel handles an rtnetlink request inside the `send` call, so its
//! answer is in the socket's queue when the call returns. Changing an address takes tens of microseconds,
//! one system call to send and one to read the acknowledgement; only another configurer holding the
//! kernel's rtnl lock (a namespace being taken down) can make it wait.
//! [`NetlinkEvents`] tells what changed, whoever changed it.
//!
//! Both work in the network namespace of the thread that opened them, wherever they are used later.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel's messages and attributes are open-ended; what is not asked for is passed over"
)]

mod convert;
mod events;
mod requests;
mod sockets;

pub use events::{NetlinkEvent, NetlinkEvents};
pub use requests::Netlink;
pub use sockets::SocketDestroyer;

use std::io;

/// Why a conversation with the kernel over netlink failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// A socket could not be opened or configured.
    #[error("open a netlink socket ({step}): is CAP_NET_ADMIN missing?")]
    Open {
        /// The step that failed.
        step: &'static str,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// A request could not be sent or its answer not read.
    #[error("{attempt} over netlink: the socket failed")]
    Socket {
        /// What was attempted.
        attempt: String,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The kernel refused. `source` carries the errno.
    #[error("{attempt}: the kernel refused{}", detail.as_deref().map(|d| format!(" ({d})")).unwrap_or_default())]
    Refused {
        /// What was attempted, on what.
        attempt: String,
        /// The kernel's explanation, where it gives one.
        detail: Option<String>,
        /// The errno.
        #[source]
        source: io::Error,
    },
    /// The kernel's answer does not decode: a kernel newer than this program understands.
    #[error("{attempt}: the kernel's answer does not decode: {what}")]
    Decode {
        /// What was attempted.
        attempt: String,
        /// What the decoder said.
        what: String,
    },
    /// No answer was queued although the kernel took the request.
    #[error("{attempt}: the kernel gave no answer; the receive buffer may have overflowed")]
    NoAnswer {
        /// What was attempted.
        attempt: String,
    },
}

impl NetlinkError {
    /// The errno the kernel refused with.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } => source.raw_os_error(),
            Self::Open { .. }
            | Self::Socket { .. }
            | Self::Decode { .. }
            | Self::NoAnswer { .. } => None,
        }
    }

    /// True when the thing to change or delete was not there: no such address, device or entry.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(
            self.errno(),
            Some(libc::EADDRNOTAVAIL | libc::ENODEV | libc::ENOENT | libc::ESRCH)
        )
    }

    /// This error and all below it in one line.
    #[must_use]
    pub fn whole(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}
