//! A life full of faults, then a quiet end in which everything must heal.

use std::time::Duration;

use haven_types::NodeId;

use crate::interface::Input;
use crate::tests::check::Checker;
use crate::tests::disk::Mutant;
use crate::tests::world::{Weather, World, node};

/// What kind of life.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) nodes: u16,
    pub(super) members_change: bool,
    pub(super) mutant: Mutant,
}

impl Plan {
    pub(super) const fn nodes(nodes: u16) -> Self {
        Self { nodes, members_change: false, mutant: Mutant::None }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) committed: usize,
    pub(super) trace: u64,
}

/// Lives the life of this seed; the first violation ends it.
pub(super) fn run(plan: &Plan, seed: u64) -> Result<Summary, String> {
    let founders = if plan.members_change { 3.min(plan.nodes) } else { plan.nodes };
    let mut world = World::new(seed, plan.nodes, founders, plan.mutant);
    for id in 1..=plan.nodes {
        world.boot(node(id))?;
    }
    world.run_for(Duration::from_millis(1500))?;
    for _ in 0..60 {
        fault(&mut world, plan)?;
        for _ in 0..3 {
            work(&mut world)?;
            let pause = world.rng.between(Duration::ZERO, Duration::from_millis(60));
            world.run_for(pause)?;
        }
        compare_logs(&world)?;
    }
    heal(&mut world, plan)?;
    Ok(Summary { committed: world.checker.committed.len(), trace: world.trace })
}

fn any(world: &mut World) -> NodeId {
    let count = world.nodes.len() as u64;
    node(world.rng.below(count) as u16 + 1)
}

fn work(world: &mut World) -> Result<(), String> {
    let at = match world.leader() {
        Some(leader) if world.rng.chance(9, 10) => leader,
        _ => any(world),
    };
    for _ in 0..=world.rng.below(3) {
        world.propose(at)?;
    }
    if world.rng.chance(1, 3) {
        world.read(at)?;
    }
    Ok(())
}

fn fault(world: &mut World, plan: &Plan) -> Result<(), String> {
    let it = any(world);
    match world.rng.below(16) {
        0 | 1 => world.crash(it),
        2..=4 => world.boot(it)?,
        5 => {
            let leader = world.leader().unwrap_or(it);
            world.crash(leader);
        }
        6 => world.cut.clear(),
        7 => cut(world),
        8 => {
            let other = any(world);
            world.cut.insert((it, other));
        }
        9 => world.weather = weather(world),
        10 | 11 => verdict(world, it)?,
        12 => {
            let alive = world.rng.chance(1, 2);
            let other = any(world);
            world.step(it, Input::PeerAlive { node: other, alive })?;
        }
        13 => {
            let leader = world.leader().unwrap_or(it);
            world.step(leader, Input::TransferLeadership(it))?;
        }
        14 if world.rng.chance(1, 4) => {
            world.step(it, Input::PersistFailed)?;
            if world.rng.chance(1, 2) {
                world.crash(it);
            }
        }
        _ if plan.members_change => change_members(world)?,
        _ => {
            let tick = world.rng.between(Duration::from_millis(10), Duration::from_millis(100));
            world.step(it, Input::SetTick(tick))?;
        }
    }
    Ok(())
}

/// The leader is declared dead, rightly or wrongly; one node campaigns at once.
fn verdict(world: &mut World, it: NodeId) -> Result<(), String> {
    let Some(leader) = world.leader() else { return Ok(()) };
    match world.rng.below(3) {
        0 => world.crash(leader),
        1 => {
            let others: Vec<NodeId> = world.nodes.keys().copied().collect();
            for other in others {
                world.cut.insert((leader, other));
                world.cut.insert((other, leader));
            }
        }
        _ => {}
    }
    if world.rng.chance(3, 4) {
        world.detect(|node| node != leader)?;
    }
    world.step(it, Input::ForceCampaign)
}

fn cut(world: &mut World) {
    let sides = world.rng.next_u64();
    let ids: Vec<NodeId> = world.nodes.keys().copied().collect();
    for one in &ids {
        for two in &ids {
            if (sides >> one.0 ^ sides >> two.0) & 1 == 1 {
                world.cut.insert((*one, *two));
            }
        }
    }
}

fn weather(world: &mut World) -> Weather {
    let millis = Duration::from_millis;
    let bad = world.rng.chance(1, 2);
    let slow_disk = world.rng.chance(1, 3);
    Weather {
        loss_percent: if bad { world.rng.below(40) } else { 0 },
        double_percent: world.rng.below(20),
        delay: (Duration::ZERO, millis(if bad { world.rng.below(100) + 1 } else { 2 })),
        sync: (Duration::ZERO, millis(if slow_disk { world.rng.below(200) + 1 } else { 2 })),
    }
}

fn change_members(world: &mut World) -> Result<(), String> {
    let Some(leader) = world.leader() else { return Ok(()) };
    let pick = world.rng.next_u64();
    let chosen = |shift: u32| {
        let all = world.nodes.keys().copied();
        all.filter(|it| pick >> (shift + u32::from(it.0)) & 1 == 1).collect()
    };
    let mut voters: std::collections::BTreeSet<NodeId> = chosen(0);
    voters.insert(leader);
    let learners: std::collections::BTreeSet<NodeId> = chosen(16);
    let learners = learners.difference(&voters).copied().collect();
    world.step(leader, Input::ChangeMembers { voters, learners })
}

fn compare_logs(world: &World) -> Result<(), String> {
    let alive: Vec<_> = world.nodes.values().filter(|it| it.machine.is_some()).collect();
    for (at, one) in alive.iter().enumerate() {
        for two in &alive[at + 1..] {
            Checker::compare(&one.shadow, &two.shadow)?;
        }
    }
    Ok(())
}

/// Faults end; every node must come to the same state, and the group must take work.
fn heal(world: &mut World, plan: &Plan) -> Result<(), String> {
    world.cut.clear();
    world.weather = Weather { loss_percent: 5, ..Weather::FINE };
    for id in 1..=plan.nodes {
        let mute = world.nodes[&node(id)].machine.as_ref().is_some_and(|it| it.status().mute);
        if mute {
            world.crash(node(id));
        }
        world.boot(node(id))?;
        world.step(node(id), Input::SetTick(Duration::from_millis(50)))?;
    }
    world.detect(|_| true)?;
    world.run_for(Duration::from_secs(6))?;
    let leader = world.leader().ok_or("nobody leads after everything healed")?;
    let voters = (1..=plan.nodes).map(node).collect();
    if plan.members_change {
        world.step(leader, Input::ChangeMembers { voters, learners: Default::default() })?;
        world.run_for(Duration::from_secs(6))?;
    }
    let leader = world.leader().ok_or("nobody leads after the members changed")?;
    let before = world.checker.committed.len();
    world.propose(leader)?;
    world.run_for(Duration::from_secs(1))?;
    if world.checker.committed.len() == before {
        return Err(format!(
            "{leader} leads but commits nothing: {:?}",
            world.nodes[&leader].machine
        ));
    }
    let state = &world.nodes[&leader].application;
    for (id, it) in &world.nodes {
        if it.application.commands != state.commands {
            let leading = &world.nodes[&leader].machine;
            return Err(format!("{id} differs from its leader: {:?} {leading:?}", it.machine));
        }
    }
    compare_logs(world)
}
