//! One resource as its executor knows it: what waits, what runs, what recurs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use haven_base::{Instant, WallTime};
use haven_types::operation::{AgentName, Lease, Operation, OrderId, Outcome};
use haven_types::{Epoch, GroupId};
use serde::{Deserialize, Serialize};

use crate::port::RunId;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// A start waits for [`crate::Input::LeaseGained`].
    AwaitLease(Lease),
    /// A stop waits for [`crate::Input::LeaseReleased`].
    AwaitRelease(GroupId),
    /// The agent works.
    Agent(RunId),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) operation: Operation,
    pub(crate) order: Option<OrderId>,
    pub(crate) lease: Option<Lease>,
    pub(crate) arrived: Instant,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) job: Job,
    pub(crate) stage: Stage,
    /// When the agent was called.
    pub(crate) began: Instant,
    pub(crate) deadline: Instant,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recurring {
    pub(crate) operation: Operation,
    pub(crate) due: Instant,
    pub(crate) last: Option<(Outcome, WallTime)>,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Resource {
    pub(crate) queue: VecDeque<Job>,
    pub(crate) running: Option<Running>,
    pub(crate) recurring: BTreeMap<String, Recurring>,
    /// The start it runs by, kept for hooks and for the local stop after a superseded lease.
    pub(crate) started: Option<Operation>,
    /// The last start tried since the last good stop, whatever came of it: what it did is undone with
    /// its own parameters.
    pub(crate) tried: Option<Operation>,
    /// The lease that start was made under.
    pub(crate) tried_under: Option<Lease>,
    pub(crate) lease: Option<Lease>,
    /// Its next operation waits for its turn in `Executor::paced`.
    #[serde(skip)]
    pub(crate) paced: bool,
    /// Its entry in `Executor::due`.
    #[serde(skip)]
    pub(crate) due: Option<Instant>,
}

impl Resource {
    /// When time alone has something to do here.
    pub(crate) fn due(&self) -> Option<Instant> {
        match &self.running {
            Some(running) => Some(running.deadline),
            None if self.paced => None,
            None => self.recurring.values().map(|every| every.due).min(),
        }
    }

    /// Whether such an operation is under way or waits.
    pub(crate) fn has(&self, action: &str) -> bool {
        let running = self.running.iter().map(|running| &running.job);
        running.chain(&self.queue).any(|job| job.operation.action == action)
    }

    /// A stop is ordered that this node has begun by itself, or is about to, because the lease went to another, or no
    /// majority is heard: that one's end answers the order. False when there is none.
    pub(crate) fn own_stop_answers(&mut self, order: OrderId) -> bool {
        let running = self.running.as_mut().map(|running| &mut running.job);
        let Some(last) = self.queue.back_mut().or(running) else { return false };
        let own = last.order.is_none() && last.operation.action == "stop";
        if own {
            last.order = Some(order);
        }
        own
    }

    /// The agent that is called next, if any is to be called now.
    pub(crate) fn next_agent(&self, now: Instant) -> Option<&AgentName> {
        let due = || self.recurring.values().filter(|every| every.due <= now).min_by_key(|r| r.due);
        let ordered = self.queue.front().map(|job| &job.operation.agent);
        ordered.or_else(|| due().map(|every| &every.operation.agent))
    }
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct HeldLease {
    pub(crate) epoch: Epoch,
    pub(crate) held: bool,
    pub(crate) users: BTreeSet<String>,
}

impl HeldLease {
    /// Whether its last user has left it, so that its gate is closed or about to be.
    pub(crate) fn is_released(&self) -> bool {
        self.users.is_empty()
    }
}

/// Moves recurring operations that are due on by whole intervals.
pub(crate) fn postpone_recurring(resource: &mut Resource, now: Instant) {
    for recurring in resource.recurring.values_mut() {
        while recurring.due <= now {
            recurring.due += recurring.operation.interval;
        }
    }
}

/// The recurring operation that is due first, if any is.
pub(crate) fn due_recurring(resource: &Resource, now: Instant) -> Option<Job> {
    let recurring = resource.recurring.values().filter(|r| r.due <= now).min_by_key(|r| r.due)?;
    Some(Job {
        operation: recurring.operation.clone(),
        order: None,
        lease: resource.lease,
        arrived: recurring.due,
    })
}
