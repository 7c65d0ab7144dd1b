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

mod event;
mod outcome;
pub mod params;

pub use event::{Confirmation, Event, Lease, VipState, VipStatus};
pub use outcome::{OcfCode, Outcome, Reason};
pub use params::{IpParams, PROTOCOL_TAG, ParamError, ParamErrors, parse};
