//! Phase 5: what is to be done becomes a transition graph.
//!
//! Only actions that are needed and possible enter it, with those of their relations that still
//! mean something.

mod attributes;
mod select;
pub mod xml;

use std::collections::BTreeMap;
use std::time::Duration;

use haven_types::graph::{self, ActionId, ActionKind, ActionNode, TransitionGraph};

use crate::order::Ordered;
use crate::world::action::{Rel, af};
use crate::world::{A, R, Variant, World};

/// The graph, and the world it was made from.
pub(crate) struct Graphed<'a> {
    pub(crate) world: World<'a>,
    pub(crate) graph: TransitionGraph,
}

/// Selects and writes down what is to be done.
pub(crate) fn graph<'a>(ordered: Ordered<'a>) -> Graphed<'a> {
    let mut builder = Builder { world: ordered.0, added: Vec::new() };
    for r in builder.world.top.clone() {
        builder.add_resource(r);
    }
    builder.add_maintenance();
    for i in (0..builder.world.actions.len()).rev() {
        builder.add(A(u32::try_from(i).unwrap_or(u32::MAX)));
    }
    builder.finish()
}

struct Builder<'a> {
    world: World<'a>,
    /// Actions in the order they were added, with their inputs.
    added: Vec<(A, Vec<A>)>,
}

impl<'a> Builder<'a> {
    fn add_resource(&mut self, r: R) {
        match self.world[r].variant {
            Variant::Bundle => {
                let Some(b) = self.world[r].bundle.clone() else { return };
                if let Some(c) = b.child {
                    self.add_resource(c);
                }
                for p in &b.replicas {
                    for part in [p.ip, p.container, p.remote].into_iter().flatten() {
                        self.add_resource(part);
                    }
                }
            }
            Variant::Clone => {
                for i in (0..self.world[r].actions.len()).rev() {
                    let a = self.world[r].actions[i];
                    self.world.settle_action(a);
                }
                self.world.create_notifications(r);
                for c in self.world[r].children.clone() {
                    self.add_resource(c);
                }
                self.add_own(r);
            }
            Variant::Primitive | Variant::Group => {
                self.add_own(r);
                for c in self.world[r].children.clone() {
                    self.add_resource(c);
                }
            }
        }
    }

    fn add_own(&mut self, r: R) {
        for i in (0..self.world[r].actions.len()).rev() {
            self.add(self.world[r].actions[i]);
        }
    }

    /// Remote nodes have to be told of their maintenance.
    fn add_maintenance(&mut self) {
        if !self.world.maintenance_changes().is_empty() {
            let a = self.world.pseudo("maintenance_nodes");
            self.world[a].set(af::ALWAYS);
        }
    }

    fn add(&mut self, a: A) {
        if !self.world[a].is(af::DEDUPLICATED) {
            deduplicate(&mut self.world[a].before);
            self.world[a].set(af::DEDUPLICATED);
        }
        if self.world[a].is(af::ADDED) || !self.world.is_wanted(a) {
            return;
        }
        self.world[a].set(af::ADDED);
        let mut inputs = Vec::new();
        for k in 0..self.world[a].before.len() {
            if self.world.is_input(a, k) {
                self.world[a].before[k].graphed = true;
                inputs.push(self.world[a].before[k].action);
            }
        }
        self.added.push((a, inputs));
    }

    fn finish(mut self) -> Graphed<'a> {
        // No more actions are made.
        self.world.op_meta.clear();
        self.world.op_metas.clear();
        let mut place = vec![None; self.world.actions.len()];
        for (i, (a, _)) in self.added.iter().enumerate() {
            place[a.0 as usize] = Some(ActionId(u32::try_from(i).unwrap_or(u32::MAX)));
        }
        let w = &self.world;
        let limit = w.option("migration-limit", "-1");
        let mut graph = TransitionGraph {
            cluster_delay: w.option("cluster-delay", "60s").to_owned(),
            fencing_timeout: w
                .options
                .get("fencing-timeout")
                .or_else(|| w.options.get("stonith-timeout"))
                .map_or("60s", String::as_str)
                .to_owned(),
            failed_stop_offset: Some("INFINITY".to_owned()),
            failed_start_offset: Some(
                if w.set.start_failure_fatal { "INFINITY" } else { "1" }.to_owned(),
            ),
            batch_limit: w.option("batch-limit", "0").to_owned(),
            migration_limit: (crate::world::values::int(limit).unwrap_or(0) > 0)
                .then(|| limit.to_owned()),
            recheck_by: (w.recheck_by > 0).then_some(w.recheck_by),
            actions: Vec::with_capacity(self.added.len()),
        };
        let added = std::mem::take(&mut self.added);
        for (i, (a, inputs)) in added.iter().enumerate() {
            let id = ActionId(u32::try_from(i).unwrap_or(u32::MAX));
            let inputs = inputs.iter().filter_map(|b| place[b.0 as usize]).collect();
            graph.actions.push(self.world.graph_action(*a, id, inputs));
        }
        graph.recheck_by = (self.world.recheck_by > 0).then_some(self.world.recheck_by);
        Graphed { world: self.world, graph }
    }
}

/// One relation for each action, in the order the actions were made.
fn deduplicate(list: &mut Vec<Rel>) {
    list.reverse();
    list.sort_by_key(|r| r.action);
    list.dedup_by(|next, kept| {
        let same = next.action == kept.action;
        if same {
            kept.flags |= next.flags;
        }
        same
    });
}

impl World<'_> {
    /// Remote nodes whose state does not say what their maintenance is.
    fn maintenance_changes(&self) -> Vec<(String, bool)> {
        let nodes = self.node_order.iter().map(|n| &self[*n]);
        nodes
            .filter(|n| n.is_remote_kind && n.maintenance != n.remote_maintenance)
            .map(|n| (n.id.clone(), n.maintenance))
            .collect()
    }

    fn graph_action(&mut self, a: A, id: ActionId, inputs: Vec<ActionId>) -> graph::Action {
        let kind = self.kind(a);
        let stays = kind != ActionKind::Pseudo || self[a].task == "stonith";
        let node = self[a].node.filter(|_| stays);
        let (params, meta) = self.attributes(a, node);
        let action = &self[a];
        let rsc_priority = action.rsc.map_or(0, |r| self[r].priority);
        let priority = rsc_priority.max(action.priority);
        let operated = action.rsc.filter(|_| !action.is(af::PSEUDO));
        let (operation_key, internal_operation_key) = self.keys(a);
        graph::Action {
            id,
            kind,
            operation: action.task.to_string(),
            operation_key,
            internal_operation_key,
            node: node.map(|n| ActionNode {
                uname: self[n].name.clone(),
                id: self[n].id.clone(),
                router: self.router(a).map(|r| self[r].name.clone()),
            }),
            resource: operated.map(|r| self.details(r)),
            params,
            timeout: meta.get("timeout").and_then(|v| v.parse().ok()).map(Duration::from_millis),
            meta,
            downed: node.map_or_else(Vec::new, |_| self.downed(a)),
            priority: priority.max(0),
            shutdown_lock: operated.filter(|_| self.locks_to_node(a)).map(|r| self[r].lock_time),
            inputs,
        }
    }

    fn kind(&self, a: A) -> ActionKind {
        let action = &self[a];
        let pseudo = action.is(af::PSEUDO);
        match action.task.as_ref() {
            "stonith" if pseudo => ActionKind::Pseudo,
            "stonith" | "do_shutdown" | "clear_failcount" | "lrm_delete" | "lease_ended" => {
                ActionKind::Cluster
            }
            _ if pseudo => ActionKind::Pseudo,
            _ => ActionKind::Resource,
        }
    }

    /// The key by which history knows the operation, and the full one where that is another.
    fn keys(&self, a: A) -> (String, Option<String>) {
        let full = self.uuid(a);
        let action = &self[a];
        let Some(known) = action.rsc.and_then(|r| self[r].history_id.as_deref()) else {
            return (full, None);
        };
        let key = self.key_with(a, known);
        (key, Some(full))
    }

    /// The key of an action of a resource that is known by this id.
    pub(crate) fn key_with(&self, a: A, known: &str) -> String {
        let action = &self[a];
        if action.task == "notify" {
            let of = |name: &str| action.meta(name).unwrap_or_default();
            return format!("{known}_{}_notify_{}_0", of("notify_type"), of("notify_operation"));
        }
        let task = action.cancel_task.as_ref().unwrap_or(&action.task);
        let interval: u64 = action.meta("interval").and_then(|v| v.parse().ok()).unwrap_or(0);
        format!("{known}_{task}_{interval}")
    }

    /// Ids of the nodes that are gone once the action has succeeded.
    fn downed(&self, a: A) -> Vec<String> {
        let action = &self[a];
        let Some(n) = action.node else { return Vec::new() };
        match action.task.as_ref() {
            "do_shutdown" => vec![self[n].id.clone()],
            "stonith" => {
                if !matches!(action.meta("stonith_action"), Some("off" | "poweroff" | "reboot")) {
                    return Vec::new();
                }
                let mut list = vec![self[n].id.clone()];
                for g in self.guests_on(n) {
                    list.push(self[g].id.clone());
                }
                list
            }
            "stop" => {
                let Some(r) = action.rsc.filter(|r| self[*r].is_remote_connection) else {
                    return Vec::new();
                };
                let migrates = action.before.iter().any(|x| {
                    let input = &self[x.action];
                    input.rsc == Some(r) && input.task == "migrate_from"
                });
                if migrates { Vec::new() } else { vec![self[r].id.clone()] }
            }
            _ => Vec::new(),
        }
    }
}

type Attributes = BTreeMap<String, String>;
