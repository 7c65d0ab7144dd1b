//! The voter: answers claims (L2, L4).

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::Instant;
use haven_types::{BootId, Epoch, GroupId, LogPosition, NodeId, Seq};

use crate::promises::BeatId;
use crate::{
    Claim, Configuration, Promise, PromiseTable, Refusal, RefusalCause, Release, Rule, Terms,
};

/// What a beat says about leases, with the sender and the duration the voter needs to judge it.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The sender.
    pub from: NodeId,
    /// Its boot.
    pub boot: BootId,
    /// The beat's seq.
    pub seq: Seq,
    /// D.
    pub duration: Duration,
    /// What it claims.
    pub claims: &'a [Claim],
    /// What it gave up.
    pub releases: &'a [Release],
}

/// How many groups a voter keeps promises about; claims on more are refused.
pub const MAX_GROUPS: usize = 4_096;
/// How many (group, node) pairs have their latest release or gate remembered.
const MAX_FLOORS: usize = 4 * MAX_GROUPS;

/// True when `newest` is joint and names `node` in its incoming half alone.
fn is_incoming(node: NodeId, newest: Option<&Configuration>) -> bool {
    newest.is_some_and(|c| {
        c.voters.contains(&node) && c.outgoing.as_ref().is_some_and(|half| !half.contains(&node))
    })
}

/// Whether this node votes, as its own log says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// Not named by the newest configuration entry.
    NotVoter,
    /// A voter since before this process started, or long enough.
    Voter,
    /// Named first by the entry at `entry`; `applied` says when that was applied here.
    New { entry: LogPosition, applied: Option<Instant> },
}

/// One voter. It promises, refuses, and never takes a promise back.
///
/// Inputs: beats (its own node's, too), the log's configurations and epochs. Outputs: refusals, and
/// the waiting claimants of groups that have become free. It never owns anything and never sends.
///
/// Invariant: at every instant each group has at most one node with an unexpired promise.
#[derive(Clone, Debug)]
pub struct Voter {
    node: NodeId,
    terms: Terms,
    standing: Standing,
    /// The newest configuration entry known to be applied, and since when. Which comes first, the word
    /// that an entry is applied or the word that it is in the log, is not the voter's to know: a
    /// snapshot brings both at once.
    applied: Option<(LogPosition, Instant)>,
    /// What was applied before this process started: who votes by an entry up to here has voted before.
    at_start: LogPosition,
    /// True while the newest configuration entry is joint and only its incoming half names us.
    incoming: bool,
    silent_until: Instant,
    promises: BTreeMap<GroupId, Promise>,
    epochs: BTreeMap<GroupId, Epoch>,
    /// Per group and node: claims of earlier beats are stale, for the node has since said that its
    /// gate was deleted, or lies within the lease of this beat.
    floors: BTreeMap<(GroupId, NodeId), BeatId>,
    /// Who was refused last for a promise to another, per group.
    waiting: BTreeMap<GroupId, NodeId>,
    merged: u64,
}

impl Voter {
    /// A voter that gives no promise before `silent_until` (L4; see [`Terms::forgotten`]) and keeps
    /// those of `table`. `log` is what its log holds at start, oldest first, of which the entries up
    /// to `applied` are committed and were applied before: where a table was handed over (L9), what that says of
    /// it, and then the silence that L4 asks for after them is in the table, too.
    #[must_use]
    pub fn new(
        node: NodeId,
        terms: Terms,
        silent_until: Instant,
        table: PromiseTable,
        log: &[Configuration],
        applied: LogPosition,
    ) -> Self {
        // The entry that made us a voter: the first of the last unbroken run of entries that name
        // us. If it is not applied yet, L4 counts from when it will be.
        let run = log.iter().rev().take_while(|c| c.has_voter(node)).last();
        let standing = match run.map(|c| c.position) {
            None => Standing::NotVoter,
            Some(entry) if entry <= applied => Standing::Voter,
            Some(entry) => Standing::New { entry, applied: None },
        };
        Self {
            node,
            terms,
            standing,
            applied: None,
            at_start: applied,
            incoming: is_incoming(node, log.last()),
            silent_until: silent_until.max(table.silent_until),
            promises: table.promises,
            epochs: table.epochs,
            floors: BTreeMap::new(),
            waiting: BTreeMap::new(),
            merged: 0,
        }
    }

    /// The newest voter configuration the log holds, committed or not.
    pub fn set_configuration(&mut self, newest: Option<&Configuration>) {
        self.incoming = is_incoming(self.node, newest);
        self.standing = match (self.standing, newest.filter(|c| c.has_voter(self.node))) {
            (_, None) => Standing::NotVoter,
            // An entry that took the vote away, or gave it, was never committed and is gone again.
            (Standing::NotVoter, Some(newest)) if newest.position <= self.at_start => {
                Standing::Voter
            }
            (Standing::NotVoter, Some(newest)) => {
                let entry = newest.position;
                let known = self.applied.filter(|(position, _)| *position >= entry);
                Standing::New { entry, applied: known.map(|(_, at)| at) }
            }
            (standing, Some(_)) => standing,
        };
    }

    /// The configuration entry at `position` is committed and applied here.
    pub fn configuration_applied(&mut self, now: Instant, position: LogPosition) {
        if self.applied.is_none_or(|(known, _)| known < position) {
            self.applied = Some((position, now));
        }
        if let Standing::New { entry, applied: applied @ None } = &mut self.standing
            && position >= *entry
        {
            *applied = Some(now);
        }
    }

    /// The highest epoch of a group that the log holds.
    pub fn set_epoch(&mut self, group: GroupId, epoch: Epoch) {
        self.epochs.insert(group, epoch);
    }

    /// Answers one beat. Returns the claims refused (all others are promised), and appends to
    /// `vacant` the waiting claimants of groups it released.
    pub fn answer(
        &mut self,
        now: Instant,
        beat: Asking<'_>,
        vacant: &mut Vec<(NodeId, GroupId)>,
    ) -> Vec<Refusal> {
        for release in beat.releases {
            self.release(now, beat, *release, vacant);
        }
        let mut refusals = Vec::new();
        for claim in beat.claims {
            if let Err((cause, retry)) = self.claim(now, beat, claim) {
                let retry_micros = u32::try_from(retry.as_micros()).unwrap_or(u32::MAX);
                refusals.push(Refusal { group: claim.group, cause, retry_micros });
            }
        }
        refusals
    }

    fn claim(
        &mut self,
        now: Instant,
        beat: Asking<'_>,
        claim: &Claim,
    ) -> Result<(), (RefusalCause, Duration)> {
        let id = (beat.boot, beat.seq);
        if let Some(gated) = claim.gated {
            // spec: L2 "drops those before (boot, k) only when a beat says that the kernel has
            // acknowledged a gate within the lease of beat k".
            self.raise_floor(claim.group, beat.from, (beat.boot, gated.min(beat.seq)));
        }
        self.may_promise(now)?;
        // spec: L2 "when D > D_max".
        if self.terms.rules.has(Rule::RefuseLongDuration) && beat.duration > self.terms.d_max {
            return Err((RefusalCause::TooLong, Duration::ZERO));
        }
        // spec: L2 "once its log holds a higher epoch".
        if self.terms.rules.has(Rule::RefuseOlderEpoch)
            && self.epochs.get(&claim.group).is_some_and(|&newest| newest > claim.epoch)
        {
            return Err((RefusalCause::OlderEpoch, Duration::ZERO));
        }
        if self.floors.get(&(claim.group, beat.from)).is_some_and(|&floor| id < floor) {
            return Err((RefusalCause::Stale, Duration::ZERO));
        }
        if self.promises.len() >= MAX_GROUPS && !self.promises.contains_key(&claim.group) {
            return Err((RefusalCause::TooMany, Duration::ZERO));
        }
        let promise = self.promises.entry(claim.group).or_insert_with(|| Promise::new(beat.from));
        promise.expire(now);
        // spec: L2 "refuses while it holds an unexpired promise on that group to another node";
        // spec: L9 a promise binds to the node: its next process, of a higher boot, is no other.
        if promise.holder != beat.from {
            if let Some(end) = promise.end()
                && self.terms.rules.has(Rule::RefuseWhilePromised)
            {
                self.waiting.insert(claim.group, beat.from);
                return Err((RefusalCause::Promised, end - now));
            }
            *promise = Promise::new(beat.from);
        }
        if self.waiting.get(&claim.group) == Some(&beat.from) {
            self.waiting.remove(&claim.group);
        }
        // spec: L2 "Its promise runs D·(1+ρ) + 2 ticks from its processing of the beat".
        let end = now + self.terms.promise(beat.duration);
        if self.terms.rules.has(Rule::KeepLatestEnd) {
            self.merged += u64::from(promise.add(id, end));
        } else {
            promise.beats = vec![(beat.boot, beat.seq, end)];
        }
        Ok(())
    }

    /// Whether this voter may promise anything now.
    fn may_promise(&self, now: Instant) -> Result<(), (RefusalCause, Duration)> {
        // spec: L4 "A voter that (re)starts … promises nothing for D_max·(1+ρ) + 2 ticks".
        if self.terms.rules.has(Rule::WaitAfterStart) && now < self.silent_until {
            return Err((RefusalCause::TooNew, self.silent_until - now));
        }
        match self.standing {
            Standing::Voter => Ok(()),
            Standing::NotVoter => Err((RefusalCause::NotVoter, Duration::ZERO)),
            // spec: L4 "or has just become one (counted from applying the committed joint entry)".
            //
            // While the joint entry that brings it in is still the newest in its log, a new voter
            // may promise all the same. Its answers name that entry, so (L5) a holder counts them against both
            // halves, and the outgoing half's majority meets the majority of every lease given
            // under the outgoing configuration: the answer can complete nothing those voters have
            // not agreed to. What the wait prevents is a majority of the incoming half alone, and
            // such a majority needs answers that name the final entry. Without this, leases would be
            // lost for 5.5 s where several voters change at once and a majority takes new ones. It does not
            // touch the clause above: a process that may have forgotten promises stays silent. ADR 28.
            Standing::New { .. } if self.incoming => Ok(()),
            Standing::New { .. } if !self.terms.rules.has(Rule::WaitAsNewVoter) => Ok(()),
            Standing::New { applied: None, .. } => {
                Err((RefusalCause::TooNew, self.terms.forgotten()))
            }
            Standing::New { applied: Some(applied), .. } => {
                let end = applied + self.terms.forgotten();
                if now < end { Err((RefusalCause::TooNew, end - now)) } else { Ok(()) }
            }
        }
    }

    fn release(
        &mut self,
        now: Instant,
        beat: Asking<'_>,
        release: Release,
        vacant: &mut Vec<(NodeId, GroupId)>,
    ) {
        // A release cannot speak of beats its own beat does not precede.
        let before = release.before.min(beat.seq);
        let bound = if self.terms.rules.has(Rule::ReleaseBySeq) {
            // spec: L2 "cancels only promises from beats of that boot with a smaller seq, or of
            // older boots (boot ids increase)".
            (beat.boot, before)
        } else {
            (BootId(u64::MAX), Seq(u64::MAX))
        };
        let Some(promise) = self.promises.get_mut(&release.group) else {
            self.raise_floor(release.group, beat.from, (beat.boot, before));
            return;
        };
        promise.expire(now);
        if promise.holder == beat.from {
            promise.drop_before(bound);
        }
        let free = promise.beats.is_empty();
        if free {
            self.promises.remove(&release.group);
            if let Some(claimant) = self.waiting.remove(&release.group)
                && claimant != beat.from
            {
                vacant.push((claimant, release.group));
            }
        }
        self.raise_floor(release.group, beat.from, (beat.boot, before));
    }

    fn raise_floor(&mut self, group: GroupId, node: NodeId, beat: BeatId) {
        // A floor only saves a late claim's promise from being given for nothing, so at the bound
        // it may be left out.
        if self.floors.len() < MAX_FLOORS || self.floors.contains_key(&(group, node)) {
            let floor = self.floors.entry((group, node)).or_insert(beat);
            *floor = (*floor).max(beat);
        }
        if let Some(promise) = self.promises.get_mut(&group)
            && promise.holder == node
        {
            promise.drop_before(beat);
        }
    }

    /// The waiting claimants of groups whose promise has run out by `now`.
    pub fn expired(&mut self, now: Instant) -> Vec<(NodeId, GroupId)> {
        let mut vacant = Vec::new();
        self.promises.retain(|_, promise| {
            promise.expire(now);
            !promise.beats.is_empty()
        });
        self.waiting.retain(|group, claimant| {
            let free = !self.promises.contains_key(group);
            if free {
                vacant.push((*claimant, *group));
            }
            !free
        });
        vacant
    }

    /// When the next promise somebody waits for runs out.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting
            .keys()
            .map(|group| self.promises.get(group).and_then(Promise::end).unwrap_or(Instant::ZERO))
            .min()
    }

    /// Unexpired promises: the holder and the end of each.
    #[must_use]
    pub fn promised(&self, now: Instant) -> BTreeMap<GroupId, (NodeId, Instant)> {
        let live = |(&group, promise): (&GroupId, &Promise)| {
            promise.end().filter(|&end| end > now).map(|end| (group, (promise.holder, end)))
        };
        self.promises.iter().filter_map(live).collect()
    }

    /// Until when L4 keeps this voter from promising after its start.
    #[must_use]
    pub fn silent_until(&self) -> Instant {
        self.silent_until
    }

    /// How often a promise's list was full and beats were merged.
    #[must_use]
    pub fn merged(&self) -> u64 {
        self.merged
    }

    /// Forgets nodes and groups for good: a removed member's floors. Promises stay until they end.
    pub fn forget_node(&mut self, node: NodeId) {
        self.floors.retain(|&(_, n), _| n != node);
        self.waiting.retain(|_, n| *n != node);
    }

    /// The complete table, for the next process. The voter is gone: it promises nothing after this.
    #[must_use]
    pub fn into_table(self, now: Instant) -> PromiseTable {
        let after = |applied: Instant| self.silent_until.max(applied + self.terms.forgotten());
        let silent_until = match self.standing {
            Standing::New { applied: Some(applied), .. } => after(applied),
            Standing::New { applied: None, .. } => now + self.terms.forgotten(),
            // An entry that takes the vote away may be truncated under the next process, which holds what was
            // applied before it for old.
            Standing::NotVoter => self.applied.map_or(self.silent_until, |(_, at)| after(at)),
            Standing::Voter => self.silent_until,
        };
        let applied =
            self.applied.map_or(self.at_start, |(position, _)| position.max(self.at_start));
        PromiseTable { promises: self.promises, silent_until, epochs: self.epochs, applied }
    }
}

#[cfg(test)]
mod tests;
