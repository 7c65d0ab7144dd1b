//! Devices on which the kernel's gate is not in force: a line for people, and for agents a place to keep off.

use std::collections::BTreeMap;

use haven_base::IfIndex;
use haven_executor::AgentRegistry;
use haven_host::gate::Missing;

use super::Daemon;

/// Tells every agent where no leased address may be added. Before the first operation, and when it changes.
pub(super) fn tell_agents(agents: &AgentRegistry, missing: &[Missing]) {
    let devices = by_device(missing);
    for agent in agents.iter() {
        agent.ungated(&devices);
    }
}

/// What stands in the way on each device, all of its hooks together.
fn by_device(missing: &[Missing]) -> BTreeMap<IfIndex, String> {
    let mut devices: BTreeMap<IfIndex, String> = BTreeMap::new();
    for Missing { index, hook, reason, .. } in missing {
        let Some(index) = IfIndex::new(*index) else { continue };
        let why = devices.entry(index).or_default();
        if !why.is_empty() {
            why.push_str("; ");
        }
        why.push_str(&format!("{hook}: {reason}"));
    }
    devices
}

impl Daemon {
    pub(super) fn on_gate_missing(&mut self, missing: &[Missing]) {
        // spec: L8
        tell_agents(&self.agents, missing);
        self.gate_missing = missing
            .iter()
            .map(|it| {
                format!(
                    "the gate is not in force on {} ({}): {}; no address is started there under a lease, and one that \
                     is there is not protected",
                    it.name, it.hook, it.reason
                )
            })
            .collect();
        for line in &self.gate_missing {
            tracing::error!("{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use haven_host::bpf::Hook;

    use super::*;

    #[test]
    fn each_device_comes_with_what_stands_in_the_way_of_all_its_hooks() {
        let missing = |index, hook, reason: &str| Missing {
            index,
            name: format!("eth{index}"),
            hook,
            reason: reason.to_owned(),
        };
        let told = by_device(&[
            missing(2, Hook::Ingress, "not permitted"),
            missing(3, Hook::Egress, "busy"),
            missing(2, Hook::Egress, "not supported"),
        ]);
        let index = |n| IfIndex::new(n).unwrap();
        assert_eq!(told.len(), 2);
        assert_eq!(told[&index(2)], "ingress: not permitted; egress: not supported");
        assert_eq!(told[&index(3)], "egress: busy");
    }
}
