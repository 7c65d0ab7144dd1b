//! The machine: all peers of a node.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::Instant;
use haven_types::{BootId, LinkId, NodeId};
use serde::{Deserialize, Serialize};

use super::packet::Packet;
use super::receiver::Receiver;
use super::sender::Sender;
use super::{Class, Input, Output, OverflowCause};

/// Time between greetings to a peer whose boot id is unknown.
const HELLO_EVERY: Duration = Duration::from_millis(100);

/// Exactly-once delivery of small messages to all peers; see the [module](super).
#[derive(Debug)]
pub struct Express {
    boot: BootId,
    links: Vec<LinkId>,
    peers: BTreeMap<NodeId, Peer>,
    malformed: u64,
}

#[derive(Debug)]
struct Peer {
    /// The life we talk to; messages wait in the queue while it is unknown.
    boot: Option<BootId>,
    links: BTreeMap<LinkId, bool>,
    /// Counts transmissions, so that they take turns over the links.
    turn: usize,
    sender: Sender,
    receiver: Receiver,
    hello_at: Option<Instant>,
    due: Option<Instant>,
}

/// What is known of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its present life.
    pub boot: Option<BootId>,
    /// Messages waiting for the window.
    pub queued: usize,
    /// Fragments sent and not acknowledged.
    pub in_flight: usize,
    /// Fragments repeated in this session.
    pub repetitions: u64,
    /// Smoothed round trip time.
    pub round_trip: Option<Duration>,
}

/// The state of the machine for people and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// By peer.
    pub peers: BTreeMap<NodeId, PeerStatus>,
    /// Packets of members that could not be decoded or contradicted others.
    pub malformed: u64,
}

impl Express {
    /// The machine of the life `boot` of a node with these links. Links given here are used for every
    /// peer until [`Input::LinkState`] says otherwise.
    ///
    /// # Panics
    /// Without a link.
    #[must_use]
    pub fn new(boot: BootId, links: Vec<LinkId>) -> Self {
        assert!(!links.is_empty(), "a node has at least one link");
        Self { boot, links, peers: BTreeMap::new(), malformed: 0 }
    }

    /// All change happens here.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Send { to, class, bytes, expires } => {
                self.on_send(now, to, class, bytes, expires, &mut out);
            }
            Input::Received { from, boot, link, bytes } => {
                self.on_received(now, from, boot, link, &bytes, &mut out);
            }
            Input::Heard { from, boot } => {
                if self.peer(from).meet(from, boot, &mut out) {
                    self.flush(now, from, &mut out);
                }
            }
            Input::LinkState { peer, link, up } => {
                let known = self.peer(peer);
                let was_up = known.links.insert(link, up);
                if up && was_up != Some(true) {
                    known.sender.hurry(now);
                }
                self.flush(now, peer, &mut out);
            }
            Input::PeerGone { peer } => {
                self.peers.remove(&peer);
            }
            Input::Tick => {
                let due = |peer: &Peer| peer.due.is_some_and(|due| due <= now);
                let ids: Vec<NodeId> =
                    self.peers.iter().filter(|(_, peer)| due(peer)).map(|(id, _)| *id).collect();
                for id in ids {
                    self.flush(now, id, &mut out);
                }
            }
        }
        out
    }

    /// When the next [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.peers.values().filter_map(|peer| peer.due).min()
    }

    /// The state for people and metrics.
    #[must_use]
    pub fn status(&self) -> Status {
        let of = |peer: &Peer| PeerStatus {
            boot: peer.boot,
            queued: peer.sender.queued(),
            in_flight: peer.sender.flying(),
            repetitions: peer.sender.repetitions(),
            round_trip: peer.sender.rtt(),
        };
        let peers = self.peers.iter().map(|(id, peer)| (*id, of(peer))).collect();
        Status { peers, malformed: self.malformed }
    }

    /// Pieces of messages kept for one peer, for the tests of its bounds.
    #[cfg(test)]
    pub(super) fn held_fragments(&self, id: NodeId) -> usize {
        self.peers.get(&id).map_or(0, |peer| peer.receiver.held())
    }

    fn peer(&mut self, id: NodeId) -> &mut Peer {
        let links = &self.links;
        self.peers.entry(id).or_insert_with(|| Peer::new(links))
    }

    fn on_send(
        &mut self,
        now: Instant,
        to: NodeId,
        class: Class,
        bytes: Vec<u8>,
        expires: Option<Instant>,
        out: &mut Vec<Output>,
    ) {
        let length = bytes.len();
        match self.peer(to).sender.enqueue(class, bytes, expires) {
            Ok(()) => self.flush(now, to, out),
            Err(cause) => out.push(Output::Overflow { to, class, length, cause }),
        }
    }

    fn on_received(
        &mut self,
        now: Instant,
        from: NodeId,
        boot: BootId,
        link: LinkId,
        bytes: &[u8],
        out: &mut Vec<Output>,
    ) {
        let Some(packet) = Packet::decode(bytes) else {
            self.malformed += 1;
            return;
        };
        let here = self.boot;
        let peer = self.peer(from);
        peer.meet(from, boot, out);
        if peer.boot != Some(boot) {
            return;
        }
        match packet {
            Packet::Fragment(fragment) if fragment.to_boot == here => {
                let arrival = peer.receiver.on_fragment(now, link, &fragment);
                for (class, bytes) in arrival.delivered {
                    out.push(Output::Delivered { from, boot, class, bytes });
                }
                self.malformed += u64::from(arrival.malformed);
            }
            Packet::Acknowledgement(acknowledgement) if acknowledgement.to_boot == here => {
                peer.sender.on_acknowledgement(now, &acknowledgement);
            }
            // For an earlier life of ours.
            Packet::Fragment(_) | Packet::Acknowledgement(_) => {}
            Packet::Hello => {
                let bytes = peer.receiver.greeting(boot);
                let links = peer.choose(Some(link), 2);
                transmit(from, &links, bytes, out);
            }
        }
        self.flush(now, from, out);
    }

    /// Sends all that may be sent to a peer now, and notes when to look again.
    fn flush(&mut self, now: Instant, id: NodeId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let expired = peer.sender.expire(now);
        out.extend(expired.into_iter().map(|class| Output::Expired { to: id, class }));
        let Some(boot) = peer.boot else {
            peer.greet(now, id, out);
            return;
        };
        if let Some(reply) = peer.receiver.reply(now, boot) {
            // One acknowledgement stands for several packets: where much is lost it goes twice.
            let copies = if peer.sender.is_lossy() { 2 } else { reply.copies };
            let links = peer.choose(Some(reply.link), copies);
            transmit(id, &links, reply.bytes, out);
        }
        for packet in peer.sender.transmit(now, boot) {
            let links = peer.choose(None, packet.copies);
            transmit(id, &links, packet.bytes, out);
        }
        peer.hello_at = None;
        peer.due = earlier(peer.sender.deadline(), peer.receiver.deadline());
        debug_assert!(peer.due.is_none_or(|due| due > now), "nothing spins");
    }
}

impl Peer {
    fn new(links: &[LinkId]) -> Self {
        Self {
            boot: None,
            links: links.iter().map(|link| (*link, true)).collect(),
            turn: 0,
            sender: Sender::default(),
            receiver: Receiver::default(),
            hello_at: None,
            due: None,
        }
    }

    /// Learns the peer's life; true when it is another than the one known.
    fn meet(&mut self, id: NodeId, boot: BootId, out: &mut Vec<Output>) -> bool {
        match self.boot {
            Some(known) if boot <= known => false,
            None => {
                self.boot = Some(boot);
                true
            }
            Some(_) => {
                let dropped = self.sender.unfinished();
                self.sender = Sender::default();
                self.receiver = Receiver::default();
                self.boot = Some(boot);
                self.due = None;
                out.push(Output::PeerReset { peer: id, boot, dropped });
                true
            }
        }
    }

    /// Asks a peer of unknown life for a sign, as long as something waits for it.
    fn greet(&mut self, now: Instant, id: NodeId, out: &mut Vec<Output>) {
        if self.sender.queued() == 0 {
            self.hello_at = None;
            self.due = None;
            return;
        }
        if self.hello_at.is_none_or(|at| at <= now) {
            let links = self.choose(None, 2);
            transmit(id, &links, Packet::Hello.encode(), out);
            self.hello_at = Some(now + HELLO_EVERY);
        }
        self.due = earlier(self.hello_at, self.sender.deadline());
    }

    /// The links for the copies of a packet, taking turns among those that are up. A lone link carries
    /// the second copy, too, while it loses much.
    fn choose(&mut self, preferred: Option<LinkId>, copies: usize) -> Vec<LinkId> {
        let up: Vec<LinkId> =
            self.links.iter().filter(|(_, up)| **up).map(|(link, _)| *link).collect();
        let usable = if up.is_empty() { self.links.keys().copied().collect() } else { up };
        let first = preferred.and_then(|link| usable.iter().position(|usable| *usable == link));
        let first = first.unwrap_or(self.turn % usable.len());
        self.turn = self.turn.wrapping_add(1);
        let copies = if usable.len() > 1 || self.sender.is_lossy() { copies } else { 1 };
        (0..copies).map(|copy| usable[(first + copy) % usable.len()]).collect()
    }
}

fn transmit(to: NodeId, links: &[LinkId], bytes: Vec<u8>, out: &mut Vec<Output>) {
    if let Some((last, others)) = links.split_last() {
        for link in others {
            out.push(Output::Transmit { to, link: *link, bytes: bytes.clone() });
        }
        out.push(Output::Transmit { to, link: *last, bytes });
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl OverflowCause {
    /// In words, for a log line.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::TooLong => "longer than an express message may be; use the channel",
            Self::QueueFull => "too many messages wait for this peer",
        }
    }
}
