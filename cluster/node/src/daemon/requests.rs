//! Requests of clients: those the shell answers itself, those it adds to, and those that watch.

use std::time::Duration;

use haven_api::{ApiError, Hello, LinkHealth, LinkState, ReplyBody, RequestBody, Status};
use haven_base::Instant;
use haven_controller::Local;
use haven_executor::AgentRegistry;
use haven_heartbeat::LinkStatus;
use haven_host::drive::boot_time;
use haven_hub::Happening;
use tokio::sync::mpsc;

use super::own_addresses::carried;
use super::{Asked, Daemon, Done, Watcher};
use crate::beat::Report;
use crate::control;

/// Bounds of a watcher's interval.
const WATCH_INTERVAL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));
/// Agents that wait for the kernel hold up no status.
const CARRIED_WITHIN: Duration = Duration::from_millis(500);

impl Daemon {
    pub(super) fn on_asked(&mut self, asked: control::Asked) {
        let id = self.desk.enter(&asked);
        let control::Asked { author, body, .. } = asked;
        self.tell(Happening::Asked { id, author, body });
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest is for the controller")]
    pub(super) fn serve(&mut self, asked: Asked) {
        let id = asked.id;
        match &asked.body {
            RequestBody::Status
            | RequestBody::IpStatus
            | RequestBody::IpWhy { .. }
            | RequestBody::Counters => {
                self.inform(asked);
            }
            RequestBody::Hello => {
                let hello = self.hello();
                self.desk.answer(id, false, Ok(ReplyBody::Hello(hello)));
            }
            RequestBody::Watch { after, interval_ms } => self.watch(id, *after, *interval_ms),
            RequestBody::Events { after, boot, follow } => {
                self.read_events(id, (*after, *boot), *follow);
            }
            RequestBody::KeyRotate => self.rotate_key(Some(id)),
            RequestBody::ClusterToken { lifetime_ms } => {
                self.mint_token(id, lifetime_ms.map(Duration::from_millis));
            }
            _ => self.describe_first(asked),
        }
    }

    /// Fetches the heartbeat thread's knowledge first; it answers within a beat.
    fn inform(&self, asked: Asked) {
        let (beat, done) = (self.beat.clone(), self.done.clone());
        let agents = self.agents.clone();
        tokio::spawn(async move {
            if asked.body != RequestBody::Counters {
                learn_carried(agents, &done).await;
            }
            if let Some(report) = beat.report().await {
                let _sent = done.send(Done::Informed(asked, Box::new(report)));
            }
        });
    }

    pub(super) fn on_informed(&mut self, asked: Asked, report: Report) {
        self.report = report;
        if asked.body == RequestBody::Counters {
            let counters = self.counters();
            self.desk.answer(asked.id, false, Ok(ReplyBody::Counters(counters)));
            return;
        }
        self.hand_on(asked);
    }

    pub(super) fn reply(&mut self, id: u64, more: bool, body: Result<ReplyBody, ApiError>) {
        let more = more || self.watchers.contains_key(&id);
        let body = body.map(|body| self.enriched(body));
        self.desk.answer(id, more, body);
    }

    /// Adds what only the heartbeat thread knows.
    #[allow(clippy::wildcard_enum_match_arm, reason = "other replies pass unchanged")]
    fn enriched(&self, body: ReplyBody) -> ReplyBody {
        match body {
            ReplyBody::Status(mut status) => {
                self.add_links(&mut status);
                self.add_lease_ends(&mut status);
                self.add_gates(&mut status.resources);
                self.add_strangers(&mut status.resources);
                status.alarms.extend(self.gate_missing.iter().cloned());
                status.alarms.extend(self.keys.trouble(self.hub.members()));
                status.alarms.extend(self.report.unscheduled.clone());
                status.judge();
                ReplyBody::Status(status)
            }
            ReplyBody::Addresses(mut rows) => {
                self.add_to_addresses(&mut rows);
                ReplyBody::Addresses(rows)
            }
            ReplyBody::Why(mut why) => {
                self.add_to_why(&mut why);
                ReplyBody::Why(why)
            }
            other => other,
        }
    }

    pub(super) fn lease_left(&self, group: haven_types::GroupId) -> Option<u64> {
        let until = self.report.machine.leases.get(&group)?.until?;
        u64::try_from(until.since(boot_time()).as_millis()).ok()
    }

    fn add_links(&self, status: &mut Status) {
        for node in &mut status.nodes {
            let Some(peer) = self.report.machine.peers.get(&haven_types::NodeId(node.id)) else {
                continue;
            };
            node.links = peer.links.iter().map(|(id, link)| health(id.0, link)).collect();
        }
    }

    fn add_lease_ends(&self, status: &mut Status) {
        let duration = u64::try_from(self.report.machine.duration.as_millis()).ok();
        let grants = &self.controller().state().grants;
        for resource in &mut status.resources {
            let group = grants.get(&resource.id).map(|grant| grant.group);
            let left = group.and_then(|group| self.lease_left(group));
            let rows = std::iter::once(&mut resource.lease)
                .chain(resource.children.iter_mut().map(|child| &mut child.lease));
            for lease in rows.flatten() {
                lease.left_ms = left;
                lease.duration_ms = left.and(duration);
            }
        }
    }

    fn hello(&self) -> Hello {
        Hello {
            api: haven_api::VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: self.config.cluster.clone(),
            node: self.config.name.clone(),
            node_id: self.node.0,
            boot: self.boot.0,
            pid: std::process::id(),
        }
    }

    fn counters(&self) -> std::collections::BTreeMap<String, u64> {
        let mut counters: std::collections::BTreeMap<String, u64> = self
            .report
            .rejected
            .iter()
            .map(|(reason, count)| (format!("datagrams_refused_{reason}"), *count))
            .collect();
        counters.insert("key_epoch".to_owned(), u64::from(self.keys.epoch()));
        let (writes, failures) = self.report.gate_writes;
        counters.insert("gate_writes".to_owned(), writes);
        counters.insert("gate_failures".to_owned(), failures);
        let machine = serde_json::to_value(self.report.machine.counters).unwrap_or_default();
        for (name, value) in machine.as_object().into_iter().flatten() {
            if let Some(value) = value.as_u64() {
                counters.insert(format!("heartbeat_{name}"), value);
            }
        }
        counters.extend(self.controller().run_times().counters());
        counters
    }

    fn watch(&mut self, id: u64, after: Option<u64>, interval_ms: Option<u64>) {
        let interval = interval_ms.map_or(Duration::from_secs(1), Duration::from_millis);
        let interval = interval.clamp(WATCH_INTERVAL.0, WATCH_INTERVAL.1);
        self.watchers.insert(id, Watcher { interval, due: boot_time() });
        let Some(after) = after else { return };
        for event in self.events.after(after) {
            self.desk.answer(id, true, Ok(ReplyBody::Event(event.clone())));
        }
    }

    /// Sends watchers their status when it is due, with what the heartbeat thread knows at that moment.
    pub(super) fn serve_watchers(&mut self, now: Instant) {
        for id in self.desk.abandoned() {
            self.watchers.remove(&id);
            self.readers.remove(&id);
            self.tell(Happening::Local(Local::RequestGone(id)));
        }
        let due: Vec<u64> =
            self.watchers.iter().filter(|(_, w)| w.due <= now).map(|(id, _)| *id).collect();
        for id in due {
            if let Some(watcher) = self.watchers.get_mut(&id) {
                watcher.due = now + watcher.interval;
            }
            let (beat, done) = (self.beat.clone(), self.done.clone());
            let agents = self.agents.clone();
            tokio::spawn(async move {
                learn_carried(agents, &done).await;
                if let Some(report) = beat.report().await {
                    let _sent = done.send(Done::Watched(id, Box::new(report)));
                }
            });
        }
    }

    pub(super) fn on_watched(&mut self, id: u64, report: Report) {
        self.report = report;
        if self.watchers.contains_key(&id) {
            let author = String::new();
            let body = RequestBody::Status;
            self.tell(Happening::Local(Local::Request { id, author, body }));
        }
    }

    pub(super) fn watchers_due(&self) -> Option<Instant> {
        self.watchers.values().map(|watcher| watcher.due).min()
    }
}

/// Has the daemon know what its agents carry; one that does not answer leaves what was known before.
async fn learn_carried(agents: AgentRegistry, done: &mpsc::UnboundedSender<Done>) {
    if let Ok(all) = tokio::time::timeout(CARRIED_WITHIN, carried(agents)).await {
        let _sent = done.send(Done::Carried(all));
    }
}

fn health(number: u8, link: &LinkStatus) -> LinkHealth {
    let state = match (link.up, link.loss_permille) {
        (false, _) => LinkState::Down,
        (true, loss) if loss > 100 => LinkState::Degraded,
        (true, _) => LinkState::Up,
    };
    LinkHealth {
        number,
        state,
        rtt_us: link.rtt_smooth.and_then(|rtt| u64::try_from(rtt.as_micros()).ok()),
        loss_permille: link.loss_permille,
    }
}
