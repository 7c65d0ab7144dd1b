//! The thread with the kernel's own gate, in a network namespace.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use haven_heartbeat::{Config, Configuration, Output, Start};
use haven_host::gate::{Choice, Entry, EntryKind};
use haven_hub::Happening;
use haven_messaging::{ClusterKey, Keyring};
use haven_types::{BootId, Epoch, GroupId, LogPosition};

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);
const NODE: NodeId = NodeId(1);
const GROUP: GroupId = GroupId(7);
const OTHER: GroupId = GroupId(8);

fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let out = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(out.status.success(), "{command}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Runs `work` on a thread in a network namespace of its own. Skipped, and said, without root.
fn alone(work: impl FnOnce() + Send) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if !rustix::process::geteuid().is_root() {
        let what = haven_skipped::this_test();
        return haven_skipped::skip("making network namespaces needs root", &what);
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("hvbeat-{}-{number}", std::process::id());
    run(&format!("ip netns add {name}"));
    let place = File::open(format!("/run/netns/{name}")).unwrap();
    let worked = std::thread::scope(|scope| {
        let inside = scope.spawn(move || {
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(place.as_fd(), kind).unwrap();
            work();
        });
        inside.join()
    });
    run(&format!("ip netns del {name}"));
    worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn gate(lock: &std::path::Path, back_end: Choice) -> (Gate, Upkeep) {
    let instance = "n1".to_owned();
    let config = haven_host::gate::Config { instance, lock: lock.to_owned(), back_end };
    Gate::open(&config).unwrap()
}

/// A gate in a table that anybody may empty, as all are on kernels before 6.9, and the table's name.
fn opened(lock: &std::path::Path) -> (Gate, Upkeep, String) {
    let (made, upkeep) = gate(lock, Choice::Nft);
    let name = run("nft list tables").split_whitespace().last().unwrap().to_owned();
    made.remove_all(upkeep).unwrap();
    // One that somebody made before stays without an owner.
    run(&format!("nft add table netdev {name}"));
    let (gate, upkeep) = gate(lock, Choice::Nft);
    (gate, upkeep, name)
}

/// The groups whose gates are open.
fn open(thread: &Thread) -> Vec<GroupId> {
    let leases = thread.heart.machine().unwrap().status(boot_time()).leases;
    leases.iter().filter(|(_, lease)| lease.open).map(|(group, _)| *group).collect()
}

fn release(thread: &mut Thread, group: GroupId) {
    obey(thread, Order::Machine(Box::new(Input::Release { group })));
}

/// A thread that holds the leases of both groups.
fn holding(gate: Gate) -> (Thread, NewsReceiver, mpsc::Sender<Order>) {
    let (mut thread, mut news, orders) = thread(gate);
    obey(&mut thread, Order::Entries(vec![entry("192.0.2.1", GROUP), entry("192.0.2.2", OTHER)]));
    for group in [OTHER, GROUP] {
        claim(&mut thread, group);
    }
    assert!(gains(&mut thread, &mut news, PATIENCE));
    assert_eq!(open(&thread), [GROUP, OTHER]);
    (thread, news, orders)
}

/// Does what time brings until the gates of the groups left open are these.
fn until_open(thread: &mut Thread, groups: &[GroupId]) {
    let end = boot_time() + PATIENCE;
    while open(thread) != groups {
        assert!(boot_time() < end, "open: {:?}", open(thread));
        thread.tick_if_due();
        std::thread::yield_now();
    }
}

#[test]
fn a_released_group_takes_no_newcomers_for_a_moment_before_its_gate_closes() {
    alone(|| {
        let directory = tempfile::tempdir().unwrap();
        for back_end in [Choice::Bpf, Choice::Nft] {
            let (gate, upkeep) = gate(&directory.path().join("gate"), back_end);
            let (mut thread, _news, _orders) = holding(gate);
            let (writes, failures) = thread.report().gate_writes;
            release(&mut thread, GROUP);
            assert_eq!(open(&thread), [GROUP, OTHER], "who was accepted gets an answer");
            assert_eq!(thread.report().gate_writes, (writes + 1, failures));
            until_open(&mut thread, &[OTHER]);
            let (answer, _trouble) = tokio::sync::oneshot::channel();
            release(&mut thread, OTHER);
            assert!(thread.obey(Order::Stop(answer)) == Go::End);
            assert_eq!(open(&thread), [], "the end waits for nothing");
            drop((thread, upkeep));
        }
    });
}

/// The thread of the only voter there is, that holds no lease yet.
fn thread(gate: Gate) -> (Thread, NewsReceiver, mpsc::Sender<Order>) {
    let boot = BootId(1);
    let position = LogPosition::default();
    let voters = [NODE].into();
    let config = Config {
        start: Start::First,
        configurations: vec![Configuration { position, voters, outgoing: None }],
        epochs: [(GROUP, Epoch(1)), (OTHER, Epoch(1))].into(),
        // A processor that is busy with other tests must not cost the lease.
        floor: Duration::from_secs(2),
        ..Config::new(NODE, boot)
    };
    let (orders, inbox) = mpsc::channel();
    let (news, receiver) = outbox::channel();
    let local = Local { node: NODE, boot, salt: 1 };
    let thread = Thread {
        heart: Heart::new(config, Vec::new(), boot_time()),
        frames: Frames::new(local, Keyring::new(ClusterKey { epoch: 1, secret: [1; 32] })),
        rejections: Rejections::new(),
        links: BTreeMap::new(),
        link_trouble: BTreeMap::new(),
        addresses: BTreeMap::new(),
        names: Names::new(),
        keeper: Gatekeeper::new(gate),
        entries_trouble: None,
        inbox,
        waker: Waker::new().unwrap(),
        news,
        sealed: Vec::new(),
        next_upkeep: boot_time() + UPKEEP,
        beaten: false,
        _alive: Arc::new(()),
        unscheduled: None,
    };
    (thread, receiver, orders)
}

fn entry(address: &str, group: GroupId) -> Entry {
    let address: IpAddr = address.parse().unwrap();
    Entry { address, kind: EntryKind::Exclusive, group: group.0 }
}

fn obey(thread: &mut Thread, order: Order) {
    assert!(thread.obey(order) == Go::On);
}

fn claim(thread: &mut Thread, group: GroupId) {
    obey(thread, Order::Machine(Box::new(Input::Claim { group, epoch: Epoch(1) })));
}

/// Whether the lease of the group is held after what time brings until then.
fn gains(thread: &mut Thread, news: &mut NewsReceiver, within: Duration) -> bool {
    let end = boot_time() + within;
    while boot_time() < end {
        thread.tick_if_due();
        while let Ok(item) = news.try_recv() {
            if let News::Told(Happening::Heartbeat(Output::LeaseGained { group: GROUP, .. })) = item
            {
                return true;
            }
        }
        std::thread::yield_now();
    }
    false
}

fn told(news: &mut NewsReceiver) -> Option<String> {
    match news.try_recv() {
        Ok(News::Entries(trouble)) => trouble,
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_lease_is_gained_until_its_addresses_are_under_the_gate_that_the_kernel_did_not_take() {
    alone(|| {
        let directory = tempfile::tempdir().unwrap();
        let (gate, mut upkeep, table) = opened(&directory.path().join("gate"));
        let (mut thread, mut news, _orders) = thread(gate);
        let wanted = vec![entry("192.0.2.1", GROUP), entry("2001:db8::1", GROUP)];
        // As `nftables.service` does when the host boots.
        run(&format!("nft delete table netdev {table}"));
        obey(&mut thread, Order::Entries(wanted));
        let trouble = told(&mut news).unwrap();
        assert!(trouble.contains("does not start"), "{trouble}");
        upkeep.repair().unwrap();
        // The table is there again, and the addresses are not.
        claim(&mut thread, GROUP);
        assert!(!gains(&mut thread, &mut news, Duration::from_millis(500)));
        thread.next_upkeep = boot_time();
        thread.upkeep_if_due();
        assert_eq!(told(&mut news), None, "the alarm ends");
        assert!(gains(&mut thread, &mut news, PATIENCE));
        thread.next_upkeep = boot_time();
        thread.upkeep_if_due();
        let mut rest = std::iter::from_fn(|| news.try_recv().ok());
        assert!(!rest.any(|item| matches!(item, News::Entries(_))), "said once");
    });
}

#[test]
fn an_address_that_makes_no_sense_keeps_its_own_group_closed_and_no_other() {
    alone(|| {
        let directory = tempfile::tempdir().unwrap();
        let (gate, _upkeep, _) = opened(&directory.path().join("gate"));
        let (mut thread, mut news, _orders) = thread(gate);
        obey(
            &mut thread,
            Order::Entries(vec![entry("127.0.0.1", OTHER), entry("192.0.2.1", GROUP)]),
        );
        let trouble = told(&mut news).unwrap();
        assert!(trouble.contains("127.0.0.1"), "{trouble}");
        for group in [OTHER, GROUP] {
            claim(&mut thread, group);
        }
        assert!(gains(&mut thread, &mut news, PATIENCE));
        let leases = thread.heart.machine().unwrap().status(boot_time()).leases.len();
        assert_eq!((leases, open(&thread)), (2, vec![GROUP]));
    });
}
