//! What runs with a definition that is no longer the configured one.

use std::collections::BTreeSet;

use crate::unpack::digest::Verdict;
use crate::world::action::af;
use crate::world::{N, OpRef, ParamCheck, R, Side, World, ar};

impl World<'_> {
    pub(super) fn handle_config_changes(&mut self) {
        let top: BTreeSet<R> = self.top.iter().copied().collect();
        for n in self.node_order.clone() {
            if !self[n].maintenance && !self.can_run(n) {
                continue;
            }
            let name = self[n].name.clone();
            let states = self.status.nodes.iter().enumerate();
            let found: Vec<usize> =
                states.filter(|(_, s)| s.uname == name && s.has_history).map(|(i, _)| i).collect();
            let [i] = found[..] else { continue };
            for j in 0..self.status.nodes[i].resources.len() {
                let entry = self.history(i, j);
                if entry.operations.is_empty() {
                    continue;
                }
                for r in self.resources_known_as(&entry.id, &top) {
                    if self.is_primitive(r) {
                        self.check_history(r, n, i, j);
                    }
                }
            }
        }
        // Of those that are looked at again, when their hosts are known.
        for rsc in self.rscs.iter_mut().filter(|r| !r.is_remote_connection) {
            rsc.digests.clear();
        }
    }

    fn resources_known_as(&self, id: &str, top: &BTreeSet<R>) -> Vec<R> {
        let mut list: Vec<R> = self.rsc_ids.get(id).cloned().unwrap_or_default();
        for r in self.rsc_history.get(id).into_iter().flatten() {
            if !list.contains(r) {
                list.push(*r);
            }
        }
        list.retain(|r| self[*r].parent.is_some() || top.contains(r));
        list.sort_by_key(|r| std::cmp::Reverse(*r));
        list
    }

    fn check_history(&mut self, r: R, n: N, i: usize, j: usize) {
        if self[r].removed {
            if !self.is_anonymous_clone(self.top_of(r)) {
                self.schedule_cleanup(r, n, false);
            }
            return;
        }
        if !self[r].active.contains(&n) {
            if self.agent_changed(r, n, i, j, false) {
                self.schedule_cleanup(r, n, false);
            }
            return;
        }
        if self.agent_changed(r, n, i, j, true) {
            self.schedule_cleanup(r, n, false);
        }
        let ops = self.sorted_operations(i, j);
        let (start, stop) = self.active_operations(&ops);
        if start < stop {
            return;
        }
        for (k, op) in ops.iter().enumerate() {
            if i32::try_from(k).unwrap_or(i32::MAX) < start {
                continue;
            }
            let record = self.op(*op);
            let recurring = record.interval_ms > 0;
            let task = record.operation.to_ascii_lowercase();
            if recurring && (self[r].maintenance || self[n].maintenance) {
                self.schedule_cancel(r, *op, n);
            } else if recurring
                || matches!(task.as_str(), "monitor" | "start" | "promote" | "migrate_from")
            {
                if self.needs_remote_name(r) {
                    let check = ParamCheck { op: *op, rsc: r, node: n, last_failure: false };
                    self.param_checks.push(check);
                } else if self.check_action_config(r, n, *op)
                    && self.fail_count(n, r, true, false, None).0 != 0
                {
                    self.clear_failcount(r, n);
                }
            }
        }
    }

    fn agent_changed(&mut self, r: R, n: N, i: usize, j: usize, active: bool) -> bool {
        let entry = self.history(i, j);
        let config = std::rc::Rc::clone(&self[r].config);
        let mut changed = false;
        for (now, then) in [
            (config.kind.as_deref(), Some(entry.kind.as_str()).filter(|k| !k.is_empty())),
            (config.class.as_deref(), Some(entry.class.as_str()).filter(|c| !c.is_empty())),
            (config.provider.as_deref(), entry.provider.as_deref()),
        ] {
            if now != then {
                changed = true;
                self.trigger_unfencing(Some(r), Some(n), "Device definition changed");
            }
        }
        if changed && active {
            self.stop_action(r, n, false);
            self[r].start_pending = true;
        }
        changed
    }

    /// Compares an operation of the history with the configuration and schedules what a change
    /// asks for; true if there was one.
    pub(crate) fn check_action_config(&mut self, r: R, n: N, op: OpRef) -> bool {
        let record = self.op(op);
        let interval = u64::from(record.interval_ms);
        let recorded_task = record.operation.clone();
        if interval > 0 && self.op_config(r, &recorded_task, interval, false).is_none() {
            if self.set.cancel_removed {
                self.schedule_cancel(r, op, n);
            }
            return true;
        }
        let starts = interval == 0
            && matches!(recorded_task.as_str(), "monitor" | "migrate_from" | "promote");
        let task = if starts { "start".to_owned() } else { recorded_task };
        let verdict = self.compare_digest(r, op, n);
        if self.only_private_changed(r, op, n, verdict) {
            let remark = format!(
                "Only 'private' parameters to {}-interval {task} for {} on {} changed: {}",
                crate::world::values::readable_interval(interval),
                self[r].id,
                self[n].name,
                record.transition_magic.as_deref().unwrap_or_default()
            );
            self.remarks.push(remark);
            return false;
        }
        match verdict {
            Verdict::Restart => self.force_restart(r, &task, interval, n),
            Verdict::Unknown | Verdict::Mismatch => {
                if interval > 0 {
                    self.reschedule_recurring(r, &task, interval, n);
                } else if record.op_restart_digest.is_some() {
                    self.trigger_unfencing(Some(r), Some(n), "Device parameters changed (reload)");
                    self.schedule_reload(r, n);
                } else {
                    self.force_restart(r, &task, interval, n);
                }
            }
            Verdict::Match => return false,
        }
        true
    }

    fn force_restart(&mut self, r: R, task: &str, interval: u64, n: N) {
        let name = task.to_owned();
        let a =
            self.custom_action(Some(r), name.clone().into(), interval, name.into(), None, false);
        self[a].set_reason("resource definition change", true);
        self.trigger_unfencing(Some(r), Some(n), "Device parameters changed");
    }

    fn reschedule_recurring(&mut self, r: R, task: &str, interval: u64, n: N) {
        self.trigger_unfencing(Some(r), Some(n), "Device parameters changed (reschedule)");
        let name = task.to_owned();
        let a =
            self.custom_action(Some(r), name.clone().into(), interval, name.into(), Some(n), true);
        self[a].set(af::RESCHEDULE);
    }

    fn schedule_reload(&mut self, r: R, n: N) {
        if !self[r].managed || self[r].failed {
            return;
        }
        if self[r].start_pending {
            self.stop_action(r, n, false);
            return;
        }
        self[r].reload = true;
        let a = self.custom_action(
            Some(r),
            "reload-agent".into(),
            0,
            "reload-agent".into(),
            Some(n),
            false,
        );
        self[a].set_reason("resource definition change", false);
        let flags = ar::ORDERED | ar::THEN_CANCELS_FIRST;
        self.new_ordering(Side::Action(a), Side::Task(r, "stop"), flags);
        self.new_ordering(Side::Action(a), Side::Task(r, "demote"), flags);
    }

    pub(crate) fn schedule_cleanup(&mut self, r: R, n: N, optional: bool) {
        if self[r].failed || self[n].unclean || !self[n].online {
            return;
        }
        self.custom_action(Some(r), "delete".into(), 0, "delete".into(), Some(n), optional);
        let flags = if optional { ar::FIRST_IMPLIES_THEN } else { ar::ORDERED };
        self.order(r, "stop", r, "delete", flags);
        self.order(r, "delete", r, "start", flags);
    }

    fn schedule_cancel(&mut self, r: R, op: OpRef, n: N) {
        let record = self.op(op);
        let (task, interval) = (record.operation.clone(), u64::from(record.interval_ms));
        let call_id = record.call_id;
        let a = self.cancel_action(r, &task, interval, n);
        self[a].set_meta("call-id", call_id.to_string());
        self.new_ordering(Side::Task(r, "stop"), Side::ActionOf(r, a), ar::ORDERED);
    }

    /// Checks that had to wait until addresses of connections were known.
    pub(crate) fn run_param_checks(&mut self) {
        for c in std::mem::take(&mut self.param_checks) {
            let clear = if c.last_failure {
                !matches!(
                    self.compare_digest(c.rsc, c.op, c.node),
                    Verdict::Unknown | Verdict::Match
                )
            } else {
                self.check_action_config(c.rsc, c.node, c.op)
                    && self.fail_count(c.node, c.rsc, true, false, None).0 != 0
            };
            if clear {
                self.clear_failcount(c.rsc, c.node);
            }
        }
    }
}
