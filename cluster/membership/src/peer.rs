//! What is known of one peer.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::Instant;
use haven_types::{BootId, LinkId, LogPosition, NodeId, Seq};
use serde::{Deserialize, Serialize};

use crate::detector::SILENCE_FLOOR;
use crate::{Clauses, LinkState, Peaks};

/// How much longer than its usual round trip an answer may take to count as prompt.
const PROMPT_SLACK: Duration = Duration::from_millis(6);
/// How much the usual round trip rises with each answer that is slower.
const RTT_CREEP: Duration = Duration::from_micros(10);

/// The shortest silence after which a link counts as down.
const LINK_SILENCE: Duration = Duration::from_millis(200);

/// A peer as the detector sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum PeerState {
    /// Never heard by this process.
    #[default]
    Unknown,
    /// Heard within its threshold.
    Alive,
    /// Silent for longer than its threshold; no majority agrees yet.
    Suspected,
    /// Declared dead by a majority.
    Dead,
}

/// What is known of one peer.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its newest boot.
    pub boot: Option<BootId>,
    /// What the detector says.
    pub state: PeerState,
    /// When anything was heard of it last.
    pub last_heard: Option<Instant>,
    /// The last log entry it announced.
    pub log: LogPosition,
    /// Its links.
    pub links: BTreeMap<LinkId, LinkState>,
    /// Times between arrivals by any link, of the last minute.
    pub(crate) gaps: Peaks,
    pub(crate) interval: Duration,
    pub(crate) spare_interval: Duration,
    pub(crate) away_until: Option<Instant>,
    pub(crate) newest_report: Option<Seq>,
    /// A beat has come since it is heard again, so that `unheard` is its present opinion.
    pub(crate) reported: bool,
    pub(crate) unheard: BTreeMap<NodeId, Option<BootId>>,
    /// Suspected for [`crate::PART_AFTER`] at least: in a view only if somebody else hears it.
    pub(crate) parted: bool,
    /// Its present silence is no jitter: a majority agrees to it, or is silent here itself.
    pub(crate) outage: bool,
    /// The sends of our two newest beats that it answered promptly, the newest first.
    prompt: [Option<Instant>; 2],
    /// The usual round trip: the smallest seen, creeping upwards in case the path has changed.
    rtt_usual: Option<Duration>,
    /// Since when it is a member, as this process knows.
    pub(crate) since: Instant,
}

impl Peer {
    /// A peer never heard, a member since `since` as this process knows.
    pub(crate) fn new(since: Instant) -> Self {
        Self { since, ..Self::default() }
    }

    /// The silence after which it is suspected: 60 ms, or four of its beats, or twice the longest
    /// gap that is usual, or what it announced.
    pub(crate) fn threshold(&self, now: Instant, clauses: Clauses) -> Duration {
        let learned = self.gaps.second(now) * 2;
        let away = match (self.away_until, self.last_heard) {
            (Some(until), Some(last)) => until - last,
            _ => Duration::ZERO,
        };
        // spec: L6 "at least 60 ms of silence on all links".
        let floor =
            if clauses.silence { SILENCE_FLOOR.max(self.interval * 4) } else { self.interval };
        floor.max(learned).max(away)
    }

    /// The silence after which a link that is regular counts as down: 200 ms, or twice `threshold`, the peer's own,
    /// or what it takes until every link has had its turn.
    pub(crate) fn link_threshold(&self, threshold: Duration) -> Duration {
        // While nothing is amiss a beat takes one link (ADR 23). One may be lost, and after two more at most that is
        // noticed, and all links carry every beat.
        let turns = u32::try_from(self.links.len()).unwrap_or(u32::MAX).saturating_add(3);
        LINK_SILENCE.max(threshold * 2).max(self.spare_interval.saturating_mul(turns))
    }

    /// It answered the beat sent at `sent` within `rtt`.
    pub(crate) fn note_answer(&mut self, sent: Instant, rtt: Duration) {
        let usual = self.rtt_usual.map_or(rtt, |old| rtt.min(old + RTT_CREEP));
        self.rtt_usual = Some(usual);
        if rtt <= usual + PROMPT_SLACK && self.prompt[0] < Some(sent) {
            self.prompt = [Some(sent), self.prompt[0]];
        }
    }

    /// When the newest of our beats that it answered promptly left.
    #[must_use]
    pub const fn answered(&self) -> Option<Instant> {
        self.prompt[0]
    }

    /// True when its newest beat says that it does not hear `node` either: this boot of it, or any
    /// when one of us has heard none.
    pub(crate) fn agrees(&self, node: NodeId, boot: Option<BootId>) -> bool {
        let said = self.unheard.get(&node).filter(|_| self.reported);
        said.is_some_and(|&theirs| theirs == boot || theirs.is_none() || boot.is_none())
    }

    /// True when it answered two of our last three beats about as fast as it ever did.
    pub(crate) fn is_prompt(&self, now: Instant, interval: Duration) -> bool {
        let usual = self.rtt_usual.unwrap_or_default();
        self.prompt[1].is_some_and(|sent| now - sent <= interval * 3 + usual + PROMPT_SLACK)
    }
}
