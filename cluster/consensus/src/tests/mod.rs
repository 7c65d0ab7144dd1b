//! Whole groups in one process: a seed drives clock, network, disks and faults.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking, their numbers are small, they print how to replay, and what \
              they do not look at they ignore"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the number of seeds comes from the environment; the machine never sees it"
)]

mod check;
mod disk;
mod faults;
mod fixtures;
mod hostile;
mod scenarios;
mod sleep;
mod world;

use crate::tests::disk::Mutant;
use crate::tests::faults::{Plan, run};

fn seeds() -> std::ops::Range<u64> {
    let read = |name: &str| std::env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    if let Some(seed) = read("HAVEN_SEED") {
        return seed..seed + 1;
    }
    0..read("HAVEN_SEEDS").unwrap_or(300)
}

/// Prints the command that replays a seed if the thread panics.
struct Replay(u64, &'static str);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed, test) = self;
            println!(
                "replay: HAVEN_SEED={seed} cargo test -p haven-consensus --lib {test} -- --nocapture"
            );
        }
    }
}

fn simulate(plan: &Plan, test: &'static str) {
    let mut committed = 0;
    for seed in seeds() {
        let replay = Replay(seed, test);
        match run(plan, seed) {
            Ok(summary) => committed += summary.committed,
            Err(violation) => panic!("seed {seed}: {violation}"),
        }
        drop(replay);
    }
    let per_seed = committed as u64 / seeds().count() as u64;
    assert!(per_seed > 10, "the group gets things done: {per_seed} commits a seed");
}

#[test]
fn three_nodes_keep_their_promises_under_faults() {
    simulate(&Plan::nodes(3), "three_nodes_keep");
}

#[test]
fn five_nodes_keep_their_promises_while_members_change() {
    simulate(&Plan { members_change: true, ..Plan::nodes(5) }, "five_nodes_keep");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let plan = Plan { members_change: true, ..Plan::nodes(5) };
    for seed in 0..3 {
        let (one, two) = (run(&plan, seed).unwrap(), run(&plan, seed).unwrap());
        assert_eq!(one, two, "seed {seed}");
    }
}

/// Seeds until the mutant is caught; panics inside the machine count.
fn caught(mutant: Mutant) -> Option<u64> {
    let plan = Plan { mutant, ..Plan::nodes(3) };
    (0..200).find(|seed| {
        let outcome = std::panic::catch_unwind(|| run(&plan, *seed));
        outcome.map_or(true, |it| it.is_err())
    })
}

#[test]
fn forgetting_the_vote_is_caught() {
    assert!(caught(Mutant::ForgetsHardState).is_some());
}

#[test]
fn acknowledging_before_the_sync_is_caught() {
    assert!(caught(Mutant::AcknowledgesEarly).is_some());
}
