//! Orders on their way: given again until they are answered or no longer planned.
//!
//! ```text
//!  coordinator                            node
//!   Order ──────────── lost ──── ✕
//!   Order (again after a pause, or at once when the way to the node is mended) ─▶ taken, once
//!   Order ─────────────────────────────────────────────▶ known: nothing, or the answer again
//!   Withdraw (the plan wants something else now) ───────▶ never came: refused, and so is a late copy
//! ```
//! Small messages arrive exactly once unless a queue overflows; what is too long for a datagram is
//! lost with its connection. Whoever gives an order need not know which way it went.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_transition::FlightId;
use haven_types::operation::{Order, OrderId};
use haven_types::{BootId, NodeId};

use crate::controller::Controller;
use crate::message::PeerMessage;
use crate::port::Clock;

/// The pause before an order is given for the second time; each later one is twice as long.
pub(crate) const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// The longest pause.
const AGAIN_AT_MOST: Duration = Duration::from_secs(16);
/// Orders of one step that travel together.
const MAX_TOGETHER: usize = 64;
/// Orders remembered by the node that takes them. A coordinator repeats none that is so old.
pub(crate) const MAX_TAKEN: usize = 4_096;

/// An order whose answer is awaited.
#[derive(Clone, Debug)]
struct Given {
    /// Nothing for what is no part of a plan.
    flight: Option<FlightId>,
    to: NodeId,
    /// The life of the node that is meant.
    boot: Option<BootId>,
    order: Order,
    again: Instant,
    pause: Duration,
}

impl Given {
    fn at(
        now: Instant,
        flight: Option<FlightId>,
        (to, boot): (NodeId, Option<BootId>),
        order: Order,
    ) -> Self {
        Self { flight, to, boot, order, again: now + AGAIN_AFTER, pause: AGAIN_AFTER }
    }
}

/// A coordinator's orders whose answers are awaited.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    given: BTreeMap<OrderId, Given>,
    due: BTreeSet<(Instant, OrderId)>,
}

impl Orders {
    /// Orders not answered yet, each with the node it was given to.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = (NodeId, &Order)> {
        self.given.values().map(|given| (given.to, &given.order))
    }

    fn give(&mut self, given: Given) {
        self.due.insert((given.again, given.order.id));
        self.given.insert(given.order.id, given);
    }

    /// An answer has come; the flight it ends.
    pub(crate) fn answered(&mut self, id: OrderId) -> Option<FlightId> {
        let given = self.given.remove(&id)?;
        self.due.remove(&(given.again, id));
        given.flight
    }

    /// When the next is to be given again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    fn due(&self, now: Instant) -> Vec<OrderId> {
        self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect()
    }

    fn to(&self, node: NodeId) -> Vec<OrderId> {
        self.given.iter().filter(|(_, given)| given.to == node).map(|(id, _)| *id).collect()
    }

    /// Notes that it is given again now.
    fn repeated(&mut self, now: Instant, id: OrderId) {
        let Some(given) = self.given.get_mut(&id) else { return };
        self.due.remove(&(given.again, id));
        given.pause = (given.pause * 2).min(AGAIN_AT_MOST);
        given.again = now + given.pause;
        self.due.insert((given.again, id));
    }
}

/// How an order ended on the node that took it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Answer {
    /// Whether as the plan expected.
    Ended(bool),
    Refused(String),
}

/// The orders that a node took, so that it takes none twice, with the answers it gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    orders: BTreeMap<OrderId, Option<Answer>>,
}

impl Taken {
    fn note(&mut self, id: OrderId, answer: Option<Answer>) {
        self.orders.insert(id, answer);
        while self.orders.len() > MAX_TAKEN {
            self.orders.pop_first();
        }
    }

    /// It was carried out.
    pub(crate) fn ended(&mut self, id: OrderId, ok: bool) {
        self.note(id, Some(Answer::Ended(ok)));
    }

    /// It was not.
    pub(crate) fn refused(&mut self, id: OrderId, reason: &str) {
        self.note(id, Some(Answer::Refused(reason.to_owned())));
    }
}

impl Controller {
    /// Gives an order to a node, and again until it is answered.
    pub(crate) fn give(
        &mut self,
        clock: Clock,
        flight: Option<FlightId>,
        to: NodeId,
        order: Order,
    ) {
        let boot = self.boot_of(to);
        if let Some(coordinator) = &mut self.coordinator {
            let given = Given::at(clock.now, flight, (to, boot), order.clone());
            coordinator.orders.give(given);
        }
        if to == self.config.node {
            self.on_order(clock, to, order);
        } else {
            self.ordered.entry((to, boot)).or_default().push(order);
        }
    }

    /// Sends what was given in this step.
    pub(crate) fn send_orders(&mut self) {
        for ((to, boot), mut orders) in std::mem::take(&mut self.ordered) {
            while !orders.is_empty() {
                let rest = orders.split_off(orders.len().min(MAX_TOGETHER));
                let message = match <[Order; 1]>::try_from(orders) {
                    Ok([order]) => PeerMessage::Order { boot, order: Box::new(order) },
                    Err(orders) => PeerMessage::Orders { boot, orders },
                };
                self.send(to, &message);
                orders = rest;
            }
        }
    }

    /// Gives what is due again.
    pub(crate) fn repeat_orders(&mut self, clock: Clock) {
        let Some(coordinator) = &self.coordinator else { return };
        for id in coordinator.orders.due(clock.now) {
            self.repeat_order(clock, id);
        }
    }

    /// Gives what a node was asked again: some of it may have been lost.
    pub(crate) fn repeat_orders_to(&mut self, clock: Clock, node: NodeId) {
        let Some(coordinator) = &self.coordinator else { return };
        for id in coordinator.orders.to(node) {
            self.repeat_order(clock, id);
        }
    }

    fn repeat_order(&mut self, clock: Clock, id: OrderId) {
        let (members, own) = (&self.state.members, self.config.node);
        let Some(coordinator) = &mut self.coordinator else { return };
        let Some(given) = coordinator.orders.given.get(&id) else { return };
        let (to, flight) = (given.to, given.flight);
        let awaited = flight.is_none_or(|it| coordinator.engine.flights().contains_key(&it));
        if !awaited || !members.contains_key(&to) {
            // Given up meanwhile: overdue, or the node is gone.
            coordinator.errands.remove(&id);
            coordinator.orders.answered(id);
            return;
        }
        let planned = flight.is_none_or(|flight| coordinator.engine.in_force(flight));
        let message = if planned {
            PeerMessage::Order { boot: given.boot, order: Box::new(given.order.clone()) }
        } else {
            PeerMessage::Withdraw { order: id }
        };
        coordinator.orders.repeated(clock.now, id);
        if to != own {
            self.send(to, &message);
        }
    }

    /// An order of a coordinator. One to an earlier life of this node is not for this one: the
    /// coordinator learns of the new life and plans anew.
    pub(crate) fn on_order_to(
        &mut self,
        clock: Clock,
        from: NodeId,
        boot: Option<BootId>,
        order: Order,
    ) {
        if boot.is_none_or(|boot| boot == self.config.boot) {
            self.on_order(clock, from, order);
        }
    }

    /// Whether an order is new here; one that is known is answered again.
    pub(crate) fn takes(&mut self, from: NodeId, id: OrderId) -> bool {
        match self.taken.orders.get(&id).cloned() {
            None => {
                self.taken.note(id, None);
                return true;
            }
            // Under way.
            Some(None) => {}
            Some(Some(Answer::Ended(ok))) => {
                // What came of it first: the plan goes on from there.
                self.send_whole_status(from);
                self.afterwards.push((from, PeerMessage::Ended { order: id, ok }));
            }
            Some(Some(Answer::Refused(reason))) => {
                self.send(from, &PeerMessage::Refused { order: id, reason });
            }
        }
        false
    }

    /// The coordinator wants an order no more. One that is here is carried out and answered.
    pub(crate) fn on_withdraw(&mut self, from: NodeId, id: OrderId) {
        if id.term < self.term || !self.takes(from, id) {
            return;
        }
        let reason = "withdrawn before it arrived: the plan has changed".to_owned();
        self.taken.refused(id, &reason);
        self.send(from, &PeerMessage::Refused { order: id, reason });
    }

    /// A node says how an order ended whose record may have been lost.
    pub(crate) fn on_ended(&mut self, order: OrderId, ok: bool) {
        let Some(coordinator) = &mut self.coordinator else { return };
        coordinator.errands.remove(&order);
        if let Some(flight) = coordinator.orders.answered(order) {
            coordinator.replan = true;
            self.finish_flight(flight, ok);
        }
    }
}
