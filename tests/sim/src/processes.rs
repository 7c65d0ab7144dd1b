//! Starts, ends and crashes of daemons and hosts.

use haven_types::NodeId;

use crate::clock::{Clock, MS, SECOND};
use crate::host::{Legacy, Start};
use crate::main_thread::MainThread;
use crate::world::{Todo, World};

impl World {
    /// Starts the daemon of a host after a while, unless something else happens to it before.
    pub(crate) fn start_in(&mut self, node: NodeId, delay: u64) {
        let life = self.hosts.get(&node).map_or(0, |host| host.life);
        self.plan(delay, Todo::Start { node, life });
    }

    pub(crate) fn start(&mut self, node: NodeId) {
        let (seed, salt) = (self.rng.next_u64(), self.rng.next_u64());
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&node) else { return };
        if host.removed {
            return;
        }
        // Nobody starts a daemon on a disk that is known to be broken.
        host.disk.broken = false;
        let started = host.start(now, &Start { settings: &self.settings, seed, salt });
        if let Err(error) = started {
            self.checks.fail(now, "every store can be read again", format!("node {node}: {error}"));
            return;
        }
        let life = host.life;
        self.trace.note(now, node, "starts", || format!("life {life}"));
        self.checks.on_start(now, node, &self.hosts);
        self.wake_beat(node, 0);
        let cleaning = 200_000 + self.rng.below(20 * MS);
        self.plan(cleaning, Todo::CleanedUp { node, life });
        self.look(node);
    }

    pub(crate) fn cleaned_up(&mut self, node: NodeId, life: u64) {
        let (now, large, mutant) = (self.now, self.settings.large, self.settings.mutant);
        let links = self.settings.links().into_iter().collect();
        let Some(host) = self.host(node, life) else { return };
        host.clean_up();
        let clock = host.clock(now);
        let Some(process) = host.process.as_mut() else { return };
        let Some(controller) = process.starting.take() else { return };
        let rest = std::mem::take(&mut process.rest);
        let config = haven_hub::Config { node, boot: process.boot, links, large };
        let mut main = MainThread::new(config, controller, mutant);
        main.news = std::mem::take(&mut process.early);
        let effects = main.begin(clock, rest);
        process.main = Some(main);
        self.watch_main(node);
        self.carry_out(node, effects);
        self.wake_main(node, 0);
        self.look(node);
    }

    /// The daemon ends at once; kernel, clock and what was synced stay.
    pub(crate) fn kill(&mut self, node: NodeId) {
        let Some(host) = self.hosts.get_mut(&node) else { return };
        if host.process.take().is_none() {
            return;
        }
        host.life += 1;
        host.kernel.orphans.clone_from(&host.kernel.services);
        host.disk.crash(&mut self.rng);
        self.trace.note(self.now, node, "is killed", String::new);
        self.disconnect(node);
    }

    /// The power goes: nothing stays but what was synced.
    pub(crate) fn power_off(&mut self, node: NodeId) {
        self.kill(node);
        let (now, local) = (self.now, SECOND + self.rng.below(60 * SECOND));
        let drift = self.settings.drift;
        let Some(host) = self.hosts.get_mut(&node) else { return };
        host.kernel.lose_power();
        self.checks.on_power_loss(node);
        host.legacy = None;
        host.clock = Clock::booted(now, local);
        if drift {
            host.clock.slew(now, &mut self.rng, self.settings.rho_permille());
        }
        self.trace.note(now, node, "loses its power", String::new);
    }

    /// The daemon has ended by itself.
    pub(crate) fn end(&mut self, node: NodeId, legacy: Option<Legacy>) {
        let replaced = legacy.is_some();
        let Some(host) = self.hosts.get_mut(&node) else { return };
        host.process = None;
        host.life += 1;
        host.disk.flush();
        host.legacy = legacy;
        self.trace.note(self.now, node, "ends", || format!("replaced: {replaced}"));
        self.disconnect(node);
        let most = if replaced { 150 } else { 3_000 };
        let delay = 5 * MS + self.rng.below(most * MS);
        self.start_in(node, delay);
    }
}
