//! Colocations: who has a say in where a resource goes, and how much.

use std::collections::BTreeMap;

use crate::world::{Cell, N, R, Role, Table, Variant, Why, World, values};

/// Scores must not go from positive to negative.
pub(crate) const NONNEGATIVE: u32 = 1;
/// Look at those a resource follows instead of those that follow it.
pub(crate) const THIS_WITH: u32 = 1 << 1;
/// Leave off where no node would be left.
pub(crate) const ACTIVE: u32 = 1 << 2;

/// Marks a node as unusable while scores are added up.
const UNUSABLE: i32 = -100 * values::INFINITY;

/// What a colocation has an effect on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affects {
    Nothing,
    Location,
    Role,
}

/// What has to agree: the node, or the value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Node(Option<N>),
    Text(Option<String>),
}

impl World<'_> {
    /// Colocations in which others follow `r`.
    pub(crate) fn with_this(&self, r: R) -> Vec<usize> {
        let mut list = Vec::new();
        self.gather_with_this(r, r, &mut list);
        list
    }

    /// Colocations in which `r` follows others.
    pub(crate) fn this_with(&self, r: R) -> Vec<usize> {
        let mut list = Vec::new();
        self.gather_this_with(r, r, &mut list);
        list
    }

    /// Joins a list to another. An empty one is copied; otherwise the reference implementation
    /// inserts the first entry once for each, and so does this one.
    fn join(&self, list: &mut Vec<usize>, more: &[usize], dependents: bool) {
        if list.is_empty() {
            list.extend_from_slice(more);
            return;
        }
        for _ in more {
            self.insert_colocation(list, more[0], dependents);
        }
    }

    fn gather_with_this(&self, r: R, orig: R, list: &mut Vec<usize>) {
        let parent = self[r].parent;
        match self[r].variant {
            Variant::Primitive if r == orig => {
                self.join(list, &self[r].with_this, true);
                if let Some(p) = parent {
                    self.gather_with_this(p, orig, list);
                }
            }
            Variant::Primitive => {
                for c in &self[r].with_this {
                    if self.colocations[*c].explicit {
                        self.insert_colocation(list, *c, true);
                    }
                }
            }
            Variant::Group => {
                if self[r].children.is_empty()
                    || (orig != r && Some(&orig) != self[r].children.last())
                {
                    return;
                }
                self.join(list, &self[r].with_this, true);
                if let Some(p) = parent {
                    self.gather_with_this(p, orig, list);
                }
                if self[r].group_colocated {
                    for m in self[r].children.iter().filter(|m| **m != orig) {
                        self.gather_with_this(*m, orig, list);
                    }
                }
            }
            Variant::Clone => {
                self.join(list, &self[r].with_this, true);
                if let Some(p) = parent {
                    self.gather_with_this(p, orig, list);
                }
            }
            Variant::Bundle => {
                if self.bundle_speaks_for(r, orig) {
                    self.join(list, &self[r].with_this, true);
                }
            }
        }
    }

    fn gather_this_with(&self, r: R, orig: R, list: &mut Vec<usize>) {
        let parent = self[r].parent;
        match self[r].variant {
            Variant::Primitive if r == orig => {
                self.join(list, &self[r].this_with, false);
                if let Some(p) = parent {
                    self.gather_this_with(p, orig, list);
                }
            }
            Variant::Primitive => {
                for c in &self[r].this_with {
                    if self.colocations[*c].explicit {
                        self.insert_colocation(list, *c, false);
                    }
                }
            }
            Variant::Group => self.gather_group_with(r, orig, list),
            Variant::Clone => {
                self.join(list, &self[r].this_with, false);
                if let Some(p) = parent {
                    self.gather_this_with(p, orig, list);
                }
            }
            Variant::Bundle => {
                if self.bundle_speaks_for(r, orig) {
                    self.join(list, &self[r].this_with, false);
                }
            }
        }
    }

    fn gather_group_with(&self, r: R, orig: R, list: &mut Vec<usize>) {
        let Some(first) = self[r].children.first() else { return };
        if r == orig || *first == orig {
            self.join(list, &self[r].this_with, false);
            if let Some(p) = self[r].parent {
                self.gather_this_with(p, orig, list);
            }
            if self[r].group_colocated {
                for m in self[r].children.iter().filter(|m| **m != orig) {
                    self.gather_this_with(*m, orig, list);
                }
            }
            return;
        }
        for m in &self[r].children {
            if *m == orig {
                break;
            }
            if !self[*m].managed {
                for c in &self[r].this_with {
                    if self.colocations[*c].score == values::INFINITY {
                        self.insert_colocation(list, *c, false);
                    }
                }
                break;
            }
        }
    }

    /// Whether a bundle's colocations count for one of its parts.
    fn bundle_speaks_for(&self, bundle: R, orig: R) -> bool {
        if orig == bundle || self[orig].replica_container {
            return true;
        }
        let Some(inner) = self[bundle].bundle.as_ref().and_then(|b| b.child) else { return false };
        if !self[inner].promotable || self.top_of(orig) != inner {
            return false;
        }
        if orig == inner { self[orig].promotion_constrained } else { !self[orig].unassigned }
    }

    /// Whether a dependent has a say in where its primary goes.
    pub(crate) fn has_influence(&self, c: usize, r: Option<R>) -> bool {
        let c = &self.colocations[c];
        let rsc = &self[r.unwrap_or(c.primary)];
        if self[c.dependent].nesting_allowed && !rsc.failed && rsc.active.len() == 1 {
            return false;
        }
        c.influence || rsc.active.is_empty()
    }

    /// The node a resource is on when it is on this node: for the inside of a bundle, its host.
    fn colocation_target(&self, r: R, n: N) -> bool {
        if !self.set.have_remotes || !self.is_guest(n) {
            return false;
        }
        (self.is_bundle_node(n)
            && self.is_bundled(r)
            && Some(self.top_of(r)) == self.bundled_resource(r))
            || self[r]
                .meta("container-attribute-target")
                .is_some_and(|t| t.eq_ignore_ascii_case("host"))
    }

    fn value(&self, n: N, attribute: Option<&str>, r: R) -> Value {
        let host = self.colocation_target(r, n);
        let named = |n: N| Value::Node(Some(n).filter(|n| self.has_name(*n)));
        match attribute {
            None if host => {
                let at = self.launcher_of(n).and_then(|l| self[l].assigned);
                at.map_or(Value::Node(None), named)
            }
            None => named(n),
            Some(a) => {
                let target = if host { Some("host") } else { None };
                Value::Text(self.node_attr(n, a, target, true).map(str::to_ascii_lowercase))
            }
        }
    }

    /// Whether a node has the attribute that names it. A remote node or guest that nothing is known
    /// of yet has none, so all of those agree.
    fn has_name(&self, n: N) -> bool {
        !self[n].is_remote_kind || self[n].attrs.contains_key("#uname")
    }

    fn value_of_assigned(&self, n: Option<N>, attribute: Option<&str>, r: R) -> Value {
        match (n, attribute) {
            (Some(n), _) => self.value(n, attribute, r),
            (None, None) => Value::Node(None),
            (None, Some(_)) => Value::Text(None),
        }
    }

    /// The scores by which a colocation's dependent judges, where they differ from its own.
    fn judging_table(&self, c: Option<usize>, source: R) -> Option<Table> {
        let coloc = &self.colocations[c?];
        let parent = self[source].parent?;
        if source != coloc.dependent
            || !coloc.explicit
            || !self.is_group(parent)
            || self[parent].children.first() == Some(&source)
        {
            return None;
        }
        let mut table = self[source].allowed.clone();
        for i in self[parent].locations.iter().rev() {
            let l = &self.locations[*i];
            if l.role != Role::Unknown && l.role != self[source].next_role {
                continue;
            }
            for (n, score) in &l.nodes {
                match table.get_mut(*n) {
                    Some(cell) => cell.score = values::add(cell.score, *score),
                    None => {
                        table.insert(*n, Cell { score: *score, ..self[*n].base });
                    }
                }
            }
        }
        Some(table)
    }

    fn allowed_on_one(&self, r: R) -> bool {
        self[r].allowed.iter().filter(|(_, c)| c.score >= 0).take(2).count() == 1
    }

    fn add_matching(
        &self,
        nodes: &mut Table,
        source: R,
        target: R,
        c: usize,
        factor: f32,
        only_positive: bool,
    ) {
        let coloc = &self.colocations[c];
        let attribute = coloc.attribute.as_deref();
        let own = self.judging_table(Some(c), source);
        let table = own.as_ref().unwrap_or(&self[source].allowed);
        // Without guests the node itself has to agree, and needs no looking up.
        let direct = attribute.is_none() && !self.set.have_remotes;
        let mut best: BTreeMap<Value, i32> = BTreeMap::new();
        if !direct {
            for (n, cell) in table.iter() {
                if self.can_run(n) {
                    let b =
                        best.entry(self.value(n, attribute, source)).or_insert(-values::INFINITY);
                    *b = (*b).max(cell.score);
                }
            }
        }
        let mut refused: Option<bool> = None;
        for (n, cell) in nodes.iter_mut() {
            let score = if direct {
                table.get(n).filter(|_| self.can_run(n)).map(|t| t.score)
            } else {
                best.get(&self.value(n, attribute, target)).copied()
            }
            .unwrap_or(-values::INFINITY)
            .max(-values::INFINITY);
            if factor < 0.0 && score < 0 {
                let hopeless = *refused.get_or_insert_with(|| {
                    !self.has_influence(c, None) || !self.allowed_on_one(coloc.dependent)
                });
                if self[coloc.primary].stickiness >= -score || hopeless {
                    continue;
                }
            }
            if cell.score == UNUSABLE {
                continue;
            }
            let new = values::add(scaled(factor, score), cell.score);
            if only_positive && new < 0 && cell.score > 0 {
                cell.score = UNUSABLE;
            } else if !(only_positive && new < 0 && cell.score == 0) {
                cell.score = new;
            }
        }
    }

    /// Adds to `nodes` what `source` and those colocated with it think of them.
    pub(crate) fn add_colocated_scores(
        &mut self,
        source: R,
        target: Option<R>,
        nodes: &mut Option<Table>,
        c: Option<usize>,
        factor: f32,
        flags: u32,
    ) {
        if self.spreading == 0 {
            self.spread = 0;
        }
        self.spread += 1;
        if self[source].updating || self.spread > self.spread_limit() {
            return;
        }
        self[source].updating = true;
        self.spreading += 1;
        if self.is_group(source) {
            let children = &self[source].children;
            let member = if nodes.is_none() { children.last() } else { children.first() };
            if let Some(m) = member.copied() {
                self.add_colocated_scores(m, target, nodes, c, factor, flags);
            }
        } else {
            self.add_colocated_scores_of(source, target, nodes, c, factor, flags);
        }
        self[source].updating = false;
        self.spreading -= 1;
    }

    /// How many resources scores may come from at a time. Paths through a net of colocations are
    /// more than can be counted; what this leaves out are only its farthest ends.
    fn spread_limit(&self) -> usize {
        (3 * self.rscs.len()).max(10_000)
    }

    fn add_colocated_scores_of(
        &mut self,
        source: R,
        target: Option<R>,
        nodes: &mut Option<Table>,
        c: Option<usize>,
        factor: f32,
        flags: u32,
    ) {
        let target = if nodes.is_none() { Some(source) } else { target };
        let mut work = match (&*nodes, c, target) {
            (Some(table), Some(c), Some(target)) => {
                let mut work = table.clone();
                let positive = flags & NONNEGATIVE != 0;
                self.add_matching(&mut work, source, target, c, factor, positive);
                work
            }
            _ => self[source].allowed.clone(),
        };
        if self.any_available(&work) {
            let this_with = flags & THIS_WITH != 0;
            let list = if this_with { self.this_with(source) } else { self.with_this(source) };
            let flags = flags | ACTIVE;
            for i in list {
                let coloc = &self.colocations[i];
                #[allow(clippy::cast_precision_loss, reason = "scores fit into 24 bits")]
                let other_factor = factor * coloc.score as f32 / values::INFINITY as f32;
                let other = if this_with {
                    coloc.primary
                } else if !self.has_influence(i, None) {
                    continue;
                } else {
                    coloc.dependent
                };
                let mut slot = Some(work);
                self.add_colocated_scores(other, target, &mut slot, Some(i), other_factor, flags);
                work = slot.unwrap_or_default();
            }
        } else if flags & ACTIVE != 0 {
            return;
        }
        if flags & NONNEGATIVE != 0 {
            for (_, cell) in work.iter_mut() {
                if cell.score == UNUSABLE {
                    cell.score = 1;
                }
            }
        }
        *nodes = Some(work);
    }

    /// Adds what a dependent thinks of the nodes to its primary's scores.
    pub(crate) fn add_dependent_scores(&mut self, c: usize, primary: R) {
        if !self.has_influence(c, None) {
            return;
        }
        let coloc = &self.colocations[c];
        let dependent = coloc.dependent;
        let factor = factor(coloc.score);
        let flags = ACTIVE | if self.is_clone(primary) { NONNEGATIVE } else { 0 };
        let mut nodes = Some(self[primary].allowed.clone());
        self.add_colocated_scores(dependent, Some(primary), &mut nodes, Some(c), factor, flags);
        self.noting(primary, Why::Followed(c), |w| {
            w[primary].allowed = nodes.unwrap_or_default();
        });
    }

    /// The part of a bundle that has the role: what runs in a container.
    fn role_resource(&self, r: R) -> R {
        if self[r].replica_container { self.in_container(r).unwrap_or(r) } else { r }
    }

    pub(crate) fn colocation_affects(&self, d: R, p: R, c: usize, preview: bool) -> Affects {
        let coloc = &self.colocations[c];
        if !preview && self[p].unassigned {
            return Affects::Nothing;
        }
        let (dr, pr) = (self.role_resource(d), self.role_resource(p));
        if coloc.dependent_role >= Role::Unpromoted
            && self[dr].parent.is_some_and(|x| self[x].promotable)
            && !self[dr].unassigned
        {
            return Affects::Role;
        }
        if !preview && !self[d].unassigned {
            return Affects::Nothing;
        }
        let differs = |want: Role, r: R| want != Role::Unknown && want != self[r].next_role;
        if differs(coloc.dependent_role, dr) || differs(coloc.primary_role, pr) {
            return Affects::Nothing;
        }
        Affects::Location
    }

    /// Lets a primary's node count for the dependent, or keeps it away.
    pub(crate) fn apply_to_scores(&mut self, dependent: R, primary: R, c: usize) {
        let coloc = &self.colocations[c];
        let score = coloc.score;
        let attribute = coloc.attribute.as_deref();
        let assigned = self[primary].assigned;
        if assigned.is_none() && score < 0 {
            return;
        }
        let want = self.value_of_assigned(assigned, attribute, primary);
        let mut work = self[dependent].allowed.clone();
        for (n, cell) in work.iter_mut() {
            if assigned.is_none() {
                cell.score = values::add(-score, cell.score);
            } else if self.value(n, attribute, dependent) == want {
                if score < values::INFINITY {
                    cell.score = values::add(score, cell.score);
                }
            } else if score >= values::INFINITY {
                cell.score = -values::INFINITY;
            }
        }
        if score.abs() >= values::INFINITY || self.any_available(&work) {
            self.noting(dependent, Why::Follows(c), |w| w[dependent].allowed = work);
        }
    }

    /// Lets a primary's node count for whether the dependent is promoted.
    pub(crate) fn apply_to_priority(&mut self, dependent: R, primary: R, c: usize) -> i32 {
        let coloc = self.colocations[c].clone();
        let Some(n) = self[dependent].assigned else { return 0 };
        let node = self[primary].assigned;
        if node.is_some()
            && coloc.primary_role != Role::Unknown
            && coloc.primary_role != self[self.role_resource(primary)].next_role
        {
            return 0;
        }
        let attribute = coloc.attribute.as_deref();
        let mut sign = 1;
        if self.value(n, attribute, dependent) != self.value_of_assigned(node, attribute, primary) {
            if coloc.score != values::INFINITY || coloc.dependent_role != Role::Promoted {
                return 0;
            }
            sign = -1;
        } else if coloc.dependent_role == Role::Unpromoted {
            sign = -1;
        }
        let delta = sign * coloc.score;
        self[dependent].priority = values::add(delta, self[dependent].priority);
        delta
    }

    /// Whether two nodes agree in a colocation's attribute, for this resource.
    pub(crate) fn same_value(&self, a: N, b: N, attribute: Option<&str>, r: R) -> bool {
        self.value(a, attribute, r) == self.value(b, attribute, r)
    }

    /// Applies a colocation to its dependent (or a part of it) with its primary (or a part of it).
    pub(crate) fn apply_colocation(&mut self, d: R, p: R, c: usize, for_dependent: bool) -> i32 {
        let variant = if for_dependent { self[d].variant } else { self[p].variant };
        match (variant, for_dependent) {
            (Variant::Primitive, true) => self.apply_colocation(d, p, c, false),
            (Variant::Primitive, false) => match self.colocation_affects(d, p, c, false) {
                Affects::Role => self.apply_to_priority(d, p, c),
                Affects::Location => {
                    self.apply_to_scores(d, p, c);
                    0
                }
                Affects::Nothing => 0,
            },
            (Variant::Group, true) => self.colocate_group_with(d, p, c),
            (Variant::Group, false) => self.colocate_with_group(d, p, c),
            (Variant::Clone, false) => self.colocate_with_clone(d, p, c),
            (Variant::Bundle, false) => self.colocate_with_bundle(d, p, c),
            // Clones and bundles are never assigned as such, only their parts are.
            (Variant::Clone | Variant::Bundle, true) => 0,
        }
    }

    /// Bans a dependent from nodes that are not in the list.
    pub(crate) fn intersect_nodes(
        &mut self,
        dependent: R,
        c: usize,
        list: &[(N, i32)],
        merge: bool,
    ) {
        self.noting(dependent, Why::Follows(c), |w| {
            for (n, cell) in w[dependent].allowed.iter_mut() {
                match list.iter().rev().find(|(m, _)| *m == n) {
                    None => cell.score = -values::INFINITY,
                    Some((_, score)) if merge => cell.score = values::add(cell.score, *score),
                    Some(_) => {}
                }
            }
        });
    }
}

/// A score as a share of INFINITY.
pub(crate) fn factor(score: i32) -> f32 {
    #[allow(clippy::cast_precision_loss, reason = "scores fit into 24 bits")]
    let f = score as f32 / values::INFINITY as f32;
    f
}

/// A share of a score, rounded, but never to nothing.
fn scaled(factor: f32, score: i32) -> i32 {
    #[allow(clippy::cast_precision_loss, reason = "scores fit into 24 bits")]
    let share = f64::from(factor * score as f32);
    #[allow(clippy::cast_possible_truncation, reason = "rounding is meant, and the value small")]
    let delta = if share < 0.0 { (share - 0.5) as i32 } else { (share + 0.5) as i32 };
    if delta == 0 && score != 0 {
        return if factor > 0.0 {
            1
        } else if factor < 0.0 {
            -1
        } else {
            0
        };
    }
    delta
}

impl World<'_> {
    /// Whether two nodes agree in an attribute, each for its resource.
    pub(super) fn values_agree(&self, a: (N, R), b: (N, R), attribute: Option<&str>) -> bool {
        self.value(a.0, attribute, a.1) == self.value(b.0, attribute, b.1)
    }
}
