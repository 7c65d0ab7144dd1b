//! A whole cluster in one process under true time: machines, clocks, processes that pause between any
//! two effects, a network, kernels' gates, and a checker that sees all of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use haven_base::{Instant, Rng};
use haven_heartbeat::{
    Config, Heartbeat, Held, Input, Member, Message, Output, Role, Rules, Start, Terms,
};
use haven_types::{BootId, Epoch, GroupId, LinkId, NodeId};

use super::clock::{Clock, nanos};
use super::gate::{GateWriter, KernelGate};
use super::log::{Consensus, Kind};

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1_000_000_000;

/// How one direction of one link behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Path {
    pub cut: bool,
    pub loss_permille: u64,
    pub duplicate_permille: u64,
    pub delay: (Duration, Duration),
}

impl Path {
    pub fn quiet() -> Self {
        let delay = (Duration::from_micros(80), Duration::from_micros(160));
        Self { delay, ..Self::default() }
    }

    /// 20 % loss and 0–100 ms of delay, independent per packet.
    pub fn noisy() -> Self {
        let delay = (Duration::ZERO, Duration::from_millis(100));
        Self { delay, loss_permille: 200, ..Self::default() }
    }
}

/// How processes behave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mischief {
    /// Chance per million of a pause before any single effect.
    pub pause_ppm: u64,
    pub pause_max: Duration,
    /// Chance in a thousand that a gate write fails.
    pub gate_fail_permille: u64,
    /// Time between two effects, at most; zero carries all out at once.
    pub effect: Duration,
}

#[derive(Debug)]
pub enum Todo {
    Deliver { to: NodeId, from: NodeId, boot: BootId, link: LinkId, message: Message },
    Process { node: NodeId, life: u64 },
    Gate { node: NodeId, life: u64 },
}

/// One host.
pub struct Node {
    pub clock: Clock,
    pub boot: u64,
    /// Counts processes; what an earlier one left in the queue is void.
    life: u64,
    pub machine: Option<Heartbeat>,
    inbox: VecDeque<(Input, Option<usize>)>,
    outbox: VecDeque<Output>,
    runs_at: Option<u64>,
    stopped_until: u64,
    writer: GateWriter,
    pub gates: BTreeMap<GroupId, KernelGate>,
    pub role: Role,
    pub restart_ready: bool,
    told_epochs: BTreeMap<GroupId, Epoch>,
    told_commit: usize,
    claimed: BTreeMap<GroupId, Epoch>,
}

pub struct World {
    pub now: u64,
    pub rng: Rng,
    order: u64,
    queue: BTreeMap<(u64, u64), Todo>,
    pub nodes: BTreeMap<NodeId, Node>,
    pub paths: BTreeMap<(NodeId, NodeId, LinkId), Path>,
    pub links: BTreeSet<LinkId>,
    pub terms: Terms,
    pub floor: Duration,
    pub mischief: Mischief,
    pub consensus: Consensus,
    /// Every two owners ever seen.
    pub violations: Vec<String>,
    /// What the machines said, but for messages and gate orders.
    pub said: Vec<(u64, NodeId, Output)>,
    pub record: bool,
    /// Beats and other messages sent, those lost on the way included.
    pub sent: BTreeMap<(NodeId, NodeId, LinkId), (u64, u64)>,
    /// When each node sent its last beat.
    pub last_beats: BTreeMap<NodeId, u64>,
    pub opened: u64,
    idle: u32,
}

impl World {
    pub fn new(seed: u64, nodes: u16, links: u8, terms: Terms) -> Self {
        let ids: Vec<NodeId> = (1..=nodes).map(NodeId).collect();
        let mut world = Self {
            now: 0,
            rng: Rng::new(seed),
            order: 0,
            queue: BTreeMap::new(),
            nodes: BTreeMap::new(),
            paths: BTreeMap::new(),
            links: (0..links).map(LinkId).collect(),
            terms,
            floor: Duration::from_millis(60),
            mischief: Mischief::default(),
            consensus: Consensus::found(&ids, &ids),
            violations: Vec::new(),
            said: Vec::new(),
            record: true,
            sent: BTreeMap::new(),
            last_beats: BTreeMap::new(),
            opened: 0,
            idle: 0,
        };
        for &id in &ids {
            world.nodes.insert(id, Node::new(Clock::perfect()));
        }
        world.all_paths(Path::quiet());
        world
    }

    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub fn all_paths(&mut self, path: Path) {
        for a in self.ids() {
            for b in self.ids() {
                for &link in &self.links {
                    self.paths.insert((a, b, link), path);
                }
            }
        }
    }

    pub fn set_path(&mut self, a: NodeId, b: NodeId, change: impl Fn(&mut Path)) {
        for &link in &self.links.clone() {
            for key in [(a, b, link), (b, a, link)] {
                change(self.paths.get_mut(&key).unwrap());
            }
        }
    }

    /// Cuts `node` off from all others, or joins it again.
    pub fn isolate(&mut self, node: NodeId, cut: bool) {
        for other in self.ids() {
            self.set_path(node, other, |path| path.cut = cut);
        }
    }

    pub fn config(&self, id: NodeId) -> Config {
        let node = &self.nodes[&id];
        let replica = &self.consensus.replicas[&id];
        let members = self
            .nodes
            .iter()
            .map(|(&n, node)| (n, Member { role: node.role, links: self.links.clone() }));
        let mut config = Config::new(id, BootId(node.boot));
        config.role = node.role;
        config.members = members.collect();
        config.links = self.links.clone();
        config.terms = self.terms;
        config.floor = self.floor;
        config.configurations = replica.configurations();
        config.applied = replica.entries[..replica.committed]
            .last()
            .map(|e| super::log::position(e, replica.committed - 1))
            .unwrap_or_default();
        config.log = replica.last();
        config.epochs = replica.epochs();
        config.seed = u64::from(id.0) + 1000 * node.boot;
        config
    }

    /// Starts a process. `adopt` hands it the gates the kernel still holds open; else they are
    /// deleted first.
    pub fn start(&mut self, id: NodeId, start: Start, adopt: bool) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        assert!(node.machine.is_none());
        node.boot += 1;
        node.life += 1;
        let local = node.clock.at(now);
        let mut held = Vec::new();
        for (&group, gate) in &mut node.gates {
            if adopt && gate.is_open(local) {
                held.push(Held { group, epoch: gate.epoch, deadline: gate.deadline });
            } else {
                *gate = KernelGate::default();
            }
        }
        let mut config = self.config(id);
        config.start = start;
        let claimed = held.iter().map(|held| (held.group, held.epoch)).collect();
        config.held = held;
        let node = self.nodes.get_mut(&id).unwrap();
        node.told_epochs = config.epochs.clone();
        node.machine = Some(Heartbeat::new(config, local));
        node.claimed = claimed;
        node.told_commit = 0;
        node.restart_ready = false;
        let replica = self.consensus.replicas.get_mut(&id).unwrap();
        replica.acked = replica.entries.len();
        self.give(id, Input::Tick);
        self.inform(id);
    }

    /// Ends a process at once; the kernel's gates stay.
    pub fn kill(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.machine = None;
        node.life += 1;
        node.inbox.clear();
        node.outbox.clear();
        node.writer = GateWriter::default();
        node.runs_at = None;
        node.stopped_until = 0;
    }

    /// Stops a process, its gate writer with it.
    pub fn stop(&mut self, id: NodeId, until: u64) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.stopped_until = node.stopped_until.max(until);
    }

    /// Replaces a process by plan, if its machine said that it is ready.
    pub fn replace(&mut self, id: NodeId) -> bool {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        if !node.restart_ready || node.machine.is_none() || node.writer.busy() {
            return false;
        }
        let local = node.clock.at(now);
        let left = node.machine.take().unwrap().hand_over(local);
        self.kill(id);
        self.start(id, Start::HandedOver(left.promises), true);
        true
    }

    pub fn give(&mut self, id: NodeId, input: Input) {
        self.push(id, input, None);
    }

    fn push(&mut self, id: NodeId, input: Input, acks: Option<usize>) {
        let node = self.nodes.get_mut(&id).unwrap();
        if node.machine.is_some() {
            node.inbox.push_back((input, acks));
            self.wake(id, self.now);
        }
    }

    fn todo(&mut self, at: u64, todo: Todo) {
        self.order += 1;
        self.queue.insert((at, self.order), todo);
    }

    fn wake(&mut self, id: NodeId, at: u64) {
        let node = self.nodes.get_mut(&id).unwrap();
        let at = at.max(node.stopped_until);
        if node.runs_at.is_none_or(|known| known > at || known < self.now) {
            node.runs_at = Some(at);
            let life = node.life;
            self.todo(at, Todo::Process { node: id, life });
        }
    }

    /// Lets true time pass until `until`.
    pub fn run(&mut self, until: u64) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > until {
                break;
            }
            let ((at, _), todo) = entry.remove_entry();
            self.idle = if at > self.now { 0 } else { self.idle + 1 };
            assert!(self.idle < 100_000, "time stands still at {at}: {todo:?}");
            self.now = at;
            match todo {
                Todo::Deliver { to, from, boot, link, message } => {
                    self.give(to, Input::Received { from, boot, link, message });
                }
                Todo::Process { node, life } => self.process(node, life),
                Todo::Gate { node, life } => self.write_gate(node, life),
            }
        }
        self.now = until;
    }

    pub fn run_for(&mut self, nanos: u64) {
        self.run(self.now + nanos);
    }

    /// A little time for an effect, and now and then a long pause.
    fn lapse(&mut self) -> u64 {
        if self.rng.below(1_000_000) < self.mischief.pause_ppm {
            let max = nanos(self.mischief.pause_max);
            // Short pauses are as likely as long ones.
            let max = max >> self.rng.below(6);
            return self.rng.below(max);
        }
        self.rng.below(nanos(self.mischief.effect) + 1)
    }

    fn process(&mut self, id: NodeId, life: u64) {
        for _ in 0..100_000 {
            let now = self.now;
            let node = self.nodes.get_mut(&id).unwrap();
            if node.life != life || node.machine.is_none() || node.runs_at != Some(now) {
                return;
            }
            if node.stopped_until > now {
                node.runs_at = None;
                let until = node.stopped_until;
                return self.wake(id, until);
            }
            if let Some(output) = node.outbox.pop_front() {
                self.carry_out(id, output);
            } else if !self.step(id) {
                return;
            }
            if self.mischief.effect.is_zero() && self.mischief.pause_ppm == 0 {
                continue;
            }
            let pause = self.lapse();
            if pause > 0 {
                self.nodes.get_mut(&id).unwrap().runs_at = None;
                return self.wake(id, now + pause);
            }
        }
        panic!("node {id} spins: its deadline does not pass");
    }

    /// Takes the next input, or the deadline's tick. False when there is nothing to do.
    fn step(&mut self, id: NodeId) -> bool {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        let local = node.clock.at(now);
        let machine = node.machine.as_mut().unwrap();
        let (input, acks) = match node.inbox.pop_front() {
            Some(given) => given,
            None if machine.deadline().is_some_and(|at| local >= at) => (Input::Tick, None),
            None => {
                node.runs_at = None;
                if let Some(deadline) = machine.deadline() {
                    let at = node.clock.when(now, deadline);
                    self.wake(id, at);
                }
                return false;
            }
        };
        let outputs = machine.step(local, input);
        node.outbox.extend(outputs);
        if let Some(acks) = acks {
            let replica = self.consensus.replicas.get_mut(&id).unwrap();
            replica.acked = replica.acked.max(acks.min(replica.entries.len()));
        }
        true
    }

    fn carry_out(&mut self, id: NodeId, output: Output) {
        match output {
            Output::Send { to, link, message } => self.send(id, to, link, message),
            Output::Gate(order) => {
                let node = self.nodes.get_mut(&id).unwrap();
                let idle = !node.writer.busy();
                node.writer.order(order);
                if idle {
                    let life = node.life;
                    let at = self.now + self.rng.below(nanos(self.mischief.effect) + 1);
                    self.todo(at, Todo::Gate { node: id, life });
                }
            }
            Output::RestartReady { .. } => {
                self.nodes.get_mut(&id).unwrap().restart_ready = true;
            }
            other => {
                if self.record {
                    self.said.push((self.now, id, other));
                }
            }
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, link: LinkId, message: Message) {
        let (beats, others) = self.sent.entry((from, to, link)).or_default();
        if matches!(message, Message::Beat(_)) {
            *beats += 1;
            self.last_beats.insert(from, self.now);
        } else {
            *others += 1;
        }
        let path = self.paths[&(from, to, link)];
        if path.cut || self.rng.chance(path.loss_permille, 1000) {
            return;
        }
        let boot = BootId(self.nodes[&from].boot);
        let copies = 1 + u64::from(self.rng.chance(path.duplicate_permille, 1000));
        for _ in 0..copies {
            let at = self.now + nanos(self.rng.between(path.delay.0, path.delay.1));
            let message = message.clone();
            self.todo(at, Todo::Deliver { to, from, boot, link, message });
        }
    }

    fn write_gate(&mut self, id: NodeId, life: u64) {
        let now = self.now;
        let fail = self.rng.below(1000) < self.mischief.gate_fail_permille;
        let tick = self.terms.tick;
        let node = self.nodes.get_mut(&id).unwrap();
        if node.life != life {
            return;
        }
        if node.stopped_until > now {
            let at = node.stopped_until;
            return self.todo(at, Todo::Gate { node: id, life });
        }
        let local = node.clock.at(now);
        let told = node.writer.run(local, tick, &mut node.gates, &mut self.rng, fail);
        let busy = node.writer.busy();
        if let Some(input) = told {
            self.opened += u64::from(matches!(input, Input::GateOpened { .. }));
            self.give(id, input);
        }
        self.check();
        if busy {
            let at = now + self.lapse();
            self.todo(at, Todo::Gate { node: id, life });
        }
    }

    /// One owner per group, now.
    fn check(&mut self) {
        let mut open: BTreeMap<GroupId, Vec<NodeId>> = BTreeMap::new();
        for (&id, node) in &self.nodes {
            let local = node.clock.at(self.now);
            for (&group, gate) in &node.gates {
                if gate.is_open(local) {
                    open.entry(group).or_default().push(id);
                }
            }
        }
        for (group, owners) in open.into_iter().filter(|(_, owners)| owners.len() > 1) {
            let at = Instant::from_nanos(self.now);
            self.violations.push(format!("{at:?}: group {group} is open on {owners:?}"));
        }
    }

    pub fn owners(&self, group: GroupId) -> Vec<NodeId> {
        let open = self.nodes.iter().filter(|(_, node)| {
            let gate = node.gates.get(&group);
            gate.is_some_and(|gate| gate.is_open(node.clock.at(self.now)))
        });
        open.map(|(&id, _)| id).collect()
    }

    /// Tells a process what its replica holds; the acknowledgement counts once it has taken it in.
    pub fn inform(&mut self, id: NodeId) {
        let replica = self.consensus.replicas[&id].clone();
        let node = self.nodes.get_mut(&id).unwrap();
        if node.machine.is_none() {
            return;
        }
        let mut inputs = Vec::new();
        for (group, epoch) in replica.epochs() {
            if node.told_epochs.insert(group, epoch) != Some(epoch) {
                inputs.push(Input::Epoch { group, epoch });
            }
        }
        inputs.push(Input::Log(replica.last()));
        let newly = node.told_commit..replica.committed;
        node.told_commit = replica.committed;
        for (group, (holder, epoch)) in replica.grants() {
            inputs.push(Input::Granted { group, epoch });
            if holder == id
                && node.claimed.insert(group, epoch) != Some(epoch)
                && node.role != Role::Witness
            {
                inputs.push(Input::Claim { group, epoch });
            }
        }
        let applied = newly.filter(|&i| matches!(replica.entries[i].kind, Kind::Voters { .. }));
        let applied: Vec<_> = applied
            .map(|i| Input::ConfigurationApplied(super::log::position(&replica.entries[i], i)))
            .collect();
        let acks = replica.entries.len();
        self.push(id, Input::Configurations(replica.configurations()), Some(acks));
        for input in applied.into_iter().chain(inputs) {
            self.give(id, input);
        }
    }

    pub fn up(&self) -> BTreeSet<NodeId> {
        let up =
            self.nodes.iter().filter(|(_, n)| n.machine.is_some() && n.stopped_until <= self.now);
        up.map(|(&id, _)| id).collect()
    }

    /// True when packets pass both ways on some link.
    pub fn connected(&self, a: NodeId, b: NodeId) -> bool {
        a == b
            || self
                .links
                .iter()
                .any(|&link| !self.paths[&(a, b, link)].cut && !self.paths[&(b, a, link)].cut)
    }

    pub fn start_all(&mut self, start: &Start) {
        for id in self.ids() {
            self.start(id, start.clone(), false);
        }
    }

    pub fn rules(&self) -> Rules {
        self.terms.rules
    }
}

impl Node {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            boot: 0,
            life: 0,
            machine: None,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            runs_at: None,
            stopped_until: 0,
            writer: GateWriter::default(),
            gates: BTreeMap::new(),
            role: Role::Full,
            restart_ready: false,
            told_epochs: BTreeMap::new(),
            told_commit: 0,
            claimed: BTreeMap::new(),
        }
    }
}
