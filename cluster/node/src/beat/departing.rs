//! Orders that close a gate wait a moment in which it takes no new connections.

use std::collections::VecDeque;
use std::time::Duration;

use haven_base::Instant;
use haven_heartbeat::Input;
use haven_types::GroupId;

/// How long a gate that is to be closed refuses new connections first: a server on this host answers what it has
/// accepted within a fraction of it. Who asks meanwhile asks the next owner a second later, like all who ask while there
/// is none.
pub(super) const LAST_ANSWERS: Duration = Duration::from_millis(1);

/// The orders that wait, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Departing(VecDeque<(Instant, GroupId, Input)>);

impl Departing {
    /// Whether an order about the group waits.
    pub(super) fn has(&self, group: GroupId) -> bool {
        self.0.iter().any(|(_, known, _)| *known == group)
    }

    /// Has an order wait; one that follows another about its group waits no longer than that.
    pub(super) fn put(&mut self, now: Instant, group: GroupId, order: Input) {
        let first = self.0.iter().find(|(_, known, _)| *known == group);
        let at = first.map_or(now + LAST_ANSWERS, |(at, ..)| *at);
        self.0.push_back((at, group, order));
    }

    /// The next order that has waited until `now`.
    pub(super) fn due(&mut self, now: Instant) -> Option<Input> {
        self.0.pop_front_if(|(at, ..)| *at <= now).map(|(.., order)| order)
    }

    /// When [`Self::due`] has something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.front().map(|(at, ..)| *at)
    }
}

#[cfg(test)]
mod tests {
    use haven_types::Epoch;

    use super::*;

    #[test]
    fn orders_wait_in_their_order_and_the_second_about_a_group_no_longer_than_the_first() {
        let (one, other) = (GroupId(1), GroupId(2));
        let at =
            |millis| Instant::from_nanos(0) + Duration::from_millis(10) + millis * LAST_ANSWERS;
        let granted = Input::Granted { group: one, epoch: Epoch(2) };
        let mut departing = Departing::default();
        assert_eq!(departing.deadline(), None);
        departing.put(at(0), one, granted.clone());
        departing.put(at(0), other, Input::Release { group: other });
        let between = at(0) + LAST_ANSWERS / 2;
        departing.put(between, one, Input::Release { group: one });
        assert!(departing.has(one) && departing.has(other) && !departing.has(GroupId(3)));
        assert_eq!((departing.deadline(), departing.due(between)), (Some(at(1)), None));
        let due: Vec<Input> = std::iter::from_fn(|| departing.due(at(1))).collect();
        let releases = [other, one].map(|group| Input::Release { group });
        assert_eq!(due, [vec![granted], releases.to_vec()].concat());
        assert!(!departing.has(one));
    }
}
