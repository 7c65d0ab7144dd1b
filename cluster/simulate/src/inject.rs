//! Events that are made up before anything is decided.

use haven_cib::Cib;
use haven_policy::{ClusterState, ResourceView};
use haven_types::status::{Presence, Status, TicketState};

use crate::Args;
use crate::execute::{Failure, Line, leading_number};
use crate::history::{self, Outcome};
use crate::nodes;

/// What was made up.
#[derive(Debug, Default)]
pub(crate) struct Modifications {
    pub(crate) lines: Vec<Line>,
    pub(crate) errors: Vec<String>,
}

/// Whether anything is to be made up.
pub(crate) fn wanted(args: &Args) -> bool {
    let lists = [
        &args.node_up,
        &args.node_down,
        &args.node_fail,
        &args.op_inject,
        &args.ticket_grant,
        &args.ticket_revoke,
        &args.ticket_standby,
        &args.ticket_activate,
    ];
    args.watchdog.is_some() || lists.iter().any(|l| !l.is_empty()) || args.quorum.is_some()
}

/// Changes configuration and status as asked for, in the order of `crm_simulate`.
pub(crate) fn inject(
    args: &Args,
    state: &ClusterState,
    cib: &mut Cib,
    status: &mut Status,
    now: i64,
) -> Modifications {
    let mut told = Modifications::default();
    let new_nodes = !args.node_up.is_empty();
    if let Some(v) = &args.quorum {
        told.say(format!("Setting quorum: {v}"));
        status.quorate = Some(is_true(v));
    }
    if let Some(v) = &args.watchdog {
        told.say(format!("Setting watchdog: {v}"));
        cib.set_option("have-watchdog", Some(v));
    }
    for (names, event) in
        [(&args.node_up, Event::Up), (&args.node_down, Event::Down), (&args.node_fail, Event::Fail)]
    {
        for name in names {
            told.say(event.text(name));
            match nodes::position(cib, status, name, None, new_nodes) {
                Some(at) => event.happen(status, at),
                None => told.errors.push(format!(
                    "cannot change node {name}: neither configuration nor status has a node of \
                     that name; --node-up {name} makes one"
                )),
            }
        }
    }
    for (tickets, what, value, word) in [
        (&args.ticket_grant, "granted", true, "Granting ticket "),
        (&args.ticket_revoke, "granted", false, "Revoking ticket "),
        (&args.ticket_standby, "standby", true, "Making ticket "),
        (&args.ticket_activate, "standby", false, "Activating ticket "),
    ] {
        for id in tickets {
            let end = if what == "standby" && value { " standby" } else { "" };
            told.say(format!("{word}{id}{end}"));
            set_ticket(status, id, what, value);
        }
    }
    for spec in &args.op_inject {
        told.say(format!("Injecting {spec} into the configuration"));
        let result =
            Injection::parse(spec).and_then(|i| i.apply(state, cib, status, new_nodes, now));
        match result {
            Ok(lines) => told.lines.extend(lines),
            Err(text) => told.errors.push(text),
        }
    }
    told
}

impl Modifications {
    fn say(&mut self, text: String) {
        self.lines.push(Line::Item(text));
    }
}

/// What may happen to a node.
#[derive(Clone, Copy)]
enum Event {
    Up,
    Down,
    Fail,
}

impl Event {
    fn text(self, name: &str) -> String {
        match self {
            Self::Up => format!("Bringing node {name} online"),
            Self::Down => format!("Taking node {name} offline"),
            Self::Fail => format!("Failing node {name}"),
        }
    }

    fn happen(self, status: &mut Status, at: usize) {
        let node = &mut status.nodes[at];
        match self {
            Self::Up => nodes::take_up(node),
            Self::Down => {
                nodes::take_down(node);
                let name = node.uname.clone();
                nodes::forget(status, &name);
            }
            Self::Fail => {
                nodes::take_up(node);
                node.in_membership = Presence::No;
            }
        }
    }
}

fn is_true(text: &str) -> bool {
    haven_cib::boolean(text) == Some(true)
}

fn set_ticket(status: &mut Status, id: &str, what: &str, value: bool) {
    let at = status.tickets.iter().position(|t| t.id == id).unwrap_or_else(|| {
        status.tickets.push(TicketState { id: id.to_owned(), ..TicketState::default() });
        status.tickets.len() - 1
    });
    let ticket = &mut status.tickets[at];
    if what == "granted" {
        ticket.granted = value;
    } else {
        ticket.standby = value;
    }
    ticket.attributes.insert(what.to_owned(), value.to_string());
}

/// The result of an operation that is taken to have run: `RESOURCE_OPERATION_INTERVALMS@NODE=RC`.
struct Injection<'a> {
    key: &'a str,
    node: &'a str,
    rc: i32,
}

impl<'a> Injection<'a> {
    fn parse(spec: &'a str) -> Result<Self, String> {
        let invalid =
            |found: u8| format!("Invalid operation spec: {spec}.  Only found {found} fields");
        let (key, rest) = match spec.split_once('@') {
            Some(("", _)) => return Err(invalid(0)),
            Some(parts) => parts,
            None => return Err(invalid(1)),
        };
        let (node, rc) = match rest.split_once('=') {
            Some(("", _)) => return Err(invalid(1)),
            Some(parts) => parts,
            None if rest.is_empty() => return Err(invalid(1)),
            None => return Err(invalid(2)),
        };
        let rc = leading_number(rc).ok_or_else(|| invalid(2))?;
        Ok(Self { key, node, rc })
    }

    fn apply(
        &self,
        state: &ClusterState,
        cib: &mut Cib,
        status: &mut Status,
        new_nodes: bool,
        now: i64,
    ) -> Result<Vec<Line>, String> {
        let (resource, task, interval) = history::parse_key(self.key)
            .ok_or_else(|| "Invalid resource name: (null)".to_owned())?;
        let found = state.resources.iter().find_map(|r| find(r, resource));
        let view = found.ok_or_else(|| format!("Invalid resource name: {resource}"))?;
        let agent = agent_of(view);
        let at = nodes::position(cib, status, self.node, None, new_nodes)
            .ok_or_else(|| format!("Invalid node name: {}", self.node))?;
        let node = &mut status.nodes[at];
        let fatal = || cib.option("start-failure-is-fatal").is_none_or(is_true);
        let failure = Failure {
            resource,
            task,
            interval,
            rc: self.rc,
            forever: task == "stop" || (task == "start" && fatal()),
            now,
        };
        let lines = failure.count(node);
        let known = node.resources.iter().any(|r| r.id == resource);
        let agent = match agent {
            Some(agent) => agent,
            None if known => (String::new(), None, String::new()),
            None => {
                return Err(format!(
                    "Resource {resource} not found in the status section of {} (supply class and \
                     type to continue)",
                    node.id
                ));
            }
        };
        let entry = history::of_resource(node, resource, resource, || agent);
        let outcome = Outcome {
            resource,
            operation: task,
            interval_ms: interval,
            rc: self.rc,
            target_rc: 0,
            reason: "Simulated action result",
            node: self.node,
            now,
            action: None,
        };
        history::record(entry, &outcome);
        Ok(lines)
    }
}

/// The resource with this id, or known by it in the history.
fn find<'v>(r: &'v ResourceView, id: &str) -> Option<&'v ResourceView> {
    if r.id == id || r.history_id.as_deref() == Some(id) {
        return Some(r);
    }
    let parts =
        r.replicas.iter().flat_map(|p| [&p.child, &p.ip, &p.container, &p.remote]).flatten();
    r.children.iter().chain(parts).find_map(|c| find(c, id))
}

/// Class, provider and type of a primitive.
fn agent_of(view: &ResourceView) -> Option<(String, Option<String>, String)> {
    let parts: Vec<&str> = view.agent.as_deref()?.splitn(3, ':').collect();
    match parts[..] {
        [class, kind] => Some((class.to_owned(), None, kind.to_owned())),
        [class, provider, kind] => {
            Some((class.to_owned(), Some(provider.to_owned()), kind.to_owned()))
        }
        _ => None,
    }
}
