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
mod table;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haven_base::Instant;

use self::message::{Batch, Step, Verdict};
use self::table::Table;
use super::device::{Device, Devices, News};
use super::hooks::Identity;
use super::netlink::Channel;
use super::status::{BackEnd, DeviceHooks, Missing, Repair, Status};
use super::{Config, Deadline, Entry, GateError};
use crate::bpf::Hook;

/// A table has one owner, its socket, so the two sides take turns; nobody asks about devices meanwhile.
type Shared = Arc<Mutex<Table>>;

fn locked(table: &Shared) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What changes with every lease.
#[derive(Debug)]
pub(super) struct NftGate {
    table: Shared,
}

/// The chains on the devices, and the table after a flush.
#[derive(Debug)]
pub(super) struct NftUpkeep {
    table: Shared,
    /// The table's.
    name: String,
    news: Channel,
    devices: Devices,
    known: BTreeMap<u32, DeviceHooks>,
    missing: Vec<Missing>,
}

impl NftGate {
    pub(super) fn open(config: &Config) -> Result<(Self, NftUpkeep), GateError> {
        let name = Identity::new(&config.instance, super::namespace()?).name("gate");
        let devices =
            Devices::open().map_err(|e| GateError::netlink("watch network devices", e))?;
        let news = message::subscribe().map_err(unsupported)?;
        let table = Arc::new(Mutex::new(Table::open(name.clone())?));
        let mut upkeep = NftUpkeep {
            table: Arc::clone(&table),
            name,
            news,
            devices,
            known: BTreeMap::new(),
            missing: Vec::new(),
        };
        upkeep.repair()?;
        Ok((Self { table }, upkeep))
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

    pub(super) fn entries(&self) -> Vec<Entry> {
        locked(&self.table).entries()
    }

    pub(super) fn put_entry(&self, entry: &Entry) -> Result<(), GateError> {
        locked(&self.table).put_entry(entry)
    }

    pub(super) fn remove_entry(&self, address: IpAddr) -> Result<(), GateError> {
        locked(&self.table).remove_entry(address)
    }

    pub(super) fn put_deadline(&self, group: u32, until: Instant) -> Result<bool, GateError> {
        locked(&self.table).put_deadline(group, until)
    }

    pub(super) fn remove_deadline(&self, group: u32) -> Result<(), GateError> {
        locked(&self.table).remove_deadline(group)
    }

    pub(super) fn deadlines(&self) -> Result<Vec<Deadline>, GateError> {
        locked(&self.table).deadlines()
    }
}

impl NftUpkeep {
    pub(super) fn remove_all(self) -> Result<(), GateError> {
        locked(&self.table).commit("remove the gate's nftables table", |batch| batch.delete_table())
    }

    pub(super) fn status(&self) -> Status {
        Status {
            back_end: BackEnd::Nftables,
            devices: self.known.values().cloned().collect(),
            missing: self.missing.clone(),
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
                Ok(events) => flushed |= read::deletes(&events, &self.name),
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => flushed = true,
                Err(e) => return Err(GateError::netlink("read news of nftables", e)),
            }
        }
    }

    pub(super) fn on_event(&mut self) -> Result<Repair, GateError> {
        let flushed = self.flushed()? || !locked(&self.table).is_whole();
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
        locked(&self.table).restore()?;
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
                drop(locked(&self.table).commit("", |batch| batch.delete_chain(&name)));
            }
            if device.port && hook == Hook::Ingress {
                continue;
            }
            let name = chain_name(to, device.index, &device.name);
            let result = Batch::new(&self.name)
                .base_chain(&name, number, &device.name)
                .rule(&name, &[Step::Verdict(Verdict::Jump(to.to_owned()))])
                .commit(&mut locked(&self.table).channel);
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
}

fn chain_name(to: &str, index: u32, device: &str) -> String {
    format!("{to}_{index}_{device}")
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
