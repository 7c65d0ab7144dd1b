//! Frames and express together: three nodes, two links, noise, restarts, and an attacker who records
//! every datagram and plays recordings back, whole or changed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::{Instant, Rng};
use haven_messaging::express::{Class, Input, Output};
use haven_messaging::{ClusterKey, Express, Frames, KeyChange, Keyring, Kind, Local, Rejected};
use haven_types::{BootId, LinkId, NodeId};

const BEAT: Duration = Duration::from_millis(15);
const LINKS: [LinkId; 2] = [LinkId(0), LinkId(1)];
const SWITCH: Duration = Duration::from_millis(400);
const RETIRE: Duration = Duration::from_millis(1_200);

/// A process.
struct Node {
    local: Local,
    frames: Frames,
    express: Express,
    keys: KeyChange,
    next_beat: Instant,
    /// Messages this life gave to express, by receiver and class.
    sent: BTreeMap<(NodeId, Class), u64>,
}

/// A message names its sender's life and the life it was meant for, and counts.
fn message(from: Local, class_count: u64, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = from.boot.0.to_be_bytes().to_vec();
    bytes.extend(class_count.to_be_bytes());
    let length = if rng.chance(1, 10) { rng.below(8_000) } else { rng.below(200) };
    bytes.resize(16 + usize::try_from(length).unwrap(), 7);
    bytes
}

struct World {
    rng: Rng,
    now: Instant,
    nodes: BTreeMap<NodeId, Node>,
    boots: u64,
    flying: BTreeMap<(Instant, u64), (NodeId, Vec<u8>)>,
    recorded: Vec<(NodeId, Vec<u8>)>,
    noisy: bool,
    /// What each life delivered, by sender, sender's life and class.
    delivered: BTreeMap<(Life, NodeId, BootId, Class), Vec<u64>>,
    accepted_beats: u64,
    beats_seen: BTreeSet<(Life, NodeId, Vec<u8>)>,
    rejected: BTreeMap<&'static str, u64>,
    key: ClusterKey,
}

/// A life of a node.
type Life = (NodeId, BootId);

fn key(epoch: u32) -> ClusterKey {
    ClusterKey { epoch, secret: [u8::try_from(epoch).unwrap(); 32] }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            rng: Rng::new(seed),
            now: Instant::from_nanos(1),
            nodes: BTreeMap::new(),
            boots: 0,
            flying: BTreeMap::new(),
            recorded: Vec::new(),
            noisy: true,
            delivered: BTreeMap::new(),
            accepted_beats: 0,
            beats_seen: BTreeSet::new(),
            rejected: BTreeMap::new(),
            key: key(1),
        };
        for id in 1..=3 {
            world.boot(NodeId(id));
        }
        world
    }

    fn boot(&mut self, id: NodeId) {
        self.boots += 1 + self.rng.below(3);
        let local = Local { node: id, boot: BootId(self.boots), salt: self.rng.next_u64() };
        // A restarted process reads its ring from its disk.
        let ring = self
            .nodes
            .get(&id)
            .map_or_else(|| Keyring::new(self.key.clone()), |before| before.keys.ring().clone());
        let keys = KeyChange::new(self.now, ring, SWITCH, RETIRE);
        let mut frames = Frames::new(local, keys.ring().clone());
        frames.set_members(self.now, &(1..=3).map(NodeId).collect());
        let express = Express::new(local.boot, LINKS.to_vec());
        let sent = BTreeMap::new();
        let next_beat = self.now;
        self.nodes.insert(id, Node { local, frames, express, keys, next_beat, sent });
    }

    fn throw(&mut self, from: NodeId, to: NodeId, link: LinkId, kind: Kind, payload: &[u8]) {
        let mut datagram = Vec::new();
        let node = self.nodes.get_mut(&from).unwrap();
        node.frames.seal(to, link, kind, payload, &mut datagram).unwrap();
        if self.recorded.len() < 5_000 {
            self.recorded.push((to, datagram.clone()));
        }
        if !(self.noisy && self.rng.chance(1, 5)) {
            self.fly(to, datagram);
        }
    }

    fn fly(&mut self, to: NodeId, datagram: Vec<u8>) {
        let longest = Duration::from_millis(if self.noisy { 100 } else { 1 });
        let arrival = self.now + self.rng.between(Duration::ZERO, longest);
        let serial = self.rng.next_u64();
        self.flying.insert((arrival, serial), (to, datagram));
    }

    fn step(&mut self, id: NodeId, input: Input) {
        let outputs = self.nodes.get_mut(&id).unwrap().express.step(self.now, input);
        for output in outputs {
            match output {
                Output::Transmit { to, link, bytes } => {
                    self.throw(id, to, link, Kind::Express, &bytes);
                }
                Output::Delivered { from, boot, class, bytes } => {
                    let said = BootId(u64::from_be_bytes(bytes[..8].try_into().unwrap()));
                    assert_eq!(said, boot, "delivered under the life that sent it");
                    let number = u64::from_be_bytes(bytes[8..16].try_into().unwrap());
                    let local = self.nodes[&id].local;
                    let place = ((id, local.boot), from, boot, class);
                    self.delivered.entry(place).or_default().push(number);
                }
                Output::PeerReset { peer, boot, .. } => assert_eq!(
                    self.nodes[&id].frames.peer_boot(peer),
                    Some(boot),
                    "reset to the accepted life"
                ),
                Output::Overflow { .. } | Output::Expired { .. } => panic!("{output:?}"),
            }
        }
    }

    fn arrive(&mut self, to: NodeId, mut datagram: Vec<u8>) {
        let now = self.now;
        let node = self.nodes.get_mut(&to).unwrap();
        let life = (to, node.local.boot);
        match node.frames.open(now, &mut datagram) {
            Ok(opened) => {
                let (from, boot, link) = (opened.from, opened.boot, opened.link);
                let bytes = opened.payload.to_vec();
                match opened.kind {
                    Kind::Beat => {
                        self.accepted_beats += 1;
                        let new = self.beats_seen.insert((life, from, bytes));
                        assert!(new, "a beat's copy was accepted twice");
                        self.step(to, Input::Heard { from, boot });
                    }
                    Kind::Express => self.step(to, Input::Received { from, boot, link, bytes }),
                }
            }
            Err(rejected) => {
                assert!(
                    !matches!(rejected, Rejected::DuplicateId { node, .. } if node == to),
                    "no node is told that its own id is used twice"
                );
                *self.rejected.entry(rejected.reason()).or_default() += 1;
            }
        }
    }

    fn beats(&mut self) {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in &ids {
            let node = self.nodes.get_mut(id).unwrap();
            if node.next_beat > self.now {
                continue;
            }
            node.next_beat = self.now + BEAT;
            if node.keys.tick(self.now) {
                node.frames.set_keys(node.keys.ring().clone());
            }
            for to in ids.iter().filter(|to| *to != id) {
                for link in LINKS {
                    let stamp = [self.now.as_nanos(), u64::from(link.0)];
                    let beat: Vec<u8> = stamp.iter().flat_map(|part| part.to_be_bytes()).collect();
                    self.throw(*id, *to, link, Kind::Beat, &beat);
                }
            }
        }
    }

    fn attack(&mut self) {
        if self.recorded.is_empty() {
            return;
        }
        let place = usize::try_from(self.rng.below(self.recorded.len() as u64)).unwrap();
        let (to, mut datagram) = self.recorded[place].clone();
        if self.rng.chance(1, 3) {
            let place = usize::try_from(self.rng.below(datagram.len() as u64)).unwrap();
            datagram[place] ^= 1 << self.rng.below(8);
        }
        self.fly(to, datagram);
    }

    fn chatter(&mut self) {
        let from = NodeId(1 + u16::try_from(self.rng.below(3)).unwrap());
        let to = NodeId(1 + u16::try_from(self.rng.below(3)).unwrap());
        // A node speaks to lives it has heard, as a daemon does.
        if from == to || self.nodes[&from].frames.peer_boot(to).is_none() {
            return;
        }
        let class = [Class::Unordered, Class::Ordered(1), Class::Ordered(2)]
            [usize::try_from(self.rng.below(3)).unwrap()];
        let node = self.nodes.get_mut(&from).unwrap();
        let count = node.sent.entry((to, class)).or_default();
        *count += 1;
        let bytes = message(node.local, *count, &mut self.rng);
        self.step(from, Input::Send { to, class, bytes, expires: None });
    }

    /// Lets this much time pass; `busy` adds messages and attacks.
    fn run(&mut self, time: Duration, busy: bool) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(1);
            self.beats();
            if busy && self.rng.chance(1, 4) {
                self.chatter();
            }
            if self.rng.chance(1, 3) {
                self.attack();
            }
            while let Some(entry) = self.flying.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let (to, datagram) = entry.remove();
                self.arrive(to, datagram);
            }
            let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
            for id in ids {
                self.step(id, Input::Tick);
            }
        }
    }

    fn check_order(&self, seed: u64) {
        for ((life, from, boot, class), numbers) in &self.delivered {
            let place = format!("seed {seed}: {life:?} from {from} boot {boot} {class:?}");
            let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
            assert_eq!(distinct.len(), numbers.len(), "{place}: twice");
            if *class != Class::Unordered {
                let rising = numbers.windows(2).all(|pair| pair[0] < pair[1]);
                assert!(rising, "{place}: out of order: {numbers:?}");
            }
        }
    }
}

#[test]
fn restarts_noise_and_recordings_cost_no_message_its_order_and_deliver_none_twice() {
    for seed in 0..12 {
        let mut world = World::new(seed);
        for _ in 0..4 {
            world.run(Duration::from_millis(700), true);
            let victim = NodeId(1 + u16::try_from(world.rng.below(3)).unwrap());
            world.boot(victim);
        }
        world.run(Duration::from_millis(700), true);
        world.check_order(seed);
        // The faults end, recordings are still played back: what is sent now arrives.
        world.noisy = false;
        world.run(Duration::from_secs(5), false);
        let sent = |world: &World| -> u64 {
            world.nodes.values().flat_map(|node| node.sent.values()).sum()
        };
        let sent_before = sent(&world);
        let before = world.delivered.clone();
        for _ in 0..200 {
            world.run(Duration::from_millis(1), true);
        }
        world.run(Duration::from_secs(3), false);
        world.check_order(seed);
        let total = sent(&world) - sent_before;
        let count = |all: &BTreeMap<_, Vec<u64>>| all.values().map(|list| list.len() as u64).sum();
        let (after, earlier): (u64, u64) = (count(&world.delivered), count(&before));
        assert!(total > 20, "seed {seed}: {total}");
        assert_eq!(after - earlier, total, "seed {seed}: all of the calm phase arrived");
        assert!(world.accepted_beats > 3_000, "seed {seed}: {}", world.accepted_beats);
        assert!(world.rejected["replayed"] > 50, "seed {seed}: {:?}", world.rejected);
    }
}

#[test]
fn a_key_change_under_noise_interrupts_nobody() {
    for seed in 0..5 {
        let mut world = World::new(seed);
        world.run(Duration::from_millis(500), true);
        // The entry is applied at different times on the nodes.
        for id in 1..=3 {
            let now = world.now;
            let node = world.nodes.get_mut(&NodeId(id)).unwrap();
            node.keys.install(now, key(2), SWITCH, RETIRE).unwrap();
            node.frames.set_keys(node.keys.ring().clone());
            world.run(Duration::from_millis(100), true);
        }
        world.run(Duration::from_millis(2_500), true);
        for node in world.nodes.values() {
            assert_eq!(node.keys.ring(), &Keyring::new(key(2)), "seed {seed}: the old one is gone");
        }
        world.check_order(seed);
        let lost = world.rejected.get("wrong_key").copied().unwrap_or(0);
        assert!(lost < 60, "seed {seed}: {:?}", world.rejected);
        world.noisy = false;
        let before = world.accepted_beats;
        world.run(Duration::from_millis(300), false);
        let beats = world.accepted_beats - before;
        assert!(beats >= 220, "seed {seed}: {beats} of 240 beats accepted in 300 ms");
        assert!(world.rejected.contains_key("retired_key"), "recordings under the old key");
    }
}
