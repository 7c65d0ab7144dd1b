//! Which of the gate's programs are on which device, by either kind of hook.

use std::collections::BTreeSet;
use std::io;

use super::clsact;
use super::netlink::Channel;
use super::program::Variant;
use crate::bpf::{BpfError, Hook, Program, ProgramInfo, attach, attached, detach, replace};

/// How programs are held at a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    Tcx,
    Clsact,
}

/// Names of this gate's objects in the kernel: version of their layout, digest of instance and namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    digest: u32,
}

/// Raised when the maps change their meaning in a way that [`super::Gate::open`] cannot mend.
const LAYOUT: u8 = 1;

impl Identity {
    pub(super) fn new(instance: &str, namespace: u64) -> Self {
        // FNV-1a: a name, not a secret.
        let digest = instance
            .bytes()
            .chain(namespace.to_le_bytes())
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self { digest }
    }

    /// At most 15 bytes: `hv1`, eight hexadecimal digits, `_`, up to three letters.
    pub(super) fn name(&self, suffix: &str) -> String {
        format!("hv{LAYOUT}{:08x}_{suffix}", self.digest)
    }

    /// Whether `name` is of this gate, of this or another layout.
    fn matches(&self, name: &str) -> bool {
        name.starts_with("hv") && name.get(3..12) == Some(&format!("{:08x}_", self.digest))
    }

    /// Never 0, which would let the kernel choose.
    fn handle(&self) -> u32 {
        self.digest.max(1)
    }
}

/// One of our programs, found on a device.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) program: Program,
    pub(super) info: ProgramInfo,
}

/// A program to put on devices.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) variant: Variant,
    pub(super) program: Program,
    pub(super) info: ProgramInfo,
}

/// What [`Hooks::ensure`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ensured {
    /// As it should be already.
    InForce,
    /// Put there, in place of an older program or of nothing.
    Put,
}

/// Puts programs on devices and finds them again.
#[derive(Debug)]
pub(super) struct Hooks {
    pub(super) identity: Identity,
    pub(super) means: Means,
    /// Numbers of programs that are not ours, so that they are opened once only.
    foreign: BTreeSet<u32>,
}

/// The kernel's answer for people and for decisions.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) errno: Option<i32>,
    pub(super) text: String,
}

impl Refusal {
    /// The device has gone meanwhile.
    pub(super) fn device_gone(&self) -> bool {
        self.errno == Some(libc::ENODEV)
    }
}

impl From<BpfError> for Refusal {
    fn from(error: BpfError) -> Self {
        Self { errno: error.errno(), text: error.to_string() }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { errno: error.raw_os_error(), text: error.to_string() }
    }
}

/// Most foreign program numbers remembered.
const MAX_FOREIGN: usize = 1_024;

impl Hooks {
    pub(super) fn new(identity: Identity, means: Means) -> Self {
        Self { identity, means, foreign: BTreeSet::new() }
    }

    /// Whether the kernel has `tcx`: a device that cannot exist is what it complains about then.
    pub(super) fn tcx_supported() -> bool {
        match attached(0, Hook::Ingress) {
            Ok(_) => true,
            Err(e) => e.errno() == Some(libc::ENODEV),
        }
    }

    /// Our programs on the device's hook held by `means`.
    pub(super) fn ours(
        &mut self,
        channel: &mut Channel,
        means: Means,
        device: u32,
        hook: Hook,
    ) -> Result<Vec<Found>, Refusal> {
        let ids: Vec<u32> = match means {
            Means::Tcx => attached(device, hook)?,
            Means::Clsact => clsact::filters(channel, device, hook)?
                .into_iter()
                .filter(|filter| self.identity.matches(&filter.name))
                .map(|filter| filter.program_id)
                .collect(),
        };
        let mut found = Vec::new();
        for id in ids {
            if self.foreign.contains(&id) {
                continue;
            }
            let program = match Program::from_id(id) {
                Ok(program) => program,
                Err(e) if e.errno() == Some(libc::ENOENT) => continue,
                Err(e) => return Err(e.into()),
            };
            let info = program.info()?;
            if self.identity.matches(&info.name) {
                found.push(Found { program, info });
            } else if self.foreign.len() < MAX_FOREIGN {
                self.foreign.insert(id);
            }
        }
        Ok(found)
    }

    /// Sees to it that `wanted`, and no other program of ours, is on the device's hook.
    pub(super) fn ensure(
        &mut self,
        channel: &mut Channel,
        device: u32,
        hook: Hook,
        wanted: Option<&Loaded>,
    ) -> Result<Ensured, Refusal> {
        let mut found = self.ours(channel, self.means, device, hook)?;
        let Some(wanted) = wanted else {
            return self.clear(channel, device, hook, &found);
        };
        let place = found.iter().position(|f| f.info.id == wanted.info.id);
        if let Some(place) = place {
            found.remove(place);
            // With `clsact` ours share one handle, so there are no others.
            for other in &found {
                detach(device, hook, &other.program)?;
            }
            return Ok(Ensured::InForce);
        }
        match (self.means, found.split_first()) {
            (Means::Clsact, _) => {
                let program = (&wanted.program, wanted.info.name.as_str());
                clsact::put(channel, device, hook, self.identity.handle(), program)?;
            }
            (Means::Tcx, None) => attach(device, hook, &wanted.program)?,
            (Means::Tcx, Some((old, others))) => {
                replace(device, hook, &wanted.program, &old.program)?;
                for other in others {
                    detach(device, hook, &other.program)?;
                }
            }
        }
        Ok(Ensured::Put)
    }

    /// Takes ours off the device's hook, held by whichever means.
    pub(super) fn remove(
        &mut self,
        channel: &mut Channel,
        means: Means,
        device: u32,
        hook: Hook,
    ) -> Result<(), Refusal> {
        let found = self.ours(channel, means, device, hook)?;
        let current = std::mem::replace(&mut self.means, means);
        let cleared = self.clear(channel, device, hook, &found);
        self.means = current;
        cleared.map(|_| ())
    }

    fn clear(
        &self,
        channel: &mut Channel,
        device: u32,
        hook: Hook,
        found: &[Found],
    ) -> Result<Ensured, Refusal> {
        if found.is_empty() {
            return Ok(Ensured::InForce);
        }
        match self.means {
            Means::Clsact => clsact::take(channel, device, hook, self.identity.handle())?,
            Means::Tcx => {
                for other in found {
                    detach(device, hook, &other.program)?;
                }
            }
        }
        Ok(Ensured::Put)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_tell_gates_apart() {
        let mine = Identity::new("n1", 4_026_531_840);
        let others = [Identity::new("n2", 4_026_531_840), Identity::new("n1", 4_026_531_841)];
        let name = mine.name("oue");
        assert!(name.len() <= crate::bpf::NAME_LEN, "{name}");
        assert!(mine.matches(&name));
        assert!(mine.matches(&name.replacen("hv1", "hv2", 1)), "another layout is still ours");
        for other in others {
            assert!(!other.matches(&name));
        }
        assert!(!mine.matches("cil_from_netdev"));
        assert!(!mine.matches(""));
    }
}
