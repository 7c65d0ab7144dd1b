//! What one configuration has that another has not, object by object: to be shown, kept and taken back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::compose::compose;
use super::document::{Document, Entry, Object, named};
use super::finding::Finding;
use super::{parse, print};
use crate::model::{Cib, NvPair, NvSet};
use crate::unknown::Kept;

/// One object that differs between two configurations.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ObjectChange {
    /// It is a node: nodes have a space of names of their own.
    pub node: bool,
    /// Its id; for a node its name.
    pub id: String,
    /// Its lines before, comments included, without the last line end; none when it was added.
    pub before: Option<String>,
    /// Its lines after; none when it was removed.
    pub after: Option<String>,
    /// Id of the object in front of it in the one document that has it; none for the first, and for
    /// objects that both have.
    pub follows: Option<String>,
    /// What no schema knows and was kept with it before, where that changed: lines have no words for it.
    pub kept: Option<Vec<Kept>>,
}

impl ObjectChange {
    /// What messages call the object.
    #[must_use]
    pub fn name(&self) -> &str {
        named(&self.id)
    }

    /// Characters that it takes to keep.
    #[must_use]
    pub fn weight(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let kept: usize = self.kept.iter().flatten().map(Kept::weight).sum();
        self.id.len() + length(&self.before) + length(&self.after) + length(&self.follows) + kept
    }
}

/// Why a change cannot be taken back.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RevertError {
    /// An object is not as the change left it.
    #[error("\"{object}\" was changed since: expected {expected}, found {found}")]
    Conflict {
        /// The object's name.
        object: String,
        /// How the change left it.
        expected: String,
        /// How it is.
        found: String,
    },
    /// What would remain contradicts itself.
    #[error("what would remain contradicts itself")]
    Contradiction(Vec<Finding>),
}

/// Every object that differs, in the order of the new document, then those that are gone.
#[must_use]
pub fn changes(old: &Cib, new: &Cib) -> Vec<ObjectChange> {
    let (old, new) = (Document::from_cib(old), Document::from_cib(new));
    let (known, present) = (index(&old), index(&new));
    let mut found = Vec::new();
    for (place, entry) in new.entries.iter().enumerate() {
        let before = known.get(&key(&entry.object)).map(|place| &old.entries[*place]);
        if before == Some(entry) {
            continue;
        }
        let kept = kept_before(before, Some(entry));
        let (before, after) = (before.map(lines), lines(entry));
        if before.as_ref() == Some(&after) && kept.is_none() {
            continue;
        }
        let follows = before.is_none().then(|| in_front(&new, place)).flatten();
        found.push(ObjectChange { kept, ..change(entry, before, Some(after), follows) });
    }
    for (place, entry) in old.entries.iter().enumerate() {
        if !present.contains_key(&key(&entry.object)) {
            let kept = kept_before(Some(entry), None);
            let gone = change(entry, Some(lines(entry)), None, in_front(&old, place));
            found.push(ObjectChange { kept, ..gone });
        }
    }
    found
}

/// Several changes, oldest first, as the one that they make together.
#[must_use]
pub fn joined<'a>(changes: impl IntoIterator<Item = &'a ObjectChange>) -> Vec<ObjectChange> {
    let mut joined: Vec<ObjectChange> = Vec::new();
    let mut places: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    for change in changes {
        match places.get(&(change.node, change.id.as_str())) {
            Some(place) => {
                let first = &mut joined[*place];
                first.after.clone_from(&change.after);
                if change.follows.is_some() {
                    first.follows.clone_from(&change.follows);
                }
                first.kept = first.kept.take().or_else(|| change.kept.clone());
            }
            None => {
                places.insert((change.node, &change.id), joined.len());
                joined.push(change.clone());
            }
        }
    }
    joined.retain(|change| change.before != change.after);
    joined
}

/// The configuration without these changes; `cib` itself is not touched. Of options and attributes of
/// nodes only the values concerned go back, of other objects the whole.
///
/// # Errors
/// When an object is not as the changes left it, or the rest names something that would be gone.
pub fn revert(cib: &Cib, changes: &[ObjectChange]) -> Result<Cib, RevertError> {
    let mut document = Document::from_cib(cib);
    for change in changes.iter().rev() {
        revert_one(&mut document, change)?;
    }
    compose(document, cib).map_err(RevertError::Contradiction)
}

fn revert_one(document: &mut Document, change: &ObjectChange) -> Result<(), RevertError> {
    let from = change.after.as_deref().map(read).transpose()?;
    let to = change.before.as_deref().map(read).transpose()?;
    let place = document.entries.iter().position(|entry| {
        entry.object.id() == change.id && matches!(entry.object, Object::Node(_)) == change.node
    });
    let current = place.map(|place| &document.entries[place]);
    let same = |a: Option<&Entry>, b: Option<&Entry>| {
        a.map(|entry| print::object(&entry.object)) == b.map(|entry| print::object(&entry.object))
    };
    if same(current, to.as_ref()) && !same(from.as_ref(), to.as_ref()) {
        return Ok(());
    }
    let wanted = if same(current, from.as_ref()) {
        to
    } else if let Some(mut merged) = current.and_then(|c| values(&c.object).map(|_| c.clone())) {
        let (from, to) = (from.as_ref().map(|e| &e.object), to.as_ref().map(|e| &e.object));
        take_values_back(&mut merged.object, from, to)?;
        Some(merged).filter(|entry| !is_void(&entry.object))
    } else {
        return Err(conflict(change.name(), from.as_ref(), current));
    };
    match (place, wanted) {
        (Some(place), Some(mut entry)) => {
            let known = document.entries[place].unknown.take();
            entry.unknown = change.kept.clone().or(known);
            document.entries[place] = entry;
        }
        (Some(place), None) => {
            document.entries.remove(place);
        }
        (None, Some(mut entry)) => {
            entry.unknown.clone_from(&change.kept);
            let front = change
                .follows
                .as_ref()
                .and_then(|id| document.entries.iter().position(|entry| entry.object.id() == id));
            let place = match (&change.follows, front) {
                (None, _) => 0,
                (Some(_), Some(front)) => front + 1,
                (Some(_), None) => document.entries.len(),
            };
            document.entries.insert(place, entry);
        }
        (None, None) => {}
    }
    Ok(())
}

/// The values of an object that is nothing but a list of values.
#[allow(clippy::wildcard_enum_match_arm, reason = "the rest is more than a list of values")]
fn values(object: &Object) -> Option<&[NvPair]> {
    match object {
        Object::Property(set) | Object::RscDefaults(set) | Object::OpDefaults(set) => {
            set.rule.is_none().then_some(set.pairs.as_slice())
        }
        Object::Node(node) if node.utilization.is_empty() && node.score.is_none() => {
            match node.attributes.as_slice() {
                [] => Some(&[]),
                [only] if only.rule.is_none() => Some(&only.pairs),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_void(object: &Object) -> bool {
    !matches!(object, Object::Node(_)) && values(object).is_some_and(<[NvPair]>::is_empty)
}

fn take_values_back(
    object: &mut Object,
    from: Option<&Object>,
    to: Option<&Object>,
) -> Result<(), RevertError> {
    let whole = |object: Option<&Object>| -> Option<BTreeMap<String, Option<String>>> {
        let Some(object) = object else { return Some(BTreeMap::new()) };
        let pairs = values(object)?;
        Some(pairs.iter().rev().map(|p| (p.name.clone(), p.value.clone())).collect())
    };
    let name = object.name().to_owned();
    let (Some(from), Some(to)) = (whole(from), whole(to)) else {
        return Err(RevertError::Conflict {
            object: name,
            expected: "plain values".to_owned(),
            found: "a rule".to_owned(),
        });
    };
    let mut now: BTreeMap<String, Option<String>> = whole(Some(object)).unwrap_or_default();
    let mut wanted: Vec<(String, Option<Option<String>>)> = Vec::new();
    for option in from.keys().chain(to.keys().filter(|name| !from.contains_key(*name))) {
        let (left, right) = (from.get(option), to.get(option));
        let found = now.get(option);
        if left == right || found == right {
            continue;
        }
        if found != left {
            let word = |value: Option<&Option<String>>| match value {
                Some(Some(value)) => format!("{option}={value}"),
                Some(None) => option.clone(),
                None => format!("no {option}"),
            };
            return Err(RevertError::Conflict {
                object: name,
                expected: word(left),
                found: word(found),
            });
        }
        wanted.push((option.clone(), right.cloned()));
    }
    for (option, value) in wanted {
        now.remove(&option);
        set(object, &option, value);
    }
    Ok(())
}

/// Sets or removes one value of an object that [`values`] knows.
#[allow(clippy::wildcard_enum_match_arm, reason = "the rest is more than a list of values")]
fn set(object: &mut Object, name: &str, value: Option<Option<String>>) {
    let set = match object {
        Object::Property(set) | Object::RscDefaults(set) | Object::OpDefaults(set) => set,
        Object::Node(node) => {
            if node.attributes.is_empty() {
                let id = format!("nodes-{}", node.id);
                node.attributes.push(NvSet { id, ..NvSet::default() });
            }
            &mut node.attributes[0]
        }
        _ => return,
    };
    let Some(value) = value else {
        set.pairs.retain(|pair| pair.name != name);
        if let Object::Node(node) = object {
            node.attributes.retain(|set| !set.pairs.is_empty());
        }
        return;
    };
    match set.pairs.iter_mut().find(|pair| pair.name == name) {
        Some(pair) => pair.value = value,
        None => {
            let id = Some(format!("{}-{name}", set.id));
            set.pairs.push(NvPair { id, name: name.to_owned(), value });
        }
    }
}

fn read(text: &str) -> Result<Entry, RevertError> {
    let document = parse::document(text).map_err(RevertError::Contradiction)?;
    let mut entries = document.entries.into_iter();
    let first = entries.next().map(|entry| Entry { line: None, ..entry });
    let entry = match (first, entries.len()) {
        // Levels of fencing with gaps take a line each.
        (Some(Entry { comments, line, object: Object::Topology(mut levels), unknown }), _) => {
            for more in entries {
                if let Object::Topology(more) = more.object {
                    levels.extend(more);
                }
            }
            Some(Entry { comments, line, object: Object::Topology(levels), unknown })
        }
        (first, 0) => first,
        (_, _) => None,
    };
    entry.ok_or_else(|| {
        let message = "the log of changes holds something that is no object";
        RevertError::Contradiction(vec![
            Finding::error("HV0400", message).fix("load the wanted lines instead"),
        ])
    })
}

fn conflict(name: &str, expected: Option<&Entry>, found: Option<&Entry>) -> RevertError {
    let word = |entry: Option<&Entry>| {
        entry.map_or_else(|| "nothing".to_owned(), |e| format!("`{}`", print::object(&e.object)))
    };
    RevertError::Conflict { object: name.to_owned(), expected: word(expected), found: word(found) }
}

fn change(
    entry: &Entry,
    before: Option<String>,
    after: Option<String>,
    follows: Option<String>,
) -> ObjectChange {
    let node = matches!(entry.object, Object::Node(_));
    ObjectChange { node, id: entry.object.id().to_owned(), before, after, follows, kept: None }
}

/// What an object kept unknown, where it keeps something else afterwards.
fn kept_before(before: Option<&Entry>, after: Option<&Entry>) -> Option<Vec<Kept>> {
    let of = |entry: Option<&Entry>| entry.and_then(|e| e.unknown.clone()).unwrap_or_default();
    let old = of(before);
    (old != of(after)).then_some(old)
}

fn in_front(document: &Document, place: usize) -> Option<String> {
    let front = place.checked_sub(1)?;
    Some(document.entries[front].object.id().to_owned())
}

fn lines(entry: &Entry) -> String {
    let mut lines = entry.comments.clone();
    lines.push(print::object(&entry.object));
    lines.join("\n")
}

/// What names an object: nodes have a space of names of their own.
pub(super) fn key(object: &Object) -> (bool, &str) {
    (matches!(object, Object::Node(_)), object.id())
}

/// [`key`], for looking it up while the objects change.
pub(super) fn own_key(object: &Object) -> (bool, String) {
    let (node, id) = key(object);
    (node, id.to_owned())
}

/// Places by what names the object; of two of one name the first counts.
pub(super) fn index(document: &Document) -> BTreeMap<(bool, &str), usize> {
    let places = document.entries.iter().enumerate().rev();
    places.map(|(place, entry)| (key(&entry.object), place)).collect()
}
