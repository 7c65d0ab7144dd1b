//! What the engine must know of agents' metadata.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// An agent by class, provider and type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AgentId {
    /// `ocf`, `systemd`, …
    pub class: String,
    /// Provider; only where the class has them.
    pub provider: Option<String>,
    /// Type.
    pub kind: String,
}

impl AgentId {
    /// An OCF agent.
    #[must_use]
    pub fn ocf(provider: &str, kind: &str) -> Self {
        Self { class: "ocf".into(), provider: Some(provider.into()), kind: kind.into() }
    }
}

/// What the metadata of agents says. The default knows haven's own agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFacts {
    /// Agents whose metadata declares `requires=lease`: they redirect traffic and run only under
    /// a lease, so a lost node's lease end stands in for its fencing.
    pub lease: BTreeSet<AgentId>,
}

impl Default for AgentFacts {
    fn default() -> Self {
        Self { lease: BTreeSet::from([AgentId::ocf("haven", "ip")]) }
    }
}

impl AgentFacts {
    /// Whether the metadata of an agent, by class, provider and type, declares a lease.
    #[must_use]
    pub fn declare_lease(
        &self,
        class: Option<&str>,
        provider: Option<&str>,
        kind: Option<&str>,
    ) -> bool {
        self.lease.iter().any(|agent| {
            class == Some(agent.class.as_str())
                && provider == agent.provider.as_deref()
                && kind == Some(agent.kind.as_str())
        })
    }
}
