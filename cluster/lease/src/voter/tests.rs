//! The voter's full table: every state against every claim and release.

use std::collections::BTreeSet;

use haven_types::{LogIndex, Term};

use super::*;

const G: GroupId = GroupId(1);
const ME: NodeId = NodeId(9);
const HOLDER: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn entry(index: u64, voters: &[u16], outgoing: Option<&[u16]>) -> Configuration {
    let set = |ids: &[u16]| ids.iter().map(|&id| NodeId(id)).collect::<BTreeSet<_>>();
    Configuration {
        position: LogPosition { term: Term(1), index: LogIndex(index) },
        voters: set(voters),
        outgoing: outgoing.map(set),
    }
}

/// A beat as the table writes it.
#[derive(Clone, Copy)]
struct Beat {
    from: NodeId,
    boot: u64,
    seq: u64,
    d: u64,
    epoch: u64,
    gated: Option<u64>,
}

const CLAIM: Beat = Beat { from: HOLDER, boot: 5, seq: 10, d: 60, epoch: 3, gated: None };

fn ask(voter: &mut Voter, now: u64, beat: Beat) -> Option<RefusalCause> {
    let claims = [Claim { group: G, epoch: Epoch(beat.epoch), gated: beat.gated.map(Seq) }];
    let asking = Asking {
        from: beat.from,
        boot: BootId(beat.boot),
        seq: Seq(beat.seq),
        duration: ms(beat.d),
        claims: &claims,
        releases: &[],
    };
    voter.answer(at(now), asking, &mut Vec::new()).pop().map(|refusal| refusal.cause)
}

fn release(
    voter: &mut Voter,
    now: u64,
    from: NodeId,
    (boot, before): (u64, u64),
) -> Vec<(NodeId, GroupId)> {
    let releases = [Release { group: G, before: Seq(before) }];
    let asking = Asking {
        from,
        boot: BootId(boot),
        seq: Seq(before + 3),
        duration: ms(60),
        claims: &[],
        releases: &releases,
    };
    let mut vacant = Vec::new();
    assert_eq!(voter.answer(at(now), asking, &mut vacant), []);
    vacant
}

/// The states of the table at 1,000 ms: all of [`CLAIM`]'s beats come then.
fn state(name: &str) -> Voter {
    let terms = Terms::default();
    let voters = entry(1, &[1, 2, 9], None);
    let log = std::slice::from_ref(&voters);
    let applied = voters.position;
    let new = |silent| Voter::new(ME, terms, at(silent), PromiseTable::default(), log, applied);
    let stranger = entry(1, &[1, 2], None);
    let before = std::slice::from_ref(&stranger);
    let outside =
        || Voter::new(ME, terms, at(0), PromiseTable::default(), before, stranger.position);
    let mut voter = new(0);
    match name {
        "free" => {}
        "starting" => voter = new(1_001),
        "not a voter" => voter = outside(),
        "joining by a joint entry" | "new, not applied" | "new, applied" | "voter for long" => {
            voter = outside();
            voter.set_configuration(Some(&entry(2, &[1, 2, 9], Some(&[1, 2]))));
            match name {
                "new, applied" => {
                    voter.configuration_applied(at(900), entry(2, &[], None).position)
                }
                "voter for long" => {
                    voter.terms.d_max = ms(60);
                    voter.configuration_applied(at(900), entry(3, &[], None).position);
                }
                _ => {}
            }
            if name != "joining by a joint entry" {
                voter.set_configuration(Some(&entry(3, &[1, 2, 9], None)));
            }
        }
        "promised to it" => assert_eq!(ask(&mut voter, 990, Beat { seq: 9, ..CLAIM }), None),
        "promised to another" => {
            assert_eq!(ask(&mut voter, 990, Beat { from: OTHER, ..CLAIM }), None);
        }
        "promise to another ran out" => {
            assert_eq!(ask(&mut voter, 926, Beat { from: OTHER, ..CLAIM }), None);
        }
        "higher epoch in the log" => voter.set_epoch(G, Epoch(4)),
        "released by it later" => assert_eq!(release(&mut voter, 990, HOLDER, (5, 11)), []),
        "released by it before" => assert_eq!(release(&mut voter, 990, HOLDER, (5, 10)), []),
        "released by its older boot" => {
            assert_eq!(release(&mut voter, 990, HOLDER, (4, 99)), []);
        }
        other => panic!("{other}"),
    }
    voter
}

#[test]
fn every_state_against_every_claim() {
    use RefusalCause::{NotVoter, OlderEpoch, Promised, Stale, TooLong, TooNew};
    // state: a plain claim; one for 5.001 s; one of an older boot.
    let table: [(&str, [Option<RefusalCause>; 3]); 14] = [
        ("free", [None, Some(TooLong), None]),
        ("starting", [Some(TooNew); 3]),
        ("not a voter", [Some(NotVoter); 3]),
        ("joining by a joint entry", [None, Some(TooLong), None]),
        ("new, not applied", [Some(TooNew); 3]),
        ("new, applied", [Some(TooNew); 3]),
        ("voter for long", [None, Some(TooLong), None]),
        ("promised to it", [None, Some(TooLong), None]),
        ("promised to another", [Some(Promised), Some(TooLong), Some(Promised)]),
        ("promise to another ran out", [None, Some(TooLong), None]),
        ("higher epoch in the log", [Some(OlderEpoch), Some(TooLong), Some(OlderEpoch)]),
        ("released by it later", [Some(Stale), Some(TooLong), Some(Stale)]),
        ("released by it before", [None, Some(TooLong), Some(Stale)]),
        ("released by its older boot", [None, Some(TooLong), Some(Stale)]),
    ];
    for (name, expected) in table {
        let claims = [CLAIM, Beat { d: 5_001, ..CLAIM }, Beat { boot: 4, ..CLAIM }];
        let got = claims.map(|claim| ask(&mut state(name), 1_000, claim));
        assert_eq!(got, expected, "{name}");
    }
}

#[test]
fn a_promise_runs_d_and_rho_and_two_ticks_from_its_processing() {
    let mut voter = state("free");
    assert_eq!(ask(&mut voter, 1_000, CLAIM), None);
    assert_eq!(voter.promised(at(1_000)), BTreeMap::from([(G, (HOLDER, at(1_074)))]));
    let other = Beat { from: OTHER, epoch: 4, ..CLAIM };
    assert_eq!(ask(&mut voter, 1_073, other), Some(RefusalCause::Promised));
    assert_eq!(ask(&mut voter, 1_074, other), None);
}

#[test]
fn a_refusal_says_when_to_come_back_and_the_end_is_announced() {
    let mut voter = state("free");
    ask(&mut voter, 1_000, CLAIM);
    let claims = [Claim { group: G, epoch: Epoch(4), gated: None }];
    let asking = Asking {
        from: OTHER,
        boot: BootId(1),
        seq: Seq(1),
        duration: ms(60),
        claims: &claims,
        releases: &[],
    };
    let refusals = voter.answer(at(1_010), asking, &mut Vec::new());
    assert_eq!(refusals[0].retry_micros, 64_000);
    assert_eq!(voter.deadline(), Some(at(1_074)));
    assert_eq!(voter.expired(at(1_073)), []);
    assert_eq!(voter.expired(at(1_074)), [(OTHER, G)]);
    assert_eq!((voter.expired(at(1_075)), voter.deadline()), (Vec::new(), None));
}

#[test]
fn releases_cancel_by_boot_and_seq_and_only_the_senders_promise() {
    let promised = || {
        let mut voter = state("free");
        ask(&mut voter, 990, Beat { d: 5_000, ..CLAIM });
        ask(&mut voter, 991, Beat { from: OTHER, epoch: 4, ..CLAIM });
        voter
    };
    // Who releases, before which beat: who may claim now.
    let table = [
        (HOLDER, (5, 11), vec![(OTHER, G)]),
        (HOLDER, (5, 10), vec![]),
        (HOLDER, (6, 1), vec![(OTHER, G)]),
        (HOLDER, (4, 99), vec![]),
        (OTHER, (9, 99), vec![]),
    ];
    for (from, before, vacant) in table {
        let mut voter = promised();
        assert_eq!(release(&mut voter, 1_000, from, before), vacant, "{from} {before:?}");
        assert_eq!(voter.promised(at(1_000)).is_empty(), !vacant.is_empty());
    }
}

#[test]
fn a_shorter_beat_shortens_only_once_the_gate_is_within_it() {
    let mut voter = state("free");
    ask(&mut voter, 1_000, Beat { d: 5_000, ..CLAIM });
    ask(&mut voter, 1_010, Beat { seq: 11, ..CLAIM });
    assert_eq!(voter.promised(at(1_010))[&G].1, at(6_508));
    ask(&mut voter, 1_020, Beat { seq: 12, gated: Some(11), ..CLAIM });
    assert_eq!(voter.promised(at(1_020))[&G].1, at(1_094));
    // The long beat comes once more, late: it is stale now.
    let late = ask(&mut voter, 1_030, Beat { d: 5_000, ..CLAIM });
    assert_eq!(late, Some(RefusalCause::Stale));
    assert_eq!(voter.promised(at(1_030))[&G].1, at(1_094));
}

#[test]
fn promises_bind_to_the_node_across_its_processes_and_ours() {
    let mut voter = state("free");
    ask(&mut voter, 1_000, Beat { d: 5_000, ..CLAIM });
    assert_eq!(ask(&mut voter, 1_010, Beat { boot: 6, seq: 1, ..CLAIM }), None);
    let table = voter.into_table(at(1_020));
    let log = [entry(1, &[1, 2, 9], None)];
    let mut next = Voter::new(ME, Terms::default(), at(0), table, &log, log[0].position);
    let other = Beat { from: OTHER, epoch: 4, ..CLAIM };
    assert_eq!(ask(&mut next, 1_030, other), Some(RefusalCause::Promised));
}

#[test]
fn groups_beyond_the_bound_are_refused() {
    let mut voter = state("free");
    let claims: Vec<Claim> = (0..MAX_GROUPS as u32 + 1)
        .map(|group| Claim { group: GroupId(group), epoch: Epoch(1), gated: None })
        .collect();
    let mut asking = Asking {
        from: HOLDER,
        boot: BootId(1),
        seq: Seq(1),
        duration: ms(60),
        claims: &claims,
        releases: &[],
    };
    let refused = voter.answer(at(0), asking, &mut Vec::new());
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].cause, RefusalCause::TooMany);
    voter.expired(at(10_000));
    asking.claims = &claims[..1];
    asking.seq = Seq(2);
    assert_eq!(voter.answer(at(10_000), asking, &mut Vec::new()), []);
}

/// A snapshot tells what is applied and what the log holds in one go, in whichever order.
// spec: L4
#[test]
fn an_entry_applied_before_it_is_known_counts_from_then() {
    let terms = Terms { d_max: ms(60), ..Terms::default() };
    let stranger = entry(1, &[1, 2], None);
    let log = std::slice::from_ref(&stranger);
    let table = PromiseTable::default();
    let mut voter = Voter::new(ME, terms, at(0), table, log, stranger.position);
    let with_me = entry(4, &[1, 2, 9], None);
    voter.configuration_applied(at(1_000), with_me.position);
    voter.set_configuration(Some(&with_me));
    assert_eq!(ask(&mut voter, 1_073, CLAIM), Some(RefusalCause::TooNew));
    assert_eq!(ask(&mut voter, 1_074, CLAIM), None);
}

/// The log found at the start held an uncommitted configuration that is truncated later.
// spec: L4
#[test]
fn a_voter_stays_one_when_an_uncommitted_configuration_goes() {
    let terms = Terms { d_max: ms(60), ..Terms::default() };
    let (committed, truncated) = (entry(1, &[1, 2, 9], None), entry(4, &[2, 9], None));
    let log = std::slice::from_ref(&truncated);
    let table = PromiseTable::default();
    let mut voter = Voter::new(ME, terms, at(0), table, log, committed.position);
    assert_eq!(ask(&mut voter, 500, CLAIM), Some(RefusalCause::TooNew));
    voter.set_configuration(None);
    assert_eq!(ask(&mut voter, 600, CLAIM), Some(RefusalCause::NotVoter));
    voter.set_configuration(Some(&committed));
    assert_eq!(ask(&mut voter, 700, CLAIM), None);
}

/// A log without a snapshot does not tell by itself what was applied before the restart.
// spec: L4, L9
#[test]
fn what_the_process_before_waited_for_is_waited_for_once() {
    let terms = Terms { d_max: ms(60), ..Terms::default() };
    let log = [entry(1, &[1, 2], None), entry(4, &[1, 2, 9], None)];
    let before = |left: u64| {
        let table = PromiseTable::default();
        let mut voter = Voter::new(ME, terms, at(0), table, &log[..1], log[0].position);
        voter.set_configuration(Some(&log[1]));
        voter.configuration_applied(at(1_000), log[1].position);
        (voter, at(left))
    };
    let next = |(voter, left): (Voter, Instant)| {
        let table = voter.into_table(left);
        let applied = table.applied;
        Voter::new(ME, terms, left, table, &log, applied)
    };
    let mut voter = next(before(1_050));
    assert_eq!(ask(&mut voter, 1_073, CLAIM), Some(RefusalCause::TooNew));
    assert_eq!(ask(&mut voter, 1_074, CLAIM), None);
    let mut voter = next(before(1_080));
    assert_eq!(ask(&mut voter, 1_081, CLAIM), None, "waited for already");
    let mut voter = next((next(before(1_080)), at(1_082)));
    assert_eq!(ask(&mut voter, 1_083, CLAIM), None, "nor by the one after");
    // Its vote is taken away by an entry that is truncated later.
    let (mut voter, left) = before(1_050);
    voter.set_configuration(Some(&entry(5, &[1, 2], None)));
    let mut voter = next((voter, left));
    assert_eq!(ask(&mut voter, 1_073, CLAIM), Some(RefusalCause::TooNew));
    assert_eq!(ask(&mut voter, 1_074, CLAIM), None);
}
