//! Loading a text as one transaction, and showing a configuration.

use std::collections::BTreeSet;

use haven_base::nearest;

use super::attempt::{Attempt, Loaded};
use super::changes::{index, key};
use super::compose::compose_what_fits;
use super::document::{Document, Entry, Object};
use super::finding::Finding;
use super::merge::{add_monitors, join_blocks, merge, rename_options};
use super::parse::Read;
use super::{parse, print, references};
use crate::model::Cib;
use crate::unknown::{Kept, Part};

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

/// The agents of the primitives and templates that a text declares, as far as it can be read.
#[must_use]
pub fn agents_in(text: &str) -> Vec<(String, Option<String>, String)> {
    let Read { document, findings, doubt } = parse::read(text);
    // A wrong name of an agent is told already; where a quote is open, nothing is certain.
    let wrong = findings.iter().filter(|finding| finding.code == "HV0109");
    let wrong: BTreeSet<&str> = wrong.filter_map(|finding| finding.object.as_deref()).collect();
    let certain = |id: &str| !wrong.contains(id) && !doubt.is_garbled(id);
    let entries = document.entries.into_iter().filter(|entry| certain(entry.object.id()));
    let agents = entries.filter_map(|entry| match entry.object {
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
/// Every error in the text, in the order of lines. What only judging finds is not among them: see [`attempt`].
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
    attempt(base, text, mode, unknowns).settle()
}

/// [`load_with`], which ends with what can be judged also where the text has errors.
#[must_use]
pub fn attempt(base: &Cib, text: &str, mode: Mode, unknowns: Unknowns) -> Attempt {
    let mut read = parse::read(text);
    let old = Document::from_cib(base);
    let mut surplus = std::mem::take(&mut read.document.surplus);
    if unknowns == Unknowns::Refuse {
        let new = unknown_anew(&read.document, &old);
        surplus.retain(|f| f.object.as_ref().is_none_or(|object| new.contains(object.as_str())));
        read.findings.extend(surplus);
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
    attempt_document(base, cib, mode, unknowns).settle()
}

/// [`load_document`], which ends with what can be judged also where the document has errors.
#[must_use]
pub fn attempt_document(base: &Cib, cib: &Cib, mode: Mode, unknowns: Unknowns) -> Attempt {
    let given = Document::from_cib(cib);
    let read = parse::read(&print::document(&given));
    attempt_read(base, (cib, given), read, mode, unknowns)
}

/// [`attempt_document`] of what is known in a document that is refused for something unknown in it. What stood in the
/// objects of these ids, and what `cib` keeps as unknown, may have said anything: what follows from its lack alone is
/// no finding.
#[must_use]
pub fn attempt_rest(base: &Cib, cib: &Cib, mode: Mode, objects: &BTreeSet<&str>) -> Attempt {
    let given = Document::from_cib(cib);
    let mut read = parse::read(&print::document(&given));
    // A group whose only member is unknown has none.
    let lacks = |id: &String| objects.contains(id.as_str());
    read.findings.retain(|f| f.code != "HV0102" || !f.object.as_ref().is_some_and(lacks));
    let lacking = read.document.entries.iter().map(|entry| &entry.object);
    for object in lacking.filter(|it| objects.contains(it.id()) || objects.contains(it.name())) {
        read.doubt.partly(object);
        read.doubt.refuse(object.name());
    }
    for kept in cib.unknown.values().flatten() {
        if let Part::Elements { elements, .. } = &kept.part {
            elements.iter().for_each(|element| read.doubt.left_out(element));
        }
    }
    attempt_read(base, (cib, given), read, mode, Unknowns::Keep)
}

fn attempt_read(
    base: &Cib,
    (cib, given): (&Cib, Document),
    mut read: Read,
    mode: Mode,
    unknowns: Unknowns,
) -> Attempt {
    let places = index(&given);
    for entry in &mut read.document.entries {
        let place = places.get(&key(&entry.object));
        entry.unknown = place.and_then(|place| given.entries[*place].unknown.clone());
    }
    // An update without such things says nothing of what stands beside its objects.
    let outside = given.unknown.filter(|list| mode == Mode::Replace || !list.is_empty());
    read.document.unknown = outside;
    if let Some(object) = unwritable(cib) {
        let message = "what is kept unknown has a name that no element or attribute can have";
        let fix = "give what `haven configure show --format json` prints";
        read.findings.push(Finding::error("HV0400", message).about(object).fix(fix));
    }
    let old = Document::from_cib(base);
    if unknowns == Unknowns::Refuse {
        read.findings.extend(kept_anew(&read.document, &old));
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

fn transact(base: &Cib, old: &Document, read: Read, mode: Mode) -> Attempt {
    let Read { mut document, mut findings, mut doubt } = read;
    findings.iter().for_each(|finding| doubt.refuses(finding));
    rename_options(&mut document);
    findings.extend(references::resolve(&mut document, old, &mut doubt));
    let monitors = std::mem::take(&mut document.monitors);
    let declared = document
        .entries
        .iter()
        .filter_map(|entry| entry.line.map(|line| (entry.object.name().to_owned(), line)))
        .collect();
    let mut merged = merge(old, join_blocks(document), mode);
    doubt.forget(&mut merged);
    findings.extend(add_monitors(&mut merged, monitors, &doubt));
    doubt.spread(&merged);
    let (cib, misfits) = compose_what_fits(merged, base, &mut doubt);
    findings.extend(misfits);
    let changed = match findings.is_empty() {
        true => differences(old, &Document::from_cib(&cib)),
        false => Vec::new(),
    };
    Attempt::new(Loaded { cib, changed, declared }, findings, doubt)
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
