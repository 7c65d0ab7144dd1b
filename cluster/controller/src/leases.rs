//! Which resources run under a lease, and which lease group they belong to.

use std::collections::{BTreeMap, BTreeSet};

use haven_cib::{Cib, NvSet, Primitive, Resource};
use haven_policy::{AgentFacts, AgentId};

use crate::guarded::template;

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

/// Lease groups by the primitives that belong to them.
pub(crate) fn lease_groups(cib: &Cib, facts: &AgentFacts) -> BTreeMap<String, String> {
    let leased = leased_primitives(cib, facts).into_iter();
    leased.map(|(primitive, group)| (primitive.id.clone(), group)).collect()
}

/// Every primitive that two nodes may have because it says `lease=off`.
pub(crate) fn unprotected_primitives(cib: &Cib, facts: &AgentFacts) -> BTreeSet<String> {
    let off = |primitive: &&Primitive, outer: &[NvSet]| {
        Settings::of(cib, facts, primitive, outer).is_unprotected()
    };
    cib.resources
        .iter()
        .flat_map(|resource| match resource {
            Resource::Primitive(p) => vec![(p, [].as_slice())],
            Resource::Group(g) => g.members.iter().map(|p| (p, g.meta.as_slice())).collect(),
            Resource::Clone(_) | Resource::Bundle(_) => Vec::new(),
        })
        .filter(|(primitive, outer)| off(primitive, outer))
        .map(|(primitive, _)| primitive.id.clone())
        .collect()
}

/// Why two nodes may have a resource that should run under a lease: it says `lease=off`. Nothing where
/// fencing stands in for the lease, and for resources that never had one.
#[must_use]
pub fn unprotected(cib: &Cib, facts: &AgentFacts, primitive: &str) -> bool {
    let Some((found, outer)) = placed(cib, primitive) else { return false };
    Settings::of(cib, facts, found, outer).is_unprotected()
}

/// A primitive with the meta attributes of the group around it.
fn placed<'a>(cib: &'a Cib, primitive: &str) -> Option<(&'a Primitive, &'a [NvSet])> {
    cib.resources.iter().find_map(|resource| match resource {
        Resource::Primitive(p) => (p.id == primitive).then_some((p, [].as_slice())),
        Resource::Group(group) => {
            let member = group.members.iter().find(|p| p.id == primitive)?;
            Some((member, group.meta.as_slice()))
        }
        Resource::Clone(_) | Resource::Bundle(_) => None,
    })
}

// spec: L8
fn leased(cib: &Cib, facts: &AgentFacts, primitive: &Primitive, outer: &[NvSet]) -> bool {
    let settings = Settings::of(cib, facts, primitive, outer);
    settings.wants && !settings.off
}

/// What the configuration says of a primitive's lease.
struct Settings<'a> {
    /// Its agent redirects traffic, or it asks for a lease itself. `requires` cannot take it away.
    wants: bool,
    /// `lease=off`.
    off: bool,
    requires: Option<&'a str>,
}

impl<'a> Settings<'a> {
    fn is_unprotected(&self) -> bool {
        self.off && self.wants && !matches!(self.requires, Some("fencing" | "unfencing"))
    }

    fn of(cib: &'a Cib, facts: &AgentFacts, primitive: &'a Primitive, outer: &'a [NvSet]) -> Self {
        let template = template(cib, primitive);
        let inherited = template.map_or([].as_slice(), |template| template.meta.as_slice());
        let sets = [primitive.meta.as_slice(), inherited, outer, cib.rsc_defaults.as_slice()];
        let meta = |name| sets.into_iter().find_map(|sets| value(sets, name));
        let agent = template.unwrap_or(primitive);
        let declared = facts.lease.contains(&AgentId {
            class: agent.class.clone().unwrap_or_default(),
            provider: agent.provider.clone(),
            kind: agent.kind.clone().unwrap_or_default(),
        });
        let requires = meta("requires");
        Self {
            wants: declared || requires.is_some_and(|it| it.eq_ignore_ascii_case("lease")),
            off: meta("lease").is_some_and(|it| it.eq_ignore_ascii_case("off")),
            requires,
        }
    }
}

fn value<'a>(sets: &'a [NvSet], name: &str) -> Option<&'a str> {
    sets.iter().flat_map(|set| &set.pairs).find(|pair| pair.name == name)?.value.as_deref()
}

#[cfg(test)]
mod tests {
    use haven_cib::crm;

    use super::*;

    fn of(lines: &str) -> (bool, bool) {
        let cib = crm::load(&Cib::default(), lines, crm::Mode::Update).unwrap().cib;
        let facts = AgentFacts::default();
        let leased = lease_group(&cib, &facts, "vip").is_some();
        assert_eq!(leased, leased_primitives(&cib, &facts).iter().any(|(p, _)| p.id == "vip"));
        let alone = unprotected(&cib, &facts, "vip");
        assert_eq!(alone, unprotected_primitives(&cib, &facts).contains("vip"));
        (leased, alone)
    }

    // spec: L8
    #[test]
    fn nothing_but_lease_off_takes_the_lease_away() {
        let vip = "primitive vip ocf:haven:ip params ip=192.0.2.1 nic=eth0";
        for requires in ["nothing", "quorum", "fencing", "unfencing", "lease"] {
            assert_eq!(of(&format!("{vip} meta requires={requires}")), (true, false), "{requires}");
        }
        assert_eq!(of(vip), (true, false));
        assert_eq!(of(&format!("{vip} meta lease=on")), (true, false));
        for lines in [
            format!("{vip} meta lease=off"),
            format!("{vip} meta lease=OFF requires=quorum"),
            format!("{vip}\ngroup g vip meta lease=off"),
            format!("{vip}\nrsc_defaults lease=off"),
            "rsc_template t ocf:haven:ip meta lease=off\nprimitive vip @t params ip=192.0.2.1"
                .to_owned(),
        ] {
            assert_eq!(of(&lines), (false, true), "{lines}");
        }
        assert_eq!(of(&format!("{vip} meta lease=off requires=fencing")), (false, false));
        // The nearest word counts.
        let nearest = format!("{vip} meta lease=on\ngroup g vip meta lease=off");
        assert_eq!(of(&nearest), (true, false));
    }

    #[test]
    fn any_resource_may_ask_for_a_lease_and_clones_have_none() {
        let foreign = "primitive vip ocf:heartbeat:apache";
        assert_eq!(of(foreign), (false, false));
        assert_eq!(of(&format!("{foreign} meta requires=lease")), (true, false));
        assert_eq!(of(&format!("{foreign} meta lease=off")), (false, false), "it had none");
        assert_eq!(of(&format!("{foreign} meta requires=lease lease=off")), (false, true));
        assert_eq!(
            of("primitive vip ocf:haven:ip params ip=192.0.2.1\nclone c vip"),
            (false, false)
        );
    }
}
