//! What a message must obey before the raft crate sees it. The crate takes its peers' honesty for
//! granted and ends the process where they contradict its log; here that is a dropped message.

use haven_types::{LogIndex, LogPosition, NodeId, Term};

use crate::memory::MemoryLog;
use crate::persist::{LogEntry, Payload, Snapshot};
use crate::wire::{Ballot, Body, Message};

/// No honest log or term gets here (2⁶⁰); beyond it arithmetic could overflow.
pub(crate) const FAR: u64 = 1 << 60;

/// What this node knows that a message may contradict.
#[derive(Debug)]
pub(crate) struct Knowledge<'a> {
    pub(crate) id: NodeId,
    pub(crate) term: u64,
    /// Whether this node leads `term`.
    pub(crate) leads: bool,
    pub(crate) committed: u64,
    /// The last entry, including those not handed out for writing yet.
    pub(crate) last: u64,
    pub(crate) log: &'a MemoryLog,
}

/// Why the message cannot be true, in words; `Ok` where it may be.
pub(crate) fn check(know: &Knowledge<'_>, from: NodeId, message: &Message) -> Result<(), String> {
    if from.0 == 0 || from == know.id {
        return Err(format!("it claims to come from node {from}"));
    }
    let term = message.term;
    if term.0 == 0 || term.0 > FAR {
        return Err(format!("its term is {term}"));
    }
    match &message.body {
        Body::PreVote(ballot) | Body::Vote { ballot, .. } => check_ballot(ballot),
        Body::PreVoteAnswer { commit, .. } | Body::VoteAnswer { commit, .. } => near(*commit),
        Body::Append { previous, commit, entries } => {
            near(position(term, *commit))?;
            check_entries(know, term, *previous, entries)
        }
        Body::AppendAccepted { matched, commit } => {
            near(position(term, *commit))?;
            if know.leads && term.0 == know.term && matched.0 > know.last {
                return Err(format!("it accepts entry {matched}, this log ends at {}", know.last));
            }
            near(position(term, *matched))
        }
        Body::AppendRefused { refused, hint, commit } => {
            near(position(term, *refused))?;
            near(position(term, *commit))?;
            near(*hint)
        }
        Body::Heartbeat { commit, .. } => {
            if term.0 >= know.term && commit.0 > know.last {
                return Err(format!(
                    "it says entry {commit} is durable here, this log ends at {}: entries were lost",
                    know.last
                ));
            }
            Ok(())
        }
        Body::HeartbeatAnswer { commit, .. } => near(position(term, *commit)),
        Body::Snapshot(snapshot) => check_snapshot(term, snapshot),
        Body::TimeoutNow => Ok(()),
    }
}

const fn position(term: Term, index: LogIndex) -> LogPosition {
    LogPosition { term, index }
}

fn near(at: LogPosition) -> Result<(), String> {
    if at.index.0 > FAR || at.term.0 > FAR {
        return Err(format!("it names entry {} of term {}", at.index, at.term));
    }
    Ok(())
}

fn check_ballot(ballot: &Ballot) -> Result<(), String> {
    near(ballot.last)?;
    near(ballot.commit)
}

fn check_entries(
    know: &Knowledge<'_>,
    term: Term,
    previous: LogPosition,
    entries: &[LogEntry],
) -> Result<(), String> {
    near(previous)?;
    if (previous.index.0 == 0) != (previous.term.0 == 0) || previous.term > term {
        return Err(format!("entry {} cannot have term {}", previous.index, previous.term));
    }
    let mut before = previous;
    for entry in entries {
        let at = entry.position;
        if at.index.0 != before.index.0 + 1 || at.term < before.term || at.term > term {
            return Err(format!(
                "entry {} of term {} cannot follow entry {} of term {}",
                at.index, at.term, before.index, before.term
            ));
        }
        // A deposed leader's late message may well differ; the crate ignores it by its term.
        if term.0 >= know.term
            && at.index.0 <= know.committed
            && know.log.term_at(at.index.0).is_some_and(|mine| mine != at.term.0)
        {
            return Err(format!("entry {} is committed here with another term", at.index));
        }
        if let Payload::Configuration(configuration) = &entry.payload {
            configuration.check().map_err(|e| format!("entry {}: {e}", at.index))?;
        }
        before = at;
    }
    Ok(())
}

fn check_snapshot(term: Term, snapshot: &Snapshot) -> Result<(), String> {
    let at = snapshot.position;
    near(at)?;
    if at.index.0 == 0 || at.term.0 == 0 || at.term > term {
        return Err(format!("a snapshot cannot end at entry {} of term {}", at.index, at.term));
    }
    if snapshot.configuration_position.index > at.index {
        return Err("its snapshot's configuration is newer than the snapshot".to_owned());
    }
    snapshot.configuration.check().map_err(|e| format!("its snapshot: {e}"))
}
