//! Between rtnetlink messages and haven's vocabulary.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use haven_base::{
    Address, AddressFlags, IfIndex, Lifetime, Link, MacAddr, Neighbour, OperState, Route,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags as KernelFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use netlink_packet_route::addrlabel::{AddrLabelAttribute, AddrLabelMessage};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, Inet6DevConf, LinkAttribute, LinkEvent, LinkFlags, LinkMessage,
    Prop, State,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType,
};

/// `INFINITY_LIFE_TIME` of the kernel.
const FOREVER: u32 = u32::MAX;

pub(super) fn family_of(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

pub(super) fn link(message: &LinkMessage) -> Option<Link> {
    let flags = message.header.flags;
    let mut link = Link {
        index: IfIndex::new(message.header.index)?,
        name: String::new(),
        alt_names: Vec::new(),
        mac: None,
        admin_up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        oper_state: OperState::Unknown,
        loopback: flags.contains(LinkFlags::Loopback),
        no_arp: flags.contains(LinkFlags::Noarp),
        ipv6_forwarding: false,
        parent_device: None,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.mac = MacAddr::from_slice(bytes),
            LinkAttribute::OperState(state) => link.oper_state = oper_state(*state),
            LinkAttribute::ParentDevName(name) => link.parent_device = Some(name.clone()),
            LinkAttribute::AfSpecUnspec(families) => link.ipv6_forwarding = forwards_ipv6(families),
            LinkAttribute::PropList(props) => {
                for prop in props {
                    if let Prop::AltIfName(name) = prop {
                        link.alt_names.push(name.clone());
                    }
                }
            }
            _ => {}
        }
    }
    Some(link)
}

fn forwards_ipv6(families: &[AfSpecUnspec]) -> bool {
    ipv6_settings(families).is_some_and(|settings| settings.forwarding != 0)
}

fn ipv6_settings(families: &[AfSpecUnspec]) -> Option<&Inet6DevConf> {
    families.iter().find_map(|family| {
        let AfSpecUnspec::Inet6(attributes) = family else { return None };
        attributes.iter().find_map(|attribute| match attribute {
            AfSpecInet6::DevConf(settings) => Some(settings),
            _ => None,
        })
    })
}

/// Probes of duplicate address detection; none where the interface has no IPv6.
pub(super) fn dad_transmits(message: &LinkMessage) -> Option<u32> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::AfSpecUnspec(families) => {
            u32::try_from(ipv6_settings(families)?.dad_transmits).ok()
        }
        _ => None,
    })
}

/// Whether what is behind an interface has changed while it stays as it is, so that its neighbours should hear of
/// its addresses again.
pub(super) fn moved(message: &LinkMessage) -> bool {
    message.attributes.iter().any(|attribute| {
        let LinkAttribute::Event(event) = attribute else { return false };
        matches!(event, LinkEvent::NotifyPeers | LinkEvent::BondingFailover)
    })
}

const fn oper_state(state: State) -> OperState {
    match state {
        State::NotPresent => OperState::NotPresent,
        State::Down => OperState::Down,
        State::LowerLayerDown => OperState::LowerLayerDown,
        State::Testing => OperState::Testing,
        State::Dormant => OperState::Dormant,
        State::Up => OperState::Up,
        _ => OperState::Unknown,
    }
}

pub(super) fn address(message: &AddressMessage) -> Option<Address> {
    // Old kernels give only the first eight flags, in the header.
    let mut flags = KernelFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let (mut ip, mut local, mut broadcast, mut label, mut protocol) = (None, None, None, None, 0);
    let (mut valid, mut preferred) = (Lifetime::Forever, Lifetime::Forever);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(address) => ip = Some(*address),
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Broadcast(address) => broadcast = Some(*address),
            AddressAttribute::Label(text) => label = Some(text.clone()),
            AddressAttribute::Flags(all) => flags = *all,
            AddressAttribute::Protocol(number) => protocol = u8::from(*number),
            AddressAttribute::CacheInfo(info) => {
                valid = lifetime(info.ifa_valid);
                preferred = lifetime(info.ifa_preferred);
            }
            _ => {}
        }
    }
    Some(Address {
        index: IfIndex::new(message.header.index)?,
        // On a point-to-point link IFA_ADDRESS is the far end and IFA_LOCAL ours.
        ip: local.or(ip)?,
        prefix_len: message.header.prefix_len,
        broadcast,
        label,
        flags: AddressFlags {
            nodad: flags.contains(KernelFlags::Nodad),
            tentative: flags.contains(KernelFlags::Tentative),
            dad_failed: flags.contains(KernelFlags::Dadfailed),
            noprefixroute: flags.contains(KernelFlags::Noprefixroute),
            secondary: flags.contains(KernelFlags::Secondary),
        },
        protocol,
        valid,
        preferred,
    })
}

const fn lifetime(seconds: u32) -> Lifetime {
    if seconds == FOREVER { Lifetime::Forever } else { Lifetime::Seconds(seconds) }
}

const fn seconds(lifetime: Lifetime) -> u32 {
    match lifetime {
        Lifetime::Forever => FOREVER,
        Lifetime::Seconds(n) => n,
    }
}

/// The message that adds `address`; its `secondary`, `tentative` and `dad_failed` are the kernel's to set.
pub(super) fn set_address(address: &Address) -> AddressMessage {
    let mut message = delete_address(address.index, address.ip, address.prefix_len);
    let mut flags = KernelFlags::empty();
    flags.set(KernelFlags::Nodad, address.flags.nodad && address.ip.is_ipv6());
    flags.set(KernelFlags::Noprefixroute, address.flags.noprefixroute);
    let mut lifetimes = CacheInfo::default();
    lifetimes.ifa_valid = seconds(address.valid);
    lifetimes.ifa_preferred = seconds(address.preferred).min(lifetimes.ifa_valid);
    message.attributes.extend([
        AddressAttribute::Flags(flags),
        AddressAttribute::CacheInfo(lifetimes),
        AddressAttribute::Protocol(AddressProtocol::from(address.protocol)),
    ]);
    if let Some(broadcast) = address.broadcast {
        message.attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    if let (Some(label), true) = (&address.label, address.ip.is_ipv4()) {
        message.attributes.push(AddressAttribute::Label(label.clone()));
    }
    message
}

pub(super) fn delete_address(index: IfIndex, ip: IpAddr, prefix_len: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family_of(ip);
    message.header.prefix_len = prefix_len;
    message.header.index = index.get();
    message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
    message
}

pub(super) fn address_label(ip: Ipv6Addr, label: u32) -> AddrLabelMessage {
    let mut message = AddrLabelMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.prefix_len = 128;
    message.attributes =
        vec![AddrLabelAttribute::Address(ip.into()), AddrLabelAttribute::Label(label)];
    message
}

/// The unicast routes of the main table in `message`: one per next hop, none for other kinds.
pub(super) fn routes(message: &RouteMessage) -> Vec<Route> {
    let header = &message.header;
    let mut table = u32::from(header.table);
    let mut destination = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return Vec::new(),
    };
    let mut metric = 0;
    let mut hops = vec![hop(&message.attributes, None)];
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(number) => metric = *number,
            RouteAttribute::Destination(address) => match ip(address) {
                Some(ip) => destination = ip,
                None => return Vec::new(),
            },
            RouteAttribute::MultiPath(next) => {
                hops.extend(next.iter().map(|h| hop(&h.attributes, Some(h.interface_index))));
            }
            _ => {}
        }
    }
    if table != u32::from(RouteHeader::RT_TABLE_MAIN)
        || header.kind != RouteType::Unicast
        || header.flags.contains(RouteFlags::Cloned)
    {
        return Vec::new();
    }
    let prefix_len = header.destination_prefix_length;
    hops.into_iter()
        .filter_map(|(gateway, index)| {
            Some(Route { destination, prefix_len, gateway, index: IfIndex::new(index?)?, metric })
        })
        .collect()
}

fn hop(attributes: &[RouteAttribute], index: Option<u32>) -> (Option<IpAddr>, Option<u32>) {
    let (mut gateway, mut index) = (None, index);
    for attribute in attributes {
        match attribute {
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Oif(number) => index = Some(*number),
            _ => {}
        }
    }
    (gateway, index)
}

/// The next hop of a looked-up route.
pub(super) fn gateway(message: &RouteMessage) -> Option<IpAddr> {
    hop(&message.attributes, None).0
}

const fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

pub(super) fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let (mut destination, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                destination = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                destination = Some(IpAddr::V6(*v6));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = MacAddr::from_slice(bytes),
            _ => {}
        }
    }
    Some(Neighbour {
        index: IfIndex::new(message.header.ifindex)?,
        ip: destination?,
        mac,
        recent: matches!(
            message.header.state,
            NeighbourState::Reachable | NeighbourState::Delay | NeighbourState::Probe
        ),
        router: message.header.flags.contains(NeighbourFlags::Router),
    })
}
