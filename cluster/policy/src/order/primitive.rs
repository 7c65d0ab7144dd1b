//! From role and node now to role and node then.

use crate::world::action::af;
use crate::world::resource::MultiplyActive;
use crate::world::{N, R, Role, World, ar, values};

/// One step between two roles.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Start,
    Stop,
    Promote,
    Demote,
}

/// The role to go through next on the way from one to another.
fn next_role(from: Role, to: Role) -> Role {
    use Role::{Promoted, Started, Stopped, Unknown, Unpromoted};
    match (from, to) {
        (Unknown, Unknown) => Unknown,
        (Unknown, _) | (Stopped | Started | Unpromoted | Promoted, Unknown) => Stopped,
        (Stopped, Stopped) => Stopped,
        (Stopped, Started) => Started,
        (Stopped, Unpromoted | Promoted) => Unpromoted,
        (Started, to) => to,
        (Unpromoted, Stopped | Started) => Stopped,
        (Unpromoted, to) => to,
        (Promoted, Promoted) => Promoted,
        (Promoted, Stopped | Started | Unpromoted) => Unpromoted,
    }
}

/// What brings an instance from one role to the next.
fn step(from: Role, to: Role) -> Option<Step> {
    use Role::{Promoted, Started, Stopped, Unknown, Unpromoted};
    match (from, to) {
        (Unknown | Started, Stopped) | (Unpromoted, Stopped | Started) => Some(Step::Stop),
        (Stopped, Started | Unpromoted) => Some(Step::Start),
        (Started | Unpromoted, Promoted) => Some(Step::Promote),
        (Promoted, Stopped | Started | Unpromoted) => Some(Step::Demote),
        (_, Unknown)
        | (Unknown, _)
        | (Stopped, Stopped | Promoted)
        | (Started, Started | Unpromoted)
        | (Unpromoted, Unpromoted)
        | (Promoted, Promoted) => None,
    }
}

impl World<'_> {
    pub(super) fn create_primitive_actions(&mut self, r: R) {
        if self[r].next_role == Role::Unknown {
            let role = if self[r].assigned.is_none() { Role::Stopped } else { Role::Started };
            self.set_next_role(r, role);
        }
        let (current, all, clean) = self.active_node(r);
        for n in self[r].dangling_migrations.clone() {
            let stop = self.stop_action(r, n, false);
            self[stop].set(af::MIGRATION_ABORT);
        }
        let (mut need_stop, mut moving, mut migrate) = (false, false, false);
        if let (Some(from), Some(to)) = (current, self[r].assigned)
            && from != to
            && self[r].next_role >= Role::Started
        {
            moving = true;
            migrate = self.can_migrate(r, current);
            need_stop = true;
        }
        let (source, target) = (self[r].migration_source, self[r].migration_target);
        let mut multiply_active = false;
        if source.is_some()
            && target.is_some()
            && migrate
            && all == 2
            && current == source
            && self[r].assigned == target
        {
            // The migration goes on where it was interrupted.
        } else if source.is_some() || target.is_some() {
            need_stop = true;
            self[r].migration_source = None;
            self[r].migration_target = None;
            migrate = false;
        } else {
            multiply_active = if self[r].needs_fencing { all > 1 } else { clean > 1 };
        }
        if multiply_active {
            match self[r].multiply_active {
                MultiplyActive::Restart => need_stop = true,
                MultiplyActive::Unexpected => {
                    need_stop = true;
                    self[r].stop_unexpected = true;
                }
                MultiplyActive::Stop | MultiplyActive::Block => {}
            }
        } else {
            self[r].stop_unexpected = false;
        }
        if self[r].start_pending {
            self.create_pending_start(r);
        }
        let mut need_promote = false;
        if moving {
        } else if self[r].failed {
            if self[r].stop_if_failed {
                need_stop = true;
            } else {
                need_promote = self[r].next_role == Role::Promoted;
            }
        } else if self[r].blocked {
            need_stop = true;
        } else if self[r].role > Role::Started
            && current.is_some()
            && let Some(n) = self[r].assigned
        {
            let start = self.start_action(r, n);
            need_stop |= !self[start].is(af::OPTIONAL);
        }
        self.schedule_restart(r, current, need_stop, need_promote);
        self.schedule_role_change(r);
        self.create_recurring_actions(r);
        if migrate && let Some(from) = current {
            self.create_migration(r, from);
        }
    }

    fn create_pending_start(&mut self, r: R) {
        // Without a node the start belongs nowhere, but it has to be there for what waits for it.
        let n = self[r].assigned;
        let start = self.custom_action(Some(r), "start".into(), 0, "start".into(), n, true);
        self[start].set(af::ALWAYS);
    }

    fn schedule_restart(&mut self, r: R, current: Option<N>, need_stop: bool, need_promote: bool) {
        self[r].restarting = true;
        let original = self[r].role;
        let mut role = original;
        while role != Role::Stopped {
            let next = next_role(role, Role::Stopped);
            let Some(s) = step(role, next) else { break };
            self.take_step(r, s, current, !need_stop);
            role = next;
        }
        while original <= self[r].next_role && role != original && !self[r].blocked {
            let next = next_role(role, original);
            let required = need_stop || (next == Role::Promoted && need_promote);
            let Some(s) = step(role, next) else { break };
            let n = self[r].assigned;
            self.take_step(r, s, n, !required);
            role = next;
        }
        self[r].restarting = false;
    }

    fn schedule_role_change(&mut self, r: R) {
        let mut role = self[r].role;
        while role != self[r].next_role {
            let next = next_role(role, self[r].next_role);
            let Some(s) = step(role, next) else { break };
            let n = self[r].assigned;
            self.take_step(r, s, n, false);
            role = next;
        }
    }

    fn take_step(&mut self, r: R, s: Step, n: Option<N>, optional: bool) {
        match (s, n) {
            (Step::Stop, _) => self.stop_everywhere(r, optional),
            (Step::Demote, _) => {
                for n in self[r].active.clone() {
                    if !self.is_expected(r, n) {
                        self.demote_action(r, n, optional);
                    }
                }
            }
            (Step::Start, Some(n)) => self.start_on(r, n, optional),
            (Step::Promote, Some(n)) => self.promote_on(r, n, optional),
            (Step::Start | Step::Promote, None) => {}
        }
    }

    /// The one of several nodes on which the resource may stay.
    fn is_expected(&self, r: R, n: N) -> bool {
        self[r].stop_unexpected
            && self[r].restarting
            && self[r].next_role > Role::Stopped
            && self[r].assigned == Some(n)
    }

    fn stop_everywhere(&mut self, r: R, optional: bool) {
        let mut optional = optional;
        for n in self[r].active.clone() {
            if self.is_expected(r, n) {
                continue;
            }
            if let Some(target) = self[r].migration_target {
                if n == target && self[r].assigned == Some(n) {
                    continue;
                }
                optional = false;
            }
            let stop = self.stop_action(r, n, optional);
            if self[r].assigned.is_none() {
                self[stop].set_reason("node availability", true);
            } else if self[r].restarting && self[r].stop_unexpected {
                self[stop].set_reason("being multiply active", true);
            }
            if !self[r].managed {
                self[stop].clear(af::RUNNABLE);
            }
            if self[r].needs_unfencing {
                let unfence = self.fence_op(n, Some("on"), true, None, false);
                self.relate(stop, unfence, ar::THEN_IMPLIES_FIRST);
            }
        }
    }

    fn start_on(&mut self, r: R, n: N, optional: bool) {
        let start = self.start_action(r, n);
        self.order_vs_unfencing(r, n, start, ar::FIRST_IMPLIES_THEN);
        if self[start].is(af::RUNNABLE) && !optional {
            self[start].clear(af::OPTIONAL);
        }
        if self.is_expected(r, n) {
            self[start].set(af::PSEUDO);
        }
    }

    fn promote_on(&mut self, r: R, n: N, optional: bool) {
        let starts = self.actions_exactly(r, "start", n);
        if starts.iter().all(|a| self[*a].is(af::RUNNABLE)) {
            let promote = self.promote_action(r, n, optional);
            if self.is_expected(r, n) {
                self[promote].set(af::PSEUDO);
            }
        } else {
            for a in self.actions_exactly(r, "promote", n) {
                self[a].clear(af::RUNNABLE);
            }
        }
    }

    /// Bookkeeping of a clone's or bundle's instances.
    pub(super) fn create_instance_actions(&mut self, r: R, instances: &[R]) {
        let mut state = InstanceState::default();
        for i in instances {
            self.create_actions(*i);
            self.check_instance(*i, &mut state);
        }
        let start = self.rsc_pseudo(r, "start", !state.starting, true);
        let started = self.rsc_pseudo(r, "running", !state.starting, false);
        self[started].priority = values::INFINITY;
        if state.active || state.starting {
            self[started].set(af::RUNNABLE);
        }
        let stop = self.rsc_pseudo(r, "stop", !state.stopping, true);
        let stopped = self.rsc_pseudo(r, "stopped", !state.stopping, true);
        self[stopped].priority = values::INFINITY;
        if !state.restarting {
            self[stop].set(af::MIGRATABLE);
        }
        if self.is_clone(r) {
            if self[r].notify_start.is_none() {
                self[r].notify_start = self.notify_pseudos(r, "start", Some(start), Some(started));
            }
            if self[r].notify_stop.is_none() {
                self[r].notify_stop = self.notify_pseudos(r, "stop", Some(stop), Some(stopped));
                let done = self[r].notify_stop.as_ref().and_then(|n| n.post_done);
                let pre = self[r].notify_start.as_ref().and_then(|n| n.pre);
                if let (Some(d), Some(p)) = (done, pre) {
                    self.relate(d, p, ar::ORDERED);
                }
            }
        }
    }

    fn check_instance(&self, i: R, state: &mut InstanceState) {
        if !self.is_primitive(i) {
            for c in &self[i].children {
                self.check_instance(*c, state);
            }
            return;
        }
        let (mut starting, mut stopping) = (false, false);
        for a in &self[i].actions {
            let action = &self[*a];
            if action.is(af::OPTIONAL) {
                continue;
            }
            if action.task == "start" {
                starting |= action.is(af::RUNNABLE);
            } else if action.task == "stop" {
                stopping |= action.is(af::PSEUDO) || action.is(af::RUNNABLE);
            }
        }
        state.active |= !self[i].active.is_empty();
        state.starting |= starting;
        state.stopping |= stopping;
        state.restarting |= starting && stopping;
    }
}

/// What the instances of a clone are going to do.
#[derive(Default)]
struct InstanceState {
    active: bool,
    starting: bool,
    stopping: bool,
    restarting: bool,
}
