//! What the gate costs the heartbeat thread. Bounds are generous: they catch a change of kind, not of degree.

use std::time::{Duration, Instant};

use haven_host::gate::{Choice, EntryKind, Gate, Renewal};

use crate::bed::{Bed, GROUP, entries, from_now, possible};

const RENEWALS: usize = 5_000;

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[test]
fn a_renewal_with_nftables_takes_less_than_a_tick() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    let mut config = bed.config();
    config.back_end = Choice::Nft;
    bed.node.within(|| {
        let (mut gate, upkeep) = Gate::open(&config).unwrap();
        gate.set_entries(&entries(EntryKind::Exclusive)).unwrap();
        let mut times = Vec::new();
        for _ in 0..500 {
            let deadline = from_now(Duration::from_secs(1));
            let started = Instant::now();
            let renewed = gate.renew(GROUP, deadline);
            times.push(started.elapsed());
            assert!(matches!(renewed, Ok(Renewal::Open { .. })));
        }
        times.sort_unstable();
        let at = |percent| percentile(&times, percent);
        println!("nftables renew: p50 {:?}, p99 {:?}, worst {:?}", at(50), at(99), at(100));
        assert!(at(50) < Duration::from_millis(1));
        gate.remove_all(upkeep).unwrap();
    });
}

#[test]
fn a_renewal_takes_microseconds() {
    if !possible() {
        return;
    }
    let bed = Bed::new();
    bed.node.within(|| {
        let started = Instant::now();
        let (mut gate, mut upkeep) = Gate::open(&bed.config()).unwrap();
        println!("open: {:?}", started.elapsed());
        gate.set_entries(&entries(EntryKind::Exclusive)).unwrap();
        let mut renewals = Vec::with_capacity(RENEWALS);
        let mut closings = Vec::with_capacity(RENEWALS);
        for _ in 0..RENEWALS {
            let deadline = from_now(Duration::from_secs(1));
            let started = Instant::now();
            let renewed = gate.renew(GROUP, deadline);
            renewals.push(started.elapsed());
            assert!(matches!(renewed, Ok(Renewal::Open { .. })));
        }
        for _ in 0..RENEWALS {
            let renewed = gate.renew(GROUP, from_now(Duration::from_secs(1)));
            assert!(matches!(renewed, Ok(Renewal::Open { .. })));
            let started = Instant::now();
            gate.close(GROUP).unwrap();
            closings.push(started.elapsed());
        }
        let started = Instant::now();
        upkeep.repair().unwrap();
        println!("repair: {:?}", started.elapsed());
        for (what, times) in [("renew", &mut renewals), ("close", &mut closings)] {
            times.sort_unstable();
            println!(
                "{what}: p50 {:?}, p99 {:?}, worst {:?}",
                percentile(times, 50),
                percentile(times, 99),
                percentile(times, 100)
            );
            assert!(percentile(times, 50) < Duration::from_micros(200), "{what}");
        }
        gate.remove_all(upkeep).unwrap();
    });
}
