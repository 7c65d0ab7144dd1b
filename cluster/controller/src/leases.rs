//! Which resources run under a lease, and which lease group they belong to.

use std::collections::{BTreeMap, BTreeSet};

use haven_cib::{Cib, Primitive};
use haven_policy::{AgentFacts, Exposure, Leasing, leasing, leasings};
use haven_types::operation::AgentName;

/// The lease group of a primitive: the id of the outermost resource around it, when the primitive
/// runs under a lease. A clone's instances are many by intent and share nothing: no lease.
#[must_use]
pub fn lease_group(cib: &Cib, facts: &AgentFacts, primitive: &str) -> Option<String> {
    let kept = leasing(cib, facts, primitive).filter(Leasing::is_kept)?;
    Some(kept.group.to_owned())
}

/// Every primitive that runs under a lease, with its lease group.
#[must_use]
pub fn leased_primitives<'a>(cib: &'a Cib, facts: &AgentFacts) -> Vec<(&'a Primitive, String)> {
    let kept = leasings(cib, facts).into_iter().filter(Leasing::is_kept);
    kept.map(|it| (it.primitive, it.group.to_owned())).collect()
}

/// Whether the metadata of an agent declares a lease.
pub(crate) fn declares_lease(facts: &AgentFacts, agent: &AgentName) -> bool {
    facts.declare_lease(Some(&agent.standard), agent.provider.as_deref(), Some(&agent.name))
}

/// Lease groups by the primitives that belong to them.
pub(crate) fn lease_groups(cib: &Cib, facts: &AgentFacts) -> BTreeMap<String, String> {
    let leased = leased_primitives(cib, facts).into_iter();
    leased.map(|(primitive, group)| (primitive.id.clone(), group)).collect()
}

/// Every primitive that two nodes may have because it says `lease=off`, but for those of which there
/// are many instances.
pub(crate) fn unprotected_primitives(cib: &Cib, facts: &AgentFacts) -> BTreeSet<String> {
    let off = |it: &Leasing<'_>| !it.many && it.exposure() == Some(Exposure::Accepted);
    leasings(cib, facts).into_iter().filter(off).map(|it| it.primitive.id.clone()).collect()
}

/// Every primitive that two nodes may have, though it should have one owner, and why.
pub(crate) fn exposed_primitives(cib: &Cib, facts: &AgentFacts) -> BTreeMap<String, Exposure> {
    let exposed = |it: Leasing<'_>| Some((it.primitive.id.clone(), it.exposure()?));
    leasings(cib, facts).into_iter().filter_map(exposed).collect()
}

/// Whether two nodes may have a resource that should run under a lease: it says `lease=off`, or it
/// stands in a clone. Not where fencing stands in for the lease, and for resources that never had one.
#[must_use]
pub fn unprotected(cib: &Cib, facts: &AgentFacts, primitive: &str) -> bool {
    leasing(cib, facts, primitive).is_some_and(|it| it.exposure().is_some())
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
        assert_eq!(alone, exposed_primitives(&cib, &facts).contains_key("vip"));
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

    // spec: L8
    #[test]
    fn a_lease_that_guards_nothing_is_none() {
        let foreign = "primitive vip ocf:heartbeat:IPaddr2";
        assert_eq!(of(foreign), (false, false));
        assert_eq!(of(&format!("{foreign} meta requires=lease")), (false, false), "it is fenced");
        assert_eq!(of(&format!("{foreign} meta lease=off")), (false, false), "it had none");
        assert_eq!(of(&format!("{foreign} meta requires=lease lease=off")), (false, true));
    }

    // spec: L8
    #[test]
    fn an_address_in_a_clone_or_a_bundle_has_no_lease_and_is_unprotected() {
        let vip = "primitive vip ocf:haven:ip params ip=192.0.2.1";
        for lines in [
            format!("{vip}\nclone c vip meta clone-max=1"),
            format!("{vip}\ngroup g vip\nclone c g"),
            format!("{vip} meta requires=lease\nclone c vip"),
            format!("bundle b podman image=x primitive vip\n{vip}"),
        ] {
            assert_eq!(of(&lines), (false, true), "{lines}");
            let cib = crm::load(&Cib::default(), &lines, crm::Mode::Update).unwrap().cib;
            let facts = AgentFacts::default();
            assert_eq!(exposed_primitives(&cib, &facts)["vip"], Exposure::Many);
            assert!(unprotected_primitives(&cib, &facts).is_empty(), "nobody accepted it");
        }
        let off = format!("{vip} meta lease=off\nclone c vip");
        let cib = crm::load(&Cib::default(), &off, crm::Mode::Update).unwrap().cib;
        let why = exposed_primitives(&cib, &AgentFacts::default());
        assert_eq!(why["vip"], Exposure::Accepted);
    }

    // spec: L8
    #[test]
    fn a_rule_takes_no_lease_away() {
        let vip = "primitive vip ocf:haven:ip params ip=192.0.2.1 meta rule #uname eq n1 lease=off";
        assert_eq!(of(vip), (true, false));
        assert_eq!(of(&format!("{vip} meta lease=off")), (false, true), "the block without a rule");
    }
}
