//! What an executor tells of itself, and how it goes on after a planned restart.

use haven_base::Instant;
use haven_types::operation::{Lease, Operation};

use super::Executor;
use crate::resource::Stage;
use crate::run_times::Measured;

impl Executor {
    /// Takes over after a planned restart: what ran goes on, what was under way at the moment of
    /// the restart is forgotten and recurring operations fall due at once.
    #[must_use]
    pub fn resumed(mut self, now: Instant) -> Self {
        self.due.clear();
        self.releasing.clear();
        self.crowded.clear();
        self.runs.clear();
        self.started.clear();
        self.busy.clear();
        self.paced.clear();
        let names: Vec<String> = self.resources.keys().cloned().collect();
        for name in names {
            if let Some(resource) = self.resources.get_mut(&name) {
                resource.queue.clear();
                let under_way = resource.running.take();
                // Its stop is forgotten before the agent was asked: it runs still, and by this lease.
                if let Some(Stage::AwaitRelease(group)) = under_way.map(|running| running.stage)
                    && let Some(held) = self.leases.get_mut(&group)
                {
                    held.users.insert(name.clone());
                }
                (resource.paced, resource.due) = (false, None);
                if resource.started.is_some() {
                    self.started.insert(name.clone());
                }
                for recurring in resource.recurring.values_mut() {
                    recurring.due = now;
                }
            }
            self.note_due(&name);
        }
        self
    }

    /// Whether an operation other than a recurring one is waiting or running.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.resources.values().any(|r| {
            !r.queue.is_empty()
                || r.running.as_ref().is_some_and(|j| j.job.operation.interval.is_zero())
        })
    }

    /// How long agents took, by operation.
    #[must_use]
    pub const fn measured(&self) -> &Measured {
        &self.measured
    }

    /// Leases that started resources run under.
    #[must_use]
    pub fn leases(&self) -> Vec<Lease> {
        self.leases
            .iter()
            .map(|(group, lease)| Lease { group: *group, epoch: lease.epoch })
            .collect()
    }

    /// The starts that resources run by now, for hooks.
    pub fn started(&self) -> impl Iterator<Item = (&Operation, Option<Lease>)> {
        let resources = self.started.iter().filter_map(|name| self.resources.get(name));
        resources.filter_map(|r| r.started.as_ref().map(|op| (op, r.lease)))
    }

    /// The starts that may have left something on this host, or will as soon as their lease is there,
    /// each with the lease it was made under: of what runs, of what is being started, and of what was
    /// tried and not stopped since. A resource may be named twice.
    pub fn touched(&self) -> impl Iterator<Item = (&Operation, Option<Lease>)> {
        self.resources.values().flat_map(|resource| {
            let waiting = resource.running.as_ref().and_then(|running| match running.stage {
                Stage::AwaitLease(lease) => Some((&running.job.operation, Some(lease))),
                Stage::AwaitRelease(_) | Stage::Agent(_) => None,
            });
            let tried = resource.tried.as_ref().map(|tried| (tried, resource.tried_under));
            let started = resource.started.as_ref().map(|op| (op, resource.tried_under));
            [started, tried, waiting].into_iter().flatten()
        })
    }

    /// Changes whenever what [`Executor::touched`] tells of starts under a lease does.
    #[must_use]
    pub const fn touched_version(&self) -> u64 {
        self.touched
    }

    /// How many resources are started.
    #[must_use]
    pub fn started_count(&self) -> usize {
        self.started.len()
    }
}
