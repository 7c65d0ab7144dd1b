//! From what was written down to the picture of one resource.

use haven_cib::{Cib, Constraint};

use super::{
    ActionTerms, Deciding, ExplainError, Instance, Kind, Question, Row, Rule, Term, Verdict,
};
use crate::graph::Graphed;
use crate::world::action::af;
use crate::world::terms::{By, Entry, Terms, Why};
use crate::world::{A, N, R, Role, Strategy, Table, Variant, World, values};

/// One resource, and the ids of its primitives.
pub(super) struct Picture {
    pub(super) instances: Vec<Instance>,
    pub(super) ids: Vec<String>,
}

pub(super) fn picture(
    graphed: Graphed<'_>,
    cib: &Cib,
    question: &Question,
) -> Result<Picture, ExplainError> {
    let mut w = graphed.world;
    let terms = w.terms.take().unwrap_or_default();
    let view = View { w: &w, terms: &terms, cib };
    if let Some(node) = &question.node
        && w.find_node(node).is_none()
    {
        let (resource, node) = (question.resource.clone(), node.clone());
        return Err(ExplainError::NoSuchNode { resource, node });
    }
    let mut found: Vec<R> = Vec::new();
    for i in 0..w.rscs.len() {
        let r = R(u32::try_from(i).unwrap_or(u32::MAX));
        if w[r].id == question.resource || w[r].history_id.as_ref() == Some(&question.resource) {
            found.push(r);
        }
    }
    if found.is_empty() {
        // The bare id of an instance stands for all of them.
        found = w.rsc_ids.get(&question.resource).cloned().unwrap_or_default();
    }
    if found.is_empty() {
        return Err(ExplainError::NoSuchResource {
            id: question.resource.clone(),
            nearest: nearest(&w, &question.resource),
        });
    }
    let mut primitives = Vec::new();
    for r in found {
        view.primitives(r, &mut primitives);
    }
    let shown = |r: &R| w[*r].assigned.is_some() || !w[*r].active.is_empty();
    let any = primitives.iter().any(shown);
    let ids = primitives.iter().map(|r| w[*r].id.clone()).collect();
    // Of a clone's spare instances, those without a node, one speaks for all.
    let mut spare_told = false;
    primitives.retain(|r| {
        let spare = any && !shown(r) && w.is_clone(w.top_of(*r));
        !spare || !std::mem::replace(&mut spare_told, true)
    });
    let instances = primitives.into_iter().map(|r| view.instance(r, question)).collect();
    Ok(Picture { instances, ids })
}

/// The id that is most like the one asked for, if any is.
fn nearest(w: &World<'_>, id: &str) -> Option<String> {
    let distance = |other: &str| {
        let (a, b): (Vec<char>, Vec<char>) = (id.chars().collect(), other.chars().collect());
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, x) in a.iter().enumerate() {
            let mut corner = row[0];
            row[0] = i + 1;
            for (j, y) in b.iter().enumerate() {
                let above = row[j + 1];
                row[j + 1] = (corner + usize::from(x != y)).min(above + 1).min(row[j] + 1);
                corner = above;
            }
        }
        row[b.len()]
    };
    let best = w.rscs.iter().map(|r| (distance(&r.id), &r.id)).min()?;
    (best.0 * 3 <= id.len().max(3)).then(|| best.1.clone())
}

struct View<'a, 'b> {
    w: &'a World<'b>,
    terms: &'a Terms,
    cib: &'a Cib,
}

impl View<'_, '_> {
    fn primitives(&self, r: R, list: &mut Vec<R>) {
        if let Some(b) = &self.w[r].bundle {
            for p in &b.replicas {
                for part in [p.ip, p.container, p.remote, p.child].into_iter().flatten() {
                    self.primitives(part, list);
                }
            }
        } else if self.w[r].variant == Variant::Primitive {
            if !list.contains(&r) {
                list.push(r);
            }
        } else {
            for c in &self.w[r].children {
                self.primitives(*c, list);
            }
        }
    }

    fn name(&self, n: N) -> String {
        self.w[n].name.clone()
    }

    fn instance(&self, r: R, question: &Question) -> Instance {
        let rsc = &self.w[r];
        let choice = self.terms.choice(r);
        let scores = choice.map_or(&rsc.allowed, |c| &c.table);
        let mut rows: Vec<(N, Row)> =
            self.w.node_order.iter().map(|n| (*n, self.row(r, *n, scores))).collect();
        // Insides of other containers concern nobody.
        rows.retain(|(n, row)| !self.w.is_bundle_node(*n) || row.eligible);
        let ends = self.w.ends_on_any(r);
        let mut deciding = self.deciding(r, choice.map(|c| c.by), &rows);
        let verdict = self.verdict(r, ends);
        let actions = self.actions(r);
        if ends.is_none() && rsc.assigned.is_some() && rsc.managed {
            let stuck = actions.iter().find(|a| !a.runnable);
            let term = stuck.and_then(|a| a.terms.first()).cloned();
            deciding = Deciding { rule: Rule::Blocked, against: None, margin: None, term };
        }
        let kept = |n: N| {
            question.node.as_ref().is_none_or(|q| self.w.find_node(q) == Some(n))
                || rsc.assigned == Some(n)
        };
        let mut table: Vec<Row> =
            rows.into_iter().filter(|(n, _)| kept(*n)).map(|(_, row)| row).collect();
        table.sort_by_key(|row| (!row.eligible, std::cmp::Reverse(row.total)));
        let role = if ends.is_none() && !rsc.managed { rsc.role } else { rsc.next_role };
        Instance {
            resource: rsc.id.clone(),
            verdict,
            role: if ends.is_none() { Role::Stopped } else { role }.text().to_owned(),
            was: rsc.active.iter().map(|n| self.name(*n)).collect(),
            node: ends.map(|n| self.name(n)),
            deciding,
            table,
            actions,
        }
    }

    fn verdict(&self, r: R, ends: Option<N>) -> Verdict {
        let rsc = &self.w[r];
        if !rsc.managed {
            return Verdict::Unmanaged;
        }
        let active = !rsc.active.is_empty();
        match ends {
            Some(n) if !active => {
                debug_assert!(rsc.assigned == Some(n), "it ends where it was assigned");
                Verdict::Start
            }
            Some(n) if !rsc.active.contains(&n) => Verdict::Move,
            Some(n) if self.w.will(r, "start", n).is_some() => Verdict::Restart,
            Some(_) => Verdict::Run,
            None if active => Verdict::Stop,
            None if rsc.assigned.is_some() && rsc.next_role > Role::Stopped => Verdict::Blocked,
            None => Verdict::Stopped,
        }
    }

    fn row(&self, r: R, n: N, scores: &Table) -> Row {
        let cell = scores.get(n);
        let total = cell.map_or(-values::INFINITY, |c| c.score);
        let mut vetoes = self.node_vetoes(n);
        let mut terms: Vec<Term> = Vec::new();
        for e in self.terms.scores(r).iter().filter(|e| e.node == n) {
            let term = self.term(r, e);
            if term.value <= -values::INFINITY {
                if !vetoes.contains(&term) {
                    vetoes.push(term);
                }
                continue;
            }
            match terms
                .iter_mut()
                .find(|t| t.kind == term.kind && t.source == term.source && t.detail == term.detail)
            {
                Some(t) => t.value = values::add(t.value, term.value),
                None => terms.push(term),
            }
        }
        if cell.is_none() {
            vetoes.push(Term {
                kind: Kind::Location,
                source: "symmetric-cluster".into(),
                detail: "no constraint allows the node".into(),
                value: -values::INFINITY,
            });
        } else if total < 0 && total > -values::INFINITY && vetoes.is_empty() {
            vetoes.extend(terms.iter().filter(|t| t.value < 0).cloned());
        }
        terms.sort_by_key(|t| std::cmp::Reverse(t.value.abs()));
        terms.retain(|t| t.value != 0);
        Row {
            node: self.name(n),
            total,
            eligible: cell.is_some() && total >= 0 && self.w.can_run(n),
            terms,
            vetoes,
        }
    }

    /// Why a node cannot run anything.
    fn node_vetoes(&self, n: N) -> Vec<Term> {
        let node = &self.w[n];
        let states = [
            (node.unclean, "unclean"),
            (!node.online && !node.unclean, "offline"),
            (node.shutdown, "shutting down"),
            (node.pending, "joining"),
            (node.fail_standby, "standby after a failure"),
            (node.standby && !node.fail_standby && !node.pending, "standby"),
            (node.maintenance, "maintenance"),
        ];
        let holds = states.into_iter().filter(|(holds, _)| *holds);
        holds
            .map(|(_, state)| Term {
                kind: Kind::Node,
                source: node.name.clone(),
                detail: state.to_owned(),
                value: -values::INFINITY,
            })
            .collect()
    }

    /// A change of score, with its source.
    fn term(&self, r: R, e: &Entry) -> Term {
        let id = || self.w[r].id.clone();
        let (kind, source, detail) = match e.why {
            Why::Location(i) => self.location(i),
            Why::Follows(i) => {
                let primary = self.w.colocations[i].primary;
                self.colocation(i, "with", primary)
            }
            Why::Followed(i) => {
                let dependent = self.w.colocations[i].dependent;
                self.colocation(i, "wanted by", dependent)
            }
            Why::Stickiness => (Kind::Stickiness, id(), "resource-stickiness".into()),
            Why::Threshold => (Kind::Failure, id(), "migration-threshold reached".into()),
            Why::Failure => (Kind::Failure, id(), "failed operation".into()),
            Why::Ticket(t) => {
                let (id, ticket) = self.terms.ticket(t);
                (Kind::Ticket, id.to_owned(), format!("ticket {ticket} is not granted, or standby"))
            }
            Why::ShutdownLock => (Kind::ShutdownLock, id(), "locked to another node".into()),
            Why::Discovery => (Kind::Location, id(), "resource-discovery=exclusive".into()),
            Why::Removed => (Kind::Nature, id(), "not configured any more".into()),
            Why::Unmanaged => (Kind::Managed, id(), "unmanaged".into()),
            Why::MultiplyActive => (Kind::Failure, id(), "multiple-active".into()),
            Why::Role => (Kind::Role, id(), self.role_detail(r)),
            Why::Capacity => (Kind::Utilization, id(), "too little capacity".into()),
            Why::Instances => self.instances_source(r),
            Why::Promotion => (Kind::Promotion, id(), "promotion score".into()),
            Why::Kind => (Kind::Nature, id(), "such a resource cannot be there".into()),
        };
        Term { kind, source, detail, value: step(e) }
    }

    fn location(&self, i: usize) -> (Kind, String, String) {
        let Some(id) = self.terms.location(i) else {
            return (Kind::Health, "#health".into(), "health of the node".into());
        };
        let found = self.cib.constraints.iter().find(|c| c.id() == id);
        let rule = match found {
            Some(Constraint::Location(l)) => l.rules.first(),
            _ => None,
        };
        match rule {
            Some(rule) => (Kind::Rule, id.to_owned(), format!("rule {}", rule.id)),
            None => (Kind::Location, id.to_owned(), String::new()),
        }
    }

    fn colocation(&self, i: usize, how: &str, other: R) -> (Kind, String, String) {
        let detail = format!("{how} {}", self.w[other].id);
        match self.terms.colocation(i) {
            Some(id) => (Kind::Colocation, id.to_owned(), detail),
            None => (Kind::Group, self.w[other].id.clone(), detail),
        }
    }

    fn role_detail(&self, r: R) -> String {
        let target = self.w[r].meta("target-role");
        target.map_or_else(|| "to be stopped".to_owned(), |t| format!("target-role={t}"))
    }

    fn instances_source(&self, r: R) -> (Kind, String, String) {
        let top = self.w[r].parent.unwrap_or(r);
        let detail = "no room for another instance".to_owned();
        (Kind::Instances, self.w[top].id.clone(), detail)
    }

    fn deciding(&self, r: R, by: Option<By>, rows: &[(N, Row)]) -> Deciding {
        let nothing = |rule| Deciding { rule, against: None, margin: None, term: None };
        match by {
            Some(By::Unmanaged) => {
                let term = Some(self.unmanaged_term(r));
                return Deciding { term, ..nothing(Rule::Unmanaged) };
            }
            Some(By::StopAll) => return nothing(Rule::StopAll),
            None | Some(By::Best | By::Preferred | By::Stays) => {}
        }
        let chosen = self.w[r].assigned.and_then(|a| rows.iter().find(|(n, _)| *n == a));
        let Some((n, row)) = chosen else {
            let term = shared_veto(rows);
            return Deciding { term, ..nothing(Rule::NoNode) };
        };
        let others = rows.iter().filter(|(m, row)| m != n && row.eligible);
        let left = others.clone().find(|(m, _)| self.w[r].active.contains(m));
        let Some((m, other)) = left.or_else(|| others.max_by_key(|(_, row)| row.total)) else {
            return nothing(Rule::OnlyNode);
        };
        let rule = match by {
            _ if row.total != other.total => Rule::Score,
            Some(By::Preferred) => Rule::Preferred,
            Some(By::Stays) => Rule::Stays,
            _ if self.w.set.strategy == Strategy::Balanced => Rule::Capacity,
            _ if self.w[r].active.contains(n) => Rule::Stays,
            _ if self.w.set.strategy == Strategy::Minimal => Rule::Name,
            _ if self.earlier(r, *n) < self.earlier(r, *m) => Rule::FewerResources,
            _ => Rule::Name,
        };
        Deciding {
            rule,
            against: Some(other.node.clone()),
            margin: Some(row.total.saturating_sub(other.total)),
            term: if rule == Rule::Score { weightiest(row, other) } else { None },
        }
    }

    /// How many resources had been placed on a node before this one.
    fn earlier(&self, r: R, n: N) -> i32 {
        self.terms.choice(r).and_then(|c| c.assigned.get(n.0 as usize).copied()).unwrap_or(0)
    }

    fn unmanaged_term(&self, r: R) -> Term {
        let (w, rsc) = (self.w, &self.w[r]);
        let node = rsc.active.iter().find(|n| w[**n].maintenance).map(|n| w[*n].name.clone());
        let (kind, source, detail) = if w.set.maintenance {
            (Kind::Managed, "maintenance-mode".into(), "maintenance of the whole cluster")
        } else if let Some(node) = node {
            (Kind::Managed, node, "maintenance of the node")
        } else if rsc.maintenance {
            (Kind::Managed, rsc.id.clone(), "maintenance of the resource")
        } else if rsc.blocked {
            (Kind::Failure, rsc.id.clone(), "on-fail=block")
        } else if w.set.fencing && !w.set.have_fencing && !rsc.needs_lease {
            (Kind::Fencing, "fencing-enabled".into(), "fencing is on, and there is no device")
        } else {
            (Kind::Managed, rsc.id.clone(), "is-managed=false")
        };
        Term { kind, source, detail: detail.to_owned(), value: 0 }
    }

    fn actions(&self, r: R) -> Vec<ActionTerms> {
        let mut list = Vec::new();
        for a in &self.w[r].actions {
            let action = &self.w[*a];
            let told = matches!(
                action.task.as_ref(),
                "start"
                    | "stop"
                    | "promote"
                    | "demote"
                    | "migrate_to"
                    | "migrate_from"
                    | "reload-agent"
            );
            let Some(n) = action.node.filter(|_| told && !action.is(af::OPTIONAL)) else {
                continue;
            };
            list.push(ActionTerms {
                operation: action.task.to_string(),
                node: self.name(n),
                runnable: action.is(af::RUNNABLE),
                terms: self.action_terms(*a),
            });
        }
        list
    }

    fn action_terms(&self, a: A) -> Vec<Term> {
        let mut terms: Vec<Term> = Vec::new();
        for cause in self.terms.causes(a) {
            let by = &self.w[cause.by];
            if cause.flag == af::MIGRATABLE || by.rsc == self.w[a].rsc {
                continue;
            }
            let ordering =
                self.terms.relation(cause.by, a).or_else(|| self.terms.relation(a, cause.by));
            let whose = by.rsc.map_or_else(String::new, |r| format!(" of {}", self.w[r].id));
            let state = if cause.flag == af::RUNNABLE { "cannot be done" } else { "is needed" };
            terms.push(Term {
                kind: if by.task == "stonith" { Kind::Fencing } else { Kind::Order },
                source: ordering.unwrap_or("implied").to_owned(),
                detail: format!("{}{whose} {state}", by.task),
                value: 0,
            });
        }
        if let Some(reason) = self.w[a].reason.as_ref().filter(|_| terms.is_empty()) {
            let kind = if reason.contains("quorum") { Kind::Quorum } else { Kind::Other };
            let source = if kind == Kind::Quorum { "no-quorum-policy" } else { "reason" };
            terms.push(Term { kind, source: source.into(), detail: reason.clone(), value: 0 });
        }
        if let Some(r) = self.w[a].rsc.filter(|r| terms.is_empty() && self.w[*r].failed)
            && matches!(self.w[a].task.as_ref(), "stop" | "demote")
        {
            let source = self.w[r].id.clone();
            terms.push(Term { kind: Kind::Failure, source, detail: "it failed".into(), value: 0 });
        }
        terms
    }
}

/// What a change of score amounts to.
fn step(e: &Entry) -> i32 {
    if e.after <= -values::INFINITY {
        -values::INFINITY
    } else if e.after >= values::INFINITY {
        values::INFINITY
    } else {
        e.after.saturating_sub(e.before)
    }
}

/// The term that speaks most for one node and against another.
fn weightiest(row: &Row, other: &Row) -> Option<Term> {
    let value = |row: &Row, t: &Term| {
        row.terms
            .iter()
            .find(|x| x.kind == t.kind && x.source == t.source && x.detail == t.detail)
            .map_or(0, |x| x.value)
    };
    let all = row.terms.iter().chain(&other.terms);
    let gains = all.map(|t| (value(row, t).saturating_sub(value(other, t)), t));
    gains
        .max_by_key(|(gain, _)| *gain)
        .filter(|(gain, _)| *gain > 0)
        .map(|(gain, t)| Term { value: gain, ..t.clone() })
}

/// What forbids all nodes, or else the best of them.
fn shared_veto(rows: &[(N, Row)]) -> Option<Term> {
    let best = rows.iter().max_by_key(|(_, row)| row.total)?;
    let everywhere = |t: &&Term| rows.iter().all(|(_, row)| row.vetoes.contains(t));
    best.1.vetoes.iter().find(everywhere).or_else(|| best.1.vetoes.first()).cloned()
}
