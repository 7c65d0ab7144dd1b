//! The heartbeat thread of one process: the same machine, frames and order of work as the daemon's,
//! one effect at a time so that a pause may fall between any two.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use haven_base::Instant;
use haven_heartbeat::{HandOver, Input, Output};
use haven_hub::{Errand, Happening, Heart, Turn};
use haven_messaging::{Frames, Kind};
use haven_types::{GroupId, LinkId, NodeId};

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
    Begun(Turn),
    /// Written, or not; the acknowledgement is on its way.
    Done(Turn, bool),
}

#[derive(Debug)]
pub(crate) struct BeatThread {
    heart: Heart,
    frames: Frames,
    orders: VecDeque<Order>,
    socket: VecDeque<Vec<u8>>,
    members: BTreeSet<NodeId>,
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
    pub(crate) fn new(heart: Heart, frames: Frames) -> Self {
        Self {
            heart,
            frames,
            orders: VecDeque::new(),
            socket: VecDeque::new(),
            members: BTreeSet::new(),
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
        self.heart.deadline()
    }

    /// Does the next thing there is to do; `None` when there is nothing until the deadline.
    pub(crate) fn act(&mut self, now: Instant, kernel: &mut Kernel, fail: bool) -> Option<Act> {
        if let Some(news) = self.held_back.pop_front() {
            return Some(Act::Told(news));
        }
        if let Some(writing) = self.writing.take() {
            return Some(self.write(now, kernel, writing, fail));
        }
        if let Some(errand) = self.heart.next_errand() {
            return Some(self.perform(errand));
        }
        if let Some(input) = self.heart.next_input() {
            return Some(self.step(now, input));
        }
        if let Some(order) = self.orders.pop_front() {
            return Some(self.obey(now, kernel, order));
        }
        if let Some(datagram) = self.socket.pop_front() {
            return Some(self.open(now, datagram));
        }
        if self.deadline().is_none_or(|at| now < at) {
            return None;
        }
        self.heart.tick(now);
        let due = self.heart.next_input();
        due.map(|input| self.step(now, input))
    }

    fn step(&mut self, now: Instant, input: Input) -> Act {
        let lost = self.drops_beats && matches!(input, Input::Received { .. });
        let taken = if lost { Input::Tick } else { input.clone() };
        self.heart.step(now, taken);
        Act::Stepped { input, outputs: self.heart.decided().to_vec() }
    }

    fn perform(&mut self, errand: Errand) -> Act {
        match errand {
            Errand::Send { to, link, message } => {
                self.send(to, link, Kind::Beat, &message.encode())
            }
            Errand::Gate(turn) => {
                self.writing = Some(Writing::Begun(turn));
                Act::Quiet
            }
            // Connections are not simulated.
            Errand::RefuseNewcomers(_) => Act::Quiet,
            Errand::Tell(happening) => Act::Told(happening),
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

    /// The gate's contract: the kernel compares the deadline with its own clock; what is past is never
    /// written.
    fn write(&mut self, now: Instant, kernel: &mut Kernel, writing: Writing, fail: bool) -> Act {
        match writing {
            Writing::Begun(turn) => {
                let open = turn.until.filter(|until| now < *until);
                match open {
                    _ if fail => {}
                    Some(until) => kernel.put_deadline(turn.group, until),
                    None => kernel.remove_deadline(turn.group),
                }
                let done = !fail && open.is_some() == turn.until.is_some();
                self.writing = Some(Writing::Done(turn, done));
                Act::Gate
            }
            Writing::Done(turn, done) => {
                let done = done && stands(now, kernel, turn);
                self.heart.acknowledge(turn, done);
                Act::Quiet
            }
        }
    }

    fn obey(&mut self, now: Instant, kernel: &mut Kernel, order: Order) -> Act {
        match order {
            Order::Machine(input) => {
                self.heart.obey(now, *input);
                Act::Quiet
            }
            Order::Peers(members) => {
                self.frames.set_members(now, &members);
                self.heart.set_members(&members);
                self.members = members;
                Act::Quiet
            }
            Order::Transmit { to, link, bytes } => self.send(to, link, Kind::Express, &bytes),
            Order::Entries(entries) => {
                kernel.set_entries(entries);
                Act::Gate
            }
            Order::HandOver | Order::Stop if self.heart.hurry() => {
                self.orders.push_front(order);
                Act::Quiet
            }
            Order::HandOver => self.heart.hand_over(now).map_or(Act::Quiet, Act::HandedOver),
            Order::Stop => {
                kernel.close_all();
                Act::Stopped
            }
        }
    }

    fn open(&mut self, now: Instant, mut datagram: Vec<u8>) -> Act {
        let Ok(opened) = self.frames.open(now, &mut datagram) else { return Act::Quiet };
        let held_back = &mut self.held_back;
        // A beat that does not decode is a log line, which nobody reads here.
        let _decoded = self.heart.hear(&opened, |news| held_back.push_back(news));
        self.held_back.pop_front().map_or(Act::Quiet, Act::Told)
    }
}

/// After the acknowledgement of an opened gate the clock is read again.
fn stands(now: Instant, kernel: &mut Kernel, turn: Turn) -> bool {
    if turn.until.is_none() || kernel.deadline(turn.group).is_some_and(|end| now < end) {
        return true;
    }
    kernel.remove_deadline(turn.group);
    false
}
