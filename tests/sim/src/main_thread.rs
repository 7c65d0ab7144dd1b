//! The main thread of one process: controller and express machine, wired as the daemon wires them.
//! Pure: whatever it wants done is an effect, carried out by the world.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use haven_api::{ApiError, ReplyBody, RequestBody};
use haven_base::Instant;
use haven_consensus::{Batch, PersistToken};
use haven_controller::{
    Clock, Controller, Guarded, Input, JoinRefusal, Member, Output, PeerMessage,
};
use haven_executor::RunId;
use haven_heartbeat::Output as Beat;
use haven_messaging::Class;
use haven_messaging::express::{self, Express};
use haven_types::operation::{AgentName, Operation, Outcome};
use haven_types::{BootId, LinkId, NodeId};

use crate::beat::{News, Order};

/// As in the daemon.
const ORDERED: Class = Class::Ordered(1);
const STALE: Duration = Duration::from_secs(1);
const LEAVE_PATIENCE: Duration = Duration::from_secs(20);
const RESTART_PATIENCE: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(1);

/// What happens to the main thread besides news.
#[derive(Debug)]
pub(crate) enum Happening {
    Agent(RunId, Outcome),
    Persisted(PersistToken),
    PersistFailed,
    Frame { from: NodeId, boot: BootId, bytes: Vec<u8> },
    Connected(NodeId),
    Asked { id: u64, body: RequestBody },
    Mint { id: u64, token: [u8; 32] },
    Admit { id: u64, member: Member, token: [u8; 32] },
    Terminate,
}

/// What the main thread wants done.
#[derive(Debug)]
pub(crate) enum Effect {
    Beat(Order),
    Persist { token: PersistToken, batch: Box<Batch> },
    RunAgent { run: RunId, operation: Operation },
    AbortAgent(RunId),
    Stream { to: NodeId, bytes: Vec<u8> },
    Reply { id: u64, body: Result<ReplyBody, ApiError> },
    Minted { id: u64, ok: bool },
    Admitted { id: u64, result: Result<Member, JoinRefusal> },
    Event(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Serving,
    Leaving(Instant),
    Restarting(Instant),
    Stopped,
    Replaced,
}

#[derive(Debug)]
pub(crate) struct MainThread {
    node: NodeId,
    pub(crate) controller: Controller,
    express: Express,
    pub(crate) members: BTreeMap<NodeId, Member>,
    runs: BTreeSet<RunId>,
    guarded: Guarded,
    pub(crate) news: VecDeque<News>,
    pub(crate) happenings: VecDeque<Happening>,
    pub(crate) phase: Phase,
    restart_ready: bool,
    /// Messages longer than this travel by the connection.
    large: usize,
    /// A mutant: see [`MainThread::renewed`].
    pub(crate) renews_orders: bool,
    /// A mutant: what is not configured any more is not guarded.
    pub(crate) forgets_leftovers: bool,
    /// A mutant: a planned restart does not wait for long leases.
    pub(crate) restarts_hastily: bool,
    out: Vec<Effect>,
    /// Every input of the controller with its outputs, for those who watch.
    pub(crate) seen: Vec<(Input, Vec<Output>)>,
    pub(crate) runs_at: Option<u64>,
    pub(crate) stopped_until: u64,
}

impl MainThread {
    pub(crate) fn new(
        node: NodeId,
        boot: BootId,
        controller: Controller,
        links: Vec<LinkId>,
        large: usize,
    ) -> Self {
        Self {
            node,
            controller,
            express: Express::new(boot, links),
            members: BTreeMap::new(),
            runs: BTreeSet::new(),
            guarded: Guarded::default(),
            news: VecDeque::new(),
            happenings: VecDeque::new(),
            phase: Phase::Serving,
            restart_ready: false,
            large,
            renews_orders: false,
            forgets_leftovers: false,
            restarts_hastily: false,
            out: Vec::new(),
            seen: Vec::new(),
            runs_at: None,
            stopped_until: 0,
        }
    }

    /// What the start left to do once the agents have cleaned up.
    pub(crate) fn begin(&mut self, clock: Clock, rest: Vec<Output>) -> Vec<Effect> {
        self.refresh_entries();
        for output in rest {
            self.perform(clock, output);
        }
        self.step(clock, Input::Tick);
        std::mem::take(&mut self.out)
    }

    /// One round of the loop: one thing that happened, then all news, then what is due.
    pub(crate) fn round(&mut self, clock: Clock) -> Vec<Effect> {
        if let Some(news) = self.news.pop_front() {
            self.on_news(clock, news);
        } else if let Some(happening) = self.happenings.pop_front() {
            self.on_happening(clock, happening);
        }
        self.on_time(clock);
        std::mem::take(&mut self.out)
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.news.is_empty() || !self.happenings.is_empty()
    }

    pub(crate) fn due(&self, now: Instant) -> Instant {
        let phase = match self.phase {
            Phase::Leaving(until) | Phase::Restarting(until) => Some(until),
            Phase::Serving | Phase::Stopped | Phase::Replaced => None,
        };
        let due = [self.controller.deadline(), self.express.deadline(), phase];
        due.into_iter().flatten().min().unwrap_or(now + IDLE).min(now + IDLE)
    }

    fn on_time(&mut self, clock: Clock) {
        while !self.has_ended()
            && let Some(news) = self.news.pop_front()
        {
            self.on_news(clock, news);
        }
        if self.has_ended() {
            return;
        }
        if self.express.deadline().is_some_and(|at| at <= clock.now) {
            self.step_express(clock, express::Input::Tick);
        }
        if self.controller.deadline().is_some_and(|at| at <= clock.now) {
            self.step(clock, Input::Tick);
        }
        if std::mem::take(&mut self.restart_ready) {
            self.on_restart_ready();
        }
        match self.phase {
            Phase::Leaving(until)
                if until <= clock.now || self.controller.started().count() == 0 =>
            {
                self.stop();
            }
            Phase::Restarting(until) if until <= clock.now => {
                self.out.push(machine(haven_heartbeat::Input::Resume));
                self.phase = Phase::Serving;
                self.restart_ready = false;
            }
            _ => {}
        }
    }

    /// What is under way to each member, for whoever reads the trace.
    pub(crate) fn under_way(&self) -> express::Status {
        self.express.status()
    }

    pub(crate) const fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Stopped | Phase::Replaced)
    }

    fn stop(&mut self) {
        if !self.has_ended() {
            self.phase = Phase::Stopped;
            self.out.push(Effect::Beat(Order::Stop));
        }
    }

    fn on_news(&mut self, clock: Clock, news: News) {
        match news {
            News::Machine(output) => self.on_heartbeat(clock, output),
            News::Express { from, boot, link, bytes } => {
                self.step_express(clock, express::Input::Received { from, boot, link, bytes });
            }
            News::Heard { from, boot } => {
                self.step_express(clock, express::Input::Heard { from, boot });
            }
        }
    }

    fn on_heartbeat(&mut self, clock: Clock, output: Beat) {
        match &output {
            Beat::Link { peer, link, up } => {
                let (peer, link, up) = (*peer, *link, *up);
                self.step_express(clock, express::Input::LinkState { peer, link, up });
            }
            Beat::RestartReady { .. } => {
                self.on_restart_ready();
                return;
            }
            _ => {}
        }
        self.step(clock, Input::Heartbeat(output));
    }

    fn on_happening(&mut self, clock: Clock, happening: Happening) {
        match happening {
            Happening::Agent(run, outcome) => {
                if self.runs.remove(&run) || outcome.code.0 != 0 {
                    self.step(clock, Input::AgentFinished { run, outcome });
                }
            }
            Happening::Persisted(token) => self.step(clock, Input::Persisted(token)),
            Happening::PersistFailed => {
                let reason = "the disk is broken".to_owned();
                self.step(clock, Input::PersistFailed { reason });
            }
            Happening::Frame { from, boot, bytes } => {
                if self.members.contains_key(&from) {
                    self.step(clock, Input::Peer { from, boot, bytes });
                }
            }
            // What was too large for a datagram was lost while there was no connection.
            Happening::Connected(peer) => {
                if self.members.contains_key(&peer) {
                    self.step(clock, Input::PeerReset(peer));
                }
            }
            Happening::Asked { body: RequestBody::PlanRestart, .. } => {
                if self.phase == Phase::Serving {
                    self.phase = Phase::Restarting(clock.now + RESTART_PATIENCE);
                    self.out.push(machine(haven_heartbeat::Input::PlanRestart));
                    self.restart_ready = self.restarts_hastily;
                }
            }
            Happening::Asked { id, body } => {
                self.step(clock, Input::Request { id, author: "operator".to_owned(), body });
            }
            Happening::Mint { id, token } => {
                let expires = haven_base::WallTime::from_seconds(clock.wall.seconds + 86_400);
                self.step(clock, Input::MintToken { request: id, token, expires });
            }
            Happening::Admit { id, member, token } => {
                self.step(clock, Input::Admit { request: id, member, token });
            }
            Happening::Terminate => {
                if self.phase == Phase::Serving {
                    self.phase = Phase::Leaving(clock.now + LEAVE_PATIENCE);
                    self.step(clock, Input::Shutdown);
                } else {
                    self.stop();
                }
            }
        }
    }

    fn on_restart_ready(&mut self) {
        let Phase::Restarting(_) = self.phase else { return };
        if self.controller.busy() {
            self.restart_ready = true;
            return;
        }
        self.phase = Phase::Replaced;
        self.out.push(Effect::Beat(Order::HandOver));
    }

    /// Feeds one input to the controller and carries out all that follows.
    fn step(&mut self, clock: Clock, input: Input) {
        let taken = if self.renews_orders { self.renewed(&input) } else { input.clone() };
        let outputs = self.controller.step(clock, taken);
        self.seen.push((input, outputs.clone()));
        self.refresh_entries();
        for output in outputs {
            self.perform(clock, output);
        }
    }

    /// A mutant: an order of a lower term looks like one of the present term.
    fn renewed(&self, input: &Input) -> Input {
        let Input::Peer { from, boot, bytes } = input else { return input.clone() };
        match PeerMessage::decode(bytes) {
            Some(PeerMessage::Order { boot: to, mut order }) => {
                order.id.term = order.id.term.max(self.controller.consensus_status().term);
                let bytes = PeerMessage::Order { boot: to, order }.encode();
                Input::Peer { from: *from, boot: *boot, bytes }
            }
            _ => input.clone(),
        }
    }

    fn perform(&mut self, clock: Clock, output: Output) {
        match output {
            Output::Heartbeat(input) => self.out.push(Effect::Beat(Order::Machine(input))),
            Output::Send { to, bytes, ordered } => self.send(clock, to, bytes, ordered),
            Output::Persist { token, batch } => self.out.push(Effect::Persist { token, batch }),
            Output::RunAgent { run, operation, .. } => {
                self.runs.insert(run);
                self.out.push(Effect::RunAgent { run, operation });
            }
            Output::AbortAgent(run) => {
                self.runs.remove(&run);
                self.out.push(Effect::AbortAgent(run));
            }
            Output::Reply { more: true, .. } => {}
            Output::Reply { id, body, .. } => self.out.push(Effect::Reply { id, body: *body }),
            Output::Members(members) => self.set_members(clock, members),
            Output::Admitted { request, result } => {
                self.out.push(Effect::Admitted { id: request, result });
            }
            Output::TokenMinted { request, result } => {
                self.out.push(Effect::Minted { id: request, ok: result.is_ok() });
            }
            Output::Event(event) => {
                self.out.push(Effect::Event(format!("{} {}", event.code, event.text)));
            }
            Output::Removed => self.stop(),
            // What is told to agents and about keys changes nothing that is simulated here.
            _ => {}
        }
    }

    fn send(&mut self, clock: Clock, to: NodeId, bytes: Vec<u8>, ordered: bool) {
        if bytes.len() > self.large {
            if self.members.contains_key(&to) {
                self.out.push(Effect::Stream { to, bytes });
            }
            return;
        }
        let class = if ordered { ORDERED } else { Class::Unordered };
        let expires = (!ordered).then(|| clock.now + STALE);
        self.step_express(clock, express::Input::Send { to, class, bytes, expires });
    }

    fn step_express(&mut self, clock: Clock, input: express::Input) {
        for output in self.express.step(clock.now, input) {
            match output {
                express::Output::Transmit { to, link, bytes } => {
                    self.out.push(Effect::Beat(Order::Transmit { to, link, bytes }));
                }
                express::Output::Delivered { from, boot, bytes, .. } => {
                    self.step(clock, Input::Peer { from, boot, bytes });
                }
                express::Output::PeerReset { peer, .. } => {
                    self.step(clock, Input::PeerReset(peer));
                }
                express::Output::Overflow { to, length, .. } => {
                    let text = format!("{length} bytes to node {to} were not sent");
                    self.out.push(Effect::Event(text));
                }
                express::Output::Expired { .. } => {}
            }
        }
    }

    fn set_members(&mut self, clock: Clock, members: BTreeMap<NodeId, Member>) {
        let gone: Vec<NodeId> =
            self.members.keys().filter(|node| !members.contains_key(node)).copied().collect();
        self.members = members;
        for peer in gone {
            self.step_express(clock, express::Input::PeerGone { peer });
        }
        let others = self.members.keys().copied().filter(|node| *node != self.node).collect();
        self.out.push(Effect::Beat(Order::Peers(others)));
    }

    /// Which addresses stand under the gate.
    fn refresh_entries(&mut self) {
        let addresses = |_: &AgentName, params: &BTreeMap<String, String>| -> Vec<IpAddr> {
            address(params).into_iter().collect()
        };
        let Some(guarded) = self.guarded.refresh(&self.controller, addresses) else { return };
        let mut entries = guarded.clone();
        if self.forgets_leftovers {
            let state = self.controller.state();
            let text = haven_cib::crm::show(&state.cib);
            entries.retain(|address, _| text.contains(&format!("ip={address} ")));
        }
        self.out.push(Effect::Beat(Order::Entries(entries)));
    }
}

fn machine(input: haven_heartbeat::Input) -> Effect {
    Effect::Beat(Order::Machine(Box::new(input)))
}

/// The address a resource of the simulated agent stands for.
pub(crate) fn address(params: &BTreeMap<String, String>) -> Option<IpAddr> {
    params.get("ip")?.parse().ok()
}
