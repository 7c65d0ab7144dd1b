//! The voter's side: what this node has promised to whom, and until when.

use std::collections::BTreeMap;

use haven_base::Instant;
use haven_types::{BootId, Epoch, GroupId, NodeId, Seq};
use serde::{Deserialize, Serialize};

/// All promises of one voter, as one process hands them to the next (same kernel boot only).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PromiseTable {
    /// Per group: the holder, and the ends of its promised beats.
    pub promises: BTreeMap<GroupId, Promise>,
    /// Until when this voter promises nothing to anyone, if that has not passed.
    pub silent_until: Instant,
    /// The highest epoch per group the voter's log held.
    pub epochs: BTreeMap<GroupId, Epoch>,
}

/// What is promised about one group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Promise {
    /// To whom.
    pub holder: NodeId,
    /// Promised beats and the end of each promise; a later beat is listed beside an earlier one
    /// only while the earlier one's promise runs longer.
    pub beats: Vec<(BootId, Seq, Instant)>,
}
