//! Deleting objects, with what would name nothing afterwards.

use std::collections::BTreeSet;

use super::{finished, named_by, place_of, sets_of, visit_access};
use crate::crm::document::{Document, Object};
use crate::crm::finding::Finding;
use crate::model::{Cib, Constraint, ResourceSet};

/// The configuration without these objects, each named by its id, or as `property`, `rsc_defaults`, `op_defaults`.
///
/// What a deleted container held stays, by itself. Groups that become empty, clones and bundles of what is gone,
/// constraints about it, and tags that become empty go, too; sets, tags and levels of fencing lose it.
///
/// # Errors
/// A finding for each name that is none, for a node of the cluster (`members`), and for a template that something
/// left uses.
pub fn delete(cib: &Cib, objects: &[String], members: &[String]) -> Result<Cib, Vec<Finding>> {
    let mut document = Document::from_cib(cib);
    let mut findings = Vec::new();
    let mut places = BTreeSet::new();
    for name in objects {
        match place_of(&document, name) {
            Err(finding) => findings.push(finding),
            Ok(place) => {
                let node = matches!(document.entries[place].object, Object::Node(_));
                if node && members.contains(name) {
                    findings.push(is_member(name));
                }
                places.insert(place);
            }
        }
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let mut gone = BTreeSet::new();
    for place in places.into_iter().rev() {
        let removed = document.entries.remove(place).object;
        if !matches!(removed, Object::Node(_)) {
            gone.insert(removed.id().to_owned());
        }
    }
    in_use(&document, &gone)?;
    while forget(&mut document, &mut gone) {}
    finished(document, cib)
}

fn is_member(name: &str) -> Finding {
    Finding::error("HV0212", format!("node {name} is a member of the cluster"))
        .about(name)
        .fix(format!("remove it from the cluster: haven cluster remove {name}"))
}

fn in_use(document: &Document, gone: &BTreeSet<String>) -> Result<(), Vec<Finding>> {
    let users = document.entries.iter().filter_map(|entry| match &entry.object {
        Object::Primitive(p) => {
            p.template.as_ref().filter(|t| gone.contains(*t)).map(|t| (t, &p.id))
        }
        _ => None,
    });
    let findings: Vec<Finding> = users
        .map(|(template, user)| {
            Finding::error("HV0212", format!("\"{user}\" is made from the template \"{template}\""))
                .about(template)
                .fix(format!("delete {user} as well, or give it an agent of its own first"))
        })
        .collect();
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

/// Takes what is gone out of everything that names it; true where more is gone by that.
fn forget(document: &mut Document, gone: &mut BTreeSet<String>) -> bool {
    let before = document.entries.len();
    document.entries.retain_mut(|entry| {
        let stays = without(&mut entry.object, gone);
        if !stays {
            gone.insert(entry.object.id().to_owned());
        }
        stays
    });
    document.entries.len() != before
}

/// Takes what is gone out of an object; false where nothing sensible is left of it.
fn without(object: &mut Object, gone: &BTreeSet<String>) -> bool {
    match object {
        Object::Group { members, .. } => {
            members.retain(|member| !gone.contains(member));
            !members.is_empty()
        }
        Object::Clone { child, .. } => !gone.contains(child),
        Object::Bundle { child, .. } => {
            if child.as_ref().is_some_and(|child| gone.contains(child)) {
                *child = None;
            }
            true
        }
        Object::Constraint(constraint) => constraint_without(constraint, gone),
        Object::Tag(tag) => {
            tag.members.retain(|member| !gone.contains(member));
            !tag.members.is_empty()
        }
        Object::Topology(levels) => {
            for level in levels.iter_mut() {
                level.devices.retain(|device| !gone.contains(device));
            }
            levels.retain(|level| !level.devices.is_empty());
            !levels.is_empty()
        }
        Object::Acl(element) => {
            element.children.retain_mut(|child| {
                let mut names_it = false;
                let mut holder = crate::xml::Element::new("");
                holder.children.push(std::mem::take(child));
                visit_access(&mut holder, &mut |name| names_it |= gone.contains(name.as_str()));
                *child = holder.children.remove(0);
                !names_it
            });
            true
        }
        Object::Node(_)
        | Object::Template(_)
        | Object::Primitive(_)
        | Object::Property(_)
        | Object::RscDefaults(_)
        | Object::OpDefaults(_)
        | Object::Alert(_) => true,
    }
}

fn constraint_without(constraint: &mut Constraint, gone: &BTreeSet<String>) -> bool {
    if named_by(constraint).iter().any(|name| name.as_ref().is_some_and(|n| gone.contains(n))) {
        return false;
    }
    // One resource is neither together with another nor after one.
    let least = match constraint {
        Constraint::Colocation(_) | Constraint::Order(_) => 2,
        Constraint::Location(_) | Constraint::Ticket(_) => 1,
    };
    let sets = sets_of(constraint);
    let count = |sets: &[ResourceSet]| sets.iter().map(|s| s.members.len()).sum::<usize>();
    let before = count(sets);
    sets.iter_mut().for_each(|set| set.members.retain(|member| !gone.contains(member)));
    sets.retain(|set| !set.members.is_empty());
    let left = count(sets);
    if left < before {
        simplify(constraint);
    }
    left == before || left >= least
}

/// Writes what is left of sets without them where that says the same.
fn simplify(constraint: &mut Constraint) {
    let lone = |set: &ResourceSet| set.members.len() == 1;
    match constraint {
        Constraint::Ticket(c) => {
            if let [set] = c.sets.as_mut_slice()
                && lone(set)
            {
                (c.resource, c.role) = (set.members.pop(), set.role.take());
                c.sets.clear();
            }
        }
        Constraint::Location(c) => {
            if let [set] = c.sets.as_mut_slice()
                && lone(set)
            {
                (c.resource, c.role) =
                    (set.members.pop(), c.role.take().or_else(|| set.role.take()));
                c.sets.clear();
            }
        }
        Constraint::Order(c) => {
            let plain = |set: &ResourceSet| {
                lone(set) && set.role.is_none() && set.kind.is_none() && set.score.is_none()
            };
            if let [first, then] = c.sets.as_mut_slice()
                && plain(first)
                && plain(then)
            {
                (c.first, c.first_action) = (first.members.pop(), first.action.take());
                (c.then, c.then_action) = (then.members.pop(), then.action.take());
                c.sets.clear();
            }
        }
        Constraint::Colocation(_) => {}
    }
}
