//! What the gate says about itself.

use crate::bpf::Hook;

/// The mechanism in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackEnd {
    /// BPF programs on `tcx` hooks.
    Tcx,
    /// BPF programs on `clsact`.
    Clsact,
    /// A table of nftables: on kernels before 6.9 a flush of the ruleset by others opens it until
    /// [`super::Upkeep::on_event`] hears of it; frames with VLAN tags in line are not judged.
    Nftables,
}

/// One device under the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceHooks {
    /// The kernel's number for the device.
    pub index: u32,
    /// Its name when it was last heard of.
    pub name: String,
    /// A bridge port: what passes through it is judged at the bridge device.
    pub port: bool,
    /// The hooks that hold the gate's programs.
    pub hooks: Vec<Hook>,
}

/// A hook that could not be put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The kernel's number for the device.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The hook, or none when the device could not be looked at.
    pub hook: Hook,
    /// The kernel's answer, for people.
    pub reason: String,
}

/// The gate's state; see [`super::Upkeep::status`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The mechanism in use.
    pub back_end: BackEnd,
    /// Every device but loopback ones, by index.
    pub devices: Vec<DeviceHooks>,
    /// What is not in force and why; an address on such a device is not protected.
    pub missing: Vec<Missing>,
}

/// What a look at the kernel changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repair {
    /// Hooks put in force on devices that were not known.
    pub added: Vec<(String, Hook)>,
    /// Hooks that had been in force and were gone: somebody took them away.
    pub restored: Vec<(String, Hook)>,
    /// Hooks that are not in force now.
    pub missing: Vec<Missing>,
}
