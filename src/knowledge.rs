//! What this host knows of agents, for the shell's completion and help.

use std::collections::BTreeMap;
use std::path::Path;

use haven_children::{OcfAgents, OcfSettings, metadata};
use haven_cib::crm::ParamFacts;
use haven_cli::Parameter;
use haven_host::process::Launcher;
use haven_types::operation::AgentName;

/// Where units of systemd lie.
const UNITS: [&str; 3] =
    ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];

/// The names of the agents of this host.
pub(crate) fn agents() -> Vec<String> {
    let mut names = vec!["ocf:haven:ip".to_owned(), "ocf:haven:Dummy".to_owned()];
    names.extend(with_agents(|agents, _| {
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
pub(crate) fn parameters(agent: &str) -> BTreeMap<String, Parameter> {
    let parts: Vec<&str> = agent.split(':').collect();
    match parts[..] {
        ["ocf", "haven", "ip"] => {
            let facts = haven_agents::ip_facts().params;
            let text = haven_ipfail::metadata(haven_ipfail::Edition::V1_1);
            let read = metadata::read(agent, &text).map(|read| read.parameters).unwrap_or_default();
            let current = read
                .iter()
                .filter(|(name, _)| facts.get(*name).is_some_and(|facts| facts.alias_of.is_none()));
            current.map(parameter).collect()
        }
        ["ocf", "haven", "Dummy"] => {
            let facts = haven_agents::dummy_facts().params.into_iter();
            let plain = |facts: ParamFacts| Parameter {
                required: facts.required,
                content: "string".to_owned(),
                ..Parameter::default()
            };
            facts.map(|(name, facts)| (name, plain(facts))).collect()
        }
        ["ocf", provider, name] => {
            let agent = AgentName {
                standard: "ocf".to_owned(),
                provider: Some(provider.to_owned()),
                name: name.to_owned(),
            };
            with_agents(|agents, runtime| {
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
fn with_agents<T: Default>(ask: impl FnOnce(&OcfAgents, &tokio::runtime::Runtime) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return T::default() };
    let inside = runtime.enter();
    let Ok(launcher) = Launcher::start(None) else { return T::default() };
    let mut settings = OcfSettings::default();
    if let Some(root) = std::env::var_os("OCF_ROOT") {
        settings.root = root.into();
    }
    let answer = ask(&OcfAgents::new(launcher, settings), &runtime);
    drop(inside);
    answer
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
