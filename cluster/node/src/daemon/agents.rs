//! Agents: built-in ones are called inside the daemon, each call a task of its own.

use haven_controller::Hook as Told;
use haven_executor::{HeldLease, Hook, RunId};
use haven_types::operation::{ExecutionStatus, Lease, OcfCode, Operation, Outcome};

use super::{Daemon, Done};

impl Daemon {
    pub(super) fn run_agent(&mut self, run: RunId, operation: Operation, held: Option<HeldLease>) {
        let Some(agent) = self.agents.get(&operation.agent) else {
            let outcome = Outcome {
                status: ExecutionStatus::NotInstalled,
                code: OcfCode::NOT_INSTALLED,
                reason: format!("this version of haven has no agent {}", operation.agent),
            };
            // The receiver lives as long as the main task.
            let _sent = self.done.send(Done::Agent(run, outcome));
            return;
        };
        let done = self.done.clone();
        let starts = matches!(operation.action.as_str(), "start" | "reload-agent");
        let name = operation.agent.clone();
        let work = agent.run(operation, held);
        let task = tokio::spawn(async move {
            let outcome = work.await;
            if starts
                && outcome.code == OcfCode::OK
                && let Some(parameters) = agent.restarting(&name).await
            {
                let _told = done.send(Done::Restarting(run, parameters));
            }
            // Nobody listens only when the daemon ends.
            let _told = done.send(Done::Agent(run, outcome));
        });
        self.runs.insert(run, task.abort_handle());
        self.watch_for_panic(run, task);
    }

    /// A panic in an agent ends only its own call.
    fn watch_for_panic(&self, run: RunId, task: tokio::task::JoinHandle<()>) {
        let done = self.done.clone();
        tokio::spawn(async move {
            if let Err(error) = task.await
                && error.is_panic()
            {
                let outcome = Outcome {
                    status: ExecutionStatus::Error,
                    code: OcfCode::ERROR,
                    reason: "the agent ended by a fault of its own; report it".to_owned(),
                };
                let _told = done.send(Done::Agent(run, outcome));
            }
        });
    }

    pub(super) fn notify(&self, operation: Operation, hook: Told) {
        let hook = match hook {
            Told::PeerReturned => Hook::PeerReturned,
        };
        self.tell_agent(operation, hook);
    }

    fn tell_agent(&self, operation: Operation, hook: Hook) {
        if let Some(agent) = self.agents.get(&operation.agent) {
            tokio::spawn(agent.notify(operation, hook));
        }
    }

    /// What expires by itself behind a lease must not expire while the lease goes on.
    pub(super) fn extend_lifetimes(&self, started: Vec<(Operation, Lease)>) {
        let (beat, agents) = (self.beat.clone(), self.agents.clone());
        tokio::spawn(async move {
            let Some(report) = beat.report().await else { return };
            for (operation, lease) in started {
                let until = report.machine.leases.get(&lease.group).and_then(|held| held.until);
                let (Some(until), Some(agent)) = (until, agents.get(&operation.agent)) else {
                    continue;
                };
                agent.notify(operation, Hook::LeaseExtended(HeldLease { lease, until })).await;
            }
        });
    }
}
