//! Where everything runs, read out once for an answer that names many resources: asking for each of
//! them anew would cost as much as all of them together, for each.

use std::collections::{BTreeMap, BTreeSet};

use haven_cib::{Cib, CloneChild, Resource};
use haven_policy::Exposure;
use haven_types::NodeId;

use crate::controller::Controller;
use crate::failures;
use crate::history::active;
use crate::leases::{exposed_primitives, lease_groups};

/// What the configuration says of leases, and which node may be running what.
#[derive(Debug)]
pub(crate) struct Overview<'a> {
    /// Lease groups by primitive.
    pub(crate) groups: BTreeMap<String, String>,
    /// Primitives that two nodes may have, though they should have one owner, and why.
    pub(crate) unprotected: BTreeMap<String, Exposure>,
    /// Primitives of which some instances are promoted.
    pub(crate) promotable: BTreeSet<&'a str>,
    /// Resources that each node may be running, leased ones only while the lease is its own.
    pub(crate) running: BTreeMap<NodeId, BTreeSet<&'a str>>,
    /// How often each failed on all nodes together.
    pub(crate) failures: BTreeMap<String, u32>,
    /// A device to fence with is configured.
    pub(crate) fencing_device: bool,
}

impl Overview<'_> {
    /// Whether a node may be running a primitive.
    pub(crate) fn runs(&self, node: NodeId, primitive: &str) -> bool {
        self.running.get(&node).is_some_and(|all| all.contains(primitive))
    }

    /// How many resources a node may be running.
    pub(crate) fn count(&self, node: NodeId) -> usize {
        self.running.get(&node).map_or(0, BTreeSet::len)
    }
}

impl Controller {
    /// The overview as of now. Costs as much as the configuration and the status are long.
    pub(crate) fn overview(&self) -> Overview<'_> {
        let cib = &self.state.cib;
        let groups = lease_groups(cib, &self.config.facts);
        let confirmed = self.confirmed_dead();
        let may_run = self.histories.iter().filter(|(node, _)| !confirmed.contains(node));
        let running = may_run.map(|(node, history)| {
            let here = history
                .resources
                .iter()
                .filter(|(_, records)| active(records))
                .filter(|(name, records)| {
                    groups.get(*name).is_none_or(|group| self.holds(*node, group))
                        || self.is_left_unleased(*node, records)
                })
                .map(|(name, _)| name.as_str());
            (*node, here.collect())
        });
        let running = running.collect();
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for history in self.histories.values() {
            for (resource, count) in failures::counts(&history.attributes) {
                let sum = counts.entry(resource).or_default();
                *sum = sum.saturating_add(count).min(failures::INFINITY);
            }
        }
        let mut all = cib.resources.iter().flat_map(Resource::primitives);
        Overview {
            unprotected: exposed_primitives(cib, &self.config.facts),
            promotable: promotable(cib),
            fencing_device: all.any(|known| known.class.as_deref() == Some("stonith")),
            failures: counts,
            groups,
            running,
        }
    }

    /// Whether a lease group can still be that node's.
    pub(crate) fn holds(&self, node: NodeId, group: &str) -> bool {
        let held = self.state.grants.get(group).is_some_and(|grant| grant.holder == Some(node));
        held && self.heard(node)
    }
}

fn promotable(cib: &Cib) -> BTreeSet<&str> {
    let clones = cib.resources.iter().filter_map(|resource| match resource {
        Resource::Clone(c) => Some(c),
        Resource::Primitive(_) | Resource::Group(_) | Resource::Bundle(_) => None,
    });
    let on = |word: Option<&str>| word.and_then(haven_cib::boolean) == Some(true);
    clones
        .filter(|c| on(crate::report::value(&c.meta, "promotable")))
        .flat_map(|c| match &*c.child {
            CloneChild::Primitive(p) => vec![p.id.as_str()],
            CloneChild::Group(g) => g.members.iter().map(|p| p.id.as_str()).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use haven_api::{ReplyBody, RequestBody};

    use crate::bench::Bench;

    #[test]
    fn a_resource_that_may_start_nowhere_any_more_has_failed_infinitely_often_and_no_more() {
        let mut bench = Bench::new("property stonith-enabled=false");
        for id in 1..=3 {
            bench.codes.insert((id, "web_start_0".to_owned()), 1);
        }
        let coordinator = bench.coordinator();
        bench.load(coordinator, "primitive web ocf:haven:Dummy", true).unwrap();
        bench.run(5_000);
        assert_eq!(bench.called("web_start_0").len(), 3);
        let answer = bench.answer(coordinator, RequestBody::Status).unwrap();
        let ReplyBody::Status(status) = answer else { panic!("{answer:?}") };
        assert_eq!(status.resources[0].fail_count, 1_000_000);
    }

    #[test]
    fn without_a_device_what_needs_no_fencing_is_told_to_wait_for_one_as_well() {
        for requires in ["", "nothing", "quorum", "fencing"] {
            let meta = if requires.is_empty() { "" } else { " meta requires=" };
            let lines = format!("primitive web ocf:haven:Dummy{meta}{requires}");
            let trouble = |lines: &str| {
                let mut bench = Bench::new(lines);
                let coordinator = bench.coordinator();
                let answer = bench.answer(coordinator, RequestBody::Status).unwrap();
                let ReplyBody::Status(status) = answer else { panic!("{answer:?}") };
                (bench.called("web_start_0").len(), status.resources[0].trouble.clone())
            };
            let (started, told) = trouble(&lines);
            assert_eq!(started, 0, "{requires}");
            assert!(
                told.unwrap().starts_with("fencing is on and there is no device"),
                "{requires}"
            );
            let (started, told) = trouble(&format!("{lines}\nproperty stonith-enabled=false"));
            assert_eq!((started, told), (1, None), "{requires}");
        }
    }
}
