//! Services of a host: what a resource without an address starts and stops. They outlive the daemon, and end with the
//! host's power.

use haven_executor::RunId;
use haven_types::NodeId;
use haven_types::operation::{OcfCode, Outcome};

use crate::agents::finished;
use crate::host::Host;
use crate::settings::Mutant;
use crate::world::{Todo, World};

impl World {
    /// The simulated agent of a service acts, and a moment later answers.
    pub(crate) fn service(&mut self, node: NodeId, life: u64, run: RunId, answer: u64) {
        let hollow = self.settings.mutant == Mutant::HollowStarts;
        let Some(host) = self.host(node, life) else { return };
        let Host { process: Some(process), kernel, .. } = host else { return };
        let Some(call) = process.calls.get_mut(&run) else { return };
        let (name, action) = (call.operation.resource.clone(), call.operation.action.clone());
        if !call.acted {
            call.acted = true;
            kernel.orphans.remove(&name);
            match action.as_str() {
                "start" if !hollow => drop(kernel.services.insert(name.clone())),
                "stop" => drop(kernel.services.remove(&name)),
                _ => {}
            }
            self.checks.on_effect(self.now, node, &name, &action, &self.hosts);
            return self.plan(answer, Todo::Agent { node, life, run });
        }
        let (code, reason) = match action.as_str() {
            "monitor" if !kernel.services.contains(&name) => (OcfCode::NOT_RUNNING, "not there"),
            _ => (OcfCode::OK, ""),
        };
        process.calls.remove(&run);
        self.give(node, finished(run, Outcome::done(code, reason)));
    }

    /// The nodes on which a service runs.
    pub(crate) fn serving(&self, service: &str) -> Vec<NodeId> {
        let runs = |host: &Host| host.kernel.services.contains(service);
        self.hosts.iter().filter(|(_, host)| runs(host)).map(|(node, _)| *node).collect()
    }
}
