//! Addresses as the API tells of them: who owns each, and why nobody else does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use haven_api::{AddressRow, AddressState, ApiError, Code, IpWhy, NodeReason, ReplyBody, Role};
use haven_cib::{Primitive, Resource};
use haven_types::NodeId;

use crate::controller::Controller;
use crate::failures;
use crate::leases::unprotected;
use crate::report::{target, value};

impl Controller {
    fn addresses_of(&self) -> Vec<(IpAddr, &Primitive)> {
        self.state
            .cib
            .resources
            .iter()
            .flat_map(Resource::primitives)
            .filter(|p| p.provider.as_deref() == Some("haven") && p.kind.as_deref() == Some("ip"))
            .filter_map(|p| Some((parameter(p, "ip")?, p)))
            .flat_map(|(list, p)| {
                list.split([' ', ','])
                    .filter_map(|word| word.parse().ok())
                    .map(|address| (address, p))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    pub(crate) fn addresses(&self) -> Vec<AddressRow> {
        self.addresses_of()
            .into_iter()
            .map(|(address, p)| {
                let owner = self.active_on(&p.id).into_iter().next();
                let lease = self.lease_state(&p.id);
                let widest = if address.is_ipv4() { 32 } else { 128 };
                let prefix = parameter(p, "cidr_netmask").and_then(|text| text.parse().ok());
                AddressRow {
                    address,
                    prefix_len: prefix.unwrap_or(widest),
                    device: parameter(p, "nic").map(str::to_owned),
                    resource: p.id.clone(),
                    state: if owner.is_some() { AddressState::Up } else { AddressState::Down },
                    owner,
                    epoch: lease.as_ref().map(|lease| lease.epoch),
                    lease_left_ms: None,
                    announced: None,
                    confirmed: None,
                    conflicts: None,
                    unprotected: unprotected(&self.state.cib, &self.config.facts, &p.id),
                }
            })
            .collect()
    }

    /// Who owns an address, and what stands in the way of every other node.
    #[allow(clippy::wildcard_enum_match_arm, reason = "any other target asks why it does not run")]
    pub(crate) fn why(&self, address: IpAddr) -> Result<ReplyBody, ApiError> {
        let all = self.addresses_of();
        let Some((_, p)) = all.iter().find(|(known, _)| *known == address) else {
            let known: Vec<String> = all.iter().map(|(a, _)| a.to_string()).collect();
            let have = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let message = format!("{address} belongs to no resource");
            return Err(
                ApiError::new(Code::NoSuchObject, message).remedy(format!("addresses are: {have}"))
            );
        };
        let scores = self.scores_of(&p.id);
        let owners = self.active_on(&p.id);
        let reasons: Vec<NodeReason> = self
            .state
            .members
            .values()
            .map(|member| NodeReason {
                node: member.name.clone(),
                score: scores.get(&member.name).copied(),
                reason: self.reason(member.id, &member.name, p, &scores, &owners),
            })
            .collect();
        let (owner, others): (Vec<_>, Vec<_>) =
            reasons.into_iter().partition(|reason| owners.contains(&reason.node));
        let owner = owner.into_iter().next();
        let nobody = owner.is_none().then(|| match target(&p.meta) {
            Role::Stopped => format!("{} is to be stopped (target-role)", p.id),
            _ => self.why_stopped(p),
        });
        Ok(ReplyBody::Why(IpWhy { address, resource: p.id.clone(), owner, nobody, others }))
    }

    fn reason(
        &self,
        id: NodeId,
        name: &str,
        p: &Primitive,
        scores: &BTreeMap<String, i32>,
        owners: &[String],
    ) -> String {
        if owners.iter().any(|owner| owner == name) {
            let right = match self.lease_state(&p.id) {
                Some(lease) => format!("holds lease epoch {}", lease.epoch),
                None => "has it without a lease".to_owned(),
            };
            return format!("{right}; no other node scores higher");
        }
        let member = self.state.members.get(&id);
        if member.is_some_and(|m| m.role == crate::command::Role::Witness) {
            return "is a witness: it votes and runs nothing".to_owned();
        }
        if !self.heard(id) {
            return "is not heard by a majority".to_owned();
        }
        if !self.view.members.contains(&id) {
            return "is not in the view: some member cannot reach it".to_owned();
        }
        if self.is_on(id, "standby") {
            return "is in standby: haven node online brings it back".to_owned();
        }
        let failures = self
            .histories
            .get(&id)
            .map_or(0, |history| failures::count_of(&history.attributes, &p.id));
        if failures > 0 {
            return format!(
                "failed there {failures} times: haven resource cleanup {} forgets it",
                p.id
            );
        }
        match scores.get(name) {
            Some(score) if *score < 0 => format!("scores {score}: a constraint keeps it away"),
            Some(score) => format!("scores {score}, not more than the owner"),
            None => "was not considered in the last plan".to_owned(),
        }
    }

    /// Scores of a resource on each node, by running the engine once with scores.
    fn scores_of(&self, resource: &str) -> BTreeMap<String, i32> {
        let lines = self.score_lines();
        lines
            .iter()
            .filter_map(|line| {
                // `FUNCTION: RESOURCE allocation score on NODE: SCORE`, the field's own wording.
                let (head, score) = line.rsplit_once(": ")?;
                let (what, node) = head.rsplit_once(" on ")?;
                let named = what.split_whitespace().any(|word| word == resource);
                let score = match score.trim() {
                    "INFINITY" => 1_000_000,
                    "-INFINITY" => -1_000_000,
                    number => number.parse().ok()?,
                };
                named.then(|| (node.to_owned(), score))
            })
            .collect()
    }
}

fn parameter<'a>(p: &'a Primitive, name: &str) -> Option<&'a str> {
    value(&p.params, name)
}
