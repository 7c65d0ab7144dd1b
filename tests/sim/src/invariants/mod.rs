//! What must hold whatever happens, one rule per file (and `joinings`, which rules look up). Each sees what the world sees from outside: steps
//! of machines, kernels, disks; none asks the machines for their opinion of themselves.

mod answers;
mod joinings;
mod lapses;
mod leases;
mod one_coordinator;
mod one_log;
mod one_owner;
mod one_plan;
mod one_state;
mod orders;
mod promises;
mod restarts;
mod spacing;
mod unprotected;
mod upon;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet};

use haven_controller::{Input, Output};
use haven_heartbeat::{self as heartbeat, Rules, Terms};
use haven_policy::Decision;
use haven_types::NodeId;

use crate::clock::nanos;
use crate::host::Host;
use crate::plans::Asked;
use crate::settings::Settings;

pub(crate) use upon::ADDRESS;

/// The hosts as every rule may look at them.
pub(crate) type Hosts = BTreeMap<NodeId, Host>;

/// A rule that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// True time in nanoseconds.
    pub at: u64,
    /// The rule, in words.
    pub rule: &'static str,
    /// What was seen.
    pub what: String,
}

/// All rules with what each remembers.
#[derive(Debug)]
pub(crate) struct Checks {
    pub(crate) broken: Option<Broken>,
    removed: BTreeSet<NodeId>,
    owner: one_owner::OneOwner,
    coordinator: one_coordinator::OneCoordinator,
    log: one_log::OneLog,
    state: one_state::OneState,
    plan: one_plan::OnePlan,
    answers: answers::Answers,
    lapses: lapses::Lapses,
    leases: leases::Leases,
    orders: orders::Orders,
    promises: promises::Promises,
    restarts: restarts::Restarts,
    spacing: spacing::Spacing,
    upon: upon::Upon,
    verdicts: verdicts::Verdicts,
}

/// What a rule says: nothing, or what it saw.
pub(crate) type Verdict = Result<(), String>;

impl Checks {
    pub(crate) fn new(settings: &Settings) -> Self {
        // The rules are judged as they are written, whatever clause the machines lack.
        let terms = Terms { rules: Rules::ALL, ..settings.terms };
        Self {
            broken: None,
            removed: BTreeSet::new(),
            owner: one_owner::OneOwner::default(),
            coordinator: one_coordinator::OneCoordinator::default(),
            log: one_log::OneLog::default(),
            state: one_state::OneState::default(),
            plan: one_plan::OnePlan::default(),
            answers: answers::Answers::default(),
            lapses: lapses::Lapses::default(),
            leases: leases::Leases::new(terms),
            orders: orders::Orders::default(),
            promises: promises::Promises::new(terms),
            restarts: restarts::Restarts::new(terms),
            // A clock that runs 10 % fast makes of D_max·(1+ρ) no less than D_max.
            spacing: spacing::Spacing::new(nanos(terms.d_max)),
            upon: upon::Upon::default(),
            verdicts: verdicts::Verdicts::default(),
        }
    }

    /// The first rule broken is the one to look at.
    pub(crate) fn fail(&mut self, at: u64, rule: &'static str, what: String) {
        if self.broken.is_none() {
            self.broken = Some(Broken { at, rule, what });
        }
    }

    fn judge(&mut self, at: u64, rule: &'static str, verdict: Verdict) {
        if let Err(what) = verdict {
            self.fail(at, rule, what);
        }
    }

    /// Whether a node was told that it is no member any more.
    pub(crate) fn was_removed(&self, node: NodeId) -> bool {
        self.removed.contains(&node)
    }

    /// A daemon starts.
    pub(crate) fn on_start(&mut self, at: u64, node: NodeId, hosts: &Hosts) {
        let verdict = self.log.on_start(node, hosts);
        self.judge(at, one_log::RULE, verdict);
        self.state.on_start(node);
        self.orders.on_start(node);
        self.lapses.on_start(node);
        self.restarts.on_start(node);
        self.spacing.on_start(node);
        let Some(process) = hosts.get(&node).and_then(|host| host.process.as_ref()) else { return };
        self.answers.on_start(node, process.members.clone());
        self.promises.on_start(at, node, process);
        self.verdicts.on_start(at, node, &process.configurations);
        self.leases.on_start(node, process.configurations.clone());
    }

    /// A host loses its power, and its clock begins anew.
    pub(crate) fn on_power_loss(&mut self, node: NodeId) {
        self.leases.on_power_loss(node);
        self.restarts.on_power_loss(node);
    }

    /// A gate, an address or the set of guarded addresses changed on a host.
    pub(crate) fn on_gate(&mut self, at: u64, node: NodeId, hosts: &Hosts) {
        let verdict = self.owner.look(at, hosts);
        self.judge(at, one_owner::RULE, verdict);
        let verdict = unprotected::look(node, hosts);
        self.judge(at, unprotected::RULE, verdict);
        let verdict = self.leases.on_gate(at, node, hosts);
        self.judge(at, leases::RULE, verdict);
    }

    /// An agent has just done something.
    pub(crate) fn on_effect(
        &mut self,
        at: u64,
        node: NodeId,
        name: &str,
        action: &str,
        hosts: &Hosts,
    ) {
        let verdict = self.upon.look(node, name, action, hosts);
        self.judge(at, upon::RULE, verdict);
    }

    /// Starts and stops by agents so far.
    pub(crate) fn effects(&self) -> u64 {
        self.upon.effects
    }

    /// A heartbeat machine took a step.
    pub(crate) fn on_beat_step(
        &mut self,
        at: u64,
        node: NodeId,
        hosts: &Hosts,
        input: &heartbeat::Input,
        outputs: &[heartbeat::Output],
    ) {
        let verdict = self.answers.on_step(node, input, outputs);
        self.judge(at, answers::RULE, verdict);
        let verdict = self.promises.on_step(at, node, input, outputs);
        self.judge(at, promises::RULE, verdict);
        let verdict = self.leases.on_step(at, node, hosts, input, outputs);
        self.judge(at, leases::RULE, verdict);
        let verdict = self.restarts.on_step(at, node, hosts, input, outputs);
        self.judge(at, restarts::RULE, verdict);
        let verdict = self.verdicts.on_step(at, node, input, outputs);
        self.judge(at, verdicts::RULE, verdict);
    }

    /// A process ends and leaves its gates and promises to the next.
    pub(crate) fn on_hand_over(&mut self, at: u64, node: NodeId, left: &heartbeat::HandOver) {
        let verdict = self.restarts.on_hand_over(node, left);
        self.judge(at, restarts::RULE, verdict);
    }

    /// A controller took a step.
    pub(crate) fn on_controller(
        &mut self,
        at: u64,
        node: NodeId,
        input: &Input,
        outputs: &[Output],
    ) {
        let verdict = self.orders.on_controller(node, &self.coordinator, input, outputs);
        self.judge(at, orders::RULE, verdict);
        let verdict = self.lapses.on_controller(node, input, outputs);
        self.judge(at, lapses::RULE, verdict);
        for output in outputs {
            match output {
                Output::Persist { batch, .. } => {
                    let verdict = self.log.on_persist(node, batch);
                    self.judge(at, one_log::RULE, verdict);
                    let verdict = self.spacing.on_persist(at, node, batch);
                    self.judge(at, spacing::RULE, verdict);
                }
                Output::Removed => {
                    self.removed.insert(node);
                }
                _ => {}
            }
        }
    }

    /// A node has made a plan.
    pub(crate) fn on_plan(&mut self, at: u64, node: NodeId, asked: &Asked, decision: &Decision) {
        self.lapses.on_plan(node);
        self.orders.on_plan(node);
        let verdict = self.plan.look(node, asked, decision);
        self.judge(at, one_plan::RULE, verdict);
    }

    /// A main thread ended a round.
    pub(crate) fn after_round(&mut self, at: u64, node: NodeId, hosts: &Hosts) {
        let Some(controller) = crate::world::controller(hosts, node) else { return };
        let status = controller.consensus_status();
        let verdict = self.log.after_round(node, &status);
        self.judge(at, one_log::RULE, verdict);
        let verdict = self.coordinator.look(node, &status);
        self.judge(at, one_coordinator::RULE, verdict);
        let verdict = self.state.look(node, controller, &status);
        self.judge(at, one_state::RULE, verdict);
        let verdict = self.lapses.after_round(node, controller, &status);
        self.judge(at, lapses::RULE, verdict);
        let verdict = self.orders.after_round(node, status.term);
        self.judge(at, orders::RULE, verdict);
        self.spacing.after_round(at, node, &status);
    }

    /// Gates seen open at a change: a model in which none ever opens would pass for a good one.
    pub(crate) fn gates_seen_open(&self) -> u64 {
        self.owner.opened
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at {} ms: {}: {}", self.at / 1_000_000, self.rule, self.what)
    }
}
