//! L6: a death verdict needs a majority of the voters that have not heard the node on any link, each
//! for 60 ms at least.

use std::collections::{BTreeMap, VecDeque};

use haven_heartbeat::{Configuration, Input, Output};
use haven_types::NodeId;

use super::Verdict;
use crate::clock::{MS, SECOND};

pub(crate) const RULE: &str =
    "verdicts (L6): a majority has been without word of a dead node for 60 ms";

/// 60 ms by a clock that runs 10 % fast.
const SILENCE: u64 = 60 * MS * 10 / 11;
/// What a voter said may be so old.
const NEWS: u64 = 2 * SECOND;

#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    heard: BTreeMap<(NodeId, NodeId), VecDeque<u64>>,
    voters: BTreeMap<NodeId, Configuration>,
    /// Since when the present processes have listened.
    since: BTreeMap<NodeId, u64>,
    /// When each process did its last step.
    acted: BTreeMap<NodeId, u64>,
    /// Who had a silence long enough before it was started anew, and when that ended: what it said
    /// then may still be on its way.
    silences: BTreeMap<(NodeId, NodeId), u64>,
}

impl Verdicts {
    pub(crate) fn on_start(&mut self, at: u64, node: NodeId, configurations: &[Configuration]) {
        let ended = self.acted.get(&node).copied().unwrap_or(at);
        // Of those, too, whom it never heard.
        let others: Vec<_> = self.since.keys().copied().filter(|of| *of != node).collect();
        for of in others {
            if self.was_silent(ended, node, of) {
                self.silences.insert((node, of), ended);
            }
        }
        self.since.insert(node, at);
        self.heard.retain(|(by, _), _| *by != node);
        if let Some(newest) = configurations.last() {
            self.voters.insert(node, newest.clone());
        }
    }

    pub(crate) fn on_step(
        &mut self,
        at: u64,
        node: NodeId,
        input: &Input,
        outputs: &[Output],
    ) -> Verdict {
        self.acted.insert(node, at);
        match input {
            Input::Received { from, .. } | Input::Heard { from, .. } => {
                let heard = self.heard.entry((node, *from)).or_default();
                heard.push_back(at);
                while heard.front().is_some_and(|first| *first + 2 * NEWS < at) {
                    heard.pop_front();
                }
            }
            Input::Configurations(log) => {
                if let Some(newest) = log.last() {
                    self.voters.insert(node, newest.clone());
                }
            }
            _ => {}
        }
        for output in outputs {
            let Output::Dead { node: dead, .. } = output else { continue };
            let Some(voters) = self.voters.get(&node) else { continue };
            let silent = |voter: NodeId| voter != *dead && self.was_silent(at, voter, *dead);
            if !voters.majority(silent) {
                let last: Vec<_> = voters
                    .all_voters()
                    .into_iter()
                    .map(|voter| (voter, self.heard.get(&(voter, *dead)).and_then(|h| h.back())))
                    .collect();
                return Err(format!(
                    "{node} declares {dead} dead, which no majority of {voters:?} has missed; heard last by {last:?}"
                ));
            }
        }
        Ok(())
    }

    /// Whether a voter had a silence long enough lately.
    fn was_silent(&self, at: u64, voter: NodeId, of: NodeId) -> bool {
        if self.silences.get(&(voter, of)).is_some_and(|ended| ended + NEWS >= at) {
            return true;
        }
        let heard = || self.heard.get(&(voter, of)).into_iter().flatten().copied();
        let since = self.since.get(&voter).copied();
        let begins = since.into_iter().chain(heard());
        let ends = heard().chain([at]);
        begins.zip(ends).any(|(from, to)| to + NEWS >= at && to.saturating_sub(from) >= SILENCE)
    }
}
