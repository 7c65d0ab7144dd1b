//! What to do about another station that claims one of our addresses (RFC 5227 §2.4).

use std::time::Duration;

use haven_base::{Instant, MacAddr};

use crate::params::OnConflict;

/// RFC 5227's `DEFEND_INTERVAL`: at most one defence in it.
pub const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// Defences after the last claim seen: the frame of one may be lost.
const FOLLOW_UPS: u8 = 2;
/// A claim is reported anew after this long, or at once from another station.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// How long a claim counts as present.
const PRESENT: Duration = Duration::from_secs(60);
/// How long people are told of the last claim: longer than two searches for strangers are apart.
const TOLD: Duration = Duration::from_secs(300);

/// What a claim leads to, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reaction {
    /// Raise the event `conflict`.
    Report,
    /// Announce the address once, now.
    Defend,
    /// Give the address up.
    Yield,
}

/// Watches one address for other claims.
///
/// `defend` announces at once, then no sooner than 10 s after, and twice more 10 s apart once the claims
/// have stopped: between two defences the neighbours may believe the other station.
#[derive(Clone, Debug, PartialEq)]
pub struct ConflictWatch {
    action: OnConflict,
    count: u64,
    last: Option<(MacAddr, Instant)>,
    reported: Option<(MacAddr, Instant)>,
    defended: Option<Instant>,
    owed: u8,
}

impl ConflictWatch {
    /// A watch that has seen nothing.
    #[must_use]
    pub const fn new(action: OnConflict) -> Self {
        Self { action, count: 0, last: None, reported: None, defended: None, owed: 0 }
    }

    /// Station `mac` claimed the address.
    pub fn claim(&mut self, now: Instant, mac: MacAddr) -> Vec<Reaction> {
        self.count = self.count.saturating_add(1);
        self.last = Some((mac, now));
        let mut out = Vec::new();
        let known = self
            .reported
            .is_some_and(|(reported, at)| reported == mac && now.since(at) < REPORT_INTERVAL);
        if !known {
            self.reported = Some((mac, now));
            out.push(Reaction::Report);
        }
        match self.action {
            OnConflict::Defend => {
                self.owed = FOLLOW_UPS + 1;
                out.extend(self.tick(now));
            }
            OnConflict::Yield => out.push(Reaction::Yield),
            OnConflict::Fence | OnConflict::Alert => {}
        }
        out
    }

    /// A defence that has come due.
    pub fn tick(&mut self, now: Instant) -> Option<Reaction> {
        if self.deadline().is_none_or(|at| at > now) {
            return None;
        }
        self.owed -= 1;
        self.defended = Some(now);
        Some(Reaction::Defend)
    }

    /// When the next defence is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        (self.owed > 0).then(|| self.defended.map_or(Instant::ZERO, |at| at + DEFEND_INTERVAL))
    }

    /// The address is no longer ours: no defence is owed.
    pub const fn stand_down(&mut self) {
        self.owed = 0;
    }

    /// Claims seen so far.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The station that claimed the address last.
    #[must_use]
    pub fn last(&self) -> Option<MacAddr> {
        self.last.map(|(mac, _)| mac)
    }

    /// Another station claimed the address within the last minutes.
    #[must_use]
    pub fn is_contested(&self, now: Instant) -> bool {
        self.last.is_some_and(|(_, at)| now.since(at) < TOLD)
    }

    /// The station that claims the address at present, where the configuration calls that a failure
    /// (`yield`, `fence`).
    #[must_use]
    pub fn failure(&self, now: Instant) -> Option<MacAddr> {
        let fails = matches!(self.action, OnConflict::Yield | OnConflict::Fence);
        self.last.filter(|(_, at)| fails && now.since(*at) < PRESENT).map(|(mac, _)| mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa]);
    const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xb]);

    fn s(n: u64) -> Instant {
        Instant::from_nanos(n * 1_000_000_000)
    }

    #[test]
    fn a_claim_is_answered_at_once_and_at_most_every_ten_seconds() {
        let mut watch = ConflictWatch::new(OnConflict::Defend);
        let mut defences = Vec::new();
        for t in 100..160 {
            for reaction in watch.claim(s(t), A) {
                if reaction == Reaction::Defend {
                    defences.push(t);
                }
            }
        }
        assert_eq!(defences, [100, 110, 120, 130, 140, 150]);
        assert_eq!(watch.count(), 60);
    }

    #[test]
    fn two_more_defences_follow_the_last_claim() {
        let mut watch = ConflictWatch::new(OnConflict::Defend);
        assert_eq!(watch.claim(s(100), A), [Reaction::Report, Reaction::Defend]);
        assert_eq!(watch.tick(s(105)), None);
        assert_eq!(watch.deadline(), Some(s(110)));
        assert_eq!(watch.tick(s(110)), Some(Reaction::Defend));
        assert_eq!(watch.tick(s(120)), Some(Reaction::Defend));
        assert_eq!(watch.deadline(), None);
    }

    #[test]
    fn each_station_is_reported_once_in_a_while() {
        let mut watch = ConflictWatch::new(OnConflict::Alert);
        assert_eq!(watch.claim(s(1), A), [Reaction::Report]);
        assert_eq!(watch.claim(s(2), A), []);
        assert_eq!(watch.claim(s(3), B), [Reaction::Report]);
        assert_eq!(watch.claim(s(14), B), [Reaction::Report]);
        assert_eq!(watch.last(), Some(B));
        assert!(watch.is_contested(s(313)) && !watch.is_contested(s(314)));
        assert_eq!(watch.failure(s(14)), None);
    }

    #[test]
    fn yield_gives_up_and_fence_fails_the_monitor() {
        let mut watch = ConflictWatch::new(OnConflict::Yield);
        assert_eq!(watch.claim(s(1), A), [Reaction::Report, Reaction::Yield]);
        let mut watch = ConflictWatch::new(OnConflict::Fence);
        assert_eq!(watch.claim(s(1), A), [Reaction::Report]);
        assert_eq!(watch.failure(s(2)), Some(A));
        assert_eq!(watch.failure(s(62)), None, "long past");
        assert_eq!(watch.deadline(), None);
    }
}
