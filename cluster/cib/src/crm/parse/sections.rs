//! Everything that is neither resource nor constraint.

use std::collections::BTreeMap;

use haven_base::nearest;

use super::attributes::{block, block_id};
use super::cursor::Cursor;
use crate::crm::document::{Document, Entry, Object, named};
use crate::crm::finding::Finding;
use crate::model::{Cib, FencingLevel, Node, NvSet, Tag};
use crate::unknown::Surplus;

pub(super) fn node(cursor: &mut Cursor<'_>) -> Option<Object> {
    const FIX: &str = "node [NUMBER:] NAME [attributes NAME=VALUE …] [utilization NAME=VALUE …]";
    const KINDS: [&str; 4] = ["member", "normal", "remote", "ping"];
    const WORDS: [&str; 2] = ["attributes", "utilization"];
    let mut id = None;
    let mut token = cursor.expect("the name of the node", FIX)?;
    let number = token.text.strip_suffix(':').or_else(|| token.text.strip_prefix("$id="));
    if let Some(number) = number {
        id = Some(number.to_owned());
        token = cursor.expect("the name of the node", FIX)?;
    }
    let (name, kind) = match token.text.split_once(':') {
        Some((name, kind)) => (name, Some(kind)),
        None => (token.text.as_str(), None),
    };
    cursor.about(name);
    if let Some(kind) = kind.filter(|kind| !KINDS.contains(kind)) {
        let found = format!("\"{kind}\" is no kind of nodes");
        let near = nearest(kind, KINDS);
        cursor.complain_at(token, Finding::error("HV0109", found).near(near).fix(FIX));
    }
    let mut new = Node {
        id: id.unwrap_or_else(|| name.to_owned()),
        uname: name.to_owned(),
        kind: kind.map(str::to_owned),
        ..Node::default()
    };
    while let Some(token) = cursor.peek() {
        let word = if token.quoted { "" } else { token.text.as_str() };
        if let Some(text) = token.text.strip_prefix("description=") {
            new.description = Some(text.to_owned());
            cursor.next();
            continue;
        }
        if WORDS.contains(&word) {
            cursor.next();
        }
        if word == "utilization" {
            let set_id =
                block_id(&format!("nodes-{}", new.id), "utilization", new.utilization.len());
            new.utilization.push(block(cursor, &set_id, &WORDS));
        } else {
            // The id that `Cib::set_node_attribute` gives the block.
            let set_id = match new.attributes.len() {
                0 => format!("nodes-{}", new.id),
                n => format!("nodes-{}-{n}", new.id),
            };
            new.attributes.push(block(cursor, &set_id, &WORDS));
        }
    }
    Some(Object::Node(new))
}

/// Reads a block of options: `[NAME:] name=value …`.
pub(super) fn options(cursor: &mut Cursor<'_>, default_id: &str) -> Option<NvSet> {
    let mut id = default_id.to_owned();
    // An empty block is one that is named; it comes from documents of other programs.
    let mut given = false;
    if let Some(token) = cursor.peek()
        && let Some(name) = token.text.strip_suffix(':')
        && super::rules::score(name).is_none()
    {
        given = true;
        cursor.next();
        id = cursor.reference(token, name);
    }
    cursor.about(named(&id));
    let before = cursor.complaints();
    let set = block(cursor, &id, &[]);
    if set.pairs.is_empty() && !given && cursor.complaints() == before {
        cursor.complain_at_end("NAME=VALUE", "for example: property no-quorum-policy=stop");
    }
    Some(set)
}

pub(super) fn tag(cursor: &mut Cursor<'_>) -> Option<Object> {
    const FIX: &str = "tag ID: RESOURCE RESOURCE …";
    let token = cursor.expect("the id of the tag", FIX)?;
    let id = token.text.strip_suffix(':').unwrap_or(&token.text);
    cursor.about(id);
    let id = cursor.reference(token, id);
    let mut members = Vec::new();
    while let Some(token) = cursor.next() {
        members.push(cursor.reference(token, &token.text));
    }
    if members.is_empty() {
        cursor.complain_at_end("what the tag stands for", FIX);
    }
    Some(Object::Tag(Tag { id, members }))
}

/// Reads `NODE: DEVICES DEVICES … NODE: …`. Each word of devices is a level; commas join devices of one.
pub(super) fn topology(cursor: &mut Cursor<'_>) -> Option<Object> {
    const FIX: &str = "fencing_topology NODE: DEVICE[,DEVICE] DEVICE … NODE: …";
    cursor.about("fencing_topology");
    let mut levels: Vec<FencingLevel> = Vec::new();
    let mut target: Option<FencingLevel> = None;
    let mut count: BTreeMap<String, u32> = BTreeMap::new();
    while let Some(token) = cursor.next() {
        let named = token.text.strip_suffix(':').or_else(|| {
            let text = token.text.as_str();
            let bare =
                text.starts_with("pattern:") || (text.starts_with("attr:") && text.contains('='));
            bare.then_some(text)
        });
        if let Some(name) = named {
            target = Some(level_target(name));
            continue;
        }
        // Without a target the order is that of every node that has none of its own.
        let target = target.get_or_insert_with(|| level_target("pattern:.*"));
        let index = count.entry(target.id.clone()).or_insert(0);
        *index += 1;
        if *index > 9 {
            let found = "more than nine levels for one target";
            cursor.complain_at(token, Finding::error("HV0109", found).fix("leave the rest out"));
        }
        let devices = token.text.split(',').map(str::to_owned).collect();
        let (id, index) = (format!("{}-{index}", target.id), Some(index.to_string()));
        levels.push(FencingLevel { id, index, devices, ..target.clone() });
    }
    if levels.is_empty() {
        cursor.complain_at_end("a node and its devices", FIX);
    }
    Some(Object::Topology(levels))
}

/// A level for whatever `name` names; its id is the start of the ids of the target's levels.
fn level_target(name: &str) -> FencingLevel {
    let letters: String =
        name.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect();
    let mut level = FencingLevel { id: format!("fl-{letters}"), ..FencingLevel::default() };
    if let Some(pattern) = name.strip_prefix("pattern:") {
        level.target_pattern = Some(pattern.to_owned());
    } else if let Some((attribute, value)) =
        name.strip_prefix("attr:").and_then(|rest| rest.split_once('='))
    {
        level.target_attribute = Some(attribute.to_owned());
        level.target_value = Some(value.to_owned());
    } else {
        level.target = Some(name.to_owned());
    }
    level
}

/// Reads `xml '<element …/>'`: an object in the notation of the document.
pub(super) fn xml(cursor: &mut Cursor<'_>) -> Vec<Entry> {
    const FIX: &str = "xml '<alert id=\"a\" path=\"/usr/local/bin/alert\"/>'";
    let Some(token) = cursor.expect("an element", FIX) else { return Vec::new() };
    let complaint = match crate::xml::parse(&token.text) {
        Err(error) => error.to_string(),
        Ok(element) => {
            cursor.about(element.attr("id").unwrap_or(&element.name));
            match section_of(&element.name) {
                None => format!("the element <{}> has no place in a configuration", element.name),
                Some(section) => match within(section, &token.text) {
                    Ok((cib, surplus)) => {
                        for one in &surplus {
                            cursor.complain_at(token, Finding::unknown(one));
                        }
                        let mut entries = Document::from_cib(&cib).entries;
                        for entry in &mut entries {
                            entry.unknown = entry.unknown.take().filter(|kept| !kept.is_empty());
                        }
                        return entries;
                    }
                    Err(error) => error.to_string(),
                },
            }
        }
    };
    cursor.complain_at(token, Finding::error("HV0109", complaint).fix(FIX));
    Vec::new()
}

fn section_of(element: &str) -> Option<&'static str> {
    Some(match element {
        "primitive" | "group" | "clone" | "master" | "bundle" | "template" => "resources",
        "rsc_location" | "rsc_colocation" | "rsc_order" | "rsc_ticket" => "constraints",
        "node" => "nodes",
        "tag" => "tags",
        "fencing-level" => "fencing-topology",
        "alert" => "alerts",
        "acl_role" | "acl_target" | "acl_group" | "acl_user" => "acls",
        "cluster_property_set" => "crm_config",
        _ => return None,
    })
}

fn within(section: &str, element: &str) -> Result<(Cib, Vec<Surplus>), crate::CibError> {
    let document =
        format!("<cib><configuration><{section}>{element}</{section}></configuration></cib>");
    Cib::from_xml_lenient(&document).map(|(cib, _, surplus)| (cib, surplus))
}
