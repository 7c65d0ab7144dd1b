//! What a coordinator does and does not do.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_api::{Code, Load, ReplyBody, RequestBody};
use haven_base::WallTime;
use haven_heartbeat::{LossCause, Output as Beat, View};
use haven_types::operation::{Order, OrderId};
use haven_types::{BootId, Epoch, LogIndex, NodeId, Term};

use crate::bench::{Answer, Bench, VIP, member};
use crate::command::{Command, JoinRefusal, Role, TokenRefusal};
use crate::message::PeerMessage;
use crate::port::{Input, Local, Output};
use crate::replicated::MAX_TOKENS;

fn code(answer: &Answer) -> Code {
    answer.as_ref().unwrap_err().code
}

fn moved(resource: &str, node: u16, wait: bool) -> RequestBody {
    let (resource, node) = (resource.to_owned(), Some(format!("n{node}")));
    RequestBody::ResourceMove { resource, node, lifetime: None, wait, timeout_ms: Some(5_000) }
}

#[test]
fn an_address_starts_once_under_its_first_epoch() {
    let mut bench = Bench::new("");
    let follower = 1 + bench.coordinator() % 3;
    let answer = bench.load(follower, VIP, false);
    assert!(matches!(answer, Ok(ReplyBody::Committed { .. })), "{answer:?}");
    assert_eq!(bench.called("vip_start_0").len(), 1);
    assert_eq!(bench.grant(), (Epoch(1), Some(NodeId(bench.owner()))));
    assert_eq!(bench.called("vip_monitor_10000").len(), 1);
    // Every node was asked once what it runs, and nothing happens ever after.
    assert_eq!(bench.called("vip_monitor_0").len(), 3);
    let calls = bench.calls.len();
    bench.run(5_000);
    assert_eq!(bench.calls.len(), calls);
}

#[test]
fn a_move_stops_before_it_starts_under_the_next_epoch() {
    let mut bench = Bench::new(VIP);
    let old = bench.owner();
    let new = 1 + old % 3;
    let request = bench.ask(2, moved("vip", new, true));
    assert_eq!(bench.answers.get(&request), None, "it waits until it is done");
    bench.run(2_000);
    assert!(matches!(bench.answers[&request][0], Ok(ReplyBody::Done(_))));
    assert_eq!(bench.called("vip_start_0"), [old, new]);
    let order: Vec<&str> = bench
        .calls
        .iter()
        .map(|(_, _, key)| key.as_str())
        .filter(|key| matches!(*key, "vip_start_0" | "vip_stop_0"))
        .collect();
    assert_eq!(order, ["vip_start_0", "vip_stop_0", "vip_start_0"]);
    assert_eq!(bench.grant(), (Epoch(2), Some(NodeId(new))), "one grant, made ahead of the stop");
}

#[test]
fn a_dead_owner_is_succeeded_after_the_verdict_and_not_before() {
    let mut bench = Bench::new(VIP);
    let owner = bench.owner();
    bench.kill(owner);
    let (group, (_, epoch)) = bench.leases.iter().next().map(|(g, l)| (*g, *l)).unwrap();
    bench.run(3_000);
    assert_eq!(bench.called("vip_start_0").len(), 1, "no verdict, no move (L6)");
    bench.notice(owner);
    bench.run(1_000);
    assert_eq!(bench.called("vip_start_0").len(), 2);
    assert_ne!(bench.owner(), owner);
    assert!(bench.leases[&group].1 > epoch);
    assert_eq!(bench.grant().0, Epoch(2));
}

#[test]
fn only_the_rightful_successor_campaigns_when_the_coordinator_dies() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    bench.kill(coordinator);
    bench.notice(coordinator);
    let successor = *bench.ids().first().unwrap();
    let took: Vec<u16> =
        bench.events.iter().filter(|(_, code, _)| code == "HV1205").map(|(id, ..)| *id).collect();
    assert_eq!(took, [successor]);
    bench.run(100);
    assert_eq!(bench.coordinator(), successor, "at once, not by a timeout");
    // Nobody campaigns for the death of a node that did not lead.
    let other = *bench.ids().last().unwrap();
    bench.kill(other);
    bench.notice(other);
    assert_eq!(bench.events.iter().filter(|(_, code, _)| code == "HV1205").count(), 1);
}

// spec: L6
#[test]
fn a_lapse_alone_restarts_in_place() {
    let mut bench = Bench::new(VIP);
    let owner = bench.owner();
    let (group, (_, epoch)) = bench.leases.iter().next().map(|(g, l)| (*g, *l)).unwrap();
    bench.leases.clear();
    bench.beat(owner, Beat::LeaseLost { group, epoch, cause: LossCause::Lapsed });
    bench.settle_leases();
    bench.run(3_000);
    assert!(bench.called("vip_start_0").iter().all(|id| *id == owner), "{:?}", bench.calls);
    assert_eq!(bench.called("vip_stop_0"), [] as [u16; 0]);
}

#[test]
fn a_lapse_under_a_newer_grant_is_told_without_a_cause_that_nobody_knows() {
    let mut bench = Bench::new(VIP);
    let owner = bench.owner();
    let (group, (_, epoch)) = bench.leases.iter().next().map(|(g, l)| (*g, *l)).unwrap();
    // As after a pause of the owner: the log holds a grant that is not committed yet.
    let ahead = ("vip".to_owned(), Epoch(epoch.0 + 1));
    let controller = bench.nodes.get_mut(&NodeId(owner)).unwrap();
    controller.grants_ahead.insert(LogIndex(1_000), ahead);
    bench.leases.clear();
    bench.beat(owner, Beat::LeaseLost { group, epoch, cause: LossCause::Lapsed });
    let (.., text) = bench.events.iter().find(|(_, code, _)| code == "HV1501").unwrap();
    assert!(text.contains("granted anew, and this node could not renew it meanwhile"), "{text}");
}

#[test]
fn a_failed_start_is_tried_elsewhere_and_a_failed_monitor_recovered() {
    let mut bench = Bench::new("");
    bench.codes = (1..=2).map(|id| ((id, "vip_start_0".to_owned()), 1)).collect();
    bench.load(1, VIP, false).unwrap();
    bench.run(2_000);
    assert_eq!(bench.owner(), 3);
    assert!(bench.called("vip_start_0").len() <= 3, "once on each");
    bench.codes = [((3, "vip_monitor_10000".to_owned()), 7)].into();
    bench.run(11_000);
    assert!(bench.called("vip_stop_0").contains(&3), "{:?}", bench.calls);
    assert_eq!(bench.called("vip_start_0").last(), Some(&3), "recovered in place");
}

#[test]
fn a_cluster_whose_every_plan_fails_does_not_spin() {
    let mut bench = Bench::new("property start-failure-is-fatal=false");
    bench.codes = (1..=3).map(|id| ((id, "vip_start_0".to_owned()), 1)).collect();
    bench.load(1, VIP, false).unwrap();
    let before = bench.called("vip_start_0").len();
    bench.run(10_000);
    let rate = (bench.called("vip_start_0").len() - before) / 10;
    assert!((1..=60).contains(&rate), "{rate} starts a second");
}

#[test]
fn a_new_coordinator_waits_for_the_status_of_those_it_hears_but_not_for_ever() {
    let mut bench = Bench::new(VIP);
    let coordinator = bench.coordinator();
    let silent = bench.ids().into_iter().find(|id| *id != coordinator && *id != bench.owner());
    let silent = silent.unwrap_or(1 + coordinator % 3);
    let controller = bench.nodes.get_mut(&NodeId(coordinator)).unwrap();
    controller.histories.remove(&NodeId(silent));
    controller.replan();
    let calls = bench.calls.len();
    let is_status = |bytes: &[u8]| {
        let message = PeerMessage::decode(bytes);
        matches!(message, Some(PeerMessage::Status(_) | PeerMessage::StatusDelta(_)))
    };
    let asks = |bytes: &[u8]| {
        matches!(PeerMessage::decode(bytes), Some(PeerMessage::StatusRequest { .. }))
    };
    let (begun, mut asked) = (bench.now, None);
    while bench.now < begun + 3_000 {
        bench.flying.retain(|(from, _, bytes)| from.0 != silent || !is_status(bytes));
        bench.run(5);
        if bench.flying.iter().any(|(_, to, bytes)| to.0 == silent && asks(bytes)) {
            asked = asked.or(Some(bench.now - begun));
        }
        let waiting = bench.nodes[&NodeId(coordinator)].coordinator.as_ref().unwrap().replan;
        assert_eq!(waiting, asked.is_none(), "planned without it at {} ms", bench.now - begun);
    }
    assert_eq!(bench.calls.len(), calls, "nothing needed to be done");
    let asked = asked.is_some_and(|at| (1_900..2_200).contains(&at));
    assert!(asked, "after its patience it asks again");
}

#[test]
fn without_quorum_nothing_starts() {
    let mut bench = Bench::new("property expected_votes=7");
    let answer = bench.load(1, VIP, false);
    assert!(answer.is_ok(), "the log has its majority: {answer:?}");
    bench.run(1_000);
    assert_eq!(bench.called("vip_start_0"), [] as [u16; 0]);
    bench.load(1, "property expected_votes=3", false).unwrap();
    bench.run(1_000);
    assert_eq!(bench.called("vip_start_0").len(), 1);
}

// spec: L7
#[test]
fn orders_of_an_earlier_term_and_of_nobody_are_refused() {
    let mut bench = Bench::new(VIP);
    let (coordinator, owner) = (bench.coordinator(), bench.owner());
    let from = NodeId(1 + coordinator % 3);
    let target = if from.0 == owner { coordinator } else { owner };
    let term = Term(bench.nodes[&NodeId(target)].term.0 - 1);
    let operation = haven_types::operation::Operation {
        resource: "vip".to_owned(),
        agent: haven_types::operation::AgentName {
            standard: "ocf".to_owned(),
            provider: Some("haven".to_owned()),
            name: "ip".to_owned(),
        },
        action: "stop".to_owned(),
        interval: Duration::ZERO,
        timeout: Duration::from_secs(20),
        params: BTreeMap::new(),
        meta: BTreeMap::new(),
    };
    let order = Order { id: OrderId { term, number: 1 }, operation, lease: None, cancel: false };
    let bytes = PeerMessage::Order { boot: None, order: Box::new(order) }.encode();
    bench.step(target, Input::Peer { from, boot: BootId(1), bytes });
    let answered = bench.flying.iter().any(|(_, to, bytes)| {
        *to == from && matches!(PeerMessage::decode(bytes), Some(PeerMessage::Refused { .. }))
    });
    assert!(answered, "it is told");
    bench.run(1_000);
    assert_eq!(bench.called("vip_stop_0"), [] as [u16; 0]);
}

#[test]
fn a_node_speaks_for_itself_only() {
    let mut bench = Bench::new(VIP);
    let coordinator = bench.coordinator();
    let (liar, victim) = (NodeId(1 + coordinator % 3), NodeId(1 + (coordinator + 1) % 3));
    let before = bench.nodes[&NodeId(coordinator)].histories[&victim].clone();
    let mut lie = before.clone();
    lie.version += 10;
    lie.resources.clear();
    let bytes = PeerMessage::Status(Box::new(lie)).encode();
    bench.step(coordinator, Input::Peer { from: liar, boot: BootId(1), bytes });
    let known = |bench: &Bench| bench.nodes[&NodeId(coordinator)].histories[&victim].clone();
    assert_eq!(known(&bench), before);
    let own = bench.nodes[&NodeId(coordinator)].histories[&liar].node;
    assert_eq!(own, liar, "nor is it taken for the liar's own");
    // Nor does an old whole take the place of a newer one.
    let mut old = before.clone();
    old.version = 0;
    old.resources.clear();
    let bytes = PeerMessage::Status(Box::new(old)).encode();
    bench.step(coordinator, Input::Peer { from: victim, boot: BootId(1), bytes });
    assert_eq!(known(&bench), before);
    // A change of the configuration is made by the coordinator, whoever sends one.
    let state = bench.nodes[&liar].state().clone();
    let command = Command::Configure {
        base: state.cib.version,
        cib: Box::new(haven_cib::Cib::default()),
        changes: Vec::new(),
        by: crate::command::Authorship {
            author: "nobody".to_owned(),
            node: "n1".to_owned(),
            message: String::new(),
            at: WallTime::from_seconds(1),
        },
    };
    let bytes = PeerMessage::Propose(Box::new(command)).encode();
    bench.step(coordinator, Input::Peer { from: liar, boot: BootId(1), bytes });
    bench.run(1_000);
    assert_eq!(bench.nodes[&liar].state().cib.version, state.cib.version);
}

#[test]
fn a_change_made_from_what_is_no_longer_current_is_refused() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    let text = |n: u16| format!("property cluster-name=c{n}");
    let made = bench.load(coordinator, "property batch-limit=3", false).unwrap();
    let ReplyBody::Committed { version, .. } = made else { panic!("{made:?}") };
    let expected = Some(version);
    let body = |n| RequestBody::ConfigureLoad(Load { text: text(n), expected, ..Load::default() });
    let (first, second) = (bench.ask(coordinator, body(1)), bench.ask(coordinator, body(2)));
    bench.run(1_000);
    assert!(bench.answers[&first][0].is_ok(), "{:?}", bench.answers[&first]);
    assert_eq!(code(&bench.answers[&second][0]), Code::StaleWrite);
    let expected = haven_api::Version { admin_epoch: 0, epoch: 99, num_updates: 0 };
    let stale = RequestBody::ConfigureLoad(Load {
        text: text(3),
        expected: Some(expected),
        ..Load::default()
    });
    assert_eq!(code(&bench.answer(coordinator, stale)), Code::StaleWrite);
}

#[test]
fn what_is_refused_is_refused_whatever_force_says_unless_it_may_be_overridden() {
    let mut bench = Bench::new("");
    let votes = "property wait_for_all=no last_man_standing=yes";
    for force in [false, true] {
        assert_eq!(code(&bench.load(1, votes, force)), Code::Configuration, "force: {force}");
        let unsound = "primitive a ocf:x:y meta target-role=Strated op monitor interval=1s";
        assert_eq!(code(&bench.load(1, unsound, force)), Code::Configuration, "force: {force}");
    }
    let unusual = "location l nowhere 10: n1\nprimitive nowhere ocf:x:y op monitor interval=5s \
                   op monitor interval=5s";
    assert_eq!(code(&bench.load(1, unusual, false)), Code::Configuration);
    assert!(bench.load(1, unusual, true).is_ok());
}

#[test]
fn a_node_that_is_away_with_what_no_lease_ends_is_removed_by_force_only() {
    let mut bench = Bench::new(&VIP.replace(" op ", " meta lease=off op "));
    let owner = bench.owner();
    bench.kill(owner);
    bench.notice(owner);
    bench.run(2_000);
    let remove = |force| RequestBody::ClusterRemoveNode { node: format!("n{owner}"), force };
    let at = bench.coordinator();
    let error = bench.answer(at, remove(false)).unwrap_err();
    assert_eq!(error.code, Code::Unsafe, "{error:?}");
    assert!(error.message.contains("vip may still run there without a lease"), "{error:?}");
    assert!(bench.answer(at, remove(true)).is_ok());
}

/// A cluster with an address that no lease ends, where a member went away before the coordinator started: nobody
/// has told it what that member ran.
fn away_and_never_heard() -> (Bench, u16, NodeId) {
    let mut bench = Bench::new(&VIP.replace(" op ", " meta lease=off op "));
    let at = bench.coordinator();
    let away = bench.ids().into_iter().find(|id| *id != at && *id != bench.owner()).unwrap();
    bench.kill(away);
    bench.notice(away);
    bench.run(2_000);
    let controller = bench.nodes.get_mut(&NodeId(at)).unwrap();
    assert!(controller.histories.remove(&NodeId(away)).is_some());
    (bench, at, NodeId(away))
}

#[test]
fn a_node_that_this_coordinator_never_heard_may_run_whatever_no_lease_ends() {
    let (mut bench, at, away) = away_and_never_heard();
    let remove = |force| RequestBody::ClusterRemoveNode { node: format!("n{}", away.0), force };
    let error = bench.answer(at, remove(false)).unwrap_err();
    assert_eq!(error.code, Code::Unsafe, "{error:?}");
    let told = "was not heard since this coordinator started, and for all that is known vip may still run there";
    assert!(error.message.contains(told), "{error:?}");
    assert!(error.remedy.unwrap().contains("switch it off and then: haven cluster remove"));
    assert!(bench.answer(at, remove(true)).is_ok());
}

#[test]
fn a_node_that_has_not_said_what_it_runs_may_run_whatever_no_lease_ends() {
    let (mut bench, at, away) = away_and_never_heard();
    bench.beat(at, Beat::Alive { node: away, boot: BootId(2) });
    let remove = RequestBody::ClusterRemoveNode { node: format!("n{}", away.0), force: false };
    let error = bench.answer(at, remove).unwrap_err();
    assert!(error.message.contains("it has not said yet what it runs, and vip"), "{error:?}");
}

#[test]
fn a_witness_that_was_never_heard_runs_nothing() {
    let (mut bench, at, away) = away_and_never_heard();
    for controller in bench.nodes.values_mut() {
        controller.state.members.get_mut(&away).unwrap().role = Role::Witness;
    }
    let remove = RequestBody::ClusterRemoveNode { node: format!("n{}", away.0), force: false };
    assert!(bench.answer(at, remove).is_ok());
}

#[test]
fn members_are_removed_only_where_it_hurts_nobody_unless_forced() {
    let mut bench = Bench::new(VIP);
    let (coordinator, owner) = (bench.coordinator(), bench.owner());
    let remove =
        |node: u16, force| RequestBody::ClusterRemoveNode { node: format!("n{node}"), force };
    assert_eq!(code(&bench.answer(coordinator, remove(owner, false))), Code::Unsafe);
    let idle = bench.ids().into_iter().find(|id| *id != owner && *id != coordinator).unwrap();
    bench.witness_beside([idle, owner]);
    assert!(bench.answer(coordinator, remove(idle, false)).is_ok());
    assert_eq!(bench.nodes[&NodeId(coordinator)].state().members.len(), 2);
    assert_eq!(bench.outdated, 1, "one asks for a new key");
    let mut alone = Bench::new("");
    let coordinator = alone.coordinator();
    let controller = alone.nodes.get_mut(&NodeId(coordinator)).unwrap();
    controller.state.members.retain(|node, _| node.0 == coordinator);
    assert_eq!(code(&alone.answer(coordinator, remove(coordinator, true))), Code::Unsafe);
}

#[test]
fn a_joiner_with_an_expired_token_is_refused() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    for (byte, seconds) in [(7_u8, 900), (8, 5_000)] {
        let (token, expires) = ([byte; 32], WallTime::from_seconds(seconds));
        bench.step(coordinator, Input::Local(Local::MintToken { request: 1, token, expires }));
    }
    bench.run(500);
    bench.step(
        coordinator,
        Input::Local(Local::Admit { request: 1, member: member(4), token: [7; 32] }),
    );
    assert_eq!(bench.joins, [Err(JoinRefusal::ExpiredToken)]);
    bench.step(
        coordinator,
        Input::Local(Local::Admit { request: 2, member: member(4), token: [8; 32] }),
    );
    bench.run(500);
    let joined = bench.joins.last().unwrap();
    assert_eq!(joined.as_ref().map(|member| member.id), Ok(NodeId(4)));
}

#[test]
fn a_joiner_without_a_token_is_refused_and_writes_nothing_to_the_log() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    let other = bench.ids().into_iter().find(|id| *id != coordinator).unwrap();
    let ends = |bench: &Bench| bench.nodes.values().map(|it| it.log_end).collect::<Vec<_>>();
    bench.run(500);
    let before = ends(&bench);
    for asked in [coordinator, other] {
        bench.joins.clear();
        let joiner = Local::Admit { request: 1, member: member(4), token: [9; 32] };
        bench.step(asked, Input::Local(joiner));
        bench.run(500);
        assert_eq!(bench.joins, [Err(JoinRefusal::UnknownToken)], "asked n{asked}");
        assert_eq!(ends(&bench), before, "asked n{asked}");
    }
    // Whoever has one may ask any of them.
    let (token, expires) = ([9; 32], WallTime::from_seconds(5_000));
    bench.step(other, Input::Local(Local::MintToken { request: 1, token, expires }));
    bench.run(500);
    bench.joins.clear();
    bench.step(other, Input::Local(Local::Admit { request: 1, member: member(4), token }));
    bench.run(500);
    assert!(
        matches!(&bench.joins[..], [Ok(member)] if member.id == NodeId(4)),
        "{:?}",
        bench.joins
    );
    assert_ne!(ends(&bench), before);
}

#[test]
fn tokens_that_nobody_joined_with_make_room_once_they_are_void_and_not_before() {
    for here in [true, false] {
        let mut bench = Bench::new("");
        let coordinator = bench.coordinator();
        let other = bench.ids().into_iter().find(|id| *id != coordinator).unwrap();
        let asked = if here { coordinator } else { other };
        let mint = |bench: &mut Bench, byte: usize, seconds| {
            let token = [u8::try_from(byte).unwrap(); 32];
            let expires = WallTime::from_seconds(seconds);
            let wanted = Local::MintToken { request: 1, token, expires };
            bench.step(asked, Input::Local(wanted));
            bench.run(200);
            std::mem::take(&mut bench.minted)
        };
        for byte in 0..MAX_TOKENS {
            assert_eq!(mint(&mut bench, byte, 1_030), [Ok(())]);
        }
        let refused = mint(&mut bench, MAX_TOKENS, 5_000);
        assert_eq!(refused, [Err(TokenRefusal::TooMany)]);
        bench.run(30_000);
        assert_eq!(mint(&mut bench, MAX_TOKENS, 5_000), [Ok(())], "asked once");
        bench.run(500);
        for node in bench.nodes.values() {
            assert_eq!(node.state().tokens.len(), 1);
        }
    }
}

#[test]
fn a_coordinator_that_hears_no_majority_calls_no_token_unknown() {
    let mut bench = Bench::new("");
    let coordinator = bench.coordinator();
    for id in bench.ids().into_iter().filter(|id| *id != coordinator) {
        let (node, boot) = (NodeId(id), BootId(1));
        bench.beat(coordinator, Beat::Dead { node, boot, successor: None });
    }
    let members = [NodeId(coordinator)].into();
    bench.beat(coordinator, Beat::View(View { number: 2, members }));
    assert!(bench.nodes[&NodeId(coordinator)].coordinator.is_some(), "it does not know better yet");
    let joiner = Local::Admit { request: 1, member: member(4), token: [9; 32] };
    bench.step(coordinator, Input::Local(joiner));
    assert_eq!(bench.joins, [Err(JoinRefusal::NoCoordinator)]);
}

#[test]
fn a_node_that_comes_back_is_asked_and_the_agents_are_told() {
    let mut bench = Bench::new(VIP);
    let (coordinator, owner) = (bench.coordinator(), bench.owner());
    let other = bench.ids().into_iter().find(|id| *id != coordinator && *id != owner).unwrap();
    let node = NodeId(other);
    for (boot, told) in [(BootId(1), false), (BootId(2), true)] {
        let clock = bench.clock();
        let controller = bench.nodes.get_mut(&NodeId(owner)).unwrap();
        let out = controller.step(clock, Input::Heartbeat(Beat::Alive { node, boot }));
        let hook = out.iter().any(|output| matches!(output, Output::Notify { .. }));
        assert_eq!(hook, told, "{boot}");
        let known = controller.histories.contains_key(&node);
        assert_eq!(known, !told, "what an earlier life said is forgotten");
    }
    // The same life after a verdict is a return, too.
    let clock = bench.clock();
    let controller = bench.nodes.get_mut(&NodeId(owner)).unwrap();
    let boot = BootId(2);
    controller.step(clock, Input::Heartbeat(Beat::Dead { node, boot, successor: None }));
    let out = controller.step(clock, Input::Heartbeat(Beat::Alive { node, boot }));
    assert!(out.iter().any(|output| matches!(output, Output::Notify { .. })));
}

#[test]
fn the_verdict_is_enough_for_a_takeover_before_the_view_follows() {
    let mut bench = Bench::new(VIP);
    let owner = bench.owner();
    bench.kill(owner);
    bench.leases.clear();
    bench.claims.clear();
    let (node, boot, successor) = (NodeId(owner), BootId(1), bench.ids().first().copied());
    for other in bench.ids() {
        let successor = successor.map(NodeId);
        bench.beat(other, Beat::Dead { node, boot, successor });
    }
    bench.run(1_000);
    assert_ne!(bench.owner(), owner);
}

#[test]
fn a_superseded_owner_stops_by_itself() {
    let mut bench = Bench::new(VIP);
    let owner = bench.owner();
    let (group, (_, epoch)) = bench.leases.iter().next().map(|(g, l)| (*g, *l)).unwrap();
    // Its coordinator does not know of it, nor need it.
    bench.beat(owner, Beat::LeaseLost { group, epoch, cause: LossCause::Superseded });
    assert_eq!(bench.called("vip_stop_0"), [owner]);
}

#[test]
fn the_votes_seen_go_into_the_log_only_where_they_are_tracked() {
    for (lines, votes) in [("", 0), ("property expected_votes_tracking=yes", 3)] {
        let mut bench = Bench::new(lines);
        bench.run(1_000);
        let kept: Vec<u32> = bench.nodes.values().map(|c| c.state().highest_votes).collect();
        assert_eq!(kept, [votes; 3], "{lines}");
    }
}

#[test]
fn status_tells_what_is_wrong_until_it_is_sound_and_what_is_mended_for_some_minutes() {
    let mut bench = Bench::new("");
    let (about, text) = ("keys".to_owned(), "not on disk".to_owned());
    bench.step(1, Input::Local(Local::Alarm { about: about.clone(), text }));
    let text = "somebody took the gate away".to_owned();
    bench.step(1, Input::Local(Local::Mended { about: text.clone(), text }));
    bench.step(1, Input::Peer { from: NodeId(2), boot: BootId(1), bytes: vec![0xff; 9] });
    let alarms = |bench: &mut Bench| match bench.answer(1, RequestBody::Status).unwrap() {
        ReplyBody::Status(status) => status.alarms,
        other => panic!("{other:?}"),
    };
    let unread = "n2 sends messages that this version cannot read; run the same version of haven on all nodes";
    let gate = "somebody took the gate away (within the last 5 min)";
    assert_eq!(alarms(&mut bench), ["not on disk", gate, unread]);
    bench.now += 300_000;
    assert_eq!(alarms(&mut bench), ["not on disk"]);
    bench.step(1, Input::Local(Local::Sound { about }));
    assert_eq!(alarms(&mut bench), [""; 0]);
}
