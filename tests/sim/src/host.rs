//! One host: its clock, kernel and disk, which outlive processes, and the process it runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use haven_base::WallTime;
use haven_cib::crm::Facts;
use haven_consensus::Recovered;
use haven_controller::{Clock, Config, Controller, HandOver, Member, Output, Role};
use haven_executor::RunId;
use haven_heartbeat as heartbeat;
use haven_hub::{Beginning, Happening, Heart, Origin};
use haven_messaging::{ClusterKey, Frames, Keyring, Local};
use haven_types::operation::Operation;
use haven_types::{BootId, LogPosition, NodeId};

use crate::beat::BeatThread;
use crate::clock::SECOND;
use crate::disk::Disk;
use crate::kernel::Kernel;
use crate::main_thread::{MainThread, address};
use crate::plans::Plans;
use crate::settings::{Mutant, Settings};

/// What a process leaves to the next one on the same boot of the host.
#[derive(Clone, Debug)]
pub(crate) struct Legacy {
    pub(crate) heartbeat: heartbeat::HandOver,
    pub(crate) controller: HandOver,
}

/// An agent's operation under way.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    /// It will say that it failed.
    pub(crate) fails: bool,
    /// Its effect has taken place.
    pub(crate) acted: bool,
}

/// The daemon.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) boot: BootId,
    pub(crate) beat: BeatThread,
    /// None until the agents have cleaned up.
    pub(crate) main: Option<MainThread>,
    pub(crate) rest: Vec<Output>,
    pub(crate) starting: Option<Controller>,
    pub(crate) calls: BTreeMap<RunId, Call>,
    /// The voter configurations its heartbeat machine started with.
    pub(crate) configurations: Vec<heartbeat::Configuration>,
    /// The members it started with.
    pub(crate) members: BTreeSet<NodeId>,
    /// The newest configuration entry that it knew to be applied then.
    pub(crate) applied: LogPosition,
    /// What it knows of the promises of earlier processes.
    pub(crate) start: heartbeat::Start,
    /// Plans that it has made.
    pub(crate) plans: Plans,
    /// What the heartbeat thread told before the main thread listened.
    pub(crate) early: VecDeque<Happening>,
}

/// One machine of the cluster.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) node: NodeId,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) clock: crate::clock::Clock,
    pub(crate) kernel: Kernel,
    pub(crate) disk: Disk,
    /// Lives of the daemon so far; kept durably.
    pub(crate) boots: u64,
    /// The hand-over file; gone with the host's power.
    pub(crate) legacy: Option<Legacy>,
    pub(crate) bootstrap: Vec<Member>,
    pub(crate) process: Option<Process>,
    /// Counts processes: what an earlier one left in the queue is void.
    pub(crate) life: u64,
    /// It was removed from the cluster and will not start again.
    pub(crate) removed: bool,
}

/// What every process of one simulated cluster starts with.
pub(crate) struct Start<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) seed: u64,
    pub(crate) salt: u64,
}

impl Host {
    pub(crate) fn new(member: &Member, clock: crate::clock::Clock, recovered: Recovered) -> Self {
        Self {
            node: member.id,
            name: member.name.clone(),
            role: member.role,
            clock,
            kernel: Kernel::default(),
            disk: Disk::new(recovered),
            boots: 0,
            legacy: None,
            bootstrap: Vec::new(),
            process: None,
            life: 0,
            removed: false,
        }
    }

    pub(crate) fn clock(&self, now: u64) -> Clock {
        Clock { now: self.clock.at(now), wall: wall(now) }
    }

    pub(crate) fn main(&self) -> Option<&MainThread> {
        self.process.as_ref()?.main.as_ref()
    }

    /// Whether its daemon runs and is neither leaving nor being replaced.
    pub(crate) fn serves(&self) -> bool {
        self.main().is_some_and(MainThread::serves)
    }

    /// Starts the daemon, in the daemon's own order: who am I, what did I promise, what does the kernel
    /// hold, and only then the first frame. The main thread follows once the agents have cleaned up.
    pub(crate) fn start(&mut self, now: u64, start: &Start<'_>) -> Result<(), String> {
        let first_life = self.boots == 0;
        self.boots += 1;
        self.life += 1;
        let boot = BootId(self.boots);
        let clock = self.clock(now);
        let recovered = self.disk.recover().map_err(|error| error.to_string())?;
        let (promises, handed_over) = match self.legacy.take() {
            Some(legacy) => (Some(legacy.heartbeat), Some(legacy.controller)),
            None => (None, None),
        };
        let config = self.controller_config(boot, start);
        let (bootstrap, plans) = (self.bootstrap.clone(), Plans::default());
        let mut controller = Controller::new(config, recovered, bootstrap, handed_over, clock.now)
            .map_err(|error| error.to_string())?
            .planned_by(plans.planner(start.settings.mutant));
        let origin = Origin {
            node: self.node,
            boot,
            role: self.role,
            links: start.settings.links(),
            terms: start.settings.terms,
            seed: start.seed,
            first_life,
            left: promises,
            open: self.kernel.groups().collect(),
        };
        let begun = Beginning::of(&mut controller, clock, origin);
        if !begun.keep_gates {
            self.kernel.close_all();
        }
        let machine = heartbeat::Config { floor: start.settings.floor, ..begun.heartbeat };
        let local = Local { node: self.node, boot, salt: start.salt };
        let frames = Frames::new(local, Keyring::new(ClusterKey { epoch: 1, secret: [7; 32] }));
        let configurations = machine.configurations.clone();
        let members = machine.members.keys().copied().collect();
        let (knows, applied) = (machine.start.clone(), machine.applied);
        let mut beat = BeatThread::new(Heart::new(machine, begun.first, clock.now), frames);
        beat.order(crate::beat::Order::Peers(begun.others.into_keys().collect()));
        beat.drops_beats = start.settings.mutant == Mutant::DroppedBeats;
        self.process = Some(Process {
            boot,
            beat,
            main: None,
            rest: begun.rest,
            starting: Some(controller),
            calls: BTreeMap::new(),
            configurations,
            members,
            applied,
            start: knows,
            plans,
            early: VecDeque::new(),
        });
        Ok(())
    }

    /// The agents remove what an earlier process left, but for what goes on running.
    pub(crate) fn clean_up(&mut self) {
        let Some(controller) = self.process.as_ref().and_then(|p| p.starting.as_ref()) else {
            return;
        };
        let keep: Vec<_> =
            controller.started().filter_map(|(operation, _)| address(&operation.params)).collect();
        self.kernel.addresses.retain(|address| keep.contains(address));
    }

    fn controller_config(&self, boot: BootId, start: &Start<'_>) -> Config {
        let settings = start.settings;
        let mut consensus = haven_consensus::Config::new(self.node);
        consensus.priority = if self.role == Role::Witness { -1 } else { 0 };
        // In the proportion of the defaults.
        consensus.change_spacing = settings.terms.forgotten() * 14 / 10;
        if settings.hasty_members {
            consensus.change_spacing = Duration::from_millis(1);
        }
        consensus.snapshot_after_bytes = settings.snapshot_after_bytes;
        consensus.keep_entries = settings.keep_entries;
        Config {
            node: self.node,
            boot,
            name: self.name.clone(),
            cluster: "simulated".to_owned(),
            consensus,
            facts: haven_policy::AgentFacts::default(),
            verification: Facts::default(),
            seed: start.seed,
        }
    }
}

/// Civil time: the same everywhere, for it decides nothing.
pub(crate) fn wall(now: u64) -> WallTime {
    WallTime::from_seconds(1_800_000_000 + i64::try_from(now / SECOND).unwrap_or(0))
}
