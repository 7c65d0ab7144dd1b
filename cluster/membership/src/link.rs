//! What is known of one link to one peer.

use std::time::Duration;

use haven_base::Instant;
use haven_types::BootId;

use crate::Peaks;

/// How many of a peer's beats the loss on a link is counted over before older ones fade.
const LOSS_WINDOW: u32 = 64;

/// One link to one peer: whether frames arrive, how long they take, how many are lost.
#[derive(Clone, Debug, Default)]
pub struct LinkState {
    /// True while frames arrive.
    pub up: bool,
    /// When it last went up or down.
    pub since: Option<Instant>,
    /// When a frame arrived last.
    pub last_heard: Option<Instant>,
    /// Smallest round trip of this process and boot of the peer.
    pub rtt_min: Option<Duration>,
    /// Smoothed round trip (weight 1/8).
    pub rtt_smooth: Option<Duration>,
    /// Largest round trips of the last minute.
    pub rtt_peaks: Peaks,
    gaps: Peaks,
    boot: BootId,
    newest: Option<u64>,
    /// Beats of the window that were sent, and that arrived.
    expected: u32,
    arrived: u32,
}

impl LinkState {
    /// A frame arrived. True when that brings the link up.
    pub(crate) fn heard(&mut self, now: Instant) -> bool {
        if let Some(last) = self.last_heard.replace(now)
            && self.up
        {
            self.gaps.note(now, now - last);
        }
        let rises = !self.up;
        if rises {
            self.up = true;
            self.since = Some(now);
        }
        rises
    }

    /// The beat number `copy` of this link arrived: counts those missing before it as lost until they come.
    pub(crate) fn beat(&mut self, boot: BootId, copy: u64) {
        let newest = match self.newest {
            Some(newest) if boot == self.boot => newest,
            _ => {
                (self.boot, self.expected, self.arrived) = (boot, 0, 0);
                copy.saturating_sub(1)
            }
        };
        self.arrived += 1;
        if copy > newest {
            let sent = u32::try_from(copy - newest).unwrap_or(LOSS_WINDOW);
            self.expected += sent.min(LOSS_WINDOW);
            self.newest = Some(copy);
        } else {
            self.newest = Some(newest);
        }
        if self.expected >= 2 * LOSS_WINDOW {
            self.expected /= 2;
            self.arrived /= 2;
        }
    }

    /// A round trip took `rtt`.
    pub(crate) fn round_trip(&mut self, now: Instant, rtt: Duration) {
        self.rtt_min = Some(self.rtt_min.map_or(rtt, |min| min.min(rtt)));
        self.rtt_smooth = Some(self.rtt_smooth.map_or(rtt, |old| (old * 7 + rtt) / 8));
        self.rtt_peaks.note(now, rtt);
    }

    /// Silence after which the link counts as down, given that of a regular one.
    pub(crate) fn threshold(&self, now: Instant, regular: Duration) -> Duration {
        regular.max(self.gaps.second(now) * 3)
    }

    /// True when silence brings the link down at `now`, given that of a regular one.
    pub(crate) fn fall(&mut self, now: Instant, regular: Duration) -> bool {
        let silent = self.last_heard.is_none_or(|last| now - last >= self.threshold(now, regular));
        let falls = self.up && silent;
        if falls {
            self.up = false;
            self.since = Some(now);
        }
        falls
    }

    /// Lost beats in thousandths, over the last 64 to 128.
    #[must_use]
    pub fn loss_permille(&self) -> u16 {
        let lost = self.expected.saturating_sub(self.arrived) * 1000;
        u16::try_from(lost.checked_div(self.expected).unwrap_or(0)).unwrap_or(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_counted_by_gaps_in_the_sequence_and_forgiven_when_late_ones_come() {
        let mut link = LinkState::default();
        for seq in (10..60).filter(|seq| seq % 5 != 0) {
            link.beat(BootId(1), seq);
        }
        assert_eq!(link.loss_permille(), 183); // 11..=59 seen from 11: 9 of 49 missing
        for seq in (15..60).filter(|seq| seq % 5 == 0) {
            link.beat(BootId(1), seq);
        }
        assert_eq!(link.loss_permille(), 0);
    }

    #[test]
    fn a_new_boot_starts_the_count_again() {
        let mut link = LinkState::default();
        link.beat(BootId(1), 1);
        link.beat(BootId(1), 101);
        assert!(link.loss_permille() > 900);
        link.beat(BootId(2), 5);
        assert_eq!(link.loss_permille(), 0);
    }
}
