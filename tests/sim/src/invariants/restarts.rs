//! L9: a process hands its open gates over only after it obtained long leases for them, asks for no
//! longer ones than the voters grant, and its successor begins with short ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_heartbeat::{GateOrder, HandOver, Input, Message, Output, Terms};
use haven_types::{GroupId, NodeId};

use super::{Hosts, Verdict};
use crate::world::local;

pub(crate) const RULE: &str = "restarts (L9): a planned restart first obtains long leases";

/// The longest D there is.
const LONGEST: Duration = Duration::from_secs(5);
/// What D may lose on the wire, and an end of a lease by it.
const ROUNDED: Duration = Duration::from_micros(2);

#[derive(Debug)]
pub(crate) struct Restarts {
    terms: Terms,
    /// Until when each gate was ordered open at the latest.
    until: BTreeMap<(NodeId, GroupId), Instant>,
    /// The longest time that was left of each at any step since the restart was planned.
    longest: BTreeMap<NodeId, BTreeMap<GroupId, Duration>>,
    /// When the leases end of beats sent since then that asked for the longest there are.
    long_ends: BTreeMap<NodeId, BTreeSet<Instant>>,
    /// Processes that have sent a beat.
    beaten: BTreeMap<NodeId, bool>,
}

impl Restarts {
    pub(crate) fn new(terms: Terms) -> Self {
        let (until, longest, long_ends) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { terms, until, longest, long_ends, beaten: BTreeMap::new() }
    }

    pub(crate) fn on_start(&mut self, node: NodeId) {
        self.longest.remove(&node);
        self.long_ends.remove(&node);
        self.beaten.insert(node, false);
    }

    /// A host's clock begins anew.
    pub(crate) fn on_power_loss(&mut self, node: NodeId) {
        self.until.retain(|(of, _), _| *of != node);
    }

    pub(crate) fn on_step(
        &mut self,
        at: u64,
        node: NodeId,
        hosts: &Hosts,
        input: &Input,
        outputs: &[Output],
    ) -> Verdict {
        match input {
            Input::PlanRestart => drop(self.longest.entry(node).or_default()),
            Input::Resume => drop(self.longest.remove(&node)),
            _ => {}
        }
        let now: Instant = local(hosts, node, at);
        for output in outputs {
            match output {
                Output::Gate(GateOrder::Renew { group, deadline, .. }) => {
                    let until = self.until.entry((node, *group)).or_default();
                    *until = (*until).max(*deadline);
                }
                Output::Send { message: Message::Beat(beat), .. } => {
                    let d = beat.duration();
                    if d > LONGEST.min(self.terms.d_max) {
                        return Err(format!("{node} asks for leases of {d:?}"));
                    }
                    // On the wire D has lost what is below a microsecond.
                    if self.longest.contains_key(&node) && d + ROUNDED >= self.terms.d_max {
                        let end = now + self.terms.lease(self.terms.d_max);
                        self.long_ends.entry(node).or_default().insert(end);
                    }
                    let first = !std::mem::replace(self.beaten.entry(node).or_default(), true);
                    if first && !self.longest.contains_key(&node) && d > self.terms.d_max / 2 {
                        return Err(format!("{node} begins with leases of {d:?}"));
                    }
                }
                _ => {}
            }
        }
        if let Some(longest) = self.longest.get_mut(&node) {
            for ((_, group), until) in self.until.iter().filter(|((of, _), _)| *of == node) {
                let known = longest.entry(*group).or_default();
                *known = (*known).max(until.since(now));
            }
        }
        Ok(())
    }

    pub(crate) fn on_hand_over(&self, node: NodeId, left: &HandOver) -> Verdict {
        let long = self.terms.lease(self.terms.d_max) * 3 / 4;
        let none = BTreeMap::new();
        let known = self.longest.get(&node).unwrap_or(&none);
        for held in &left.held {
            let longest = known.get(&held.group).copied().unwrap_or_default();
            let until = self.until.get(&(node, held.group)).copied().unwrap_or_default();
            let ends = self.long_ends.get(&node);
            let near = until.before(ROUNDED)..=until + ROUNDED;
            let asked = ends.is_some_and(|ends| ends.range(near).next().is_some());
            if longest < long && !asked {
                return Err(format!(
                    "{node} leaves the gate of group {} open, and of its lease {longest:?} were left \
                     at most since the restart was planned; {long:?} are long",
                    held.group
                ));
            }
        }
        Ok(())
    }
}
