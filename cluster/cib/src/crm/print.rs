//! Declarations as lines, such that reading them gives the same declarations.

mod constraints;
mod elements;
mod rules;

use std::collections::BTreeMap;

use super::document::{Document, Object};
use super::lex::quote;
use super::parse::block_id;
use crate::model::{Bundle, FencingLevel, NvSet, Operation, Primitive};
use crate::write;
use crate::xml::Element;

/// Longest line in characters before it is broken.
const WIDTH: usize = 100;

/// The whole document.
pub(super) fn document(document: &Document) -> String {
    let mut out = String::new();
    let mut lines = |comments: &[String]| {
        for comment in comments {
            out.push_str(comment);
            out.push('\n');
        }
    };
    let mut texts = Vec::new();
    for entry in &document.entries {
        lines(&entry.comments);
        texts.push(object(&entry.object));
        lines(&texts[texts.len() - 1..]);
    }
    lines(&document.trailing);
    out
}

/// One declaration without its comments; several physical lines where it is long.
pub(super) fn object(object: &Object) -> String {
    match object {
        Object::Node(node) if node.score.is_some() => xml(&write::node(node)),
        Object::Node(node) => {
            let number =
                if node.id == node.uname { String::new() } else { format!("{}: ", node.id) };
            let kind = node.kind.as_ref().map_or(String::new(), |kind| format!(":{kind}"));
            let mut segments = vec![format!("node {}{}{kind}", number, quote(&node.uname))];
            segments.extend(node.description.as_ref().map(|text| pair("description", text)));
            let base = format!("nodes-{}", node.id);
            for (index, set) in node.attributes.iter().enumerate() {
                let id = if index == 0 { base.clone() } else { format!("{base}-{index}") };
                segments.push(block("attributes", set, &id));
            }
            blocks(&mut segments, "utilization", &node.utilization, &base, "utilization");
            join(&segments)
        }
        Object::Template(primitive) => primitive_line("rsc_template", "template", primitive),
        Object::Primitive(primitive) => primitive_line("primitive", "primitive", primitive),
        Object::Group { group, members } => {
            let names: Vec<String> = members.iter().map(|member| quote(member)).collect();
            let head = format!("group {} {}", quote(&group.id), names.join(" "));
            container(head, &group.id, group.description.as_ref(), &group.meta, &group.params)
        }
        Object::Clone { shell, child } => {
            let word = if shell.master { "ms" } else { "clone" };
            let head = format!("{word} {} {}", quote(&shell.id), quote(child));
            container(head, &shell.id, shell.description.as_ref(), &shell.meta, &shell.params)
        }
        Object::Bundle { bundle, child } => bundle_line(bundle, child.as_deref()),
        Object::Constraint(constraint) => {
            constraints::line(constraint).unwrap_or_else(|| xml(&write::constraint(constraint)))
        }
        Object::Tag(tag) => {
            let members: Vec<String> = tag.members.iter().map(|member| quote(member)).collect();
            join(&[format!("tag {}: {}", tag.id, members.join(" "))])
        }
        Object::Topology(levels) => topology(levels),
        Object::Property(set) => options("property", set, "cib-bootstrap-options"),
        Object::RscDefaults(set) => options("rsc_defaults", set, "rsc-options"),
        Object::OpDefaults(set) => options("op_defaults", set, "op-options"),
        Object::Alert(element) | Object::Acl(element) => {
            elements::line(element).unwrap_or_else(|| xml(element))
        }
    }
}

/// Segments on one line, or each on its own where that would be too long.
fn join(segments: &[String]) -> String {
    let length: usize = segments.iter().map(|segment| segment.chars().count() + 1).sum();
    if length <= WIDTH + 1 { segments.join(" ") } else { segments.join(" \\\n    ") }
}

fn pair(name: &str, value: &str) -> String {
    let plain_name = quote(name) == name;
    if plain_name { format!("{name}={}", quote(value)) } else { quote(&format!("{name}={value}")) }
}

/// `WORD [$id=…] [SCORE:] [rule …] name=value …`
fn block(word: &str, set: &NvSet, default_id: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    if !word.is_empty() {
        words.push(word.to_owned());
    }
    if set.id != default_id {
        words.push(pair("$id", &set.id));
    }
    words.extend(set.score.as_ref().map(|score| rules::score(score)));
    if let Some(rule) = &set.rule {
        words.push(rules::rule(rule, &format!("{}-rule", set.id)));
    }
    words.extend(pairs_of(set));
    words.join(" ")
}

/// The values of a block. Of two with one name the first counts, and the other is left out.
fn pairs_of(set: &NvSet) -> impl Iterator<Item = String> {
    let first = |(index, p): &(usize, &crate::model::NvPair)| {
        !set.pairs[..*index].iter().any(|earlier| earlier.name == p.name)
    };
    let shown = set.pairs.iter().enumerate().filter(first);
    shown.map(|(_, p)| pair(&p.name, p.value.as_deref().unwrap_or_default()))
}

fn blocks(segments: &mut Vec<String>, word: &str, sets: &[NvSet], object: &str, kind: &str) {
    for (index, set) in sets.iter().enumerate() {
        segments.push(block(word, set, &block_id(object, kind, index)));
    }
}

/// A block of options: each value a segment, so that a long one shows one value a line.
fn options(word: &str, set: &NvSet, default_id: &str) -> String {
    let mut head = word.to_owned();
    if set.id != default_id || set.pairs.is_empty() {
        head.push_str(&format!(" {}:", set.id));
    }
    let bare = NvSet { pairs: Vec::new(), ..set.clone() };
    let conditions = block("", &bare, &set.id);
    let mut segments = vec![head];
    segments.extend(Some(conditions).filter(|text| !text.is_empty()));
    segments.extend(pairs_of(set));
    join(&segments)
}

fn container(
    head: String,
    id: &str,
    description: Option<&String>,
    meta: &[NvSet],
    params: &[NvSet],
) -> String {
    let mut segments = vec![head];
    segments.extend(description.map(|text| pair("description", text)));
    blocks(&mut segments, "params", params, id, "instance_attributes");
    blocks(&mut segments, "meta", meta, id, "meta_attributes");
    join(&segments)
}

/// A document may leave parts of the agent out; a line cannot.
fn names_an_agent(primitive: &Primitive) -> bool {
    let part = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let template = primitive.template.as_ref().is_some_and(|id| !id.is_empty());
    template || (part(&primitive.class) && part(&primitive.kind))
}

fn primitive_line(word: &str, element: &str, primitive: &Primitive) -> String {
    if !names_an_agent(primitive) {
        return xml(&write::primitive(element, primitive));
    }
    let agent = match &primitive.template {
        Some(template) => format!("@{template}"),
        None => [&primitive.class, &primitive.provider, &primitive.kind]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(":"),
    };
    let id = &primitive.id;
    let mut segments = vec![format!("{word} {} {}", quote(id), quote(&agent))];
    segments.extend(primitive.description.as_ref().map(|text| pair("description", text)));
    blocks(&mut segments, "params", &primitive.params, id, "instance_attributes");
    blocks(&mut segments, "meta", &primitive.meta, id, "meta_attributes");
    blocks(&mut segments, "utilization", &primitive.utilization, id, "utilization");
    let mut ids: Vec<String> = Vec::new();
    for operation in &primitive.operations {
        let mut default_id = operation_id(id, operation);
        if ids.contains(&default_id) {
            default_id = format!("{default_id}-{}", ids.len());
        }
        ids.push(operation.id.clone());
        operation_segments(&mut segments, operation, &default_id);
    }
    join(&segments)
}

/// How often an operation runs; none where it does not recur, which documents write as an interval of 0.
fn recurs(operation: &Operation) -> Option<&String> {
    operation.interval.as_ref().filter(|interval| *interval != "0")
}

fn operation_id(primitive: &str, operation: &Operation) -> String {
    let interval = recurs(operation).map_or("0s", String::as_str);
    format!("{primitive}-{}-{interval}", operation.name)
}

fn operation_segments(segments: &mut Vec<String>, operation: &Operation, default_id: &str) {
    let mut words = vec!["op".to_owned(), quote(&operation.name)];
    if operation.id != default_id {
        words.push(pair("$id", &operation.id));
    }
    words.extend(recurs(operation).map(|interval| pair("interval", interval)));
    words.extend(operation.options.iter().map(|(name, value)| pair(name, value)));
    segments.push(words.join(" "));
    blocks(segments, "op_params", &operation.params, &operation.id, "instance_attributes");
    blocks(segments, "op_meta", &operation.meta, &operation.id, "meta_attributes");
}

fn bundle_line(bundle: &Bundle, child: Option<&str>) -> String {
    let pairs = |map: &BTreeMap<String, String>, default_id: &str| -> String {
        map.iter()
            .filter(|(name, value)| !(*name == "id" && *value == default_id))
            .map(|(name, value)| {
                format!(" {}", pair(if name == "id" { "$id" } else { name }, value))
            })
            .collect()
    };
    let id = &bundle.id;
    let mut segments = vec![format!(
        "bundle {} {}{}",
        quote(id),
        bundle.container,
        pairs(&bundle.container_options, "")
    )];
    if let Some(network) = &bundle.network {
        segments.push(format!("network{}", pairs(network, "")));
    }
    for (index, port) in bundle.ports.iter().enumerate() {
        let default_id = format!("{id}-port-mapping-{index}");
        segments.push(format!("port-mapping{}", pairs(port, &default_id)));
    }
    if !bundle.storage.is_empty() {
        segments.push("storage".to_owned());
    }
    for (index, storage) in bundle.storage.iter().enumerate() {
        let default_id = format!("{id}-storage-mapping-{index}");
        segments.push(format!("storage-mapping{}", pairs(storage, &default_id)));
    }
    segments.extend(child.map(|child| format!("primitive {}", quote(child))));
    segments.extend(bundle.description.as_ref().map(|text| pair("description", text)));
    blocks(&mut segments, "meta", &bundle.meta, id, "meta_attributes");
    join(&segments)
}

/// Levels by target, or one by one where their numbers have gaps.
fn topology(levels: &[FencingLevel]) -> String {
    let mut targets: Vec<(String, Vec<&FencingLevel>)> = Vec::new();
    for level in levels {
        let name = target_name(level);
        match targets.iter_mut().find(|(known, _)| *known == name) {
            Some((_, levels)) => levels.push(level),
            None => targets.push((name, vec![level])),
        }
    }
    let regular = targets.iter().all(|(name, levels)| {
        !name.is_empty()
            && levels.iter().zip(1..).all(|(level, n)| level.index == Some(format!("{n}")))
            && levels.iter().all(|level| !level.devices.is_empty())
    });
    if !regular {
        let lines: Vec<String> = levels.iter().map(|level| xml(&write::level(level))).collect();
        return lines.join("\n");
    }
    let mut segments = vec!["fencing_topology".to_owned()];
    segments.extend(targets.iter().map(|(name, levels)| {
        let devices: Vec<String> =
            levels.iter().map(|level| quote(&level.devices.join(","))).collect();
        format!("{} {}", quote(&format!("{name}:")), devices.join(" "))
    }));
    join(&segments)
}

fn target_name(level: &FencingLevel) -> String {
    match (&level.target, &level.target_pattern, &level.target_attribute, &level.target_value) {
        (Some(target), None, None, None) => target.clone(),
        (None, Some(pattern), None, None) => format!("pattern:{pattern}"),
        (None, None, Some(attribute), Some(value)) => format!("attr:{attribute}={value}"),
        _ => String::new(),
    }
}

pub(super) fn xml(element: &Element) -> String {
    let mut text = String::new();
    element.write(&mut text, 0);
    let text: String = text.lines().map(str::trim).collect();
    if text.contains('\'') { format!("xml {}", quote(&text)) } else { format!("xml '{text}'") }
}
