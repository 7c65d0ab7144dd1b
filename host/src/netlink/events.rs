//! What changes in the kernel's links and addresses, whoever changes it.

use std::io;

use haven_base::{Address, IfIndex, Link};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::net::sockopt;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{NetlinkError, convert};

/// Receive buffer: thousands of changes may queue while the reader is busy. Beyond it the kernel drops
/// and [`NetlinkEvent::Overrun`] is told.
const RECEIVE_BYTES: usize = 4 << 20;
const BUFFER_BYTES: usize = 65_536;
/// Messages handed over in one go.
const BATCH: usize = 256;

const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV6_IFADDR: u32 = 9;

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NetlinkEvent {
    /// An interface is new or changed (state, name, hardware address).
    Link(Link),
    /// What is behind an interface has changed while it stays as it is: another member of a bond took over, a virtual
    /// machine moved to another host. Switches may know its addresses at the old place.
    Moved(IfIndex),
    /// An interface is gone.
    LinkGone(IfIndex),
    /// An address is new or changed (flags, lifetimes).
    Address(Address),
    /// An address is gone.
    AddressGone(Address),
    /// Changes were lost: read everything again.
    Overrun,
}

/// The stream of changes.
#[derive(Debug)]
pub struct NetlinkEvents {
    socket: AsyncFd<Socket>,
    buffer: Vec<u8>,
}

impl NetlinkEvents {
    /// Subscribe in the calling thread's network namespace, on the current tokio runtime. Subscribe
    /// first and read the whole state after: then nothing falls between.
    ///
    /// # Errors
    /// When the socket cannot be opened.
    pub fn open() -> Result<Self, NetlinkError> {
        let open = |step: &'static str| move |source| NetlinkError::Open { step, source };
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(open("create"))?;
        socket.bind(&SocketAddr::new(0, 0)).map_err(open("bind"))?;
        socket.set_non_blocking(true).map_err(open("set non-blocking"))?;
        if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BYTES).is_err() {
            // Without CAP_NET_ADMIN over the host the ordinary limit applies; an overrun is handled.
            sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BYTES)
                .map_err(|e| open("enlarge the receive buffer")(e.into()))?;
        }
        for group in [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR] {
            socket.add_membership(group).map_err(open("subscribe"))?;
        }
        // SAFETY: `socket` owns its descriptor and nothing replaces or closes it inside the AsyncFd.
        #[allow(unsafe_code, reason = "tokio offers no safe constructor that is not deprecated")]
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }
            .map_err(|refused| open("register with tokio")(refused.into()))?;
        Ok(Self { socket, buffer: Vec::with_capacity(BUFFER_BYTES) })
    }

    /// What is queued this instant, possibly nothing. For a caller about to act on the state it knows.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub fn take_queued(&mut self) -> Result<Vec<NetlinkEvent>, NetlinkError> {
        match read(self.socket.get_ref(), &mut self.buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
            other => other.map_err(failed),
        }
    }

    /// The next changes in order, at least one. Cancelling loses nothing.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn next(&mut self) -> Result<Vec<NetlinkEvent>, NetlinkError> {
        loop {
            let mut ready = self.socket.readable().await.map_err(failed)?;
            let buffer = &mut self.buffer;
            let Ok(result) = ready.try_io(|socket| read(socket.get_ref(), buffer)) else {
                continue;
            };
            let events = result.map_err(failed)?;
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }
}

fn failed(source: io::Error) -> NetlinkError {
    NetlinkError::Socket { attempt: "read changes of links and addresses".to_owned(), source }
}

/// Everything queued, up to [`BATCH`] events; `WouldBlock` only when nothing was.
fn read(socket: &Socket, buffer: &mut Vec<u8>) -> io::Result<Vec<NetlinkEvent>> {
    let mut events = Vec::new();
    while events.len() < BATCH {
        buffer.clear();
        match socket.recv(buffer, libc::MSG_DONTWAIT) {
            Ok(_) => events.extend(split(buffer).into_iter().flat_map(events_of)),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                events.push(NetlinkEvent::Overrun);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !events.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(events)
}

fn events_of(message: NetlinkMessage<RouteNetlinkMessage>) -> Vec<NetlinkEvent> {
    let moved = match &message.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message))
            if convert::moved(message) =>
        {
            IfIndex::new(message.header.index).map(NetlinkEvent::Moved)
        }
        _ => None,
    };
    event(message).into_iter().chain(moved).collect()
}

fn event(message: NetlinkMessage<RouteNetlinkMessage>) -> Option<NetlinkEvent> {
    let NetlinkPayload::InnerMessage(inner) = message.payload else { return None };
    match inner {
        RouteNetlinkMessage::NewLink(message) => convert::link(&message).map(NetlinkEvent::Link),
        RouteNetlinkMessage::DelLink(message) => {
            IfIndex::new(message.header.index).map(NetlinkEvent::LinkGone)
        }
        RouteNetlinkMessage::NewAddress(message) => {
            convert::address(&message).map(NetlinkEvent::Address)
        }
        RouteNetlinkMessage::DelAddress(message) => {
            convert::address(&message).map(NetlinkEvent::AddressGone)
        }
        _ => None,
    }
}

/// The messages in one datagram; what does not decode is left out and counted in the log.
pub(super) fn split(mut bytes: &[u8]) -> Vec<NetlinkMessage<RouteNetlinkMessage>> {
    let mut messages = Vec::new();
    while let Some(head) = bytes.first_chunk::<4>() {
        let len = usize::try_from(u32::from_ne_bytes(*head)).unwrap_or(usize::MAX);
        let Some(one) = bytes.get(..len).filter(|_| len >= 16) else { break };
        match NetlinkMessage::deserialize(one) {
            Ok(message) => messages.push(message),
            Err(error) => tracing::debug!(%error, "netlink message does not decode"),
        }
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::{LinkAttribute, LinkEvent, LinkMessage};

    use super::*;

    /// What becomes of a message about interface 7 that the kernel sends for the reason `event`.
    fn told(event: Option<LinkEvent>) -> Vec<NetlinkEvent> {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.attributes.extend(event.map(LinkAttribute::Event));
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewLink(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        split(&bytes).into_iter().flat_map(events_of).collect()
    }

    #[test]
    fn a_bond_s_failover_and_a_machine_that_moved_are_told_after_the_link() {
        let index = IfIndex::new(7).unwrap();
        for event in [LinkEvent::NotifyPeers, LinkEvent::BondingFailover] {
            let told = told(Some(event));
            assert!(
                matches!(&told[0], NetlinkEvent::Link(link) if link.index == index),
                "{told:?}"
            );
            assert_eq!(told[1..], [NetlinkEvent::Moved(index)], "{event:?}");
        }
        for event in [None, Some(LinkEvent::Features), Some(LinkEvent::IgmpResend)] {
            assert!(matches!(told(event)[..], [NetlinkEvent::Link(_)]), "{event:?}");
        }
    }
}
