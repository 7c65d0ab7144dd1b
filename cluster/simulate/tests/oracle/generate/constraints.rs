//! Locations, colocations, orders and tickets.

use haven_cib::xml::Element;

use super::{Dice, Plan, Target, element};

pub(crate) fn constraints(d: &mut Dice, plan: &mut Plan) -> Element {
    let mut section = Element::new("constraints");
    if plan.targets.is_empty() {
        return section;
    }
    let many = plan.targets.len();
    for i in 0..d.below(2 + many) {
        section.children.push(location(d, plan, i));
    }
    if many > 1 {
        for i in 0..d.below(1 + many) {
            section.children.push(colocation(d, plan, i));
        }
        for i in 0..d.below(1 + many) {
            section.children.push(order(d, plan, i));
        }
    }
    if d.percent(12) {
        section.children.push(location_set(d, plan));
    }
    if d.percent(12) {
        for i in 0..1 + d.below(2) {
            let ticket = format!("ticket{i}");
            section.children.push(ticket_constraint(d, plan, &ticket));
            plan.tickets.push(ticket);
        }
    }
    section
}

fn target(d: &mut Dice, plan: &Plan) -> Target {
    plan.targets[d.below(plan.targets.len())].clone()
}

/// Two different ones.
fn two(d: &mut Dice, plan: &Plan) -> (Target, Target) {
    let first = target(d, plan);
    loop {
        let other = target(d, plan);
        if other.id != first.id {
            return (first, other);
        }
    }
}

fn role(d: &mut Dice, t: &Target) -> Option<&'static str> {
    (t.promotable && d.percent(50))
        .then(|| d.pick(&["Promoted", "Promoted", "Started", "Unpromoted"]))
}

fn location(d: &mut Dice, plan: &Plan, i: usize) -> Element {
    let t = target(d, plan);
    let id = format!("loc{i}");
    let mut e = element("rsc_location", &[("id", &id), ("rsc", &t.id)]);
    let everyone: Vec<String> = plan.nodes.iter().chain(&plan.remotes).cloned().collect();
    if d.percent(65) {
        if let Some(role) = role(d, &t) {
            e.push("role", role);
        }
        e.push("node", d.pick_string(&everyone));
        e.push("score", d.score());
        if d.percent(12) {
            e.push("resource-discovery", d.pick(&["always", "never", "exclusive"]));
        }
        return e;
    }
    let rule_id = format!("{id}-rule");
    let mut rule = element("rule", &[("id", &rule_id)]);
    if let Some(role) = role(d, &t) {
        rule.push("role", role);
    }
    if d.percent(15) {
        rule.push("score-attribute", "rank");
    } else {
        rule.push("score", d.score());
    }
    let terms = 1 + d.below(2);
    if terms > 1 {
        rule.push("boolean-op", d.pick(&["and", "or"]));
    }
    for k in 0..terms {
        rule.children.push(term(d, &everyone, &format!("{rule_id}-{k}")));
    }
    e.children.push(rule);
    e
}

/// One location for several resources, named by a set, a tag or a pattern.
fn location_set(d: &mut Dice, plan: &Plan) -> Element {
    let mut e = element("rsc_location", &[("id", "locset")]);
    match d.below(3) {
        0 => e.push("rsc-pattern", d.pick(&["^p", "[0-3]$", "g.*", "c"])),
        1 if plan.tagged => e.push("rsc", "some"),
        _ => {
            let (a, b) =
                if plan.targets.len() > 1 { two(d, plan) } else { return location(d, plan, 99) };
            let mut set = element("resource_set", &[("id", "locset-set")]);
            set.children.push(element("resource_ref", &[("id", &a.id)]));
            set.children.push(element("resource_ref", &[("id", &b.id)]));
            e.children.push(set);
        }
    }
    e.push("node", d.pick_string(&plan.nodes));
    e.push("score", d.score());
    e
}

fn term(d: &mut Dice, nodes: &[String], id: &str) -> Element {
    match d.below(9) {
        6 => {
            let mut e = element(
                "date_expression",
                &[
                    ("id", id),
                    ("operation", "in_range"),
                    ("start", "2023-11-01"),
                    ("end", "2023-12-01"),
                ],
            );
            if d.percent(50) {
                e.remove("end");
                let mut length = element("duration", &[("id", &format!("{id}-length"))]);
                length.push("days", d.pick(&["10", "20"]));
                e.children.push(length);
            }
            e
        }
        7 => {
            let mut e = element("date_expression", &[("id", id), ("operation", "date_spec")]);
            let mut spec = element("date_spec", &[("id", &format!("{id}-spec"))]);
            spec.push("hours", d.pick(&["9-17", "20-23", "22"]));
            if d.percent(50) {
                spec.push("weekdays", d.pick(&["1-5", "6-7", "2"]));
            }
            e.children.push(spec);
            e
        }
        8 => {
            let mut e = element("rule", &[("id", id), ("boolean-op", d.pick(&["and", "or"]))]);
            for k in 0..2 {
                e.children.push(element(
                    "expression",
                    &[
                        ("id", &format!("{id}-{k}")),
                        ("attribute", d.pick(&["site", "#site-name", "zone"])),
                        ("operation", d.pick(&["eq", "ne"])),
                        ("value", d.pick(&["a", "b"])),
                    ],
                ));
            }
            e
        }
        0 => element(
            "expression",
            &[
                ("id", id),
                ("attribute", "#uname"),
                ("operation", d.pick(&["eq", "ne"])),
                ("value", &d.pick_string(nodes)),
            ],
        ),
        1 => element(
            "expression",
            &[
                ("id", id),
                ("attribute", "site"),
                ("operation", d.pick(&["defined", "not_defined"])),
            ],
        ),
        2 => element(
            "expression",
            &[
                ("id", id),
                ("attribute", "site"),
                ("operation", d.pick(&["eq", "ne"])),
                ("value", d.pick(&["a", "b"])),
            ],
        ),
        3 => element(
            "expression",
            &[
                ("id", id),
                ("attribute", "rank"),
                ("operation", d.pick(&["lt", "gte", "gt", "lte"])),
                ("value", "100"),
                ("type", d.pick(&["number", "string", "integer"])),
            ],
        ),
        4 => element(
            "date_expression",
            &[("id", id), ("operation", "gt"), ("start", d.pick(&["2020-01-01", "2030-01-01"]))],
        ),
        _ => element(
            "expression",
            &[("id", id), ("attribute", "#kind"), ("operation", "eq"), ("value", "cluster")],
        ),
    }
}

fn colocation(d: &mut Dice, plan: &Plan, i: usize) -> Element {
    let id = format!("col{i}");
    if d.percent(12) && plan.targets.len() > 2 {
        let mut e = element("rsc_colocation", &[("id", &id), ("score", &d.score())]);
        sets(d, plan, &id, &mut e, false);
        return e;
    }
    let (a, b) = two(d, plan);
    let mut e = element("rsc_colocation", &[("id", &id), ("rsc", &a.id), ("with-rsc", &b.id)]);
    e.push("score", d.score());
    if let Some(r) = role(d, &a) {
        e.push("rsc-role", r);
    }
    if let Some(r) = role(d, &b) {
        e.push("with-rsc-role", r);
    }
    if d.percent(8) {
        e.push("influence", "false");
    }
    if d.percent(8) {
        e.push("node-attribute", "site");
    }
    e
}

fn order(d: &mut Dice, plan: &Plan, i: usize) -> Element {
    let id = format!("ord{i}");
    let mut e = element("rsc_order", &[("id", &id)]);
    if d.percent(70) {
        e.push("kind", d.pick(&["Mandatory", "Optional", "Serialize", "Mandatory"]));
    }
    if d.percent(12) && plan.targets.len() > 2 {
        sets(d, plan, &id, &mut e, true);
        return e;
    }
    let (a, b) = two(d, plan);
    e.push("first", a.id.as_str());
    e.push("then", b.id.as_str());
    if d.percent(25) {
        let actions = ["start", "stop", "promote", "demote"];
        e.push("first-action", d.pick(&actions[..if a.promotable { 4 } else { 2 }]));
    }
    if d.percent(20) {
        let actions = ["start", "stop", "promote", "demote"];
        e.push("then-action", d.pick(&actions[..if b.promotable { 4 } else { 2 }]));
    }
    if d.percent(20) {
        e.push("symmetrical", d.pick(&["true", "false"]));
    }
    e
}

fn sets(d: &mut Dice, plan: &Plan, id: &str, e: &mut Element, order: bool) {
    let mut free = plan.targets.clone();
    for k in 0..1 + d.below(2) {
        let mut set = element("resource_set", &[("id", &format!("{id}-set{k}"))]);
        if d.percent(40) {
            set.push("sequential", d.pick(&["true", "false"]));
        }
        if !order && d.percent(20) && free.iter().all(|t| t.promotable) {
            set.push("role", "Promoted");
        }
        if order && d.percent(15) {
            set.push("action", d.pick(&["start", "stop"]));
        }
        if order && d.percent(25) {
            set.push("require-all", "false");
            if set.attr("sequential").is_none() {
                set.push("sequential", "false");
            }
        }
        let count = (1 + d.below(3)).min(free.len());
        for _ in 0..count {
            let t = free.remove(d.below(free.len()));
            set.children.push(element("resource_ref", &[("id", &t.id)]));
        }
        if set.children.is_empty() {
            break;
        }
        e.children.push(set);
    }
}

fn ticket_constraint(d: &mut Dice, plan: &Plan, ticket: &str) -> Element {
    let t = target(d, plan);
    if d.percent(20) && plan.targets.len() > 1 {
        let mut e = element("rsc_ticket", &[("id", &format!("{ticket}-sets")), ("ticket", ticket)]);
        sets(d, plan, &format!("{ticket}-sets"), &mut e, false);
        e.push("loss-policy", d.pick(&["stop", "fence", "freeze"]));
        return e;
    }
    let mut e = element(
        "rsc_ticket",
        &[("id", &format!("{ticket}-{}", t.id)), ("ticket", ticket), ("rsc", &t.id)],
    );
    if let Some(r) = role(d, &t) {
        e.push("rsc-role", r);
    }
    if d.percent(60) {
        e.push("loss-policy", d.pick(&["stop", "demote", "fence", "freeze"]));
    }
    e
}
