use haven_base::Rng;

use super::*;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn first() -> Keyring {
    Keyring::new(ClusterKey { epoch: 1, secret: [1; 32] })
}

/// Members whose messages arrive after a while, or get lost, and whose disks take their time.
struct Members {
    rng: Rng,
    now: u64,
    nodes: BTreeMap<NodeId, Rotation>,
    flying: BTreeMap<(u64, u64), (NodeId, NodeId, KeyMessage)>,
    writing: BTreeMap<(u64, u64), (NodeId, Keyring)>,
    /// Percent of messages lost.
    loss: u64,
    away: BTreeSet<NodeId>,
    /// Pairs whose channel is broken, both ways, though they hear each other.
    broken: BTreeSet<(NodeId, NodeId)>,
    /// Returned and not expected to be understood yet.
    returning: BTreeSet<NodeId>,
}

impl Members {
    fn new(seed: u64, count: u16) -> Self {
        let ids: BTreeSet<NodeId> = (1..=count).map(NodeId).collect();
        let mut members = Self {
            rng: Rng::new(seed),
            now: 0,
            nodes: ids.iter().map(|id| (*id, Rotation::new(at(0), first()))).collect(),
            flying: BTreeMap::new(),
            writing: BTreeMap::new(),
            loss: 0,
            away: BTreeSet::new(),
            broken: BTreeSet::new(),
            returning: BTreeSet::new(),
        };
        for id in &ids {
            members.introduce(*id);
        }
        members
    }

    fn others(&self, id: NodeId) -> BTreeSet<NodeId> {
        self.nodes.keys().filter(|peer| **peer != id).copied().collect()
    }

    fn introduce(&mut self, id: NodeId) {
        let peers = self.others(id);
        self.feed(id, KeyInput::Peers(peers));
        self.tell_present();
    }

    fn tell_present(&mut self) {
        for id in self.ids() {
            let heard = self.others(id).difference(&self.away).copied().collect();
            self.feed(id, KeyInput::Present(heard));
        }
    }

    fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().filter(|id| !self.away.contains(id)).copied().collect()
    }

    fn node(&mut self, id: u16) -> &mut Rotation {
        self.nodes.get_mut(&NodeId(id)).unwrap()
    }

    fn feed(&mut self, id: NodeId, input: KeyInput) {
        let now = at(self.now);
        let node = self.nodes.get_mut(&id).unwrap();
        let outputs = node.step(now, input);
        assert!(node.deadline().is_none_or(|due| due > now), "it spins");
        for output in outputs {
            match output {
                KeyOutput::Send { to, message } => {
                    let path = (id.min(to), id.max(to));
                    if !self.broken.contains(&path) && !self.rng.chance(self.loss, 100) {
                        let arrival = (self.now + self.rng.below(50), self.rng.next_u64());
                        self.flying.insert(arrival, (id, to, message));
                    }
                }
                KeyOutput::Use(ring) => {
                    // One disk does one thing after the other.
                    let before = self.writing.iter().filter(|(_, (of, _))| *of == id);
                    let free = before.map(|((done, _), _)| *done).max().unwrap_or(self.now);
                    let done = (free + 1 + self.rng.below(40), self.rng.next_u64());
                    self.writing.insert(done, (id, ring));
                }
            }
        }
    }

    fn run(&mut self, until: u64) {
        while self.now < until {
            self.now += 10;
            while let Some(entry) = self.writing.first_entry().filter(|e| e.key().0 <= self.now) {
                let (id, ring) = entry.remove();
                self.feed(id, KeyInput::InUse(ring));
            }
            while let Some(entry) = self.flying.first_entry().filter(|e| e.key().0 <= self.now) {
                let (from, to, message) = entry.remove();
                if !self.away.contains(&from) && !self.away.contains(&to) {
                    self.feed(to, KeyInput::Message { from, message });
                }
            }
            for id in self.ids() {
                let due = self.nodes[&id].deadline();
                if due.is_some_and(|due| due <= at(self.now)) || self.rng.chance(1, 100) {
                    self.feed(id, KeyInput::Tick);
                }
            }
            self.check_readable();
        }
    }

    /// Present members always understand each other.
    fn check_readable(&self) {
        let settled = |id: &&NodeId| !self.away.contains(id) && !self.returning.contains(id);
        for from in self.nodes.keys().filter(settled) {
            for to in self.nodes.keys().filter(settled) {
                let key = self.nodes[from].in_use.sealing();
                let held = self.nodes[to].in_use.get(key.epoch) == Some(key);
                assert!(held, "{to} cannot read {from} at {} ms", self.now);
            }
        }
    }

    fn commit(&mut self, notice: KeyNotice) {
        for id in self.ids() {
            let next = self.now + self.rng.below(20);
            self.run(next);
            self.feed(id, KeyInput::Committed(notice));
            self.feed(id, KeyInput::Committed(notice));
        }
    }

    fn propose(&mut self, id: u16, epoch: u32) -> KeyNotice {
        self.node(id).propose(epoch, [u8::try_from(epoch).unwrap(); 32])
    }

    fn leave(&mut self, id: u16) {
        self.away.insert(NodeId(id));
        self.tell_present();
    }

    /// It is back with what it has, or with what its disk has where its daemon starts anew.
    fn come_back(&mut self, id: u16, restarted: bool) {
        let id = NodeId(id);
        self.away.remove(&id);
        self.returning.insert(id);
        if restarted {
            let ring = self.nodes[&id].in_use.clone();
            self.writing.retain(|_, (of, _)| *of != id);
            self.nodes.insert(id, Rotation::new(at(self.now), ring));
            self.introduce(id);
        }
        self.tell_present();
        for peer in self.others(id) {
            self.feed(id, KeyInput::Connected(peer));
            if !self.away.contains(&peer) {
                self.feed(peer, KeyInput::Connected(id));
            }
        }
    }

    fn epochs(&self) -> Vec<Vec<u32>> {
        let of = |node: &Rotation| node.in_use.accepted().iter().map(|key| key.epoch).collect();
        self.nodes.values().map(of).collect()
    }

    fn assert_at_rest_with(&self, epoch: u32) {
        assert_eq!(self.epochs(), vec![vec![epoch]; self.nodes.len()]);
        for node in self.nodes.values() {
            assert_eq!((node.stage(), node.deadline()), (KeyStage::Settled, None));
        }
    }
}

#[test]
fn all_members_change_without_a_moment_of_not_understanding_each_other() {
    for seed in 0..20 {
        let mut members = Members::new(seed, 5);
        members.loss = 30;
        let notice = members.propose(3, 2);
        members.commit(notice);
        members.run(30_000);
        assert!(members.nodes.values().all(|node| node.in_use.sealing().epoch == 2), "seed {seed}");
        members.run(90_000);
        members.assert_at_rest_with(2);
    }
}

#[test]
fn a_quiet_change_takes_seconds() {
    let mut members = Members::new(7, 3);
    let notice = members.propose(1, 2);
    members.commit(notice);
    members.run(3_000);
    assert!(members.nodes.values().all(|node| node.in_use.sealing().epoch == 2));
    members.run(23_000);
    members.assert_at_rest_with(2);
}

#[test]
fn a_change_is_as_quick_where_a_daemon_starts_anew_in_the_midst_of_it() {
    let mut members = Members::new(7, 3);
    let notice = members.propose(1, 2);
    members.commit(notice);
    members.run(1_000);
    members.leave(3);
    members.come_back(3, true);
    members.feed(NodeId(3), KeyInput::Committed(notice));
    members.returning.clear();
    assert_eq!(members.node(3).ring().accepted().len(), 2);
    members.run(4_500);
    assert!(members.nodes.values().all(|node| node.in_use.sealing().epoch == 2));
    members.run(24_500);
    members.assert_at_rest_with(2);
}

#[test]
fn a_change_announced_during_another_follows_it() {
    let mut members = Members::new(1, 3);
    let notice = members.propose(1, 2);
    members.commit(notice);
    members.run(500);
    let notice = members.propose(2, 3);
    members.commit(notice);
    members.run(15_000);
    assert_eq!(members.epochs(), vec![vec![1, 2]; 3]);
    assert_eq!(members.node(1).stage(), KeyStage::Fetching { epoch: 3 });
    members.run(200_000);
    members.assert_at_rest_with(3);
}

#[test]
fn two_proposals_of_one_member_are_both_remembered() {
    let mut members = Members::new(2, 3);
    let first = members.propose(1, 2);
    let second = members.node(1).propose(2, [77; 32]);
    assert_ne!(first, second);
    members.commit(first);
    members.run(60_000);
    members.assert_at_rest_with(2);
}

#[test]
fn a_key_that_nobody_holds_is_skipped_by_the_next() {
    let mut members = Members::new(2, 3);
    let lost = ClusterKey { epoch: 2, secret: [5; 32] }.notice();
    members.commit(lost);
    members.run(30_000);
    assert_eq!(members.epochs(), vec![vec![1]; 3], "the old key stays");
    assert_eq!(members.node(1).stage(), KeyStage::Fetching { epoch: 2 });
    let next = members.propose(2, 3);
    members.commit(next);
    members.run(120_000);
    members.assert_at_rest_with(3);
}

#[test]
fn a_member_that_cannot_be_given_the_key_is_waited_for_and_named() {
    let mut members = Members::new(5, 3);
    members.broken = [(NodeId(1), NodeId(3)), (NodeId(2), NodeId(3))].into();
    let notice = members.propose(1, 2);
    members.commit(notice);
    members.run(300_000);
    assert_eq!(members.epochs(), [vec![1, 2], vec![1, 2], vec![1]]);
    let lacking = BTreeSet::from([NodeId(3)]);
    assert_eq!(members.node(1).stage(), KeyStage::Spreading { epoch: 2, lacking });
    members.broken.clear();
    members.run(330_000);
    members.assert_at_rest_with(2);
}

#[test]
fn one_broken_channel_is_gone_round_and_the_old_key_kept() {
    let mut members = Members::new(6, 3);
    members.broken = [(NodeId(1), NodeId(3))].into();
    let notice = members.propose(1, 2);
    members.commit(notice);
    members.run(100_000);
    // n2 speaks with both and led them; those two cannot hear of each other's progress.
    assert_eq!(members.node(2).stage(), KeyStage::Settled);
    let behind = BTreeSet::from([NodeId(3)]);
    assert_eq!(members.node(1).stage(), KeyStage::Retiring { epoch: 2, behind });
    members.broken.clear();
    members.run(105_000);
    members.assert_at_rest_with(2);
}

#[test]
fn a_member_that_was_away_learns_the_key_when_it_returns() {
    for (seed, restarted) in [(1, false), (2, true)] {
        let mut members = Members::new(seed, 3);
        members.leave(3);
        let notice = members.propose(1, 2);
        members.commit(notice);
        members.run(100_000);
        assert_eq!(members.epochs(), [vec![2], vec![2], vec![1]], "nobody waited for it");
        members.come_back(3, restarted);
        members.run(100_300);
        members.assert_at_rest_with(2);
        members.feed(NodeId(3), KeyInput::Committed(notice));
        members.run(110_000);
        members.assert_at_rest_with(2);
    }
}

#[test]
fn a_member_that_returns_in_the_midst_of_a_change_takes_part_in_it() {
    for seed in 0..40 {
        let mut members = Members::new(seed, 3);
        members.leave(3);
        let notice = members.propose(1, 2);
        members.commit(notice);
        members.run(1_000 + seed * 700);
        members.come_back(3, seed % 2 == 0);
        members.run(members.now + 500);
        members.returning.clear();
        members.check_readable();
        members.feed(NodeId(3), KeyInput::Committed(notice));
        members.run(members.now + 60_000);
        members.assert_at_rest_with(2);
    }
}

#[test]
fn a_restart_at_any_moment_of_a_change_hurts_nobody() {
    for seed in 0..60 {
        let mut members = Members::new(seed, 4);
        members.loss = 20;
        let notice = members.propose(1, 2);
        members.commit(notice);
        members.run(seed * 400);
        let who = 1 + u16::try_from(seed % 4).unwrap();
        members.leave(who);
        members.run(members.now + 100);
        members.come_back(who, true);
        // Its log comes first, as a start replays it.
        members.feed(NodeId(who), KeyInput::Committed(notice));
        members.run(members.now + 1_500);
        members.returning.clear();
        members.run(members.now + 120_000);
        members.assert_at_rest_with(2);
    }
}

#[test]
fn unreadable_frames_make_a_member_ask_once_a_second() {
    let mut members = Members::new(3, 3);
    for _ in 0..10 {
        members.feed(NodeId(3), KeyInput::Unreadable { from: NodeId(1), epoch: 2 });
    }
    assert_eq!(members.flying.len(), 1, "asked once, not with each beat");
    members.now += 1_000;
    members.feed(NodeId(3), KeyInput::Unreadable { from: NodeId(1), epoch: 2 });
    assert_eq!(members.flying.len(), 2);
    // A stranger's frame makes nobody ask, nor does an old key.
    members.now += 1_000;
    members.feed(NodeId(2), KeyInput::Unreadable { from: NodeId(9), epoch: 5 });
    members.feed(NodeId(2), KeyInput::Unreadable { from: NodeId(1), epoch: 1 });
    assert_eq!(members.flying.len(), 2);
}

#[test]
fn keys_nobody_asked_for_or_announced_are_ignored() {
    let mut members = Members::new(4, 2);
    let forged = ClusterKey { epoch: 2, secret: [7; 32] };
    let key = KeyMessage::Key(forged.clone());
    let ring = KeyMessage::Ring(Keyring::new(forged));
    for message in [key.clone(), ring] {
        members.feed(NodeId(1), KeyInput::Message { from: NodeId(2), message });
    }
    let notice = members.propose(2, 2);
    members.feed(NodeId(1), KeyInput::Committed(notice));
    members.feed(NodeId(1), KeyInput::Message { from: NodeId(2), message: key });
    assert_eq!(members.epochs(), [vec![1], vec![1]]);
    // A proposal is given to nobody before it is committed.
    let before = members.flying.len();
    let message = KeyMessage::Wanted(notice);
    members.feed(NodeId(2), KeyInput::Message { from: NodeId(1), message });
    assert_eq!(members.flying.len(), before);
}

#[test]
fn a_key_is_passed_on_only_where_the_log_announced_it() {
    let mut members = Members::new(8, 3);
    members.leave(2);
    let notice = members.propose(1, 2);
    members.commit(notice);
    members.run(60_000);
    members.come_back(2, false);
    members.run(61_000);
    assert_eq!(members.node(2).ring().newest(), 2, "fetched ahead of its log");
    // For it node 3 is a member still, though it may have been removed before the announcement.
    let removed = NodeId(3);
    let before = members.flying.len();
    for message in [KeyMessage::Newest, KeyMessage::Wanted(notice)] {
        members.feed(NodeId(2), KeyInput::Message { from: removed, message });
    }
    assert_eq!(members.flying.len(), before, "given to nobody yet");
    members.feed(NodeId(2), KeyInput::Committed(notice));
    members.feed(NodeId(2), KeyInput::Message { from: removed, message: KeyMessage::Newest });
    assert_eq!(members.flying.len(), before + 1);
    // Who is no member here is not heard at all.
    let message = KeyMessage::Newest;
    members.feed(NodeId(2), KeyInput::Message { from: NodeId(9), message });
    assert_eq!(members.flying.len(), before + 1);
}

#[test]
fn messages_survive_the_channel_and_damage_is_no_message() {
    let ring = first();
    let newest = ring.sealing().notice();
    let all = [
        KeyMessage::Wanted(newest),
        KeyMessage::Newest,
        KeyMessage::Key(ring.sealing().clone()),
        KeyMessage::Ring(ring),
        KeyMessage::Holding { newest, sealing: 1, changing: true },
    ];
    for message in all {
        let bytes = message.encode();
        assert_eq!(KeyMessage::decode(&bytes), Some(message));
        for end in 0..bytes.len() {
            assert_eq!(KeyMessage::decode(&bytes[..end]), None);
        }
    }
}
