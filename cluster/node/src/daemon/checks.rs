//! Local checks: probes run beside everything else, what comes of them becomes an attribute.

use haven_base::Instant;
use haven_controller::{AttributeChange, Local};
use haven_host::process::Launcher;
use haven_hub::Happening;

use super::{Daemon, Done};
use crate::checks::{Checks, Input as ToChecks, Output, probe};
use crate::config::CheckKind;

/// The checks of this node, and what runs their scripts.
#[derive(Debug)]
pub(super) struct Surroundings {
    checks: Checks,
    launcher: Option<Launcher>,
}

impl Surroundings {
    pub(super) fn new(config: &crate::config::NodeConfig, now: Instant) -> Self {
        let scripts = config.checks.iter().any(|check| matches!(check.kind, CheckKind::Script(_)));
        let launcher = scripts.then(|| Launcher::start(None)).and_then(|started| {
            started.map_err(|error| tracing::warn!(%error, "no script of a check can run")).ok()
        });
        Self { checks: Checks::new(&config.checks, now), launcher }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.checks.deadline()
    }
}

impl Daemon {
    /// Probes what is due.
    pub(super) fn check_surroundings(&mut self, now: Instant) {
        if self.surroundings.deadline().is_some_and(|at| at <= now) {
            self.step_checks(now, ToChecks::Tick);
        }
    }

    pub(super) fn step_checks(&mut self, now: Instant, input: ToChecks) {
        for output in self.surroundings.checks.step(now, input) {
            match output {
                Output::Probe { check, target } => self.probe(check, target),
                Output::Set { attribute, value, delay, down } => {
                    let down = if down.is_empty() { "nothing".to_owned() } else { down.join(", ") };
                    tracing::info!(attribute, value, "a local check changed; down: {down}");
                    let delay_ms = u64::try_from(delay.as_millis()).ok();
                    let (name, value) = (attribute, Some(value));
                    let change = AttributeChange { name, value, delay_ms, private: false };
                    self.tell(Happening::Local(Local::Attribute(change)));
                }
            }
        }
    }

    fn probe(&self, check: usize, target: usize) {
        let Some(config) = self.surroundings.checks.config(check).cloned() else { return };
        let (done, launcher) = (self.done.clone(), self.surroundings.launcher.clone());
        tokio::spawn(async move {
            let ok = probe::ask(config, target, launcher).await;
            // Nobody listens only when the daemon ends.
            let _told = done.send(Done::Checked(ToChecks::Answer { check, target, ok }));
        });
    }
}
