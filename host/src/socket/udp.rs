//! The socket of one heartbeat link.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

/// Class selector 6, network control (RFC 4594 §3.2), in the position of the TOS octet.
const TRAFFIC_CLASS: u32 = 0xc0;
/// Queueing priorities of the kernel: control needs `CAP_NET_ADMIN`, interactive does not.
const PRIORITIES: [u32; 2] = [7, 6];
/// Receive buffer asked for: a second of beats of 31 peers with express messages between.
const RECEIVE_BUFFER: usize = 1 << 20;

#[allow(clippy::cast_possible_truncation, reason = "128 fits")]
const ADDRESS_SIZE: libc::socklen_t = size_of::<libc::sockaddr_storage>() as libc::socklen_t;

/// Of the sends in a row that find no way, the first and then one in so many look for the reason.
const EXAMINE_EVERY: u32 = 32;

/// Where a link lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSpec {
    /// Local address and UDP port. An IPv6 link-local address needs its scope id.
    pub local: SocketAddr,
    /// Interface to bind to, by name; with `None` the routes decide.
    pub device: Option<String>,
}

/// Why a link cannot be used at present. None of these is an error: they pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pending {
    /// No interface has the address (or it is still being checked for duplicates).
    AddressMissing(SocketAddr),
    /// No interface has this name.
    DeviceMissing(String),
    /// Another process holds the port.
    PortTaken(SocketAddr),
    /// Anything else, by its error number.
    Refused(SocketAddr, i32),
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressMissing(local) => {
                write!(f, "no interface has the address {}: waiting for it", local.ip())
            }
            Self::DeviceMissing(name) => write!(f, "no interface named {name}: waiting for it"),
            Self::PortTaken(local) => {
                write!(f, "another process holds UDP {local}: stop it or choose another port")
            }
            Self::Refused(local, errno) => {
                let error = io::Error::from_raw_os_error(*errno);
                write!(f, "cannot bind UDP {local}: {error}; trying again")
            }
        }
    }
}

/// Whether a link can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It can.
    Bound,
    /// Not now.
    Pending(Pending),
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel took it.
    Yes,
    /// The kernel's queue is full; the datagram is gone, as on any wire.
    Busy,
    /// No route or no carrier; try the next beat.
    Unreachable,
    /// The link is pending.
    Pending,
    /// Refused with this error number (`EPERM`: a packet filter).
    Failed(i32),
}

/// What [`UdpLink::receive`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Datagrams handed over.
    pub datagrams: usize,
    /// Datagrams longer than the batch's buffers; dropped.
    pub truncated: usize,
    /// More may be waiting: call again after looking at other links.
    pub more: bool,
}

/// Buffers for datagrams, shared by all links of a thread.
pub struct Batch {
    length: usize,
    /// How many headers, from the first, the kernel may have written into since they were set.
    used: usize,
    // What the headers point at. The pointers are made once, and stay good because nothing refers to these vectors' slices
    // or elements otherwise than by `as_mut_ptr`, which makes no reference to them.
    bytes: Vec<u8>,
    sources: Vec<libc::sockaddr_storage>,
    _vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("datagrams", &self.headers.len())
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

#[allow(unsafe_code, reason = "raw pointers of the kernel's structures")]
// SAFETY: the pointers within refer to the vectors beside them, which are never resized and whose elements move with no
// move of the batch. They are followed only in `receive`, which borrows the batch exclusively.
unsafe impl Send for Batch {}

impl Batch {
    /// Room for this many datagrams of this many bytes.
    ///
    /// # Panics
    /// When either is 0.
    #[must_use]
    pub fn new(datagrams: usize, length: usize) -> Self {
        assert!(datagrams > 0 && length > 0, "a batch holds something");
        #[allow(unsafe_code, reason = "the kernel's structures have no other initial value")]
        // SAFETY: both structures consist of integers and pointers, for which zero is valid.
        let (empty, source) = unsafe {
            (
                MaybeUninit::<libc::mmsghdr>::zeroed().assume_init(),
                MaybeUninit::<libc::sockaddr_storage>::zeroed().assume_init(),
            )
        };
        let (mut bytes, mut sources) = (vec![0_u8; datagrams * length], vec![source; datagrams]);
        let (first_byte, first_source) = (bytes.as_mut_ptr(), sources.as_mut_ptr());
        let vector = |n: usize| libc::iovec {
            iov_base: first_byte.wrapping_add(n * length).cast(),
            iov_len: length,
        };
        let mut vectors: Vec<libc::iovec> = (0..datagrams).map(vector).collect();
        let first_vector = vectors.as_mut_ptr();
        let header = |n: usize| {
            let mut header = empty;
            header.msg_hdr.msg_name = first_source.wrapping_add(n).cast();
            header.msg_hdr.msg_iov = first_vector.wrapping_add(n);
            header.msg_hdr.msg_iovlen = 1;
            header
        };
        let headers = (0..datagrams).map(header).collect();
        Self { length, used: datagrams, bytes, sources, _vectors: vectors, headers }
    }

    /// Sets what the kernel wrote into the headers used last; the others still are as they were.
    fn prepare(&mut self) {
        for header in self.headers.iter_mut().take(self.used) {
            header.msg_len = 0;
            header.msg_hdr.msg_namelen = ADDRESS_SIZE;
            header.msg_hdr.msg_flags = 0;
        }
    }

    /// What the kernel has put into buffer `n`: the address it wrote with its length, and at most `taken` bytes.
    fn filled(&mut self, n: usize, taken: usize) -> (SockAddr, &mut [u8]) {
        let header = &self.headers[n];
        let mut storage = SockAddrStorage::zeroed();
        #[allow(
            unsafe_code,
            reason = "a reference to a whole vector would end what the headers hold"
        )]
        // SAFETY: there are as many sources, and buffers of `length` bytes, as headers, of which `n` is one. The storage
        // is a `sockaddr_storage`, into which the kernel wrote an address of `msg_namelen` bytes. The slice lies
        // within one buffer, is the only reference to it, and ends with the borrow of the batch, before the kernel
        // writes again; being made of the very pointer that the headers' are made of, it takes nothing from them.
        unsafe {
            *storage.view_as::<libc::sockaddr_storage>() = self.sources.as_ptr().add(n).read();
            let source = SockAddr::new(storage, header.msg_hdr.msg_namelen);
            let first = self.bytes.as_mut_ptr().add(n * self.length);
            (source, std::slice::from_raw_parts_mut(first, taken.min(self.length)))
        }
    }
}

/// A non-blocking UDP socket that waits for its address or interface to come (back).
#[derive(Debug)]
pub struct UdpLink {
    spec: LinkSpec,
    socket: Option<Socket>,
    state: LinkState,
    /// Sends in a row that found no way.
    failures: u32,
}

impl UdpLink {
    /// Tries to bind once. A missing address or interface is [`LinkState::Pending`].
    #[must_use]
    pub fn new(spec: LinkSpec) -> Self {
        let state = LinkState::Pending(Pending::AddressMissing(spec.local));
        let mut link = Self { spec, socket: None, state, failures: 0 };
        link.retry();
        link
    }

    /// Where the link lives.
    #[must_use]
    pub fn spec(&self) -> &LinkSpec {
        &self.spec
    }

    /// Whether it can be used.
    #[must_use]
    pub fn state(&self) -> &LinkState {
        &self.state
    }

    /// The address bound, with the port the kernel chose for port 0.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.as_ref()?.local_addr().ok()?.as_socket()
    }

    /// What to give to [`wait`](super::wait); `None` while there is no socket.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Binds, or looks whether a lost address is back. Call it when an address or interface appeared, and every second or
    /// so while pending; it costs some microseconds and never blocks. True when the state changed.
    pub fn retry(&mut self) -> bool {
        let before = self.state.clone();
        if self.socket.is_some() {
            if before != LinkState::Bound {
                self.examine();
            }
        } else {
            self.state = match open(&self.spec) {
                Ok(socket) => {
                    self.socket = Some(socket);
                    self.failures = 0;
                    LinkState::Bound
                }
                Err(pending) => LinkState::Pending(pending),
            };
        }
        self.state != before
    }

    /// Sends one datagram; never blocks.
    pub fn send(&mut self, to: SocketAddr, bytes: &[u8]) -> Sent {
        let Some(socket) = &self.socket else { return Sent::Pending };
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        match socket.send_to_with_flags(bytes, &SockAddr::from(to), flags) {
            Ok(_) => {
                if self.failures > 0 {
                    (self.failures, self.state) = (0, LinkState::Bound);
                }
                Sent::Yes
            }
            Err(error) => self.on_send_error(error.raw_os_error().unwrap_or(0)),
        }
    }

    fn on_send_error(&mut self, errno: i32) -> Sent {
        match errno {
            libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::EINTR => Sent::Busy,
            // The kernel says the same for a missing route, a missing local address and a missing
            // interface. Looking closer costs as much as ten sends, so not every time.
            libc::ENETUNREACH
            | libc::EHOSTUNREACH
            | libc::ENETDOWN
            | libc::EADDRNOTAVAIL
            | libc::EINVAL
            | libc::ENODEV
            | libc::ENXIO => {
                if self.failures.is_multiple_of(EXAMINE_EVERY) {
                    self.examine();
                }
                self.failures = self.failures.wrapping_add(1);
                match self.state {
                    LinkState::Bound => Sent::Unreachable,
                    LinkState::Pending(_) => Sent::Pending,
                }
            }
            // An error of an earlier datagram reported by ICMP; this one may have been sent.
            libc::ECONNREFUSED => Sent::Unreachable,
            other => Sent::Failed(other),
        }
    }

    /// Looks whether the local address and the interface are still there.
    fn examine(&mut self) {
        let Some(socket) = &self.socket else { return };
        if let Some(name) = &self.spec.device
            && socket.device().is_err()
        {
            // Gone for good: one of the same name that appears later is another interface.
            self.state = LinkState::Pending(Pending::DeviceMissing(name.clone()));
            self.socket = None;
            return;
        }
        // The socket stays: it works again as soon as the address is back.
        let mut probe = self.spec.clone();
        probe.local.set_port(0);
        self.state = match open(&probe) {
            Ok(_) => LinkState::Bound,
            Err(Pending::DeviceMissing(_)) if socket.device().is_ok() => LinkState::Bound,
            Err(Pending::AddressMissing(_)) => {
                LinkState::Pending(Pending::AddressMissing(self.spec.local))
            }
            Err(pending) => LinkState::Pending(pending),
        };
    }

    /// Takes what has arrived, at most one batch, and hands over each datagram with its source. Never
    /// blocks.
    pub fn receive(
        &mut self,
        batch: &mut Batch,
        mut take: impl FnMut(SocketAddr, &mut [u8]),
    ) -> Received {
        let mut received = Received::default();
        let Some(socket) = &self.socket else { return received };
        batch.prepare();
        let room = u32::try_from(batch.headers.len()).unwrap_or(u32::MAX);
        #[allow(unsafe_code, reason = "neither std nor socket2 has recvmmsg")]
        // SAFETY: every header points at an address and, by a vector, at a buffer of `length` bytes of its own, all owned
        // by `batch`, which is borrowed for the whole call; no reference to any of them is alive.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                batch.headers.as_mut_ptr(),
                room,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        // Nothing there, or the report of an ICMP error: in both cases the next poll tells.
        let count = usize::try_from(count).unwrap_or(0);
        // One more, which an error may have left half written.
        batch.used = count + 1;
        received.more = count == batch.headers.len();
        for n in 0..count {
            let header = &batch.headers[n];
            if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                received.truncated += 1;
                continue;
            }
            let taken = usize::try_from(header.msg_len).unwrap_or(0);
            let (source, bytes) = batch.filled(n, taken);
            if let Some(source) = source.as_socket() {
                received.datagrams += 1;
                take(source, bytes);
            }
        }
        received
    }
}

fn open(spec: &LinkSpec) -> Result<Socket, Pending> {
    let local = spec.local;
    let refused = |error: io::Error| match error.raw_os_error().unwrap_or(0) {
        libc::EADDRNOTAVAIL => Pending::AddressMissing(local),
        libc::EADDRINUSE => Pending::PortTaken(local),
        libc::ENODEV | libc::ENXIO => {
            spec.device.clone().map_or(Pending::AddressMissing(local), Pending::DeviceMissing)
        }
        errno => Pending::Refused(local, errno),
    };
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))
        .map_err(refused)?;
    socket.set_nonblocking(true).map_err(refused)?;
    if local.is_ipv6() {
        socket.set_only_v6(true).map_err(refused)?;
    }
    if let Some(device) = &spec.device {
        socket.bind_device(Some(device.as_bytes())).map_err(refused)?;
    }
    prefer(&socket, local);
    socket.bind(&SockAddr::from(local)).map_err(refused)?;
    Ok(socket)
}

/// Marks and buffers. A kernel that refuses one of them still carries beats.
fn prefer(socket: &Socket, local: SocketAddr) {
    let marked = if local.is_ipv4() {
        socket.set_tos_v4(TRAFFIC_CLASS)
    } else {
        socket.set_tclass_v6(TRAFFIC_CLASS)
    };
    if let Err(error) = marked {
        tracing::debug!(%local, %error, "no traffic class on this link");
    }
    // After the traffic class, which sets a priority of its own.
    if !PRIORITIES.iter().any(|priority| socket.set_priority(*priority).is_ok()) {
        tracing::debug!(%local, "no queueing priority on this link");
    }
    let size = libc::c_int::try_from(RECEIVE_BUFFER).unwrap_or(libc::c_int::MAX);
    #[allow(unsafe_code, reason = "socket2 has no SO_RCVBUFFORCE")]
    // SAFETY: the option takes an int, which is passed with its size.
    let forced = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            std::ptr::from_ref(&size).cast(),
            libc::socklen_t::try_from(size_of_val(&size)).unwrap_or(4),
        )
    };
    // Without CAP_NET_ADMIN the system's limit holds.
    if forced != 0
        && let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER)
    {
        tracing::debug!(%local, %error, "default receive buffer on this link");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::socket::wait;

    fn link(address: &str) -> UdpLink {
        UdpLink::new(LinkSpec { local: address.parse().unwrap(), device: None })
    }

    fn collect(link: &mut UdpLink, batch: &mut Batch, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut got = Vec::new();
        while got.len() < count {
            let ready = wait([link.fd()], Some(Duration::from_secs(5))).unwrap();
            assert!(ready.at(0), "{} of {count} datagrams arrived in 5 s", got.len());
            link.receive(batch, |source, bytes| got.push((source, bytes.to_vec())));
        }
        got
    }

    #[test]
    fn datagrams_cross_ipv4_and_ipv6_with_their_source() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (mut a, mut b) = (link(address), link(address));
            if *b.state() != LinkState::Bound {
                assert!(address.contains("::1"), "IPv4 loopback exists");
                haven_skipped::skip("this host has no IPv6 loopback", "datagrams over IPv6");
                continue;
            }
            let (from, to) = (a.local_addr().unwrap(), b.local_addr().unwrap());
            for n in 0..40_u8 {
                assert_eq!(a.send(to, &[n; 100]), Sent::Yes);
            }
            let got = collect(&mut b, &mut Batch::new(16, 200), 40);
            let expected: Vec<_> = (0..40).map(|n| (from, vec![n; 100])).collect();
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_batch_says_whether_more_may_wait_and_drops_what_is_too_long() {
        let (mut a, mut b) = (link("127.0.0.1:0"), link("127.0.0.1:0"));
        let to = b.local_addr().unwrap();
        assert_eq!(a.send(to, &[1; 300]), Sent::Yes);
        for _ in 0..4 {
            assert_eq!(a.send(to, &[2; 10]), Sent::Yes);
        }
        let mut batch = Batch::new(4, 200);
        let first = b.receive(&mut batch, |_, bytes| assert_eq!(bytes, [2; 10]));
        assert_eq!(first, Received { datagrams: 3, truncated: 1, more: true });
        let second = b.receive(&mut batch, |_, bytes| assert_eq!(bytes, [2; 10]));
        assert_eq!(second, Received { datagrams: 1, truncated: 0, more: false });
        assert_eq!(b.receive(&mut batch, |_, _| panic!("empty")), Received::default());
    }

    #[test]
    fn marks_are_set() {
        let link = link("127.0.0.1:0");
        let socket = link.socket.as_ref().unwrap();
        assert_eq!(socket.tos_v4().unwrap(), TRAFFIC_CLASS);
        assert!(socket.priority().unwrap() >= 6);
    }

    #[test]
    fn a_missing_address_interface_or_port_is_pending_and_says_why() {
        // TEST-NET-1 (RFC 5737) is on no interface.
        let mut missing = link("192.0.2.77:5405");
        let local = missing.spec().local;
        assert_eq!(*missing.state(), LinkState::Pending(Pending::AddressMissing(local)));
        assert_eq!(missing.send("127.0.0.1:9".parse().unwrap(), b"x"), Sent::Pending);
        assert!(!missing.retry(), "nothing changed");
        assert!(missing.fd().is_none());

        let local = "127.0.0.1:0".parse().unwrap();
        let named = UdpLink::new(LinkSpec { local, device: Some("hv-none".to_owned()) });
        let expected = Pending::DeviceMissing("hv-none".to_owned());
        assert_eq!(*named.state(), LinkState::Pending(expected.clone()));
        assert!(expected.to_string().contains("hv-none"));

        let holder = link("127.0.0.1:0");
        let taken = holder.local_addr().unwrap();
        let mut second = UdpLink::new(LinkSpec { local: taken, device: None });
        assert_eq!(*second.state(), LinkState::Pending(Pending::PortTaken(taken)));
        drop(holder);
        assert!(second.retry(), "the port is free now");
        assert_eq!(*second.state(), LinkState::Bound);
    }
}
