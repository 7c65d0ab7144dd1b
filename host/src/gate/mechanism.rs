//! The two back ends behind one face, and the change from one to the other.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use haven_base::Instant;

use super::bpf::{BpfGate, BpfUpkeep};
use super::nft::{NftGate, NftUpkeep};
use super::{Choice, Config, Deadline, Entry, GateError, Newcomers, Repair, Status, clock};

/// The mechanism in use: what a lease changes.
#[derive(Debug)]
pub(super) enum Mechanism {
    Bpf(BpfGate),
    Nft(NftGate),
}

/// The mechanism in use: what keeps it in force.
#[derive(Debug)]
pub(super) enum MechanismUpkeep {
    Bpf(Box<BpfUpkeep>),
    Nft(Box<NftUpkeep>),
}

fn bpf(config: &Config) -> Result<(Mechanism, MechanismUpkeep), GateError> {
    let (gate, upkeep) = BpfGate::open(config)?;
    Ok((Mechanism::Bpf(gate), MechanismUpkeep::Bpf(Box::new(upkeep))))
}

fn nft(config: &Config) -> Result<(Mechanism, MechanismUpkeep), GateError> {
    let (gate, upkeep) = NftGate::open(config)?;
    Ok((Mechanism::Nft(gate), MechanismUpkeep::Nft(Box::new(upkeep))))
}

impl Mechanism {
    /// Puts the mechanism chosen in force, then takes the other kind out of force if an earlier process
    /// left it: what passes must pass both meanwhile, so no frame is lost and none passes wrongly.
    pub(super) fn open(config: &Config) -> Result<(Self, MechanismUpkeep), GateError> {
        let (mut opened, upkeep) = match config.back_end {
            Choice::Nft => nft(config)?,
            Choice::Bpf | Choice::BpfClsact => bpf(config)?,
            Choice::Auto => match bpf(config) {
                Err(error) if error.bpf_refused() => {
                    tracing::warn!(
                        %error,
                        "the gate falls back to nftables: a flush of the ruleset can open it while no daemon runs; \
                         allow bpf(2), or set [gate] backend = \"nft\" if nftables is what you want"
                    );
                    nft(config)?
                }
                other => other?,
            },
        };
        let (old, old_upkeep) = match &opened {
            Self::Bpf(_) if NftGate::left_behind(config) => nft(config)?,
            Self::Nft(_) if BpfGate::left_behind(config) => bpf(config)?,
            Self::Bpf(_) | Self::Nft(_) => return Ok((opened, upkeep)),
        };
        for deadline in old.deadlines()? {
            if deadline.until > clock::boot_time() {
                opened.put_deadline(deadline.group, deadline.until, Newcomers::Admitted)?;
            }
        }
        for entry in old.entries()? {
            opened.put_entry(&entry)?;
        }
        old_upkeep.remove_all()?;
        Ok((opened, upkeep))
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

    /// False where it makes no difference.
    pub(super) fn refuse_newcomers(&mut self, group: u32) -> Result<bool, GateError> {
        match self {
            Self::Bpf(gate) => gate.refuse_newcomers(group),
            Self::Nft(_) => Ok(false),
        }
    }

    /// False, with the group closed, when there was too little time left to write anything.
    pub(super) fn put_deadline(
        &mut self,
        group: u32,
        until: Instant,
        newcomers: Newcomers,
    ) -> Result<bool, GateError> {
        match self {
            Self::Bpf(gate) => gate.put_deadline(group, until, newcomers),
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
}

impl MechanismUpkeep {
    pub(super) fn remove_all(self) -> Result<(), GateError> {
        match self {
            Self::Bpf(upkeep) => upkeep.remove_all(),
            Self::Nft(upkeep) => upkeep.remove_all(),
        }
    }

    pub(super) fn status(&self) -> Status {
        match self {
            Self::Bpf(upkeep) => upkeep.status(),
            Self::Nft(upkeep) => upkeep.status(),
        }
    }

    pub(super) fn events(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Bpf(upkeep) => vec![upkeep.events()],
            Self::Nft(upkeep) => upkeep.events(),
        }
    }

    pub(super) fn on_event(&mut self) -> Result<Repair, GateError> {
        match self {
            Self::Bpf(upkeep) => upkeep.on_event(),
            Self::Nft(upkeep) => upkeep.on_event(),
        }
    }

    pub(super) fn repair(&mut self) -> Result<Repair, GateError> {
        match self {
            Self::Bpf(upkeep) => upkeep.repair(),
            Self::Nft(upkeep) => upkeep.repair(),
        }
    }
}
