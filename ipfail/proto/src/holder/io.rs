//! What goes into the holder and what comes out.

use std::collections::BTreeMap;
use std::net::IpAddr;

use haven_base::{Address, AddressChange, IfIndex, Instant, Link, Neighbour, Route};
use serde::{Deserialize, Serialize};

use crate::event::{Event, Lease};
use crate::outcome::Outcome;
use crate::params::IpParams;

/// Names a request until its reply.
pub type RequestId = u64;

/// What the holder is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Input {
    /// The deadline may have passed.
    Tick,
    /// Everything the kernel has, read just now: in reply to [`Output::Resync`], at start, and after an
    /// overrun of the event stream.
    Snapshot {
        /// All interfaces.
        links: Vec<Link>,
        /// All addresses.
        addresses: Vec<Address>,
    },
    /// An interface is new or changed.
    Link(Link),
    /// What is behind an interface has changed while it stays as it is: its neighbours are told its addresses again.
    Moved(IfIndex),
    /// An interface is gone.
    LinkGone(IfIndex),
    /// An address is new or changed.
    Address(Address),
    /// An address is gone.
    AddressGone(Address),
    /// A frame came in. Anything is legal: what does not decode is passed over.
    Frame {
        /// The interface it came in by.
        index: IfIndex,
        /// From the Ethernet header on.
        bytes: Vec<u8>,
    },
    /// A lease now ends then.
    LeaseEnd {
        /// Lease group.
        group: String,
        /// Its end.
        end: Instant,
    },
    /// These interfaces, and no others, are without the kernel's gate.
    Ungated {
        /// Each with what stands in the way.
        devices: BTreeMap<IfIndex, String>,
    },
    /// Bring a resource up; answered by one [`Output::Reply`].
    Start {
        /// Names the reply.
        id: RequestId,
        /// Resource.
        resource: String,
        /// Its parameters.
        params: Box<IpParams>,
        /// The lease it runs under.
        lease: Option<Lease>,
        /// Routes; may be empty when interface and prefix length are configured.
        routes: Vec<Route>,
    },
    /// Take a resource down; answered by one [`Output::Reply`].
    Stop {
        /// Names the reply.
        id: RequestId,
        /// Resource.
        resource: String,
        /// Its parameters.
        params: Box<IpParams>,
    },
    /// Look whether a resource runs; answered by one [`Output::Reply`].
    Monitor {
        /// Names the reply.
        id: RequestId,
        /// Resource.
        resource: String,
        /// Its parameters.
        params: Box<IpParams>,
        /// Routes, as for a start.
        routes: Vec<Route>,
    },
    /// Check parameters against this host; answered by one [`Output::Reply`].
    Validate {
        /// Names the reply.
        id: RequestId,
        /// Parameters.
        params: Box<IpParams>,
        /// Routes, as for a start.
        routes: Vec<Route>,
    },
    /// Remove addresses tagged ours that are neither kept nor held; answered by [`Output::Cleaned`].
    Cleanup {
        /// Names the reply.
        id: RequestId,
        /// Addresses to leave alone.
        keep: Vec<IpAddr>,
    },
    /// What became of an [`Output::Change`].
    Changed {
        /// The purpose of that change.
        purpose: Purpose,
        /// The changes, as sent.
        changes: Vec<AddressChange>,
        /// One entry per change: none when the kernel did it.
        refusals: Vec<Option<Refusal>>,
    },
    /// Who is around some addresses, in reply to [`Output::LookAround`].
    Around {
        /// The addresses, as asked.
        ips: Vec<IpAddr>,
        /// Next hops of default routes by their interface.
        gateways: Vec<IpAddr>,
        /// Neighbours known on their interface.
        neighbours: Vec<Neighbour>,
    },
    /// How many probes duplicate address detection sends where a resource waits for it, in reply to
    /// [`Output::FindTransmits`].
    Transmits {
        /// The resource, as asked.
        resource: String,
        /// `net.ipv6.conf.DEV.dad_transmits`.
        count: u32,
    },
    /// A peer returned or a partition healed: announce everything again.
    PeerReturned,
    /// Announce this address again.
    Announce {
        /// A held address; any other is passed over.
        ip: IpAddr,
    },
}

/// Why the kernel did not make a change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// `errno`; 0 when the change was not attempted because its time had passed.
    pub errno: i32,
    /// The attempt and the kernel's words.
    pub text: String,
}

/// What a change is for; handed back with its result.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Purpose {
    /// Bring a resource up.
    Start {
        /// Resource.
        resource: String,
    },
    /// Take a resource down.
    Stop {
        /// Names the reply; none when nobody waits.
        id: Option<RequestId>,
        /// Resource.
        resource: String,
    },
    /// Undo a start that failed half-way.
    RollBack,
    /// Put one address back.
    Repair {
        /// The address.
        ip: IpAddr,
        /// What was found.
        found: String,
    },
    /// Renew lifetimes.
    Renew,
    /// Startup cleanup.
    Cleanup {
        /// Names the reply.
        id: RequestId,
    },
}

/// What the holder wants done, in order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// Change addresses, all of them if `before` has not come when the clock is read immediately before;
    /// report by [`Input::Changed`] at once.
    Change {
        /// The changes.
        changes: Vec<AddressChange>,
        /// The lease's end; none without a lease, and for deletions.
        before: Option<Instant>,
        /// Handed back.
        purpose: Purpose,
    },
    /// Send a frame, if `before` has not come when the clock is read immediately before.
    Send {
        /// Interface.
        index: IfIndex,
        /// From the Ethernet header on.
        frame: Vec<u8>,
        /// The lease's end; none without a lease.
        before: Option<Instant>,
    },
    /// Say who is around these addresses: [`Input::Around`].
    LookAround {
        /// The addresses, all of one family.
        ips: Vec<IpAddr>,
        /// Their interface.
        index: IfIndex,
    },
    /// Say how many probes duplicate address detection sends: [`Input::Transmits`]. Without an answer one is assumed.
    FindTransmits {
        /// Handed back.
        resource: String,
        /// The interface.
        index: IfIndex,
    },
    /// Read everything the kernel has: [`Input::Snapshot`].
    Resync,
    /// End this host's TCP connections that use addresses which are gone.
    EndConnections {
        /// The addresses.
        ips: Vec<IpAddr>,
    },
    /// A request is done.
    Reply {
        /// The request.
        id: RequestId,
        /// What it came to.
        outcome: Outcome,
    },
    /// A cleanup is done.
    Cleaned {
        /// The request.
        id: RequestId,
        /// Addresses removed, or what the kernel refused.
        result: Result<Vec<IpAddr>, String>,
    },
    /// Tell the world.
    Event(Event),
}
