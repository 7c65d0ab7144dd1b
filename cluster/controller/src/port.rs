//! What the controller is told, and what it wants done.

use std::collections::BTreeMap;

use haven_api::{Event, ReplyBody, RequestBody};
use haven_base::WallTime;
use haven_consensus::{Batch, PersistToken};
use haven_executor::RunId;
use haven_messaging::KeyNotice;
use haven_types::agent::AgentReport;
use haven_types::operation::{Lease, Operation, Outcome};
use haven_types::{BootId, LogIndex, NodeId};
use serde::{Deserialize, Serialize};

use crate::alerts::Alert;
use crate::attributes::AttributeChange;
use crate::command::{JoinRefusal, Member, TokenRefusal};

/// Both clocks at the moment of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// For every decision.
    pub now: haven_base::Instant,
    /// For records, date rules and people.
    pub wall: WallTime,
}

/// What the controller reacts to.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// The heartbeat thread reports.
    Heartbeat(haven_heartbeat::Output),
    /// Another controller says something; authenticated, in order where order matters.
    Peer {
        /// Who.
        from: NodeId,
        /// In which life.
        boot: BootId,
        /// A [`crate::PeerMessage`], encoded.
        bytes: Vec<u8>,
    },
    /// Messages to or from this peer may have been lost: what it must know is said again.
    PeerReset(NodeId),
    /// This member, proved by its certificate, does not take this node for a member.
    TurnedAway {
        /// Which.
        by: NodeId,
        /// The last entry of the log that it had applied then.
        as_of: LogIndex,
    },
    /// An agent answered.
    AgentFinished {
        /// Which call.
        run: RunId,
        /// Its answer.
        outcome: Outcome,
    },
    /// What the agent of a call that is about to end well says of reloading.
    Restarting {
        /// Which call.
        run: RunId,
        /// The parameters of which a change asks for a restart.
        parameters: Vec<String>,
    },
    /// This node's own surroundings say something.
    Local(Local),
    /// This daemon is to end: ask the coordinator to move away what runs here.
    Shutdown,
    /// Time may have passed.
    Tick,
}

/// What this node's own store, clients, joiners and checks say: nothing that anybody else must know of before the
/// controller does.
#[derive(Clone, PartialEq, Debug)]
pub enum Local {
    /// The store has made everything up to this token durable.
    Persisted(PersistToken),
    /// The store could not. This node stops voting until its daemon is started anew.
    PersistFailed {
        /// What the store said.
        reason: String,
    },
    /// What agents of others on this node say of themselves, by name, for judging configurations.
    Described(BTreeMap<String, AgentReport>),
    /// A request from the control socket.
    Request {
        /// Names the client's request until the last reply.
        id: u64,
        /// Who asks, for the commit log.
        author: String,
        /// What.
        body: RequestBody,
    },
    /// The client of this request is gone: nobody waits for its replies.
    RequestGone(u64),
    /// A verified joiner wants to become a member.
    Admit {
        /// Names the joiner.
        request: u64,
        /// Name, role, addresses.
        member: Member,
        /// SHA-256 of the token's secret.
        token: [u8; 32],
    },
    /// A token shall be good from now on.
    MintToken {
        /// Names the request.
        request: u64,
        /// SHA-256 of its secret.
        token: [u8; 32],
        /// When it is void.
        expires: WallTime,
    },
    /// A new heartbeat key was drawn here: announce it.
    RotateKey {
        /// Names the request.
        request: u64,
        /// Which key; its epoch is one above [`Replicated::key_epoch`](crate::Replicated::key_epoch).
        notice: KeyNotice,
    },
    /// An attribute of this node has changed.
    Attribute(AttributeChange),
    /// Something is wrong on this node, and stays so until it is [sound](Self::Sound) again.
    Alarm {
        /// What: a later word on it takes the place of this one.
        about: String,
        /// What is wrong with it, and what to do.
        text: String,
    },
    /// Something was wrong on this node and is not any more: shown for [`SHOWN_FOR`](crate::SHOWN_FOR).
    Mended {
        /// What.
        about: String,
        /// What was wrong with it.
        text: String,
    },
    /// Nothing is wrong with that on this node.
    Sound {
        /// What.
        about: String,
    },
}

/// What an agent's call has come to, one of several that are told at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AgentSaid {
    /// [`Input::AgentFinished`].
    Finished {
        /// Which call.
        run: RunId,
        /// Its answer.
        outcome: Outcome,
    },
    /// [`Input::Restarting`].
    Restarting {
        /// Which call.
        run: RunId,
        /// The parameters of which a change asks for a restart.
        parameters: Vec<String>,
    },
}

/// What the shell does for the controller, in this order.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Tell the heartbeat thread.
    Heartbeat(Box<haven_heartbeat::Input>),
    /// Send to another controller.
    Send {
        /// Whom.
        to: NodeId,
        /// A [`crate::PeerMessage`], encoded.
        bytes: Vec<u8>,
        /// Whether messages to this peer must arrive in the order they were sent.
        ordered: bool,
    },
    /// Make durable, then answer [`Local::Persisted`].
    Persist {
        /// Comes back.
        token: PersistToken,
        /// What to write.
        batch: Box<Batch>,
    },
    /// Call an agent, then answer [`Input::AgentFinished`].
    RunAgent {
        /// Names the call.
        run: RunId,
        /// What to ask of it.
        operation: Operation,
        /// The lease the resource runs under.
        lease: Option<Lease>,
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
    /// Answer a request.
    Reply {
        /// Which.
        id: u64,
        /// Whether more replies follow.
        more: bool,
        /// The answer.
        body: Box<Result<ReplyBody, haven_api::ApiError>>,
    },
    /// The members are these: whom to beat with, whom to talk to.
    Members(BTreeMap<NodeId, Member>),
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
    /// Call a program of the operator's, and wait for nothing.
    Alert(Box<Alert>),
    /// This node was removed from the cluster: end.
    Removed,
}

/// What an agent is told about a started resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Hook {
    /// A node came back into the view: it may have announced what it no longer owns.
    PeerReturned,
}
