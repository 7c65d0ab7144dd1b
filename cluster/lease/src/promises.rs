//! What one voter has promised about one group, and the table of all of it.

use std::collections::BTreeMap;

use haven_base::Instant;
use haven_types::{BootId, Epoch, GroupId, LogPosition, NodeId, Seq};
use serde::{Deserialize, Serialize};

/// A beat of one node: its boot, then its seq. Ordered as the node sent them.
pub(crate) type BeatId = (BootId, Seq);

/// How many beats one promise lists before neighbours are merged (to the later beat and the later
/// end, which only lengthens the promise).
pub const MAX_PROMISED_BEATS: usize = 16;

/// All promises of one voter, as one process hands them to the next (same kernel boot only).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PromiseTable {
    /// Per group: the holder, and the ends of its promised beats.
    pub promises: BTreeMap<GroupId, Promise>,
    /// Until when this voter promises nothing to anyone, if that has not passed (L4).
    pub silent_until: Instant,
    /// The highest epoch per group the voter's log held.
    pub epochs: BTreeMap<GroupId, Epoch>,
    /// The newest configuration entry that was applied. The next process may not see that in its log, which tells
    /// of what a snapshot holds only.
    pub applied: LogPosition,
}

/// What is promised about one group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Promise {
    /// To whom.
    pub holder: NodeId,
    /// Promised beats and the end of each promise, earliest beat first. A later beat stands beside
    /// an earlier one only while the earlier one's promise runs longer, so ends fall strictly.
    pub beats: Vec<(BootId, Seq, Instant)>,
}

impl Promise {
    pub(crate) fn new(holder: NodeId) -> Self {
        Self { holder, beats: Vec::new() }
    }

    /// When the promise ends: its latest end, which is the first listed.
    #[must_use]
    pub fn end(&self) -> Option<Instant> {
        self.beats.first().map(|&(_, _, end)| end)
    }

    /// Adds a promised beat; never shortens the promise. True when beats had to be merged.
    pub(crate) fn add(&mut self, (boot, seq): BeatId, end: Instant) -> bool {
        let beat = (boot, seq);
        // A copy by another link: the first processing already covers the lease of that beat.
        if self.beats.iter().any(|&(b, s, _)| (b, s) == beat) {
            return false;
        }
        // spec: L2 "the voter keeps the latest end among the beats of that node": beats that are
        // both earlier and no longer promised add nothing, and neither does this one if a later
        // beat is promised at least as long.
        if self.beats.iter().any(|&(b, s, e)| (b, s) > beat && e >= end) {
            return false;
        }
        self.beats.retain(|&(b, s, e)| (b, s) > beat || e > end);
        let at = self.beats.partition_point(|&(b, s, _)| (b, s) < beat);
        self.beats.insert(at, (boot, seq, end));
        let full = self.beats.len() > MAX_PROMISED_BEATS;
        if full {
            let (_, _, latest) = self.beats.remove(0);
            self.beats[0].2 = latest;
        }
        full
    }

    /// Drops the promises from beats before `beat`.
    pub(crate) fn drop_before(&mut self, beat: BeatId) {
        self.beats.retain(|&(b, s, _)| (b, s) >= beat);
    }

    /// Drops what has run out.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.beats.retain(|&(_, _, end)| end > now);
    }
}

#[cfg(test)]
mod tests {
    use haven_base::Rng;

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn beat(boot: u64, seq: u64) -> BeatId {
        (BootId(boot), Seq(seq))
    }

    #[test]
    fn later_shorter_and_reordered_beats_never_shorten() {
        let mut promise = Promise::new(NodeId(1));
        promise.add(beat(1, 5), at(5000));
        promise.add(beat(1, 6), at(100));
        assert_eq!(promise.end(), Some(at(5000)));
        promise.add(beat(1, 4), at(4000));
        assert_eq!(promise.beats.len(), 2, "an older beat with an earlier end adds nothing");
        promise.drop_before(beat(1, 6));
        assert_eq!(promise.end(), Some(at(100)));
    }

    #[test]
    fn a_copy_does_not_lengthen() {
        let mut promise = Promise::new(NodeId(1));
        promise.add(beat(1, 5), at(100));
        promise.add(beat(1, 5), at(200));
        assert_eq!(promise.end(), Some(at(100)));
    }

    #[test]
    fn agrees_with_a_plain_list_of_all_beats() {
        let mut rng = Rng::new(3);
        for _ in 0..2_000 {
            let mut promise = Promise::new(NodeId(1));
            let mut all: Vec<(BeatId, Instant)> = Vec::new();
            for _ in 0..12 {
                let id = beat(1 + rng.below(2), rng.below(8));
                if rng.chance(1, 4) {
                    promise.drop_before(id);
                    all.retain(|&(b, _)| b >= id);
                } else if all.iter().all(|&(b, _)| b != id) {
                    let end = at(rng.below(50));
                    promise.add(id, end);
                    all.push((id, end));
                }
                assert_eq!(promise.end(), all.iter().map(|&(_, e)| e).max());
                assert!(promise.beats.windows(2).all(|w| w[0].2 > w[1].2));
            }
        }
    }

    #[test]
    fn a_full_list_merges_to_the_longer_promise() {
        let mut promise = Promise::new(NodeId(1));
        let n = MAX_PROMISED_BEATS as u64 + 1;
        for i in 0..n {
            let merged = promise.add(beat(1, i), at(1000 - i));
            assert_eq!(merged, i + 1 == n);
        }
        assert_eq!(promise.beats.len(), MAX_PROMISED_BEATS);
        assert_eq!(promise.end(), Some(at(1000)));
        promise.drop_before(beat(1, 1));
        assert_eq!(promise.end(), Some(at(1000)), "the merged promise binds to the later beat");
    }
}
