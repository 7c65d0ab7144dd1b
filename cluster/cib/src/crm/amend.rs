//! Changes of single objects by name, as the crm shell has them: delete, rename, members of a group, one value.
//!
//! Each makes a new configuration from an old one or refuses with findings; nothing is half done. Whether a resource
//! runs is nothing that is known here: who asks must look first.

#![allow(
    clippy::result_large_err,
    clippy::wildcard_enum_match_arm,
    reason = "a refusal is met once a command; most kinds of objects have nothing to do with most changes"
)]

mod delete;
mod members;
mod rename;
mod schema;
mod value;

use haven_base::nearest;

use super::compose::compose;
use super::document::{Document, Object};
use super::finding::Finding;
use crate::model::{Cib, Constraint, ResourceSet};
use crate::xml::Element;

pub use delete::delete;
pub use members::{Beside, add_member, remove_member};
pub use rename::rename;
pub use schema::with_schema;
pub use value::set_value;

/// The configuration that an edited document is.
fn finished(document: Document, base: &Cib) -> Result<Cib, Vec<Finding>> {
    compose(document, base)
}

/// Where the object of this id or name stands.
fn place_of(document: &Document, name: &str) -> Result<usize, Finding> {
    let all = &document.entries;
    let node = |object: &Object| matches!(object, Object::Node(_));
    let by_id = |nodes: bool| {
        all.iter().position(|entry| node(&entry.object) == nodes && entry.object.id() == name)
    };
    let by_name = || all.iter().position(|entry| entry.object.name() == name);
    by_id(false).or_else(|| by_id(true)).or_else(by_name).ok_or_else(|| {
        let near = nearest(name, all.iter().map(|entry| entry.object.name()));
        Finding::error("HV0211", format!("there is no object \"{name}\""))
            .about(name)
            .near(near)
            .fix("see `haven configure show`")
    })
}

/// Whether a text can be the id of an object.
fn fits_as_id(id: &str) -> bool {
    let mut letters = id.chars();
    letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && letters.all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Visits every id of another object that an object names, but for those in elements of access control.
fn visit_names(object: &mut Object, visit: &mut dyn FnMut(&mut String)) {
    match object {
        Object::Primitive(primitive) => primitive.template.iter_mut().for_each(visit),
        Object::Group { members, .. } => members.iter_mut().for_each(visit),
        Object::Clone { child, .. } => visit(child),
        Object::Bundle { child, .. } => child.iter_mut().for_each(visit),
        Object::Constraint(constraint) => {
            for name in named_by(constraint) {
                name.iter_mut().for_each(&mut *visit);
            }
            for set in sets_of(constraint) {
                set.members.iter_mut().for_each(&mut *visit);
            }
        }
        Object::Tag(tag) => tag.members.iter_mut().for_each(visit),
        Object::Topology(levels) => {
            levels.iter_mut().flat_map(|level| &mut level.devices).for_each(visit);
        }
        Object::Node(_)
        | Object::Template(_)
        | Object::Property(_)
        | Object::RscDefaults(_)
        | Object::OpDefaults(_)
        | Object::Alert(_)
        | Object::Acl(_) => {}
    }
}

/// The resources, templates or tags that a constraint is about, sets apart.
fn named_by(constraint: &mut Constraint) -> Vec<&mut Option<String>> {
    match constraint {
        Constraint::Location(c) => vec![&mut c.resource],
        Constraint::Colocation(c) => vec![&mut c.dependent, &mut c.primary],
        Constraint::Order(c) => vec![&mut c.first, &mut c.then],
        Constraint::Ticket(c) => vec![&mut c.resource],
    }
}

const fn sets_of(constraint: &mut Constraint) -> &mut Vec<ResourceSet> {
    match constraint {
        Constraint::Location(c) => &mut c.sets,
        Constraint::Colocation(c) => &mut c.sets,
        Constraint::Order(c) => &mut c.sets,
        Constraint::Ticket(c) => &mut c.sets,
    }
}

/// Visits the attributes of access control that name an object by its id: roles that a user has, and what a
/// permission is about.
fn visit_access(element: &mut Element, visit: &mut dyn FnMut(&mut String)) {
    for child in &mut element.children {
        let wanted = match child.name.as_str() {
            "role" | "role_ref" => "id",
            "acl_permission" | "read" | "write" | "deny" => "reference",
            _ => continue,
        };
        let found = child.attributes.iter_mut().filter(|(name, _)| name == wanted);
        found.for_each(|(_, value)| visit(value));
    }
}

#[cfg(test)]
mod tests;
