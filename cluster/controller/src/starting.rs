//! How a controller begins: from what the store held, and from what the process before handed over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use haven_base::Instant;
use haven_consensus::{Consensus, Recovered, StartError};
use haven_executor::Executor;
use haven_heartbeat::View;
use haven_types::operation::Lease;
use haven_types::{LogPosition, Term};

use crate::alarms::Alarms;
use crate::attributes::Dampener;
use crate::claims::Claims;
use crate::command::Member;
use crate::confirm::Reappeared;
use crate::contacts::Contacts;
use crate::controller::{Config, Controller};
use crate::expelled::TurnedAway;
use crate::history::NodeHistory;
use crate::minority::Minority;
use crate::orders::Taken;
use crate::planning::Planner;
use crate::quorum::Quorum;
use crate::replicated::Replicated;

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
            reappeared: Reappeared::default(),
            quorum: Quorum::new(seen),
            claims: Claims::default(),
            contacts: Contacts::default(),
            minority: Minority::default(),
            turned_away: TurnedAway::default(),
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
            own_leave: None,
            foreign: BTreeMap::new(),
            next_forward: 1,
            alarms: Alarms::default(),
            events: 0,
            alerted: 0,
            inbox: VecDeque::new(),
            ended: Vec::new(),
            afterwards: Vec::new(),
            whole_wanted: BTreeSet::new(),
            whole_told: BTreeMap::new(),
            ordered: BTreeMap::new(),
            out: Vec::new(),
            planner: Planner::default(),
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
            controller.heartbeat(haven_heartbeat::Input::Granted { group, epoch });
        }
        // What runs here goes on asking for its lease, also where it had lapsed when the process before
        // ended: a lease that is held still is none the wiser for it.
        for Lease { group, epoch } in controller.executor.leases() {
            controller.heartbeat(haven_heartbeat::Input::Claim { group, epoch });
        }
        Ok(controller)
    }

    /// What a planned restart hands to the next process. Nothing may be under way.
    #[must_use]
    pub fn hand_over(&self) -> HandOver {
        let history = self.histories.get(&self.config.node).cloned().unwrap_or_default();
        let quorum = self.quorum.history.clone();
        HandOver { executor: self.executor.clone(), history, quorum }
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
