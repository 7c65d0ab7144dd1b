//! Directed scenarios: one rule or one figure each.

use std::collections::BTreeSet;
use std::time::Duration;

use haven_base::{Instant, Rng};
use haven_types::{LogIndex, NodeId, Term};

use crate::configuration::Configuration;
use crate::interface::{
    Config, DropReason, Event, Input, MembersReason, Output, ProposalId, ReadId, Role,
};
use crate::machine::Consensus;
use crate::persist::{HardState, LogEntry, Payload, Recovered, Snapshot};
use crate::start::StartError;
use crate::tests::disk::Mutant;
use crate::tests::world::{Weather, World, node};
use crate::wire::{Ballot, Body, Message};

const ONE_WAY: Duration = Duration::from_micros(500);
const SYNC: Duration = Duration::from_micros(1000);

/// Every message takes [`ONE_WAY`], every sync [`SYNC`].
const STEADY: Weather =
    Weather { loss_percent: 0, double_percent: 0, delay: (ONE_WAY, ONE_WAY), sync: (SYNC, SYNC) };

fn millis(it: u64) -> Duration {
    Duration::from_millis(it)
}

/// A group in good health whose leader is known; everybody holds everybody alive.
pub(super) fn group(seed: u64, count: u16) -> (World, NodeId) {
    let mut world = World::new(seed, count, count, Mutant::None);
    world.weather = STEADY;
    for id in 1..=count {
        world.boot(node(id)).unwrap();
    }
    world.run_for(Duration::from_secs(3)).unwrap();
    world.detect(|_| true).unwrap();
    let leader = world.leader().unwrap();
    world.keep = true;
    (world, leader)
}

pub(super) fn other(world: &World, than: NodeId) -> NodeId {
    *world.nodes.keys().find(|it| **it != than).unwrap()
}

fn first(world: &World, of: NodeId, wanted: impl Fn(&Output) -> bool) -> Option<Instant> {
    world.outputs.iter().find(|(_, id, it)| *id == of && wanted(it)).map(|(at, _, _)| *at)
}

pub(super) fn status(world: &World, of: NodeId) -> crate::Status {
    world.nodes[&of].machine.as_ref().unwrap().status()
}

#[test]
fn a_proposal_commits_within_a_round_trip_and_a_sync() {
    let (mut world, leader) = group(1, 3);
    let asked = world.now;
    world.propose(leader).unwrap();
    world.run_for(millis(50)).unwrap();
    let committed = first(&world, leader, |it| matches!(it, Output::Committed { .. })).unwrap();
    assert_eq!(committed - asked, ONE_WAY * 2 + SYNC);
    let follower = other(&world, leader);
    let heard = first(&world, follower, |it| matches!(it, Output::Committed { .. })).unwrap();
    assert_eq!(heard - asked, ONE_WAY * 3 + SYNC);
}

#[test]
fn a_forced_election_commits_within_two_round_trips_and_two_syncs() {
    let (mut world, leader) = group(2, 3);
    let successor = other(&world, leader);
    world.crash(leader);
    world.run_for(millis(60)).unwrap();
    world.detect(|it| it != leader).unwrap();
    let verdict = world.now;
    world.step(successor, Input::ForceCampaign).unwrap();
    world.run_for(millis(50)).unwrap();
    let ready = first(&world, successor, |it| matches!(it, Output::LeaderReady { .. })).unwrap();
    assert!(ready - verdict <= ONE_WAY * 4 + SYNC * 2, "{:?}", ready - verdict);
}

#[test]
fn nobody_leads_on_a_vote_of_its_own_that_is_not_durable() {
    let (mut world, leader) = group(3, 3);
    let successor = other(&world, leader);
    world.crash(leader);
    world.detect(|it| it != leader).unwrap();
    let slow = Weather { sync: (millis(40), millis(40)), ..STEADY };
    world.weather = slow; // For the successor's own vote only.
    world.step(successor, Input::ForceCampaign).unwrap();
    world.weather = STEADY;
    world.run_for(millis(39)).unwrap();
    assert_eq!(status(&world, successor).role, Role::Candidate);
    world.run_for(millis(3)).unwrap();
    assert_eq!(status(&world, successor).role, Role::Leader);
}

#[test]
fn a_forced_candidate_is_ignored_while_the_leader_is_held_alive() {
    let (mut world, leader) = group(4, 3);
    let usurper = other(&world, leader);
    let term = status(&world, leader).term;
    world.step(usurper, Input::ForceCampaign).unwrap();
    world.run_for(millis(300)).unwrap();
    let dropped = |id: NodeId| {
        let event = Event::ForcedVoteDropped { candidate: usurper };
        first(&world, id, |it| *it == Output::Event(event.clone())).is_some()
    };
    assert!(world.nodes.keys().filter(|it| **it != usurper).all(|it| dropped(*it)));
    let led = |it: &Output| matches!(it, Output::RoleChanged { leader: Some(other), .. } if *other == usurper);
    assert!(world.nodes.keys().all(|it| first(&world, *it, led).is_none()));
    assert!(status(&world, leader).term >= term);
}

#[test]
fn one_forced_campaign_a_verdict_then_pre_votes() {
    let (mut world, leader) = group(5, 3);
    let lonely = other(&world, leader);
    for it in world.nodes.keys().copied().filter(|it| *it != lonely) {
        world.cut.insert((lonely, it));
        world.cut.insert((it, lonely));
    }
    let term = status(&world, lonely).term;
    world.step(lonely, Input::ForceCampaign).unwrap();
    world.run_for(Duration::from_secs(20)).unwrap();
    assert_eq!(status(&world, lonely).term, Term(term.0 + 1), "pre-votes raise no term");
    assert_eq!(status(&world, lonely).counters.campaigns, 1);
}

#[test]
fn the_detectors_verdict_ends_the_patience_with_ordinary_candidates() {
    let (mut world, leader) = group(6, 3);
    world.crash(leader);
    world.run_for(millis(20)).unwrap();
    let follower = other(&world, leader);
    assert_eq!(status(&world, follower).leader, Some(leader));
    world.detect(|it| it != leader).unwrap();
    assert_eq!(status(&world, follower).leader, None);
}

/// The leader's messages stop while its beats go on: its main task is busy.
fn busy_leader(seed: u64, span: Duration) -> (World, NodeId, Term) {
    let (mut world, leader) = group(seed, 3);
    let term = status(&world, leader).term;
    for it in world.nodes.keys().copied().filter(|it| *it != leader) {
        world.cut.insert((leader, it));
        world.cut.insert((it, leader));
    }
    world.run_for(span).unwrap();
    (world, leader, term)
}

#[test]
fn a_busy_leader_whose_beats_are_heard_is_borne_for_seconds() {
    for seed in 30..40 {
        let (mut world, leader, term) = busy_leader(seed, millis(2_500));
        world.cut.clear();
        world.run_for(Duration::from_secs(1)).unwrap();
        for id in world.nodes.keys() {
            assert_eq!(
                (status(&world, *id).leader, status(&world, *id).term),
                (Some(leader), term)
            );
        }
        assert_eq!(status(&world, leader).role, Role::Leader);
    }
}

#[test]
fn a_leader_that_stays_busy_is_replaced_in_the_end() {
    for seed in 30..40 {
        let (world, leader, term) = busy_leader(seed, Duration::from_secs(8));
        let others = world.nodes.keys().filter(|it| **it != leader);
        let led: Vec<_> = others.map(|it| status(&world, *it).leader).collect();
        assert!(led.iter().all(|it| it.is_some_and(|it| it != leader)), "seed {seed}: {led:?}");
        assert!(status(&world, led[0].unwrap()).term > term);
    }
}

#[test]
fn patience_is_no_longer_where_time_outs_are() {
    let (mut world, leader) = group(42, 3);
    for it in world.nodes.keys().copied().collect::<Vec<_>>() {
        world.step(it, Input::SetTick(Duration::from_secs(1))).unwrap();
    }
    for it in world.nodes.keys().copied().filter(|it| *it != leader) {
        world.cut.insert((leader, it));
        world.cut.insert((it, leader));
    }
    // Two time-outs of at most 10 s each, spread by as much, and the 5 s.
    world.run_for(Duration::from_secs(45)).unwrap();
    let others = world.nodes.keys().filter(|it| **it != leader);
    let led: Vec<_> = others.map(|it| status(&world, *it).leader).collect();
    assert!(led.iter().all(|it| it.is_some_and(|it| it != leader)), "{led:?}");
}

#[test]
fn a_leader_that_asks_for_votes_is_not_borne() {
    let (mut world, leader) = group(43, 3);
    let follower = other(&world, leader);
    let term = status(&world, leader).term;
    let asks = |term| {
        let last = status(&world, leader).last;
        let ballot = Ballot { last, commit: last, priority: 0 };
        Input::Received {
            from: leader,
            bytes: Message { term, body: Body::PreVote(ballot) }.encode(),
        }
    };
    let (late, next) = (asks(term), asks(Term(term.0 + 1)));
    world.step(follower, late).unwrap();
    assert_eq!(status(&world, follower).leader, Some(leader), "asked before it led");
    world.step(follower, next).unwrap();
    assert_eq!(status(&world, follower).leader, None);
}

#[test]
fn a_leader_that_restarted_is_not_borne() {
    let (mut world, leader) = group(41, 3);
    world.crash(leader);
    world.run_for(millis(10)).unwrap();
    world.boot(leader).unwrap();
    world.detect(|_| true).unwrap();
    world.run_for(Duration::from_secs(2)).unwrap();
    assert!(world.leader().is_some());
}

#[test]
fn a_hand_over_passes_although_everybody_holds_the_leader_alive() {
    let (mut world, leader) = group(7, 3);
    let to = other(&world, leader);
    let asked = world.now;
    world.step(leader, Input::TransferLeadership(to)).unwrap();
    world.run_for(millis(50)).unwrap();
    let ready = first(&world, to, |it| matches!(it, Output::LeaderReady { .. })).unwrap();
    assert!(ready - asked <= ONE_WAY * 5 + SYNC * 2, "{:?}", ready - asked);
}

#[test]
fn a_forced_election_is_quick_through_heavy_loss() {
    let mut worst = Duration::ZERO;
    for seed in 0..60 {
        let (mut world, leader) = group(seed, 3);
        world.weather.loss_percent = 30;
        world.weather.delay = (Duration::ZERO, millis(20));
        let successor = other(&world, leader);
        world.crash(leader);
        world.run_for(millis(60)).unwrap();
        world.detect(|it| it != leader).unwrap();
        let verdict = world.now;
        world.step(successor, Input::ForceCampaign).unwrap();
        world.run_for(Duration::from_secs(5)).unwrap();
        let ready = |it: &Output| matches!(it, Output::LeaderReady { .. });
        let at = world.nodes.keys().filter_map(|it| first(&world, *it, ready)).min().unwrap();
        worst = worst.max(at - verdict);
    }
    assert!(worst < millis(1200), "{worst:?}");
}

#[test]
fn what_is_lost_is_repeated_long_before_the_next_heartbeat() {
    let mut late = 0;
    for seed in 0..40 {
        let (mut world, leader) = group(seed, 3);
        world.weather.loss_percent = 20;
        let asked = world.now;
        world.propose(leader).unwrap();
        world.run_for(Duration::from_secs(1)).unwrap();
        let committed = first(&world, leader, |it| matches!(it, Output::Committed { .. })).unwrap();
        late += usize::from(committed - asked > millis(50));
    }
    assert!(late <= 2, "{late} of 40 took longer than a tick");
}

#[test]
fn a_leader_without_a_disk_names_a_successor_and_falls_mute() {
    let (mut world, leader) = group(8, 3);
    let pending = world.propose(leader).unwrap();
    let failed = world.now;
    world.step(leader, Input::PersistFailed).unwrap();
    world.run_for(millis(50)).unwrap();
    let why = DropReason::Mute;
    let dropped = Output::ProposalDropped { id: pending, why: why.clone() };
    assert!(first(&world, leader, |it| *it == dropped).is_some());
    let ready = |it: &Output| matches!(it, Output::LeaderReady { .. });
    let others = world.nodes.keys().filter(|it| **it != leader);
    let at = others.filter_map(|it| first(&world, *it, ready)).min().unwrap();
    assert!(at - failed < millis(10), "{:?}", at - failed);
    let machine = world.nodes.get_mut(&leader).unwrap().machine.as_mut().unwrap();
    assert_eq!(machine.deadline(), None);
    assert!(machine.status().mute);
    let id = ProposalId(u64::MAX);
    let answer = machine.step(at, Input::Propose { id, bytes: vec![1] });
    assert_eq!(answer, vec![Output::ProposalDropped { id, why }]);
    let read = machine.step(at, Input::ReadIndex(ReadId(9)));
    assert_eq!(read, vec![Output::ReadDropped { id: ReadId(9), leader: None }]);
}

#[test]
fn an_entry_that_is_too_big_is_refused_by_its_size_and_stops_nothing() {
    let (mut world, leader) = group(8, 3);
    let machine = world.nodes.get_mut(&leader).unwrap().machine.as_mut().unwrap();
    let id = ProposalId(u64::MAX);
    let most = 16 << 20;
    let bytes = vec![0; most + 1];
    let why = DropReason::TooBig { bytes: bytes.len(), most };
    let said = machine.step(world.now, Input::Propose { id, bytes });
    assert_eq!(said, vec![Output::ProposalDropped { id, why }]);
    world.propose(leader).unwrap();
    world.run_for(millis(50)).unwrap();
    assert!(world.nodes[&leader].machine.as_ref().unwrap().status().counters.proposals > 0);
}

#[test]
fn a_late_follower_gets_a_snapshot_and_the_log_stays_small() {
    let (mut world, leader) = group(9, 3);
    let late = other(&world, leader);
    world.crash(late);
    for _ in 0..300 {
        world.propose(leader).unwrap();
        world.run_for(millis(2)).unwrap();
    }
    let limit = world.config.snapshot_after_bytes * 3;
    assert!(status(&world, leader).log_bytes < limit, "{}", status(&world, leader).log_bytes);
    world.boot(late).unwrap();
    world.run_for(Duration::from_secs(1)).unwrap();
    assert!(first(&world, late, |it| matches!(it, Output::RestoreSnapshot { .. })).is_some());
    assert_eq!(world.nodes[&late].application, world.nodes[&leader].application);
    world.crash(leader);
    world.boot(leader).unwrap();
    world.run_for(Duration::from_secs(3)).unwrap();
    assert_eq!(world.nodes[&leader].application, world.nodes[&late].application);
}

#[test]
fn a_leader_that_makes_no_newer_snapshot_is_asked_now_and_then_only() {
    let mut world = World::new(20, 4, 3, Mutant::None);
    world.weather = STEADY;
    (1..=4).for_each(|id| world.boot(node(id)).unwrap());
    world.run_for(Duration::from_secs(3)).unwrap();
    let leader = world.leader().unwrap();
    for _ in 0..300 {
        world.propose(leader).unwrap();
        world.run_for(millis(2)).unwrap();
    }
    world.run_for(millis(100)).unwrap();
    world.keep = true;
    world.halted = Some((leader, LogIndex(world.nodes[&leader].application.applied)));
    let (voters, learners) = ((1..=3).map(node).collect(), [node(4)].into());
    world.propose(leader).unwrap();
    world.step(leader, Input::ChangeMembers { voters, learners }).unwrap();
    world.run_for(Duration::from_secs(2)).unwrap();
    assert!(status(&world, leader).configuration.learners.contains(&node(4)));
    let wanted =
        |(_, of, it): &&(Instant, NodeId, Output)| *of == leader && *it == Output::SnapshotWanted;
    let asked = world.outputs.iter().filter(wanted).count();
    assert!((1..=100).contains(&asked), "{asked} times in the two seconds of forty ticks");
    world.halted = None;
    world.run_for(Duration::from_secs(2)).unwrap();
    assert!(first(&world, node(4), |it| matches!(it, Output::RestoreSnapshot { .. })).is_some());
}

#[test]
fn joint_configurations_wait_and_a_new_leader_waits_again() {
    let mut world = World::new(10, 5, 3, Mutant::None);
    world.weather = STEADY;
    (1..=5).for_each(|id| world.boot(node(id)).unwrap());
    world.run_for(Duration::from_secs(3)).unwrap();
    world.detect(|_| true).unwrap();
    let leader = world.leader().unwrap();
    world.keep = true;
    let spacing = world.config.change_spacing;
    let voters: BTreeSet<NodeId> = (1..=5).map(node).collect();
    let ask = Input::ChangeMembers { voters: voters.clone(), learners: BTreeSet::new() };
    world.step(leader, ask).unwrap();
    world.run_for(millis(300)).unwrap();
    assert!(status(&world, leader).configuration.is_joint());
    let to = other(&world, leader);
    world.step(leader, Input::TransferLeadership(to)).unwrap();
    world.run_for(millis(100)).unwrap();
    let ready = first(&world, to, |it| matches!(it, Output::LeaderReady { .. })).unwrap();
    world.run_until((ready + spacing).before(millis(1))).unwrap();
    assert!(status(&world, to).configuration.is_joint(), "the wait started again");
    world.run_for(millis(100)).unwrap();
    assert_eq!(status(&world, to).configuration, Configuration::of_voters(voters));
    let lost = Output::MembersDropped { why: MembersReason::NotLeader { leader: None } };
    assert!(first(&world, leader, |it| *it == lost).is_some(), "the old leader says it gave up");
}

#[test]
fn a_leader_that_goes_hands_over_again_where_the_first_time_was_in_vain() {
    let (mut world, leader) = group(18, 3);
    let others: BTreeSet<NodeId> = world.nodes.keys().copied().filter(|it| *it != leader).collect();
    world.cut.extend(others.iter().map(|it| (leader, *it)));
    let ask = Input::ChangeMembers { voters: others.clone(), learners: BTreeSet::new() };
    world.step(leader, ask).unwrap();
    world.run_for(millis(2)).unwrap();
    world.cut.clear();
    world.run_for(millis(20)).unwrap();
    assert_eq!(world.leader(), Some(leader), "nobody was told");
    world.run_for(Duration::from_secs(5)).unwrap();
    assert!(world.leader().is_some_and(|it| others.contains(&it)));
    let successor = world.leader();
    let lost = Output::MembersDropped { why: MembersReason::NotLeader { leader: None } };
    assert!(first(&world, leader, |it| *it == lost).is_some(), "{successor:?} is to be asked");
}

#[test]
fn between_two_tries_to_hand_over_there_is_time_for_what_waits() {
    let (mut world, leader) = group(18, 3);
    let others: BTreeSet<NodeId> = world.nodes.keys().copied().filter(|it| *it != leader).collect();
    world.cut.extend(others.iter().map(|it| (leader, *it)));
    let ask = Input::ChangeMembers { voters: others, learners: BTreeSet::new() };
    world.step(leader, ask).unwrap();
    world.run_for(millis(2)).unwrap();
    world.cut.clear();
    world.outputs.clear();
    let mut asked = BTreeSet::new();
    while world.leader().is_none_or(|it| it == leader) {
        assert!(asked.len() < 1_000, "it still leads, or nobody");
        asked.insert(world.propose(leader).unwrap());
        world.run_for(millis(10)).unwrap();
    }
    let why = DropReason::Transferring;
    let dropped = |id: &&ProposalId| {
        let dropped = Output::ProposalDropped { id: **id, why: why.clone() };
        first(&world, leader, |it| *it == dropped).is_some()
    };
    let dropped = asked.iter().filter(dropped).count();
    assert!(dropped > 0, "the first try was in vain");
    assert!(asked.len() - dropped > 20, "{dropped} of {} were not taken", asked.len());
}

#[test]
fn who_is_held_dead_succeeds_only_where_nobody_else_can() {
    let (mut world, leader) = group(18, 3);
    let others: BTreeSet<NodeId> = world.nodes.keys().copied().filter(|it| *it != leader).collect();
    let successor =
        |world: &World| world.nodes[&leader].machine.as_ref().unwrap().best_successor(&others);
    let before = successor(&world).unwrap();
    let other = *others.iter().find(|it| **it != before).unwrap();
    // As up to date as the other, and heard a moment ago.
    let dead = |node| Input::PeerAlive { node, alive: false };
    world.step(leader, dead(before)).unwrap();
    assert_eq!(successor(&world), Some(other));
    world.step(leader, dead(other)).unwrap();
    assert_eq!(successor(&world), Some(before));
}

#[test]
fn a_newcomer_bears_a_slow_leader_that_it_heard_before_it_knew_anybody() {
    let mut world = World::new(19, 4, 3, Mutant::None);
    world.weather = STEADY;
    (1..=4).for_each(|id| world.boot(node(id)).unwrap());
    world.run_for(Duration::from_secs(3)).unwrap();
    world.detect(|_| true).unwrap();
    let leader = world.leader().unwrap();
    let (voters, learners) = ((1..=4).map(node).collect(), BTreeSet::new());
    world.step(leader, Input::ChangeMembers { voters, learners }).unwrap();
    world.run_for(Duration::from_secs(3)).unwrap();
    assert!(status(&world, node(4)).configuration.voters.contains(&node(4)));
    world.cut.insert((leader, node(4)));
    world.run_for(Duration::from_secs(2)).unwrap();
    assert_eq!(status(&world, node(4)).leader, Some(leader), "its beats are heard");
}

#[test]
fn a_lone_founder_works_and_remembers() {
    let (mut world, leader) = group(11, 1);
    let asked = world.now;
    world.propose(leader).unwrap();
    world.run_for(millis(10)).unwrap();
    let committed = first(&world, leader, |it| matches!(it, Output::Committed { .. })).unwrap();
    assert_eq!(committed - asked, SYNC);
    let before = world.nodes[&leader].application.clone();
    world.crash(leader);
    world.boot(leader).unwrap();
    world.run_for(Duration::from_secs(2)).unwrap();
    assert_eq!(world.nodes[&leader].application, before);
}

#[test]
fn a_stopped_process_concludes_nothing_from_its_own_silence() {
    let (mut world, leader) = group(12, 3);
    let stopped = other(&world, leader);
    let later = world.now + Duration::from_secs(100);
    let machine = world.nodes.get_mut(&stopped).unwrap().machine.as_mut().unwrap();
    let outputs = machine.step(later, Input::Tick);
    assert!(outputs.is_empty(), "{outputs:?}");
    assert_eq!(machine.status().leader, Some(leader));
}

#[test]
fn followers_name_the_leader_to_those_who_ask_them() {
    let (mut world, leader) = group(13, 3);
    let follower = other(&world, leader);
    let id = world.propose(follower).unwrap();
    world.step(follower, Input::ReadIndex(ReadId(77))).unwrap();
    let why = DropReason::NotLeader { leader: Some(leader) };
    let dropped = Output::ProposalDropped { id, why };
    assert!(first(&world, follower, |it| *it == dropped).is_some());
    let read = Output::ReadDropped { id: ReadId(77), leader: Some(leader) };
    assert!(first(&world, follower, |it| *it == read).is_some());
}

#[test]
fn no_bytes_of_a_peer_end_the_process() {
    let mut tried = 0;
    for seed in 0..20 {
        let (mut world, leader) = group(seed, 3);
        let voters = (1..=3).map(node).collect();
        let learners = [node(9)].into();
        world.step(leader, Input::ChangeMembers { voters, learners }).unwrap();
        for _ in 0..60 {
            world.propose(leader).unwrap();
            world.run_for(millis(3)).unwrap();
        }
        let usurper = other(&world, leader);
        world.detect(|it| it != leader).unwrap();
        world.step(usurper, Input::ForceCampaign).unwrap();
        world.run_for(millis(500)).unwrap();
        let mut sent: Vec<Vec<u8>> = Vec::new();
        for (_, _, output) in &world.outputs {
            if let Output::Send { bytes, .. } = output {
                sent.push(bytes.clone());
            }
        }
        tried += fuzz(&mut world, &sent, seed);
    }
    assert!(tried > 10_000, "{tried} messages");
}

/// Feeds damaged copies of real messages to every machine; how many.
fn fuzz(world: &mut World, sent: &[Vec<u8>], seed: u64) -> usize {
    let mut rng = Rng::new(seed);
    let mut now = world.now;
    for round in 0..1000 {
        let mut bytes = sent[rng.below(sent.len() as u64) as usize].clone();
        for _ in 0..=rng.below(3) {
            let at = rng.below(bytes.len() as u64 + 1) as usize;
            match (rng.below(4), bytes.get_mut(at)) {
                (0, Some(it)) => *it ^= 1 << rng.below(8),
                (1, Some(it)) => *it = rng.below(256) as u8,
                (2, _) => bytes.insert(at, 0xff),
                (_, Some(it)) => *it = it.wrapping_add(1),
                (_, None) => bytes.truncate(at / 2),
            }
        }
        for it in world.nodes.values_mut() {
            let Some(machine) = &mut it.machine else { continue };
            let from = node(rng.below(5) as u16);
            let input = Input::Received { from, bytes: bytes.clone() };
            let mut inputs = vec![input, Input::Tick];
            while let Some(input) = inputs.pop() {
                for output in machine.step(now, input) {
                    if let Output::Persist { token, .. } = output
                        && rng.chance(9, 10)
                    {
                        inputs.push(Input::Persisted(token));
                    }
                }
            }
        }
        now += millis(round % 40);
    }
    1000 * world.nodes.len()
}

#[test]
fn a_follower_that_lost_entries_says_so_and_takes_no_harm() {
    let (mut world, leader) = group(14, 3);
    let lost = other(&world, leader);
    for _ in 0..5 {
        world.propose(leader).unwrap();
        world.run_for(millis(5)).unwrap();
    }
    let config = Config { id: lost, ..world.config.clone() };
    let mut blank = Consensus::new(config, Recovered::blank(), 1).unwrap();
    let heartbeat = Message {
        term: status(&world, leader).term,
        body: Body::Heartbeat { commit: LogIndex(5), read: Vec::new() },
    };
    let input = Input::Received { from: leader, bytes: heartbeat.encode() };
    let outputs = blank.step(world.now, input);
    let noticed = outputs.iter().any(|it| {
        matches!(it, Output::Event(Event::Implausible { what, .. }) if what.contains("entries were lost"))
    });
    assert!(noticed, "{outputs:?}");
}

fn entry(term: u64, index: u64) -> LogEntry {
    LogEntry { position: crate::convert::position(term, index), payload: Payload::Empty }
}

#[test]
fn a_store_that_does_not_join_up_is_refused() {
    let start = |recovered| Consensus::new(Config::new(node(1)), recovered, 1).err();
    let founding = Recovered::founding([node(1)], Vec::new());
    assert_eq!(start(founding.clone()), None);
    let gap = Recovered { entries: vec![entry(1, 3)], ..founding.clone() };
    let expected = StartError::Gap { expected: LogIndex(2), found: LogIndex(3) };
    assert_eq!(start(gap), Some(expected));
    let falls = Recovered { entries: vec![entry(4, 2), entry(3, 3)], ..founding.clone() };
    assert_eq!(start(falls), Some(StartError::Term { index: LogIndex(3) }));
    let hole = Recovered { entries: vec![entry(1, 2), entry(1, 4)], ..founding.clone() };
    assert!(matches!(start(hole), Some(StartError::Gap { .. })));
    let ahead = HardState { term: Term(1), vote: None, commit: LogIndex(99) };
    assert_eq!(start(Recovered { hard_state: ahead, ..founding }), None, "commit is a hint");
}

/// What the crate would do with each of these is in `MAX_MEMBERS`; none may reach it.
#[test]
fn a_group_of_more_members_than_any_cluster_has_is_not_believed() {
    let position = crate::convert::position(5, 2);
    let told = |count: u16, joint: bool, as_snapshot: bool| {
        let founding = Recovered::founding((1..=3).map(node), Vec::new());
        let mut machine = Consensus::new(Config::new(node(1)), founding, 1).unwrap();
        let mut configuration = Configuration::of_voters((1..=count).map(node));
        if joint {
            configuration.outgoing = std::mem::take(&mut configuration.voters);
            configuration.voters.insert(node(1));
        }
        let body = if as_snapshot {
            let (configuration_position, bytes) = (position, Vec::new());
            Body::Snapshot(Snapshot { position, configuration, configuration_position, bytes })
        } else {
            let previous = crate::convert::position(1, 1);
            let payload = Payload::Configuration(configuration);
            Body::Append {
                previous,
                commit: LogIndex(1),
                entries: vec![LogEntry { position, payload }],
            }
        };
        let bytes = Message { term: Term(5), body }.encode();
        let outputs = machine.step(Instant::ZERO, Input::Received { from: node(2), bytes });
        outputs.iter().any(|it| {
            matches!(it, Output::Event(Event::Implausible { what, .. }) if what.contains("256 are the most"))
        })
    };
    for (joint, as_snapshot) in [(false, false), (false, true), (true, false), (true, true)] {
        assert!(!told(256, joint, as_snapshot), "as many as allowed");
        assert!(told(257, joint, as_snapshot), "one more");
        assert!(told(8_000, joint, as_snapshot), "as many as fit a datagram");
    }
}

/// The next index or term of these would be none.
#[test]
fn a_store_that_names_what_no_log_reaches_is_refused() {
    let start = |recovered| Consensus::new(Config::new(node(1)), recovered, 1).err();
    let far = |index, term| Some(StartError::Far { index: LogIndex(index), term: Term(term) });
    let founding = Recovered::founding([node(1)], Vec::new());
    let mut last_index = founding.clone();
    last_index.snapshot.as_mut().unwrap().position = crate::convert::position(1, u64::MAX);
    assert_eq!(start(last_index), far(u64::MAX, 1));
    let last_entry = Recovered { entries: vec![entry(u64::MAX, 2)], ..founding.clone() };
    assert_eq!(start(last_entry), far(2, u64::MAX));
    let hard_state = HardState { term: Term(u64::MAX), ..founding.hard_state };
    let last_term = Recovered { hard_state, ..founding.clone() };
    assert_eq!(start(last_term), far(0, u64::MAX));
    // What a peer may have led it to, and a campaign in vain after it, is no reason to stay away.
    let hard_state = HardState { term: Term(crate::guard::FAR + 1), ..founding.hard_state };
    assert_eq!(start(Recovered { hard_state, ..founding }), None);
}

// spec: L4
#[test]
fn a_start_tells_every_configuration_the_log_knows() {
    let mut recovered = Recovered::founding([node(1), node(2), node(3)], Vec::new());
    let changed = Configuration { voters: [1, 2, 4].map(node).into(), ..Configuration::default() };
    let payload = Payload::Configuration(changed.clone());
    recovered.entries.push(LogEntry { position: crate::convert::position(1, 2), payload });
    let mut machine = Consensus::new(Config::new(node(1)), recovered, 1).unwrap();
    let told = machine.step(Instant::from_nanos(1), Input::Tick).into_iter().filter_map(|it| {
        let Output::ConfigurationInLog { position, configuration } = it else { return None };
        Some((position.index.0, configuration.voters))
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told, [(1, [1, 2, 3].map(node).into()), (2, changed.voters)]);
}
