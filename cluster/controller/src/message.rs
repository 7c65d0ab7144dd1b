//! What controllers say to each other, beside the consensus messages.

use haven_api::{ApiError, ReplyBody, RequestBody};
use haven_types::operation::{Order, OrderId};
use haven_types::{BootId, LogIndex, Term};
use serde::{Deserialize, Serialize};

use crate::attributes::AttributeChange;
use crate::command::{Command, JoinRefusal, Member};
use crate::history::{NodeHistory, StatusDelta};

/// First byte of every message.
pub(crate) const FORMAT: u8 = 1;

/// One message between two controllers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum PeerMessage {
    /// A message of the consensus core, in its own encoding.
    Consensus(Vec<u8>),
    /// The coordinator orders something. It may say so again until it is answered.
    Order {
        /// The life of the receiver that is meant, where it is known: another one takes no notice.
        boot: Option<BootId>,
        /// What.
        order: Box<Order>,
    },
    /// An order that leaves no record is carried out.
    Done {
        /// Which order.
        order: OrderId,
    },
    /// A command made elsewhere, to be proposed by the coordinator; its effect is the answer.
    Propose(Box<Command>),
    /// The executor will not carry the order out.
    Refused {
        /// Which order.
        order: OrderId,
        /// Why.
        reason: String,
    },
    /// A coordinator of this term took over and wants the receiver's whole status.
    StatusRequest {
        /// Its term.
        term: Term,
    },
    /// The sender's whole status.
    Status(Box<NodeHistory>),
    /// What changed in the sender's status.
    StatusDelta(Box<StatusDelta>),
    /// The sender's copy of the receiver's status does not fit the last delta.
    StatusGap {
        /// Which life of the receiver it was about.
        boot: BootId,
    },
    /// A request that only the coordinator can answer. JSON, as on the control socket.
    Forward {
        /// Names the request at the sender.
        id: u64,
        /// The request, encoded as JSON.
        body: Vec<u8>,
        /// Who asks, for the commit log.
        author: String,
    },
    /// What the sender remembers of votes.
    Quorum(Box<haven_quorum::History>),
    /// An answer to a forwarded request.
    Forwarded {
        /// Which.
        id: u64,
        /// More answers follow.
        more: bool,
        /// The answer, encoded as JSON.
        body: Vec<u8>,
    },
    /// Change an attribute of the receiver's node.
    ChangeAttribute {
        /// Answer with [`PeerMessage::Forwarded`] of this number; none wants no answer.
        id: Option<u64>,
        /// What.
        change: AttributeChange,
    },
    /// How an order ended that was given again; the record is part of the status.
    Ended {
        /// Which order.
        order: OrderId,
        /// Whether as the plan expected.
        ok: bool,
    },
    /// The order is not planned any more: refuse it if it has not come, answer it if it has.
    Withdraw {
        /// Which order.
        order: OrderId,
    },
    /// The sender hears of no leader: perhaps one leads whom it does not know yet.
    MembersWanted {
        /// The last entry it applied.
        applied: LogIndex,
    },
    /// The members, for a node whose log ends earlier: whom it may talk to, nothing else.
    Members {
        /// The last entry applied to them.
        applied: LogIndex,
        /// All of them.
        members: Vec<Member>,
    },
    /// Several times [`PeerMessage::Order`].
    Orders {
        /// The life of the receiver that is meant, where it is known.
        boot: Option<BootId>,
        /// What, each by itself.
        orders: Vec<Order>,
    },
    /// A newcomer whom the receiver wanted proposed is refused: its token is no good, or others have its name or address.
    NotAdmitted {
        /// Which request of the receiver's.
        request: u64,
        /// Why.
        reason: JoinRefusal,
    },
}

impl PeerMessage {
    /// The bytes for the wire: one format byte, then postcard.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let encoded = postcard::to_extend(self, vec![FORMAT]);
        assert!(encoded.is_ok(), "a message has no part that cannot be encoded");
        encoded.unwrap_or_default()
    }

    /// Reads [`PeerMessage::encode`]'s bytes; nothing when they are of another format or damaged.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&format, body) = bytes.split_first()?;
        if format != FORMAT {
            return None;
        }
        postcard::from_bytes(body).ok()
    }

    /// A forwarded request.
    #[must_use]
    pub fn forward(id: u64, body: &RequestBody, author: &str) -> Self {
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self::Forward { id, body, author: author.to_owned() }
    }

    /// The answer to a forwarded request.
    #[must_use]
    pub fn forwarded(id: u64, more: bool, body: &Result<ReplyBody, ApiError>) -> Self {
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self::Forwarded { id, more, body }
    }
}
