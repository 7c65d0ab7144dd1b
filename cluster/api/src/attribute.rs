//! Attributes of nodes: words that rules and agents read.

use serde::{Deserialize, Serialize};

/// How long an attribute of a node lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttributeLifetime {
    /// In the configuration, until somebody deletes it.
    #[default]
    Forever,
    /// In the status: it ends with the life of the node, not with a planned restart of its daemon.
    Reboot,
}

impl AttributeLifetime {
    /// The word that commands take and tables print.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Forever => "forever",
            Self::Reboot => "reboot",
        }
    }
}

/// One attribute of one node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttributeRow {
    /// Name of the node.
    pub node: String,
    /// Name of the attribute.
    pub name: String,
    /// The value in force; none while the first one is still being held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// How long it lives.
    pub lifetime: AttributeLifetime,
    /// The value it will have once its delay has passed without another change, on whichever node;
    /// an empty text where it will be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
    /// How long its changes are held back, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delay_ms: u64,
    /// Known to all nodes, never used for planning.
    #[serde(default, skip_serializing_if = "is_false")]
    pub private: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}
