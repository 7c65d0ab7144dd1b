//! One owner per group at every instant, whatever happens; and an owner again once it has stopped.
//!
//! `HAVEN_SEEDS` sets how many seeds run (300), `HAVEN_SEED` runs one.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and print what they measured"
)]

mod support;

use haven_heartbeat::{Rule, Rules};
use support::chaos::{Chaos, Duties};
use support::world::SECOND;

const LIFE: u64 = 8 * SECOND;
const KEPT: Duties = Duties { spacing: true };

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn seeds() -> std::ops::Range<u64> {
    match number("HAVEN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HAVEN_SEEDS").unwrap_or(300),
    }
}

#[test]
fn one_owner_then_an_owner_again() {
    let (mut opened, mut lives) = (0, 0);
    for seed in seeds() {
        let replay = format!(
            "replay: HAVEN_SEED={seed} cargo test -p haven-heartbeat --test safety one_owner"
        );
        let mut chaos = Chaos::new(seed, Rules::ALL, KEPT);
        chaos.live(LIFE);
        assert_eq!(chaos.world.violations, [""; 0], "{replay}");
        let healed = chaos.heal();
        assert_eq!(chaos.world.violations, [""; 0], "{replay}");
        assert_eq!(healed, Ok(()), "{replay}");
        opened += chaos.world.opened;
        lives += 1;
    }
    println!("{lives} seeds, {opened} gates opened");
    assert!(opened > lives * 20, "the model hardly ever opens a gate: it tests nothing");
}

/// How many seeds a clause's absence takes to show as two owners.
fn caught(rules: Rules, duties: Duties, limit: u64) -> Option<u64> {
    (0..limit).find(|&seed| {
        let mut chaos = Chaos::new(seed, rules, duties);
        chaos.live(LIFE);
        !chaos.world.violations.is_empty()
    })
}

/// These show by themselves within a few lives; all others have a directed scenario (clauses.rs).
#[test]
fn the_model_catches_missing_clauses() {
    for rule in [
        Rule::RefuseWhilePromised,
        Rule::MatchEcho,
        Rule::ReleaseBySeq,
        Rule::NeedMajority,
        Rule::ForgetBeforeRelease,
    ] {
        let found = caught(Rules::ALL.without(rule), KEPT, 300);
        println!("without {rule:?}: two owners with seed {found:?}");
        assert!(found.is_some(), "{rule:?}: 300 lives without it, and never two owners");
    }
}
