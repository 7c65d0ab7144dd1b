//! The largest values of the last minute, robust against a single outlier.

use std::time::Duration;

use haven_base::Instant;
use serde::{Deserialize, Serialize};

const BUCKETS: usize = 6;
const BUCKET_COUNT: u32 = 6;
const BUCKET: Duration = Duration::from_secs(10);

/// The two largest of the durations seen within the last minute (50 to 60 s).
///
/// One late packet is an accident, two are the network: [`Peaks::second`] is what to prepare for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Peaks {
    buckets: [(Duration, Duration); BUCKETS],
    current: usize,
    since: Instant,
}

impl Peaks {
    /// Takes in a value seen at `now`.
    pub fn note(&mut self, now: Instant, value: Duration) {
        self.turn(now);
        let (first, second) = &mut self.buckets[self.current];
        if value > *first {
            *second = std::mem::replace(first, value);
        } else {
            *second = (*second).max(value);
        }
    }

    /// The largest value; zero when there was none.
    #[must_use]
    pub fn first(&self, now: Instant) -> Duration {
        self.top(now).0
    }

    /// The second largest value; zero when there were fewer than two.
    #[must_use]
    pub fn second(&self, now: Instant) -> Duration {
        self.top(now).1
    }

    fn top(&self, now: Instant) -> (Duration, Duration) {
        let mut top = (Duration::ZERO, Duration::ZERO);
        for (i, &(x, y)) in self.buckets.iter().enumerate() {
            let age = (self.current + BUCKETS - i) % BUCKETS;
            let age = u32::try_from(age).unwrap_or(u32::MAX);
            let began = self.since.before(BUCKET * age);
            if now.since(began) >= BUCKET * BUCKET_COUNT {
                continue;
            }
            top = if x > top.0 { (x, top.0.max(y)) } else { (top.0, top.1.max(x)) };
        }
        top
    }

    fn turn(&mut self, now: Instant) {
        let mut left = BUCKETS;
        while now.since(self.since) >= BUCKET {
            if left == 0 {
                self.since = now;
                return;
            }
            left -= 1;
            self.since += BUCKET;
            self.current = (self.current + 1) % BUCKETS;
            self.buckets[self.current] = Default::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn one_outlier_is_not_the_second_peak() {
        let mut peaks = Peaks::default();
        let at = |s: u64| Instant::from_nanos(s * 1_000_000_000);
        for s in 0..20 {
            peaks.note(at(s), ms(15));
        }
        peaks.note(at(20), ms(400));
        assert_eq!((peaks.first(at(21)), peaks.second(at(21))), (ms(400), ms(15)));
        peaks.note(at(22), ms(300));
        assert_eq!(peaks.second(at(22)), ms(300));
    }

    #[test]
    fn values_are_forgotten_after_a_minute() {
        let mut peaks = Peaks::default();
        let at = |s: u64| Instant::from_nanos(s * 1_000_000_000);
        peaks.note(at(5), ms(400));
        peaks.note(at(5), ms(300));
        assert_eq!(peaks.second(at(49)), ms(300));
        assert_eq!(peaks.second(at(61)), ms(0));
        peaks.note(at(500), ms(7));
        assert_eq!((peaks.first(at(501)), peaks.second(at(501))), (ms(7), ms(0)));
    }
}
