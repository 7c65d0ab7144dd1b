//! The second back end: what differs, and that the rest does not.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use haven_host::gate::{BackEnd, Choice, Config, Entry, EntryKind, Gate, Renewal, Upkeep};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::bed::{Bed, GROUP, PATIENCE, Port, SILENCE, entries, from_now, possible};
use crate::daemon::Daemon;
use crate::enforcement::{forged, heard_of};
use crate::frames::Answer;

fn opened(bed: &Bed) -> (Gate, Upkeep) {
    let mut config = bed.config();
    config.back_end = Choice::Nft;
    let (mut gate, upkeep) = Gate::open(&config).unwrap();
    assert_eq!(upkeep.status().back_end, BackEnd::Nftables);
    gate.set_entries(&entries(EntryKind::Exclusive)).unwrap();
    (gate, upkeep)
}

/// Makes the gate's table as somebody else does: without an owner, as on kernels before 6.9. Returns its name.
fn ownerless(bed: &Bed) -> String {
    let (gate, upkeep) = opened(bed);
    let name = table(bed);
    gate.remove_all(upkeep).unwrap();
    bed.node.run(&format!("nft add table netdev {name}"));
    name
}

fn owner(bed: &Bed) -> Daemon {
    let mut daemon = Daemon::start(bed);
    assert_eq!(daemon.ask("choice nft"), "ok");
    daemon.own("exclusive");
    daemon
}

fn renewed(gate: &mut Gate, ahead: Duration) {
    let until = from_now(ahead);
    assert_eq!(gate.renew(GROUP, until).unwrap(), Renewal::Open { until });
}

#[test]
fn kinds_differ_as_in_bpf() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let (mut gate, upkeep) = opened(&bed);
        assert_eq!(upkeep.status().missing, []);
        for (kind, closed, open) in [
            (EntryKind::RealServer, &Answer::TRAFFIC[..], &Answer::TRAFFIC[..]),
            (EntryKind::Anycast, &Answer::TRAFFIC, &Answer::ALL),
            (EntryKind::BucketSet, &[], &Answer::ALL),
            (EntryKind::Exclusive, &[], &Answer::ALL),
        ] {
            gate.set_entries(&entries(kind)).unwrap();
            bed.wait_for(closed, &format!("{kind:?} without a lease"));
            renewed(&mut gate, Duration::from_secs(60));
            bed.wait_for(open, &format!("{kind:?} with a lease"));
            gate.close(GROUP).unwrap();
        }
        gate.remove_all(upkeep).unwrap();
        bed.assert_open("removed");
    });
}

#[test]
fn whole_frames_from_raw_sockets_do_not_claim_the_address() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    let raw = Port::open(&bed.node, "lan0");
    bed.node.within(|| {
        let (mut gate, upkeep) = opened(&bed);
        let whole = || {
            forged().into_iter().filter(|(what, _)| !what.contains("cut") && !what.contains("VLAN"))
        };
        for (what, frame) in whole() {
            assert!(!heard_of(&bed, &raw, &frame), "{what} left a closed gate");
        }
        renewed(&mut gate, Duration::from_secs(60));
        for (what, frame) in whole() {
            assert!(heard_of(&bed, &raw, &frame), "{what} at an open gate");
        }
        gate.remove_all(upkeep).unwrap();
    });
}

#[test]
fn a_killed_owner_falls_silent_at_the_deadline_and_its_successor_takes_over() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    let mut first = owner(&bed);
    assert!(first.ask("renew 60000").starts_with("open"));
    first.kill();
    bed.assert_open("the owner is dead, its lease is not");
    let mut second = Daemon::start(&bed);
    assert_eq!(second.ask("choice nft"), "ok");
    assert_eq!(second.ask("open"), "ok");
    assert_eq!(second.ask("open-groups"), "1");
    bed.assert_open("taken over");
    for _ in 0..20 {
        // Renewals go to the two sets in turn; each counts alone.
        let answer = second.ask("renew 400");
        assert!(answer.starts_with("open"), "{answer}");
    }
    let until = from_now(Duration::from_millis(400));
    second.kill();
    while from_now(Duration::ZERO) < until {
        bed.port.receive(until.since(from_now(Duration::ZERO)));
    }
    bed.assert_silent("past the deadline");
    let mut third = Daemon::start(&bed);
    assert_eq!(third.ask("choice nft"), "ok");
    assert_eq!(third.ask("open"), "ok");
    assert_eq!(third.ask("open-groups"), "0");
    bed.assert_silent("taking over opens nothing");
}

#[test]
fn a_deadline_shorter_than_a_tick_writes_nothing() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let (mut gate, upkeep) = opened(&bed);
        renewed(&mut gate, Duration::from_secs(60));
        let short = from_now(Duration::from_micros(900));
        assert_eq!(gate.renew(GROUP, short).unwrap(), Renewal::Lapsed);
        assert_eq!(gate.deadlines().unwrap(), []);
        bed.assert_silent("less than a tick is nothing");
        gate.remove_all(upkeep).unwrap();
    });
}

/// Handles events, as the daemon does, until the node is silent; how long that took.
fn until_silent(bed: &Bed, upkeep: &mut Upkeep) -> Duration {
    let started = Instant::now();
    loop {
        let repair = upkeep.on_event().unwrap();
        if repair.restored.iter().any(|(name, _)| name == "lan0") {
            let took = started.elapsed();
            assert_eq!(bed.answers(), BTreeSet::new());
            return took;
        }
        assert!(started.elapsed() < PATIENCE, "no event told of the flush");
    }
}

/// The name of the gate's table.
fn table(bed: &Bed) -> String {
    let command = ["netns", "exec", &bed.node.name, "nft", "list", "tables"];
    let out = Command::new("ip").args(command).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    text.split_whitespace().last().unwrap().to_owned()
}

/// Whether tables can have an owner and outlive it: since kernel 6.9.
fn owner_persists() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (6, 9)
}

/// The limit that ADR 1 names: a table belongs to nobody once its owner is dead.
#[test]
fn a_flush_while_the_daemon_is_dead_opens_the_address_until_one_starts() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    let mut first = owner(&bed);
    assert!(first.ask("renew 150").starts_with("open"));
    first.kill();
    bed.wait_for(&[], "the daemon is dead and its lease over");
    bed.node.run("nft flush ruleset");
    bed.assert_open("the table went with the flush");
    let mut second = Daemon::start(&bed);
    assert_eq!(second.ask("choice nft"), "ok");
    second.own("exclusive");
    bed.assert_silent("a daemon runs again");
}

#[test]
fn a_flush_by_others_is_refused_by_the_kernel_or_mended_within_fifty_milliseconds() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let (mut gate, mut upkeep) = opened(&bed);
        bed.node.run("nft flush ruleset");
        if owner_persists() {
            bed.assert_silent("the kernel keeps a table with an owner");
        } else {
            until_silent(&bed, &mut upkeep);
        }
        let name = table(&bed);
        gate.remove_all(upkeep).unwrap();

        // A table that somebody made before has no owner, as on kernels before 6.9.
        bed.node.run(&format!("nft add table netdev {name}"));
        (gate, upkeep) = opened(&bed);
        renewed(&mut gate, Duration::from_secs(60));
        bed.assert_open("renewed");
        gate.close(GROUP).unwrap();
        bed.assert_silent("closed");
        bed.node.run("nft flush ruleset");
        let took = until_silent(&bed, &mut upkeep);
        println!("mended {took:?} after the flush was over");
        assert!(took < Duration::from_millis(50));
        renewed(&mut gate, Duration::from_secs(60));
        bed.assert_open("the group can be opened again");
        gate.remove_all(upkeep).unwrap();
    });
}

/// Empties the table as programs do that do not look whether the ruleset changes meanwhile (`nft` itself begins anew
/// then, and never gets in between), and leaves it without an owner, as all are on kernels before 6.9.
fn empty_table(socket: &Socket, name: &str) {
    let message = |kind: u16, flags: u16, header: [u8; 4], attribute: &[u8]| {
        let length = u32::try_from(20 + attribute.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
        bytes.extend([[0; 8].as_slice(), &header, attribute].concat());
        bytes
    };
    let mut table = u16::try_from(5 + name.len()).unwrap().to_ne_bytes().to_vec();
    table.extend([&1_u16.to_ne_bytes(), name.as_bytes(), &[0]].concat());
    table.resize(table.len().next_multiple_of(4), 0);
    let (request, create) = (1, 1 | 0x400);
    let batch = [
        message(16, request, [0, 0, 0, 10], &[]),
        // NFT_MSG_DELTABLE and NFT_MSG_NEWTABLE of the family netdev
        message(10 << 8 | 2, request, [5, 0, 0, 0], &table),
        message(10 << 8, create, [5, 0, 0, 0], &table),
        message(17, request, [0, 0, 0, 10], &[]),
    ];
    socket.send(&batch.concat(), 0).unwrap();
}

/// As when the host boots: `nftables.service` flushes the ruleset after the gate was opened and before its first
/// addresses come.
#[test]
fn addresses_that_came_while_the_table_was_gone_are_put_when_they_are_set_again() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let name = ownerless(&bed);
        let config = Config { back_end: Choice::Nft, ..bed.config() };
        let (mut gate, mut upkeep) = Gate::open(&config).unwrap();
        empty_table(&Socket::new(NETLINK_NETFILTER).unwrap(), &name);
        let wanted = entries(EntryKind::Exclusive);
        gate.set_entries(&wanted).unwrap_err();
        upkeep.repair().unwrap();
        assert_eq!(gate.entries(), [], "nobody takes them for gated");
        bed.assert_open("the table is there again, the addresses are not");
        gate.set_entries(&wanted).unwrap();
        bed.assert_silent("no lease");
        gate.remove_all(upkeep).unwrap();
    });
}

#[test]
fn an_address_that_is_refused_keeps_no_other_from_the_gate() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let config = Config { back_end: Choice::Nft, ..bed.config() };
        let (mut gate, upkeep) = Gate::open(&config).unwrap();
        let good = entries(EntryKind::Exclusive);
        let mut many = vec![Entry { address: [127, 0, 0, 1].into(), ..good[0] }];
        many.extend(good);
        let error = gate.set_entries(&many).unwrap_err();
        assert!(error.to_string().contains("127.0.0.1"), "{error}");
        assert_eq!(gate.entries().len(), 2);
        bed.assert_silent("no lease");
        gate.set_entries(&many[..1]).unwrap_err();
        assert_eq!(gate.entries(), [], "what is not wanted any more goes all the same");
        gate.remove_all(upkeep).unwrap();
    });
}

/// How long a flush is tried in the midst of mending one: where one processor does both, they seldom meet.
const RACED: Duration = Duration::from_secs(30);

#[test]
fn flushes_in_the_midst_of_mending_one_leave_every_address_under_the_gate() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let name = ownerless(&bed);
        let (mut gate, mut upkeep) = opened(&bed);
        let mut wanted = entries(EntryKind::Exclusive);
        wanted.extend((1..=200_u8).map(|host| Entry {
            address: [198, 51, 100, host].into(),
            kind: EntryKind::Exclusive,
            group: GROUP,
        }));
        gate.set_entries(&wanted).unwrap();
        // Of this namespace, whichever thread uses it.
        let socket = Socket::new(NETLINK_NETFILTER).unwrap();
        let (mut looked, mut refused) = (0, 0);
        let begun = Instant::now();
        while looked < 20 || (refused == 0 && begun.elapsed() < RACED) {
            looked += 1;
            let looks = AtomicBool::new(true);
            empty_table(&socket, &name);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while looks.load(Ordering::Relaxed) {
                        empty_table(&socket, &name);
                    }
                });
                // What is gone again in the midst of it is put at the next look.
                refused += usize::from(upkeep.on_event().is_err());
                looks.store(false, Ordering::Relaxed);
            });
        }
        assert!(refused > 0, "none of {looked} looks found the table gone under its hands");
        upkeep.repair().unwrap();
        drop((gate, upkeep));
        let (gate, upkeep) = Gate::open(&Config { back_end: Choice::Nft, ..bed.config() }).unwrap();
        assert_eq!(gate.entries().len(), wanted.len(), "as the kernel has them");
        bed.assert_silent("no lease");
        gate.remove_all(upkeep).unwrap();
    });
}

#[test]
fn new_and_renamed_devices_get_the_gate() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let (gate, mut upkeep) = opened(&bed);
        Bed::link(&bed.node, &bed.client, "lan1");
        upkeep.on_event().unwrap();
        let second = Port::open(&bed.client, "lan1");
        assert!(bed.answers_on(&second).is_empty(), "the new device is silent");
        bed.node.run("ip link set lan1 down");
        bed.node.run("ip link set lan1 name lan9");
        bed.node.run("ip link set lan9 up");
        upkeep.on_event().unwrap();
        assert!(bed.answers_on(&second).is_empty(), "the renamed device is silent");
        assert_eq!(upkeep.status().missing, []);
        bed.node.run("ip link del lan9");
        upkeep.on_event().unwrap();
        assert_eq!(upkeep.repair().unwrap(), haven_host::gate::Repair::default());
        bed.port.receive(SILENCE);
        bed.assert_silent("the first device as before");
        gate.remove_all(upkeep).unwrap();
    });
}
