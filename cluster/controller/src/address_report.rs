//! Addresses as the API tells of them: who owns each, and why nobody else does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use haven_api::{AddressRow, AddressState, ApiError, Code, IpWhy, NodeReason, ReplyBody, Role};
use haven_cib::{Primitive, Resource};
use haven_types::NodeId;

use crate::controller::Controller;
use crate::failures;
use crate::guarded::{parameters, template};
use crate::leases::unprotected;
use crate::report::target;

impl Controller {
    /// Each address with its resource and that one's parameters, a template's included.
    fn addresses_of(&self) -> Vec<(IpAddr, &Primitive, BTreeMap<String, String>)> {
        let cib = &self.state.cib;
        let mut found = Vec::new();
        for p in cib.resources.iter().flat_map(Resource::primitives) {
            let agent = template(cib, p).unwrap_or(p);
            if (agent.provider.as_deref(), agent.kind.as_deref()) != (Some("haven"), Some("ip")) {
                continue;
            }
            let params = parameters(cib, p);
            let list = params.get("ip").map(String::as_str).unwrap_or_default();
            let addresses = list.split([' ', ',']).filter_map(|word| word.parse().ok());
            found.extend(addresses.map(|address| (address, p, params.clone())));
        }
        found
    }

    pub(crate) fn addresses(&self) -> Vec<AddressRow> {
        self.addresses_of()
            .into_iter()
            .map(|(address, p, params)| {
                let owner = self.active_on(&p.id).into_iter().next();
                let lease = self.lease_state(&p.id);
                let widest = if address.is_ipv4() { 32 } else { 128 };
                let prefix = params.get("cidr_netmask").and_then(|text| text.parse().ok());
                AddressRow {
                    address,
                    prefix_len: prefix.unwrap_or(widest),
                    device: params.get("nic").cloned(),
                    resource: p.id.clone(),
                    state: if owner.is_some() { AddressState::Up } else { AddressState::Down },
                    owner,
                    epoch: lease.as_ref().map(|lease| lease.epoch),
                    lease_left_ms: None,
                    announced: None,
                    confirmed: None,
                    conflicts: None,
                    contested: None,
                    unprotected: unprotected(&self.state.cib, &self.config.facts, &p.id),
                }
            })
            .collect()
    }

    /// Who owns an address, and what stands in the way of every other node.
    #[allow(clippy::wildcard_enum_match_arm, reason = "any other target asks why it does not run")]
    pub(crate) fn why(&self, address: IpAddr) -> Result<ReplyBody, ApiError> {
        let all = self.addresses_of();
        let Some((_, p, _)) = all.iter().find(|(known, ..)| *known == address) else {
            let known: Vec<String> = all.iter().map(|(a, ..)| a.to_string()).collect();
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
            return right + &self.rivals((name, owners), p, scores);
        }
        if let Some(obstacle) = self.obstacle(id, p) {
            return obstacle;
        }
        let owned = owners.iter().filter_map(|owner| scores.get(owner)).max();
        match (scores.get(name), owned) {
            (Some(score), _) if *score < 0 => format!("scores {score}: a constraint keeps it away"),
            (Some(score), Some(owned)) if score > owned => {
                format!("scores {score}, more than the owner: see haven explain {}", p.id)
            }
            (Some(score), Some(_)) => format!("scores {score}, not more than the owner"),
            (Some(score), None) => format!("scores {score}"),
            (None, _) => "was not considered in the last plan".to_owned(),
        }
    }

    /// Who does not have the resource and scores higher than an owner, with what keeps it from there; nothing where no
    /// score is known.
    fn rivals(
        &self,
        (owner, owners): (&str, &[String]),
        p: &Primitive,
        scores: &BTreeMap<String, i32>,
    ) -> String {
        let Some(own) = scores.get(owner) else { return String::new() };
        let higher = |name: &String| scores.get(name).is_some_and(|score| score > own);
        let rival = |name: &String| higher(name) && !owners.contains(name);
        let others = self.state.members.values().filter(|member| rival(&member.name));
        let told: Vec<String> = others
            .map(|member| match self.obstacle(member.id, p) {
                Some(obstacle) => format!("; {} scores higher, but {obstacle}", member.name),
                None => format!("; {} scores higher", member.name),
            })
            .collect();
        if told.is_empty() { "; no other node scores higher".to_owned() } else { told.concat() }
    }

    /// What keeps a resource from a node, whatever the node scores.
    fn obstacle(&self, id: NodeId, p: &Primitive) -> Option<String> {
        let member = self.state.members.get(&id);
        if member.is_some_and(|m| m.role == crate::command::Role::Witness) {
            return Some("is a witness: it votes and runs nothing".to_owned());
        }
        if !self.heard(id) {
            return Some("is not heard by a majority".to_owned());
        }
        if !self.view.members.contains(&id) {
            return Some("is not in the view: some member cannot reach it".to_owned());
        }
        if self.is_on(id, "standby") {
            return Some("is in standby: haven node online brings it back".to_owned());
        }
        let failures = self
            .histories
            .get(&id)
            .map_or(0, |history| failures::count_of(&history.attributes, &p.id));
        (failures > 0).then(|| {
            format!("failed there {failures} times: haven resource cleanup {} forgets it", p.id)
        })
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

#[cfg(test)]
mod tests {
    use haven_api::{IpWhy, ReplyBody};

    use crate::bench::{Bench, VIP};

    /// What the coordinator says of the one address.
    fn why(bench: &Bench) -> IpWhy {
        let controller = &bench.nodes[&haven_types::NodeId(bench.coordinator())];
        match controller.why("192.0.2.10".parse().unwrap()) {
            Ok(ReplyBody::Why(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    /// Score and reason of a node that has the address, or has not.
    fn of(why: &IpWhy, node: u16) -> (Option<i32>, String) {
        let name = format!("n{node}");
        let found = why.owner.iter().chain(&why.others).find(|reason| reason.node == name);
        found.map(|reason| (reason.score, reason.reason.clone())).unwrap()
    }

    #[test]
    fn why_tells_who_scores_higher_than_the_owner_and_what_keeps_the_address_from_there() {
        let mut bench = Bench::new(&format!("{VIP}\nlocation likes-n1 vip 100: n1"));
        assert_eq!(bench.owner(), 1);
        let before = why(&bench);
        let (score, reason) = of(&before, 1);
        assert!(score == Some(100) && reason.contains("no other node scores higher"), "{reason}");
        assert_eq!(of(&before, 2), (Some(0), "scores 0, not more than the owner".to_owned()));
        bench.kill(1);
        bench.notice(1);
        bench.run(5_000);
        let after = why(&bench);
        let (score, reason) = of(&after, bench.owner());
        assert_eq!(score, Some(0));
        assert!(reason.ends_with("; n1 scores higher, but is not heard by a majority"), "{reason}");
        assert_eq!(of(&after, 1), (Some(100), "is not heard by a majority".to_owned()));
        assert_eq!(after.nobody, None);
    }

    #[test]
    fn who_has_the_address_as_well_is_no_rival() {
        let bench = Bench::new(&format!("{VIP}\nlocation likes-n1 vip 100: n1"));
        let controller = &bench.nodes[&haven_types::NodeId(bench.coordinator())];
        let p = controller.addresses_of()[0].1;
        let scores = controller.scores_of(&p.id);
        let rivals = |owners: &[&str]| {
            let owners: Vec<String> = owners.iter().map(|name| (*name).to_owned()).collect();
            controller.rivals(("n2", &owners), p, &scores)
        };
        assert_eq!(rivals(&["n2"]), "; n1 scores higher");
        assert_eq!(rivals(&["n1", "n2"]), "; no other node scores higher");
    }

    #[test]
    fn an_address_that_a_template_describes_is_told_like_any_other() {
        let mut bench = Bench::new("");
        let lines = "rsc_template t ocf:haven:ip params nic=client cidr_netmask=24 ip=192.0.2.7\n\
                     primitive vip @t\nprimitive other @t params ip=\"192.0.2.8, 192.0.2.9\"";
        let coordinator = bench.coordinator();
        bench.load(coordinator, lines, true).unwrap();
        bench.run(5_000);
        let controller = &bench.nodes[&haven_types::NodeId(coordinator)];
        let rows = controller.addresses().into_iter().map(|row| {
            (row.address.to_string(), row.prefix_len, row.device.unwrap_or_default(), row.resource)
        });
        let row =
            |address: &str, of: &str| (address.to_owned(), 24, "client".to_owned(), of.to_owned());
        let expected =
            [row("192.0.2.7", "vip"), row("192.0.2.8", "other"), row("192.0.2.9", "other")];
        assert_eq!(rows.collect::<Vec<_>>(), expected);
        assert!(controller.why("192.0.2.9".parse().unwrap()).is_ok());
    }
}
