//! L3 and L5 as seen from the wire: a gate is ordered open no longer than the lease of a beat that a
//! majority has promised, counted from its send and against the newest configuration that anybody
//! named, both halves while joint; and the kernel never holds a gate open beyond what was ordered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use haven_base::Instant;
use haven_heartbeat::{Configuration, GateOrder, Input, Message, Output, Refusal, Terms};
use haven_types::{BootId, GroupId, LogPosition, NodeId, Seq};

use super::{Hosts, Verdict};
use crate::world::local;

pub(crate) const RULE: &str =
    "lease (L3, L5): no gate is open past a lease that a majority promised";

/// Beats remembered of each node: more than any lease is long.
const BEATS: usize = 600;

#[derive(Clone, Debug)]
struct Sent {
    boot: BootId,
    seq: Seq,
    /// On the holder's clock.
    lease_end: Instant,
    groups: BTreeSet<GroupId>,
    /// The newest configuration of its log then: what its own vote names.
    own: LogPosition,
    /// Who promised what, with the configuration it named.
    promised: BTreeMap<NodeId, (LogPosition, BTreeSet<GroupId>)>,
}

#[derive(Debug)]
pub(crate) struct Leases {
    terms: Terms,
    sent: BTreeMap<NodeId, VecDeque<Sent>>,
    logs: BTreeMap<NodeId, Vec<Configuration>>,
    /// Gates ordered open, by the latest end ever ordered.
    ordered: BTreeMap<(NodeId, GroupId), Instant>,
}

impl Leases {
    pub(crate) fn new(terms: Terms) -> Self {
        let (sent, logs) = (BTreeMap::new(), BTreeMap::new());
        Self { terms, sent, logs, ordered: BTreeMap::new() }
    }

    /// A process starts with what its log holds.
    pub(crate) fn on_start(&mut self, node: NodeId, configurations: Vec<Configuration>) {
        self.sent.remove(&node);
        self.logs.insert(node, configurations);
    }

    /// A host's clock begins anew.
    pub(crate) fn on_power_loss(&mut self, node: NodeId) {
        self.ordered.retain(|(of, _), _| *of != node);
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
            Input::Configurations(log) => {
                self.logs.insert(node, log.clone());
            }
            Input::Received { from, message: Message::Answer(answer), .. } => {
                let named = answer.configuration;
                self.note_answer(node, *from, (answer.boot, answer.seq), named, &answer.refusals);
            }
            Input::Received { from, message: Message::Beat(beat), .. } => {
                if let Some(echoes) = &beat.answers {
                    for echo in &echoes.echoes {
                        let named = echoes.configuration;
                        self.note_answer(node, *from, (echoes.boot, echo.seq), named, &[]);
                    }
                }
            }
            _ => {}
        }
        let now = local(hosts, node, at);
        let boot = hosts.get(&node).and_then(|host| host.process.as_ref()).map(|p| p.boot);
        for output in outputs {
            match output {
                Output::Send { message: Message::Beat(beat), .. } => {
                    let sent = self.sent.entry(node).or_default();
                    if sent
                        .back()
                        .is_some_and(|last| Some(last.boot) == boot && last.seq == beat.seq)
                    {
                        continue;
                    }
                    let log = self.logs.get(&node).and_then(|log| log.last());
                    sent.push_back(Sent {
                        own: log.map(|newest| newest.position).unwrap_or_default(),
                        boot: boot.unwrap_or_default(),
                        seq: beat.seq,
                        // On the wire D has lost what is below a microsecond.
                        lease_end: now
                            + self.terms.lease(beat.duration() + Duration::from_micros(1)),
                        groups: beat.claims.iter().map(|claim| claim.group).collect(),
                        promised: BTreeMap::new(),
                    });
                    if sent.len() > BEATS {
                        sent.pop_front();
                    }
                }
                Output::Gate(GateOrder::Renew { group, deadline, .. }) => {
                    let known = self.ordered.entry((node, *group)).or_default();
                    *known = (*known).max(*deadline);
                    // Who votes alone sends its beat to nobody, and answers it before this step ends.
                    let longest = now + self.terms.lease(self.terms.d_max);
                    if !(self.votes_alone(node) && *deadline <= longest) {
                        self.judge(node, *group, *deadline)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn note_answer(
        &mut self,
        node: NodeId,
        voter: NodeId,
        beat: (BootId, Seq),
        named: LogPosition,
        refusals: &[Refusal],
    ) {
        let sent = self.sent.entry(node).or_default();
        if let Some(sent) = sent.iter_mut().rev().find(|sent| (sent.boot, sent.seq) == beat) {
            let refused = |group: &GroupId| refusals.iter().any(|r| r.group == *group);
            let groups = sent.groups.iter().filter(|group| !refused(group)).copied();
            // Each copy of a beat is answered; what was promised for one stands.
            let (newest, promised) = sent.promised.entry(voter).or_default();
            *newest = named.max(*newest);
            promised.extend(groups);
        }
    }

    fn votes_alone(&self, node: NodeId) -> bool {
        let newest = self.logs.get(&node).and_then(|log| log.last());
        newest.is_some_and(|it| it.outgoing.is_none() && it.voters == BTreeSet::from([node]))
    }

    fn judge(&self, node: NodeId, group: GroupId, deadline: Instant) -> Verdict {
        let log = self.logs.get(&node).map(Vec::as_slice).unwrap_or_default();
        let beats = self.sent.get(&node).into_iter().flatten();
        let covers = |sent: &Sent| {
            deadline <= sent.lease_end
                && sent.groups.contains(&group)
                && majority(log, node, group, sent)
        };
        if beats.clone().any(covers) {
            return Ok(());
        }
        let long: Vec<&Sent> = beats.filter(|sent| deadline <= sent.lease_end).collect();
        Err(format!(
            "{node} opens the gate of group {group} until {deadline:?}; its voters are {:?}, and no \
             majority promised any beat whose lease is so long: {long:?}",
            log.last()
        ))
    }

    /// What the kernel holds is no more than was ordered, less a tick.
    pub(crate) fn on_gate(&self, at: u64, node: NodeId, hosts: &Hosts) -> Verdict {
        let Some(host) = hosts.get(&node) else { return Ok(()) };
        for (group, until) in host.kernel.open(host.clock.at(at)) {
            let ordered = self.ordered.get(&(node, group)).copied().unwrap_or_default();
            if until + self.terms.tick > ordered {
                return Err(format!(
                    "the kernel of {node} holds group {group} open until {until:?}, ordered was {ordered:?}"
                ));
            }
        }
        Ok(())
    }
}

/// Whether a majority of the newest configuration anybody named has promised. The holder's own vote
/// is not on the wire: it is taken for granted.
fn majority(log: &[Configuration], node: NodeId, group: GroupId, sent: &Sent) -> bool {
    let known = |position: &LogPosition| log.iter().find(|c| c.position == *position);
    // An answer that names an entry the holder lacks says nothing to it; a refusal names one, too.
    let counted = || sent.promised.iter().filter(|(_, (named, _))| known(named).is_some());
    let promises = || counted().filter(|(_, (_, groups))| groups.contains(&group));
    // So does its own vote once the entry that this one named was truncated.
    let own = known(&sent.own).map(|configuration| configuration.position);
    let Some(highest) = counted().map(|(_, (named, _))| *named).max().max(own) else {
        return false;
    };
    let Some(configuration) = known(&highest) else { return false };
    let agrees = |voter: NodeId| {
        (voter == node && own.is_some()) || promises().any(|(other, _)| *other == voter)
    };
    configuration.majority(agrees)
}
