//! Resources.

use std::collections::BTreeMap;
use std::rc::Rc;

use haven_cib::NvSet;

use super::{A, N, R, Table, TicketRule, World};
use crate::rules::nvpair::Rules;

/// What a resource is, ordered from simple to composed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Variant {
    Primitive,
    Group,
    Clone,
    Bundle,
}

/// What an instance does, in ascending order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    #[default]
    Unknown,
    Stopped,
    Started,
    Unpromoted,
    Promoted,
}

impl Role {
    pub(crate) fn parse(text: &str) -> Self {
        let is = |w: &str| text.eq_ignore_ascii_case(w);
        if is("Stopped") {
            Self::Stopped
        } else if is("Started") {
            Self::Started
        } else if is("Unpromoted") || is("Slave") {
            Self::Unpromoted
        } else if is("Promoted") || is("Master") {
            Self::Promoted
        } else {
            Self::Unknown
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Stopped => "Stopped",
            Self::Started => "Started",
            Self::Unpromoted => "Unpromoted",
            Self::Promoted => "Promoted",
        }
    }
}

/// What to do with a resource that is active more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MultiplyActive {
    Restart,
    Stop,
    Block,
    Unexpected,
}

/// A configured operation, read.
#[derive(Debug, Clone)]
pub(crate) struct OpConfig {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) interval_ms: u64,
    /// All attributes as written, `interval` and `name` included, `id` not.
    pub(crate) attrs: Vec<(String, String)>,
    pub(crate) meta: Vec<NvSet>,
    pub(crate) params: Vec<NvSet>,
}

impl OpConfig {
    pub(crate) fn attr(&self, name: &str) -> Option<&str> {
        self.attrs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// False only where `enabled` says so.
    pub(crate) fn enabled(&self) -> bool {
        self.attr("enabled").and_then(super::values::boolean) != Some(false)
    }
}

/// What the configuration says of a resource; shared by the instances of a clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) id: String,
    pub(crate) class: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) meta: Vec<NvSet>,
    pub(crate) params: Vec<NvSet>,
    pub(crate) ops: Vec<OpConfig>,
    pub(crate) utilization: Vec<NvSet>,
}

/// One container of a bundle with what belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    pub(crate) offset: u32,
    pub(crate) address: Option<String>,
    pub(crate) child: Option<R>,
    pub(crate) ip: Option<R>,
    pub(crate) container: Option<R>,
    pub(crate) remote: Option<R>,
    pub(crate) node: Option<N>,
}

/// What a bundle has besides being a resource.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bundle {
    pub(crate) replicas: Vec<Replica>,
    pub(crate) count: i32,
    pub(crate) per_host: i32,
    pub(crate) child: Option<R>,
}

/// The notifications around one kind of action of a clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notify {
    pub(crate) task: &'static str,
    pub(crate) pre: Option<A>,
    pub(crate) pre_done: Option<A>,
    pub(crate) post: Option<A>,
    pub(crate) post_done: Option<A>,
}

/// A resource or an instance of one.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent fact about a resource")]
pub(crate) struct Resource {
    pub(crate) id: String,
    pub(crate) config: Rc<Config>,
    pub(crate) variant: Variant,
    pub(crate) parent: Option<R>,
    pub(crate) children: Vec<R>,
    pub(crate) history_id: Option<String>,
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) utilization: BTreeMap<String, i64>,
    pub(crate) priority: i32,
    pub(crate) promotion_priority: i32,
    pub(crate) role: Role,
    pub(crate) next_role: Role,
    pub(crate) stickiness: i32,
    pub(crate) failure_timeout_ms: u64,
    pub(crate) migration_threshold: i32,
    pub(crate) reconnect_ms: u64,
    pub(crate) pending_action: Option<String>,
    pub(crate) pending_node: Option<N>,
    pub(crate) lock_node: Option<N>,
    pub(crate) lock_time: i64,
    pub(crate) multiply_active: MultiplyActive,
    pub(crate) launcher: Option<R>,
    pub(crate) launched: Vec<R>,
    pub(crate) assigned: Option<N>,
    /// The score it was assigned with.
    pub(crate) assigned_score: i32,
    pub(crate) active: Vec<N>,
    pub(crate) probed: std::collections::BTreeSet<N>,
    pub(crate) allowed: Table,
    pub(crate) migration_source: Option<N>,
    pub(crate) migration_target: Option<N>,
    /// Newest first.
    pub(crate) dangling_migrations: Vec<N>,
    /// Colocations in which others follow this one, most important first.
    pub(crate) with_this: Vec<usize>,
    /// Colocations in which this one follows others, most important first.
    pub(crate) this_with: Vec<usize>,
    /// Location constraints, oldest first.
    pub(crate) locations: Vec<usize>,
    pub(crate) tickets: Vec<TicketRule>,
    /// Actions, oldest first.
    pub(crate) actions: Vec<A>,
    pub(crate) params: Option<Rc<BTreeMap<String, String>>>,
    pub(crate) params_on: BTreeMap<N, Rc<BTreeMap<String, String>>>,
    pub(crate) params_have_rules: bool,
    pub(crate) digests: BTreeMap<(N, String, u64), crate::unpack::digest::Digest>,
    // clones
    pub(crate) clone_max: i32,
    pub(crate) clone_node_max: i32,
    pub(crate) promoted_max: i32,
    pub(crate) promoted_node_max: i32,
    pub(crate) clone_total: i32,
    pub(crate) clone_child: Option<Rc<CloneChild>>,
    pub(crate) notify_start: Option<Notify>,
    pub(crate) notify_stop: Option<Notify>,
    pub(crate) notify_promote: Option<Notify>,
    pub(crate) notify_demote: Option<Notify>,
    pub(crate) bundle: Option<Box<Bundle>>,
    // flags
    pub(crate) removed: bool,
    pub(crate) managed: bool,
    pub(crate) blocked: bool,
    pub(crate) removed_launched: bool,
    pub(crate) notify: bool,
    pub(crate) unique: bool,
    pub(crate) fence_device: bool,
    pub(crate) promotable: bool,
    pub(crate) unassigned: bool,
    pub(crate) assigning: bool,
    pub(crate) updating: bool,
    pub(crate) restarting: bool,
    pub(crate) stop_if_failed: bool,
    pub(crate) reload: bool,
    pub(crate) nesting_allowed: bool,
    pub(crate) critical: bool,
    pub(crate) failed: bool,
    pub(crate) is_remote_connection: bool,
    pub(crate) start_pending: bool,
    pub(crate) exclusive_probes: bool,
    pub(crate) stop_unexpected: bool,
    pub(crate) migratable: bool,
    pub(crate) ignore_failure: bool,
    pub(crate) replica_container: bool,
    pub(crate) maintenance: bool,
    pub(crate) needs_quorum: bool,
    pub(crate) needs_fencing: bool,
    pub(crate) needs_unfencing: bool,
    /// Runs only under a lease; a lost node's lease end stands in for its fencing.
    pub(crate) needs_lease: bool,
    pub(crate) group_ordered: bool,
    pub(crate) group_colocated: bool,
    pub(crate) clone_ordered: bool,
    pub(crate) promotion_added: bool,
    pub(crate) promotion_constrained: bool,
}

/// What is cloned.
#[derive(Debug, Clone)]
pub(crate) enum CloneChild {
    Primitive(Rc<Config>),
    Group(Rc<Config>, Vec<Rc<Config>>),
}

impl Resource {
    pub(crate) fn meta(&self, name: &str) -> Option<&str> {
        self.meta.get(name).map(String::as_str)
    }
}

impl World<'_> {
    pub(crate) fn is_primitive(&self, r: R) -> bool {
        self[r].variant == Variant::Primitive
    }
    pub(crate) fn is_group(&self, r: R) -> bool {
        self[r].variant == Variant::Group
    }
    pub(crate) fn is_clone(&self, r: R) -> bool {
        self[r].variant == Variant::Clone
    }
    pub(crate) fn is_bundle(&self, r: R) -> bool {
        self[r].variant == Variant::Bundle
    }
    pub(crate) fn is_anonymous_clone(&self, r: R) -> bool {
        self.is_clone(r) && !self[r].unique
    }
    pub(crate) fn is_unique_clone(&self, r: R) -> bool {
        self.is_clone(r) && self[r].unique
    }

    /// The outermost resource around this one, bundles excluded.
    pub(crate) fn top_of(&self, r: R) -> R {
        let mut top = r;
        while let Some(p) = self[top].parent {
            if self.is_bundle(p) {
                break;
            }
            top = p;
        }
        top
    }

    /// The outermost resource around this one, bundles included.
    pub(crate) fn top_bundle(&self, r: R) -> R {
        let mut top = r;
        while let Some(p) = self[top].parent {
            top = p;
        }
        top
    }

    /// Part of a bundle.
    pub(crate) fn is_bundled(&self, r: R) -> bool {
        !self.is_bundle(r) && self.is_bundle(self.top_bundle(r))
    }

    /// The resource inside the bundle around (or at) this one.
    pub(crate) fn bundled_resource(&self, r: R) -> Option<R> {
        self[self.top_bundle(r)].bundle.as_ref().and_then(|b| b.child)
    }

    /// What runs in a bundle's container, if `r` is one.
    pub(crate) fn in_container(&self, r: R) -> Option<R> {
        let bundle = self[self.top_bundle(r)].bundle.as_ref()?;
        bundle.replicas.iter().find(|p| p.container == Some(r)).and_then(|p| p.child)
    }

    pub(crate) fn containers(&self, bundle: R) -> Vec<R> {
        let b = self[bundle].bundle.as_ref();
        b.map_or_else(Vec::new, |b| b.replicas.iter().filter_map(|p| p.container).collect())
    }

    /// Whether `r` is inside `ancestor`.
    pub(crate) fn is_inside(&self, r: R, ancestor: R) -> bool {
        let mut at = r;
        while let Some(p) = self[at].parent {
            if p == ancestor {
                return true;
            }
            at = p;
        }
        false
    }

    /// The current or next role; of a composed resource the highest of its parts.
    pub(crate) fn role_of(&self, r: R, current: bool) -> Role {
        match self[r].variant {
            Variant::Primitive => {
                if current {
                    self[r].role
                } else {
                    self[r].next_role
                }
            }
            Variant::Group | Variant::Clone => self[r]
                .children
                .iter()
                .map(|c| self.role_of(*c, current))
                .max()
                .unwrap_or(Role::Unknown),
            Variant::Bundle => Role::Unknown,
        }
    }

    /// Whether it is active: all of it, or any of it.
    pub(crate) fn is_active(&self, r: R, all: bool) -> bool {
        match self[r].variant {
            Variant::Primitive => self[r]
                .active
                .iter()
                .any(|n| self[*n].unclean || self[*n].online || !self[r].managed),
            Variant::Group => {
                let mut states = self[r].children.iter().map(|c| self.is_active(*c, all));
                if all { states.all(|a| a) } else { states.any(|a| a) }
            }
            Variant::Clone => {
                let mut states = self[r].children.iter().map(|c| self.is_active(*c, all));
                if all { states.all(|a| a) } else { states.any(|a| a) }
            }
            Variant::Bundle => self.bundle_active(r, all),
        }
    }

    fn bundle_active(&self, r: R, all: bool) -> bool {
        let Some(b) = &self[r].bundle else { return all };
        for p in &b.replicas {
            for part in [p.ip, p.child, p.container, p.remote].into_iter().flatten() {
                let active = self.is_active(part, all);
                if active != all {
                    return active;
                }
            }
        }
        all
    }

    /// Nodes of all its parts, each once.
    pub(crate) fn nodes_of(&self, r: R, place: Place) -> Vec<N> {
        let mut list = Vec::new();
        self.collect_nodes(r, place, &mut list);
        list
    }

    fn collect_nodes(&self, r: R, place: Place, list: &mut Vec<N>) {
        let mut add = |n: N| {
            if !list.contains(&n) {
                list.push(n);
            }
        };
        let rsc = &self[r];
        if rsc.children.is_empty() {
            match place {
                Place::Current => rsc.active.iter().for_each(|n| add(*n)),
                Place::CurrentOrPending => {
                    rsc.active.iter().for_each(|n| add(*n));
                    rsc.pending_node.into_iter().for_each(add);
                }
                Place::Assigned => rsc.assigned.into_iter().for_each(add),
            }
        } else {
            for c in &rsc.children {
                self.collect_nodes(*c, place, list);
            }
        }
    }

    /// The node of all its parts, if it is one.
    pub(crate) fn node_of(&self, r: R, place: Place) -> Option<N> {
        match self.nodes_of(r, place)[..] {
            [n] => Some(n),
            _ => None,
        }
    }

    /// The node it is taken to run on now, with the numbers of nodes and of clean nodes.
    pub(crate) fn active_node(&self, r: R) -> (Option<N>, usize, usize) {
        let nodes = if self.is_bundle(r) {
            let mut nodes = Vec::new();
            for c in self.containers(r) {
                for n in &self[c].active {
                    if !nodes.contains(n) {
                        nodes.push(*n);
                    }
                }
            }
            nodes
        } else {
            self[r].active.clone()
        };
        let (mut active, mut clean): (Option<N>, usize) = (None, 0);
        for n in &nodes {
            let happy = self[*n].online && !self[*n].unclean;
            clean += usize::from(happy);
            if self[r].migration_source.is_some() {
                if self[r].migration_source == Some(*n) {
                    active = Some(*n);
                }
            } else if !self[r].needs_fencing
                && happy
                && active.is_none_or(|a| !self[a].online || self[a].unclean)
            {
                active = Some(*n);
            }
            active = active.or(Some(*n));
        }
        (active, nodes.len(), clean)
    }

    /// The node it is taken to run on now.
    pub(crate) fn current(&self, r: R) -> Option<N> {
        if self[r].active.is_empty() && !self.is_bundle(r) {
            return None;
        }
        self.active_node(r).0
    }

    /// Most instances on one node.
    pub(crate) fn max_per_node(&self, r: R) -> i32 {
        match self[r].variant {
            Variant::Primitive | Variant::Group => 1,
            Variant::Clone => self[r].clone_node_max,
            Variant::Bundle => self[r].bundle.as_ref().map_or(1, |b| b.per_host),
        }
    }

    /// Whether any part of it is (or, with `any` false, all parts are) as asked.
    pub(crate) fn recursive(&self, r: R, any: bool, ask: &dyn Fn(&Resource) -> bool) -> bool {
        if ask(&self[r]) {
            if any {
                return true;
            }
        } else if !any {
            return false;
        }
        let mut parts = self[r].children.iter().map(|c| self.recursive(*c, any, ask));
        if any { parts.any(|p| p) } else { parts.all(|p| p) }
    }

    /// Instance parameters as they are on a node.
    pub(crate) fn params(&mut self, r: R, node: Option<N>) -> Rc<BTreeMap<String, String>> {
        let node = node.filter(|_| self[r].params_have_rules);
        let cached = match node {
            None => self[r].params.clone(),
            Some(n) => self[r].params_on.get(&n).cloned(),
        };
        if let Some(p) = cached {
            return p;
        }
        let mut map = BTreeMap::new();
        let mut at = Some(r);
        while let Some(i) = at {
            let config = Rc::clone(&self[i].config);
            let attrs = node.map(|n| &self.nodes[n.0 as usize].attrs);
            let input = Rules { now: self.now, node_attrs: attrs, ..Rules::default() };
            let next = crate::rules::nvpair::unpack(&config.params, None, &input, &mut map);
            if let Some(t) = next {
                self.recheck(t);
            }
            at = self[i].parent;
        }
        let map = Rc::new(map);
        match node {
            None => self[r].params = Some(Rc::clone(&map)),
            Some(n) => {
                self[r].params_on.insert(n, Rc::clone(&map));
            }
        }
        map
    }

    pub(crate) fn set_next_role(&mut self, r: R, role: Role) {
        self[r].next_role = role;
    }
}

/// Which of a resource's nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Current,
    CurrentOrPending,
    Assigned,
}
