//! Requests: who answers them, and what they change.

use std::time::Duration;

use haven_api::{ApiError, Code, Notice, ReplyBody, RequestBody};
use haven_types::NodeId;

use crate::configure::Manner;
use crate::controller::{Controller, Internal};
use crate::goals::Goal;
use crate::leaving::Leaving;
use crate::lifetime;
use crate::message::PeerMessage;
use crate::port::{Clock, Output};
use crate::waiting::Change;

/// Where the reply of a request goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReplyTo {
    /// A client of this node.
    Local(u64),
    /// Another node, which forwarded the request under this number.
    Peer(NodeId, u64),
}

impl Controller {
    pub(crate) fn on_request(&mut self, clock: Clock, id: u64, author: String, body: RequestBody) {
        self.serve(clock, ReplyTo::Local(id), author, body);
    }

    pub(crate) fn serve(&mut self, clock: Clock, to: ReplyTo, author: String, body: RequestBody) {
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
            | RequestBody::NodeConfirmDead { .. }
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

    pub(crate) fn reply(&mut self, to: ReplyTo, more: bool, body: Result<ReplyBody, ApiError>) {
        match to {
            ReplyTo::Local(id) => self.out.push(Output::Reply { id, more, body: Box::new(body) }),
            ReplyTo::Peer(node, id) => {
                self.send(node, &PeerMessage::forwarded(id, more, &body));
            }
        }
    }

    /// Requests that change something. Only the coordinator gets here.
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
            RequestBody::NodeConfirmDead { node, reason, wait, timeout_ms } => {
                self.confirm_dead(clock, to, author, (node, reason), (wait, timeout_ms))
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
            // Answered before, or by the shell.
            RequestBody::Hello
            | RequestBody::Status
            | RequestBody::Watch { .. }
            | RequestBody::Events { .. }
            | RequestBody::Counters
            | RequestBody::ConfigureShow { .. }
            | RequestBody::ConfigureLog { .. }
            | RequestBody::ConfigureDiff { .. }
            | RequestBody::ConfigureVerify { .. }
            | RequestBody::PlanningInput
            | RequestBody::NodeAttributes { .. }
            | RequestBody::ResourceFailures { .. }
            | RequestBody::IpStatus
            | RequestBody::IpWhy { .. }
            | RequestBody::ClusterToken { .. }
            | RequestBody::PlanRestart
            | RequestBody::KeyRotate => Err(ApiError::new(
                Code::Internal,
                "this request is not the coordinator's to answer",
            )),
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

    fn remove_node(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        name: &str,
        force: bool,
    ) -> Result<(), ApiError> {
        let node = self.known_node(name)?;
        if !force {
            self.may_leave(node)?;
            self.leaves_a_majority_to_lose(node)?;
        }
        if self.state.members.len() == 1 {
            let message = format!("cannot remove {name}: it is the only member");
            return Err(ApiError::new(Code::Unsafe, message)
                .remedy("stop the daemon and delete its state directory instead"));
        }
        let leaving = self.coordinator.as_ref().and_then(|c| c.leaving.keys().next().copied());
        if let Some(other) = leaving.filter(|other| *other != node) {
            let other = self.name_of(other);
            let message = format!("cannot remove {name}: {other} is just leaving");
            return Err(ApiError::new(Code::Unavailable, message)
                .remedy(format!("try again once {other} has left")));
        }
        let change = Change::action(format!("{name} is no member any more"), false, None);
        let id = self.await_commit(clock, to, change)?;
        // It votes no more before it is told to end: a daemon that ended as a voter would be missing
        // from the majority that its own removal needs.
        if let Some(coordinator) = &mut self.coordinator {
            let leaving = coordinator.leaving.entry(node).or_insert_with(Leaving::new);
            leaving.ask(id, force, |asked| self.waiters.contains_key(&asked));
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
}
