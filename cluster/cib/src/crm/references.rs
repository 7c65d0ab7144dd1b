//! `$id-ref`: values and operations that another object has, written out on loading.

use std::collections::BTreeMap;

use haven_base::nearest;

use super::document::{Document, Entry, Object};
use super::doubt::Doubt;
use super::finding::Finding;
use crate::model::{NvPair, NvSet, Operation, Primitive};

/// Name of the value that stands for the values of another block until it is resolved.
pub(super) const REFERENCE: &str = "$id-ref";
/// Name of the operation that only gives the list of operations its id.
pub(super) const OPERATIONS_ID: &str = "$id";

/// Blocks by their own ids, and lists of operations by theirs.
#[derive(Default)]
struct Known {
    blocks: BTreeMap<String, Vec<NvPair>>,
    operations: BTreeMap<String, Vec<Operation>>,
}

/// Writes every reference in `document` out. What `base` holds can be referred to, too. An object whose reference leads
/// nowhere is not whole.
pub(super) fn resolve(document: &mut Document, base: &Document, doubt: &mut Doubt) -> Vec<Finding> {
    if !document.entries.iter_mut().any(has_references) {
        return Vec::new();
    }
    let mut known = Known::default();
    for entry in base.entries.iter().chain(&document.entries) {
        note(&entry.object, &mut known);
    }
    let mut findings = Vec::new();
    for Entry { line, object, .. } in &mut document.entries {
        let id = object.id().to_owned();
        let mut missing = |what: &str, name: &str, near: Option<&str>| {
            let may_be = doubt.may_be(name) || doubt.is_incomplete(name) || doubt.is_garbled(&id);
            doubt.distrust(&id);
            if may_be {
                return;
            }
            let message = format!("there is no block of {what} \"{name}\" to refer to");
            let mut finding = Finding::error("HV0205", message)
                .about(&id)
                .near(near)
                .fix("name an object that has such values, or give one with $id=NAME");
            finding.line = *line;
            finding.column = line.map(|_| 1);
            findings.push(finding);
        };
        if let Object::Primitive(primitive) | Object::Template(primitive) = object {
            take_operations(primitive, &known, &mut missing);
        }
        for (kind, set) in blocks_mut(object) {
            take_values(kind, set, &known, &mut missing);
        }
    }
    findings
}

fn has_references(entry: &mut Entry) -> bool {
    if let Object::Primitive(primitive) | Object::Template(primitive) = &entry.object
        && primitive.operations.iter().any(|o| o.name == REFERENCE || o.name == OPERATIONS_ID)
    {
        return true;
    }
    blocks_mut(&mut entry.object).iter().any(|(_, set)| is_reference(set))
}

fn is_reference(set: &NvSet) -> bool {
    set.pairs.iter().any(|pair| pair.name == REFERENCE)
}

fn note(object: &Object, known: &mut Known) {
    let mut object = object.clone();
    if let Object::Primitive(primitive) | Object::Template(primitive) = &object {
        let (marks, own): (Vec<Operation>, Vec<Operation>) = primitive
            .operations
            .iter()
            .cloned()
            .partition(|o| o.name == REFERENCE || o.name == OPERATIONS_ID);
        for mark in marks.iter().filter(|mark| mark.name == OPERATIONS_ID) {
            known.operations.insert(mark.id.clone(), own.clone());
        }
        known.operations.insert(format!("{}-operations", primitive.id), own.clone());
        known.operations.insert(primitive.id.clone(), own);
    }
    let id = object.id().to_owned();
    for (kind, set) in blocks_mut(&mut object) {
        if is_reference(set) {
            continue;
        }
        known.blocks.insert(set.id.clone(), set.pairs.clone());
        // An object stands for its first block of the kind.
        let stands_for = format!("{kind} {id}");
        known.blocks.entry(stands_for).or_insert_with(|| set.pairs.clone());
    }
}

fn take_values(
    kind: &str,
    set: &mut NvSet,
    known: &Known,
    missing: &mut impl FnMut(&str, &str, Option<&str>),
) {
    let Some(place) = set.pairs.iter().position(|pair| pair.name == REFERENCE) else { return };
    let name = set.pairs.remove(place).value.unwrap_or_default();
    let found = known.blocks.get(&name).or_else(|| known.blocks.get(&format!("{kind} {name}")));
    let Some(found) = found else {
        let names = known.blocks.keys().map(|id| id.rsplit(' ').next().unwrap_or(id));
        return missing("values", &name, nearest(&name, names));
    };
    for pair in found {
        let id = Some(format!("{}-{}", set.id, pair.name));
        set.pairs.push(NvPair { id, ..pair.clone() });
    }
}

fn take_operations(
    primitive: &mut Primitive,
    known: &Known,
    missing: &mut impl FnMut(&str, &str, Option<&str>),
) {
    let mut own = Vec::new();
    for operation in std::mem::take(&mut primitive.operations) {
        if operation.name == OPERATIONS_ID {
            continue;
        }
        if operation.name != REFERENCE {
            own.push(operation);
            continue;
        }
        let Some(found) = known.operations.get(&operation.id) else {
            let near = nearest(&operation.id, known.operations.keys().map(String::as_str));
            missing("operations", &operation.id, near);
            continue;
        };
        for operation in found {
            let interval = operation.interval.as_deref().unwrap_or("0s");
            let id = format!("{}-{}-{interval}", primitive.id, operation.name);
            own.push(Operation { id, ..operation.clone() });
        }
    }
    primitive.operations = own;
}

/// Every block of values of an object with the kind that references to the object mean.
pub(super) fn blocks_mut(object: &mut Object) -> Vec<(&'static str, &mut NvSet)> {
    const META: &str = "meta";
    const PARAMS: &str = "params";
    let mut blocks: Vec<(&'static str, &mut NvSet)> = Vec::new();
    match object {
        Object::Primitive(p) | Object::Template(p) => {
            blocks.extend(p.meta.iter_mut().map(|set| (META, set)));
            blocks.extend(p.params.iter_mut().map(|set| (PARAMS, set)));
            blocks.extend(p.utilization.iter_mut().map(|set| ("utilization", set)));
            for operation in &mut p.operations {
                blocks.extend(operation.meta.iter_mut().map(|set| ("op_meta", set)));
                blocks.extend(operation.params.iter_mut().map(|set| ("op_params", set)));
            }
        }
        Object::Group { group, .. } => {
            blocks.extend(group.meta.iter_mut().map(|set| (META, set)));
            blocks.extend(group.params.iter_mut().map(|set| (PARAMS, set)));
        }
        Object::Clone { shell, .. } => {
            blocks.extend(shell.meta.iter_mut().map(|set| (META, set)));
            blocks.extend(shell.params.iter_mut().map(|set| (PARAMS, set)));
        }
        Object::Bundle { bundle, .. } => {
            blocks.extend(bundle.meta.iter_mut().map(|set| (META, set)));
        }
        Object::Node(node) => {
            blocks.extend(node.attributes.iter_mut().map(|set| ("attributes", set)));
            blocks.extend(node.utilization.iter_mut().map(|set| ("utilization", set)));
        }
        Object::Property(set) | Object::RscDefaults(set) | Object::OpDefaults(set) => {
            blocks.push(("options", set));
        }
        Object::Constraint(_)
        | Object::Tag(_)
        | Object::Topology(_)
        | Object::Alert(_)
        | Object::Acl(_) => {}
    }
    blocks
}
