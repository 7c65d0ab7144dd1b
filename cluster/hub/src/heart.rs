//! The heartbeat thread: what reaches its machine in which order, and where goes what the machine says.
//!
//! ```text
//!  frames ──hear──▶ inputs ──────┐                               ┌─▶ Send ──▶ a peer
//!  orders ──take──▶ inputs ──────┼─next_input─▶ step: Heartbeat ─┼─▶ Gate ──▶ the kernel ─┐
//!     ┌─▶ acknowledgements (first)┘                               └─▶ Tell ──▶ main thread │
//!     └───────────────────────────────────acknowledge◀─────────────────────────────────────┘
//! ```
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
            decided: Vec::new().into_iter(),
        }
    }

    /// An input for the machine.
    pub fn take(&mut self, input: Input) {
        self.inputs.push_back(input);
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
        Some(match self.decided.next()? {
            Output::Send { to, link, message } => Errand::Send { to, link, message },
            Output::Gate(order) => Errand::Gate(Turn::of(order, self.tick)),
            other => Errand::Tell(Happening::Heartbeat(other)),
        })
    }

    /// When a [tick](Input::Tick) is due, once nothing else waits.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.machine.as_ref().and_then(Heartbeat::deadline)
    }

    /// The machine, until it is handed over.
    #[must_use]
    pub const fn machine(&self) -> Option<&Heartbeat> {
        self.machine.as_ref()
    }

    /// Ends the machine for a planned restart; see [`Heartbeat::hand_over`]. Nothing follows after this.
    pub fn hand_over(&mut self, now: Instant) -> Option<HandOver> {
        self.machine.take().map(|machine| machine.hand_over(now))
    }
}

#[cfg(test)]
mod tests {
    use haven_heartbeat::{Configuration, Start, Terms};
    use haven_types::{Epoch, LogPosition};

    use super::*;

    const TICK: Duration = Duration::from_millis(4);
    const GROUP: GroupId = GroupId(1);

    fn now() -> Instant {
        Instant::from_nanos(10_000_000_000)
    }

    /// Alone in its cluster, after its first tick.
    fn heart() -> Heart {
        let node = NodeId(1);
        let alone = Configuration {
            position: LogPosition::default(),
            voters: BTreeSet::from([node]),
            outgoing: None,
        };
        let config = Config {
            start: Start::First,
            terms: Terms { tick: TICK, ..Terms::default() },
            configurations: vec![alone],
            ..Config::new(node, BootId(1))
        };
        let mut heart = Heart::new(config, Vec::new(), now());
        assert_eq!(heart.next_input(), Some(Input::Tick));
        heart.step(now(), Input::Tick);
        let _said = errands(&mut heart);
        heart
    }

    fn errands(heart: &mut Heart) -> Vec<Errand> {
        std::iter::from_fn(|| heart.next_errand()).collect()
    }

    fn frame(kind: Kind, boot: u64, payload: &[u8]) -> Opened<'_> {
        Opened { from: NodeId(2), boot: BootId(boot), link: LinkId(0), kind, payload }
    }

    fn hear(heart: &mut Heart, opened: &Opened<'_>) -> (bool, Vec<Happening>) {
        let mut told = Vec::new();
        let heard = heart.hear(opened, |happening| told.push(happening));
        (heard.is_ok(), told)
    }

    /// The turn by which a claim opens the gate.
    fn opening(heart: &mut Heart) -> (Turn, Instant) {
        heart.step(now(), Input::Claim { group: GROUP, epoch: Epoch(1) });
        let _said = errands(heart);
        heart.step(heart.deadline().unwrap(), Input::Tick);
        let deadline = heart.decided().iter().find_map(|output| match output {
            Output::Gate(GateOrder::Renew { deadline, .. }) => Some(*deadline),
            _ => None,
        });
        let turn = errands(heart).into_iter().find_map(|errand| match errand {
            Errand::Gate(turn) => Some(turn),
            _ => None,
        });
        (turn.unwrap(), deadline.unwrap())
    }

    // spec: L3
    #[test]
    fn a_gate_is_asked_for_until_a_tick_before_the_lease_ends() {
        let mut heart = heart();
        let (turn, deadline) = opening(&mut heart);
        assert_eq!((turn.group, turn.until), (GROUP, Some(deadline.before(TICK))));
    }

    #[test]
    fn the_kernel_s_answer_is_the_next_input() {
        for done in [true, false] {
            let mut heart = heart();
            let (turn, _) = opening(&mut heart);
            heart.take(Input::Resume);
            heart.acknowledge(turn, done);
            let Turn { group, ticket, .. } = turn;
            let answer = if done {
                Input::GateOpened { group, ticket }
            } else {
                Input::GateFailed { group, ticket }
            };
            assert_eq!(heart.next_input(), Some(answer), "before what waited");
            assert_eq!(heart.next_input(), Some(Input::Resume));
            assert_eq!(heart.next_input(), None);
        }
    }

    #[test]
    fn a_gate_that_was_closed_is_said_to_be_closed() {
        let mut heart = heart();
        let (turn, _) = opening(&mut heart);
        heart.step(now(), turn.answered(true));
        let gained = |errand: &Errand| {
            matches!(errand, Errand::Tell(Happening::Heartbeat(Output::LeaseGained { .. })))
        };
        assert!(errands(&mut heart).iter().any(gained));
        heart.step(now(), Input::Release { group: GROUP });
        let closing = errands(&mut heart).into_iter().find_map(|errand| match errand {
            Errand::Gate(turn) => Some(turn),
            _ => None,
        });
        let Turn { group, until, ticket } = closing.unwrap();
        assert_eq!(until, None);
        heart.acknowledge(closing.unwrap(), true);
        assert_eq!(heart.next_input(), Some(Input::GateClosed { group, ticket }));
    }

    // spec: L3 "abandons every gate write begun before it"
    #[test]
    fn an_opening_that_the_kernel_acknowledges_after_the_release_gives_no_lease() {
        let mut heart = heart();
        let (opening, _) = opening(&mut heart);
        heart.step(now(), Input::Release { group: GROUP });
        let closing = errands(&mut heart).into_iter().find_map(|errand| match errand {
            Errand::Gate(turn) => Some(turn),
            _ => None,
        });
        let mut told = |turn| {
            heart.acknowledge(turn, true);
            let answer = heart.next_input().unwrap();
            heart.step(now(), answer);
            let told = errands(&mut heart).into_iter().filter_map(|errand| match errand {
                Errand::Tell(Happening::Heartbeat(output)) => Some(output),
                _ => None,
            });
            told.collect::<Vec<_>>()
        };
        assert_eq!(told(opening), []);
        let released = Output::Released { group: GROUP, epoch: Epoch(1) };
        assert_eq!(told(closing.unwrap()), [released]);
    }

    #[test]
    fn a_life_is_told_of_once_and_before_what_it_said() {
        let mut heart = heart();
        let (from, link) = (NodeId(2), LinkId(0));
        let heard = |boot| Happening::Heard { from, boot: BootId(boot) };
        let packet =
            |boot| Happening::Packet { from, boot: BootId(boot), link, bytes: b"said".to_vec() };
        let express = |boot| frame(Kind::Express, boot, b"said");
        assert_eq!(hear(&mut heart, &express(1)), (true, vec![heard(1), packet(1)]));
        assert_eq!(hear(&mut heart, &express(1)), (true, vec![packet(1)]));
        assert_eq!(hear(&mut heart, &express(2)), (true, vec![heard(2), packet(2)]));
        heart.set_members(&BTreeSet::new());
        assert_eq!(hear(&mut heart, &express(2)), (true, vec![heard(2), packet(2)]));
        for boot in [1, 1, 2, 2] {
            let boot = BootId(boot);
            assert_eq!(heart.next_input(), Some(Input::Heard { from, boot, link }));
        }
    }

    #[test]
    fn who_sends_what_does_not_decode_lives_and_has_said_nothing() {
        let mut heart = heart();
        let happening = Happening::Heard { from: NodeId(2), boot: BootId(1) };
        assert_eq!(hear(&mut heart, &frame(Kind::Beat, 1, &[0xff])), (false, vec![happening]));
        assert_eq!(heart.next_input(), None);
    }

    #[test]
    fn nothing_follows_after_the_hand_over() {
        let mut heart = heart();
        heart.take(Input::Tick);
        assert!(heart.hand_over(now()).is_some());
        assert_eq!((heart.next_input(), heart.deadline()), (None, None));
        assert_eq!(heart.hand_over(now()), None);
    }
}
