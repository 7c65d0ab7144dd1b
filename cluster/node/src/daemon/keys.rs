//! The heartbeats' key while it changes: the pure machine's messages, the disk, and who asked for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use haven_api::{ApiError, Code, Notice, ReplyBody};
use haven_base::Instant;
use haven_controller::{Local, Member};
use haven_host::drive::boot_time;
use haven_host::identity::fill;
use haven_hub::Happening;
use haven_messaging::{KeyNotice, Keyring};
use haven_types::NodeId;
use tokio::sync::mpsc;

use super::run::chain;
use super::{Daemon, Done};
use crate::beat;
use crate::trust::{Identity, KeyInput, KeyMessage, KeyOutput, KeyStage, Rotation};

/// A change that was asked for and has not got through by then is no longer waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who waits is told how far a change is at least this often.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// A change that waits for a member for so long is an operator's business.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// The number of a change that nobody waits for.
const UNASKED: u64 = 0;

/// The heartbeats' key, and a change of it.
#[derive(Debug)]
pub(super) struct Keys {
    rotation: Rotation,
    /// Rings to be written down, one after the other.
    disk: mpsc::UnboundedSender<Keyring>,
    asked: BTreeMap<u64, Asked>,
    /// The stage before, and since when it has not changed.
    stage: (KeyStage, Instant),
}

/// A client that waits for a change of the key.
#[derive(Debug)]
struct Asked {
    epoch: u32,
    announced: bool,
    since: Instant,
    tell_at: Instant,
    told: String,
}

impl Keys {
    /// The keys that this process starts with. Rings it is to use are written below `state` and then
    /// come back as [`Done::KeysSaved`].
    pub(super) fn new(ring: Keyring, state: PathBuf, done: mpsc::UnboundedSender<Done>) -> Self {
        let (disk, mut rings) = mpsc::unbounded_channel::<Keyring>();
        tokio::spawn(async move {
            while let Some(ring) = rings.recv().await {
                let (path, kept) = (state.clone(), ring.clone());
                let written =
                    tokio::task::spawn_blocking(move || Identity::save_keys(&path, &kept)).await;
                let trouble = match written {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(chain(&error)),
                    Err(error) => Some(error.to_string()),
                };
                // Nobody listens only when the daemon ends.
                let _told = done.send(Done::KeysSaved(ring, trouble));
            }
        });
        let rotation = Rotation::new(boot_time(), ring);
        let stage = (rotation.stage(), boot_time());
        Self { rotation, disk, asked: BTreeMap::new(), stage }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let asked = self.asked.values().map(|asked| asked.tell_at).min();
        [self.rotation.deadline(), asked].into_iter().flatten().min()
    }

    /// Epoch of the key that the heartbeats are sealed with.
    pub(super) fn epoch(&self) -> u32 {
        self.rotation.ring().sealing().epoch
    }

    /// What an operator should know of a change that does not get on.
    pub(super) fn trouble(&self, members: &BTreeMap<NodeId, Member>) -> Option<String> {
        let stuck = boot_time().since(self.stage.1) >= STUCK_AFTER;
        let whom = |nodes: &BTreeSet<NodeId>| {
            let told = nodes.iter().map(|node| match members.get(node) {
                Some(member) => format!("{} (TCP {})", member.name, member.channel),
                None => format!("node {node}"),
            });
            told.collect::<Vec<_>>().join(", ")
        };
        match &self.stage.0 {
            KeyStage::Fetching { epoch } if stuck => Some(format!(
                "no member that can be reached has key {epoch}, which was announced: if this stays, \
                 haven cluster rotate-key makes another"
            )),
            KeyStage::Spreading { epoch, lacking } if stuck && !lacking.is_empty() => {
                let whom = whom(lacking);
                Some(format!(
                    "the change to key {epoch} waits until it can be given to {whom}: see that \
                     connections to there get through"
                ))
            }
            KeyStage::Retiring { epoch, behind } if stuck && !behind.is_empty() => {
                let whom = whom(behind);
                Some(format!(
                    "the key before {epoch} is still accepted, as {whom} has not said that it uses \
                     the new one: see that connections between there and here get through"
                ))
            }
            KeyStage::Settled
            | KeyStage::Fetching { .. }
            | KeyStage::Spreading { .. }
            | KeyStage::Retiring { .. } => None,
        }
    }
}

impl Daemon {
    pub(super) fn step_keys(&mut self, input: KeyInput) {
        let now = boot_time();
        let present = KeyInput::Present(self.controller().present());
        let mut outputs = self.keys.rotation.step(now, present);
        outputs.extend(self.keys.rotation.step(now, input));
        for output in outputs {
            match output {
                KeyOutput::Use(ring) => {
                    // The writer lives as long as its sender.
                    let _sent = self.keys.disk.send(ring);
                }
                KeyOutput::Send { to, message } => self.send_keys(to, &message),
            }
        }
        let stage = self.keys.rotation.stage();
        if stage != self.keys.stage.0 {
            self.tell_stage(&stage);
            self.keys.stage = (stage, now);
        }
        self.serve_rotations(now);
    }

    /// Written down, or not: a ring that the disk does not take is used all the same, as this member
    /// could not be understood otherwise; after a restart it fetches what it lacks.
    pub(super) fn on_keys_saved(&mut self, ring: Keyring, trouble: Option<String>) {
        let about = "the heartbeats' keys".to_owned();
        let local = match trouble {
            Some(trouble) => {
                let state = self.config.state.display();
                let text = format!(
                    "the heartbeats' keys are in use, but not on disk: {trouble}; check space and rights in {state}; \
                     until a save succeeds a restart fetches the key from a member"
                );
                tracing::error!("{text}");
                Local::Alarm { about, text }
            }
            None => Local::Sound { about },
        };
        self.tell(Happening::Local(local));
        self.beat.send(beat::Order::Keys(ring.clone()));
        self.admissions.give_keys(ring.clone());
        self.step_keys(KeyInput::InUse(ring));
    }

    pub(super) fn on_key_message(&mut self, from: NodeId, bytes: &[u8]) {
        if let Some(message) = KeyMessage::decode(bytes) {
            self.step_keys(KeyInput::Message { from, message });
        } else {
            let name = self.hub.members().get(&from).map_or("a stranger", |it| it.name.as_str());
            tracing::warn!(
                "{name} (node {from}) speaks of keys in a way that this version cannot read; run the same version of \
                 haven on both"
            );
        }
    }

    pub(super) fn on_key_announced(&mut self, notice: KeyNotice) {
        self.step_keys(KeyInput::Committed(notice));
    }

    /// Draws a new key and has it announced. The client's number, or none where the cluster itself
    /// finds it necessary.
    pub(super) fn rotate_key(&mut self, request: Option<u64>) {
        let mut secret = [0; 32];
        if let Err(error) = fill(&mut secret) {
            tracing::error!("no new key can be drawn: {error}");
            let error = ApiError::new(Code::Unavailable, error.to_string());
            self.desk.answer(request.unwrap_or(UNASKED), false, Err(error));
            return;
        }
        let epoch = self.controller().state().key_epoch() + 1;
        let notice = self.keys.rotation.propose(epoch, secret);
        let (since, told) = (boot_time(), String::new());
        if let Some(id) = request {
            let tell_at = since + TELL_EVERY;
            let asked = Asked { epoch, announced: false, since, tell_at, told };
            self.keys.asked.insert(id, asked);
        }
        self.tell(Happening::Local(Local::RotateKey {
            request: request.unwrap_or(UNASKED),
            notice,
        }));
    }

    /// The log has decided about a key that was drawn here.
    pub(super) fn key_decided(&mut self, request: u64, result: Result<(), String>) {
        match result {
            Ok(()) => {
                if let Some(asked) = self.keys.asked.get_mut(&request) {
                    asked.announced = true;
                }
                self.serve_rotations(boot_time());
            }
            Err(reason) => {
                if self.keys.asked.remove(&request).is_some() {
                    let error =
                        ApiError::new(Code::Failed, format!("the key is not changed: {reason}"));
                    self.desk.answer(request, false, Err(error.remedy("try again")));
                } else {
                    tracing::warn!("the key is not changed: {reason}");
                }
            }
        }
    }

    pub(super) fn keys_due(&mut self, now: Instant) {
        if self.keys.deadline().is_some_and(|at| at <= now) {
            self.step_keys(KeyInput::Tick);
        }
    }

    /// Tells those who wait how far the change is, and whether it is done.
    fn serve_rotations(&mut self, now: Instant) {
        let text = self.progress();
        let sealing = self.keys.epoch();
        let all = match &self.keys.stage.0 {
            KeyStage::Settled => true,
            KeyStage::Retiring { behind, .. } => behind.is_empty(),
            KeyStage::Fetching { .. } | KeyStage::Spreading { .. } => false,
        };
        let mut answers = Vec::new();
        self.keys.asked.retain(|id, asked| {
            if asked.announced && sealing >= asked.epoch && all {
                let generation = u64::from(sealing);
                answers.push((*id, false, Ok(ReplyBody::KeyRotated { generation })));
                return false;
            }
            let elapsed = now.since(asked.since);
            if elapsed >= PATIENCE {
                let error = ApiError::new(Code::Timeout, format!("after {PATIENCE:?}: {text}"))
                    .remedy("the change goes on by itself as soon as it can; see `haven status`");
                answers.push((*id, false, Err(error)));
                return false;
            }
            if asked.told != text || now >= asked.tell_at {
                asked.told.clone_from(&text);
                asked.tell_at = now + TELL_EVERY;
                let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
                let notice = Notice { text: text.clone(), elapsed_ms, pending: Vec::new() };
                answers.push((*id, true, Ok(ReplyBody::Progress(notice))));
            }
            true
        });
        for (id, more, body) in answers {
            self.desk.answer(id, more, body);
        }
    }

    /// One line for the person who waits.
    fn progress(&self) -> String {
        let names = |nodes: &BTreeSet<NodeId>| {
            let names = nodes.iter().map(|node| match self.hub.members().get(node) {
                Some(member) => member.name.clone(),
                None => format!("node {node}"),
            });
            names.collect::<Vec<_>>().join(", ")
        };
        match self.keys.rotation.stage() {
            KeyStage::Settled => "the cluster is to announce the new key".to_owned(),
            KeyStage::Fetching { epoch } => format!("key {epoch} is fetched from a member"),
            KeyStage::Spreading { epoch, lacking } if lacking.is_empty() => {
                format!("every member that is heard has key {epoch}; it is used in a moment")
            }
            KeyStage::Spreading { epoch, lacking } => {
                format!("key {epoch} is given to {}", names(&lacking))
            }
            KeyStage::Retiring { epoch, behind } if behind.is_empty() => {
                format!("key {epoch} is in use")
            }
            KeyStage::Retiring { epoch, behind } => {
                format!("key {epoch} is in use here, and about to be on {}", names(&behind))
            }
        }
    }

    fn tell_stage(&self, stage: &KeyStage) {
        match (stage, &self.keys.stage.0) {
            (KeyStage::Settled, _) => {
                tracing::info!("key {} is the only one in use now", self.keys.epoch());
            }
            (KeyStage::Retiring { .. }, KeyStage::Retiring { .. })
            | (KeyStage::Spreading { .. }, KeyStage::Spreading { .. }) => {}
            (KeyStage::Retiring { epoch, .. }, _) => {
                tracing::info!(
                    "heartbeats are sealed with key {epoch}; the one before is accepted still"
                );
            }
            (KeyStage::Spreading { epoch, .. }, _) => {
                tracing::info!(
                    "key {epoch} is accepted; it is used once every member that is heard has it"
                );
            }
            (KeyStage::Fetching { epoch }, _) => {
                tracing::info!("key {epoch} was announced and is fetched from a member");
            }
        }
    }
}
