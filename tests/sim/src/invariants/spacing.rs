//! L5: between a change of voters that a coordinator saw committed and the next one lies `D_max`·(1+ρ)
//! of its clock, and a new coordinator starts that wait again.

use std::collections::{BTreeMap, BTreeSet};

use haven_consensus::{Batch, Configuration, Payload, Role, Snapshot, Status};
use haven_types::{LogIndex, NodeId, Term};

use super::Verdict;

pub(crate) const RULE: &str = "spacing (L5): changes of voters keep their distance";

#[derive(Debug, Default)]
struct Seen {
    /// Configuration entries of its log.
    entries: BTreeMap<LogIndex, Configuration>,
    /// Those that change the voters.
    changes: BTreeSet<LogIndex>,
    /// Since when it leads, and in which term.
    leads: Option<(Term, u64)>,
    /// When it first knew an entry committed.
    committed: BTreeMap<LogIndex, u64>,
}

impl Seen {
    /// A leader's snapshot takes the place of the log: the change of voters it contains, if it does, is
    /// committed.
    fn take_snapshot(&mut self, at: u64, snapshot: &Snapshot) {
        let (index, next) = (snapshot.configuration_position.index, &snapshot.configuration);
        let before = self.entries.values().next_back();
        if before.is_some_and(|b| b.voters != next.voters || b.outgoing != next.outgoing) {
            self.changes.insert(index);
        }
        self.entries = BTreeMap::from([(index, next.clone())]);
        self.committed.entry(index).or_insert(at);
    }
}

#[derive(Debug)]
pub(crate) struct Spacing {
    /// What D_max·(1+ρ) is at least in true time.
    least: u64,
    nodes: BTreeMap<NodeId, Seen>,
}

impl Spacing {
    pub(crate) fn new(least: u64) -> Self {
        Self { least, nodes: BTreeMap::new() }
    }

    pub(crate) fn on_start(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    pub(crate) fn on_persist(&mut self, at: u64, node: NodeId, batch: &Batch) -> Verdict {
        let seen = self.nodes.entry(node).or_default();
        if let (true, Some(snapshot)) = (batch.clear_entries, &batch.snapshot) {
            seen.take_snapshot(at, snapshot);
        }
        for entry in &batch.entries {
            let index = entry.position.index;
            seen.entries.split_off(&index);
            seen.committed.split_off(&index);
            seen.changes.split_off(&index);
            let Payload::Configuration(next) = &entry.payload else { continue };
            let before = seen.entries.values().next_back().cloned();
            seen.entries.insert(index, next.clone());
            let Some(before) = before else { continue };
            if before.voters == next.voters && before.outgoing == next.outgoing {
                continue;
            }
            let known = seen.changes.last().copied();
            seen.changes.insert(index);
            // Before the first change there is nothing to keep a distance from.
            let (Some(known), Some((term, since))) = (known, seen.leads) else { continue };
            if entry.position.term != term {
                continue;
            }
            let Some(committed) = seen.committed.get(&known) else {
                return Err(format!(
                    "{node} changes the voters at {index}, and {known} is not committed"
                ));
            };
            if at < (*committed).max(since) + self.least {
                return Err(format!("{node} changes the voters at {index} too soon after {known}"));
            }
        }
        Ok(())
    }

    pub(crate) fn after_round(&mut self, at: u64, node: NodeId, status: &Status) {
        let seen = self.nodes.entry(node).or_default();
        seen.leads = match (status.role == Role::Leader, seen.leads) {
            (true, Some((term, since))) if term == status.term => Some((term, since)),
            (true, _) => Some((status.term, at)),
            (false, _) => None,
        };
        for index in seen.entries.keys().filter(|index| **index <= status.committed) {
            seen.committed.entry(*index).or_insert(at);
        }
    }
}
