//! The list of resources.

use std::collections::{BTreeMap, BTreeSet};

use haven_policy::{ClusterState, NodeView, ReplicaView, ResourceKind, ResourceView};

use super::Text;
use super::nodes::exit_text;

/// What a line needs besides the resource itself.
#[derive(Clone, Copy)]
struct Context<'a> {
    state: &'a ClusterState,
    pending: bool,
}

impl Text<'_> {
    pub(super) fn resources(&mut self, state: &ClusterState, pending: bool) {
        self.space();
        self.open("Full List of Resources");
        let mut any = false;
        for r in state.resources.iter().filter(|r| !r.removed || r.active) {
            any |= self.resource(r, Context { state, pending });
        }
        if !any {
            self.item("No resources");
        }
        self.close();
    }

    /// One resource with its parts; whether anything was written.
    fn resource(&mut self, r: &ResourceView, cx: Context<'_>) -> bool {
        match r.kind {
            ResourceKind::Primitive => {
                let node = r.node.as_deref().or(r.pending_node.as_deref());
                self.primitive(r, shown_id(r), node, cx)
            }
            ResourceKind::Group => self.group(r, cx),
            ResourceKind::Clone => self.clone_set(r, cx),
            ResourceKind::Bundle => self.bundle(r, cx),
        }
    }

    fn primitive(
        &mut self,
        r: &ResourceView,
        name: &str,
        node: Option<&str>,
        cx: Context<'_>,
    ) -> bool {
        if r.implicit {
            return false;
        }
        self.item(&instance(r, name, node, cx));
        true
    }

    fn group(&mut self, r: &ResourceView, cx: Context<'_>) -> bool {
        if r.children.is_empty() {
            return false;
        }
        let facts = [r.disabled.then_some("disabled"), unmanaged(r)];
        self.open(&format!("Resource Group: {}{}", r.id, in_parentheses(&facts)));
        for c in &r.children {
            self.resource(c, cx);
        }
        self.close();
        true
    }

    fn bundle(&mut self, r: &ResourceView, cx: Context<'_>) -> bool {
        if r.replicas.is_empty() {
            return false;
        }
        let set = if r.replicas.len() > 1 { " set" } else { "" };
        let unique = if r.unique { " (unique)" } else { "" };
        let unmanaged = unmanaged(r).map_or_else(String::new, |u| format!(" ({u})"));
        let image = r.image.as_deref().unwrap_or_default();
        self.open(&format!("Container bundle{set}: {} [{image}]{unique}{unmanaged}", r.id));
        for p in &r.replicas {
            self.replica(p, cx);
        }
        self.close();
        true
    }

    fn replica(&mut self, p: &ReplicaView, cx: Context<'_>) {
        let Some(container) = &p.container else { return };
        let inside = p.child.as_ref().unwrap_or(container);
        let reached = p.remote.as_ref().unwrap_or(container);
        let mut name = shown_id(reached).to_owned();
        if let Some(a) = &p.address {
            name += &format!(" ({a})");
        }
        self.primitive(inside, &name, container.node.as_deref(), cx);
    }

    fn clone_set(&mut self, r: &ResourceView, cx: Context<'_>) -> bool {
        let mut list = Instances::default();
        let mut full = Vec::new();
        for c in &r.children {
            if list.is_shown_in_full(r, c, cx) {
                full.push(c);
            }
        }
        let mut opened = false;
        let mut open = |text: &mut Self| {
            if !opened {
                opened = true;
                text.open(&clone_heading(r));
            }
        };
        for c in full {
            open(self);
            self.resource(c, cx);
        }
        let active = list.promoted.len() + list.started.len();
        if !list.promoted.is_empty() {
            open(self);
            self.item(&format!("Promoted: [ {} ]", by_name(cx.state, &list.promoted)));
        }
        if !list.started.is_empty() {
            open(self);
            let what = match (r.promotable, target_role(r)) {
                (true, Some("Unpromoted")) => "Unpromoted (target-role)",
                (true, _) => "Unpromoted",
                (false, _) => "Started",
            };
            self.item(&format!("{what}: [ {} ]", by_name(cx.state, &list.started)));
        }
        if !r.unique && usize::try_from(r.clone_max).unwrap_or(0) > active {
            list.stopped = stopped_on(r, cx);
        }
        if list.stopped.is_empty() {
            if active == 0 {
                open(self);
            }
        } else {
            open(self);
            for (what, names) in by_state(&list.stopped, cx.state) {
                self.item(&format!("{what}: [ {} ]", names.join(" ")));
            }
        }
        if opened {
            self.close();
        }
        opened
    }
}

/// The instances of a clone, sorted by what they do.
#[derive(Default)]
struct Instances {
    promoted: Vec<String>,
    started: Vec<String>,
    /// Names (of nodes, or of instances) with their state.
    stopped: BTreeMap<String, String>,
}

impl Instances {
    /// Whether an instance has lines of its own; else it is counted.
    fn is_shown_in_full(&mut self, r: &ResourceView, c: &ResourceView, cx: Context<'_>) -> bool {
        if r.unique && (c.partially_active || !r.removed) {
            return true;
        }
        if r.unique {
            return false;
        }
        if cx.pending && c.pending_action.as_deref().is_some_and(|a| a != "probe") {
            return true;
        }
        if !c.partially_active {
            if !c.removed {
                self.stopped.insert(c.id.clone(), "Stopped".to_owned());
            }
            return false;
        }
        let odd = any(c, &|x| x.removed) || any(c, &|x| !x.managed) || any(c, &|x| x.failed);
        let mut nodes = BTreeSet::new();
        places(c, &mut nodes);
        let [place] = nodes.into_iter().collect::<Vec<_>>()[..] else { return true };
        if odd || !c.active || node(cx.state, place).is_some_and(|n| !n.online && n.unclean) {
            return true;
        }
        let list = if highest(c) == "Promoted" { &mut self.promoted } else { &mut self.started };
        list.push(place.to_owned());
        false
    }
}

fn any(r: &ResourceView, ask: &dyn Fn(&ResourceView) -> bool) -> bool {
    ask(r) || r.children.iter().any(|c| any(c, ask))
}

/// Nodes of all parts.
fn places<'a>(r: &'a ResourceView, into: &mut BTreeSet<&'a str>) {
    if r.children.is_empty() {
        into.extend(r.nodes.iter().map(String::as_str));
    }
    r.children.iter().for_each(|c| places(c, into));
}

/// The highest role of all parts.
fn highest(r: &ResourceView) -> &str {
    if any(r, &|x| x.children.is_empty() && x.role == "Promoted") { "Promoted" } else { &r.role }
}

/// Where an anonymous clone does not run, with the reason.
fn stopped_on(r: &ResourceView, cx: Context<'_>) -> BTreeMap<String, String> {
    let disabled = target_role(r) == Some("Stopped");
    let free = r.candidates.iter().filter(|n| !r.nodes.contains(n));
    free.map(|n| {
        let what = match failed_probe(r, Some(n), cx) {
            Some(rc) => format!("Stopped ({})", exit_text(rc)),
            None if disabled => "Stopped (disabled)".to_owned(),
            None => "Stopped".to_owned(),
        };
        (n.clone(), what)
    })
    .collect()
}

/// Groups names by their state; both in order.
fn by_state<'a>(
    stopped: &'a BTreeMap<String, String>,
    state: &ClusterState,
) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut names: Vec<&String> = stopped.keys().collect();
    names.sort_by_key(|n| rank(state, n));
    for n in names {
        groups.entry(stopped[n].as_str()).or_default().push(n);
    }
    groups
}

fn by_name(state: &ClusterState, names: &[String]) -> String {
    let mut list: Vec<&str> = names.iter().map(String::as_str).collect();
    list.sort_by_key(|n| rank(state, n));
    list.join(" ")
}

/// The place of a node in the list of nodes.
fn rank(state: &ClusterState, name: &str) -> usize {
    state.nodes.iter().position(|n| n.name == name).unwrap_or(usize::MAX)
}

fn node<'a>(state: &'a ClusterState, name: &str) -> Option<&'a NodeView> {
    state.nodes.iter().find(|n| n.name == name)
}

/// The target role of a clone, else that of its first instance, in its present name.
fn target_role(r: &ResourceView) -> Option<&'static str> {
    let own = r.target_role.as_deref();
    own.or_else(|| r.children.first().and_then(|c| c.target_role.as_deref())).and_then(role_name)
}

fn role_name(text: &str) -> Option<&'static str> {
    let is = |w: &str| text.eq_ignore_ascii_case(w);
    match () {
        () if is("Stopped") => Some("Stopped"),
        () if is("Unpromoted") || is("Slave") => Some("Unpromoted"),
        () if is("Promoted") || is("Master") => Some("Promoted"),
        () if is("Started") => Some("Started"),
        () => None,
    }
}

fn shown_id(r: &ResourceView) -> &str {
    if r.unique { &r.id } else { &r.config_id }
}

fn unmanaged(r: &ResourceView) -> Option<&'static str> {
    if r.maintenance {
        Some("maintenance")
    } else if r.managed {
        None
    } else {
        Some("unmanaged")
    }
}

fn in_parentheses(facts: &[Option<&str>]) -> String {
    let facts: Vec<&str> = facts.iter().flatten().copied().collect();
    if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) }
}

fn clone_heading(r: &ResourceView) -> String {
    let facts = [
        r.promotable.then_some("promotable"),
        r.unique.then_some("unique"),
        r.disabled.then_some("disabled"),
        unmanaged(r),
    ];
    let child = r.children.first().map_or("", |c| c.config_id.as_str());
    format!("Clone Set: {} [{child}]{}", r.id, in_parentheses(&facts))
}

/// The result of a probe that says that the resource cannot run on a node (or on any).
fn failed_probe(r: &ResourceView, node: Option<&str>, cx: Context<'_>) -> Option<i32> {
    let mut masked = cx.state.failures.iter().filter(|f| f.masked_probe);
    let found = masked.find(|f| {
        let there =
            f.on_node.as_deref().is_some_and(|on| node.is_none_or(|n| on.eq_ignore_ascii_case(n)));
        there && crate::history::parse_key(&f.key).is_some_and(|(of, ..)| of == r.probed_as)
    });
    found.map(|f| f.rc)
}

fn pending_state(action: &str) -> Option<&'static str> {
    match action {
        "start" => Some("Starting"),
        "stop" => Some("Stopping"),
        "migrate_to" | "migrate_from" => Some("Migrating"),
        "promote" => Some("Promoting"),
        "demote" => Some("Demoting"),
        _ => None,
    }
}

/// The line of a primitive or an instance of one.
fn instance(r: &ResourceView, name: &str, at: Option<&str>, cx: Context<'_>) -> String {
    let many = r.nodes.len() > 1;
    let at = at.or(r.lock_node.as_deref()).filter(|_| !many);
    let mut text = format!("{name}\t({}):\t", r.agent.as_deref().unwrap_or_default());
    if r.removed {
        text += " ORPHANED";
    }
    let pending = r.pending_action.as_deref().filter(|_| cx.pending);
    if r.failed {
        text += " FAILED";
        if r.role == "Promoted" {
            text += " Promoted";
        }
    } else {
        text.push(' ');
        text += pending.and_then(pending_state).unwrap_or(&r.role);
    }
    if let Some(n) = at {
        text.push(' ');
        text += n;
    }
    if r.role == "Stopped"
        && let Some(rc) = failed_probe(r, at, cx)
    {
        text += &format!(" ({}) ", exit_text(rc));
    }
    let lost = at.and_then(|n| node(cx.state, n)).is_some_and(|n| !n.online && n.unclean);
    let target = r.target_role.as_deref();
    let role_wanted = match target.and_then(role_name) {
        Some("Stopped") => Some("disabled".to_owned()),
        Some("Unpromoted") if r.promotable => target.map(|t| format!("target-role:{t}")),
        _ => None,
    };
    let care = if r.blocked {
        Some("blocked")
    } else if r.maintenance {
        Some("maintenance")
    } else {
        (!r.managed).then_some("unmanaged")
    };
    let facts = [
        lost.then_some("UNCLEAN"),
        (at.is_some() && at == r.lock_node.as_deref()).then_some("LOCKED"),
        pending.filter(|p| *p == "monitor").map(|_| "Monitoring"),
        role_wanted.as_deref(),
        care,
        r.failure_ignored.then_some("failure ignored"),
    ];
    text += &in_parentheses(&facts);
    if many {
        text += &format!(" [ {} ]", r.nodes.join(" "));
    }
    text
}
