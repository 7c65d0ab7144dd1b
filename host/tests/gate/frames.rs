//! Frames the client sends, and how it reads what the node says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const NODE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const BROADCAST: [u8; 6] = [0xff; 6];
pub(crate) const NODE4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const CLIENT4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
pub(crate) const VIP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
pub(crate) const NODE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
pub(crate) const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);

/// How a node answers for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    Arp,
    ArpToProbe,
    NaToSolicitation,
    NaToDad,
    Echo4,
    Echo6,
    Udp4,
    Udp6,
    Tcp4,
    Tcp6,
}

impl Answer {
    pub(crate) const ALL: [Self; 10] = [
        Self::Arp,
        Self::ArpToProbe,
        Self::NaToSolicitation,
        Self::NaToDad,
        Self::Echo4,
        Self::Echo6,
        Self::Udp4,
        Self::Udp6,
        Self::Tcp4,
        Self::Tcp6,
    ];
    /// What a real server behind a director answers: no ARP, no ND.
    pub(crate) const TRAFFIC: [Self; 6] =
        [Self::Echo4, Self::Echo6, Self::Udp4, Self::Udp6, Self::Tcp4, Self::Tcp6];
}

pub(crate) fn ethernet(to: [u8; 6], from: [u8; 6], ethertype: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = to.to_vec();
    frame.extend_from_slice(&from);
    frame.extend_from_slice(&ethertype.to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

pub(crate) fn arp(
    from: [u8; 6],
    operation: u16,
    sender: Ipv4Addr,
    target: Ipv4Addr,
    to: [u8; 6],
) -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4];
    body.extend_from_slice(&operation.to_be_bytes());
    body.extend_from_slice(&from);
    body.extend_from_slice(&sender.octets());
    body.extend_from_slice(&[0; 6]);
    body.extend_from_slice(&target.octets());
    ethernet(to, from, 0x0806, &body)
}

/// The gratuitous ARP request of the node for `address`.
pub(crate) fn gratuitous(address: Ipv4Addr) -> Vec<u8> {
    arp(NODE_MAC, 1, address, address, BROADCAST)
}

fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum()
}

fn checksum(total: u32) -> [u8; 2] {
    let folded = (total & 0xffff) + (total >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    (!u16::try_from(folded).unwrap()).to_be_bytes()
}

/// An IP packet between two addresses in a frame of `from_mac`; `check` is where the body's checksum goes.
pub(crate) fn packet(
    macs: ([u8; 6], [u8; 6]),
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    (mut body, check): (Vec<u8>, usize),
) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    let octets = |a: IpAddr| match a {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    };
    let pseudo = sum(&octets(source)) + sum(&octets(destination));
    // ICMP for IPv4 has no pseudo-header.
    let base = if protocol == 1 { 0 } else { pseudo + u32::from(protocol) + u32::from(length) };
    let value = checksum(base + sum(&body));
    body[check..check + 2].copy_from_slice(&value);
    let mut head = match source {
        IpAddr::V4(_) => {
            let [high, low] = (length + 20).to_be_bytes();
            vec![0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0]
        }
        IpAddr::V6(_) => {
            let [high, low] = length.to_be_bytes();
            vec![0x60, 0, 0, 0, high, low, protocol, 255]
        }
    };
    head.extend_from_slice(&octets(source));
    head.extend_from_slice(&octets(destination));
    let ethertype = if source.is_ipv4() {
        let value = checksum(sum(&head));
        head[10..12].copy_from_slice(&value);
        0x0800
    } else {
        0x86dd
    };
    head.extend_from_slice(&body);
    ethernet(macs.0, macs.1, ethertype, &head)
}

fn udp() -> (Vec<u8>, usize) {
    (vec![0x27, 0x0f, 0x27, 0x10, 0, 12, 0, 0, 1, 2, 3, 4], 6)
}

fn syn() -> (Vec<u8>, usize) {
    let mut body = vec![0x27, 0x0f, 0x27, 0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2];
    body.extend_from_slice(&[4, 0, 0, 0, 0, 0]);
    (body, 16)
}

fn echo(kind: u8) -> (Vec<u8>, usize) {
    (vec![kind, 0, 0, 0, 0, 1, 0, 1, 9, 9, 9, 9], 2)
}

/// An ND message about `target`.
pub(crate) fn neighbor(kind: u8, target: Ipv6Addr) -> (Vec<u8>, usize) {
    let mut body = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    body.extend_from_slice(&target.octets());
    (body, 2)
}

/// What makes a node that has the addresses answer in every way.
pub(crate) fn stimuli(vip4: Ipv4Addr, vip6: Ipv6Addr) -> Vec<Vec<u8>> {
    let there = (NODE_MAC, CLIENT_MAC);
    let (c4, v4): (IpAddr, IpAddr) = (CLIENT4.into(), vip4.into());
    let (c6, v6): (IpAddr, IpAddr) = (CLIENT6.into(), vip6.into());
    let last = vip6.octets();
    let group_mac = ([0x33, 0x33, 0xff, last[13], last[14], last[15]], CLIENT_MAC);
    let mut solicited = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).octets();
    solicited[13..].copy_from_slice(&last[13..]);
    let solicited = IpAddr::from(solicited);
    vec![
        arp(CLIENT_MAC, 1, CLIENT4, vip4, BROADCAST),
        arp(CLIENT_MAC, 1, Ipv4Addr::UNSPECIFIED, vip4, BROADCAST),
        packet(group_mac, c6, solicited, 58, neighbor(135, vip6)),
        packet(group_mac, Ipv6Addr::UNSPECIFIED.into(), solicited, 58, neighbor(135, vip6)),
        packet(there, c4, v4, 1, echo(8)),
        packet(there, c6, v6, 58, echo(128)),
        packet(there, c4, v4, 17, udp()),
        packet(there, c6, v6, 17, udp()),
        packet(there, c4, v4, 6, syn()),
        packet(there, c6, v6, 6, syn()),
    ]
}

/// The address `frame` speaks for, and the answer it is, if it is one of the known ones.
pub(crate) fn claim(frame: &[u8]) -> Option<(IpAddr, Option<Answer>)> {
    let body = frame.get(14..)?;
    let v4 = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(body.get(at..at + 4)?).ok()?));
    let v6 = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(body.get(at..at + 16)?).ok()?));
    match (frame[12], frame[13]) {
        (8, 6) => {
            let answer = match (body[7], v4(24)?) {
                (2, target) if target.is_unspecified() => Some(Answer::ArpToProbe),
                (2, _) => Some(Answer::Arp),
                _ => None,
            };
            Some((v4(14)?.into(), answer))
        }
        (8, 0) => {
            let answer = match (body[9], body.get(20)?) {
                (1, 0) => Some(Answer::Echo4),
                (1, 3) => Some(Answer::Udp4),
                (6, _) => Some(Answer::Tcp4),
                _ => None,
            };
            Some((v4(12)?.into(), answer))
        }
        (0x86, 0xdd) => {
            let source = v6(8)?;
            let answer = match (body[6], body.get(40)?) {
                (58, 136) if body[44] & 0x40 != 0 => Some(Answer::NaToSolicitation),
                (58, 136) => Some(Answer::NaToDad),
                (58, 129) => Some(Answer::Echo6),
                (58, 1) => Some(Answer::Udp6),
                (6, _) => Some(Answer::Tcp6),
                _ => None,
            };
            let target = match (body[6], body[40]) {
                (58, 136) => v6(48)?,
                (58, 135) if source.is_unspecified() => v6(48)?,
                _ => source,
            };
            Some((target.into(), answer))
        }
        _ => None,
    }
}
