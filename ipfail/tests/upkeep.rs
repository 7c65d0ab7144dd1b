//! What happens to held addresses when the world around them changes.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking and say what they skip"
)]

mod bed;

use std::time::{Duration, Instant};

use bed::{Bed, able, event, lease, lease_for, now, params, until};
use haven_base::Lifetime;
use haven_ipfail::{Confirmation, Event, OcfCode, ProvenByLease, Reason, VipState, VipStatus};

const V4: &str = "ip=192.0.2.10 nic=eth0 cidr_netmask=24";
const V6: &str = "ip=2001:db8::10 nic=eth0 cidr_netmask=64";

#[test]
fn an_address_deleted_by_hand_is_back_at_once() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    bed.with_agent(async |agent| {
        let mut events = agent.events();
        for (ip, text) in [("192.0.2.10/24", V4), ("2001:db8::10/64", V6)] {
            assert!(agent.start(ip, &params(text), lease()).await.is_success());
            let start = Instant::now();
            bed.on_host(&format!("ip addr del {ip} dev eth0"));
            let found = event(&mut events, "a repair", |e| {
                if let Event::Drift { found, repaired: true, .. } = e {
                    Some(found.clone())
                } else {
                    None
                }
            })
            .await;
            println!("{ip} put back within {:?} of calling `ip addr del`", start.elapsed());
            assert!(start.elapsed() < Duration::from_secs(1));
            assert!(found.contains("on no interface"), "{found}");
            assert!(bed::address(ip.split('/').next().unwrap()).is_some());
        }
        // One that came back wrong is put right, too.
        bed.on_host("ip addr del 192.0.2.10/24 dev eth0");
        bed.on_host("ip addr add 192.0.2.10/32 dev eth0");
        until("the right prefix", || {
            let all = bed.addresses();
            (all.contains("192.0.2.10/24") && !all.contains("192.0.2.10/32")).then_some(())
        })
        .await;
    });
}

#[test]
fn reconcile_report_only_tells() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    bed.with_agent(async |agent| {
        let mut events = agent.events();
        let p = params(&format!("{V4} reconcile=report"));
        assert!(agent.start("vip", &p, lease()).await.is_success());
        bed.on_host("ip addr del 192.0.2.10/24 dev eth0");
        event(&mut events, "a report", |e| {
            matches!(e, Event::Drift { repaired: false, .. }).then_some(())
        })
        .await;
        assert!(bed::address("192.0.2.10").is_none());
        assert_eq!(agent.monitor("vip", &p).await.code, OcfCode::NotRunning);
        assert_eq!(agent.status().await[0].state, VipState::Missing);
    });
}

#[test]
fn a_secondary_address_survives_the_removal_of_its_primary() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    bed.on_host("ip addr del 192.0.2.11/24 dev eth0");
    bed.on_host("sysctl -qw net.ipv4.conf.all.promote_secondaries=0 net.ipv4.conf.eth0.promote_secondaries=0");
    bed.with_agent(async |agent| {
        let second = params("ip=192.0.2.20 nic=eth0 cidr_netmask=24");
        assert!(agent.start("first", &params(V4), lease()).await.is_success());
        assert!(agent.start("second", &second, lease()).await.is_success());
        assert!(bed::address("192.0.2.20").unwrap().flags.secondary);
        assert!(agent.stop("first", &params(V4)).await.is_success());
        until("the second address", || bed::address("192.0.2.20")).await;
        assert!(bed::address("192.0.2.10").is_none());
    });
}

#[test]
fn startup_cleanup_removes_what_is_tagged_ours_and_nothing_else() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    bed.on_host("ip addr add 192.0.2.60/24 dev eth0");
    bed.with_agent(async |agent| {
        let mut events = agent.events();
        for ip in ["192.0.2.50/24", "192.0.2.51/24", "2001:db8::50/64"] {
            bed::leave_behind(ip, "eth0");
        }
        assert!(agent.start("vip", &params(V4), lease()).await.is_success());
        let mut removed = agent.cleanup(&["192.0.2.51".parse().unwrap()]).await.unwrap();
        removed.sort();
        let text: Vec<String> = removed.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["192.0.2.50", "2001:db8::50"]);
        event(&mut events, "the event", |e| matches!(e, Event::CleanedUp { .. }).then_some(()))
            .await;
        let all = bed.addresses();
        for kept in ["192.0.2.10/", "192.0.2.11/", "192.0.2.51/", "192.0.2.60/", "2001:db8::11/"] {
            assert!(all.contains(kept), "{kept} is gone: {all}");
        }
        assert!(!all.contains("192.0.2.50/") && !all.contains("2001:db8::50/"));
        assert_eq!(
            agent.cleanup(&["192.0.2.51".parse().unwrap()]).await.unwrap(),
            Vec::<std::net::IpAddr>::new()
        );
    });
}

#[test]
fn a_missing_interface_is_waited_for() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    bed.with_agent(async |agent| {
        let p = params("ip=198.51.100.10 nic=eth1 cidr_netmask=24");
        let stopped = agent.stop("vip", &p).await;
        assert!(stopped.is_success(), "stop on a missing interface: {stopped}");
        let pending = agent.start("vip", &p, lease()).await;
        assert!(pending.is_success(), "{pending}");
        assert_eq!(pending.reason, Some(Reason::Pending));
        assert_eq!(agent.status().await[0].state, VipState::Pending);
        assert_eq!(agent.monitor("vip", &p).await.reason, Some(Reason::Pending));
        let required = params("ip=198.51.100.11 nic=eth1 cidr_netmask=24 require-dev=yes");
        let refused = agent.start("strict", &required, lease()).await;
        assert_eq!(
            (refused.code, refused.reason),
            (OcfCode::ErrInstalled, Some(Reason::NoSuchDev))
        );
        bed.wire("eth1");
        until("the address on the late interface", || bed::address("198.51.100.10")).await;
        until("up", || bed.on_host("ip addr show eth1").contains("198.51.100.10").then_some(()))
            .await;
        assert!(agent.monitor("vip", &p).await.is_success());
        // Taken away and plugged in again.
        bed.on_host("ip link del eth1");
        until("gone", || bed::address("198.51.100.10").is_none().then_some(())).await;
        bed.wire("eth1");
        until("the address on the returned interface", || bed::address("198.51.100.10")).await;
        assert!(agent.stop("vip", &p).await.is_success());
        bed.on_host("ip link del eth1");
        assert!(agent.stop("vip", &p).await.is_success());
    });
}

#[test]
fn a_renamed_interface_keeps_its_address() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    bed.with_agent(async |agent| {
        let mut events = agent.events();
        let p = params(&format!("{V4} iflabel=vip"));
        assert!(agent.start("vip", &p, lease()).await.is_success());
        assert_eq!(bed::address("192.0.2.10").unwrap().label.as_deref(), Some("eth0:vip"));
        bed.on_host("ip link set eth0 name lan0");
        let to = event(&mut events, "the new name", |e| {
            if let Event::Renamed { to, .. } = e { Some(to.clone()) } else { None }
        })
        .await;
        assert_eq!(to, "lan0");
        let outcome = agent.monitor("vip", &p).await;
        assert!(outcome.is_success(), "{outcome}");
        assert_eq!(agent.status().await[0].dev.as_deref(), Some("lan0"));
        assert!(agent.stop("vip", &p).await.is_success());
        assert!(bed::address("192.0.2.10").is_none(), "removed where it was, whatever the name");
    });
}

#[test]
fn a_link_that_goes_down_fails_the_monitor_and_comes_back_announced() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    let mac = bed.mac("eth0");
    bed.with_agent(async |agent| {
        for (name, text) in [("four", V4), ("six", V6)] {
            assert!(agent.start(name, &params(text), lease()).await.is_success());
        }
        // Nothing of the start goes on that could be taken for the return.
        let start = Instant::now();
        let settled =
            |vip: &VipStatus| vip.announced >= 7 && vip.confirmed == Confirmation::Verified;
        while !agent.status().await.iter().all(settled) {
            assert!(start.elapsed() < bed::LIMIT, "{:?}", agent.status().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bed.on_host("ip link set eth0 down");
        let down = agent.monitor("four", &params(V4)).await;
        assert_eq!(down.reason, Some(Reason::LinkDown), "{down}");
        // A neighbour forgets whom it knew on a link that goes down; it is told otherwise after that.
        until("the neighbour's link to be down", || {
            bed.on_neighbour("ip link show eth0").contains("DOWN").then_some(())
        })
        .await;
        let addresses = [("192.0.2.10", "four", V4), ("2001:db8::10", "six", V6)];
        for (ip, ..) in addresses {
            bed.on_neighbour(&format!(
                "ip neigh replace {ip} lladdr 02:00:00:00:00:99 dev eth0 nud reachable"
            ));
            assert!(bed.cached(ip).contains("02:00:00:00:00:99"), "{}", bed.cached(ip));
        }
        bed.on_host("ip link set eth0 up");
        for (ip, name, text) in addresses {
            until("announced", || bed.cached(ip).contains(&mac).then_some(())).await;
            assert!(bed::address(ip).is_some());
            let up = agent.monitor(name, &params(text)).await;
            assert!(up.is_success(), "{up}");
        }
    });
}

#[test]
fn the_kernel_drops_the_address_when_the_lease_is_not_extended() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    bed.with_agent(async |agent| {
        let mut events = agent.events();
        let short = Duration::from_millis(200);
        let other = params("ip=192.0.2.20 nic=eth0 cidr_netmask=24");
        let long = ProvenByLease::new("o", 1, now() + Duration::from_secs(600));
        assert!(agent.start("other", &other, Some(long)).await.is_success());
        assert!(agent.start("vip", &params(V4), lease_for(short)).await.is_success());
        assert_eq!(bed::address("192.0.2.10").unwrap().valid, Lifetime::Seconds(3));
        // Extended: it outlives the first lifetime.
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(4500) {
            agent.extend_lifetime("g", now() + short).await;
            assert!(bed::address("192.0.2.10").is_some(), "extended, so still there");
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
        // A planned restart asks for more, and has it in the kernel when the call returns.
        agent.extend_lifetime("g", now() + Duration::from_secs(5)).await;
        let long = bed::address("192.0.2.10").unwrap().valid;
        assert!(matches!(long, Lifetime::Seconds(14..=15)), "{long:?}");
        assert!(agent.stop("vip", &params(V4)).await.is_success());
        // Not extended: the kernel removes it by itself, and nobody puts it back without a lease.
        assert!(agent.start("vip", &params(V4), lease_for(short)).await.is_success());
        let gone =
            until("dropped by the kernel", || bed::address("192.0.2.10").is_none().then_some(()));
        let (took, ()) = gone.await;
        println!("dropped by the kernel after {took:?}");
        assert!(took > Duration::from_millis(1500) && took < Duration::from_secs(6), "{took:?}");
        // Looking after everything, as another address demands it by now, leaves it away.
        bed.on_host("ip addr del 192.0.2.20/24 dev eth0");
        event(&mut events, "the other's repair", |e| {
            matches!(e, Event::Drift { repaired: true, .. }).then_some(())
        })
        .await;
        assert!(bed::address("192.0.2.20").is_some());
        assert!(bed::address("192.0.2.10").is_none());
        // The lease is back: so is the address.
        agent.extend_lifetime("g", now() + short).await;
        event(&mut events, "a repair", |e| {
            matches!(e, Event::Drift { repaired: true, .. }).then_some(())
        })
        .await;
        let late = params("ip=192.0.2.77 nic=eth0 cidr_netmask=24");
        let ended = agent.start("late", &late, Some(ProvenByLease::new("h", 1, now()))).await;
        assert_eq!(ended.reason, Some(Reason::LeaseEnded));
        assert!(bed::address("192.0.2.77").is_none());
    });
}

#[test]
fn five_hundred_addresses_are_up_within_a_second() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    bed.on_host("ip addr add 10.9.0.1/16 dev eth0");
    bed.with_agent(async |agent| {
        let list: Vec<String> =
            (0..500).map(|n| format!("10.9.{}.{}", 1 + n / 200, 1 + n % 200)).collect();
        let p = params(&format!("ip={} nic=eth0 cidr_netmask=16", list.join(",")));
        // Judged by the fastest of some, and by the time this thread worked: agent and test share it, and other tests
        // share the machine.
        let mut fastest = Duration::MAX;
        for _ in 0..3 {
            let (start, worked) = (Instant::now(), bed::worked());
            let outcome = agent.start("many", &p, lease()).await;
            let one = start.elapsed();
            assert!(outcome.is_success(), "{outcome}");
            let announced = loop {
                let status = agent.status().await;
                if status.iter().all(|vip| vip.announced >= 1) {
                    break start.elapsed();
                }
                assert!(start.elapsed() < bed::LIMIT);
                tokio::time::sleep(Duration::from_millis(2)).await;
            };
            println!("500 addresses in one resource: start {one:?}, all announced {announced:?}");
            fastest = fastest.min(announced);
            assert!(bed::worked() - worked < Duration::from_secs(1));
            let (start, worked) = (Instant::now(), bed::worked());
            assert!(agent.stop("many", &p).await.is_success());
            println!("stop {:?}", start.elapsed());
            assert!(bed::worked() - worked < Duration::from_secs(1));
            assert!(!bed.addresses().contains("10.9.1.1/"));
        }
        assert!(fastest < Duration::from_secs(1), "{fastest:?}");
        // The same as 500 resources.
        let (start, worked) = (Instant::now(), bed::worked());
        for ip in &list {
            let p = params(&format!("ip={ip} nic=eth0 cidr_netmask=16"));
            assert!(agent.start(ip, &p, lease()).await.is_success());
        }
        println!("500 resources, one after another: {:?}", start.elapsed());
        assert!(bed::worked() - worked < Duration::from_secs(1));
    });
}

#[test]
fn a_missing_capability_is_named() {
    if !able() {
        return;
    }
    // Capabilities belong to a thread: this one gives its own away.
    let refused = std::thread::spawn(|| {
        let none = rustix::thread::CapabilitySet::empty();
        let sets =
            rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
        rustix::thread::set_capabilities(None, sets).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        haven_ipfail::IpAgent::open(haven_ipfail::AgentConfig::default()).unwrap_err().to_string()
    });
    let text = refused.join().unwrap();
    assert!(text.contains("CAP_NET_RAW"), "{text}");
}

#[test]
fn a_restarted_agent_takes_its_address_over_without_a_gap() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    bed.with_agent(async |agent| {
        for (name, text) in [("four", V4), ("six", V6)] {
            assert!(agent.start(name, &params(text), lease()).await.is_success());
        }
        let mut changes = haven_host::netlink::NetlinkEvents::open().unwrap();
        drop(agent);
        let config = haven_ipfail::AgentConfig { garp_rate: 1000, seed: 8 };
        let agent = haven_ipfail::IpAgent::open(config).unwrap();
        let keep = ["192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap()];
        assert!(agent.cleanup(&keep).await.unwrap().is_empty());
        for (name, text) in [("four", V4), ("six", V6)] {
            assert!(
                agent.monitor(name, &params(text)).await.is_success(),
                "a probe finds it running"
            );
            assert!(agent.start(name, &params(text), lease()).await.is_success());
        }
        let gone = changes
            .take_queued()
            .unwrap()
            .into_iter()
            .find(|change| matches!(change, haven_host::netlink::NetlinkEvent::AddressGone(_)));
        assert_eq!(gone, None);
        assert!(bed::address("192.0.2.10").is_some() && bed::address("2001:db8::10").is_some());
    });
}
