//! Init scripts (Linux Standard Base 5 §22.2), the way Pacemaker understands them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use haven_executor::{Agent, AgentFuture, DescriptionFuture, HeldLease, Serves};
use haven_host::process::{Call, Launcher};
use haven_types::agent::{AgentDescription, AgentReport};
use haven_types::operation::{AgentName, OcfCode, Operation, Outcome};

use crate::environment;
use crate::ocf::report_left;

const OUTPUT_MAX: usize = 4096;

/// Scripts of `/etc/init.d`.
#[derive(Clone, Debug)]
pub struct InitScripts {
    launcher: Launcher,
    directory: PathBuf,
    environment: BTreeMap<String, String>,
}

impl InitScripts {
    /// Scripts of `directory`, run by `launcher` with `environment` besides a `PATH`.
    #[must_use]
    pub const fn new(
        launcher: Launcher,
        directory: PathBuf,
        environment: BTreeMap<String, String>,
    ) -> Self {
        Self { launcher, directory, environment }
    }

    /// The file of a script; none where the name would lead elsewhere.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '@');
        let simple = !name.is_empty() && !name.starts_with('.') && name.chars().all(fits);
        simple.then(|| self.directory.join(name))
    }

    pub(crate) async fn perform(&self, operation: Operation) -> Outcome {
        let name = operation.agent.to_string();
        let Some(program) = self.path(&operation.agent.name) else {
            let reason = format!("{name} cannot be the name of an init script");
            return Outcome::done(OcfCode::BAD_CONFIGURATION, reason);
        };
        let word = match operation.action.as_str() {
            "monitor" => "status",
            "start" | "stop" => operation.action.as_str(),
            other => {
                let reason = format!("an init script knows start, stop and monitor, not {other}");
                return Outcome::done(OcfCode::UNIMPLEMENTED, reason);
            }
        };
        let mut variables = BTreeMap::from([("PATH".to_owned(), environment::PATH.to_owned())]);
        variables.extend(self.environment.clone());
        let call = Call {
            scope: operation.resource.clone(),
            program,
            args: vec![word.to_owned()],
            environment: variables,
            stdout_max: OUTPUT_MAX,
            stderr_max: OUTPUT_MAX,
            note_prefix: environment::EXIT_REASON_PREFIX,
        };
        match self.launcher.call(call).await {
            Ok(ended) => {
                let mut outcome = environment::outcome(&ended, &name, word);
                if ended.code.is_some() {
                    outcome.code = init_code(word, outcome.code);
                }
                report_left(&self.launcher, &operation, &outcome);
                outcome
            }
            Err(error) => environment::not_run(&error, &name),
        }
    }
}

/// What an init script's exit code means in the words of OCF: `status` has codes of its own, the other
/// actions agree with OCF up to 7.
// spec: lsb-5 22.2
#[must_use]
pub const fn init_code(word: &str, code: OcfCode) -> OcfCode {
    let status = matches!(word.as_bytes(), b"status");
    match (status, code.0) {
        (true, 0) => OcfCode::OK,
        // Dead with a pid file, dead with a lock file, not running.
        (true, 1..=3) => OcfCode::NOT_RUNNING,
        (true, 150) => OcfCode::NOT_INSTALLED,
        (false, 0..=7) => code,
        (true | false, _) => OcfCode::ERROR,
    }
}

/// What a service manager says of a service: it has no parameters, and either is here or is not.
pub(crate) fn without_parameters(here: bool) -> AgentReport {
    match here {
        true => AgentReport::Described(AgentDescription::default()),
        false => AgentReport::Absent,
    }
}

impl Agent for InitScripts {
    fn serves(&self) -> Serves {
        Serves::Standard("lsb".to_owned())
    }

    fn leased_by_default(&self) -> bool {
        false
    }

    fn run(&self, operation: Operation, _lease: Option<HeldLease>) -> AgentFuture {
        let scripts = self.clone();
        Box::pin(async move { scripts.perform(operation).await })
    }

    fn describe(&self, agent: &AgentName) -> DescriptionFuture {
        let here = self.path(&agent.name).is_some_and(|path| path.is_file());
        Box::pin(async move { Some(without_parameters(here)) })
    }

    fn guarded(&self, _params: &BTreeMap<String, String>) -> Vec<IpAddr> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: lsb-5 22.2 test
    #[test]
    fn status_has_codes_of_its_own() {
        let table = [(0, 0), (1, 7), (2, 7), (3, 7), (4, 1), (5, 1), (150, 5), (255, 1)];
        for (said, meant) in table {
            assert_eq!(init_code("status", OcfCode(said)), OcfCode(meant), "status {said}");
        }
        let table =
            [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 1), (150, 1)];
        for (said, meant) in table {
            assert_eq!(init_code("stop", OcfCode(said)), OcfCode(meant), "stop {said}");
        }
    }
}
