//! Packets of strangers at an owner's heartbeat port, far more than a cluster sends.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io::Write as _;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use haven_lab::topology::HEARTBEAT_PORT;
use haven_lab::{Family, Net, Place, namespace, wait};
use haven_messaging::{ClusterKey, Frames, Keyring, Kind, Local};
use haven_netns_tests::{Lab, assert_unmoved, lab};
use haven_types::{BootId, LinkId, NodeId};

const FLOOD: Duration = Duration::from_secs(4);
/// What waits in the socket's buffer after the flood is read and counted within it.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// Processor time that a thousand of them may take: seven times what they were seen to, most of it the kernel's.
const COST_LIMIT: Duration = Duration::from_millis(50);
/// Datagrams in each millisecond of the flood: of any bytes, and of another cluster.
const RANDOM: usize = 50;
const SEALED: usize = 5;
const REASONS: [(&str, &str); 2] = [
    ("datagrams_refused_malformed", "no frame of a cluster"),
    ("datagrams_refused_wrong_key", "uses key 1"),
];

/// Datagrams of any bytes and any length.
fn random() -> Vec<Vec<u8>> {
    let mut rng = haven_base::Rng::new(1);
    let mut one = || {
        let length = usize::try_from(rng.next_u64() % 1400).unwrap();
        (0..=length).map(|_| rng.next_u64().to_le_bytes()[0]).collect()
    };
    (0..512).map(|_| one()).collect()
}

/// Frames of another cluster, under the name of member `from`.
fn another_cluster(from: NodeId, to: NodeId) -> Vec<Vec<u8>> {
    let local = Local { node: from, boot: BootId(7), salt: 7 };
    let mut frames = Frames::new(local, Keyring::new(ClusterKey { epoch: 1, secret: [7; 32] }));
    frames.set_members(haven_base::Instant::ZERO, &[to].into());
    let mut one = || {
        let mut frame = Vec::new();
        frames.seal(to, LinkId(1), Kind::Beat, &[7; 200], &mut frame).unwrap();
        frame
    };
    (0..512).map(|_| one()).collect()
}

/// Sends from the clients' network; how many left, and how long that took: longer than wanted where the sender waits
/// for a processor.
fn flood(lab: &Lab, owner: &str) -> (u64, Duration) {
    let topology = lab.cluster.bed.topology();
    let node = topology.node(owner).unwrap();
    let other = topology.nodes.iter().find(|other| other.name != owner).unwrap();
    let [from, to] = [other, node].map(|node| NodeId(u16::from(node.index)));
    let kinds = [(RANDOM, random()), (SEALED, another_cluster(from, to))];
    let target = (topology.link_address(node, Net::Client), HEARTBEAT_PORT);
    let socket = namespace::within(&topology.namespace(&Place::Client), || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(target).unwrap();
        Ok(socket)
    });
    let (socket, begun, mut sent, mut round) = (socket.unwrap(), Instant::now(), 0, 0);
    while (round as u128) < FLOOD.as_millis() {
        for (count, datagrams) in &kinds {
            let all = datagrams.iter().cycle().skip(round * count % datagrams.len());
            sent += all.take(*count).filter(|it| socket.send(it).is_ok()).count() as u64;
        }
        round += 1;
        // paced: so many in a millisecond; what was late is made up for.
        let next = begun + Duration::from_millis(u64::try_from(round).unwrap());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    (sent, begun.elapsed())
}

fn refused(lab: &Lab, owner: &str) -> [u64; 2] {
    let counters = lab.json(owner, &["node", "counters"]);
    REASONS.map(|(counter, _)| counters[counter].as_u64().unwrap_or_default())
}

/// Datagrams that the kernel dropped before the owner's programs could read them: no room in a socket's buffer, or in
/// a processor's queue of packets that came.
fn dropped(lab: &Lab, owner: &str) -> u64 {
    let name = lab.cluster.bed.topology().namespace(&Place::Node(owner.to_owned()));
    let read = || Ok(std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
    let text = namespace::within(&name, read).unwrap();
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    let mut pairs = names.split(' ').zip(values.split(' '));
    let errors = pairs.find(|(name, _)| *name == "InErrors").unwrap().1;
    // The second column, in hexadecimal; a line for each processor.
    let queues = std::fs::read_to_string("/proc/net/softnet_stat").unwrap();
    let queues = queues.lines().map(|line| line.split_whitespace().nth(1).unwrap());
    let queued: u64 = queues.map(|count| u64::from_str_radix(count, 16).unwrap()).sum();
    errors.parse::<u64>().unwrap() + queued
}

fn busy(lab: &Lab, owner: &str) -> Duration {
    let cluster = &lab.cluster;
    cluster.bed.usage(owner, cluster.system.is_daemon()).unwrap().cpu
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn fifty_five_thousand_packets_of_strangers_a_second_move_nothing_and_are_counted() {
    let Some(lab) = lab("st-flood", 3, false, Family::V4) else { return };
    let located = lab.haven("n1", &["resource", "locate", "vip"]).unwrap();
    let owner = located.trim().rsplit(' ').next().unwrap().to_owned();
    let measuring = lab.measure();
    let idle = busy(&lab, &owner);
    // paced: what it takes without a flood, for as long.
    std::thread::sleep(FLOOD);
    let (before, from, lost) = (busy(&lab, &owner), refused(&lab, &owner), dropped(&lab, &owner));
    let (sent, took) = flood(&lab, &owner);
    let after = busy(&lab, &owner);
    let mut counted = [0; 2];
    let mut lost_now = lost;
    let all_accounted = wait::until(READ_LIMIT, Duration::from_millis(50), || {
        let to = refused(&lab, &owner);
        counted = [0, 1].map(|at: usize| to[at].saturating_sub(from[at]));
        lost_now = dropped(&lab, &owner);
        counted[0] + counted[1] + (lost_now - lost) >= sent
    });
    let report = measuring.finish().unwrap();
    let (all, lost) = (counted[0] + counted[1], lost_now - lost);
    let more = (after - before).saturating_sub(before - idle);
    let thousand = more / u32::try_from(all / 1000).unwrap().max(1);
    writeln!(
        std::io::stderr(),
        "sent {sent} in {took:?}, refused {counted:?}, dropped by the kernel {lost}, {thousand:?} of processor time for 1,000; \
         busy {:.1} %, without {:.1} %",
        100.0 * (after - before).as_secs_f64() / took.as_secs_f64(),
        100.0 * (before - idle).as_secs_f64() / FLOOD.as_secs_f64(),
    )
    .unwrap();
    assert_unmoved(&report);
    assert!(all <= sent, "{counted:?} of {sent}");
    // What was late is made up for; at half the pace it still is a flood.
    assert!(
        sent > 50_000 * FLOOD.as_secs() && took < 2 * FLOOD,
        "no such flood: {sent} in {took:?}"
    );
    assert!(counted[0] > 20_000 && counted[1] > 2_000, "{counted:?} of {sent}");
    // What the kernel dropped is no datagram for the daemon; others have drops there as well, a few.
    assert!(
        all_accounted,
        "{counted:?} counted and {lost} dropped of {sent}: where are the others?"
    );
    assert!(thousand <= COST_LIMIT, "{thousand:?} of processor time for a thousand");
    for (_, words) in REASONS {
        let log = lab.log(&owner);
        let lines = log.lines().filter(|line| line.contains("refused: ") && line.contains(words));
        let lines: Vec<_> = lines.collect();
        assert!((1..=2).contains(&lines.len()), "one line in ten seconds: {lines:#?}");
        assert!(lines[0].contains("[[link]] port"), "what to do: {lines:#?}");
    }
    let status = lab.json(&owner, &["status"]);
    assert_eq!(status["quorum"]["present"], 3, "{status}");
}
