//! Scores travel along colocations: what those that are colocated think of the nodes, those colocated with them
//! in turn, and so on, each by the share that the scores on the way leave of it.

use std::collections::BTreeMap;

use super::colocated::Value;
use super::sums::Sums;
use crate::world::{Cell, R, Role, Table, Why, World, values};

/// Scores must not go from positive to negative.
pub(crate) const NONNEGATIVE: u32 = 1;
/// Look at those a resource follows instead of those that follow it.
pub(crate) const THIS_WITH: u32 = 1 << 1;
/// Leave off where no node would be left.
pub(crate) const ACTIVE: u32 = 1 << 2;

/// Marks a node as unusable while scores are added up.
const UNUSABLE: i32 = -100 * values::INFINITY;
/// A node that does not exist for the resource.
pub(super) const ABSENT: i32 = i32::MIN;

/// One score for each node, in the order nodes were made.
pub(crate) type Scores = Vec<i32>;

/// How the wishes of a resource are to be taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    /// The resource that is being placed.
    pub(crate) target: R,
    /// The colocation through which its wishes come.
    pub(crate) colocation: usize,
    /// The share of them that counts, −1 to 1.
    pub(crate) factor: f32,
    pub(crate) flags: u32,
}

/// What is kept while resources are placed.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    /// Whether each node could run something.
    pub(super) usable: Vec<bool>,
    pub(super) sums: Sums,
    /// Vectors to be used again.
    pool: Vec<Scores>,
    /// How deep it is nested, and how many resources it has looked at since it began.
    nested: u32,
    visited: usize,
}

impl World<'_> {
    /// To be called before anything is placed.
    pub(super) fn prepare_spread(&mut self) {
        let nodes = (0..self.nodes.len()).map(super::node);
        let usable = nodes.map(|n| self.can_run(n)).collect();
        self.spread = Spread { usable, ..Spread::default() };
        let colocated = self.rscs.iter().any(|r| !r.with_this.is_empty());
        if colocated && !self.set.have_remotes {
            self.spread.sums = Sums::new(self.rscs.len());
        }
    }

    /// A resource's own scores.
    pub(super) fn own_scores(&self, r: R) -> Scores {
        let mut scores = vec![ABSENT; self.nodes.len()];
        for (score, cell) in scores.iter_mut().zip(self[r].allowed.cells()) {
            if cell.present {
                *score = cell.score;
            }
        }
        scores
    }

    /// Whether anything could run on any of the nodes.
    pub(super) fn available(&self, scores: &[i32]) -> bool {
        scores.iter().zip(&self.spread.usable).any(|(score, usable)| *score >= 0 && *usable)
    }

    /// Adds what a dependent thinks of the nodes to its primary's scores.
    pub(super) fn add_dependent_scores(&mut self, c: usize, primary: R) {
        if !self.has_influence(c, None) {
            return;
        }
        let coloc = &self.colocations[c];
        let (dependent, factor) = (coloc.dependent, factor(coloc.score));
        let flags = ACTIVE | if self.is_clone(primary) { NONNEGATIVE } else { 0 };
        let mut scores = self.own_scores(primary);
        let how = Weight { target: primary, colocation: c, factor, flags };
        self.add_colocated_scores(dependent, &mut scores, how);
        self.noting(primary, Why::Followed(c), |w| w[primary].allowed.set_scores(&scores));
    }

    /// What a resource and those colocated with it think of the nodes; none where that has been looked at already.
    pub(super) fn colocated_scores(&mut self, source: R, flags: u32) -> Option<Scores> {
        if !self.enter(source) {
            return None;
        }
        let scores = if self.is_group(source) {
            let last = self[source].children.last().copied();
            last.and_then(|m| self.colocated_scores(m, flags))
        } else {
            let mut scores = self.own_scores(source);
            if self.available(&scores) {
                let how = Weight { target: source, colocation: 0, factor: 1.0, flags };
                self.add_beyond(source, &mut scores, how);
            }
            Some(scores)
        };
        self.leave(source);
        scores
    }

    /// Adds what `source` and those colocated with it think of the nodes.
    pub(super) fn add_colocated_scores(&mut self, source: R, scores: &mut Scores, how: Weight) {
        // A share that has become too small to be told from nothing adds nothing.
        if how.factor == 0.0 || !self.enter(source) {
            return;
        }
        if !self.is_group(source) {
            self.add_wishes(source, scores, how);
        } else if let Some(first) = self[source].children.first().copied() {
            self.add_colocated_scores(first, scores, how);
        }
        self.leave(source);
    }

    /// False where a resource is being looked at already, or enough have been.
    fn enter(&mut self, source: R) -> bool {
        if self.spread.nested == 0 {
            debug_assert!(
                (0..self.nodes.len())
                    .all(|i| self.can_run(super::node(i)) == self.spread.usable[i]),
                "nodes change only where `usable` is kept"
            );
            self.spread.visited = 0;
        }
        self.spread.visited += 1;
        if self[source].updating || self.spread.visited > self.spread_limit() {
            return false;
        }
        self[source].updating = true;
        self.spread.nested += 1;
        true
    }

    /// How many resources scores may come from at a time. Paths through a net of colocations are more than can be
    /// counted; what this leaves out are only its farthest ends.
    fn spread_limit(&self) -> usize {
        (3 * self.rscs.len()).max(10_000)
    }

    fn leave(&mut self, source: R) {
        self[source].updating = false;
        self.spread.nested -= 1;
    }

    fn add_wishes(&mut self, source: R, scores: &mut Scores, how: Weight) {
        let before = cfg!(debug_assertions).then(|| scores.clone());
        if self.add_sum(source, scores, how) {
            if let Some(before) = before {
                self.check_sum(source, before, scores, how);
            }
            return;
        }
        self.add_one_by_one(source, scores, how);
    }

    /// Builds with assertions add one by one as well.
    fn check_sum(&mut self, source: R, before: Scores, after: &Scores, how: Weight) {
        let sums = std::mem::take(&mut self.spread.sums);
        let visited = self.spread.visited;
        let mut scores = before;
        self.add_one_by_one(source, &mut scores, how);
        let all = self.spread.visited <= self.spread_limit();
        assert!(!all || scores == *after, "a sum is what adding one by one gives");
        self.spread.visited = visited;
        self.spread.sums = sums;
    }

    fn add_one_by_one(&mut self, source: R, scores: &mut Scores, how: Weight) {
        let mut work = self.spread.pool.pop().unwrap_or_default();
        work.clone_from(scores);
        self.add_own(source, &mut work, how);
        if self.available(&work) {
            self.add_beyond(source, &mut work, how);
        } else if how.flags & ACTIVE != 0 {
            self.spread.pool.push(work);
            return;
        }
        if how.flags & NONNEGATIVE != 0 {
            work.iter_mut().filter(|s| **s == UNUSABLE).for_each(|s| *s = 1);
        }
        std::mem::swap(scores, &mut work);
        self.spread.pool.push(work);
    }

    /// Adds what those beyond `source` think of the nodes.
    fn add_beyond(&mut self, source: R, scores: &mut Scores, how: Weight) {
        let this_with = how.flags & THIS_WITH != 0;
        let list = if this_with { self.this_with(source) } else { self.with_this(source) };
        for c in list {
            if !this_with && !self.has_influence(c, None) {
                continue;
            }
            let coloc = &self.colocations[c];
            let other = if this_with { coloc.primary } else { coloc.dependent };
            #[allow(clippy::cast_precision_loss, reason = "scores fit into 24 bits")]
            let factor = how.factor * coloc.score as f32 / values::INFINITY as f32;
            let flags = how.flags | ACTIVE;
            self.add_colocated_scores(
                other,
                scores,
                Weight { colocation: c, factor, flags, ..how },
            );
        }
    }

    /// Adds what `source` itself thinks of the nodes.
    fn add_own(&self, source: R, scores: &mut Scores, how: Weight) {
        let coloc = &self.colocations[how.colocation];
        let judging = self.judging_table(how.colocation, source);
        let table = judging.as_ref().unwrap_or(&self[source].allowed);
        let mut mix = Mix {
            factor: how.factor,
            only_positive: how.flags & NONNEGATIVE != 0,
            keep_above: None,
        };
        if how.factor < 0.0 {
            // What the dependent avoids must not attract its primary, unless there is a good reason.
            let counts =
                self.has_influence(how.colocation, None) && self.allowed_on_one(coloc.dependent);
            let sticky = -i64::from(self[coloc.primary].stickiness);
            mix.keep_above = Some(if counts { sticky } else { i64::MIN });
        }
        let attribute = coloc.attribute.as_deref();
        if attribute.is_some() || self.set.have_remotes {
            self.add_by_value(source, table, scores, (how.target, attribute), mix);
            return;
        }
        // The node itself has to agree, and needs no looking up.
        let cells = table.cells().iter().chain(std::iter::repeat(&Cell::NONE));
        let nodes = scores.iter_mut().zip(cells).zip(&self.spread.usable);
        if mix.factor == 1.0 && !mix.only_positive {
            for ((score, cell), usable) in nodes {
                let wish = if cell.present && *usable { cell.score } else { -values::INFINITY };
                *score = if *score == ABSENT { ABSENT } else { values::add(wish, *score) };
            }
        } else {
            for ((score, cell), usable) in nodes {
                let wish = if cell.present && *usable { cell.score } else { -values::INFINITY };
                mix.add(score, wish);
            }
        }
    }

    /// The same where nodes agree by the value of an attribute, or guests by their hosts.
    fn add_by_value(
        &self,
        source: R,
        table: &Table,
        scores: &mut Scores,
        (target, attribute): (R, Option<&str>),
        mix: Mix,
    ) {
        let mut best: BTreeMap<Value, i32> = BTreeMap::new();
        for (n, cell) in table.iter() {
            if self.can_run(n) {
                let value = self.value(n, attribute, source);
                let b = best.entry(value).or_insert(-values::INFINITY);
                *b = (*b).max(cell.score);
            }
        }
        for (i, score) in scores.iter_mut().enumerate().filter(|(_, s)| **s != ABSENT) {
            let value = self.value(super::node(i), attribute, target);
            mix.add(score, best.get(&value).copied().unwrap_or(-values::INFINITY));
        }
    }

    /// The scores by which a colocation's dependent judges, where they differ from its own.
    fn judging_table(&self, c: usize, source: R) -> Option<Table> {
        let parent = self.judges_by_group(c, source)?;
        let mut table = self[source].allowed.clone();
        for i in self[parent].locations.iter().rev() {
            let l = &self.locations[*i];
            if l.role != Role::Unknown && l.role != self[source].next_role {
                continue;
            }
            for (n, score) in &l.nodes {
                match table.get_mut(*n) {
                    Some(cell) => cell.score = values::add(cell.score, *score),
                    None => {
                        table.insert(*n, Cell { score: *score, ..self[*n].base });
                    }
                }
            }
        }
        Some(table)
    }

    /// The group whose locations count for a member that follows something by itself and is not the first.
    pub(super) fn judges_by_group(&self, c: usize, source: R) -> Option<R> {
        let coloc = &self.colocations[c];
        let parent = self[source].parent?;
        let by_group = source == coloc.dependent
            && coloc.explicit
            && self.is_group(parent)
            && self[parent].children.first() != Some(&source);
        by_group.then_some(parent)
    }

    fn allowed_on_one(&self, r: R) -> bool {
        self[r].allowed.iter().filter(|(_, c)| c.score >= 0).take(2).count() == 1
    }
}

/// How a wish is mixed into a score.
#[derive(Debug, Clone, Copy)]
struct Mix {
    factor: f32,
    only_positive: bool,
    /// With a negative factor: wishes below 0 leave the score alone if they are not below this.
    keep_above: Option<i64>,
}

impl Mix {
    fn add(self, score: &mut i32, wish: i32) {
        let wish = wish.max(-values::INFINITY);
        let kept = wish < 0 && self.keep_above.is_some_and(|limit| i64::from(wish) >= limit);
        if *score == ABSENT || *score == UNUSABLE || kept {
            return;
        }
        let new = values::add(scaled(self.factor, wish), *score);
        if self.only_positive && new < 0 && *score > 0 {
            *score = UNUSABLE;
        } else if !(self.only_positive && new < 0 && *score == 0) {
            *score = new;
        }
    }
}

/// A score as a share of INFINITY.
pub(crate) fn factor(score: i32) -> f32 {
    #[allow(clippy::cast_precision_loss, reason = "scores fit into 24 bits")]
    let f = score as f32 / values::INFINITY as f32;
    f
}

/// A share of a score, rounded, but never to nothing.
fn scaled(factor: f32, score: i32) -> i32 {
    #[allow(clippy::cast_precision_loss, reason = "scores fit into 24 bits")]
    let share = f64::from(factor * score as f32);
    #[allow(clippy::cast_possible_truncation, reason = "rounding is meant, and the value small")]
    let delta = if share < 0.0 { (share - 0.5) as i32 } else { (share + 0.5) as i32 };
    if delta == 0 && score != 0 {
        return if factor > 0.0 {
            1
        } else if factor < 0.0 {
            -1
        } else {
            0
        };
    }
    delta
}
