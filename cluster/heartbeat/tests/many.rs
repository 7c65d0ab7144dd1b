//! Clusters of many members, in virtual time: the pace of beats, and what follows from it.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests fail by panicking and print what they measured"
)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use haven_heartbeat::{Input, Member, Output, Role, Start, Terms};
use haven_types::{Epoch, GroupId, NodeId};
use support::world::{MS, Path, SECOND, World};

const G: GroupId = GroupId(1);

/// Nodes with two links between each pair; node 1 holds a lease.
fn quiet(nodes: u16) -> World {
    quiet_on(nodes, 2)
}

/// The same, with so many links between each pair.
fn quiet_on(nodes: u16, links: u8) -> World {
    let mut world = World::new(7, nodes, links, Terms::default());
    world.start_all(&Start::First);
    world.give(NodeId(1), Input::Claim { group: G, epoch: Epoch(1) });
    world.run_for(5 * SECOND);
    assert_eq!(world.owners(G), [NodeId(1)]);
    world.sent.clear();
    world.said.clear();
    world
}

fn duration(world: &World, node: u16) -> Duration {
    let node = &world.nodes[&NodeId(node)];
    node.machine.as_ref().unwrap().status(node.clock.at(world.now)).duration
}

/// What a node sends in two seconds.
fn sent(world: &World, by: u16) -> u64 {
    let own = world.sent.iter().filter(|((from, _, _), _)| from.0 == by);
    own.map(|(_, (beats, others))| beats + others).sum()
}

fn suspicions(world: &World) -> Vec<(NodeId, NodeId)> {
    let suspected = world.said.iter().filter_map(|(_, by, said)| match said {
        Output::Suspect { node, .. } => Some((*by, *node)),
        _ => None,
    });
    suspected.collect()
}

#[test]
fn a_node_among_thirty_sends_no_more_than_one_among_eight() {
    let mut few = quiet(8);
    few.run_for(2 * SECOND);
    let mut many = quiet(30);
    assert_eq!(duration(&many, 1), Duration::from_millis(225));
    many.run_for(2 * SECOND);
    for node in [1, 2, 8] {
        let (few, many) = (sent(&few, node), sent(&many, node));
        println!("node {node} of 8 sends {few} in 2 s, of 30 {many}");
        assert!(many <= few * 5 / 4, "node {node}: {few} among eight, {many} among thirty");
    }
    for world in [few, many] {
        assert_eq!(suspicions(&world), []);
        assert!(!world.said.iter().any(|(_, _, said)| matches!(said, Output::LeaseLost { .. })));
        assert!(world.violations.is_empty());
    }
}

#[test]
fn a_link_whose_turn_comes_seldom_is_not_called_down() {
    for (nodes, links) in [(3, 8), (9, 8), (13, 6)] {
        let mut world = quiet_on(nodes, links);
        world.run_for(2 * SECOND);
        let spared = sent(&world, 1) < 2_000;
        assert!(spared, "{nodes} nodes, {links} links: node 1 sent {}", sent(&world, 1));
        let down = |said: &&(u64, NodeId, Output)| matches!(said.2, Output::Link { up: false, .. });
        let fell: Vec<_> = world.said.iter().filter(down).take(3).collect();
        assert!(fell.is_empty(), "{nodes} nodes, {links} links: {fell:?}");
    }
}

// spec: L6
#[test]
fn a_death_among_many_is_declared_in_proportion() {
    for (nodes, within) in
        [(8_u16, 60 * MS..=75 * MS), (16, 120 * MS..=150 * MS), (30, 225 * MS..=282 * MS)]
    {
        let mut world = quiet(nodes);
        world.kill(NodeId(1));
        let last = world.last_beats[&NodeId(1)];
        world.run_for(SECOND);
        let dead: Vec<(u64, NodeId)> = world
            .said
            .iter()
            .filter_map(|(when, _, said)| match said {
                Output::Dead { node, .. } => Some((when - last, *node)),
                _ => None,
            })
            .collect();
        println!("{nodes} nodes: {dead:?}");
        assert_eq!(dead.len(), usize::from(nodes) - 1);
        for (took, node) in dead {
            assert_eq!(node, NodeId(1));
            assert!(within.contains(&took), "{nodes} nodes: {took} ns after the last beat");
        }
    }
}

#[test]
fn members_that_count_differently_neither_suspect_each_other_nor_lose_a_lease() {
    for miscounting in [[1].as_slice(), &[2, 3]] {
        let mut world = quiet(3);
        let member = || Member { role: Role::Full, links: world.links.clone() };
        let members: BTreeMap<NodeId, Member> = (1..=30).map(|n| (NodeId(n), member())).collect();
        for (real, other) in (1..=3).flat_map(|a| (4..=30).map(move |b| (NodeId(a), NodeId(b)))) {
            for &link in &world.links {
                world.paths.insert((real, other, link), Path { cut: true, ..Path::quiet() });
            }
        }
        for &node in miscounting {
            world.give(NodeId(node), Input::Members(members.clone()));
        }
        world.run_for(5 * SECOND);
        let slow = duration(&world, miscounting[0]);
        assert_eq!(slow, Duration::from_millis(225));
        assert_eq!(suspicions(&world), []);
        assert_eq!(world.owners(G), [NodeId(1)]);
        assert!(!world.said.iter().any(|(_, _, said)| matches!(said, Output::LeaseLost { .. })));
        // Another takes the lease over, whatever D it was promised for.
        world.kill(NodeId(1));
        world.give(NodeId(2), Input::Claim { group: G, epoch: Epoch(2) });
        world.run_for(SECOND);
        assert_eq!(world.owners(G), [NodeId(2)]);
        assert!(world.violations.is_empty());
    }
}
