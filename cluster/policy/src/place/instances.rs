//! Instances of clones and bundles: who chooses first, and how many fit.

use std::cmp::Ordering;

use super::spread::{self, Weight, factor};
use crate::world::resource::Place;
use crate::world::{N, R, Role, Table, Why, World, merge_sort, values};

impl World<'_> {
    fn can_run_instance(&self, r: R, n: N, max_per_node: i32) -> bool {
        !self[r].removed
            && self.can_run(n)
            && self
                .top_cell(r, n)
                .is_some_and(|c| c.score >= 0 && i32::from(c.count) < max_per_node)
    }

    fn ban_unavailable(&mut self, r: R, max_per_node: i32) {
        for n in self[r].allowed.nodes() {
            if self.can_run_instance(r, n, max_per_node) {
                continue;
            }
            self.ban_instance(r, n);
            for i in 0..self[r].children.len() {
                let child = self[r].children[i];
                self.ban_instance(child, n);
            }
        }
    }

    fn ban_instance(&mut self, r: R, n: N) {
        if let Some(c) = self[r].allowed.get_mut(n) {
            let before = std::mem::replace(&mut c.score, -values::INFINITY);
            self.note_score(r, n, Why::Instances, before, -values::INFINITY);
        }
    }

    fn did_fail(&self, r: R) -> bool {
        self[r].failed || self[r].children.iter().any(|c| self.did_fail(*c))
    }

    /// Orders instances by number.
    pub(crate) fn compare_numbers(&self, a: R, b: R) -> i32 {
        let number = |r: R| {
            let id = &self[r].id;
            let at = id.rfind(':').or_else(|| id.rfind('-'));
            at.and_then(|i| values::int(&id[i + 1..])).unwrap_or(0)
        };
        number(a).cmp(&number(b)) as i32
    }

    pub(crate) fn sort_children_by_number(&mut self, r: R) {
        let mut children = self[r].children.clone();
        merge_sort(&mut children, &mut |a, b| self.compare_numbers(a, b));
        self[r].children = children;
    }

    /// Orders instances by who should choose first.
    pub(crate) fn compare_instances(&mut self, a: R, b: R) -> i32 {
        let first = |yes: bool| if yes { -1 } else { 1 };
        let (n1, count1, _) = self.active_node(a);
        let (n2, count2, _) = self.active_node(b);
        if count1 > 0 && count2 > 0 && count1 != count2 {
            return first(count1 < count2);
        }
        let allowed = |w: &Self, r: R, n: Option<N>| {
            n.is_none_or(|n| w[r].allowed.get(n).is_some_and(|c| c.score >= 0))
        };
        let (can1, can2) = (allowed(self, a, n1), allowed(self, b, n2));
        if can1 != can2 {
            return first(can1);
        }
        let (n1, n2) = (n1.filter(|_| can1), n2.filter(|_| can2));
        let order = self[b].priority.cmp(&self[a].priority);
        if order != Ordering::Equal {
            return order as i32;
        }
        let (n1, n2) = match (n1, n2) {
            (None, None) => return 0,
            (None, Some(_)) => return 1,
            (Some(_), None) => return -1,
            (Some(x), Some(y)) => (x, y),
        };
        let (can1, can2) = (self.can_run(n1), self.can_run(n2));
        if can1 != can2 {
            return first(can1);
        }
        let counts = (self.top_cell(a, n1).map(|c| c.count), self.top_cell(b, n2).map(|c| c.count));
        match counts {
            (None, None) => return 0,
            (None, Some(_)) => return 1,
            (Some(_), None) => return -1,
            (Some(x), Some(y)) if x != y => return first(x < y),
            _ => {}
        }
        let (failed1, failed2) = (self.did_fail(a), self.did_fail(b));
        if failed1 != failed2 {
            return first(failed2);
        }
        match self.compare_by_colocation(a, b) {
            0 => self.compare_numbers(a, b),
            order => order,
        }
    }

    fn compare_by_colocation(&mut self, a: R, b: R) -> i32 {
        let (Some(n1), Some(n2)) = (self.current(a), self.current(b)) else { return 0 };
        let (s1, s2) = (self.colocated_score(a, n1), self.colocated_score(b, n2));
        s2.cmp(&s1) as i32
    }

    /// What an instance's node is worth, with all that is colocated.
    fn colocated_score(&mut self, r: R, n: N) -> i32 {
        let (this_with, with_this) = (self.this_with(r), self.with_this(r));
        if this_with.is_empty() && with_this.is_empty() {
            return self[n].base.score;
        }
        let mut scores = vec![spread::ABSENT; self.nodes.len()];
        scores[n.0 as usize] = self[n].base.score;
        for c in this_with {
            let coloc = &self.colocations[c];
            let (other, factor) = (coloc.primary, factor(coloc.score));
            let how = Weight { target: r, colocation: c, factor, flags: 0 };
            self.add_colocated_scores(other, &mut scores, how);
        }
        for c in with_this {
            if !self.has_influence(c, Some(r)) {
                continue;
            }
            let coloc = &self.colocations[c];
            let (other, factor) = (coloc.dependent, factor(coloc.score));
            let how = Weight { target: r, colocation: c, factor, flags: spread::NONNEGATIVE };
            self.add_colocated_scores(other, &mut scores, how);
        }
        scores[n.0 as usize]
    }

    fn count_instance(&mut self, r: R, n: Option<N>) {
        if let Some(c) = n.and_then(|n| self.top_cell_mut(r, n)) {
            c.count += 1;
        }
    }

    fn assign_instance(&mut self, r: R, prefer: Option<N>, max_per_node: i32) -> Option<N> {
        if self[r].assigning {
            return None;
        }
        self.ban_unavailable(r, max_per_node);
        let chosen = self.assign(r, prefer, prefer.is_none());
        self.count_instance(r, chosen);
        chosen
    }

    fn tables(&self, r: R, list: &mut Vec<(R, Table, usize)>) {
        list.push((r, self[r].allowed.clone(), self.noted(r)));
        for c in &self[r].children {
            self.tables(*c, list);
        }
    }

    /// Tries to keep an instance where it is.
    fn assign_early(&mut self, r: R, here: N, max_per_node: i32, available: i32) -> bool {
        let score = self[r].allowed.get(here).map(|c| c.score);
        if !score.is_some_and(|s| self.can_run_at(here, s)) {
            return false;
        }
        let Some(parent) = self[r].parent else { return false };
        let mut saved = Vec::new();
        self.tables(r, &mut saved);
        let saved_parent = self[parent].allowed.clone();
        let mut chosen = None;
        let mut reserved = 0;
        while reserved < available {
            chosen = self.assign_instance(r, Some(here), max_per_node);
            if chosen == Some(here) {
                break;
            }
            for (x, table, noted) in &saved {
                self[*x].allowed = table.clone();
                self.strike_out(*x, *noted);
            }
            if chosen.is_none() {
                self[r].unassigned = true;
                break;
            }
            reserved += 1;
            self.unassign(r);
            chosen = None;
        }
        self[parent].allowed = saved_parent;
        if chosen.is_none() {
            return false;
        }
        self.count_instance(r, chosen);
        true
    }

    fn preferred_node(&self, r: R, optimal_per_node: i32) -> Option<N> {
        if self[r].active.is_empty() || !self[r].unassigned || self[r].failed {
            return None;
        }
        let n = self.current(r)?;
        if !self.can_run_at(n, self[n].base.score)
            || self.top_cell(r, n).is_some_and(|c| i32::from(c.count) >= optimal_per_node)
        {
            return None;
        }
        Some(n)
    }

    pub(super) fn assign_instances(&mut self, r: R, instances: &[R], total: i32, per_node: i32) {
        let mut available = 0;
        for n in self[r].allowed.nodes() {
            if let Some(c) = self[r].allowed.get_mut(n) {
                c.count = 0;
            }
            available += i32::from(self.can_run(n));
        }
        let optimal = if available > 0 { (total / available).max(1) } else { 1 };
        let mut assigned = 0;
        for i in instances {
            if assigned >= total {
                break;
            }
            if !self[*i].unassigned {
                continue;
            }
            if let Some(here) = self.preferred_node(*i, optimal)
                && self.assign_early(*i, here, per_node, total - assigned)
            {
                assigned += 1;
            }
        }
        for i in instances {
            if !self[*i].unassigned {
                continue;
            }
            if assigned >= total {
                self.resource_location(*i, None, -values::INFINITY, Why::Instances);
            } else if self.assign_instance(*i, None, per_node).is_some() {
                assigned += 1;
            }
        }
    }

    pub(crate) fn instances(&self, r: R) -> Vec<R> {
        if self.is_bundle(r) { self.containers(r) } else { self[r].children.clone() }
    }

    pub(crate) fn instance_matches(
        &self,
        i: R,
        n: N,
        role: Role,
        current: bool,
        attribute: Option<&str>,
    ) -> bool {
        if role != Role::Unknown && role != self.role_of(i, current) {
            return false;
        }
        if self.recursive(i, true, &|x| x.blocked) {
            return false;
        }
        let place = if current { Place::Current } else { Place::Assigned };
        let Some(here) = self.node_of(i, place) else { return false };
        match attribute {
            Some(_) => self.same_value(here, n, attribute, i),
            None => here == n,
        }
    }

    /// The instance of `collective` on the node where `r` is, or will be.
    pub(crate) fn compatible_instance(
        &self,
        r: R,
        collective: R,
        role: Role,
        current: bool,
        attribute: Option<&str>,
    ) -> Option<R> {
        let instances = self.instances(collective);
        let on = |n: N| {
            instances
                .iter()
                .copied()
                .find(|i| self.instance_matches(*i, n, role, current, attribute))
        };
        let place = if current { Place::Current } else { Place::Assigned };
        if let Some(n) = self.node_of(r, place) {
            return on(n);
        }
        self.sorted_table(&self[r].allowed).into_iter().find_map(on)
    }
}
