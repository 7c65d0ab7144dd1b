//! The daemon behind the commands: the one place that joins `node` and the built-in agents.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haven_agents::{DummyResource, IpResource};
use haven_api::{ApiError, Code};
use haven_children::{Bus, InitScripts, OcfAgents, OcfSettings, Services, SystemdUnits};
use haven_cib::crm::Facts;
use haven_cli::{Daemon, Initialised, JoinArgs, Joined};
use haven_executor::AgentRegistry;
use haven_host::process::{Cgroups, Launcher};
use haven_ipfail::{AgentConfig, IpAgent};
use haven_node::config::{AgentsConfig, ConfigError, NodeConfig};
use haven_node::{BuiltIn, End};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::tools;

/// This build's daemon.
#[derive(Debug)]
pub(crate) struct Node;

impl Daemon for Node {
    fn control_socket(&self, config: &Path) -> Result<PathBuf, ApiError> {
        Ok(load(config)?.control_socket())
    }

    fn facts(&self) -> Facts {
        verification()
    }

    fn agents(&self, config: &Path) -> Vec<String> {
        // Completion and help do not wait for the file to be mended.
        crate::knowledge::agents(ocf_settings(config).unwrap_or_default())
    }

    fn parameters(&self, config: &Path, agent: &str) -> BTreeMap<String, haven_cli::Parameter> {
        crate::knowledge::parameters(agent, ocf_settings(config).unwrap_or_default())
    }

    fn run(&self, config: &Path) -> Result<(), ApiError> {
        haven_host::memory::lock_free();
        let settings = load(config)?;
        log_to_stderr(&settings);
        let foreign = Foreign::of(&settings, config);
        let agents = move || agents(foreign);
        let node = haven_node::run(settings, BuiltIn { agents, verification: verification() });
        // As a task it runs where its timers and sockets wake it, not on a thread to be woken by that one.
        let end = runtime()?
            .block_on(async { tokio::spawn(node).await })
            .map_err(|panic| ApiError::new(Code::Failed, format!("the daemon broke off: {panic}")))?
            .map_err(|error| failure(&error))?;
        match end {
            End::Stopped => Ok(()),
            End::Replaced => Err(replace()),
        }
    }

    fn init(&self, config: &Path) -> Result<Initialised, ApiError> {
        let settings = load(config)?;
        haven_node::init(&settings).map_err(|error| no_member(&error))?;
        Ok(Initialised { cluster: settings.cluster, node: settings.name, state: settings.state })
    }

    fn join(&self, config: &Path, how: &JoinArgs) -> Result<Joined, ApiError> {
        let settings = load(config)?;
        let joined = runtime()?
            .block_on(haven_node::join(&settings, &how.address, &how.token, how.witness))
            .map_err(|error| no_member(&error))?;
        Ok(Joined {
            cluster: settings.cluster,
            node: settings.name,
            node_id: joined.0,
            witness: how.witness,
        })
    }
}

/// What agents that run as children need to know of the node.
struct Foreign {
    /// Tells the nodes of one host apart.
    name: String,
    /// Where the links of the tools go that agents call.
    tools: PathBuf,
    ocf: OcfSettings,
}

impl Foreign {
    fn of(settings: &NodeConfig, config: &Path) -> Self {
        let mut environment = tools::environment(&settings.run, config);
        environment.extend(settings.agents.environment.clone());
        Self {
            name: format!("{}.{}", settings.cluster, settings.name),
            tools: settings.run.clone(),
            ocf: OcfSettings { root: settings.agents.ocf_root.clone(), environment },
        }
    }
}

fn agents(foreign: Foreign) -> Result<AgentRegistry, String> {
    if let Err(error) = tools::link(&foreign.tools) {
        tracing::warn!("{error}: agents that keep promotion scores or attributes will fail");
    }
    let mut registry = AgentRegistry::default();
    let ip = IpAgent::open(AgentConfig::default()).map_err(|error| error.to_string())?;
    registry.add(Arc::new(IpResource::new(ip)));
    registry.add(Arc::new(DummyResource::new(foreign.tools.clone())));
    let cgroups = Cgroups::open(&foreign.name);
    if cgroups.is_none() {
        tracing::info!(
            "no writable cgroup2 hierarchy: what agents start is known by process group and \
             environment only"
        );
    }
    // Operations that a planned restart cut short.
    haven_host::process::bury_inherited();
    let launcher = Launcher::start(cgroups).map_err(|error| error.to_string())?;
    let environment = foreign.ocf.environment.clone();
    let scripts = InitScripts::new(launcher.clone(), PathBuf::from("/etc/init.d"), environment);
    let units = SystemdUnits::new(Bus::System, PathBuf::from("/run/systemd/system"));
    registry.add(Arc::new(Services::new(scripts.clone(), units.clone())));
    registry.add(Arc::new(scripts));
    registry.add(Arc::new(units));
    registry.add(Arc::new(OcfAgents::new(launcher, foreign.ocf)));
    Ok(registry)
}

/// What the built-in agents' metadata says, for judging a configuration.
fn verification() -> Facts {
    Facts {
        members: None,
        agents: BTreeMap::from([
            ("ocf:haven:ip".to_owned(), haven_agents::ip_facts()),
            ("ocf:haven:Dummy".to_owned(), haven_agents::dummy_facts()),
        ]),
        complete: vec!["ocf:haven:".to_owned()],
        ..Facts::default()
    }
}

fn load(path: &Path) -> Result<NodeConfig, ApiError> {
    NodeConfig::load(path).map_err(|error| unusable(&error))
}

fn unusable(error: &ConfigError) -> ApiError {
    let refused = |source: &io::Error| source.kind() == io::ErrorKind::PermissionDenied;
    let code = match error {
        ConfigError::Read { source, .. } if refused(source) => Code::NoPermission,
        ConfigError::Read { .. } | ConfigError::Invalid { .. } => Code::Configuration,
    };
    ApiError::new(code, error.to_string())
}

/// Where agents of others are and what is added to their environment, by the node's configuration file. A host
/// that is no node has none at the usual place, and its agents are where they usually are.
///
/// # Errors
/// When the file cannot be used, or another was named and is missing.
pub(crate) fn ocf_settings(config: &Path) -> Result<OcfSettings, ApiError> {
    let usual = config == Path::new(haven_cli::DEFAULT_CONFIG);
    match NodeConfig::load(config) {
        Ok(settings) => {
            let AgentsConfig { ocf_root: root, environment } = settings.agents;
            Ok(OcfSettings { root, environment })
        }
        Err(ConfigError::Read { source, .. })
            if usual && source.kind() == io::ErrorKind::NotFound =>
        {
            Ok(OcfSettings::default())
        }
        Err(error) => Err(unusable(&error)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, ApiError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("haven")
        .enable_all()
        .build()
        .map_err(|error| ApiError::new(Code::Unavailable, format!("no threads: {error}")))
}

/// The next process takes this one's place, with its process id and arguments: no supervisor is
/// needed, and a new binary at the same path is an upgrade.
fn replace() -> ApiError {
    let arguments = std::env::args_os().skip(1);
    let error = match std::env::args_os().next() {
        Some(program) => std::process::Command::new(program).args(arguments).exec(),
        None => io::Error::other("the program's own name is not known"),
    };
    ApiError::new(Code::Unavailable, format!("the new daemon could not be started: {error}"))
        .remedy("start it by hand at once: its leases end within seconds")
}

fn no_member(error: &haven_node::MembershipError) -> ApiError {
    let told = ApiError::new(error.code(), failure(error).message);
    match error.remedy() {
        Some(remedy) => told.remedy(remedy),
        None => told,
    }
}

fn failure(error: &dyn std::error::Error) -> ApiError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    ApiError::new(Code::Unavailable, text)
}

fn log_to_stderr(settings: &NodeConfig) {
    let filter = EnvFilter::try_from_env("HAVEN_LOG")
        .unwrap_or_else(|_| EnvFilter::new(&settings.log_level));
    let colours = io::IsTerminal::is_terminal(&io::stderr());
    // A subscriber that was set before is as good.
    let _set = log_lines(filter, settings.log_json, colours, io::stderr).try_init();
}

/// The log as lines of text, or as one JSON object a line: `timestamp`, `level`, `message`, and the fields.
fn log_lines<W>(filter: EnvFilter, json: bool, colours: bool, to: W) -> tracing::Dispatch
where
    W: for<'w> tracing_subscriber::fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(to).with_target(false);
    if json {
        lines.json().flatten_event(true).finish().into()
    } else {
        lines.with_ansi(colours).finish().into()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// What a command of the whole program answers: its code, and what it prints.
    fn haven(words: &[&str]) -> (u8, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let words: Vec<OsString> = ["haven"].iter().chain(words).map(Into::into).collect();
        let code = haven_cli::run(words, &Node, &[], &mut out, &mut err);
        out.append(&mut err);
        (code, String::from_utf8_lossy(&out).into_owned())
    }

    /// An empty directory of this test's own.
    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("haven-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    #[test]
    fn built_in_agents_are_judged_without_a_daemon() {
        let directory = directory("offline");
        let file = directory.join("vip.crm");
        let monitored = "op monitor interval=10s";
        let text = format!(
            "primitive vip ocf:haven:ip params ip=192.0.2.300 on-conflict=fense {monitored}\n\
             primitive a ocf:haven:ip params ip=192.0.2.11 nick=eth0 {monitored}\n\
             primitive b ocf:haven:dummy {monitored}\nprimitive c ocf:heartbeat:nginx {monitored}\n"
        );
        fs::write(&file, text).expect("a file");
        let (code, said) = haven(&["configure", "verify", "--offline", &file.to_string_lossy()]);
        assert_eq!(code, 78, "{said}");
        for part in ["192.0.2.300", "fense", "did you mean \"nic\"?", "ocf:haven:Dummy"] {
            assert!(said.contains(part), "{part}\n{said}");
        }
        assert!(!said.contains("nginx"), "agents of others are not known:\n{said}");
        fs::remove_dir_all(directory).expect("removed");
    }

    #[test]
    fn agents_are_looked_for_where_the_configuration_file_says() {
        let directory = directory("ocf-root");
        let (config, provider) = (directory.join("haven.toml"), directory.join("resource.d/mine"));
        fs::create_dir_all(&provider).expect("directories");
        let agent = provider.join("thing");
        let metadata = "<resource-agent name='thing'><parameters><parameter name='port'>\
                        <content type='integer'/></parameter></parameters></resource-agent>";
        fs::write(&agent, format!("#!/bin/sh\necho \"{metadata}\"\n")).expect("an agent");
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).expect("executable");
        let text = format!(
            "[cluster]\nname = \"demo\"\n[node]\nname = \"n1\"\n[[link]]\nnumber = 0\n\
             local = \"10.77.0.1\"\n[agents]\nocf_root = \"{}\"\n",
            directory.display()
        );
        fs::write(&config, text).expect("a configuration");
        let agents = Node.agents(&config);
        assert!(agents.iter().any(|name| name == "ocf:mine:thing"), "{agents:?}");
        let parameters = Node.parameters(&config, "ocf:mine:thing");
        assert_eq!(parameters.keys().collect::<Vec<_>>(), ["port"]);
        let parameters = Node.parameters(&config, "ocf:haven:ip");
        assert!(parameters["ip"].required && !parameters.contains_key("netmask"));
        fs::remove_dir_all(&directory).expect("removed");
        let error = ocf_settings(&config).expect_err("there is no such file");
        assert_eq!(error.code, Code::Configuration, "{error}");
    }

    #[test]
    fn a_configuration_file_that_is_missing_is_an_error_of_configuration() {
        let (code, said) = haven(&["status", "--config", "/nonexistent/haven.toml"]);
        assert_eq!(code, 78, "{said}");
        assert!(said.contains("cannot read the configuration /nonexistent/haven.toml"), "{said}");
    }

    #[test]
    fn a_line_of_the_log_is_text_or_one_json_object() {
        let logged = |json| {
            let (mut lines, to) = io::pipe().expect("a pipe");
            let log = log_lines(EnvFilter::new("info"), json, false, Arc::new(to));
            tracing::dispatcher::with_default(&log, || {
                tracing::warn!(node = "n2", "a \"peer\" is silent");
                tracing::debug!("not asked for");
            });
            drop(log);
            let mut said = String::new();
            lines.read_to_string(&mut said).expect("text");
            said
        };
        assert!(
            logged(false).ends_with("WARN a \"peer\" is silent node=\"n2\"\n"),
            "{}",
            logged(false)
        );
        let lines = logged(true);
        let line: serde_json::Value = serde_json::from_str(&lines).expect("one object");
        let said = (&line["level"], &line["message"], &line["node"]);
        let expected = (&"WARN".into(), &"a \"peer\" is silent".into(), &"n2".into());
        assert_eq!(said, expected, "{lines}");
    }

    #[test]
    fn the_configuration_file_in_the_help_is_one() {
        let (_, help) = haven(&["node", "run", "--help"]);
        let (_, rest) = help.split_once("configuration file says:").expect("an example");
        let lines = rest.lines().skip(1).take_while(|line| line.starts_with("  "));
        let text = lines.map(str::trim).collect::<Vec<_>>().join("\n");
        let config = NodeConfig::parse(&text).expect("a configuration");
        assert_eq!((config.cluster.as_str(), config.name.as_str()), ("demo", "n1"));
    }
}
