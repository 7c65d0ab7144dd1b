//! Starts and stops in one lease group that overtake each other's claims and releases.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use haven_base::{Instant, Rng, WallTime};
use haven_types::operation::{
    AgentName, ExecutionStatus, Lease, OcfCode, Operation, Order, OrderId, Outcome,
};
use haven_types::{Epoch, GroupId, NodeId, Term};

use crate::{Executor, Input, Output, RunId};

const LEASE: Lease = Lease { group: GroupId(7), epoch: Epoch(3) };

fn order(number: u64, resource: &str, action: &str) -> Input {
    let agent = AgentName {
        standard: "ocf".to_owned(),
        provider: Some("haven".to_owned()),
        name: "ip".to_owned(),
    };
    let operation = Operation {
        resource: resource.to_owned(),
        agent,
        action: action.to_owned(),
        interval: Duration::ZERO,
        timeout: Duration::from_secs(20),
        params: BTreeMap::new(),
        meta: BTreeMap::new(),
    };
    let id = OrderId { term: Term(1), number };
    let lease = (action == "start").then_some(LEASE);
    Input::Order(Order { id, operation, lease, cancel: false })
}

fn step(executor: &mut Executor, input: Input) -> Vec<Output> {
    executor.step(Instant::from_nanos(1), WallTime::from_seconds(1), input)
}

fn finished(run: u64) -> Input {
    Input::AgentFinished { run: RunId(run), outcome: Outcome::done(OcfCode::OK, "") }
}

/// One of a group is started, then stopped: its gate is about to close.
fn releasing() -> Executor {
    let mut executor = Executor::new(NodeId(1));
    step(&mut executor, order(1, "one", "start"));
    step(&mut executor, Input::LeaseGained(LEASE));
    step(&mut executor, finished(1));
    let out = step(&mut executor, order(2, "one", "stop"));
    assert_eq!(out, [Output::Release(LEASE.group)]);
    executor
}

#[test]
fn a_start_while_its_group_is_being_released_asks_for_the_lease_anew() {
    let mut executor = releasing();
    let out = step(&mut executor, order(3, "other", "start"));
    assert_eq!(out, [Output::Claim(LEASE)], "the gate is about to close");
    let out = step(&mut executor, Input::LeaseReleased(LEASE.group));
    let [Output::RunAgent { operation, .. }] = &out[..] else { panic!("{out:?}") };
    assert_eq!((&*operation.resource, &*operation.action), ("one", "stop"));
    let out = step(&mut executor, Input::LeaseGained(LEASE));
    let [Output::RunAgent { operation, .. }] = &out[..] else { panic!("{out:?}") };
    assert_eq!((&*operation.resource, &*operation.action), ("other", "start"));
}

#[test]
fn a_lease_that_comes_after_its_last_user_has_left_is_given_back() {
    let mut executor = releasing();
    let out = step(&mut executor, Input::LeaseGained(LEASE));
    assert_eq!(out, [Output::Release(LEASE.group)]);
    let out = step(&mut executor, order(3, "other", "start"));
    assert_eq!(out, [Output::Claim(LEASE)]);
}

#[test]
fn a_lease_that_was_gained_before_its_release_holds_for_nobody_after_it() {
    let mut executor = releasing();
    step(&mut executor, order(3, "other", "start"));
    // It was on its way when the release was asked for.
    let out = step(&mut executor, Input::LeaseGained(LEASE));
    assert!(matches!(out[..], [Output::RunAgent { run: RunId(2), .. }]), "{out:?}");
    step(&mut executor, finished(2));
    step(&mut executor, Input::LeaseReleased(LEASE.group));
    let out = step(&mut executor, order(4, "third", "start"));
    assert_eq!(out, [Output::Claim(LEASE)]);
    let out = step(&mut executor, Input::LeaseGained(LEASE));
    assert_eq!(out.len(), 2, "what had started without a gate is started anew: {out:?}");
}

fn at(executor: &mut Executor, millis: u64, input: Input) -> Vec<Output> {
    executor.step(Instant::from_nanos(millis * 1_000_000), WallTime::from_seconds(1), input)
}

fn refused(reason: &str) -> Input {
    Input::ClaimRefused { group: LEASE.group, reason: reason.to_owned() }
}

#[test]
fn a_start_for_whose_lease_there_is_no_room_fails_after_a_moment_and_says_so() {
    let mut executor = Executor::new(NodeId(1));
    at(&mut executor, 0, order(1, "one", "start"));
    assert_eq!(at(&mut executor, 1, refused("n1 holds 64 leases already")), []);
    assert_eq!(executor.deadline(), Some(Instant::from_nanos(1_001_000_000)));
    let out = at(&mut executor, 1_001, Input::Tick);
    let [Output::Recorded(record)] = &out[..] else { panic!("{out:?}") };
    let outcome = record.outcome.as_ref().unwrap();
    assert_eq!((outcome.status, outcome.code), (ExecutionStatus::Error, OcfCode::ERROR));
    assert_eq!(outcome.reason, "n1 holds 64 leases already");
    assert_eq!((executor.leases(), executor.busy()), (vec![], false));
    assert_eq!(at(&mut executor, 1_002, refused("again")), [], "nobody waits");
    assert_eq!(executor.deadline(), None);
    let another = Input::LeaseReleased(GroupId(8));
    assert_eq!(at(&mut executor, 1_003, another), [], "nor does anybody want it any more");
    // What follows a failed start.
    let out = at(&mut executor, 1_004, order(2, "one", "stop"));
    assert!(matches!(out[..], [Output::RunAgent { lease: None, .. }]), "{out:?}");
}

/// One plan stops one thing and starts another: on a full node, whichever comes first.
#[test]
fn a_start_gets_the_room_of_what_is_released_a_moment_later() {
    let mut executor = Executor::new(NodeId(1));
    at(&mut executor, 0, order(1, "one", "start"));
    at(&mut executor, 1, refused("n1 holds 64 leases already"));
    let another = || Input::LeaseReleased(GroupId(8));
    assert_eq!(at(&mut executor, 500, another()), [Output::Claim(LEASE)]);
    // Others were faster.
    assert_eq!(at(&mut executor, 501, refused("n1 holds 64 leases already")), []);
    assert_eq!(at(&mut executor, 1_400, another()), [Output::Claim(LEASE)]);
    // It waits for the voters now, as long as any.
    let timeout = Some(Instant::from_nanos(20_000_000_000));
    assert_eq!(executor.deadline(), timeout);
    assert_eq!(at(&mut executor, 1_401, another()), [], "it is asked for already");
    let out = at(&mut executor, 19_000, Input::LeaseGained(LEASE));
    let [Output::RunAgent { operation, .. }] = &out[..] else { panic!("{out:?}") };
    assert_eq!((&*operation.resource, &*operation.action), ("one", "start"));
}

#[test]
fn a_start_whose_voters_are_silent_once_there_was_room_does_not_count_as_failed() {
    let mut executor = Executor::new(NodeId(1));
    at(&mut executor, 0, order(1, "one", "start"));
    at(&mut executor, 1, refused("n1 holds 64 leases already"));
    at(&mut executor, 2, Input::LeaseReleased(GroupId(8)));
    let out = at(&mut executor, 20_000, Input::Tick);
    let [Output::Release(_), Output::Recorded(record)] = &out[..] else { panic!("{out:?}") };
    assert_eq!(record.outcome.as_ref().unwrap().status, ExecutionStatus::Cancelled);
}

/// What keeps the node's leases, as far as an executor can tell.
#[derive(Debug, Default, PartialEq)]
enum Holder {
    #[default]
    Idle,
    Claiming {
        gained: bool,
    },
    Closing {
        claimed: bool,
    },
}

/// An executor, and what is on its way between it and the holder.
struct Bed {
    executor: Executor,
    holder: Holder,
    asked: VecDeque<Output>,
    told: VecDeque<Input>,
    runs: VecDeque<u64>,
    orders: u64,
}

impl Bed {
    fn give(&mut self, input: Input) {
        for output in step(&mut self.executor, input) {
            match output {
                Output::RunAgent { run, .. } => self.runs.push_back(run.0),
                Output::Claim(_) | Output::Release(_) => self.asked.push_back(output),
                Output::AbortAgent(_) | Output::Recorded(_) => {}
                Output::Refused { reason, .. } => panic!("{reason}"),
            }
        }
    }

    fn order(&mut self, resource: &str, action: &str) {
        self.orders += 1;
        self.give(order(self.orders, resource, action));
    }

    /// The holder takes what was asked of it first.
    fn ask(&mut self) {
        let Some(asked) = self.asked.pop_front() else { return };
        let claims = matches!(asked, Output::Claim(_));
        self.holder = match (&self.holder, claims) {
            (Holder::Idle, true) => Holder::Claiming { gained: false },
            (Holder::Claiming { gained }, true) => Holder::Claiming { gained: *gained },
            (Holder::Closing { .. }, claimed) => Holder::Closing { claimed },
            (Holder::Claiming { .. }, false) => Holder::Closing { claimed: false },
            (Holder::Idle, false) => {
                self.told.push_back(Input::LeaseReleased(LEASE.group));
                Holder::Idle
            }
        };
    }

    /// A majority answers, or the kernel.
    fn answer(&mut self) {
        match self.holder {
            Holder::Claiming { gained: false } => {
                self.holder = Holder::Claiming { gained: true };
                self.told.push_back(Input::LeaseGained(LEASE));
            }
            Holder::Closing { claimed } => {
                self.told.push_back(Input::LeaseReleased(LEASE.group));
                self.holder =
                    if claimed { Holder::Claiming { gained: false } } else { Holder::Idle };
            }
            Holder::Idle | Holder::Claiming { gained: true } => {}
        }
    }

    fn lapse(&mut self) {
        if self.holder == (Holder::Claiming { gained: true }) {
            self.holder = Holder::Claiming { gained: false };
            self.told.push_back(Input::LeaseLost { lease: LEASE, superseded: false });
        }
    }

    fn tell(&mut self) {
        if let Some(input) = self.told.pop_front() {
            self.give(input);
        }
    }

    fn finish(&mut self) {
        if let Some(run) = self.runs.pop_front() {
            self.give(finished(run));
        }
    }

    /// Until nothing is on its way.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            self.ask();
            self.answer();
            self.tell();
            self.finish();
        }
        assert!(!self.executor.busy() && self.asked.is_empty() && self.told.is_empty());
    }
}

/// Whatever overtakes what, in the end a lease is held exactly where something runs by it.
#[test]
fn what_runs_holds_its_lease_and_nothing_else_does() {
    for seed in 0..2_000 {
        let mut rng = Rng::new(seed);
        let mut bed = Bed {
            executor: Executor::new(NodeId(1)),
            holder: Holder::Idle,
            asked: VecDeque::new(),
            told: VecDeque::new(),
            runs: VecDeque::new(),
            orders: 0,
        };
        let mut wanted = BTreeMap::from([("one", false), ("other", false)]);
        for _ in 0..60 {
            match rng.below(10) {
                0 | 1 => {
                    let name = if rng.chance(1, 2) { "one" } else { "other" };
                    let starts = !wanted[name];
                    wanted.insert(name, starts);
                    bed.order(name, if starts { "start" } else { "stop" });
                }
                2 | 3 => bed.ask(),
                4 => bed.answer(),
                5 => bed.lapse(),
                6 | 7 => bed.tell(),
                _ => bed.finish(),
            }
        }
        bed.settle();
        let runs = wanted.values().filter(|wanted| **wanted).count();
        assert_eq!(bed.executor.started_count(), runs, "seed {seed}");
        let holder = if runs > 0 { Holder::Claiming { gained: true } } else { Holder::Idle };
        assert_eq!(bed.holder, holder, "seed {seed}: {wanted:?}");
        assert_eq!(bed.executor.leases().len(), usize::from(runs > 0), "seed {seed}");
    }
}
