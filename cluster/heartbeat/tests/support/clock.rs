//! Clocks that run at rates of their own.

use std::time::Duration;

use haven_base::{Instant, Rng};

/// One host's clock: local time as a function of true time, piecewise linear.
#[derive(Clone, Debug)]
pub struct Clock {
    true_base: u64,
    local_base: u64,
    /// Local nanoseconds per 1000 true ones.
    rate_permille: u64,
}

impl Clock {
    pub fn perfect() -> Self {
        Self { true_base: 0, local_base: 1_000_000_000, rate_permille: 1000 }
    }

    /// A clock somewhere within ±ρ, often at an end.
    pub fn skewed(rng: &mut Rng, rho_permille: u64) -> Self {
        let mut clock = Self::perfect();
        clock.local_base += rng.below(1_000_000_000_000);
        clock.slew(rng, rho_permille);
        clock
    }

    pub fn with_rate(rate_permille: u64) -> Self {
        Self { rate_permille, ..Self::perfect() }
    }

    pub fn rebase(&mut self, now: u64) {
        self.local_base = self.at(now).as_nanos();
        self.true_base = now;
    }

    pub fn slew(&mut self, rng: &mut Rng, rho_permille: u64) {
        self.rate_permille = match rng.below(3) {
            0 => 1000 - rho_permille,
            1 => 1000 + rho_permille,
            _ => 1000 - rho_permille + rng.below(2 * rho_permille + 1),
        };
    }

    pub fn at(&self, now: u64) -> Instant {
        let passed = (now - self.true_base) * self.rate_permille / 1000;
        Instant::from_nanos(self.local_base + passed)
    }

    /// The first true time at which this clock reads `local` or more, not before `now`.
    pub fn when(&self, now: u64, local: Instant) -> u64 {
        let ahead = local.as_nanos().saturating_sub(self.local_base);
        let ahead = ahead.min(1 << 50);
        (self.true_base + (ahead * 1000).div_ceil(self.rate_permille)).max(now)
    }
}

pub fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
