//! Operation history: what a resource is doing on a node, and what has failed.

mod owner;

use super::digest::Verdict;
use crate::world::action::OnFail;
use crate::world::{N, OpRef, ParamCheck, R, Role, Why, World, merge_sort, values};

/// Results as agents give them.
pub(super) mod rc {
    pub(in crate::unpack) const OK: i32 = 0;
    pub(in crate::unpack) const INVALID_PARAM: i32 = 2;
    pub(in crate::unpack) const UNIMPLEMENTED: i32 = 3;
    pub(in crate::unpack) const INSUFFICIENT_PRIV: i32 = 4;
    pub(in crate::unpack) const NOT_INSTALLED: i32 = 5;
    pub(in crate::unpack) const NOT_CONFIGURED: i32 = 6;
    pub(in crate::unpack) const NOT_RUNNING: i32 = 7;
    pub(in crate::unpack) const RUNNING_PROMOTED: i32 = 8;
    pub(in crate::unpack) const FAILED_PROMOTED: i32 = 9;
    pub(in crate::unpack) const DEGRADED: i32 = 190;
    pub(in crate::unpack) const DEGRADED_PROMOTED: i32 = 191;
}

/// How executions end.
pub(super) mod exec {
    pub(in crate::unpack) const PENDING: i32 = -1;
    pub(in crate::unpack) const DONE: i32 = 0;
    pub(in crate::unpack) const CANCELLED: i32 = 1;
    pub(in crate::unpack) const NOT_SUPPORTED: i32 = 3;
    pub(in crate::unpack) const ERROR: i32 = 4;
    pub(in crate::unpack) const ERROR_HARD: i32 = 5;
    pub(in crate::unpack) const ERROR_FATAL: i32 = 6;
    pub(in crate::unpack) const NOT_INSTALLED: i32 = 7;
    pub(in crate::unpack) const NOT_CONNECTED: i32 = 8;
    pub(in crate::unpack) const NO_FENCE_DEVICE: i32 = 10;
    pub(in crate::unpack) const NO_SECRETS: i32 = 11;
}

/// Operations that say something about what a resource is doing.
const STATEFUL: [&str; 8] =
    ["monitor", "start", "stop", "promote", "demote", "migrate_to", "migrate_from", "asyncmon"];

/// One operation being read.
pub(super) struct Entry {
    pub(super) r: R,
    pub(super) n: N,
    pub(super) op: OpRef,
    pub(super) task: String,
    pub(super) interval: u64,
    pub(super) exit: i32,
    pub(super) exec: i32,
    pub(super) expected: i32,
}

impl Entry {
    pub(super) fn is_probe(&self) -> bool {
        self.task == "monitor" && self.interval == 0
    }
}

/// What reading one history has come to so far.
pub(super) struct Reading {
    pub(super) last_failure: Option<OpRef>,
    pub(super) on_fail: OnFail,
}

impl World<'_> {
    pub(super) fn unpack_resource_history(&mut self, n: N, i: usize, j: usize) -> Option<R> {
        let entry = self.history(i, j);
        let count = entry.operations.len();
        if count == 0 && !self.set.shutdown_lock {
            return None;
        }
        let r = match self.find_for_history(n, &entry.id) {
            Some(r) => r,
            None if count == 0 => return None,
            None => self.removed_resource(i, j)?,
        };
        if entry.unleased && self[r].needs_lease {
            self[r].needs_lease = false;
            self[r].needs_fencing = true;
        }
        if self.set.shutdown_lock {
            self.shutdown_lock_of(r, n, entry.shutdown_lock.unwrap_or(0));
        }
        let saved = self[r].role;
        self[r].role = Role::Unknown;
        let ops = self.sorted_operations(i, j);
        let mut reading = Reading { last_failure: None, on_fail: OnFail::Ignore };
        for op in &ops {
            self.unpack_operation(r, n, *op, &mut reading);
        }
        let (start, stop) = self.active_operations(&ops);
        self.note_recurring(r, n, &ops, start, stop);
        self.process_state(r, n, reading.on_fail);
        if let Some(role) = self.target_role(r)
            && (self[r].next_role == Role::Unknown || role < self[r].next_role)
        {
            self.set_next_role(r, role);
        }
        if saved > self[r].role {
            self[r].role = saved;
        }
        Some(r)
    }

    /// A history's operations, oldest first.
    pub(crate) fn sorted_operations(&self, i: usize, j: usize) -> Vec<OpRef> {
        let count = self.status.nodes[i].resources[j].operations.len();
        let mut ops: Vec<OpRef> = (0..count).rev().map(|k| OpRef(i, j, k)).collect();
        merge_sort(&mut ops, &mut |a, b| self.newer(a, b));
        ops
    }

    fn shutdown_lock_of(&mut self, r: R, n: N, at: i64) {
        if at == 0 {
            return;
        }
        let limit = self.set.shutdown_lock_ms;
        if limit > 0 && self.now > at + values::seconds(limit) {
            self.clear_history(r, n);
        } else {
            self[r].lock_node = Some(n);
            self[r].lock_time = at;
        }
    }

    fn unpack_operation(&mut self, r: R, n: N, op: OpRef, reading: &mut Reading) {
        let record = self.op(op);
        if record.id.is_empty()
            || !STATEFUL.contains(&record.operation.as_str())
            || record.exec_status < exec::PENDING
            || record.exec_status > exec::NO_SECRETS
            || record.exec_status == exec::CANCELLED
            || !(0..=255).contains(&record.rc)
        {
            return;
        }
        let mut e = Entry {
            r,
            n,
            op,
            task: record.operation.clone(),
            interval: u64::from(record.interval_ms),
            exit: record.rc,
            exec: record.exec_status,
            expected: self.target_rc(op).unwrap_or(-1),
        };
        let expired = self.has_expired(&e);
        let original = e.exit;
        self.remap(&mut e, &mut reading.on_fail, expired);
        if expired && self.drop_expired(&e, original) {
            return;
        }
        if !self.is_bundled(r) && self.masks_probe(op) {
            self.mask_probe_failure(&e, reading);
            return;
        }
        match e.exec {
            exec::PENDING => {
                self.process_pending(&e, reading.last_failure);
                return;
            }
            exec::DONE => {
                self.update_state(&e, e.exit, reading);
                return;
            }
            exec::NOT_INSTALLED => {
                let (strategy, role) = self.failure_handling(&e);
                if strategy == OnFail::Ignore {
                    reading.on_fail = OnFail::Ban;
                }
                let parent = if self[r].unique { r } else { self.top_of(r) };
                self.resource_location(parent, Some(n), -values::INFINITY, Why::Failure);
                self.process_failure(&e, strategy, role, reading);
                return;
            }
            exec::NOT_CONNECTED => {
                if let Some(remote) = self[n].remote.filter(|_| self[n].is_remote_kind)
                    && self[remote].managed
                {
                    self[remote].failed = true;
                    self[remote].stop_if_failed = true;
                }
            }
            _ => {}
        }
        self.handle_failure(&e, reading);
    }

    /// A probe that found the agent or its tools missing only means "not running".
    pub(crate) fn masks_probe(&self, op: OpRef) -> bool {
        let record = self.op(op);
        record.operation == "monitor"
            && record.interval_ms == 0
            && (record.rc == rc::NOT_INSTALLED
                || record.rc == rc::INVALID_PARAM
                || record.exec_status == exec::NOT_INSTALLED)
    }

    /// A remote node's failed monitor does not expire before the node has been fenced.
    pub(super) fn waits_for_fencing(&self, e: &Entry) -> bool {
        self[e.r].reconnect_ms > 0
            && self.set.fencing
            && e.interval != 0
            && e.task.eq_ignore_ascii_case("monitor")
            && self.find_node(&self[e.r].id).is_some_and(|n| !self[n].remote_fenced)
    }

    pub(super) fn clear_for_params(&mut self, e: &Entry) -> bool {
        if e.task != "start" && e.task != "monitor" {
            return false;
        }
        if self.needs_remote_name(e.r) {
            let check = ParamCheck { op: e.op, rsc: e.r, node: e.n, last_failure: true };
            self.param_checks.push(check);
            return false;
        }
        let verdict = self.compare_digest(e.r, e.op, e.n);
        verdict != Verdict::Unknown && verdict != Verdict::Match
    }

    fn remap(&mut self, e: &mut Entry, on_fail: &mut OnFail, expired: bool) {
        let original = e.exit;
        e.exit = match e.exit {
            rc::DEGRADED => rc::OK,
            rc::DEGRADED_PROMOTED => rc::RUNNING_PROMOTED,
            other => other,
        };
        if e.exit != original && !expired && (!self[e.n].shutdown || self[e.n].online) {
            self.record_failed(e);
        }
        if !self.is_bundled(e.r)
            && self.masks_probe(e.op)
            && (e.exec != exec::DONE || e.exit != rc::NOT_RUNNING)
        {
            e.exec = exec::DONE;
            e.exit = rc::NOT_RUNNING;
        }
        match e.exec {
            exec::DONE | exec::ERROR => {}
            exec::NO_FENCE_DEVICE | exec::NO_SECRETS => {
                e.exec = exec::ERROR_HARD;
                return;
            }
            _ => return,
        }
        let probe = e.is_probe();
        e.exec = if e.expected >= 0 && e.exit == e.expected { exec::DONE } else { exec::ERROR };
        match e.exit {
            rc::OK if probe && e.expected == rc::NOT_RUNNING => e.exec = exec::DONE,
            rc::OK => {}
            rc::NOT_RUNNING if probe || e.expected == e.exit || !self[e.r].managed => {
                e.exec = exec::DONE;
                self[e.r].role = Role::Stopped;
                *on_fail = OnFail::Ignore;
                self.set_next_role(e.r, Role::Unknown);
            }
            rc::NOT_RUNNING => {}
            rc::RUNNING_PROMOTED => {
                if probe && e.exit != e.expected {
                    e.exec = exec::DONE;
                }
                if !expired || e.exit == e.expected {
                    self[e.r].role = Role::Promoted;
                }
            }
            rc::FAILED_PROMOTED => {
                if !expired {
                    self[e.r].role = Role::Promoted;
                }
                e.exec = exec::ERROR;
            }
            rc::NOT_CONFIGURED => e.exec = exec::ERROR_FATAL,
            rc::UNIMPLEMENTED if e.interval > 0 => e.exec = exec::NOT_SUPPORTED,
            rc::UNIMPLEMENTED | rc::NOT_INSTALLED | rc::INVALID_PARAM | rc::INSUFFICIENT_PRIV => {
                if !expired && e.task == "stop" && !self.can_fence(Some(e.n)) {
                    self[e.r].managed = false;
                    self[e.r].blocked = true;
                }
                e.exec = exec::ERROR_HARD;
            }
            _ if e.exec == exec::DONE => e.exec = exec::ERROR,
            _ => {}
        }
    }

    pub(crate) fn history_key(&self, op: OpRef) -> &str {
        let record = self.op(op);
        record.operation_key.as_deref().unwrap_or(&record.id)
    }

    pub(super) fn set_active(&mut self, r: R) {
        let promotable = self[self.top_of(r)].promotable;
        self[r].role = if promotable { Role::Unpromoted } else { Role::Started };
    }

    fn process_pending(&mut self, e: &Entry, last_failure: Option<OpRef>) {
        if self.failure_is_newer(e, last_failure) {
            return;
        }
        match e.task.as_str() {
            "start" => {
                self[e.r].start_pending = true;
                self.set_active(e.r);
            }
            "promote" => self[e.r].role = Role::Promoted,
            "migrate_to" if self[e.n].unclean => {
                let target = self.op(e.op).migrate_target.as_deref();
                if let Some(t) = target.and_then(|t| self.find_node(t)) {
                    self.stop_action(e.r, t, false);
                }
            }
            _ => {}
        }
        if self[e.r].pending_action.is_none() && !e.is_probe() {
            self[e.r].pending_action = Some(e.task.clone());
            self[e.r].pending_node = Some(e.n);
        }
    }

    /// What a good result (or one taken for it) says about the resource.
    pub(super) fn update_state(&mut self, e: &Entry, exit: i32, reading: &mut Reading) {
        let r = e.r;
        let mut clear = false;
        if exit == rc::NOT_INSTALLED || (!self.is_bundled(r) && self.masks_probe(e.op)) {
            self[r].role = Role::Stopped;
        } else if exit == rc::NOT_RUNNING {
            clear = true;
        } else {
            match e.task.as_str() {
                "monitor" => {
                    clear = reading
                        .last_failure
                        .is_some_and(|f| self.history_key(f) == self.history_key(e.op));
                    if self[r].role < Role::Started {
                        self.set_active(r);
                    }
                }
                "start" | "migrate_from" => {
                    self[r].role = Role::Started;
                    clear = true;
                }
                "stop" => {
                    self[r].role = Role::Stopped;
                    clear = true;
                }
                "promote" => {
                    self[r].role = Role::Promoted;
                    clear = true;
                }
                "demote" => {
                    clear = reading.on_fail == OnFail::Demote;
                    self[r].role = Role::Unpromoted;
                }
                "migrate_to" => self.migrate_to_success(e),
                _ => {
                    if self[r].role < Role::Started {
                        self.set_active(r);
                    }
                }
            }
        }
        if !clear {
            return;
        }
        let forgotten = match reading.on_fail {
            OnFail::Stop | OnFail::Ban | OnFail::Standby | OnFail::Fence => false,
            OnFail::Block
            | OnFail::Ignore
            | OnFail::Demote
            | OnFail::Restart
            | OnFail::RestartContainer => true,
            OnFail::ResetRemote => self[r].reconnect_ms == 0,
        };
        if forgotten {
            reading.on_fail = OnFail::Ignore;
            self.set_next_role(r, Role::Unknown);
        }
    }

    /// Gives a resource all nodes, none of which it may use.
    pub(super) fn reset_table(&mut self, r: R) {
        let mut table = crate::world::Table::default();
        for n in self.node_order.clone() {
            let cell = crate::world::Cell { score: -values::INFINITY, ..self[n].base };
            table.insert(n, cell);
        }
        self[r].allowed = table;
    }

    /// First and last of the operations that count: since the last start, if not stopped since.
    pub(crate) fn active_operations(&self, ops: &[OpRef]) -> (i32, i32) {
        let (mut start, mut stop) = (-1, -1);
        let (mut monitor, mut clone) = (-1, -1);
        for (i, op) in ops.iter().enumerate() {
            let i = i32::try_from(i).unwrap_or(i32::MAX);
            let record = self.op(*op);
            let task = record.operation.to_ascii_lowercase();
            match task.as_str() {
                "stop" if record.exec_status == 0 => stop = i,
                "start" | "migrate_from" => start = i,
                "monitor" if monitor <= stop && (record.rc == 0 || record.rc == 8) => monitor = i,
                "promote" | "demote" => clone = i,
                _ => {}
            }
        }
        if start == -1 {
            start = if clone != -1 { clone } else { monitor };
        }
        (start, stop)
    }

    /// Recurring operations that run are actions already, optional ones.
    fn note_recurring(&mut self, r: R, n: N, ops: &[OpRef], start: i32, stop: i32) {
        for (i, op) in ops.iter().enumerate() {
            let i = i32::try_from(i).unwrap_or(i32::MAX);
            if !self[n].online {
                break;
            }
            if (start < stop && i <= stop) || i < start {
                continue;
            }
            let record = self.op(*op);
            if record.interval_ms == 0 || record.exec_status == exec::PENDING {
                continue;
            }
            let task = record.operation.clone();
            let interval = u64::from(record.interval_ms);
            self.custom_action(Some(r), task.clone().into(), interval, task.into(), Some(n), true);
        }
    }
}
