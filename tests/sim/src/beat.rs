//! The heartbeat thread of one process: the same machine, frames and order of work as the daemon's,
//! one effect at a time so that a pause may fall between any two.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use haven_base::Instant;
use haven_heartbeat::{GateOrder, HandOver, Heartbeat, Input, Message, Output};
use haven_hub::Happening;
use haven_messaging::{Frames, Kind};
use haven_types::{BootId, GroupId, LinkId, NodeId};

use crate::kernel::Kernel;

/// What the main thread tells this one.
#[derive(Debug)]
pub(crate) enum Order {
    Machine(Box<Input>),
    Peers(BTreeSet<NodeId>),
    Transmit { to: NodeId, link: LinkId, bytes: Vec<u8> },
    Entries(BTreeMap<IpAddr, GroupId>),
    HandOver,
    Stop,
}

/// What one action did to the world outside the thread.
#[derive(Debug)]
pub(crate) enum Act {
    /// A step of the machine, for those who watch.
    Stepped { input: Input, outputs: Vec<Output> },
    /// A sealed datagram leaves.
    Sent { to: NodeId, link: LinkId, bytes: Vec<u8> },
    /// For the main thread.
    Told(Happening),
    /// The kernel's gate or the set of guarded addresses changed.
    Gate,
    /// Nothing to see.
    Quiet,
    /// The thread ended, handing over.
    HandedOver(HandOver),
    /// The thread ended for good, all gates closed.
    Stopped,
}

/// The place of a gate order on its way into the kernel.
#[derive(Debug)]
enum Writing {
    /// Decided, not written: the clock is read and the deadline put after this.
    Begun(GateOrder),
    /// Written; the acknowledgement is on its way.
    Done(Input),
}

#[derive(Debug)]
pub(crate) struct BeatThread {
    machine: Option<Heartbeat>,
    frames: Frames,
    tick: Duration,
    orders: VecDeque<Order>,
    socket: VecDeque<Vec<u8>>,
    boots: BTreeMap<NodeId, BootId>,
    members: BTreeSet<NodeId>,
    pending: VecDeque<Input>,
    outbox: VecDeque<Output>,
    writing: Option<Writing>,
    /// News to be told before anything else is done.
    held_back: VecDeque<Happening>,
    /// The true time of the next run, if one is planned.
    pub(crate) runs_at: Option<u64>,
    pub(crate) stopped_until: u64,
    /// A mutant: what is received never reaches the machine.
    pub(crate) drops_beats: bool,
}

/// Datagrams that wait in a socket at most; more are lost.
const SOCKET: usize = 2_000;

impl BeatThread {
    pub(crate) fn new(
        machine: Heartbeat,
        frames: Frames,
        tick: Duration,
        first: Vec<Input>,
    ) -> Self {
        Self {
            machine: Some(machine),
            frames,
            tick,
            orders: VecDeque::new(),
            socket: VecDeque::new(),
            boots: BTreeMap::new(),
            members: BTreeSet::new(),
            pending: first.into_iter().chain([Input::Tick]).collect(),
            outbox: VecDeque::new(),
            writing: None,
            held_back: VecDeque::new(),
            runs_at: None,
            stopped_until: 0,
            drops_beats: false,
        }
    }

    pub(crate) fn order(&mut self, order: Order) {
        self.orders.push_back(order);
    }

    pub(crate) fn receive(&mut self, datagram: Vec<u8>) {
        if self.socket.len() < SOCKET {
            self.socket.push_back(datagram);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.machine.as_ref().and_then(Heartbeat::deadline)
    }

    /// Does the next thing there is to do; `None` when there is nothing until the deadline.
    pub(crate) fn act(&mut self, now: Instant, kernel: &mut Kernel, fail: bool) -> Option<Act> {
        if let Some(news) = self.held_back.pop_front() {
            return Some(Act::Told(news));
        }
        if let Some(writing) = self.writing.take() {
            return Some(self.write(now, kernel, writing, fail));
        }
        if let Some(output) = self.outbox.pop_front() {
            return Some(self.perform(output));
        }
        if let Some(input) = self.pending.pop_front() {
            return Some(self.step(now, input));
        }
        if let Some(order) = self.orders.pop_front() {
            return Some(self.obey(now, kernel, order));
        }
        if let Some(datagram) = self.socket.pop_front() {
            return Some(self.open(now, datagram));
        }
        self.deadline().is_some_and(|at| at <= now).then(|| self.step(now, Input::Tick))
    }

    fn step(&mut self, now: Instant, input: Input) -> Act {
        let Some(machine) = &mut self.machine else { return Act::Quiet };
        let lost = self.drops_beats && matches!(input, Input::Received { .. });
        let taken = if lost { Input::Tick } else { input.clone() };
        let outputs = machine.step(now, taken);
        self.outbox.extend(outputs.iter().cloned());
        Act::Stepped { input, outputs }
    }

    fn perform(&mut self, output: Output) -> Act {
        match output {
            Output::Send { to, link, message } => {
                self.send(to, link, Kind::Beat, &message.encode())
            }
            Output::Gate(order) => {
                self.writing = Some(Writing::Begun(order));
                Act::Quiet
            }
            other => Act::Told(Happening::Heartbeat(other)),
        }
    }

    fn send(&mut self, to: NodeId, link: LinkId, kind: Kind, payload: &[u8]) -> Act {
        let mut bytes = Vec::new();
        if !self.members.contains(&to)
            || self.frames.seal(to, link, kind, payload, &mut bytes).is_err()
        {
            return Act::Quiet;
        }
        Act::Sent { to, link, bytes }
    }

    /// The gate's contract: the kernel compares the deadline, which is the lease's end less a tick,
    /// with its own clock; what is past is never written.
    fn write(&mut self, now: Instant, kernel: &mut Kernel, writing: Writing, fail: bool) -> Act {
        match writing {
            Writing::Begun(GateOrder::Renew { group, deadline, ticket, .. }) => {
                let deadline = deadline.before(self.tick);
                let answer = if fail {
                    Input::GateFailed { group, ticket }
                } else if now >= deadline {
                    kernel.remove_deadline(group);
                    Input::GateFailed { group, ticket }
                } else {
                    kernel.put_deadline(group, deadline);
                    Input::GateOpened { group, ticket }
                };
                self.writing = Some(Writing::Done(answer));
                Act::Gate
            }
            Writing::Begun(GateOrder::Close { group, ticket }) => {
                let answer = if fail {
                    Input::GateFailed { group, ticket }
                } else {
                    kernel.remove_deadline(group);
                    Input::GateClosed { group, ticket }
                };
                self.writing = Some(Writing::Done(answer));
                Act::Gate
            }
            Writing::Done(answer) => {
                self.pending.push_back(self.judged(now, kernel, answer));
                Act::Quiet
            }
        }
    }

    /// After the acknowledgement the clock is read again.
    fn judged(&self, now: Instant, kernel: &mut Kernel, answer: Input) -> Input {
        let Input::GateOpened { group, ticket } = answer else { return answer };
        if kernel.deadline(group).is_some_and(|end| now < end) {
            return answer;
        }
        kernel.remove_deadline(group);
        Input::GateFailed { group, ticket }
    }

    fn obey(&mut self, now: Instant, kernel: &mut Kernel, order: Order) -> Act {
        match order {
            Order::Machine(input) => {
                self.pending.push_back(*input);
                Act::Quiet
            }
            Order::Peers(members) => {
                self.frames.set_members(now, &members);
                self.boots.retain(|node, _| members.contains(node));
                self.members = members;
                Act::Quiet
            }
            Order::Transmit { to, link, bytes } => self.send(to, link, Kind::Express, &bytes),
            Order::Entries(entries) => {
                kernel.set_entries(entries);
                Act::Gate
            }
            Order::HandOver => match self.machine.take() {
                Some(machine) => Act::HandedOver(machine.hand_over(now)),
                None => Act::Quiet,
            },
            Order::Stop => {
                kernel.close_all();
                self.machine = None;
                Act::Stopped
            }
        }
    }

    fn open(&mut self, now: Instant, mut datagram: Vec<u8>) -> Act {
        let Ok(opened) = self.frames.open(now, &mut datagram) else { return Act::Quiet };
        let (from, boot, link) = (opened.from, opened.boot, opened.link);
        let news = match opened.kind {
            Kind::Beat => {
                let Ok(message) = Message::decode(opened.payload) else { return Act::Quiet };
                self.pending.push_back(Input::Received { from, boot, link, message });
                None
            }
            Kind::Express => {
                let bytes = opened.payload.to_vec();
                self.pending.push_back(Input::Heard { from, boot, link });
                Some(Happening::Packet { from, boot, link, bytes })
            }
        };
        let first = self.boots.insert(from, boot) != Some(boot);
        match (first, news) {
            // A life is told of before anything it said.
            (true, news) => {
                self.held_back.extend(news);
                Act::Told(Happening::Heard { from, boot })
            }
            (false, Some(news)) => Act::Told(news),
            (false, None) => Act::Quiet,
        }
    }
}
