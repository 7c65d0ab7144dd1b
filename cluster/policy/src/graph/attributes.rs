//! What an action in the graph carries along.

use haven_types::graph::ActionResource;

use super::Attributes;
use crate::world::{A, N, R, Variant, World};

impl World<'_> {
    /// Instance parameters and meta attributes, names as in the graph, with the node that is told.
    pub(super) fn attributes(&mut self, a: A, told: Option<N>) -> (Attributes, Attributes) {
        let mut params = self[a].extra.as_deref().cloned().unwrap_or_default();
        let (rsc, node) = (self[a].rsc, self[a].node);
        if self[a].task == "maintenance_nodes" {
            let changes = self.maintenance_changes();
            params.extend(changes.into_iter().map(|(n, on)| (n, i32::from(on).to_string())));
        }
        if let Some(r) = rsc
            && (node.is_some() || self.is_primitive(r))
        {
            for (k, v) in self.params(r, node).iter() {
                if !params.contains_key(k) {
                    params.insert(k.clone(), v.clone());
                }
            }
            if params.get("addr").is_some_and(|v| v == "#uname")
                && let Some(name) = self.bundle_remote_name(r)
            {
                params.insert("addr".to_owned(), name);
            }
        }
        let mut meta = Attributes::new();
        for (k, v) in self[a].meta.iter() {
            if !k.contains(['#', ':']) {
                meta.entry(k.replace('-', "_")).or_insert_with(|| v.clone());
            }
        }
        if let Some(n) = told {
            meta.insert("on_node".to_owned(), self[n].name.clone());
            meta.insert("on_node_uuid".to_owned(), self[n].id.clone());
        }
        let mut at = rsc;
        while let Some(r) = at {
            self.graph_meta(r, &mut params, &mut meta);
            at = self[r].parent;
        }
        if rsc.is_some() {
            self.guest_meta(a, &mut meta);
        }
        (params, meta)
    }

    fn graph_meta(&self, r: R, params: &mut Attributes, meta: &mut Attributes) {
        let rsc = &self[r];
        match rsc.variant {
            Variant::Primitive => {
                for name in ["clone", "remote-node"] {
                    if let Some(v) = rsc.meta(name) {
                        meta.insert(name.replace('-', "_"), v.to_owned());
                    }
                }
                let mut at = Some(r);
                while let Some(p) = at {
                    if let Some(l) = self[p].launcher {
                        meta.insert("container".to_owned(), self[l].id.clone());
                    }
                    at = self[p].parent;
                }
                if let Some(v) = rsc.meta("external-ip") {
                    params.insert("pcmk_external_ip".to_owned(), v.to_owned());
                }
            }
            Variant::Clone => {
                let mut set = |name: &str, value: String| {
                    meta.insert(name.to_owned(), value);
                };
                set("globally_unique", rsc.unique.to_string());
                set("notify", rsc.notify.to_string());
                set("clone_max", rsc.clone_max.to_string());
                set("clone_node_max", rsc.clone_node_max.to_string());
                if rsc.promotable {
                    set("promoted_max", rsc.promoted_max.to_string());
                    set("promoted_node_max", rsc.promoted_node_max.to_string());
                    set("master_max", rsc.promoted_max.to_string());
                    set("master_node_max", rsc.promoted_node_max.to_string());
                }
            }
            Variant::Group | Variant::Bundle => {}
        }
    }

    /// What concerns the host of the guest the action is on.
    fn guest_meta(&self, a: A, meta: &mut Attributes) {
        let Some(n) = self[a].node.filter(|n| self.is_guest(*n)) else { return };
        let Some(launcher) = self.launcher_of(n) else { return };
        let mut task = self[a].task.as_ref();
        if task == "notify" || task == "notified" {
            task = self[a].meta("notify_operation").unwrap_or_default();
        }
        let host = match task {
            "stop" | "stopped" | "demote" | "demoted" => self.current(launcher),
            "start" | "running" | "monitor" | "promote" | "promoted" => self[launcher].assigned,
            _ => None,
        };
        let (Some(host), Some(r)) = (host, self[a].rsc) else { return };
        let target = self[r].meta("container-attribute-target");
        for (name, value) in [
            ("container_attribute_target", target),
            ("physical_host", Some(self[host].name.as_str())),
        ] {
            if let Some(v) = value
                && !meta.contains_key(name)
            {
                meta.insert(name.to_owned(), v.to_owned());
            }
        }
    }

    /// Which agent, and under which id.
    pub(super) fn details(&self, r: R) -> ActionResource {
        let rsc = &self[r];
        let (id, long_id) = match &rsc.history_id {
            Some(h) if rsc.removed => (h.clone(), Some(rsc.id.clone())),
            h if !rsc.unique => {
                let base = rsc.config.id.clone();
                let long = h.as_ref().filter(|h| **h != base).unwrap_or(&rsc.id).clone();
                (base, Some(long))
            }
            _ => (rsc.id.clone(), None),
        };
        ActionResource {
            id,
            long_id,
            class: rsc.config.class.clone().unwrap_or_default(),
            provider: rsc.config.provider.clone(),
            kind: rsc.config.kind.clone().unwrap_or_default(),
        }
    }

    /// Whether the action leaves the resource locked to its node.
    pub(super) fn locks_to_node(&self, a: A) -> bool {
        let action = &self[a];
        let Some(r) = action.rsc else { return false };
        let Some(lock) = self[r].lock_node else { return false };
        Some(lock) == action.node && (!self[lock].shutdown || action.task == "stop")
    }
}
