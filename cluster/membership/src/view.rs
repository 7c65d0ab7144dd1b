//! Views: which members can all reach each other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_types::NodeId;
use serde::{Deserialize, Serialize};

/// After the admitted reachability of a pair changed, it stays for this long, unless one of the two
/// is declared dead or comes back from that.
pub const FLAP_HOLD: Duration = Duration::from_secs(30);
/// How long a pair must be without mutual reachability before a view may part the two: time enough
/// for a death verdict, which then says more.
pub const PART_AFTER: Duration = Duration::from_millis(500);

/// The members that act together, as this node sees it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct View {
    /// Counts the views this process has formed.
    pub number: u64,
    /// The largest set of members that all hear each other; the one with the coordinator where
    /// sizes tie. This node may be missing from it: then it is cut off from the others' view.
    pub members: BTreeSet<NodeId>,
}

/// An unordered pair of nodes, the lower id first.
pub(crate) fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    /// What views go by.
    admitted: bool,
    changed: Option<Instant>,
    /// Since when the raw reachability differs from what is admitted.
    differs: Option<Instant>,
}

/// Which pairs views take as reachable: damped, so that a partial or one-way link never makes the
/// view swing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    pairs: BTreeMap<(NodeId, NodeId), Pair>,
}

impl Reach {
    /// Takes in the raw reachability of a pair; true when the admitted one changes. `held` says
    /// whether [`FLAP_HOLD`] applies.
    pub(crate) fn observe(
        &mut self,
        now: Instant,
        key: (NodeId, NodeId),
        raw: bool,
        held: bool,
    ) -> bool {
        let fresh = Pair { admitted: raw, changed: None, differs: None };
        let pair = self.pairs.entry(key).or_insert(fresh);
        if pair.admitted == raw {
            pair.differs = None;
            return false;
        }
        let since = *pair.differs.get_or_insert(now);
        if now < pair.ready(since, held) {
            return false;
        }
        *pair = Pair { admitted: raw, changed: Some(now), differs: None };
        true
    }

    /// Forgets all about a node: it was declared dead, or is back from that, or removed.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.pairs.retain(|&(a, b), _| a != node && b != node);
    }

    /// Nothing is waited for about pairs that are not both among `nodes`.
    pub(crate) fn keep(&mut self, nodes: &BTreeSet<NodeId>) {
        for ((a, b), pair) in &mut self.pairs {
            if !nodes.contains(a) || !nodes.contains(b) {
                pair.differs = None;
            }
        }
    }

    /// When the next change that is waited for may be admitted.
    pub(crate) fn deadline(&self, held: bool) -> Option<Instant> {
        self.pairs.values().filter_map(|p| p.differs.map(|since| p.ready(since, held))).min()
    }

    pub(crate) fn linked(&self, a: NodeId, b: NodeId) -> bool {
        a == b || self.pairs.get(&pair(a, b)).is_some_and(|pair| pair.admitted)
    }
}

impl Pair {
    fn ready(&self, since: Instant, held: bool) -> Instant {
        let delay = if self.admitted { PART_AFTER } else { Duration::ZERO };
        let hold = self.changed.filter(|_| held).map_or(since, |changed| changed + FLAP_HOLD);
        (since + delay).max(hold)
    }
}

/// The largest clique of `nodes` under `linked`; where sizes tie the one that contains `first`, then
/// the one with the lowest ids. At most 64 nodes are taken in, lowest ids first; healthy clusters,
/// where all are linked, cost n² look-ups.
pub(crate) fn largest_clique(
    nodes: &BTreeSet<NodeId>,
    first: Option<NodeId>,
    linked: impl Fn(NodeId, NodeId) -> bool,
) -> BTreeSet<NodeId> {
    let list: Vec<NodeId> = nodes.iter().copied().take(64).collect();
    let neighbours: Vec<u64> = list
        .iter()
        .map(|&a| {
            list.iter()
                .enumerate()
                .fold(0, |mask, (i, &b)| mask | u64::from(a != b && linked(a, b)) << i)
        })
        .collect();
    let wanted = first.and_then(|f| list.iter().position(|&n| n == f)).map_or(0, |i| 1_u64 << i);
    let all = if list.len() == 64 { u64::MAX } else { (1 << list.len()) - 1 };
    let mut best = Best { mask: 0, wanted, budget: 20_000 };
    best.extend(&neighbours, 0, all);
    let chosen = list.iter().enumerate().filter(|&(i, _)| best.mask & 1 << i != 0);
    chosen.map(|(_, &node)| node).collect()
}

struct Best {
    mask: u64,
    wanted: u64,
    /// Steps left: bounds the search in hopelessly torn graphs, where the best so far is taken.
    budget: u32,
}

impl Best {
    fn extend(&mut self, neighbours: &[u64], chosen: u64, mut candidates: u64) {
        let size = chosen.count_ones() + candidates.count_ones();
        if self.budget == 0 || size < self.mask.count_ones() {
            return;
        }
        self.budget -= 1;
        if candidates == 0 {
            // Lower ids are tried first, so of equals the first found has the lowest ids.
            let better = chosen.count_ones() > self.mask.count_ones()
                || (self.mask & self.wanted == 0 && chosen & self.wanted != 0);
            if better {
                self.mask = chosen;
            }
            return;
        }
        while candidates != 0 {
            let bit = candidates.trailing_zeros();
            let node = 1_u64 << bit;
            let near = neighbours[bit as usize];
            self.extend(neighbours, chosen | node, candidates & near);
            candidates &= !node;
            if candidates & !near == 0 {
                // Every clique without this node among the rest could have taken it in.
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use haven_base::Rng;

    use super::*;

    fn set(ids: &[u16]) -> BTreeSet<NodeId> {
        ids.iter().map(|&id| NodeId(id)).collect()
    }

    fn cut(pairs: &[(u16, u16)]) -> impl Fn(NodeId, NodeId) -> bool + '_ {
        move |a, b| !pairs.contains(&(a.0, b.0)) && !pairs.contains(&(b.0, a.0))
    }

    #[test]
    fn ties_go_to_the_coordinator_then_to_the_lowest_ids() {
        let all = set(&[1, 2, 3]);
        let torn = [(1, 2)];
        assert_eq!(largest_clique(&all, Some(NodeId(2)), cut(&torn)), set(&[2, 3]));
        assert_eq!(largest_clique(&all, Some(NodeId(3)), cut(&torn)), set(&[1, 3]));
        assert_eq!(largest_clique(&all, None, cut(&torn)), set(&[1, 3]));
        assert_eq!(largest_clique(&all, None, cut(&[])), all);
        assert_eq!(largest_clique(&set(&[]), None, cut(&[])), set(&[]));
    }

    #[test]
    fn agrees_with_trying_every_subset() {
        let mut rng = Rng::new(11);
        for _ in 0..400 {
            let n = 1 + rng.below(7) as u16;
            let all: BTreeSet<NodeId> = (1..=n).map(NodeId).collect();
            let mut torn = Vec::new();
            for a in 1..=n {
                for b in a + 1..=n {
                    if rng.chance(1, 3) {
                        torn.push((a, b));
                    }
                }
            }
            let linked = cut(&torn);
            let first = NodeId(1 + rng.below(u64::from(n)) as u16);
            let got = largest_clique(&all, Some(first), &linked);
            let mut best = (0, false);
            for mask in 1..1_u32 << n {
                let of: Vec<NodeId> =
                    all.iter().copied().filter(|i| mask & 1 << (i.0 - 1) != 0).collect();
                let clique = of.iter().all(|&a| of.iter().all(|&b| a == b || linked(a, b)));
                if clique {
                    best = best.max((of.len(), of.contains(&first)));
                }
            }
            assert_eq!((got.len(), got.contains(&first)), best, "{torn:?}");
        }
    }

    #[test]
    fn a_flapping_pair_changes_at_most_once_in_thirty_seconds() {
        let mut reach = Reach::default();
        let key = (NodeId(1), NodeId(2));
        let mut changes = 0;
        for step in 0..6000 {
            let now = Instant::from_nanos(step * 100_000_000); // 600 s in steps of 100 ms
            changes += u32::from(reach.observe(now, key, step / 10 % 2 == 0, true));
        }
        assert!((2..=20).contains(&changes), "{changes}");
    }
}
