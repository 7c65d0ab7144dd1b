//! What the cluster looks like from here, in the words of the API.

use std::collections::BTreeMap;
use std::net::IpAddr;

use haven_api::{
    Active, AddressRow, AddressState, Announcement, ApiError, Code, FailedAction, Gate, IpWhy,
    LeaseState, NodeReason, NodeState, NodeStatus, PendingAction, QuorumStatus, ReplyBody,
    ResourceKind, ResourceStatus, Role, Status, Verdict, Vote,
};
use haven_base::Instant;
use haven_cib::{CloneChild, NvSet, Primitive, Resource};
use haven_types::NodeId;
use haven_types::operation::OperationRecord;

use crate::controller::Controller;
use crate::failures;
use crate::history::{NodeHistory, Slot, active, failed, promoted};
use crate::leases::{lease_group, leased_primitives, unprotected};
use crate::overview::Overview;
use crate::port::Clock;
use crate::request::millis;

impl Controller {
    /// The first screen. The shell adds what only the heartbeat thread knows: links.
    pub(crate) fn status(&self, clock: Clock) -> Status {
        let overview = &self.overview();
        let mut status = Status {
            verdict: Verdict::default(),
            cluster: self.config.cluster.clone(),
            node: self.config.name.clone(),
            at: clock.wall,
            configuration: self.api_version(),
            coordinator: self.leader.map(|leader| haven_api::Coordinator {
                node: self.name_of(leader),
                term: self.term.0,
                for_ms: millis(clock.now.since(self.leader_since)),
            }),
            quorum: self.quorum(),
            nodes: self
                .state
                .members
                .keys()
                .map(|id| self.node_status(clock, *id, overview))
                .collect(),
            resources: self
                .state
                .cib
                .resources
                .iter()
                .map(|resource| self.resource_status(clock, resource, overview))
                .collect(),
            intents: self.intents(clock.wall),
            failed: self.failed_actions(clock),
            pending: self.pending_actions(clock.now),
            alarms: self.alarms.iter().cloned().collect(),
        };
        status.alarms.extend(self.vote_alarms());
        if self.state.key_outdated {
            status.alarms.push(
                "a removed member still knows the heartbeats' key: haven cluster rotate-key".into(),
            );
        }
        if let Some(coordinator) = &self.coordinator {
            status.alarms.extend(coordinator.warnings.iter().cloned());
        }
        status.judge();
        status
    }

    pub(crate) fn api_version(&self) -> haven_api::Version {
        let haven_cib::Version { admin_epoch, epoch, num_updates } = self.state.cib.version;
        haven_api::Version { admin_epoch, epoch, num_updates }
    }

    fn quorum(&self) -> QuorumStatus {
        let here = self.present_for_quorum();
        let votes: Vec<Vote> = self
            .state
            .members
            .values()
            .map(|member| Vote {
                node: member.name.clone(),
                votes: self.quorum.votes_of(member.id),
                present: here.contains(&member.id),
            })
            .collect();
        let haven_quorum::Verdict { quorate, present, expected, needed, .. } = self.quorum.verdict;
        let (reason, remedy) = (self.quorum_reason(), self.quorum_remedy());
        QuorumStatus { quorate, present, expected, needed, reason, remedy, votes }
    }

    /// What is wrong with votes beside the verdict.
    fn vote_alarms(&self) -> Vec<String> {
        let mut alarms: Vec<String> = self
            .quorum
            .complaints
            .iter()
            .map(|wrong| format!("the options of the quorum are not in force: {wrong}"))
            .collect();
        let (heard, needed) = self.log_majority();
        if self.quorum.verdict.quorate && self.leader.is_none() && heard < needed {
            alarms.push(format!(
                "nothing can be changed and no lease lives here, whatever the votes say: {heard} \
                 members are heard, more than half are needed: {needed}"
            ));
        }
        let leased = !leased_primitives(&self.state.cib, &self.config.facts).is_empty();
        if let Some(refusal) = self.quorum.rules().lease_majority().err().filter(|_| leased) {
            alarms.push(refusal.to_string());
        }
        alarms
    }

    pub(crate) fn heard(&self, node: NodeId) -> bool {
        node == self.config.node
            || (self.alive.contains_key(&node) && !self.dead.contains_key(&node))
    }

    fn node_status(&self, clock: Clock, id: NodeId, overview: &Overview<'_>) -> NodeStatus {
        let member = self.state.members.get(&id);
        let witness = member.is_some_and(|m| m.role == crate::command::Role::Witness);
        let name = self.name_of(id);
        let standby = self.is_on(id, "standby");
        let in_view = self.view.members.contains(&id);
        let leftovers = overview.count(id);
        let state = match (self.heard(id), in_view, standby) {
            (false, _, _) if leftovers > 0 => NodeState::Unclean,
            (false, _, _) => NodeState::Offline,
            (true, false, _) => NodeState::Suspect,
            (true, true, _) if !witness && !self.histories.contains_key(&id) => NodeState::Pending,
            (true, true, _) if self.is_on(id, "maintenance") => NodeState::Maintenance,
            (true, true, true) => NodeState::Standby,
            (true, true, false) => NodeState::Online,
        };
        let since = match self.dead.get(&id) {
            Some(at) => Some(*at),
            None => self.alive.get(&id).map(|(_, at)| *at),
        };
        NodeStatus {
            name,
            id: id.0,
            witness,
            state,
            for_ms: since.map(|at| millis(clock.now.since(at))),
            running: u32::try_from(leftovers).unwrap_or(u32::MAX),
            links: Vec::new(),
            trouble: None,
        }
    }

    /// Resources that a node may be running, leased ones only while the lease is its own.
    pub(crate) fn resources_on(&self, id: NodeId) -> Vec<String> {
        let overview = self.overview();
        let here = overview.running.get(&id).into_iter().flatten();
        here.map(|name| (*name).to_owned()).collect()
    }

    /// Whether a node may be running a primitive.
    fn may_run(&self, id: NodeId, primitive: &str) -> bool {
        let records = self.histories.get(&id).and_then(|history| history.resources.get(primitive));
        let group = || lease_group(&self.state.cib, &self.config.facts, primitive);
        records.is_some_and(active) && group().is_none_or(|group| self.holds(id, &group))
    }

    /// Names of the nodes where a resource, or a part of it, is active.
    pub(crate) fn active_on(&self, resource: &str) -> Vec<String> {
        let parts: Vec<&str> = match self.state.cib.resource(resource) {
            Some(found) => found.primitives().iter().map(|p| p.id.as_str()).collect(),
            None => vec![resource],
        };
        self.histories
            .keys()
            .filter(|id| parts.iter().any(|part| self.may_run(**id, part)))
            .map(|id| self.name_of(*id))
            .collect()
    }

    fn resource_status(
        &self,
        clock: Clock,
        resource: &Resource,
        overview: &Overview<'_>,
    ) -> ResourceStatus {
        let part = |p: &Primitive| self.primitive_status(clock, p, overview);
        match resource {
            Resource::Primitive(p) => part(p),
            Resource::Group(g) => {
                let children = g.members.iter().map(part).collect();
                self.collection(&g.id, ResourceKind::Group, &g.meta, children)
            }
            Resource::Clone(c) => {
                let children = match &*c.child {
                    CloneChild::Primitive(p) => vec![part(p)],
                    CloneChild::Group(g) => g.members.iter().map(part).collect(),
                };
                self.collection(&c.id, ResourceKind::Clone, &c.meta, children)
            }
            Resource::Bundle(b) => {
                let children = b.primitive.iter().map(part).collect();
                self.collection(&b.id, ResourceKind::Bundle, &b.meta, children)
            }
        }
    }

    fn collection(
        &self,
        id: &str,
        kind: ResourceKind,
        meta: &[NvSet],
        children: Vec<ResourceStatus>,
    ) -> ResourceStatus {
        ResourceStatus {
            id: id.to_owned(),
            kind,
            agent: None,
            target: target(meta),
            managed: managed(meta),
            active: Vec::new(),
            lease: None,
            unprotected: None,
            fail_count: 0,
            trouble: None,
            children,
        }
    }

    fn primitive_status(
        &self,
        clock: Clock,
        p: &Primitive,
        overview: &Overview<'_>,
    ) -> ResourceStatus {
        let mut active: Vec<Active> = self
            .histories
            .iter()
            .filter(|(id, _)| overview.runs(**id, &p.id))
            .map(|(id, history)| self.active_entry(clock, (*id, history), &p.id, overview))
            .collect();
        let target = target(&p.meta);
        let trouble = (active.is_empty() && target != Role::Stopped)
            .then(|| self.why_stopped_among(p, overview))
            .or_else(|| self.blocked(p, &mut active));
        ResourceStatus {
            id: p.id.clone(),
            kind: ResourceKind::Primitive,
            agent: Some(agent_name(p)),
            target,
            managed: managed(&p.meta),
            lease: self.lease_of(overview.groups.get(&p.id), |id| overview.runs(id, &p.id)),
            unprotected: overview.unprotected.contains(&p.id).then(two_owners),
            active,
            fail_count: overview.failures.get(&p.id).copied().unwrap_or(0),
            trouble,
            children: Vec::new(),
        }
    }

    fn active_entry(
        &self,
        clock: Clock,
        (id, history): (NodeId, &NodeHistory),
        resource: &str,
        overview: &Overview<'_>,
    ) -> Active {
        let last = history.resources.get(resource).and_then(|slots| slots.get(&Slot::Last));
        let role = match last {
            Some(_) if !self.heard(id) => Role::Unknown,
            Some(record) if failed(record) => Role::Failed,
            _ if history.resources.get(resource).is_some_and(promoted) => Role::Promoted,
            _ if overview.promotable.contains(resource) => Role::Unpromoted,
            _ => Role::Started,
        };
        let for_ms = last.map(|record| ago(clock, record));
        Active { node: self.name_of(id), role, for_ms }
    }

    pub(crate) fn why_stopped(&self, p: &Primitive) -> String {
        self.why_stopped_among(p, &self.overview())
    }

    fn why_stopped_among(&self, p: &Primitive, overview: &Overview<'_>) -> String {
        if self.leader.is_none() {
            return "no coordinator: nothing is started or stopped".to_owned();
        }
        if self.awaits_fencing(p, overview) {
            return "fencing is on and there is no device, so nothing is started that needs it: \
                    configure a device, or property stonith-enabled=false where no data is shared"
                .to_owned();
        }
        let failure = self
            .histories
            .values()
            .filter_map(|history| history.resources.get(&p.id)?.get(&Slot::LastFailure))
            .max_by_key(|record| record.last_change);
        match failure.and_then(|record| record.outcome.as_ref().map(|o| (record, o))) {
            Some((record, outcome)) => format!(
                "{} on {} failed: {} {}",
                record.operation.action,
                self.name_of(record.node),
                outcome.code,
                outcome.reason
            ),
            None => {
                format!("stopped; `haven explain {}` tells what stands in the way", p.id)
            }
        }
    }

    /// Whether nothing but fencing devices is missing: none is configured, and they are asked for.
    fn awaits_fencing(&self, p: &Primitive, overview: &Overview<'_>) -> bool {
        let cib = &self.state.cib;
        let word = cib.option("fencing-enabled").or_else(|| cib.option("stonith-enabled"));
        let off = word.is_some_and(|word| {
            matches!(word.to_ascii_lowercase().as_str(), "false" | "off" | "no" | "0" | "n")
        });
        let (device, leased) = (overview.fencing_device, overview.groups.contains_key(&p.id));
        let without = value(&p.meta, "requires").is_some_and(|word| {
            matches!(word.to_ascii_lowercase().as_str(), "nothing" | "quorum" | "lease")
        });
        !off && !device && !without && !leased
    }

    fn lease_state(&self, primitive: &str) -> Option<LeaseState> {
        let group = lease_group(&self.state.cib, &self.config.facts, primitive);
        self.lease_of(group.as_ref(), |id| self.may_run(id, primitive))
    }

    fn lease_of(
        &self,
        group: Option<&String>,
        runs_on: impl Fn(NodeId) -> bool,
    ) -> Option<LeaseState> {
        let grant = self.state.grants.get(group?)?;
        let running = grant.holder.is_some_and(runs_on);
        Some(LeaseState {
            epoch: grant.epoch.0,
            holder: grant.holder.filter(|_| running).map(|id| self.name_of(id)),
            left_ms: None,
            duration_ms: None,
            gate: if running { Gate::Open } else { Gate::Closed },
        })
    }

    fn failed_actions(&self, clock: Clock) -> Vec<FailedAction> {
        let mut found: Vec<(&OperationRecord, bool)> = self
            .histories
            .values()
            .flat_map(|history| history.resources.values())
            .filter_map(|slots| {
                let failure = slots.get(&Slot::LastFailure)?;
                let later = slots.values().any(|r| {
                    r.call > failure.call && r.operation.action == failure.operation.action
                });
                Some((failure, later))
            })
            .collect();
        found.sort_by_key(|(record, _)| std::cmp::Reverse(record.last_change));
        found
            .into_iter()
            .filter_map(|(record, later_succeeded)| {
                let outcome = record.outcome.as_ref()?;
                Some(FailedAction {
                    resource: record.operation.resource.clone(),
                    operation: record.operation.action.clone(),
                    interval_ms: millis(record.operation.interval),
                    node: self.name_of(record.node),
                    rc: u8::try_from(outcome.code.0).unwrap_or(1),
                    reason: outcome.reason.clone(),
                    ago_ms: ago(clock, record),
                    later_succeeded,
                })
            })
            .collect()
    }

    pub(crate) fn pending_actions(&self, now: Instant) -> Vec<PendingAction> {
        let Some(coordinator) = &self.coordinator else { return Vec::new() };
        coordinator
            .engine
            .flights()
            .values()
            .map(|flight| PendingAction {
                resource: flight.action.resource.as_ref().map(|r| r.id.clone()).unwrap_or_default(),
                operation: flight.action.operation.clone(),
                node: flight.action.node.as_ref().map(|n| n.uname.clone()).unwrap_or_default(),
                elapsed_ms: millis(now.since(flight.since)),
                timeout_ms: flight.action.timeout.map_or(0, millis),
            })
            .collect()
    }

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
                    announced: Announcement::default(),
                    confirmed: None,
                    conflicts: 0,
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
            let epoch = self.lease_state(&p.id).map_or(0, |lease| lease.epoch);
            return format!("holds lease epoch {epoch}; no other node scores higher");
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

fn ago(clock: Clock, record: &OperationRecord) -> u64 {
    let seconds = clock.wall.seconds - record.last_change.seconds;
    u64::try_from(seconds).unwrap_or(0) * 1000
}

fn agent_name(p: &Primitive) -> String {
    [p.class.as_deref(), p.provider.as_deref(), p.kind.as_deref()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(":")
}

pub(crate) fn value<'a>(sets: &'a [NvSet], name: &str) -> Option<&'a str> {
    sets.iter().flat_map(|set| &set.pairs).find(|pair| pair.name == name)?.value.as_deref()
}

fn parameter<'a>(p: &'a Primitive, name: &str) -> Option<&'a str> {
    value(&p.params, name)
}

fn target(meta: &[NvSet]) -> Role {
    match value(meta, "target-role") {
        Some("Stopped" | "stopped") => Role::Stopped,
        Some("Promoted" | "Master" | "promoted") => Role::Promoted,
        Some("Unpromoted" | "Slave" | "unpromoted") => Role::Unpromoted,
        _ => Role::Started,
    }
}

fn two_owners() -> String {
    "lease=off: in a partition this resource may be active on both sides".to_owned()
}

fn managed(meta: &[NvSet]) -> bool {
    !matches!(value(meta, "is-managed"), Some("false" | "off" | "no" | "0" | "n"))
}
