//! Answers of the daemon in the words that agents look for.

use haven_api::{
    ApiError, AttributeLifetime, AttributeRow, Code, NodeState, NodeStatus, ReplyBody,
    ResourceStatus, Role, Status,
};

use crate::commands::unexpected;

/// The rows of an answer.
pub(super) fn rows(reply: &ReplyBody) -> Result<&[AttributeRow], ApiError> {
    let ReplyBody::Attributes(rows) = reply else { return Err(unexpected(reply)) };
    Ok(rows)
}

/// The status in an answer.
pub(super) fn status(reply: &ReplyBody) -> Result<&Status, ApiError> {
    let ReplyBody::Status(status) = reply else { return Err(unexpected(reply)) };
    Ok(status)
}

/// What `crm_attribute --query` prints.
pub(super) fn queried(
    rows: &[AttributeRow],
    name: &str,
    lifetime: AttributeLifetime,
    default: Option<&str>,
    quiet: bool,
) -> Result<String, ApiError> {
    let found = rows.iter().find(|row| row.lifetime == lifetime);
    // A transient value that is held back counts for whoever asks for it.
    let value = found.and_then(|row| row.pending.as_deref().or(row.value.as_deref()));
    let scope = match lifetime {
        AttributeLifetime::Forever => "nodes",
        AttributeLifetime::Reboot => "status",
    };
    value_line(scope, name, value.or(default), quiet)
}

/// One value with its scope, or alone.
pub(super) fn value_line(
    scope: &str,
    name: &str,
    value: Option<&str>,
    quiet: bool,
) -> Result<String, ApiError> {
    match value {
        Some(value) if quiet => Ok(format!("{value}\n")),
        Some(value) => Ok(format!("scope={scope}  name={name} value={value}\n")),
        None => Err(ApiError::new(
            Code::NoSuchObject,
            format!("could not query the value of {name}: attribute does not exist"),
        )),
    }
}

/// What `attrd_updater --query` prints.
pub(super) fn told(rows: &[AttributeRow], name: &str, quiet: bool) -> Result<String, ApiError> {
    let lines: Vec<String> = rows
        .iter()
        .filter(|row| row.lifetime == AttributeLifetime::Reboot)
        .filter_map(|row| Some((row, row.pending.as_ref().or(row.value.as_ref())?)))
        .map(|(row, value)| match quiet {
            true => format!("{value}\n"),
            false => format!("name=\"{name}\" host=\"{}\" value=\"{value}\"\n", row.node),
        })
        .collect();
    if lines.is_empty() {
        return Err(ApiError::new(
            Code::NoSuchObject,
            format!("could not query the value of {name}: attribute does not exist"),
        ));
    }
    Ok(lines.concat())
}

/// The members of this partition, as `crm_node -p` prints them.
pub(super) fn partition(status: &Status) -> String {
    let names: Vec<&str> = status
        .nodes
        .iter()
        .filter(|node| node.state.is_member() || node.name == status.node)
        .map(|node| node.name.as_str())
        .collect();
    format!("{} \n", names.join(" "))
}

/// Every node, as `crm_node -l` prints them.
pub(super) fn nodes(status: &Status) -> String {
    let line = |node: &NodeStatus| {
        let state = if node.state.is_member() { "member" } else { "lost" };
        format!("{} {} {state}\n", node.id, node.name)
    };
    status.nodes.iter().filter(|node| !node.witness).map(line).collect()
}

/// Where a resource is, as `crm_resource --locate` prints it.
pub(super) fn located(status: &Status, id: &str, quiet: bool) -> Result<String, ApiError> {
    let resource = find(&status.resources, id)
        .ok_or_else(|| ApiError::new(Code::NoSuchObject, format!("resource '{id}' not found")))?;
    let mut active: Vec<(String, Role)> = Vec::new();
    collect(resource, &mut active);
    active.dedup();
    if active.is_empty() {
        return Ok(if quiet { String::new() } else { format!("resource {id} is NOT running\n") });
    }
    let line = |(node, role): &(String, Role)| match (quiet, role) {
        (true, _) => format!("{node}\n"),
        (false, Role::Promoted) => format!("resource {id} is running on: {node} Promoted\n"),
        (false, _) => format!("resource {id} is running on: {node} \n"),
    };
    Ok(active.iter().map(line).collect())
}

fn find<'a>(resources: &'a [ResourceStatus], id: &str) -> Option<&'a ResourceStatus> {
    resources.iter().find_map(|resource| {
        if resource.id == id { Some(resource) } else { find(&resource.children, id) }
    })
}

fn collect(resource: &ResourceStatus, active: &mut Vec<(String, Role)>) {
    active.extend(resource.active.iter().map(|active| (active.node.clone(), active.role)));
    resource.children.iter().for_each(|child| collect(child, active));
}

/// The little of `crm_mon --output-as=xml` that agents look for: nodes, and where resources are.
pub(super) fn monitor_xml(status: &Status) -> String {
    let mut text = String::from("<pacemaker-result>\n  <nodes>\n");
    for node in status.nodes.iter().filter(|node| !node.witness) {
        let state = |wanted: NodeState| node.state == wanted;
        text.push_str(&format!(
            "    <node name=\"{}\" id=\"{}\" online=\"{}\" standby=\"{}\" maintenance=\"{}\" \
             pending=\"{}\" unclean=\"{}\" resources_running=\"{}\" type=\"member\"/>\n",
            escaped(&node.name),
            node.id,
            node.state.is_member(),
            state(NodeState::Standby),
            state(NodeState::Maintenance),
            state(NodeState::Pending),
            state(NodeState::Unclean),
            node.running,
        ));
    }
    text.push_str("  </nodes>\n  <resources>\n");
    for resource in &status.resources {
        resource_xml(resource, &mut text);
    }
    text.push_str("  </resources>\n</pacemaker-result>\n");
    text
}

fn resource_xml(resource: &ResourceStatus, text: &mut String) {
    for child in &resource.children {
        resource_xml(child, text);
    }
    let Some(agent) = &resource.agent else { return };
    for active in &resource.active {
        let failed = active.role == Role::Failed;
        text.push_str(&format!(
            "    <resource id=\"{}\" resource_agent=\"{}\" role=\"{}\" active=\"true\" \
             orphaned=\"false\" blocked=\"false\" managed=\"{}\" failed=\"{failed}\" \
             failure_ignored=\"false\" nodes_running_on=\"1\"><node name=\"{}\" \
             cached=\"true\"/></resource>\n",
            escaped(&resource.id),
            escaped(agent),
            active.role.word(),
            resource.managed,
            escaped(&active.node),
        ));
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
