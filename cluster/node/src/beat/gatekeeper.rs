//! Carries the lease's orders to the kernel's gate and brings the acknowledgements back.

use std::time::Duration;

use haven_heartbeat::{GateOrder, Input};
use haven_host::gate::{Entry, Gate, Renewal};

/// The gate with its counters.
#[derive(Debug)]
pub(super) struct Gatekeeper {
    gate: Gate,
    tick: Duration,
    pub(super) writes: u64,
    pub(super) failures: u64,
}

impl Gatekeeper {
    pub(super) fn new(gate: Gate, tick: Duration) -> Self {
        Self { gate, tick, writes: 0, failures: 0 }
    }

    /// Makes these the addresses under the gate. What could not be done is told in words.
    pub(super) fn set_entries(&mut self, entries: &[Entry]) -> Option<String> {
        self.gate
            .set_entries(entries)
            .err()
            .map(|error| format!("the kernel does not take the gate's addresses: {error}"))
    }

    /// Carries one order out and returns the machine's next input. Synchronous: when this returns the
    /// kernel has acknowledged, or the order has failed.
    pub(super) fn obey(&mut self, order: GateOrder) -> (Input, Option<String>) {
        self.writes += 1;
        match order {
            GateOrder::Renew { group, deadline, ticket, .. } => {
                // The lease ends one tick later than the gate, never the other way round.
                match self.gate.renew(group.0, deadline.before(self.tick)) {
                    Ok(Renewal::Open { .. }) => (Input::GateOpened { group, ticket }, None),
                    Ok(Renewal::Lapsed) => (Input::GateFailed { group, ticket }, None),
                    Err(error) => {
                        self.failures += 1;
                        let line = format!("the gate of lease group {group} did not open: {error}");
                        (Input::GateFailed { group, ticket }, Some(line))
                    }
                }
            }
            GateOrder::Close { group, ticket } => match self.gate.close(group.0) {
                Ok(()) => (Input::GateClosed { group, ticket }, None),
                Err(error) => {
                    self.failures += 1;
                    let line = format!(
                        "the gate of lease group {group} did not close: {error}; it closes by \
                         itself when the lease ends"
                    );
                    (Input::GateFailed { group, ticket }, Some(line))
                }
            },
        }
    }

    /// Closes every gate there is; for a daemon that starts without knowing what an earlier one held.
    pub(super) fn close_all(&mut self) -> Result<(), haven_host::gate::GateError> {
        for deadline in self.gate.deadlines()? {
            self.gate.close(deadline.group)?;
        }
        Ok(())
    }
}
