//! From a configuration file to a running daemon, in the order safety asks for: who am I, what did I
//! promise, what does the kernel hold, and only then the first frame.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use haven_consensus::{Batch, RecordError, Recovered, RecoveredRecords};
use haven_controller::{Config as ControllerConfig, Controller, Role, StartControllerError};
use haven_executor::AgentRegistry;
use haven_heartbeat as heartbeat;
use haven_host::drive::{boot_time, defer_this_process, kernel_tick, prefer_this_process};
use haven_host::gate::{BackEnd, Choice, Config as GateConfig, Gate, GateError, Upkeep};
use haven_host::identity::{
    BootIdError, EntropyError, close_directory, last_boot_id, next_boot_id, random_u64,
    take_first_life,
};
use haven_host::socket::LinkSpec;
use haven_host::socket::channel::{Channel, ChannelConfig};
use haven_host::socket::tls::TlsError;
use haven_host::store::{self, Store, StoreError, Worker};
use haven_hub::{Beginning, Hub, Origin};
use haven_messaging::Local;
use haven_messaging::express::MAX_MESSAGE;
use haven_policy::AgentFacts;
use haven_types::{BootId, GroupId};
use tokio::sync::mpsc;

use super::gate_missing::tell_agents;
use super::inlets::Inlets;
use super::keys::Keys;
use super::restart::{Legacy, is_left};
use super::run::chain;
use super::{BuiltIn, Daemon, Done, clock, peers};
use crate::beat::{self, StartBeatError};
use crate::config::{GateChoice, LinkConfig, NodeConfig};
use crate::control::{self, ControlError, Desk};
use crate::membership::{self, MembershipError};
use crate::trust::{self, Identity, IdentityError};

/// How long a start waits for the end of the process that has the store open.
const PREDECESSOR: Duration = Duration::from_secs(3);
/// Requests of clients that may wait for the main task.
const MAX_REQUESTS: usize = 256;
/// Joiners served at once.
const MAX_STRANGERS: usize = 8;

/// Why the daemon cannot run. Nothing was touched that a later start would not find as it was.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The node's identity.
    #[error("cannot start this node")]
    Identity(#[from] IdentityError),
    /// The name in the configuration is not the one the node joined under.
    #[error(
        "[node] name is {configured}, but this node joined as {joined}; correct haven.toml, or give \
         the node a state directory of its own and join again"
    )]
    OtherName {
        /// The name in the configuration.
        configured: String,
        /// The name in the identity.
        joined: String,
    },
    /// The members told at joining.
    #[error("cannot start this node")]
    Membership(#[from] MembershipError),
    /// The boot id.
    #[error("cannot start this node")]
    BootId(#[from] BootIdError),
    /// Random numbers.
    #[error("cannot start this node")]
    Entropy(#[from] EntropyError),
    /// The store.
    #[error("cannot start this node")]
    Store(#[from] StoreError),
    /// A record of the store.
    #[error("cannot start this node")]
    Record(#[from] RecordError),
    /// The replicated state.
    #[error("cannot start this node")]
    Controller(#[from] StartControllerError),
    /// The kernel gate.
    #[error("cannot start this node: without the gate an address could have two owners")]
    Gate(#[from] GateError),
    /// The heartbeat thread.
    #[error("cannot start this node")]
    Beat(#[from] StartBeatError),
    /// The TLS channel.
    #[error("cannot start this node")]
    Channel(#[from] TlsError),
    /// The control socket.
    #[error("cannot start this node")]
    Control(#[from] ControlError),
    /// A built-in agent.
    #[error("cannot start this node: {0}")]
    Agents(String),
    /// The operating system.
    #[error("cannot start this node")]
    System(#[source] std::io::Error),
}

pub(super) async fn start(
    config: NodeConfig,
    built_in: BuiltIn<impl FnOnce() -> Result<AgentRegistry, String>>,
) -> Result<(Daemon, Inlets), StartError> {
    let identity = Identity::load(&config.state)?;
    if identity.name != config.name {
        return Err(StartError::OtherName { configured: config.name, joined: identity.name });
    }
    if is_left(&config) && defer_this_process().is_err() {
        tracing::debug!(
            "services may feel this restart: the priority cannot be lowered and raised"
        );
    }
    // Before anything is raised or taken: a daemon that runs has the store, and what it will leave is for its own successor.
    let (opened, recovered) = open_store(&config).await?;
    let before = last_boot_id(&config.state)?.map(BootId);
    let legacy = Legacy::take(&config, identity.node, before);
    let first_life = take_first_life(&config.state)?;
    let boot = BootId(next_boot_id(&config.state)?);
    let now = boot_time();
    let tick = kernel_tick();
    let terms = heartbeat::Terms { tick, ..heartbeat::Terms::default() };
    let seed = random_u64()?;
    let (promises, handed_over) = match legacy {
        Some(legacy) => (Some(legacy.heartbeat), Some(legacy.controller)),
        None => (None, None),
    };
    let settings = controller_config(&config, &identity, boot, built_in.verification, seed);
    let bootstrap = membership::bootstrap(&config)?;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut controller =
        Controller::new(settings, recovered, bootstrap, handed_over, now)?.paced(processors);
    let (gate, upkeep) = open_gate(&config)?;
    let in_force = upkeep.status();
    introduce(&config, &identity, boot, in_force.back_end);
    let origin = Origin {
        node: identity.node,
        boot,
        role: if identity.role == trust::Role::Witness { Role::Witness } else { Role::Full },
        links: config.links.iter().map(|link| link.number).collect(),
        terms,
        seed,
        first_life,
        open: match promises {
            Some(_) => gate.deadlines()?.iter().map(|it| GroupId(it.group)).collect(),
            None => BTreeSet::new(),
        },
        left: promises,
    };
    let begun = Beginning::of(&mut controller, clock(), origin);
    if let Err(error) = prefer_this_process() {
        tracing::debug!(%error, "the daemon runs at ordinary priority");
    }
    let (beat, beats) = beat::spawn(beat::Settings {
        machine: begun.heartbeat,
        first: begun.first,
        local: Local { node: identity.node, boot, salt: random_u64()? },
        keys: identity.keys.clone(),
        links: config.links.iter().map(|link| (link.number, spec(link))).collect(),
        gate,
        upkeep,
        keep_gates: begun.keep_gates,
    })?;
    beat.send(peers::peers_order(begun.others.values()));
    let (done, answers) = mpsc::unbounded_channel();
    let (requests_in, requests) = mpsc::channel(MAX_REQUESTS);
    let (strangers_in, strangers) = mpsc::channel(MAX_STRANGERS);
    let (channel, channel_events) = Channel::start(ChannelConfig {
        listen: config.channel,
        identity: identity.tls(),
        boot: boot.0,
        joins: Some(strangers_in),
    })?;
    let told = done.clone();
    let store = Worker::start(opened, move |done| {
        // The main task listens as long as it lives.
        let _sent = told.send(Done::Store(done));
    })?;
    control::serve(&config.control_socket(), requests_in)?;
    let agents = (built_in.agents)().map_err(StartError::Agents)?;
    tell_agents(&agents, &in_force.missing);
    let keep: Vec<_> = controller.started().map(|(operation, _)| operation.clone()).collect();
    for agent in agents.iter() {
        agent.clean_up(keep.clone()).await;
    }
    let links = config.links.iter().map(|link| link.number).collect();
    let node = identity.node;
    let keys = Keys::new(identity.keys.clone(), config.state.clone(), done.clone());
    let admissions = peers::Admissions::new(identity, &config, strangers, done.clone());
    let hub = haven_hub::Config { node, boot, links, large: MAX_MESSAGE };
    let hub = Hub::new(hub, controller, guarded_by(&agents));
    let mut daemon = Daemon {
        node,
        boot,
        hub,
        beat,
        channel,
        store,
        agents,
        runs: BTreeMap::new(),
        desk: Desk::default(),
        alerts: super::alerts::Alerts::default(),
        surroundings: super::checks::Surroundings::new(&config, now),
        report: beat::Report::default(),
        carried: Vec::new(),
        gate_missing: Vec::new(),
        watchers: BTreeMap::new(),
        events: super::events::Ring::default(),
        readers: BTreeMap::new(),
        done,
        admissions,
        keys,
        config,
    };
    daemon.hub.begin(clock(), begun.rest);
    daemon.carry_out();
    let inlets = Inlets { beats, done: answers, channel: channel_events, requests };
    Ok((daemon, inlets))
}

/// For which addresses this host must be silent without a lease, as its agents tell.
fn guarded_by(agents: &AgentRegistry) -> haven_hub::Addresses {
    let agents = agents.clone();
    Box::new(move |agent, params| {
        agents.get(agent).map(|agent| agent.guarded(params)).unwrap_or_default()
    })
}

/// The first line of a log: who begins, where it speaks, and what holds its leases.
fn introduce(config: &NodeConfig, identity: &Identity, boot: BootId, back_end: BackEnd) {
    let links = config.links.iter().map(|link| {
        let device = link.device.as_ref().map(|name| format!(" on {name}")).unwrap_or_default();
        format!("link {} at {}{device}", link.number, link.address())
    });
    let held_by = match back_end {
        BackEnd::Tcx => "BPF programs (tcx)",
        BackEnd::Clsact => "BPF programs (clsact)",
        BackEnd::Nftables => "nftables",
    };
    tracing::info!(
        "haven {}: {} (node {}) of cluster {} begins life {boot}; {}; channel at {}; leases are \
         held by {held_by}",
        env!("CARGO_PKG_VERSION"),
        config.name,
        identity.node,
        config.cluster,
        links.collect::<Vec<_>>().join(", "),
        config.channel,
    );
}

fn spec(link: &LinkConfig) -> LinkSpec {
    LinkSpec { local: link.address(), device: link.device.clone() }
}

/// A daemon that was killed a moment ago may still be on its way out: its store is waited for.
async fn open_store(config: &NodeConfig) -> Result<(Store, Recovered), StartError> {
    let directory = store_directory(config);
    close_set_aside(&directory);
    let until = boot_time() + PREDECESSOR;
    let (store, contents) = loop {
        match Store::open(&directory) {
            Err(StoreError::Locked { .. }) if boot_time() < until => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            opened => break opened?,
        }
    };
    let records = RecoveredRecords {
        snapshot: contents.snapshot,
        entries: contents.entries,
        hard_state: contents.values.get(RecoveredRecords::VALUE_KEY).cloned(),
    };
    Ok((store, Recovered::from_records(&records)?))
}

/// Stores that were set aside beside `store` may hold passwords, too. The directory around them is left as it is: it
/// may be one that others need.
fn close_set_aside(store: &Path) {
    let beside = store.parent().and_then(|state| std::fs::read_dir(state).ok());
    let begins = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        [".corrupt-", ".former-"].iter().any(|how| name.starts_with(&format!("store{how}")))
    };
    for path in beside.into_iter().flatten().flatten().map(|entry| entry.path()) {
        if begins(&path)
            && let Err(error) = close_directory(&path)
        {
            let problem = chain(&error);
            tracing::warn!(
                "{problem}; others may read what a store held that was set aside: remove it, or `chmod 700` it"
            );
        }
    }
}

/// Where the store of a node lives.
pub(crate) fn store_directory(config: &NodeConfig) -> PathBuf {
    config.state.join("store")
}

/// A batch of the log in the store's own terms.
pub(crate) fn to_store(batch: &Batch) -> store::Batch {
    let records = batch.to_records();
    store::Batch {
        clear_entries: records.clear_entries,
        snapshot: records.snapshot,
        entries: records.entries,
        values: records.values.into_iter().map(|(key, value)| (key, Some(value))).collect(),
        compact_before: records.compact_before,
    }
}

fn controller_config(
    config: &NodeConfig,
    identity: &Identity,
    boot: BootId,
    verification: haven_cib::crm::Facts,
    seed: u64,
) -> ControllerConfig {
    let witness = identity.role == trust::Role::Witness;
    let mut consensus = haven_consensus::Config::new(identity.node);
    consensus.priority = if witness { -1 } else { 0 };
    consensus.snapshot_after_bytes = config.log_mib << 20;
    ControllerConfig {
        node: identity.node,
        boot,
        name: config.name.clone(),
        cluster: config.cluster.clone(),
        consensus,
        facts: AgentFacts::default(),
        verification,
        seed,
    }
}

fn open_gate(config: &NodeConfig) -> Result<(Gate, Upkeep), StartError> {
    std::fs::create_dir_all(&config.run).map_err(StartError::System)?;
    let back_end = match config.gate {
        GateChoice::Auto => Choice::Auto,
        GateChoice::Bpf => Choice::Bpf,
        GateChoice::BpfClsact => Choice::BpfClsact,
        GateChoice::Nft => Choice::Nft,
    };
    let lock = config.run.join("gate.lock");
    Ok(Gate::open(&GateConfig { instance: config.name.clone(), lock, back_end })?)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, metadata, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_start_takes_others_rights_from_stores_set_aside_and_from_nothing_around_them() {
        let above = tempfile::tempdir().unwrap();
        let text = "[cluster]\nname = \"demo\"\n[node]\nname = \"n1\"\n[[link]]\nnumber = 0\nlocal = \"192.0.2.1\"\n";
        let mut config = NodeConfig::parse(text).unwrap();
        config.state = above.path().join("state");
        membership::init(&config).unwrap();
        let [corrupt, former, other] =
            ["store.corrupt-5", "store.former-6", "else"].map(|name| config.state.join(name));
        for open in [&corrupt, &former, &other] {
            std::fs::create_dir(open).unwrap();
            set_permissions(open, Permissions::from_mode(0o755)).unwrap();
        }
        set_permissions(&config.state, Permissions::from_mode(0o755)).unwrap();
        open_store(&config).await.unwrap();
        let mode = |path: &Path| metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!([&corrupt, &former].map(|path| mode(path)), [0o700; 2]);
        assert_eq!([&other, &config.state].map(|path| mode(path)), [0o755; 2]);
    }

    /// The boot id goes with what the running daemon will hand over, and a hand-over is good once.
    // spec: L9
    #[tokio::test]
    async fn a_start_beside_a_running_daemon_raises_and_takes_nothing() {
        let above = tempfile::tempdir().unwrap();
        let text = "[cluster]\nname = \"demo\"\n[node]\nname = \"n1\"\n[[link]]\nnumber = 0\nlocal = \"192.0.2.1\"\n";
        let mut config = NodeConfig::parse(text).unwrap();
        (config.state, config.run) = (above.path().join("state"), above.path().join("run"));
        membership::init(&config).unwrap();
        let boot = next_boot_id(&config.state).unwrap();
        std::fs::create_dir(&config.run).unwrap();
        std::fs::write(config.run.join("handover"), b"for the successor").unwrap();
        let running = Store::open(&store_directory(&config)).unwrap();
        let built_in = BuiltIn {
            agents: || Err("nobody gets that far".to_owned()),
            verification: haven_cib::crm::Facts::default(),
        };
        let started = start(config.clone(), built_in).await.err();
        assert!(
            matches!(started, Some(StartError::Store(StoreError::Locked { .. }))),
            "{started:?}"
        );
        assert_eq!(last_boot_id(&config.state).unwrap(), Some(boot));
        assert!(is_left(&config), "what was left is there still");
        assert!(config.state.join("first-life").exists(), "and that nothing ran before");
        drop(running);
    }
}
