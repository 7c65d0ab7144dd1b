//! Leases: what runs under one, what cannot, and what they all need.

use std::collections::BTreeSet;

use super::{Facts, Finding, MemberFacts, View};
use crate::crm::document::named;
use crate::model::{Cib, CloneChild, NvSet, Primitive, Resource};

/// How many leases a node holds at most, each of a resource or of the group around it.
pub const MAX_LEASES: usize = 64;

/// Adds what is wrong with them.
pub(super) fn check(view: &View<'_>, findings: &mut Vec<Finding>) {
    let many = of_many_instances(view.cib);
    let mut leased = Vec::new();
    for (primitive, around) in &view.primitives {
        if view.doubt.hides_options_of(&primitive.id) {
            continue;
        }
        let agent = view.agent(primitive);
        let facts = agent.as_ref().and_then(|name| view.facts.agents.get(name));
        let by_agent = facts.is_some_and(|facts| facts.lease);
        let meta = |name| view.meta(primitive, around, name);
        let requires = meta("requires");
        let says = |word| requires.is_some_and(|it| it.eq_ignore_ascii_case(word));
        if !by_agent && !says("lease") {
            continue;
        }
        let found = if meta("lease").is_some_and(|it| it.eq_ignore_ascii_case("off")) {
            if says("fencing") || says("unfencing") {
                continue;
            }
            accepted()
        } else if by_agent && many.contains(primitive.id.as_str()) {
            of_many()
        } else if by_agent && let Some(requires) = requires.filter(|_| !says("lease")) {
            taken_away(requires)
        } else if let Some(agent) =
            agent.filter(|name| !by_agent && guards_nothing(view.facts, name))
        {
            unguarded(&agent)
        } else {
            leased.push(primitive.id.as_str());
            continue;
        };
        findings.push(found.about(&primitive.id));
    }
    if let Some(first) = leased.first() {
        majority(view, first, leased.len(), findings);
        room(view, first, &leased.iter().copied().collect(), findings);
    }
    ruled(view, findings);
}

/// Primitives in clones and bundles.
fn of_many_instances(cib: &Cib) -> BTreeSet<&str> {
    let many = |resource: &&Resource| matches!(resource, Resource::Clone(_) | Resource::Bundle(_));
    let many = cib.resources.iter().filter(many);
    many.flat_map(Resource::primitives).map(|primitive| primitive.id.as_str()).collect()
}

/// Whether it is known of an agent that it says of no address that it stands under the gate.
fn guards_nothing(facts: &Facts, agent: &str) -> bool {
    let own = facts.complete.iter().any(|prefix| agent.starts_with(prefix.as_str()));
    facts.agents.contains_key(agent) || (!facts.agents.is_empty() && !own)
}

fn accepted() -> Finding {
    let message = "lease=off: the address lives on without a majority, so two nodes may own it";
    Finding::warning("HV0312", message)
        .fix("remove lease=off unless an outside power keeps the other node silent")
}

// spec: L8 "No setting but lease=off lets an address live without a majority"
fn taken_away(requires: &str) -> Finding {
    let message =
        format!("requires={requires} takes the lease away, so two nodes may own the address");
    Finding::error("HV0319", message).fix("remove requires; only meta lease=off accepts two owners")
}

// spec: L8 "No setting but lease=off lets an address live without a majority"
fn of_many() -> Finding {
    let message =
        "in a clone or bundle an address has neither lease nor gate, so several nodes may own it";
    Finding::error("HV0328", message)
        .fix("take it out of the clone or bundle; only meta lease=off accepts several owners")
}

fn unguarded(agent: &str) -> Finding {
    let message = format!(
        "requires=lease, but {agent} has nothing that the kernel could silence: two nodes may have it, and no lost \
         node would be fenced first"
    );
    Finding::error("HV0329", message).fix(
        "remove requires, so that a lost node is fenced first; use ocf:haven:ip for an address; only meta \
         lease=off accepts two owners",
    )
}

/// What the members, and those of them who vote by now, mean for leases.
// spec: L8 "Two nodes need a witness"
fn majority(view: &View<'_>, first: &str, leased: usize, findings: &mut Vec<Finding>) {
    let Some(members) = &view.facts.members else { return };
    let two = |those: &[&MemberFacts]| those.len() == 2 && !those.iter().any(|it| it.witness);
    let (voting, idle): (Vec<_>, Vec<_>) = members.iter().partition(|member| member.votes);
    let more = match leased {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let message = format!(
        "a lease needs a majority that survives the loss of a node, and two nodes without a witness have none{more}"
    );
    if two(&members.iter().collect::<Vec<_>>()) {
        findings.push(Finding::error("HV0311", message).about(first).fix(
            "add a third member: run `haven cluster token` here and the command it prints on another \
             machine, with --witness if that machine shall run nothing; or accept two owners with \
             meta lease=off",
        ));
    } else if two(&voting) {
        let idle: Vec<&str> = idle.iter().map(|member| member.name.as_str()).collect();
        findings.push(Finding::warning("HV0311", message).about(first).fix(format!(
            "start the daemon on {}: it has joined and does not vote yet",
            idle.join(" or ")
        )));
    }
}

/// Whether one node could hold all leases, as it would have to where it is the last to run anything.
fn room(view: &View<'_>, first: &str, leased: &BTreeSet<&str>, findings: &mut Vec<Finding>) {
    let has_lease = |resource: &&Resource| {
        resource.primitives().iter().any(|part| leased.contains(part.id.as_str()))
    };
    let groups = view.cib.resources.iter().filter(has_lease).count();
    if groups > MAX_LEASES {
        let message = format!(
            "{groups} resources and groups run under leases, and a node holds {MAX_LEASES} leases at most: where one \
             node would have to run them all, {} start nowhere",
            groups - MAX_LEASES
        );
        findings.push(Finding::warning("HV0331", message).about(first).fix(
            "put addresses that belong together into one resource (ip= may be a list) or one group",
        ));
    }
}

/// Every `lease` that depends on a rule: who grants a lease, who holds it and who waits for its end
/// must all read the same.
fn ruled(view: &View<'_>, findings: &mut Vec<Finding>) {
    let under_rule = |sets: &&[NvSet]| {
        let ruled = sets.iter().filter(|set| set.rule.is_some());
        ruled.flat_map(|set| &set.pairs).any(|pair| pair.name == "lease")
    };
    let containers = view.cib.resources.iter().flat_map(|resource| match resource {
        Resource::Primitive(_) => Vec::new(),
        Resource::Clone(clone) => {
            let inside = match &*clone.child {
                CloneChild::Group(group) => Some((group.id.as_str(), group.meta.as_slice())),
                CloneChild::Primitive(_) => None,
            };
            inside.into_iter().chain([(clone.id.as_str(), clone.meta.as_slice())]).collect()
        }
        Resource::Group(_) | Resource::Bundle(_) => {
            vec![(resource.id(), resource.meta().as_slice())]
        }
    });
    let defaults = view.cib.rsc_defaults.iter();
    let all = containers
        .map(|(id, meta)| (id.to_owned(), meta))
        .chain(view.primitives.iter().map(|(primitive, _)| own(primitive)))
        .chain(view.cib.templates.iter().map(own))
        .chain(defaults.map(|set| (named(&set.id).to_owned(), std::slice::from_ref(set))));
    for (id, _) in all.filter(|(_, sets)| under_rule(sets)) {
        let message =
            "lease depends on a rule, which nobody heeds: a lease neither comes nor goes by rules";
        findings.push(
            Finding::error("HV0330", message)
                .about(id)
                .fix("write lease= without a rule, or remove it"),
        );
    }
}

fn own(primitive: &Primitive) -> (String, &[NvSet]) {
    (primitive.id.clone(), primitive.meta.as_slice())
}
