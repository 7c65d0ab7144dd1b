//! Leases that resources run under: asked for before a start, given up with the last of their users.

use std::time::Duration;

use haven_types::GroupId;
use haven_types::operation::{ExecutionStatus, Lease, OcfCode, Operation, Outcome};

use super::{Clock, Executor, ROOM_WITHIN, timeout_of};
use crate::port::Output;
use crate::resource::{HeldLease, Job, Stage};

impl Executor {
    pub(super) fn await_lease(
        &mut self,
        clock: Clock,
        name: &str,
        lease: Lease,
        out: &mut Vec<Output>,
    ) {
        let held = self.leases.entry(lease.group).or_default();
        held.users.insert(name.to_owned());
        if held.epoch < lease.epoch {
            held.epoch = lease.epoch;
            held.held = false;
        }
        if held.held {
            self.call_agent(clock, name, out);
        } else {
            self.crowded.remove(&lease.group);
            out.push(Output::Claim(lease));
        }
    }

    /// Gives a lease up, unless other started resources of the group still need it.
    pub(super) fn await_release(
        &mut self,
        clock: Clock,
        name: &str,
        group: GroupId,
        out: &mut Vec<Output>,
    ) {
        let last_user = match self.leases.get_mut(&group) {
            Some(held) => {
                held.users.remove(name);
                // Whoever starts in the group from now on asks anew: the gate is about to close.
                held.held &= !held.is_released();
                held.is_released()
            }
            None => false,
        };
        if last_user {
            out.push(Output::Release(group));
        } else {
            self.call_agent(clock, name, out);
        }
    }

    pub(super) fn on_gained(&mut self, clock: Clock, lease: Lease, out: &mut Vec<Output>) {
        let known = self.leases.get_mut(&lease.group);
        let Some(held) = known.filter(|held| !held.is_released()) else {
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

    pub(super) fn on_lost(
        &mut self,
        clock: Clock,
        lease: Lease,
        superseded: bool,
        out: &mut Vec<Output>,
    ) {
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
    pub(super) fn give_up(
        &mut self,
        clock: Clock,
        name: &str,
        lease: Lease,
        out: &mut Vec<Output>,
    ) {
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

    pub(super) fn on_released(&mut self, clock: Clock, group: GroupId, out: &mut Vec<Output>) {
        match self.leases.get_mut(&group) {
            Some(held) if held.is_released() => {
                self.leases.remove(&group);
            }
            // They came after the release and have asked for a lease of their own.
            Some(held) => held.held = false,
            None => {}
        }
        let asked = self.releasing.remove(&group).unwrap_or_default();
        let waits = |name: &String| {
            let running = self.resources.get(name).and_then(|r| r.running.as_ref());
            running.is_some_and(|running| running.stage == Stage::AwaitRelease(group))
        };
        let waiting: Vec<String> = asked.into_iter().filter(waits).collect();
        for name in waiting {
            self.call_agent(clock, &name, out);
        }
        self.claim_again(out);
    }

    /// There is room for one more lease: whoever waits for it asks anew, and may wait for the voters as long as any.
    fn claim_again(&mut self, out: &mut Vec<Output>) {
        for group in std::mem::take(&mut self.crowded).into_keys() {
            let waiting = self.awaiting_lease(group);
            for name in &waiting {
                if let Some(running) = self.resources.get_mut(name).and_then(|r| r.running.as_mut())
                {
                    running.deadline = running.began + timeout_of(&running.job.operation);
                }
                self.note_due(name);
            }
            if let Some(held) = self.leases.get(&group)
                && !waiting.is_empty()
            {
                out.push(Output::Claim(Lease { group, epoch: held.epoch }));
            }
        }
    }

    /// Resources whose start waits for the lease of the group.
    fn awaiting_lease(&self, group: GroupId) -> Vec<String> {
        let users = self.leases.get(&group).into_iter().flat_map(|held| &held.users);
        let waits = |name: &&String| {
            let running = self.resources.get(*name).and_then(|r| r.running.as_ref());
            running.is_some_and(|running| matches!(running.stage, Stage::AwaitLease(_)))
        };
        users.filter(waits).cloned().collect()
    }

    /// Starts that wait for a lease of the group wait for room for a while.
    pub(super) fn on_claim_refused(&mut self, clock: Clock, group: GroupId, reason: String) {
        let waiting = self.awaiting_lease(group);
        for name in &waiting {
            if let Some(running) = self.resources.get_mut(name).and_then(|r| r.running.as_mut()) {
                running.deadline = running.deadline.min(clock.now + ROOM_WITHIN);
            }
            self.note_due(name);
        }
        if !waiting.is_empty() {
            self.crowded.insert(group, reason);
        }
    }

    /// Starts that wait for a lease of the group fail: trying again here would end like this.
    pub(super) fn refuse_starts(
        &mut self,
        clock: Clock,
        group: GroupId,
        reason: &str,
        out: &mut Vec<Output>,
    ) {
        for name in self.awaiting_lease(group) {
            let Some(resource) = self.resources.get_mut(&name) else { continue };
            if resource.started.is_none() {
                resource.lease = None;
            }
            if let Some(held) = self.leases.get_mut(&group) {
                held.users.remove(&name);
            }
            let outcome = Outcome {
                status: ExecutionStatus::Error,
                code: OcfCode::ERROR,
                reason: reason.to_owned(),
            };
            self.finish(clock, &name, outcome, out);
        }
        if self.leases.get(&group).is_some_and(HeldLease::is_released) {
            self.leases.remove(&group);
        }
    }

    pub(super) fn drop_user(&mut self, name: &str, group: GroupId, out: &mut Vec<Output>) {
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
