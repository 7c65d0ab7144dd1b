//! The machine: what it holds, and how one input travels through its parts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use haven_api::{Event, EventSeverity};
use haven_base::Instant;
use haven_consensus::{Consensus, ProposalId};
use haven_executor::Executor;
use haven_heartbeat::View;
use haven_policy::AgentFacts;
use haven_types::operation::{Lease, Operation, OperationRecord, Order};
use haven_types::{BootId, Epoch, LogIndex, LogPosition, NodeId, Term};

use crate::ahead::Ahead;
use crate::alarms::{Alarms, SHOWN_FOR, Subject};
use crate::attributes::Dampener;
use crate::claims::Claims;
use crate::confirm::Reappeared;
use crate::contacts::Contacts;
use crate::coordinate::Coordinator;
use crate::expelled::TurnedAway;
use crate::forwarding::Forwarded;
use crate::history::NodeHistory;
use crate::message::PeerMessage;
use crate::minority::Minority;
use crate::orders::Taken;
use crate::planning::Planner;
use crate::port::{AgentSaid, Clock, Input, Local, Output};
use crate::quorum::Quorum;
use crate::replicated::Replicated;
use crate::waiting::Waiter;

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
    pub(crate) reappeared: Reappeared,
    pub(crate) quorum: Quorum,
    pub(crate) claims: Claims,
    pub(crate) contacts: Contacts,
    pub(crate) minority: Minority,
    pub(crate) turned_away: TurnedAway,
    pub(crate) taken: Taken,
    pub(crate) leader: Option<NodeId>,
    /// Who led the present term last, heard at the moment or not.
    pub(crate) led: Option<NodeId>,
    pub(crate) leader_since: Instant,
    pub(crate) term: Term,
    /// Only on the coordinator.
    pub(crate) coordinator: Option<Coordinator>,
    pub(crate) planner: Planner,
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
    /// A client of this node asked for its removal while it coordinated: the next coordinator is asked, by force or not.
    pub(crate) own_leave: Option<(u64, bool)>,
    /// Agents of others, as they described themselves on this node.
    pub(crate) foreign: BTreeMap<String, haven_types::agent::AgentReport>,
    pub(crate) next_forward: u64,
    pub(crate) alarms: Alarms,
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

impl Controller {
    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = self.waiters.values().map(|waiter| waiter.deadline.min(waiter.told)).min();
        let coordinating = self.coordinator.as_ref().and_then(Coordinator::deadline);
        let votes = self.quorum.deadline();
        let claims = self.claims.deadline();
        let contacts = self.contacts.deadline();
        let minority = self.minority.deadline();
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
            minority,
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
        self.forget_confirmations();
        if self.dampener.expire(clock.now) {
            self.replan();
        }
        self.repeat_orders(clock);
        self.plan_if_needed(clock);
        self.settle(clock);
        self.stop_without_majority(clock);
        self.serve_waiters(clock);
        self.tell_whole_status(clock);
        for (to, message) in std::mem::take(&mut self.afterwards) {
            self.send(to, &message);
        }
        self.send_orders();
        std::mem::take(&mut self.out)
    }

    /// Which agents' resources run under a lease.
    #[must_use]
    pub const fn agent_facts(&self) -> &AgentFacts {
        &self.config.facts
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
                None => {
                    let text = format!(
                        "{} sends messages that this version cannot read; \
                         run the same version of haven on all nodes",
                        self.name_of(from)
                    );
                    self.alarm_for_a_while(clock, Subject::Messages(from), text);
                }
            },
            Input::PeerReset(peer) => {
                self.send_whole_status(peer);
                self.tell_quorum(peer);
                self.repeat_orders_to(clock, peer);
                self.fail_forwarded_on_the_way(peer);
            }
            Input::TurnedAway { by, as_of } => self.on_turned_away(clock, by, as_of),
            Input::AgentFinished { run, outcome } => {
                let input = haven_executor::Input::AgentFinished { run, outcome };
                self.inbox.push_back(Internal::Executor(input));
            }
            Input::Restarting { run, parameters } => {
                let input = haven_executor::Input::Restarting { run, parameters };
                self.inbox.push_back(Internal::Executor(input));
            }
            Input::Local(local) => self.accept_local(clock, local),
            Input::Shutdown => self.on_shutdown(clock),
            Input::Tick => {
                self.inbox.push_back(Internal::Consensus(haven_consensus::Input::Tick));
                self.inbox.push_back(Internal::Executor(haven_executor::Input::Tick));
                if self.coordinator.is_some() {
                    self.inbox.push_back(Internal::Engine(haven_transition::Input::Tick));
                }
            }
        }
    }

    fn accept_local(&mut self, clock: Clock, local: Local) {
        match local {
            Local::Persisted(token) => {
                self.inbox.push_back(Internal::Consensus(haven_consensus::Input::Persisted(token)));
            }
            Local::PersistFailed { reason } => {
                let text = format!(
                    "the store failed ({reason}): this node no longer votes; \
                     make the disk sound, then restart the daemon"
                );
                self.alarm(clock, Subject::Store, text);
                self.inbox.push_back(Internal::Consensus(haven_consensus::Input::PersistFailed));
            }
            Local::Described(told) => self.on_agents(told),
            Local::Request { id, author, body } => self.on_request(clock, id, author, body),
            Local::RequestGone(id) => self.on_request_gone(id),
            Local::Admit { request, member, token } => self.on_admit(clock, request, member, token),
            Local::MintToken { request, token, expires } => {
                self.on_mint_token(clock, request, token, expires);
            }
            Local::RotateKey { request, notice } => self.on_rotate_key(request, notice),
            Local::Attribute(change) => {
                self.on_change_attribute(clock, self.config.node, None, &change);
            }
            Local::Alarm { about, text } => self.alarm(clock, Subject::Host(about), text),
            Local::Mended { about, text } => {
                let text = format!("{text} (within the last {} min)", SHOWN_FOR.as_secs() / 60);
                self.alarm_for_a_while(clock, Subject::Host(about), text);
            }
            Local::Sound { about } => self.sound(&Subject::Host(about)),
        }
    }

    /// Runs the parts until none has anything to say to another.
    pub(crate) fn settle(&mut self, clock: Clock) {
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
