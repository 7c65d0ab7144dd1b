//! What all phases work on: nodes, resources, actions and constraints in arenas, named by index.
//!
//! Nothing here decides anything. Lists that decide ties keep the order in which things were made;
//! whoever reads them says whether the oldest or the newest counts first.

pub(crate) mod action;
pub(crate) mod node;
pub(crate) mod resource;
pub(crate) mod table;
pub(crate) mod terms;
mod tree;
pub(crate) mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Index, IndexMut};
use std::rc::Rc;

use haven_cib::NvSet;
use haven_types::status::{OperationRecord, ResourceHistory, Status};

use crate::facts::AgentFacts;
pub(crate) use action::{Action, Rel, ar};
pub(crate) use node::Node;
pub(crate) use resource::{Bundle, Config, Replica, Resource, Role, Variant};
pub(crate) use table::{Cell, Probe, Table};
pub(crate) use terms::Why;

/// A resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct R(pub(crate) u32);
/// A node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct N(pub(crate) u32);
/// An action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct A(pub(crate) u32);

/// An operation in the status: node entry, resource entry, operation entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OpRef(pub(crate) usize, pub(crate) usize, pub(crate) usize);

/// What to do without quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QuorumPolicy {
    Ignore,
    Freeze,
    Stop,
    Demote,
    Fence,
}

/// How nodes are chosen among equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    Default,
    Utilization,
    Balanced,
    Minimal,
}

/// Cluster options, read.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent cluster option")]
pub(crate) struct Settings {
    pub(crate) quorate: bool,
    pub(crate) policy: QuorumPolicy,
    pub(crate) symmetric: bool,
    pub(crate) maintenance: bool,
    pub(crate) fencing: bool,
    pub(crate) have_fencing: bool,
    pub(crate) unfencing: bool,
    pub(crate) concurrent_fencing: bool,
    pub(crate) stop_removed: bool,
    pub(crate) cancel_removed: bool,
    pub(crate) stop_all: bool,
    pub(crate) start_failure_fatal: bool,
    pub(crate) startup_fencing: bool,
    pub(crate) shutdown_lock: bool,
    pub(crate) probes: bool,
    pub(crate) have_remotes: bool,
    pub(crate) fence_remote_without_quorum: bool,
    pub(crate) fence_action: String,
    pub(crate) priority_fencing_ms: u64,
    pub(crate) shutdown_lock_ms: u64,
    pub(crate) node_pending_ms: u64,
    pub(crate) strategy: Strategy,
    pub(crate) red: i32,
    pub(crate) yellow: i32,
    pub(crate) green: i32,
}

/// A location constraint, ready to be applied.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    pub(crate) rsc: R,
    pub(crate) role: Role,
    pub(crate) probe: Probe,
    /// Nodes with their scores, newest first.
    pub(crate) nodes: Vec<(N, i32)>,
}

/// A colocation between two resources.
#[derive(Debug, Clone)]
pub(crate) struct Colocation {
    pub(crate) dependent: R,
    pub(crate) primary: R,
    pub(crate) score: i32,
    pub(crate) dependent_role: Role,
    pub(crate) primary_role: Role,
    /// Node attribute that must agree; `None` is the node itself.
    pub(crate) attribute: Option<String>,
    pub(crate) influence: bool,
    pub(crate) explicit: bool,
}

/// One side of an ordering.
#[derive(Debug, Clone)]
pub(crate) enum Side {
    /// All actions of this name of the resource.
    Task(R, &'static str),
    /// All actions of this name of the resource, the name being configured.
    Named(R, String),
    /// This action.
    Action(A),
    /// This action, on behalf of this resource.
    ActionOf(R, A),
}

impl Side {
    pub(crate) fn action(&self) -> Option<A> {
        match self {
            Self::Task(..) | Self::Named(..) => None,
            Self::Action(a) | Self::ActionOf(_, a) => Some(*a),
        }
    }

    pub(crate) fn task(&self) -> Option<&str> {
        match self {
            Self::Task(_, t) => Some(t),
            Self::Named(_, t) => Some(t),
            Self::Action(_) | Self::ActionOf(..) => None,
        }
    }
}

/// An ordering between actions, not yet applied.
#[derive(Debug, Clone)]
pub(crate) struct Ordering {
    pub(crate) flags: u32,
    pub(crate) first: Side,
    pub(crate) then: Side,
}

/// A ticket and its dependents' rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticket {
    pub(crate) granted: bool,
    pub(crate) standby: bool,
}

/// A resource's dependence on a ticket.
#[derive(Debug, Clone)]
pub(crate) struct TicketRule {
    pub(crate) ticket: String,
    pub(crate) role: Role,
}

/// A failed operation, for reports.
#[derive(Debug, Clone)]
pub(crate) struct FailedOp {
    pub(crate) op: OpRef,
    pub(crate) node: N,
}

/// A parameter check that waits until all resources are assigned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ParamCheck {
    pub(crate) op: OpRef,
    pub(crate) rsc: R,
    pub(crate) node: N,
    pub(crate) last_failure: bool,
}

/// What is said of a primitive's lease. Rules do not count: whoever grants it could not tell what they say.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    /// It runs under one; false where `lease=off` takes it away.
    pub(crate) kept: bool,
    /// What `requires` says.
    pub(crate) requires: Option<String>,
}

/// Everything known and decided so far.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) status: &'a Status,
    pub(crate) facts: &'a AgentFacts,
    /// Primitives that run under a lease, or would without `lease=off`.
    pub(crate) leases: BTreeMap<String, Lease>,
    /// Seconds since 1970.
    pub(crate) now: i64,
    pub(crate) feature_set: Option<String>,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) set: Settings,
    pub(crate) rsc_defaults: Vec<NvSet>,
    pub(crate) op_defaults: Vec<NvSet>,
    pub(crate) nodes: Vec<Node>,
    /// Nodes by name, numbers in names compared as numbers.
    pub(crate) node_order: Vec<N>,
    pub(crate) node_names: BTreeMap<String, N>,
    pub(crate) node_ids: BTreeMap<String, N>,
    pub(crate) dc: Option<N>,
    pub(crate) rscs: Vec<Resource>,
    /// Resources without a parent, in the order of assignment.
    pub(crate) top: Vec<R>,
    pub(crate) rsc_ids: BTreeMap<String, Vec<R>>,
    pub(crate) rsc_history: BTreeMap<String, Vec<R>>,
    pub(crate) templates: BTreeMap<String, Vec<String>>,
    pub(crate) template_names: BTreeMap<String, usize>,
    pub(crate) tags: BTreeMap<String, Vec<String>>,
    pub(crate) tickets: BTreeMap<String, Ticket>,
    pub(crate) actions: Vec<Action>,
    /// Actions without a resource, by key.
    pub(crate) singletons: BTreeMap<String, A>,
    /// Meta attributes of operations that depend on nothing but the configuration, by the address of that; by 0 where
    /// it says nothing.
    pub(crate) op_meta: BTreeMap<(usize, String, u64), action::OpMeta>,
    /// All different ones of them, each once.
    pub(crate) op_metas: BTreeSet<Rc<BTreeMap<String, String>>>,
    pub(crate) locations: Vec<Location>,
    pub(crate) colocations: Vec<Colocation>,
    pub(crate) orderings: Vec<Ordering>,
    pub(crate) failed: Vec<FailedOp>,
    pub(crate) param_checks: Vec<ParamCheck>,
    pub(crate) stop_needed: Vec<R>,
    /// Whether private values in the configuration may have been made unreadable.
    pub(crate) sanitized: bool,
    /// Recurring operations to be run anew since their failure expired.
    pub(crate) reschedule: BTreeSet<OpRef>,
    pub(crate) recheck_by: i64,
    pub(crate) scores: Option<Vec<String>>,
    pub(crate) utilization: Option<Vec<String>>,
    pub(crate) warnings: Vec<String>,
    pub(crate) remarks: Vec<String>,
    /// What led to the decision, where somebody asks.
    pub(crate) terms: Option<Box<terms::Terms>>,
    pub(crate) spread: crate::place::spread::Spread,
    /// How deep the propagation of flags is nested, and what waits until it is not.
    pub(crate) depth: u32,
    pub(crate) deferred: Vec<A>,
}

impl Index<R> for World<'_> {
    type Output = Resource;
    fn index(&self, r: R) -> &Resource {
        &self.rscs[r.0 as usize]
    }
}
impl IndexMut<R> for World<'_> {
    fn index_mut(&mut self, r: R) -> &mut Resource {
        &mut self.rscs[r.0 as usize]
    }
}
impl Index<N> for World<'_> {
    type Output = Node;
    fn index(&self, n: N) -> &Node {
        &self.nodes[n.0 as usize]
    }
}
impl IndexMut<N> for World<'_> {
    fn index_mut(&mut self, n: N) -> &mut Node {
        &mut self.nodes[n.0 as usize]
    }
}
impl Index<A> for World<'_> {
    type Output = Action;
    fn index(&self, a: A) -> &Action {
        &self.actions[a.0 as usize]
    }
}
impl IndexMut<A> for World<'_> {
    fn index_mut(&mut self, a: A) -> &mut Action {
        &mut self.actions[a.0 as usize]
    }
}

impl<'a> World<'a> {
    /// The operation record behind a reference.
    pub(crate) fn op(&self, op: OpRef) -> &'a OperationRecord {
        &self.status.nodes[op.0].resources[op.1].operations[op.2]
    }

    /// The history entry an operation belongs to.
    pub(crate) fn history(&self, node: usize, rsc: usize) -> &'a ResourceHistory {
        &self.status.nodes[node].resources[rsc]
    }

    /// The node with this name; upper and lower case are the same.
    pub(crate) fn find_node(&self, name: &str) -> Option<N> {
        self.node_names.get(&name.to_ascii_lowercase()).copied()
    }

    /// The node with this id.
    pub(crate) fn find_node_id(&self, id: &str) -> Option<N> {
        self.node_ids.get(&id.to_ascii_lowercase()).copied()
    }

    /// The first resource known by this id, or by this id in the history. What only the history knows comes after all
    /// that is configured.
    pub(crate) fn find_rsc(&self, id: &str) -> Option<R> {
        let first = |list: Option<&Vec<R>>| list.and_then(|l| l.first().copied());
        let by_id = first(self.rsc_ids.get(id));
        let unconfigured = |r: &R| self[*r].removed && self[*r].parent.is_none();
        match by_id.filter(|r| !unconfigured(r)) {
            Some(r) => Some(r),
            None => first(self.rsc_history.get(id)).or(by_id),
        }
    }

    /// Remembers the earliest time at which the decision may change by itself.
    pub(crate) fn recheck(&mut self, at: i64) {
        if at > self.now && (self.recheck_by == 0 || self.recheck_by > at) {
            self.recheck_by = at;
        }
    }

    /// A cluster option as written, or its default.
    pub(crate) fn option<'b>(&'b self, name: &str, default: &'b str) -> &'b str {
        self.options.get(name).map_or(default, String::as_str)
    }

    pub(crate) fn warn(&mut self, text: String) {
        if self.warnings.len() < 1000 && !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }
}

/// Sorts as a merge sort whose second half is the longer one. The comparisons need not be a
/// total order: the result is the same for the same input, whatever they say.
pub(crate) fn merge_sort<T: Copy>(list: &mut Vec<T>, cmp: &mut dyn FnMut(T, T) -> i32) {
    if list.len() < 2 {
        return;
    }
    let mut right = list.split_off(list.len() / 2);
    merge_sort(list, cmp);
    merge_sort(&mut right, cmp);
    let mut out = Vec::with_capacity(list.len() + right.len());
    let (mut i, mut j) = (0, 0);
    while i < list.len() && j < right.len() {
        if cmp(list[i], right[j]) <= 0 {
            out.push(list[i]);
            i += 1;
        } else {
            out.push(right[j]);
            j += 1;
        }
    }
    out.extend_from_slice(&list[i..]);
    out.extend_from_slice(&right[j..]);
    *list = out;
}
