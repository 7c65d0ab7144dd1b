//! At every instant at most one host answers under an address that is not `lease=off`, and at most one gate of a lease group is
//! open, whether the address is there or not (ARCHITECTURE §5, L2 and L3 together with the gate).

use std::collections::BTreeMap;
use std::net::IpAddr;

use haven_types::{GroupId, NodeId};

use super::{Hosts, Verdict};
use crate::people::OPEN;

pub(crate) const RULE: &str = "one owner: at most one host answers under an address";

#[derive(Debug, Default)]
pub(crate) struct OneOwner {
    /// Gates seen open, so that a model in which none ever opens does not pass for a good one.
    pub(crate) opened: u64,
}

impl OneOwner {
    pub(crate) fn look(&mut self, at: u64, hosts: &Hosts) -> Verdict {
        let mut open: BTreeMap<GroupId, NodeId> = BTreeMap::new();
        let mut owners: BTreeMap<IpAddr, NodeId> = BTreeMap::new();
        for (node, host) in hosts {
            let now = host.clock.at(at);
            for (group, until) in host.kernel.open(now) {
                self.opened += 1;
                if let Some(other) = open.insert(group, *node) {
                    return Err(format!(
                        "the gate of group {group} is open on {other} and on {node}, there until {until:?} of its clock"
                    ));
                }
            }
            for address in host.kernel.answering(now).filter(|address| *address != OPEN) {
                if let Some(other) = owners.insert(address, *node) {
                    return Err(format!("{address} is answered by {other} and by {node}"));
                }
            }
        }
        Ok(())
    }
}
