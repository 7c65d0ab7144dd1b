//! Alerts: programs of the operator that are told what happens, in Pacemaker's words (Pacemaker
//! Explained, chapter Alerts).
//!
//! ```text
//!  node heard, dead ─▶ coordinator ─┐
//!  operation ended  ─▶ its node     ├─▶ each alert that selects it ─▶ each recipient ─▶ one call
//!  attribute set    ─▶ its node    ─┘
//! ```
//!
//! Every event is told by one node. What a program does with it, and whether it ends at all, is nobody's
//! affair here: the shell calls it and looks after it.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::WallTime;
use haven_cib::Cib;
use haven_cib::xml::Element;
use haven_types::NodeId;
use haven_types::operation::{ExecutionStatus, OperationRecord};

use crate::attributes::Values;
use crate::controller::Controller;
use crate::history::{as_expected, expected_code, is_probe};
use crate::port::{Clock, Output};

/// How long a program may take, unless its alert says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// As `date` takes it, unless the alert says otherwise.
const DEFAULT_FORMAT: &str = "%H:%M:%S.%06N";

/// One call of an alert's program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alert {
    /// Id of the recipient, else of the alert: calls of one follow each other.
    pub id: String,
    /// The program, as written.
    pub program: String,
    /// When it is ended.
    pub timeout: Duration,
    /// When it happened, by this node's civil clock.
    pub at: WallTime,
    /// How the time is to be written in `CRM_alert_timestamp`, as `date` takes it.
    pub timestamp_format: String,
    /// The rest of its environment: parameters, and what happened.
    pub environment: BTreeMap<String, String>,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Happened {
    /// A node came or was lost.
    Node { name: String, id: NodeId, member: bool },
    /// A node was fenced, or could not be.
    Fencing { target: String, operation: String, rc: i32, text: String },
    /// An operation ended.
    Resource { node: String, record: Box<OperationRecord> },
    /// A transient attribute was set or deleted.
    Attribute { node: String, id: NodeId, name: String, value: Option<String> },
}

impl Happened {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Node { .. } => "node",
            Self::Fencing { .. } => "fencing",
            Self::Resource { .. } => "resource",
            Self::Attribute { .. } => "attribute",
        }
    }

    /// Name and value of each variable that the kind has.
    fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Node { name, id, member } => vec![
                ("node", name.clone()),
                ("nodeid", id.to_string()),
                ("desc", if *member { "member" } else { "lost" }.to_owned()),
            ],
            Self::Fencing { target, operation, rc, text } => vec![
                ("node", target.clone()),
                ("desc", text.clone()),
                ("task", operation.clone()),
                ("rc", rc.to_string()),
            ],
            Self::Resource { node, record } => operation(node, record),
            Self::Attribute { node, id, name, value } => vec![
                ("node", node.clone()),
                ("nodeid", id.to_string()),
                ("attribute_name", name.clone()),
                ("attribute_value", value.clone().unwrap_or_default()),
            ],
        }
    }
}

fn operation(node: &str, record: &OperationRecord) -> Vec<(&'static str, String)> {
    let operation = &record.operation;
    let rc = record.outcome.as_ref().map_or(193, |outcome| outcome.code.0);
    let (status, word) = match record.outcome.as_ref().map(|outcome| outcome.status) {
        None => (-1, "pending"),
        Some(ExecutionStatus::Done) if as_expected(record) => (0, "ok"),
        Some(ExecutionStatus::Done | ExecutionStatus::Error) => (4, "error"),
        Some(ExecutionStatus::Cancelled) => (1, "Cancelled"),
        Some(ExecutionStatus::Timeout) => (2, "Timed Out"),
        Some(ExecutionStatus::NotInstalled) => (7, "Not installed"),
    };
    vec![
        ("node", node.to_owned()),
        ("rsc", operation.resource.clone()),
        ("task", operation.action.clone()),
        ("interval", operation.interval.as_millis().to_string()),
        ("desc", word.to_owned()),
        ("status", status.to_string()),
        ("rc", rc.to_string()),
        ("target_rc", expected_code(record).0.to_string()),
        ("exec_time", record.took.as_millis().to_string()),
    ]
}

/// What an alert selects, where it says so.
fn selects(alert: &Element, happened: &Happened) -> bool {
    let Some(select) = alert.child("select") else {
        // Attributes change all the time: only who asks for them hears of them.
        return !matches!(happened, Happened::Attribute { .. });
    };
    match happened {
        Happened::Node { .. } => select.child("select_nodes").is_some(),
        Happened::Fencing { .. } => select.child("select_fencing").is_some(),
        Happened::Resource { .. } => select.child("select_resources").is_some(),
        Happened::Attribute { name, .. } => {
            select.child("select_attributes").is_some_and(|attributes| {
                let mut named = attributes.children_named("attribute").peekable();
                named.peek().is_none() || named.any(|one| one.attr("name") == Some(name))
            })
        }
    }
}

/// Values of all blocks of a kind, the first of a name first; a block with a rule does not count, since
/// no rule is about alerts.
fn pairs(of: &Element, blocks: &'static str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let sets = of.children_named(blocks).filter(|set| set.child("rule").is_none());
    for pair in sets.flat_map(|set| set.children_named("nvpair")) {
        if let (Some(name), Some(value)) = (pair.attr("name"), pair.attr("value")) {
            found.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    found
}

/// The calls that an event makes. `sequence` is raised by one for each.
pub(crate) fn calls(
    cib: &Cib,
    happened: &Happened,
    at: WallTime,
    sequence: &mut u64,
) -> Vec<Alert> {
    let mut calls = Vec::new();
    for alert in cib.alerts.iter().filter(|element| element.name == "alert") {
        if !selects(alert, happened) {
            continue;
        }
        let recipients: Vec<&Element> = alert.children_named("recipient").collect();
        let each: Vec<Option<&Element>> = match recipients.is_empty() {
            true => vec![None],
            false => recipients.into_iter().map(Some).collect(),
        };
        calls.extend(each.into_iter().filter_map(|to| call(alert, to, happened, at, sequence)));
    }
    calls
}

fn call(
    alert: &Element,
    recipient: Option<&Element>,
    happened: &Happened,
    at: WallTime,
    sequence: &mut u64,
) -> Option<Alert> {
    let program = alert.attr("path").filter(|path| !path.is_empty())?;
    let both = |blocks| {
        let mut all = recipient.map(|to| pairs(to, blocks)).unwrap_or_default();
        for (name, value) in pairs(alert, blocks) {
            all.entry(name).or_insert(value);
        }
        all
    };
    let meta = both("meta_attributes");
    if meta
        .get("enabled")
        .is_some_and(|word| matches!(word.as_str(), "false" | "off" | "no" | "0" | "n"))
    {
        return None;
    }
    *sequence += 1;
    let mut environment = both("instance_attributes");
    let mut put = |name: &str, value: String| {
        environment.insert(format!("CRM_alert_{name}"), value);
    };
    put("kind", happened.kind().to_owned());
    put("version", env!("CARGO_PKG_VERSION").to_owned());
    put("node_sequence", sequence.to_string());
    put("timestamp_epoch", at.seconds.to_string());
    put("timestamp_usec", (at.nanos / 1_000).to_string());
    if let Some(value) = recipient.and_then(|to| to.attr("value")) {
        put("recipient", value.to_owned());
    }
    for (name, value) in happened.variables() {
        put(name, value);
    }
    let named = recipient.and_then(|to| to.attr("id")).or_else(|| alert.attr("id"));
    let timeout = meta.get("timeout").and_then(|text| duration(text));
    Some(Alert {
        id: named.unwrap_or(program).to_owned(),
        program: program.to_owned(),
        timeout: timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(DEFAULT_TIMEOUT),
        at,
        timestamp_format: meta
            .get("timestamp-format")
            .map_or(DEFAULT_FORMAT, String::as_str)
            .to_owned(),
        environment,
    })
}

/// `30`, `30s`, `500ms`, `5min`, `1h`; a bare number means seconds.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = match unit.trim() {
        "ms" | "msec" => 1,
        "" | "s" | "sec" => 1_000,
        "m" | "min" => 60_000,
        "h" | "hr" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(millis).map(Duration::from_millis)
}

impl Controller {
    /// Tells whoever wants to know.
    pub(crate) fn alert(&mut self, clock: Clock, happened: &Happened) {
        if self.state.cib.alerts.is_empty() {
            return;
        }
        let calls = calls(&self.state.cib, happened, clock.wall, &mut self.alerted);
        self.out.extend(calls.into_iter().map(|call| Output::Alert(Box::new(call))));
    }

    /// Tells of operations that ended here. A probe that found what was expected is no news.
    pub(crate) fn alert_records(&mut self, clock: Clock, records: &[OperationRecord]) {
        if self.state.cib.alerts.is_empty() {
            return;
        }
        for record in records {
            if record.outcome.is_some() && !(is_probe(record) && as_expected(record)) {
                let (node, record) = (self.config.name.clone(), Box::new(record.clone()));
                self.alert(clock, &Happened::Resource { node, record });
            }
        }
    }

    /// Tells of this node's attributes that differ from what they were; private ones are told to nobody.
    pub(crate) fn alert_attributes(&mut self, clock: Clock, old: &Values) {
        if self.state.cib.alerts.is_empty() {
            return;
        }
        let id = self.config.node;
        let Some(own) = self.histories.get(&id) else { return };
        let names: std::collections::BTreeSet<&String> =
            old.keys().chain(own.attributes.keys()).collect();
        let public = |name: &&String| !own.traits.get(*name).is_some_and(|traits| traits.private);
        let changed: Vec<(String, Option<String>)> = names
            .into_iter()
            .filter(public)
            .filter(|name| old.get(*name) != own.attributes.get(*name))
            .map(|name| (name.clone(), own.attributes.get(name).cloned()))
            .collect();
        for (name, value) in changed {
            let node = self.config.name.clone();
            self.alert(clock, &Happened::Attribute { node, id, name, value });
        }
    }
}

#[cfg(test)]
mod tests {
    use haven_cib::crm;

    use super::*;

    const ALERTS: &str = r#"xml '<alert id="log" path="/bin/log"><meta_attributes id="log-m"><nvpair id="log-t" name="timeout" value="5s"/></meta_attributes><instance_attributes id="log-i"><nvpair id="log-c" name="community" value="public"/></instance_attributes><recipient id="log-1" value="one"/><recipient id="log-2" value="two"><meta_attributes id="log-2-m"><nvpair id="log-2-f" name="timestamp-format" value="%s"/></meta_attributes></recipient></alert>'
xml '<alert id="attr" path="/bin/attr"><select><select_attributes><attribute id="a1" name="pingd"/></select_attributes></select></alert>'
xml '<alert id="off" path="/bin/off"><meta_attributes id="off-m"><nvpair id="off-e" name="enabled" value="false"/></meta_attributes></alert>'
"#;

    fn made(happened: &Happened) -> Vec<Alert> {
        let cib = crm::load(&Cib::default(), ALERTS, crm::Mode::Update).unwrap().cib;
        let at = WallTime { seconds: 1_700_000_000, nanos: 123_456_789 };
        calls(&cib, happened, at, &mut 7)
    }

    fn lost() -> Happened {
        Happened::Node { name: "n2".to_owned(), id: NodeId(2), member: false }
    }

    fn attribute(name: &str) -> Happened {
        let (node, name, value) = ("n1".to_owned(), name.to_owned(), Some("100".to_owned()));
        Happened::Attribute { node, id: NodeId(1), name, value }
    }

    #[test]
    fn each_recipient_is_told_in_the_field_s_words() {
        let calls = made(&lost());
        let ids: Vec<&str> = calls.iter().map(|call| call.id.as_str()).collect();
        assert_eq!(ids, ["log-1", "log-2"], "what selects nothing else, and is not off");
        assert_eq!(calls[0].timeout, Duration::from_secs(5));
        assert_eq!(
            (calls[0].timestamp_format.as_str(), calls[1].timestamp_format.as_str()),
            (DEFAULT_FORMAT, "%s")
        );
        let lines: Vec<String> =
            calls[1].environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            lines,
            [
                "CRM_alert_desc=lost",
                "CRM_alert_kind=node",
                "CRM_alert_node=n2",
                "CRM_alert_node_sequence=9",
                "CRM_alert_nodeid=2",
                "CRM_alert_recipient=two",
                "CRM_alert_timestamp_epoch=1700000000",
                "CRM_alert_timestamp_usec=123456",
                concat!("CRM_alert_version=", env!("CARGO_PKG_VERSION")),
                "community=public",
            ]
        );
    }

    #[test]
    fn attributes_are_told_to_whom_they_are_named() {
        let calls = made(&attribute("pingd"));
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].program, "/bin/attr");
        assert_eq!(calls[0].environment["CRM_alert_attribute_name"], "pingd");
        assert_eq!(calls[0].environment["CRM_alert_attribute_value"], "100");
        assert!(!calls[0].environment.contains_key("CRM_alert_recipient"));
        assert_eq!(made(&attribute("other")), []);
    }
}
