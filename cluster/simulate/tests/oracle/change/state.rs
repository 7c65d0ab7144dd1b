//! Changes of what is and what has happened: nodes, their attributes, histories, tickets.

use haven_cib::xml::Element;

use super::{Known, any, section, set_pair, take};
use crate::generate::{Dice, NOW, element};

pub(super) fn node_state(d: &mut Dice, cib: &mut Element) {
    if d.percent(8) {
        drop(take(d, cib, &["node_state"]));
        return;
    }
    if d.percent(8) {
        let value = d.pick(&["0", "1"]);
        cib.set("have-quorum", value);
        return;
    }
    let Some(e) = any(d, cib, &["node_state"]) else { return };
    if e.attr("remote_node").is_some() {
        e.set("in_ccm", d.pick(&["true", "false"]));
        return;
    }
    let (name, values): (&str, &[&str]) = match d.below(6) {
        0 => ("in_ccm", &["true", "false", "1699999000", "0"]),
        1 => ("crmd", &["online", "offline", "1699999900", "0"]),
        2 => ("join", &["member", "down", "pending"]),
        3 => ("expected", &["member", "down"]),
        4 => ("node-unclean", &["true", "1"]),
        _ => {
            e.set("in_ccm", "false");
            e.set("crmd", "offline");
            return;
        }
    };
    e.set(name, d.pick(values));
}

pub(super) fn transient(d: &mut Dice, cib: &mut Element, known: &Known, tag: usize) {
    let resource = d.pick_string(&known.resources);
    let Some(e) = any(d, cib, &["node_state"]) else { return };
    let id = e.get("id").unwrap_or_default();
    let (name, value) = match d.below(8) {
        0 => ("standby".to_owned(), d.pick(&["true", "off", "on"]).to_owned()),
        1 => ("shutdown".to_owned(), d.pick(&["1699999000", "0"]).to_owned()),
        2 => ("maintenance".to_owned(), d.pick(&["true", "false"]).to_owned()),
        3 => ("terminate".to_owned(), d.pick(&["true", "1699999990"]).to_owned()),
        4 => ("#health-disk".to_owned(), d.pick(&["red", "yellow", "green", "-7"]).to_owned()),
        5 => {
            let op = d.pick(&["monitor_10000", "start_0", "stop_0", "monitor_0", "promote_0"]);
            (format!("fail-count-{resource}#{op}"), d.pick(&["1", "3", "INFINITY"]).to_owned())
        }
        6 => (format!("master-{resource}"), d.pick(&["5", "-1", "1000", "-INFINITY"]).to_owned()),
        _ => (format!("promotion-{resource}"), d.pick(&["7", "INFINITY"]).to_owned()),
    };
    if e.child("transient_attributes").is_none() {
        e.children.push(element("transient_attributes", &[("id", &id)]));
    }
    let t = e.children.iter_mut().find(|c| c.name == "transient_attributes").unwrap();
    set_pair(t, "instance_attributes", &name, &value, tag);
}

/// Another result of an operation.
pub(super) fn result(d: &mut Dice, cib: &mut Element) {
    if d.percent(12) {
        drop(take(d, cib, &["lrm_rsc_op"]));
        return;
    }
    let Some(op) = any(d, cib, &["lrm_rsc_op"]) else { return };
    if d.percent(15) {
        let name = d.pick(&["op-digest", "op-restart-digest"]);
        if op.attr(name).is_some() {
            op.set(name, "0123456789abcdef0123456789abcdef");
        }
        return;
    }
    if d.percent(10) {
        op.set("last-rc-change", (NOW - 100).to_string());
        return;
    }
    let codes = ["0", "1", "2", "3", "5", "6", "7", "8", "9", "190", "191", "193", "196"];
    let rc = d.pick(&codes).to_owned();
    let ended = match rc.as_str() {
        "193" => "-1",
        "0" => "0",
        _ => d.pick(&["0", "4", "2", "0", "1", "8"]),
    };
    if let Some(key) = op.get("transition-key") {
        op.set("transition-magic", format!("{ended}:{rc};{key}"));
    }
    op.set("rc-code", rc);
    op.set("op-status", ended);
}

/// A history of a resource goes, moves to another node or is seen on another node, too.
pub(super) fn entry(d: &mut Dice, cib: &mut Element) {
    let moved = if d.percent(60) {
        take(d, cib, &["lrm_resource"])
    } else {
        any(d, cib, &["lrm_resource"]).cloned()
    };
    let Some(moved) = moved.filter(|_| d.percent(80)) else { return };
    if let Some(list) = any(d, cib, &["lrm_resources"]) {
        list.children.retain(|c| c.attr("id") != moved.attr("id"));
        list.children.push(moved);
    }
}

pub(super) fn node(d: &mut Dice, cib: &mut Element, tag: usize) {
    let Some(e) = any(d, cib, &["node"]) else { return };
    let (kind, name, value) = match d.below(8) {
        0 => ("instance_attributes", "standby", d.pick(&["on", "off"])),
        1 => ("instance_attributes", "maintenance", d.pick(&["true", "false"])),
        2 => ("instance_attributes", "site", d.pick(&["a", "b"])),
        3 => ("instance_attributes", "resource-discovery-enabled", d.pick(&["true", "false"])),
        4 => ("instance_attributes", "#health-fan", d.pick(&["red", "yellow"])),
        5 => ("utilization", "cpu", d.pick(&["1", "4", "100"])),
        6 => ("utilization", "memory", d.pick(&["0", "512", "100000"])),
        _ => {
            e.set("score", d.pick(&["10", "-10", "-INFINITY"]));
            return;
        }
    };
    set_pair(e, kind, name, value, tag);
}

pub(super) fn ticket(d: &mut Dice, cib: &mut Element) {
    let status = section(cib, "status", "tickets");
    let id = d.pick(&["ticketA", "ticketB"]);
    if status.children.is_empty() || d.percent(30) {
        if status.children.iter().all(|t| t.attr("id") != Some(id)) {
            status.children.push(element("ticket_state", &[("id", id), ("granted", "true")]));
        }
        return;
    }
    let at = d.below(status.children.len());
    let t = &mut status.children[at];
    match d.below(3) {
        0 => t.set("granted", d.pick(&["true", "false"])),
        1 => t.set("standby", d.pick(&["true", "false"])),
        _ => t.set("last-granted", "1699990000"),
    }
}
