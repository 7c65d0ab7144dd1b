//! Each rule can fail: a world or a machine that breaks it on purpose, and the simulation that notices.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and print what they measured"
)]

use haven_sim_tests::{Broken, Life, Mutant, Rule, Rules, Settings, Verb};

/// Lives in which a mutant may show itself; the rarest takes a few hundred.
const LIVES: u64 = 2000;

/// Asserts that one of these rules is the first to be broken in some life of the mutant.
fn expect(name: &str, rules: &[&str], change: impl Fn(&mut Settings)) {
    let mut others: Vec<Broken> = Vec::new();
    for seed in 0..LIVES {
        let mut settings = Settings::of(seed);
        change(&mut settings);
        let Some(broken) = Life::new(seed, settings, false).live().broken else { continue };
        if rules.iter().any(|rule| broken.rule.starts_with(rule)) {
            println!("{name}, seed {seed}: {broken}");
            return;
        }
        others.push(broken);
    }
    panic!("{name}: {rules:?} were not the first to be broken in {LIVES} lives, but: {others:?}");
}

fn without(rule: Rule) -> impl Fn(&mut Settings) {
    move |settings| settings.terms.rules = Rules::ALL.without(rule)
}

fn in_world(mutant: Mutant) -> impl Fn(&mut Settings) {
    move |settings| settings.mutant = mutant
}

// spec: L1
#[test]
fn unanswered_beats_are_noticed() {
    expect("dropped beats", &["answers"], in_world(Mutant::DroppedBeats));
}

// spec: L2
#[test]
fn two_promises_at_a_time_are_noticed() {
    expect("two promises", &["promises"], without(Rule::RefuseWhilePromised));
}

// spec: L2
#[test]
fn a_promise_to_an_old_epoch_is_noticed() {
    expect("old epoch", &["promises"], without(Rule::RefuseOlderEpoch));
}

// spec: L3
#[test]
fn a_lease_without_a_majority_is_noticed() {
    expect("no majority", &["lease"], without(Rule::NeedMajority));
}

// spec: L3
#[test]
fn a_lease_counted_from_the_answer_is_noticed() {
    expect("from the answer", &["lease"], without(Rule::CountFromSend));
}

// spec: L3
#[test]
fn a_lease_without_margin_is_noticed() {
    expect("no margin for drift", &["lease"], without(Rule::LeaseDrift));
    expect("no margin of ticks", &["lease"], without(Rule::LeaseTicks));
}

// spec: L3
#[test]
fn a_gate_that_closes_late_is_noticed() {
    expect("late gate", &["lease"], in_world(Mutant::LateGate));
}

// spec: L3
#[test]
fn a_gate_that_keeps_nothing_silent_is_noticed() {
    expect("open gates", &["one owner"], in_world(Mutant::OpenGates));
}

// spec: L4
#[test]
fn a_forgetful_voter_is_noticed() {
    expect("no silence after a start", &["promises"], without(Rule::WaitAfterStart));
    expect("no silence handed over", &["promises"], in_world(Mutant::ForgottenSilence));
}

// spec: L4
#[test]
fn a_new_voter_that_does_not_wait_is_noticed() {
    expect("no silence of new voters", &["promises"], without(Rule::WaitAsNewVoter));
}

// spec: L5
#[test]
fn voters_changed_too_soon_are_noticed() {
    expect("no distance", &["spacing"], |settings| settings.hasty_members = true);
}

// spec: L6
#[test]
fn a_verdict_without_majority_or_silence_is_noticed() {
    expect("one opinion", &["verdicts"], without(Rule::VerdictMajority));
    expect("a short silence", &["verdicts"], without(Rule::VerdictSilence));
}

// spec: L6
#[test]
fn a_lease_that_moves_because_it_lapsed_is_noticed() {
    expect("lapses taken", &["lapses"], in_world(Mutant::LapsesTaken));
    expect("eager heirs", &["lapses"], in_world(Mutant::EagerHeirs));
}

// spec: L7
#[test]
fn an_order_of_a_former_coordinator_is_noticed() {
    expect("renewed orders", &["orders"], in_world(Mutant::RenewedOrders));
}

// spec: L8
#[test]
fn an_address_without_a_gate_is_noticed() {
    expect("forgotten left-overs", &["unprotected"], in_world(Mutant::ForgottenLeftovers));
}

// spec: L9
#[test]
fn a_restart_without_long_leases_is_noticed() {
    expect("hasty restarts", &["restarts"], in_world(Mutant::HastyRestarts));
}

#[test]
fn clocks_beyond_rho_are_noticed() {
    let rules = ["promises", "lease", "one owner", "verdicts", "spacing"];
    expect("wild clocks", &rules, in_world(Mutant::WildClocks));
}

#[test]
fn a_disk_that_lies_is_noticed() {
    expect("lying disk", &["one log", "one state"], in_world(Mutant::LyingDisk));
}

#[test]
fn a_rotten_entry_is_noticed() {
    expect("rotten entry", &["one log"], in_world(Mutant::RottenEntry));
}

#[test]
fn a_state_that_does_not_follow_from_the_log_is_noticed() {
    expect("rotten snapshot", &["one state"], in_world(Mutant::RottenSnapshot));
}

#[test]
fn a_coordinator_that_was_not_elected_is_noticed() {
    expect("wishful votes", &["one coordinator"], in_world(Mutant::WishfulVotes));
}

#[test]
fn a_plan_that_follows_from_more_than_its_input_is_noticed() {
    expect("remembered plans", &["one plan"], in_world(Mutant::RememberedPlans));
}

#[test]
fn committed_entries_out_of_order_are_noticed() {
    expect("swapped entries", &["one log"], in_world(Mutant::SwappedEntries));
}

#[test]
fn what_is_started_upon_what_does_not_run_is_noticed() {
    let lived = Life::verb(0, Verb::Recover, Mutant::HollowStarts, false);
    let (found, _) = lived.expect_err("db is started upon web, which says that it runs");
    assert!(found.contains("order and colocation hold"), "{found}");
    println!("hollow starts, seed 0: {found}");
}

#[test]
fn a_cluster_that_does_not_heal_is_noticed() {
    expect("lasting cut", &["liveness: one owner"], in_world(Mutant::LastingCut));
}

#[test]
fn requests_that_are_never_answered_are_noticed() {
    expect("lost answers", &["liveness: what was"], in_world(Mutant::LostAnswers));
}

#[test]
fn addresses_that_move_in_the_calm_are_noticed() {
    expect("lasting crashes", &["calm"], in_world(Mutant::LastingCrashes));
}
