//! The machine: what happens, in; what is to be done, out.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{Debug, Formatter};
use std::net::IpAddr;

use haven_api::EventSeverity;
use haven_base::Instant;
use haven_controller::{AgentSaid, Clock, Controller, Guarded, Input, Member, Output};
use haven_heartbeat::Output as Beat;
use haven_messaging::express::{self, Express};
use haven_types::operation::AgentName;
use haven_types::{BootId, Epoch, GroupId, LinkId, NodeId};

use crate::ending::Phase;
use crate::port::{Effect, End, Happening};
use crate::requests::Deferred;

/// What a hub starts with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// This life of its process.
    pub boot: BootId,
    /// Its links, at least one.
    pub links: Vec<LinkId>,
    /// Messages of more bytes travel by the connection, at most [`express::MAX_MESSAGE`].
    pub large: usize,
}

/// The controller, or something around it that sees what it is told and what it says.
pub trait Core: Debug {
    /// As [`Controller::step`].
    fn step(&mut self, clock: Clock, input: Input) -> Vec<Output>;
    /// As [`Controller::step_agents`].
    fn step_agents(&mut self, clock: Clock, said: Vec<AgentSaid>) -> Vec<Output>;
    /// The controller itself.
    fn controller(&self) -> &Controller;
}

impl Core for Controller {
    fn step(&mut self, clock: Clock, input: Input) -> Vec<Output> {
        self.step(clock, input)
    }

    fn step_agents(&mut self, clock: Clock, said: Vec<AgentSaid>) -> Vec<Output> {
        self.step_agents(clock, said)
    }

    fn controller(&self) -> &Controller {
        self
    }
}

/// Tells for an agent and parameters which addresses must be silent without the resource's lease.
pub type Addresses =
    Box<dyn Fn(&AgentName, &BTreeMap<String, String>) -> Vec<IpAddr> + Send + Sync>;

/// The main thread of one life of a node; see the [crate].
pub struct Hub<C = Controller> {
    pub(crate) config: Config,
    pub(crate) core: C,
    pub(crate) express: Express,
    addresses: Addresses,
    guarded: Guarded,
    /// All of them, this node with the others.
    pub(crate) members: BTreeMap<NodeId, Member>,
    /// Ends of held leases, as last told by the heartbeat machine.
    pub(crate) leases: BTreeMap<GroupId, (Epoch, Instant)>,
    pub(crate) extend_at: Instant,
    /// Changes that wait for a coordinator, those that came first in front.
    pub(crate) deferred: VecDeque<Deferred>,
    pub(crate) phase: Phase,
    /// Long leases are held, until then, but an operation is under way still.
    pub(crate) restart_ready: Option<Option<Instant>>,
    /// Said by the controller, and not yet taken further.
    outputs: VecDeque<Output>,
    /// Decided, and not yet taken by the shell.
    effects: VecDeque<Effect>,
}

impl<C: Core> Debug for Hub<C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("config", &self.config)
            .field("phase", &self.phase)
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

impl<C: Core> Hub<C> {
    /// The main thread of a life that begins with this controller.
    ///
    /// # Panics
    /// Without a link, or when messages of more bytes than the delivery takes were not large.
    #[must_use]
    pub fn new(config: Config, core: C, addresses: Addresses) -> Self {
        assert!(config.large <= express::MAX_MESSAGE, "what is not large fits the delivery");
        Self {
            express: Express::new(config.boot, config.links.clone()),
            core,
            addresses,
            guarded: Guarded::default(),
            members: BTreeMap::new(),
            leases: BTreeMap::new(),
            extend_at: Instant::ZERO,
            deferred: VecDeque::new(),
            phase: Phase::Serving,
            restart_ready: None,
            outputs: VecDeque::new(),
            effects: VecDeque::new(),
            config,
        }
    }

    /// What the controller said before there was a hub is carried out now that its surroundings are there,
    /// and the controller looks at the time.
    pub fn begin(&mut self, clock: Clock, said: Vec<Output>) {
        self.said(clock, said);
        self.decide(clock, Input::Tick);
    }

    /// Advances by one happening. Nothing follows from what is told after the [end](Effect::End).
    pub fn step(&mut self, clock: Clock, happening: Happening) {
        if self.ended().is_some() {
            return;
        }
        match happening {
            Happening::Heartbeat(output) => self.on_heartbeat(clock, output),
            Happening::HeartbeatEnded => self.on_heartbeat_ended(),
            Happening::Packet { from, boot, link, bytes } => {
                self.hear(clock, from, express::Input::Received { from, boot, link, bytes });
            }
            Happening::Heard { from, boot } => {
                self.hear(clock, from, express::Input::Heard { from, boot });
            }
            Happening::Connected { peer } => self.on_connected(clock, &peer),
            Happening::TurnedAway { peer, as_of } => self.on_turned_away(clock, &peer, as_of),
            Happening::Frame { peer, boot, bytes } => self.on_frame(clock, &peer, boot, bytes),
            Happening::Agents(said) => {
                let outputs = self.core.step_agents(clock, said);
                self.said(clock, outputs);
            }
            Happening::Asked { id, author, body } => self.on_asked(clock, id, author, body),
            Happening::Local(local) => self.decide(clock, Input::Local(local)),
            Happening::Terminate => self.on_terminate(clock),
            Happening::Tick => self.on_tick(clock),
        }
    }

    /// The next thing to do. Each is given once, and in the order in which it was decided: what follows
    /// from something that is told in between comes behind what was decided before.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Happening::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.ended().is_some() {
            return None;
        }
        let patience = self.deferred.front().map(|deferred| deferred.until);
        let due = [
            self.controller().deadline(),
            self.express.deadline(),
            self.phase.until(),
            patience,
            Some(self.extend_at),
        ];
        due.into_iter().flatten().min()
    }

    /// The controller, for whoever wants to know what it knows.
    #[must_use]
    pub fn controller(&self) -> &Controller {
        self.core.controller()
    }

    /// What is around the controller, or the controller.
    pub const fn core_mut(&mut self) -> &mut C {
        &mut self.core
    }

    /// The members, this node with the others.
    #[must_use]
    pub const fn members(&self) -> &BTreeMap<NodeId, Member> {
        &self.members
    }

    /// What is under way to each member.
    #[must_use]
    pub fn under_way(&self) -> express::Status {
        self.express.status()
    }

    /// How many changes wait for a coordinator.
    #[must_use]
    pub fn waiting_changes(&self) -> usize {
        self.deferred.len()
    }

    /// How far the end of this life has got.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// How this life ended, once it has.
    #[must_use]
    pub const fn ended(&self) -> Option<End> {
        match self.phase {
            Phase::Ended(end) => Some(end),
            Phase::Serving | Phase::Leaving { .. } | Phase::Restarting { .. } => None,
        }
    }

    fn on_tick(&mut self, clock: Clock) {
        let due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= clock.now);
        if due(self.express.deadline()) {
            self.deliver(clock, express::Input::Tick);
        }
        if due(self.controller().deadline()) {
            self.decide(clock, Input::Tick);
        }
        self.extend(clock.now);
        self.serve_deferred(clock.now);
        self.look_at_phase(clock);
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest is for the controller alone")]
    fn on_heartbeat(&mut self, clock: Clock, output: Beat) {
        match &output {
            Beat::LeaseGained { group, epoch, until } => {
                self.leases.insert(*group, (*epoch, *until));
            }
            Beat::LeaseLost { group, .. } | Beat::Released { group, .. } => {
                self.leases.remove(group);
            }
            Beat::Link { peer, link, up } => self.on_link(clock, *peer, *link, *up),
            Beat::RestartReady { until } => return self.on_restart_ready(clock, *until),
            _ => {}
        }
        self.decide(clock, Input::Heartbeat(output));
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(crate) fn line(&mut self, severity: EventSeverity, text: String) {
        self.effect(Effect::Line { severity, text });
    }

    /// Feeds one input to the controller, and takes what it says further.
    pub(crate) fn decide(&mut self, clock: Clock, input: Input) {
        let outputs = self.core.step(clock, input);
        self.said(clock, outputs);
    }

    /// Takes further what the controller said, behind what it said before: also when it says something while
    /// that is still being taken further.
    fn said(&mut self, clock: Clock, outputs: Vec<Output>) {
        self.refresh_entries();
        self.outputs.extend(outputs);
        while let Some(output) = self.outputs.pop_front() {
            self.perform(clock, output);
        }
    }

    /// Which addresses stand under the gate, before anything else that follows from it.
    // spec: L8
    fn refresh_entries(&mut self) {
        let changed = self.guarded.refresh(self.core.controller(), &*self.addresses);
        if let Some(entries) = changed.cloned() {
            self.effect(Effect::Entries(entries));
        }
    }

    fn perform(&mut self, clock: Clock, output: Output) {
        let effect = match output {
            Output::Send { to, bytes, ordered } => return self.send(clock, to, bytes, ordered),
            Output::Members(members) => return self.set_members(clock, members),
            Output::Removed => return self.on_removed(),
            Output::Heartbeat(input) => Effect::Heartbeat(input),
            Output::Persist { token, batch } => Effect::Persist { token, batch },
            Output::RunAgent { run, operation, lease } => {
                let lease = lease.map(|lease| self.held(clock.now, lease));
                Effect::RunAgent { run, operation, lease }
            }
            Output::AbortAgent(run) => Effect::AbortAgent(run),
            Output::Notify { operation, hook } => Effect::Notify { operation, hook },
            Output::Reply { id, more, body } => Effect::Reply { id, more, body },
            Output::Admitted { request, result } => Effect::Admitted { request, result },
            Output::TokenMinted { request, result } => Effect::TokenMinted { request, result },
            Output::NewKey(notice) => Effect::NewKey(notice),
            Output::KeyAnnounced { request, result } => Effect::KeyAnnounced { request, result },
            Output::KeyOutdated => Effect::KeyOutdated,
            Output::Event(event) => Effect::Event(event),
            Output::Alert(alert) => Effect::Alert(alert),
        };
        self.effect(effect);
    }
}
