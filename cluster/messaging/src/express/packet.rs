//! Express packets on the wire; integers big-endian.
//!
//! ```text
//!  fragment         kind 1 · to boot 8 · stamp 4 · number 8 · index 2 · count 2 · class 1 · stream 1 · order 8 · bytes
//!  acknowledgement  kind 2 · to boot 8 · echo 4 · held 4 · below 8 · bitmap of the numbers from `below`
//!  hello            kind 3
//! ```
//! `number` counts fragments of a session from 0; the fragments of a message are numbered without gap, so
//! `number − index` names the message. `stamp` is the sender's clock in microseconds modulo 2³², `echo`
//! the newest stamp seen and `held` the microseconds since: their difference is a round trip.

use haven_types::BootId;

use super::{Class, FRAGMENT, MAX_MESSAGE};
use crate::frame::{HEADER, TAG};

/// Bytes before a fragment's part of the message.
const FRAGMENT_HEADER: usize = 35;
/// Longest packet: what a frame must carry.
pub const MAX_PACKET: usize = FRAGMENT_HEADER + FRAGMENT;
// With IPv6 and UDP headers it fits the smallest IPv6 MTU (RFC 8200 §5).
const _: () = assert!(MAX_PACKET + HEADER + TAG + 48 <= 1_280);
/// Most fragments of a message.
pub(super) const MAX_COUNT: u16 = 60;
const _: () = assert!(MAX_COUNT as usize * FRAGMENT >= MAX_MESSAGE);
/// Numbers an acknowledgement can name beyond the first missing one.
pub(super) const SPAN: u64 = 512;

/// Numbers of a session end here, long after the network does.
const NUMBERS: u64 = 1 << 62;

/// A packet, its bytes borrowed from the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet<'d> {
    Fragment(Fragment<'d>),
    Acknowledgement(Acknowledgement<'d>),
    /// Asks for any packet, to learn the receiver's boot id.
    Hello,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment<'d> {
    pub(super) to_boot: BootId,
    pub(super) stamp: u32,
    pub(super) number: u64,
    pub(super) index: u16,
    pub(super) count: u16,
    pub(super) class: Class,
    /// Position of the message in its stream, from 0; 0 when unordered.
    pub(super) order: u64,
    pub(super) bytes: &'d [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acknowledgement<'d> {
    pub(super) to_boot: BootId,
    pub(super) echo: u32,
    pub(super) held: u32,
    /// All numbers below this one arrived.
    pub(super) below: u64,
    /// Bit i of byte j: `below + 8·j + i` arrived.
    pub(super) bitmap: &'d [u8],
}

impl Acknowledgement<'_> {
    pub(super) fn covers(&self, number: u64) -> bool {
        if number < self.below {
            return true;
        }
        let ahead = usize::try_from(number - self.below).unwrap_or(usize::MAX);
        self.bitmap.get(ahead / 8).is_some_and(|byte| byte & (1 << (ahead % 8)) != 0)
    }
}

/// Takes bytes off the front.
struct Cursor<'d>(&'d [u8]);

impl<'d> Cursor<'d> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }
}

impl<'d> Packet<'d> {
    /// Reads a packet; `None` when it is none or contradicts itself.
    pub(super) fn decode(bytes: &'d [u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        match cursor.u8()? {
            1 => decode_fragment(&mut cursor).map(Self::Fragment),
            2 => decode_acknowledgement(&mut cursor).map(Self::Acknowledgement),
            3 => cursor.0.is_empty().then_some(Self::Hello),
            _ => None,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        match self {
            Self::Fragment(fragment) => {
                out.reserve(FRAGMENT_HEADER + fragment.bytes.len());
                out.push(1);
                out.extend(fragment.to_boot.0.to_be_bytes());
                out.extend(fragment.stamp.to_be_bytes());
                out.extend(fragment.number.to_be_bytes());
                out.extend(fragment.index.to_be_bytes());
                out.extend(fragment.count.to_be_bytes());
                let (class, stream) = match fragment.class {
                    Class::Unordered => (0, 0),
                    Class::Ordered(stream) => (1, stream),
                };
                out.extend([class, stream]);
                out.extend(fragment.order.to_be_bytes());
                out.extend_from_slice(fragment.bytes);
            }
            Self::Acknowledgement(acknowledgement) => {
                out.push(2);
                out.extend(acknowledgement.to_boot.0.to_be_bytes());
                out.extend(acknowledgement.echo.to_be_bytes());
                out.extend(acknowledgement.held.to_be_bytes());
                out.extend(acknowledgement.below.to_be_bytes());
                out.extend_from_slice(acknowledgement.bitmap);
            }
            Self::Hello => out.push(3),
        }
        out
    }
}

fn decode_fragment<'d>(cursor: &mut Cursor<'d>) -> Option<Fragment<'d>> {
    let to_boot = BootId(cursor.u64()?);
    let stamp = cursor.u32()?;
    let number = cursor.u64()?;
    let index = cursor.u16()?;
    let count = cursor.u16()?;
    let class = match (cursor.u8()?, cursor.u8()?) {
        (0, 0) => Class::Unordered,
        (1, stream) => Class::Ordered(stream),
        _ => return None,
    };
    let order = cursor.u64()?;
    let bytes = cursor.0;
    let last = index.checked_add(1)? == count;
    let full = bytes.len() == FRAGMENT;
    let sound = (1..=MAX_COUNT).contains(&count)
        && index < count
        && number >= u64::from(index)
        && number < NUMBERS
        && (full || (last && bytes.len() < FRAGMENT))
        && (class != Class::Unordered || order == 0);
    sound.then_some(Fragment { to_boot, stamp, number, index, count, class, order, bytes })
}

fn decode_acknowledgement<'d>(cursor: &mut Cursor<'d>) -> Option<Acknowledgement<'d>> {
    let to_boot = BootId(cursor.u64()?);
    let echo = cursor.u32()?;
    let held = cursor.u32()?;
    let below = cursor.u64()?;
    let bitmap = cursor.0;
    let sound = u64::try_from(bitmap.len()).is_ok_and(|bytes| bytes * 8 <= SPAN);
    sound.then_some(Acknowledgement { to_boot, echo, held, below, bitmap })
}

#[cfg(test)]
mod tests {
    use haven_base::Rng;

    use super::*;

    fn fragment(bytes: &[u8]) -> Packet<'_> {
        Packet::Fragment(Fragment {
            to_boot: BootId(7),
            stamp: 8,
            number: 100,
            index: 2,
            count: 3,
            class: Class::Ordered(4),
            order: 5,
            bytes,
        })
    }

    fn acknowledgement(bitmap: &[u8]) -> Packet<'_> {
        let (echo, held, below) = (8, 9, 10);
        Packet::Acknowledgement(Acknowledgement { to_boot: BootId(7), echo, held, below, bitmap })
    }

    #[test]
    fn decode_reverses_encode() {
        for packet in
            [fragment(b"tail"), fragment(&[1; FRAGMENT]), acknowledgement(&[5; 64]), Packet::Hello]
        {
            assert_eq!(Packet::decode(&packet.encode()), Some(packet));
        }
        assert_eq!(fragment(&[0; FRAGMENT]).encode().len(), MAX_PACKET);
    }

    #[test]
    fn the_layout_is_fixed() {
        let expected: Vec<u8> = [
            [1].as_slice(),
            &[0, 0, 0, 0, 0, 0, 0, 7],
            &[0, 0, 0, 8],
            &[0, 0, 0, 0, 0, 0, 0, 100],
            &[0, 2, 0, 3, 1, 4],
            &[0, 0, 0, 0, 0, 0, 0, 5],
            b"tail",
        ]
        .concat();
        assert_eq!(fragment(b"tail").encode(), expected);
        let expected: Vec<u8> = [
            [2].as_slice(),
            &[0, 0, 0, 0, 0, 0, 0, 7],
            &[0, 0, 0, 8, 0, 0, 0, 9],
            &[0, 0, 0, 0, 0, 0, 0, 10],
            &[5, 6],
        ]
        .concat();
        assert_eq!(acknowledgement(&[5, 6]).encode(), expected);
        assert_eq!(Packet::Hello.encode(), [3]);
    }

    #[test]
    fn contradictions_are_refused() {
        let good = fragment(b"tail").encode();
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            Packet::decode(&bytes).is_none()
        };
        assert!(with(0, 9), "unknown kind");
        assert!(with(22, 3), "index = count");
        assert!(with(24, 4), "short, but not the last");
        assert!(with(24, 0), "no fragments");
        assert!(with(23, 1), "count above the limit");
        assert!(with(25, 2), "unknown class");
        assert!(with(13, 255), "number at the end of its range");
        assert_eq!(Packet::decode(&acknowledgement(&[0; 65]).encode()), None);
        assert_eq!(Packet::decode(&[3, 0]), None);
        assert_eq!(Packet::decode(&[]), None);
    }

    #[test]
    fn an_acknowledgement_covers_what_its_bitmap_says() {
        let Packet::Acknowledgement(ack) = acknowledgement(&[0b101, 0b1000_0000]) else {
            panic!("an acknowledgement")
        };
        let covered: Vec<u64> = (0..40).filter(|number| ack.covers(*number)).collect();
        assert_eq!(covered, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 25]);
        assert!(!ack.covers(u64::MAX));
    }

    #[test]
    fn random_and_mutated_packets_decode_or_not_and_never_panic() {
        let mut rng = Rng::new(9);
        let corpus =
            [fragment(b"tail").encode(), acknowledgement(&[1, 2, 3]).encode(), vec![3], vec![]];
        for _ in 0..50_000 {
            let mut bytes = corpus[rng.below(4) as usize].clone();
            for _ in 0..rng.below(6) {
                let place = rng.below(bytes.len() as u64 + 1) as usize;
                match rng.below(3) {
                    0 if place < bytes.len() => bytes[place] = rng.next_u64() as u8,
                    1 => bytes.truncate(place),
                    _ => bytes.push(rng.next_u64() as u8),
                }
            }
            if let Some(packet) = Packet::decode(&bytes) {
                assert_eq!(packet.encode(), bytes, "one encoding per packet");
            }
        }
    }
}
