//! The configuration as a flat list of declarations.

use super::finding::Finding;
use crate::model::{
    Bundle, Cib, CloneChild, CloneResource, Constraint, FencingLevel, Group, Node, NvSet,
    Operation, Primitive, Resource, Tag,
};
use crate::unknown::{Kept, OUTSIDE};
use crate::xml::Element;

/// One declaration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Object {
    /// A node with its attributes.
    Node(Node),
    /// A resource template.
    Template(Primitive),
    /// A resource, wherever it is a member.
    Primitive(Primitive),
    /// A group; its members are named, so that the model's list is empty.
    Group {
        /// The group without members.
        group: Group,
        /// Ids of its members.
        members: Vec<String>,
    },
    /// A clone; what it clones is named.
    Clone {
        /// Everything but the child.
        shell: CloneShell,
        /// Id of the resource it clones.
        child: String,
    },
    /// A bundle; what runs in it is named.
    Bundle {
        /// The bundle without its resource. Boxed for its size.
        bundle: Box<Bundle>,
        /// Id of the resource in it.
        child: Option<String>,
    },
    /// A constraint of any kind.
    Constraint(Constraint),
    /// A tag.
    Tag(Tag),
    /// All levels of fencing.
    Topology(Vec<FencingLevel>),
    /// A block of cluster options.
    Property(NvSet),
    /// A block of resource defaults.
    RscDefaults(NvSet),
    /// A block of operation defaults.
    OpDefaults(NvSet),
    /// An alert, as written.
    Alert(Element),
    /// A role or user of access control, as written.
    Acl(Element),
}

/// A clone without what it clones.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CloneShell {
    /// Resource id.
    pub id: String,
    /// Written with the old word for a promotable clone.
    pub master: bool,
    /// Free text.
    pub description: Option<String>,
    /// Meta attributes.
    pub meta: Vec<NvSet>,
    /// Instance parameters.
    pub params: Vec<NvSet>,
}

impl Object {
    /// Its id; unique in a document, but for that of the topology, of which there is one.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Node(node) => &node.uname,
            Self::Template(primitive) | Self::Primitive(primitive) => &primitive.id,
            Self::Group { group, .. } => &group.id,
            Self::Clone { shell, .. } => &shell.id,
            Self::Bundle { bundle, .. } => &bundle.id,
            Self::Constraint(constraint) => constraint.id(),
            Self::Tag(tag) => &tag.id,
            Self::Topology(_) => "fencing_topology",
            Self::Property(set) | Self::RscDefaults(set) | Self::OpDefaults(set) => &set.id,
            Self::Alert(element) | Self::Acl(element) => element.attr("id").unwrap_or_default(),
        }
    }

    /// What messages call it: its id, but for the one block of options that is called by its command.
    #[must_use]
    pub fn name(&self) -> &str {
        named(self.id())
    }

    /// What it is, in one word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Node(_) => "node",
            Self::Template(_) => "template",
            Self::Primitive(_) => "primitive",
            Self::Group { .. } => "group",
            Self::Clone { .. } => "clone",
            Self::Bundle { .. } => "bundle",
            Self::Constraint(Constraint::Location(_)) => "location",
            Self::Constraint(Constraint::Colocation(_)) => "colocation",
            Self::Constraint(Constraint::Order(_)) => "order",
            Self::Constraint(Constraint::Ticket(_)) => "ticket constraint",
            Self::Tag(_) => "tag",
            Self::Topology(_) => "fencing topology",
            Self::Property(_) => "property",
            Self::RscDefaults(_) => "resource defaults",
            Self::OpDefaults(_) => "operation defaults",
            Self::Alert(_) => "alert",
            Self::Acl(_) => "access control",
        }
    }

    /// The word that its line begins with.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Template(_) => "rsc_template",
            Self::Clone { shell, .. } if shell.master => "ms",
            Self::Constraint(Constraint::Ticket(_)) => "rsc_ticket",
            Self::Topology(_) => "fencing_topology",
            Self::RscDefaults(_) => "rsc_defaults",
            Self::OpDefaults(_) => "op_defaults",
            Self::Acl(element) if element.name == "acl_role" => "role",
            Self::Acl(element) => &element.name,
            Self::Node(_)
            | Self::Primitive(_)
            | Self::Group { .. }
            | Self::Clone { .. }
            | Self::Bundle { .. }
            | Self::Constraint(_)
            | Self::Tag(_)
            | Self::Property(_)
            | Self::Alert(_) => self.kind(),
        }
    }

    /// It is a resource, a container included.
    #[must_use]
    pub const fn is_resource(&self) -> bool {
        matches!(
            self,
            Self::Primitive(_) | Self::Group { .. } | Self::Clone { .. } | Self::Bundle { .. }
        )
    }

    /// Nodes have a space of names of their own; every other id is unique in the document.
    const fn is_node(&self) -> bool {
        matches!(self, Self::Node(_))
    }

    /// Both name the same thing, so that one replaces the other.
    #[must_use]
    pub fn same_id(&self, other: &Self) -> bool {
        self.id() == other.id() && self.is_node() == other.is_node()
    }
}

/// What messages call the object of this id.
pub(super) fn named(id: &str) -> &str {
    match id {
        "cib-bootstrap-options" => "property",
        "rsc-options" => "rsc_defaults",
        "op-options" => "op_defaults",
        id => id,
    }
}

/// A declaration with its surroundings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Comment lines before it, each with its `#`.
    pub comments: Vec<String>,
    /// Line it starts on, from 1; none when it was not read from text.
    pub line: Option<u32>,
    /// What it declares.
    pub object: Object,
    /// What of it no schema knows; none where the notation cannot say, so that what is kept stays.
    pub unknown: Option<Vec<Kept>>,
}

/// The configuration as a flat list of declarations.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Document {
    /// Declarations in order.
    pub entries: Vec<Entry>,
    /// Comment lines after the last one.
    pub trailing: Vec<String>,
    /// Recurring monitors that primitives declared elsewhere get besides.
    pub monitors: Vec<Monitor>,
    /// What no schema knows and stands in no object; none where the notation cannot say.
    pub unknown: Option<Vec<Kept>>,
    /// What no schema knows in objects that were written as elements.
    pub surplus: Vec<Finding>,
}

/// A recurring monitor declared by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Monitor {
    /// Line it starts on, from 1.
    pub line: u32,
    /// Id of the primitive.
    pub primitive: String,
    /// The operation.
    pub operation: Operation,
}

/// Key of the comments at the end in [`Cib::comments`].
pub(super) const TRAILING: &str = "";

impl Document {
    /// The flat form of a configuration.
    #[must_use]
    pub fn from_cib(cib: &Cib) -> Self {
        let mut objects: Vec<Object> = cib.nodes.iter().cloned().map(Object::Node).collect();
        objects.extend(cib.templates.iter().cloned().map(Object::Template));
        for resource in &cib.resources {
            flatten(resource, &mut objects);
        }
        objects.extend(cib.constraints.iter().cloned().map(Object::Constraint));
        objects.extend(cib.tags.iter().cloned().map(Object::Tag));
        if !cib.fencing_topology.is_empty() {
            objects.push(Object::Topology(cib.fencing_topology.clone()));
        }
        objects.extend(cib.options.iter().cloned().map(Object::Property));
        objects.extend(cib.rsc_defaults.iter().cloned().map(Object::RscDefaults));
        objects.extend(cib.op_defaults.iter().cloned().map(Object::OpDefaults));
        objects.extend(cib.alerts.iter().cloned().map(Object::Alert));
        objects.extend(cib.acls.iter().cloned().map(Object::Acl));
        let comments_of = |key: &str| cib.comments.get(key).cloned().unwrap_or_default();
        let entries = objects
            .into_iter()
            .map(|object| {
                let comments = comments_of(object.id());
                let unknown = Some(unknown_of(cib, &object));
                Entry { comments, line: None, object, unknown }
            })
            .collect();
        let unknown = Some(cib.unknown.get(OUTSIDE).cloned().unwrap_or_default());
        Self { entries, trailing: comments_of(TRAILING), unknown, ..Self::default() }
    }

    /// The declaration that names the same thing as `object`.
    #[must_use]
    pub fn find(&self, object: &Object) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.object.same_id(object))
    }
}

/// What is kept of an object. A node and a resource may share their id.
fn unknown_of(cib: &Cib, object: &Object) -> Vec<Kept> {
    let list = cib.unknown.get(object.id()).into_iter().flatten();
    let own = |kept: &&Kept| kept.is_of_a_node() == object.is_node();
    list.filter(own).cloned().collect()
}

fn flatten(resource: &Resource, objects: &mut Vec<Object>) {
    match resource {
        Resource::Primitive(primitive) => objects.push(Object::Primitive(primitive.clone())),
        Resource::Group(group) => flatten_group(group, objects),
        Resource::Clone(clone) => {
            let CloneResource { id, master, description, meta, params, child } = clone;
            let child = match &**child {
                CloneChild::Primitive(primitive) => {
                    objects.push(Object::Primitive(primitive.clone()));
                    primitive.id.clone()
                }
                CloneChild::Group(group) => {
                    flatten_group(group, objects);
                    group.id.clone()
                }
            };
            let shell = CloneShell {
                id: id.clone(),
                master: *master,
                description: description.clone(),
                meta: meta.clone(),
                params: params.clone(),
            };
            objects.push(Object::Clone { shell, child });
        }
        Resource::Bundle(bundle) => {
            objects.extend(bundle.primitive.iter().cloned().map(Object::Primitive));
            let child = bundle.primitive.as_ref().map(|primitive| primitive.id.clone());
            let bundle = Box::new(Bundle { primitive: None, ..bundle.clone() });
            objects.push(Object::Bundle { bundle, child });
        }
    }
}

fn flatten_group(group: &Group, objects: &mut Vec<Object>) {
    objects.extend(group.members.iter().cloned().map(Object::Primitive));
    let members = group.members.iter().map(|member| member.id.clone()).collect();
    objects.push(Object::Group { group: Group { members: Vec::new(), ..group.clone() }, members });
}
