//! How much a beat costs: all links each quarter of D, or in a quiet cluster one link in turn each five twelfths.
//!
//! A beat by every link costs each node as many datagrams as there are links, peers and beats; where nothing
//! happens, the second copy only repeats the first. So while everything is as it should be, each link carries
//! every n-th beat, and beats are five twelfths of D apart. One beat that is not answered in time, one peer or link that
//! is not heard, a delay that was learned, a lease that is not settled: from then on, and for [`SPARE_AFTER`]
//! longer than it lasts, every link carries every beat, and beats are a quarter of D apart. A holder of leases
//! does not wait for its next beat to learn that one was lost: what is not answered within a quarter of the way
//! is repeated at once. Nothing that is promised rests on the copies; they make a lease outlast a loss.
//!
//! Members follow the link of the one whose beat they answer, so that an answer measures one link; where its beat
//! travels by all, they go on in turn, so that no link falls silent.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::Instant;
use haven_types::{LinkId, NodeId};

use crate::Beat;
use crate::machine::Heartbeat;

/// How long nothing must have been amiss before a beat travels by one link only.
pub(crate) const SPARE_AFTER: Duration = Duration::from_secs(1);

/// What is remembered to choose a beat's links.
#[derive(Clone, Debug, Default)]
pub(crate) struct Copies {
    /// How many beats each peer was sent by each link.
    sent: BTreeMap<(NodeId, LinkId), u64>,
    /// Something was amiss then.
    amiss: Instant,
    /// True while a beat travels by one link only.
    sparing: bool,
    /// When the last beat left, if it asked for leases.
    asked: Option<Instant>,
    /// Counts beats.
    turn: u64,
    /// Which beat each link carried last.
    used: BTreeMap<(NodeId, LinkId), u64>,
    /// The link of the last beat of a member that this one follows, and when it came.
    followed: Option<(LinkId, Instant)>,
}

impl Copies {
    /// All links for the next second at least.
    pub(crate) fn new(now: Instant) -> Self {
        Self { amiss: now, ..Self::default() }
    }

    /// The number of the next beat to `to` by `link`, from 1.
    pub(crate) fn number(&mut self, to: NodeId, link: LinkId) -> u64 {
        let sent = self.sent.entry((to, link)).or_default();
        *sent += 1;
        *sent
    }

    /// Forgets peers that are no members any more.
    pub(crate) fn keep(&mut self, is_member: impl Fn(NodeId) -> bool) {
        self.sent.retain(|&(peer, _), _| is_member(peer));
        self.used.retain(|&(peer, _), _| is_member(peer));
    }

    /// Of `links` to `to`, those the beat of this turn takes: while sparing, the one that another's beat came by,
    /// unless one is overdue, for who beats a little slower than the other would pass links over again and again.
    pub(crate) fn choose(&mut self, to: NodeId, mut links: Vec<LinkId>) -> Vec<LinkId> {
        if self.sparing && links.len() > 1 {
            let used = |link: &LinkId| self.used.get(&(to, *link)).copied().unwrap_or_default();
            let oldest = links.iter().copied().min_by_key(used);
            let overdue = oldest.filter(|link| self.turn - used(link) > links.len() as u64);
            let followed = self.followed.map(|(link, _)| link).filter(|link| links.contains(link));
            let link = overdue.or(followed).or(oldest);
            links.retain(|other| Some(*other) == link);
        }
        for link in &links {
            self.used.insert((to, *link), self.turn);
        }
        links
    }
}

impl Heartbeat {
    /// Decides by which links the beat of this turn travels.
    pub(crate) fn plan_copies(&mut self, now: Instant, claims: bool) {
        if !self.is_undisturbed(now, claims) {
            self.copies.amiss = now;
        }
        self.copies.sparing = now - self.copies.amiss >= SPARE_AFTER;
        self.copies.turn += 1;
        self.copies.asked = claims.then_some(now);
        let interval = self.interval();
        self.copies.followed =
            self.copies.followed.filter(|&(_, came)| now - came <= interval * 3 / 2);
    }

    /// How far apart beats are now.
    pub(crate) fn interval(&self) -> Duration {
        if self.copies.sparing { self.pace.spare_interval() } else { self.pace.interval() }
    }

    /// When the last beat is repeated by all links, since it asked for leases, travelled alone, and somebody has
    /// not answered it.
    pub(crate) fn repeat_due(&self) -> Option<Instant> {
        let asked = self.copies.asked.filter(|_| self.copies.sparing)?;
        let answered = |sent: Option<Instant>| sent.is_some_and(|sent| sent >= asked);
        let all = self.detector.peers().values().all(|peer| answered(peer.answered()));
        (!all).then(|| asked + self.interval() / 4)
    }

    /// Repeats at once what is due to be repeated.
    pub(crate) fn repeat_if_due(&mut self, now: Instant) {
        if self.repeat_due().is_some_and(|due| due <= now) {
            self.counters.repeated += 1;
            self.copies.amiss = now;
            self.copies.sparing = false;
            self.beat_now = true;
        }
    }

    /// Everybody follows the holder of leases, then the lowest id: an order, so that no two follow each other.
    pub(crate) fn note_lead(&mut self, now: Instant, from: NodeId, link: LinkId, beat: &Beat) {
        let own = self.holder.leases().next().is_some();
        let theirs = (!beat.claims.is_empty(), Reverse(from));
        if theirs > (own, Reverse(self.config.node)) {
            self.copies.followed = beat.alone.then_some((link, now));
        }
    }

    /// True while every link of every peer works without delay, every beat is answered, and nothing was learned
    /// of a network that loses or delays. `claims`: the beat asks for leases, and is therefore answered at once.
    fn is_undisturbed(&self, now: Instant, claims: bool) -> bool {
        let interval = self.interval();
        // Others may spare before this node does.
        let theirs = self.pace.spare_interval();
        // A beat that asks for nothing is answered by the next one of the other, just before ours or after.
        let answered = if claims { interval * 3 / 2 } else { theirs * 5 / 2 };
        self.is_calm()
            // What a busy machine teaches lengthens D a little, what a lossy network teaches a lot.
            && self.pace.duration() < self.pace.floor() * 2
            && self.down.is_empty()
            && self.detector.peers().values().all(|peer| {
                peer.last_heard.is_some_and(|last| now - last <= theirs * 3 / 2)
                    && peer.answered().is_some_and(|sent| now - sent <= answered)
                    && peer.links.values().all(|link| {
                        link.up && link.rtt_smooth.is_some_and(|rtt| rtt <= interval / 4)
                    })
            })
    }
}
