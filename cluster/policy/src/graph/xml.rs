//! The graph as `transition_graph` XML.

use std::fmt::Write;
use std::io;

use haven_types::graph::{Action, ActionKind, TransitionGraph};

/// How much text is gathered before it is handed on, in bytes.
const PIECE: usize = 64 * 1024;

/// A graph as Pacemaker writes it, with this number.
#[must_use]
pub fn to_xml(graph: &TransitionGraph, number: u32) -> String {
    let mut out = opening(graph, number);
    for action in &graph.actions {
        synapse(&mut out, graph, action);
    }
    out.push_str(closing(graph));
    out
}

/// Writes what [`to_xml`] gives, piece by piece: the text of a big graph is never whole in memory.
///
/// # Errors
/// Those of the writer.
pub fn write_xml(graph: &TransitionGraph, number: u32, to: &mut impl io::Write) -> io::Result<()> {
    let mut piece = opening(graph, number);
    for action in &graph.actions {
        synapse(&mut piece, graph, action);
        if piece.len() >= PIECE {
            to.write_all(piece.as_bytes())?;
            piece.clear();
        }
    }
    piece.push_str(closing(graph));
    to.write_all(piece.as_bytes())
}

fn opening(graph: &TransitionGraph, number: u32) -> String {
    let mut out = "<transition_graph".to_owned();
    attr(&mut out, "cluster-delay", &graph.cluster_delay);
    attr(&mut out, "fencing-timeout", &graph.fencing_timeout);
    if let Some(v) = &graph.failed_stop_offset {
        attr(&mut out, "failed-stop-offset", v);
    }
    if let Some(v) = &graph.failed_start_offset {
        attr(&mut out, "failed-start-offset", v);
    }
    attr(&mut out, "batch-limit", &graph.batch_limit);
    if let Some(v) = &graph.migration_limit {
        attr(&mut out, "migration-limit", v);
    }
    attr(&mut out, "transition_id", &number.to_string());
    if let Some(v) = graph.recheck_by {
        attr(&mut out, "recheck-by", &v.to_string());
    }
    out.push_str(if graph.actions.is_empty() { "/>\n" } else { ">\n" });
    out
}

fn closing(graph: &TransitionGraph) -> &'static str {
    if graph.actions.is_empty() { "" } else { "</transition_graph>\n" }
}

fn synapse(out: &mut String, graph: &TransitionGraph, a: &Action) {
    out.push_str("  <synapse");
    attr(out, "id", &a.id.0.to_string());
    if a.priority > 0 {
        attr(out, "priority", &a.priority.to_string());
    }
    out.push_str(">\n    <action_set>\n      ");
    head(out, a);
    if let Some(t) = a.shutdown_lock {
        attr(out, "shutdown-lock", &t.to_string());
    }
    out.push_str(">\n");
    body(out, a);
    let _ = writeln!(out, "      </{}>\n    </action_set>", tag(a));
    let mut inputs = a.inputs.iter().filter_map(|i| graph.action(*i)).peekable();
    if inputs.peek().is_none() {
        out.push_str("    <inputs/>\n");
    } else {
        out.push_str("    <inputs>\n");
        for i in inputs {
            out.push_str("      <trigger>\n        ");
            head(out, i);
            out.push_str("/>\n      </trigger>\n");
        }
        out.push_str("    </inputs>\n");
    }
    out.push_str("  </synapse>\n");
}

fn tag(a: &Action) -> &'static str {
    match a.kind {
        ActionKind::Resource => "rsc_op",
        ActionKind::Pseudo => "pseudo_event",
        ActionKind::Cluster => "crm_event",
    }
}

fn head(out: &mut String, a: &Action) {
    out.push('<');
    out.push_str(tag(a));
    attr(out, "id", &(a.id.0 + 1).to_string());
    if a.operation == "lrm_delete" {
        attr(out, "mode", "cib");
    }
    attr(out, "operation", &a.operation);
    attr(out, "operation_key", &a.operation_key);
    if let Some(k) = &a.internal_operation_key {
        attr(out, "internal_operation_key", k);
    }
    if let Some(n) = &a.node {
        attr(out, "on_node", &n.uname);
        attr(out, "on_node_uuid", &n.id);
        if let Some(r) = &n.router {
            attr(out, "router_node", r);
        }
    }
}

fn body(out: &mut String, a: &Action) {
    if let Some(r) = &a.resource {
        out.push_str("        <primitive");
        attr(out, "id", &r.id);
        if let Some(l) = &r.long_id {
            attr(out, "long-id", l);
        }
        attr(out, "class", &r.class);
        if let Some(p) = &r.provider {
            attr(out, "provider", p);
        }
        attr(out, "type", &r.kind);
        out.push_str("/>\n");
    }
    let maintenance = a.operation == "maintenance_nodes";
    out.push_str("        <attributes");
    for (k, v) in &a.meta {
        attr(out, &format!("CRM_meta_{k}"), v);
    }
    attr(out, "crm_feature_set", super::super::FEATURE_SET);
    let digits = |k: &str| k.starts_with(|c: char| c.is_ascii_digit());
    if !maintenance {
        for (k, v) in a.params.iter().filter(|(k, _)| !digits(k)) {
            attr(out, k, v);
        }
    }
    let mut params = a.params.iter().filter(|(k, _)| !maintenance && digits(k)).peekable();
    if params.peek().is_none() {
        out.push_str("/>\n");
    } else {
        out.push_str(">\n");
        for (k, v) in params {
            out.push_str("          <param");
            attr(out, "name", k);
            attr(out, "value", v);
            out.push_str("/>\n");
        }
        out.push_str("        </attributes>\n");
    }
    if !a.downed.is_empty() {
        out.push_str("        <downed>");
        for id in &a.downed {
            out.push_str("<node");
            attr(out, "id", id);
            out.push_str("/>");
        }
        out.push_str("</downed>\n");
    }
    if maintenance {
        out.push_str("        <maintenance>");
        for (id, on) in &a.params {
            out.push_str("<node");
            attr(out, "id", id);
            attr(out, "node_in_maintenance", on);
            out.push_str("/>");
        }
        out.push_str("</maintenance>\n");
    }
}

fn attr(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            c if (c as u32) < 0x20 => {}
            c => out.push(c),
        }
    }
    out.push('"');
}
