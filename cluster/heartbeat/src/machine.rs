//! The machine itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::{Instant, Rng};
use haven_lease::{
    Configuration, Holder, HolderOutput, LeaseView, LossCause, PromiseTable, Rule, Voter,
};
use haven_membership::{Clauses, Detector, Verdict};
use haven_types::{BootId, Epoch, GroupId, LinkId, NodeId, Seq};
use serde::{Deserialize, Serialize};

use crate::answering::Deferred;
use crate::copies::Copies;
use crate::pace::{Crowd, Pace};
use crate::{Config, Counters, Held, Input, Member, Message, Output, Start};

/// Beats sent because something changed keep this distance, whatever peers say.
const BEAT_GAP: Duration = Duration::from_micros(500);
/// How many unheard members, and relayed pairs, one beat carries.
pub(crate) const MAX_UNHEARD: usize = 64;
/// Frames of an older boot are a restart's last ones for so long; after that, somebody else's.
const OLD_BOOT_GRACE: Duration = Duration::from_secs(10);
/// How often [`Output::DuplicateNode`] is given for one node at most.
const DUPLICATE_EVERY: Duration = Duration::from_secs(60);
/// Bounds of the recommended consensus tick.
const CONSENSUS_TICK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Membership and lease over one beat. See the crate's documentation.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    pub(crate) config: Config,
    pub(crate) now: Instant,
    pub(crate) detector: Detector,
    pub(crate) voter: Voter,
    pub(crate) holder: Holder,
    pub(crate) pace: Pace,
    pub(crate) counters: Counters,
    pub(crate) down: BTreeSet<LinkId>,
    pub(crate) rng: Rng,
    pub(crate) coordinator: Option<NodeId>,
    /// When the last beat left; none before the first.
    pub(crate) last_beat: Option<Instant>,
    pub(crate) next_beat: Instant,
    pub(crate) beat_now: bool,
    pub(crate) deferred: Deferred,
    pub(crate) copies: Copies,
    /// The last beat of another that this node's own beat answered on every link at once.
    pub(crate) answered_by_beat: Option<(NodeId, BootId, Seq)>,
    pub(crate) restart: Option<Restart>,
    consensus_tick: Duration,
    boots_seen: BTreeMap<NodeId, BootSeen>,
    /// The highest epoch of each group that is known to be granted.
    granted: BTreeMap<GroupId, Epoch>,
    started: bool,
    /// When the next tick is due, and when the detector has something to judge.
    due: Instant,
    detector_due: Instant,
}

/// A planned restart under way (L9).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Restart {
    /// Beats from then on ask for long leases.
    pub(crate) planned: Instant,
    /// Until then answers to the beats before it may still gain a lease, a short one.
    pub(crate) short: Instant,
    /// The first beat that announced the absence.
    pub(crate) announced: Option<Seq>,
    pub(crate) ready: bool,
}

#[derive(Clone, Copy, Debug)]
struct BootSeen {
    boot: BootId,
    since: Instant,
    warned: Option<Instant>,
}

/// What a process leaves to its successor on the same kernel boot (L9).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HandOver {
    /// For [`crate::Start::HandedOver`].
    pub promises: PromiseTable,
    /// For [`Config::held`], unless the kernel's gate says otherwise.
    pub held: Vec<Held>,
}

impl Heartbeat {
    /// A machine at its start. `now` is the start of L4's silence. Step it with [`Input::Tick`] at
    /// once: the first beat is due.
    #[must_use]
    pub fn new(mut config: Config, now: Instant) -> Self {
        config.members.remove(&config.node);
        let terms = config.terms;
        // spec: L4 "A voter that (re)starts … promises nothing for D_max·(1+ρ) + 2 ticks", unless
        // nothing can have been forgotten: see the variants of `Start`.
        let (silent_until, table) = match &config.start {
            Start::Unknown => (now + terms.forgotten(), PromiseTable::default()),
            Start::First => (now, PromiseTable::default()),
            Start::HandedOver(table) => (now, table.clone()),
        };
        // What only this process has applied, of a commit that the one before had stored, was waited for by nobody.
        let applied = match &config.start {
            Start::HandedOver(table) => table.applied,
            Start::Unknown | Start::First => config.applied,
        };
        let log = &config.configurations;
        let mut voter = Voter::new(config.node, terms, silent_until, table, log, applied);
        if config.applied > applied {
            voter.configuration_applied(now, config.applied);
        }
        for (&group, &epoch) in &config.epochs {
            voter.set_epoch(group, epoch);
        }
        let mut holder = Holder::new(config.node, config.boot, terms, log.clone());
        for held in config.held.iter().filter(|held| held.deadline > now) {
            holder.adopt(held.group, held.epoch, held.deadline);
        }
        let clauses = Clauses {
            majority: terms.rules.has(Rule::VerdictMajority),
            silence: terms.rules.has(Rule::VerdictSilence),
        };
        let mut detector = Detector::new(config.node, clauses);
        detector.set_members(now, &links_of(&config.members));
        let mut pace = Pace::new(terms, config.floor, config.ceiling, now);
        pace.set_crowd(Crowd::of(config.members.len()));
        Self {
            pace,
            rng: Rng::new(config.seed),
            now,
            detector,
            voter,
            holder,
            counters: Counters::default(),
            down: BTreeSet::new(),
            coordinator: None,
            last_beat: None,
            next_beat: now,
            beat_now: false,
            deferred: Deferred::default(),
            copies: Copies::new(now),
            answered_by_beat: None,
            restart: None,
            consensus_tick: Duration::ZERO,
            boots_seen: BTreeMap::new(),
            granted: BTreeMap::new(),
            started: false,
            due: now,
            detector_due: now,
            config,
        }
    }

    /// Turns one input into outputs, to be carried out in order. `now` is read after the event that
    /// the input reports and before any of the outputs is carried out.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let now = now.max(self.now);
        let mut out = Vec::new();
        self.notice_stall(now);
        self.now = now;
        if !self.started {
            self.started = true;
            self.report_adopted(&mut out);
        }
        self.take(now, input, &mut out);
        self.advance(now, &mut out);
        self.detector_due = self.detector.deadline(now).unwrap_or(Instant::FAR_FUTURE);
        let others = [self.voter.deadline(), self.holder.deadline()];
        let first = others.into_iter().chain([self.repeat_due()]).flatten().min();
        let first = first.unwrap_or(Instant::FAR_FUTURE);
        self.due = first.min(self.detector_due).min(self.next_beat);
        out
    }

    fn take(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Received { from, boot, link, message } => {
                if self.admit(now, from, boot, link, out) {
                    self.on_message(now, from, boot, link, message, out);
                }
            }
            Input::Heard { from, boot, link } => {
                self.admit(now, from, boot, link, out);
            }
            Input::Tick => {}
            Input::Members(members) => self.on_members(now, members),
            Input::Configurations(log) => self.on_configurations(log),
            Input::ConfigurationApplied(position) => {
                self.voter.configuration_applied(now, position);
            }
            Input::Log(position) => self.config.log = position,
            Input::Epoch { group, epoch } => {
                self.config.epochs.insert(group, epoch);
                self.voter.set_epoch(group, epoch);
            }
            Input::Granted { group, epoch } => {
                self.granted.insert(group, epoch);
                self.with_holder(out, |holder, said| holder.superseded_by(now, group, epoch, said));
            }
            Input::Coordinator { node, .. } => {
                self.coordinator = node;
                self.detector.set_coordinator(node);
            }
            Input::Claim { group, epoch } => self.on_claim(group, epoch, out),
            Input::Release { group } => {
                self.with_holder(out, |holder, said| holder.release(now, group, said));
            }
            Input::GateOpened { group, ticket } => {
                self.with_holder(out, |h, said| h.gate_opened(now, group, ticket, said));
            }
            Input::GateClosed { group, ticket } => {
                self.with_holder(out, |h, said| h.gate_closed(now, group, ticket, said));
            }
            Input::GateFailed { group, ticket } => {
                self.with_holder(out, |h, said| h.gate_failed(now, group, ticket, said));
            }
            Input::Carrier { link, up } => {
                if up {
                    self.down.remove(&link)
                } else {
                    self.down.insert(link)
                };
            }
            Input::PlanRestart => {
                let short = now + self.pace.duration();
                let fresh = || Restart { planned: now, short, ..Restart::default() };
                self.restart.get_or_insert_with(fresh);
                self.beat_now = true;
            }
            Input::Resume => {
                self.restart = None;
                self.beat_now = true;
            }
        }
    }

    /// When the next [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        Some(self.due)
    }

    /// True while nothing waits for the next frame: every member is heard, every lease asked for is held. Then
    /// frames that arrive within a fraction of a beat may as well be taken in together.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.restart.is_none()
            && self.detector.is_quiet()
            && self.holder.leases().all(|lease| lease.gained && !lease.releasing)
    }

    /// The lease of a group that this node claims, holds or gives up.
    #[must_use]
    pub fn lease(&self, group: GroupId) -> Option<LeaseView> {
        self.holder.lease(group)
    }

    /// Ends the machine for a planned restart: it can promise nothing after this, so the table is
    /// complete. Call it after [`Output::RestartReady`], as the process's last act on the thread.
    #[must_use]
    pub fn hand_over(self, now: Instant) -> HandOver {
        let held = self.holder.leases().filter(|lease| !lease.releasing).filter_map(|lease| {
            let deadline = lease.open_until?;
            Some(Held { group: lease.group, epoch: lease.epoch, deadline })
        });
        HandOver { held: held.collect(), promises: self.voter.into_table(now) }
    }

    /// The thread woke later than it should have: neither silence nor delay of that time are the
    /// network's. A lease that ended meanwhile lapses by its end, as always.
    fn notice_stall(&mut self, now: Instant) {
        let due = self.due;
        if self.started && now > due + self.config.terms.tick * 2 {
            self.counters.stalls += 1;
            self.detector.excuse(now, now - due);
            self.pace.stalled(now, now - due);
        }
    }

    fn report_adopted(&mut self, out: &mut Vec<Output>) {
        for lease in self.holder.leases() {
            if let (Some(until), true) = (lease.until, lease.gained) {
                out.push(Output::LeaseGained { group: lease.group, epoch: lease.epoch, until });
            }
        }
    }

    /// Takes in the proof of life that every authentic frame is. False when the frame is dropped.
    fn admit(
        &mut self,
        now: Instant,
        from: NodeId,
        boot: BootId,
        link: LinkId,
        out: &mut Vec<Output>,
    ) -> bool {
        if from == self.config.node || !self.config.members.contains_key(&from) {
            self.counters.frames_of_strangers += 1;
            return false;
        }
        let mut verdicts = Vec::new();
        if !self.detector.heard(now, from, boot, link, &mut verdicts) {
            self.counters.frames_of_older_boot += 1;
            self.warn_duplicate(now, from, boot, out);
            return false;
        }
        if self.boots_seen.get(&from).is_none_or(|seen| seen.boot != boot) {
            self.boots_seen.insert(from, BootSeen { boot, since: now, warned: None });
        }
        self.tell(verdicts, out);
        true
    }

    fn warn_duplicate(
        &mut self,
        now: Instant,
        node: NodeId,
        dropped: BootId,
        out: &mut Vec<Output>,
    ) {
        let Some(seen) = self.boots_seen.get_mut(&node) else { return };
        let settled = now - seen.since >= OLD_BOOT_GRACE;
        if settled && seen.warned.is_none_or(|last| now - last >= DUPLICATE_EVERY) {
            seen.warned = Some(now);
            out.push(Output::DuplicateNode { node, newest: seen.boot, dropped });
        }
    }

    fn on_message(
        &mut self,
        now: Instant,
        from: NodeId,
        boot: BootId,
        link: LinkId,
        message: Message,
        out: &mut Vec<Output>,
    ) {
        match message {
            Message::Beat(beat) => self.on_beat(now, from, boot, link, beat, out),
            Message::Answer(answer) => self.on_answer(now, from, link, &answer, out),
            Message::Vacant(group) => {
                let claims =
                    self.holder.leases().any(|l| l.group == group && !l.gained && !l.releasing);
                self.beat_now |= claims;
            }
        }
    }

    fn on_members(&mut self, now: Instant, mut members: BTreeMap<NodeId, Member>) {
        members.remove(&self.config.node);
        for node in self.config.members.keys().filter(|node| !members.contains_key(node)) {
            self.voter.forget_node(*node);
            self.boots_seen.remove(node);
        }
        self.detector.set_members(now, &links_of(&members));
        self.copies.keep(|node| members.contains_key(&node));
        self.pace.set_crowd(Crowd::of(members.len()));
        self.config.members = members;
        // So that others learn of a longer D before they miss a beat.
        self.beat_now = true;
    }

    fn on_configurations(&mut self, log: Vec<Configuration>) {
        self.voter.set_configuration(log.last());
        self.holder.set_log(log);
    }

    fn on_claim(&mut self, group: GroupId, epoch: Epoch, out: &mut Vec<Output>) {
        if self.granted.get(&group).is_some_and(|&newest| newest > epoch) {
            out.push(Output::LeaseLost { group, epoch, cause: LossCause::Superseded });
            return;
        }
        let mut said = Vec::new();
        if self.holder.claim(group, epoch, &mut said).is_err() {
            out.push(Output::TooManyClaims { group });
        }
        self.say(said, out);
    }

    fn with_holder(
        &mut self,
        out: &mut Vec<Output>,
        act: impl FnOnce(&mut Holder, &mut Vec<HolderOutput>),
    ) {
        let mut said = Vec::new();
        act(&mut self.holder, &mut said);
        self.say(said, out);
    }

    pub(crate) fn say(&mut self, said: Vec<HolderOutput>, out: &mut Vec<Output>) {
        for said in said {
            out.push(match said {
                HolderOutput::Gate(order) => Output::Gate(order),
                HolderOutput::Gained { group, epoch, until } => {
                    Output::LeaseGained { group, epoch, until }
                }
                HolderOutput::Lost { group, epoch, cause } => {
                    self.counters.lapses += u64::from(cause == LossCause::Lapsed);
                    Output::LeaseLost { group, epoch, cause }
                }
                HolderOutput::Released { group, epoch } => Output::Released { group, epoch },
                HolderOutput::BeatNow => {
                    self.beat_now = true;
                    continue;
                }
            });
        }
    }

    pub(crate) fn tell_vacant(&mut self, vacant: Vec<(NodeId, GroupId)>, out: &mut Vec<Output>) {
        for (claimant, group) in vacant {
            if claimant == self.config.node {
                self.beat_now = true;
                continue;
            }
            for link in self.links_to(claimant) {
                out.push(Output::Send { to: claimant, link, message: Message::Vacant(group) });
            }
        }
    }

    fn tell(&mut self, verdicts: Vec<Verdict>, out: &mut Vec<Output>) {
        for verdict in verdicts {
            out.push(match verdict {
                Verdict::Suspect { node, boot, silent } => {
                    self.counters.suspicions += 1;
                    self.beat_now = true;
                    Output::Suspect { node, boot, silent }
                }
                Verdict::Alive { node, boot, withdrawn } => {
                    self.counters.suspicions_withdrawn += u64::from(withdrawn);
                    self.beat_now = true;
                    Output::Alive { node, boot }
                }
                Verdict::Dead { node, boot } => {
                    self.counters.verdicts += 1;
                    let led = self.coordinator == Some(node);
                    let successor = led.then(|| self.successor(node)).flatten();
                    Output::Dead { node, boot, successor }
                }
                Verdict::Link { peer, link, up } => Output::Link { peer, link, up },
                Verdict::View(view) => Output::View(view),
            });
        }
    }

    /// All that time brings, then the beat if one is due.
    fn advance(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.with_holder(out, |holder, said| holder.tick(now, said));
        let vacant = self.voter.expired(now);
        self.tell_vacant(vacant, out);
        self.pace.poll(now);
        self.judge(now, out);
        self.recommend_tick(now, out);
        self.repeat_if_due(now);
        self.hasten(now);
        if now >= self.next_beat {
            self.beat_now = false;
            self.beat(now, out);
            // The own vote may ask for another.
            self.hasten(now);
        }
    }

    /// Moves the next beat up when something must be told at once.
    fn hasten(&mut self, now: Instant) {
        if self.beat_now {
            let soonest = self.last_beat.map_or(now, |last| last + BEAT_GAP);
            self.next_beat = self.next_beat.min(soonest);
        }
    }

    fn judge(&mut self, now: Instant, out: &mut Vec<Output>) {
        if now < self.detector_due && self.detector.is_settled() {
            return;
        }
        let mut verdicts = Vec::new();
        let newest = self.holder.newest_configuration();
        let majority = |agrees: &dyn Fn(NodeId) -> bool| newest.is_some_and(|c| c.majority(agrees));
        let quiet = self.pace.crowd().interval_of(self.pace.floor());
        self.detector.judge(now, quiet, majority, &mut verdicts);
        self.tell(verdicts, out);
    }

    fn recommend_tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        let wanted = (self.pace.delay(now) * 2).clamp(CONSENSUS_TICK.0, CONSENSUS_TICK.1);
        let near = self.consensus_tick * 3 / 4..=self.consensus_tick * 5 / 4;
        if !near.contains(&wanted) {
            self.consensus_tick = wanted;
            out.push(Output::ConsensusTick(wanted));
        }
    }
}

fn links_of(members: &BTreeMap<NodeId, Member>) -> BTreeMap<NodeId, BTreeSet<LinkId>> {
    members.iter().map(|(&node, member)| (node, member.links.clone())).collect()
}

/// Shortens `list` to `bound`; true when it was longer.
pub(crate) fn cut<T>(list: &mut Vec<T>, bound: usize) -> bool {
    let longer = list.len() > bound;
    list.truncate(bound);
    longer
}
