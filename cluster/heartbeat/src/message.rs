//! What one node's heartbeat machine says to another's. The frame around it (messaging) proves who
//! sent it: node and boot id are the frame's.

use std::time::Duration;

use haven_lease::{Claim, Refusal, Release};
use haven_types::{BootId, LinkId, LogPosition, NodeId, Seq};
use serde::{Deserialize, Serialize};

/// Version of [`Message::encode`]'s layout.
pub const MESSAGE_VERSION: u8 = 2;
/// Longest encoded message accepted: what fits a frame on a 1,280-byte path with room to spare.
pub const MAX_MESSAGE_BYTES: usize = 1_100;

/// A heartbeat message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Message {
    /// Sent to every peer each min(D/4, 25 ms), and at once when something changed; on every link. While nothing
    /// is amiss, each min(5·D/12, 25 ms) on one link in turn. Among more than eight members the 25 ms are
    /// longer in proportion, as D is.
    Beat(Beat),
    /// Sent on the link a beat came by, in the step that received it (L1: *every* beat is answered), unless
    /// [`Beat::answers`] does it.
    Answer(Answer),
    /// A lease group a refused claimant waits for has become free at this voter: claim again now.
    Vacant(haven_types::GroupId),
}

/// A beat (L1).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Beat {
    /// Counts the beats of the sender's boot, from 1. Copies on several links carry one seq.
    pub seq: Seq,
    /// D in microseconds.
    pub duration_micros: u32,
    /// The last entry of the sender's log.
    pub log: LogPosition,
    /// What the sender asks to hold, or holds.
    pub claims: Vec<Claim>,
    /// What the sender gave up.
    pub releases: Vec<Release>,
    /// Members the sender does not hear now; empty in a healthy cluster.
    pub unheard: Vec<Unheard>,
    /// Fresh `unheard` lists of others as the sender knows them, those that are not empty: tells a
    /// node about peers it cannot hear itself.
    pub relayed: Vec<(NodeId, Vec<NodeId>)>,
    /// How long the sender announces to be silent for a planned restart, in milliseconds; 0 = not.
    pub away_millis: u16,
    /// Answers to the receiver's beats that were in no hurry, or came when this beat was due.
    pub answers: Option<Echoes>,
    /// Counts the beats of the sender's boot to this receiver by this link, from 1: what is missing was lost.
    pub copy: u64,
    /// True when no other link carries this beat to the receiver: whoever follows the sender takes this link, too.
    pub alone: bool,
}

/// Answers sent with the answering node's own beat, on the links it takes (L1): what they answer was not refused.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Echoes {
    /// Echo: the boot id of the beats' sender.
    pub boot: BootId,
    /// As in [`Answer`].
    pub configuration: LogPosition,
    /// One per beat.
    pub echoes: Vec<Echo>,
}

/// The answer to one copy of a beat, and how long it waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Echo {
    /// Echo: the beat's seq.
    pub seq: Seq,
    /// The link this copy of it came by.
    pub link: LinkId,
    /// From the beat's arrival to the send of this, in microseconds.
    pub held_micros: u32,
}

/// A member the sender of a beat does not hear.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Unheard {
    /// The silent member.
    pub node: NodeId,
    /// The boot it had when it was heard last; none when it was never heard.
    pub boot: Option<BootId>,
}

/// An answer to one copy of a beat.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    /// Echo: the boot id of the beat's sender.
    pub boot: BootId,
    /// Echo: the beat's seq.
    pub seq: Seq,
    /// The newest voter-configuration entry in the answering node's log, committed or not (L5).
    pub configuration: LogPosition,
    /// The beat's claims that are not promised; all others are.
    pub refusals: Vec<Refusal>,
}

/// Why bytes are not a message. A counter for strangers' and newer versions' frames, never an error
/// of the receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeMessageError {
    /// Empty input.
    #[error("cannot decode a heartbeat message: it is empty")]
    Empty,
    /// A version this node does not speak.
    #[error("cannot decode a heartbeat message of version {found}: this node speaks version {version}", version = MESSAGE_VERSION)]
    Version {
        /// The version byte found.
        found: u8,
    },
    /// Not the layout of this version, or trailing bytes.
    #[error("cannot decode a heartbeat message: its {length} bytes are not of version {version}'s layout", version = MESSAGE_VERSION)]
    Layout {
        /// Length of the input.
        length: usize,
    },
}

impl Message {
    /// The bytes of this message: one version byte, then the message in postcard's layout.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        bytes.push(MESSAGE_VERSION);
        // A vector grows as needed, so serialisation of plain data into it cannot fail; were it to,
        // the message would be cut short and the receiver would count it as undecodable.
        postcard::to_extend(self, bytes).unwrap_or_default()
    }

    /// Reads [`Message::encode`]'s bytes.
    ///
    /// # Errors
    /// When they are empty, of another version, or not of this version's layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeMessageError> {
        let (&version, body) = bytes.split_first().ok_or(DecodeMessageError::Empty)?;
        if version != MESSAGE_VERSION {
            return Err(DecodeMessageError::Version { found: version });
        }
        let layout = DecodeMessageError::Layout { length: bytes.len() };
        match postcard::take_from_bytes(body) {
            Ok((message, [])) => Ok(message),
            Ok(_) | Err(_) => Err(layout),
        }
    }
}

impl Beat {
    /// Whether its sender waits for the answer: for a promise, for a release or an absence to be known, or
    /// for a word about a member it no longer hears.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        let quiet = self.claims.is_empty() && self.releases.is_empty() && self.unheard.is_empty();
        !quiet || self.away_millis > 0
    }

    /// D.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_micros(u64::from(self.duration_micros))
    }

    /// The announced absence, if any.
    #[must_use]
    pub fn away(&self) -> Option<Duration> {
        (self.away_millis > 0).then(|| Duration::from_millis(u64::from(self.away_millis)))
    }
}
