//! Patience with members that are busy: their detector's thread beats, their main task is silent.
//!
//! Who leads is a matter of liveness only: terms, votes and the log keep the promises of the group
//! whoever waits how long. See docs/adr/0024.

use raft::{INVALID_ID, StateRole};

use crate::convert::node_id;
use crate::machine::Consensus;

/// Elections' time-outs for which a silent member whose beats are heard is borne beyond the first.
const BORNE_TIMEOUTS: usize = 5;

impl Consensus {
    /// Whether this tick of a follower does not count: the leader is silent, but this node's own
    /// detector hears it. It is not for ever that the clock stands still.
    pub(crate) fn bears_leader(&mut self) -> bool {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Follower || raft.leader_id == INVALID_ID {
            self.borne = 0;
            return false;
        }
        let timeout = raft.election_timeout();
        // One tick before the end of the time in which this node denies others its vote as well.
        if raft.election_elapsed + 1 < timeout {
            self.borne = 0;
            return false;
        }
        let heard = node_id(raft.leader_id).is_some_and(|it| self.opinions.get(&it) == Some(&true));
        if raft.election_elapsed + 1 > timeout || !heard || self.borne >= timeout * BORNE_TIMEOUTS {
            return false;
        }
        self.borne += 1;
        true
    }

    /// Counts followers that are silent, but heard by this node's own detector, as active where the
    /// leader is about to ask whether a majority still is: it does not step down because others are
    /// as busy as itself.
    pub(crate) fn bear_followers(&mut self) {
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
            self.borne = 0;
            return;
        }
        if self.borne >= BORNE_TIMEOUTS {
            return;
        }
        self.borne += 1;
        for id in silent {
            if let Some(progress) = raft.mut_prs().get_mut(id) {
                progress.recent_active = true;
            }
        }
    }
}
