//! The ownership judge: from the frames every node sent, who owned the VIP when, and whether two
//! did (pure).
//!
//! Rule: a frame that claims or uses the VIP, sent after the first such frame of a later owner, is
//! a frame of a second owner. The address may come back to a node it once left; such a return is
//! a new ownership only if it begins with a claim, as a takeover does, and not at once. Whatever
//! else an earlier owner sends is counted against it.
//!
//! The judge never sees what the nodes believe; only what they sent.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sighting::{Sighting, Use};

/// A return must claim the address within this time of its first frame: the answer to a packet
/// that was already on its way may overtake the announcement.
const CLAIM_WITHIN: u64 = 20_000_000;

/// A node that sends again sooner than this after its own last frame never gave the address up: two
/// planned moves in a row, there and back, take longer.
const LEAST_ABSENCE: u64 = 10_000_000;

/// An uninterrupted row of frames from one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenure {
    /// Index of the node.
    pub node: u8,
    /// Time of its first frame, nanoseconds of the wall clock.
    pub first_nanos: u64,
    /// Time of its last frame.
    pub last_nanos: u64,
    /// How many frames it sent.
    pub frames: u64,
    /// Whether it claimed the address within the first 20 ms.
    pub claimed: bool,
}

/// A time in which an earlier owner still stood up for the address beside a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The earlier owner.
    pub stale: u8,
    /// The later owner.
    pub owner: u8,
    /// The first frame of the later owner.
    pub from_nanos: u64,
    /// The frame of the earlier owner that proves it.
    pub until_nanos: u64,
}

/// The judge's finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// Who sent, in order of time.
    pub tenures: Vec<Tenure>,
    /// Every proof of two owners.
    pub overlaps: Vec<Overlap>,
    /// Time covered by the overlaps.
    pub two_owners: Duration,
}

/// Judges frames; they need not be sorted.
#[must_use]
pub fn judge(sightings: &[Sighting]) -> Ownership {
    let mut sorted = sightings.to_vec();
    sorted.sort_by_key(|s| s.at_nanos);
    let tenures = tenures(&sorted);
    let mut overlaps = Vec::new();
    let mut contested = false;
    for now in (0..tenures.len()).rev() {
        let overlap = return_without_right(&tenures, now, contested);
        contested = overlap.is_some();
        overlaps.extend(overlap);
    }
    overlaps.reverse();
    let two_owners = Duration::from_nanos(covered(&overlaps));
    Ownership { tenures, overlaps, two_owners }
}

fn tenures(sorted: &[Sighting]) -> Vec<Tenure> {
    let mut rows: Vec<Tenure> = Vec::new();
    for sighting in sorted {
        let at = sighting.at_nanos;
        let claim = sighting.kind == Use::Claim;
        match rows.last_mut().filter(|row| row.node == sighting.node) {
            Some(row) => {
                row.last_nanos = at;
                row.frames += 1;
                row.claimed |= claim && at - row.first_nanos <= CLAIM_WITHIN;
            }
            None => rows.push(Tenure {
                node: sighting.node,
                first_nanos: at,
                last_nanos: at,
                frames: 1,
                claimed: claim,
            }),
        }
    }
    rows
}

/// The overlap that the row at `now` proves, if its node had left the address and has no right to
/// be back. What the next row contests by a return without right was no ownership either.
fn return_without_right(tenures: &[Tenure], now: usize, contested: bool) -> Option<Overlap> {
    let row = tenures[now];
    let left = tenures[..now].iter().rposition(|earlier| earlier.node == row.node)?;
    let absence = row.first_nanos - tenures[left].last_nanos;
    if row.claimed && absence >= LEAST_ABSENCE && !contested {
        return None;
    }
    let later = tenures[left + 1];
    Some(Overlap {
        stale: row.node,
        owner: later.node,
        from_nanos: later.first_nanos,
        until_nanos: row.first_nanos,
    })
}

/// Nanoseconds covered by the union of the overlaps; a proof within one clock tick counts as one
/// nanosecond, so that no proof vanishes.
fn covered(overlaps: &[Overlap]) -> u64 {
    let mut spans: Vec<_> =
        overlaps.iter().map(|o| (o.from_nanos, o.until_nanos.max(o.from_nanos + 1))).collect();
    spans.sort_unstable();
    let (mut sum, mut reached) = (0, 0);
    for (from, until) in spans {
        let from = from.max(reached);
        sum += until.saturating_sub(from);
        reached = reached.max(until);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(list: &[(u64, u8, Use)]) -> Vec<Sighting> {
        let sighting = |&(ms, node, kind)| Sighting { at_nanos: ms * 1_000_000, node, kind };
        list.iter().map(sighting).collect()
    }

    fn answers(node: u8, from: u64, to: u64) -> Vec<(u64, u8, Use)> {
        (from..to).map(|ms| (ms, node, Use::Source)).collect()
    }

    fn two_owners_ms(parts: &[&[(u64, u8, Use)]]) -> u128 {
        judge(&seen(&parts.concat())).two_owners.as_millis()
    }

    #[test]
    fn one_owner_after_another_is_no_double_ownership() {
        let (a, b) = (answers(1, 0, 100), answers(2, 171, 300));
        let verdict = judge(&seen(&[&a[..], &[(170, 2, Use::Claim)], &b[..]].concat()));
        assert_eq!(verdict.overlaps, []);
        assert_eq!(verdict.tenures.iter().map(|t| t.node).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_last_answer_of_the_old_owner_is_caught() {
        let (a, b) = (answers(1, 0, 100), answers(2, 171, 300));
        let stale = [(250, 1, Use::Source)];
        assert!(two_owners_ms(&[&a, &[(170, 2, Use::Claim)], &b, &stale]) >= 80);
    }

    #[test]
    fn every_kind_of_frame_counts_against_the_old_owner() {
        for kind in [Use::Arp, Use::Advertisement, Use::Source, Use::Claim] {
            // A claim alone is caught when the owner goes on without a new claim of its own.
            let (a, b) = (answers(1, 0, 100), answers(2, 171, 300));
            let verdict = judge(&seen(&[&a[..], &b[..], &[(250, 1, kind)]].concat()));
            assert!(!verdict.overlaps.is_empty(), "{kind:?} was not caught");
        }
    }

    #[test]
    fn an_old_owner_that_speaks_only_at_the_end_is_caught() {
        let (a, b) = (answers(1, 0, 100), answers(2, 170, 300));
        assert_eq!(two_owners_ms(&[&a, &b, &[(400, 1, Use::Arp)]]), 230);
    }

    #[test]
    fn two_masters_that_both_claim_and_answer_are_two_owners_all_the_while() {
        let a: Vec<_> = (0..500).map(|k| (k * 10, 1, Use::Source)).collect();
        let b: Vec<_> = (100..500).map(|k| (k * 10 + 5, 2, Use::Claim)).collect();
        let ms = two_owners_ms(&[&a, &b]);
        assert!((3_900..=4_000).contains(&ms), "{ms}");
    }

    #[test]
    fn an_owner_that_gets_the_address_back_owns_it() {
        let (a, b) = (answers(1, 0, 100), answers(2, 171, 300));
        let back = answers(1, 401, 500);
        let claims = [(170, 2, Use::Claim), (402, 1, Use::Claim)];
        assert_eq!(two_owners_ms(&[&a, &b, &back, &claims]), 0);
    }

    #[test]
    fn a_claim_does_not_excuse_a_return_at_once() {
        let (a, b) = (answers(1, 0, 100), answers(2, 102, 104));
        let back = [(107, 1, Use::Claim), (108, 1, Use::Source)];
        assert!(two_owners_ms(&[&a, &b, &back]) > 0);
    }

    #[test]
    fn a_planned_move_there_and_back_is_no_double_ownership() {
        let (a, b) = (answers(1, 0, 100), [(133, 2, Use::Claim), (134, 2, Use::Source)]);
        let back = answers(1, 137, 200);
        assert_eq!(two_owners_ms(&[&a, &b, &[(137, 1, Use::Claim)], &back]), 0);
    }

    #[test]
    fn a_claim_long_after_the_return_excuses_nothing() {
        let (a, b) = (answers(1, 0, 100), answers(2, 171, 300));
        let back = answers(1, 401, 500);
        assert!(two_owners_ms(&[&a, &b, &back, &[(450, 1, Use::Claim)]]) > 0);
    }

    #[test]
    fn overlapping_proofs_count_once() {
        let spans = [(0, 10), (5, 20), (30, 31)];
        let overlap =
            |(from_nanos, until_nanos)| Overlap { stale: 1, owner: 2, from_nanos, until_nanos };
        assert_eq!(covered(&spans.map(overlap)), 21);
    }

    #[test]
    fn nothing_seen_is_nobodys() {
        assert_eq!(judge(&[]), Ownership::default());
    }
}
