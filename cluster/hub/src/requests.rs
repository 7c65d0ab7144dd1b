//! Requests of clients on their way to the controller.

use std::time::Duration;

use haven_api::{ApiError, AttributeLifetime, Code, RequestBody};
use haven_base::Instant;
use haven_controller::Clock;

use crate::hub::{Core, Hub};
use crate::port::Effect;

/// How long a change waits for a coordinator to be elected.
pub const COORDINATOR_PATIENCE: Duration = Duration::from_secs(5);
/// Changes that wait for a coordinator at most; one more is refused at once.
pub const MAX_DEFERRED: usize = 1024;

/// A change that waits for a coordinator.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Deferred {
    /// Its patience ends then.
    pub(crate) until: Instant,
    id: u64,
    author: String,
    body: RequestBody,
}

impl<C: Core> Hub<C> {
    pub(crate) fn on_asked(&mut self, clock: Clock, id: u64, author: String, body: RequestBody) {
        if body == RequestBody::PlanRestart {
            return self.plan_restart(clock, id);
        }
        if !self.waits(&body) {
            return self.effect(Effect::Serve { id, author, body });
        }
        if self.deferred.len() == MAX_DEFERRED {
            let message = format!("{MAX_DEFERRED} changes wait for a coordinator already");
            let error = ApiError::new(Code::Unavailable, message).remedy("see `haven status`");
            return self.reply(id, Err(error));
        }
        // A coordinator is usually elected within a moment; nobody should have to type again.
        let until = clock.now + COORDINATOR_PATIENCE;
        self.deferred.push_back(Deferred { until, id, author, body });
    }

    /// Whether a request is a change that only a coordinator can bring about, and there is none.
    fn waits(&self, body: &RequestBody) -> bool {
        let own_affair = matches!(
            body,
            RequestBody::NodeAttributeSet { lifetime: AttributeLifetime::Reboot, .. }
        );
        self.controller().leader().is_none() && body.mutates() && !own_affair
    }

    /// Requests that waited for a coordinator: served now that there is one, or refused in the end.
    pub(crate) fn serve_deferred(&mut self, now: Instant) {
        let elected = self.controller().leader().is_some();
        while let Some(Deferred { id, author, body, .. }) =
            self.deferred.pop_front_if(|first| elected || first.until <= now)
        {
            self.effect(Effect::Serve { id, author, body });
        }
    }

    pub(crate) fn reply(&mut self, id: u64, body: Result<haven_api::ReplyBody, ApiError>) {
        self.effect(Effect::Reply { id, more: false, body: Box::new(body) });
    }
}
