//! The network's faults as an nftables ruleset of the bridges' namespace (pure).
//!
//! Frames between nodes are judged in the bridge's forward hook, where both the port a frame came
//! in by and the port it leaves by are known, so clients' paths stay untouched and broadcasts are
//! judged once per receiver. A delayed path is marked there and, at the egress hook of the
//! receiver's port, handed to the relay's cable; the relay sends it past that hook when it is due.

use std::fmt::Write as _;

use crate::fault::NetworkFaults;
use crate::topology::{Net, Node, Topology};

/// A path that the relay delays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayedPath {
    /// Interface that the ruleset hands frames to.
    pub entry: String,
    /// Its peer, where the relay reads them.
    pub intake: String,
    /// The receiver's port, where the relay sends them.
    pub port: String,
    /// Least and greatest delay, in milliseconds.
    pub delay_ms: (u32, u32),
    mark: u32,
}

fn mark(from: &Node, to: &Node, net: Net) -> u32 {
    let bit = u32::from(net == Net::Client);
    0x4800_0000 | u32::from(from.index) << 9 | u32::from(to.index) << 1 | bit
}

/// The paths that need the relay while `faults` last.
#[must_use]
pub fn delayed_paths(topology: &Topology, faults: &NetworkFaults) -> Vec<DelayedPath> {
    let mut paths = Vec::new();
    for (from, to) in topology.pairs() {
        for net in Net::ALL {
            let Some(delay_ms) = faults.path(&from.name, &to.name, net).delay_ms else { continue };
            let port = to.port(net);
            paths.push(DelayedPath {
                entry: format!("r-{}{port}", from.name),
                intake: format!("q-{}{port}", from.name),
                port,
                delay_ms,
                mark: mark(from, to, net),
            });
        }
    }
    paths
}

/// The whole ruleset for `faults`, to be loaded in one transaction; it replaces the one before.
#[must_use]
pub fn ruleset(topology: &Topology, faults: &NetworkFaults) -> String {
    let mut text = String::from(
        "table bridge lab\ndelete table bridge lab\ntable netdev lab\ndelete table netdev lab\n\
         table bridge lab {\n chain forward {\n  type filter hook forward priority 0;\n",
    );
    for node in &faults.cut {
        for net in Net::ALL {
            if let Ok(node) = topology.node(node) {
                let port = node.port(net);
                let _ = writeln!(text, "  iifname \"{port}\" drop;\n  oifname \"{port}\" drop;");
            }
        }
    }
    for (from, to) in topology.pairs() {
        for net in Net::ALL {
            let path = faults.path(&from.name, &to.name, net);
            let ports = format!("  iifname \"{}\" oifname \"{}\"", from.port(net), to.port(net));
            if path.dropped {
                let _ = writeln!(text, "{ports} drop;");
            } else if path.loss_permille > 0 {
                let loss = path.loss_permille;
                let _ = writeln!(text, "{ports} numgen random mod 1000 < {loss} drop;");
            }
            if path.delay_ms.is_some() {
                let _ = writeln!(text, "{ports} meta mark set {:#x};", mark(from, to, net));
            }
        }
    }
    text.push_str(" }\n}\n");
    let delayed = delayed_paths(topology, faults);
    if !delayed.is_empty() {
        text.push_str("table netdev lab {\n");
        for node in &topology.nodes {
            for net in Net::ALL {
                egress_chain(&mut text, &node.port(net), &delayed);
            }
        }
        text.push_str("}\n");
    }
    text
}

fn egress_chain(text: &mut String, port: &str, delayed: &[DelayedPath]) {
    let paths: Vec<_> = delayed.iter().filter(|path| path.port == port).collect();
    if paths.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        " chain to-{port} {{\n  type filter hook egress device \"{port}\" priority 0;"
    );
    for path in paths {
        let _ = writeln!(text, "  meta mark {:#x} fwd to \"{}\";", path.mark, path.entry);
    }
    text.push_str(" }\n");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fault::{Fault, Noise};
    use crate::topology::Family;

    fn rules(list: &[Fault]) -> String {
        let lab = Topology::new("t", 3, false, Family::V4).unwrap();
        let mut faults = NetworkFaults::default();
        list.iter().for_each(|f| faults.add(f));
        ruleset(&lab, &faults)
    }

    #[test]
    fn a_whole_network_has_no_rule() {
        let text = rules(&[]);
        assert!(!text.contains("drop") && !text.contains("egress"), "{text}");
    }

    #[test]
    fn a_cut_drops_both_directions_on_both_networks() {
        let text = rules(&[Fault::Cut("n2".into())]);
        for rule in ["iifname \"n2c\" drop", "oifname \"n2c\" drop", "iifname \"n2h\" drop"] {
            assert!(text.contains(rule), "{rule} missing in {text}");
        }
    }

    #[test]
    fn no_rule_names_the_clients_port() {
        let groups = vec![BTreeSet::from(["n1".to_owned()]), BTreeSet::from(["n2".to_owned()])];
        assert!(!rules(&[Fault::Partition(groups)]).contains("\"client\""));
    }

    #[test]
    fn every_delayed_path_has_a_mark_of_its_own() {
        let lab = Topology::new("t", 30, false, Family::V4).unwrap();
        let mut faults = NetworkFaults::default();
        faults.add(&Fault::Noise(Noise {
            from: BTreeSet::new(),
            to: BTreeSet::new(),
            nets: Net::ALL.into(),
            loss_permille: 200,
            delay_ms: Some((0, 100)),
        }));
        let paths = delayed_paths(&lab, &faults);
        let marks: BTreeSet<u32> = paths.iter().map(|p| p.mark).collect();
        assert_eq!(paths.len(), 30 * 29 * 2);
        assert_eq!(marks.len(), paths.len());
        assert!(paths.iter().all(|p| p.entry.len() <= 15), "interface names have 15 characters");
        assert!(ruleset(&lab, &faults).contains("numgen random mod 1000 < 200 drop"));
    }
}
