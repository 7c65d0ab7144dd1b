//! The main loop.

use std::time::Duration;

use haven_base::Instant;
use haven_controller::{AgentSaid, Input};
use haven_executor::AgentRegistry;
use haven_host::drive::boot_time;
use haven_host::socket::channel::ChannelEvent;
use haven_host::store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::start::{Inlets, StartError, start};
use super::{BuiltIn, Daemon, End, Happening, Phase, clock};
use crate::beat::News;
use crate::config::NodeConfig;
use crate::trust::KeyInput;

/// How long a daemon that was told to end waits for its resources to move away.
const LEAVE_PATIENCE: Duration = Duration::from_secs(20);
/// Happenings dealt with in one round at most.
const AT_ONCE: usize = 64;
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
    daemon.step(Input::Tick);
    loop {
        daemon.one_round(&mut inlets, &mut terminate, &mut interrupt).await;
        if let Phase::Ended(end) = daemon.phase {
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
        let mut happened = Vec::new();
        tokio::select! {
            biased;
            news = inlets.beats.recv() => self.on_news(news),
            _ = inlets.happenings.recv_many(&mut happened, AT_ONCE) => self.on_happenings(happened),
            Some(event) = inlets.channel.recv() => self.on_channel(event),
            Some(asked) = inlets.requests.recv() => self.on_asked(asked),
            _ = terminate.recv() => self.leave(),
            _ = interrupt.recv() => self.leave(),
            () = tokio::time::sleep(pause) => {}
        }
        self.on_time(inlets);
    }

    fn due(&self) -> Instant {
        let phase = match self.phase {
            Phase::Leaving(until) | Phase::Restarting(until, _) => Some(until),
            Phase::Serving | Phase::Ended(_) => None,
        };
        [
            self.controller.deadline(),
            self.express.deadline(),
            self.keys.deadline(),
            self.watchers_due(),
            self.readers_due(),
            self.surroundings.deadline(),
            phase,
            Some(self.next_extension),
            self.deferred.iter().map(|(until, _)| *until).min(),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or_else(|| boot_time() + IDLE)
        .min(boot_time() + IDLE)
    }

    fn on_time(&mut self, inlets: &mut Inlets) {
        // What has arrived in the meantime is older than any deadline that has come.
        while let Ok(news) = inlets.beats.try_recv()
            && !self.has_ended()
        {
            self.on_news(Some(news));
        }
        if self.has_ended() {
            // What is handed over stays as it was when the long leases were there.
            return;
        }
        let now = boot_time();
        if self.express.deadline().is_some_and(|at| at <= now) {
            self.step_express(haven_messaging::express::Input::Tick);
        }
        if self.controller.deadline().is_some_and(|at| at <= now) {
            self.step(Input::Tick);
        }
        self.keys_due(now);
        self.check_surroundings(now);
        self.extend_lifetimes(now);
        self.serve_watchers(now);
        self.serve_readers(now);
        self.serve_deferred(now);
        if let Some(until) = self.restart_ready.take() {
            self.on_restart_ready(until);
        }
        match self.phase {
            Phase::Leaving(until) if until <= now || self.controller.started_count() == 0 => {
                self.phase = Phase::Ended(End::Stopped);
            }
            Phase::Restarting(until, request) if until <= now => self.call_off_restart(request),
            Phase::Leaving(_) | Phase::Restarting(..) | Phase::Serving | Phase::Ended(_) => {}
        }
    }

    const fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    fn on_news(&mut self, news: Option<News>) {
        match news {
            Some(News::Machine(output)) => self.on_heartbeat(output),
            Some(News::Express { from, boot, link, bytes }) => {
                let input = haven_messaging::express::Input::Received { from, boot, link, bytes };
                self.step_express(input);
            }
            Some(News::Heard { from, boot }) => {
                self.step_express(haven_messaging::express::Input::Heard { from, boot });
            }
            Some(News::GateMissing(missing)) => {
                for line in &missing {
                    tracing::error!("{line}");
                }
                self.gate_missing = missing;
            }
            Some(News::Unreadable { from, epoch }) => {
                self.step_keys(KeyInput::Unreadable { from, epoch });
            }
            Some(News::Line(line)) => tracing::warn!("{line}"),
            Some(News::Alarm(text)) => {
                tracing::error!("{text}");
                self.step(Input::Alarm(text));
            }
            None => {
                tracing::error!("the heartbeat thread has ended; so does the daemon");
                self.phase = Phase::Ended(End::Stopped);
            }
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest is for the controller")]
    fn on_heartbeat(&mut self, output: haven_heartbeat::Output) {
        use haven_heartbeat::Output as Beat;
        match &output {
            Beat::LeaseGained { group, epoch, until } => {
                self.leases.insert(*group, (*epoch, *until));
            }
            Beat::LeaseLost { group, .. } | Beat::Released { group, .. } => {
                self.leases.remove(group);
            }
            Beat::Link { peer, link, up } => {
                let (peer, link, up) = (*peer, *link, *up);
                self.on_link(peer, link, up);
            }
            Beat::RestartReady { until } => {
                let until = *until;
                self.on_restart_ready(until);
                return;
            }
            _ => {}
        }
        self.step(Input::Heartbeat(output));
    }

    /// Deals with what has happened, in order; what agents said in a row, at once.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest is dealt with one by one")]
    fn on_happenings(&mut self, happened: Vec<Happening>) {
        let mut said = Vec::new();
        for happening in happened {
            match happening {
                Happening::Agent(run, outcome) => {
                    if self.runs.remove(&run).is_some() || outcome.code.0 != 0 {
                        said.push(AgentSaid::Finished { run, outcome });
                    }
                }
                Happening::Restarting(run, parameters) => {
                    said.push(AgentSaid::Restarting { run, parameters });
                }
                other => {
                    self.step_agents(&mut said);
                    self.on_happening(other);
                }
            }
        }
        self.step_agents(&mut said);
    }

    fn step_agents(&mut self, said: &mut Vec<AgentSaid>) {
        if !said.is_empty() {
            let outputs = self.controller.step_agents(clock(), std::mem::take(said));
            self.carry_out(outputs);
        }
    }

    fn on_happening(&mut self, happening: Happening) {
        match happening {
            // Dealt with before.
            Happening::Agent(..) | Happening::Restarting(..) => {}
            Happening::Store(store::Done::Persisted { token }) => {
                let token = haven_consensus::PersistToken(token);
                self.step(Input::Persisted(token));
            }
            Happening::Store(store::Done::Failed { error }) => {
                let reason = chain(&error);
                tracing::error!("the store failed: this node no longer votes: {reason}");
                self.step(Input::PersistFailed { reason });
            }
            Happening::Described(asked, told) => self.on_described(asked, told),
            Happening::Informed(asked, report) => self.on_informed(asked, *report),
            Happening::Watched(id, report) => self.on_watched(id, *report),
            Happening::Carried(all) => self.carried = all,
            Happening::Checked(input) => self.step_checks(boot_time(), input),
            Happening::KeysSaved(ring, trouble) => self.on_keys_saved(ring, trouble),
            Happening::Admit(admit) => self.admit(*admit),
        }
    }

    fn on_channel(&mut self, event: ChannelEvent) {
        match event {
            ChannelEvent::Frame { peer, boot, bytes } => self.on_frame(&peer, boot, &bytes),
            ChannelEvent::Connected { peer } => {
                tracing::info!("channel to {peer} is up");
                if let Some(node) = self.member_named(&peer) {
                    self.step_keys(KeyInput::Connected(node));
                    // What was too large for a datagram was lost while there was no channel.
                    self.step(Input::PeerReset(node));
                }
            }
            ChannelEvent::Disconnected { peer, reason } => {
                // What it has lost is said again when it is up.
                tracing::info!("channel to {peer} is down: {reason}");
            }
            ChannelEvent::Refused { remote, reason, times } => {
                tracing::warn!("a connection from {remote} was refused: {reason} ({times} times)");
            }
        }
    }

    fn leave(&mut self) {
        if self.phase != Phase::Serving {
            // Asked twice: do not wait any longer.
            self.phase = Phase::Ended(End::Stopped);
            return;
        }
        tracing::info!("ending: what runs here moves away first");
        self.phase = Phase::Leaving(boot_time() + LEAVE_PATIENCE);
        self.step(Input::Shutdown);
    }

    async fn end(mut self, end: End) -> End {
        let _noticed = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        if end == End::Replace {
            match self.bequeath().await {
                Ok(()) => return End::Replace,
                Err(error) => tracing::error!("nothing could be handed over: {error}"),
            }
        }
        let (answer, stopped) = tokio::sync::oneshot::channel();
        self.beat.send(crate::beat::Order::Stop(answer));
        // A thread that has ended has left its gates to close by themselves.
        let _closed = tokio::time::timeout(Duration::from_secs(1), stopped).await;
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

/// What the main loop listens to.
pub(super) type Requests = mpsc::Receiver<crate::control::Asked>;
