//! Rules: when a block of values counts, and where a location constraint holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::xml::Element;

/// A rule: conditions joined by `and` or `or`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id.
    pub id: String,
    /// Score where it holds (location constraints).
    pub score: Option<String>,
    /// Node attribute to take the score from.
    pub score_attribute: Option<String>,
    /// `and` (default) or `or`.
    pub boolean_op: Option<String>,
    /// Role it is about (location constraints).
    pub role: Option<String>,
    /// The conditions.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// One condition of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// A rule inside the rule.
    Rule(Rule),
    /// A node attribute.
    Attribute(AttributeTest),
    /// A date.
    Date(DateTest),
    /// The agent of a resource.
    Resource {
        /// Expression id.
        id: String,
        /// Agent class.
        class: Option<String>,
        /// Agent provider.
        provider: Option<String>,
        /// Agent type.
        kind: Option<String>,
    },
    /// An operation.
    Operation {
        /// Expression id.
        id: String,
        /// Operation name.
        name: Option<String>,
        /// Operation interval.
        interval: Option<String>,
    },
    /// Something unknown, as written; it never holds.
    Unknown(Element),
}

/// A test of a node attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeTest {
    /// Expression id.
    pub id: String,
    /// Attribute name.
    pub attribute: Option<String>,
    /// `eq`, `ne`, `lt`, `lte`, `gt`, `gte`, `defined`, `not_defined`.
    pub operation: Option<String>,
    /// What to compare with.
    pub value: Option<String>,
    /// `string`, `integer`, `number`, `version`.
    pub kind: Option<String>,
    /// `literal`, `param`, `meta`.
    pub value_source: Option<String>,
}

/// A test of the date.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateTest {
    /// Expression id.
    pub id: String,
    /// `gt`, `lt`, `in_range`, `date_spec`.
    pub operation: Option<String>,
    /// Begin of the range.
    pub start: Option<String>,
    /// End of the range.
    pub end: Option<String>,
    /// Length of the range: `hours`, `days`, `weeks`, `months`, `years`, …
    pub duration: Option<BTreeMap<String, String>>,
    /// Fields of the date with the values or ranges they must have.
    pub spec: Option<BTreeMap<String, String>>,
}
