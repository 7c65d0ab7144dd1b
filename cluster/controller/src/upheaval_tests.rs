//! Removals, restarts and refusals in the middle of something.

use std::collections::BTreeMap;

use haven_api::RequestBody;
use haven_consensus::{DropReason, Input as ToLog, Output as Log, Recovered};
use haven_heartbeat::{Input as ToBeat, Output as Beat};
use haven_transition::Input as ToEngine;
use haven_types::operation::{Lease, OcfCode, Outcome};
use haven_types::{BootId, NodeId};

use crate::bench::{Bench, VIP};
use crate::controller::{Config, Controller, Internal, Purpose};
use crate::history::Slot;
use crate::message::PeerMessage;
use crate::port::{Input, Output};

fn moved(node: u16) -> RequestBody {
    let (resource, node) = ("vip".to_owned(), Some(format!("n{node}")));
    RequestBody::ResourceMove { resource, node, lifetime: None, wait: false, timeout_ms: None }
}

fn coordinator(bench: &mut Bench) -> &mut Controller {
    let id = bench.coordinator();
    bench.nodes.get_mut(&NodeId(id)).unwrap()
}

/// The nodes that operations under way were given to, by operation.
fn under_way(bench: &mut Bench) -> BTreeMap<String, String> {
    let flights = coordinator(bench).coordinator.as_ref().unwrap().engine.flights();
    let node = |action: &haven_types::graph::Action| action.node.clone().unwrap().uname;
    flights.values().map(|f| (f.action.operation_key.clone(), node(&f.action))).collect()
}

fn is_order(bytes: &[u8], key: &str) -> bool {
    let message = PeerMessage::decode(bytes);
    matches!(message, Some(PeerMessage::Order { order, .. }) if order.operation.key() == key)
}

/// Somebody who neither coordinates nor owns the address.
fn idle(bench: &Bench) -> u16 {
    let (coordinator, owner) = (bench.coordinator(), bench.owner());
    bench.ids().into_iter().find(|id| *id != coordinator && *id != owner).unwrap()
}

#[test]
fn a_member_votes_no_more_before_it_is_removed() {
    let mut bench = Bench::new(VIP);
    let leaves = idle(&bench);
    let at = bench.coordinator();
    bench.witness_beside([leaves, bench.owner()]);
    bench.ask(at, RequestBody::ClusterRemoveNode { node: format!("n{leaves}"), force: false });
    let mut learned = false;
    for _ in 0..4_000 {
        bench.run(5);
        for (node, controller) in &bench.nodes {
            let member = controller.state().members.contains_key(&NodeId(leaves));
            let status = controller.consensus_status();
            let votes = status.configuration_in_log.1.is_voter(NodeId(leaves));
            assert!(member || !votes, "for node {node} it is removed and votes");
            learned |= member && !votes;
        }
        if bench.nodes[&NodeId(at)].state().members.len() == 2 {
            break;
        }
    }
    assert_eq!(bench.nodes[&NodeId(at)].state().members.len(), 2);
    assert!(learned, "it followed the log without a vote first");
}

#[test]
fn a_member_goes_once_nothing_runs_there_any_more() {
    let mut bench = Bench::new(VIP);
    let (leaves, at) = (idle(&bench), bench.coordinator());
    bench.witness_beside([leaves, bench.owner()]);
    bench.hanging.insert("vip_start_0".to_owned());
    bench.ask(at, moved(leaves));
    bench.run(200);
    assert_eq!(bench.owner(), leaves, "its start is under way there");
    bench.hanging.clear();
    bench.ask(at, RequestBody::ClusterRemoveNode { node: format!("n{leaves}"), force: false });
    bench.run(3_000);
    let members = |bench: &Bench| bench.nodes[&NodeId(at)].state().members.len();
    assert_eq!(members(&bench), 3, "what starts there is not left behind");
    bench.run(60_000);
    assert_eq!(members(&bench), 2);
    assert_eq!(bench.called("vip_stop_0").last(), Some(&leaves));
    assert_ne!(bench.owner(), leaves, "nothing is placed where somebody leaves");
}

#[test]
fn a_member_whose_removal_is_not_taken_gets_its_vote_back() {
    let mut bench = Bench::new(VIP);
    let (leaves, at) = (idle(&bench), bench.coordinator());
    bench.witness_beside([leaves, bench.owner()]);
    bench.ask(at, RequestBody::ClusterRemoveNode { node: format!("n{leaves}"), force: false });
    let proposed = |bench: &mut Bench| {
        bench.run(5);
        let purposes = &coordinator(bench).purposes;
        purposes.iter().find(|(_, p)| matches!(p, Purpose::Request(_))).map(|(id, _)| *id)
    };
    let id = (0..4_000).find_map(|_| proposed(&mut bench)).unwrap();
    let clock = bench.clock();
    let controller = coordinator(&mut bench);
    assert!(!controller.consensus_status().configuration.is_voter(NodeId(leaves)));
    let why = DropReason::Mute;
    controller.on_consensus(clock, Log::ProposalDropped { id, why });
    let votes = |internal: &Internal| match internal {
        Internal::Consensus(ToLog::ChangeMembers { voters, .. }) => {
            voters.contains(&NodeId(leaves))
        }
        _ => false,
    };
    assert!(controller.inbox.iter().any(votes), "{:?}", controller.inbox);
}

#[test]
fn a_grant_that_is_not_taken_is_asked_for_later_and_not_in_the_same_step() {
    let mut bench = Bench::new(VIP);
    let at = bench.coordinator();
    let owner = idle(&bench);
    bench.ask(at, moved(owner));
    bench.run(2_000);
    assert_eq!(bench.owner(), owner);
    // A start elsewhere waits for its grant.
    bench.kill(owner);
    bench.notice(owner);
    let clock = bench.clock();
    let controller = coordinator(&mut bench);
    let grants = controller.purposes.iter().find(|(_, p)| matches!(p, Purpose::Grant(_)));
    let id = grants.map(|(id, _)| *id).unwrap();
    let why = DropReason::Mute;
    controller.on_consensus(clock, Log::ProposalDropped { id, why });
    let asked =
        |internal: &Internal| matches!(internal, Internal::Consensus(ToLog::Propose { .. }));
    assert!(!controller.inbox.iter().any(asked), "{:?}", controller.inbox);
    let again = controller.coordinator.as_ref().and_then(|it| it.deadline()).unwrap();
    assert!(again > clock.now, "at {again:?}, it is {:?}", clock.now);
    bench.run(3_000);
    assert_ne!(bench.owner(), owner, "planned anew, it starts all the same");
}

#[test]
fn an_order_to_an_earlier_life_is_given_up_as_soon_as_the_new_one_is_heard() {
    let mut bench = Bench::new(VIP);
    let to = idle(&bench);
    let at = bench.coordinator();
    bench.ask(at, moved(to));
    for _ in 0..1_000 {
        bench.flying.retain(|(_, _, bytes)| !is_order(bytes, "vip_start_0"));
        bench.run(1);
    }
    let waits = under_way(&mut bench);
    assert_eq!(waits.get("vip_start_0").map(String::as_str), Some(&*format!("n{to}")));
    let (node, boot) = (NodeId(to), BootId(2));
    bench.beat(at, Beat::Alive { node, boot });
    assert!(!under_way(&mut bench).contains_key("vip_start_0"), "{:?}", under_way(&mut bench));
    // Heard again in the same life: nothing was missed, nothing is given up.
    let mut bench = Bench::new(VIP);
    bench.ask(at, moved(to));
    for _ in 0..1_000 {
        bench.flying.retain(|(_, _, bytes)| !is_order(bytes, "vip_start_0"));
        bench.run(1);
    }
    bench.beat(at, Beat::Alive { node, boot: BootId(1) });
    assert!(under_way(&mut bench).contains_key("vip_start_0"));
}

#[test]
fn what_goes_on_running_through_a_planned_restart_asks_for_its_lease_again() {
    let bench = Bench::new(VIP);
    let owner = NodeId(bench.owner());
    let old = &bench.nodes[&owner];
    let (group, (_, epoch)) = bench.leases.iter().next().map(|(g, l)| (*g, *l)).unwrap();
    let state = old.state().clone();
    let config = Config { boot: BootId(2), ..old.config.clone() };
    for (handed_over, asks) in [(Some(old.hand_over()), true), (None, false)] {
        let recovered = Recovered::founding(state.members.keys().copied(), state.encode());
        let now = bench.clock().now;
        let mut new =
            Controller::new(config.clone(), recovered, Vec::new(), handed_over, now).unwrap();
        let claim = Output::Heartbeat(Box::new(ToBeat::Claim { group, epoch }));
        let asked = new.step(bench.clock(), Input::Tick).contains(&claim);
        assert_eq!(asked, asks, "of what it runs, and of nothing else");
    }
    assert_eq!(old.executor.leases(), [Lease { group, epoch }]);
}

#[test]
fn what_is_left_after_a_forgotten_failed_stop_is_asked_for() {
    let mut bench = Bench::new(VIP);
    let owner = bench.owner();
    // A monitor that ends well beside it tells nothing of what the stop has left.
    bench.codes.insert((owner, "vip_stop_0".to_owned()), 1);
    let at = bench.coordinator();
    bench.ask(at, moved(1 + owner % 3));
    bench.run(2_000);
    assert_eq!(bench.called("vip_stop_0"), [owner], "it is not tried again and again");
    let history = bench.nodes.get_mut(&NodeId(owner)).unwrap();
    let history = history.histories.get_mut(&NodeId(owner)).unwrap();
    let slots = history.resources.get_mut("vip").unwrap();
    let mut well = slots[&Slot::Last].clone();
    well.operation.action = "monitor".to_owned();
    well.operation.interval = std::time::Duration::from_secs(10);
    well.outcome = Some(Outcome::done(OcfCode::OK, ""));
    slots.insert(Slot::Recurring(well.operation.key()), well);
    let probes = bench.called("vip_monitor_0").len();
    bench.codes.clear();
    bench.ask(at, RequestBody::ResourceCleanup { resource: None, node: None });
    bench.run(2_000);
    let asked = bench.called("vip_monitor_0");
    assert_eq!(asked[probes..], [owner], "{:?}", bench.calls);
    assert_eq!(bench.owner(), 1 + owner % 3, "what was found out, the plan goes on with");
}

#[test]
fn a_refused_order_is_planned_anew() {
    let mut bench = Bench::new(VIP);
    let to = idle(&bench);
    let at = bench.coordinator();
    bench.ask(at, moved(to));
    let mut refused = None;
    while refused.is_none() {
        bench.run(1);
        refused = bench.flying.iter().find_map(|(_, _, bytes)| match PeerMessage::decode(bytes) {
            Some(PeerMessage::Order { order, .. }) if order.operation.key() == "vip_start_0" => {
                Some(order.id)
            }
            _ => None,
        });
    }
    bench.flying.clear();
    let reason = "16 orders waiting already".to_owned();
    let bytes = PeerMessage::Refused { order: refused.unwrap(), reason }.encode();
    bench.step(at, Input::Peer { from: NodeId(to), boot: BootId(1), bytes });
    bench.run(2_000);
    assert_eq!(bench.owner(), to, "the second order was not refused");
    let told = bench.events.iter().find(|(id, code, _)| *id == at && code == "HV1604");
    let text = told.map(|(.., text)| text.as_str());
    let named = format!("n{to} refused start of vip: 16 orders waiting already");
    assert_eq!(text, Some(named.as_str()), "{:?}", bench.events);
}

#[test]
fn what_is_planned_on_a_node_that_is_no_member_is_told_and_not_waited_for() {
    let mut bench = Bench::new(VIP);
    let clock = bench.clock();
    let to = idle(&bench);
    let at = bench.coordinator();
    bench.ask(at, moved(to));
    let mut action = None;
    while action.is_none() {
        bench.run(1);
        let flights = coordinator(&mut bench).coordinator.as_ref().unwrap().engine.flights();
        action = flights.iter().find_map(|(id, flight)| {
            (flight.action.operation == "start").then(|| (*id, flight.action.clone()))
        });
    }
    let (flight, mut action) = action.unwrap();
    action.node.as_mut().unwrap().uname = "n9".to_owned();
    let controller = coordinator(&mut bench);
    controller.perform(clock, flight, &action);
    let text = controller.out.iter().find_map(|output| match output {
        Output::Event(event) if event.code == "HV1603" => Some(event.text.clone()),
        _ => None,
    });
    let told = "vip start on n9 was never ordered: n9 is no member, so nobody can carry it out";
    assert_eq!(text.as_deref(), Some(told));
    let ends = |input: &Internal| {
        let ended = ToEngine::Finished { flight, ok: false };
        matches!(input, Internal::Engine(input) if *input == ended)
    };
    assert!(controller.inbox.iter().any(ends), "{:?}", controller.inbox);
}

#[test]
fn a_dead_node_is_no_member_for_a_plan_though_the_view_names_it_still() {
    let mut bench = Bench::new(VIP);
    let dead = NodeId(idle(&bench));
    let (boot, successor) = (BootId(1), None);
    let at = bench.coordinator();
    bench.beat(at, Beat::Dead { node: dead, boot, successor });
    let controller = coordinator(&mut bench);
    assert!(controller.view.members.contains(&dead), "the view follows later");
    let planned_with = controller.members_for_policy();
    assert!(!planned_with.contains(&dead), "{planned_with:?}");
    assert_eq!(planned_with.len(), 2);
}
