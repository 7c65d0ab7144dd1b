//! The daemon's main task: owns the controller, carries its outputs out, brings everything that
//! happens to it as inputs. One task, no locks: whatever is slow runs elsewhere and comes back as an
//! event.

mod agents;
mod alerts;
mod checks;
mod descriptions;
mod entries;
mod events;
mod keys;
mod own_addresses;
mod peers;
mod requests;
mod restart;
mod run;
mod start;
mod turns;

use std::collections::BTreeMap;

use haven_api::Event;
use haven_base::Instant;
use haven_controller::{Clock, Controller, Guarded, Input, Member, Output};
use haven_executor::{AgentRegistry, RunId};
use haven_host::drive::{boot_time, wall_time};
use haven_host::socket::channel::Channel;
use haven_host::store;
use haven_messaging::Express;
use haven_types::operation::Outcome;
use haven_types::{BootId, Epoch, GroupId, NodeId};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::beat;
use crate::config::NodeConfig;
use crate::control::{Asked, Desk};
use crate::trust;

pub use run::run;
pub use start::StartError;
pub(crate) use start::{store_directory, to_store};

/// The agents that are part of this build.
pub struct BuiltIn<F> {
    /// Makes them, once the daemon is allowed to touch the network.
    pub agents: F,
    /// What their metadata says, for judging a configuration.
    pub verification: haven_cib::crm::Facts,
}

impl<F> std::fmt::Debug for BuiltIn<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuiltIn").field("verification", &self.verification).finish_non_exhaustive()
    }
}

/// What happens to the main task, beside heartbeats, clients and signals.
#[derive(Debug)]
enum Happening {
    /// An agent answered.
    Agent(RunId, Outcome),
    /// A start or reload has ended well; these parameters cannot be reloaded.
    Restarting(RunId, Vec<String>),
    /// The store answered.
    Store(store::Done),
    /// A request that is judged by agents, with what those said.
    Described(Asked, BTreeMap<String, haven_types::agent::AgentReport>),
    /// A request whose answer needs the heartbeat thread's knowledge, with that knowledge.
    Informed(Asked, Box<beat::Report>),
    /// A watcher's status is due, with the heartbeat thread's knowledge for it.
    Watched(u64, Box<beat::Report>),
    /// What the agents of this node carry, for an answer that follows.
    Carried(Vec<haven_executor::Carried>),
    /// A ring was written down, or why not.
    KeysSaved(haven_messaging::Keyring, Option<String>),
    /// A probe of a local check ended.
    Checked(crate::checks::Input),
    /// A joiner was verified.
    Admit(Box<peers::Admit>),
}

/// A client that wants to be told of every change.
#[derive(Clone, Copy, Debug)]
struct Watcher {
    interval: std::time::Duration,
    due: Instant,
}

/// How far the end of this daemon has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// It serves.
    Serving,
    /// It waits for its resources to move away, until then at most.
    Leaving(Instant),
    /// It waits for long leases to be replaced under, until then at most. The request to answer.
    Restarting(Instant, u64),
    /// It ends.
    Ended(End),
}

/// How the daemon ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// For good, gates closed.
    Stopped,
    /// To be replaced by a new process of the same node at once.
    Replace,
}

struct Daemon {
    turns: turns::Turns<Input>,
    config: NodeConfig,
    node: NodeId,
    boot: BootId,
    controller: Controller,
    beat: beat::Handle,
    express: Express,
    channel: Channel,
    store: store::Worker,
    agents: AgentRegistry,
    runs: BTreeMap<RunId, AbortHandle>,
    /// Ends of held leases, as last told by the heartbeat thread.
    leases: BTreeMap<GroupId, (Epoch, Instant)>,
    desk: Desk,
    alerts: alerts::Alerts,
    surroundings: checks::Surroundings,
    members: BTreeMap<NodeId, Member>,
    guarded: Guarded,
    /// Latest knowledge of the heartbeat thread.
    report: beat::Report,
    /// Addresses that this node's agents carry, as of the latest question.
    carried: Vec<haven_executor::Carried>,
    /// What the gate lacks, a line each.
    gate_missing: Vec<String>,
    watchers: BTreeMap<u64, Watcher>,
    /// Changes that wait for a coordinator, each with the end of its patience.
    deferred: Vec<(Instant, Asked)>,
    events: events::Ring,
    /// Clients that read the stream of events.
    readers: BTreeMap<u64, events::Reader>,
    happenings: mpsc::UnboundedSender<Happening>,
    admissions: peers::Admissions,
    keys: keys::Keys,
    phase: Phase,
    /// Long leases are held until then, but an operation is under way still.
    restart_ready: Option<Option<Instant>>,
    next_extension: Instant,
}

fn clock() -> Clock {
    Clock { now: boot_time(), wall: wall_time() }
}

impl Daemon {
    /// Feeds one input to the controller and carries out all that follows.
    fn step(&mut self, input: Input) {
        if let Some(input) = self.turns.take(input) {
            let outputs = self.controller.step(clock(), input);
            self.carry_out(outputs);
        }
    }

    /// Carries a step's outputs out, then steps with what came of them.
    fn carry_out(&mut self, mut outputs: Vec<Output>) {
        loop {
            self.turns.begin();
            self.refresh_entries();
            for output in outputs {
                self.perform(output);
            }
            let Some(input) = self.turns.end() else { return };
            outputs = self.controller.step(clock(), input);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Heartbeat(input) => self.beat.send(beat::Order::Machine(input)),
            Output::Send { to, bytes, ordered } => self.send(to, bytes, ordered),
            Output::Persist { token, batch } => {
                self.store.submit(token.0, to_store(&batch));
            }
            Output::RunAgent { run, operation, lease } => self.run_agent(run, operation, lease),
            Output::AbortAgent(run) => {
                if let Some(task) = self.runs.remove(&run) {
                    task.abort();
                }
            }
            Output::Notify { operation, hook } => self.notify(operation, hook),
            Output::Reply { id, more, body } => self.reply(id, more, *body),
            Output::Members(members) => self.set_members(members),
            Output::Admitted { request, result } => self.admitted(request, result),
            Output::TokenMinted { request, result } => self.token_minted(request, result),
            Output::NewKey(notice) => self.on_key_announced(notice),
            Output::KeyAnnounced { request, result } => self.key_decided(request, result),
            Output::KeyOutdated => {
                tracing::info!("a member was removed: the heartbeats get a new key");
                self.rotate_key(None);
            }
            Output::Event(event) => self.note_event(event),
            Output::Alert(alert) => self.alerts.tell(*alert),
            Output::Removed => {
                tracing::warn!("this node was removed from the cluster; the daemon ends");
                if let Err(error) = trust::Identity::retire(&self.config.state) {
                    let reason = run::chain(&error);
                    tracing::error!(
                        "the next start will try to be the member that it was: {reason}"
                    );
                }
                self.phase = Phase::Ended(End::Stopped);
            }
        }
    }

    fn note_event(&mut self, event: Event) {
        let (code, subject, text) = (&event.code, &event.subject, &event.text);
        match event.severity {
            haven_api::EventSeverity::Info => tracing::info!(code, subject, "{text}"),
            haven_api::EventSeverity::Warning => tracing::warn!(code, subject, "{text}"),
            haven_api::EventSeverity::Error => tracing::error!(code, subject, "{text}"),
        }
        for id in self.watchers.keys().copied().collect::<Vec<_>>() {
            self.desk.answer(id, true, Ok(haven_api::ReplyBody::Event(event.clone())));
        }
        self.events.push(event);
        self.serve_readers(boot_time());
    }
}
