//! Nodes by how well they suit.

use std::cmp::Ordering;

use crate::world::{N, R, Strategy, Table, World, merge_sort, values};

impl World<'_> {
    /// Compares two nodes for a resource with these scores; the better is less.
    fn compare_nodes(&self, a: (N, i32), b: (N, i32), active: Option<N>) -> Ordering {
        let effective = |(n, s): (N, i32)| if self.can_run(n) { s } else { -values::INFINITY };
        let order = effective(b).cmp(&effective(a));
        if order != Ordering::Equal {
            return order;
        }
        let (a, b) = (a.0, b.0);
        let by_name = self[a].rank.cmp(&self[b].rank);
        match self.set.strategy {
            Strategy::Minimal => return by_name,
            Strategy::Balanced => {
                let order = self.compare_capacities(a, b).cmp(&0);
                if order != Ordering::Equal {
                    return order;
                }
            }
            Strategy::Default | Strategy::Utilization => {}
        }
        let order = self[a].assigned.cmp(&self[b].assigned);
        if order != Ordering::Equal {
            return order;
        }
        match active {
            Some(n) if n == a && n != b => Ordering::Less,
            Some(n) if n == b && n != a => Ordering::Greater,
            _ => by_name,
        }
    }

    /// Sorts nodes, best first.
    pub(crate) fn sort_nodes(
        &self,
        nodes: &mut Vec<N>,
        active: Option<N>,
        score: &dyn Fn(&Self, N) -> i32,
    ) {
        merge_sort(nodes, &mut |a, b| {
            self.compare_nodes((a, score(self, a)), (b, score(self, b)), active) as i32
        });
    }

    /// The nodes of a table, best first.
    pub(crate) fn sorted_table(&self, table: &Table) -> Vec<N> {
        let mut nodes = table.nodes();
        self.sort_nodes(&mut nodes, None, &|_, n| table.get(n).map_or(0, |c| c.score));
        nodes
    }

    /// The best node for a resource, with its score.
    pub(crate) fn best_node(&self, r: R) -> Option<(N, i32)> {
        let active = self.current(r);
        let table = &self[r].allowed;
        if self.set.strategy == Strategy::Balanced {
            // Capacities do not always compare in one order, so the way of sorting counts.
            let mut nodes = table.nodes();
            let score = |n: N| table.get(n).map_or(0, |c| c.score);
            self.sort_nodes(&mut nodes, active, &|_, n| score(n));
            return nodes.first().map(|n| (*n, score(*n)));
        }
        let mut best: Option<(N, i32)> = None;
        for (n, c) in table.iter() {
            let this = (n, c.score);
            if best.is_none_or(|b| self.compare_nodes(this, b, active) == Ordering::Less) {
                best = Some(this);
            }
        }
        best
    }

    /// Whether any node of a table can run something there.
    pub(crate) fn any_available(&self, table: &Table) -> bool {
        let nodes = table.cells().iter().zip(&self.spread.usable);
        nodes.into_iter().any(|(c, usable)| c.present && c.score >= 0 && *usable)
    }

    /// The cell of the table that counts instances: of what is around, if anything is.
    pub(crate) fn top_cell(&self, r: R, n: N) -> Option<&crate::world::Cell> {
        self[self[r].parent.unwrap_or(r)].allowed.get(n)
    }

    pub(crate) fn top_cell_mut(&mut self, r: R, n: N) -> Option<&mut crate::world::Cell> {
        let top = self[r].parent.unwrap_or(r);
        self[top].allowed.get_mut(n)
    }
}
