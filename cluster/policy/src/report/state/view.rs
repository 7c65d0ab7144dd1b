//! The present state out of what the first phase has read.

use std::collections::BTreeMap;

use haven_cib::{Cib, Resource as CibResource};

use super::{
    ClusterState, FailedOperation, Health, NodeFailures, NodeKind, NodeView, ReplicaView,
    ResourceFailures, ResourceKind, ResourceView, TicketView,
};
use crate::world::resource::Place;
use crate::world::{N, OpRef, R, Role, Variant, World, values};

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
