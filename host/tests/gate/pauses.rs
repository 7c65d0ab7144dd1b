//! A process stopped or killed at any step of a renewal or a closing leaves nothing open past the deadline.

use std::time::{Duration, Instant};

use haven_base::Instant as BootTime;

use crate::bed::{Bed, from_now, possible};
use crate::daemon::Daemon;
use crate::trace::Trace;

/// How far ahead deadlines are, where tracing to the stop takes next to no time.
const AHEAD: Duration = Duration::from_millis(500);

/// Orders that choose the back end.
const BPF: &str = "choice auto";
const NFT: &str = "choice nft";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Resumed,
    Killed,
}

/// Where in the order to stop.
#[derive(Debug, Clone, Copy)]
enum Stop {
    /// At the given entry or exit of a system call, from 1.
    Call(u32),
    /// After the given number of instructions.
    Instruction(u32),
}

fn owner(bed: &Bed, choice: &str) -> Daemon {
    let mut daemon = Daemon::start(bed);
    assert_eq!(daemon.ask(choice), "ok");
    daemon.own("exclusive");
    daemon
}

fn wait_until(bed: &Bed, deadline: BootTime) {
    while from_now(Duration::ZERO) < deadline {
        bed.port.receive(deadline.since(from_now(Duration::ZERO)));
    }
}

/// Stops the daemon within `order` until `deadline` is past; false when it answered before the stop.
fn hold(bed: &Bed, daemon: &mut Daemon, order: &str, stop: Stop, end: (BootTime, Fate)) -> bool {
    let (deadline, fate) = end;
    let thread: i32 = daemon.ask("thread").parse().unwrap();
    let trace = Trace::seize(thread);
    daemon.order(order);
    trace.until_order();
    let reached = match stop {
        Stop::Call(count) => trace.calls(count),
        Stop::Instruction(count) => trace.instructions(count, || daemon.answered()),
    };
    let Some(reached) = reached else {
        drop(trace);
        daemon.answer();
        return false;
    };
    let what = format!("{order}, stopped at {stop:?} ({reached:?}), {fate:?}");
    assert!(from_now(Duration::ZERO) < deadline, "{what}: too late to prove anything");
    if fate == Fate::Killed {
        daemon.child.kill().unwrap();
        trace.reap();
        drop(daemon.child.wait());
    }
    wait_until(bed, deadline);
    bed.assert_silent(&format!("{what}: past the deadline"));
    drop(trace);
    if fate == Fate::Resumed {
        let answer = daemon.answer();
        bed.assert_silent(&format!("{what}: answered {answer}"));
        assert_eq!(daemon.ask("open-groups"), "0", "{what}");
    }
    true
}

/// Tries every stop from `stops` on a renewal and on a closing.
fn at_every_stop(
    choice: &str,
    (fate, ahead): (Fate, Duration),
    mut stops: impl FnMut(u32) -> Option<Stop>,
) -> u32 {
    let bed = Bed::new();
    let mut daemon = owner(&bed, choice);
    let mut held = 0;
    for order in ["renew-at", "close"] {
        for number in 1.. {
            let Some(stop) = stops(number) else { break };
            let deadline = from_now(ahead);
            let nanos = deadline.as_nanos();
            let before = if order == "close" { nanos } else { nanos - 100_000_000 };
            assert!(daemon.ask(&format!("renew-at {before}")).starts_with("open"));
            let order =
                if order == "close" { order.to_owned() } else { format!("{order} {nanos}") };
            if !hold(&bed, &mut daemon, &order, stop, (deadline, fate)) {
                break;
            }
            held += 1;
            if fate == Fate::Killed {
                daemon = owner(&bed, choice);
            }
        }
    }
    held
}

#[test]
fn stopped_before_or_after_any_system_call() {
    if !possible() {
        return;
    }
    let held = at_every_stop(BPF, (Fate::Resumed, AHEAD), |number| Some(Stop::Call(number)));
    // bpf(2) is entered and left, once for each order.
    assert!(held >= 4, "{held} stops");
}

#[test]
fn killed_before_or_after_any_system_call() {
    if !possible() {
        return;
    }
    let held = at_every_stop(BPF, (Fate::Killed, AHEAD), |number| Some(Stop::Call(number)));
    assert!(held >= 4, "{held} stops");
}

#[test]
fn stopped_or_killed_around_any_system_call_with_nftables() {
    if !possible() {
        return;
    }
    for fate in [Fate::Resumed, Fate::Killed] {
        let held = at_every_stop(NFT, (fate, AHEAD), |number| Some(Stop::Call(number)));
        // A renewal is two batches, each sent and acknowledged.
        assert!(held >= 10, "{held} stops");
    }
}

#[test]
fn killed_while_it_takes_the_gate_over() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    let mut first = owner(&bed, BPF);
    assert!(first.ask("renew 60000").starts_with("open"));
    first.kill();
    let mut kills = 0;
    // Every seventh entry or exit: a takeover has hundreds.
    for number in (1..).step_by(7) {
        let mut next = Daemon::start(&bed);
        if number % 2 == 1 {
            // By the other kind of hook, so that everything is put anew.
            assert_eq!(next.ask("choice clsact"), "ok");
        }
        let trace = Trace::seize(next.ask("thread").parse().unwrap());
        next.order("open");
        trace.until_order();
        if trace.calls(number).is_none() {
            break;
        }
        next.child.kill().unwrap();
        trace.reap();
        drop(next.child.wait());
        bed.assert_open(&format!("killed at step {number} of taking over"));
        kills += 1;
    }
    println!("killed at {kills} steps");
    assert!(kills > 10, "{kills} kills");
    let mut last = Daemon::start(&bed);
    assert_eq!(last.ask("open"), "ok");
    assert_eq!(last.ask("open-groups"), "1");
    assert_eq!(last.ask("close"), "ok");
    bed.assert_silent("the last process commands the gate");
}

#[test]
fn stopped_between_instructions() {
    if !possible() {
        return;
    }
    // How many instructions a renewal is, counted up to its first system call: the write to the kernel.
    let bed = Bed::new();
    let mut daemon = owner(&bed, BPF);
    let far = from_now(Duration::from_secs(60)).as_nanos();
    let started = Instant::now();
    let mut length = 0;
    let thread: i32 = daemon.ask("thread").parse().unwrap();
    let trace = Trace::seize(thread);
    daemon.order(&format!("renew-at {far}"));
    trace.until_order();
    while trace.instructions(1, || daemon.answered()).is_some() {
        length += 1;
    }
    drop(trace);
    let took = started.elapsed();
    assert!(daemon.answer().starts_with("open"));
    println!("a renewal and its answer are {length} instructions, traced in {took:?}");
    drop(daemon);
    let samples = 8;
    // Room for a machine that is busier then than now.
    let held = at_every_stop(BPF, (Fate::Resumed, AHEAD + took * 2), |number| {
        (number < samples).then(|| Stop::Instruction(length * number / samples))
    });
    assert!(held >= samples, "{held} stops");
}
