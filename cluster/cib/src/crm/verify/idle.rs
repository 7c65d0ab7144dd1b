//! What is accepted and stored, and nothing here carries out: each is told, for it looks as if it counted.

use super::{Finding, View, value};
use crate::boolean;
use crate::crm::document::named;
use crate::crm::names::RENAMED_PROPERTIES;
use crate::model::{Constraint, Primitive, Resource};

const CODE: &str = "HV0327";

/// Cluster options that nothing reads. Those that only tell of a cluster, such as its name, promise nothing.
const OPTIONS: &[&str] = &[
    "cluster-ipc-limit",
    "cluster-recheck-interval",
    "dc-deadtime",
    "election-timeout",
    "fencing-max-attempts",
    "fencing-reaction",
    "fencing-watchdog-timeout",
    "join-finalization-timeout",
    "join-integration-timeout",
    "load-threshold",
    "pe-error-series-max",
    "pe-input-series-max",
    "pe-warn-series-max",
    "remove-after-stop",
    "shutdown-escalation",
    "transition-delay",
];

/// Adds a warning for each.
pub(super) fn check(view: &View<'_>, findings: &mut Vec<Finding>) {
    for set in &view.cib.options {
        for pair in &set.pairs {
            let name = pair.name.as_str();
            if name == "enable-acl" && pair.value.as_deref().and_then(boolean) == Some(true) {
                let message =
                    format!("{name} has no effect in this version: roles refuse nobody anything");
                findings.push(warning(message).about(named(&set.id)));
            } else if OPTIONS.contains(&name) {
                // The text may have it under its old name.
                let renamed = RENAMED_PROPERTIES.iter().find(|(_, present)| *present == name);
                let old = renamed.map(|(old, _)| format!(" ({old})")).unwrap_or_default();
                let message = format!("{name}{old} has no effect in this version");
                findings.push(warning(message).about(named(&set.id)));
            }
        }
    }
    for primitive in &view.primitives {
        if let Some(message) = idle(view, primitive) {
            findings.push(warning(message).about(&primitive.id));
        }
    }
    for resource in &view.cib.resources {
        if let Resource::Bundle(bundle) = resource
            && let Some(inside) = &bundle.primitive
        {
            let message = format!(
                "nothing runs {} in a container in this version: the bundle's nodes never come up",
                inside.id
            );
            findings.push(warning(message).about(&bundle.id));
        }
    }
    for constraint in view.whole_constraints() {
        if let Constraint::Ticket(needed) = constraint
            && let Some(ticket) = &needed.ticket
        {
            let message = format!(
                "nothing can grant the ticket \"{ticket}\" in this version: what needs it does not run, or is not promoted"
            );
            findings.push(warning(message).about(&needed.id));
        }
    }
}

/// What becomes of a resource for which there is nothing here but its declaration.
fn idle(view: &View<'_>, primitive: &Primitive) -> Option<String> {
    let agent = view.agent(primitive)?;
    if agent.starts_with("stonith:") {
        return Some(format!("nothing calls {agent} in this version: it fences no node"));
    }
    if agent == "ocf:pacemaker:remote" {
        return Some(format!(
            "nothing connects to the remote node {} in this version",
            primitive.id
        ));
    }
    let guest = value(&primitive.meta, "remote-node")?;
    Some(format!("nothing connects to the guest node {guest} in this version"))
}

fn warning(message: String) -> Finding {
    Finding::warning(CODE, message).fix("remove it, or keep it for Pacemaker")
}
