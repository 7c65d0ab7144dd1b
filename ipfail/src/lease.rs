//! The proof a start carries: a lease held right now.

use haven_base::Instant;
use haven_ipfail_proto::Lease;

/// Says that this node holds the lease which makes it the only owner of a resource's addresses.
///
/// Only the holder of a lease can say so truthfully: whoever makes one vouches that a majority has
/// promised the group to this node until `end`, and that the kernel's gate is open for it. Under it an
/// IPv6 address skips duplicate address detection, and the kernel deletes the address by itself some
/// seconds after the lease was last extended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProvenByLease(pub(crate) Lease);

impl ProvenByLease {
    /// The lease on `group` with this `epoch`, which ends at `end` (boot-time clock) unless extended by
    /// [`IpAgent::extend_lifetime`](crate::IpAgent::extend_lifetime).
    #[must_use]
    pub fn new(group: impl Into<String>, epoch: u64, end: Instant) -> Self {
        Self(Lease { group: group.into(), epoch, end })
    }

    /// The lease group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.0.group
    }

    /// When it ends unless extended.
    #[must_use]
    pub const fn end(&self) -> Instant {
        self.0.end
    }
}
