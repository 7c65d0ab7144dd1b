//! What the heartbeat thread has to tell while the main thread does not listen.
//!
//! The main thread may be starved for minutes; this one goes on, and never waits for it. What the channel has no
//! room for stays here, in order, and of what describes a state only the newest word: who is heard, which link
//! is up, the view. So a main thread that wakes up learns what is, and what happened at least once, and the
//! memory it takes meanwhile has a bound, by the number of members, links and leases. Packets of the delivery
//! over datagrams are lost beyond a share of each member: the delivery repeats them.

use std::collections::BTreeMap;

use haven_heartbeat::{LossCause, Output};
use haven_hub::Happening;
use haven_types::{Epoch, GroupId, LinkId, NodeId};
use tokio::sync::mpsc as tokio_mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{News, NewsReceiver};

/// What the main thread has not taken yet.
const CHANNEL: usize = 1_024;
/// Packets of one member that wait here: as many as its delivery has under way.
const PACKETS: usize = 128;
/// Different log lines and alarms that wait here; one that waits is not kept a second time.
const LINES: usize = 128;

/// The way to the main thread, and what waits for room on it.
#[derive(Debug)]
pub(super) struct Outbox {
    channel: tokio_mpsc::Sender<News>,
    waiting: Waiting,
}

/// The way of one thread, and its other end.
pub(super) fn channel() -> (Outbox, NewsReceiver) {
    let (channel, receiver) = tokio_mpsc::channel(CHANNEL);
    (Outbox { channel, waiting: Waiting::default() }, receiver)
}

impl Outbox {
    /// The way of another thread to the same receiver. What waits in one does not wait for the other.
    pub(super) fn another(&self) -> Self {
        Self { channel: self.channel.clone(), waiting: Waiting::default() }
    }

    /// Tells, now or as soon as there is room; see the [module](self).
    pub(super) fn tell(&mut self, item: News) {
        self.flush();
        if !self.waiting.is_empty() {
            return self.waiting.put(item);
        }
        match self.channel.try_send(item) {
            // The receiver is gone only when the daemon ends; then nobody is left to be told.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(item)) => self.waiting.put(item),
        }
    }

    /// Sends what there is room for by now.
    pub(super) fn flush(&mut self) {
        // The receiver may take as fast as this gives: beats are due meanwhile.
        for _ in 0..CHANNEL {
            if self.waiting.is_empty() {
                return;
            }
            let Ok(room) = self.channel.try_reserve() else { return };
            if let Some(item) = self.waiting.take() {
                room.send(item);
            }
        }
    }

    /// Says all that waits, as soon as there is room for it: the last words of a thread that has nothing else to do.
    pub(super) fn say_the_rest(mut self) {
        while let Some(item) = self.waiting.take() {
            if self.channel.blocking_send(item).is_err() {
                return;
            }
        }
    }

    /// True while something waits for room.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Says what was not kept, once everything else is said. For now and then.
    pub(super) fn tell_lost(&mut self) {
        self.flush();
        if !self.waits()
            && let Some(line) = self.waiting.lost_in_words()
        {
            self.tell(News::Line(line));
        }
    }
}

/// What an item replaces: an earlier one of the same subject that still waits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Subject {
    View,
    ConsensusTick,
    Suspect(NodeId),
    Alive(NodeId),
    Dead(NodeId),
    Link(NodeId, LinkId),
    Gained(GroupId, Epoch),
    Lapsed(GroupId, Epoch),
    Duplicate(NodeId),
    Life(NodeId),
    GateMissing,
    Unreadable,
    Alarm(String),
    Mended(String),
    Entries,
    Line(String),
}

impl Subject {
    /// None for what is said once: an answer to an order, a lease that is over for good, a packet.
    fn of(item: &News) -> Option<Self> {
        Some(match item {
            News::Told(Happening::Heartbeat(output)) => return Self::of_output(output),
            News::Told(Happening::Heard { from, .. }) => Self::Life(*from),
            News::Told(_) => return None,
            News::GateMissing(_) => Self::GateMissing,
            News::Unreadable { .. } => Self::Unreadable,
            News::Line(line) => Self::Line(line.clone()),
            News::Alarm(text) => Self::Alarm(text.clone()),
            News::Mended(text) => Self::Mended(text.clone()),
            News::Entries(_) => Self::Entries,
        })
    }

    /// Suspicion, life and death of a node are subjects of their own: of each the newest word stays, and the
    /// last word of all stays last.
    fn of_output(output: &Output) -> Option<Self> {
        Some(match *output {
            Output::View(_) => Self::View,
            Output::ConsensusTick(_) => Self::ConsensusTick,
            Output::Suspect { node, .. } => Self::Suspect(node),
            Output::Alive { node, .. } => Self::Alive(node),
            Output::Dead { node, .. } => Self::Dead(node),
            Output::Link { peer, link, .. } => Self::Link(peer, link),
            Output::LeaseGained { group, epoch, .. } => Self::Gained(group, epoch),
            Output::LeaseLost { group, epoch, cause } => match cause {
                LossCause::Lapsed | LossCause::GateFailed => Self::Lapsed(group, epoch),
                LossCause::Superseded | LossCause::Released => return None,
            },
            Output::DuplicateNode { node, .. } => Self::Duplicate(node),
            Output::Released { .. }
            | Output::TooManyClaims { .. }
            | Output::RestartReady { .. }
            | Output::Send { .. }
            | Output::Gate(_) => return None,
        })
    }
}

/// What waits, in order.
#[derive(Debug, Default)]
struct Waiting {
    items: BTreeMap<u64, News>,
    places: BTreeMap<Subject, u64>,
    next: u64,
    packets: BTreeMap<NodeId, usize>,
    lines: usize,
    /// Lines and packets that were not kept, until that is said.
    lost: (u64, u64),
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn put(&mut self, item: News) {
        if let News::Told(Happening::Packet { from, .. }) = item {
            let packets = self.packets.entry(from).or_default();
            if *packets >= PACKETS {
                self.lost.1 += 1;
                return;
            }
            *packets += 1;
        }
        let subject = Subject::of(&item);
        if let Some(place) = subject.as_ref().and_then(|subject| self.places.remove(subject)) {
            self.remove(place);
        }
        if is_line(&item) {
            if self.lines >= LINES {
                self.lost.0 += 1;
                return;
            }
            self.lines += 1;
        }
        if let Some(subject) = subject {
            self.places.insert(subject, self.next);
        }
        self.items.insert(self.next, item);
        self.next += 1;
    }

    fn take(&mut self) -> Option<News> {
        let (&place, item) = self.items.first_key_value()?;
        if let Some(subject) = Subject::of(item) {
            self.places.remove(&subject);
        }
        self.remove(place)
    }

    fn remove(&mut self, place: u64) -> Option<News> {
        let item = self.items.remove(&place)?;
        self.lines -= usize::from(is_line(&item));
        if let News::Told(Happening::Packet { from, .. }) = &item
            && let Some(packets) = self.packets.get_mut(from)
        {
            *packets -= 1;
        }
        Some(item)
    }

    /// What was not kept since this was asked last, and what to do.
    fn lost_in_words(&mut self) -> Option<String> {
        let (lines, packets) = std::mem::take(&mut self.lost);
        (lines + packets > 0).then(|| {
            format!(
                "the daemon's main thread did not keep up with its heartbeat thread: {lines} log lines and {packets} \
                 packets were dropped; packets are sent again; if it recurs, give this host more CPU"
            )
        })
    }
}

/// Whether an item is one of those of which [`LINES`] wait at most.
fn is_line(item: &News) -> bool {
    matches!(item, News::Line(_) | News::Alarm(_) | News::Mended(_))
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
