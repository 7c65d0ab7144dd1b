//! What completion and help know: the command line's own words, and the cluster as it is.

use std::collections::BTreeMap;

use haven_cib::crm::vocabulary::Place;
use haven_cib::{Cib, CloneChild, NvSet, Resource};

/// A command with what may follow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its name.
    pub(crate) name: String,
    /// What it does, in a few words.
    pub(crate) about: String,
    /// Commands below it.
    pub(crate) below: Vec<Self>,
    /// Its options: with their dashes, what they are for, values where they take one.
    pub(crate) options: Vec<Flag>,
    /// What its words are, by the names that help gives them, in order.
    pub(crate) words: Vec<Word>,
}

/// An option of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flag {
    /// With its dashes.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) about: String,
    /// It is followed by a value.
    pub(crate) takes_value: bool,
    /// The values it may have, where they are few.
    pub(crate) values: Vec<String>,
}

/// A word of a command that is no option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// What it is: `resource`, `node`, …
    pub(crate) kind: String,
    /// The values it may have, where they are few.
    pub(crate) values: Vec<String>,
}

/// A parameter of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameter {
    /// What it is for, in a few words.
    pub about: String,
    /// What its value is: `string`, `integer`, `boolean`, `select`, …
    pub content: String,
    /// The value where none is given.
    pub default: Option<String>,
    /// It must be given.
    pub required: bool,
    /// The values it may have, where they are few.
    pub values: Vec<String>,
}

/// Everything that is known at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// The command line.
    pub(crate) commands: Node,
    /// Members of the cluster.
    pub(crate) nodes: Vec<String>,
    /// The configuration in force.
    pub(crate) cib: Cib,
    /// Names of the agents of this host, `class:provider:type`.
    pub(crate) agents: Vec<String>,
    /// Parameters of the agents that were asked for, by agent and name.
    pub(crate) parameters: BTreeMap<String, BTreeMap<String, Parameter>>,
}

impl Node {
    /// The words of a command line parser.
    pub(crate) fn of(command: &clap::Command) -> Self {
        let few = |arg: &clap::Arg| -> Vec<String> {
            let visible = arg.get_possible_values().into_iter().filter(|v| !v.is_hide_set());
            visible.map(|value| value.get_name().to_owned()).collect()
        };
        let about = |text: Option<&clap::builder::StyledStr>| {
            text.map(ToString::to_string).unwrap_or_default()
        };
        let options = command.get_arguments().filter_map(|arg| {
            let takes_value = arg.get_action().takes_values();
            Some(Flag {
                name: format!("--{}", arg.get_long()?),
                about: about(arg.get_help()),
                takes_value,
                values: if takes_value { few(arg) } else { Vec::new() },
            })
        });
        let words = command
            .get_positionals()
            .map(|arg| Word { kind: arg.get_id().to_string(), values: few(arg) });
        Self {
            name: command.get_name().to_owned(),
            about: about(command.get_about()),
            below: command.get_subcommands().filter(|it| !it.is_hide_set()).map(Self::of).collect(),
            options: options.collect(),
            words: words.collect(),
        }
    }

    /// The command of this name below this one.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.below.iter().find(|child| child.name == name)
    }
}

impl Snapshot {
    /// Ids of every resource, containers included, in the order of the configuration.
    pub(crate) fn resources(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for resource in &self.cib.resources {
            ids.push(resource.id().to_owned());
            if let Resource::Clone(clone) = resource
                && let CloneChild::Group(group) = &*clone.child
            {
                ids.push(group.id.clone());
            }
            for primitive in resource.primitives() {
                if !ids.contains(&primitive.id) {
                    ids.push(primitive.id.clone());
                }
            }
        }
        ids
    }

    /// Ids of groups.
    pub(crate) fn groups(&self) -> Vec<String> {
        let groups = self.cib.resources.iter().filter_map(|resource| match resource {
            Resource::Group(group) => Some(group.id.clone()),
            Resource::Clone(clone) => match &*clone.child {
                CloneChild::Group(group) => Some(group.id.clone()),
                CloneChild::Primitive(_) => None,
            },
            Resource::Primitive(_) | Resource::Bundle(_) => None,
        });
        groups.collect()
    }

    /// Ids of members of groups.
    pub(crate) fn members(&self) -> Vec<String> {
        let groups = self.groups();
        let within = self.cib.resources.iter().filter(|resource| match resource {
            Resource::Group(_) => true,
            Resource::Clone(clone) => match &*clone.child {
                CloneChild::Group(group) => groups.contains(&group.id),
                CloneChild::Primitive(_) => false,
            },
            Resource::Primitive(_) | Resource::Bundle(_) => false,
        });
        within.flat_map(|r| r.primitives()).map(|primitive| primitive.id.clone()).collect()
    }

    /// Paths of values that are there: what `configure set` changes.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        let mut look = |object: &str, sets: &[NvSet]| {
            for pair in sets.iter().flat_map(|set| &set.pairs) {
                paths.push(format!("{object}.{}", pair.name));
            }
        };
        look("property", &self.cib.options);
        look("rsc_defaults", &self.cib.rsc_defaults);
        look("op_defaults", &self.cib.op_defaults);
        for resource in &self.cib.resources {
            look(resource.id(), resource.meta());
            for primitive in resource.primitives() {
                look(&primitive.id, &primitive.params);
                look(&primitive.id, &primitive.meta);
            }
        }
        for node in &self.cib.nodes {
            look(&node.uname, &node.attributes);
        }
        paths
    }

    /// Whether paths may begin with this name of an object.
    pub(crate) fn has(&self, object: &str) -> bool {
        ["property", "rsc_defaults", "op_defaults"].contains(&object)
            || self.resources().iter().any(|id| id == object)
    }

    /// The value that an object has under a name.
    pub(crate) fn value_at(&self, object: &str, name: &str) -> Option<String> {
        let of = |sets: &[NvSet]| {
            let mut pairs = sets.iter().flat_map(|set| &set.pairs);
            pairs.find(|pair| pair.name == name)?.value.clone()
        };
        match object {
            "property" => return of(&self.cib.options),
            "rsc_defaults" => return of(&self.cib.rsc_defaults),
            "op_defaults" => return of(&self.cib.op_defaults),
            _ => {}
        }
        let mut primitives = self.cib.resources.iter().flat_map(Resource::primitives);
        let primitive = primitives.find(|primitive| primitive.id == object);
        let own = || {
            let resource = self.cib.resources.iter().find(|resource| resource.id() == object)?;
            of(resource.meta())
        };
        primitive.and_then(|p| of(&p.params).or_else(|| of(&p.meta))).or_else(own)
    }

    /// Names of attributes that nodes have.
    pub(crate) fn attributes(&self) -> Vec<String> {
        let sets = self.cib.nodes.iter().flat_map(|node| &node.attributes);
        let mut names: Vec<String> =
            sets.flat_map(|set| &set.pairs).map(|pair| pair.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The agent of a primitive, by its template where it has one.
    pub(crate) fn agent_of(&self, primitive: &str) -> Option<String> {
        let all = self.cib.resources.iter().flat_map(Resource::primitives);
        let found = all.chain(&self.cib.templates).find(|known| known.id == primitive)?;
        let named = match &found.template {
            Some(id) => self.cib.templates.iter().find(|template| template.id == *id)?,
            None => found,
        };
        let parts = [&named.class, &named.provider, &named.kind];
        Some(parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(":"))
    }

    /// The values of a name that are in force, each with where.
    pub(crate) fn current(&self, place: Place, name: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut look = |object: &str, sets: &[NvSet]| {
            for pair in sets.iter().flat_map(|set| &set.pairs).filter(|pair| pair.name == name) {
                found.push((object.to_owned(), pair.value.clone().unwrap_or_default()));
            }
        };
        match place {
            Place::Property => look("property", &self.cib.options),
            Place::Meta => {
                look("rsc_defaults", &self.cib.rsc_defaults);
                for resource in &self.cib.resources {
                    look(resource.id(), resource.meta());
                    if !matches!(resource, Resource::Primitive(_)) {
                        for primitive in resource.primitives() {
                            look(&primitive.id, &primitive.meta);
                        }
                    }
                }
            }
            Place::Operation => look("op_defaults", &self.cib.op_defaults),
        }
        found
    }
}
