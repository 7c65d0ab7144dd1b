//! What a measurement does not show although it was made: each finding is said, and none ends with status 0.

use crate::measure::{Report, ms};
use crate::scenario::{Outcome, Scenario};

impl Report {
    /// Why this does not show one owner at any time; empty when it does.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !self.ownership.overlaps.is_empty() {
            found.push(format!(
                "{} had two owners for {}",
                self.vip,
                ms(self.ownership.two_owners)
            ));
        }
        if self.capture_lost > 0 {
            found.push(format!(
                "the capture lost {} frames, so a second owner of {} may have gone unseen; measure \
                 again while the machine has less to do",
                self.capture_lost, self.vip
            ));
        }
        found
    }
}

impl Outcome {
    /// Those of its report, whether somebody else served where the owner could not go on, and moves that nothing explains.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let mut found = self.report.findings();
        let moved = self.owner_after.is_some() && self.owner_after != self.owner_before;
        if self.scenario.ends_the_owner() && !moved {
            let owner = self.owner_before.as_deref().unwrap_or("nobody");
            found.push(format!("nobody took {} over from {owner}", self.report.vip));
        }
        found.extend(self.unexplained_moves());
        found
    }

    /// That the address moved more often than its fault explains, by those who answered or by those who sent.
    #[must_use]
    pub fn unexplained_moves(&self) -> Option<String> {
        let moved = self.moves.max(self.report.ownership.moves());
        let explained = self.scenario.moves()?;
        (moved > explained).then(|| {
            format!(
                "moves of {}: {moved} seen, {explained} explained by the fault",
                self.report.vip
            )
        })
    }
}

impl Scenario {
    /// How often the address moves at most; `None` where it depends on which of many pauses look like a death.
    fn moves(self) -> Option<u64> {
        (self != Self::ShortPauses).then(|| u64::from(self.ends_the_owner()))
    }

    /// Whether it is watched for [`Times::after_heal`](crate::scenario::Times::after_heal) once it was healed.
    pub(crate) fn is_healed(self) -> bool {
        // What an operator ordered is no fault that is taken back.
        self.ends_the_owner() && self != Self::SwitchOver
    }

    /// Whether another node must serve before the fault is taken back.
    fn ends_the_owner(self) -> bool {
        match self {
            Self::LinkDown
            | Self::Cut
            | Self::Pause
            | Self::Kill
            | Self::SwitchOver
            | Self::Partition
            | Self::NoiseKill => true,
            Self::Quiet
            | Self::ShortPauses
            | Self::Noise
            | Self::NoiseOneLink
            | Self::Busy
            | Self::Restart => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::measure::Recording;
    use crate::sighting::{Sighting, Use};

    fn report(nodes: &[u8], capture_lost: u64) -> Report {
        let sighting = |(ms, node): (u64, &u8)| Sighting {
            at_nanos: ms * 20_000_000,
            node: *node,
            kind: Use::Source,
        };
        let sightings = (0..).zip(nodes).map(sighting).collect();
        let recording = Recording { sightings, capture_lost, ..Recording::default() };
        recording.report(IpAddr::from([10, 77, 1, 100]), BTreeMap::new())
    }

    fn outcome(scenario: Scenario, owners: [Option<&str>; 2], report: Report) -> Outcome {
        let [owner_before, owner_after] = owners.map(|owner| owner.map(str::to_owned));
        Outcome {
            scenario,
            outage: Duration::ZERO,
            outage_later: Duration::ZERO,
            outage_after_heal: Duration::ZERO,
            two_owners: report.ownership.two_owners,
            moves: report.ownership.moves(),
            owner_before,
            owner_after,
            owner_coordinates: None,
            report,
        }
    }

    #[test]
    fn one_owner_seen_by_a_whole_capture_is_no_finding() {
        assert_eq!(report(&[1, 1], 0).findings(), Vec::<String>::new());
    }

    #[test]
    fn a_second_owner_is_a_finding_and_so_is_what_the_capture_missed() {
        let found = report(&[1, 2, 1], 0).findings();
        assert!(
            found.len() == 1 && found[0].contains("10.77.1.100 had two owners for"),
            "{found:?}"
        );
        let found = report(&[1, 1], 7).findings();
        assert!(found.len() == 1 && found[0].contains("lost 7 frames"), "{found:?}");
    }

    #[test]
    fn a_fault_after_which_nobody_took_over_is_a_finding() {
        let of = |scenario, owners| outcome(scenario, owners, report(&[1], 0)).findings();
        for owners in [[Some("n1"), None], [Some("n1"), Some("n1")], [None, None]] {
            let found = of(Scenario::Kill, owners);
            assert!(found.len() == 1 && found[0].starts_with("nobody took"), "{found:?}");
        }
        assert_eq!(of(Scenario::Kill, [Some("n1"), Some("n2")]), Vec::<String>::new());
        assert_eq!(of(Scenario::Noise, [Some("n1"), Some("n1")]), Vec::<String>::new());
    }

    #[test]
    fn an_address_that_moves_more_often_than_its_fault_explains_is_told() {
        let of = |scenario, nodes| {
            let told = outcome(scenario, [Some("n1"), Some("n2")], report(nodes, 0));
            let moves = told.unexplained_moves();
            // Among the findings of the demonstration, and of rows of figures.
            let found: Vec<_> = moves.iter().cloned().collect();
            let of_moves = told.findings().into_iter().filter(|it| it.starts_with("moves of"));
            assert_eq!(of_moves.collect::<Vec<_>>(), found);
            moves
        };
        assert_eq!(of(Scenario::Kill, &[1, 2, 2]), None);
        let said = "moves of 10.77.1.100: 2 seen, 1 explained by the fault";
        assert_eq!(of(Scenario::Kill, &[1, 2, 3]).as_deref(), Some(said));
        assert_eq!(of(Scenario::Noise, &[1, 1]), None);
        let said = "moves of 10.77.1.100: 1 seen, 0 explained by the fault";
        assert_eq!(of(Scenario::Noise, &[1, 2]).as_deref(), Some(said));
        assert_eq!(of(Scenario::ShortPauses, &[1, 2, 1, 2]), None);
        let answered =
            Outcome { moves: 3, ..outcome(Scenario::Cut, [None, None], report(&[1, 2], 0)) };
        assert!(answered.unexplained_moves().is_some(), "by those who answered");
    }
}
