//! How long a lease is asked for, and how often: D and the beat interval, from measured round trips.

use std::time::Duration;

use haven_base::Instant;
use haven_lease::Terms;
use haven_membership::Peaks;

/// Beats of a small cluster are never further apart, so that in a noisy network, where D is long, a renewal
/// has many tries.
const INTERVAL_MAX: Duration = Duration::from_millis(25);
/// The shortest D of a small cluster, which a large one multiplies.
const SHORTEST: Duration = Duration::from_millis(60);
/// D that a single hold-up may lead to; what is measured over time may lead further.
const SURGE_MAX: Duration = Duration::from_millis(500);
/// A surge ends when no hold-up was seen for so long.
const SURGE_HOLD: Duration = Duration::from_millis(1_500);
/// Longer gaps between renewals are outages; nothing is learned from them.
const OUTAGE: Duration = Duration::from_millis(600);
/// D comes down by a tenth in this time: to a half in about a minute.
const EASE_EVERY: Duration = Duration::from_secs(10);

/// How many members beat to each other. Up to [`Crowd::SMALL`] do so at the pace that the network allows;
/// among more, beats are further apart and D is longer in proportion, so that what each node sends and
/// takes in stays what it is among eight.
///
/// Members may count differently while a change of members is on its way, and nothing rests on it: D travels
/// in each beat, voters promise that D, and a peer's silence is judged by a quarter of it. The own count only
/// bounds what is believed of a peer's interval where its D was learned from a noisy network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Crowd(u32);

impl Crowd {
    /// The largest cluster that nothing is multiplied in.
    pub(crate) const SMALL: u32 = 8;
    /// Nothing becomes slower beyond so many: eight times as slow as a small cluster is.
    const LARGEST: u32 = 64;

    /// This node, and so many others.
    pub(crate) fn of(others: usize) -> Self {
        let members = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
        Self(members.clamp(Self::SMALL, Self::LARGEST))
    }

    fn times(self, duration: Duration) -> Duration {
        duration * self.0 / Self::SMALL
    }

    /// The shortest D, where a small cluster's is `floor`.
    fn floor(self, floor: Duration) -> Duration {
        if self.0 > Self::SMALL { floor.max(self.times(SHORTEST)) } else { floor }
    }

    /// Beats are never further apart.
    fn interval_max(self) -> Duration {
        self.times(INTERVAL_MAX)
    }

    /// The beat interval that goes with `duration`: D/4, within bounds.
    pub(crate) fn interval_of(self, duration: Duration) -> Duration {
        (duration / 4).min(self.interval_max())
    }

    /// The beat interval that goes with `duration` while nothing is amiss: five twelfths of D, within bounds.
    pub(crate) fn spare_interval_of(self, duration: Duration) -> Duration {
        (duration * 5 / 12).min(self.interval_max())
    }
}

/// D, adapted: up at once, down over minutes.
///
/// Three measures ask for a D, the longest wins:
/// - the *age* of the newest beat that a majority answered, just before the next was: that is what a
///   lease must outlast. D's lease is one and a half times the second largest of the last minute;
/// - the *delay* until a majority answered a beat: D is two and a half times the second largest;
/// - a *surge*: as soon as the age exceeds three quarters of a lease, D is four times the age, to be on the safe
///   side until the other two have seen enough, for as long as hold-ups recur.
///
/// With 20 % loss and 0–100 ms of delay each way among three nodes, delays reach 190 ms and ages
/// 230 ms, so D settles near 480 ms: a lease (424 ms) that lapses less than once a day, and a promise
/// that ends about 0.53 s after its beat.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    terms: Terms,
    crowd: Crowd,
    /// The shortest D of a small cluster on this host.
    floor: Duration,
    ceiling: Duration,
    ages: Peaks,
    delays: Peaks,
    /// What ages and delays ask for, eased down slowly.
    learned: Duration,
    eased: Instant,
    surge: Option<(Duration, Instant)>,
    /// The send of the newest beat that a majority answered.
    newest: Option<Instant>,
    /// True while beats ask for leases, and are therefore answered at once.
    asks: bool,
    /// Beats sent before this say nothing: the thread stood still since, or nobody answered.
    trusted: Instant,
}

impl Pace {
    pub(crate) fn new(terms: Terms, floor: Duration, ceiling: Duration, now: Instant) -> Self {
        Self {
            terms,
            crowd: Crowd::of(0),
            floor: floor.min(terms.d_max),
            ceiling: ceiling.min(terms.d_max),
            ages: Peaks::default(),
            delays: Peaks::default(),
            learned: Duration::ZERO,
            eased: now,
            surge: None,
            newest: None,
            asks: false,
            trusted: now,
        }
    }

    /// So many members beat from now on.
    pub(crate) fn set_crowd(&mut self, crowd: Crowd) {
        self.crowd = crowd;
    }

    /// How many members beat.
    pub(crate) const fn crowd(&self) -> Crowd {
        self.crowd
    }

    /// The shortest D in a cluster of this size.
    pub(crate) fn floor(&self) -> Duration {
        self.crowd.floor(self.floor).min(self.terms.d_max)
    }

    /// A beat leaves, which `asks` for leases or does not.
    pub(crate) fn beat(&mut self, now: Instant, asks: bool) {
        // What was answered before was answered at leisure; what is older than that is an outage.
        let leisure = self.crowd.interval_max() * 2;
        if asks && !self.asks && self.newest.is_some_and(|newest| now - newest <= leisure) {
            self.newest = Some(now);
        }
        self.asks = asks;
    }

    /// D.
    pub(crate) fn duration(&self) -> Duration {
        let surge = self.surge.map_or(Duration::ZERO, |(duration, _)| duration);
        self.steady().max(surge).min(self.ceiling.max(self.floor()))
    }

    /// D without the surge.
    fn steady(&self) -> Duration {
        self.floor().max(self.learned)
    }

    /// How far apart beats are sent while nothing is amiss.
    pub(crate) fn spare_interval(&self) -> Duration {
        self.crowd.spare_interval_of(self.duration())
    }

    /// How far apart beats are sent.
    pub(crate) fn interval(&self) -> Duration {
        self.crowd.interval_of(self.duration())
    }

    /// The second largest time of the last minute until a majority had answered.
    pub(crate) fn delay(&self, now: Instant) -> Duration {
        self.delays.second(now)
    }

    /// A majority answered the beat sent at `sent`; the network took `took` for it, the rest until `now` the last
    /// answer was kept back.
    pub(crate) fn completed(&mut self, now: Instant, sent: Instant, took: Duration) {
        if sent < self.trusted {
            return;
        }
        if self.newest.is_some_and(|newest| now - newest > OUTAGE) {
            // The end of an outage: what was sent during it waited for an address to be resolved, or for a
            // port to open, and is no measure of the network.
            self.trusted = now;
            self.newest = None;
            return;
        }
        if took <= OUTAGE {
            self.delays.note(now, took);
        }
        if let Some(newest) = self.newest.filter(|&newest| newest < sent) {
            // As if the answer had come when it could.
            let age = sent + took - newest;
            self.hold_up(now, age);
            if age <= OUTAGE {
                self.ages.note(now, age);
            }
        }
        self.newest = self.newest.max(Some(sent));
        self.learn(now);
    }

    /// The thread stood still for `late` until now: what is measured across that says nothing of
    /// the network; but a lease should outlast such a time if it recurs.
    pub(crate) fn stalled(&mut self, now: Instant, late: Duration) {
        let age = late + self.spare_interval();
        if age <= OUTAGE {
            self.ages.note(now, age);
            self.learn(now);
        }
        self.trusted = now;
        self.newest = None;
    }

    /// Looks at the clock: raises D when the newest answered beat has become old.
    pub(crate) fn poll(&mut self, now: Instant) {
        if let Some(newest) = self.newest.filter(|_| self.asks) {
            self.hold_up(now, now - newest);
        }
        if self.surge.is_some_and(|(_, until)| now >= until) {
            self.surge = None;
        }
        if now - self.eased >= EASE_EVERY {
            self.eased = now;
            self.learned = self.learned * 9 / 10;
            self.learn(now);
        }
    }

    /// The newest answered beat is, or was, of this `age`.
    fn hold_up(&mut self, now: Instant, age: Duration) {
        // Above the age that the longest interval leads to by itself.
        if age > self.terms.lease(self.steady()) * 3 / 4 {
            let asked = (age * 4).min(SURGE_MAX.max(self.floor() * 2));
            let before = self.surge.map_or(Duration::ZERO, |(duration, _)| duration);
            self.surge = Some((asked.max(before), now + SURGE_HOLD));
        }
    }

    fn learn(&mut self, now: Instant) {
        let by_age = self.ages.second(now) * 3 / 2;
        let by_delay = self.delays.second(now) * 5 / 2;
        let asked = self.terms.duration_for(by_age).max(by_delay);
        self.learned = self.learned.max(asked).min(self.ceiling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(15);

    /// A pace after a second of answers within half a millisecond, and the time.
    fn steady() -> (Pace, Instant) {
        let mut now = Instant::from_nanos(1_000_000_000);
        let mut pace =
            Pace::new(Terms::default(), Duration::from_millis(60), Duration::from_secs(5), now);
        for _ in 0..67 {
            pace.completed(now + Duration::from_micros(500), now, Duration::from_micros(500));
            now += BEAT;
            pace.poll(now);
        }
        assert_eq!(pace.duration(), Duration::from_millis(60));
        (pace, now)
    }

    #[test]
    fn what_was_sent_while_nobody_answered_teaches_nothing() {
        let (mut pace, start) = steady();
        let end = start + Duration::from_secs(2);
        pace.poll(end);
        // A port opens: the beats of the last half second arrive at once, and are answered.
        for back in (0..33).rev() {
            let sent = end.before(BEAT * back);
            pace.completed(end, sent, end - sent);
        }
        let mut now = end;
        for _ in 0..200 {
            now += BEAT;
            pace.completed(now, now.before(Duration::from_micros(500)), Duration::from_micros(500));
            pace.poll(now);
        }
        assert_eq!(pace.duration(), Duration::from_millis(60));
    }

    #[test]
    fn who_asks_anew_during_an_outage_learns_nothing_from_it_either() {
        let (mut pace, start) = steady();
        for beat in 0..100 {
            let now = start + BEAT * beat;
            pace.beat(now, beat > 80);
            pace.poll(now);
        }
        let end = start + BEAT * 100;
        for back in (1..20).rev() {
            let sent = end.before(BEAT * back);
            pace.completed(end, sent, end - sent);
        }
        let mut now = end;
        for _ in 0..200 {
            now += BEAT;
            pace.beat(now, true);
            pace.completed(now, now.before(Duration::from_micros(500)), Duration::from_micros(500));
            pace.poll(now);
        }
        assert_eq!(pace.duration(), Duration::from_millis(60));
    }

    #[test]
    fn up_to_eight_members_beat_as_three_do_and_more_in_proportion() {
        let (mut pace, _) = steady();
        let ms = Duration::from_millis;
        for (members, duration, spare) in
            [(1, 60_000, 25_000), (3, 60_000, 25_000), (8, 60_000, 25_000), (9, 67_500, 28_125)]
                .into_iter()
                .chain([(16, 120_000, 50_000), (30, 225_000, 93_750), (64, 480_000, 200_000)])
                .chain([(65, 480_000, 200_000), (usize::MAX, 480_000, 200_000)])
        {
            pace.set_crowd(Crowd::of(members - 1));
            let found = (pace.duration().as_micros(), pace.spare_interval().as_micros());
            assert_eq!(found, (duration, spare), "{members} members");
            assert_eq!(pace.interval(), pace.duration() / 4, "{members} members");
            // A peer that counts three fifths as many believes the same.
            let fewer = Crowd::of(members.div_ceil(5) * 3);
            assert_eq!(fewer.interval_of(pace.duration()), pace.interval(), "{members} members");
        }
        // Where realtime scheduling is refused, D is long as it is.
        assert_eq!(Crowd::of(29).floor(ms(250)), ms(250));
        assert_eq!(Crowd::of(39).floor(ms(250)), ms(300));
    }

    #[test]
    fn slow_answers_without_an_outage_are_learned_from() {
        let (mut pace, mut now) = steady();
        for _ in 0..20 {
            now += BEAT;
            pace.completed(now, now.before(Duration::from_millis(100)), Duration::from_millis(100));
        }
        assert!(pace.duration() >= Duration::from_millis(250), "{:?}", pace.duration());
    }
}
