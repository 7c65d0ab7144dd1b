//! The daemon's main task: owns the [hub](haven_hub::Hub), tells it everything that happens and carries
//! out its effects. One task, no locks: whatever is slow runs elsewhere and comes back as an event.

mod agents;
mod alerts;
mod checks;
mod descriptions;
mod events;
mod gate_missing;
mod inlets;
mod keys;
mod own_addresses;
mod peers;
mod requests;
mod restart;
mod run;
mod start;

use std::collections::BTreeMap;

use haven_api::{Event, EventSeverity};
use haven_base::Instant;
use haven_controller::{Clock, Controller};
use haven_executor::{AgentRegistry, RunId};
use haven_host::drive::{boot_time, wall_time};
use haven_host::gate::{Entry, EntryKind};
use haven_host::socket::channel::Channel;
use haven_host::store;
use haven_hub::{Effect, Hub};
use haven_types::operation::Outcome;
use haven_types::{BootId, NodeId};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::beat;
use crate::config::NodeConfig;
use crate::control::Desk;
use crate::trust::{Identity, KeyInput};

pub use haven_hub::End;
pub(crate) use restart::forget_hand_over;
pub use restart::rewrite_hand_over;
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

/// What comes back from work that the main task has others do.
#[derive(Debug)]
enum Done {
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

/// A request that is being served, under the number that the desk gave it.
#[derive(Debug)]
struct Asked {
    id: u64,
    author: String,
    body: haven_api::RequestBody,
}

/// A client that wants to be told of every change.
#[derive(Clone, Copy, Debug)]
struct Watcher {
    interval: std::time::Duration,
    due: Instant,
}

struct Daemon {
    config: NodeConfig,
    node: NodeId,
    boot: BootId,
    hub: Hub,
    beat: beat::Handle,
    channel: Channel,
    store: store::Worker,
    agents: AgentRegistry,
    runs: BTreeMap<RunId, AbortHandle>,
    desk: Desk,
    alerts: alerts::Alerts,
    surroundings: checks::Surroundings,
    /// Latest knowledge of the heartbeat thread.
    report: beat::Report,
    /// Addresses that this node's agents carry, as of the latest question.
    carried: Vec<haven_executor::Carried>,
    /// What the gate lacks, a line each.
    gate_missing: Vec<String>,
    watchers: BTreeMap<u64, Watcher>,
    events: events::Ring,
    /// Clients that read the stream of events.
    readers: BTreeMap<u64, events::Reader>,
    done: mpsc::UnboundedSender<Done>,
    admissions: peers::Admissions,
    keys: keys::Keys,
}

fn clock() -> Clock {
    Clock { now: boot_time(), wall: wall_time() }
}

impl Daemon {
    /// Tells the hub what has happened. What follows is carried out by [`Daemon::carry_out`].
    fn tell(&mut self, happening: haven_hub::Happening) {
        self.hub.step(clock(), happening);
    }

    /// Carries out everything that was decided, in order, and what follows from that.
    fn carry_out(&mut self) {
        while let Some(effect) = self.hub.next_effect() {
            self.perform(effect);
        }
    }

    fn controller(&self) -> &Controller {
        self.hub.controller()
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Heartbeat(input) => self.beat.send(beat::Order::Machine(input)),
            Effect::Transmit { to, link, bytes } => {
                self.beat.send(beat::Order::Transmit { to, link, bytes });
            }
            Effect::Entries(entries) => {
                let exclusive = |(address, group): (_, haven_types::GroupId)| Entry {
                    address,
                    kind: EntryKind::Exclusive,
                    group: group.0,
                };
                let entries = entries.into_iter().map(exclusive).collect();
                self.beat.send(beat::Order::Entries(entries));
            }
            Effect::Members(others) => self.set_others(&others),
            Effect::Stream { to, frame } => self.stream(to, frame),
            Effect::Reconnect(to) => self.reconnect(to),
            Effect::Connected(node) => self.step_keys(KeyInput::Connected(node)),
            Effect::KeyMessage { from, bytes } => self.on_key_message(from, &bytes),
            Effect::Persist { token, batch } => self.store.submit(token.0, to_store(&batch)),
            Effect::RunAgent { run, operation, lease } => self.run_agent(run, operation, lease),
            Effect::AbortAgent(run) => {
                if let Some(task) = self.runs.remove(&run) {
                    task.abort();
                }
            }
            Effect::Notify { operation, hook } => self.notify(operation, hook),
            Effect::Extend(started) => self.extend_lifetimes(started),
            Effect::Serve { id, author, body } => self.serve(Asked { id, author, body }),
            Effect::Reply { id, more, body } => self.reply(id, more, *body),
            Effect::Admitted { request, result } => self.admitted(request, result),
            Effect::TokenMinted { request, result } => self.token_minted(request, result),
            Effect::NewKey(notice) => self.on_key_announced(notice),
            Effect::KeyAnnounced { request, result } => self.key_decided(request, result),
            Effect::KeyOutdated => {
                tracing::info!("a member was removed: the heartbeats get a new key");
                self.rotate_key(None);
            }
            Effect::Event(event) => self.note_event(event),
            Effect::Line { severity, text } => match severity {
                EventSeverity::Info => tracing::info!("{text}"),
                EventSeverity::Warning => tracing::warn!("{text}"),
                EventSeverity::Error => tracing::error!("{text}"),
            },
            Effect::Removed => self.retire(),
            Effect::Alert(alert) => self.alerts.tell(*alert),
            // The main loop sees it when it has carried out everything else.
            Effect::End(_) => {}
        }
    }

    /// The next start must not try to be the member that this node was.
    fn retire(&self) {
        tracing::warn!(
            "this node was removed from the cluster; the daemon ends, and starts again only once this node has joined \
             with a new token of a member (`haven cluster token` there)"
        );
        if let Err(error) = Identity::retire(&self.config.state) {
            let reason = run::chain(&error);
            tracing::error!("the next start will try to be the member that it was: {reason}");
        }
    }

    fn note_event(&mut self, event: Event) {
        let (code, subject, text) = (&event.code, &event.subject, &event.text);
        match event.severity {
            EventSeverity::Info => tracing::info!(code, subject, "{text}"),
            EventSeverity::Warning => tracing::warn!(code, subject, "{text}"),
            EventSeverity::Error => tracing::error!(code, subject, "{text}"),
        }
        for id in self.watchers.keys().copied().collect::<Vec<_>>() {
            self.desk.answer(id, true, Ok(haven_api::ReplyBody::Event(event.clone())));
        }
        self.events.push(event);
        self.serve_readers(boot_time());
    }
}
