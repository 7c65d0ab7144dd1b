//! Agents and their parameters.

use std::collections::BTreeMap;

use haven_base::nearest;

use super::{AgentFacts, Finding, View};
use crate::model::{NvSet, Primitive};

pub(super) fn check(view: &View<'_>, findings: &mut Vec<Finding>) {
    let mut taken: BTreeMap<(String, String, String), &str> = BTreeMap::new();
    for primitive in &view.primitives {
        let Some(agent) = view.agent(primitive) else { continue };
        findings.extend(primitive.operations.iter().filter_map(|it| slip(primitive, &it.name)));
        if !primitive.operations.iter().any(|operation| operation.name == "monitor")
            && !from_template(view, primitive)
        {
            findings.push(
                Finding::warning("HV0313", "no recurring monitor: a failure would not be noticed")
                    .about(&primitive.id)
                    .fix("add: op monitor interval=10s"),
            );
        }
        let Some(facts) = view.facts.agents.get(&agent) else {
            if view.facts.complete.iter().any(|start| agent.starts_with(start)) {
                let known = view.facts.agents.keys().map(String::as_str);
                let all: Vec<&str> = view.facts.agents.keys().map(String::as_str).collect();
                findings.push(
                    Finding::error("HV0301", format!("there is no agent {agent}"))
                        .about(&primitive.id)
                        .near(nearest(&agent, known))
                        .fix(format!("agents are {}", all.join(", "))),
                );
            }
            continue;
        };
        let given = parameters(view, primitive);
        judge_parameters(primitive, &agent, facts, &given, findings);
        for (name, param) in facts.params.iter().filter(|(_, param)| param.unique) {
            let Some(value) = given.get(name) else { continue };
            let name = param.alias_of.as_ref().unwrap_or(name);
            let key = (agent.clone(), name.clone(), value.clone());
            if let Some(other) = taken.get(&key) {
                let message = format!("{name}={value} is that of \"{other}\", too");
                findings.push(
                    Finding::error("HV0305", message).about(&primitive.id).fix(format!(
                        "give each resource its own {name}, or remove one of the two"
                    )),
                );
            } else {
                taken.insert(key, &primitive.id);
            }
        }
    }
}

/// Operations that agents of any class know.
const OPERATIONS: &[&str] = &[
    "demote",
    "list",
    "meta-data",
    "migrate_from",
    "migrate_to",
    "monitor",
    "notify",
    "off",
    "on",
    "promote",
    "reboot",
    "reload",
    "reload-agent",
    "start",
    "status",
    "stop",
    "validate-all",
];

/// An operation that none knows and that is near to a known one. Others an agent may have of its own.
fn slip(primitive: &Primitive, operation: &str) -> Option<Finding> {
    if OPERATIONS.contains(&operation) {
        return None;
    }
    let near = nearest(operation, OPERATIONS.iter().copied())?;
    let finding = Finding::error("HV0326", format!("there is no operation \"{operation}\""));
    Some(
        finding.about(&primitive.id).near(Some(near)).fix(format!("write op {near}")).overridable(),
    )
}

fn from_template(view: &View<'_>, primitive: &Primitive) -> bool {
    let template = primitive
        .template
        .as_ref()
        .and_then(|id| view.cib.templates.iter().find(|template| template.id == *id));
    template.is_some_and(|template| template.operations.iter().any(|o| o.name == "monitor"))
}

/// The parameters that count on every node: those of the template, then its own; blocks with a rule
/// count, too, for they may hold on some node.
pub(super) fn parameters(view: &View<'_>, primitive: &Primitive) -> BTreeMap<String, String> {
    let template = primitive
        .template
        .as_ref()
        .and_then(|id| view.cib.templates.iter().find(|template| template.id == *id));
    let sets = template.map_or([].as_slice(), |template| template.params.as_slice());
    let mut given = BTreeMap::new();
    let pairs = |set: &NvSet| set.pairs.clone();
    for pair in sets.iter().chain(&primitive.params).flat_map(pairs) {
        given.insert(pair.name, pair.value.unwrap_or_default());
    }
    given
}

fn judge_parameters(
    primitive: &Primitive,
    agent: &str,
    facts: &AgentFacts,
    given: &BTreeMap<String, String>,
    findings: &mut Vec<Finding>,
) {
    let mut good = true;
    for name in given.keys().filter(|name| !facts.params.contains_key(*name)) {
        good = false;
        let known: Vec<&str> = facts.params.keys().map(String::as_str).collect();
        let near = nearest(name, known.iter().copied());
        let fix = match near {
            Some(near) => format!("write {near}=…"),
            None => format!("parameters are {}", known.join(", ")),
        };
        findings.push(
            Finding::error("HV0302", format!("{agent} has no parameter \"{name}\""))
                .about(&primitive.id)
                .near(near)
                .fix(fix),
        );
    }
    for (name, _) in facts.params.iter().filter(|(_, param)| param.required) {
        let aliases = facts.params.iter().filter(|(_, p)| p.alias_of.as_ref() == Some(name));
        let present =
            given.contains_key(name) || aliases.into_iter().any(|(a, _)| given.contains_key(a));
        if !present {
            good = false;
            findings.push(
                Finding::error("HV0303", format!("{agent} needs the parameter \"{name}\""))
                    .about(&primitive.id)
                    .fix(format!("add: params {name}=…")),
            );
        }
    }
    if good && let Some(judge) = facts.judge {
        for (parameter, problem) in judge(given) {
            findings.push(
                Finding::error("HV0304", problem)
                    .about(&primitive.id)
                    .fix(format!("correct {parameter} in the params of {}", primitive.id)),
            );
        }
    }
}
