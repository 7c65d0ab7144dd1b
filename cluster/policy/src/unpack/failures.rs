//! Failures in the history: whether they still count, and what they lead to.

use super::history::{Entry, Reading, exec, rc};
use crate::world::action::OnFail;
use crate::world::{FailedOp, OpRef, R, Role, Why, World, values};

impl World<'_> {
    pub(super) fn handle_failure(&mut self, e: &Entry, reading: &mut Reading) {
        let (strategy, role) = self.failure_handling(e);
        let r = e.r;
        if strategy == OnFail::Ignore || (strategy == OnFail::RestartContainer && e.task == "stop")
        {
            self.update_state(e, e.expected, reading);
            self[r].ignore_failure = true;
            self.record_failed(e);
            if strategy == OnFail::RestartContainer && reading.on_fail <= OnFail::Restart {
                reading.on_fail = strategy;
            }
            return;
        }
        self.process_failure(e, strategy, role, reading);
        let parent = if self[r].unique { r } else { self.top_of(r) };
        if e.exec == exec::ERROR_HARD {
            self.resource_location(parent, Some(e.n), -values::INFINITY, Why::Failure);
        } else if e.exec == exec::ERROR_FATAL {
            self.resource_location(parent, None, -values::INFINITY, Why::Failure);
        }
    }

    pub(super) fn has_expired(&mut self, e: &Entry) -> bool {
        let record = self.op(e.op);
        let is_last_failure = record.id.ends_with("_last_failure_0");
        if e.exec == exec::NOT_INSTALLED {
            return false;
        }
        let mut expired = false;
        let mut unexpired = 0;
        let expiration = values::seconds(self[e.r].failure_timeout_ms);
        if expiration > 0
            && let Some(last_run) = record.last_rc_change
        {
            expired = self.now >= last_run + expiration && !self.waits_for_fencing(e);
            let (count, last) = self.fail_count(e.n, e.r, true, false, Some(e.op));
            unexpired = count;
            let until = last + expiration + 1;
            if count != 0 && self.now < until {
                self.recheck(until);
            }
        }
        let mut clear = false;
        if expired {
            if self.fail_count(e.n, e.r, false, false, Some(e.op)).0 != 0 {
                if unexpired == 0 {
                    clear = true;
                } else {
                    expired = false;
                }
            } else if is_last_failure && self[e.r].reconnect_ms > 0 {
                clear = true;
            }
        }
        if !expired && is_last_failure && self.clear_for_params(e) {
            clear = true;
        }
        if clear {
            let action = self.clear_failcount(e.r, e.n);
            if self.set.fencing && self[e.r].reconnect_ms > 0 {
                self.order_after_remote_fencing(action, e.r);
            }
        }
        if expired
            && e.is_probe()
            && matches!(
                e.exit,
                rc::OK
                    | rc::NOT_RUNNING
                    | rc::RUNNING_PROMOTED
                    | rc::DEGRADED
                    | rc::DEGRADED_PROMOTED
            )
        {
            expired = false;
        }
        expired
    }

    /// Deals with an expired result; false where it counts nevertheless.
    pub(super) fn drop_expired(&mut self, e: &Entry, original: i32) -> bool {
        if !self.is_bundled(e.r) && self.masks_probe(e.op) && original != e.expected {
            if self[e.r].role <= Role::Stopped {
                self[e.r].role = Role::Unknown;
            }
            return true;
        }
        if e.exit == e.expected {
            return false;
        }
        if e.interval == 0 {
            return true;
        }
        if self[e.n].online && !self[e.n].unclean {
            self.reschedule.insert(e.op);
            return true;
        }
        false
    }

    pub(super) fn mask_probe_failure(&mut self, e: &Entry, reading: &mut Reading) {
        let ban = if self[e.r].unique { e.r } else { self.top_of(e.r) };
        self.update_state(e, e.expected, reading);
        self.record_failed(e);
        self.resource_location(ban, Some(e.n), -values::INFINITY, Why::Failure);
    }

    pub(super) fn record_failed(&mut self, e: &Entry) {
        if !self[e.n].online {
            return;
        }
        let key = self.history_key(e.op);
        if self.failed.iter().any(|f| f.node == e.n && self.history_key(f.op) == key) {
            return;
        }
        self.failed.push(FailedOp { op: e.op, node: e.n });
    }

    pub(super) fn failure_is_newer(&self, e: &Entry, last_failure: Option<OpRef>) -> bool {
        let Some(f) = last_failure else { return false };
        let (failure, this) = (self.op(f), self.op(e.op));
        e.task == failure.operation
            && e.interval == u64::from(failure.interval_ms)
            && match (failure.last_rc_change, this.last_rc_change) {
                (Some(f), Some(t)) => f >= t,
                _ => false,
            }
    }

    pub(super) fn failure_handling(&mut self, e: &Entry) -> (OnFail, Role) {
        let entry = self.op_config(e.r, &e.task, e.interval, true);
        let meta = self.op_meta(e.r, Some(e.n), &e.task, e.interval, entry);
        let on_fail =
            self.on_fail(e.r, &e.task, e.interval, meta.get("on-fail").map(String::as_str));
        (on_fail, self.role_after_failure(e.r, &e.task, on_fail))
    }

    pub(super) fn process_failure(
        &mut self,
        e: &Entry,
        strategy: OnFail,
        role: Role,
        reading: &mut Reading,
    ) {
        let r = e.r;
        reading.last_failure = Some(e.op);
        if self.set.symmetric || e.exit != rc::NOT_INSTALLED {
            self.record_failed(e);
        }
        reading.on_fail = reading.on_fail.max(strategy);
        match e.task.as_str() {
            "stop" => self.resource_location(r, Some(e.n), -values::INFINITY, Why::Failure),
            "migrate_to" => self.migrate_to_failure(e),
            "migrate_from" => self.migrate_from_failure(e),
            "promote" => self[r].role = Role::Promoted,
            "demote" => {
                if strategy == OnFail::Block {
                    self[r].role = Role::Promoted;
                    self.set_next_role(r, Role::Stopped);
                } else if e.exit == rc::NOT_RUNNING {
                    self[r].role = Role::Stopped;
                } else {
                    self[r].role = Role::Unpromoted;
                }
            }
            _ => {}
        }
        if e.is_probe() && e.exit == rc::NOT_INSTALLED {
            self[r].role = Role::Stopped;
        } else if self[r].role < Role::Started {
            self.set_active(r);
        }
        if role != Role::Started && self[r].next_role < role {
            self.set_next_role(r, role);
        }
        if role == Role::Stopped {
            self.ban_everywhere(r);
        }
    }

    pub(super) fn ban_everywhere(&mut self, r: R) {
        let mut r = r;
        if self[r].parent.is_some() {
            let top = self.top_of(r);
            if self.is_anonymous_clone(top) {
                r = top;
            }
        }
        self.reset_table(r);
    }
}
