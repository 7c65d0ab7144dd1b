//! What quorum must remember from one view to the next.

use std::collections::BTreeSet;

use haven_base::Instant;
use haven_types::NodeId;
use serde::{Deserialize, Serialize};

use crate::options::Rules;

/// What was seen so far. Starts empty with the node's process, except for
/// [`History::highest_votes`], which is kept on disk where `expected_votes_tracking` is on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// All members were seen together since start (`wait_for_all`).
    pub all_seen: bool,
    /// The highest number of votes ever present together (`expected_votes_tracking`).
    pub highest_votes: u32,
    /// The members that still count after `last_man_standing` lowered the expected votes.
    pub lowered_to: Option<BTreeSet<NodeId>>,
    /// Rises whenever `lowered_to` changes: what a view knows is what its newest member knows.
    pub generation: u64,
    /// The view whose stay is being timed, and since when (`last_man_standing`).
    pub timing: Option<(BTreeSet<NodeId>, Instant)>,
}

impl History {
    /// A history that knows how many votes were once seen together.
    #[must_use]
    pub fn with_highest_votes(highest_votes: u32) -> Self {
        Self { highest_votes, ..Self::default() }
    }

    /// What a view knows whose members remember these. Members of a view must judge by this and
    /// not each by its own: one of them may have missed that the count changed. The window of
    /// `last_man_standing` starts afresh, as instants of two hosts cannot be compared.
    #[must_use]
    pub fn of_view<'a>(members: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for it in members {
            all.all_seen |= it.all_seen;
            all.highest_votes = all.highest_votes.max(it.highest_votes);
            if it.generation > all.generation {
                all.generation = it.generation;
                all.lowered_to.clone_from(&it.lowered_to);
            }
        }
        all
    }

    /// What to remember after `present` was the view at `now`. Call on every new view and at
    /// [`History::deadline`]; a spare call changes nothing.
    ///
    /// `fenced` are the members confirmed to run nothing: `last_man_standing` lowers the expected
    /// votes only once every missing member is one of them, since a lowered count is what lets
    /// fewer than half of the original votes go on.
    #[must_use]
    pub fn note(
        mut self,
        rules: &Rules,
        present: &BTreeSet<NodeId>,
        fenced: &BTreeSet<NodeId>,
        now: Instant,
    ) -> Self {
        let present: BTreeSet<NodeId> =
            present.iter().copied().filter(|it| rules.members.contains_key(it)).collect();
        let votes = rules.votes_of(&present);
        if votes >= rules.configured_expected() {
            self.all_seen = true;
        }
        self.highest_votes = self.highest_votes.max(votes);
        // Members that came back count again, but only where those that still counted agree
        // without them: the others may act on the lowered count elsewhere.
        if self.lowered_to.is_some() && rules.judge(&present, &self).quorate {
            let before = self.lowered_to.take();
            let counted: BTreeSet<NodeId> =
                before.iter().flatten().chain(&present).copied().collect();
            let lowered = (counted.len() < rules.members.len()).then_some(counted);
            if lowered != before {
                self.generation += 1;
            }
            self.lowered_to = lowered;
        }
        self.time_view(rules, &present, fenced, now);
        self
    }

    fn time_view(
        &mut self,
        rules: &Rules,
        present: &BTreeSet<NodeId>,
        fenced: &BTreeSet<NodeId>,
        now: Instant,
    ) {
        let missing = || rules.members.keys().filter(|it| !present.contains(it));
        let shrunk = rules.votes_of(present) < rules.expected(self);
        if !rules.options.last_man_standing || !shrunk || !rules.judge(present, self).quorate {
            self.timing = None;
            return;
        }
        let since = match &self.timing {
            Some((view, since)) if view == present => *since,
            Some(_) | None => now,
        };
        self.timing = Some((present.clone(), since));
        let stayed = now.since(since) >= rules.options.last_man_standing_window;
        if stayed && missing().all(|it| fenced.contains(it)) {
            self.lowered_to = Some(present.clone());
            self.generation += 1;
            self.timing = None;
        }
    }

    /// When [`History::note`] is due again without a new view.
    #[must_use]
    pub fn deadline(&self, rules: &Rules) -> Option<Instant> {
        self.timing.as_ref().map(|(_, since)| *since + rules.options.last_man_standing_window)
    }
}
