//! `haven agent NAME ACTION`: the built-in agents as OCF agents for other cluster engines.
//!
//! Another engine calls a link `OCF_ROOT/resource.d/haven/ip` that leads to this program: the name it
//! was called by is the agent, the first argument the action, the environment the parameters (OCF
//! resource agent API 1.1 §3).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use haven_api::{ApiError, Code};
use haven_children::OcfAgents;
use haven_children::environment::EXIT_REASON_PREFIX;
use haven_children::metadata::Metadata;
use haven_host::process::Launcher;
use haven_ipfail::{AgentConfig, Edition, IpAgent, OcfCode, Outcome};
use haven_types::operation::AgentName;

use crate::{daemon, knowledge};

/// The built-in agents that others can use.
const NAMES: &[&str] = &["ip"];

/// Act as an OCF agent for another cluster engine, or make the links it calls; look at the OCF agents of this host
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  haven agent --link /usr/lib/ocf         make /usr/lib/ocf/resource.d/haven/ip lead here
  haven agent ip meta-data                the agent's metadata
  haven agent --list                      OCF agents of this host
  haven agent --about ocf:heartbeat:nginx what one of them does, its parameters, what is wrong with it
  OCF_RESKEY_ip=192.0.2.10 haven agent ip monitor; echo $?

Exit codes are those of OCF: 0 done or running, 7 not running, others are failures.")]
pub(crate) struct AgentArgs {
    /// ip
    #[arg(required_unless_present_any = ["link", "list", "about"])]
    name: Option<String>,
    /// start, stop, monitor, validate-all or meta-data; parameters come as OCF_RESKEY_name
    #[arg(required_unless_present_any = ["link", "list", "about"])]
    action: Option<String>,
    /// Make links to this program in ROOT/resource.d/haven, for other cluster engines
    #[arg(long, value_name = "ROOT", conflicts_with_all = ["name", "action"])]
    link: Option<PathBuf>,
    /// Name every OCF agent of this host: the built-in ones, and those below ocf_root of the configuration file
    #[arg(long, conflicts_with_all = ["name", "action", "link"])]
    list: bool,
    /// Describe an OCF agent by its metadata, and say what is wrong with that
    #[arg(long, value_name = "ocf:PROVIDER:TYPE", conflicts_with_all = ["name", "action", "link", "list"])]
    about: Option<String>,
}

/// The arguments as typed, or what a call by the name of an agent stands for.
pub(crate) fn arguments(typed: Vec<OsString>) -> Vec<OsString> {
    let called = typed.first().map(PathBuf::from).unwrap_or_default();
    let name = called.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let folder = called.parent().and_then(Path::file_name).unwrap_or_default();
    if folder != "haven" || !NAMES.contains(&name) {
        return typed;
    }
    // Without an action the agent answers itself, in the codes of OCF.
    let action = typed.get(1).cloned().unwrap_or_else(|| "usage".into());
    vec!["haven".into(), "agent".into(), name.into(), action]
}

/// Carries the command out on the node of this configuration file; the answer is the exit code.
pub(crate) fn run(args: &AgentArgs, config: &Path) -> Result<u8, ApiError> {
    if let Some(root) = &args.link {
        return link(root);
    }
    if args.list || args.about.is_some() {
        return inspect(args.about.as_deref(), config);
    }
    let (name, action) =
        (args.name.as_deref().unwrap_or_default(), args.action.as_deref().unwrap_or_default());
    if !NAMES.contains(&name) {
        let known = NAMES.join(", ");
        return Err(ApiError::new(Code::Usage, format!("no agent {name}; there is: {known}")));
    }
    if action == "meta-data" {
        print(&haven_ipfail::metadata(edition(|name| std::env::var(name).ok())))?;
        return Ok(0);
    }
    let outcome = perform(action);
    if !outcome.is_success() && outcome.code != OcfCode::NotRunning {
        let text = outcome.text.split_whitespace().collect::<Vec<_>>().join(" ");
        // Nobody who could be told when this fails.
        drop(writeln!(std::io::stderr(), "{EXIT_REASON_PREFIX}{text}"));
    }
    Ok(outcome.code.code())
}

fn print(text: &str) -> Result<(), ApiError> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| ApiError::new(Code::Failed, format!("cannot print: {error}")))
}

/// Who does not say that it speaks version 1.1 gets what older schemas know.
fn edition(variable: impl Fn(&str) -> Option<String>) -> Edition {
    let number = |name| variable(name).and_then(|text| text.parse::<u32>().ok());
    match (number("OCF_RA_VERSION_MAJOR"), number("OCF_RA_VERSION_MINOR")) {
        (Some(1), Some(0)) | (None, _) | (_, None) => Edition::V1_0,
        (Some(_), Some(_)) => Edition::V1_1,
    }
}

/// Parameters of an environment: `OCF_RESKEY_name`, without what the engine adds for itself.
fn parameters(environment: impl Iterator<Item = (OsString, OsString)>) -> BTreeMap<String, String> {
    let engines = |name: &str| name.starts_with("CRM_meta_") || name == "crm_feature_set";
    environment
        .filter_map(|(name, value)| {
            let name = name.to_str()?.strip_prefix("OCF_RESKEY_")?.to_owned();
            Some((name, value.to_string_lossy().into_owned()))
        })
        .filter(|(name, _)| !engines(name) && name != "OCF_CHECK_LEVEL")
        .collect()
}

/// Which instance of a clone the engine calls: it says so in an environment variable. Not a clone, or a number that is
/// none: the first.
fn clone_instance(value: Option<&str>) -> u32 {
    value.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn perform(action: &str) -> Outcome {
    let refused =
        |code, text: String| Outcome::failed(code, haven_ipfail::Reason::BadParameters, text);
    if !["start", "stop", "monitor", "validate-all"].contains(&action) {
        let text = "ip knows start, stop, monitor, validate-all and meta-data";
        return refused(OcfCode::ErrUnimplemented, format!("{text}, not {action}"));
    }
    let mut given = parameters(std::env::vars_os());
    announce_briefly(&mut given);
    let instance = clone_instance(std::env::var("OCF_RESKEY_CRM_meta_clone").ok().as_deref());
    let params = match haven_ipfail::parse(&given) {
        Ok(parsed) => parsed.params.for_clone_instance(instance),
        Err(errors) => return refused(OcfCode::ErrConfigured, errors.to_string()),
    };
    let params = match params {
        Ok(params) => params,
        Err(error) => return refused(OcfCode::ErrConfigured, error.to_string()),
    };
    let resource = std::env::var("OCF_RESOURCE_INSTANCE").unwrap_or_else(|_| "ip".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        return refused(OcfCode::ErrGeneric, "the system refuses a runtime".to_owned());
    };
    runtime.block_on(async {
        let agent = match IpAgent::open(AgentConfig::default()) {
            Ok(agent) => agent,
            Err(error) => return refused(OcfCode::ErrPerm, error.to_string()),
        };
        match action {
            "start" => agent.start(&resource, &params, None).await,
            "stop" => agent.stop(&resource, &params).await,
            "monitor" => agent.monitor(&resource, &params).await,
            _ => agent.validate(&params).await,
        }
    })
}

/// Lists the agents of this host, or describes one.
fn inspect(about: Option<&str>, config: &Path) -> Result<u8, ApiError> {
    if let Some((agent, metadata)) = about.and_then(|it| Some((it, knowledge::built_in(it)?))) {
        return print(&description(agent, &metadata)).map(|()| 0);
    }
    let settings = daemon::ocf_settings(config)?;
    let failed = |text: String| ApiError::new(Code::Failed, text);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let launcher = Launcher::start(None).map_err(|error| failed(error.to_string()))?;
        let agents = OcfAgents::new(launcher, settings);
        let Some(about) = about else {
            return print(&listed(&agents.installed())).map(|()| 0);
        };
        let parts: Vec<&str> = about.split(':').collect();
        let ["ocf", provider, name] = parts[..] else {
            let text = format!("{about} is no name of an OCF agent: ocf:PROVIDER:TYPE");
            return Err(ApiError::new(Code::Usage, text));
        };
        let agent = AgentName {
            standard: "ocf".to_owned(),
            provider: Some(provider.to_owned()),
            name: name.to_owned(),
        };
        let metadata = agents.metadata(&agent).await.map_err(|error| failed(error.to_string()))?;
        print(&description(about, &metadata)).map(|()| 0)
    })
}

/// The built-in agents and those that are installed, a line each; who is both, by a link, once.
fn listed(installed: &[AgentName]) -> String {
    let installed = installed.iter().map(ToString::to_string);
    let names: BTreeSet<String> = installed.chain(knowledge::BUILT_IN.map(str::to_owned)).collect();
    names.iter().map(|name| format!("{name}\n")).collect()
}

fn description(agent: &str, metadata: &Metadata) -> String {
    let mut text = format!("{agent} – {}\n\n{}\n\nParameters\n", metadata.short, metadata.long);
    for (name, parameter) in &metadata.parameters {
        let default = parameter.default.as_deref().filter(|default| !default.is_empty());
        let mut facts = vec![parameter.content.clone()];
        facts.extend(default.map(|default| format!("default {default}")));
        facts.extend(parameter.required.then(|| "required".to_owned()));
        facts.extend(parameter.unique.then(|| "unique".to_owned()));
        facts.extend(parameter.replaced_by.as_ref().map(|by| format!("old name of {by}")));
        facts.extend((!parameter.options.is_empty()).then(|| parameter.options.join(" | ")));
        facts.retain(|fact| !fact.is_empty());
        text.push_str(&format!("  {name} ({}): {}\n", facts.join(", "), parameter.short));
    }
    text.push_str("\nActions\n");
    for action in &metadata.actions {
        let advice = [
            ("timeout", &action.timeout),
            ("interval", &action.interval),
            ("role", &action.role),
            ("depth", &action.depth),
        ];
        let advice = advice
            .iter()
            .filter_map(|(name, value)| Some(format!(" {name}={}", value.as_deref()?)));
        text.push_str(&format!("  {}{}\n", action.name, advice.collect::<String>()));
    }
    for finding in &metadata.findings {
        text.push_str(&format!("\nits metadata {finding}"));
    }
    text.push_str(if metadata.findings.is_empty() { "" } else { "\n" });
    text
}

/// Nothing of this process is left in the background to announce later, and nobody shall wait for the
/// five seconds of the daemon's schedule: unless told otherwise, five announcements in 400 ms.
fn announce_briefly(given: &mut BTreeMap<String, String>) {
    if !["arp_bg", "arp_count", "arp_interval"].iter().any(|name| given.contains_key(*name)) {
        given.insert("arp_count".to_owned(), "5".to_owned());
        given.insert("arp_interval".to_owned(), "100".to_owned());
    }
    given.insert("arp_bg".to_owned(), "false".to_owned());
}

/// Makes a link for every agent; one that leads elsewhere is replaced, a file of another kind is not.
fn link(root: &Path) -> Result<u8, ApiError> {
    let failed = |attempt: &str, path: &Path, error: std::io::Error| {
        let text = format!("cannot {attempt} {}: {error}", path.display());
        ApiError::new(Code::Failed, text).remedy("run it as root, or name another root")
    };
    let program = std::env::current_exe().map_err(|e| failed("find", Path::new("haven"), e))?;
    let folder = root.join("resource.d/haven");
    std::fs::create_dir_all(&folder).map_err(|error| failed("make", &folder, error))?;
    for name in NAMES {
        let path = folder.join(name);
        let is_link = path.symlink_metadata().map(|facts| facts.file_type().is_symlink());
        match is_link {
            Ok(true) => {
                std::fs::remove_file(&path).map_err(|error| failed("replace", &path, error))?;
            }
            Ok(false) => {
                let text = format!("{} is a file, not a link; it was left alone", path.display());
                return Err(ApiError::new(Code::Failed, text).remedy("move it away first"));
            }
            Err(_) => {}
        }
        std::os::unix::fs::symlink(&program, &path)
            .map_err(|error| failed("make the link", &path, error))?;
        print(&format!("{} leads to {}\n", path.display(), program.display()))?;
    }
    Ok(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_call_by_the_name_of_an_agent_is_the_agent_s() {
        let called = arguments(words(&["/usr/lib/ocf/resource.d/haven/ip", "start"]));
        assert_eq!(called, words(&["haven", "agent", "ip", "start"]));
        let called = arguments(words(&["/usr/lib/ocf/resource.d/haven/ip"]));
        assert_eq!(called, words(&["haven", "agent", "ip", "usage"]));
        for other in [&["/usr/sbin/haven", "status"][..], &["ip", "a"], &["/bin/ip", "a"], &[]] {
            assert_eq!(arguments(words(other)), words(other));
        }
    }

    #[test]
    fn parameters_are_what_the_engine_did_not_add() {
        let variables = [
            ("OCF_RESKEY_ip", "192.0.2.1"),
            ("OCF_RESKEY_on-conflict", "yield"),
            ("OCF_RESKEY_CRM_meta_timeout", "20000"),
            ("OCF_RESKEY_crm_feature_set", "3.19.0"),
            ("OCF_RESOURCE_INSTANCE", "vip"),
            ("PATH", "/bin"),
        ];
        let found = parameters(variables.iter().map(|(name, value)| (name.into(), value.into())));
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(names, ["ip", "on-conflict"]);
    }

    #[test]
    fn an_engine_names_the_instance_of_a_clone() {
        assert_eq!([Some("3"), Some("0"), Some("many"), None].map(clone_instance), [3, 0, 0, 0]);
    }

    #[test]
    fn a_description_names_parameters_actions_and_findings() {
        let text = "<resource-agent><shortdesc>serves</shortdesc><parameters>
            <parameter name='port' required='1'><shortdesc>where</shortdesc>
            <content type='integer' default='80'/></parameter></parameters>
            <actions><action name='monitor' timeout='20s'/></actions></resource-agent>";
        let metadata = haven_children::metadata::read("ocf:x:y", text).unwrap();
        let shown = description("ocf:x:y", &metadata);
        for part in [
            "ocf:x:y – serves\n",
            "  port (integer, default 80, required): where\n",
            "  monitor timeout=20s\n",
            "its metadata lists no action start\n",
        ] {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
    }

    #[test]
    fn built_in_agents_are_listed_once_and_described_like_others() {
        let agent = |provider: &str, name: &str| AgentName {
            standard: "ocf".to_owned(),
            provider: Some(provider.to_owned()),
            name: name.to_owned(),
        };
        let installed = [agent("haven", "ip"), agent("heartbeat", "nginx")];
        assert_eq!(listed(&installed), "ocf:haven:Dummy\nocf:haven:ip\nocf:heartbeat:nginx\n");
        for (name, parts) in [
            ("ocf:haven:ip", ["  ip (string, required", "  monitor timeout="]),
            ("ocf:haven:Dummy", ["  state (string, unique): ", "  reload-agent\n"]),
        ] {
            let shown = description(name, &knowledge::built_in(name).unwrap());
            assert!(shown.starts_with(&format!("{name} – ")), "{shown}");
            for part in parts {
                assert!(shown.contains(part), "{part}\n{shown}");
            }
            assert!(!shown.contains("its metadata"), "{shown}");
        }
        assert_eq!(knowledge::built_in("ocf:heartbeat:nginx"), None);
    }

    #[test]
    fn a_burst_is_short_unless_told_otherwise_and_always_waited_for() {
        let mut plain = BTreeMap::new();
        announce_briefly(&mut plain);
        assert_eq!(plain["arp_interval"], "100");
        let mut told = BTreeMap::from([("arp_bg".to_owned(), "true".to_owned())]);
        announce_briefly(&mut told);
        assert_eq!(told, BTreeMap::from([("arp_bg".to_owned(), "false".to_owned())]));
    }

    #[test]
    fn the_edition_is_the_one_the_caller_speaks() {
        let speaks = |major: Option<&str>, minor: Option<&str>| {
            edition(|name| {
                let part = if name.ends_with("MAJOR") { major } else { minor };
                part.map(str::to_owned)
            })
        };
        assert_eq!(speaks(Some("1"), Some("1")), Edition::V1_1);
        assert_eq!(speaks(Some("1"), Some("0")), Edition::V1_0);
        assert_eq!(speaks(None, None), Edition::V1_0);
    }
}
