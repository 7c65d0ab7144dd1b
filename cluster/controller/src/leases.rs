//! Which resources run under a lease, and which lease group they belong to.

use haven_cib::{Cib, NvSet, Primitive, Resource};
use haven_policy::{AgentFacts, AgentId};

/// The lease group of a primitive: the id of the outermost resource around it, when the primitive
/// runs under a lease. A clone's instances are many by intent and share nothing: no lease.
#[must_use]
pub fn lease_group(cib: &Cib, facts: &AgentFacts, primitive: &str) -> Option<String> {
    cib.resources.iter().find_map(|resource| match resource {
        Resource::Primitive(p) if p.id == primitive => {
            leased(cib, facts, p, &[]).then(|| p.id.clone())
        }
        Resource::Group(group) => {
            let member = group.members.iter().find(|p| p.id == primitive)?;
            leased(cib, facts, member, &group.meta).then(|| group.id.clone())
        }
        Resource::Primitive(_) | Resource::Clone(_) | Resource::Bundle(_) => None,
    })
}

/// Every primitive that runs under a lease, with its lease group.
#[must_use]
pub fn leased_primitives<'a>(cib: &'a Cib, facts: &AgentFacts) -> Vec<(&'a Primitive, String)> {
    cib.resources
        .iter()
        .flat_map(|resource| match resource {
            Resource::Primitive(p) => vec![(p, p.id.as_str(), [].as_slice())],
            Resource::Group(g) => {
                g.members.iter().map(|p| (p, g.id.as_str(), g.meta.as_slice())).collect()
            }
            Resource::Clone(_) | Resource::Bundle(_) => Vec::new(),
        })
        .filter(|(primitive, _, outer)| leased(cib, facts, primitive, outer))
        .map(|(primitive, group, _)| (primitive, group.to_owned()))
        .collect()
}

fn leased(cib: &Cib, facts: &AgentFacts, primitive: &Primitive, outer: &[NvSet]) -> bool {
    let explicit = [primitive.meta.as_slice(), outer, cib.rsc_defaults.as_slice()]
        .into_iter()
        .find_map(|sets| value(sets, "requires"));
    match explicit {
        Some(requires) => requires == "lease",
        None => facts.lease.contains(&AgentId {
            class: primitive.class.clone().unwrap_or_default(),
            provider: primitive.provider.clone(),
            kind: primitive.kind.clone().unwrap_or_default(),
        }),
    }
}

fn value<'a>(sets: &'a [NvSet], name: &str) -> Option<&'a str> {
    sets.iter().flat_map(|set| &set.pairs).find(|pair| pair.name == name)?.value.as_deref()
}
