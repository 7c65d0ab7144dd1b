//! Versioned requests, replies and events of the control socket.
//!
//! The daemon listens on a local stream socket (`control.sock` in its run directory, mode 0600, peers
//! checked by their credentials). Each line is one JSON document: the client writes a [`Request`], the
//! daemon answers with one or more [`Reply`] lines that carry the same `id`, the last of which says
//! `"more": false`. Several requests may be under way on one connection; replies of different requests
//! may interleave.
//!
//! Everything a person can do to a running cluster goes through here: the command line and the web page
//! know no other way. This crate holds the vocabulary and the line codec; it opens no socket and keeps no
//! state. Durations are whole milliseconds, and their names end in `_ms`.
//!
//! # Versions
//! [`VERSION`] is raised when a change would make an older reader misunderstand a line. Replies may gain
//! fields without raising it: clients skip what they do not know. A daemon refuses a field of a request
//! that it does not know, since ignoring it would do something else than was asked, and a request of
//! another version with [`Code::Unavailable`], naming both versions.

mod attribute;
mod configure;
mod error;
mod event;
mod ip;
mod reply;
mod request;
mod status;
mod verdict;
mod wire;

pub use attribute::{AttributeLifetime, AttributeRow};
pub use configure::{
    CommitRow, Finding, Format, Load, LoadMode, ObjectChange, ObjectEdit, Severity, Version,
};
pub use error::{ApiError, Code};
pub use event::{Event, EventSeverity, EventsMissed};
pub use ip::{AddressRow, AddressState, Announcement, IpWhy, NodeReason};
pub use reply::{Hello, Notice, ReplyBody, Token};
pub use request::{RequestBody, StandbyLifetime};
pub use status::{
    Active, Coordinator, FailedAction, FailureRow, Gate, Intent, LeaseState, LinkHealth, LinkState,
    NodeState, NodeStatus, PendingAction, QuorumStatus, ResourceKind, ResourceStatus, Role, Status,
    Vote,
};
pub use verdict::{Level, Verdict};
pub use wire::{DecodeLineError, MAX_LINE, Reply, Request, VERSION, decode_line, encode_line};
