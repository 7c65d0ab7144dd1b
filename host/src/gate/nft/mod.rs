//! The gate in nftables, for hosts that may not load BPF programs (a container in a user namespace).
//!
//! One table of the family `netdev`, whose chains at ingress and egress of each device see every protocol:
//!
//! ```text
//! device chain ─▶ in | out ─▶ map address → g7 ─▶ map gates: 7 → ga7 | gb7 ─▶ set a7 | b7 has it: return
//!                 (traffic and claims apart)                                  else drop
//! ```
//! The kernel knows durations only, so a write that is paused would open the gate for too long. Therefore a
//! renewal puts its timed element into the set *not* in use, and points `gates` to that set by a second,
//! untimed write only when the clock says that at most one tick passed around the first.
//!
//! Weaker than BPF in two ways: on kernels before 6.9 a flush of the ruleset by others opens it until the
//! daemon hears of it, and VLAN tags within a frame hide what is behind them.

mod message;
mod read;
mod rules;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use haven_base::Instant;
use rustix::time::{ClockId, clock_getres};

use self::message::{Batch, Element, OWNER_PERSIST, Step, Verdict};
use self::rules::{OPEN, make_group, skeleton, write_entry};
use super::device::{Device, Devices, News};
use super::hooks::Identity;
use super::netlink::Channel;
use super::status::{BackEnd, DeviceHooks, Missing, Repair, Status};
use super::{Config, Deadline, Entry, EntryKind, GateError, clock};
use crate::bpf::Hook;

/// Tries at a renewal that was slower than a tick.
const ATTEMPTS: u32 = 3;

/// Which of a group's two sets counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    A,
    B,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    fn set(self, group: u32) -> String {
        format!("{}{group}", if self == Self::A { 'a' } else { 'b' })
    }

    fn chain(self, group: u32) -> String {
        format!("g{}", self.set(group))
    }
}

#[derive(Debug)]
pub(super) struct NftGate {
    table: String,
    channel: Channel,
    news: Channel,
    devices: Devices,
    tick: Duration,
    groups: BTreeMap<u32, Side>,
    entries: BTreeMap<IpAddr, (EntryKind, u32)>,
    known: BTreeMap<u32, DeviceHooks>,
    missing: Vec<Missing>,
}

impl NftGate {
    pub(super) fn open(config: &Config) -> Result<Self, GateError> {
        let table = Identity::new(&config.instance, super::namespace()?).name("gate");
        let devices =
            Devices::open().map_err(|e| GateError::netlink("watch network devices", e))?;
        let mut gate = Self {
            table,
            channel: message::open().map_err(unsupported)?,
            news: message::subscribe().map_err(unsupported)?,
            devices,
            tick: tick(),
            groups: BTreeMap::new(),
            entries: BTreeMap::new(),
            known: BTreeMap::new(),
            missing: Vec::new(),
        };
        gate.make_table()?;
        gate.read()?;
        gate.repair()?;
        Ok(gate)
    }

    /// Whether an earlier process left a table.
    pub(super) fn left_behind(config: &Config) -> bool {
        let found = || {
            let table = Identity::new(&config.instance, super::namespace().ok()?).name("gate");
            let chains = message::chains(&mut message::open().ok()?).ok()?;
            Some(!read::chains(&chains, &table).is_empty())
        };
        found().unwrap_or(false)
    }

    /// The table with its maps and rules, unless it is there.
    fn make_table(&mut self) -> Result<(), GateError> {
        let owned = Batch::new(&self.table).table(OWNER_PERSIST).commit(&mut self.channel);
        match owned {
            Ok(()) => {}
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
                Batch::new(&self.table).table(0).commit(&mut self.channel).map_err(unsupported)?;
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
        Ok(read::chains(&found, &self.table))
    }

    fn elements(&self, set: &str) -> Result<Vec<read::Found>, GateError> {
        // A socket of its own: reading needs no ownership of the table.
        let found = message::open()
            .and_then(|mut channel| message::elements(&mut channel, &self.table, set))
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
        let entry = |(&address, &(kind, group)): (&IpAddr, &(EntryKind, u32))| Entry {
            address,
            kind,
            group,
        };
        self.entries.iter().map(entry).collect()
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
        Ok(())
    }

    pub(super) fn remove_entry(&mut self, address: IpAddr) -> Result<(), GateError> {
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

    pub(super) fn remove_all(mut self) -> Result<(), GateError> {
        self.commit("remove the gate's nftables table", |batch| batch.delete_table())
    }

    pub(super) fn status(&self, entries: usize) -> Status {
        Status {
            back_end: BackEnd::Nftables,
            devices: self.known.values().cloned().collect(),
            missing: self.missing.clone(),
            entries,
        }
    }

    pub(super) fn events(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.devices.events(), self.news.as_fd()]
    }

    /// Reads all news of nftables (our own changes are among them): whether the table was deleted, or the
    /// kernel had to drop some news.
    fn flushed(&self) -> Result<bool, GateError> {
        let mut flushed = false;
        loop {
            match self.news.events() {
                Ok(events) if events.is_empty() => return Ok(flushed),
                Ok(events) => flushed |= read::deletes(&events, &self.table),
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => flushed = true,
                Err(e) => return Err(GateError::netlink("read news of nftables", e)),
            }
        }
    }

    pub(super) fn on_event(&mut self) -> Result<Repair, GateError> {
        let flushed = self.flushed()?;
        let news =
            self.devices.news().map_err(|e| GateError::netlink("read news of devices", e))?;
        let (Some(news), false) = (news, flushed) else { return self.repair() };
        let mut repair = Repair::default();
        for news in &news {
            let (News::Gone(index) | News::Present(Device { index, .. })) = news;
            self.missing.retain(|m| m.index != *index);
            match news {
                News::Present(device) => self.see_to(device, &mut repair),
                News::Gone(index) => {
                    self.known.remove(index);
                }
            }
        }
        repair.missing.clone_from(&self.missing);
        Ok(repair)
    }

    pub(super) fn repair(&mut self) -> Result<Repair, GateError> {
        self.restore()?;
        let listed =
            self.devices.list().map_err(|e| GateError::netlink("list network devices", e))?;
        self.known.retain(|index, _| listed.iter().any(|device| device.index == *index));
        self.missing.clear();
        let mut repair = Repair::default();
        for device in &listed {
            self.see_to(device, &mut repair);
        }
        repair.missing.clone_from(&self.missing);
        Ok(repair)
    }

    /// Makes a table that somebody flushed again: with all entries, every group closed.
    fn restore(&mut self) -> Result<(), GateError> {
        if self.chains()?.iter().any(|chain| chain == "in") {
            return Ok(());
        }
        self.groups.clear();
        self.make_table()?;
        let entries = self.entries();
        self.entries.clear();
        for entry in &entries {
            self.put_entry(entry)?;
        }
        Ok(())
    }

    /// Chains are named for index and name, since the kernel may bind a hook to either.
    fn see_to(&mut self, device: &Device, repair: &mut Repair) {
        let before = self.known.remove(&device.index);
        let mut now = DeviceHooks {
            index: device.index,
            name: device.name.clone(),
            port: device.port,
            hooks: Vec::new(),
        };
        let stale = before.as_ref().filter(|b| b.name != device.name || b.port != device.port);
        for (hook, number, to) in [(Hook::Ingress, 0, "in"), (Hook::Egress, 1, "out")] {
            if let Some(stale) = stale {
                let name = chain_name(to, stale.index, &stale.name);
                // It may have gone with the name.
                drop(self.commit("", |batch| batch.delete_chain(&name)));
            }
            if device.port && hook == Hook::Ingress {
                continue;
            }
            let name = chain_name(to, device.index, &device.name);
            let result = Batch::new(&self.table)
                .base_chain(&name, number, &device.name)
                .rule(&name, &[Step::Verdict(Verdict::Jump(to.to_owned()))])
                .commit(&mut self.channel);
            let lost = before.as_ref().is_some_and(|b| b.hooks.contains(&hook));
            match result {
                Ok(()) if lost => repair.restored.push((device.name.clone(), hook)),
                Ok(()) => repair.added.push((device.name.clone(), hook)),
                Err(e) if e.raw_os_error() == Some(libc::EEXIST) => {}
                Err(e) if matches!(e.raw_os_error(), Some(libc::ENODEV | libc::ENOENT)) => return,
                Err(e) => {
                    let (index, name, reason) = (device.index, device.name.clone(), e.to_string());
                    self.missing.push(Missing { index, name, hook, reason });
                    continue;
                }
            }
            now.hooks.push(hook);
        }
        self.known.insert(device.index, now);
    }

    fn commit(
        &mut self,
        attempted: &str,
        fill: impl FnOnce(Batch<'_>) -> Batch<'_>,
    ) -> Result<(), GateError> {
        fill(Batch::new(&self.table))
            .commit(&mut self.channel)
            .map_err(|e| GateError::netlink(attempted, e))
    }
}

fn chain_name(to: &str, index: u32, device: &str) -> String {
    format!("{to}_{index}_{device}")
}

/// The kernel counts timeouts in ticks of this length.
fn tick() -> Duration {
    let resolution = clock_getres(ClockId::MonotonicCoarse);
    let nanos = u64::try_from(resolution.tv_nsec).unwrap_or(0);
    Duration::from_nanos(nanos).max(Duration::from_millis(1))
}

fn unsupported(error: io::Error) -> GateError {
    match error.raw_os_error() {
        Some(
            libc::EPROTONOSUPPORT
            | libc::EAFNOSUPPORT
            | libc::EOPNOTSUPP
            | libc::ENOENT
            | libc::EINVAL,
        ) => GateError::Unsupported {
            what: "nftables of the family netdev",
            remedy: "use a kernel with CONFIG_NF_TABLES_NETDEV, 5.16 or later, or allow BPF",
        },
        _ => GateError::netlink("make the gate's nftables table", error),
    }
}
