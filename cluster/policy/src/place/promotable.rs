//! Which instances of a promotable clone are promoted.

use super::spread::{self, Weight, factor};
use crate::world::resource::Place;
use crate::world::{N, QuorumPolicy, R, Role, Why, World, merge_sort, values};

impl World<'_> {
    /// The instance of an anonymous clone that is active on a node.
    fn active_instance_on(&self, clone: R, id: &str, n: N) -> Option<R> {
        self[clone]
            .children
            .iter()
            .find_map(|c| self.find_instance(*c, id).filter(|i| self[*i].active.contains(&n)))
    }

    fn anonymous_known_on(&self, clone: R, id: &str, n: N) -> bool {
        self[clone]
            .children
            .iter()
            .any(|c| self.find_instance(*c, id).is_some_and(|i| self[i].probed.contains(&n)))
    }

    fn promotion_score_applies(&self, r: R, n: N) -> bool {
        let allowed = || self[r].allowed.get(n).is_some_and(|c| c.score >= 0);
        if !self[r].unique {
            let clone = self.top_of(r);
            let id = values::strip_instance(&self[r].id);
            match self.active_instance_on(clone, id, n) {
                Some(active) if active == r => return allowed(),
                None if self.anonymous_known_on(clone, id, n) => return allowed(),
                _ => {}
            }
        }
        if self[r].active.is_empty() && self[r].probed.is_empty() {
            return allowed();
        }
        (self[r].probed.contains(&n) || self[r].active.contains(&n)) && allowed()
    }

    fn promotion_attr(&self, r: R, n: N, name: &str) -> Option<&str> {
        let target = self[r].meta("container-attribute-target");
        self.node_attr(n, &format!("master-{name}"), target, !self[r].unassigned)
    }

    /// The promotion score of an instance on a node, if anything has set one.
    fn promotion_score(&self, r: R, n: N) -> Option<i32> {
        if !self[r].children.is_empty() {
            let scores: Vec<Option<i32>> =
                self[r].children.iter().map(|c| self.promotion_score(*c, n)).collect();
            return scores
                .iter()
                .any(Option::is_some)
                .then(|| scores.into_iter().flatten().fold(0_i32, i32::saturating_add));
        }
        if !self.promotion_score_applies(r, n) {
            return None;
        }
        let id = &self[r].id;
        let name = self[r].history_id.as_deref().unwrap_or(id);
        let bare = values::strip_instance(id);
        let value = self.promotion_attr(r, n, name).or_else(|| {
            (!self[r].unique && bare != id).then(|| self.promotion_attr(r, n, bare)).flatten()
        })?;
        Some(self.score(value).unwrap_or(0))
    }

    pub(super) fn add_promotion_scores(&mut self, r: R) {
        if std::mem::replace(&mut self[r].promotion_added, true) {
            return;
        }
        for c in self[r].children.clone() {
            for n in self[c].allowed.nodes() {
                if !self.can_run(n) {
                    continue;
                }
                let score = self.promotion_score(c, n).unwrap_or(0);
                if score > 0
                    && let Some(cell) = self[c].allowed.get_mut(n)
                {
                    let before = cell.score;
                    let after = values::add(before, score);
                    cell.score = after;
                    self.note_score(c, n, Why::Promotion, before, after);
                }
                if score > self[c].priority {
                    self[c].priority = score;
                }
            }
        }
    }

    fn set_unpromoted_now(&mut self, r: R) {
        if self[r].role == Role::Started {
            self[r].role = Role::Unpromoted;
        }
        for c in self[r].children.clone() {
            self.set_unpromoted_now(c);
        }
    }

    fn set_unpromoted_next(&mut self, r: R) {
        let nowhere = self.nodes_of(r, Place::Assigned).is_empty();
        self[r].next_role = if nowhere { Role::Stopped } else { Role::Unpromoted };
        for c in self[r].children.clone() {
            self.set_unpromoted_next(c);
        }
    }

    fn set_promoted_next(&mut self, r: R) {
        if self[r].next_role == Role::Unknown {
            self[r].next_role = Role::Promoted;
        }
        for c in self[r].children.clone() {
            self.set_promoted_next(c);
        }
    }

    fn apply_promoted_locations(&mut self, instance: R, whose: R, n: N) {
        for i in self[whose].locations.clone().into_iter().rev() {
            let l = &self.locations[i];
            if l.role != Role::Promoted {
                continue;
            }
            if let Some((_, score)) = l.nodes.iter().find(|(m, _)| *m == n) {
                let score = *score;
                self[instance].priority = values::add(self[instance].priority, score);
            }
        }
    }

    fn set_instance_priority(&mut self, i: R, clone: R) {
        if self.role_of(i, true) == Role::Started {
            self.set_unpromoted_now(i);
        }
        let Some(n) = self.node_of(i, Place::Assigned) else { return };
        let next = self.role_of(i, false);
        match next {
            Role::Started | Role::Unknown => {
                self[i].priority = self.promotion_score(i, n).unwrap_or(-1);
            }
            Role::Unpromoted | Role::Stopped => self[i].priority = -values::INFINITY,
            Role::Promoted => {}
        }
        self.apply_promoted_locations(i, i, n);
        self.apply_promoted_locations(i, clone, n);
        for c in self.this_with(i) {
            let primary = self.colocations[c].primary;
            self.apply_colocation(i, primary, c, true);
        }
        self[i].promotion_priority =
            if next == Role::Promoted { values::INFINITY } else { self[i].priority };
    }

    fn sort_promotable(&mut self, clone: R) {
        if std::mem::replace(&mut self[clone].promotion_constrained, true) {
            return;
        }
        self[clone].updating = true;
        for c in self[clone].children.clone() {
            let priority = self[c].promotion_priority;
            if priority >= 0
                && let Some(n) = self.node_of(c, Place::Assigned)
                && let Some(cell) = self[clone].allowed.get_mut(n)
            {
                cell.score = values::add(priority, cell.score);
            }
        }
        for c in self.with_this(clone) {
            let coloc = &self.colocations[c];
            if coloc.primary_role != Role::Promoted || !self.has_influence(c, None) {
                continue;
            }
            let (dependent, factor) = (coloc.dependent, factor(coloc.score));
            let flags = spread::ACTIVE | spread::NONNEGATIVE;
            let mut scores = self.own_scores(clone);
            let how = Weight { target: clone, colocation: c, factor, flags };
            self.add_colocated_scores(dependent, &mut scores, how);
            self[clone].allowed.set_scores(&scores);
        }
        self.require_promotion_tickets(clone);
        for c in self[clone].children.clone() {
            let n = self.node_of(c, Place::Assigned);
            if !self[c].managed && self[c].next_role == Role::Promoted {
                self[c].promotion_priority = values::INFINITY;
            } else if let Some(n) = n {
                if self[c].promotion_priority >= 0
                    && let Some(cell) = self[clone].allowed.get(n)
                {
                    self[c].promotion_priority = cell.score;
                }
            } else {
                self[c].promotion_priority = -values::INFINITY;
            }
        }
        let mut children = self[clone].children.clone();
        merge_sort(&mut children, &mut |a, b| {
            let order = self[b].promotion_priority.cmp(&self[a].promotion_priority);
            let order = order.then_with(|| self.role_of(b, true).cmp(&self.role_of(a, true)));
            match order as i32 {
                0 => self.compare_instances(a, b),
                order => order,
            }
        });
        self[clone].children = children;
        self[clone].updating = false;
    }

    /// Where an instance could be promoted.
    fn promotable_on(&self, r: R) -> Option<N> {
        for c in &self[r].children {
            self.promotable_on(*c)?;
        }
        let n = self.node_of(r, Place::Assigned)?;
        if !self[r].managed {
            if self.role_of(r, true) != Role::Promoted {
                return None;
            }
        } else if self[r].priority < 0 || !self.can_run(n) || self.is_unplaced_guest(n) {
            return None;
        }
        let clone = self.top_of(r);
        let cell = self[clone].allowed.get(n)?;
        if i32::from(cell.count) >= self[clone].promoted_node_max && self[r].managed {
            return None;
        }
        Some(n)
    }

    fn is_unplaced_guest(&self, n: N) -> bool {
        self.is_guest(n)
            && self.launcher_of(n).is_some_and(|l| self.node_of(l, Place::Assigned).is_none())
    }

    fn show_promotion_score(&mut self, i: R) {
        if self.scores.is_none() {
            return;
        }
        let place = match self.node_of(i, Place::Assigned) {
            Some(n) => format!("on {}", self[n].name),
            None => "(inactive)".to_owned(),
        };
        let score = values::readable(self[i].promotion_priority);
        let line = format!("{} promotion score {place}: {score}", self[i].id);
        if let Some(s) = &mut self.scores {
            s.push(line);
        }
    }

    pub(super) fn set_instance_roles(&mut self, clone: R) {
        for n in self[clone].allowed.nodes() {
            if let Some(c) = self[clone].allowed.get_mut(n) {
                c.count = 0;
            }
        }
        for i in self[clone].children.clone() {
            self.set_instance_priority(i, clone);
        }
        self.sort_promotable(clone);
        let mut promoted = 0;
        for i in self[clone].children.clone() {
            self.show_promotion_score(i);
            let wanted = self[i].promotion_priority >= 0
                && (promoted < self[clone].promoted_max || !self[clone].managed);
            let frozen = self[i].role < Role::Promoted
                && !self.set.quorate
                && self.set.policy == QuorumPolicy::Freeze;
            let node = if wanted { self.promotable_on(i) } else { None };
            let Some(n) = node.filter(|_| !frozen) else {
                self.set_unpromoted_next(i);
                continue;
            };
            if let Some(c) = self[clone].allowed.get_mut(n) {
                c.count += 1;
            }
            self.set_promoted_next(i);
            promoted += 1;
        }
    }

    pub(super) fn update_dependent_of_promotable(&mut self, primary: R, dependent: R, c: usize) {
        let coloc = self.colocations[c].clone();
        let mut nodes = Vec::new();
        for i in self[primary].children.clone() {
            let Some(n) = self.node_of(i, Place::Assigned) else { continue };
            if self.role_of(i, false) != coloc.primary_role {
                continue;
            }
            if coloc.score < values::INFINITY {
                let attribute = coloc.attribute.as_deref();
                for m in self[dependent].allowed.nodes() {
                    if self.values_agree((n, primary), (m, dependent), attribute)
                        && let Some(cell) = self[dependent].allowed.get_mut(m)
                    {
                        let before = cell.score;
                        let after = values::add(before, coloc.score);
                        cell.score = after;
                        self.note_score(dependent, m, Why::Follows(c), before, after);
                    }
                }
            }
            let score = self.assigned_score_of(i);
            nodes.push((n, score));
        }
        if coloc.score >= values::INFINITY
            && (coloc.dependent_role != Role::Promoted || coloc.primary_role != Role::Promoted)
        {
            self.intersect_nodes(dependent, c, &nodes, true);
        }
    }

    fn assigned_score_of(&self, r: R) -> i32 {
        match self[r].children.first() {
            Some(c) => self.assigned_score_of(*c),
            None => self[r].assigned_score,
        }
    }

    pub(super) fn update_priority_by_promotable(&mut self, p: R, dependent: R, c: usize) -> i32 {
        let coloc = self.colocations[c].clone();
        let attribute = coloc.attribute.as_deref();
        let found = self.compatible_instance(dependent, p, coloc.primary_role, false, attribute);
        if found.is_some() {
            self[dependent].priority = values::add(self[dependent].priority, coloc.score);
            return coloc.score;
        }
        if coloc.score >= values::INFINITY {
            self[dependent].priority = -values::INFINITY;
            return -values::INFINITY;
        }
        0
    }
}
