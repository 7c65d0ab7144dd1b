//! L8: no address but one with `lease=off` is on a host without standing under its gate, whatever
//! became of the start, of the configuration or of the daemon that put it there.

use super::{Hosts, Verdict};
use crate::people::OPEN;
use haven_types::NodeId;

pub(crate) const RULE: &str =
    "unprotected (L8): only lease=off lets an address live without a gate";

pub(crate) fn look(node: NodeId, hosts: &Hosts) -> Verdict {
    let Some(host) = hosts.get(&node) else { return Ok(()) };
    match host.kernel.ungated().find(|address| *address != OPEN) {
        Some(address) => Err(format!("{address} is on {node} and stands under no gate")),
        None => Ok(()),
    }
}
