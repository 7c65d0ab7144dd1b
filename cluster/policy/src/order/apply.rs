//! From orderings between names to relations between actions.

use crate::world::action::af;
use crate::world::{A, Ordering, R, Role, Side, World, ar};

impl World<'_> {
    pub(super) fn apply_orderings(&mut self) {
        let orderings = std::mem::take(&mut self.orderings);
        for (i, o) in orderings.iter().enumerate() {
            self.relating(i);
            self.apply_ordering(o);
        }
        self.reading(None);
        self.orderings = orderings;
        for i in (0..self.actions.len()).rev() {
            self.block_colocation_dependents(index(i));
        }
        self.order_probes();
        // From here on only the relations between actions count.
        self.orderings = Vec::new();
        for i in (0..self.actions.len()).rev() {
            self.update_action(index(i));
            while let Some(a) = self.deferred.pop() {
                self.update_action(a);
            }
        }
        self.disable_invalid();
    }

    fn apply_ordering(&mut self, o: &Ordering) {
        if let Some(r) = self.side_rsc(&o.first) {
            self.apply_to_first(r, o);
        } else if let Some(first) = o.first.action() {
            match (self.side_rsc(&o.then), o.then.action()) {
                (Some(r), _) => self.apply_to_then(Some(first), r, o),
                (None, Some(then)) => {
                    self.relate(first, then, o.flags);
                }
                (None, None) => {}
            }
        }
    }

    fn apply_to_first(&mut self, r: R, o: &Ordering) {
        let then_rsc = self.side_rsc(&o.then);
        let firsts = match &o.first {
            Side::Action(a) | Side::ActionOf(_, a) => vec![*a],
            Side::Task(_, _) | Side::Named(_, _) => {
                let task = o.first.task().unwrap_or_default().to_owned();
                let mut found = self.actions_of(r, &task, None);
                if found.is_empty() && then_rsc != Some(r) {
                    let role = self.role_of(r, true);
                    let done = (role == Role::Stopped && task == "stop")
                        || (role == Role::Unpromoted && task == "demote");
                    if !done {
                        let name: crate::world::action::Name = match &o.first {
                            Side::Task(_, t) => (*t).into(),
                            Side::Named(..) | Side::Action(_) | Side::ActionOf(..) => task.into(),
                        };
                        found =
                            vec![self.custom_action(Some(r), name.clone(), 0, name, None, true)];
                    }
                }
                found
            }
        };
        for first in firsts {
            match (then_rsc, o.then.action()) {
                (Some(t), _) => self.apply_to_then(Some(first), t, o),
                (None, Some(then)) => {
                    self.relate(first, then, o.flags);
                }
                (None, None) => {}
            }
        }
    }

    fn apply_to_then(&mut self, first: Option<A>, r: R, o: &Ordering) {
        let thens = match o.then.action() {
            Some(a) => vec![a],
            None => {
                let task = o.then.task().unwrap_or_default().to_owned();
                self.actions_of(r, &task, None)
            }
        };
        let mut flags = o.flags;
        if first.is_some_and(|f| self[f].rsc == Some(r) && self[f].is(af::MIGRATION_ABORT)) {
            flags &= !ar::FIRST_IMPLIES_THEN;
        }
        for then in thens {
            match first {
                Some(f) => {
                    self.relate(f, then, flags);
                }
                None if flags & ar::FIRST_IMPLIES_THEN != 0 => self[then].clear(af::RUNNABLE),
                None => {}
            }
        }
    }

    /// Drops orderings that turned out to make no sense.
    fn disable_invalid(&mut self) {
        for i in (0..self.actions.len()).rev() {
            let a = index(i);
            for k in 0..self[a].before.len() {
                let rel = self[a].before[k];
                if self.is_invalid(a, rel, k) {
                    self[a].before[k].flags = ar::NONE;
                }
            }
        }
    }

    fn is_invalid(&mut self, a: A, rel: crate::world::Rel, k: usize) -> bool {
        let input = rel.action;
        if rel.flags & ar::GUEST_ALLOWED == 0
            && self[input].rsc.is_some()
            && let (Some(r), Some(n)) = (self[a].rsc, self[input].node)
            && !self[r].launched.is_empty()
            && self.launcher_of(n) == Some(r)
        {
            return true;
        }
        rel.flags == ar::IF_ON_SAME_NODE_OR_TARGET
            && self[a].rsc.is_some()
            && self[a].task == "migrate_to"
            && self.has_loop(a, a, k)
    }
}

fn index(i: usize) -> A {
    A(u32::try_from(i).unwrap_or(u32::MAX))
}
