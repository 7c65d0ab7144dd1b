//! The simulated agent: it puts an address up or takes it down after a while, or fails to.

use haven_controller::AgentSaid;
use haven_executor::RunId;
use haven_hub::Happening;
use haven_types::NodeId;
use haven_types::operation::{OcfCode, Operation, Outcome};

use crate::clock::MS;
use crate::host::{Call, Host};
use crate::main_thread::address;
use crate::world::{Todo, World};

/// An agent answers.
pub(crate) fn finished(run: RunId, outcome: Outcome) -> Happening {
    Happening::Agents(vec![AgentSaid::Finished { run, outcome }])
}

impl World {
    pub(crate) fn call_agent(&mut self, node: NodeId, run: RunId, operation: Operation) {
        let slow = self.stormy && self.rng.chance(1, 30);
        let fails = self.stormy && self.rng.chance(self.settings.agent_fail_permille, 1000);
        let most = if slow { 1_500 * MS } else { 6 * MS };
        let delay = 300_000 + self.rng.below(most);
        let Some(host) = self.hosts.get_mut(&node) else { return };
        let life = host.life;
        if let Some(process) = host.process.as_mut() {
            process.calls.insert(run, Call { operation, fails, acted: false });
            self.plan(delay, Todo::Agent { node, life, run });
        }
    }

    pub(crate) fn agent(&mut self, node: NodeId, life: u64, run: RunId) {
        let half = self.rng.chance(1, 2);
        let answer = 100_000 + self.rng.below(MS);
        let Some(host) = self.host(node, life) else { return };
        let Host { process: Some(process), kernel, .. } = host else { return };
        let Some(call) = process.calls.get_mut(&run) else { return };
        let Some(address) = address(&call.operation.params) else {
            return self.service(node, life, run, answer);
        };
        if !call.acted {
            call.acted = true;
            // A failure may come before or after the effect.
            let takes_place = !call.fails || half;
            match call.operation.action.as_str() {
                "start" if takes_place => {
                    kernel.addresses.insert(address);
                }
                "stop" if takes_place => {
                    kernel.addresses.remove(&address);
                }
                _ => {}
            }
            let (name, action) = (call.operation.resource.clone(), call.operation.action.clone());
            self.look(node);
            self.checks.on_effect(self.now, node, &name, &action, &self.hosts);
            return self.plan(answer, Todo::Agent { node, life, run });
        }
        let (code, reason) = match call.operation.action.as_str() {
            _ if call.fails => (1, "the simulation wills it"),
            "monitor" if !kernel.addresses.contains(&address) => (7, "not there"),
            _ => (0, ""),
        };
        process.calls.remove(&run);
        let outcome = Outcome::done(OcfCode(code), reason);
        self.give(node, finished(run, outcome));
    }
}
