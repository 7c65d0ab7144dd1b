//! Phase 4: which actions there are, and in which order.
//!
//! Roles and nodes become actions; constraints become relations between them; then requirements
//! and obstacles are passed along the relations until nothing changes.

mod actions;
mod apply;
mod fencing;
mod flags;
mod migration;
mod notify;
mod operations;
mod primitive;
mod probes;
mod recurring;
mod remote;
mod update;

use crate::place::Placed;
use crate::world::action::af;
use crate::world::{A, N, R, Side, Variant, World, ar, values};

/// The world with all actions and their relations.
pub(crate) struct Ordered<'a>(pub(crate) World<'a>);

/// Creates all actions and settles what depends on what.
pub(crate) fn order<'a>(placed: Placed<'a>) -> Ordered<'a> {
    let mut w = placed.0;
    w.run_param_checks();
    if w.set.probes {
        w.schedule_probes();
    }
    if w.set.stop_removed {
        for r in w.top.clone() {
            w.clear_failcounts_if_removed(r);
        }
    }
    for r in w.top.clone() {
        w.create_actions(r);
    }
    w.order_remote_connections();
    w.schedule_fencing_and_shutdowns();
    w.apply_orderings();
    Ordered(w)
}

impl World<'_> {
    pub(crate) fn create_actions(&mut self, r: R) {
        match self[r].variant {
            Variant::Primitive => self.create_primitive_actions(r),
            Variant::Group => self.create_group_actions(r),
            Variant::Clone => {
                let children = self[r].children.clone();
                self.create_instance_actions(r, &children);
                if self[r].promotable {
                    self.create_promotable_actions(r);
                }
            }
            Variant::Bundle => self.create_bundle_actions(r),
        }
    }

    fn clear_failcounts_if_removed(&mut self, r: R) {
        if !self[r].removed {
            return;
        }
        for n in self.node_order.clone() {
            if !self[n].online || self.fail_count(n, r, true, false, None).0 == 0 {
                continue;
            }
            let clear = self.clear_failcount(r, n);
            self.new_ordering(Side::ActionOf(r, clear), Side::Task(r, "stop"), ar::ORDERED);
        }
    }

    fn is_managed(&self, r: R) -> bool {
        self[r].managed || self[r].children.iter().any(|c| self.is_managed(*c))
    }

    fn schedule_fencing_and_shutdowns(&mut self) {
        let have_managed = self.top.iter().any(|r| self.is_managed(*r));
        let mut dc_down: Option<A> = None;
        let (mut fencings, mut shutdowns): (Vec<A>, Vec<A>) = (Vec::new(), Vec::new());
        for n in self.node_order.clone() {
            if self.is_guest(n) {
                if self[n].remote_reset && have_managed && self.can_fence(Some(n)) {
                    self.fence_guest(n);
                }
                continue;
            }
            let is_dc = self.dc == Some(n);
            if self[n].unclean {
                self.end_leases(n);
            }
            if have_managed && self[n].unclean && self.can_fence(Some(n)) {
                let fencing = self.fence_op(n, None, false, Some("node is unclean"), false);
                self.order_vs_fencing(fencing);
                if is_dc {
                    dc_down = Some(fencing);
                } else {
                    if !self.set.concurrent_fencing
                        && let Some(last) = fencings.last()
                    {
                        self.relate(*last, fencing, ar::ORDERED);
                    }
                    fencings.push(fencing);
                }
            } else if !self[n].is_remote_kind && self[n].online && self[n].shutdown {
                let down = self.shutdown_action(n);
                if is_dc {
                    dc_down = Some(down);
                } else {
                    shutdowns.push(down);
                }
            }
        }
        let Some(dc) = dc_down else { return };
        if self[dc].task == "do_shutdown" {
            for s in shutdowns.iter().rev() {
                self.relate(*s, dc, ar::ORDERED);
            }
        }
        if self.set.concurrent_fencing {
            for f in fencings.iter().rev() {
                self.relate(*f, dc, ar::ORDERED);
            }
        } else if let Some(last) = fencings.last() {
            self.relate(*last, dc, ar::ORDERED);
        }
    }

    fn shutdown_action(&mut self, n: N) -> A {
        let key = format!("do_shutdown-{}", self[n].name);
        let down = self.custom_action(None, key.into(), 0, "do_shutdown".into(), Some(n), false);
        for i in (0..self.actions.len()).rev() {
            let a = A(u32::try_from(i).unwrap_or(u32::MAX));
            let action = &self[a];
            if action.node != Some(n) || action.task != "stop" {
                continue;
            }
            let Some(r) = action.rsc else { continue };
            if self[r].maintenance || self[n].maintenance || (!self[r].managed && !self[r].blocked)
            {
                continue;
            }
            self[a].clear(af::OPTIONAL);
            let flags = ar::ORDERED | ar::UNRUNNABLE_FIRST_BLOCKS;
            self.new_ordering(Side::ActionOf(r, a), Side::Action(down), flags);
        }
        self[down].set_meta("op_no_wait", "true");
        down
    }

    /// A named action without a resource, made once.
    pub(crate) fn pseudo(&mut self, name: &str) -> A {
        if let Some(a) = self.singletons.get(name) {
            return *a;
        }
        let a =
            self.custom_action(None, name.to_owned().into(), 0, name.to_owned().into(), None, true);
        self[a].set(af::PSEUDO | af::RUNNABLE);
        a
    }

    /// The point at which a node has got rid of its load.
    pub(crate) fn load_stopped(&mut self, n: N) -> A {
        let name = format!("load_stopped_{}", self[n].name);
        let a = self.pseudo(&name);
        if self[a].node.is_none() {
            self[a].node = Some(n);
            self[a].clear(af::OPTIONAL);
        }
        a
    }

    /// Bookkeeping of a composed resource.
    pub(crate) fn rsc_pseudo(&mut self, r: R, task: &'static str, optional: bool, run: bool) -> A {
        let a = self.custom_action(Some(r), task.into(), 0, task.into(), None, optional);
        self[a].set(af::PSEUDO | if run { af::RUNNABLE } else { 0 });
        a
    }

    fn create_group_actions(&mut self, r: R) {
        for m in self[r].children.clone() {
            self.create_actions(m);
        }
        let mut tasks = vec!["start", "running", "stop", "stopped"];
        if values::is_true(self[r].meta("promotable")) {
            tasks.extend(["demote", "demoted", "promote", "promoted"]);
        }
        for task in tasks {
            self.rsc_pseudo(r, task, true, true);
        }
    }

    fn create_promotable_actions(&mut self, clone: R) {
        let (mut promoting, mut demoting) = (false, false);
        for i in self[clone].children.clone() {
            self.create_actions(i);
            self.check_role_change(i, &mut demoting, &mut promoting);
        }
        let promote = self.rsc_pseudo(clone, "promote", !promoting, true);
        let promoted = self.rsc_pseudo(clone, "promoted", !promoting, true);
        self[promoted].priority = values::INFINITY;
        if self[clone].notify_promote.is_none() {
            self[clone].notify_promote =
                self.notify_pseudos(clone, "promote", Some(promote), Some(promoted));
        }
        let demote = self.rsc_pseudo(clone, "demote", !demoting, true);
        let demoted = self.rsc_pseudo(clone, "demoted", !demoting, true);
        self[demoted].priority = values::INFINITY;
        if self[clone].notify_demote.is_none() {
            self[clone].notify_demote =
                self.notify_pseudos(clone, "demote", Some(demote), Some(demoted));
            self.order_notifications(clone);
        }
        let priority = self[clone].priority;
        for i in self[clone].children.clone() {
            self[i].priority = priority;
        }
    }

    fn order_notifications(&mut self, clone: R) {
        let c = &self[clone];
        let Some(promote) = c.notify_promote.clone() else { return };
        let done =
            |n: &Option<crate::world::resource::Notify>| n.as_ref().and_then(|n| n.post_done);
        let pre = |n: &Option<crate::world::resource::Notify>| n.as_ref().and_then(|n| n.pre);
        let (stopped, started, demoted) =
            (done(&c.notify_stop), done(&c.notify_start), done(&c.notify_demote));
        let pairs = [
            (stopped, promote.pre),
            (started, promote.pre),
            (demoted, promote.pre),
            (demoted, pre(&c.notify_start)),
            (demoted, pre(&c.notify_stop)),
        ];
        for (first, then) in pairs {
            if let (Some(f), Some(t)) = (first, then) {
                self.relate(f, t, ar::ORDERED);
            }
        }
    }

    fn check_role_change(&self, r: R, demoting: &mut bool, promoting: &mut bool) {
        for c in &self[r].children {
            self.check_role_change(*c, demoting, promoting);
        }
        if !self[r].children.is_empty() {
            return;
        }
        for a in &self[r].actions {
            if !self[*a].is(af::OPTIONAL) {
                *demoting |= self[*a].task == "demote";
                *promoting |= self[*a].task == "promote";
            }
        }
    }

    fn create_bundle_actions(&mut self, r: R) {
        let Some(b) = self[r].bundle.clone() else { return };
        for p in &b.replicas {
            for part in [p.ip, p.container, p.remote].into_iter().flatten() {
                self.create_actions(part);
            }
        }
        let containers = self.containers(r);
        self.create_instance_actions(r, &containers);
        let Some(inner) = b.child else { return };
        self.create_actions(inner);
        if self[inner].promotable {
            self.rsc_pseudo(r, "promote", true, true);
            let a = self.rsc_pseudo(r, "promoted", true, true);
            self[a].priority = values::INFINITY;
            self.rsc_pseudo(r, "demote", true, true);
            let a = self.rsc_pseudo(r, "demoted", true, true);
            self[a].priority = values::INFINITY;
        }
    }
}
