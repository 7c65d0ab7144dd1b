//! Which addresses stand under the gate: those of every leased resource of the configuration, and
//! those that still run here by an older one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use haven_host::gate::{Entry, EntryKind};
use haven_types::operation::AgentName;

use super::Daemon;
use crate::beat;

/// The group of addresses that have never been granted: its gate is never opened.
const NEVER_GRANTED: u32 = u32::MAX;

impl Daemon {
    /// Tells the gate when the set of addresses changed. An address comes under the gate before
    /// anybody can own it, and leaves only after it is neither configured nor started here.
    pub(super) fn refresh_entries(&mut self) {
        let state = self.controller.state();
        let seen = (state.cib.version, state.grants.len(), self.controller.started_count());
        if self.entries_made_of == Some(seen) {
            return;
        }
        self.entries_made_of = Some(seen);
        let mut groups: BTreeMap<IpAddr, u32> = BTreeMap::new();
        for (operation, lease) in self.controller.started() {
            let Some(lease) = lease else { continue };
            for address in self.guarded(&operation.agent, &operation.params) {
                groups.insert(address, lease.group.0);
            }
        }
        for leased in self.controller.leased() {
            let group = leased.group.map_or(NEVER_GRANTED, |group| group.0);
            for address in self.guarded(&leased.agent, &leased.params) {
                groups.insert(address, group);
            }
        }
        let entries: Vec<Entry> = groups
            .into_iter()
            .map(|(address, group)| Entry { address, kind: EntryKind::Exclusive, group })
            .collect();
        if entries != self.entries {
            self.entries.clone_from(&entries);
            self.beat.send(beat::Order::Entries(entries));
        }
    }

    fn guarded(&self, agent: &AgentName, params: &BTreeMap<String, String>) -> Vec<IpAddr> {
        self.agents.get(agent).map(|agent| agent.guarded(params)).unwrap_or_default()
    }
}
