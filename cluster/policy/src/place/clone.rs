//! Assigning clones.

use crate::world::resource::Place;
use crate::world::{N, R, Role, Variant, World, merge_sort, values};

impl World<'_> {
    pub(super) fn assign_clone(&mut self, r: R, prefer: Option<N>, stop: bool) {
        if !self[r].unassigned || self[r].assigning {
            return;
        }
        self[r].assigning = true;
        if self[r].promotable {
            self.add_promotion_scores(r);
        }
        for c in self.this_with(r) {
            let primary = self.colocations[c].primary;
            self.assign(primary, prefer, stop);
        }
        for c in self.with_this(r) {
            self.add_dependent_scores(c, r);
        }
        self.show_scores(r, "pcmk__clone_assign");
        let mut children = self[r].children.clone();
        merge_sort(&mut children, &mut |a, b| self.compare_instances(a, b));
        self[r].children.clone_from(&children);
        let (total, per_node) = (self[r].clone_max, self[r].clone_node_max);
        self.assign_instances(r, &children, total, per_node);
        if self[r].promotable {
            self.set_instance_roles(r);
        }
        self[r].unassigned = false;
        self[r].assigning = false;
    }

    fn can_interleave(&self, c: usize) -> bool {
        let coloc = &self.colocations[c];
        self[coloc.dependent].variant > Variant::Group
            && values::is_true(self[coloc.dependent].meta("interleave"))
            && self.max_per_node(coloc.dependent) == self.max_per_node(coloc.primary)
    }

    pub(super) fn colocate_with_clone(&mut self, dependent: R, primary: R, c: usize) -> i32 {
        if self[primary].unassigned {
            return 0;
        }
        let (score, dependent_role, primary_role) = {
            let coloc = &self.colocations[c];
            (coloc.score, coloc.dependent_role, coloc.primary_role)
        };
        if self[primary].promotable && primary_role != Role::Unknown {
            if self[dependent].unassigned {
                self.update_dependent_of_promotable(primary, dependent, c);
                return 0;
            }
            if dependent_role == Role::Promoted {
                return self.update_priority_by_promotable(primary, dependent, c);
            }
        }
        if self.can_interleave(c) {
            let instance = self.compatible_instance(dependent, primary, Role::Unknown, false, None);
            if let Some(i) = instance {
                return self.apply_colocation(dependent, i, c, true);
            }
            if score >= values::INFINITY {
                self.assign_to(dependent, None, true, true);
            }
            return 0;
        }
        let children = self[primary].children.clone();
        if score >= values::INFINITY {
            let mut nodes = Vec::new();
            for i in children {
                if let Some(n) = self.node_of(i, Place::Assigned)
                    && !self.recursive(i, true, &|x| x.blocked)
                {
                    nodes.push((n, self[i].assigned_score));
                }
            }
            self.intersect_nodes(dependent, c, &nodes, false);
            return 0;
        }
        children
            .into_iter()
            .fold(0, |delta, i| values::add(delta, self.apply_colocation(dependent, i, c, false)))
    }
}
