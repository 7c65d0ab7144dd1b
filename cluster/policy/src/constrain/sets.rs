//! Names in constraints: resources, templates and tags.

use haven_cib::ResourceSet;

use crate::world::{R, World};

/// What a name in a constraint stands for.
pub(super) enum Named {
    Resource(R),
    Tag(Vec<String>),
}

impl World<'_> {
    /// The resource a constraint names; the old id of a clone's instance means the clone.
    pub(super) fn constraint_resource(&self, id: &str) -> Option<R> {
        let r = self.find_rsc(id)?;
        Some(if self[r].id == id { r } else { self.top_of(r) })
    }

    pub(super) fn named(&self, id: &str) -> Option<Named> {
        if let Some(r) = self.constraint_resource(id) {
            return Some(Named::Resource(r));
        }
        if self.template_names.contains_key(id) {
            return self.templates.get(id).cloned().map(Named::Tag);
        }
        self.tags.get(id).cloned().map(Named::Tag)
    }

    /// Sets with tags replaced by what they stand for; `None` where nothing is to be replaced.
    pub(super) fn expand_sets(&self, sets: &[ResourceSet]) -> Option<Vec<ResourceSet>> {
        let mut any = false;
        let mut out = sets.to_vec();
        for set in &mut out {
            let mut members = Vec::new();
            for m in &set.members {
                match self.named(m)? {
                    Named::Resource(_) => members.push(m.clone()),
                    Named::Tag(refs) => {
                        any = true;
                        members.extend(refs);
                    }
                }
            }
            set.members = members;
        }
        any.then_some(out)
    }

    /// A set for the members of a tag, or for one resource.
    pub(super) fn set_of(&self, id: &str, named: &Named) -> ResourceSet {
        let (members, sequential) = match named {
            Named::Tag(refs) => (refs.clone(), Some("false".to_owned())),
            Named::Resource(_) => (vec![id.to_owned()], None),
        };
        ResourceSet { id: id.to_owned(), members, sequential, ..ResourceSet::default() }
    }
}
