//! Transient attributes of nodes: each node owns its own, all nodes know all of them, and changes of
//! one that is damped come into force together.
//!
//! ```text
//!  change of a damped name ─▶ held: all nodes' values of it stay as they were
//!          another change ─▶ held anew, from now
//!       delay has passed  ─▶ in force, of all nodes at once ─▶ planned
//! ```
//!
//! Every node keeps the same holds by the changes that it sees; whoever coordinates plans with the
//! values in force. A node that learns of another's attributes for the first time takes them as they
//! are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_types::NodeId;
use serde::{Deserialize, Serialize};

/// Attributes of one node by name.
pub(crate) type Values = BTreeMap<String, String>;

/// Names that a node may have, its fail counts among them.
pub(crate) const MAX_NAMES: usize = 4096;
/// Longest name in bytes.
const MAX_NAME: usize = 256;
/// Longest value in bytes.
const MAX_VALUE: usize = 4096;
/// Longest delay.
const MAX_DELAY: Duration = Duration::from_secs(3600);
/// Stands for any number beyond.
const INFINITY: i64 = 1_000_000;

/// How an attribute is kept, beside its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Traits {
    /// Changes are held back until this has passed since the last, in milliseconds.
    pub delay_ms: u32,
    /// Never used for planning.
    pub private: bool,
}

impl Traits {
    fn delay(self) -> Duration {
        Duration::from_millis(u64::from(self.delay_ms))
    }
}

/// A change of one attribute, as somebody asked for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttributeChange {
    /// Its name.
    pub name: String,
    /// Its new value; none deletes it.
    pub value: Option<String>,
    /// Its new delay in milliseconds; none keeps the old one.
    pub delay_ms: Option<u64>,
    /// Never used for planning.
    pub private: bool,
}

/// Why a change is not made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum RefusedChange {
    #[error("{name:?} cannot be the name of an attribute: 1 to {MAX_NAME} bytes without blanks")]
    Name { name: String },
    #[error("the value of {name} takes {bytes} bytes, at most {MAX_VALUE} are possible")]
    Value { name: String, bytes: usize },
    #[error("the delay of {name} is longer than an hour")]
    Delay { name: String },
    #[error("{name} would be one attribute more than the {MAX_NAMES} that a node can have")]
    TooMany { name: String },
}

impl AttributeChange {
    /// Carries the change out on a node's attributes. True when anything differs then.
    pub(crate) fn apply(
        &self,
        values: &mut Values,
        traits: &mut BTreeMap<String, Traits>,
    ) -> Result<bool, RefusedChange> {
        let name = &self.name;
        checked_name(name)?;
        let old = (values.get(name).cloned(), traits.get(name).copied().unwrap_or_default());
        let value = self.value.as_ref().map(|wanted| expanded(old.0.as_deref(), wanted));
        if let Some(bytes) = value.as_ref().map(String::len).filter(|bytes| *bytes > MAX_VALUE) {
            return Err(RefusedChange::Value { name: name.clone(), bytes });
        }
        if old.0.is_none() && value.is_some() && values.len() >= MAX_NAMES {
            return Err(RefusedChange::TooMany { name: name.clone() });
        }
        let mut new = old.1;
        if let Some(delay_ms) = self.delay_ms {
            let delay = Duration::from_millis(delay_ms);
            let fits = u32::try_from(delay_ms).ok().filter(|_| delay <= MAX_DELAY);
            new.delay_ms = fits.ok_or_else(|| RefusedChange::Delay { name: name.clone() })?;
        }
        // A deletion says nothing about what comes next under the name.
        new.private = if value.is_some() { self.private } else { new.private };
        if new == Traits::default() {
            traits.remove(name);
        } else if traits.len() < MAX_NAMES || traits.contains_key(name) {
            traits.insert(name.clone(), new);
        }
        match &value {
            Some(value) => values.insert(name.clone(), value.clone()),
            None => values.remove(name),
        };
        Ok((value, new) != old)
    }
}

/// Whether something can be an attribute's name.
pub(crate) fn checked_name(name: &str) -> Result<(), RefusedChange> {
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(fits) {
        return Err(RefusedChange::Name { name: name.to_owned() });
    }
    Ok(())
}

/// `value++` and `value+=N` count from the present value, which is 0 where it is none or no number.
pub(crate) fn expanded(present: Option<&str>, wanted: &str) -> String {
    let by = match wanted.strip_prefix("value") {
        Some("++") => Some(1),
        Some(rest) => rest.strip_prefix("+=").map(score),
        None => None,
    };
    let Some(by) = by else { return wanted.to_owned() };
    let present = present.map_or(0, score);
    // As with scores: never wins over always, and both over any number.
    let sum = if present == -INFINITY || by == -INFINITY {
        -INFINITY
    } else if present == INFINITY || by == INFINITY {
        INFINITY
    } else {
        (present + by).clamp(-INFINITY, INFINITY)
    };
    match sum {
        INFINITY => "INFINITY".to_owned(),
        sum if sum == -INFINITY => "-INFINITY".to_owned(),
        sum => sum.to_string(),
    }
}

fn score(text: &str) -> i64 {
    match text {
        "INFINITY" | "+INFINITY" => INFINITY,
        "-INFINITY" => -INFINITY,
        text => text.parse::<i64>().unwrap_or(0).clamp(-INFINITY, INFINITY),
    }
}

/// Changes that are held back.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Dampener {
    holds: BTreeMap<String, Hold>,
}

#[derive(Clone, Debug, PartialEq)]
struct Hold {
    until: Instant,
    /// What was in force when the hold began, of each node whose value changed since.
    before: BTreeMap<NodeId, Option<String>>,
}

impl Dampener {
    /// A node's attributes went from `old` to `new`.
    pub(crate) fn observe(
        &mut self,
        now: Instant,
        node: NodeId,
        old: &Values,
        new: &Values,
        traits: &BTreeMap<String, Traits>,
    ) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names.into_iter().filter(|name| old.get(*name) != new.get(*name)) {
            let delay = traits.get(name).copied().unwrap_or_default().delay();
            if delay.is_zero() {
                // What is changed without a delay is in force at once.
                self.holds.get_mut(name).and_then(|hold| hold.before.remove(&node));
                continue;
            }
            let hold = self.holds.entry(name.clone());
            let hold = hold.or_insert_with(|| Hold { until: now, before: BTreeMap::new() });
            hold.until = now + delay;
            hold.before.entry(node).or_insert_with(|| old.get(name).cloned());
        }
        self.holds.retain(|_, hold| !hold.before.is_empty());
    }

    /// A node's life ended: nothing of it is held.
    pub(crate) fn forget(&mut self, node: NodeId) {
        for hold in self.holds.values_mut() {
            hold.before.remove(&node);
        }
        self.holds.retain(|_, hold| !hold.before.is_empty());
    }

    /// What is in force of a node that says `told`.
    pub(crate) fn in_force(&self, node: NodeId, told: &Values) -> Values {
        let mut values = told.clone();
        for (name, hold) in &self.holds {
            match hold.before.get(&node) {
                Some(Some(before)) => {
                    values.insert(name.clone(), before.clone());
                }
                Some(None) => {
                    values.remove(name);
                }
                None => {}
            }
        }
        values
    }

    /// When the next hold ends.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.holds.values().map(|hold| hold.until).min()
    }

    /// Ends the holds whose time is over; true when there were any.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let before = self.holds.len();
        self.holds.retain(|_, hold| hold.until > now);
        self.holds.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn damped(name: &str) -> BTreeMap<String, Traits> {
        BTreeMap::from([(name.to_owned(), Traits { delay_ms: 5_000, private: false })])
    }

    #[test]
    fn changes_on_two_nodes_come_into_force_together_after_the_last() {
        let (one, two) = (NodeId(1), NodeId(2));
        let (up, down, traits) =
            (values(&[("pingd", "100")]), values(&[("pingd", "0")]), damped("pingd"));
        let mut dampener = Dampener::default();
        dampener.observe(at(0), one, &up, &down, &traits);
        dampener.observe(at(3_000), two, &up, &down, &traits);
        assert_eq!(dampener.deadline(), Some(at(8_000)), "counted from the last change");
        assert!(!dampener.expire(at(7_999)));
        assert_eq!(dampener.in_force(one, &down), up);
        assert_eq!(dampener.in_force(two, &down), up);
        assert!(dampener.expire(at(8_000)));
        assert_eq!(dampener.in_force(one, &down), down);
        assert_eq!((dampener.in_force(two, &down), dampener.deadline()), (down.clone(), None));
        // A value that goes and comes back within the delay was never away.
        dampener.observe(at(9_000), one, &down, &up, &traits);
        dampener.observe(at(9_100), one, &up, &down, &traits);
        assert_eq!(dampener.in_force(one, &down), down);
    }

    #[test]
    fn deletions_and_first_values_are_held_back_too() {
        let (one, traits) = (NodeId(1), damped("a"));
        let mut dampener = Dampener::default();
        dampener.observe(at(0), one, &values(&[]), &values(&[("a", "1")]), &traits);
        assert_eq!(dampener.in_force(one, &values(&[("a", "1")])), values(&[]));
        dampener.expire(at(5_000));
        dampener.observe(at(6_000), one, &values(&[("a", "1")]), &values(&[]), &traits);
        assert_eq!(dampener.in_force(one, &values(&[])), values(&[("a", "1")]));
        dampener.forget(one);
        assert_eq!(dampener, Dampener::default());
    }

    #[test]
    fn without_a_delay_a_change_is_in_force_at_once() {
        let (one, old, new) = (NodeId(1), values(&[("a", "1")]), values(&[("a", "2")]));
        let mut dampener = Dampener::default();
        dampener.observe(at(0), one, &old, &new, &BTreeMap::new());
        assert_eq!((dampener.in_force(one, &new), dampener.deadline()), (new.clone(), None));
        dampener.observe(at(0), one, &old, &new, &damped("a"));
        let last = values(&[("a", "3")]);
        dampener.observe(at(1), one, &new, &last, &BTreeMap::new());
        assert_eq!(dampener.in_force(one, &last), last, "the delay was taken away");
    }

    #[test]
    fn values_count_as_attrd_s_do() {
        for (present, wanted, result) in [
            (Some("4"), "value++", "5"),
            (None, "value++", "1"),
            (Some("x"), "value+=3", "3"),
            (Some("999999"), "value+=7", "INFINITY"),
            (Some("INFINITY"), "value++", "INFINITY"),
            (Some("3"), "value+=-INFINITY", "-INFINITY"),
            (Some("4"), "c++", "c++"),
            (Some("4"), "value", "value"),
        ] {
            assert_eq!(expanded(present, wanted), result, "{present:?} {wanted}");
        }
    }

    #[test]
    fn a_change_is_carried_out_whole_or_refused_by_name() {
        let (mut all, mut traits) = (values(&[]), BTreeMap::new());
        let change = |name: &str, value: Option<&str>, delay_ms| AttributeChange {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            delay_ms,
            private: false,
        };
        assert_eq!(change("a", Some("1"), Some(5_000)).apply(&mut all, &mut traits), Ok(true));
        assert_eq!(change("a", Some("1"), None).apply(&mut all, &mut traits), Ok(false));
        assert_eq!(traits, damped("a"));
        assert_eq!(change("a", None, None).apply(&mut all, &mut traits), Ok(true));
        assert_eq!((all.len(), &traits), (0, &damped("a")), "the delay outlives the value");
        let long = "x".repeat(MAX_VALUE + 1);
        for refused in [
            change("", Some("1"), None),
            change("a b", Some("1"), None),
            change("a", Some(&long), None),
            change("a", Some("1"), Some(u64::MAX)),
        ] {
            assert!(refused.apply(&mut all, &mut traits).is_err(), "{refused:?}");
            assert_eq!((all.len(), &traits), (0, &damped("a")), "nothing half done");
        }
        for number in 0..MAX_NAMES {
            assert_eq!(
                change(&format!("n{number}"), Some("1"), None).apply(&mut all, &mut traits),
                Ok(true)
            );
        }
        assert!(change("more", Some("1"), None).apply(&mut all, &mut traits).is_err());
    }
}
