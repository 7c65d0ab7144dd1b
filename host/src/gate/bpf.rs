//! The gate in BPF: deadlines compared by programs on every device.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use haven_base::Instant;

use super::device::{Device, Devices, News};
use super::hooks::{Ensured, Hooks, Identity, Loaded, Means, Refusal};
use super::program::{
    self, CLAIM_NEVER, CLOCK_UNIT_NANOS, Framing, Maps, REFUSES_NEWCOMERS, TRAFFIC_FREE, Variant,
};
use super::status::{BackEnd, DeviceHooks, Missing, Repair, Status};
use super::{
    Choice, Config, Deadline, Entry, EntryKind, GateError, MAX_ADDRESSES, MAX_GROUPS, Newcomers,
    clock,
};
use crate::bpf::{BpfError, Hook, Map, Program};

const HOOKS: [Hook; 2] = [Hook::Ingress, Hook::Egress];

/// A frame to try the clock program on; its content does not matter.
const ANY_FRAME: [u8; 64] = [0; 64];

/// The maps: what changes with every lease.
#[derive(Debug)]
pub(super) struct BpfGate {
    maps: Maps,
}

/// The programs on the devices, which read the maps.
#[derive(Debug)]
pub(super) struct BpfUpkeep {
    programs: Vec<Loaded>,
    hooks: Hooks,
    devices: Devices,
    known: BTreeMap<u32, DeviceHooks>,
    missing: Vec<Missing>,
}

impl BpfGate {
    /// Whether an earlier process left programs; false also where this process may not look.
    pub(super) fn left_behind(config: &Config) -> bool {
        let found = || {
            let identity = Identity::new(&config.instance, super::namespace().ok()?);
            let mut hooks = Hooks::new(identity, Means::Clsact);
            let mut devices = Devices::open().ok()?;
            let listed = list(&mut devices).ok()?;
            find(&mut hooks, &mut devices, &listed).ok()?
        };
        found().is_some()
    }

    pub(super) fn open(config: &Config) -> Result<(Self, BpfUpkeep), GateError> {
        check_clock()?;
        let identity = Identity::new(&config.instance, super::namespace()?);
        let means = match config.back_end {
            Choice::BpfClsact => Means::Clsact,
            Choice::Auto | Choice::Bpf | Choice::Nft if Hooks::tcx_supported() => Means::Tcx,
            Choice::Auto | Choice::Bpf | Choice::Nft => Means::Clsact,
        };
        let mut hooks = Hooks::new(identity, means);
        let mut devices =
            Devices::open().map_err(|e| GateError::netlink("watch network devices", e))?;
        if means == Means::Clsact {
            devices
                .hear_of_filters()
                .map_err(|e| GateError::netlink("watch filters of network devices", e))?;
        }
        let listed = list(&mut devices)?;
        let (maps, old) = match find(&mut hooks, &mut devices, &listed)? {
            Some(found) => found,
            None => (create(&hooks.identity)?, Vec::new()),
        };
        let programs = load(&hooks.identity, &maps, old)?;
        let gate = Self { maps };
        gate.admit_newcomers()?;
        let mut upkeep =
            BpfUpkeep { programs, hooks, devices, known: BTreeMap::new(), missing: Vec::new() };
        upkeep.repair()?;
        for device in &listed {
            for hook in HOOKS {
                upkeep.leave_other_means(device, hook);
            }
        }
        Ok((gate, upkeep))
    }

    pub(super) fn entries(&self) -> Result<Vec<Entry>, GateError> {
        let mut entries = Vec::new();
        for map in [&self.maps.ipv4, &self.maps.ipv6] {
            for key in map.keys()? {
                let mut value = [0; 8];
                if let (Some(address), true) = (address(&key), map.lookup(&key, &mut value)?) {
                    let [g0, g1, g2, g3, f0, f1, f2, f3] = value;
                    entries.push(Entry {
                        address,
                        kind: kind(u32::from_ne_bytes([f0, f1, f2, f3])),
                        group: u32::from_ne_bytes([g0, g1, g2, g3]),
                    });
                }
            }
        }
        Ok(entries)
    }

    pub(super) fn put_entry(&self, entry: &Entry) -> Result<(), GateError> {
        let mut value = [0; 8];
        value[..4].copy_from_slice(&entry.group.to_ne_bytes());
        value[4..].copy_from_slice(&flags(entry.kind).to_ne_bytes());
        match entry.address {
            IpAddr::V4(v4) => self.maps.ipv4.update(&v4.octets(), &value),
            IpAddr::V6(v6) => self.maps.ipv6.update(&v6.octets(), &value),
        }
        .map_err(|e| full(e, "addresses of one family", MAX_ADDRESSES))
    }

    pub(super) fn remove_entry(&self, address: IpAddr) -> Result<(), GateError> {
        match address {
            IpAddr::V4(v4) => self.maps.ipv4.delete(&v4.octets())?,
            IpAddr::V6(v6) => self.maps.ipv6.delete(&v6.octets())?,
        };
        Ok(())
    }

    pub(super) fn put_deadline(
        &self,
        group: u32,
        until: Instant,
        newcomers: Newcomers,
    ) -> Result<bool, GateError> {
        let refuses = u64::from(REFUSES_NEWCOMERS);
        // Never later than asked for.
        let until = match newcomers {
            Newcomers::Admitted => until.as_nanos() & !refuses,
            Newcomers::Refused => until.as_nanos().saturating_sub(1) | refuses,
        };
        self.maps
            .deadlines
            .update(&group.to_ne_bytes(), &until.to_ne_bytes())
            .map_err(|e| full(e, "lease groups", MAX_GROUPS))
            .map(|()| true)
    }

    /// Marks the deadline that the kernel holds; false where there is none, or a past one.
    pub(super) fn refuse_newcomers(&self, group: u32) -> Result<bool, GateError> {
        // What the kernel held a moment ago opens nothing that was closed: only this process writes.
        let held = self.deadline(&group.to_ne_bytes())?;
        match held.filter(|until| clock::boot_time() < *until) {
            Some(until) => self.put_deadline(group, until, Newcomers::Refused),
            None => Ok(false),
        }
    }

    /// Of an earlier process: the lowest bit meant a nanosecond to an earlier version, and which of its groups were
    /// about to be closed is not known any more.
    fn admit_newcomers(&self) -> Result<(), GateError> {
        for held in self.deadlines()? {
            self.put_deadline(held.group, held.until, Newcomers::Admitted)?;
        }
        Ok(())
    }

    fn deadline(&self, group: &[u8]) -> Result<Option<Instant>, GateError> {
        let mut value = [0; 8];
        let held = self.maps.deadlines.lookup(group, &mut value)?;
        Ok(held.then(|| Instant::from_nanos(u64::from_ne_bytes(value))))
    }

    pub(super) fn remove_deadline(&self, group: u32) -> Result<(), GateError> {
        self.maps.deadlines.delete(&group.to_ne_bytes())?;
        Ok(())
    }

    pub(super) fn deadlines(&self) -> Result<Vec<Deadline>, GateError> {
        let mut deadlines = Vec::new();
        for key in self.maps.deadlines.keys()? {
            let Ok(group) = <[u8; 4]>::try_from(key.as_slice()) else { continue };
            if let Some(until) = self.deadline(&key)? {
                deadlines.push(Deadline { group: u32::from_ne_bytes(group), until });
            }
        }
        deadlines.sort_unstable();
        Ok(deadlines)
    }
}

impl BpfUpkeep {
    pub(super) fn remove_all(mut self) -> Result<(), GateError> {
        for device in list(&mut self.devices)? {
            for hook in HOOKS {
                for means in [Means::Tcx, Means::Clsact] {
                    let channel = self.devices.requests();
                    match self.hooks.remove(channel, means, device.index, hook) {
                        Err(refusal) if !refusal.device_gone() && means == self.hooks.means => {
                            return Err(refused(&device, hook, &refusal));
                        }
                        Ok(()) | Err(_) => {}
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn status(&self) -> Status {
        Status {
            back_end: match self.hooks.means {
                Means::Tcx => BackEnd::Tcx,
                Means::Clsact => BackEnd::Clsact,
            },
            devices: self.known.values().cloned().collect(),
            missing: self.missing.clone(),
        }
    }

    pub(super) fn events(&self) -> BorrowedFd<'_> {
        self.devices.events()
    }

    pub(super) fn on_event(&mut self) -> Result<Repair, GateError> {
        let news = self
            .devices
            .news()
            .map_err(|e| GateError::netlink("read news of network devices", e))?;
        let Some(news) = news else {
            return self.repair();
        };
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
        let listed = list(&mut self.devices)?;
        self.known.retain(|index, _| listed.iter().any(|device| device.index == *index));
        self.missing.clear();
        let mut repair = Repair::default();
        for device in &listed {
            self.see_to(device, &mut repair);
        }
        repair.missing.clone_from(&self.missing);
        Ok(repair)
    }

    /// Puts the gate in force on one device.
    fn see_to(&mut self, device: &Device, repair: &mut Repair) {
        let before = self.known.remove(&device.index);
        let mut now = DeviceHooks {
            index: device.index,
            name: device.name.clone(),
            port: device.port,
            hooks: Vec::new(),
        };
        for hook in HOOKS {
            let wanted = wanted(device, hook)
                .and_then(|variant| self.programs.iter().find(|p| p.variant == variant));
            let channel = self.devices.requests();
            match self.hooks.ensure(channel, device.index, hook, wanted) {
                Ok(ensured) => {
                    if wanted.is_some() {
                        now.hooks.push(hook);
                    }
                    let lost = before.as_ref().is_some_and(|b| b.hooks.contains(&hook));
                    if ensured == Ensured::Put {
                        self.leave_other_means(device, hook);
                    }
                    match ensured {
                        Ensured::InForce => {}
                        Ensured::Put if lost => repair.restored.push((now.name.clone(), hook)),
                        Ensured::Put => repair.added.push((now.name.clone(), hook)),
                    }
                }
                Err(refusal) if refusal.device_gone() => return,
                Err(refusal) => self.missing.push(Missing {
                    index: device.index,
                    name: device.name.clone(),
                    hook,
                    reason: refusal.text,
                }),
            }
        }
        self.known.insert(device.index, now);
    }

    /// Takes off what an earlier process held by the other means, where this one is in force now: a program of before
    /// is better than none.
    fn leave_other_means(&mut self, device: &Device, hook: Hook) {
        if self.missing.iter().any(|it| (it.index, it.hook) == (device.index, hook)) {
            return;
        }
        let other = match self.hooks.means {
            Means::Tcx => Means::Clsact,
            Means::Clsact => Means::Tcx,
        };
        let channel = self.devices.requests();
        if let Err(refusal) = self.hooks.remove(channel, other, device.index, hook) {
            tracing::debug!(device = device.name, %hook, reason = refusal.text,
                "cannot look for programs held by the other kind of hook");
        }
    }
}

fn wanted(device: &Device, hook: Hook) -> Option<Variant> {
    match (device.port, hook) {
        (true, Hook::Ingress) => None,
        (true, Hook::Egress) => {
            Some(Variant { port: true, ..Variant::plain(hook, Framing::Ethernet) })
        }
        (false, _) => Some(Variant::plain(hook, device.framing)),
    }
}

fn list(devices: &mut Devices) -> Result<Vec<Device>, GateError> {
    devices.list().map_err(|e| GateError::netlink("list network devices", e))
}

/// The programs and maps an earlier process left, if any.
fn find(
    hooks: &mut Hooks,
    devices: &mut Devices,
    listed: &[Device],
) -> Result<Option<(Maps, Vec<super::hooks::Found>)>, GateError> {
    let mut programs: Vec<super::hooks::Found> = Vec::new();
    let mut home = None;
    let means: &[Means] =
        if Hooks::tcx_supported() { &[Means::Tcx, Means::Clsact] } else { &[Means::Clsact] };
    for device in listed {
        for hook in HOOKS {
            for &means in means {
                let found = match hooks.ours(devices.requests(), means, device.index, hook) {
                    Ok(found) => found,
                    Err(refusal) if refusal.device_gone() => continue,
                    Err(refusal) => return Err(refused(device, hook, &refusal)),
                };
                for one in found {
                    if programs.iter().all(|p| p.info.id != one.info.id) {
                        home.get_or_insert(device.index);
                        programs.push(one);
                    }
                }
            }
        }
    }
    let Some(device) = home else {
        return Ok(None);
    };
    let maps = adopt(&hooks.identity, device, &programs[0].info.map_ids)?;
    Ok(Some((maps, programs)))
}

fn adopt(identity: &Identity, device: u32, map_ids: &[u32]) -> Result<Maps, GateError> {
    let mut found: BTreeMap<String, Map> = BTreeMap::new();
    for &id in map_ids {
        let map = Map::from_id(id)?;
        found.insert(map.info()?.name, map);
    }
    let mut take = |suffix: &str, key: u32, max: u32| {
        let name = identity.name(suffix);
        let map = found.remove(&name).ok_or_else(|| GateError::Foreign {
            device,
            found: format!("its program does not refer to a map {name}"),
        })?;
        let info = map.info()?;
        if (info.key_size, info.value_size, info.max_entries) == (key, 8, max) {
            Ok(map)
        } else {
            Err(GateError::Foreign { device, found: format!("its map {name} has another shape") })
        }
    };
    Ok(Maps {
        ipv4: take(IPV4, 4, MAX_ADDRESSES)?,
        ipv6: take(IPV6, 16, MAX_ADDRESSES)?,
        deadlines: take(DEADLINES, 4, MAX_GROUPS)?,
    })
}

const IPV4: &str = "v4";
const IPV6: &str = "v6";
const DEADLINES: &str = "dl";

fn create(identity: &Identity) -> Result<Maps, GateError> {
    let map = |suffix: &str, key, max| Map::create(&identity.name(suffix), key, 8, max);
    Ok(Maps {
        ipv4: map(IPV4, 4, MAX_ADDRESSES)?,
        ipv6: map(IPV6, 16, MAX_ADDRESSES)?,
        deadlines: map(DEADLINES, 4, MAX_GROUPS)?,
    })
}

/// Loads every variant; where an earlier process left the same code on the same maps, that is kept.
fn load(
    identity: &Identity,
    maps: &Maps,
    old: Vec<super::hooks::Found>,
) -> Result<Vec<Loaded>, GateError> {
    let mut old = old;
    let mut programs = Vec::new();
    for variant in Variant::ALL {
        let name = identity.name(variant.suffix());
        let code = program::code(variant, maps).map_err(BpfError::from)?;
        let program = Program::load(&name, &code)?;
        let info = program.info()?;
        let same = old.iter().position(|o| {
            (&o.info.name, o.info.tag, &o.info.map_ids) == (&info.name, info.tag, &info.map_ids)
        });
        programs.push(match same {
            Some(place) => {
                let kept = old.swap_remove(place);
                Loaded { variant, program: kept.program, info: kept.info }
            }
            None => Loaded { variant, program, info },
        });
    }
    Ok(programs)
}

/// The kernel's programs must read the clock this process reads: not so inside a time namespace.
fn check_clock() -> Result<(), GateError> {
    let code = program::clock_code().map_err(BpfError::from)?;
    let program = Program::load("hv_clock", &code).map_err(unsupported)?;
    let before = clock::boot_time();
    let kernel = program.test_run(&ANY_FRAME, 1)?.verdict;
    let after = clock::boot_time();
    let unit = |at: Instant| at.as_nanos() / CLOCK_UNIT_NANOS;
    // The answer holds the low 32 bits (78 hours): the first moment from one unit before on that matches.
    let start = unit(before).saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are meant")]
    let ahead = u64::from(kernel.wrapping_sub(start as u32));
    if start + ahead <= unit(after) + 1 {
        Ok(())
    } else {
        Err(GateError::Clock { process: before })
    }
}

fn unsupported(error: BpfError) -> GateError {
    match error.errno() {
        Some(libc::ENOSYS) => GateError::Unsupported {
            what: "BPF (the system call bpf is missing or forbidden)",
            remedy: "use a kernel with CONFIG_BPF_SYSCALL, or allow bpf where a container's seccomp \
                     filter forbids it",
        },
        Some(libc::EINVAL) => GateError::Unsupported {
            what: "boot-time clock for BPF programs",
            remedy: "use kernel 5.8 or later",
        },
        _ => error.into(),
    }
}

fn refused(device: &Device, hook: Hook, refusal: &Refusal) -> GateError {
    let source = refusal.errno.map_or_else(
        || std::io::Error::other(refusal.text.clone()),
        std::io::Error::from_raw_os_error,
    );
    GateError::netlink(format!("look at {hook} of device {}", device.name), source)
}

fn full(error: BpfError, what: &'static str, limit: u32) -> GateError {
    if error.errno() == Some(libc::E2BIG) { GateError::Full { what, limit } } else { error.into() }
}

fn address(key: &[u8]) -> Option<IpAddr> {
    match key.len() {
        4 => <[u8; 4]>::try_from(key).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(key).ok().map(IpAddr::from),
        _ => None,
    }
}

/// How the programs see a kind; the high bits only tell kinds apart when they are read back.
const fn flags(kind: EntryKind) -> u32 {
    match kind {
        EntryKind::Exclusive => 0,
        EntryKind::RealServer => TRAFFIC_FREE | CLAIM_NEVER,
        EntryKind::BucketSet => 0x100,
        EntryKind::Anycast => 0x200 | TRAFFIC_FREE,
    }
}

const fn kind(flags: u32) -> EntryKind {
    match flags {
        f if f & CLAIM_NEVER != 0 => EntryKind::RealServer,
        f if f & TRAFFIC_FREE != 0 => EntryKind::Anycast,
        f if f & 0x100 != 0 => EntryKind::BucketSet,
        _ => EntryKind::Exclusive,
    }
}
