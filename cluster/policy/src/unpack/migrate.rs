//! What halves of live migrations in the history mean.

use haven_types::status::OperationRecord;

use super::history::Entry;
use crate::world::{N, OpRef, R, Role, World};

impl World<'_> {
    /// The one operation of this name recorded for a resource on a node, to or from the other node.
    fn migration_op(&self, r: R, task: &str, node: &str, other: &str) -> Option<OpRef> {
        self.only(self.operations_of(node, &self[r].id), |record| {
            let peer =
                if task == "migrate_to" { &record.migrate_target } else { &record.migrate_source };
            record.operation == task && peer.as_deref() == Some(other)
        })
    }

    /// The operation that is as asked, if there is just one.
    fn only(&self, ops: Vec<OpRef>, ask: impl Fn(&OperationRecord) -> bool) -> Option<OpRef> {
        let mut found = ops.into_iter().filter(|op| ask(self.op(*op)));
        match (found.next(), found.next()) {
            (Some(op), None) => Some(op),
            _ => None,
        }
    }

    fn succeeded(&self, op: OpRef) -> bool {
        self.op(op).rc == 0 && self.op(op).exec_status == 0
    }

    /// Whether nothing certain is known of the resource there.
    fn unknown_on(&self, r: R, node: &str) -> bool {
        !self.operations_of(node, &self[r].id).iter().any(|op| self.op(*op).rc != 193)
    }

    fn moved_after(&self, r: R, node: &str, than: OpRef) -> bool {
        self.operations_of(node, &self[r].id).into_iter().any(|op| {
            op != than
                && ["start", "stop", "migrate_to", "migrate_from"]
                    .contains(&self.op(op).operation.as_str())
                && self.newer(op, than) > 0
        })
    }

    fn found_stopped_after(&self, r: R, node: &str, than: OpRef) -> bool {
        let ops = self.operations_of(node, &self[r].id);
        let monitor = self.only(ops, |record| record.operation == "monitor");
        monitor.is_some_and(|op| {
            self.op(op).rc == 7 && self.op(op).exec_status == 0 && self.newer(op, than) > 0
        })
    }

    fn newer_state(&self, r: R, node: &str, to: Option<OpRef>, from: Option<OpRef>) -> bool {
        let Some(mut op) = from.or(to) else { return false };
        if let (Some(to), Some(from)) = (to, from)
            && self.op(from).migrate_source.as_deref().is_some_and(|s| s.eq_ignore_ascii_case(node))
        {
            op = to;
        }
        self.moved_after(r, node, op) || self.found_stopped_after(r, node, op)
    }

    /// Source and target as recorded, if they fit where it was recorded.
    fn ends(&self, e: &Entry, recorded_on_source: bool) -> Option<(String, String)> {
        let record = self.op(e.op);
        let (source, target) = (record.migrate_source.clone()?, record.migrate_target.clone()?);
        let here = if recorded_on_source { &source } else { &target };
        self[e.n].name.eq_ignore_ascii_case(here).then_some((source, target))
    }

    fn online_node(&self, name: &str) -> Option<N> {
        self.find_node(name).filter(|n| self[*n].online)
    }

    pub(super) fn migrate_to_success(&mut self, e: &Entry) {
        let Some((source, target)) = self.ends(e, true) else { return };
        let r = e.r;
        let source_newer = self.moved_after(r, &source, e.op);
        let from = self.migration_op(r, "migrate_from", &target, &source);
        if from.is_some() && source_newer {
            return;
        }
        let (from_rc, from_exec) =
            from.map_or((0, -1), |f| (self.op(f).rc, self.op(f).exec_status));
        let target_newer = self.newer_state(r, &target, Some(e.op), from);
        if source_newer && target_newer {
            return;
        }
        if from_rc == 0 && from_exec == 0 {
            self[r].role = Role::Stopped;
            self[r].dangling_migrations.insert(0, e.n);
            return;
        }
        self[r].role = Role::Started;
        let target_node = self.online_node(&target);
        let active_there = target_node.filter(|_| !target_newer);
        let fail = |w: &mut Self| {
            w[r].failed = true;
            w[r].stop_if_failed = true;
            w[r].migratable = false;
        };
        if from_exec != -1 {
            match active_there {
                Some(t) => self.add_running(r, t, true),
                None => fail(self),
            }
            return;
        }
        if target_node.is_some() && self.unknown_on(r, &target) {
            return;
        }
        match active_there {
            Some(t) => {
                self.add_running(r, t, false);
                if let Some(s) = self.online_node(&source) {
                    self[r].migration_target = Some(t);
                    self[r].migration_source = Some(s);
                }
            }
            None if !source_newer => fail(self),
            None => {}
        }
    }

    pub(super) fn migrate_to_failure(&mut self, e: &Entry) {
        let Some((source, target)) = self.ends(e, true) else { return };
        let r = e.r;
        self[r].role = Role::Started;
        let from =
            self.migration_op(r, "migrate_from", &target, &source).filter(|f| self.succeeded(*f));
        if !self.unknown_on(r, &target) && !self.newer_state(r, &target, Some(e.op), from) {
            if let Some(t) = self.online_node(&target) {
                self.add_running(r, t, false);
            }
        } else if !self.moved_after(r, &source, e.op) {
            self[r].dangling_migrations.insert(0, e.n);
        }
    }

    pub(super) fn migrate_from_failure(&mut self, e: &Entry) {
        let Some((source, target)) = self.ends(e, false) else { return };
        let r = e.r;
        self[r].role = Role::Started;
        let to =
            self.migration_op(r, "migrate_to", &source, &target).filter(|t| self.succeeded(*t));
        if !self.unknown_on(r, &source)
            && !self.newer_state(r, &source, to, Some(e.op))
            && let Some(s) = self.online_node(&source)
        {
            self.add_running(r, s, true);
        }
    }
}
