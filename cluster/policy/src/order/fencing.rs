//! Fencing, unfencing, and the end of leases.

use crate::unpack::digest::Verdict;
use crate::world::action::{Needs, af};
use crate::world::{A, N, QuorumPolicy, R, Side, World, ar, values};

impl World<'_> {
    /// Whether fencing is possible: at all, or of this node.
    pub(crate) fn can_fence(&self, n: Option<N>) -> bool {
        self.can_fence_outside(n, &mut Vec::new())
    }

    /// The same; `inside` are the guests that have to be left to fence it. A guest that is said to
    /// run inside itself has no outside.
    fn can_fence_outside(&self, n: Option<N>, inside: &mut Vec<N>) -> bool {
        if let Some(n) = n.filter(|n| self.is_guest(*n)) {
            let Some(l) = self.launcher_of(n) else { return true };
            if inside.contains(&n) {
                return false;
            }
            inside.push(n);
            let hosts = &self[l].active;
            let reachable =
                hosts.iter().all(|h| self[*h].online || self.can_fence_outside(Some(*h), inside));
            inside.pop();
            return reachable;
        }
        if !self.set.fencing || !self.set.have_fencing {
            return false;
        }
        if self.set.quorate || self.set.policy == QuorumPolicy::Ignore {
            return true;
        }
        let Some(n) = n.filter(|n| self[*n].online) else { return false };
        if self[n].is_remote_kind
            && !self.set.fence_remote_without_quorum
            && let Some(r) = self[n].remote
        {
            return self[r].allowed.iter().all(|(m, _)| self[m].online);
        }
        true
    }

    /// Marks a node as in need of fencing.
    pub(crate) fn fence_node(&mut self, n: N, reason: &str, priority_delay: bool) {
        if self.is_guest(n) {
            let Some(l) = self.launcher_of(n) else { return };
            if !self[l].failed && self[l].managed {
                self[n].remote_reset = true;
                self[l].failed = true;
                self[l].stop_if_failed = true;
            }
            return;
        }
        let dangling = self[n].is_remote_kind
            && self[n]
                .remote
                .is_some_and(|r| self[r].launcher.is_none() && self[r].removed_launched);
        if dangling {
            if let Some(r) = self[n].remote {
                self[r].failed = true;
                self[r].stop_if_failed = true;
            }
        } else if self.is_remote(n) {
            if self[n].remote.is_none_or(|r| self[r].managed) {
                self[n].remote_reset = true;
            }
            self[n].unclean = true;
            self.fence_op(n, None, true, Some(reason), false);
        } else if !self[n].unclean {
            self[n].unclean = true;
            self.fence_op(n, None, true, Some(reason), priority_delay);
        }
    }

    /// Devices that must switch a node on before it may be used.
    fn unfencing_devices(&self, list: &[R], found: &mut Vec<R>) {
        for r in list {
            if !self[*r].children.is_empty() {
                self.unfencing_devices(&self[*r].children, found);
            } else if self[*r].fence_device
                && (self[*r].needs_unfencing
                    || self[*r]
                        .meta("provides")
                        .is_some_and(|v| v.eq_ignore_ascii_case("unfencing")))
            {
                found.insert(0, *r);
            }
        }
    }

    /// The fencing of a node, made if need be. It stays optional until something requires it.
    pub(crate) fn fence_op(
        &mut self,
        n: N,
        op: Option<&str>,
        optional: bool,
        reason: Option<&str>,
        priority_delay: bool,
    ) -> A {
        let mut optional = optional;
        let op = op.map_or_else(|| self.set.fence_action.clone(), str::to_owned);
        let key = format!("stonith-{}-{op}", self[n].name);
        let a = match self.singletons.get(&key) {
            Some(a) => *a,
            None => {
                let a = self.custom_action(None, key.into(), 0, "stonith".into(), Some(n), true);
                let (name, id) = (self[n].name.clone(), self[n].id.clone());
                self[a].set_meta("on_node", name);
                self[a].set_meta("on_node_uuid", id);
                self[a].set_meta("stonith_action", op);
                if self.set.unfencing {
                    optional &= self.add_fencing_digests(a, n);
                }
                a
            }
        };
        if self.set.priority_fencing_ms > 0
            && (priority_delay || self[a].meta("priority-fencing-delay").is_some())
        {
            let delay = self.priority_fencing_delay(n).to_string();
            self[a].set_meta("priority-fencing-delay", delay);
        }
        if !optional && self.can_fence(Some(n)) {
            self[a].clear(af::OPTIONAL);
            if self[a].reason.is_none() {
                self[a].reason = reason.map(str::to_owned);
            }
        } else if self[a].reason.is_none() {
            self[a].reason = reason.map(str::to_owned);
        }
        a
    }

    /// Adds the digests of all unfencing devices; false if one has changed.
    fn add_fencing_digests(&mut self, a: A, n: N) -> bool {
        let mut devices = Vec::new();
        self.unfencing_devices(&self.top, &mut devices);
        let (mut all, mut secure, mut same) = (String::new(), String::new(), true);
        for d in devices {
            let agent = self[d].config.kind.clone().unwrap_or_default();
            let (verdict, sum_all, sum_secure) = self.fencing_digest(d, &agent, n);
            same &= verdict != Verdict::Mismatch;
            let id = self[d].id.clone();
            all += &format!("{id}:{agent}:{sum_all},");
            secure += &format!("{id}:{agent}:{sum_secure},");
        }
        self[a].set_meta("digests-all", all);
        self[a].set_meta("digests-secure", secure);
        same
    }

    /// How many seconds to hold back so that the more important side survives.
    fn priority_fencing_delay(&self, n: N) -> i64 {
        if self[n].is_remote_kind || self[n].online {
            return 0;
        }
        let members: Vec<&crate::world::Node> =
            self.nodes.iter().filter(|m| !m.is_remote_kind).collect();
        let online = members.iter().filter(|m| m.online).count();
        let top = members.iter().map(|m| m.priority).max().unwrap_or(0);
        let low = members.iter().map(|m| m.priority).min().unwrap_or(0);
        if online > members.len() / 2 || low == top || self[n].priority < top {
            return 0;
        }
        values::seconds(self.set.priority_fencing_ms)
    }

    /// Requires the unfencing of a node, or of all a device may be for.
    pub(crate) fn trigger_unfencing(&mut self, r: Option<R>, n: Option<N>, reason: &str) {
        if !self.set.unfencing || r.is_some_and(|r| !self[r].fence_device) {
            return;
        }
        let usable = |w: &Self, n: N| w[n].online && !w[n].unclean && !w[n].shutdown;
        if let Some(n) = n.filter(|n| usable(self, *n)) {
            self.fence_op(n, Some("on"), false, Some(reason), false);
        } else if let Some(r) = r {
            for m in self[r].allowed.nodes() {
                if usable(self, m) {
                    self.fence_op(m, Some("on"), false, Some(reason), false);
                }
            }
        }
    }

    fn is_unfenced(&self, n: N) -> bool {
        self[n].attrs.get("#node-unfenced").is_some_and(|v| v != "0")
    }

    pub(crate) fn order_vs_unfencing(&mut self, r: R, n: N, a: A, flags: u32) {
        if (self[r].fence_device && self.set.unfencing) || self[r].needs_unfencing {
            let unfence = self.fence_op(n, Some("on"), true, None, false);
            self.relate(unfence, a, flags);
            if !self.is_unfenced(n) {
                let reason = format!("required by {} {}", self[r].id, self[a].task);
                self.trigger_unfencing(None, Some(n), &reason);
            }
        }
    }

    pub(crate) fn order_restart_vs_unfence(&mut self, n: N, r: R) {
        let unfence = self.fence_op(n, Some("on"), true, None, false);
        self.new_ordering(
            Side::Task(r, "stop"),
            Side::Action(unfence),
            ar::ORDERED | ar::IF_ON_SAME_NODE,
        );
        self.new_ordering(
            Side::Action(unfence),
            Side::Task(r, "start"),
            ar::FIRST_IMPLIES_SAME_NODE_THEN | ar::IF_ON_SAME_NODE,
        );
    }

    pub(crate) fn order_after_remote_fencing(&mut self, a: A, connection: R) {
        if let Some(n) = self.find_node(&self[connection].id.clone()) {
            let fence = self.fence_op(n, None, true, None, false);
            self.relate(fence, a, ar::FIRST_IMPLIES_THEN);
        }
    }

    fn is_known_on(&self, r: R, n: N) -> bool {
        self[r].probed.contains(&n)
            || (self.is_primitive(r)
                && self[r]
                    .parent
                    .is_some_and(|p| self.is_anonymous_clone(p) && self[p].probed.contains(&n)))
    }

    pub(crate) fn order_vs_fencing(&mut self, fencing: A) {
        for r in self.top.clone() {
            self.order_rsc_vs_fencing(r, fencing);
        }
    }

    fn order_rsc_vs_fencing(&mut self, r: R, fencing: A) {
        if !self[r].children.is_empty() {
            for c in self[r].children.clone() {
                self.order_rsc_vs_fencing(c, fencing);
            }
        } else if self[r].managed && !self[r].needs_lease {
            self.order_starts_vs_fencing(r, fencing);
            self.order_stops_vs_fencing(r, fencing);
        }
    }

    fn order_starts_vs_fencing(&mut self, r: R, fencing: A) {
        let Some(target) = self[fencing].node else { return };
        for a in self[r].actions.clone().into_iter().rev() {
            match self[a].needs {
                Needs::Nothing => {}
                Needs::Fencing => {
                    self.relate(fencing, a, ar::ORDERED);
                }
                Needs::Quorum => {
                    if self[a].task == "start"
                        && self[r].allowed.get(target).is_some()
                        && !self.is_known_on(r, target)
                    {
                        self.relate(fencing, a, ar::ORDERED | ar::UNRUNNABLE_FIRST_BLOCKS);
                    }
                }
            }
        }
    }

    fn order_stops_vs_fencing(&mut self, r: R, fencing: A) {
        let Some(target) = self[fencing].node else { return };
        let implicit = self[r].needs_fencing || self.is_guest(target);
        let top = self.top_of(r);
        let stops = self.actions_of(r, "stop", Some(target));
        let parent_stop =
            if !stops.is_empty() && implicit { self.first_action(top, "stop", None) } else { None };
        for a in stops {
            self[a].set(af::PSEUDO | af::RUNNABLE);
            if implicit {
                if !self.is_bundled(r) {
                    self.relate(fencing, a, ar::GUEST_ALLOWED);
                }
                if let Some(p) = parent_stop {
                    self.relate(fencing, p, ar::GUEST_ALLOWED);
                }
            }
            if self[r].notify {
                self.notify_after_fencing(a, r, fencing);
            }
        }
        for a in self.actions_of(r, "demote", Some(target)) {
            let gone = self[a].node.is_none_or(|n| !self[n].online || self[n].unclean);
            if gone || self[r].failed {
                self[a].set(af::PSEUDO | af::RUNNABLE);
                if !self.is_bundled(r) && implicit {
                    self.relate(fencing, a, ar::GUEST_ALLOWED | ar::ORDERED);
                }
            }
        }
    }

    /// On a lost node, what runs under a lease ends by itself: its stop is only bookkeeping after
    /// the end of the lease, and nobody waits for fencing.
    pub(super) fn end_leases(&mut self, n: N) {
        for i in 0..self.rscs.len() {
            let r = R(u32::try_from(i).unwrap_or(u32::MAX));
            if !self[r].needs_lease || !self[r].managed || !self[r].children.is_empty() {
                continue;
            }
            let ending: Vec<A> = ["demote", "stop"]
                .into_iter()
                .flat_map(|task| self.actions_of(r, task, Some(n)))
                .collect();
            if ending.is_empty() {
                continue;
            }
            let key = format!("lease_ended-{}-{}", self[r].id, self[n].name);
            let ended =
                self.custom_action(None, key.into(), 0, "lease_ended".into(), Some(n), true);
            let id = self[r].id.clone();
            self[ended].set_meta("resource", id);
            let (name, uuid) = (self[n].name.clone(), self[n].id.clone());
            self[ended].set_meta("on_node", name);
            self[ended].set_meta("on_node_uuid", uuid);
            for a in ending {
                self[a].set(af::PSEUDO | af::RUNNABLE);
                self.relate(ended, a, ar::ORDERED | ar::THEN_IMPLIES_FIRST_GRAPHED);
            }
        }
    }

    pub(super) fn fence_guest(&mut self, n: N) {
        let launcher = self.launcher_of(n);
        let stop = launcher.and_then(|l| self.first_action(l, "stop", None));
        let restarts = launcher.is_some_and(|l| self.first_action(l, "start", None).is_some());
        let action = if restarts { "reboot" } else { "off" };
        let fencing = self.fence_op(n, Some(action), false, Some("guest is unclean"), false);
        self[fencing].set(af::PSEUDO | af::RUNNABLE);
        let must = ar::UNRUNNABLE_FIRST_BLOCKS | ar::FIRST_IMPLIES_THEN;
        match stop {
            Some(s) if self[s].is(af::PSEUDO) => {
                if let Some(host) = self[s].node {
                    let parent = self.fence_op(host, None, false, None, false);
                    self.relate(parent, fencing, must);
                }
            }
            Some(s) => {
                self.relate(s, fencing, must);
            }
            None => {
                let connection = self[n].remote;
                let stop = connection.and_then(|c| self.first_action(c, "stop", None));
                if let Some(s) = stop {
                    self.relate(s, fencing, ar::ORDERED);
                }
            }
        }
        self.order_vs_fencing(fencing);
    }
}
