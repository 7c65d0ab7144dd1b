//! Probes: finding out what runs where nothing is known.

use crate::world::action::af;
use crate::world::{A, N, Probe, R, Role, Side, Variant, World, ar, values};

impl World<'_> {
    pub(super) fn schedule_probes(&mut self) {
        for n in self.node_order.clone() {
            if !self[n].online {
                if self.is_failed_remote(n) {
                    self.fence_node(n, "the connection is unrecoverable", false);
                }
                continue;
            }
            if self[n].unclean || !self[n].probes_allowed {
                continue;
            }
            let top = self.top.clone();
            self.probe_list(&top, n);
        }
    }

    fn probe_list(&mut self, list: &[R], n: N) -> bool {
        let mut any = false;
        for r in list {
            any |= self.create_probe(*r, n);
        }
        any
    }

    fn create_probe(&mut self, r: R, n: N) -> bool {
        match self[r].variant {
            Variant::Primitive | Variant::Group => self.probe_on(r, n),
            Variant::Clone => self.probe_clone(r, n),
            Variant::Bundle => self.probe_bundle(r, n),
        }
    }

    fn probe_clone(&mut self, r: R, n: N) -> bool {
        if self[r].exclusive_probes
            && self[r].allowed.get(n).is_none_or(|c| c.probe != Probe::Exclusive)
        {
            self[r].allowed.remove(n);
            return false;
        }
        self.sort_children_by_number(r);
        let children = self[r].children.clone();
        if self[r].unique {
            return self.probe_list(&children, n);
        }
        let known = children.iter().copied().find(|i| self.probed_on(*i, n));
        let assigned = || {
            children
                .iter()
                .copied()
                .find(|i| self.node_of(*i, crate::world::resource::Place::Assigned) == Some(n))
        };
        let Some(i) = known.or_else(assigned).or_else(|| children.first().copied()) else {
            return false;
        };
        self.create_probe(i, n)
    }

    fn probed_on(&self, r: R, n: N) -> bool {
        if self[r].children.is_empty() {
            return self[r].probed.contains(&n);
        }
        self[r].children.iter().any(|c| self.probed_on(*c, n))
    }

    fn probe_bundle(&mut self, r: R, n: N) -> bool {
        let Some(b) = self[r].bundle.clone() else { return false };
        let mut any = false;
        for p in &b.replicas {
            let Some(container) = p.container else { continue };
            if let Some(ip) = p.ip {
                any |= self.create_probe(ip, n);
            }
            if let Some(child) = p.child
                && p.node == Some(n)
            {
                any |= self.create_probe(child, n);
            }
            if self.create_probe(container, n) {
                any = true;
                if b.per_host == 1 {
                    for other in b.replicas.iter().filter_map(|o| o.container) {
                        if other != container {
                            let flags = ar::ORDERED | ar::IF_ON_SAME_NODE;
                            self.order(container, "monitor", other, "start", flags);
                        }
                    }
                }
            }
            if let Some(remote) = p.remote
                && self.create_probe(remote, n)
                && let Some(probe) = self.actions_exactly(remote, "monitor", n).last().copied()
            {
                any = true;
                self.new_ordering(
                    Side::Task(container, "start"),
                    Side::ActionOf(remote, probe),
                    ar::NESTED_REMOTE_PROBE,
                );
            }
        }
        any
    }

    fn probe_on(&mut self, r: R, n: N) -> bool {
        if self[n].is_remote_kind
            && (self[r].fence_device
                || (self.is_guest(n) && self.contained_connection(r).is_some())
                || self[r].is_remote_connection)
        {
            return false;
        }
        if !self[r].children.is_empty() {
            let children = self[r].children.clone();
            return self.probe_list(&children, n);
        }
        if (self[r].launcher.is_some() && !self[r].is_remote_connection)
            || self[r].removed
            || self[r].probed.contains(&n)
        {
            return false;
        }
        let top = self.top_of(r);
        let cell = self[r].allowed.get(n).copied();
        if (self[r].exclusive_probes || self[top].exclusive_probes)
            && cell.is_none_or(|c| c.probe != Probe::Exclusive)
        {
            return false;
        }
        if cell.unwrap_or(self[n].base).probe == Probe::Never {
            return false;
        }
        if self.is_guest(n) && !self.guest_can_be_probed(r, top, n) {
            return false;
        }
        let probe = self.probe_action(r, n);
        let top = if self.is_clone(top) { top } else { r };
        let mut flags = ar::ORDERED;
        if !self[probe].is(af::RUNNABLE) && self[top].active.is_empty() {
            flags |= ar::UNRUNNABLE_FIRST_BLOCKS;
        }
        self.new_ordering(Side::ActionOf(r, probe), Side::Task(top, "start"), flags);
        self.new_ordering(Side::ActionOf(r, probe), Side::Task(top, "reload-agent"), ar::ORDERED);
        true
    }

    /// False where the guest is down or about to go; then what runs there waits for that instead.
    fn guest_can_be_probed(&mut self, _r: R, top: R, n: N) -> bool {
        let Some(guest) = self.launcher_of(n) else { return true };
        if self[guest].role == Role::Stopped {
            if let Some(host) = self[guest].assigned
                && !self[guest].probed.contains(&host)
            {
                self.order(guest, "monitor", top, "start", ar::ORDERED);
            }
            return false;
        }
        let g = &self[guest];
        let moves = g.role > Role::Stopped && g.assigned.is_some_and(|h| !g.active.contains(&h));
        if self[n].remote_reset
            || self[n].unclean
            || g.failed
            || g.next_role == Role::Stopped
            || moves
        {
            self.order(guest, "stop", top, "start", ar::ORDERED);
            return false;
        }
        true
    }

    fn probe_action(&mut self, r: R, n: N) -> A {
        let probe =
            self.custom_action(Some(r), "monitor".into(), 0, "monitor".into(), Some(n), false);
        self[probe].clear(af::OPTIONAL);
        self.order_vs_unfencing(r, n, probe, ar::ORDERED);
        if !self[r].active.contains(&n) {
            self.expect_result(probe, 7);
        } else if self[r].role == Role::Promoted {
            self.expect_result(probe, 8);
        }
        probe
    }

    /// Orders probes before what they could be important for.
    pub(super) fn order_probes(&mut self) {
        for r in self.top.clone() {
            self.order_probes_of(r);
        }
        self.order_probes_like_stops();
    }

    fn order_probes_of(&mut self, r: R) {
        if !self.is_primitive(r) {
            for c in self[r].children.clone() {
                self.order_probes_of(c);
            }
            return;
        }
        for probe in self.actions_of(r, "monitor", None) {
            for i in (0..self[probe].after.len()).rev() {
                let rel = self[probe].after[i];
                let then = rel.action;
                if rel.flags & ar::UNRUNNABLE_FIRST_BLOCKS == 0 {
                    self.probe_before_instances(probe, then);
                }
                self.probe_before_restarts(probe, then);
            }
        }
    }

    /// An unrunnable probe of an instance keeps the clone's instances from starting.
    fn probe_before_instances(&mut self, probe: A, then: A) {
        let Some(clone) = self[then].rsc else { return };
        let Some(r) = self[probe].rsc else { return };
        if self[clone].variant <= Variant::Group
            || self[probe].is(af::RUNNABLE)
            || self.top_of(r) != clone
            || self[then].task != "start"
        {
            return;
        }
        for i in (0..self[then].after.len()).rev() {
            let instance = self[then].after[i].action;
            let Some(ir) = self[instance].rsc else { continue };
            if self[ir].active.is_empty()
                && self.top_of(ir) == clone
                && self[instance].task == "start"
            {
                let flags = ar::ORDERED | ar::UNRUNNABLE_FIRST_BLOCKS;
                self.relate(probe, instance, flags);
            }
        }
    }

    /// A probe comes before the stops of everything its result may make restart.
    fn probe_before_restarts(&mut self, probe: A, from: A) {
        let Some(r) = self[probe].rsc else { return };
        let mut seen = Vec::new();
        let mut stack = vec![from];
        while let Some(after) = stack.pop() {
            if self[after].is(af::DETECT_LOOP) {
                continue;
            }
            self[after].set(af::DETECT_LOOP);
            seen.push(after);
            let rsc = self[after].rsc;
            if let Some(x) = rsc.filter(|x| self.is_primitive(*x) && *x != r) {
                let down = match self[after].task.as_ref() {
                    "start" => Some("stop"),
                    "promote" => Some("demote"),
                    _ => None,
                };
                for d in down.map_or_else(Vec::new, |t| self.actions_of(x, t, None)) {
                    if !self[d].is(af::PSEUDO) {
                        self.relate(probe, d, ar::ORDERED);
                    }
                }
            }
            let mut interleave = false;
            let mut compatible = None;
            if let Some(x) = rsc.filter(|x| self[*x].variant > Variant::Group) {
                interleave = values::is_true(self[x].meta("interleave"));
                if interleave {
                    compatible = self.compatible_instance(r, x, Role::Unknown, false, None);
                }
            }
            for i in 0..self[after].after.len() {
                let rel = self[after].after[i];
                if self.restart_spreads(r, rsc, rel, interleave, compatible) {
                    stack.push(rel.action);
                }
            }
        }
        for a in seen {
            self[a].clear(af::DETECT_LOOP);
        }
    }

    fn restart_spreads(
        &self,
        r: R,
        rsc: Option<R>,
        rel: crate::world::Rel,
        interleave: bool,
        compatible: Option<R>,
    ) -> bool {
        if rel.flags & ar::FIRST_IMPLIES_THEN != 0 {
            return true;
        }
        let (Some(x), Some(chained)) = (rsc, self[rel.action].rsc) else { return false };
        if self[x].variant < Variant::Group
            || self[r].parent == Some(x)
            || self[chained].variant > Variant::Group
            || self[chained].parent != Some(x)
        {
            return false;
        }
        !(self[x].variant > Variant::Group && interleave && compatible != Some(chained))
    }

    /// What has to wait for a stop has to wait for a probe, too.
    fn order_probes_like_stops(&mut self) {
        for i in 0..self.orderings.len() {
            let order = &self.orderings[i];
            let (flags, first, then) = (order.flags, order.first.clone(), order.then.clone());
            if flags == ar::NONE {
                continue;
            }
            let r2 = self.side_rsc(&then);
            let Some(r1) = self.side_rsc(&first).filter(|r| r2 != Some(*r)) else { continue };
            let is_stop = |w: &Self, s: &Side| match s.action() {
                Some(a) => w[a].task == "stop",
                None => s.task() == Some("stop"),
            };
            if !is_stop(self, &first) {
                continue;
            }
            if r2.is_some() && self[r1].launcher == r2 && is_stop(self, &then) {
                continue;
            }
            let mut probe_flags =
                ar::ORDERED | (flags & (ar::IF_FIRST_UNMIGRATABLE | ar::IF_ON_SAME_NODE));
            if flags == ar::IF_REQUIRED_ON_SAME_NODE || flags == ar::IF_ON_SAME_NODE_OR_TARGET {
                probe_flags = flags;
            }
            let probes = self.actions_of(r1, "monitor", None);
            if probes.is_empty() {
                continue;
            }
            let thens = match (then.action(), r2, then.task()) {
                (Some(a), _, _) => vec![a],
                (None, Some(r2), Some(task)) => {
                    let task = task.to_owned();
                    self.actions_of(r2, &task, None)
                }
                _ => Vec::new(),
            };
            for p in probes {
                for t in &thens {
                    if self.probe_comes_before(p, *t) {
                        self.relate(p, *t, probe_flags);
                    }
                }
            }
        }
    }

    fn probe_comes_before(&self, probe: A, then: A) -> bool {
        let (p, t) = (&self[probe], &self[then]);
        if t.task == "stonith" && p.node == t.node {
            let on = t.meta("stonith_action").is_some_and(|v| v.eq_ignore_ascii_case("on"));
            if on {
                return false;
            }
        }
        !(t.task == "do_shutdown" && p.node.is_some() && t.node.is_some() && p.node != t.node)
    }
}
