//! Pacing of announcements on one interface: a token bucket and a queue without doubles.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use haven_base::Instant;

/// Frames that may leave at once, as a share of a second's worth.
const DEPTH_SHARE: u32 = 4;

/// Lets at most `rate` frames a second pass, a quarter of that at once.
///
/// Each address waits in the queue at most once, so the queue is no longer than the list of addresses.
/// Addresses that have never been announced go before repetitions: a takeover of hundreds of addresses
/// reaches each of them before any is announced twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Pacer {
    interval: Duration,
    depth: u32,
    tokens: u32,
    counted: Instant,
    first: VecDeque<IpAddr>,
    repeats: VecDeque<IpAddr>,
    queued: BTreeSet<IpAddr>,
}

impl Pacer {
    /// A full bucket for `rate` frames a second; a rate of 0 counts as 1.
    #[must_use]
    pub fn new(rate: u32, now: Instant) -> Self {
        let rate = rate.max(1);
        let depth = (rate / DEPTH_SHARE).max(1);
        Self {
            interval: Duration::from_secs(1) / rate,
            depth,
            tokens: depth,
            counted: now,
            first: VecDeque::new(),
            repeats: VecDeque::new(),
            queued: BTreeSet::new(),
        }
    }

    /// Ask for one frame of `ip`; a second request before the first has passed changes nothing.
    pub fn request(&mut self, ip: IpAddr, never_announced: bool) {
        if self.queued.insert(ip) {
            if never_announced { self.first.push_back(ip) } else { self.repeats.push_back(ip) }
        }
    }

    /// Forget a request of `ip`.
    pub fn cancel(&mut self, ip: IpAddr) {
        if self.queued.remove(&ip) {
            self.first.retain(|other| *other != ip);
            self.repeats.retain(|other| *other != ip);
        }
    }

    /// The next address whose frame may leave now.
    pub fn pass(&mut self, now: Instant) -> Option<IpAddr> {
        self.refill(now);
        if self.tokens == 0 {
            return None;
        }
        let ip = self.first.pop_front().or_else(|| self.repeats.pop_front())?;
        self.queued.remove(&ip);
        self.tokens -= 1;
        Some(ip)
    }

    /// When [`Pacer::pass`] is worth calling again; none while nothing waits.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        (!self.queued.is_empty()).then(|| self.counted + self.interval)
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.since(self.counted).as_nanos() / self.interval.as_nanos();
        let earned = u32::try_from(passed).unwrap_or(u32::MAX);
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned).min(self.depth);
            self.counted =
                if self.tokens == self.depth { now } else { self.counted + self.interval * earned };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn ip(n: u32) -> IpAddr {
        Ipv4Addr::from(0xc000_0200 + n).into()
    }

    fn ms(n: u64) -> Instant {
        Instant::from_nanos(n * 1_000_000)
    }

    #[test]
    fn five_hundred_first_announcements_take_a_quarter_second() {
        let mut pacer = Pacer::new(1000, ms(0));
        for n in 0..500 {
            pacer.request(ip(n), true);
        }
        let mut sent = Vec::new();
        let mut now = ms(0);
        while let Some(at) = pacer.deadline() {
            while let Some(ip) = pacer.pass(now) {
                sent.push((now, ip));
            }
            now = now.max(at);
        }
        assert_eq!(sent.len(), 500);
        assert_eq!(sent.iter().filter(|(at, _)| *at == ms(0)).count(), 250);
        assert_eq!(sent.last().unwrap().0, ms(250));
    }

    #[test]
    fn first_announcements_overtake_repeats_and_doubles_count_once() {
        let mut pacer = Pacer::new(4, ms(0));
        pacer.request(ip(1), false);
        pacer.request(ip(2), true);
        pacer.request(ip(1), false);
        assert_eq!(pacer.pass(ms(0)), Some(ip(2)));
        assert_eq!(pacer.pass(ms(0)), None, "the bucket is empty");
        assert_eq!(pacer.deadline(), Some(ms(250)));
        assert_eq!(pacer.pass(ms(250)), Some(ip(1)));
        assert_eq!(pacer.pass(ms(10_000)), None);
        assert_eq!(pacer.deadline(), None);
    }

    #[test]
    fn a_cancelled_request_never_passes() {
        let mut pacer = Pacer::new(1000, ms(0));
        pacer.request(ip(1), true);
        pacer.cancel(ip(1));
        assert_eq!(pacer.pass(ms(0)), None);
    }

    #[test]
    fn the_rate_holds_over_a_long_time() {
        let mut pacer = Pacer::new(100, ms(0));
        let mut sent = 0;
        for t in 0..10_000 {
            pacer.request(ip(1), false);
            sent += u32::from(pacer.pass(ms(t)).is_some());
        }
        assert!((1000..=1026).contains(&sent), "{sent}");
    }
}
