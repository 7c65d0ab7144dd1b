//! What has happened: node states, attributes, operation histories.

use std::collections::BTreeMap;

use haven_cib::xml::Element;
use haven_policy::operation_digest;

use super::{Dice, Instance, NOW, Plan, element, pairs};

pub(crate) fn status(d: &mut Dice, plan: &Plan) -> Element {
    let mut section = Element::new("status");
    for (i, name) in plan.nodes.iter().enumerate() {
        if d.percent(4) {
            continue;
        }
        section.children.push(node_state(d, plan, i, name));
    }
    for name in &plan.remotes {
        if d.percent(50) {
            let mut e = element("node_state", &[("id", name), ("uname", name)]);
            e.push("remote_node", "true");
            e.push("in_ccm", if d.percent(70) { "true" } else { "false" });
            history(d, plan, name, &mut e, 30);
            section.children.push(e);
        }
    }
    if !plan.tickets.is_empty() {
        let mut tickets = Element::new("tickets");
        for t in &plan.tickets {
            if d.percent(75) {
                let mut e = element("ticket_state", &[("id", t)]);
                e.push("granted", if d.percent(60) { "true" } else { "false" });
                if d.percent(60) {
                    e.push("last-granted", "1699990000");
                }
                if d.percent(20) {
                    e.push("standby", "true");
                }
                tickets.children.push(e);
            }
        }
        section.children.push(tickets);
    }
    section
}

fn node_state(d: &mut Dice, plan: &Plan, i: usize, name: &str) -> Element {
    let id = (i + 1).to_string();
    let mut e = element("node_state", &[("id", &id), ("uname", name)]);
    let (in_ccm, crmd, join, expected) = match d.below(20) {
        0 => ("false", "offline", "down", "down"),
        1 => ("false", "offline", "member", "member"),
        2 => ("false", "online", "member", "member"),
        3 => ("true", "online", "down", "member"),
        4 => ("true", "offline", "member", "member"),
        5 => ("true", "online", "pending", "down"),
        _ => ("true", "online", "member", "member"),
    };
    for (k, v) in [("in_ccm", in_ccm), ("crmd", crmd), ("join", join), ("expected", expected)] {
        e.push(k, v);
    }
    let mut list = Vec::new();
    let mut set = |name: String, value: String| list.push((name, value));
    if d.percent(5) {
        set("standby".into(), "true".into());
    }
    if d.percent(6) {
        set("shutdown".into(), (NOW - 5).to_string());
    }
    if d.percent(3) {
        set("terminate".into(), "true".into());
    }
    if d.percent(8) {
        set("#health-disk".into(), d.pick(&["red", "yellow", "green", "-10"]).to_owned());
    }
    for x in &plan.instances {
        if x.promotable && d.percent(70) {
            let key =
                if x.unique { format!("{}:{}", x.id, d.below(x.copies)) } else { x.id.clone() };
            let score = d.pick(&["5", "10", "100", "-1", "1000", "-INFINITY", "INFINITY"]);
            set(format!("master-{key}"), score.to_owned());
        }
        if d.percent(6) {
            let op = d.pick(&["monitor_10000", "start_0", "stop_0", "monitor_0"]);
            let count = d.pick(&["1", "2", "INFINITY", "4"]);
            set(format!("fail-count-{}#{op}", x.id), count.to_owned());
            let at = NOW - [20_i64, 300, 5000][d.below(3)];
            set(format!("last-failure-{}#{op}", x.id), at.to_string());
        }
    }
    if !list.is_empty() {
        let mut t = element("transient_attributes", &[("id", &id)]);
        t.children.push(pairs("instance_attributes", &format!("status-{id}"), &list));
        e.children.push(t);
    }
    if d.percent(92) {
        history(d, plan, name, &mut e, 75);
    }
    e
}

/// One entry for each instance seen.
fn history(d: &mut Dice, plan: &Plan, node: &str, e: &mut Element, known: u64) {
    let mut lrm = element("lrm", &[("id", e.attr("id").unwrap())]);
    let mut list = Element::new("lrm_resources");
    let rank = plan.nodes.iter().position(|n| n == node).unwrap_or(9);
    for x in &plan.instances {
        if x.clone_of.as_ref().is_some_and(|c| c.ends_with("-clone")) || !d.percent(known) {
            continue;
        }
        if x.unique {
            for k in 0..x.copies {
                if d.percent(40) {
                    list.children.push(entry(d, x, &format!("{}:{k}", x.id), node, rank));
                }
            }
        } else if x.clone_of.is_some() && d.percent(10) {
            let id = format!("{}:{}", x.id, d.below(3));
            list.children.push(entry(d, x, &id, node, rank));
        } else {
            list.children.push(entry(d, x, &x.id, node, rank));
        }
    }
    if d.percent(6) {
        let gone = Instance {
            id: "gone".into(),
            class: "ocf",
            kind: "Dummy",
            params: Vec::new(),
            monitors: vec![(10_000, "", None)],
            clone_of: None,
            unique: false,
            promotable: false,
            migratable: false,
            copies: 1,
        };
        list.children.push(entry(d, &gone, "gone", node, rank));
    }
    lrm.children.push(list);
    e.children.push(lrm);
}

/// Operations of one resource on one node, in the making.
struct Log<'a> {
    id: &'a str,
    node: &'a str,
    x: &'a Instance,
    call: i32,
    at: i64,
    out: Element,
    /// The parameters it ran with differ from the configured ones.
    changed: bool,
}

/// Where the primary of a single resource is likely to be.
fn is_home(d: &mut Dice, x: &Instance, rank: usize) -> bool {
    if x.clone_of.is_some() {
        return d.percent(75);
    }
    let home = x.id.bytes().map(usize::from).sum::<usize>() % 3;
    if home == rank { d.percent(80) } else { d.percent(8) }
}

fn entry(d: &mut Dice, x: &Instance, id: &str, node: &str, rank: usize) -> Element {
    let mut out = element("lrm_resource", &[("id", id), ("class", x.class), ("type", x.kind)]);
    if x.class == "ocf" {
        out.push("provider", "pacemaker");
    }
    let changed = d.percent(4);
    let mut log = Log { id, node, x, call: 1, at: NOW - 20_000, out, changed };
    if !is_home(d, x, rank) {
        match d.below(24) {
            0 => log.op(("monitor", 0), 5, 7, 0),
            1 => log.op(("monitor", 0), 1, 7, 0),
            2 => log.op(("monitor", 0), 0, 7, 0),
            3 => log.op(("monitor", 0), 193, 7, -1),
            4 => {
                log.op(("start", 0), 1, 0, 0);
                if d.percent(50) {
                    log.op(("stop", 0), 0, 0, 0);
                }
            }
            5 => log.op(("monitor", 0), 2, 7, 0),
            6..=9 => log.op(("stop", 0), 0, 0, 0),
            _ => log.op(("monitor", 0), 7, 7, 0),
        }
        return log.out;
    }
    if d.percent(15) {
        log.op(("monitor", 0), 0, 7, 0);
    } else {
        log.op(("start", 0), 0, 0, 0);
    }
    let promoted = x.promotable && d.percent(35);
    if promoted {
        log.op(("promote", 0), 0, 0, 0);
    }
    for (interval, role, _) in &x.monitors {
        let wanted = if promoted { "Promoted" } else { "Unpromoted" };
        if !x.promotable || *role == wanted || d.percent(3) {
            let rc = if promoted { 8 } else { 0 };
            log.op(("monitor", *interval), rc, rc, 0);
        }
    }
    trouble(d, x, promoted, &mut log);
    log.out
}

/// What may have happened since it was started.
fn trouble(d: &mut Dice, x: &Instance, promoted: bool, log: &mut Log<'_>) {
    let interval = x.monitors.first().map_or(10_000, |m| m.0);
    let good = if promoted { 8 } else { 0 };
    match d.below(40) {
        0 => log.op(("monitor", interval), 7, good, 0),
        1 => log.op(("monitor", interval), 1, good, 0),
        2 => log.op(("monitor", interval), 1, good, 2),
        3 => log.op(("stop", 0), 1, 0, 0),
        4 => log.op(("stop", 0), 193, 0, -1),
        5 => log.op(("start", 0), 1, 0, 0),
        6 => log.op(("start", 0), 193, 0, -1),
        7 if x.promotable => log.op(("promote", 0), 193, 0, -1),
        8 if x.promotable => log.op(("promote", 0), 1, 0, 0),
        9 if x.promotable => log.op(("demote", 0), 0, 0, 0),
        10 if x.promotable => log.op(("demote", 0), 1, 0, 0),
        11 if x.promotable => log.op(("monitor", interval), 9, good, 0),
        12 => log.op(("monitor", interval), 193, good, -1),
        13 => log.op(("stop", 0), 0, 0, 0),
        14 => log.op(("monitor", 10_000), 0, 0, 0),
        15 if x.migratable => log.op(("migrate_to", 0), 0, 0, 0),
        16 => log.op(("monitor", interval), 190, good, 0),
        17 => log.op(("monitor", 33_000), 0, 0, 0),
        18 => log.op(("monitor", interval), 5, good, 0),
        19 => log.op(("monitor", interval), 6, good, 0),
        _ => {}
    }
}

impl Log<'_> {
    /// Adds an operation with its result, the expected one, and how the execution ended.
    fn op(&mut self, (task, interval): (&str, u32), rc: i32, target: i32, ended: i32) {
        let failed = rc != target && ended != -1;
        let id = if failed {
            format!("{}_last_failure_0", self.id)
        } else if interval > 0 || task == "migrate_to" {
            format!("{}_{task}_{interval}", self.id)
        } else {
            format!("{}_last_0", self.id)
        };
        let call = if ended == -1 { -1 } else { self.call };
        self.call += 1;
        self.at += 600;
        let mut params: BTreeMap<String, String> = self.x.params.iter().cloned().collect();
        if self.changed {
            params.insert("fake".into(), "other".into());
        }
        let timeout = self.x.monitors.iter().find(|m| m.0 == interval).and_then(|m| m.2);
        let timeout = timeout.unwrap_or(20_000).to_string();
        let digest = operation_digest(&params, u64::from(interval), Some(&timeout));
        let key = format!("{}:9:{target}:aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", self.call);
        let entry = element(
            "lrm_rsc_op",
            &[
                ("id", &id),
                ("operation_key", &format!("{}_{task}_{interval}", self.id)),
                ("operation", task),
                ("crm_feature_set", "3.19.0"),
                ("transition-key", &key),
                ("transition-magic", &format!("{ended}:{rc};{key}")),
                ("exit-reason", ""),
                ("on_node", self.node),
                ("call-id", &call.to_string()),
                ("rc-code", &rc.to_string()),
                ("op-status", &ended.to_string()),
                ("interval", &interval.to_string()),
                ("last-rc-change", &self.at.to_string()),
                ("exec-time", "10"),
                ("queue-time", "0"),
                ("op-digest", &digest),
            ],
        );
        let mut entry = entry;
        if task == "migrate_to" {
            entry.push("migrate_source", self.node);
            entry.push("migrate_target", "node1");
        }
        match self.out.children.iter_mut().find(|o| o.attr("id") == Some(&id)) {
            Some(old) => *old = entry.clone(),
            None => self.out.children.push(entry.clone()),
        }
        if failed && interval == 0 {
            let last = format!("{}_last_0", self.id);
            entry.set("id", last.clone());
            match self.out.children.iter_mut().find(|o| o.attr("id") == Some(&last)) {
                Some(old) => *old = entry,
                None => self.out.children.push(entry),
            }
        }
    }
}
