//! Assigning bundles.

use crate::world::resource::Place;
use crate::world::{N, R, Role, Variant, Why, World, merge_sort, values};

/// A bundle whose inside is colocated with the bundle is assigned inside its own assignment. The reference
/// implementation goes on with that until its stack ends.
const MAX_NESTED: u8 = 3;

impl World<'_> {
    pub(super) fn assign_bundle(&mut self, r: R, prefer: Option<N>, stop: bool) {
        if self[r].nested == MAX_NESTED {
            return;
        }
        self[r].nested += 1;
        self.assign_bundle_here(r, prefer, stop);
        self[r].nested -= 1;
    }

    fn assign_bundle_here(&mut self, r: R, prefer: Option<N>, stop: bool) {
        self[r].assigning = true;
        self.show_scores(r, "pcmk__bundle_assign");
        let mut containers = self.containers(r);
        merge_sort(&mut containers, &mut |a, b| self.compare_instances(a, b));
        let (total, per_node) =
            (self[r].bundle.as_ref().map_or(0, |b| b.count), self.max_per_node(r));
        self.assign_instances(r, &containers, total, per_node);
        let Some(b) = self[r].bundle.clone() else { return };
        for p in &b.replicas {
            if let Some(ip) = p.ip {
                self.assign(ip, prefer, stop);
            }
            if let Some(remote) = p.remote {
                let host = p.container.and_then(|c| self[c].assigned);
                if let Some(connection) =
                    host.filter(|h| self[*h].is_remote_kind).and_then(|h| self[h].remote)
                {
                    self.implied_colocation(remote, connection, values::INFINITY, true);
                }
                self.assign(remote, prefer, stop);
            }
            if let Some(child) = p.child {
                self.assign_inside(child, p.node, stop);
            }
        }
        if let Some(inner) = b.child {
            for n in self[inner].allowed.nodes() {
                let ours = b.replicas.iter().any(|p| p.node == Some(n));
                let score = if ours { 0 } else { -values::INFINITY };
                self.set_kind_score(inner, n, score);
            }
            self.assign(inner, prefer, stop);
        }
        self[r].assigning = false;
        self[r].unassigned = false;
    }

    /// Assigns what runs in a container to the container's inside.
    fn assign_inside(&mut self, child: R, node: Option<N>, stop: bool) {
        for n in self[child].allowed.nodes() {
            let score = if Some(n) != node {
                -values::INFINITY
            } else if self.threshold_reached(child, n).is_none() {
                values::INFINITY
            } else {
                continue;
            };
            self.set_kind_score(child, n, score);
        }
        let Some(parent) = self[child].parent else { return };
        self[parent].assigning = true;
        self.assign(child, node, stop);
        self[parent].assigning = false;
    }

    fn set_kind_score(&mut self, r: R, n: N, score: i32) {
        if let Some(c) = self[r].allowed.get_mut(n) {
            let before = std::mem::replace(&mut c.score, score);
            self.note_score(r, n, Why::Kind, before, score);
        }
    }

    /// The host of the inside of a bundle; any other node itself.
    fn host_of(&self, n: N) -> Option<N> {
        if !self.is_bundle_node(n) {
            return Some(n);
        }
        self.launcher_of(n).and_then(|l| self.node_of(l, Place::Assigned))
    }

    fn compatible_container(&self, dependent: R, bundle: R) -> Option<R> {
        let on = |n: N| {
            let containers = self.containers(bundle);
            containers
                .into_iter()
                .find(|c| self.instance_matches(*c, n, Role::Unknown, false, None))
        };
        let assigned = self.node_of(dependent, Place::Assigned).and_then(|n| self.host_of(n));
        if let Some(n) = assigned {
            return on(n);
        }
        self.sorted_table(&self[dependent].allowed)
            .into_iter()
            .filter_map(|n| self.host_of(n))
            .find_map(on)
    }

    pub(super) fn colocate_with_bundle(&mut self, dependent: R, primary: R, c: usize) -> i32 {
        if self[primary].unassigned {
            return 0;
        }
        let coloc = self.colocations[c].clone();
        let mandatory = coloc.score >= values::INFINITY;
        if self[coloc.dependent].variant > Variant::Group {
            if let Some(container) = self.compatible_container(dependent, primary) {
                return self.apply_colocation(dependent, container, c, true);
            }
            if mandatory {
                self.assign_to(dependent, None, true, true);
            }
            return 0;
        }
        let Some(b) = self[primary].bundle.clone() else { return 0 };
        let mut delta = 0;
        let mut hosts = Vec::new();
        for p in &b.replicas {
            let Some(container) = p.container else { continue };
            if !mandatory {
                delta = values::add(delta, self.apply_colocation(dependent, container, c, false));
                continue;
            }
            let Some(n) = self.node_of(container, Place::Assigned) else { continue };
            if self.recursive(container, true, &|x| x.blocked) {
                continue;
            }
            if coloc.primary_role >= Role::Promoted
                && p.child.is_none_or(|x| self[x].next_role < Role::Promoted)
            {
                continue;
            }
            hosts.push((n, self[container].assigned_score));
        }
        if mandatory {
            self.intersect_nodes(dependent, c, &hosts, false);
        }
        delta
    }
}
