//! Failure detection in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking"
)]

mod support;

use haven_heartbeat::{Input, Output, Start, Terms};
use haven_types::{Epoch, GroupId, NodeId, Term};
use support::world::{MS, Path, SECOND, World};

fn quiet(nodes: u16) -> World {
    let mut world = World::new(1, nodes, 1, Terms::default());
    world.start_all(&Start::First);
    world.run_for(2 * SECOND);
    world
}

fn deaths(world: &World) -> Vec<(u64, NodeId, NodeId)> {
    let dead = world.said.iter().filter_map(|(at, by, said)| match said {
        Output::Dead { node, .. } => Some((*at, *by, *node)),
        _ => None,
    });
    dead.collect()
}

#[test]
fn a_death_in_a_quiet_network_is_declared_60_to_75_ms_after_the_last_beat() {
    for nodes in [3, 4, 5] {
        let mut world = quiet(nodes);
        assert_eq!(deaths(&world), []);
        for kill in 0..1 {
            let victim = NodeId(1 + kill);
            world.kill(victim);
            let at = world.now;
            world.run_for(SECOND);
            let found = deaths(&world);
            assert_eq!(found.len(), usize::from(nodes) - 1, "{found:?}");
            for (when, _, node) in found {
                let took = when - at;
                assert_eq!(node, victim);
                assert!((45 * MS..=75 * MS).contains(&took), "{took}");
            }
        }
    }
}

#[test]
fn a_lease_moves_within_a_hundred_milliseconds() {
    let mut world = quiet(3);
    let group = GroupId(1);
    world.give(NodeId(1), Input::Claim { group, epoch: Epoch(1) });
    world.give(NodeId(1), Input::Coordinator { term: Term(1), node: Some(NodeId(2)) });
    world.run_for(SECOND);
    assert_eq!(world.owners(group), [NodeId(1)]);
    world.kill(NodeId(1));
    let at = world.now;
    while deaths(&world).is_empty() {
        world.run_for(MS / 10);
    }
    for id in [NodeId(2), NodeId(3)] {
        world.give(id, Input::Epoch { group, epoch: Epoch(2) });
    }
    world.give(NodeId(3), Input::Claim { group, epoch: Epoch(2) });
    while world.owners(group) != [NodeId(3)] {
        world.run_for(MS / 10);
        assert!(world.now - at < 100 * MS);
    }
    assert!(world.violations.is_empty());
    println!("owner again after {} µs", (world.now - at) / 1000);
}

#[test]
fn noise_is_no_death() {
    let mut world = quiet(3);
    let group = GroupId(1);
    world.give(NodeId(1), Input::Claim { group, epoch: Epoch(1) });
    world.run_for(SECOND);
    world.all_paths(Path::noisy());
    world.run_for(60 * SECOND);
    assert_eq!(deaths(&world), []);
    let lost = world.said.iter().filter(|(_, _, s)| matches!(s, Output::LeaseLost { .. })).count();
    println!("lapses {lost}");
    for id in world.ids() {
        let status = world.nodes[&id].machine.as_ref().unwrap().status(haven_base::Instant::ZERO);
        println!("{id} D {:?} {:?}", status.duration, status.counters);
    }
}
