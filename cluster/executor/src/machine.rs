//! The executor's machine.

mod leases;
mod state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use haven_base::{Instant, WallTime};
use haven_types::operation::{
    ExecutionStatus, Lease, OcfCode, Operation, OperationRecord, Order, Outcome,
};
use haven_types::{GroupId, NodeId, Term};
use serde::{Deserialize, Serialize};

use crate::port::{Input, Output, RunId};
use crate::resource::{
    HeldLease, Job, Recurring, Resource, Running, Stage, due_recurring, postpone_recurring,
};
use crate::run_times::Measured;

/// Orders waiting for one resource beyond which further ones are refused: a coordinator sends the
/// next order of a resource only after the last was answered, so more is a mistake of its.
pub const MAX_QUEUED_PER_RESOURCE: usize = 16;

/// Used where an order names no timeout (the field's default action timeout).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// For how long a start waits for room where its node holds as many leases as it may: what stops there at the same
/// time gives its lease up first, and may be ordered a moment later.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// The field's name of the list of parameters of which a change asks for a restart; kept among the meta
/// attributes of the recorded start.
pub const FORCE_RESTART: &str = "op_force_restart";

/// For how long a call counts as one that keeps a processor busy: what takes longer, waits for
/// something itself, and nobody must wait for it.
pub const BUSY_FOR: Duration = Duration::from_millis(250);

/// The executor of one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Executor {
    node: NodeId,
    term: Term,
    resources: BTreeMap<String, Resource>,
    leases: BTreeMap<GroupId, HeldLease>,
    next_run: u64,
    next_call: u64,
    /// When time alone has something to do with which resource.
    #[serde(skip)]
    due: BTreeSet<(Instant, String)>,
    /// Resources whose stop waits for the release of each group, and some that waited once.
    #[serde(skip)]
    releasing: BTreeMap<GroupId, BTreeSet<String>>,
    /// Groups for whose leases the node has no room, and what to say of it: asked for again with the next release.
    #[serde(skip)]
    crowded: BTreeMap<GroupId, String>,
    /// Whose call each is.
    #[serde(skip)]
    runs: BTreeMap<RunId, String>,
    /// Resources that are started.
    #[serde(skip)]
    started: BTreeSet<String>,
    /// Calls that keep a processor busy, each until it ends or this instant comes: the earlier the
    /// call, the earlier the instant.
    #[serde(skip)]
    busy: BTreeMap<RunId, Instant>,
    /// Resources whose next call waits until fewer are.
    #[serde(skip)]
    paced: VecDeque<String>,
    #[serde(skip)]
    pace: usize,
    /// See [`Executor::touched_version`].
    #[serde(skip)]
    touched: u64,
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
            due: BTreeSet::new(),
            releasing: BTreeMap::new(),
            crowded: BTreeMap::new(),
            runs: BTreeMap::new(),
            started: BTreeSet::new(),
            busy: BTreeMap::new(),
            paced: VecDeque::new(),
            pace: 0,
            touched: 0,
            measured: Measured::default(),
        }
    }

    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let due = self.due.first().map(|(at, _)| *at);
        let turn = self.busy.values().next().filter(|_| !self.paced.is_empty()).copied();
        [due, turn].into_iter().flatten().min()
    }

    /// Keeps the order of what is due after a resource has changed.
    fn note_due(&mut self, name: &str) {
        let Some(resource) = self.resources.get_mut(name) else { return };
        let due = resource.due();
        if resource.due == due {
            return;
        }
        if let Some(before) = std::mem::replace(&mut resource.due, due) {
            self.due.remove(&(before, name.to_owned()));
        }
        if let Some(at) = due {
            self.due.insert((at, name.to_owned()));
        }
    }

    /// Advances by one input.
    pub fn step(&mut self, now: Instant, wall: WallTime, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        let clock = Clock { now, wall };
        match input {
            Input::Order(order) => self.on_order(clock, order, &mut out),
            Input::Stop(operation) => self.on_own_stop(clock, operation, &mut out),
            Input::Term(term) => self.term = self.term.max(term),
            Input::AgentFinished { run, outcome } => {
                self.on_finished(clock, run, outcome, &mut out)
            }
            Input::Restarting { run, parameters } => self.on_restarting(run, &parameters),
            Input::LeaseGained(lease) => self.on_gained(clock, lease, &mut out),
            Input::LeaseLost { lease, superseded } => {
                self.on_lost(clock, lease, superseded, &mut out);
            }
            Input::LeaseReleased(group) => self.on_released(clock, group, &mut out),
            Input::ClaimRefused { group, reason } => {
                self.on_claim_refused(clock, group, reason);
            }
            Input::Pace(limit) => self.pace = limit,
            Input::Tick => self.on_tick(clock, &mut out),
        }
        self.give_turns(clock, &mut out);
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
            self.resources.entry(name.clone()).or_default().recurring.remove(&key);
            self.note_due(&name);
            // So that whoever keeps the history knows that it no longer recurs.
            let done =
                Outcome { status: ExecutionStatus::Cancelled, ..Outcome::done(OcfCode::OK, "") };
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
        if order.operation.action == "stop" && resource.own_stop_answers(order.id) {
            return;
        }
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

    fn on_own_stop(&mut self, clock: Clock, operation: Operation, out: &mut Vec<Output>) {
        let name = operation.resource.clone();
        let resource = self.resources.entry(name.clone()).or_default();
        if resource.has(&operation.action) {
            return;
        }
        let job = Job { operation, order: None, lease: None, arrived: clock.now };
        resource.queue.push_back(job);
        self.advance(clock, &name, out);
    }

    /// Starts the next job of a resource if it is idle and may go.
    fn advance(&mut self, clock: Clock, name: &str, out: &mut Vec<Output>) {
        if !self.must_wait(clock.now, name) {
            self.begin_next(clock, name, out);
        }
        self.note_due(name);
    }

    /// Whether the next call of a resource would be one too many at once; then it gets a turn later.
    fn must_wait(&mut self, now: Instant, name: &str) -> bool {
        let free = self.pace == 0 || self.busy.len() < self.pace;
        let Some(resource) = self.resources.get_mut(name) else { return false };
        if resource.paced {
            return true;
        }
        let outside = resource.next_agent(now).is_some_and(|agent| !agent.is_built_in());
        if free || resource.running.is_some() || !outside {
            return false;
        }
        resource.paced = true;
        self.paced.push_back(name.to_owned());
        true
    }

    /// Lets as many waiting resources go as there are places, in the order in which they came.
    fn give_turns(&mut self, clock: Clock, out: &mut Vec<Output>) {
        while self.busy.first_key_value().is_some_and(|(_, until)| *until <= clock.now) {
            self.busy.pop_first();
        }
        while (self.pace == 0 || self.busy.len() < self.pace)
            && let Some(name) = self.paced.pop_front()
        {
            if let Some(resource) = self.resources.get_mut(&name) {
                resource.paced = false;
            }
            self.advance(clock, &name, out);
        }
    }

    fn begin_next(&mut self, clock: Clock, name: &str, out: &mut Vec<Output>) {
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
        if matches!(job.operation.action.as_str(), "stop" | "demote") {
            resource.recurring.clear();
        }
        let stage = match job.operation.action.as_str() {
            "start" => job.lease.map(Stage::AwaitLease),
            "stop" => resource.lease.map(|lease| Stage::AwaitRelease(lease.group)),
            _ => None,
        };
        let began = clock.now;
        let deadline = clock.now + timeout_of(&job.operation);
        match stage {
            Some(Stage::AwaitLease(lease)) => {
                resource.lease = Some(lease);
                self.touched += 1;
                resource.running =
                    Some(Running { job, stage: Stage::AwaitLease(lease), began, deadline });
                self.await_lease(clock, name, lease, out);
            }
            Some(Stage::AwaitRelease(group)) => {
                resource.running =
                    Some(Running { job, stage: Stage::AwaitRelease(group), began, deadline });
                self.releasing.entry(group).or_default().insert(name.to_owned());
                self.await_release(clock, name, group, out);
            }
            Some(Stage::Agent(_)) | None => {
                resource.running =
                    Some(Running { job, stage: Stage::Agent(RunId(0)), began, deadline });
                self.call_agent(clock, name, out);
            }
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
            let before = std::mem::replace(&mut resource.tried_under, lease);
            self.touched += u64::from(before.or(lease).is_some());
        }
        self.runs.insert(run, name.to_owned());
        if !operation.agent.is_built_in() {
            self.busy.insert(run, clock.now + BUSY_FOR);
        }
        out.push(Output::RunAgent { run, operation, lease });
    }

    fn on_finished(&mut self, clock: Clock, run: RunId, outcome: Outcome, out: &mut Vec<Output>) {
        // An answer after the timeout is nobody's any more.
        if let Some(name) = self.runs.get(&run).cloned() {
            self.finish(clock, &name, outcome, out);
        }
    }

    /// Kept with the record of the start, as the field does.
    fn on_restarting(&mut self, run: RunId, parameters: &[String]) {
        let Some(name) = self.runs.get(&run) else { return };
        if let Some(running) = self.resources.get_mut(name).and_then(|r| r.running.as_mut()) {
            let list = parameters.join(" ");
            running.job.operation.meta.insert(FORCE_RESTART.to_owned(), list);
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
        let mut job = running.job;
        if let Stage::Agent(run) = running.stage {
            self.runs.remove(&run);
            self.busy.remove(&run);
            self.measured.add(&job.operation, clock.now.since(running.began), &outcome);
        }
        let ok = outcome.status == ExecutionStatus::Done && outcome.code == OcfCode::OK;
        if job.operation.action == "reload-agent" {
            // It runs as if it had been started so; where that failed, something is wrong with it.
            job.operation.action = if ok { "start" } else { "monitor" }.to_owned();
        }
        let leased = job.lease.or(resource.tried_under).is_some();
        let moves = matches!(job.operation.action.as_str(), "start" | "stop");
        self.touched += u64::from(leased && moves);
        match job.operation.action.as_str() {
            "start" if ok => {
                resource.started = Some(job.operation.clone());
                resource.tried.clone_from(&resource.started);
                self.started.insert(name.to_owned());
            }
            "stop" if ok => {
                self.started.remove(name);
                resource.started = None;
                resource.tried = None;
                resource.tried_under = None;
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
            let known = self.leases.get(&lease.group);
            known.is_some_and(|h| (h.held || h.is_released()) && h.epoch == lease.epoch)
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

    fn on_tick(&mut self, clock: Clock, out: &mut Vec<Output>) {
        let due = self.due.iter().take_while(|(at, _)| *at <= clock.now);
        let names: BTreeSet<String> = due.map(|(_, name)| name.clone()).collect();
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
                if let Some(reason) = self.crowded.remove(&lease.group) {
                    return self.refuse_starts(clock, lease.group, &reason, out);
                }
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
}

fn timeout_of(operation: &Operation) -> Duration {
    if operation.timeout.is_zero() { DEFAULT_TIMEOUT } else { operation.timeout }
}

#[derive(Clone, Copy)]
struct Clock {
    now: Instant,
    wall: WallTime,
}
