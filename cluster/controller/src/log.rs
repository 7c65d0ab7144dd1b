//! The consensus core's outputs: what they mean for the rest of the node.

use haven_api::EventSeverity;
use haven_consensus::{DropReason, LogEntry, Output as Log, Payload, Role};
use haven_types::operation::Lease;
use haven_types::{LogIndex, LogPosition, NodeId, Term};

use crate::alarms::Subject;
use crate::command::{Command, TokenRefusal};
use crate::controller::{Controller, Internal, Purpose};
use crate::coordinate::Coordinator;
use crate::leaving::Leaving;
use crate::message::PeerMessage;
use crate::port::{Clock, Output};
use crate::replicated::{Applied, Replicated};

/// Voter configurations the heartbeat machine is told, newest last (it asks for at least 8).
const CONFIGURATIONS: usize = 16;

impl Controller {
    pub(crate) fn on_consensus(&mut self, clock: Clock, output: Log) {
        match output {
            Log::Persist { token, batch } => {
                self.out.push(Output::Persist { token, batch: Box::new(batch) });
            }
            Log::Send { to, bytes, carrier: _ } => {
                self.send(to, &PeerMessage::Consensus(bytes));
            }
            Log::Appended { entries } => self.on_appended(&entries),
            Log::Truncated { from } => self.on_truncated(from),
            Log::ConfigurationInLog { position, configuration } => {
                self.on_configuration(position, &configuration);
            }
            Log::ConfigurationCommitted { position, .. } => {
                self.heartbeat(haven_heartbeat::Input::ConfigurationApplied(position));
            }
            Log::Committed { index, bytes, proposal, .. } => {
                let purpose = proposal.and_then(|id| self.purposes.remove(&id));
                self.on_committed(clock, index, &bytes, purpose);
            }
            Log::RoleChanged { leader, term, role } => self.on_role(clock, leader, term, role),
            Log::LeaderReady { .. } => self.on_leader_ready(clock),
            Log::ProposalDropped { id, why } => {
                if let Some(purpose) = self.purposes.remove(&id) {
                    self.on_dropped(clock, purpose, &why);
                }
            }
            Log::RestoreSnapshot { position, bytes } => {
                self.on_snapshot(clock, position.index, &bytes);
            }
            Log::SnapshotWanted => {
                let (index, bytes) = (self.applied, self.state.encode());
                let input = haven_consensus::Input::Snapshot { index, bytes };
                self.inbox.push_back(Internal::Consensus(input));
            }
            // Whose vote is gone is looked up whenever something may be planned.
            Log::MembersReached { .. } => {}
            Log::ReadReady { .. } | Log::ReadDropped { .. } => {}
            Log::MembersDropped { .. } => {}
            Log::Event(event) => self.on_log_event(clock, &event),
        }
    }

    fn on_log_event(&mut self, clock: Clock, event: &haven_consensus::Event) {
        use haven_consensus::Event as E;
        let text = match event {
            E::ForcedVoteDropped { candidate } => format!(
                "{} wanted to take over as coordinator, but the present one is heard here",
                self.name_of(*candidate)
            ),
            E::ForcedCampaignRefused { why } => format!("taking over as coordinator: {why}"),
            E::Undecodable { from } => format!(
                "a message of the log from {} could not be read and was dropped; run the same version of haven on \
                 both",
                self.name_of(*from)
            ),
            E::Implausible { from, what } => {
                format!("a message of the log from {} was dropped: {what}", self.name_of(*from))
            }
            E::ForcedVoteRefused { candidate } => format!(
                "{} wanted to take over as coordinator, but its log is shorter than the one here",
                self.name_of(*candidate)
            ),
            E::Mute => return,
        };
        self.event(clock, "HV1204", EventSeverity::Info, "cluster/log".to_owned(), text);
    }

    /// The lease must know what the log holds before anybody else acts on it (L2, L5).
    fn on_appended(&mut self, entries: &[LogEntry]) {
        let Some(last) = entries.last() else { return };
        self.log_end = last.position;
        self.heartbeat(haven_heartbeat::Input::Log(last.position));
        for entry in entries {
            let Payload::Proposal(bytes) = &entry.payload else { continue };
            let Some((group, epoch)) = Command::granted(bytes) else { continue };
            self.grants_ahead.insert(entry.position.index, (group.clone(), epoch));
            self.tell_epoch(&group);
        }
    }

    /// The highest epoch of a group that the log holds, applied or not. It may fall: an entry that was
    /// truncated binds nobody.
    fn tell_epoch(&mut self, group: &str) {
        let Some(grant) = self.state.grants.get(group) else { return };
        let ahead = self.grants_ahead.values().filter(|(name, _)| name == group);
        let epoch = ahead.map(|(_, epoch)| *epoch).fold(grant.epoch, Ord::max);
        let group = grant.group;
        self.heartbeat(haven_heartbeat::Input::Epoch { group, epoch });
    }

    fn on_truncated(&mut self, from: LogIndex) {
        for (group, _) in self.grants_ahead.split_off(&from).into_values() {
            self.tell_epoch(&group);
        }
        self.configurations.retain(|known| known.position.index < from);
        let known = self.configurations.iter().cloned().collect();
        self.heartbeat(haven_heartbeat::Input::Configurations(known));
    }

    fn on_configuration(&mut self, position: LogPosition, found: &haven_consensus::Configuration) {
        self.configurations.retain(|known| known.position.index < position.index);
        self.configurations.push_back(haven_heartbeat::Configuration {
            position,
            voters: found.voters.clone(),
            outgoing: (!found.outgoing.is_empty()).then(|| found.outgoing.clone()),
        });
        while self.configurations.len() > CONFIGURATIONS {
            self.configurations.pop_front();
        }
        let known = self.configurations.iter().cloned().collect();
        self.heartbeat(haven_heartbeat::Input::Configurations(known));
    }

    fn on_role(&mut self, clock: Clock, leader: Option<NodeId>, term: Term, role: Role) {
        if leader != self.leader {
            self.leader_since = clock.now;
        }
        // A leader that is merely suspected is forgotten by the consensus core, but whoever succeeds
        // it must still know that it led.
        if leader.is_some() || term != self.term {
            self.led = leader;
        }
        self.leader = leader;
        self.term = term;
        self.heartbeat(haven_heartbeat::Input::Coordinator { term, node: self.led });
        self.inbox.push_back(Internal::Executor(haven_executor::Input::Term(term)));
        match (role, &self.coordinator) {
            (Role::Leader, None) => self.take_over(clock, term),
            (Role::Leader, Some(old)) if old.term != term => {
                self.step_down(clock);
                self.take_over(clock, term);
            }
            (Role::Leader, Some(_)) | (_, None) => {}
            (_, Some(_)) => self.step_down(clock),
        }
        self.pass_on_own_leave(clock);
    }

    fn take_over(&mut self, clock: Clock, term: Term) {
        self.coordinator = Some(Coordinator::new(term));
        self.falls_back();
        let text = format!("{} coordinates the cluster, term {term}", self.config.name);
        let subject = format!("node/{}", self.config.name);
        self.event(clock, "HV1201", EventSeverity::Info, subject, text);
        for node in self.others() {
            self.send(node, &PeerMessage::StatusRequest { term });
        }
    }

    fn on_leader_ready(&mut self, clock: Clock) {
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.ready = true;
            coordinator.replan = true;
        }
        self.want_members();
        self.want_new_key();
        self.keep_highest_votes();
        self.pass_on_own_leave(clock);
    }

    /// A member that was removed must not understand the others for ever. Whoever coordinates next
    /// asks again where this is lost.
    fn want_new_key(&mut self) {
        let ready = self.coordinator.as_ref().is_some_and(|coordinator| coordinator.ready);
        if ready && self.state.key_outdated {
            self.out.push(Output::KeyOutdated);
        }
    }

    /// Every member votes but those about to leave; the consensus core brings it about step by step.
    pub(crate) fn want_members(&mut self) {
        let Some(coordinator) = &self.coordinator else { return };
        let members = self.state.members.keys().copied();
        let (learners, voters) = members.partition(|node| coordinator.leaving.contains_key(node));
        let input = haven_consensus::Input::ChangeMembers { voters, learners };
        self.inbox.push_back(Internal::Consensus(input));
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "only one command takes a member away")]
    fn on_committed(
        &mut self,
        clock: Clock,
        index: LogIndex,
        bytes: &[u8],
        purpose: Option<Purpose>,
    ) {
        if self.halted {
            return;
        }
        let command = match Command::decode(bytes) {
            Ok(command) => command,
            Err(error) => {
                self.halted = true;
                let text = format!("{error}; until then this node follows without applying");
                self.alarm(clock, Subject::Log, text);
                return;
            }
        };
        let leaves = match &command {
            Command::RemoveMember { node } => Some((*node, self.name_of(*node))),
            _ => None,
        };
        let applied = self.state.apply(command);
        self.applied = index;
        self.grants_ahead = self.grants_ahead.split_off(&LogIndex(index.0 + 1));
        if let (Some((node, name)), Applied::Left(_)) = (leaves, &applied) {
            // What it was asked to do it will not answer any more.
            self.on_node_lost(node, &name);
        }
        self.on_applied(clock, applied, purpose);
    }

    fn on_applied(&mut self, clock: Clock, applied: Applied, purpose: Option<Purpose>) {
        match &applied {
            Applied::Configured(version) => {
                let text = self.in_force(*version);
                let subject = "cluster/configuration".to_owned();
                self.event(clock, "HV1301", EventSeverity::Info, subject, text);
                self.replan();
            }
            Applied::Granted { group, grant } => {
                let (group, grant) = (group.clone(), *grant);
                self.tell_epoch(&group);
                let (id, epoch) = (grant.group, grant.epoch);
                self.heartbeat(haven_heartbeat::Input::Granted { group: id, epoch });
                self.on_granted(clock, &group, grant);
            }
            Applied::Joined { member, answer } => {
                let text = format!("{} is a member now", member.name);
                let subject = format!("node/{}", member.name);
                let (member, answer) = (member.clone(), *answer);
                self.event(clock, "HV1401", EventSeverity::Info, subject, text);
                self.members_changed();
                self.answer_joiner(answer, Ok(member));
            }
            Applied::NotJoined { answer, reason } => {
                self.answer_joiner(*answer, Err(reason.clone()));
            }
            Applied::Left(node) => {
                let node = *node;
                let leaving = self.coordinator.as_mut().and_then(|it| it.leaving.remove(&node));
                for request in leaving.into_iter().flat_map(Leaving::into_requests) {
                    self.on_request_applied(request, &applied);
                }
                self.histories.remove(&node);
                self.dead.remove(&node);
                self.alive.remove(&node);
                self.suspected.remove(&node);
                self.quorum.forget(node);
                // Nobody judges a stranger, so no verdict will tell the consensus core.
                let input = haven_consensus::Input::PeerAlive { node, alive: false };
                self.inbox.push_back(Internal::Consensus(input));
                self.members_changed();
                if node == self.config.node {
                    self.answer_leaver();
                    self.out.push(Output::Removed);
                } else {
                    self.want_new_key();
                }
            }
            Applied::ConfirmedDead(node) => self.on_confirmed_dead(clock, *node),
            Applied::TokenMinted(answer) => self.answer_token(*answer, Ok(())),
            Applied::TokenRefused(answer) => {
                self.answer_token(*answer, Err(TokenRefusal::TooMany));
            }
            Applied::KeyAnnounced { notice, answer } => {
                self.out.push(Output::NewKey(*notice));
                self.answer_rotation(*answer, Ok(()));
            }
            Applied::KeyRefused(answer) => {
                let reason = "another change of the key was committed first".to_owned();
                self.answer_rotation(*answer, Err(reason));
            }
            Applied::Stale { .. } | Applied::Nothing => {}
        }
        match purpose {
            Some(Purpose::Request(id)) => self.on_request_applied(id, &applied),
            Some(Purpose::Grant(group)) => self.on_grant_settled(clock, &group),
            Some(Purpose::Other) | None => {}
        }
    }

    fn members_changed(&mut self) {
        self.tell_members();
        if self.coordinator.as_ref().is_some_and(|coordinator| coordinator.ready) {
            self.want_members();
        }
        self.replan();
    }

    fn answer_joiner(
        &mut self,
        (node, request): (NodeId, u64),
        result: Result<crate::command::Member, crate::command::JoinRefusal>,
    ) {
        if node == self.config.node {
            self.out.push(Output::Admitted { request, result });
        }
    }

    fn answer_token(&mut self, (node, request): (NodeId, u64), result: Result<(), TokenRefusal>) {
        if node == self.config.node {
            self.out.push(Output::TokenMinted { request, result });
        }
    }

    fn answer_rotation(&mut self, (node, request): (NodeId, u64), result: Result<(), String>) {
        if node == self.config.node {
            self.out.push(Output::KeyAnnounced { request, result });
        }
    }

    /// The shell's part of what the log says, also where it was applied before this process began.
    pub(crate) fn tell_key(&mut self) {
        self.out.extend(self.state.key.map(Output::NewKey));
    }

    fn on_snapshot(&mut self, clock: Clock, index: LogIndex, bytes: &[u8]) {
        match Replicated::decode(bytes) {
            Ok(state) => {
                self.state = state;
                self.falls_back();
                self.applied = index;
                self.halted = false;
                self.sound(&Subject::Log);
                self.grants_ahead = self.grants_ahead.split_off(&LogIndex(index.0 + 1));
                let epochs: Vec<_> = self.state.grants.values().map(|g| g.lease()).collect();
                for Lease { group, epoch } in epochs {
                    self.heartbeat(haven_heartbeat::Input::Epoch { group, epoch });
                    self.heartbeat(haven_heartbeat::Input::Granted { group, epoch });
                }
                self.tell_members();
                self.tell_key();
                self.replan();
            }
            Err(error) => {
                self.halted = true;
                let text = format!("the coordinator's snapshot cannot be used: {error}");
                self.alarm(clock, Subject::Log, text);
                let subject = "cluster/log".to_owned();
                self.event(clock, "HV1203", EventSeverity::Error, subject, error.to_string());
            }
        }
    }

    fn on_dropped(&mut self, clock: Clock, purpose: Purpose, why: &DropReason) {
        match purpose {
            Purpose::Request(id) => {
                let mut stays = Vec::new();
                if let Some(coordinator) = &mut self.coordinator {
                    let of = coordinator.leaving.extract_if(.., |_, leaving| leaving.is_of(id));
                    stays = of.flat_map(|(_, leaving)| leaving.into_requests()).collect();
                    coordinator.replan = true;
                }
                if stays.is_empty() {
                    self.on_request_dropped(id, why);
                } else {
                    stays.into_iter().for_each(|id| self.on_request_dropped(id, why));
                    // It gets its vote back.
                    self.want_members();
                }
            }
            Purpose::Grant(group) => self.on_grant_dropped(clock, &group),
            Purpose::Other => {}
        }
    }
}
