//! Saved clusters with a few things changed: a score, an option, a state, a result, a constraint more.

mod state;

use haven_cib::xml::Element;

use crate::generate::{Dice, NOW, element, owned, pairs};

/// What a document has that changes may name.
#[derive(Default)]
struct Known {
    /// Primitives, groups, clones, bundles.
    resources: Vec<String>,
    /// Those that may be promoted.
    promotable: Vec<String>,
    nodes: Vec<String>,
}

const RESOURCES: [&str; 5] = ["primitive", "group", "clone", "master", "bundle"];

fn collect(e: &Element, known: &mut Known) {
    let name = e.name.as_str();
    if let Some(id) = e.get("id").filter(|_| RESOURCES.contains(&name)) {
        let promoted = e.children.iter().any(|c| c.attr("promoted-max").is_some());
        let meta = e.children.iter().flat_map(|c| &c.children);
        if name == "master" || promoted || meta.clone().any(is_promotable) {
            known.promotable.push(id.clone());
        }
        let guests = meta.filter(|p| p.attr("name") == Some("remote-node"));
        known.nodes.extend(guests.filter_map(|p| p.get("value")));
        if e.attr("class") == Some("ocf") && e.attr("type") == Some("remote") {
            known.nodes.push(id.clone());
        }
        known.resources.push(id);
    }
    if name == "node" {
        known.nodes.extend(e.get("uname"));
    }
    e.children.iter().for_each(|c| collect(c, known));
}

fn is_promotable(pair: &Element) -> bool {
    pair.attr("name") == Some("promotable") && pair.attr("value") == Some("true")
}

/// All elements of these names, by their paths.
fn paths(e: &Element, names: &[&str]) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    for (i, child) in e.children.iter().enumerate() {
        if names.contains(&child.name.as_str()) {
            found.push(vec![i]);
        }
        for mut path in paths(child, names) {
            path.insert(0, i);
            found.push(path);
        }
    }
    found
}

fn at<'a>(e: &'a mut Element, path: &[usize]) -> &'a mut Element {
    path.iter().fold(e, |e, i| &mut e.children[*i])
}

/// One of the elements of these names.
fn any<'a>(d: &mut Dice, e: &'a mut Element, names: &[&str]) -> Option<&'a mut Element> {
    let all = paths(e, names);
    (!all.is_empty()).then(|| at(e, &all[d.below(all.len())]))
}

/// Takes one of the elements of these names out.
fn take(d: &mut Dice, e: &mut Element, names: &[&str]) -> Option<Element> {
    let all = paths(e, names);
    let (last, parent) = all.get(d.below(all.len()))?.split_last()?;
    Some(at(e, parent).children.remove(*last))
}

/// The section of this name; made if there is none.
fn section<'a>(cib: &'a mut Element, outer: &str, name: &str) -> &'a mut Element {
    let outer = cib.children.iter_mut().find(|c| c.name == outer).unwrap();
    if outer.child(name).is_none() {
        outer.children.push(Element::new(name));
    }
    outer.children.iter_mut().find(|c| c.name == name).unwrap()
}

/// Sets a name-value pair in the first set of this kind without a rule.
fn set_pair(e: &mut Element, kind: &str, name: &str, value: &str, tag: usize) {
    let plain = |c: &&mut Element| {
        c.name == kind && c.child("rule").is_none() && c.attr("id-ref").is_none()
    };
    let fresh = format!("changed-{tag}-{name}").replace(['#', ':', '@'], "_");
    let Some(set) = e.children.iter_mut().find(plain) else {
        let list = [(name.to_owned(), value.to_owned())];
        let mut set = pairs(kind, &format!("changed-{tag}"), &list);
        set.children[0].set("id", fresh);
        // The schema wants operations after sets, what is contained after both.
        let after = e.children.iter().take_while(|c| c.name.ends_with("attributes")).count();
        e.children.insert(after, set);
        return;
    };
    match set.children.iter_mut().find(|p| p.attr("name") == Some(name)) {
        Some(pair) if pair.attr("id-ref").is_none() => pair.set("value", value),
        _ => set
            .children
            .push(element("nvpair", &[("id", &fresh), ("name", name), ("value", value)])),
    }
}

/// A document, changed at some places, at a time that is settled.
pub(crate) fn changed(seed: u64, cib: &Element) -> Element {
    let mut dice = Dice::new(seed ^ 0x000c_4a96);
    let d = &mut dice;
    let mut out = cib.clone();
    let mut known = Known::default();
    collect(cib, &mut known);
    if out.attr("execution-date").is_none() {
        out.push("execution-date", NOW.to_string());
    }
    if known.nodes.is_empty() || known.resources.is_empty() {
        return out;
    }
    for tag in 0..1 + d.below(5) {
        change(d, &mut out, &known, tag);
    }
    out
}

fn change(d: &mut Dice, cib: &mut Element, known: &Known, tag: usize) {
    match d.below(26) {
        0..=2 => option(d, cib, tag),
        3..=6 => meta(d, cib, tag),
        7..=8 => operation(d, cib, tag),
        9..=11 => constraint(d, cib, known),
        12..=15 => constraint_more(d, cib, known, tag),
        16 => drop(take(d, cib, &["rsc_location", "rsc_colocation", "rsc_order", "rsc_ticket"])),
        17..=18 => state::node_state(d, cib),
        19..=20 => state::transient(d, cib, known, tag),
        21..=22 => state::result(d, cib),
        23 => state::entry(d, cib),
        24 => state::node(d, cib, tag),
        _ => state::ticket(d, cib),
    }
}

fn option(d: &mut Dice, cib: &mut Element, tag: usize) {
    const OPTIONS: [(&str, &[&str]); 24] = [
        ("no-quorum-policy", &["ignore", "stop", "freeze", "demote", "suicide", "fence"]),
        ("symmetric-cluster", &["false", "true"]),
        ("maintenance-mode", &["true", "false"]),
        ("stop-all-resources", &["true"]),
        ("concurrent-fencing", &["false", "true"]),
        ("start-failure-is-fatal", &["false", "true"]),
        ("enable-startup-probes", &["false", "true"]),
        ("startup-fencing", &["false", "true"]),
        ("node-health-strategy", &["migrate-on-red", "only-green", "progressive", "custom"]),
        ("node-health-base", &["10", "-10"]),
        ("node-health-red", &["-20", "0"]),
        ("node-health-yellow", &["5", "-INFINITY"]),
        ("stop-orphan-resources", &["false", "true"]),
        ("stop-orphan-actions", &["false", "true"]),
        ("priority-fencing-delay", &["15s", "0", "2min"]),
        ("shutdown-lock", &["true", "false"]),
        ("shutdown-lock-limit", &["0", "10min", "20000d"]),
        ("stonith-action", &["off", "reboot"]),
        ("stonith-enabled", &["true", "false"]),
        ("stonith-timeout", &["30s", "2min"]),
        ("migration-limit", &["2", "0", "-1"]),
        ("node-pending-timeout", &["2h", "10s", "0"]),
        ("placement-strategy", &["utilization", "balanced", "minimal", "default"]),
        ("have-watchdog", &["true", "false"]),
    ];
    let (name, values) = OPTIONS[d.below(OPTIONS.len())];
    let value = d.pick(values).to_owned();
    let config = section(cib, "configuration", "crm_config");
    if config.children.is_empty() {
        config.children.push(element("cluster_property_set", &[("id", "options")]));
    }
    let mut holder = Element::new("holder");
    std::mem::swap(&mut holder.children, &mut config.children);
    set_pair(&mut holder, "cluster_property_set", name, &value, tag);
    std::mem::swap(&mut holder.children, &mut config.children);
}

fn meta(d: &mut Dice, cib: &mut Element, tag: usize) {
    const META: [(&str, &[&str]); 27] = [
        ("priority", &["1", "5", "-1", "INFINITY"]),
        ("resource-stickiness", &["0", "1", "100", "INFINITY", "-5"]),
        ("target-role", &["Stopped", "Started", "Master", "Slave", "Promoted", "Unpromoted"]),
        ("is-managed", &["false", "true"]),
        ("maintenance", &["true", "false"]),
        ("migration-threshold", &["1", "2", "3", "0"]),
        ("failure-timeout", &["30s", "10min", "20000d"]),
        ("requires", &["nothing", "quorum", "fencing", "unfencing"]),
        ("critical", &["false", "true"]),
        ("multiple-active", &["stop_only", "block", "stop_start", "stop_unexpected"]),
        ("allow-migrate", &["true", "false"]),
        ("allow-unhealthy-nodes", &["true"]),
        ("restart-type", &["restart", "ignore"]),
        ("remote-allow-migrate", &["false"]),
        ("container-attribute-target", &["host"]),
        ("clone-max", &["1", "2", "3", "0"]),
        ("clone-node-max", &["1", "2", "3"]),
        ("clone-min", &["1", "2"]),
        ("promoted-max", &["1", "2", "0"]),
        ("promoted-node-max", &["1", "2"]),
        ("globally-unique", &["true", "false"]),
        ("promotable", &["true", "false"]),
        ("interleave", &["true", "false"]),
        ("ordered", &["true", "false"]),
        ("collocated", &["true", "false"]),
        ("notify", &["true", "false"]),
        ("target-role", &["Stopped"]),
    ];
    if d.percent(10) {
        let defaults = section(cib, "configuration", "rsc_defaults");
        let (name, values) = META[d.below(10)];
        let list = owned(&[(name, d.pick(values))]);
        defaults.children.push(pairs("meta_attributes", &format!("changed-{tag}"), &list));
        return;
    }
    let Some(e) = any(d, cib, &RESOURCES) else { return };
    let single = e.name == "primitive" || e.name == "group" || e.name == "bundle";
    let (name, values) = META[d.below(if single { 15 } else { META.len() })];
    let value = d.pick(values).to_owned();
    if e.name != "bundle" {
        set_pair(e, "meta_attributes", name, &value, tag);
    } else if let Some(c) = e.children.iter_mut().find(|c| c.attr("image").is_some()) {
        let (name, most) =
            [("replicas", 4), ("promoted-max", 3), ("replicas-per-host", 3)][d.below(3)];
        c.set(name, d.below(most).max(1).to_string());
    }
}

fn operation(d: &mut Dice, cib: &mut Element, tag: usize) {
    if d.percent(60) {
        let Some(op) = any(d, cib, &["op"]) else { return };
        let values: &[(&str, &[&str])] = &[
            ("on-fail", &["ignore", "block", "stop", "restart", "fence", "standby", "demote"]),
            ("on-fail", &["restart-container", "reset-remote"]),
            ("timeout", &["31s", "2min"]),
            ("enabled", &["false", "true"]),
            ("record-pending", &["false", "true"]),
            ("start-delay", &["5s", "0"]),
            ("interval-origin", &["2023-11-01"]),
            ("role", &["Started", "Stopped", "Master", "Slave"]),
        ];
        let (name, list) = values[d.below(values.len())];
        let value = d.pick(list).to_owned();
        let interval = op.attr("interval").unwrap_or("0");
        if name == "role" && interval.starts_with('0') {
            return;
        }
        if name == "interval-origin" {
            op.remove("start-delay");
        }
        if name == "start-delay" {
            op.remove("interval-origin");
        }
        op.set(name, value);
        return;
    }
    let Some(e) = any(d, cib, &["primitive"]) else { return };
    if e.child("operations").is_none() {
        let after = e.children.iter().take_while(|c| c.name.ends_with("attributes")).count();
        e.children.insert(after, Element::new("operations"));
    }
    let ops = e.children.iter_mut().find(|c| c.name == "operations").unwrap();
    let id = format!("changed-op-{tag}");
    let name = d.pick(&["monitor", "monitor", "start", "stop", "promote", "demote", "migrate_to"]);
    let interval = if name == "monitor" { d.pick(&["7s", "10s", "61s"]) } else { "0" };
    let mut op = element("op", &[("id", &id), ("name", name), ("interval", interval)]);
    if d.percent(50) {
        op.push("on-fail", d.pick(&["ignore", "block", "stop", "restart", "fence", "standby"]));
    }
    if name == "monitor" && d.percent(50) {
        op.push("role", d.pick(&["Stopped", "Promoted", "Unpromoted", "Started"]));
    }
    ops.children.push(op);
}

const ROLES: [&str; 4] = ["Promoted", "Started", "Unpromoted", "Stopped"];

fn constraint(d: &mut Dice, cib: &mut Element, known: &Known) {
    let names =
        ["rsc_location", "rsc_colocation", "rsc_order", "rsc_ticket", "resource_set", "rule"];
    let Some(c) = any(d, cib, &names) else { return };
    let name = c.name.clone();
    match name.as_str() {
        "rsc_location" => match d.below(3) {
            0 if c.attr("node").is_some() => c.set("node", d.pick_string(&known.nodes)),
            1 if c.attr("rsc").is_some() => c.set("rsc", d.pick_string(&known.resources)),
            _ if c.attr("score").is_some() => c.set("score", d.score()),
            _ => c.set("resource-discovery", d.pick(&["always", "never", "exclusive"])),
        },
        "rsc_colocation" => match d.below(6) {
            0 => c.set("influence", d.pick(&["true", "false"])),
            1 if c.attr("rsc").is_some() => c.set("rsc-role", d.pick(&ROLES[..3])),
            2 if c.attr("rsc").is_some() => c.set("with-rsc-role", d.pick(&ROLES[..3])),
            3 if c.attr("rsc").is_some() => c.set("with-rsc", d.pick_string(&known.resources)),
            _ => c.set("score", d.score()),
        },
        "rsc_order" => match d.below(5) {
            0 if c.attr("first").is_some() => {
                c.set("first-action", d.pick(&["start", "stop", "promote", "demote"]));
            }
            1 if c.attr("first").is_some() => {
                c.set("then-action", d.pick(&["start", "stop", "promote", "demote"]));
            }
            2 => c.set("symmetrical", d.pick(&["true", "false"])),
            3 if c.attr("first").is_some() => c.set("then", d.pick_string(&known.resources)),
            _ => {
                c.remove("score");
                c.set("kind", d.pick(&["Mandatory", "Optional", "Serialize"]));
            }
        },
        "rsc_ticket" => c.set("loss-policy", d.pick(&["stop", "demote", "fence", "freeze"])),
        "rule" => {
            if c.attr("score").is_some() {
                c.set("score", d.score());
            }
        }
        _ => {
            let name = d.pick(&["sequential", "require-all"]);
            c.set(name, d.pick(&["true", "false"]));
        }
    }
}

fn sets(d: &mut Dice, known: &Known, id: &str, order: bool, out: &mut Element) {
    let mut free = known.resources.clone();
    for k in 0..1 + d.below(3) {
        let mut set = element("resource_set", &[("id", &format!("{id}-{k}"))]);
        if d.percent(50) {
            set.push("sequential", d.pick(&["true", "false"]));
        }
        if order && d.percent(40) {
            set.push("require-all", d.pick(&["true", "false"]));
        }
        if order && d.percent(20) {
            set.push("action", d.pick(&["start", "stop", "promote", "demote"]));
        }
        if !order && d.percent(20) {
            set.push("role", d.pick(&ROLES[..3]));
        }
        for _ in 0..(1 + d.below(3)).min(free.len()) {
            let member = free.remove(d.below(free.len()));
            set.children.push(element("resource_ref", &[("id", &member)]));
        }
        if !set.children.is_empty() {
            out.children.push(set);
        }
    }
}

fn new_location(d: &mut Dice, known: &Known, id: &str, a: &str) -> Element {
    let (node, score) = (d.pick_string(&known.nodes), d.score());
    let mut c = element("rsc_location", &[("id", id), ("rsc", a), ("node", &node)]);
    c.push("score", score);
    if d.percent(30) {
        c.push("role", d.pick(&ROLES[..3]));
    }
    if d.percent(20) {
        c.push("resource-discovery", d.pick(&["always", "never", "exclusive"]));
    }
    c
}

fn new_colocation(d: &mut Dice, id: &str, a: &str, b: &str) -> Element {
    let mut c = element("rsc_colocation", &[("id", id), ("rsc", a), ("with-rsc", b)]);
    c.push("score", d.score());
    if d.percent(30) {
        c.push("rsc-role", d.pick(&ROLES[..3]));
    }
    if d.percent(30) {
        c.push("with-rsc-role", d.pick(&ROLES[..3]));
    }
    if d.percent(15) {
        c.push("influence", "false");
    }
    if d.percent(10) {
        c.push("node-attribute", d.pick(&["site", "#kind", "#site-name"]));
    }
    c
}

fn new_order(d: &mut Dice, id: &str, a: &str, b: &str) -> Element {
    let mut c = element("rsc_order", &[("id", id), ("first", a), ("then", b)]);
    c.push("kind", d.pick(&["Mandatory", "Mandatory", "Optional", "Serialize"]));
    if d.percent(25) {
        c.push("first-action", d.pick(&["start", "stop", "promote", "demote"]));
    }
    if d.percent(25) {
        c.push("then-action", d.pick(&["start", "stop", "promote", "demote"]));
    }
    if d.percent(20) {
        c.push("symmetrical", "false");
    }
    c
}

fn new_sets_or_ticket(d: &mut Dice, known: &Known, id: &str, a: &str, kind: usize) -> Element {
    match kind {
        6 => {
            let mut c = element("rsc_order", &[("id", id)]);
            c.push("kind", d.pick(&["Mandatory", "Optional", "Serialize"]));
            sets(d, known, id, true, &mut c);
            c
        }
        7 => {
            let mut c = element("rsc_colocation", &[("id", id), ("score", &d.score())]);
            sets(d, known, id, false, &mut c);
            c
        }
        _ => {
            let ticket = d.pick(&["ticketA", "ticketB"]);
            let mut c = element("rsc_ticket", &[("id", id), ("ticket", ticket), ("rsc", a)]);
            c.push("loss-policy", d.pick(&["stop", "demote", "fence", "freeze"]));
            if d.percent(25) {
                c.push("rsc-role", d.pick(&ROLES[..3]));
            }
            c
        }
    }
}

fn constraint_more(d: &mut Dice, cib: &mut Element, known: &Known, tag: usize) {
    let id = format!("changed-constraint-{tag}");
    let one = |d: &mut Dice| {
        let list = if d.percent(30) && !known.promotable.is_empty() {
            &known.promotable
        } else {
            &known.resources
        };
        d.pick_string(list)
    };
    let (a, b) = (one(d), one(d));
    if a == b {
        return;
    }
    let made = match d.below(9) {
        0 => new_location(d, known, &id, &a),
        1..=3 => new_colocation(d, &id, &a, &b),
        4..=5 => new_order(d, &id, &a, &b),
        kind => new_sets_or_ticket(d, known, &id, &a, kind),
    };
    section(cib, "configuration", "constraints").children.push(made);
}
