//! Identifiers. Two that could be swapped by mistake are two types.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A member's number, 1 to 65 535, given when it joins and never given again. It is also its
    /// voter id in the consensus group.
    NodeId(u16)
}
id! {
    /// One life of a node's daemon. Larger means later on the same node; kept durably and raised
    /// before the first frame leaves.
    BootId(u64)
}
id! {
    /// A heartbeat link's number, 0 to 7, equal on all nodes.
    LinkId(u8)
}
id! {
    /// Counts the beats of one boot.
    Seq(u64)
}
id! {
    /// A consensus term.
    Term(u64)
}
id! {
    /// A position in the replicated log.
    LogIndex(u64)
}
id! {
    /// A lease group: the resources that share one lease. Assigned by the log, never reused.
    GroupId(u32)
}
id! {
    /// How often a lease group was granted. Every grant the log commits raises it by one.
    Epoch(u64)
}

/// A log entry's identity: its term, then its index. Ordered as consensus orders logs.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct LogPosition {
    /// Term of the coordinator that appended the entry.
    pub term: Term,
    /// Place in the log.
    pub index: LogIndex,
}
