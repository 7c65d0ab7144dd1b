//! Every fault once, on a cluster of three, judged from what the nodes sent.

use std::time::Duration;

use haven_lab::Family;
use haven_lab::scenario::{Outcome, Scenario};
use haven_netns_tests::{Lab, assert_one_owner, lab};

/// The promise is 250 ms (docs/benchmarks.md holds it over many runs of a release build); one run of
/// a build without optimisation, on a machine that may be compiling, gets twice that.
const TAKEOVER_LIMIT: Duration = Duration::from_millis(500);
/// The aim of a release build is 5 ms.
const SWITCHOVER_LIMIT: Duration = Duration::from_millis(100);
const AFTER_HEAL: Duration = Duration::from_secs(3);
/// Longer than a client of other software was seen to ask, after a heal, a node that had given the address up.
const LONG_AFTER_HEAL: Duration = Duration::from_secs(60);
/// A machine that stands still makes any takeover late. One late try is therefore borne where so many after it are
/// timely, each of them; one owner that moves no more than its fault explains, and planned moves that refuse no
/// connection, must be shown by every try.
const AFTER_A_LATE_ONE: usize = 2;

/// Fails unless this one experiment shows what any must.
fn assert_sound(outcome: &Outcome) {
    let table = outcome.report.table();
    assert_one_owner(&outcome.report);
    assert_eq!(outcome.unexplained_moves(), None, "{}\n{table}", outcome.scenario);
    if outcome.scenario == Scenario::SwitchOver {
        let connects = outcome.report.connects;
        // A packet lost in the milliseconds of the move is sent again after a second: late, not lost. A server that
        // is late itself may lose one that it accepted, which only another try can tell from the rule.
        assert!(connects.refused == 0 && connects.lost <= 1, "connections were lost\n{table}");
    }
}

/// Does the experiment, and again where it was late: `timely` must hold for most tries.
fn shown(lab: &mut Lab, scenario: Scenario, timely: impl Fn(&Outcome) -> bool) {
    shown_for(AFTER_HEAL, lab, scenario, timely);
}

/// The same, each try watched for `after_heal`.
fn shown_for(
    after_heal: Duration,
    lab: &mut Lab,
    scenario: Scenario,
    timely: impl Fn(&Outcome) -> bool,
) {
    let mut one = || {
        let outcome = lab.experiment(scenario, after_heal);
        assert_sound(&outcome);
        outcome
    };
    let first = one();
    if timely(&first) {
        return;
    }
    for _ in 0..AFTER_A_LATE_ONE {
        let again = one();
        let tables = [&first, &again].map(|late| late.report.table()).join("\n");
        assert!(timely(&again), "{scenario}: two tries did not go as promised\n{tables}");
    }
}

/// Does the experiment once: its owner stays the only one.
fn unmoved(lab: &mut Lab, scenario: Scenario) -> Outcome {
    let outcome = lab.experiment(scenario, AFTER_HEAL);
    assert_sound(&outcome);
    outcome
}

fn moved(outcome: &Outcome) -> bool {
    outcome.owner_after.is_some() && outcome.owner_after != outcome.owner_before
}

fn taken_over(outcome: &Outcome) -> bool {
    let longest = outcome.outage.max(outcome.outage_after_heal);
    moved(outcome) && longest <= TAKEOVER_LIMIT
}

fn owner_lost(name: &str, family: Family, scenario: Scenario) {
    let Some(mut lab) = lab(name, 3, false, family) else { return };
    shown(&mut lab, scenario, taken_over);
}

#[test]
fn an_owner_whose_ports_go_down_is_succeeded() {
    owner_lost("f-down", Family::V4, Scenario::LinkDown);
}

#[test]
fn an_owner_that_is_cut_off_is_succeeded() {
    owner_lost("f-cut", Family::V4, Scenario::Cut);
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn an_owner_that_is_cut_off_is_succeeded_over_ipv6() {
    owner_lost("f-cut6", Family::V6, Scenario::Cut);
}

#[test]
fn a_paused_owner_is_succeeded_and_wakes_up_in_silence() {
    owner_lost("f-pause", Family::V4, Scenario::Pause);
}

#[test]
fn a_paused_owner_is_succeeded_and_wakes_up_in_silence_over_ipv6() {
    owner_lost("f-pause6", Family::V6, Scenario::Pause);
}

#[test]
fn a_killed_owner_is_succeeded_though_its_kernel_keeps_the_address() {
    owner_lost("f-kill", Family::V4, Scenario::Kill);
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn a_killed_owner_is_succeeded_over_ipv6() {
    owner_lost("f-kill6", Family::V6, Scenario::Kill);
}

#[test]
fn an_owner_alone_in_a_partition_falls_silent() {
    owner_lost("f-part", Family::V4, Scenario::Partition);
}

#[test]
#[ignore = "long: two more whole clusters, watched for a minute each, run by ./dev test --all"]
fn a_healed_partition_leaves_no_client_without_an_answer_in_the_minute_after_it() {
    for (name, family) in [("f-heal", Family::V4), ("f-heal6", Family::V6)] {
        let Some(mut lab) = lab(name, 3, false, family) else { return };
        let answered = |o: &Outcome| moved(o) && o.outage_after_heal <= TAKEOVER_LIMIT;
        shown_for(LONG_AFTER_HEAL, &mut lab, Scenario::Partition, answered);
    }
}

fn switched_over(lab: &mut Lab) {
    let whole = |o: &Outcome| o.outage <= SWITCHOVER_LIMIT && o.report.connects.lost == 0;
    shown(lab, Scenario::SwitchOver, |o| taken_over(o) && whole(o));
}

#[test]
fn a_planned_switchover_loses_no_connection() {
    let Some(mut lab) = lab("f-switch", 3, false, Family::V4) else { return };
    switched_over(&mut lab);
}

#[test]
fn short_pauses_never_make_two_owners() {
    let Some(mut lab) = lab("f-short", 3, false, Family::V4) else { return };
    assert_one_owner(&lab.experiment(Scenario::ShortPauses, AFTER_HEAL).report);
}

#[test]
fn noise_moves_nothing() {
    let Some(mut lab) = lab("f-noise", 3, false, Family::V4) else { return };
    unmoved(&mut lab, Scenario::Noise);
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn noise_on_one_link_and_busy_processors_move_nothing_and_an_owner_killed_in_noise_is_succeeded() {
    let Some(mut lab) = lab("f-noises", 3, false, Family::V4) else { return };
    unmoved(&mut lab, Scenario::NoiseOneLink);
    unmoved(&mut lab, Scenario::Busy);
    shown(&mut lab, Scenario::NoiseKill, |outcome| {
        moved(outcome) && outcome.outage <= Duration::from_millis(1_500)
    });
}

fn restarted(lab: &mut Lab) {
    let outcome = unmoved(lab, Scenario::Restart);
    let probes = outcome.report.probes;
    assert_eq!(
        probes.sent - probes.answered,
        0,
        "probes got no answer\n{}",
        outcome.report.table()
    );
}

#[test]
fn a_planned_restart_of_the_daemon_goes_unnoticed() {
    let Some(mut lab) = lab("f-restart", 3, false, Family::V4) else { return };
    restarted(&mut lab);
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn what_befalls_an_ipv4_address_befalls_an_ipv6_address_no_worse() {
    let Some(mut lab) = lab("f-all6", 3, false, Family::V6) else { return };
    shown(&mut lab, Scenario::LinkDown, taken_over);
    shown(&mut lab, Scenario::Partition, taken_over);
    switched_over(&mut lab);
    unmoved(&mut lab, Scenario::Noise);
    restarted(&mut lab);
    assert_one_owner(&lab.experiment(Scenario::ShortPauses, AFTER_HEAL).report);
}

#[test]
fn two_nodes_and_a_witness_are_enough() {
    let Some(mut lab) = lab("f-witness", 2, true, Family::V4) else { return };
    shown(&mut lab, Scenario::Cut, taken_over);
}
