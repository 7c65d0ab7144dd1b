//! L2 and L4 as seen from the wire: within D of a promise no voter promises the group to another node,
//! unless the first has said that its gate is gone or lies within a later beat's lease; nothing is
//! promised for longer than `D_max`, to an epoch that the voter's log has overtaken, or by a process
//! that may have forgotten what it promised before.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_heartbeat::{Beat, Input, Message, Output, Refusal, Terms};
use haven_types::{BootId, Epoch, GroupId, NodeId, Seq};

use super::Verdict;
use crate::clock::nanos;

pub(crate) const RULE: &str = "promises (L2, L4): a voter promises a group to one node at a time";

/// One promise, by the beat it was given for.
#[derive(Clone, Copy, Debug)]
struct Promised {
    to: NodeId,
    beat: (BootId, Seq),
    /// Whatever the clocks do, it binds until then, in true time.
    until: u64,
}

#[derive(Debug)]
pub(crate) struct Promises {
    terms: Terms,
    given: BTreeMap<(NodeId, GroupId), Vec<Promised>>,
    epochs: BTreeMap<(NodeId, GroupId), Epoch>,
    /// Processes that may have forgotten: silent until then, in true time.
    silent: BTreeMap<NodeId, u64>,
}

impl Promises {
    pub(crate) fn new(terms: Terms) -> Self {
        let (given, epochs) = (BTreeMap::new(), BTreeMap::new());
        Self { terms, given, epochs, silent: BTreeMap::new() }
    }

    /// A process starts; `knows` says whether it was given the promises of the one before, or is the
    /// first.
    pub(crate) fn on_start(&mut self, at: u64, node: NodeId, knows: bool) {
        self.epochs.retain(|(voter, _), _| *voter != node);
        // A clock that runs 10 % fast makes of D_max·(1+ρ) no less than D_max.
        let silent = if knows { 0 } else { at + nanos(self.terms.d_max) };
        self.silent.insert(node, silent);
    }

    pub(crate) fn on_step(
        &mut self,
        at: u64,
        voter: NodeId,
        input: &Input,
        outputs: &[Output],
    ) -> Verdict {
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
                refusals
                    .map_or(Ok(()), |refused| self.judge(at, voter, (*from, *boot), beat, refused))
            }
            _ => Ok(()),
        }
    }

    fn judge(
        &mut self,
        at: u64,
        voter: NodeId,
        (from, boot): (NodeId, BootId),
        beat: &Beat,
        refusals: &[Refusal],
    ) -> Verdict {
        for claim in &beat.claims {
            if refusals.iter().any(|refusal| refusal.group == claim.group) {
                continue;
            }
            let group = claim.group;
            let said = format!("{voter} promises group {group} to {from}");
            if beat.duration() > self.terms.d_max {
                return Err(format!("{said} for {:?}, above D_max", beat.duration()));
            }
            if self.epochs.get(&(voter, group)).is_some_and(|epoch| *epoch > claim.epoch) {
                return Err(format!("{said} at epoch {}, its log holds a higher one", claim.epoch));
            }
            if at < self.silent.get(&voter).copied().unwrap_or_default() {
                return Err(format!("{said}, and may have forgotten what it promised before"));
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
    }
}
