//! Primitives, groups, clones, bundles, guests and fencing devices.

use haven_cib::xml::Element;

use super::{Dice, Instance, Plan, Target, element, owned, pairs};

pub(crate) fn resources(d: &mut Dice, plan: &mut Plan) -> Element {
    let mut section = Element::new("resources");
    if plan.fencing && d.percent(90) {
        section.children.push(fence_device(d, plan));
    }
    if plan.templated {
        section.children.push(template(d));
    }
    let count = 1 + d.below(6);
    for i in 0..count {
        let made = match d.below(20) {
            0..=6 => primitive_alone(d, plan, i),
            7..=10 => group(d, plan, &format!("g{i}"), None),
            11..=17 => clone(d, plan, i),
            18 => bundle(d, plan, i),
            _ => remote(d, plan, i),
        };
        section.children.push(made);
    }
    section
}

/// What a primitive is part of.
#[derive(Clone)]
struct Around {
    clone: String,
    unique: bool,
    promotable: bool,
    copies: usize,
}

fn fence_device(d: &mut Dice, plan: &mut Plan) -> Element {
    let mut device =
        element("primitive", &[("id", "fencer"), ("class", "stonith"), ("type", "fence_xvm")]);
    if plan.unfencing {
        let list = owned(&[("provides", "unfencing")]);
        device.children.push(pairs("meta_attributes", "fencer-meta", &list));
        device.children.push(pairs(
            "instance_attributes",
            "fencer-params",
            &owned(&[("pcmk_host_list", "node1 node2")]),
        ));
    }
    let mut monitors = Vec::new();
    if d.percent(70) {
        let mut ops = Element::new("operations");
        ops.children.push(element(
            "op",
            &[("id", "fencer-m"), ("name", "monitor"), ("interval", "60s"), ("timeout", "120s")],
        ));
        device.children.push(ops);
        monitors.push((60_000, "", Some(120_000)));
    }
    plan.targets.push(Target { id: "fencer".into(), promotable: false });
    plan.instances.push(Instance {
        id: "fencer".into(),
        class: "stonith",
        kind: "fence_xvm",
        params: if plan.unfencing {
            owned(&[("pcmk_host_list", "node1 node2")])
        } else {
            Vec::new()
        },
        monitors,
        clone_of: None,
        unique: false,
        promotable: false,
        migratable: false,
        copies: 1,
    });
    device
}

/// What `t` primitives have in common.
fn template(d: &mut Dice) -> Element {
    let mut e = element(
        "template",
        &[("id", "common"), ("class", "ocf"), ("provider", "pacemaker"), ("type", "Dummy")],
    );
    let list = [("resource-stickiness".to_owned(), d.below(20).to_string())];
    e.children.push(pairs("meta_attributes", "common-meta", &list));
    let mut ops = Element::new("operations");
    ops.children.push(element(
        "op",
        &[("id", "common-m"), ("name", "monitor"), ("interval", "10s"), ("timeout", "30s")],
    ));
    e.children.push(ops);
    e
}

fn primitive_alone(d: &mut Dice, plan: &mut Plan, i: usize) -> Element {
    let id = format!("p{i}");
    let mut made = primitive(d, plan, &id, None, true);
    if d.percent(10) {
        let guest = format!("guest{i}");
        add_meta(&mut made, &id, &[("remote-node", &guest)]);
        plan.remotes.push(guest);
    }
    plan.targets.push(Target { id, promotable: false });
    made
}

fn add_meta(e: &mut Element, id: &str, list: &[(&str, &str)]) {
    if let Some(set) = e.children.iter_mut().find(|c| c.name == "meta_attributes") {
        for (k, v) in list {
            let pair =
                element("nvpair", &[("id", &format!("{id}-meta-{k}")), ("name", k), ("value", v)]);
            set.children.push(pair);
        }
    } else {
        e.children.insert(0, pairs("meta_attributes", &format!("{id}-meta"), &owned(list)));
    }
}

fn primitive(
    d: &mut Dice,
    plan: &mut Plan,
    id: &str,
    around: Option<&Around>,
    may_migrate: bool,
) -> Element {
    let promotable = around.is_some_and(|a| a.promotable);
    let from_template = plan.templated && !promotable && d.percent(35);
    let kind = match (promotable, from_template) {
        (true, _) => "Stateful",
        (false, true) => "Dummy",
        (false, false) => d.pick(&["Dummy", "Dummy2"]),
    };
    let mut e = if from_template {
        element("primitive", &[("id", id), ("template", "common")])
    } else {
        let agent = [("id", id), ("class", "ocf"), ("provider", "pacemaker"), ("type", kind)];
        element("primitive", &agent)
    };
    let mut meta = meta(d, around.is_none());
    let migratable = may_migrate && d.percent(20);
    if migratable {
        meta.push(("allow-migrate".into(), "true".into()));
    }
    if !meta.is_empty() {
        e.children.push(pairs("meta_attributes", &format!("{id}-meta"), &meta));
    }
    let mut params = Vec::new();
    if d.percent(40) {
        params.push(("fake".to_owned(), d.below(3).to_string()));
    }
    if d.percent(15) {
        params.push(("state".to_owned(), format!("/run/{id}")));
    }
    if !params.is_empty() {
        e.children.push(pairs("instance_attributes", &format!("{id}-params"), &params));
    }
    if d.percent(6) {
        // What a node attribute says counts before the rest.
        let own = [("fake".to_owned(), "ruled".to_owned())];
        let mut set = pairs("instance_attributes", &format!("{id}-ruled"), &own);
        set.push("score", "5");
        let mut rule = element("rule", &[("id", &format!("{id}-ruled-rule")), ("score", "0")]);
        rule.children.push(element(
            "expression",
            &[
                ("id", &format!("{id}-ruled-site")),
                ("attribute", "site"),
                ("operation", "eq"),
                ("value", "a"),
            ],
        ));
        set.children.insert(0, rule);
        e.children.push(set);
    }
    let monitors = if from_template {
        vec![(10_000, "", Some(30_000))]
    } else {
        operations(d, id, promotable, &mut e)
    };
    if plan.utilization && d.percent(70) {
        let needs = [
            ("cpu".to_owned(), d.below(4).to_string()),
            ("memory".to_owned(), (256 * d.below(6)).to_string()),
        ];
        e.children.push(pairs("utilization", &format!("{id}-utilization"), &needs));
    }
    plan.instances.push(Instance {
        id: id.to_owned(),
        class: "ocf",
        kind,
        params,
        monitors,
        clone_of: around.map(|a| a.clone.clone()),
        unique: around.is_some_and(|a| a.unique),
        promotable,
        migratable,
        copies: around.map_or(1, |a| a.copies),
    });
    e
}

fn meta(d: &mut Dice, single: bool) -> Vec<(String, String)> {
    let mut list = Vec::new();
    let mut maybe = |d: &mut Dice, chance: u64, name: &str, values: &[&str]| {
        if d.percent(chance) {
            list.push((name.to_owned(), d.pick(values).to_owned()));
        }
    };
    maybe(d, 15, "priority", &["1", "5", "10", "-1", "INFINITY"]);
    maybe(d, 25, "resource-stickiness", &["0", "1", "100", "INFINITY", "-5"]);
    maybe(d, 8, "target-role", &["Stopped", "Started", "Stopped"]);
    maybe(d, 5, "is-managed", &["false"]);
    maybe(d, 3, "maintenance", &["true"]);
    maybe(d, 20, "migration-threshold", &["1", "2", "3", "5"]);
    maybe(d, 15, "failure-timeout", &["30s", "10min", "2h"]);
    maybe(d, 10, "requires", &["nothing", "quorum", "fencing", "unfencing"]);
    maybe(d, 6, "critical", &["false"]);
    if single {
        maybe(d, 10, "multiple-active", &["stop_only", "block", "stop_start", "stop_unexpected"]);
    }
    list
}

type Monitors = Vec<(u32, &'static str, Option<u32>)>;

fn operations(d: &mut Dice, id: &str, promotable: bool, e: &mut Element) -> Monitors {
    let mut ops = Element::new("operations");
    let mut monitors = Monitors::new();
    let on_fail = |d: &mut Dice, op: &mut Element, values: &[&str]| {
        if d.percent(18) {
            op.push("on-fail", d.pick(values));
        }
    };
    let usual = ["ignore", "block", "stop", "restart", "fence", "standby"];
    if d.percent(75) {
        let (interval, role) = if promotable { (11, "Unpromoted") } else { (10, "") };
        let mut op = element(
            "op",
            &[
                ("id", &format!("{id}-m10")),
                ("name", "monitor"),
                ("interval", &format!("{interval}s")),
            ],
        );
        let timeout = d.percent(40).then_some(30_000);
        if timeout.is_some() {
            op.push("timeout", "30s");
        }
        if role == "Unpromoted" && d.percent(60) {
            op.push("role", "Unpromoted");
        }
        on_fail(d, &mut op, &usual);
        if d.percent(5) {
            op.push("enabled", "false");
        }
        ops.children.push(op);
        monitors.push((interval * 1000, role, timeout));
    }
    if promotable && d.percent(75) {
        let mut op = element(
            "op",
            &[
                ("id", &format!("{id}-m9")),
                ("name", "monitor"),
                ("interval", "9s"),
                ("role", "Promoted"),
            ],
        );
        on_fail(d, &mut op, &["restart", "demote", "fence", "stop"]);
        ops.children.push(op);
        monitors.push((9000, "Promoted", None));
    }
    if d.percent(6) {
        ops.children.push(element(
            "op",
            &[
                ("id", &format!("{id}-ms")),
                ("name", "monitor"),
                ("interval", "17s"),
                ("role", "Stopped"),
            ],
        ));
    }
    for (name, chance) in [("start", 20), ("stop", 20), ("promote", 5), ("demote", 5)] {
        if (name == "promote" || name == "demote") && !promotable || !d.percent(chance) {
            continue;
        }
        let mut op = element(
            "op",
            &[
                ("id", &format!("{id}-{name}")),
                ("name", name),
                ("interval", "0s"),
                ("timeout", "40s"),
            ],
        );
        let allowed: &[&str] = match name {
            "start" => &["ignore", "block", "stop", "restart", "fence", "standby"],
            "stop" => &["block", "fence", "ignore"],
            _ => &["block", "stop", "fence", "restart"],
        };
        on_fail(d, &mut op, allowed);
        ops.children.push(op);
    }
    if !ops.children.is_empty() {
        e.children.push(ops);
    }
    monitors
}

fn group(d: &mut Dice, plan: &mut Plan, id: &str, around: Option<&Around>) -> Element {
    let mut g = element("group", &[("id", id)]);
    let meta = if around.is_none() { meta(d, false) } else { Vec::new() };
    if !meta.is_empty() {
        g.children.push(pairs("meta_attributes", &format!("{id}-meta"), &meta));
    }
    if around.is_none() && d.percent(8) {
        let name = d.pick(&["ordered", "collocated"]);
        add_meta(&mut g, id, &[(name, "false")]);
    }
    let count = 1 + d.below(4);
    for k in 0..count {
        let member = format!("{id}m{k}");
        g.children.push(primitive(d, plan, &member, around, around.is_none()));
        if around.is_none() && d.percent(40) {
            plan.targets.push(Target { id: member, promotable: false });
        }
    }
    if around.is_none() {
        plan.targets.push(Target { id: id.to_owned(), promotable: false });
    }
    g
}

fn clone(d: &mut Dice, plan: &mut Plan, i: usize) -> Element {
    let id = format!("c{i}");
    let promotable = d.percent(45);
    let unique = d.percent(18);
    let mut e = element("clone", &[("id", &id)]);
    let mut list = Vec::new();
    let mut set = |name: &str, value: String| list.push((name.to_owned(), value));
    let mut copies = plan.nodes.len();
    if promotable {
        set("promotable", "true".into());
        if d.percent(25) {
            set("promoted-max", (1 + d.below(3)).to_string());
        }
        if d.percent(6) {
            set("promoted-node-max", "2".into());
        }
    }
    if unique {
        set("globally-unique", "true".into());
    }
    if d.percent(35) {
        copies = 1 + d.below(5);
        set("clone-max", copies.to_string());
    }
    if unique && d.percent(60) {
        set("clone-node-max", (1 + d.below(3)).to_string());
    }
    for (name, chance) in [("interleave", 45), ("notify", 25), ("ordered", 12)] {
        if d.percent(chance) {
            set(name, "true".into());
        }
    }
    if d.percent(10) {
        set("clone-min", (1 + d.below(3)).to_string());
    }
    let role = ["Stopped", "Started", "Unpromoted", "Promoted"];
    if d.percent(8) {
        set("target-role", d.pick(&role[..if promotable { 4 } else { 2 }]).to_owned());
    }
    if d.percent(20) {
        set("resource-stickiness", d.below(200).to_string());
    }
    if d.percent(12) {
        set("priority", d.below(20).to_string());
    }
    if d.percent(4) {
        set("is-managed", "false".into());
    }
    if !list.is_empty() {
        e.children.push(pairs("meta_attributes", &format!("{id}-meta"), &list));
    }
    let around = Around { clone: id.clone(), unique, promotable, copies };
    let child = if d.percent(25) {
        group(d, plan, &format!("{id}g"), Some(&around))
    } else {
        primitive(d, plan, &format!("{id}p"), Some(&around), false)
    };
    e.children.push(child);
    plan.targets.push(Target { id, promotable });
    e
}

fn bundle(d: &mut Dice, plan: &mut Plan, i: usize) -> Element {
    let id = format!("b{i}");
    let mut e = element("bundle", &[("id", &id)]);
    let promoted = d.percent(40);
    let mut container = element("podman", &[("image", "img:latest")]);
    container.push("replicas", (1 + d.below(3)).to_string());
    if promoted {
        container.push("promoted-max", "1");
    }
    if d.percent(20) {
        container.push("replicas-per-host", "2");
    }
    e.children.push(container);
    e.children.push(element(
        "network",
        &[
            ("ip-range-start", "192.168.122.131"),
            ("host-interface", "eth0"),
            ("host-netmask", "24"),
        ],
    ));
    if d.percent(75) {
        let around =
            Around { clone: format!("{id}-clone"), unique: false, promotable: promoted, copies: 0 };
        e.children.push(primitive(d, plan, &format!("{id}p"), Some(&around), false));
    }
    plan.targets.push(Target { id, promotable: promoted });
    e
}

fn remote(d: &mut Dice, plan: &mut Plan, i: usize) -> Element {
    let id = format!("remote{i}");
    let mut e = element(
        "primitive",
        &[("id", &id), ("class", "ocf"), ("provider", "pacemaker"), ("type", "remote")],
    );
    let mut params = owned(&[("server", "10.0.0.9")]);
    if d.percent(30) {
        params.push(("reconnect_interval".into(), "60s".into()));
    }
    e.children.push(pairs("instance_attributes", &format!("{id}-params"), &params));
    let mut ops = Element::new("operations");
    ops.children.push(element(
        "op",
        &[("id", &format!("{id}-m")), ("name", "monitor"), ("interval", "20s")],
    ));
    e.children.push(ops);
    plan.remotes.push(id.clone());
    plan.instances.push(Instance {
        id: id.clone(),
        class: "ocf",
        kind: "remote",
        params,
        monitors: vec![(20_000, "", None)],
        clone_of: None,
        unique: false,
        promotable: false,
        migratable: false,
        copies: 1,
    });
    plan.targets.push(Target { id, promotable: false });
    e
}

/// Defaults for resources or operations.
pub(crate) fn defaults(d: &mut Dice, section: &str) -> Option<Element> {
    if !d.percent(15) {
        return None;
    }
    let list = if section == "rsc_defaults" {
        match d.below(4) {
            0 => owned(&[("resource-stickiness", "10")]),
            1 => owned(&[("migration-threshold", "3"), ("failure-timeout", "60s")]),
            2 => owned(&[("resource-stickiness", "INFINITY")]),
            _ => owned(&[("priority", "2")]),
        }
    } else {
        owned(&[("timeout", "45s")])
    };
    let mut e = Element::new(section);
    e.children.push(pairs("meta_attributes", &format!("{section}-options"), &list));
    Some(e)
}
