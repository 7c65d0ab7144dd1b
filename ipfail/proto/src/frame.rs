//! ARP and IPv6 neighbour discovery frames: bytes to values and back.
//!
//! RFC 826 and RFC 5227 for ARP, RFC 4861 for neighbour discovery. VLAN tags are the kernel's business.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use haven_base::MacAddr;
use pnet::packet::Packet;
use pnet::packet::arp::{
    ArpHardwareTypes, ArpOperation as PnetOperation, ArpOperations, ArpPacket, MutableArpPacket,
};
use pnet::packet::ethernet::{EtherType, EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet::packet::icmpv6::ndp::{
    MutableNeighborAdvertPacket, MutableNeighborSolicitPacket, NdpOption, NdpOptionType,
    NdpOptionTypes, NeighborAdvertFlags, NeighborAdvertPacket, NeighborSolicitPacket,
};
use pnet::packet::icmpv6::{self, Icmpv6Code, Icmpv6Packet, Icmpv6Types};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet::util::MacAddr as PnetMac;
use serde::{Deserialize, Serialize};

const ETHERNET_BYTES: usize = 14;
const ARP_BYTES: usize = 28;
const IPV6_BYTES: usize = 40;
/// Header, target and one option with a hardware address: RFC 4861 §4.3, §4.4.
const ND_BYTES: usize = 32;
/// Neighbour discovery must arrive with this hop limit: nothing from beyond the link has it.
const HOP_LIMIT: u8 = 255;
/// `ff02::1`
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// ARP operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ArpOperation {
    /// 1
    Request,
    /// 2
    Reply,
}

/// An ARP message in its Ethernet frame; names of the fields as in RFC 826.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Arp {
    /// Ethernet source.
    pub source: MacAddr,
    /// Ethernet destination.
    pub destination: MacAddr,
    /// Operation.
    pub operation: ArpOperation,
    /// Sender hardware address.
    pub sha: MacAddr,
    /// Sender protocol address; unspecified in a probe (RFC 5227 §2.1.1).
    pub spa: Ipv4Addr,
    /// Target hardware address; zero in requests, by some senders all ones.
    pub tha: MacAddr,
    /// Target protocol address.
    pub tpa: Ipv4Addr,
}

/// A neighbour solicitation (RFC 4861 §4.3) in its Ethernet frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Solicitation {
    /// Ethernet source.
    pub source: MacAddr,
    /// Ethernet destination.
    pub destination: MacAddr,
    /// IPv6 source; unspecified in duplicate address detection.
    pub from: Ipv6Addr,
    /// IPv6 destination.
    pub to: Ipv6Addr,
    /// The address asked for.
    pub target: Ipv6Addr,
    /// Source link-layer address option.
    pub source_link: Option<MacAddr>,
}

/// A neighbour advertisement (RFC 4861 §4.4) in its Ethernet frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Advertisement {
    /// Ethernet source.
    pub source: MacAddr,
    /// Ethernet destination.
    pub destination: MacAddr,
    /// IPv6 source.
    pub from: Ipv6Addr,
    /// IPv6 destination.
    pub to: Ipv6Addr,
    /// The address advertised.
    pub target: Ipv6Addr,
    /// Target link-layer address option.
    pub target_link: Option<MacAddr>,
    /// R: the sender is a router.
    pub router: bool,
    /// S: an answer to a solicitation.
    pub solicited: bool,
    /// O: replace what the receiver has cached.
    pub override_cached: bool,
}

/// Any frame this crate understands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Frame {
    /// ARP.
    Arp(Arp),
    /// Neighbour solicitation.
    Solicitation(Solicitation),
    /// Neighbour advertisement.
    Advertisement(Advertisement),
}

impl Frame {
    /// The announcement that `mac` has `ip`. IPv4: a gratuitous ARP, a request on even `turn`s, a reply
    /// on odd ones, since some stacks heed only one of them. IPv6: an unsolicited neighbour
    /// advertisement (RFC 4861 §7.2.6), R only where this host forwards (`router`).
    #[must_use]
    pub fn announcement(ip: IpAddr, mac: MacAddr, turn: u64, router: bool) -> Self {
        match ip {
            IpAddr::V4(v4) => {
                let (operation, tha) = if turn.is_multiple_of(2) {
                    (ArpOperation::Request, MacAddr::ZERO)
                } else {
                    (ArpOperation::Reply, MacAddr::BROADCAST)
                };
                let destination = MacAddr::BROADCAST;
                Self::Arp(Arp {
                    source: mac,
                    destination,
                    operation,
                    sha: mac,
                    spa: v4,
                    tha,
                    tpa: v4,
                })
            }
            IpAddr::V6(v6) => Self::Advertisement(Advertisement {
                source: mac,
                destination: multicast_mac(ALL_NODES),
                from: v6,
                to: ALL_NODES,
                target: v6,
                target_link: Some(mac),
                router,
                solicited: false,
                override_cached: true,
            }),
        }
    }

    /// Asks who has `ip` without claiming it: the ARP probe of RFC 5227 §2.1.1, or the solicitation of duplicate
    /// address detection (RFC 4862 §5.4.2).
    #[must_use]
    pub fn probe(ip: IpAddr, mac: MacAddr) -> Self {
        match ip {
            IpAddr::V4(tpa) => Self::Arp(Arp {
                source: mac,
                destination: MacAddr::BROADCAST,
                operation: ArpOperation::Request,
                sha: mac,
                spa: Ipv4Addr::UNSPECIFIED,
                tha: MacAddr::ZERO,
                tpa,
            }),
            IpAddr::V6(target) => {
                let group = solicited_node(target);
                Self::Solicitation(Solicitation {
                    source: mac,
                    destination: multicast_mac(group),
                    from: Ipv6Addr::UNSPECIFIED,
                    to: group,
                    target,
                    source_link: None,
                })
            }
        }
    }

    /// The question from `vip` whether `target` answers; unicast where its hardware address is known.
    /// None when the two are of different families.
    #[must_use]
    pub fn question(
        vip: IpAddr,
        mac: MacAddr,
        target: IpAddr,
        target_mac: Option<MacAddr>,
    ) -> Option<Self> {
        match (vip, target) {
            (IpAddr::V4(spa), IpAddr::V4(tpa)) => Some(Self::Arp(Arp {
                source: mac,
                destination: target_mac.unwrap_or(MacAddr::BROADCAST),
                operation: ArpOperation::Request,
                sha: mac,
                spa,
                tha: target_mac.unwrap_or(MacAddr::ZERO),
                tpa,
            })),
            (IpAddr::V6(from), IpAddr::V6(target)) => {
                let group = solicited_node(target);
                Some(Self::Solicitation(Solicitation {
                    source: mac,
                    destination: target_mac.unwrap_or_else(|| multicast_mac(group)),
                    from,
                    to: if target_mac.is_some() { target } else { group },
                    target,
                    source_link: Some(mac),
                }))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }

    /// The address this frame claims for its sender, and the hardware address it claims it for: the ARP
    /// sender, or the target of an advertisement. None for probes and questions from nowhere.
    #[must_use]
    pub fn claim(&self) -> Option<(IpAddr, MacAddr)> {
        match self {
            Self::Arp(arp) if arp.spa.is_unspecified() => None,
            Self::Arp(arp) => Some((arp.spa.into(), arp.sha)),
            Self::Advertisement(na) => {
                Some((na.target.into(), na.target_link.unwrap_or(na.source)))
            }
            Self::Solicitation(ns) if ns.from.is_unspecified() => None,
            Self::Solicitation(ns) => Some((ns.from.into(), ns.source_link.unwrap_or(ns.source))),
        }
    }

    /// When this frame answers a question asked from one of our addresses: (our address, who answered).
    #[must_use]
    pub fn answer(&self) -> Option<(IpAddr, IpAddr)> {
        match self {
            Self::Arp(arp) if arp.operation == ArpOperation::Reply && arp.spa != arp.tpa => {
                Some((arp.tpa.into(), arp.spa.into()))
            }
            Self::Advertisement(na) if na.solicited => Some((na.to.into(), na.target.into())),
            Self::Arp(_) | Self::Advertisement(_) | Self::Solicitation(_) => None,
        }
    }

    /// Ethernet destination.
    #[must_use]
    pub const fn destination(&self) -> MacAddr {
        match self {
            Self::Arp(arp) => arp.destination,
            Self::Solicitation(ns) => ns.destination,
            Self::Advertisement(na) => na.destination,
        }
    }

    /// The frame's bytes from the Ethernet header on, without padding and checksum (the driver's).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Arp(arp) => encode_arp(arp),
            Self::Solicitation(ns) => {
                let payload = encode_solicitation(ns);
                encode_nd(ns.source, ns.destination, ns.from, ns.to, payload)
            }
            Self::Advertisement(na) => {
                let payload = encode_advertisement(na);
                encode_nd(na.source, na.destination, na.from, na.to, payload)
            }
        }
    }

    /// The value of a frame; none for anything that is not well-formed ARP over Ethernet and IPv4, or
    /// neighbour discovery that passes the checks of RFC 4861 §7.1.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let ethernet = EthernetPacket::new(bytes)?;
        match ethernet.get_ethertype() {
            EtherTypes::Arp => decode_arp(&ethernet),
            EtherTypes::Ipv6 => decode_nd(&ethernet),
            _ => None,
        }
    }
}

/// `ff02::1:ffXX:XXXX` (RFC 4291 §2.7.1).
fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    let low = u16::from_be_bytes([b, c]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low)
}

/// `33:33` and the last four octets (RFC 2464 §7).
fn multicast_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}

fn to_pnet(mac: MacAddr) -> PnetMac {
    let [a, b, c, d, e, f] = mac.0;
    PnetMac::new(a, b, c, d, e, f)
}

fn from_pnet(mac: PnetMac) -> MacAddr {
    MacAddr(mac.octets())
}

fn put_ethernet(bytes: &mut [u8], source: MacAddr, destination: MacAddr, kind: EtherType) {
    if let Some(mut ethernet) = MutableEthernetPacket::new(bytes) {
        ethernet.set_source(to_pnet(source));
        ethernet.set_destination(to_pnet(destination));
        ethernet.set_ethertype(kind);
    }
}

fn encode_arp(arp: &Arp) -> Vec<u8> {
    let mut bytes = vec![0; ETHERNET_BYTES + ARP_BYTES];
    put_ethernet(&mut bytes, arp.source, arp.destination, EtherTypes::Arp);
    if let Some(mut packet) = MutableArpPacket::new(&mut bytes[ETHERNET_BYTES..]) {
        packet.set_hardware_type(ArpHardwareTypes::Ethernet);
        packet.set_protocol_type(EtherTypes::Ipv4);
        packet.set_hw_addr_len(6);
        packet.set_proto_addr_len(4);
        packet.set_operation(match arp.operation {
            ArpOperation::Request => ArpOperations::Request,
            ArpOperation::Reply => ArpOperations::Reply,
        });
        packet.set_sender_hw_addr(to_pnet(arp.sha));
        packet.set_sender_proto_addr(arp.spa);
        packet.set_target_hw_addr(to_pnet(arp.tha));
        packet.set_target_proto_addr(arp.tpa);
    }
    bytes
}

fn decode_arp(ethernet: &EthernetPacket<'_>) -> Option<Frame> {
    let packet = ArpPacket::new(ethernet.payload())?;
    if packet.get_hardware_type() != ArpHardwareTypes::Ethernet
        || packet.get_protocol_type() != EtherTypes::Ipv4
        || packet.get_hw_addr_len() != 6
        || packet.get_proto_addr_len() != 4
    {
        return None;
    }
    let operation = match packet.get_operation() {
        PnetOperation(1) => ArpOperation::Request,
        PnetOperation(2) => ArpOperation::Reply,
        _ => return None,
    };
    Some(Frame::Arp(Arp {
        source: from_pnet(ethernet.get_source()),
        destination: from_pnet(ethernet.get_destination()),
        operation,
        sha: from_pnet(packet.get_sender_hw_addr()),
        spa: packet.get_sender_proto_addr(),
        tha: from_pnet(packet.get_target_hw_addr()),
        tpa: packet.get_target_proto_addr(),
    }))
}

fn encode_nd(
    source: MacAddr,
    destination: MacAddr,
    from: Ipv6Addr,
    to: Ipv6Addr,
    mut payload: Vec<u8>,
) -> Vec<u8> {
    if let Some(icmp) = Icmpv6Packet::new(&payload) {
        let sum = icmpv6::checksum(&icmp, &from, &to).to_be_bytes();
        payload[2..4].copy_from_slice(&sum);
    }
    let mut bytes = vec![0; ETHERNET_BYTES + IPV6_BYTES];
    put_ethernet(&mut bytes, source, destination, EtherTypes::Ipv6);
    if let Some(mut ip) = MutableIpv6Packet::new(&mut bytes[ETHERNET_BYTES..]) {
        ip.set_version(6);
        ip.set_payload_length(u16::try_from(payload.len()).unwrap_or(u16::MAX));
        ip.set_next_header(IpNextHeaderProtocols::Icmpv6);
        ip.set_hop_limit(HOP_LIMIT);
        ip.set_source(from);
        ip.set_destination(to);
    }
    bytes.extend(payload);
    bytes
}

fn link_option(kind: NdpOptionType, mac: Option<MacAddr>) -> Vec<NdpOption> {
    mac.map(|mac| NdpOption { option_type: kind, length: 1, data: mac.0.to_vec() })
        .into_iter()
        .collect()
}

const fn nd_bytes(option: Option<MacAddr>) -> usize {
    if option.is_some() { ND_BYTES } else { ND_BYTES - 8 }
}

fn encode_advertisement(na: &Advertisement) -> Vec<u8> {
    let mut bytes = vec![0; nd_bytes(na.target_link)];
    if let Some(mut packet) = MutableNeighborAdvertPacket::new(&mut bytes) {
        packet.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        packet.set_flags(
            flag(na.router, NeighborAdvertFlags::Router)
                | flag(na.solicited, NeighborAdvertFlags::Solicited)
                | flag(na.override_cached, NeighborAdvertFlags::Override),
        );
        packet.set_target_addr(na.target);
        packet.set_options(&link_option(NdpOptionTypes::TargetLLAddr, na.target_link));
    }
    bytes
}

fn encode_solicitation(ns: &Solicitation) -> Vec<u8> {
    let mut bytes = vec![0; nd_bytes(ns.source_link)];
    if let Some(mut packet) = MutableNeighborSolicitPacket::new(&mut bytes) {
        packet.set_icmpv6_type(Icmpv6Types::NeighborSolicit);
        packet.set_target_addr(ns.target);
        packet.set_options(&link_option(NdpOptionTypes::SourceLLAddr, ns.source_link));
    }
    bytes
}

/// The hardware address in the option of `kind` among RFC 4861 §4.6 `options`; outer none when an option
/// has length zero or reaches past the end, which makes the whole message invalid.
fn read_link_option(mut options: &[u8], kind: u8) -> Option<Option<MacAddr>> {
    let mut found = None;
    while let [option, units, ..] = options {
        let len = usize::from(*units) * 8;
        let value = options.get(2..len)?;
        if *option == kind && found.is_none() {
            found = value.get(..6).and_then(MacAddr::from_slice);
        }
        options = options.get(len..)?;
    }
    options.is_empty().then_some(found)
}

fn decode_nd(ethernet: &EthernetPacket<'_>) -> Option<Frame> {
    let ip = Ipv6Packet::new(ethernet.payload())?;
    let len = usize::from(ip.get_payload_length());
    let payload = ethernet.payload().get(IPV6_BYTES..IPV6_BYTES + len)?;
    let (from, to) = (ip.get_source(), ip.get_destination());
    if ip.get_version() != 6
        || ip.get_next_header() != IpNextHeaderProtocols::Icmpv6
        || ip.get_hop_limit() != HOP_LIMIT
        || len < ND_BYTES - 8
    {
        return None;
    }
    let icmp = Icmpv6Packet::new(payload)?;
    if icmp.get_icmpv6_code() != Icmpv6Code(0)
        || icmp.get_checksum() != icmpv6::checksum(&icmp, &from, &to)
    {
        return None;
    }
    let options = payload.get(ND_BYTES - 8..)?;
    let (source, destination) =
        (from_pnet(ethernet.get_source()), from_pnet(ethernet.get_destination()));
    match icmp.get_icmpv6_type() {
        Icmpv6Types::NeighborSolicit => {
            let target = NeighborSolicitPacket::new(payload)?.get_target_addr();
            let source_link = read_link_option(options, NdpOptionTypes::SourceLLAddr.0)?;
            let ns = Solicitation { source, destination, from, to, target, source_link };
            (!target.is_multicast()).then_some(Frame::Solicitation(ns))
        }
        Icmpv6Types::NeighborAdvert => {
            let packet = NeighborAdvertPacket::new(payload)?;
            let flags = packet.get_flags();
            let na = Advertisement {
                source,
                destination,
                from,
                to,
                target: packet.get_target_addr(),
                target_link: read_link_option(options, NdpOptionTypes::TargetLLAddr.0)?,
                router: flags & NeighborAdvertFlags::Router != 0,
                solicited: flags & NeighborAdvertFlags::Solicited != 0,
                override_cached: flags & NeighborAdvertFlags::Override != 0,
            };
            let invalid = na.target.is_multicast() || (na.solicited && to.is_multicast());
            (!invalid).then_some(Frame::Advertisement(na))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
