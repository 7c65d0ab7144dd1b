//! What the machine knows, for people and metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::Instant;
use haven_lease::LeaseView;
use haven_membership::{LinkState, Peer, PeerState, View};
use haven_types::{BootId, Epoch, GroupId, LinkId, LogPosition, NodeId};
use serde::{Deserialize, Serialize};

use crate::Heartbeat;

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
    /// The local carrier is down, or nobody at all is heard on this link.
    Local,
    /// Others are heard on this link and the peer on others: its interface, or the path to it.
    Remote,
    /// The peer is heard on no link at all.
    PeerSilent,
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
}

/// Events counted since the start of the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Beats sent, copies not counted.
    pub beats_sent: u64,
    /// Beats that asked for leases by one link, were not answered promptly, and were repeated by all.
    pub repeated: u64,
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

impl Heartbeat {
    /// What the machine knows, for the command line and for metrics.
    #[must_use]
    pub fn status(&self, now: Instant) -> Status {
        let lease = |lease: LeaseView| {
            let LeaseView { epoch, until, gained: open, releasing, .. } = lease;
            (lease.group, LeaseStatus { epoch, until, open, releasing })
        };
        Status {
            node: self.config.node,
            boot: self.config.boot,
            duration: self.pace.duration(),
            interval: self.interval(),
            view: self.detector.view().clone(),
            peers: self.detector.peers().iter().map(|(&n, p)| (n, self.peer(now, n, p))).collect(),
            leases: self.holder.leases().map(lease).collect(),
            promises: self.voter.promised(now),
            silent_until: self.voter.silent_until(),
            counters: self.counters,
        }
    }

    /// True while this node's own detector holds `node` alive: then a forced vote request against
    /// it is dropped (ARCHITECTURE §5).
    #[must_use]
    pub fn hears(&self, node: NodeId) -> bool {
        self.detector.peers().get(&node).is_some_and(|peer| peer.state == PeerState::Alive)
    }

    fn peer(&self, now: Instant, node: NodeId, peer: &Peer) -> PeerStatus {
        let link = |(&number, link): (&LinkId, &LinkState)| {
            let status = LinkStatus {
                up: link.up,
                since: link.since,
                rtt_min: link.rtt_min,
                rtt_smooth: link.rtt_smooth,
                rtt_max: Some(link.rtt_peaks.first(now)).filter(|rtt| !rtt.is_zero()),
                loss_permille: link.loss_permille(),
                fault: self.fault(number, link, peer),
            };
            (number, status)
        };
        PeerStatus {
            boot: peer.boot,
            state: peer.state,
            last_heard: peer.last_heard,
            threshold: self.detector.threshold(now, node),
            log: peer.log,
            links: peer.links.iter().map(link).collect(),
        }
    }

    fn fault(&self, number: LinkId, link: &LinkState, peer: &Peer) -> LinkFault {
        let anybody = || {
            let mut links = self.detector.peers().values().filter_map(|p| p.links.get(&number));
            links.any(|link| link.up)
        };
        match link.up {
            true => LinkFault::None,
            false if self.down.contains(&number) || !anybody() => LinkFault::Local,
            false if peer.state != PeerState::Alive => LinkFault::PeerSilent,
            false => LinkFault::Remote,
        }
    }
}
