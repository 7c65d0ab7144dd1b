//! Ordering constraints.

use haven_cib::{Order, ResourceSet};

use super::sets::Named;
use crate::world::{Ordering, R, Side, World, ar, values};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Optional,
    Mandatory,
    Serialize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Symmetry {
    Asymmetric,
    Symmetric,
    Inverse,
}

impl World<'_> {
    pub(super) fn unpack_order(&mut self, o: &Order) {
        let kind = self.order_kind(o.kind.as_deref(), o.score.as_deref());
        let explicit = o.kind.is_some() || o.score.is_some();
        let symmetry =
            self.symmetry(o.symmetrical.as_deref(), kind, None, explicit.then_some(kind));
        let mut o = o.clone();
        if let Some(sets) = self.expand_sets(&o.sets) {
            o.sets = sets;
        } else if let (Some(f), Some(t)) = (o.first.clone(), o.then.clone()) {
            let (Some(first), Some(then)) = (self.named(&f), self.named(&t)) else {
                self.warn(format!("order {}: `{f}` or `{t}` is not there", o.id));
                return;
            };
            if !matches!((&first, &then), (Named::Resource(_), Named::Resource(_))) {
                let action = o.first_action.take();
                o.sets.push(ResourceSet { action, ..self.set_of(&f, &first) });
                let action = o.then_action.take();
                o.sets.push(ResourceSet { action, ..self.set_of(&t, &then) });
            }
        }
        if o.sets.is_empty() {
            self.simple_order(&o, kind, symmetry);
            return;
        }
        for i in 0..o.sets.len() {
            if self.order_set(&o.sets[i], kind, o.symmetrical.as_deref()).is_none() {
                return;
            }
            if i == 0 {
                continue;
            }
            let (s1, s2) = (&o.sets[i - 1], &o.sets[i]);
            if self.order_sets(s1, s2, kind, symmetry).is_none() {
                return;
            }
            if symmetry == Symmetry::Symmetric
                && self.order_sets(s2, s1, kind, Symmetry::Inverse).is_none()
            {
                return;
            }
        }
    }

    fn order_kind(&self, kind: Option<&str>, score: Option<&str>) -> Kind {
        match kind {
            Some("Optional") => Kind::Optional,
            Some("Serialize") => Kind::Serialize,
            Some(_) => Kind::Mandatory,
            None => match score.map(|s| self.score(s).unwrap_or(0)) {
                Some(0) => Kind::Optional,
                _ => Kind::Mandatory,
            },
        }
    }

    fn symmetry(
        &self,
        own: Option<&str>,
        parent: Kind,
        parent_symmetrical: Option<&str>,
        kind: Option<Kind>,
    ) -> Symmetry {
        let kind = kind.unwrap_or(parent);
        let asked = own
            .and_then(values::boolean)
            .or_else(|| parent_symmetrical.map(|v| values::is_true(Some(v))));
        match (asked, kind) {
            (Some(true), Kind::Optional | Kind::Mandatory) => Symmetry::Symmetric,
            (Some(_), _) | (None, Kind::Serialize) => Symmetry::Asymmetric,
            (None, _) => Symmetry::Symmetric,
        }
    }

    fn simple_order(&mut self, o: &Order, kind: Kind, symmetry: Symmetry) {
        let find =
            |w: &Self, id: &Option<String>| id.as_deref().and_then(|id| w.constraint_resource(id));
        let (Some(first), Some(then)) = (find(self, &o.first), find(self, &o.then)) else { return };
        let first_action = o.first_action.as_deref().unwrap_or("start");
        let then_action = o.then_action.as_deref().unwrap_or(first_action);
        let flags = flags_for(kind, first_action, symmetry);
        let minimum = self.minimum_first(first, o.require_all.as_deref());
        if minimum > 0 {
            self.order_minimum(&o.id, (first, first_action), (then, then_action), flags, minimum);
        } else {
            self.new_ordering(side(first, first_action), side(then, then_action), flags);
        }
        if symmetry == Symmetry::Symmetric
            && let (Some(f), Some(t)) = (invert(first_action), invert(then_action))
        {
            let flags = flags_for(kind, f, Symmetry::Inverse);
            self.new_ordering(side(then, t), side(first, f), flags);
        }
    }

    /// How many instances of `first` are enough; 0 for all that will run.
    fn minimum_first(&self, first: R, require_all: Option<&str>) -> i32 {
        if !self.is_clone(first) {
            return 0;
        }
        if let Some(min) = self[first].meta("clone-min") {
            return values::min_int(Some(min), 0);
        }
        i32::from(require_all.is_some_and(|v| !values::is_true(Some(v))))
    }

    fn order_minimum(
        &mut self,
        id: &str,
        first: (R, &str),
        then: (R, &str),
        flags: u32,
        minimum: i32,
    ) {
        let met = self.pseudo(&format!("clone-one-or-more:{id}"));
        self[met].required_before = minimum;
        for c in self[first.0].children.clone() {
            self.new_ordering(
                side(c, first.1),
                Side::Action(met),
                ar::MIN_RUNNABLE | ar::FIRST_IMPLIES_THEN_GRAPHED,
            );
        }
        let flags = flags | ar::UNRUNNABLE_FIRST_BLOCKS;
        self.new_ordering(Side::Action(met), side(then.0, then.1), flags);
    }

    fn set_members(&self, set: &ResourceSet) -> Option<Vec<R>> {
        set.members.iter().map(|m| self.constraint_resource(m)).collect()
    }

    /// The members of one set with each other.
    fn order_set(
        &mut self,
        set: &ResourceSet,
        parent: Kind,
        symmetrical: Option<&str>,
    ) -> Option<()> {
        let action = set.action.as_deref().unwrap_or("start");
        let local = match &set.kind {
            Some(k) => self.order_kind(Some(k), None),
            None => parent,
        };
        let sequential = set.sequential.as_deref().is_none_or(|v| values::is_true(Some(v)));
        let explicit = (set.kind.is_some() || set.score.is_some())
            .then(|| self.order_kind(set.kind.as_deref(), set.score.as_deref()));
        let symmetry = self.symmetry(None, parent, symmetrical, explicit);
        let flags = flags_for(local, action, symmetry);
        let members = self.set_members(set)?;
        if members.len() == 1 {
            return Some(());
        }
        for (i, r) in members.iter().enumerate() {
            if local == Kind::Serialize {
                for then in &members[i + 1..] {
                    self.new_ordering(side(*r, action), side(*then, action), flags);
                }
            } else if sequential && i > 0 {
                self.new_ordering(side(members[i - 1], action), side(*r, action), flags);
            }
        }
        if symmetry == Symmetry::Asymmetric {
            return Some(());
        }
        let Some(action) = invert(action) else { return Some(()) };
        let flags = flags_for(local, action, Symmetry::Inverse);
        if sequential {
            for pair in members.windows(2) {
                self.new_ordering(side(pair[1], action), side(pair[0], action), flags);
            }
        }
        Some(())
    }

    /// The members of one set with those of the other.
    fn order_sets(
        &mut self,
        s1: &ResourceSet,
        s2: &ResourceSet,
        kind: Kind,
        symmetry: Symmetry,
    ) -> Option<()> {
        let inverse = symmetry == Symmetry::Inverse;
        let action = |s: &ResourceSet| -> Option<String> {
            let a = s.action.as_deref().unwrap_or("start");
            if inverse { invert(a).map(str::to_owned) } else { Some(a.to_owned()) }
        };
        let (Some(a1), Some(a2)) = (action(s1), action(s2)) else { return Some(()) };
        let mut require_all = s1.require_all.as_deref().and_then(values::boolean).unwrap_or(true);
        require_all |= a1 == "stop" || a1 == "demote";
        let flags = flags_for(kind, &a1, symmetry);
        let (m1, m2) = (self.set_members(s1)?, self.set_members(s2)?);
        if !require_all {
            let any = self.pseudo(&format!("one-or-more:{}", s1.id));
            self[any].required_before = 1;
            for r in m1 {
                let flags = ar::MIN_RUNNABLE | ar::FIRST_IMPLIES_THEN_GRAPHED;
                self.new_ordering(side(r, &a1), Side::Action(any), flags);
            }
            for r in m2 {
                let flags = flags | ar::UNRUNNABLE_FIRST_BLOCKS;
                self.new_ordering(Side::Action(any), side(r, &a2), flags);
            }
            return Some(());
        }
        let ends = |set: &ResourceSet, m: &[R], last: bool| {
            if !values::is_true(set.sequential.as_deref()) {
                return m.to_vec();
            }
            let one = if last { m.last() } else { m.first() };
            one.map_or_else(|| m.to_vec(), |r| vec![*r])
        };
        let firsts = ends(s1, &m1, !inverse);
        let thens = ends(s2, &m2, inverse);
        for f in &firsts {
            for t in &thens {
                self.new_ordering(side(*f, &a1), side(*t, &a2), flags);
            }
        }
        Some(())
    }

    /// Orders two actions by their names.
    pub(crate) fn order(
        &mut self,
        first: R,
        first_task: &'static str,
        then: R,
        then_task: &'static str,
        flags: u32,
    ) {
        self.new_ordering(Side::Task(first, first_task), Side::Task(then, then_task), flags);
    }

    pub(crate) fn side_rsc(&self, s: &Side) -> Option<R> {
        match s {
            Side::Task(r, _) | Side::Named(r, _) | Side::ActionOf(r, _) => Some(*r),
            Side::Action(a) => self[*a].rsc,
        }
    }

    fn side_task(&self, s: &Side) -> Option<String> {
        s.action().map(|a| self[a].task.to_string()).or_else(|| s.task().map(str::to_owned))
    }

    pub(crate) fn new_ordering(&mut self, first: Side, then: Side, flags: u32) {
        self.note_ordering();
        self.orderings.push(Ordering { flags, first: first.clone(), then: then.clone() });
        self.order_migration_equivalents(&first, &then);
    }

    /// What an ordering of starts and stops means for migrations.
    fn order_migration_equivalents(&mut self, first: &Side, then: &Side) {
        let (Some(r1), Some(r2)) = (self.side_rsc(first), self.side_rsc(then)) else { return };
        let (m1, m2) = (self[r1].migratable, self[r2].migratable);
        if (!m1 && !m2) || r1 == r2 || self.is_inside(r1, r2) || self.is_inside(r2, r1) {
            return;
        }
        let (Some(t1), Some(t2)) = (self.side_task(first), self.side_task(then)) else { return };
        let partial = self[r2].migration_target.is_some();
        let unmigratable = ar::ORDERED | if m1 { ar::IF_FIRST_UNMIGRATABLE } else { 0 };
        match (t1.as_str(), t2.as_str()) {
            ("start", "start") => {
                if m1 && m2 {
                    self.order(r1, "migrate_from", r2, "migrate_to", ar::ORDERED);
                }
                if m2 {
                    self.order(r1, "start", r2, "migrate_to", unmigratable);
                }
            }
            ("stop", "stop") if m2 => {
                self.order(r1, "stop", r2, "migrate_to", unmigratable);
                if partial {
                    self.order(r1, "stop", r2, "migrate_from", unmigratable);
                }
            }
            ("promote", "start") if m2 => {
                self.order(r1, "promote", r2, "migrate_to", ar::ORDERED);
            }
            ("demote", "stop") if m2 => {
                self.order(r1, "demote", r2, "migrate_to", ar::ORDERED);
                if partial {
                    self.order(r1, "demote", r2, "migrate_from", ar::ORDERED);
                }
            }
            _ => {}
        }
    }
}

/// All actions of this name of a resource.
fn side(r: R, task: &str) -> Side {
    const KNOWN: [&str; 4] = ["start", "stop", "promote", "demote"];
    match KNOWN.iter().find(|k| **k == task) {
        Some(k) => Side::Task(r, k),
        None => Side::Named(r, task.to_owned()),
    }
}

fn invert(action: &str) -> Option<&'static str> {
    Some(match action {
        "start" => "stop",
        "stop" => "start",
        "promote" => "demote",
        "demote" => "promote",
        "promoted" => "demoted",
        "demoted" => "promoted",
        "running" => "stopped",
        "stopped" => "running",
        _ => return None,
    })
}

fn flags_for(kind: Kind, first: &str, symmetry: Symmetry) -> u32 {
    match (kind, symmetry) {
        (Kind::Optional, _) => ar::ORDERED,
        (Kind::Serialize, _) => ar::SERIALIZE,
        (Kind::Mandatory, Symmetry::Asymmetric) => ar::ORDERED | ar::ASYMMETRIC,
        (Kind::Mandatory, Symmetry::Symmetric) => {
            let up = matches!(first, "start" | "promote" | "migrate_from");
            let blocks = if up { ar::UNRUNNABLE_FIRST_BLOCKS } else { 0 };
            ar::ORDERED | ar::FIRST_IMPLIES_THEN | blocks
        }
        (Kind::Mandatory, Symmetry::Inverse) => ar::ORDERED | ar::THEN_IMPLIES_FIRST,
    }
}
