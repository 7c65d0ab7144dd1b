//! Failure detection in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests fail by panicking and print what they measured"
)]

mod support;

use haven_heartbeat::{Input, LinkFault, Output, Role, Start, Terms};
use haven_types::{BootId, Epoch, GroupId, LinkId, LogIndex, LogPosition, NodeId, Term};
use support::world::{MS, SECOND, World};

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

// spec: L6
#[test]
fn a_death_in_a_quiet_network_is_declared_60_to_75_ms_after_the_last_beat() {
    for (nodes, phase) in
        [3, 4, 5].into_iter().flat_map(|nodes| (0..8).map(move |phase| (nodes, phase)))
    {
        let mut world = quiet(nodes);
        // A beat comes each 25 ms: the node dies long after its last one, and hardly after it.
        world.run_for(phase * 3 * MS);
        assert_eq!(deaths(&world), []);
        world.kill(NodeId(1));
        let last = world.last_beats[&NodeId(1)];
        world.run_for(SECOND);
        let found = deaths(&world);
        assert_eq!(found.len(), usize::from(nodes) - 1, "{found:?}");
        for (when, _, node) in found {
            let took = when - last;
            assert_eq!(node, NodeId(1));
            assert!((60 * MS..=75 * MS).contains(&took), "{nodes} nodes, phase {phase}: {took}");
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
        world.give(id, Input::Granted { group, epoch: Epoch(2) });
    }
    world.give(NodeId(3), Input::Claim { group, epoch: Epoch(2) });
    while world.owners(group) != [NodeId(3)] {
        world.run_for(MS / 10);
        assert!(world.now - at < 100 * MS);
    }
    assert!(world.violations.is_empty());
    println!("owner again after {} µs", (world.now - at) / 1000);
}

fn views(world: &World, of: u16, since: u64) -> Vec<Vec<u16>> {
    let formed = world.said.iter().filter_map(|(at, by, said)| match said {
        Output::View(view) if *by == NodeId(of) && *at >= since => {
            Some(view.members.iter().map(|node| node.0).collect())
        }
        _ => None,
    });
    formed.collect()
}

fn last_view(world: &World, of: u16) -> Vec<u16> {
    views(world, of, 0).pop().unwrap()
}

fn lead(world: &mut World, node: u16) {
    for id in world.ids() {
        world.give(id, Input::Coordinator { term: Term(1), node: Some(NodeId(node)) });
    }
}

#[test]
fn a_cut_between_two_takes_one_out_of_the_view_and_never_swings() {
    for (coordinator, expected) in [(1, [1, 3]), (2, [2, 3]), (3, [1, 3])] {
        let mut world = quiet(3);
        lead(&mut world, coordinator);
        assert_eq!(last_view(&world, 3), [1, 2, 3]);
        let at = world.now;
        world.set_path(NodeId(1), NodeId(2), |path| path.cut = true);
        world.run_for(100 * SECOND);
        assert_eq!(deaths(&world), []);
        for of in 1..=3 {
            assert_eq!(views(&world, of, at), [expected.to_vec()], "seen by {of}");
        }
        world.set_path(NodeId(1), NodeId(2), |path| path.cut = false);
        let healed = world.now;
        world.run_for(40 * SECOND);
        for of in 1..=3 {
            assert_eq!(views(&world, of, healed), [vec![1, 2, 3]], "seen by {of}");
        }
    }
}

#[test]
fn one_way_reachability_never_swings() {
    let mut world = quiet(4);
    lead(&mut world, 3);
    let at = world.now;
    let key = (NodeId(2), NodeId(1), LinkId(0)); // 1 does not hear 2, 2 hears 1
    world.paths.get_mut(&key).unwrap().cut = true;
    world.run_for(60 * SECOND);
    assert_eq!(deaths(&world), []);
    for of in 1..=4 {
        assert_eq!(views(&world, of, at), [vec![1, 3, 4]], "seen by {of}");
    }
}

#[test]
fn a_node_that_was_cut_off_and_hears_before_it_is_heard_is_soon_in_its_own_view_again() {
    let mut world = quiet(3);
    lead(&mut world, 3);
    world.isolate(NodeId(2), true);
    world.run_for(2 * SECOND);
    world.isolate(NodeId(2), false);
    for other in [1, 3] {
        world.paths.get_mut(&(NodeId(2), NodeId(other), LinkId(0))).unwrap().cut = true;
    }
    world.run_for(SECOND);
    assert_eq!(last_view(&world, 2), [1, 3], "it hears that nobody hears it");
    for other in [1, 3] {
        world.paths.get_mut(&(NodeId(2), NodeId(other), LinkId(0))).unwrap().cut = false;
    }
    world.run_for(SECOND / 2);
    for of in 1..=3 {
        assert_eq!(last_view(&world, of), [1, 2, 3], "seen by {of}");
    }
}

#[test]
fn a_flapping_pair_changes_the_view_at_most_every_thirty_seconds() {
    let mut world = quiet(3);
    lead(&mut world, 3);
    let at = world.now;
    for i in 0..120 {
        world.set_path(NodeId(1), NodeId(2), |path| path.cut = i % 2 == 0);
        world.run_for(SECOND);
    }
    for of in 1..=3 {
        let changes = views(&world, of, at).len();
        assert!((1..=5).contains(&changes), "{changes} changes seen by {of}");
    }
}

#[test]
fn the_coordinator_cut_off_alone_is_succeeded_by_the_newest_log_then_the_lowest_id() {
    let mut world = quiet(5);
    lead(&mut world, 1);
    let log = |index| LogPosition { term: Term(1), index: LogIndex(index) };
    for (id, index) in [(1, 9), (2, 7), (3, 8), (4, 8), (5, 6)] {
        world.give(NodeId(id), Input::Log(log(index)));
    }
    world.nodes.get_mut(&NodeId(3)).unwrap().role = Role::Full;
    world.run_for(SECOND);
    world.isolate(NodeId(1), true);
    world.run_for(SECOND);
    let named: Vec<_> = world
        .said
        .iter()
        .filter_map(|(_, by, said)| match said {
            Output::Dead { node: NodeId(1), successor, .. } => Some((by.0, successor.unwrap().0)),
            _ => None,
        })
        .collect();
    let mut sorted = named.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [(2, 3), (3, 3), (4, 3), (5, 3)]);
    // The one cut off declares nobody dead: it has no majority to agree with.
    assert!(deaths(&world).iter().all(|(_, by, _)| *by != NodeId(1)));
    assert_eq!(last_view(&world, 1), [1]);
    world.isolate(NodeId(1), false);
    world.run_for(SECOND);
    for of in 1..=5 {
        assert_eq!(last_view(&world, of), [1, 2, 3, 4, 5]);
    }
}

#[test]
fn a_witness_never_succeeds_the_coordinator() {
    let mut world = World::new(1, 3, 1, Terms::default());
    world.nodes.get_mut(&NodeId(2)).unwrap().role = Role::Witness;
    world.start_all(&Start::First);
    lead(&mut world, 1);
    world.run_for(SECOND);
    world.kill(NodeId(1));
    world.run_for(SECOND);
    let successors = world.said.iter().filter_map(|(_, _, said)| match said {
        Output::Dead { successor, .. } => Some(*successor),
        _ => None,
    });
    assert_eq!(successors.collect::<Vec<_>>(), [Some(NodeId(3)); 2]);
}

#[test]
fn a_returning_node_is_alive_again_and_a_member_never_heard_is_dead_after_a_second() {
    let mut world = World::new(1, 3, 1, Terms::default());
    for id in [1, 2] {
        world.start(NodeId(id), Start::First, false);
    }
    world.run_for(900 * MS);
    assert_eq!(deaths(&world), []);
    world.run_for(SECOND);
    assert_eq!(deaths(&world).len(), 2);
    let at = world.now;
    world.start(NodeId(3), Start::First, false);
    world.run_for(SECOND);
    let alive = world.said.iter().filter(|(when, _, said)| {
        *when >= at && matches!(said, Output::Alive { node: NodeId(3), boot: BootId(1) })
    });
    assert_eq!(alive.count(), 2);
    assert_eq!(last_view(&world, 1), [1, 2, 3]);
    // Back within a moment under a new boot: no verdict about the new one.
    let before = deaths(&world).len();
    world.kill(NodeId(3));
    world.run_for(20 * MS);
    world.start(NodeId(3), Start::Unknown, false);
    world.run_for(SECOND);
    assert_eq!(deaths(&world).len(), before);
}

#[test]
fn a_failed_link_is_told_from_a_failed_node() {
    let mut world = World::new(1, 3, 2, Terms::default());
    world.start_all(&Start::First);
    world.run_for(SECOND);
    for key in [(NodeId(2), NodeId(1), LinkId(1)), (NodeId(1), NodeId(2), LinkId(1))] {
        world.paths.get_mut(&key).unwrap().cut = true;
    }
    world.run_for(SECOND);
    assert_eq!(deaths(&world), []);
    let down = Output::Link { peer: NodeId(2), link: LinkId(1), up: false };
    assert!(world.said.iter().any(|(_, by, said)| *by == NodeId(1) && *said == down));
    let fault = |world: &World, peer| {
        let node = &world.nodes[&NodeId(1)];
        let status = node.machine.as_ref().unwrap().status(node.clock.at(world.now));
        status.peers[&NodeId(peer)].links[&LinkId(1)].fault
    };
    assert_eq!(fault(&world, 2), LinkFault::Remote);
    assert_eq!(fault(&world, 3), LinkFault::None);
    for key in [(NodeId(3), NodeId(1), LinkId(1)), (NodeId(1), NodeId(3), LinkId(1))] {
        world.paths.get_mut(&key).unwrap().cut = true;
    }
    world.run_for(SECOND);
    assert_eq!(fault(&world, 2), LinkFault::Local);
    world.kill(NodeId(3));
    world.set_path(NodeId(1), NodeId(2), |path| path.cut = false);
    world.run_for(SECOND);
    assert_eq!(fault(&world, 3), LinkFault::PeerSilent);
}

#[test]
fn repeated_cuts_do_not_slow_detection_down() {
    let mut world = quiet(3);
    for round in 0..6 {
        world.isolate(NodeId(1), true);
        world.run_for(3 * SECOND);
        world.isolate(NodeId(1), false);
        world.run_for(3 * SECOND);
        let before = deaths(&world).len();
        world.isolate(NodeId(2), true);
        let at = world.now;
        world.run_for(3 * SECOND);
        let found = deaths(&world).split_off(before);
        assert_eq!(found.len(), 2, "round {round}");
        for (when, _, _) in found {
            assert!(when - at <= 80 * MS, "round {round}: {} ms", (when - at) / MS);
        }
        world.isolate(NodeId(2), false);
        world.run_for(3 * SECOND);
    }
}
