//! Values several tests need.

use std::net::IpAddr;

use haven_base::{Address, AddressFlags, IfIndex, Lifetime, Link, MacAddr, OperState};

pub(crate) fn index(n: u32) -> IfIndex {
    IfIndex::new(n).unwrap()
}

pub(crate) fn link(n: u32, name: &str) -> Link {
    Link {
        index: index(n),
        name: name.to_owned(),
        alt_names: Vec::new(),
        mac: Some(MacAddr([2, 0, 0, 0, 0, n as u8])),
        admin_up: true,
        carrier: true,
        oper_state: OperState::Up,
        loopback: false,
        no_arp: false,
        ipv6_forwarding: false,
        parent_device: None,
    }
}

pub(crate) fn address(ip: &str, prefix_len: u8, dev: u32, protocol: u8) -> Address {
    let ip: IpAddr = ip.parse().unwrap();
    Address {
        index: index(dev),
        ip,
        prefix_len,
        broadcast: None,
        label: None,
        flags: AddressFlags::default(),
        protocol,
        valid: Lifetime::Forever,
        preferred: Lifetime::Forever,
    }
}
