//! Phase 2: what must, may and should be, as constraints and scores.
//!
//! After this phase every resource has a score on every node it may use, and every colocation and
//! ordering is known, the implied ones included. Nothing has been assigned yet.

mod changes;
mod colocation;
mod internal;
mod location;
mod order;
mod sets;
mod ticket;

use std::collections::BTreeSet;

use haven_cib::{Cib, Constraint};

use crate::unpack::Unpacked;
use crate::world::{N, R, Why, World, values};

/// The world with all its constraints.
pub(crate) struct Constrained<'a>(pub(crate) World<'a>);

/// Applies the constraints of the configuration, and those that resources imply.
pub(crate) fn constrain<'a>(unpacked: Unpacked<'a>, cib: &Cib) -> Constrained<'a> {
    let mut w = unpacked.0;
    w.rank_nodes();
    w.apply_node_health();
    for c in &cib.constraints {
        w.reading(Some(c.id()));
        match c {
            Constraint::Location(l) => w.unpack_location(l),
            Constraint::Colocation(l) => w.unpack_colocation(l),
            Constraint::Order(o) => w.unpack_order(o),
            Constraint::Ticket(t) => w.unpack_ticket(t),
        }
    }
    w.reading(None);
    w.apply_shutdown_locks();
    w.apply_locations();
    for r in w.top.clone() {
        w.apply_stickiness(r);
    }
    w.apply_failures();
    for r in w.top.clone() {
        w.internal_constraints(r);
    }
    w.handle_config_changes();
    Constrained(w)
}

impl World<'_> {
    /// Adds a score for a resource and all its parts, on one node or on all.
    pub(crate) fn resource_location(&mut self, r: R, node: Option<N>, score: i32, why: Why) {
        match node {
            Some(n) => self.node_score(r, n, score, why),
            None => {
                for n in self.node_order.clone() {
                    self.node_score(r, n, score, why);
                }
                if score == -values::INFINITY {
                    self[r].assigned = None;
                }
            }
        }
    }

    fn node_score(&mut self, r: R, n: N, score: i32, why: Why) {
        for i in 0..self[r].children.len() {
            let c = self[r].children[i];
            self.node_score(c, n, score, why);
        }
        let base = self[n].base;
        let table = &mut self[r].allowed;
        let cell = match table.get_mut(n) {
            Some(c) => c,
            None => table.insert(n, base),
        };
        let before = cell.score;
        let after = values::add(before, score);
        cell.score = after;
        self.note_score(r, n, why, before, after);
    }

    fn apply_shutdown_locks(&mut self) {
        if self.set.shutdown_lock {
            for r in self.top.clone() {
                self.shutdown_lock(r);
            }
        }
    }

    fn shutdown_lock(&mut self, r: R) {
        if self.is_group(r) {
            for c in self[r].children.clone() {
                self.shutdown_lock(c);
            }
        }
        if !self.is_primitive(r) || self[r].fence_device || self[r].is_remote_connection {
            return;
        }
        if let Some(lock) = self[r].lock_node {
            if !self[r].active.is_empty() {
                self.clear_history(r, lock);
                self[r].lock_node = None;
                self[r].lock_time = 0;
            }
        } else if let [n] = self[r].active[..]
            && self[n].shutdown
            && !self[n].unclean
        {
            self[r].lock_node = Some(n);
            let since = self[n].attrs.get("shutdown").and_then(|v| values::int(v)).unwrap_or(0);
            self[r].lock_time = if since == 0 { self.now } else { since };
        }
        let Some(lock) = self[r].lock_node else { return };
        if self.set.shutdown_lock_ms > 0 {
            let until = self[r].lock_time + values::seconds(self.set.shutdown_lock_ms);
            self.recheck(until + 1);
        }
        for n in self.node_order.clone() {
            if n != lock {
                self.resource_location(r, Some(n), -values::INFINITY, Why::ShutdownLock);
            }
        }
    }

    fn apply_stickiness(&mut self, r: R) {
        if !self[r].children.is_empty() {
            for c in self[r].children.clone() {
                self.apply_stickiness(c);
            }
            return;
        }
        let [n] = self[r].active[..] else { return };
        if !self[r].managed || self[r].stickiness < 1 {
            return;
        }
        if self.set.symmetric || self[r].allowed.get(n).is_some() {
            self.resource_location(r, Some(n), self[r].stickiness, Why::Stickiness);
        }
    }

    /// Bans by failures and by exclusive discovery, node by node.
    fn apply_failures(&mut self) {
        let any_exclusive = self.rscs.iter().any(|r| r.exclusive_probes);
        for n in self.node_order.clone() {
            let failed = self.failed_names(n);
            if failed.is_empty() && !any_exclusive {
                continue;
            }
            for r in self.top.clone() {
                if !failed.is_empty() {
                    self.check_failure_threshold(r, n, &failed);
                }
                if any_exclusive {
                    self.apply_exclusive_discovery(r, n);
                }
            }
        }
    }

    /// The names, without instance numbers, of what has failures on a node.
    fn failed_names(&self, n: N) -> BTreeSet<String> {
        let prefix = "fail-count-";
        let from = self[n].attrs.range(prefix.to_owned()..);
        let names = from.map_while(|(key, _)| key.strip_prefix(prefix));
        names
            .map(|rest| rest.rsplit_once('#').map_or(rest, |(name, _)| name))
            .map(|name| values::strip_instance(name).to_owned())
            .collect()
    }

    fn check_failure_threshold(&mut self, r: R, n: N, failed: &BTreeSet<String>) {
        if !self[r].children.is_empty() {
            for i in 0..self[r].children.len() {
                self.check_failure_threshold(self[r].children[i], n, failed);
            }
            return;
        }
        let rsc = &self[r];
        let name = values::strip_instance(rsc.history_id.as_deref().unwrap_or(&rsc.id));
        if rsc.launched.is_empty() && !failed.contains(name) {
            return;
        }
        if !self.actions_exactly(r, "clear_failcount", n).is_empty() {
            return;
        }
        if let Some(failed) = self.threshold_reached(r, n) {
            self.resource_location(failed, Some(n), -values::INFINITY, Why::Threshold);
        }
    }

    fn apply_exclusive_discovery(&mut self, r: R, n: N) {
        if !self[r].exclusive_probes && !self[self.top_of(r)].exclusive_probes {
            return;
        }
        for c in self[r].children.clone() {
            self.apply_exclusive_discovery(c, n);
        }
        if let Some(cell) = self[r].allowed.get_mut(n)
            && cell.probe != crate::world::Probe::Exclusive
        {
            let before = std::mem::replace(&mut cell.score, -values::INFINITY);
            self.note_score(r, n, Why::Discovery, before, -values::INFINITY);
        }
    }
}
