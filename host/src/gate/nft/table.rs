//! The table itself: entries, groups and their timed elements, by one socket, which owns it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use haven_base::Instant;
use rustix::time::{ClockId, clock_getres};

use super::message::{self, Batch, Element, OWNER_PERSIST, Verdict};
use super::read;
use super::rules::{OPEN, make_group, skeleton, write_entry};
use super::unsupported;
use crate::gate::netlink::Channel;
use crate::gate::{Deadline, Entry, EntryKind, GateError, clock};

/// Tries at a renewal that was slower than a tick, and at making a table again that others go on flushing.
const ATTEMPTS: u32 = 3;

/// Which of a group's two sets counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub(super) fn set(self, group: u32) -> String {
        format!("{}{group}", if self == Self::A { 'a' } else { 'b' })
    }

    pub(super) fn chain(self, group: u32) -> String {
        format!("g{}", self.set(group))
    }
}

/// See the module above.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) channel: Channel,
    tick: Duration,
    groups: BTreeMap<u32, Side>,
    /// What the kernel took.
    entries: BTreeMap<IpAddr, (EntryKind, u32)>,
    /// Entries that went with a flush and are not put again yet.
    lost: BTreeMap<IpAddr, (EntryKind, u32)>,
}

impl Table {
    /// Makes the table, or takes over the one that is there.
    pub(super) fn open(name: String) -> Result<Self, GateError> {
        let mut table = Self {
            name,
            channel: message::open().map_err(unsupported)?,
            tick: tick(),
            groups: BTreeMap::new(),
            entries: BTreeMap::new(),
            lost: BTreeMap::new(),
        };
        table.make()?;
        table.read()?;
        Ok(table)
    }

    /// The table with its maps and rules, unless it is there.
    fn make(&mut self) -> Result<(), GateError> {
        let owned = Batch::new(&self.name).table(OWNER_PERSIST).commit(&mut self.channel);
        match owned {
            Ok(()) => {}
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
                Batch::new(&self.name).table(0).commit(&mut self.channel).map_err(unsupported)?;
            }
            Err(e) => return Err(unsupported(e)),
        }
        let chains = self.chains()?;
        if chains.iter().any(|chain| chain == "in") {
            return Ok(());
        }
        self.commit("make the gate's nftables rules", skeleton)
    }

    fn chains(&mut self) -> Result<Vec<String>, GateError> {
        let found = message::chains(&mut self.channel)
            .map_err(|e| GateError::netlink("list nftables chains", e))?;
        Ok(read::chains(&found, &self.name))
    }

    fn elements(&self, set: &str) -> Result<Vec<read::Found>, GateError> {
        // A socket of its own: reading needs no ownership of the table.
        let found = message::open()
            .and_then(|mut channel| message::elements(&mut channel, &self.name, set))
            .map_err(|e| GateError::netlink(format!("read the nftables set {set}"), e))?;
        Ok(read::elements(&found))
    }

    /// What an earlier process left.
    fn read(&mut self) -> Result<(), GateError> {
        for element in self.elements("gates")? {
            let side = if element.chain.starts_with("ga") { Side::A } else { Side::B };
            if let Ok(group) = <[u8; 4]>::try_from(element.key.as_slice()) {
                self.groups.insert(u32::from_be_bytes(group), side);
            }
        }
        for set in ["v4c", "v6c"] {
            for element in self.elements(set)? {
                if let Some((address, kind, group)) = element.entry() {
                    self.entries.insert(address, (kind, group));
                }
            }
        }
        Ok(())
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        listed(&self.entries)
    }

    /// Whether the kernel has every entry, as far as is known here.
    pub(super) fn is_whole(&self) -> bool {
        self.lost.is_empty()
    }

    pub(super) fn put_entry(&mut self, entry: &Entry) -> Result<(), GateError> {
        self.make_group(entry.group)?;
        let old = self.entries.get(&entry.address).copied();
        self.commit(&format!("gate the address {}", entry.address), |batch| {
            let batch = match old {
                Some((kind, group)) => write_entry(batch, false, &Entry { kind, group, ..*entry }),
                None => batch,
            };
            write_entry(batch, true, entry)
        })?;
        self.entries.insert(entry.address, (entry.kind, entry.group));
        self.lost.remove(&entry.address);
        Ok(())
    }

    pub(super) fn remove_entry(&mut self, address: IpAddr) -> Result<(), GateError> {
        self.lost.remove(&address);
        if let Some(&(kind, group)) = self.entries.get(&address) {
            self.commit(&format!("no longer gate the address {address}"), |batch| {
                write_entry(batch, false, &Entry { address, kind, group })
            })?;
            self.entries.remove(&address);
        }
        Ok(())
    }

    fn make_group(&mut self, group: u32) -> Result<(), GateError> {
        if self.groups.contains_key(&group) {
            return Ok(());
        }
        self.commit(&format!("make the nftables sets of group {group}"), |batch| {
            make_group(batch, group)
        })?;
        self.groups.insert(group, Side::A);
        Ok(())
    }

    /// Opens the group until then; false, with the group closed, when less than a tick is left.
    pub(super) fn put_deadline(&mut self, group: u32, until: Instant) -> Result<bool, GateError> {
        self.make_group(group)?;
        let current = self.groups.get(&group).copied().unwrap_or(Side::A);
        let (set, chain) = (current.other().set(group), current.other().chain(group));
        for _ in 0..ATTEMPTS {
            let before = clock::boot_time();
            let left = until.since(before);
            if left < self.tick {
                self.remove_deadline(group)?;
                return Ok(false);
            }
            let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            self.commit(&format!("open group {group}"), |batch| {
                let element =
                    Element { key: &OPEN, timeout_millis: Some(millis), ..Element::default() };
                batch.flush(&set).element(&set, true, &element)
            })?;
            if clock::boot_time().since(before) <= self.tick {
                // Not timed: however late this comes, the element has been ageing since.
                self.switch(group, current.other(), &chain)?;
                return Ok(true);
            }
        }
        self.commit(&format!("take back a late renewal of group {group}"), |b| b.flush(&set))?;
        Err(GateError::Slow { group, limit: self.tick })
    }

    fn switch(&mut self, group: u32, to: Side, chain: &str) -> Result<(), GateError> {
        let key = group.to_be_bytes();
        let verdict = Verdict::Goto(chain.to_owned());
        self.commit(&format!("renew group {group}"), |batch| {
            let old = Element { key: &key, ..Element::default() };
            let new = Element { key: &key, verdict: Some(&verdict), ..Element::default() };
            batch.element("gates", false, &old).element("gates", true, &new)
        })?;
        self.groups.insert(group, to);
        Ok(())
    }

    pub(super) fn remove_deadline(&mut self, group: u32) -> Result<(), GateError> {
        if !self.groups.contains_key(&group) {
            return Ok(());
        }
        self.commit(&format!("close group {group}"), |batch| {
            batch.flush(&Side::A.set(group)).flush(&Side::B.set(group))
        })
    }

    pub(super) fn deadlines(&self) -> Result<Vec<Deadline>, GateError> {
        let mut deadlines = Vec::new();
        for (&group, side) in &self.groups {
            // Read before the kernel says what is left, so that the sum is not later than the truth.
            let now = clock::boot_time();
            for element in self.elements(&side.set(group))? {
                let left = Duration::from_millis(element.expires_millis);
                deadlines.push(Deadline { group, until: now + left });
            }
        }
        Ok(deadlines)
    }

    /// Makes a table that somebody flushed again: with all entries, every group closed. What an error leaves undone, the
    /// next call does.
    pub(super) fn restore(&mut self) -> Result<(), GateError> {
        let mut restored = self.try_restore();
        for _ in 1..ATTEMPTS {
            if restored.is_ok() {
                break;
            }
            // Perhaps the next flush came in between.
            restored = self.try_restore();
        }
        restored
    }

    fn try_restore(&mut self) -> Result<(), GateError> {
        if !self.chains()?.iter().any(|chain| chain == "in") {
            self.groups.clear();
            self.lost.append(&mut self.entries);
            self.make()?;
        }
        for entry in listed(&self.lost) {
            self.put_entry(&entry)?;
        }
        Ok(())
    }

    pub(super) fn commit(
        &mut self,
        attempted: &str,
        fill: impl FnOnce(Batch<'_>) -> Batch<'_>,
    ) -> Result<(), GateError> {
        fill(Batch::new(&self.name))
            .commit(&mut self.channel)
            .map_err(|e| GateError::netlink(attempted, e))
    }
}

fn listed(entries: &BTreeMap<IpAddr, (EntryKind, u32)>) -> Vec<Entry> {
    entries.iter().map(|(&address, &(kind, group))| Entry { address, kind, group }).collect()
}

/// The kernel counts timeouts in ticks of this length.
fn tick() -> Duration {
    let resolution = clock_getres(ClockId::MonotonicCoarse);
    let nanos = u64::try_from(resolution.tv_nsec).unwrap_or(0);
    Duration::from_nanos(nanos).max(Duration::from_millis(1))
}
