//! The sending half of a session with one peer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use haven_base::Instant;
use haven_types::BootId;

use super::packet::{Acknowledgement, Fragment, Packet, SPAN};
use super::rtt::RoundTrip;
use super::{Class, FRAGMENT, MAX_MESSAGE, MAX_QUEUED, MAX_QUEUED_BYTES, OverflowCause};

/// Fragments in flight to a peer: about two of the longest messages.
const WINDOW: usize = 128;
/// Fragments of smaller messages that may overtake a message for which the window has no room.
const OVERTAKE: usize = 32;
/// Messages of at most this many fragments leave on two links at once.
const SMALL: u16 = 4;
/// Share of repeated fragments, in 1/1024, above which everything leaves twice.
const LOSSY: u32 = 40;

/// A message that waits for the window.
#[derive(Debug)]
struct Queued {
    bytes: Vec<u8>,
    expires: Option<Instant>,
}

/// A fragment that was sent and is not acknowledged.
#[derive(Debug)]
struct Flying {
    message: Arc<Message>,
    index: u16,
    tries: u32,
    repeat_at: Instant,
}

#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    count: u16,
    class: Class,
    order: u64,
}

impl Message {
    fn part(&self, index: u16) -> &[u8] {
        let from = usize::from(index) * FRAGMENT;
        &self.bytes[from..self.bytes.len().min(from + FRAGMENT)]
    }
}

/// A packet to send and on how many links.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) bytes: Vec<u8>,
    pub(super) copies: usize,
}

#[derive(Debug, Default)]
pub(super) struct Sender {
    queues: BTreeMap<Class, VecDeque<Queued>>,
    queued: usize,
    queued_bytes: usize,
    /// The class served last; the next in order is served first.
    served: Option<Class>,
    /// Fragments admitted past a message that waits for room.
    overtaken: usize,
    flying: BTreeMap<u64, Flying>,
    next_number: u64,
    orders: BTreeMap<u8, u64>,
    rtt: RoundTrip,
    /// Smoothed share of fragments that needed a repetition, in 1/1024.
    repeated: u32,
    repetitions: u64,
}

impl Sender {
    /// Takes a message, unless a bound is reached.
    pub(super) fn enqueue(
        &mut self,
        class: Class,
        bytes: Vec<u8>,
        expires: Option<Instant>,
    ) -> Result<(), OverflowCause> {
        if bytes.len() > MAX_MESSAGE {
            return Err(OverflowCause::TooLong);
        }
        if self.queued >= MAX_QUEUED || self.queued_bytes + bytes.len() > MAX_QUEUED_BYTES {
            return Err(OverflowCause::QueueFull);
        }
        self.queued += 1;
        self.queued_bytes += bytes.len();
        self.queues.entry(class).or_default().push_back(Queued { bytes, expires });
        Ok(())
    }

    /// Drops messages that were not sent in time and returns their classes.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Class> {
        let mut expired = Vec::new();
        for (class, queue) in &mut self.queues {
            queue.retain(|message| {
                let keep = message.expires.is_none_or(|at| at > now);
                if !keep {
                    expired.push(*class);
                    self.queued -= 1;
                    self.queued_bytes -= message.bytes.len();
                }
                keep
            });
        }
        expired
    }

    /// Sends what the window has room for, and repeats what is due.
    pub(super) fn transmit(&mut self, now: Instant, to_boot: BootId) -> Vec<Outgoing> {
        let mut out = Vec::new();
        self.repeat_due(now, to_boot, &mut out);
        while let Some(class) = self.next_class() {
            self.admit(now, class, to_boot, &mut out);
        }
        out
    }

    fn repeat_due(&mut self, now: Instant, to_boot: BootId, out: &mut Vec<Outgoing>) {
        for (number, flying) in &mut self.flying {
            if flying.repeat_at > now {
                continue;
            }
            flying.tries += 1;
            flying.repeat_at = now + self.rtt.repeat_after(flying.tries);
            self.repetitions += 1;
            out.push(Outgoing { bytes: flying.packet(now, *number, to_boot), copies: 2 });
        }
    }

    /// The class whose first message may enter the window now, in turn.
    fn next_class(&mut self) -> Option<Class> {
        let oldest = self.flying.keys().next().copied().unwrap_or(self.next_number);
        let span = usize::try_from(oldest + SPAN - self.next_number).unwrap_or(0);
        let room = WINDOW.saturating_sub(self.flying.len()).min(span);
        let waiting = |class: &Class| -> Option<usize> {
            Some(fragments(self.queues.get(class)?.front()?.bytes.len()))
        };
        let after = self.queues.keys().filter(|class| Some(**class) > self.served);
        let before = self.queues.keys().filter(|class| Some(**class) <= self.served);
        let mut blocked = false;
        for class in after.chain(before) {
            let Some(count) = waiting(class) else { continue };
            if blocked && self.overtaken + count > OVERTAKE {
                continue;
            }
            if count <= room {
                let class = *class;
                self.overtaken = if blocked { self.overtaken + count } else { 0 };
                // The turn of a class that waits for room is not over.
                if !blocked {
                    self.served = Some(class);
                }
                return Some(class);
            }
            blocked = true;
        }
        None
    }

    fn admit(&mut self, now: Instant, class: Class, to_boot: BootId, out: &mut Vec<Outgoing>) {
        let Some(queue) = self.queues.get_mut(&class) else { return };
        let Some(queued) = queue.pop_front() else { return };
        if queue.is_empty() {
            self.queues.remove(&class);
        }
        self.queued -= 1;
        self.queued_bytes -= queued.bytes.len();
        let order = match class {
            Class::Unordered => 0,
            Class::Ordered(stream) => {
                let next = self.orders.entry(stream).or_default();
                *next += 1;
                *next - 1
            }
        };
        let count = u16::try_from(fragments(queued.bytes.len())).unwrap_or(u16::MAX);
        let message = Arc::new(Message { bytes: queued.bytes, count, class, order });
        let copies = if count <= SMALL || self.repeated > LOSSY { 2 } else { 1 };
        for index in 0..count {
            let repeat_at = now + self.rtt.repeat_after(1);
            let flying = Flying { message: message.clone(), index, tries: 1, repeat_at };
            let bytes = flying.packet(now, self.next_number, to_boot);
            out.push(Outgoing { bytes, copies });
            self.flying.insert(self.next_number, flying);
            self.next_number += 1;
        }
    }

    /// Strikes off what has arrived.
    pub(super) fn on_acknowledgement(&mut self, now: Instant, ack: &Acknowledgement<'_>) {
        if ack.below > self.next_number {
            return;
        }
        let last = ack.below + u64::try_from(ack.bitmap.len()).unwrap_or(0) * 8;
        let done: Vec<u64> = self
            .flying
            .range(..last)
            .map(|(number, _)| *number)
            .filter(|n| ack.covers(*n))
            .collect();
        for number in &done {
            if let Some(flying) = self.flying.remove(number) {
                let repeated = if flying.tries > 1 { 1024 } else { 0 };
                self.repeated = (self.repeated * 15 + repeated) / 16;
            }
        }
        // A greeting echoes no packet: it says what has arrived, and nothing of the path.
        let measured = (ack.echo, ack.held) != (0, 0);
        if measured && !done.is_empty() {
            let trip = stamp(now).wrapping_sub(ack.echo).wrapping_sub(ack.held);
            self.rtt.sample(Duration::from_micros(u64::from(trip)));
        }
    }

    /// A path is back: repeat everything now, patiently from the start.
    pub(super) fn hurry(&mut self, now: Instant) {
        for flying in self.flying.values_mut() {
            flying.tries = 0;
            flying.repeat_at = now;
        }
    }

    /// When something is to be repeated or dropped.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let repeat = self.flying.values().map(|flying| flying.repeat_at).min();
        let expiry = self.queues.values().flatten().filter_map(|queued| queued.expires).min();
        match (repeat, expiry) {
            (Some(repeat), Some(expiry)) => Some(repeat.min(expiry)),
            (repeat, expiry) => repeat.or(expiry),
        }
    }

    /// Messages not acknowledged, queued or in flight.
    pub(super) fn unfinished(&self) -> usize {
        let mut messages = 0;
        let mut last: Option<&Arc<Message>> = None;
        for flying in self.flying.values() {
            if last.is_none_or(|last| !Arc::ptr_eq(last, &flying.message)) {
                messages += 1;
            }
            last = Some(&flying.message);
        }
        messages + self.queued
    }

    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn flying(&self) -> usize {
        self.flying.len()
    }

    pub(super) fn repetitions(&self) -> u64 {
        self.repetitions
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt.smoothed()
    }

    /// Whether what is sent gets lost so often that one copy is not enough.
    pub(super) fn is_lossy(&self) -> bool {
        self.repeated > LOSSY
    }
}

impl Flying {
    fn packet(&self, now: Instant, number: u64, to_boot: BootId) -> Vec<u8> {
        let Message { count, class, order, .. } = *self.message;
        let bytes = self.message.part(self.index);
        let (stamp, index) = (stamp(now), self.index);
        Packet::Fragment(Fragment { to_boot, stamp, number, index, count, class, order, bytes })
            .encode()
    }
}

/// Fragments of a message of this length; an empty message is one.
fn fragments(length: usize) -> usize {
    length.div_ceil(FRAGMENT).max(1)
}

/// The clock of the `stamp` field.
pub(super) fn stamp(now: Instant) -> u32 {
    let micros = (now.as_nanos() / 1_000) & u64::from(u32::MAX);
    u32::try_from(micros).unwrap_or(u32::MAX)
}
