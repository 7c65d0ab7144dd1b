//! What holds whatever comes: a holder beside a model of L2, L3 and L5 that shares no arithmetic and no counting with it.

use std::collections::BTreeMap;

use haven_base::Rng;

use super::*;

const GROUPS: [GroupId; 2] = [GroupId(1), GroupId(2)];
/// D of every beat of the histories with one D.
const D: u64 = 60;

/// A beat as the voters saw it.
struct Sent {
    at: Instant,
    d: u64,
    claimed: Vec<GroupId>,
    /// By voter: the highest entry its answers named, and what any of them promised.
    votes: BTreeMap<u16, (u64, BTreeSet<GroupId>)>,
}

impl Sent {
    /// Send time + D·(1−ρ) − 2 ticks.
    fn end(&self) -> Instant {
        Instant::from_nanos(self.at.as_nanos() + self.d * 900_000 - 2 * 4_000_000)
    }

    /// Whether a majority promised `group`, as far as a log of `known` entries can tell.
    fn promised(&self, group: GroupId, known: u64) -> bool {
        let counted = || self.votes.iter().filter(|(_, (named, _))| *named <= known);
        let halves: &[[u16; 3]] = match counted().map(|(_, (named, _))| *named).max() {
            None => return false,
            Some(1) => &[[1, 2, 3]],
            Some(2) => &[[1, 4, 5], [1, 2, 3]],
            Some(_) => &[[2, 4, 5]],
        };
        halves.iter().all(|half| {
            let agree = |(voter, (_, promised)): &(&u16, &(u64, BTreeSet<GroupId>))| {
                half.contains(voter) && promised.contains(&group)
            };
            counted().filter(agree).count() >= 2
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Free,
    Asking,
    /// The gate's deletion is awaited; then it asks again at this epoch.
    Closing(Ticket, Option<Epoch>),
}

/// What a holder should know of one group.
#[derive(Debug)]
struct Group {
    standing: Standing,
    epoch: Epoch,
    /// The first beat whose answers count.
    from: Seq,
    newest: Option<Seq>,
    until: Option<Instant>,
    /// Gate orders given and not acknowledged.
    orders: Vec<(Ticket, Seq)>,
    open: Option<Instant>,
    gated: Option<Seq>,
    held: bool,
    /// What the voters are told since the last deletion: from which beat on nothing is cancelled.
    released: Option<Seq>,
}

impl Group {
    fn new(standing: Standing, epoch: Epoch, from: Seq, released: Option<Seq>) -> Self {
        Self {
            standing,
            epoch,
            from,
            newest: None,
            until: None,
            orders: Vec::new(),
            open: None,
            gated: None,
            held: false,
            released,
        }
    }

    fn lose(&mut self) -> bool {
        self.until = None;
        self.orders.clear();
        self.open = None;
        std::mem::take(&mut self.held)
    }
}

/// How often what happened, so that no history passes because nothing happens in it.
#[derive(Default, Debug)]
struct Seen {
    renewed: u64,
    shortened: u64,
    gained: u64,
    lost: BTreeMap<LossCause, u64>,
    released: u64,
    late: u64,
    copies: u64,
}

struct World {
    rng: Rng,
    holder: Holder,
    now: Instant,
    log: u64,
    one_d: bool,
    beats: BTreeMap<Seq, Sent>,
    groups: BTreeMap<GroupId, Group>,
    tickets: Vec<(GroupId, Ticket)>,
    seen: Seen,
}

impl World {
    fn new(seed: u64, one_d: bool) -> Self {
        let mut rng = Rng::new(seed);
        let mut holder = Holder::new(ME, BOOT, Terms::default(), log(1));
        let free = |group| (group, Group::new(Standing::Free, Epoch(0), Seq(1), None));
        let mut groups: BTreeMap<_, _> = GROUPS.map(free).into();
        let now = at(1_000);
        if rng.chance(1, 3) {
            let deadline = now + ms(20);
            holder.adopt(G, Epoch(1), deadline);
            let group = groups.get_mut(&G).unwrap();
            *group = Group::new(Standing::Asking, Epoch(1), Seq(1), None);
            (group.until, group.open, group.held) = (Some(deadline), Some(deadline), true);
        }
        let (beats, tickets) = (BTreeMap::new(), Vec::new());
        Self { rng, holder, now, log: 1, one_d, beats, groups, tickets, seen: Seen::default() }
    }

    fn live(&mut self, steps: u64) {
        for _ in 0..steps {
            let group = GROUPS[self.rng.below(2) as usize];
            match self.rng.below(100) {
                0..25 => self.now += ms(self.rng.below(12)),
                25..45 => self.beat(),
                45..70 => self.answers(),
                70..75 => self.claim(group),
                75 => self.release(group),
                76 => self.superseded(group),
                77..93 => self.acknowledge(),
                93 => {
                    self.log = 1 + self.rng.below(3);
                    self.holder.set_log(log(self.log as usize));
                }
                _ => self.tick(),
            }
            self.compare();
        }
    }

    fn beat(&mut self) {
        let d = if self.one_d { D } else { 20 + self.rng.below(150) };
        let (seq, claims, releases) = self.holder.beat(self.now, ms(d));
        let asking = |(_, group): &(&GroupId, &Group)| group.standing == Standing::Asking;
        let expected: Vec<Claim> = self
            .groups
            .iter()
            .filter(asking)
            .map(|(&group, of)| Claim { group, epoch: of.epoch, gated: of.gated })
            .collect();
        assert_eq!(claims, expected, "claims of {seq:?}");
        for Release { group, before } in releases {
            let of = &self.groups[&group];
            assert_eq!(Some(before), of.released, "a release that the kernel did not acknowledge");
        }
        let claimed = claims.iter().map(|claim| claim.group).collect();
        let sent = Sent { at: self.now, d, claimed, votes: BTreeMap::new() };
        assert!(self.beats.insert(seq, sent).is_none(), "{seq:?} twice");
    }

    /// Some voters answer one beat, each once or by several copies.
    fn answers(&mut self) {
        let Some(&newest) = self.beats.keys().last() else { return };
        let back = self.rng.below(3) * self.rng.below(4);
        let seq = Seq(newest.0.saturating_sub(back).max(1));
        for voter in [1, 2, 3, 4, 5, 7] {
            for _ in 0..self.rng.below(3) {
                self.answer(voter, seq);
            }
        }
    }

    fn answer(&mut self, voter: u16, seq: Seq) {
        let names = if self.rng.chance(1, 8) { 1 + self.rng.below(4) } else { self.log };
        let boot = if self.rng.chance(1, 12) { BootId(4) } else { BOOT };
        let refused: Vec<GroupId> = GROUPS.into_iter().filter(|_| self.rng.chance(1, 8)).collect();
        let refusal = |&group: &GroupId| Refusal {
            group,
            cause: RefusalCause::Promised,
            retry_micros: 5_000,
        };
        let refusals: Vec<Refusal> = refused.iter().map(refusal).collect();
        let mut out = Vec::new();
        let (named, node) = (position(names), NodeId(voter));
        let told = self.holder.answer(self.now, node, boot, seq, named, &refusals, &mut out);
        assert_eq!(told.matched, boot == BOOT);
        let mut expected = Vec::new();
        if told.matched {
            self.count(voter, seq, names, &refused);
            for group in GROUPS {
                expected.extend(self.renew(group, seq));
            }
        }
        let renewed = out.iter().map(|output| {
            let HolderOutput::Gate(GateOrder::Renew { group, deadline, ticket, .. }) = *output
            else {
                panic!("an answer brought about {output:?}");
            };
            self.tickets.push((group, ticket));
            self.groups.get_mut(&group).unwrap().orders.push((ticket, seq));
            (group, deadline)
        });
        assert_eq!(renewed.collect::<Vec<_>>(), expected, "orders after {voter} answered {seq:?}");
    }

    fn count(&mut self, voter: u16, seq: Seq, names: u64, refused: &[GroupId]) {
        let votes = &mut self.beats.get_mut(&seq).unwrap().votes;
        self.seen.copies += u64::from(votes.contains_key(&voter));
        let (named, promised) = votes.entry(voter).or_default();
        *named = names.max(*named);
        promised.extend(GROUPS.iter().filter(|group| !refused.contains(group)));
    }

    /// What L3 makes of an answer to `seq`: the end of the lease that the gate has to follow to.
    fn renew(&mut self, group: GroupId, seq: Seq) -> Option<(GroupId, Instant)> {
        let beat = &self.beats[&seq];
        let end = beat.end();
        let of = self.groups.get_mut(&group).unwrap();
        let promised = beat.promised(group, self.log) && end > self.now;
        if of.standing != Standing::Asking || seq < of.from {
            self.seen.late += u64::from(promised && of.from > Seq(1));
            return None;
        }
        if !promised || of.newest.is_some_and(|newest| seq <= newest) {
            return None;
        }
        assert!(beat.claimed.contains(&group), "{seq:?} did not claim {group:?}");
        let shorter = of.until.is_some_and(|until| end < until);
        assert!(!(shorter && self.one_d), "a lease of the same D that ends earlier");
        self.seen.renewed += 1;
        self.seen.shortened += u64::from(shorter);
        (of.newest, of.until) = (Some(seq), Some(end));
        let ordered = of.orders.last().map(|(_, seq)| self.beats[seq].end()).or(of.open);
        let eighth = (end - beat.at) / 8;
        let far = ordered.is_none_or(|ordered| end < ordered || end - ordered >= eighth);
        (far && of.orders.len() < 16).then_some((group, end))
    }

    fn claim(&mut self, group: GroupId) {
        let epoch = Epoch(self.groups[&group].epoch.0 + self.rng.below(2));
        let mut out = Vec::new();
        self.holder.claim(group, epoch, &mut out).unwrap();
        assert_eq!(out, [HolderOutput::BeatNow]);
        let next = self.next_seq();
        let of = self.groups.get_mut(&group).unwrap();
        match &mut of.standing {
            Standing::Free => *of = Group::new(Standing::Asking, epoch, next, of.released),
            Standing::Asking => of.epoch = epoch,
            Standing::Closing(_, again) => *again = Some(epoch),
        }
    }

    fn next_seq(&self) -> Seq {
        self.beats.keys().last().map_or(Seq(1), |seq| Seq(seq.0 + 1))
    }

    fn release(&mut self, group: GroupId) {
        let mut out = Vec::new();
        self.holder.release(self.now, group, &mut out);
        if self.groups[&group].standing == Standing::Free {
            assert_eq!(out, [HolderOutput::Released { group, epoch: Epoch(0) }]);
            return;
        }
        self.closes(group, LossCause::Released, &out);
        if let Standing::Closing(_, again) = &mut self.groups.get_mut(&group).unwrap().standing {
            *again = None;
        }
    }

    fn superseded(&mut self, group: GroupId) {
        let epoch = Epoch(self.groups[&group].epoch.0 + 1);
        let mut out = Vec::new();
        self.holder.superseded_by(self.now, group, epoch, &mut out);
        match &mut self.groups.get_mut(&group).unwrap().standing {
            Standing::Free => assert_eq!(out, []),
            Standing::Closing(_, again) => {
                let cause = LossCause::Superseded;
                let lost = again.take_if(|again| *again < epoch);
                let lost = lost.map(|epoch| HolderOutput::Lost { group, epoch, cause });
                assert_eq!(out, lost.into_iter().collect::<Vec<_>>());
            }
            Standing::Asking => self.closes(group, LossCause::Superseded, &out),
        }
    }

    fn closes(&mut self, group: GroupId, cause: LossCause, out: &[HolderOutput]) {
        let of = self.groups.get_mut(&group).unwrap();
        if of.standing != Standing::Asking {
            assert_eq!(out, []);
            return;
        }
        let told = of.lose() || cause == LossCause::Superseded;
        let lost = HolderOutput::Lost { group, epoch: of.epoch, cause };
        assert_eq!(out[..out.len() - 1], [lost][..usize::from(told)]);
        let Some(&HolderOutput::Gate(GateOrder::Close { group: closed, ticket })) = out.last()
        else {
            panic!("no deletion was ordered: {out:?}");
        };
        assert_eq!(closed, group);
        of.standing = Standing::Closing(ticket, None);
        self.tickets.push((group, ticket));
        *self.seen.lost.entry(cause).or_default() += u64::from(told);
    }

    /// The kernel acknowledges an order, mostly one of the last few, whether or not it still counts.
    fn acknowledge(&mut self) {
        if self.tickets.is_empty() {
            return;
        }
        let back = self.rng.below(self.tickets.len().min(5) as u64) as usize;
        let (group, ticket) = self.tickets[self.tickets.len() - 1 - back];
        let mut out = Vec::new();
        let mut expected = Vec::new();
        let next = self.next_seq();
        let of = self.groups.get_mut(&group).unwrap();
        let epoch = of.epoch;
        let order = of.orders.iter().position(|(given, _)| *given == ticket);
        match (self.rng.below(8), of.standing) {
            (0, _) => {
                self.holder.gate_failed(self.now, group, ticket, &mut out);
                if let Some(order) = order {
                    of.orders.remove(order);
                    of.open = None;
                    if std::mem::take(&mut of.held) {
                        let cause = LossCause::GateFailed;
                        *self.seen.lost.entry(cause).or_default() += 1;
                        expected.push(HolderOutput::Lost { group, epoch, cause });
                    }
                }
            }
            (1..4, standing) => {
                self.holder.gate_closed(self.now, group, ticket, &mut out);
                if let Standing::Closing(awaited, again) = standing
                    && awaited == ticket
                {
                    let standing = again.map_or(Standing::Free, |_| Standing::Asking);
                    *of = Group::new(standing, again.unwrap_or(epoch), next, Some(next));
                    expected = vec![HolderOutput::Released { group, epoch }, HolderOutput::BeatNow];
                    self.seen.released += 1;
                }
            }
            _ => {
                self.holder.gate_opened(self.now, group, ticket, &mut out);
                if let Some(order) = order {
                    let (_, seq) = of.orders.drain(..=order).next_back().unwrap();
                    let until = self.beats[&seq].end();
                    of.open = Some(until);
                    of.gated = of.gated.max(Some(seq));
                    if self.now < until && !std::mem::replace(&mut of.held, true) {
                        self.seen.gained += 1;
                        expected.push(HolderOutput::Gained { group, epoch, until });
                    }
                }
            }
        }
        assert_eq!(out, expected, "acknowledged {ticket:?} of {group:?}");
    }

    fn tick(&mut self) {
        let mut out = Vec::new();
        self.holder.tick(self.now, &mut out);
        let mut lost = Vec::new();
        for (&group, of) in &mut self.groups {
            if of.until.is_some_and(|until| until <= self.now) && of.lose() {
                let cause = LossCause::Lapsed;
                *self.seen.lost.entry(cause).or_default() += 1;
                lost.push(HolderOutput::Lost { group, epoch: of.epoch, cause });
            }
        }
        out.retain(|output| {
            if let HolderOutput::Gate(GateOrder::Close { group, ticket }) = *output {
                let of = self.groups.get_mut(&group).unwrap();
                let Standing::Closing(awaited, _) = &mut of.standing else {
                    panic!("time alone gave {group:?} up");
                };
                *awaited = ticket;
                self.tickets.push((group, ticket));
                return false;
            }
            *output != HolderOutput::BeatNow
        });
        assert_eq!(out, lost);
    }

    /// What the holder shows is what the model has.
    fn compare(&self) {
        let shown: Vec<_> = self.holder.leases().collect();
        let there = |(_, of): &(&GroupId, &Group)| of.standing != Standing::Free;
        let expected: Vec<_> = self.groups.iter().filter(there).collect();
        assert_eq!(shown.len(), expected.len());
        for (view, (&group, of)) in shown.iter().zip(expected) {
            let releasing = of.standing != Standing::Asking;
            let got = (view.group, view.epoch, view.until, view.open_until, view.gained);
            assert_eq!(got, (group, of.epoch, of.until, of.open, of.held));
            let by = of.newest.map_or(Duration::ZERO, |seq| ms(self.beats[&seq].d));
            let expected = (releasing, of.until.map(|_| by));
            assert_eq!((view.releasing, view.duration), expected);
        }
    }
}

fn lives(one_d: bool) -> Seen {
    let mut all = Seen::default();
    for seed in 0..400 {
        let mut world = World::new(seed, one_d);
        world.live(400);
        let seen = world.seen;
        all.renewed += seen.renewed;
        all.shortened += seen.shortened;
        all.gained += seen.gained;
        all.released += seen.released;
        all.late += seen.late;
        all.copies += seen.copies;
        for (cause, n) in seen.lost {
            *all.lost.entry(cause).or_default() += n;
        }
    }
    let Seen { renewed, gained, released, late, copies, .. } = all;
    assert!([renewed, gained, released, late, copies].iter().all(|&n| n > 400), "{all:?}");
    assert!(all.lost.len() == 4 && all.lost.values().all(|&n| n > 100), "{all:?}");
    all
}

/// Every gate order ends where the newest beat that a majority promised says, counted once per voter; nothing sent before a
/// release gives anything after it; what is gained, lost, claimed and released follows from that and from the kernel.
// spec: L2, L3, L5
#[test]
fn whatever_comes_a_gate_follows_the_newest_beat_promised_by_a_majority() {
    let seen = lives(false);
    assert!(seen.shortened > 400, "{seen:?}");
}

/// A lease ends earlier than it did by a shorter beat only: where all are as long, by none.
// spec: L3
#[test]
fn a_lease_ends_no_earlier_than_it_did_where_all_beats_are_as_long() {
    assert_eq!(lives(true).shortened, 0);
}
