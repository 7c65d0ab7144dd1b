//! Orders to the kernel's gate, and why a lease was lost.

use haven_base::Instant;
use haven_types::{Epoch, GroupId};
use serde::{Deserialize, Serialize};

/// Counts the gate orders of one process; an acknowledgement names the order it is about.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Ticket(pub u64);

/// An order to the kernel's gate. Orders of one group are carried out one after the other; a newer
/// order makes an older one that has not reached the kernel void.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum GateOrder {
    /// Keep the group's gate open until `deadline`, absolute on the boot-time clock: the kernel's
    /// timeout is `deadline` − now − 1 tick, read immediately before the write.
    Renew {
        /// The lease group.
        group: GroupId,
        /// The grant's epoch, kept beside the deadline for a successor process (L9).
        epoch: Epoch,
        /// The end of the lease. May be earlier than an earlier order's.
        deadline: Instant,
        /// Names the order in its acknowledgement.
        ticket: Ticket,
    },
    /// Delete the group's gate now, and abandon every write begun before (L3).
    Close {
        /// The lease group.
        group: GroupId,
        /// Names the order in its acknowledgement.
        ticket: Ticket,
    },
}

/// Why a lease is not held any more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum LossCause {
    /// No majority answered in time. Alone it moves nothing (L6); the machine goes on asking.
    Lapsed,
    /// The kernel did not take the gate. The machine goes on trying.
    GateFailed,
    /// A higher epoch is granted: another node may have the lease.
    Superseded,
    /// Released by order.
    Released,
}
