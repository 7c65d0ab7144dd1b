//! Random clusters: configuration and status as one CIB document, the same for the same seed.

mod constraints;
mod resources;
mod status;

use haven_base::Rng;
use haven_cib::xml::Element;

/// Numbers of a seed.
pub(crate) struct Dice(Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    /// Below `limit`; 0 if that is 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.0.below(limit.max(1) as u64)).unwrap()
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.0.chance(chance, 100)
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    pub(crate) fn pick_string(&mut self, list: &[String]) -> String {
        list[self.below(list.len())].clone()
    }

    pub(crate) fn score(&mut self) -> String {
        match self.below(10) {
            0..=2 => "INFINITY".into(),
            3..=4 => "-INFINITY".into(),
            5 => "0".into(),
            6 => format!("-{}", self.below(2000)),
            _ => format!("{}", self.below(2000)),
        }
    }
}

/// A cluster in the making: what later parts refer to.
pub(crate) struct Plan {
    pub(crate) nodes: Vec<String>,
    pub(crate) remotes: Vec<String>,
    pub(crate) fencing: bool,
    /// Ids that constraints may name.
    pub(crate) targets: Vec<Target>,
    /// What has a history.
    pub(crate) instances: Vec<Instance>,
    pub(crate) tickets: Vec<String>,
    pub(crate) utilization: bool,
    /// There is a tag `some`.
    pub(crate) tagged: bool,
    /// There is a template.
    pub(crate) templated: bool,
    /// There are fence devices that unfence.
    pub(crate) unfencing: bool,
}

/// Something a constraint may name.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) id: String,
    pub(crate) promotable: bool,
}

/// A primitive with what its history needs.
#[derive(Clone)]
pub(crate) struct Instance {
    /// Id the history is kept under.
    pub(crate) id: String,
    pub(crate) class: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) params: Vec<(String, String)>,
    /// Intervals in milliseconds with the role they are for and the timeout in milliseconds.
    pub(crate) monitors: Vec<(u32, &'static str, Option<u32>)>,
    pub(crate) clone_of: Option<String>,
    pub(crate) unique: bool,
    pub(crate) promotable: bool,
    pub(crate) migratable: bool,
    /// Most instances at once.
    pub(crate) copies: usize,
}

/// An element with these attributes.
pub(crate) fn element(name: &str, attributes: &[(&str, &str)]) -> Element {
    let mut e = Element::new(name);
    for (k, v) in attributes {
        e.push(k, *v);
    }
    e
}

/// A block of name-value pairs.
pub(crate) fn pairs(kind: &str, id: &str, list: &[(String, String)]) -> Element {
    let mut set = element(kind, &[("id", id)]);
    for (name, value) in list {
        let pair =
            element("nvpair", &[("id", &format!("{id}-{name}")), ("name", name), ("value", value)]);
        set.children.push(pair);
    }
    set
}

pub(crate) fn owned(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// The second everything was recorded at.
pub(crate) const NOW: i64 = 1_700_000_000;

/// The document of a seed.
pub(crate) fn document(seed: u64) -> Element {
    let mut dice = Dice::new(seed);
    let d = &mut dice;
    let count = 1 + d.below(5);
    let mut plan = Plan {
        nodes: (1..=count).map(|i| node_name(seed, i)).collect(),
        remotes: Vec::new(),
        fencing: d.percent(60),
        targets: Vec::new(),
        instances: Vec::new(),
        tickets: Vec::new(),
        utilization: d.percent(25),
        tagged: d.percent(20),
        templated: d.percent(20),
        unfencing: d.percent(8),
    };
    let mut cib = element(
        "cib",
        &[
            ("validate-with", "pacemaker-3.9"),
            ("crm_feature_set", "3.19.0"),
            ("admin_epoch", "0"),
            ("epoch", "1"),
            ("num_updates", "0"),
            ("have-quorum", if d.percent(88) { "1" } else { "0" }),
            ("dc-uuid", "1"),
            ("execution-date", &NOW.to_string()),
        ],
    );
    let mut configuration = Element::new("configuration");
    let options = options(d, &plan);
    let nodes = nodes(d, &plan);
    let resources = resources::resources(d, &mut plan);
    let constraints = constraints::constraints(d, &mut plan);
    let mut config = Element::new("crm_config");
    config.children.push(options);
    configuration.children.extend([config, nodes, resources, constraints]);
    if let Some(defaults) = resources::defaults(d, "rsc_defaults") {
        configuration.children.push(defaults);
    }
    if let Some(defaults) = resources::defaults(d, "op_defaults") {
        configuration.children.push(defaults);
    }
    if plan.tagged && !plan.targets.is_empty() {
        let mut tags = Element::new("tags");
        let mut tag = element("tag", &[("id", "some")]);
        for _ in 0..1 + d.below(2) {
            let t = plan.targets[d.below(plan.targets.len())].id.clone();
            if tag.children.iter().all(|c| c.attr("id") != Some(&t)) {
                tag.children.push(element("obj_ref", &[("id", &t)]));
            }
        }
        tags.children.push(tag);
        configuration.children.push(tags);
    }
    cib.children.push(configuration);
    cib.children.push(status::status(d, &plan));
    cib
}

/// Names whose order as text, by number and without case differ.
fn node_name(seed: u64, i: usize) -> String {
    match seed % 4 {
        0 => format!("node{i}"),
        1 => format!("n{}", 7 + i * 2),
        2 => ["alpha", "Beta", "gamma", "Delta", "eps"][i - 1].to_owned(),
        _ => format!("srv-{:02}", 12 - i),
    }
}

fn options(d: &mut Dice, plan: &Plan) -> Element {
    let mut list = vec![("fencing-enabled", plan.fencing.to_string())];
    list[0].0 = "stonith-enabled";
    let mut maybe = |chance: u64, name: &'static str, values: &[&str]| {
        if d.percent(chance) {
            list.push((name, d.pick(values).to_owned()));
        }
    };
    maybe(35, "no-quorum-policy", &["ignore", "stop", "freeze", "demote", "suicide"]);
    maybe(12, "symmetric-cluster", &["false"]);
    maybe(4, "maintenance-mode", &["true"]);
    maybe(3, "stop-all-resources", &["true"]);
    maybe(20, "concurrent-fencing", &["false", "true"]);
    maybe(20, "start-failure-is-fatal", &["false", "true"]);
    maybe(20, "enable-startup-probes", &["false"]);
    maybe(15, "startup-fencing", &["false"]);
    maybe(12, "node-health-strategy", &["migrate-on-red", "only-green", "progressive", "none"]);
    maybe(10, "stop-orphan-resources", &["false"]);
    maybe(6, "stop-orphan-actions", &["false"]);
    maybe(10, "priority-fencing-delay", &["15s"]);
    maybe(10, "shutdown-lock", &["true"]);
    maybe(10, "stonith-action", &["off", "reboot"]);
    maybe(10, "migration-limit", &["2"]);
    maybe(6, "batch-limit", &["3"]);
    maybe(6, "node-pending-timeout", &["2h", "10s"]);
    maybe(3, "have-watchdog", &["true"]);
    if plan.utilization || d.percent(4) {
        let strategy = d.pick(&["utilization", "balanced", "minimal", "default"]);
        list.push(("placement-strategy", strategy.to_owned()));
    }
    let list: Vec<_> = list.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    pairs("cluster_property_set", "cib-bootstrap-options", &list)
}

fn nodes(d: &mut Dice, plan: &Plan) -> Element {
    let mut section = Element::new("nodes");
    for (i, name) in plan.nodes.iter().enumerate() {
        let id = (i + 1).to_string();
        let mut node = element("node", &[("id", &id), ("uname", name)]);
        let mut attributes = Vec::new();
        if d.percent(60) {
            attributes.push(("site".to_owned(), d.pick(&["a", "b"]).to_owned()));
        }
        if d.percent(30) {
            attributes.push(("rank".to_owned(), d.below(300).to_string()));
        }
        if d.percent(7) {
            attributes.push(("standby".to_owned(), "on".to_owned()));
        }
        if d.percent(4) {
            attributes.push(("maintenance".to_owned(), "true".to_owned()));
        }
        if !attributes.is_empty() {
            let set = pairs("instance_attributes", &format!("nodes-{id}"), &attributes);
            node.children.push(set);
        }
        if plan.utilization {
            let capacity = [
                ("cpu".to_owned(), (1 + d.below(8)).to_string()),
                ("memory".to_owned(), (512 * d.below(8)).to_string()),
            ];
            node.children.push(pairs("utilization", &format!("nodes-{id}-utilization"), &capacity));
        }
        section.children.push(node);
    }
    section
}

/// All members are there and nothing has happened yet.
pub(crate) fn begin(cib: &mut Element) {
    let nodes = cib.child("configuration").unwrap().child("nodes").unwrap();
    let states: Vec<Element> = nodes
        .children
        .iter()
        .map(|n| {
            let mut e = element(
                "node_state",
                &[
                    ("id", n.attr("id").unwrap()),
                    ("uname", n.attr("uname").unwrap()),
                    ("in_ccm", "true"),
                    ("crmd", "online"),
                    ("join", "member"),
                    ("expected", "member"),
                ],
            );
            e.children.push(element("lrm", &[("id", n.attr("id").unwrap())]));
            e.children[0].children.push(Element::new("lrm_resources"));
            e
        })
        .collect();
    cib.set("have-quorum", "1");
    let status = cib.children.iter_mut().find(|c| c.name == "status").unwrap();
    status.children = states;
}

/// Ids of all primitives.
fn primitives(e: &Element, out: &mut Vec<String>) {
    if e.name == "primitive" {
        out.extend(e.get("id"));
    }
    e.children.iter().for_each(|c| primitives(c, out));
}

/// Options that make something happen.
pub(crate) fn event(d: &mut Dice, cib: &Element) -> Vec<String> {
    let configuration = cib.child("configuration").unwrap();
    let nodes = &configuration.child("nodes").unwrap().children;
    let node = nodes[d.below(nodes.len())].get("uname").unwrap();
    let mut ids = Vec::new();
    primitives(configuration.child("resources").unwrap(), &mut ids);
    let id = d.pick_string(&ids);
    let two = |a: &str, b: String| vec![a.to_owned(), b];
    match d.below(12) {
        0 | 1 => two("--node-down", node),
        2 | 3 => two("--node-fail", node),
        4..=6 => two("--node-up", node),
        7 | 8 => {
            let op = d.pick(&["monitor_10000", "monitor_11000", "monitor_0", "start_0", "stop_0"]);
            let rc = d.pick(&["7", "1", "5", "0", "9"]);
            two("--op-inject", format!("{id}_{op}@{node}={rc}"))
        }
        9 | 10 => {
            let op = d.pick(&["monitor_10000", "start_0", "stop_0", "promote_0", "monitor_0"]);
            two("--op-fail", format!("{id}_{op}@{node}=1"))
        }
        _ => Vec::new(),
    }
}
