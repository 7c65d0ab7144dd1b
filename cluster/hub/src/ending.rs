//! How a life ends: by leaving, or by a planned restart (L9): long leases first, then this process
//! becomes the next one.
//!
//! ```text
//!            Terminate            nothing runs here, or nothing moves for LEAVE_PATIENCE
//!  Serving ─────────────▶ Leaving ──────────────────────────────────────────────▶ Ended(Stopped)
//!    │  ▲  RESTART_PATIENCE ▲ └─ Terminate again ────────────────────────────────▶
//!    ▼  │        Terminate  │
//!  Restarting ──────────────┘
//!       └─ RestartReady and no operation under way ──────────────────────────────▶ Ended(Replaced)
//! ```
//! Removed from the cluster, or without a heartbeat thread, a life is stopped in any phase. Whoever is stopped while
//! something still runs there says so.

use std::collections::BTreeSet;
use std::time::Duration;

use haven_api::{ApiError, Code, EventSeverity, ReplyBody};
use haven_base::Instant;
use haven_controller::{Clock, Input};
use haven_heartbeat::Input as ToBeat;

use crate::hub::{Core, Hub};
use crate::port::{Effect, End};

/// How long a process that was told to end waits for its resources to move away where nobody moves them. An operation
/// under way here has a timeout of its own, and is waited for as long as that is.
pub const LEAVE_PATIENCE: Duration = Duration::from_secs(20);
/// How long it waits at most for a stop that is planned and has not begun, as what stands upon it is stopped elsewhere
/// first (`shutdown-escalation` of the field, 20 min).
pub const LEAVE_LIMIT: Duration = Duration::from_secs(20 * 60);
/// How long a planned restart may wait for its long leases.
pub const RESTART_PATIENCE: Duration = Duration::from_secs(5);

/// Resources named in one line at most.
const NAMED: usize = 10;

/// How far the end of a life has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It serves.
    Serving,
    /// It waits for its resources to move away.
    Leaving {
        /// Since then.
        since: Instant,
        /// Then it is looked whether anything still moves.
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
            Self::Leaving { until, .. } | Self::Restarting { until, .. } => Some(until),
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
            Phase::Leaving { since, .. } => return self.give_up(clock, since),
            Phase::Restarting { request, .. } => {
                let error = ApiError::new(Code::Unavailable, "the daemon was told to end");
                self.call_off_restart(request, error);
            }
        }
        let text = "ending: what runs here moves away first".to_owned();
        self.line(EventSeverity::Info, text);
        self.phase = Phase::Leaving { since: clock.now, until: clock.now + LEAVE_PATIENCE };
        self.decide(clock, Input::Shutdown);
    }

    pub(crate) fn on_removed(&mut self) {
        self.effect(Effect::Removed);
        self.leave_behind("stop them by hand");
    }

    pub(crate) fn on_heartbeat_ended(&mut self) {
        self.leave_behind("stop them by hand, or start the daemon again");
    }

    fn give_up(&mut self, clock: Clock, since: Instant) {
        let waited = clock.now.since(since).as_secs();
        self.leave_behind(&format!(
            "stop them by hand, or start the daemon again (they did not move within {waited} s)"
        ));
    }

    /// Ends for good, whatever runs here, and says what that is.
    fn leave_behind(&mut self, remedy: &str) {
        let left = self.controller().remains();
        if self.ended().is_none() && !left.is_empty() {
            let names = named(&left);
            let text = format!(
                "the daemon ends while these still run here, or may: {names}; nobody watches them: {remedy}"
            );
            self.line(EventSeverity::Error, text);
        }
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
            Phase::Leaving { .. } if self.controller().nothing_remains() => self.end(End::Stopped),
            Phase::Leaving { since, until } if until <= clock.now => {
                self.look_whether_it_moves(clock, since);
            }
            Phase::Restarting { until, request } if until <= clock.now => {
                self.call_off_restart(request, not_prepared());
            }
            Phase::Leaving { .. } | Phase::Restarting { .. } | Phase::Serving | Phase::Ended(_) => {
            }
        }
    }

    /// Goes on waiting while what runs here is being moved away, or is about to be.
    fn look_whether_it_moves(&mut self, clock: Clock, since: Instant) {
        let waited = clock.now.since(since);
        let about_to = || waited < LEAVE_LIMIT && self.controller().stops_are_planned_here(clock);
        if !self.controller().busy() && !about_to() {
            return self.give_up(clock, since);
        }
        let (names, waited) = (named(&self.controller().remains()), waited.as_secs());
        let text = format!(
            "still ending after {waited} s: {names} are waited for; told to end once more, the daemon ends at once"
        );
        self.line(EventSeverity::Info, text);
        self.phase = Phase::Leaving { since, until: clock.now + LEAVE_PATIENCE };
    }
}

/// The first of these, and how many more there are.
fn named(resources: &BTreeSet<String>) -> String {
    let first: Vec<&str> = resources.iter().take(NAMED).map(String::as_str).collect();
    match resources.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
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
