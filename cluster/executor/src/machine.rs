//! The executor's machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use haven_base::{Instant, WallTime};
use haven_types::operation::{
    ExecutionStatus, Lease, OcfCode, Operation, OperationRecord, Order, OrderId, Outcome,
};
use haven_types::{GroupId, NodeId, Term};
use serde::{Deserialize, Serialize};

use crate::run_times::Measured;

/// Orders waiting for one resource beyond which further ones are refused: a coordinator sends the
/// next order of a resource only after the last was answered, so more is a mistake of its.
pub const MAX_QUEUED_PER_RESOURCE: usize = 16;

/// Used where an order names no timeout (the field's default action timeout).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// Names one call of an agent.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct RunId(pub u64);

/// What the executor reacts to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "an input is taken apart at once, never stored")]
pub enum Input {
    /// The coordinator wants something done.
    Order(Order),
    /// A coordinator of this term exists; orders of lower terms are refused from now on.
    Term(Term),
    /// The agent answered.
    AgentFinished {
        /// Which call.
        run: RunId,
        /// Its answer.
        outcome: Outcome,
    },
    /// The lease is held and the gate is open.
    LeaseGained(Lease),
    /// The lease ended. The gate has closed by itself.
    LeaseLost {
        /// Which lease.
        lease: Lease,
        /// True when another grant took its place, so that it can never come back.
        superseded: bool,
    },
    /// The gate is closed, acknowledged by the kernel, and the release has been sent.
    LeaseReleased(GroupId),
    /// Time may have passed.
    Tick,
}

/// What the shell does for the executor, in this order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// Call the agent.
    RunAgent {
        /// Names the call.
        run: RunId,
        /// What to ask of it.
        operation: Operation,
        /// The lease the resource runs under.
        lease: Option<Lease>,
    },
    /// The call took too long: stop waiting, kill what it started.
    AbortAgent(RunId),
    /// Ask the voters for this lease.
    Claim(Lease),
    /// Close the gate, then tell the voters.
    Release(GroupId),
    /// Status changed: keep it and pass it on.
    Recorded(Box<OperationRecord>),
    /// The order cannot be carried out; nothing was done.
    Refused {
        /// Which order.
        order: OrderId,
        /// What to tell the coordinator.
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Stage {
    /// A start waits for [`Input::LeaseGained`].
    AwaitLease(Lease),
    /// A stop waits for [`Input::LeaseReleased`].
    AwaitRelease(GroupId),
    /// The agent works.
    Agent(RunId),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    operation: Operation,
    order: Option<OrderId>,
    lease: Option<Lease>,
    arrived: Instant,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Running {
    job: Job,
    stage: Stage,
    /// When the agent was called.
    began: Instant,
    deadline: Instant,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Recurring {
    operation: Operation,
    due: Instant,
    last: Option<(Outcome, WallTime)>,
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
struct Resource {
    queue: VecDeque<Job>,
    running: Option<Running>,
    recurring: BTreeMap<String, Recurring>,
    /// The start it runs by, kept for hooks and for the local stop after a superseded lease.
    started: Option<Operation>,
    /// The last start tried since the last good stop, whatever came of it: what it did is undone with
    /// its own parameters.
    tried: Option<Operation>,
    lease: Option<Lease>,
}

impl Resource {
    /// Whether time alone has something to do here.
    fn is_due(&self, now: Instant) -> bool {
        match &self.running {
            Some(running) => running.deadline <= now,
            None => !self.queue.is_empty() || self.recurring.values().any(|every| every.due <= now),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
struct HeldLease {
    epoch: haven_types::Epoch,
    held: bool,
    users: BTreeSet<String>,
}

/// The executor of one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Executor {
    node: NodeId,
    term: Term,
    resources: BTreeMap<String, Resource>,
    leases: BTreeMap<GroupId, HeldLease>,
    next_run: u64,
    next_call: u64,
    /// Begins anew with each life of the daemon.
    #[serde(skip)]
    measured: Measured,
}

impl Executor {
    /// An executor that runs nothing yet.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            term: Term(0),
            resources: BTreeMap::new(),
            leases: BTreeMap::new(),
            next_run: 1,
            next_call: 1,
            measured: Measured::default(),
        }
    }

    /// Takes over after a planned restart: what ran goes on, what was under way at the moment of
    /// the restart is forgotten and recurring operations fall due at once.
    #[must_use]
    pub fn resumed(mut self, now: Instant) -> Self {
        for resource in self.resources.values_mut() {
            resource.queue.clear();
            resource.running = None;
            for recurring in resource.recurring.values_mut() {
                recurring.due = now;
            }
        }
        self
    }

    /// Whether an operation other than a recurring one is waiting or running.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.resources.values().any(|r| {
            !r.queue.is_empty()
                || r.running.as_ref().is_some_and(|j| j.job.operation.interval.is_zero())
        })
    }

    /// How long agents took, by operation.
    #[must_use]
    pub const fn measured(&self) -> &Measured {
        &self.measured
    }

    /// Leases that started resources run under.
    #[must_use]
    pub fn leases(&self) -> Vec<Lease> {
        self.leases
            .iter()
            .map(|(group, lease)| Lease { group: *group, epoch: lease.epoch })
            .collect()
    }

    /// The starts that resources run by now, for hooks.
    pub fn started(&self) -> impl Iterator<Item = (&Operation, Option<Lease>)> {
        self.resources.values().filter_map(|r| r.started.as_ref().map(|op| (op, r.lease)))
    }

    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.resources
            .values()
            .flat_map(|resource| {
                let running = resource.running.as_ref().map(|r| r.deadline);
                let due = if running.is_some() {
                    None
                } else {
                    resource.recurring.values().map(|r| r.due).min()
                };
                [running, due]
            })
            .flatten()
            .min()
    }

    /// Advances by one input.
    pub fn step(&mut self, now: Instant, wall: WallTime, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        let clock = Clock { now, wall };
        match input {
            Input::Order(order) => self.on_order(clock, order, &mut out),
            Input::Term(term) => self.term = self.term.max(term),
            Input::AgentFinished { run, outcome } => {
                self.on_finished(clock, run, outcome, &mut out)
            }
            Input::LeaseGained(lease) => self.on_gained(clock, lease, &mut out),
            Input::LeaseLost { lease, superseded } => {
                self.on_lost(clock, lease, superseded, &mut out);
            }
            Input::LeaseReleased(group) => self.on_released(clock, group, &mut out),
            Input::Tick => self.on_tick(clock, &mut out),
        }
        out
    }

    fn on_order(&mut self, clock: Clock, order: Order, out: &mut Vec<Output>) {
        // spec: L7 "Executors refuse orders of a lower term"
        if order.id.term < self.term {
            out.push(Output::Refused {
                order: order.id,
                reason: format!(
                    "order of term {} refused: term {} has a newer coordinator",
                    order.id.term, self.term
                ),
            });
            return;
        }
        self.term = order.id.term;
        let name = order.operation.resource.clone();
        if order.cancel {
            let key = order.operation.key();
            self.resources.entry(name).or_default().recurring.remove(&key);
            let done = Outcome::done(OcfCode::OK, "");
            let job = Job {
                operation: order.operation,
                order: Some(order.id),
                lease: None,
                arrived: clock.now,
            };
            self.record(clock, &job, Some((done, clock.now)), out);
            return;
        }
        let resource = self.resources.entry(name.clone()).or_default();
        if resource.queue.len() >= MAX_QUEUED_PER_RESOURCE {
            out.push(Output::Refused {
                order: order.id,
                reason: format!("{name} has {MAX_QUEUED_PER_RESOURCE} orders waiting already"),
            });
            return;
        }
        resource.queue.push_back(Job {
            operation: order.operation,
            order: Some(order.id),
            lease: order.lease,
            arrived: clock.now,
        });
        self.advance(clock, &name, out);
    }

    /// Starts the next job of a resource if it is idle.
    fn advance(&mut self, clock: Clock, name: &str, out: &mut Vec<Output>) {
        let Some(resource) = self.resources.get_mut(name) else {
            return;
        };
        if resource.running.is_some() {
            return;
        }
        // Without its lease a resource is silent on purpose: nothing can be learnt by asking it.
        let silent = resource
            .lease
            .is_some_and(|lease| self.leases.get(&lease.group).is_none_or(|held| !held.held));
        if silent {
            postpone_recurring(resource, clock.now);
        }
        let Some(mut job) =
            resource.queue.pop_front().or_else(|| due_recurring(resource, clock.now))
        else {
            return;
        };
        if matches!(job.operation.action.as_str(), "stop" | "demote")
            && let Some(tried) = &resource.tried
        {
            // The configuration may have changed, or may not know the resource any more.
            job.operation.params.clone_from(&tried.params);
        }
        let timeout =
            if job.operation.timeout.is_zero() { DEFAULT_TIMEOUT } else { job.operation.timeout };
        if matches!(job.operation.action.as_str(), "stop" | "demote") {
            resource.recurring.clear();
        }
        let stage = match job.operation.action.as_str() {
            "start" => job.lease.map(Stage::AwaitLease),
            "stop" => resource.lease.map(|lease| Stage::AwaitRelease(lease.group)),
            _ => None,
        };
        let began = clock.now;
        let deadline = clock.now + timeout;
        match stage {
            Some(Stage::AwaitLease(lease)) => {
                resource.lease = Some(lease);
                resource.running =
                    Some(Running { job, stage: Stage::AwaitLease(lease), began, deadline });
                self.await_lease(clock, name, lease, out);
            }
            Some(Stage::AwaitRelease(group)) => {
                resource.running =
                    Some(Running { job, stage: Stage::AwaitRelease(group), began, deadline });
                self.await_release(clock, name, group, out);
            }
            Some(Stage::Agent(_)) | None => {
                resource.running =
                    Some(Running { job, stage: Stage::Agent(RunId(0)), began, deadline });
                self.call_agent(clock, name, out);
            }
        }
    }

    fn await_lease(&mut self, clock: Clock, name: &str, lease: Lease, out: &mut Vec<Output>) {
        let held = self.leases.entry(lease.group).or_default();
        held.users.insert(name.to_owned());
        if held.epoch < lease.epoch {
            held.epoch = lease.epoch;
            held.held = false;
        }
        if held.held {
            self.call_agent(clock, name, out);
        } else {
            out.push(Output::Claim(lease));
        }
    }

    /// Gives a lease up, unless other started resources of the group still need it.
    fn await_release(&mut self, clock: Clock, name: &str, group: GroupId, out: &mut Vec<Output>) {
        let last_user = match self.leases.get_mut(&group) {
            Some(held) => {
                held.users.remove(name);
                held.users.is_empty()
            }
            None => false,
        };
        if last_user {
            out.push(Output::Release(group));
        } else {
            self.call_agent(clock, name, out);
        }
    }

    fn call_agent(&mut self, clock: Clock, name: &str, out: &mut Vec<Output>) {
        let run = RunId(self.next_run);
        let Some(running) = self.resources.get_mut(name).and_then(|r| r.running.as_mut()) else {
            return;
        };
        self.next_run += 1;
        running.stage = Stage::Agent(run);
        running.began = clock.now;
        let (operation, lease) = (running.job.operation.clone(), running.job.lease);
        if operation.action == "start"
            && let Some(resource) = self.resources.get_mut(name)
        {
            resource.tried = Some(operation.clone());
        }
        out.push(Output::RunAgent { run, operation, lease });
    }

    fn on_finished(&mut self, clock: Clock, run: RunId, outcome: Outcome, out: &mut Vec<Output>) {
        let found = self.resources.iter().find_map(|(name, resource)| {
            resource
                .running
                .as_ref()
                .is_some_and(|r| r.stage == Stage::Agent(run))
                .then(|| name.clone())
        });
        if let Some(name) = found {
            self.finish(clock, &name, outcome, out);
        }
    }

    /// Ends the running job of a resource and goes on with the next.
    fn finish(&mut self, clock: Clock, name: &str, outcome: Outcome, out: &mut Vec<Output>) {
        let Some(resource) = self.resources.get_mut(name) else {
            return;
        };
        let Some(running) = resource.running.take() else {
            return;
        };
        let job = running.job;
        if matches!(running.stage, Stage::Agent(_)) {
            self.measured.add(&job.operation, clock.now.since(running.began), &outcome);
        }
        let ok = outcome.status == ExecutionStatus::Done && outcome.code == OcfCode::OK;
        match job.operation.action.as_str() {
            "start" if ok => resource.started = Some(job.operation.clone()),
            "stop" if ok => {
                resource.started = None;
                resource.tried = None;
                resource.lease = None;
            }
            _ => {}
        }
        if job.operation.interval.is_zero() {
            self.record(clock, &job, Some((outcome, running.began)), out);
        } else {
            self.on_recurring_result(clock, name, &job, running.began, outcome, out);
        }
        self.advance(clock, name, out);
    }

    fn on_recurring_result(
        &mut self,
        clock: Clock,
        name: &str,
        job: &Job,
        began: Instant,
        outcome: Outcome,
        out: &mut Vec<Output>,
    ) {
        let Some(resource) = self.resources.get_mut(name) else {
            return;
        };
        let key = job.operation.key();
        // Ordered now for the first time: it goes on from here at its own pace.
        if job.order.is_some() {
            resource.recurring.insert(
                key.clone(),
                Recurring {
                    operation: job.operation.clone(),
                    due: job.arrived + job.operation.interval,
                    last: None,
                },
            );
        }
        let Some(recurring) = resource.recurring.get_mut(&key) else {
            return;
        };
        // The grid is kept: a late call does not shift the later ones, missed ones are dropped.
        while recurring.due <= clock.now {
            recurring.due += job.operation.interval;
        }
        let changed = recurring.last.as_ref().is_none_or(|(last, _)| *last != outcome);
        if changed {
            recurring.last = Some((outcome.clone(), clock.wall));
        }
        if changed || job.order.is_some() {
            self.record(clock, job, Some((outcome, began)), out);
        }
    }

    fn record(
        &mut self,
        clock: Clock,
        job: &Job,
        ended: Option<(Outcome, Instant)>,
        out: &mut Vec<Output>,
    ) {
        let call = self.next_call;
        self.next_call += 1;
        // A probe is ordered without a lease; whether one is held is part of what it finds.
        let runs_under = self.resources.get(&job.operation.resource).and_then(|r| r.lease);
        let held = |lease: &Lease| {
            self.leases.get(&lease.group).is_some_and(|h| h.held && h.epoch == lease.epoch)
        };
        let lease = job.lease.or_else(|| runs_under.filter(held));
        let (outcome, began) = match ended {
            Some((outcome, began)) => (Some(outcome), began),
            None => (None, clock.now),
        };
        out.push(Output::Recorded(Box::new(OperationRecord {
            node: self.node,
            operation: job.operation.clone(),
            outcome,
            call,
            last_change: clock.wall,
            took: clock.now.since(began),
            queued: began.since(job.arrived),
            order: job.order,
            lease,
        })));
    }

    fn on_gained(&mut self, clock: Clock, lease: Lease, out: &mut Vec<Output>) {
        let Some(held) = self.leases.get_mut(&lease.group) else {
            // Nobody here needs it any more: give it back rather than keep it from others.
            out.push(Output::Release(lease.group));
            return;
        };
        if held.epoch != lease.epoch {
            return;
        }
        held.held = true;
        let users: Vec<String> = held.users.iter().cloned().collect();
        for name in users {
            let Some(resource) = self.resources.get_mut(&name) else { continue };
            let running = resource.running.as_ref();
            if running.is_some_and(|r| r.stage == Stage::AwaitLease(lease)) {
                self.call_agent(clock, &name, out);
                continue;
            }
            // It had lapsed: what expires behind the lease may be gone, and others were told
            // otherwise. Starting it anew mends both.
            if let Some(operation) = resource.started.clone() {
                let job = Job { operation, order: None, lease: Some(lease), arrived: clock.now };
                resource.queue.push_front(job);
                self.advance(clock, &name, out);
            }
        }
    }

    fn on_lost(&mut self, clock: Clock, lease: Lease, superseded: bool, out: &mut Vec<Output>) {
        let Some(held) = self.leases.get_mut(&lease.group) else {
            return;
        };
        if held.epoch != lease.epoch {
            return;
        }
        held.held = false;
        if !superseded {
            return;
        }
        let users = self.leases.remove(&lease.group).map(|held| held.users).unwrap_or_default();
        for name in users {
            self.give_up(clock, &name, lease, out);
        }
    }

    /// The resource's lease went to another node for good: whatever is left of it here must go.
    fn give_up(&mut self, clock: Clock, name: &str, lease: Lease, out: &mut Vec<Output>) {
        let Some(resource) = self.resources.get_mut(name) else {
            return;
        };
        // What it touched stays under the gate of that lease, closed now, until it is stopped.
        if resource.started.is_none() && resource.tried.is_none() {
            resource.lease = None;
        }
        let waiting_start =
            resource.running.as_ref().is_some_and(|r| matches!(r.stage, Stage::AwaitLease(_)));
        if waiting_start {
            let outcome = Outcome {
                status: ExecutionStatus::Cancelled,
                code: OcfCode::ERROR,
                reason: format!("lease epoch {} was granted to another node", lease.epoch),
            };
            self.finish(clock, name, outcome, out);
            return;
        }
        // A start that is under way is undone once it has ended.
        let Some(started) = resource.started.clone().or_else(|| resource.tried.clone()) else {
            return;
        };
        let stop = Operation { action: "stop".to_owned(), interval: Duration::ZERO, ..started };
        resource.queue.push_front(Job {
            operation: stop,
            order: None,
            lease: None,
            arrived: clock.now,
        });
        self.advance(clock, name, out);
    }

    fn on_released(&mut self, clock: Clock, group: GroupId, out: &mut Vec<Output>) {
        if self.leases.get(&group).is_some_and(|held| held.users.is_empty()) {
            self.leases.remove(&group);
        }
        let waiting: Vec<String> = self
            .resources
            .iter()
            .filter(|(_, resource)| {
                resource.running.as_ref().is_some_and(|r| r.stage == Stage::AwaitRelease(group))
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in waiting {
            self.call_agent(clock, &name, out);
        }
    }

    fn on_tick(&mut self, clock: Clock, out: &mut Vec<Output>) {
        let due = self.resources.iter().filter(|(_, resource)| resource.is_due(clock.now));
        let names: Vec<String> = due.map(|(name, _)| name.clone()).collect();
        for name in names {
            let late = self
                .resources
                .get(&name)
                .and_then(|r| r.running.as_ref())
                .filter(|running| running.deadline <= clock.now)
                .map(|running| running.stage.clone());
            if let Some(stage) = late {
                self.on_timeout(clock, &name, &stage, out);
            }
            self.advance(clock, &name, out);
        }
    }

    fn on_timeout(&mut self, clock: Clock, name: &str, stage: &Stage, out: &mut Vec<Output>) {
        let (status, reason) = match stage {
            // No fault of the resource: it never came to be asked.
            Stage::AwaitLease(lease) => {
                // Ordered again while it ran and its lease had lapsed: it runs still, and asks on.
                let runs = self.resources.get(name).is_some_and(|r| r.started.is_some());
                if !runs {
                    self.drop_user(name, lease.group, out);
                }
                let reason = "no majority of the voters promised the lease within the timeout";
                (ExecutionStatus::Cancelled, reason)
            }
            Stage::AwaitRelease(_) => {
                let reason = "the kernel did not acknowledge the closed gate within the timeout";
                (ExecutionStatus::Timeout, reason)
            }
            Stage::Agent(run) => {
                out.push(Output::AbortAgent(*run));
                (ExecutionStatus::Timeout, "the agent did not answer within the timeout")
            }
        };
        let outcome = Outcome { status, code: OcfCode::ERROR, reason: reason.to_owned() };
        self.finish(clock, name, outcome, out);
    }

    fn drop_user(&mut self, name: &str, group: GroupId, out: &mut Vec<Output>) {
        if let Some(resource) = self.resources.get_mut(name) {
            resource.lease = None;
        }
        let Some(held) = self.leases.get_mut(&group) else {
            return;
        };
        held.users.remove(name);
        if held.users.is_empty() {
            self.leases.remove(&group);
            out.push(Output::Release(group));
        }
    }
}

#[derive(Clone, Copy)]
struct Clock {
    now: Instant,
    wall: WallTime,
}

/// Moves recurring operations that are due on by whole intervals.
fn postpone_recurring(resource: &mut Resource, now: Instant) {
    for recurring in resource.recurring.values_mut() {
        while recurring.due <= now {
            recurring.due += recurring.operation.interval;
        }
    }
}

/// The recurring operation that is due first, if any is.
fn due_recurring(resource: &Resource, now: Instant) -> Option<Job> {
    let recurring = resource.recurring.values().filter(|r| r.due <= now).min_by_key(|r| r.due)?;
    Some(Job {
        operation: recurring.operation.clone(),
        order: None,
        lease: resource.lease,
        arrived: recurring.due,
    })
}
