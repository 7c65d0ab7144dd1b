//! The whole cluster under true time: an agenda of what happens when, and what each event does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use haven_api::{ApiError, ReplyBody, RequestBody};
use haven_base::{Instant, Rng};
use haven_consensus::Recovered;
use haven_controller::{Command, Controller, Member, Replicated, Role};
use haven_executor::RunId;
use haven_types::operation::Outcome;
use haven_types::{LinkId, NodeId};

use crate::beat::Act;
use crate::clock::{Clock, MS, SECOND, nanos};
use crate::host::{Call, Host, Legacy, Start};
use crate::invariants::Checks;
use crate::main_thread::{Effect, Happening, MainThread, Phase, address};
use crate::network::{Network, Weather};
use crate::settings::Settings;
use crate::trace::Trace;

/// Something that happens at a point in true time.
#[derive(Debug)]
pub(crate) enum Todo {
    Datagram { to: NodeId, bytes: Vec<u8> },
    Beat { node: NodeId, life: u64 },
    Main { node: NodeId, life: u64 },
    CleanedUp { node: NodeId, life: u64 },
    Start { node: NodeId, life: u64 },
    Synced { node: NodeId, life: u64 },
    Agent { node: NodeId, life: u64, run: RunId },
    Stream { from: NodeId, to: NodeId, generation: u64 },
    Connections,
}

#[derive(Debug)]
struct Planned {
    at: u64,
    order: u64,
    todo: Todo,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Planned {}
impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A connection between two members, and what is under way on it in each direction.
#[derive(Debug, Default)]
struct Connection {
    up: bool,
    generation: u64,
    under_way: BTreeMap<NodeId, VecDeque<Vec<u8>>>,
}

/// How often connections are looked at.
const CONNECTIONS: u64 = 50 * MS;

/// An answer to a request, with the node that gave it.
pub(crate) type Answer = (NodeId, u64, Result<ReplyBody, ApiError>);

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    pub(crate) settings: Settings,
    pub(crate) hosts: BTreeMap<NodeId, Host>,
    pub(crate) network: Network,
    pub(crate) checks: Checks,
    pub(crate) trace: Trace,
    /// Faults that happen by themselves: off in the calm.
    pub(crate) stormy: bool,
    pub(crate) answers: Vec<Answer>,
    pub(crate) minted: Vec<(u64, bool)>,
    pub(crate) admitted: Vec<(NodeId, u64, Option<Member>)>,
    agenda: BinaryHeap<Reverse<Planned>>,
    connections: BTreeMap<(NodeId, NodeId), Connection>,
    order: u64,
    idle: u32,
}

/// A member as the simulation makes them.
pub(crate) fn member(node: NodeId, serial: u16, role: Role, links: u8) -> Member {
    let at = |link: u8| SocketAddr::from(([10, link, (serial >> 8) as u8, serial as u8], 5405));
    let mut key = [9; 32];
    key[..2].copy_from_slice(&serial.to_be_bytes());
    Member {
        id: node,
        name: format!("n{serial}"),
        role,
        links: (0..links).map(|link| (LinkId(link), at(link))).collect(),
        channel: SocketAddr::from(([10, 0, (serial >> 8) as u8, serial as u8], 5406)),
        key,
    }
}

/// The state of a cluster that these members have founded together.
fn founded(members: &[Member]) -> Replicated {
    let first = members.first().cloned().unwrap_or_else(|| unreachable!("at least one"));
    let mut state = Replicated::founded(first, haven_cib::Cib::default());
    for (number, member) in members.iter().enumerate().skip(1) {
        let (token, answer) = ([number as u8; 32], (NodeId(0), 0));
        let expires = haven_base::WallTime::from_seconds(i64::MAX);
        state.apply(Command::MintToken { token, expires, answer });
        state.apply(Command::AddMember { member: member.clone(), token, answer });
    }
    state
}

impl World {
    /// A cluster at its first start.
    pub(crate) fn new(seed: u64, settings: Settings, trace: Trace) -> Self {
        let mut world = Self {
            now: SECOND,
            rng: Rng::new(seed),
            hosts: BTreeMap::new(),
            network: Network::new(settings.link_count),
            checks: Checks::new(&settings),
            trace,
            stormy: true,
            answers: Vec::new(),
            minted: Vec::new(),
            admitted: Vec::new(),
            agenda: BinaryHeap::new(),
            connections: BTreeMap::new(),
            order: 0,
            idle: 0,
            settings,
        };
        let count = world.settings.nodes + u16::from(world.settings.witness);
        let members: Vec<Member> = (1..=count)
            .map(|number| {
                let witness = number > world.settings.nodes;
                let role = if witness { Role::Witness } else { Role::Full };
                member(NodeId(number), number, role, world.settings.link_count)
            })
            .collect();
        let state = founded(&members);
        let recovered = Recovered::founding(members.iter().map(|m| m.id), state.encode());
        for member in &members {
            world.add_host(member, recovered.clone());
        }
        world.weather();
        for member in &members {
            let delay = world.rng.below(50 * MS);
            world.start_in(member.id, delay);
        }
        world.plan(CONNECTIONS, Todo::Connections);
        world
    }

    /// A machine that has not been started yet.
    pub(crate) fn add_host(&mut self, member: &Member, recovered: Recovered) {
        let local = SECOND + self.rng.below(1_000 * SECOND);
        let mut clock = Clock::booted(self.now, local);
        if self.settings.drift {
            clock.slew(self.now, &mut self.rng, 100);
        }
        self.hosts.insert(member.id, Host::new(member, clock, recovered));
    }

    /// The weather of the settings, or none in the calm.
    pub(crate) fn weather(&mut self) {
        let settings = &self.settings;
        let weather = if self.stormy {
            Weather {
                loss_permille: settings.loss_permille,
                duplicate_permille: 20,
                delay: (Duration::from_micros(80), settings.delay.max(Duration::from_micros(160))),
            }
        } else {
            Weather::QUIET
        };
        for each in self.network.weather.values_mut() {
            *each = weather;
        }
    }

    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.hosts.keys().copied().collect()
    }

    /// Hosts whose daemon runs, with its main thread.
    pub(crate) fn running(&self) -> Vec<NodeId> {
        let running = self.hosts.iter().filter(|(_, host)| host.main().is_some());
        running.map(|(node, _)| *node).collect()
    }

    pub(crate) fn plan(&mut self, delay: u64, todo: Todo) {
        self.plan_at(self.now + delay, todo);
    }

    fn plan_at(&mut self, at: u64, todo: Todo) {
        self.order += 1;
        self.agenda.push(Reverse(Planned { at: at.max(self.now), order: self.order, todo }));
    }

    /// Lets true time pass, as long as nothing is violated.
    pub(crate) fn run_for(&mut self, span: u64) {
        let until = self.now + span;
        while self.checks.broken.is_none() {
            let next = self.agenda.peek().is_some_and(|Reverse(next)| next.at <= until);
            if !next {
                self.now = until;
                return;
            }
            let Some(Reverse(Planned { at, todo, .. })) = self.agenda.pop() else { return };
            self.idle = if at > self.now { 0 } else { self.idle + 1 };
            assert!(self.idle < 200_000, "time stands still at {at}: {todo:?}");
            self.now = at;
            self.happen(todo);
        }
    }

    fn happen(&mut self, todo: Todo) {
        match todo {
            Todo::Datagram { to, bytes } => self.arrive(to, bytes),
            Todo::Beat { node, life } => self.run_beat(node, life),
            Todo::Main { node, life } => self.run_main(node, life),
            Todo::CleanedUp { node, life } => self.cleaned_up(node, life),
            Todo::Start { node, life } => {
                if self.hosts.get(&node).is_some_and(|h| h.life == life && h.process.is_none()) {
                    self.start(node);
                }
            }
            Todo::Synced { node, life } => self.synced(node, life),
            Todo::Agent { node, life, run } => self.agent(node, life, run),
            Todo::Stream { from, to, generation } => self.stream(from, to, generation),
            Todo::Connections => self.look_at_connections(),
        }
    }

    fn host(&mut self, node: NodeId, life: u64) -> Option<&mut Host> {
        self.hosts.get_mut(&node).filter(|host| host.life == life && host.process.is_some())
    }

    // ---- processes ----

    /// Starts the daemon of a host after a while, unless something else happens to it before.
    pub(crate) fn start_in(&mut self, node: NodeId, delay: u64) {
        let life = self.hosts.get(&node).map_or(0, |host| host.life);
        self.plan(delay, Todo::Start { node, life });
    }

    fn start(&mut self, node: NodeId) {
        let (seed, salt) = (self.rng.next_u64(), self.rng.next_u64());
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&node) else { return };
        if host.removed {
            return;
        }
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

    fn cleaned_up(&mut self, node: NodeId, life: u64) {
        let (now, large) = (self.now, self.settings.large);
        let links = self.settings.links().into_iter().collect();
        let Some(host) = self.host(node, life) else { return };
        host.clean_up();
        let clock = host.clock(now);
        let Some(process) = host.process.as_mut() else { return };
        let Some(controller) = process.starting.take() else { return };
        let rest = std::mem::take(&mut process.rest);
        let mut main = MainThread::new(node, process.boot, controller, links, large);
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
        host.legacy = None;
        host.clock = Clock::booted(now, local);
        if drift {
            host.clock.slew(now, &mut self.rng, 100);
        }
        self.trace.note(now, node, "loses its power", String::new);
    }

    /// The daemon has ended by itself.
    fn end(&mut self, node: NodeId, legacy: Option<Legacy>) {
        let replaced = legacy.is_some();
        let Some(host) = self.hosts.get_mut(&node) else { return };
        host.process = None;
        host.life += 1;
        host.disk.flush();
        host.legacy = legacy;
        self.trace.note(self.now, node, "ends", || format!("replaced: {replaced}"));
        self.disconnect(node);
        if replaced {
            let delay = 5 * MS + self.rng.below(150 * MS);
            self.start_in(node, delay);
        }
    }

    // ---- the heartbeat thread ----

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

    fn run_beat(&mut self, node: NodeId, life: u64) {
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
    fn acted(&mut self, node: NodeId, act: Act) -> u64 {
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
            Act::HandedOver(heartbeat) => {
                let main = self.hosts.get(&node).and_then(Host::main);
                let legacy =
                    main.map(|main| Legacy { heartbeat, controller: main.controller.hand_over() });
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
    fn pause(&mut self) -> u64 {
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

    fn arrive(&mut self, to: NodeId, bytes: Vec<u8>) {
        let process = self.hosts.get_mut(&to).and_then(|host| host.process.as_mut());
        if let Some(process) = process {
            process.beat.receive(bytes);
            self.wake_beat(to, 0);
        }
    }

    // ---- the main thread ----

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

    fn run_main(&mut self, node: NodeId, life: u64) {
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
        if matches!(main.phase, Phase::Stopped | Phase::Replaced) {
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
    fn hold_main(&mut self, node: NodeId, until: u64) {
        let host = self.hosts.get_mut(&node).and_then(|host| host.process.as_mut());
        if let Some(main) = host.and_then(|process| process.main.as_mut()) {
            main.stopped_until = main.stopped_until.max(until);
        }
    }

    /// Shows the steps of the controller to those who watch.
    fn watch_main(&mut self, node: NodeId) {
        let host = self.hosts.get_mut(&node).and_then(|host| host.process.as_mut());
        let Some(main) = host.and_then(|process| process.main.as_mut()) else { return };
        let seen = std::mem::take(&mut main.seen);
        for (input, outputs) in &seen {
            self.trace.main(self.now, node, input, outputs);
            self.checks.on_controller(self.now, node, &self.hosts, input, outputs);
        }
        self.checks.after_round(self.now, node, &self.hosts);
    }

    fn carry_out(&mut self, node: NodeId, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Beat(order) => {
                    let host = self.hosts.get_mut(&node).and_then(|h| h.process.as_mut());
                    if let Some(process) = host {
                        process.beat.order(order);
                        let delay = 1_000 + self.rng.below(4_000);
                        self.wake_beat(node, delay);
                    }
                }
                Effect::Persist { token, batch } => {
                    let most = if self.stormy { nanos(self.settings.sync) } else { MS };
                    let due = self.now + 50_000 + self.rng.below(most);
                    let now = self.now;
                    let Some(host) = self.hosts.get_mut(&node) else { continue };
                    let (told, life) = (host.disk.submit(now, due, token, &batch), host.life);
                    self.plan_at(told, Todo::Synced { node, life });
                    if told < due {
                        self.plan_at(due, Todo::Synced { node, life });
                    }
                }
                Effect::RunAgent { run, operation, lease } => {
                    self.call_agent(node, run, operation, lease);
                }
                Effect::AbortAgent(run) => {
                    let host = self.hosts.get_mut(&node).and_then(|h| h.process.as_mut());
                    if let Some(process) = host {
                        process.calls.remove(&run);
                    }
                }
                Effect::Stream { to, bytes } => self.send_stream(node, to, bytes),
                Effect::Reply { id, body } => {
                    self.trace.note(self.now, node, "replies", || {
                        let mut text = format!("{id}: {body:?}");
                        text.truncate(160);
                        text
                    });
                    self.answers.push((node, id, body));
                }
                Effect::Minted { id, ok } => self.minted.push((id, ok)),
                Effect::Admitted { id, result } => {
                    self.admitted.push((node, id, result.ok()));
                }
                Effect::Event(text) => self.trace.note(self.now, node, "says", || text),
            }
        }
    }

    fn synced(&mut self, node: NodeId, life: u64) {
        let now = self.now;
        let Some(host) = self.host(node, life) else { return };
        let done = if host.disk.broken {
            Some(Happening::PersistFailed)
        } else {
            host.disk.sync(now).map(Happening::Persisted)
        };
        host.disk.write_late(now);
        if let Some(done) = done {
            self.give(node, done);
        }
    }

    // ---- agents ----

    fn call_agent(
        &mut self,
        node: NodeId,
        run: RunId,
        operation: haven_types::operation::Operation,
        lease: Option<haven_types::operation::Lease>,
    ) {
        let slow = self.stormy && self.rng.chance(1, 30);
        let fails = self.stormy && self.rng.chance(self.settings.agent_fail_permille, 1000);
        let most = if slow { 1_500 * MS } else { 6 * MS };
        let delay = 300_000 + self.rng.below(most);
        let Some(host) = self.hosts.get_mut(&node) else { return };
        let life = host.life;
        if let Some(process) = host.process.as_mut() {
            process.calls.insert(run, Call { operation, lease, fails, acted: false });
            self.plan(delay, Todo::Agent { node, life, run });
        }
    }

    fn agent(&mut self, node: NodeId, life: u64, run: RunId) {
        let half = self.rng.chance(1, 2);
        let answer = 100_000 + self.rng.below(MS);
        let Some(host) = self.host(node, life) else { return };
        let Host { process: Some(process), kernel, .. } = host else { return };
        let Some(call) = process.calls.get_mut(&run) else { return };
        let Some(address) = address(&call.operation.params) else { return };
        if !call.acted {
            call.acted = true;
            // A failure may come before or after the effect.
            let takes_place = !call.fails || half;
            match call.operation.action.as_str() {
                "start" if takes_place => {
                    kernel.addresses.insert(address);
                }
                "stop" if takes_place => {
                    kernel.addresses.remove(&address);
                }
                _ => {}
            }
            self.look(node);
            return self.plan(answer, Todo::Agent { node, life, run });
        }
        let (code, reason) = match call.operation.action.as_str() {
            _ if call.fails => (1, "the simulation wills it"),
            "monitor" if !kernel.addresses.contains(&address) => (7, "not there"),
            _ => (0, ""),
        };
        process.calls.remove(&run);
        let outcome = Outcome::done(haven_types::operation::OcfCode(code), reason);
        self.give(node, Happening::Agent(run, outcome));
    }

    // ---- connections ----

    fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
        if a < b { (a, b) } else { (b, a) }
    }

    fn send_stream(&mut self, from: NodeId, to: NodeId, bytes: Vec<u8>) {
        let Some(connection) = self.connections.get_mut(&Self::pair(from, to)) else { return };
        if !connection.up {
            return;
        }
        connection.under_way.entry(from).or_default().push_back(bytes);
        let generation = connection.generation;
        let delay = 200_000 + self.rng.below(3 * MS);
        self.plan(delay, Todo::Stream { from, to, generation });
    }

    fn stream(&mut self, from: NodeId, to: NodeId, generation: u64) {
        let passes = self.network.connects(from, to);
        let boot = self.hosts.get(&from).and_then(|host| host.process.as_ref()).map(|p| p.boot);
        let Some(connection) = self.connections.get_mut(&Self::pair(from, to)) else { return };
        if !connection.up || connection.generation != generation {
            return;
        }
        if !passes {
            return self.plan(20 * MS, Todo::Stream { from, to, generation });
        }
        let first = connection.under_way.entry(from).or_default().pop_front();
        if let (Some(bytes), Some(boot)) = (first, boot) {
            self.give(to, Happening::Frame { from, boot, bytes });
        }
    }

    fn look_at_connections(&mut self) {
        let running = self.running();
        for (i, &a) in running.iter().enumerate() {
            for &b in &running[i + 1..] {
                let knows = |one: NodeId, other: NodeId| {
                    let main = self.hosts.get(&one).and_then(Host::main);
                    main.and_then(|main| main.members.get(&other)).is_some_and(|m| m.key != [0; 32])
                };
                let works = self.network.connects(a, b) && knows(a, b) && knows(b, a);
                let up = self.connections.get(&(a, b)).is_some_and(|connection| connection.up);
                if works && !up && self.rng.chance(1, 2) {
                    let connection = self.connections.entry((a, b)).or_default();
                    connection.up = true;
                    connection.generation += 1;
                } else if !works && up && self.rng.chance(1, 10) {
                    self.break_connection((a, b));
                }
            }
        }
        self.plan(CONNECTIONS, Todo::Connections);
    }

    fn break_connection(&mut self, (a, b): (NodeId, NodeId)) {
        if let Some(connection) = self.connections.get_mut(&(a, b)) {
            let was_up = std::mem::take(&mut connection.up);
            connection.under_way.clear();
            if was_up {
                self.give(a, Happening::Disconnected(b));
                self.give(b, Happening::Disconnected(a));
            }
        }
    }

    fn disconnect(&mut self, node: NodeId) {
        let its: Vec<_> = self.connections.keys().copied().collect();
        for pair in its.into_iter().filter(|(a, b)| *a == node || *b == node) {
            self.break_connection(pair);
        }
    }

    // ---- looking ----

    /// Something changed that decides under which addresses a host answers.
    fn look(&mut self, node: NodeId) {
        self.checks.on_gate(self.now, node, &self.hosts);
    }

    /// The nodes that answer under an address now.
    pub(crate) fn owners(&self, address: IpAddr) -> Vec<NodeId> {
        let answers = |host: &Host| host.kernel.answers(address, host.clock.at(self.now));
        self.hosts.iter().filter(|(_, host)| answers(host)).map(|(node, _)| *node).collect()
    }

    /// The node that leads with the highest term, if any does.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let leads = |host: &Host| {
            let status = host.main()?.controller.consensus_status();
            (status.role == haven_consensus::Role::Leader).then_some((status.term, host.node))
        };
        self.hosts.values().filter_map(leads).max().map(|(_, node)| node)
    }

    /// Asks a node for something on behalf of a person.
    pub(crate) fn ask(&mut self, node: NodeId, id: u64, body: RequestBody) {
        self.trace.note(self.now, node, "is asked", || {
            let mut text = format!("{id}: {body:?}");
            text.truncate(100);
            text
        });
        self.give(node, Happening::Asked { id, body });
    }
}

/// The controller of a running node.
pub(crate) fn controller(hosts: &BTreeMap<NodeId, Host>, node: NodeId) -> Option<&Controller> {
    Some(&hosts.get(&node)?.main()?.controller)
}

/// The local reading of a node's clock.
pub(crate) fn local(hosts: &BTreeMap<NodeId, Host>, node: NodeId, now: u64) -> Instant {
    hosts.get(&node).map_or(Instant::ZERO, |host| host.clock.at(now))
}
