//! Completion: a pure function of the line, the cursor and what is known.

use haven_base::nearest;
use haven_cib::crm::{
    self,
    vocabulary::{self, Allowed, Place},
};

use super::snapshot::{Node, Parameter, Snapshot};

/// One way to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// What takes the place of the word under the cursor.
    pub(crate) text: String,
    /// What it is, in a few words.
    pub(crate) about: String,
}

fn plain(text: impl Into<String>) -> Candidate {
    Candidate { text: text.into(), about: String::new() }
}

/// Where the word at `cursor` (bytes) begins, and what may stand there, in the order of the alphabet.
pub(crate) fn candidates(line: &str, cursor: usize, known: &Snapshot) -> (usize, Vec<Candidate>) {
    let before = line.get(..cursor).unwrap_or(line);
    let start = before
        .rfind(char::is_whitespace)
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let word = &before[start..];
    let words: Vec<&str> = before[..start].split_whitespace().collect();
    let mut found = possible(&words, word, known);
    found.retain(|candidate| candidate.text.starts_with(word));
    found.sort_by(|a, b| a.text.cmp(&b.text));
    found.dedup_by(|a, b| a.text == b.text);
    (start, found)
}

/// True when a line declares an object instead of being a command.
pub(crate) fn declares(words: &[&str], commands: &Node) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    let declaration = vocabulary::declarations().contains(first)
        || ["ms", "master", "collocation"].contains(first);
    // `node` is both.
    let command = commands.child(first).is_some_and(|command| {
        rest.first().is_none_or(|word| command.child(word).is_some() || word.starts_with('-'))
    });
    declaration && !command
}

/// True when the first word is one of the commands below `configure`, as the crm shell has them at that level.
pub(crate) fn is_of_configure(words: &[&str], commands: &Node) -> bool {
    let Some(first) = words.first() else { return false };
    commands.child(first).is_none()
        && commands.child("configure").is_some_and(|configure| configure.child(first).is_some())
}

/// What is wrong with a line whose first word is neither a command nor a declaration, where it is nearest to a
/// declaration; of a misspelt command the command line tells itself.
pub(crate) fn misspelt(words: &[&str], commands: &Node) -> Option<String> {
    let (below, first) = match words {
        ["configure", first, ..] => (commands.child("configure")?, first),
        [first, ..] => (commands, first),
        [] => return None,
    };
    if first.starts_with('-') || below.child(first).is_some() || ["?", "help"].contains(first) {
        return None;
    }
    let known = below.below.iter().map(|command| command.name.as_str());
    let configure = commands.child("configure").into_iter().flat_map(|node| &node.below);
    let all = known.chain(configure.map(|command| command.name.as_str()));
    let near = nearest(first, all.chain(vocabulary::declarations().iter().copied()))?;
    let declares = vocabulary::declarations().contains(&near);
    declares.then(|| {
        format!("\"{first}\" is no command and starts no declaration; did you mean \"{near}\"?")
    })
}

/// Everything that may stand at the place, whatever the word begins with.
fn possible(words: &[&str], word: &str, known: &Snapshot) -> Vec<Candidate> {
    match words {
        [] => {
            let mut first: Vec<Candidate> = below(&known.commands);
            first.extend(vocabulary::declarations().iter().map(|word| plain(*word)));
            first.extend(["help", "quit"].map(plain));
            first.extend(known.commands.child("configure").map(below).unwrap_or_default());
            first
        }
        ["help" | "?", rest @ ..] => topics(rest, known),
        ["configure", rest @ ..] if declares_below(rest, known) => declaration(rest, word, known),
        _ if declares(words, &known.commands) => declaration(words, word, known),
        ["node"] => {
            let mut both = below(known.commands.child("node").unwrap_or(&known.commands));
            both.extend(known.nodes.iter().map(plain));
            both
        }
        ["configure"] => {
            let mut both = below(known.commands.child("configure").unwrap_or(&known.commands));
            both.extend(vocabulary::declarations().iter().map(|word| plain(*word)));
            both
        }
        _ if is_of_configure(words, &known.commands) => {
            command(&[&["configure"], words].concat(), word, known)
        }
        _ => command(words, word, known),
    }
}

/// `configure primitive …`, as the crm shell has it.
pub(crate) fn declares_below(rest: &[&str], known: &Snapshot) -> bool {
    let own = known.commands.child("configure");
    rest.first().is_some_and(|first| own.is_none_or(|node| node.child(first).is_none()))
        && declares(rest, &Node::default())
}

fn below(node: &Node) -> Vec<Candidate> {
    let commands = node.below.iter();
    commands.map(|c| Candidate { text: c.name.clone(), about: c.about.clone() }).collect()
}

fn topics(rest: &[&str], known: &Snapshot) -> Vec<Candidate> {
    let mut node = &known.commands;
    for word in rest {
        match node.child(word) {
            Some(child) => node = child,
            None => return Vec::new(),
        }
    }
    let mut topics = below(node);
    if rest.is_empty() {
        for place in [Place::Property, Place::Meta, Place::Operation] {
            topics.extend(vocabulary::known(place).iter().map(|name| plain(*name)));
        }
        topics.extend(vocabulary::declarations().iter().map(|word| plain(*word)));
        topics.extend(known.agents.iter().map(plain));
    }
    topics
}

/// What may follow the words of a command.
fn command(words: &[&str], word: &str, known: &Snapshot) -> Vec<Candidate> {
    let mut node = &known.commands;
    if words.first().is_some_and(|first| node.child(first).is_none()) {
        return Vec::new();
    }
    let mut place = 0;
    let mut value_of = None;
    for word in words {
        if let Some(flag) = value_of.take() {
            let _: &super::snapshot::Flag = flag;
            continue;
        }
        if let Some(child) = node.child(word) {
            (node, place) = (child, 0);
        } else if word.starts_with('-') {
            value_of = node.options.iter().find(|flag| flag.name == *word && flag.takes_value);
        } else {
            place += 1;
        }
    }
    if let Some(flag) = value_of {
        let mut values: Vec<Candidate> = flag.values.iter().map(plain).collect();
        values.extend(of_kind(flag.name.trim_start_matches('-'), known));
        return values;
    }
    if word.starts_with('-') {
        let flags = node.options.iter();
        return flags.map(|f| Candidate { text: f.name.clone(), about: f.about.clone() }).collect();
    }
    let mut found = below(node);
    if let Some(expected) = node.words.get(place) {
        found.extend(expected.values.iter().map(plain));
        found.extend(of_kind(&expected.kind, known));
        match (expected.kind.as_str(), words.last()) {
            ("path", _) => found.extend(paths_below(word, known)),
            ("value", Some(path)) => found.extend(values_at(path, known)),
            _ => {}
        }
    }
    found
}

/// Paths to values that may be set in the object whose name is written already.
fn paths_below(word: &str, known: &Snapshot) -> Vec<Candidate> {
    let Some((object, _)) = word.split_once('.') else { return Vec::new() };
    let place = match object {
        "property" => Place::Property,
        "op_defaults" => Place::Operation,
        _ => Place::Meta,
    };
    if !known.has(object) {
        return Vec::new();
    }
    let mut found: Vec<Candidate> = vocabulary::known(place)
        .iter()
        .map(|name| Candidate {
            text: format!("{object}.{name}"),
            about: default_of(vocabulary::default_value(place, name)),
        })
        .collect();
    let agent = known.agent_of(object);
    for (name, parameter) in
        agent.and_then(|agent| known.parameters.get(&agent)).into_iter().flatten()
    {
        found.push(Candidate { text: format!("{object}.{name}"), about: about(parameter) });
    }
    found
}

/// The values that may stand at a path: those that are allowed there, and the one that is in force.
fn values_at(path: &str, known: &Snapshot) -> Vec<Candidate> {
    let Some((object, rest)) = path.split_once('.') else { return Vec::new() };
    let name = rest.rsplit('.').next().unwrap_or(rest);
    let place = match object {
        "property" => Place::Property,
        "op_defaults" => Place::Operation,
        _ if rest.starts_with("op.") => Place::Operation,
        _ => Place::Meta,
    };
    let agent = known.agent_of(object).unwrap_or_default();
    let parameter = known.parameters.get(&agent).and_then(|all| all.get(name));
    let current = known.value_at(object, name);
    let allowed = match parameter.filter(|_| !vocabulary::known(place).contains(&name)) {
        Some(parameter) => words_of(parameter),
        None => values_of(place, name).into_iter().map(str::to_owned).collect(),
    };
    let about = |value: &String| {
        if Some(value) == current.as_ref() { "in force".to_owned() } else { String::new() }
    };
    let all = allowed.into_iter().chain(current.clone());
    all.map(|value| Candidate { about: about(&value), text: value }).collect()
}

/// The names that a word of a command may be.
fn of_kind(kind: &str, known: &Snapshot) -> Vec<Candidate> {
    let names: Vec<String> = match kind {
        "resource" | "resources" => known.resources(),
        "node" | "nodes" => known.nodes.clone(),
        "objects" | "object" => crm::objects(&known.cib),
        "group" => known.groups(),
        "member" => known.members(),
        "path" => known.paths(),
        "attribute" | "name" => known.attributes(),
        "agent" | "about" => known.agents.clone(),
        _ => Vec::new(),
    };
    names.into_iter().map(plain).collect()
}

/// What may follow the words of a declaration.
fn declaration(words: &[&str], word: &str, known: &Snapshot) -> Vec<Candidate> {
    let names = |names: Vec<String>| -> Vec<Candidate> { names.into_iter().map(plain).collect() };
    let lists = |lists: &[&str]| -> Vec<Candidate> { lists.iter().map(|w| plain(*w)).collect() };
    match words {
        ["property", ..] => values(Place::Property, word),
        ["rsc_defaults", ..] => values(Place::Meta, word),
        ["op_defaults", ..] => values(Place::Operation, word),
        ["primitive" | "rsc_template", _] => {
            let templates = known.cib.templates.iter().map(|t| format!("@{}", t.id));
            names(known.agents.iter().cloned().chain(templates).collect())
        }
        ["primitive" | "rsc_template", _, agent, rest @ ..] => resource(agent, rest, word, known),
        ["group", _, rest @ ..] => {
            let in_meta = rest.contains(&"meta");
            if in_meta {
                return values(Place::Meta, word);
            }
            let taken = |id: &String| rest.contains(&id.as_str());
            let free = known.resources().into_iter().filter(|id| !taken(id)).collect();
            [names(free), lists(&["meta", "params"])].concat()
        }
        ["clone" | "ms" | "bundle", _, rest @ ..] => {
            if rest.contains(&"meta") {
                return values(Place::Meta, word);
            }
            if rest.is_empty() { names(known.resources()) } else { lists(&["meta", "params"]) }
        }
        ["location", _] | ["monitor" | "tag"] => names(known.resources()),
        ["location", _, _, rest @ ..] => match rest.last() {
            Some(score) if score.ends_with(':') => names(known.nodes.clone()),
            _ => [
                lists(&[
                    "rule",
                    "role=",
                    "resource-discovery=always",
                    "resource-discovery=exclusive",
                    "resource-discovery=never",
                ]),
                scores(),
            ]
            .concat(),
        },
        ["colocation" | "collocation", _] => scores(),
        ["order", _] => {
            [lists(&["Mandatory:", "Optional:", "Serialize:"]), names(known.resources())].concat()
        }
        ["colocation" | "collocation" | "order" | "rsc_ticket" | "tag", _, ..] => {
            names(known.resources())
        }
        ["node"] => names(known.nodes.clone()),
        ["node", _] => lists(&["attributes", "utilization"]),
        ["node", _, "attributes", ..] => {
            known.attributes().into_iter().map(|name| plain(format!("{name}="))).collect()
        }
        ["fencing_topology", ..] => names(known.nodes.iter().map(|n| format!("{n}:")).collect()),
        _ => Vec::new(),
    }
}

/// Operations that may be configured.
const OPERATIONS: [&str; 10] = [
    "monitor",
    "start",
    "stop",
    "promote",
    "demote",
    "notify",
    "migrate_to",
    "migrate_from",
    "reload",
    "reload-agent",
];

/// Scores of a constraint: numbers stand for any.
fn scores() -> Vec<Candidate> {
    let of = |text: &str, about: &str| Candidate { text: text.to_owned(), about: about.to_owned() };
    vec![
        of("inf:", "must"),
        of("-inf:", "must not"),
        of("100:", "rather, by a number from 1 to 1000000"),
        of("-100:", "rather not, by a number"),
    ]
}

/// Behind the agent of a primitive.
fn resource(agent: &str, rest: &[&str], word: &str, known: &Snapshot) -> Vec<Candidate> {
    const LISTS: [&str; 4] = ["params", "meta", "utilization", "op"];
    let list = rest.iter().rposition(|word| LISTS.contains(word));
    let mut found = match list.map(|at| (rest[at], rest.len() - at)) {
        Some(("meta", _)) => values(Place::Meta, word),
        Some(("op", 1)) => {
            return OPERATIONS.map(plain).to_vec();
        }
        Some(("op", _)) => values(Place::Operation, word),
        Some(("utilization", _)) => Vec::new(),
        Some(_) | None => parameters(agent, rest, word, known),
    };
    if !word.contains('=') {
        found.extend(LISTS.map(plain));
    }
    found
}

/// Parameters of an agent that are not given yet, or the values of one.
fn parameters(agent: &str, rest: &[&str], word: &str, known: &Snapshot) -> Vec<Candidate> {
    let agent = match agent.strip_prefix('@') {
        Some(template) => known.agent_of(template).unwrap_or_default(),
        None => agent.to_owned(),
    };
    let Some(parameters) = known.parameters.get(&agent) else { return Vec::new() };
    if let Some((name, _)) = word.split_once('=') {
        let Some(parameter) = parameters.get(name) else { return Vec::new() };
        return words_of(parameter).iter().map(|v| plain(format!("{name}={v}"))).collect();
    }
    let given = |name: &str| rest.iter().any(|w| w.split_once('=').is_some_and(|(n, _)| n == name));
    let free = parameters.iter().filter(|(name, _)| !given(name));
    free.map(|(name, parameter)| Candidate { text: format!("{name}="), about: about(parameter) })
        .collect()
}

/// A parameter in a few words: whether it must be given, what it is for, and what counts where it is not given.
fn about(parameter: &Parameter) -> String {
    let need = parameter.required.then(|| "required".to_owned());
    let default = parameter.default.as_deref().filter(|value| !value.is_empty());
    let parts = [need, Some(parameter.about.clone()), Some(default_of(default))];
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    parts.join("; ")
}

fn default_of(value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| format!("default {value}"))
}

/// The values that a parameter may have, as far as they can be listed.
pub(crate) fn words_of(parameter: &Parameter) -> Vec<String> {
    let mut words = parameter.values.clone();
    if parameter.content == "boolean" && words.is_empty() {
        words = vec!["true".to_owned(), "false".to_owned()];
    }
    let default = parameter.default.clone().filter(|value| !value.is_empty());
    words.extend(default.filter(|value| !parameter.values.contains(value)));
    words
}

/// `NAME=` at a place, or behind it the values it may have.
fn values(place: Place, word: &str) -> Vec<Candidate> {
    let Some((name, _)) = word.split_once('=') else {
        let all = vocabulary::known(place).iter();
        return all
            .map(|name| {
                let about = default_of(vocabulary::default_value(place, name));
                Candidate { text: format!("{name}="), about }
            })
            .collect();
    };
    values_of(place, name).into_iter().map(|value| plain(format!("{name}={value}"))).collect()
}

/// The values that a known name may have, as far as they can be listed.
fn values_of(place: Place, name: &str) -> Vec<&'static str> {
    let mut words: Vec<&str> = match vocabulary::allowed(place, name) {
        Some(Allowed::OneOf(words)) => words.to_vec(),
        Some(Allowed::Boolean) => vec!["true", "false"],
        Some(Allowed::Score) => vec!["INFINITY", "-INFINITY", "0"],
        Some(Allowed::Duration | Allowed::Integer) | None => Vec::new(),
    };
    words.extend(vocabulary::default_value(place, name));
    words
}

#[cfg(test)]
#[path = "complete_tests.rs"]
pub(crate) mod tests;
