//! Ticks that are slept through: seldom woken, never wrong about the time that passed.

use std::time::Duration;

use haven_types::NodeId;

use crate::interface::{Input, Role};
use crate::machine::Consensus;
use crate::tests::disk::Mutant;
use crate::tests::scenarios::{group, other, status};
use crate::tests::world::{World, node};

fn machine(world: &World, of: NodeId) -> &Consensus {
    world.nodes[&of].machine.as_ref().unwrap()
}

#[test]
fn a_quiet_leader_wakes_for_its_heartbeats_and_a_follower_not_at_all() {
    let (mut world, leader) = group(50, 3);
    let tick = world.config.tick;
    let (mut woken, mut follower_due) = (0, Vec::new());
    for _ in 0..200 {
        let due = machine(&world, leader).deadline().unwrap();
        world.run_until(due).unwrap();
        woken += 1;
        for it in world.nodes.keys().copied().filter(|it| *it != leader) {
            follower_due.push(machine(&world, it).deadline().unwrap().since(due));
        }
    }
    let beat = tick * u32::from(world.config.heartbeat_ticks);
    // A follower is about to hear of this heartbeat: it was last woken by the one before.
    assert!(follower_due.iter().all(|it| *it >= beat * 2), "{:?}", follower_due.iter().min());
    let begun = world.now;
    world.run_until(machine(&world, leader).deadline().unwrap()).unwrap();
    assert!(world.now - begun >= beat, "woken {woken} times, then after {:?}", world.now - begun);
    assert_eq!(world.leader(), Some(leader));
}

#[test]
fn a_follower_that_was_stopped_for_a_minute_waits_as_long_for_its_leader_as_any_other() {
    for seed in 60..80 {
        // Nobody's detector says anything: nothing but the count of ticks is between it and a campaign.
        let mut world = World::new(seed, 3, 3, Mutant::None);
        for id in 1..=3 {
            world.boot(node(id)).unwrap();
        }
        world.run_for(Duration::from_secs(3)).unwrap();
        let leader = world.leader().unwrap();
        let stopped = other(&world, leader);
        for it in world.nodes.keys().copied().filter(|it| *it != stopped) {
            world.cut.insert((stopped, it));
            world.cut.insert((it, stopped));
        }
        let frozen = world.nodes.get_mut(&stopped).unwrap().machine.take();
        world.run_for(Duration::from_secs(60)).unwrap();
        world.nodes.get_mut(&stopped).unwrap().machine = frozen;
        // A heartbeat came two ticks ago at most when it was stopped.
        for _ in 0..world.config.election_ticks - 3 {
            world.step(stopped, Input::Tick).unwrap();
            assert_eq!(status(&world, stopped).role, Role::Follower, "seed {seed}");
            world.now += world.config.tick;
        }
    }
}

#[test]
fn ticks_that_were_slept_through_count_when_somebody_asks_for_a_vote() {
    // The leader falls silent without a verdict; nobody bears it, since it is not held alive.
    for seed in 70..80 {
        let (mut world, leader) = group(seed, 3);
        world.detect(|it| it != leader).unwrap();
        world.crash(leader);
        let begun = world.now;
        while world.leader().is_none_or(|it| it == leader) {
            world.run_for(Duration::from_millis(10)).unwrap();
            assert!(world.now - begun < Duration::from_secs(4), "seed {seed}");
        }
    }
}
