//! All actions that were thought of, also those that are not needed or cannot be done.

use serde::{Deserialize, Serialize};

use crate::world::action::af;
use crate::world::{A, World, ar};

/// Actions with what each waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    /// The actions, newest first.
    pub actions: Vec<ConsideredAction>,
}

/// An action that was thought of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent fact about an action")]
pub struct ConsideredAction {
    /// What it is and where, in words.
    pub name: String,
    /// Its number among all actions, from 1 in the order they were thought of.
    pub number: u32,
    /// Only bookkeeping.
    pub pseudo: bool,
    /// It is in the transition graph.
    pub in_graph: bool,
    /// It is not needed.
    pub optional: bool,
    /// The resource it is of may be started and stopped.
    pub managed: bool,
    /// What it waits for.
    pub inputs: Vec<ConsideredInput>,
}

/// Something an action waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsideredInput {
    /// Index among [`Considered::actions`].
    pub action: usize,
    /// It is an input in the transition graph.
    pub in_graph: bool,
    /// It no longer means anything.
    pub void: bool,
    /// It means something only on the same node or the target of a migration.
    pub same_node_only: bool,
}

impl World<'_> {
    pub(super) fn considered(&self) -> Considered {
        let last = self.actions.len();
        let numbers = (0..last).rev().map(|i| A(u32::try_from(i).unwrap_or(u32::MAX)));
        let actions = numbers.map(|a| {
            let action = &self[a];
            let inputs = action.before.iter().map(|rel| ConsideredInput {
                action: last - 1 - rel.action.0 as usize,
                in_graph: rel.graphed,
                void: rel.flags == ar::NONE,
                same_node_only: rel.flags == ar::IF_ON_SAME_NODE_OR_TARGET,
            });
            ConsideredAction {
                name: self.readable(a),
                number: a.0.saturating_add(1),
                pseudo: action.is(af::PSEUDO),
                in_graph: action.is(af::ADDED),
                optional: action.is(af::OPTIONAL),
                managed: action.rsc.is_none_or(|r| self[r].managed),
                inputs: inputs.collect(),
            }
        });
        Considered { actions: actions.collect() }
    }

    /// An action in words.
    fn readable(&self, a: A) -> String {
        let action = &self[a];
        let host = action.node.map(|n| self[n].name.as_str());
        let host = host.or_else(|| (!action.is(af::PSEUDO)).then_some("<none>"));
        let prefix = if action.task == "cancel" { "Cancel " } else { "" };
        let at = |name: &str| match host {
            Some(h) => format!("{prefix}{name} {h}"),
            None => format!("{prefix}{name}"),
        };
        if let Some(known) = action.rsc.and_then(|r| self[r].history_id.as_deref()) {
            let of = |name: &str| action.meta(name).unwrap_or_default();
            if action.task == "notify" {
                let (kind, about) = (of("notify_key_type"), of("notify_key_operation"));
                return at(&format!("{known}_{kind}_notify_{about}_0"));
            }
            return at(&self.key_with(a, known));
        }
        match host {
            Some(h) if action.task == "stonith" => {
                let how = action.meta("stonith_action").unwrap_or_default();
                format!("stonith '{how}' {h}")
            }
            Some(_) if action.rsc.is_some() => at(&self.uuid(a)),
            Some(_) => at(&action.task),
            None => self.uuid(a),
        }
    }
}
