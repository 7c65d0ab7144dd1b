//! What the root binary supplies, since commands never import the daemon.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use haven_api::ApiError;
use haven_cib::crm::Facts;
use serde::Serialize;

use crate::JoinArgs;
use crate::shell::snapshot::Parameter;

/// A cluster was created.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Initialised {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of this node, its first member.
    pub node: String,
    /// Where its identity, keys and store are.
    pub state: PathBuf,
}

/// This node was admitted to a cluster.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Joined {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of this node.
    pub node: String,
    /// The number it was given.
    pub node_id: u16,
    /// It votes and answers beats but runs nothing.
    pub witness: bool,
}

/// The daemon, as far as commands need more of it than its control socket.
///
/// Errors carry the exit code, and say what was attempted on what, what was found and what to do.
pub trait Daemon {
    /// Path of the control socket, by the configuration file.
    ///
    /// # Errors
    /// When the file is missing or wrong, with all findings.
    fn control_socket(&self, config: &Path) -> Result<PathBuf, ApiError>;

    /// Runs the daemon in the foreground until it is told to stop.
    ///
    /// # Errors
    /// When it could not start, or had to stop by itself.
    fn run(&self, config: &Path) -> Result<(), ApiError>;

    /// Creates a cluster whose only member is this node.
    ///
    /// # Errors
    /// When this node already belongs to one, or its state directory cannot be written.
    fn init(&self, config: &Path) -> Result<Initialised, ApiError>;

    /// What the built-in agents' metadata says, for judging a configuration where no daemon runs.
    fn facts(&self) -> Facts {
        Facts::default()
    }

    /// Names of the agents of this host, `class:provider:type`, as far as they are known without the daemon.
    fn agents(&self, _config: &Path) -> Vec<String> {
        Vec::new()
    }

    /// Parameters of an agent by its metadata; empty where it has none or cannot be asked.
    fn parameters(&self, _config: &Path, _agent: &str) -> BTreeMap<String, Parameter> {
        BTreeMap::new()
    }

    /// Joins the cluster that made the token.
    ///
    /// # Errors
    /// When the address does not answer, is not the cluster the token pins, or refuses this node.
    fn join(&self, config: &Path, how: &JoinArgs) -> Result<Joined, ApiError>;
}
