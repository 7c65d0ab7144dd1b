//! From text to [`NodeConfig`]: one walk that keeps going after a mistake, so that an operator sees
//! all of them at once.

mod checks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;

use haven_base::nearest;
use haven_types::LinkId;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::trust::check_name;

use super::{
    AgentsConfig, DEFAULT_CHANNEL_PORT, DEFAULT_LINK_PORT, DEFAULT_LOG_MIB, Finding, GateChoice,
    LinkConfig, MAX_LINKS, MAX_LOG_MIB, NodeConfig,
};

/// Longest run directory in bytes: with `/control.sock` it fits the 108 bytes of `sun_path`, the end included.
const MAX_RUN: usize = 94;
/// Every section and the keys it may hold.
const SCHEMA: &[(&str, &[&str])] = &[
    ("cluster", &["name"]),
    ("node", &["name"]),
    ("link", &["number", "local", "port", "device"]),
    ("channel", &["listen"]),
    ("paths", &["state", "run"]),
    ("store", &["log_mib"]),
    ("log", &["level", "format"]),
    ("gate", &["backend"]),
    ("agents", &["ocf_root", "environment"]),
    (
        "check",
        &[
            "name",
            "kind",
            "targets",
            "target",
            "path",
            "free_percent",
            "interval",
            "timeout",
            "failures",
            "successes",
            "attribute",
            "multiplier",
            "delay",
            "good",
            "bad",
        ],
    ),
];

const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];

pub(super) fn parse(text: &str) -> Result<NodeConfig, Vec<Finding>> {
    let root = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(0, |span| line_of(text, &span));
        let message = format!("not TOML: {}", error.message());
        vec![Finding { line, object: "syntax".to_owned(), message }]
    })?;
    let mut reader = Reader { text, within: None, findings: Vec::new() };
    reader.check_names(root.get_ref());
    let config = reader.read(root.get_ref());
    reader.findings.sort_by_key(|finding| (finding.line == 0, finding.line));
    match config {
        Some(config) if reader.findings.is_empty() => Ok(config),
        _ => Err(reader.findings),
    }
}

struct Reader<'a> {
    text: &'a str,
    /// The table that is read, one of several: a finding about what it lacks is at its head.
    within: Option<Range<usize>>,
    findings: Vec<Finding>,
}

type Value<'a> = Spanned<DeValue<'a>>;
/// A table, and where its head is.
type Table<'t, 'a> = (Range<usize>, &'t DeTable<'a>);

impl Reader<'_> {
    fn find(&mut self, span: Option<&Range<usize>>, object: &str, message: impl Into<String>) {
        let line = span.or(self.within.as_ref()).map_or(0, |span| line_of(self.text, span));
        self.findings.push(Finding { line, object: object.to_owned(), message: message.into() });
    }

    /// Reports every section and key that does not exist, with the nearest that does.
    fn check_names(&mut self, root: &DeTable<'_>) {
        let sections: Vec<&str> = SCHEMA.iter().map(|(name, _)| *name).collect();
        for (section, value) in root {
            let name = section.get_ref().as_ref();
            let Some((_, keys)) = SCHEMA.iter().find(|(known, _)| *known == name) else {
                let message = unknown("section", name, &sections);
                self.find(Some(&section.span()), &format!("[{name}]"), message);
                continue;
            };
            for (_, table) in tables(value) {
                for key in table.keys() {
                    let word = key.get_ref().as_ref();
                    if !keys.contains(&word) {
                        let message = unknown("key", word, keys);
                        self.find(Some(&key.span()), &format!("[{name}] {word}"), message);
                    }
                }
            }
        }
    }

    fn read(&mut self, root: &DeTable<'_>) -> Option<NodeConfig> {
        let cluster = self.name(root, "cluster");
        let name = self.name(root, "node");
        let links = self.links(root);
        let channel = self.channel(root, &links);
        let state = self.path(root, "paths", "state", "/var/lib/haven");
        let run = self.path(root, "paths", "run", "/run/haven");
        let at = |key| lookup(root, "paths", key).map(Spanned::span);
        if let Some(run) = run.as_ref().filter(|run| run.as_os_str().len() > MAX_RUN) {
            let found = run.as_os_str().len();
            let message = format!(
                "found {found} bytes, at most {MAX_RUN} are possible: the kernel takes no longer path of a socket"
            );
            self.find(at("run").as_ref(), "[paths] run", message);
        }
        if state == run && state.is_some() {
            let message = "state and run are the same directory; run is emptied at boot, \
                           so identity and store would be lost: give them two";
            self.find(at("run").or_else(|| at("state")).as_ref(), "[paths]", message);
        }
        let log_mib = match lookup(root, "store", "log_mib") {
            Some(value) => self.whole(value, "[store] log_mib", 1, MAX_LOG_MIB),
            None => Some(DEFAULT_LOG_MIB),
        };
        let log_level = self.choice(root, "log", "level", LEVELS).unwrap_or("info");
        let log_json = self.choice(root, "log", "format", &["text", "json"]) == Some("json");
        let gate = match self.choice(root, "gate", "backend", &["auto", "bpf", "bpf-clsact", "nft"])
        {
            Some("bpf") => GateChoice::Bpf,
            Some("bpf-clsact") => GateChoice::BpfClsact,
            Some("nft") => GateChoice::Nft,
            _ => GateChoice::Auto,
        };
        let ocf_root = self.path(root, "agents", "ocf_root", "/usr/lib/ocf");
        let environment = self.environment(root);
        let checks = self.checks(root);
        Some(NodeConfig {
            agents: AgentsConfig { ocf_root: ocf_root?, environment },
            cluster: cluster?,
            name: name?,
            links,
            channel: channel?,
            state: state?,
            log_mib: log_mib?,
            run: run?,
            log_level: log_level.to_owned(),
            log_json,
            gate,
            checks,
        })
    }

    /// `[section] name`: required, a word that a certificate can hold.
    fn name(&mut self, root: &DeTable<'_>, section: &str) -> Option<String> {
        let object = format!("[{section}] name");
        let Some(value) = lookup(root, section, "name") else {
            let span = root.get(section).map(Spanned::span);
            self.find(span.as_ref(), &object, "missing; every node needs it: name = \"…\"");
            return None;
        };
        let text = self.string(value, &object)?;
        // Refused here and now in the words of `init` and `join`, which would refuse it later.
        if let Err(error) = check_name(&text) {
            self.find(Some(&value.span()), &object, error.to_string());
            return None;
        }
        Some(text)
    }

    fn string(&mut self, value: &Value<'_>, object: &str) -> Option<String> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(text.to_string());
        }
        let found = value.get_ref().type_str();
        self.find(Some(&value.span()), object, format!("found {found}, expected a quoted text"));
        None
    }

    fn links(&mut self, root: &DeTable<'_>) -> Vec<LinkConfig> {
        let tables = root.get("link").map(tables).unwrap_or_default();
        if tables.is_empty() {
            let message = "missing; a node needs at least one: [[link]] number = 0, \
                           local = \"ADDRESS\" (two on separate networks survive a dead switch)";
            self.find(None, "[[link]]", message);
        }
        let mut links = Vec::new();
        let mut numbers = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for (head, table) in tables.iter().take(MAX_LINKS) {
            self.within = Some(head.clone());
            let Some(link) = self.link(table) else {
                continue;
            };
            let span = table.get("local").map(Spanned::span);
            if !numbers.insert(link.number) {
                let message = format!("number {} is given twice", link.number);
                self.find(span.as_ref(), "[[link]] number", message);
            }
            if !addresses.insert(link.address()) {
                let message = format!("{} is used by two links", link.address());
                self.find(span.as_ref(), "[[link]] local", message);
            }
            links.push(link);
        }
        self.within = None;
        self.bound("[[link]]", &tables, MAX_LINKS);
        links.sort_by_key(|link| link.number);
        links
    }

    /// Reports the first table of more than `most`.
    fn bound(&mut self, object: &str, tables: &[Table<'_, '_>], most: usize) {
        if let Some((head, _)) = tables.get(most) {
            let message = format!("found {}, at most {most} are possible", tables.len());
            self.find(Some(head), object, message);
        }
    }

    fn link(&mut self, table: &DeTable<'_>) -> Option<LinkConfig> {
        let number = self.integer(table, "number", 0, MAX_LINKS as u64 - 1);
        let port = match table.get("port") {
            Some(_) => self.integer(table, "port", 1, 65_535),
            None => Some(u64::from(DEFAULT_LINK_PORT)),
        };
        let object = "[[link]] local";
        let Some(value) = table.get("local") else {
            self.find(None, object, "missing; the address of this node on the link");
            return None;
        };
        let text = self.string(value, object)?;
        let local: Option<IpAddr> = text.parse().ok();
        let usable = local.filter(|a| !a.is_unspecified() && !a.is_multicast());
        if usable.is_none() {
            let message = format!("found {text:?}, expected an IPv4 or IPv6 address of this node");
            self.find(Some(&value.span()), object, message);
        } else if matches!(usable, Some(IpAddr::V6(v6)) if v6.is_unicast_link_local()) {
            let message = format!(
                "{text} is link-local, so other nodes cannot know by which interface it is reached: \
                 use an address of a prefix, such as fd00::/8"
            );
            self.find(Some(&value.span()), object, message);
        }
        let device = match table.get("device") {
            Some(value) => Some(self.device(value)?),
            None => None,
        };
        Some(LinkConfig {
            device,
            number: LinkId(u8::try_from(number?).ok()?),
            local: usable?,
            port: u16::try_from(port?).ok()?,
        })
    }

    /// The name of an interface, as the kernel takes them.
    fn device(&mut self, value: &Value<'_>) -> Option<String> {
        let object = "[[link]] device";
        let text = self.string(value, object)?;
        let fits = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '/' | ':');
        if text.is_empty()
            || text.len() > 15
            || matches!(text.as_str(), "." | "..")
            || !text.chars().all(fits)
        {
            let message =
                format!("found {text:?}, expected the name of an interface, at most 15 bytes");
            self.find(Some(&value.span()), object, message);
            return None;
        }
        Some(text)
    }

    fn integer(&mut self, table: &DeTable<'_>, key: &str, low: u64, high: u64) -> Option<u64> {
        let object = format!("[[link]] {key}");
        let Some(value) = table.get(key) else {
            self.find(None, &object, format!("missing; a number from {low} to {high}"));
            return None;
        };
        self.whole(value, &object, low, high)
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "any other kind of value is the same mistake"
    )]
    fn whole(&mut self, value: &Value<'_>, object: &str, low: u64, high: u64) -> Option<u64> {
        let number = match value.get_ref() {
            DeValue::Integer(integer) => integer.as_str().parse::<u64>().ok(),
            _ => None,
        };
        let number = number.filter(|n| (low..=high).contains(n));
        if number.is_none() {
            let message = format!("expected a whole number from {low} to {high}");
            self.find(Some(&value.span()), object, message);
        }
        number
    }

    fn channel(&mut self, root: &DeTable<'_>, links: &[LinkConfig]) -> Option<SocketAddr> {
        let Some(value) = lookup(root, "channel", "listen") else {
            return links.first().map(|link| SocketAddr::new(link.local, DEFAULT_CHANNEL_PORT));
        };
        let object = "[channel] listen";
        let text = self.string(value, object)?;
        let parsed = text.parse().ok();
        let usable = |at: &SocketAddr| at.port() != 0 && !at.ip().is_unspecified();
        let Some(at) = parsed.filter(usable) else {
            let message = format!(
                "found {text:?}, expected ADDRESS:PORT by which the others reach this node, an IPv6 address in brackets"
            );
            self.find(Some(&value.span()), object, message);
            return None;
        };
        Some(at)
    }

    fn path(
        &mut self,
        root: &DeTable<'_>,
        section: &str,
        key: &str,
        default: &str,
    ) -> Option<PathBuf> {
        let Some(value) = lookup(root, section, key) else {
            return Some(default.into());
        };
        let object = format!("[{section}] {key}");
        let text = self.string(value, &object)?;
        let path = PathBuf::from(&text);
        if !path.is_absolute() {
            let message = format!("found {text:?}, expected an absolute path");
            self.find(Some(&value.span()), &object, message);
            return None;
        }
        Some(path)
    }

    /// `[agents] environment`: a table of names and texts.
    fn environment(&mut self, root: &DeTable<'_>) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        let Some(value) = lookup(root, "agents", "environment") else { return variables };
        let object = "[agents] environment";
        let DeValue::Table(table) = value.get_ref() else {
            let message = "expected a table, such as { HA_VARRUN = \"/run\" }";
            self.find(Some(&value.span()), object, message);
            return variables;
        };
        for (name, value) in table {
            let word = name.get_ref().as_ref();
            let Some(text) = self.string(value, object) else { continue };
            let fits = !word.is_empty() && !word.contains(['=', '\0']) && !text.contains('\0');
            if fits {
                variables.insert(word.to_owned(), text);
            } else {
                let message = format!("{word:?} cannot be a variable of an environment");
                self.find(Some(&name.span()), object, message);
            }
        }
        variables
    }

    fn choice<'c>(
        &mut self,
        root: &DeTable<'_>,
        section: &str,
        key: &str,
        choices: &[&'c str],
    ) -> Option<&'c str> {
        let value = lookup(root, section, key)?;
        let object = format!("[{section}] {key}");
        let text = self.string(value, &object)?;
        let chosen = choices.iter().find(|choice| **choice == text).copied();
        if chosen.is_none() {
            let message = format!("found {text:?}, expected one of {}", choices.join(", "));
            self.find(Some(&value.span()), &object, message);
        }
        chosen
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "only one kind of value fits")]
fn lookup<'t, 'a>(root: &'t DeTable<'a>, section: &str, key: &str) -> Option<&'t Value<'a>> {
    match root.get(section)?.get_ref() {
        DeValue::Table(table) => table.get(key),
        _ => None,
    }
}

/// The table a section is, or the tables it is an array of.
#[allow(clippy::wildcard_enum_match_arm, reason = "only one kind of value fits")]
fn tables<'t, 'a>(value: &'t Value<'a>) -> Vec<Table<'t, 'a>> {
    let single = |value: &'t Value<'a>| match value.get_ref() {
        DeValue::Table(table) => Some((value.span(), table)),
        _ => None,
    };
    match value.get_ref() {
        DeValue::Array(array) => array.iter().filter_map(single).collect(),
        _ => single(value).into_iter().collect(),
    }
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
}

fn unknown(what: &str, found: &str, known: &[&str]) -> String {
    match nearest(found, known.iter().copied()) {
        Some(word) => format!("unknown {what}; did you mean {word:?}?"),
        None => format!("unknown {what}; possible are {}", known.join(", ")),
    }
}
