//! What agents are told of the leases that their resources run under.

use std::time::Duration;

use haven_base::Instant;
use haven_executor::HeldLease;
use haven_types::operation::{Lease, Operation};

use crate::hub::{Core, Hub};
use crate::port::Effect;

/// Assumed of a lease whose end has not been reported yet: the shortest there is.
pub const LEAST_LEASE: Duration = Duration::from_millis(60);
/// What expires behind a lease is extended this often.
pub const EXTEND_EVERY: Duration = Duration::from_secs(1);

impl<C: Core> Hub<C> {
    /// A lease with its end. Known ends are those of the gain; a lease that had not been renewed since
    /// would have been told as lost. The kernel's gate judges in any case.
    pub(crate) fn held(&self, now: Instant, lease: Lease) -> HeldLease {
        let known = self.leases.get(&lease.group).filter(|(epoch, _)| *epoch == lease.epoch);
        let at_least = now + LEAST_LEASE;
        let until = known.map_or(at_least, |(_, until)| (*until).max(at_least));
        HeldLease { lease, until }
    }

    /// What expires by itself behind a lease must not expire while the lease goes on.
    pub(crate) fn extend(&mut self, now: Instant) {
        if now < self.extend_at {
            return;
        }
        self.extend_at = now + EXTEND_EVERY;
        let started: Vec<(Operation, Lease)> = self
            .controller()
            .started()
            .filter_map(|(operation, lease)| lease.map(|lease| (operation.clone(), lease)))
            .collect();
        if !started.is_empty() {
            self.effect(Effect::Extend(started));
        }
    }
}
