//! What follows from an input: the crate's readies, turned into ordered outputs.

use haven_base::Instant;
use haven_types::{LogIndex, LogPosition, NodeId, Term};
use raft::eraftpb::{Entry, Message as RaftMessage};
use raft::{RawNode, Ready, StateRole};

use crate::configuration::Configuration;
use crate::convert::{self, node_id};
use crate::interface::{
    Carrier, DropReason, Event, Output, PersistToken, ProposalId, ReadId, Role,
};
use crate::machine::{Consensus, role_of};
use crate::memory::{MemoryLog, Placed};
use crate::persist::{Batch, HardState, Payload, Snapshot};
use crate::start::Start;
use crate::wire::{Body, Message};

/// Messages from this size on travel by stream.
pub(crate) const DATAGRAM_LIMIT: usize = 60 << 10;

/// What waits for the disk.
#[derive(Debug, Default)]
pub(crate) struct Held {
    token: PersistToken,
    /// The crate's ready to report durable.
    number: Option<u64>,
    messages: Vec<(NodeId, Message)>,
    /// The term that becomes durable.
    term: Option<u64>,
    /// A leader's snapshot that becomes durable.
    restore: Option<Snapshot>,
    /// A snapshot of this node's own making that becomes durable, and what may go then.
    compact: Option<(LogPosition, LogIndex)>,
}

#[cfg(test)]
impl Held {
    /// Whether a leader's snapshot waits here.
    pub(crate) const fn is_restore(&self) -> bool {
        self.restore.is_some()
    }
}

impl Consensus {
    /// Takes everything the crate has ready, until it has no more.
    pub(crate) fn drive(&mut self, now: Instant, out: &mut Vec<Output>) {
        loop {
            while !self.mute && self.raw.has_ready() {
                self.one_ready(now, out);
            }
            if self.mute || !self.advance_members(now, out) {
                break;
            }
        }
        if self.mute {
            return;
        }
        self.tell_role(out);
        self.want_snapshot(out);
    }

    /// Asks for a snapshot where a member needs one or the log has grown; one at a time, and for
    /// size only once something new was applied since the last was asked for.
    fn want_snapshot(&mut self, out: &mut Vec<Output>) {
        let log = self.raw.store();
        let applied = self.raw.raft.raft_log.applied;
        let by_peer = log.take_wanted() && applied > 0;
        let by_size = log.bytes_since_snapshot() > self.config.snapshot_after_bytes
            && applied > self.snapshot_asked_at.max(log.snapshot_position().index.0)
            && self.held.iter().all(|it| it.compact.is_none());
        if (by_peer || by_size) && !self.snapshot_asked {
            self.snapshot_asked = true;
            self.snapshot_asked_at = applied;
            out.push(Output::SnapshotWanted);
        }
    }

    fn one_ready(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.tell_role(out);
        let mut ready = self.raw.ready();
        let mut held = Held { number: Some(ready.number()), ..Held::default() };
        let batch = self.batch_of(&mut ready, &mut held, out);
        let mut messages = ready.take_messages();
        let leads = !messages.is_empty();
        messages.extend(ready.take_persisted_messages());
        let committed = ready.take_committed_entries();
        let reads = ready.take_read_states();
        self.raw.advance_append_async(ready);
        self.hold_or_send(batch, held, messages, leads, out);
        self.tell_configuration_in_log(out);
        for read in reads {
            self.on_read_state(&read, out);
        }
        self.apply(now, committed, out);
    }

    /// Writes the ready's entries into the log in memory and says what is to be made durable.
    fn batch_of(&mut self, ready: &mut Ready, held: &mut Held, out: &mut Vec<Output>) -> Batch {
        let mut batch = Batch::default();
        if !ready.snapshot().is_empty() {
            let index = ready.snapshot().get_metadata().index;
            let snapshot = self.incoming.take().filter(|it| it.position.index.0 == index);
            assert!(snapshot.is_some(), "the crate restores the snapshot it was just given");
            if let Some(snapshot) = snapshot {
                if self.raw.store().last() > index {
                    out.push(Output::Truncated { from: LogIndex(index + 1) });
                }
                self.raw.mut_store().install(&snapshot);
                self.drop_proposals_through(index, out);
                held.restore = Some(snapshot.clone());
                batch.snapshot = Some(snapshot);
                batch.clear_entries = true;
            }
        }
        let entries = ready.take_entries();
        if let Some(first) = entries.first().map(|it| it.index) {
            if self.raw.mut_store().append(&entries) {
                self.drop_superseded(first, &entries, out);
                out.push(Output::Truncated { from: LogIndex(first) });
            }
            batch.entries = entries.iter().map(convert::entry_to_ours).collect();
            out.push(Output::Appended { entries: batch.entries.clone() });
        }
        let changed = ready.hs().is_some_and(|_| ready.must_sync());
        if changed || batch != Batch::default() {
            let state = self.raw.raft.hard_state();
            // What is known committed may be ahead of what becomes durable with this batch.
            let commit = state.commit.min(self.raw.store().last());
            batch.hard_state = Some(HardState {
                term: Term(state.term),
                vote: node_id(state.vote),
                commit: LogIndex(commit),
            });
            held.term = Some(state.term);
        }
        batch
    }

    /// A leader's messages go at once, so that followers write while it writes; all others wait
    /// for what they promise to be durable.
    fn hold_or_send(
        &mut self,
        batch: Batch,
        mut held: Held,
        messages: Vec<RaftMessage>,
        leads: bool,
        out: &mut Vec<Output>,
    ) {
        let only_state = batch.entries.is_empty() && batch.snapshot.is_none();
        let quiet = self.held.is_empty();
        let writes = batch != Batch::default();
        if writes {
            held.token = self.next_token;
            self.next_token.0 += 1;
            self.counters.batches += 1;
            out.push(Output::Persist { token: held.token, batch });
        } else {
            held.token = PersistToken(self.next_token.0 - 1);
        }
        // A lone voter leads in the same breath as it votes: then its term is not durable yet.
        let leads = leads && self.raw.raft.term == self.durable_term;
        for message in messages {
            let Some((to, ours)) = self.translate(&message) else { continue };
            // A request promises nothing that is not durable already, provided the log is; the
            // answers wait until this node's own vote is.
            let asks = matches!(ours.body, Body::Vote { .. }) && only_state && quiet;
            if asks || matches!(ours.body, Body::PreVote(_)) {
                self.resend.note_ballot(to, &ours);
            }
            if leads || asks || (quiet && !writes) {
                self.send(to, &ours, out);
            } else {
                held.messages.push((to, ours));
            }
        }
        if quiet && !writes {
            self.finish(held, out);
        } else {
            self.held.push_back(held);
        }
    }

    pub(crate) fn on_persisted(
        &mut self,
        now: Instant,
        token: PersistToken,
        out: &mut Vec<Output>,
    ) {
        while self.held.front().is_some_and(|it| it.token <= token) {
            if let Some(held) = self.held.pop_front() {
                self.finish(held, out);
            }
        }
        self.step_early_answers();
        self.drive(now, out);
        if self.forcing.is_some() {
            self.try_forced(out);
        }
    }

    /// What was held is durable now.
    fn finish(&mut self, held: Held, out: &mut Vec<Output>) {
        if let Some(term) = held.term {
            self.durable_term = term;
        }
        if let Some(number) = held.number {
            self.raw.on_persist_ready(number);
        }
        if let Some(snapshot) = held.restore {
            self.on_restored(snapshot, out);
        }
        if let Some((position, before)) = held.compact {
            let log = self.raw.mut_store();
            log.note_snapshot(position);
            log.compact_through(before.0);
        }
        for (to, message) in held.messages {
            self.resend.note_ballot(to, &message);
            self.send(to, &message, out);
        }
    }

    fn on_restored(&mut self, snapshot: Snapshot, out: &mut Vec<Output>) {
        let position = snapshot.position;
        if self.raw.raft.raft_log.applied < position.index.0 {
            self.raw.advance_apply_to(position.index.0);
        }
        self.applied_configuration =
            (snapshot.configuration_position, snapshot.configuration.clone());
        self.delivered = position.index.0;
        out.push(Output::RestoreSnapshot { position, bytes: snapshot.bytes });
        out.push(Output::ConfigurationCommitted {
            position: snapshot.configuration_position,
            configuration: snapshot.configuration,
        });
    }

    /// The application's state as of `index` becomes the new snapshot.
    pub(crate) fn on_snapshot(&mut self, index: LogIndex, bytes: Vec<u8>, out: &mut Vec<Output>) {
        self.snapshot_asked = false;
        let log = self.raw.store();
        let newest = log.snapshot_position();
        let applied = self.raw.raft.raft_log.applied;
        // What was applied after the last thing handed out did not touch the application, but it
        // may have brought the configuration that the receiver of the snapshot must find itself in.
        let reached = if index.0 == self.delivered { applied } else { index.0 };
        let Some(position) = log
            .position_at(reached)
            .filter(|it| it.index.0 <= applied && it.index >= newest.index && it.index.0 > 0)
        else {
            return;
        };
        let (configuration_position, configuration) = log.configuration_at(position.index);
        let snapshot = Snapshot { position, configuration, configuration_position, bytes };
        let lagging = self.lagging(&snapshot.configuration);
        if !lagging.is_empty() {
            self.raw.mut_store().set_for_peers(Some(snapshot.clone()));
            for id in lagging {
                if let Some(progress) = self.raw.raft.mut_prs().get_mut(id) {
                    progress.resume();
                    self.raw.raft.send_append(id);
                }
            }
        }
        if position.index == newest.index {
            return;
        }
        let keep_from = self.raw.store().last().saturating_sub(self.config.keep_entries);
        let before = LogIndex(keep_from.min(reached));
        let token = self.next_token;
        self.next_token.0 += 1;
        self.counters.batches += 1;
        let batch =
            Batch { snapshot: Some(snapshot), compact_before: Some(before), ..Batch::default() };
        out.push(Output::Persist { token, batch });
        let compact = Some((position, before));
        self.held.push_back(Held { token, compact, ..Held::default() });
    }

    /// Followers that need what the log no longer has, and that this snapshot's configuration names. The others
    /// ask again in their time: one that is made at once might not name them either.
    fn lagging(&self, named: &Configuration) -> Vec<u64> {
        let named = named.members();
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            return Vec::new();
        }
        let first = self.raw.store().first();
        raft.prs()
            .iter()
            .filter(|(id, it)| **id != raft.id && it.next_idx < first)
            .filter(|(id, _)| node_id(**id).is_some_and(|node| named.contains(&node)))
            .map(|(id, _)| *id)
            .collect()
    }

    fn apply(&mut self, now: Instant, committed: Vec<Entry>, out: &mut Vec<Output>) {
        let Some(last) = committed.last().map(|it| it.index) else { return };
        for entry in committed {
            let proposal = self.take_proposal(&entry, out);
            let ours = convert::entry_to_ours(&entry);
            match ours.payload {
                Payload::Empty => {}
                Payload::Proposal(bytes) => {
                    self.counters.committed += 1;
                    let LogPosition { term, index } = ours.position;
                    self.delivered = index.0;
                    out.push(Output::Committed { index, term, bytes, proposal });
                }
                Payload::Configuration(configuration) => {
                    self.apply_configuration(now, ours.position, configuration, out);
                    if self.mute {
                        return;
                    }
                }
            }
        }
        self.raw.advance_apply_to(last);
        let raft = &self.raw.raft;
        let term = Term(raft.term);
        if raft.state == StateRole::Leader
            && self.ready_told != term
            && raft.apply_to_current_term()
        {
            self.ready_told = term;
            let founding = self.applied_configuration.0.index.0 <= 1;
            self.members.on_leader_ready(now, founding);
            self.tell_role(out);
            out.push(Output::LeaderReady { term });
        }
    }

    fn apply_configuration(
        &mut self,
        now: Instant,
        position: LogPosition,
        configuration: Configuration,
        out: &mut Vec<Output>,
    ) {
        let current = &self.applied_configuration.1;
        if *current != configuration {
            let change = convert::change_between(current, &configuration);
            let result =
                self.raw.apply_conf_change(&change).map(|it| convert::configuration_from(&it));
            if result.as_ref() != Ok(&configuration) {
                // Committed, yet impossible here: going on could only make it worse.
                let what =
                    format!("entry {}: no change leads to its configuration", position.index);
                let from = node_id(self.raw.raft.leader_id).unwrap_or(self.config.id);
                out.push(Output::Event(Event::Implausible { from, what }));
                self.mute = true;
                return;
            }
            if current.voters != configuration.voters || current.outgoing != configuration.outgoing
            {
                self.members.on_voters_changed(now);
            }
        }
        self.applied_configuration = (position, configuration.clone());
        let raft = &mut self.raw.raft;
        if raft.state == StateRole::Leader && !configuration.is_voter(self.config.id) {
            // The crate expects a leader to find itself among the voters.
            let term = raft.term;
            raft.become_follower(term, raft::INVALID_ID);
        }
        out.push(Output::ConfigurationCommitted { position, configuration });
    }

    fn take_proposal(&mut self, entry: &Entry, out: &mut Vec<Output>) -> Option<ProposalId> {
        let (term, id) = self.proposals.remove(&entry.index)?;
        if term == entry.term {
            return Some(id);
        }
        out.push(Output::ProposalDropped { id, why: DropReason::Superseded });
        None
    }

    /// Entries from `first` on were replaced by a newer leader's.
    fn drop_superseded(&mut self, first: u64, entries: &[Entry], out: &mut Vec<Output>) {
        let gone = self.proposals.split_off(&first);
        for (index, (term, id)) in gone {
            if entries.iter().any(|it| it.index == index && it.term == term) {
                self.proposals.insert(index, (term, id));
            } else {
                out.push(Output::ProposalDropped { id, why: DropReason::Superseded });
            }
        }
    }

    /// A snapshot up to `index` hides what became of proposals; later ones are gone from the log.
    fn drop_proposals_through(&mut self, index: u64, out: &mut Vec<Output>) {
        for (at, (_, id)) in std::mem::take(&mut self.proposals) {
            let why = if at <= index { DropReason::Unknown } else { DropReason::Superseded };
            out.push(Output::ProposalDropped { id, why });
        }
    }

    fn on_read_state(&mut self, read: &raft::ReadState, out: &mut Vec<Output>) {
        let Ok(id) = <[u8; 8]>::try_from(read.request_ctx.as_slice()) else { return };
        let id = ReadId(u64::from_be_bytes(id));
        if self.reads.remove(&id) {
            out.push(Output::ReadReady { id, index: LogIndex(read.index) });
        }
    }

    /// Delivers what a start recovered, before anything else.
    pub(crate) fn tell_start(&mut self, start: Start, out: &mut Vec<Output>) {
        if let Some(snapshot) = start.snapshot {
            let (position, bytes) = (snapshot.position, snapshot.bytes);
            self.delivered = position.index.0;
            out.push(Output::RestoreSnapshot { position, bytes });
        }
        let (position, configuration) = self.applied_configuration.clone();
        if !configuration.voters.is_empty() {
            out.push(Output::ConfigurationCommitted { position, configuration });
        }
        let entries: Vec<_> = start.entries;
        if !entries.is_empty() {
            out.push(Output::Appended { entries });
        }
        // All of them: by the newest alone, a change under way looks like the one that made this node a voter (L4).
        let named = self.raw.store().configurations();
        let named = named.filter(|(_, configuration)| !configuration.voters.is_empty()).cloned();
        out.extend(named.map(|(position, configuration)| Output::ConfigurationInLog {
            position,
            configuration,
        }));
    }

    fn tell_configuration_in_log(&mut self, out: &mut Vec<Output>) {
        let newest: Placed = self.raw.store().newest_configuration();
        if newest != self.configuration_told {
            self.configuration_told = newest.clone();
            let (position, configuration) = newest;
            out.push(Output::ConfigurationInLog { position, configuration });
        }
    }

    fn tell_role(&mut self, out: &mut Vec<Output>) {
        let raft = &self.raw.raft;
        let role = role_of(raft.state);
        let now = (node_id(raft.leader_id), Term(raft.term), role);
        if now != self.role_told {
            if role == Role::Candidate && (self.role_told.1, self.role_told.2) != (now.1, role) {
                self.counters.campaigns += 1;
            }
            self.role_told = now;
            out.push(Output::RoleChanged { leader: now.0, term: now.1, role });
        }
        if role != Role::Leader {
            let leader = now.0.filter(|it| *it != self.config.id);
            for id in std::mem::take(&mut self.reads) {
                out.push(Output::ReadDropped { id, leader });
            }
        }
    }

    fn translate(&self, message: &RaftMessage) -> Option<(NodeId, Message)> {
        let to = node_id(message.to)?;
        let for_peers = raw_for_peers(&self.raw);
        Some((to, convert::message_to_ours(message, self.force, for_peers)?))
    }

    pub(crate) fn send(&mut self, to: NodeId, message: &Message, out: &mut Vec<Output>) {
        let bytes = message.encode();
        let carrier =
            if bytes.len() < DATAGRAM_LIMIT { Carrier::Datagram } else { Carrier::Stream };
        self.counters.sent += 1;
        out.push(Output::Send { to, bytes, carrier });
    }
}

fn raw_for_peers(raw: &RawNode<MemoryLog>) -> Option<&Snapshot> {
    raw.store().for_peers()
}
