//! Hooks on network devices (`tcx`, kernel 6.6 and later).
//!
//! A program attached this way belongs to the device, not to the process: it stays when the process dies.
#![allow(
    unsafe_code,
    reason = "bpf(2) takes addresses; every call here passes slices that outlive it"
)]

use super::{BpfError, Program, sys};

/// `BPF_F_REPLACE`
const REPLACE: u32 = 1 << 2;
/// `BPF_F_BEFORE`: ahead of all others when no relative is named.
const BEFORE: u32 = 1 << 3;
/// Most programs the kernel allows on one hook (`BPF_MPROG_MAX`).
const MAX_PROGRAMS: usize = 64;

/// Where a program sees a device's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// After the driver, before the protocols, netfilter and bridges.
    Ingress,
    /// After the protocols, before the queue and the driver.
    Egress,
}

impl Hook {
    const fn attach_type(self) -> u32 {
        match self {
            Self::Ingress => 46, // BPF_TCX_INGRESS
            Self::Egress => 47,  // BPF_TCX_EGRESS
        }
    }
}

impl std::fmt::Display for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// Numbers of the programs on the device's hook, in the order they run; none on a device without any.
///
/// # Errors
/// EINVAL where the kernel has no `tcx`, ENODEV when the device is gone.
pub fn attached(device: u32, hook: Hook) -> Result<Vec<u32>, BpfError> {
    let mut ids = [0_u32; MAX_PROGRAMS];
    let mut attr = sys::Query {
        target: device,
        attach_type: hook.attach_type(),
        prog_ids: sys::address_mut(&mut ids),
        count: sys::size(MAX_PROGRAMS),
        ..Default::default()
    };
    // SAFETY: `prog_ids` has room for `count` numbers and is borrowed mutably; the other arrays are null.
    match unsafe { sys::bpf(sys::PROG_QUERY, &mut attr) } {
        Ok(_) => Ok(ids[..(attr.count as usize).min(MAX_PROGRAMS)].to_vec()),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(Vec::new()),
        Err(e) => {
            Err(BpfError::command(format!("list the programs at {hook} of device {device}"), e))
        }
    }
}

/// Puts `program` ahead of all others on the device's hook.
///
/// # Errors
/// EEXIST when it is there already, ENODEV when the device is gone, ERANGE when the hook is full.
pub fn attach(device: u32, hook: Hook, program: &Program) -> Result<(), BpfError> {
    let attr = sys::Attach { flags: BEFORE, ..order(device, hook, program) };
    perform(sys::PROG_ATTACH, attr, "attach a program to", device, hook)
}

/// Puts `program` in the place of `old` on the device's hook; every frame meets one or the other.
///
/// # Errors
/// ENOENT when `old` is not there, ENODEV when the device is gone.
pub fn replace(device: u32, hook: Hook, program: &Program, old: &Program) -> Result<(), BpfError> {
    let attr =
        sys::Attach { flags: REPLACE, replace_fd: sys::raw(old), ..order(device, hook, program) };
    perform(sys::PROG_ATTACH, attr, "replace a program at", device, hook)
}

/// Takes `program` off the device's hook.
///
/// # Errors
/// ENOENT when it is not there, ENODEV when the device is gone.
pub fn detach(device: u32, hook: Hook, program: &Program) -> Result<(), BpfError> {
    let attr = order(device, hook, program);
    perform(sys::PROG_DETACH, attr, "detach a program from", device, hook)
}

fn order(device: u32, hook: Hook, program: &Program) -> sys::Attach {
    sys::Attach {
        target: device,
        prog_fd: sys::raw(program),
        attach_type: hook.attach_type(),
        ..Default::default()
    }
}

fn perform(
    command: u32,
    mut attr: sys::Attach,
    verb: &str,
    device: u32,
    hook: Hook,
) -> Result<(), BpfError> {
    // SAFETY: these commands read no memory but `attr`.
    unsafe { sys::bpf(command, &mut attr) }
        .map(|_| ())
        .map_err(|e| BpfError::command(format!("{verb} {hook} of device {device}"), e))
}
