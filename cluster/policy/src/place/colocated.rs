//! Colocations: what they have an effect on, and that of a primary on its dependent.

use crate::world::{N, R, Role, Variant, Why, World, values};

/// What a colocation has an effect on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affects {
    Nothing,
    Location,
    Role,
}

/// What has to agree: the node, or the value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Node(Option<N>),
    Text(Option<String>),
}

impl World<'_> {
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

    pub(super) fn value(&self, n: N, attribute: Option<&str>, r: R) -> Value {
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

impl World<'_> {
    /// Whether two nodes agree in an attribute, each for its resource.
    pub(super) fn values_agree(&self, a: (N, R), b: (N, R), attribute: Option<&str>) -> bool {
        self.value(a.0, attribute, a.1) == self.value(b.0, attribute, b.1)
    }
}
