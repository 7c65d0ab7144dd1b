//! What an ordering passes on to the instances of a clone or bundle: to all, or to each from its counterpart.

use super::{FIRST, THEN, Update};
use crate::order::flags::ends_in;
use crate::world::action::af;
use crate::world::{A, N, R, Role, Variant, World, ar, values};

impl World<'_> {
    pub(super) fn update_instances(&mut self, u: Update) -> u32 {
        let Some(r) = self[u.then].rsc else { return 0 };
        if self.can_interleave_actions(u.first, u.then) {
            return self.update_interleaved(r, u);
        }
        let mut changed = self.update_ordered(u);
        let task = self[u.then].task.clone();
        for i in self.instances(r) {
            let Some(x) = self.first_action(i, &task, u.node) else { continue };
            if self.action_flags(x, u.node) & af::RUNNABLE == 0 {
                continue;
            }
            let c = self.update(i, Update { then: x, ..u });
            changed |= c;
            if c & THEN != 0 {
                self.update_after(x);
            }
        }
        changed
    }

    fn can_interleave_actions(&self, first: A, then: A) -> bool {
        let (Some(x), Some(y)) = (self[first].rsc, self[then].rsc) else { return false };
        if x == y || self[x].variant < Variant::Clone || self[y].variant < Variant::Clone {
            return false;
        }
        let down = ends_in(&self[then].key, "stop") || ends_in(&self[then].key, "demote");
        values::is_true(self[if down { x } else { y }].meta("interleave"))
    }

    fn instance_action(
        &self,
        a: A,
        instance: R,
        task: &str,
        n: Option<N>,
        for_first: bool,
    ) -> Option<A> {
        let name = self[a].task.as_ref();
        let inside = if for_first {
            name != "stop" && name != "stopped"
        } else {
            matches!(name, "promote" | "promoted" | "demote" | "demoted")
        };
        match inside.then(|| self.in_container(instance)).flatten() {
            Some(child) => self.first_action(child, task, None),
            None => self.first_action(instance, task, n),
        }
    }

    fn update_interleaved(&mut self, r: R, u: Update) -> u32 {
        let mut changed = 0;
        let Some(first_rsc) = self[u.first].rsc else { return 0 };
        let task = self.original_task(u.first);
        let key = &self[u.first].key;
        let current = ends_in(key, "stopped") || ends_in(key, "demoted");
        let then_task = self[u.then].task.clone();
        for i in self.instances(r) {
            let found = self.compatible_instance(i, first_rsc, Role::Unknown, current, None);
            let Some(other) = found else {
                let mandatory =
                    u.kind & (ar::UNRUNNABLE_FIRST_BLOCKS | ar::FIRST_IMPLIES_THEN) != 0;
                if !current && mandatory && self.assign_to(i, None, true, true) {
                    changed |= THEN;
                }
                continue;
            };
            let Some(first) = self.instance_action(u.first, other, task, u.node, true) else {
                continue;
            };
            let Some(then) = self.instance_action(u.then, i, &then_task, u.node, false) else {
                continue;
            };
            if self.relate(first, then, u.kind) {
                changed |= FIRST | THEN;
            }
            let flags = self.action_flags(first, u.node);
            changed |= self.update(i, Update { first, then, flags, ..u });
        }
        changed
    }
}
