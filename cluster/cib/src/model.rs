//! The configuration as typed Rust. Values keep the words they were written in (scores, durations
//! and booleans are read by those who use them), so that nothing is lost between reading and
//! writing.

mod constraint;
mod rule;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::unknown::Kept;
use crate::xml::Element;

pub use constraint::{Colocation, Constraint, Location, Order, ResourceSet, TicketConstraint};
pub use rule::{AttributeTest, Condition, DateTest, Rule};

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cib {
    /// Version triple.
    #[serde(default)]
    pub version: Version,
    /// Schema the document was written for, such as `pacemaker-3.10`.
    pub validate_with: Option<String>,
    /// Feature set of the writer.
    pub crm_feature_set: Option<String>,
    /// Cluster options (`crm_config`); a block called `cib-bootstrap-options` comes first.
    #[serde(default)]
    pub options: Vec<NvSet>,
    /// Nodes.
    #[serde(default)]
    pub nodes: Vec<Node>,
    /// Resources, in the order written.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// Resource templates.
    #[serde(default)]
    pub templates: Vec<Primitive>,
    /// Constraints, in the order written.
    #[serde(default)]
    pub constraints: Vec<Constraint>,
    /// Which devices fence which node, in which order.
    #[serde(default)]
    pub fencing_topology: Vec<FencingLevel>,
    /// Names for lists of resources.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Defaults of resource meta attributes.
    #[serde(default)]
    pub rsc_defaults: Vec<NvSet>,
    /// Defaults of operation attributes.
    #[serde(default)]
    pub op_defaults: Vec<NvSet>,
    /// Alerts, as written.
    #[serde(default)]
    pub alerts: Vec<Element>,
    /// Access control, as written.
    #[serde(default)]
    pub acls: Vec<Element>,
    /// Comment lines of the human form that stand before an object, each with its `#`, by the object's
    /// id; those at the end by the empty id. The XML form has no place for them.
    #[serde(default)]
    pub comments: BTreeMap<String, Vec<String>>,
    /// What no schema knows and was kept all the same, by the id of the object that it belongs to; what is in none by the
    /// empty id. It means nothing to anybody here; the XML form has it where it stood.
    #[serde(default)]
    pub unknown: BTreeMap<String, Vec<Kept>>,
}

/// `admin_epoch.epoch.num_updates`; compared in that order.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Version {
    /// Raised by hand only.
    pub admin_epoch: u64,
    /// Raised by each change of the configuration.
    pub epoch: u64,
    /// Raised by each change of the status.
    pub num_updates: u64,
}

impl Version {
    /// That of the configuration after the next change.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { epoch: self.epoch + 1, num_updates: 0, ..self }
    }
}

/// A named value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NvPair {
    /// Its id.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its value; a name without one is kept, too.
    pub value: Option<String>,
}

/// A block of named values, with the rule that decides whether it counts. References to other
/// blocks (`id-ref`) are resolved on reading.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NvSet {
    /// Its id.
    pub id: String,
    /// Blocks of higher score come first.
    pub score: Option<String>,
    /// The block counts only while this holds.
    pub rule: Option<Rule>,
    /// The values.
    #[serde(default)]
    pub pairs: Vec<NvPair>,
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Node id.
    pub id: String,
    /// Node name.
    pub uname: String,
    /// `member`, `ping`, `remote`, `normal`.
    pub kind: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Fallback for rules' scores; hardly ever used.
    pub score: Option<String>,
    /// Permanent attributes.
    #[serde(default)]
    pub attributes: Vec<NvSet>,
    /// Capacity.
    #[serde(default)]
    pub utilization: Vec<NvSet>,
}

/// A resource of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "there are few, and most are as large as the largest")]
pub enum Resource {
    /// One instance of an agent.
    Primitive(Primitive),
    /// An ordered, colocated list.
    Group(Group),
    /// Many instances.
    Clone(CloneResource),
    /// Containers.
    Bundle(Bundle),
}

impl Resource {
    /// The resource's id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Primitive(p) => &p.id,
            Self::Group(g) => &g.id,
            Self::Clone(c) => &c.id,
            Self::Bundle(b) => &b.id,
        }
    }

    /// Its own meta attributes.
    #[must_use]
    pub fn meta(&self) -> &Vec<NvSet> {
        match self {
            Self::Primitive(p) => &p.meta,
            Self::Group(g) => &g.meta,
            Self::Clone(c) => &c.meta,
            Self::Bundle(b) => &b.meta,
        }
    }

    /// Its own meta attributes, to be changed.
    pub fn meta_mut(&mut self) -> &mut Vec<NvSet> {
        match self {
            Self::Primitive(p) => &mut p.meta,
            Self::Group(g) => &mut g.meta,
            Self::Clone(c) => &mut c.meta,
            Self::Bundle(b) => &mut b.meta,
        }
    }

    /// The primitives in it, in order.
    #[must_use]
    pub fn primitives(&self) -> Vec<&Primitive> {
        match self {
            Self::Primitive(p) => vec![p],
            Self::Group(g) => g.members.iter().collect(),
            Self::Clone(c) => match &*c.child {
                CloneChild::Primitive(p) => vec![p],
                CloneChild::Group(g) => g.members.iter().collect(),
            },
            Self::Bundle(b) => b.primitive.iter().collect(),
        }
    }
}

/// One instance of an agent; also a template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Primitive {
    /// Resource id.
    pub id: String,
    /// Agent class.
    pub class: Option<String>,
    /// Agent provider.
    pub provider: Option<String>,
    /// Agent type.
    pub kind: Option<String>,
    /// The template it is made from.
    pub template: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Meta attributes.
    #[serde(default)]
    pub meta: Vec<NvSet>,
    /// Instance parameters.
    #[serde(default)]
    pub params: Vec<NvSet>,
    /// Configured operations.
    #[serde(default)]
    pub operations: Vec<Operation>,
    /// What it needs of a node's capacity.
    #[serde(default)]
    pub utilization: Vec<NvSet>,
}

/// A configured operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// `start`, `stop`, `monitor`, …
    pub name: String,
    /// Time between two runs, such as `10s`.
    pub interval: Option<String>,
    /// Everything else written as an attribute: `timeout`, `role`, `on-fail`, `enabled`,
    /// `start-delay`, `interval-origin`, `record-pending`, …
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Meta attributes.
    #[serde(default)]
    pub meta: Vec<NvSet>,
    /// Parameters for this operation only.
    #[serde(default)]
    pub params: Vec<NvSet>,
}

/// An ordered, colocated list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Resource id.
    pub id: String,
    /// Free text.
    pub description: Option<String>,
    /// Meta attributes, inherited by the members.
    #[serde(default)]
    pub meta: Vec<NvSet>,
    /// Instance parameters, inherited by the members.
    #[serde(default)]
    pub params: Vec<NvSet>,
    /// Members, first to start first.
    #[serde(default)]
    pub members: Vec<Primitive>,
}

/// Many instances of a primitive or group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloneResource {
    /// Resource id.
    pub id: String,
    /// True when written as `<master>`, the old word for a promotable clone.
    #[serde(default)]
    pub master: bool,
    /// Free text.
    pub description: Option<String>,
    /// Meta attributes.
    #[serde(default)]
    pub meta: Vec<NvSet>,
    /// Instance parameters.
    #[serde(default)]
    pub params: Vec<NvSet>,
    /// What is cloned.
    pub child: Box<CloneChild>,
}

/// What a clone clones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloneChild {
    /// A primitive.
    Primitive(Primitive),
    /// A group.
    Group(Group),
}

/// Containers with an optional resource in each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Resource id.
    pub id: String,
    /// Free text.
    pub description: Option<String>,
    /// Meta attributes.
    #[serde(default)]
    pub meta: Vec<NvSet>,
    /// Instance parameters.
    #[serde(default)]
    pub params: Vec<NvSet>,
    /// `docker`, `podman`, `rkt`; empty when the element is missing.
    pub container: String,
    /// Attributes of the container element: `image`, `replicas`, `promoted-max`, `options`, …
    #[serde(default)]
    pub container_options: BTreeMap<String, String>,
    /// Attributes of the network element, when it is there.
    pub network: Option<BTreeMap<String, String>>,
    /// Ports to map: `id`, `port`, `internal-port`, `range`.
    #[serde(default)]
    pub ports: Vec<BTreeMap<String, String>>,
    /// Directories to map: `source-dir`, `source-dir-root`, `target-dir`, `options`.
    #[serde(default)]
    pub storage: Vec<BTreeMap<String, String>>,
    /// What runs inside.
    pub primitive: Option<Primitive>,
}

/// One level of fencing for a target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FencingLevel {
    /// Level id.
    pub id: String,
    /// A node's name.
    pub target: Option<String>,
    /// A regular expression of node names.
    pub target_pattern: Option<String>,
    /// A node attribute …
    pub target_attribute: Option<String>,
    /// … and its value.
    pub target_value: Option<String>,
    /// 1 to 9.
    pub index: Option<String>,
    /// Devices, all of which must succeed.
    #[serde(default)]
    pub devices: Vec<String>,
}

/// A name for a list of ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Tag id.
    pub id: String,
    /// What it stands for.
    #[serde(default)]
    pub members: Vec<String>,
}
