//! The machine itself.

use haven_base::Instant;
use haven_lease::PromiseTable;
use serde::{Deserialize, Serialize};

use crate::{Config, Held, Input, Output, Status};

/// Membership and lease over one beat. See the crate's documentation.
#[derive(Debug)]
pub struct Heartbeat {
    config: Config,
}

/// What a process leaves to its successor on the same kernel boot (L9).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HandOver {
    /// For [`crate::Start::HandedOver`].
    pub promises: PromiseTable,
    /// For [`Config::held`], unless the kernel's gate says otherwise.
    pub held: Vec<Held>,
}

impl Heartbeat {
    /// A machine at its start. `now` is the start of L4's silence.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        let _ = now;
        Self { config }
    }

    /// Turns one input into outputs, to be carried out in order.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let _ = (now, input);
        Vec::new()
    }

    /// When the next [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// What the machine knows, for the command line and for metrics.
    #[must_use]
    pub fn status(&self, now: Instant) -> Status {
        let _ = now;
        Status { node: self.config.node, ..Status::default() }
    }

    /// Ends the machine for a planned restart: it can promise nothing after this, so the table is
    /// complete. Call it after [`Output::RestartReady`], as the process's last act on the thread.
    #[must_use]
    pub fn hand_over(self, now: Instant) -> HandOver {
        let _ = now;
        HandOver::default()
    }
}
