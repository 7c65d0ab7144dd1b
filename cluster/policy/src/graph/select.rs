//! What belongs into the graph.

use crate::world::action::af;
use crate::world::{A, World, ar};

impl World<'_> {
    /// Whether the action is needed and can be done.
    pub(super) fn is_wanted(&self, a: A) -> bool {
        let action = &self[a];
        if !action.is(af::RUNNABLE) || (action.is(af::OPTIONAL) && !action.is(af::ALWAYS)) {
            return false;
        }
        let unmanaged = action.rsc.is_some_and(|r| !self[r].managed);
        if unmanaged && action.task != "monitor" && action.is_once() {
            return false;
        }
        if action.is(af::PSEUDO)
            || matches!(action.task.as_ref(), "stonith" | "do_shutdown" | "lease_ended")
        {
            return true;
        }
        let Some(n) = action.node else { return false };
        action.is(af::ON_DC)
            || (self.is_guest(n) && !self[n].remote_reset)
            || (self[n].online && !self[n].unclean)
    }

    /// Whether the `k`-th thing an action waits for still counts.
    pub(super) fn is_input(&mut self, a: A, k: usize) -> bool {
        let rel = self[a].before[k];
        if rel.graphed {
            return true;
        }
        let weak = ar::THEN_IMPLIES_FIRST_GRAPHED | ar::FIRST_IMPLIES_THEN_GRAPHED | ar::ORDERED;
        let flags = rel.flags;
        let (then, input) = (&self[a], &self[rel.action]);
        let runnable = input.is(af::RUNNABLE);
        let has = |f: u32| flags & f != 0;
        if flags == ar::NONE
            || (!runnable && (flags & !weak) == 0)
            || (!runnable && has(ar::MIN_RUNNABLE | ar::UNMIGRATABLE_THEN_BLOCKS))
            || (has(ar::IF_FIRST_UNMIGRATABLE) && input.is(af::MIGRATABLE))
        {
            return false;
        }
        let is_stop = input.key == "stop" && input.key_interval == 0 && input.rsc.is_some();
        if flags == ar::ORDERED && input.is(af::MIGRATABLE) && is_stop {
            return false;
        }
        if flags == ar::IF_ON_SAME_NODE_OR_TARGET || flags == ar::IF_REQUIRED_ON_SAME_NODE {
            let apart = if flags == ar::IF_REQUIRED_ON_SAME_NODE {
                input.node.is_some() && then.node.is_some() && input.node != then.node
            } else if let Some(r) = then.rsc.filter(|_| then.task == "migrate_to") {
                !same(input.node, self[r].assigned)
            } else {
                !same(input.node, then.node)
            };
            if apart || input.is(af::OPTIONAL) {
                self[a].before[k].flags = ar::NONE;
                return false;
            }
            return true;
        }
        if let Some(ir) = input.rsc
            && then.rsc != Some(ir)
            && self[ir].failed
            && !self[ir].managed
            && is_stop
            && then.rsc.is_some_and(|r| self.is_clone(r))
        {
            return false;
        }
        !(input.is(af::OPTIONAL)
            && input.flags & (af::ALWAYS | af::ADDED) == 0
            && !self.is_wanted(rel.action))
    }

    /// Whether waiting for the `k`-th thing would mean waiting for `init`.
    pub(crate) fn has_loop(&mut self, init: A, a: A, k: usize) -> bool {
        let mut seen = std::collections::BTreeSet::new();
        let mut todo = vec![(a, k)];
        while let Some((a, k)) = todo.pop() {
            let input = self[a].before[k].action;
            if seen.contains(&input) || !self.is_input(a, k) {
                continue;
            }
            if input == init {
                return true;
            }
            seen.insert(input);
            todo.extend((0..self[input].before.len()).map(|k| (input, k)));
        }
        false
    }
}

fn same<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
    a.is_some() && a == b
}
