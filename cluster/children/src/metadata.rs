//! Agents' metadata (OCF resource agent API 1.1 §5), read leniently: an agent with a flaw in its
//! description still works, and its flaw is told.

use std::collections::{BTreeMap, BTreeSet};

use haven_cib::crm::{AgentFacts, ParamFacts};
use haven_types::agent::{AgentDescription, ParameterDescription};
use haven_types::operation::OcfCode;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Elements deeper than this are no metadata.
const DEPTH_MAX: usize = 32;
/// More parameters than any agent has.
const PARAMETERS_MAX: usize = 1000;

/// What an agent says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metadata {
    /// One line.
    pub short: String,
    /// The whole story.
    pub long: String,
    /// By name, in alphabetical order.
    pub parameters: BTreeMap<String, Parameter>,
    /// In the agent's order.
    pub actions: Vec<Action>,
    /// Its resources run under a lease unless they say otherwise.
    pub lease: bool,
    /// What cut the reading short: what comes after is not known.
    pub cut: Option<String>,
    /// What is wrong with the description, a sentence each.
    pub findings: Vec<String>,
}

/// A parameter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parameter {
    /// It must be given.
    pub required: bool,
    /// No two resources may have the same value.
    pub unique: bool,
    /// `reload-agent` is enough for a new value.
    pub reloadable: bool,
    /// The name that replaces it.
    pub replaced_by: Option<String>,
    /// Kind of value: `string`, `integer`, `boolean`, `select` …, as the agent says.
    pub content: String,
    /// The value where none is given.
    pub default: Option<String>,
    /// Allowed words of a `select`.
    pub options: Vec<String>,
    /// One line.
    pub short: String,
    /// The whole story.
    pub long: String,
}

/// An action, with the agent's advice for its timing, as it was written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Action {
    /// `start`, `monitor` …
    pub name: String,
    /// Advised timeout.
    pub timeout: Option<String>,
    /// Advised interval.
    pub interval: Option<String>,
    /// Of which role.
    pub role: Option<String>,
    /// `OCF_CHECK_LEVEL`.
    pub depth: Option<String>,
}

/// Why nothing is known of an agent. Its resources run all the same; only their parameters are not judged.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MetadataError {
    /// The name leads nowhere.
    #[error("{0}")]
    Name(String),
    /// The agent could not be run.
    #[error("{reason}")]
    NotRun {
        /// Why, with a remedy.
        reason: String,
    },
    /// It ran for too long.
    #[error(
        "{agent} did not print its metadata within 5 s and was ended; run it by hand with meta-data \
         to see what it waits for"
    )]
    Late {
        /// The agent.
        agent: String,
    },
    /// It answered with a code of failure.
    #[error("{agent} answers meta-data with {code} ({reason}); its parameters cannot be judged")]
    Failed {
        /// The agent.
        agent: String,
        /// What it answered.
        code: OcfCode,
        /// What it said.
        reason: String,
    },
    /// What it printed holds no description.
    #[error(
        "{agent} prints no metadata: {found}; its parameters cannot be judged until its package is \
         mended"
    )]
    Unreadable {
        /// The agent.
        agent: String,
        /// What was found instead.
        found: String,
    },
}

impl Metadata {
    /// The parameters of which a change asks for a restart, where a change of the others needs only
    /// `reload-agent`; nothing where the agent has no such action or no such parameter.
    #[must_use]
    pub fn restarting(&self) -> Option<Vec<String>> {
        let reloads = self.actions.iter().any(|action| action.name == "reload-agent");
        let any = self.parameters.values().any(|parameter| parameter.reloadable);
        let fixed = self.parameters.iter().filter(|(_, parameter)| !parameter.reloadable);
        (reloads && any).then(|| fixed.map(|(name, _)| name.clone()).collect())
    }

    /// What configurations are judged by.
    #[must_use]
    pub fn description(&self) -> AgentDescription {
        let row = |(name, parameter): (&String, &Parameter)| {
            let alias_of = parameter.replaced_by.clone();
            let required = parameter.required && alias_of.is_none();
            (name.clone(), ParameterDescription { required, alias_of })
        };
        let advised = self.actions.iter().filter_map(|action| {
            Some((action.name.clone(), action.timeout.clone()?)).filter(|(_, t)| !t.is_empty())
        });
        AgentDescription {
            params: self.parameters.iter().map(row).collect(),
            timeouts: advised.collect(),
            flaw: self.cut.clone(),
        }
    }

    /// What the verifier of configurations takes from it.
    #[must_use]
    pub fn facts(&self) -> AgentFacts {
        let row = |(name, parameter): (&String, &Parameter)| {
            let alias_of = parameter.replaced_by.clone();
            let required = parameter.required && alias_of.is_none();
            (name.clone(), ParamFacts { required, unique: parameter.unique, alias_of })
        };
        AgentFacts {
            lease: self.lease,
            params: self.parameters.iter().map(row).collect(),
            judge: None,
        }
    }
}

/// Reads a description. Damage ends the reading at that place; what came before it counts.
///
/// # Errors
/// [`MetadataError::Unreadable`] where not even the outermost element can be found.
pub fn read(agent: &str, text: &str) -> Result<Metadata, MetadataError> {
    let unreadable = |found: String| MetadataError::Unreadable { agent: agent.to_owned(), found };
    // Some agents print warnings of their shell first.
    let Some(begin) = text.find("<resource-agent") else {
        let line: String =
            text.trim().lines().next().unwrap_or_default().chars().take(80).collect();
        let found = if line.is_empty() { "nothing at all".to_owned() } else { format!("{line:?}") };
        return Err(unreadable(found));
    };
    let mut walk = Walk::default();
    let document = text.get(begin..).unwrap_or_default();
    let mut reader = Reader::from_str(document);
    reader.config_mut().check_end_names = true;
    loop {
        match reader.read_event() {
            Ok(Event::Eof) if walk.path.is_empty() => break,
            Ok(Event::Eof) => {
                let open = walk.path.last().cloned().unwrap_or_default();
                walk.cut(format!("ends inside of <{open}>"));
                break;
            }
            Ok(event) => {
                if !walk.on(&event) {
                    break;
                }
            }
            Err(error) => {
                let at = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
                let line = 1 + document.get(..at).map_or(0, |before| before.matches('\n').count());
                walk.cut(format!("is not well-formed at line {line}: {error}"));
                break;
            }
        }
    }
    Ok(walk.finish())
}

#[derive(Default)]
struct Walk {
    metadata: Metadata,
    path: Vec<String>,
    parameter: Option<(String, Parameter)>,
    text: String,
    unknown: BTreeSet<String>,
}

impl Walk {
    fn find(&mut self, finding: String) {
        self.metadata.findings.push(finding);
    }

    /// Notes what ends the reading before its time.
    fn cut(&mut self, finding: String) {
        self.metadata.cut = Some(finding.clone());
        self.find(finding);
    }

    /// Takes one event; false ends the reading.
    fn on(&mut self, event: &Event<'_>) -> bool {
        match event {
            Event::Start(start) => {
                self.open(start);
                self.path.push(name(start));
                if self.path.len() > DEPTH_MAX {
                    self.cut(format!("nests elements more than {DEPTH_MAX} deep"));
                    return false;
                }
            }
            Event::Empty(start) => {
                self.open(start);
                if name(start) == "parameter" {
                    self.end_parameter();
                }
            }
            Event::Text(text) => self.text.push_str(text),
            Event::CData(text) => self.text.push_str(text),
            Event::GeneralRef(reference) => self.text.push_str(match &**reference {
                "lt" => "<",
                "gt" => ">",
                "amp" => "&",
                "quot" => "\"",
                "apos" => "'",
                _ => " ",
            }),
            Event::End(_) => {
                self.close();
                // What follows the outermost element is no concern of ours.
                return !self.path.is_empty();
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Eof => {}
        }
        true
    }

    fn open(&mut self, start: &BytesStart<'_>) {
        self.text.clear();
        match name(start).as_str() {
            "parameter" => self.open_parameter(start),
            "replaced-with" => {
                let by = attribute(start, "name");
                if let Some((_, parameter)) = &mut self.parameter {
                    parameter.replaced_by = by;
                }
            }
            "content" => {
                let (kind, default) = (attribute(start, "type"), attribute(start, "default"));
                if let Some((_, parameter)) = &mut self.parameter {
                    parameter.content = kind.unwrap_or_default();
                    parameter.default = default;
                }
            }
            "option" => {
                if let (Some((_, parameter)), Some(value)) =
                    (&mut self.parameter, attribute(start, "value"))
                {
                    parameter.options.push(value);
                }
            }
            "action" => self.metadata.actions.push(Action {
                name: attribute(start, "name").unwrap_or_default(),
                timeout: attribute(start, "timeout"),
                interval: attribute(start, "interval"),
                role: attribute(start, "role"),
                depth: attribute(start, "depth"),
            }),
            _ => {}
        }
    }

    fn open_parameter(&mut self, start: &BytesStart<'_>) {
        let truth = |word: Option<String>| {
            word.is_some_and(|word| {
                ["1", "true", "yes", "on"].contains(&word.to_ascii_lowercase().as_str())
            })
        };
        let Some(name) = attribute(start, "name").filter(|name| !name.is_empty()) else {
            self.find("has a parameter without a name".to_owned());
            self.parameter = None;
            return;
        };
        let parameter = Parameter {
            required: truth(attribute(start, "required")),
            unique: truth(attribute(start, "unique")),
            reloadable: truth(attribute(start, "reloadable")),
            ..Parameter::default()
        };
        self.parameter = Some((name, parameter));
    }

    fn close(&mut self) {
        let Some(name) = self.path.pop() else { return };
        let text = std::mem::take(&mut self.text);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match (name.as_str(), &mut self.parameter) {
            ("parameter", _) => self.end_parameter(),
            ("shortdesc", Some((_, parameter))) => parameter.short = text,
            ("longdesc", Some((_, parameter))) => parameter.long = text,
            ("shortdesc", None) => self.metadata.short = text,
            ("longdesc", None) => self.metadata.long = text,
            ("requires", _) => {
                let special = self.path.last().is_some_and(|outer| outer == "special");
                self.metadata.lease |= special && text == "lease";
            }
            _ => {}
        }
    }

    fn end_parameter(&mut self) {
        let Some((name, parameter)) = self.parameter.take() else { return };
        if self.metadata.parameters.len() >= PARAMETERS_MAX {
            self.unknown.insert(format!("lists more than {PARAMETERS_MAX} parameters"));
            return;
        }
        if self.metadata.parameters.insert(name.clone(), parameter).is_some() {
            self.find(format!("lists parameter {name} twice"));
        }
    }

    fn finish(mut self) -> Metadata {
        for action in ["start", "stop", "monitor", "meta-data"] {
            if !self.metadata.actions.iter().any(|known| known.name == action) {
                self.find(format!("lists no action {action}"));
            }
        }
        let more = std::mem::take(&mut self.unknown);
        self.metadata.findings.extend(more);
        self.metadata
    }
}

fn name(start: &BytesStart<'_>) -> String {
    String::from_utf8_lossy(start.local_name().as_ref().as_ref()).into_owned()
}

fn attribute(start: &BytesStart<'_>, wanted: &str) -> Option<String> {
    let mut attributes = start.attributes();
    let mut named = attributes.with_checks(false).flatten().filter(|attribute| {
        let key: &[u8] = attribute.key.local_name().into_inner().as_ref();
        key == wanted.as_bytes()
    });
    let value = named.next()?.value;
    let text = String::from_utf8_lossy(value.as_ref().as_ref()).into_owned();
    Some(
        quick_xml::escape::unescape(&text)
            .map_or_else(|_| text.clone(), |plain| plain.into_owned()),
    )
}
