//! Agents of others, judged by what they say of themselves on this node.
//!
//! Their descriptions are not ours: what contradicts one can be loaded with `--force`, and an agent that is not here or
//! cannot be read only earns a warning, unless its name is a slip of one that is known.

use std::collections::BTreeMap;

use haven_base::nearest;
use haven_types::agent::{AgentDescription, AgentReport};

use super::resources::parameters;
use super::values::millis;
use super::{Finding, View};
use crate::model::{Operation, Primitive};

/// Parameters that are for the shell of OCF agents, not for the agent.
const OF_THE_SHELL: [&str; 2] = ["trace_ra", "trace_file"];
/// Actions whose timeout counts without being configured.
const ALWAYS: [&str; 2] = ["start", "stop"];
/// The timeout of an operation that none is given for.
const DEFAULT_TIMEOUT: &str = "20s";

pub(super) fn check(view: &View<'_>, findings: &mut Vec<Finding>) {
    if view.facts.foreign.is_empty() {
        return;
    }
    for primitive in &view.primitives {
        let Some(agent) = view.agent(primitive) else { continue };
        let told = match view.facts.foreign.get(&agent) {
            None => continue,
            Some(AgentReport::Described(told)) => told,
            Some(AgentReport::Absent) => {
                let message = format!(
                    "{agent} is not installed on {}: its parameters are not judged",
                    view.facts.here
                );
                let fix = format!(
                    "install it on every node that may run {id}, or forbid {id} those that lack it",
                    id = primitive.id
                );
                let finding = match meant(view, &agent) {
                    None => Finding::warning("HV0322", message).fix(fix),
                    Some(meant) => {
                        let message = format!("there is no agent {agent} on {}", view.facts.here);
                        let fix = format!("write {meant}, or {fix}");
                        Finding::error("HV0322", message).near(Some(&meant)).fix(fix).overridable()
                    }
                };
                findings.push(finding.about(&primitive.id));
                continue;
            }
            Some(AgentReport::Broken(reason)) => {
                findings.push(broken(view, primitive, &agent, reason));
                continue;
            }
        };
        if let Some(flaw) = &told.flaw {
            let reason = format!("its metadata {flaw}");
            findings.push(broken(view, primitive, &agent, &reason));
        }
        names(view, primitive, &agent, told, findings);
        timeouts(view, primitive, &agent, told, findings);
    }
}

/// Providers whose agents most hosts have.
const PROVIDERS: [&str; 2] = ["heartbeat", "pacemaker"];

/// The agent that was meant by a name that is none here: one of ours where its provider, and perhaps its type, is
/// nearly ours; else the same type of a provider with nearly that name. Of others' types nothing is known.
fn meant(view: &View<'_>, agent: &str) -> Option<String> {
    let (class, rest) = agent.split_once(':')?;
    let (provider, kind) = rest.split_once(':')?;
    let like = |found: &str, known: &str| found == known || nearest(found, [known]).is_some();
    let ours = view.facts.agents.keys().find(|known| {
        let mut parts = known.splitn(3, ':');
        let theirs = (parts.next(), parts.next(), parts.next());
        matches!(theirs, (Some(of), Some(by), Some(it))
            if of == class && like(provider, by) && like(kind, it))
    });
    if let Some(ours) = ours {
        return Some(ours.clone());
    }
    let here = view.facts.foreign.iter();
    let here = here.filter(|(_, report)| !matches!(report, AgentReport::Absent));
    let known = here.map(|(name, _)| name).chain(view.facts.agents.keys());
    let known = known.filter_map(|name| match name.split(':').collect::<Vec<_>>()[..] {
        [of, provider, _] if of == class => Some(provider),
        _ => None,
    });
    let known: Vec<&str> = known.chain(PROVIDERS).collect();
    if class != "ocf" || known.contains(&provider) {
        return None;
    }
    nearest(provider, known).map(|by| format!("{class}:{by}:{kind}"))
}

fn broken(view: &View<'_>, primitive: &Primitive, agent: &str, reason: &str) -> Finding {
    let message =
        format!("what {agent} says of itself on {} is not usable: {reason}", view.facts.here);
    Finding::warning("HV0323", message)
        .about(&primitive.id)
        .fix("mend or update its package; it works all the same, but its parameters are not judged")
}

fn names(
    view: &View<'_>,
    primitive: &Primitive,
    agent: &str,
    told: &AgentDescription,
    findings: &mut Vec<Finding>,
) {
    let given = parameters(view, primitive);
    let script = agent.starts_with("ocf:");
    let known: Vec<&str> = told.params.keys().map(String::as_str).collect();
    for name in given.keys() {
        if told.params.contains_key(name) || (script && OF_THE_SHELL.contains(&name.as_str())) {
            continue;
        }
        let near = nearest(name, known.iter().copied());
        let fix = match (near, known.is_empty()) {
            (Some(near), _) => format!("write {near}=…"),
            (None, true) => "leave it out: it takes none".to_owned(),
            (None, false) => format!("parameters are {}", known.join(", ")),
        };
        let message = format!("{agent} has no parameter \"{name}\"");
        let certain = script && told.flaw.is_none();
        let finding = match certain {
            true => Finding::error("HV0302", message).overridable(),
            false => Finding::warning("HV0302", message),
        };
        findings.push(finding.about(&primitive.id).near(near).fix(fix));
    }
    for (name, _) in told.params.iter().filter(|(_, param)| param.required) {
        let old = told.params.iter().filter(|(_, p)| p.alias_of.as_ref() == Some(name));
        let present =
            given.contains_key(name) || old.into_iter().any(|(alias, _)| given.contains_key(alias));
        if !present {
            findings.push(
                Finding::error("HV0303", format!("{agent} needs the parameter \"{name}\""))
                    .about(&primitive.id)
                    .fix(format!("add: params {name}=…"))
                    .overridable(),
            );
        }
    }
}

/// Timeouts that are shorter than the agent advises.
fn timeouts(
    view: &View<'_>,
    primitive: &Primitive,
    agent: &str,
    told: &AgentDescription,
    findings: &mut Vec<Finding>,
) {
    let by_default = super::value(&view.cib.op_defaults, "timeout").unwrap_or(DEFAULT_TIMEOUT);
    let template = primitive
        .template
        .as_ref()
        .and_then(|id| view.cib.templates.iter().find(|template| template.id == *id));
    let all: Vec<&Operation> = primitive
        .operations
        .iter()
        .chain(template.iter().flat_map(|template| &template.operations))
        .collect();
    let mut said: BTreeMap<&str, (&str, u64)> = BTreeMap::new();
    for (action, advice) in &told.timeouts {
        let Some(least) = millis(advice) else { continue };
        let configured: Vec<&&Operation> = all.iter().filter(|op| op.name == *action).collect();
        let given = configured.iter().map(|op| op.options.get("timeout").map_or(by_default, |t| t));
        let implied =
            (configured.is_empty() && ALWAYS.contains(&action.as_str())).then_some(by_default);
        let shortest = given.chain(implied).filter_map(|text| Some((text, millis(text)?)));
        // 0 is without a limit.
        let shortest = shortest.filter(|(_, time)| *time > 0).min_by_key(|(_, time)| *time);
        if let Some((text, time)) = shortest.filter(|(_, time)| *time < least) {
            said.insert(action, (text, time));
        }
    }
    for (action, (text, _)) in said {
        let advice = &told.timeouts[action];
        let message =
            format!("the timeout of {action} is {text}, and {agent} advises {advice} at least");
        let fix = format!("write: op {action} timeout={advice}");
        findings.push(Finding::warning("HV0324", message).about(&primitive.id).fix(fix));
    }
}
