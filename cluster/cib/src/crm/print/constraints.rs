//! Constraints.

use super::{join, pair, rules};
use crate::crm::lex::quote;
use crate::crm::names::{ORDER_KINDS, RENAMED_ROLES, present_name};
use crate::model::{Colocation, Constraint, Location, Order, ResourceSet, TicketConstraint};

/// The constraint as a line; none when it holds something that has no notation.
pub(super) fn line(constraint: &Constraint) -> Option<String> {
    let segments = match constraint {
        Constraint::Location(location) => self::location(location),
        Constraint::Colocation(colocation) => self::colocation(colocation),
        Constraint::Order(order) => self::order(order),
        Constraint::Ticket(ticket) => self::ticket(ticket),
    };
    segments.map(|segments| join(&segments))
}

fn location(location: &Location) -> Option<Vec<String>> {
    let subject = match (&location.resource, &location.pattern, location.sets.as_slice()) {
        (Some(resource), None, []) => quote(resource),
        (None, Some(pattern), []) => quote(&format!("/{pattern}/")),
        (None, None, [set]) if set.role.is_none() => braces(set)?,
        _ => return None,
    };
    let mut words = vec![format!("location {} {subject}", quote(&location.id))];
    words.extend(location.role.as_ref().map(|role| pair("role", role_word(role))));
    words.extend(location.discovery.as_ref().map(|d| pair("resource-discovery", d)));
    match (&location.node, &location.score, location.rules.as_slice(), &location.lifetime) {
        (Some(node), Some(score), [], None) => {
            words.push(format!("{} {}", rules::score(score), quote(node)));
            Some(vec![words.join(" ")])
        }
        (None, None, [_, ..], None) => {
            let mut segments = vec![words.join(" ")];
            for (index, rule) in location.rules.iter().enumerate() {
                let default_id = match index {
                    0 => format!("{}-rule", location.id),
                    n => format!("{}-rule-{n}", location.id),
                };
                segments.push(rules::rule(rule, &default_id));
            }
            Some(segments)
        }
        _ => None,
    }
}

fn braces(set: &ResourceSet) -> Option<String> {
    let plain = set.sequential.is_none()
        && set.require_all.is_none()
        && set.ordering.is_none()
        && set.action.is_none()
        && set.score.is_none()
        && set.kind.is_none()
        && !set.members.is_empty();
    plain.then(|| format!("{{ {} }}", set.members.join(" ")))
}

fn colocation(colocation: &Colocation) -> Option<Vec<String>> {
    if colocation.dependent_instance.is_some() || colocation.primary_instance.is_some() {
        return None;
    }
    let score = colocation.score.as_deref().unwrap_or("INFINITY");
    let mut segments =
        vec![format!("colocation {} {}", quote(&colocation.id), rules::score(score))];
    match (&colocation.dependent, &colocation.primary, colocation.sets.as_slice()) {
        (Some(dependent), Some(primary), []) => segments.push(format!(
            "{} {}",
            member(dependent, colocation.dependent_role.as_ref()),
            member(primary, colocation.primary_role.as_ref())
        )),
        (None, None, sets @ [_, ..]) => segments.extend(self::sets(sets, Said::Role, 2)?),
        _ => return None,
    }
    segments.extend(colocation.node_attribute.as_ref().map(|a| pair("node-attribute", a)));
    segments.extend(colocation.influence.as_ref().map(|i| pair("influence", i)));
    Some(segments)
}

fn order(order: &Order) -> Option<Vec<String>> {
    if order.first_instance.is_some() || order.then_instance.is_some() {
        return None;
    }
    let strength = match (&order.kind, &order.score) {
        (Some(kind), None) if ORDER_KINDS.contains(&kind.as_str()) => format!(" {kind}:"),
        (None, Some(score)) => format!(" {}", rules::score(score)),
        (None, None) => String::new(),
        (Some(_), _) => return None,
    };
    let mut segments = vec![format!("order {}{strength}", quote(&order.id))];
    match (&order.first, &order.then, order.sets.as_slice()) {
        (Some(first), Some(then), []) => segments.push(format!(
            "{} {}",
            member(first, order.first_action.as_ref()),
            member(then, order.then_action.as_ref())
        )),
        (None, None, sets @ [_, ..]) => segments.extend(self::sets(sets, Said::Action, 2)?),
        _ => return None,
    }
    segments.extend(order.symmetrical.as_ref().map(|s| pair("symmetrical", s)));
    segments.extend(order.require_all.as_ref().map(|r| pair("require-all", r)));
    Some(segments)
}

fn ticket(ticket: &TicketConstraint) -> Option<Vec<String>> {
    let name = ticket.ticket.as_ref()?;
    let mut segments =
        vec![format!("rsc_ticket {} {}", quote(&ticket.id), quote(&format!("{name}:")))];
    match (&ticket.resource, ticket.sets.as_slice()) {
        (Some(resource), []) => segments.push(member(resource, ticket.role.as_ref())),
        (None, sets @ [_, ..]) => segments.extend(self::sets(sets, Said::Role, 1)?),
        _ => return None,
    }
    segments.extend(ticket.loss_policy.as_ref().map(|policy| pair("loss-policy", policy)));
    Some(segments)
}

/// A resource with its role, in the present words, or its action.
fn member(name: &str, word: Option<&String>) -> String {
    word.map_or_else(|| quote(name), |word| format!("{}:{}", quote(name), role_word(word)))
}

fn role_word(role: &str) -> &str {
    present_name(RENAMED_ROLES, role)
}

/// What members say behind their colon.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Role,
    Action,
}

/// Sets, without brackets where reading them gives the same sets again: so many members without
/// brackets, or fewer, are no set.
fn sets(sets: &[ResourceSet], said: Said, no_set: usize) -> Option<Vec<String>> {
    let members: usize = sets.iter().map(|set| set.members.len()).sum();
    if sets.iter().any(|set| set.members.is_empty()) {
        return None;
    }
    let mut out: Vec<String> = Vec::new();
    let mut before: Option<&ResourceSet> = None;
    for set in sets {
        let word = |set: &ResourceSet| match said {
            Said::Role => set.role.clone(),
            Said::Action => set.action.clone(),
        };
        let rest = match said {
            Said::Role => &set.action,
            Said::Action => &set.role,
        };
        let dressed =
            set.ordering.is_some() || set.score.is_some() || set.kind.is_some() || rest.is_some();
        let sequential = set.sequential.as_deref() != Some("false");
        let all = set.require_all.as_deref() != Some("false");
        let joins = before.is_some_and(|before| word(before) == word(set));
        let silent = set.sequential.is_none() && set.require_all.is_none();
        let plain = silent && !dressed && !joins && members > no_set;
        before = plain.then_some(set);
        let names: Vec<String> =
            set.members.iter().map(|name| member(name, word(set).as_ref())).collect();
        if plain {
            out.push(names.join(" "));
            continue;
        }
        let (open, close) = if all { ("(", ")") } else { ("[", "]") };
        let mut words = vec![open.to_owned(), names.join(" ")];
        let attributes = [
            ("sequential", sequential.then(|| "true".to_owned())),
            ("require-all", set.require_all.clone().filter(|_| all)),
            ("ordering", set.ordering.clone()),
            ("score", set.score.clone()),
            ("kind", set.kind.clone()),
            (if said == Said::Role { "action" } else { "role" }, rest.clone()),
        ];
        for (name, value) in attributes {
            words.extend(value.map(|value| pair(name, &value)));
        }
        words.push(close.to_owned());
        out.push(words.join(" "));
    }
    Some(out)
}
