//! The two back ends behind one face, and the change from one to the other.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use haven_base::Instant;

use super::bpf::BpfGate;
use super::nft::NftGate;
use super::{Choice, Config, Deadline, Entry, GateError, Repair, Status, clock};

/// The mechanism in use.
#[derive(Debug)]
pub(super) enum Mechanism {
    Bpf(Box<BpfGate>),
    Nft(Box<NftGate>),
}

impl Mechanism {
    /// Puts the mechanism chosen in force, then takes the other kind out of force if an earlier process
    /// left it: what passes must pass both meanwhile, so no frame is lost and none passes wrongly.
    pub(super) fn open(config: &Config) -> Result<Self, GateError> {
        let bpf = || BpfGate::open(config).map(|gate| Self::Bpf(Box::new(gate)));
        let nft = || NftGate::open(config).map(|gate| Self::Nft(Box::new(gate)));
        let mut opened = match config.back_end {
            Choice::Nft => nft()?,
            Choice::Bpf | Choice::BpfClsact => bpf()?,
            Choice::Auto => match bpf() {
                Err(error) if error.bpf_refused() => {
                    tracing::warn!(%error, "the gate falls back to nftables");
                    nft()?
                }
                other => other?,
            },
        };
        let old = match &opened {
            Self::Bpf(_) if NftGate::left_behind(config) => nft()?,
            Self::Nft(_) if BpfGate::left_behind(config) => bpf()?,
            Self::Bpf(_) | Self::Nft(_) => return Ok(opened),
        };
        for deadline in old.deadlines()? {
            if deadline.until > clock::boot_time() {
                opened.put_deadline(deadline.group, deadline.until)?;
            }
        }
        for entry in old.entries()? {
            opened.put_entry(&entry)?;
        }
        old.remove_all()?;
        Ok(opened)
    }

    pub(super) fn entries(&self) -> Result<Vec<Entry>, GateError> {
        match self {
            Self::Bpf(gate) => gate.entries(),
            Self::Nft(gate) => Ok(gate.entries()),
        }
    }

    pub(super) fn put_entry(&mut self, entry: &Entry) -> Result<(), GateError> {
        match self {
            Self::Bpf(gate) => gate.put_entry(entry),
            Self::Nft(gate) => gate.put_entry(entry),
        }
    }

    pub(super) fn remove_entry(&mut self, address: IpAddr) -> Result<(), GateError> {
        match self {
            Self::Bpf(gate) => gate.remove_entry(address),
            Self::Nft(gate) => gate.remove_entry(address),
        }
    }

    /// False, with the group closed, when there was too little time left to write anything.
    pub(super) fn put_deadline(&mut self, group: u32, until: Instant) -> Result<bool, GateError> {
        match self {
            Self::Bpf(gate) => gate.put_deadline(group, until),
            Self::Nft(gate) => gate.put_deadline(group, until),
        }
    }

    pub(super) fn remove_deadline(&mut self, group: u32) -> Result<(), GateError> {
        match self {
            Self::Bpf(gate) => gate.remove_deadline(group),
            Self::Nft(gate) => gate.remove_deadline(group),
        }
    }

    pub(super) fn deadlines(&self) -> Result<Vec<Deadline>, GateError> {
        match self {
            Self::Bpf(gate) => gate.deadlines(),
            Self::Nft(gate) => gate.deadlines(),
        }
    }

    pub(super) fn remove_all(self) -> Result<(), GateError> {
        match self {
            Self::Bpf(gate) => gate.remove_all(),
            Self::Nft(gate) => gate.remove_all(),
        }
    }

    pub(super) fn status(&self, entries: usize) -> Status {
        match self {
            Self::Bpf(gate) => gate.status(entries),
            Self::Nft(gate) => gate.status(entries),
        }
    }

    pub(super) fn events(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Bpf(gate) => vec![gate.events()],
            Self::Nft(gate) => gate.events(),
        }
    }

    pub(super) fn on_event(&mut self) -> Result<Repair, GateError> {
        match self {
            Self::Bpf(gate) => gate.on_event(),
            Self::Nft(gate) => gate.on_event(),
        }
    }

    pub(super) fn repair(&mut self) -> Result<Repair, GateError> {
        match self {
            Self::Bpf(gate) => gate.repair(),
            Self::Nft(gate) => gate.repair(),
        }
    }
}
