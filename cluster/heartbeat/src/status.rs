//! What the machine knows, for people and metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::Instant;
use haven_membership::View;
use haven_types::{BootId, Epoch, GroupId, LinkId, LogPosition, NodeId};
use serde::{Deserialize, Serialize};

/// A snapshot of the machine.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// This node.
    pub node: NodeId,
    /// This process.
    pub boot: BootId,
    /// D now.
    pub duration: Duration,
    /// The beat interval now.
    pub interval: Duration,
    /// The current view.
    pub view: View,
    /// The other members.
    pub peers: BTreeMap<NodeId, PeerStatus>,
    /// Leases this node claims or holds.
    pub leases: BTreeMap<GroupId, LeaseStatus>,
    /// Promises this node gives: the holder and the end of each.
    pub promises: BTreeMap<GroupId, (NodeId, Instant)>,
    /// Until when this voter promises nothing (L4); in the past once it does.
    pub silent_until: Instant,
    /// Events since the start.
    pub counters: Counters,
}

/// A peer as the detector sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum PeerState {
    /// Never heard by this process.
    #[default]
    Unknown,
    /// Heard within its threshold.
    Alive,
    /// Silent for longer than its threshold; no majority agrees yet.
    Suspected,
    /// Declared dead by a majority.
    Dead,
}

/// One peer.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its newest boot known.
    pub boot: Option<BootId>,
    /// What the detector says.
    pub state: PeerState,
    /// When anything was heard of it last.
    pub last_heard: Option<Instant>,
    /// The silence after which it is suspected, now.
    pub threshold: Duration,
    /// The last log entry it announced.
    pub log: LogPosition,
    /// Its links.
    pub links: BTreeMap<LinkId, LinkStatus>,
}

/// Where a link fault lies, as far as this node can tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum LinkFault {
    /// None: frames arrive.
    #[default]
    None,
    /// The local carrier is down, or nobody is heard on this link.
    Local,
    /// Others are heard on this link, and the peer is heard on others: its interface or cable.
    Peer,
    /// The peer is heard on no link at all.
    PeerSilent,
    /// The peer hears us there, but we do not hear it, or only we two fail: the path between.
    Path,
}

/// One link to one peer.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct LinkStatus {
    /// True while frames arrive.
    pub up: bool,
    /// Since when.
    pub since: Option<Instant>,
    /// Round trips: smallest of the last minutes.
    pub rtt_min: Option<Duration>,
    /// Round trips: smoothed.
    pub rtt_smooth: Option<Duration>,
    /// Round trips: largest of the last minutes.
    pub rtt_max: Option<Duration>,
    /// Beats of the peer lost on this link, in thousandths, of the last 64 or more.
    pub loss_permille: u16,
    /// Where a fault lies.
    pub fault: LinkFault,
}

/// One lease of this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// The grant's epoch.
    pub epoch: Epoch,
    /// When the lease ends; none while it is only asked for.
    pub until: Option<Instant>,
    /// True while the kernel's gate is known to be open.
    pub open: bool,
    /// True while it is being given up.
    pub releasing: bool,
    /// Who was last said to hold it, by a voter's refusal, as far as known.
    pub refused_by: Option<NodeId>,
}

/// Events counted since the start of the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Beats sent, copies not counted.
    pub beats_sent: u64,
    /// Copies of beats received.
    pub beats_received: u64,
    /// Answers received.
    pub answers_received: u64,
    /// Answers that no longer matched a beat kept, or another boot.
    pub answers_unmatched: u64,
    /// Answers not counted because they name a configuration this log lacks (L5).
    pub answers_unknown_configuration: u64,
    /// Frames of an older boot of their node, dropped.
    pub frames_of_older_boot: u64,
    /// Frames of nodes that are not members, dropped.
    pub frames_of_strangers: u64,
    /// Messages with a field out of its bounds; the field was cut or ignored.
    pub out_of_bounds: u64,
    /// Leases that lapsed.
    pub lapses: u64,
    /// Suspicions begun.
    pub suspicions: u64,
    /// Suspicions withdrawn without a verdict.
    pub suspicions_withdrawn: u64,
    /// Death verdicts.
    pub verdicts: u64,
    /// Times the thread was late by more than two ticks.
    pub stalls: u64,
    /// Claims refused by this voter.
    pub refusals: u64,
}
