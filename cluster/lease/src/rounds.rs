//! The beats this node sent lately and who answered them.

use std::collections::VecDeque;
use std::time::Duration;

use haven_base::Instant;
use haven_types::{GroupId, LogPosition, NodeId, Seq};

use crate::{Configuration, Refusal, Rule, Terms};

/// How many sent beats are remembered: those of 5 s at the shortest interval, and half as many more.
pub const MAX_ROUNDS: usize = 512;
/// How long a beat is remembered at least, for the measurement of round trips.
const REMEMBER: Duration = Duration::from_secs(1);

/// One voter's answer to one beat.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Vote {
    pub(crate) voter: NodeId,
    /// The configuration entry the answer names.
    pub(crate) named: LogPosition,
    pub(crate) refused: Vec<GroupId>,
}

/// One beat, from its send to the last answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Round {
    /// The beat.
    pub seq: Seq,
    /// The clock read before its send (L3).
    pub sent: Instant,
    /// Its D.
    pub duration: Duration,
    /// True once a majority has answered, whatever it said about claims.
    pub answered: bool,
    /// The groups whose release it told.
    pub(crate) releases: Vec<GroupId>,
    pub(crate) votes: Vec<Vote>,
}

/// The beats sent lately, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    rounds: VecDeque<Round>,
}

impl Rounds {
    /// Remembers a beat sent at `sent` that tells of these groups' releases, and forgets those of no more use.
    pub fn begin(
        &mut self,
        sent: Instant,
        seq: Seq,
        duration: Duration,
        releases: Vec<GroupId>,
        terms: &Terms,
    ) {
        while let Some(first) = self.rounds.front() {
            let useful = first.sent + terms.lease(first.duration).max(REMEMBER) > sent;
            if useful && self.rounds.len() < MAX_ROUNDS {
                break;
            }
            self.rounds.pop_front();
        }
        let (answered, votes) = (false, Vec::new());
        self.rounds.push_back(Round { seq, sent, duration, answered, releases, votes });
    }

    /// The round of beat `seq`, while it is remembered.
    #[must_use]
    pub fn get(&self, seq: Seq) -> Option<&Round> {
        let at = self.rounds.binary_search_by_key(&seq, |round| round.seq).ok()?;
        self.rounds.get(at)
    }

    /// The newest beat sent.
    #[must_use]
    pub fn newest(&self) -> Option<&Round> {
        self.rounds.back()
    }

    /// Notes `voter`'s answer to beat `seq`. False when the beat is not remembered.
    pub(crate) fn vote(
        &mut self,
        seq: Seq,
        voter: NodeId,
        named: LogPosition,
        refusals: &[Refusal],
        rules: crate::Rules,
    ) -> bool {
        let Ok(at) = self.rounds.binary_search_by_key(&seq, |round| round.seq) else {
            return false;
        };
        let votes = &mut self.rounds[at].votes;
        let refused = refusals.iter().map(|refusal| refusal.group).collect();
        let vote = Vote { voter, named, refused };
        // spec: L2 "An answer … counts once per voter". Copies of the beat are answered each: what
        // any of them was promised stands, under the newest configuration any of them named.
        match votes.iter_mut().find(|known| known.voter == voter) {
            Some(known) if rules.has(Rule::CountVoterOnce) => {
                known.refused.retain(|group| vote.refused.contains(group));
                known.named = known.named.max(vote.named);
            }
            _ => votes.push(vote),
        }
        true
    }

    /// Marks beat `seq` as answered when a majority has, and returns how long that took, once.
    pub(crate) fn complete(
        &mut self,
        now: Instant,
        seq: Seq,
        log: &[Configuration],
    ) -> Option<(Instant, Duration)> {
        let at = self.rounds.binary_search_by_key(&seq, |round| round.seq).ok()?;
        let round = &mut self.rounds[at];
        let newest = log.last()?;
        if round.answered || !newest.majority(|n| round.votes.iter().any(|v| v.voter == n)) {
            return None;
        }
        round.answered = true;
        Some((round.sent, now - round.sent))
    }
}

impl Round {
    /// True when a majority promised `group` for this beat. `log` is what the holder's log knows.
    pub(crate) fn promised(&self, group: GroupId, log: &[Configuration], terms: &Terms) -> bool {
        let rules = terms.rules;
        let known = |position: LogPosition| log.iter().find(|c| c.position == position);
        // spec: L5 "a holder lacking that entry does not count the answer".
        let counted: Vec<&Vote> = self
            .votes
            .iter()
            .filter(|v| known(v.named).is_some() || !rules.has(Rule::KnowConfiguration))
            .collect();
        let names = counted.iter().map(|v| v.named).filter(|&p| known(p).is_some());
        // spec: L5 "it counts against the highest named".
        let judged = if rules.has(Rule::HighestNamed) { names.max() } else { names.min() };
        let Some(configuration) = judged.and_then(known) else { return false };
        let agrees = |v: &&&Vote| !v.refused.contains(&group);
        if !rules.has(Rule::NeedMajority) {
            return counted.iter().any(|v| agrees(&v));
        }
        if !rules.has(Rule::CountVoterOnce) {
            let votes = counted.iter().filter(agrees).count();
            return votes > configuration.all_voters().len() / 2;
        }
        if !rules.has(Rule::BothHalves) {
            let incoming = Configuration { outgoing: None, ..configuration.clone() };
            return incoming.majority(|n| counted.iter().filter(agrees).any(|v| v.voter == n));
        }
        // spec: L3 "the newest beat promised by a majority"; spec: L5 "both halves while joint".
        configuration.majority(|n| counted.iter().filter(agrees).any(|v| v.voter == n))
    }
}
