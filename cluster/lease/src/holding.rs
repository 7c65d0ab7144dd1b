//! One lease group as a node that claims it sees it: the lease, the gate orders behind it, its end.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use haven_base::Instant;
use haven_types::{Epoch, GroupId, NodeId, Seq};

use crate::{HolderOutput, LossCause, Terms, Ticket};

/// How many gate orders of one group await their acknowledgement before no more are given.
const MAX_ORDERS: usize = 16;

/// A lease: its end, and the beat it comes from (none when an earlier process obtained it).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lease {
    pub(crate) seq: Option<Seq>,
    pub(crate) end: Instant,
    pub(crate) duration: Duration,
}

/// A gate order on its way to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Order {
    pub(crate) ticket: Ticket,
    pub(crate) lease: Lease,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Claims in every beat.
    Claiming,
    /// The gate is being deleted; claims nothing.
    Closing { ticket: Ticket, again_at: Instant },
}

#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub(crate) epoch: Epoch,
    pub(crate) phase: Phase,
    /// Answers to beats before this one are ignored.
    pub(crate) from_seq: Seq,
    pub(crate) lease: Option<Lease>,
    /// The newest beat ever renewed by. Kept through lapses: voters may have dropped promises from
    /// beats before it, so none of those may give a lease again.
    pub(crate) newest: Option<Seq>,
    pub(crate) orders: VecDeque<Order>,
    /// The end of the newest lease whose gate the kernel acknowledged.
    pub(crate) open_until: Option<Instant>,
    /// The newest beat within whose lease the kernel acknowledged a gate.
    pub(crate) gated: Option<Seq>,
    /// True between `Gained` and `Lost`.
    pub(crate) gained: bool,
    /// When a voter that refused said it could promise.
    pub(crate) retry: BTreeMap<NodeId, Instant>,
    /// Claim again at this epoch once the gate is gone.
    pub(crate) next_epoch: Option<Epoch>,
}

impl Holding {
    pub(crate) fn new(epoch: Epoch, from_seq: Seq) -> Self {
        Self {
            epoch,
            phase: Phase::Claiming,
            from_seq,
            lease: None,
            newest: None,
            orders: VecDeque::new(),
            open_until: None,
            gated: None,
            gained: false,
            retry: BTreeMap::new(),
            next_epoch: None,
        }
    }

    /// Whether the gate should follow to `lease` now: at the first, when it must close earlier, or
    /// when it gains an eighth of the lease (beats may be far closer than that).
    pub(crate) fn wants_order(&self, lease: &Lease, terms: &Terms) -> bool {
        if self.orders.len() >= MAX_ORDERS {
            return false;
        }
        let ordered = self.orders.back().map(|order| order.lease.end).or(self.open_until);
        ordered
            .is_none_or(|end| lease.end < end || lease.end - end >= terms.lease(lease.duration) / 8)
    }

    pub(crate) fn lapse(&mut self, now: Instant, group: GroupId, out: &mut Vec<HolderOutput>) {
        if self.lease.is_some_and(|lease| now >= lease.end) {
            self.lease = None;
            self.orders.clear();
            self.open_until = None;
            if std::mem::take(&mut self.gained) {
                let cause = LossCause::Lapsed;
                out.push(HolderOutput::Lost { group, epoch: self.epoch, cause });
            }
            out.push(HolderOutput::BeatNow);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Claiming => self.lease.map(|lease| lease.end),
            Phase::Closing { again_at, .. } => Some(again_at),
        };
        phase.into_iter().chain(self.retry.values().copied()).min()
    }

    pub(crate) fn view(&self, group: GroupId) -> LeaseView {
        LeaseView {
            group,
            epoch: self.epoch,
            until: self.lease.map(|lease| lease.end),
            open_until: self.open_until,
            duration: self.lease.map(|lease| lease.duration),
            gained: self.gained,
            releasing: self.phase != Phase::Claiming,
        }
    }
}

/// One group as [`crate::Holder::leases`] shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseView {
    /// The lease group.
    pub group: GroupId,
    /// The grant's epoch.
    pub epoch: Epoch,
    /// The lease's end, if a majority ever promised it.
    pub until: Option<Instant>,
    /// The deadline of the gate the kernel acknowledged last.
    pub open_until: Option<Instant>,
    /// D of the beat behind the lease; zero when an earlier process sent it.
    pub duration: Option<Duration>,
    /// Held, with the gate open.
    pub gained: bool,
    /// Being given up.
    pub releasing: bool,
}
