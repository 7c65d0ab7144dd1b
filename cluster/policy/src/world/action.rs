//! Actions and how they relate.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{A, N, R};

/// How two actions relate.
pub(crate) mod ar {
    /// Related no more.
    pub(crate) const NONE: u32 = 0;
    /// In this order when both happen.
    pub(crate) const ORDERED: u32 = 1;
    /// Only if the first cannot be part of a live migration.
    pub(crate) const IF_FIRST_UNMIGRATABLE: u32 = 1 << 1;
    /// If then is required, so is first.
    pub(crate) const THEN_IMPLIES_FIRST: u32 = 1 << 4;
    /// If first is required, so is then.
    pub(crate) const FIRST_IMPLIES_THEN: u32 = 1 << 5;
    /// If then is required for a promoted instance, so is first.
    pub(crate) const PROMOTED_THEN_IMPLIES_FIRST: u32 = 1 << 6;
    /// First is runnable only if then is runnable and migratable.
    pub(crate) const UNMIGRATABLE_THEN_BLOCKS: u32 = 1 << 7;
    /// Then is runnable only if first is.
    pub(crate) const UNRUNNABLE_FIRST_BLOCKS: u32 = 1 << 8;
    /// If first is unrunnable, then becomes real.
    pub(crate) const FIRST_ELSE_THEN: u32 = 1 << 9;
    /// If first is required, so is then of the instance on the same node.
    pub(crate) const FIRST_IMPLIES_SAME_NODE_THEN: u32 = 1 << 10;
    /// For the probe of a connection inside a bundle.
    pub(crate) const NESTED_REMOTE_PROBE: u32 = 1 << 11;
    /// If first is blocked, so is then; a restart's stop and start.
    pub(crate) const INTERMEDIATE_STOP: u32 = 1 << 12;
    /// Never at once.
    pub(crate) const SERIALIZE: u32 = 1 << 14;
    /// Only on the same node.
    pub(crate) const IF_ON_SAME_NODE: u32 = 1 << 15;
    /// If then is required, first is in the graph.
    pub(crate) const THEN_IMPLIES_FIRST_GRAPHED: u32 = 1 << 16;
    /// If first is required and runnable, then is in the graph.
    pub(crate) const FIRST_IMPLIES_THEN_GRAPHED: u32 = 1 << 17;
    /// Configured without its reverse.
    pub(crate) const ASYMMETRIC: u32 = 1 << 20;
    /// Only on the same node, or the target of a migration.
    pub(crate) const IF_ON_SAME_NODE_OR_TARGET: u32 = 1 << 21;
    /// Then is runnable if enough firsts are.
    pub(crate) const MIN_RUNNABLE: u32 = 1 << 22;
    /// Only if first is required and on the same node.
    pub(crate) const IF_REQUIRED_ON_SAME_NODE: u32 = 1 << 23;
    /// Also if first runs on the guest that then makes.
    pub(crate) const GUEST_ALLOWED: u32 = 1 << 24;
    /// If then is required, first is optional.
    pub(crate) const THEN_CANCELS_FIRST: u32 = 1 << 25;
}

/// States of an action.
pub(crate) mod af {
    /// Only bookkeeping.
    pub(crate) const PSEUDO: u32 = 1;
    /// Nothing stands in its way.
    pub(crate) const RUNNABLE: u32 = 1 << 1;
    /// Not needed.
    pub(crate) const OPTIONAL: u32 = 1 << 2;
    /// In the graph even if optional.
    pub(crate) const ALWAYS: u32 = 1 << 3;
    /// Its own parameters have been read.
    pub(crate) const EVALUATED: u32 = 1 << 4;
    /// Part of a live migration.
    pub(crate) const MIGRATABLE: u32 = 1 << 7;
    /// Written into the graph.
    pub(crate) const ADDED: u32 = 1 << 8;
    /// Ends a migration that went wrong.
    pub(crate) const MIGRATION_ABORT: u32 = 1 << 11;
    /// A recurring operation to be run anew.
    pub(crate) const RESCHEDULE: u32 = 1 << 13;
    /// Being looked at.
    pub(crate) const DETECT_LOOP: u32 = 1 << 14;
    /// Its inputs are without duplicates.
    pub(crate) const DEDUPLICATED: u32 = 1 << 15;
    /// The coordinator may do it for the node.
    pub(crate) const ON_DC: u32 = 1 << 16;
}

/// What an action needs of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    Quorum,
    Fencing,
}

/// What a failure leads to, from harmless to hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OnFail {
    Ignore,
    Demote,
    Restart,
    ResetRemote,
    RestartContainer,
    Ban,
    Block,
    Stop,
    Standby,
    Fence,
}

/// What the configuration says of an operation.
#[derive(Debug, Clone)]
pub(crate) struct OpMeta {
    pub(crate) meta: Rc<BTreeMap<String, String>>,
    /// Index of its entry in the resource's operations.
    pub(crate) entry: Option<usize>,
}

/// A name, nearly always one known when the program was made.
pub(crate) type Name = Cow<'static, str>;

/// A relation as seen from one of its two actions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rel {
    pub(crate) action: A,
    pub(crate) flags: u32,
    /// The flags it was made with.
    pub(crate) made_with: u32,
    pub(crate) graphed: bool,
}

/// Something that may have to be done.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub(crate) rsc: Option<R>,
    pub(crate) node: Option<N>,
    pub(crate) task: Name,
    /// The name in its key, which of a cancellation is the cancelled one.
    pub(crate) key: Name,
    pub(crate) key_interval: u64,
    pub(crate) cancel_task: Option<Name>,
    pub(crate) reason: Option<String>,
    pub(crate) flags: u32,
    pub(crate) needs: Needs,
    pub(crate) entry: Option<usize>,
    pub(crate) meta: Rc<BTreeMap<String, String>>,
    pub(crate) extra: Option<Rc<BTreeMap<String, String>>>,
    pub(crate) priority: i32,
    pub(crate) required_before: i32,
    pub(crate) runnable_before: i32,
    /// What it waits for, oldest first.
    pub(crate) before: Vec<Rel>,
    /// What waits for it, oldest first.
    pub(crate) after: Vec<Rel>,
}

impl Action {
    pub(crate) fn is(&self, flag: u32) -> bool {
        self.flags & flag == flag
    }

    pub(crate) fn set(&mut self, flags: u32) {
        self.flags |= flags;
    }

    pub(crate) fn clear(&mut self, flags: u32) {
        self.flags &= !flags;
    }

    pub(crate) fn meta(&self, name: &str) -> Option<&str> {
        self.meta.get(name).map(String::as_str)
    }

    pub(crate) fn set_meta(&mut self, name: &str, value: impl Into<String>) {
        Rc::make_mut(&mut self.meta).insert(name.to_owned(), value.into());
    }

    /// Whether its interval is 0 or absent.
    pub(crate) fn is_once(&self) -> bool {
        matches!(self.meta("interval"), None | Some("0"))
    }

    pub(crate) fn is_recurring(&self) -> bool {
        self.meta("interval").and_then(|v| v.parse::<u64>().ok()).is_some_and(|v| v > 0)
    }

    pub(crate) fn set_reason(&mut self, reason: &str, overwrite: bool) {
        if self.reason.is_none() || overwrite {
            self.reason = Some(reason.to_owned());
        }
    }
}
