//! Orderings and colocations that resources imply by what they are.

use super::colocation::Pair;
use crate::world::{N, R, Role, Side, Strategy, Variant, Why, World, ar, values};

/// What members of a group must know of those before them.
struct Member {
    last_active: Option<R>,
    previous: Option<R>,
}

impl World<'_> {
    pub(crate) fn internal_constraints(&mut self, r: R) {
        match self[r].variant {
            Variant::Primitive => self.primitive_constraints(r),
            Variant::Group => self.group_constraints(r),
            Variant::Clone => self.clone_constraints(r),
            Variant::Bundle => self.bundle_constraints(r),
        }
    }

    fn primitive_constraints(&mut self, r: R) {
        if !self[r].managed {
            return;
        }
        let unfencing = !self[r].fence_device && self.set.unfencing && self[r].needs_unfencing;
        let utilization = !self[r].utilization.is_empty() && self.set.strategy != Strategy::Default;
        self.order(
            r,
            "stop",
            r,
            "start",
            ar::ORDERED | ar::FIRST_IMPLIES_THEN | ar::INTERMEDIATE_STOP,
        );
        if self[self.top_of(r)].promotable || self[r].role > Role::Unpromoted {
            self.order(r, "demote", r, "stop", ar::PROMOTED_THEN_IMPLIES_FIRST);
            self.order(r, "start", r, "promote", ar::UNRUNNABLE_FIRST_BLOCKS);
        }
        self.order(r, "lrm_delete", r, "monitor", ar::IF_ON_SAME_NODE | ar::THEN_CANCELS_FIRST);
        let launcher = self[r].launcher;
        let mut allowed = Vec::new();
        if unfencing || utilization || launcher.is_some() {
            allowed = self[r].allowed.nodes();
            allowed.sort_by(|a, b| values::compare_names(&self[*a].name, &self[*b].name));
        }
        if unfencing {
            for n in &allowed {
                self.order_restart_vs_unfence(*n, r);
            }
        }
        if utilization {
            self.utilization_constraints(r, &allowed);
        }
        if let Some(l) = launcher {
            self.launcher_constraints(r, l, &allowed);
        }
        if self[r].is_remote_connection || self[r].fence_device {
            self.avoid_remote_nodes(r);
        }
    }

    fn avoid_remote_nodes(&mut self, r: R) {
        for n in self[r].allowed.nodes() {
            if self[n].remote.is_some()
                && let Some(c) = self[r].allowed.get_mut(n)
            {
                let before = std::mem::replace(&mut c.score, -values::INFINITY);
                self.note_score(r, n, Why::Kind, before, -values::INFINITY);
            }
        }
    }

    /// The connection that makes a guest of what a resource launches.
    pub(crate) fn contained_connection(&self, r: R) -> Option<R> {
        self[r].launched.iter().copied().find(|l| self[*l].is_remote_connection)
    }

    fn launcher_constraints(&mut self, r: R, l: R, allowed: &[N]) {
        let connection;
        if self[r].is_remote_connection {
            if !self[r].nesting_allowed {
                self.avoid_remote_nodes(l);
            }
            self.order(l, "monitor", r, "stop", ar::ORDERED);
            connection = None;
        } else if self[l].is_remote_connection {
            connection = Some(l);
        } else {
            connection = self.contained_connection(l);
        }
        if let Some(c) = connection {
            for n in allowed {
                if self[*n].remote != Some(c)
                    && let Some(cell) = self[r].allowed.get_mut(*n)
                {
                    let before = std::mem::replace(&mut cell.score, -values::INFINITY);
                    self.note_score(r, *n, Why::Kind, before, -values::INFINITY);
                }
            }
            return;
        }
        let up = ar::FIRST_IMPLIES_THEN | ar::UNRUNNABLE_FIRST_BLOCKS;
        self.order(l, "start", r, "start", up);
        self.order(r, "stop", l, "stop", ar::THEN_IMPLIES_FIRST);
        let score = if self[r].nesting_allowed { 10_000 } else { values::INFINITY };
        self.implied_colocation(r, l, score, true);
    }

    /// A colocation nobody wrote.
    pub(crate) fn implied_colocation(
        &mut self,
        dependent: R,
        primary: R,
        score: i32,
        influence: bool,
    ) {
        let pair = Pair {
            dependent,
            primary,
            dependent_role: None,
            primary_role: None,
            attribute: None,
            influence,
            explicit: false,
        };
        self.new_colocation(&pair, score);
    }

    fn utilization_constraints(&mut self, r: R, allowed: &[N]) {
        let flags = ar::IF_ON_SAME_NODE_OR_TARGET;
        for n in self[r].active.clone() {
            let load = self.load_stopped(n);
            self.new_ordering(Side::Task(r, "stop"), Side::Action(load), flags);
        }
        for n in allowed {
            let load = self.load_stopped(*n);
            self.new_ordering(Side::Action(load), Side::Task(r, "start"), flags);
            self.new_ordering(Side::Action(load), Side::Task(r, "migrate_to"), flags);
        }
    }

    fn group_constraints(&mut self, r: R) {
        self.order(r, "stop", r, "stopped", ar::UNRUNNABLE_FIRST_BLOCKS);
        self.order(r, "stopped", r, "start", ar::ORDERED);
        self.order(r, "start", r, "running", ar::UNRUNNABLE_FIRST_BLOCKS);
        let promotable = self[self.top_of(r)].promotable;
        let mut state = Member { last_active: None, previous: None };
        for m in self[r].children.clone() {
            self.member_constraints(r, m, promotable, &mut state);
        }
    }

    fn member_constraints(&mut self, g: R, m: R, promotable: bool, state: &mut Member) {
        self.internal_constraints(m);
        let ordered = self[g].group_ordered;
        let mut down = ar::THEN_IMPLIES_FIRST_GRAPHED;
        let mut post_down = ar::FIRST_IMPLIES_THEN_GRAPHED;
        match state.previous {
            None if ordered => {
                down |= ar::ORDERED;
                post_down = ar::FIRST_IMPLIES_THEN;
            }
            Some(p) if self[g].group_colocated => {
                self.implied_colocation(m, p, values::INFINITY, self[m].critical);
            }
            None | Some(_) => {}
        }
        let up =
            ar::UNRUNNABLE_FIRST_BLOCKS | ar::FIRST_IMPLIES_THEN | ar::FIRST_IMPLIES_THEN_GRAPHED;
        if promotable {
            self.order(g, "demote", m, "demote", down);
            self.order(m, "demote", g, "demoted", post_down);
            self.order(m, "promote", g, "promoted", up);
            self.order(g, "promote", m, "promote", ar::THEN_IMPLIES_FIRST_GRAPHED);
        }
        self.order(g, "stop", m, "stop", down);
        self.order(m, "stop", g, "stopped", post_down);
        self.order(g, "start", m, "start", ar::THEN_IMPLIES_FIRST_GRAPHED);
        self.order(m, "start", g, "running", up);
        if ordered {
            self.member_order(g, m, promotable, state.previous);
        } else {
            let flags = ar::FIRST_IMPLIES_THEN
                | ar::UNRUNNABLE_FIRST_BLOCKS
                | ar::THEN_IMPLIES_FIRST_GRAPHED;
            self.order(g, "start", m, "start", flags);
            if promotable {
                self.order(g, "promote", m, "promote", flags);
            }
        }
        if !self[m].active.is_empty() {
            if ordered
                && state.previous.is_some_and(|p| self[p].active.is_empty())
                && let Some(last) = state.last_active.filter(|l| !self[*l].active.is_empty())
            {
                self.order(m, "stop", last, "stop", ar::ORDERED);
            }
            state.last_active = Some(m);
        }
        state.previous = Some(m);
    }

    fn member_order(&mut self, g: R, m: R, promotable: bool, previous: Option<R>) {
        let Some(p) = previous else {
            self.order(g, "start", m, "start", ar::NONE);
            if promotable {
                self.order(g, "promote", m, "promote", ar::NONE);
            }
            return;
        };
        let up = ar::FIRST_IMPLIES_THEN | ar::UNRUNNABLE_FIRST_BLOCKS;
        self.order(p, "start", m, "start", up);
        self.order(m, "stop", p, "stop", ar::ORDERED | ar::INTERMEDIATE_STOP);
        if !self[m].active.is_empty() && self[p].active.is_empty() {
            let flags = ar::THEN_IMPLIES_FIRST | ar::UNRUNNABLE_FIRST_BLOCKS;
            self.order(m, "stop", p, "start", flags);
        }
        if promotable {
            self.order(p, "promote", m, "promote", up);
            self.order(m, "demote", p, "demote", ar::ORDERED);
        }
    }

    fn clone_constraints(&mut self, r: R) {
        self.order(r, "stopped", r, "start", ar::ORDERED);
        self.order(r, "start", r, "running", ar::UNRUNNABLE_FIRST_BLOCKS);
        self.order(r, "stop", r, "stopped", ar::UNRUNNABLE_FIRST_BLOCKS);
        let promotable = self[r].promotable;
        if promotable {
            self.order(r, "demoted", r, "stop", ar::ORDERED);
            self.order(r, "running", r, "promote", ar::UNRUNNABLE_FIRST_BLOCKS);
        }
        let ordered = self[r].clone_ordered;
        if ordered {
            self.sort_children_by_number(r);
        }
        let children = self[r].children.clone();
        for (i, c) in children.iter().enumerate() {
            self.internal_constraints(*c);
            let start = ar::UNRUNNABLE_FIRST_BLOCKS | ar::THEN_IMPLIES_FIRST_GRAPHED;
            self.order(r, "start", *c, "start", start);
            self.order(*c, "start", r, "running", ar::FIRST_IMPLIES_THEN_GRAPHED);
            self.order(r, "stop", *c, "stop", ar::THEN_IMPLIES_FIRST_GRAPHED);
            self.order(*c, "stop", r, "stopped", ar::FIRST_IMPLIES_THEN_GRAPHED);
            if ordered {
                for later in &children[i + 1..] {
                    self.order(*c, "start", *later, "start", ar::ORDERED);
                    self.order(*later, "stop", *c, "stop", ar::ORDERED);
                }
            }
        }
        if promotable {
            self.promotable_constraints(r);
        }
    }

    fn promotable_constraints(&mut self, r: R) {
        self.promotable_restart(r);
        let ordered = self[r].clone_ordered;
        let mut last: Option<R> = None;
        for c in self[r].children.clone() {
            self.order(c, "demote", c, "promote", ar::ORDERED);
            self.order(r, "promote", c, "promote", ar::ORDERED);
            self.order(c, "promote", r, "promoted", ar::ORDERED);
            if let Some(l) = last.filter(|_| ordered) {
                self.order(l, "promote", c, "promote", ar::ORDERED);
            }
            self.order(r, "demote", c, "demote", ar::THEN_IMPLIES_FIRST_GRAPHED);
            self.order(c, "demote", r, "demoted", ar::FIRST_IMPLIES_THEN_GRAPHED);
            if let Some(l) = last.filter(|_| ordered) {
                self.order(c, "demote", l, "demote", ar::ORDERED);
            }
            last = Some(c);
        }
    }

    fn promotable_restart(&mut self, r: R) {
        for (first, then) in [
            ("stopped", "start"),
            ("stopped", "promote"),
            ("demoted", "stop"),
            ("demoted", "start"),
            ("demoted", "promote"),
            ("running", "promote"),
            ("demote", "demoted"),
        ] {
            self.order(r, first, r, then, ar::ORDERED);
        }
    }

    fn bundle_constraints(&mut self, r: R) {
        let Some(b) = self[r].bundle.clone() else { return };
        for p in &b.replicas {
            let Some(c) = p.container else { continue };
            self.internal_constraints(c);
            let start = ar::UNRUNNABLE_FIRST_BLOCKS | ar::THEN_IMPLIES_FIRST_GRAPHED;
            self.order(r, "start", c, "start", start);
            if let Some(child) = p.child {
                self.order(r, "stop", child, "stop", ar::THEN_IMPLIES_FIRST_GRAPHED);
            }
            self.order(r, "stop", c, "stop", ar::THEN_IMPLIES_FIRST_GRAPHED);
            self.order(c, "start", r, "running", ar::FIRST_IMPLIES_THEN_GRAPHED);
            self.order(c, "stop", r, "stopped", ar::FIRST_IMPLIES_THEN_GRAPHED);
            if let Some(ip) = p.ip {
                self.internal_constraints(ip);
                let up = ar::UNRUNNABLE_FIRST_BLOCKS | ar::GUEST_ALLOWED;
                self.order(ip, "start", c, "start", up);
                self.order(c, "stop", ip, "stop", ar::THEN_IMPLIES_FIRST | ar::GUEST_ALLOWED);
                self.implied_colocation(ip, c, values::INFINITY, true);
            }
            if let Some(remote) = p.remote {
                self.internal_constraints(remote);
            }
        }
        let Some(inner) = b.child else { return };
        self.order(r, "start", inner, "start", ar::THEN_IMPLIES_FIRST_GRAPHED);
        self.order(inner, "running", r, "running", ar::FIRST_IMPLIES_THEN_GRAPHED);
        self.order(r, "stop", inner, "stop", ar::THEN_IMPLIES_FIRST_GRAPHED);
        self.order(inner, "stopped", r, "stopped", ar::FIRST_IMPLIES_THEN_GRAPHED);
        self.internal_constraints(inner);
        if !self[inner].promotable {
            return;
        }
        self.promotable_restart(r);
        self.order(r, "demote", inner, "demote", ar::THEN_IMPLIES_FIRST_GRAPHED);
        self.order(inner, "demoted", r, "demoted", ar::FIRST_IMPLIES_THEN_GRAPHED);
        self.order(r, "promote", inner, "promote", ar::THEN_IMPLIES_FIRST_GRAPHED);
        self.order(inner, "promoted", r, "promoted", ar::FIRST_IMPLIES_THEN_GRAPHED);
    }
}
