//! `haven.toml`: how one node reaches the others and where it keeps its files. Nothing else: what
//! the cluster runs is replicated, not written here.

mod checks;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use haven_types::LinkId;

pub use checks::{CheckConfig, CheckKind, HttpTarget, MAX_CHECKS, MAX_TARGETS};

/// UDP port of a link that names none.
pub const DEFAULT_LINK_PORT: u16 = 5405;
/// TCP port of the channel between nodes.
pub const DEFAULT_CHANNEL_PORT: u16 = 5406;
/// Most links a node may have.
pub const MAX_LINKS: usize = 8;
/// MiB of log after which a snapshot replaces it, where the file says nothing.
pub const DEFAULT_LOG_MIB: u64 = 4;
/// The most that may be asked for: a log is also kept in memory.
pub const MAX_LOG_MIB: u64 = 1024;
/// Where the daemon looks for its configuration unless told otherwise.
pub const DEFAULT_CONFIG_PATH: &str = "/etc/haven/haven.toml";

/// One heartbeat link of this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkConfig {
    /// Its number, equal on all nodes.
    pub number: LinkId,
    /// The address of this node on the link.
    pub local: IpAddr,
    /// UDP port, used at both ends.
    pub port: u16,
    /// The interface that its beats leave and arrive by; where none is named the routes decide.
    pub device: Option<String>,
}

impl LinkConfig {
    /// The socket address that beats of this link are sent from and arrive at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.local, self.port)
    }
}

/// Which kernel mechanism enforces leases.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum GateChoice {
    /// The best the kernel has.
    #[default]
    Auto,
    /// BPF programs on `tcx` hooks (kernel 6.6), else on `clsact`.
    Bpf,
    /// BPF programs on `clsact`, also where `tcx` exists.
    BpfClsact,
    /// nftables sets with timeouts.
    Nft,
}

/// What `haven.toml` says, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeConfig {
    /// Name of the cluster; must equal that of the others.
    pub cluster: String,
    /// Name of this node.
    pub name: String,
    /// Heartbeat links, ordered by number; at least one.
    pub links: Vec<LinkConfig>,
    /// Where the TLS channel listens.
    pub channel: SocketAddr,
    /// Identity, keys, store. Survives reboots.
    pub state: PathBuf,
    /// MiB of the replicated log after which a snapshot replaces it, from 1 to [`MAX_LOG_MIB`].
    pub log_mib: u64,
    /// Control socket and hand-over files. May vanish at boot.
    pub run: PathBuf,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: String,
    /// One JSON object a line instead of text.
    pub log_json: bool,
    /// How leases are enforced.
    pub gate: GateChoice,
    /// Where agents of others are, and what they find in their environment.
    pub agents: AgentsConfig,
    /// What the node asks about its surroundings.
    pub checks: Vec<CheckConfig>,
}

/// Agents that run as child processes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentsConfig {
    /// `OCF_ROOT`.
    pub ocf_root: PathBuf,
    /// Variables added to the environment of every agent.
    pub environment: BTreeMap<String, String>,
}

impl Default for AgentsConfig {
    fn default() -> Self {
        Self { ocf_root: PathBuf::from("/usr/lib/ocf"), environment: BTreeMap::new() }
    }
}

impl NodeConfig {
    /// The control socket commands talk to.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.run.join("control.sock")
    }
}

/// One thing wrong with the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Line of the file, from 1; 0 where something is missing altogether.
    pub line: usize,
    /// The section and key, as `[section] key`.
    pub object: String,
    /// What was found, what was expected, what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.object, self.message),
            line => write!(f, "line {line}, {}: {}", self.object, self.message),
        }
    }
}

/// Why a configuration file cannot be used. Nothing has been changed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read the configuration {path}: {}; name another file with --config FILE or create this one (haven help node run shows an example)",
        unread(source)
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file was read but says something that cannot work. All findings at once.
    #[error("{path} cannot be used, nothing was changed:\n{}", list(findings))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything found wrong.
        findings: Vec<Finding>,
    },
}

fn unread(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::NotFound {
        "there is no such file".to_owned()
    } else {
        error.to_string()
    }
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("  {finding}")).collect::<Vec<_>>().join("\n")
}

impl NodeConfig {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// When the file cannot be read, or with every finding at once when its content cannot work.
    pub fn load(path: &std::path::Path) -> Result<Self, ConfigError> {
        let bytes = std::fs::read(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let invalid = |findings| ConfigError::Invalid { path: path.to_owned(), findings };
        let text = String::from_utf8(bytes).map_err(|error| {
            let sound = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..sound].iter().filter(|byte| **byte == b'\n').count() + 1;
            let message = "not text: its bytes are no UTF-8; write the file anew".to_owned();
            invalid(vec![Finding { line, object: "syntax".to_owned(), message }])
        })?;
        Self::parse(&text).map_err(invalid)
    }

    /// Checks the text of a configuration file.
    ///
    /// # Errors
    /// Every finding, in the order of lines; last what is missing altogether.
    pub fn parse(text: &str) -> Result<Self, Vec<Finding>> {
        read::parse(text)
    }
}
