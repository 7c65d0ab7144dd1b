//! Leases that were asked for and not gained yet: who looks at a log must not wonder why nothing starts.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_api::EventSeverity;
use haven_base::Instant;
use haven_types::GroupId;

use crate::controller::Controller;
use crate::port::Clock;

/// A claim that is answered at all is answered within this time.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// Claims under way, each with the instant at which it is worth a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    waiting: BTreeMap<GroupId, Instant>,
}

impl Claims {
    pub(crate) fn begun(&mut self, group: GroupId, now: Instant) {
        self.waiting.entry(group).or_insert(now + TOLD_AFTER);
    }

    pub(crate) fn ended(&mut self, group: GroupId) {
        self.waiting.remove(&group);
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.values().min().copied()
    }
}

impl Controller {
    /// Tells once of each claim that waits.
    pub(crate) fn tell_claims(&mut self, clock: Clock) {
        let due = |at: &Instant| *at <= clock.now;
        let waiting = &mut self.claims.waiting;
        let late: Vec<GroupId> =
            waiting.iter().filter(|(_, at)| due(at)).map(|(group, _)| *group).collect();
        for group in late {
            self.claims.ended(group);
            let name = self.group_name(group);
            let text = format!(
                "{name} waits for its lease: no majority has promised it yet; a member promises \
                 nothing in its first seconds, nor while the promise to an owner before lasts"
            );
            let subject = format!("resource/{name}");
            self.event(clock, "HV1503", EventSeverity::Info, subject, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_told_of_a_second_after_it_was_begun_first() {
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let mut claims = Claims::default();
        assert_eq!(claims.deadline(), None);
        claims.begun(GroupId(1), at(100));
        claims.begun(GroupId(1), at(900));
        claims.begun(GroupId(2), at(500));
        assert_eq!(claims.deadline(), Some(at(1_100)));
        claims.ended(GroupId(1));
        assert_eq!(claims.deadline(), Some(at(1_500)));
    }
}
