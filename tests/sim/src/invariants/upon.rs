//! What is ordered after something and placed with it runs only where that runs, at every instant: nothing is started
//! on a node before what it stands upon, nothing is stopped below what still stands upon it, and one thing that is to
//! run once is not started while it runs on another node whose daemon lives and has looked at it: without fencing what a
//! killed daemon leaves runs on until the next one finds it.

use haven_types::NodeId;

use super::{Hosts, Verdict};
use crate::people::vip;

pub(crate) const RULE: &str = "order and colocation hold at every instant, and one runs once";

/// The address of the configuration that this rule is about, by its resource.
pub(crate) const ADDRESS: &str = "vip1";

/// What stands upon what.
const UPON: [(&str, &str); 2] = [(ADDRESS, "web"), ("web", "db")];

#[derive(Debug, Default)]
pub(crate) struct Upon {
    /// Starts and stops seen, so that a world in which nothing happens does not pass for an orderly one.
    pub(crate) effects: u64,
}

impl Upon {
    /// An agent has just started or stopped something.
    pub(crate) fn look(
        &mut self,
        node: NodeId,
        name: &str,
        action: &str,
        hosts: &Hosts,
    ) -> Verdict {
        if !matches!(action, "start" | "stop") {
            return Ok(());
        }
        self.effects += 1;
        for (below, upon) in UPON {
            let wrong = match action {
                "start" => upon == name && !runs(node, below, hosts),
                _ => below == name && runs(node, upon, hosts),
            };
            if wrong {
                return Err(format!("{action} of {name} on {node}: {upon} stands upon {below}"));
            }
        }
        let once = action == "start" && UPON.iter().any(|(_, upon)| *upon == name);
        let alive = |other: &NodeId| {
            hosts
                .get(other)
                .is_some_and(|host| host.process.is_some() && !host.kernel.orphans.contains(name))
        };
        let mut others = hosts.keys().filter(|other| **other != node && alive(other));
        match others.find(|other| once && runs(**other, name, hosts)) {
            Some(other) => Err(format!("{name} is started on {node} and runs on {other}")),
            None => Ok(()),
        }
    }
}

fn runs(node: NodeId, name: &str, hosts: &Hosts) -> bool {
    let Some(host) = hosts.get(&node) else { return false };
    match name {
        ADDRESS => host.kernel.addresses.contains(&vip(1)),
        service => host.kernel.services.contains(service),
    }
}
