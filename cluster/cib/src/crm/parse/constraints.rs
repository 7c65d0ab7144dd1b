//! Constraints: location, colocation, order, ticket.

use haven_base::nearest;

use super::cursor::Cursor;
use super::rules::{self, role_word, score};
use crate::crm::document::Object;
use crate::crm::finding::Finding;
use crate::crm::lex::Token;
use crate::crm::names::ORDER_KINDS;
use crate::model::{Colocation, Constraint, Location, Order, ResourceSet, TicketConstraint};

const ACTIONS: [&str; 5] = ["start", "stop", "promote", "demote", "monitor"];
const ROLES: [&str; 4] = ["Started", "Stopped", "Promoted", "Unpromoted"];
const LOSS: [&str; 4] = ["stop", "demote", "fence", "freeze"];

pub(super) fn location(cursor: &mut Cursor<'_>) -> Option<Object> {
    const FIX: &str =
        "location ID RESOURCE SCORE: NODE, or location ID RESOURCE rule SCORE: EXPRESSION";
    let id = cursor.id("constraint", FIX)?;
    let mut new = Location { id, ..Location::default() };
    let subject = cursor.peek().map_or("", |token| token.text.as_str());
    if subject.starts_with('{') {
        new.sets = braced_sets(cursor, &new.id);
    } else {
        let token = cursor.expect("the resource", FIX)?;
        let pattern = token.text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        match pattern {
            Some(pattern) => new.pattern = Some(pattern.to_owned()),
            None => new.resource = Some(cursor.reference(token, &token.text)),
        }
    }
    while let Some(token) = cursor.peek() {
        if token.text == "rule" && !token.quoted {
            cursor.next();
            let rule_id = match new.rules.len() {
                0 => format!("{}-rule", new.id),
                n => format!("{}-rule-{n}", new.id),
            };
            new.rules.push(rules::rule(cursor, &rule_id, true)?);
        } else if let Some(text) = token.text.strip_suffix(':').filter(|_| !token.quoted) {
            cursor.next();
            new.score = score(text);
            if new.score.is_none() {
                rules::complain_score(cursor, token, text);
            }
            new.node = Some(cursor.expect("the name of the node", FIX)?.text.clone());
        } else if let Some((name, value)) = token.text.split_once('=') {
            cursor.next();
            match name {
                "role" => new.role = Some(role(cursor, token, value)),
                "resource-discovery" => {
                    one_of(cursor, token, value, &["always", "never", "exclusive"]);
                    new.discovery = Some(value.to_owned());
                }
                _ => unknown_attribute(cursor, token, name, &["role", "resource-discovery"]),
            }
        } else {
            break;
        }
    }
    if new.node.is_none() && new.rules.is_empty() {
        match cursor.peek() {
            None => cursor.complain_at_end("SCORE: NODE or a rule", FIX),
            Some(token) if score(&token.text).is_some() => {
                let found = format!("the score {} has no colon", token.text);
                cursor.complain_at(token, Finding::error("HV0106", found).fix(FIX));
                cursor.skip_all();
            }
            Some(token) => {
                let found = format!("expected SCORE: NODE or a rule, found \"{}\"", token.text);
                let near = nearest(&token.text, ["rule"]);
                cursor.complain_at(token, Finding::error("HV0103", found).near(near).fix(FIX));
                cursor.skip_all();
            }
        }
    } else if new.node.is_some() && !new.rules.is_empty() {
        cursor.complain_at_end("either SCORE: NODE or rules, not both", FIX);
    }
    Some(Object::Constraint(Constraint::Location(new)))
}

/// Reads `{ a b }`, also without the blanks.
fn braced_sets(cursor: &mut Cursor<'_>, id: &str) -> Vec<ResourceSet> {
    const FIX: &str = "location ID { RESOURCE RESOURCE } SCORE: NODE";
    let mut set = ResourceSet { id: format!("{id}-0"), ..ResourceSet::default() };
    let mut first = true;
    while let Some(token) = cursor.expect("}", FIX) {
        let mut text = token.text.as_str();
        if first {
            text = text.strip_prefix('{').unwrap_or(text);
            first = false;
        }
        let closed = text.ends_with('}');
        let text = text.strip_suffix('}').unwrap_or(text);
        if let Some((name, value)) = text.split_once('=') {
            set_attribute(cursor, token, &mut set, name, value);
        } else if !text.is_empty() {
            set.members.push(cursor.reference(token, text));
        }
        if closed {
            break;
        }
    }
    vec![set]
}

pub(super) fn colocation(cursor: &mut Cursor<'_>) -> Option<Object> {
    const FIX: &str = "colocation ID SCORE: RESOURCE WITH-RESOURCE";
    let id = cursor.id("constraint", FIX)?;
    let mut new = Colocation { id, ..Colocation::default() };
    if let Some(token) = cursor.peek() {
        match token.text.strip_suffix(':').map(|text| (text, score(text))) {
            Some((text, score)) => {
                cursor.next();
                if score.is_none() {
                    rules::complain_score(cursor, token, text);
                }
                new.score = score;
            }
            None => {
                let found = format!("expected the score and a colon, found \"{}\"", token.text);
                cursor.complain_at(token, Finding::error("HV0106", found).fix(FIX));
            }
        }
    }
    let (sets, attributes) = resource_sets(cursor, &new.id, Suffix::Role);
    for (token, name, value) in attributes {
        match name {
            "node-attribute" => new.node_attribute = Some(value.to_owned()),
            "influence" => new.influence = Some(value.to_owned()),
            _ => unknown_attribute(cursor, token, name, &["node-attribute", "influence"]),
        }
    }
    match pair(&sets) {
        Some([(dependent, dependent_role), (primary, primary_role)]) => {
            new.dependent = Some(dependent);
            new.dependent_role = dependent_role;
            new.primary = Some(primary);
            new.primary_role = primary_role;
        }
        None => new.sets = numbered(cursor, sets, FIX),
    }
    Some(Object::Constraint(Constraint::Colocation(new)))
}

pub(super) fn order(cursor: &mut Cursor<'_>) -> Option<Object> {
    const FIX: &str = "order ID [Mandatory:] FIRST THEN";
    let id = cursor.id("constraint", FIX)?;
    let mut new = Order { id, ..Order::default() };
    if let Some(token) = cursor.peek()
        && let Some(text) = token.text.strip_suffix(':')
    {
        cursor.next();
        if ORDER_KINDS.contains(&text) {
            new.kind = Some(text.to_owned());
        } else if let Some(kind) = old_kind(text) {
            new.kind = Some(kind.to_owned());
        } else if let Some(score) = score(text) {
            match score.as_str() {
                "0" | "+0" | "-0" => new.kind = Some("Optional".to_owned()),
                below if below.starts_with('-') => new.score = Some(score),
                _ => new.kind = Some("Mandatory".to_owned()),
            }
        } else {
            let found = format!("\"{text}\" is no kind of order");
            let finding = Finding::error("HV0109", found)
                .near(nearest(text, ORDER_KINDS.iter().copied()))
                .fix("use Mandatory:, Optional: or Serialize:");
            cursor.complain_at(token, finding);
        }
    }
    let (sets, attributes) = resource_sets(cursor, &new.id, Suffix::Action);
    for (token, name, value) in attributes {
        match name {
            "symmetrical" => new.symmetrical = Some(value.to_owned()),
            "require-all" => new.require_all = Some(value.to_owned()),
            _ => unknown_attribute(cursor, token, name, &["symmetrical", "require-all"]),
        }
    }
    match pair(&sets) {
        Some([(first, first_action), (then, then_action)]) => {
            new.first = Some(first);
            new.first_action = first_action;
            new.then = Some(then);
            new.then_action = then_action;
        }
        None => new.sets = numbered(cursor, sets, FIX),
    }
    Some(Object::Constraint(Constraint::Order(new)))
}

/// The present word for an old kind of order.
fn old_kind(word: &str) -> Option<&'static str> {
    match word {
        "mandatory" => Some("Mandatory"),
        "advisory" | "optional" => Some("Optional"),
        "serialize" => Some("Serialize"),
        _ => None,
    }
}

pub(super) fn ticket(cursor: &mut Cursor<'_>) -> Option<Object> {
    const FIX: &str = "rsc_ticket ID TICKET: RESOURCE … [loss-policy=stop]";
    let id = cursor.id("constraint", FIX)?;
    let mut new = TicketConstraint { id, ..TicketConstraint::default() };
    let token = cursor.expect("the ticket", FIX)?;
    new.ticket = Some(token.text.strip_suffix(':').unwrap_or(&token.text).to_owned());
    let (mut sets, attributes) = resource_sets(cursor, &new.id, Suffix::Role);
    for (token, name, value) in attributes {
        if name == "loss-policy" || name == "loss" {
            one_of(cursor, token, value, &LOSS);
            new.loss_policy = Some(value.to_owned());
        } else {
            unknown_attribute(cursor, token, name, &["loss-policy"]);
        }
    }
    if let [Part { set, plain: true }] = sets.as_mut_slice()
        && let [only] = set.members.as_slice()
    {
        new.resource = Some(only.clone());
        new.role = set.role.take();
    } else {
        new.sets = numbered(cursor, sets, FIX);
    }
    Some(Object::Constraint(Constraint::Ticket(new)))
}

/// What stands behind the colon of a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Suffix {
    Role,
    Action,
}

/// A set, and whether it stood without brackets.
struct Part {
    set: ResourceSet,
    plain: bool,
}

type Given<'a> = Vec<(&'a Token, &'a str, &'a str)>;

/// Reads members up to the end of the line: plain ones, `( any order )`, `[ any one ]`; and the
/// attributes of the whole constraint.
fn resource_sets<'a>(cursor: &mut Cursor<'a>, id: &str, suffix: Suffix) -> (Vec<Part>, Given<'a>) {
    let mut parts: Vec<Part> = Vec::new();
    let mut attributes = Vec::new();
    let mut open: Option<char> = None;
    while let Some(token) = cursor.next() {
        let mut text = token.text.as_str();
        if let Some(bracket) = text.chars().next().filter(|c| matches!(c, '(' | '['))
            && !token.quoted
        {
            if open.is_some() {
                let found = "a bracket inside a bracket";
                cursor
                    .complain_at(token, Finding::error("HV0103", found).fix("close the first one"));
            }
            open = Some(bracket);
            let mut set =
                ResourceSet { sequential: Some("false".to_owned()), ..ResourceSet::default() };
            set.require_all = (bracket == '[').then(|| "false".to_owned());
            parts.push(Part { set, plain: false });
            text = &text[1..];
        }
        let closes = !token.quoted && text.ends_with([')', ']']);
        if closes {
            text = &text[..text.len() - 1];
        }
        if let Some((name, value)) = text.split_once('=') {
            match parts.last_mut().filter(|_| open.is_some()) {
                Some(part) => set_attribute(cursor, token, &mut part.set, name, value),
                None => attributes.push((token, name, value)),
            }
        } else if !text.is_empty() {
            member(cursor, token, text, suffix, open.is_some(), &mut parts);
        }
        if closes && open.take().is_none() {
            let found = "a closing bracket without an opening one";
            cursor.complain_at(token, Finding::error("HV0103", found).fix("remove it"));
        }
    }
    if let Some(bracket) = open {
        let close = if bracket == '(' { ")" } else { "]" };
        cursor.complain_at_end(close, "close the bracket");
    }
    parts.retain(|part| !part.set.members.is_empty());
    for (index, part) in parts.iter_mut().enumerate() {
        part.set.id = format!("{id}-{index}");
    }
    (parts, attributes)
}

/// Adds a member to the last set, or to a new one where its role or action differs.
fn member(
    cursor: &mut Cursor<'_>,
    token: &Token,
    text: &str,
    suffix: Suffix,
    in_bracket: bool,
    parts: &mut Vec<Part>,
) {
    let (name, word) = match text.split_once(':') {
        Some((name, word)) => (name, Some(word)),
        None => (text, None),
    };
    let word = word.map(|word| match suffix {
        Suffix::Role => role(cursor, token, word),
        Suffix::Action => {
            one_of(cursor, token, word, &ACTIONS);
            word.to_owned()
        }
    });
    let said = |set: &ResourceSet| match suffix {
        Suffix::Role => set.role.clone(),
        Suffix::Action => set.action.clone(),
    };
    let joins = parts.last().is_some_and(|part| {
        (part.plain != in_bracket) && (part.set.members.is_empty() || said(&part.set) == word)
    });
    if !joins {
        let mut set = ResourceSet::default();
        if in_bracket && let Some(before) = parts.last() {
            set.sequential.clone_from(&before.set.sequential);
            set.require_all.clone_from(&before.set.require_all);
        }
        parts.push(Part { set, plain: !in_bracket });
    }
    if let Some(part) = parts.last_mut() {
        match suffix {
            Suffix::Role => part.set.role = word,
            Suffix::Action => part.set.action = word,
        }
        part.set.members.push(cursor.reference(token, name));
    }
}

/// Exactly two plain members, which need no sets: each with its role or action.
fn pair(parts: &[Part]) -> Option<[(String, Option<String>); 2]> {
    let mut members: Vec<(String, Option<String>)> = Vec::new();
    for part in parts {
        if !part.plain {
            return None;
        }
        let word = part.set.role.clone().or_else(|| part.set.action.clone());
        members.extend(part.set.members.iter().map(|name| (name.clone(), word.clone())));
    }
    // "A with B", as the design writes it.
    if members.len() == 3 && members[1].0 == "with" {
        members.remove(1);
    }
    members.try_into().ok()
}

fn numbered(cursor: &mut Cursor<'_>, parts: Vec<Part>, fix: &str) -> Vec<ResourceSet> {
    let members: usize = parts.iter().map(|part| part.set.members.len()).sum();
    let ticket = fix.starts_with("rsc_ticket");
    if members < if ticket { 1 } else { 2 } {
        cursor.complain_at_end("another resource", fix);
    }
    parts.into_iter().map(|part| part.set).collect()
}

fn set_attribute(
    cursor: &mut Cursor<'_>,
    token: &Token,
    set: &mut ResourceSet,
    name: &str,
    value: &str,
) {
    let place = match name {
        "sequential" => &mut set.sequential,
        "require-all" => &mut set.require_all,
        "ordering" => &mut set.ordering,
        "action" => &mut set.action,
        "role" => &mut set.role,
        "score" => &mut set.score,
        "kind" => &mut set.kind,
        _ => return unknown_attribute(cursor, token, name, &["sequential", "require-all"]),
    };
    *place = Some(value.to_owned());
}

fn role(cursor: &mut Cursor<'_>, token: &Token, word: &str) -> String {
    let word = role_word(word);
    one_of(cursor, token, &word, &ROLES);
    word
}

fn one_of(cursor: &mut Cursor<'_>, token: &Token, word: &str, known: &[&str]) {
    if !known.contains(&word) {
        let finding =
            Finding::error("HV0109", format!("\"{word}\" is none of {}", known.join(", ")))
                .near(nearest(word, known.iter().copied()))
                .fix(format!("use one of {}", known.join(", ")));
        cursor.complain_at(token, finding);
    }
}

fn unknown_attribute(cursor: &mut Cursor<'_>, token: &Token, name: &str, known: &[&str]) {
    let finding = Finding::error("HV0108", format!("there is no attribute \"{name}\" here"))
        .near(nearest(name, known.iter().copied()))
        .fix(format!("possible are {}", known.join(", ")));
    cursor.complain_at(token, finding);
}
