//! Phase 1: configuration and status become nodes, resources and what they are doing.
//!
//! Reads everything; later phases never look at the documents again. Some actions are born here
//! already, since a failed operation asks for a stop and a lost node for fencing.

pub(crate) mod bundle;
mod config;
pub(crate) mod digest;
pub(crate) mod failcount;
mod failures;
mod history;
mod md5;
mod migrate;
mod nodes;
mod resources;
mod running;
mod status;

use std::collections::BTreeMap;

use haven_cib::{Cib, Leasing, NvSet};
use haven_types::status::Status;

use crate::Options;
use crate::facts::AgentFacts;
use crate::leases::leasings;
use crate::place::spread::Spread;
use crate::rules::nvpair::{self, Rules};
use crate::world::terms::Terms;
use crate::world::{Lease, QuorumPolicy, Settings, Strategy, World, values};

/// The world as it is.
pub(crate) struct Unpacked<'a>(pub(crate) World<'a>);

/// Reads configuration and status.
pub(crate) fn unpack<'a>(
    cib: &Cib,
    status: &'a Status,
    now: i64,
    options: &'a Options,
    terms: Option<Box<Terms>>,
) -> Unpacked<'a> {
    let mut map = BTreeMap::new();
    let input = Rules { now, ..Rules::default() };
    let next = nvpair::unpack(&cib.options, Some("cib-bootstrap-options"), &input, &mut map);
    let set = settings(cib, status, &map);
    let mut world = World {
        status,
        facts: &options.facts,
        leases: leases(cib, &options.facts),
        now,
        feature_set: cib.crm_feature_set.clone(),
        options: map,
        set,
        rsc_defaults: cib.rsc_defaults.clone(),
        op_defaults: cib.op_defaults.clone(),
        nodes: Vec::new(),
        node_order: Vec::new(),
        node_names: BTreeMap::new(),
        node_ids: BTreeMap::new(),
        dc: None,
        rscs: Vec::new(),
        top: Vec::new(),
        rsc_ids: BTreeMap::new(),
        rsc_history: BTreeMap::new(),
        templates: BTreeMap::new(),
        template_names: BTreeMap::new(),
        tags: BTreeMap::new(),
        tickets: BTreeMap::new(),
        actions: Vec::new(),
        singletons: BTreeMap::new(),
        op_meta: BTreeMap::new(),
        op_metas: std::collections::BTreeSet::new(),
        locations: Vec::new(),
        colocations: Vec::new(),
        orderings: Vec::new(),
        failed: Vec::new(),
        param_checks: Vec::new(),
        stop_needed: Vec::new(),
        sanitized: options.sanitized,
        reschedule: std::collections::BTreeSet::new(),
        recheck_by: 0,
        scores: options.scores.then(Vec::new),
        utilization: options.utilization.then(Vec::new),
        warnings: Vec::new(),
        remarks: Vec::new(),
        terms,
        spread: Spread::default(),
        depth: 0,
        deferred: Vec::new(),
    };
    if let Some(t) = next {
        world.recheck(t);
    }
    world.unpack_nodes(cib);
    let guests = world.guest_connections(cib);
    world.unpack_resources(cib, &guests);
    for t in &cib.tags {
        world.tags.entry(t.id.clone()).or_default().extend(t.members.iter().cloned());
    }
    world.unpack_status();
    world.rscs.shrink_to_fit();
    Unpacked(world)
}

fn leases(cib: &Cib, facts: &AgentFacts) -> BTreeMap<String, Lease> {
    let all = leasings(cib, facts).into_iter().filter(|it| it.off || it.is_kept());
    let lease = |it: Leasing<'_>| {
        let requires = it.requires.map(|said| said.value.to_owned());
        (it.primitive.id.clone(), Lease { kept: !it.off, requires })
    };
    all.map(lease).collect()
}

fn settings(cib: &Cib, status: &Status, options: &BTreeMap<String, String>) -> Settings {
    let text =
        |name: &str, old: &str| options.get(name).or_else(|| options.get(old)).map(String::as_str);
    let flag = |name: &str, old: &str, default: bool| {
        text(name, old).and_then(values::boolean).unwrap_or(default)
    };
    let ms = |name: &str| values::interval(text(name, ""));
    let fencing = flag("fencing-enabled", "stonith-enabled", true);
    let quorate = status.quorate == Some(true);
    let policy = match text("no-quorum-policy", "").map(str::to_ascii_lowercase).as_deref() {
        Some("ignore") => QuorumPolicy::Ignore,
        Some("freeze") => QuorumPolicy::Freeze,
        Some("demote") => QuorumPolicy::Demote,
        Some("fence" | "suicide") if fencing && (status.quorum_lost || quorate) => {
            QuorumPolicy::Fence
        }
        _ => QuorumPolicy::Stop,
    };
    let strategy = match text("placement-strategy", "") {
        Some("utilization") => Strategy::Utilization,
        Some("balanced") => Strategy::Balanced,
        Some("minimal") => Strategy::Minimal,
        _ => Strategy::Default,
    };
    let infinity = values::INFINITY;
    let health = |name: &str, default: i32| {
        text(name, "").and_then(|t| nvpair::parse_score(t, (0, 0, 0))).unwrap_or(default)
    };
    let (red, yellow, green) = match text("node-health-strategy", "").unwrap_or("none") {
        "migrate-on-red" => (-infinity, 0, 0),
        "only-green" => (-infinity, -infinity, 0),
        "progressive" | "custom" => (
            health("node-health-red", -infinity),
            health("node-health-yellow", 0),
            health("node-health-green", 0),
        ),
        _ => (0, 0, 0),
    };
    Settings {
        quorate,
        policy,
        symmetric: flag("symmetric-cluster", "", true),
        maintenance: flag("maintenance-mode", "", false),
        fencing,
        have_fencing: flag("have-watchdog", "", false),
        unfencing: wants_unfencing(cib),
        concurrent_fencing: flag("concurrent-fencing", "", true),
        stop_removed: flag("stop-removed-resources", "stop-orphan-resources", true),
        cancel_removed: flag("cancel-removed-actions", "stop-orphan-actions", true),
        stop_all: flag("stop-all-resources", "", false),
        start_failure_fatal: flag("start-failure-is-fatal", "", true),
        startup_fencing: fencing && flag("startup-fencing", "", true),
        shutdown_lock: flag("shutdown-lock", "", false),
        probes: flag("enable-startup-probes", "", true),
        have_remotes: false,
        fence_remote_without_quorum: flag("fence-remote-without-quorum", "", false),
        fence_action: text("fencing-action", "stonith-action")
            .filter(|a| ["reboot", "off", "poweroff"].contains(a))
            .map_or("reboot", |a| if a == "poweroff" { "off" } else { a })
            .to_owned(),
        priority_fencing_ms: ms("priority-fencing-delay"),
        shutdown_lock_ms: if flag("shutdown-lock", "", false) {
            ms("shutdown-lock-limit")
        } else {
            0
        },
        node_pending_ms: ms("node-pending-timeout"),
        strategy,
        red,
        yellow,
        green,
    }
}

/// Whether anything in the configuration asks for unfencing.
fn wants_unfencing(cib: &Cib) -> bool {
    let asks = |sets: &[NvSet]| {
        sets.iter().flat_map(|s| &s.pairs).any(|p| {
            (p.name == "provides" || p.name == "requires")
                && p.value.as_deref() == Some("unfencing")
        })
    };
    asks(&cib.rsc_defaults)
        || cib.templates.iter().any(|t| asks(&t.meta))
        || cib.resources.iter().any(|r| {
            let inner_group = match r {
                haven_cib::Resource::Clone(c) => match &*c.child {
                    haven_cib::CloneChild::Group(g) => asks(&g.meta),
                    haven_cib::CloneChild::Primitive(_) => false,
                },
                haven_cib::Resource::Primitive(_)
                | haven_cib::Resource::Group(_)
                | haven_cib::Resource::Bundle(_) => false,
            };
            asks(r.meta()) || inner_group || r.primitives().iter().any(|p| asks(&p.meta))
        })
}

impl World<'_> {
    /// A score, with the health colours of this cluster.
    pub(crate) fn score(&self, text: &str) -> Option<i32> {
        nvpair::parse_score(text, (self.set.red, self.set.yellow, self.set.green))
    }

    /// Values of blocks that depend on nothing but the time.
    pub(crate) fn unpack_sets(
        &mut self,
        sets: &[NvSet],
        input: &Rules<'_>,
    ) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        if let Some(t) = nvpair::unpack(sets, None, input, &mut map) {
            self.recheck(t);
        }
        map
    }
}
