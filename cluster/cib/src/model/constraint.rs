//! Constraints: where, with whom, when, and whether at all.

use serde::{Deserialize, Serialize};

use super::Rule;

/// A constraint of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Constraint {
    /// Where.
    Location(Location),
    /// With whom.
    Colocation(Colocation),
    /// When.
    Order(Order),
    /// Whether at all.
    Ticket(TicketConstraint),
}

impl Constraint {
    /// The constraint's id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Location(c) => &c.id,
            Self::Colocation(c) => &c.id,
            Self::Order(c) => &c.id,
            Self::Ticket(c) => &c.id,
        }
    }

    /// The constraint's id, to be changed.
    pub const fn id_mut(&mut self) -> &mut String {
        match self {
            Self::Location(c) => &mut c.id,
            Self::Colocation(c) => &mut c.id,
            Self::Order(c) => &mut c.id,
            Self::Ticket(c) => &mut c.id,
        }
    }
}

/// Where a resource should or must not run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Constraint id.
    pub id: String,
    /// The resource, template or tag.
    pub resource: Option<String>,
    /// A regular expression of resource ids; a leading `!` inverts.
    pub pattern: Option<String>,
    /// Sets of resources.
    #[serde(default)]
    pub sets: Vec<ResourceSet>,
    /// The node, in the short form.
    pub node: Option<String>,
    /// The score, in the short form.
    pub score: Option<String>,
    /// Rules, in the long form.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Only for this role.
    pub role: Option<String>,
    /// `always`, `never`, `exclusive`.
    pub discovery: Option<String>,
    /// The constraint counts only while one of these holds.
    pub lifetime: Option<Vec<Rule>>,
}

/// A set of resources in a constraint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceSet {
    /// Set id.
    pub id: String,
    /// Resource ids.
    #[serde(default)]
    pub members: Vec<String>,
    /// Members depend on each other in order.
    pub sequential: Option<String>,
    /// All of them are needed.
    pub require_all: Option<String>,
    /// `group` or `listed` (colocation).
    pub ordering: Option<String>,
    /// Action (order).
    pub action: Option<String>,
    /// Role.
    pub role: Option<String>,
    /// Score.
    pub score: Option<String>,
    /// Kind (order).
    pub kind: Option<String>,
}

/// What must be placed with what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Colocation {
    /// Constraint id.
    pub id: String,
    /// Score; INFINITY when absent.
    pub score: Option<String>,
    /// The one that follows (`rsc`).
    pub dependent: Option<String>,
    /// Its role.
    pub dependent_role: Option<String>,
    /// Its instance number.
    pub dependent_instance: Option<String>,
    /// The one that leads (`with-rsc`).
    pub primary: Option<String>,
    /// Its role.
    pub primary_role: Option<String>,
    /// Its instance number.
    pub primary_instance: Option<String>,
    /// Same value of this attribute instead of same node.
    pub node_attribute: Option<String>,
    /// Whether the dependent has a say in where the primary goes.
    pub influence: Option<String>,
    /// Sets instead of two resources.
    #[serde(default)]
    pub sets: Vec<ResourceSet>,
}

/// What must happen before what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Constraint id.
    pub id: String,
    /// The one that goes first.
    pub first: Option<String>,
    /// Its action.
    pub first_action: Option<String>,
    /// Its instance number.
    pub first_instance: Option<String>,
    /// The one that goes then.
    pub then: Option<String>,
    /// Its action.
    pub then_action: Option<String>,
    /// Its instance number.
    pub then_instance: Option<String>,
    /// `Mandatory`, `Optional`, `Serialize`.
    pub kind: Option<String>,
    /// The old form of kind.
    pub score: Option<String>,
    /// Reverse when stopping.
    pub symmetrical: Option<String>,
    /// All instances of `first` are needed.
    pub require_all: Option<String>,
    /// Sets instead of two resources.
    #[serde(default)]
    pub sets: Vec<ResourceSet>,
}

/// A resource that needs a ticket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketConstraint {
    /// Constraint id.
    pub id: String,
    /// Ticket name.
    pub ticket: Option<String>,
    /// The resource.
    pub resource: Option<String>,
    /// Its role.
    pub role: Option<String>,
    /// `stop`, `demote`, `fence`, `freeze`.
    pub loss_policy: Option<String>,
    /// Sets instead of one resource.
    #[serde(default)]
    pub sets: Vec<ResourceSet>,
}
