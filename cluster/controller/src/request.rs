//! Requests: who answers them, what they change, and who waits for the change to be carried out.

use std::time::Duration;

use haven_api::{ApiError, Code, Finding, Notice, PendingAction, ReplyBody, RequestBody};
use haven_base::{Instant, WallTime};
use haven_cib::{Cib, CibError};
use haven_consensus::DropReason;
use haven_messaging::KeyNotice;
use haven_types::NodeId;

use crate::command::{Command, JoinRefusal, Member};
use crate::commits::api_version;
use crate::configure::Manner;
use crate::controller::{Controller, Internal, Purpose};
use crate::goals::Goal;
use crate::leaving::Leaving;
use crate::lifetime;
use crate::message::PeerMessage;
use crate::port::{Clock, Output};
use crate::replicated::Applied;

/// How long a request waits for the cluster to carry it out, unless it says otherwise.
const DEFAULT_WAIT: Duration = Duration::from_secs(60);
/// Whoever waits hears this often what is under way.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// Requests waiting at once; one more is refused.
const MAX_WAITERS: usize = 256;

/// Where the reply of a request goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReplyTo {
    /// A client of this node.
    Local(u64),
    /// Another node, which forwarded the request under this number.
    Peer(NodeId, u64),
}

/// A request that is committed or about to be, and not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Waiter {
    pub(crate) reply_to: ReplyTo,
    /// What was done, for the answer.
    what: String,
    /// Answer only once the cluster has settled.
    wait: bool,
    committed: bool,
    since: Instant,
    pub(crate) deadline: Instant,
    /// Ids of configuration objects that the change touches.
    changed: Vec<String>,
    findings: Vec<Finding>,
    kind: Kind,
    /// The version that the change was made from.
    base: haven_cib::Version,
    /// The version that the change made.
    version: Option<haven_cib::Version>,
    goal: Goal,
    /// When whoever waits is told next what is under way.
    pub(crate) told: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Configuration,
    Action,
}

/// A request that another node carries out.
#[derive(Clone, Debug)]
pub(crate) struct Forwarded {
    /// The client's request.
    pub(crate) request: u64,
    /// Who carries it out.
    pub(crate) node: NodeId,
    /// What this node's agents say about it, for the answer.
    pub(crate) findings: Vec<Finding>,
}

/// How a change of the configuration is to be answered.
pub(crate) struct Change {
    pub(crate) what: String,
    pub(crate) wait: bool,
    pub(crate) timeout: Duration,
    pub(crate) changed: Vec<String>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) configuration: bool,
    pub(crate) goal: Goal,
}

impl Change {
    pub(crate) fn configuration(
        what: String,
        changed: Vec<String>,
        findings: Vec<Finding>,
    ) -> Self {
        let (wait, timeout) = (false, DEFAULT_WAIT);
        Self { what, wait, timeout, changed, findings, configuration: true, goal: Goal::Settled }
    }

    pub(crate) fn action(what: String, wait: bool, timeout_ms: Option<u64>) -> Self {
        let timeout = timeout_ms.map_or(DEFAULT_WAIT, Duration::from_millis);
        let (changed, findings) = (Vec::new(), Vec::new());
        let (configuration, goal) = (false, Goal::Settled);
        Self { what, wait, timeout, changed, findings, configuration, goal }
    }

    /// The same change, with what is wanted by it.
    pub(crate) fn towards(self, goal: Goal) -> Self {
        Self { goal, ..self }
    }
}

impl Controller {
    pub(crate) fn on_request(&mut self, clock: Clock, id: u64, author: String, body: RequestBody) {
        self.serve(clock, ReplyTo::Local(id), author, body);
    }

    pub(crate) fn on_forward(
        &mut self,
        clock: Clock,
        from: NodeId,
        id: u64,
        body: &[u8],
        author: String,
    ) {
        let reply_to = ReplyTo::Peer(from, id);
        match serde_json::from_slice(body) {
            Ok(_) if self.coordinator.is_none() => {
                let error = ApiError::new(Code::NoCoordinator, "the coordinator has just changed")
                    .remedy("try again");
                self.reply(reply_to, false, Err(error));
            }
            Ok(body) => self.serve(clock, reply_to, author, body),
            Err(error) => {
                let error = ApiError::new(
                    Code::BadData,
                    format!("the coordinator does not understand the request: {error}"),
                )
                .remedy("run the same version of haven on all nodes");
                self.reply(reply_to, false, Err(error));
            }
        }
    }

    pub(crate) fn on_forwarded(&mut self, id: u64, more: bool, body: &[u8]) {
        let Some(forwarded) = self.forwarded.get(&id) else { return };
        let request = forwarded.request;
        let mut body = serde_json::from_slice(body).unwrap_or_else(|error| {
            let message = format!("the coordinator's answer cannot be read: {error}");
            Err(ApiError::new(Code::Internal, message))
        });
        if let Ok(ReplyBody::Committed { findings, .. }) = &mut body {
            let new = |found: &&Finding| !findings.contains(found);
            let here: Vec<Finding> = forwarded.findings.iter().filter(new).cloned().collect();
            findings.extend(here);
        }
        if !more {
            self.forwarded.remove(&id);
        }
        self.out.push(Output::Reply { id: request, more, body: Box::new(body) });
    }

    /// Tells those whose requests went to a node that is gone that it will not answer.
    pub(crate) fn fail_forwarded(&mut self) {
        let gone = |node: &NodeId| !self.view.members.contains(node);
        let lost: Vec<(u64, u64, NodeId)> = self
            .forwarded
            .iter()
            .filter(|(_, forwarded)| gone(&forwarded.node))
            .map(|(id, forwarded)| (*id, forwarded.request, forwarded.node))
            .collect();
        for (id, request, node) in lost {
            self.forwarded.remove(&id);
            let message = format!("{} is gone, which was to carry this out", self.name_of(node));
            let error = ApiError::new(Code::Indeterminate, message)
                .remedy("see `haven status` and `haven configure show` for what is in force");
            self.out.push(Output::Reply { id: request, more: false, body: Box::new(Err(error)) });
        }
    }

    fn serve(&mut self, clock: Clock, to: ReplyTo, author: String, body: RequestBody) {
        let Some(body) = self.serve_attribute(clock, to, body) else { return };
        if let Some(answer) = self.answer_here(clock, &body) {
            self.reply(to, false, answer);
            return;
        }
        if self.coordinator.is_none() {
            match self.judge_before_forwarding(&body) {
                Ok(findings) => self.forward(to, &author, &body, findings),
                Err(error) => self.reply(to, false, Err(error)),
            }
            return;
        }
        if body == RequestBody::PlanningInput {
            let answer = self.planning_input(clock);
            self.reply(to, false, Ok(answer));
            return;
        }
        if let Err(error) = self.change(clock, to, author, body) {
            self.reply(to, false, Err(error));
        }
    }

    /// Answers that need nobody else.
    fn answer_here(&self, clock: Clock, body: &RequestBody) -> Option<Result<ReplyBody, ApiError>> {
        match body {
            RequestBody::Status => Some(Ok(ReplyBody::Status(Box::new(self.status(clock))))),
            RequestBody::ConfigureShow { format } => Some(self.show(*format)),
            RequestBody::ConfigureVerify { text, format, mode, lenient } => {
                let manner = Manner { format: *format, mode: *mode, lenient: *lenient };
                Some(self.verify(text.as_deref(), manner))
            }
            RequestBody::NodeAttributes { node, name } => {
                Some(self.attribute_rows(node.as_deref(), name.as_deref()))
            }
            RequestBody::ConfigureLog { limit } => Some(Ok(self.commit_log(*limit))),
            RequestBody::ConfigureDiff { from, to } => Some(self.difference(*from, *to)),
            RequestBody::ResourceFailures { resource, node } => {
                Some(self.failure_rows(resource.as_deref(), node.as_deref()))
            }
            RequestBody::IpStatus => Some(Ok(ReplyBody::Addresses(self.addresses()))),
            RequestBody::IpWhy { address } => Some(self.why(*address)),
            RequestBody::Hello
            | RequestBody::Watch { .. }
            | RequestBody::Events { .. }
            | RequestBody::Counters
            | RequestBody::PlanRestart
            | RequestBody::KeyRotate
            | RequestBody::ClusterToken { .. } => {
                Some(Err(ApiError::new(Code::Internal, "this request is the shell's to answer")))
            }
            RequestBody::PlanningInput
            | RequestBody::ConfigureLoad(_)
            | RequestBody::ConfigureUndo { .. }
            | RequestBody::ConfigureChange { .. }
            | RequestBody::NodeStandby { .. }
            | RequestBody::NodeAttributeSet { .. }
            | RequestBody::NodeMaintenance { .. }
            | RequestBody::ResourceBan { .. }
            | RequestBody::ResourceRestart { .. }
            | RequestBody::ResourceRefresh { .. }
            | RequestBody::ResourceTrace { .. }
            | RequestBody::ResourceMove { .. }
            | RequestBody::ResourceClear { .. }
            | RequestBody::ResourceStart { .. }
            | RequestBody::ResourceStop { .. }
            | RequestBody::ResourceCleanup { .. }
            | RequestBody::ClusterLeave { .. }
            | RequestBody::ClusterRemoveNode { .. }
            | RequestBody::Handover { .. } => None,
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest is for the coordinator")]
    fn forward(&mut self, to: ReplyTo, author: &str, body: &RequestBody, findings: Vec<Finding>) {
        let ReplyTo::Local(request) = to else { return };
        let Some(leader) = self.leader else {
            let error = ApiError::new(
                Code::NoCoordinator,
                "no coordinator is known here: this node has no majority, or one is being elected",
            )
            .remedy(
                "see `haven status`; if this partition has no majority, restore links or nodes",
            );
            self.reply(to, false, Err(error));
            return;
        };
        let id = self.next_forward;
        self.next_forward += 1;
        self.forwarded.insert(id, Forwarded { request, node: leader, findings });
        let body = self.naming_this_node(body);
        self.send(leader, &PeerMessage::forward(id, &body, author));
    }

    /// The same request for another node to carry out: what means this node says so.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest names its nodes")]
    fn naming_this_node(&self, body: &RequestBody) -> RequestBody {
        let mut body = body.clone();
        match &mut body {
            RequestBody::ClusterLeave { force } => {
                let (node, force) = (self.config.name.clone(), *force);
                return RequestBody::ClusterRemoveNode { node, force };
            }
            RequestBody::NodeStandby { node, .. }
            | RequestBody::NodeMaintenance { node, .. }
            | RequestBody::NodeAttributeSet { node, .. } => {
                node.get_or_insert_with(|| self.config.name.clone());
            }
            _ => {}
        }
        body
    }

    pub(crate) fn reply(&mut self, to: ReplyTo, more: bool, body: Result<ReplyBody, ApiError>) {
        match to {
            ReplyTo::Local(id) => self.out.push(Output::Reply { id, more, body: Box::new(body) }),
            ReplyTo::Peer(node, id) => {
                self.send(node, &PeerMessage::forwarded(id, more, &body));
            }
        }
    }

    /// Requests that change something. Only the coordinator gets here.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest changes nothing here")]
    fn change(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        body: RequestBody,
    ) -> Result<(), ApiError> {
        match body {
            RequestBody::ConfigureLoad(load) => {
                let (cib, change) = self.loaded(&load)?;
                self.commit(clock, to, author, cib, change)
            }
            RequestBody::ConfigureUndo { version, message, force } => {
                let (cib, mut change) = self.undone(version, force)?;
                change.what = message.unwrap_or(change.what);
                self.commit(clock, to, author, cib, change)
            }
            RequestBody::ConfigureChange { change, expected, force, message } => {
                let (cib, mut made) = self.amended(&change, expected, force)?;
                made.what = message.unwrap_or(made.what);
                self.commit(clock, to, author, cib, made)
            }
            RequestBody::NodeStandby { node, on, lifetime, wait, timeout_ms } => {
                let node = node.unwrap_or_else(|| self.config.name.clone());
                self.standby(clock, to, author, node, (on, lifetime), (wait, timeout_ms))
            }
            RequestBody::NodeMaintenance { node, on, wait, timeout_ms } => {
                let node = node.unwrap_or_else(|| self.config.name.clone());
                self.maintenance(clock, to, author, node, on, (wait, timeout_ms))
            }
            RequestBody::ResourceBan {
                resource,
                node,
                lifetime_ms,
                lifetime,
                wait,
                timeout_ms,
            } => {
                let until = match (lifetime, lifetime_ms.map(Duration::from_millis)) {
                    (Some(lifetime), _) => Some(lifetime::end_of(clock.wall, &lifetime)?),
                    (None, span) => span.map(|span| lifetime::end_after(clock.wall, span)),
                };
                self.ban(clock, to, author, (resource, node, until), (wait, timeout_ms))
            }
            RequestBody::ResourceRestart { resource, node, wait, timeout_ms } => {
                self.restart_resource(clock, to, resource, node, (wait, timeout_ms))
            }
            RequestBody::ResourceRefresh { resource, node } => {
                self.forget(clock, to, resource, node, true)
            }
            RequestBody::ResourceTrace { resource, operation, on } => {
                self.trace(clock, to, author, resource, &operation, on)
            }
            body @ RequestBody::NodeAttributeSet { .. } => {
                self.change_permanent(clock, to, author, body)
            }
            RequestBody::ResourceMove { resource, node, lifetime, wait, timeout_ms } => {
                let until = lifetime.map(|lifetime| lifetime::end_of(clock.wall, &lifetime));
                let until = until.transpose()?;
                self.move_resource(clock, to, author, (resource, node, until), (wait, timeout_ms))
            }
            RequestBody::ResourceClear { resource, expired } => {
                self.clear(clock, to, author, resource, expired)
            }
            RequestBody::ResourceStart { resource, wait, timeout_ms } => {
                self.set_role(clock, to, author, &resource, "Started", (wait, timeout_ms))
            }
            RequestBody::ResourceStop { resource, wait, timeout_ms } => {
                self.set_role(clock, to, author, &resource, "Stopped", (wait, timeout_ms))
            }
            RequestBody::ResourceCleanup { resource, node } => {
                self.forget(clock, to, resource, node, false)
            }
            RequestBody::ClusterLeave { force } => {
                let node = self.config.name.clone();
                self.remove_node(clock, to, &node, force)
            }
            RequestBody::ClusterRemoveNode { node, force } => {
                self.remove_node(clock, to, &node, force)
            }
            RequestBody::Handover { to: successor } => self.hand_over_duties(to, successor),
            _ => Err(ApiError::new(Code::Unavailable, "this daemon cannot do that yet")
                .remedy("see `haven help` for what this version does")),
        }
    }

    pub(crate) fn known_resource(&self, id: &str) -> Result<(), ApiError> {
        let mut known: Vec<&str> = Vec::new();
        for resource in &self.state.cib.resources {
            known.push(resource.id());
            known.extend(resource.primitives().iter().map(|p| p.id.as_str()));
        }
        if known.contains(&id) {
            return Ok(());
        }
        known.dedup();
        let have = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(ApiError::new(Code::NoSuchObject, format!("there is no resource \"{id}\""))
            .remedy(format!("resources are: {have}")))
    }

    pub(crate) fn known_node(&self, name: &str) -> Result<NodeId, ApiError> {
        if let Some(member) = self.state.member_named(name) {
            return Ok(member.id);
        }
        let known: Vec<&str> = self.state.members.values().map(|m| m.name.as_str()).collect();
        Err(ApiError::new(Code::NoSuchObject, format!("there is no node \"{name}\""))
            .remedy(format!("nodes are: {}", known.join(", "))))
    }

    fn set_role(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        resource: &str,
        role: &str,
        (wait, timeout_ms): (bool, Option<u64>),
    ) -> Result<(), ApiError> {
        self.known_resource(resource)?;
        let goal = match role {
            "Stopped" => Goal::Stopped(resource.to_owned()),
            _ => Goal::Runs(resource.to_owned()),
        };
        let what = format!("{resource} is to be {role}");
        let change = Change::action(what, wait, timeout_ms).towards(goal);
        self.edit(clock, to, author, change, |cib| {
            cib.set_meta(resource, "target-role", Some(role))
        })
    }

    /// Makes a change of the configuration and commits it.
    pub(crate) fn edit(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        change: Change,
        edit: impl FnOnce(&mut Cib) -> Result<(), CibError>,
    ) -> Result<(), ApiError> {
        let mut cib = self.newest().clone();
        edit(&mut cib).map_err(|error| ApiError::new(Code::NoSuchObject, error.to_string()))?;
        self.commit(clock, to, author, cib, change)
    }

    pub(crate) fn commit(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        cib: Cib,
        change: Change,
    ) -> Result<(), ApiError> {
        if self.waiters.len() >= MAX_WAITERS {
            let message = format!("{MAX_WAITERS} requests are waiting already");
            return Err(ApiError::new(Code::Unavailable, message).remedy("try again later"));
        }
        let id = self.next_forward;
        self.next_forward += 1;
        let same = self.is_in_force(&cib);
        self.waiters.insert(
            id,
            Waiter {
                reply_to: to,
                what: change.what.clone(),
                wait: change.wait,
                committed: same,
                since: clock.now,
                deadline: clock.now + change.timeout,
                changed: change.changed,
                findings: change.findings,
                kind: if change.configuration { Kind::Configuration } else { Kind::Action },
                base: cib.version,
                version: None,
                goal: change.goal,
                told: clock.now + TOLD_EVERY,
            },
        );
        if !same && !self.joins_proposed(id, &cib) {
            let command = self.configure_command(clock, to, author, change.what, cib.clone());
            self.goes_ahead(id, cib);
            self.propose(&command, Purpose::Request(id));
        }
        Ok(())
    }

    pub(crate) fn on_request_applied(&mut self, id: u64, applied: &Applied) {
        for same in self.comes_true(id, applied) {
            self.on_request_applied(same, applied);
        }
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        if let Applied::Stale { current } = applied {
            let (to, base) = (waiter.reply_to, waiter.base);
            self.waiters.remove(&id);
            let error = self.stale(base, *current);
            self.reply(to, false, Err(error));
            return;
        }
        waiter.committed = true;
        if let Applied::Configured(version) = applied {
            waiter.version = Some(*version);
        }
    }

    pub(crate) fn on_request_dropped(&mut self, id: u64, why: &DropReason) {
        self.is_lost(id);
        let Some(waiter) = self.waiters.remove(&id) else { return };
        let error = match why {
            DropReason::NotLeader { .. } | DropReason::Transferring | DropReason::Superseded => {
                ApiError::new(Code::NoCoordinator, "the coordinator changed; nothing was committed")
                    .remedy("try again")
            }
            DropReason::Overloaded => {
                ApiError::new(Code::Unavailable, "too much waits to be committed")
                    .remedy("see `haven status` for members that do not answer; try again")
            }
            DropReason::TooBig { bytes, most } => {
                let mib = |bytes: &usize| bytes.div_ceil(1 << 20);
                let message = format!(
                    "with this change the configuration takes {} MiB, more than the {} MiB possible; \
                     nothing was changed",
                    mib(bytes),
                    mib(most)
                );
                ApiError::new(Code::BadData, message)
                    .remedy("shorten descriptions, or split the cluster")
            }
            DropReason::Unknown => ApiError::new(
                Code::Indeterminate,
                "the coordinator changed while this was being committed",
            )
            .remedy("look whether it is in force before trying again: haven configure show"),
            DropReason::Mute => ApiError::new(Code::Unavailable, "this node's store has failed")
                .remedy("make its disk sound and restart the daemon"),
        };
        self.reply(waiter.reply_to, false, Err(error));
    }

    /// Answers whoever has got what they wait for, or has waited long enough.
    pub(crate) fn serve_waiters(&mut self, clock: Clock) {
        let settled = self.coordinator.as_ref().is_some_and(|c| c.settled());
        let ready: Vec<u64> = self
            .waiters
            .iter()
            .filter(|(_, w)| (w.committed && (!w.wait || settled)) || w.deadline <= clock.now)
            .map(|(id, _)| *id)
            .collect();
        for id in ready {
            let Some(waiter) = self.waiters.remove(&id) else { continue };
            let answer = match (waiter.committed, waiter.wait, settled) {
                (true, true, true) => self.reached(&waiter.goal, &waiter.what).map(|what| {
                    let waiter = Waiter { what, ..waiter.clone() };
                    self.success(clock, &waiter)
                }),
                (true, false, _) => Ok(self.success(clock, &waiter)),
                (true, true, false) | (false, ..) => Err(self.too_late(&waiter)),
            };
            self.reply(waiter.reply_to, false, answer);
        }
        self.tell_waiters(clock);
    }

    /// Tells whoever waits what for.
    fn tell_waiters(&mut self, clock: Clock) {
        let due: Vec<u64> =
            self.waiters.iter().filter(|(_, w)| w.told <= clock.now).map(|(id, _)| *id).collect();
        for id in due {
            let pending = self.pending_actions(clock.now);
            let Some(waiter) = self.waiters.get_mut(&id) else { continue };
            waiter.told = clock.now + TOLD_EVERY;
            let text = match (waiter.committed, pending.is_empty()) {
                (false, _) => "waiting for a majority to take the change".to_owned(),
                (true, true) => "waiting for the cluster to settle".to_owned(),
                (true, false) => format!("under way: {}", named(&pending)),
            };
            let elapsed_ms = millis(clock.now.since(waiter.since));
            let (to, notice) = (waiter.reply_to, Notice { text, elapsed_ms, pending });
            self.reply(to, true, Ok(ReplyBody::Progress(notice)));
        }
    }

    /// A waiter for the end of what has begun already.
    pub(crate) fn await_settled(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        change: Change,
    ) -> Result<(), ApiError> {
        let cib = self.state.cib.clone();
        self.commit(clock, to, String::new(), cib, change)
    }

    fn success(&self, clock: Clock, waiter: &Waiter) -> ReplyBody {
        match waiter.kind {
            Kind::Configuration => ReplyBody::Committed {
                version: waiter.version.map_or_else(|| self.api_version(), api_version),
                changed: waiter.changed.clone(),
                findings: waiter.findings.clone(),
            },
            Kind::Action => ReplyBody::Done(Notice {
                text: waiter.what.clone(),
                elapsed_ms: millis(clock.now.since(waiter.since)),
                pending: Vec::new(),
            }),
        }
    }

    fn too_late(&self, waiter: &Waiter) -> ApiError {
        if !waiter.committed {
            return ApiError::new(Code::Timeout, "no majority took the change in time").remedy(
                "it may still be committed; see `haven status` for members that do not answer",
            );
        }
        let pending = self.pending_actions(waiter.deadline);
        let message = format!(
            "committed, but not carried out in time; under way: {}",
            if pending.is_empty() { "nothing".to_owned() } else { named(&pending) }
        );
        ApiError::new(Code::Timeout, message).remedy("see `haven status`")
    }

    pub(crate) fn fail_waiters(&mut self) {
        for waiter in std::mem::take(&mut self.waiters).into_values() {
            let error = ApiError::new(
                Code::Indeterminate,
                "the coordinator changed while this was waiting",
            )
            .remedy("see `haven status` and `haven configure show` for what is in force");
            self.reply(waiter.reply_to, false, Err(error));
        }
    }

    fn remove_node(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        name: &str,
        force: bool,
    ) -> Result<(), ApiError> {
        let node = self.known_node(name)?;
        let active = self.resources_on(node);
        let online = self.alive.contains_key(&node);
        if !force && online && !active.is_empty() {
            let message = format!("cannot remove {name}: {} run there", active.join(", "));
            return Err(ApiError::new(Code::Unsafe, message)
                .remedy(format!("first: haven node standby {name}")));
        }
        let left = self.left_unprotected(node);
        if !force && !online && !left.is_empty() {
            let left = left.join(", ");
            let message = format!(
                "cannot remove {name}: it is away, and {left} may still run there without a lease (lease=off); \
                 no longer a member, it would never be told to stop that"
            );
            return Err(ApiError::new(Code::Unsafe, message).remedy(format!(
                "start {name} again, or switch it off and then: haven cluster remove {name} --force"
            )));
        }
        if self.state.members.len() == 1 {
            let message = format!("cannot remove {name}: it is the only member");
            return Err(ApiError::new(Code::Unsafe, message)
                .remedy("stop the daemon and delete its state directory instead"));
        }
        let leaving = self.coordinator.as_ref().and_then(|c| c.leaving.keys().next().copied());
        if let Some(other) = leaving.filter(|other| *other != node || !force) {
            let other = self.name_of(other);
            let message = format!("cannot remove {name}: {other} is just leaving");
            return Err(ApiError::new(Code::Unavailable, message)
                .remedy(format!("try again once {other} has left")));
        }
        let id = self.next_forward;
        self.next_forward += 1;
        let change = Change::action(format!("{name} is no member any more"), false, None);
        let waiter = Waiter {
            reply_to: to,
            what: change.what,
            wait: false,
            committed: false,
            since: clock.now,
            deadline: clock.now + change.timeout,
            changed: Vec::new(),
            findings: Vec::new(),
            kind: Kind::Action,
            goal: Goal::Settled,
            told: clock.now + change.timeout,
            base: self.state.cib.version,
            version: None,
        };
        self.waiters.insert(id, waiter);
        // It votes no more before it is told to end: a daemon that ended as a voter would be missing
        // from the majority that its own removal needs.
        if let Some(coordinator) = &mut self.coordinator {
            let leaving = Leaving::new(id, force);
            coordinator.leaving.entry(node).and_modify(Leaving::hurry).or_insert(leaving);
            coordinator.replan = true;
        }
        self.want_members();
        Ok(())
    }

    fn hand_over_duties(&mut self, to: ReplyTo, successor: Option<String>) -> Result<(), ApiError> {
        let node = match successor {
            Some(name) => self.known_node(&name)?,
            None => {
                let others = self.others();
                let live = others.iter().find(|node| self.view.members.contains(node)).copied();
                live.ok_or_else(|| {
                    ApiError::new(Code::Failed, "there is no other live member to hand over to")
                })?
            }
        };
        let input = haven_consensus::Input::TransferLeadership(node);
        self.inbox.push_back(Internal::Consensus(input));
        let text = format!("{} takes over", self.name_of(node));
        let notice = Notice { text, elapsed_ms: 0, pending: Vec::new() };
        self.reply(to, false, Ok(ReplyBody::Done(notice)));
        Ok(())
    }

    pub(crate) fn on_admit(&mut self, clock: Clock, request: u64, member: Member, token: [u8; 32]) {
        let expired = self.state.tokens.get(&token).is_some_and(|expires| *expires <= clock.wall);
        let refusal = match (expired, self.leader) {
            (true, _) => Some(JoinRefusal::ExpiredToken),
            (false, None) => Some(JoinRefusal::NoCoordinator),
            (false, Some(_)) => None,
        };
        if let Some(reason) = refusal {
            self.out.push(Output::Admitted { request, result: Err(reason) });
            return;
        }
        let answer = (self.config.node, request);
        self.propose_anywhere(Command::AddMember { member, token, answer });
    }

    pub(crate) fn on_mint_token(&mut self, request: u64, token: [u8; 32], expires: WallTime) {
        if self.leader.is_none() {
            let reason = "no coordinator is known here: nothing can be committed".to_owned();
            self.out.push(Output::TokenMinted { request, result: Err(reason) });
            return;
        }
        let answer = (self.config.node, request);
        self.propose_anywhere(Command::MintToken { token, expires, answer });
    }

    pub(crate) fn on_rotate_key(&mut self, request: u64, notice: KeyNotice) {
        if self.leader.is_none() {
            let reason = "no coordinator is known here: nothing can be committed".to_owned();
            self.out.push(Output::KeyAnnounced { request, result: Err(reason) });
            return;
        }
        let answer = (self.config.node, request);
        self.propose_anywhere(Command::RotateKey { notice, answer });
    }

    fn propose_anywhere(&mut self, command: Command) {
        match self.leader {
            Some(leader) if leader == self.config.node => self.propose(&command, Purpose::Other),
            Some(leader) => self.send(leader, &PeerMessage::Propose(Box::new(command))),
            None => {}
        }
    }

    /// A command made on another node. Only those that are made elsewhere are taken.
    pub(crate) fn on_proposed(&mut self, command: Command) {
        let foreign = matches!(
            command,
            Command::AddMember { .. } | Command::MintToken { .. } | Command::RotateKey { .. }
        );
        if foreign && self.coordinator.is_some() {
            self.propose(&command, Purpose::Other);
        }
    }
}

/// A few of the actions under way, in words.
fn named(pending: &[PendingAction]) -> String {
    const SHOWN: usize = 5;
    let words = |p: &PendingAction| match p.resource.is_empty() {
        true => format!("{} on {}", p.operation, p.node),
        false => format!("{} {} on {}", p.resource, p.operation, p.node),
    };
    let shown: Vec<String> = pending.iter().take(SHOWN).map(words).collect();
    let more = pending.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
