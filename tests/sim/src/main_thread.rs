//! The main thread of one process: the daemon's own machine, what reaches it one after the other, and
//! what it wants done in the world. Whoever judges looks at the controller through [`Watched`]; mutants
//! stand between the machine and the world.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use haven_api::RequestBody;
use haven_base::Instant;
use haven_controller::{AgentSaid, Clock, Controller, Grant, Input, Local, Output, PeerMessage};
use haven_heartbeat::{Input as ToBeat, LossCause, Output as Beat};
use haven_hub::{Core, Effect, End, Happening, Hub, Phase};
use haven_types::operation::AgentName;

use crate::settings::Mutant;

/// A control that is never late by more than this although nothing is due; as in the daemon.
const IDLE: Duration = Duration::from_secs(1);

/// The kind of a message of the consensus core that answers a request for a vote.
const VOTE_ANSWER: u8 = 3;

/// The controller, seen by those who judge.
#[derive(Debug)]
pub(crate) struct Watched {
    controller: Controller,
    mutant: Mutant,
    /// Every input with its outputs.
    seen: Vec<(Input, Vec<Output>)>,
}

impl Core for Watched {
    fn step(&mut self, clock: Clock, input: Input) -> Vec<Output> {
        if self.mutant == Mutant::LostAnswers && is_answer(&input) {
            return Vec::new();
        }
        let taken = match self.mutant {
            Mutant::RenewedOrders => self.renewed(&input),
            Mutant::WishfulVotes => granted(&input),
            Mutant::LapsesTaken => taken_away(&input),
            _ => input.clone(),
        };
        let mut outputs = self.controller.step(clock, taken);
        if self.mutant == Mutant::EagerHeirs {
            outputs.extend(self.inherited(&input));
        }
        self.seen.push((input, outputs.clone()));
        outputs
    }

    fn step_agents(&mut self, clock: Clock, said: Vec<AgentSaid>) -> Vec<Output> {
        self.seen.extend(said.iter().cloned().map(|said| match said {
            AgentSaid::Finished { run, outcome } => {
                (Input::AgentFinished { run, outcome }, Vec::new())
            }
            AgentSaid::Restarting { run, parameters } => {
                (Input::Restarting { run, parameters }, Vec::new())
            }
        }));
        let outputs = self.controller.step_agents(clock, said);
        if let Some((_, last)) = self.seen.last_mut() {
            last.clone_from(&outputs);
        }
        outputs
    }

    fn controller(&self) -> &Controller {
        &self.controller
    }
}

impl Watched {
    /// A mutant: the leases of a node that is silent are there to be taken.
    fn inherited(&self, input: &Input) -> Vec<Output> {
        let Input::Heartbeat(Beat::Suspect { node, .. }) = input else { return Vec::new() };
        let grants = self.controller.state().grants.values();
        let claim = |grant: &Grant| ToBeat::Claim { group: grant.group, epoch: grant.epoch };
        grants
            .filter(|grant| grant.holder == Some(*node))
            .map(|grant| Output::Heartbeat(Box::new(claim(grant))))
            .collect()
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
}

/// A mutant: an answer to a request for votes is a vote.
fn granted(input: &Input) -> Input {
    let Input::Peer { from, boot, bytes } = input else { return input.clone() };
    let Some(PeerMessage::Consensus(mut message)) = PeerMessage::decode(bytes) else {
        return input.clone();
    };
    // Its version, its term in as many bytes as have their highest bit set and one more, its kind, and what it says.
    let kind = message.iter().skip(1).position(|byte| byte & 0x80 == 0).map(|term| term + 2);
    if let Some(says) = kind.filter(|kind| message.get(*kind) == Some(&VOTE_ANSWER)) {
        message[says + 1] = 1;
    }
    let bytes = PeerMessage::Consensus(message).encode();
    Input::Peer { from: *from, boot: *boot, bytes }
}

/// A mutant: what lapsed is lost for good.
fn taken_away(input: &Input) -> Input {
    match input {
        Input::Heartbeat(Beat::LeaseLost { group, epoch, cause: LossCause::Lapsed }) => {
            let cause = LossCause::Superseded;
            Input::Heartbeat(Beat::LeaseLost { group: *group, epoch: *epoch, cause })
        }
        _ => input.clone(),
    }
}

fn is_answer(input: &Input) -> bool {
    let Input::Peer { bytes, .. } = input else { return false };
    matches!(PeerMessage::decode(bytes), Some(PeerMessage::Forwarded { .. }))
}

#[derive(Debug)]
pub(crate) struct MainThread {
    pub(crate) hub: Hub<Watched>,
    mutant: Mutant,
    /// What the heartbeat thread told, and has not been taken up.
    pub(crate) news: VecDeque<Happening>,
    /// What else has happened, and has not been taken up.
    pub(crate) happenings: VecDeque<Happening>,
    pub(crate) runs_at: Option<u64>,
    pub(crate) stopped_until: u64,
}

impl MainThread {
    pub(crate) fn new(config: haven_hub::Config, controller: Controller, mutant: Mutant) -> Self {
        let core = Watched { controller, mutant, seen: Vec::new() };
        let guarded = |_: &AgentName, params: &BTreeMap<String, String>| -> Vec<IpAddr> {
            address(params).into_iter().collect()
        };
        Self {
            hub: Hub::new(config, core, Box::new(guarded)),
            mutant,
            news: VecDeque::new(),
            happenings: VecDeque::new(),
            runs_at: None,
            stopped_until: 0,
        }
    }

    /// What the start left to do once the agents have cleaned up.
    pub(crate) fn begin(&mut self, clock: Clock, rest: Vec<Output>) -> Vec<Effect> {
        self.hub.begin(clock, rest);
        self.effects(clock)
    }

    /// One round of the loop, in the daemon's order: one thing that happened, then all that the heartbeat
    /// thread told meanwhile, then what is due.
    pub(crate) fn round(&mut self, clock: Clock) -> Vec<Effect> {
        if let Some(happening) = self.news.pop_front().or_else(|| self.happenings.pop_front()) {
            self.hub.step(clock, happening);
        }
        while let Some(news) = self.news.pop_front() {
            self.hub.step(clock, news);
        }
        self.hub.step(clock, Happening::Tick);
        self.effects(clock)
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.news.is_empty() || !self.happenings.is_empty()
    }

    pub(crate) fn due(&self, now: Instant) -> Instant {
        self.hub.deadline().unwrap_or(now + IDLE).min(now + IDLE)
    }

    pub(crate) fn controller(&self) -> &Controller {
        self.hub.controller()
    }

    /// Whether it is neither leaving nor being replaced.
    pub(crate) fn serves(&self) -> bool {
        self.hub.phase() == Phase::Serving
    }

    /// The controller's inputs since the last look, with its outputs.
    pub(crate) fn seen(&mut self) -> Vec<(Input, Vec<Output>)> {
        std::mem::take(&mut self.hub.core_mut().seen)
    }

    /// What is to be done; what asks for nothing but an answer is answered on the way.
    fn effects(&mut self, clock: Clock) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(mut effect) = self.hub.next_effect() {
            match &mut effect {
                // No agent is asked what it says of itself, and no thread for its report.
                Effect::Serve { id, author, body } => {
                    let (id, author) = (*id, std::mem::take(author));
                    let body = std::mem::replace(body, RequestBody::Hello);
                    self.hub.step(clock, Happening::Local(Local::Request { id, author, body }));
                    continue;
                }
                Effect::Entries(entries) if self.mutant == Mutant::ForgottenLeftovers => {
                    let text = haven_cib::crm::show(&self.controller().state().cib);
                    entries.retain(|address, _| text.contains(&format!("ip={address} ")));
                }
                Effect::Heartbeat(input)
                    if self.mutant == Mutant::HastyRestarts && **input == ToBeat::PlanRestart =>
                {
                    let ready = Beat::RestartReady { until: None };
                    self.hub.step(clock, Happening::Heartbeat(ready));
                }
                _ => {}
            }
            effects.push(effect);
        }
        effects
    }
}

/// The address a resource of the simulated agent stands for.
pub(crate) fn address(params: &BTreeMap<String, String>) -> Option<IpAddr> {
    params.get("ip")?.parse().ok()
}

/// How a life that is over ended, for the thread that holds the gates.
pub(crate) fn last_order(end: End) -> crate::beat::Order {
    match end {
        End::Stopped => crate::beat::Order::Stop,
        End::Replaced => crate::beat::Order::HandOver,
    }
}
