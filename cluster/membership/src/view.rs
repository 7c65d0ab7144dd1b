//! Views: which members can all reach each other.

use std::collections::BTreeSet;

use haven_types::NodeId;
use serde::{Deserialize, Serialize};

/// The members that act together, as this node sees it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct View {
    /// Counts the views this process has formed.
    pub number: u64,
    /// The largest set of members that all hear each other; the one with the coordinator where
    /// sizes tie. This node may be missing from it: then it is cut off from the others' view.
    pub members: BTreeSet<NodeId>,
}
