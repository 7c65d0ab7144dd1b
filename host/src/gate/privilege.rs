//! What this process must be allowed to do.

use rustix::thread::{CapabilitySet, capabilities};

use super::{Choice, GateError};

/// Maps and programs; hooks; and programs of an earlier process, which are found by number.
const NEEDED: [(CapabilitySet, &str); 3] = [
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
    (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"),
];

pub(super) fn check(choice: Choice) -> Result<(), GateError> {
    let held = capabilities(None)
        .map_err(|e| GateError::Proc {
            path: "the capabilities of this process",
            source: e.into(),
        })?
        .effective;
    let missing: Vec<&'static str> = NEEDED
        .iter()
        .filter(|&&(needed, _)| choice != Choice::Nft || needed == CapabilitySet::NET_ADMIN)
        .filter(|(capability, _)| !held.contains(*capability))
        .map(|&(_, name)| name)
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(GateError::Capability { missing }) }
}
