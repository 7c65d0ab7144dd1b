//! The one place where the cluster meets the subsystems: whoever implements [`Agent`] can be run.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use haven_base::{IfIndex, Instant};
use haven_types::agent::AgentReport;
use haven_types::operation::{AgentName, Lease, Operation, Outcome};

/// An agent's answer, to be awaited by the shell. Dropping it aborts the operation.
pub type AgentFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;
/// The parameters of an agent of which a change asks for a restart; nothing where any does.
pub type RestartingFuture = Pin<Box<dyn Future<Output = Option<Vec<String>>> + Send>>;
/// The end of a notification.
pub type HookFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What an agent says of the addresses it carries.
pub type CarriedFuture = Pin<Box<dyn Future<Output = Vec<Carried>> + Send>>;

/// Where an address stands on the host that should serve it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Its interface does not exist yet.
    Waiting,
    /// Whether somebody else has it is being found out.
    Checking,
    /// It is on its interface.
    Up,
    /// It is on no interface, although it should be.
    Missing,
    /// Given up: to another station, or because it cannot be where it should.
    Lost,
}

/// An address that a started resource carries on this host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Carried {
    /// The resource.
    pub resource: String,
    /// The address.
    pub address: IpAddr,
    /// Its interface, once chosen.
    pub device: Option<String>,
    /// Where it stands.
    pub standing: Standing,
    /// Announcements sent since the start.
    pub announced: u64,
    /// Whether a neighbour's answer proved the path; none when nobody was asked.
    pub confirmed: Option<bool>,
    /// How often another station claimed it since the start.
    pub conflicts: u64,
    /// The station that did so last.
    pub claimant: Option<String>,
    /// It did so within the last minutes.
    pub contested: bool,
}

/// A lease this node holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldLease {
    /// Group and grant.
    pub lease: Lease,
    /// When it ends unless renewed.
    pub until: Instant,
}

/// What happens to a running resource outside of its own operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// Its lease goes on as said here; what expires by itself behind the lease is extended.
    LeaseExtended(HeldLease),
    /// A node came back into the view: it may have announced what it no longer owns.
    PeerReturned,
}

/// Which agents' names an [`Agent`] answers to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Serves {
    /// This one.
    Name(AgentName),
    /// Every name of this standard that no other agent answers to: what exists on a node is found
    /// out by asking for it.
    Standard(String),
}

/// An agent's answer to what it says of itself.
pub type DescriptionFuture = Pin<Box<dyn Future<Output = Option<AgentReport>> + Send>>;

/// Something that acts on resources of one kind.
pub trait Agent: fmt::Debug + Send + Sync {
    /// The names that resources call it by.
    fn serves(&self) -> Serves;

    /// Whether a resource of this agent runs under a lease unless it says otherwise.
    fn leased_by_default(&self) -> bool;

    /// Performs `start`, `stop`, `monitor` or `validate-all`. The executor watches the timeout.
    /// `lease` is the lease the resource runs under, held at this moment.
    fn run(&self, operation: Operation, lease: Option<HeldLease>) -> AgentFuture;

    /// The parameters of which a change asks for a restart, where `reload-agent` is enough for others.
    /// Asked after each good start.
    fn restarting(&self, _agent: &AgentName) -> RestartingFuture {
        Box::pin(async { None })
    }

    /// What an agent of others says of its parameters, for judging a configuration; none where nothing of that kind is to
    /// be judged. Whoever asks bounds the time.
    fn describe(&self, _agent: &AgentName) -> DescriptionFuture {
        Box::pin(async { None })
    }

    /// Tells a started resource what happened around it; most agents have no use for it.
    fn notify(&self, _operation: Operation, _hook: Hook) -> HookFuture {
        Box::pin(async {})
    }

    /// The addresses for which this host must be silent unless it holds the resource's lease.
    fn guarded(&self, params: &BTreeMap<String, String>) -> Vec<IpAddr>;

    /// The addresses that started resources of this agent carry here. Asked when an operator wants to know.
    fn carried(&self) -> CarriedFuture {
        Box::pin(async { Vec::new() })
    }

    /// These devices, and no others, are without the kernel's gate, each for this reason: a leased address must not be
    /// added to one. Told before the first operation and when it changes; must not wait.
    fn ungated(&self, _devices: &BTreeMap<IfIndex, String>) {}

    /// Removes what an earlier run left behind, except for the resources still started. Nothing, unless the
    /// agent keeps something of its own on the host.
    fn clean_up(&self, _keep: Vec<Operation>) -> HookFuture {
        Box::pin(async {})
    }
}

/// The agents a daemon knows.
#[derive(Clone, Debug, Default)]
pub struct AgentRegistry {
    agents: BTreeMap<AgentName, Arc<dyn Agent>>,
    standards: BTreeMap<String, Arc<dyn Agent>>,
}

impl AgentRegistry {
    /// Adds an agent for what it serves; a later one replaces an earlier.
    pub fn add(&mut self, agent: Arc<dyn Agent>) {
        match agent.serves() {
            Serves::Name(name) => drop(self.agents.insert(name, agent)),
            Serves::Standard(standard) => drop(self.standards.insert(standard, agent)),
        }
    }

    /// The agent of that name, else the one of its standard.
    #[must_use]
    pub fn get(&self, name: &AgentName) -> Option<Arc<dyn Agent>> {
        self.agents.get(name).or_else(|| self.standards.get(&name.standard)).cloned()
    }

    /// All agents: those of one name, then those of a standard, each ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Agent>> {
        self.agents.values().chain(self.standards.values())
    }
}
