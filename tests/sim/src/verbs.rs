//! The verbs of Pacemaker's laboratory, each from one seed: something is done to a cluster that runs a group, what stands
//! upon it, and a clone; every effect of an agent is judged by the rules, and after each step the cluster is audited.

use haven_api::{LoadMode, RequestBody};
use haven_hub::Happening;
use haven_types::NodeId;

use crate::clock::{MS, SECOND};
use crate::invariants::ADDRESS;
use crate::life::Life;
use crate::people::{load, standby, vip};
use crate::settings::{Mutant, Settings};
use crate::trace::Trace;
use crate::world::{World, controller};

/// What is done to the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Resources are stopped and started, then each daemon.
    StartStop,
    /// Each node goes into standby and comes back.
    Standby,
    /// Hands are taken off while something dies, and put on again.
    Maintenance,
    /// What is watched dies under its monitor.
    Recover,
    /// Daemons are killed and hosts lose their power.
    ComponentKill,
    /// So many hosts are lost that no majority is left.
    NearQuorumPoint,
    /// A node without a configuration joins.
    EmptyConfiguration,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::StartStop,
        Self::Standby,
        Self::Maintenance,
        Self::Recover,
        Self::ComponentKill,
        Self::NearQuorumPoint,
        Self::EmptyConfiguration,
    ];
}

/// How long a step may take until the audit finds nothing.
const PATIENCE: u64 = 60 * SECOND;
/// Services that run once, in order.
const CHAIN: [&str; 2] = ["web", "db"];
/// The service that runs on each node.
const EVERYWHERE: &str = "probe";

const LINES: &str = "property stonith-enabled=false\n\
    primitive vip1 ocf:haven:ip params ip=192.0.2.1 \
    op start timeout=5s interval=0 op stop timeout=5s interval=0 op monitor interval=1s timeout=1s\n\
    primitive web ocf:haven:Dummy op monitor interval=1s timeout=1s\n\
    primitive db ocf:haven:Dummy op monitor interval=1s timeout=1s\n\
    primitive probe ocf:haven:Dummy op monitor interval=1s timeout=1s\n\
    group site vip1 web\n\
    clone every probe\n\
    colocation near inf: db site\n\
    order after Mandatory: site db\n";

type Found = Result<(), String>;

impl Life {
    /// Three nodes that run everything, one verb, and the audits, in a world with this mutant.
    ///
    /// # Errors
    /// The first thing that is not as it should be, in words; with what happened before, where that was kept.
    pub fn verb(
        seed: u64,
        verb: Verb,
        mutant: Mutant,
        keep_lines: bool,
    ) -> Result<(), (String, Vec<String>)> {
        let settings = Settings { resources: 0, drift: true, mutant, ..Settings::calm(seed) };
        let trace = if keep_lines { Trace::kept() } else { Trace::default() };
        let mut world = World::new(seed, settings, trace);
        let found = world.undergo(verb);
        found.map_err(|found| (found, world.trace.lines.unwrap_or_default()))
    }
}

impl World {
    fn undergo(&mut self, verb: Verb) -> Found {
        let world = self;
        world.stormy = false;
        world.weather();
        let leader = world.coordinator()?;
        world.ask(leader, 1, load(LINES.to_owned(), LoadMode::Replace));
        world.until("at first", Self::all_run)?;
        match verb {
            Verb::StartStop => world.start_and_stop(),
            Verb::Standby => world.standby_of_each(),
            Verb::Maintenance => world.maintenance(),
            Verb::Recover => world.recover(),
            Verb::ComponentKill => world.kill_components(),
            Verb::NearQuorumPoint => world.near_quorum_point(),
            Verb::EmptyConfiguration => world.join_without_configuration(),
        }
    }

    fn coordinator(&mut self) -> Result<NodeId, String> {
        for _ in 0..600 {
            if let Some(leader) = self.leader() {
                return Ok(leader);
            }
            self.run_for(100 * MS);
        }
        Err("nobody coordinates".to_owned())
    }

    fn demand(&mut self, body: RequestBody) -> Found {
        let leader = self.coordinator()?;
        self.ask(leader, 2, body);
        Ok(())
    }

    /// Lets time pass until an audit finds nothing, and finds nothing again two seconds later.
    fn until(&mut self, when: &str, audit: impl Fn(&Self) -> Found) -> Found {
        let end = self.now + PATIENCE;
        let mut why = String::new();
        while self.now < end && self.checks.broken.is_none() {
            self.run_for(100 * MS);
            match audit(self) {
                Ok(()) => {
                    self.run_for(2 * SECOND);
                    match self.at_rest(10).and_then(|()| audit(self)) {
                        Ok(()) => return self.unbroken(),
                        Err(found) => why = found,
                    }
                }
                Err(found) => why = found,
            }
        }
        self.unbroken()?;
        Err(format!("{when}: {why}"))
    }

    fn unbroken(&self) -> Found {
        self.checks.broken.as_ref().map_or(Ok(()), |broken| Err(broken.to_string()))
    }

    /// No operation is under way, or within a few moments none is: monitors come and go.
    fn at_rest(&mut self, moments: u32) -> Found {
        let mut busy = None;
        for _ in 0..moments {
            let calls = |node: &NodeId| {
                self.hosts[node].process.as_ref().map_or(0, |process| process.calls.len())
            };
            busy = self.ids().into_iter().find(|node| calls(node) > 0);
            if busy.is_none() {
                return Ok(());
            }
            self.run_for(20 * MS);
        }
        busy.map_or(Ok(()), |node| Err(format!("operations are left behind on {node}")))
    }

    /// Who runs it all: once, together; and every member has the same configuration.
    fn all_run(&self) -> Found {
        self.run_but_not_on(&[])
    }

    fn run_but_not_on(&self, idle: &[NodeId]) -> Found {
        let owners = self.owners(vip(1));
        let [owner] = owners[..] else {
            return Err(format!("{ADDRESS} is answered by {owners:?}"));
        };
        for service in CHAIN {
            let runs = self.serving(service);
            if runs != [owner] {
                return Err(format!("{service} runs on {runs:?}, {ADDRESS} on {owner}"));
            }
        }
        let full = self.hosts.values().filter(|host| host.role == haven_controller::Role::Full);
        let busy: Vec<NodeId> = full
            .filter(|host| host.main().is_some() && !idle.contains(&host.node))
            .map(|host| host.node)
            .collect();
        let everywhere = self.serving(EVERYWHERE);
        if everywhere != busy {
            return Err(format!("{EVERYWHERE} runs on {everywhere:?}, and should on {busy:?}"));
        }
        self.agree()
    }

    fn agree(&self) -> Found {
        let leader = self.leader().ok_or("nobody coordinates")?;
        let wanted = controller(&self.hosts, leader).map(|its| &its.state().cib);
        for node in self.running() {
            if controller(&self.hosts, node).map(|its| &its.state().cib) != wanted {
                return Err(format!("{node} has another configuration than {leader}"));
            }
        }
        Ok(())
    }

    fn nothing_of_the_group_runs(&self) -> Found {
        let owners = self.owners(vip(1));
        let services = CHAIN.map(|service| self.serving(service));
        if owners.is_empty() && services.iter().all(Vec::is_empty) {
            return Ok(());
        }
        Err(format!("{ADDRESS} is answered by {owners:?}, {CHAIN:?} run on {services:?}"))
    }

    fn owner(&self) -> Result<NodeId, String> {
        self.owners(vip(1)).first().copied().ok_or_else(|| format!("nobody answers {ADDRESS}"))
    }

    fn start_and_stop(&mut self) -> Found {
        let (resource, wait, timeout_ms) = ("site".to_owned(), false, None);
        self.demand(RequestBody::ResourceStop { resource: resource.clone(), wait, timeout_ms })?;
        self.until("stopped", Self::nothing_of_the_group_runs)?;
        self.demand(RequestBody::ResourceStart { resource, wait, timeout_ms })?;
        self.until("started again", Self::all_run)?;
        for node in self.ids() {
            // It ends, and its supervisor starts it again.
            self.give(node, Happening::Terminate);
            self.run_for(SECOND);
            self.until("after a daemon was stopped and started", |world| {
                let back = world.running().len() == world.ids().len();
                if back { world.all_run() } else { Err(format!("{node} is away")) }
            })?;
        }
        Ok(())
    }

    fn standby_of_each(&mut self) -> Found {
        for node in self.ids() {
            let name = self.name(node);
            self.demand(standby(&name, true))?;
            self.until("in standby", |world| {
                if world.owner()? == node {
                    return Err(format!("{node} runs what it should not"));
                }
                world.run_but_not_on(&[node])
            })?;
            self.demand(standby(&name, false))?;
            self.until("back from standby", Self::all_run)?;
        }
        Ok(())
    }

    fn maintenance(&mut self) -> Found {
        let mode = |on: bool| load(format!("property maintenance-mode={on}"), LoadMode::Update);
        self.demand(mode(true))?;
        self.run_for(3 * SECOND);
        let owner = self.owner()?;
        if let Some(host) = self.hosts.get_mut(&owner) {
            host.kernel.services.remove("db");
        }
        let before = self.checks.effects();
        self.run_for(10 * SECOND);
        self.unbroken()?;
        if self.checks.effects() != before {
            return Err("something was started or stopped in maintenance".to_owned());
        }
        self.demand(mode(false))?;
        self.until("after maintenance", Self::all_run)
    }

    fn recover(&mut self) -> Found {
        for victim in ["db", "web", ADDRESS] {
            let owner = self.owner()?;
            let before = self.checks.effects();
            if let Some(host) = self.hosts.get_mut(&owner) {
                host.kernel.services.remove(victim);
                if victim == ADDRESS {
                    host.kernel.addresses.remove(&vip(1));
                }
            }
            self.until(&format!("after {victim} died"), Self::all_run)?;
            if self.checks.effects() == before {
                return Err(format!("{victim} died, and nobody did anything"));
            }
        }
        Ok(())
    }

    fn kill_components(&mut self) -> Found {
        for power in [false, true] {
            for coordinates in [false, true] {
                let node = if coordinates { self.coordinator()? } else { self.owner()? };
                if power {
                    self.power_off(node)
                } else {
                    self.kill(node)
                }
                let delay = 20 * MS + self.rng.below(5 * SECOND);
                self.start_in(node, delay);
                self.until("after a crash", |world| {
                    let back = world.running().len() == world.ids().len();
                    if back { world.all_run() } else { Err(format!("{node} is away")) }
                })?;
            }
        }
        Ok(())
    }

    fn near_quorum_point(&mut self) -> Found {
        let owner = self.owner()?;
        let ids = self.ids();
        let others: Vec<NodeId> = ids.iter().copied().filter(|node| *node != owner).collect();
        for loses in [[owner, others[0]], [others[1], others[0]]] {
            self.power_off(loses[0]);
            self.until("with two of three", Self::all_run)?;
            self.power_off(loses[1]);
            self.until("without a majority", Self::nothing_of_the_group_runs)?;
            for node in loses {
                let delay = MS + self.rng.below(SECOND);
                self.start_in(node, delay);
            }
            self.until("with all three again", |world| {
                let back = world.running().len() == world.ids().len();
                if back { world.all_run() } else { Err("not all are back".to_owned()) }
            })?;
        }
        Ok(())
    }

    fn join_without_configuration(&mut self) -> Found {
        let before = self.ids().len();
        self.add_member();
        // Who joins asks again until it is let in.
        self.stormy = true;
        for _ in 0..100 {
            self.run_for(100 * MS);
            self.serve_joiners();
            if self.ids().len() > before && self.joiners.is_empty() {
                break;
            }
        }
        self.stormy = false;
        self.until("after a node joined", |world| {
            if world.running().len() <= before {
                return Err("nobody joined".to_owned());
            }
            world.all_run()
        })
    }
}
