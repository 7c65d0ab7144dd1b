//! A replicated log reduced to what the lease must stand: terms, truncation, lagging followers, voter
//! changes through joint configurations.

use std::collections::{BTreeMap, BTreeSet};

use haven_heartbeat::Configuration;
use haven_types::{Epoch, GroupId, LogIndex, LogPosition, NodeId, Term};

#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    Noop,
    Voters { incoming: BTreeSet<NodeId>, outgoing: Option<BTreeSet<NodeId>> },
    Grant { group: GroupId, node: NodeId, epoch: Epoch },
}

#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    pub term: u64,
    pub kind: Kind,
}

/// One node's durable log.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    pub term: u64,
    pub entries: Vec<Entry>,
    /// How many entries the heartbeat machine has been told of and this replica has acknowledged.
    pub acked: usize,
    pub committed: usize,
}

pub fn position(entry: &Entry, index: usize) -> LogPosition {
    LogPosition { term: Term(entry.term), index: LogIndex(index as u64) }
}

impl Replica {
    pub fn last(&self) -> LogPosition {
        self.entries
            .last()
            .map_or_else(LogPosition::default, |e| position(e, self.entries.len() - 1))
    }

    pub fn configurations(&self) -> Vec<Configuration> {
        let voters = self.entries.iter().enumerate().filter_map(|(i, e)| match &e.kind {
            Kind::Voters { incoming, outgoing } => Some(Configuration {
                position: position(e, i),
                voters: incoming.clone(),
                outgoing: outgoing.clone(),
            }),
            _ => None,
        });
        let all: Vec<_> = voters.collect();
        all[all.len().saturating_sub(8)..].to_vec()
    }

    pub fn epochs(&self) -> BTreeMap<GroupId, Epoch> {
        let mut epochs = BTreeMap::new();
        for entry in &self.entries {
            if let Kind::Grant { group, epoch, .. } = entry.kind {
                epochs.insert(group, epoch);
            }
        }
        epochs
    }

    /// The newest grant of each group among the committed entries, if no newer one is known.
    pub fn grants(&self) -> BTreeMap<GroupId, (NodeId, Epoch)> {
        let mut grants = BTreeMap::new();
        for (i, entry) in self.entries.iter().enumerate() {
            if let Kind::Grant { group, node, epoch } = entry.kind {
                if i < self.committed {
                    grants.insert(group, (node, epoch));
                } else {
                    grants.remove(&group);
                }
            }
        }
        grants
    }

    fn newest(&self) -> (u64, usize) {
        (self.entries.last().map_or(0, |e| e.term), self.entries.len())
    }
}

/// Raft's elections and replication as single steps.
#[derive(Clone, Debug, Default)]
pub struct Consensus {
    pub replicas: BTreeMap<NodeId, Replica>,
    pub leader: Option<(NodeId, u64)>,
    term: u64,
}

impl Consensus {
    pub fn found(nodes: &[NodeId], voters: &[NodeId]) -> Self {
        let incoming = voters.iter().copied().collect();
        let founding = Entry { term: 0, kind: Kind::Voters { incoming, outgoing: None } };
        let replica = Replica { term: 0, entries: vec![founding], acked: 1, committed: 1 };
        let replicas = nodes.iter().map(|&node| (node, replica.clone())).collect();
        Self { replicas, leader: None, term: 0 }
    }

    /// `candidate` stands with the votes of `up`.
    pub fn elect(&mut self, candidate: NodeId, up: &BTreeSet<NodeId>) -> bool {
        let mine = self.replicas[&candidate].newest();
        let Some(config) = self.replicas[&candidate].configurations().pop() else { return false };
        let votes = |n: NodeId| up.contains(&n) && self.replicas[&n].newest() <= mine;
        if !config.has_voter(candidate) || !config.majority(votes) {
            return false;
        }
        let voters: Vec<NodeId> = config.all_voters().into_iter().filter(|&n| votes(n)).collect();
        self.term += 1;
        for node in voters {
            self.replicas.get_mut(&node).unwrap().term = self.term;
        }
        self.leader = Some((candidate, self.term));
        self.append(Kind::Noop);
        true
    }

    pub fn append(&mut self, kind: Kind) {
        let Some((leader, term)) = self.leader else { return };
        let replica = self.replicas.get_mut(&leader).unwrap();
        if replica.term == term {
            replica.entries.push(Entry { term, kind });
        }
    }

    /// The leader's log overwrites `to`'s. True when anything changed.
    pub fn replicate(&mut self, to: NodeId) -> bool {
        let Some((leader, term)) = self.leader else { return false };
        let source = self.replicas[&leader].clone();
        let target = self.replicas.get_mut(&to).unwrap();
        if to == leader || source.term != term || target.term > term {
            return false;
        }
        target.term = term;
        let same = target.entries.iter().zip(&source.entries).take_while(|(a, b)| a == b).count();
        assert!(same >= target.committed, "a committed entry is truncated: the mock log is wrong");
        let changed = target.entries != source.entries
            || target.committed < source.committed.min(source.entries.len());
        target.entries = source.entries;
        target.acked = target.acked.min(same);
        target.committed = target.committed.max(source.committed);
        changed
    }

    /// Commits what a majority has acknowledged.
    pub fn commit(&mut self) -> bool {
        let Some((leader, term)) = self.leader else { return false };
        let replica = &self.replicas[&leader];
        let Some(config) = replica.configurations().pop() else { return false };
        let mut best = replica.committed;
        for i in replica.committed..replica.entries.len() {
            let acked = |n: NodeId| {
                let r = &self.replicas[&n];
                r.acked > i && r.entries.get(i) == replica.entries.get(i)
            };
            if replica.entries[i].term == term && config.majority(acked) {
                best = i + 1;
            }
        }
        let moved = best > replica.committed;
        self.replicas.get_mut(&leader).unwrap().committed = best;
        moved
    }
}
