//! Entries of the operation history, as an executor would write them.

use haven_policy::{FEATURE_SET, operation_digest};
use haven_types::graph::Action;
use haven_types::status::{NodeState, OperationRecord, ResourceHistory};

/// The result of an operation that never ran.
#[derive(Debug, Clone)]
pub(crate) struct Outcome<'a> {
    /// Id the history is kept under.
    pub(crate) resource: &'a str,
    /// `start`, `monitor`, …
    pub(crate) operation: &'a str,
    /// Interval in milliseconds.
    pub(crate) interval_ms: u64,
    /// What the agent returned (OCF code).
    pub(crate) rc: i32,
    /// What it should have returned.
    pub(crate) target_rc: i32,
    /// Why it failed, if it did.
    pub(crate) reason: &'a str,
    /// Node name.
    pub(crate) node: &'a str,
    /// Second (since 1970) it ends.
    pub(crate) now: i64,
    /// The action it answers; none for an injected result.
    pub(crate) action: Option<&'a Action>,
}

/// The history of a resource on a node, made if there is none: first one under `name`, else one
/// under `id`, under which a new one is made, too. A history that is there twice is not to be relied
/// on: the numbers of calls begin anew, so that what was known before still counts.
pub(crate) fn of_resource<'a>(
    node: &'a mut NodeState,
    name: &str,
    id: &str,
    agent: impl FnOnce() -> (String, Option<String>, String),
) -> History<'a> {
    let count = |id: &str| node.resources.iter().filter(|r| r.id == id).count();
    let found = if count(name) == 1 { name } else { id };
    let call = match count(found) {
        1 => 0,
        _ => FIRST_CALL,
    };
    let at = node.resources.iter().position(|r| r.id == found).unwrap_or_else(|| {
        let (class, provider, kind) = agent();
        node.has_history = true;
        node.resources.push(ResourceHistory {
            id: id.to_owned(),
            class,
            provider,
            kind,
            ..ResourceHistory::default()
        });
        node.resources.len() - 1
    });
    History { entry: &mut node.resources[at], call }
}

/// The number of a first call.
const FIRST_CALL: i32 = 1;

/// Where a result is to be written.
pub(crate) struct History<'a> {
    entry: &'a mut ResourceHistory,
    /// The number the call must have; 0 is the one after the last.
    call: i32,
}

/// Writes a result into the history; an earlier one of the same kind is replaced.
pub(crate) fn record(history: History<'_>, outcome: &Outcome<'_>) {
    let History { entry: history, call } = history;
    let last = history.operations.iter().map(|o| o.call_id).fold(0, i32::max);
    let call = if call == 0 { last.saturating_add(1) } else { call };
    let o = outcome;
    let task = match o.operation {
        "reload" | "reload-agent" => "start",
        task => task,
    };
    let meta = |name: &str| o.action.and_then(|a| a.meta(name)).unwrap_or_default();
    let (mut rc, mut also) = (o.rc, None);
    let id = if task == "notify" {
        rc = 0;
        let (kind, of) = (meta("notify_type"), meta("notify_operation"));
        format!("{}_{kind}_notify_{of}_0", o.resource)
    } else if task == "migrate_to" || task == "migrate_from" {
        key(o.resource, task, o.interval_ms)
    } else if rc != o.target_rc {
        also = (o.interval_ms == 0).then(|| key(o.resource, "last", 0));
        key(o.resource, "last_failure", 0)
    } else if o.interval_ms > 0 {
        key(o.resource, task, o.interval_ms)
    } else {
        key(o.resource, "last", 0)
    };
    let failed = id.ends_with("_last_failure_0");
    let entry = entry(o, task, rc, call, failed);
    for id in [Some(id), also].into_iter().flatten() {
        place(history, OperationRecord { id, ..entry.clone() });
    }
}

fn entry(o: &Outcome<'_>, task: &str, rc: i32, call: i32, failed: bool) -> OperationRecord {
    let migration = |name: &str| {
        o.action
            .filter(|_| task.starts_with("migrate_"))
            .and_then(|a| a.meta(name))
            .map(str::to_owned)
    };
    let key_text = format!("{call}:-1:{}:{UNKNOWN_ORIGIN}", o.target_rc);
    OperationRecord {
        id: String::new(),
        operation_key: Some(key(o.resource, task, o.interval_ms)),
        operation: task.to_owned(),
        call_id: call,
        rc,
        exec_status: 0,
        interval_ms: u32::try_from(o.interval_ms).unwrap_or(u32::MAX),
        transition_magic: Some(format!("0:{rc};{key_text}")),
        transition_key: Some(key_text),
        on_node: Some(o.node.to_owned()),
        exit_reason: Some(if failed { o.reason.to_owned() } else { String::new() }),
        last_rc_change: Some(o.now),
        last_run: None,
        exec_time_ms: Some(0),
        queue_time_ms: Some(0),
        op_digest: o.action.map(|a| operation_digest(&a.params, o.interval_ms, a.meta("timeout"))),
        migrate_source: migration("migrate_source"),
        migrate_target: migration("migrate_target"),
        crm_feature_set: Some(FEATURE_SET.to_owned()),
        ..OperationRecord::default()
    }
}

/// Puts an entry in the place of the one with its id, which keeps what the new one does not say.
fn place(history: &mut ResourceHistory, new: OperationRecord) {
    let Some(old) = history.operations.iter_mut().find(|o| o.id == new.id) else {
        history.operations.push(new);
        return;
    };
    let kept = std::mem::take(old);
    *old = OperationRecord {
        last_run: new.last_run.or(kept.last_run),
        op_digest: new.op_digest.clone().or(kept.op_digest),
        op_restart_digest: kept.op_restart_digest,
        op_secure_digest: kept.op_secure_digest,
        op_force_restart: kept.op_force_restart,
        op_secure_params: kept.op_secure_params,
        migrate_source: new.migrate_source.clone().or(kept.migrate_source),
        migrate_target: new.migrate_target.clone().or(kept.migrate_target),
        ..new
    };
}

/// `RESOURCE_OPERATION_INTERVALMS`.
pub(crate) fn key(resource: &str, task: &str, interval_ms: u64) -> String {
    format!("{resource}_{task}_{interval_ms}")
}

/// Stands for the planner where a result answers no real transition.
const UNKNOWN_ORIGIN: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

/// The parts of `RESOURCE_OPERATION_INTERVALMS`. Of a notification the operation is all from `pre` or
/// `post` on.
pub(crate) fn parse_key(text: &str) -> Option<(&str, &str, u64)> {
    const NOTIFICATIONS: [&str; 4] =
        ["_confirmed-pre_notify", "_confirmed-post_notify", "_pre_notify", "_post_notify"];
    let (rest, interval) = text.rsplit_once('_')?;
    let interval = interval.parse().ok()?;
    let mut at = ["_migrate_to", "_migrate_from"]
        .iter()
        .find(|task| rest.ends_with(**task))
        .map_or_else(|| rest.rfind('_'), |task| Some(rest.len() - task.len()))?;
    if let Some(prefix) = NOTIFICATIONS.iter().find(|p| rest[..at].ends_with(**p)) {
        at -= prefix.len();
    }
    let (resource, task) = (&rest[..at], &rest[at + 1..]);
    (!resource.is_empty() && !task.is_empty()).then_some((resource, task, interval))
}
