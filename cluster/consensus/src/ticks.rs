//! The crate's clock: it counts ticks of the network's length, of which in a quiet cluster hardly one
//! does anything. Those are slept through, and counted when something happens.

use haven_base::Instant;
use raft::{INVALID_ID, StateRole};

use crate::machine::{Consensus, draw_jitter};
use crate::wire::Force;

/// When ticks were counted, and which one is waited for.
#[derive(Debug)]
pub(crate) struct Ticks {
    /// The instant of the last tick that was counted.
    counted: Instant,
    /// Ticks after it that bring nothing: the one behind them is waited for.
    idle: u32,
}

impl Ticks {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { counted: now, idle: 0 }
    }
}

impl Consensus {
    /// When the tick that is waited for is due.
    pub(crate) fn tick_due(&self) -> Instant {
        self.ticks.counted + self.tick * (self.ticks.idle + 1)
    }

    /// Counts the ticks that were slept through, before anything is concluded from the count.
    ///
    /// A follower that was stopped beyond the tick it waited for counts none of them: it must not conclude
    /// anything from its own silence. A leader concludes nothing from those.
    pub(crate) fn count_idle_ticks(&mut self, now: Instant) {
        let nanos = self.tick.as_nanos().max(1);
        let passed = now.since(self.ticks.counted).as_nanos() / nanos;
        let idle = self.ticks.idle;
        let count = u32::try_from(passed).unwrap_or(u32::MAX).min(idle);
        let stopped = passed > u128::from(idle) + 1;
        if stopped && self.raw.raft.state != StateRole::Leader {
            self.ticks = Ticks::new(now.before(self.tick));
            return;
        }
        for _ in 0..count {
            self.count_tick(now);
        }
        self.ticks.counted += self.tick * count;
        self.ticks.idle -= count;
    }

    /// At most one tick a step that may bring something, however late.
    pub(crate) fn on_tick(&mut self, now: Instant) {
        if now >= self.tick_due() {
            self.ticks = Ticks::new(now);
            self.count_tick(now);
        }
    }

    /// Looks ahead, once all that an input brought is done.
    pub(crate) fn plan_ticks(&mut self) {
        self.ticks.idle = u32::try_from(self.idle_ticks()).unwrap_or(0);
    }

    fn count_tick(&mut self, now: Instant) {
        let raft = &mut self.raw.raft;
        // What is not durable cannot be voted on, and the crate relies on it.
        if raft.state != StateRole::Leader && !self.held.is_empty() {
            return;
        }
        if self.bears_leader(now) {
            return;
        }
        self.bear_followers(now);
        let raft = &mut self.raw.raft;
        // The crate draws its own timeout from the process; it is overridden before it is read.
        raft.set_randomized_election_timeout(self.jitter);
        let before = raft.election_elapsed;
        self.force = Force::No;
        self.raw.tick();
        if self.raw.raft.election_elapsed <= before {
            self.jitter = draw_jitter(&mut self.rng, self.raw.raft.election_timeout());
        }
    }

    /// How many of the next ticks only count.
    fn idle_ticks(&self) -> usize {
        let raft = &self.raw.raft;
        if !self.held.is_empty() || self.forcing.is_some() {
            return 0;
        }
        // From one tick before a time-out on, patience is judged tick by tick.
        let until_timeout = raft.election_timeout().saturating_sub(raft.election_elapsed + 1);
        match raft.state {
            StateRole::Leader if self.waits_for_time() => 0,
            StateRole::Leader => {
                let until_beat = raft.heartbeat_timeout().saturating_sub(raft.heartbeat_elapsed());
                until_timeout.min(until_beat.saturating_sub(1))
            }
            StateRole::Follower if raft.leader_id != INVALID_ID => until_timeout.saturating_sub(1),
            StateRole::Follower | StateRole::Candidate | StateRole::PreCandidate => 0,
        }
    }

    /// Whether something of a leader goes on when time has passed, and nothing else tells of it.
    fn waits_for_time(&self) -> bool {
        let raft = &self.raw.raft;
        raft.lead_transferee.is_some()
            || raft.has_pending_conf()
            || self.members.is_changing(&self.applied_configuration.1)
            || self.resend.retries_snapshots()
    }
}
