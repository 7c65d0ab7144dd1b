//! The holder: claims leases, keeps them, gives them up (L3).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_types::{BootId, Epoch, GroupId, LogPosition, NodeId, Seq};

use crate::holding::{Holding, Lease, Order, Phase};
use crate::{
    Claim, Configuration, GateOrder, LeaseView, LossCause, Refusal, RefusalCause, Release, Rounds,
    Rule, Terms, Ticket,
};

/// How many groups one node claims at a time: so many fit a beat.
pub const MAX_CLAIMS: usize = 64;
/// How many releases one beat carries; the others follow with the next.
const MAX_RELEASES: usize = 16;
/// What the holder wants done or known, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HolderOutput {
    /// An order to the kernel's gate.
    Gate(GateOrder),
    /// The lease is held and the gate is open.
    Gained {
        /// The lease group.
        group: GroupId,
        /// The grant's epoch.
        epoch: Epoch,
        /// The lease's end.
        until: Instant,
    },
    /// The lease is not held any more.
    Lost {
        /// The lease group.
        group: GroupId,
        /// The grant's epoch.
        epoch: Epoch,
        /// Why.
        cause: LossCause,
    },
    /// The gate is gone; the release goes out with the next beat.
    Released {
        /// The lease group.
        group: GroupId,
        /// The grant's epoch.
        epoch: Epoch,
    },
    /// A claim or a release must not wait for the next beat that is due.
    BeatNow,
}

/// A release that is being told to the voters.
#[derive(Clone, Debug)]
struct Telling {
    before: Seq,
    until: Instant,
    /// The newest beat that carried it, if any did.
    carried: Option<Seq>,
    told: BTreeSet<NodeId>,
}

/// The leases of one node.
///
/// ```text
///            claim            majority + gate ack        release, higher epoch granted
///  (nothing) ─────▶ Claiming ◀──────────────▶ (gained) ─────────▶ Closing ──gate deleted──▶ told
///                      ▲      lapse, gate fails                       │
///                      └───────────────── claimed again ──────────────┘
/// ```
///
/// Inputs: orders, answers to its node's beats, the gate's acknowledgements, time. Outputs:
/// [`HolderOutput`]. It never renews on anything but a completed round trip with a majority, and it
/// never tells voters of a gate the kernel has not acknowledged.
#[derive(Clone, Debug)]
pub struct Holder {
    node: NodeId,
    boot: BootId,
    terms: Terms,
    log: Vec<Configuration>,
    rounds: Rounds,
    next_seq: Seq,
    last_ticket: u64,
    groups: BTreeMap<GroupId, Holding>,
    telling: BTreeMap<GroupId, Telling>,
}

/// What an answer told, beside leases.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Answered {
    /// The answer matched a beat that is remembered.
    pub matched: bool,
    /// It named a configuration entry this log lacks (L5).
    pub unknown_configuration: bool,
    /// It made a majority: when that beat was sent, and how long the majority took.
    pub completed: Option<(Instant, Duration)>,
}

impl Holder {
    /// A holder that claims nothing.
    #[must_use]
    pub fn new(node: NodeId, boot: BootId, terms: Terms, log: Vec<Configuration>) -> Self {
        Self {
            node,
            boot,
            terms,
            log,
            rounds: Rounds::default(),
            next_seq: Seq(1),
            last_ticket: 0,
            groups: BTreeMap::new(),
            telling: BTreeMap::new(),
        }
    }

    /// Every configuration entry the log holds, oldest first.
    pub fn set_log(&mut self, log: Vec<Configuration>) {
        self.log = log;
    }

    /// The newest configuration entry of the log.
    #[must_use]
    pub fn newest_configuration(&self) -> Option<&Configuration> {
        self.log.last()
    }

    /// Takes over a gate that an earlier process of this node, now dead, left open (L9). The lease
    /// behind it ends with the gate; promises to the node go on binding the voters.
    pub fn adopt(&mut self, group: GroupId, epoch: Epoch, deadline: Instant) {
        let lease = Lease { seq: None, end: deadline, duration: Duration::ZERO };
        let holding = Holding {
            lease: Some(lease),
            open_until: Some(deadline),
            gained: true,
            ..Holding::new(epoch, self.next_seq)
        };
        self.groups.insert(group, holding);
    }

    /// The log grants the group to this node: ask for it.
    ///
    /// # Errors
    /// When [`MAX_CLAIMS`] groups are claimed already.
    pub fn claim(
        &mut self,
        group: GroupId,
        epoch: Epoch,
        out: &mut Vec<HolderOutput>,
    ) -> Result<(), TooManyClaims> {
        if !self.groups.contains_key(&group) && self.groups.len() >= MAX_CLAIMS {
            return Err(TooManyClaims);
        }
        let next_seq = self.next_seq;
        let holding = self.groups.entry(group).or_insert_with(|| Holding::new(epoch, next_seq));
        match holding.phase {
            Phase::Claiming => holding.epoch = holding.epoch.max(epoch),
            Phase::Closing { .. } => holding.next_epoch = Some(epoch),
        }
        out.push(HolderOutput::BeatNow);
        Ok(())
    }

    /// Gives the group up: first the gate, then the voters are told.
    pub fn release(&mut self, now: Instant, group: GroupId, out: &mut Vec<HolderOutput>) {
        if !self.groups.contains_key(&group) {
            // Nothing is held and no gate is open: there is nothing to wait for.
            out.push(HolderOutput::Released { group, epoch: Epoch::default() });
            return;
        }
        self.close(now, group, LossCause::Released, out);
        if let Some(holding) = self.groups.get_mut(&group) {
            holding.next_epoch = None;
        }
        if !self.terms.rules.has(Rule::ReleaseAfterGate) {
            self.tell(now, group);
            out.push(HolderOutput::BeatNow);
        }
    }

    /// `epoch` of the group is granted by a committed entry of the log; when that is higher than ours,
    /// another node may have it, and we give it up at once.
    pub fn superseded_by(
        &mut self,
        now: Instant,
        group: GroupId,
        epoch: Epoch,
        out: &mut Vec<HolderOutput>,
    ) {
        let Some(holding) = self.groups.get_mut(&group) else { return };
        // spec: L3 "the coordinator's grant in the log is permission to ask", until the log has a
        // newer one: also where the asking waits for the deletion of the gate.
        let cause = LossCause::Superseded;
        if let Some(next) = holding.next_epoch.take_if(|next| *next < epoch) {
            out.push(HolderOutput::Lost { group, epoch: next, cause });
        }
        if holding.epoch < epoch {
            self.close(now, group, cause, out);
        }
    }

    fn close(
        &mut self,
        now: Instant,
        group: GroupId,
        cause: LossCause,
        out: &mut Vec<HolderOutput>,
    ) {
        let Some(holding) = self.groups.get_mut(&group) else { return };
        if matches!(holding.phase, Phase::Closing { .. }) {
            return;
        }
        // spec: L3 "abandons every gate write begun before it": acknowledgements of orders given before are ignored.
        if self.terms.rules.has(Rule::AbandonGateWrites) {
            holding.orders.clear();
        }
        holding.retry.clear();
        holding.lease = None;
        holding.open_until = None;
        // A lease that had lapsed is told to be superseded all the same: until now it could come back.
        let was_held = std::mem::take(&mut holding.gained);
        if was_held || cause == LossCause::Superseded {
            out.push(HolderOutput::Lost { group, epoch: holding.epoch, cause });
        }
        self.order_close(now, group, out);
    }

    fn order_close(&mut self, now: Instant, group: GroupId, out: &mut Vec<HolderOutput>) {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let again_at = now + self.terms.tick * 5;
        if let Some(holding) = self.groups.get_mut(&group) {
            holding.phase = Phase::Closing { ticket, again_at };
            out.push(HolderOutput::Gate(GateOrder::Close { group, ticket }));
        }
    }

    /// What the beat sent at `now` says about leases. `now` is the clock of L3, so the caller read
    /// it before the send. Returns the beat's seq.
    pub fn beat(&mut self, now: Instant, duration: Duration) -> (Seq, Vec<Claim>, Vec<Release>) {
        let seq = self.next_seq;
        self.next_seq = Seq(seq.0 + 1);
        self.telling.retain(|_, telling| telling.until > now);
        let releases = self.carry(seq);
        let carried = releases.iter().map(|release| release.group).collect();
        self.rounds.begin(now, seq, duration, carried, &self.terms);
        let shrink = self.terms.rules.has(Rule::ShrinkAfterGate);
        let claims = self.groups.iter().filter(|(_, h)| h.phase == Phase::Claiming).map(
            // spec: L2 "only when a beat says that the kernel has acknowledged a gate".
            |(&group, h)| {
                let gated = if shrink { h.gated } else { h.lease.and_then(|lease| lease.seq) };
                Claim { group, epoch: h.epoch, gated }
            },
        );
        (seq, claims.collect(), releases)
    }

    /// What beat `seq` tells of releases: of more than it has room for, those that were told the longest time ago.
    fn carry(&mut self, seq: Seq) -> Vec<Release> {
        let mut telling: Vec<_> = self.telling.iter_mut().collect();
        if telling.len() > MAX_RELEASES {
            telling.sort_by_key(|(_, telling)| telling.carried);
            telling.truncate(MAX_RELEASES);
        }
        let release = |(&group, telling): (&GroupId, &mut Telling)| {
            telling.carried = Some(seq);
            Release { group, before: telling.before }
        };
        telling.into_iter().map(release).collect()
    }

    /// True while a release waits for its first beat, as the last one had no room for it.
    #[must_use]
    pub fn has_more_to_tell(&self) -> bool {
        self.telling.values().any(|telling| telling.carried.is_none())
    }

    /// An answer of `voter` (which may be this node itself) to beat `seq` of boot `boot`.
    #[expect(clippy::too_many_arguments, reason = "the fields of an answer, and its context")]
    pub fn answer(
        &mut self,
        now: Instant,
        voter: NodeId,
        boot: BootId,
        seq: Seq,
        named: LogPosition,
        refusals: &[Refusal],
        out: &mut Vec<HolderOutput>,
    ) -> Answered {
        // spec: L2 "An answer echoes boot and seq".
        let matching = self.terms.rules.has(Rule::MatchEcho);
        if matching && boot != self.boot {
            return Answered::default();
        }
        let newest = self.rounds.newest().map(|round| round.seq);
        let seq = if matching { seq } else { newest.unwrap_or(seq) };
        if !self.rounds.vote(seq, voter, named, refusals, self.terms.rules) {
            return Answered::default();
        }
        self.note_told(voter, seq);
        self.note_refusals(now, voter, seq, refusals);
        self.renew(now, seq, out);
        Answered {
            matched: true,
            unknown_configuration: self.log.iter().all(|c| c.position != named),
            completed: self.rounds.complete(now, seq, &self.log),
        }
    }

    /// A voter answered a beat: of the releases that this one carried it need not be told again.
    fn note_told(&mut self, voter: NodeId, seq: Seq) {
        let Some(newest) = self.log.last() else { return };
        let Some(round) = self.rounds.get(seq) else { return };
        let me = self.node;
        self.telling.retain(|group, telling| {
            // An earlier release of the group is another one.
            if seq >= telling.before && round.releases.contains(group) {
                telling.told.insert(voter);
            }
            let told = &telling.told;
            !newest.all_voters().iter().all(|n| *n == me || told.contains(n))
        });
    }

    fn note_refusals(&mut self, now: Instant, voter: NodeId, seq: Seq, refusals: &[Refusal]) {
        for refusal in refusals {
            let Some(holding) = self.groups.get_mut(&refusal.group) else { continue };
            let waits = matches!(refusal.cause, RefusalCause::Promised | RefusalCause::TooNew);
            if waits && holding.phase == Phase::Claiming && seq >= holding.from_seq {
                let wait = Duration::from_micros(u64::from(refusal.retry_micros));
                holding.retry.insert(voter, now + wait);
            }
        }
    }

    /// Takes every lease that beat `seq` renews.
    fn renew(&mut self, now: Instant, seq: Seq, out: &mut Vec<HolderOutput>) {
        let Some(round) = self.rounds.get(seq) else { return };
        let rules = self.terms.rules;
        // spec: L3 "ends at the *send* time (clock read before the send) … + D·(1−ρ) − 2 ticks".
        let start = if rules.has(Rule::CountFromSend) { round.sent } else { now };
        let end = start + self.terms.lease(round.duration);
        if end <= now {
            return;
        }
        let lease = Lease { seq: Some(seq), end, duration: round.duration };
        let mut orders = Vec::new();
        for (&group, holding) in &mut self.groups {
            // spec: L3 "After a release the holder ignores answers to beats sent before it".
            let forgotten = holding.phase != Phase::Claiming || seq < holding.from_seq;
            if forgotten && rules.has(Rule::ForgetBeforeRelease) {
                continue;
            }
            // spec: L3 "the newest beat promised by a majority".
            let newer = holding.newest.is_none_or(|known| seq > known);
            if !newer || !round.promised(group, &self.log, &self.terms) {
                continue;
            }
            holding.lease = Some(lease);
            holding.newest = Some(seq);
            holding.retry.clear();
            if holding.wants_order(&lease, &self.terms) {
                orders.push(group);
            }
        }
        for group in orders {
            self.order_renew(group, lease, out);
        }
    }

    fn order_renew(&mut self, group: GroupId, lease: Lease, out: &mut Vec<HolderOutput>) {
        let Some(holding) = self.groups.get_mut(&group) else { return };
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        holding.orders.push_back(Order { ticket, lease });
        let epoch = holding.epoch;
        let order = GateOrder::Renew { group, epoch, deadline: lease.end, ticket };
        out.push(HolderOutput::Gate(order));
    }

    /// The kernel acknowledged the gate ordered by `ticket`.
    pub fn gate_opened(
        &mut self,
        now: Instant,
        group: GroupId,
        ticket: Ticket,
        out: &mut Vec<HolderOutput>,
    ) {
        let Some(holding) = self.groups.get_mut(&group) else { return };
        let Some(at) = holding.orders.iter().position(|order| order.ticket == ticket) else {
            return;
        };
        let order = holding.orders[at];
        holding.orders.drain(..=at);
        holding.open_until = Some(order.lease.end);
        holding.gated = holding.gated.max(order.lease.seq);
        if !holding.gained && now < order.lease.end {
            holding.gained = true;
            let (epoch, until) = (holding.epoch, order.lease.end);
            out.push(HolderOutput::Gained { group, epoch, until });
        }
    }

    /// The kernel acknowledged the deletion ordered by `ticket`; the voters are told.
    pub fn gate_closed(
        &mut self,
        now: Instant,
        group: GroupId,
        ticket: Ticket,
        out: &mut Vec<HolderOutput>,
    ) {
        let Some(holding) = self.groups.get(&group) else { return };
        if !matches!(holding.phase, Phase::Closing { ticket: awaited, .. } if awaited == ticket) {
            return;
        }
        let (epoch, next_epoch) = (holding.epoch, holding.next_epoch);
        self.groups.remove(&group);
        // spec: L2 "A release … is sent after the kernel acknowledged the gate's deletion".
        self.tell(now, group);
        out.push(HolderOutput::Released { group, epoch });
        if let Some(epoch) = next_epoch {
            self.groups.insert(group, Holding::new(epoch, self.next_seq));
        }
        out.push(HolderOutput::BeatNow);
    }

    fn tell(&mut self, now: Instant, group: GroupId) {
        // No promise outlives this, so after it there is nothing left to cancel.
        let until = now + self.terms.forgotten();
        let (before, told) = (self.next_seq, BTreeSet::new());
        self.telling.insert(group, Telling { before, until, carried: None, told });
    }

    /// The order with `ticket` was not carried out.
    pub fn gate_failed(
        &mut self,
        now: Instant,
        group: GroupId,
        ticket: Ticket,
        out: &mut Vec<HolderOutput>,
    ) {
        let Some(holding) = self.groups.get_mut(&group) else { return };
        if let Phase::Closing { ticket: awaited, again_at } = &mut holding.phase {
            if *awaited == ticket {
                *again_at = (*again_at).min(now + self.terms.tick);
            }
            return;
        }
        let before = holding.orders.len();
        holding.orders.retain(|order| order.ticket != ticket);
        if holding.orders.len() < before {
            holding.open_until = None;
            if std::mem::take(&mut holding.gained) {
                let cause = LossCause::GateFailed;
                out.push(HolderOutput::Lost { group, epoch: holding.epoch, cause });
            }
        }
    }

    /// Time has come to `now`: leases lapse, unacknowledged deletions are ordered again.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<HolderOutput>) {
        let mut close_again = Vec::new();
        for (&group, holding) in &mut self.groups {
            holding.retry.retain(|_, at| {
                let due = *at <= now;
                if due {
                    out.push(HolderOutput::BeatNow);
                }
                !due
            });
            match holding.phase {
                Phase::Closing { again_at, .. } if now >= again_at => close_again.push(group),
                Phase::Closing { .. } => {}
                Phase::Claiming => holding.lapse(now, group, out),
            }
        }
        for group in close_again {
            self.order_close(now, group, out);
        }
    }

    /// When [`Holder::tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.groups.values().filter_map(Holding::deadline).min()
    }

    /// The beats sent lately.
    #[must_use]
    pub fn rounds(&self) -> &Rounds {
        &self.rounds
    }

    /// A group, if this node claims, holds or closes it.
    #[must_use]
    pub fn lease(&self, group: GroupId) -> Option<LeaseView> {
        self.groups.get(&group).map(|holding| holding.view(group))
    }

    /// Every group this node claims, holds or closes.
    pub fn leases(&self) -> impl Iterator<Item = LeaseView> + '_ {
        self.groups.iter().map(|(&group, holding)| holding.view(group))
    }
}

/// [`MAX_CLAIMS`] groups are claimed already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("cannot claim another lease group: this node claims {MAX_CLAIMS} already; spread them")]
pub struct TooManyClaims;

#[cfg(test)]
mod tests;
