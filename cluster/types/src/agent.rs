//! What an agent says of itself, as far as a configuration is judged by it.

use std::collections::BTreeMap;

/// What is known on a node of an agent that runs as a child of the daemon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AgentReport {
    /// It is installed, and this is what it says.
    Described(AgentDescription),
    /// It is not installed on this node.
    Absent,
    /// It is installed, but its description cannot be had: a sentence why, with what to do.
    Broken(String),
}

/// An agent's description.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AgentDescription {
    /// Its parameters by name, old names included.
    pub params: BTreeMap<String, ParameterDescription>,
    /// The timeout it advises for an action, by the action's name, as it was written.
    pub timeouts: BTreeMap<String, String>,
    /// What cuts the description short, so that there may be more parameters than are known.
    pub flaw: Option<String>,
}

/// A parameter as an agent describes it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ParameterDescription {
    /// It must be given, under this or its old name.
    pub required: bool,
    /// The present name of an old one.
    pub alias_of: Option<String>,
}
