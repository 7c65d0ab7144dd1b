//! Who has a say in where a resource goes: lists of colocations, those of groups and clones around it included.

use crate::world::{R, Variant, World, values};

impl World<'_> {
    /// Colocations in which others follow `r`.
    pub(crate) fn with_this(&self, r: R) -> Vec<usize> {
        let mut list = Vec::new();
        self.gather_with_this(r, r, &mut list);
        list
    }

    /// Colocations in which `r` follows others.
    pub(crate) fn this_with(&self, r: R) -> Vec<usize> {
        let mut list = Vec::new();
        self.gather_this_with(r, r, &mut list);
        list
    }

    /// Joins a list to another. An empty one is copied; otherwise the reference implementation
    /// inserts the first entry once for each, and so does this one.
    fn join(&self, list: &mut Vec<usize>, more: &[usize], dependents: bool) {
        if list.is_empty() {
            list.extend_from_slice(more);
            return;
        }
        for _ in more {
            self.insert_colocation(list, more[0], dependents);
        }
    }

    fn gather_with_this(&self, r: R, orig: R, list: &mut Vec<usize>) {
        let parent = self[r].parent;
        match self[r].variant {
            Variant::Primitive if r == orig => {
                self.join(list, &self[r].with_this, true);
                if let Some(p) = parent {
                    self.gather_with_this(p, orig, list);
                }
            }
            Variant::Primitive => {
                for c in &self[r].with_this {
                    if self.colocations[*c].explicit {
                        self.insert_colocation(list, *c, true);
                    }
                }
            }
            Variant::Group => {
                if self[r].children.is_empty()
                    || (orig != r && Some(&orig) != self[r].children.last())
                {
                    return;
                }
                self.join(list, &self[r].with_this, true);
                if let Some(p) = parent {
                    self.gather_with_this(p, orig, list);
                }
                if self[r].group_colocated {
                    for m in self[r].children.iter().filter(|m| **m != orig) {
                        self.gather_with_this(*m, orig, list);
                    }
                }
            }
            Variant::Clone => {
                self.join(list, &self[r].with_this, true);
                if let Some(p) = parent {
                    self.gather_with_this(p, orig, list);
                }
            }
            Variant::Bundle => {
                if self.bundle_speaks_for(r, orig) {
                    self.join(list, &self[r].with_this, true);
                }
            }
        }
    }

    fn gather_this_with(&self, r: R, orig: R, list: &mut Vec<usize>) {
        let parent = self[r].parent;
        match self[r].variant {
            Variant::Primitive if r == orig => {
                self.join(list, &self[r].this_with, false);
                if let Some(p) = parent {
                    self.gather_this_with(p, orig, list);
                }
            }
            Variant::Primitive => {
                for c in &self[r].this_with {
                    if self.colocations[*c].explicit {
                        self.insert_colocation(list, *c, false);
                    }
                }
            }
            Variant::Group => self.gather_group_with(r, orig, list),
            Variant::Clone => {
                self.join(list, &self[r].this_with, false);
                if let Some(p) = parent {
                    self.gather_this_with(p, orig, list);
                }
            }
            Variant::Bundle => {
                if self.bundle_speaks_for(r, orig) {
                    self.join(list, &self[r].this_with, false);
                }
            }
        }
    }

    fn gather_group_with(&self, r: R, orig: R, list: &mut Vec<usize>) {
        let Some(first) = self[r].children.first() else { return };
        if r == orig || *first == orig {
            self.join(list, &self[r].this_with, false);
            if let Some(p) = self[r].parent {
                self.gather_this_with(p, orig, list);
            }
            if self[r].group_colocated {
                for m in self[r].children.iter().filter(|m| **m != orig) {
                    self.gather_this_with(*m, orig, list);
                }
            }
            return;
        }
        for m in &self[r].children {
            if *m == orig {
                break;
            }
            if !self[*m].managed {
                for c in &self[r].this_with {
                    if self.colocations[*c].score == values::INFINITY {
                        self.insert_colocation(list, *c, false);
                    }
                }
                break;
            }
        }
    }

    /// Whether a bundle's colocations count for one of its parts.
    fn bundle_speaks_for(&self, bundle: R, orig: R) -> bool {
        if orig == bundle || self[orig].replica_container {
            return true;
        }
        let Some(inner) = self[bundle].bundle.as_ref().and_then(|b| b.child) else { return false };
        if !self[inner].promotable || self.top_of(orig) != inner {
            return false;
        }
        if orig == inner { self[orig].promotion_constrained } else { !self[orig].unassigned }
    }
}
