//! A member among liars: what they send is well formed and often nearly true, for what is plainly false goes no further
//! than the guard.

use std::collections::BTreeSet;
use std::time::Duration;

use haven_base::{Instant, Rng};
use haven_types::{LogIndex, LogPosition, NodeId, Term};

use crate::configuration::Configuration;
use crate::guard::FAR;
use crate::interface::{Config, Input, Output, PersistToken, ProposalId, ReadId, Role};
use crate::machine::Consensus;
use crate::persist::{LogEntry, Payload, Recovered, Snapshot};
use crate::tests::world::node;
use crate::tests::{Replay, seeds};
use crate::wire::{Ballot, Body, Force, Message};

const STEPS: usize = 400;

/// The member, and what is needed to lie to it.
struct Victim {
    machine: Consensus,
    rng: Rng,
    now: Instant,
    waiting: Vec<PersistToken>,
    snapshot_wanted: bool,
    /// The last entry the application has.
    told: u64,
}

impl Victim {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let voters = (1..=1 + 2 * rng.below(2) as u16).map(node);
        let config = Config {
            heartbeat_ticks: 2,
            election_ticks: 6,
            change_spacing: Duration::from_millis(100),
            snapshot_after_bytes: 1_000,
            keep_entries: 3,
            ..Config::new(node(1))
        };
        let machine = Consensus::new(config, Recovered::founding(voters, vec![1]), seed).unwrap();
        let (now, waiting) = (Instant::from_nanos(1), Vec::new());
        Self { machine, rng, now, waiting, snapshot_wanted: false, told: 0 }
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.below(of.len() as u64) as usize]
    }

    /// Seldom what no log reaches: the machine's own numbers could only be as far from then on.
    fn far(&mut self) -> Option<u64> {
        self.rng.chance(1, 150).then(|| self.one_of(&[FAR - 1, FAR, FAR + 1, u64::MAX]))
    }

    fn index(&mut self) -> u64 {
        let log = &self.machine.raw.raft.raft_log;
        let marks =
            [0, log.first_index(), log.applied, log.committed, log.persisted, log.last_index()];
        let (mark, by) = (self.one_of(&marks), self.rng.below(5));
        self.far().unwrap_or_else(|| (mark + by).saturating_sub(2))
    }

    fn term(&mut self) -> u64 {
        let by = self.one_of(&[0, 1, 1, 1, 1, 1, 1, 2]);
        let term = self.machine.raw.raft.term;
        self.far().unwrap_or_else(|| (term + by).saturating_sub(1))
    }

    /// Mostly what this log has there.
    fn position(&mut self) -> LogPosition {
        let index = self.index();
        let real = self.machine.raw.store().position_at(index).filter(|_| self.rng.chance(9, 10));
        real.unwrap_or_else(|| LogPosition { term: Term(self.term()), index: LogIndex(index) })
    }

    fn nodes(&mut self, most: u64) -> BTreeSet<NodeId> {
        (0..self.rng.below(most + 1)).map(|_| node(self.rng.below(6) as u16)).collect()
    }

    fn configuration(&mut self) -> Configuration {
        loop {
            let it = Configuration {
                voters: self.nodes(4),
                outgoing: self.nodes(3),
                learners: self.nodes(2),
                learners_next: self.nodes(1),
            };
            if it.check().is_ok() || self.rng.chance(1, 30) {
                return it;
            }
        }
    }

    fn entries(&mut self, previous: LogPosition, term: u64) -> Vec<LogEntry> {
        let mut at = previous;
        let mut entries = Vec::new();
        for _ in 0..self.rng.below(5) {
            at.index.0 = at.index.0.saturating_add(1);
            at.term.0 = self.one_of(&[at.term.0, at.term.0, term]);
            let payload = match self.rng.below(20) {
                0 => Payload::Configuration(self.configuration()),
                1 => Payload::Empty,
                _ => Payload::Proposal(vec![7; self.rng.below(200) as usize]),
            };
            let position = if self.rng.chance(1, 60) { self.position() } else { at };
            entries.push(LogEntry { position, payload });
        }
        entries
    }

    fn body(&mut self, term: u64) -> Body {
        let commit = LogIndex(self.index());
        let granted = self.rng.chance(2, 3);
        match self.rng.below(14) {
            0 => Body::PreVote(self.ballot()),
            1 => Body::PreVoteAnswer { granted, commit: self.position() },
            2 => {
                let force = self.one_of(&[Force::No, Force::LeaderDead, Force::HandedOver]);
                Body::Vote { ballot: self.ballot(), force }
            }
            3 => Body::VoteAnswer { granted, commit: self.position() },
            4..=6 => {
                let previous = self.position();
                Body::Append { previous, commit, entries: self.entries(previous, term) }
            }
            7 | 8 => Body::AppendAccepted { matched: LogIndex(self.index()), commit },
            9 => {
                let refused = LogIndex(self.index());
                Body::AppendRefused { refused, hint: self.position(), commit }
            }
            10 => Body::Heartbeat { commit, read: vec![0; self.rng.below(10) as usize] },
            11 => {
                let read = self.rng.below(20).to_be_bytes().to_vec();
                Body::HeartbeatAnswer { commit, read }
            }
            12 => Body::Snapshot(Snapshot {
                position: self.position(),
                configuration: self.configuration(),
                configuration_position: self.position(),
                bytes: vec![1],
            }),
            _ => Body::TimeoutNow,
        }
    }

    fn ballot(&mut self) -> Ballot {
        let priority = self.one_of(&[i64::MIN, -1, 0, 1, i64::MAX]);
        Ballot { last: self.position(), commit: self.position(), priority }
    }

    /// What one of its own kind says, or nobody, or what its own threads say.
    fn input(&mut self) -> Input {
        let node_of = |it: &mut Self| node(it.rng.below(6) as u16);
        let number = self.rng.below(20);
        match self.rng.below(30) {
            0 => Input::ForceCampaign,
            1 => Input::PeerAlive { node: node_of(self), alive: self.rng.chance(1, 2) },
            2 => Input::Propose { id: ProposalId(number), bytes: vec![2; 150] },
            3 => Input::ReadIndex(ReadId(number)),
            4 => Input::TransferLeadership(node_of(self)),
            5 => Input::ChangeMembers { voters: self.nodes(4), learners: self.nodes(2) },
            6 => Input::Unreachable(node_of(self)),
            7..=10 => {
                self.now += Duration::from_millis(self.rng.below(300));
                Input::Tick
            }
            11..=15 if !self.waiting.is_empty() => {
                let durable = self.rng.below(self.waiting.len() as u64) as usize;
                Input::Persisted(self.waiting.drain(..=durable).next_back().unwrap())
            }
            16 if self.snapshot_wanted => {
                self.snapshot_wanted = false;
                Input::Snapshot { index: LogIndex(self.told), bytes: vec![1; 9] }
            }
            _ => {
                let term = self.term();
                let message = Message { term: Term(term), body: self.body(term) };
                Input::Received { from: node_of(self), bytes: message.encode() }
            }
        }
    }

    /// Two leaders of one term can make a log contradict itself, so only what holds in spite of that is asked.
    fn judge(&mut self, output: &Output) {
        match output {
            Output::Persist { token, .. } => self.waiting.push(*token),
            Output::SnapshotWanted => self.snapshot_wanted = true,
            Output::Committed { index, .. } => {
                assert!(index.0 > self.told, "{index} is committed after {}", self.told);
                self.told = index.0;
            }
            Output::RestoreSnapshot { position, .. } => self.told = self.told.max(position.index.0),
            Output::Truncated { from } => {
                assert!(from.0 > self.told, "entry {from} was committed");
            }
            _ => {}
        }
    }
}

#[test]
fn no_lie_of_a_member_ends_the_process() {
    let (mut led, mut restored, mut muted) = (0, 0, 0);
    for seed in seeds() {
        let replay = Replay(seed, "no_lie_of_a_member");
        let mut victim = Victim::new(seed);
        for _ in 0..STEPS {
            let input = victim.input();
            for output in victim.machine.step(victim.now, input) {
                victim.judge(&output);
                led +=
                    usize::from(matches!(output, Output::RoleChanged { role: Role::Leader, .. }));
                restored += usize::from(matches!(output, Output::RestoreSnapshot { .. }));
            }
        }
        muted += usize::from(victim.machine.deadline().is_none());
        drop(replay);
    }
    let count = seeds().count();
    println!("{count} seeds: {led} times leader, {restored} snapshots, {muted} mute");
    assert!(led >= count && restored >= count, "{led} times leader, {restored} snapshots");
}
