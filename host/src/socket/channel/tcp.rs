//! TCP that notices a dead path within seconds.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A connection with bytes unacknowledged for so long is closed (RFC 5482): after a healed partition
/// nobody waits for TCP's doubled retransmission timer.
const USER_TIMEOUT: Duration = Duration::from_secs(3);
const KEEPALIVE: Duration = Duration::from_secs(1);
/// Connections waiting to be accepted.
const BACKLOG: i32 = 64;

/// A listening socket that takes its address over from a process that has just ended.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Connects, from `source` if given (its port is ignored).
pub(super) async fn connect(source: Option<SocketAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(mut source) = source.filter(|source| source.is_ipv4() == to.is_ipv4()) {
        source.set_port(0);
        socket.bind(source)?;
    }
    let stream = socket.connect(to).await?;
    tune(&stream)?;
    Ok(stream)
}

/// Sets what every connection of the channel has.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)
}

/// Whether the connection is waiting for a retransmission timer: its path was interrupted, and by itself
/// it would go on only when that timer ends.
pub(super) fn is_stalled(socket: &impl AsRawFd) -> bool {
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let Ok(mut length) = libc::socklen_t::try_from(size_of::<libc::tcp_info>()) else {
        return false;
    };
    #[allow(unsafe_code, reason = "socket2 has no TCP_INFO")]
    // SAFETY: the kernel writes at most `length` bytes, the size of the structure, which consists of
    // integers and was zeroed, so it is valid whatever part was written.
    let info = unsafe {
        let got = libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        );
        if got != 0 {
            return true;
        }
        info.assume_init()
    };
    info.tcpi_retransmits > 0 || info.tcpi_backoff > 0 || info.tcpi_probes > 0
}
