//! Carries the lease's orders to the kernel's gate and brings the acknowledgements back.

use haven_host::gate::{Entry, Gate, Renewal};
use haven_hub::Turn;

/// The gate with its counters.
#[derive(Debug)]
pub(super) struct Gatekeeper {
    gate: Gate,
    pub(super) writes: u64,
    pub(super) failures: u64,
}

impl Gatekeeper {
    pub(super) fn new(gate: Gate) -> Self {
        Self { gate, writes: 0, failures: 0 }
    }

    /// Makes these the addresses under the gate. What could not be done is told in words.
    pub(super) fn set_entries(&mut self, entries: &[Entry]) -> Option<String> {
        self.gate
            .set_entries(entries)
            .err()
            .map(|error| format!("the kernel does not take the gate's addresses: {error}"))
    }

    /// Carries one order out; false, with a reason in words or without, when it failed. Synchronous: when
    /// this returns the kernel has acknowledged, or the order has failed.
    pub(super) fn obey(&mut self, turn: Turn) -> (bool, Option<String>) {
        self.writes += 1;
        let group = turn.group;
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
