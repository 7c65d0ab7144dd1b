//! Loading a text as one transaction, and showing a configuration.

use std::collections::{BTreeMap, BTreeSet};

use super::changes::{index, key};
use super::compose::compose;
use super::document::{Document, Entry, Monitor, Object};
use super::finding::Finding;
use super::names::nearest;
use super::{parse, print, references};
use crate::model::{Cib, Node, NvSet, Operation};
use crate::unknown::Kept;

/// What messages call the parts of a document that are in no object.
const OUTSIDE_NAME: &str = "cib";

/// What loading does with objects that the text does not name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// They stay; options are set one by one.
    #[default]
    Update,
    /// They go. Nodes stay: only leaving the cluster removes a node.
    Replace,
}

/// What loading does with what no schema knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unknowns {
    /// The text is refused, each of them named; only what the configuration holds already may stand there.
    #[default]
    Refuse,
    /// They are kept.
    Keep,
}

/// A text that was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// The new configuration. Its version is still that of the old one.
    pub cib: Cib,
    /// Names of objects that were added or changed, in the order of the document, then of those removed.
    pub changed: Vec<String>,
    /// Names of the text's declarations with the lines they start on, to give findings of
    /// [`verify`](super::verify()) their place by [`Loaded::locate`].
    pub declared: Vec<(String, u32)>,
}

impl Loaded {
    /// Adds the line to findings about objects that the text declared, and orders findings of the same
    /// gravity by line.
    pub fn locate(&self, findings: &mut [Finding]) {
        // Of two of one name the first counts.
        let declared: BTreeMap<&str, u32> =
            self.declared.iter().rev().map(|(id, line)| (id.as_str(), *line)).collect();
        for finding in findings.iter_mut().filter(|finding| finding.line.is_none()) {
            let Some(object) = &finding.object else { continue };
            finding.line = declared.get(object.as_str()).copied();
        }
        findings.sort_by_key(|finding| (finding.severity, finding.line));
    }
}

/// The configuration as lines.
#[must_use]
pub fn show(cib: &Cib) -> String {
    print::document(&Document::from_cib(cib))
}

/// Some objects as lines, each named by its id, as `property` and the like, or by its type as `type:primitive`; with
/// the names of those meant.
///
/// # Errors
/// A finding for each name that is none.
pub fn show_some(cib: &Cib, names: &[String]) -> Result<(Vec<String>, String), Vec<Finding>> {
    let mut document = Document::from_cib(cib);
    document.trailing.clear();
    let is = |entry: &Entry, name: &str| match name.strip_prefix("type:") {
        Some(kind) => entry.object.word() == kind,
        None => entry.object.id() == name || entry.object.name() == name,
    };
    let all = &document.entries;
    let unknown = names.iter().filter(|name| !all.iter().any(|entry| is(entry, name)));
    let findings: Vec<Finding> = unknown
        .map(|name| {
            let near = nearest(name, all.iter().map(|entry| entry.object.name()));
            Finding::error("HV0211", format!("there is no object \"{name}\""))
                .about(name)
                .near(near)
                .fix("see `haven configure show`")
        })
        .collect();
    if !findings.is_empty() {
        return Err(findings);
    }
    document.entries.retain(|entry| names.iter().any(|name| is(entry, name)));
    let meant = document.entries.iter().map(|entry| entry.object.name().to_owned()).collect();
    Ok((meant, print::document(&document)))
}

/// The agents of the primitives and templates that a text declares; none where it cannot be read.
#[must_use]
pub fn agents_in(text: &str) -> Vec<(String, Option<String>, String)> {
    let entries = parse::document(text).map(|document| document.entries).unwrap_or_default();
    let agents = entries.into_iter().filter_map(|entry| match entry.object {
        Object::Primitive(p) | Object::Template(p) => Some((p.class?, p.provider, p.kind?)),
        Object::Node(_)
        | Object::Group { .. }
        | Object::Clone { .. }
        | Object::Bundle { .. }
        | Object::Constraint(_)
        | Object::Tag(_)
        | Object::Topology(_)
        | Object::Property(_)
        | Object::RscDefaults(_)
        | Object::OpDefaults(_)
        | Object::Alert(_)
        | Object::Acl(_) => None,
    });
    agents.collect()
}

/// Names of all objects, in the order of the configuration.
#[must_use]
pub fn objects(cib: &Cib) -> Vec<String> {
    let entries = Document::from_cib(cib).entries;
    entries.into_iter().map(|entry| entry.object.name().to_owned()).collect()
}

/// Ids of all resources, containers included.
#[must_use]
pub fn resources(cib: &Cib) -> Vec<String> {
    let entries = Document::from_cib(cib).entries.into_iter();
    entries.filter(|e| e.object.is_resource()).map(|e| e.object.id().to_owned()).collect()
}

/// Reads `text` and makes the configuration that follows from it and `base`. `base` is not touched.
///
/// # Errors
/// Every error in the text, in the order of lines.
pub fn load(base: &Cib, text: &str, mode: Mode) -> Result<Loaded, Vec<Finding>> {
    load_with(base, text, mode, Unknowns::Refuse)
}

/// [`load`], where the text may have objects in it, written as elements, that no schema knows all of.
///
/// # Errors
/// Every error in the text, in the order of lines.
pub fn load_with(
    base: &Cib,
    text: &str,
    mode: Mode,
    unknowns: Unknowns,
) -> Result<Loaded, Vec<Finding>> {
    let read = parse::document(text)?;
    let old = Document::from_cib(base);
    if unknowns == Unknowns::Refuse {
        let new = unknown_anew(&read, &old);
        let surplus = read
            .surplus
            .iter()
            .filter(|f| f.object.as_ref().is_none_or(|o| new.contains(o.as_str())));
        let refused: Vec<Finding> = surplus.cloned().collect();
        if !refused.is_empty() {
            return Err(refused);
        }
    }
    transact(base, &old, read, mode)
}

/// Loads a configuration that was read from a document, as [`load`] does with lines.
///
/// # Errors
/// Every error in it; the lines are nobody's.
pub fn load_document(
    base: &Cib,
    cib: &Cib,
    mode: Mode,
    unknowns: Unknowns,
) -> Result<Loaded, Vec<Finding>> {
    if let Some(object) = unwritable(cib) {
        let message = "what is kept unknown has a name that no element or attribute can have";
        let fix = "give what `haven configure show --format json` prints";
        return Err(vec![Finding::error("HV0400", message).about(object).fix(fix)]);
    }
    let given = Document::from_cib(cib);
    let mut read = parse::document(&print::document(&given))?;
    let places = index(&given);
    for entry in &mut read.entries {
        let place = places.get(&key(&entry.object));
        entry.unknown = place.and_then(|place| given.entries[*place].unknown.clone());
    }
    // An update without such things says nothing of what stands beside its objects.
    read.unknown = given.unknown.filter(|list| mode == Mode::Replace || !list.is_empty());
    let old = Document::from_cib(base);
    if unknowns == Unknowns::Refuse {
        let refused = kept_anew(&read, &old);
        if !refused.is_empty() {
            return Err(refused);
        }
    }
    transact(base, &old, read, mode)
}

/// The object with which something is kept that no document could hold.
fn unwritable(cib: &Cib) -> Option<&String> {
    let mut all = cib.unknown.iter();
    all.find(|(_, kept)| !kept.iter().all(Kept::can_be_written)).map(|(object, _)| object)
}

/// Ids of objects with something unknown that are not in `old` just as they are.
fn unknown_anew<'a>(read: &'a Document, old: &Document) -> BTreeSet<&'a str> {
    let known = index(old);
    let as_before = |entry: &Entry| {
        known.get(&key(&entry.object)).map(|place| &old.entries[*place]).is_some_and(|before| {
            print::object(&before.object) == print::object(&entry.object)
                && entry.unknown.as_ref().is_none_or(|kept| before.unknown.as_ref() == Some(kept))
        })
    };
    read.entries.iter().filter(|entry| !as_before(entry)).map(|entry| entry.object.name()).collect()
}

/// A finding for each object that keeps something unknown which it does not keep in `old`.
fn kept_anew(read: &Document, old: &Document) -> Vec<Finding> {
    let known = index(old);
    let is_new = |kept: Option<&Vec<Kept>>, before: Option<&Vec<Kept>>| {
        kept.is_some_and(|list| !list.is_empty() && before != Some(list))
    };
    let refuse = |object: &str| {
        let message = format!("\"{object}\" has something with it that no schema knows");
        Finding::error(Finding::UNKNOWN, message)
            .about(object)
            .fix("take it out of \"unknown\", or give --lenient, which keeps it")
    };
    let mut findings: Vec<Finding> = Vec::new();
    for entry in &read.entries {
        let before = known.get(&key(&entry.object)).map(|place| &old.entries[*place]);
        if is_new(entry.unknown.as_ref(), before.and_then(|before| before.unknown.as_ref())) {
            findings.push(refuse(entry.object.name()));
        }
    }
    if is_new(read.unknown.as_ref(), old.unknown.as_ref()) {
        findings.push(refuse(OUTSIDE_NAME));
    }
    findings
}

fn transact(
    base: &Cib,
    old: &Document,
    mut read: Document,
    mode: Mode,
) -> Result<Loaded, Vec<Finding>> {
    rename_options(&mut read);
    let unresolved = references::resolve(&mut read, old);
    if !unresolved.is_empty() {
        return Err(unresolved);
    }
    let monitors = std::mem::take(&mut read.monitors);
    let declared = read
        .entries
        .iter()
        .filter_map(|entry| entry.line.map(|line| (entry.object.name().to_owned(), line)))
        .collect();
    let read = join_blocks(read);
    let mut merged = merge(old, read, mode);
    add_monitors(&mut merged, monitors)?;
    let cib = compose(merged, base).map_err(|mut findings| {
        findings.sort_by_key(|finding| finding.line);
        findings
    })?;
    let changed = differences(old, &Document::from_cib(&cib));
    Ok(Loaded { cib, changed, declared })
}

/// Gives primitives the monitors that were declared by themselves, each instead of one of the same role
/// and interval.
fn add_monitors(document: &mut Document, monitors: Vec<Monitor>) -> Result<(), Vec<Finding>> {
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
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

/// Old names of cluster options become the present ones.
fn rename_options(document: &mut Document) {
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
fn join_blocks(document: Document) -> Document {
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

fn merge(old: &Document, read: Document, mode: Mode) -> Document {
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

/// What names an object, for looking it up while the objects change.
fn own_key(object: &Object) -> (bool, String) {
    let (node, id) = key(object);
    (node, id.to_owned())
}

fn differences(old: &Document, new: &Document) -> Vec<String> {
    let same = |a: &Entry, b: &Entry| {
        a.comments == b.comments
            && a.unknown == b.unknown
            && print::object(&a.object) == print::object(&b.object)
    };
    let (known, present) = (index(old), index(new));
    let before = |entry: &Entry| known.get(&key(&entry.object)).map(|place| &old.entries[*place]);
    let changed =
        new.entries.iter().filter(|entry| !before(entry).is_some_and(|known| same(known, entry)));
    let gone = old.entries.iter().filter(|entry| !present.contains_key(&key(&entry.object)));
    let outside = (old.unknown != new.unknown).then(|| OUTSIDE_NAME.to_owned());
    let names = changed.chain(gone).map(|entry| entry.object.name().to_owned());
    names.chain(outside).collect()
}
