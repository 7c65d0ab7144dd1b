//! Which resource stands upon which, by groups and mandatory orders: what must run before it, and stop after it.

use std::collections::{BTreeMap, BTreeSet};

use haven_cib::{Cib, CloneChild, Constraint, Group, Order, Resource, ResourceSet};

/// For each primitive those directly below it. Orders that do not hold for stopping are left out.
pub(crate) fn stands_upon(cib: &Cib) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = Found { cib, below: BTreeMap::new() };
    for resource in &cib.resources {
        if let Some(group) = group_in(resource) {
            for pair in group.members.windows(2) {
                found.add(&pair[1].id, &pair[0].id);
            }
        }
    }
    for constraint in &cib.constraints {
        match constraint {
            Constraint::Order(order) if is_mandatory(order) => found.order(order),
            Constraint::Order(_)
            | Constraint::Location(_)
            | Constraint::Colocation(_)
            | Constraint::Ticket(_) => {}
        }
    }
    found.below
}

fn group_in(resource: &Resource) -> Option<&Group> {
    match resource {
        Resource::Group(group) => Some(group),
        Resource::Clone(clone) => match &*clone.child {
            CloneChild::Group(group) => Some(group),
            CloneChild::Primitive(_) => None,
        },
        Resource::Primitive(_) | Resource::Bundle(_) => None,
    }
}

fn is_mandatory(order: &Order) -> bool {
    let mandatory = match (&order.kind, &order.score) {
        (Some(kind), _) => kind.eq_ignore_ascii_case("mandatory"),
        (None, Some(score)) => score != "0",
        (None, None) => true,
    };
    let off = |word: &String| {
        matches!(word.to_ascii_lowercase().as_str(), "false" | "off" | "no" | "0" | "n")
    };
    let begins = |action: &Option<String>| {
        action.as_deref().is_none_or(|action| matches!(action, "start" | "promote"))
    };
    let both_begin = begins(&order.first_action) && begins(&order.then_action);
    mandatory && both_begin && !order.symmetrical.as_ref().is_some_and(off)
}

struct Found<'a> {
    cib: &'a Cib,
    below: BTreeMap<String, BTreeSet<String>>,
}

impl Found<'_> {
    fn add(&mut self, upper: &str, lower: &str) {
        if upper != lower {
            self.below.entry(upper.to_owned()).or_default().insert(lower.to_owned());
        }
    }

    /// Everything that begins with `upper` stands upon everything that ends with `lower`.
    fn all(&mut self, upper: &str, lower: &str) {
        for first in self.ends(upper, true) {
            for last in self.ends(lower, false) {
                self.add(&first, &last);
            }
        }
    }

    /// The primitives that a name begins or ends with: of a group the first or the last member.
    fn ends(&self, name: &str, first: bool) -> Vec<String> {
        if let Some(tag) = self.cib.tags.iter().find(|tag| tag.id == name) {
            return tag.members.clone();
        }
        let named = |resource: &&Resource| {
            resource.id() == name || group_in(resource).is_some_and(|group| group.id == name)
        };
        let Some(resource) = self.cib.resources.iter().find(named) else {
            return vec![name.to_owned()];
        };
        match group_in(resource) {
            Some(group) => {
                let end = if first { group.members.first() } else { group.members.last() };
                end.map(|member| member.id.clone()).into_iter().collect()
            }
            None => resource.primitives().iter().map(|p| p.id.clone()).collect(),
        }
    }

    fn order(&mut self, order: &Order) {
        if let (Some(first), Some(then)) = (&order.first, &order.then) {
            self.all(then, first);
        }
        let in_order = |set: &ResourceSet| set.sequential.as_deref().is_none_or(|s| s != "false");
        let mut before: Option<&ResourceSet> = None;
        for set in &order.sets {
            if in_order(set) {
                for pair in set.members.windows(2) {
                    self.all(&pair[1], &pair[0]);
                }
            }
            for lower in before.iter().flat_map(|set| &set.members) {
                for upper in &set.members {
                    self.all(upper, lower);
                }
            }
            before = Some(set);
        }
    }
}

#[cfg(test)]
mod tests {
    use haven_cib::crm::{Mode, load};

    use super::*;

    #[test]
    fn groups_and_mandatory_orders_say_what_stands_upon_what() {
        let text = "primitive a lsb:a\nprimitive b lsb:b\nprimitive c lsb:c\nprimitive d lsb:d\n\
            primitive e lsb:e\nprimitive f lsb:f\ngroup g a b\nclone k c\n\
            order one Mandatory: g d\norder two Optional: d e\n\
            order three Mandatory: k e symmetrical=false\norder four Mandatory: d ( e f )\n";
        let cib = load(&Cib::default(), text, Mode::Replace).unwrap().cib;
        let found = stands_upon(&cib);
        let told: Vec<(&str, Vec<&str>)> = found
            .iter()
            .map(|(upper, below)| (upper.as_str(), below.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(told, [("b", vec!["a"]), ("d", vec!["b"]), ("e", vec!["d"]), ("f", vec!["d"])]);
    }
}
