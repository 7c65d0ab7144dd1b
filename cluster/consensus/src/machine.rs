//! [`Consensus`]: its inputs. What follows from them is in `drive`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use haven_base::{Instant, Rng};
use haven_types::{NodeId, Term};
use raft::eraftpb::Message as RaftMessage;
use raft::{RawNode, ReadOnlyOption, StateRole};

use crate::convert::{self, node_id, raft_id};
use crate::drive::Held;
use crate::forced::Forcing;
use crate::guard::{self, Knowledge};
use crate::interface::{
    Config, DropReason, Event, Input, MembersReason, Output, PersistToken, ProposalId, ReadId, Role,
};
use crate::members::Members;
use crate::memory::{MemoryLog, Placed};
use crate::persist::{Recovered, Snapshot};
use crate::resend::Resend;
use crate::start::{self, Start, StartError};
use crate::status::Counters;
use crate::ticks::Ticks;
use crate::wire::{Body, Force, Message};

/// The longest proposal, in bytes.
const MAX_PROPOSAL: usize = 16 << 20;
/// The largest append message, in bytes of entries.
const MAX_APPEND: u64 = 48 << 10;
/// Appends under way to one follower.
const MAX_INFLIGHT: usize = 64;
/// Reads under way.
const MAX_READS: usize = 1024;
/// The shortest and longest tick.
const TICKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(10));

/// The replicated log's machine. See the crate's documentation.
pub struct Consensus {
    pub(crate) config: Config,
    pub(crate) raw: RawNode<MemoryLog>,
    pub(crate) rng: Rng,
    pub(crate) tick: Duration,
    pub(crate) ticks: Ticks,
    /// Output of the start, delivered with the first step.
    pub(crate) start: Option<Start>,
    /// Ticks until this node campaigns, this time.
    pub(crate) jitter: usize,
    pub(crate) role_told: (Option<NodeId>, Term, Role),
    pub(crate) ready_told: Term,
    pub(crate) configuration_told: Placed,
    /// The newest configuration this node applied.
    pub(crate) applied_configuration: Placed,
    pub(crate) opinions: BTreeMap<NodeId, bool>,
    /// When the present life of each node began or was first heard.
    pub(crate) started: BTreeMap<NodeId, Instant>,
    /// Since when somebody silent has been borne without a break.
    pub(crate) borne: Option<Instant>,
    pub(crate) force: Force,
    pub(crate) forcing: Option<Forcing>,
    pub(crate) held: VecDeque<Held>,
    pub(crate) next_token: PersistToken,
    /// The term whose hard state is durable.
    pub(crate) durable_term: u64,
    /// Answers to votes that came before this node's own vote was durable.
    pub(crate) early_answers: Vec<RaftMessage>,
    pub(crate) proposals: BTreeMap<u64, (u64, ProposalId)>,
    pub(crate) reads: BTreeSet<ReadId>,
    pub(crate) incoming: Option<Snapshot>,
    pub(crate) snapshot_asked: bool,
    /// The index of the last thing handed to the application.
    pub(crate) delivered: u64,
    /// What was applied when a snapshot was last asked for.
    pub(crate) snapshot_asked_at: u64,
    pub(crate) members: Members,
    pub(crate) resend: Resend,
    pub(crate) mute: bool,
    pub(crate) counters: Counters,
}

impl fmt::Debug for Consensus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consensus").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Consensus {
    /// A machine that continues from what the store held. `seed` decides its election jitter.
    ///
    /// # Errors
    /// [`StartError`] where the configuration or the recovered log contradicts itself.
    pub fn new(config: Config, recovered: Recovered, seed: u64) -> Result<Self, StartError> {
        let (log, start) = start::load(recovered)?;
        let applied = log.snapshot_position();
        let hard_state_term = log_term(&log);
        let newest = log.newest_configuration();
        let in_force = log.configuration_at(applied.index);
        let election = usize::from(config.election_ticks);
        let raft_config = raft::Config {
            id: raft_id(config.id),
            election_tick: election,
            heartbeat_tick: usize::from(config.heartbeat_ticks),
            min_election_tick: election,
            max_election_tick: election * 2,
            applied: applied.index.0,
            max_size_per_msg: MAX_APPEND,
            max_inflight_msgs: MAX_INFLIGHT,
            check_quorum: true,
            pre_vote: true,
            read_only_option: ReadOnlyOption::Safe,
            priority: i64::from(config.priority),
            max_uncommitted_size: config.max_uncommitted_bytes.max(MAX_APPEND),
            ..raft::Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&raft_config, log, &logger)
            .map_err(|e| StartError::Config(e.to_string()))?;
        let mut rng = Rng::new(seed);
        let jitter = draw_jitter(&mut rng, election);
        Ok(Self {
            tick: config.tick.clamp(TICKS.0, TICKS.1),
            ticks: Ticks::new(Instant::ZERO),
            rng,
            jitter,
            start: Some(start),
            role_told: (None, Term(0), Role::Follower),
            ready_told: Term(0),
            configuration_told: newest,
            applied_configuration: in_force,
            opinions: BTreeMap::new(),
            started: BTreeMap::new(),
            borne: None,
            force: Force::No,
            forcing: None,
            held: VecDeque::new(),
            next_token: PersistToken(1),
            durable_term: hard_state_term,
            early_answers: Vec::new(),
            proposals: BTreeMap::new(),
            reads: BTreeSet::new(),
            incoming: None,
            snapshot_asked: false,
            delivered: 0,
            snapshot_asked_at: 0,
            members: Members::default(),
            resend: Resend::default(),
            mute: false,
            counters: Counters::default(),
            config,
            raw,
        })
    }

    /// One input, and everything that follows from it.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        if let Some(start) = self.start.take() {
            self.tell_start(start, &mut out);
            self.started.insert(self.config.id, now);
            self.ticks = Ticks::new(now);
            self.drive(now, &mut out);
        }
        if self.mute {
            Self::step_mute(input, &mut out);
            return out;
        }
        self.count_idle_ticks(now);
        match input {
            Input::Tick => self.on_tick(now),
            Input::SetTick(tick) => self.tick = tick.clamp(TICKS.0, TICKS.1),
            Input::Received { from, bytes } => self.on_received(from, &bytes, &mut out),
            Input::Propose { id, bytes } => self.on_propose(id, bytes, &mut out),
            Input::ReadIndex(id) => self.on_read(id, &mut out),
            Input::ForceCampaign => {
                self.forcing =
                    Some(Forcing { reason: Force::LeaderDead, term: self.raw.raft.term });
                self.try_forced(&mut out);
            }
            Input::PeerAlive { node, alive } => self.on_peer_alive(node, alive),
            Input::PeerStarted(node) => drop(self.started.insert(node, now)),
            Input::ChangeMembers { voters, learners } => {
                self.on_change_members(voters, learners, &mut out);
            }
            Input::TransferLeadership(to) => self.raw.transfer_leader(raft_id(to)),
            Input::Persisted(token) => self.on_persisted(now, token, &mut out),
            Input::PersistFailed => self.on_persist_failed(&mut out),
            Input::Snapshot { index, bytes } => self.on_snapshot(index, bytes, &mut out),
            Input::Unreachable(node) => self.on_unreachable(node),
        }
        if !self.mute {
            self.drive(now, &mut out);
            self.resend_due(now, &mut out);
            self.plan_ticks();
        }
        out
    }

    /// When the next [`Input::Tick`] is due; `None` once mute.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.mute {
            return None;
        }
        let tick = self.tick_due();
        Some(self.resend.deadline().map_or(tick, |it| it.min(tick)))
    }

    fn step_mute(input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Propose { id, .. } => {
                out.push(Output::ProposalDropped { id, why: DropReason::Mute });
            }
            Input::ReadIndex(id) => out.push(Output::ReadDropped { id, leader: None }),
            Input::ChangeMembers { .. } => {
                out.push(Output::MembersDropped { why: MembersReason::NotLeader { leader: None } })
            }
            Input::Tick
            | Input::SetTick(_)
            | Input::Received { .. }
            | Input::ForceCampaign
            | Input::PeerAlive { .. }
            | Input::PeerStarted(_)
            | Input::TransferLeadership(_)
            | Input::Persisted(_)
            | Input::PersistFailed
            | Input::Snapshot { .. }
            | Input::Unreachable(_) => {}
        }
    }

    fn on_received(&mut self, from: NodeId, bytes: &[u8], out: &mut Vec<Output>) {
        self.counters.received += 1;
        let Some(message) = Message::decode(bytes) else {
            self.counters.undecodable += 1;
            out.push(Output::Event(Event::Undecodable { from }));
            return;
        };
        let raft = &self.raw.raft;
        let know = Knowledge {
            id: self.config.id,
            term: raft.term,
            leads: raft.state == StateRole::Leader,
            committed: raft.raft_log.committed,
            last: raft.raft_log.last_index(),
            log: self.raw.store(),
        };
        if let Err(what) = guard::check(&know, from, &message) {
            self.counters.implausible += 1;
            out.push(Output::Event(Event::Implausible { from, what }));
            return;
        }
        if self.admit(from, &message, out) {
            self.resend.on_heard(from);
            self.step_raft(from, message);
        }
    }

    fn step_raft(&mut self, from: NodeId, message: Message) {
        if let Body::Snapshot(snapshot) = &message.body {
            self.incoming = Some(snapshot.clone());
        }
        self.force = Force::No;
        // The crate's errors mean "dropped": from a stranger, or to no leader.
        drop(self.raw.step(convert::message_to_raft(from, self.config.id, message)));
    }

    fn on_propose(&mut self, id: ProposalId, bytes: Vec<u8>, out: &mut Vec<Output>) {
        let raft = &self.raw.raft;
        let why = if raft.state != StateRole::Leader {
            DropReason::NotLeader { leader: node_id(raft.leader_id) }
        } else if raft.lead_transferee.is_some() {
            DropReason::Transferring
        } else if bytes.len() > MAX_PROPOSAL {
            DropReason::TooBig { bytes: bytes.len(), most: MAX_PROPOSAL }
        } else {
            match self.raw.propose(convert::proposal_mark(), bytes) {
                Ok(()) => {
                    let raft = &self.raw.raft;
                    self.counters.proposals += 1;
                    self.proposals.insert(raft.raft_log.last_index(), (raft.term, id));
                    return;
                }
                Err(_) => DropReason::Overloaded,
            }
        };
        out.push(Output::ProposalDropped { id, why });
    }

    fn on_read(&mut self, id: ReadId, out: &mut Vec<Output>) {
        let raft = &self.raw.raft;
        let leads = raft.state == StateRole::Leader;
        if !leads || !raft.commit_to_current_term() || self.reads.len() >= MAX_READS {
            let leader = node_id(raft.leader_id).filter(|it| *it != self.config.id);
            out.push(Output::ReadDropped { id, leader });
            return;
        }
        if self.reads.insert(id) {
            self.raw.read_index(id.0.to_be_bytes().to_vec());
        }
    }

    fn on_peer_alive(&mut self, node: NodeId, alive: bool) {
        self.opinions.insert(node, alive);
        let raft = &mut self.raw.raft;
        if !alive && raft.state == StateRole::Follower && raft.leader_id == raft_id(node) {
            raft.leader_id = raft::INVALID_ID;
        }
        // Who is about to join is in no configuration yet, and a newcomer knows none: those alive stay.
        let known = self.applied_configuration.1.members();
        self.opinions.retain(|it, alive| *alive || *it == node || known.contains(it));
        self.started.retain(|it, _| self.opinions.contains_key(it) || known.contains(it));
    }

    fn on_unreachable(&mut self, node: NodeId) {
        let id = raft_id(node);
        self.raw.report_unreachable(id);
        self.raw.report_snapshot(id, raft::SnapshotStatus::Failure);
    }

    fn on_persist_failed(&mut self, out: &mut Vec<Output>) {
        let raft = &self.raw.raft;
        if raft.state == StateRole::Leader
            && let Some(to) = self.best_successor(&self.applied_configuration.1.voters)
        {
            // The last thing it can do without a disk: name a successor.
            let message = Message { term: Term(raft.term), body: Body::TimeoutNow };
            self.send(to, &message, out);
        }
        self.mute = true;
        self.held.clear();
        for (_, (_, id)) in std::mem::take(&mut self.proposals) {
            out.push(Output::ProposalDropped { id, why: DropReason::Mute });
        }
        for id in std::mem::take(&mut self.reads) {
            out.push(Output::ReadDropped { id, leader: None });
        }
        let term = Term(self.raw.raft.term);
        self.role_told = (None, term, Role::Follower);
        out.push(Output::RoleChanged { leader: None, term, role: Role::Follower });
        out.push(Output::Event(Event::Mute));
    }

    /// The voter among `of`, other than this node, whose log reaches furthest; one held dead only where all are.
    pub(crate) fn best_successor(&self, of: &BTreeSet<NodeId>) -> Option<NodeId> {
        let voters = &self.applied_configuration.1;
        of.iter()
            .filter(|it| **it != self.config.id && voters.is_voter(**it))
            .filter_map(|it| Some((self.raw.raft.prs().get(raft_id(*it))?, *it)))
            .max_by_key(|(progress, it)| {
                let dead = self.opinions.get(it) == Some(&false);
                (!dead, progress.recent_active, progress.matched, std::cmp::Reverse(*it))
            })
            .map(|(_, it)| it)
    }
}

pub(crate) const fn role_of(state: StateRole) -> Role {
    match state {
        StateRole::Follower => Role::Follower,
        StateRole::PreCandidate => Role::PreCandidate,
        StateRole::Candidate => Role::Candidate,
        StateRole::Leader => Role::Leader,
    }
}

pub(crate) fn draw_jitter(rng: &mut Rng, election: usize) -> usize {
    let span = u64::try_from(election).unwrap_or(1);
    election + usize::try_from(rng.below(span)).unwrap_or(0)
}

fn log_term(log: &MemoryLog) -> u64 {
    use raft::Storage as _;
    log.initial_state().map_or(0, |it| it.hard_state.term)
}
