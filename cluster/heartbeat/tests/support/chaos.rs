//! A randomised life of a cluster: everything that may go wrong does, then everything must heal.

use std::collections::BTreeSet;
use std::time::Duration;

use haven_base::Instant;
use haven_heartbeat::{Input, Rules, Start, Terms};
use haven_types::{Epoch, GroupId, NodeId};

use super::clock::Clock;
use super::log::Kind;
use super::world::{MS, Mischief, Node, Path, SECOND, World};

const GROUPS: u64 = 2;

/// What the coordinator is supposed to do, each droppable.
#[derive(Clone, Copy, Debug)]
pub struct Duties {
    /// L5: `D_max`·(1+ρ) between a committed voter configuration and the next one.
    pub spacing: bool,
}

pub struct Chaos {
    pub world: World,
    duties: Duties,
    /// The leadership and the configuration entry seen committed under it, and when.
    seen: Option<(u64, usize, Instant)>,
    calm: bool,
}

impl Chaos {
    pub fn new(seed: u64, rules: Rules, duties: Duties) -> Self {
        let terms = Terms { d_max: Duration::from_millis(500), rules, ..Terms::default() };
        let mut seeds = haven_base::Rng::new(seed);
        let nodes = 3 + seeds.below(4) as u16;
        let links = 1 + seeds.below(2) as u8;
        let mut world = World::new(seed, nodes, links, terms);
        world.record = false;
        world.floor = Duration::from_millis(60 + 10 * seeds.below(3));
        world.mischief = Mischief {
            pause_ppm: seeds.below(3_000),
            pause_max: Duration::from_millis(1_000),
            gate_fail_permille: seeds.below(10),
            effect: Duration::from_micros(20),
        };
        for id in world.ids() {
            let mut clock = Clock::skewed(&mut seeds, 100);
            clock.rebase(0);
            world.nodes.insert(id, Node::new(clock));
        }
        let path = Path {
            loss_permille: seeds.below(150),
            duplicate_permille: 20,
            delay: (Duration::from_micros(100), Duration::from_millis(1 + seeds.below(30))),
            cut: false,
        };
        world.all_paths(path);
        let ids = world.ids();
        let voters = &ids[..(2 + seeds.below(u64::from(nodes) - 1) as usize).min(5)];
        world.consensus = super::log::Consensus::found(&ids, voters);
        world.start_all(&Start::First);
        Self { world, duties, seen: None, calm: false }
    }

    /// Lives through `duration` of true time; stops early at the first violation.
    pub fn live(&mut self, duration: u64) {
        let end = self.world.now + duration;
        while self.world.now < end && self.world.violations.is_empty() {
            let step = MS + self.world.rng.below(8 * MS);
            self.world.run_for(step);
            self.consensus();
            if self.world.rng.chance(1, 25) {
                self.fault();
            }
        }
    }

    fn any(&mut self) -> NodeId {
        let ids = self.world.ids();
        ids[self.world.rng.below(ids.len() as u64) as usize]
    }

    fn consensus(&mut self) {
        let up = self.world.up();
        let leads = self.world.consensus.leader.map(|(leader, _)| leader);
        let alive = leads.is_some_and(|leader| up.contains(&leader));
        let unsettled = if self.calm { 0 } else { 1 };
        if !alive || self.world.rng.chance(unsettled, 120) {
            let candidate = self.any();
            let heard: BTreeSet<NodeId> =
                up.iter().copied().filter(|&n| self.world.connected(candidate, n)).collect();
            if up.contains(&candidate) && self.world.consensus.elect(candidate, &heard) {
                self.world.inform(candidate);
            }
            return;
        }
        let Some(leader) = leads else { return };
        for id in self.world.ids() {
            let reached = up.contains(&id) && self.world.connected(leader, id);
            if reached && self.world.rng.chance(1, 2) && self.world.consensus.replicate(id) {
                self.world.inform(id);
            }
        }
        if self.world.consensus.commit() {
            self.world.inform(leader);
        }
        self.lead(leader);
    }

    fn lead(&mut self, leader: NodeId) {
        let replica = &self.world.consensus.replicas[&leader];
        if self.world.consensus.leader.is_none_or(|(_, term)| replica.term != term) {
            return;
        }
        if !self.calm && self.world.rng.chance(1, 12) {
            let node = self.any();
            let group = GroupId(1 + self.world.rng.below(GROUPS) as u32);
            self.grant(leader, group, node);
        }
        self.change_voters(leader);
    }

    fn grant(&mut self, leader: NodeId, group: GroupId, node: NodeId) {
        let epochs = self.world.consensus.replicas[&leader].epochs();
        let epoch = Epoch(epochs.get(&group).map_or(1, |epoch| epoch.0 + 1));
        self.world.consensus.append(Kind::Grant { group, node, epoch });
        self.world.inform(leader);
    }

    /// spec: L5 "The final configuration is appended no sooner than `D_max`·(1+ρ) after the joint one
    /// was seen committed; a new coordinator starts that wait again; single-step changes keep the
    /// same spacing."
    fn change_voters(&mut self, leader: NodeId) {
        let (_, term) = self.world.consensus.leader.unwrap();
        let replica = &self.world.consensus.replicas[&leader];
        let newest = replica.entries.iter().rposition(|e| matches!(e.kind, Kind::Voters { .. }));
        let Some(newest) = newest.filter(|&index| index < replica.committed) else { return };
        let local = self.world.nodes[&leader].clock.at(self.world.now);
        if self.seen.is_none_or(|(t, i, _)| (t, i) != (term, newest)) {
            self.seen = Some((term, newest, local));
        }
        let (_, _, since) = self.seen.unwrap();
        let wait = self.world.terms.configuration_spacing();
        if self.duties.spacing && local.since(since) < wait {
            return;
        }
        let Kind::Voters { incoming, outgoing } = replica.entries[newest].kind.clone() else {
            unreachable!()
        };
        let kind = if outgoing.is_some() {
            Kind::Voters { incoming, outgoing: None }
        } else if self.calm || self.world.rng.chance(9, 10) {
            return;
        } else {
            let single = self.world.rng.chance(1, 4);
            let mut voters = incoming.clone();
            for _ in 0..if single { 1 } else { 1 + self.world.rng.below(3) } {
                let node = self.any();
                if !voters.remove(&node) && voters.len() < 5 {
                    voters.insert(node);
                }
            }
            if voters.is_empty() || voters == incoming {
                return;
            }
            Kind::Voters { incoming: voters, outgoing: (!single).then_some(incoming) }
        };
        self.world.consensus.append(kind);
        self.world.inform(leader);
    }

    fn fault(&mut self) {
        let node = self.any();
        let other = self.any();
        let now = self.world.now;
        let running = self.world.nodes[&node].machine.is_some();
        match self.world.rng.below(14) {
            0 => self.world.isolate(node, true),
            1 if node != other => self.world.set_path(node, other, |path| path.cut = true),
            2 => {
                for &link in &self.world.links.clone() {
                    self.world.paths.get_mut(&(node, other, link)).unwrap().cut = true;
                }
            }
            3..=5 => {
                for path in self.world.paths.values_mut() {
                    path.cut = false;
                }
            }
            6 if running => {
                self.world.kill(node);
                if self.world.rng.chance(1, 2) {
                    self.world.nodes.get_mut(&node).unwrap().gates.clear();
                }
            }
            7 | 8 if !running => {
                let adopt = self.world.rng.chance(1, 2);
                self.world.start(node, Start::Unknown, adopt);
            }
            9 => {
                let pause = self.world.rng.below(700 * MS) >> self.world.rng.below(5);
                self.world.stop(node, now + pause);
            }
            10 => {
                let group = GroupId(1 + self.world.rng.below(GROUPS) as u32);
                self.world.give(node, Input::Release { group });
            }
            11 => {
                let restart = self.world.rng.chance(2, 3);
                let input = if restart { Input::PlanRestart } else { Input::Resume };
                self.world.give(node, input);
            }
            12 => {
                self.world.replace(node);
            }
            13 => {
                let mut clock = self.world.nodes[&node].clock.clone();
                clock.rebase(now);
                clock.slew(&mut self.world.rng, 100);
                self.world.nodes.get_mut(&node).unwrap().clock = clock;
            }
            _ => {}
        }
    }

    /// Faults stop; the cluster must settle on the owner its log names, and keep it.
    pub fn heal(&mut self) -> Result<(), String> {
        self.calm = true;
        self.world.mischief = Mischief::default();
        self.world.all_paths(Path::quiet());
        for id in self.world.ids() {
            self.world.stop(id, 0);
            if self.world.nodes[&id].machine.is_none() {
                self.world.start(id, Start::Unknown, false);
            }
            self.world.give(id, Input::Resume);
        }
        self.settle(2 * SECOND);
        let target = self.any();
        for group in (1..=GROUPS).map(|g| GroupId(g as u32)) {
            let Some((leader, _)) = self.world.consensus.leader else {
                return Err("no leader after the faults ended".into());
            };
            self.grant(leader, group, target);
        }
        self.settle(2 * SECOND);
        for _ in 0..200 {
            self.settle(5 * MS);
            for group in (1..=GROUPS).map(|g| GroupId(g as u32)) {
                let owners = self.world.owners(group);
                if owners != [target] {
                    let at = self.world.now;
                    return Err(format!("{at}: {group} is on {owners:?}, granted to {target}"));
                }
            }
        }
        Ok(())
    }

    fn settle(&mut self, time: u64) {
        let end = self.world.now + time;
        while self.world.now < end {
            self.world.run_for(5 * MS);
            self.consensus();
        }
    }
}
