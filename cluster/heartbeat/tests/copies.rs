//! How many copies of a beat travel, in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking"
)]

mod support;

use std::time::Duration;

use haven_heartbeat::{Input, Output, Start, Terms};
use haven_types::{Epoch, GroupId, LinkId, NodeId};
use support::world::{MS, Path, SECOND, World};

const G: GroupId = GroupId(1);
/// Beats of 25 ms in a second, somewhat more where members draw each other's on.
const SECONDS_WORTH: std::ops::RangeInclusive<u64> = 40..=48;

/// Three nodes with two links between each pair; node 1 holds a lease, or nobody does.
fn quiet(lease: bool) -> World {
    let mut world = World::new(7, 3, 2, Terms::default());
    world.start_all(&Start::First);
    if lease {
        world.give(NodeId(1), Input::Claim { group: G, epoch: Epoch(1) });
    }
    world.run_for(5 * SECOND);
    assert_eq!(world.owners(G).len(), usize::from(lease));
    world.sent.clear();
    world
}

fn troubles(world: &World) -> usize {
    let trouble = |said: &Output| {
        matches!(
            said,
            Output::Suspect { .. }
                | Output::Dead { .. }
                | Output::LeaseLost { .. }
                | Output::Link { up: false, .. }
        )
    };
    world.said.iter().filter(|(_, _, said)| trouble(said)).count()
}

/// The beats sent from `from` to `to` by each link.
fn beats(world: &World, from: u16, to: u16) -> [u64; 2] {
    [0, 1].map(|link| {
        let sent = world.sent.get(&(NodeId(from), NodeId(to), LinkId(link)));
        sent.map_or(0, |(beats, _)| *beats)
    })
}

#[test]
fn in_a_quiet_cluster_each_beat_takes_one_link_in_turn() {
    for lease in [true, false] {
        let mut world = quiet(lease);
        world.run_for(SECOND);
        let ids = world.ids();
        for (from, to) in ids.iter().flat_map(|a| ids.iter().map(move |b| (a.0, b.0))) {
            if from == to {
                continue;
            }
            let [first, second] = beats(&world, from, to);
            assert!(SECONDS_WORTH.contains(&(first + second)), "{from}→{to}: {first} + {second}");
            assert!(first.min(second) >= 14, "{from}→{to}: {first} and {second}");
        }
        let others: u64 = world.sent.values().map(|(_, others)| others).sum();
        assert!(others <= 20, "{others} separate answers");
        assert_eq!(troubles(&world), 0);
        for id in world.ids() {
            let node = &world.nodes[&id];
            let status = node.machine.as_ref().unwrap().status(node.clock.at(world.now));
            for link in status.peers.values().flat_map(|peer| peer.links.values()) {
                assert!(link.up);
                assert_eq!(link.loss_permille, 0);
                assert!(link.rtt_smooth.unwrap() < Duration::from_millis(2));
            }
        }
    }
}

#[test]
fn one_lost_beat_brings_every_copy_back_for_a_second() {
    let mut world = quiet(true);
    world.set_path(NodeId(1), NodeId(2), |path| path.cut = true);
    world.run_for(20 * MS);
    world.set_path(NodeId(1), NodeId(2), |path| path.cut = false);
    world.sent.clear();
    world.run_for(SECOND / 2);
    for (from, to) in [(1, 2), (2, 1), (1, 3)] {
        let [first, second] = beats(&world, from, to);
        assert!(first >= 31 && second >= 31, "{from}→{to}: {first} and {second}");
    }
    world.run_for(2 * SECOND);
    world.sent.clear();
    world.run_for(SECOND);
    let [first, second] = beats(&world, 1, 2);
    assert!(SECONDS_WORTH.contains(&(first + second)), "{first} + {second}");
    assert_eq!(troubles(&world), 0);
}

#[test]
fn a_link_that_fails_costs_no_lease_and_is_told() {
    for link in [0, 1].map(LinkId) {
        let mut world = quiet(true);
        for (_, path) in world.paths.iter_mut().filter(|((_, _, by), _)| *by == link) {
            path.cut = true;
        }
        world.run_for(5 * SECOND);
        let lost = world.said.iter().filter(|(_, _, said)| {
            matches!(said, Output::LeaseLost { .. } | Output::Suspect { .. })
        });
        assert_eq!(lost.count(), 0);
        let down = world.said.iter().filter(
            |(_, _, said)| matches!(said, Output::Link { link: by, up: false, .. } if *by == link),
        );
        assert_eq!(down.count(), 6);
    }
}

#[test]
fn who_follows_one_that_uses_every_link_lets_none_fall_silent() {
    let mut world = World::new(7, 4, 2, Terms::default());
    // Node 2 has a reason to send every copy for good, node 3 has none.
    world.paths.get_mut(&(NodeId(4), NodeId(2), LinkId(1))).unwrap().cut = true;
    world.start_all(&Start::First);
    world.give(NodeId(1), Input::Claim { group: G, epoch: Epoch(1) });
    world.run_for(5 * SECOND);
    world.sent.clear();
    world.run_for(SECOND);
    assert!(beats(&world, 2, 3).iter().all(|sent| *sent >= 45), "{:?}", beats(&world, 2, 3));
    for to in [1, 2, 4] {
        let [first, second] = beats(&world, 3, to);
        assert!((40..=90).contains(&(first + second)), "3→{to}: {first} + {second}");
        assert!(first.min(second) >= 10, "3→{to}: {first} and {second}");
    }
    let down =
        |said: &Output| matches!(said, Output::Link { up: false, link, .. } if *link == LinkId(1));
    let fell: Vec<_> = world.said.iter().filter(|(_, _, said)| down(said)).collect();
    assert!(fell.iter().all(|(_, by, _)| *by == NodeId(2)), "{fell:?}");
}

#[test]
fn a_slow_link_is_not_relied_on_alone() {
    let mut world = World::new(7, 3, 2, Terms::default());
    let slow = (Duration::from_millis(20), Duration::from_millis(21));
    for (_, path) in world.paths.iter_mut().filter(|((_, _, by), _)| *by == LinkId(1)) {
        *path = Path { delay: slow, ..Path::quiet() };
    }
    world.start_all(&Start::First);
    world.give(NodeId(1), Input::Claim { group: G, epoch: Epoch(1) });
    world.run_for(5 * SECOND);
    world.sent.clear();
    world.run_for(SECOND);
    let [first, second] = beats(&world, 1, 2);
    assert_eq!(first, second);
    assert_eq!(troubles(&world), 0);
}

#[test]
fn a_holder_repeats_a_lost_beat_long_before_the_next() {
    let mut world = quiet(true);
    let beats = |world: &World| {
        let node = &world.nodes[&NodeId(1)];
        let counters = node.machine.as_ref().unwrap().status(node.clock.at(world.now)).counters;
        (counters.beats_sent, counters.repeated)
    };
    let (before, _) = beats(&world);
    while beats(&world).0 == before {
        world.run_for(MS / 4);
    }
    // It is answered; the next one finds no way to either peer.
    world.run_for(MS);
    for peer in [2, 3] {
        world.set_path(NodeId(1), NodeId(peer), |path| path.cut = true);
    }
    world.run_for(24 * MS);
    assert_eq!(beats(&world), (before + 2, 0));
    for peer in [2, 3] {
        world.set_path(NodeId(1), NodeId(peer), |path| path.cut = false);
    }
    world.run_for(7 * MS);
    assert_eq!(beats(&world), (before + 3, 1));
    assert_eq!(troubles(&world), 0);
}

// spec: L6
#[test]
fn a_death_is_declared_as_soon_as_with_every_copy() {
    for offset in 0..30 {
        let mut world = quiet(true);
        world.run_for(offset * MS);
        assert_eq!(troubles(&world), 0);
        world.kill(NodeId(1));
        let last = world.last_beats[&NodeId(1)];
        world.run_for(SECOND);
        let dead = world.said.iter().filter_map(|(when, _, said)| match said {
            Output::Dead { node: NodeId(1), .. } => Some(*when - last),
            _ => None,
        });
        let took: Vec<u64> = dead.collect();
        assert_eq!(took.len(), 2);
        assert!(took.iter().all(|took| (60 * MS..=75 * MS).contains(took)), "{took:?}");
    }
}

#[test]
fn every_link_has_its_turn_whoever_follows_whom_and_whatever_is_lost() {
    for (links, lease, from) in [3, 8]
        .into_iter()
        .flat_map(|links| [(links, true, 2), (links, false, 1), (links, false, 3)])
    {
        let mut world = World::new(7, 3, links, Terms::default());
        world.start_all(&Start::First);
        if lease {
            world.give(NodeId(1), Input::Claim { group: G, epoch: Epoch(1) });
        }
        world.run_for(5 * SECOND);
        let to = NodeId(1 + from % 3);
        for offset in 0..8 {
            world.run_for(3 * SECOND + offset * 7 * MS);
            world.set_path(NodeId(from), to, |path| path.cut = true);
            world.run_for(20 * MS);
            world.set_path(NodeId(from), to, |path| path.cut = false);
        }
        world.run_for(2 * SECOND);
        let beats = |world: &World| world.sent.values().map(|(beats, _)| beats).sum::<u64>();
        let before = beats(&world);
        world.run_for(SECOND);
        let spared = beats(&world) - before;
        assert!(spared < 6 * 50, "each beat takes one link of {links}: {spared} in a second");
        assert_eq!(troubles(&world), 0, "{links} links, lease: {lease}, lost from {from}");
    }
}
