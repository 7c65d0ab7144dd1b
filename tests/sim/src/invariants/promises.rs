//! L2 and L4 as seen from the wire: within D of a promise no voter promises the group to another node,
//! unless the first has said that its gate is gone or lies within a later beat's lease; nothing is
//! promised for longer than `D_max`, to an epoch that the voter's log has overtaken, by a process that
//! may have forgotten what it promised before, or by a node that has just become a voter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_heartbeat::{Beat, Input, Message, Output, Refusal, Start, Terms};
use haven_types::{BootId, Epoch, GroupId, LogPosition, NodeId, Seq};

use super::Verdict;
use super::joinings::Joinings;
use crate::clock::nanos;
use crate::host::Process;

pub(crate) const RULE: &str = "promises (L2, L4): a voter promises a group to one node at a time";

/// One promise, by the beat it was given for.
#[derive(Clone, Copy, Debug)]
struct Promised {
    to: NodeId,
    beat: (BootId, Seq),
    /// Whatever the clocks do, it binds until then, in true time.
    until: u64,
}

/// A beat that was neither refused nor answered in the step that took it in.
#[derive(Debug)]
struct Unanswered {
    boot: BootId,
    beat: Beat,
    at: u64,
    /// Groups it claimed at an epoch that the voter's log had overtaken then.
    overtaken: BTreeSet<GroupId>,
    /// The newest configuration entry of the voter's log then, and whether that made it a new voter.
    under: LogPosition,
    new: bool,
}

#[derive(Debug)]
pub(crate) struct Promises {
    terms: Terms,
    given: BTreeMap<(NodeId, GroupId), Vec<Promised>>,
    epochs: BTreeMap<(NodeId, GroupId), Epoch>,
    /// Claims that were taken in and not answered yet: by voter and sender.
    unanswered: BTreeMap<(NodeId, NodeId), Vec<Unanswered>>,
    /// Processes that may have forgotten: silent until then, in true time.
    silent: BTreeMap<NodeId, u64>,
    joinings: Joinings,
}

impl Promises {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            terms,
            given: BTreeMap::new(),
            epochs: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            silent: BTreeMap::new(),
            joinings: Joinings::default(),
        }
    }

    /// A process starts; it knows what was promised before if that was handed over, or if it is the first.
    pub(crate) fn on_start(&mut self, at: u64, node: NodeId, process: &Process) {
        self.joinings.on_start(at, node, process);
        self.epochs.retain(|(voter, _), _| *voter != node);
        self.unanswered.retain(|(voter, _), _| *voter != node);
        // A clock that runs 10 % fast makes of D_max·(1+ρ) no less than D_max.
        let silent = match process.start {
            Start::Unknown => at + nanos(self.terms.d_max),
            Start::First => 0,
            // The rest of what the process before had to wait for.
            Start::HandedOver(_) => self.silent.get(&node).copied().unwrap_or_default(),
        };
        self.silent.insert(node, silent);
    }

    pub(crate) fn on_step(
        &mut self,
        at: u64,
        voter: NodeId,
        input: &Input,
        outputs: &[Output],
    ) -> Verdict {
        self.judge_late(voter, outputs)?;
        self.joinings.on_step(at, voter, input);
        match input {
            Input::Epoch { group, epoch } => {
                self.epochs.insert((voter, *group), *epoch);
                Ok(())
            }
            Input::Received { from, boot, message: Message::Beat(beat), .. } => {
                for release in &beat.releases {
                    let bound = (*boot, release.before.min(beat.seq));
                    self.drop_before(voter, release.group, *from, bound);
                }
                for claim in &beat.claims {
                    if let Some(gated) = claim.gated {
                        let bound = (*boot, gated.min(beat.seq));
                        self.drop_before(voter, claim.group, *from, bound);
                    }
                }
                // A refusal travels alone and at once; a promise may travel with a beat.
                let refusals = outputs.iter().find_map(|output| match output {
                    Output::Send { to, message: Message::Answer(answer), .. } if to == from => {
                        Some(answer.refusals.as_slice())
                    }
                    Output::Send { to, message: Message::Beat(own), .. } if to == from => {
                        let answers = own.answers.as_ref()?;
                        let echoes = answers.boot == *boot
                            && answers.echoes.iter().any(|echo| echo.seq == beat.seq);
                        echoes.then_some([].as_slice())
                    }
                    _ => None,
                });
                let overtaken = self.overtaken(voter, beat);
                let (boot, beat) = (*boot, beat.clone());
                let under = self.joinings.newest(voter);
                let new = self.joinings.is_new(at, voter, nanos(self.terms.d_max));
                let asked = Unanswered { boot, beat, at, overtaken, under, new };
                if let Some(refused) = refusals {
                    return self.judge(voter, *from, &asked, refused);
                }
                if !asked.beat.claims.is_empty() {
                    let waiting = self.unanswered.entry((voter, *from)).or_default();
                    waiting.retain(|other| other.boot == boot);
                    waiting.push(asked);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A beat that was promised everything, and that a beat of a later step answers.
    fn judge_late(&mut self, voter: NodeId, outputs: &[Output]) -> Verdict {
        for output in outputs {
            let Output::Send { to, message: Message::Beat(own), .. } = output else { continue };
            let Some(waiting) = self.unanswered.remove(&(voter, *to)) else { continue };
            let Some(answers) = &own.answers else { continue };
            for asked in waiting {
                let echoed = answers.echoes.iter().any(|echo| echo.seq == asked.beat.seq);
                if answers.boot == asked.boot && echoed {
                    let named = answers.configuration;
                    if named != asked.under && !asked.beat.claims.is_empty() {
                        let under = asked.under;
                        return Err(format!(
                            "{voter} promised {to} under {under:?} and names {named:?}"
                        ));
                    }
                    self.judge(voter, *to, &asked, &[])?;
                }
            }
        }
        Ok(())
    }

    fn overtaken(&self, voter: NodeId, beat: &Beat) -> BTreeSet<GroupId> {
        let newest = |group: GroupId| self.epochs.get(&(voter, group)).copied();
        let claims = beat.claims.iter();
        let overtaken = claims.filter(|c| newest(c.group).is_some_and(|epoch| epoch > c.epoch));
        overtaken.map(|claim| claim.group).collect()
    }

    fn judge(
        &mut self,
        voter: NodeId,
        from: NodeId,
        asked: &Unanswered,
        refusals: &[Refusal],
    ) -> Verdict {
        let Unanswered { boot, ref beat, at, ref overtaken, under: _, new } = *asked;
        for claim in &beat.claims {
            if refusals.iter().any(|refusal| refusal.group == claim.group) {
                continue;
            }
            let group = claim.group;
            let said = format!("{voter} promises group {group} to {from}");
            if beat.duration() > self.terms.d_max {
                return Err(format!("{said} for {:?}, above D_max", beat.duration()));
            }
            if overtaken.contains(&group) {
                return Err(format!("{said} at epoch {}, its log holds a higher one", claim.epoch));
            }
            if at < self.silent.get(&voter).copied().unwrap_or_default() {
                return Err(format!("{said}, and may have forgotten what it promised before"));
            }
            if new {
                return Err(format!("{said}, and has only just become a voter"));
            }
            let given = self.given.entry((voter, group)).or_default();
            given.retain(|promise| promise.until > at);
            if let Some(other) = given.iter().find(|promise| promise.to != from) {
                let left = Duration::from_nanos(other.until - at);
                return Err(format!("{said}, bound to {} for {left:?} more", other.to));
            }
            let until = at + nanos(beat.duration());
            // A later copy of the beat binds no longer: the lease counts from its one send.
            if given.iter().all(|promise| promise.beat != (boot, beat.seq)) {
                given.push(Promised { to: from, beat: (boot, beat.seq), until });
            }
        }
        Ok(())
    }

    fn drop_before(&mut self, voter: NodeId, group: GroupId, of: NodeId, bound: (BootId, Seq)) {
        if let Some(given) = self.given.get_mut(&(voter, group)) {
            given.retain(|promise| promise.to != of || promise.beat >= bound);
        }
        for asked in self.unanswered.get_mut(&(voter, of)).into_iter().flatten() {
            if (asked.boot, asked.beat.seq) < bound {
                asked.beat.claims.retain(|claim| claim.group != group);
            }
        }
    }
}
