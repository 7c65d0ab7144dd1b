//! The heartbeat thread: what reaches its machine in which order, and where goes what the machine says.
//!
//! ```text
//!  frames ──hear──▶ inputs ──────┐                               ┌─▶ Send ──▶ a peer
//!  orders ──obey──▶ inputs ──────┼─next_input─▶ step: Heartbeat ─┼─▶ Gate ──▶ the kernel ─┐
//!     ┌─▶ acknowledgements (first)┘                               └─▶ Tell ──▶ main thread │
//!     └───────────────────────────────────acknowledge◀─────────────────────────────────────┘
//! ```
//!
//! What closes an open gate in good order waits a millisecond, in which the gate takes no new connections: what a server
//! accepted just before gets its first answer out. Nothing safe rests on an early close: a lease that is not released
//! runs out (L3).
//!
//! A shell takes the [next input](Heart::next_input), reads its clock, [steps](Heart::step), and carries
//! out every [errand](Heart::next_errand) in the order in which it gets them before it takes the next.
//!
//! Invariants: what a step decided is carried out before the next step; the kernel's answers are taken in
//! before anything that waited; the kernel is never asked to open a gate until the lease's end, but a tick
//! less; the main thread is told of a peer's life before anything that was said in it.
//!
//! What it never does: read a clock, touch a socket, allocate anything for a beat but what the machine does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use haven_base::Instant;
use haven_heartbeat::{
    Config, DecodeMessageError, GateOrder, HandOver, Heartbeat, Input, Message, Output, Ticket,
};
use haven_messaging::{Kind, Opened};
use haven_types::{BootId, GroupId, LinkId, NodeId};

use crate::departing::Departing;
use crate::port::Happening;

/// What the heartbeat thread does next.
#[derive(Clone, PartialEq, Debug)]
pub enum Errand {
    /// Seal the message as [`Kind::Beat`] and send it. One that does not leave is a lost one.
    Send {
        /// The receiver.
        to: NodeId,
        /// The link to send by.
        link: LinkId,
        /// What to say.
        message: Message,
    },
    /// Have the kernel do this, then [acknowledge](Heart::acknowledge).
    Gate(Turn),
    /// Have the kernel take no new connections for the group until its gate is closed. Where that fails they are taken
    /// as before.
    RefuseNewcomers(GroupId),
    /// For the main thread.
    Tell(Happening),
}

/// One order to the kernel's gate of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// The lease group.
    pub group: GroupId,
    /// Open until then on the boot-time clock: a tick before the lease ends. None: closed, and every
    /// write begun before abandoned.
    pub until: Option<Instant>,
    ticket: Ticket,
}

impl Turn {
    fn of(order: GateOrder, tick: Duration) -> Self {
        match order {
            GateOrder::Renew { group, deadline, ticket, .. } => {
                // The lease ends one tick later than the gate, never the other way round.
                Self { group, until: Some(deadline.before(tick)), ticket }
            }
            GateOrder::Close { group, ticket } => Self { group, until: None, ticket },
        }
    }

    fn answered(self, done: bool) -> Input {
        let Self { group, until, ticket } = self;
        match until {
            _ if !done => Input::GateFailed { group, ticket },
            Some(_) => Input::GateOpened { group, ticket },
            None => Input::GateClosed { group, ticket },
        }
    }
}

/// The heartbeat thread of one life of a node; see the [crate].
#[derive(Debug)]
pub struct Heart {
    /// None once it was handed over.
    machine: Option<Heartbeat>,
    tick: Duration,
    /// The life in which each member was heard last.
    lives: BTreeMap<NodeId, BootId>,
    acknowledged: VecDeque<Input>,
    inputs: VecDeque<Input>,
    /// Orders that close open gates.
    departing: Departing,
    /// The groups of those that the shell has not been told of.
    refusing: VecDeque<GroupId>,
    /// Decided by the last step, and not yet given to the shell.
    decided: std::vec::IntoIter<Output>,
}

impl Heart {
    /// The heartbeat thread of a life. The first inputs, those that the log at hand gives, and a tick wait
    /// to be taken in.
    #[must_use]
    pub fn new(config: Config, first: Vec<Input>, now: Instant) -> Self {
        Self {
            tick: config.terms.tick,
            machine: Some(Heartbeat::new(config, now)),
            lives: BTreeMap::new(),
            acknowledged: VecDeque::new(),
            inputs: first.into_iter().chain([Input::Tick]).collect(),
            departing: Departing::default(),
            refusing: VecDeque::new(),
            decided: Vec::new().into_iter(),
        }
    }

    /// An order of the main thread. One that closes an open gate is taken in a millisecond later.
    pub fn obey(&mut self, now: Instant, order: Input) {
        if let Some(group) = self.closes(&order) {
            if !self.departing.has(group) {
                self.refusing.push_back(group);
            }
            self.departing.put(now, group, order);
            return;
        }
        if let Input::Claim { group, .. } = order {
            // It follows upon the release that came before it.
            while let Some(release) = self.departing.about(group) {
                self.inputs.push_back(release);
            }
        } else if order == Input::PlanRestart {
            self.hurry();
        }
        self.inputs.push_back(order);
    }

    /// The group whose open gate the order closes, if it does: a release, or a grant above what is held. Whatever
    /// follows such an order about its group waits behind it.
    fn closes(&self, order: &Input) -> Option<GroupId> {
        let (Input::Release { group } | Input::Granted { group, .. }) = order else { return None };
        if self.departing.has(*group) {
            return Some(*group);
        }
        let lease = self.machine.as_ref()?.lease(*group).filter(|lease| lease.gained)?;
        let stays = matches!(order, Input::Granted { epoch, .. } if *epoch <= lease.epoch);
        (!stays).then_some(*group)
    }

    /// Takes in at once what waits for gates to close; true if anything does.
    pub fn hurry(&mut self) -> bool {
        let before = self.inputs.len();
        self.inputs.extend(std::iter::from_fn(|| self.departing.due(Instant::FAR_FUTURE)));
        self.inputs.len() > before
    }

    /// The [deadline](Self::deadline) has come: what is due waits to be taken in.
    pub fn tick(&mut self, now: Instant) {
        self.inputs.extend(std::iter::from_fn(|| self.departing.due(now)));
        let due = self.machine.as_ref().and_then(Heartbeat::deadline);
        if due.is_some_and(|at| at <= now) {
            self.inputs.push_back(Input::Tick);
        }
    }

    /// An authentic, fresh frame. `tell` is given what the main thread is to know at once, in order.
    ///
    /// # Errors
    /// When a beat does not decode; its sender lives all the same.
    pub fn hear(
        &mut self,
        opened: &Opened<'_>,
        mut tell: impl FnMut(Happening),
    ) -> Result<(), DecodeMessageError> {
        let Opened { from, boot, link, kind, payload } = *opened;
        // A life is told of before anything it said.
        if self.lives.insert(from, boot) != Some(boot) {
            tell(Happening::Heard { from, boot });
        }
        let input = match kind {
            Kind::Beat => {
                let message = Message::decode(payload)?;
                Input::Received { from, boot, link, message }
            }
            Kind::Express => {
                tell(Happening::Packet { from, boot, link, bytes: payload.to_vec() });
                Input::Heard { from, boot, link }
            }
        };
        self.inputs.push_back(input);
        Ok(())
    }

    /// The kernel's answer: whether it did what it was asked for. What failed is closed, or closes by itself.
    pub fn acknowledge(&mut self, turn: Turn, done: bool) {
        self.acknowledged.push_back(turn.answered(done));
    }

    /// The other members are these; what is known of anybody else is forgotten.
    pub fn set_members(&mut self, members: &BTreeSet<NodeId>) {
        self.lives.retain(|node, _| members.contains(node));
    }

    /// What is to be taken in next; nothing while there is no machine.
    pub fn next_input(&mut self) -> Option<Input> {
        self.machine.as_ref()?;
        self.acknowledged.pop_front().or_else(|| self.inputs.pop_front())
    }

    /// Advances the machine. `now` is read after the input was taken, and before anything that follows is
    /// carried out (L2, L3).
    ///
    /// # Panics
    /// While errands of an earlier step wait.
    pub fn step(&mut self, now: Instant, input: Input) {
        assert!(self.decided.as_slice().is_empty(), "what was decided is carried out first");
        if let Some(machine) = &mut self.machine {
            self.decided = machine.step(now, input).into_iter();
        }
    }

    /// What the last step decided and is not carried out yet.
    #[must_use]
    pub fn decided(&self) -> &[Output] {
        self.decided.as_slice()
    }

    /// The next thing to do. Each is given once.
    #[allow(clippy::wildcard_enum_match_arm, reason = "everything else is for the main thread")]
    pub fn next_errand(&mut self) -> Option<Errand> {
        if let Some(group) = self.refusing.pop_front() {
            return Some(Errand::RefuseNewcomers(group));
        }
        Some(match self.decided.next()? {
            Output::Send { to, link, message } => Errand::Send { to, link, message },
            Output::Gate(order) => Errand::Gate(Turn::of(order, self.tick)),
            other => Errand::Tell(Happening::Heartbeat(other)),
        })
    }

    /// When a [tick](Self::tick) is due, once nothing else waits.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let machine = self.machine.as_ref()?;
        machine.deadline().into_iter().chain(self.departing.deadline()).min()
    }

    /// The machine, until it is handed over.
    #[must_use]
    pub const fn machine(&self) -> Option<&Heartbeat> {
        self.machine.as_ref()
    }

    /// Ends the machine for a planned restart; see [`Heartbeat::hand_over`]. Nothing follows after this. What waits for
    /// gates to close is taken in [before](Self::hurry), lest a successor inherit what was given up.
    pub fn hand_over(&mut self, now: Instant) -> Option<HandOver> {
        self.machine.take().map(|machine| machine.hand_over(now))
    }
}

#[cfg(test)]
#[path = "heart_tests.rs"]
mod tests;
