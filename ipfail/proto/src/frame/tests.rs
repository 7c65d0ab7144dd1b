use proptest::prelude::*;

use super::*;

const MAC: MacAddr = MacAddr([0x02, 0x00, 0x5e, 0x00, 0x10, 0x33]);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn v4() -> IpAddr {
    "192.0.2.10".parse().unwrap()
}

fn v6() -> IpAddr {
    "2001:db8::10".parse().unwrap()
}

/// Vectors captured live from another implementation.
#[test]
fn gratuitous_arp_matches_the_wire() {
    assert_eq!(
        hex(&Frame::announcement(v4(), MAC, 0, false).encode()),
        "ffffffffffff02005e0010330806000108000604000102005e001033c000020a000000000000c000020a"
    );
    assert_eq!(
        hex(&Frame::announcement(v4(), MAC, 1, false).encode()),
        "ffffffffffff02005e0010330806000108000604000202005e001033c000020affffffffffffc000020a"
    );
}

#[test]
fn unsolicited_advertisement_matches_the_wire() {
    let bytes = Frame::announcement(v6(), MAC, 0, false).encode();
    assert_eq!(hex(&bytes[..14]), "33330000000102005e00103386dd");
    assert_eq!(
        hex(&bytes[54..]),
        "88008ada2000000020010db8000000000000000000000010020102005e001033"
    );
    assert_eq!(bytes[21], 255, "hop limit");
    let Frame::Advertisement(router) = Frame::announcement(v6(), MAC, 0, true) else {
        panic!("an IPv6 announcement is an advertisement")
    };
    assert!(router.router && router.override_cached && !router.solicited);
}

#[test]
fn a_probe_claims_nothing() {
    let probe = Frame::probe(IpAddr::V4("192.0.2.10".parse().unwrap()), MAC);
    assert_eq!(probe.claim(), None);
    assert_eq!(Frame::decode(&probe.encode()), Some(probe));
}

#[test]
fn questions_are_unicast_when_the_neighbour_is_known() {
    let gateway = MacAddr([2, 0, 0, 0, 0, 1]);
    let known = Frame::question(v4(), MAC, "192.0.2.1".parse().unwrap(), Some(gateway));
    assert_eq!(known.unwrap().destination(), gateway);
    let target: IpAddr = "2001:db8::1:2:3".parse().unwrap();
    let Some(Frame::Solicitation(ns)) = Frame::question(v6(), MAC, target, None) else {
        panic!("an IPv6 question is a solicitation")
    };
    assert_eq!(ns.destination, MacAddr([0x33, 0x33, 0xff, 2, 0, 3]));
    assert_eq!(ns.to, "ff02::1:ff02:3".parse::<Ipv6Addr>().unwrap());
    assert_eq!(Frame::question(v4(), MAC, target, None), None);
}

#[test]
fn a_reply_to_the_question_is_an_answer_and_an_announcement_is_not() {
    let reply = Frame::Arp(Arp {
        source: MacAddr([2, 0, 0, 0, 0, 1]),
        destination: MAC,
        operation: ArpOperation::Reply,
        sha: MacAddr([2, 0, 0, 0, 0, 1]),
        spa: "192.0.2.1".parse().unwrap(),
        tha: MAC,
        tpa: "192.0.2.10".parse().unwrap(),
    });
    assert_eq!(reply.answer(), Some((v4(), "192.0.2.1".parse().unwrap())));
    assert_eq!(Frame::announcement(v4(), MAC, 1, false).answer(), None);
    assert_eq!(Frame::announcement(v6(), MAC, 1, false).answer(), None);
}

#[test]
fn neighbour_discovery_from_beyond_the_link_is_ignored() {
    let good = Frame::announcement(v6(), MAC, 0, false).encode();
    assert!(Frame::decode(&good).is_some());
    let spoiled = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        Frame::decode(&bytes)
    };
    assert_eq!(spoiled(21, 254), None, "hop limit");
    assert_eq!(spoiled(55, 1), None, "code");
    assert_eq!(spoiled(56, 0), None, "checksum");
    assert_eq!(spoiled(79, 0), None, "option of length zero");
}

fn any_mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

fn unicast() -> impl Strategy<Value = Ipv6Addr> {
    any::<[u8; 15]>().prop_map(|rest| {
        let mut octets = [0x20; 16];
        octets[1..].copy_from_slice(&rest);
        Ipv6Addr::from(octets)
    })
}

proptest! {
    #[test]
    fn arp_reads_back(
        source in any_mac(), destination in any_mac(), reply in any::<bool>(), sha in any_mac(),
        spa in any::<[u8; 4]>(), tha in any_mac(), tpa in any::<[u8; 4]>(),
    ) {
        let operation = if reply { ArpOperation::Reply } else { ArpOperation::Request };
        let (spa, tpa) = (spa.into(), tpa.into());
        let frame = Frame::Arp(Arp { source, destination, operation, sha, spa, tha, tpa });
        prop_assert_eq!(Frame::decode(&frame.encode()), Some(frame));
    }

    #[test]
    fn advertisements_read_back(
        source in any_mac(), destination in any_mac(), from in unicast(), to in unicast(),
        target in unicast(), target_link in proptest::option::of(any_mac()), router in any::<bool>(),
        solicited in any::<bool>(), override_cached in any::<bool>(),
    ) {
        let frame = Frame::Advertisement(Advertisement {
            source, destination, from, to, target, target_link, router, solicited, override_cached,
        });
        prop_assert_eq!(Frame::decode(&frame.encode()), Some(frame));
    }

    #[test]
    fn solicitations_read_back(
        source in any_mac(), destination in any_mac(), from in unicast(), to in unicast(),
        target in unicast(), source_link in proptest::option::of(any_mac()),
    ) {
        let frame = Frame::Solicitation(
            Solicitation { source, destination, from, to, target, source_link });
        prop_assert_eq!(Frame::decode(&frame.encode()), Some(frame));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        kind in proptest::sample::select(vec![[0x08, 0x06], [0x86, 0xdd]]),
    ) {
        drop(Frame::decode(&bytes));
        let mut framed = bytes;
        if framed.len() > 14 {
            framed[12..14].copy_from_slice(&kind);
        }
        drop(Frame::decode(&framed));
    }

    #[test]
    fn a_damaged_frame_never_panics(at in 0usize..86, value in any::<u8>(), cut in 0usize..86) {
        let mut bytes = Frame::announcement(v6(), MAC, 0, false).encode();
        bytes[at] = value;
        drop(Frame::decode(&bytes));
        bytes.truncate(cut);
        drop(Frame::decode(&bytes));
    }
}
