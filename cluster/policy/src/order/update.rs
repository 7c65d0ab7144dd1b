//! Passing requirements and obstacles along the relations of actions.

mod instances;

use crate::world::action::af;
use crate::world::resource::Place;
use crate::world::{A, N, R, Role, Variant, World, ar, values};

/// Nesting allowed before further work is put off; keeps the stack small.
const MAX_DEPTH: u32 = 64;

const FIRST: u32 = 1;
const THEN: u32 = 2;

/// What one ordering wants to pass from one action to another.
#[derive(Clone, Copy)]
struct Update {
    first: A,
    then: A,
    node: Option<N>,
    flags: u32,
    filter: u32,
    kind: u32,
}

impl World<'_> {
    /// Looks at all an action waits for, and at what follows from that.
    pub(super) fn update_action(&mut self, then: A) {
        if self.depth >= MAX_DEPTH {
            self.deferred.push(then);
            return;
        }
        self.depth += 1;
        self.update_action_now(then);
        self.depth -= 1;
    }

    fn update_after(&mut self, a: A) {
        for i in (0..self[a].after.len()).rev() {
            self.update_action(self[a].after[i].action);
        }
    }

    fn update_action_now(&mut self, then: A) {
        let mut changed = 0;
        let last_flags = self[then].flags;
        if self[then].required_before > 0 {
            self[then].runnable_before = 0;
            self[then].clear(af::RUNNABLE);
        }
        for i in (0..self[then].before.len()).rev() {
            changed &= !FIRST;
            let Some(first) = self.update_pair(then, i, &mut changed) else { continue };
            if changed & FIRST != 0 {
                self.update_after(first);
                self.update_action(first);
            }
        }
        if self[then].required_before > 0 {
            if last_flags == self[then].flags {
                changed &= !THEN;
            } else {
                changed |= THEN;
            }
        }
        if changed & THEN != 0 {
            if last_flags & af::RUNNABLE != 0 && !self[then].is(af::RUNNABLE) {
                self.block_colocation_dependents(then);
            }
            self.update_action(then);
            self.update_after(then);
        }
    }

    /// The node of a group's start is where the group will be.
    fn node_for_pair(&self, a: A) -> Option<N> {
        let action = &self[a];
        match action.rsc {
            Some(r) if self.is_group(r) && action.task == "start" => {
                self.node_of(r, Place::Assigned)
            }
            _ => action.node,
        }
    }

    fn update_pair(&mut self, then: A, i: usize, changed: &mut u32) -> Option<A> {
        let rel = self[then].before[i];
        let mut first = rel.action;
        let (first_node, then_node) = (self.node_for_pair(first), self.node_for_pair(then));
        if rel.flags & ar::IF_ON_SAME_NODE != 0
            && let (Some(x), Some(y)) = (first_node, then_node)
            && x != y
        {
            self[then].before[i].flags = ar::NONE;
            return None;
        }
        let (r1, r2) = (self[first].rsc, self[then].rsc);
        if let Some(r) = r1
            && rel.flags & ar::THEN_CANCELS_FIRST != 0
            && !self[then].is(af::OPTIONAL)
        {
            self[first].set(af::OPTIONAL);
            if self[first].task == "reload-agent" {
                self[r].reload = false;
            }
        }
        if let (Some(x), Some(y)) = (r1, r2)
            && x != y
            && !self.is_inside(y, x)
        {
            first = self.action_for_ordering(first);
        }
        if first == rel.action {
            let first_flags = self.flags_for_ordering(first, then_node);
            let then_flags = self.flags_for_ordering(then, first_node);
            *changed |= self.update_flags(first, then, first_flags, then_flags, i);
        } else if self.relate(first, then, rel.flags) {
            *changed |= THEN;
            self[then].before[i].flags = ar::NONE;
        }
        Some(first)
    }

    fn update_flags(&mut self, first: A, then: A, ff: u32, tf: u32, i: usize) -> u32 {
        let mut changed = 0;
        let mut node = self[then].node;
        let mut kind = self[then].before[i].flags;
        if kind & ar::FIRST_IMPLIES_SAME_NODE_THEN != 0 {
            kind = (kind & !ar::FIRST_IMPLIES_SAME_NODE_THEN) | ar::FIRST_IMPLIES_THEN;
            self[then].before[i].flags = kind;
            node = self[first].node;
        }
        let has = |flag: u32| kind & flag != 0;
        let (r1, r2) = (self[first].rsc, self[then].rsc);
        let up =
            |flags: u32, filter: u32, kind: u32| Update { first, then, node, flags, filter, kind };
        let optional_only = ff & af::OPTIONAL;
        if has(ar::FIRST_IMPLIES_THEN) {
            if let Some(r) = r2 {
                changed |= self.update(r, up(optional_only, af::OPTIONAL, ar::FIRST_IMPLIES_THEN));
            } else if ff & af::OPTIONAL == 0 && self[then].is(af::OPTIONAL) {
                self[then].clear(af::OPTIONAL);
                changed |= THEN;
            }
        }
        if has(ar::INTERMEDIATE_STOP)
            && let Some(r) = r2
        {
            changed |= self.update(r, up(ff, af::OPTIONAL | af::RUNNABLE, ar::INTERMEDIATE_STOP));
        }
        if has(ar::THEN_IMPLIES_FIRST) {
            if let Some(r) = r1 {
                changed |= self.update(r, up(ff, af::OPTIONAL, ar::THEN_IMPLIES_FIRST));
            } else if ff & af::OPTIONAL == 0 && self[first].is(af::RUNNABLE) {
                self[first].clear(af::RUNNABLE);
                changed |= FIRST;
            }
        }
        if has(ar::PROMOTED_THEN_IMPLIES_FIRST)
            && let Some(r) = r2
        {
            let kind = ar::PROMOTED_THEN_IMPLIES_FIRST;
            changed |= self.update(r, up(optional_only, af::OPTIONAL, kind));
        }
        if has(ar::MIN_RUNNABLE) {
            if let Some(r) = r2 {
                changed |= self.update(r, up(ff, af::RUNNABLE, ar::MIN_RUNNABLE));
            } else if ff & af::RUNNABLE != 0 {
                self[then].runnable_before += 1;
                if self[then].runnable_before >= self[then].required_before
                    && !self[then].is(af::RUNNABLE)
                {
                    self[then].set(af::RUNNABLE);
                    changed |= THEN;
                }
            }
        }
        if has(ar::NESTED_REMOTE_PROBE)
            && let Some(r) = r2
        {
            if ff & af::RUNNABLE == 0 && r1.is_some_and(|r| !self[r].active.is_empty()) {
                self[then].before[i].flags = ar::NONE;
            } else {
                changed |= self.update(r, up(ff, af::RUNNABLE, ar::UNRUNNABLE_FIRST_BLOCKS));
            }
        }
        if has(ar::UNRUNNABLE_FIRST_BLOCKS) {
            if let Some(r) = r2 {
                changed |= self.update(r, up(ff, af::RUNNABLE, ar::UNRUNNABLE_FIRST_BLOCKS));
            } else if ff & af::RUNNABLE == 0 && self[then].is(af::RUNNABLE) {
                self[then].clear(af::RUNNABLE);
                changed |= THEN;
            }
        }
        for (flag, filter) in [
            (ar::UNMIGRATABLE_THEN_BLOCKS, af::OPTIONAL),
            (ar::FIRST_ELSE_THEN, af::OPTIONAL),
            (ar::ORDERED, af::RUNNABLE),
            (ar::ASYMMETRIC, af::RUNNABLE),
        ] {
            if has(flag)
                && let Some(r) = r2
            {
                changed |= self.update(r, up(ff, filter, flag));
            }
        }
        if self[first].is(af::RUNNABLE)
            && has(ar::FIRST_IMPLIES_THEN_GRAPHED)
            && ff & af::OPTIONAL == 0
        {
            self[then].set(af::ALWAYS);
        }
        if has(ar::THEN_IMPLIES_FIRST_GRAPHED) && tf & af::OPTIONAL == 0 {
            self[first].set(af::ALWAYS);
        }
        let strong = ar::FIRST_IMPLIES_THEN | ar::THEN_IMPLIES_FIRST | ar::INTERMEDIATE_STOP;
        if kind & strong != 0
            && r1.is_some_and(|r| !self[r].managed && self[r].blocked)
            && !self[first].is(af::RUNNABLE)
            && self[first].task == "stop"
            && self[then].is(af::RUNNABLE)
        {
            self[then].clear(af::RUNNABLE);
            changed |= THEN;
        }
        changed
    }

    fn update(&mut self, r: R, u: Update) -> u32 {
        match self[r].variant {
            Variant::Primitive => self.update_ordered(u),
            Variant::Group => {
                let mut changed = self.update_ordered(u);
                let Some(g) = self[u.then].rsc else { return changed };
                let task = self[u.then].task.clone();
                for m in self[g].children.clone() {
                    if let Some(x) = self.first_action(m, &task, u.node) {
                        changed |= self.update(m, Update { then: x, ..u });
                    }
                }
                changed
            }
            Variant::Clone | Variant::Bundle => self.update_instances(u),
        }
    }

    fn clear_because(&mut self, a: A, flag: u32, reason: A) {
        if !self[a].is(flag) {
            return;
        }
        self[a].clear(flag);
        self.note_cause(a, flag, reason);
        if self[a].rsc == self[reason].rsc || self[a].reason.is_some() {
            return;
        }
        let word = match flag {
            af::RUNNABLE => "unrunnable",
            af::MIGRATABLE => "unmigrateable",
            _ => "required",
        };
        let text = match self[reason].rsc {
            Some(r) => format!("{word} {} {}", self[r].id, self[reason].task),
            None => format!("{word} {}", self[reason].task),
        };
        self[a].reason = Some(text);
    }

    fn update_asymmetric(&mut self, first: A, then: A) {
        let Some(r) = self[then].rsc else { return };
        if self[first].is(af::RUNNABLE) {
            return;
        }
        if self[then].is(af::OPTIONAL) {
            let role = self.role_of(r, true);
            let here = self[then].node;
            let only_here = matches!(self[r].active[..], [n] if Some(n) == here);
            if (role == Role::Stopped && self[then].task == "stop")
                || (role >= Role::Started && self[then].task == "start" && only_here)
            {
                return;
            }
        }
        self.clear_because(then, af::OPTIONAL, first);
        self.clear_because(then, af::RUNNABLE, first);
    }

    fn update_restart(&mut self, first: A, then: A, filter: u32) {
        let (r1, r2) = (self[first].rsc, self[then].rsc);
        let restart = filter & af::OPTIONAL != 0 && !self[then].is(af::OPTIONAL);
        let stop = filter & af::RUNNABLE != 0
            && !self[then].is(af::RUNNABLE)
            && r2.is_some_and(|r| self[r].managed)
            && r1 == r2;
        if !restart && !stop {
            return;
        }
        if self[first].is(af::RUNNABLE) || !self[then].is(af::OPTIONAL) {
            self.clear_because(first, af::OPTIONAL, then);
        }
        if !self[then].is(af::MIGRATABLE) {
            self.clear_because(first, af::MIGRATABLE, then);
        }
        if !self[first].is(af::OPTIONAL) && !self[first].is(af::RUNNABLE) {
            self.clear_because(then, af::RUNNABLE, first);
        }
    }

    fn update_ordered(&mut self, u: Update) -> u32 {
        let Update { first, then, flags, filter, kind, .. } = u;
        let (then_flags, first_flags) = (self[then].flags, self[first].flags);
        let by_optional = filter & af::OPTIONAL != 0;
        if kind & ar::ASYMMETRIC != 0 {
            self.update_asymmetric(first, then);
        }
        if kind & ar::THEN_IMPLIES_FIRST != 0 && then_flags & af::OPTIONAL == 0 {
            if by_optional && flags & af::OPTIONAL == 0 && first_flags & af::OPTIONAL != 0 {
                self.clear_because(first, af::OPTIONAL, then);
            }
            if flags & af::MIGRATABLE != 0 && !self[then].is(af::MIGRATABLE) {
                self.clear_because(first, af::MIGRATABLE, then);
            }
        }
        if kind & ar::PROMOTED_THEN_IMPLIES_FIRST != 0
            && self[then].rsc.is_some_and(|r| self[r].role == Role::Promoted)
            && by_optional
            && !self[then].is(af::OPTIONAL)
        {
            self.clear_because(first, af::OPTIONAL, then);
            if self[first].is(af::MIGRATABLE) && !self[then].is(af::MIGRATABLE) {
                self.clear_because(first, af::MIGRATABLE, then);
            }
        }
        if kind & ar::UNMIGRATABLE_THEN_BLOCKS != 0 && by_optional {
            if !(self[then].is(af::MIGRATABLE) && self[then].is(af::RUNNABLE)) {
                self.clear_because(first, af::RUNNABLE, then);
            }
            if !self[then].is(af::OPTIONAL) {
                self.clear_because(first, af::OPTIONAL, then);
            }
        }
        if kind & ar::FIRST_ELSE_THEN != 0 && by_optional && !self[first].is(af::RUNNABLE) {
            self.clear_because(then, af::MIGRATABLE, first);
            self[then].clear(af::PSEUDO);
        }
        if kind & ar::UNRUNNABLE_FIRST_BLOCKS != 0
            && filter & af::RUNNABLE != 0
            && self[then].is(af::RUNNABLE)
            && flags & af::RUNNABLE == 0
        {
            self.clear_because(then, af::RUNNABLE, first);
            self.clear_because(then, af::MIGRATABLE, first);
        }
        if kind & ar::FIRST_IMPLIES_THEN != 0
            && by_optional
            && self[then].is(af::OPTIONAL)
            && flags & af::OPTIONAL == 0
            && !self[first].is(af::MIGRATABLE)
        {
            self.clear_because(then, af::OPTIONAL, first);
        }
        if kind & ar::INTERMEDIATE_STOP != 0 {
            self.update_restart(first, then, filter);
        }
        let mut changed = 0;
        if then_flags != self[then].flags {
            changed |= THEN;
            if self[then].rsc.is_some_and(|r| self[r].parent.is_some()) {
                self.update_action(then);
            }
        }
        if first_flags != self[first].flags {
            changed |= FIRST;
        }
        changed
    }

    fn mark_blocked(&mut self, r: R, task: &str, reason: R, by: A) {
        let text = format!("colocation with {}", self[reason].id);
        for a in self[r].actions.clone().into_iter().rev() {
            if self[a].is(af::RUNNABLE) && self[a].task == task {
                self[a].clear(af::RUNNABLE);
                self[a].set_reason(&text, false);
                self.note_cause(a, af::RUNNABLE, by);
                self.block_colocation_dependents(a);
                self.update_action(a);
            }
        }
        for c in self[r].children.clone() {
            self.mark_blocked(c, task, reason, by);
        }
    }

    /// What must be with something that cannot start cannot start either.
    pub(super) fn block_colocation_dependents(&mut self, a: A) {
        let action = &self[a];
        if action.is(af::RUNNABLE) {
            return;
        }
        let start = action.task == "start";
        if !start && action.task != "promote" {
            return;
        }
        let Some(own) = action.rsc else { return };
        let mut r = self.top_of(own);
        r = self[r].parent.unwrap_or(r);
        let task = action.task.clone();
        for c in &self[r].children {
            let blocked =
                self.first_action(*c, &task, None).is_some_and(|x| !self[x].is(af::RUNNABLE));
            if !blocked {
                return;
            }
        }
        for c in self.with_this(r) {
            let coloc = &self.colocations[c];
            if coloc.score < values::INFINITY || (!start && coloc.primary_role != Role::Promoted) {
                continue;
            }
            let dependent = coloc.dependent;
            let task = if coloc.dependent_role == Role::Promoted { "promote" } else { "start" };
            self.mark_blocked(dependent, task, own, a);
        }
    }
}
