//! For tests: three controllers with each other, over a network, disks, agents and leases that never
//! fail by themselves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use haven_api::{ApiError, Format, Load, LoadMode, ReplyBody, RequestBody};
use haven_base::{Instant, WallTime};
use haven_cib::crm;
use haven_consensus::Recovered;
use haven_executor::RunId;
use haven_heartbeat::{Input as ToBeat, Output as Beat, View};
use haven_types::operation::{OcfCode, Outcome};
use haven_types::{BootId, Epoch, GroupId, NodeId};

use crate::command::{Command, JoinRefusal, Member, Role, TokenRefusal};
use crate::controller::{Config, Controller};
use crate::port::{Clock, Input, Local, Output};
use crate::replicated::Replicated;

pub(crate) const VIP: &str =
    "primitive vip ocf:haven:ip params ip=192.0.2.10 nic=eth0 op monitor interval=10s";

pub(crate) fn member(id: u16) -> Member {
    Member {
        id: NodeId(id),
        name: format!("n{id}"),
        role: Role::Full,
        links: Vec::new(),
        channel: format!("192.0.2.{id}:5406").parse().unwrap(),
        key: [u8::try_from(id).unwrap(); 32],
    }
}

pub(crate) type Answer = Result<ReplyBody, ApiError>;

pub(crate) struct Bench {
    pub(crate) now: u64,
    pub(crate) nodes: BTreeMap<NodeId, Controller>,
    pub(crate) flying: VecDeque<(NodeId, NodeId, Vec<u8>)>,
    /// Whom each node talks to; what others send it is dropped.
    pub(crate) contacts: BTreeMap<NodeId, BTreeMap<NodeId, Member>>,
    /// Who holds each lease, and who claims it besides.
    pub(crate) leases: BTreeMap<GroupId, (NodeId, Epoch)>,
    pub(crate) claims: BTreeMap<(GroupId, NodeId), Epoch>,
    /// Who has no room for one more lease.
    pub(crate) full: Option<NodeId>,
    /// Agents' calls: when, where, what.
    pub(crate) calls: Vec<(u64, u16, String)>,
    /// Parameters of which a change asks for a restart, where the agents can reload.
    pub(crate) restarting: Option<Vec<String>>,
    /// Operations that are never answered, and where and by which number they were called.
    pub(crate) hanging: BTreeSet<String>,
    pub(crate) hung: Vec<(u16, RunId)>,
    /// Answers other than success, by node and operation.
    pub(crate) codes: BTreeMap<(u16, String), i32>,
    pub(crate) answers: BTreeMap<u64, Vec<Answer>>,
    pub(crate) joins: Vec<Result<Member, JoinRefusal>>,
    pub(crate) minted: Vec<Result<(), TokenRefusal>>,
    pub(crate) outdated: u32,
    pub(crate) events: Vec<(u16, String, String)>,
    pub(crate) next: u64,
    /// What nodes are told next, and whether one is being told something.
    inbox: VecDeque<(u16, Input)>,
    stepping: bool,
}

impl Bench {
    pub(crate) fn new(lines: &str) -> Self {
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
            contacts: BTreeMap::new(),
            leases: BTreeMap::new(),
            claims: BTreeMap::new(),
            full: None,
            calls: Vec::new(),
            restarting: None,
            hanging: BTreeSet::new(),
            hung: Vec::new(),
            codes: BTreeMap::new(),
            answers: BTreeMap::new(),
            joins: Vec::new(),
            minted: Vec::new(),
            outdated: 0,
            events: Vec::new(),
            next: 100,
            inbox: VecDeque::new(),
            stepping: false,
        };
        for id in 1..=3 {
            bench.boot(id, &state);
        }
        bench.all_hear_all();
        bench.run(5_000);
        bench
    }

    pub(crate) fn boot(&mut self, id: u16, state: &Replicated) {
        let ids = state.members.keys().copied();
        self.boot_from(id, Recovered::founding(ids, state.encode()), Vec::new());
    }

    /// Starts a node over what its disk holds; one that has just joined knows the members by `known`.
    pub(crate) fn boot_from(&mut self, id: u16, recovered: Recovered, known: Vec<Member>) {
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
        let now = self.clock().now;
        let controller = Controller::new(config, recovered, known, None, now).unwrap();
        self.nodes.insert(node, controller);
        self.step(id, Input::Tick);
    }

    pub(crate) fn clock(&self) -> Clock {
        let now = Instant::from_nanos(self.now * 1_000_000);
        let seconds = 1_000 + i64::try_from(self.now / 1_000).unwrap();
        Clock { now, wall: WallTime::from_seconds(seconds) }
    }

    pub(crate) fn ids(&self) -> Vec<u16> {
        self.nodes.keys().map(|node| node.0).collect()
    }

    pub(crate) fn all_hear_all(&mut self) {
        let members: BTreeSet<NodeId> = self.nodes.keys().copied().collect();
        for id in self.ids() {
            for node in members.iter().copied().filter(|node| node.0 != id) {
                self.beat(id, Beat::Alive { node, boot: BootId(1) });
            }
            self.beat(id, Beat::View(View { number: 1, members: members.clone() }));
        }
    }

    pub(crate) fn beat(&mut self, id: u16, report: Beat) {
        self.step(id, Input::Heartbeat(report));
    }

    /// Tells a node something, and all that follows at once, however long that goes on.
    pub(crate) fn step(&mut self, id: u16, input: Input) {
        self.inbox.push_back((id, input));
        // What is performed comes back here, and waits until the rest of its step is performed.
        if std::mem::replace(&mut self.stepping, true) {
            return;
        }
        let clock = self.clock();
        while let Some((id, input)) = self.inbox.pop_front() {
            let Some(controller) = self.nodes.get_mut(&NodeId(id)) else { continue };
            for output in controller.step(clock, input) {
                self.perform(id, output);
            }
        }
        self.stepping = false;
    }

    pub(crate) fn perform(&mut self, id: u16, output: Output) {
        let node = NodeId(id);
        match output {
            Output::Send { to, bytes, .. } => {
                let known = self.contacts.get(&node).is_none_or(|known| known.contains_key(&to));
                self.flying.extend(known.then_some((node, to, bytes)));
            }
            Output::Persist { token, .. } => self.step(id, Input::Local(Local::Persisted(token))),
            Output::RunAgent { run, operation, .. } => {
                let key = operation.key();
                let probe = operation.interval.is_zero() && operation.action == "monitor";
                let code = self.codes.get(&(id, key.clone())).copied();
                let code = OcfCode(code.unwrap_or(if probe { 7 } else { 0 }));
                self.calls.push((self.now, id, key.clone()));
                if self.hanging.contains(&key) {
                    self.hung.push((id, run));
                    return;
                }
                let starts = matches!(operation.action.as_str(), "start" | "reload-agent");
                if let Some(parameters) = self.restarting.clone().filter(|_| starts && code.0 == 0)
                {
                    self.step(id, Input::Restarting { run, parameters });
                }
                self.step(id, Input::AgentFinished { run, outcome: Outcome::done(code, "") });
            }
            Output::Heartbeat(input) => self.lease(id, &input),
            Output::Reply { id, more: false, body } => {
                self.answers.entry(id).or_default().push(*body)
            }
            Output::Admitted { result, .. } => self.joins.push(result),
            Output::TokenMinted { result, .. } => self.minted.push(result),
            Output::Members(members) => {
                self.contacts.insert(node, members);
            }
            Output::KeyOutdated => self.outdated += 1,
            Output::Event(event) => self.events.push((id, event.code, event.text)),
            _ => {}
        }
    }

    /// One holder at a time, the highest epoch first.
    pub(crate) fn lease(&mut self, id: u16, input: &ToBeat) {
        match *input {
            ToBeat::Claim { group, .. } if self.full == Some(NodeId(id)) => {
                self.beat(id, Beat::TooManyClaims { group });
            }
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

    pub(crate) fn settle_leases(&mut self) {
        let until = self.clock().now + Duration::from_secs(1);
        for ((group, node), epoch) in self.claims.clone() {
            if !self.leases.contains_key(&group) && self.nodes.contains_key(&node) {
                self.leases.insert(group, (node, epoch));
                self.beat(node.0, Beat::LeaseGained { group, epoch, until });
            }
        }
    }

    pub(crate) fn run(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.now < until {
            self.now += 5;
            for (from, to, bytes) in std::mem::take(&mut self.flying) {
                // What is on its way arrives, whomever its sender talks to by then.
                let passes = self.nodes.contains_key(&to) && self.contacts[&to].contains_key(&from);
                if passes && self.nodes.contains_key(&from) {
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

    pub(crate) fn coordinator(&self) -> u16 {
        let leads = |controller: &&Controller| controller.coordinator.is_some();
        let mut leading = self.nodes.values().filter(leads).map(|c| c.config.node.0);
        let found = leading.next().unwrap();
        assert_eq!(leading.next(), None, "two coordinators");
        found
    }

    /// A fourth member joins with a new token; its daemon is not started.
    pub(crate) fn join_fourth(&mut self) {
        let at = self.coordinator();
        let (token, expires) = ([9; 32], WallTime::from_seconds(90_000));
        self.step(at, Input::Local(Local::MintToken { request: 1, token, expires }));
        self.run(500);
        self.step(at, Input::Local(Local::Admit { request: 2, member: member(4), token }));
        self.run(500);
    }

    /// This member is a witness, and was always.
    pub(crate) fn be_witness(&mut self, id: u16) {
        for controller in self.nodes.values_mut() {
            let member = controller.state.members.get_mut(&NodeId(id));
            member.unwrap().role = Role::Witness;
            let name = format!("n{id}");
            controller.state.cib.nodes.retain(|node| node.uname != name);
        }
    }

    /// The third member is a witness.
    pub(crate) fn witness_beside(&mut self, others: [u16; 2]) {
        let third = self.ids().into_iter().find(|id| !others.contains(id)).unwrap();
        self.be_witness(third);
    }

    /// Its process is gone; nobody has noticed.
    pub(crate) fn kill(&mut self, id: u16) {
        self.nodes.remove(&NodeId(id));
    }

    /// The others agree that it is, and its leases have ended.
    pub(crate) fn notice(&mut self, id: u16) {
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

    pub(crate) fn ask(&mut self, id: u16, body: RequestBody) -> u64 {
        self.next += 1;
        let request = self.next;
        self.step(
            id,
            Input::Local(Local::Request { id: request, author: "uid 0".to_owned(), body }),
        );
        request
    }

    /// The one answer to a request.
    pub(crate) fn answer(&mut self, id: u16, body: RequestBody) -> Answer {
        let request = self.ask(id, body);
        self.run(2_000);
        let mut answers = self.answers.remove(&request).unwrap_or_default();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }

    pub(crate) fn load(&mut self, id: u16, text: &str, force: bool) -> Answer {
        let (text, format, mode) = (text.to_owned(), Format::Crm, LoadMode::Update);
        self.answer(
            id,
            RequestBody::ConfigureLoad(Load { text, format, mode, force, ..Load::default() }),
        )
    }

    /// Where and how often an operation was called.
    pub(crate) fn called(&self, key: &str) -> Vec<u16> {
        self.calls.iter().filter(|(_, _, called)| called == key).map(|(_, id, _)| *id).collect()
    }

    pub(crate) fn owner(&self) -> u16 {
        *self.called("vip_start_0").last().unwrap()
    }

    pub(crate) fn grant(&self) -> (Epoch, Option<NodeId>) {
        let any = self.nodes.values().next().unwrap();
        let grant = any.state().grants["vip"];
        (grant.epoch, grant.holder)
    }
}
