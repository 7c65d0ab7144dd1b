//! The executor's rules, one test each.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::{Instant, WallTime};
use haven_types::operation::{
    AgentName, ExecutionStatus, Lease, OcfCode, Operation, Order, OrderId, Outcome,
};
use haven_types::{Epoch, GroupId, NodeId, Term};

use crate::{Executor, Input, MAX_QUEUED_PER_RESOURCE, Output, RunId};

const LEASE: Lease = Lease { group: GroupId(7), epoch: Epoch(3) };

fn operation(resource: &str, action: &str, interval_ms: u64) -> Operation {
    Operation {
        resource: resource.to_owned(),
        agent: AgentName {
            standard: "ocf".to_owned(),
            provider: Some("haven".to_owned()),
            name: "ip".to_owned(),
        },
        action: action.to_owned(),
        interval: Duration::from_millis(interval_ms),
        timeout: Duration::from_secs(1),
        params: BTreeMap::new(),
        meta: BTreeMap::new(),
    }
}

fn order(term: u64, number: u64, operation: Operation, lease: Option<Lease>) -> Input {
    let id = OrderId { term: Term(term), number };
    Input::Order(Order { id, operation, lease, cancel: false })
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn step(executor: &mut Executor, millis: u64, input: Input) -> Vec<Output> {
    executor.step(at(millis), WallTime::from_seconds(1), input)
}

fn finished(run: u64, code: OcfCode) -> Input {
    Input::AgentFinished { run: RunId(run), outcome: Outcome::done(code, "") }
}

fn started() -> Executor {
    let mut executor = Executor::new(NodeId(1));
    step(&mut executor, 0, order(1, 1, operation("vip", "start", 0), Some(LEASE)));
    step(&mut executor, 1, Input::LeaseGained(LEASE));
    step(&mut executor, 2, finished(1, OcfCode::OK));
    executor
}

#[test]
fn a_leased_start_waits_for_the_lease() {
    let mut executor = Executor::new(NodeId(1));
    let out = step(&mut executor, 0, order(1, 1, operation("vip", "start", 0), Some(LEASE)));
    assert_eq!(out, vec![Output::Claim(LEASE)]);
    let older = Lease { epoch: Epoch(2), ..LEASE };
    assert_eq!(step(&mut executor, 1, Input::LeaseGained(older)), vec![]);
    let out = step(&mut executor, 2, Input::LeaseGained(LEASE));
    assert!(matches!(out[..], [Output::RunAgent { run: RunId(1), .. }]));
    let out = step(&mut executor, 3, finished(1, OcfCode::OK));
    let [Output::Recorded(record)] = &out[..] else { panic!("{out:?}") };
    assert_eq!(record.order, Some(OrderId { term: Term(1), number: 1 }));
    assert_eq!(record.took, Duration::from_millis(1));
    assert_eq!(record.queued, Duration::from_millis(2));
    assert_eq!(record.lease, Some(LEASE));
}

#[test]
fn a_start_whose_lease_never_comes_times_out_and_gives_the_claim_up() {
    let mut executor = Executor::new(NodeId(1));
    step(&mut executor, 0, order(1, 1, operation("vip", "start", 0), Some(LEASE)));
    assert_eq!(executor.deadline(), Some(at(1000)));
    let out = step(&mut executor, 1000, Input::Tick);
    assert_eq!(out[0], Output::Release(LEASE.group));
    let Output::Recorded(record) = &out[1] else { panic!("{out:?}") };
    let status = record.outcome.as_ref().unwrap().status;
    assert_eq!(status, ExecutionStatus::Cancelled, "no fault of the resource");
    assert!(record.outcome.as_ref().unwrap().reason.contains("majority"));
    assert_eq!(executor.leases(), vec![]);
}

#[test]
fn a_stop_closes_the_gate_before_the_agent_runs() {
    let mut executor = started();
    let out = step(&mut executor, 10, order(1, 2, operation("vip", "stop", 0), None));
    assert_eq!(out, vec![Output::Release(LEASE.group)]);
    let out = step(&mut executor, 11, Input::LeaseReleased(LEASE.group));
    assert!(matches!(out[..], [Output::RunAgent { run: RunId(2), .. }]));
    step(&mut executor, 12, finished(2, OcfCode::OK));
    assert_eq!(executor.started().count(), 0);
    assert_eq!(executor.leases(), vec![]);
}

#[test]
fn a_stop_of_the_node_s_own_runs_once_and_answers_an_order_for_it() {
    let mut executor = started();
    let own = || Input::Stop(operation("vip", "stop", 0));
    assert_eq!(step(&mut executor, 10, own()), vec![Output::Release(LEASE.group)]);
    assert_eq!(step(&mut executor, 11, own()), vec![], "it is under way");
    assert_eq!(step(&mut executor, 12, order(1, 2, operation("vip", "stop", 0), None)), vec![]);
    let out = step(&mut executor, 13, Input::LeaseReleased(LEASE.group));
    assert!(matches!(out[..], [Output::RunAgent { run: RunId(2), .. }]), "{out:?}");
    let out = step(&mut executor, 14, finished(2, OcfCode::OK));
    let Some(Output::Recorded(record)) = out.first() else { panic!("{out:?}") };
    assert_eq!(record.order.map(|id| id.number), Some(2));
    assert_eq!(executor.started().count(), 0);
}

#[test]
fn a_start_ordered_again_while_the_lease_has_lapsed_does_not_give_it_up() {
    let mut executor = started();
    step(&mut executor, 3, Input::LeaseLost { lease: LEASE, superseded: false });
    let again = order(2, 1, operation("vip", "start", 0), Some(LEASE));
    assert_eq!(step(&mut executor, 4, again), vec![Output::Claim(LEASE)]);
    let out = step(&mut executor, 1_004, Input::Tick);
    assert!(!out.contains(&Output::Release(LEASE.group)), "{out:?}");
    let out = step(&mut executor, 1_005, Input::LeaseGained(LEASE));
    assert!(matches!(out[..], [Output::RunAgent { .. }]), "it mends what lapsed: {out:?}");
}

#[test]
fn a_start_whose_lease_goes_to_another_meanwhile_is_undone() {
    let mut executor = Executor::new(NodeId(1));
    step(&mut executor, 0, order(1, 1, operation("vip", "start", 0), Some(LEASE)));
    step(&mut executor, 1, Input::LeaseGained(LEASE));
    step(&mut executor, 2, Input::LeaseLost { lease: LEASE, superseded: true });
    let out = step(&mut executor, 3, finished(1, OcfCode::OK));
    let stops = |output: &Output| matches!(output, Output::RunAgent { operation, .. } if operation.action == "stop");
    assert!(out.iter().any(stops), "{out:?}");
    step(&mut executor, 4, finished(2, OcfCode::OK));
    assert_eq!(executor.started().count(), 0);
}

#[test]
fn what_lost_its_lease_stays_under_the_closed_gate_until_it_is_stopped() {
    let mut executor = started();
    let out = step(&mut executor, 3, Input::LeaseLost { lease: LEASE, superseded: true });
    assert!(matches!(out[..], [Output::RunAgent { .. }]), "it is stopped at once: {out:?}");
    let leases: Vec<_> = executor.started().map(|(_, lease)| lease).collect();
    assert_eq!(leases, [Some(LEASE)], "the address is there still");
    step(&mut executor, 4, finished(2, OcfCode::OK));
    assert_eq!(executor.started().count(), 0);
}

#[test]
fn a_stop_undoes_what_the_start_did_whatever_the_configuration_says_now() {
    let with = |action: &str, ip: &str| Operation {
        params: BTreeMap::from([("ip".to_owned(), ip.to_owned())]),
        ..operation("vip", action, 0)
    };
    for start in [OcfCode::OK, OcfCode::ERROR] {
        let mut executor = Executor::new(NodeId(1));
        step(&mut executor, 0, order(1, 1, with("start", "192.0.2.10"), None));
        step(&mut executor, 1, finished(1, start));
        // The address was changed; an orphan's stop would carry none at all.
        let out = step(&mut executor, 2, order(1, 2, with("stop", "192.0.2.11"), None));
        let [Output::RunAgent { operation, .. }] = &out[..] else { panic!("{out:?}") };
        assert_eq!(operation.params["ip"], "192.0.2.10");
        step(&mut executor, 3, finished(2, OcfCode::OK));
        let out = step(&mut executor, 4, order(1, 3, with("stop", "192.0.2.11"), None));
        let [Output::RunAgent { operation, .. }] = &out[..] else { panic!("{out:?}") };
        assert_eq!(operation.params["ip"], "192.0.2.11", "nothing is left to undo");
    }
}

#[test]
fn a_lease_shared_by_two_resources_is_released_by_the_last() {
    let mut executor = started();
    let out = step(&mut executor, 3, order(1, 2, operation("vip6", "start", 0), Some(LEASE)));
    assert!(matches!(out[..], [Output::RunAgent { .. }]), "the lease is held already: {out:?}");
    step(&mut executor, 4, finished(2, OcfCode::OK));
    let out = step(&mut executor, 5, order(1, 3, operation("vip6", "stop", 0), None));
    assert!(matches!(out[..], [Output::RunAgent { .. }]), "vip still runs under it: {out:?}");
    step(&mut executor, 6, finished(3, OcfCode::OK));
    let out = step(&mut executor, 7, order(1, 4, operation("vip", "stop", 0), None));
    assert_eq!(out, vec![Output::Release(LEASE.group)]);
}

#[test]
fn a_lapse_keeps_the_resource_and_its_return_is_announced() {
    let mut executor = started();
    let lost = Input::LeaseLost { lease: LEASE, superseded: false };
    assert_eq!(step(&mut executor, 10, lost), vec![]);
    let out = step(&mut executor, 20, Input::LeaseGained(LEASE));
    let [Output::RunAgent { operation, lease, .. }] = &out[..] else { panic!("{out:?}") };
    assert_eq!((operation.action.as_str(), *lease), ("start", Some(LEASE)));
}

#[test]
fn nothing_is_asked_of_a_resource_that_is_silent_for_want_of_its_lease() {
    let mut executor = started();
    step(&mut executor, 100, order(1, 2, operation("vip", "monitor", 50), None));
    step(&mut executor, 101, finished(2, OcfCode::OK));
    step(&mut executor, 110, Input::LeaseLost { lease: LEASE, superseded: false });
    assert_eq!(step(&mut executor, 150, Input::Tick), vec![]);
    assert_eq!(executor.deadline(), Some(at(200)), "nothing spins meanwhile");
    step(&mut executor, 210, Input::LeaseGained(LEASE));
    let out = step(&mut executor, 211, finished(3, OcfCode::OK));
    let [Output::Recorded(_), Output::RunAgent { operation, .. }] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(operation.action, "monitor");
}

#[test]
fn a_superseded_lease_stops_the_resource_here() {
    let mut executor = started();
    let lost = Input::LeaseLost { lease: LEASE, superseded: true };
    let out = step(&mut executor, 10, lost);
    let [Output::RunAgent { operation, .. }] = &out[..] else { panic!("{out:?}") };
    assert_eq!(operation.action, "stop");
    let out = step(&mut executor, 11, finished(2, OcfCode::OK));
    assert!(matches!(&out[..], [Output::Recorded(record)] if record.order.is_none()));
}

#[test]
fn a_stop_that_is_ordered_while_the_node_stops_by_itself_is_not_carried_out_twice() {
    let mut executor = started();
    step(&mut executor, 10, Input::LeaseLost { lease: LEASE, superseded: true });
    let out = step(&mut executor, 11, order(1, 5, operation("vip", "stop", 0), None));
    assert_eq!(out, vec![]);
    let out = step(&mut executor, 12, finished(2, OcfCode::OK));
    let id = OrderId { term: Term(1), number: 5 };
    assert!(matches!(&out[..], [Output::Recorded(record)] if record.order == Some(id)), "{out:?}");
    // The next is a stop of its own.
    let out = step(&mut executor, 13, order(1, 6, operation("vip", "stop", 0), None));
    assert!(matches!(out[..], [Output::RunAgent { .. }]), "{out:?}");
}

#[test]
fn a_gain_nobody_waits_for_is_given_back() {
    let mut executor = Executor::new(NodeId(1));
    let out = step(&mut executor, 0, Input::LeaseGained(LEASE));
    assert_eq!(out, vec![Output::Release(LEASE.group)]);
}

#[test]
fn orders_of_a_lower_term_are_refused() {
    let mut executor = Executor::new(NodeId(1));
    step(&mut executor, 0, Input::Term(Term(5)));
    let out = step(&mut executor, 1, order(4, 1, operation("vip", "start", 0), None));
    assert!(matches!(&out[..], [Output::Refused { reason, .. }] if reason.contains("term 4")));
    let out = step(&mut executor, 2, order(5, 1, operation("vip", "start", 0), None));
    assert!(matches!(out[..], [Output::RunAgent { .. }]));
}

#[test]
fn one_operation_of_a_resource_at_a_time_and_the_queue_is_bounded() {
    let mut executor = Executor::new(NodeId(1));
    let out = step(&mut executor, 0, order(1, 0, operation("a", "start", 0), None));
    assert_eq!(out.len(), 1);
    for number in 0..MAX_QUEUED_PER_RESOURCE {
        let op = operation("a", "monitor", 0);
        let out = step(&mut executor, 1, order(1, 1 + number as u64, op, None));
        assert_eq!(out, vec![]);
    }
    let out = step(&mut executor, 1, order(1, 99, operation("a", "monitor", 0), None));
    assert!(matches!(out[..], [Output::Refused { .. }]));
    let out = step(&mut executor, 2, finished(1, OcfCode::OK));
    assert!(matches!(out[..], [Output::Recorded(_), Output::RunAgent { run: RunId(2), .. }]));
}

#[test]
fn an_agent_that_does_not_answer_is_aborted() {
    let mut executor = Executor::new(NodeId(1));
    step(&mut executor, 0, order(1, 1, operation("a", "start", 0), None));
    assert_eq!(step(&mut executor, 999, Input::Tick), vec![]);
    let out = step(&mut executor, 1000, Input::Tick);
    assert_eq!(out[0], Output::AbortAgent(RunId(1)));
    assert!(matches!(&out[1], Output::Recorded(r)
        if r.outcome.as_ref().unwrap().status == ExecutionStatus::Timeout));
    assert_eq!(step(&mut executor, 1001, finished(1, OcfCode::OK)), vec![], "too late to count");
}

#[test]
fn run_times_are_measured_for_each_operation_and_timeouts_counted() {
    let mut executor = Executor::new(NodeId(1));
    for (number, took) in [(1, 30), (2, 40), (3, 2000)] {
        let began = number * 10_000;
        step(&mut executor, began, order(1, number, operation("a", "start", 0), None));
        step(&mut executor, began + took, Input::Tick);
        step(&mut executor, began + took, finished(number, OcfCode::OK));
    }
    let counters = executor.measured().counters();
    assert_eq!(counters["operation_a_start_0_count"], 3);
    assert_eq!(counters["operation_a_start_0_timeouts"], 1);
    let median = counters["operation_a_start_0_p50_us"];
    assert!((40_000..=50_000).contains(&median), "{median}");
    assert_eq!(counters["operation_a_start_0_max_us"], 2_000_000);
}

#[test]
fn recurring_operations_keep_their_grid_and_report_changes_only() {
    let mut executor = started();
    let out = step(&mut executor, 100, order(1, 2, operation("vip", "monitor", 50), None));
    assert!(matches!(out[..], [Output::RunAgent { run: RunId(2), .. }]));
    let out = step(&mut executor, 103, finished(2, OcfCode::OK));
    assert!(matches!(out[..], [Output::Recorded(_)]), "the first result is the order's answer");
    assert_eq!(executor.deadline(), Some(at(150)));
    step(&mut executor, 157, Input::Tick);
    assert_eq!(step(&mut executor, 158, finished(3, OcfCode::OK)), vec![], "nothing changed");
    assert_eq!(executor.deadline(), Some(at(200)), "a late call does not shift the grid");
    step(&mut executor, 200, Input::Tick);
    let out = step(&mut executor, 201, finished(4, OcfCode::NOT_RUNNING));
    assert!(matches!(out[..], [Output::Recorded(_)]));
    step(&mut executor, 220, order(1, 3, operation("vip", "stop", 0), None));
    step(&mut executor, 221, Input::LeaseReleased(LEASE.group));
    step(&mut executor, 222, finished(5, OcfCode::OK));
    assert_eq!(executor.deadline(), None, "a stop ends the monitors");
}

#[test]
fn cancelling_ends_a_recurring_operation() {
    let mut executor = started();
    step(&mut executor, 100, order(1, 2, operation("vip", "monitor", 50), None));
    step(&mut executor, 101, finished(2, OcfCode::OK));
    let id = OrderId { term: Term(1), number: 3 };
    let operation = operation("vip", "monitor", 50);
    let cancel = Input::Order(Order { id, operation, lease: None, cancel: true });
    let out = step(&mut executor, 110, cancel);
    assert!(matches!(&out[..], [Output::Recorded(r)] if r.order == Some(id)));
    assert_eq!(executor.deadline(), None);
}

#[test]
fn a_resumed_executor_goes_on_with_what_runs() {
    let mut executor = started();
    step(&mut executor, 100, order(1, 2, operation("vip", "monitor", 50), None));
    let executor = executor.resumed(at(5000));
    assert!(!executor.busy());
    assert_eq!(executor.leases(), vec![LEASE]);
    assert_eq!(executor.started().count(), 1);
}

#[test]
fn a_stop_forgotten_in_a_restart_leaves_the_resource_to_its_lease() {
    let mut executor = started();
    let out = step(&mut executor, 100, order(1, 2, operation("vip", "stop", 0), None));
    assert_eq!(out, [Output::Release(LEASE.group)]);
    let mut executor = executor.resumed(at(5_000));
    assert_eq!(executor.leases(), [LEASE], "it runs still, and asks on");
    // Granted to another node meanwhile: then it is stopped here.
    let lost = Input::LeaseLost { lease: LEASE, superseded: true };
    let out = step(&mut executor, 5_001, lost);
    let stops =
        |o: &Output| matches!(o, Output::RunAgent { operation, .. } if operation.action == "stop");
    assert!(out.iter().any(stops), "{out:?}");
}

/// What may stand on the host, with the epochs of its leases.
fn touched(executor: &Executor) -> Vec<(String, Option<u64>)> {
    let all = executor
        .touched()
        .map(|(operation, lease)| (operation.resource.clone(), lease.map(|lease| lease.epoch.0)));
    let mut all: Vec<_> = all.collect();
    all.dedup();
    all
}

// spec: L8
#[test]
fn what_a_failed_start_left_is_known_until_it_is_stopped() {
    let vip = |epoch| vec![("vip".to_owned(), Some(epoch))];
    let mut executor = Executor::new(NodeId(1));
    assert_eq!(touched(&executor), []);
    let mut version = executor.touched_version();
    let mut changed = |executor: &Executor| {
        std::mem::replace(&mut version, executor.touched_version()) != executor.touched_version()
    };
    step(&mut executor, 0, order(1, 1, operation("vip", "start", 0), Some(LEASE)));
    assert_eq!(touched(&executor), vip(3), "while it waits for its lease");
    assert!(changed(&executor));
    step(&mut executor, 1, Input::LeaseGained(LEASE));
    step(&mut executor, 2, finished(1, OcfCode::ERROR));
    assert_eq!((touched(&executor), executor.started().count()), (vip(3), 0));
    assert!(changed(&executor));
    // Tried again under the next epoch, which never comes.
    let next = Lease { epoch: Epoch(4), ..LEASE };
    step(&mut executor, 10, order(1, 2, operation("vip", "start", 0), Some(next)));
    step(&mut executor, 20_000, Input::Tick);
    assert_eq!(touched(&executor), vip(3), "what the first try left stays");
    let resumed = executor.clone().resumed(at(20_000));
    assert_eq!(touched(&resumed), vip(3));
    step(&mut executor, 20_001, order(1, 3, operation("vip", "stop", 0), None));
    changed(&executor);
    step(&mut executor, 20_002, finished(2, OcfCode::OK));
    assert_eq!(touched(&executor), []);
    assert!(changed(&executor));
    // Without a lease there is nothing to guard it by.
    step(&mut executor, 20_003, order(1, 4, operation("vip", "start", 0), None));
    assert_eq!(touched(&executor), [("vip".to_owned(), None)]);
}

fn outside(resource: &str, action: &str, interval_ms: u64) -> Operation {
    let agent = AgentName {
        standard: "ocf".to_owned(),
        provider: Some("heartbeat".to_owned()),
        name: "Dummy".to_owned(),
    };
    Operation { agent, ..operation(resource, action, interval_ms) }
}

fn called(out: &[Output]) -> Vec<(u64, String)> {
    out.iter()
        .filter_map(|output| match output {
            Output::RunAgent { run, operation, .. } => Some((run.0, operation.resource.clone())),
            Output::AbortAgent(_)
            | Output::Claim(_)
            | Output::Release(_)
            | Output::Recorded(_)
            | Output::Refused { .. } => None,
        })
        .collect()
}

fn call(run: u64, resource: &str) -> (u64, String) {
    (run, resource.to_owned())
}

#[test]
fn calls_beyond_what_the_processors_can_do_wait_for_their_turn_in_order() {
    let mut executor = Executor::new(NodeId(1));
    step(&mut executor, 0, Input::Pace(2));
    let mut start = |number: u64, name: &str| {
        called(&step(&mut executor, 0, order(1, number, outside(name, "start", 0), None)))
    };
    assert_eq!(start(1, "z"), [call(1, "z")]);
    assert_eq!(start(2, "b"), [call(2, "b")]);
    assert_eq!(start(3, "c"), []);
    assert_eq!(start(4, "a"), []);
    let built_in = order(1, 5, operation("vip", "start", 0), Some(LEASE));
    assert_eq!(step(&mut executor, 0, built_in), [Output::Claim(LEASE)]);
    let out = step(&mut executor, 1, Input::LeaseGained(LEASE));
    assert_eq!(called(&out), [call(3, "vip")], "an address never waits for somebody's shell");
    let out = step(&mut executor, 10, finished(2, OcfCode::OK));
    assert_eq!(called(&out), [call(4, "c")]);
    let Output::Recorded(_) = &out[0] else { panic!("{out:?}") };
    let out = step(&mut executor, 30, finished(4, OcfCode::OK));
    let Some(Output::Recorded(record)) = out.first() else { panic!("{out:?}") };
    assert_eq!((record.queued, record.took).0, Duration::from_millis(10));
    assert_eq!(record.took, Duration::from_millis(20));
    assert_eq!(called(&out), [call(5, "a")]);
}

#[test]
fn a_start_of_ten_minutes_takes_the_place_of_no_other_for_longer_than_a_moment() {
    let mut executor = Executor::new(NodeId(1));
    step(&mut executor, 0, Input::Pace(1));
    let slow = Operation { timeout: Duration::from_secs(600), ..outside("slow", "start", 0) };
    step(&mut executor, 0, order(1, 1, slow, None));
    let out = step(&mut executor, 100, order(1, 2, outside("quick", "start", 0), None));
    assert_eq!(called(&out), []);
    assert_eq!(executor.deadline(), Some(at(250)));
    assert_eq!(called(&step(&mut executor, 249, Input::Tick)), []);
    assert_eq!(called(&step(&mut executor, 250, Input::Tick)), [call(2, "quick")]);
    let out = step(&mut executor, 270, finished(2, OcfCode::OK));
    assert!(matches!(out[..], [Output::Recorded(_)]));
    assert_eq!(executor.deadline(), Some(at(600_000)), "nothing spins");
    let out = step(&mut executor, 280, order(1, 3, outside("third", "start", 0), None));
    assert_eq!(called(&out), [call(3, "third")], "the slow one keeps no processor busy");
}

#[test]
fn a_timeout_counts_from_the_call_and_frees_the_place() {
    let mut executor = Executor::new(NodeId(1));
    step(&mut executor, 0, Input::Pace(1));
    let hang = Operation { timeout: Duration::from_millis(200), ..outside("hang", "start", 0) };
    step(&mut executor, 0, order(1, 1, hang.clone(), None));
    step(&mut executor, 50, order(1, 2, Operation { resource: "next".to_owned(), ..hang }, None));
    let out = step(&mut executor, 200, Input::Tick);
    assert_eq!(out[0], Output::AbortAgent(RunId(1)));
    assert_eq!(called(&out), [call(2, "next")]);
    assert_eq!(executor.deadline(), Some(at(400)), "not from the order");
    assert_eq!(step(&mut executor, 201, finished(1, OcfCode::OK)), [], "too late");
}

/// With a search over all resources for each event this would take minutes.
#[test]
fn ten_thousand_recurring_operations_cost_no_more_for_each() {
    const RESOURCES: u64 = 10_000;
    let mut executor = Executor::new(NodeId(1));
    let mut run = 0;
    for number in 0..RESOURCES {
        for (action, interval) in [("start", 0), ("monitor", 10_000)] {
            let operation = operation(&format!("r{number}"), action, interval);
            let begun = step(&mut executor, number, order(1, number, operation, None));
            run += 1;
            assert_eq!(called(&begun).len(), 1);
            step(&mut executor, number, finished(run, OcfCode::OK));
        }
    }
    assert_eq!((executor.started_count(), executor.started().count()), (10_000, 10_000));
    let (mut calls, mut now) = (0, RESOURCES);
    while now < 30_000 {
        now = executor.deadline().unwrap().as_nanos() / 1_000_000;
        for (run, _) in called(&step(&mut executor, now, Input::Tick)) {
            calls += 1;
            assert_eq!(step(&mut executor, now, finished(run, OcfCode::OK)), [], "nothing changed");
        }
    }
    assert!((20_000..=20_001).contains(&calls), "{calls}");
}
