//! The words of the notation with what may be said about them: for completion and help.

use super::names;
use super::verify::values;

/// Where a name stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// A cluster option (`property`).
    Property,
    /// A meta attribute of a resource (`meta`, `rsc_defaults`).
    Meta,
    /// An attribute of an operation (`op`, `op_defaults`).
    Operation,
}

/// What a value must look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allowed {
    /// `true` or `false`, also `yes`, `on`, `1` …
    Boolean,
    /// A whole number from −1 000 000 to 1 000 000, `INFINITY` or `-INFINITY`.
    Score,
    /// A number with `ms`, `s`, `min` or `h`, seconds without, or ISO 8601.
    Duration,
    /// A whole number.
    Integer,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// First words of declarations.
#[must_use]
pub const fn declarations() -> &'static [&'static str] {
    names::COMMANDS
}

/// The names that are known at a place.
#[must_use]
pub const fn known(place: Place) -> &'static [&'static str] {
    match place {
        Place::Property => names::PROPERTIES,
        Place::Meta => names::META,
        Place::Operation => names::OPERATION,
    }
}

/// What the value of a name must look like; none where anything will do.
#[must_use]
pub fn allowed(place: Place, name: &str) -> Option<Allowed> {
    values::allowed(place, name)
}

/// The value that counts where none is given; none where there is no such value.
#[must_use]
pub fn default_value(place: Place, name: &str) -> Option<&'static str> {
    let table = match place {
        Place::Property => PROPERTY_DEFAULTS,
        Place::Meta => META_DEFAULTS,
        Place::Operation => OPERATION_DEFAULTS,
    };
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// The known name nearest to one that is none.
#[must_use]
pub fn nearest_name(place: Place, name: &str) -> Option<&'static str> {
    haven_base::nearest(name, known(place).iter().copied())
}

const PROPERTY_DEFAULTS: &[(&str, &str)] = &[
    ("auto_tie_breaker", "no"),
    ("batch-limit", "0"),
    ("cancel-removed-actions", "true"),
    ("cluster-delay", "60s"),
    ("cluster-recheck-interval", "15min"),
    ("concurrent-fencing", "true"),
    ("dc-deadtime", "20s"),
    ("election-timeout", "2min"),
    ("enable-acl", "false"),
    ("enable-startup-probes", "true"),
    ("expected_votes_tracking", "no"),
    ("fence-remote-without-quorum", "false"),
    ("fencing-action", "reboot"),
    ("fencing-enabled", "true"),
    ("fencing-max-attempts", "10"),
    ("fencing-reaction", "stop"),
    ("fencing-timeout", "60s"),
    ("fencing-watchdog-timeout", "0"),
    ("have-watchdog", "false"),
    ("join-finalization-timeout", "30min"),
    ("join-integration-timeout", "3min"),
    ("last_man_standing", "no"),
    ("last_man_standing_window", "10000"),
    ("load-threshold", "80%"),
    ("maintenance-mode", "false"),
    ("migration-limit", "-1"),
    ("no-quorum-policy", "stop"),
    ("node-action-limit", "0"),
    ("node-health-base", "0"),
    ("node-health-green", "0"),
    ("node-health-red", "-INFINITY"),
    ("node-health-strategy", "none"),
    ("node-health-yellow", "0"),
    ("node-pending-timeout", "0"),
    ("pe-error-series-max", "-1"),
    ("pe-input-series-max", "4000"),
    ("pe-warn-series-max", "5000"),
    ("placement-strategy", "default"),
    ("priority-fencing-delay", "0"),
    ("shutdown-escalation", "20min"),
    ("shutdown-lock", "false"),
    ("shutdown-lock-limit", "0"),
    ("start-failure-is-fatal", "true"),
    ("startup-fencing", "true"),
    ("stop-all-resources", "false"),
    ("stop-removed-resources", "true"),
    ("symmetric-cluster", "true"),
    ("transition-delay", "0s"),
    ("two_node", "no"),
    ("wait_for_all", "no"),
];

const META_DEFAULTS: &[(&str, &str)] = &[
    ("allow-migrate", "false"),
    ("allow-unhealthy-nodes", "false"),
    ("clone-min", "0"),
    ("clone-node-max", "1"),
    ("critical", "true"),
    ("failure-timeout", "0"),
    ("globally-unique", "false"),
    ("interleave", "false"),
    ("is-managed", "true"),
    ("lease", "on"),
    ("maintenance", "false"),
    ("migration-threshold", "INFINITY"),
    ("multiple-active", "stop_start"),
    ("notify", "false"),
    ("ordered", "false"),
    ("priority", "0"),
    ("promotable", "false"),
    ("promoted-max", "1"),
    ("promoted-node-max", "1"),
    ("remote-allow-migrate", "true"),
    ("remote-connect-timeout", "60s"),
    ("remote-port", "3121"),
    ("resource-stickiness", "0"),
    ("target-role", "Started"),
];

const OPERATION_DEFAULTS: &[(&str, &str)] = &[
    ("enabled", "true"),
    ("interval", "0"),
    ("on-fail", "restart"),
    ("record-pending", "true"),
    ("start-delay", "0"),
    ("timeout", "20s"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_belongs_to_a_known_name_and_is_allowed() {
        let places = [
            (Place::Property, PROPERTY_DEFAULTS),
            (Place::Meta, META_DEFAULTS),
            (Place::Operation, OPERATION_DEFAULTS),
        ];
        for (place, (name, value)) in
            places.into_iter().flat_map(|(place, table)| table.iter().map(move |row| (place, row)))
        {
            assert!(known(place).contains(name), "{name}");
            assert!(default_value(place, name) == Some(*value));
            match allowed(place, name) {
                Some(Allowed::OneOf(words)) => assert!(words.contains(value), "{name}={value}"),
                Some(Allowed::Boolean) => {
                    assert!(["true", "false", "yes", "no", "on", "off"].contains(value), "{name}");
                }
                Some(_) | None => {}
            }
        }
        assert_eq!(nearest_name(Place::Property, "no-quorum-polcy"), Some("no-quorum-policy"));
    }
}
