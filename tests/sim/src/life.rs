//! One life of a cluster: a storm, then the calm in which it must heal.

use haven_api::{LoadMode, RequestBody};
use haven_types::NodeId;

use crate::clock::{MS, SECOND};
use crate::invariants::Broken;
use crate::people::{OPEN, configuration, load, standby, vip};
use crate::settings::{Mutant, Settings};
use crate::trace::Trace;
use crate::world::{World, controller};

/// How a life ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The first rule that did not hold.
    pub broken: Option<Broken>,
    /// Two runs of one seed have the same.
    pub trace_hash: u64,
    /// What happened, where it was kept.
    pub lines: Vec<String>,
    /// True time that passed, in nanoseconds.
    pub lived: u64,
    /// Gates seen open.
    pub opened: u64,
}

/// A cluster under simulation.
#[derive(Debug)]
pub struct Life {
    world: World,
}

/// How long the cluster may take to settle once all is well.
const HEAL: u64 = 45 * SECOND;
/// How long it is watched afterwards.
const WATCH: u64 = 3 * SECOND;

const OWNED: &str = "liveness: one owner again after the faults";
const ANSWERED: &str = "liveness: what was ordered and asked for is answered after the faults";

impl Life {
    /// The cluster of a seed, at its first start.
    #[must_use]
    pub fn new(seed: u64, settings: Settings, keep_lines: bool) -> Self {
        let trace = if keep_lines { Trace::kept() } else { Trace::default() };
        Self { world: World::new(seed, settings, trace) }
    }

    /// The whole life.
    #[must_use]
    pub fn live(mut self) -> Ended {
        self.found();
        self.world.storm();
        self.heal();
        self.end()
    }

    fn end(self) -> Ended {
        let World { checks, trace, now, .. } = self.world;
        let lines = trace.lines.unwrap_or_default();
        let opened = checks.gates_seen_open();
        Ended { broken: checks.broken, trace_hash: trace.hash, lines, lived: now, opened }
    }

    /// The cluster gets its configuration before anything happens to it.
    fn found(&mut self) {
        let world = &mut self.world;
        world.stormy = false;
        world.weather();
        for _ in 0..100 {
            world.run_for(100 * MS);
            if world.checks.broken.is_some() {
                return;
            }
            if let Some(leader) = world.leader() {
                let text = configuration(world.settings.resources, world.settings.unprotected);
                world.ask(leader, 1, load(text, LoadMode::Replace));
                break;
            }
        }
        world.run_for(300 * MS);
        world.stormy = true;
        world.weather();
    }

    /// Faults end; the cluster must come to one owner for every address, and keep it.
    fn heal(&mut self) {
        if self.world.checks.broken.is_some() {
            return;
        }
        self.calm();
        let end = self.world.now + HEAL;
        let (mut rule, mut why) = (OWNED, String::new());
        while self.world.now < end && self.world.checks.broken.is_none() {
            self.wishes();
            self.world.run_for(SECOND);
            let owned = |found: String| (OWNED, found);
            let found = self.settled().map_err(owned).and_then(|_| {
                // What people asked for last may still be on its way.
                self.world.run_for(2 * SECOND);
                self.at_rest().map_err(|found| (ANSWERED, found))?;
                self.settled().map_err(owned)
            });
            match found {
                Ok(owners) => return self.watch(owners),
                Err(found) => (rule, why) = found,
            }
        }
        self.explain();
        let now = self.world.now;
        self.world.checks.fail(now, rule, why);
    }

    /// What the coordinator thinks, for whoever reads the trace.
    fn explain(&mut self) {
        let world = &mut self.world;
        for (node, host) in &world.hosts {
            let status = host.main().map(|main| main.controller().consensus_status());
            let members =
                host.main().map(|main| main.hub.members().keys().copied().collect::<Vec<_>>());
            let status = status.map(|s| {
                let (voters, outgoing) = (s.configuration_in_log.1.voters, s.configuration_in_log.1.outgoing);
                format!(
                    "{:?} term {} leader {:?} committed {} last {:?} voters {voters:?} outgoing {outgoing:?} mute {}",
                    s.role, s.term, s.leader, s.committed, s.last, s.mute
                )
            });
            let express = host.main().map(|main| main.hub.under_way());
            let line =
                format!("removed {} {status:?} members {members:?} {express:?}", host.removed);
            world.trace.note(world.now, *node, "stands at", || line);
        }
        let Some(leader) = world.leader() else { return };
        world.ask(leader, 5, RequestBody::Status);
        world.run_for(10 * MS);
        let Some(controller) = controller(&world.hosts, leader) else { return };
        let text = haven_cib::crm::show(&controller.state().cib);
        let grants = format!("{:?}", controller.state().grants);
        let plan = format!("{:?}", controller.plan_in_force());
        let status = world.answers.iter().rev().find(|(_, id, _)| *id == 5);
        let status = format!("{status:?}");
        for line in [text, grants, plan, status] {
            world.trace.note(world.now, leader, "explains", || line);
        }
    }

    fn calm(&mut self) {
        let world = &mut self.world;
        world.trace.note(world.now, NodeId(0), "the storm is over", String::new);
        world.stormy = false;
        world.weather();
        world.network.heal();
        if world.settings.mutant == Mutant::LastingCut {
            let ids = world.ids();
            world.network.part(&ids, &ids);
        }
        for node in world.ids() {
            if world.hosts[&node].disk.broken {
                world.kill(node);
            }
            if let Some(process) = world.hosts.get_mut(&node).and_then(|h| h.process.as_mut()) {
                process.beat.stopped_until = 0;
                if let Some(main) = process.main.as_mut() {
                    main.stopped_until = 0;
                }
                world.wake_beat(node, 0);
                world.wake_main(node, 0);
            } else {
                world.start_in(node, MS);
            }
        }
    }

    /// What people want in the end; asked again until it is so.
    fn wishes(&mut self) {
        let world = &mut self.world;
        let Some(leader) = world.leader() else { return };
        let text = configuration(world.settings.resources, world.settings.unprotected);
        world.ask(leader, 2, load(text, LoadMode::Replace));
        for node in world.ids() {
            let name = world.name(node);
            world.ask(leader, 3, standby(&name, false));
        }
        world.ask(leader, 4, RequestBody::ResourceCleanup { resource: None, node: None });
    }

    /// Who owns what, when every address has exactly one owner.
    fn settled(&self) -> Result<Vec<NodeId>, String> {
        let coordinator = self.world.leader().ok_or("nobody coordinates")?;
        let Some(leader) = controller(&self.world.hosts, coordinator) else {
            unreachable!("it leads")
        };
        // Who comes back later may be given something to do.
        let members = leader.state().members.keys();
        // One that was admitted and gave up never comes.
        let heard = |node: &NodeId| *node == coordinator || leader.present().contains(node);
        let here = |node: &NodeId| {
            self.world.hosts.get(node).is_none_or(|host| host.serves() && heard(node))
        };
        if let Some(away) = members.clone().find(|node| !here(node)) {
            return Err(format!("{away} is on its way"));
        }
        let follows = |node: &NodeId| {
            let its = controller(&self.world.hosts, *node);
            its.is_none_or(|its| its.state().members == leader.state().members)
        };
        if let Some(lost) = members.clone().find(|node| !follows(node)) {
            return Err(format!("{lost} knows other members than {coordinator}, which leads"));
        }
        let open = self.world.settings.unprotected.then_some(OPEN);
        let addresses = (1..=self.world.settings.resources).map(vip).chain(open);
        addresses
            .map(|address| {
                let mut owners = self.world.owners(address);
                // Who was removed by force keeps what no gate silences: nobody stopped it there.
                owners.retain(|owner| {
                    address != OPEN
                        || members.clone().any(|member| member == owner)
                        || !self.world.forced.contains(owner)
                });
                match owners[..] {
                    [owner] => Ok(owner),
                    ref owners => Err(format!("{address} is answered by {owners:?}")),
                }
            })
            .collect()
    }

    /// Whether the coordinator has an answer to all it ordered, as one that was lost may let a move go on, and people
    /// an answer to all they asked for: it may have been asked for in the storm, and come into force only now.
    fn at_rest(&self) -> Result<(), String> {
        let leader = self.world.leader().ok_or("nobody coordinates")?;
        match controller(&self.world.hosts, leader).map(haven_controller::Controller::under_way) {
            Some(0) => {}
            other => return Err(format!("{leader} waits for {other:?} operations")),
        }
        // One that has heard of no coordinator since it was cut off holds what it was asked for.
        let busy = |node: &NodeId| {
            let Some(host) = self.world.hosts.get(node) else { return false };
            host.main()
                .is_some_and(|its| its.controller().unfinished() + its.hub.waiting_changes() > 0)
        };
        match self.world.running().into_iter().find(busy) {
            Some(node) => Err(format!("{node} was asked for something that is not done")),
            None => Ok(()),
        }
    }

    /// Nothing moves any more: the same owner at every look, no new grant.
    fn watch(&mut self, owners: Vec<NodeId>) {
        let grants = self.grants();
        let end = self.world.now + WATCH;
        while self.world.now < end && self.world.checks.broken.is_none() {
            self.world.run_for(10 * MS);
            if self.world.settings.mutant == Mutant::LastingCrashes && self.world.rng.chance(1, 50)
            {
                self.world.kill(owners[0]);
            }
            let now = self.world.now;
            let found = match self.settled() {
                Ok(found) if found == owners => continue,
                Ok(found) => format!("the addresses went from {owners:?} to {found:?}"),
                Err(found) => found,
            };
            self.world.checks.fail(now, "calm: nothing moves once all is well", found);
        }
        if grants != self.grants() {
            let what = format!("grants went from {grants:?} to {:?}", self.grants());
            self.world.checks.fail(self.world.now, "calm: nothing moves once all is well", what);
        }
    }

    fn grants(&self) -> Vec<(String, u64)> {
        let leader = self.world.leader();
        let controller = leader.and_then(|leader| controller(&self.world.hosts, leader));
        let grants = controller.map(|controller| controller.state().grants.clone());
        grants.into_iter().flatten().map(|(name, grant)| (name, grant.epoch.0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two nodes without a witness, and the one who owns the address with `lease=off`.
    fn two_nodes() -> (Life, NodeId) {
        let settings = Settings { nodes: 2, resources: 0, unprotected: true, ..Settings::calm(7) };
        let mut life = Life::new(7, settings, true);
        life.found();
        life.world.run_for(5 * SECOND);
        let owners = life.settled().unwrap();
        assert_eq!(owners.len(), 1);
        (life, owners[0])
    }

    fn healed(mut life: Life) {
        life.heal();
        let broken = life.world.checks.broken.clone();
        assert_eq!(
            broken,
            None,
            "{:#?}",
            life.end().lines.iter().rev().take(60).collect::<Vec<_>>()
        );
    }

    // spec: L8
    #[test]
    fn an_unprotected_address_lives_on_in_a_split_of_two() {
        let (mut life, owner) = two_nodes();
        let ids = life.world.ids();
        life.world.network.part(&ids, &ids);
        for _ in 0..2_000 {
            life.world.run_for(10 * MS);
            assert!(life.world.owners(OPEN).contains(&owner), "at {} ms", life.world.now / MS);
        }
        healed(life);
    }

    // spec: L8
    #[test]
    fn an_unprotected_address_outlives_the_other_of_two_nodes() {
        for coordinates in [true, false] {
            let (mut life, owner) = two_nodes();
            let other = life.world.ids().into_iter().find(|node| *node != owner).unwrap();
            let leader = life.world.leader().unwrap();
            if (leader == other) != coordinates {
                continue;
            }
            life.world.power_off(other);
            for _ in 0..2_000 {
                life.world.run_for(10 * MS);
                assert_eq!(life.world.owners(OPEN), [owner], "at {} ms", life.world.now / MS);
            }
            healed(life);
        }
    }
}
