//! Notifications of clone instances before and after what happens to the others.

use std::rc::Rc;

use crate::world::action::{Name, af};
use crate::world::resource::Notify;
use crate::world::{A, N, R, Role, World, ar, values};

/// Who is what, and who becomes what.
#[derive(Default)]
struct Lists {
    active: Vec<(R, Option<N>)>,
    inactive: Vec<(R, Option<N>)>,
    start: Vec<(R, Option<N>)>,
    stop: Vec<(R, Option<N>)>,
    promote: Vec<(R, Option<N>)>,
    demote: Vec<(R, Option<N>)>,
    promoted: Vec<(R, Option<N>)>,
    unpromoted: Vec<(R, Option<N>)>,
}

/// Meta attributes for all notifications of one kind.
type Keys = Vec<(&'static str, String)>;

impl World<'_> {
    fn notify_pseudo(&mut self, r: R, a: A, task: &'static str, kind: &'static str) -> A {
        let key: Name = format!("{kind}_notify_{}", self[a].task).into();
        let optional = self[a].is(af::OPTIONAL);
        let operation = self[a].task.to_string();
        let n = self.custom_action(Some(r), key, 0, task.into(), None, optional);
        self[n].set(af::PSEUDO);
        self[n].set_meta("notify_key_type", kind);
        self[n].set_meta("notify_key_operation", operation);
        n
    }

    /// The points around an action at which notifications happen.
    pub(super) fn notify_pseudos(
        &mut self,
        r: R,
        task: &'static str,
        action: Option<A>,
        complete: Option<A>,
    ) -> Option<Notify> {
        if !self[r].notify {
            return None;
        }
        let mut data = Notify { task, ..Notify::default() };
        if let Some(a) = action {
            let pre = self.notify_pseudo(r, a, "notify", "pre");
            let done = self.notify_pseudo(r, a, "notified", "confirmed-pre");
            for n in [pre, done] {
                self[n].set(af::RUNNABLE);
                self[n].set_meta("notify_type", "pre");
                self[n].set_meta("notify_operation", task);
            }
            self.relate(pre, done, ar::ORDERED);
            self.relate(done, a, ar::ORDERED);
            data.pre = Some(pre);
            data.pre_done = Some(done);
        }
        if let Some(c) = complete {
            let post = self.notify_pseudo(r, c, "notify", "post");
            let done = self.notify_pseudo(r, c, "notified", "confirmed-post");
            let runnable = self[c].is(af::RUNNABLE);
            for n in [post, done] {
                self[n].priority = values::INFINITY;
                if runnable {
                    self[n].set(af::RUNNABLE);
                } else {
                    self[n].clear(af::RUNNABLE);
                }
                self[n].set_meta("notify_type", "post");
                self[n].set_meta("notify_operation", task);
            }
            self.relate(c, post, ar::FIRST_IMPLIES_THEN);
            self.relate(post, done, ar::FIRST_IMPLIES_THEN);
            data.post = Some(post);
            data.post_done = Some(done);
        }
        if let (Some(d), Some(p)) = (data.pre_done, data.post) {
            self.relate(d, p, ar::ORDERED);
        }
        Some(data)
    }

    fn collect(&self, r: R, activity: bool, lists: &mut Lists) {
        if !self[r].children.is_empty() {
            for c in &self[r].children {
                self.collect(*c, activity, lists);
            }
            return;
        }
        let entry = (r, self[r].active.first().copied());
        match self[r].role {
            Role::Stopped => lists.inactive.push(entry),
            Role::Started => lists.active.push(entry),
            Role::Unpromoted => {
                lists.unpromoted.push(entry);
                lists.active.push(entry);
            }
            Role::Promoted => {
                lists.promoted.push(entry);
                lists.active.push(entry);
            }
            Role::Unknown => {}
        }
        if !activity {
            return;
        }
        for a in self[r].actions.iter().rev() {
            let action = &self[*a];
            let Some(n) = action.node.filter(|_| !action.is(af::OPTIONAL)) else { continue };
            let lost = action.task == "stop" && self[n].unclean;
            if !lost && !action.is(af::RUNNABLE) {
                continue;
            }
            let entry = (r, Some(n));
            match action.task.as_ref() {
                "start" => lists.start.push(entry),
                "stop" => lists.stop.push(entry),
                "promote" => lists.promote.push(entry),
                "demote" => lists.demote.push(entry),
                _ => {}
            }
        }
    }

    /// Resources and nodes of a list, sorted, each resource once.
    fn names(&self, list: &[(R, Option<N>)], need_node: bool) -> (String, String) {
        let mut list = list.to_vec();
        list.sort_by(|a, b| {
            let node = |n: Option<N>| n.map(|n| &self[n].id);
            self[a.0].id.cmp(&self[b.0].id).then_with(|| match (node(a.1), node(b.1)) {
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(_), None) => std::cmp::Ordering::Less,
                (x, y) => x.cmp(&y),
            })
        });
        let (mut rscs, mut nodes): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        let mut last = None;
        for (r, n) in &list {
            if (need_node && n.is_none()) || last == Some(*r) {
                continue;
            }
            last = Some(*r);
            rscs.push(&self[*r].id);
            nodes.extend(n.map(|n| self[n].name.as_str()));
        }
        let text = |v: Vec<&str>| if v.is_empty() { " ".to_owned() } else { v.join(" ") };
        (text(rscs), text(nodes))
    }

    fn node_names(&self, list: &[N], hosts: bool) -> String {
        let mut names: Vec<&str> = Vec::new();
        for n in list {
            let mut n = *n;
            if hosts
                && self.is_guest(n)
                && let Some(l) = self.launcher_of(n)
                && let Some(h) = self.current(l)
            {
                n = h;
            }
            names.push(&self[n].name);
        }
        if names.is_empty() { " ".to_owned() } else { names.join(" ") }
    }

    fn notify_keys(&mut self, r: R, data: &Notify, lists: &Lists) -> Keys {
        let mut keys: Keys = Vec::new();
        let both =
            |keys: &mut Keys, rsc: &'static str, node: &'static str, names: (String, String)| {
                keys.push((rsc, names.0));
                keys.push((node, names.1));
            };
        both(&mut keys, "notify_stop_resource", "notify_stop_uname", self.names(&lists.stop, true));
        both(
            &mut keys,
            "notify_start_resource",
            "notify_start_uname",
            self.names(&lists.start, true),
        );
        both(
            &mut keys,
            "notify_demote_resource",
            "notify_demote_uname",
            self.names(&lists.demote, true),
        );
        both(
            &mut keys,
            "notify_promote_resource",
            "notify_promote_uname",
            self.names(&lists.promote, true),
        );
        both(
            &mut keys,
            "notify_active_resource",
            "notify_active_uname",
            self.names(&lists.active, true),
        );
        let unpromoted = self.names(&lists.unpromoted, true);
        both(
            &mut keys,
            "notify_unpromoted_resource",
            "notify_unpromoted_uname",
            unpromoted.clone(),
        );
        both(&mut keys, "notify_slave_resource", "notify_slave_uname", unpromoted);
        let promoted = self.names(&lists.promoted, true);
        both(&mut keys, "notify_promoted_resource", "notify_promoted_uname", promoted.clone());
        both(&mut keys, "notify_master_resource", "notify_master_uname", promoted);
        keys.push(("notify_inactive_resource", self.names(&lists.inactive, false).0));
        let mut available = self[r].allowed.nodes();
        available.sort_by(|a, b| values::compare_names(&self[*a].name, &self[*b].name));
        keys.push(("notify_available_uname", self.node_names(&available, false)));
        let all = self.node_order.clone();
        if self[r].meta("container-attribute-target") == Some("host") {
            keys.push(("notify_all_hosts", self.node_names(&all, true)));
        }
        keys.push(("notify_all_uname", self.node_names(&all, false)));
        let required = match data.task {
            "stop" => lists.stop.iter().any(|(_, n)| n.is_some()),
            "start" => !lists.start.is_empty(),
            "demote" => !lists.demote.is_empty(),
            "promote" => !lists.promote.is_empty(),
            _ => false,
        };
        if required {
            for a in [data.pre, data.pre_done, data.post, data.post_done].into_iter().flatten() {
                self[a].clear(af::OPTIONAL);
            }
        }
        keys
    }

    fn add_keys(&mut self, a: A, keys: &Keys) {
        for (k, v) in keys {
            self[a].set_meta(k, v.clone());
        }
    }

    fn notify_action(
        &mut self,
        r: R,
        n: N,
        op: Option<A>,
        done: Option<A>,
        keys: &Keys,
    ) -> Option<A> {
        let (op, done) = (op?, done?);
        if !self[n].online || !self[op].is(af::RUNNABLE) {
            return None;
        }
        let kind = self[op].meta("notify_type").unwrap_or_default().to_owned();
        let task = self[op].meta("notify_operation").unwrap_or_default().to_owned();
        let key: Name = format!("{kind}_notify_{task}").into();
        let optional = self[op].is(af::OPTIONAL);
        let name = self[op].task.clone();
        let a = self.custom_action(Some(r), key, 0, name, Some(n), optional);
        let inherited = Rc::clone(&self[op].meta);
        for (k, v) in inherited.iter() {
            if self[a].meta(k).is_none() {
                self[a].set_meta(k, v.clone());
            }
        }
        self.add_keys(a, keys);
        self.relate(op, a, ar::ORDERED);
        self.relate(a, done, ar::ORDERED);
        Some(a)
    }

    fn post_notify_action(&mut self, r: R, n: N, data: &Notify, keys: &Keys) {
        if let Some(a) = self.notify_action(r, n, data.post, data.post_done, keys) {
            self[a].priority = values::INFINITY;
        }
        let Some(done) = data.post_done else { return };
        for a in self[r].actions.clone().into_iter().rev() {
            if !self[a].is_once() && self[a].task != "cancel" {
                self.relate(done, a, ar::ORDERED);
            }
        }
    }

    fn create_notify_actions(&mut self, r: R, data: &Notify, lists: &Lists, keys: &Keys) {
        if !self[r].children.is_empty() {
            for c in self[r].children.clone() {
                self.create_notify_actions(c, data, lists, keys);
            }
            return;
        }
        for a in self[r].actions.clone().into_iter().rev() {
            let action = &self[a];
            if !action.is(af::OPTIONAL)
                && action.node.is_some()
                && matches!(action.task.as_ref(), "start" | "stop" | "promote" | "demote")
            {
                self.add_keys(a, keys);
            }
        }
        match data.task {
            "start" if lists.start.is_empty() => return,
            "promote" if lists.promote.is_empty() => return,
            "demote" if lists.demote.is_empty() => return,
            _ => {}
        }
        if self[r].role != Role::Stopped && matches!(data.task, "stop" | "demote") {
            let stop = self.first_action(r, "stop", None);
            for n in self[r].active.clone() {
                if stop.is_some_and(|s| self[s].is(af::PSEUDO))
                    && (self[n].unclean || self[n].remote_reset)
                {
                    continue;
                }
                self.notify_action(r, n, data.pre, data.pre_done, keys);
                if data.task == "demote" || stop.is_none_or(|s| self[s].is(af::OPTIONAL)) {
                    self.post_notify_action(r, n, data, keys);
                }
            }
        }
        if self[r].next_role != Role::Stopped && matches!(data.task, "start" | "promote") {
            let start = self.first_action(r, "start", None);
            let remote = start.and_then(|s| self[s].node).and_then(|n| self[n].remote);
            let remote_start = remote.and_then(|c| self.first_action(c, "start", None));
            if remote_start.is_some_and(|s| !self[s].is(af::RUNNABLE)) {
                return;
            }
            let Some(n) = self[r].assigned else { return };
            if data.task != "start" || start.is_none_or(|s| self[s].is(af::OPTIONAL)) {
                self.notify_action(r, n, data.pre, data.pre_done, keys);
            }
            self.post_notify_action(r, n, data, keys);
        }
    }

    /// All notifications of a clone.
    pub(crate) fn create_notifications(&mut self, r: R) {
        let c = &self[r];
        let all = [
            c.notify_start.clone(),
            c.notify_stop.clone(),
            c.notify_promote.clone(),
            c.notify_demote.clone(),
        ];
        for data in all.into_iter().flatten() {
            let mut lists = Lists::default();
            self.collect(r, true, &mut lists);
            let keys = self.notify_keys(r, &data, &lists);
            self.create_notify_actions(r, &data, &lists, &keys);
        }
    }

    /// Tells the others after a node with an instance has been fenced.
    pub(super) fn notify_after_fencing(&mut self, stop: A, r: R, fencing: A) {
        let Some(data) = self.notify_pseudos(r, "stop", None, Some(fencing)) else { return };
        let mut lists = Lists::default();
        self.collect(r, false, &mut lists);
        let node = self[stop].node.map(|n| self[n].name.clone()).unwrap_or_default();
        let keys: Keys =
            vec![("notify_stop_resource", self[r].id.clone()), ("notify_stop_uname", node)];
        let top = self.top_of(r);
        self.create_notify_actions(top, &data, &lists, &keys);
    }
}
