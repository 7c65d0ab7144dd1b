//! The packet sockets themselves.

use std::io;
use std::mem::{MaybeUninit, size_of};

use haven_base::IfIndex;
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{PacketError, filter};

/// `ETH_P_ARP` and `ETH_P_IPV6` of linux/if_ether.h.
const ETH_P_ARP: u16 = 0x0806;
const ETH_P_IPV6: u16 = 0x86dd;
/// Longest frame of interest; ARP takes 42 to 60 bytes, neighbour discovery below 200.
const FRAME_BYTES: usize = 2048;
/// Frames handed over in one go.
const BATCH: usize = 64;
/// Receive buffer: a storm beyond it loses frames, which only delays what they tell.
const RECEIVE_BYTES: usize = 1 << 20;

/// A packet socket that only sends.
#[derive(Debug)]
pub struct Sender {
    socket: Socket,
}

impl Sender {
    /// Open in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the socket cannot be opened.
    pub fn open() -> Result<Self, PacketError> {
        let open = |step: &'static str| move |source| PacketError::Open { step, source };
        // Protocol 0: receives nothing.
        let socket =
            Socket::new(Domain::PACKET, Type::RAW.nonblocking(), None).map_err(open("create"))?;
        Ok(Self { socket })
    }

    /// Hand `frame`, Ethernet header included, to interface `index`. Takes microseconds; returns when
    /// the driver or its queue has the frame.
    ///
    /// # Errors
    /// When the interface is down or gone, or a filter dropped the frame.
    pub fn send(&self, index: IfIndex, frame: &[u8]) -> Result<(), PacketError> {
        let address = link_address(index.get(), 0);
        match self.socket.send_to(frame, &address) {
            Ok(_) => Ok(()),
            Err(source) => Err(PacketError::Send { index, bytes: frame.len(), source }),
        }
    }
}

/// A frame and the interface it came in by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Interface.
    pub index: IfIndex,
    /// The frame from its Ethernet header on, at most 2048 bytes of it.
    pub frame: Vec<u8>,
}

/// Hears ARP or neighbour discovery on every interface of a namespace. Never sees the own frames of
/// this host.
#[derive(Debug)]
pub struct Listener {
    socket: AsyncFd<Socket>,
}

impl Listener {
    /// Hear ARP requests and replies.
    ///
    /// # Errors
    /// When the socket cannot be opened.
    pub fn arp() -> Result<Self, PacketError> {
        Self::open(ETH_P_ARP, filter::ARP)
    }

    /// Hear IPv6 neighbour solicitations and advertisements.
    ///
    /// # Errors
    /// When the socket cannot be opened.
    pub fn neighbour_discovery() -> Result<Self, PacketError> {
        Self::open(ETH_P_IPV6, filter::NEIGHBOUR_DISCOVERY)
    }

    fn open(protocol: u16, program: &[SockFilter]) -> Result<Self, PacketError> {
        let open = |step: &'static str| move |source| PacketError::Open { step, source };
        // Opened with protocol 0 and bound once the filter is in place: nothing else ever queues.
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking(), None::<Protocol>)
            .map_err(open("create"))?;
        socket.attach_filter(program).map_err(open("attach the filter"))?;
        socket.set_recv_buffer_size(RECEIVE_BYTES).map_err(open("enlarge the receive buffer"))?;
        socket.bind(&link_address(0, protocol)).map_err(open("bind"))?;
        // SAFETY: `socket` owns its descriptor and nothing replaces or closes it inside the AsyncFd.
        #[allow(unsafe_code, reason = "tokio offers no safe constructor that is not deprecated")]
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }
            .map_err(|refused| open("register with tokio")(refused.into()))?;
        Ok(Self { socket })
    }

    /// The frames queued this instant, possibly none.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub fn take_queued(&mut self) -> Result<Vec<Heard>, PacketError> {
        match read(self.socket.get_ref()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
            other => other.map_err(|source| PacketError::Receive { source }),
        }
    }

    /// The next frames, at least one. Cancelling loses nothing.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn next(&mut self) -> Result<Vec<Heard>, PacketError> {
        loop {
            let mut ready =
                self.socket.readable().await.map_err(|source| PacketError::Receive { source })?;
            let Ok(result) = ready.try_io(|socket| read(socket.get_ref())) else { continue };
            match result {
                Ok(frames) if frames.is_empty() => {}
                Ok(frames) => return Ok(frames),
                // An interface went down under a bound socket: told once, the socket lives on.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(source) => return Err(PacketError::Receive { source }),
            }
        }
    }
}

fn read(socket: &Socket) -> io::Result<Vec<Heard>> {
    let mut frames = Vec::new();
    let mut buffer = [MaybeUninit::<u8>::uninit(); FRAME_BYTES];
    while frames.len() < BATCH {
        match socket.recv_from(&mut buffer) {
            Ok((len, from)) => {
                let Some((index, outgoing)) = origin(&from) else { continue };
                if outgoing {
                    continue;
                }
                // SAFETY: recv_from has initialised the first `len` bytes.
                #[allow(unsafe_code, reason = "socket2 fills a buffer of MaybeUninit")]
                let bytes = unsafe { buffer[..len].assume_init_ref() };
                frames.push(Heard { index, frame: bytes.to_vec() });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !frames.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(frames)
}

/// A `sockaddr_ll` naming interface `index` (0: all) and `protocol` (an EtherType, host byte order).
fn link_address(index: u32, protocol: u16) -> SockAddr {
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or_default(),
        sll_protocol: protocol.to_be(),
        sll_ifindex: i32::try_from(index).unwrap_or_default(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    };
    // SAFETY: the closure writes a whole sockaddr_ll, which is smaller than a sockaddr_storage, and
    // sets the length to its size.
    #[allow(unsafe_code, reason = "socket2 has no constructor for link-layer addresses")]
    let made = unsafe {
        SockAddr::try_init(|storage, len| {
            storage.cast::<libc::sockaddr_ll>().write(address);
            *len = u32::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default();
            Ok(())
        })
    };
    match made {
        Ok(((), address)) => address,
        Err(error) => unreachable!("the initialiser returns Ok: {error}"),
    }
}

/// Interface of a received frame and whether this host sent it.
fn origin(from: &SockAddr) -> Option<(IfIndex, bool)> {
    if from.family() != u16::try_from(libc::AF_PACKET).ok()? {
        return None;
    }
    // SAFETY: the kernel filled the storage for an AF_PACKET socket, so it holds a sockaddr_ll; the
    // storage is large and aligned enough for it, and every bit pattern of it is valid.
    #[allow(unsafe_code, reason = "socket2 has no accessor for link-layer addresses")]
    let address = unsafe { from.as_ptr().cast::<libc::sockaddr_ll>().read_unaligned() };
    let index = IfIndex::new(u32::try_from(address.sll_ifindex).ok()?)?;
    Some((index, address.sll_pkttype == libc::PACKET_OUTGOING))
}
