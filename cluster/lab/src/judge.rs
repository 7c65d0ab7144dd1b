//! The ownership judge: from the frames every node sent, who owned the VIP when, and whether two
//! did (pure).
//!
//! Rule: a frame that claims or uses the VIP, sent after the first such frame of a later owner, is
//! a frame of a second owner. The address may come back to a node it once left; such a return is
//! a new ownership only if it begins with a claim, as a takeover does, and not at once. One that is
//! too quick for two failures in a row is a planned move there and back, unless others are near: two
//! nodes that contend by claims come back again and again. Whatever else an earlier owner sends is
//! counted against it; and where the node that it interrupts goes on without a claim, so is a return that
//! began with one.
//!
//! What frames do not tell from failures in a row, claims by turns that are far enough apart, are moves
//! nevertheless ([`Ownership::moves`]): it is for others to say how many there should be.
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

/// A node that is back sooner than this after its own last frame, by a claim, was moved there and back by a plan,
/// or contends for the address: two failures in a row, with a takeover each, take longer. Without a claim it goes on
/// after somebody interrupted it.
const SWIFT: u64 = 250_000_000;

/// A swift return is no plan where any other return follows it sooner than this, or a swift one went before.
const APART: u64 = 10_000_000_000;

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

impl Ownership {
    /// How often the node that sent changed.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.tenures.len().saturating_sub(1) as u64
    }
}

/// Judges frames; they need not be sorted.
#[must_use]
pub fn judge(sightings: &[Sighting]) -> Ownership {
    let mut sorted = sightings.to_vec();
    sorted.sort_by_key(|s| s.at_nanos);
    let tenures = tenures(&sorted);
    let returns = returns(&tenures);
    let mut overlaps = Vec::new();
    let mut contested_by = None;
    for (at, back) in returns.iter().enumerate().rev() {
        // What the next row contests by a return without right was no ownership either, if that node goes on
        // after an interruption: the stray frame of one that had let go says nothing of whom it follows.
        let contested = contested_by == Some(back.row + 1);
        let without_right = !back.claimed || back.absence < LEAST_ABSENCE || contested;
        contested_by = (without_right && back.absence < SWIFT).then_some(back.row);
        if without_right || contends(&returns, at) {
            overlaps.push(back.overlap);
        }
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

/// A row of frames of a node that had left the address.
struct Return {
    /// Which row.
    row: usize,
    /// Nanoseconds since the last frame of the node's row before.
    absence: u64,
    /// Whether it began with a claim.
    claimed: bool,
    /// What it proves if the node has no right to be back.
    overlap: Overlap,
}

fn returns(tenures: &[Tenure]) -> Vec<Return> {
    let back = |(row, now): (usize, &Tenure)| {
        let left = tenures[..row].iter().rposition(|earlier| earlier.node == now.node)?;
        let later = tenures[left + 1];
        let overlap = Overlap {
            stale: now.node,
            owner: later.node,
            from_nanos: later.first_nanos,
            until_nanos: now.first_nanos,
        };
        let absence = now.first_nanos - tenures[left].last_nanos;
        Some(Return { row, absence, claimed: now.claimed, overlap })
    };
    tenures.iter().enumerate().filter_map(back).collect()
}

/// Whether the return at `at` is one of several by which nodes contend for the address. Only its own time counts
/// then: whether who came between had let the address go, frames do not show.
fn contends(returns: &[Return], at: usize) -> bool {
    let back = &returns[at];
    if back.absence >= SWIFT {
        return false;
    }
    let near =
        |other: &Return| other.overlap.until_nanos.abs_diff(back.overlap.until_nanos) < APART;
    let mut before = returns[..at].iter().rev().take_while(|other| near(other));
    returns.get(at + 1).is_some_and(near) || before.any(|other| other.absence < SWIFT)
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

    /// A claim, and answers to what clients send from then on, for so many milliseconds.
    fn reign(node: u8, from: u64, ms: u64) -> Vec<(u64, u8, Use)> {
        [vec![(from, node, Use::Claim)], answers(node, from + 1, from + ms)].concat()
    }

    #[test]
    fn two_nodes_that_duel_by_claims_are_two_owners_all_the_while() {
        // Clients turn to whoever claimed last, so that the other is silent until it claims again.
        for nodes in [&[1, 2][..], &[1, 2, 3]] {
            let reigns = (0..50).zip(nodes.iter().cycle());
            let duel: Vec<_> = reigns.map(|(k, node)| reign(*node, k * 10, 8)).collect();
            let rows: Vec<_> = duel.iter().map(Vec::as_slice).collect();
            assert_eq!(two_owners_ms(&rows), 480, "{nodes:?}");
        }
    }

    #[test]
    fn an_owner_that_claims_the_address_back_at_each_attack_is_a_second_owner() {
        let round = |k: u64| [reign(1, k * 420, 380), reign(2, k * 420 + 385, 10)].concat();
        assert_eq!(two_owners_ms(&[&round(0), &round(1), &round(2)]), 2 * 35);
        // Once, and the attacker claims again later: no planned move there and back ends like this.
        let once = [reign(1, 0, 380), reign(2, 385, 10), reign(1, 420, 580), reign(2, 1_000, 500)];
        assert_eq!(two_owners_ms(&once.each_ref().map(Vec::as_slice)), 35);
    }

    #[test]
    fn failures_in_a_row_and_planned_moves_now_and_then_are_no_duel() {
        let failing: Vec<_> = (0..8).map(|k| reign(1 + (k % 2) as u8, k * 600, 520)).collect();
        assert_eq!(two_owners_ms(&failing.iter().map(Vec::as_slice).collect::<Vec<_>>()), 0);
        let planned = |s: u64| [reign(2, s * 1_000, 4), reign(1, s * 1_000 + 37, 11_900)].concat();
        assert_eq!(two_owners_ms(&[&reign(1, 0, 1_950), &planned(2), &planned(14)]), 0);
    }

    #[test]
    fn each_change_of_the_sender_is_a_move() {
        let moves = |rows: &[&[(u64, u8, Use)]]| judge(&seen(&rows.concat())).moves();
        assert_eq!(moves(&[]), 0);
        assert_eq!(moves(&[&reign(1, 0, 50), &reign(2, 120, 50), &reign(1, 900, 50)]), 2);
    }

    #[test]
    fn a_claim_long_after_the_return_excuses_nothing() {
        let (a, b) = (answers(1, 0, 100), answers(2, 171, 300));
        let back = answers(1, 401, 500);
        assert!(two_owners_ms(&[&a, &b, &back, &[(450, 1, Use::Claim)]]) > 0);
    }

    #[test]
    fn a_stray_frame_of_a_node_that_had_let_go_does_not_condemn_the_return_before_it() {
        let lawful = [reign(1, 0, 1_000), reign(2, 2_000, 60_000), reign(1, 63_000, 5)];
        let stray = [vec![(63_006, 2, Use::Source)], answers(1, 63_007, 64_000)];
        assert_eq!(two_owners_ms(&[&lawful.concat(), &stray.concat()]), 7);
    }

    #[test]
    fn an_owner_that_goes_on_after_a_claim_condemns_it() {
        let (a, b, on) = (reign(1, 0, 1_000), reign(2, 2_000, 60_000), answers(2, 62_002, 63_000));
        assert_eq!(two_owners_ms(&[&a, &b, &[(62_001, 1, Use::Claim)], &on]), 60_002);
    }

    #[test]
    fn an_overlap_that_looks_like_failures_in_a_row_is_told_by_moves() {
        // The old owner wakes up and claims, its successor defends itself, and the old one falls silent.
        let (a, b, defended) = (reign(1, 0, 1_000), reign(2, 1_100, 3_890), reign(2, 5_040, 900));
        let verdict = judge(&seen(&[&a[..], &b, &[(5_000, 1, Use::Claim)], &defended].concat()));
        assert_eq!(verdict.overlaps, []);
        assert_eq!(verdict.moves(), 3);
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
