//! How resources contain each other, and what follows from it: roles, nodes and activity of composed ones.

use super::resource::Place;
use super::{N, R, Resource, Role, Variant, World};

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
}
