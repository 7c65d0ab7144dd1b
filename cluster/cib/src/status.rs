//! The status section: element tree to `Status` and back.

use std::collections::BTreeMap;

use haven_types::status::{
    NodeState, OperationRecord, Presence, ResourceHistory, Status, TicketState,
};

use crate::boolean;
use crate::xml::{Element, Markup};

/// Reads the status section of a `<cib>` element. What cannot be read is left at its default: a
/// strange history must never keep a cluster from planning.
pub(crate) fn read_status(root: &Markup<'_>) -> Status {
    let mut status = Status {
        quorate: root.attr("have-quorum").map(is_true),
        quorum_lost: root.attr("no-quorum-panic").is_some_and(is_true),
        dc: root.get("dc-uuid"),
        recorded_at: root.attr("execution-date").and_then(|v| v.parse().ok()),
        ..Status::default()
    };
    let Some(section) = root.child("status") else { return status };
    for e in &section.children {
        match e.name {
            "node_state" => status.nodes.push(node_state(e)),
            "tickets" => {
                for t in &e.children {
                    ticket(t, &mut status.tickets);
                }
            }
            _ => {}
        }
    }
    status
}

fn is_true(v: &str) -> bool {
    boolean(v) == Some(true)
}

fn is_false(v: &str) -> bool {
    boolean(v) == Some(false)
}

fn presence(v: Option<&str>) -> Presence {
    match v {
        None => Presence::Unknown,
        Some(v) if is_false(v) || v == "offline" => Presence::No,
        Some(v) if is_true(v) || v == "online" => Presence::Yes,
        Some(v) => match v.parse::<i64>() {
            Ok(t) if t > 1 => Presence::Since(t),
            Ok(_) => Presence::No,
            Err(_) => Presence::Unknown,
        },
    }
}

fn pairs(parent: &Markup<'_>, set: &str) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    for s in parent.children_named(set) {
        for p in s.children_named("nvpair") {
            if let (Some(n), Some(v)) = (p.attr("name"), p.attr("value")) {
                map.entry(n.to_owned()).or_insert_with(|| v.to_owned());
            }
        }
    }
    map
}

fn node_state(e: &Markup<'_>) -> NodeState {
    let mut node = NodeState {
        id: e.get("id").unwrap_or_default(),
        uname: e.get("uname").unwrap_or_default(),
        remote: e.attr("remote_node").is_some_and(is_true),
        in_membership: presence(e.attr("in_ccm")),
        peer_online: presence(e.attr("crmd")),
        join: e.get("join"),
        expected: e.get("expected"),
        node_fenced: e.get("node_fenced"),
        remote_maintenance: e.get("node_in_maintenance"),
        ..NodeState::default()
    };
    for c in &e.children {
        match c.name {
            "transient_attributes" => {
                node.attributes.append(&mut pairs(c, "instance_attributes"));
                node.utilization.append(&mut pairs(c, "utilization"));
            }
            "lrm" => {
                node.has_history = true;
                for list in c.children_named("lrm_resources") {
                    node.resources.reserve_exact(list.children.len());
                    node.resources
                        .extend(list.children_named("lrm_resource").map(resource_history));
                }
            }
            _ => {}
        }
    }
    node
}

fn resource_history(e: &Markup<'_>) -> ResourceHistory {
    let mut operations = Vec::with_capacity(e.children.len());
    operations.extend(e.children_named("lrm_rsc_op").map(operation));
    ResourceHistory {
        id: e.get("id").unwrap_or_default(),
        class: e.get("class").unwrap_or_default(),
        provider: e.get("provider"),
        kind: e.get("type").unwrap_or_default(),
        container: e.get("container"),
        shutdown_lock: e.attr("shutdown-lock").and_then(|v| v.parse().ok()),
        unleased: e.attr("unleased").is_some_and(is_true),
        operations,
    }
}

fn operation(e: &Markup<'_>) -> OperationRecord {
    let mut op = OperationRecord { call_id: -1, exec_status: -2, ..OperationRecord::default() };
    for (name, value) in &e.attributes {
        let text = || Some(value.clone().into_owned());
        let number = |default: i32| value.trim().parse().unwrap_or(default);
        match *name {
            "id" => op.id = value.clone().into_owned(),
            "operation_key" => op.operation_key = text(),
            "operation" => op.operation = value.clone().into_owned(),
            "call-id" => op.call_id = number(-1),
            "rc-code" => op.rc = number(0),
            "op-status" => op.exec_status = number(-2),
            "interval" => op.interval_ms = value.parse().unwrap_or(0),
            "transition-key" => op.transition_key = text(),
            "transition-magic" => op.transition_magic = text(),
            "on_node" => op.on_node = text(),
            "exit-reason" => op.exit_reason = text(),
            "last-rc-change" => op.last_rc_change = value.parse().ok(),
            "last-run" => op.last_run = value.parse().ok(),
            "exec-time" => op.exec_time_ms = value.parse().ok(),
            "queue-time" => op.queue_time_ms = value.parse().ok(),
            "op-digest" => op.op_digest = text(),
            "op-restart-digest" => op.op_restart_digest = text(),
            "op-secure-digest" => op.op_secure_digest = text(),
            "op-force-restart" => op.op_force_restart = text(),
            "op-secure-params" => op.op_secure_params = text(),
            "migrate_source" => op.migrate_source = text(),
            "migrate_target" => op.migrate_target = text(),
            "crm_feature_set" => op.crm_feature_set = text(),
            _ => {}
        }
    }
    op
}

fn ticket(e: &Markup<'_>, tickets: &mut Vec<TicketState>) {
    let mut attributes: BTreeMap<String, String> =
        e.attributes.iter().map(|(n, v)| ((*n).to_owned(), v.clone().into_owned())).collect();
    let Some(id) = attributes.remove("id") else { return };
    tickets.push(TicketState {
        granted: attributes.get("granted").is_some_and(|v| is_true(v)),
        last_granted: attributes.get("last-granted").and_then(|v| v.parse().ok()),
        standby: attributes.get("standby").is_some_and(|v| is_true(v)),
        id,
        attributes,
    });
}

/// Writes the status section.
pub(crate) fn write_status(status: &Status) -> Element {
    let mut section = Element::new("status");
    section.children.extend(status.nodes.iter().map(write_node));
    if !status.tickets.is_empty() {
        let mut tickets = Element::new("tickets");
        for t in &status.tickets {
            let mut e = Element::new("ticket_state");
            e.push("id", &t.id);
            for (n, v) in &t.attributes {
                e.push(n, v);
            }
            e.set("granted", t.granted.to_string());
            e.set("standby", t.standby.to_string());
            tickets.children.push(e);
        }
        section.children.push(tickets);
    }
    section
}

/// Writes a presence with the words that older readers know for yes and no.
fn push_presence(e: &mut Element, name: &str, presence: Presence, yes: &str, no: &str) {
    match presence {
        Presence::Unknown => {}
        Presence::No => e.push(name, no),
        Presence::Yes => e.push(name, yes),
        Presence::Since(t) => e.push(name, t.to_string()),
    }
}

fn write_node(n: &NodeState) -> Element {
    let mut e = Element::new("node_state");
    e.push("id", &n.id);
    e.push("uname", &n.uname);
    if n.remote {
        e.push("remote_node", "true");
    }
    push_presence(&mut e, "in_ccm", n.in_membership, "true", "false");
    push_presence(&mut e, "crmd", n.peer_online, "online", "offline");
    e.push_opt("join", n.join.as_ref());
    e.push_opt("expected", n.expected.as_ref());
    e.push_opt("node_fenced", n.node_fenced.as_ref());
    e.push_opt("node_in_maintenance", n.remote_maintenance.as_ref());
    if !n.attributes.is_empty() || !n.utilization.is_empty() {
        let mut t = Element::new("transient_attributes");
        t.push("id", &n.id);
        for (kind, map) in [("instance_attributes", &n.attributes), ("utilization", &n.utilization)]
        {
            if map.is_empty() {
                continue;
            }
            let mut set = Element::new(kind);
            set.push("id", format!("status-{}", n.id));
            for (name, value) in map {
                let mut p = Element::new("nvpair");
                p.push("id", format!("status-{}-{name}", n.id));
                p.push("name", name);
                p.push("value", value);
                set.children.push(p);
            }
            t.children.push(set);
        }
        e.children.push(t);
    }
    if n.has_history {
        let mut lrm = Element::new("lrm");
        lrm.push("id", &n.id);
        let mut list = Element::new("lrm_resources");
        list.children.extend(n.resources.iter().map(write_history));
        lrm.children.push(list);
        e.children.push(lrm);
    }
    e
}

fn write_history(r: &ResourceHistory) -> Element {
    let mut e = Element::new("lrm_resource");
    e.push("id", &r.id);
    e.push("class", &r.class);
    e.push_opt("provider", r.provider.as_ref());
    e.push("type", &r.kind);
    e.push_opt("container", r.container.as_ref());
    e.push_opt("shutdown-lock", r.shutdown_lock.map(|t| t.to_string()).as_ref());
    e.push_opt("unleased", r.unleased.then(|| "true".to_owned()).as_ref());
    e.children.extend(r.operations.iter().map(write_operation));
    e
}

fn write_operation(o: &OperationRecord) -> Element {
    let mut e = Element::new("lrm_rsc_op");
    e.push("id", &o.id);
    e.push_opt("operation_key", o.operation_key.as_ref());
    e.push("operation", &o.operation);
    e.push_opt("crm_feature_set", o.crm_feature_set.as_ref());
    e.push_opt("transition-key", o.transition_key.as_ref());
    e.push_opt("transition-magic", o.transition_magic.as_ref());
    e.push_opt("exit-reason", o.exit_reason.as_ref());
    e.push_opt("on_node", o.on_node.as_ref());
    e.push("call-id", o.call_id.to_string());
    e.push("rc-code", o.rc.to_string());
    e.push("op-status", o.exec_status.to_string());
    e.push("interval", o.interval_ms.to_string());
    e.push_opt("last-rc-change", o.last_rc_change.map(|v| v.to_string()).as_ref());
    e.push_opt("last-run", o.last_run.map(|v| v.to_string()).as_ref());
    e.push_opt("exec-time", o.exec_time_ms.map(|v| v.to_string()).as_ref());
    e.push_opt("queue-time", o.queue_time_ms.map(|v| v.to_string()).as_ref());
    e.push_opt("migrate_source", o.migrate_source.as_ref());
    e.push_opt("migrate_target", o.migrate_target.as_ref());
    e.push_opt("op-digest", o.op_digest.as_ref());
    e.push_opt("op-force-restart", o.op_force_restart.as_ref());
    e.push_opt("op-restart-digest", o.op_restart_digest.as_ref());
    e.push_opt("op-secure-params", o.op_secure_params.as_ref());
    e.push_opt("op-secure-digest", o.op_secure_digest.as_ref());
    e
}
