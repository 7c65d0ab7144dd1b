//! What follows from a resource's state on a node: where it counts as active, and what a failure
//! there asks for.

use crate::world::action::OnFail;
use crate::world::resource::MultiplyActive;
use crate::world::{N, R, Role, Why, World, values};

impl World<'_> {
    pub(super) fn process_state(&mut self, r: R, n: N, on_fail: OnFail) {
        let known_active = self[r].role > Role::Stopped;
        if self[r].role != Role::Unknown {
            let mut at = Some(r);
            while let Some(i) = at {
                self[i].probed.insert(n);
                if self[i].unique {
                    break;
                }
                at = self[i].parent;
            }
        }
        if known_active && !self[n].online && !self[n].maintenance && self[r].managed {
            self.fence_lost_node(r, n);
        }
        let effective = if self[n].unclean { OnFail::Ignore } else { on_fail };
        self.react(r, n, effective, known_active);
        if self[r].failed
            && self[r].is_remote_connection
            && let Some(m) = self.find_node(&self[r].id.clone())
            && self[m].unclean
        {
            self[m].seen = true;
        }
        if known_active {
            self.add_running(r, n, on_fail != OnFail::Ignore);
            match effective {
                OnFail::Ignore => {}
                OnFail::Demote | OnFail::Block => self[r].failed = true,
                OnFail::Restart
                | OnFail::ResetRemote
                | OnFail::RestartContainer
                | OnFail::Ban
                | OnFail::Stop
                | OnFail::Standby
                | OnFail::Fence => {
                    self[r].failed = true;
                    self[r].stop_if_failed = true;
                }
            }
        } else if self[r].history_id.as_deref().is_some_and(|h| h.contains(':')) {
            self.set_history_id(r, None);
        } else {
            for a in self.actions_of(r, "stop", Some(n)) {
                self[a].set(crate::world::action::af::OPTIONAL);
            }
        }
        if self[r].role == Role::Stopped
            && !self[r].active.is_empty()
            && self[r].migration_target.is_some()
            && self[r].migration_source == Some(n)
        {
            self[r].role = Role::Started;
        }
    }

    fn fence_lost_node(&mut self, r: R, n: N) {
        let mut reason = format!("{} is thought to be active there", self[r].id);
        if self.is_guest(n) {
            self[r].failed = true;
            self[r].stop_if_failed = true;
        } else if self.set.fencing {
            if self.is_remote(n) && self[n].remote.is_some_and(|c| !self[c].failed) {
                self[n].seen = false;
                reason = format!(
                    "{} is active there (fencing will be revoked if remote connection can be \
                     re-established elsewhere)",
                    self[r].id
                );
            }
        } else {
            return;
        }
        self.fence_node(n, &reason, false);
    }

    fn react(&mut self, r: R, n: N, on_fail: OnFail, known_active: bool) {
        let fail = |w: &mut Self| {
            w[r].failed = true;
            w[r].stop_if_failed = true;
        };
        match on_fail {
            OnFail::Ignore => {}
            OnFail::Demote => {
                self[r].failed = true;
                self.demote_action(r, n, false);
            }
            OnFail::Fence => {
                let reason = format!("{} failed there", self[r].id);
                self.fence_node(n, &reason, false);
            }
            OnFail::Standby => {
                self[n].standby = true;
                self[n].fail_standby = true;
            }
            OnFail::Block => {
                self[r].managed = false;
                self[r].blocked = true;
            }
            OnFail::Ban => {
                self.resource_location(r, Some(n), -values::INFINITY, Why::Failure);
            }
            OnFail::Stop => self.set_next_role(r, Role::Stopped),
            OnFail::Restart => {
                if known_active {
                    fail(self);
                    self.stop_action(r, n, false);
                }
            }
            OnFail::RestartContainer => {
                fail(self);
                match self[r].launcher {
                    Some(l) if self.is_bundled(r) => self.stop_needed.insert(0, l),
                    Some(l) => {
                        self.stop_action(l, n, false);
                    }
                    None if known_active => {
                        self.stop_action(r, n, false);
                    }
                    None => {}
                }
            }
            OnFail::ResetRemote => {
                fail(self);
                if self.set.fencing && self[r].is_remote_connection {
                    let m = self.find_node(&self[r].id.clone());
                    if let Some(m) = m.filter(|m| self.is_remote(*m) && !self[*m].remote_fenced) {
                        self.fence_node(m, "remote connection is unrecoverable", false);
                    }
                }
                if known_active {
                    self.stop_action(r, n, false);
                }
                if self[r].reconnect_ms > 0 {
                    self.set_next_role(r, Role::Stopped);
                }
            }
        }
    }

    /// Notes that a resource runs on a node.
    pub(crate) fn add_running(&mut self, r: R, n: N, failed: bool) {
        if self[r].active.contains(&n) {
            return;
        }
        self[r].active.push(n);
        if self.is_primitive(r) {
            self[n].running.push(r);
            self.add_priority(r, n, failed);
            if self[n].maintenance {
                self[r].managed = false;
                self[r].maintenance = true;
            }
        }
        let parent = self[r].parent;
        if !self[r].managed {
            self.resource_location(r, Some(n), values::INFINITY, Why::Unmanaged);
            let mut at = parent;
            while let Some(p) = at {
                self[p].active.push(n);
                at = self[p].parent;
            }
            return;
        }
        if self.is_primitive(r) && self.active_count(r) > 1 {
            match self[r].multiply_active {
                MultiplyActive::Stop => self.noting(r, Why::MultiplyActive, |w| w.reset_table(r)),
                MultiplyActive::Block => self.block_multiply_active(r),
                MultiplyActive::Restart | MultiplyActive::Unexpected => {}
            }
        }
        if let Some(p) = parent {
            self.add_running(p, n, false);
        }
    }

    fn block_multiply_active(&mut self, r: R) {
        self[r].managed = false;
        self[r].blocked = true;
        let Some(p) = self[r].parent else { return };
        if (self.is_group(p) || self.is_bundle(p))
            && self[p].multiply_active == MultiplyActive::Block
        {
            for c in self[p].children.clone() {
                self[c].managed = false;
                self[c].blocked = true;
            }
        }
    }

    /// How many nodes count as running it.
    fn active_count(&self, r: R) -> usize {
        let (_, all, clean) = self.active_node(r);
        if self[r].needs_fencing { all } else { clean }
    }

    fn add_priority(&mut self, r: R, n: N, failed: bool) {
        let mut priority = i64::from(self[r].priority);
        if priority == 0 || failed {
            return;
        }
        priority += i64::from(self[r].role == Role::Promoted);
        self[n].priority += priority;
        if let Some(l) = self.launcher_of(n) {
            for h in self[l].active.clone() {
                self[h].priority += priority;
            }
        }
    }
}
