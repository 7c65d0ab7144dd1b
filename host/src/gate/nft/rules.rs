//! The table's maps, chains and rules.

use std::net::IpAddr;

use super::super::{Entry, EntryKind};
use super::message::{Batch, Element, Step, Verdict};
use super::read;
use super::table::Side;

/// The one key of a timed set.
pub(super) const OPEN: [u8; 4] = [0, 0, 0, 1];

const IPV4: &[u8] = &[0x08, 0x00];
const ARP: &[u8] = &[0x08, 0x06];
const IPV6: &[u8] = &[0x86, 0xdd];
const PROTOCOL: Step<'_> = Step::Meta(1);
const UPPER: Step<'_> = Step::Meta(16);

const fn network(offset: u32, len: u32) -> Step<'static> {
    Step::Payload { base: 1, offset, len }
}

const fn transport(offset: u32, len: u32) -> Step<'static> {
    Step::Payload { base: 2, offset, len }
}

/// Maps and rules that judge a frame as the BPF programs do.
pub(super) fn skeleton(batch: Batch<'_>) -> Batch<'_> {
    use Step::{Decide, Is};
    let pass = Step::Verdict(Verdict::Return);
    let nd = |kind: &'static [u8]| [UPPER, Is(&[58]), transport(0, 1), Is(kind)];
    let target = [transport(8, 16), Decide("v6c")];
    let solicitation = nd(&[135]);
    let ingress_nd = [&solicitation[..], &target].concat();
    let unspecified = [network(8, 16), Is(&[0; 16])];
    let egress_dad = [&solicitation[..], &unspecified, &target].concat();
    let egress_na = [&nd(&[136])[..], &target].concat();
    batch
        .map("gates", 4)
        .map("v4t", 4)
        .map("v4c", 4)
        .map("v6t", 16)
        .map("v6c", 16)
        .set("v4", 4, false)
        .chain("in")
        .rule("in", &[PROTOCOL, Is(IPV4), network(16, 4), Decide("v4t")])
        // What speaks as a gated address comes from its owner: our neighbour table must learn of it.
        .rule("in", &[PROTOCOL, Is(ARP), network(14, 4), Step::In("v4"), pass])
        .rule("in", &[PROTOCOL, Is(ARP), network(24, 4), Decide("v4c")])
        .rule("in", &[PROTOCOL, Is(IPV6), network(24, 16), Decide("v6t")])
        .rule("in", &ingress_nd)
        .chain("out")
        .rule("out", &[PROTOCOL, Is(IPV4), network(12, 4), Decide("v4t")])
        .rule("out", &[PROTOCOL, Is(ARP), network(14, 4), Decide("v4c")])
        .rule(
            "out",
            &[PROTOCOL, Is(ARP), network(14, 4), Is(&[0; 4]), network(24, 4), Decide("v4c")],
        )
        .rule("out", &[PROTOCOL, Is(IPV6), network(8, 16), Decide("v6t")])
        .rule("out", &egress_na)
        .rule("out", &egress_dad)
}

pub(super) fn make_group(batch: Batch<'_>, group: u32) -> Batch<'_> {
    let key = group.to_be_bytes();
    let entrance = format!("g{group}");
    let mut batch = batch.chain(&entrance);
    for side in [Side::A, Side::B] {
        let (set, chain) = (side.set(group), side.chain(group));
        let open = [Step::Set(&OPEN), Step::In(&set), Step::Verdict(Verdict::Return)];
        batch = batch
            .set(&set, 4, true)
            .chain(&chain)
            .rule(&chain, &open)
            .rule(&chain, &[Step::Verdict(Verdict::Drop)]);
    }
    let first = Verdict::Goto(Side::A.chain(group));
    batch
        .rule(&entrance, &[Step::Set(&key), Step::Decide("gates")])
        .rule(&entrance, &[Step::Verdict(Verdict::Drop)])
        .element("gates", true, &Element { key: &key, verdict: Some(&first), ..Element::default() })
}

/// Adds or removes the elements of an entry: one for traffic, one for what claims the address.
pub(super) fn write_entry<'t>(batch: Batch<'t>, add: bool, entry: &Entry) -> Batch<'t> {
    let (traffic, claims, key) = match entry.address {
        IpAddr::V4(v4) => ("v4t", "v4c", v4.octets().to_vec()),
        IpAddr::V6(v6) => ("v6t", "v6c", v6.octets().to_vec()),
    };
    let judge = Verdict::Jump(format!("g{}", entry.group));
    let claim = if entry.kind == EntryKind::RealServer { Verdict::Drop } else { judge.clone() };
    let note = read::note(entry.kind, entry.group);
    let element = |verdict| Element { key: &key, verdict, ..Element::default() };
    let mut batch = batch;
    if matches!(entry.kind, EntryKind::Exclusive | EntryKind::BucketSet) {
        batch = batch.element(traffic, add, &element(add.then_some(&judge)));
    }
    if entry.address.is_ipv4() {
        batch = batch.element("v4", add, &element(None));
    }
    let note: &[u8] = if add { &note } else { &[] };
    batch.element(claims, add, &Element { note, ..element(add.then_some(&claim)) })
}
