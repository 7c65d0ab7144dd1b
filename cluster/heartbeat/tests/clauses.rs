//! One directed scenario per clause: safe with all rules, two owners (or what the clause prevents)
//! without that one.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests fail by panicking and print what they measured"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_heartbeat::{
    Claim, Configuration, GateOrder, Output, PromiseTable, Refusal, Release, Rule, Rules, Start,
    Terms, Ticket,
};
use haven_lease::{Asking, Holder, HolderOutput, Voter};
use haven_types::{BootId, Epoch, GroupId, LogIndex, LogPosition, NodeId, Seq, Term};
use support::clock::Clock;
use support::world::{MS, SECOND, World};

const G: GroupId = GroupId(1);
const A: u16 = 1;

/// What a mutant does wrong, or that all is well.
type Found = Result<(), String>;

/// A beat under way.
#[derive(Clone)]
struct Flying {
    from: u16,
    boot: u64,
    seq: Seq,
    duration: Duration,
    claims: Vec<Claim>,
    releases: Vec<Release>,
}

/// An answer under way.
#[derive(Clone)]
struct Reply {
    voter: u16,
    to: u16,
    boot: u64,
    seq: Seq,
    named: LogPosition,
    refusals: Vec<Refusal>,
}

/// Voters and holders on clocks of their own, moved by hand. Times are true milliseconds.
struct Bed {
    terms: Terms,
    voters: BTreeMap<u16, Voter>,
    holders: BTreeMap<u16, Holder>,
    clocks: BTreeMap<u16, Clock>,
    named: BTreeMap<u16, LogPosition>,
    /// Until when each node's gate is open, in true nanoseconds, and how late gates close.
    open: BTreeMap<u16, u64>,
    late_ticks: u32,
    /// Orders not yet acknowledged, for holders whose gate is slow.
    slow: BTreeSet<u16>,
    found: Found,
}

fn ids(list: &[u16]) -> BTreeSet<NodeId> {
    list.iter().map(|&id| NodeId(id)).collect()
}

fn position(index: u64) -> LogPosition {
    LogPosition { term: Term(1), index: LogIndex(index) }
}

fn configuration(index: u64, voters: &[u16], outgoing: Option<&[u16]>) -> Configuration {
    Configuration { position: position(index), voters: ids(voters), outgoing: outgoing.map(ids) }
}

impl Bed {
    fn new(rules: Rules, voters: u16) -> Self {
        let d_max = Duration::from_millis(500);
        let terms = Terms { d_max, rules, ..Terms::default() };
        let mut bed = Self {
            terms,
            voters: BTreeMap::new(),
            holders: BTreeMap::new(),
            clocks: BTreeMap::new(),
            named: BTreeMap::new(),
            open: BTreeMap::new(),
            late_ticks: 0,
            slow: BTreeSet::new(),
            found: Ok(()),
        };
        let all: Vec<u16> = (1..=voters).collect();
        for &id in &all {
            bed.node(id, 1, &[configuration(1, &all, None)], 0);
        }
        bed
    }

    /// A node's process begins, with `log` in its log, all applied. `silent` ms of L4's wait.
    fn node(&mut self, id: u16, boot: u64, log: &[Configuration], silent_until_ms: u64) {
        let clock = self.clocks.entry(id).or_insert_with(Clock::perfect).clone();
        let silent = clock.at(silent_until_ms * MS);
        let applied = log.last().unwrap().position;
        let (node, terms) = (NodeId(id), self.terms);
        let voter = Voter::new(node, terms, silent, PromiseTable::default(), log, applied);
        self.voters.insert(id, voter);
        self.holders.insert(id, Holder::new(node, BootId(boot), terms, log.to_vec()));
        self.named.insert(id, applied);
    }

    /// An entry reaches a node's log; applied at once.
    fn append(&mut self, id: u16, at_ms: u64, log: &[Configuration]) {
        let newest = log.last().unwrap();
        let voter = self.voters.get_mut(&id).unwrap();
        voter.set_configuration(Some(newest));
        voter.configuration_applied(self.clocks[&id].at(at_ms * MS), newest.position);
        self.holders.get_mut(&id).unwrap().set_log(log.to_vec());
        self.named.insert(id, newest.position);
    }

    fn clock(&mut self, id: u16, rate_permille: u64) {
        self.clocks.insert(id, Clock::with_rate(rate_permille));
    }

    fn now(&self, id: u16, ms: u64) -> Instant {
        self.clocks[&id].at(ms * MS)
    }

    fn claim(&mut self, id: u16, epoch: u64) {
        let holder = self.holders.get_mut(&id).unwrap();
        holder.claim(G, Epoch(epoch), &mut Vec::new()).unwrap();
    }

    fn beat(&mut self, id: u16, boot: u64, ms: u64, d_ms: u64) -> Flying {
        let now = self.now(id, ms);
        let duration = Duration::from_millis(d_ms);
        let (seq, claims, releases) = self.holders.get_mut(&id).unwrap().beat(now, duration);
        Flying { from: id, boot, seq, duration, claims, releases }
    }

    fn process(&mut self, voter: u16, ms: u64, beat: &Flying) -> Reply {
        let now = self.now(voter, ms);
        let asking = Asking {
            from: NodeId(beat.from),
            boot: BootId(beat.boot),
            seq: beat.seq,
            duration: beat.duration,
            claims: &beat.claims,
            releases: &beat.releases,
        };
        let refusals = self.voters.get_mut(&voter).unwrap().answer(now, asking, &mut Vec::new());
        let named = self.named[&voter];
        Reply { voter, to: beat.from, boot: beat.boot, seq: beat.seq, named, refusals }
    }

    fn receive(&mut self, ms: u64, reply: &Reply) {
        let now = self.now(reply.to, ms);
        let mut out = Vec::new();
        let holder = self.holders.get_mut(&reply.to).unwrap();
        let (voter, boot) = (NodeId(reply.voter), BootId(reply.boot));
        holder.answer(now, voter, boot, reply.seq, reply.named, &reply.refusals, &mut out);
        self.obey(reply.to, ms, &out);
    }

    /// A beat to each of `voters` and their answers back, all within the millisecond.
    fn ask(&mut self, id: u16, boot: u64, ms: u64, d_ms: u64, voters: &[u16]) {
        let beat = self.beat(id, boot, ms, d_ms);
        for &voter in voters {
            let reply = self.process(voter, ms, &beat);
            self.receive(ms, &reply);
        }
    }

    fn release(&mut self, id: u16, ms: u64) -> Ticket {
        let now = self.now(id, ms);
        let mut out = Vec::new();
        self.holders.get_mut(&id).unwrap().release(now, G, &mut out);
        let ticket = out.iter().find_map(|said| match said {
            HolderOutput::Gate(GateOrder::Close { ticket, .. }) => Some(*ticket),
            _ => None,
        });
        ticket.unwrap()
    }

    fn closed(&mut self, id: u16, ms: u64, ticket: Ticket) {
        let now = self.now(id, ms);
        self.open.remove(&id);
        self.holders.get_mut(&id).unwrap().gate_closed(now, G, ticket, &mut Vec::new());
    }

    /// Carries gate orders out at once, unless the node's gate is slow, and looks for two owners.
    fn obey(&mut self, id: u16, ms: u64, said: &[HolderOutput]) {
        for said in said {
            let HolderOutput::Gate(GateOrder::Renew { deadline, ticket, .. }) = *said else {
                continue;
            };
            if self.slow.contains(&id) {
                continue;
            }
            let end = self.clocks[&id].when(0, deadline + self.terms.tick * self.late_ticks);
            self.open.insert(id, end);
            let now = self.now(id, ms);
            let holder = self.holders.get_mut(&id).unwrap();
            holder.gate_opened(now, G, ticket, &mut Vec::new());
            let others = self.open.iter().find(|&(&other, &end)| other != id && end > ms * MS);
            if let Some((other, end)) = others {
                let end = end / MS;
                self.found = Err(format!("{id} opens at {ms} ms, {other} is open until {end}"));
            }
        }
    }
}

fn refuse_while_promised(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.claim(1, 1);
    bed.claim(3, 2);
    bed.ask(1, 1, 0, 500, &[1, 2]);
    bed.ask(3, 1, 10, 500, &[3, 2]);
    bed.found
}

/// The holder is cut off from the log but not from the voters: it must not keep what the log gave
/// to another.
fn refuse_older_epoch(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.claim(1, 1);
    bed.ask(1, 1, 0, 60, &[1, 2]);
    for voter in [2, 3] {
        bed.voters.get_mut(&voter).unwrap().set_epoch(G, Epoch(2));
    }
    bed.claim(3, 2);
    for ms in (10..500).step_by(10) {
        bed.ask(1, 1, ms, 60, &[1, 2]);
        bed.ask(3, 1, ms, 60, &[3, 2]);
    }
    bed.found.clone()?;
    let granted = bed.open.contains_key(&3);
    granted.then_some(()).ok_or_else(|| "the older grant goes on for ever".to_string())
}

/// A promise longer than `D_max` outlives L4's silence.
fn refuse_long_duration(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.claim(1, 1);
    bed.claim(3, 2);
    bed.ask(1, 1, 0, 5_000, &[1, 2]);
    bed.node(2, 2, &[configuration(1, &[1, 2, 3], None)], 10 + 558);
    bed.ask(3, 1, 600, 500, &[3, 2]);
    bed.found
}

/// Voters' clocks run 10 % fast, the holder's 10 % slow, and its kernel closes `late` ticks late.
fn drifting(rules: Rules, late_ticks: u32) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.clock(1, 900);
    bed.clock(2, 1100);
    bed.clock(3, 1100);
    bed.late_ticks = late_ticks;
    bed.claim(1, 1);
    bed.claim(3, 2);
    bed.ask(1, 1, 0, 500, &[1, 2]);
    for ms in 1..560 {
        bed.ask(3, 1, ms, 60, &[3, 2]);
    }
    bed.found
}

fn keep_latest_end(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.claim(1, 1);
    bed.claim(3, 2);
    bed.ask(1, 1, 0, 500, &[1, 2]);
    // A shorter beat is promised, but its answers are lost.
    let beat = bed.beat(1, 1, 5, 60);
    bed.process(1, 5, &beat);
    bed.process(2, 5, &beat);
    bed.ask(3, 1, 100, 60, &[3, 2]);
    bed.found
}

/// The kernel has not taken the shorter gate yet when the holder stops.
fn shrink_after_gate(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.claim(1, 1);
    bed.claim(3, 2);
    bed.ask(1, 1, 0, 500, &[1, 2]);
    bed.slow.insert(1);
    bed.ask(1, 1, 5, 60, &[1, 2]);
    bed.ask(1, 1, 10, 60, &[1, 2]);
    bed.ask(3, 1, 150, 60, &[3, 2]);
    bed.found
}

/// An answer to an old beat is no answer to the newest.
fn match_echo(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.claim(1, 1);
    bed.claim(3, 2);
    let beat = bed.beat(1, 1, 0, 60);
    let late = bed.process(2, 0, &beat);
    bed.ask(3, 1, 100, 60, &[3, 2]);
    bed.ask(1, 1, 110, 60, &[1]);
    bed.receive(111, &late);
    bed.found
}

fn count_voter_once(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 5);
    bed.claim(1, 1);
    bed.claim(3, 2);
    // The beat reaches voter 2 by two links; each copy is answered.
    bed.ask(1, 1, 0, 60, &[1, 2, 2]);
    bed.ask(3, 1, 1, 60, &[3, 4, 5]);
    bed.found
}

fn release_after_gate(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.claim(1, 1);
    bed.claim(3, 2);
    bed.ask(1, 1, 0, 500, &[1, 2]);
    bed.release(1, 10); // the kernel has not deleted the gate yet
    bed.ask(1, 1, 11, 60, &[1, 2]);
    bed.ask(3, 1, 12, 60, &[3, 2]);
    bed.found
}

/// A copy of a release arrives after the next claim was promised.
fn release_by_seq(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.claim(1, 1);
    bed.claim(3, 3);
    bed.ask(1, 1, 0, 500, &[1, 2]);
    let ticket = bed.release(1, 10);
    bed.closed(1, 11, ticket);
    let release = bed.beat(1, 1, 12, 60);
    bed.process(2, 12, &release);
    bed.claim(1, 2);
    bed.ask(1, 1, 20, 500, &[1, 2]);
    bed.process(2, 30, &release);
    bed.ask(3, 1, 31, 60, &[3, 2]);
    bed.found
}

fn count_from_send(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.claim(1, 1);
    bed.claim(3, 2);
    let beat = bed.beat(1, 1, 0, 60);
    let replies = [bed.process(1, 0, &beat), bed.process(2, 0, &beat)];
    for reply in replies {
        bed.receive(44, &reply);
    }
    bed.ask(3, 1, 75, 60, &[3, 2]);
    bed.found
}

fn need_majority(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.claim(1, 1);
    bed.claim(3, 2);
    bed.ask(1, 1, 0, 500, &[1]);
    bed.ask(3, 1, 1, 60, &[3, 2]);
    bed.found
}

fn forget_before_release(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.claim(1, 1);
    bed.claim(3, 2);
    let old = bed.beat(1, 1, 0, 500);
    let late = [bed.process(1, 0, &old), bed.process(2, 0, &old)];
    let ticket = bed.release(1, 5);
    bed.closed(1, 6, ticket);
    bed.ask(1, 1, 7, 60, &[1, 2, 3]);
    bed.ask(3, 1, 8, 500, &[3, 2]);
    bed.claim(1, 3);
    for reply in late {
        bed.receive(20, &reply);
    }
    bed.found
}

/// The kernel answers to an opening after the holder has given the lease up.
fn abandon_gate_writes(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.slow.insert(1);
    bed.claim(1, 1);
    bed.ask(1, 1, 0, 500, &[1, 2]);
    bed.release(1, 10);
    let (now, mut said) = (bed.now(1, 11), Vec::new());
    bed.holders.get_mut(&1).unwrap().gate_opened(now, G, Ticket(1), &mut said);
    if said.is_empty() { Ok(()) } else { Err(format!("after its release: {said:?}")) }
}

fn wait_after_start(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.claim(1, 1);
    bed.claim(3, 2);
    bed.ask(1, 1, 0, 500, &[1, 2]);
    bed.node(2, 2, &[configuration(1, &[1, 2, 3], None)], 10 + 558);
    bed.ask(3, 1, 20, 60, &[3, 2]);
    bed.found
}

/// A coordinator in too much of a hurry: the final entry follows the joint one at once.
fn wait_as_new_voter(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 3);
    bed.claim(1, 1);
    bed.ask(1, 1, 0, 500, &[1, 2]);
    let old = configuration(1, &[1, 2, 3], None);
    let new = configuration(3, &[1, 2, 3, 4, 5], None);
    let log = [old.clone(), new];
    for id in [4, 5] {
        bed.node(id, 1, std::slice::from_ref(&old), 0);
    }
    for id in [3, 4, 5] {
        bed.append(id, 10, &log);
    }
    bed.claim(5, 2);
    bed.ask(5, 1, 20, 60, &[3, 4, 5]);
    bed.found
}

/// Voters 4 and 5 have been voters all along; the final entry follows the joint one at once, or
/// after L5's spacing.
fn spacing(kept: bool) -> Found {
    let mut bed = Bed::new(Rules::ALL, 5);
    bed.claim(1, 1);
    bed.ask(1, 1, 0, 500, &[1, 2, 3]);
    let all = [1, 2, 3, 4, 5];
    let log = [configuration(1, &all, None), configuration(3, &[3, 4, 5], None)];
    let at = if kept { 550 } else { 10 };
    for id in [4, 5] {
        bed.append(id, at, &log);
    }
    bed.claim(5, 2);
    bed.ask(5, 1, at, 60, &[4, 5]);
    bed.found
}

/// Node 1 holds the lease under the new voters 3, 4, 5; voters 2 and 3 answer node 2.
fn torn_log(rules: Rules, claimant_knows: bool) -> Found {
    let mut bed = Bed::new(rules, 5);
    let old = configuration(1, &[1, 2, 3], None);
    let new = configuration(2, &[3, 4, 5], None);
    let both = [old.clone(), new];
    for id in 1..=5 {
        bed.node(id, 1, if id == 2 { std::slice::from_ref(&old) } else { &both }, 0);
    }
    bed.claim(1, 1);
    bed.ask(1, 1, 0, 500, &[4, 5]);
    if claimant_knows {
        // Its voter half answered before its log took the entry in.
        bed.holders.get_mut(&2).unwrap().set_log(both.to_vec());
    }
    bed.claim(2, 2);
    bed.ask(2, 1, 10, 60, &[2, 3]);
    bed.found
}

fn both_halves(rules: Rules) -> Found {
    let mut bed = Bed::new(rules, 5);
    let old = configuration(1, &[1, 2, 3], None);
    let joint = configuration(2, &[3, 4, 5], Some(&[1, 2, 3]));
    for id in 1..=3 {
        bed.node(id, 1, std::slice::from_ref(&old), 0);
    }
    bed.claim(1, 1);
    bed.ask(1, 1, 0, 500, &[1, 2]);
    for id in 3..=5 {
        bed.node(id, 1, &[old.clone(), joint.clone()], 0);
    }
    bed.claim(5, 2);
    bed.ask(5, 1, 10, 60, &[3, 4, 5]);
    bed.found
}

/// Only the path between 1 and 2 is cut: no majority misses anybody.
fn verdict_majority(rules: Rules) -> Found {
    let mut world = World::new(3, 3, 1, Terms { rules, ..Terms::default() });
    world.start_all(&Start::First);
    world.run_for(SECOND);
    world.set_path(NodeId(1), NodeId(2), |path| path.cut = true);
    world.run_for(5 * SECOND);
    let dead = world.said.iter().find(|(_, _, said)| matches!(said, Output::Dead { .. }));
    dead.map_or(Ok(()), |found| Err(format!("{found:?}")))
}

fn verdict_silence(rules: Rules) -> Found {
    let mut world = World::new(3, 3, 1, Terms { rules, ..Terms::default() });
    world.start_all(&Start::First);
    world.run_for(SECOND);
    world.isolate(NodeId(A), true);
    let from = world.now;
    world.run_for(SECOND);
    let dead = world.said.iter().find(|(_, _, said)| matches!(said, Output::Dead { .. }));
    let (at, ..) = dead.ok_or("no verdict at all")?;
    // The last beat left at most one interval before the cut.
    if at - from >= 45 * MS { Ok(()) } else { Err(format!("dead after {} ms", (at - from) / MS)) }
}

fn scenario(rule: Rule) -> Box<dyn Fn(Rules) -> Found> {
    match rule {
        Rule::RefuseWhilePromised => Box::new(refuse_while_promised),
        Rule::RefuseOlderEpoch => Box::new(refuse_older_epoch),
        Rule::RefuseLongDuration => Box::new(refuse_long_duration),
        Rule::PromiseDrift | Rule::LeaseDrift => Box::new(|rules| drifting(rules, 0)),
        Rule::PromiseTicks | Rule::LeaseTicks => Box::new(|rules| drifting(rules, 3)),
        Rule::KeepLatestEnd => Box::new(keep_latest_end),
        Rule::ShrinkAfterGate => Box::new(shrink_after_gate),
        Rule::MatchEcho => Box::new(match_echo),
        Rule::CountVoterOnce => Box::new(count_voter_once),
        Rule::ReleaseAfterGate => Box::new(release_after_gate),
        Rule::ReleaseBySeq => Box::new(release_by_seq),
        Rule::CountFromSend => Box::new(count_from_send),
        Rule::NeedMajority => Box::new(need_majority),
        Rule::ForgetBeforeRelease => Box::new(forget_before_release),
        Rule::AbandonGateWrites => Box::new(abandon_gate_writes),
        Rule::WaitAfterStart => Box::new(wait_after_start),
        Rule::WaitAsNewVoter => Box::new(wait_as_new_voter),
        Rule::KnowConfiguration => Box::new(|rules| torn_log(rules, false)),
        Rule::HighestNamed => Box::new(|rules| torn_log(rules, true)),
        Rule::BothHalves => Box::new(both_halves),
        Rule::VerdictMajority => Box::new(verdict_majority),
        Rule::VerdictSilence => Box::new(verdict_silence),
    }
}

// spec: L2; spec: L3; spec: L4; spec: L5
#[test]
fn every_clause_is_missed_when_it_is_missing() {
    let mut idle = Vec::new();
    for rule in Rule::ALL {
        let scenario = scenario(rule);
        assert_eq!(scenario(Rules::ALL), Ok(()), "{rule:?}: not safe with all rules");
        match scenario(Rules::ALL.without(rule)) {
            Ok(()) => idle.push(rule),
            Err(what) => println!("without {rule:?}: {what}"),
        }
    }
    assert_eq!(idle, [], "nothing changes without these");
}

#[test]
fn configurations_keep_their_distance() {
    assert_eq!(spacing(true), Ok(()));
    assert!(spacing(false).is_err());
}
