//! The virtual machine room: nodes, their disks, and the network between them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::{Instant, Rng};
use haven_types::{LogIndex, NodeId};

use crate::interface::{Carrier, Config, Event, Input, Output, ProposalId, ReadId, Role};
use crate::machine::Consensus;
use crate::persist::Recovered;
use crate::tests::check::{Application, Checker, Shadow};
use crate::tests::disk::{Disk, Mutant};

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) machine: Option<Consensus>,
    pub(super) disk: Disk,
    pub(super) application: Application,
    pub(super) shadow: Shadow,
    boot: u64,
}

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) loss_percent: u64,
    pub(super) double_percent: u64,
    pub(super) delay: (Duration, Duration),
    pub(super) sync: (Duration, Duration),
}

impl Weather {
    pub(super) const FINE: Self = Self {
        loss_percent: 0,
        double_percent: 0,
        delay: (Duration::from_micros(100), Duration::from_micros(300)),
        sync: (Duration::from_micros(200), Duration::from_micros(900)),
    };
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) rng: Rng,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) weather: Weather,
    pub(super) cut: BTreeSet<(NodeId, NodeId)>,
    pub(super) checker: Checker,
    pub(super) config: Config,
    /// Messages under way by arrival.
    network: BTreeMap<(Instant, u64), (NodeId, NodeId, Vec<u8>)>,
    sent: u64,
    next_proposal: u64,
    reads: BTreeMap<(NodeId, ReadId), u64>,
    pub(super) trace: u64,
    pub(super) outputs: Vec<(Instant, NodeId, Output)>,
    /// Keep outputs for a scenario to look at.
    pub(super) keep: bool,
    /// This node applies nothing any more: it answers with this whenever a snapshot is wanted.
    pub(super) halted: Option<(NodeId, LogIndex)>,
}

pub(super) fn node(id: u16) -> NodeId {
    NodeId(id)
}

impl World {
    /// `founders` of `count` nodes form the group; the rest is blank.
    pub(super) fn new(seed: u64, count: u16, founders: u16, mutant: Mutant) -> Self {
        let config = Config {
            change_spacing: Duration::from_millis(600),
            snapshot_after_bytes: 4096,
            keep_entries: 8,
            heartbeat_ticks: 2,
            election_ticks: 10,
            ..Config::new(node(1))
        };
        let mut world = Self {
            now: Instant::from_nanos(1_000_000_000),
            rng: Rng::new(seed),
            nodes: BTreeMap::new(),
            weather: Weather::FINE,
            cut: BTreeSet::new(),
            checker: Checker::with_spacing(config.change_spacing),
            config,
            network: BTreeMap::new(),
            sent: 0,
            next_proposal: 0,
            reads: BTreeMap::new(),
            trace: 0,
            outputs: Vec::new(),
            keep: false,
            halted: None,
        };
        for id in 1..=count {
            let recovered = if id <= founders {
                Recovered::founding((1..=founders).map(node), Vec::new())
            } else {
                Recovered::blank()
            };
            let it = Node {
                machine: None,
                disk: Disk::new(recovered, mutant),
                application: Application::default(),
                shadow: Shadow::default(),
                boot: 0,
            };
            world.nodes.insert(node(id), it);
        }
        world
    }

    pub(super) fn boot(&mut self, id: NodeId) -> Result<(), String> {
        let seed = self.rng.next_u64();
        let config = Config { id, ..self.config.clone() };
        let it = self.nodes.get_mut(&id).unwrap();
        if it.machine.is_some() {
            return Ok(());
        }
        it.boot += 1;
        it.application = Application::default();
        it.shadow = Shadow::default();
        let machine = Consensus::new(config, it.disk.recover(), seed);
        it.machine = Some(machine.map_err(|e| format!("{id} does not start: {e}"))?);
        // Beats of another life: the one that may have led is over.
        let again = it.boot > 1;
        let others = self.nodes.keys().copied().filter(|other| again && *other != id);
        for other in others.collect::<Vec<_>>() {
            self.step(other, Input::PeerAlive { node: id, alive: false })?;
        }
        self.step(id, Input::Tick)
    }

    pub(super) fn crash(&mut self, id: NodeId) {
        let mut rng = self.rng.fork();
        let it = self.nodes.get_mut(&id).unwrap();
        if it.machine.take().is_some() {
            it.disk.crash(&mut rng);
            self.reads.retain(|(node, _), _| *node != id);
        }
    }

    pub(super) fn leader(&self) -> Option<NodeId> {
        self.nodes
            .iter()
            .filter_map(|(id, it)| Some((it.machine.as_ref()?.status(), *id)))
            .filter(|(status, _)| status.role == Role::Leader)
            .max_by_key(|(status, _)| status.term)
            .map(|(_, id)| id)
    }

    pub(super) fn propose(&mut self, id: NodeId) -> Result<ProposalId, String> {
        self.next_proposal += 1;
        let proposal = ProposalId(self.next_proposal);
        let mut bytes = self.next_proposal.to_be_bytes().to_vec();
        bytes.resize(8 + self.rng.below(120) as usize, 7);
        if self.nodes[&id].machine.is_some() {
            self.checker.proposed(id, proposal, bytes.clone());
            self.step(id, Input::Propose { id: proposal, bytes })?;
        }
        Ok(proposal)
    }

    pub(super) fn read(&mut self, id: NodeId) -> Result<(), String> {
        self.next_proposal += 1;
        let read = ReadId(self.next_proposal);
        if self.nodes[&id].machine.is_some() {
            self.reads.insert((id, read), self.checker.highest_committed());
            self.step(id, Input::ReadIndex(read))?;
        }
        Ok(())
    }

    /// One input to one node, and its outputs performed and checked.
    pub(super) fn step(&mut self, id: NodeId, input: Input) -> Result<(), String> {
        let now = self.now;
        let Some(it) = self.nodes.get_mut(&id) else { return Ok(()) };
        let Some(machine) = &mut it.machine else { return Ok(()) };
        let ticked = input == Input::Tick;
        let outputs = machine.step(now, input);
        if let Some(due) = machine.deadline().filter(|due| ticked && *due <= now) {
            let again = machine.step(now, Input::Tick);
            return Err(format!("{id} spins at {now:?}: due {due:?}, then {again:?}"));
        }
        let mut follow_ups = Vec::new();
        for output in outputs {
            follow_ups.extend(self.perform(id, output)?);
        }
        let it = &self.nodes[&id];
        if let Some(machine) = &it.machine {
            self.checker.after_step(id, machine, &it.shadow)?;
        }
        for input in follow_ups {
            self.step(id, input)?;
        }
        Ok(())
    }

    /// Performs one output; the input that comes back at once, if one does.
    fn perform(&mut self, id: NodeId, output: Output) -> Result<Option<Input>, String> {
        self.note(id, &output);
        let it = self.nodes.get_mut(&id).unwrap();
        let Some(machine) = &it.machine else { return Ok(None) };
        self.checker.on_output(
            self.now,
            id,
            machine,
            &mut it.shadow,
            &mut it.application,
            &output,
        )?;
        match output {
            Output::Persist { token, batch } => {
                let (from, to) = self.weather.sync;
                let due = self.now + self.rng.between(from, to);
                if it.disk.submit(due, token, &batch) {
                    return Ok(Some(Input::Persisted(token)));
                }
            }
            Output::Send { to, bytes, carrier } => self.send(id, to, &bytes, carrier),
            Output::SnapshotWanted => {
                let bytes = it.application.snapshot();
                let index = match self.halted {
                    Some((node, index)) if node == id => index,
                    _ => LogIndex(it.application.applied),
                };
                return Ok(Some(Input::Snapshot { index, bytes }));
            }
            Output::ReadReady { id: read, index } => {
                let floor = self.reads.remove(&(id, read)).unwrap_or(0);
                if index < LogIndex(floor) {
                    return Err(format!("{id} reads at {index}, {floor} was committed before"));
                }
            }
            Output::Event(Event::Implausible { from, what }) => {
                return Err(format!("{id} finds {from} implausible: {what}"));
            }
            _ => {}
        }
        Ok(None)
    }

    fn note(&mut self, id: NodeId, output: &Output) {
        if std::env::var("HAVEN_TRACE").is_ok() {
            match output {
                Output::Send { to, bytes, .. } => {
                    let message = crate::wire::Message::decode(bytes);
                    println!("{:?} {id} -> {to} {message:?}", self.now);
                }
                other => println!("{:?} {id} {other:?}", self.now),
            }
        }
        for byte in format!("{:?}{id}{output:?}", self.now).bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.keep {
            self.outputs.push((self.now, id, output.clone()));
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, bytes: &[u8], carrier: Carrier) {
        assert_eq!(carrier == Carrier::Datagram, bytes.len() < 60 << 10, "carrier by size");
        let copies = 1 + u64::from(self.rng.chance(self.weather.double_percent, 100));
        for _ in 0..copies {
            let lost = self.rng.chance(self.weather.loss_percent, 100);
            if lost || self.cut.contains(&(from, to)) {
                continue;
            }
            let (least, most) = self.weather.delay;
            let arrival = self.now + self.rng.between(least, most);
            self.sent += 1;
            self.network.insert((arrival, self.sent), (from, to, bytes.to_vec()));
        }
    }

    /// Runs until `end`, as long as nothing is violated.
    pub(super) fn run_until(&mut self, end: Instant) -> Result<(), String> {
        while let Some(at) = self.next_event().filter(|it| *it <= end) {
            self.now = self.now.max(at);
            self.one_event()?;
        }
        self.now = self.now.max(end);
        Ok(())
    }

    fn next_event(&self) -> Option<Instant> {
        let arrival = self.network.keys().next().map(|(at, _)| *at);
        let alive = self.nodes.values().filter(|it| it.machine.is_some());
        let others = alive
            .flat_map(|it| [it.disk.next_due(), it.machine.as_ref().and_then(Consensus::deadline)]);
        others.flatten().chain(arrival).min()
    }

    fn one_event(&mut self) -> Result<(), String> {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in ids {
            let now = self.now;
            let it = self.nodes.get_mut(&id).unwrap();
            if it.machine.is_some()
                && let Some(token) = it.disk.sync(now)
            {
                self.step(id, Input::Persisted(token))?;
            }
            let due = self.nodes[&id].machine.as_ref().and_then(Consensus::deadline);
            if due.is_some_and(|it| it <= now) {
                self.step(id, Input::Tick)?;
            }
        }
        while let Some(key) = self.network.keys().next().copied().filter(|it| it.0 <= self.now) {
            if let Some((from, to, bytes)) = self.network.remove(&key)
                && !self.cut.contains(&(from, to))
            {
                self.step(to, Input::Received { from, bytes })?;
            }
        }
        Ok(())
    }

    pub(super) fn run_for(&mut self, span: Duration) -> Result<(), String> {
        self.run_until(self.now + span)
    }

    /// What every node's detector says of every other.
    pub(super) fn detect(&mut self, alive: impl Fn(NodeId) -> bool) -> Result<(), String> {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in &ids {
            for other in ids.iter().filter(|it| *it != id) {
                self.step(*id, Input::PeerAlive { node: *other, alive: alive(*other) })?;
            }
        }
        Ok(())
    }
}
