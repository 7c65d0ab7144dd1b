//! The words of a CIB: which attributes an element may have, and which elements may stand in it.
//!
//! One table, the union of Pacemaker's schemas from 1.0 to 4.0, is what documents are held against before they are
//! read, and what messages offer instead of a word that is none. An element means the same wherever it stands. What
//! is inside `<status>` is the cluster's own record and is not in the table, as in Pacemaker's schemas, which allow
//! anything there.

/// What is known of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElementKind {
    /// Its name.
    pub name: &'static str,
    /// Names of the attributes it may have, sorted.
    pub attributes: &'static [&'static str],
    /// Names of the elements that may stand in it, sorted.
    pub children: &'static [&'static str],
}

/// The element of this name; none where no schema has one.
#[must_use]
pub fn element(name: &str) -> Option<&'static ElementKind> {
    ELEMENTS.binary_search_by(|kind| kind.name.cmp(name)).ok().map(|at| &ELEMENTS[at])
}

/// All elements, sorted by name.
#[must_use]
pub const fn elements() -> &'static [ElementKind] {
    ELEMENTS
}

const fn kind(
    name: &'static str,
    attributes: &'static [&'static str],
    children: &'static [&'static str],
) -> ElementKind {
    ElementKind { name, attributes, children }
}

const ELEMENTS: &[ElementKind] = &[
    kind("acl_group", &["id", "name"], &["role"]),
    kind(
        "acl_permission",
        &["attribute", "description", "id", "kind", "object-type", "reference", "xpath"],
        &[],
    ),
    kind("acl_role", &["description", "id"], &["acl_permission", "deny", "read", "write"]),
    kind("acl_target", &["id", "name"], &["role"]),
    kind("acl_user", &["id"], &["deny", "read", "role_ref", "write"]),
    kind("acls", &[], &["acl_group", "acl_role", "acl_target", "acl_user"]),
    kind(
        "alert",
        &["description", "id", "path"],
        &["instance_attributes", "meta_attributes", "recipient", "select"],
    ),
    kind("alerts", &[], &["alert"]),
    kind("attribute", &["id", "name"], &[]),
    kind("attributes", &[], &["nvpair", "rule"]),
    kind(
        "bundle",
        &["description", "id"],
        &[
            "docker",
            "instance_attributes",
            "meta_attributes",
            "network",
            "podman",
            "primitive",
            "rkt",
            "storage",
        ],
    ),
    kind(
        "cib",
        &[
            "admin_epoch",
            "cib-last-written",
            "crm_feature_set",
            "dc-uuid",
            "epoch",
            "execution-date",
            "have-quorum",
            "no-quorum-panic",
            "num_updates",
            "remote-clear-port",
            "remote-tls-port",
            "update-client",
            "update-origin",
            "update-user",
            "validate-with",
        ],
        &["configuration", "status"],
    ),
    kind(
        "clone",
        &["description", "id"],
        &["group", "instance_attributes", "meta_attributes", "primitive"],
    ),
    kind("cluster_property_set", &["id", "id-ref", "score"], &["attributes", "nvpair", "rule"]),
    kind(
        "configuration",
        &[],
        &[
            "acls",
            "alerts",
            "constraints",
            "crm_config",
            "fencing-topology",
            "nodes",
            "op_defaults",
            "resources",
            "rsc_defaults",
            "tags",
        ],
    ),
    kind("constraints", &[], &["rsc_colocation", "rsc_location", "rsc_order", "rsc_ticket"]),
    kind("crm_config", &[], &["cluster_property_set"]),
    kind("date_expression", &["end", "id", "operation", "start"], &["date_spec", "duration"]),
    kind(
        "date_spec",
        &[
            "hours",
            "id",
            "minutes",
            "monthdays",
            "months",
            "moon",
            "seconds",
            "weekdays",
            "weeks",
            "weekyears",
            "yeardays",
            "years",
            "yearsdays",
        ],
        &[],
    ),
    kind("deny", &["attribute", "id", "ref", "tag", "xpath"], &[]),
    kind(
        "docker",
        &[
            "image",
            "masters",
            "network",
            "options",
            "promoted-max",
            "replicas",
            "replicas-per-host",
            "run-command",
        ],
        &[],
    ),
    kind(
        "duration",
        &[
            "days",
            "hours",
            "id",
            "minutes",
            "monthdays",
            "months",
            "moon",
            "seconds",
            "weekdays",
            "weeks",
            "weekyears",
            "years",
            "yearsdays",
        ],
        &[],
    ),
    kind("expression", &["attribute", "id", "operation", "type", "value", "value-source"], &[]),
    kind(
        "fencing-level",
        &["devices", "id", "index", "target", "target-attribute", "target-pattern", "target-value"],
        &[],
    ),
    kind("fencing-topology", &[], &["fencing-level"]),
    kind("group", &["description", "id"], &["instance_attributes", "meta_attributes", "primitive"]),
    kind("instance_attributes", &["id", "id-ref", "score"], &["attributes", "nvpair", "rule"]),
    kind("lifetime", &[], &["rule"]),
    kind(
        "master",
        &["description", "id"],
        &["group", "instance_attributes", "meta_attributes", "primitive"],
    ),
    kind("meta_attributes", &["id", "id-ref", "score"], &["attributes", "nvpair", "rule"]),
    kind(
        "network",
        &["add-host", "control-port", "host-interface", "host-netmask", "ip-range-start"],
        &["port-mapping"],
    ),
    kind(
        "node",
        &["description", "id", "score", "type", "uname"],
        &["instance_attributes", "utilization"],
    ),
    kind("nodes", &[], &["node"]),
    kind("nvpair", &["id", "id-ref", "name", "value"], &[]),
    kind("obj_ref", &["id"], &[]),
    kind(
        "op",
        &[
            "description",
            "enabled",
            "id",
            "interval",
            "interval-origin",
            "name",
            "on-fail",
            "record-pending",
            "requires",
            "role",
            "start-delay",
            "timeout",
        ],
        &["instance_attributes", "meta_attributes"],
    ),
    kind("op_defaults", &[], &["meta_attributes"]),
    kind("op_expression", &["id", "interval", "name"], &[]),
    kind("operations", &["id", "id-ref"], &["op"]),
    kind(
        "podman",
        &[
            "image",
            "masters",
            "network",
            "options",
            "promoted-max",
            "replicas",
            "replicas-per-host",
            "run-command",
        ],
        &[],
    ),
    kind("port-mapping", &["id", "internal-port", "port", "range"], &[]),
    kind(
        "primitive",
        &["class", "description", "id", "provider", "template", "type"],
        &["instance_attributes", "meta_attributes", "operations", "utilization"],
    ),
    kind("read", &["attribute", "id", "ref", "tag", "xpath"], &[]),
    kind("recipient", &["description", "id", "value"], &["instance_attributes", "meta_attributes"]),
    kind("resource_ref", &["id"], &[]),
    kind(
        "resource_set",
        &[
            "action",
            "id",
            "id-ref",
            "kind",
            "ordering",
            "require-all",
            "role",
            "score",
            "sequential",
        ],
        &["resource_ref"],
    ),
    kind("resources", &[], &["bundle", "clone", "group", "master", "primitive", "template"]),
    kind(
        "rkt",
        &[
            "image",
            "masters",
            "network",
            "options",
            "promoted-max",
            "replicas",
            "replicas-per-host",
            "run-command",
        ],
        &[],
    ),
    kind("role", &["id"], &[]),
    kind("role_ref", &["id"], &[]),
    kind(
        "rsc_colocation",
        &[
            "id",
            "influence",
            "node-attribute",
            "rsc",
            "rsc-instance",
            "rsc-role",
            "score",
            "score-attribute",
            "score-attribute-mangle",
            "with-rsc",
            "with-rsc-instance",
            "with-rsc-role",
        ],
        &["lifetime", "resource_set"],
    ),
    kind("rsc_defaults", &[], &["meta_attributes"]),
    kind("rsc_expression", &["class", "id", "provider", "type"], &[]),
    kind(
        "rsc_location",
        &["id", "node", "resource-discovery", "role", "rsc", "rsc-pattern", "score"],
        &["lifetime", "resource_set", "rule"],
    ),
    kind(
        "rsc_order",
        &[
            "first",
            "first-action",
            "first-instance",
            "id",
            "kind",
            "require-all",
            "score",
            "symmetrical",
            "then",
            "then-action",
            "then-instance",
        ],
        &["lifetime", "resource_set"],
    ),
    kind("rsc_ticket", &["id", "loss-policy", "rsc", "rsc-role", "ticket"], &["resource_set"]),
    kind(
        "rule",
        &["boolean-op", "id", "id-ref", "role", "score", "score-attribute"],
        &["date_expression", "expression", "op_expression", "rsc_expression", "rule"],
    ),
    kind(
        "select",
        &[],
        &["select_attributes", "select_fencing", "select_nodes", "select_resources"],
    ),
    kind("select_attributes", &[], &["attribute"]),
    kind("select_fencing", &[], &[]),
    kind("select_nodes", &[], &[]),
    kind("select_resources", &[], &[]),
    kind("status", &[], &[]),
    kind("storage", &[], &["storage-mapping"]),
    kind("storage-mapping", &["id", "options", "source-dir", "source-dir-root", "target-dir"], &[]),
    kind("tag", &["id"], &["obj_ref"]),
    kind("tags", &[], &["tag"]),
    kind(
        "template",
        &["class", "description", "id", "provider", "type"],
        &["instance_attributes", "meta_attributes", "operations", "utilization"],
    ),
    kind("utilization", &["id", "id-ref", "score"], &["attributes", "nvpair", "rule"]),
    kind("write", &["attribute", "id", "ref", "tag", "xpath"], &[]),
];
