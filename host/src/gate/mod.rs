//! The gate: the kernel keeps this host silent for an address whose lease has ended.
//!
//! Each address that has one owner in the cluster has an *entry* naming its lease group. The kernel drops
//! what this host says or hears as that address unless the group's *deadline* lies in the future. Deadlines
//! are renewed while the lease is; when the process is killed, stopped or starved nobody renews, and the
//! host falls silent by itself.
//!
//! ```text
//! heartbeat thread ──set_entries, renew, close──▶ Gate ──▶ maps in the kernel ◀── programs on every device
//!                  ──refuse_newcomers───────────▶   │                                   ▲
//!                  ◀─deadlines──────────────────────┘                                   │
//! a thread in no hurry ──on_event, repair, status──▶ Upkeep ──puts and finds again──────┘
//! ```
//! They are two because whatever looks at devices waits for the kernel's one lock over all devices of all
//! network namespaces, which others hold for tens of milliseconds: longer than a lease may wait.
//!
//! Invariants:
//! - no entry, no gate; an entry without a deadline in the future is closed;
//! - a deadline is absolute: however late a write reaches the kernel, it opens nothing past its deadline;
//! - [`Gate::open`] takes over what an earlier process left without opening or closing anything;
//! - one process at a time: a stopped predecessor keeps the gate until it is dead;
//! - dropping a [`Gate`] changes nothing in the kernel.
//!
//! It never adds an address, decides about a lease, waits for a disk, or renews by itself.

mod bpf;
mod clock;
mod clsact;
mod device;
mod error;
mod hooks;
mod lock;
mod mechanism;
mod netlink;
mod nft;
mod privilege;
mod program;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use haven_base::Instant;

pub use error::GateError;
pub use status::{BackEnd, DeviceHooks, Missing, Repair, Status};

use mechanism::{Mechanism, MechanismUpkeep};

/// What an address is to this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// One owner: nothing passes while the group is closed.
    Exclusive,
    /// A real server behind a director (DR, TUN): traffic passes, ARP and ND for the address never do,
    /// whatever the lease. A host that becomes the director changes its entry to [`Self::Exclusive`].
    RealServer,
    /// Shared by nodes that each serve some of its buckets; this host's share passes while its group is open.
    BucketSet,
    /// Served by many hosts, told apart by routing: traffic passes; ARP and ND pass while the group is
    /// open, for on one link even such an address has one MAC address.
    Anycast,
}

/// One address under the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Unicast, IPv4 or IPv6; an IPv4-mapped IPv6 address means the IPv4 one.
    pub address: IpAddr,
    /// What it is to this host.
    pub kind: EntryKind,
    /// The lease group whose deadline counts; any number.
    pub group: u32,
}

/// What the kernel holds for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// The lease group.
    pub group: u32,
    /// The group is open before this instant and closed from it on; it may be past. Up to 1 ns before what was asked
    /// for.
    pub until: Instant,
}

/// The outcome of [`Gate::renew`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a lapsed group is closed: its lease is lost"]
pub enum Renewal {
    /// The kernel has acknowledged: the group is open until then.
    Open {
        /// The deadline given.
        until: Instant,
    },
    /// The deadline was not in the future: before the write (then nothing was written) or when the kernel's
    /// acknowledgement came (then it had no effect any more). Either way the group is closed.
    Lapsed,
}

/// Whether an open group takes new TCP connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Newcomers {
    Admitted,
    Refused,
}

/// Which mechanism of the kernel to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// BPF; nftables where the kernel has no BPF or forbids it (a container in a user namespace).
    #[default]
    Auto,
    /// BPF programs on `tcx` hooks (kernel 6.6), else on `clsact`.
    Bpf,
    /// BPF programs on `clsact`, also where `tcx` exists.
    BpfClsact,
    /// A table of nftables (kernel 5.16, better 6.9): weaker, see [`BackEnd::Nftables`].
    Nft,
}

/// How to open a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Tells this gate from others in the same network namespace: the node's name. A restarted process
    /// must give the same.
    pub instance: String,
    /// A file for the lock, on a file system that forgets at boot (`/run`); one per node.
    pub lock: PathBuf,
    /// Which mechanism to use.
    pub back_end: Choice,
}

/// Most addresses of one family under a gate.
pub const MAX_ADDRESSES: u32 = 8_192;
/// Most lease groups with a deadline at a time.
pub const MAX_GROUPS: u32 = 4_096;

/// The gate of this network namespace; see the module.
///
/// Every call but [`Gate::open`] (milliseconds, more with hundreds of devices) is synchronous and takes
/// microseconds; none waits for the kernel's lock over devices.
#[derive(Debug)]
pub struct Gate {
    back_end: Mechanism,
    entries: BTreeMap<IpAddr, (EntryKind, u32)>,
    /// The groups about to be closed.
    leaving: BTreeSet<u32>,
    _lock: lock::Lock,
}

impl Gate {
    /// Puts the gate in force on every device, or takes over the one an earlier process left: entries and
    /// deadlines stay as they are, no frame passes or drops because of the call.
    ///
    /// Devices that cannot be hooked do not fail the call; see [`Status::missing`] before a leased
    /// address is added to one. The [`Upkeep`] is to be served for as long as the gate is used.
    ///
    /// # Errors
    /// [`GateError::Held`] while another process (maybe a stopped one) has the gate; missing capabilities;
    /// a kernel without the mechanism chosen; a clock that is not the kernel's.
    pub fn open(config: &Config) -> Result<(Self, Upkeep), GateError> {
        privilege::check(config.back_end)?;
        let lock = lock::Lock::take(&config.lock)?;
        let (back_end, upkeep) = Mechanism::open(config)?;
        let entries = back_end.entries()?;
        let entries = entries.into_iter().map(|e| (e.address, (e.kind, e.group))).collect();
        let gate = Self { back_end, entries, leaving: BTreeSet::new(), _lock: lock };
        Ok((gate, Upkeep { back_end: upkeep }))
    }

    /// Makes `entries` the whole set. Additions and changes come before removals.
    ///
    /// A new entry takes effect at once: closed unless its group is open. An address must have left the
    /// host *before* its entry is removed, for without an entry nothing is dropped.
    ///
    /// # Errors
    /// The first of what could not be done; everything else is done, and [`Gate::entries`] tells what is in force.
    /// Addresses that are not unicast or given twice ([`GateError::Entry`]); more than [`MAX_ADDRESSES`] of a family;
    /// refusals of the kernel, after which calling again completes it.
    pub fn set_entries(&mut self, entries: &[Entry]) -> Result<(), GateError> {
        let (wanted, mut done) = normalise(entries);
        let mut room = [Room::of(&self.entries, false), Room::of(&self.entries, true)];
        for (&address, &(kind, group)) in &wanted {
            let before = self.entries.get(&address);
            if before == Some(&(kind, group)) {
                continue;
            }
            let put = match before {
                Some(_) => Ok(()),
                None => room[usize::from(address.is_ipv4())].take(),
            };
            let put = put.and_then(|()| self.back_end.put_entry(&Entry { address, kind, group }));
            if put.is_ok() {
                self.entries.insert(address, (kind, group));
            }
            done = done.and(put);
        }
        let gone: Vec<IpAddr> =
            self.entries.keys().filter(|address| !wanted.contains_key(address)).copied().collect();
        for address in gone {
            let removed = self.back_end.remove_entry(address);
            if removed.is_ok() {
                self.entries.remove(&address);
            }
            done = done.and(removed);
        }
        done
    }

    /// The entries in force, in the order of their addresses; after [`Gate::open`] those of the earlier process.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries
            .iter()
            .map(|(&address, &(kind, group))| Entry { address, kind, group })
            .collect()
    }

    /// Opens `group` until `deadline` (`CLOCK_BOOTTIME`), the end of its lease less one tick; also shortens.
    ///
    /// A deadline that is not in the future writes nothing and closes the group, whatever the kernel held
    /// for it. Whether a group that lapsed may be opened again is the caller's to know: it must be a lease
    /// won anew.
    ///
    /// # Errors
    /// More than [`MAX_GROUPS`] groups; refusals of the kernel. The group then keeps its earlier deadline.
    pub fn renew(&mut self, group: u32, deadline: Instant) -> Result<Renewal, GateError> {
        if clock::boot_time() >= deadline {
            self.close(group)?;
            return Ok(Renewal::Lapsed);
        }
        let newcomers =
            if self.leaving.contains(&group) { Newcomers::Refused } else { Newcomers::Admitted };
        if !self.back_end.put_deadline(group, deadline, newcomers)? {
            return Ok(Renewal::Lapsed);
        }
        // However long the write took, the kernel compares the deadline itself; this is for the caller.
        if clock::boot_time() >= deadline {
            self.close(group)?;
            return Ok(Renewal::Lapsed);
        }
        Ok(Renewal::Open { until: deadline })
    }

    /// Takes no new TCP connections for the addresses of `group` from now until it is closed; everything else passes
    /// while the group is open. What a server accepted just before gets its answer out, where [`Gate::close`] at once
    /// would leave its client waiting for one. Not told apart, and taken, are connections asked for over IPv6 with
    /// extension headers, or to an address whose traffic passes whatever the lease.
    ///
    /// False, with nothing changed, where it makes no difference: the group is not open, or the mechanism is nftables,
    /// which does not tell newcomers apart.
    ///
    /// # Errors
    /// Refusals of the kernel; the group then takes connections as before.
    pub fn refuse_newcomers(&mut self, group: u32) -> Result<bool, GateError> {
        let refused = self.back_end.refuse_newcomers(group)?;
        if refused {
            self.leaving.insert(group);
        }
        Ok(refused)
    }

    /// Closes `group`; when it returns the kernel has acknowledged, and no frame judged from then on passes.
    ///
    /// # Errors
    /// Refusals of the kernel; the group is then open until its deadline and no later.
    pub fn close(&mut self, group: u32) -> Result<(), GateError> {
        self.leaving.remove(&group);
        self.back_end.remove_deadline(group)
    }

    /// What the kernel holds now, in the order of the groups.
    ///
    /// # Errors
    /// Refusals of the kernel.
    pub fn deadlines(&self) -> Result<Vec<Deadline>, GateError> {
        self.back_end.deadlines()
    }

    /// Takes the gate out of force: the addresses must have left the host before.
    ///
    /// # Errors
    /// Refusals of the kernel; opening the gate and calling again completes it.
    pub fn remove_all(mut self, upkeep: Upkeep) -> Result<(), GateError> {
        self.set_entries(&[])?;
        upkeep.back_end.remove_all()
    }
}

/// Keeps a [`Gate`] in force on every device there is; see the module.
///
/// Calls wait for the kernel's lock over devices: not for a thread that renews leases.
#[derive(Debug)]
pub struct Upkeep {
    back_end: MechanismUpkeep,
}

impl Upkeep {
    /// What is in force, read from the kernel when it was last looked at ([`Upkeep::repair`]).
    #[must_use]
    pub fn status(&self) -> Status {
        self.back_end.status()
    }

    /// Descriptors that become readable when [`Upkeep::on_event`] has something to do.
    #[must_use]
    pub fn events(&self) -> Vec<BorrowedFd<'_>> {
        self.back_end.events()
    }

    /// Reads the events and puts the gate in force on new or changed devices.
    ///
    /// # Errors
    /// Refusals of the kernel to tell; devices that cannot be hooked are in [`Status::missing`].
    pub fn on_event(&mut self) -> Result<Repair, GateError> {
        self.back_end.on_event()
    }

    /// Compares what is in force with what should be, on every device, and mends it: regularly, against
    /// programs that take hooks away.
    ///
    /// # Errors
    /// Refusals of the kernel to tell; devices that cannot be hooked are in [`Status::missing`].
    pub fn repair(&mut self) -> Result<Repair, GateError> {
        self.back_end.repair()
    }
}

/// The number of this network namespace.
fn namespace() -> Result<u64, GateError> {
    let path = "/proc/thread-self/ns/net";
    std::fs::metadata(path)
        .map(|namespace| namespace.ino())
        .map_err(|source| GateError::Proc { path, source })
}

/// How many more addresses of one family may be put under the gate.
#[derive(Debug)]
struct Room(usize);

impl Room {
    fn of(entries: &BTreeMap<IpAddr, (EntryKind, u32)>, ipv4: bool) -> Self {
        let taken = entries.keys().filter(|address| address.is_ipv4() == ipv4).count();
        Self((MAX_ADDRESSES as usize).saturating_sub(taken))
    }

    fn take(&mut self) -> Result<(), GateError> {
        let full = GateError::Full { what: "addresses of one family", limit: MAX_ADDRESSES };
        self.0 = self.0.checked_sub(1).ok_or(full)?;
        Ok(())
    }
}

/// The entries that make sense, and the first that does not.
fn normalise(entries: &[Entry]) -> (BTreeMap<IpAddr, (EntryKind, u32)>, Result<(), GateError>) {
    let mut wanted = BTreeMap::new();
    let mut sound = Ok(());
    for entry in entries {
        let address = entry.address.to_canonical();
        let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        let reason = if address.is_unspecified() || address.is_multicast() || broadcast {
            "it is not a unicast address"
        } else if address.is_loopback() {
            "it is a loopback address, which never leaves the host"
        } else if wanted.insert(address, (entry.kind, entry.group)).is_some() {
            "it is given twice; an address has one entry"
        } else {
            continue;
        };
        sound = sound.and(Err(GateError::Entry { address, reason }));
    }
    (wanted, sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: &str) -> Entry {
        Entry { address: address.parse().unwrap(), kind: EntryKind::Exclusive, group: 1 }
    }

    #[test]
    fn only_unicast_addresses_given_once_are_taken() {
        for bad in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "127.0.0.1", "::1", "255.255.255.255"]
        {
            let (wanted, sound) = normalise(&[entry(bad), entry("192.0.2.1"), entry("127.0.0.2")]);
            let error = sound.unwrap_err();
            assert!(error.to_string().contains(bad), "{error}");
            assert_eq!(wanted.len(), 1, "one that makes no sense keeps no other out");
        }
        let twice = [entry("192.0.2.1"), entry("::ffff:192.0.2.1")];
        let error = normalise(&twice).1.unwrap_err();
        assert!(error.to_string().contains("given twice"), "{error}");
        let (wanted, sound) = normalise(&[entry("192.0.2.1"), entry("fe80::1")]);
        sound.unwrap();
        assert_eq!(wanted.len(), 2);
    }

    #[test]
    fn each_family_has_room_for_so_many_addresses() {
        let mut entries = BTreeMap::new();
        for number in 1..MAX_ADDRESSES {
            let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            entries.insert(address, (EntryKind::Exclusive, 1));
        }
        let mut room = Room::of(&entries, true);
        room.take().unwrap();
        assert!(matches!(room.take(), Err(GateError::Full { limit: MAX_ADDRESSES, .. })));
        Room::of(&entries, false).take().unwrap();
    }
}
