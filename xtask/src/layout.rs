//! Which crates there are, and who may import whom.
//!
//! ```text
//! base ← every pure crate ← its own shell ← cluster/agents ← src
//! base ← host             ← shells, cluster/node
//! types ← membership, messaging, quorum, lease, consensus      types ← cib ← policy
//! membership, lease ← heartbeat     types ← transition, executor
//! all of these ← controller ← node ← src
//! api ← controller, node, cli       cib, policy ← cli; cli never imports node
//! ```

/// What a crate is for, which decides what it may reach outside the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Time, chance and outside facts are arguments. Carries the `clippy.toml` of pure crates.
    Pure,
    /// Drives pure crates over the host, or talks to people.
    Shell,
    /// Tests and developer commands: may import anything.
    Bench,
}

/// One crate and what it may import from this tree.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Folder from the root; empty for the root package.
    pub folder: &'static str,
    /// Package name.
    pub package: &'static str,
    /// What it is for.
    pub kind: Kind,
    /// Packages of this tree that it may depend on.
    pub may_import: &'static [&'static str],
}

const fn room(
    folder: &'static str,
    package: &'static str,
    kind: Kind,
    may_import: &'static [&'static str],
) -> Room {
    Room { folder, package, kind, may_import }
}

/// Every crate of the tree. A crate that is not listed is a complaint of `tidy`.
pub const ROOMS: &[Room] = &[
    room("base", "haven-base", Kind::Pure, &[]),
    room("host", "haven-host", Kind::Shell, &["haven-base"]),
    room("ipfail/proto", "haven-ipfail-proto", Kind::Pure, &["haven-base"]),
    room(
        "ipfail",
        "haven-ipfail",
        Kind::Shell,
        &["haven-base", "haven-host", "haven-ipfail-proto"],
    ),
    room("cluster/types", "haven-types", Kind::Pure, &["haven-base"]),
    room("cluster/membership", "haven-membership", Kind::Pure, &["haven-base", "haven-types"]),
    room("cluster/messaging", "haven-messaging", Kind::Pure, &["haven-base", "haven-types"]),
    room("cluster/consensus", "haven-consensus", Kind::Pure, &["haven-base", "haven-types"]),
    room("cluster/lease", "haven-lease", Kind::Pure, &["haven-base", "haven-types"]),
    room(
        "cluster/heartbeat",
        "haven-heartbeat",
        Kind::Pure,
        &["haven-base", "haven-types", "haven-membership", "haven-lease"],
    ),
    room("cluster/quorum", "haven-quorum", Kind::Pure, &["haven-base", "haven-types"]),
    room("cluster/cib", "haven-cib", Kind::Pure, &["haven-base", "haven-types"]),
    room("cluster/policy", "haven-policy", Kind::Pure, &["haven-base", "haven-types", "haven-cib"]),
    room("cluster/transition", "haven-transition", Kind::Pure, &["haven-base", "haven-types"]),
    room("cluster/executor", "haven-executor", Kind::Pure, &["haven-base", "haven-types"]),
    room("cluster/api", "haven-api", Kind::Pure, &["haven-base", "haven-types"]),
    room(
        "cluster/controller",
        "haven-controller",
        Kind::Pure,
        &[
            "haven-base",
            "haven-types",
            "haven-membership",
            "haven-messaging",
            "haven-lease",
            "haven-heartbeat",
            "haven-consensus",
            "haven-quorum",
            "haven-cib",
            "haven-policy",
            "haven-transition",
            "haven-executor",
            "haven-api",
        ],
    ),
    room(
        "cluster/hub",
        "haven-hub",
        Kind::Pure,
        &[
            "haven-base",
            "haven-types",
            "haven-messaging",
            "haven-heartbeat",
            "haven-consensus",
            "haven-executor",
            "haven-controller",
            "haven-api",
        ],
    ),
    room(
        "cluster/children",
        "haven-children",
        Kind::Shell,
        &["haven-base", "haven-types", "haven-host", "haven-cib", "haven-executor"],
    ),
    room(
        "cluster/agents",
        "haven-agents",
        Kind::Shell,
        &[
            "haven-base",
            "haven-types",
            "haven-host",
            "haven-cib",
            "haven-executor",
            "haven-ipfail",
            "haven-ipfail-proto",
        ],
    ),
    room(
        "cluster/node",
        "haven-node",
        Kind::Shell,
        &[
            "haven-base",
            "haven-types",
            "haven-host",
            "haven-controller",
            "haven-hub",
            "haven-membership",
            "haven-messaging",
            "haven-lease",
            "haven-heartbeat",
            "haven-consensus",
            "haven-quorum",
            "haven-cib",
            "haven-policy",
            "haven-transition",
            "haven-executor",
            "haven-api",
        ],
    ),
    room(
        "cluster/cli",
        "haven-cli",
        Kind::Shell,
        &["haven-base", "haven-types", "haven-api", "haven-cib", "haven-policy"],
    ),
    room(
        "cluster/simulate",
        "haven-simulate",
        Kind::Shell,
        &["haven-base", "haven-types", "haven-cib", "haven-policy"],
    ),
    room("cluster/lab", "haven-lab", Kind::Shell, &["haven-base", "haven-host", "haven-api"]),
    room(
        "",
        "haven",
        Kind::Shell,
        &[
            "haven-base",
            "haven-host",
            "haven-ipfail",
            "haven-types",
            "haven-api",
            "haven-cib",
            "haven-agents",
            "haven-children",
            "haven-executor",
            "haven-node",
            "haven-cli",
            "haven-simulate",
            "haven-lab",
        ],
    ),
    room("tests/fuzz", "haven-fuzz-tests", Kind::Bench, &[]),
    room("tests/netns", "haven-netns-tests", Kind::Bench, &[]),
    room("tests/sim", "haven-sim-tests", Kind::Bench, &[]),
    room("tests/skipped", "haven-skipped", Kind::Bench, &[]),
    room("xtask", "xtask", Kind::Bench, &[]),
];

/// Crates from outside that reach the system, so no pure crate may use them.
pub const NOT_IN_PURE: &[&str] = &[
    "anyhow",
    "clap",
    "libc",
    "mio",
    "netlink-sys",
    "nix",
    "rand",
    "redb",
    "rtnetlink",
    "rustix",
    "rustls",
    "sd-notify",
    "socket2",
    "tempfile",
    "tokio",
    "tokio-rustls",
    "tracing-subscriber",
];

/// The rule for a package, if it is known.
#[must_use]
pub fn find(package: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.package == package)
}
