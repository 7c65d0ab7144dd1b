//! New cluster keys, without a restart and without a secret in the log.
//!
//! The replicated log carries only a [`KeyNotice`]: which key comes next. The secret goes from member to
//! member over the TLS channel, where both ends are proved by certificate. So neither the log, nor its
//! snapshots and backups, nor datagrams sealed with a key that may have leaked ever contain the next one.
//!
//! ```text
//!  propose ─▶ notice ─▶ log ─▶ Committed ─▶ own key? ──yes──▶ accept both ─all hold it─▶ seal new ─all do─▶ refuse old
//!                                             └no▶ Wanted ─▶ peers ─▶ Key ─▶┘  (2 s at least)   (20 s at least)
//!  a frame under an unknown, newer key, or a member that says it holds one (we were away)
//!                                             ─▶ Newest ─▶ that member ─▶ Ring ─▶ use it at once
//! ```
//! No step of a change is taken on time alone: a member seals with the new key only when every member
//! that is heard has said that it holds it, and refuses the old one only when all of them have said that
//! they seal with the new. A member whose channel is broken delays a change and is named
//! ([`Rotation::stage`]); it never becomes unreadable by it. Members that are not heard are not waited
//! for: they fetch the keys when they return.
//!
//! A key is given to others only where the log has announced it: a member that was removed before the
//! announcement gets it from nobody, not even from one that has not heard of the removal yet.
//!
//! [`Rotation`] is the pure machine of this; the shell commits notices, carries messages, and before it
//! gives a ring to the heartbeat thread, writes it down ([`Identity::save_keys`](super::Identity::save_keys)).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_messaging::{ClusterKey, KeyChange, KeyNotice, Keyring};
use haven_types::NodeId;
use serde::{Deserialize, Serialize};

use super::message::{decode, encode};

/// Time between questions for a key, and between what members say of theirs during a change.
const SPEAK_EVERY: Duration = Duration::from_secs(1);
/// Least time from acceptance of a key to sealing with it.
const SWITCH_AFTER: Duration = Duration::from_secs(2);
/// Least time from acceptance of a key to the refusal of the one before.
const RETIRE_AFTER: Duration = Duration::from_secs(20);
/// Keys drawn here that the log has not decided about.
const MAX_DRAWN: usize = 4;

/// A frame of the TLS channel about cluster keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyMessage {
    /// "I lack this key, which the log announces."
    Wanted(KeyNotice),
    /// "I lack the key you seal with."
    Newest,
    /// "Here it is", to [`Wanted`](Self::Wanted).
    Key(ClusterKey),
    /// "These are all", to [`Newest`](Self::Newest).
    Ring(Keyring),
    /// "This is how far I am."
    Holding {
        /// The newest key that this member accepts.
        newest: KeyNotice,
        /// Epoch of the key that it seals with.
        sealing: u32,
        /// Its change has not ended: it wants to hear the same of others.
        changing: bool,
    },
}

impl KeyMessage {
    /// The bytes for the channel.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads [`encode`](Self::encode)'s bytes; `None` when they are something else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes).ok()
    }
}

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyInput {
    /// The other members.
    Peers(BTreeSet<NodeId>),
    /// Those of them that are heard at present.
    Present(BTreeSet<NodeId>),
    /// Frames to this member get through from now on.
    Connected(NodeId),
    /// The log announces this key. Repeating it changes nothing.
    Committed(KeyNotice),
    /// A message of a member, over the channel.
    Message {
        /// Its sender.
        from: NodeId,
        /// What it said.
        message: KeyMessage,
    },
    /// A frame under this member's name was refused as
    /// [`Rejected::WrongKey`](haven_messaging::Rejected::WrongKey). Cheap, may come often.
    Unreadable {
        /// The name on the frame.
        from: NodeId,
        /// The key's epoch.
        epoch: u32,
    },
    /// The ring of a [`KeyOutput::Use`] is in use. Every one is answered, in their order.
    InUse(Keyring),
    /// The deadline has come. Harmless at any time.
    Tick,
}

/// What the machine wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyOutput {
    /// Write this ring down, use it, then answer [`KeyInput::InUse`].
    Use(Keyring),
    /// Send a message over the channel. It may get lost.
    Send {
        /// The receiver.
        to: NodeId,
        /// What to say.
        message: KeyMessage,
    },
}

/// How far the latest change is, as seen from this member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyStage {
    /// One key, and no other is announced.
    Settled,
    /// The log announces this key, and no member has given it to us yet.
    Fetching {
        /// Its epoch.
        epoch: u32,
    },
    /// The key is accepted, and not yet sealed with.
    Spreading {
        /// Its epoch.
        epoch: u32,
        /// Members that are heard and have not said that they hold it.
        lacking: BTreeSet<NodeId>,
    },
    /// The key is sealed with, and the one before still accepted.
    Retiring {
        /// Its epoch.
        epoch: u32,
        /// Members that are heard and have not said that they seal with it.
        behind: BTreeSet<NodeId>,
    },
}

/// What a member said of its keys last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holding {
    newest: KeyNotice,
    sealing: u32,
}

/// The keys of a member and their change.
#[derive(Debug)]
pub struct Rotation {
    change: KeyChange,
    /// What the heartbeats use, which may lag behind `change`.
    in_use: Keyring,
    peers: BTreeSet<NodeId>,
    present: BTreeSet<NodeId>,
    held: BTreeMap<NodeId, Holding>,
    /// Drawn here, announced perhaps; given to nobody before the log announces it.
    drawn: Vec<ClusterKey>,
    /// Newest epoch that the log has announced as far as we know it.
    announced: u32,
    /// Announced, and not in the ring yet.
    wanted: Option<KeyNotice>,
    /// The key of `wanted`, waiting for the change before it to end.
    arrived: Option<ClusterKey>,
    speak_at: Instant,
    /// Whom we asked for its newest key, and when.
    newest_from: Option<(NodeId, Instant)>,
    last_step: Instant,
}

impl Rotation {
    /// A member that starts with this ring.
    #[must_use]
    pub fn new(now: Instant, ring: Keyring) -> Self {
        Self {
            in_use: ring.clone(),
            change: KeyChange::new(now, ring, SWITCH_AFTER, RETIRE_AFTER),
            peers: BTreeSet::new(),
            present: BTreeSet::new(),
            held: BTreeMap::new(),
            drawn: Vec::new(),
            announced: 1,
            wanted: None,
            arrived: None,
            speak_at: now,
            newest_from: None,
            last_step: now,
        }
    }

    /// The keys in use, or about to be.
    #[must_use]
    pub fn ring(&self) -> &Keyring {
        self.change.ring()
    }

    /// How far the latest change is.
    #[must_use]
    pub fn stage(&self) -> KeyStage {
        let ring = self.ring();
        let epoch = ring.newest();
        if let Some(wanted) = self.wanted {
            KeyStage::Fetching { epoch: wanted.epoch }
        } else if ring.sealing().epoch != epoch {
            KeyStage::Spreading { epoch, lacking: self.lacking() }
        } else if ring.accepted().len() > 1 {
            KeyStage::Retiring { epoch, behind: self.behind() }
        } else {
            KeyStage::Settled
        }
    }

    /// Makes the next key of fresh entropy; commit the notice. If this process ends before another
    /// member has fetched the key, nobody ever gets it, the old key stays in use, and the next proposal
    /// (of a higher epoch) takes its place.
    pub fn propose(&mut self, epoch: u32, secret: [u8; 32]) -> KeyNotice {
        let key = ClusterKey { epoch, secret };
        let notice = key.notice();
        if self.drawn.len() == MAX_DRAWN {
            self.drawn.remove(0);
        }
        self.drawn.push(key);
        notice
    }

    /// All other change happens here.
    pub fn step(&mut self, now: Instant, input: KeyInput) -> Vec<KeyOutput> {
        let mut out = Vec::new();
        self.last_step = now;
        match input {
            KeyInput::Peers(peers) => {
                self.held.retain(|peer, _| peers.contains(peer));
                self.peers = peers;
            }
            KeyInput::Present(present) => self.present = present,
            KeyInput::Connected(peer) => out.push(self.holding(peer)),
            KeyInput::Committed(notice) => self.on_committed(now, notice),
            KeyInput::Message { from, message } => self.on_message(now, from, message, &mut out),
            KeyInput::Unreadable { from, epoch } => self.on_newer(now, from, epoch, &mut out),
            KeyInput::InUse(ring) => {
                self.in_use = ring;
                out.extend(self.peers.iter().map(|peer| self.holding(*peer)));
            }
            KeyInput::Tick => {}
        }
        self.advance(now, &mut out);
        self.install(now, &mut out);
        self.speak(now, &mut out);
        out
    }

    /// When the next tick is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        // What is due and was not done waits for others: looked at whenever it is time to speak.
        let change = self.change.deadline().filter(|at| *at > self.last_step);
        let speak = (self.is_asking() || self.is_changing()).then_some(self.speak_at);
        match (change, speak) {
            (Some(change), Some(speak)) => Some(change.min(speak)),
            (change, speak) => change.or(speak),
        }
    }

    fn newest(&self) -> u32 {
        self.ring().newest()
    }

    fn is_asking(&self) -> bool {
        self.wanted.is_some() && self.arrived.is_none() && !self.peers.is_empty()
    }

    fn is_changing(&self) -> bool {
        self.ring().accepted().len() > 1
    }

    /// The notice of the newest key in a ring.
    fn notice_of(ring: &Keyring) -> KeyNotice {
        ring.accepted().last().unwrap_or_else(|| ring.sealing()).notice()
    }

    fn holding(&self, to: NodeId) -> KeyOutput {
        let newest = Self::notice_of(&self.in_use);
        let (sealing, changing) = (self.in_use.sealing().epoch, self.is_changing());
        KeyOutput::Send { to, message: KeyMessage::Holding { newest, sealing, changing } }
    }

    fn lacking(&self) -> BTreeSet<NodeId> {
        let newest = Self::notice_of(self.ring());
        self.waited_for(|held| held.newest == newest || held.newest.epoch > newest.epoch)
    }

    fn behind(&self) -> BTreeSet<NodeId> {
        let newest = self.newest();
        self.waited_for(|held| held.sealing >= newest)
    }

    /// Members that are heard and have not said what `enough` asks for.
    fn waited_for(&self, enough: impl Fn(&Holding) -> bool) -> BTreeSet<NodeId> {
        let waited = self.present.intersection(&self.peers);
        waited.filter(|peer| !self.held.get(peer).is_some_and(&enough)).copied().collect()
    }

    fn on_committed(&mut self, now: Instant, notice: KeyNotice) {
        self.announced = self.announced.max(notice.epoch);
        let older = self.wanted.is_some_and(|wanted| wanted.epoch >= notice.epoch);
        if notice.epoch <= self.newest() || older {
            return;
        }
        self.wanted = Some(notice);
        self.arrived = self.drawn.iter().find(|drawn| notice.matches(drawn)).cloned();
        self.drawn.retain(|drawn| drawn.epoch > notice.epoch);
        self.speak_at = now;
    }

    fn on_message(
        &mut self,
        now: Instant,
        from: NodeId,
        message: KeyMessage,
        out: &mut Vec<KeyOutput>,
    ) {
        if !self.peers.contains(&from) {
            return;
        }
        let answer = match message {
            KeyMessage::Wanted(notice) => {
                let held = self.ring().accepted().iter().chain(&self.arrived);
                let mut given = held.filter(|key| key.epoch <= self.announced);
                given.find(|key| notice.matches(key)).cloned().map(KeyMessage::Key)
            }
            KeyMessage::Newest => self.in_use.up_to(self.announced).map(KeyMessage::Ring),
            KeyMessage::Key(key) => {
                if self.wanted.is_some_and(|wanted| wanted.matches(&key)) {
                    self.arrived = Some(key);
                }
                None
            }
            KeyMessage::Ring(ring) => {
                self.on_ring(now, from, ring, out);
                None
            }
            KeyMessage::Holding { newest, sealing, changing } => {
                self.held.insert(from, Holding { newest, sealing });
                if changing && !self.is_changing() {
                    out.push(self.holding(from));
                }
                // The log may be on its way to us with the announcement; a key that is sealed with
                // is one that we must have.
                self.on_newer(now, from, sealing, out);
                None
            }
        };
        out.extend(answer.map(|message| KeyOutput::Send { to: from, message }));
    }

    fn on_ring(&mut self, now: Instant, from: NodeId, ring: Keyring, out: &mut Vec<KeyOutput>) {
        let asked = self.newest_from.take_if(|(peer, _)| *peer == from).is_some();
        if !asked || !ring.is_sound() || ring.newest() <= self.newest() {
            return;
        }
        // All others have changed while we were away: what they use is what counts.
        let newest = ring.newest();
        self.change = KeyChange::new(now, ring, SWITCH_AFTER, RETIRE_AFTER);
        if self.wanted.is_some_and(|wanted| wanted.epoch <= newest) {
            (self.wanted, self.arrived) = (None, None);
        }
        self.speak_at = now;
        out.push(KeyOutput::Use(self.ring().clone()));
    }

    /// A member uses a key that is newer than all of ours.
    fn on_newer(&mut self, now: Instant, from: NodeId, epoch: u32, out: &mut Vec<KeyOutput>) {
        let recent = self.newest_from.is_some_and(|(_, at)| now.since(at) < SPEAK_EVERY);
        if epoch <= self.newest() || recent || !self.peers.contains(&from) {
            return;
        }
        self.newest_from = Some((from, now));
        out.push(KeyOutput::Send { to: from, message: KeyMessage::Newest });
    }

    /// Takes the next step of a change under way once it hurts nobody who is heard.
    fn advance(&mut self, now: Instant, out: &mut Vec<KeyOutput>) {
        if !self.is_changing() || self.in_use != *self.ring() {
            return;
        }
        let due = self.change.deadline().is_some_and(|at| at <= now);
        let changed = if self.ring().sealing().epoch == self.newest() {
            due && self.behind().is_empty() && self.change.retire()
        } else {
            // Who seals with it already knew that all whom it hears hold it.
            let newest = Self::notice_of(self.ring());
            let led = |held: &Holding| held.sealing == newest.epoch && held.newest == newest;
            let led = self.held.values().any(led);
            (led || (due && self.lacking().is_empty())) && self.change.switch()
        };
        if changed {
            out.push(KeyOutput::Use(self.ring().clone()));
        }
    }

    /// Takes the announced key into the ring as soon as the change before it has ended.
    fn install(&mut self, now: Instant, out: &mut Vec<KeyOutput>) {
        let Some(key) = self.arrived.clone() else { return };
        if self.change.install(now, key, SWITCH_AFTER, RETIRE_AFTER).is_ok() {
            (self.arrived, self.wanted) = (None, None);
            out.push(KeyOutput::Use(self.ring().clone()));
        }
    }

    /// Asks all peers for what is wanted, as who has it is not known, and tells them how far we are.
    fn speak(&mut self, now: Instant, out: &mut Vec<KeyOutput>) {
        if now < self.speak_at || !(self.is_asking() || self.is_changing()) {
            return;
        }
        self.speak_at = now + SPEAK_EVERY;
        let wanted = self.wanted.filter(|_| self.is_asking());
        for to in &self.peers {
            let ask = |notice| KeyOutput::Send { to: *to, message: KeyMessage::Wanted(notice) };
            out.extend(wanted.map(ask));
            if self.is_changing() {
                out.push(self.holding(*to));
            }
        }
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
