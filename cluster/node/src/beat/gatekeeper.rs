//! Carries the lease's orders to the kernel's gate and brings the acknowledgements back.

use std::collections::BTreeSet;

use haven_host::gate::{Entry, Gate, Renewal};
use haven_hub::Turn;
use haven_types::GroupId;

/// The gate with its counters.
#[derive(Debug)]
pub(super) struct Gatekeeper {
    gate: Gate,
    /// The addresses that are to stand under the gate.
    wanted: Vec<Entry>,
    /// The lease groups of those that do not.
    lacking: BTreeSet<GroupId>,
    pub(super) writes: u64,
    pub(super) failures: u64,
}

impl Gatekeeper {
    pub(super) fn new(gate: Gate) -> Self {
        let (wanted, lacking) = (gate.entries(), BTreeSet::new());
        Self { gate, wanted, lacking, writes: 0, failures: 0 }
    }

    /// Makes these the addresses under the gate. What could not be done is told in words, and tried again by
    /// [`Self::put_entries`]; until then the gates of these addresses' groups stay closed.
    pub(super) fn set_entries(&mut self, entries: Vec<Entry>) -> Option<String> {
        self.wanted = entries;
        self.put_entries()
    }

    /// Puts those addresses under the gate that should be there and are not.
    pub(super) fn put_entries(&mut self) -> Option<String> {
        let refused = self.gate.set_entries(&self.wanted).err();
        self.lacking.clear();
        let error = refused?;
        let in_force: BTreeSet<Entry> = self.gate.entries().into_iter().collect();
        for entry in &self.wanted {
            let address = entry.address.to_canonical();
            if !in_force.contains(&Entry { address, ..*entry }) {
                self.lacking.insert(GroupId(entry.group));
            }
        }
        Some(format!(
            "the kernel does not take the gate's addresses: {error}; what has a lease does not start here while an \
             address of it is not under the gate"
        ))
    }

    /// Takes no new connections for the group's addresses until its gate is closed; the reason in words when that failed.
    pub(super) fn refuse_newcomers(&mut self, group: GroupId) -> Option<String> {
        self.writes += 1;
        let error = self.gate.refuse_newcomers(group.0).err()?;
        self.failures += 1;
        Some(format!(
            "the gate of lease group {group} takes new connections until it closes: {error}; of those a few may get no \
             answer"
        ))
    }

    /// Carries one order out; false, with a reason in words or without, when it failed. Synchronous: when
    /// this returns the kernel has acknowledged, or the order has failed.
    ///
    /// A group of which an address does not stand under the gate is not opened: its owner would answer for that one
    /// also without the lease.
    // spec: L8
    pub(super) fn obey(&mut self, turn: Turn) -> (bool, Option<String>) {
        let group = turn.group;
        if turn.until.is_some() && self.lacking.contains(&group) {
            return (false, None);
        }
        self.writes += 1;
        let did = match turn.until {
            Some(until) => match self.gate.renew(group.0, until) {
                Ok(Renewal::Open { .. }) => return (true, None),
                Ok(Renewal::Lapsed) => return (false, None),
                Err(error) => format!("open: {error}"),
            },
            None => match self.gate.close(group.0) {
                Ok(()) => return (true, None),
                Err(error) => {
                    format!("close: {error}; it closes by itself when the lease ends")
                }
            },
        };
        self.failures += 1;
        (false, Some(format!("the gate of lease group {group} did not {did}")))
    }

    /// Closes every gate there is; for a daemon that starts without knowing what an earlier one held.
    pub(super) fn close_all(&mut self) -> Result<(), haven_host::gate::GateError> {
        for deadline in self.gate.deadlines()? {
            self.gate.close(deadline.group)?;
        }
        Ok(())
    }
}
