//! How long operations take on this node: a histogram for each operation of each resource.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_types::operation::{ExecutionStatus, Operation, Outcome};
use serde::{Deserialize, Serialize};

/// Operations that are remembered; beyond it new ones are not measured.
pub const MAX_MEASURED: usize = 20_000;
/// Buckets for each doubling: a quantile is at most 1/4 too high.
const PER_DOUBLING: u32 = 4;

/// The run times of one operation.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RunTimes {
    /// Calls that were answered or timed out.
    pub count: u64,
    /// Calls that did not answer in time.
    pub timeouts: u64,
    /// The longest call.
    pub longest: Duration,
    /// Calls by bucket of microseconds.
    buckets: BTreeMap<u32, u64>,
}

impl RunTimes {
    fn add(&mut self, took: Duration, timed_out: bool) {
        self.count += 1;
        self.timeouts += u64::from(timed_out);
        self.longest = self.longest.max(took);
        *self.buckets.entry(bucket(took)).or_default() += 1;
    }

    /// The time within which `percent` (1 to 100) of the calls ended, at most a quarter too high, never
    /// beyond the longest. Zero where there was no call.
    #[must_use]
    pub fn quantile(&self, percent: u64) -> Duration {
        let wanted = (self.count * percent.min(100)).div_ceil(100).max(1);
        let mut seen = 0;
        for (bucket, calls) in &self.buckets {
            seen += calls;
            if seen >= wanted {
                return upper_end(*bucket).min(self.longest);
            }
        }
        self.longest
    }
}

/// The run times of every operation that ran here, by resource, action and interval.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    operations: BTreeMap<String, RunTimes>,
}

impl Measured {
    pub(crate) fn add(&mut self, operation: &Operation, took: Duration, outcome: &Outcome) {
        let key = operation.key();
        if self.operations.len() >= MAX_MEASURED && !self.operations.contains_key(&key) {
            return;
        }
        let timed_out = outcome.status == ExecutionStatus::Timeout;
        self.operations.entry(key).or_default().add(took, timed_out);
    }

    /// By the field's name of the operation (`web_monitor_10000`).
    #[must_use]
    pub const fn operations(&self) -> &BTreeMap<String, RunTimes> {
        &self.operations
    }

    /// As counters: `operation_web_monitor_10000_count`, `…_timeouts`, `…_p50_us`, `…_p95_us`,
    /// `…_p99_us`, `…_max_us`.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mut counters = BTreeMap::new();
        for (operation, times) in &self.operations {
            for (name, value) in [
                ("count", times.count),
                ("timeouts", times.timeouts),
                ("p50_us", micros(times.quantile(50))),
                ("p95_us", micros(times.quantile(95))),
                ("p99_us", micros(times.quantile(99))),
                ("max_us", micros(times.longest)),
            ] {
                counters.insert(format!("operation_{operation}_{name}"), value);
            }
        }
        counters
    }
}

/// Which bucket a time belongs to: `PER_DOUBLING` of equal width between two powers of two.
fn bucket(took: Duration) -> u32 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let power = micros.ilog2();
    let within = if power < 2 { 0 } else { (micros >> (power - 2)) & 3 };
    power * PER_DOUBLING + u32::try_from(within).unwrap_or(0)
}

/// The first time that no longer belongs to a bucket.
fn upper_end(bucket: u32) -> Duration {
    let (power, within) = (bucket / PER_DOUBLING, bucket % PER_DOUBLING);
    let base = 1_u64 << power.min(62);
    let step = if power < 2 { base } else { base / u64::from(PER_DOUBLING) };
    Duration::from_micros(base.saturating_add(step.saturating_mul(u64::from(within) + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_never_too_low_and_at_most_a_quarter_too_high() {
        for micros in (1..5000).chain((5000..20_000_000).step_by(99_991)) {
            let took = Duration::from_micros(micros);
            let end = upper_end(bucket(took));
            assert!(end > took, "{micros}");
            assert!(
                micros < 4 || end <= took + took / 4 + Duration::from_micros(1),
                "{micros}: {end:?}"
            );
        }
    }

    #[test]
    fn quantiles_of_a_hundred_calls() {
        let mut times = RunTimes::default();
        for number in 1..=100 {
            times.add(Duration::from_millis(number), number > 98);
        }
        assert_eq!((times.count, times.timeouts), (100, 2));
        assert_eq!(times.longest, Duration::from_millis(100));
        for percent in [50, 95, 99] {
            let exact = Duration::from_millis(percent);
            let found = times.quantile(percent);
            assert!(found >= exact && found <= exact + exact / 4, "{percent}: {found:?}");
        }
        assert_eq!(times.quantile(100), times.longest);
        assert_eq!(RunTimes::default().quantile(50), Duration::ZERO);
    }
}
