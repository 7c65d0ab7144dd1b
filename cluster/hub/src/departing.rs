//! Orders that close an open gate wait a moment in which it takes no new connections.

use std::collections::VecDeque;
use std::time::Duration;

use haven_base::Instant;
use haven_heartbeat::Input;
use haven_types::GroupId;

/// How long a gate that is to be closed refuses new connections first: a server on this host answers what it has
/// accepted within a fraction of it. Who asks meanwhile asks the next owner a second later, like all who ask while there
/// is none.
pub(crate) const LAST_ANSWERS: Duration = Duration::from_millis(1);

/// The orders that wait, the first due in front; those about one group in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Departing(VecDeque<(Instant, GroupId, Input)>);

impl Departing {
    /// Whether an order about the group waits.
    pub(crate) fn has(&self, group: GroupId) -> bool {
        self.0.iter().any(|(_, known, _)| *known == group)
    }

    /// Has an order wait; one that follows another about its group waits no longer than that.
    pub(crate) fn put(&mut self, now: Instant, group: GroupId, order: Input) {
        let first = self.0.iter().find(|(_, known, _)| *known == group);
        let at = first.map_or(now + LAST_ANSWERS, |(at, ..)| *at);
        let place = self.0.partition_point(|(other, ..)| *other <= at);
        self.0.insert(place, (at, group, order));
    }

    /// The next order that has waited until `now`.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Input> {
        self.0.pop_front_if(|(at, ..)| *at <= now).map(|(.., order)| order)
    }

    /// The next order about the group, however long it has waited.
    pub(crate) fn about(&mut self, group: GroupId) -> Option<Input> {
        let place = self.0.iter().position(|(_, known, _)| *known == group)?;
        self.0.remove(place).map(|(.., order)| order)
    }

    /// When [`Self::due`] has something.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.front().map(|(at, ..)| *at)
    }
}

#[cfg(test)]
mod tests {
    use haven_types::Epoch;

    use super::*;

    const ONE: GroupId = GroupId(1);
    const OTHER: GroupId = GroupId(2);

    fn at(moments: u32) -> Instant {
        Instant::from_nanos(10_000_000_000) + LAST_ANSWERS / 4 * moments
    }

    fn waiting() -> Departing {
        let mut departing = Departing::default();
        assert_eq!(departing.deadline(), None);
        departing.put(at(0), ONE, Input::Granted { group: ONE, epoch: Epoch(2) });
        departing.put(at(1), OTHER, Input::Release { group: OTHER });
        departing.put(at(2), ONE, Input::Release { group: ONE });
        assert!(departing.has(ONE) && departing.has(OTHER) && !departing.has(GroupId(3)));
        departing
    }

    #[test]
    fn the_second_order_about_a_group_waits_no_longer_than_the_first() {
        let mut departing = waiting();
        let due = |departing: &mut Departing, now| -> Vec<Input> {
            std::iter::from_fn(|| departing.due(now)).collect()
        };
        assert_eq!((departing.deadline(), departing.due(at(3))), (Some(at(4)), None));
        let granted = Input::Granted { group: ONE, epoch: Epoch(2) };
        assert_eq!(due(&mut departing, at(4)), [granted, Input::Release { group: ONE }]);
        assert!(!departing.has(ONE));
        assert_eq!(departing.deadline(), Some(at(5)));
        assert_eq!(due(&mut departing, at(5)), [Input::Release { group: OTHER }]);
    }

    #[test]
    fn orders_about_one_group_can_be_had_at_once_and_in_order() {
        let mut departing = waiting();
        let granted = Input::Granted { group: ONE, epoch: Epoch(2) };
        assert_eq!(departing.about(ONE), Some(granted));
        assert_eq!(departing.about(ONE), Some(Input::Release { group: ONE }));
        assert_eq!((departing.about(ONE), departing.has(OTHER)), (None, true));
    }
}
