//! Pure core of address takeover: plans, announcements, conflicts.
//!
//! Nothing here reads a clock or touches the system: time, chance and what the kernel says are arguments.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::cast_possible_truncation,
        reason = "tests fail by panicking"
    )
)]

pub mod announce;
mod conflict;
mod event;
pub mod frame;
pub mod holder;
mod metadata;
pub mod nic;
mod outcome;
mod pace;
pub mod params;
pub mod plan;
#[cfg(test)]
mod testing;
mod view;

pub use conflict::{ConflictWatch, DEFEND_INTERVAL, Reaction};
pub use event::{Confirmation, Event, Lease, Steps, VipState, VipStatus};
pub use metadata::{Edition, metadata};
pub use nic::NicError;
pub use outcome::{OcfCode, Outcome, Reason};
pub use pace::{Pacer, Urgency};
pub use params::{IpParams, PROTOCOL_TAG, ParamError, ParamErrors, parse};
pub use view::{View, is_up};
