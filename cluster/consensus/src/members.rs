//! Changes of the membership, one safe step after another.
//!
//! ```text
//!  new voter ─▶ learner ─▶ caught up ─▶ one voter more or less ─▶ spacing ─▶ next change
//!                                   └─▶ several: joint ─▶ spacing ─▶ final ─▶ spacing ─▶ next
//! ```
//!
//! Spacing (rule L5) is `Config::change_spacing`, counted from seeing the change before committed
//! and applied; a new leader, who cannot know when that was, starts it again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_types::NodeId;
use raft::StateRole;

use crate::configuration::Configuration;
use crate::convert::{self, node_id, raft_id};
use crate::interface::{MembersReason, Output};
use crate::machine::Consensus;

/// The membership asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
}

/// Where a change of members stands.
#[derive(Debug, Default)]
pub(crate) struct Members {
    target: Option<Target>,
    /// When a change of voters was last seen committed, or this leader became ready.
    seen: Option<Instant>,
    /// Since when each newcomer that is not heard has been waited for.
    absent: BTreeMap<NodeId, Instant>,
    /// When this leader was last seen trying to hand over.
    tried: Option<Instant>,
}

impl Members {
    pub(crate) fn is_changing(&self, current: &Configuration) -> bool {
        self.target.is_some() || current.is_joint()
    }

    /// `founding`: the configuration was never changed, so there is nothing to keep a distance from.
    pub(crate) const fn on_leader_ready(&mut self, now: Instant, founding: bool) {
        self.seen = if founding { None } else { Some(now) };
        self.tried = None;
    }

    pub(crate) const fn on_voters_changed(&mut self, now: Instant) {
        self.seen = Some(now);
    }

    /// Of the newcomers that are not there, those that were waited for as long as two changes are apart: whoever has
    /// joined and was never started must not keep the others from joining or leaving.
    fn given_up(
        &mut self,
        now: Instant,
        absent: BTreeSet<NodeId>,
        patience: Duration,
    ) -> BTreeSet<NodeId> {
        self.absent.retain(|node, _| absent.contains(node));
        for node in absent {
            self.absent.entry(node).or_insert(now);
        }
        self.absent.iter().filter(|(_, at)| now >= **at + patience).map(|(node, _)| *node).collect()
    }

    fn spaced(&self, now: Instant, spacing: Duration) -> bool {
        self.seen.is_none_or(|it| now >= it + spacing)
    }
}

/// The next step towards a target.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Nothing can be done yet.
    Wait,
    /// The target is in force.
    Reached,
    /// This configuration comes next.
    Propose(Configuration),
    /// One of these must lead first.
    HandOver(BTreeSet<NodeId>),
}

/// What the leader knows that decides the next step.
struct Situation<'a> {
    me: NodeId,
    current: &'a Configuration,
    /// Enough time since the last change of voters.
    spaced: bool,
    /// Learners whose log is complete enough to vote.
    caught_up: &'a BTreeSet<NodeId>,
    /// Newcomers that are not there and not waited for any more.
    given_up: &'a BTreeSet<NodeId>,
    /// Voters whose present life has begun so lately that they may promise nothing yet.
    young: &'a BTreeSet<NodeId>,
}

impl Situation<'_> {
    /// Whether leases would end for want of voters who may promise, and would not a little later: a new
    /// voter is silent at first (L4), so those who stay must make a majority of the new voters without
    /// it, and those of them that were started lately are silent, too.
    fn is_too_early(&self, voters: &BTreeSet<NodeId>) -> bool {
        let stay = voters.intersection(&self.current.voters);
        let majority = |count: usize| count > voters.len() / 2;
        let grown = stay.clone().filter(|node| !self.young.contains(node)).count();
        !majority(grown) && majority(stay.count())
    }
}

fn next(it: &Situation<'_>, target: Option<&Target>) -> Next {
    let current = it.current;
    if current.is_joint() {
        return match (it.spaced, current.voters.contains(&it.me)) {
            (false, _) => Next::Wait,
            (true, true) => Next::Propose(current.left()),
            (true, false) => Next::HandOver(current.voters.clone()),
        };
    }
    let Some(target) = target else { return Next::Wait };
    if current.voters == target.voters && current.learners == target.learners {
        return Next::Reached;
    }
    let mut voters = target.voters.clone();
    if !voters.contains(&it.me) {
        let able: BTreeSet<NodeId> = voters.intersection(&current.voters).copied().collect();
        if !able.is_empty() {
            return Next::HandOver(able);
        }
        voters.insert(it.me); // Until one of the new voters can take over.
    }
    if let Some(learners) = next_learners(current, &voters, &target.learners) {
        return Next::Propose(Configuration { learners, ..current.clone() });
    }
    voters.retain(|node| current.voters.contains(node) || !it.given_up.contains(node));
    let newcomers = voters.difference(&current.voters);
    if !it.spaced || !newcomers.clone().all(|node| it.caught_up.contains(node)) {
        return Next::Wait;
    }
    if voters == current.voters || it.is_too_early(&voters) {
        return Next::Wait;
    }
    Next::Propose(next_voters(current, &voters, &target.learners))
}

/// One learner more or less, where that is what comes first: newcomers join as learners, and
/// learners nobody wants go.
fn next_learners(
    current: &Configuration,
    voters: &BTreeSet<NodeId>,
    wanted: &BTreeSet<NodeId>,
) -> Option<BTreeSet<NodeId>> {
    let members = current.members();
    let mut learners = current.learners.clone();
    if let Some(new) = voters.union(wanted).find(|node| !members.contains(node)) {
        learners.insert(*new);
        return Some(learners);
    }
    let gone = *learners.iter().find(|node| !voters.contains(node) && !wanted.contains(node))?;
    learners.remove(&gone);
    Some(learners)
}

/// One voter more or less goes in a single step; anything else through a joint configuration.
fn next_voters(
    current: &Configuration,
    voters: &BTreeSet<NodeId>,
    wanted: &BTreeSet<NodeId>,
) -> Configuration {
    let demoted = |node: &&NodeId| wanted.contains(node) && !voters.contains(node);
    let mut result = Configuration {
        voters: voters.clone(),
        learners: current.learners.difference(voters).copied().collect(),
        ..Configuration::default()
    };
    let former: BTreeSet<NodeId> =
        current.voters.difference(voters).filter(demoted).copied().collect();
    if current.voters.symmetric_difference(voters).count() == 1 {
        result.learners.extend(former);
    } else {
        result.outgoing = current.voters.clone();
        result.learners_next = former;
    }
    result
}

impl Consensus {
    pub(crate) fn on_change_members(
        &mut self,
        voters: BTreeSet<NodeId>,
        learners: BTreeSet<NodeId>,
        out: &mut Vec<Output>,
    ) {
        let raft = &self.raw.raft;
        let asked = Configuration {
            voters: voters.clone(),
            learners: learners.clone(),
            ..Configuration::default()
        };
        if raft.state != StateRole::Leader {
            let leader = node_id(raft.leader_id);
            out.push(Output::MembersDropped { why: MembersReason::NotLeader { leader } });
        } else if asked.check().is_err() {
            out.push(Output::MembersDropped { why: MembersReason::Contradictory });
        } else {
            self.members.target = Some(Target { voters, learners });
        }
    }

    /// Takes the next step of a change of members if there is one; whether it did.
    pub(crate) fn advance_members(&mut self, now: Instant, out: &mut Vec<Output>) -> bool {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            if self.members.target.take().is_some() {
                let leader = node_id(raft.leader_id);
                out.push(Output::MembersDropped { why: MembersReason::NotLeader { leader } });
            }
            return false;
        }
        if raft.lead_transferee.is_some() {
            self.members.tried = Some(now);
        }
        let busy = self.ready_told.0 != raft.term
            || raft.has_pending_conf()
            || raft.lead_transferee.is_some();
        if busy || !self.members.is_changing(&self.applied_configuration.1) {
            return false;
        }
        let caught_up = self.caught_up();
        let young = self.young(now);
        let absent = self.absent_newcomers(&caught_up);
        let given_up = self.members.given_up(now, absent, self.config.change_spacing);
        let situation = Situation {
            me: self.config.id,
            current: &self.applied_configuration.1,
            spaced: self.members.spaced(now, self.config.change_spacing),
            caught_up: &caught_up,
            given_up: &given_up,
            young: &young,
        };
        match next(&situation, self.members.target.as_ref()) {
            Next::Wait => false,
            Next::Reached => {
                self.members.target = None;
                let configuration = self.applied_configuration.1.clone();
                out.push(Output::MembersReached { configuration });
                false
            }
            Next::Propose(configuration) => self.propose_configuration(&configuration),
            Next::HandOver(to) => self.hand_over(now, &to),
        }
    }

    fn propose_configuration(&mut self, configuration: &Configuration) -> bool {
        debug_assert_eq!(configuration.check(), Ok(()), "only sound configurations are proposed");
        let change = convert::change_between(&self.applied_configuration.1, configuration);
        let context = convert::configuration_bytes(configuration);
        // Refused only where too much waits for commitment; the next step tries again.
        self.raw.propose_conf_change(context, change).is_ok()
    }

    /// Nothing can be proposed while leadership changes hands: after a try that failed there is a pause, in which what
    /// waits is proposed.
    fn hand_over(&mut self, now: Instant, to: &BTreeSet<NodeId>) -> bool {
        let spacing = self.config.change_spacing;
        if self.members.tried.is_some_and(|at| now < at + spacing) {
            return false;
        }
        let Some(to) = self.best_successor(to) else { return false };
        self.members.tried = Some(now);
        self.raw.transfer_leader(raft_id(to));
        true
    }

    /// Nodes that were started lately. Where the configuration was never changed, all were.
    fn young(&self, now: Instant) -> BTreeSet<NodeId> {
        if self.members.seen.is_none() {
            return BTreeSet::new();
        }
        let lately = |at: &Instant| now < *at + self.config.change_spacing;
        let started = self.started.iter().filter(|(_, at)| lately(at));
        started.map(|(node, _)| *node).collect()
    }

    /// Voters to be that nobody hears and that have not caught up.
    fn absent_newcomers(&self, caught_up: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        let wanted = self.members.target.iter().flat_map(|target| &target.voters);
        let current = &self.applied_configuration.1.voters;
        let heard = |node: &NodeId| self.opinions.get(node).is_some_and(|alive| *alive);
        wanted
            .copied()
            .filter(|node| !current.contains(node) && !caught_up.contains(node) && !heard(node))
            .collect()
    }

    /// Learners that hold everything committed and answered lately.
    fn caught_up(&self) -> BTreeSet<NodeId> {
        let raft = &self.raw.raft;
        self.applied_configuration
            .1
            .learners
            .iter()
            .copied()
            .filter(|it| {
                raft.prs().get(raft_id(*it)).is_some_and(|progress| {
                    progress.recent_active && progress.matched >= raft.raft_log.committed
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u16]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn target(voters: &[u16], learners: &[u16]) -> Target {
        Target { voters: nodes(voters), learners: nodes(learners) }
    }

    fn configuration(voters: &[u16], outgoing: &[u16], learners: &[u16]) -> Configuration {
        Configuration {
            voters: nodes(voters),
            outgoing: nodes(outgoing),
            learners: nodes(learners),
            learners_next: BTreeSet::new(),
        }
    }

    fn step(current: &Configuration, to: &Target, spaced: bool, caught_up: &[u16]) -> Next {
        let caught_up = nodes(caught_up);
        step_without(current, to, spaced, &caught_up, &BTreeSet::new())
    }

    fn step_without(
        current: &Configuration,
        to: &Target,
        spaced: bool,
        caught_up: &BTreeSet<NodeId>,
        given_up: &BTreeSet<NodeId>,
    ) -> Next {
        let (me, young) = (NodeId(1), &BTreeSet::new());
        next(&Situation { me, current, spaced, caught_up, given_up, young }, Some(to))
    }

    #[test]
    fn who_joined_and_was_never_started_keeps_nobody_from_joining_or_leaving() {
        let (three, four) = (nodes(&[3]), nodes(&[4]));
        let learning = configuration(&[1], &[], &[2, 3]);
        let to = target(&[1, 2, 3], &[]);
        let caught_up = nodes(&[2]);
        let wait = step_without(&learning, &to, true, &caught_up, &BTreeSet::new());
        assert_eq!(wait, Next::Wait, "it is waited for at first");
        let without = configuration(&[1, 2], &[], &[3]);
        let step = step_without(&learning, &to, true, &caught_up, &three);
        assert_eq!(step, Next::Propose(without.clone()));
        // It is no voter until it has caught up, and nothing else is to be done.
        assert_eq!(step_without(&without, &to, true, &BTreeSet::new(), &three), Next::Wait);
        // A voter loses its vote although another's successor is not there.
        let before = configuration(&[1, 2, 3], &[], &[4]);
        let to = target(&[1, 2, 4], &[3]);
        let step = step_without(&before, &to, true, &BTreeSet::new(), &four);
        assert_eq!(step, Next::Propose(configuration(&[1, 2], &[], &[3, 4])));
    }

    #[test]
    fn a_newcomer_that_is_not_there_is_waited_for_as_long_as_two_changes_are_apart() {
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let patience = Duration::from_millis(100);
        let mut members = Members::default();
        let mut given_up = |now, absent: &[u16]| members.given_up(at(now), nodes(absent), patience);
        assert_eq!(given_up(0, &[2]), nodes(&[]));
        assert_eq!(given_up(50, &[2, 3]), nodes(&[]));
        assert_eq!(given_up(100, &[2, 3]), nodes(&[2]));
        assert_eq!(given_up(120, &[3]), nodes(&[]), "the other has come");
        assert_eq!(given_up(130, &[2, 3]), nodes(&[]), "and is waited for anew");
        assert_eq!(given_up(150, &[2, 3]), nodes(&[3]));
    }

    // spec: L4
    #[test]
    fn voters_that_were_started_lately_are_waited_for_where_leases_need_them() {
        let early = |young: &[u16], voters: &[u16]| {
            let learners = if voters.contains(&4) { &[4][..] } else { &[] };
            let current = configuration(&[1, 2, 3], &[], learners);
            let (young, caught_up) = (nodes(young), nodes(&[4]));
            let (me, spaced) = (NodeId(1), true);
            let (caught_up, young) = (&caught_up, &young);
            let given_up = &BTreeSet::new();
            let it = Situation { me, current: &current, spaced, caught_up, given_up, young };
            next(&it, Some(&target(voters, &[]))) == Next::Wait
        };
        // Of four, three must promise, and the fourth is silent at first.
        assert!(early(&[3], &[1, 2, 3, 4]));
        assert!(!early(&[4], &[1, 2, 3, 4]));
        // Without the third, two of three do.
        assert!(early(&[2], &[1, 2]) && !early(&[3], &[1, 2]));
        // Where waiting would change nothing, nobody waits.
        assert!(!early(&[1, 2], &[1, 4]));
    }

    #[test]
    fn a_new_voter_learns_first_and_votes_once_caught_up() {
        let to = target(&[1, 2], &[]);
        let alone = configuration(&[1], &[], &[]);
        let learning = configuration(&[1], &[], &[2]);
        assert_eq!(step(&alone, &to, false, &[]), Next::Propose(learning.clone()));
        assert_eq!(step(&learning, &to, true, &[]), Next::Wait);
        assert_eq!(step(&learning, &to, false, &[2]), Next::Wait);
        let both = configuration(&[1, 2], &[], &[]);
        assert_eq!(step(&learning, &to, true, &[2]), Next::Propose(both.clone()));
        assert_eq!(step(&both, &to, true, &[]), Next::Reached);
    }

    #[test]
    fn several_changes_go_through_a_joint_configuration_and_wait_there() {
        let to = target(&[1, 2, 3], &[]);
        let learning = configuration(&[1], &[], &[2, 3]);
        let joint = configuration(&[1, 2, 3], &[1], &[]);
        assert_eq!(step(&learning, &to, true, &[2, 3]), Next::Propose(joint.clone()));
        assert_eq!(step(&joint, &to, false, &[]), Next::Wait);
        let done = configuration(&[1, 2, 3], &[], &[]);
        assert_eq!(step(&joint, &to, true, &[]), Next::Propose(done));
    }

    #[test]
    fn a_replacement_demotes_and_promotes_together() {
        let to = target(&[1, 2, 4], &[3]);
        let before = configuration(&[1, 2, 3], &[], &[4]);
        let Next::Propose(joint) = step(&before, &to, true, &[4]) else { panic!("no step") };
        assert_eq!(joint.outgoing, nodes(&[1, 2, 3]));
        assert_eq!(joint.learners_next, nodes(&[3]));
        assert_eq!(joint.check(), Ok(()));
        assert_eq!(joint.left().learners, nodes(&[3]));
    }

    #[test]
    fn a_leader_that_goes_hands_over_first() {
        let to = target(&[2, 3], &[]);
        let before = configuration(&[1, 2, 3], &[], &[]);
        assert_eq!(step(&before, &to, true, &[]), Next::HandOver(nodes(&[2, 3])));
        let joint = configuration(&[2, 3, 4], &[1, 2, 3], &[]);
        assert_eq!(step(&joint, &to, true, &[]), Next::HandOver(nodes(&[2, 3, 4])));
    }

    #[test]
    fn unwanted_learners_go_one_by_one_without_waiting() {
        let to = target(&[1], &[4]);
        let before = configuration(&[1], &[], &[2, 3, 4]);
        let after = configuration(&[1], &[], &[3, 4]);
        assert_eq!(step(&before, &to, false, &[]), Next::Propose(after));
    }
}
