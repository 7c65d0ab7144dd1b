//! The flat list back to the document: containers take their members, and what does not fit is found.

use std::collections::{BTreeMap, BTreeSet};

use haven_base::nearest;

use super::changes::own_key;
use super::document::{Document, Entry, Object, TRAILING};
use super::doubt::Doubt;
use super::finding::Finding;
use crate::model::{Bundle, Cib, CloneChild, CloneResource, Group, Primitive, Resource};
use crate::unknown::OUTSIDE;

/// Builds a configuration from declarations. Version and schema are those of `base`.
///
/// # Errors
/// Every id that is declared twice, member that does not exist or is taken twice, and container that
/// cannot hold what it names.
pub(super) fn compose(document: Document, base: &Cib) -> Result<Cib, Vec<Finding>> {
    let (cib, findings) = compose_what_fits(document, base, &mut Doubt::default());
    if findings.is_empty() { Ok(cib) } else { Err(findings) }
}

/// Builds of declarations what fits together, and tells what does not. Of two of one id the first counts; for what a
/// clone cannot have something stands in. What may be declared where nothing can be read is not missed.
pub(super) fn compose_what_fits(
    mut document: Document,
    base: &Cib,
    doubt: &mut Doubt,
) -> (Cib, Vec<Finding>) {
    let mut composer = Composer::new(&document);
    composer.check_ids(&document);
    if !composer.findings.is_empty() {
        let mut seen = BTreeSet::new();
        document.entries.retain(|entry| seen.insert(own_key(&entry.object)));
    }
    composer.check_members(&document, doubt);
    let mut cib = Cib {
        version: base.version,
        validate_with: base.validate_with.clone(),
        crm_feature_set: base.crm_feature_set.clone(),
        ..Cib::default()
    };
    let outside = document.unknown.filter(|list| !list.is_empty());
    cib.unknown.extend(outside.map(|list| (OUTSIDE.to_owned(), list)));
    for Entry { comments, object, unknown, .. } in document.entries {
        if let Some(unknown) = unknown.filter(|list| !list.is_empty()) {
            cib.unknown.entry(object.id().to_owned()).or_default().extend(unknown);
        }
        if !comments.is_empty() {
            cib.comments.insert(object.id().to_owned(), comments);
        }
        if object.is_resource() {
            if !composer.owner.contains_key(object.id()) {
                cib.resources.extend(composer.resource(&object));
            }
        } else {
            place(object, &mut cib);
        }
    }
    if !document.trailing.is_empty() {
        cib.comments.insert(TRAILING.to_owned(), document.trailing);
    }
    (cib, composer.findings)
}

/// Puts a declaration that is no resource into its section.
fn place(object: Object, cib: &mut Cib) {
    match object {
        Object::Node(node) => cib.nodes.push(node),
        Object::Template(template) => cib.templates.push(template),
        Object::Constraint(constraint) => cib.constraints.push(constraint),
        Object::Tag(tag) => cib.tags.push(tag),
        Object::Topology(levels) => cib.fencing_topology.extend(levels),
        Object::Property(set) => cib.options.push(set),
        Object::RscDefaults(set) => cib.rsc_defaults.push(set),
        Object::OpDefaults(set) => cib.op_defaults.push(set),
        Object::Alert(element) => cib.alerts.push(element),
        Object::Acl(element) => cib.acls.push(element),
        Object::Primitive(_)
        | Object::Group { .. }
        | Object::Clone { .. }
        | Object::Bundle { .. } => {}
    }
}

struct Composer {
    primitives: BTreeMap<String, Primitive>,
    groups: BTreeMap<String, (Group, Vec<String>)>,
    /// Every resource's kind, for messages.
    kinds: BTreeMap<String, &'static str>,
    /// Which container has taken a resource.
    owner: BTreeMap<String, String>,
    findings: Vec<Finding>,
}

impl Composer {
    fn new(document: &Document) -> Self {
        let mut new = Self {
            primitives: BTreeMap::new(),
            groups: BTreeMap::new(),
            kinds: BTreeMap::new(),
            owner: BTreeMap::new(),
            findings: Vec::new(),
        };
        for entry in document.entries.iter().filter(|entry| entry.object.is_resource()) {
            let id = entry.object.id().to_owned();
            if new.kinds.contains_key(&id) {
                continue;
            }
            new.kinds.insert(id.clone(), entry.object.kind());
            if let Object::Primitive(primitive) = &entry.object {
                new.primitives.insert(id, primitive.clone());
            } else if let Object::Group { group, members } = &entry.object {
                new.groups.insert(id, (group.clone(), members.clone()));
            }
        }
        new
    }

    fn complain(&mut self, entry: &Entry, finding: Finding) {
        let mut finding = finding.about(entry.object.id());
        finding.line = entry.line;
        finding.column = entry.line.map(|_| 1);
        self.findings.push(finding);
    }

    fn check_ids(&mut self, document: &Document) {
        let mut seen: BTreeMap<(bool, &str), &Entry> = BTreeMap::new();
        for entry in &document.entries {
            let key = (matches!(entry.object, Object::Node(_)), entry.object.id());
            let Some(first) = seen.get(&key) else {
                seen.insert(key, entry);
                continue;
            };
            let place = first.line.map_or(String::new(), |line| format!(" on line {line}"));
            let message =
                format!("the id \"{}\" is taken by the {}{place}", key.1, first.object.kind());
            let fix = Finding::error("HV0107", message).fix("give one of them another id");
            self.complain(entry, fix);
        }
    }

    fn check_members(&mut self, document: &Document, doubt: &mut Doubt) {
        let templates: BTreeSet<&str> = document
            .entries
            .iter()
            .filter(|entry| matches!(entry.object, Object::Template(_)))
            .map(|entry| entry.object.id())
            .collect();
        for entry in &document.entries {
            match &entry.object {
                Object::Primitive(Primitive { template: Some(name), .. }) => {
                    if !templates.contains(name.as_str()) && !doubt.may_be(name) {
                        let near = nearest(name, templates.iter().copied());
                        let finding =
                            Finding::error("HV0204", format!("there is no template \"{name}\""))
                                .near(near)
                                .fix(format!(
                                    "declare it: rsc_template {name} CLASS:PROVIDER:TYPE"
                                ));
                        self.complain(entry, finding);
                    }
                }
                Object::Group { members, .. } => {
                    for member in members {
                        self.take(entry, member, &["primitive"], doubt);
                    }
                }
                Object::Clone { child, .. } => {
                    self.take(entry, child, &["primitive", "group"], doubt);
                }
                Object::Bundle { child: Some(child), .. } => {
                    self.take(entry, child, &["primitive"], doubt);
                }
                Object::Bundle { child: None, .. }
                | Object::Primitive(_)
                | Object::Template(_)
                | Object::Node(_)
                | Object::Constraint(_)
                | Object::Tag(_)
                | Object::Topology(_)
                | Object::Property(_)
                | Object::RscDefaults(_)
                | Object::OpDefaults(_)
                | Object::Alert(_)
                | Object::Acl(_) => {}
            }
        }
    }

    /// The container `entry` takes `member`, which must be of one of the `fitting` kinds and free.
    fn take(&mut self, entry: &Entry, member: &str, fitting: &[&str], doubt: &mut Doubt) {
        let kind = entry.object.kind();
        let Some(found) = self.kinds.get(member).copied() else {
            doubt.stands_in(member);
            if doubt.excuses(entry.object.id(), member) {
                return;
            }
            let near = nearest(member, self.kinds.keys().map(String::as_str)).map(str::to_owned);
            let finding = Finding::error(
                "HV0201",
                format!("there is no resource \"{member}\" for the {kind}"),
            )
            .near(near.as_deref())
            .fix(format!("declare it: primitive {member} CLASS:PROVIDER:TYPE"));
            return self.complain(entry, finding);
        };
        if !fitting.contains(&found) {
            let message = format!("a {kind} cannot hold the {found} \"{member}\"");
            let fix = format!("name a {} instead", fitting.join(" or a "));
            return self.complain(entry, Finding::error("HV0203", message).fix(fix));
        }
        if let Some(owner) = self.owner.get(member) {
            let message = format!("\"{member}\" is already a member of \"{owner}\"");
            let fix = Finding::error("HV0202", message).fix("name it in one place only");
            return self.complain(entry, fix);
        }
        self.owner.insert(member.to_owned(), entry.object.id().to_owned());
    }

    fn owns(&self, container: &str, member: &str) -> bool {
        self.owner.get(member).is_some_and(|owner| owner == container)
    }

    fn group(&self, id: &str) -> Option<Group> {
        let (group, members) = self.groups.get(id)?;
        let mine = members.iter().filter(|member| self.owns(id, member));
        let members = mine.filter_map(|id| self.primitives.get(id).cloned()).collect();
        Some(Group { members, ..group.clone() })
    }

    /// The resource that stands for itself; none for objects of other kinds.
    fn resource(&self, object: &Object) -> Option<Resource> {
        match object {
            Object::Primitive(primitive) => Some(Resource::Primitive(primitive.clone())),
            Object::Group { group, .. } => self.group(&group.id).map(Resource::Group),
            Object::Clone { shell, child } => {
                let mine = Some(child).filter(|child| self.owns(&shell.id, child));
                let primitive =
                    mine.and_then(|id| self.primitives.get(id).cloned()).map(CloneChild::Primitive);
                let group = || mine.and_then(|id| self.group(id)).map(CloneChild::Group);
                let stand_in = || Primitive { id: child.clone(), ..Primitive::default() };
                let child =
                    primitive.or_else(group).unwrap_or_else(|| CloneChild::Primitive(stand_in()));
                Some(Resource::Clone(CloneResource {
                    id: shell.id.clone(),
                    master: shell.master,
                    description: shell.description.clone(),
                    meta: shell.meta.clone(),
                    params: shell.params.clone(),
                    child: Box::new(child),
                }))
            }
            Object::Bundle { bundle, child } => {
                let mine = child.as_ref().filter(|child| self.owns(&bundle.id, child));
                let primitive = mine.and_then(|id| self.primitives.get(id).cloned());
                Some(Resource::Bundle(Bundle { primitive, ..(**bundle).clone() }))
            }
            Object::Node(_)
            | Object::Template(_)
            | Object::Constraint(_)
            | Object::Tag(_)
            | Object::Topology(_)
            | Object::Property(_)
            | Object::RscDefaults(_)
            | Object::OpDefaults(_)
            | Object::Alert(_)
            | Object::Acl(_) => None,
        }
    }
}
