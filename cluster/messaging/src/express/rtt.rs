//! The round trip time of a peer and the delay before a packet is repeated.

use std::time::Duration;

use super::receiver::ACKNOWLEDGE_AFTER;

/// Soonest repetition.
const FLOOR: Duration = Duration::from_millis(10);
/// Repetition before a round trip was measured.
const UNKNOWN: Duration = Duration::from_millis(60);
/// Slowest repetition, unless the round trip itself is longer.
const CEILING: Duration = Duration::from_millis(500);
/// Slowest repetition whatever was measured: a process that stood still looks like a slow path.
const SLOWEST: Duration = Duration::from_secs(2);
/// Tries at the base delay; after them it doubles with each.
const PATIENCE: u32 = 5;
/// Longer samples are clocks gone wrong or a process that was stopped.
const PLAUSIBLE: Duration = Duration::from_secs(60);

/// Smoothed as in RFC 6298 §2 (weight 1/8).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrip {
    smoothed: Option<Duration>,
}

impl RoundTrip {
    pub(super) fn sample(&mut self, sample: Duration) {
        if sample > PLAUSIBLE {
            return;
        }
        self.smoothed = Some(match self.smoothed {
            None => sample,
            Some(smoothed) => (smoothed * 7 + sample) / 8,
        });
    }

    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// Time to wait for an acknowledgement after the `tries`-th transmission (from 1).
    pub(super) fn repeat_after(&self, tries: u32) -> Duration {
        let patient = |smoothed: Duration| (smoothed * 3 / 2 + ACKNOWLEDGE_AFTER).max(FLOOR);
        let base = self.smoothed.map_or(UNKNOWN, patient);
        let doublings = tries.saturating_sub(PATIENCE).min(10);
        (base * (1 << doublings)).min(CEILING.max(base)).min(SLOWEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn repetition_follows_the_round_trip_between_floor_and_ceiling() {
        let mut rtt = RoundTrip::default();
        assert_eq!(rtt.repeat_after(1), ms(60));
        rtt.sample(Duration::from_micros(200));
        assert_eq!(rtt.repeat_after(1), ms(10));
        assert_eq!(rtt.repeat_after(5), ms(10));
        assert_eq!(rtt.repeat_after(7), ms(40));
        assert_eq!(rtt.repeat_after(50), ms(500));
        for _ in 0..100 {
            rtt.sample(ms(100));
        }
        assert!(rtt.repeat_after(1) > ms(142) && rtt.repeat_after(1) <= ms(152));
        rtt.sample(Duration::from_secs(9_999));
        assert!(rtt.smoothed().unwrap() <= ms(100), "an absurd sample is ignored");
        let mut near = RoundTrip::default();
        near.sample(ms(8));
        assert_eq!(near.repeat_after(1), ms(14), "an acknowledgement waits for others");
        let mut paused = RoundTrip::default();
        paused.sample(Duration::from_secs(50));
        assert_eq!(paused.repeat_after(1), Duration::from_secs(2));
    }
}
