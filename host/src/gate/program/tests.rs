//! Frames in, verdicts out, on the kernel's own machine (`BPF_PROG_TEST_RUN`).

use std::net::{Ipv4Addr, Ipv6Addr};

use haven_skipped::{skip, this_test};

use super::*;
use crate::bpf::Program;
use crate::gate::clock::boot_time;

const OWN4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const VIP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const NOBODY4: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const OWN6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const PEER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
const NOBODY6: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

const GROUP_KEY: u32 = 7;

/// Whether the group's deadline lies in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lease {
    Held,
    /// It does, and the group is about to be closed.
    Leaving,
    Past,
    Never,
}

struct Bench {
    maps: Maps,
    programs: Vec<(Variant, Program)>,
}

impl Bench {
    /// The programs with entries for both VIPs, or nothing and the reason on the terminal.
    #[track_caller]
    fn open(flags: u32) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip("loading BPF programs needs root", &this_test());
            return None;
        }
        let maps = Maps {
            ipv4: Map::create("t_v4", 4, 8, 16).unwrap(),
            ipv6: Map::create("t_v6", 16, 8, 16).unwrap(),
            deadlines: Map::create("t_dl", 4, 8, 16).unwrap(),
        };
        let mut value = GROUP_KEY.to_ne_bytes().to_vec();
        value.extend_from_slice(&flags.to_ne_bytes());
        maps.ipv4.update(&VIP4.octets(), &value).unwrap();
        maps.ipv6.update(&VIP6.octets(), &value).unwrap();
        let programs = Variant::ALL
            .iter()
            .map(|&variant| {
                let code = code(variant, &maps).unwrap();
                (variant, Program::load(variant.suffix(), &code).unwrap())
            })
            .collect();
        Some(Self { maps, programs })
    }

    fn lease(&self, lease: Lease) {
        let now = boot_time().as_nanos();
        let key = GROUP_KEY.to_ne_bytes();
        let put = |at: u64| self.maps.deadlines.update(&key, &at.to_ne_bytes()).unwrap();
        match lease {
            Lease::Held => put((now + 60_000_000_000) & !u64::from(REFUSES_NEWCOMERS)),
            Lease::Leaving => put((now + 60_000_000_000) | u64::from(REFUSES_NEWCOMERS)),
            Lease::Past => put(now - 1),
            Lease::Never => assert!(self.maps.deadlines.delete(&key).is_ok()),
        }
    }

    fn passes(&self, hook: Hook, framing: Framing, frame: &[u8]) -> bool {
        self.verdict(Variant::plain(hook, framing), frame)
            .expect("the kernel runs frames with a whole IP header")
    }

    /// None for what the kernel refuses to run: a frame it would take for IP without a whole IP header.
    /// Those are sent on real devices in the namespace tests.
    fn verdict(&self, variant: Variant, frame: &[u8]) -> Option<bool> {
        let least = match frame[12..14] {
            [0x08, 0x00] => 34,
            [0x86, 0xdd] => 54,
            _ => 14,
        };
        if frame.len() < least {
            return None;
        }
        let (_, program) = self.programs.iter().find(|(v, _)| *v == variant).unwrap();
        let verdict = program.test_run(frame, 1).unwrap().verdict.cast_signed();
        assert!(verdict == PASS || verdict == DROP, "verdict {verdict}");
        Some(verdict == PASS)
    }
}

fn ethernet(ethertype: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame.extend_from_slice(&ethertype.to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

fn tagged(tags: &[u16], frame: &[u8]) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    for tag in tags {
        out.extend_from_slice(&tag.to_be_bytes());
        out.extend_from_slice(&[0, 5]);
    }
    out.extend_from_slice(&frame[12..]);
    out
}

fn arp(operation: u16, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4];
    body.extend_from_slice(&operation.to_be_bytes());
    body.extend_from_slice(&[2, 0, 0, 0, 0, 1]);
    body.extend_from_slice(&sender.octets());
    body.extend_from_slice(&[0; 6]);
    body.extend_from_slice(&target.octets());
    ethernet(0x0806, &body)
}

/// `fragment` is the third word's low half: flags and offset in units of 8 bytes.
fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, fragment: u16) -> Vec<u8> {
    let mut body = vec![0x45, 0, 0, 28, 0, 1];
    body.extend_from_slice(&fragment.to_be_bytes());
    body.extend_from_slice(&[64, protocol, 0, 0]);
    body.extend_from_slice(&source.octets());
    body.extend_from_slice(&destination.octets());
    body.extend_from_slice(&[8, 0, 0, 0, 0, 0, 0, 0]);
    ethernet(0x0800, &body)
}

/// `chain`: extension headers as (number, bytes after the next-header byte); `upper`: the last number and body.
fn ipv6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    chain: &[(u8, &[u8])],
    upper: (u8, &[u8]),
) -> Vec<u8> {
    let first = chain.first().map_or(upper.0, |(number, _)| *number);
    let mut body = vec![0x60, 0, 0, 0, 0, 0, first, 255];
    body.extend_from_slice(&source.octets());
    body.extend_from_slice(&destination.octets());
    for (place, (_, rest)) in chain.iter().enumerate() {
        body.push(chain.get(place + 1).map_or(upper.0, |(number, _)| *number));
        body.extend_from_slice(rest);
    }
    body.extend_from_slice(upper.1);
    ethernet(0x86dd, &body)
}

fn nd(kind: u8, target: Ipv6Addr) -> Vec<u8> {
    let mut body = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    body.extend_from_slice(&target.octets());
    body
}

fn udp6(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    ipv6(source, destination, &[], (17, &[0; 8]))
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Every frame the gate has an opinion on, the hook it is at, and whether it passes while closed.
fn table() -> Vec<(&'static str, Hook, Vec<u8>, bool)> {
    use Hook::{Egress, Ingress};
    let ns = |source, target| ipv6(source, ALL_NODES, &[], (58, &nd(135, target)));
    let na = |source, target| ipv6(source, ALL_NODES, &[], (58, &nd(136, target)));
    vec![
        ("v4 to the VIP", Ingress, ipv4(PEER4, VIP4, 17, 0), false),
        ("v4 to ourselves", Ingress, ipv4(PEER4, OWN4, 17, 0), true),
        ("v4 from the VIP's owner", Ingress, ipv4(VIP4, OWN4, 17, 0), true),
        ("v4 first fragment to the VIP", Ingress, ipv4(PEER4, VIP4, 17, 0x2000), false),
        ("v4 later fragment to the VIP", Ingress, ipv4(PEER4, VIP4, 17, 0x2005), false),
        ("v4 from the VIP", Egress, ipv4(VIP4, PEER4, 1, 0), false),
        ("v4 later fragment from the VIP", Egress, ipv4(VIP4, PEER4, 1, 5), false),
        ("v4 to the VIP's owner", Egress, ipv4(OWN4, VIP4, 6, 0), true),
        ("v4 from ourselves", Egress, ipv4(OWN4, PEER4, 6, 0), true),
        ("ARP who has the VIP", Ingress, arp(1, PEER4, VIP4), false),
        ("ARP probe for the VIP", Ingress, arp(1, NOBODY4, VIP4), false),
        ("ARP announcement by the owner", Ingress, arp(1, VIP4, VIP4), true),
        ("ARP reply by the owner", Ingress, arp(2, VIP4, OWN4), true),
        ("ARP who has us", Ingress, arp(1, PEER4, OWN4), true),
        ("ARP who has the VIP, we ask", Egress, arp(1, OWN4, VIP4), true),
        ("ARP request as the VIP", Egress, arp(1, VIP4, PEER4), false),
        ("ARP reply as the VIP", Egress, arp(2, VIP4, PEER4), false),
        ("our gratuitous ARP request", Egress, arp(1, VIP4, VIP4), false),
        ("our gratuitous ARP reply", Egress, arp(2, VIP4, VIP4), false),
        ("our ARP probe for the VIP", Egress, arp(1, NOBODY4, VIP4), false),
        ("our ARP probe for another", Egress, arp(1, NOBODY4, PEER4), true),
        ("ARP reply as ourselves", Egress, arp(2, OWN4, PEER4), true),
        ("v6 to the VIP", Ingress, udp6(PEER6, VIP6), false),
        ("v6 to ourselves", Ingress, udp6(PEER6, OWN6), true),
        ("v6 from the VIP's owner", Ingress, udp6(VIP6, OWN6), true),
        ("v6 from the VIP", Egress, udp6(VIP6, PEER6), false),
        ("v6 to the VIP's owner", Egress, udp6(OWN6, VIP6), true),
        (
            "v6 fragment to the VIP",
            Ingress,
            ipv6(PEER6, VIP6, &[(44, &[0, 0, 8, 0, 0, 0, 1])], (17, &[0; 8])),
            false,
        ),
        ("NS for the VIP", Ingress, ns(PEER6, VIP6), false),
        ("DAD for the VIP", Ingress, ns(NOBODY6, VIP6), false),
        ("NS for us", Ingress, ns(PEER6, OWN6), true),
        ("NA by the VIP's owner", Ingress, na(VIP6, VIP6), true),
        ("our NA for the VIP from it", Egress, na(VIP6, VIP6), false),
        ("our NA for the VIP from another address", Egress, na(OWN6, VIP6), false),
        ("our NA for ourselves", Egress, na(OWN6, OWN6), true),
        ("our DAD for the VIP", Egress, ns(NOBODY6, VIP6), false),
        ("our DAD for another", Egress, ns(NOBODY6, OWN6), true),
        ("our NS for the VIP's owner", Egress, ns(OWN6, VIP6), true),
        ("our NS from the VIP", Egress, ns(VIP6, PEER6), false),
        ("our echo request from us", Egress, ipv6(OWN6, PEER6, &[], (58, &nd(128, VIP6))), true),
        (
            "our NA behind hop-by-hop options",
            Egress,
            ipv6(OWN6, ALL_NODES, &[(0, &[0, 5, 2, 0, 0, 1, 0])], (58, &nd(136, VIP6))),
            false,
        ),
        (
            "NS behind hop-by-hop options",
            Ingress,
            ipv6(PEER6, ALL_NODES, &[(0, &[0, 5, 2, 0, 0, 1, 0])], (58, &nd(135, VIP6))),
            false,
        ),
        (
            "our NA behind long options",
            Egress,
            ipv6(
                OWN6,
                ALL_NODES,
                &[(60, &[1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
                (58, &nd(136, VIP6)),
            ),
            false,
        ),
        (
            "our NA behind a routing header",
            Egress,
            ipv6(OWN6, ALL_NODES, &[(43, &[0, 4, 0, 0, 0, 0, 0])], (58, &nd(136, VIP6))),
            false,
        ),
        (
            "our NA behind an authentication header",
            Egress,
            ipv6(
                OWN6,
                ALL_NODES,
                &[(51, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])],
                (58, &nd(136, VIP6)),
            ),
            false,
        ),
        (
            "our NA in an atomic fragment",
            Egress,
            ipv6(OWN6, ALL_NODES, &[(44, &[0, 0, 0, 0, 0, 0, 1])], (58, &nd(136, VIP6))),
            false,
        ),
        (
            "our NA in a first fragment",
            Egress,
            ipv6(OWN6, ALL_NODES, &[(44, &[0, 0, 1, 0, 0, 0, 1])], (58, &nd(136, VIP6))),
            false,
        ),
        (
            "our NA cut before its target by fragmenting",
            Egress,
            ipv6(OWN6, ALL_NODES, &[(44, &[0, 0, 1, 0, 0, 0, 1])], (58, &nd(136, VIP6)[..8])),
            false,
        ),
        (
            "our NA behind all headers walked",
            Egress,
            ipv6(OWN6, ALL_NODES, &[OPTIONS; 8], (58, &nd(136, VIP6))),
            false,
        ),
        (
            "our NA behind more headers than walked",
            Egress,
            ipv6(OWN6, ALL_NODES, &[OPTIONS; 9], (58, &nd(136, PEER6))),
            false,
        ),
        (
            "NS behind more headers than walked",
            Ingress,
            ipv6(PEER6, ALL_NODES, &[OPTIONS; 9], (58, &nd(135, VIP6))),
            true,
        ),
        ("something else", Ingress, ethernet(0x88cc, &[0; 50]), true),
        ("something else, sent", Egress, ethernet(0x88cc, &[0; 50]), true),
    ]
}

const OPTIONS: (u8, &[u8]) = (60, &[0, 1, 4, 0, 0, 0, 0]);

#[test]
fn the_table_holds_with_and_without_tags() {
    let Some(bench) = Bench::open(0) else { return };
    let taggings: [&[u16]; 5] =
        [&[], &[0x8100], &[0x88a8, 0x8100], &[0x9100, 0x8100], &[0x88a8, 0x88a8, 0x8100, 0x8100]];
    for (what, hook, frame, passes_closed) in table() {
        for tags in taggings {
            let frame = tagged(tags, &frame);
            for (lease, passes) in [
                (Lease::Never, passes_closed),
                (Lease::Past, passes_closed),
                // What cannot be judged is dropped on the way out, lease or not.
                (
                    Lease::Held,
                    !what.contains("more headers") && !what.contains("cut before")
                        || hook == Hook::Ingress,
                ),
            ] {
                bench.lease(lease);
                assert_eq!(
                    bench.passes(hook, Framing::Ethernet, &frame),
                    passes,
                    "{what}, tags {tags:x?}, lease {lease:?}"
                );
            }
        }
    }
}

#[test]
fn five_tags_hide_nothing_on_the_way_out() {
    let Some(bench) = Bench::open(0) else { return };
    let frame = tagged(&[0x8100; 5], &arp(1, VIP4, VIP4));
    assert!(!bench.passes(Hook::Egress, Framing::Ethernet, &frame));
    assert!(bench.passes(Hook::Ingress, Framing::Ethernet, &frame));
}

#[test]
fn kinds_differ_in_what_passes_while_closed_and_open() {
    use Hook::{Egress, Ingress};
    let frames = [
        (Ingress, ipv4(PEER4, VIP4, 6, 0), true),
        (Egress, ipv4(VIP4, PEER4, 6, 0), true),
        (Ingress, udp6(PEER6, VIP6), true),
        (Egress, udp6(VIP6, PEER6), true),
        (Ingress, arp(1, PEER4, VIP4), false),
        (Egress, arp(2, VIP4, PEER4), false),
        (Ingress, ipv6(PEER6, ALL_NODES, &[], (58, &nd(135, VIP6))), false),
        (Egress, ipv6(OWN6, ALL_NODES, &[], (58, &nd(136, VIP6))), false),
        (Egress, ipv6(VIP6, ALL_NODES, &[], (58, &nd(136, VIP6))), false),
    ];
    // (flags, traffic closed, claim closed, traffic open, claim open)
    let kinds = [
        (0, false, false, true, true),
        (TRAFFIC_FREE | CLAIM_NEVER, true, false, true, false),
        (0x100, false, false, true, true),
        (0x200 | TRAFFIC_FREE, true, false, true, true),
    ];
    for (flags, traffic_closed, claim_closed, traffic_open, claim_open) in kinds {
        let Some(bench) = Bench::open(flags) else { return };
        for (hook, frame, is_traffic) in &frames {
            for (lease, traffic, claim) in [
                (Lease::Never, traffic_closed, claim_closed),
                (Lease::Past, traffic_closed, claim_closed),
                (Lease::Held, traffic_open, claim_open),
            ] {
                bench.lease(lease);
                let passes = bench.passes(*hook, Framing::Ethernet, frame);
                let expected = if *is_traffic { traffic } else { claim };
                assert_eq!(passes, expected, "flags {flags:x} {hook} {lease:?} {frame:02x?}");
            }
        }
    }
}

#[test]
fn truncated_frames_that_could_speak_for_the_vip_do_not_leave() {
    let Some(bench) = Bench::open(0) else { return };
    bench.lease(Lease::Never);
    for (what, hook, frame, passes) in table() {
        for length in 14..frame.len() {
            let cut = &frame[..length];
            let Some(passed) = bench.verdict(Variant::plain(hook, Framing::Ethernet), cut) else {
                continue;
            };
            if hook == Hook::Egress && !passes {
                // Cut anywhere behind the Ethernet header it must still not leave, for a driver pads it.
                assert!(!passed, "{what} cut to {length}");
            }
            if hook == Hook::Ingress && passes {
                assert!(passed, "{what} cut to {length}");
            }
        }
    }
}

#[test]
fn rubbish_gets_a_verdict() {
    let Some(bench) = Bench::open(0) else { return };
    bench.lease(Lease::Never);
    let mut rng = haven_base::Rng::new(20);
    let ethertypes = [0x0800, 0x0806, 0x86dd, 0x8100, 0x88a8, 0x0000];
    for _ in 0..4_000 {
        let length = 14 + usize::try_from(rng.below(120)).unwrap();
        let mut frame: Vec<u8> =
            (0..length).map(|_| u8::try_from(rng.below(256)).unwrap()).collect();
        let ethertype: u16 = ethertypes[usize::try_from(rng.below(6)).unwrap()];
        frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
        for (variant, _) in &bench.programs {
            bench.verdict(*variant, &frame);
        }
    }
}

#[test]
fn devices_without_ethernet_headers_are_judged_from_the_network_header() {
    let Some(bench) = Bench::open(0) else { return };
    // The test device has Ethernet headers, but this variant never looks at them.
    for (what, hook, frame, passes_closed) in table() {
        bench.lease(Lease::Never);
        assert_eq!(bench.passes(hook, Framing::Other, &frame), passes_closed, "{what}");
    }
}

#[test]
fn on_a_bridge_port_what_this_host_sends_is_judged() {
    let Some(bench) = Bench::open(0) else { return };
    bench.lease(Lease::Never);
    let port = Variant { port: true, ..Variant::plain(Hook::Egress, Framing::Ethernet) };
    assert_eq!(bench.verdict(port, &arp(1, VIP4, VIP4)), Some(false));
    assert_eq!(bench.verdict(port, &arp(1, OWN4, VIP4)), Some(true));
}

/// A TCP header with these flags, RFC 9293 §3.1.
fn tcp(flags: u8) -> Vec<u8> {
    let mut header = vec![0; 20];
    header[12..14].copy_from_slice(&[0x50, flags]);
    header
}

/// An IPv4 packet with that many words of options, cut to a whole number of words behind its header.
fn ipv4_with(options: u8, protocol: u8, fragment: u16, upper: &[u8]) -> Vec<u8> {
    let mut frame = ipv4(PEER4, VIP4, protocol, fragment);
    frame.truncate(34);
    frame[14] = 0x45 + options;
    frame.extend(vec![1; usize::from(options) * 4]);
    frame.extend_from_slice(upper);
    frame
}

#[test]
fn a_group_about_to_be_closed_takes_no_new_connection_and_everything_else() {
    let Some(bench) = Bench::open(0) else { return };
    const SYN: u8 = 0x02;
    const SYN_ACK: u8 = 0x12;
    const ACK: u8 = 0x10;
    const FIN_PUSH_ACK: u8 = 0x19;
    const ECN_SYN: u8 = 0xc2;
    let v6 =
        |chain: &[(u8, &[u8])], number, upper: &[u8]| ipv6(PEER6, VIP6, chain, (number, upper));
    let arriving = [
        ("v4 SYN", ipv4_with(0, 6, 0, &tcp(SYN)), false),
        ("v4 SYN that asks for ECN", ipv4_with(0, 6, 0, &tcp(ECN_SYN)), false),
        ("v4 SYN behind options", ipv4_with(10, 6, 0, &tcp(SYN)), false),
        ("v4 SYN that may not be fragmented", ipv4_with(0, 6, 0x4000, &tcp(SYN)), false),
        ("v4 SYN-ACK", ipv4_with(0, 6, 0, &tcp(SYN_ACK)), true),
        ("v4 ACK", ipv4_with(0, 6, 0, &tcp(ACK)), true),
        ("v4 last data", ipv4_with(0, 6, 0, &tcp(FIN_PUSH_ACK)), true),
        ("v4 later fragment like a SYN", ipv4_with(0, 6, 5, &tcp(SYN)), true),
        ("v4 UDP like a SYN", ipv4_with(0, 17, 0, &tcp(SYN)), true),
        ("v4 too short to tell", ipv4_with(0, 6, 0, &tcp(SYN)[..13]), true),
        ("v6 SYN", v6(&[], 6, &tcp(SYN)), false),
        ("v6 SYN that asks for ECN", v6(&[], 6, &tcp(ECN_SYN)), false),
        ("v6 SYN-ACK", v6(&[], 6, &tcp(SYN_ACK)), true),
        ("v6 ACK", v6(&[], 6, &tcp(ACK)), true),
        ("v6 UDP like a SYN", v6(&[], 17, &tcp(SYN)), true),
        ("v6 SYN behind options", v6(&[OPTIONS], 6, &tcp(SYN)), true),
        ("v6 too short to tell", v6(&[], 6, &tcp(SYN)[..13]), true),
        ("ARP who has the VIP", arp(1, PEER4, VIP4), true),
        ("NS for the VIP", ipv6(PEER6, ALL_NODES, &[], (58, &nd(135, VIP6))), true),
        ("v4 SYN to ourselves", ipv4(PEER4, OWN4, 6, 0), true),
    ];
    for framing in [Framing::Ethernet, Framing::Other] {
        for (what, frame, passes) in &arriving {
            bench.lease(Lease::Leaving);
            assert_eq!(bench.passes(Hook::Ingress, framing, frame), *passes, "{what}, {framing:?}");
            bench.lease(Lease::Held);
            assert!(bench.passes(Hook::Ingress, framing, frame), "{what}, {framing:?}, open");
        }
        bench.lease(Lease::Leaving);
        for (what, hook, frame, _) in table() {
            let judged = !what.contains("more headers") && !what.contains("cut before");
            if hook == Hook::Egress && judged {
                assert!(bench.passes(hook, framing, &frame), "{what}, {framing:?}");
            }
        }
    }
}

/// The bound is generous: it catches a program that became another kind of slow.
#[test]
fn a_frame_costs_nanoseconds() {
    let Some(bench) = Bench::open(0) else { return };
    let cases = [
        ("v4 of another address", Hook::Ingress, ipv4(PEER4, OWN4, 6, 0)),
        ("v4 to the VIP", Hook::Ingress, ipv4(PEER4, VIP4, 6, 0)),
        ("v4 from the VIP", Hook::Egress, ipv4(VIP4, PEER4, 6, 0)),
        ("v6 of another address", Hook::Ingress, ipv6(PEER6, OWN6, &[], (6, &[0; 20]))),
        ("v6 to the VIP", Hook::Ingress, ipv6(PEER6, VIP6, &[], (6, &[0; 20]))),
        ("ARP for the VIP", Hook::Ingress, arp(1, PEER4, VIP4)),
        ("NA for the VIP", Hook::Egress, ipv6(OWN6, ALL_NODES, &[], (58, &nd(136, VIP6)))),
        ("another protocol", Hook::Ingress, ethernet(0x88cc, &[0; 50])),
    ];
    for (what, hook, frame) in cases {
        let mut costs = Vec::new();
        for lease in [Lease::Held, Lease::Never] {
            bench.lease(lease);
            let wanted = Variant::plain(hook, Framing::Ethernet);
            let (_, program) = bench.programs.iter().find(|(v, _)| *v == wanted).unwrap();
            let cost = program.test_run(&frame, 200_000).unwrap().duration;
            assert!(cost < std::time::Duration::from_micros(2), "{what}: {cost:?}");
            costs.push(cost);
        }
        eprintln!("{what}: open {:?}, closed {:?}", costs[0], costs[1]);
    }
}
