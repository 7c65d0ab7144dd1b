//! From schemas 3.x and older: what 4.0 has no more.

use std::borrow::Cow;

use super::{each, element, section};
use crate::xml::Markup;

/// What something is to be done about wherever it stands; all but three are sets of named values.
const CHANGED: [&str; 7] = [
    "op",
    "op_defaults",
    "date_spec",
    "cluster_property_set",
    "instance_attributes",
    "meta_attributes",
    "utilization",
];

/// Meta attributes of operations that nothing heeds any more.
const UNHEEDED: [&str; 2] = ["can_fail", "role_after_failure"];

pub(super) fn upgrade(configuration: &mut Markup<'_>) {
    each(configuration, &CHANGED, &mut |e| match e.name {
        "op" | "op_defaults" => {
            for set in e.children.iter_mut().filter(|c| c.name == "meta_attributes") {
                set.children.retain(|p| !p.attr("name").is_some_and(|n| UNHEEDED.contains(&n)));
            }
        }
        "date_spec" => e.attributes.retain(|(n, _)| *n != "moon"),
        _ => one_of_each_name(e),
    });
    if let Some(constraints) = configuration.children.iter_mut().find(|c| c.name == "constraints") {
        one_rule_each(constraints);
        for c in &mut constraints.children {
            lifetime(c);
        }
    }
    ping_nodes(configuration);
}

/// Of several values of a name in one set the first counts, or the first after the last `#default`; a name without a
/// value does not count at all.
fn one_of_each_name(set: &mut Markup<'_>) {
    let is_pair = |p: &Markup<'_>| p.name == "nvpair" && p.attr("id-ref").is_none();
    set.children.retain(|p| !is_pair(p) || p.attr("value").is_some());
    let counts = |i: usize| {
        let pair = &set.children[i];
        let Some(name) = pair.attr("name").filter(|_| is_pair(pair)) else { return true };
        let same = |p: &&Markup<'_>| p.attr("name") == Some(name);
        let default = |p: &Markup<'_>| p.attr("value") == Some("#default");
        let mut after = set.children[i + 1..].iter().filter(same);
        if default(pair) {
            return after.next().is_none();
        }
        let nearest = set.children[..i].iter().rev().find(same);
        !after.any(default) && nearest.is_none_or(default)
    };
    let kept: Vec<bool> = (0..set.children.len()).map(counts).collect();
    let mut kept = kept.into_iter();
    set.children.retain(|_| kept.next().unwrap_or(true));
}

/// A location with several rules is as many locations.
fn one_rule_each(constraints: &mut Markup<'_>) {
    let count = |c: &Markup<'_>| c.children.iter().filter(|r| r.name == "rule").count();
    if !constraints.children.iter().any(|c| c.name == "rsc_location" && count(c) > 1) {
        return;
    }
    let old = std::mem::take(&mut constraints.children);
    for c in old {
        if c.name != "rsc_location" || count(&c) < 2 {
            constraints.children.push(c);
            continue;
        }
        let id = c.get("id").unwrap_or_default();
        let (rules, rest): (Vec<_>, Vec<_>) =
            c.children.iter().cloned().partition(|r| r.name == "rule");
        for (i, rule) in rules.into_iter().enumerate() {
            let mut one = c.clone();
            one.children.clone_from(&rest);
            one.children.push(rule);
            one.give("id", format!("{id}-{}", i + 1));
            constraints.children.push(one);
        }
    }
}

/// What limited a constraint in time is a part of its rule, for locations; for others it has no effect.
fn lifetime(c: &mut Markup<'_>) {
    let Some(at) = c.children.iter().position(|l| l.name == "lifetime") else { return };
    let times = c.children.remove(at).children;
    if c.name != "rsc_location" {
        return;
    }
    let id = c.get("id").unwrap_or_default();
    let own = match c.children.iter().position(|r| r.name == "rule") {
        Some(at) => c.children.remove(at),
        None => node_and_score(c, &id),
    };
    c.attributes.retain(|(n, _)| *n != "node" && *n != "score");
    let named = |what: &str| vec![("id", Cow::Owned(format!("{id}-lifetime-{what}")))];
    let mut both = element("rule", named("and"));
    both.attributes.push(("boolean-op", "and".into()));
    both.children.push(own);
    if times.len() > 1 {
        let mut any = element("rule", named("or"));
        any.attributes.push(("boolean-op", "or".into()));
        any.children = times;
        both.children.push(any);
    } else {
        both.children.extend(times);
    }
    c.children.push(both);
}

/// The rule that says what a location's node and score say.
fn node_and_score<'a>(c: &Markup<'a>, id: &str) -> Markup<'a> {
    let attribute = |name: &str| {
        let found = c.attributes.iter().find(|(n, _)| *n == name);
        found.map_or(Cow::Borrowed(""), |(_, v)| v.clone())
    };
    let rule_id = format!("{id}-node-score");
    let mut test = element("expression", vec![("id", Cow::Owned(format!("{rule_id}-expr")))]);
    test.attributes.extend([
        ("attribute", "#uname".into()),
        ("operation", "eq".into()),
        ("value", attribute("node")),
    ]);
    let mut rule = element("rule", vec![("id", rule_id.into()), ("score", attribute("score"))]);
    rule.children.push(test);
    rule
}

/// A ping node is a member on which nothing may run.
fn ping_nodes(configuration: &mut Markup<'_>) {
    let mut names = Vec::new();
    each(configuration, &["node"], &mut |n| {
        if n.attr("type") == Some("ping") {
            n.replace("type", "member");
            names.extend(n.get("uname"));
        }
    });
    if names.is_empty() {
        return;
    }
    let constraints = section(configuration, "constraints");
    for name in names {
        let mut ban = element("rsc_location", vec![("id", format!("ping-node-{name}").into())]);
        ban.attributes.extend([
            ("rsc-pattern", ".*".into()),
            ("node", name.into()),
            ("score", "-INFINITY".into()),
            ("resource-discovery", "never".into()),
        ]);
        constraints.children.push(ban);
    }
}
