//! Phase 3: what runs where.
//!
//! The layout is behind the trait [`Layout`]; the graph does not care who made it. [`Greedy`] is
//! Pacemaker's way: one resource after the other, each where it likes best, never taken back.

mod bundle;
mod clone;
mod colocated;
mod gather;
mod group;
mod instances;
mod nodes;
mod primitive;
mod promotable;
pub(crate) mod spread;
mod sums;
mod utilization;

use crate::constrain::Constrained;
use crate::world::{N, R, Strategy, Variant, World, merge_sort, values};

/// The world with every resource assigned to a node, or to none.
pub(crate) struct Placed<'a>(pub(crate) World<'a>);

/// A way to assign all resources to nodes.
pub(crate) trait Layout {
    /// Sets node and next role of every resource.
    fn assign(&self, world: &mut World<'_>);
}

/// One resource after the other, by priority.
pub(crate) struct Greedy;

/// Assigns all resources.
pub(crate) fn place<'a>(constrained: Constrained<'a>, layout: &dyn Layout) -> Placed<'a> {
    let mut world = constrained.0;
    layout.assign(&mut world);
    Placed(world)
}

impl Layout for Greedy {
    fn assign(&self, w: &mut World<'_>) {
        w.prepare_spread();
        if w.set.strategy != Strategy::Default {
            w.sort_resources();
        }
        w.show_capacities("Original");
        if w.set.have_remotes {
            for r in w.top.clone() {
                if w[r].is_remote_connection {
                    let target = w[r].migration_target;
                    w.assign(r, target, true);
                }
            }
        }
        for r in w.top.clone() {
            if !w[r].is_remote_connection {
                w.assign(r, None, true);
            }
        }
        w.show_capacities("Remaining");
    }
}

/// The node that was made as the `i`-th.
fn node(i: usize) -> N {
    N(u32::try_from(i).unwrap_or(u32::MAX))
}

impl World<'_> {
    /// Assigns a resource and all its parts.
    pub(crate) fn assign(&mut self, r: R, prefer: Option<N>, stop_if_fail: bool) -> Option<N> {
        match self[r].variant {
            Variant::Primitive => self.assign_primitive(r, prefer, stop_if_fail),
            Variant::Group => self.assign_group(r, prefer, stop_if_fail),
            Variant::Clone => {
                self.assign_clone(r, prefer, stop_if_fail);
                None
            }
            Variant::Bundle => {
                self.assign_bundle(r, prefer, stop_if_fail);
                None
            }
        }
    }

    /// Writes down the scores of a resource and its parts.
    fn show_scores(&mut self, r: R, by: &str) {
        if self.scores.is_none() || self[r].removed {
            return;
        }
        let mut list = self[r].allowed.nodes();
        list.sort_by(|a, b| values::compare_names(&self[*a].name, &self[*b].name));
        for n in list {
            let score = self[r].allowed.get(n).map_or(0, |c| c.score);
            let line = format!(
                "{by}: {} allocation score on {}: {}",
                self[r].id,
                self[n].name,
                values::readable(score)
            );
            if let Some(s) = &mut self.scores {
                s.push(line);
            }
        }
        for c in self[r].children.clone() {
            self.show_scores(c, by);
        }
    }

    fn show_capacities(&mut self, when: &str) {
        if self.utilization.is_none() {
            return;
        }
        for n in self.node_order.clone() {
            if self.is_bundle_node(n) {
                continue;
            }
            let mut line = format!("{when}: {} capacity:", self[n].name);
            for (k, v) in &self[n].utilization {
                line += &format!(" {k}={v}");
            }
            self.tell_utilization(line);
        }
    }

    /// Puts resources in the order in which they should choose.
    fn sort_resources(&mut self) {
        let mut nodes = self.node_order.clone();
        self.sort_nodes(&mut nodes, None, &|w, n| w[n].base.score);
        let mut top = std::mem::take(&mut self.top);
        let original = top.clone();
        self.top = original;
        merge_sort(&mut top, &mut |a, b| self.compare_resources(a, b, &nodes));
        self.top = top;
    }

    fn compare_resources(&mut self, a: R, b: R, nodes: &[N]) -> i32 {
        let by = |x: i32, y: i32| y.cmp(&x) as i32;
        let priority = by(self[a].priority, self[b].priority);
        if priority != 0 {
            return priority;
        }
        let t1 = self.colocated_scores(a, spread::THIS_WITH);
        let t2 = self.colocated_scores(b, spread::THIS_WITH);
        let score = |t: &Option<spread::Scores>, n: Option<N>| {
            let found = n.and_then(|n| t.as_ref()?.get(n.0 as usize).copied());
            found.filter(|s| *s != spread::ABSENT).unwrap_or(-values::INFINITY)
        };
        let here = by(score(&t1, self.current(a)), score(&t2, self.current(b)));
        if here != 0 {
            return here;
        }
        for n in nodes {
            let order = by(score(&t1, Some(*n)), score(&t2, Some(*n)));
            if order != 0 {
                return order;
            }
        }
        0
    }
}
