//! `service:NAME`: whatever manages that service on the node.

use std::collections::BTreeMap;
use std::net::IpAddr;

use haven_executor::{Agent, AgentFuture, HeldLease, Serves};
use haven_types::operation::Operation;

use crate::lsb::InitScripts;
use crate::systemd::SystemdUnits;

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

    fn guarded(&self, _params: &BTreeMap<String, String>) -> Vec<IpAddr> {
        Vec::new()
    }
}
