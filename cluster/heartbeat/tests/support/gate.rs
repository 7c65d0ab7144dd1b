//! The kernel's gate and the thread that writes it, step by step, so that a pause can fall between
//! any two steps.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use haven_base::{Instant, Rng};
use haven_heartbeat::{GateOrder, Input};
use haven_types::{Epoch, GroupId};

/// One group's gate in the kernel: two sets for the timed element, and which of them is in use.
#[derive(Clone, Debug, Default)]
pub struct KernelGate {
    sets: [Option<Instant>; 2],
    active: usize,
    /// What a successor process finds: epoch and absolute deadline (L9).
    pub epoch: Epoch,
    pub deadline: Instant,
}

impl KernelGate {
    pub fn is_open(&self, now: Instant) -> bool {
        self.sets[self.active].is_some_and(|end| now < end)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Begin(GateOrder),
    Write { order: GateOrder, read: Instant, timeout: Duration },
    Verify { order: GateOrder, read: Instant },
    Switch { order: GateOrder },
    Opened(GateOrder),
    Failed(GateOrder),
    Closed(GateOrder),
}

/// Carries out orders for all groups of one process, one after the other.
#[derive(Clone, Debug, Default)]
pub struct GateWriter {
    queue: VecDeque<GateOrder>,
    step: Option<Step>,
}

fn group_of(order: &GateOrder) -> GroupId {
    match *order {
        GateOrder::Renew { group, .. } | GateOrder::Close { group, .. } => group,
    }
}

impl GateWriter {
    pub fn order(&mut self, order: GateOrder) {
        let group = group_of(&order);
        self.queue.retain(|old| group_of(old) != group);
        // spec: L3 "abandons every gate write begun before it".
        if matches!(order, GateOrder::Close { .. }) {
            let begun = match &self.step {
                Some(
                    Step::Begin(o)
                    | Step::Write { order: o, .. }
                    | Step::Verify { order: o, .. }
                    | Step::Switch { order: o },
                ) => group_of(o) == group,
                _ => false,
            };
            if begun {
                self.step = None;
            }
        }
        self.queue.push_back(order);
    }

    pub fn busy(&self) -> bool {
        self.step.is_some() || !self.queue.is_empty()
    }

    /// One step. Returns what the machine is to be told.
    pub fn run(
        &mut self,
        now: Instant,
        tick: Duration,
        gates: &mut BTreeMap<GroupId, KernelGate>,
        rng: &mut Rng,
        fail: bool,
    ) -> Option<Input> {
        let step = self.step.take().or_else(|| self.queue.pop_front().map(Step::Begin))?;
        self.step = match step {
            Step::Begin(order @ GateOrder::Close { group, .. }) => {
                gates.entry(group).or_default().sets = [None; 2];
                Some(Step::Closed(order))
            }
            Step::Begin(order @ GateOrder::Renew { group, deadline, .. }) => {
                let left = deadline.since(now);
                if left < tick * 2 || fail {
                    gates.entry(group).or_default().sets = [None; 2];
                    Some(Step::Failed(order))
                } else {
                    Some(Step::Write { order, read: now, timeout: left - tick })
                }
            }
            Step::Write { order, read, timeout } => {
                let gate = gates.entry(group_of(&order)).or_default();
                // The kernel's timer may fire up to a tick late.
                let late = rng.between(Duration::ZERO, tick);
                gate.sets[1 - gate.active] = Some(now + timeout + late);
                Some(Step::Verify { order, read })
            }
            Step::Verify { order, read } => {
                if now - read > tick {
                    let gate = gates.entry(group_of(&order)).or_default();
                    gate.sets[1 - gate.active] = None;
                    Some(Step::Failed(order))
                } else {
                    Some(Step::Switch { order })
                }
            }
            Step::Switch { order } => {
                let gate = gates.entry(group_of(&order)).or_default();
                gate.active = 1 - gate.active;
                if let GateOrder::Renew { epoch, deadline, .. } = order {
                    (gate.epoch, gate.deadline) = (epoch, deadline);
                }
                Some(Step::Opened(order))
            }
            Step::Opened(GateOrder::Renew { group, ticket, .. }) => {
                return Some(Input::GateOpened { group, ticket });
            }
            Step::Failed(GateOrder::Renew { group, ticket, .. }) => {
                return Some(Input::GateFailed { group, ticket });
            }
            Step::Closed(GateOrder::Close { group, ticket }) => {
                return Some(Input::GateClosed { group, ticket });
            }
            Step::Opened(_) | Step::Failed(_) | Step::Closed(_) => unreachable!(),
        };
        None
    }
}
