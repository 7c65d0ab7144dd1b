//! Assigning groups.

use crate::world::{N, R, World, values};

impl World<'_> {
    pub(super) fn assign_group(&mut self, r: R, prefer: Option<N>, stop: bool) -> Option<N> {
        if !self[r].unassigned {
            return self[r].assigned;
        }
        if self[r].assigning {
            return None;
        }
        let Some(first) = self[r].children.first().copied() else {
            self[r].unassigned = false;
            return None;
        };
        self[r].assigning = true;
        self[r].role = self[first].role;
        self.show_scores(r, "pcmk__group_assign");
        let mut node = None;
        for m in self[r].children.clone() {
            let assigned = self.assign(m, prefer, stop);
            node = node.or(assigned);
        }
        self[r].next_role = self[first].next_role;
        self[r].assigning = false;
        self[r].unassigned = false;
        node.filter(|_| self[r].group_colocated)
    }

    pub(super) fn colocate_group_with(&mut self, dependent: R, primary: R, c: usize) -> i32 {
        let members = self[dependent].children.clone();
        let mut delta = 0;
        if self[dependent].group_colocated {
            if let Some(first) = members.first() {
                delta = self.apply_colocation(*first, primary, c, true);
            }
        } else {
            if self.colocations[c].score >= values::INFINITY {
                return 0;
            }
            for m in members {
                delta = values::add(delta, self.apply_colocation(m, primary, c, false));
            }
        }
        if delta != 0 {
            self[dependent].priority = values::add(delta, self[dependent].priority);
        }
        delta
    }

    pub(super) fn colocate_with_group(&mut self, dependent: R, primary: R, c: usize) -> i32 {
        if self[primary].unassigned {
            return 0;
        }
        let mandatory = self.colocations[c].score >= values::INFINITY;
        let members = self[primary].children.clone();
        if self[primary].group_colocated {
            let member = if mandatory { members.last() } else { members.first() };
            return member.map_or(0, |m| self.apply_colocation(dependent, *m, c, false));
        }
        if mandatory {
            return 0;
        }
        members
            .into_iter()
            .fold(0, |delta, m| values::add(delta, self.apply_colocation(dependent, m, c, false)))
    }
}
