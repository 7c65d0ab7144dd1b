//! Addresses that resources move: each belongs to one resource, and none to the cluster's own talk. Compared as
//! addresses, not as text: one may stand in a list, or be spelt in another way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::resources::parameters;
use super::{Finding, View};
use crate::model::Primitive;

/// Agents whose resources are addresses.
const AGENTS: &[&str] = &["ip", "IPaddr", "IPaddr2", "IPv6addr"];
/// Parameters that name them.
const PARAMETERS: &[&str] = &["ip", "ipv6addr"];

pub(super) fn check(view: &View<'_>, findings: &mut Vec<Finding>) {
    let mut owners: BTreeMap<IpAddr, (&str, String)> = BTreeMap::new();
    for primitive in &view.primitives {
        for (address, text) in addresses(view, primitive) {
            if let Some(node) = view.facts.reserved.get(&address) {
                let message = format!(
                    "{address} is the address by which {node} talks to the other members: it cannot move"
                );
                findings.push(
                    Finding::error("HV0325", message)
                        .about(&primitive.id)
                        .fix("give the service an address of its own, one that no node has"),
                );
            }
            match owners.get(&address) {
                // The same text is found where parameters are judged.
                Some((other, spelt)) if *other != primitive.id && *spelt != text => {
                    let message = format!("the address {address} is that of \"{other}\", too");
                    findings.push(Finding::error("HV0305", message).about(&primitive.id).fix(
                        "name each address in one resource only, or it would have two owners",
                    ));
                }
                Some(_) => {}
                None => {
                    owners.insert(address, (&primitive.id, text));
                }
            }
        }
    }
}

/// The addresses of a resource, each with the text of the parameter that names it.
fn addresses(view: &View<'_>, primitive: &Primitive) -> BTreeSet<(IpAddr, String)> {
    let agent = view.agent(primitive).unwrap_or_default();
    if !agent.rsplit(':').next().is_some_and(|kind| AGENTS.contains(&kind)) {
        return BTreeSet::new();
    }
    let given = parameters(view, primitive);
    let texts = PARAMETERS.iter().filter_map(|name| given.get(*name));
    let word = |c: char| c == ',' || c == ';' || c.is_whitespace();
    texts
        .flat_map(|text| text.split(word).map(move |it| (it, text)))
        .filter_map(|(it, text)| Some((it.split('/').next()?.parse().ok()?, text.clone())))
        .collect()
}
