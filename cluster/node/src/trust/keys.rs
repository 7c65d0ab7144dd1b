//! New cluster keys, without a restart and without a secret in the log.
//!
//! The replicated log carries only a [`KeyNotice`]: which key comes next. The secret goes from member to
//! member over the TLS channel, where both ends are proved by certificate. So neither the log, nor its
//! snapshots and backups, nor datagrams sealed with a key that may have leaked ever contain the next one.
//!
//! ```text
//!  propose ─▶ notice ─▶ log ─▶ Committed ─▶ own key? ──yes──▶ accept both ─10 s▶ seal new ─60 s▶ refuse old
//!                                             └no▶ Wanted ─▶ peers ─▶ Key ─▶┘
//!  a frame under an unknown, newer key (we were away) ─▶ Newest ─▶ its sender ─▶ Key ─▶ use it at once
//! ```
//! [`Rotation`] is the pure machine of this; the shell commits notices, carries messages, and before it
//! gives a ring to the heartbeat thread, writes it down ([`Identity::save_keys`](super::Identity::save_keys)).

use std::collections::BTreeSet;
use std::time::Duration;

use haven_base::Instant;
use haven_messaging::{ClusterKey, KeyChange, KeyNotice, Keyring};
use haven_types::NodeId;
use serde::{Deserialize, Serialize};

use super::message::{decode, encode};

/// Time between questions for a key.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A frame of the TLS channel about cluster keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyMessage {
    /// "I lack this key, which the log announces."
    Wanted(KeyNotice),
    /// "I lack the key you seal with."
    Newest,
    /// "Here it is."
    Key(ClusterKey),
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
    /// The deadline has come. Harmless at any time.
    Tick,
}

/// What the machine wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyOutput {
    /// Write this ring down, then use it.
    Use(Keyring),
    /// Send a message over the channel. It may get lost.
    Send {
        /// The receiver.
        to: NodeId,
        /// What to say.
        message: KeyMessage,
    },
}

/// The keys of a member and their change.
#[derive(Debug)]
pub struct Rotation {
    change: KeyChange,
    peers: BTreeSet<NodeId>,
    /// Drawn here, announced perhaps; given to nobody before the log announces it.
    drawn: Option<ClusterKey>,
    /// Announced, and not in the ring yet.
    wanted: Option<KeyNotice>,
    /// The key of `wanted`, waiting for the change before it to end.
    arrived: Option<ClusterKey>,
    ask_at: Instant,
    /// Whom we asked for its newest key, and when.
    newest_from: Option<(NodeId, Instant)>,
}

impl Rotation {
    /// A member that starts with this ring.
    #[must_use]
    pub fn new(now: Instant, ring: Keyring) -> Self {
        Self {
            change: KeyChange::new(now, ring),
            peers: BTreeSet::new(),
            drawn: None,
            wanted: None,
            arrived: None,
            ask_at: now,
            newest_from: None,
        }
    }

    /// The keys in use.
    #[must_use]
    pub fn ring(&self) -> &Keyring {
        self.change.ring()
    }

    /// Makes the next key of fresh entropy; commit the notice. Only the last proposal counts. If this
    /// process ends before another member has fetched the key, nobody ever gets it, the old key stays in
    /// use, and the next proposal (of a higher epoch) takes its place.
    pub fn propose(&mut self, epoch: u32, secret: [u8; 32]) -> KeyNotice {
        let key = ClusterKey { epoch, secret };
        let notice = key.notice();
        self.drawn = Some(key);
        notice
    }

    /// All other change happens here.
    pub fn step(&mut self, now: Instant, input: KeyInput) -> Vec<KeyOutput> {
        let mut out = Vec::new();
        match input {
            KeyInput::Peers(peers) => self.peers = peers,
            KeyInput::Committed(notice) => self.on_committed(now, notice),
            KeyInput::Message { from, message } => self.on_message(now, from, message, &mut out),
            KeyInput::Unreadable { from, epoch } => self.on_unreadable(now, from, epoch, &mut out),
            KeyInput::Tick => {}
        }
        if self.change.tick(now) {
            out.push(KeyOutput::Use(self.ring().clone()));
        }
        self.install(now, &mut out);
        self.ask(now, &mut out);
        out
    }

    /// When the next tick is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let ask = self.is_asking().then_some(self.ask_at);
        match (self.change.deadline(), ask) {
            (Some(change), Some(ask)) => Some(change.min(ask)),
            (change, ask) => change.or(ask),
        }
    }

    fn newest(&self) -> u32 {
        self.ring().accepted().iter().map(|key| key.epoch).max().unwrap_or(0)
    }

    fn is_asking(&self) -> bool {
        self.wanted.is_some() && self.arrived.is_none() && !self.peers.is_empty()
    }

    fn on_committed(&mut self, now: Instant, notice: KeyNotice) {
        let older = self.wanted.is_some_and(|wanted| wanted.epoch >= notice.epoch);
        if notice.epoch <= self.newest() || older {
            return;
        }
        self.wanted = Some(notice);
        self.arrived = self.drawn.take_if(|drawn| notice.matches(drawn));
        self.ask_at = now;
    }

    fn on_message(
        &mut self,
        now: Instant,
        from: NodeId,
        message: KeyMessage,
        out: &mut Vec<KeyOutput>,
    ) {
        let answer = match message {
            KeyMessage::Wanted(notice) => {
                let held = self.ring().accepted().iter().chain(&self.arrived);
                held.into_iter().find(|key| notice.matches(key)).cloned()
            }
            KeyMessage::Newest => Some(self.ring().sealing().clone()),
            KeyMessage::Key(key) => {
                self.on_key(now, from, key, out);
                None
            }
        };
        if let Some(key) = answer {
            out.push(KeyOutput::Send { to: from, message: KeyMessage::Key(key) });
        }
    }

    fn on_key(&mut self, now: Instant, from: NodeId, key: ClusterKey, out: &mut Vec<KeyOutput>) {
        if self.wanted.is_some_and(|wanted| wanted.matches(&key)) {
            self.arrived = Some(key);
            return;
        }
        let asked = self.newest_from.take_if(|(peer, _)| *peer == from).is_some();
        if asked && key.epoch > self.newest() {
            // All others have changed while we were away: nobody needs the old key any more.
            self.change.replace(key);
            self.wanted =
                self.wanted.take_if(|wanted| wanted.epoch > self.change.ring().sealing().epoch);
            self.arrived = None;
            self.ask_at = now;
            out.push(KeyOutput::Use(self.ring().clone()));
        }
    }

    fn on_unreadable(&mut self, now: Instant, from: NodeId, epoch: u32, out: &mut Vec<KeyOutput>) {
        let recent = self.newest_from.is_some_and(|(_, at)| now.since(at) < ASK_EVERY);
        if epoch <= self.newest() || recent || !self.peers.contains(&from) {
            return;
        }
        self.newest_from = Some((from, now));
        out.push(KeyOutput::Send { to: from, message: KeyMessage::Newest });
    }

    /// Takes the announced key into the ring as soon as the change before it has ended.
    fn install(&mut self, now: Instant, out: &mut Vec<KeyOutput>) {
        let Some(key) = self.arrived.clone() else { return };
        let (switch, retire) = (KeyChange::SWITCH_AFTER, KeyChange::RETIRE_AFTER);
        if self.change.install(now, key, switch, retire).is_ok() {
            (self.arrived, self.wanted) = (None, None);
            out.push(KeyOutput::Use(self.ring().clone()));
        }
    }

    /// Asks all peers: who has the key is not known.
    fn ask(&mut self, now: Instant, out: &mut Vec<KeyOutput>) {
        let Some(notice) = self.wanted.filter(|_| self.is_asking() && now >= self.ask_at) else {
            return;
        };
        self.ask_at = now + ASK_EVERY;
        for to in &self.peers {
            out.push(KeyOutput::Send { to: *to, message: KeyMessage::Wanted(notice) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use haven_base::Rng;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// Members whose messages arrive after a while, or get lost.
    struct Members {
        rng: Rng,
        now: u64,
        nodes: BTreeMap<NodeId, Rotation>,
        flying: BTreeMap<(u64, u64), (NodeId, NodeId, KeyMessage)>,
        loss: u64,
        away: BTreeSet<NodeId>,
    }

    impl Members {
        fn new(seed: u64, count: u16) -> Self {
            let ring = Keyring::new(ClusterKey { epoch: 1, secret: [1; 32] });
            let ids: BTreeSet<NodeId> = (1..=count).map(NodeId).collect();
            let node = |id: &NodeId| {
                let mut rotation = Rotation::new(at(0), ring.clone());
                let peers = ids.iter().filter(|peer| *peer != id).copied().collect();
                assert!(rotation.step(at(0), KeyInput::Peers(peers)).is_empty());
                (*id, rotation)
            };
            let nodes = ids.iter().map(node).collect();
            let (flying, away) = (BTreeMap::new(), BTreeSet::new());
            Self { rng: Rng::new(seed), now: 0, nodes, flying, loss: 0, away }
        }

        fn feed(&mut self, id: NodeId, input: KeyInput) {
            let outputs = self.nodes.get_mut(&id).unwrap().step(at(self.now), input);
            for output in outputs {
                if let KeyOutput::Send { to, message } = output
                    && !self.rng.chance(self.loss, 100)
                {
                    let arrival = (self.now + self.rng.below(50), self.rng.next_u64());
                    self.flying.insert(arrival, (id, to, message));
                }
            }
        }

        fn run(&mut self, until: u64) {
            while self.now < until {
                self.now += 10;
                while let Some(entry) = self.flying.first_entry() {
                    if entry.key().0 > self.now {
                        break;
                    }
                    let (from, to, message) = entry.remove();
                    if !self.away.contains(&from) && !self.away.contains(&to) {
                        self.feed(to, KeyInput::Message { from, message });
                    }
                }
                let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
                for id in &ids {
                    if !self.away.contains(id) {
                        self.feed(*id, KeyInput::Tick);
                    }
                }
                self.check_readable();
            }
        }

        /// Present members always understand each other.
        fn check_readable(&self) {
            let present = || self.nodes.iter().filter(|(id, _)| !self.away.contains(id));
            for (from, sender) in present() {
                for (to, receiver) in present() {
                    let key = sender.ring().sealing();
                    let held = receiver.ring().get(key.epoch) == Some(key);
                    assert!(held, "{to} cannot read {from} at {} ms", self.now);
                }
            }
        }

        fn commit(&mut self, notice: KeyNotice) {
            let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
            for id in ids {
                if !self.away.contains(&id) {
                    let next = self.now + self.rng.below(20);
                    self.run(next);
                    self.feed(id, KeyInput::Committed(notice));
                    self.feed(id, KeyInput::Committed(notice));
                }
            }
        }

        fn epochs(&self) -> Vec<Vec<u32>> {
            let of = |node: &Rotation| node.ring().accepted().iter().map(|key| key.epoch).collect();
            self.nodes.values().map(of).collect()
        }
    }

    #[test]
    fn all_members_change_without_a_moment_of_not_understanding_each_other() {
        for seed in 0..20 {
            let mut members = Members::new(seed, 5);
            members.loss = 30;
            let notice = members.nodes.get_mut(&NodeId(3)).unwrap().propose(2, [9; 32]);
            members.commit(notice);
            members.run(9_000);
            assert_eq!(members.epochs(), vec![vec![1, 2]; 5], "seed {seed}");
            members.run(90_000);
            assert_eq!(members.epochs(), vec![vec![2]; 5], "seed {seed}");
            assert!(members.nodes.values().all(|node| node.deadline().is_none()), "at rest");
        }
    }

    #[test]
    fn a_change_announced_during_another_follows_it() {
        let mut members = Members::new(1, 3);
        let first = members.nodes.get_mut(&NodeId(1)).unwrap().propose(2, [2; 32]);
        members.commit(first);
        members.run(5_000);
        let second = members.nodes.get_mut(&NodeId(2)).unwrap().propose(3, [3; 32]);
        members.commit(second);
        members.run(50_000);
        assert_eq!(members.epochs(), vec![vec![1, 2]; 3]);
        members.run(200_000);
        assert_eq!(members.epochs(), vec![vec![3]; 3]);
    }

    #[test]
    fn a_key_that_nobody_holds_is_skipped_by_the_next() {
        let mut members = Members::new(2, 3);
        let lost = ClusterKey { epoch: 2, secret: [5; 32] }.notice();
        members.commit(lost);
        members.run(30_000);
        assert_eq!(members.epochs(), vec![vec![1]; 3], "the old key stays");
        let next = members.nodes.get_mut(&NodeId(2)).unwrap().propose(3, [6; 32]);
        members.commit(next);
        members.run(120_000);
        assert_eq!(members.epochs(), vec![vec![3]; 3]);
    }

    #[test]
    fn a_member_that_was_away_fetches_the_key_that_it_cannot_read() {
        let mut members = Members::new(3, 3);
        members.away.insert(NodeId(3));
        let notice = members.nodes.get_mut(&NodeId(1)).unwrap().propose(2, [2; 32]);
        members.commit(notice);
        members.run(100_000);
        assert_eq!(members.epochs(), [vec![2], vec![2], vec![1]]);
        // It is back; beats of the others arrive, and it cannot read them.
        members.away.clear();
        for _ in 0..10 {
            members.feed(NodeId(3), KeyInput::Unreadable { from: NodeId(1), epoch: 2 });
        }
        let asked = members.flying.len();
        assert_eq!(asked, 1, "asked once, not with each beat");
        for _ in 0..20 {
            members.now += 10;
            let arrived: Vec<_> = std::mem::take(&mut members.flying).into_values().collect();
            for (from, to, message) in arrived {
                members.feed(to, KeyInput::Message { from, message });
            }
        }
        assert_eq!(members.epochs(), vec![vec![2]; 3]);
        members.feed(NodeId(3), KeyInput::Committed(notice));
        members.run(110_000);
        assert_eq!(members.epochs(), vec![vec![2]; 3]);
    }

    #[test]
    fn keys_nobody_asked_for_or_announced_are_ignored() {
        let mut members = Members::new(4, 2);
        let forged = ClusterKey { epoch: 2, secret: [7; 32] };
        let message = KeyMessage::Key(forged.clone());
        members.feed(NodeId(1), KeyInput::Message { from: NodeId(2), message: message.clone() });
        let notice = members.nodes.get_mut(&NodeId(2)).unwrap().propose(2, [8; 32]);
        members.feed(NodeId(1), KeyInput::Committed(notice));
        members.feed(NodeId(1), KeyInput::Message { from: NodeId(2), message });
        assert_eq!(members.epochs(), [vec![1], vec![1]]);
        // A proposal is given to nobody before it is committed.
        let before = members.flying.len();
        let wanted = KeyMessage::Wanted(notice);
        members.feed(NodeId(2), KeyInput::Message { from: NodeId(1), message: wanted });
        assert_eq!(members.flying.len(), before);
        // A stranger's frame makes nobody ask.
        members.feed(NodeId(2), KeyInput::Unreadable { from: NodeId(9), epoch: 5 });
        assert_eq!(members.flying.len(), before);
    }
}
