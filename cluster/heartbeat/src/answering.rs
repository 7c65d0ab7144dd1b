//! Beats of others and their answers, at once or with the own next beat.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::Instant;
use haven_lease::{Asking, MAX_CLAIMS};
use haven_membership::Report;
use haven_types::{BootId, LinkId, LogPosition, NodeId, Seq};

use crate::machine::{Heartbeat, MAX_UNHEARD, cut};
use crate::message::{Echo, Echoes};
use crate::{Answer, Beat, Message, Output};

/// How many copies of one peer's beats wait for an answer; another one is answered at once.
const MAX_DEFERRED: usize = 16;

/// Beats that the own next beat answers, which halves what a quiet cluster sends.
///
/// A beat that asks for nothing waits for the next one. A beat that asks is answered in its step: by the own
/// beat where that is due soon anyway, else by an answer on the link it came by. Since any
/// beat that comes shortly before the own one brings it on, the members of a quiet cluster soon beat
/// together, the holder of a lease first, and hardly ever send a separate answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deferred {
    waiting: BTreeMap<NodeId, Waiting>,
}

#[derive(Clone, Debug)]
struct Waiting {
    boot: BootId,
    /// The newest entry of the log when they were promised what they asked for: the answer names that one (L5),
    /// for under a later one the same voter may have to be silent (L4).
    configuration: LogPosition,
    beats: Vec<(Seq, LinkId, Instant)>,
}

impl Deferred {
    /// Keeps a copy of a beat from this node and boot for later; false when there is no room, or others wait
    /// under another configuration.
    fn put(
        &mut self,
        (from, boot): (NodeId, BootId),
        configuration: LogPosition,
        copy: (Seq, LinkId, Instant),
    ) -> bool {
        let fresh = || Waiting { boot, configuration, beats: Vec::new() };
        let waiting = self.waiting.entry(from).or_insert_with(fresh);
        if waiting.boot != boot {
            *waiting = fresh();
        }
        let room = waiting.configuration == configuration && waiting.beats.len() < MAX_DEFERRED;
        if room {
            waiting.beats.push(copy);
        }
        room
    }

    /// The answers to what came from `to`.
    pub(crate) fn take(&mut self, now: Instant, to: NodeId) -> Option<Echoes> {
        let Waiting { boot, configuration, beats } = self.waiting.remove(&to)?;
        let echo = |(seq, link, came): (Seq, LinkId, Instant)| Echo {
            seq,
            link,
            held_micros: u32::try_from((now - came).as_micros()).unwrap_or(u32::MAX),
        };
        Some(Echoes { boot, configuration, echoes: beats.into_iter().map(echo).collect() })
    }
}

impl Heartbeat {
    pub(crate) fn on_beat(
        &mut self,
        now: Instant,
        from: NodeId,
        boot: BootId,
        link: LinkId,
        mut beat: Beat,
        out: &mut Vec<Output>,
    ) {
        self.counters.beats_received += 1;
        let echoes = beat.answers.as_mut().map(|answers| &mut answers.echoes);
        let bounds = [
            cut(&mut beat.claims, MAX_CLAIMS),
            cut(&mut beat.releases, MAX_CLAIMS),
            cut(&mut beat.unheard, MAX_UNHEARD),
            cut(&mut beat.relayed, MAX_UNHEARD),
            echoes.is_some_and(|echoes| cut(echoes, MAX_DEFERRED)),
        ];
        self.counters.out_of_bounds += u64::from(bounds.contains(&true));
        self.on_report(now, from, link, &beat);
        self.note_lead(now, from, link, &beat);
        let asking = Asking {
            from,
            boot,
            seq: beat.seq,
            duration: beat.duration(),
            claims: &beat.claims,
            releases: &beat.releases,
        };
        let mut vacant = Vec::new();
        let refusals = self.voter.answer(now, asking, &mut vacant);
        self.counters.refusals += refusals.len() as u64;
        // spec: L1 "*Every* beat is answered"; spec: L2 "An answer echoes boot and seq";
        // spec: L5 "An answer names the newest voter configuration entry in its sender's log".
        if !(refusals.is_empty() && self.answer_by_beat(now, from, boot, link, &beat)) {
            let answer = Answer { boot, seq: beat.seq, configuration: self.named(), refusals };
            out.push(Output::Send { to: from, link, message: Message::Answer(answer) });
        }
        self.tell_vacant(vacant, out);
        // A holder's release frees the group for us at other voters, too.
        let released = |group| beat.releases.iter().any(|release| release.group == group);
        self.beat_now |=
            self.holder.leases().any(|l| !l.gained && !l.releasing && released(l.group));
        if let Some(answers) = beat.answers {
            self.on_echoes(now, from, link, &answers, out);
        }
    }

    /// Leaves the answer to the own beat, this step's or the next; false when it has to be sent now.
    fn answer_by_beat(
        &mut self,
        now: Instant,
        from: NodeId,
        boot: BootId,
        link: LinkId,
        beat: &Beat,
    ) -> bool {
        // Where a member is silent, others wait for every word about it.
        if !self.detector.is_quiet() {
            return false;
        }
        let soon = self.next_beat - now <= self.interval() / 3;
        let copy = (from, boot, beat.seq);
        let answered = self.answered_by_beat == Some(copy);
        let may_wait = soon || answered || !beat.is_urgent();
        let named = self.named();
        let kept = may_wait && self.deferred.put((from, boot), named, (beat.seq, link, now));
        if kept && soon {
            self.beat_now = true;
            self.answered_by_beat = Some(copy);
        }
        kept
    }

    fn on_report(&mut self, now: Instant, from: NodeId, link: LinkId, beat: &Beat) {
        let unheard: Vec<_> = beat.unheard.iter().map(|u| (u.node, u.boot)).collect();
        let report = Report {
            seq: beat.seq,
            copy: beat.copy,
            interval: self.pace.crowd().interval_of(beat.duration()),
            spare_interval: self.pace.crowd().spare_interval_of(beat.duration()),
            log: beat.log,
            unheard: &unheard,
            relayed: &beat.relayed,
            away: beat.away(),
        };
        self.detector.report(now, from, link, report);
    }

    fn on_echoes(
        &mut self,
        now: Instant,
        from: NodeId,
        link: LinkId,
        answers: &Echoes,
        out: &mut Vec<Output>,
    ) {
        let Echoes { boot, configuration, ref echoes } = *answers;
        for echo in echoes {
            let answer = Answer { boot, seq: echo.seq, configuration, refusals: Vec::new() };
            let held = Duration::from_micros(u64::from(echo.held_micros));
            // Out by one link and back by another measures neither, but shows that the peer is prompt.
            let by = (echo.link == link).then_some(link);
            self.note_round_trip(now, from, by, &answer, held);
            self.count_answer(now, from, &answer, held, out);
        }
    }

    pub(crate) fn on_answer(
        &mut self,
        now: Instant,
        from: NodeId,
        link: LinkId,
        answer: &Answer,
        out: &mut Vec<Output>,
    ) {
        self.note_round_trip(now, from, Some(link), answer, Duration::ZERO);
        self.count_answer(now, from, answer, Duration::ZERO, out);
    }

    fn note_round_trip(
        &mut self,
        now: Instant,
        from: NodeId,
        link: Option<LinkId>,
        answer: &Answer,
        held: Duration,
    ) {
        if answer.boot == self.config.boot
            && let Some(sent) = self.holder.rounds().get(answer.seq).map(|round| round.sent)
        {
            self.detector.round_trip(now, from, link, sent, held);
        }
    }

    /// `held`: how long the answering node kept the answer back.
    pub(crate) fn count_answer(
        &mut self,
        now: Instant,
        voter: NodeId,
        answer: &Answer,
        held: Duration,
        out: &mut Vec<Output>,
    ) {
        self.counters.answers_received += u64::from(voter != self.config.node);
        let mut said = Vec::new();
        let Answer { boot, seq, configuration, ref refusals } = *answer;
        let told = self.holder.answer(now, voter, boot, seq, configuration, refusals, &mut said);
        self.counters.answers_unmatched += u64::from(!told.matched);
        self.counters.answers_unknown_configuration += u64::from(told.unknown_configuration);
        if let Some((sent, took)) = told.completed {
            // An answer kept back is no sign of a slow network: as if it had come when it could.
            self.pace.completed(now, sent, took.saturating_sub(held));
            let announced = self.restart.and_then(|restart| restart.announced);
            if announced.is_some_and(|first| seq >= first) {
                self.ready_to_restart(now, out);
            }
        }
        self.say(said, out);
    }

    /// The newest voter-configuration entry of the local log.
    pub(crate) fn named(&self) -> LogPosition {
        self.holder.newest_configuration().map_or_else(LogPosition::default, |c| c.position)
    }
}
