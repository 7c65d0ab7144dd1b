//! What is committed stays: every node that knows an index committed has the same entry there, and
//! none ever takes back an entry it knew committed.

use std::collections::BTreeMap;

use haven_consensus::{Batch, LogEntry, Status};
use haven_types::{LogIndex, NodeId, Term};

use super::{Hosts, Verdict};

pub(crate) const RULE: &str = "one log: committed entries are never lost nor reordered";

/// An entry, as far as two must be equal.
type Mark = (Term, u64);

#[derive(Debug, Default)]
struct Replica {
    entries: BTreeMap<LogIndex, Mark>,
    committed: LogIndex,
}

#[derive(Debug, Default)]
pub(crate) struct OneLog {
    committed: BTreeMap<LogIndex, Mark>,
    replicas: BTreeMap<NodeId, Replica>,
}

fn mark(entry: &LogEntry) -> Mark {
    let text = format!("{:?}", entry.payload);
    let sum = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (entry.position.term, sum)
}

impl OneLog {
    /// A process knows what the disk held, and no more.
    pub(crate) fn on_start(&mut self, node: NodeId, hosts: &Hosts) -> Verdict {
        let Some(host) = hosts.get(&node) else { return Ok(()) };
        let recovered = host.disk.recover().map_err(|error| error.to_string())?;
        let entries = recovered.entries.iter().map(|e| (e.position.index, mark(e))).collect();
        let replica = Replica { entries, committed: recovered.hard_state.commit };
        let lost = replica.entries.range(..=replica.committed).find(|(index, mark)| {
            self.committed.get(index).is_some_and(|committed| committed != *mark)
        });
        let verdict = lost.map_or(Ok(()), |(index, _)| {
            Err(format!("{node} finds another entry at {index} on its disk than was committed"))
        });
        self.replicas.insert(node, replica);
        verdict
    }

    pub(crate) fn on_persist(&mut self, node: NodeId, batch: &Batch) -> Verdict {
        let replica = self.replicas.entry(node).or_default();
        if batch.clear_entries {
            replica.entries.clear();
        }
        let Some(first) = batch.entries.first() else { return Ok(()) };
        let from = first.position.index;
        let dropped = replica.entries.split_off(&from);
        replica.entries.extend(batch.entries.iter().map(|e| (e.position.index, mark(e))));
        for (index, old) in dropped.range(..=replica.committed) {
            if replica.entries.get(index) != Some(old) {
                return Err(format!("{node} replaces entry {index}, which it knew committed"));
            }
        }
        Ok(())
    }

    pub(crate) fn after_round(&mut self, node: NodeId, status: &Status) -> Verdict {
        let replica = self.replicas.entry(node).or_default();
        if status.committed < replica.committed {
            return Err(format!(
                "{node} knew {} committed and now only {}",
                replica.committed, status.committed
            ));
        }
        for (index, mark) in replica.entries.range(replica.committed..=status.committed) {
            let known = self.committed.entry(*index).or_insert(*mark);
            if known != mark {
                return Err(format!(
                    "{node} has an entry of term {} at {index}, committed was one of term {}",
                    mark.0, known.0
                ));
            }
        }
        replica.committed = status.committed;
        Ok(())
    }
}
