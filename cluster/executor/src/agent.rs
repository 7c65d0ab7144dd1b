//! The one place where the cluster meets the subsystems: whoever implements [`Agent`] can be run.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use haven_base::Instant;
use haven_types::operation::{AgentName, Operation, Outcome};

/// An agent's answer, to be awaited by the shell. Dropping it aborts the operation.
pub type AgentFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;
/// The end of a notification.
pub type HookFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What happens to a running resource outside of its own operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// Its lease had lapsed and is held again: whoever was told otherwise must be told anew.
    LeaseRegained,
    /// Its lease now ends at this instant; what expires by itself behind the lease is extended.
    LeaseExtended(Instant),
    /// A node came back into the view: it may have announced what it no longer owns.
    PeerReturned,
}

/// Something that acts on resources of one kind.
pub trait Agent: fmt::Debug + Send + Sync {
    /// The name resources call it by.
    fn name(&self) -> AgentName;

    /// Whether a resource of this agent runs under a lease unless it says otherwise.
    fn leased_by_default(&self) -> bool;

    /// OCF metadata (XML, resource agent API 1.1).
    fn metadata(&self) -> String;

    /// Performs `start`, `stop`, `monitor` or `validate-all`. The executor watches the timeout.
    fn run(&self, operation: Operation) -> AgentFuture;

    /// Tells a started resource what happened around it.
    fn notify(&self, operation: Operation, hook: Hook) -> HookFuture;
}

/// The agents a daemon knows.
#[derive(Clone, Debug, Default)]
pub struct AgentRegistry {
    agents: BTreeMap<AgentName, Arc<dyn Agent>>,
}

impl AgentRegistry {
    /// Adds an agent under its own name; a later one replaces an earlier.
    pub fn add(&mut self, agent: Arc<dyn Agent>) {
        self.agents.insert(agent.name(), agent);
    }

    /// The agent of that name.
    #[must_use]
    pub fn get(&self, name: &AgentName) -> Option<Arc<dyn Agent>> {
        self.agents.get(name).cloned()
    }

    /// All agents, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Agent>> {
        self.agents.values()
    }
}
