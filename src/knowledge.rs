//! What this host knows of agents, for the shell's completion and help.

use std::collections::BTreeMap;
use std::path::Path;

use haven_children::metadata::{self, Action, Metadata};
use haven_children::{OcfAgents, OcfSettings};
use haven_cib::crm::ParamFacts;
use haven_cli::Parameter;
use haven_host::process::Launcher;
use haven_types::operation::AgentName;

/// Where units of systemd lie.
const UNITS: [&str; 3] =
    ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];

/// The agents that are part of this program.
pub(crate) const BUILT_IN: [&str; 2] = ["ocf:haven:Dummy", "ocf:haven:ip"];

/// What an agent that is part of this program says of itself; nothing of any other.
pub(crate) fn built_in(agent: &str) -> Option<Metadata> {
    match agent {
        "ocf:haven:ip" => {
            let text = haven_ipfail::metadata(haven_ipfail::Edition::V1_1);
            metadata::read(agent, &text).ok()
        }
        "ocf:haven:Dummy" => Some(dummy()),
        _ => None,
    }
}

fn dummy() -> Metadata {
    let parameter = |(name, facts): (String, ParamFacts)| {
        let parameter = metadata::Parameter {
            required: facts.required,
            unique: facts.unique,
            content: "string".to_owned(),
            short: "the file; one in the run directory where none is named".to_owned(),
            ..metadata::Parameter::default()
        };
        (name, parameter)
    };
    let actions = ["start", "stop", "monitor", "reload-agent", "validate-all"];
    let action = |name: &str| Action { name: name.to_owned(), ..Action::default() };
    Metadata {
        short: "a resource that is nothing but a file".to_owned(),
        long: "For trying policies out and for figures. Deleting the file is its failure."
            .to_owned(),
        parameters: haven_agents::dummy_facts().params.into_iter().map(parameter).collect(),
        actions: actions.map(action).into(),
        ..Metadata::default()
    }
}

/// The names of the agents of this host.
pub(crate) fn agents(settings: OcfSettings) -> Vec<String> {
    let mut names: Vec<String> = BUILT_IN.map(str::to_owned).into();
    names.extend(with_agents(settings, |agents, _| {
        agents.installed().iter().map(ToString::to_string).collect::<Vec<String>>()
    }));
    names.extend(files(Path::new("/etc/init.d")).into_iter().map(|name| format!("lsb:{name}")));
    let units = UNITS.iter().flat_map(|folder| files(Path::new(folder)));
    let services = units.filter_map(|file| Some(file.strip_suffix(".service")?.to_owned()));
    // Of a unit with instances the name of one would be needed.
    let services = services.filter(|name| !name.ends_with('@'));
    names.extend(services.map(|name| format!("systemd:{name}")));
    names.sort_unstable();
    names.dedup();
    names
}

/// The parameters of an agent, by its metadata.
pub(crate) fn parameters(agent: &str, settings: OcfSettings) -> BTreeMap<String, Parameter> {
    if let Some(metadata) = built_in(agent) {
        // Old names are understood, and not offered.
        let current = metadata.parameters.iter().filter(|(_, it)| it.replaced_by.is_none());
        return current.map(parameter).collect();
    }
    let parts: Vec<&str> = agent.split(':').collect();
    match parts[..] {
        ["ocf", provider, name] => {
            let agent = AgentName {
                standard: "ocf".to_owned(),
                provider: Some(provider.to_owned()),
                name: name.to_owned(),
            };
            with_agents(settings, |agents, runtime| {
                // An agent whose metadata is broken has nothing to complete from.
                let read = runtime.block_on(agents.metadata(&agent)).ok();
                read.map(|read| read.parameters.iter().map(parameter).collect()).unwrap_or_default()
            })
        }
        _ => BTreeMap::new(),
    }
}

fn parameter((name, from): (&String, &metadata::Parameter)) -> (String, Parameter) {
    let parameter = Parameter {
        about: from.short.clone(),
        content: from.content.clone(),
        default: from.default.clone(),
        required: from.required,
        values: from.options.clone(),
    };
    (name.clone(), parameter)
}

/// Asks the agents in a runtime of their own; nothing where none can be had.
fn with_agents<T: Default>(
    settings: OcfSettings,
    ask: impl FnOnce(&OcfAgents, &tokio::runtime::Runtime) -> T,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return T::default() };
    let inside = runtime.enter();
    let Ok(launcher) = Launcher::start(None) else { return T::default() };
    let answer = ask(&OcfAgents::new(launcher, settings), &runtime);
    drop(inside);
    answer
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
