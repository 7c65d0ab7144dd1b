//! Tests in a network namespace of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use haven_skipped::{skip, this_test};

use super::channel::{ChannelEvent, tests::couple};
use super::*;

/// Runs a test on a thread in a fresh network namespace, which ends with it. Without the right to make
/// one it says so.
#[track_caller]
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let name = this_test();
    let thread = std::thread::spawn(move || {
        #[allow(unsafe_code, reason = "rustix marks it unsafe for the flags that share memory")]
        // SAFETY: a new network namespace changes no memory or descriptor of this thread.
        let entered = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
        match entered {
            Ok(()) => {
                run("ip link set lo up");
                test();
            }
            Err(error) => {
                assert!(!rustix::process::geteuid().is_root(), "root makes namespaces: {error}");
                skip(&format!("this user may not make a network namespace ({error})"), &name);
            }
        }
    });
    assert!(thread.join().is_ok(), "the test in the namespace failed");
}

fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap();
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How many packets the rule with a counter in the table `cut` has dropped.
fn dropped() -> u32 {
    let rules = run("nft list table inet cut");
    let (_, count) = rules.split_once("counter packets ").unwrap();
    count.split(' ').next().unwrap().parse().unwrap()
}

fn link(address: &str, device: Option<&str>) -> UdpLink {
    let local = address.parse().unwrap();
    UdpLink::new(LinkSpec { local, device: device.map(str::to_owned) })
}

#[test]
fn a_link_waits_for_its_address_and_survives_its_loss() {
    in_namespace(|| {
        run("ip link add hvmsg7 type veth peer name hvmsg9");
        run("ip link set hvmsg9 up");
        run("ip link set hvmsg7 up");
        let mut a = link("10.99.0.1:5405", None);
        assert!(matches!(a.state(), LinkState::Pending(Pending::AddressMissing(_))));
        run("ip addr add 10.99.0.1/24 dev hvmsg7");
        assert!(a.retry());
        assert_eq!(*a.state(), LinkState::Bound);
        let mut b = link("127.0.0.1:5405", None);
        let (to_a, to_b) = (a.spec().local, b.spec().local);
        assert_eq!(a.send(to_b, b"one"), Sent::Yes);
        run("ip addr del 10.99.0.1/24 dev hvmsg7");
        assert_eq!(a.send(to_b, b"two"), Sent::Pending);
        assert!(matches!(a.state(), LinkState::Pending(Pending::AddressMissing(_))));
        assert!(!a.retry(), "still gone");
        run("ip addr add 10.99.0.1/24 dev hvmsg7");
        assert!(a.retry());
        assert_eq!(a.send(to_b, b"three"), Sent::Yes);
        assert_eq!(*a.state(), LinkState::Bound);
        let mut got = Vec::new();
        b.receive(&mut Batch::new(4, 100), |from, bytes| got.push((from, bytes.to_vec())));
        assert_eq!(got, [(to_a, b"one".to_vec()), (to_a, b"three".to_vec())]);
        assert_eq!(b.send(to_a, b"four"), Sent::Yes);
        let received = a.receive(&mut Batch::new(4, 100), |_, bytes| assert_eq!(bytes, b"four"));
        assert_eq!(received.datagrams, 1, "receives as before");
        run("ip link set hvmsg7 down");
        let away = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 99, 0, 9)), 5405);
        assert_eq!(a.send(away, b"five"), Sent::Unreachable);
    });
}

#[test]
fn a_link_bound_to_an_interface_survives_its_renaming_and_waits_for_a_new_one() {
    in_namespace(|| {
        let mut a = link("10.99.0.1:5405", Some("hvmsg7"));
        assert_eq!(*a.state(), LinkState::Pending(Pending::DeviceMissing("hvmsg7".to_owned())));
        let make = || {
            run("ip link add hvmsg7 type veth peer name hvmsg9");
            run("ip link set hvmsg9 up");
            run("ip addr add 10.99.0.1/24 dev hvmsg7");
            run("ip link set hvmsg7 up");
        };
        make();
        assert!(a.retry());
        let away = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 99, 0, 9)), 5405);
        assert_eq!(a.send(away, b"one"), Sent::Yes);
        run("ip link set hvmsg7 down");
        run("ip link set hvmsg7 name hvmsg8");
        run("ip link set hvmsg8 up");
        assert_eq!(a.send(away, b"two"), Sent::Yes, "the same interface by another name");
        run("ip link del hvmsg8");
        assert_eq!(a.send(away, b"three"), Sent::Pending);
        assert!(a.fd().is_none());
        make();
        assert!(a.retry());
        assert_eq!(a.send(away, b"four"), Sent::Yes);
    });
}

#[test]
fn a_healed_path_is_used_at_once_when_kicked_and_does_not_wait_for_tcp() {
    in_namespace(|| {
        run("ip link add hvmsg7 type veth peer name hvmsg9");
        run("ip link set hvmsg9 up");
        for address in ["10.99.0.1/24", "10.99.0.2/24"] {
            run(&format!("ip addr add {address} dev hvmsg7"));
        }
        run("ip link set hvmsg7 up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut a, mut b) = couple("10.99.0.1:5406", "10.99.0.2:5406").await;
            run("nft add table inet cut");
            run("nft add chain inet cut out { type filter hook output priority 0 ; }");
            run("nft add rule inet cut out ip saddr 10.99.0.1 tcp dport 5406 tcp flags psh counter drop");
            run("nft add rule inet cut out ip saddr 10.99.0.0/24 drop");
            a.channel.send("b", Bytes::from_static(b"lost")).unwrap();
            // The segment, a probe of its loss, and what the timer repeated, first after 0.2 s and then each time after twice
            // as long: it would be tried next later than a kick may take.
            let patience = Instant::now() + Duration::from_secs(30);
            while dropped() < 4 {
                assert!(Instant::now() < patience, "TCP repeated {} segments", dropped());
                // paced: the kernel's timer runs in real time
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(a.channel.status()["b"].connected, "TCP still hopes");
            run("nft delete table inet cut");
            let healed = Instant::now();
            a.channel.kick("b");
            a.event_like(|event| matches!(event, ChannelEvent::Connected { .. })).await;
            while a.channel.send("b", Bytes::from_static(b"again")).is_err() {
                tokio::task::yield_now().await;
            }
            let again = Bytes::from_static(b"again");
            let arrived = |event: &ChannelEvent| {
                matches!(event, ChannelEvent::Frame { bytes, .. } if *bytes == again)
            };
            b.event_like(arrived).await;
            let took = healed.elapsed();
            println!("a frame crosses {took:?} after the path healed");
            assert!(took < Duration::from_millis(500), "{took:?}");
        });
    });
}

#[test]
fn a_dead_path_is_noticed_within_seconds_and_left_again_by_itself() {
    in_namespace(|| {
        run("ip link add hvmsg7 type veth peer name hvmsg9");
        run("ip link set hvmsg9 up");
        for address in ["10.99.0.1/24", "10.99.0.2/24"] {
            run(&format!("ip addr add {address} dev hvmsg7"));
        }
        run("ip link set hvmsg7 up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut a, _b) = couple("10.99.0.1:5406", "10.99.0.2:5406").await;
            run("nft add table inet cut");
            run("nft add chain inet cut out { type filter hook output priority 0 ; }");
            run("nft add rule inet cut out ip saddr 10.99.0.0/24 drop");
            let cut = Instant::now();
            a.channel.send("b", Bytes::from_static(b"lost")).unwrap();
            a.event_like(|event| matches!(event, ChannelEvent::Disconnected { .. })).await;
            let noticed = cut.elapsed();
            assert!(noticed < Duration::from_secs(8), "{noticed:?}");
            run("nft delete table inet cut");
            let healed = Instant::now();
            a.event_like(|event| matches!(event, ChannelEvent::Connected { .. })).await;
            let took = healed.elapsed();
            println!("noticed after {noticed:?}, connected {took:?} after the heal without a kick");
            assert!(took < Duration::from_secs(4), "{took:?}");
        });
    });
}
