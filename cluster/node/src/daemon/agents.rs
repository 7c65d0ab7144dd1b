//! Agents: built-in ones are called inside the daemon, each call a task of its own.

use haven_base::Instant;
use haven_controller::Hook as Told;
use haven_executor::{HeldLease, Hook, RunId};
use haven_host::drive::boot_time;
use haven_types::operation::{ExecutionStatus, Lease, OcfCode, Operation, Outcome};

use super::{Daemon, Happening};

/// Assumed of a lease whose end has not been reported yet: the shortest there is.
const LEAST_LEASE: std::time::Duration = std::time::Duration::from_millis(60);
/// What expires behind a lease is extended this often.
pub(super) const EXTEND_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

impl Daemon {
    pub(super) fn run_agent(&mut self, run: RunId, operation: Operation, lease: Option<Lease>) {
        let Some(agent) = self.agents.get(&operation.agent) else {
            let outcome = Outcome {
                status: ExecutionStatus::NotInstalled,
                code: OcfCode::NOT_INSTALLED,
                reason: format!("this version of haven has no agent {}", operation.agent),
            };
            self.tell(Happening::Agent(run, outcome));
            return;
        };
        let held = lease.map(|lease| self.held(lease));
        let happenings = self.happenings.clone();
        let starts = matches!(operation.action.as_str(), "start" | "reload-agent");
        let name = operation.agent.clone();
        let work = agent.run(operation, held);
        let task = tokio::spawn(async move {
            let outcome = work.await;
            if starts
                && outcome.code == OcfCode::OK
                && let Some(parameters) = agent.restarting(&name).await
            {
                let _told = happenings.send(Happening::Restarting(run, parameters));
            }
            // Nobody listens only when the daemon ends.
            let _told = happenings.send(Happening::Agent(run, outcome));
        });
        self.runs.insert(run, task.abort_handle());
        self.watch_for_panic(run, task);
    }

    /// A panic in an agent ends only its own call.
    fn watch_for_panic(&self, run: RunId, task: tokio::task::JoinHandle<()>) {
        let happenings = self.happenings.clone();
        tokio::spawn(async move {
            if let Err(error) = task.await
                && error.is_panic()
            {
                let outcome = Outcome {
                    status: ExecutionStatus::Error,
                    code: OcfCode::ERROR,
                    reason: "the agent ended by a fault of its own; report it".to_owned(),
                };
                let _told = happenings.send(Happening::Agent(run, outcome));
            }
        });
    }

    fn held(&self, lease: Lease) -> HeldLease {
        let known = self.leases.get(&lease.group).filter(|(epoch, _)| *epoch == lease.epoch);
        // Known ends are those of the gain; a lease that had not been renewed since would have been
        // told as lost. The kernel's gate judges in any case.
        let at_least = boot_time() + LEAST_LEASE;
        let until = known.map_or(at_least, |(_, until)| (*until).max(at_least));
        HeldLease { lease, until }
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

    pub(super) fn tell(&self, happening: Happening) {
        // The receiver lives as long as the main task.
        let _sent = self.happenings.send(happening);
    }

    /// What expires by itself behind a lease must not expire while the lease goes on.
    pub(super) fn extend_lifetimes(&mut self, now: Instant) {
        if now < self.next_extension {
            return;
        }
        self.next_extension = now + EXTEND_EVERY;
        let started: Vec<(Operation, Lease)> = self
            .controller
            .started()
            .filter_map(|(operation, lease)| lease.map(|lease| (operation.clone(), lease)))
            .collect();
        if started.is_empty() {
            return;
        }
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
