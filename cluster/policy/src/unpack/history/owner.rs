//! Whose a history is: a resource, an instance of an anonymous clone, or something no longer configured.

use std::rc::Rc;

use crate::unpack::resources::Source;
use crate::world::resource::Place;
use crate::world::{Config, Lease, N, R, Why, World, values};

impl World<'_> {
    pub(super) fn find_for_history(&mut self, n: N, id: &str) -> Option<R> {
        let mut parent = None;
        let mut found = None;
        match self.find_rsc(id) {
            Some(r) if !self.is_primitive(r) => return None,
            Some(r) => {
                parent = Some(self.top_of(r));
                found = Some(r);
            }
            None => {
                let zero = format!("{}:0", values::strip_instance(id));
                if let Some(r) = self.find_rsc(&zero).filter(|r| !self[*r].unique) {
                    parent = Some(self.top_of(r));
                    found = Some(r);
                }
            }
        }
        if let Some(p) = parent.filter(|p| self.is_anonymous_clone(*p)) {
            found = if self.is_bundled(p) {
                let bundle = self.top_bundle(p);
                let b = self[bundle].bundle.as_ref()?;
                b.replicas.iter().find(|x| x.node == Some(n)).and_then(|x| x.child)
            } else {
                self.find_anonymous(n, p, values::strip_instance(id))
            };
        }
        let r = found?;
        if id != self[r].id && self[r].history_id.as_deref() != Some(id) {
            self.set_history_id(r, Some(id));
        }
        Some(r)
    }

    pub(in crate::unpack) fn set_history_id(&mut self, r: R, id: Option<&str>) {
        if let Some(old) = self[r].history_id.take()
            && let Some(list) = self.rsc_history.get_mut(&old)
        {
            list.retain(|x| *x != r);
        }
        if let Some(id) = id {
            self[r].history_id = Some(id.to_owned());
            self.rsc_history.entry(id.to_owned()).or_default().push(r);
        }
    }

    /// The instance with this id, or made from the primitive with this id, in `r`.
    pub(crate) fn find_instance(&self, r: R, id: &str) -> Option<R> {
        if (self[r].id == id || self[r].config.id == id) && self.is_clone(self.top_of(r)) {
            return Some(r);
        }
        self[r].children.iter().find_map(|c| self.find_instance(*c, id))
    }

    /// The instance of an anonymous clone that a history belongs to.
    fn find_anonymous(&mut self, n: N, clone: R, id: &str) -> Option<R> {
        let mut found = None;
        let mut inactive = None;
        let mut skip_inactive = false;
        for c in self[clone].children.clone() {
            if found.is_some() {
                break;
            }
            let places = self.nodes_of(c, Place::CurrentOrPending);
            match places.first() {
                Some(first) => {
                    if *first == n
                        && let Some(r) = self.find_instance(c, id)
                    {
                        if self[r].active.is_empty() {
                            found = Some(r);
                        } else {
                            skip_inactive = true;
                        }
                    }
                }
                None if !skip_inactive && inactive.is_none() && !self[c].blocked => {
                    inactive = self
                        .find_instance(c, id)
                        .filter(|r| self[*r].pending_node.is_none_or(|p| p == n));
                }
                None => {}
            }
        }
        if found.is_none() && !skip_inactive {
            found = inactive;
        }
        let universal = usize::try_from(self[clone].clone_max) == Ok(self.nodes.len());
        if found.is_some_and(|r| !self[r].needs_fencing)
            && (!self[n].online || self[n].unclean)
            && !self.is_guest(n)
            && !universal
        {
            found = None;
        }
        found.or_else(|| {
            let made = self.create_instance(clone)?;
            self.find_instance(made, id)
        })
    }

    /// A resource that is only in the history.
    pub(super) fn removed_resource(&mut self, i: usize, j: usize) -> Option<R> {
        let entry = self.history(i, j);
        let text = |s: &str| (!s.is_empty()).then(|| s.to_owned());
        let config = Rc::new(Config {
            id: entry.id.clone(),
            class: text(&entry.class),
            provider: entry.provider.clone(),
            kind: text(&entry.kind),
            ..Config::default()
        });
        let Config { class, provider, kind, .. } = &*config;
        if self.facts.declare_lease(class.as_deref(), provider.as_deref(), kind.as_deref()) {
            // Whatever it was configured as, it was started under a lease or is started no more. Where it was
            // not and its node is lost, its history says so and is heeded with it.
            self.leases.insert(entry.id.clone(), Lease { kept: true, requires: None });
        }
        let r = self.create(&config, Source::Primitive, None, None)?;
        if self[r].is_remote_connection {
            let n = match self.find_node(&entry.id) {
                Some(n) => n,
                None => self.create_node(&entry.id, &entry.id, true, 0),
            };
            self.link_remote_node(r);
            self[n].shutdown = true;
        }
        self[r].removed_launched = entry.container.is_some();
        self[r].removed = true;
        self.top.push(r);
        if self.set.stop_removed {
            self.resource_location(r, None, -values::INFINITY, Why::Removed);
        } else {
            self[r].managed = false;
        }
        Some(r)
    }
}
