//! OCF resource agents: scripts below `OCF_ROOT/resource.d`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use haven_executor::{
    Agent, AgentFuture, DescriptionFuture, HeldLease, HookFuture, RestartingFuture, Serves,
};
use haven_host::process::{Call, Launcher};
use haven_types::agent::AgentReport;
use haven_types::operation::{AgentName, OcfCode, Operation, Outcome};

use crate::environment;
use crate::metadata::{self, Metadata, MetadataError};

/// Kept of an action's standard error: the last reason is kept besides.
const STDERR_MAX: usize = 4096;
/// Metadata beyond this is cut off and then not well-formed.
const METADATA_MAX: usize = 512 * 1024;
/// The longest that an agent may take to print its metadata.
const METADATA_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Where OCF agents are and what is added to their environment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OcfSettings {
    /// `OCF_ROOT`; agents are in `resource.d/PROVIDER/TYPE` below it.
    pub root: PathBuf,
    /// Further variables of every agent's environment.
    pub environment: BTreeMap<String, String>,
}

impl Default for OcfSettings {
    fn default() -> Self {
        Self { root: PathBuf::from("/usr/lib/ocf"), environment: BTreeMap::new() }
    }
}

/// A name that cannot be a file's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0} cannot be the name of an OCF agent: provider and type are each the name of one file below \
     resource.d, of letters, digits, '-', '_', '.' and '+'"
)]
pub struct PathError(String);

/// Every OCF agent that is installed on this node.
#[derive(Clone, Debug)]
pub struct OcfAgents {
    launcher: Launcher,
    settings: OcfSettings,
    reloads: Arc<tokio::sync::Mutex<BTreeMap<PathBuf, Reloads>>>,
    described: Arc<std::sync::Mutex<BTreeMap<PathBuf, Described>>>,
}

/// An agent's answer, as of the file's last change.
type Described = (Option<SystemTime>, AgentReport);

/// What an agent's metadata says of reloading, as of the file's last change.
#[derive(Clone, Debug)]
struct Reloads {
    changed: Option<SystemTime>,
    restarting: Option<Vec<String>>,
}

impl OcfAgents {
    /// Agents run by `launcher`.
    #[must_use]
    pub fn new(launcher: Launcher, settings: OcfSettings) -> Self {
        Self { launcher, settings, reloads: Arc::default(), described: Arc::default() }
    }

    /// The file of an agent.
    ///
    /// # Errors
    /// [`PathError`] where provider or type would lead elsewhere.
    pub fn path(&self, agent: &AgentName) -> Result<PathBuf, PathError> {
        let provider = agent.provider.as_deref().unwrap_or_default();
        let simple = |part: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
            !part.is_empty() && !part.starts_with('.') && part.chars().all(fits)
        };
        if !simple(provider) || !simple(&agent.name) {
            return Err(PathError(agent.to_string()));
        }
        Ok(self.settings.root.join("resource.d").join(provider).join(&agent.name))
    }

    /// Every installed agent, ordered by name. Nothing is run.
    #[must_use]
    pub fn installed(&self) -> Vec<AgentName> {
        let mut found = Vec::new();
        for provider in names(&self.settings.root.join("resource.d")) {
            for name in names(&self.settings.root.join("resource.d").join(&provider)) {
                let provider = Some(provider.clone());
                let agent = AgentName { standard: "ocf".to_owned(), provider, name };
                let runnable = self.path(&agent).is_ok_and(|path| is_program(&path));
                if runnable {
                    found.push(agent);
                }
            }
        }
        found.sort();
        found
    }

    /// Asks an agent for its metadata. Takes 5 s at most, whatever the agent does.
    ///
    /// # Errors
    /// [`MetadataError`]: what the agent did instead, with a remedy.
    pub async fn metadata(&self, agent: &AgentName) -> Result<Metadata, MetadataError> {
        let name = agent.to_string();
        let program = self.path(agent).map_err(|error| MetadataError::Name(error.to_string()))?;
        let operation = Operation {
            resource: agent.name.clone(),
            agent: agent.clone(),
            action: "meta-data".to_owned(),
            interval: std::time::Duration::ZERO,
            timeout: METADATA_PATIENCE,
            params: BTreeMap::new(),
            meta: BTreeMap::new(),
        };
        let call = self.call(&operation, program).map_err(MetadataError::Name)?;
        let scope = format!("metadata of {name}");
        let call = Call { scope, stdout_max: METADATA_MAX, ..call };
        let ended = tokio::time::timeout(METADATA_PATIENCE, self.launcher.call(call))
            .await
            .map_err(|_| MetadataError::Late { agent: name.clone() })?
            .map_err(|error| MetadataError::NotRun {
                reason: environment::not_run(&error, &name).reason,
            })?;
        if ended.code != Some(0) {
            let outcome = environment::outcome(&ended, &name, "meta-data");
            return Err(MetadataError::Failed {
                agent: name,
                code: outcome.code,
                reason: outcome.reason,
            });
        }
        metadata::read(&name, &ended.stdout)
    }

    /// [`Metadata::restarting`], asked of the agent once and whenever its file has changed.
    async fn restarting(&self, agent: &AgentName) -> Option<Vec<String>> {
        let program = self.path(agent).ok()?;
        let changed = std::fs::metadata(&program).and_then(|facts| facts.modified()).ok();
        let mut known = self.reloads.lock().await;
        if let Some(known) = known.get(&program).filter(|known| known.changed == changed) {
            return known.restarting.clone();
        }
        let restarting = self.metadata(agent).await.ok().and_then(|facts| facts.restarting());
        known.insert(program, Reloads { changed, restarting: restarting.clone() });
        restarting
    }

    /// What an agent says of itself, asked once and whenever its file has changed.
    async fn described(&self, agent: &AgentName) -> AgentReport {
        let program = match self.path(agent) {
            Ok(program) => program,
            Err(error) => return AgentReport::Broken(error.to_string()),
        };
        if !is_program(&program) {
            return AgentReport::Absent;
        }
        let changed = std::fs::metadata(&program).and_then(|facts| facts.modified()).ok();
        let kept = |known: &BTreeMap<PathBuf, Described>| {
            known.get(&program).filter(|(of, _)| *of == changed).map(|(_, told)| told.clone())
        };
        if let Some(told) = self.described.lock().ok().and_then(|known| kept(&known)) {
            return told;
        }
        let told = match self.metadata(agent).await {
            Ok(metadata) => AgentReport::Described(metadata.description()),
            Err(error) => AgentReport::Broken(error.to_string()),
        };
        if let Ok(mut known) = self.described.lock() {
            known.insert(program, (changed, told.clone()));
        }
        told
    }

    fn call(&self, operation: &Operation, program: PathBuf) -> Result<Call, String> {
        let environment =
            environment::of(operation, &self.settings.root, &self.settings.environment)?;
        Ok(Call {
            scope: operation.resource.clone(),
            program,
            args: vec![operation.action.clone()],
            environment,
            stdout_max: STDERR_MAX,
            stderr_max: STDERR_MAX,
            note_prefix: environment::EXIT_REASON_PREFIX,
        })
    }
}

fn names(directory: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn is_program(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path)
        .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

impl Agent for OcfAgents {
    fn serves(&self) -> Serves {
        Serves::Standard("ocf".to_owned())
    }

    fn leased_by_default(&self) -> bool {
        false
    }

    fn run(&self, operation: Operation, _lease: Option<HeldLease>) -> AgentFuture {
        let agents = self.clone();
        Box::pin(async move {
            let name = operation.agent.to_string();
            let refused = |reason: String| Outcome::done(OcfCode::BAD_CONFIGURATION, reason);
            let program = match agents.path(&operation.agent) {
                Ok(program) => program,
                Err(error) => return refused(error.to_string()),
            };
            let call = match agents.call(&operation, program) {
                Ok(call) => call,
                Err(reason) => return refused(reason),
            };
            match agents.launcher.call(call).await {
                Ok(ended) => {
                    let outcome = environment::outcome(&ended, &name, &operation.action);
                    report_left(&agents.launcher, &operation, &outcome);
                    outcome
                }
                Err(error) => environment::not_run(&error, &name),
            }
        })
    }

    fn restarting(&self, agent: &AgentName) -> RestartingFuture {
        let (agents, agent) = (self.clone(), agent.clone());
        Box::pin(async move { Self::restarting(&agents, &agent).await })
    }

    fn describe(&self, agent: &AgentName) -> DescriptionFuture {
        let (agents, agent) = (self.clone(), agent.clone());
        Box::pin(async move { Some(agents.described(&agent).await) })
    }

    fn guarded(&self, _params: &BTreeMap<String, String>) -> Vec<IpAddr> {
        Vec::new()
    }

    fn clean_up(&self, _keep: Vec<Operation>) -> HookFuture {
        let launcher = self.launcher.clone();
        Box::pin(async move {
            // What an earlier life had under way has nobody who waits for it; services stay.
            let killed = launcher.cgroups().map_or(0, |groups| groups.kill_stale_calls());
            if killed > 0 {
                tracing::warn!(killed, "ended processes of agents that an earlier life waited for");
            }
        })
    }
}

/// After a good stop nothing of a resource should run; if something does, its agent has lost sight of it.
pub(crate) fn report_left(launcher: &Launcher, operation: &Operation, outcome: &Outcome) {
    if operation.action != "stop" || outcome.code != OcfCode::OK {
        return;
    }
    let Some(groups) = launcher.cgroups() else { return };
    let left = groups.left(&operation.resource);
    if !left.is_empty() {
        tracing::warn!(resource = operation.resource, processes = ?left,
            "{} says that it stopped, but processes it started still run", operation.agent);
    }
}
