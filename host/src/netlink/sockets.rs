//! Ending this host's TCP connections that use an address which has left (`SOCK_DESTROY`).

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};

use super::NetlinkError;

const BUFFER_BYTES: usize = 65_536;
/// Message type of a destroy request; the crate offers only the query.
const SOCK_DESTROY: u16 = 21;

/// Destroys TCP sockets by local address, in the network namespace it was opened in.
#[derive(Debug)]
pub struct SocketDestroyer {
    socket: Socket,
    buffer: Vec<u8>,
}

impl SocketDestroyer {
    /// Open in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the socket cannot be opened.
    pub fn open() -> Result<Self, NetlinkError> {
        let open = |step: &'static str| move |source| NetlinkError::Open { step, source };
        let mut socket = Socket::new(NETLINK_SOCK_DIAG).map_err(open("create"))?;
        socket.bind_auto().map_err(open("bind"))?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(open("connect"))?;
        Ok(Self { socket, buffer: Vec::with_capacity(BUFFER_BYTES) })
    }

    /// Destroy every TCP socket but listeners whose local address is among `ips`; peers get a reset where one
    /// still reaches them. Blocks for about 6 µs per TCP socket of the host: not for an async task.
    ///
    /// Returns how many were destroyed.
    ///
    /// # Errors
    /// When the sockets cannot be listed, or the kernel refuses to destroy one
    /// (`CONFIG_INET_DIAG_DESTROY` missing).
    pub fn destroy(&mut self, ips: &[IpAddr]) -> Result<usize, NetlinkError> {
        let attempt = || format!("end TCP connections of {ips:?}");
        let failed = |source| NetlinkError::Socket { attempt: attempt(), source };
        let mut destroyed = 0;
        // A dual-stack listener's IPv4 connections are IPv6 sockets with a mapped address.
        for family in [AF_INET, AF_INET6] {
            for id in self.list(family, ips).map_err(failed)? {
                match self.destroy_one(family, id).map_err(failed)? {
                    None => destroyed += 1,
                    Some(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                    Some(source) => {
                        return Err(NetlinkError::Refused {
                            attempt: attempt(),
                            detail: None,
                            source,
                        });
                    }
                }
            }
        }
        Ok(destroyed)
    }

    fn list(&mut self, family: u8, ips: &[IpAddr]) -> io::Result<Vec<SocketId>> {
        let any = if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() };
        let states = StateFlags::all() - StateFlags::LISTEN;
        self.send(family, any, states, NLM_F_REQUEST | NLM_F_DUMP, None)?;
        let mut found = Vec::new();
        loop {
            for message in self.receive()? {
                match message.payload {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                        let id = response.header.socket_id.clone();
                        if ips.contains(&id.source_address.to_canonical()) {
                            found.push(id);
                        }
                    }
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    _ => {}
                }
            }
        }
    }

    fn destroy_one(&mut self, family: u8, id: SocketId) -> io::Result<Option<io::Error>> {
        let flags = NLM_F_REQUEST | NLM_F_ACK;
        self.send(family, id, StateFlags::all(), flags, Some(SOCK_DESTROY))?;
        loop {
            for message in self.receive()? {
                if let NetlinkPayload::Error(error) = message.payload {
                    return Ok(error.code.map(|_| error.to_io()));
                }
            }
        }
    }

    fn send(
        &self,
        family: u8,
        socket_id: SocketId,
        states: StateFlags,
        flags: u16,
        kind: Option<u16>,
    ) -> io::Result<()> {
        let request = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states,
            socket_id,
        };
        let mut message = NetlinkMessage::from(SockDiagMessage::InetRequest(request));
        message.header.flags = flags;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        if let Some(kind) = kind {
            // nlmsg_type follows the 32-bit length, in host byte order.
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        }
        self.socket.send(&bytes, 0).map(|_| ())
    }

    fn receive(&mut self) -> io::Result<Vec<NetlinkMessage<SockDiagMessage>>> {
        self.buffer.clear();
        self.socket.recv(&mut self.buffer, 0)?;
        let mut rest = &self.buffer[..];
        let mut messages = Vec::new();
        while let Some(head) = rest.first_chunk::<4>() {
            let len = usize::try_from(u32::from_ne_bytes(*head)).unwrap_or(usize::MAX);
            let Some(one) = rest.get(..len).filter(|_| len >= 16) else { break };
            if let Ok(message) = NetlinkMessage::deserialize(one) {
                messages.push(message);
            }
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(messages)
    }
}
