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
    /// How often its assignment, a bundle's, is under way inside itself.
    pub(crate) nested: u8,
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
