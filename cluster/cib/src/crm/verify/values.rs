//! Names and values of cluster options, meta attributes and operations.

use haven_base::nearest;

use super::{Finding, View, unknown_name, unknown_property};
use crate::boolean;
use crate::crm::document::named;
use crate::crm::names::META;
use crate::crm::parse::score;
use crate::crm::vocabulary::{Allowed as Kind, Place};
use crate::model::{NvSet, Operation, Resource};

const PROPERTY_KINDS: &[(&str, Kind)] = &[
    ("auto_tie_breaker", Kind::Boolean),
    ("batch-limit", Kind::Integer),
    ("cluster-delay", Kind::Duration),
    ("cluster-recheck-interval", Kind::Duration),
    ("concurrent-fencing", Kind::Boolean),
    ("dc-deadtime", Kind::Duration),
    ("election-timeout", Kind::Duration),
    ("enable-acl", Kind::Boolean),
    ("enable-startup-probes", Kind::Boolean),
    ("expected_votes", Kind::Integer),
    ("expected_votes_tracking", Kind::Boolean),
    ("last_man_standing", Kind::Boolean),
    ("last_man_standing_window", Kind::Duration),
    ("two_node", Kind::Boolean),
    ("wait_for_all", Kind::Boolean),
    ("fence-remote-without-quorum", Kind::Boolean),
    ("fencing-action", Kind::OneOf(&["reboot", "off", "poweroff"])),
    ("fencing-enabled", Kind::Boolean),
    ("fencing-max-attempts", Kind::Score),
    ("fencing-reaction", Kind::OneOf(&["stop", "panic"])),
    ("fencing-timeout", Kind::Duration),
    ("have-watchdog", Kind::Boolean),
    ("join-finalization-timeout", Kind::Duration),
    ("join-integration-timeout", Kind::Duration),
    ("maintenance-mode", Kind::Boolean),
    ("migration-limit", Kind::Integer),
    ("no-quorum-policy", Kind::OneOf(&["ignore", "freeze", "stop", "demote", "fence", "suicide"])),
    ("node-action-limit", Kind::Integer),
    ("node-health-base", Kind::Score),
    ("node-health-green", Kind::Score),
    ("node-health-red", Kind::Score),
    (
        "node-health-strategy",
        Kind::OneOf(&["none", "migrate-on-red", "only-green", "progressive", "custom"]),
    ),
    ("node-health-yellow", Kind::Score),
    ("node-pending-timeout", Kind::Duration),
    ("pe-error-series-max", Kind::Integer),
    ("pe-input-series-max", Kind::Integer),
    ("pe-warn-series-max", Kind::Integer),
    ("placement-strategy", Kind::OneOf(&["default", "utilization", "minimal", "balanced"])),
    ("priority-fencing-delay", Kind::Duration),
    ("shutdown-escalation", Kind::Duration),
    ("shutdown-lock", Kind::Boolean),
    ("shutdown-lock-limit", Kind::Duration),
    ("start-failure-is-fatal", Kind::Boolean),
    ("startup-fencing", Kind::Boolean),
    ("stop-all-resources", Kind::Boolean),
    ("cancel-removed-actions", Kind::Boolean),
    ("stop-removed-resources", Kind::Boolean),
    ("symmetric-cluster", Kind::Boolean),
    ("transition-delay", Kind::Duration),
];

const META_KINDS: &[(&str, Kind)] = &[
    ("allow-migrate", Kind::Boolean),
    ("allow-unhealthy-nodes", Kind::Boolean),
    ("clone-max", Kind::Integer),
    ("clone-min", Kind::Integer),
    ("clone-node-max", Kind::Integer),
    ("critical", Kind::Boolean),
    ("failure-timeout", Kind::Duration),
    ("globally-unique", Kind::Boolean),
    ("interleave", Kind::Boolean),
    ("is-managed", Kind::Boolean),
    ("lease", Kind::OneOf(&["on", "off"])),
    ("maintenance", Kind::Boolean),
    ("migration-threshold", Kind::Score),
    ("multiple-active", Kind::OneOf(&["stop_start", "stop_only", "block", "stop_unexpected"])),
    ("notify", Kind::Boolean),
    ("ordered", Kind::Boolean),
    ("priority", Kind::Score),
    ("promotable", Kind::Boolean),
    ("promoted-max", Kind::Integer),
    ("promoted-node-max", Kind::Integer),
    ("remote-allow-migrate", Kind::Boolean),
    ("requires", Kind::OneOf(&["nothing", "quorum", "fencing", "unfencing", "lease"])),
    ("resource-stickiness", Kind::Score),
    ("target-role", Kind::OneOf(&["Started", "Stopped", "Promoted", "Unpromoted"])),
];

const OPERATION_KINDS: &[(&str, Kind)] = &[
    ("timeout", Kind::Duration),
    ("start-delay", Kind::Duration),
    ("enabled", Kind::Boolean),
    ("record-pending", Kind::Boolean),
    ("role", Kind::OneOf(&["Started", "Stopped", "Promoted", "Unpromoted"])),
    (
        "on-fail",
        Kind::OneOf(&[
            "ignore",
            "block",
            "stop",
            "demote",
            "restart",
            "restart-container",
            "fence",
            "standby",
        ]),
    ),
];

/// What the value of a name must look like.
pub(in crate::crm) fn allowed(place: Place, name: &str) -> Option<Kind> {
    let table = match place {
        Place::Property => PROPERTY_KINDS,
        Place::Meta => META_KINDS,
        Place::Operation => OPERATION_KINDS,
    };
    table.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

pub(super) fn check(view: &View<'_>, findings: &mut Vec<Finding>) {
    for set in &view.cib.options {
        for pair in &set.pairs {
            if !crate::crm::names::PROPERTIES.contains(&pair.name.as_str()) {
                findings.push(unknown_property(&pair.name).about(named(&set.id)));
            }
        }
        values(set, named(&set.id), PROPERTY_KINDS, findings);
    }
    for set in &view.cib.rsc_defaults {
        meta(set, named(&set.id), findings);
    }
    for template in &view.cib.templates {
        template.meta.iter().for_each(|set| meta(set, &template.id, findings));
        operations(&template.operations, &template.id, findings);
    }
    for resource in &view.cib.resources {
        resource.meta().iter().for_each(|set| meta(set, resource.id(), findings));
    }
    for primitive in &view.primitives {
        let top = view.cib.resources.iter().any(
            |resource| matches!(resource, Resource::Primitive(other) if other.id == primitive.id),
        );
        if !top {
            primitive.meta.iter().for_each(|set| meta(set, &primitive.id, findings));
        }
        operations(&primitive.operations, &primitive.id, findings);
    }
}

fn meta(set: &NvSet, object: &str, findings: &mut Vec<Finding>) {
    for pair in &set.pairs {
        if !META.contains(&pair.name.as_str()) {
            findings.push(unknown_name("HV0309", "meta attribute", &pair.name, META).about(object));
        }
    }
    values(set, object, META_KINDS, findings);
}

fn values(set: &NvSet, object: &str, kinds: &[(&str, Kind)], findings: &mut Vec<Finding>) {
    for pair in &set.pairs {
        let value = pair.value.as_deref().unwrap_or_default();
        findings.extend(judge(&pair.name, value, kinds).map(|finding| finding.about(object)));
    }
}

fn operations(operations: &[Operation], object: &str, findings: &mut Vec<Finding>) {
    for (index, operation) in operations.iter().enumerate() {
        let interval = operation.interval.as_deref();
        if let Some(text) = interval.filter(|text| millis(text).is_none()) {
            findings.push(wrong("interval", text, Kind::Duration).about(object));
        }
        for (name, value) in &operation.options {
            findings.extend(judge(name, value, OPERATION_KINDS).map(|f| f.about(object)));
        }
        let every = |o: &Operation| millis(o.interval.as_deref().unwrap_or("0"));
        let recurs = every(operation).is_some_and(|millis| millis > 0);
        let same = |other: &&Operation| {
            recurs && other.name == operation.name && every(other) == every(operation)
        };
        if operations[..index].iter().any(|other| same(&other)) {
            let every = interval.map_or(String::new(), |interval| format!(" every {interval}"));
            let message = format!("the operation {}{every} is configured twice", operation.name);
            let fix = "give monitors of two roles different intervals, and remove other copies";
            findings.push(Finding::error("HV0314", message).about(object).fix(fix).overridable());
        }
    }
}

fn judge(name: &str, value: &str, kinds: &[(&str, Kind)]) -> Option<Finding> {
    let kind = kinds.iter().find(|(known, _)| *known == name)?.1;
    if value == "#default" {
        return None;
    }
    let fits = match kind {
        Kind::Boolean => boolean(value).is_some(),
        Kind::Score => score(value).is_some(),
        Kind::Duration => millis(value).is_some(),
        Kind::Integer => value.parse::<i32>().is_ok() || score(value).is_some(),
        Kind::OneOf(words) => words.iter().any(|word| word.eq_ignore_ascii_case(value)),
    };
    (!fits).then(|| wrong(name, value, kind))
}

fn wrong(name: &str, value: &str, kind: Kind) -> Finding {
    let (expected, near) = match kind {
        Kind::Boolean => ("true or false".to_owned(), nearest(value, ["true", "false"])),
        Kind::Score => ("a whole number, INFINITY or -INFINITY".to_owned(), None),
        Kind::Duration => ("a time such as 10s, 500ms, 5min or PT5M".to_owned(), None),
        Kind::Integer => ("a whole number".to_owned(), None),
        Kind::OneOf(words) => {
            (format!("one of {}", words.join(", ")), nearest(value, words.iter().copied()))
        }
    };
    Finding::error("HV0310", format!("{name} is \"{value}\", expected {expected}"))
        .near(near)
        .fix(format!("write {name}={}", near.unwrap_or("…")))
}

/// A duration in milliseconds: a number with an optional unit, or ISO 8601 with hours and smaller.
pub(super) fn millis(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(iso) = text.strip_prefix('P') {
        return iso_millis(iso.strip_prefix('T').unwrap_or(iso));
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "s" | "sec" => 1_000,
        "ms" | "msec" => 1,
        "us" | "usec" => return number.parse::<u64>().ok().map(|us| us / 1_000),
        "m" | "min" => 60_000,
        "h" | "hr" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn iso_millis(iso: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut number = String::new();
    for character in iso.chars() {
        let factor = match character {
            '0'..='9' => {
                number.push(character);
                continue;
            }
            'H' => 3_600_000,
            'M' => 60_000,
            'S' => 1_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        number.clear();
    }
    (number.is_empty() && !iso.is_empty()).then_some(total)
}
