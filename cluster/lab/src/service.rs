//! The small service behind the VIP: echoes, and says which node answered.
//!
//! It runs on every node all the time, bound to the VIP whether the node has it or not
//! (`IP_FREEBIND`), so that what a client sees is the address moving and nothing else.
//!
//! UDP: the answer is the datagram with the node's index appended. TCP: the first octet sent is
//! the node's index, then every octet is echoed.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use rustix::event::{PollFd, PollFlags, poll};
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::LabError;
use haven_host::capture::realtime;

/// Most connections served at once; more are closed as they come.
const MOST_CONNECTIONS: usize = 4096;

struct Listening {
    udp: UdpSocket,
    tcp: TcpListener,
}

fn listen(vip: IpAddr, port: u16) -> Result<Listening, LabError> {
    let address = SocketAddr::new(vip, port);
    let bound = |kind, protocol| -> std::io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        if vip.is_ipv4() {
            socket.set_freebind_v4(true)?;
        } else {
            socket.set_freebind_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    let both = || {
        let udp = bound(Type::DGRAM, Protocol::UDP)?;
        let tcp = bound(Type::STREAM, Protocol::TCP)?;
        tcp.listen(1024)?;
        Ok(Listening { udp: udp.into(), tcp: tcp.into() })
    };
    both().map_err(LabError::io(format!("bind the service to {address}")))
}

/// Serves every address of `vips` on `port`, answering as node `index`, until the process ends.
///
/// # Errors
/// [`LabError::Io`] when an address cannot be bound.
pub fn serve(vips: &[IpAddr], port: u16, index: u8) -> Result<(), LabError> {
    let listening: Result<Vec<_>, _> = vips.iter().map(|vip| listen(*vip, port)).collect();
    let listening = listening?;
    realtime();
    let mut connections: Vec<TcpStream> = Vec::new();
    loop {
        let mut wanted: Vec<PollFd<'_>> = Vec::new();
        for one in &listening {
            wanted.push(PollFd::new(&one.udp, PollFlags::IN));
            wanted.push(PollFd::new(&one.tcp, PollFlags::IN));
        }
        wanted.extend(connections.iter().map(|c| PollFd::new(c, PollFlags::IN)));
        // An interrupted wait is a short one.
        let _ = poll(&mut wanted, None);
        let ready: Vec<bool> = wanted.iter().map(|p| !p.revents().is_empty()).collect();
        let mut of_connections = ready[listening.len() * 2..].iter();
        connections.retain_mut(|c| !of_connections.next().is_some_and(|r| *r) || echo(c));
        for (one, ready) in listening.iter().zip(ready.chunks(2)) {
            if ready[0] {
                answer_datagrams(&one.udp, index);
            }
            if ready[1] {
                greet(&one.tcp, index, &mut connections);
            }
        }
    }
}

fn answer_datagrams(socket: &UdpSocket, index: u8) {
    let mut buffer = [0; 2048];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer[..2047]) {
        buffer[length] = index;
        // While the node does not have the address the kernel refuses to send from it.
        drop(socket.send_to(&buffer[..=length], peer));
    }
}

fn greet(listener: &TcpListener, index: u8, connections: &mut Vec<TcpStream>) {
    while let Ok((mut stream, _)) = listener.accept() {
        let usable = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_ok();
        if usable && connections.len() < MOST_CONNECTIONS && stream.write_all(&[index]).is_ok() {
            connections.push(stream);
        }
    }
}

/// Echoes what has come; returns whether the connection goes on.
fn echo(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 2048];
    match stream.read(&mut buffer) {
        Ok(0) => false,
        Ok(length) => stream.write_all(&buffer[..length]).is_ok(),
        Err(e) => matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}
