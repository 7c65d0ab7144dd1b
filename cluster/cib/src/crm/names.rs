//! Words of the notation, and the nearest one to a word that is none.

/// First words of a line.
pub(super) const COMMANDS: &[&str] = &[
    "node",
    "primitive",
    "rsc_template",
    "group",
    "clone",
    "ms",
    "bundle",
    "location",
    "colocation",
    "order",
    "monitor",
    "rsc_ticket",
    "property",
    "rsc_defaults",
    "op_defaults",
    "fencing_topology",
    "tag",
    "alert",
    "role",
    "acl_target",
    "user",
    "xml",
];

/// Words that start a list of attributes of a resource.
pub(super) const LISTS: &[&str] =
    &["params", "meta", "utilization", "op", "op_params", "op_meta", "operations"];

/// Attributes of an operation itself; others are parameters of it.
pub(super) const OPERATION: &[&str] = &[
    "interval",
    "timeout",
    "role",
    "on-fail",
    "enabled",
    "start-delay",
    "interval-origin",
    "record-pending",
    "requires",
    "description",
];

/// Cluster options.
pub(super) const PROPERTIES: &[&str] = &[
    "auto_tie_breaker",
    "auto_tie_breaker_node",
    "batch-limit",
    "cancel-removed-actions",
    "cluster-delay",
    "cluster-infrastructure",
    "cluster-ipc-limit",
    "cluster-name",
    "cluster-recheck-interval",
    "concurrent-fencing",
    "dc-deadtime",
    "dc-version",
    "election-timeout",
    "enable-acl",
    "enable-startup-probes",
    "expected_votes",
    "expected_votes_tracking",
    "fence-remote-without-quorum",
    "fencing-action",
    "fencing-enabled",
    "fencing-max-attempts",
    "fencing-reaction",
    "fencing-timeout",
    "fencing-watchdog-timeout",
    "have-watchdog",
    "join-finalization-timeout",
    "join-integration-timeout",
    "last-lrm-refresh",
    "last_man_standing",
    "last_man_standing_window",
    "load-threshold",
    "maintenance-mode",
    "migration-limit",
    "no-quorum-policy",
    "node-action-limit",
    "node-health-base",
    "node-health-green",
    "node-health-red",
    "node-health-strategy",
    "node-health-yellow",
    "node-pending-timeout",
    "pe-error-series-max",
    "pe-input-series-max",
    "pe-warn-series-max",
    "placement-strategy",
    "priority-fencing-delay",
    "remove-after-stop",
    "shutdown-escalation",
    "shutdown-lock",
    "shutdown-lock-limit",
    "start-failure-is-fatal",
    "startup-fencing",
    "stop-all-resources",
    "stop-removed-resources",
    "symmetric-cluster",
    "transition-delay",
    "two_node",
    "wait_for_all",
];

/// Meta attributes of resources, clones included.
pub(super) const META: &[&str] = &[
    "allow-migrate",
    "allow-unhealthy-nodes",
    "clone-max",
    "clone-min",
    "clone-node-max",
    "container-attribute-target",
    "critical",
    "failure-timeout",
    "globally-unique",
    "interleave",
    "is-managed",
    "lease",
    "maintenance",
    "migration-threshold",
    "multiple-active",
    "notify",
    "ordered",
    "priority",
    "promotable",
    "promoted-max",
    "promoted-node-max",
    "provides",
    "remote-addr",
    "remote-allow-migrate",
    "remote-connect-timeout",
    "remote-node",
    "remote-port",
    "requires",
    "resource-stickiness",
    "target-role",
];

/// How binding an order is.
pub(super) const ORDER_KINDS: &[&str] = &["Mandatory", "Optional", "Serialize"];

/// Old names of cluster options and what they are called now.
pub(crate) const RENAMED_PROPERTIES: &[(&str, &str)] = &[
    ("stonith-enabled", "fencing-enabled"),
    ("stonith-action", "fencing-action"),
    ("stonith-timeout", "fencing-timeout"),
    ("stonith-max-attempts", "fencing-max-attempts"),
    ("stonith-watchdog-timeout", "fencing-watchdog-timeout"),
    ("fence-reaction", "fencing-reaction"),
    ("stop-orphan-resources", "stop-removed-resources"),
    ("stop-orphan-actions", "cancel-removed-actions"),
    ("crmd-finalization-timeout", "join-finalization-timeout"),
    ("crmd-integration-timeout", "join-integration-timeout"),
    ("crmd-transition-delay", "transition-delay"),
];

/// Old names of meta attributes and what they are called now.
pub(super) const RENAMED_META: &[(&str, &str)] =
    &[("master-max", "promoted-max"), ("master-node-max", "promoted-node-max")];

/// Old names of roles and what they are called now.
pub(super) const RENAMED_ROLES: &[(&str, &str)] =
    &[("Master", "Promoted"), ("Slave", "Unpromoted")];

/// The present name of `word`.
pub(super) fn present_name<'a>(renamed: &[(&'a str, &'a str)], word: &'a str) -> &'a str {
    renamed.iter().find(|(old, _)| *old == word).map_or(word, |(_, new)| new)
}
