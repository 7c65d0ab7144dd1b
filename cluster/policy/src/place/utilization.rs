//! Capacity of nodes and what resources need of it.

use std::collections::BTreeMap;

use super::colocated::Affects;
use crate::world::{N, R, Strategy, Variant, Why, World, values};

type Amounts = BTreeMap<String, i64>;

const LIMIT: i64 = i32::MAX as i64;

impl World<'_> {
    /// Below 0 when the first has more left of more kinds.
    pub(super) fn compare_capacities(&self, a: N, b: N) -> i32 {
        let (x, y) = (&self[a].utilization, &self[b].utilization);
        let mut result = 0;
        for key in x.keys().chain(y.keys().filter(|k| !x.contains_key(*k))) {
            let left = |m: &Amounts| m.get(key).copied().unwrap_or(0);
            result += match left(x).cmp(&left(y)) {
                std::cmp::Ordering::Greater => -1,
                std::cmp::Ordering::Less => 1,
                std::cmp::Ordering::Equal => 0,
            };
        }
        result
    }

    /// Takes (−1) what a resource needs from a node, or gives it back (1).
    pub(super) fn consume_capacity(&mut self, n: N, r: R, sign: i64) {
        if self[r].utilization.is_empty() {
            return;
        }
        let needs = self[r].utilization.clone();
        add(&mut self[n].utilization, &needs, sign);
    }

    /// Writes down what a resource needs of the node it is assigned to.
    pub(super) fn show_utilization(&mut self, n: N, r: R) {
        if self.utilization.is_none() {
            return;
        }
        let mut line =
            format!("pcmk__assign_resource: {} utilization on {}:", self[r].id, self[n].name);
        for (k, v) in &self[r].utilization {
            line += &format!(" {k}={v}");
        }
        self.tell_utilization(line);
    }

    /// A line about capacity; it stands among the scores, too, where both are asked for.
    pub(super) fn tell_utilization(&mut self, line: String) {
        if let Some(u) = &mut self.utilization {
            if let Some(s) = &mut self.scores {
                s.push(line.clone());
            }
            u.push(line);
        }
    }

    fn fits(&self, n: N, needs: &Amounts) -> bool {
        let has = &self[n].utilization;
        needs.iter().all(|(k, v)| *v <= has.get(k).copied().unwrap_or(0))
    }

    /// The resources that must be where this one is, most remote first.
    fn colocated_resources(&self, r: R, orig: R, list: &mut Vec<R>) {
        if self.is_group(r) {
            let in_clone = self[r].parent.is_some_and(|p| self.is_clone(p));
            if self[r].group_colocated || in_clone {
                list.push(r);
                for m in &self[r].children {
                    self.colocated_resources(*m, orig, list);
                }
                return;
            }
            if self[r].children.is_empty() {
                return;
            }
        }
        if list.contains(&r) {
            return;
        }
        list.push(r);
        let must = |c: usize, d: R, p: R| {
            self.colocations[c].score == values::INFINITY
                && self.colocation_affects(d, p, c, true) == Affects::Location
        };
        for c in self.this_with(r) {
            let primary = self.colocations[c].primary;
            if primary != orig && must(c, r, primary) {
                self.colocated_resources(primary, orig, list);
            }
        }
        for c in self.with_this(r) {
            let dependent = self.colocations[c].dependent;
            if dependent == orig || (self.is_clone(r) && !self.is_clone(dependent)) {
                continue;
            }
            if must(c, dependent, r) {
                self.colocated_resources(dependent, orig, list);
            }
        }
    }

    fn add_utilization(&self, r: R, all: &[R], sum: &mut Amounts) {
        if !self[r].unassigned {
            return;
        }
        match self[r].variant {
            Variant::Primitive => add(sum, &self[r].utilization, 1),
            Variant::Group => {
                let in_clone = self[r].parent.is_some_and(|p| self.is_clone(p));
                let together = self[r].group_colocated || in_clone;
                let count = if together { self[r].children.len() } else { 1 };
                for m in self[r].children.iter().take(count) {
                    if self[*m].unassigned && !all.contains(m) {
                        self.add_utilization(*m, all, sum);
                    }
                }
            }
            Variant::Clone => {
                let mut existing = false;
                for c in &self[r].children {
                    if all.contains(c) {
                        existing = true;
                    } else if self[*c].children.iter().any(|m| all.contains(m)) {
                        self.add_utilization(*c, all, sum);
                        existing = true;
                    }
                }
                if !existing && let Some(c) = self[r].children.first() {
                    self.add_utilization(*c, all, sum);
                }
            }
            Variant::Bundle => {
                if let Some(c) = self.containers(r).first() {
                    self.add_utilization(*c, all, sum);
                }
            }
        }
    }

    /// Bans a resource from nodes that lack capacity for it and what goes with it. Where no node
    /// has enough for all, returns the one that has most.
    pub(super) fn ban_insufficient_capacity(&mut self, r: R) -> Option<N> {
        if self.set.strategy == Strategy::Default {
            return None;
        }
        let mut all = Vec::new();
        self.colocated_resources(r, r, &mut all);
        if !all.contains(&r) {
            all.push(r);
        }
        let mut needs = Amounts::new();
        for x in &all {
            self.add_utilization(*x, &all, &mut needs);
        }
        let open: Vec<N> = self[r]
            .allowed
            .iter()
            .filter(|(n, c)| self.can_run_at(*n, c.score))
            .map(|(n, _)| n)
            .collect();
        let mut roomiest: Option<N> = None;
        for n in &open {
            if roomiest.is_none_or(|m| self.compare_capacities(*n, m) < 0) {
                roomiest = Some(*n);
            }
        }
        let any = open.iter().any(|n| self.fits(*n, &needs));
        let needs = if any { needs } else { self[r].utilization.clone() };
        for n in open {
            if !self.fits(n, &needs) {
                self.resource_location(r, Some(n), -values::INFINITY, Why::Capacity);
            }
        }
        roomiest.filter(|_| !any)
    }
}

fn add(to: &mut Amounts, what: &Amounts, sign: i64) {
    for (k, v) in what {
        let value = to.entry(k.clone()).or_insert(0);
        *value = (*value + sign * v).clamp(-LIMIT - 1, LIMIT);
    }
}
