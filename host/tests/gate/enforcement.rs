//! While the lease is held the node answers in every way; without it, in none.

use std::time::Duration;

use haven_host::gate::{BackEnd, Choice, EntryKind, Gate, Renewal};

use crate::bed::{Bed, GROUP, entries, from_now, possible};
use crate::daemon::Daemon;
use crate::frames::Answer;

const LONG: Duration = Duration::from_secs(60);

fn opened(bed: &Bed, choice: Choice) -> Gate {
    let mut config = bed.config();
    config.back_end = choice;
    let mut gate = Gate::open(&config).unwrap();
    gate.set_entries(&entries(EntryKind::Exclusive)).unwrap();
    gate
}

#[test]
fn the_node_answers_exactly_while_the_group_is_open() {
    if !possible() {
        return;
    }
    for choice in [Choice::Auto, Choice::BpfClsact] {
        let bed = Bed::new();
        bed.assert_open("no gate yet");
        bed.node.within(|| {
            let mut gate = opened(&bed, choice);
            if choice == Choice::BpfClsact {
                assert_eq!(gate.status().back_end, BackEnd::Clsact);
            }
            bed.assert_silent("an entry, no deadline");
            let until = from_now(LONG);
            assert_eq!(gate.renew(GROUP, until).unwrap(), Renewal::Open { until });
            bed.assert_open("renewed");
            gate.close(GROUP).unwrap();
            bed.assert_silent("closed");
            assert_eq!(gate.renew(GROUP + 1, until).unwrap(), Renewal::Open { until });
            bed.assert_silent("another group is open");
            gate.remove_all().unwrap();
            bed.assert_open("the gate is removed");
        });
    }
}

#[test]
fn a_killed_owner_falls_silent_at_the_deadline() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    let mut daemon = Daemon::start(&bed);
    daemon.own("exclusive");
    let renewed = daemon.ask("renew 1500");
    let until: u64 = renewed.strip_prefix("open ").unwrap().parse().unwrap();
    let until = haven_base::Instant::from_nanos(until);
    daemon.kill();
    let mut answered_after_death = false;
    while from_now(Duration::ZERO) < until {
        let full = bed.answers().len() == Answer::ALL.len();
        answered_after_death |= full && from_now(Duration::ZERO) < until;
    }
    assert!(answered_after_death, "the gate stays open until the deadline");
    bed.assert_silent("past the deadline");
    bed.assert_silent("and later");
}
