//! What no schema knows and is kept all the same: each is told, for nobody here heeds it.

use crate::crm::document::named;
use crate::crm::finding::Finding;
use crate::model::{Cib, CloneChild, Condition, Constraint, NvSet, Primitive, Resource, Rule};
use crate::unknown::{Kept, Part};
use crate::xml::Element;

const CODE: &str = "HV0402";

/// Adds a warning for each.
pub(super) fn check(cib: &Cib, findings: &mut Vec<Finding>) {
    for (object, kept) in &cib.unknown {
        findings.extend(kept.iter().map(|one| warning(one, object)));
    }
    each_rule(cib, &mut |object, rule| {
        if let Some(condition) = unknown_in(rule) {
            let name = &condition.name;
            let message =
                format!("a rule has a condition <{name}> that no schema knows: it never holds");
            let fix = "remove it, or say what is meant with conditions that are known";
            findings.push(Finding::warning(CODE, message).about(object).fix(fix));
        }
    });
}

fn warning(kept: &Kept, object: &str) -> Finding {
    let inside = kept.place.last().map_or("cib", |step| step.element.as_str());
    let (what, known) = match &kept.part {
        Part::Attribute { name, .. } => {
            (format!("the attribute \"{name}\" of <{inside}> is"), "it is")
        }
        Part::Elements { elements, .. } => {
            let names: Vec<String> = elements.iter().map(|e| format!("<{}>", e.name)).collect();
            let (verb, known) =
                if names.len() == 1 { ("is", "it is") } else { ("are", "they are") };
            (format!("{} in <{inside}> {verb}", names.join(" and ")), known)
        }
        Part::Text(_) => (format!("the text in <{inside}> is"), "it is"),
    };
    let message = format!("{what} known to no schema: {known} kept and not heeded");
    let fix = "needed by no other program of yours? Load the object as XML without it";
    let finding = Finding::warning(CODE, message).fix(fix);
    if object.is_empty() { finding } else { finding.about(named(object)) }
}

fn unknown_in(rule: &Rule) -> Option<&Element> {
    rule.conditions.iter().find_map(|condition| match condition {
        Condition::Unknown(element) => Some(element),
        Condition::Rule(rule) => unknown_in(rule),
        Condition::Attribute(_)
        | Condition::Date(_)
        | Condition::Resource { .. }
        | Condition::Operation { .. } => None,
    })
}

/// Visits the outermost rules with the names of the objects that they are in.
fn each_rule(cib: &Cib, visit: &mut dyn FnMut(&str, &Rule)) {
    let mut sets = |object: &str, lists: &[&Vec<NvSet>]| {
        let rules = lists.iter().flat_map(|list| list.iter()).filter_map(|set| set.rule.as_ref());
        rules.for_each(|rule| visit(object, rule));
    };
    for set in cib.options.iter().chain(&cib.rsc_defaults).chain(&cib.op_defaults) {
        if set.rule.is_some() {
            sets(named(&set.id), &[&vec![set.clone()]]);
        }
    }
    for node in &cib.nodes {
        sets(&node.uname, &[&node.attributes, &node.utilization]);
    }
    let mut primitive = |p: &Primitive| {
        sets(&p.id, &[&p.meta, &p.params, &p.utilization]);
        p.operations.iter().for_each(|op| sets(&p.id, &[&op.meta, &op.params]));
    };
    cib.templates.iter().for_each(&mut primitive);
    for resource in &cib.resources {
        resource.primitives().into_iter().for_each(&mut primitive);
    }
    for resource in &cib.resources {
        match resource {
            Resource::Primitive(_) => {}
            Resource::Group(group) => sets(&group.id, &[&group.meta, &group.params]),
            Resource::Bundle(bundle) => sets(&bundle.id, &[&bundle.meta, &bundle.params]),
            Resource::Clone(clone) => {
                sets(&clone.id, &[&clone.meta, &clone.params]);
                if let CloneChild::Group(group) = &*clone.child {
                    sets(&group.id, &[&group.meta, &group.params]);
                }
            }
        }
    }
    for constraint in &cib.constraints {
        if let Constraint::Location(location) = constraint {
            location.rules.iter().for_each(|rule| visit(&location.id, rule));
        }
    }
}
