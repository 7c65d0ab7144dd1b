//! Since when each node votes, as L4 counts it: from when the entry that made it a voter was applied there.
//! A planned restart changes nothing of that; after any other the whole process waits.

use std::collections::BTreeMap;

use haven_heartbeat::{Configuration, Input, Start};
use haven_types::{LogPosition, NodeId};

use crate::host::Process;

#[derive(Debug, Default)]
pub(crate) struct Joinings(BTreeMap<NodeId, Known>);

/// What one node was told, over planned restarts.
#[derive(Debug, Default)]
struct Known {
    /// Configuration entries of its log, and whether they name it.
    log: BTreeMap<LogPosition, bool>,
    /// Whether the newest one is joint and names it in the incoming half alone.
    incoming: bool,
    /// The entries up to which all was applied, with the true time when it learned that; zero for what
    /// was applied before the process started.
    applied: BTreeMap<LogPosition, u64>,
}

impl Joinings {
    pub(crate) fn on_start(&mut self, at: u64, node: NodeId, process: &Process) {
        let known = self.0.entry(node).or_default();
        if let Start::HandedOver(_) = process.start {
            known.apply(process.applied, at);
        } else {
            *known = Known::default();
            known.apply(process.applied, 0);
        }
        known.learn(node, &process.configurations);
    }

    pub(crate) fn on_step(&mut self, at: u64, node: NodeId, input: &Input) {
        let known = self.0.entry(node).or_default();
        match input {
            Input::Configurations(log) => known.learn(node, log),
            Input::ConfigurationApplied(position) => known.apply(*position, at),
            _ => {}
        }
    }

    /// The newest configuration entry of the node's log.
    pub(crate) fn newest(&self, node: NodeId) -> LogPosition {
        let newest = self.0.get(&node).and_then(|known| known.log.last_key_value());
        newest.map(|(position, _)| *position).unwrap_or_default()
    }

    /// Whether the node has only just become a voter, less than `wait` ago in true time, or is yet to
    /// apply the entry that makes it one. Never of whose answers complete nothing by themselves: they name a
    /// joint entry that brings the node in (see `Voter::may_promise`), or one that does not name it.
    pub(crate) fn is_new(&self, at: u64, node: NodeId, wait: u64) -> bool {
        let Some(known) = self.0.get(&node).filter(|known| !known.incoming) else { return false };
        let run = known.log.iter().rev().take_while(|(_, named)| **named).last();
        let Some((&entry, _)) = run else { return false };
        match known.applied.range(entry..).next() {
            Some((_, 0)) => false,
            Some((_, since)) => at < since + wait,
            None => true,
        }
    }
}

impl Known {
    fn learn(&mut self, node: NodeId, log: &[Configuration]) {
        let (Some(first), Some(newest)) = (log.first(), log.last()) else { return };
        let not_outgoing = newest.outgoing.as_ref().is_some_and(|half| !half.contains(&node));
        self.incoming = not_outgoing && newest.voters.contains(&node);
        // What is older than all that is told now has been compacted away, and was no less true.
        drop(self.log.split_off(&first.position));
        self.log.extend(log.iter().map(|it| (it.position, it.has_voter(node))));
    }

    fn apply(&mut self, position: LogPosition, at: u64) {
        if self.applied.last_key_value().is_none_or(|(last, _)| *last < position) {
            self.applied.insert(position, at);
        }
    }
}
