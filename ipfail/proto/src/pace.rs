//! Pacing of frames on one interface: a token bucket and queues without doubles.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use haven_base::Instant;

/// Frames that may leave at once, as a share of a second's worth.
const DEPTH_SHARE: u32 = 4;

/// What goes first when not everything may go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Urgency {
    /// The first announcement of an address: it ends an outage.
    First,
    /// A question from an address: its answer ends the announcing.
    Question,
    /// An announcement that repeats another.
    Repeat,
}

/// Lets at most `rate` frames a second pass, a quarter of that at once.
///
/// Each frame wanted waits in the queue at most once, so the queue is no longer than the list of things
/// there are to send. Within one [`Urgency`] the order is that of the requests: a takeover of hundreds of
/// addresses reaches each of them before any is announced twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Pacer<T> {
    interval: Duration,
    depth: u32,
    tokens: u32,
    counted: Instant,
    waiting: [VecDeque<T>; 3],
    queued: BTreeSet<T>,
}

impl<T: Ord + Clone> Pacer<T> {
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
            waiting: [VecDeque::new(), VecDeque::new(), VecDeque::new()],
            queued: BTreeSet::new(),
        }
    }

    /// Ask for one frame; a second request before the first has passed changes nothing.
    pub fn request(&mut self, wanted: T, urgency: Urgency) {
        if self.queued.insert(wanted.clone()) {
            self.waiting[urgency as usize].push_back(wanted);
        }
    }

    /// Forget the requests that `pick` picks.
    pub fn cancel(&mut self, pick: impl Fn(&T) -> bool) {
        if self.queued.is_empty() {
            return;
        }
        self.queued.retain(|wanted| !pick(wanted));
        for queue in &mut self.waiting {
            queue.retain(|wanted| !pick(wanted));
        }
    }

    /// The next frame that may leave now.
    pub fn pass(&mut self, now: Instant) -> Option<T> {
        self.refill(now);
        if self.tokens == 0 {
            return None;
        }
        let wanted = self.waiting.iter_mut().find_map(VecDeque::pop_front)?;
        self.queued.remove(&wanted);
        self.tokens -= 1;
        Some(wanted)
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
            let full = self.tokens == self.depth;
            self.counted = if full { now } else { self.counted + self.interval * earned };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

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
            pacer.request(ip(n), Urgency::First);
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
        pacer.request(ip(1), Urgency::Repeat);
        pacer.request(ip(2), Urgency::First);
        pacer.request(ip(1), Urgency::Repeat);
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
        pacer.request(ip(1), Urgency::First);
        pacer.cancel(|other| *other == ip(1));
        assert_eq!(pacer.pass(ms(0)), None);
    }

    #[test]
    fn the_rate_holds_over_a_long_time() {
        let mut pacer = Pacer::new(100, ms(0));
        let mut sent = 0;
        for t in 0..10_000 {
            pacer.request(ip(1), Urgency::Repeat);
            sent += u32::from(pacer.pass(ms(t)).is_some());
        }
        assert!((1000..=1026).contains(&sent), "{sent}");
    }
}
