//! Owners killed, stopped, restarted, or started where they may not or cannot.
#![allow(unsafe_code, reason = "prctl installs the filter that plays a kernel without bpf(2)")]

use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use haven_host::gate::{BackEnd, Choice, Config, EntryKind, Gate, GateError, Renewal};
use rustix::process::Signal;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::bed::{Bed, GROUP, Namespace, PATIENCE, entries, from_now, possible, run};
use crate::daemon::Daemon;
use crate::frames::{CLIENT4, CLIENT6, VIP4, VIP6};

/// How many UDP probes of the VIP, one each millisecond, went unanswered during `work`; and how many there were.
pub(crate) fn lost_during(bed: &Bed, work: impl FnOnce()) -> (u32, u32) {
    let server = bed.node.within(|| UdpSocket::bind((VIP4, 7000)).unwrap());
    let client = bed.client.within(|| UdpSocket::bind((CLIENT4, 0)).unwrap());
    server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let (stop, probed) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 16];
            while !probed.load(Ordering::Relaxed) {
                if let Ok((length, from)) = server.recv_from(&mut buffer) {
                    server.send_to(&buffer[..length], from).unwrap();
                }
            }
        });
        let probe = scope.spawn(|| probe_each_millisecond(&client, &stop));
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        let counts = probe.join();
        // The server answers the last probe, too.
        probed.store(true, Ordering::Relaxed);
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        counts.unwrap()
    })
}

#[test]
fn a_restart_costs_no_packet_and_finds_what_the_kernel_holds() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    // The kernel stops a device's queues for a moment when its first `clsact` is made, whoever makes it.
    bed.node.run("tc qdisc add dev lan0 clsact");
    let mut old = Daemon::start(&bed);
    old.own("exclusive");
    let held = old.ask("renew 60000");
    let (lost, sent) = lost_during(&bed, || {
        for round in 0..12 {
            let mut new = Daemon::start(&bed);
            if round % 2 == 0 {
                old.kill();
            } else {
                // An orderly end: standard input closes, the gate is dropped.
                drop(std::mem::replace(&mut old, Daemon::start(&bed)));
            }
            if round % 3 == 1 {
                // The next one comes by other hooks, as after a change of the configuration.
                assert_eq!(new.ask("choice clsact"), "ok");
            }
            assert_eq!(new.ask("open"), "ok");
            let until = held.strip_prefix("open ").unwrap();
            assert_eq!(new.ask("deadline"), format!("Some({until})"));
            assert_eq!(new.ask("entries exclusive"), "ok");
            old = new;
        }
    });
    println!("{sent} probes, {lost} lost");
    assert!(sent > 20, "the probe ran");
    assert_eq!(lost, 0);
    assert_eq!(old.ask("close"), "ok");
    bed.assert_silent("the last process commands the same gate");
}

#[test]
fn the_back_end_changes_without_a_gap() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.run("tc qdisc add dev lan0 clsact");
    let mut old = Daemon::start(&bed);
    old.own("exclusive");
    assert!(old.ask("renew 60000").starts_with("open"));
    let (lost, sent) = lost_during(&bed, || {
        for choice in ["nft", "auto", "nft", "clsact", "auto"] {
            let mut new = Daemon::start(&bed);
            old.kill();
            assert_eq!(new.ask(&format!("choice {choice}")), "ok");
            assert_eq!(new.ask("open"), "ok");
            assert_eq!(new.ask("open-groups"), "1");
            old = new;
        }
    });
    println!("{sent} probes, {lost} lost");
    assert_eq!(lost, 0);
    assert_eq!(old.ask("close"), "ok");
    bed.assert_silent("the entries came along, and nothing of the other kind is left behind");
    assert!(old.ask("renew 60000").starts_with("open"));
    bed.assert_open("nothing of the other kind is in the way");
}

fn probe_each_millisecond(client: &UdpSocket, stop: &AtomicBool) -> (u32, u32) {
    let (mut sent, mut lost) = (0_u32, 0);
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        client.send_to(&sent.to_be_bytes(), (VIP4, 7000)).unwrap();
        let mut buffer = [0; 4];
        let answered = client.recv_from(&mut buffer).is_ok() && buffer == sent.to_be_bytes();
        lost += u32::from(!answered);
        sent += 1;
        next += Duration::from_millis(1);
        if let Some(left) = next.checked_duration_since(Instant::now()) {
            // The pace of the probe, not a wait for something.
            std::thread::park_timeout(left);
        }
    }
    (lost, sent)
}

#[test]
fn a_stopped_owner_keeps_the_gate_until_it_is_dead() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    let mut old = Daemon::start(&bed);
    old.own("exclusive");
    assert!(old.ask("renew 200").starts_with("open"));
    old.signal(Signal::STOP);
    let mut new = Daemon::start(&bed);
    let refused = new.ask("open");
    let expected = format!("is held by process {}", old.process());
    assert!(refused.contains(&expected), "{refused}");
    assert!(refused.contains("kill -9"), "{refused}");
    bed.wait_for(&[], "the stopped owner's deadline passes");
    old.kill();
    assert_eq!(new.ask("open"), "ok");
    assert!(new.ask("renew 60000").starts_with("open"));
    bed.assert_open("the new process has the gate");
}

#[test]
fn a_missing_capability_is_named_with_its_remedy() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    for (capability, name) in [
        (CapabilitySet::BPF, "CAP_BPF"),
        (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
        (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"),
    ] {
        let error = bed.node.within(|| {
            // The thread's own, so no other test notices.
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(capability);
            set_capabilities(None, sets).unwrap();
            Gate::open(&bed.config()).map(|_| ()).unwrap_err()
        });
        let text = error.to_string();
        assert!(matches!(error, GateError::Capability { .. }), "{text}");
        assert!(text.contains(&format!("lacks {name};")), "{text}");
        assert!(text.contains(&format!("AmbientCapabilities={name}")), "{text}");
        bed.assert_open("nothing was put in force");
    }
}

/// From here on `call` with `third` as its third argument fails with `errno`, for this thread.
///
/// With `third` 0 it fails whatever its arguments.
fn forbid(call: libc::c_long, third: u32, errno: i32) {
    let instruction = |code: u32, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt: 0,
        jf,
        k,
    };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    // Offsets in struct seccomp_data: the number, and the low half of the third argument.
    let (number, argument) = (0, if cfg!(target_endian = "little") { 32 } else { 36 });
    let mut filter = vec![
        instruction(load, 0, number),
        instruction(equal, if third == 0 { 1 } else { 3 }, u32::try_from(call).unwrap()),
    ];
    if third != 0 {
        filter.push(instruction(load, 0, argument));
        filter.push(instruction(equal, 1, third));
    }
    let answer = libc::SECCOMP_RET_ERRNO | u32::try_from(errno).unwrap();
    filter.push(instruction(libc::BPF_RET | libc::BPF_K, 0, answer));
    filter.push(instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW));
    let len = u16::try_from(filter.len()).unwrap();
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: `program` points to `len` instructions, alive through the call; the kernel copies them.
    let answer = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, std::ptr::from_ref(&program))
    };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_kernel_without_bpf_is_named_with_its_remedy() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    let mut config = bed.config();
    config.back_end = Choice::Bpf;
    let error = bed.node.within(|| {
        forbid(libc::SYS_bpf, 0, libc::ENOSYS);
        Gate::open(&config).map(|_| ()).unwrap_err()
    });
    let text = error.to_string();
    assert!(matches!(error, GateError::Unsupported { .. }), "{text}");
    assert!(text.contains("no BPF") && text.contains("CONFIG_BPF_SYSCALL"), "{text}");
}

#[test]
fn without_bpf_nftables_does_it_unless_told_otherwise() {
    if !possible() {
        return;
    }
    for errno in [libc::ENOSYS, libc::EPERM] {
        let bed = Bed::new();
        bed.node.within(|| {
            forbid(libc::SYS_bpf, 0, errno);
            let (mut gate, upkeep) = Gate::open(&bed.config()).unwrap();
            assert_eq!(upkeep.status().back_end, BackEnd::Nftables);
            gate.set_entries(&entries(EntryKind::Exclusive)).unwrap();
            bed.assert_silent("gated by nftables");
            gate.remove_all(upkeep).unwrap();
        });
    }
}

#[test]
fn a_kernel_without_nftables_is_named_with_its_remedy() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    let mut config = bed.config();
    config.back_end = Choice::Nft;
    let error = bed.node.within(|| {
        let netfilter = u32::try_from(libc::NETLINK_NETFILTER).unwrap();
        forbid(libc::SYS_socket, netfilter, libc::EPROTONOSUPPORT);
        Gate::open(&config).map(|_| ()).unwrap_err()
    });
    let text = error.to_string();
    assert!(matches!(error, GateError::Unsupported { .. }), "{text}");
    assert!(text.contains("no nftables") && text.contains("CONFIG_NF_TABLES_NETDEV"), "{text}");
}

/// The node translates: a back end behind it serves the VIP, and its replies become the VIP's.
#[test]
fn a_nat_director_is_silent_in_both_directions() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    let back = Namespace::new("back");
    run(&format!(
        "ip -n {} link add back0 type veth peer name lan0 netns {}",
        bed.node.name, back.name
    ));
    bed.node.run("ip link set back0 up");
    back.run("ip link set lan0 up");
    for (side, device, host) in [(&bed.node, "back0", 1), (&back, "lan0", 2)] {
        side.run(&format!("ip addr add 10.0.0.{host}/24 dev {device}"));
        side.run(&format!("ip addr add fd00::{host}/64 dev {device} nodad"));
    }
    for setting in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
        bed.node.run(&format!("sysctl -qw {setting}"));
    }
    back.run("ip route add default via 10.0.0.1");
    back.run("ip -6 route add default via fd00::1");
    let families = [
        ("ip", IpAddr::from(VIP4), IpAddr::from(CLIENT4), "10.0.0.2"),
        ("ip6", VIP6.into(), CLIENT6.into(), "fd00::2"),
    ];
    for (family, vip, _, server) in families {
        for rule in [
            format!("add table {family} nat"),
            format!("add chain {family} nat pre {{type nat hook prerouting priority -100;}}"),
            format!(
                "add rule {family} nat pre {family} daddr {vip} udp dport 7000 dnat to {server}"
            ),
        ] {
            bed.node.run(&format!("nft {rule}"));
        }
    }
    for choice in [Choice::Auto, Choice::Nft] {
        let mut config = bed.config();
        config.back_end = choice;
        for (_, vip, client, server) in families {
            let server = server.parse().unwrap();
            bed.node.within(|| translated(&bed, &back, &config, (vip, client, server)));
        }
    }
}

/// A question from the client to the VIP and the answer of the server behind the node, and what of both a closed gate
/// stops.
fn translated(
    bed: &Bed,
    back: &Namespace,
    config: &Config,
    (vip, client, server): (IpAddr, IpAddr, IpAddr),
) {
    let short = Some(Duration::from_millis(100));
    let server = back.within(|| UdpSocket::bind((server, 7000)).unwrap());
    let client = bed.client.within(|| UdpSocket::bind((client, 0)).unwrap());
    server.set_read_timeout(short).unwrap();
    client.set_read_timeout(short).unwrap();
    let mut buffer = [0; 16];
    let (mut gate, upkeep) = Gate::open(config).unwrap();
    gate.set_entries(&entries(EntryKind::Exclusive)).unwrap();
    client.send_to(b"1", (vip, 7000)).unwrap();
    assert!(server.recv_from(&mut buffer).is_err(), "{vip}: a closed gate is before DNAT");

    let renewed = gate.renew(GROUP, from_now(Duration::from_secs(60)));
    assert!(matches!(renewed, Ok(Renewal::Open { .. })));
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"2", (vip, 7000)).unwrap();
    let (_, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(b"answer", from).unwrap();
    assert_eq!(client.recv_from(&mut buffer).unwrap().1, (vip, 7000).into());

    // The connection is known; the back end's late reply would leave as the VIP.
    gate.close(GROUP).unwrap();
    client.set_read_timeout(short).unwrap();
    server.send_to(b"late", from).unwrap();
    assert!(client.recv_from(&mut buffer).is_err(), "a reply left as {vip}");
    gate.remove_all(upkeep).unwrap();
}
