//! The datagram on the wire: a header in clear, authenticated as a whole, then the sealed payload.
//!
//! ```text
//!  offset  size  field        (integers big-endian)
//!       0     2  magic        "hv"
//!       2     1  version      1
//!       3     1  kind         1 beat, 2 express
//!       4     2  from         sender's node id
//!       6     2  to           receiver's node id
//!       8     1  link         0 to 7, the link it was sent on
//!       9     4  key epoch    which cluster key
//!      13     4  key tag      derived from that key: a wrong key is known before any cryptography
//!      17     8  boot         sender's boot id
//!      25     8  salt         drawn anew by every process: no two processes ever share a sealing key
//!      33     8  to boot      the receiver's boot id as the sender knows it; 0 when it does not
//!      41     8  counter      1, 2, 3 … for each (to, link) of this boot and salt
//!      49     n  payload      AES-256-GCM, header as additional data
//!    49+n    16  tag
//! ```
//! The sealing key is derived (HKDF-SHA-256) from the cluster key with from, boot and salt; the nonce is
//! to, link and counter. So no nonce repeats, also when two nodes were given one id or one disk image.
//!
//! **Not promised.** Members trust each other: whoever holds the cluster key can seal as any member. After a
//! member was removed against its will, change the key ([`KeyChange`](crate::KeyChange)).

use haven_types::{BootId, LinkId, NodeId};
use serde::{Deserialize, Serialize};

/// First two bytes of every datagram.
pub const MAGIC: [u8; 2] = *b"hv";
/// Version of the layout above.
pub const VERSION: u8 = 1;
/// Bytes before the payload.
pub const HEADER: usize = 49;
/// Bytes of the authentication tag behind the payload.
pub const TAG: usize = 16;
/// What sealing adds to a payload.
pub const OVERHEAD: usize = HEADER + TAG;
/// Links of a cluster, numbered from 0.
pub const LINKS: usize = 8;
/// Longest payload sealed or opened. Beats and express packets stay below 1,200 bytes, which fits the
/// smallest IPv6 MTU; a beat with very many claims may be larger and is then fragmented by IP.
pub const MAX_PAYLOAD: usize = 8 * 1024;
/// Longest datagram: what a receive buffer must hold.
pub const MAX_DATAGRAM: usize = MAX_PAYLOAD + OVERHEAD;

/// What a datagram carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// A beat of the heartbeat machine.
    Beat,
    /// A packet of the express machine.
    Express,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Beat => 1,
            Self::Express => 2,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Beat),
            2 => Some(Self::Express),
            _ => None,
        }
    }
}

/// A cluster key as a header names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId {
    /// How many keys the cluster has had.
    pub epoch: u32,
    /// Four public bytes derived from the key.
    pub tag: u32,
}

/// The header of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the payload is.
    pub kind: Kind,
    /// Who sent it.
    pub from: NodeId,
    /// Whom it is for.
    pub to: NodeId,
    /// The link it was sent on, 0 to 7.
    pub link: LinkId,
    /// The cluster key.
    pub key: KeyId,
    /// Boot id of the sender.
    pub boot: BootId,
    /// Salt of the sending process.
    pub salt: u64,
    /// Boot id of the receiver as the sender knows it, 0 when it does not.
    pub to_boot: BootId,
    /// Number of this datagram among those of this boot and salt to `to` on `link`, from 1.
    pub counter: u64,
}

/// Why a datagram is no frame of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Malformed {
    /// Shorter than a header and a tag.
    Short,
    /// Longer than [`MAX_DATAGRAM`].
    Long,
    /// It does not begin with [`MAGIC`].
    Magic,
    /// A version this program does not speak.
    Version(u8),
    /// An unknown kind.
    Kind(u8),
    /// A link number above 7.
    Link(u8),
}

impl Header {
    /// Reads the header of a datagram; cheapest and most telling checks first.
    pub fn decode(datagram: &[u8]) -> Result<Self, Malformed> {
        if datagram.len() < OVERHEAD {
            return Err(Malformed::Short);
        }
        if datagram[..2] != MAGIC {
            return Err(Malformed::Magic);
        }
        if datagram[2] != VERSION {
            return Err(Malformed::Version(datagram[2]));
        }
        if datagram.len() > MAX_DATAGRAM {
            return Err(Malformed::Long);
        }
        let kind = Kind::from_code(datagram[3]).ok_or(Malformed::Kind(datagram[3]))?;
        if usize::from(datagram[8]) >= LINKS {
            return Err(Malformed::Link(datagram[8]));
        }
        Ok(Self {
            kind,
            from: NodeId(u16::from_be_bytes(array(datagram, 4))),
            to: NodeId(u16::from_be_bytes(array(datagram, 6))),
            link: LinkId(datagram[8]),
            key: KeyId {
                epoch: u32::from_be_bytes(array(datagram, 9)),
                tag: u32::from_be_bytes(array(datagram, 13)),
            },
            boot: BootId(u64::from_be_bytes(array(datagram, 17))),
            salt: u64::from_be_bytes(array(datagram, 25)),
            to_boot: BootId(u64::from_be_bytes(array(datagram, 33))),
            counter: u64::from_be_bytes(array(datagram, 41)),
        })
    }

    /// The bytes of the header.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..2].copy_from_slice(&MAGIC);
        bytes[2] = VERSION;
        bytes[3] = self.kind.code();
        bytes[4..6].copy_from_slice(&self.from.0.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.to.0.to_be_bytes());
        bytes[8] = self.link.0;
        bytes[9..13].copy_from_slice(&self.key.epoch.to_be_bytes());
        bytes[13..17].copy_from_slice(&self.key.tag.to_be_bytes());
        bytes[17..25].copy_from_slice(&self.boot.0.to_be_bytes());
        bytes[25..33].copy_from_slice(&self.salt.to_be_bytes());
        bytes[33..41].copy_from_slice(&self.to_boot.0.to_be_bytes());
        bytes[41..49].copy_from_slice(&self.counter.to_be_bytes());
        bytes
    }

    /// The nonce of this frame under its sender's key (RFC 5116 §3.2: a fixed part and a counter).
    #[must_use]
    pub fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..2].copy_from_slice(&self.to.0.to_be_bytes());
        nonce[2] = self.link.0;
        nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
        nonce
    }
}

/// `N` bytes from `at`; the caller has checked the length.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Header {
        Header {
            kind: Kind::Express,
            from: NodeId(0x0102),
            to: NodeId(0x0304),
            link: LinkId(7),
            key: KeyId { epoch: 0x0506_0708, tag: 0x090a_0b0c },
            boot: BootId(0x1112_1314_1516_1718),
            salt: 0x2122_2324_2526_2728,
            to_boot: BootId(0x3132_3334_3536_3738),
            counter: 0x4142_4344_4546_4748,
        }
    }

    #[test]
    fn the_layout_is_fixed() {
        let bytes = sample().encode();
        let expected: Vec<u8> = [
            b"hv\x01\x02".as_slice(),
            &[1, 2, 3, 4, 7, 5, 6, 7, 8, 9, 0x0a, 0x0b, 0x0c],
            &[0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18],
            &[0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28],
            &[0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38],
            &[0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48],
        ]
        .concat();
        assert_eq!(bytes.as_slice(), expected.as_slice());
        assert_eq!(&sample().nonce(), b"\x03\x04\x07\x00\x41\x42\x43\x44\x45\x46\x47\x48");
    }

    #[test]
    fn decode_reverses_encode_and_names_what_is_wrong() {
        let mut datagram = sample().encode().to_vec();
        assert_eq!(Header::decode(&datagram), Err(Malformed::Short));
        datagram.extend([0; TAG]);
        assert_eq!(Header::decode(&datagram), Ok(sample()));
        let with = |at: usize, value: u8| {
            let mut changed = datagram.clone();
            changed[at] = value;
            Header::decode(&changed)
        };
        assert_eq!(with(0, b'x'), Err(Malformed::Magic));
        assert_eq!(with(2, 9), Err(Malformed::Version(9)));
        assert_eq!(with(3, 0), Err(Malformed::Kind(0)));
        assert_eq!(with(8, 8), Err(Malformed::Link(8)));
        datagram.resize(MAX_DATAGRAM + 1, 0);
        assert_eq!(Header::decode(&datagram), Err(Malformed::Long));
    }
}
