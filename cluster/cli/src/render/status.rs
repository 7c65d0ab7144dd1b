//! `haven status`: the first screen.

use haven_api::{
    Active, FailedAction, LinkHealth, LinkState, NodeState, NodeStatus, ResourceKind,
    ResourceStatus, Role, Status,
};

use super::table::{self, column};
use crate::duration::age;

/// The verdict line: how it is, why, who decides, what would be survived.
#[must_use]
pub fn headline(status: &Status) -> String {
    let members = status.nodes.iter().filter(|node| node.state.is_member()).count();
    let mut facts = vec![format!("{members} of {} nodes", status.nodes.len())];
    facts.push(if status.quorum.quorate {
        format!("quorate ({} of {} votes)", status.quorum.present, status.quorum.expected)
    } else {
        format!(
            "NO QUORUM ({} of {} votes, {} needed)",
            status.quorum.present, status.quorum.expected, status.quorum.needed
        )
    });
    facts.push(match &status.coordinator {
        Some(dc) => format!("coordinator {} for {}", dc.node, age(dc.for_ms)),
        None => "no coordinator".to_owned(),
    });
    let survives = match status.verdict.survives {
        0 => "survives no node loss".to_owned(),
        1 => "survives 1 node loss".to_owned(),
        many => format!("survives {many} node losses"),
    };
    format!("{} – {}; {survives}\n", status.verdict.level.word(), facts.join(", "))
}

/// The whole first screen: verdict with its causes, nodes, resources, wishes, failures, actions under
/// way. No line is wider than `width`, as far as names allow.
#[must_use]
pub fn status(status: &Status, width: usize) -> String {
    let mut out = table::wrap(&headline(status), 2, width);
    for cause in &status.verdict.causes {
        out.push_str(&bullet(cause, width));
    }
    out.push_str(&format!(
        "cluster {}, seen from {}, configuration {}\n\n",
        status.cluster, status.node, status.configuration
    ));
    out.push_str(&nodes(status, width));
    out.push('\n');
    out.push_str(&resources(&status.resources, width));
    section(
        &mut out,
        "Wishes in force",
        width,
        status.intents.iter().map(|intent| {
            let clear = match intent.expired {
                true => "`haven resource clear --expired` removes it".to_owned(),
                false => format!("until `haven resource clear {}`", intent.resource),
            };
            format!("{}: {} ({clear})", intent.resource, intent.wish)
        }),
    );
    section(
        &mut out,
        "Under way",
        width,
        status.pending.iter().map(|action| {
            format!(
                "{} {} on {}: {} of at most {}",
                action.operation,
                action.resource,
                action.node,
                age(action.elapsed_ms),
                age(action.timeout_ms)
            )
        }),
    );
    section(&mut out, "Failures", width, status.failed.iter().take(5).map(failure));
    if status.failed.len() > 5 {
        out.push_str(&format!("  … and {} more; see --json\n", status.failed.len() - 5));
    }
    out
}

fn bullet(text: &str, width: usize) -> String {
    table::wrap(&format!("  ! {text}"), 4, width)
}

fn section(out: &mut String, title: &str, width: usize, lines: impl Iterator<Item = String>) {
    for (index, line) in lines.enumerate() {
        if index == 0 {
            out.push_str(&format!("\n{title}\n"));
        }
        out.push_str(&table::wrap(&format!("  {line}"), 4, width));
    }
}

fn nodes(status: &Status, width: usize) -> String {
    let columns = [
        column("NODE", 0),
        column("STATE", 0),
        column("FOR", 3),
        column("KIND", 4),
        column("RUNS", 2),
        column("LINKS", 5),
    ];
    let rows: Vec<Vec<String>> = status.nodes.iter().map(|node| node_row(node, status)).collect();
    table::render(&columns, &rows, width)
}

fn node_row(node: &NodeStatus, status: &Status) -> Vec<String> {
    let coordinator = status.coordinator.as_ref().is_some_and(|dc| dc.node == node.name);
    let kind = match (node.witness, coordinator) {
        (true, true) => "witness, coordinator",
        (true, false) => "witness",
        (false, true) => "coordinator",
        (false, false) => "full",
    };
    let gone = matches!(node.state, NodeState::Offline | NodeState::Unclean);
    let links = if node.name == status.node {
        "this node".to_owned()
    } else if gone {
        "-".to_owned()
    } else {
        node.links.iter().map(link).collect::<Vec<_>>().join("  ")
    };
    vec![
        node.name.clone(),
        shout(node.state),
        node.for_ms.map_or_else(|| "-".to_owned(), age),
        kind.to_owned(),
        if node.witness { "-".to_owned() } else { node.running.to_string() },
        links,
    ]
}

/// Bad states stand out without colour.
fn shout(state: NodeState) -> String {
    match state {
        NodeState::Offline | NodeState::Unclean | NodeState::Suspect => state.word().to_uppercase(),
        NodeState::Online | NodeState::Standby | NodeState::Maintenance | NodeState::Pending => {
            state.word().to_owned()
        }
    }
}

fn link(link: &LinkHealth) -> String {
    let number = link.number;
    let loss = if link.loss_permille >= 10 {
        format!(" {} % lost", link.loss_permille / 10)
    } else {
        String::new()
    };
    match (link.state, link.rtt_us) {
        (LinkState::Down, _) => format!("{number}: DOWN"),
        (LinkState::Degraded, _) => format!("{number}: degraded{loss}"),
        (LinkState::Up, Some(us)) => {
            format!("{number}: {}.{:02} ms{loss}", us / 1000, us % 1000 / 10)
        }
        (LinkState::Up, None) => format!("{number}: up{loss}"),
    }
}

fn resources(resources: &[ResourceStatus], width: usize) -> String {
    if resources.is_empty() {
        return "no resources are configured; see `haven configure load --help`\n".to_owned();
    }
    let mut rows = Vec::new();
    for resource in resources {
        resource_rows(resource, 0, &mut rows);
    }
    let columns = [
        column("RESOURCE", 0),
        column("AGENT", 3),
        column("STATE", 0),
        column("LEASE", 2),
        column("FAILS", 4),
    ];
    let mut out = String::new();
    let cells: Vec<Vec<String>> = rows.iter().map(|(cells, _)| cells.clone()).collect();
    let table = table::render(&columns, &cells, width);
    let mut lines = table.lines();
    out.extend(lines.next().map(|heading| format!("{heading}\n")));
    for (line, (_, notes)) in lines.zip(&rows) {
        out.push_str(&format!("{line}\n"));
        out.extend(notes.iter().map(|note| bullet(note, width)));
    }
    out
}

type Row = (Vec<String>, Vec<String>);

fn resource_rows(resource: &ResourceStatus, depth: usize, rows: &mut Vec<Row>) {
    let kind = match resource.kind {
        ResourceKind::Primitive => String::new(),
        ResourceKind::Group => "group".to_owned(),
        ResourceKind::Clone => "clone".to_owned(),
        ResourceKind::Bundle => "bundle".to_owned(),
    };
    let cells = vec![
        format!("{}{}", "  ".repeat(depth), resource.id),
        resource.agent.clone().unwrap_or(kind),
        state(resource),
        lease(resource),
        match resource.fail_count {
            0 => String::new(),
            count => super::resource::how_often(count),
        },
    ];
    let unprotected = resource
        .unprotected
        .as_ref()
        .map(|reason| format!("UNPROTECTED: two owners are possible, {reason}"));
    let notes = resource.trouble.clone().into_iter().chain(unprotected).collect();
    rows.push((cells, notes));
    for child in &resource.children {
        resource_rows(child, depth + 1, rows);
    }
}

fn state(resource: &ResourceStatus) -> String {
    let mut text = match resource.active.as_slice() {
        [] if !resource.children.is_empty() => String::new(),
        [] if resource.target == Role::Stopped => "Stopped (disabled)".to_owned(),
        [] => "STOPPED".to_owned(),
        active => active.iter().map(place).collect::<Vec<_>>().join(", "),
    };
    if !resource.managed {
        text.push_str(if text.is_empty() { "(unmanaged)" } else { " (unmanaged)" });
    }
    text
}

fn place(active: &Active) -> String {
    let since = active.for_ms.map_or(String::new(), |ms| format!(" for {}", age(ms)));
    format!("{} on {}{since}", active.role.word(), active.node)
}

fn lease(resource: &ResourceStatus) -> String {
    let Some(lease) = &resource.lease else { return String::new() };
    let left = lease.left_ms.map_or(String::new(), |left| format!(", {} left", age(left)));
    format!("epoch {}{left}, gate {}", lease.epoch, lease.gate.word())
}

fn failure(action: &FailedAction) -> String {
    let recurring = if action.interval_ms > 0 {
        format!(" (every {})", age(action.interval_ms))
    } else {
        String::new()
    };
    let folded = if action.later_succeeded { "; has worked since" } else { "" };
    format!(
        "{} of {}{recurring} failed on {} {} ago: {} (rc {}){folded}",
        action.operation,
        action.resource,
        action.node,
        age(action.ago_ms),
        action.reason,
        action.rc
    )
}
