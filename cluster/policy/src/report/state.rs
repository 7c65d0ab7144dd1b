//! What the cluster is like now, as configuration and status say it: nodes, resources, failures.
//!
//! Nothing is decided for it; it is what the first phase has read, in words that can be shown.

use std::collections::BTreeMap;

use haven_cib::{Cib, Resource as CibResource};
use serde::{Deserialize, Serialize};

use crate::world::resource::Place;
use crate::world::{N, OpRef, R, Role, Variant, World, values};

/// The present state of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    /// Number of resource instances.
    pub instances: usize,
    /// How many of them are switched off by their target role.
    pub disabled: usize,
    /// How many of them are left alone because of a failure.
    pub blocked: usize,
    /// Nothing is managed (`maintenance-mode`).
    pub maintenance: bool,
    /// All nodes, by name; numbers in names are compared as numbers.
    pub nodes: Vec<NodeView>,
    /// Resources that are not part of another, by priority, then as configured, then removed ones.
    pub resources: Vec<ResourceView>,
    /// Failed operations, oldest first.
    pub failures: Vec<FailedOperation>,
    /// Fail counts of the nodes that are online, in the order of the status.
    pub fail_counts: Vec<NodeFailures>,
    /// Tickets that resources depend on.
    pub tickets: Vec<TicketView>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    /// A full member.
    Member,
    /// Reached through a connection resource.
    Remote,
    /// Launched by a resource: a guest, or the inside of a bundle.
    Guest,
}

/// A node's health, the worst of its `#health` attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Health {
    /// At least one is red.
    Red,
    /// At least one is yellow.
    Yellow,
    /// All are green, or there are none.
    Green,
}

/// A node as it is seen now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent fact about a node")]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// What it is.
    pub kind: NodeKind,
    /// It can be reached and takes part.
    pub online: bool,
    /// Its state is not known to be good; it is to be fenced.
    pub unclean: bool,
    /// It is about to join.
    pub pending: bool,
    /// It may run nothing.
    pub standby: bool,
    /// It may run nothing since an operation failed there (`on-fail=standby`).
    pub standby_by_failure: bool,
    /// What runs there is left alone.
    pub maintenance: bool,
    /// Its health.
    pub health: Health,
    /// Instances that run there, by id.
    pub running: Vec<String>,
    /// Its attributes, permanent and transient ones.
    pub attributes: BTreeMap<String, String>,
    /// What connectivity attributes are worth when everything answers: the attributes that `ping`
    /// resources active here set, with the number of hosts times the multiplier.
    pub connectivity: BTreeMap<String, i64>,
}

/// What a resource is composed of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceKind {
    /// One agent.
    Primitive,
    /// A list of primitives.
    Group,
    /// Many instances of a primitive or a group.
    Clone,
    /// Containers with what runs in them.
    Bundle,
}

/// A resource, or an instance of one, as it is seen now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent fact about a resource")]
pub struct ResourceView {
    /// Its id, with the instance number if it is cloned.
    pub id: String,
    /// Its id as configured.
    pub config_id: String,
    /// The id its history is kept under, where that differs from both.
    pub history_id: Option<String>,
    /// What it is composed of.
    pub kind: ResourceKind,
    /// `CLASS:PROVIDER:TYPE` of a primitive's agent.
    pub agent: Option<String>,
    /// What it does: `Stopped`, `Started`, `Unpromoted`, `Promoted`, `Unknown`.
    pub role: String,
    /// All of it is active.
    pub active: bool,
    /// Any part of it is active.
    pub partially_active: bool,
    /// Nodes it is active on.
    pub nodes: Vec<String>,
    /// The node it is taken to run on.
    pub node: Option<String>,
    /// The operation under way.
    pub pending_action: Option<String>,
    /// Where that is.
    pub pending_node: Option<String>,
    /// The node it is locked to while that is down.
    pub lock_node: Option<String>,
    /// `target-role` as configured.
    pub target_role: Option<String>,
    /// Its target role switches it off.
    pub disabled: bool,
    /// No longer configured.
    pub removed: bool,
    /// The cluster may start and stop it.
    pub managed: bool,
    /// It is left alone because of a failure.
    pub blocked: bool,
    /// It is left alone because maintenance was asked for.
    pub maintenance: bool,
    /// An operation of it has failed.
    pub failed: bool,
    /// A failure of it is ignored.
    pub failure_ignored: bool,
    /// Made by the cluster, not configured: the connection to a guest.
    pub implicit: bool,
    /// It runs only under a lease, which ends by itself when its node is lost.
    pub leased: bool,
    /// Its instances are told apart.
    pub unique: bool,
    /// It can be promoted: its instances, or, of an instance, the clone it belongs to says so.
    pub promotable: bool,
    /// The id under which a probe's verdict holds for all of what it belongs to.
    pub probed_as: String,
    /// Most instances of a clone.
    pub clone_max: i32,
    /// Nodes a clone may use, by name.
    pub candidates: Vec<String>,
    /// Image of a bundle's containers.
    pub image: Option<String>,
    /// Members of a group, instances of a clone.
    pub children: Vec<Self>,
    /// Containers of a bundle.
    pub replicas: Vec<ReplicaView>,
}

/// One container of a bundle with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaView {
    /// The address it is reached at.
    pub address: Option<String>,
    /// The instance inside.
    pub child: Option<ResourceView>,
    /// The address resource.
    pub ip: Option<ResourceView>,
    /// The container resource.
    pub container: Option<ResourceView>,
    /// The connection to the inside.
    pub remote: Option<ResourceView>,
}

/// A failed operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedOperation {
    /// `RESOURCE_OPERATION_INTERVALMS`.
    pub key: String,
    /// Name of the node.
    pub node: String,
    /// The node as the entry itself names it.
    pub on_node: Option<String>,
    /// What the agent returned (OCF code).
    pub rc: i32,
    /// How the execution ended.
    pub exec_status: i32,
    /// The executor's call number.
    pub call_id: i32,
    /// The agent's own words.
    pub exit_reason: Option<String>,
    /// Second (since 1970) of the last change of result.
    pub last_rc_change: Option<i64>,
    /// Queue time in milliseconds.
    pub queue_time_ms: Option<u64>,
    /// Execution time in milliseconds.
    pub exec_time_ms: Option<u64>,
    /// A probe whose failure only means that the resource cannot run there.
    pub masked_probe: bool,
}

/// Fail counts on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFailures {
    /// Name of the node.
    pub node: String,
    /// What has failed there, in the order of its history.
    pub resources: Vec<ResourceFailures>,
}

/// How often a resource has failed on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceFailures {
    /// Id in the history.
    pub resource: String,
    /// So many failures make it leave the node; 1,000,000 is never.
    pub migration_threshold: i32,
    /// How often it has failed; 1,000,000 is for good.
    pub count: i32,
    /// Second (since 1970) of the last failure.
    pub last: Option<i64>,
}

/// A ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketView {
    /// Its name.
    pub id: String,
    /// Granted to this site.
    pub granted: bool,
    /// Asked to stand by.
    pub standby: bool,
}

impl World<'_> {
    pub(crate) fn state(&mut self, cib: &Cib) -> ClusterState {
        let fail_counts = self.fail_counts();
        let order = self.node_order.clone();
        let nodes = order.into_iter().map(|n| self.node_view(n)).collect();
        let mut state = ClusterState {
            fail_counts,
            maintenance: self.set.maintenance,
            nodes,
            resources: self.top.iter().map(|r| self.view(*r, cib)).collect(),
            failures: self.failed.iter().map(|f| self.failure(f.op, f.node)).collect(),
            tickets: self
                .tickets
                .iter()
                .map(|(id, t)| TicketView {
                    id: id.clone(),
                    granted: t.granted,
                    standby: t.standby,
                })
                .collect(),
            ..ClusterState::default()
        };
        for r in &self.top {
            self.count(*r, &mut state);
        }
        state
    }

    fn fail_counts(&mut self) -> Vec<NodeFailures> {
        let status = self.status;
        let mut list = Vec::new();
        for state in &status.nodes {
            let Some(n) = self.find_node_id(&state.id).filter(|n| self[*n].online) else {
                continue;
            };
            let mut resources = Vec::new();
            for entry in &state.resources {
                let Some(r) = self.find_rsc(&entry.id) else { continue };
                let (count, last) = self.fail_count(n, r, false, false, None);
                if count > 0 {
                    resources.push(ResourceFailures {
                        resource: entry.id.clone(),
                        migration_threshold: self[r].migration_threshold,
                        count,
                        last: (last > 0).then_some(last),
                    });
                }
            }
            list.push(NodeFailures { node: self[n].name.clone(), resources });
        }
        list
    }

    fn node_view(&mut self, n: N) -> NodeView {
        let connectivity = self.connectivity(n);
        let node = &self[n];
        let kind = if self.is_guest(n) {
            NodeKind::Guest
        } else if self.is_remote(n) {
            NodeKind::Remote
        } else {
            NodeKind::Member
        };
        NodeView {
            name: node.name.clone(),
            id: node.id.clone(),
            kind,
            online: node.online,
            unclean: node.unclean,
            pending: node.pending,
            standby: node.standby,
            standby_by_failure: node.fail_standby,
            maintenance: node.maintenance,
            health: self.health(n),
            running: node.running.iter().map(|r| self[*r].id.clone()).collect(),
            attributes: node.attrs.clone(),
            connectivity,
        }
    }

    fn connectivity(&mut self, n: N) -> BTreeMap<String, i64> {
        let mut map = BTreeMap::new();
        for r in self[n].running.clone() {
            let kind = self[r].config.kind.as_deref().unwrap_or_default();
            if !kind.eq_ignore_ascii_case("ping") && !kind.eq_ignore_ascii_case("pingd") {
                continue;
            }
            let params = self.params(r, Some(n));
            let name = params.get("name").map_or("pingd", String::as_str);
            let hosts = params.get("host_list").map_or(0, |l| l.split(' ').count());
            let multiplier = params.get("multiplier").and_then(|m| values::int(m)).unwrap_or(1);
            let worth = i64::try_from(hosts).unwrap_or(i64::MAX).saturating_mul(multiplier);
            map.entry(name.to_owned()).or_insert(worth);
        }
        map
    }

    fn health(&self, n: N) -> Health {
        let mut health = Health::Green;
        if matches!(self.option("node-health-strategy", "none"), "none") {
            return health;
        }
        for (_, value) in self[n].attrs.iter().filter(|(k, _)| k.starts_with("#health")) {
            if value.eq_ignore_ascii_case("red") {
                return Health::Red;
            }
            if value.eq_ignore_ascii_case("yellow") {
                health = Health::Yellow;
                continue;
            }
            let Some(score) = self.score(value) else { continue };
            if score <= self.set.red {
                return Health::Red;
            }
            if score <= self.set.yellow && self.set.yellow != self.set.green {
                health = Health::Yellow;
            }
        }
        health
    }

    fn count(&self, r: R, state: &mut ClusterState) {
        let rsc = &self[r];
        if let Some(b) = &rsc.bundle {
            for p in &b.replicas {
                for part in [p.ip, p.child, p.container, p.remote].into_iter().flatten() {
                    self.count(part, state);
                }
            }
        } else if rsc.children.is_empty() {
            if !rsc.removed || rsc.role > Role::Stopped {
                state.instances += 1;
                state.disabled += usize::from(self.is_disabled(r));
                state.blocked += usize::from(rsc.blocked);
            }
        } else {
            for c in &rsc.children {
                self.count(*c, state);
            }
        }
    }

    fn is_disabled(&self, r: R) -> bool {
        match self[r].meta("target-role").map(Role::parse) {
            Some(Role::Stopped) => true,
            Some(Role::Unpromoted) => self[self.top_of(r)].promotable,
            _ => false,
        }
    }

    fn view(&self, r: R, cib: &Cib) -> ResourceView {
        let rsc = &self[r];
        let name = |n: N| self[n].name.clone();
        let role = self.role_of(r, true);
        let promotable = self[self.top_of(r)].promotable;
        let role = if role == Role::Started && promotable { Role::Unpromoted } else { role };
        let sub = |part: Option<R>| part.map(|p| self.view(p, cib));
        let replicas = rsc.bundle.iter().flat_map(|b| &b.replicas).map(|p| ReplicaView {
            address: p.address.clone(),
            child: sub(p.child),
            ip: sub(p.ip),
            container: sub(p.container),
            remote: sub(p.remote),
        });
        let children = if rsc.bundle.is_some() { &[][..] } else { &rsc.children[..] };
        ResourceView {
            id: rsc.id.clone(),
            config_id: rsc.config.id.clone(),
            history_id: rsc.history_id.clone(),
            kind: match rsc.variant {
                Variant::Primitive => ResourceKind::Primitive,
                Variant::Group => ResourceKind::Group,
                Variant::Clone => ResourceKind::Clone,
                Variant::Bundle => ResourceKind::Bundle,
            },
            agent: self.is_primitive(r).then(|| self.agent(r)),
            role: role.text().to_owned(),
            active: self.is_active(r, true),
            partially_active: self.is_active(r, false),
            nodes: self.nodes_shown(r).into_iter().map(name).collect(),
            node: self.current(r).map(name),
            pending_action: rsc.pending_action.clone(),
            pending_node: rsc.pending_node.map(name),
            lock_node: rsc.lock_node.map(name),
            target_role: rsc.meta("target-role").map(str::to_owned),
            disabled: self.is_disabled(r),
            removed: rsc.removed,
            managed: rsc.managed,
            blocked: rsc.blocked,
            maintenance: rsc.maintenance,
            failed: rsc.failed,
            failure_ignored: rsc.ignore_failure,
            implicit: values::is_true(rsc.meta("internal_rsc")),
            leased: rsc.needs_lease,
            unique: rsc.unique,
            promotable,
            probed_as: self.probed_as(r),
            clone_max: rsc.clone_max,
            candidates: self.candidates(r).into_iter().map(name).collect(),
            image: image(&rsc.id, cib),
            children: children.iter().map(|c| self.view(*c, cib)).collect(),
            replicas: replicas.collect(),
        }
    }

    fn probed_as(&self, r: R) -> String {
        let top = self.top_of(r);
        let named = self[top].children.first().filter(|_| self.is_clone(top)).copied();
        named.map_or_else(|| self[r].id.clone(), |c| self[c].config.id.clone())
    }

    /// Of a group, where its members are; of all others, where it is known to be active itself.
    fn nodes_shown(&self, r: R) -> Vec<N> {
        if self.is_group(r) { self.nodes_of(r, Place::Current) } else { self[r].active.clone() }
    }

    fn candidates(&self, r: R) -> Vec<N> {
        if !self.is_clone(r) {
            return Vec::new();
        }
        let mut list = self[r].allowed.nodes();
        if list.is_empty() {
            list = self[r].probed.iter().copied().collect();
        }
        list.sort_by(|a, b| values::compare_names(&self[*a].name, &self[*b].name));
        list
    }

    fn agent(&self, r: R) -> String {
        let c = &self[r].config;
        let class = c.class.as_deref().unwrap_or("unknown");
        let kind = c.kind.as_deref().unwrap_or("unknown");
        match c.provider.as_deref().filter(|_| class.eq_ignore_ascii_case("ocf")) {
            Some(p) => format!("{class}:{p}:{kind}"),
            None => format!("{class}:{kind}"),
        }
    }

    fn failure(&self, op: OpRef, n: N) -> FailedOperation {
        let record = self.op(op);
        FailedOperation {
            key: self.history_key(op).to_owned(),
            node: self[n].name.clone(),
            on_node: record.on_node.clone(),
            rc: record.rc,
            exec_status: record.exec_status,
            call_id: record.call_id,
            exit_reason: record.exit_reason.clone(),
            last_rc_change: record.last_rc_change,
            queue_time_ms: record.queue_time_ms,
            exec_time_ms: record.exec_time_ms,
            masked_probe: self.masks_probe(op),
        }
    }
}

fn image(id: &str, cib: &Cib) -> Option<String> {
    cib.resources.iter().find_map(|r| match r {
        CibResource::Bundle(b) if b.id == id => b.container_options.get("image").cloned(),
        CibResource::Bundle(_)
        | CibResource::Primitive(_)
        | CibResource::Group(_)
        | CibResource::Clone(_) => None,
    })
}
