//! The holder against everything that may come: `table` has each state against each input, `histories` what holds
//! whatever comes in whichever order.

mod histories;
mod inputs;
mod states;
mod table;

use haven_types::{LogIndex, Term};

use super::*;

const G: GroupId = GroupId(1);
const ME: NodeId = NodeId(1);
const BOOT: BootId = BootId(5);

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn position(index: u64) -> LogPosition {
    LogPosition { term: Term(1), index: LogIndex(index) }
}

fn entry(index: u64, voters: &[u16], outgoing: Option<&[u16]>) -> Configuration {
    let set = |ids: &[u16]| ids.iter().map(|&id| NodeId(id)).collect::<BTreeSet<_>>();
    Configuration { position: position(index), voters: set(voters), outgoing: outgoing.map(set) }
}

/// The log's first `n` entries: three voters, the change to three of whom one stays, others without this node.
fn log(n: usize) -> Vec<Configuration> {
    let joint = entry(2, &[1, 4, 5], Some(&[1, 2, 3]));
    let all = [entry(1, &[1, 2, 3], None), joint, entry(3, &[2, 4, 5], None)];
    all[..n].to_vec()
}

/// What one voter says about one beat. By default it promises all and names the first entry.
#[derive(Clone, Copy)]
struct Says {
    voter: u16,
    boot: BootId,
    seq: Seq,
    names: u64,
    refuses: Option<(GroupId, RefusalCause, u32)>,
}

impl Says {
    fn promise(voter: u16, seq: Seq) -> Self {
        Self { voter, boot: BOOT, seq, names: 1, refuses: None }
    }

    fn tell(self, holder: &mut Holder, now: Instant, out: &mut Vec<HolderOutput>) -> Answered {
        let refusals: Vec<Refusal> = self
            .refuses
            .map(|(group, cause, retry_micros)| Refusal { group, cause, retry_micros })
            .into_iter()
            .collect();
        let voter = NodeId(self.voter);
        holder.answer(now, voter, self.boot, self.seq, position(self.names), &refusals, out)
    }
}

fn millis(at: Instant) -> u64 {
    assert_eq!(at.as_nanos() % 1_000_000, 0, "the table is written in whole milliseconds");
    at.as_nanos() / 1_000_000
}

/// A claim that waits for the deletion of the gate is asking, too: it ends with the grant behind it.
// spec: L3
#[test]
fn a_grant_that_is_overtaken_while_the_gate_is_deleted_is_asked_for_no_more() {
    let mut holder = Holder::new(ME, BOOT, Terms::default(), log(1));
    let mut out = Vec::new();
    holder.claim(G, Epoch(3), &mut out).unwrap();
    holder.release(at(1_000), G, &mut out);
    holder.claim(G, Epoch(5), &mut out).unwrap();
    holder.superseded_by(at(1_001), G, Epoch(5), &mut out);
    out.clear();
    holder.superseded_by(at(1_002), G, Epoch(6), &mut out);
    let cause = LossCause::Superseded;
    assert_eq!(out, [HolderOutput::Lost { group: G, epoch: Epoch(5), cause }]);
    holder.gate_closed(at(1_003), G, Ticket(1), &mut out);
    assert_eq!(holder.beat(at(1_004), ms(60)).1, []);
}

#[test]
fn no_more_gate_orders_are_given_than_may_wait() {
    let mut holder = Holder::new(ME, BOOT, Terms::default(), log(1));
    holder.claim(G, Epoch(3), &mut Vec::new()).unwrap();
    let promised = |holder: &mut Holder, now| {
        let seq = holder.beat(at(now), ms(60)).0;
        let mut out = Vec::new();
        for voter in [1, 2] {
            Says::promise(voter, seq).tell(holder, at(now), &mut out);
        }
        out.len()
    };
    let given: usize = (0..20).map(|n| promised(&mut holder, 1_000 + n * 10)).sum();
    assert_eq!(given, 16);
    holder.gate_opened(at(1_195), G, Ticket(16), &mut Vec::new());
    assert_eq!(promised(&mut holder, 1_200), 1);
}

/// The groups whose release the next beat tells; it is answered by these voters.
fn told(holder: &mut Holder, now: u64, voters: &[u16]) -> Vec<u32> {
    let (seq, _, releases) = holder.beat(at(now), ms(60));
    for &voter in voters {
        Says::promise(voter, seq).tell(holder, at(now), &mut Vec::new());
    }
    releases.iter().map(|release| release.group.0).collect()
}

/// A holder that has given up groups 0 to 19 and told nobody yet.
fn released_twenty() -> Holder {
    let mut holder = Holder::new(ME, BOOT, Terms::default(), log(1));
    let mut out = Vec::new();
    for group in (0..20).map(GroupId) {
        holder.claim(group, Epoch(3), &mut out).unwrap();
        holder.release(at(1_000), group, &mut out);
        let ticket = Ticket(u64::from(group.0) + 1);
        holder.gate_closed(at(1_000), group, ticket, &mut out);
    }
    holder
}

// spec: L2
#[test]
fn releases_that_one_beat_has_no_room_for_are_told_by_the_next() {
    let mut holder = released_twenty();
    assert!(holder.has_more_to_tell());
    let all = [1, 2, 3];
    assert_eq!(told(&mut holder, 1_001, &all), (0..16).collect::<Vec<_>>());
    assert!(holder.has_more_to_tell());
    assert_eq!(told(&mut holder, 1_002, &all), [16, 17, 18, 19]);
    assert!(!holder.has_more_to_tell());
    assert!(told(&mut holder, 1_003, &all).is_empty(), "all know it");
}

// spec: L2
#[test]
fn releases_take_turns_while_a_voter_does_not_answer() {
    let mut holder = released_twenty();
    let mut before = told(&mut holder, 1_001, &[1, 2]);
    for beat in 0..50 {
        let next = told(&mut holder, 1_002 + beat, &[1, 2]);
        let both: BTreeSet<u32> = before.iter().chain(&next).copied().collect();
        assert_eq!((next.len(), both.len()), (16, 20), "beat {beat}: {before:?}, {next:?}");
        before = next;
    }
    // It answers at last, two beats that carried all of them.
    told(&mut holder, 2_000, &[3]);
    assert_eq!(told(&mut holder, 2_001, &[3]).len(), 4);
    assert!(told(&mut holder, 2_002, &[]).is_empty());
}

#[test]
fn claims_are_bounded_and_what_is_claimed_may_be_claimed_again() {
    let mut holder = Holder::new(ME, BOOT, Terms::default(), log(1));
    let mut claim = |group| holder.claim(GroupId(group), Epoch(3), &mut Vec::new());
    let bound = MAX_CLAIMS as u32;
    assert!((0..bound).all(|group| claim(group).is_ok()));
    assert_eq!(claim(bound), Err(TooManyClaims));
    assert_eq!(claim(0), Ok(()));
}
