//! From schemas 2.x and older: what 3.0 has no more or keeps elsewhere.

use std::borrow::Cow;

use super::{each, element, section};
use crate::xml::Markup;

/// Options that went to defaults: the old name without its marks, the section, the name there.
const MOVED: [(&str, &str, &str); 3] = [
    ("default-action-timeout", "op_defaults", "timeout"),
    ("default-resource-stickiness", "rsc_defaults", "resource-stickiness"),
    ("is-managed-default", "rsc_defaults", "is-managed"),
];

/// Options that went with nothing instead.
const GONE: [&str; 4] = [
    "default-migration-threshold",
    "expected-quorum-votes",
    "notification-agent",
    "notification-recipient",
];

/// Options that were also written with underscores.
const UNDERSCORES: [&str; 13] = [
    "cluster-recheck-interval",
    "dc-deadtime",
    "election-timeout",
    "no-quorum-policy",
    "remove-after-stop",
    "shutdown-escalation",
    "startup-fencing",
    "stonith-action",
    "stonith-enabled",
    "stop-orphan-actions",
    "stop-orphan-resources",
    "symmetric-cluster",
    "transition-idle-timeout",
];

/// Settings of an operation that stood among its parameters.
const SETTINGS: [&str; 7] =
    ["interval-origin", "start-delay", "enabled", "on-fail", "record-pending", "role", "timeout"];

/// Values on their way to another place: section, name, value, and the rule they came with.
struct Moved<'a> {
    section: &'static str,
    name: &'static str,
    value: Cow<'a, str>,
    rule: Option<Markup<'a>>,
}

pub(super) fn upgrade(configuration: &mut Markup<'_>) {
    let mut moved = Vec::new();
    each(configuration, &["cluster_property_set"], &mut |set| options(set, &mut moved));
    for m in moved {
        to_defaults(configuration, m);
    }
    each(configuration, &["node"], &mut |n| {
        if n.attr("type") == Some("normal") {
            n.replace("type", "member");
        }
    });
    each(configuration, &["primitive", "template"], &mut |p| primitive(p));
}

fn options<'a>(set: &mut Markup<'a>, moved: &mut Vec<Moved<'a>>) {
    let rule = set.child("rule").cloned();
    set.children.retain_mut(|pair| {
        let Some(name) = pair.get("name").map(|n| n.replace('_', "-")) else { return true };
        if let Some((_, section, name)) = MOVED.iter().find(|(old, _, _)| *old == name) {
            let value = pair.take("value");
            moved.extend(value.map(|value| Moved { section, name, value, rule: rule.clone() }));
            return false;
        }
        if name == "default-resource-failure-stickiness" {
            if pair.attr("value") == Some("-INFINITY") {
                let (section, name, value) = ("rsc_defaults", "migration-threshold", "1".into());
                moved.push(Moved { section, name, value, rule: rule.clone() });
            }
            return false;
        }
        match UNDERSCORES.iter().find(|known| **known == name) {
            Some(&"transition-idle-timeout") => pair.replace("name", "cluster-delay"),
            Some(known) => pair.replace("name", known),
            None => {}
        }
        !GONE.contains(&name.as_str())
    });
}

/// Adds a value to the first defaults without a rule; what has a rule gets a set of its own.
fn to_defaults<'a>(configuration: &mut Markup<'a>, moved: Moved<'a>) {
    let Moved { section: name, name: value_name, value, rule } = moved;
    let defaults = section(configuration, name);
    let plain = |c: &Markup<'_>| c.name == "meta_attributes" && c.child("rule").is_none();
    let at = defaults.children.iter().position(plain).filter(|_| rule.is_none());
    let at = at.unwrap_or_else(|| {
        let id = format!("{name}-from-options-{}", defaults.children.len());
        let mut set = element("meta_attributes", vec![("id", id.into())]);
        set.children.extend(rule);
        defaults.children.push(set);
        defaults.children.len() - 1
    });
    defaults.children[at].children.push(pair(value_name, value));
}

fn pair<'a>(name: &'a str, value: Cow<'a, str>) -> Markup<'a> {
    element("nvpair", vec![("name", name.into()), ("value", value)])
}

fn primitive(p: &mut Markup<'_>) {
    for set in &mut p.children {
        match set.name {
            "meta_attributes" => set.children.retain_mut(meta),
            "instance_attributes" => set.children.retain_mut(parameter),
            _ => {}
        }
    }
    let (mut from_attributes, mut from_sets) = (Vec::new(), Vec::new());
    for operations in p.children.iter_mut().filter(|c| c.name == "operations") {
        for op in operations.children.iter_mut().filter(|c| c.name == "op") {
            operation(op, &mut from_attributes, &mut from_sets);
        }
    }
    let id = p.get("id").unwrap_or_default();
    for (i, found) in [from_attributes, from_sets].into_iter().enumerate() {
        if !found.is_empty() {
            let set_id = format!("{id}-from-operations-{i}");
            let mut set = element("meta_attributes", vec![("id", set_id.into())]);
            set.children = found;
            p.children.push(set);
        }
    }
}

/// Whether a meta attribute stays, under its present name.
fn meta(pair: &mut Markup<'_>) -> bool {
    match pair.get("name").as_deref() {
        Some("isolation" | "isolation-host" | "isolation-instance" | "isolation-wrapper") => false,
        Some("resource-failure-stickiness" | "resource_failure_stickiness") => {
            let never_again = pair.attr("value") == Some("-INFINITY");
            pair.replace("name", "migration-threshold");
            pair.replace("value", "1");
            never_again
        }
        _ => true,
    }
}

/// Whether a parameter stays, under its present name.
fn parameter(pair: &mut Markup<'_>) -> bool {
    let new = match pair.get("name").as_deref() {
        Some("pcmk_list_cmd") => "pcmk_list_action",
        Some("pcmk_monitor_cmd") => "pcmk_monitor_action",
        Some("pcmk_off_cmd") => "pcmk_off_action",
        Some("pcmk_on_cmd") => "pcmk_on_action",
        Some("pcmk_reboot_cmd") => "pcmk_reboot_action",
        Some("pcmk_status_cmd") => "pcmk_status_action",
        Some("pcmk_arg_map") => {
            let Some(argument) = pair.get("value").and_then(port) else { return false };
            pair.give("value", argument);
            "pcmk_host_argument"
        }
        _ => return true,
    };
    pair.replace("name", new);
    true
}

/// The parameter that took the name of the node.
fn port(map: String) -> Option<String> {
    map.strip_prefix("port:").map(str::to_owned)
}

/// What an operation requires is what its resource requires, if it is a start or a promotion.
fn operation<'a>(
    op: &mut Markup<'a>,
    from_attributes: &mut Vec<Markup<'a>>,
    from_sets: &mut Vec<Markup<'a>>,
) {
    let counts = matches!(op.attr("name"), Some("start" | "promote"));
    if let Some(value) = op.take("requires").filter(|_| counts) {
        from_attributes.push(pair("requires", value));
    }
    let mut settings = Vec::new();
    for set in &mut op.children {
        let parameters = set.name == "instance_attributes";
        if !parameters && set.name != "meta_attributes" {
            continue;
        }
        set.children.retain(|p| match p.attr("name") {
            Some("requires") => {
                from_sets.extend(counts.then(|| p.clone()));
                false
            }
            Some(name) if parameters && SETTINGS.contains(&name) => {
                settings.push(p.clone());
                false
            }
            _ => true,
        });
    }
    if !settings.is_empty() {
        let id = format!("{}-settings", op.get("id").unwrap_or_default());
        let mut set = element("meta_attributes", vec![("id", id.into())]);
        set.children = settings;
        op.children.push(set);
    }
}
