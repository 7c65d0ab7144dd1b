//! The arithmetic of the lease: how long a promise, a lease and a silence last.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Rule, Rules};

/// The constants every node of a cluster shares, and the local clock's tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Terms {
    /// ρ in thousandths: bound on how far a clock's rate is from true time. 100 (clock slewing can
    /// reach 8 %).
    pub rho_permille: u32,
    /// The local kernel's measured timer tick, e.g. 4 ms.
    pub tick: Duration,
    /// `D_max`: the longest duration a voter promises. Equal on all nodes; 5 s.
    pub d_max: Duration,
    /// The clauses in force.
    pub rules: Rules,
}

impl Terms {
    /// How long a voter's promise for a beat of duration `d` runs from its processing of the beat:
    /// D·(1+ρ) + 2 ticks (L2).
    #[must_use]
    pub fn promise(&self, d: Duration) -> Duration {
        let drift =
            if self.rules.has(Rule::PromiseDrift) { self.rho_of(d) } else { Duration::ZERO };
        let ticks = if self.rules.has(Rule::PromiseTicks) { self.tick * 2 } else { Duration::ZERO };
        d.saturating_add(drift).saturating_add(ticks)
    }

    /// How long the holder's lease runs from the send of the promised beat: D·(1−ρ) − 2 ticks (L3),
    /// zero when that is negative.
    #[must_use]
    pub fn lease(&self, d: Duration) -> Duration {
        let drift = if self.rules.has(Rule::LeaseDrift) { self.rho_of(d) } else { Duration::ZERO };
        let ticks = if self.rules.has(Rule::LeaseTicks) { self.tick * 2 } else { Duration::ZERO };
        d.saturating_sub(drift).saturating_sub(ticks)
    }

    /// The shortest D whose lease runs for `lease`: the inverse of [`Terms::lease`].
    #[must_use]
    pub fn duration_for(&self, lease: Duration) -> Duration {
        let keep = 1000_u32.saturating_sub(self.rho_permille).max(1);
        (lease + self.tick * 2) * 1000 / keep
    }

    /// How long a voter that may have forgotten its promises gives none: `D_max`·(1+ρ) + 2 ticks (L4).
    #[must_use]
    pub fn forgotten(&self) -> Duration {
        self.d_max + self.rho_of(self.d_max) + self.tick * 2
    }

    /// How long a coordinator waits after it saw a voter configuration committed before it appends
    /// the next: `D_max`·(1+ρ) (L5). A new coordinator starts this wait again.
    #[must_use]
    pub fn configuration_spacing(&self) -> Duration {
        self.d_max + self.rho_of(self.d_max)
    }

    fn rho_of(&self, d: Duration) -> Duration {
        // Rounded up, so that a margin is never a nanosecond short.
        let nanos = d.as_nanos().saturating_mul(u128::from(self.rho_permille)).div_ceil(1000);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            rho_permille: 100,
            tick: Duration::from_millis(4),
            d_max: Duration::from_secs(5),
            rules: Rules::ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_at_the_floor() {
        let terms = Terms::default();
        let d = Duration::from_millis(60);
        assert_eq!(terms.promise(d), Duration::from_millis(74));
        assert_eq!(terms.lease(d), Duration::from_millis(46));
        assert_eq!(terms.forgotten(), Duration::from_millis(5508));
        assert_eq!(terms.configuration_spacing(), Duration::from_millis(5500));
        assert_eq!(terms.lease(Duration::from_millis(5)), Duration::ZERO);
    }

    #[test]
    fn duration_for_inverts_lease() {
        let terms = Terms::default();
        for ms in 1..500 {
            let lease = Duration::from_millis(ms);
            let got = terms.lease(terms.duration_for(lease));
            assert!(got + Duration::from_nanos(2) >= lease && got <= lease, "{lease:?} {got:?}");
        }
    }

    #[test]
    fn a_lease_ends_before_its_promise_whatever_the_clocks_do() {
        let terms = Terms::default();
        for ms in [1_u64, 13, 60, 61, 250, 999, 5000] {
            let d = Duration::from_millis(ms);
            // The voter's clock 10 % fast, the holder's 10 % slow: true lengths.
            let promise = terms.promise(d).as_nanos() * 1000 / 1100;
            let lease = terms.lease(d).as_nanos() * 1000 / 900;
            assert!(lease <= promise, "D = {ms} ms");
        }
    }
}
