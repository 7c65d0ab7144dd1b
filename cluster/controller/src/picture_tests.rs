//! What the policy engine makes of the pictures a coordinator sees around a failover.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::WallTime;
use haven_policy::{AgentFacts, Options};
use haven_types::operation::{
    AgentName, Lease, OcfCode, Operation, OperationRecord, OrderId, Outcome,
};
use haven_types::{BootId, Epoch, GroupId, NodeId, Term};

use crate::command::{Member, Role};
use crate::history::NodeHistory;
use crate::picture::{Known, status};
use crate::replicated::{Grant, Replicated};

const LINES: &str = "primitive vip ocf:haven:ip params ip=192.0.2.10 cidr_netmask=24 nic=client \
                     op monitor interval=10s";

fn member(id: u16) -> Member {
    Member {
        id: NodeId(id),
        name: format!("n{id}"),
        role: Role::Full,
        links: Vec::new(),
        channel: "192.0.2.1:5406".parse().unwrap(),
        key: [0; 32],
    }
}

struct Scene {
    state: Replicated,
    present: BTreeSet<NodeId>,
    alive: BTreeSet<NodeId>,
    dead: BTreeSet<NodeId>,
    confirmed: BTreeSet<NodeId>,
    histories: BTreeMap<NodeId, NodeHistory>,
}

impl Scene {
    /// Three nodes that have been probed; the address runs on n2 under lease epoch 2.
    fn served_by_n2() -> Self {
        let mut state = Replicated::founded(member(1), haven_cib::Cib::default());
        for id in [2, 3] {
            let new = member(id);
            state.cib.nodes.push(haven_cib::Node {
                id: id.to_string(),
                uname: new.name.clone(),
                ..haven_cib::Node::default()
            });
            state.members.insert(new.id, new);
        }
        let loaded = haven_cib::crm::load(&state.cib, LINES, haven_cib::crm::Mode::Update).unwrap();
        state.cib = loaded.cib;
        let grant = Grant { group: GroupId(1), epoch: Epoch(2), holder: Some(NodeId(2)) };
        state.grants.insert("vip".to_owned(), grant);
        let all: BTreeSet<NodeId> = [1, 2, 3].into_iter().map(NodeId).collect();
        let mut scene = Self {
            state,
            present: all.clone(),
            alive: all,
            dead: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            histories: BTreeMap::new(),
        };
        for id in 1..=3 {
            scene.record(id, "monitor", 0, 7, 7, None);
        }
        scene.record(2, "start", 0, 0, 0, Some(2));
        scene.record(2, "monitor", 10_000, 0, 0, Some(2));
        scene
    }

    fn record(
        &mut self,
        node: u16,
        action: &str,
        interval: u64,
        code: i32,
        target: i32,
        epoch: Option<u64>,
    ) {
        let history = self
            .histories
            .entry(NodeId(node))
            .or_insert_with(|| NodeHistory::new(NodeId(node), BootId(1)));
        history.version += 1;
        let call = history.version;
        history.record(OperationRecord {
            node: NodeId(node),
            operation: Operation {
                resource: "vip".to_owned(),
                agent: AgentName {
                    standard: "ocf".to_owned(),
                    provider: Some("haven".to_owned()),
                    name: "ip".to_owned(),
                },
                action: action.to_owned(),
                interval: Duration::from_millis(interval),
                timeout: Duration::from_secs(20),
                params: [("ip", "192.0.2.10"), ("cidr_netmask", "24"), ("nic", "client")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
                meta: [("op_target_rc", target.to_string()), ("timeout", "20000".to_owned())]
                    .map(|(name, value)| (name.to_owned(), value))
                    .into(),
            },
            outcome: Some(Outcome::done(OcfCode(code), "")),
            call,
            last_change: WallTime::from_seconds(1_000),
            took: Duration::ZERO,
            queued: Duration::ZERO,
            order: Some(OrderId { term: Term(1), number: call }),
            lease: epoch.map(|epoch| Lease { group: GroupId(1), epoch: Epoch(epoch) }),
        });
    }

    /// The plan, one line per action: `KEY@NODE`.
    fn plan(&self) -> BTreeSet<String> {
        let facts = AgentFacts::default();
        let picture = status(&Known {
            state: &self.state,
            present: &self.present,
            alive: &self.alive,
            dead: &self.dead,
            confirmed: &self.confirmed,
            facts: &facts,
            histories: &self.histories,
            quorate: true,
            coordinator: NodeId(3),
        });
        let options = Options { facts, ..Options::default() };
        let now = WallTime::from_seconds(2_000);
        haven_policy::schedule(&self.state.cib, &picture, now, &options)
            .graph
            .actions
            .iter()
            .map(|action| {
                let node = action.node.as_ref().map_or("", |node| node.uname.as_str());
                format!("{}@{node}", action.operation_key)
            })
            .collect()
    }
}

fn lines(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn a_served_address_needs_nothing() {
    assert_eq!(Scene::served_by_n2().plan(), lines(&[]));
}

#[test]
fn a_node_that_comes_back_with_a_new_daemon_disturbs_nobody() {
    let mut scene = Scene::served_by_n2();
    scene.histories.remove(&NodeId(1));
    assert_eq!(scene.plan(), lines(&[]), "its status has not come yet");
    scene.histories.insert(NodeId(1), NodeHistory::new(NodeId(1), BootId(2)));
    assert_eq!(scene.plan(), lines(&["vip_monitor_0@n1"]), "it is asked what it runs, no more");
}

#[test]
fn an_owner_that_slept_through_its_lease_disturbs_nobody() {
    let mut scene = Scene::served_by_n2();
    scene.record(1, "start", 0, 0, 0, Some(1));
    assert_eq!(scene.plan(), lines(&[]), "epoch 1 is over, whatever n1 says");
}

#[test]
fn a_dead_owner_is_succeeded_without_fencing() {
    let mut scene = Scene::served_by_n2();
    scene.present.remove(&NodeId(2));
    scene.alive.remove(&NodeId(2));
    scene.dead.insert(NodeId(2));
    assert_eq!(scene.plan(), lines(&["vip_start_0@n1", "vip_monitor_10000@n1"]));
}

#[test]
fn a_node_somebody_cannot_hear_keeps_what_it_runs() {
    let mut scene = Scene::served_by_n2();
    scene.present.remove(&NodeId(2));
    assert_eq!(scene.plan(), lines(&[]), "no verdict, no move (L6)");
}

#[test]
fn an_address_found_without_its_lease_is_stopped_and_started() {
    let mut scene = Scene::served_by_n2();
    scene.histories.insert(NodeId(2), NodeHistory::new(NodeId(2), BootId(1)));
    scene.record(2, "monitor", 0, 0, 7, Some(2));
    assert_eq!(scene.plan(), lines(&["vip_monitor_10000@n2"]), "found under its lease: well");
    scene.record(2, "monitor", 0, 0, 7, None);
    let plan = scene.plan();
    assert!(plan.contains("vip_stop_0@n2"), "{plan:?}");
    assert!(plan.iter().any(|line| line.starts_with("vip_start_0@")), "{plan:?}");
}

#[test]
fn a_node_on_its_way_keeps_nothing_down() {
    let mut scene = Scene::served_by_n2();
    scene.record(2, "stop", 0, 0, 0, Some(2));
    // Heard and its status known, but some member cannot reach it, and it was never probed.
    scene.present.remove(&NodeId(1));
    scene.histories.insert(NodeId(1), NodeHistory::new(NodeId(1), BootId(2)));
    let plan = scene.plan();
    assert!(plan.iter().any(|line| line.starts_with("vip_start_0@")), "{plan:?}");
    assert!(plan.iter().all(|line| !line.ends_with("@n1")), "{plan:?}");
}

#[test]
fn a_changed_parameter_restarts_the_resource() {
    let mut scene = Scene::served_by_n2();
    let changed = LINES.replace(".10 ", ".11 ");
    let mode = haven_cib::crm::Mode::Update;
    scene.state.cib = haven_cib::crm::load(&scene.state.cib, &changed, mode).unwrap().cib;
    assert!(scene.plan().contains("vip_stop_0@n2"), "{:?}", scene.plan());
}

#[test]
fn an_address_that_is_configured_no_more_is_stopped_though_nothing_can_fence() {
    let mut scene = Scene::served_by_n2();
    scene.state.cib.resources.clear();
    assert!(scene.plan().contains("vip_stop_0@n2"), "{:?}", scene.plan());
}

impl Scene {
    /// The configuration as before, with this meta attribute.
    fn say(&mut self, meta: &str) {
        let lines = LINES.replace(" op ", &format!(" meta {meta} op "));
        let mode = haven_cib::crm::Mode::Update;
        self.state.cib = haven_cib::crm::load(&self.state.cib, &lines, mode).unwrap().cib;
    }

    fn kill(&mut self, node: u16) {
        let node = NodeId(node);
        self.present.remove(&node);
        self.alive.remove(&node);
        self.dead.insert(node);
    }
}

// spec: L8
#[test]
fn another_lease_setting_starts_the_resource_anew() {
    let mut scene = Scene::served_by_n2();
    scene.say("lease=off");
    let plan = scene.plan();
    assert!(plan.contains("vip_stop_0@n2") && plan.contains("vip_start_0@n2"), "{plan:?}");
    scene.record(2, "start", 0, 0, 0, None);
    scene.record(2, "monitor", 10_000, 0, 0, None);
    assert_eq!(scene.plan(), lines(&[]), "it runs without a lease now");
    scene.say("lease=on");
    let plan = scene.plan();
    assert!(plan.contains("vip_stop_0@n2") && plan.contains("vip_start_0@n2"), "{plan:?}");
}

// spec: L8
#[test]
fn a_lease_that_nothing_keeps_stands_in_for_no_fencing() {
    let foreign = LINES.replace("ocf:haven:ip", "ocf:heartbeat:IPaddr2");
    let with = |lines: &str, meta: &str| lines.replace(" op ", &format!(" meta {meta} op "));
    let clone = "\nclone c vip meta clone-max=1";
    for (lines, accepted) in [
        (format!("{LINES}{clone}"), with(LINES, "lease=off") + clone),
        (with(LINES, "requires=lease") + clone, with(LINES, "requires=lease lease=off") + clone),
        (with(&foreign, "requires=lease"), with(&foreign, "requires=lease lease=off")),
    ] {
        let mut scene = Scene::served_by_n2();
        scene.record(2, "start", 0, 0, 0, None);
        scene.record(2, "monitor", 10_000, 0, 0, None);
        scene.kill(2);
        let mut plan = |lines: &str| {
            let nodes = scene.state.cib.nodes.clone();
            let base = haven_cib::Cib { nodes, ..haven_cib::Cib::default() };
            let loaded = haven_cib::crm::load(&base, lines, haven_cib::crm::Mode::Update);
            scene.state.cib = loaded.unwrap().cib;
            scene.plan()
        };
        let bare = plan(&lines);
        let kept = ["vip_start_0@", "vip:0_start_0@", "lease_ended"];
        let goes_on = |line: &String| kept.iter().any(|start| line.starts_with(start));
        assert!(!bare.iter().any(goes_on), "{lines}: {bare:?}");
        let taken = plan(&accepted);
        assert!(
            taken.iter().any(|line| line.starts_with("vip_start_0@n1")),
            "{accepted}: {taken:?}"
        );
    }
}

// spec: L8
#[test]
fn without_a_lease_a_dead_owner_is_succeeded_unless_fencing_is_asked_for() {
    let mut scene = Scene::served_by_n2();
    scene.say("lease=off");
    scene.record(2, "start", 0, 0, 0, None);
    scene.record(2, "monitor", 10_000, 0, 0, None);
    scene.kill(2);
    assert_eq!(scene.plan(), lines(&["vip_start_0@n1", "vip_monitor_10000@n1"]));
    scene.say("lease=off requires=fencing");
    let plan = scene.plan();
    assert!(!plan.iter().any(|line| line.starts_with("vip_start_0@")), "{plan:?}");
    // It is back and says that it serves still: one of the two stops.
    let mut scene = Scene::served_by_n2();
    scene.say("lease=off");
    for node in [1, 2] {
        scene.record(node, "start", 0, 0, 0, None);
    }
    let plan = scene.plan();
    assert!(plan.iter().any(|line| line.starts_with("vip_stop_0@")), "{plan:?}");
}

/// A dead node on which the address may be active without a lease, whatever the configuration says by now.
fn left_without_a_lease(found: bool) -> Scene {
    let mut scene = Scene::served_by_n2();
    if found {
        scene.histories.insert(NodeId(2), NodeHistory::new(NodeId(2), BootId(1)));
        scene.record(2, "monitor", 0, 0, 7, None);
    } else {
        scene.record(2, "start", 0, 0, 0, None);
        scene.record(2, "monitor", 10_000, 0, 0, None);
    }
    scene.kill(2);
    scene
}

// spec: L8
#[test]
fn what_was_started_without_a_lease_ends_with_none() {
    for found in [false, true] {
        let mut scene = left_without_a_lease(found);
        assert_eq!(scene.plan(), lines(&[]), "found by a probe: {found}");
        // Where the node is fenced, that ends it.
        let device = "primitive fence stonith:fence_none meta requires=nothing";
        let mode = haven_cib::crm::Mode::Update;
        let before = scene.state.cib.clone();
        scene.state.cib = haven_cib::crm::load(&before, device, mode).unwrap().cib;
        let plan = scene.plan();
        assert!(plan.iter().any(|line| line.starts_with("stonith-n2")), "{plan:?}");
        assert!(!plan.iter().any(|line| line.starts_with("lease_ended")), "{plan:?}");
        scene.state.cib = before;
        // And where somebody has made sure.
        scene.confirmed.insert(NodeId(2));
        assert!(scene.plan().contains("vip_start_0@n1"), "{:?}", scene.plan());
    }
    // A probe that nobody answered, and one that found nothing, keep nothing down.
    for code in [1, 7] {
        let mut scene = Scene::served_by_n2();
        scene.histories.insert(NodeId(2), NodeHistory::new(NodeId(2), BootId(1)));
        scene.record(2, "monitor", 0, code, 7, None);
        scene.kill(2);
        assert!(scene.plan().contains("vip_start_0@n1"), "{code}: {:?}", scene.plan());
    }
}

// spec: L8
#[test]
fn what_is_configured_no_more_and_was_started_without_a_lease_counts_as_active() {
    let ended = |plan: BTreeSet<String>| plan.iter().any(|line| line.starts_with("lease_ended"));
    let mut scene = left_without_a_lease(false);
    scene.state.cib.resources.clear();
    assert_eq!(scene.plan(), lines(&[]));
    scene.record(2, "start", 0, 0, 0, Some(2));
    assert!(ended(scene.plan()), "under a lease that has ended: {:?}", scene.plan());
}

#[test]
fn a_lease_that_guarded_nothing_ends_without_a_restart() {
    let mut scene = Scene::served_by_n2();
    for record in scene.histories.values_mut().flat_map(|it| it.resources.values_mut()) {
        for record in record.values_mut() {
            record.operation.agent.provider = Some("heartbeat".to_owned());
            record.operation.agent.name = "IPaddr2".to_owned();
        }
    }
    let text = LINES.replace("ocf:haven:ip", "ocf:heartbeat:IPaddr2");
    let text =
        text.replace(" op ", " meta requires=lease op ") + "\nproperty stonith-enabled=false";
    let base = haven_cib::Cib { nodes: scene.state.cib.nodes.clone(), ..haven_cib::Cib::default() };
    let loaded = haven_cib::crm::load(&base, &text, haven_cib::crm::Mode::Update);
    scene.state.cib = loaded.unwrap().cib;
    assert_eq!(scene.plan(), lines(&[]), "nothing changes on the host");
}
