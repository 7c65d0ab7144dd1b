//! Setting one value by its path.

use haven_base::nearest;

use super::{finished, place_of};
use crate::crm::document::{Document, Entry, Object};
use crate::crm::finding::Finding;
use crate::crm::names::{META, OPERATION};
use crate::crm::references::blocks_mut;
use crate::model::{Cib, NvPair, NvSet, Operation, Primitive};

/// Lists of values of resources, as paths call them.
const LISTS: [&str; 3] = ["params", "meta", "utilization"];

/// Options and defaults: what paths call them, the id that a first block gets, and what it is.
const OPTIONS: [(&str, &str, Wrap); 3] = [
    ("property", "cib-bootstrap-options", Object::Property),
    ("rsc_defaults", "rsc-options", Object::RscDefaults),
    ("op_defaults", "op-options", Object::OpDefaults),
];

type Wrap = fn(NvSet) -> Object;

/// The configuration in which the value at `path` is `value`.
///
/// A path is `OBJECT.NAME`, `OBJECT.LIST.NAME` with the list `params`, `meta`, `utilization` or `attributes`, or
/// `OBJECT.op.OPERATION.NAME`, where an operation that is configured more than once is called `NAME-INTERVAL`. Without
/// a list the name must be there already, in one place, or be a meta attribute, cluster option or node attribute.
///
/// # Errors
/// A finding where the path leads nowhere, or to several places.
pub fn set_value(cib: &Cib, path: &str, value: &str) -> Result<Cib, Vec<Finding>> {
    let mut document = Document::from_cib(cib);
    let options = OPTIONS.iter().find(|(kind, ..)| path.split('.').next() == Some(kind));
    if let Some((kind, id, object)) = options
        && place_of(&document, kind).is_err()
    {
        let object = object(NvSet { id: (*id).to_owned(), ..NvSet::default() });
        document.entries.push(Entry { comments: Vec::new(), line: None, object, unknown: None });
    }
    let (place, rest) = object_of(&document, path).map_err(|finding| vec![finding])?;
    let object = &mut document.entries[place].object;
    let parts: Vec<&str> = rest.splitn(2, '.').collect();
    let done = match (parts.as_slice(), &mut *object) {
        (["op", rest], Object::Primitive(primitive) | Object::Template(primitive)) => {
            in_operation(primitive, path, rest, value)
        }
        ([list, name], object) if LISTS.contains(list) || *list == "attributes" => {
            in_list(object, path, list, name, value)
        }
        _ => anywhere(object, path, &rest, value),
    };
    done.map_err(|finding| vec![finding])?;
    finished(document, cib)
}

/// The object that a path begins with, and what follows. Ids may have dots: the longest one counts.
fn object_of(document: &Document, path: &str) -> Result<(usize, String), Finding> {
    let dots = path.match_indices('.').map(|(at, _)| at).collect::<Vec<_>>();
    for at in dots.iter().rev() {
        if let Ok(place) = place_of(document, &path[..*at])
            && path.len() > at + 1
        {
            return Ok((place, path[at + 1..].to_owned()));
        }
    }
    match dots.first() {
        Some(at) => Err(place_of(document, &path[..*at])
            .err()
            .unwrap_or_else(|| nowhere(path, "it names no value"))),
        None => Err(nowhere(path, "it names no value")),
    }
}

fn nowhere(path: &str, found: &str) -> Finding {
    Finding::error("HV0213", format!("cannot set {path}: {found}")).fix(
        "write OBJECT.NAME, OBJECT.params.NAME, OBJECT.meta.NAME, OBJECT.op.OPERATION.NAME or property.NAME",
    )
}

fn put(set: &mut NvSet, name: &str, value: &str) {
    match set.pairs.iter_mut().find(|pair| pair.name == name) {
        Some(pair) => pair.value = Some(value.to_owned()),
        None => set.pairs.push(NvPair {
            id: Some(format!("{}-{name}", set.id)),
            name: name.to_owned(),
            value: Some(value.to_owned()),
        }),
    }
}

/// In the list that is named.
fn in_list(
    object: &mut Object,
    path: &str,
    list: &str,
    name: &str,
    value: &str,
) -> Result<(), Finding> {
    let (kind, id) = (object.kind(), object.id().to_owned());
    let Some((sets, base)) = list_of(object, list) else {
        return Err(nowhere(path, &format!("a {kind} has no {list}")).about(id));
    };
    let holders = sets.iter().filter(|set| set.pairs.iter().any(|pair| pair.name == name)).count();
    if holders > 1 {
        let found = format!("\"{name}\" is there {holders} times, under different rules");
        return Err(nowhere(path, &found).about(id).fix("haven configure edit"));
    }
    let holder = sets.iter().position(|set| set.pairs.iter().any(|pair| pair.name == name));
    let plain = sets.iter().position(|set| set.rule.is_none());
    match holder.or(plain) {
        Some(at) => put(&mut sets[at], name, value),
        None => {
            let mut set = NvSet { id: base, ..NvSet::default() };
            put(&mut set, name, value);
            sets.push(set);
        }
    }
    Ok(())
}

/// The blocks of one list of an object, and the id that a first one gets.
fn list_of<'a>(object: &'a mut Object, list: &str) -> Option<(&'a mut Vec<NvSet>, String)> {
    let id = object.id().to_owned();
    let (meta, params) = (format!("{id}-meta_attributes"), format!("{id}-instance_attributes"));
    match (list, object) {
        ("params", Object::Primitive(p) | Object::Template(p)) => Some((&mut p.params, params)),
        ("params", Object::Group { group, .. }) => Some((&mut group.params, params)),
        ("params", Object::Clone { shell, .. }) => Some((&mut shell.params, params)),
        ("meta", Object::Primitive(p) | Object::Template(p)) => Some((&mut p.meta, meta)),
        ("meta", Object::Group { group, .. }) => Some((&mut group.meta, meta)),
        ("meta", Object::Clone { shell, .. }) => Some((&mut shell.meta, meta)),
        ("meta", Object::Bundle { bundle, .. }) => Some((&mut bundle.meta, meta)),
        ("utilization", Object::Primitive(p) | Object::Template(p)) => {
            Some((&mut p.utilization, format!("{id}-utilization")))
        }
        ("utilization", Object::Node(node)) => {
            let base = format!("nodes-{}-utilization", node.id);
            Some((&mut node.utilization, base))
        }
        ("attributes", Object::Node(node)) => {
            let base = format!("nodes-{}", node.id);
            Some((&mut node.attributes, base))
        }
        _ => None,
    }
}

/// Where the name is, whichever list that is; or where it can only belong.
fn anywhere(object: &mut Object, path: &str, name: &str, value: &str) -> Result<(), Finding> {
    let (kind, id) = (object.kind(), object.id().to_owned());
    let mut found: Vec<(&str, &mut NvSet)> = blocks_mut(object)
        .into_iter()
        .filter(|(_, set)| set.pairs.iter().any(|pair| pair.name == name))
        .collect();
    match found.as_mut_slice() {
        [(_, set)] => {
            put(set, name, value);
            return Ok(());
        }
        [] => {}
        several => {
            let lists: Vec<&str> = several.iter().map(|(list, _)| *list).collect();
            let what = format!("\"{name}\" is there several times: in {}", lists.join(", "));
            return Err(nowhere(path, &what).about(id));
        }
    }
    if let Object::Property(set) | Object::RscDefaults(set) | Object::OpDefaults(set) = object {
        put(set, name, value);
        return Ok(());
    }
    if matches!(object, Object::Node(_)) {
        return in_list(object, path, "attributes", name, value);
    }
    let resource = object.is_resource() || matches!(object, Object::Template(_));
    if resource && META.contains(&name) {
        return in_list(object, path, "meta", name, value);
    }
    let known: Vec<String> = blocks_mut(object)
        .into_iter()
        .flat_map(|(_, set)| set.pairs.iter().map(|pair| pair.name.clone()).collect::<Vec<_>>())
        .collect();
    if !resource {
        let found = format!("a {kind} has no values of its own");
        return Err(nowhere(path, &found).about(id).fix("haven configure edit"));
    }
    let near = nearest(name, known.iter().map(String::as_str));
    Err(nowhere(path, &format!("it has no value \"{name}\" yet"))
        .near(near)
        .fix(format!("to add it: {id}.params.{name} or {id}.meta.{name}"))
        .about(id))
}

/// In a configured operation: `OPERATION.NAME` or `OPERATION-INTERVAL.NAME`.
fn in_operation(
    primitive: &mut Primitive,
    path: &str,
    rest: &str,
    value: &str,
) -> Result<(), Finding> {
    let Some((wanted, name)) = rest.rsplit_once('.') else {
        return Err(nowhere(path, "it names no value of the operation").about(&primitive.id));
    };
    let full = |operation: &Operation| {
        format!("{}-{}", operation.name, operation.interval.as_deref().unwrap_or("0s"))
    };
    let all: Vec<String> = primitive.operations.iter().map(full).collect();
    let fits = |operation: &&mut Operation| operation.name == wanted || full(operation) == wanted;
    let mut found: Vec<&mut Operation> = primitive.operations.iter_mut().filter(fits).collect();
    let [operation] = found.as_mut_slice() else {
        let what = match found.len() {
            0 => format!("there is no operation \"{wanted}\""),
            number => format!("there are {number} operations \"{wanted}\""),
        };
        let fix = match all.is_empty() {
            true => format!("haven configure edit, and add: op {wanted} {name}={value}"),
            false => format!("operations are: {}", all.join(", ")),
        };
        return Err(nowhere(path, &what).about(&primitive.id).fix(fix));
    };
    if name == "interval" {
        operation.interval = Some(value.to_owned());
    } else if OPERATION.contains(&name) {
        operation.options.insert(name.to_owned(), value.to_owned());
    } else {
        match operation.params.iter_mut().find(|set| set.rule.is_none()) {
            Some(set) => put(set, name, value),
            None => {
                let id = format!("{}-instance_attributes", operation.id);
                let mut set = NvSet { id, ..NvSet::default() };
                put(&mut set, name, value);
                operation.params.push(set);
            }
        }
    }
    Ok(())
}
