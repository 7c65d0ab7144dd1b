//! The clock deadlines are measured by.

use haven_base::Instant;
use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_BOOTTIME`, which counts suspend and which the kernel's programs read too.
pub(super) fn boot_time() -> Instant {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    Instant::from_nanos(seconds.saturating_mul(1_000_000_000) + nanos)
}
