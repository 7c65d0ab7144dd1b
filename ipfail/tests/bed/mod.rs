//! Two network namespaces with a cable between them: the host whose agent is tested, and its neighbour.

#![allow(dead_code, reason = "each test binary uses its part of the bed")]

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use haven_base::{Address, AddressChange, AddressFlags, Lifetime};
use haven_host::netlink::Netlink;
use haven_ipfail::{AgentConfig, Event, IpAgent, IpParams, ProvenByLease, parse};
use haven_skipped::{skip, this_test};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::broadcast;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Longest any test waits for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Whether namespaces can be made here; tells why not.
#[track_caller]
pub(crate) fn able() -> bool {
    if !rustix::process::geteuid().is_root() {
        skip("network namespaces need root", &this_test());
        return false;
    }
    let probe = Command::new("ip").args(["netns", "list"]).output();
    if !probe.is_ok_and(|out| out.status.success()) {
        skip("`ip netns` does not work here", &this_test());
        return false;
    }
    true
}

/// A host and its neighbour; gone when dropped.
pub(crate) struct Bed {
    pub(crate) host: String,
    pub(crate) neighbour: String,
}

impl Bed {
    /// `eth0` of the host (192.0.2.11/24, 2001:db8::11/64) is wired to `eth0` of the neighbour
    /// (192.0.2.1/24, 2001:db8::1/64).
    pub(crate) fn new() -> Self {
        let n = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let bed = Self { host: format!("hvipf-h{n}"), neighbour: format!("hvipf-n{n}") };
        for ns in [&bed.host, &bed.neighbour] {
            run("ip", &["netns", "add", ns]);
            in_ns(
                ns,
                "sysctl -qw net.ipv6.conf.all.dad_transmits=1 net.ipv6.conf.default.accept_dad=1",
            );
            in_ns(ns, "ip link set lo up");
        }
        bed.wire("eth0");
        in_ns(&bed.host, "ip addr add 192.0.2.11/24 dev eth0");
        in_ns(&bed.host, "ip addr add 2001:db8::11/64 dev eth0 nodad");
        in_ns(&bed.neighbour, "ip addr add 192.0.2.1/24 dev eth0");
        in_ns(&bed.neighbour, "ip addr add 2001:db8::1/64 dev eth0 nodad");
        in_ns(&bed.host, "ip route add default via 192.0.2.1");
        in_ns(&bed.host, "ip -6 route add default via 2001:db8::1");
        bed
    }

    /// One more cable; both ends are called `name`.
    pub(crate) fn wire(&self, name: &str) {
        run(
            "ip",
            &[
                "link",
                "add",
                name,
                "netns",
                &self.host,
                "type",
                "veth",
                "peer",
                "name",
                name,
                "netns",
                &self.neighbour,
            ],
        );
        in_ns(&self.host, &format!("ip link set {name} up"));
        in_ns(&self.neighbour, &format!("ip link set {name} up"));
    }

    /// Run `test` on a runtime whose sockets live in the host's namespace, with an agent there.
    pub(crate) fn with_agent<F>(&self, test: impl FnOnce(IpAgent) -> F + Send)
    where
        F: Future<Output = ()>,
    {
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                enter(&self.host);
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let agent = IpAgent::open(AgentConfig { garp_rate: 1000, seed: 7 }).unwrap();
                    test(agent).await;
                });
            });
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        });
    }

    pub(crate) fn on_host(&self, command: &str) -> String {
        in_ns(&self.host, command)
    }

    pub(crate) fn on_neighbour(&self, command: &str) -> String {
        in_ns(&self.neighbour, command)
    }

    /// The hardware address of the host's interface.
    pub(crate) fn mac(&self, dev: &str) -> String {
        mac_in(&self.host, dev)
    }

    /// The hardware address of the neighbour's interface.
    pub(crate) fn neighbour_mac(&self, dev: &str) -> String {
        mac_in(&self.neighbour, dev)
    }

    /// What the neighbour has cached for `ip`.
    pub(crate) fn cached(&self, ip: &str) -> String {
        self.on_neighbour(&format!("ip neigh show {ip}"))
    }

    pub(crate) fn addresses(&self) -> String {
        self.on_host("ip addr show")
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for ns in [&self.host, &self.neighbour] {
            let done = Command::new("ip").args(["netns", "del", ns]).status();
            if !done.is_ok_and(|status| status.success()) {
                eprintln!("namespace {ns} was not removed");
            }
        }
    }
}

fn mac_in(ns: &str, dev: &str) -> String {
    let text = in_ns(ns, &format!("ip -o link show {dev}"));
    let mut words = text.split_whitespace().skip_while(|word| *word != "link/ether");
    words.nth(1).unwrap_or_else(|| panic!("no hardware address in {text}")).to_owned()
}

/// Move the calling thread into a namespace: sockets opened later live there.
pub(crate) fn enter(ns: &str) {
    let file = File::open(format!("/run/netns/{ns}")).unwrap();
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network))
        .unwrap();
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).output().unwrap();
    assert!(
        out.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).into_owned()
}

pub(crate) fn in_ns(ns: &str, command: &str) -> String {
    let mut arguments = vec!["netns", "exec", ns];
    arguments.extend(command.split_whitespace());
    run("ip", &arguments)
}

pub(crate) fn params(text: &str) -> IpParams {
    let map: BTreeMap<String, String> = text
        .split_whitespace()
        .map(|word| word.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    parse(&map).unwrap_or_else(|errors| panic!("{text}: {errors}")).params
}

/// Processor time the calling thread has used, in the kernel, too.
pub(crate) fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

pub(crate) fn now() -> haven_base::Instant {
    haven_host::drive::boot_time()
}

/// A lease for the next minute.
pub(crate) fn lease() -> Option<ProvenByLease> {
    lease_for(Duration::from_secs(60))
}

pub(crate) fn lease_for(duration: Duration) -> Option<ProvenByLease> {
    Some(ProvenByLease::new("g", 1, now() + duration))
}

/// Look again until `look` finds something, up to [`LIMIT`]; how long it took and what it was.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> (Duration, T) {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return (start.elapsed(), found);
        }
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The next event that `pick` takes, up to [`LIMIT`].
pub(crate) async fn event<T>(
    events: &mut broadcast::Receiver<Event>,
    what: &str,
    mut pick: impl FnMut(&Event) -> Option<T>,
) -> T {
    let search = async {
        loop {
            let event = events.recv().await.unwrap();
            if let Some(found) = pick(&event) {
                return found;
            }
        }
    };
    tokio::time::timeout(LIMIT, search)
        .await
        .unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}"))
}

/// The protocol tag of `ip` on the host, by a netlink socket of the test's own. To be called on a thread
/// in the host's namespace.
pub(crate) fn address(ip: &str) -> Option<Address> {
    let ip: std::net::IpAddr = ip.parse().unwrap();
    Netlink::open().unwrap().addresses().unwrap().into_iter().find(|address| address.ip == ip)
}

/// Put an address with the agent's tag on an interface, as a killed agent leaves it. To be called on a
/// thread in the host's namespace.
pub(crate) fn leave_behind(cidr: &str, dev: &str) {
    let (ip, prefix_len) = cidr.split_once('/').unwrap();
    let mut netlink = Netlink::open().unwrap();
    let links = netlink.links().unwrap();
    let address = Address {
        index: links.iter().find(|link| link.name == dev).unwrap().index,
        ip: ip.parse().unwrap(),
        prefix_len: prefix_len.parse().unwrap(),
        broadcast: None,
        label: None,
        flags: AddressFlags::default(),
        protocol: haven_ipfail::PROTOCOL_TAG,
        valid: Lifetime::Forever,
        preferred: Lifetime::Forever,
    };
    for result in netlink.change(&[AddressChange::Set(address)]) {
        result.unwrap();
    }
}
