//! Which frames claim or use a VIP (pure).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// How a frame stands up for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// Gratuitous ARP (RFC 5227 §1.1) or unsolicited advertisement (RFC 4861 §7.2.6): "it is mine".
    Claim,
    /// Any other ARP packet with the VIP as sender protocol address.
    Arp,
    /// A solicited advertisement with the VIP as target.
    Advertisement,
    /// An IP packet with the VIP as source.
    Source,
}

/// One frame that claims or uses the VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// When it was sent: nanoseconds of the wall clock, the same clock for all nodes.
    pub at_nanos: u64,
    /// Index of the node that sent it.
    pub node: u8,
    /// What it was.
    pub kind: Use,
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ICMPV6: u8 = 58;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
/// The solicited flag of an advertisement (RFC 4861 §4.4), in its fifth octet.
const SOLICITED: u8 = 0x40;

/// What an Ethernet frame says of `vip`; `None` when it neither claims nor uses it. A frame too
/// short for what it pretends to be says nothing.
#[must_use]
pub fn classify(frame: &[u8], vip: IpAddr) -> Option<Use> {
    let ethertype = u16::from_be_bytes(field(frame, 12)?);
    let payload = frame.get(14..)?;
    match (ethertype, vip) {
        (ETHERTYPE_ARP, IpAddr::V4(vip)) => classify_arp(payload, vip),
        (ETHERTYPE_IPV4, IpAddr::V4(vip)) => {
            (field(payload, 12)? == vip.octets()).then_some(Use::Source)
        }
        (ETHERTYPE_IPV6, IpAddr::V6(vip)) => classify_ipv6(payload, vip),
        _ => None,
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// RFC 826: sender protocol address at octet 14, target protocol address at octet 24.
fn classify_arp(arp: &[u8], vip: Ipv4Addr) -> Option<Use> {
    let (sender, target): ([u8; 4], [u8; 4]) = (field(arp, 14)?, field(arp, 24)?);
    if sender != vip.octets() {
        return None;
    }
    Some(if target == sender { Use::Claim } else { Use::Arp })
}

/// RFC 4861 §4.4: the advertisement follows the fixed header, its target is at octet 8.
fn classify_ipv6(packet: &[u8], vip: Ipv6Addr) -> Option<Use> {
    let source: [u8; 16] = field(packet, 8)?;
    if packet[6] == ICMPV6 && packet.get(40) == Some(&NEIGHBOR_ADVERTISEMENT) {
        let target: [u8; 16] = field(packet, 48)?;
        if target == vip.octets() {
            let solicited = packet[44] & SOLICITED != 0;
            return Some(if solicited { Use::Advertisement } else { Use::Claim });
        }
    }
    (source == vip.octets()).then_some(Use::Source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    const VIP4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
    const VIP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10));
    const GARP_REQUEST: &str =
        "ffffffffffff02005e0010330806000108000604000102005e001033c000020a000000000000c000020a";
    const GARP_REPLY: &str =
        "ffffffffffff02005e0010330806000108000604000202005e001033c000020affffffffffffc000020a";
    const ARP_REPLY: &str =
        "02005e00000102005e0010330806000108000604000202005e001033c000020a02005e000001c0000201";
    const ARP_PROBE: &str =
        "ffffffffffff02005e0010330806000108000604000102005e00103300000000000000000000c000020a";
    const ADVERTISEMENT: &str = "33330000000102005e00103386dd6000000000203afffe80000000000000\
        00005efffe001033ff02000000000000000000000000000188008ada2000000020010db8000000000000000000\
        000010020102005e001033";

    #[test]
    fn claims_are_told_from_other_arp() {
        assert_eq!(classify(&bytes(GARP_REQUEST), VIP4), Some(Use::Claim));
        assert_eq!(classify(&bytes(GARP_REPLY), VIP4), Some(Use::Claim));
        assert_eq!(classify(&bytes(ARP_REPLY), VIP4), Some(Use::Arp));
    }

    #[test]
    fn asking_for_the_address_is_no_use_of_it() {
        assert_eq!(classify(&bytes(ARP_PROBE), VIP4), None);
    }

    #[test]
    fn an_unsolicited_advertisement_is_a_claim_whatever_its_source() {
        let mut frame = bytes(ADVERTISEMENT);
        assert_eq!(classify(&frame, VIP6), Some(Use::Claim));
        frame[14 + 44] |= SOLICITED;
        assert_eq!(classify(&frame, VIP6), Some(Use::Advertisement));
    }

    #[test]
    fn the_source_of_a_packet_counts_and_its_destination_does_not() {
        let mut frame = vec![0; 14 + 20];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14 + 16..14 + 20].copy_from_slice(&[192, 0, 2, 10]);
        assert_eq!(classify(&frame, VIP4), None);
        frame[14 + 12..14 + 16].copy_from_slice(&[192, 0, 2, 10]);
        assert_eq!(classify(&frame, VIP4), Some(Use::Source));
        assert_eq!(classify(&frame, VIP6), None);
    }

    #[test]
    fn every_cut_of_every_frame_is_answered_without_panic() {
        for hex in [GARP_REQUEST, ARP_REPLY, ADVERTISEMENT] {
            let frame = bytes(hex);
            for end in 0..frame.len() {
                let _ = (classify(&frame[..end], VIP4), classify(&frame[..end], VIP6));
            }
        }
    }
}
