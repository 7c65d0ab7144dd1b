//! Whole machines over a virtual network.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::{Instant, Rng};
use haven_types::{BootId, LinkId, NodeId};

use super::*;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn at(micros: u64) -> Instant {
    Instant::from_nanos(micros * 1_000)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What the network does to a packet.
#[derive(Clone, Copy)]
struct Weather {
    loss_percent: u64,
    duplicate_percent: u64,
    delay: (Duration, Duration),
}

const CALM: Weather = Weather {
    loss_percent: 0,
    duplicate_percent: 0,
    delay: (Duration::from_micros(80), Duration::from_micros(120)),
};
const NOISE: Weather = Weather { loss_percent: 20, duplicate_percent: 0, delay: (ms0(), ms100()) };

const fn ms0() -> Duration {
    Duration::ZERO
}

const fn ms100() -> Duration {
    Duration::from_millis(100)
}

struct Network {
    rng: Rng,
    now: Instant,
    weather: Weather,
    cut: BTreeSet<(NodeId, LinkId)>,
    nodes: BTreeMap<NodeId, (BootId, Express)>,
    flying: BTreeMap<(Instant, u64), (NodeId, Input)>,
    sent: u64,
    /// Everything that came out besides packets: when, at which node, what.
    log: Vec<(Instant, NodeId, Output)>,
}

impl Network {
    fn new(seed: u64, weather: Weather, links: u8) -> Self {
        let links: Vec<LinkId> = (0..links).map(LinkId).collect();
        let node = |boot: u64| (BootId(boot), Express::new(BootId(boot), links.clone()));
        Self {
            rng: Rng::new(seed),
            now: at(1),
            weather,
            cut: BTreeSet::new(),
            nodes: BTreeMap::from([(A, node(10)), (B, node(20))]),
            flying: BTreeMap::new(),
            sent: 0,
            log: Vec::new(),
        }
    }

    fn feed(&mut self, node: NodeId, input: Input) {
        let Some((boot, machine)) = self.nodes.get_mut(&node) else { return };
        let boot = *boot;
        let outputs = machine.step(self.now, input);
        let due = machine.deadline();
        assert!(due.is_none_or(|due| due > self.now), "nothing spins: {due:?} at {:?}", self.now);
        for output in outputs {
            if let Output::Transmit { to, link, bytes } = output {
                assert!(bytes.len() <= MAX_PACKET);
                self.sent += 1;
                self.throw(node, boot, to, link, bytes);
            } else {
                self.log.push((self.now, node, output));
            }
        }
    }

    fn throw(&mut self, from: NodeId, boot: BootId, to: NodeId, link: LinkId, bytes: Vec<u8>) {
        let copies = 1 + u64::from(self.rng.chance(self.weather.duplicate_percent, 100));
        for _ in 0..copies {
            if self.cut.contains(&(from, link)) || self.rng.chance(self.weather.loss_percent, 100) {
                continue;
            }
            let (least, most) = self.weather.delay;
            let arrival = self.now + self.rng.between(least, most) + Duration::from_nanos(1);
            let serial = self.rng.next_u64();
            let input = Input::Received { from, boot, link, bytes: bytes.clone() };
            self.flying.insert((arrival, serial), (to, input));
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, class: Class, bytes: Vec<u8>) {
        self.feed(from, Input::Send { to, class, bytes, expires: None });
    }

    /// Runs until `end`.
    fn run(&mut self, end: Instant) {
        loop {
            let packet = self.flying.keys().next().map(|(when, _)| *when);
            let tick = self.nodes.values().filter_map(|(_, machine)| machine.deadline()).min();
            let next = [packet, tick].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if packet == Some(next) {
                if let Some((_, (to, input))) = self.flying.pop_first() {
                    self.feed(to, input);
                }
            } else {
                let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
                for id in ids {
                    self.feed(id, Input::Tick);
                }
            }
        }
        self.now = end;
    }

    fn restart(&mut self, node: NodeId, boot: u64, links: u8) {
        let links = (0..links).map(LinkId).collect();
        self.nodes.insert(node, (BootId(boot), Express::new(BootId(boot), links)));
    }

    fn delivered(&self, at: NodeId) -> Vec<(Instant, Class, &Vec<u8>)> {
        self.log
            .iter()
            .filter(|(_, node, _)| *node == at)
            .filter_map(|(when, _, output)| match output {
                Output::Delivered { class, bytes, .. } => Some((*when, *class, bytes)),
                Output::Transmit { .. }
                | Output::PeerReset { .. }
                | Output::Overflow { .. }
                | Output::Expired { .. } => None,
            })
            .collect()
    }
}

fn numbered(number: u32, length: usize) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(length.max(4), number as u8);
    bytes
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

#[test]
fn a_message_of_any_length_arrives_whole() {
    for length in [0, 1, FRAGMENT - 1, FRAGMENT, FRAGMENT + 1, 30_000, MAX_MESSAGE] {
        let mut net = Network::new(1, CALM, 2);
        let bytes: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
        net.send(A, B, Class::Unordered, bytes.clone());
        net.run(at(1_000_000));
        let delivered = net.delivered(B);
        assert_eq!(delivered.len(), 1, "length {length}");
        assert_eq!(delivered[0].2, &bytes, "length {length}");
        let status = net.nodes[&A].1.status();
        assert_eq!((status.peers[&B].in_flight, status.peers[&B].queued), (0, 0));
    }
}

#[test]
fn a_quiet_machine_sends_nothing() {
    let mut net = Network::new(1, CALM, 2);
    net.send(A, B, Class::Unordered, vec![1]);
    net.run(at(1_000_000));
    let sent = net.sent;
    net.run(at(60_000_000));
    assert_eq!(net.sent, sent);
    assert!(net.nodes.values().all(|(_, machine)| machine.deadline().is_none()));
}

#[test]
fn messages_in_quick_succession_and_their_copies_have_one_acknowledgement() {
    let mut net = Network::new(1, CALM, 2);
    net.feed(A, Input::Heard { from: B, boot: BootId(20) });
    for n in 0..3 {
        net.send(A, B, Class::Ordered(0), vec![n]);
    }
    net.run(at(1_000_000));
    assert_eq!(net.delivered(B).len(), 3);
    assert_eq!(net.sent, 3 * 2 + 1);
    assert_eq!(net.nodes[&A].1.status().peers[&B].in_flight, 0);
}

#[test]
fn every_message_arrives_exactly_once_and_streams_keep_their_order_in_any_weather() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed + 1_000);
        let weather = Weather {
            loss_percent: rng.below(50),
            duplicate_percent: rng.below(30),
            delay: (ms(0), ms(1 + rng.below(150))),
        };
        let mut net = Network::new(seed, weather, 1 + (seed % 3) as u8);
        let mut expected: BTreeMap<Class, Vec<u32>> = BTreeMap::new();
        for n in 0..200_u32 {
            let class = match rng.below(4) {
                0 => Class::Unordered,
                stream => Class::Ordered(stream as u8),
            };
            expected.entry(class).or_default().push(n);
            let length = if rng.chance(1, 10) { rng.below(60_000) } else { rng.below(900) };
            net.send(A, B, class, numbered(n, length as usize));
            let next = net.now + rng.between(ms(0), ms(30));
            net.run(next);
        }
        let end = net.now + Duration::from_secs(60);
        net.run(end);
        let mut got: BTreeMap<Class, Vec<u32>> = BTreeMap::new();
        for (_, class, bytes) in net.delivered(B) {
            got.entry(class).or_default().push(number(bytes));
        }
        for (class, list) in &mut got {
            if *class == Class::Unordered {
                list.sort_unstable();
            }
        }
        assert_eq!(got, expected, "seed {seed}");
        assert_eq!(net.nodes[&B].1.status().malformed, 0, "seed {seed}");
    }
}

#[test]
fn traffic_in_both_directions_does_not_mix() {
    let mut net = Network::new(5, NOISE, 2);
    for n in 0..100 {
        net.send(A, B, Class::Ordered(1), numbered(n, 10));
        net.send(B, A, Class::Ordered(1), numbered(n + 500, 10));
        let next = net.now + ms(5);
        net.run(next);
    }
    let end = net.now + Duration::from_secs(20);
    net.run(end);
    let numbers = |node| -> Vec<u32> {
        net.delivered(node).iter().map(|(_, _, bytes)| number(bytes)).collect()
    };
    assert_eq!(numbers(B), (0..100).collect::<Vec<_>>());
    assert_eq!(numbers(A), (500..600).collect::<Vec<_>>());
}

/// Sends one small message every 20 ms; the delays until delivery, sorted.
fn latencies(seed: u64, weather: Weather, links: u8, count: u32) -> Vec<Duration> {
    let mut net = Network::new(seed, weather, links);
    net.feed(A, Input::Heard { from: B, boot: BootId(20) });
    let mut sent = BTreeMap::new();
    for n in 0..count {
        sent.insert(n, net.now);
        net.send(A, B, Class::Unordered, numbered(n, 200));
        let next = net.now + ms(20);
        net.run(next);
    }
    let end = net.now + Duration::from_secs(10);
    net.run(end);
    let mut delays: Vec<Duration> =
        net.delivered(B).iter().map(|(when, _, bytes)| *when - sent[&number(bytes)]).collect();
    assert_eq!(delays.len(), sent.len(), "all delivered");
    delays.sort_unstable();
    delays
}

#[test]
fn twenty_percent_loss_and_a_hundred_milliseconds_of_jitter_cost_little() {
    for (links, p50, p99) in [(1, 110, 600), (2, 80, 400), (4, 80, 400)] {
        let delays: Vec<Duration> =
            (0..10).flat_map(|seed| latencies(seed, NOISE, links, 500)).collect();
        let mut delays = delays;
        delays.sort_unstable();
        let share = |percent: usize| delays[delays.len() * percent / 100];
        let (half, most, worst) = (share(50), share(99), delays[delays.len() - 1]);
        println!("{links} links in noise: p50 {half:?}, p99 {most:?}, worst {worst:?}");
        assert!(half <= ms(p50), "{links} links: p50 {half:?}");
        assert!(most <= ms(p99), "{links} links: p99 {most:?}");
    }
}

#[test]
fn the_longest_message_crosses_the_noise_within_seconds() {
    let mut worst = Duration::ZERO;
    for seed in 0..40 {
        let mut net = Network::new(seed, NOISE, 2);
        net.feed(A, Input::Heard { from: B, boot: BootId(20) });
        let begun = net.now;
        net.send(A, B, Class::Unordered, vec![1; MAX_MESSAGE]);
        net.run(at(20_000_000));
        worst = worst.max(net.delivered(B)[0].0 - begun);
    }
    println!("64 KiB in noise on two links: worst {worst:?}");
    assert!(worst <= ms(1_500), "{worst:?}");
}

#[test]
fn a_small_message_does_not_wait_for_large_ones_or_for_another_stream() {
    let mut net = Network::new(3, NOISE, 2);
    net.feed(A, Input::Heard { from: B, boot: BootId(20) });
    for _ in 0..40 {
        net.send(A, B, Class::Ordered(1), vec![0; MAX_MESSAGE]);
    }
    let mut sent = BTreeMap::new();
    for n in 0..100 {
        sent.insert(n, net.now);
        net.send(A, B, Class::Ordered(2), numbered(n, 50));
        let next = net.now + ms(50);
        net.run(next);
    }
    let end = net.now + Duration::from_secs(30);
    net.run(end);
    let delivered = net.delivered(B);
    assert_eq!(delivered.iter().filter(|(_, class, _)| *class == Class::Ordered(1)).count(), 40);
    let mut delays: Vec<Duration> = delivered
        .iter()
        .filter(|(_, class, _)| *class == Class::Ordered(2))
        .map(|(when, _, bytes)| *when - sent[&number(bytes)])
        .collect();
    delays.sort_unstable();
    assert_eq!(delays.len(), 100);
    assert!(delays[50] <= ms(150), "p50 beside bulk {:?}", delays[50]);
    assert!(delays[98] <= ms(700), "p99 beside bulk {:?}", delays[98]);
}

#[test]
fn one_link_in_each_direction_is_enough() {
    let mut net = Network::new(4, CALM, 2);
    // Link 0 works only from A to B, link 1 only from B to A, and nobody has noticed.
    net.cut = BTreeSet::from([(A, LinkId(1)), (B, LinkId(0))]);
    for n in 0..50 {
        net.send(A, B, Class::Ordered(0), numbered(n, 3_000));
        let next = net.now + ms(10);
        net.run(next);
    }
    let end = net.now + Duration::from_secs(5);
    net.run(end);
    assert_eq!(net.delivered(B).len(), 50);
    assert_eq!(net.nodes[&A].1.status().peers[&B].in_flight, 0, "acknowledged by the other link");
}

#[test]
fn after_an_outage_everything_goes_at_once_when_a_link_is_back() {
    let mut net = Network::new(4, CALM, 1);
    net.feed(A, Input::Heard { from: B, boot: BootId(20) });
    net.cut.insert((A, LinkId(0)));
    net.feed(A, Input::LinkState { peer: B, link: LinkId(0), up: false });
    for n in 0..10 {
        net.send(A, B, Class::Ordered(0), numbered(n, 10));
    }
    let back = at(20_000_000);
    net.run(back);
    let sent = net.sent;
    assert!(sent < 10 * 60, "patient while it is down: {sent} packets in 20 s");
    net.cut.clear();
    net.feed(A, Input::LinkState { peer: B, link: LinkId(0), up: true });
    net.run(back + ms(5));
    assert_eq!(net.delivered(B).len(), 10, "within 5 ms of the link's return");
}

#[test]
fn a_restarted_peer_is_reported_and_gets_nothing_that_was_meant_for_its_earlier_life() {
    for seed in 0..30 {
        let mut net = Network::new(seed, NOISE, 2);
        net.feed(A, Input::Heard { from: B, boot: BootId(20) });
        for n in 0..30 {
            net.send(A, B, Class::Ordered(0), numbered(n, 2_000));
            let next = net.now + ms(3);
            net.run(next);
        }
        net.restart(B, 21, 2);
        let restarted = net.now;
        // Its first beats arrive.
        net.feed(A, Input::Heard { from: B, boot: BootId(21) });
        let resets: Vec<_> = net
            .log
            .iter()
            .filter(|(_, _, output)| matches!(output, Output::PeerReset { .. }))
            .collect();
        assert_eq!(resets.len(), 1, "seed {seed}");
        assert!(matches!(
            resets[0],
            (_, A, Output::PeerReset { peer: B, boot: BootId(21), dropped: 1.. })
        ));
        for n in 100..130 {
            net.send(A, B, Class::Ordered(0), numbered(n, 500));
        }
        let end = net.now + Duration::from_secs(20);
        net.run(end);
        let after: Vec<u32> = net
            .delivered(B)
            .iter()
            .filter(|(when, _, _)| *when >= restarted)
            .map(|(_, _, bytes)| number(bytes))
            .collect();
        assert_eq!(after, (100..130).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn packets_of_an_earlier_life_are_ignored() {
    let mut net = Network::new(1, CALM, 1);
    net.send(A, B, Class::Unordered, vec![1]);
    net.run(at(100_000));
    let mut b = Express::new(BootId(20), vec![LinkId(0)]);
    let now = at(200_000);
    assert!(b.step(now, Input::Heard { from: A, boot: BootId(11) }).is_empty());
    let hello = Input::Received { from: A, boot: BootId(10), link: LinkId(0), bytes: vec![3] };
    assert!(b.step(now, hello).is_empty());
}

fn packets(out: Vec<Output>) -> Vec<Vec<u8>> {
    let sent = out.into_iter().filter_map(|output| match output {
        Output::Transmit { bytes, .. } => Some(bytes),
        Output::Delivered { .. }
        | Output::PeerReset { .. }
        | Output::Overflow { .. }
        | Output::Expired { .. } => None,
    });
    sent.collect()
}

#[test]
fn a_copy_measures_nothing_and_a_repetition_is_acknowledged_twice_at_once() {
    let now = at(1_000);
    let mut a = Express::new(BootId(10), vec![LinkId(0), LinkId(1)]);
    let mut b = Express::new(BootId(20), vec![LinkId(0), LinkId(1)]);
    a.step(now, Input::Heard { from: B, boot: BootId(20) });
    let send = Input::Send { to: B, class: Class::Unordered, bytes: vec![7], expires: None };
    let sent = packets(a.step(now, send));
    assert_eq!(sent.len(), 2);
    let to_b = |link: u8| {
        let (from, boot, bytes) = (A, BootId(10), sent[0].clone());
        Input::Received { from, boot, link: LinkId(link), bytes }
    };
    b.step(now, to_b(0));
    b.step(now + ms(1), to_b(1));
    let answers = packets(b.step(now + ms(2), Input::Tick));
    assert_eq!(answers.len(), 1);
    let (from, boot, link) = (B, BootId(20), LinkId(0));
    a.step(now + ms(2), Input::Received { from, boot, link, bytes: answers[0].clone() });
    assert_eq!(a.status().peers[&B].round_trip, Some(ms(0)), "that of the first copy");
    // As if the answer had been lost.
    assert_eq!(packets(b.step(now + ms(12), to_b(0))).len(), 2);
}

#[test]
fn where_packets_are_lost_acknowledgements_go_twice() {
    let weather = Weather { loss_percent: 20, duplicate_percent: 0, delay: (ms(5), ms(5)) };
    let mut net = Network::new(3, weather, 2);
    net.feed(A, Input::Heard { from: B, boot: BootId(20) });
    net.feed(B, Input::Heard { from: A, boot: BootId(10) });
    for n in 0..1_000 {
        net.send(A, B, Class::Unordered, numbered(n, 10));
        net.send(B, A, Class::Unordered, numbered(n, 10));
        let next = net.now + ms(20);
        net.run(next);
    }
    let repeated = net.nodes[&A].1.status().peers[&B].repetitions;
    println!("repeated of 1,000: {repeated}");
    assert!(repeated < 160, "{repeated}");
}

#[test]
fn a_greeting_that_comes_late_measures_nothing() {
    // The host was started not long ago: the clock still reads like a round trip.
    let now = Instant::from_nanos(40_000_000_000);
    let mut a = Express::new(BootId(1), vec![LinkId(0)]);
    let mut b = Express::new(BootId(2), vec![LinkId(0)]);
    let send = || {
        let (to, class, bytes) = (B, Class::Ordered(1), vec![7]);
        Input::Send { to, class, bytes, expires: None }
    };
    let (to_a, to_b) = ((B, BootId(2)), (A, BootId(1)));
    let received = |(from, boot), bytes| Input::Received { from, boot, link: LinkId(0), bytes };
    let hello = packets(a.step(now, send())).remove(0);
    let (from, boot) = to_a;
    let first = packets(a.step(now, Input::Heard { from, boot })).remove(0);
    b.step(now, received(to_b, first));
    let later = now + ms(2);
    assert!(!packets(b.step(later, Input::Tick)).is_empty(), "its answer is lost");
    for greeting in packets(b.step(later, received(to_b, hello))) {
        a.step(later, received(to_a, greeting));
    }
    assert_eq!(a.status().peers[&B].in_flight, 0, "the greeting says what has arrived");
    assert_eq!(a.status().peers[&B].round_trip, None);
    a.step(now, send());
    assert!(a.deadline().is_some_and(|at| at <= now + ms(100)), "{:?}", a.deadline());
}

#[test]
fn a_peer_never_heard_is_greeted_and_the_queue_is_bounded() {
    let mut a = Express::new(BootId(1), vec![LinkId(0), LinkId(1)]);
    let mut overflow = 0;
    let mut greetings = 0;
    for n in 0..MAX_QUEUED + 10 {
        let class = Class::Ordered((n % 3) as u8);
        for output in a.step(at(1), Input::Send { to: B, class, bytes: vec![0], expires: None }) {
            match &output {
                Output::Transmit { .. } => greetings += 1,
                Output::Overflow { cause: OverflowCause::QueueFull, length: 1, .. } => {
                    overflow += 1;
                }
                Output::Overflow { .. }
                | Output::Delivered { .. }
                | Output::PeerReset { .. }
                | Output::Expired { .. } => panic!("not expected: {output:?}"),
            }
        }
    }
    assert_eq!((overflow, greetings), (10, 2));
    assert_eq!(a.deadline(), Some(at(1) + ms(100)));
    let bytes = vec![0; MAX_MESSAGE + 1];
    let refused =
        a.step(at(2), Input::Send { to: B, class: Class::Unordered, bytes, expires: None });
    let (class, length, cause) = (Class::Unordered, MAX_MESSAGE + 1, OverflowCause::TooLong);
    assert_eq!(refused, [Output::Overflow { to: B, class, length, cause }]);
    a.step(at(3), Input::PeerGone { peer: B });
    assert_eq!(a.deadline(), None);
}

#[test]
fn the_bytes_of_a_queue_are_bounded() {
    let mut a = Express::new(BootId(1), vec![LinkId(0)]);
    let mut taken = 0;
    for _ in 0..100 {
        let bytes = vec![0; MAX_MESSAGE];
        let class = Class::Unordered;
        let outputs = a.step(at(1), Input::Send { to: B, class, bytes, expires: None });
        taken += usize::from(!matches!(outputs.last(), Some(Output::Overflow { .. })));
    }
    assert_eq!(taken, MAX_QUEUED_BYTES / MAX_MESSAGE);
}

#[test]
fn a_message_that_could_not_leave_in_time_is_dropped_and_said_so() {
    let mut net = Network::new(1, CALM, 1);
    net.cut.insert((A, LinkId(0)));
    let expires = Some(at(500_000));
    let class = Class::Ordered(0);
    net.feed(A, Input::Send { to: B, class, bytes: numbered(1, 10), expires });
    net.send(A, B, class, numbered(2, 10));
    net.run(at(600_000));
    assert!(net.log.contains(&(at(500_000), A, Output::Expired { to: B, class })));
    net.cut.clear();
    net.run(at(2_000_000));
    let numbers: Vec<u32> = net.delivered(B).iter().map(|(_, _, bytes)| number(bytes)).collect();
    assert_eq!(numbers, [2], "the stream goes on without it");
}

#[test]
fn a_member_that_breaks_the_protocol_neither_panics_nor_fills_memory() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let mut b = Express::new(BootId(20), vec![LinkId(0)]);
        for step in 0..5_000_u64 {
            let packet = packet::Packet::Fragment(packet::Fragment {
                to_boot: BootId(20),
                stamp: rng.next_u64() as u32,
                number: rng.below(step + 600),
                index: rng.below(4) as u16,
                count: 1 + rng.below(5) as u16,
                class: Class::Ordered(rng.below(3) as u8),
                order: rng.below(800),
                bytes: &[7; FRAGMENT],
            });
            let ack = packet::Packet::Acknowledgement(packet::Acknowledgement {
                to_boot: BootId(20),
                echo: rng.next_u64() as u32,
                held: rng.next_u64() as u32,
                below: rng.below(50),
                bitmap: &rng.next_u64().to_be_bytes(),
            });
            let mut bytes = if rng.chance(3, 4) { packet.encode() } else { ack.encode() };
            if rng.chance(1, 4) {
                let place = rng.below(bytes.len() as u64) as usize;
                bytes[place] ^= 1 << rng.below(8);
            }
            let (from, boot, link) = (A, BootId(10), LinkId(0));
            let now = at(step * 100);
            b.step(now, Input::Received { from, boot, link, bytes });
            if rng.chance(1, 10) {
                let class = Class::Unordered;
                b.step(now, Input::Send { to: A, class, bytes: vec![1; 5_000], expires: None });
            }
            b.step(now, Input::Tick);
        }
        assert!(b.status().malformed > 0);
        assert!(b.held_fragments(A) <= 3 * 512 + 600, "{}", b.held_fragments(A));
    }
}
