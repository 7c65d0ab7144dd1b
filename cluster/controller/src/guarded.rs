//! Which addresses stand under this host's gate, each with the lease group whose gate it is: those of
//! every leased resource of the configuration, and those that a start may have left here by an older
//! one. An address comes under the gate before anybody can own it, and leaves only after it is neither
//! configured nor anything is left of it: no entry, no gate.

use std::collections::BTreeMap;
use std::net::IpAddr;

use haven_cib::{Cib, Primitive};
use haven_types::GroupId;
use haven_types::operation::AgentName;

use crate::controller::Controller;
use crate::leases::leased_primitives;

/// The group of addresses that have never been granted: its gate is never opened.
pub const NEVER_GRANTED: GroupId = GroupId(u32::MAX);

/// A resource whose addresses stand under the gate.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Resource {
    agent: AgentName,
    params: BTreeMap<String, String>,
    group: GroupId,
}

/// The gate's entries, made anew only where something changed that they depend on.
#[derive(Clone, Debug, Default)]
pub struct Guarded {
    /// Configuration, number of grants, and what starts may have left.
    made_of: Option<(haven_cib::Version, usize, u64)>,
    entries: BTreeMap<IpAddr, GroupId>,
}

impl Guarded {
    /// The entries, where they are not what they were. `addresses` tells for an agent and parameters
    /// which addresses must be silent without the lease.
    // spec: L8
    pub fn refresh(
        &mut self,
        controller: &Controller,
        addresses: impl Fn(&AgentName, &BTreeMap<String, String>) -> Vec<IpAddr>,
    ) -> Option<&BTreeMap<IpAddr, GroupId>> {
        let state = &controller.state;
        let touched = controller.executor.touched_version();
        let seen = (state.cib.version, state.grants.len(), touched);
        if self.made_of == Some(seen) {
            return None;
        }
        self.made_of = Some(seen);
        let mut entries = BTreeMap::new();
        // Where both name an address, the configuration says whose it is.
        for resource in left(controller).into_iter().chain(configured(controller)) {
            for address in addresses(&resource.agent, &resource.params) {
                entries.insert(address, resource.group);
            }
        }
        if entries == self.entries {
            return None;
        }
        self.entries = entries;
        Some(&self.entries)
    }
}

/// What starts under a lease may have left here.
fn left(controller: &Controller) -> Vec<Resource> {
    let touched = controller.executor.touched();
    touched
        .filter_map(|(operation, lease)| {
            let (agent, params) = (operation.agent.clone(), operation.params.clone());
            Some(Resource { agent, params, group: lease?.group })
        })
        .collect()
}

/// Every leased resource of the configuration.
fn configured(controller: &Controller) -> Vec<Resource> {
    let state = &controller.state;
    leased_primitives(&state.cib, &controller.config.facts)
        .into_iter()
        .map(|(primitive, group)| {
            let named = template(&state.cib, primitive).unwrap_or(primitive);
            let params = parameters(&state.cib, primitive);
            Resource {
                agent: AgentName {
                    standard: named.class.clone().unwrap_or_default(),
                    provider: named.provider.clone(),
                    name: named.kind.clone().unwrap_or_default(),
                },
                params,
                group: state.grants.get(&group).map_or(NEVER_GRANTED, |grant| grant.group),
            }
        })
        .collect()
}

/// What a primitive is made from.
pub(crate) fn template<'a>(cib: &'a Cib, primitive: &Primitive) -> Option<&'a Primitive> {
    let name = primitive.template.as_ref()?;
    cib.templates.iter().find(|template| template.id == *name)
}

/// The parameters of a primitive: what it says itself stands before what its template says.
pub(crate) fn parameters(cib: &Cib, primitive: &Primitive) -> BTreeMap<String, String> {
    template(cib, primitive).into_iter().chain([primitive]).flat_map(written).collect()
}

fn written(primitive: &Primitive) -> impl Iterator<Item = (String, String)> {
    let pairs = primitive.params.iter().flat_map(|set| &set.pairs);
    pairs.filter_map(|pair| Some((pair.name.clone(), pair.value.clone()?)))
}

#[cfg(test)]
mod tests {
    use haven_cib::crm;
    use haven_consensus::Recovered;
    use haven_executor::Input as ToExecutor;
    use haven_types::operation::{Lease, OcfCode, Operation, Order, OrderId, Outcome};
    use haven_types::{BootId, Epoch, NodeId, Term};

    use super::*;
    use crate::bench::member;
    use crate::controller::Config;
    use crate::replicated::{Grant, Replicated};

    const LEASE: Lease = Lease { group: GroupId(4), epoch: Epoch(1) };

    fn configured_with(lines: &str) -> Controller {
        let mut state = Replicated::founded(member(1), Cib::default());
        state.cib = crm::load(&state.cib, lines, crm::Mode::Update).unwrap().cib;
        let config = Config {
            node: NodeId(1),
            boot: BootId(1),
            name: "n1".to_owned(),
            cluster: "test".to_owned(),
            consensus: haven_consensus::Config::new(NodeId(1)),
            facts: haven_policy::AgentFacts::default(),
            verification: crm::Facts::default(),
            seed: 1,
        };
        let recovered = Recovered::founding([NodeId(1)], state.encode());
        Controller::new(config, recovered, Vec::new(), None, haven_base::Instant::ZERO).unwrap()
    }

    /// The address of the built-in agent; others guard nothing.
    fn address(agent: &AgentName, params: &BTreeMap<String, String>) -> Vec<IpAddr> {
        let ip = params.get("ip").filter(|_| agent.name == "ip");
        ip.map(|ip| ip.parse().unwrap()).into_iter().collect()
    }

    fn guarded(controller: &Controller) -> Vec<(String, u32)> {
        let mut fresh = Guarded::default();
        let entries = fresh.refresh(controller, address).cloned().unwrap_or_default();
        entries.into_iter().map(|(address, group)| (address.to_string(), group.0)).collect()
    }

    fn entry(address: &str, group: u32) -> Vec<(String, u32)> {
        vec![(address.to_owned(), group)]
    }

    fn execute(controller: &mut Controller, input: ToExecutor) {
        let wall = haven_base::WallTime::from_seconds(1);
        controller.executor.step(haven_base::Instant::ZERO, wall, input);
    }

    fn order(number: u64, action: &str, lease: Option<Lease>) -> ToExecutor {
        let operation = Operation {
            resource: "vip".to_owned(),
            agent: AgentName {
                standard: "ocf".to_owned(),
                provider: Some("haven".to_owned()),
                name: "ip".to_owned(),
            },
            action: action.to_owned(),
            interval: std::time::Duration::ZERO,
            timeout: std::time::Duration::from_secs(1),
            params: [("ip".to_owned(), "192.0.2.1".to_owned())].into(),
            meta: BTreeMap::new(),
        };
        let id = OrderId { term: Term(1), number };
        ToExecutor::Order(Order { id, operation, lease, cancel: false })
    }

    // spec: L8
    #[test]
    fn what_is_leased_is_guarded_before_it_is_granted() {
        let vip = "primitive vip ocf:haven:ip params ip=192.0.2.1";
        let mut controller = configured_with(vip);
        assert_eq!(guarded(&controller), entry("192.0.2.1", u32::MAX));
        let grant = Grant { group: GroupId(4), epoch: Epoch(1), holder: Some(NodeId(1)) };
        controller.state.grants.insert("vip".to_owned(), grant);
        assert_eq!(guarded(&controller), entry("192.0.2.1", 4));
        assert_eq!(guarded(&configured_with(&format!("{vip} meta lease=off"))), []);
        // By a template, whose parameters the resource may replace.
        let template = "rsc_template t ocf:haven:ip params ip=192.0.2.7";
        let of_template = configured_with(&format!("{template}\nprimitive vip @t"));
        assert_eq!(guarded(&of_template), entry("192.0.2.7", u32::MAX));
        let own = configured_with(&format!("{template}\nprimitive vip @t params ip=192.0.2.8"));
        assert_eq!(guarded(&own), entry("192.0.2.8", u32::MAX));
    }

    // spec: L8
    #[test]
    fn what_a_failed_start_left_is_guarded_though_it_is_not_configured_any_more() {
        let mut controller = configured_with("");
        let mut kept = Guarded::default();
        let mut news = |controller: &Controller| kept.refresh(controller, address).map(|e| e.len());
        assert_eq!(news(&controller), None);
        execute(&mut controller, order(1, "start", Some(LEASE)));
        assert_eq!(news(&controller), Some(1), "before the agent is called");
        execute(&mut controller, ToExecutor::LeaseGained(LEASE));
        let run = haven_executor::RunId(1);
        let outcome = Outcome::done(OcfCode::ERROR, "half of it is there");
        execute(&mut controller, ToExecutor::AgentFinished { run, outcome });
        assert_eq!(controller.started().count(), 0);
        assert_eq!(guarded(&controller), entry("192.0.2.1", 4));
        execute(&mut controller, order(2, "stop", None));
        execute(&mut controller, ToExecutor::LeaseReleased(LEASE.group));
        assert_eq!(news(&controller), None, "until it is stopped");
        let run = haven_executor::RunId(2);
        let outcome = Outcome::done(OcfCode::OK, "");
        execute(&mut controller, ToExecutor::AgentFinished { run, outcome });
        assert_eq!(news(&controller), Some(0));
        execute(&mut controller, order(3, "start", None));
        assert_eq!(guarded(&controller), [], "without a lease there is no gate");
    }
}
