//! Recurring operations.

use crate::world::action::af;
use crate::world::{A, N, R, Role, Side, World, ar};

/// A recurring operation that is configured and makes sense.
struct Recurring {
    name: String,
    interval: u64,
    role: Role,
}

impl World<'_> {
    pub(super) fn create_recurring_actions(&mut self, r: R) {
        if self[r].blocked || self[r].maintenance {
            return;
        }
        let mut start = None;
        if let Some(n) = self[r].assigned
            && !self[n].maintenance
            && (self[r].next_role != Role::Stopped || !self[r].managed)
        {
            start = Some(self.start_action(r, n));
        }
        for i in 0..self[r].config.ops.len() {
            let Some(op) = self.recurring(r, i) else { continue };
            if let Some(s) = start {
                self.recurring_for_active(r, s, &op);
            }
            self.recurring_for_inactive(r, &op);
        }
    }

    fn recurring(&self, r: R, i: usize) -> Option<Recurring> {
        const ONCE: [&str; 7] =
            ["stop", "start", "demote", "promote", "reload-agent", "migrate_to", "migrate_from"];
        let ops = &self[r].config.ops;
        let o = &ops[i];
        if o.interval_ms == 0 || o.id.is_empty() || ONCE.contains(&o.name.as_str()) {
            return None;
        }
        let same = |x: &&crate::world::resource::OpConfig| {
            x.name == o.name && x.interval_ms == o.interval_ms && !x.id.is_empty()
        };
        if ops.iter().filter(same).count() > 1 {
            return None;
        }
        let role = match o.attr("role") {
            None => Role::Unknown,
            Some(t) => match Role::parse(t) {
                Role::Unknown => return None,
                role @ Role::Stopped
                | role @ Role::Started
                | role @ Role::Unpromoted
                | role @ Role::Promoted => role,
            },
        };
        self.op_config(r, &o.name, o.interval_ms, false)?;
        Some(Recurring { name: o.name.clone(), interval: o.interval_ms, role })
    }

    fn recurring_for_active(&mut self, r: R, start: A, op: &Recurring) {
        if op.role == Role::Stopped {
            return;
        }
        let n = self[r].assigned;
        let mut optional = false;
        if let Some(n) = n
            && self[start].is(af::OPTIONAL)
        {
            let running = self.recurring_exactly(r, &op.name, op.interval, n);
            optional = !running.is_empty() && !running.iter().any(|a| self[*a].is(af::RESCHEDULE));
        }
        let next = self[r].next_role;
        let matches =
            if op.role == Role::Unknown { next != Role::Promoted } else { next == op.role };
        if !matches {
            if optional && let Some(n) = n {
                self.cancel_before_change(r, op, n);
            }
            return;
        }
        let name: crate::world::action::Name = op.name.clone().into();
        let mon = self.custom_action(Some(r), name.clone(), op.interval, name, n, optional);
        let blocked =
            !self[start].is(af::RUNNABLE) || n.is_none_or(|n| !self[n].online || self[n].unclean);
        if blocked {
            self[mon].clear(af::RUNNABLE);
        }
        if next == Role::Promoted {
            self.expect_result(mon, 8);
        }
        if n.is_some() && !self[r].managed {
            return;
        }
        let up = ar::FIRST_IMPLIES_THEN | ar::UNRUNNABLE_FIRST_BLOCKS;
        self.new_ordering(Side::Task(r, "start"), Side::Action(mon), up);
        self.new_ordering(Side::Task(r, "reload-agent"), Side::Action(mon), up);
        let after = ar::ORDERED | ar::UNRUNNABLE_FIRST_BLOCKS;
        if next == Role::Promoted {
            self.new_ordering(Side::Task(r, "promote"), Side::ActionOf(r, mon), after);
        } else if self[r].role == Role::Promoted {
            self.new_ordering(Side::Task(r, "demote"), Side::ActionOf(r, mon), after);
        }
    }

    /// Ends an operation that the coming role does without.
    fn cancel_before_change(&mut self, r: R, op: &Recurring, n: N) {
        let cancel = self.cancel_action(r, &op.name, op.interval, n);
        let next = self[r].next_role;
        let after = match self[r].role {
            Role::Unpromoted | Role::Started => match next {
                Role::Promoted => Some("promote"),
                Role::Stopped => Some("stop"),
                Role::Unknown | Role::Started | Role::Unpromoted => None,
            },
            Role::Promoted => Some("demote"),
            Role::Unknown | Role::Stopped => None,
        };
        if let Some(task) = after {
            self.new_ordering(
                Side::ActionOf(r, cancel),
                Side::Task(r, task),
                ar::UNRUNNABLE_FIRST_BLOCKS,
            );
        }
    }

    fn recurring_for_inactive(&mut self, r: R, op: &Recurring) {
        if op.role != Role::Stopped || !self[r].unique {
            return;
        }
        let here = self[r].assigned;
        let name: crate::world::action::Name = op.name.clone().into();
        for n in self.node_order.clone() {
            if here == Some(n) {
                self.cancel_if_running(r, n, op);
                continue;
            }
            let optional = !self.recurring_exactly(r, &op.name, op.interval, n).is_empty();
            let mon = self.custom_action(
                Some(r),
                name.clone(),
                op.interval,
                name.clone(),
                Some(n),
                optional,
            );
            self.expect_result(mon, 7);
            if self[r].managed {
                for probe in self.actions_of(r, "monitor", Some(n)) {
                    self.relate(probe, mon, ar::UNRUNNABLE_FIRST_BLOCKS);
                }
            }
            self.order_after_stops(r, n, mon);
            if !self[n].online || self[n].unclean {
                self[mon].clear(af::RUNNABLE);
            }
        }
    }

    fn cancel_if_running(&mut self, r: R, n: N, op: &Recurring) {
        if self.recurring_exactly(r, &op.name, op.interval, n).is_empty() {
            return;
        }
        let cancel = self.cancel_action(r, &op.name, op.interval, n);
        if matches!(self[r].next_role, Role::Started | Role::Unpromoted) {
            self.new_ordering(
                Side::ActionOf(r, cancel),
                Side::Task(r, "start"),
                ar::UNRUNNABLE_FIRST_BLOCKS,
            );
        }
    }

    fn order_after_stops(&mut self, r: R, n: N, mon: A) {
        for stop in self.actions_exactly(r, "stop", n) {
            let managed = self[r].managed;
            if !self[stop].is(af::OPTIONAL) && !self[mon].is(af::OPTIONAL) && !managed {
                self[mon].set(af::OPTIONAL);
            }
            if !self[stop].is(af::RUNNABLE) {
                self[mon].clear(af::RUNNABLE);
            }
            if managed {
                let up = ar::FIRST_IMPLIES_THEN | ar::UNRUNNABLE_FIRST_BLOCKS;
                self.new_ordering(Side::ActionOf(r, stop), Side::Action(mon), up);
            }
        }
    }
}
