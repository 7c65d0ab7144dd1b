//! Resources of the configuration.

use std::collections::BTreeMap;
use std::rc::Rc;

use haven_cib::{Cib, CloneChild as CibChild, Primitive, Resource as CibResource};

use super::config::{inherit, is_remote_config, merge_template, promotable_set};
use crate::facts::AgentId;
use crate::rules::nvpair::{self, Rules};
use crate::world::resource::{CloneChild, MultiplyActive};
use crate::world::{Config, N, QuorumPolicy, R, Resource, Role, Table, Variant, World, values};

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
        for r in cib.resources.iter().chain(&guests) {
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

    /// All meta attributes, by precedence: own, those of what is around, defaults.
    fn meta_attributes(&mut self, r: R, instance: Option<i32>) {
        let config = Rc::clone(&self[r].config);
        let mut map = BTreeMap::new();
        let own = [
            ("id", Some(config.id.clone())),
            ("class", config.class.clone()),
            ("provider", config.provider.clone()),
            ("type", config.kind.clone()),
            ("clone", instance.map(|i| i.to_string())),
        ];
        map.extend(own.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))));
        let input = Rules {
            now: self.now,
            class: config.class.as_deref(),
            provider: config.provider.as_deref(),
            kind: config.kind.as_deref(),
            ..Rules::default()
        };
        let mut nexts = vec![nvpair::unpack(&config.meta, None, &input, &mut map)];
        let mut above = BTreeMap::new();
        let mut at = self[r].parent;
        while let Some(p) = at {
            let c = Rc::clone(&self[p].config);
            nexts.push(nvpair::unpack(&c.meta, None, &input, &mut above));
            at = self[p].parent;
        }
        inherit(&mut map, &above);
        let defaults = std::mem::take(&mut self.rsc_defaults);
        nexts.push(nvpair::unpack(&defaults, None, &input, &mut map));
        self.rsc_defaults = defaults;
        if let Some(p) = self[r].parent {
            inherit(&mut map, &self[p].meta);
        }
        self[r].meta = map;
        for t in nexts.into_iter().flatten() {
            self.recheck(t);
        }
    }

    fn read_meta(&mut self, r: R) {
        let is = |w: &Self, name: &str| values::is_true(w[r].meta(name));
        let maintenance = self.set.maintenance;
        self[r].managed = !maintenance;
        let score = |w: &Self, name: &str| w[r].meta(name).and_then(|v| w.score(v));
        self[r].priority = score(self, "priority").unwrap_or(0);
        self[r].critical = self[r].meta("critical").is_none_or(|v| values::is_true(Some(v)));
        self[r].notify = is(self, "notify");
        let config = Rc::clone(&self[r].config);
        let mut remote = false;
        if is_remote_config(&config) && self.is_primitive(r) {
            self[r].is_remote_connection = true;
            remote = self[r].meta("container").is_none();
        }
        self[r].migratable = match self[r].meta("allow-migrate") {
            Some(v) => values::is_true(Some(v)),
            None => remote,
        };
        match self[r].meta("is-managed").map(str::to_ascii_lowercase).as_deref() {
            None | Some("default") => {}
            Some(v) => self[r].managed = values::is_true(Some(v)),
        }
        if is(self, "maintenance") || maintenance {
            self[r].managed = false;
            self[r].maintenance = true;
        }
        if self.is_clone(self.top_of(r)) {
            self[r].unique = match self[r].meta("globally-unique") {
                Some(v) => values::is_true(Some(v)),
                None => {
                    self[r].meta("clone-node-max").is_some_and(|v| values::min_int(Some(v), 0) > 1)
                }
            };
            self[r].promotable = is(self, "promotable");
        } else {
            self[r].unique = true;
        }
        self[r].multiply_active =
            match self[r].meta("multiple-active").map(str::to_ascii_lowercase).as_deref() {
                Some("stop_only") => MultiplyActive::Stop,
                Some("block") => MultiplyActive::Block,
                Some("stop_unexpected") => MultiplyActive::Unexpected,
                _ => MultiplyActive::Restart,
            };
        self[r].stickiness = score(self, "resource-stickiness").unwrap_or(0);
        self[r].migration_threshold =
            score(self, "migration-threshold").filter(|v| *v >= 0).unwrap_or(values::INFINITY);
        if config.class.as_deref().is_some_and(|c| c.eq_ignore_ascii_case("stonith")) {
            self.set.have_fencing = true;
            self[r].fence_device = true;
        }
        let requires = self[r].meta("requires").map(str::to_owned);
        self.requires(r, requires.as_deref());
        self[r].failure_timeout_ms = values::interval(self[r].meta("failure-timeout"));
        let mut at = Some(r);
        while let Some(i) = at {
            self[r].params_have_rules |= nvpair::any_rule(&self[i].config.params);
            at = self[i].parent;
        }
        if remote {
            let params = self.params(r, None);
            if let Some(v) = params.get("reconnect_interval") {
                self[r].reconnect_ms = values::interval(Some(v));
                self[r].failure_timeout_ms = self[r].reconnect_ms;
            }
        }
        if let Some(role) = self.target_role(r) {
            self[r].next_role = role;
        }
    }

    /// Reads `requires`; a word not known, or none, becomes the default.
    fn requires(&mut self, r: R, value: Option<&str>) {
        let fencing = self.set.fencing;
        match value.map(str::to_ascii_lowercase).as_deref() {
            Some("nothing") => {}
            Some("quorum") => self[r].needs_quorum = true,
            Some("lease") => {
                // With `lease=off` two owners are accepted: it needs no majority, and a lost node's
                // counts as ended all the same.
                let off = self[r].meta("lease").is_some_and(|it| it.eq_ignore_ascii_case("off"));
                self[r].needs_quorum = !off;
                self[r].needs_lease = true;
            }
            Some("fencing") => self[r].needs_fencing = true,
            Some("unfencing") => {
                if self[r].fence_device || !fencing {
                    self[r].needs_quorum = true;
                } else {
                    self[r].needs_fencing = true;
                    self[r].needs_unfencing = true;
                }
            }
            other => {
                if let Some(v) = other {
                    let id = self[r].id.clone();
                    self.warn(format!(
                        "resource {id}: `requires={v}` is not known; using the default"
                    ));
                }
                let default = if self.has_lease_agent(r) {
                    "lease"
                } else if self[r].fence_device || self[r].is_remote_connection {
                    "quorum"
                } else if self.set.unfencing {
                    "unfencing"
                } else if fencing {
                    "fencing"
                } else if self.set.policy == QuorumPolicy::Ignore {
                    "nothing"
                } else {
                    "quorum"
                };
                self.requires(r, Some(default));
            }
        }
    }

    fn has_lease_agent(&self, r: R) -> bool {
        let c = &self[r].config;
        let (Some(class), Some(kind)) = (&c.class, &c.kind) else { return false };
        let agent =
            AgentId { class: class.clone(), provider: c.provider.clone(), kind: kind.clone() };
        self.facts.lease.contains(&agent)
    }

    /// The role `target-role` limits the resource to, if it limits it.
    pub(crate) fn target_role(&self, r: R) -> Option<Role> {
        let role = Role::parse(self[r].meta("target-role")?);
        let promotable = self[self.top_of(r)].promotable;
        match role {
            Role::Stopped => Some(role),
            Role::Unpromoted if promotable => Some(role),
            Role::Unknown | Role::Started | Role::Unpromoted | Role::Promoted => None,
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
