//! Interfaces without the kernel's gate: the end of a lease silences nobody there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use haven_base::{IfIndex, Instant};

use super::{Held, Holder, Output, Phase};
use crate::outcome::Reason;
use crate::params::PROTOCOL_TAG;

/// An interface that has just come is told to this machine and to the gate at the same time, so an address may
/// be on it before it is known that it cannot have the gate. News this late are about something else.
const NEWS_TAKE: Duration = Duration::from_secs(5);

impl Holder {
    /// What this says of resources that are up for long is their monitor's to tell.
    pub(super) fn on_ungated(
        &mut self,
        now: Instant,
        devices: BTreeMap<IfIndex, String>,
        out: &mut Vec<Output>,
    ) {
        self.ungated = devices;
        let settled = |held: &Held| {
            matches!(held.phase, Phase::Checking { .. } | Phase::Announcing | Phase::Up)
        };
        let fresh = |held: &Held| held.vips.values().any(|vip| now.since(vip.up_since) < NEWS_TAKE);
        let hit: Vec<(String, String)> = self
            .resources
            .iter()
            .filter(|(_, held)| settled(held) && fresh(held))
            .filter_map(|(resource, held)| Some((resource.clone(), self.without_gate(held)?)))
            .collect();
        for (resource, why) in hit {
            let text = format!("start {resource}: {why}");
            self.give_up(&resource, Reason::Ungated, text, out);
        }
    }

    /// All addresses of a resource are where they should be, and are ours: a start anew, under a lease that was
    /// regained or after a restart of the daemon, makes nothing worse.
    pub(super) fn is_there(&self, held: &Held) -> bool {
        let there = |ip: IpAddr, index: IfIndex| {
            let places = self.view.places(ip);
            places.iter().any(|it| it.index == index && it.protocol == PROTOCOL_TAG)
        };
        !held.vips.is_empty() && held.vips.iter().all(|(ip, vip)| there(*ip, vip.place.index))
    }

    /// Why the lease of a resource protects nothing where its addresses are or are to be; none where it does, and
    /// without a lease.
    pub(super) fn without_gate(&self, held: &Held) -> Option<String> {
        held.lease.as_ref()?;
        let indices = held.vips.values().map(|vip| vip.place.index);
        let (index, why) =
            indices.into_iter().find_map(|index| Some((index, self.ungated.get(&index)?)))?;
        let dev = self.view.name(index);
        Some(format!(
            "the gate is not in force on {dev} ({why}), so an address there would not fall silent when its lease \
             ends; mend that on this host, or set nic= to an interface that has the gate, then `haven resource \
             cleanup`"
        ))
    }
}
