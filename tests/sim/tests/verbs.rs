//! Pacemaker's lab verbs over many seeds: start and stop, standby, maintenance, recovery, component kill, near the
//! quorum point, resync of an empty configuration. Each step ends with an audit; `HAVEN_SIM_SEEDS=n` sets how many seeds,
//! `HAVEN_SIM_SEED=n` replays one and prints what happened.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests fail by panicking")]

use haven_sim_tests::{Life, Mutant, Verb};

/// Last lines of the trace that a replay shows.
const LINES: usize = 200;

fn each_seed(verb: Verb) {
    if let Ok(seed) = std::env::var("HAVEN_SIM_SEED") {
        if let Err((found, lines)) = Life::verb(seed.parse().unwrap(), verb, Mutant::None, true) {
            panic!("{}\n{found}", lines[lines.len().saturating_sub(LINES)..].join("\n"));
        }
        return;
    }
    let seeds = std::env::var("HAVEN_SIM_SEEDS").map_or(12, |text| text.parse().unwrap());
    let found: Vec<String> = (0..seeds)
        .filter_map(|seed| {
            let (found, _) = Life::verb(seed, verb, Mutant::None, false).err()?;
            Some(format!("seed {seed}: {found}"))
        })
        .collect();
    assert!(found.is_empty(), "{verb:?}: {} of {seeds} failed\n{}", found.len(), found.join("\n"));
}

#[test]
fn resources_and_daemons_stop_and_start() {
    each_seed(Verb::StartStop);
}

#[test]
fn nodes_in_standby_are_empty_and_come_back() {
    each_seed(Verb::Standby);
}

#[test]
fn in_maintenance_nothing_is_touched_and_afterwards_all_is_mended() {
    each_seed(Verb::Maintenance);
}

#[test]
fn what_dies_is_restarted_with_what_stands_upon_it() {
    each_seed(Verb::Recover);
}

#[test]
fn after_killed_daemons_and_lost_power_everything_runs_once() {
    each_seed(Verb::ComponentKill);
}

#[test]
fn with_two_of_three_all_runs_with_one_nothing_and_with_all_everything() {
    each_seed(Verb::NearQuorumPoint);
}

#[test]
fn a_node_without_a_configuration_gets_that_of_the_others() {
    each_seed(Verb::EmptyConfiguration);
}
