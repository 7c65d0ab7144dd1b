//! `ocf:haven:Dummy`: a resource that is nothing but a file, for trying policies out and for figures.
//!
//! Deleting the file is its failure.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use haven_cib::crm::{AgentFacts, ParamFacts};
use haven_executor::{Agent, AgentFuture, HeldLease, Serves};
use haven_types::operation::{AgentName, OcfCode, Operation, Outcome};

/// The parameter that names the file.
const STATE: &str = "state";

/// The `Dummy` agent of this node.
#[derive(Clone, Debug)]
pub struct DummyResource {
    directory: PathBuf,
}

impl DummyResource {
    /// Keeps its files in `directory` where `state` names no other.
    #[must_use]
    pub const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn file(&self, operation: &Operation) -> PathBuf {
        match operation.params.get(STATE).filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => self.directory.join(format!("Dummy-{}.state", operation.resource)),
        }
    }
}

/// What the agent's metadata says, for judging a configuration.
#[must_use]
pub fn dummy_facts() -> AgentFacts {
    let state = ParamFacts { required: false, unique: true, alias_of: None };
    AgentFacts { lease: false, params: BTreeMap::from([(STATE.to_owned(), state)]), judge: None }
}

fn perform(action: &str, file: &Path) -> io::Result<Outcome> {
    let done = Outcome::done(OcfCode::OK, "");
    Ok(match action {
        "start" => {
            std::fs::write(file, "")?;
            done
        }
        "stop" => match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => done,
        },
        "monitor" if file.try_exists()? => done,
        "monitor" => Outcome::done(OcfCode::NOT_RUNNING, format!("{} is missing", file.display())),
        "validate-all" | "reload-agent" => done,
        other => {
            let known = "start, stop, monitor, reload-agent, validate-all";
            let reason = format!("ocf:haven:Dummy knows {known}, not {other}");
            Outcome::done(OcfCode::UNIMPLEMENTED, reason)
        }
    })
}

impl Agent for DummyResource {
    fn serves(&self) -> Serves {
        Serves::Name(AgentName {
            standard: "ocf".to_owned(),
            provider: Some("haven".to_owned()),
            name: "Dummy".to_owned(),
        })
    }

    fn leased_by_default(&self) -> bool {
        false
    }

    fn run(&self, operation: Operation, _lease: Option<HeldLease>) -> AgentFuture {
        let file = self.file(&operation);
        Box::pin(async move {
            perform(&operation.action, &file).unwrap_or_else(|error| {
                Outcome::done(OcfCode::ERROR, format!("{}: {error}", file.display()))
            })
        })
    }

    fn guarded(&self, _params: &BTreeMap<String, String>) -> Vec<IpAddr> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_runs_while_its_file_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let agent = DummyResource::new(directory.path().to_owned());
        let ask = async |action: &str| {
            let agent_name = AgentName {
                standard: "ocf".to_owned(),
                provider: Some("haven".to_owned()),
                name: "Dummy".to_owned(),
            };
            let operation = Operation {
                resource: "d".to_owned(),
                agent: agent_name,
                action: action.to_owned(),
                interval: Duration::ZERO,
                timeout: Duration::from_secs(1),
                params: BTreeMap::new(),
                meta: BTreeMap::new(),
            };
            agent.run(operation, None).await.code
        };
        assert_eq!(ask("monitor").await, OcfCode::NOT_RUNNING);
        assert_eq!(ask("stop").await, OcfCode::OK, "what is stopped can be stopped");
        for _ in 0..2 {
            assert_eq!(ask("start").await, OcfCode::OK);
            assert_eq!(ask("monitor").await, OcfCode::OK);
        }
        std::fs::remove_file(directory.path().join("Dummy-d.state")).unwrap();
        assert_eq!(ask("monitor").await, OcfCode::NOT_RUNNING);
        assert_eq!(ask("promote").await, OcfCode::UNIMPLEMENTED);
        drop(directory);
        assert_eq!(ask("start").await, OcfCode::ERROR, "its directory is gone");
    }
}
