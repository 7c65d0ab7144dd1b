//! Which addresses stand under the gate, for the gate.

use std::collections::BTreeMap;
use std::net::IpAddr;

use haven_host::gate::{Entry, EntryKind};
use haven_types::operation::AgentName;

use super::Daemon;
use crate::beat;

impl Daemon {
    /// Tells the gate when the set of addresses changed, before anything else that follows from it.
    pub(super) fn refresh_entries(&mut self) {
        let agents = &self.agents;
        let addresses = |agent: &AgentName, params: &BTreeMap<String, String>| -> Vec<IpAddr> {
            agents.get(agent).map(|agent| agent.guarded(params)).unwrap_or_default()
        };
        let Some(guarded) = self.guarded.refresh(&self.controller, addresses) else { return };
        let entries = guarded.iter().map(|(address, group)| Entry {
            address: *address,
            kind: EntryKind::Exclusive,
            group: group.0,
        });
        self.beat.send(beat::Order::Entries(entries.collect()));
    }
}
