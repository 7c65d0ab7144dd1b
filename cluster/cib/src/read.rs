//! Element tree to typed document. What no schema knows was taken out of the tree before, so that only known names
//! are met; those without a meaning of their own are passed over.

use std::collections::BTreeMap;

use crate::CibError;
use crate::model::{
    AttributeTest, Bundle, Cib, CloneChild, CloneResource, Colocation, Condition, Constraint,
    DateTest, FencingLevel, Group, Location, Node, NvPair, NvSet, Operation, Order, Primitive,
    Resource, ResourceSet, Rule, Tag, TicketConstraint, Version,
};
use crate::xml::{Element, Markup};

/// Elements that can be referred to by `id-ref`, by tag and id.
type Known<'a> = BTreeMap<(&'a str, &'a str), &'a Markup<'a>>;

struct Reader<'a> {
    known: Known<'a>,
}

/// Reads the configuration of a `<cib>` element, which may have `references` (`id-ref`) in it.
pub(crate) fn read_cib(root: &Markup<'_>, references: bool) -> Result<Cib, CibError> {
    let mut known = Known::new();
    if references {
        index(root, &mut known);
    }
    let reader = Reader { known };
    let number = |name: &str| root.attr(name).and_then(|v| v.parse().ok()).unwrap_or(0);
    let mut cib = Cib {
        version: Version {
            admin_epoch: number("admin_epoch"),
            epoch: number("epoch"),
            num_updates: number("num_updates"),
        },
        validate_with: root.get("validate-with"),
        crm_feature_set: root.get("crm_feature_set"),
        ..Cib::default()
    };
    let Some(configuration) = root.child("configuration") else {
        return Ok(cib);
    };
    for section in &configuration.children {
        reader.section(section, &mut cib)?;
    }
    Ok(cib)
}

fn index<'a>(element: &'a Markup<'a>, known: &mut Known<'a>) {
    for child in &element.children {
        if child.name == "status" {
            continue;
        }
        if let Some(id) = child.attr("id") {
            known.entry((child.name, id)).or_insert(child);
        }
        index(child, known);
    }
}

fn id_of(e: &Markup<'_>) -> Result<String, CibError> {
    e.get("id").ok_or_else(|| CibError::Missing {
        line: e.line,
        element: e.name.to_owned(),
        attribute: "id",
    })
}

fn all_but(e: &Markup<'_>, skip: &[&str]) -> BTreeMap<String, String> {
    let kept = e.attributes.iter().filter(|(n, _)| !skip.contains(n));
    kept.map(|(n, v)| ((*n).to_owned(), v.clone().into_owned())).collect()
}

fn elements(section: &Markup<'_>) -> Vec<Element> {
    section.children.iter().map(Markup::to_element).collect()
}

impl<'a> Reader<'a> {
    /// The element itself, or the one its `id-ref` names.
    fn resolve(&self, e: &'a Markup<'a>) -> Result<&'a Markup<'a>, CibError> {
        let Some(id) = e.attr("id-ref") else { return Ok(e) };
        self.known.get(&(e.name, id)).copied().ok_or_else(|| CibError::DanglingReference {
            line: e.line,
            element: e.name.to_owned(),
            id: id.to_owned(),
        })
    }

    fn section(&self, section: &'a Markup<'a>, cib: &mut Cib) -> Result<(), CibError> {
        match section.name {
            "crm_config" => {
                cib.options = self.nvsets(section, "cluster_property_set")?;
            }
            "nodes" => {
                for e in &section.children {
                    cib.nodes.push(self.node(e)?);
                }
            }
            "resources" => {
                cib.resources.reserve_exact(section.children.len());
                for e in &section.children {
                    if e.name == "template" {
                        cib.templates.push(self.primitive(e)?);
                    } else {
                        cib.resources.extend(self.resource(e)?);
                    }
                }
            }
            "constraints" => {
                cib.constraints.reserve_exact(section.children.len());
                for e in &section.children {
                    cib.constraints.extend(self.constraint(e)?);
                }
            }
            "fencing-topology" => {
                for e in section.children_named("fencing-level") {
                    cib.fencing_topology.push(fencing_level(e)?);
                }
            }
            "tags" => {
                for e in section.children_named("tag") {
                    cib.tags.push(tag(e)?);
                }
            }
            "rsc_defaults" => cib.rsc_defaults = self.nvsets(section, "meta_attributes")?,
            "op_defaults" => cib.op_defaults = self.nvsets(section, "meta_attributes")?,
            "alerts" => cib.alerts = elements(section),
            "acls" => cib.acls = elements(section),
            _ => {}
        }
        Ok(())
    }

    fn nvsets(&self, parent: &'a Markup<'a>, name: &str) -> Result<Vec<NvSet>, CibError> {
        let mut sets = Vec::new();
        for e in parent.children.iter().filter(|c| c.name == name) {
            sets.push(self.nvset(self.resolve(e)?)?);
        }
        // There is one, nearly always.
        sets.shrink_to_fit();
        Ok(sets)
    }

    fn nvset(&self, e: &'a Markup<'a>) -> Result<NvSet, CibError> {
        let mut set = NvSet {
            id: e.get("id").unwrap_or_default(),
            score: e.get("score"),
            ..NvSet::default()
        };
        // Very old documents wrap the pairs in <attributes>.
        let inner = e.child("attributes").unwrap_or(e);
        set.pairs.reserve_exact(inner.children.len());
        for c in &inner.children {
            match c.name {
                "nvpair" => set.pairs.push(self.nvpair(c)?),
                "rule" => set.rule = Some(self.rule(self.resolve(c)?)?),
                _ => {}
            }
        }
        Ok(set)
    }

    fn nvpair(&self, e: &'a Markup<'a>) -> Result<NvPair, CibError> {
        let name = e.get("name");
        let e = self.resolve(e)?;
        let name = name.or_else(|| e.get("name")).ok_or_else(|| CibError::Missing {
            line: e.line,
            element: e.name.to_owned(),
            attribute: "name",
        })?;
        Ok(NvPair { id: e.get("id"), name, value: e.get("value") })
    }

    fn rule(&self, e: &'a Markup<'a>) -> Result<Rule, CibError> {
        let mut rule = Rule {
            id: e.get("id").unwrap_or_default(),
            score: e.get("score"),
            score_attribute: e.get("score-attribute"),
            boolean_op: e.get("boolean-op"),
            role: e.get("role"),
            conditions: Vec::new(),
        };
        for c in &e.children {
            rule.conditions.push(self.condition(c)?);
        }
        Ok(rule)
    }

    fn condition(&self, e: &'a Markup<'a>) -> Result<Condition, CibError> {
        let id = e.get("id").unwrap_or_default();
        Ok(match e.name {
            "rule" => Condition::Rule(self.rule(self.resolve(e)?)?),
            "expression" => Condition::Attribute(AttributeTest {
                id,
                attribute: e.get("attribute"),
                operation: e.get("operation"),
                value: e.get("value"),
                kind: e.get("type"),
                value_source: e.get("value-source"),
            }),
            "date_expression" => Condition::Date(DateTest {
                id,
                operation: e.get("operation"),
                start: e.get("start"),
                end: e.get("end"),
                duration: e.child("duration").map(|d| all_but(d, &["id"])),
                spec: e.child("date_spec").map(|d| all_but(d, &["id"])),
            }),
            "rsc_expression" => Condition::Resource {
                id,
                class: e.get("class"),
                provider: e.get("provider"),
                kind: e.get("type"),
            },
            "op_expression" => {
                Condition::Operation { id, name: e.get("name"), interval: e.get("interval") }
            }
            _ => Condition::Unknown(e.to_element().without_lines()),
        })
    }

    fn node(&self, e: &'a Markup<'a>) -> Result<Node, CibError> {
        Ok(Node {
            id: id_of(e)?,
            uname: e.get("uname").unwrap_or_default(),
            kind: e.get("type"),
            description: e.get("description"),
            score: e.get("score"),
            attributes: self.nvsets(e, "instance_attributes")?,
            utilization: self.nvsets(e, "utilization")?,
        })
    }

    fn resource(&self, e: &'a Markup<'a>) -> Result<Option<Resource>, CibError> {
        Ok(Some(match e.name {
            "primitive" => Resource::Primitive(self.primitive(e)?),
            "group" => Resource::Group(self.group(e)?),
            "clone" | "master" => {
                let child = e
                    .children
                    .iter()
                    .find(|c| c.name == "primitive" || c.name == "group")
                    .ok_or_else(|| CibError::Empty {
                        line: e.line,
                        element: e.name.to_owned(),
                        expected: "a primitive or a group",
                    })?;
                let child = if child.name == "group" {
                    CloneChild::Group(self.group(child)?)
                } else {
                    CloneChild::Primitive(self.primitive(child)?)
                };
                Resource::Clone(CloneResource {
                    id: id_of(e)?,
                    master: e.name == "master",
                    description: e.get("description"),
                    meta: self.nvsets(e, "meta_attributes")?,
                    params: self.nvsets(e, "instance_attributes")?,
                    child: Box::new(child),
                })
            }
            "bundle" => Resource::Bundle(self.bundle(e)?),
            _ => return Ok(None),
        }))
    }

    fn group(&self, e: &'a Markup<'a>) -> Result<Group, CibError> {
        let mut members = Vec::new();
        for c in e.children_named("primitive") {
            members.push(self.primitive(c)?);
        }
        Ok(Group {
            id: id_of(e)?,
            description: e.get("description"),
            meta: self.nvsets(e, "meta_attributes")?,
            params: self.nvsets(e, "instance_attributes")?,
            members,
        })
    }

    fn primitive(&self, e: &'a Markup<'a>) -> Result<Primitive, CibError> {
        let mut operations = Vec::new();
        for ops in e.children_named("operations") {
            for op in &self.resolve(ops)?.children {
                operations.push(self.operation(self.resolve(op)?)?);
            }
        }
        operations.shrink_to_fit();
        Ok(Primitive {
            id: id_of(e)?,
            class: e.get("class"),
            provider: e.get("provider"),
            kind: e.get("type"),
            template: e.get("template"),
            description: e.get("description"),
            meta: self.nvsets(e, "meta_attributes")?,
            params: self.nvsets(e, "instance_attributes")?,
            operations,
            utilization: self.nvsets(e, "utilization")?,
        })
    }

    fn operation(&self, e: &'a Markup<'a>) -> Result<Operation, CibError> {
        Ok(Operation {
            id: e.get("id").unwrap_or_default(),
            name: e.get("name").unwrap_or_default(),
            interval: e.get("interval"),
            options: all_but(e, &["id", "name", "interval"]),
            meta: self.nvsets(e, "meta_attributes")?,
            params: self.nvsets(e, "instance_attributes")?,
        })
    }

    fn bundle(&self, e: &'a Markup<'a>) -> Result<Bundle, CibError> {
        let mut b = Bundle {
            id: id_of(e)?,
            description: e.get("description"),
            meta: self.nvsets(e, "meta_attributes")?,
            params: self.nvsets(e, "instance_attributes")?,
            ..Bundle::default()
        };
        for c in &e.children {
            match c.name {
                "docker" | "podman" | "rkt" => {
                    b.container = c.name.to_owned();
                    b.container_options = all_but(c, &[]);
                }
                "network" => {
                    b.network = Some(all_but(c, &[]));
                    b.ports = c.children_named("port-mapping").map(|p| all_but(p, &[])).collect();
                }
                "storage" => {
                    b.storage =
                        c.children_named("storage-mapping").map(|p| all_but(p, &[])).collect();
                }
                "primitive" => b.primitive = Some(self.primitive(c)?),
                _ => {}
            }
        }
        Ok(b)
    }

    fn constraint(&self, e: &'a Markup<'a>) -> Result<Option<Constraint>, CibError> {
        Ok(Some(match e.name {
            "rsc_location" => Constraint::Location(self.location(e)?),
            "rsc_colocation" => Constraint::Colocation(Colocation {
                id: id_of(e)?,
                score: e.get("score"),
                dependent: e.get("rsc"),
                dependent_role: e.get("rsc-role"),
                dependent_instance: e.get("rsc-instance"),
                primary: e.get("with-rsc"),
                primary_role: e.get("with-rsc-role"),
                primary_instance: e.get("with-rsc-instance"),
                node_attribute: e.get("node-attribute"),
                influence: e.get("influence"),
                sets: self.sets(e)?,
            }),
            "rsc_order" => Constraint::Order(Order {
                id: id_of(e)?,
                first: e.get("first"),
                first_action: e.get("first-action"),
                first_instance: e.get("first-instance"),
                then: e.get("then"),
                then_action: e.get("then-action"),
                then_instance: e.get("then-instance"),
                kind: e.get("kind"),
                score: e.get("score"),
                symmetrical: e.get("symmetrical"),
                require_all: e.get("require-all"),
                sets: self.sets(e)?,
            }),
            "rsc_ticket" => Constraint::Ticket(TicketConstraint {
                id: id_of(e)?,
                ticket: e.get("ticket"),
                resource: e.get("rsc"),
                role: e.get("rsc-role"),
                loss_policy: e.get("loss-policy"),
                sets: self.sets(e)?,
            }),
            _ => return Ok(None),
        }))
    }

    fn location(&self, e: &'a Markup<'a>) -> Result<Location, CibError> {
        let mut rules = Vec::new();
        for r in e.children_named("rule") {
            rules.push(self.rule(self.resolve(r)?)?);
        }
        let lifetime = match e.child("lifetime") {
            Some(l) => {
                let mut list = Vec::new();
                for r in l.children_named("rule") {
                    list.push(self.rule(self.resolve(r)?)?);
                }
                Some(list)
            }
            None => None,
        };
        Ok(Location {
            id: id_of(e)?,
            resource: e.get("rsc"),
            pattern: e.get("rsc-pattern"),
            sets: self.sets(e)?,
            node: e.get("node"),
            score: e.get("score"),
            rules,
            role: e.get("role"),
            discovery: e.get("resource-discovery"),
            lifetime,
        })
    }

    fn sets(&self, e: &'a Markup<'a>) -> Result<Vec<ResourceSet>, CibError> {
        let mut sets = Vec::new();
        for s in e.children_named("resource_set") {
            let s = self.resolve(s)?;
            sets.push(ResourceSet {
                id: s.get("id").unwrap_or_default(),
                members: s.children_named("resource_ref").filter_map(|r| r.get("id")).collect(),
                sequential: s.get("sequential"),
                require_all: s.get("require-all"),
                ordering: s.get("ordering"),
                action: s.get("action"),
                role: s.get("role"),
                score: s.get("score"),
                kind: s.get("kind"),
            });
        }
        Ok(sets)
    }
}

fn fencing_level(e: &Markup<'_>) -> Result<FencingLevel, CibError> {
    Ok(FencingLevel {
        id: id_of(e)?,
        target: e.get("target"),
        target_pattern: e.get("target-pattern"),
        target_attribute: e.get("target-attribute"),
        target_value: e.get("target-value"),
        index: e.get("index"),
        devices: e
            .attr("devices")
            .unwrap_or_default()
            .split(',')
            .filter(|d| !d.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

fn tag(e: &Markup<'_>) -> Result<Tag, CibError> {
    Ok(Tag {
        id: id_of(e)?,
        members: e.children_named("obj_ref").filter_map(|r| r.get("id")).collect(),
    })
}
