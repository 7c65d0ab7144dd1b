//! What the cluster looks like from here, in the words of the API.

use haven_api::{
    Active, FailedAction, Gate, LeaseState, NodeState, NodeStatus, PendingAction, QuorumStatus,
    ResourceKind, ResourceStatus, Role, Status, Verdict, Vote,
};
use haven_base::{Instant, WallTime};
use haven_cib::{CloneChild, NvSet, Primitive, Resource};
use haven_policy::Exposure;
use haven_types::NodeId;
use haven_types::operation::OperationRecord;

use crate::controller::Controller;
use crate::history::{NodeHistory, Slot, active, failed, promoted};
use crate::leases::lease_group;
use crate::overview::Overview;
use crate::picture;
use crate::port::Clock;
use crate::waiting::millis;

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
            alarms: self.alarms.texts(clock.now),
        };
        status.alarms.extend(self.removal_alarm());
        status.alarms.extend(self.vote_alarms());
        status.alarms.extend(self.fencing_alarms(overview));
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
        alarms.extend(self.lease_alarm());
        alarms
    }

    /// Nodes that would have to be fenced, and nobody can.
    fn fencing_alarms(&self, overview: &Overview<'_>) -> Vec<String> {
        let unclean = self.dead.keys().filter(|node| !self.heard(**node));
        let with =
            unclean.filter_map(|node| Some((self.name_of(*node), overview.running.get(node)?)));
        with.filter(|(_, left)| !left.is_empty() && self.fences())
            .map(|(name, left)| {
                let left = left.iter().copied().collect::<Vec<_>>().join(", ");
                format!(
                    "{name} is unclean: {left} may still run there, and haven cannot drive fencing devices yet; once \
                     you have made sure that it is off: haven node confirm-dead {name} --reason TEXT"
                )
            })
            .collect()
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
        let unleased = || records.is_some_and(|it| self.is_left_unleased(id, it));
        records.is_some_and(active)
            && !self.is_confirmed_dead(id)
            && (group().is_none_or(|group| self.holds(id, &group)) || unleased())
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
            .or_else(|| self.blocked(p, &mut active))
            .or_else(|| self.degraded(p));
        ResourceStatus {
            id: p.id.clone(),
            kind: ResourceKind::Primitive,
            agent: Some(agent_name(p)),
            target,
            managed: managed(&p.meta),
            lease: self.lease_of(overview.groups.get(&p.id), |id| overview.runs(id, &p.id)),
            unprotected: overview.unprotected.get(&p.id).copied().map(two_owners),
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
            return "fencing is on and there is no device, so nothing is started that has no lease: \
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
        let (device, leased) = (overview.fencing_device, overview.groups.contains_key(&p.id));
        let accepted = overview.unprotected.get(&p.id) == Some(&Exposure::Accepted);
        self.fences() && !device && !leased && !accepted
    }

    fn fences(&self) -> bool {
        picture::fences(&self.state.cib)
    }

    pub(crate) fn lease_state(&self, primitive: &str) -> Option<LeaseState> {
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
}

/// Milliseconds; 0 where the clock of the record's node is ahead.
fn ago(clock: Clock, record: &OperationRecord) -> u64 {
    let nanos = |at: WallTime| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    u64::try_from((nanos(clock.wall) - nanos(record.last_change)) / 1_000_000).unwrap_or(0)
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

pub(crate) fn target(meta: &[NvSet]) -> Role {
    match value(meta, "target-role") {
        Some("Stopped" | "stopped") => Role::Stopped,
        Some("Promoted" | "Master" | "promoted") => Role::Promoted,
        Some("Unpromoted" | "Slave" | "unpromoted") => Role::Unpromoted,
        _ => Role::Started,
    }
}

fn two_owners(why: Exposure) -> String {
    match why {
        Exposure::Accepted => {
            "lease=off: in a partition this resource may be active on both sides".to_owned()
        }
        Exposure::Many => {
            "in a clone or bundle there is neither lease nor gate: take the resource out of it"
                .to_owned()
        }
    }
}

fn managed(meta: &[NvSet]) -> bool {
    !matches!(value(meta, "is-managed"), Some("false" | "off" | "no" | "0" | "n"))
}
