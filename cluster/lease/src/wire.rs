//! The lease's part of beats and answers.

use haven_types::{Epoch, GroupId, Seq};
use serde::{Deserialize, Serialize};

/// A holder's claim on one lease group, repeated in every beat (L1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// The lease group.
    pub group: GroupId,
    /// The grant that permits the claim.
    pub epoch: Epoch,
    /// The newest beat of this boot within whose lease the kernel acknowledged a gate, if any:
    /// voters forget promises from earlier beats (L2).
    pub gated: Option<Seq>,
}

/// A holder's statement that its gate is gone (L2). Cancels promises from beats of the sender's
/// boot before `before`, and from all its older boots.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Release {
    /// The lease group.
    pub group: GroupId,
    /// The first beat that is not cancelled.
    pub before: Seq,
}

/// Why a voter did not promise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum RefusalCause {
    /// Another node holds an unexpired promise.
    Promised,
    /// The voter's log holds a higher epoch: somebody else was granted the lease since.
    OlderEpoch,
    /// The beat's duration is above `D_max`.
    TooLong,
    /// The voter started, or became a voter, too short a time ago.
    TooNew,
    /// The answering node is not a voter as far as its log says.
    NotVoter,
    /// The claim is older than a release or a gate the voter has heard of.
    Stale,
    /// The voter already keeps promises about its limit of groups.
    TooMany,
}

/// A voter's refusal of one claim. Claims of the beat that are not refused are promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// The lease group.
    pub group: GroupId,
    /// Why.
    pub cause: RefusalCause,
    /// For [`RefusalCause::Promised`] and [`RefusalCause::TooNew`]: microseconds from the answer
    /// until the voter could promise. 0 otherwise.
    pub retry_micros: u32,
}
