//! This node as one of many: its executor, its status, and what it hears from peers.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::Instant;
use haven_executor::{Input as ToExecutor, Output as FromExecutor};
use haven_types::operation::{Lease, OperationRecord, Order};
use haven_types::{BootId, NodeId};

use crate::attributes::{AttributeChange, Traits, Values};
use crate::blocked::failing;
use crate::controller::{Controller, Internal};
use crate::failures;
use crate::history::{
    Merged, NodeHistory, Slot, StatusDelta, as_expected, cancelled_as_ordered, failed,
};
use crate::message::PeerMessage;
use crate::port::{Clock, Output};

/// A node's whole status is not told twice within this time: where resources are many it is long.
const WHOLE_AGAIN: Duration = Duration::from_millis(250);
/// So much longer for each resource that it tells of.
const WHOLE_EACH: Duration = Duration::from_micros(200);
/// Bytes of records told at once, about: what is longer than a datagram's message travels another way,
/// and would overtake or be overtaken.
const MAX_TOLD: usize = 40 << 10;

/// About as many bytes as a record takes in a message.
fn weight(record: &OperationRecord) -> usize {
    const REST: usize = 100;
    let operation = &record.operation;
    let pairs = operation.params.iter().chain(&operation.meta);
    let pairs: usize = pairs.map(|(name, value)| name.len() + value.len() + 2).sum();
    let reason = record.outcome.as_ref().map_or(0, |outcome| outcome.reason.len());
    REST + operation.resource.len() + pairs + reason
}

impl Controller {
    pub(crate) fn on_executor(&mut self, clock: Clock, outputs: Vec<FromExecutor>) {
        for output in outputs {
            match output {
                FromExecutor::RunAgent { run, operation, lease } => {
                    self.out.push(Output::RunAgent { run, operation, lease });
                }
                FromExecutor::AbortAgent(run) => self.out.push(Output::AbortAgent(run)),
                FromExecutor::Claim(Lease { group, epoch }) => {
                    self.claims.begun(group, clock.now);
                    self.heartbeat(haven_heartbeat::Input::Claim { group, epoch });
                }
                FromExecutor::Release(group) => {
                    self.claims.ended(group);
                    self.heartbeat(haven_heartbeat::Input::Release { group });
                }
                FromExecutor::Recorded(record) => self.ended.push(*record),
                FromExecutor::Refused { order, reason } => {
                    self.taken.refused(order, &reason);
                    match self.leader {
                        Some(leader) if leader == self.config.node => {
                            self.on_refused(clock, order, &reason);
                        }
                        Some(leader) => self.send(leader, &PeerMessage::Refused { order, reason }),
                        None => {}
                    }
                }
            }
        }
    }

    /// Tells what ended in this step, in as few messages as it fits into: each of a length that keeps
    /// its place among the others.
    pub(crate) fn tell_ended(&mut self, clock: Clock) {
        let mut part = Vec::new();
        let mut length = 0;
        for record in std::mem::take(&mut self.ended) {
            let more = weight(&record);
            if length + more > MAX_TOLD && !part.is_empty() {
                self.record_now(clock, std::mem::take(&mut part), Vec::new());
                length = 0;
            }
            length += more;
            part.push(record);
        }
        if !part.is_empty() {
            self.record_now(clock, part, Vec::new());
        }
    }

    /// Changes this node's own status and tells everybody, after what ended before.
    fn record(&mut self, clock: Clock, records: Vec<OperationRecord>, forgotten: Vec<String>) {
        self.tell_ended(clock);
        self.record_now(clock, records, forgotten);
    }

    fn record_now(&mut self, clock: Clock, records: Vec<OperationRecord>, forgotten: Vec<String>) {
        for record in &records {
            if matches!(record.operation.action.as_str(), "stop" | "demote")
                && record.outcome.is_some()
            {
                self.minority.ended(clock.now, &record.operation.resource);
            }
            if let Some(order) = record.order {
                self.taken.ended(order, as_expected(record) || cancelled_as_ordered(record));
            }
        }
        let options = failures::Options::of(&self.state.cib);
        let Some(own) = self.histories.get_mut(&self.config.node) else { return };
        let attributes = failures::counted(&own.attributes, &records, options);
        let old = own.attributes.clone();
        let delta = own.change(records, forgotten, attributes);
        self.alert_records(clock, &delta.records);
        self.alert_attributes(clock, &old);
        self.publish(clock, &delta);
    }

    /// Tells everybody, this node included, what changed in its own status.
    fn publish(&mut self, clock: Clock, delta: &StatusDelta) {
        let message = PeerMessage::StatusDelta(Box::new(delta.clone())).encode();
        for to in self.others() {
            self.out.push(Output::Send { to, bytes: message.clone(), ordered: true });
        }
        self.after_delta(clock, delta);
    }

    /// Replaces this node's transient attributes.
    pub(crate) fn set_attributes(&mut self, clock: Clock, attributes: Values) {
        self.set_attributes_with(clock, attributes, None);
    }

    /// Replaces this node's transient attributes, and how they are kept where that changed.
    pub(crate) fn set_attributes_with(
        &mut self,
        clock: Clock,
        attributes: Values,
        traits: Option<BTreeMap<String, Traits>>,
    ) {
        let Some(own) = self.histories.get_mut(&self.config.node) else { return };
        let old = own.attributes.clone();
        let delta = own.change_all(Vec::new(), Vec::new(), Some(attributes), traits);
        self.attributes_changed(clock, self.config.node, &old);
        self.alert_attributes(clock, &old);
        self.publish(clock, &delta);
    }

    /// Holds damped changes of a node's attributes back.
    fn attributes_changed(&mut self, clock: Clock, node: NodeId, old: &Values) {
        let Some(history) = self.histories.get(&node) else { return };
        let (new, traits) = (&history.attributes, &history.traits);
        self.dampener.observe(clock.now, node, old, new, traits);
    }

    /// The field's own sign for a node that wants to leave: a transient attribute with the time.
    pub(crate) fn on_shutdown(&mut self, clock: Clock) {
        let own = self.histories.get(&self.config.node);
        let mut attributes = own.map(|own| own.attributes.clone()).unwrap_or_default();
        attributes.insert("shutdown".to_owned(), clock.wall.seconds.to_string());
        self.set_attributes(clock, attributes);
    }

    /// Tells a node all of this one's status, soon: once for all that asked for it meanwhile, and not
    /// again before [`WHOLE_AGAIN`] has passed.
    pub(crate) fn send_whole_status(&mut self, to: NodeId) {
        self.whole_wanted.insert(to);
    }

    /// Tells the nodes that are to know all of this one's status.
    pub(crate) fn tell_whole_status(&mut self, clock: Clock) {
        let (told, again) = (&self.whole_told, self.whole_again());
        let may = |to: &NodeId| told.get(to).is_none_or(|at| *at + again <= clock.now);
        let due: Vec<NodeId> = self.whole_wanted.iter().filter(|to| may(to)).copied().collect();
        for to in due {
            self.whole_wanted.remove(&to);
            self.whole_told.insert(to, clock.now);
            self.tell_all_to(to);
        }
    }

    /// When the next node may be told again.
    pub(crate) fn whole_deadline(&self) -> Option<Instant> {
        let (wanted, again) = (self.whole_wanted.iter(), self.whole_again());
        wanted.filter_map(|to| self.whole_told.get(to).map(|at| *at + again)).min()
    }

    /// The longer the status, the longer its receiver is left in peace.
    fn whole_again(&self) -> Duration {
        let own = self.histories.get(&self.config.node);
        let resources = own.map_or(0, |own| own.resources.len());
        WHOLE_AGAIN + WHOLE_EACH * u32::try_from(resources).unwrap_or(u32::MAX)
    }

    fn tell_all_to(&mut self, to: NodeId) {
        let Some(own) = self.histories.get(&self.config.node) else { return };
        let message = PeerMessage::Status(Box::new(own.clone()));
        self.send(to, &message);
    }

    pub(crate) fn on_peer(
        &mut self,
        clock: Clock,
        from: NodeId,
        boot: BootId,
        message: PeerMessage,
    ) {
        match message {
            PeerMessage::Consensus(bytes) => {
                let input = haven_consensus::Input::Received { from, bytes };
                self.inbox.push_back(Internal::Consensus(input));
            }
            PeerMessage::Order { boot, order } => self.on_order_to(clock, from, boot, *order),
            PeerMessage::Orders { boot, orders } => {
                for order in orders {
                    self.on_order_to(clock, from, boot, order);
                }
            }
            PeerMessage::Ended { order, ok } => self.on_ended(order, ok),
            PeerMessage::Withdraw { order } => self.on_withdraw(from, order),
            PeerMessage::Done { order } => self.on_done(clock, order),
            PeerMessage::Refused { order, reason } => self.on_refused(clock, order, &reason),
            PeerMessage::StatusRequest { term } => {
                self.inbox.push_back(Internal::Executor(ToExecutor::Term(term)));
                self.send_whole_status(from);
            }
            PeerMessage::Status(history) => self.on_whole_status(clock, from, *history),
            PeerMessage::StatusDelta(delta) => self.on_delta(clock, from, boot, *delta),
            PeerMessage::StatusGap { .. } => self.send_whole_status(from),
            PeerMessage::Forward { id, body, author } => {
                self.on_forward(clock, from, id, &body, author);
            }
            PeerMessage::Propose(command) => self.on_proposed(clock, from, *command),
            PeerMessage::NotAdmitted { request, reason } => {
                self.out.push(Output::Admitted { request, result: Err(reason) });
            }
            PeerMessage::Quorum(history) => self.on_quorum_told(clock, from, boot, *history),
            PeerMessage::Forwarded { id, more, body } => self.on_forwarded(id, more, &body),
            PeerMessage::ChangeAttribute { id, change } => {
                self.on_change_attribute(clock, from, id, &change);
            }
            PeerMessage::MembersWanted { applied } => self.on_members_wanted(from, applied),
            PeerMessage::Members { applied, members } => self.on_members_told(applied, members),
        }
    }

    fn on_whole_status(&mut self, clock: Clock, from: NodeId, history: NodeHistory) {
        let newer = self
            .histories
            .get(&from)
            .is_none_or(|known| (known.boot, known.version) < (history.boot, history.version));
        if history.node != from || !newer {
            return;
        }
        // What was known already has been acted on.
        let known = self.histories.get(&from).filter(|known| known.boot == history.boot);
        let same = |name: &String, slot: &Slot, record: &OperationRecord| {
            let slots = known.and_then(|known| known.resources.get(name));
            slots.and_then(|slots| slots.get(slot)) == Some(record)
        };
        let all = history.resources.iter();
        let answered: Vec<OperationRecord> = all
            .flat_map(|(name, slots)| slots.iter().map(move |(slot, record)| (name, slot, record)))
            .filter(|(name, slot, record)| !same(name, slot, record))
            .map(|(_, _, record)| record.clone())
            .collect();
        let old = self.histories.insert(from, history);
        if let Some(old) = old {
            self.attributes_changed(clock, from, &old.attributes);
        }
        self.note_records(clock, &answered);
        self.replan();
    }

    fn on_delta(&mut self, clock: Clock, from: NodeId, boot: BootId, delta: StatusDelta) {
        if delta.node != from || delta.boot != boot {
            return;
        }
        let old = self.histories.get(&from).map(|known| known.attributes.clone());
        let merged = match self.histories.get_mut(&from) {
            Some(known) => known.merge(&delta),
            None => Merged::Gap,
        };
        match merged {
            Merged::Applied => {
                if delta.attributes.is_some() {
                    self.attributes_changed(clock, from, &old.unwrap_or_default());
                }
                self.after_delta(clock, &delta);
            }
            Merged::Known => {}
            Merged::Gap => self.send(from, &PeerMessage::StatusGap { boot }),
        }
    }

    fn after_delta(&mut self, clock: Clock, delta: &StatusDelta) {
        self.note_records(clock, &delta.records);
        if delta.attributes.is_some() || !delta.forgotten.is_empty() {
            self.replan();
        }
    }

    pub(crate) fn on_order(&mut self, clock: Clock, from: NodeId, order: Order) {
        // spec: L7
        if order.id.term < self.term {
            let reason = format!(
                "order of term {} refused: term {} has a newer coordinator",
                order.id.term, self.term
            );
            self.send(from, &PeerMessage::Refused { order: order.id, reason });
            return;
        }
        if !self.takes(from, order.id) {
            return;
        }
        match order.operation.action.as_str() {
            // Orders about this node's own status need no agent.
            "delete" | "lrm_delete" => {
                let name = order.operation.resource.clone();
                self.record(clock, Vec::new(), vec![name]);
                self.finish_order(clock, from, order.id);
            }
            "clear_failcount" => {
                let own = self.histories.get(&self.config.node);
                let attributes = own.map(|own| own.attributes.clone()).unwrap_or_default();
                let kept = failures::cleared(attributes, &order.operation.resource);
                self.set_attributes(clock, kept);
                self.finish_order(clock, from, order.id);
            }
            "cleanup" => {
                self.forget_failures(clock, &order.operation.resource);
                self.finish_order(clock, from, order.id);
            }
            "refresh" => {
                self.forget_all(clock, &order.operation.resource);
                self.finish_order(clock, from, order.id);
            }
            "attribute" => {
                let (name, mut params) = (order.operation.resource, order.operation.params);
                let value = params.remove("value");
                let change = AttributeChange { name, value, delay_ms: None, private: false };
                self.on_change_attribute(clock, from, None, &change);
                self.finish_order(clock, from, order.id);
            }
            _ => self.inbox.push_back(Internal::Executor(ToExecutor::Order(order))),
        }
    }

    fn forget_failures(&mut self, clock: Clock, resource: &str) {
        self.tell_ended(clock);
        let Some(own) = self.histories.get_mut(&self.config.node) else { return };
        let attributes = failures::cleared(own.attributes.clone(), resource);
        let forgotten: Vec<String> = own
            .resources
            .iter()
            .filter(|(name, slots)| {
                (resource.is_empty() || *name == resource) && slots.contains_key(&Slot::LastFailure)
            })
            .map(|(name, _)| name.clone())
            .collect();
        // What is known besides the failure stays known; a failed last operation is probed again, and what
        // fails when it is looked at, unless it runs under a lease, which nobody else could tell.
        let kept = forgotten
            .iter()
            .filter_map(|name| own.resources.get(name))
            // A recurring operation's answer alone does not say what became of the resource.
            .filter(|slots| {
                slots.get(&Slot::Last).is_some_and(|last| {
                    !failed(last) && (last.lease.is_some() || failing(slots).is_none())
                })
            })
            .flat_map(|slots| slots.values())
            .filter(|record| !failed(record))
            .cloned()
            .collect();
        let delta = own.change(kept, forgotten, Some(attributes));
        self.publish(clock, &delta);
        self.replan();
    }

    /// Forgets everything about a resource, or about all where the name is empty. What runs under a
    /// lease keeps its history, since nobody else can tell which lease it runs under.
    fn forget_all(&mut self, clock: Clock, resource: &str) {
        self.forget_failures(clock, resource);
        let Some(own) = self.histories.get(&self.config.node) else { return };
        let forgotten: Vec<String> = own
            .resources
            .iter()
            .filter(|(name, _)| resource.is_empty() || *name == resource)
            .filter(|(_, slots)| slots.values().all(|record| record.lease.is_none()))
            .map(|(name, _)| name.clone())
            .collect();
        self.record(clock, Vec::new(), forgotten);
    }

    fn finish_order(&mut self, clock: Clock, from: NodeId, order: haven_types::operation::OrderId) {
        self.taken.ended(order, true);
        if from == self.config.node {
            self.on_done(clock, order);
        } else {
            self.send(from, &PeerMessage::Done { order });
        }
    }
}
