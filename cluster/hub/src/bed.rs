//! For tests: one hub over a controller that may be made to say something, in a world that answers at
//! once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use haven_base::{Instant, WallTime};
use haven_cib::crm;
use haven_consensus::Recovered;
use haven_controller::{AgentSaid, Clock, Command, Controller, HandOver, Input, Local};
use haven_controller::{Member, Output, Replicated, Role};
use haven_executor::RunId;
use haven_heartbeat::{Input as ToBeat, Output as Beat, View};
use haven_types::operation::{AgentName, OcfCode, Outcome};
use haven_types::{BootId, LinkId, NodeId};

use crate::hub::{Config, Core, Hub};
use crate::port::{Effect, Happening};

pub(crate) const VIP: &str = "primitive vip ocf:haven:ip params ip=192.0.2.10";
/// Messages of more bytes are large.
pub(crate) const LARGE: usize = 500;

/// A controller with a record of what it was told. Once it is given something to say, it says that
/// instead of what follows from the next input.
#[derive(Debug)]
pub(crate) struct Told {
    controller: Controller,
    pub(crate) told: Vec<Input>,
    says: Option<Vec<Output>>,
}

impl Core for Told {
    fn step(&mut self, clock: Clock, input: Input) -> Vec<Output> {
        self.told.push(input.clone());
        self.says.take().unwrap_or_else(|| self.controller.step(clock, input))
    }

    fn step_agents(&mut self, clock: Clock, said: Vec<AgentSaid>) -> Vec<Output> {
        self.controller.step_agents(clock, said)
    }

    fn controller(&self) -> &Controller {
        &self.controller
    }
}

pub(crate) struct Bed {
    pub(crate) hub: Hub<Told>,
    pub(crate) now: Duration,
    /// Effects that nothing answers, since the last look.
    pub(crate) seen: Vec<Effect>,
    /// Agents do not answer, and these calls wait.
    pub(crate) hangs: bool,
    pub(crate) hung: Vec<RunId>,
}

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

pub(crate) fn members(ids: &[u16]) -> BTreeMap<NodeId, Member> {
    ids.iter().map(|id| (NodeId(*id), member(*id))).collect()
}

/// That of node 1, over a log of a cluster of these, with these lines configured.
pub(crate) fn controller(ids: &[u16], lines: &str, left: Option<HandOver>) -> Controller {
    let mut state = Replicated::founded(member(ids[0]), haven_cib::Cib::default());
    for id in &ids[1..] {
        let (expires, answer) = (WallTime::from_seconds(2_000), (NodeId(1), 1));
        let token = [u8::try_from(*id).unwrap(); 32];
        state.apply(Command::MintToken { token, expires, answer });
        state.apply(Command::AddMember { member: member(*id), token, answer });
    }
    state.cib = crm::load(&state.cib, lines, crm::Mode::Update).unwrap().cib;
    let node = NodeId(1);
    let config = haven_controller::Config {
        node,
        boot: BootId(1),
        name: "n1".to_owned(),
        cluster: "test".to_owned(),
        consensus: haven_consensus::Config::new(node),
        facts: haven_policy::AgentFacts::default(),
        verification: crm::Facts::default(),
        seed: 1,
    };
    let recovered = Recovered::founding(members(ids).into_keys(), state.encode());
    Controller::new(config, recovered, vec![], left, Instant::ZERO).unwrap()
}

impl Bed {
    /// Node 1 of a cluster of these, which it has founded, with these lines configured.
    pub(crate) fn new(ids: &[u16], lines: &str) -> Self {
        let node = NodeId(1);
        let controller = controller(ids, lines, None);
        let core = Told { controller, told: Vec::new(), says: None };
        let config = Config { node, boot: BootId(1), links: vec![LinkId(0)], large: LARGE };
        let address = |_: &AgentName, params: &BTreeMap<String, String>| -> Vec<IpAddr> {
            params.get("ip").map(|ip| ip.parse().unwrap()).into_iter().collect()
        };
        let hub = Hub::new(config, core, Box::new(address));
        let now = Duration::from_secs(10);
        let mut bed = Self { hub, now, seen: Vec::new(), hangs: false, hung: Vec::new() };
        bed.hub.begin(bed.clock(), Vec::new());
        bed.seen = std::iter::from_fn(|| bed.hub.next_effect()).collect();
        bed
    }

    /// A cluster of one node that leads it and runs [`VIP`].
    pub(crate) fn running() -> Self {
        Self::running_what(VIP)
    }

    /// A cluster of one node that leads it and runs the one resource that these lines configure.
    pub(crate) fn running_what(lines: &str) -> Self {
        let mut bed = Self::new(&[1], lines);
        for effect in std::mem::take(&mut bed.seen) {
            if let Some(answer) = bed.answer(effect) {
                bed.hub.step(bed.clock(), answer);
            }
        }
        let view = View { number: 1, members: BTreeSet::from([NodeId(1)]) };
        bed.hub.step(bed.clock(), Happening::Heartbeat(Beat::View(view)));
        bed.live(8_000);
        assert_eq!(bed.hub.controller().started_count(), 1, "{:?}", bed.seen);
        bed.hub.core_mut().told.clear();
        bed.seen.clear();
        bed
    }

    pub(crate) fn clock(&self) -> Clock {
        let nanos = u64::try_from(self.now.as_nanos()).unwrap();
        let wall = WallTime::from_seconds(1_000);
        Clock { now: Instant::from_nanos(nanos), wall }
    }

    /// Tells something, and returns what follows, which nobody carries out.
    pub(crate) fn tell(&mut self, happening: Happening) -> Vec<Effect> {
        self.hub.step(self.clock(), happening);
        std::iter::from_fn(|| self.hub.next_effect()).collect()
    }

    /// Makes the controller say something, and returns what follows.
    pub(crate) fn say(&mut self, outputs: Vec<Output>) -> Vec<Effect> {
        self.hub.core_mut().says = Some(outputs);
        self.tell(Happening::Local(Local::RequestGone(0)))
    }

    /// Only the next input will have the controller say this.
    pub(crate) fn will_say(&mut self, outputs: Vec<Output>) {
        self.hub.core_mut().says = Some(outputs);
    }

    /// What the controller was told since the last look.
    pub(crate) fn told(&mut self) -> Vec<Input> {
        std::mem::take(&mut self.hub.core_mut().told)
    }

    pub(crate) fn wait(&mut self, span: Duration) -> Vec<Effect> {
        self.now += span;
        self.tell(Happening::Tick)
    }

    /// Lets milliseconds pass, in which everything asked for is done at once.
    pub(crate) fn live(&mut self, millis: u64) {
        for _ in 0..millis / 10 {
            self.now += Duration::from_millis(10);
            self.hub.step(self.clock(), Happening::Tick);
            while let Some(effect) = self.hub.next_effect() {
                if let Some(answer) = self.answer(effect) {
                    self.hub.step(self.clock(), answer);
                }
            }
        }
    }

    fn answer(&mut self, effect: Effect) -> Option<Happening> {
        let until = self.clock().now + Duration::from_millis(500);
        match effect {
            Effect::Persist { token, .. } => Some(Happening::Local(Local::Persisted(token))),
            Effect::Heartbeat(input) => match *input {
                ToBeat::Claim { group, epoch } => {
                    Some(Happening::Heartbeat(Beat::LeaseGained { group, epoch, until }))
                }
                ToBeat::Release { group } => {
                    let (epoch, _) = *self.hub.leases.get(&group)?;
                    Some(Happening::Heartbeat(Beat::Released { group, epoch }))
                }
                _ => None,
            },
            Effect::Serve { id, author, body } => {
                Some(Happening::Local(Local::Request { id, author, body }))
            }
            Effect::RunAgent { run, .. } if self.hangs => {
                self.hung.push(run);
                None
            }
            Effect::RunAgent { run, operation, .. } => {
                Some(finished(run, if operation.action == "monitor" { 7 } else { 0 }))
            }
            other => {
                self.seen.push(other);
                None
            }
        }
    }
}

pub(crate) fn finished(run: RunId, code: i32) -> Happening {
    let outcome = Outcome::done(OcfCode(code), "");
    Happening::Agents(vec![AgentSaid::Finished { run, outcome }])
}

/// A frame of a member's connection.
pub(crate) fn frame(peer: &str, bytes: &'static [u8]) -> Happening {
    Happening::Frame { peer: peer.to_owned(), boot: BootId(1), bytes: Bytes::from_static(bytes) }
}
