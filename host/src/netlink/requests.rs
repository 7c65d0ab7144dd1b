//! Asking and changing, one request after another on one socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use haven_base::{Address, AddressChange, IfIndex, Link, Neighbour, Route};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::{NetlinkError, convert};

/// Longest message the kernel builds for a dump is 32 KiB; twice that leaves room.
const BUFFER_BYTES: usize = 65_536;
/// Changes in one send: their acknowledgements must fit the receive buffer together.
const BATCH: usize = 64;
/// Length of a netlink message header, which an acknowledgement repeats (`NETLINK_CAP_ACK`).
const HEADER_BYTES: usize = 16;
/// `NLMSGERR_ATTR_MSG`: the kernel's explanation in words.
const ATTR_MSG: u16 = 1;

/// A socket for requests. Not shared: every call takes `&mut self`.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Open a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the socket cannot be opened.
    pub fn open() -> Result<Self, NetlinkError> {
        let open = |step: &'static str| move |source| NetlinkError::Open { step, source };
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(open("create"))?;
        socket.bind_auto().map_err(open("bind"))?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(open("connect"))?;
        socket.set_non_blocking(true).map_err(open("set non-blocking"))?;
        // These only make answers shorter, clearer and dumps smaller; old kernels lack them.
        for option in [
            socket.set_cap_ack(true),
            socket.set_ext_ack(true),
            socket.set_netlink_get_strict_chk(true),
        ] {
            if let Err(error) = option {
                tracing::debug!(%error, "netlink socket option not available");
            }
        }
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(BUFFER_BYTES) })
    }

    /// Carry out `changes` in order, each on its own: a refused one does not stop the next. Changes of
    /// up to 64 share one system call. Deleting what is not there is refused
    /// ([`NetlinkError::is_absent`]).
    ///
    /// One result per change, in the same order.
    pub fn change(&mut self, changes: &[AddressChange]) -> Vec<Result<(), NetlinkError>> {
        changes.chunks(BATCH).flat_map(|chunk| self.change_batch(chunk)).collect()
    }

    fn change_batch(&mut self, changes: &[AddressChange]) -> Vec<Result<(), NetlinkError>> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(changes.len() * 128);
        for change in changes {
            let (message, flags) = change_message(change);
            self.push(&mut bytes, message, NLM_F_REQUEST | NLM_F_ACK | flags);
        }
        let attempt = |i: usize| describe(&changes[i]);
        if let Err(source) = self.send(&bytes) {
            let kind = source.raw_os_error();
            return (0..changes.len())
                .map(|i| {
                    let source = kind.map_or_else(
                        || io::Error::other("send failed"),
                        io::Error::from_raw_os_error,
                    );
                    Err(NetlinkError::Socket { attempt: attempt(i), source })
                })
                .collect();
        }
        let mut results: Vec<Option<Result<(), NetlinkError>>> = Vec::new();
        results.resize_with(changes.len(), || None);
        let mut open = changes.len();
        while open > 0 {
            let Ok(messages) = self.receive() else { break };
            for message in messages {
                let offset = message.header.sequence_number.wrapping_sub(first);
                let Some(i) = usize::try_from(offset).ok().filter(|i| *i < changes.len()) else {
                    continue;
                };
                if let NetlinkPayload::Error(error) = message.payload
                    && results[i].is_none()
                {
                    open -= 1;
                    results[i] = Some(match error.code {
                        None => Ok(()),
                        Some(_) => Err(NetlinkError::Refused {
                            attempt: attempt(i),
                            detail: explanation(&error.header),
                            source: error.to_io(),
                        }),
                    });
                }
            }
        }
        let unanswered = |(i, result): (usize, Option<_>)| {
            result.unwrap_or_else(|| Err(NetlinkError::NoAnswer { attempt: attempt(i) }))
        };
        results.into_iter().enumerate().map(unanswered).collect()
    }

    /// All interfaces.
    ///
    /// # Errors
    /// When the kernel refuses or the socket fails.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let answers = self.dump("list interfaces", request)?;
        Ok(answers
            .iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(message) => convert::link(message),
                _ => None,
            })
            .collect())
    }

    /// All addresses, IPv4 and IPv6.
    ///
    /// # Errors
    /// When the kernel refuses or the socket fails.
    pub fn addresses(&mut self) -> Result<Vec<Address>, NetlinkError> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answers = self.dump("list addresses", request)?;
        Ok(answers
            .iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewAddress(message) => convert::address(message),
                _ => None,
            })
            .collect())
    }

    /// The unicast routes of the main table, of the family of `like`; one entry per next hop. On a host
    /// with a full Internet table this takes seconds: ask only where an operator named no interface.
    ///
    /// # Errors
    /// When the kernel refuses or the socket fails.
    pub fn routes(&mut self, like: IpAddr) -> Result<Vec<Route>, NetlinkError> {
        let mut message = RouteMessage::default();
        message.header.address_family = convert::family_of(like);
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.attributes.push(RouteAttribute::Table(u32::from(RouteHeader::RT_TABLE_MAIN)));
        let request = RouteNetlinkMessage::GetRoute(message);
        match self.dump("list routes", request) {
            Ok(answers) => Ok(answers
                .iter()
                .flat_map(|answer| match answer {
                    RouteNetlinkMessage::NewRoute(message) => convert::routes(message),
                    _ => Vec::new(),
                })
                .collect()),
            // The main table does not exist until it has a route.
            Err(error) if error.is_absent() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The next hop of the default route by interface `index`, of the family of `like`; none where the
    /// interface has no default route. One look-up, however long the table: it asks for the way to an
    /// address of the benchmarking range (RFC 2544), or of unassigned global space, which no table has a
    /// route of its own for. Nothing is sent there.
    ///
    /// # Errors
    /// When the kernel refuses or the socket fails.
    pub fn default_gateway(
        &mut self,
        index: IfIndex,
        like: IpAddr,
    ) -> Result<Option<IpAddr>, NetlinkError> {
        let far = match like {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(198, 19, 255, 254)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 1)),
        };
        let mut message = RouteMessage::default();
        message.header.address_family = convert::family_of(far);
        message.header.destination_prefix_length = if far.is_ipv4() { 32 } else { 128 };
        message.attributes.push(RouteAttribute::Destination(far.into()));
        message.attributes.push(RouteAttribute::Oif(index.get()));
        let request = RouteNetlinkMessage::GetRoute(message);
        match self.ask("look up the default gateway", request, 0) {
            Ok(answers) => Ok(answers.iter().find_map(|answer| match answer {
                RouteNetlinkMessage::NewRoute(message) => convert::gateway(message),
                _ => None,
            })),
            Err(NetlinkError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many probes duplicate address detection sends for an address on interface `index`
    /// (`net.ipv6.conf.DEV.dad_transmits`); none where the interface is gone or has no IPv6.
    ///
    /// # Errors
    /// When the kernel refuses or the socket fails.
    pub fn dad_transmits(&mut self, index: IfIndex) -> Result<Option<u32>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index.get();
        let request = RouteNetlinkMessage::GetLink(message);
        match self.ask("ask for the IPv6 settings of an interface", request, 0) {
            Ok(answers) => Ok(answers.iter().find_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(message) => convert::dad_transmits(message),
                _ => None,
            })),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The neighbours of the family of `like` on interface `index`.
    ///
    /// # Errors
    /// When the kernel refuses or the socket fails.
    pub fn neighbours(
        &mut self,
        index: IfIndex,
        like: IpAddr,
    ) -> Result<Vec<Neighbour>, NetlinkError> {
        let mut message = NeighbourMessage::default();
        message.attributes.push(NeighbourAttribute::IfIndex(index.get()));
        message.header.family = convert::family_of(like);
        let answers = self.dump("list neighbours", RouteNetlinkMessage::GetNeighbour(message))?;
        Ok(answers
            .iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewNeighbour(message) => convert::neighbour(message),
                _ => None,
            })
            // A kernel without the filter tells of every interface.
            .filter(|neighbour| neighbour.index == index)
            .collect())
    }

    /// The interface called `name`, or with that alternative name.
    ///
    /// # Errors
    /// When the kernel refuses or the socket fails.
    pub fn link_named(&mut self, name: &str) -> Result<Option<IfIndex>, NetlinkError> {
        let links = self.links()?;
        let found = links.iter().find(|link| link.name == name).or_else(|| {
            links.iter().find(|link| link.alt_names.iter().any(|alternative| alternative == name))
        });
        Ok(found.map(|link| link.index))
    }

    fn push(&mut self, bytes: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut bytes[start..]);
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.drain();
        self.socket.send(bytes, 0).map(|_| ())
    }

    /// Throw away what a failed request left in the queue.
    fn drain(&mut self) {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, libc::MSG_DONTWAIT) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(_) => return,
            }
        }
    }

    fn receive(&mut self) -> io::Result<Vec<NetlinkMessage<RouteNetlinkMessage>>> {
        self.buffer.clear();
        self.socket.recv(&mut self.buffer, libc::MSG_DONTWAIT)?;
        Ok(super::events::split(&self.buffer))
    }

    fn dump(
        &mut self,
        attempt: &str,
        request: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        self.ask(attempt, request, NLM_F_DUMP)
    }

    /// One request, its answers up to the end of the dump, or the single one.
    fn ask(
        &mut self,
        attempt: &str,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let failed = |source| NetlinkError::Socket { attempt: attempt.to_owned(), source };
        let mut bytes = Vec::new();
        self.push(&mut bytes, request, NLM_F_REQUEST | flags);
        let sequence = self.sequence;
        self.send(&bytes).map_err(failed)?;
        let mut found = Vec::new();
        loop {
            let messages = self.receive().map_err(failed)?;
            for message in messages {
                if message.header.sequence_number != sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(inner) => {
                        found.push(inner);
                        if flags & NLM_F_DUMP == 0 {
                            return Ok(found);
                        }
                    }
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(NetlinkError::Refused {
                            attempt: attempt.to_owned(),
                            detail: explanation(&error.header),
                            source: error.to_io(),
                        });
                    }
                    _ => {}
                }
            }
        }
    }
}

fn change_message(change: &AddressChange) -> (RouteNetlinkMessage, u16) {
    match change {
        AddressChange::Set(address) => (
            RouteNetlinkMessage::NewAddress(convert::set_address(address)),
            NLM_F_CREATE | NLM_F_REPLACE,
        ),
        AddressChange::Delete { index, ip, prefix_len } => {
            (RouteNetlinkMessage::DelAddress(convert::delete_address(*index, *ip, *prefix_len)), 0)
        }
        AddressChange::Label { ip, label } => (
            RouteNetlinkMessage::NewAddrLabel(convert::address_label(*ip, *label)),
            NLM_F_CREATE | NLM_F_REPLACE,
        ),
        AddressChange::Unlabel { ip, label } => {
            (RouteNetlinkMessage::DelAddrLabel(convert::address_label(*ip, *label)), 0)
        }
    }
}

fn describe(change: &AddressChange) -> String {
    match change {
        AddressChange::Set(address) => {
            format!("put {}/{} on interface {}", address.ip, address.prefix_len, address.index)
        }
        AddressChange::Delete { index, ip, prefix_len } => {
            format!("remove {ip}/{prefix_len} from interface {index}")
        }
        AddressChange::Label { ip, label } => format!("give {ip} address label {label}"),
        AddressChange::Unlabel { ip, .. } => format!("remove the address label of {ip}"),
    }
}

/// The kernel's words behind an error: attributes after the repeated request header.
fn explanation(after_code: &[u8]) -> Option<String> {
    let mut rest = after_code.get(HEADER_BYTES..)?;
    while let Some((head, _)) = rest.split_at_checked(4) {
        let len = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & 0x3fff;
        let value = rest.get(4..len)?;
        if kind == ATTR_MSG {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
    None
}
