//! Giving an object another id, wherever it is named.

use super::{finished, fits_as_id, place_of, visit_access, visit_names};
use crate::crm::document::{Document, Entry, Object};
use crate::crm::finding::Finding;
use crate::crm::{parse, print};
use crate::model::Cib;
use crate::unknown;
use crate::xml::Element;

/// The configuration in which the object `from` is called `to`, also where groups, clones, constraints, tags, levels
/// of fencing, templates' users and access control name it. Ids inside of it follow.
///
/// # Errors
/// A finding where there is no such object, it has no id of its own, or `to` is taken or no id.
pub fn rename(cib: &Cib, from: &str, to: &str) -> Result<Cib, Vec<Finding>> {
    let mut document = Document::from_cib(cib);
    let place = place_of(&document, from).map_err(|finding| vec![finding])?;
    check(&document, place, from, to).map_err(|finding| vec![finding])?;
    let entry = &mut document.entries[place];
    give_id(&mut entry.object, to);
    anew(entry, from, to)?;
    entry.unknown.iter_mut().for_each(|kept| unknown::rename(kept, from, to));
    for entry in &mut document.entries {
        let mut follow = |name: &mut String| {
            if name == from {
                to.clone_into(name);
            }
        };
        visit_names(&mut entry.object, &mut follow);
        if let Object::Acl(element) = &mut entry.object {
            visit_access(element, &mut follow);
            paths(element, from, to);
        }
    }
    finished(document, cib)
}

fn check(document: &Document, place: usize, from: &str, to: &str) -> Result<(), Finding> {
    let object = &document.entries[place].object;
    let fixed = match object {
        Object::Node(_) => Some("a node's name is that of its daemon's configuration file"),
        Object::Topology(_) => Some("the levels of fencing have no id"),
        Object::Property(_) | Object::RscDefaults(_) | Object::OpDefaults(_)
            if object.name() != object.id() =>
        {
            Some("it is known by its command")
        }
        _ => None,
    };
    if let Some(reason) = fixed {
        return Err(Finding::error("HV0212", format!("\"{from}\" cannot be renamed: {reason}"))
            .about(from)
            .fix("rename resources, templates, constraints, tags, alerts, roles, or blocks with an id"));
    }
    if !fits_as_id(to) {
        return Err(Finding::error("HV0105", format!("\"{to}\" cannot be an id")).about(from).fix(
            "begin with a letter or an underscore; letters, digits, '-', '_' and '.' may follow",
        ));
    }
    let taken = document
        .entries
        .iter()
        .find(|entry| entry.object.id() == to && !matches!(entry.object, Object::Node(_)));
    match taken {
        Some(entry) => {
            let kind = entry.object.kind();
            Err(Finding::error("HV0107", format!("the id \"{to}\" is taken by the {kind}"))
                .about(from)
                .fix("choose another"))
        }
        None => Ok(()),
    }
}

fn give_id(object: &mut Object, to: &str) {
    let id = match object {
        Object::Template(primitive) | Object::Primitive(primitive) => &mut primitive.id,
        Object::Group { group, .. } => &mut group.id,
        Object::Clone { shell, .. } => &mut shell.id,
        Object::Bundle { bundle, .. } => &mut bundle.id,
        Object::Constraint(constraint) => constraint.id_mut(),
        Object::Tag(tag) => &mut tag.id,
        Object::Property(set) | Object::RscDefaults(set) | Object::OpDefaults(set) => &mut set.id,
        Object::Alert(element) | Object::Acl(element) => return element.set("id", to),
        Object::Node(_) | Object::Topology(_) => return,
    };
    to.clone_into(id);
}

/// Reads the object from its own lines, so that ids of its parts follow from its new one.
fn anew(entry: &mut Entry, from: &str, to: &str) -> Result<(), Vec<Finding>> {
    let text = print::object(&entry.object);
    let text = text.replace(&format!("$id={from}-"), &format!("$id={to}-"));
    let mut read = parse::document(&text)?.entries.into_iter();
    if let (Some(first), None) = (read.next(), read.next()) {
        entry.object = first.object;
    }
    Ok(())
}

/// XPath expressions of permissions that pick out the object by its id.
fn paths(element: &mut Element, from: &str, to: &str) {
    let permissions = element.children.iter_mut().flat_map(|child| &mut child.attributes);
    for (_, path) in permissions.filter(|(name, _)| name == "xpath") {
        for quote in ['\'', '"'] {
            let (old, new) =
                (format!("@id={quote}{from}{quote}"), format!("@id={quote}{to}{quote}"));
            *path = path.replace(&old, &new);
        }
    }
}
