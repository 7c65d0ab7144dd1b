//! Constraints: names that exist, no contradiction, no loop.

use std::collections::{BTreeMap, BTreeSet};

use haven_base::nearest;

use super::{Finding, View};
use crate::crm::parse::score;
use crate::model::{Constraint, ResourceSet, Tag};

pub(super) fn check(view: &View<'_>, findings: &mut Vec<Finding>) {
    for constraint in &view.cib.constraints {
        let mut missing: BTreeSet<&str> = BTreeSet::new();
        missing.extend(named(constraint).into_iter().filter(|name| !view.names.contains(name)));
        for name in missing {
            findings.push(
                Finding::error("HV0306", format!("there is no resource \"{name}\""))
                    .about(constraint.id())
                    .near(nearest(name, view.names.iter().copied()))
                    .fix(format!("declare \"{name}\", or remove the constraint")),
            );
        }
        match constraint {
            Constraint::Location(location) => {
                if let Some(node) = &location.node
                    && !view.may_be_node(node)
                {
                    let names: Vec<&str> = view.nodes.iter().copied().collect();
                    findings.push(
                        Finding::error("HV0307", format!("there is no node \"{node}\""))
                            .about(&location.id)
                            .near(nearest(node, names.iter().copied()))
                            .fix(format!("nodes are {}", names.join(", ")))
                            .overridable(),
                    );
                }
                check_score(&location.id, location.score.as_deref(), findings);
            }
            Constraint::Colocation(colocation) => {
                if colocation.dependent.is_some() && colocation.dependent == colocation.primary {
                    findings.push(itself(&colocation.id));
                }
                check_score(&colocation.id, colocation.score.as_deref(), findings);
            }
            Constraint::Order(order) => {
                let actions = order.first_action == order.then_action;
                if order.first.is_some() && order.first == order.then && actions {
                    findings.push(itself(&order.id));
                }
            }
            Constraint::Ticket(_) => {}
        }
    }
    for tag in &view.cib.tags {
        check_tag(view, tag, findings);
    }
    contradictions(view, findings);
    nowhere(view, findings);
    loops(view, findings);
}

fn check_tag(view: &View<'_>, tag: &Tag, findings: &mut Vec<Finding>) {
    let constraints: BTreeSet<&str> = view.cib.constraints.iter().map(Constraint::id).collect();
    for member in &tag.members {
        let known = view.names.contains(member.as_str()) || constraints.contains(member.as_str());
        if !known && !view.nodes.contains(member.as_str()) {
            findings.push(
                Finding::error("HV0306", format!("there is nothing called \"{member}\""))
                    .about(&tag.id)
                    .near(nearest(member, view.names.iter().copied()))
                    .fix(format!("declare \"{member}\", or take it out of the tag")),
            );
        }
    }
}

/// Every resource, template or tag that a constraint names.
fn named(constraint: &Constraint) -> Vec<&str> {
    fn with_sets<'a>(names: &[&'a Option<String>], sets: &'a [ResourceSet]) -> Vec<&'a str> {
        let single = names.iter().filter_map(|name| name.as_deref());
        single.chain(sets.iter().flat_map(|set| set.members.iter().map(String::as_str))).collect()
    }
    match constraint {
        Constraint::Location(location) => with_sets(&[&location.resource], &location.sets),
        Constraint::Colocation(c) => with_sets(&[&c.dependent, &c.primary], &c.sets),
        Constraint::Order(order) => with_sets(&[&order.first, &order.then], &order.sets),
        Constraint::Ticket(ticket) => with_sets(&[&ticket.resource], &ticket.sets),
    }
}

fn check_score(id: &str, text: Option<&str>, findings: &mut Vec<Finding>) {
    if let Some(text) = text.filter(|text| score(text).is_none()) {
        findings.push(
            Finding::error("HV0310", format!("\"{text}\" is no score"))
                .about(id)
                .fix("write a whole number from -1000000 to 1000000, inf or -inf"),
        );
    }
}

fn itself(id: &str) -> Finding {
    Finding::error("HV0315", "a resource cannot be bound to itself")
        .about(id)
        .fix("name two different resources")
}

fn weight(text: Option<&str>) -> i64 {
    const INFINITY: i64 = 1_000_000;
    match text.and_then(score).as_deref() {
        Some("INFINITY") => INFINITY,
        Some("-INFINITY") => -INFINITY,
        Some(number) => number.parse::<i64>().unwrap_or(0).clamp(-INFINITY, INFINITY),
        None => 0,
    }
}

/// Always and never said of the same thing.
fn contradictions(view: &View<'_>, findings: &mut Vec<Finding>) {
    let mut always: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut never: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for constraint in view.whole_constraints() {
        let (key, score) = match constraint {
            Constraint::Location(l) => match (&l.resource, &l.node) {
                (Some(resource), Some(node)) if l.role.is_none() => {
                    ((resource.as_str(), node.as_str()), &l.score)
                }
                _ => continue,
            },
            Constraint::Colocation(c) => match (&c.dependent, &c.primary) {
                (Some(a), Some(b)) if c.dependent_role.is_none() && c.primary_role.is_none() => {
                    ((a.as_str(), b.as_str()), &c.score)
                }
                _ => continue,
            },
            Constraint::Order(_) | Constraint::Ticket(_) => continue,
        };
        let weight = weight(Some(score.as_deref().unwrap_or("INFINITY")));
        let said = match weight {
            1_000_000 => &mut always,
            -1_000_000 => &mut never,
            _ => continue,
        };
        said.insert(key, constraint.id());
        if let (Some(yes), Some(no)) = (always.get(&key), never.get(&key)) {
            let message = format!(
                "\"{yes}\" says always and \"{no}\" says never about {} and {}",
                key.0, key.1
            );
            findings.push(
                Finding::error("HV0316", message)
                    .about(constraint.id())
                    .fix("remove one of the two constraints"),
            );
        }
    }
}

/// Resources that every full member is forbidden to run.
fn nowhere(view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(members) = &view.facts.members else { return };
    let hosts: Vec<&str> = members.iter().filter(|m| !m.witness).map(|m| m.name.as_str()).collect();
    let mut banned: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for constraint in view.whole_constraints() {
        if let Constraint::Location(location) = constraint
            && let (Some(resource), Some(node)) = (&location.resource, &location.node)
            && location.role.is_none()
            && weight(location.score.as_deref()) <= -1_000_000
        {
            banned.entry(resource).or_default().insert(node);
        }
    }
    for (resource, nodes) in banned {
        if !hosts.is_empty() && hosts.iter().all(|host| nodes.contains(host)) {
            findings.push(
                Finding::error("HV0317", "every node is forbidden to run it")
                    .about(resource)
                    .fix("remove one of its location constraints with -inf")
                    .overridable(),
            );
        }
    }
}

/// Mandatory orders and colocations that lead back to where they started.
fn loops(view: &View<'_>, findings: &mut Vec<Finding>) {
    let mut orders: Edges<'_> = BTreeMap::new();
    let mut colocations: Edges<'_> = BTreeMap::new();
    for constraint in view.whole_constraints() {
        match constraint {
            Constraint::Order(order) => {
                let optional = order.kind.as_deref().is_some_and(|kind| kind != "Mandatory");
                let zero = order.score.is_some() && weight(order.score.as_deref()) == 0;
                let plain = |action: &Option<String>| {
                    action.as_deref().is_none_or(|action| action == "start")
                };
                if let (Some(first), Some(then)) = (&order.first, &order.then)
                    && first != then
                    && !optional
                    && !zero
                    && plain(&order.first_action)
                    && plain(&order.then_action)
                {
                    orders.entry(first).or_default().push((then, &order.id));
                }
            }
            Constraint::Colocation(c) => {
                let score = c.score.as_deref().unwrap_or("INFINITY");
                if let (Some(dependent), Some(primary)) = (&c.dependent, &c.primary)
                    && dependent != primary
                    && weight(Some(score)) >= 1_000_000
                {
                    colocations.entry(dependent).or_default().push((primary, &c.id));
                }
            }
            Constraint::Location(_) | Constraint::Ticket(_) => {}
        }
    }
    for (edges, what) in [(orders, "orders"), (colocations, "colocations")] {
        if let Some((id, path)) = cycle(&edges) {
            findings.push(
                Finding::error(
                    "HV0318",
                    format!("mandatory {what} go round in a circle: {}", path.join(" → ")),
                )
                .about(id)
                .fix("remove one of them, or make it optional"),
            );
        }
    }
}

/// What each resource leads to, and by which constraint.
type Edges<'a> = BTreeMap<&'a str, Vec<(&'a str, &'a str)>>;

/// A way that leads back to its start: the constraint that closes it, and the resources on it.
fn cycle<'a>(edges: &Edges<'a>) -> Option<(&'a str, Vec<&'a str>)> {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for start in edges.keys() {
        // The way from `start` to where we are, and how far each step's choices are tried.
        let mut way: Vec<(&'a str, usize)> = vec![(start, 0)];
        while let Some((at, tried)) = way.last_mut() {
            let next = edges.get(at).and_then(|edges| edges.get(*tried)).copied();
            *tried += 1;
            let Some((to, constraint)) = next else {
                done.insert(at);
                way.pop();
                continue;
            };
            if let Some(place) = way.iter().position(|(passed, _)| *passed == to) {
                let mut path: Vec<&str> = way[place..].iter().map(|(passed, _)| *passed).collect();
                path.push(to);
                return Some((constraint, path));
            }
            if !done.contains(to) {
                way.push((to, 0));
            }
        }
    }
    None
}
