//! The receiving half of a session with one peer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_types::{BootId, LinkId};

use super::Class;
use super::packet::{Acknowledgement, Fragment, Packet, SPAN};
use super::sender::stamp;

/// How long an acknowledgement waits for what else may come: the second copy, the next message. Nobody waits for it;
/// a sender repeats after 10 ms at the earliest.
pub(super) const ACKNOWLEDGE_AFTER: Duration = Duration::from_millis(2);
/// Fragments one acknowledgement waits for.
const ACKNOWLEDGE_EVERY: u32 = 8;

/// What became of a fragment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Messages that may be delivered now, in order.
    pub(super) delivered: Vec<(Class, Vec<u8>)>,
    /// The fragment contradicts others: its sender breaks the protocol.
    pub(super) malformed: bool,
}

#[derive(Debug)]
struct Partial {
    count: u16,
    class: Class,
    order: u64,
    parts: BTreeMap<u16, Vec<u8>>,
}

#[derive(Debug, Default)]
struct Stream {
    /// Position of the message to deliver next.
    next: u64,
    /// Complete messages that wait for an earlier one; bounded by the span of numbers.
    waiting: BTreeMap<u64, Vec<u8>>,
}

#[derive(Debug)]
struct Owed {
    at: Instant,
    fragments: u32,
    echo: u32,
    echo_at: Instant,
    link: LinkId,
    /// Something came twice: an acknowledgement may have been lost.
    repeated: bool,
}

/// An acknowledgement to send.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) bytes: Vec<u8>,
    pub(super) link: LinkId,
    pub(super) copies: usize,
}

#[derive(Debug, Default)]
pub(super) struct Receiver {
    /// All numbers below arrived.
    below: u64,
    /// Numbers from `below` that arrived; all within the span.
    beyond: BTreeSet<u64>,
    partials: BTreeMap<u64, Partial>,
    streams: BTreeMap<u8, Stream>,
    owed: Option<Owed>,
}

impl Receiver {
    pub(super) fn on_fragment(
        &mut self,
        now: Instant,
        link: LinkId,
        fragment: &Fragment<'_>,
    ) -> Arrival {
        let mut arrival = Arrival::default();
        if fragment.number >= self.below + SPAN {
            // Its sender keeps within the span; dropped unacknowledged.
            arrival.malformed = true;
            return arrival;
        }
        let known = fragment.number < self.below || self.beyond.contains(&fragment.number);
        if !known {
            match self.collect(fragment) {
                Ok(Some((class, order, bytes))) => {
                    self.complete(class, order, bytes, &mut arrival);
                }
                Ok(None) => {}
                Err(()) => {
                    arrival.malformed = true;
                    return arrival;
                }
            }
            self.beyond.insert(fragment.number);
            while self.beyond.remove(&self.below) {
                self.below += 1;
            }
            arrival.malformed |= self.drop_contradictions();
        }
        self.owe(now, link, fragment, known);
        arrival
    }

    /// Adds a fragment to its message; the message when it is complete.
    fn collect(&mut self, fragment: &Fragment<'_>) -> Result<Option<(Class, u64, Vec<u8>)>, ()> {
        let Fragment { number, index, count, class, order, bytes, .. } = *fragment;
        if count == 1 {
            return Ok(Some((class, order, bytes.to_vec())));
        }
        let first = number - u64::from(index);
        let fresh = || Partial { count, class, order, parts: BTreeMap::new() };
        let partial = self.partials.entry(first).or_insert_with(fresh);
        if (partial.count, partial.class, partial.order) != (count, class, order) {
            return Err(());
        }
        partial.parts.insert(index, bytes.to_vec());
        if partial.parts.len() < usize::from(count) {
            return Ok(None);
        }
        let whole = self.partials.remove(&first);
        Ok(whole.map(|whole| (class, order, whole.parts.into_values().flatten().collect())))
    }

    /// Delivers a complete message, or keeps it until the earlier ones of its stream are there.
    fn complete(&mut self, class: Class, order: u64, bytes: Vec<u8>, arrival: &mut Arrival) {
        let Class::Ordered(number) = class else {
            arrival.delivered.push((class, bytes));
            return;
        };
        let stream = self.streams.entry(number).or_default();
        if order < stream.next || order - stream.next >= SPAN {
            arrival.malformed = true;
            return;
        }
        stream.waiting.insert(order, bytes);
        while let Some(bytes) = stream.waiting.remove(&stream.next) {
            arrival.delivered.push((class, bytes));
            stream.next += 1;
        }
    }

    /// Forgets messages whose every number arrived and that are incomplete all the same.
    fn drop_contradictions(&mut self) -> bool {
        let below = self.below;
        let before = self.partials.len();
        self.partials.retain(|first, partial| first + u64::from(partial.count) > below);
        self.partials.len() != before
    }

    fn owe(&mut self, now: Instant, link: LinkId, fragment: &Fragment<'_>, known: bool) {
        // The copy that went by another link is no news while its acknowledgement is still to leave.
        let repeated = known && self.owed.is_none();
        let owed = self.owed.get_or_insert(Owed {
            at: now + ACKNOWLEDGE_AFTER,
            fragments: 0,
            echo: fragment.stamp,
            echo_at: now,
            link,
            repeated: false,
        });
        owed.fragments += 1;
        owed.link = link;
        owed.repeated |= repeated;
        // The newest stamp, of copies the first: of repetitions the latest says most about the path now.
        if (1..u32::MAX / 2).contains(&fragment.stamp.wrapping_sub(owed.echo)) {
            (owed.echo, owed.echo_at) = (fragment.stamp, now);
        }
        if repeated || owed.fragments >= ACKNOWLEDGE_EVERY {
            owed.at = now;
        }
    }

    /// The acknowledgement that is due, if one is.
    pub(super) fn reply(&mut self, now: Instant, to_boot: BootId) -> Option<Reply> {
        let owed = self.owed.take_if(|owed| owed.at <= now)?;
        let bitmap = self.bitmap();
        let acknowledgement = Acknowledgement {
            to_boot,
            echo: owed.echo,
            held: stamp(now).wrapping_sub(stamp(owed.echo_at)),
            below: self.below,
            bitmap: &bitmap,
        };
        let bytes = Packet::Acknowledgement(acknowledgement).encode();
        Some(Reply { bytes, link: owed.link, copies: if owed.repeated { 2 } else { 1 } })
    }

    /// An acknowledgement for a peer that only wants to hear from us.
    pub(super) fn greeting(&self, to_boot: BootId) -> Vec<u8> {
        let (echo, held, below) = (0, 0, self.below);
        let bitmap = self.bitmap();
        let greeting = Acknowledgement { to_boot, echo, held, below, bitmap: &bitmap };
        Packet::Acknowledgement(greeting).encode()
    }

    fn bitmap(&self) -> Vec<u8> {
        let mut bitmap = Vec::new();
        for number in &self.beyond {
            let ahead = usize::try_from(number - self.below).unwrap_or(0);
            bitmap.resize(ahead / 8 + 1, 0);
            bitmap[ahead / 8] |= 1 << (ahead % 8);
        }
        bitmap
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let partial: usize = self.partials.values().map(|partial| partial.parts.len()).sum();
        let waiting: usize = self.streams.values().map(|stream| stream.waiting.len()).sum();
        partial + waiting + self.beyond.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.owed.as_ref().map(|owed| owed.at)
    }
}
