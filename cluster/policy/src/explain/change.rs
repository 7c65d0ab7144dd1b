//! Single changes that might alter where a resource is.

use std::fmt;

use haven_cib::{Cib, Constraint, Location, NvSet, Resource};
use haven_types::status::{Presence, Status};

use super::{Instance, Kind, Question, Row, Term, Verdict};
use crate::world::values::{self, INFINITY};

/// One change of configuration or status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Remove a constraint.
    Without(&'static str, String),
    /// Give a location constraint another score.
    Score(String, i32, i32),
    /// Prefer a node.
    Prefer { resource: String, node: String, score: i32 },
    /// Remove a meta attribute of a resource, or set it.
    Meta { resource: String, name: &'static str, value: Option<&'static str> },
    /// Forget the failures of a resource on a node.
    Cleanup { resource: String, node: String },
    /// Take a state off a node.
    Node { node: String, state: NodeChange },
    /// Set a cluster option.
    Option(&'static str, &'static str, &'static str),
    /// Have quorum.
    Quorum,
    /// Grant a ticket.
    Ticket(String),
    /// Let a resource need nothing of a node's capacity.
    NoUtilization(String),
}

/// What may change about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeChange {
    Online,
    OutOfStandby,
    OutOfMaintenance,
    Healthy,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Without(kind, id) => write!(f, "without {kind} {id}"),
            Self::Score(id, from, to) => write!(f, "with location {id} at {to} instead of {from}"),
            Self::Prefer { resource, node, score } => {
                write!(
                    f,
                    "with a preference of {} for {node} by {resource}",
                    values::readable(*score)
                )
            }
            Self::Meta { resource, name, value: None } => write!(f, "without {name} of {resource}"),
            Self::Meta { resource, name, value: Some(v) } => {
                write!(f, "with {name}={v} for {resource}")
            }
            Self::Cleanup { resource, node } => {
                write!(f, "with the failures of {resource} on {node} forgotten")
            }
            Self::Node { node, state } => {
                let state = match state {
                    NodeChange::Online => "online",
                    NodeChange::OutOfStandby => "not in standby",
                    NodeChange::OutOfMaintenance => "not in maintenance",
                    NodeChange::Healthy => "healthy",
                };
                write!(f, "with {node} {state}")
            }
            Self::Option(_, _, words) => f.write_str(words),
            Self::Quorum => f.write_str("with quorum"),
            Self::Ticket(id) => write!(f, "with ticket {id} granted"),
            Self::NoUtilization(id) => write!(f, "without utilization of {id}"),
        }
    }
}

/// The changes that have to do with what decided, smallest first.
pub(super) fn candidates(
    cib: &Cib,
    status: &Status,
    instances: &[Instance],
    question: &Question,
) -> Vec<Change> {
    let mut list = List { cib, status, changes: Vec::new() };
    for i in instances {
        list.of_instance(i, question);
    }
    list.changes
}

struct List<'a> {
    cib: &'a Cib,
    status: &'a Status,
    changes: Vec<Change>,
}

impl List<'_> {
    fn push(&mut self, change: Change) {
        if !self.changes.contains(&change) {
            self.changes.push(change);
        }
    }

    fn of_instance(&mut self, i: &Instance, question: &Question) {
        let id = values::strip_instance(&i.resource);
        if i.verdict == Verdict::Unmanaged {
            self.management(id);
        }
        if i.node.is_none() {
            self.not_running(id);
        }
        let wanted = |row: &&Row| question.node.as_ref().is_none_or(|n| *n == row.node);
        for row in i.table.iter().filter(|row| Some(&row.node) == i.node.as_ref()) {
            for t in &row.terms {
                self.of_term(t, id, &row.node);
            }
        }
        for row in i.table.iter().filter(wanted) {
            for t in row.vetoes.iter().chain(row.terms.iter().filter(|t| t.value < 0)) {
                self.of_term(t, id, &row.node);
            }
            self.of_margin(i, row, id);
        }
        for t in i.actions.iter().flat_map(|a| &a.terms).chain(&i.deciding.term) {
            self.of_term(t, id, i.node.as_deref().unwrap_or_default());
        }
    }

    /// What might help something that does not run.
    fn not_running(&mut self, id: &str) {
        if self.status.quorate != Some(true) {
            self.push(Change::Quorum);
        }
        let stop_all = "with stop-all-resources off";
        if self.cib.option("stop-all-resources").is_some_and(|v| values::is_true(Some(v))) {
            self.push(Change::Option("stop-all-resources", "false", stop_all));
        }
        for id in self.around(id) {
            self.push(Change::Meta { resource: id, name: "target-role", value: None });
        }
    }

    fn management(&mut self, id: &str) {
        for id in self.around(id) {
            for name in ["is-managed", "maintenance"] {
                self.push(Change::Meta { resource: id.clone(), name, value: None });
            }
        }
        if self.cib.option("maintenance-mode").is_some_and(|v| values::is_true(Some(v))) {
            let words = "with maintenance-mode off";
            self.push(Change::Option("maintenance-mode", "false", words));
        }
    }

    /// A resource and what is around it, innermost first.
    fn around(&self, id: &str) -> Vec<String> {
        let mut list = vec![id.to_owned()];
        for r in &self.cib.resources {
            let inside = r.primitives().iter().any(|p| p.id == id);
            if !inside || r.id() == id {
                continue;
            }
            if let Resource::Clone(c) = r
                && let haven_cib::CloneChild::Group(g) = &*c.child
            {
                list.push(g.id.clone());
            }
            list.push(r.id().to_owned());
        }
        list
    }

    fn of_term(&mut self, t: &Term, id: &str, node: &str) {
        let id = || id.to_owned();
        match t.kind {
            Kind::Location | Kind::Rule if self.constraint(&t.source) => {
                self.push(Change::Without("location", t.source.clone()));
            }
            Kind::Location if t.source == "symmetric-cluster" => {
                let words = "with symmetric-cluster on";
                self.push(Change::Option("symmetric-cluster", "true", words));
            }
            Kind::Colocation => self.push(Change::Without("colocation", t.source.clone())),
            Kind::Order if self.constraint(&t.source) => {
                self.push(Change::Without("order", t.source.clone()));
            }
            Kind::Ticket => {
                let constraint = self.cib.constraints.iter().find(|c| c.id() == t.source);
                if let Some(Constraint::Ticket(c)) = constraint
                    && let Some(ticket) = &c.ticket
                {
                    self.push(Change::Ticket(ticket.clone()));
                }
            }
            Kind::Stickiness => {
                let (name, value) = ("resource-stickiness", Some("0"));
                self.push(Change::Meta { resource: id(), name, value });
            }
            Kind::Failure => self.push(Change::Cleanup { resource: id(), node: node.to_owned() }),
            Kind::Health => self.node(node, NodeChange::Healthy),
            Kind::Utilization => self.push(Change::NoUtilization(id())),
            Kind::Quorum => self.push(Change::Quorum),
            Kind::Fencing => {
                let words = "with a fencing device";
                self.push(Change::Option("have-watchdog", "true", words));
            }
            Kind::Role => {
                for resource in self.around(&id()) {
                    self.push(Change::Meta { resource, name: "target-role", value: None });
                }
            }
            Kind::ShutdownLock => {
                let words = "with shutdown-lock off";
                self.push(Change::Option("shutdown-lock", "false", words));
            }
            Kind::Node => match t.detail.as_str() {
                "standby" => self.node(node, NodeChange::OutOfStandby),
                "standby after a failure" => {
                    self.push(Change::Cleanup { resource: id(), node: node.to_owned() });
                }
                "maintenance" => self.node(node, NodeChange::OutOfMaintenance),
                _ => self.node(node, NodeChange::Online),
            },
            Kind::Managed if t.detail == "maintenance of the node" => {
                self.node(&t.source, NodeChange::OutOfMaintenance);
            }
            Kind::Location
            | Kind::Rule
            | Kind::Order
            | Kind::Group
            | Kind::Promotion
            | Kind::Managed
            | Kind::Instances
            | Kind::Nature
            | Kind::Other => {}
        }
    }

    fn node(&mut self, node: &str, state: NodeChange) {
        self.push(Change::Node { node: node.to_owned(), state });
    }

    fn constraint(&self, id: &str) -> bool {
        self.cib.constraints.iter().any(|c| c.id() == id)
    }

    /// The least changes of scores that let another node win.
    fn of_margin(&mut self, i: &Instance, row: &Row, id: &str) {
        let Some(here) = i.table.iter().find(|r| Some(&r.node) == i.node.as_ref()) else { return };
        if !row.eligible || here.node == row.node || here.total >= INFINITY || row.total < 0 {
            return;
        }
        let need = here.total.saturating_sub(row.total).saturating_add(1);
        if need <= 0 || need >= INFINITY {
            return;
        }
        let score = |row: &Row, source: &str| {
            let found = row.terms.iter().find(|t| t.kind == Kind::Location && t.source == source);
            found.map(|t| t.value)
        };
        for t in here.terms.iter().filter(|t| t.kind == Kind::Location && t.value.abs() < INFINITY)
        {
            if score(row, &t.source).is_none() {
                self.push(Change::Score(t.source.clone(), t.value, t.value - need));
            }
        }
        for t in row.terms.iter().filter(|t| t.kind == Kind::Location && t.value.abs() < INFINITY) {
            if score(here, &t.source).is_none() {
                self.push(Change::Score(t.source.clone(), t.value, t.value + need));
            }
        }
        self.push(Change::Prefer { resource: id.to_owned(), node: row.node.clone(), score: need });
    }
}

impl Change {
    /// Makes the change; false where there is nothing to change.
    pub(super) fn apply(&self, cib: &mut Cib, status: &mut Status) -> bool {
        match self {
            Self::Without(_, id) => cib.remove_constraint(id).is_ok(),
            Self::Score(id, _, to) => cib.constraints.iter_mut().any(|c| match c {
                Constraint::Location(l) if l.id == *id && l.node.is_some() => {
                    l.score = Some(to.to_string());
                    true
                }
                Constraint::Location(_)
                | Constraint::Colocation(_)
                | Constraint::Order(_)
                | Constraint::Ticket(_) => false,
            }),
            Self::Prefer { resource, node, score } => {
                cib.constraints.push(Constraint::Location(Location {
                    id: format!("explain-{resource}-{node}"),
                    resource: Some(resource.clone()),
                    node: Some(node.clone()),
                    score: Some(score.to_string()),
                    ..Location::default()
                }));
                true
            }
            Self::Meta { resource, name, value } => set_meta(cib, resource, name, *value),
            Self::Cleanup { resource, node } => cleanup(status, resource, node),
            Self::Node { node, state } => change_node(cib, status, node, *state),
            Self::Option(name, value, _) => {
                cib.set_option(name, Some(value));
                true
            }
            Self::Quorum => {
                status.quorate = Some(true);
                true
            }
            Self::Ticket(id) => {
                let new =
                    || haven_types::status::TicketState { id: id.clone(), ..Default::default() };
                let at = status.tickets.iter().position(|t| t.id == *id);
                let at = at.unwrap_or_else(|| {
                    status.tickets.push(new());
                    status.tickets.len() - 1
                });
                status.tickets[at].granted = true;
                status.tickets[at].standby = false;
                true
            }
            Self::NoUtilization(id) => no_utilization(cib, id),
        }
    }
}

fn set_meta(cib: &mut Cib, resource: &str, name: &str, value: Option<&str>) -> bool {
    let before = cib.resources.clone();
    cib.set_meta(resource, name, value).is_ok() && cib.resources != before
}

fn cleanup(status: &mut Status, resource: &str, node: &str) -> bool {
    let Some(state) = status.node_mut(node) else { return false };
    let count = state.attributes.len();
    let ours = |key: &str, prefix: &str| {
        key.strip_prefix(prefix)
            .and_then(|rest| rest.rsplit_once('#'))
            .is_some_and(|(id, _)| values::strip_instance(id) == resource)
    };
    state.attributes.retain(|k, _| !ours(k, "fail-count-") && !ours(k, "last-failure-"));
    let mut changed = state.attributes.len() != count;
    for r in &mut state.resources {
        if values::strip_instance(&r.id) != resource {
            continue;
        }
        let before = r.operations.len();
        r.operations.retain(|op| {
            let expected = op.transition_key.as_deref().and_then(|k| k.split(':').nth(2));
            let target = expected.and_then(|rc| rc.parse().ok()).unwrap_or(0);
            op.exec_status <= 0 && (op.rc == target || op.rc == 0 || op.rc == 7 || op.rc == 8)
        });
        changed |= r.operations.len() != before;
    }
    changed
}

fn change_node(cib: &mut Cib, status: &mut Status, node: &str, state: NodeChange) -> bool {
    let attribute = match state {
        NodeChange::Online => {
            let Some(known) = cib.nodes.iter().find(|n| n.uname == node) else { return false };
            let id = known.id.clone();
            if status.node(node).is_none() {
                status.nodes.push(haven_types::status::NodeState::member(id, node));
            }
            let Some(s) = status.node_mut(node) else { return false };
            s.in_membership = Presence::Yes;
            s.peer_online = Presence::Yes;
            (s.join, s.expected) = (Some("member".into()), Some("member".into()));
            return s.attributes.remove("shutdown").is_some() || !s.remote;
        }
        NodeChange::OutOfStandby => "standby",
        NodeChange::OutOfMaintenance => "maintenance",
        NodeChange::Healthy => "#health",
    };
    let concerns =
        |name: &str| name == attribute || (attribute == "#health" && name.starts_with(attribute));
    let mut changed = false;
    if let Some(s) = status.node_mut(node) {
        let count = s.attributes.len();
        s.attributes.retain(|k, _| !concerns(k));
        changed |= s.attributes.len() != count;
    }
    for n in cib.nodes.iter_mut().filter(|n| n.uname == node) {
        for set in &mut n.attributes {
            let count = set.pairs.len();
            set.pairs.retain(|p| !concerns(&p.name));
            changed |= set.pairs.len() != count;
        }
    }
    changed
}

fn no_utilization(cib: &mut Cib, id: &str) -> bool {
    let clear = |sets: &mut Vec<NvSet>| !std::mem::take(sets).is_empty();
    cib.resources.iter_mut().any(|r| match r {
        Resource::Primitive(p) => p.id == id && clear(&mut p.utilization),
        Resource::Group(g) => g.members.iter_mut().any(|p| p.id == id && clear(&mut p.utilization)),
        Resource::Clone(c) => match &mut *c.child {
            haven_cib::CloneChild::Primitive(p) => p.id == id && clear(&mut p.utilization),
            haven_cib::CloneChild::Group(g) => {
                g.members.iter_mut().any(|p| p.id == id && clear(&mut p.utilization))
            }
        },
        Resource::Bundle(b) => {
            b.primitive.as_mut().is_some_and(|p| p.id == id && clear(&mut p.utilization))
        }
    })
}
