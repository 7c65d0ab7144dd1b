//! Netlink as the gate needs it: synchronous requests with acknowledgement, attributes built and walked.
//!
//! The heartbeat thread may not wait for a runtime, so this is a plain socket; `host::netlink` is the
//! asynchronous one for everything else.

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr};
use rustix::event::{PollFd, PollFlags, poll};

pub(super) const NLM_F_REQUEST: u16 = 1;
pub(super) const NLM_F_ACK: u16 = 4;
pub(super) const NLM_F_DUMP: u16 = 0x300;
pub(super) const NLM_F_EXCL: u16 = 0x200;
pub(super) const NLM_F_CREATE: u16 = 0x400;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;
const HEADER_LEN: usize = 16;
/// Room for one datagram of answers.
const RECEIVE_BYTES: usize = 64 * 1024;
/// The kernel answers requests at once; longer than this means the answer was lost.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// A message under construction.
#[derive(Debug, Clone)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message of `kind` whose family header is `header`.
    pub(super) fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend_from_slice(header);
        pad(&mut bytes);
        Self { bytes }
    }

    /// Appends an attribute.
    pub(super) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.append(kind, value);
        self
    }

    /// Appends an attribute of text with its terminator.
    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Appends an attribute that contains those `fill` appends.
    pub(super) fn nest(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        self.append(kind | NLA_F_NESTED, &[]);
        let mut filled = fill(self);
        let length = u16::try_from(filled.bytes.len() - start).unwrap_or(u16::MAX);
        filled.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        filled
    }

    fn append(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        pad(&mut self.bytes);
    }

    /// Adds flags to those it was made with.
    pub(super) fn with_flags(mut self, flags: u16) -> Self {
        let flags = half(&self.bytes, 6) | flags;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self
    }

    pub(super) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// A message received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) kind: u16,
    pub(super) sequence: u32,
    /// What follows the netlink header.
    pub(super) payload: Vec<u8>,
}

/// The messages of a datagram, up to the first that is cut.
fn messages(datagram: &[u8]) -> Vec<Received> {
    let mut out = Vec::new();
    let mut rest = datagram;
    while let Some((head, _)) = rest.split_first_chunk::<HEADER_LEN>() {
        let length = word(head, 0) as usize;
        let Some(payload) = rest.get(HEADER_LEN..length) else {
            break;
        };
        out.push(Received {
            kind: half(head, 4),
            sequence: word(head, 8),
            payload: payload.to_vec(),
        });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    out
}

/// The attributes in `bytes`, up to the first that is cut: (type, value).
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let head = rest.get(..4)?;
        let length = usize::from(half(head, 0));
        let value = rest.get(4..length)?;
        let kind = half(head, 2) & NLA_TYPE_MASK;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

/// The first attribute of type `kind` in `bytes`.
pub(super) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

/// An attribute's text without its terminator.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|&b| b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// The native half word at `at`; 0 when cut.
pub(super) fn half(bytes: &[u8], at: usize) -> u16 {
    let mut value = [0; 2];
    if let Some(found) = bytes.get(at..at + 2) {
        value.copy_from_slice(found);
    }
    u16::from_ne_bytes(value)
}

/// The native word at `at`; 0 when cut.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    if let Some(found) = bytes.get(at..at + 4) {
        value.copy_from_slice(found);
    }
    u32::from_ne_bytes(value)
}

/// A socket for requests or for events.
#[derive(Debug)]
pub(super) struct Channel {
    socket: Socket,
    sequence: u32,
}

impl Channel {
    /// A socket of netlink `protocol`, for requests.
    pub(super) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        Ok(Self { socket, sequence: 1 })
    }

    /// A socket that receives the events of multicast `group`.
    pub(super) fn subscribe(protocol: isize, group: u32) -> io::Result<Self> {
        let channel = Self::open(protocol)?;
        channel.hear(group)?;
        Ok(channel)
    }

    /// From here on receives the events of multicast `group`, too.
    pub(super) fn hear(&self, group: u32) -> io::Result<()> {
        self.socket.add_membership(group)
    }

    /// Sends `message` and waits for the kernel's acknowledgement.
    pub(super) fn acknowledged(&mut self, message: Message) -> io::Result<()> {
        self.request(message).map(|_| ())
    }

    /// Sends `message` and collects the answers up to the acknowledgement or the end of the dump.
    pub(super) fn request(&mut self, message: Message) -> io::Result<Vec<Received>> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        self.send(&message.finish(sequence))?;
        self.collect(sequence)
    }

    /// Sends finished messages in one datagram.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to(bytes, &SocketAddr::new(0, 0), libc::MSG_NOSIGNAL)?;
        if sent == bytes.len() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::WriteZero)) }
    }

    /// The answers to `sequence` up to its acknowledgement or the end of the dump.
    pub(super) fn collect(&self, sequence: u32) -> io::Result<Vec<Received>> {
        let mut answers = Vec::new();
        loop {
            for received in self.receive_waiting()? {
                if received.sequence != sequence {
                    continue;
                }
                match received.kind {
                    NLMSG_DONE => return Ok(answers),
                    NLMSG_ERROR => match word(&received.payload, 0).cast_signed() {
                        0 => return Ok(answers),
                        errno => return Err(io::Error::from_raw_os_error(-errno)),
                    },
                    _ => answers.push(received),
                }
            }
        }
    }

    /// A sequence number no earlier message has.
    pub(super) fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Waits for the acknowledgement of the last of `sequences`; an error of any of them fails all.
    pub(super) fn collect_batch(&self, sequences: RangeInclusive<u32>) -> io::Result<()> {
        let mut failed = None;
        loop {
            for received in self.receive_waiting()? {
                if received.kind != NLMSG_ERROR || !sequences.contains(&received.sequence) {
                    continue;
                }
                let errno = word(&received.payload, 0).cast_signed();
                if errno != 0 {
                    failed.get_or_insert_with(|| io::Error::from_raw_os_error(-errno));
                }
                if received.sequence == *sequences.end() || failed.is_some() {
                    return failed.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// What has arrived; nothing when there is nothing. ENOBUFS says that events were lost.
    pub(super) fn events(&self) -> io::Result<Vec<Received>> {
        match self.receive() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
            other => other,
        }
    }

    fn receive_waiting(&self) -> io::Result<Vec<Received>> {
        loop {
            match self.receive() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                other => return other,
            }
        }
    }

    fn receive(&self) -> io::Result<Vec<Received>> {
        let mut buffer: Vec<u8> = Vec::with_capacity(RECEIVE_BYTES);
        let (_, from) = self.socket.recv_from(&mut buffer, 0)?;
        // Only the kernel's answers count; any process can send us a datagram.
        if from.port_number() != 0 {
            return Ok(Vec::new());
        }
        Ok(messages(&buffer))
    }

    fn wait(&self) -> io::Result<()> {
        let limit =
            rustix::event::Timespec { tv_sec: ANSWER_LIMIT.as_secs().cast_signed(), tv_nsec: 0 };
        let fd = self.as_fd();
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)) {
            Ok(0) => Err(io::Error::from(io::ErrorKind::TimedOut)),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        borrow(&self.socket)
    }
}

#[allow(unsafe_code, reason = "netlink-sys 0.9 offers the raw descriptor only")]
fn borrow(socket: &Socket) -> BorrowedFd<'_> {
    // SAFETY: the descriptor belongs to `socket`, which outlives the borrow.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_attributes_come_back() {
        let message = Message::new(36, 0, &[1, 2, 3, 4])
            .text(1, "clsact")
            .nest(2, |m| m.attribute(5, &[9]).attribute(6, &7_u32.to_ne_bytes()));
        let bytes = message.finish(77);
        let received = messages(&bytes);
        assert_eq!(received.len(), 1);
        assert_eq!((received[0].kind, received[0].sequence), (36, 77));
        let body = &received[0].payload[4..];
        assert_eq!(text(attribute(body, 1).unwrap()), "clsact");
        let nested = attribute(body, 2).unwrap();
        assert_eq!(attribute(nested, 5), Some(&[9][..]));
        assert_eq!(word(attribute(nested, 6).unwrap(), 0), 7);
    }

    #[test]
    fn a_cut_datagram_yields_what_is_whole() {
        let mut bytes = Message::new(1, 0, &[]).finish(1);
        let second = Message::new(2, 0, &[0; 8]).finish(2);
        bytes.extend_from_slice(&second);
        for cut in 0..bytes.len() {
            let whole = usize::from(cut >= 16) + usize::from(cut >= bytes.len());
            assert_eq!(messages(&bytes[..cut]).len(), whole, "cut at {cut}");
        }
        assert_eq!(attributes(&[0, 0, 0, 0, 1, 2]).count(), 0);
        assert_eq!(attributes(&[255, 255, 1, 0]).count(), 0);
    }
}
