//! Devices that come, are renamed, join a bridge; hooks that are taken away.
#![allow(unsafe_code, reason = "a tunnel is made by an ioctl that no safe wrapper offers")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use haven_host::bpf::{Hook, Program, attached, detach};
use haven_host::gate::{BackEnd, Choice, EntryKind, Gate, Renewal, Repair, Upkeep};
use haven_skipped::skip;

use crate::bed::{
    Bed, GROUP, Namespace, PATIENCE, Port, SILENCE, entries, from_now, possible, run,
};
use crate::frames::{CLIENT4, NODE_MAC, NODE4, VIP4, arp, gratuitous, packet};

fn closed(bed: &Bed, choice: Choice) -> (Gate, Upkeep) {
    let mut config = bed.config();
    config.back_end = choice;
    let (mut gate, upkeep) = Gate::open(&config).unwrap();
    gate.set_entries(&entries(EntryKind::Exclusive)).unwrap();
    (gate, upkeep)
}

/// Waits for an event and handles it, as the daemon does.
fn handle_event(upkeep: &mut Upkeep) -> Repair {
    let limit = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
    let events = upkeep.events();
    let mut waits: Vec<_> = events
        .iter()
        .map(|fd| rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN))
        .collect();
    rustix::event::poll(&mut waits, Some(&limit)).unwrap();
    upkeep.on_event().unwrap()
}

/// Handles events until `done`.
fn handle_events(upkeep: &mut Upkeep, mut done: impl FnMut(&Upkeep) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done(upkeep) {
        assert!(Instant::now() < end, "no event led there: {:?}", upkeep.status());
        handle_event(upkeep);
    }
}

fn hooked(upkeep: &Upkeep, name: &str) -> Vec<Hook> {
    let status = upkeep.status();
    status.devices.iter().find(|d| d.name == name).map_or_else(Vec::new, |d| d.hooks.clone())
}

const BOTH: [Hook; 2] = [Hook::Ingress, Hook::Egress];

#[test]
fn a_new_device_gets_the_gate_and_a_renamed_one_keeps_it() {
    if !possible() {
        return;
    }
    for choice in [Choice::Auto, Choice::BpfClsact] {
        let bed = Bed::new();
        bed.node.within(|| {
            let (gate, mut upkeep) = closed(&bed, choice);
            assert_eq!(hooked(&upkeep, "lan0"), BOTH);
            Bed::link(&bed.node, &bed.client, "lan1");
            handle_events(&mut upkeep, |upkeep| hooked(upkeep, "lan1") == BOTH);
            let second = Port::open(&bed.client, "lan1");
            assert!(bed.answers_on(&second).is_empty(), "the new device is silent");

            bed.node.run("ip link set lan1 down");
            bed.node.run("ip link set lan1 name lan9");
            bed.node.run("ip link set lan9 up");
            handle_events(&mut upkeep, |upkeep| hooked(upkeep, "lan9") == BOTH);
            assert_eq!(hooked(&upkeep, "lan1"), [], "the old name is forgotten");
            assert!(bed.answers_on(&second).is_empty(), "the renamed device is silent");

            bed.node.run("ip link del lan9");
            handle_events(&mut upkeep, |upkeep| hooked(upkeep, "lan9").is_empty());
            assert_eq!(upkeep.status().missing, []);
            gate.remove_all(upkeep).unwrap();
        });
    }
}

#[test]
fn loopback_is_left_alone() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let (gate, upkeep) = closed(&bed, Choice::Auto);
        assert!(upkeep.status().devices.iter().all(|d| d.name != "lo"));
        // The service on this host stays reachable for this host's own processes.
        let server = std::net::UdpSocket::bind((VIP4, 7001)).unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let client = std::net::UdpSocket::bind((NODE4, 0)).unwrap();
        client.send_to(b"local", (VIP4, 7001)).unwrap();
        assert_eq!(server.recv_from(&mut [0; 8]).unwrap().0, 5);
        gate.remove_all(upkeep).unwrap();
    });
}

#[test]
fn hooks_taken_away_are_noticed_and_restored() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let (gate, mut upkeep) = closed(&bed, Choice::BpfClsact);
        assert_eq!(upkeep.status().back_end, BackEnd::Clsact);
        assert_eq!(upkeep.repair().unwrap().restored, [], "nothing to mend");
        bed.node.run("tc qdisc del dev lan0 clsact");
        bed.assert_open("somebody took the gate away");
        let restored = upkeep.repair().unwrap().restored;
        assert_eq!(restored, BOTH.map(|hook| ("lan0".to_owned(), hook)));
        bed.assert_silent("mended");
        gate.remove_all(upkeep).unwrap();

        // `tcx` hooks do not care for queueing disciplines.
        let (gate, mut upkeep) = closed(&bed, Choice::Auto);
        if upkeep.status().back_end == BackEnd::Tcx {
            bed.node.run("tc qdisc replace dev lan0 clsact");
            bed.node.run("tc qdisc del dev lan0 clsact");
            bed.assert_silent("tc cannot take tcx hooks away");
            assert_eq!(upkeep.repair().unwrap().restored, []);
        } else {
            skip("this kernel has no tcx", "hooks that tc cannot take away");
        }
        gate.remove_all(upkeep).unwrap();
    });
}

/// How long the gate may be gone where the kernel tells of it.
const TOLD: Duration = Duration::from_secs(1);

#[test]
fn filters_taken_away_are_restored_as_soon_as_the_kernel_tells() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let (gate, mut upkeep) = closed(&bed, Choice::BpfClsact);
        for (command, lost) in [
            ("tc qdisc del dev lan0 clsact", &BOTH[..]),
            ("tc filter del dev lan0 ingress", &BOTH[..1]),
            ("tc filter del dev lan0 egress", &BOTH[1..]),
        ] {
            bed.node.run(command);
            let began = Instant::now();
            let mut restored = Vec::new();
            while restored.len() < lost.len() {
                assert!(began.elapsed() < TOLD, "{command}: {restored:?} restored by events");
                restored.extend(handle_event(&mut upkeep).restored);
            }
            println!("{command}: restored within {:?}", began.elapsed());
            let lost: Vec<_> = lost.iter().map(|hook| ("lan0".to_owned(), *hook)).collect();
            assert_eq!(restored, lost, "{command}");
            bed.assert_silent(command);
        }
        // What the gate itself has put there is no news that asks for more.
        let mut rest = 0;
        while upkeep.events().iter().any(readable) {
            upkeep.on_event().unwrap();
            rest += 1;
            assert!(rest < 100, "each event leads to the next");
        }
        gate.remove_all(upkeep).unwrap();
    });
}

fn readable(fd: &BorrowedFd<'_>) -> bool {
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut wait = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut wait, Some(&now)).unwrap() > 0
}

/// The kernel tells nobody of it: the next look finds it.
#[test]
fn a_tcx_program_taken_off_is_restored_by_the_next_look() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let (gate, mut upkeep) = closed(&bed, Choice::Auto);
        if upkeep.status().back_end != BackEnd::Tcx {
            return skip("this kernel has no tcx", "tcx programs that are taken off");
        }
        let device = upkeep.status().devices.iter().find(|d| d.name == "lan0").unwrap().index;
        for hook in BOTH {
            for id in attached(device, hook).unwrap() {
                detach(device, hook, &Program::from_id(id).unwrap()).unwrap();
            }
        }
        bed.assert_open("somebody took the gate away");
        let restored = upkeep.repair().unwrap().restored;
        assert_eq!(restored, BOTH.map(|hook| ("lan0".to_owned(), hook)));
        bed.assert_silent("mended");
        gate.remove_all(upkeep).unwrap();
    });
}

/// The kernel takes the egress program there, and puts it on ingress.
#[test]
fn the_older_ingress_discipline_in_the_place_of_clsact_is_not_taken_for_it() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        bed.node.run("tc qdisc add dev lan0 ingress");
        let (gate, mut upkeep) = closed(&bed, Choice::BpfClsact);
        let missing = upkeep.status().missing;
        assert!(missing.iter().any(|m| m.name == "lan0" && m.hook == Hook::Egress), "{missing:?}");
        for said in ["discipline ingress", "place of clsact", "tc qdisc del"] {
            assert!(missing.iter().all(|m| m.reason.contains(said)), "{said}: {missing:?}");
        }
        assert_eq!(upkeep.repair().unwrap().restored, [], "nobody took anything away");
        bed.node.run("tc qdisc del dev lan0 ingress");
        upkeep.repair().unwrap();
        assert_eq!(upkeep.status().missing, []);
        assert_eq!(hooked(&upkeep, "lan0"), BOTH);
        bed.assert_silent("mended");
        gate.remove_all(upkeep).unwrap();
    });
}

/// The node is a switch for a guest behind `tap0`; the bridge `br0` has the node's addresses.
struct Bridged {
    bed: Bed,
    guest: Namespace,
}

impl Bridged {
    fn new() -> Self {
        let bed = Bed::new();
        let guest = Namespace::new("guest");
        run(&format!(
            "ip -n {} link add tap0 type veth peer name lan0 netns {}",
            bed.node.name, guest.name
        ));
        bed.node.run("ip addr flush dev lan0");
        let mac = NODE_MAC.map(|b| format!("{b:02x}")).join(":");
        bed.node.run(&format!("ip link add br0 address {mac} type bridge forward_delay 0"));
        bed.node.run("sysctl -qw net.ipv6.conf.br0.accept_dad=0");
        for port in ["lan0", "tap0"] {
            bed.node.run(&format!("ip link set {port} master br0"));
            bed.node.run(&format!("ip link set {port} up"));
        }
        bed.node.run("ip link set br0 up");
        guest.run("ip link set lan0 up");
        bed.address_node("br0");
        Self { bed, guest }
    }
}

#[test]
fn a_bridge_is_silent_itself_but_carries_what_others_say() {
    if !possible() {
        return;
    }
    let Bridged { bed, guest } = Bridged::new();
    let guest_port = Port::open(&guest, "lan0");
    bed.node.within(|| {
        bed.assert_open("no gate yet");
        let (gate, mut upkeep) = closed(&bed, Choice::Auto);
        assert_eq!(hooked(&upkeep, "br0"), BOTH);
        assert_eq!(hooked(&upkeep, "lan0"), [Hook::Egress], "a port");
        bed.assert_silent("the bridge device has the gate");
        let raw = Port::open(&bed.node, "lan0");
        let announcement = gratuitous(VIP4);
        bed.port.forget();
        raw.send(&announcement);
        assert!(!heard_within(SILENCE, &bed.port, &announcement), "sent by us on a port");

        // A guest asks for the address, and its owner, outside, answers: both cross the bridge.
        let guest_mac = [2, 0, 0, 0, 0, 0x55];
        let question = arp(guest_mac, 1, "192.0.2.55".parse().unwrap(), VIP4, [0xff; 6]);
        guest_port.send(&question);
        assert!(heard(&bed.port, &question), "the guest's question reaches the client net");
        let owner_mac = [2, 0, 0, 0, 0, 0x66];
        let reply = arp(owner_mac, 2, VIP4, CLIENT4, guest_mac);
        bed.port.send(&reply);
        assert!(heard(&guest_port, &reply), "the owner's reply reaches the guest");

        // The port leaves the bridge: it is judged whole again.
        bed.node.run("ip link set lan0 nomaster");
        handle_events(&mut upkeep, |upkeep| hooked(upkeep, "lan0") == BOTH);
        bed.assert_silent("off the bridge");
        bed.node.run("ip link set lan0 master br0");
        handle_events(&mut upkeep, |upkeep| hooked(upkeep, "lan0") == [Hook::Egress]);
        gate.remove_all(upkeep).unwrap();
    });
}

fn heard(port: &Port, frame: &[u8]) -> bool {
    heard_within(PATIENCE, port, frame)
}

fn heard_within(limit: Duration, port: &Port, frame: &[u8]) -> bool {
    let end = Instant::now() + limit;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        match port.receive(left) {
            Some(seen) if seen == frame => return true,
            Some(_) => {}
            None => break,
        }
    }
    false
}

#[test]
fn gates_in_many_namespaces_do_not_meet() {
    if !possible() {
        return;
    }
    let beds: Vec<Bed> = (0..4).map(|_| Bed::new()).collect();
    let gates: Vec<(Gate, Upkeep)> =
        beds.iter().map(|bed| bed.node.within(|| closed(bed, Choice::Auto))).collect();
    // One device moves to another namespace of the same host and back: its gate is not taken for another's.
    let (first, second) = (&beds[0], &beds[1]);
    run(&format!("ip -n {} link set lan0 name old0 netns {}", first.node.name, second.node.name));
    drop(gates);
    let mut seen = Vec::new();
    for bed in &beds[1..] {
        bed.node.within(|| {
            let (gate, upkeep) = Gate::open(&bed.config()).unwrap();
            seen.push(gate.entries().len());
            bed.assert_silent("each has its own");
            gate.remove_all(upkeep).unwrap();
            bed.assert_open("and takes only its own away");
        });
    }
    assert_eq!(seen, [2, 2, 2]);
}

/// What the node sends into a tunnel it has, and what comes out of it.
fn tunnel(name: &str) -> File {
    let tunnel = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
    rustix::io::ioctl_fionbio(&tunnel, true).unwrap();
    // SAFETY: all zeroes is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *slot = i8::try_from(byte).unwrap();
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_TUN | libc::IFF_NO_PI).unwrap();
    // SAFETY: TUNSETIFF reads and writes an ifreq, which `request` is.
    let made = unsafe { libc::ioctl(tunnel.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
    tunnel
}

/// IPv4 sources of what comes out of the tunnel within [`SILENCE`], or until `enough`.
fn sources(tunnel: &File, enough: usize) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let end = Instant::now() + SILENCE;
    while found.len() < enough {
        let mut packet = [0; 2048];
        let Ok(length) = (&*tunnel).read(&mut packet) else {
            let Some(left) = end.checked_duration_since(Instant::now()) else { break };
            let left = rustix::event::Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
            let mut wait = [rustix::event::PollFd::new(tunnel, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut wait, Some(&left)).unwrap();
            continue;
        };
        if length >= 20 && packet[0] >> 4 == 4 {
            found.push(Ipv4Addr::from(<[u8; 4]>::try_from(&packet[12..16]).unwrap()));
        }
    }
    found
}

#[test]
fn tunnels_without_ethernet_headers_are_gated() {
    if !possible() {
        return;
    }
    if !std::path::Path::new("/dev/net/tun").exists() {
        return skip("this kernel has no tun devices", "tunnels without Ethernet headers");
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let peer = "198.51.100.1";
        let tunnel = tunnel("tun0");
        bed.node.run("ip link set tun0 up");
        bed.node.run(&format!("ip route add {peer}/32 dev tun0"));
        let (mut gate, upkeep) = closed(&bed, Choice::Auto);
        assert_eq!(hooked(&upkeep, "tun0"), BOTH);
        // Both addresses send; and an echo request for each comes out of the tunnel.
        let exchange = || {
            for own in [VIP4, NODE4] {
                let socket = std::net::UdpSocket::bind((own, 0)).unwrap();
                // A frame the gate drops may be an error for its sender.
                drop(socket.send_to(b"out", (peer, 9)));
                let echo = (vec![8, 0, 0, 0, 0, 1, 0, 1], 2);
                let macs = ([0; 6], [0; 6]);
                let request = packet(macs, peer.parse().unwrap(), own.into(), 1, echo);
                (&tunnel).write_all(&request[14..]).unwrap();
            }
        };
        exchange();
        assert_eq!(sources(&tunnel, 9), [NODE4, NODE4], "the node's own address is free");
        let renewed = gate.renew(GROUP, from_now(Duration::from_secs(60)));
        assert!(matches!(renewed, Ok(Renewal::Open { .. })));
        exchange();
        assert_eq!(sources(&tunnel, 4), [VIP4, VIP4, NODE4, NODE4]);
        gate.remove_all(upkeep).unwrap();
    });
}

#[test]
fn thousands_of_entries_are_taken_and_taken_over() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    let mut many = entries(EntryKind::Exclusive);
    for number in 0..8_000_u32 {
        let group = 100 + number % 1_000;
        let kind = EntryKind::Exclusive;
        let v4 = Ipv4Addr::from(0x0a00_0001 + number);
        let v6 = std::net::Ipv6Addr::from((0x2001_0db8_u128 << 96) + 0x1_0000 + u128::from(number));
        for address in [v4.into(), v6.into()] {
            many.push(haven_host::gate::Entry { address, kind, group });
        }
    }
    bed.node.within(|| {
        let (mut gate, _upkeep) = Gate::open(&bed.config()).unwrap();
        let started = Instant::now();
        gate.set_entries(&many).unwrap();
        println!("{} entries set in {:?}", many.len(), started.elapsed());
        bed.assert_silent("among thousands");
        let until = from_now(Duration::from_secs(60));
        for group in 100..1_100 {
            assert!(matches!(gate.renew(group, until), Ok(Renewal::Open { .. })));
        }
        drop(gate);
        let started = Instant::now();
        let (mut gate, upkeep) = Gate::open(&bed.config()).unwrap();
        println!("taken over in {:?}", started.elapsed());
        assert_eq!(gate.entries().len(), many.len());
        assert_eq!(gate.deadlines().unwrap().len(), 1_000);
        gate.set_entries(&many[..2]).unwrap();
        assert_eq!(gate.entries().len(), 2);
        bed.assert_silent("the others are gone, these stay");
        gate.remove_all(upkeep).unwrap();
    });
}
