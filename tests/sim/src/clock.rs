//! Clocks that run at rates of their own.

use std::time::Duration;

use haven_base::{Instant, Rng};

/// Nanoseconds of true time in a millisecond.
pub(crate) const MS: u64 = 1_000_000;
/// Nanoseconds of true time in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// One host's boot-time clock: local time as a function of true time, piecewise linear.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    true_base: u64,
    local_base: u64,
    /// Local nanoseconds per 1000 true ones.
    rate_permille: u64,
}

impl Clock {
    /// A clock that reads `local` at `now` and is right about durations.
    pub(crate) fn booted(now: u64, local: u64) -> Self {
        Self { true_base: now, local_base: local, rate_permille: 1000 }
    }

    /// From `now` on the clock runs at this rate.
    pub(crate) fn set_rate(&mut self, now: u64, rate_permille: u64) {
        self.local_base = self.at(now).as_nanos();
        self.true_base = now;
        self.rate_permille = rate_permille;
    }

    /// From `now` on the clock runs at a rate within ±ρ, often at an end.
    pub(crate) fn slew(&mut self, now: u64, rng: &mut Rng, rho_permille: u64) {
        let rate = match rng.below(3) {
            0 => 1000 - rho_permille,
            1 => 1000 + rho_permille,
            _ => 1000 - rho_permille + rng.below(2 * rho_permille + 1),
        };
        self.set_rate(now, rate);
    }

    /// What it reads at the true time `now`, which lies not before the last change of rate.
    pub(crate) fn at(&self, now: u64) -> Instant {
        let passed = (now - self.true_base) * self.rate_permille / 1000;
        Instant::from_nanos(self.local_base + passed)
    }

    /// The first true time at which it reads `local` or more, not before `now`.
    pub(crate) fn when(&self, now: u64, local: Instant) -> u64 {
        let ahead = local.as_nanos().saturating_sub(self.local_base).min(1 << 50);
        (self.true_base + (ahead * 1000).div_ceil(self.rate_permille)).max(now)
    }
}

/// The nanoseconds of a duration.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
