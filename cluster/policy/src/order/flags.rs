//! The flags of actions, with those of the parts of what they are about.

use crate::world::action::{Name, af};
use crate::world::{A, N, R, Variant, World};

/// The name of the completion of an action of something composed.
fn completion(task: &str) -> Option<&'static str> {
    Some(match task {
        "stop" | "stopped" => "stopped",
        "start" | "running" => "running",
        "notify" | "notified" => "notified",
        "promote" | "promoted" => "promoted",
        "demote" | "demoted" => "demoted",
        _ => return None,
    })
}

/// Whether a key is of this task, as itself or in a notification.
pub(super) fn ends_in(key: &str, task: &str) -> bool {
    key.strip_suffix(task).is_some_and(|r| r.is_empty() || r.ends_with('_'))
}

/// The name of the action that a completion completes.
fn atomic(task: &str) -> &'static str {
    match task {
        "stopped" | "stop" => "stop",
        "running" | "start" => "start",
        "promoted" | "promote" => "promote",
        "demoted" | "demote" => "demote",
        other => known(other),
    }
}

/// A task by its own name, if it is one of those that matter here.
fn known(task: &str) -> &'static str {
    const ALL: [&str; 13] = [
        "stop",
        "stopped",
        "start",
        "running",
        "do_shutdown",
        "stonith",
        "monitor",
        "notify",
        "notified",
        "promote",
        "promoted",
        "demote",
        "demoted",
    ];
    ALL.iter().copied().find(|k| *k == task).unwrap_or("no_action")
}

impl World<'_> {
    /// Folds a completion into its action where the resource is simple.
    pub(super) fn task_for(&self, r: R, task: &str) -> &'static str {
        if self.is_primitive(r) { atomic(task) } else { known(task) }
    }

    /// The flags of an action, with those of the parts of what it is about.
    pub(super) fn action_flags(&mut self, a: A, n: Option<N>) -> u32 {
        let Some(r) = self[a].rsc else { return self[a].flags };
        match self[r].variant {
            Variant::Primitive => self[a].flags,
            Variant::Group => self.group_flags(r, a, n),
            Variant::Clone => {
                let children = self[r].children.clone();
                self.collective_flags(a, &children, n)
            }
            Variant::Bundle => self.bundle_flags(r, a, n),
        }
    }

    pub(crate) fn settle_action(&mut self, a: A) {
        self.action_flags(a, None);
    }

    pub(super) fn group_flags(&mut self, r: R, a: A, n: Option<N>) -> u32 {
        let mut flags = af::OPTIONAL | af::RUNNABLE | af::PSEUDO;
        for i in 0..self[r].children.len() {
            let m = self[r].children[i];
            let task = self.task_for(m, &self[a].task.clone());
            match self.first_action(m, task, n) {
                Some(x) => {
                    let own = self.action_flags(x, n);
                    if own & af::OPTIONAL == 0 && flags & af::OPTIONAL != 0 {
                        flags &= !af::OPTIONAL;
                        self[a].clear(af::OPTIONAL);
                    }
                    if task != self[a].task && flags & af::RUNNABLE != 0 && own & af::RUNNABLE == 0
                    {
                        flags &= !af::RUNNABLE;
                        self[a].clear(af::RUNNABLE);
                    }
                }
                None if task != "stop" && task != "demote" => flags &= !af::RUNNABLE,
                None => {}
            }
        }
        flags
    }

    pub(super) fn bundle_flags(&mut self, r: R, a: A, n: Option<N>) -> u32 {
        if let Some(inner) = self[r].bundle.as_ref().and_then(|b| b.child) {
            let task = self.task_for(inner, &self[a].task.clone());
            if matches!(
                task,
                "no_action" | "notify" | "notified" | "promote" | "promoted" | "demote" | "demoted"
            ) {
                let children = self[inner].children.clone();
                return self.collective_flags(a, &children, n);
            }
        }
        let containers = self.containers(r);
        self.collective_flags(a, &containers, n)
    }

    /// The name of the instances' action that a clone's action stands for.
    pub(super) fn original_task(&self, a: A) -> &'static str {
        let action = &self[a];
        let Some(first) = action.rsc.and_then(|r| self[r].children.first().copied()) else {
            return "no_action";
        };
        let mut name: &str = &action.task;
        if name == "notify" || name == "notified" {
            name = action.key.split_once("_notify_").map_or("", |(_, t)| t);
        }
        self.task_for(first, name)
    }

    pub(super) fn collective_flags(&mut self, a: A, instances: &[R], n: Option<N>) -> u32 {
        let task = self.original_task(a);
        let mut flags = af::OPTIONAL | af::RUNNABLE | af::PSEUDO;
        let mut runnable = false;
        for i in instances {
            let here = if self.is_primitive(*i) { n } else { None };
            let Some(x) = self.first_action(*i, task, here) else { continue };
            let own = self.action_flags(x, n);
            if own & af::OPTIONAL == 0 && flags & af::OPTIONAL != 0 {
                flags &= !af::OPTIONAL;
                self[a].clear(af::OPTIONAL);
            }
            runnable |= own & af::RUNNABLE != 0;
        }
        if !runnable {
            flags &= !af::RUNNABLE;
            if n.is_none() {
                self[a].clear(af::RUNNABLE);
            }
        }
        flags
    }

    pub(super) fn flags_for_ordering(&mut self, a: A, n: Option<N>) -> u32 {
        let Some(r) = self[a].rsc else { return self[a].flags };
        let flags = self.action_flags(a, None);
        if n.is_none() || !self.is_clone(r) {
            return flags;
        }
        self.action_flags(a, n) | (flags & af::RUNNABLE)
    }

    /// For something composed, what counts is that it has been done, not that it began.
    pub(super) fn action_for_ordering(&self, a: A) -> A {
        let action = &self[a];
        let Some(r) = action.rsc.filter(|r| self[*r].variant >= Variant::Group) else { return a };
        if action.key.contains("notify") || action.key_interval > 0 {
            return a;
        }
        let Some(task) = completion(&action.key) else { return a };
        let in_bundle = self.is_bundle(self.top_bundle(r));
        let notify = self[r].notify && (self.is_clone(r) || in_bundle);
        let key: Name =
            if notify { format!("confirmed-post_notify_{task}").into() } else { task.into() };
        let found = self[r]
            .actions
            .iter()
            .rev()
            .copied()
            .find(|x| self[*x].key == key && self[*x].key_interval == 0);
        found.unwrap_or(a)
    }
}
