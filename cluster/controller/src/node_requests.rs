//! Requests that take nodes out of service and back, and bans.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_api::{ApiError, Code, StandbyLifetime};
use haven_base::WallTime;
use haven_cib::{Condition, Constraint, DateTest, Location, Rule};

use crate::controller::Controller;
use crate::goals::Goal;
use crate::port::Clock;
use crate::request::{Change, ReplyTo};

/// Longest life of a ban.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Controller {
    /// Puts a node into standby, or takes it back from whichever kind of standby it is in.
    pub(crate) fn standby(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        node: String,
        (on, lifetime): (bool, StandbyLifetime),
        (wait, timeout_ms): (bool, Option<u64>),
    ) -> Result<(), ApiError> {
        let id = self.known_node(&node)?;
        let transient = self.transient(id).contains_key("standby");
        let until_reboot = lifetime == StandbyLifetime::Reboot;
        if (on && until_reboot) || (!on && transient) {
            if !self.heard(id) {
                let message =
                    format!("{node} is not heard: its life has ended, and standby with it");
                return Err(ApiError::new(Code::Unavailable, message)
                    .remedy(format!("haven node standby {node}, without --until-reboot")));
            }
            let value = ("value".to_owned(), "on".to_owned());
            let params = if on { BTreeMap::from([value]) } else { BTreeMap::new() };
            self.order_own(clock, id, "attribute", "standby".to_owned(), params);
        }
        let (what, goal) = match (on, until_reboot) {
            (true, true) => (format!("{node} is in standby until it restarts"), Goal::Empty(id)),
            (true, false) => (format!("{node} is in standby"), Goal::Empty(id)),
            (false, _) => (format!("{node} is online"), Goal::Settled),
        };
        let change = Change::action(what, wait, timeout_ms).towards(goal);
        if on && until_reboot {
            return self.await_settled(clock, to, change);
        }
        let value = if on { Some("on") } else { None };
        self.edit(clock, to, author, change, |cib| cib.set_node_attribute(&node, "standby", value))
    }

    /// Takes the hands off a node, or puts them on again.
    pub(crate) fn maintenance(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        node: String,
        on: bool,
        (wait, timeout_ms): (bool, Option<u64>),
    ) -> Result<(), ApiError> {
        self.known_node(&node)?;
        let what = if on {
            format!(
                "{node} is in maintenance: nothing on it is started, stopped or watched; `haven node \
                 ready {node}` ends that"
            )
        } else {
            format!("{node} is ready: what runs there is looked at anew and watched again")
        };
        let change = Change::action(what, wait, timeout_ms);
        let value = if on { Some("true") } else { None };
        self.edit(clock, to, author, change, |cib| {
            cib.set_node_attribute(&node, "maintenance", value)
        })
    }

    /// Forbids a resource a node, for some time or until it is cleared.
    pub(crate) fn ban(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        (resource, node, lifetime): (String, Option<String>, Option<Duration>),
        (wait, timeout_ms): (bool, Option<u64>),
    ) -> Result<(), ApiError> {
        self.known_resource(&resource)?;
        let place = node.or_else(|| self.active_on(&resource).into_iter().next());
        let Some(node) = place else {
            let message = format!("cannot ban \"{resource}\" from where it runs: it runs nowhere");
            return Err(ApiError::new(Code::Failed, message)
                .remedy(format!("name a node: haven resource ban {resource} NODE")));
        };
        self.known_node(&node)?;
        let until = lifetime.map(|lifetime| end_of(clock.wall, lifetime));
        let id = format!("cli-ban-{resource}-on-{node}");
        let constraint = banned(id, &resource, &node, until.as_deref());
        let goal = Goal::RunsNotOn(resource.clone(), node.clone());
        let what = format!("{resource} avoids {node}");
        let change = Change::action(what, wait, timeout_ms).towards(goal);
        let preferred = format!("cli-prefer-{resource}");
        self.edit(clock, to, author, change, |cib| {
            cib.constraints.retain(|known| {
                !matches!(known, Constraint::Location(l)
                    if l.id == preferred && l.node.as_deref() == Some(node.as_str()))
            });
            cib.put_constraint(constraint);
            Ok(())
        })
    }
}

fn end_of(now: WallTime, lifetime: Duration) -> String {
    let seconds = i64::try_from(lifetime.min(LONGEST).as_secs()).unwrap_or(i64::MAX);
    date(now.seconds.saturating_add(seconds.max(1)))
}

/// A second since 1970 as ISO 8601 writes it, in UTC. The calendar by eras of 400 years that begin in
/// March, so that the leap day is a year's last.
fn date(second: i64) -> String {
    let (days, of_day) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, rest) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{rest:02}Z")
}

fn banned(id: String, resource: &str, node: &str, until: Option<&str>) -> Constraint {
    let plain =
        Location { id: id.clone(), resource: Some(resource.to_owned()), ..Location::default() };
    let Some(until) = until else {
        let (node, score) = (Some(node.to_owned()), Some("-INFINITY".to_owned()));
        return Constraint::Location(Location { node, score, ..plain });
    };
    let here = haven_cib::AttributeTest {
        id: format!("{id}-expr"),
        attribute: Some("#uname".to_owned()),
        operation: Some("eq".to_owned()),
        value: Some(node.to_owned()),
        kind: Some("string".to_owned()),
        value_source: None,
    };
    let before = DateTest {
        id: format!("{id}-lifetime"),
        operation: Some("lt".to_owned()),
        end: Some(until.to_owned()),
        ..DateTest::default()
    };
    let rule = Rule {
        id: format!("{id}-rule"),
        score: Some("-INFINITY".to_owned()),
        boolean_op: Some("and".to_owned()),
        conditions: vec![Condition::Attribute(here), Condition::Date(before)],
        ..Rule::default()
    };
    Constraint::Location(Location { rules: vec![rule], ..plain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_for_some_time_ends_at_a_date_that_the_engine_reads() {
        for second in [0, 951_782_399, 951_868_800, 1_709_208_000, 1_767_225_599, 4_102_444_800] {
            let text = date(second);
            assert_eq!(
                haven_policy::parse_time(&text),
                Some(WallTime::from_seconds(second)),
                "{text}"
            );
        }
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00Z");
        let end = end_of(WallTime::from_seconds(0), Duration::MAX);
        assert_eq!(end, "1979-12-30 00:00:00Z", "ten years at most");
    }
}
