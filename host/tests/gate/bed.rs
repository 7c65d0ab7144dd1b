//! Two network namespaces, a node and a client, on one link; the client sees every frame.
#![allow(unsafe_code, reason = "packet sockets need sockaddr_ll, which no safe wrapper offers")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use haven_host::gate::{Choice, Config, Entry, EntryKind};
use haven_skipped::{skip, this_test};

use crate::frames::{
    Answer, CLIENT_MAC, CLIENT4, CLIENT6, NODE_MAC, NODE4, NODE6, VIP4, VIP6, claim, stimuli,
};

/// Longest a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long a test listens for what must not come: an answer takes well under a millisecond.
pub(crate) const SILENCE: Duration = Duration::from_millis(60);

/// Runs `command` (words) and fails the test with its output when it fails.
pub(crate) fn run(command: &str) {
    let mut words = command.split_whitespace();
    let out = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(out.status.success(), "{command}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A named network namespace, deleted at the end.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Namespace {
    pub(crate) fn new(role: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hvgate-{}-{number}-{role}", std::process::id());
        run(&format!("ip netns add {name}"));
        let made = Self { name };
        made.run("ip link set lo up");
        made
    }

    /// Runs `command` inside.
    pub(crate) fn run(&self, command: &str) {
        run(&format!("ip netns exec {} {command}", self.name));
    }

    /// Runs `work` on a thread inside.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let place = File::open(format!("/run/netns/{}", self.name)).unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                rustix::thread::move_into_link_name_space(
                    place.as_fd(),
                    Some(rustix::thread::LinkNameSpaceType::Network),
                )
                .unwrap();
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["netns", "del", &self.name]).output());
    }
}

/// A packet socket: sends and hears whole frames.
#[derive(Debug)]
pub(crate) struct Port {
    fd: OwnedFd,
}

impl Port {
    /// On `device` of `namespace`.
    pub(crate) fn open(namespace: &Namespace, device: &str) -> Self {
        namespace.within(|| Self::here(device).unwrap())
    }

    fn here(device: &str) -> io::Result<Self> {
        let all = u16::try_from(libc::ETH_P_ALL).unwrap().to_be();
        // SAFETY: plain system calls; the descriptor is new and owned from here on.
        let fd = unsafe {
            let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            let raw = libc::socket(libc::AF_PACKET, flags, i32::from(all));
            if raw < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(raw)
        };
        let index = rustix::net::netdevice::name_to_index(&fd, device)?;
        // SAFETY: all zeroes is a valid sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
        address.sll_protocol = all;
        address.sll_ifindex = i32::try_from(index).unwrap();
        let length = u32::try_from(size_of::<libc::sockaddr_ll>()).unwrap();
        // SAFETY: `address` is a sockaddr_ll of `length` bytes.
        let bound =
            unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(&address).cast(), length) };
        if bound < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { fd })
    }

    /// Sends a whole frame. A frame the gate drops on its way out is an error here (ENOBUFS) or silence.
    pub(crate) fn send(&self, frame: &[u8]) {
        match rustix::net::send(&self.fd, frame, rustix::net::SendFlags::empty()) {
            Ok(_) | Err(rustix::io::Errno::NOBUFS) => {}
            Err(e) => panic!("cannot send a frame: {e}"),
        }
    }

    /// The next frame, or none within `limit`.
    pub(crate) fn receive(&self, limit: Duration) -> Option<Vec<u8>> {
        let end = Instant::now() + limit;
        let mut buffer = vec![0_u8; 2048];
        loop {
            match rustix::net::recv(&self.fd, &mut buffer, rustix::net::RecvFlags::empty()) {
                Ok((length, _)) => {
                    buffer.truncate(length);
                    return Some(buffer);
                }
                Err(rustix::io::Errno::AGAIN) => {}
                Err(e) => panic!("cannot receive a frame: {e}"),
            }
            let left = end.checked_duration_since(Instant::now())?;
            let left = rustix::event::Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap(),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut wait = [rustix::event::PollFd::new(&self.fd, rustix::event::PollFlags::IN)];
            if rustix::event::poll(&mut wait, Some(&left)).unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Throws away what has been heard so far.
    pub(crate) fn forget(&self) {
        while self.receive(Duration::ZERO).is_some() {}
    }
}

/// A node with both VIPs configured, and a client beside it.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) node: Namespace,
    pub(crate) client: Namespace,
    pub(crate) port: Port,
    pub(crate) lock: PathBuf,
}

/// Why this machine cannot run the tests, said once per test; never a silent pass.
#[track_caller]
pub(crate) fn possible() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    skip("making network namespaces needs root", &this_test());
    false
}

impl Bed {
    pub(crate) fn new() -> Self {
        let node = Namespace::new("node");
        let client = Namespace::new("client");
        Self::link(&node, &client, "lan0");
        client.run(&format!("ip addr add {CLIENT4}/24 dev lan0"));
        client.run(&format!("ip addr add {CLIENT6}/64 dev lan0 nodad"));
        for setting in [
            "net.ipv4.icmp_ratelimit=0",
            "net.ipv6.icmp.ratelimit=0",
            "net.ipv4.icmp_msgs_per_sec=100000",
        ] {
            // The last one belongs to the whole machine on old kernels.
            drop(
                Command::new("ip")
                    .args(["netns", "exec", &node.name, "sysctl", "-qw", setting])
                    .output(),
            );
        }
        let bed = Self {
            port: Port::open(&client, "lan0"),
            lock: PathBuf::from(format!("/run/{}.lock", node.name)),
            node,
            client,
        };
        bed.address_node("lan0");
        bed
    }

    /// A pair of devices named `device` in both namespaces.
    pub(crate) fn link(node: &Namespace, client: &Namespace, device: &str) {
        let mac = |m: [u8; 6]| m.map(|b| format!("{b:02x}")).join(":");
        run(&format!(
            "ip -n {} link add {device} address {} type veth peer name {device} address {} netns {}",
            node.name,
            mac(NODE_MAC),
            mac(CLIENT_MAC),
            client.name
        ));
        for side in [node, client] {
            side.run(&format!("sysctl -qw net.ipv6.conf.{device}.accept_dad=0"));
            side.run(&format!("ip link set {device} up"));
        }
    }

    /// Gives `device` of the node its own addresses and both VIPs.
    pub(crate) fn address_node(&self, device: &str) {
        let mac = CLIENT_MAC.map(|b| format!("{b:02x}")).join(":");
        for address in [format!("{NODE4}/24"), format!("{VIP4}/24")] {
            self.node.run(&format!("ip addr add {address} dev {device}"));
        }
        for address in [format!("{NODE6}/64"), format!("{VIP6}/64")] {
            self.node.run(&format!("ip addr add {address} dev {device} nodad"));
        }
        for client in [IpAddr::from(CLIENT4), IpAddr::from(CLIENT6)] {
            self.node.run(&format!("ip neigh replace {client} lladdr {mac} dev {device}"));
        }
    }

    pub(crate) fn config(&self) -> Config {
        Config { instance: "n1".to_owned(), lock: self.lock.clone(), back_end: Choice::Auto }
    }

    /// The ways the node answers for the VIPs now: all there are, or those within [`SILENCE`].
    pub(crate) fn answers(&self) -> BTreeSet<Answer> {
        self.answers_on(&self.port)
    }

    pub(crate) fn answers_on(&self, port: &Port) -> BTreeSet<Answer> {
        self.answers_for(port, VIP4, VIP6)
    }

    pub(crate) fn answers_for(
        &self,
        port: &Port,
        vip4: Ipv4Addr,
        vip6: Ipv6Addr,
    ) -> BTreeSet<Answer> {
        port.forget();
        for frame in stimuli(vip4, vip6) {
            port.send(&frame);
        }
        let end = Instant::now() + SILENCE;
        let mut seen = BTreeSet::new();
        while seen.len() < Answer::ALL.len() {
            let Some(left) = end.checked_duration_since(Instant::now()) else { break };
            let Some(frame) = port.receive(left) else { break };
            // Our own frames come back from the packet socket, too.
            if frame[6..12] == CLIENT_MAC {
                continue;
            }
            if let Some((address, Some(answer))) = claim(&frame)
                && (address == vip4 || address == vip6)
            {
                seen.insert(answer);
            }
        }
        seen
    }

    /// Fails unless the node answers for the VIPs in every way.
    pub(crate) fn assert_open(&self, when: &str) {
        self.wait_for(&Answer::ALL, when);
    }

    /// Fails when the node answers for the VIPs in any way.
    pub(crate) fn assert_silent(&self, when: &str) {
        assert_eq!(self.answers(), BTreeSet::new(), "{when}");
    }

    /// Waits until exactly `expected` are the answers.
    pub(crate) fn wait_for(&self, expected: &[Answer], when: &str) {
        let expected: BTreeSet<Answer> = expected.iter().copied().collect();
        let end = Instant::now() + PATIENCE;
        loop {
            let seen = self.answers();
            if seen == expected {
                return;
            }
            assert!(Instant::now() < end, "{when}: {seen:?} instead of {expected:?}");
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.lock));
    }
}

/// The group of both VIPs.
pub(crate) const GROUP: u32 = 7;

pub(crate) fn entries(kind: EntryKind) -> Vec<Entry> {
    [IpAddr::from(VIP4), IpAddr::from(VIP6)]
        .map(|address| Entry { address, kind, group: GROUP })
        .to_vec()
}

/// `CLOCK_BOOTTIME` plus `ahead`.
/// To 2 ns, as exactly as the gate holds deadlines.
pub(crate) fn from_now(ahead: Duration) -> haven_base::Instant {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let nanos = u64::try_from(now.tv_sec).unwrap() * 1_000_000_000;
    let nanos = nanos + u64::try_from(now.tv_nsec).unwrap();
    haven_base::Instant::from_nanos(nanos & !1) + ahead
}
