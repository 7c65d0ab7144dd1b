//! Assigning one primitive.

use crate::world::action::af;
use crate::world::terms::By;
use crate::world::{N, QuorumPolicy, R, Role, Why, World, values};

impl World<'_> {
    pub(super) fn assign_primitive(&mut self, r: R, prefer: Option<N>, stop: bool) -> Option<N> {
        if let Some(p) = self[r].parent
            && !self[p].assigning
        {
            self.assign(p, prefer, stop);
        }
        if !self[r].unassigned {
            return self[r].assigned;
        }
        if self[r].assigning {
            return None;
        }
        self[r].assigning = true;
        self.weigh_colocations(r);
        if self[r].next_role == Role::Stopped {
            self.resource_location(r, None, -values::INFINITY, Why::Role);
        } else if self[r].next_role > self[r].role
            && !self.set.quorate
            && self.set.policy == QuorumPolicy::Freeze
        {
            let role = self[r].role;
            self.set_next_role(r, role);
        }
        self.show_scores(r, "pcmk__primitive_assign");
        if self.set.fencing && !self.set.have_fencing && !self[r].needs_lease {
            self[r].managed = false;
        }
        if !self[r].managed {
            let role = self[r].role;
            self.set_next_role(r, role);
            let here = self.current(r);
            let score = here.map_or(0, |n| self[n].base.score);
            self.note_choice(r, By::Unmanaged);
            self.assign_to(r, here.map(|n| (n, score)), true, stop);
        } else if self.set.stop_all {
            self.note_choice(r, By::StopAll);
            self.assign_to(r, None, true, stop);
        } else {
            self.assign_best(r, prefer, stop);
        }
        self[r].assigning = false;
        if self[r].is_remote_connection {
            self.connection_assigned(r);
        }
        self[r].assigned
    }

    /// First all that must, then all that should.
    fn weigh_colocations(&mut self, r: R) {
        let (this_with, with_this) = (self.this_with(r), self.with_this(r));
        for mandatory in [true, false] {
            let wanted = |w: &Self, c: usize| {
                (w.colocations[c].score.abs() >= values::INFINITY) == mandatory
            };
            for c in &this_with {
                if wanted(self, *c) {
                    self.apply_this_with(*c, r);
                }
            }
            for c in &with_this {
                if wanted(self, *c) {
                    self.add_dependent_scores(*c, r);
                }
            }
        }
    }

    fn apply_this_with(&mut self, c: usize, r: R) {
        let (role, score, other) = {
            let coloc = &self.colocations[c];
            (coloc.dependent_role, coloc.score, coloc.primary)
        };
        let revocable = role >= Role::Promoted || (score < 0 && score > -values::INFINITY);
        let archive = revocable.then(|| (self[r].allowed.clone(), self.noted(r)));
        if self[other].unassigned {
            self.assign(other, None, true);
        }
        self.apply_colocation(r, other, c, true);
        if let Some((table, noted)) = archive
            && !self.any_available(&self[r].allowed)
        {
            self[r].allowed = table;
            self.strike_out(r, noted);
        }
    }

    fn assign_best(&mut self, r: R, prefer: Option<N>, stop: bool) {
        let roomiest = self.ban_insufficient_capacity(r);
        let prefer = prefer.or(roomiest);
        if !self[r].unassigned {
            return;
        }
        let best = self.best_node(r);
        let (mut chosen, mut by) = (None, By::Best);
        if let (Some(p), Some((_, best_score))) = (prefer, best)
            && let Some(cell) = self[r].allowed.get(p)
            && cell.score >= best_score
            && self.can_run_at(p, cell.score)
        {
            (chosen, by) = (Some((p, cell.score)), By::Preferred);
        }
        if chosen.is_none()
            && let Some((n, score)) = best
        {
            chosen = Some((n, score));
            let unique = self[r].parent.is_some_and(|p| self.is_unique_clone(p));
            if !unique
                && score > 0
                && self.can_run(n)
                && let Some(running) = self.current(r)
                && self.can_run_at(running, self[running].base.score)
                && self[r].allowed.get(running).is_some_and(|c| c.score == score)
            {
                (chosen, by) = (Some((running, score)), By::Stays);
            }
        }
        self.note_choice(r, by);
        self.assign_to(r, chosen, false, stop);
    }

    /// Assigns a resource and all its parts to a node or to none; true if that is a change.
    pub(crate) fn assign_to(
        &mut self,
        r: R,
        node: Option<(N, i32)>,
        force: bool,
        stop: bool,
    ) -> bool {
        if !self[r].children.is_empty() {
            let mut changed = false;
            for c in self[r].children.clone() {
                changed |= self.assign_to(c, node, force, stop);
            }
            return changed;
        }
        let mut node = node;
        if let Some((n, score)) = node
            && !force
            && (score < 0 || (!self.can_run(n) && !self.is_guest(n)))
        {
            if stop {
                self.set_next_role(r, Role::Stopped);
            }
            node = None;
        }
        let changed = self[r].assigned != node.map(|(n, _)| n);
        self.unassign(r);
        self[r].unassigned = false;
        let Some((n, score)) = node else {
            if stop {
                self.set_next_role(r, Role::Stopped);
                self.block_started_actions(r);
            }
            return changed;
        };
        self[r].assigned = Some(n);
        self[r].assigned_score = score;
        self[n].assigned += 1;
        self.consume_capacity(n, r, -1);
        self.show_utilization(n, r);
        changed
    }

    /// What was planned on the assumption that the resource would run cannot be done.
    fn block_started_actions(&mut self, r: R) {
        for a in self[r].actions.clone() {
            let action = &mut self[a];
            match action.task.as_ref() {
                "stop" => action.clear(af::OPTIONAL),
                "start" => action.clear(af::RUNNABLE),
                _ => {
                    if !action.is_once() && action.meta("op_target_rc") != Some("7") {
                        action.clear(af::RUNNABLE);
                    }
                }
            }
        }
    }

    pub(crate) fn unassign(&mut self, r: R) {
        self[r].unassigned = true;
        if self[r].children.is_empty() {
            if let Some(old) = self[r].assigned.take() {
                self[old].assigned -= 1;
                self.consume_capacity(old, r, 1);
            }
            return;
        }
        for c in self[r].children.clone() {
            self.unassign(c);
        }
    }

    fn connection_assigned(&mut self, r: R) {
        let Some(n) = self.find_node(&self[r].id.clone()) else { return };
        if self[r].assigned.is_some() && self[r].next_role != Role::Stopped {
            self[n].online = true;
            if !self[n].seen {
                self[n].unclean = false;
            }
        } else {
            self[n].shutdown = true;
        }
        self.spread.usable[n.0 as usize] = self.can_run(n);
    }
}
