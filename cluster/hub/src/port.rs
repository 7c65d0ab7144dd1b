//! What happens to the main thread, and what it wants done.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use haven_api::{ApiError, Event, EventSeverity, ReplyBody, RequestBody};
use haven_consensus::{Batch, PersistToken};
use haven_controller::{AgentSaid, Alert, Hook, JoinRefusal, Local, Member, TokenRefusal};
use haven_executor::{HeldLease, RunId};
use haven_messaging::KeyNotice;
use haven_types::operation::{Lease, Operation};
use haven_types::{BootId, GroupId, LinkId, LogIndex, NodeId};

/// What happens to the main thread.
#[derive(Clone, PartialEq, Debug)]
pub enum Happening {
    /// The heartbeat machine reports: everything but sends and gate orders.
    Heartbeat(haven_heartbeat::Output),
    /// The heartbeat thread has ended, and nobody holds leases here any more.
    HeartbeatEnded,
    /// A packet of the delivery over datagrams arrived, in an authentic, fresh frame.
    Packet {
        /// Its sender.
        from: NodeId,
        /// In which life.
        boot: BootId,
        /// By which link.
        link: LinkId,
        /// The packet.
        bytes: Vec<u8>,
    },
    /// The first frame of a peer's life.
    Heard {
        /// Whose.
        from: NodeId,
        /// Which life.
        boot: BootId,
    },
    /// A connection is up.
    Connected {
        /// The name under which the other end is known.
        peer: String,
    },
    /// A peer, proved by its certificate, does not take this node for a member.
    TurnedAway {
        /// The name under which the other end is known.
        peer: String,
        /// The last entry of the log that it had applied then.
        as_of: LogIndex,
    },
    /// A frame arrived by a connection.
    Frame {
        /// The name under which the other end is known.
        peer: String,
        /// In which life.
        boot: BootId,
        /// The frame.
        bytes: Bytes,
    },
    /// What agents said, in this order.
    Agents(Vec<AgentSaid>),
    /// A client asks for something.
    Asked {
        /// Names the request until the last reply.
        id: u64,
        /// Who asks.
        author: String,
        /// What.
        body: RequestBody,
    },
    /// For the controller as it is. What the hub must see first has a happening of its own.
    Local(Local),
    /// The process is told to end.
    Terminate,
    /// All that has arrived was told, or the deadline has come: do what is due. Harmless at any time.
    Tick,
}

/// What the main thread wants done, in this order.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Tell the heartbeat machine.
    Heartbeat(Box<haven_heartbeat::Input>),
    /// Send a packet of the delivery over datagrams.
    Transmit {
        /// The receiver.
        to: NodeId,
        /// The link to send by.
        link: LinkId,
        /// The packet.
        bytes: Vec<u8>,
    },
    /// All addresses under the gate, each with the group whose gate it is.
    Entries(BTreeMap<IpAddr, GroupId>),
    /// The other members are these: with whom to beat, connect and share keys.
    Members(BTreeMap<NodeId, Member>),
    /// Send a frame by the connection to a member; lost where there is none.
    Stream {
        /// The receiver.
        to: NodeId,
        /// The frame.
        frame: Bytes,
    },
    /// A member that has no connection may be reached again: try now.
    Reconnect(NodeId),
    /// A member's connection is up: what goes by connections only may go on.
    Connected(NodeId),
    /// A member says something about the heartbeats' keys.
    KeyMessage {
        /// Who.
        from: NodeId,
        /// The message.
        bytes: Bytes,
    },
    /// Make durable, then tell [`Local::Persisted`]. Tokens rise.
    Persist {
        /// Comes back.
        token: PersistToken,
        /// What to write.
        batch: Box<Batch>,
    },
    /// Call an agent, then tell what it said.
    RunAgent {
        /// Names the call.
        run: RunId,
        /// What to ask of it.
        operation: Operation,
        /// The lease the resource runs under, and its end as far as it is known here.
        lease: Option<HeldLease>,
    },
    /// Stop waiting for an agent's answer.
    AbortAgent(RunId),
    /// Tell a started resource's agent what happened around it.
    Notify {
        /// The start it runs by.
        operation: Operation,
        /// What happened.
        hook: Hook,
    },
    /// These run under leases that go on: what expires behind those must not expire meanwhile.
    Extend(Vec<(Operation, Lease)>),
    /// Serve a request: gather what its answer needs, then answer it or tell [`Local::Request`].
    Serve {
        /// Names the request until the last reply.
        id: u64,
        /// Who asks.
        author: String,
        /// What.
        body: RequestBody,
    },
    /// Answer a request.
    Reply {
        /// Which.
        id: u64,
        /// Whether more replies follow.
        more: bool,
        /// The answer.
        body: Box<Result<ReplyBody, ApiError>>,
    },
    /// Answer a joiner.
    Admitted {
        /// Which.
        request: u64,
        /// The member with its number, or why not.
        result: Result<Member, JoinRefusal>,
    },
    /// Answer [`Local::MintToken`].
    TokenMinted {
        /// Which.
        request: u64,
        /// Nothing, or why not.
        result: Result<(), TokenRefusal>,
    },
    /// The log announces the heartbeats' next key. May be told again.
    NewKey(KeyNotice),
    /// Answer [`Local::RotateKey`].
    KeyAnnounced {
        /// Which.
        request: u64,
        /// Nothing, or why not.
        result: Result<(), String>,
    },
    /// A member that was removed still holds the heartbeats' key: draw a new one.
    KeyOutdated,
    /// Something an operator may want to know; also a log line.
    Event(Event),
    /// A log line, and nothing else.
    Line {
        /// How much it matters.
        severity: EventSeverity,
        /// What happened.
        text: String,
    },
    /// Call a program of the operator's, and wait for nothing.
    Alert(Box<Alert>),
    /// This node was removed from the cluster: no later life may be the member that it was.
    Removed,
    /// This life ends. Nothing is decided after it.
    End(End),
}

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// For good, gates closed.
    Stopped,
    /// To be replaced by a new process of the same node at once, its gates left as they are (L9).
    Replaced,
}
