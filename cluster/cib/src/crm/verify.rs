//! Judging a whole configuration: what contradicts itself, what is not there, what is not safe.
//!
//! Facts about nodes and agents come from the caller; what is not known is not judged.

mod addresses;
mod constraints;
mod foreign;
mod idle;
mod kept;
mod leases;
mod resources;
pub(super) mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use haven_base::nearest;
use haven_types::agent::AgentReport;

pub use leases::MAX_LEASES;

use super::doubt::Doubt;
use super::finding::{Finding, Severity};
use super::names::PROPERTIES;
use crate::model::{Cib, CloneChild, Constraint, NvSet, Primitive, Resource};

/// What the caller knows about the cluster that the configuration is for.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Every member, witnesses included; none when they are not known.
    pub members: Option<Vec<MemberFacts>>,
    /// Agents by `class:provider:type` or `class:type`.
    pub agents: BTreeMap<String, AgentFacts>,
    /// Beginnings of agents' names of which every one is in `agents`, such as `ocf:haven:`. Others may
    /// exist on nodes without being listed.
    pub complete: Vec<String>,
    /// Agents of others, as this node knows them.
    pub foreign: BTreeMap<String, AgentReport>,
    /// Addresses by which members talk to each other, each with the member's name.
    pub reserved: BTreeMap<IpAddr, String>,
    /// What messages call this node.
    pub here: String,
}

/// A member of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberFacts {
    /// Its name.
    pub name: String,
    /// Its kind: one that votes but runs nothing.
    pub witness: bool,
    /// It votes. Who has joined and whose daemon was never started does not.
    pub votes: bool,
}

/// What an agent's metadata says.
#[derive(Clone, Debug, Default)]
pub struct AgentFacts {
    /// Its resources run under a lease unless `requires` says otherwise.
    pub lease: bool,
    /// Its parameters by name, aliases included.
    pub params: BTreeMap<String, ParamFacts>,
    /// Judges the values together: what is wrong, with the parameter concerned.
    pub judge: Option<Judge>,
}

/// Judges an agent's parameters by name together; the answer is each parameter that is wrong, and why.
pub type Judge = fn(&BTreeMap<String, String>) -> Vec<(String, String)>;

/// What an agent's metadata says about a parameter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ParamFacts {
    /// It must be given. Aliases are never required by themselves.
    pub required: bool,
    /// Two resources of the agent must not have the same value.
    pub unique: bool,
    /// The present name of an old one.
    pub alias_of: Option<String>,
}

/// Everything that is wrong, doubtful or improvable, errors first, each with what to do.
#[must_use]
pub fn verify(cib: &Cib, facts: &Facts) -> Vec<Finding> {
    verify_in_doubt(cib, facts, &Doubt::default())
}

/// [`verify`] of what could be read: nothing is missed that may stand where nothing could be.
pub(super) fn verify_in_doubt(cib: &Cib, facts: &Facts, doubt: &Doubt) -> Vec<Finding> {
    let mut findings = Vec::new();
    let view = View::new(cib, facts, doubt);
    values::check(&view, &mut findings);
    resources::check(&view, &mut findings);
    addresses::check(&view, &mut findings);
    foreign::check(&view, &mut findings);
    constraints::check(&view, &mut findings);
    leases::check(&view, &mut findings);
    nodes(&view, &mut findings);
    idle::check(&view, &mut findings);
    kept::check(cib, &mut findings);
    findings.retain(|finding| !doubt.explains(finding));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// What agents of others have against a configuration, by their descriptions on this node: a part of [`verify`].
#[must_use]
pub fn verify_foreign(cib: &Cib, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let doubt = Doubt::default();
    foreign::check(&View::new(cib, facts, &doubt), &mut findings);
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// The configuration with what several checks look up.
struct View<'a> {
    cib: &'a Cib,
    facts: &'a Facts,
    doubt: &'a Doubt,
    /// Every primitive.
    primitives: Vec<&'a Primitive>,
    /// Ids that a constraint may name: resources, templates, tags.
    names: BTreeSet<&'a str>,
    /// Names of nodes; empty when none is known.
    nodes: BTreeSet<&'a str>,
}

impl<'a> View<'a> {
    fn new(cib: &'a Cib, facts: &'a Facts, doubt: &'a Doubt) -> Self {
        let primitives: Vec<&Primitive> =
            cib.resources.iter().flat_map(Resource::primitives).collect();
        let mut names: BTreeSet<&str> = cib.resources.iter().map(Resource::id).collect();
        names.extend(cib.resources.iter().filter_map(|resource| match resource {
            Resource::Clone(clone) => match &*clone.child {
                CloneChild::Group(group) => Some(group.id.as_str()),
                CloneChild::Primitive(_) => None,
            },
            Resource::Primitive(_) | Resource::Group(_) | Resource::Bundle(_) => None,
        }));
        names.extend(primitives.iter().map(|primitive| primitive.id.as_str()));
        names.extend(cib.templates.iter().map(|template| template.id.as_str()));
        names.extend(cib.tags.iter().map(|tag| tag.id.as_str()));
        for absent in doubt.absent() {
            names.remove(absent);
        }
        names.extend(doubt.names());
        let nodes = match &facts.members {
            Some(members) => members.iter().map(|member| member.name.as_str()).collect(),
            None => cib.nodes.iter().map(|node| node.uname.as_str()).collect(),
        };
        Self { cib, facts, doubt, primitives, names, nodes }
    }

    /// The constraints that could be read whole.
    fn whole_constraints(&self) -> impl Iterator<Item = &'a Constraint> {
        let all = self.cib.constraints.iter();
        all.filter(|constraint| !self.doubt.is_incomplete(constraint.id()))
    }

    /// A node of this name may exist: a member, a remote node, a guest, or a bundle's replica.
    fn may_be_node(&self, name: &str) -> bool {
        let guest = |primitive: &&Primitive| {
            let remote = primitive.kind.as_deref() == Some("remote") && primitive.id == name;
            remote || value(&primitive.meta, "remote-node") == Some(name)
        };
        let replica = |resource: &Resource| match resource {
            Resource::Bundle(bundle) => name
                .strip_prefix(bundle.id.as_str())
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|number| number.parse::<u32>().is_ok()),
            Resource::Primitive(_) | Resource::Group(_) | Resource::Clone(_) => false,
        };
        self.nodes.is_empty()
            || self.nodes.contains(name)
            || self.cib.nodes.iter().any(|n| n.uname == name && n.kind.as_deref() == Some("remote"))
            || self.primitives.iter().any(guest)
            || self.cib.resources.iter().any(replica)
            || self.doubt.may_be(name)
            || name.rsplit_once('-').is_some_and(|(bundle, _)| self.doubt.may_be(bundle))
    }

    /// The agent's name, by the template where the primitive has one.
    fn agent(&self, primitive: &Primitive) -> Option<String> {
        let named = match &primitive.template {
            Some(id) => self.cib.templates.iter().find(|template| template.id == *id)?,
            None => primitive,
        };
        Some(joined([named.class.as_deref(), named.provider.as_deref(), named.kind.as_deref()]))
    }
}

/// An agent's name, of its class, provider and type.
fn joined(parts: [Option<&str>; 3]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(":")
}

/// The value of `name` in blocks without a rule.
fn value<'a>(sets: &'a [NvSet], name: &str) -> Option<&'a str> {
    sets.iter()
        .filter(|set| set.rule.is_none())
        .flat_map(|set| &set.pairs)
        .find(|pair| pair.name == name)
        .and_then(|pair| pair.value.as_deref())
}

fn nodes(view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(members) = &view.facts.members else { return };
    for node in &view.cib.nodes {
        let remote = node.kind.as_deref().is_some_and(|kind| kind == "remote" || kind == "ping");
        if !remote && !view.nodes.contains(node.uname.as_str()) {
            let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            findings.push(
                Finding::error(
                    "HV0307",
                    format!("\"{}\" is no member of this cluster", node.uname),
                )
                .about(&node.uname)
                .near(nearest(&node.uname, names.iter().copied()))
                .fix(format!(
                    "members are {}; a new one joins with `haven cluster token`",
                    names.join(", ")
                )),
            );
        }
    }
}

/// A finding about an unknown name: an error where a known one is near, for then it is a slip, else a
/// warning, for others may know the name.
fn unknown_name(code: &str, what: &str, name: &str, known: &[&'static str]) -> Finding {
    let near = nearest(name, known.iter().copied());
    let severity = if near.is_some() { Severity::Error } else { Severity::Warning };
    let finding = Finding::new(code, severity, format!("there is no {what} \"{name}\"")).near(near);
    match near {
        Some(near) => finding.fix(format!("write {near}")).overridable(),
        None => finding.fix("remove it, unless an agent of yours reads it"),
    }
}

fn unknown_property(name: &str) -> Finding {
    unknown_name("HV0308", "cluster option", name, PROPERTIES)
}
