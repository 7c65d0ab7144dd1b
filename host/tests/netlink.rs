//! rtnetlink on a real kernel: how long changes take, and what happens when events pile up.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking and say what they skip"
)]

use std::time::{Duration, Instant};

use haven_base::{Address, AddressChange, AddressFlags, IfIndex, Lifetime};
use haven_host::netlink::{Netlink, NetlinkEvent, NetlinkEvents};
use haven_skipped::{skip, this_test};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Run `test` on a thread in a nameless namespace of its own, whose loopback has index 1.
#[track_caller]
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        return skip("network namespaces need root", &this_test());
    }
    let worker = std::thread::spawn(move || {
        // SAFETY: only the network namespace of this thread changes; no descriptors are involved.
        #[allow(unsafe_code, reason = "unshare may affect descriptors with other flags")]
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
        test();
    });
    if let Err(panic) = worker.join() {
        std::panic::resume_unwind(panic);
    }
}

fn address(n: u32) -> Address {
    Address {
        index: IfIndex::new(1).unwrap(),
        ip: std::net::Ipv4Addr::from(0x0a00_0000 + n).into(),
        prefix_len: 32,
        broadcast: None,
        label: None,
        flags: AddressFlags::default(),
        protocol: 0x68,
        valid: Lifetime::Seconds(100),
        preferred: Lifetime::Seconds(50),
    }
}

fn delete(a: &Address) -> AddressChange {
    AddressChange::Delete { index: a.index, ip: a.ip, prefix_len: a.prefix_len }
}

#[test]
fn an_address_is_added_and_deleted_within_tens_of_microseconds() {
    in_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let (mut adds, mut deletes) = (Vec::new(), Vec::new());
        for n in 1..=500 {
            let a = address(n);
            let start = Instant::now();
            netlink.change(&[AddressChange::Set(a.clone())]).remove(0).unwrap();
            adds.push(start.elapsed());
            let found = netlink.addresses().unwrap().into_iter().find(|f| f.ip == a.ip).unwrap();
            assert_eq!((found.protocol, found.prefix_len), (0x68, 32));
            assert!(matches!(found.valid, Lifetime::Seconds(99..=100)), "{:?}", found.valid);
            let start = Instant::now();
            netlink.change(&[delete(&a)]).remove(0).unwrap();
            deletes.push(start.elapsed());
        }
        for (name, values) in [("add", &mut adds), ("delete", &mut deletes)] {
            values.sort();
            println!("{name}: median {:?}, worst {:?}", values[250], values[499]);
            assert!(values[250] < Duration::from_millis(1), "median {:?}", values[250]);
        }
    });
}

#[test]
fn a_refused_change_stops_no_other_and_says_why() {
    in_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let mut nowhere = address(2);
        nowhere.index = IfIndex::new(999).unwrap();
        let absent = delete(&address(3));
        let changes = [
            AddressChange::Set(address(1)),
            AddressChange::Set(nowhere),
            absent,
            AddressChange::Set(address(4)),
        ];
        let results = netlink.change(&changes);
        assert!(results[0].is_ok() && results[3].is_ok());
        let error = results[1].as_ref().unwrap_err();
        assert!(error.is_absent() && error.whole().contains("10.0.0.2/32"), "{}", error.whole());
        assert!(results[2].as_ref().unwrap_err().is_absent());
        // More than one batch.
        let many: Vec<AddressChange> = (10..510).map(|n| AddressChange::Set(address(n))).collect();
        assert!(netlink.change(&many).iter().all(Result::is_ok));
        assert_eq!(netlink.addresses().unwrap().len(), 502);
    });
}

#[test]
fn the_probes_of_duplicate_address_detection_are_those_of_the_interface_now() {
    in_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let lo = IfIndex::new(1).unwrap();
        for count in [1, 4, 0] {
            std::fs::write("/proc/sys/net/ipv6/conf/lo/dad_transmits", count.to_string()).unwrap();
            assert_eq!(netlink.dad_transmits(lo).unwrap(), Some(count));
        }
        assert_eq!(netlink.dad_transmits(IfIndex::new(999).unwrap()).unwrap(), None);
    });
}

#[test]
fn events_come_in_order_and_an_overrun_is_told() {
    in_namespace(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut events = NetlinkEvents::open().unwrap();
            let mut netlink = Netlink::open().unwrap();
            let a = address(1);
            netlink.change(&[AddressChange::Set(a.clone()), delete(&a)]);
            let seen =
                tokio::time::timeout(Duration::from_secs(5), events.next()).await.unwrap().unwrap();
            assert!(matches!(&seen[0], NetlinkEvent::Address(f) if f.ip == a.ip), "{seen:?}");
            assert!(matches!(&seen[1], NetlinkEvent::AddressGone(f) if f.ip == a.ip), "{seen:?}");
            // Nobody reads while far more happens than the buffer holds.
            let flapping: Vec<AddressChange> = (0..32)
                .map(address)
                .flat_map(|a| [AddressChange::Set(a.clone()), delete(&a)])
                .collect();
            for _ in 0..400 {
                netlink.change(&flapping);
            }
            let mut overrun = false;
            loop {
                let more = events.take_queued().unwrap();
                if more.is_empty() {
                    break;
                }
                overrun |= more.contains(&NetlinkEvent::Overrun);
            }
            assert!(overrun, "25,600 changes do not fit the receive buffer");
        });
    });
}
