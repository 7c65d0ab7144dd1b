//! Typed document to element tree.

use std::collections::BTreeMap;

use crate::model::{
    Bundle, Cib, CloneChild, CloneResource, Condition, Constraint, FencingLevel, Group, NvSet,
    Operation, Primitive, Resource, ResourceSet, Rule,
};
use crate::unknown;
use crate::xml::Element;

/// The configuration as a `<cib>` element without a status section.
pub(crate) fn write_cib(cib: &Cib) -> Element {
    let mut root = Element::new("cib");
    root.push_opt("crm_feature_set", cib.crm_feature_set.as_ref());
    root.push_opt("validate-with", cib.validate_with.as_ref());
    root.push("admin_epoch", cib.version.admin_epoch.to_string());
    root.push("epoch", cib.version.epoch.to_string());
    root.push("num_updates", cib.version.num_updates.to_string());
    let mut c = Element::new("configuration");
    c.children.push(section("crm_config", nvsets("cluster_property_set", &cib.options)));
    c.children.push(section("nodes", cib.nodes.iter().map(node).collect()));
    let templates = cib.templates.iter().map(|t| primitive("template", t));
    let resources = cib.resources.iter().map(resource);
    c.children.push(section("resources", templates.chain(resources).collect()));
    c.children.push(section("constraints", cib.constraints.iter().map(constraint).collect()));
    let optional = [
        section("fencing-topology", levels(cib)),
        section("tags", tags(cib)),
        section("rsc_defaults", nvsets("meta_attributes", &cib.rsc_defaults)),
        section("op_defaults", nvsets("meta_attributes", &cib.op_defaults)),
        section("alerts", cib.alerts.clone()),
        section("acls", cib.acls.clone()),
    ];
    c.children.extend(optional.into_iter().filter(|s| !s.children.is_empty()));
    root.children.push(c);
    unknown::put_back(&mut root, &cib.unknown);
    root
}

fn section(name: &str, children: Vec<Element>) -> Element {
    Element { children, ..Element::new(name) }
}

fn levels(cib: &Cib) -> Vec<Element> {
    cib.fencing_topology.iter().map(level).collect()
}

/// A level of fencing as an element.
pub(crate) fn level(l: &FencingLevel) -> Element {
    let mut e = Element::new("fencing-level");
    e.push("id", &l.id);
    e.push_opt("target", l.target.as_ref());
    e.push_opt("target-pattern", l.target_pattern.as_ref());
    e.push_opt("target-attribute", l.target_attribute.as_ref());
    e.push_opt("target-value", l.target_value.as_ref());
    e.push_opt("index", l.index.as_ref());
    e.push("devices", l.devices.join(","));
    e
}

fn tags(cib: &Cib) -> Vec<Element> {
    cib.tags
        .iter()
        .map(|t| {
            let mut e = Element::new("tag");
            e.push("id", &t.id);
            for m in &t.members {
                let mut r = Element::new("obj_ref");
                r.push("id", m);
                e.children.push(r);
            }
            e
        })
        .collect()
}

fn nvsets(name: &str, sets: &[NvSet]) -> Vec<Element> {
    sets.iter().map(|s| nvset(name, s)).collect()
}

pub(crate) fn nvset(name: &str, set: &NvSet) -> Element {
    let mut e = Element::new(name);
    e.push("id", &set.id);
    e.push_opt("score", set.score.as_ref());
    if let Some(r) = &set.rule {
        e.children.push(rule(r));
    }
    for p in &set.pairs {
        let mut c = Element::new("nvpair");
        c.push_opt("id", p.id.as_ref());
        c.push("name", &p.name);
        c.push_opt("value", p.value.as_ref());
        e.children.push(c);
    }
    e
}

pub(crate) fn rule(r: &Rule) -> Element {
    let mut e = Element::new("rule");
    e.push("id", &r.id);
    e.push_opt("role", r.role.as_ref());
    e.push_opt("score", r.score.as_ref());
    e.push_opt("score-attribute", r.score_attribute.as_ref());
    e.push_opt("boolean-op", r.boolean_op.as_ref());
    e.children.extend(r.conditions.iter().map(condition));
    e
}

fn condition(c: &Condition) -> Element {
    match c {
        Condition::Rule(r) => rule(r),
        Condition::Attribute(t) => {
            let mut e = Element::new("expression");
            e.push("id", &t.id);
            e.push_opt("attribute", t.attribute.as_ref());
            e.push_opt("operation", t.operation.as_ref());
            e.push_opt("value", t.value.as_ref());
            e.push_opt("type", t.kind.as_ref());
            e.push_opt("value-source", t.value_source.as_ref());
            e
        }
        Condition::Date(t) => {
            let mut e = Element::new("date_expression");
            e.push("id", &t.id);
            e.push_opt("operation", t.operation.as_ref());
            e.push_opt("start", t.start.as_ref());
            e.push_opt("end", t.end.as_ref());
            for (name, map) in [("duration", &t.duration), ("date_spec", &t.spec)] {
                if let Some(map) = map {
                    let mut d = from_map(name, map);
                    d.attributes.insert(0, ("id".into(), format!("{}-{name}", t.id)));
                    e.children.push(d);
                }
            }
            e
        }
        Condition::Resource { id, class, provider, kind } => {
            let mut e = Element::new("rsc_expression");
            e.push("id", id);
            e.push_opt("class", class.as_ref());
            e.push_opt("provider", provider.as_ref());
            e.push_opt("type", kind.as_ref());
            e
        }
        Condition::Operation { id, name, interval } => {
            let mut e = Element::new("op_expression");
            e.push("id", id);
            e.push_opt("name", name.as_ref());
            e.push_opt("interval", interval.as_ref());
            e
        }
        Condition::Unknown(element) => element.clone(),
    }
}

fn from_map(name: &str, map: &BTreeMap<String, String>) -> Element {
    let mut e = Element::new(name);
    for (n, v) in map {
        e.push(n, v);
    }
    e
}

/// A node as an element.
pub(crate) fn node(n: &crate::Node) -> Element {
    let mut e = Element::new("node");
    e.push("id", &n.id);
    e.push("uname", &n.uname);
    e.push_opt("type", n.kind.as_ref());
    e.push_opt("description", n.description.as_ref());
    e.push_opt("score", n.score.as_ref());
    e.children.extend(nvsets("instance_attributes", &n.attributes));
    e.children.extend(nvsets("utilization", &n.utilization));
    e
}

/// A resource as an element.
pub(crate) fn resource(r: &Resource) -> Element {
    match r {
        Resource::Primitive(p) => primitive("primitive", p),
        Resource::Group(g) => group(g),
        Resource::Clone(c) => clone(c),
        Resource::Bundle(b) => bundle(b),
    }
}

fn common(
    e: &mut Element,
    id: &str,
    description: Option<&String>,
    meta: &[NvSet],
    params: &[NvSet],
) {
    e.attributes.insert(0, ("id".into(), id.to_owned()));
    e.push_opt("description", description);
    e.children.extend(nvsets("meta_attributes", meta));
    e.children.extend(nvsets("instance_attributes", params));
}

/// A primitive or template (`name`) as an element.
pub(crate) fn primitive(name: &str, p: &Primitive) -> Element {
    let mut e = Element::new(name);
    e.push_opt("class", p.class.as_ref());
    e.push_opt("provider", p.provider.as_ref());
    e.push_opt("type", p.kind.as_ref());
    e.push_opt("template", p.template.as_ref());
    common(&mut e, &p.id, p.description.as_ref(), &p.meta, &p.params);
    if !p.operations.is_empty() {
        e.children.push(section("operations", p.operations.iter().map(operation).collect()));
    }
    e.children.extend(nvsets("utilization", &p.utilization));
    e
}

fn operation(o: &Operation) -> Element {
    let mut e = Element::new("op");
    e.push("id", &o.id);
    e.push("name", &o.name);
    // The schemas want one, also where nothing recurs.
    e.push("interval", o.interval.as_deref().unwrap_or("0"));
    for (n, v) in &o.options {
        e.push(n, v);
    }
    e.children.extend(nvsets("meta_attributes", &o.meta));
    e.children.extend(nvsets("instance_attributes", &o.params));
    e
}

fn group(g: &Group) -> Element {
    let mut e = Element::new("group");
    common(&mut e, &g.id, g.description.as_ref(), &g.meta, &g.params);
    e.children.extend(g.members.iter().map(|p| primitive("primitive", p)));
    e
}

fn clone(c: &CloneResource) -> Element {
    let mut e = Element::new(if c.master { "master" } else { "clone" });
    common(&mut e, &c.id, c.description.as_ref(), &c.meta, &c.params);
    e.children.push(match &*c.child {
        CloneChild::Primitive(p) => primitive("primitive", p),
        CloneChild::Group(g) => group(g),
    });
    e
}

fn bundle(b: &Bundle) -> Element {
    let mut e = Element::new("bundle");
    common(&mut e, &b.id, b.description.as_ref(), &b.meta, &b.params);
    if !b.container.is_empty() {
        e.children.push(from_map(&b.container, &b.container_options));
    }
    if let Some(network) = &b.network {
        let mut n = from_map("network", network);
        n.children.extend(b.ports.iter().map(|p| from_map("port-mapping", p)));
        e.children.push(n);
    }
    if !b.storage.is_empty() {
        let maps = b.storage.iter().map(|s| from_map("storage-mapping", s)).collect();
        e.children.push(section("storage", maps));
    }
    e.children.extend(b.primitive.iter().map(|p| primitive("primitive", p)));
    e
}

/// A constraint as an element.
pub(crate) fn constraint(c: &Constraint) -> Element {
    let mut e;
    match c {
        Constraint::Location(l) => {
            e = Element::new("rsc_location");
            e.push("id", &l.id);
            e.push_opt("rsc", l.resource.as_ref());
            e.push_opt("rsc-pattern", l.pattern.as_ref());
            e.push_opt("node", l.node.as_ref());
            e.push_opt("score", l.score.as_ref());
            e.push_opt("role", l.role.as_ref());
            e.push_opt("resource-discovery", l.discovery.as_ref());
            e.children.extend(l.sets.iter().map(set));
            e.children.extend(l.rules.iter().map(rule));
            if let Some(rules) = &l.lifetime {
                e.children.push(section("lifetime", rules.iter().map(rule).collect()));
            }
        }
        Constraint::Colocation(l) => {
            e = Element::new("rsc_colocation");
            e.push("id", &l.id);
            e.push_opt("score", l.score.as_ref());
            e.push_opt("rsc", l.dependent.as_ref());
            e.push_opt("rsc-role", l.dependent_role.as_ref());
            e.push_opt("rsc-instance", l.dependent_instance.as_ref());
            e.push_opt("with-rsc", l.primary.as_ref());
            e.push_opt("with-rsc-role", l.primary_role.as_ref());
            e.push_opt("with-rsc-instance", l.primary_instance.as_ref());
            e.push_opt("node-attribute", l.node_attribute.as_ref());
            e.push_opt("influence", l.influence.as_ref());
            e.children.extend(l.sets.iter().map(set));
        }
        Constraint::Order(o) => {
            e = Element::new("rsc_order");
            e.push("id", &o.id);
            e.push_opt("first", o.first.as_ref());
            e.push_opt("first-action", o.first_action.as_ref());
            e.push_opt("first-instance", o.first_instance.as_ref());
            e.push_opt("then", o.then.as_ref());
            e.push_opt("then-action", o.then_action.as_ref());
            e.push_opt("then-instance", o.then_instance.as_ref());
            e.push_opt("kind", o.kind.as_ref());
            e.push_opt("score", o.score.as_ref());
            e.push_opt("symmetrical", o.symmetrical.as_ref());
            e.push_opt("require-all", o.require_all.as_ref());
            e.children.extend(o.sets.iter().map(set));
        }
        Constraint::Ticket(t) => {
            e = Element::new("rsc_ticket");
            e.push("id", &t.id);
            e.push_opt("ticket", t.ticket.as_ref());
            e.push_opt("rsc", t.resource.as_ref());
            e.push_opt("rsc-role", t.role.as_ref());
            e.push_opt("loss-policy", t.loss_policy.as_ref());
            e.children.extend(t.sets.iter().map(set));
        }
    }
    e
}

fn set(s: &ResourceSet) -> Element {
    let mut e = Element::new("resource_set");
    e.push("id", &s.id);
    e.push_opt("sequential", s.sequential.as_ref());
    e.push_opt("require-all", s.require_all.as_ref());
    e.push_opt("ordering", s.ordering.as_ref());
    e.push_opt("action", s.action.as_ref());
    e.push_opt("role", s.role.as_ref());
    e.push_opt("score", s.score.as_ref());
    e.push_opt("kind", s.kind.as_ref());
    for m in &s.members {
        let mut r = Element::new("resource_ref");
        r.push("id", m);
        e.children.push(r);
    }
    e
}
