//! Packet sockets on one port: the frames that come in by it, stamped by the kernel, and the means
//! to pass frames on. For whoever watches or delays other machines' traffic (`haven lab`).

#![allow(unsafe_code, reason = "packet(7) addresses and control messages need the C structures")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes of C structures and constants of the kernel fit the kernel's own types"
)]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// A system call on a port's packet socket failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempt} {port}")]
pub struct CaptureError {
    /// What was attempted.
    pub attempt: &'static str,
    /// The port.
    pub port: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// Greatest frame with its virtio header: a GSO packet of 64 KiB.
pub const FRAME_ROOM: usize = 65_600;

/// A packet socket bound to one interface of the namespace it was made in.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    port: String,
}

/// One received frame.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Bytes of the buffer that hold the frame.
    pub length: usize,
    /// When the kernel took the frame over from the sender: nanoseconds of the wall clock.
    pub at_nanos: u64,
}

impl PacketSocket {
    /// Opens a socket that sees what the other end of `port`'s cable sends, each frame stamped.
    ///
    /// # Errors
    /// [`CaptureError`] naming the port.
    pub fn capture(port: &str) -> Result<Self, CaptureError> {
        let socket = Self::open(port)?;
        socket.option(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        socket.option(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        socket.room()?;
        socket.bind(libc::ETH_P_ALL)?;
        Ok(socket)
    }

    /// Opens a socket that reads frames with their offload state (a virtio header of 10 bytes in
    /// front), so that they can be sent on unchanged by [`Self::outlet`].
    ///
    /// # Errors
    /// [`CaptureError`] naming the port.
    pub fn intake(port: &str) -> Result<Self, CaptureError> {
        let socket = Self::open(port)?;
        socket.option(libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
        socket.option(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        socket.room()?;
        socket.bind(libc::ETH_P_ALL)?;
        Ok(socket)
    }

    /// Opens a socket that sends frames with their virtio header out of `port`, past its egress
    /// hook.
    ///
    /// # Errors
    /// [`CaptureError`] naming the port.
    pub fn outlet(port: &str) -> Result<Self, CaptureError> {
        let socket = Self::open(port)?;
        socket.option(libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
        socket.option(libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)?;
        socket.bind(0)?;
        Ok(socket)
    }

    fn open(port: &str) -> Result<Self, CaptureError> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: socket(2) takes integers only. Protocol 0 receives nothing until bound.
        let raw = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if raw < 0 {
            let source = io::Error::last_os_error();
            let (attempt, port) = ("open a packet socket for", port.to_owned());
            return Err(CaptureError { attempt, port, source });
        }
        // SAFETY: `raw` was just returned by socket(2) and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { fd, port: port.to_owned() })
    }

    /// Room for a few seconds of traffic, so that a busy reader loses nothing.
    fn room(&self) -> Result<(), CaptureError> {
        self.option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 64 << 20)
    }

    fn option(&self, level: i32, name: i32, value: i32) -> Result<(), CaptureError> {
        let length = size_of::<i32>() as libc::socklen_t;
        // SAFETY: the pointer and the length describe `value`, which outlives the call.
        let done = unsafe {
            libc::setsockopt(self.fd.as_raw_fd(), level, name, (&raw const value).cast(), length)
        };
        self.check(i64::from(done), "set an option of the packet socket on").map(drop)
    }

    fn bind(&self, protocol: i32) -> Result<(), CaptureError> {
        let index = rustix::net::netdevice::name_to_index(&self.fd, &self.port)
            .map_err(|e| self.failed("find interface", e.into()))?;
        // SAFETY: sockaddr_ll is plain integers, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (protocol as u16).to_be();
        address.sll_ifindex = index.cast_signed();
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the pointer and the length describe `address`, which outlives the call.
        let done = unsafe { libc::bind(self.fd.as_raw_fd(), (&raw const address).cast(), length) };
        self.check(i64::from(done), "bind a packet socket to").map(drop)
    }

    fn check(&self, result: i64, attempt: &'static str) -> Result<usize, CaptureError> {
        usize::try_from(result).map_err(|_| self.failed(attempt, io::Error::last_os_error()))
    }

    fn failed(&self, attempt: &'static str, source: io::Error) -> CaptureError {
        CaptureError { attempt, port: self.port.clone(), source }
    }

    /// Takes the next frame, or `None` when there is none yet.
    ///
    /// # Errors
    /// [`CaptureError`] when the port is gone.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<Received>, CaptureError> {
        let mut control = [0u64; 16];
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: msghdr is integers and pointers, for which zero (null) is a value.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: `message` points to `part` and `control`, and that to `buffer`; all outlive the
        // call and their lengths are their own.
        let got = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut message, 0) };
        if got < 0 {
            let error = io::Error::last_os_error();
            let empty =
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
            return if empty { Ok(None) } else { Err(self.failed("read frames of", error)) };
        }
        let length = usize::try_from(got).unwrap_or(0);
        Ok(Some(Received { length, at_nanos: timestamp(&message) }))
    }

    /// Sends a frame with its virtio header in front. A full queue drops it, as a switch would.
    pub fn send(&self, frame: &[u8]) {
        // SAFETY: the pointer and the length describe `frame`, which outlives the call.
        let _ = unsafe {
            libc::send(self.fd.as_raw_fd(), frame.as_ptr().cast(), frame.len(), libc::MSG_DONTWAIT)
        };
    }

    /// Frames the kernel dropped on this socket since the last call, for want of room.
    #[must_use]
    pub fn take_dropped(&self) -> u64 {
        // SAFETY: tpacket_stats is two integers, for which zero is a value.
        let mut stats: libc::tpacket_stats = unsafe { zeroed() };
        let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: the pointer and the length describe `stats`, which outlives the call.
        let done = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &raw mut length,
            )
        };
        if done == 0 { u64::from(stats.tp_drops) } else { 0 }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The SCM_TIMESTAMPNS control message of a received message, 0 when there is none.
fn timestamp(message: &libc::msghdr) -> u64 {
    // SAFETY: the kernel filled the control buffer that `message` describes; the CMSG macros walk
    // it within msg_controllen, and a timespec of SCM_TIMESTAMPNS lies unaligned behind its head.
    unsafe {
        let mut head = libc::CMSG_FIRSTHDR(message);
        while !head.is_null() {
            if (*head).cmsg_level == libc::SOL_SOCKET && (*head).cmsg_type == libc::SCM_TIMESTAMPNS
            {
                let time = libc::CMSG_DATA(head).cast::<libc::timespec>().read_unaligned();
                let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
                return seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0);
            }
            head = libc::CMSG_NXTHDR(message, head);
        }
    }
    0
}

/// Asks for realtime scheduling (SCHED_FIFO, lowest priority) of the calling thread, so that the
/// measuring does not measure its own waiting for a processor. Returns whether it was granted.
pub fn realtime() -> bool {
    let parameter = libc::sched_param { sched_priority: 1 };
    // SAFETY: the pointer is to `parameter`, which outlives the call; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) == 0 }
}
