//! Inputs and outputs of the heartbeat machine.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::Instant;
use haven_lease::Configuration;
use haven_lease::{GateOrder, LossCause, Ticket};
use haven_membership::View;
use haven_types::{BootId, Epoch, GroupId, LinkId, LogPosition, NodeId, Term};
use serde::{Deserialize, Serialize};

use crate::{Member, Message};

/// What the machine is told. `now` of the step is always read *after* the event it reports: after a
/// datagram was taken from the socket, after the kernel's acknowledgement was read.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Input {
    /// A heartbeat message in an authentic, fresh frame.
    Received {
        /// Its sender.
        from: NodeId,
        /// The sender's boot id, from the frame.
        boot: BootId,
        /// The link it came by.
        link: LinkId,
        /// What it said.
        message: Message,
    },
    /// Any other authentic, fresh frame (express payload): proves that its sender lives.
    Heard {
        /// Its sender.
        from: NodeId,
        /// The sender's boot id, from the frame.
        boot: BootId,
        /// The link it came by.
        link: LinkId,
    },
    /// The deadline has come. Harmless at any time.
    Tick,
    /// The other members, all of them.
    Members(BTreeMap<NodeId, Member>),
    /// Every voter-configuration entry the local log now holds, committed or not, oldest first;
    /// the last 8 at least, if there are so many. Given at once when an entry is appended or
    /// truncated, before the log answers anybody.
    Configurations(Vec<Configuration>),
    /// The configuration entry at this position is committed and applied here (L4).
    ConfigurationApplied(LogPosition),
    /// The last entry of the local log.
    Log(LogPosition),
    /// The highest epoch of a group that the local log holds, committed or not (L2).
    Epoch {
        /// The lease group.
        group: GroupId,
        /// Its highest epoch.
        epoch: Epoch,
    },
    /// The committed log grants a group at this epoch to some node: whoever holds a lower one gives it
    /// up. An entry that may still be truncated takes nothing away: voters refuse its predecessor's
    /// renewals, but what they have promised lasts.
    Granted {
        /// The lease group.
        group: GroupId,
        /// The grant's epoch.
        epoch: Epoch,
    },
    /// Who leads, as far as this node knows.
    Coordinator {
        /// The consensus term.
        term: Term,
        /// Its leader, if known.
        node: Option<NodeId>,
    },
    /// The committed log grants this node the lease at this epoch: ask for it, and keep it.
    Claim {
        /// The lease group.
        group: GroupId,
        /// The grant's epoch.
        epoch: Epoch,
    },
    /// Give the lease up: close the gate, then tell everyone. The address is already gone.
    Release {
        /// The lease group.
        group: GroupId,
    },
    /// The kernel acknowledged the gate of [`GateOrder::Renew`] with this ticket.
    GateOpened {
        /// The lease group.
        group: GroupId,
        /// The order's ticket.
        ticket: Ticket,
    },
    /// The kernel acknowledged the deletion ordered by [`GateOrder::Close`] with this ticket, and
    /// no earlier order of the group is still under way.
    GateClosed {
        /// The lease group.
        group: GroupId,
        /// The order's ticket.
        ticket: Ticket,
    },
    /// The order with this ticket was not carried out; the gate's element has been deleted or will
    /// lapse by itself.
    GateFailed {
        /// The lease group.
        group: GroupId,
        /// The order's ticket.
        ticket: Ticket,
    },
    /// A local link's carrier.
    Carrier {
        /// The link.
        link: LinkId,
        /// True when it can send.
        up: bool,
    },
    /// This process is about to be replaced: obtain long leases and announce the absence (L9).
    PlanRestart,
    /// The planned restart is called off, or is over.
    Resume,
}

/// What the machine wants done or known, in order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// Send a message to a peer on a link. The `now` of the step is the clock of L3: it was read
    /// before this send.
    Send {
        /// The receiver.
        to: NodeId,
        /// The link to send by.
        link: LinkId,
        /// What to say.
        message: Message,
    },
    /// An order to the kernel's gate.
    Gate(GateOrder),
    /// The view changed.
    View(View),
    /// Nothing was heard from a node for its threshold; no majority agrees yet.
    Suspect {
        /// The silent node.
        node: NodeId,
        /// Its boot.
        boot: BootId,
        /// How long it has been silent on all links.
        silent: Duration,
    },
    /// A node is heard: for the first time, again after a suspicion or verdict, or with a new boot.
    Alive {
        /// The node.
        node: NodeId,
        /// Its boot.
        boot: BootId,
    },
    /// A majority of the voters agrees that a node is silent (L6).
    Dead {
        /// The node.
        node: NodeId,
        /// The boot the verdict is about.
        boot: BootId,
        /// When the node led: who should campaign now.
        successor: Option<NodeId>,
    },
    /// A peer's link went up or down while the peer itself may live on by others.
    Link {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// True when frames of the peer arrive by it.
        up: bool,
    },
    /// The lease is held and the kernel's gate is open: the address may be added now.
    LeaseGained {
        /// The lease group.
        group: GroupId,
        /// The grant's epoch.
        epoch: Epoch,
        /// When the lease ends if it is not renewed.
        until: Instant,
    },
    /// The lease is not held any more; the gate has lapsed or is ordered to close.
    LeaseLost {
        /// The lease group.
        group: GroupId,
        /// The grant's epoch.
        epoch: Epoch,
        /// Why. After [`LossCause::Lapsed`] and [`LossCause::GateFailed`] the machine goes on
        /// asking; after the others it does not.
        cause: LossCause,
    },
    /// A release is complete: the gate is gone and the others are being told.
    Released {
        /// The lease group.
        group: GroupId,
        /// The grant's epoch.
        epoch: Epoch,
    },
    /// A claim was not taken up: this node already claims its limit of groups.
    TooManyClaims {
        /// The lease group.
        group: GroupId,
    },
    /// The recommended length of a consensus tick, from measured round trips.
    ConsensusTick(Duration),
    /// After [`Input::PlanRestart`]: every held lease is long and its gate acknowledged. The
    /// process may be replaced; the new one must be back well before `until`.
    RestartReady {
        /// The earliest lease end; none when nothing is held.
        until: Option<Instant>,
    },
    /// Two processes answer under one node id: frames of a boot older than the newest one known
    /// keep arriving. Given at most once a minute per node.
    DuplicateNode {
        /// The node id.
        node: NodeId,
        /// The newest boot known.
        newest: BootId,
        /// The boot whose frames are dropped.
        dropped: BootId,
    },
}
