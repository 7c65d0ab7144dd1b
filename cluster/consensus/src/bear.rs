//! Patience with members that are busy: their detector's thread beats, their main task is silent.
//!
//! Who leads is a matter of liveness only: terms, votes and the log keep the promises of the group
//! whoever waits how long. See docs/adr/0024.

use std::time::Duration;

use haven_base::Instant;
use haven_types::{NodeId, Term};
use raft::{INVALID_ID, StateRole};

use crate::convert::node_id;
use crate::machine::Consensus;

/// How long a silent member whose beats are heard is borne beyond the first time-out. In a slow network time-outs
/// are many seconds long; so this is a time, not a number of them.
const BORNE_FOR: Duration = Duration::from_secs(5);

impl Consensus {
    /// Whether this tick of a follower does not count: the leader is silent, but this node's own
    /// detector hears it. It is not for ever that the clock stands still.
    pub(crate) fn bears_leader(&mut self, now: Instant) -> bool {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Follower || raft.leader_id == INVALID_ID {
            self.borne = None;
            return false;
        }
        let timeout = raft.election_timeout();
        // One tick before the end of the time in which this node denies others its vote as well.
        if raft.election_elapsed + 1 < timeout {
            self.borne = None;
            return false;
        }
        let heard = node_id(raft.leader_id).is_some_and(|it| self.opinions.get(&it) == Some(&true));
        raft.election_elapsed < timeout && heard && self.bears_still(now)
    }

    /// Counts followers that are silent, but heard by this node's own detector, as active where the
    /// leader is about to ask whether a majority still is: it does not step down because others are
    /// as busy as itself.
    pub(crate) fn bear_followers(&mut self, now: Instant) {
        let raft = &mut self.raw.raft;
        if raft.state != StateRole::Leader || raft.election_elapsed + 1 < raft.election_timeout() {
            return;
        }
        let own = raft.id;
        let silent: Vec<u64> = raft
            .prs()
            .iter()
            .filter(|(id, progress)| **id != own && !progress.recent_active)
            .filter(|(id, _)| node_id(**id).is_some_and(|it| self.opinions.get(&it) == Some(&true)))
            .map(|(id, _)| *id)
            .collect();
        if silent.is_empty() {
            self.borne = None;
            return;
        }
        if !self.bears_still(now) {
            return;
        }
        let raft = &mut self.raw.raft;
        for id in silent {
            if let Some(progress) = raft.mut_prs().get_mut(id) {
                progress.recent_active = true;
            }
        }
    }

    fn bears_still(&mut self, now: Instant) -> bool {
        now - *self.borne.get_or_insert(now) < BORNE_FOR
    }

    /// `from` asks for a vote in `term`. A leader that does so itself, or that the own detector holds dead, leads no
    /// more, and has no lease on this node's patience.
    pub(crate) fn notice_end_of_leader(&mut self, from: NodeId, term: Term) {
        let raft = &mut self.raw.raft;
        let Some(leader) = node_id(raft.leader_id) else { return };
        let gave_up = leader == from && term.0 > raft.term;
        if gave_up || self.opinions.get(&leader) == Some(&false) {
            raft.leader_id = INVALID_ID;
        }
    }
}
