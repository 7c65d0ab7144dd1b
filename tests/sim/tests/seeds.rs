//! Lives of whole clusters, one per seed: a storm in which only safety is judged, then the calm in
//! which everything must heal.
//!
//! `HAVEN_SIM_SEED=n` replays one life and prints its trace; `HAVEN_SIM_SEEDS=n` sets how many the
//! usual test lives through, `HAVEN_SIM_FIRST=n` where it begins.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and print what they measured"
)]

use haven_sim_tests::{Life, Settings};

/// Last lines of the trace that a failure shows.
const LINES: usize = 40;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn live(seeds: std::ops::Range<u64>) {
    if let Some(seed) = number("HAVEN_SIM_SEED") {
        return replay(seed);
    }
    let (mut lived, mut failed) = (0, Vec::new());
    for seed in seeds.clone() {
        if std::env::var_os("HAVEN_SIM_LIST").is_some() {
            eprintln!("seed {seed} begins");
        }
        let ended = Life::new(seed, Settings::of(seed), false).live();
        lived += ended.lived / 1_000_000_000;
        if let Some(broken) = ended.broken {
            println!("seed {seed}: {broken}");
            failed.push((seed, broken));
        }
    }
    println!("{} seeds, {lived} s of clusters' time, {} failed", seeds.count(), failed.len());
    let Some((seed, broken)) = failed.first() else { return };
    let again = Life::new(*seed, Settings::of(*seed), true).live();
    for line in &again.lines[again.lines.len().saturating_sub(LINES)..] {
        eprintln!("{line}");
    }
    panic!(
        "seed {seed}: {broken}\nreplay: HAVEN_SIM_SEED={seed} cargo test -p haven-sim-tests --test \
         seeds usual_1 -- --nocapture"
    );
}

fn replay(seed: u64) {
    let settings = Settings::of(seed);
    println!("{settings:#?}");
    let ended = Life::new(seed, settings, true).live();
    for line in &ended.lines {
        println!("{line}");
    }
    if let Some(broken) = ended.broken {
        panic!("seed {seed}: {broken}");
    }
}

/// One of `parts` equal parts of the usual lives, so that several run at once.
fn usual(part: u64) {
    let seeds = number("HAVEN_SIM_SEEDS").unwrap_or(300);
    let first = number("HAVEN_SIM_FIRST").unwrap_or(0);
    live(first + seeds * part / 4..first + seeds * (part + 1) / 4);
}

/// As [`usual`], of ten thousand.
fn long(part: u64) {
    live(1_000 + part * 1_000..2_000 + part * 1_000);
}

#[test]
fn usual_1() {
    usual(0);
}

#[test]
fn usual_2() {
    usual(1);
}

#[test]
fn usual_3() {
    usual(2);
}

#[test]
fn usual_4() {
    usual(3);
}

#[test]
#[ignore = "long: a thousand lives, some five minutes"]
fn long_1() {
    long(0);
}

#[test]
#[ignore = "long: a thousand lives, some five minutes"]
fn long_2() {
    long(1);
}

#[test]
#[ignore = "long: a thousand lives, some five minutes"]
fn long_3() {
    long(2);
}

#[test]
#[ignore = "long: a thousand lives, some five minutes"]
fn long_4() {
    long(3);
}

#[test]
#[ignore = "long: a thousand lives, some five minutes"]
fn long_5() {
    long(4);
}

#[test]
#[ignore = "long: a thousand lives, some five minutes"]
fn long_6() {
    long(5);
}

#[test]
#[ignore = "long: a thousand lives, some five minutes"]
fn long_7() {
    long(6);
}

#[test]
#[ignore = "long: a thousand lives, some five minutes"]
fn long_8() {
    long(7);
}

#[test]
#[ignore = "long: a thousand lives, some five minutes"]
fn long_9() {
    long(8);
}

#[test]
#[ignore = "long: a thousand lives, some five minutes"]
fn long_10() {
    long(9);
}

/// The same seed lives the same life, to the last byte sent.
#[test]
fn a_seed_has_one_life() {
    for seed in [3, 17, 29, 41] {
        let life = || Life::new(seed, Settings::of(seed), false).live().trace_hash;
        assert_eq!(life(), life(), "seed {seed}");
    }
}
