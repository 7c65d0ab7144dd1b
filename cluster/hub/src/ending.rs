//! How a life ends: by leaving, or by a planned restart (L9): long leases first, then this process
//! becomes the next one.
//!
//! ```text
//!            Terminate                        nothing runs here, or LEAVE_PATIENCE
//!  Serving ─────────────▶ Leaving ──────────────────────────────────────────────▶ Ended(Stopped)
//!    │  ▲  RESTART_PATIENCE ▲ └─ Terminate again ────────────────────────────────▶
//!    ▼  │        Terminate  │
//!  Restarting ──────────────┘
//!       └─ RestartReady and no operation under way ──────────────────────────────▶ Ended(Replaced)
//! ```
//! Removed from the cluster, or without a heartbeat thread, a life is stopped in any phase.

use std::time::Duration;

use haven_api::{ApiError, Code, EventSeverity, ReplyBody};
use haven_base::Instant;
use haven_controller::{Clock, Input};
use haven_heartbeat::Input as ToBeat;

use crate::hub::{Core, Hub};
use crate::port::{Effect, End};

/// How long a process that was told to end waits for its resources to move away.
pub const LEAVE_PATIENCE: Duration = Duration::from_secs(20);
/// How long a planned restart may wait for its long leases.
pub const RESTART_PATIENCE: Duration = Duration::from_secs(5);

/// How far the end of a life has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It serves.
    Serving,
    /// It waits for its resources to move away.
    Leaving {
        /// At most until then.
        until: Instant,
    },
    /// It waits for long leases to be replaced under.
    Restarting {
        /// At most until then.
        until: Instant,
        /// The request to answer.
        request: u64,
    },
    /// It is over.
    Ended(End),
}

impl Phase {
    pub(crate) const fn until(self) -> Option<Instant> {
        match self {
            Self::Leaving { until } | Self::Restarting { until, .. } => Some(until),
            Self::Serving | Self::Ended(_) => None,
        }
    }
}

impl<C: Core> Hub<C> {
    pub(crate) fn end(&mut self, end: End) {
        if self.ended().is_none() {
            self.phase = Phase::Ended(end);
            self.effect(Effect::End(end));
        }
    }

    pub(crate) fn on_terminate(&mut self, clock: Clock) {
        match self.phase {
            Phase::Serving | Phase::Ended(_) => {}
            // Asked twice: do not wait any longer.
            Phase::Leaving { .. } => return self.end(End::Stopped),
            Phase::Restarting { request, .. } => {
                let error = ApiError::new(Code::Unavailable, "the daemon was told to end");
                self.call_off_restart(request, error);
            }
        }
        let text = "ending: what runs here moves away first".to_owned();
        self.line(EventSeverity::Info, text);
        self.phase = Phase::Leaving { until: clock.now + LEAVE_PATIENCE };
        self.decide(clock, Input::Shutdown);
    }

    pub(crate) fn on_removed(&mut self) {
        self.effect(Effect::Removed);
        self.end(End::Stopped);
    }

    // spec: L9
    pub(crate) fn plan_restart(&mut self, clock: Clock, request: u64) {
        if self.phase != Phase::Serving {
            let error = ApiError::new(Code::Unavailable, "the daemon is ending already");
            return self.reply(request, Err(error));
        }
        self.phase = Phase::Restarting { until: clock.now + RESTART_PATIENCE, request };
        self.effect(Effect::Heartbeat(Box::new(ToBeat::PlanRestart)));
    }

    /// The heartbeat machine has long leases, or has none to keep.
    // spec: L9
    pub(crate) fn on_restart_ready(&mut self, clock: Clock, until: Option<Instant>) {
        let Phase::Restarting { request, .. } = self.phase else { return };
        if self.controller().busy() {
            // Looked at again whenever something happens, until the operation or patience ends.
            self.restart_ready = Some(until);
            return;
        }
        let left = until.map(|until| until.since(clock.now));
        let body = ReplyBody::Restarting {
            boot: self.config.boot.0,
            lease_left_ms: left.and_then(|left| u64::try_from(left.as_millis()).ok()),
        };
        self.reply(request, Ok(body));
        self.end(End::Replaced);
    }

    fn call_off_restart(&mut self, request: u64, why: ApiError) {
        self.effect(Effect::Heartbeat(Box::new(ToBeat::Resume)));
        self.phase = Phase::Serving;
        self.restart_ready = None;
        self.reply(request, Err(why));
    }

    pub(crate) fn look_at_phase(&mut self, clock: Clock) {
        if let Some(until) = self.restart_ready.take() {
            self.on_restart_ready(clock, until);
        }
        match self.phase {
            Phase::Leaving { until }
                if until <= clock.now || self.controller().started_count() == 0 =>
            {
                self.end(End::Stopped);
            }
            Phase::Restarting { until, request } if until <= clock.now => {
                self.call_off_restart(request, not_prepared());
            }
            Phase::Leaving { .. } | Phase::Restarting { .. } | Phase::Serving | Phase::Ended(_) => {
            }
        }
    }
}

/// A restart that could not be prepared in time is called off.
fn not_prepared() -> ApiError {
    ApiError::new(
        Code::Timeout,
        "the restart is called off: no majority answered for a long lease in time, or an operation \
         was under way",
    )
    .remedy("see `haven status`, then try again")
}
