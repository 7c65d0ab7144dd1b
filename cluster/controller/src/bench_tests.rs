//! Three controllers with each other, over a network, disks, agents and leases that never fail by
//! themselves: what a coordinator does and does not do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use haven_api::{ApiError, Code, Format, LoadMode, ReplyBody, RequestBody};
use haven_base::{Instant, WallTime};
use haven_cib::crm;
use haven_consensus::Recovered;
use haven_heartbeat::{Input as ToBeat, LossCause, Output as Beat, View};
use haven_types::operation::{OcfCode, Order, OrderId, Outcome};
use haven_types::{BootId, Epoch, GroupId, NodeId, Term};

use crate::command::{Command, JoinRefusal, Member, Role};
use crate::controller::{Config, Controller};
use crate::message::PeerMessage;
use crate::port::{Clock, Input, Output};
use crate::replicated::Replicated;

const VIP: &str =
    "primitive vip ocf:haven:ip params ip=192.0.2.10 nic=eth0 op monitor interval=10s";

fn member(id: u16) -> Member {
    Member {
        id: NodeId(id),
        name: format!("n{id}"),
        role: Role::Full,
        links: Vec::new(),
        channel: format!("192.0.2.{id}:5406").parse().unwrap(),
        key: [u8::try_from(id).unwrap(); 32],
    }
}

type Answer = Result<ReplyBody, ApiError>;

struct Bench {
    now: u64,
    nodes: BTreeMap<NodeId, Controller>,
    flying: VecDeque<(NodeId, NodeId, Vec<u8>)>,
    /// Who holds each lease, and who claims it besides.
    leases: BTreeMap<GroupId, (NodeId, Epoch)>,
    claims: BTreeMap<(GroupId, NodeId), Epoch>,
    /// Agents' calls: when, where, what.
    calls: Vec<(u64, u16, String)>,
    /// Answers other than success, by node and operation.
    codes: BTreeMap<(u16, String), i32>,
    answers: BTreeMap<u64, Vec<Answer>>,
    joins: Vec<Result<Member, JoinRefusal>>,
    outdated: u32,
    events: Vec<(u16, String, String)>,
    next: u64,
}

impl Bench {
    fn new(lines: &str) -> Self {
        let mut state = Replicated::founded(member(1), haven_cib::Cib::default());
        for id in [2, 3] {
            let (expires, answer) = (WallTime::from_seconds(2_000), (NodeId(1), 1));
            let token = [u8::try_from(id).unwrap(); 32];
            state.apply(Command::MintToken { token, expires, answer });
            state.apply(Command::AddMember { member: member(id), token, answer });
        }
        state.cib = crm::load(&state.cib, lines, crm::Mode::Update).unwrap().cib;
        let mut bench = Self {
            now: 1,
            nodes: BTreeMap::new(),
            flying: VecDeque::new(),
            leases: BTreeMap::new(),
            claims: BTreeMap::new(),
            calls: Vec::new(),
            codes: BTreeMap::new(),
            answers: BTreeMap::new(),
            joins: Vec::new(),
            outdated: 0,
            events: Vec::new(),
            next: 100,
        };
        for id in 1..=3 {
            bench.boot(id, &state);
        }
        bench.all_hear_all();
        bench.run(5_000);
        bench
    }

    fn boot(&mut self, id: u16, state: &Replicated) {
        let node = NodeId(id);
        let config = Config {
            node,
            boot: BootId(1),
            name: format!("n{id}"),
            cluster: "test".to_owned(),
            consensus: haven_consensus::Config::new(node),
            facts: haven_policy::AgentFacts::default(),
            verification: crm::Facts::default(),
            seed: u64::from(id),
        };
        let ids = state.members.keys().copied();
        let recovered = Recovered::founding(ids, state.encode());
        let now = self.clock().now;
        let controller = Controller::new(config, recovered, Vec::new(), None, now).unwrap();
        self.nodes.insert(node, controller);
        self.step(id, Input::Tick);
    }

    fn clock(&self) -> Clock {
        let now = Instant::from_nanos(self.now * 1_000_000);
        let seconds = 1_000 + i64::try_from(self.now / 1_000).unwrap();
        Clock { now, wall: WallTime::from_seconds(seconds) }
    }

    fn ids(&self) -> Vec<u16> {
        self.nodes.keys().map(|node| node.0).collect()
    }

    fn all_hear_all(&mut self) {
        let members: BTreeSet<NodeId> = self.nodes.keys().copied().collect();
        for id in self.ids() {
            for node in members.iter().copied().filter(|node| node.0 != id) {
                self.beat(id, Beat::Alive { node, boot: BootId(1) });
            }
            self.beat(id, Beat::View(View { number: 1, members: members.clone() }));
        }
    }

    fn beat(&mut self, id: u16, report: Beat) {
        self.step(id, Input::Heartbeat(report));
    }

    fn step(&mut self, id: u16, input: Input) {
        let clock = self.clock();
        let Some(controller) = self.nodes.get_mut(&NodeId(id)) else { return };
        for output in controller.step(clock, input) {
            self.perform(id, output);
        }
    }

    fn perform(&mut self, id: u16, output: Output) {
        let node = NodeId(id);
        match output {
            Output::Send { to, bytes, .. } => self.flying.push_back((node, to, bytes)),
            Output::Persist { token, .. } => self.step(id, Input::Persisted(token)),
            Output::RunAgent { run, operation, .. } => {
                let key = operation.key();
                let probe = operation.interval.is_zero() && operation.action == "monitor";
                let code = self.codes.get(&(id, key.clone())).copied();
                let code = OcfCode(code.unwrap_or(if probe { 7 } else { 0 }));
                self.calls.push((self.now, id, key));
                self.step(id, Input::AgentFinished { run, outcome: Outcome::done(code, "") });
            }
            Output::Heartbeat(input) => self.lease(id, &input),
            Output::Reply { id, body, .. } => self.answers.entry(id).or_default().push(*body),
            Output::Admitted { result, .. } => self.joins.push(result),
            Output::KeyOutdated => self.outdated += 1,
            Output::Event(event) => self.events.push((id, event.code, event.text)),
            _ => {}
        }
    }

    /// One holder at a time, the highest epoch first.
    fn lease(&mut self, id: u16, input: &ToBeat) {
        match *input {
            ToBeat::Claim { group, epoch } => {
                self.claims.insert((group, NodeId(id)), epoch);
            }
            ToBeat::Release { group } => {
                self.claims.remove(&(group, NodeId(id)));
                self.leases.retain(|held, (holder, _)| *held != group || holder.0 != id);
                let epoch = Epoch(0);
                self.beat(id, Beat::Released { group, epoch });
            }
            _ => return,
        }
        self.settle_leases();
    }

    fn settle_leases(&mut self) {
        let until = self.clock().now + Duration::from_secs(1);
        for ((group, node), epoch) in self.claims.clone() {
            if !self.leases.contains_key(&group) && self.nodes.contains_key(&node) {
                self.leases.insert(group, (node, epoch));
                self.beat(node.0, Beat::LeaseGained { group, epoch, until });
            }
        }
    }

    fn run(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.now < until {
            self.now += 5;
            for (from, to, bytes) in std::mem::take(&mut self.flying) {
                if self.nodes.contains_key(&from) {
                    self.step(to.0, Input::Peer { from, boot: BootId(1), bytes });
                }
            }
            for id in self.ids() {
                let due = self.nodes[&NodeId(id)].deadline();
                if due.is_some_and(|due| due <= self.clock().now) {
                    self.step(id, Input::Tick);
                }
            }
        }
    }

    fn coordinator(&self) -> u16 {
        let leads = |controller: &&Controller| controller.coordinator.is_some();
        let mut leading = self.nodes.values().filter(leads).map(|c| c.config.node.0);
        let found = leading.next().unwrap();
        assert_eq!(leading.next(), None, "two coordinators");
        found
    }

    /// Its process is gone; nobody has noticed.
    fn kill(&mut self, id: u16) {
        self.nodes.remove(&NodeId(id));
    }

    /// The others agree that it is, and its leases have ended.
    fn notice(&mut self, id: u16) {
        let (node, boot) = (NodeId(id), BootId(1));
        self.leases.retain(|_, (holder, _)| *holder != node);
        self.claims.retain(|(_, claimant), _| *claimant != node);
        let members: BTreeSet<NodeId> = self.nodes.keys().copied().collect();
        let successor = members.first().copied();
        for other in self.ids() {
            self.beat(other, Beat::Dead { node, boot, successor });
            self.beat(other, Beat::View(View { number: 2, members: members.clone() }));
        }
        self.settle_leases();
    }

    fn ask(&mut self, id: u16, body: RequestBody) -> u64 {
        self.next += 1;
        let request = self.next;
        self.step(id, Input::Request { id: request, author: "uid 0".to_owned(), body });
        request
    }

    /// The one answer to a request.
    fn answer(&mut self, id: u16, body: RequestBody) -> Answer {
        let request = self.ask(id, body);
        self.run(2_000);
        let mut answers = self.answers.remove(&request).unwrap_or_default();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }

    fn load(&mut self, id: u16, text: &str, force: bool) -> Answer {
        let (text, format, mode) = (text.to_owned(), Format::Crm, LoadMode::Update);
        self.answer(id, RequestBody::ConfigureLoad { text, format, mode, expected: None, force })
    }

    /// Where and how often an operation was called.
    fn called(&self, key: &str) -> Vec<u16> {
        self.calls.iter().filter(|(_, _, called)| called == key).map(|(_, id, _)| *id).collect()
    }

    fn owner(&self) -> u16 {
        *self.called("vip_start_0").last().unwrap()
    }

    fn grant(&self) -> (Epoch, Option<NodeId>) {
        let any = self.nodes.values().next().unwrap();
        let grant = any.state().grants["vip"];
        (grant.epoch, grant.holder)
    }
}

fn code(answer: &Answer) -> Code {
    answer.as_ref().unwrap_err().code
}

fn moved(resource: &str, node: u16, wait: bool) -> RequestBody {
    let (resource, node) = (resource.to_owned(), Some(format!("n{node}")));
    RequestBody::ResourceMove { resource, node, wait, timeout_ms: Some(5_000) }
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
    let bytes = PeerMessage::Order(Box::new(order)).encode();
    bench.step(target, Input::Peer { from, boot: BootId(1), bytes });
    let answered = bench.flying.iter().any(|(_, to, bytes)| {
        *to == from && matches!(PeerMessage::decode(bytes), Some(PeerMessage::Refused { .. }))
    });
    assert!(answered, "it is told");
    bench.run(1_000);
    assert_eq!(bench.called("vip_stop_0"), [] as [u16; 0], "spec: L7");
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
        author: "nobody".to_owned(),
        message: String::new(),
        at: WallTime::from_seconds(1),
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
    let body = |n| RequestBody::ConfigureLoad {
        text: text(n),
        format: Format::Crm,
        mode: LoadMode::Update,
        expected: None,
        force: false,
    };
    let (first, second) = (bench.ask(coordinator, body(1)), bench.ask(coordinator, body(2)));
    bench.run(1_000);
    assert!(bench.answers[&first][0].is_ok(), "{:?}", bench.answers[&first]);
    assert_eq!(code(&bench.answers[&second][0]), Code::StaleWrite);
    let expected = haven_api::Version { admin_epoch: 0, epoch: 99, num_updates: 0 };
    let stale = RequestBody::ConfigureLoad {
        text: text(3),
        format: Format::Crm,
        mode: LoadMode::Update,
        expected: Some(expected),
        force: false,
    };
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
fn members_are_removed_only_where_it_hurts_nobody_unless_forced() {
    let mut bench = Bench::new(VIP);
    let (coordinator, owner) = (bench.coordinator(), bench.owner());
    let remove =
        |node: u16, force| RequestBody::ClusterRemoveNode { node: format!("n{node}"), force };
    assert_eq!(code(&bench.answer(coordinator, remove(owner, false))), Code::Unsafe);
    let idle = bench.ids().into_iter().find(|id| *id != owner && *id != coordinator).unwrap();
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
        bench.step(coordinator, Input::MintToken { request: 1, token, expires });
    }
    bench.run(500);
    bench.step(coordinator, Input::Admit { request: 1, member: member(4), token: [7; 32] });
    assert_eq!(bench.joins, [Err(JoinRefusal::ExpiredToken)]);
    bench.step(coordinator, Input::Admit { request: 2, member: member(4), token: [8; 32] });
    bench.run(500);
    let joined = bench.joins.last().unwrap();
    assert_eq!(joined.as_ref().map(|member| member.id), Ok(NodeId(4)));
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
