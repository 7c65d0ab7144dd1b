//! A transition, carried out on paper: every action succeeds at once unless told otherwise, and what
//! it leaves behind is written into the status.
//!
//! The graph is gone through in its own order again and again; an action goes ahead when everything it
//! waits for is done. After a failure only bookkeeping and what has the highest priority goes on, and
//! nothing that waits for what has failed, unless it has the highest priority itself.

use std::collections::BTreeSet;

use haven_cib::Cib;
use haven_policy::{ClusterState, ResourceView};
use haven_types::graph::{Action, ActionKind, ActionNode, ActionResource, TransitionGraph};
use haven_types::status::{NodeState, Status};

use crate::history::{self, Outcome};
use crate::nodes;

/// The priority that goes on after a failure.
const INFINITY: i32 = 1_000_000;

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Execution {
    /// One line for each thing done, in order.
    pub(crate) lines: Vec<Line>,
    /// Everything that could be done was done.
    pub(crate) complete: bool,
    /// What was asked for and could not be read.
    pub(crate) errors: Vec<String>,
}

/// A line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// An item of the list.
    Item(String),
    /// A remark in between.
    Remark(String),
}

/// Carries out `graph`, which was decided for this configuration, status and `state`. `fail` are
/// operations that end otherwise, `RESOURCE_OPERATION_INTERVALMS@NODE=RC`; `new_nodes` makes the
/// nodes met that are not configured.
pub(crate) fn execute(
    graph: &TransitionGraph,
    state: &ClusterState,
    cib: &mut Cib,
    status: &mut Status,
    how: &How<'_>,
) -> Execution {
    let (mut known, mut leased) = (BTreeSet::new(), BTreeSet::new());
    state.resources.iter().for_each(|r| collect(r, &mut known, &mut leased));
    let count = graph.actions.len();
    let mut run = Run {
        graph,
        cib,
        status,
        how,
        known,
        leased,
        abort_priority: 0,
        done: vec![Progress::Waiting; count],
        told: Execution::default(),
    };
    while run.pass() {}
    let left = run.done.contains(&Progress::Waiting);
    run.told.complete = !left || run.abort_priority > 0;
    run.told
}

/// How to carry out.
#[derive(Debug)]
pub(crate) struct How<'a> {
    /// Operations that end otherwise.
    pub(crate) fail: &'a [String],
    /// Make nodes that are not configured.
    pub(crate) new_nodes: bool,
    /// Second (since 1970) at which everything happens.
    pub(crate) now: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    Done,
    Failed,
}

struct Run<'a> {
    graph: &'a TransitionGraph,
    cib: &'a mut Cib,
    status: &'a mut Status,
    how: &'a How<'a>,
    /// Ids that name a resource.
    known: BTreeSet<String>,
    /// Ids that name one which runs only under a lease.
    leased: BTreeSet<String>,
    /// After a failure, what has a lower priority stays.
    abort_priority: i32,
    done: Vec<Progress>,
    told: Execution,
}

fn collect(r: &ResourceView, known: &mut BTreeSet<String>, leased: &mut BTreeSet<String>) {
    known.insert(r.id.clone());
    known.extend(r.history_id.clone());
    if r.leased {
        leased.extend([r.id.clone(), r.config_id.clone()]);
    }
    r.children.iter().for_each(|c| collect(c, known, leased));
    for p in &r.replicas {
        let parts = [&p.child, &p.ip, &p.container, &p.remote];
        parts.into_iter().flatten().for_each(|part| collect(part, known, leased));
    }
}

impl<'a> Run<'a> {
    /// Goes through the graph once; whether anything was done.
    fn pass(&mut self) -> bool {
        let mut any = false;
        for (i, action) in self.graph.actions.iter().enumerate() {
            if self.done[i] != Progress::Waiting || !self.is_ready(action) {
                continue;
            }
            any = true;
            self.done[i] = if self.perform(action) { Progress::Done } else { Progress::Failed };
        }
        any
    }

    fn is_ready(&self, action: &Action) -> bool {
        let ready = action.inputs.iter().all(|i| match self.done.get(i.index()) {
            Some(Progress::Waiting) => false,
            Some(Progress::Failed) => action.priority >= INFINITY,
            Some(Progress::Done) | None => true,
        });
        ready && (action.kind == ActionKind::Pseudo || action.priority >= self.abort_priority)
    }

    /// Does one thing; false if it fails.
    fn perform(&mut self, action: &Action) -> bool {
        let on = action.node.as_ref();
        match action.kind {
            ActionKind::Pseudo => {
                let node = on.map_or_else(String::new, |n| format!(" on {}", n.uname));
                self.tell(format!("Pseudo action:   {}{node}", action.operation_key));
                true
            }
            ActionKind::Cluster if action.operation == "stonith" => {
                let node = on.map_or("", |n| n.uname.as_str());
                let how = action.meta("stonith_action").unwrap_or_default();
                self.tell(format!("Fencing {node} ({how})"));
                if !how.eq_ignore_ascii_case("on") {
                    self.fenced(node);
                }
                true
            }
            ActionKind::Cluster => {
                let node = on.map_or("", |n| n.uname.as_str());
                let of = action.resource.as_ref();
                let of = of.map_or_else(String::new, |r| format!(" for {}", r.id));
                self.tell(format!("Cluster action:  {}{of} on {node}", action.operation));
                if action.operation == "lease_ended" {
                    self.lease_ended(node);
                }
                true
            }
            ActionKind::Resource => match (on, &action.resource) {
                (Some(node), Some(resource)) => self.operate(action, node, resource),
                _ => true,
            },
        }
    }

    fn tell(&mut self, text: String) {
        self.told.lines.push(Line::Item(text));
    }

    /// The node is down and all that was known of it is gone.
    fn fenced(&mut self, name: &str) {
        let at = nodes::position(self.cib, self.status, name, None, self.how.new_nodes);
        if let Some(at) = at {
            nodes::take_down(&mut self.status.nodes[at]);
        }
        nodes::forget(self.status, name);
    }

    /// What ran under a lease on this node no longer does.
    fn lease_ended(&mut self, name: &str) {
        let Some(node) = self.status.nodes.iter_mut().find(|n| n.uname == name) else { return };
        let held = node.resources.iter().map(|r| r.id.clone());
        let held: Vec<String> = held.filter(|id| self.leased.contains(id)).collect();
        for id in held {
            let entry = history::of_resource(node, &id, &id, Default::default);
            let outcome = Outcome {
                resource: &id,
                operation: "stop",
                interval_ms: 0,
                rc: 0,
                target_rc: 0,
                reason: "",
                node: name,
                now: self.how.now,
                action: None,
            };
            history::record(entry, &outcome);
        }
    }

    fn operate(&mut self, action: &Action, on: &ActionNode, resource: &ActionResource) -> bool {
        let long = resource.long_id.as_deref();
        let name = match long.filter(|l| self.known.contains(*l)) {
            Some(long) if !self.known.contains(&resource.id) => long,
            _ => resource.id.as_str(),
        };
        let task = action.operation.as_str();
        let interval = action.meta("interval").and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
        let every =
            if interval > 0 && task != "delete" { format!("={interval}") } else { String::new() };
        self.tell(format!("Resource action: {name:<15} {task}{every} on {}", on.uname));
        if task == "delete" || task == "meta-data" {
            return true;
        }
        let id = if on.router.is_some() { &on.uname } else { &on.id };
        let how = self.how;
        let at = nodes::position(self.cib, self.status, &on.uname, Some(id), how.new_nodes);
        let Some(at) = at else { return true };
        let target = action.target_rc();
        let told = self.told_result(action, name, resource, &on.uname, interval);
        if let Some((matched, rc)) = told {
            let number = u64::from(action.id.0) + 1;
            let text = format!("Pretending action {number} failed with rc={rc}");
            self.told.lines.push(Line::Remark(text));
            self.abort_priority = INFINITY;
            let offset = match task {
                "start" => self.graph.failed_start_offset.as_deref().unwrap_or("INFINITY"),
                "stop" => self.graph.failed_stop_offset.as_deref().unwrap_or("INFINITY"),
                _ => "",
            };
            let failure = Failure {
                resource: matched,
                task,
                interval,
                rc,
                forever: offset == "INFINITY" || offset == "+INFINITY",
                now: self.how.now,
            };
            let lines = failure.count(&mut self.status.nodes[at]);
            self.told.lines.extend(lines);
        }
        let agent = || (resource.class.clone(), resource.provider.clone(), resource.kind.clone());
        let entry = history::of_resource(&mut self.status.nodes[at], name, &resource.id, agent);
        let outcome = Outcome {
            resource: &resource.id,
            operation: task,
            interval_ms: interval,
            rc: told.map_or(target, |(_, rc)| rc),
            target_rc: target,
            reason: "User-injected result",
            node: &on.uname,
            now: self.how.now,
            action: Some(action),
        };
        history::record(entry, &outcome);
        told.is_none()
    }

    /// How this operation is to end, if it was said, and the name it was said for.
    fn told_result<'n>(
        &mut self,
        action: &Action,
        name: &'n str,
        resource: &'n ActionResource,
        node: &str,
        interval: u64,
    ) -> Option<(&'n str, i32)> {
        for spec in self.how.fail {
            let matches = |id: &str| {
                let key = history::key(id, &action.operation, interval);
                let key = format!("{key}@{node}=");
                spec.get(..key.len()).is_some_and(|s| s.eq_ignore_ascii_case(&key))
            };
            let matched = [name, resource.id.as_str()].into_iter().find(|id| matches(id));
            let Some(matched) = matched else { continue };
            let rc = spec.split_once('=').and_then(|(_, rc)| leading_number(rc));
            match rc {
                Some(rc) => return Some((matched, rc)),
                None => self.told.errors.push(format!(
                    "Invalid failed operation '{spec}' (result code must be integer)"
                )),
            }
        }
        None
    }
}

/// The number a text begins with.
pub(crate) fn leading_number(text: &str) -> Option<i32> {
    let t = text.trim_start();
    let sign = usize::from(t.starts_with(['-', '+']));
    let digits = t[sign..].bytes().take_while(u8::is_ascii_digit).count();
    t[..sign + digits].trim_start_matches('+').parse().ok()
}

/// A failure to be counted.
pub(crate) struct Failure<'a> {
    pub(crate) resource: &'a str,
    pub(crate) task: &'a str,
    pub(crate) interval: u64,
    pub(crate) rc: i32,
    /// Once is enough.
    pub(crate) forever: bool,
    pub(crate) now: i64,
}

impl Failure<'_> {
    /// Counts it on a node; what is to be said of it.
    pub(crate) fn count(&self, node: &mut NodeState) -> Vec<Line> {
        if self.rc == 0 || (self.rc == 7 && self.interval == 0) {
            return Vec::new();
        }
        let of = format!("{}#{}_{}", self.resource, self.task, self.interval);
        let count_name = format!("fail-count-{of}");
        let before = node.attributes.get(&count_name).and_then(|v| leading_number(v)).unwrap_or(0);
        let count =
            if self.forever { "INFINITY".to_owned() } else { before.saturating_add(1).to_string() };
        let mut lines = Vec::new();
        for (name, value) in
            [(count_name, count), (format!("last-failure-{of}"), self.now.to_string())]
        {
            lines.push(Line::Item(format!(
                "Injecting attribute {name}={value} into /node_state '{}'",
                node.id
            )));
            node.attributes.insert(name, value);
        }
        lines
    }
}
