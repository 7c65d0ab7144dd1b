//! What must hold, whatever happens. Each check cites the property it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_types::{LogPosition, NodeId, Term};

use crate::configuration::Configuration;
use crate::interface::{DropReason, Output, ProposalId, Role};
use crate::machine::Consensus;
use crate::persist::{LogEntry, Payload};

/// What an application holds: the committed proposals in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Application {
    pub(super) applied: u64,
    pub(super) commands: Vec<(u64, Vec<u8>)>,
}

impl Application {
    pub(super) fn snapshot(&self) -> Vec<u8> {
        postcard::to_stdvec(&(self.applied, &self.commands)).unwrap()
    }

    pub(super) fn restore(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        let (applied, commands) = postcard::from_bytes(bytes).unwrap();
        Self { applied, commands }
    }
}

/// One node's log as its outputs tell it.
#[derive(Clone, Debug, Default)]
pub(super) struct Shadow {
    entries: BTreeMap<u64, LogEntry>,
    base: Option<(LogPosition, Configuration)>,
    told: Option<(LogPosition, Configuration)>,
    applied: Option<Configuration>,
    role: Role,
}

impl Shadow {
    fn newest(&self) -> Option<(LogPosition, Configuration)> {
        let in_log = self.entries.values().rev().find_map(|it| match &it.payload {
            Payload::Configuration(configuration) => Some((it.position, configuration.clone())),
            Payload::Empty | Payload::Proposal(_) => None,
        });
        in_log.or_else(|| self.base.clone())
    }
}

/// All that was ever seen.
#[derive(Debug, Default)]
pub(super) struct Checker {
    leaders: BTreeMap<Term, NodeId>,
    pub(super) committed: BTreeMap<u64, (Term, Vec<u8>)>,
    places: BTreeMap<Vec<u8>, u64>,
    proposed: BTreeMap<(NodeId, ProposalId), Vec<u8>>,
    never: BTreeSet<Vec<u8>>,
    /// When each configuration was first seen committed.
    changes: BTreeMap<LogPosition, Instant>,
    spacing: Duration,
}

type Verdict = Result<(), String>;

fn require(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

impl Checker {
    pub(super) fn with_spacing(spacing: Duration) -> Self {
        Self { spacing, ..Self::default() }
    }

    pub(super) fn proposed(&mut self, node: NodeId, id: ProposalId, bytes: Vec<u8>) {
        self.proposed.insert((node, id), bytes);
    }

    pub(super) fn highest_committed(&self) -> u64 {
        self.committed.keys().next_back().copied().unwrap_or(0)
    }

    pub(super) fn on_output(
        &mut self,
        now: Instant,
        node: NodeId,
        machine: &Consensus,
        shadow: &mut Shadow,
        application: &mut Application,
        output: &Output,
    ) -> Verdict {
        match output {
            Output::RoleChanged { term, role, .. } => {
                shadow.role = *role;
                if *role == Role::Leader {
                    self.on_leader(node, *term, machine)?;
                }
            }
            Output::Committed { index, term, bytes, proposal } => {
                self.on_committed(node, application, (index.0, *term, bytes))?;
                if let Some(id) = proposal {
                    let asked = self.proposed.remove(&(node, *id));
                    require(asked.as_ref() == Some(bytes), || {
                        format!("{node}: proposal {id:?} came back as another, or twice")
                    })?;
                }
            }
            Output::ProposalDropped { id, why } => {
                let asked = self.proposed.remove(&(node, *id));
                let bytes = asked.ok_or_else(|| format!("{node}: {id:?} ended twice"))?;
                if !matches!(why, DropReason::Unknown | DropReason::Mute) {
                    require(!self.places.contains_key(&bytes), || {
                        format!("{node}: {id:?} was committed, yet dropped as {why:?}")
                    })?;
                    self.never.insert(bytes);
                }
            }
            Output::Appended { entries } => {
                for it in entries {
                    self.check_spacing(now, node, shadow, it)?;
                    shadow.entries.insert(it.position.index.0, it.clone());
                }
            }
            Output::Truncated { from } => {
                shadow.entries.split_off(&from.0);
            }
            Output::RestoreSnapshot { position, bytes } => {
                *application = Application::restore(bytes);
                application.applied = position.index.0;
                shadow.entries = shadow.entries.split_off(&(position.index.0 + 1));
                let log = machine.raw.store();
                shadow.base = Some(log.configuration_at(position.index));
                for (at, bytes) in &application.commands {
                    let known = self.committed.get(at).map(|(_, it)| it);
                    require(known == Some(bytes), || format!("{node}: snapshot differs at {at}"))?;
                }
            }
            Output::ConfigurationInLog { position, configuration } => {
                shadow.told = Some((*position, configuration.clone()));
            }
            Output::ConfigurationCommitted { position, configuration } => {
                self.changes.entry(*position).or_insert(now);
                shadow.applied = Some(configuration.clone());
            }
            _ => {}
        }
        Ok(())
    }

    /// Election safety and leader completeness (Raft, figure 3).
    fn on_leader(&mut self, node: NodeId, term: Term, machine: &Consensus) -> Verdict {
        let first = *self.leaders.entry(term).or_insert(node);
        require(first == node, || format!("{first} and {node} both lead term {term}"))?;
        let log = machine.raw.store();
        for (index, (term, _)) in self.committed.range(log.first()..) {
            require(log.term_at(*index) == Some(term.0), || {
                format!("{node} leads without the committed entry {index} of term {term}")
            })?;
        }
        Ok(())
    }

    /// State machine safety (Raft, figure 3), order, and at most once.
    fn on_committed(
        &mut self,
        node: NodeId,
        application: &mut Application,
        (index, term, bytes): (u64, Term, &Vec<u8>),
    ) -> Verdict {
        let known = self.committed.entry(index).or_insert_with(|| (term, bytes.clone()));
        require(*known == (term, bytes.clone()), || {
            format!("{node} commits another entry at {index} in term {term}: {known:?}")
        })?;
        let place = *self.places.entry(bytes.clone()).or_insert(index);
        require(place == index, || format!("a proposal is committed at {place} and at {index}"))?;
        require(!self.never.contains(bytes), || {
            format!("a dropped proposal is committed: {index}")
        })?;
        require(index > application.applied, || format!("{node} goes back to {index}"))?;
        let skipped = self.committed.range(application.applied + 1..index).next();
        require(skipped.is_none(), || format!("{node} skips {skipped:?} on its way to {index}"))?;
        application.applied = index;
        application.commands.push((index, bytes.clone()));
        Ok(())
    }

    /// Rule L5: a change of voters is appended by its leader no sooner than the spacing after the
    /// one before was first seen committed anywhere.
    fn check_spacing(
        &self,
        now: Instant,
        node: NodeId,
        shadow: &Shadow,
        entry: &LogEntry,
    ) -> Verdict {
        let Payload::Configuration(new) = &entry.payload else { return Ok(()) };
        let Some((before, old)) = shadow.newest().filter(|_| shadow.role == Role::Leader) else {
            return Ok(());
        };
        let same = old.voters == new.voters && old.outgoing == new.outgoing;
        // Learner changes in between do not restart the wait; the newest voter change counts.
        if same || before.index.0 <= 1 {
            return Ok(());
        }
        let last = self.voters_changed_before(shadow, entry.position);
        let seen = last.and_then(|it| self.changes.get(&it));
        require(seen.is_none_or(|it| now >= *it + self.spacing), || {
            format!(
                "{node} appends {new:?} only {:?} after the last change",
                seen.map(|it| now - *it)
            )
        })
    }

    fn voters_changed_before(&self, shadow: &Shadow, at: LogPosition) -> Option<LogPosition> {
        let mut current = shadow.base.clone()?.1;
        let mut last = None;
        for it in shadow.entries.range(..at.index.0).map(|(_, it)| it) {
            if let Payload::Configuration(next) = &it.payload {
                if next.voters != current.voters || next.outgoing != current.outgoing {
                    last = Some(it.position);
                }
                current = next.clone();
            }
        }
        last
    }

    /// After every step of a node.
    pub(super) fn after_step(&self, node: NodeId, machine: &Consensus, shadow: &Shadow) -> Verdict {
        if machine.status().mute || machine.held.iter().any(|it| it.is_restore()) {
            return Ok(()); // A snapshot is in the log, but not told yet, or never will be.
        }
        require(shadow.newest() == shadow.told, || {
            format!("{node} tells {:?}, its log says {:?}", shadow.told, shadow.newest())
        })?;
        let status = machine.status();
        let known = shadow.entries.keys().next_back().copied().unwrap_or(0);
        require(known == 0 || known == status.last.index.0, || {
            format!("{node} told entries up to {known}, its log ends at {}", status.last.index)
        })
    }

    /// Log matching (Raft, figure 3): where two logs hold the same position, all before is equal.
    pub(super) fn compare(one: &Shadow, two: &Shadow) -> Verdict {
        let shared = one.entries.keys().rev().find(|it| {
            two.entries.get(it).is_some_and(|other| other.position == one.entries[it].position)
        });
        let Some(shared) = shared else { return Ok(()) };
        for (index, entry) in one.entries.range(..=shared) {
            if let Some(other) = two.entries.get(index) {
                require(entry == other, || format!("logs share {shared} but differ at {index}"))?;
            }
        }
        Ok(())
    }
}
