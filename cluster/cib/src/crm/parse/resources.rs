//! Resources: primitives, templates, groups, clones, bundles.

use std::collections::BTreeMap;

use haven_base::nearest;

use super::attributes::{block, block_id};
use super::cursor::Cursor;
use super::rules::role_word;
use crate::crm::document::{CloneShell, Monitor, Object};
use crate::crm::finding::Finding;
use crate::crm::lex::Token;
use crate::crm::names::{LISTS, OPERATION, RENAMED_META, present_name};
use crate::crm::references::{OPERATIONS_ID, REFERENCE};
use crate::model::{Bundle, Group, NvSet, Operation, Primitive};

const CLASSES: [&str; 5] = ["ocf", "systemd", "service", "lsb", "stonith"];

/// Reads a primitive or a template behind its word.
pub(super) fn primitive(cursor: &mut Cursor<'_>) -> Option<Primitive> {
    const FIX: &str = "primitive ID CLASS:PROVIDER:TYPE, for example: primitive vip ocf:haven:ip";
    let id = cursor.id("resource", FIX)?;
    let agent = cursor.expect("the agent", FIX)?;
    let mut new = Primitive { id: id.clone(), ..Primitive::default() };
    match agent.text.strip_prefix('@') {
        Some(template) => new.template = Some(template.to_owned()),
        None => name_agent(cursor, agent, &mut new),
    }
    while let Some(token) = cursor.peek() {
        let word = if token.quoted { "" } else { token.text.as_str() };
        if let Some(text) = token.text.strip_prefix("description=") {
            new.description = Some(text.to_owned());
            cursor.next();
        } else if word == "op" {
            cursor.next();
            operation(cursor, &mut new);
        } else if word == "op_params" || word == "op_meta" {
            cursor.next();
            operation_block(cursor, token, &mut new);
        } else if word == "operations" {
            cursor.next();
            let mut block = block(cursor, "", LISTS);
            if let [only] = block.pairs.as_slice()
                && only.name == REFERENCE
            {
                let (name, id) = (REFERENCE.to_owned(), only.value.clone().unwrap_or_default());
                new.operations.push(Operation { id, name, ..Operation::default() });
                block.pairs.clear();
            } else if !block.id.is_empty() {
                // What other primitives refer to.
                let (name, id) = (OPERATIONS_ID.to_owned(), block.id);
                new.operations.push(Operation { id, name, ..Operation::default() });
            }
            if !block.pairs.is_empty() {
                cursor.complain_at(
                    token,
                    Finding::error("HV0103", "\"operations\" takes nothing but $id")
                        .fix("start each operation with the word op"),
                );
            }
        } else {
            if LISTS.contains(&word) {
                cursor.next();
            }
            let (list, kind) = list_of(&mut new, word);
            let id = block_id(&id, kind, list.len());
            let mut set = block(cursor, &id, LISTS);
            if kind == META {
                rename(&mut set);
            }
            list.push(set);
        }
    }
    Some(new)
}

const META: &str = "meta_attributes";
const PARAMS: &str = "instance_attributes";
const UTILIZATION: &str = "utilization";

/// The list that a word fills, and the kind of its blocks; parameters where the word is none.
fn list_of<'a>(primitive: &'a mut Primitive, word: &str) -> (&'a mut Vec<NvSet>, &'static str) {
    match word {
        "meta" => (&mut primitive.meta, META),
        "utilization" => (&mut primitive.utilization, UTILIZATION),
        _ => (&mut primitive.params, PARAMS),
    }
}

/// Old names of meta attributes become the present ones, and old roles, too.
fn rename(set: &mut NvSet) {
    for pair in &mut set.pairs {
        let name = present_name(RENAMED_META, &pair.name).to_owned();
        if name != pair.name {
            pair.id = Some(format!("{}-{name}", set.id));
            pair.name = name;
        }
        if pair.name == "target-role" {
            pair.value = pair.value.as_deref().map(role_word);
        }
    }
}

fn name_agent(cursor: &mut Cursor<'_>, token: &Token, new: &mut Primitive) {
    const FIX: &str = "name it CLASS:PROVIDER:TYPE (ocf:haven:ip) or CLASS:TYPE (systemd:nginx)";
    let parts: Vec<&str> = token.text.split(':').collect();
    let (class, provider, kind) = match parts.as_slice() {
        [kind] => ("ocf", Some("heartbeat"), *kind),
        [class, kind] => (*class, None, *kind),
        // The type of a systemd unit may hold colons.
        [class @ ("systemd" | "service" | "lsb"), ..] => {
            (*class, None, token.text.split_once(':').map_or("", |(_, kind)| kind))
        }
        [class, provider, kind] => (*class, Some(*provider), *kind),
        _ => {
            let found = format!("\"{}\" names no agent", token.text);
            return cursor.complain_at(token, Finding::error("HV0109", found).fix(FIX));
        }
    };
    if !CLASSES.contains(&class) {
        let finding = Finding::error("HV0109", format!("\"{class}\" is no class of agents"))
            .near(nearest(class, CLASSES))
            .fix(format!("classes are {}", CLASSES.join(", ")));
        cursor.complain_at(token, finding);
    } else if kind.is_empty() || provider == Some("") || (class == "ocf" && provider.is_none()) {
        let found = format!("\"{}\" names no agent: a part is missing", token.text);
        cursor.complain_at(token, Finding::error("HV0109", found).fix(FIX));
    }
    new.class = Some(class.to_owned());
    new.provider = provider.map(str::to_owned);
    new.kind = Some(kind.to_owned());
}

/// Reads an operation behind the word `op`.
fn operation(cursor: &mut Cursor<'_>, new: &mut Primitive) {
    const FIX: &str = "for example: op monitor interval=10s timeout=20s";
    let Some(name) = cursor.expect("the name of the operation", FIX) else { return };
    if name.text.contains('=') {
        let found = format!("expected the name of the operation, found \"{}\"", name.text);
        cursor.complain_at(name, Finding::error("HV0103", found).fix(FIX));
    }
    let mut new_operation = Operation { name: name.text.clone(), ..Operation::default() };
    let values = block(cursor, "", LISTS);
    let given_id = Some(values.id).filter(|id| !id.is_empty());
    let mut parameters = Vec::new();
    for pair in values.pairs {
        let value = pair.value.unwrap_or_default();
        if pair.name == "interval" {
            new_operation.interval = Some(value).filter(|interval| interval != "0");
        } else if pair.name == "role" {
            new_operation.options.insert(pair.name, role_word(&value));
        } else if OPERATION.contains(&pair.name.as_str()) {
            new_operation.options.insert(pair.name, value);
        } else if let Some(near) = nearest(&pair.name, OPERATION.iter().copied()) {
            let found = format!("an operation has no attribute \"{}\"", pair.name);
            let fix = format!("write {near}=…, or op_params {}=… if the agent knows it", pair.name);
            cursor.complain_at(name, Finding::error("HV0108", found).near(Some(near)).fix(fix));
        } else {
            parameters.push((pair.name, value));
        }
    }
    let interval = new_operation.interval.as_deref().unwrap_or("0s");
    let mut id = format!("{}-{}-{interval}", new.id, new_operation.name);
    if new.operations.iter().any(|known| known.id == id) {
        id = format!("{id}-{}", new.operations.len());
    }
    new_operation.id = given_id.unwrap_or(id);
    if !parameters.is_empty() {
        let id = block_id(&new_operation.id, PARAMS, 0);
        let pairs = parameters
            .into_iter()
            .map(|(name, value)| crate::model::NvPair {
                id: Some(format!("{id}-{name}")),
                name,
                value: Some(value),
            })
            .collect();
        new_operation.params.push(NvSet { id, pairs, ..NvSet::default() });
    }
    new.operations.push(new_operation);
}

/// Reads `op_params …` or `op_meta …`, which belong to the operation before.
fn operation_block(cursor: &mut Cursor<'_>, token: &Token, new: &mut Primitive) {
    let Some(operation) = new.operations.last_mut() else {
        cursor.complain_at(
            token,
            Finding::error("HV0103", format!("\"{}\" stands before any operation", token.text))
                .fix("put it behind op NAME …"),
        );
        block(cursor, "", LISTS);
        return;
    };
    let (list, kind) = if token.text == "op_meta" {
        (&mut operation.meta, META)
    } else {
        (&mut operation.params, PARAMS)
    };
    let id = block_id(&operation.id, kind, list.len());
    list.push(block(cursor, &id, LISTS));
}

/// Description, meta and params of a container, behind its members.
struct Trimmings {
    description: Option<String>,
    meta: Vec<NvSet>,
    params: Vec<NvSet>,
}

fn trimmings(cursor: &mut Cursor<'_>, id: &str) -> Trimmings {
    let mut new = Trimmings { description: None, meta: Vec::new(), params: Vec::new() };
    const WORDS: [&str; 2] = ["meta", "params"];
    while let Some(token) = cursor.peek() {
        let word = if token.quoted { "" } else { token.text.as_str() };
        if let Some(text) = token.text.strip_prefix("description=") {
            new.description = Some(text.to_owned());
            cursor.next();
        } else if word == "meta" {
            cursor.next();
            let mut set = block(cursor, &block_id(id, META, new.meta.len()), &WORDS);
            rename(&mut set);
            new.meta.push(set);
        } else if word == "params" {
            cursor.next();
            let set_id = block_id(id, PARAMS, new.params.len());
            new.params.push(block(cursor, &set_id, &WORDS));
        } else {
            let near = nearest(&token.text, WORDS);
            let found = format!("expected meta or params, found \"{}\"", token.text);
            cursor.complain_at(
                token,
                Finding::error("HV0103", found)
                    .near(near)
                    .fix("put the word meta before NAME=VALUE"),
            );
            cursor.next();
            // Read what follows as if the word had been right, so that it is judged, too.
            block(cursor, "", &WORDS);
        }
    }
    new
}

/// Reads `monitor PRIMITIVE[:ROLE] INTERVAL[:TIMEOUT]`.
pub(super) fn monitor(cursor: &mut Cursor<'_>) -> Option<Monitor> {
    const FIX: &str =
        "monitor RESOURCE[:ROLE] INTERVAL[:TIMEOUT], for example: monitor vip 10s:20s";
    let line = cursor.next()?.line;
    let token = cursor.expect("the resource", FIX)?;
    let (id, role) = match token.text.split_once(':') {
        Some((id, role)) => (id, Some(role_word(role))),
        None => (token.text.as_str(), None),
    };
    cursor.about(id);
    let primitive = cursor.reference(token, id);
    let times = cursor.expect("the interval", FIX)?;
    let (interval, timeout) = match times.text.split_once(':') {
        Some((interval, timeout)) => (interval, Some(timeout)),
        None => (times.text.as_str(), None),
    };
    for time in [Some(interval), timeout].into_iter().flatten() {
        if !time.starts_with(|c: char| c.is_ascii_digit()) {
            let found = format!("\"{time}\" is no time");
            cursor.complain_at(times, Finding::error("HV0109", found).fix(FIX));
        }
    }
    cursor.expect_end();
    let mut operation = Operation {
        id: format!("{primitive}-monitor-{interval}"),
        name: "monitor".to_owned(),
        interval: Some(interval.to_owned()),
        ..Operation::default()
    };
    operation.options.extend(timeout.map(|timeout| ("timeout".to_owned(), timeout.to_owned())));
    operation.options.extend(role.map(|role| ("role".to_owned(), role)));
    Some(Monitor { line, primitive, operation })
}

pub(super) fn group(cursor: &mut Cursor<'_>) -> Option<Object> {
    const FIX: &str = "group ID MEMBER MEMBER …";
    let id = cursor.id("group", FIX)?;
    let mut members = Vec::new();
    while let Some(token) = cursor.peek() {
        if cursor.at_word(&["meta", "params"]) || token.text.contains('=') {
            break;
        }
        cursor.next();
        members.push(cursor.reference(token, &token.text));
    }
    if members.is_empty() {
        cursor.complain_at_end("the members of the group", FIX);
    }
    let Trimmings { description, meta, params } = trimmings(cursor, &id);
    let group = Group { id, description, meta, params, members: Vec::new() };
    Some(Object::Group { group, members })
}

pub(super) fn clone(cursor: &mut Cursor<'_>, master: bool) -> Option<Object> {
    const FIX: &str = "clone ID RESOURCE [meta NAME=VALUE …]";
    let id = cursor.id("clone", FIX)?;
    // The design's own words say "clone ID of RESOURCE".
    if cursor.at_word(&["of"]) && cursor.peek_second().is_some_and(|t| !t.text.contains('=')) {
        cursor.next();
    }
    let child = cursor.expect("the resource to clone", FIX)?;
    let child = cursor.reference(child, &child.text);
    let Trimmings { description, meta, params } = trimmings(cursor, &id);
    Some(Object::Clone { shell: CloneShell { id, master, description, meta, params }, child })
}

pub(super) fn bundle(cursor: &mut Cursor<'_>) -> Option<Object> {
    const FIX: &str = "bundle ID podman image=IMAGE [network …] [storage …] [primitive ID]";
    const CONTAINERS: [&str; 3] = ["podman", "docker", "rkt"];
    let id = cursor.id("bundle", FIX)?;
    let container = cursor.expect("the kind of containers", FIX)?;
    if !CONTAINERS.contains(&container.text.as_str()) {
        let found = format!("\"{}\" is no kind of containers", container.text);
        let near = nearest(&container.text, CONTAINERS);
        cursor.complain_at(container, Finding::error("HV0109", found).near(near).fix(FIX));
    }
    let mut new = Bundle { id, container: container.text.clone(), ..Bundle::default() };
    new.container_options = pairs(cursor);
    let mut child = None;
    while let Some(token) = cursor.next() {
        match token.text.as_str() {
            "network" => new.network = Some(pairs(cursor)),
            "port-mapping" => {
                let default_id = format!("{}-port-mapping-{}", new.id, new.ports.len());
                new.ports.push(with_id(pairs(cursor), &default_id));
                new.network.get_or_insert_default();
            }
            "storage" => {}
            "storage-mapping" => {
                let default_id = format!("{}-storage-mapping-{}", new.id, new.storage.len());
                new.storage.push(with_id(pairs(cursor), &default_id));
            }
            "primitive" => {
                child = cursor
                    .expect("the resource in the bundle", FIX)
                    .map(|token| cursor.reference(token, &token.text));
            }
            "meta" => {
                let mut set = block(cursor, &block_id(&new.id, META, new.meta.len()), BUNDLE_WORDS);
                rename(&mut set);
                new.meta.push(set);
            }
            text => {
                if let Some(text) = text.strip_prefix("description=") {
                    new.description = Some(text.to_owned());
                    continue;
                }
                let near = nearest(text, BUNDLE_WORDS.iter().copied());
                let found = format!("a bundle has no part \"{text}\"");
                cursor.complain_at(token, Finding::error("HV0103", found).near(near).fix(FIX));
            }
        }
    }
    Some(Object::Bundle { bundle: Box::new(new), child })
}

const BUNDLE_WORDS: &[&str] =
    &["network", "port-mapping", "storage", "storage-mapping", "primitive", "meta"];

fn with_id(mut map: BTreeMap<String, String>, id: &str) -> BTreeMap<String, String> {
    map.entry("id".to_owned()).or_insert_with(|| id.to_owned());
    map
}

fn pairs(cursor: &mut Cursor<'_>) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    while let Some(token) = cursor.peek()
        && let Some((name, value)) = token.text.split_once('=')
        && name != "description"
    {
        let name = if name == "$id" { "id" } else { name };
        pairs.insert(name.to_owned(), value.to_owned());
        cursor.next();
    }
    pairs
}
