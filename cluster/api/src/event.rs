//! What happened, as a stream that a reader can resume.

use haven_base::WallTime;
use serde::{Deserialize, Serialize};

/// How much an event matters to an operator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventSeverity {
    /// Expected course of things.
    Info,
    /// Somebody should look in working hours.
    Warning,
    /// A service is or may be affected.
    Error,
}

/// Events that a reader asked for and cannot have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EventsMissed {
    /// Cursor of the first of them.
    pub first: u64,
    /// Cursor of the last; 0 where nobody knows how many there were, since the daemon started anew.
    pub last: u64,
    /// The daemon has started anew since the reader's cursor: the stream goes on with its first event.
    pub restarted: bool,
}

/// One event, as this node saw it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Position in this node's stream for this life of its daemon. Ask for `Watch` with it to go on.
    pub cursor: u64,
    /// When it happened by this node's civil clock.
    pub at: WallTime,
    /// Name of the node that reports it.
    pub node: String,
    /// Stable code, `HV` and four digits.
    pub code: String,
    /// How much it matters.
    pub severity: EventSeverity,
    /// What it is about, as `kind/name`: `resource/vip`, `node/n2`, `link/0`.
    pub subject: String,
    /// One sentence.
    pub text: String,
}
