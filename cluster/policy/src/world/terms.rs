//! What led to a decision: scores with where they come from, choices, and what passed requirements
//! and obstacles on. Written down only for `explain`.
//!
//! [`World::terms`] is `None` unless somebody asks; then each place that has something to tell costs one test of
//! that, and no memory. Whatever is written down never has an effect on what is decided.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{A, N, R, Table, World};

/// Why a score changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// Index of a location constraint.
    Location(usize),
    /// Index of a colocation in which the resource follows.
    Follows(usize),
    /// Index of a colocation in which the resource is followed.
    Followed(usize),
    Stickiness,
    /// Fail count at the threshold.
    Threshold,
    /// A failure that bans by itself.
    Failure,
    /// A ticket constraint; what [`World::ticket_why`] gave.
    Ticket(u32),
    ShutdownLock,
    Discovery,
    /// No part of the configuration any more.
    Removed,
    /// Not managed, so it stays.
    Unmanaged,
    /// Active more often than it may be.
    MultiplyActive,
    /// Its role is to be Stopped.
    Role,
    Capacity,
    /// As many instances as there may be, on the node or at all.
    Instances,
    Promotion,
    /// Only certain nodes can: a container's inside, a connection's host.
    Kind,
}

/// One change of a score.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) node: N,
    pub(crate) why: Why,
    pub(crate) before: i32,
    pub(crate) after: i32,
}

/// How a node was chosen.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// The scores it was chosen by.
    pub(crate) table: Table,
    /// How many resources had been placed on each node.
    pub(crate) assigned: Vec<i32>,
    pub(crate) by: By,
}

/// What a choice went by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The best node.
    Best,
    /// The node asked for: where an instance is already, or where there is most room.
    Preferred,
    /// The node it runs on, as good as the best.
    Stays,
    /// It is not managed.
    Unmanaged,
    /// Nothing is to run.
    StopAll,
}

/// What passed a requirement or an obstacle on to an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cause {
    /// The flag that was taken away.
    pub(crate) flag: u32,
    pub(crate) by: A,
}

/// All that was written down.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// The constraint being read.
    source: Option<Rc<str>>,
    tickets: Vec<(Rc<str>, String)>,
    locations: Vec<Option<Rc<str>>>,
    colocations: Vec<Option<Rc<str>>>,
    orderings: Vec<Option<Rc<str>>>,
    relations: BTreeMap<(A, A), Rc<str>>,
    scores: BTreeMap<R, Vec<Entry>>,
    choices: BTreeMap<R, Choice>,
    causes: BTreeMap<A, Vec<Cause>>,
}

impl Terms {
    /// The id of a location constraint; none for node health.
    pub(crate) fn location(&self, i: usize) -> Option<&str> {
        self.locations.get(i)?.as_deref()
    }

    /// The id of a colocation; none for those that groups and containers imply.
    pub(crate) fn colocation(&self, i: usize) -> Option<&str> {
        self.colocations.get(i)?.as_deref()
    }

    /// The id of the ordering that relates two actions; none for implied ones.
    pub(crate) fn relation(&self, first: A, then: A) -> Option<&str> {
        self.relations.get(&(first, then)).map(|id| &**id)
    }

    /// The id of a ticket constraint, and its ticket.
    pub(crate) fn ticket(&self, i: u32) -> (&str, &str) {
        self.tickets.get(i as usize).map_or(("", ""), |(id, ticket)| (id, ticket))
    }

    /// Changes of a resource's scores, in the order they happened.
    pub(crate) fn scores(&self, r: R) -> &[Entry] {
        self.scores.get(&r).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn choice(&self, r: R) -> Option<&Choice> {
        self.choices.get(&r)
    }

    pub(crate) fn causes(&self, a: A) -> &[Cause] {
        self.causes.get(&a).map_or(&[], Vec::as_slice)
    }
}

/// Taking down. Every change of a score comes by here, since sums of scores that are kept have to be forgotten then;
/// beyond that, each of these does nothing unless asked for.
impl World<'_> {
    /// From here on constraints come from this object of the configuration.
    pub(crate) fn reading(&mut self, id: Option<&str>) {
        if let Some(t) = &mut self.terms {
            t.source = id.map(Into::into);
        }
    }

    pub(crate) fn note_location(&mut self) {
        if let Some(t) = &mut self.terms {
            t.locations.push(t.source.clone());
        }
    }

    pub(crate) fn note_colocation(&mut self) {
        if let Some(t) = &mut self.terms {
            t.colocations.push(t.source.clone());
        }
    }

    pub(crate) fn note_ordering(&mut self) {
        if let Some(t) = &mut self.terms {
            t.orderings.push(t.source.clone());
        }
    }

    /// From here on relations come from this ordering.
    pub(crate) fn relating(&mut self, ordering: usize) {
        if let Some(t) = &mut self.terms {
            t.source = t.orderings.get(ordering).cloned().flatten();
        }
    }

    pub(crate) fn note_relation(&mut self, first: A, then: A) {
        if let Some(t) = &mut self.terms
            && let Some(id) = &t.source
        {
            t.relations.insert((first, then), Rc::clone(id));
        }
    }

    /// The reason for what a ticket constraint does: the constraint being read, and its ticket.
    pub(crate) fn ticket_why(&mut self, ticket: &str) -> Why {
        let Some(t) = &mut self.terms else { return Why::Ticket(0) };
        let id = t.source.clone().unwrap_or_else(|| "promoted".into());
        t.tickets.push((id, ticket.to_owned()));
        Why::Ticket(u32::try_from(t.tickets.len() - 1).unwrap_or(u32::MAX))
    }

    #[inline]
    pub(crate) fn note_score(&mut self, r: R, node: N, why: Why, before: i32, after: i32) {
        self.forget_sums(r);
        if let Some(t) = &mut self.terms
            && before != after
        {
            t.scores.entry(r).or_default().push(Entry { node, why, before, after });
        }
    }

    /// Takes down how `change` alters the scores of `r`.
    #[inline]
    pub(crate) fn noting<T>(&mut self, r: R, why: Why, change: impl FnOnce(&mut Self) -> T) -> T {
        self.forget_sums(r);
        if self.terms.is_none() {
            return change(self);
        }
        let before = self[r].allowed.clone();
        let result = change(self);
        for n in self[r].allowed.nodes() {
            let after = self[r].allowed.get(n).map_or(0, |c| c.score);
            let before = before.get(n).map_or(0, |c| c.score);
            self.note_score(r, n, why, before, after);
        }
        result
    }

    /// How much has been taken down of a resource's scores.
    pub(crate) fn noted(&self, r: R) -> usize {
        self.terms.as_ref().map_or(0, |t| t.scores(r).len())
    }

    /// Strikes out what was taken down since.
    pub(crate) fn strike_out(&mut self, r: R, since: usize) {
        self.forget_sums(r);
        if let Some(list) = self.terms.as_mut().and_then(|t| t.scores.get_mut(&r)) {
            list.truncate(since);
        }
    }

    pub(crate) fn note_choice(&mut self, r: R, by: By) {
        if self.terms.is_some() {
            let table = self[r].allowed.clone();
            let assigned = self.nodes.iter().map(|n| n.assigned).collect();
            if let Some(t) = &mut self.terms {
                t.choices.insert(r, Choice { table, assigned, by });
            }
        }
    }

    pub(crate) fn note_cause(&mut self, action: A, flag: u32, by: A) {
        if let Some(t) = &mut self.terms {
            let list = t.causes.entry(action).or_default();
            let cause = Cause { flag, by };
            if !list.contains(&cause) {
                list.push(cause);
            }
        }
    }
}
