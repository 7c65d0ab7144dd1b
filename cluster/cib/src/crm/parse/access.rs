//! Access control: roles with their rules, and who has them.

use haven_base::nearest;

use super::cursor::Cursor;
use crate::crm::document::Object;
use crate::crm::finding::Finding;
use crate::crm::lex::Token;
use crate::xml::Element;

const RIGHTS: [&str; 3] = ["read", "write", "deny"];
const RULE: &str = "read|write|deny SPECIFICATION, for example: write meta:vip:target-role";
const SPECIFICATIONS: [&str; 13] = [
    "xpath",
    "tag",
    "ref",
    "type",
    "meta",
    "params",
    "utilization",
    "location",
    "property",
    "node",
    "nodeattr",
    "nodeutil",
    "status",
];

/// Reads `role ID RIGHT SPECIFICATION … RIGHT SPECIFICATION …`.
pub(super) fn role(cursor: &mut Cursor<'_>) -> Option<Object> {
    let id = cursor.id("role", &format!("role ID {RULE}"))?;
    let mut element = Element::new("acl_role");
    element.push("id", &id);
    while cursor.peek().is_some() {
        if let Some(text) = cursor.peek().and_then(|t| t.text.strip_prefix("description=")) {
            element.push("description", text);
            cursor.next();
            continue;
        }
        let number = element.children.len();
        element.children.extend(permission(cursor, &id, number));
    }
    if element.children.is_empty() {
        cursor.complain_at_end("a rule", RULE);
    }
    Some(Object::Acl(element))
}

/// Reads `acl_target USER ROLE …`.
pub(super) fn target(cursor: &mut Cursor<'_>) -> Option<Object> {
    const FIX: &str = "acl_target USER ROLE …";
    let id = cursor.id("user", FIX)?;
    let mut element = Element::new("acl_target");
    element.push("id", &id);
    while let Some(token) = cursor.next() {
        let name = token.text.strip_prefix("role:").unwrap_or(&token.text);
        let name = cursor.reference(token, name);
        element.children.push(named("role", &name));
    }
    Some(Object::Acl(element))
}

/// Reads the old `user USER role:ROLE …` and `user USER RIGHT SPECIFICATION …`. Rules of a user's own
/// become a role that only this user has.
pub(super) fn user(cursor: &mut Cursor<'_>) -> Vec<Object> {
    const FIX: &str = "user USER role:ROLE …";
    let Some(id) = cursor.id("user", FIX) else { return Vec::new() };
    let own = format!("{id}-rules");
    let (mut target, mut role) = (Element::new("acl_target"), Element::new("acl_role"));
    target.push("id", &id);
    role.push("id", &own);
    while let Some(token) = cursor.peek() {
        if let Some(name) = token.text.strip_prefix("role:") {
            cursor.next();
            let name = cursor.reference(token, name);
            target.children.push(named("role", &name));
            continue;
        }
        let number = role.children.len();
        role.children.extend(permission(cursor, &own, number));
    }
    if target.children.is_empty() && role.children.is_empty() {
        cursor.complain_at_end("roles or rules", FIX);
    }
    if role.children.is_empty() {
        return vec![Object::Acl(target)];
    }
    target.children.push(named("role", &own));
    vec![Object::Acl(role), Object::Acl(target)]
}

fn named(element: &str, id: &str) -> Element {
    let mut element = Element::new(element);
    element.push("id", id);
    element
}

/// Reads one rule: the right, then what it is about.
fn permission(cursor: &mut Cursor<'_>, role: &str, number: usize) -> Option<Element> {
    let right = cursor.next()?;
    if !RIGHTS.contains(&right.text.as_str()) {
        let found = format!("expected read, write or deny, found \"{}\"", right.text);
        let near = nearest(&right.text, RIGHTS);
        cursor.complain_at(right, Finding::error("HV0103", found).near(near).fix(RULE));
    }
    let mut element = Element::new("acl_permission");
    let suffix = if number == 0 { String::new() } else { format!("-{number}") };
    element.push("id", format!("{role}-{}{suffix}", right.text));
    element.push("kind", &right.text);
    let begun = element.attributes.len();
    while let Some(token) = cursor.peek() {
        let is_right = RIGHTS.contains(&token.text.as_str()) && !token.quoted;
        let other = ["description=", "role:"].iter().any(|start| token.text.starts_with(start));
        if is_right || other {
            break;
        }
        cursor.next();
        specification(cursor, token, &mut element);
    }
    if element.attributes.len() == begun {
        cursor.complain_at(
            right,
            Finding::error("HV0103", format!("\"{}\" says not what about", right.text)).fix(RULE),
        );
        return None;
    }
    Some(element)
}

fn specification(cursor: &mut Cursor<'_>, token: &Token, element: &mut Element) {
    let (word, rest) = token.text.split_once(':').unwrap_or((&token.text, ""));
    let (first, second) = match rest.split_once(':') {
        Some((first, second)) => (first, Some(second)),
        None => (rest, None),
    };
    let of = |value: &str| if value.is_empty() { String::new() } else { format!("='{value}'") };
    let pair = |name: Option<&str>| name.map_or(String::new(), |n| format!("/nvpair[@name='{n}']"));
    let some = Some(first).filter(|first| !first.is_empty());
    let xpath = match word {
        "xpath" if !rest.is_empty() => rest.to_owned(),
        "tag" | "type" if !rest.is_empty() => return element.push("object-type", rest),
        "ref" if !rest.is_empty() => return element.push("reference", rest),
        "attribute" if !rest.is_empty() => return element.push("attribute", rest),
        "meta" if some.is_some() => format!("//*[@id='{first}']/meta_attributes{}", pair(second)),
        "params" if some.is_some() => {
            format!("//*[@id='{first}']/instance_attributes{}", pair(second))
        }
        "utilization" if some.is_some() => format!("//*[@id='{first}']/utilization"),
        "location" if some.is_some() => format!("//rsc_location[@rsc='{first}']"),
        "property" => match some {
            Some(name) => format!("//crm_config//nvpair[@name='{name}']"),
            None => "//crm_config".to_owned(),
        },
        "node" => format!(
            "//nodes/node{}",
            some.map_or_else(String::new, |_| { format!("[@uname{}]", of(first)) })
        ),
        "nodeattr" => format!("//nodes/node/instance_attributes{}", pair(some)),
        "nodeutil" => match some {
            Some(node) => format!("//nodes/node[@uname='{node}']/utilization"),
            None => "//nodes/node/utilization".to_owned(),
        },
        "status" => "/cib/status".to_owned(),
        "cib" => "/cib".to_owned(),
        _ => {
            let found = format!("\"{}\" says not what the rule is about", token.text);
            let finding = Finding::error("HV0103", found)
                .near(nearest(word, SPECIFICATIONS))
                .fix("use xpath:PATH, ref:ID, tag:ELEMENT, meta:ID[:NAME], params:ID[:NAME], …");
            return cursor.complain_at(token, finding);
        }
    };
    element.push("xpath", xpath);
}
