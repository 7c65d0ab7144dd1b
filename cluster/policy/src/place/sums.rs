//! Sums of what a resource and all that follow it think of the nodes.
//!
//! In a chain of mandatory colocations, each resource asks all behind it. What they say is the sum of their
//! scores, and it stays the same while none of them changes: it is added up once, from the end of the chain to its
//! beginning. A sum counts only where adding it at once gives what adding one by one gives; else they are asked one by
//! one.

use super::spread::{ABSENT, ACTIVE, Scores, Weight};
use crate::world::{Cell, R, Variant, World, values};

/// One number for each node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sum {
    /// All scores below 0 together; [`BANNED`] where one is −INFINITY.
    low: Vec<i32>,
    /// All scores above 0 together; [`WANTED`] where one is INFINITY.
    high: Vec<i32>,
}

const BANNED: i32 = i32::MIN;
const WANTED: i32 = i32::MAX;

/// What is known of a resource's sum.
#[derive(Debug, Default)]
enum Known {
    #[default]
    Nothing,
    /// Being added up.
    Open,
    /// There is none: something in it does not just add.
    Never,
    /// Nobody follows it.
    Leaf,
    Sum(Box<Sum>),
}

/// All sums, by resource.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    known: Vec<Known>,
    /// Whose sums each is in.
    users: Vec<Vec<R>>,
}

impl Sums {
    pub(super) fn new(resources: usize) -> Self {
        let (mut known, mut users) = (Vec::new(), Vec::new());
        known.resize_with(resources, Known::default);
        users.resize_with(resources, Vec::new);
        Self { known, users }
    }
}

impl Sum {
    fn add(&mut self, other: &Self) {
        for (a, b) in self.low.iter_mut().zip(&other.low) {
            let banned = *a == BANNED || *b == BANNED;
            *a = if banned { BANNED } else { a.saturating_add(*b).max(BANNED + 1) };
        }
        for (a, b) in self.high.iter_mut().zip(&other.high) {
            let wanted = *a == WANTED || *b == WANTED;
            *a = if wanted { WANTED } else { a.saturating_add(*b).min(WANTED - 1) };
        }
    }
}

impl Sum {
    /// Whether adding the sum gives what adding one by one gives: no score is cut off on the way, and some node stays
    /// open from beginning to end, so that nobody's wishes are left off.
    fn adds(&self, scores: &[i32], usable: &[bool]) -> bool {
        let limit = i64::from(values::INFINITY);
        let mut open = false;
        let sums = self.low.iter().zip(&self.high).zip(usable);
        for (score, ((low, high), usable)) in scores.iter().zip(sums) {
            if *low == BANNED || *score <= -values::INFINITY {
                continue;
            }
            let (score, low) = (i64::from(*score), i64::from(*low));
            let high = if *high == WANTED { 0 } else { i64::from(*high) };
            if score + low <= -limit || (score < limit && score + high >= limit) {
                return false;
            }
            open |= *usable && score + low >= 0;
        }
        open
    }
}

impl World<'_> {
    /// The sum of a resource alone.
    fn own_sum(&self, r: R) -> Sum {
        let cells = self[r].allowed.cells().iter().chain(std::iter::repeat(&Cell::NONE));
        let mut sum = Sum::default();
        for (usable, cell) in self.spread.usable.iter().zip(cells) {
            let wish = if *usable && cell.present { cell.score } else { -values::INFINITY };
            let (low, high) = if wish <= -values::INFINITY {
                (BANNED, 0)
            } else if wish >= values::INFINITY {
                (0, WANTED)
            } else {
                (wish.min(0), wish.max(0))
            };
            sum.low.push(low);
            sum.high.push(high);
        }
        sum
    }

    /// Adds what `source` and all that follow it think of the nodes at once; false where that cannot be done.
    pub(super) fn add_sum(&mut self, source: R, scores: &mut Scores, how: Weight) -> bool {
        if how.factor != 1.0 || how.flags != ACTIVE || !self.passes_on(how.colocation, source) {
            return false;
        }
        self.find_sum(source);
        let Some(Known::Sum(sum)) = self.spread.sums.known.get(source.0 as usize) else {
            return false;
        };
        if !sum.adds(scores, &self.spread.usable) {
            return false;
        }
        for (score, (low, high)) in scores.iter_mut().zip(sum.low.iter().zip(&sum.high)) {
            *score = if *score == ABSENT {
                ABSENT
            } else if *low == BANNED || *score <= -values::INFINITY {
                -values::INFINITY
            } else if *high == WANTED || *score >= values::INFINITY {
                values::INFINITY
            } else {
                *score + low + high
            };
        }
        true
    }

    /// Whether the wishes of a colocation's dependent count as they are.
    fn passes_on(&self, c: usize, dependent: R) -> bool {
        let coloc = &self.colocations[c];
        coloc.score == values::INFINITY
            && coloc.attribute.is_none()
            && self.judges_by_group(c, dependent).is_none()
    }

    /// Adds up the sum of a resource, if it has one and it is not known.
    fn find_sum(&mut self, r: R) {
        let i = r.0 as usize;
        match self.spread.sums.known.get(i) {
            Some(Known::Nothing) => {}
            // A ring has no sum.
            Some(Known::Open) => {
                self.spread.sums.known[i] = Known::Never;
                return;
            }
            None | Some(Known::Never | Known::Leaf | Known::Sum(_)) => return,
        }
        self.spread.sums.known[i] = Known::Open;
        let found = self.followers_with_sums(r);
        if matches!(self.spread.sums.known[i], Known::Never) {
            return;
        }
        let known = match found {
            None => Known::Never,
            Some(list) if list.is_empty() => Known::Leaf,
            Some(list) => {
                let mut sum = self.own_sum(r);
                for f in list {
                    match &self.spread.sums.known[f.0 as usize] {
                        Known::Sum(s) => sum.add(s),
                        Known::Nothing | Known::Open | Known::Never | Known::Leaf => {
                            sum.add(&self.own_sum(f));
                        }
                    }
                    self.spread.sums.users[f.0 as usize].push(r);
                }
                Known::Sum(Box::new(sum))
            }
        };
        self.spread.sums.known[i] = known;
    }

    /// Those that follow a resource, if each has a sum.
    fn followers_with_sums(&mut self, r: R) -> Option<Vec<R>> {
        let plain = self.is_primitive(r)
            && self[r]
                .parent
                .is_none_or(|p| self[p].variant == Variant::Group && self[p].parent.is_none());
        if !plain {
            return None;
        }
        let mut list = Vec::new();
        for c in self.with_this(r) {
            if !self.has_influence(c, None) {
                continue;
            }
            let mut follower = self.colocations[c].dependent;
            if self.is_group(follower) {
                follower = *self[follower].children.first()?;
            }
            if !self.passes_on(c, follower) {
                return None;
            }
            self.find_sum(follower);
            match &self.spread.sums.known[follower.0 as usize] {
                Known::Leaf | Known::Sum(_) => list.push(follower),
                Known::Nothing | Known::Open | Known::Never => return None,
            }
        }
        Some(list)
    }

    /// A resource's scores change: the sums it is in hold no longer.
    pub(crate) fn forget_sums(&mut self, r: R) {
        let sums = &mut self.spread.sums;
        if sums.known.is_empty() {
            return;
        }
        let i = r.0 as usize;
        let used = sums.users.get(i).is_some_and(|u| !u.is_empty());
        if !used && !matches!(sums.known.get(i), Some(Known::Sum(_) | Known::Leaf)) {
            return;
        }
        let mut todo = vec![r];
        while let Some(r) = todo.pop() {
            let i = r.0 as usize;
            if let Some(known @ (Known::Sum(_) | Known::Leaf)) = sums.known.get_mut(i) {
                *known = Known::Nothing;
            }
            if let Some(users) = sums.users.get_mut(i) {
                todo.append(users);
            }
        }
    }
}
