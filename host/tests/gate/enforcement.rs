//! While the lease is held the node answers in every way; without it, in none.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use haven_host::gate::{BackEnd, Choice, Deadline, EntryKind, Gate, Renewal, Upkeep};

use crate::bed::{Bed, GROUP, PATIENCE, Port, SILENCE, entries, from_now, possible};
use crate::daemon::Daemon;
use crate::frames::{
    Answer, CLIENT_MAC, CLIENT4, CLIENT6, NODE_MAC, NODE4, NODE6, VIP4, VIP6, arp, claim,
    gratuitous, neighbor, packet,
};

const LONG: Duration = Duration::from_secs(60);

fn opened(bed: &Bed, choice: Choice) -> (Gate, Upkeep) {
    let mut config = bed.config();
    config.back_end = choice;
    let (mut gate, upkeep) = Gate::open(&config).unwrap();
    gate.set_entries(&entries(EntryKind::Exclusive)).unwrap();
    (gate, upkeep)
}

#[test]
fn the_node_answers_exactly_while_the_group_is_open() {
    if !possible() {
        return;
    }
    for choice in [Choice::Auto, Choice::BpfClsact, Choice::Nft] {
        let bed = Bed::new();
        bed.assert_open("no gate yet");
        bed.node.within(|| {
            let (mut gate, upkeep) = opened(&bed, choice);
            if choice == Choice::BpfClsact {
                assert_eq!(upkeep.status().back_end, BackEnd::Clsact);
            }
            bed.assert_silent("an entry, no deadline");
            let until = from_now(LONG);
            assert_eq!(gate.renew(GROUP, until).unwrap(), Renewal::Open { until });
            bed.assert_open("renewed");
            gate.close(GROUP).unwrap();
            bed.assert_silent("closed");
            assert_eq!(gate.renew(GROUP + 1, until).unwrap(), Renewal::Open { until });
            bed.assert_silent("another group is open");
            gate.remove_all(upkeep).unwrap();
            bed.assert_open("the gate is removed");
        });
    }
}

/// One that the server has accepted and not yet answered, on the address of either family.
fn accepted(bed: &Bed) -> Vec<(TcpStream, TcpStream)> {
    let connect = |address: IpAddr| {
        let listener = bed.node.within(|| TcpListener::bind((address, 0)).unwrap());
        let there = listener.local_addr().unwrap();
        let client = bed.client.within(|| TcpStream::connect_timeout(&there, PATIENCE).unwrap());
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        (client, listener.accept().unwrap().0)
    };
    vec![connect(VIP4.into()), connect(VIP6.into())]
}

#[test]
fn a_group_about_to_be_closed_takes_no_new_connection_and_serves_those_it_has() {
    if !possible() {
        return;
    }
    let but_new_connections: Vec<Answer> = Answer::ALL
        .into_iter()
        .filter(|answer| !matches!(answer, Answer::Tcp4 | Answer::Tcp6))
        .collect();
    for choice in [Choice::Auto, Choice::BpfClsact] {
        let bed = Bed::new();
        bed.node.within(|| {
            let (mut gate, upkeep) = opened(&bed, choice);
            assert!(!gate.refuse_newcomers(GROUP).unwrap(), "a closed group has no clients");
            let until = from_now(LONG);
            assert_eq!(gate.renew(GROUP, until).unwrap(), Renewal::Open { until });
            let connections = accepted(&bed);
            assert!(gate.refuse_newcomers(GROUP).unwrap());
            assert!(gate.deadlines().unwrap()[0].until <= until, "it lasts no longer");
            for (mut client, mut server) in connections {
                server.write_all(b"welcome").unwrap();
                let mut greeting = [0; 7];
                client.read_exact(&mut greeting).unwrap();
                assert_eq!(&greeting, b"welcome");
            }
            bed.wait_for(&but_new_connections, "about to be closed");
            let later = from_now(LONG);
            assert_eq!(gate.renew(GROUP, later).unwrap(), Renewal::Open { until: later });
            bed.wait_for(&but_new_connections, "a renewal changes nothing");
            gate.close(GROUP).unwrap();
            bed.assert_silent("closed");
            assert_eq!(gate.renew(GROUP, later).unwrap(), Renewal::Open { until: later });
            bed.assert_open("opened anew");
            gate.remove_all(upkeep).unwrap();
        });
    }
}

/// A deadline of an earlier version is any number of nanoseconds, and who was about to be closed is not handed over.
#[test]
fn a_process_that_takes_over_admits_newcomers() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let (mut gate, upkeep) = opened(&bed, Choice::Auto);
        assert!(matches!(gate.renew(GROUP, from_now(LONG)), Ok(Renewal::Open { .. })));
        assert!(gate.refuse_newcomers(GROUP).unwrap());
        drop((gate, upkeep));
        let (gate, upkeep) = opened(&bed, Choice::Auto);
        bed.assert_open("taken over");
        gate.remove_all(upkeep).unwrap();
    });
}

#[test]
fn nftables_tells_no_newcomers_apart_and_stays_open() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let (mut gate, upkeep) = opened(&bed, Choice::Nft);
        assert!(matches!(gate.renew(GROUP, from_now(LONG)), Ok(Renewal::Open { .. })));
        assert!(!gate.refuse_newcomers(GROUP).unwrap());
        bed.assert_open("nothing has changed");
        gate.remove_all(upkeep).unwrap();
    });
}

#[test]
fn a_killed_owner_falls_silent_at_the_deadline() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    let mut daemon = Daemon::start(&bed);
    daemon.own("exclusive");
    let renewed = daemon.ask("renew 1500");
    let until: u64 = renewed.strip_prefix("open ").unwrap().parse().unwrap();
    let until = haven_base::Instant::from_nanos(until);
    daemon.kill();
    let mut answered_after_death = false;
    while from_now(Duration::ZERO) < until {
        let full = bed.answers().len() == Answer::ALL.len();
        answered_after_death |= full && from_now(Duration::ZERO) < until;
    }
    assert!(answered_after_death, "the gate stays open until the deadline");
    bed.assert_silent("past the deadline");
    bed.assert_silent("and later");
}

#[test]
fn a_deadline_that_is_past_writes_nothing_and_closes() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let (mut gate, upkeep) = opened(&bed, Choice::Auto);
        let until = from_now(LONG);
        assert_eq!(gate.renew(GROUP, until).unwrap(), Renewal::Open { until });
        assert_eq!(gate.renew(GROUP, from_now(Duration::ZERO)).unwrap(), Renewal::Lapsed);
        assert_eq!(gate.deadlines().unwrap(), []);
        bed.assert_silent("renewed with a deadline in the past");
        // A lease won anew opens it again, and may be shorter than the last.
        let sooner = from_now(LONG / 2);
        assert_eq!(gate.renew(GROUP, until).unwrap(), Renewal::Open { until });
        assert_eq!(gate.renew(GROUP, sooner).unwrap(), Renewal::Open { until: sooner });
        assert_eq!(gate.deadlines().unwrap(), [Deadline { group: GROUP, until: sooner }]);
        gate.remove_all(upkeep).unwrap();
    });
}

#[test]
fn a_real_server_answers_traffic_but_never_arp_or_nd() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let (mut gate, upkeep) = opened(&bed, Choice::Auto);
        gate.set_entries(&entries(EntryKind::RealServer)).unwrap();
        bed.wait_for(&Answer::TRAFFIC, "a real server without a lease");
        assert!(matches!(gate.renew(GROUP, from_now(LONG)), Ok(Renewal::Open { .. })));
        bed.wait_for(&Answer::TRAFFIC, "a real server with a lease");
        gate.set_entries(&entries(EntryKind::Exclusive)).unwrap();
        bed.assert_open("it became the director");
        gate.close(GROUP).unwrap();
        gate.set_entries(&entries(EntryKind::Anycast)).unwrap();
        bed.wait_for(&Answer::TRAFFIC, "anycast without a lease");
        gate.set_entries(&entries(EntryKind::BucketSet)).unwrap();
        bed.assert_silent("a bucket set without a lease");
        gate.remove_all(upkeep).unwrap();
    });
}

/// Frames this host could send through a raw socket to claim the VIPs, each recognised by the client.
pub(crate) fn forged() -> Vec<(&'static str, Vec<u8>)> {
    let all_nodes: IpAddr = "ff02::1".parse().unwrap();
    let group_mac = ([0x33, 0x33, 0, 0, 0, 1], NODE_MAC);
    let peer = (CLIENT_MAC, NODE_MAC);
    let announcement = gratuitous(VIP4);
    let advertisement = packet(group_mac, NODE6.into(), all_nodes, 58, neighbor(136, VIP6));
    let datagram4 = packet(peer, VIP4.into(), CLIENT4.into(), 17, (vec![0; 12], 6));
    let datagram6 = packet(peer, VIP6.into(), CLIENT6.into(), 17, (vec![0; 12], 6));
    let mut tagged = announcement[..12].to_vec();
    tagged.extend_from_slice(&[0x81, 0, 0, 5]);
    tagged.extend_from_slice(&announcement[12..]);
    vec![
        ("gratuitous ARP cut behind the sender", announcement[..32].to_vec()),
        ("gratuitous ARP cut within the sender", announcement[..30].to_vec()),
        ("gratuitous ARP in a VLAN", tagged),
        ("gratuitous ARP", announcement),
        ("unsolicited NA", advertisement),
        ("IPv4 cut behind the source", datagram4[..30].to_vec()),
        ("IPv4 cut within the source", datagram4[..29].to_vec()),
        ("IPv4", datagram4),
        ("IPv6 cut behind the source", datagram6[..38].to_vec()),
        ("IPv6", datagram6),
    ]
}

fn untagged(frame: &[u8]) -> Vec<u8> {
    let mut plain = frame.to_vec();
    if frame[12..14] == [0x81, 0] {
        plain.drain(12..16);
    }
    plain
}

/// Whether the client hears `frame` when the node sends it.
pub(crate) fn heard_of(bed: &Bed, raw: &Port, frame: &[u8]) -> bool {
    bed.port.forget();
    raw.send(frame);
    let end = Instant::now() + SILENCE;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        match bed.port.receive(left) {
            // The client's kernel takes the VLAN tag off before it shows the frame.
            Some(seen) if seen == frame || seen == untagged(frame) => return true,
            Some(_) => {}
            None => break,
        }
    }
    false
}

#[test]
fn frames_from_raw_sockets_do_not_claim_the_address() {
    if !possible() {
        return;
    }
    for choice in [Choice::Auto, Choice::BpfClsact] {
        let bed = Bed::new();
        let raw = Port::open(&bed.node, "lan0");
        bed.node.within(|| {
            let (mut gate, upkeep) = opened(&bed, choice);
            let heard = |frame: &[u8]| heard_of(&bed, &raw, frame);
            for (what, frame) in forged() {
                assert!(!heard(&frame), "{what} left a closed gate");
            }
            let own = arp(NODE_MAC, 1, NODE4, CLIENT4, CLIENT_MAC);
            assert!(heard(&own), "the node's own address is free");
            assert!(matches!(gate.renew(GROUP, from_now(LONG)), Ok(Renewal::Open { .. })));
            for (what, frame) in forged() {
                // What holds no whole source cannot be judged, and no IPv6 header is cut by a stack.
                let whole = !what.contains("within") && !what.contains("IPv6 cut");
                assert_eq!(heard(&frame), whole, "{what} at an open gate");
            }
            gate.remove_all(upkeep).unwrap();
        });
    }
}

#[test]
fn a_flush_of_the_nftables_ruleset_opens_nothing() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    let mut daemon = Daemon::start(&bed);
    daemon.own("exclusive");
    assert!(daemon.ask("renew 150").starts_with("open"));
    bed.node.run("nft flush ruleset");
    daemon.kill();
    bed.node.run("nft flush ruleset");
    bed.wait_for(&[], "the daemon is dead and the ruleset flushed");
    bed.assert_silent("it stays so");
}

#[test]
fn duplicate_address_detection_of_others_gets_no_answer_and_ours_makes_no_noise() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.client.run("sysctl -qw net.ipv6.conf.lan0.accept_dad=1");
    bed.client.run("sysctl -qw net.ipv6.conf.lan0.dad_transmits=1");
    let flags = || {
        let command = format!("ip -n {} -o addr show dev lan0 to {VIP6}", bed.client.name);
        let mut words = command.split_whitespace();
        let out = Command::new(words.next().unwrap()).args(words).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    let detected = || {
        bed.client.run(&format!("ip addr add {VIP6}/64 dev lan0"));
        let end = Instant::now() + PATIENCE;
        loop {
            let flags = flags();
            let duplicate = flags.contains("dadfailed");
            if duplicate || !flags.contains("tentative") {
                bed.client.run(&format!("ip addr del {VIP6}/64 dev lan0"));
                return duplicate;
            }
            assert!(Instant::now() < end, "detection does not end: {flags}");
            bed.port.receive(Duration::from_millis(5));
        }
    };
    bed.node.within(|| {
        let (mut gate, upkeep) = opened(&bed, Choice::Auto);
        assert!(matches!(gate.renew(GROUP, from_now(LONG)), Ok(Renewal::Open { .. })));
        assert!(detected(), "an open owner defends its address");
        gate.close(GROUP).unwrap();
        assert!(!detected(), "a closed one does not");

        // The node's own detection of an address it does not hold.
        bed.node.run("sysctl -qw net.ipv6.conf.lan0.accept_dad=1");
        bed.node.run(&format!("ip addr del {VIP6}/64 dev lan0"));
        bed.port.forget();
        bed.node.run(&format!("ip addr add {VIP6}/64 dev lan0"));
        let end = Instant::now() + Duration::from_millis(1_500);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let Some(frame) = bed.port.receive(left) else { break };
            let claimed = claim(&frame).map(|(address, _)| address);
            assert_ne!(claimed, Some(VIP6.into()), "{frame:02x?}");
        }
        gate.remove_all(upkeep).unwrap();
    });
}

#[test]
fn a_node_without_the_lease_is_a_client_of_the_owner() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    // The client namespace plays the owner; the node has the entries, closed, and not the addresses.
    for (vip, length) in [(IpAddr::from(VIP4), 24), (IpAddr::from(VIP6), 64)] {
        bed.node.run(&format!("ip addr del {vip}/{length} dev lan0"));
        let nodad = if vip.is_ipv6() { "nodad" } else { "" };
        bed.client.run(&format!("ip addr add {vip}/{length} dev lan0 {nodad}"));
    }
    bed.node.within(|| {
        let (gate, upkeep) = opened(&bed, Choice::Auto);
        for vip in [IpAddr::from(VIP4), IpAddr::from(VIP6)] {
            let owner = bed.client.within(|| UdpSocket::bind((vip, 7000)).unwrap());
            owner.set_read_timeout(Some(PATIENCE)).unwrap();
            let any = if vip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.send_to(b"question", (vip, 7000)).unwrap();
            let mut buffer = [0; 16];
            let (length, from) = owner.recv_from(&mut buffer).unwrap();
            owner.send_to(&buffer[..length], from).unwrap();
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from.ip()), (&b"question"[..], vip));
        }
        // The address moves: the new owner's announcement reaches our neighbour table.
        let moved = [2, 0, 0, 0, 0, 0x77];
        bed.port.send(&arp(moved, 1, VIP4, VIP4, [0xff; 6]));
        let end = Instant::now() + PATIENCE;
        loop {
            let out = Command::new("ip").args(["neigh", "show", &VIP4.to_string()]).output();
            let shown = String::from_utf8(out.unwrap().stdout).unwrap();
            if shown.contains("02:00:00:00:00:77") {
                break;
            }
            assert!(Instant::now() < end, "the neighbour table did not learn: {shown}");
        }
        gate.remove_all(upkeep).unwrap();
    });
}
