//! A text's declarations into those there were.

use std::collections::BTreeMap;

use haven_base::nearest;

use super::changes::{index, key, own_key};
use super::document::{Document, Entry, Monitor, Object};
use super::doubt::Doubt;
use super::finding::Finding;
use super::load::Mode;
use super::print;
use crate::model::{Node, NvSet, Operation};

/// Gives primitives the monitors that were declared by themselves, each instead of one of the same role
/// and interval; a finding for each that has no primitive.
pub(super) fn add_monitors(
    document: &mut Document,
    monitors: Vec<Monitor>,
    doubt: &Doubt,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Monitor { line, primitive: id, operation } in monitors {
        let same = |entry: &&mut Entry| matches!(&entry.object, Object::Primitive(p) | Object::Template(p) if p.id == id);
        if let Some(Entry { object: Object::Primitive(p) | Object::Template(p), .. }) =
            document.entries.iter_mut().find(same)
        {
            let role = |o: &Operation| o.options.get("role").cloned();
            p.operations.retain(|known| {
                known.name != "monitor"
                    || known.interval != operation.interval
                    || role(known) != role(&operation)
            });
            let mut operation = operation;
            if p.operations.iter().any(|known| known.id == operation.id) {
                operation.id = format!("{}-{}", operation.id, p.operations.len());
            }
            p.operations.push(operation);
            continue;
        }
        if doubt.may_be(&id) {
            continue;
        }
        let ids = document.entries.iter().filter(|e| matches!(e.object, Object::Primitive(_)));
        let near = nearest(&id, ids.map(|entry| entry.object.id())).map(str::to_owned);
        let message = format!("there is no primitive \"{id}\" to monitor");
        findings.push(
            Finding::error("HV0201", message)
                .at(line, 1)
                .about(&id)
                .near(near.as_deref())
                .fix(format!("declare it: primitive {id} CLASS:PROVIDER:TYPE")),
        );
    }
    findings
}

/// Old names of cluster options become the present ones.
pub(super) fn rename_options(document: &mut Document) {
    use super::names::{RENAMED_PROPERTIES, present_name};
    for entry in &mut document.entries {
        if let Object::Property(set) = &mut entry.object {
            for pair in &mut set.pairs {
                let name = present_name(RENAMED_PROPERTIES, &pair.name).to_owned();
                if name != pair.name {
                    pair.id = Some(format!("{}-{name}", set.id));
                    pair.name = name;
                }
            }
        }
    }
}

/// Several lines about one block of options are one block, and so are several of fencing levels.
pub(super) fn join_blocks(document: Document) -> Document {
    let mut joined =
        Document { trailing: document.trailing, unknown: document.unknown, ..Document::default() };
    let mut places: BTreeMap<(bool, String), usize> = BTreeMap::new();
    for entry in document.entries {
        let place = *places.entry(own_key(&entry.object)).or_insert(joined.entries.len());
        match (joined.entries.get_mut(place), entry) {
            (Some(first), entry) if is_block(&first.object, &entry.object) => {
                let Entry { comments, object, unknown, .. } = entry;
                first.comments.extend(comments);
                if let Some(more) = unknown {
                    first.unknown.get_or_insert_default().extend(more);
                }
                add_to_block(&mut first.object, object);
            }
            (_, entry) => joined.entries.push(entry),
        }
    }
    joined
}

const fn is_block(first: &Object, second: &Object) -> bool {
    matches!(
        (first, second),
        (Object::Property(_), Object::Property(_))
            | (Object::RscDefaults(_), Object::RscDefaults(_))
            | (Object::OpDefaults(_), Object::OpDefaults(_))
            | (Object::Topology(_), Object::Topology(_))
    )
}

fn add_to_block(block: &mut Object, more: Object) {
    if let Object::Topology(levels) = block {
        if let Object::Topology(more) = more {
            levels.extend(more);
        }
        return;
    }
    let (Object::Property(old) | Object::RscDefaults(old) | Object::OpDefaults(old)) = block else {
        return;
    };
    if let Object::Property(new) | Object::RscDefaults(new) | Object::OpDefaults(new) = more {
        set_each(old, new);
    }
}

fn set_each(old: &mut NvSet, new: NvSet) {
    old.score = new.score.or_else(|| old.score.take());
    old.rule = new.rule.or_else(|| old.rule.take());
    for pair in new.pairs {
        match old.pairs.iter_mut().find(|known| known.name == pair.name) {
            Some(known) => *known = pair,
            None => old.pairs.push(pair),
        }
    }
}

pub(super) fn merge(old: &Document, read: Document, mode: Mode) -> Document {
    let mut merged = match mode {
        Mode::Update => old.clone(),
        Mode::Replace => {
            let is_node = |entry: &&Entry| matches!(entry.object, Object::Node(_));
            Document {
                entries: old.entries.iter().filter(is_node).cloned().collect(),
                ..Document::default()
            }
        }
    };
    merged.unknown = read.unknown.or_else(|| old.unknown.clone());
    if mode == Mode::Replace || !read.trailing.is_empty() {
        merged.trailing = read.trailing;
    }
    let known_places = index(old);
    let mut places: BTreeMap<(bool, String), Vec<usize>> = BTreeMap::new();
    for (place, entry) in merged.entries.iter().enumerate() {
        places.entry(own_key(&entry.object)).or_default().push(place);
    }
    for mut entry in read.entries {
        // Names of ids inside an object may differ though it says the same: then the old one stays.
        if let Some(place) = known_places.get(&key(&entry.object)) {
            let known = &old.entries[*place];
            if print::object(&known.object) == print::object(&entry.object) {
                entry.object = known.object.clone();
            }
            entry.unknown = entry.unknown.or_else(|| known.unknown.clone());
        }
        let named = places.entry(own_key(&entry.object)).or_default();
        let place = named.iter().copied().find(|place| {
            let known = &merged.entries[*place];
            known.line.is_none() && replaces(&known.object, &entry.object)
        });
        let Some(place) = place else {
            named.push(merged.entries.len());
            merged.entries.push(entry);
            continue;
        };
        if entry.comments.is_empty() {
            entry.comments = std::mem::take(&mut merged.entries[place].comments);
        }
        if mode == Mode::Update && merges(&entry.object) {
            let mut block = merged.entries[place].object.clone();
            add_to_block(&mut block, entry.object);
            entry.object = block;
        }
        if let (Object::Node(new), Object::Node(known)) =
            (&mut entry.object, &merged.entries[place].object)
            && new.id == new.uname
        {
            // A line that gives no number speaks of the node with the number it has.
            renumber(new, &known.id);
            new.kind = new.kind.take().or_else(|| known.kind.clone());
        }
        merged.entries[place] = entry;
    }
    merged
}

/// Gives a node its number, and its blocks the ids that follow from it.
fn renumber(node: &mut Node, id: &str) {
    let (old, new) = (format!("nodes-{}", node.id), format!("nodes-{id}"));
    let rename = |text: &mut String| {
        if let Some(rest) = text.strip_prefix(&old) {
            *text = format!("{new}{rest}");
        }
    };
    for set in node.attributes.iter_mut().chain(&mut node.utilization) {
        rename(&mut set.id);
        set.pairs.iter_mut().filter_map(|pair| pair.id.as_mut()).for_each(rename);
    }
    id.clone_into(&mut node.id);
}

/// Only things of one kind replace each other; the rest is a double use of an id, found later. A group
/// may become a clone of itself by no other way than a new id, as in the crm shell.
fn replaces(known: &Object, new: &Object) -> bool {
    known.kind() == new.kind()
}

const fn merges(object: &Object) -> bool {
    matches!(object, Object::Property(_) | Object::RscDefaults(_) | Object::OpDefaults(_))
}
