//! Leases: what runs under one, what cannot, and what they all need.

use std::collections::BTreeSet;

use super::{Facts, Finding, MemberFacts, View, joined};
use crate::crm::document::named;
use crate::leases::{Exposure, Leasing, Said, Source, leasings};
use crate::model::{CloneChild, NvSet, Primitive, Resource};

/// How many leases a node holds at most, each of a resource or of the group around it.
pub const MAX_LEASES: usize = 64;

/// Adds what is wrong with them.
pub(super) fn check(view: &View<'_>, findings: &mut Vec<Finding>) {
    let declares = |class: Option<&str>, provider: Option<&str>, kind: Option<&str>| {
        let agent = view.facts.agents.get(&joined([class, provider, kind]));
        agent.is_some_and(|facts| facts.lease)
    };
    let mut leased = Vec::new();
    for it in leasings(view.cib, declares) {
        let id = it.primitive.id.as_str();
        if view.doubt.hides_options_of(id) {
            continue;
        }
        let found = match it.exposure() {
            Some(Exposure::Accepted) => Some(accepted()),
            Some(Exposure::Many) => Some(of_many(it.off)),
            // A lost node is fenced instead.
            None if it.off => continue,
            None => wrongly_required(view, &it),
        };
        match found {
            Some(found) => findings.push(found.about(id)),
            None => leased.push(id),
        }
    }
    if let Some(first) = leased.first() {
        majority(view, first, leased.len(), findings);
        room(view, first, &leased.iter().copied().collect(), findings);
    }
    ruled(view, findings);
}

/// What `requires` takes away from an address, or asks for in vain.
fn wrongly_required(view: &View<'_>, it: &Leasing<'_>) -> Option<Finding> {
    let requires = it.requires?;
    if it.declared {
        return (!requires.is("lease")).then(|| taken_away(requires));
    }
    let agent = view.agent(it.primitive).filter(|name| guards_nothing(view.facts, name))?;
    Some(unguarded(&agent, requires.source))
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
fn taken_away(requires: Said<'_>) -> Finding {
    let Said { value, source } = requires;
    let message =
        format!("requires={value}{source} takes the lease away, so two nodes may own the address");
    Finding::error("HV0319", message).fix("remove requires; only meta lease=off accepts two owners")
}

// spec: L8 "No setting but lease=off lets an address live without a majority"
fn of_many(off: bool) -> Finding {
    let message =
        "in a clone or bundle an address has neither lease nor gate, so several nodes may own it";
    Finding::error("HV0328", message).fix(match off {
        true => {
            "take it out of the clone or bundle, or remove requires: fencing does not make one owner of many"
        }
        false => "take it out of the clone or bundle; only meta lease=off accepts several owners",
    })
}

/// It is overridable since whoever plans passes it over.
// spec: L8 "No setting but lease=off lets an address live without a majority"
fn unguarded(agent: &str, source: Source<'_>) -> Finding {
    let message = format!(
        "requires=lease{source} counts as if it were not there, for {agent} has nothing that the kernel could silence"
    );
    Finding::error("HV0329", message).overridable().fix(
        "remove requires; the resource then needs fencing, which haven cannot do yet: without a device it does not \
         start (configure.md, \"When nothing can fence\"); use ocf:haven:ip for an address; meta lease=off accepts two \
         owners",
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
        .chain(view.primitives.iter().map(|primitive| own(primitive)))
        .chain(view.cib.templates.iter().map(own))
        .chain(defaults.map(|set| (named(&set.id).to_owned(), std::slice::from_ref(set))));
    for (id, _) in all.filter(|(_, sets)| under_rule(sets)) {
        let message =
            "lease depends on a rule, which nobody heeds: a lease neither comes nor goes by rules";
        findings.push(
            Finding::error("HV0330", message)
                .about(id)
                .fix("write lease= without a rule, or remove it")
                .overridable(),
        );
    }
}

fn own(primitive: &Primitive) -> (String, &[NvSet]) {
    (primitive.id.clone(), primitive.meta.as_slice())
}
