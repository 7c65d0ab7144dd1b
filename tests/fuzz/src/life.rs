//! The life of one member of the log's group as bytes: who it is, then what happened to it, one step after another. A
//! peer's message does harm only to a machine that has something to lose, so the damage is done to whole lives.
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not looked at is ignored")]

use std::collections::BTreeSet;
use std::time::Duration;

use haven_base::Instant;
use haven_consensus::{
    Config, Consensus, Input, Output, PersistToken, ProposalId, ReadId, Recovered,
};
use haven_types::{LogIndex, NodeId};

/// One thing that happens to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This much time passes, in ticks.
    Pass(u8),
    /// A message from node 1 to [`NODES`].
    Message(u8, Vec<u8>),
    /// The detector says of a node that it is dead.
    Dead(u8),
    /// The detector says of a node that it is alive.
    Alive(u8),
    /// This node is to follow a dead leader.
    Force,
    /// An entry of this many bytes is proposed.
    Propose(u8),
    /// A read is asked for.
    Read,
    /// Leadership is to go to this node.
    Transfer(u8),
    /// These are to vote and those to learn, one bit a node.
    Change(u8, u8),
    /// The disk answers nothing from now on; or everything, again.
    Disk(bool),
}

/// Senders known by number; none but the first four is ever a member.
pub const NODES: u8 = 9;
/// The length of a tick.
pub const TICK: Duration = Duration::from_millis(10);

impl Step {
    /// Adds the bytes of this step.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Pass(ticks) => out.extend([0, *ticks]),
            Self::Message(from, bytes) => {
                out.push(*from);
                let length = u16::try_from(bytes.len()).unwrap();
                out.extend(length.to_le_bytes());
                out.extend(bytes);
            }
            Self::Dead(node) => out.extend([10, *node]),
            Self::Alive(node) => out.extend([11, *node]),
            Self::Force => out.push(12),
            Self::Propose(length) => out.extend([13, *length]),
            Self::Read => out.push(14),
            Self::Transfer(node) => out.extend([15, *node]),
            Self::Change(voters, learners) => out.extend([16, *voters, *learners]),
            Self::Disk(answers) => out.extend([17, u8::from(*answers)]),
        }
    }

    /// The next step, and what follows it. Every byte begins one, so that damage does not end a life.
    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (kind, rest) = bytes.split_first()?;
        let one = |make: fn(u8) -> Self| rest.split_first().map(|(it, rest)| (make(*it), rest));
        match kind % 18 {
            0 => one(Self::Pass),
            from @ 1..=NODES => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
                let (message, rest) = rest.split_at(length);
                Some((Self::Message(from, message.to_vec()), rest))
            }
            10 => one(Self::Dead),
            11 => one(Self::Alive),
            12 => Some((Self::Force, rest)),
            13 => one(Self::Propose),
            14 => Some((Self::Read, rest)),
            15 => one(Self::Transfer),
            16 => {
                let ([voters, learners], rest) = rest.split_first_chunk::<2>()?;
                Some((Self::Change(*voters, *learners), rest))
            }
            _ => one(|answers| Self::Disk(answers != 0)),
        }
    }
}

/// The nodes of a mask: bit 0 is node 1.
fn nodes(mask: u8) -> BTreeSet<NodeId> {
    (0..8_u16).filter(|bit| mask & (1 << bit) != 0).map(|bit| NodeId(bit + 1)).collect()
}

/// A machine with a clock, a disk and an application, all of them simple.
#[derive(Debug)]
pub struct Member {
    machine: Consensus,
    now: Instant,
    disk: bool,
    waiting: Vec<PersistToken>,
    told: u64,
    delivered: u64,
    asked: u64,
}

impl Member {
    /// Node `id` of a cluster founded by the voters of a mask; where it has none, of one that it is to join.
    #[must_use]
    pub fn new(id: u8, founders: u8) -> Self {
        let recovered = match nodes(founders) {
            none if none.is_empty() => Recovered::blank(),
            voters => Recovered::founding(voters, vec![1; 20]),
        };
        Self::of(Consensus::new(config(id), recovered, u64::from(id)).unwrap())
    }

    /// A machine that was just started.
    #[must_use]
    pub const fn of(machine: Consensus) -> Self {
        let now = Instant::from_nanos(1_000_000);
        Self { machine, now, disk: true, waiting: Vec::new(), told: 0, delivered: 0, asked: 0 }
    }

    /// What the machine puts out in this step, with all that follows from what the disk and the application answer.
    pub fn step(&mut self, step: &Step) -> Vec<Output> {
        let node = |it: u8| NodeId(u16::from(it));
        let input = match step {
            Step::Pass(ticks) => return self.pass(*ticks),
            Step::Message(from, bytes) => {
                Input::Received { from: node(*from), bytes: bytes.clone() }
            }
            Step::Dead(it) => Input::PeerAlive { node: node(*it), alive: false },
            Step::Alive(it) => Input::PeerAlive { node: node(*it), alive: true },
            Step::Force => Input::ForceCampaign,
            Step::Propose(length) => {
                self.asked += 1;
                Input::Propose { id: ProposalId(self.asked), bytes: vec![7; usize::from(*length)] }
            }
            Step::Read => {
                self.asked += 1;
                Input::ReadIndex(ReadId(self.asked))
            }
            Step::Transfer(to) => Input::TransferLeadership(node(*to)),
            Step::Change(voters, learners) => {
                Input::ChangeMembers { voters: nodes(*voters), learners: nodes(*learners) }
            }
            Step::Disk(answers) => {
                self.disk = *answers;
                Input::Tick
            }
        };
        self.input(input)
    }

    /// Tick by tick, as a daemon that is woken whenever something is due.
    fn pass(&mut self, ticks: u8) -> Vec<Output> {
        let mut all = Vec::new();
        for _ in 0..ticks {
            self.now += TICK;
            all.extend(self.input(Input::Tick));
            let due = self.machine.deadline();
            assert!(due.is_none_or(|due| due > self.now), "nothing spins");
        }
        all
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        let mut all = Vec::new();
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let outputs = self.machine.step(self.now, input);
            for output in &outputs {
                inputs.extend(self.answer(output));
            }
            if self.disk {
                inputs.extend(self.waiting.drain(..).next_back().map(Input::Persisted));
            }
            all.extend(outputs);
        }
        all
    }

    /// Judges one output, and answers it where the disk or the application would.
    fn answer(&mut self, output: &Output) -> Option<Input> {
        match output {
            Output::Persist { token, .. } => {
                assert!(self.waiting.last().is_none_or(|before| before < token));
                self.waiting.push(*token);
            }
            Output::Committed { index, .. } => {
                assert!(index.0 > self.told, "entry {index} is committed after {}", self.told);
                (self.told, self.delivered) = (index.0, index.0);
            }
            Output::RestoreSnapshot { position, .. } => {
                // Not always newer: lies of two leaders of one term can put what is older behind it.
                self.told = self.told.max(position.index.0);
                self.delivered = position.index.0;
            }
            Output::Truncated { from } => {
                assert!(from.0 > self.told, "entry {from} was committed");
            }
            Output::SnapshotWanted => {
                return Some(Input::Snapshot {
                    index: LogIndex(self.delivered),
                    bytes: vec![5; 30],
                });
            }
            _ => {}
        }
        None
    }
}

/// Short times and small logs, so that a short life has elections, changes of members and snapshots.
#[must_use]
pub fn config(id: u8) -> Config {
    Config {
        tick: TICK,
        heartbeat_ticks: 2,
        election_ticks: 6,
        change_spacing: TICK * 5,
        snapshot_after_bytes: 600,
        keep_entries: 2,
        ..Config::new(NodeId(u16::from(id)))
    }
}

/// Lives what the bytes say.
pub fn live(bytes: &[u8]) {
    let Some(([id, founders], mut rest)) = bytes.split_first_chunk::<2>() else { return };
    let mut member = Member::new((*id).max(1), *founders);
    while let Some((step, after)) = Step::read(rest) {
        member.step(&step);
        rest = after;
    }
}
