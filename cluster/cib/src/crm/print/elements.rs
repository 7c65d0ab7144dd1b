//! Alerts and access control as lines, where every part of the element has a notation.

use super::{block, join, pair};
use crate::crm::lex::quote;
use crate::crm::parse::block_id;
use crate::model::{NvPair, NvSet};
use crate::xml::Element;

/// The line of an alert, role or user; none where some part of it has no notation.
pub(super) fn line(element: &Element) -> Option<String> {
    match element.name.as_str() {
        "alert" => alert(element),
        "acl_role" => role(element),
        "acl_target" => target(element),
        _ => None,
    }
}

fn only(element: &Element, attributes: &[&str]) -> Option<()> {
    let known = element.attributes.iter().all(|(name, _)| attributes.contains(&name.as_str()));
    (known && element.text.is_empty()).then_some(())
}

fn role(element: &Element) -> Option<String> {
    only(element, &["id", "description"])?;
    let mut segments = vec![format!("role {}", quote(element.attr("id")?))];
    for rule in &element.children {
        only(rule, &["id", "kind", "xpath", "reference", "object-type", "attribute"])?;
        if rule.name != "acl_permission" || !rule.children.is_empty() {
            return None;
        }
        let mut words = vec![rule.attr("kind")?.to_owned()];
        if !["read", "write", "deny"].contains(&words[0].as_str()) {
            return None;
        }
        for (name, word) in [
            ("xpath", "xpath"),
            ("object-type", "tag"),
            ("reference", "ref"),
            ("attribute", "attribute"),
        ] {
            words.extend(rule.attr(name).map(|value| quote(&format!("{word}:{value}"))));
        }
        if words.len() == 1 {
            return None;
        }
        segments.push(words.join(" "));
    }
    segments.extend(element.attr("description").map(|text| pair("description", text)));
    (segments.len() > 1).then(|| join(&segments))
}

fn target(element: &Element) -> Option<String> {
    only(element, &["id"])?;
    let mut words = vec!["acl_target".to_owned(), quote(element.attr("id")?)];
    for role in &element.children {
        only(role, &["id"])?;
        if role.name != "role" || !role.children.is_empty() {
            return None;
        }
        words.push(quote(role.attr("id")?));
    }
    Some(words.join(" "))
}

fn alert(element: &Element) -> Option<String> {
    only(element, &["id", "path", "description"])?;
    let id = element.attr("id")?;
    let mut segments = vec![format!("alert {} {}", quote(id), quote(element.attr("path")?))];
    segments.extend(element.attr("description").map(|text| pair("description", text)));
    values(element, id, &mut segments)?;
    if let Some(select) = element.child("select") {
        segments.push(selection(select)?);
    }
    for (count, recipient) in element.children_named("recipient").enumerate() {
        only(recipient, &["id", "value"])?;
        let own = recipient.attr("id")?;
        if own != block_id(id, "recipient", count) {
            return None;
        }
        let mut parts = vec![quote(recipient.attr("value")?)];
        values(recipient, own, &mut parts)?;
        if recipient.children.iter().any(|c| !c.name.ends_with("_attributes")) {
            return None;
        }
        segments.push(format!("to {{ {} }}", parts.join(" ")));
    }
    let known = ["instance_attributes", "meta_attributes", "select", "recipient"];
    let all = element.children.iter().all(|child| known.contains(&child.name.as_str()));
    all.then(|| join(&segments))
}

fn selection(select: &Element) -> Option<String> {
    only(select, &[])?;
    let mut words = vec!["select".to_owned()];
    for kind in &select.children {
        only(kind, &[])?;
        words.push(kind.name.strip_prefix("select_")?.to_owned());
        if kind.children.is_empty() {
            continue;
        }
        let names: Option<Vec<String>> =
            kind.children.iter().map(|a| a.attr("name").map(quote)).collect();
        words.push(format!("{{ {} }}", names?.join(" ")));
    }
    (words.len() > 1).then(|| words.join(" "))
}

/// The blocks of values, parameters first; none where one has a rule.
fn values(element: &Element, id: &str, segments: &mut Vec<String>) -> Option<()> {
    for (name, word) in [("instance_attributes", "attributes"), ("meta_attributes", "meta")] {
        for (count, set) in element.children_named(name).enumerate() {
            only(set, &["id", "score"])?;
            if set.children.iter().any(|pair| pair.name != "nvpair") {
                return None;
            }
            let pairs = set.children.iter().map(|pair| {
                let name = pair.attr("name")?.to_owned();
                Some(NvPair { id: pair.get("id"), name, value: pair.get("value") })
            });
            let set = NvSet {
                id: set.get("id")?,
                score: set.get("score"),
                rule: None,
                pairs: pairs.collect::<Option<Vec<NvPair>>>()?,
            };
            segments.push(block(word, &set, &block_id(id, name, count)));
        }
    }
    Some(())
}
