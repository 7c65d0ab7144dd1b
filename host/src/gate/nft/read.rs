//! What the kernel says about the gate's table.

use std::net::IpAddr;

use super::super::EntryKind;
use super::super::netlink::{Received, attribute, attributes, text};
use super::message::{DELTABLE, HEADER};

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    pub(super) key: Vec<u8>,
    /// The chain its verdict leads to, if any.
    pub(super) chain: String,
    pub(super) expires_millis: u64,
    note: Vec<u8>,
}

impl Found {
    /// The entry it was made for.
    pub(super) fn entry(&self) -> Option<(IpAddr, EntryKind, u32)> {
        let address = match self.key.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(self.key.as_slice()).ok()?),
            _ => IpAddr::from(<[u8; 16]>::try_from(self.key.as_slice()).ok()?),
        };
        let [kind, g0, g1, g2, g3] = <[u8; 5]>::try_from(self.note.as_slice()).ok()?;
        let kind = KINDS.into_iter().find(|(number, _)| *number == kind)?.1;
        Some((address, kind, u32::from_be_bytes([g0, g1, g2, g3])))
    }
}

const KINDS: [(u8, EntryKind); 4] = [
    (0, EntryKind::Exclusive),
    (1, EntryKind::RealServer),
    (2, EntryKind::BucketSet),
    (3, EntryKind::Anycast),
];

/// Kind and group, as the kernel keeps them with an element.
pub(super) fn note(kind: EntryKind, group: u32) -> Vec<u8> {
    let number = KINDS.into_iter().find(|(_, known)| *known == kind).map_or(0, |(n, _)| n);
    let mut note = vec![number];
    note.extend_from_slice(&group.to_be_bytes());
    note
}

fn body(received: &Received) -> &[u8] {
    received.payload.get(HEADER..).unwrap_or(&[])
}

/// The names of the chains of `table`.
pub(super) fn chains(messages: &[Received], table: &str) -> Vec<String> {
    messages
        .iter()
        .map(body)
        .filter(|body| attribute(body, 1).is_some_and(|name| text(name) == table))
        .filter_map(|body| attribute(body, 3).map(text))
        .collect()
}

/// Whether one of the events deletes `table`.
pub(super) fn deletes(events: &[Received], table: &str) -> bool {
    events.iter().any(|event| {
        event.kind & 0xff == DELTABLE
            && attribute(body(event), 1).is_some_and(|name| text(name) == table)
    })
}

/// The elements in `messages`.
pub(super) fn elements(messages: &[Received]) -> Vec<Found> {
    messages
        .iter()
        .filter_map(|message| attribute(body(message), 3))
        .flat_map(attributes)
        .map(|(_, element)| found(element))
        .collect()
}

fn found(element: &[u8]) -> Found {
    let value = |kind| attribute(element, kind);
    let verdict = value(2).and_then(|data| attribute(data, 2));
    Found {
        key: value(1).and_then(|key| attribute(key, 1)).unwrap_or(&[]).to_vec(),
        chain: verdict.and_then(|v| attribute(v, 2)).map_or_else(String::new, text),
        expires_millis: value(5)
            .and_then(|e| <[u8; 8]>::try_from(e).ok())
            .map_or(0, u64::from_be_bytes),
        note: value(6).unwrap_or(&[]).to_vec(),
    }
}
