//! The replicated log: one order of committed entries that every member sees, over the `raft` crate.
//!
//! [`Consensus`] is a pure machine. It owns no clock, disk or socket:
//!
//! ```text
//!  Received, Propose, ForceCampaign,          Persist ──▶ store thread ──▶ Persisted
//!  PeerAlive, ChangeMembers, Tick  ──▶ step ──▶ Send, Committed, RoleChanged,
//!                                               ConfigurationInLog, Appended, Truncated, …
//! ```
//!
//! Outputs are performed in order. Everything that depends on a [`Output::Persist`] is held back
//! inside the machine until [`Input::Persisted`] names its token, so the shell needs no opinion.
//!
//! Invariants (the simulation in `tests.rs` checks each after every step): one leader per term; two
//! logs that hold the same position are equal up to it; a leader holds every committed entry;
//! committed entries are never lost, changed or reordered; a proposal is committed at most once.
//!
//! What it never does: read a clock, draw chance outside its seed, forward a proposal to another
//! node, parse the raft crate's own encoding from the network or the disk, or panic on a peer's bytes.

mod bear;
mod configuration;
mod convert;
mod drive;
mod forced;
mod guard;
mod interface;
mod machine;
mod members;
mod memory;
mod persist;
mod record;
mod resend;
mod start;
mod status;
mod ticks;
mod wire;

#[cfg(test)]
mod tests;

pub use configuration::{Configuration, ConfigurationError};
pub use interface::{
    Carrier, Config, DropReason, Event, Input, MembersReason, Output, PersistToken, ProposalId,
    ReadId, Role,
};
pub use machine::Consensus;
pub use persist::{Batch, HardState, LogEntry, Payload, Recovered, Snapshot};
pub use record::{BatchRecords, RecordError, RecoveredRecords};
pub use start::StartError;
pub use status::{Counters, PeerState, PeerStatus, Status};
