//! The bed on a real kernel: faults do what they say and no more, the judge sees what happened,
//! and nothing is left behind. Needs root.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use haven_lab::system::SystemKind;
use haven_lab::{
    Bed, BedOptions, Family, Fault, MeasureOptions, Measuring, Net, Noise, Place, Topology,
    namespace, processes, wait,
};
use haven_skipped::skip;

/// A bed that removes itself.
struct Fixture {
    bed: Bed,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let name = self.bed.topology().name.clone();
        Bed::remove(&name, Some(self.bed.dir().to_owned())).unwrap();
    }
}

/// A bed of three nodes called `name`, or `None` with a word why not.
fn fixture(name: &str, family: Family) -> Option<Fixture> {
    if !rustix::process::geteuid().is_root() {
        skip("it needs root", &format!("bed {name}"));
        return None;
    }
    // Cargo builds the example beside the tests: it is `haven lab` alone.
    let tests = std::env::current_exe().unwrap();
    let haven = tests.parent().unwrap().parent().unwrap().join("examples/lab");
    assert!(haven.exists(), "{} is built by cargo test", haven.display());
    let topology = Topology::new(name, 3, false, family).unwrap();
    let dir = std::env::temp_dir().join(format!("haven-lab-test-{name}"));
    let (config, system) = (String::new(), SystemKind::Haven);
    let bed = Bed::create(BedOptions { topology, dir: Some(dir), haven, config, system }).unwrap();
    Some(Fixture { bed })
}

fn node(name: &str) -> Place {
    Place::Node(name.to_owned())
}

fn socket(bed: &Bed, place: &Place, address: IpAddr) -> UdpSocket {
    let namespace = bed.topology().namespace(place);
    namespace::within(&namespace, || Ok(UdpSocket::bind(SocketAddr::new(address, 0)).unwrap()))
        .unwrap()
}

/// Packets that are sent to see whether a path carries them.
const PACKETS: usize = 200;

/// Longer than any packet is under way, delayed ones too.
const QUIET: Duration = Duration::from_millis(400);

/// Longer than anything that is waited for takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

/// A socket at `from`, one at `to`, and the address of the latter.
fn ends(bed: &Bed, net: Net, from: &Place, to: &Place) -> (UdpSocket, UdpSocket, SocketAddr) {
    let address = |place: &Place| match place {
        Place::Node(name) => net.address(bed.topology().node(name).unwrap().index, false),
        Place::Client | Place::Bridges => bed.topology().client_addresses()[0],
    };
    let (sender, receiver) = (socket(bed, from, address(from)), socket(bed, to, address(to)));
    let target = receiver.local_addr().unwrap();
    (sender, receiver, target)
}

/// How many packets from `from` to `to` arrived after a first one did, and the longest time one took.
fn carried(bed: &Bed, net: Net, from: &Place, to: &Place) -> (usize, Duration) {
    let (sender, receiver, target) = ends(bed, net, from, to);
    let mut buffer = [0; 4];
    // The first packet may wait for neighbour resolution.
    receiver.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let begun = Instant::now();
    while receiver.recv(&mut buffer).is_err() {
        assert!(begun.elapsed() < LIMIT, "nothing from {from:?} reaches {to:?} over {net:?}");
        sender.send_to(&[0], target).unwrap();
    }
    let micros = || u32::try_from(begun.elapsed().as_micros()).unwrap();
    let (mut arrived, sent) = (Vec::new(), OnceLock::<Instant>::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..PACKETS {
                sender.send_to(&micros().to_be_bytes(), target).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            sent.set(Instant::now()).unwrap();
        });
        loop {
            let quiet = sent.get().is_some_and(|last| last.elapsed() > QUIET);
            match receiver.recv(&mut buffer) {
                Ok(4) => arrived.push(micros().saturating_sub(u32::from_be_bytes(buffer))),
                Err(_) if quiet => break,
                _ => {}
            }
        }
    });
    let longest = arrived.iter().max().copied().unwrap_or(0);
    (arrived.len(), Duration::from_micros(longest.into()))
}

fn count(bed: &Bed, net: Net, from: &Place, to: &Place) -> usize {
    carried(bed, net, from, to).0
}

/// How many packets from `from` arrived before one that `to` sent to itself after all of them.
fn slipped_through(bed: &Bed, net: Net, from: &Place, to: &Place) -> usize {
    let (sender, receiver, target) = ends(bed, net, from, to);
    let own = socket(bed, to, target.ip());
    for _ in 0..PACKETS {
        sender.send_to(&[0], target).unwrap();
    }
    own.send_to(&[1], target).unwrap();
    receiver.set_read_timeout(Some(LIMIT)).unwrap();
    let mut buffer = [1];
    std::iter::from_fn(|| {
        receiver.recv(&mut buffer).unwrap();
        (buffer == [0]).then_some(())
    })
    .count()
}

#[test]
fn a_cut_node_is_silent_with_its_carrier_up() {
    let Some(mut lab) = fixture("t-cut", Family::V4) else { return };
    let (n1, n2) = (node("n1"), node("n2"));
    assert_eq!(count(&lab.bed, Net::Heartbeat, &n1, &n2), 200);
    assert!(
        slipped_through(&lab.bed, Net::Heartbeat, &n1, &n2) > 0,
        "an open path lets them through"
    );
    lab.bed.inject(&Fault::Cut("n1".into())).unwrap();
    for net in Net::ALL {
        assert_eq!(slipped_through(&lab.bed, net, &n1, &n2), 0, "{net:?}");
        assert_eq!(slipped_through(&lab.bed, net, &n2, &n1), 0, "{net:?}");
    }
    let links = lab.bed.run(&n1, Command::new("ip").args(["-br", "link"])).unwrap();
    assert!(!links.contains("DOWN") && links.contains("client"), "{links}");
    lab.bed.heal().unwrap();
    assert_eq!(count(&lab.bed, Net::Client, &n1, &n2), 200);
}

#[test]
fn a_partition_parts_nodes_and_not_their_clients() {
    let Some(mut lab) = fixture("t-part", Family::V4) else { return };
    let (n1, n2, n3) = (node("n1"), node("n2"), node("n3"));
    let fault = Fault::partition("n1|n2,n3", lab.bed.topology()).unwrap();
    lab.bed.inject(&fault).unwrap();
    assert_eq!(slipped_through(&lab.bed, Net::Heartbeat, &n1, &n2), 0);
    assert_eq!(slipped_through(&lab.bed, Net::Client, &n3, &n1), 0);
    assert_eq!(count(&lab.bed, Net::Heartbeat, &n2, &n3), 200);
    assert_eq!(count(&lab.bed, Net::Client, &n1, &Place::Client), 200);
    assert_eq!(count(&lab.bed, Net::Client, &Place::Client, &n3), 200);
}

#[test]
fn ports_that_go_down_take_the_carrier_and_come_back() {
    let Some(mut lab) = fixture("t-down", Family::V4) else { return };
    let (n1, n2) = (node("n1"), node("n2"));
    lab.bed.inject(&Fault::LinkDown("n1".into())).unwrap();
    let links = lab.bed.run(&n1, Command::new("ip").args(["-br", "link"])).unwrap();
    assert_eq!(links.matches("DOWN").count(), 2, "{links}");
    lab.bed.heal_node("n1").unwrap();
    assert_eq!(count(&lab.bed, Net::Client, &n1, &n2), 200);
}

#[test]
fn frames_on_the_bridges_are_not_judged_like_routed_packets() {
    if !std::path::Path::new("/proc/sys/net/bridge").exists() {
        skip("br_netfilter is not loaded", "bed t-bridges");
        return;
    }
    let Some(lab) = fixture("t-bridges", Family::V4) else { return };
    let bridges = lab.bed.topology().namespace(&Place::Bridges);
    // Drops what is routed, and what is bridged where br_netfilter is loaded and in force.
    let forward =
        "table ip t {\n chain c {\n type filter hook forward priority 0; policy drop;\n }\n}\n";
    namespace::nft(&bridges, forward).unwrap();
    assert_eq!(count(&lab.bed, Net::Client, &node("n1"), &node("n2")), 200);
}

#[test]
fn noise_hurts_paths_between_nodes_only_and_as_much_as_asked() {
    let Some(mut lab) = fixture("t-noise", Family::V4) else { return };
    let (n1, n2) = (node("n1"), node("n2"));
    let noise = |loss_permille, delay_ms, nets: &[Net]| {
        let everyone = Default::default;
        let nets = nets.iter().copied().collect();
        Fault::Noise(Noise { from: everyone(), to: everyone(), nets, loss_permille, delay_ms })
    };
    // Neighbours are known before the noise begins: a lost ARP request costs a second.
    assert_eq!(count(&lab.bed, Net::Heartbeat, &n1, &n2), 200);
    assert_eq!(count(&lab.bed, Net::Client, &n2, &n1), 200);
    lab.bed.inject(&noise(200, Some((0, 100)), &Net::ALL)).unwrap();
    let (arrived, longest) = carried(&lab.bed, Net::Heartbeat, &n1, &n2);
    assert!((120..=190).contains(&arrived), "20 % of 200 lost, so {arrived} is off");
    let longest = longest.as_millis();
    assert!((70..=130).contains(&longest), "up to 100 ms of delay, so {longest} ms is off");
    let (to_client, slow) = carried(&lab.bed, Net::Client, &n1, &Place::Client);
    assert_eq!(to_client, 200);
    assert!(slow < Duration::from_millis(20), "the client's path was delayed by {slow:?}");
    lab.bed.heal().unwrap();
    lab.bed.inject(&noise(0, Some((30, 40)), &[Net::Client])).unwrap();
    let (arrived, longest) = carried(&lab.bed, Net::Client, &n2, &n1);
    assert_eq!(arrived, 200, "delay alone loses nothing");
    assert!(longest >= Duration::from_millis(30), "{longest:?}");
    assert!(carried(&lab.bed, Net::Heartbeat, &n2, &n1).1 < Duration::from_millis(20));
    lab.bed.heal().unwrap();
    assert!(carried(&lab.bed, Net::Client, &n1, &n2).1 < Duration::from_millis(20));
    assert!(!lab.bed.dir().join("relay.pid").exists(), "the relay ended with the noise");
}

#[test]
fn a_paused_node_goes_on_when_told_and_a_killed_one_does_not() {
    let Some(mut lab) = fixture("t-pause", Family::V4) else { return };
    let log = lab.bed.dir().join("sleep.log");
    let pid = lab.bed.spawn(&node("n1"), Command::new("sleep").arg("1000"), &log).unwrap();
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    };
    let within = |limit| {
        move |done: &mut dyn FnMut() -> bool| {
            wait::until(Duration::from_millis(limit), Duration::from_millis(1), done)
        }
    };
    lab.bed.inject(&Fault::Pause("n1".into())).unwrap();
    assert!(within(200)(&mut || state() == Some('T')), "{:?}", state());
    lab.bed.inject(&Fault::Resume("n1".into())).unwrap();
    assert!(within(2000)(&mut || state() == Some('S')), "{:?}", state());
    lab.bed.inject(&Fault::Kill("n1".into())).unwrap();
    assert!(within(2000)(&mut || state().is_none()), "{:?}", state());
    let namespace = lab.bed.topology().namespace(&node("n1"));
    assert_eq!(processes::of(&namespace).unwrap().len(), 0);
}

/// Datagrams that a node has sent, by the counters of its kernel.
fn datagrams_sent(bed: &Bed, place: &str) -> u64 {
    let read = || {
        Ok(["snmp", "snmp6"]
            .map(|it| std::fs::read_to_string(format!("/proc/thread-self/net/{it}"))))
    };
    let [four, six] = namespace::within(&bed.topology().namespace(&node(place)), read).unwrap();
    let four = four.unwrap();
    let mut rows = four.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    let four = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "OutDatagrams");
    let six = six.unwrap();
    let six = six.lines().find_map(|line| line.strip_prefix("Udp6OutDatagrams"));
    [four.unwrap().1, six.unwrap()].iter().map(|count| count.trim().parse::<u64>().unwrap()).sum()
}

/// Waits until the service on a node has answered a hundred more probes: nothing else there sends datagrams.
fn answers(bed: &Bed, place: &str) {
    let enough = datagrams_sent(bed, place) + 100;
    let step = Duration::from_millis(5);
    let answered = wait::until(LIMIT, step, || datagrams_sent(bed, place) >= enough);
    assert!(answered, "{place} does not answer the client");
}

#[test]
fn the_measurement_sees_an_address_move_and_a_second_owner() {
    for (name, family) in [("t-own4", Family::V4), ("t-own6", Family::V6)] {
        let Some(lab) = fixture(name, family) else { return };
        let vip = lab.bed.topology().vips()[0];
        let address = |place: &str, verb: &str| {
            let bits = if vip.is_ipv6() { 64 } else { 24 };
            let line = format!("addr {verb} {vip}/{bits} dev client nodad");
            let line = if vip.is_ipv6() { line } else { line.replace(" nodad", "") };
            let namespace = lab.bed.topology().namespace(&node(place));
            namespace::ip_batch(Some(&namespace), &line).unwrap();
        };
        let serve = |place: &str| {
            let mut serve = Command::new(lab.bed.haven());
            serve.args(["lab", "--name", name, "--dir"]).arg(lab.bed.dir()).args(["serve", place]);
            let log = lab.bed.node_dir(place).join("service.log");
            lab.bed.spawn(&node(place), &mut serve, &log).unwrap();
        };
        ["n1", "n2"].into_iter().for_each(serve);
        address("n1", "add");
        let client = lab.bed.topology().namespace(&Place::Client);
        let forget = || namespace::ip_batch(Some(&client), "neigh flush dev client").unwrap();
        let cluster = haven_lab::Cluster::of(Bed::open(name, Some(lab.bed.dir().into())).unwrap());
        assert_eq!(cluster.owner(vip, Duration::from_secs(5)).unwrap().as_deref(), Some("n1"));

        // Moved: n1 gives the address up before n2 takes it. Without connections: a TCP socket,
        // that of a dead process, too, goes on sending from an IPv6 address that is gone.
        let datagrams = MeasureOptions { connect_interval: None, ..MeasureOptions::default() };
        let measuring = Measuring::start(&lab.bed, vip, datagrams).unwrap();
        answers(&lab.bed, "n1");
        address("n1", "del");
        // paced: the outage that the report must show.
        std::thread::sleep(Duration::from_millis(100));
        address("n2", "add");
        forget();
        answers(&lab.bed, "n2");
        let report = measuring.finish().unwrap();
        assert_eq!(report.ownership.overlaps, [], "{}", report.table());
        assert_eq!(report.probes.owner_before, Some(1), "{}", report.table());
        assert_eq!(report.probes.owner_after, Some(2), "{}", report.table());
        let outage = report.probes.outage.as_millis();
        assert!((95..2000).contains(&outage), "{}", report.table());
        assert_eq!(report.capture_lost, 0);

        // Two owners: n1 takes it as well, and the client turns to it and back.
        let measuring = Measuring::start(&lab.bed, vip, MeasureOptions::default()).unwrap();
        answers(&lab.bed, "n2");
        let second = Instant::now();
        address("n1", "add");
        let hears = |place: &str| {
            let net = lab.bed.topology().node(place).unwrap().index;
            let mac = format!("neigh replace {vip} lladdr 02:68:76:00:01:{net:02x} dev client");
            namespace::ip_batch(Some(&client), &mac).unwrap();
            answers(&lab.bed, place);
        };
        hears("n1");
        let heard = Instant::now();
        hears("n2");
        let between = heard.elapsed();
        hears("n1");
        let report = measuring.finish().unwrap();
        let two = report.ownership.two_owners;
        assert!((between..second.elapsed()).contains(&two), "{between:?}: {}", report.table());
    }
}

#[test]
fn building_again_removes_what_a_crash_left() {
    let Some(lab) = fixture("t-left", Family::V4) else { return };
    let log = lab.bed.dir().join("sleep.log");
    let pid = lab.bed.spawn(&node("n1"), Command::new("sleep").arg("1000"), &log).unwrap();
    // The one who built it is gone without a word; somebody builds it anew.
    std::mem::forget(lab);
    let again = fixture("t-left", Family::V4).unwrap();
    let gone = || !PathBuf::from(format!("/proc/{pid}")).exists();
    assert!(wait::until(Duration::from_secs(5), Duration::from_millis(5), gone));
    assert_eq!(count(&again.bed, Net::Client, &node("n1"), &node("n2")), 200);
    drop(again);
    assert_eq!(namespace::with_prefix("hvlab-t-left."), Vec::<String>::new());
    assert!(matches!(Bed::open("t-left", None), Err(haven_lab::LabError::NoSuchLab { .. })));
}
