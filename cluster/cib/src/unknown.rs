//! What stands in a document and is known to no schema: found before the document is read, refused with every place
//! named, or taken out and kept beside the configuration, to be written back where it stood.

use std::collections::BTreeMap;
use std::fmt;

use haven_base::nearest;
use serde::{Deserialize, Serialize};

use crate::schema::{self, ElementKind};
use crate::xml::{Element, Markup, is_name};

/// Key of what stands outside of every object in [`Cib::unknown`](crate::Cib::unknown).
pub(crate) const OUTSIDE: &str = "";
/// Key of all levels of fencing, which are one object.
pub(crate) const TOPOLOGY: &str = "fencing_topology";

/// One thing in a document that no schema of Pacemaker knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surplus {
    /// Line of the tag that it stands in, or with which it begins, from 1.
    pub line: u32,
    /// The element that it stands in.
    pub inside: String,
    /// Id of the object around it; none where it is in no object.
    pub object: Option<String>,
    /// What was found.
    pub found: Found,
    /// What may stand there instead, sorted.
    pub allowed: &'static [&'static str],
    /// The nearest of those, where one is near.
    pub nearest: Option<&'static str>,
}

/// What a schema does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// An attribute of this name.
    Attribute(String),
    /// An element of this name.
    Element(String),
    /// Text between tags; its beginning.
    Text(String),
}

impl Surplus {
    /// What to do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        if matches!(self.found, Found::Text(_)) {
            return "remove it, or give --lenient, which keeps it and does not heed it";
        }
        "remove it or correct its name, or give --lenient, which keeps it and does not heed it"
    }
}

impl fmt::Display for Surplus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inside = &self.inside;
        let what = match &self.found {
            Found::Attribute(name) => {
                write!(f, "<{inside}> has an attribute \"{name}\" that no schema knows")?;
                "attributes"
            }
            Found::Element(name) => {
                write!(f, "<{name}> in <{inside}>, where no schema knows such an element")?;
                "elements"
            }
            Found::Text(text) => {
                return write!(f, "text in <{inside}>, which has none: \"{text}\"");
            }
        };
        match self.allowed {
            [] => write!(f, "; <{inside}> has no {what}"),
            allowed => write!(f, "; allowed: {}", allowed.join(", ")),
        }
    }
}

/// Something unknown that is kept, with the place it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The element that it stands in: steps down from the object's own element, which is the first, or from `<cib>`.
    pub place: Vec<Step>,
    /// What is kept.
    pub part: Part,
}

impl Kept {
    /// XML can hold it. What was read from XML always can; JSON may say anything.
    pub(crate) fn can_be_written(&self) -> bool {
        match &self.part {
            Part::Attribute { name, .. } => is_name(name),
            Part::Elements { elements, .. } => elements.iter().all(Element::can_be_written),
            Part::Text(_) => true,
        }
    }

    /// About as many characters as it takes to keep.
    pub(crate) fn weight(&self) -> usize {
        let step = |step: &Step| step.element.len() + step.id.as_ref().map_or(0, String::len);
        let place: usize = self.place.iter().map(step).sum();
        place
            + match &self.part {
                Part::Attribute { name, value } => name.len() + value.len(),
                Part::Elements { elements, .. } => elements.iter().map(weight).sum(),
                Part::Text(text) => text.len(),
            }
    }

    /// It belongs to a node, whose id a resource may have, too.
    pub(crate) fn is_of_a_node(&self) -> bool {
        self.place.first().is_some_and(|own| own.element == "node")
    }
}

/// An element on the way to a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub element: String,
    /// Its id, where it has one.
    pub id: Option<String>,
    /// How many of its name stand before it, for an element without id or whose id has changed.
    pub nth: usize,
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// An attribute.
    Attribute {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Elements that stand together.
    Elements {
        /// The known one in front of them; none where they come first.
        after: Option<Step>,
        /// They themselves, with all that is in them.
        elements: Vec<Element>,
    },
    /// Text.
    Text(String),
}

/// Unknown things by the id of the object they belong to.
pub(crate) type KeptByObject = BTreeMap<String, Vec<Kept>>;

/// What was found in a document, and what was taken out of it.
#[derive(Default)]
pub(crate) struct Unknown {
    pub(crate) found: Vec<Surplus>,
    pub(crate) kept: KeptByObject,
}

/// Takes everything unknown out of a `<cib>` element. Nothing is changed where all is known.
pub(crate) fn take_out(root: &mut Markup<'_>) -> Unknown {
    let mut unknown = Unknown::default();
    if let Some(kind) = schema::element(root.name)
        && !is_known(root, kind)
    {
        let step = Step { element: root.name.to_owned(), id: None, nth: 0 };
        unknown.visit(root, kind, &mut Owner { object: None, place: vec![step] });
    }
    unknown
}

/// Whether a schema knows all of an element. This is all that is done for nearly every document.
fn is_known(e: &Markup<'_>, kind: &ElementKind) -> bool {
    // Most are of the kind of the one before.
    let mut last: Option<&ElementKind> = None;
    let child = |c: &Markup<'_>| {
        let found = last
            .filter(|kind| kind.name == c.name)
            .or_else(|| schema::element(c.name).filter(|_| kind.children.contains(&c.name)));
        last = found;
        found.is_some_and(|kind| c.name == "status" || is_known(c, kind))
    };
    e.attributes.iter().all(|(name, _)| kind.attributes.contains(name))
        && e.text.trim().is_empty()
        && e.children.iter().all(child)
}

/// Where the search is: the object around, and the steps down from its element.
struct Owner {
    object: Option<String>,
    place: Vec<Step>,
}

impl Unknown {
    fn visit(&mut self, e: &mut Markup<'_>, kind: &'static ElementKind, owner: &mut Owner) {
        let inside = e.name;
        let surplus = |line, found, allowed: &'static [&'static str], owner: &Owner| {
            let nearest = match &found {
                Found::Attribute(name) | Found::Element(name) => {
                    nearest(name, allowed.iter().copied())
                }
                Found::Text(_) => None,
            };
            let object = owner.object.clone();
            Surplus { line, inside: inside.to_owned(), object, found, allowed, nearest }
        };
        let line = e.line;
        e.attributes.retain(|(name, value)| {
            if kind.attributes.contains(name) {
                return true;
            }
            let (name, value) = ((*name).to_owned(), value.clone().into_owned());
            self.found.push(surplus(line, Found::Attribute(name.clone()), kind.attributes, owner));
            self.keep(owner, Part::Attribute { name, value });
            false
        });
        if !e.text.trim().is_empty() {
            let text = std::mem::take(&mut e.text).trim().to_owned();
            let beginning = text.chars().take(40).collect();
            self.found.push(surplus(line, Found::Text(beginning), &[], owner));
            self.keep(owner, Part::Text(text));
        }
        // A condition has a meaning where it stands: without it the rule would say something else.
        let stays = inside == "rule";
        let (mut seen, mut after) = (BTreeMap::new(), None);
        e.children.retain_mut(|child| {
            let known = kind.children.contains(&child.name);
            match schema::element(child.name).filter(|_| known) {
                Some(below) => {
                    let nth = seen.entry(child.name).or_insert(0);
                    let step = step_to(child, *nth);
                    *nth += 1;
                    after = Some(step.clone());
                    if child.name != "status" {
                        self.descend(child, below, (inside, step), owner);
                    }
                    true
                }
                None => {
                    let found = Found::Element(child.name.to_owned());
                    self.found.push(surplus(child.line, found, kind.children, owner));
                    if !stays {
                        let element = child.to_element().without_lines();
                        self.keep_element(owner, after.as_ref(), element);
                    }
                    stays
                }
            }
        });
    }

    fn descend(
        &mut self,
        child: &mut Markup<'_>,
        kind: &'static ElementKind,
        (inside, step): (&str, Step),
        owner: &mut Owner,
    ) {
        let attribute = |name: &str| child.get(name);
        if let Some(object) = object_of(child.name, inside, attribute) {
            let mut own = Owner { object: Some(object), place: vec![step] };
            self.visit(child, kind, &mut own);
            return;
        }
        owner.place.push(step);
        self.visit(child, kind, owner);
        owner.place.pop();
    }

    fn keep(&mut self, owner: &Owner, part: Part) {
        let object = owner.object.clone().unwrap_or_else(|| OUTSIDE.to_owned());
        self.kept.entry(object).or_default().push(Kept { place: owner.place.clone(), part });
    }

    /// Keeps an element, with those that stand in front of it if nothing known is between.
    fn keep_element(&mut self, owner: &Owner, after: Option<&Step>, element: Element) {
        let object = owner.object.as_deref().unwrap_or(OUTSIDE);
        if let Some(Kept { place, part: Part::Elements { after: front, elements } }) =
            self.kept.get_mut(object).and_then(|list| list.last_mut())
            && *place == owner.place
            && front.as_ref() == after
        {
            elements.push(element);
            return;
        }
        self.keep(owner, Part::Elements { after: after.cloned(), elements: vec![element] });
    }
}

fn weight(e: &Element) -> usize {
    let attributes: usize = e.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    e.name.len() + attributes + e.text.len() + e.children.iter().map(weight).sum::<usize>()
}

fn step_to(e: &Markup<'_>, nth: usize) -> Step {
    Step { element: e.name.to_owned(), id: e.get("id"), nth }
}

/// The key of the object that an element declares: its id, the name of a node.
fn object_of(
    name: &str,
    inside: &str,
    attribute: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    match name {
        "node" => attribute("uname").or_else(|| attribute("id")),
        "fencing-level" => Some(TOPOLOGY.to_owned()),
        "primitive"
        | "template"
        | "group"
        | "clone"
        | "master"
        | "bundle"
        | "rsc_location"
        | "rsc_colocation"
        | "rsc_order"
        | "rsc_ticket"
        | "tag"
        | "alert"
        | "acl_role"
        | "acl_target"
        | "acl_group"
        | "acl_user"
        | "cluster_property_set" => attribute("id"),
        "meta_attributes" if matches!(inside, "rsc_defaults" | "op_defaults") => attribute("id"),
        _ => None,
    }
}

/// Puts what is kept back where it stood. What stood in something that is gone is gone with it.
pub(crate) fn put_back(root: &mut Element, kept: &KeptByObject) {
    if kept.is_empty() {
        return;
    }
    let own = kept.get(OUTSIDE).map_or(&[][..], Vec::as_slice);
    put_into_objects(root, kept);
    own.iter().for_each(|one| put(root, one));
}

fn put_into_objects(e: &mut Element, kept: &KeptByObject) {
    let inside = e.name.clone();
    for child in &mut e.children {
        put_into_objects(child, kept);
        let Some(object) = object_of(&child.name, &inside, |name| child.get(name)) else {
            continue;
        };
        for one in kept.get(&object).into_iter().flatten() {
            if one.place.first().is_some_and(|own| is_of(own, child)) {
                put(child, one);
            }
        }
    }
}

/// Nodes and resources may share an id, and all levels of fencing have one key.
fn is_of(own: &Step, e: &Element) -> bool {
    let same_kind = own.element == e.name
        || (matches!(own.element.as_str(), "clone" | "master")
            && matches!(e.name.as_str(), "clone" | "master"));
    same_kind && (e.name != "fencing-level" || own.id.as_deref() == e.attr("id"))
}

fn put(object: &mut Element, kept: &Kept) {
    let mut e = object;
    for step in kept.place.iter().skip(1) {
        let Some(at) = find(e, step) else { return };
        e = &mut e.children[at];
    }
    match &kept.part {
        Part::Attribute { name, value } if e.attr(name).is_none() => e.push(name, value.clone()),
        Part::Attribute { .. } => {}
        Part::Text(text) => e.text.clone_from(text),
        Part::Elements { after, elements } => {
            let at = match after {
                None => 0,
                Some(step) => find(e, step).map_or(e.children.len(), |at| at + 1),
            };
            e.children.splice(at..at, elements.iter().cloned());
        }
    }
}

/// The child that a step leads to: the one of its id, or else the one at its place among those of its name.
fn find(e: &Element, step: &Step) -> Option<usize> {
    let named = || e.children.iter().enumerate().filter(|(_, c)| c.name == step.element);
    let by_id = step.id.as_ref().and_then(|id| named().find(|(_, c)| c.attr("id") == Some(id)));
    by_id.or_else(|| named().nth(step.nth)).map(|(at, _)| at)
}

/// Gives steps that lead by the id `from`, or by one made of it, the id `to`.
pub(crate) fn rename(kept: &mut [Kept], from: &str, to: &str) {
    let follow = |step: &mut Step| {
        let Some(id) = &mut step.id else { return };
        let Some(rest) = id.strip_prefix(from) else { return };
        if rest.is_empty() || rest.starts_with('-') {
            *id = format!("{to}{rest}");
        }
    };
    for one in kept {
        one.place.iter_mut().for_each(follow);
        if let Part::Elements { after: Some(step), .. } = &mut one.part {
            follow(step);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#[path = "unknown_tests.rs"]
mod tests;
