//! Repeats what a lossy transport may have swallowed, well before the next heartbeat.
//!
//! The crate sends a vote request once and an append once; what is lost is found out a heartbeat
//! or an election timeout later. Here every unanswered one is repeated after a quarter of a tick,
//! then after twice that, then every tick; [`MAX_ATTEMPTS`] times to a member held dead.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::Instant;
use haven_types::NodeId;
use raft::{ProgressState, StateRole};

use crate::convert::{node_id, raft_id};
use crate::drive::DATAGRAM_LIMIT;
use crate::interface::Output;
use crate::machine::Consensus;
use crate::wire::{Body, Message};

/// Repetitions without an answer to a member held dead; after that only heartbeats.
const MAX_ATTEMPTS: u32 = 5;
/// A snapshot that travels by stream is sent again if it brings no answer for this long.
const STREAM_PATIENCE: Duration = Duration::from_secs(10);
/// A snapshot that fits a datagram is sent again after this many ticks.
const DATAGRAM_PATIENCE: u32 = 4;
/// More than a snapshot message has besides the application's bytes.
const SNAPSHOT_OVERHEAD: usize = 4 << 10;
/// The shortest wait before a repetition.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);

/// One member that owes an answer.
#[derive(Clone, Copy, Debug)]
struct Owed {
    due: Instant,
    attempts: u32,
    /// It is held dead and had its attempts.
    given_up: bool,
    /// What it had (durable, known committed) when the wait began; more is an answer.
    had: (u64, u64),
}

impl Owed {
    const fn new(due: Instant, had: (u64, u64)) -> Self {
        Self { due, attempts: 0, given_up: false, had }
    }

    /// Whether to repeat now; the next time is noted.
    fn attempt(
        &mut self,
        now: Instant,
        wait: Duration,
        most: Duration,
        alive: Option<&bool>,
    ) -> bool {
        self.given_up = alive == Some(&false) && self.attempts >= MAX_ATTEMPTS;
        if now < self.due || self.given_up {
            return false;
        }
        self.attempts += 1;
        self.due = now + (wait * 2_u32.pow(self.attempts.min(MAX_ATTEMPTS))).min(most);
        true
    }
}

/// Who owes an answer since when.
#[derive(Debug, Default)]
pub(crate) struct Resend {
    owed: BTreeMap<NodeId, Owed>,
    ballots: BTreeMap<NodeId, Message>,
    snapshots: BTreeMap<NodeId, Instant>,
}

impl Resend {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.owed.values().filter(|it| !it.given_up).map(|it| it.due).min()
    }

    /// Whether a snapshot is under way, which is sent again after a while.
    pub(crate) fn retries_snapshots(&self) -> bool {
        !self.snapshots.is_empty()
    }

    /// A vote request goes out: repeat it until answered.
    pub(crate) fn note_ballot(&mut self, to: NodeId, message: &Message) {
        if matches!(message.body, Body::Vote { .. } | Body::PreVote(_)) {
            self.ballots.insert(to, message.clone());
        }
    }

    /// Whatever it said, it hears us.
    pub(crate) fn on_heard(&mut self, from: NodeId) {
        self.ballots.remove(&from);
        if let Some(owed) = self.owed.get_mut(&from) {
            owed.attempts = 0;
            owed.given_up = false;
        }
    }
}

impl Consensus {
    /// Repeats what is due, and notes what became due.
    pub(crate) fn resend_due(&mut self, now: Instant, out: &mut Vec<Output>) {
        let term = self.raw.raft.term;
        match self.raw.raft.state {
            StateRole::Leader => self.resend_to_followers(now),
            StateRole::Candidate | StateRole::PreCandidate => {
                self.resend.ballots.retain(|_, it| {
                    let ahead = u64::from(matches!(it.body, Body::PreVote(_)));
                    it.term.0 == term + ahead
                });
                self.resend_ballots(now, out);
            }
            StateRole::Follower => {
                self.resend = Resend::default();
                return;
            }
        }
        self.drive(now, out);
    }

    fn first_wait(&self) -> Duration {
        (self.tick / 4).max(SHORTEST_WAIT)
    }

    fn resend_ballots(&mut self, now: Instant, out: &mut Vec<Output>) {
        let wait = self.first_wait();
        let ballots = std::mem::take(&mut self.resend.ballots);
        self.resend.owed.retain(|it, _| ballots.contains_key(it));
        for (to, message) in &ballots {
            let fresh = Owed::new(now + wait, (message.term.0, 0));
            let owed = self.resend.owed.entry(*to).or_insert(fresh);
            if owed.had != fresh.had {
                *owed = fresh;
            }
            if owed.attempt(now, wait, self.tick, self.opinions.get(to)) {
                self.counters.resent += 1;
                self.send(*to, message, out);
            }
        }
        self.resend.ballots = ballots;
    }

    fn resend_to_followers(&mut self, now: Instant) {
        self.resend.ballots.clear();
        self.retry_snapshots(now);
        let wait = self.first_wait();
        let raft = &self.raw.raft;
        let goal = (raft.raft_log.last_index(), raft.raft_log.committed);
        let behind: BTreeMap<NodeId, (u64, u64)> = raft
            .prs()
            .iter()
            .filter(|(id, it)| **id != raft.id && it.state != ProgressState::Snapshot)
            .map(|(id, it)| (*id, (it.matched, it.committed_index)))
            .filter(|(_, has)| has.0 < goal.0 || has.1 < goal.1)
            .filter_map(|(id, has)| Some((node_id(id)?, has)))
            .collect();
        self.resend.owed.retain(|it, _| behind.contains_key(it));
        let mut due = Vec::new();
        for (node, has) in behind {
            let fresh = Owed::new(now + wait, has);
            let owed = self.resend.owed.entry(node).or_insert(fresh);
            if owed.had != has {
                *owed = fresh;
            } else if owed.attempt(now, wait, self.tick, self.opinions.get(&node)) {
                due.push(node);
            }
        }
        for node in due {
            self.resend_append(node);
        }
    }

    fn resend_append(&mut self, node: NodeId) {
        let id = raft_id(node);
        self.counters.resent += 1;
        let raft = &mut self.raw.raft;
        if let Some(progress) = raft.mut_prs().get_mut(id) {
            if progress.state == ProgressState::Replicate {
                progress.become_probe();
            }
            progress.resume();
            raft.send_append(id);
        }
        let complete =
            raft.prs().get(id).is_some_and(|it| it.matched == raft.raft_log.last_index());
        if raft.lead_transferee == Some(id) && complete {
            raft.send_timeout_now(id);
        }
    }

    fn retry_snapshots(&mut self, now: Instant) {
        let under_way: Vec<NodeId> = self
            .raw
            .raft
            .prs()
            .iter()
            .filter(|(_, it)| it.state == ProgressState::Snapshot)
            .filter_map(|(id, _)| node_id(*id))
            .collect();
        self.resend.snapshots.retain(|it, _| under_way.contains(it));
        let small = self
            .raw
            .store()
            .for_peers()
            .is_none_or(|it| it.bytes.len() + SNAPSHOT_OVERHEAD < DATAGRAM_LIMIT);
        let patience = if small { self.tick * DATAGRAM_PATIENCE } else { STREAM_PATIENCE };
        for node in under_way {
            let since = *self.resend.snapshots.entry(node).or_insert(now);
            if now.since(since) >= patience {
                self.resend.snapshots.remove(&node);
                self.raw.report_snapshot(raft_id(node), raft::SnapshotStatus::Failure);
            }
        }
        // Nobody takes a snapshot any more: its bytes need not stay in memory.
        let waiting = !self.resend.snapshots.is_empty() || self.snapshot_asked;
        if !waiting && self.raw.store().for_peers().is_some() {
            self.raw.mut_store().set_for_peers(None);
        }
    }
}
