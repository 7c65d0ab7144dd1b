//! Making and finding actions.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::world::action::{Name, Needs, af};
use crate::world::{A, Action, N, QuorumPolicy, R, Rel, Role, World, ar};

impl World<'_> {
    fn new_action(
        &mut self,
        r: Option<R>,
        key: Name,
        interval: u64,
        task: Name,
        n: Option<N>,
        optional: bool,
    ) -> A {
        let mut flags = af::RUNNABLE;
        if task.eq_ignore_ascii_case("lrm_delete") {
            flags |= af::ON_DC;
        }
        if optional {
            flags |= af::OPTIONAL;
        }
        let a = A(u32::try_from(self.actions.len()).unwrap_or(u32::MAX));
        let mut entry = None;
        let mut meta = Rc::new(BTreeMap::new());
        let mut needs = Needs::Nothing;
        if let Some(r) = r {
            entry = self.op_config(r, &task, interval, true);
            if entry.is_none() && key.contains("_notify_") {
                entry = self.op_config(r, "notify", 0, true);
            }
            meta = self.op_meta(r, n, &task, interval, entry);
            needs = self.needs(r, &task);
            self[r].actions.push(a);
        } else {
            self.singletons.insert(key.to_string(), a);
        }
        self.actions.push(Action {
            rsc: r,
            node: n,
            task,
            key,
            key_interval: interval,
            cancel_task: None,
            reason: None,
            flags,
            needs,
            entry,
            meta,
            extra: None,
            priority: 0,
            required_before: 0,
            runnable_before: 0,
            before: Vec::new(),
            after: Vec::new(),
        });
        a
    }

    /// The oldest action of this key that is, or may be, on the node. Those not bound to a node
    /// become bound to it.
    fn find_existing(&mut self, r: Option<R>, key: &str, interval: u64, n: Option<N>) -> Option<A> {
        let Some(r) = r else {
            return self
                .singletons
                .get(key)
                .copied()
                .filter(|a| n.is_none() || self[*a].node.is_none() || self[*a].node == n);
        };
        self.matching(r, key, interval, n).first().copied()
    }

    /// Actions of this key on a node (or all), oldest first.
    fn matching(&mut self, r: R, key: &str, interval: u64, n: Option<N>) -> Vec<A> {
        let mut list = Vec::new();
        for i in 0..self[r].actions.len() {
            let a = self[r].actions[i];
            let action = &mut self.actions[a.0 as usize];
            if action.key_interval != interval || action.key != key {
                continue;
            }
            match (n, action.node) {
                (None, _) => list.push(a),
                (Some(_), None) => {
                    action.node = n;
                    list.push(a);
                }
                (Some(n), Some(m)) if n == m => list.push(a),
                _ => {}
            }
        }
        list
    }

    /// Actions of this name on a node (or all), oldest first; unbound ones become bound.
    pub(crate) fn actions_of(&mut self, r: R, key: &str, n: Option<N>) -> Vec<A> {
        self.matching(r, key, 0, n)
    }

    /// Actions of this name bound to a node already, oldest first.
    pub(crate) fn actions_exactly(&self, r: R, key: &str, n: N) -> Vec<A> {
        self.recurring_exactly(r, key, 0, n)
    }

    pub(crate) fn recurring_exactly(&self, r: R, key: &str, interval: u64, n: N) -> Vec<A> {
        let all = self[r].actions.iter().copied();
        all.filter(|a| {
            let action = &self[*a];
            action.node == Some(n) && action.key_interval == interval && action.key == key
        })
        .collect()
    }

    /// The newest action that does this, on a node if one is given.
    pub(crate) fn first_action(&self, r: R, task: &str, n: Option<N>) -> Option<A> {
        self[r].actions.iter().rev().copied().find(|a| {
            let action = &self[*a];
            (n.is_none() || action.node == n) && is_same(&action.task, task)
        })
    }

    /// The action with this key and node, made if need be.
    pub(crate) fn custom_action(
        &mut self,
        r: Option<R>,
        key: Name,
        interval: u64,
        task: Name,
        n: Option<N>,
        optional: bool,
    ) -> A {
        let a = match self.find_existing(r, &key, interval, n) {
            Some(a) => a,
            None => self.new_action(r, key, interval, task, n, optional),
        };
        self.update_optional(a, optional);
        if let Some(r) = r {
            self.evaluate_params(r, a);
            self.update_runnable(r, a);
        }
        a
    }

    fn evaluate_params(&mut self, r: R, a: A) {
        let (Some(n), Some(entry)) = (self[a].node, self[a].entry) else { return };
        if self[a].is(af::EVALUATED) {
            return;
        }
        if !self[r].config.ops[entry].params.is_empty() {
            let params = self.op_params(r, entry, n);
            self[a].extra = Some(Rc::new(params));
        }
        self[a].set(af::EVALUATED);
    }

    fn update_optional(&mut self, a: A, optional: bool) {
        let action = &self[a];
        let unmanaged = action.rsc.is_some_and(|r| !self[r].managed);
        if unmanaged
            && action.node.is_some()
            && !action.is(af::PSEUDO)
            && action.meta("interval").is_none()
        {
            self[a].set(af::OPTIONAL);
        } else if !optional {
            self[a].clear(af::OPTIONAL);
        }
    }

    fn quorum_policy(&mut self, r: R) -> QuorumPolicy {
        if self.set.quorate {
            return QuorumPolicy::Ignore;
        }
        if self.set.policy != QuorumPolicy::Demote {
            return self.set.policy;
        }
        match self[r].role {
            Role::Promoted | Role::Unpromoted => {
                if self[r].next_role > Role::Unpromoted {
                    self.set_next_role(r, Role::Unpromoted);
                }
                QuorumPolicy::Ignore
            }
            Role::Unknown | Role::Stopped | Role::Started => QuorumPolicy::Stop,
        }
    }

    fn update_runnable(&mut self, r: R, a: A) {
        if self[a].is(af::PSEUDO) {
            return;
        }
        let Some(n) = self[a].node else {
            self[a].clear(af::RUNNABLE);
            return;
        };
        let on_dc = self[a].is(af::ON_DC);
        if !on_dc && !self[n].online && (!self.is_guest(n) || self[n].remote_reset) {
            self[a].clear(af::RUNNABLE);
            if self[r].managed && self[a].task == "stop" && !self[n].unclean {
                self.fence_node(n, "stop is unrunnable", false);
            }
        } else if !on_dc && self[n].pending {
            self[a].clear(af::RUNNABLE);
        } else if self[a].needs == Needs::Nothing {
            self[a].reason = None;
            if self.is_guest(n) && !self.can_fence(Some(n)) {
                self[a].clear(af::RUNNABLE);
            } else {
                self[a].set(af::RUNNABLE);
            }
        } else {
            match self.quorum_policy(r) {
                QuorumPolicy::Stop => {
                    self[a].clear(af::RUNNABLE);
                    self[a].set_reason("no quorum", true);
                }
                QuorumPolicy::Freeze => {
                    if !self.is_active(r, true) || self[r].next_role > self[r].role {
                        self[a].clear(af::RUNNABLE);
                        self[a].set_reason("quorum freeze", true);
                    }
                }
                QuorumPolicy::Ignore | QuorumPolicy::Demote | QuorumPolicy::Fence => {
                    self[a].set(af::RUNNABLE);
                }
            }
        }
    }

    fn simple(&mut self, r: R, task: &'static str, n: N, optional: bool) -> A {
        self.custom_action(Some(r), task.into(), 0, task.into(), Some(n), optional)
    }

    pub(crate) fn start_action(&mut self, r: R, n: N) -> A {
        self.simple(r, "start", n, true)
    }
    pub(crate) fn stop_action(&mut self, r: R, n: N, optional: bool) -> A {
        self.simple(r, "stop", n, optional)
    }
    pub(crate) fn promote_action(&mut self, r: R, n: N, optional: bool) -> A {
        self.simple(r, "promote", n, optional)
    }
    pub(crate) fn demote_action(&mut self, r: R, n: N, optional: bool) -> A {
        self.simple(r, "demote", n, optional)
    }

    pub(crate) fn clear_failcount(&mut self, r: R, n: N) -> A {
        let a = self.simple(r, "clear_failcount", n, false);
        self[a].set_meta("op_no_wait", "true");
        a
    }

    pub(crate) fn clear_history(&mut self, r: R, n: N) {
        self.simple(r, "lrm_delete", n, false);
    }

    /// Stops a recurring operation.
    pub(crate) fn cancel_action(&mut self, r: R, task: &str, interval: u64, n: N) -> A {
        let name: Name = task.to_owned().into();
        let a =
            self.custom_action(Some(r), name.clone(), interval, "cancel".into(), Some(n), false);
        self[a].task = "cancel".into();
        self[a].cancel_task = Some(name);
        self[a].set_meta("operation", task);
        self[a].set_meta("interval", interval.to_string());
        a
    }

    pub(crate) fn expect_result(&mut self, a: A, rc: i32) {
        self[a].set_meta("op_target_rc", rc.to_string());
    }

    /// Relates two actions; false where that is so already.
    pub(crate) fn relate(&mut self, first: A, then: A, flags: u32) -> bool {
        if flags == ar::NONE || first == then {
            return false;
        }
        let known = if self[first].after.len() <= self[then].before.len() {
            self[first].after.iter().any(|x| x.action == then && x.made_with & flags != 0)
        } else {
            self[then].before.iter().any(|x| x.action == first && x.made_with & flags != 0)
        };
        if known {
            return false;
        }
        let rel = |action: A| Rel { action, flags, made_with: flags, graphed: false };
        self[first].after.push(rel(then));
        self[then].before.push(rel(first));
        self.note_relation(first, then);
        true
    }

    /// An action's key as reports show it.
    pub(crate) fn uuid(&self, a: A) -> String {
        let action = &self[a];
        match action.rsc {
            Some(r) => format!("{}_{}_{}", self[r].id, action.key, action.key_interval),
            None => action.key.to_string(),
        }
    }
}

/// Whether two names are the same, which nearly all are that stand at the same place.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.as_ptr() == other.as_ptr() || one == other)
}
