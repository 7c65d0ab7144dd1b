//! Frames in a segment, and how a frame cut short is told from a damaged one.
//!
//! ```text
//!  segment: magic 8 │ format 2 │ 0 ×6 │ number 8 │ size 8 │ 0 ×28 │ crc 4 │ frame │ frame │ 0 …
//!  frame:   length 4 │ body crc 4 │ 0 ×4 │ head crc 4 │ body (length) │ 0xE5 │ 0 … to 16 bytes
//! ```
//!
//! All little endian. A frame starts at a multiple of 16, so its head lies in one sector. The body
//! is masked, so that no sector of it is all zeroes, and ends in a mark that is not zero. As a
//! segment is all zeroes before it is written, a write that a crash cut short leaves either zeroes
//! from some byte to the end, or whole sectors of zeroes. At most the last frame can be cut short,
//! because the next is written after it was synced; and what was not synced was not acknowledged.
//! Everything else that does not check is damage.

/// Size of a segment's header in bytes.
pub(super) const HEADER_LEN: u64 = 64;
/// Frames start at multiples of this.
pub(super) const FRAME_ALIGN: u64 = 16;
/// The format this build writes, and the newest it reads.
pub(super) const FORMAT: u16 = 1;

const MAGIC: &[u8; 8] = b"haven-l\n";
const HEAD: usize = 16;
const END_MARK: u8 = 0xE5;
/// The unit a disk writes as a whole.
const SECTOR: usize = 512;

pub(super) fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// What stands at the start of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: u64,
    pub(super) len: u64,
}

/// Why a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    Newer(u16),
    Damaged,
}

impl SegmentHeader {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(self.number.to_le_bytes());
        bytes.extend(self.len.to_le_bytes());
        bytes.extend([0; 28]);
        let check = crc(&bytes);
        bytes.extend(check.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some(head) = bytes.get(..64) else { return Err(HeaderError::Damaged) };
        if &head[..8] != MAGIC || crc(&head[..60]) != u32_at(head, 60) {
            return Err(HeaderError::Damaged);
        }
        let format = u16::from_le_bytes([head[8], head[9]]);
        if format > FORMAT {
            return Err(HeaderError::Newer(format));
        }
        Ok(Self { number: u64_at(head, 16), len: u64_at(head, 24) })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut it = [0; 4];
    it.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(it)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut it = [0; 8];
    it.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(it)
}

/// Bytes a frame of this payload takes.
pub(super) fn frame_len(payload: usize) -> u64 {
    ((HEAD + payload + 1) as u64).next_multiple_of(FRAME_ALIGN)
}

/// Differs from byte to byte, so that a masked sector is zero only for a body made for it.
fn mask(position: usize) -> u8 {
    let it = (position as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    u8::try_from(it).unwrap_or(0) ^ 0xA5
}

fn head_crc(segment: u64, offset: u64, head: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&head[..12]);
    hasher.finalize()
}

/// The bytes of a frame that will stand at `offset` of `segment`.
pub(super) fn encode(segment: u64, offset: u64, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    assert!(payload.len() < 1 << 31, "a record is far below 2 GiB");
    let mut body: Vec<u8> = payload.iter().enumerate().map(|(at, it)| it ^ mask(at)).collect();
    body.push(END_MARK);
    let mut bytes = Vec::with_capacity(HEAD + body.len() + HEAD);
    bytes.extend(len.to_le_bytes());
    bytes.extend(crc(&body).to_le_bytes());
    bytes.extend([0; 4]);
    let check = head_crc(segment, offset, &bytes);
    bytes.extend(check.to_le_bytes());
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(HEAD), 0);
    bytes
}

/// What a segment holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// Payloads in order.
    pub(super) payloads: Vec<Vec<u8>>,
    /// Where the next frame would go.
    pub(super) end: u64,
    /// Something never acknowledged stands there.
    pub(super) torn: bool,
}

/// Damage: where, and in words what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) offset: u64,
    pub(super) what: &'static str,
}

/// Reads the frames of a whole segment.
pub(super) fn scan(segment: u64, bytes: &[u8]) -> Result<Scan, Damage> {
    let mut payloads = Vec::new();
    let mut at = 64;
    loop {
        match frame_at(segment, bytes, at) {
            Frame::Whole { payload, end } => {
                payloads.push(payload);
                at = end;
            }
            Frame::None => {
                return Ok(Scan { payloads, end: at as u64, torn: false });
            }
            broken @ (Frame::BadHead | Frame::BadBody { .. }) => {
                return match judge(segment, bytes, at, &broken) {
                    Ok(()) => Ok(Scan { payloads, end: at as u64, torn: true }),
                    Err(what) => Err(Damage { offset: at as u64, what }),
                };
            }
        }
    }
}

enum Frame {
    Whole {
        payload: Vec<u8>,
        end: usize,
    },
    /// Only zeroes from here on.
    None,
    BadHead,
    /// The head is sound; the body would end before this.
    BadBody {
        end: usize,
    },
}

/// The length in a sound head.
fn head_at(segment: u64, bytes: &[u8], at: usize) -> Option<usize> {
    let head = bytes.get(at..at + HEAD)?;
    if zero(head) || head_crc(segment, at as u64, head) != u32_at(head, 12) {
        return None;
    }
    usize::try_from(u32_at(head, 0)).ok()
}

fn frame_at(segment: u64, bytes: &[u8], at: usize) -> Frame {
    if zero(bytes.get(at..).unwrap_or(&[])) {
        return Frame::None;
    }
    let Some(len) = head_at(segment, bytes, at) else { return Frame::BadHead };
    let end = at + HEAD + len + 1;
    let Some(body) = bytes.get(at + HEAD..end) else {
        return Frame::BadBody { end: bytes.len() };
    };
    if crc(body) != u32_at(bytes, at + 4) || body[len] != END_MARK {
        return Frame::BadBody { end };
    }
    let payload = body[..len].iter().enumerate().map(|(at, it)| it ^ mask(at)).collect();
    Frame::Whole { payload, end: end.next_multiple_of(HEAD) }
}

/// Whether what stands at `at` is a write cut short; otherwise what is wrong with it.
fn judge(segment: u64, bytes: &[u8], at: usize, frame: &Frame) -> Result<(), &'static str> {
    let later = (at + HEAD..bytes.len()).step_by(HEAD);
    if later.into_iter().any(|it| head_at(segment, bytes, it).is_some()) {
        return Err("a frame before the last one does not check");
    }
    let Frame::BadBody { end } = *frame else {
        let sector_end = ((at / SECTOR + 1) * SECTOR).min(bytes.len());
        let only_later_sectors = zero(&bytes[at..sector_end]);
        let head_cut_short = zero(bytes.get(at + HEAD..).unwrap_or(&[]));
        return if only_later_sectors || head_cut_short {
            Ok(())
        } else {
            Err("the head of the last frame does not check")
        };
    };
    if !zero(&bytes[end..]) {
        return Err("something stands behind the last frame");
    }
    let mut part = (at / SECTOR + 1) * SECTOR;
    let mut sector_missing = false;
    while part < end {
        sector_missing |= zero(&bytes[part..(part + SECTOR).min(end)]);
        part += SECTOR;
    }
    if sector_missing || bytes[end - 1] == 0 {
        Ok(())
    } else {
        Err("the last frame is complete but does not check")
    }
}

fn zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|it| *it == 0)
}
