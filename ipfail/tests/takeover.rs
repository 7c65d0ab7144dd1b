//! Start, announce and stop on real interfaces, seen from a neighbour.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking and say what they skip"
)]

mod bed;

use std::time::Duration;

use bed::{Bed, LIMIT, able, event, lease, params, until};
use haven_base::Lifetime;
use haven_ipfail::{Event, OcfCode, PROTOCOL_TAG, Reason, VipState};

#[test]
fn a_neighbour_that_knew_the_old_owner_learns_the_new_one() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    let mac = bed.mac("eth0");
    for ip in ["192.0.2.10", "2001:db8::10"] {
        bed.on_neighbour(&format!(
            "ip neigh replace {ip} lladdr 02:00:00:00:00:99 dev eth0 nud reachable"
        ));
    }
    bed.with_agent(async |agent| {
        let mut events = agent.events();
        let p = params("ip=192.0.2.10 nic=eth0 cidr_netmask=24");
        assert!(agent.start("vip4", &p, lease()).await.is_success());
        let (took, _) =
            until("ARP cache", || bed.cached("192.0.2.10").contains(&mac).then_some(())).await;
        println!("IPv4 neighbour updated after {took:?} (looked at by `ip neigh`)");
        let p6 = params("ip=2001:db8::10 nic=eth0 cidr_netmask=64");
        assert!(agent.start("vip6", &p6, lease()).await.is_success());
        let (took, _) =
            until("ND cache", || bed.cached("2001:db8::10").contains(&mac).then_some(())).await;
        println!("IPv6 neighbour updated after {took:?}");
        for ip in ["192.0.2.10", "2001:db8::10"] {
            let address = bed::address(ip).unwrap();
            assert_eq!(address.protocol, PROTOCOL_TAG);
            assert!(!address.flags.tentative, "a lease needs no duplicate address detection");
            assert!(matches!(address.valid, Lifetime::Seconds(170..=180)), "{:?}", address.valid);
        }
        for _ in 0..2 {
            let by = event(&mut events, "a neighbour's answer", |e| {
                if let Event::AnnounceVerified { by, .. } = e { Some(*by) } else { None }
            });
            let by = by.await;
            assert!(["192.0.2.1", "2001:db8::1"].contains(&by.to_string().as_str()), "{by}");
        }
        assert!(agent.monitor("vip4", &p).await.is_success());
        let status = agent.status().await;
        assert_eq!(status.len(), 2);
        assert!(status.iter().all(|vip| vip.state == VipState::Up && vip.announced >= 1));
        assert!(agent.stop("vip4", &p).await.is_success());
        assert!(agent.stop("vip6", &p6).await.is_success());
        assert!(bed::address("192.0.2.10").is_none() && bed::address("2001:db8::10").is_none());
        assert_eq!(agent.monitor("vip4", &p).await.code, OcfCode::NotRunning);
        assert!(agent.stop("vip4", &p).await.is_success(), "stopping twice is no failure");
    });
}

#[test]
fn interface_and_prefix_follow_from_the_routes() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    bed.with_agent(async |agent| {
        for (ip, prefix_len) in [("192.0.2.10", 24), ("2001:db8::10", 64)] {
            let p = params(&format!("ip={ip}"));
            assert!(agent.validate(&p).await.is_success());
            let outcome = agent.start(ip, &p, lease()).await;
            assert!(outcome.is_success(), "{outcome}");
            assert_eq!(bed::address(ip).unwrap().prefix_len, prefix_len);
        }
        let nowhere = agent.start("x", &params("ip=203.0.113.1"), lease()).await;
        assert_eq!(nowhere.reason, Some(Reason::NoRoute));
        assert!(nowhere.text.contains("eth0"), "{nowhere}");
        bed.wire("eth1");
        bed.on_host("ip addr add 192.0.2.12/24 dev eth1");
        let ambiguous = agent.start("y", &params("ip=192.0.2.77"), lease()).await;
        assert_eq!(ambiguous.code, OcfCode::ErrConfigured);
        assert!(ambiguous.text.contains("eth0") && ambiguous.text.contains("eth1"), "{ambiguous}");
    });
}

#[test]
fn without_a_lease_ipv6_waits_for_duplicate_address_detection() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    bed.with_agent(async |agent| {
        let p = params("ip=2001:db8::10 nic=eth0 cidr_netmask=64");
        let outcome = agent.start("vip", &p, None).await;
        assert!(outcome.is_success(), "{outcome}");
        let address = bed::address("2001:db8::10").unwrap();
        assert!(!address.flags.tentative && !address.flags.nodad);
        assert_eq!(address.valid, Lifetime::Forever);
        // A stranger has the next one.
        bed.on_neighbour("ip addr add 2001:db8::20/64 dev eth0 nodad");
        let taken = params("ip=2001:db8::20 nic=eth0 cidr_netmask=64");
        let refused = agent.start("taken", &taken, None).await;
        assert_eq!(refused.reason, Some(Reason::DadFailed), "{refused}");
        assert!(bed::address("2001:db8::20").is_none(), "what failed is taken away again");
    });
}

#[test]
fn duplicate_address_detection_with_several_probes_is_waited_for() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    bed.on_host("sysctl -qw net.ipv6.conf.eth0.dad_transmits=3");
    bed.with_agent(async |agent| {
        let start = std::time::Instant::now();
        let p = params("ip=2001:db8::10 nic=eth0 cidr_netmask=64");
        let outcome = agent.start("vip", &p, None).await;
        assert!(outcome.is_success(), "{outcome}");
        assert!(start.elapsed() >= Duration::from_secs(3), "three probes, a second each");
        assert!(!bed::address("2001:db8::10").unwrap().flags.tentative);
    });
}

#[test]
fn a_stranger_is_found_by_probe_and_named() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    let stranger = bed.neighbour_mac("eth0");
    bed.on_neighbour("ip addr add 192.0.2.10/24 dev eth0");
    bed.with_agent(async |agent| {
        let p = params("ip=192.0.2.10 nic=eth0 cidr_netmask=24 run_arping=true");
        let refused = agent.start("vip", &p, lease()).await;
        assert!(matches!(refused.reason, Some(Reason::DuplicateSeen { .. })), "{refused}");
        assert!(refused.text.contains(&stranger), "{refused}");
        assert!(refused.text.contains("take 192.0.2.10 off it"), "{refused}");
        assert!(bed::address("192.0.2.10").is_none());
        let free = params("ip=192.0.2.30 nic=eth0 cidr_netmask=24 run_arping=true");
        let start = std::time::Instant::now();
        assert!(agent.start("free", &free, lease()).await.is_success());
        assert!(start.elapsed() >= Duration::from_secs(2), "two probes, a second each");
    });
}

#[test]
fn a_stranger_that_claims_the_address_later_meets_a_defence() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    let stranger = bed.neighbour_mac("eth0");
    bed.with_agent(async |agent| {
        let mut events = agent.events();
        let p = params("ip=192.0.2.10 nic=eth0 cidr_netmask=24");
        assert!(agent.start("vip", &p, lease()).await.is_success());
        bed.on_neighbour("ip addr add 192.0.2.10/24 dev eth0");
        bed.on_neighbour("sysctl -qw net.ipv4.ip_nonlocal_bind=1");
        bed.on_neighbour("arping -q -c 1 -U -I eth0 192.0.2.10");
        let text = event(&mut events, "a conflict", |e| {
            matches!(e, Event::Conflict { .. }).then(|| e.to_string())
        })
        .await;
        assert!(text.contains(&stranger) && text.contains("take 192.0.2.10 off it"), "{text}");
        assert!(agent.monitor("vip", &p).await.is_success(), "defending is running");
        let status = &agent.status().await[0];
        assert!(status.conflicts >= 1 && status.last_conflict.is_some());
        // The same under on-conflict=yield gives the address up.
        let p = params("ip=192.0.2.10 nic=eth0 cidr_netmask=24 on-conflict=yield");
        assert!(agent.start("vip", &p, lease()).await.is_success());
        bed.on_neighbour("arping -q -c 1 -U -I eth0 192.0.2.10");
        event(&mut events, "giving up", |e| matches!(e, Event::Yielded { .. }).then_some(())).await;
        until("gone", || bed::address("192.0.2.10").is_none().then_some(())).await;
        let failed = agent.monitor("vip", &p).await;
        assert!(matches!(failed.reason, Some(Reason::DuplicateSeen { .. })), "{failed}");
        assert!(agent.stop("vip", &p).await.is_success());
    });
}

/// A client of the neighbour's, connected to a server on `192.0.2.10`: the server's side, and the client's.
async fn connected(bed: &Bed) -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = tokio::net::TcpListener::bind("192.0.2.10:7777").await.unwrap();
    let client = std::thread::scope(|scope| {
        let connect = || {
            bed::enter(&bed.neighbour);
            std::net::TcpStream::connect("192.0.2.10:7777").unwrap()
        };
        scope.spawn(connect).join().unwrap()
    });
    let (server, _) = listener.accept().await.unwrap();
    let server = server.into_std().unwrap();
    server.set_nonblocking(false).unwrap();
    server.set_read_timeout(Some(LIMIT)).unwrap();
    (server, client)
}

/// Waits until the kernel ends the connection.
fn ended(mut server: std::net::TcpStream) {
    let error =
        std::io::Read::read(&mut server, &mut [0; 16]).expect_err("the client sent nothing");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted, "{error}");
}

#[test]
fn connections_of_an_address_that_leaves_are_ended() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    bed.with_agent(async |agent| {
        let p = params("ip=192.0.2.10 nic=eth0 cidr_netmask=24");
        assert!(agent.start("vip", &p, lease()).await.is_success());
        let (server, _client) = connected(&bed).await;
        assert!(agent.stop("vip", &p).await.is_success());
        tokio::task::spawn_blocking(|| ended(server)).await.unwrap();
    });
}

#[test]
fn an_agent_that_ends_after_a_stop_ends_the_connections_first() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    let kept = std::sync::Mutex::new(None);
    bed.with_agent(async |agent| {
        let p = params("ip=192.0.2.10 nic=eth0 cidr_netmask=24");
        assert!(agent.start("vip", &p, lease()).await.is_success());
        let pair = connected(&bed).await;
        assert!(agent.stop("vip", &p).await.is_success());
        *kept.lock().unwrap() = Some(pair);
    });
    let (server, _client) = kept.into_inner().unwrap().unwrap();
    ended(server);
}

#[test]
fn lost_announcements_are_repeated_until_a_neighbour_answers() {
    if !able() {
        return;
    }
    let bed = Bed::new();
    bed.on_neighbour("nft add table arp deaf");
    bed.on_neighbour("nft add chain arp deaf in { type filter hook input priority 0 ; }");
    bed.on_neighbour("nft add rule arp deaf in arp saddr ip 192.0.2.10 counter drop");
    let lost = || -> u64 {
        let chain = bed.on_neighbour("nft list chain arp deaf in");
        let (_, counter) = chain.split_once("counter packets ").unwrap();
        counter.split(' ').next().unwrap().parse().unwrap()
    };
    bed.with_agent(async |agent| {
        let mut events = agent.events();
        let p = params("ip=192.0.2.10 nic=eth0 cidr_netmask=24");
        assert!(agent.start("vip", &p, lease()).await.is_success());
        // Announcements at 0, 50, 200 and 600 ms and questions at 0, 300 and 1000 ms: all the first ones.
        until("seven lost frames", || (lost() >= 7).then_some(())).await;
        assert!(agent.status().await[0].announced >= 4);
        bed.on_neighbour("nft delete table arp deaf");
        let took = event(&mut events, "an answer", |e| {
            if let Event::AnnounceVerified { took, .. } = e { Some(*took) } else { None }
        })
        .await;
        println!("confirmed {took:?} after the first announcement");
        assert!(took > Duration::from_secs(1) && took < Duration::from_secs(3), "{took:?}");
        // Deaf for good: told, and the monitor says so without failing.
        bed.on_neighbour("nft add table arp deaf");
        bed.on_neighbour("nft add chain arp deaf in { type filter hook input priority 0 ; }");
        bed.on_neighbour("nft add rule arp deaf in drop");
        agent.peer_returned().await;
        event(&mut events, "unverified", |e| {
            matches!(e, Event::AnnounceUnverified { .. }).then_some(())
        })
        .await;
        let monitor = agent.monitor("vip", &p).await;
        assert_eq!(
            (monitor.code, monitor.reason),
            (OcfCode::Success, Some(Reason::NoGatewayReply))
        );
    });
}
