//! Colocation constraints.

use haven_cib::{Colocation as CibColocation, ResourceSet};

use super::sets::Named;
use crate::world::{Colocation, R, Role, World, ar, values};

/// Who follows whom.
pub(crate) struct Pair<'b> {
    pub(crate) dependent: R,
    pub(crate) primary: R,
    pub(crate) dependent_role: Option<&'b str>,
    pub(crate) primary_role: Option<&'b str>,
    pub(crate) attribute: Option<&'b str>,
    pub(crate) influence: bool,
    pub(crate) explicit: bool,
}

impl World<'_> {
    pub(super) fn unpack_colocation(&mut self, c: &CibColocation) {
        let mut c = c.clone();
        if let Some(sets) = self.expand_sets(&c.sets) {
            c.sets = sets;
        } else if let (Some(d), Some(p)) = (c.dependent.clone(), c.primary.clone()) {
            let (Some(dependent), Some(primary)) = (self.named(&d), self.named(&p)) else {
                self.warn(format!("colocation {}: `{d}` or `{p}` is not there", c.id));
                return;
            };
            match (&dependent, &primary) {
                (Named::Resource(_), Named::Resource(_)) => {}
                (Named::Tag(_), Named::Tag(_)) => return,
                _ => {
                    let role = c.dependent_role.take();
                    c.sets.push(ResourceSet { role, ..self.set_of(&d, &dependent) });
                    let role = c.primary_role.take();
                    c.sets.push(ResourceSet { role, ..self.set_of(&p, &primary) });
                }
            }
        }
        let score = match &c.score {
            None => 0,
            Some(s) => match self.score(s) {
                Some(s) => s,
                None => {
                    self.warn(format!("colocation {}: `{s}` is no score", c.id));
                    return;
                }
            },
        };
        if c.sets.is_empty() {
            self.simple_colocation(&c, score);
            return;
        }
        for i in 0..c.sets.len() {
            self.colocate_set(&c, &c.sets[i], score);
            if i > 0 {
                self.colocate_sets(&c, &c.sets[i - 1], &c.sets[i], score);
            }
        }
    }

    fn simple_colocation(&mut self, c: &CibColocation, score: i32) {
        let find =
            |w: &Self, id: &Option<String>| id.as_deref().and_then(|id| w.constraint_resource(id));
        let (Some(dependent), Some(primary)) = (find(self, &c.dependent), find(self, &c.primary))
        else {
            return;
        };
        let pair = Pair {
            dependent,
            primary,
            dependent_role: c.dependent_role.as_deref(),
            primary_role: c.primary_role.as_deref(),
            attribute: c.node_attribute.as_deref(),
            influence: self.influence(dependent, c.influence.as_deref()),
            explicit: true,
        };
        self.new_colocation(&pair, score);
    }

    fn influence(&self, r: R, text: Option<&str>) -> bool {
        text.and_then(values::boolean).unwrap_or(self[r].critical)
    }

    fn set_pair(
        &mut self,
        c: &CibColocation,
        d: (R, &ResourceSet),
        p: (R, &ResourceSet),
        score: i32,
        whose: R,
    ) {
        let pair = Pair {
            dependent: d.0,
            primary: p.0,
            dependent_role: d.1.role.as_deref(),
            primary_role: p.1.role.as_deref(),
            attribute: None,
            influence: self.influence(whose, c.influence.as_deref()),
            explicit: true,
        };
        self.new_colocation(&pair, score);
    }

    /// The members of one set with each other.
    fn colocate_set(&mut self, c: &CibColocation, set: &ResourceSet, score: i32) {
        let score = match &set.score {
            None => score,
            Some(s) => match self.score(s) {
                Some(s) => s,
                None => return,
            },
        };
        if score == 0 || !is_sequential(set) {
            return;
        }
        let with_previous = set.ordering.as_deref().is_none_or(|o| o.eq_ignore_ascii_case("group"));
        let mut members = Vec::new();
        for m in &set.members {
            let Some(r) = self.constraint_resource(m) else { return };
            if score > 0 {
                if let Some(other) = members.last().copied() {
                    let (d, p) = if with_previous { (r, other) } else { (other, r) };
                    self.set_pair(c, (d, set), (p, set), score, r);
                }
            } else {
                for other in members.clone() {
                    if other == r {
                        break;
                    }
                    self.set_pair(c, (r, set), (other, set), score, r);
                }
            }
            members.push(r);
        }
    }

    /// The members of one set with those of the next.
    fn colocate_sets(&mut self, c: &CibColocation, s1: &ResourceSet, s2: &ResourceSet, score: i32) {
        if score == 0 {
            return;
        }
        let one = |w: &Self, set: &ResourceSet, m: Option<&String>| match m {
            Some(m) if is_sequential(set) => w.constraint_resource(m).map(Some),
            _ => Some(None),
        };
        let Some(first) = one(self, s1, s1.members.first()) else { return };
        let Some(last) = one(self, s2, s2.members.last()) else { return };
        let all = |w: &Self, set: &ResourceSet| -> Vec<R> {
            set.members.iter().filter_map(|m| w.constraint_resource(m)).collect()
        };
        let dependents = first.map_or_else(|| all(self, s1), |r| vec![r]);
        let primaries = last.map_or_else(|| all(self, s2), |r| vec![r]);
        for d in &dependents {
            for p in &primaries {
                self.set_pair(c, (*d, s1), (*p, s2), score, *d);
            }
        }
    }

    pub(crate) fn new_colocation(&mut self, pair: &Pair<'_>, score: i32) {
        let role = |text: Option<&str>| match text {
            None => Some(Role::Unknown),
            Some(t) => match Role::parse(t) {
                Role::Unknown => None,
                Role::Started => Some(Role::Unknown),
                role @ Role::Stopped | role @ Role::Unpromoted | role @ Role::Promoted => {
                    Some(role)
                }
            },
        };
        let (Some(dependent_role), Some(primary_role)) =
            (role(pair.dependent_role), role(pair.primary_role))
        else {
            return;
        };
        if score == 0 {
            return;
        }
        self.note_colocation();
        let index = self.colocations.len();
        self.colocations.push(Colocation {
            dependent: pair.dependent,
            primary: pair.primary,
            score,
            dependent_role,
            primary_role,
            attribute: pair.attribute.filter(|a| *a != "#uname").map(str::to_owned),
            influence: pair.influence,
            explicit: pair.explicit,
        });
        let mut list = std::mem::take(&mut self[pair.dependent].this_with);
        self.insert_colocation(&mut list, index, false);
        self[pair.dependent].this_with = list;
        let mut list = std::mem::take(&mut self[pair.primary].with_this);
        self.insert_colocation(&mut list, index, true);
        self[pair.primary].with_this = list;
        if score <= -values::INFINITY {
            let (d, p) = (pair.dependent, pair.primary);
            self.anti_colocation_order(d, dependent_role, p, primary_role);
            self.anti_colocation_order(p, primary_role, d, dependent_role);
        }
    }

    /// Inserts a colocation before the first that is not more important.
    pub(crate) fn insert_colocation(&self, list: &mut Vec<usize>, index: usize, dependents: bool) {
        let at = list
            .iter()
            .position(|other| self.compare_colocations(index, *other, dependents) <= 0)
            .unwrap_or(list.len());
        list.insert(at, index);
    }

    fn compare_colocations(&self, a: usize, b: usize, dependents: bool) -> i32 {
        let other = |i: usize| {
            let c = &self.colocations[i];
            if dependents { c.dependent } else { c.primary }
        };
        let (a, b) = (&self[other(a)], &self[other(b)]);
        let clone = a.variant == crate::world::Variant::Clone;
        let order = b
            .priority
            .cmp(&a.priority)
            .then(b.variant.cmp(&a.variant))
            .then_with(|| {
                if clone { b.promotable.cmp(&a.promotable) } else { std::cmp::Ordering::Equal }
            })
            .then_with(|| a.id.cmp(&b.id));
        order as i32
    }

    /// Where two must not meet, the one leaves before the other comes.
    fn anti_colocation_order(&mut self, first: R, first_role: Role, then: R, then_role: Role) {
        let down: &[&'static str] = match first_role {
            Role::Promoted => &["demote"],
            Role::Unpromoted => &["stop", "promote"],
            Role::Unknown | Role::Stopped | Role::Started => &["stop"],
        };
        let up: &[&'static str] = match then_role {
            Role::Promoted => &["promote"],
            Role::Unpromoted => &["start", "demote"],
            Role::Unknown | Role::Stopped | Role::Started => &["start"],
        };
        for d in down {
            for u in up {
                self.order(first, d, then, u, ar::IF_REQUIRED_ON_SAME_NODE);
            }
        }
    }
}

fn is_sequential(set: &ResourceSet) -> bool {
    set.sequential.as_deref().and_then(values::boolean).unwrap_or(true)
}
