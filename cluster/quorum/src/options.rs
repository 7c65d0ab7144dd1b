//! The options and what they must not say together.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_types::NodeId;
use serde::{Deserialize, Serialize};

/// The most votes one node can have.
const MAX_VOTES: u32 = 255;

/// What a member is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Votes and runs resources.
    #[default]
    Full,
    /// `witness = true`: votes and answers beats, runs nothing.
    Witness,
}

/// One member as quorum sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its votes, 0 to 255; 0 for a member that only stores.
    pub votes: u32,
    /// What it is for.
    pub kind: Kind,
}

impl Member {
    /// A full member with one vote.
    pub const FULL: Self = Self { votes: 1, kind: Kind::Full };
    /// A witness with one vote.
    pub const WITNESS: Self = Self { votes: 1, kind: Kind::Witness };
}

/// `auto_tie_breaker_node`: who decides an even split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TieBreakerNode {
    /// The side of the member with the lowest number.
    #[default]
    Lowest,
    /// The side of the member with the highest number.
    Highest,
    /// The side of the first of these that still counts.
    List(Vec<NodeId>),
}

/// `auto_tie_breaker`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TieBreaker {
    /// Whether an even split has a winner.
    pub enabled: bool,
    /// Which side wins.
    pub node: TieBreakerNode,
}

/// votequorum's options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// `expected_votes`; default: the sum of the members' votes.
    pub expected_votes: Option<u32>,
    /// `two_node`: one vote of two is enough. Implies `wait_for_all` unless that is set to no.
    pub two_node: bool,
    /// `wait_for_all`: quorate for the first time only once all were seen together.
    pub wait_for_all: Option<bool>,
    /// `last_man_standing`: expected votes follow the members left, after the window.
    pub last_man_standing: bool,
    /// `last_man_standing_window`; default 10 s.
    pub last_man_standing_window: Duration,
    /// `auto_tie_breaker`.
    pub auto_tie_breaker: TieBreaker,
    /// `expected_votes_tracking`: the highest number of votes seen persists.
    pub expected_votes_tracking: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            expected_votes: None,
            two_node: false,
            wait_for_all: None,
            last_man_standing: false,
            last_man_standing_window: Duration::from_secs(10),
            auto_tie_breaker: TieBreaker::default(),
            expected_votes_tracking: false,
        }
    }
}

/// Something the options say that cannot be, with what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Nobody votes.
    #[error("no member has a vote: give at least one node votes of 1")]
    NoVotes,
    /// More than a node can have.
    #[error("node {node} has {votes} votes, 255 is the most: lower them")]
    TooManyVotes {
        /// Which.
        node: NodeId,
        /// Its votes.
        votes: u32,
    },
    /// Expected votes of 0.
    #[error("expected_votes is 0: leave it out, or set it to the votes of all members together")]
    NothingExpected,
    /// Two-node mode with other than two votes.
    #[error(
        "two_node needs exactly two members of one vote each, found {members} with {votes} votes: \
         remove two_node"
    )]
    TwoNodeVotes {
        /// Voting members.
        members: usize,
        /// Their votes.
        votes: u32,
    },
    /// Two-node mode without a way to be sure of the other.
    #[error(
        "two_node lets both halves of a split run: configure fencing that works, or remove \
         two_node and add a witness (`haven cluster join ADDR TOKEN --witness`)"
    )]
    TwoNodeWithoutFencing,
    /// Two-node mode decides splits by fencing.
    #[error("two_node and auto_tie_breaker contradict each other: remove one")]
    TwoNodeAndTieBreaker,
    /// Shrinking from an unknown whole.
    #[error("last_man_standing needs wait_for_all: set wait_for_all to yes")]
    LastManStandingWithoutWaitForAll,
    /// Shrinking by halves needs equal weights.
    #[error("last_man_standing needs equal votes: node {node} has {votes}, others {others}")]
    LastManStandingUnequal {
        /// Which.
        node: NodeId,
        /// Its votes.
        votes: u32,
        /// The others'.
        others: u32,
    },
    /// Where lowering the expected votes forgets the witness.
    #[error("last_man_standing does not go with a witness: remove one of them")]
    LastManStandingAndWitness,
    /// The witness decides an even split.
    #[error("auto_tie_breaker does not go with a witness, which decides already: remove one")]
    TieBreakerAndWitness,
    /// An unknown node in the list.
    #[error("auto_tie_breaker_node names node {0}, which is no member: remove it")]
    UnknownTieBreaker(NodeId),
    /// An empty list.
    #[error("auto_tie_breaker_node is an empty list: say lowest, highest, or name members")]
    NoTieBreaker,
}

/// Why this membership cannot carry leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseRefusal {
    /// The loss of either node ends every lease (rule L8).
    #[error(
        "two nodes without a witness cannot keep an address through the loss of one: add a \
         witness on any third machine (`haven cluster token` here, and there the command it prints, with \
         --witness), or a third full node; or accept two owners with meta lease=off"
    )]
    TwoWithoutWitness,
}

/// Options and members that go together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    pub(crate) options: Options,
    pub(crate) members: BTreeMap<NodeId, Member>,
}

impl Rules {
    /// Checks options and members together; `fencing`: a fencing device is configured and tested.
    ///
    /// # Errors
    /// Everything wrong at once.
    pub fn check(
        options: Options,
        members: BTreeMap<NodeId, Member>,
        fencing: bool,
    ) -> Result<Self, Vec<OptionsError>> {
        let it = Self { options, members };
        let mut errors = Vec::new();
        it.check_votes(&mut errors);
        it.check_two_node(fencing, &mut errors);
        it.check_last_man_standing(&mut errors);
        it.check_tie_breaker(&mut errors);
        if errors.is_empty() { Ok(it) } else { Err(errors) }
    }

    /// Rules that nobody checked, for a cluster that must go on although its options do not fit
    /// together: options that let fewer go on than a majority are left out, and a membership without
    /// any vote is never quorate.
    #[must_use]
    pub fn of_any(options: Options, members: BTreeMap<NodeId, Member>) -> Self {
        let Options { expected_votes, wait_for_all, .. } = options;
        let options = Options { expected_votes, wait_for_all, ..Options::default() };
        Self { options, members }
    }

    /// The options.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The members, by number.
    pub fn members(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.keys().copied()
    }

    /// A member's votes; 0 for a node that is none.
    #[must_use]
    pub fn votes(&self, node: NodeId) -> u32 {
        self.members.get(&node).map_or(0, |member| member.votes)
    }

    fn check_votes(&self, errors: &mut Vec<OptionsError>) {
        if self.total() == 0 {
            errors.push(OptionsError::NoVotes);
        }
        for (node, member) in &self.members {
            if member.votes > MAX_VOTES {
                errors.push(OptionsError::TooManyVotes { node: *node, votes: member.votes });
            }
        }
        if self.options.expected_votes == Some(0) {
            errors.push(OptionsError::NothingExpected);
        }
    }

    fn check_two_node(&self, fencing: bool, errors: &mut Vec<OptionsError>) {
        // With a third node the option switches itself off, as votequorum's does.
        let voting = self.members.values().filter(|it| it.votes > 0).count();
        if !self.options.two_node || voting > 2 {
            return;
        }
        if voting != 2 || self.total() != 2 {
            errors.push(OptionsError::TwoNodeVotes { members: voting, votes: self.total() });
        }
        if !fencing {
            errors.push(OptionsError::TwoNodeWithoutFencing);
        }
        if self.options.auto_tie_breaker.enabled {
            errors.push(OptionsError::TwoNodeAndTieBreaker);
        }
    }

    fn check_last_man_standing(&self, errors: &mut Vec<OptionsError>) {
        if !self.options.last_man_standing {
            return;
        }
        if !self.wait_for_all() {
            errors.push(OptionsError::LastManStandingWithoutWaitForAll);
        }
        let mut voting = self.members.iter().filter(|(_, it)| it.votes > 0);
        let others = voting.next().map_or(0, |(_, it)| it.votes);
        if let Some((node, it)) = voting.find(|(_, it)| it.votes != others) {
            let (node, votes) = (*node, it.votes);
            errors.push(OptionsError::LastManStandingUnequal { node, votes, others });
        }
        if self.has_witness() {
            errors.push(OptionsError::LastManStandingAndWitness);
        }
    }

    fn check_tie_breaker(&self, errors: &mut Vec<OptionsError>) {
        if !self.options.auto_tie_breaker.enabled {
            return;
        }
        if self.has_witness() {
            errors.push(OptionsError::TieBreakerAndWitness);
        }
        if let TieBreakerNode::List(list) = &self.options.auto_tie_breaker.node {
            if list.is_empty() {
                errors.push(OptionsError::NoTieBreaker);
            }
            for node in list.iter().filter(|it| !self.members.contains_key(it)) {
                errors.push(OptionsError::UnknownTieBreaker(*node));
            }
        }
    }

    /// The votes of all members together.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.members.values().map(|it| it.votes).sum()
    }

    /// Whether a member is a witness with a vote.
    #[must_use]
    pub fn has_witness(&self) -> bool {
        self.members.values().any(|it| it.kind == Kind::Witness && it.votes > 0)
    }

    /// Whether `two_node` applies: it switches itself off with other than two votes.
    #[must_use]
    pub fn two_node(&self) -> bool {
        let voting = self.members.values().filter(|it| it.votes > 0).count();
        self.options.two_node && voting == 2 && self.total() == 2
    }

    /// Whether `wait_for_all` applies, by itself or through `two_node`.
    #[must_use]
    pub fn wait_for_all(&self) -> bool {
        self.options.wait_for_all.unwrap_or_else(|| self.two_node())
    }

    /// How many voters must answer a lease's claim. Every voter counts one, whatever its votes,
    /// because two majorities must always share a voter.
    ///
    /// # Errors
    /// [`LeaseRefusal`] where the loss of any one voter would end every lease although two nodes
    /// could run the resource (rule L8).
    pub fn lease_majority(&self) -> Result<usize, LeaseRefusal> {
        let voters = self.members.len();
        let full = self.members.values().filter(|it| it.kind == Kind::Full).count();
        if full == 2 && voters == 2 {
            return Err(LeaseRefusal::TwoWithoutWitness);
        }
        Ok(voters / 2 + 1)
    }
}
