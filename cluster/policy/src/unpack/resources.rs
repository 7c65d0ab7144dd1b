//! Resources of the configuration.

mod meta;

use std::collections::BTreeMap;
use std::rc::Rc;

use haven_cib::{Cib, CloneChild as CibChild, Primitive, Resource as CibResource};

use super::config::{merge_template, promotable_set};
use crate::rules::nvpair::Rules;
use crate::world::resource::{CloneChild, MultiplyActive};
use crate::world::{Config, N, R, Resource, Role, Table, Variant, World, values};

/// What a resource is made from.
pub(crate) enum Source {
    Primitive,
    Group(Vec<Rc<Config>>),
    Clone(Rc<CloneChild>),
    Bundle(Box<haven_cib::Bundle>),
}

/// More instances of a clone than this, and than four for each node, are taken for a slip: the work
/// grows with their square.
const MOST_INSTANCES: i32 = 2_000;

impl World<'_> {
    pub(super) fn unpack_resources(&mut self, cib: &Cib, guests: &[Primitive]) {
        for (i, t) in cib.templates.iter().enumerate() {
            self.template_names.entry(t.id.clone()).or_insert(i);
        }
        let guests: Vec<_> = guests.iter().cloned().map(CibResource::Primitive).collect();
        let all = cib.resources.iter().chain(&guests);
        self.rscs.reserve(all.clone().map(|r| self.most_parts(r)).sum());
        for r in all {
            let made = match r {
                CibResource::Primitive(p) => self
                    .primitive_config(p, &cib.templates)
                    .and_then(|c| self.create(&c, Source::Primitive, None, None)),
                CibResource::Group(g) => {
                    let (config, members) = self.group_config(g, &cib.templates);
                    self.create(&config, Source::Group(members), None, None)
                }
                CibResource::Clone(c) => {
                    let mut sets = c.meta.clone();
                    if c.master {
                        sets.push(promotable_set(&c.id));
                    }
                    let config = self.composed_config(&c.id, &sets, &c.params);
                    let child = match &*c.child {
                        CibChild::Primitive(p) => {
                            self.primitive_config(p, &cib.templates).map(CloneChild::Primitive)
                        }
                        CibChild::Group(g) => {
                            let (config, members) = self.group_config(g, &cib.templates);
                            Some(CloneChild::Group(config, members))
                        }
                    };
                    child.and_then(|c| self.create(&config, Source::Clone(Rc::new(c)), None, None))
                }
                CibResource::Bundle(b) => {
                    let config = self.composed_config(&b.id, &b.meta, &b.params);
                    let mut b = b.clone();
                    if let Some(p) = &mut b.primitive {
                        merge_template(p, &cib.templates);
                    }
                    self.create(&config, Source::Bundle(Box::new(b)), None, None)
                }
            };
            match made {
                Some(r) => self.top.push(r),
                None => self.warn(format!("resource {} is left out: it makes no sense", r.id())),
            }
        }
        self.link_launchers();
        let mut top = std::mem::take(&mut self.top);
        top.sort_by_key(|r| -i64::from(self[*r].priority));
        self.top = top;
    }

    /// About how many resources one of the configuration is at most: itself and all in it.
    fn most_parts(&self, r: &CibResource) -> usize {
        match r {
            CibResource::Primitive(_) => 1,
            CibResource::Group(g) => 1 + g.members.len(),
            CibResource::Clone(c) => match &*c.child {
                CibChild::Primitive(_) => 1 + self.nodes.len(),
                CibChild::Group(g) => 1 + self.nodes.len() * (1 + g.members.len()),
            },
            CibResource::Bundle(_) => 4 * self.nodes.len(),
        }
    }

    fn link_launchers(&mut self) {
        for r in self.top.clone() {
            self.link_launcher(r);
            self.link_remote_node(r);
        }
    }

    fn link_launcher(&mut self, r: R) {
        if !self[r].children.is_empty() {
            for c in self[r].children.clone() {
                self.link_launcher(c);
            }
            return;
        }
        let Some(id) = self[r].meta("container").map(str::to_owned) else { return };
        if id == self[r].id {
            return;
        }
        if let Some(launcher) = self.find_rsc(&id) {
            self[r].launcher = Some(launcher);
            self[launcher].launched.push(r);
        }
    }

    pub(crate) fn link_remote_node(&mut self, r: R) {
        if !self[r].is_remote_connection {
            return;
        }
        let Some(n) = self.find_node(&self[r].id.clone()) else { return };
        self[n].remote = Some(r);
        if self[r].launcher.is_none() {
            self.handle_startup_fencing(n);
        } else {
            self[n].attrs.insert("#kind".into(), "container".into());
        }
    }

    /// Makes a resource with everything in it; `None` where it makes no sense.
    pub(crate) fn create(
        &mut self,
        config: &Rc<Config>,
        source: Source,
        parent: Option<R>,
        instance: Option<i32>,
    ) -> Option<R> {
        let r = R(u32::try_from(self.rscs.len()).ok()?);
        let id = match instance {
            Some(i) => format!("{}:{i}", config.id),
            None => config.id.clone(),
        };
        let variant = match source {
            Source::Primitive => Variant::Primitive,
            Source::Group(_) => Variant::Group,
            Source::Clone(_) => Variant::Clone,
            Source::Bundle(_) => Variant::Bundle,
        };
        self.rscs.push(new_resource(&id, config, variant, parent));
        self.meta_attributes(r, instance);
        self.read_meta(r);
        let ok = match source {
            Source::Primitive => self.finish_primitive(r),
            Source::Group(members) => self.finish_group(r, &members, instance),
            Source::Clone(child) => self.finish_clone(r, child),
            Source::Bundle(b) => self.finish_bundle(r, &b),
        };
        if !ok {
            return None;
        }
        self.rsc_ids.entry(id).or_default().push(r);
        let guest = self[r].is_remote_connection && self[r].meta("container").is_some();
        if self.set.symmetric {
            self.allow_everywhere(r, false);
        } else if guest {
            // Where a guest's connection is to be is decided by its launcher.
            self.allow_everywhere(r, true);
        }
        let input = Rules { now: self.now, ..Rules::default() };
        let needs = self.unpack_sets(&config.utilization, &input);
        self[r].utilization =
            needs.into_iter().map(|(k, v)| (k, values::int(&v).unwrap_or(0))).collect();
        Some(r)
    }

    /// Puts all nodes into the table of a resource; `also_exclusive` those, too, that nothing is to
    /// be looked for on, and for resources that are looked for on few.
    fn allow_everywhere(&mut self, r: R, also_exclusive: bool) {
        for n in self.node_order.clone() {
            self.allow_on(r, n, also_exclusive);
        }
    }

    fn allow_on(&mut self, r: R, n: N, also_exclusive: bool) {
        let exclusive =
            self[r].exclusive_probes || self[n].base.probe == crate::world::Probe::Never;
        if exclusive && !also_exclusive {
            return;
        }
        for c in self[r].children.clone() {
            self.allow_on(c, n, also_exclusive);
        }
        let base = self[n].base;
        let table = &mut self[r].allowed;
        if table.get(n).is_none() {
            table.insert(n, base);
        }
    }

    fn finish_primitive(&mut self, r: R) -> bool {
        let class = self[r].config.class.clone().unwrap_or_default().to_ascii_lowercase();
        let parent = self.top_of(r);
        let can_be_unique = class == "ocf" || class == "stonith";
        if !can_be_unique && self[r].unique && self.is_clone(parent) {
            let count = i32::try_from(self.nodes.len()).unwrap_or(i32::MAX);
            self[parent].clone_node_max = 1;
            self[parent].clone_max = self[parent].clone_max.min(count);
            self.clear_unique(parent);
            self.clear_unique(r);
        }
        class == "ocf" || !self[parent].promotable
    }

    fn clear_unique(&mut self, r: R) {
        self[r].unique = false;
        self[r].meta.insert("globally-unique".into(), "false".into());
        for c in self[r].children.clone() {
            self.clear_unique(c);
        }
    }

    fn finish_group(&mut self, r: R, members: &[Rc<Config>], instance: Option<i32>) -> bool {
        let flag = |w: &Self, name: &str| w[r].meta(name).and_then(values::boolean).unwrap_or(true);
        self[r].group_ordered = flag(self, "ordered");
        self[r].group_colocated = flag(self, "collocated");
        for m in members {
            if let Some(c) = self.create(m, Source::Primitive, Some(r), instance) {
                self[r].children.push(c);
            }
        }
        !self[r].children.is_empty()
    }

    fn finish_clone(&mut self, r: R, child: Rc<CloneChild>) -> bool {
        let number = |w: &Self, names: [&str; 2], default: i32| {
            let value = w[r].meta(names[0]).or_else(|| w[r].meta(names[1]));
            value.map_or(default, |v| values::min_int(Some(v), 0))
        };
        if self[r].promotable {
            self[r].promoted_max = number(self, ["promoted-max", "master-max"], 1);
            self[r].promoted_node_max = number(self, ["promoted-node-max", "master-node-max"], 1);
        }
        let count = i32::try_from(self.nodes.len()).unwrap_or(i32::MAX).max(1);
        self[r].clone_node_max = number(self, ["clone-node-max", ""], 1);
        let asked = number(self, ["clone-max", ""], count);
        let most = MOST_INSTANCES.max(count.saturating_mul(4));
        if asked > most {
            let id = self[r].id.clone();
            self.warn(format!("clone {id}: clone-max={asked} is too many; {most} are planned for"));
        }
        self[r].clone_max = asked.min(most);
        self[r].clone_ordered = values::is_true(self[r].meta("ordered"));
        if !self[r].unique && self[r].clone_node_max > 1 {
            self[r].clone_node_max = 1;
        }
        self[r].clone_child = Some(child);
        if self[r].meta("resource-stickiness").is_none() {
            self[r].meta.insert("resource-stickiness".into(), "1".into());
        }
        let unique = self[r].unique.to_string();
        self[r].meta.insert("globally-unique".into(), unique);
        if self[r].clone_max <= 0 {
            return self.create_instance(r).is_some();
        }
        let mut made = 0;
        while made < self[r].clone_max {
            if self.create_instance(r).is_none() {
                return false;
            }
            made += 1;
        }
        true
    }

    /// Makes one more instance of a clone.
    pub(crate) fn create_instance(&mut self, clone: R) -> Option<R> {
        let child = self[clone].clone_child.clone()?;
        let number = self[clone].clone_total;
        let removed = number >= self[clone].clone_max;
        let max = self[clone].clone_max.to_string();
        let made = match &*child {
            CloneChild::Primitive(c) => {
                self.create(c, Source::Primitive, Some(clone), Some(number))
            }
            CloneChild::Group(c, members) => {
                self.create(c, Source::Group(members.clone()), Some(clone), Some(number))
            }
        }?;
        self[clone].clone_total += 1;
        self[clone].children.push(made);
        if removed {
            self.set_removed(made);
        }
        self[made].meta.insert("clone-max".into(), max);
        Some(made)
    }

    fn set_removed(&mut self, r: R) {
        self[r].removed = true;
        for c in self[r].children.clone() {
            self.set_removed(c);
        }
    }
}

fn new_resource(id: &str, config: &Rc<Config>, variant: Variant, parent: Option<R>) -> Resource {
    Resource {
        id: id.to_owned(),
        config: Rc::clone(config),
        variant,
        parent,
        children: Vec::new(),
        history_id: None,
        meta: BTreeMap::new(),
        utilization: BTreeMap::new(),
        priority: 0,
        promotion_priority: 0,
        role: Role::Stopped,
        next_role: Role::Unknown,
        stickiness: 0,
        failure_timeout_ms: 0,
        migration_threshold: values::INFINITY,
        reconnect_ms: 0,
        pending_action: None,
        pending_node: None,
        lock_node: None,
        lock_time: 0,
        multiply_active: MultiplyActive::Restart,
        launcher: None,
        launched: Vec::new(),
        assigned: None,
        assigned_score: 0,
        active: Vec::new(),
        probed: std::collections::BTreeSet::new(),
        allowed: Table::default(),
        migration_source: None,
        migration_target: None,
        dangling_migrations: Vec::new(),
        with_this: Vec::new(),
        this_with: Vec::new(),
        locations: Vec::new(),
        tickets: Vec::new(),
        actions: Vec::new(),
        params: None,
        params_on: BTreeMap::new(),
        params_have_rules: false,
        digests: BTreeMap::new(),
        clone_max: 0,
        clone_node_max: 0,
        promoted_max: 0,
        promoted_node_max: 0,
        clone_total: 0,
        clone_child: None,
        notify_start: None,
        notify_stop: None,
        notify_promote: None,
        notify_demote: None,
        bundle: None,
        removed: false,
        managed: true,
        blocked: false,
        removed_launched: false,
        notify: false,
        unique: false,
        fence_device: false,
        promotable: false,
        unassigned: true,
        assigning: false,
        updating: false,
        restarting: false,
        stop_if_failed: false,
        reload: false,
        nesting_allowed: false,
        critical: false,
        failed: false,
        is_remote_connection: false,
        start_pending: false,
        exclusive_probes: false,
        stop_unexpected: false,
        migratable: false,
        ignore_failure: false,
        replica_container: false,
        maintenance: false,
        needs_quorum: false,
        needs_fencing: false,
        needs_unfencing: false,
        needs_lease: false,
        group_ordered: true,
        group_colocated: true,
        clone_ordered: false,
        promotion_added: false,
        promotion_constrained: false,
        nested: 0,
    }
}
