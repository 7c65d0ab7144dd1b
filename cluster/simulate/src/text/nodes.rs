//! The list of nodes, their attributes, and failed operations.

use haven_policy::{ClusterState, FailedOperation, Health, NodeKind, NodeView};

use super::Text;

/// Attributes that are shown elsewhere or nowhere.
const HIDDEN: [&str; 6] = ["fail-count-", "last-failure-", "shutdown", "terminate", "standby", "#"];

impl Text<'_> {
    pub(super) fn nodes(&mut self, state: &ClusterState) {
        if state.nodes.is_empty() {
            return;
        }
        self.open("Node List");
        let mut lists: [(&str, bool, NodeKind, Vec<&str>); 5] = [
            ("Online", true, NodeKind::Member, Vec::new()),
            ("OFFLINE", false, NodeKind::Member, Vec::new()),
            ("RemoteOnline", true, NodeKind::Remote, Vec::new()),
            ("RemoteOFFLINE", false, NodeKind::Remote, Vec::new()),
            ("GuestOnline", true, NodeKind::Guest, Vec::new()),
        ];
        for n in &state.nodes {
            if is_special(n) {
                self.item(&line(n));
                continue;
            }
            for (_, online, kind, names) in &mut lists {
                if *online == n.online && *kind == n.kind {
                    names.push(&n.name);
                }
            }
        }
        for (what, _, _, names) in lists {
            if !names.is_empty() {
                self.item(&format!("{what}: [ {} ]", names.join(" ")));
            }
        }
        self.close();
    }

    pub(super) fn attributes(&mut self, state: &ClusterState) {
        let shown = |n: &NodeView| {
            let keep = |name: &String| !HIDDEN.iter().any(|h| name.starts_with(h));
            let list = n.attributes.iter().filter(|(name, _)| keep(name));
            list.map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>()
        };
        let nodes: Vec<_> =
            state.nodes.iter().filter(|n| n.online).map(|n| (n, shown(n))).collect();
        if nodes.iter().all(|(_, list)| list.is_empty()) {
            return;
        }
        self.space();
        self.open("Node Attributes");
        for (n, list) in nodes.into_iter().filter(|(_, list)| !list.is_empty()) {
            self.open(&format!("Node: {}", n.name));
            for (name, value) in list {
                let expected = n.connectivity.iter().find(|(k, _)| k.eq_ignore_ascii_case(&name));
                let value_is = crate::execute::leading_number(&value).unwrap_or(0);
                let verdict = match expected {
                    Some(_) if value_is <= 0 => "\t: Connectivity is lost".to_owned(),
                    Some((_, e)) if i64::from(value_is) < *e => {
                        format!("\t: Connectivity is degraded (Expected={e})")
                    }
                    _ => String::new(),
                };
                self.item(&format!("{name:<32}\t: {value:<10}{verdict}"));
            }
            self.close();
        }
        self.close();
    }

    pub(super) fn fail_counts(&mut self, state: &ClusterState) {
        if state.fail_counts.is_empty() {
            return;
        }
        self.space();
        self.open("Migration Summary");
        for n in state.fail_counts.iter().filter(|n| !n.resources.is_empty()) {
            self.open(&format!("Node: {}", n.node));
            for r in &n.resources {
                let last = r.last.map_or_else(String::new, |at| {
                    format!(" last-failure='{}'", crate::time::calendar(at))
                });
                self.item(&format!(
                    "{}: migration-threshold={} fail-count={}{last}",
                    r.resource, r.migration_threshold, r.count
                ));
            }
            self.close();
        }
        self.close();
    }

    pub(super) fn failures(&mut self, state: &ClusterState) {
        let list: Vec<_> = state.failures.iter().filter(|f| !f.masked_probe).collect();
        if list.is_empty() {
            return;
        }
        self.space();
        self.open("Failed Resource Actions");
        for f in list {
            self.item(&failure(f));
        }
        self.close();
    }
}

/// Whether a node has a line of its own.
fn is_special(n: &NodeView) -> bool {
    n.unclean
        || n.pending
        || (n.standby_by_failure && n.online)
        || n.standby
        || n.maintenance
        || n.health != Health::Green
}

fn line(n: &NodeView) -> String {
    let kind = match n.kind {
        NodeKind::Member => "Node",
        NodeKind::Remote => "RemoteNode",
        NodeKind::Guest => "GuestNode",
    };
    let health = match n.health {
        Health::Red => " (health is RED)",
        Health::Yellow => " (health is YELLOW)",
        Health::Green => "",
    };
    format!("{kind} {}: {}{health}", n.name, status(n))
}

fn status(n: &NodeView) -> &'static str {
    if n.unclean {
        return match (n.online, n.pending) {
            (true, _) => "UNCLEAN (online)",
            (false, true) => "UNCLEAN (pending)",
            (false, false) => "UNCLEAN (offline)",
        };
    }
    if n.pending {
        "pending"
    } else if n.standby_by_failure && n.online {
        "standby (on-fail)"
    } else if n.standby {
        match (n.online, n.running.is_empty()) {
            (false, _) => "OFFLINE (standby)",
            (true, true) => "standby",
            (true, false) => "standby (with active resources)",
        }
    } else if n.maintenance {
        if n.online { "maintenance" } else { "OFFLINE (maintenance)" }
    } else if n.online {
        "online"
    } else {
        "OFFLINE"
    }
}

fn failure(f: &FailedOperation) -> String {
    let mut text = format!(
        "{} on {} '{}' ({}): call={}, status='{}'",
        f.key,
        f.node,
        exit_text(f.rc),
        f.rc,
        f.call_id,
        exec_text(f.exec_status)
    );
    if let Some(reason) = f.exit_reason.as_deref().filter(|r| !r.is_empty()) {
        text += &format!(", exitreason='{reason}'");
    }
    if let Some(at) = f.last_rc_change {
        text += &format!(", last-rc-change='{}'", crate::time::calendar(at));
    }
    if let Some(ms) = f.queue_time_ms {
        text += &format!(", queued={ms}ms");
    }
    if let Some(ms) = f.exec_time_ms {
        text += &format!(", exec={ms}ms");
    }
    text
}

/// What an agent's result, or an exit code, means in words.
pub(super) fn exit_text(rc: i32) -> &'static str {
    let known = EXIT_CODES.iter().find(|(code, _)| *code == rc);
    match known {
        Some((_, text)) => text,
        None if (129..255).contains(&rc) => "Interrupted by signal",
        None => "Unknown exit status",
    }
}

/// Results of agents, codes of sysexits.h, and Pacemaker's own.
const EXIT_CODES: [(i32, &str); 45] = [
    (0, "OK"),
    (1, "Error occurred"),
    (2, "Invalid parameter"),
    (3, "Unimplemented"),
    (4, "Insufficient privileges"),
    (5, "Not installed"),
    (6, "Not configured"),
    (7, "Not running"),
    (8, "Promoted"),
    (9, "Failed in promoted role"),
    (64, "Incorrect usage"),
    (65, "Invalid data given"),
    (66, "Input file not available"),
    (67, "User does not exist"),
    (68, "Host does not exist"),
    (69, "Necessary service unavailable"),
    (70, "Internal software bug"),
    (71, "Operating system error occurred"),
    (72, "System file not available"),
    (73, "Cannot create output file"),
    (74, "I/O error occurred"),
    (75, "Temporary failure, try again"),
    (76, "Protocol violated"),
    (77, "Insufficient privileges"),
    (78, "Invalid configuration"),
    (100, "Fatal error occurred, will not respawn"),
    (101, "System panic required"),
    (102, "Not connected"),
    (103, "Update was older than existing configuration"),
    (104, "Digest mismatch"),
    (105, "No such object"),
    (106, "Quorum required"),
    (107, "Operation not safe"),
    (108, "Requested item already exists"),
    (109, "Multiple items match request"),
    (110, "Requested item has expired"),
    (111, "Requested item is not yet in effect"),
    (112, "Could not determine status"),
    (113, "Not applicable under current conditions"),
    (114, "DC is not yet elected"),
    (124, "Timeout occurred"),
    (190, "Service is active but might fail soon"),
    (191, "Service is promoted but might fail soon"),
    (193, "No exit status available"),
    (255, "Error occurred"),
];

/// How an execution ended, in words.
fn exec_text(status: i32) -> &'static str {
    match status {
        -1 => "Pending",
        0 => "Done",
        1 => "Cancelled",
        2 => "Timed out",
        3 => "Unsupported",
        4 => "Error",
        5 => "Hard error",
        6 => "Fatal error",
        7 => "Not installed",
        8 => "Internal communication failure",
        9 => "Cannot execute now",
        10 => "No fence device",
        11 => "CIB secrets unavailable",
        _ => "Unrecognized status (bug?)",
    }
}
