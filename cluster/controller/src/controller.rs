//! The machine: what it holds, and how one input travels through its parts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use haven_api::{Event, EventSeverity};
use haven_base::Instant;
use haven_consensus::{Consensus, ProposalId, Recovered, StartError};
use haven_executor::Executor;
use haven_heartbeat::View;
use haven_policy::AgentFacts;
use haven_types::operation::{Lease, Operation, OperationRecord, Order};
use haven_types::{BootId, Epoch, LogIndex, LogPosition, NodeId, Term};

use crate::ahead::Ahead;
use crate::attributes::Dampener;
use crate::claims::Claims;
use crate::command::Member;
use crate::contacts::Contacts;
use crate::coordinate::Coordinator;
use crate::history::NodeHistory;
use crate::message::PeerMessage;
use crate::orders::Taken;
use crate::port::{AgentSaid, Clock, Input, Output};
use crate::quorum::Quorum;
use crate::replicated::Replicated;
use crate::request::{Forwarded, Waiter};

/// What stays fixed for the life of the controller.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// This life of its daemon.
    pub boot: BootId,
    /// Its name.
    pub name: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Of the consensus core.
    pub consensus: haven_consensus::Config,
    /// What the metadata of agents says, for planning.
    pub facts: AgentFacts,
    /// What the metadata of agents says, for judging a configuration.
    pub verification: haven_cib::crm::Facts,
    /// Seed of every generator in it.
    pub seed: u64,
}

/// What becomes of a proposal of this node once it is committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// A request is answered.
    Request(u64),
    /// A lease group changes hands.
    Grant(String),
    /// The answer travels another way.
    Other,
}

/// One step inside a step: the parts speak to each other through this queue only.
#[derive(Debug)]
pub(crate) enum Internal {
    Consensus(haven_consensus::Input),
    Executor(haven_executor::Input),
    Engine(haven_transition::Input),
}

/// The controller of one node.
#[derive(Debug)]
pub struct Controller {
    pub(crate) config: Config,
    pub(crate) consensus: Consensus,
    pub(crate) executor: Executor,
    pub(crate) state: Replicated,
    /// The last entry that `state` contains. A snapshot of it carries this index and no other.
    pub(crate) applied: LogIndex,
    /// An entry could not be read: nothing after it may be applied, or this copy would differ.
    pub(crate) halted: bool,
    /// Every node's status as last received; this node's own among them.
    pub(crate) histories: BTreeMap<NodeId, NodeHistory>,
    /// Changes of attributes that are held back.
    pub(crate) dampener: Dampener,
    pub(crate) view: View,
    /// Nodes heard, by boot, with the instant they were first heard in it.
    pub(crate) alive: BTreeMap<NodeId, (BootId, Instant)>,
    /// Nodes declared dead and not heard since, with the instant of the verdict.
    pub(crate) dead: BTreeMap<NodeId, Instant>,
    /// Nodes that have fallen silent and of which no verdict says that they are dead.
    pub(crate) suspected: BTreeSet<NodeId>,
    pub(crate) quorum: Quorum,
    pub(crate) claims: Claims,
    pub(crate) contacts: Contacts,
    pub(crate) taken: Taken,
    pub(crate) leader: Option<NodeId>,
    /// Who led the present term last, heard at the moment or not.
    pub(crate) led: Option<NodeId>,
    pub(crate) leader_since: Instant,
    pub(crate) term: Term,
    /// Only on the coordinator.
    pub(crate) coordinator: Option<Coordinator>,
    pub(crate) configurations: VecDeque<haven_heartbeat::Configuration>,
    pub(crate) log_end: LogPosition,
    /// Groups and epochs of grants that the log holds and that are not applied yet.
    pub(crate) grants_ahead: BTreeMap<LogIndex, (String, Epoch)>,
    pub(crate) purposes: BTreeMap<ProposalId, Purpose>,
    pub(crate) next_proposal: u64,
    pub(crate) waiters: BTreeMap<u64, Waiter>,
    /// What is proposed and not applied yet, on the coordinator.
    pub(crate) ahead: Option<Ahead>,
    /// Requests forwarded to the coordinator, by the number they travel under.
    pub(crate) forwarded: BTreeMap<u64, Forwarded>,
    /// Agents of others, as they described themselves on this node.
    pub(crate) foreign: BTreeMap<String, haven_types::agent::AgentReport>,
    pub(crate) next_forward: u64,
    pub(crate) alarms: BTreeSet<String>,
    pub(crate) events: u64,
    /// Alerts told in this life of the daemon.
    pub(crate) alerted: u64,
    pub(crate) inbox: VecDeque<Internal>,
    /// What ended here in this step and is not told yet.
    pub(crate) ended: Vec<OperationRecord>,
    /// What is said at the end of the step, after status.
    pub(crate) afterwards: Vec<(NodeId, PeerMessage)>,
    /// Nodes that are to be told all of this one's status, and when each was last.
    pub(crate) whole_wanted: BTreeSet<NodeId>,
    pub(crate) whole_told: BTreeMap<NodeId, Instant>,
    /// Orders of this step, by receiver and its life.
    pub(crate) ordered: BTreeMap<(NodeId, Option<BootId>), Vec<Order>>,
    pub(crate) out: Vec<Output>,
}

/// What an earlier process of this node hands over in a planned restart (L9).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct HandOver {
    /// What ran and runs.
    pub executor: Executor,
    /// Its own status.
    pub history: NodeHistory,
    /// What it saw of votes.
    pub quorum: haven_quorum::History,
}

impl Controller {
    /// A controller over what the store held. `bootstrap` names the members where the store does not
    /// yet: on a node that has just joined.
    ///
    /// # Errors
    /// When the recovered log contradicts itself, or its snapshot is of another format.
    pub fn new(
        config: Config,
        recovered: Recovered,
        bootstrap: Vec<Member>,
        handed_over: Option<HandOver>,
        now: Instant,
    ) -> Result<Self, StartControllerError> {
        let applied = recovered.snapshot.as_ref().map(|s| s.position.index).unwrap_or_default();
        let snapshot = recovered.snapshot.as_ref().map(|s| Replicated::decode(&s.bytes));
        let mut state = snapshot.transpose()?.unwrap_or_default();
        if state.members.is_empty() {
            state.members = bootstrap.into_iter().map(|member| (member.id, member)).collect();
        }
        let consensus = Consensus::new(config.consensus.clone(), recovered, config.seed)?;
        let (executor, history, seen) = match handed_over {
            Some(old) => {
                let history = NodeHistory { boot: config.boot, version: 1, ..old.history };
                (old.executor.resumed(now), history, old.quorum)
            }
            None => {
                let history = NodeHistory::new(config.node, config.boot);
                (Executor::new(config.node), history, haven_quorum::History::default())
            }
        };
        let mut controller = Self {
            histories: BTreeMap::from([(config.node, history)]),
            dampener: Dampener::default(),
            view: View::default(),
            alive: BTreeMap::from([(config.node, (config.boot, now))]),
            dead: BTreeMap::new(),
            suspected: BTreeSet::new(),
            quorum: Quorum::new(seen),
            claims: Claims::default(),
            contacts: Contacts::default(),
            taken: Taken::default(),
            leader: None,
            led: None,
            leader_since: now,
            term: Term(0),
            coordinator: None,
            configurations: VecDeque::new(),
            log_end: LogPosition::default(),
            grants_ahead: BTreeMap::new(),
            purposes: BTreeMap::new(),
            next_proposal: 1,
            waiters: BTreeMap::new(),
            ahead: None,
            forwarded: BTreeMap::new(),
            foreign: BTreeMap::new(),
            next_forward: 1,
            alarms: BTreeSet::new(),
            events: 0,
            alerted: 0,
            inbox: VecDeque::new(),
            ended: Vec::new(),
            afterwards: Vec::new(),
            whole_wanted: BTreeSet::new(),
            whole_told: BTreeMap::new(),
            ordered: BTreeMap::new(),
            out: Vec::new(),
            applied,
            halted: false,
            config,
            consensus,
            executor,
            state,
        };
        controller.view.members.insert(controller.config.node);
        controller.tell_members();
        controller.tell_key();
        let known: Vec<Lease> = controller.state.grants.values().map(|g| g.lease()).collect();
        for Lease { group, epoch } in known {
            controller.heartbeat(haven_heartbeat::Input::Epoch { group, epoch });
        }
        // What runs here goes on asking for its lease, also where it had lapsed when the process before
        // ended: a lease that is held still is none the wiser for it.
        for Lease { group, epoch } in controller.executor.leases() {
            controller.heartbeat(haven_heartbeat::Input::Claim { group, epoch });
        }
        Ok(controller)
    }

    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = self.waiters.values().map(|waiter| waiter.deadline.min(waiter.told)).min();
        let coordinating = self.coordinator.as_ref().and_then(Coordinator::deadline);
        let votes = self.quorum.deadline();
        let claims = self.claims.deadline();
        let contacts = self.contacts.deadline();
        let damped = self.dampener.deadline();
        let whole = self.whole_deadline();
        [
            self.consensus.deadline(),
            self.executor.deadline(),
            waiting,
            coordinating,
            votes,
            claims,
            contacts,
            damped,
            whole,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Advances by one input.
    pub fn step(&mut self, clock: Clock, input: Input) -> Vec<Output> {
        self.accept(clock, input);
        self.conclude(clock)
    }

    /// Advances by what several agents said, in this order. What follows is told once for all of them.
    pub fn step_agents(&mut self, clock: Clock, said: Vec<AgentSaid>) -> Vec<Output> {
        for said in said {
            let input = match said {
                AgentSaid::Finished { run, outcome } => Input::AgentFinished { run, outcome },
                AgentSaid::Restarting { run, parameters } => Input::Restarting { run, parameters },
            };
            self.accept(clock, input);
        }
        self.conclude(clock)
    }

    fn conclude(&mut self, clock: Clock) -> Vec<Output> {
        self.settle(clock);
        self.update_quorum(clock);
        self.tell_claims(clock);
        self.ask_for_members(clock);
        if self.dampener.expire(clock.now) {
            self.replan();
        }
        self.repeat_orders(clock);
        self.plan_if_needed(clock);
        self.settle(clock);
        self.serve_waiters(clock);
        self.tell_whole_status(clock);
        for (to, message) in std::mem::take(&mut self.afterwards) {
            self.send(to, &message);
        }
        self.send_orders();
        std::mem::take(&mut self.out)
    }

    /// What a planned restart hands to the next process. Nothing may be under way.
    #[must_use]
    pub fn hand_over(&self) -> HandOver {
        let history = self.histories.get(&self.config.node).cloned().unwrap_or_default();
        let quorum = self.quorum.history.clone();
        HandOver { executor: self.executor.clone(), history, quorum }
    }

    /// The replicated state as applied here.
    #[must_use]
    pub const fn state(&self) -> &Replicated {
        &self.state
    }

    /// The consensus core's status.
    #[must_use]
    pub fn consensus_status(&self) -> haven_consensus::Status {
        self.consensus.status()
    }

    /// Who coordinates, as far as this node knows.
    #[must_use]
    pub const fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// The other members that are heard at present.
    #[must_use]
    pub fn present(&self) -> BTreeSet<NodeId> {
        let others = self.others().into_iter();
        others
            .filter(|node| self.alive.contains_key(node) && !self.dead.contains_key(node))
            .collect()
    }

    /// The starts that this node's resources run by, with their leases.
    pub fn started(&self) -> impl Iterator<Item = (&Operation, Option<Lease>)> {
        self.executor.started()
    }

    /// How many resources are started here.
    #[must_use]
    pub fn started_count(&self) -> usize {
        self.executor.started_count()
    }

    /// As many agents outside of the daemon as this host's `processors` can run, twice over as in the
    /// field, are called at once. Without it there is no such limit.
    #[must_use]
    pub fn paced(mut self, processors: usize) -> Self {
        let pace = haven_executor::Input::Pace(processors.saturating_mul(2));
        self.inbox.push_back(Internal::Executor(pace));
        self
    }

    /// How long this node's agents took, by operation.
    #[must_use]
    pub const fn run_times(&self) -> &haven_executor::Measured {
        self.executor.measured()
    }

    /// Whether an operation of this node's executor is waiting or running.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.executor.busy()
    }

    fn accept(&mut self, clock: Clock, input: Input) {
        match input {
            Input::Heartbeat(report) => self.on_heartbeat(clock, report),
            Input::Peer { from, boot, bytes } => match PeerMessage::decode(&bytes) {
                Some(message) => self.on_peer(clock, from, boot, message),
                None => self.alarm(format!(
                    "node {from} sends messages that this version cannot read; \
                     run the same version of haven on all nodes"
                )),
            },
            Input::PeerReset(peer) => {
                self.send_whole_status(peer);
                self.tell_quorum(peer);
                self.repeat_orders_to(clock, peer);
            }
            Input::Persisted(token) => {
                self.inbox.push_back(Internal::Consensus(haven_consensus::Input::Persisted(token)));
            }
            Input::PersistFailed { reason } => {
                self.alarm(format!(
                    "the store failed ({reason}): this node no longer votes; \
                     make the disk sound, then restart the daemon"
                ));
                self.inbox.push_back(Internal::Consensus(haven_consensus::Input::PersistFailed));
            }
            Input::AgentFinished { run, outcome } => {
                let input = haven_executor::Input::AgentFinished { run, outcome };
                self.inbox.push_back(Internal::Executor(input));
            }
            Input::Restarting { run, parameters } => {
                let input = haven_executor::Input::Restarting { run, parameters };
                self.inbox.push_back(Internal::Executor(input));
            }
            Input::Agents(told) => self.on_agents(told),
            Input::Request { id, author, body } => self.on_request(clock, id, author, body),
            Input::RequestGone(id) => {
                self.waiters.remove(&id);
            }
            Input::Admit { request, member, token } => self.on_admit(clock, request, member, token),
            Input::MintToken { request, token, expires } => {
                self.on_mint_token(request, token, expires);
            }
            Input::RotateKey { request, notice } => self.on_rotate_key(request, notice),
            Input::Attribute(change) => {
                self.on_change_attribute(clock, self.config.node, None, &change);
            }
            Input::Shutdown => self.on_shutdown(clock),
            Input::Alarm(text) => self.alarm(text),
            Input::Tick => {
                self.inbox.push_back(Internal::Consensus(haven_consensus::Input::Tick));
                self.inbox.push_back(Internal::Executor(haven_executor::Input::Tick));
                if self.coordinator.is_some() {
                    self.inbox.push_back(Internal::Engine(haven_transition::Input::Tick));
                }
            }
        }
    }

    /// Runs the parts until none has anything to say to another.
    fn settle(&mut self, clock: Clock) {
        loop {
            let Some(internal) = self.inbox.pop_front() else {
                if self.ended.is_empty() {
                    return;
                }
                self.tell_ended(clock);
                continue;
            };
            match internal {
                Internal::Consensus(input) => {
                    for output in self.consensus.step(clock.now, input) {
                        self.on_consensus(clock, output);
                    }
                }
                Internal::Executor(input) => {
                    let outputs = self.executor.step(clock.now, clock.wall, input);
                    self.on_executor(clock, outputs);
                }
                Internal::Engine(input) => self.step_engine(clock, input),
            }
        }
    }

    pub(crate) fn heartbeat(&mut self, input: haven_heartbeat::Input) {
        self.out.push(Output::Heartbeat(Box::new(input)));
    }

    pub(crate) fn send(&mut self, to: NodeId, message: &PeerMessage) {
        // What is said again anyway, and to those who do not hear it as well.
        let ordered = !matches!(
            message,
            PeerMessage::Consensus(_)
                | PeerMessage::MembersWanted { .. }
                | PeerMessage::Members { .. }
        );
        self.out.push(Output::Send { to, bytes: message.encode(), ordered });
    }

    /// The other members.
    pub(crate) fn others(&self) -> Vec<NodeId> {
        self.state.members.keys().copied().filter(|node| *node != self.config.node).collect()
    }

    pub(crate) fn name_of(&self, node: NodeId) -> String {
        let member = self.state.members.get(&node);
        member.map_or_else(|| format!("node {node}"), |member| member.name.clone())
    }

    pub(crate) fn event(
        &mut self,
        clock: Clock,
        code: &str,
        severity: EventSeverity,
        subject: String,
        text: String,
    ) {
        self.events += 1;
        self.out.push(Output::Event(Event {
            cursor: self.events,
            at: clock.wall,
            node: self.config.name.clone(),
            code: code.to_owned(),
            severity,
            subject,
            text,
        }));
    }

    /// Something that stays true until somebody does something about it.
    pub(crate) fn alarm(&mut self, text: String) {
        const MAX_ALARMS: usize = 64;
        if self.alarms.len() < MAX_ALARMS {
            self.alarms.insert(text);
        }
    }

    pub(crate) fn propose(&mut self, command: &crate::command::Command, purpose: Purpose) {
        let id = ProposalId(self.next_proposal);
        self.next_proposal += 1;
        self.purposes.insert(id, purpose);
        let bytes = command.encode();
        self.inbox.push_back(Internal::Consensus(haven_consensus::Input::Propose { id, bytes }));
    }

    /// Tells everybody below who the members are.
    pub(crate) fn tell_members(&mut self) {
        let peers = self
            .state
            .members
            .values()
            .filter(|member| member.id != self.config.node)
            .map(|member| {
                let role = match member.role {
                    crate::command::Role::Full => haven_heartbeat::Role::Full,
                    crate::command::Role::Witness => haven_heartbeat::Role::Witness,
                };
                let links = member.links.iter().map(|(link, _)| *link).collect();
                (member.id, haven_heartbeat::Member { role, links })
            })
            .collect();
        self.out.push(Output::Members(self.contacts().clone()));
        self.heartbeat(haven_heartbeat::Input::Members(peers));
    }
}

/// Why a controller cannot start on what the store holds.
#[derive(Debug, thiserror::Error)]
pub enum StartControllerError {
    /// The snapshot cannot be read.
    #[error("the store's snapshot cannot be used")]
    Snapshot(#[from] crate::command::DecodeCommandError),
    /// The log cannot be used.
    #[error("the store's log cannot be used")]
    Log(#[from] StartError),
}
