//! Changes of a configuration. Each leaves the document consistent or does nothing.

use crate::CibError;
use crate::model::{Cib, CloneChild, Constraint, Group, Node, NvPair, NvSet, Resource};

/// The block that `set_option` writes to.
const BOOTSTRAP: &str = "cib-bootstrap-options";

impl Cib {
    /// The top-level resource with this id.
    #[must_use]
    pub fn resource(&self, id: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.id() == id)
    }

    /// Adds a resource, or replaces the one of the same id in place.
    pub fn put_resource(&mut self, resource: Resource) {
        match self.resources.iter_mut().find(|r| r.id() == resource.id()) {
            Some(old) => *old = resource,
            None => self.resources.push(resource),
        }
    }

    /// Removes a top-level resource and every constraint that names it.
    ///
    /// # Errors
    /// [`CibError::NoSuchObject`] when there is none of this id.
    pub fn remove_resource(&mut self, id: &str) -> Result<Resource, CibError> {
        let i = self
            .resources
            .iter()
            .position(|r| r.id() == id)
            .ok_or_else(|| CibError::NoSuchObject { kind: "resource", id: id.to_owned() })?;
        let gone = self.resources.remove(i);
        let mut ids = vec![gone.id().to_owned()];
        ids.extend(gone.primitives().iter().map(|p| p.id.clone()));
        if let Resource::Clone(c) = &gone
            && let CloneChild::Group(g) = &*c.child
        {
            ids.push(g.id.clone());
        }
        self.constraints.retain_mut(|c| !drop_from_constraint(c, &ids));
        Ok(gone)
    }

    /// Adds a constraint, or replaces the one of the same id in place.
    pub fn put_constraint(&mut self, constraint: Constraint) {
        match self.constraints.iter_mut().find(|c| c.id() == constraint.id()) {
            Some(old) => *old = constraint,
            None => self.constraints.push(constraint),
        }
    }

    /// Removes a constraint.
    ///
    /// # Errors
    /// [`CibError::NoSuchObject`] when there is none of this id.
    pub fn remove_constraint(&mut self, id: &str) -> Result<Constraint, CibError> {
        let i = self
            .constraints
            .iter()
            .position(|c| c.id() == id)
            .ok_or_else(|| CibError::NoSuchObject { kind: "constraint", id: id.to_owned() })?;
        Ok(self.constraints.remove(i))
    }

    /// Adds a node, or replaces the one of the same id in place.
    pub fn put_node(&mut self, node: Node) {
        match self.nodes.iter_mut().find(|n| n.id == node.id) {
            Some(old) => *old = node,
            None => self.nodes.push(node),
        }
    }

    /// Sets (`Some`) or removes (`None`) a permanent attribute of the node with this name, such as
    /// `standby` or `maintenance`.
    ///
    /// # Errors
    /// [`CibError::NoSuchObject`] when there is no such node.
    pub fn set_node_attribute(
        &mut self,
        uname: &str,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), CibError> {
        let node = self
            .nodes
            .iter_mut()
            .find(|n| n.uname == uname)
            .ok_or_else(|| CibError::NoSuchObject { kind: "node", id: uname.to_owned() })?;
        let set_id = format!("nodes-{}", node.id);
        set_pair(&mut node.attributes, &set_id, name, value);
        Ok(())
    }

    /// Sets (`Some`) or removes (`None`) a meta attribute, such as `target-role`, of a resource at
    /// the top level or inside a group, clone or bundle.
    ///
    /// # Errors
    /// [`CibError::NoSuchObject`] when there is no such resource.
    pub fn set_meta(&mut self, id: &str, name: &str, value: Option<&str>) -> Result<(), CibError> {
        let sets = self
            .meta_of(id)
            .ok_or_else(|| CibError::NoSuchObject { kind: "resource", id: id.to_owned() })?;
        set_pair(sets, &format!("{id}-meta_attributes"), name, value);
        Ok(())
    }

    /// Sets (`Some`) or removes (`None`) a cluster option.
    pub fn set_option(&mut self, name: &str, value: Option<&str>) {
        set_pair(&mut self.options, BOOTSTRAP, name, value);
    }

    /// The value of a cluster option as written in an unconditional block; the bootstrap block
    /// counts first.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        let (first, rest): (Vec<&NvSet>, Vec<&NvSet>) =
            self.options.iter().filter(|s| s.rule.is_none()).partition(|s| s.id == BOOTSTRAP);
        first
            .into_iter()
            .chain(rest)
            .flat_map(|s| &s.pairs)
            .find(|p| p.name == name)
            .and_then(|p| p.value.as_deref())
    }

    fn meta_of(&mut self, id: &str) -> Option<&mut Vec<NvSet>> {
        self.resources.iter_mut().find_map(|r| {
            if r.id() == id {
                return Some(r.meta_mut());
            }
            match r {
                Resource::Primitive(_) => None,
                Resource::Group(g) => member_meta(g, id),
                Resource::Clone(c) => match &mut *c.child {
                    CloneChild::Primitive(p) => Some(&mut p.meta).filter(|_| p.id == id),
                    CloneChild::Group(g) => {
                        if g.id == id {
                            Some(&mut g.meta)
                        } else {
                            member_meta(g, id)
                        }
                    }
                },
                Resource::Bundle(b) => {
                    b.primitive.as_mut().filter(|p| p.id == id).map(|p| &mut p.meta)
                }
            }
        })
    }
}

fn member_meta<'a>(group: &'a mut Group, id: &str) -> Option<&'a mut Vec<NvSet>> {
    group.members.iter_mut().find(|m| m.id == id).map(|m| &mut m.meta)
}

/// Takes resources out of a constraint; true when nothing sensible is left of it.
fn drop_from_constraint(constraint: &mut Constraint, ids: &[String]) -> bool {
    let named = |id: &Option<String>| id.as_ref().is_some_and(|i| ids.contains(i));
    let (hit, sets) = match constraint {
        Constraint::Location(c) => (named(&c.resource), &mut c.sets),
        Constraint::Colocation(c) => (named(&c.dependent) || named(&c.primary), &mut c.sets),
        Constraint::Order(c) => (named(&c.first) || named(&c.then), &mut c.sets),
        Constraint::Ticket(c) => (named(&c.resource), &mut c.sets),
    };
    if hit {
        return true;
    }
    if sets.is_empty() {
        return false;
    }
    for s in sets.iter_mut() {
        s.members.retain(|m| !ids.contains(m));
    }
    sets.retain(|s| !s.members.is_empty());
    sets.is_empty()
}

fn set_pair(sets: &mut Vec<NvSet>, set_id: &str, name: &str, value: Option<&str>) {
    let Some(value) = value else {
        for s in sets.iter_mut().filter(|s| s.rule.is_none()) {
            s.pairs.retain(|p| p.name != name);
        }
        sets.retain(|s| !s.pairs.is_empty());
        return;
    };
    for s in sets.iter_mut().filter(|s| s.rule.is_none()) {
        if let Some(p) = s.pairs.iter_mut().find(|p| p.name == name) {
            p.value = Some(value.to_owned());
            return;
        }
    }
    let pair = NvPair {
        id: Some(format!("{set_id}-{name}")),
        name: name.to_owned(),
        value: Some(value.to_owned()),
    };
    match sets.iter_mut().find(|s| s.rule.is_none()) {
        Some(s) => s.pairs.push(pair),
        None => sets.push(NvSet { id: set_id.to_owned(), pairs: vec![pair], ..NvSet::default() }),
    }
}
