//! `service:NAME`: whatever manages that service on the node.

use std::collections::BTreeMap;
use std::net::IpAddr;

use haven_executor::{Agent, AgentFuture, DescriptionFuture, HeldLease, Serves};
use haven_types::operation::{AgentName, Operation};

use crate::lsb::{InitScripts, without_parameters};
use crate::systemd::{SystemdUnits, is_installed};

/// Init scripts where there is one of the name, else units of systemd.
#[derive(Clone, Debug)]
pub struct Services {
    scripts: InitScripts,
    units: SystemdUnits,
}

impl Services {
    /// Both kinds behind one name.
    #[must_use]
    pub const fn new(scripts: InitScripts, units: SystemdUnits) -> Self {
        Self { scripts, units }
    }
}

impl Agent for Services {
    fn serves(&self) -> Serves {
        Serves::Standard("service".to_owned())
    }

    fn leased_by_default(&self) -> bool {
        false
    }

    fn run(&self, operation: Operation, _lease: Option<HeldLease>) -> AgentFuture {
        let services = self.clone();
        Box::pin(async move {
            let script = services.scripts.path(&operation.agent.name);
            if script.is_some_and(|path| path.is_file()) {
                services.scripts.perform(operation).await
            } else {
                services.units.perform(operation).await
            }
        })
    }

    fn describe(&self, agent: &AgentName) -> DescriptionFuture {
        let script = self.scripts.path(&agent.name).is_some_and(|path| path.is_file());
        let here = script || is_installed(&agent.name);
        Box::pin(async move { Some(without_parameters(here)) })
    }

    fn guarded(&self, _params: &BTreeMap<String, String>) -> Vec<IpAddr> {
        Vec::new()
    }
}
