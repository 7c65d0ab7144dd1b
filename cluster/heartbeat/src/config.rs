//! What the machine is told once, at its start.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_lease::{Configuration, PromiseTable, Terms};
use haven_types::{BootId, Epoch, GroupId, LinkId, LogPosition, NodeId};
use serde::{Deserialize, Serialize};

use crate::Input;

/// What a member may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Votes and runs resources.
    Full,
    /// Votes and answers beats, runs nothing, never leads.
    Witness,
    /// Runs resources, does not vote.
    Executor,
}

/// A member of the cluster other than by its vote: votes come from [`Configuration`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// What it may do.
    pub role: Role,
    /// The links it is reached by.
    pub links: BTreeSet<LinkId>,
}

/// A lease group whose gate the kernel still holds open for this node, found there at start (L9).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// The lease group.
    pub group: GroupId,
    /// The grant under which the gate was opened.
    pub epoch: Epoch,
    /// The gate's absolute deadline on the boot-time clock.
    pub deadline: Instant,
}

/// What is known about promises an earlier process of this voter may have given (L4).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Start {
    /// Nothing is known: the voter promises nothing for `D_max`·(1+ρ) + 2 ticks. Always safe.
    #[default]
    Unknown,
    /// This is the first process this voter id ever had: there is no earlier promise to forget, so
    /// it may promise at once. True only when the identity was created by `init` or `join` and no
    /// process of it ran before (boot id is the first one ever issued). A voter whose store was set
    /// aside as corrupt comes back under a new id and therefore may use it too.
    First,
    /// The earlier process ended by [`crate::Heartbeat::hand_over`], which consumed its machine, so
    /// that the table is complete: nothing was promised after it. Safe only on the same kernel boot
    /// (the instants are of its clock) and only once: the shell deletes the stored table before the
    /// new process sends its first frame, and uses [`Start::Unknown`] when it finds none.
    HandedOver(PromiseTable),
}

/// All that a [`crate::Heartbeat`] needs to know before its first input.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// This process's boot id, greater than that of any earlier process of this node.
    pub boot: BootId,
    /// What this node may do.
    pub role: Role,
    /// The other members; kept current by [`crate::Input::Members`].
    pub members: BTreeMap<NodeId, Member>,
    /// This node's links, 1 to 8.
    pub links: BTreeSet<LinkId>,
    /// ρ, the measured tick, `D_max` and the rules in force.
    pub terms: Terms,
    /// The shortest D: 60 ms, or 250 ms where realtime scheduling is refused. Longer among more than eight
    /// members.
    pub floor: Duration,
    /// The longest D adaptation reaches by itself, at most `terms.d_max`.
    pub ceiling: Duration,
    /// What is known about an earlier process's promises.
    pub start: Start,
    /// Gates the kernel still holds open for this node. The earlier process is dead.
    pub held: Vec<Held>,
    /// The voter configurations the log holds at start, oldest first.
    pub configurations: Vec<Configuration>,
    /// The last entry known to be committed and applied at start.
    pub applied: LogPosition,
    /// The last entry of the local log at start.
    pub log: LogPosition,
    /// The highest epoch per group that the log holds at start.
    pub epochs: BTreeMap<GroupId, Epoch>,
    /// Seed of the machine's generator: spreads the beats of several nodes over time.
    pub seed: u64,
}

impl Config {
    /// A configuration with the default terms: one link (number 0), the floor of a realtime thread,
    /// nothing known about an earlier process.
    #[must_use]
    pub fn new(node: NodeId, boot: BootId) -> Self {
        Self {
            node,
            boot,
            role: Role::Full,
            members: BTreeMap::new(),
            links: BTreeSet::from([LinkId(0)]),
            terms: Terms::default(),
            floor: Duration::from_millis(60),
            ceiling: Duration::from_secs(5),
            start: Start::Unknown,
            held: Vec::new(),
            configurations: Vec::new(),
            applied: LogPosition::default(),
            log: LogPosition::default(),
            epochs: BTreeMap::new(),
            seed: 0,
        }
    }

    /// Takes in what the log at hand tells before the first frame, and gives back what is not about it.
    /// A node that has voted all along must be known as a voter from the start: one that learns it
    /// as an input waits as if it had just become one (L4).
    #[must_use]
    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest is not about the log")]
    pub fn learn(&mut self, input: Input) -> Option<Input> {
        match input {
            Input::Members(members) => self.members = members,
            Input::Configurations(configurations) => self.configurations = configurations,
            Input::ConfigurationApplied(position) => self.applied = self.applied.max(position),
            Input::Log(position) => self.log = position,
            Input::Epoch { group, epoch } => {
                let known = self.epochs.entry(group).or_default();
                *known = epoch.max(*known);
            }
            other => return Some(other),
        }
        None
    }
}
