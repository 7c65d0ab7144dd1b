//! The status: which nodes are there, and in which order their histories can be read.

use crate::world::{N, OpRef, R, Role, Ticket, World, values};
use haven_types::status::{NodeState, Presence};

impl World<'_> {
    pub(super) fn unpack_status(&mut self) {
        let status = self.status;
        for t in &status.tickets {
            let entry = Ticket { granted: t.granted, standby: t.standby };
            self.tickets.insert(t.id.clone(), entry);
        }
        for state in &status.nodes {
            self.unpack_node_state(state);
        }
        while self.unpack_histories(false) {}
        self.unpack_histories(self.set.fencing);
        for c in std::mem::take(&mut self.stop_needed) {
            if let Some(n) = self.current(c) {
                self.stop_action(c, n, false);
            }
        }
        for n in self.node_order.clone() {
            if !self[n].is_remote_kind {
                continue;
            }
            if self[n].shutdown
                && let Some(r) = self[n].remote
            {
                self.set_next_role(r, Role::Stopped);
            }
            if !self[n].unpacked {
                self.remote_online_status(n);
            }
        }
    }

    fn state_node(&self, state: &NodeState) -> Option<N> {
        self.find_node_id(&state.id).or_else(|| self.find_node(&state.uname))
    }

    fn unpack_node_state(&mut self, state: &NodeState) {
        let Some(n) = self.state_node(state) else { return };
        if self[n].is_remote_kind {
            self[n].remote_fenced = values::min_int(state.node_fenced.as_deref(), 0) > 0;
            return;
        }
        self.transient_attributes(n, state);
        self[n].standby |= self.attr_is_true(n, "standby");
        self[n].maintenance |= self.attr_is_true(n, "maintenance");
        self[n].unclean = false;
        self[n].seen = true;
        self.online_status(n, state);
        if !self.set.quorate
            && self[n].online
            && self.set.policy == crate::world::QuorumPolicy::Fence
        {
            self.fence_node(n, "cluster does not have quorum", false);
        }
    }

    fn transient_attributes(&mut self, n: N, state: &NodeState) {
        self.add_builtin_attrs(n);
        for (k, v) in &state.attributes {
            self[n].attrs.insert(k.clone(), v.clone());
        }
        for (k, v) in &state.utilization {
            let v = values::int(v).unwrap_or(0);
            self[n].utilization.entry(k.clone()).or_insert(v);
        }
        self.add_site_name(n);
    }

    fn attr_is_true(&self, n: N, name: &str) -> bool {
        values::is_true(self[n].attrs.get(name).map(String::as_str))
    }

    /// Whether the node asked to leave.
    pub(crate) fn shutdown_requested(&self, n: N) -> bool {
        self[n].attrs.get("shutdown").is_some_and(|v| v != "0")
    }

    fn member_since(&self, p: Presence) -> i64 {
        match p {
            Presence::Unknown => -1,
            Presence::No => 0,
            Presence::Yes => self.now,
            Presence::Since(t) => t,
        }
    }

    fn online_status(&mut self, n: N, state: &NodeState) {
        self[n].shutdown = self.shutdown_requested(n);
        if !self[n].shutdown
            && state.expected.as_deref().is_some_and(|e| e.eq_ignore_ascii_case("member"))
        {
            self[n].expected_up = true;
        }
        let online = if self.set.fencing {
            self.online_with_fencing(n, state)
        } else {
            self.online_without_fencing(n, state)
        };
        self[n].online |= online;
        if !online || self[n].shutdown {
            self[n].base.score = -values::INFINITY;
        }
    }

    fn online_without_fencing(&mut self, n: N, state: &NodeState) -> bool {
        let member = self.member_since(state.in_membership) > 0;
        if !member {
            false
        } else if state.peer_online.is_yes() {
            state.join.as_deref().is_some_and(|j| j.eq_ignore_ascii_case("member"))
        } else {
            if self[n].expected_up {
                self.fence_node(n, "peer is unexpectedly down", false);
            }
            false
        }
    }

    fn online_with_fencing(&mut self, n: N, state: &NodeState) -> bool {
        let terminate = self[n].attrs.get("terminate").is_some_and(|v| {
            values::boolean(v).unwrap_or_else(|| values::int(v).is_some_and(|i| i > 0))
        });
        let member = self.member_since(state.in_membership);
        let online = state.peer_online.is_yes();
        if self[n].shutdown {
            return online;
        }
        if member < 0 {
            self.fence_node(n, "peer has not been seen by the cluster", false);
            return false;
        }
        let join = state.join.as_deref();
        if join == Some("banned") {
            self.fence_node(n, "peer failed Pacemaker membership criteria", false);
        } else if terminate {
            if member <= 0 && !online && join == Some("down") {
                return false;
            }
            self.fence_node(n, "fencing was requested", false);
        } else if state.expected.as_deref().is_none_or(|e| e == "down") {
            if self.pending_too_long(member, online) {
                self.fence_node(n, "peer pending timed out on joining the process group", false);
            } else if member > 0 || online {
                self[n].standby = true;
                self[n].pending = true;
            }
        } else if member <= 0 {
            self.fence_node(n, "peer is no longer part of the cluster", true);
        } else if !online {
            self.fence_node(n, "peer process is no longer available", false);
        } else if matches!(join, Some("pending" | "down")) {
            self[n].standby = true;
            self[n].pending = true;
        } else if join != Some("member") {
            self.fence_node(n, "peer was in an unknown state", false);
        }
        member > 0
    }

    fn pending_too_long(&mut self, member: i64, online: bool) -> bool {
        if self.set.node_pending_ms == 0 || member <= 0 || online {
            return false;
        }
        let timeout = member + values::seconds(self.set.node_pending_ms);
        if self.now >= timeout {
            return true;
        }
        self.recheck(timeout);
        false
    }

    /// Reads the histories whose nodes are known well enough; true if there was one.
    fn unpack_histories(&mut self, fence: bool) -> bool {
        let status = self.status;
        let mut again = false;
        for (i, state) in status.nodes.iter().enumerate() {
            let Some(n) = self.state_node(state) else { continue };
            if state.uname.is_empty() || self[n].unpacked || !self.history_counts(n, fence) {
                continue;
            }
            if self[n].is_remote_kind {
                self.remote_online_status(n);
                self.remote_attributes(n, state);
            }
            self[n].unpacked = true;
            self.unpack_history(n, i);
            again = true;
        }
        again
    }

    fn history_counts(&self, n: N, fence: bool) -> bool {
        let started = |r: R| self[r].role == Role::Started;
        if fence {
            true
        } else if self.is_guest(n) {
            self[n].remote.is_some_and(started) && self.launcher_of(n).is_some_and(started)
        } else if self.is_remote(n) {
            self[n].remote.is_some_and(|r| self.set.shutdown_lock || started(r))
        } else {
            self.set.fencing || self.set.shutdown_lock || self[n].online
        }
    }

    fn remote_online_status(&mut self, n: N) {
        let Some(r) = self[n].remote else {
            self[n].online = false;
            return;
        };
        let launcher = self[r].launcher;
        let host = match (launcher, &self[r].active[..]) {
            (Some(_), [h]) => Some(*h),
            _ => None,
        };
        if self[r].role == Role::Started {
            self[n].online = true;
            if self[r].next_role == Role::Stopped {
                self[n].shutdown = true;
            }
        }
        if launcher.is_some_and(|l| self[l].failed) {
            self[n].online = false;
            self[n].remote_reset = true;
        } else if self[r].failed {
            self[n].online = false;
        } else if self[r].role == Role::Stopped
            || launcher.is_some_and(|l| self[l].role == Role::Stopped)
        {
            self[n].online = false;
            self[n].remote_reset = false;
        } else if host.is_some_and(|h| !self[h].online && self[h].unclean) {
            self[n].online = false;
            self[n].remote_reset = true;
        }
    }

    fn remote_attributes(&mut self, n: N, state: &NodeState) {
        self[n].remote_maintenance = values::min_int(state.remote_maintenance.as_deref(), 0) > 0;
        if !self[n].remote_reset {
            self[n].unclean = false;
            self[n].seen = true;
        }
        self.transient_attributes(n, state);
        self[n].shutdown |= self.shutdown_requested(n);
        self[n].standby |= self.attr_is_true(n, "standby");
        let unmanaged = self[n].remote.is_some_and(|r| !self[r].managed);
        self[n].maintenance |= self.attr_is_true(n, "maintenance") || unmanaged;
        let discovery = self[n].attrs.get("resource-discovery-enabled").cloned();
        let may_skip = self.set.fencing || !self.is_remote(n);
        if may_skip && discovery.is_some_and(|d| !values::is_true(Some(&d))) {
            self[n].probes_allowed = false;
        }
    }

    fn unpack_history(&mut self, n: N, i: usize) {
        let mut found_removed = false;
        for j in 0..self.status.nodes[i].resources.len() {
            let r = self.unpack_resource_history(n, i, j);
            found_removed |= r.is_some_and(|r| self[r].removed_launched);
        }
        if !found_removed {
            return;
        }
        for j in 0..self.status.nodes[i].resources.len() {
            let entry = self.history(i, j);
            let Some(launcher) = entry.container.as_deref().and_then(|c| self.find_rsc(c)) else {
                continue;
            };
            let Some(r) = self.find_rsc(&entry.id) else { continue };
            if self[r].launcher.is_none() && self[r].removed_launched {
                self[r].launcher = Some(launcher);
                self[launcher].launched.push(r);
            }
        }
    }

    /// Compares two operations: below 0 when the first is older, above when newer.
    pub(crate) fn newer(&self, a: OpRef, b: OpRef) -> i32 {
        let (x, y) = (self.op(a), self.op(b));
        let on = |v: &Option<String>| v.as_deref().map(str::to_ascii_lowercase);
        let same_node = on(&x.on_node) == on(&y.on_node);
        if same_node && x.id == y.id {
            return 0;
        }
        let (ca, cb) = (x.call_id, y.call_id);
        if ca == -1 && cb == -1 {
            return 0;
        }
        if same_node && ca >= 0 && ca < cb {
            return -1;
        }
        if same_node && cb >= 0 && ca > cb {
            return 1;
        }
        if ca >= 0 && cb >= 0 && (!same_node || ca == cb) {
            let (ta, tb) = (x.last_rc_change.unwrap_or(-1), y.last_rc_change.unwrap_or(-1));
            return match () {
                () if ta >= 0 && ta < tb => -1,
                () if tb >= 0 && ta > tb => 1,
                () => 0,
            };
        }
        let (Some(ma), Some(mb)) =
            (magic(x.transition_magic.as_deref()), magic(y.transition_magic.as_deref()))
        else {
            return 0;
        };
        if !ma.0.eq_ignore_ascii_case(mb.0) || ma.1 == mb.1 {
            return if cb == -1 {
                -1
            } else if ca == -1 {
                1
            } else {
                0
            };
        }
        if (ma.1 >= 0 && ma.1 < mb.1) || mb.1 == -1 {
            -1
        } else if (mb.1 >= 0 && ma.1 > mb.1) || ma.1 == -1 {
            1
        } else {
            0
        }
    }
}

/// Coordinator and transition number of a magic string.
fn magic(text: Option<&str>) -> Option<(&str, i64)> {
    let (_, key) = text?.split_once(';')?;
    let mut parts = key.splitn(4, ':');
    parts.next()?;
    let transition = parts.next()?.parse().ok()?;
    parts.next()?;
    Some((parts.next()?, transition))
}
