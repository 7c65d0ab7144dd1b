//! Ticket constraints.

use haven_cib::{ResourceSet, TicketConstraint};

use super::sets::Named;
use crate::world::{R, Role, TicketRule, Why, World, values};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    Stop,
    Demote,
    Fence,
    Freeze,
}

impl World<'_> {
    pub(super) fn unpack_ticket(&mut self, t: &TicketConstraint) {
        let Some(ticket) = t.ticket.clone().filter(|t| !t.is_empty()) else { return };
        self.tickets.entry(ticket.clone()).or_default();
        let mut sets = self.expand_sets(&t.sets).unwrap_or_else(|| t.sets.clone());
        if sets.is_empty() {
            let Some(id) = &t.resource else { return };
            match self.named(id) {
                None => return,
                Some(Named::Resource(r)) => {
                    self.ticket_rule(r, &ticket, t.role.as_deref(), t.loss_policy.as_deref());
                    return;
                }
                Some(named) => {
                    let role = t.role.clone();
                    sets.push(ResourceSet { role, ..self.set_of(id, &named) });
                }
            }
        }
        for set in &sets {
            for m in &set.members {
                let Some(r) = self.constraint_resource(m) else { return };
                self.ticket_rule(r, &ticket, set.role.as_deref(), t.loss_policy.as_deref());
            }
        }
    }

    fn ticket_rule(&mut self, r: R, ticket: &str, role: Option<&str>, loss: Option<&str>) {
        let role = match role {
            None => Role::Unknown,
            Some(t) => match Role::parse(t) {
                Role::Unknown => return,
                Role::Started => Role::Unknown,
                role @ Role::Stopped | role @ Role::Unpromoted | role @ Role::Promoted => role,
            },
        };
        let default = if role == Role::Promoted { Loss::Demote } else { Loss::Stop };
        let loss = match loss.map(str::to_ascii_lowercase).as_deref() {
            Some("fence") if self.set.fencing => Loss::Fence,
            Some("fence" | "stop") => Loss::Stop,
            Some("freeze") => Loss::Freeze,
            Some("demote") => Loss::Demote,
            _ => default,
        };
        self[r].tickets.push(TicketRule { ticket: ticket.to_owned(), role });
        let state = self.tickets.get(ticket).cloned().unwrap_or_default();
        if !state.granted || state.standby {
            let why = self.ticket_why(ticket);
            self.apply_ticket(r, state.granted, role, loss, why);
        }
    }

    fn apply_ticket(&mut self, r: R, granted: bool, role: Role, loss: Loss, why: Why) {
        if !self[r].children.is_empty() {
            for c in self[r].children.clone() {
                self.apply_ticket(c, granted, role, loss, why);
            }
            return;
        }
        let matches = role == Role::Unknown || role == self[r].role;
        if granted || self[r].active.is_empty() {
            if role != Role::Promoted || loss == Loss::Stop {
                self.resource_location(r, None, -values::INFINITY, why);
            }
            return;
        }
        match loss {
            Loss::Stop => self.resource_location(r, None, -values::INFINITY, why),
            Loss::Demote => {
                if role != Role::Promoted {
                    self.resource_location(r, None, -values::INFINITY, why);
                }
            }
            Loss::Fence => {
                if matches {
                    self.resource_location(r, None, -values::INFINITY, why);
                    for n in self[r].active.clone() {
                        self.fence_node(n, "deadman ticket was lost", false);
                    }
                }
            }
            Loss::Freeze => {
                if matches {
                    self[r].managed = false;
                    self[r].blocked = true;
                }
            }
        }
    }

    /// Bans a clone from being promoted where a ticket for that is missing.
    pub(crate) fn require_promotion_tickets(&mut self, r: R) {
        for rule in self[r].tickets.clone() {
            let state = self.tickets.get(&rule.ticket).cloned().unwrap_or_default();
            if rule.role == Role::Promoted && (!state.granted || state.standby) {
                let why = self.ticket_why(&rule.ticket);
                self.resource_location(r, None, -values::INFINITY, why);
            }
        }
    }
}
