//! The whole cluster under true time: an agenda of what happens when, and what each event does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use haven_api::{ApiError, ReplyBody, RequestBody};
use haven_base::{Instant, Rng};
use haven_consensus::Recovered;
use haven_controller::{Command, Controller, Member, Replicated, Role};
use haven_executor::RunId;
use haven_hub::Happening;
use haven_types::{LinkId, NodeId};

use crate::clock::{Clock, MS, SECOND};
use crate::connections::{CONNECTIONS, Connection};
use crate::host::Host;
use crate::invariants::Checks;
use crate::joining::Joiner;
use crate::network::{Network, Weather};
use crate::settings::{Mutant, Settings};
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

/// More events within a second than a cluster of this size has any reason for.
const BUSIEST: u32 = 1_000_000;

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
    pub(crate) joiners: Vec<Joiner>,
    /// Nodes whose removal by force somebody asked for.
    pub(crate) forced: BTreeSet<NodeId>,
    /// Machines made so far; each has a serial number of its own.
    pub(crate) serials: u16,
    agenda: BinaryHeap<Reverse<Planned>>,
    pub(crate) connections: BTreeMap<(NodeId, NodeId), Connection>,
    order: u64,
    idle: u32,
    /// Events within the present second.
    busy: u32,
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
            joiners: Vec::new(),
            forced: BTreeSet::new(),
            serials: settings.nodes + u16::from(settings.witness),
            agenda: BinaryHeap::new(),
            connections: BTreeMap::new(),
            order: 0,
            idle: 0,
            busy: 0,
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
            clock.slew(self.now, &mut self.rng, self.settings.rho_permille());
        }
        let mut host = Host::new(member, clock, recovered);
        host.disk.lies = self.settings.mutant == Mutant::LyingDisk;
        host.disk.swaps = self.settings.mutant == Mutant::SwappedEntries;
        host.disk.rots = self.settings.mutant == Mutant::RottenEntry;
        host.disk.adds = self.settings.mutant == Mutant::RottenSnapshot && member.id == NodeId(1);
        host.kernel.heedless = self.settings.mutant == Mutant::OpenGates;
        if self.settings.mutant == Mutant::LateGate {
            host.kernel.late = self.settings.terms.tick * 2;
        }
        self.hosts.insert(member.id, host);
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

    pub(crate) fn plan_at(&mut self, at: u64, todo: Todo) {
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
            if at / SECOND != self.now / SECOND {
                self.busy = 0;
            }
            self.busy += 1;
            if self.busy > BUSIEST {
                let what = format!("{BUSIEST} events within a second, the last one {todo:?}");
                self.checks.fail(at, "nothing spins", what);
            }
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

    pub(crate) fn host(&mut self, node: NodeId, life: u64) -> Option<&mut Host> {
        self.hosts.get_mut(&node).filter(|host| host.life == life && host.process.is_some())
    }

    // ---- looking ----

    /// Something changed that decides under which addresses a host answers.
    pub(crate) fn look(&mut self, node: NodeId) {
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
            let status = host.main()?.controller().consensus_status();
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
        self.give(node, Happening::Asked { id, author: "operator".to_owned(), body });
    }
}

/// The controller of a running node.
pub(crate) fn controller(hosts: &BTreeMap<NodeId, Host>, node: NodeId) -> Option<&Controller> {
    Some(hosts.get(&node)?.main()?.controller())
}

/// The local reading of a node's clock.
pub(crate) fn local(hosts: &BTreeMap<NodeId, Host>, node: NodeId, now: u64) -> Instant {
    hosts.get(&node).map_or(Instant::ZERO, |host| host.clock.at(now))
}
