//! What the machine says of its own accord: the beat, its own vote on it, and a planned absence.

use std::time::Duration;

use haven_base::Instant;
use haven_lease::Asking;
use haven_membership::{AWAY_MAX, PeerState};
use haven_types::{LinkId, NodeId, Seq};

use crate::machine::{Heartbeat, MAX_UNHEARD, cut};
use crate::{Answer, Beat, Message, Output, Role, Unheard};

impl Heartbeat {
    /// Sends a beat to every peer, on every link or on one in turn, and votes on it here.
    pub(crate) fn beat(&mut self, now: Instant, out: &mut Vec<Output>) {
        let duration = self.asked_duration();
        let (seq, claims, releases) = self.holder.beat(now, duration);
        self.beat_now |= self.holder.has_more_to_tell();
        let beat = Beat {
            seq,
            duration_micros: u32::try_from(duration.as_micros()).unwrap_or(u32::MAX),
            log: self.config.log,
            claims,
            releases,
            unheard: self
                .detector
                .unheard()
                .map(|(node, boot)| Unheard { node, boot })
                .take(MAX_UNHEARD)
                .collect(),
            relayed: self.relayed(),
            away_millis: self.away_millis(now, seq),
            answers: None,
            copy: 0,
            alone: false,
        };
        self.counters.beats_sent += 1;
        self.last_beat = Some(now);
        self.pace.beat(now, !beat.claims.is_empty());
        self.plan_copies(now, !beat.claims.is_empty());
        self.next_beat = now + self.next_interval(&beat);
        let mut deferred = std::mem::take(&mut self.deferred);
        for to in self.config.members.keys().copied() {
            let answers = deferred.take(now, to);
            let links = self.copies.choose(to, self.links_to(to));
            let alone = links.len() == 1;
            for link in links {
                let copy = self.copies.number(to, link);
                let beat = Beat { answers: answers.clone(), copy, alone, ..beat.clone() };
                out.push(Output::Send { to, link, message: Message::Beat(beat) });
            }
        }
        self.vote_for_self(now, &beat, out);
    }

    /// When to beat next: spread a little, and a holder of leases clearly before the others, so that their
    /// beats answer its beat.
    fn next_interval(&mut self, beat: &Beat) -> Duration {
        let interval = self.interval();
        let (shortest, longest) = if beat.claims.is_empty() { (63, 64) } else { (61, 62) };
        self.rng.between(interval * shortest / 64, interval * longest / 64)
    }

    /// This node is a voter like any other: it judges its own claims by its own promises.
    fn vote_for_self(&mut self, now: Instant, beat: &Beat, out: &mut Vec<Output>) {
        let asking = Asking {
            from: self.config.node,
            boot: self.config.boot,
            seq: beat.seq,
            duration: beat.duration(),
            claims: &beat.claims,
            releases: &beat.releases,
        };
        let mut vacant = Vec::new();
        let refusals = self.voter.answer(now, asking, &mut vacant);
        self.tell_vacant(vacant, out);
        let boot = self.config.boot;
        let answer = Answer { boot, seq: beat.seq, configuration: self.named(), refusals };
        self.count_answer(now, self.config.node, &answer, Duration::ZERO, out);
    }

    /// D of the next beat: adapted, or as long as may be before a planned restart.
    fn asked_duration(&self) -> Duration {
        // spec: L9 "A planned restart first obtains a long lease (≤ 5 s …), shortened on return".
        match self.restart {
            Some(_) => self.config.terms.d_max,
            None => self.pace.duration(),
        }
    }

    /// The absence the beat `seq` announces: none before every lease is long.
    fn away_millis(&mut self, now: Instant, seq: Seq) -> u16 {
        let until = self.long_until(now);
        match (&mut self.restart, until) {
            (Some(restart), Some(until)) => {
                restart.announced.get_or_insert(seq);
                u16::try_from((until - now).min(AWAY_MAX).as_millis()).unwrap_or(u16::MAX)
            }
            _ => 0,
        }
    }

    /// The earliest gate deadline, when every lease held has a long one (or none is held).
    fn long_until(&self, now: Instant) -> Option<Instant> {
        let long = self.config.terms.lease(self.config.terms.d_max);
        let mut until = now + long;
        for lease in self.holder.leases().filter(|lease| !lease.releasing && lease.gained) {
            until = until.min(lease.open_until?);
        }
        (until - now >= long * 3 / 4).then_some(until)
    }

    pub(crate) fn ready_to_restart(&mut self, now: Instant, out: &mut Vec<Output>) {
        let until = self.holder.leases().filter(|l| l.gained).filter_map(|l| l.open_until).min();
        // spec: L9 "first obtains a long lease": one gained since the absence was announced may still be
        // that of an earlier, shorter beat.
        let long = self.config.terms.lease(self.config.terms.d_max);
        let planned = self.restart.map_or(now, |restart| restart.planned);
        if until.is_some_and(|until| until < planned + long || until.since(now) < long / 2) {
            return;
        }
        let claims = self.holder.leases().any(|lease| !lease.gained && !lease.releasing);
        if claims && self.restart.is_some_and(|restart| now < restart.short) {
            return;
        }
        if let Some(restart) = &mut self.restart
            && !std::mem::replace(&mut restart.ready, true)
        {
            out.push(Output::RestartReady { until });
        }
    }

    fn relayed(&self) -> Vec<(NodeId, Vec<NodeId>)> {
        let mut room = MAX_UNHEARD;
        let mut rows = Vec::new();
        for (node, mut deaf_to) in self.detector.relay() {
            cut(&mut deaf_to, room);
            room -= deaf_to.len();
            if !deaf_to.is_empty() {
                rows.push((node, deaf_to));
            }
        }
        rows
    }

    /// The links a peer can be reached by, those whose carrier is down left out.
    pub(crate) fn links_to(&self, peer: NodeId) -> Vec<LinkId> {
        let Some(member) = self.config.members.get(&peer) else { return Vec::new() };
        let usable = self.config.links.intersection(&member.links);
        usable.copied().filter(|link| !self.down.contains(link)).collect()
    }

    /// Who should lead now that `dead` does not: of the full voters heard, the one with the newest
    /// log, then the lowest id.
    pub(crate) fn successor(&self, dead: NodeId) -> Option<NodeId> {
        let newest = self.holder.newest_configuration()?;
        let full = |node: NodeId| match self.config.members.get(&node) {
            _ if node == self.config.node => self.config.role == Role::Full,
            member => member.is_some_and(|member| member.role == Role::Full),
        };
        let log = |node: NodeId| match self.detector.peers().get(&node) {
            _ if node == self.config.node => Some(self.config.log),
            peer => peer.filter(|p| p.state == PeerState::Alive).map(|p| p.log),
        };
        let candidates = newest.all_voters().into_iter().filter(|&n| n != dead && full(n));
        let ranked = candidates.filter_map(|n| Some((log(n)?, std::cmp::Reverse(n))));
        ranked.max().map(|(_, std::cmp::Reverse(node))| node)
    }
}
