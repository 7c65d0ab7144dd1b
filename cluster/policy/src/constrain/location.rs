//! Location constraints and node health.

use haven_cib::{Condition, Location as CibLocation, ResourceSet, Rule};

use super::sets::Named;
use crate::rules::{self, nvpair::Rules};
use crate::world::{Location, N, Probe, R, Role, Variant, Why, World, values};

impl World<'_> {
    pub(super) fn apply_node_health(&mut self) {
        let strategy = self.option("node-health-strategy", "none").to_ascii_lowercase();
        let base = match strategy.as_str() {
            "migrate-on-red" | "only-green" | "custom" => 0,
            "progressive" => self.score(self.option("node-health-base", "0")).unwrap_or(0),
            _ => return,
        };
        for n in self.node_order.clone() {
            let mut health = base;
            for (k, v) in &self[n].attrs {
                if k.starts_with("#health")
                    && let Some(s) = self.score(v)
                {
                    health = values::add(s, health);
                }
            }
            if health == 0 {
                continue;
            }
            for r in self.top.clone() {
                if health > 0 || !values::is_true(self[r].meta("allow-unhealthy-nodes")) {
                    self.new_location(r, Role::Unknown, Probe::Always, vec![(n, health)]);
                }
            }
        }
    }

    pub(super) fn unpack_location(&mut self, l: &CibLocation) {
        let mut sets = self.expand_sets(&l.sets).unwrap_or_else(|| l.sets.clone());
        let mut role = l.role.clone();
        if sets.is_empty()
            && let Some(id) = &l.resource
        {
            match self.named(id) {
                Some(named @ Named::Tag(_)) => {
                    sets = vec![ResourceSet { role: role.take(), ..self.set_of(id, &named) }];
                }
                Some(Named::Resource(_)) => {}
                None => {
                    self.warn(format!("location {}: there is no resource `{id}`", l.id));
                    return;
                }
            }
        }
        if sets.is_empty() {
            self.simple_location(l);
            return;
        }
        for set in &sets {
            for m in &set.members {
                let Some(r) = self.constraint_resource(m) else {
                    self.warn(format!("location {}: there is no resource `{m}`", l.id));
                    return;
                };
                let role = set.role.as_deref().or(role.as_deref());
                self.location_for(l, r, role, set.score.as_deref(), &[]);
            }
        }
    }

    fn simple_location(&mut self, l: &CibLocation) {
        if let Some(r) = l.resource.as_deref().and_then(|id| self.constraint_resource(id)) {
            self.location_for(l, r, l.role.as_deref(), None, &[]);
        }
        let Some(pattern) = &l.pattern else { return };
        let (pattern, invert) = match pattern.strip_prefix('!') {
            Some(p) => (p, true),
            None => (pattern.as_str(), false),
        };
        let Ok(regex) = regex::RegexBuilder::new(pattern)
            .unicode(false)
            .build()
            .or_else(|_| regex::Regex::new(pattern))
        else {
            self.warn(format!("location {}: `{pattern}` is no regular expression", l.id));
            return;
        };
        for r in self.top.clone() {
            let groups: Option<Vec<Option<String>>> = regex.captures(&self[r].id).map(|c| {
                c.iter()
                    .map(|g| g.map(|m| m.as_str().to_owned()).filter(|m| !m.is_empty()))
                    .collect()
            });
            match (groups, invert) {
                (Some(groups), false) => {
                    self.location_for(l, r, l.role.as_deref(), None, &groups);
                }
                (None, true) => self.location_for(l, r, l.role.as_deref(), None, &[]),
                _ => {}
            }
        }
    }

    fn location_for(
        &mut self,
        l: &CibLocation,
        r: R,
        role: Option<&str>,
        score: Option<&str>,
        submatches: &[Option<String>],
    ) {
        if let (Some(node), Some(score)) = (&l.node, score.or(l.score.as_deref())) {
            let Some(n) = self.find_node(node) else { return };
            let Some(score) = self.score(score) else {
                self.warn(format!("location {}: `{score}` is no score", l.id));
                return;
            };
            let Some(role) = location_role(role) else { return };
            let probe = self.discovery(r, l.discovery.as_deref());
            self.new_location(r, role, probe, vec![(n, score)]);
        } else if let Some(rule) = l.rules.first() {
            self.location_rule(l, r, rule, submatches);
        }
    }

    fn discovery(&mut self, r: R, text: Option<&str>) -> Probe {
        match text.map(str::to_ascii_lowercase).as_deref() {
            Some("never") => Probe::Never,
            Some("exclusive") => {
                self[r].exclusive_probes = true;
                Probe::Exclusive
            }
            _ => Probe::Always,
        }
    }

    fn location_rule(&mut self, l: &CibLocation, r: R, rule: &Rule, submatches: &[Option<String>]) {
        let Some(role) = location_role(rule.role.as_deref()) else { return };
        let known = |op: &str| op.eq_ignore_ascii_case("and") || op.eq_ignore_ascii_case("or");
        if rule.boolean_op.as_deref().is_some_and(|op| !known(op)) {
            return;
        }
        let own = rule.score.as_deref().and_then(|s| self.score(s));
        if own.is_none() && rule.score_attribute.is_none() {
            self.warn(format!("location {}: rule {} has no score", l.id, rule.id));
            return;
        }
        let probe = self.discovery(r, l.discovery.as_deref());
        let mut next = None;
        let mut nodes = Vec::new();
        let wants_params = asks_for_params(rule);
        for n in self.node_order.clone() {
            let params = wants_params.then(|| self.params(r, Some(n)));
            let input = Rules {
                now: self.now,
                node_attrs: Some(&self[n].attrs),
                params: params.as_deref(),
                meta: Some(&self[r].meta),
                submatches,
                ..Rules::default()
            };
            if !rules::holds(rule, &input, &mut next) {
                continue;
            }
            let score = match &rule.score_attribute {
                None => own,
                Some(a) => {
                    let name = input.replace_submatches(a);
                    let target = self[r].meta("container-attribute-target");
                    self.node_attr(n, &name, target, false).and_then(|v| self.score(v))
                }
            };
            if let Some(s) = score {
                nodes.push((n, s));
            }
        }
        nodes.reverse();
        self.new_location(r, role, probe, nodes);
        if let Some(t) = next {
            self.recheck(t);
        }
    }

    fn new_location(&mut self, rsc: R, role: Role, probe: Probe, nodes: Vec<(N, i32)>) {
        self.note_location();
        let index = self.locations.len();
        self[rsc].locations.push(index);
        self.locations.push(Location { rsc, role, probe, nodes });
    }

    pub(super) fn apply_locations(&mut self) {
        for i in (0..self.locations.len()).rev() {
            let l = self.locations[i].clone();
            self.apply_location(l.rsc, &l, Some(i), Why::Location(i));
        }
    }

    /// Adds the scores of a location constraint to a resource and its parts.
    pub(crate) fn apply_location(&mut self, r: R, l: &Location, index: Option<usize>, why: Why) {
        self.noting(r, why, |w| w.apply_location_here(r, l));
        match self[r].variant {
            Variant::Primitive => {}
            Variant::Group => {
                // All members go where the first goes; the others need the nodes, not the scores.
                let zero = l.nodes.iter().map(|(n, _)| (*n, 0)).collect();
                let rest = Location { nodes: zero, ..l.clone() };
                for (i, c) in self[r].children.clone().into_iter().enumerate() {
                    let use_rest = i > 0 && self[r].group_colocated;
                    self.apply_location(c, if use_rest { &rest } else { l }, None, why);
                }
            }
            Variant::Clone => {
                for c in self[r].children.clone() {
                    self.apply_location(c, l, None, why);
                }
            }
            Variant::Bundle => {
                let Some(b) = self[r].bundle.clone() else { return };
                for p in &b.replicas {
                    for part in [p.container, p.ip].into_iter().flatten() {
                        self.apply_location(part, l, None, why);
                    }
                }
                if let (Some(child), Role::Unpromoted | Role::Promoted) = (b.child, l.role) {
                    self.apply_location(child, l, None, why);
                    if let Some(i) = index {
                        self[child].locations.push(i);
                    }
                }
            }
        }
    }

    fn apply_location_here(&mut self, r: R, l: &Location) {
        if l.role != Role::Unknown && l.role != self[r].next_role {
            return;
        }
        let mut exclusive = false;
        for (n, score) in &l.nodes {
            let base = self[*n].base;
            let table = &mut self[r].allowed;
            let cell = match table.get_mut(*n) {
                Some(c) => {
                    c.score = values::add(c.score, *score);
                    c
                }
                None => {
                    let cell = table.insert(*n, base);
                    cell.score = *score;
                    cell
                }
            };
            if cell.probe < l.probe {
                exclusive |= l.probe == Probe::Exclusive;
                cell.probe = l.probe;
            }
        }
        self[r].exclusive_probes |= exclusive;
    }
}

/// The role a location is limited to; `None` where the word is not known.
fn location_role(text: Option<&str>) -> Option<Role> {
    let Some(text) = text else { return Some(Role::Unknown) };
    match Role::parse(text) {
        Role::Unknown => None,
        Role::Started | Role::Unpromoted => Some(Role::Unknown),
        role @ Role::Stopped | role @ Role::Promoted => Some(role),
    }
}

fn asks_for_params(rule: &Rule) -> bool {
    rule.conditions.iter().any(|c| match c {
        Condition::Rule(r) => asks_for_params(r),
        Condition::Attribute(t) => {
            t.value_source.as_deref().is_some_and(|s| s.eq_ignore_ascii_case("param"))
        }
        Condition::Date(_)
        | Condition::Resource { .. }
        | Condition::Operation { .. }
        | Condition::Unknown(_) => false,
    })
}
