//! What a host's kernel keeps whatever its processes do: the gate's deadlines and entries, and the
//! addresses on its interfaces; and the services that run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use haven_base::Instant;
use haven_types::GroupId;

/// One host's kernel, as far as frames of a VIP depend on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kernel {
    deadlines: BTreeMap<GroupId, Instant>,
    entries: BTreeMap<IpAddr, GroupId>,
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Services that run, by resource.
    pub(crate) services: BTreeSet<String>,
    /// Those among them that a killed daemon left and nobody has looked at since.
    pub(crate) orphans: BTreeSet<String>,
    /// A mutant: gates close this much later than they were told to.
    pub(crate) late: Duration,
    /// A mutant: gates keep no address silent.
    pub(crate) heedless: bool,
}

impl Kernel {
    /// The gate's write: an absolute deadline, compared by the kernel with its own clock.
    pub(crate) fn put_deadline(&mut self, group: GroupId, deadline: Instant) {
        self.deadlines.insert(group, deadline + self.late);
    }

    pub(crate) fn remove_deadline(&mut self, group: GroupId) {
        self.deadlines.remove(&group);
    }

    pub(crate) fn close_all(&mut self) {
        self.deadlines.clear();
    }

    /// Nothing of it outlives the power.
    pub(crate) fn lose_power(&mut self) {
        *self = Self { late: self.late, heedless: self.heedless, ..Self::default() };
    }

    pub(crate) fn deadline(&self, group: GroupId) -> Option<Instant> {
        self.deadlines.get(&group).copied()
    }

    /// Groups whose gate it holds, lapsed or not.
    pub(crate) fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.deadlines.keys().copied()
    }

    /// Groups whose gate stands open at `now`.
    pub(crate) fn open(&self, now: Instant) -> impl Iterator<Item = (GroupId, Instant)> {
        self.deadlines.iter().filter(move |(_, end)| now < **end).map(|(group, end)| (*group, *end))
    }

    /// The addresses under the gate from now on, each with its group.
    pub(crate) fn set_entries(&mut self, entries: BTreeMap<IpAddr, GroupId>) {
        self.entries = entries;
    }

    /// Whether the host sends and answers under `address` at `now`: no entry, no gate.
    pub(crate) fn answers(&self, address: IpAddr, now: Instant) -> bool {
        let open = |group: &GroupId| self.deadline(*group).is_some_and(|end| now < end);
        let silenced = self.entries.get(&address).is_some_and(|group| !open(group));
        self.addresses.contains(&address) && (self.heedless || !silenced)
    }

    /// The addresses that are here and stand under no gate.
    pub(crate) fn ungated(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().copied().filter(|address| !self.entries.contains_key(address))
    }

    /// The addresses under which the host answers at `now`.
    pub(crate) fn answering(&self, now: Instant) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().copied().filter(move |address| self.answers(*address, now))
    }
}
