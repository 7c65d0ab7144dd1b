//! The main loop.

use std::time::Duration;

use haven_base::Instant;
use haven_controller::{AgentSaid, Local};
use haven_executor::AgentRegistry;
use haven_host::drive::boot_time;
use haven_host::socket::channel::ChannelEvent;
use haven_host::store;
use haven_hub::Happening;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::inlets::{Inlets, Woken};
use super::peers::heard_word;
use super::start::{StartError, start};
use super::{BuiltIn, Daemon, Done, End};
use crate::beat::News;
use crate::config::NodeConfig;
use crate::trust::KeyInput;

/// A control that is never late by more than this although nothing is due.
const IDLE: Duration = Duration::from_secs(1);

/// Runs the daemon until it is told to end.
///
/// # Errors
/// When it cannot start; everything after that is handled by the daemon itself.
pub async fn run(
    config: NodeConfig,
    built_in: BuiltIn<impl FnOnce() -> Result<AgentRegistry, String>>,
) -> Result<End, StartError> {
    let (mut daemon, mut inlets) = start(config, built_in).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::System)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::System)?;
    // Absent outside of systemd; then nobody waits for the notice.
    let _noticed = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    loop {
        daemon.one_round(&mut inlets, &mut terminate, &mut interrupt).await;
        if let Some(end) = daemon.hub.ended() {
            return Ok(daemon.end(end).await);
        }
    }
}

impl Daemon {
    /// Waits for one thing to happen, and deals with it and with what is due.
    async fn one_round(
        &mut self,
        inlets: &mut Inlets,
        terminate: &mut Signal,
        interrupt: &mut Signal,
    ) {
        let pause = self.due().since(boot_time());
        let woken = inlets.next(pause, terminate, interrupt).await;
        if !matches!(woken, Woken::News(_)) {
            // Who is alive, and in which life, is known before anything that they say.
            self.take_news(inlets);
        }
        match woken {
            Woken::Done(done) => self.on_all_done(done),
            Woken::Channel(event) => self.on_channel(event),
            Woken::Asked(asked) => self.on_asked(asked),
            Woken::Terminate => self.tell(Happening::Terminate),
            Woken::News(news) => self.on_news(news),
            Woken::Due => {}
        }
        self.carry_out();
        self.on_time(inlets);
        self.carry_out();
    }

    fn due(&self) -> Instant {
        [
            self.hub.deadline(),
            self.keys.deadline(),
            self.watchers_due(),
            self.readers_due(),
            self.surroundings.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or_else(|| boot_time() + IDLE)
        .min(boot_time() + IDLE)
    }

    fn take_news(&mut self, inlets: &mut Inlets) {
        for news in inlets.arrived() {
            self.on_news(Some(news));
            self.carry_out();
        }
    }

    fn on_time(&mut self, inlets: &mut Inlets) {
        // What has arrived in the meantime is older than any deadline that has come.
        self.take_news(inlets);
        self.tell(Happening::Tick);
        self.carry_out();
        if self.hub.ended().is_some() {
            return;
        }
        let now = boot_time();
        self.keys_due(now);
        self.check_surroundings(now);
        self.serve_watchers(now);
        self.serve_readers(now);
    }

    fn on_news(&mut self, news: Option<News>) {
        match news {
            Some(News::Told(happening)) => self.tell(happening),
            Some(News::GateMissing(missing)) => self.on_gate_missing(&missing),
            Some(News::Unreadable { from, epoch }) => {
                self.step_keys(KeyInput::Unreadable { from, epoch });
            }
            Some(News::Line(line)) => tracing::warn!("{line}"),
            Some(News::Alarm(text)) => {
                tracing::error!("{text}");
                self.tell(Happening::Local(Local::Alarm { about: text.clone(), text }));
            }
            Some(News::Mended(text)) => {
                tracing::warn!("{text}");
                self.tell(Happening::Local(Local::Mended { about: text.clone(), text }));
            }
            Some(News::Entries(trouble)) => self.on_entries(trouble),
            None => {
                tracing::error!("the heartbeat thread has ended; so does the daemon");
                self.tell(Happening::HeartbeatEnded);
            }
        }
    }

    fn on_entries(&mut self, trouble: Option<String>) {
        let about = "the gate's addresses".to_owned();
        let local = match trouble {
            Some(text) => {
                tracing::error!("{text}");
                Local::Alarm { about, text }
            }
            None => {
                tracing::info!("the kernel takes the gate's addresses again");
                Local::Sound { about }
            }
        };
        self.tell(Happening::Local(local));
    }

    /// Deals with answers, in order; what agents said in a row, at once.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest is dealt with one by one")]
    fn on_all_done(&mut self, done: Vec<Done>) {
        let mut said = Vec::new();
        for done in done {
            match done {
                Done::Agent(run, outcome) => {
                    self.runs.remove(&run);
                    said.push(AgentSaid::Finished { run, outcome });
                }
                Done::Restarting(run, parameters) => {
                    said.push(AgentSaid::Restarting { run, parameters });
                }
                other => {
                    self.tell_agents(&mut said);
                    self.on_done(other);
                    self.carry_out();
                }
            }
        }
        self.tell_agents(&mut said);
    }

    fn tell_agents(&mut self, said: &mut Vec<AgentSaid>) {
        if !said.is_empty() {
            self.tell(Happening::Agents(std::mem::take(said)));
            self.carry_out();
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            // Dealt with before.
            Done::Agent(..) | Done::Restarting(..) => {}
            Done::Store(store::Done::Persisted { token }) => {
                let token = haven_consensus::PersistToken(token);
                self.tell(Happening::Local(Local::Persisted(token)));
            }
            Done::Store(store::Done::Failed { error }) => {
                let reason = chain(&error);
                tracing::error!(
                    "the store failed: this node no longer votes: {reason}; make the disk sound, then restart the daemon"
                );
                self.tell(Happening::Local(Local::PersistFailed { reason }));
            }
            Done::Described(asked, told) => self.on_described(asked, told),
            Done::Informed(asked, report) => self.on_informed(asked, *report),
            Done::Watched(id, report) => self.on_watched(id, *report),
            Done::Carried(all) => self.carried = all,
            Done::Checked(input) => self.step_checks(boot_time(), input),
            Done::KeysSaved(ring, trouble) => self.on_keys_saved(ring, trouble),
            Done::Admit(admit) => self.admit(*admit),
        }
    }

    fn on_channel(&mut self, event: ChannelEvent) {
        match event {
            ChannelEvent::Frame { peer, boot, bytes } => {
                let boot = haven_types::BootId(boot);
                self.tell(Happening::Frame { peer, boot, bytes });
            }
            ChannelEvent::Connected { peer } => {
                tracing::info!("channel to {peer} is up");
                self.tell(Happening::Connected { peer });
            }
            ChannelEvent::Disconnected { peer, reason } => {
                // What it has lost is said again when it is up.
                tracing::info!("channel to {peer} is down: {reason}");
            }
            ChannelEvent::TurnedAway { peer, word } => match heard_word(&word) {
                Some(as_of) => self.tell(Happening::TurnedAway { peer, as_of }),
                None => tracing::debug!("{peer} turned this node away in words not known here"),
            },
            ChannelEvent::Refused { remote, reason, times } => {
                tracing::warn!("a connection from {remote} was refused: {reason} ({times} times)");
            }
        }
    }

    async fn end(mut self, end: End) -> End {
        // Not where the next process goes on: systemd would kill it once the time for a stop is over.
        if end != End::Replaced {
            let _noticed = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        }
        if end == End::Replaced {
            match self.bequeath().await {
                Ok(()) => return End::Replaced,
                Err(error) => tracing::error!(
                    "the planned restart cannot hand over its leases ({error}): the daemon stops, and its addresses are \
                     silent until it is started again; check [paths] run ({}) for space and rights",
                    self.config.run.display()
                ),
            }
        }
        let (answer, stopped) = tokio::sync::oneshot::channel();
        self.beat.send(crate::beat::Order::Stop(answer));
        // A thread that has ended has left its gates to close by themselves.
        let stopped = tokio::time::timeout(Duration::from_secs(1), stopped).await;
        match stopped {
            Ok(Ok(Some(trouble))) => tracing::error!("{trouble}"),
            Ok(_) => {}
            Err(_elapsed) => tracing::error!(
                "the heartbeat thread does not answer: gates stay open until their end, within seconds"
            ),
        }
        end
    }
}

/// An error with all its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
