//! Meta attributes of a resource: by precedence, and what each of them means.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::rules::nvpair::{self, Rules};
use crate::unpack::config::{inherit, is_remote_config};
use crate::world::resource::MultiplyActive;
use crate::world::{QuorumPolicy, R, Role, World, values};

impl World<'_> {
    /// All meta attributes, by precedence: own, those of what is around, defaults.
    pub(super) fn meta_attributes(&mut self, r: R, instance: Option<i32>) {
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

    pub(super) fn read_meta(&mut self, r: R) {
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
        let requires = match self.leases.get(&self[r].config.id) {
            Some(lease) => lease.requires.clone(),
            None => self[r].meta("requires").map(str::to_owned),
        };
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
            Some("lease") if self.lease(r).is_some() || !self.is_primitive(r) => {
                // With `lease=off` two owners are accepted: it needs no majority, and a lost node's
                // counts as ended all the same.
                self[r].needs_quorum = self.lease(r) != Some(false);
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
                    let why = match v {
                        "lease" => "guards nothing here",
                        _ => "is not known",
                    };
                    self.warn(format!("resource {id}: `requires={v}` {why}; using the default"));
                }
                let default = if self.lease(r).is_some() {
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

    /// Whether a primitive runs under a lease; false where `lease=off` takes it away, nothing where it
    /// has none that anybody grants or keeps.
    fn lease(&self, r: R) -> Option<bool> {
        self.leases.get(&self[r].config.id).map(|lease| lease.kept)
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
}
