//! The process clock. Everything else is told the time.

use std::time::{Duration, SystemTime};

use haven_base::{Instant, WallTime};
use rustix::time::{ClockId, clock_getres, clock_gettime};

/// Now on `CLOCK_BOOTTIME`, which counts suspend. The kernel's gate compares with the same clock.
#[must_use]
pub fn boot_time() -> Instant {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    Instant::from_nanos(seconds.saturating_mul(1_000_000_000) + nanos)
}

/// Now on the civil clock; 1970 where it is set before that. It is asked through the C library, so that a
/// rehearsal can put another in its place.
#[must_use]
pub fn wall_time() -> WallTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime { seconds: i64::try_from(now.as_secs()).unwrap_or(0), nanos: now.subsec_nanos() }
}

/// The kernel's timer tick (1/HZ), 1 to 10 ms on Linux: the granularity of its coarse clocks.
#[must_use]
pub fn kernel_tick() -> Duration {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    let nanos = u64::try_from(tick.tv_nsec).unwrap_or(10_000_000);
    Duration::from_nanos(nanos.clamp(1_000_000, 10_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back_and_the_tick_is_a_real_one() {
        let (first, second) = (boot_time(), boot_time());
        assert!(first <= second && first > Instant::ZERO);
        assert!((1..=10).contains(&u64::try_from(kernel_tick().as_millis()).unwrap_or(0)));
        assert!(wall_time().seconds > 1_700_000_000);
    }
}
