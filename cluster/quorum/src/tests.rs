//! Every partition of up to six members under every combination of options.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::{Instant, Rng};
use haven_types::NodeId;

use crate::{
    History, Kind, LeaseRefusal, Member, Options, OptionsError, Reason, Rules, TieBreaker,
    TieBreakerNode,
};

fn nodes(ids: impl IntoIterator<Item = u16>) -> BTreeSet<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

fn full(count: u16) -> BTreeMap<NodeId, Member> {
    (1..=count).map(|it| (NodeId(it), Member::FULL)).collect()
}

fn tie_breaker(node: TieBreakerNode) -> TieBreaker {
    TieBreaker { enabled: true, node }
}

/// Every combination of options that can go together, and some that cannot.
fn all_options() -> Vec<Options> {
    let ties = [
        TieBreaker::default(),
        tie_breaker(TieBreakerNode::Lowest),
        tie_breaker(TieBreakerNode::Highest),
        tie_breaker(TieBreakerNode::List(vec![NodeId(2), NodeId(1)])),
    ];
    let mut all = Vec::new();
    for bits in 0..16_u32 {
        for wait_for_all in [None, Some(false), Some(true)] {
            for tie in &ties {
                all.push(Options {
                    expected_votes: (bits & 1 != 0).then_some(7),
                    two_node: bits & 2 != 0,
                    wait_for_all,
                    last_man_standing: bits & 4 != 0,
                    auto_tie_breaker: tie.clone(),
                    expected_votes_tracking: bits & 8 != 0,
                    ..Options::default()
                });
            }
        }
    }
    all
}

/// Members of every count up to six, of equal and of unequal votes, with and without a witness.
fn all_members() -> Vec<BTreeMap<NodeId, Member>> {
    let mut all = Vec::new();
    for count in 1..=6 {
        all.push(full(count));
        let mut weighted = full(count);
        for (node, member) in &mut weighted {
            member.votes = u32::from(node.0 % 3);
        }
        all.push(weighted);
        let mut witnessed = full(count);
        witnessed.insert(NodeId(count), Member::WITNESS);
        all.push(witnessed);
    }
    all
}

fn all_rules() -> Vec<Rules> {
    let mut all = Vec::new();
    for members in all_members() {
        for options in all_options() {
            if let Ok(rules) = Rules::check(options, members.clone(), true) {
                all.push(rules);
            }
        }
    }
    all
}

fn subset(members: &BTreeMap<NodeId, Member>, bits: u32) -> BTreeSet<NodeId> {
    members
        .keys()
        .copied()
        .enumerate()
        .filter(|(at, _)| bits >> at & 1 != 0)
        .map(|(_, it)| it)
        .collect()
}

#[test]
fn two_halves_of_a_split_are_never_both_quorate_unless_fencing_decides() {
    let mut splits = 0;
    for rules in all_rules() {
        let all: BTreeSet<NodeId> = rules.members.keys().copied().collect();
        for history in
            [History::default(), History::default().note(&rules, &all, &nodes([]), Instant::ZERO)]
        {
            for bits in 0..1_u32 << rules.members.len() {
                let here = subset(&rules.members, bits);
                let there: BTreeSet<NodeId> = all.difference(&here).copied().collect();
                let one = rules.judge(&here, &history);
                let other = rules.judge(&there, &history);
                splits += 1;
                let both = one.quorate && other.quorate;
                assert!(!both || rules.two_node(), "{rules:?} {here:?} | {there:?}");
                assert!(!one.quorate || one.present > 0, "nobody is quorate without a vote");
            }
        }
    }
    assert!(splits > 20_000, "every split was looked at: {splits}");
}

#[test]
fn the_verdict_is_the_plain_rule_spelt_out() {
    for rules in all_rules() {
        let all: BTreeSet<NodeId> = rules.members.keys().copied().collect();
        let seen = History::default().note(&rules, &all, &nodes([]), Instant::ZERO);
        let expected = rules.options.expected_votes.unwrap_or(0).max(rules.total());
        for bits in 0..1_u32 << rules.members.len() {
            let here = subset(&rules.members, bits);
            let votes: u32 = here.iter().map(|it| rules.members[it].votes).sum();
            let unseen = rules.wait_for_all() && rules.total() < expected;
            let decider = match &rules.options.auto_tie_breaker.node {
                TieBreakerNode::Lowest => rules.members.iter().find(|(_, it)| it.votes > 0),
                TieBreakerNode::Highest => rules.members.iter().rfind(|(_, it)| it.votes > 0),
                TieBreakerNode::List(list) => list
                    .iter()
                    .filter_map(|it| rules.members.get_key_value(it))
                    .find(|(_, it)| it.votes > 0),
            };
            let tie = rules.options.auto_tie_breaker.enabled
                && votes > 0
                && votes * 2 == expected
                && decider.is_some_and(|(it, _)| here.contains(it));
            let enough = votes > expected / 2 || (rules.two_node() && votes >= 1) || tie;
            let got = rules.judge(&here, &seen);
            assert_eq!(got.quorate, enough && !unseen, "{rules:?} {here:?} {got:?}");
            assert_eq!((got.present, got.expected), (votes, expected));
        }
    }
}

#[test]
fn more_members_never_end_quorum() {
    for rules in all_rules() {
        let all: BTreeSet<NodeId> = rules.members.keys().copied().collect();
        let seen = History::default().note(&rules, &all, &nodes([]), Instant::ZERO);
        for bits in 0..1_u32 << rules.members.len() {
            let here = subset(&rules.members, bits);
            if rules.judge(&here, &seen).quorate {
                for more in rules.members.keys() {
                    let mut there = here.clone();
                    there.insert(*more);
                    assert!(rules.judge(&there, &seen).quorate, "{rules:?} {here:?} + {more}");
                }
            }
        }
    }
}

#[test]
fn wait_for_all_holds_until_all_were_seen_together() {
    let options = Options { wait_for_all: Some(true), ..Options::default() };
    let rules = Rules::check(options, full(3), true).unwrap();
    let history = History::default().note(&rules, &nodes([1, 2]), &nodes([]), Instant::ZERO);
    let verdict = rules.judge(&nodes([1, 2]), &history);
    assert!(!verdict.quorate);
    assert_eq!(verdict.reason, Reason::WaitingForAll { missing: vec![NodeId(3)] });
    let history = history.note(&rules, &nodes([1, 2, 3]), &nodes([]), Instant::ZERO);
    assert!(rules.judge(&nodes([1, 2]), &history).quorate);
}

#[test]
fn two_node_mode_runs_on_one_and_switches_itself_off_at_three() {
    let options = Options { two_node: true, ..Options::default() };
    let two = Rules::check(options.clone(), full(2), true).unwrap();
    assert!(two.wait_for_all());
    let seen = History::default().note(&two, &nodes([1, 2]), &nodes([]), Instant::ZERO);
    assert_eq!(two.judge(&nodes([2]), &seen).reason, Reason::TwoNode);
    assert!(!two.judge(&nodes([2]), &History::default()).quorate);
    let three = Rules::check(options, full(3), true).unwrap();
    assert!(!three.judge(&nodes([2]), &seen).quorate);
    assert!(!three.wait_for_all());
}

#[test]
fn the_last_man_stands_only_after_the_window_and_after_fencing() {
    let options = Options {
        wait_for_all: Some(true),
        last_man_standing: true,
        auto_tie_breaker: tie_breaker(TieBreakerNode::Lowest),
        ..Options::default()
    };
    let rules = Rules::check(options, full(4), true).unwrap();
    let at = |seconds: u64| Instant::ZERO + Duration::from_secs(seconds);
    let none = nodes([]);
    let history = History::default().note(&rules, &nodes([1, 2, 3, 4]), &none, at(0));
    let three = nodes([1, 2, 3]);
    let history = history.note(&rules, &three, &none, at(1));
    assert_eq!(history.deadline(&rules), Some(at(11)));
    let early = history.clone().note(&rules, &three, &nodes([4]), at(10));
    assert_eq!(rules.judge(&three, &early).expected, 4);
    let unfenced = history.note(&rules, &three, &none, at(20));
    assert_eq!(rules.judge(&three, &unfenced).expected, 4, "node 4 may still run");
    let lowered = unfenced.note(&rules, &three, &nodes([4]), at(21));
    assert_eq!(rules.judge(&three, &lowered).expected, 3);
    let two = nodes([1, 3]);
    let lowered = lowered.note(&rules, &two, &nodes([2, 4]), at(22));
    let lowered = lowered.note(&rules, &two, &nodes([2, 4]), at(32));
    assert_eq!(rules.judge(&two, &lowered).expected, 2);
    assert_eq!(rules.judge(&nodes([1]), &lowered).reason, Reason::TieWon { by: NodeId(1) });
    assert!(!rules.judge(&nodes([3]), &lowered).quorate);
    let back = lowered.note(&rules, &nodes([1, 2, 3, 4]), &none, at(40));
    assert_eq!(rules.judge(&two, &back).expected, 4);
}

#[test]
fn lowered_histories_never_let_two_sides_of_live_members_act() {
    // Random lives of clusters: each view knows what its members remember together.
    let options = Options {
        wait_for_all: Some(true),
        last_man_standing: true,
        auto_tie_breaker: tie_breaker(TieBreakerNode::Lowest),
        ..Options::default()
    };
    let mut lowered = 0;
    for seed in 0..1000 {
        let mut rng = Rng::new(seed);
        let count = 2 + rng.below(5) as u16;
        let rules = Rules::check(options.clone(), full(count), true).unwrap();
        let mut lives: BTreeMap<NodeId, History> =
            rules.members.keys().map(|it| (*it, History::default())).collect();
        let mut now = Instant::ZERO;
        for step in 0..40 {
            now += Duration::from_secs(rng.below(15));
            let split = if step == 0 { u64::MAX } else { rng.next_u64() };
            let side = |it: &NodeId| split >> it.0 & 1;
            let mut acting = BTreeSet::new();
            let views: Vec<BTreeSet<NodeId>> = [0, 1]
                .iter()
                .map(|half| lives.keys().copied().filter(|it| side(it) == *half).collect())
                .collect();
            // A side that acts fences the other, which then starts from nothing.
            let mut fenced = BTreeSet::new();
            for view in &views {
                let known = History::of_view(view.iter().map(|it| &lives[it]));
                let acts = rules.judge(view, &known).quorate;
                if acts {
                    acting.insert(view.clone());
                    if rng.chance(1, 2) {
                        fenced = lives.keys().copied().filter(|it| !view.contains(it)).collect();
                    }
                }
            }
            assert!(acting.len() <= 1, "seed {seed} step {step}: {acting:?}");
            lowered += lives.values().filter(|it| it.lowered_to.is_some()).count();
            for it in &fenced {
                lives.insert(*it, History::default());
            }
            for view in &views {
                let fenced = if acting.contains(view) { fenced.clone() } else { nodes([]) };
                let known = History::of_view(view.iter().map(|it| &lives[it]));
                for it in view {
                    let mut history = known.clone();
                    history.timing = lives[it].timing.clone();
                    lives.insert(*it, history.note(&rules, view, &fenced, now));
                }
            }
        }
    }
    assert!(lowered > 1000, "the count was lowered often: {lowered}");
}

#[test]
fn tracking_remembers_the_most_ever_seen() {
    let options = Options { expected_votes_tracking: true, ..Options::default() };
    let rules = Rules::check(options, full(3), true).unwrap();
    let verdict = rules.judge(&nodes([1, 2]), &History::with_highest_votes(5));
    assert_eq!((verdict.quorate, verdict.expected, verdict.needed), (false, 5, 3));
}

#[test]
fn contradictions_are_all_reported_at_once_with_remedies() {
    let options = Options {
        two_node: true,
        last_man_standing: true,
        wait_for_all: Some(false),
        expected_votes: Some(0),
        auto_tie_breaker: tie_breaker(TieBreakerNode::List(vec![NodeId(9)])),
        ..Options::default()
    };
    let mut members = full(1);
    members.insert(NodeId(2), Member { votes: 3, kind: Kind::Witness });
    let errors = Rules::check(options, members, false).unwrap_err();
    for expected in [
        OptionsError::NothingExpected,
        OptionsError::TwoNodeVotes { members: 2, votes: 4 },
        OptionsError::TwoNodeWithoutFencing,
        OptionsError::TwoNodeAndTieBreaker,
        OptionsError::LastManStandingWithoutWaitForAll,
        OptionsError::LastManStandingUnequal { node: NodeId(2), votes: 3, others: 1 },
        OptionsError::LastManStandingAndWitness,
        OptionsError::TieBreakerAndWitness,
        OptionsError::UnknownTieBreaker(NodeId(9)),
    ] {
        assert!(errors.contains(&expected), "{expected} is missing from {errors:?}");
    }
    assert_eq!(
        Rules::check(Options::default(), BTreeMap::new(), true).unwrap_err(),
        vec![OptionsError::NoVotes]
    );
}

#[test]
fn two_full_nodes_need_a_witness_for_leases() {
    let rules = |members| Rules::check(Options::default(), members, true).unwrap();
    let refused = rules(full(2)).lease_majority();
    assert_eq!(refused, Err(LeaseRefusal::TwoWithoutWitness));
    let text = LeaseRefusal::TwoWithoutWitness.to_string();
    for remedy in ["--witness", "third full node", "lease=off"] {
        assert!(text.contains(remedy), "{text}");
    }
    let mut witnessed = full(2);
    witnessed.insert(NodeId(3), Member::WITNESS);
    assert_eq!(rules(witnessed).lease_majority(), Ok(2));
    assert_eq!(rules(full(1)).lease_majority(), Ok(1));
    assert_eq!(rules(full(6)).lease_majority(), Ok(4));
}
