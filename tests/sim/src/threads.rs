//! How the two threads of a process run: one thing after another, with pauses.

use haven_base::Instant;
use haven_consensus::{Batch, PersistToken};
use haven_controller::Local;
use haven_hub::{Effect, Happening};
use haven_types::NodeId;

use crate::beat::{Act, Order};
use crate::clock::{MS, nanos};
use crate::host::{Host, Legacy};
use crate::main_thread::last_order;
use crate::settings::Mutant;
use crate::world::{Todo, World};

impl World {
    pub(crate) fn wake_beat(&mut self, node: NodeId, delay: u64) {
        let at = self.now + delay;
        let Some(host) = self.hosts.get_mut(&node) else { return };
        let life = host.life;
        let Some(process) = host.process.as_mut() else { return };
        let beat = &mut process.beat;
        let at = at.max(beat.stopped_until);
        if beat.runs_at.is_none_or(|known| known > at) {
            beat.runs_at = Some(at);
            self.plan_at(at, Todo::Beat { node, life });
        }
    }

    pub(crate) fn run_beat(&mut self, node: NodeId, life: u64) {
        let now = self.now;
        let Some(host) = self.host(node, life) else { return };
        let (local, process) = (host.clock.at(now), host.process.as_mut());
        let Some(beat) = process.map(|process| &mut process.beat) else { return };
        if beat.runs_at != Some(now) {
            return;
        }
        beat.runs_at = None;
        if beat.stopped_until > now {
            return self.wake_beat(node, 0);
        }
        for _ in 0..10_000 {
            let fail = self.stormy && self.rng.chance(self.settings.gate_fail_permille, 1000);
            let Some(host) = self.host(node, life) else { return };
            let Host { process: Some(process), kernel, .. } = host else { return };
            let Some(act) = process.beat.act(local, kernel, fail) else {
                let due = process.beat.deadline().unwrap_or(local);
                let at = host.clock.when(now, due);
                return self.wake_beat(node, at - now);
            };
            let cost = self.acted(node, act);
            if self.checks.broken.is_some() {
                return;
            }
            let pause = cost + self.pause();
            if pause > 0 {
                return self.wake_beat(node, pause);
            }
        }
        unreachable!("the heartbeat thread of node {node} spins at {now}");
    }

    /// Lets the world see what the thread did; how long it took.
    pub(crate) fn acted(&mut self, node: NodeId, act: Act) -> u64 {
        match act {
            Act::Stepped { input, outputs } => {
                let now = self.now;
                self.trace.beat(now, node, &input, &outputs);
                self.checks.on_beat_step(now, node, &self.hosts, &input, &outputs);
                1_000 + self.rng.below(8_000)
            }
            Act::Sent { to, link, bytes } => {
                for delay in self.network.fate(&mut self.rng, node, to, link) {
                    self.plan(delay, Todo::Datagram { to, bytes: bytes.clone() });
                }
                0
            }
            Act::Told(news) => {
                let main = self.hosts.get_mut(&node).and_then(|h| h.process.as_mut());
                if let Some(process) = main {
                    match process.main.as_mut() {
                        Some(main) => main.news.push_back(news),
                        None => process.early.push_back(news),
                    }
                    let delay = 2_000 + self.rng.below(10_000);
                    self.wake_main(node, delay);
                }
                0
            }
            Act::Gate => {
                self.look(node);
                2_000 + self.rng.below(20_000)
            }
            Act::Quiet => 0,
            Act::HandedOver(mut heartbeat) => {
                if self.settings.mutant == Mutant::ForgottenSilence {
                    heartbeat.promises.silent_until = Instant::default();
                }
                self.checks.on_hand_over(self.now, node, &heartbeat);
                let main = self.hosts.get(&node).and_then(Host::main);
                let legacy = main
                    .map(|main| Legacy { heartbeat, controller: main.controller().hand_over() });
                self.end(node, legacy);
                0
            }
            Act::Stopped => {
                let removed = self.checks.was_removed(node);
                if let Some(host) = self.hosts.get_mut(&node) {
                    host.removed |= removed;
                }
                self.end(node, None);
                self.look(node);
                0
            }
        }
    }

    /// Now and then a thread stands still between two effects.
    pub(crate) fn pause(&mut self) -> u64 {
        if self.stormy
            && self.settings.faults.pauses
            && self.rng.below(1_000_000) < self.settings.pause_ppm
        {
            // Short pauses are as likely as long ones.
            let most = (1_000 * MS) >> self.rng.below(8);
            return self.rng.below(most);
        }
        0
    }

    pub(crate) fn arrive(&mut self, to: NodeId, bytes: Vec<u8>) {
        let process = self.hosts.get_mut(&to).and_then(|host| host.process.as_mut());
        if let Some(process) = process {
            process.beat.receive(bytes);
            self.wake_beat(to, 0);
        }
    }

    pub(crate) fn wake_main(&mut self, node: NodeId, delay: u64) {
        let at = self.now + delay;
        let Some(host) = self.hosts.get_mut(&node) else { return };
        let life = host.life;
        let Some(main) = host.process.as_mut().and_then(|p| p.main.as_mut()) else { return };
        let at = at.max(main.stopped_until);
        if main.runs_at.is_none_or(|known| known > at) {
            main.runs_at = Some(at);
            self.plan_at(at, Todo::Main { node, life });
        }
    }

    pub(crate) fn give(&mut self, node: NodeId, happening: Happening) {
        let host = self.hosts.get_mut(&node).and_then(|host| host.process.as_mut());
        if let Some(main) = host.and_then(|process| process.main.as_mut()) {
            main.happenings.push_back(happening);
            self.wake_main(node, 1_000);
        }
    }

    pub(crate) fn run_main(&mut self, node: NodeId, life: u64) {
        let now = self.now;
        let Some(host) = self.host(node, life) else { return };
        let clock = host.clock(now);
        let Some(main) = host.process.as_mut().and_then(|p| p.main.as_mut()) else { return };
        if main.runs_at != Some(now) {
            return;
        }
        main.runs_at = None;
        if main.stopped_until > now {
            return self.wake_main(node, 0);
        }
        if main.hub.ended().is_some() {
            return;
        }
        let effects = main.round(clock);
        self.watch_main(node);
        self.carry_out(node, effects);
        let Some(host) = self.host(node, life) else { return };
        let Some(main) = host.process.as_ref().and_then(|p| p.main.as_ref()) else { return };
        let more = main.has_work();
        let due = host.clock.when(now, main.due(clock.now));
        let cost = 5_000 + self.rng.below(50_000) + self.pause();
        let delay = if more { cost } else { (due - now).max(cost) };
        self.hold_main(node, now + cost);
        self.wake_main(node, delay);
    }

    /// The main thread is busy until then.
    pub(crate) fn hold_main(&mut self, node: NodeId, until: u64) {
        let host = self.hosts.get_mut(&node).and_then(|host| host.process.as_mut());
        if let Some(main) = host.and_then(|process| process.main.as_mut()) {
            main.stopped_until = main.stopped_until.max(until);
        }
    }

    /// Shows the steps of the controller to those who watch.
    pub(crate) fn watch_main(&mut self, node: NodeId) {
        let host = self.hosts.get_mut(&node).and_then(|host| host.process.as_mut());
        let Some(process) = host else { return };
        let (plans, Some(main)) = (process.plans.take(), process.main.as_mut()) else { return };
        for (input, outputs) in &main.seen() {
            self.trace.main(self.now, node, input, outputs);
            self.checks.on_controller(self.now, node, input, outputs);
        }
        for (asked, decision) in &plans {
            self.checks.on_plan(self.now, node, asked, decision);
        }
        self.checks.after_round(self.now, node, &self.hosts);
    }

    pub(crate) fn carry_out(&mut self, node: NodeId, effects: Vec<Effect>) {
        for effect in effects {
            self.carry_out_one(node, effect);
        }
    }

    fn carry_out_one(&mut self, node: NodeId, effect: Effect) {
        match effect {
            Effect::Heartbeat(input) => self.order(node, Order::Machine(input)),
            Effect::Transmit { to, link, bytes } => {
                self.order(node, Order::Transmit { to, link, bytes });
            }
            Effect::Entries(entries) => self.order(node, Order::Entries(entries)),
            Effect::Members(others) => {
                self.order(node, Order::Peers(others.into_keys().collect()));
            }
            Effect::End(end) => self.order(node, last_order(end)),
            Effect::Persist { token, batch } => self.persist(node, token, &batch),
            Effect::RunAgent { run, operation, .. } => self.call_agent(node, run, operation),
            Effect::AbortAgent(run) => {
                let host = self.hosts.get_mut(&node).and_then(|h| h.process.as_mut());
                if let Some(process) = host {
                    process.calls.remove(&run);
                }
            }
            Effect::Stream { to, frame } => self.send_stream(node, to, frame),
            Effect::Reply { more: true, .. } => {}
            Effect::Reply { id, body, .. } => {
                self.trace.note(self.now, node, "replies", || {
                    let mut text = format!("{id}: {body:?}");
                    text.truncate(160);
                    text
                });
                self.answers.push((node, id, *body));
            }
            Effect::TokenMinted { request, result } => self.minted.push((request, result.is_ok())),
            Effect::Admitted { request, result } => {
                self.admitted.push((node, request, result.ok()));
            }
            Effect::Event(event) => {
                let text = || format!("{} {}", event.code, event.text);
                self.trace.note(self.now, node, "says", text);
            }
            Effect::Line { text, .. } => self.trace.note(self.now, node, "says", || text),
            // What is told to agents and about keys changes nothing that is simulated here, and
            // connections are looked at so often that nobody needs to ask for it.
            _ => {}
        }
    }

    fn order(&mut self, node: NodeId, order: Order) {
        let host = self.hosts.get_mut(&node).and_then(|h| h.process.as_mut());
        if let Some(process) = host {
            process.beat.order(order);
            let delay = 1_000 + self.rng.below(4_000);
            self.wake_beat(node, delay);
        }
    }

    fn persist(&mut self, node: NodeId, token: PersistToken, batch: &Batch) {
        let most = if self.stormy { nanos(self.settings.sync) } else { MS };
        let due = self.now + 50_000 + self.rng.below(most);
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&node) else { return };
        let (told, life) = (host.disk.submit(now, due, token, batch), host.life);
        self.plan_at(told, Todo::Synced { node, life });
        if told < due {
            self.plan_at(due, Todo::Synced { node, life });
        }
    }

    pub(crate) fn synced(&mut self, node: NodeId, life: u64) {
        let now = self.now;
        let Some(host) = self.host(node, life) else { return };
        let done = if host.disk.broken {
            Some(Local::PersistFailed { reason: "the disk is broken".to_owned() })
        } else {
            host.disk.sync(now).map(Local::Persisted)
        };
        host.disk.write_late(now);
        if let Some(done) = done {
            self.give(node, Happening::Local(done));
        }
    }
}
