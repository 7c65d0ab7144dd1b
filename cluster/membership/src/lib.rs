//! Failure detection per link and node, and view formation.
//!
//! [`Detector`] learns from arrivals how regularly each peer is heard, suspects a peer that is silent
//! for longer, and declares it dead once a majority of the voters agrees at the same time (L6 of
//! ARCHITECTURE §5). Link faults are told from node faults: a link is down when it alone is silent.
//! It lives inside `haven_heartbeat::Heartbeat`, whose beats carry its reports.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::cast_possible_truncation,
        reason = "tests fail by panicking"
    )
)]

mod detector;
#[cfg(test)]
mod detector_tests;
mod link;
mod peaks;
mod peer;
mod view;

pub use detector::{
    AWAY_MAX, Clauses, Detector, JITTER_MAX, NEVER_HEARD_AFTER, Report, SILENCE_FLOOR,
    SILENCE_UNSURE, Verdict,
};
pub use link::LinkState;
pub use peaks::Peaks;
pub use peer::{Peer, PeerState};
pub use view::{FLAP_HOLD, PART_AFTER, View};
