//! Faults: what a person asks for, and the state of the network that follows from it.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::LabError;
use crate::topology::{Net, Topology};

/// Loss and delay between nodes, drawn for every packet on its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noise {
    /// Senders concerned; empty means all nodes.
    pub from: BTreeSet<String>,
    /// Receivers concerned; empty means all nodes.
    pub to: BTreeSet<String>,
    /// Networks concerned.
    pub nets: BTreeSet<Net>,
    /// Share of packets lost, in thousandths (0..=1000).
    pub loss_permille: u16,
    /// Least and greatest delay of a packet, in milliseconds; equal ends mean a constant delay.
    pub delay_ms: Option<(u32, u32)>,
}

impl Noise {
    fn concerns(&self, from: &str, to: &str, net: Net) -> bool {
        let in_set = |set: &BTreeSet<String>, name: &str| set.is_empty() || set.contains(name);
        in_set(&self.from, from) && in_set(&self.to, to) && self.nets.contains(&net)
    }
}

/// What can be done to a lab. Faults of processes take effect once, faults of the network last
/// until they are healed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to every process of the node; the kernel keeps its addresses.
    Kill(String),
    /// SIGSTOP to every process of the node.
    Pause(String),
    /// SIGCONT to every process of the node.
    Resume(String),
    /// Every frame from and to the node is dropped while its carrier stays.
    Cut(String),
    /// The bridge ports of the node go down: it loses the carrier.
    LinkDown(String),
    /// Nodes of different groups do not hear each other on either network; clients reach all.
    Partition(Vec<BTreeSet<String>>),
    /// Loss and delay between nodes.
    Noise(Noise),
}

/// The lasting faults of a lab's network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFaults {
    /// Nodes whose frames are all dropped.
    pub cut: BTreeSet<String>,
    /// Nodes whose ports are down.
    pub link_down: BTreeSet<String>,
    /// Groups that do not hear each other; empty when there is no partition.
    pub partition: Vec<BTreeSet<String>>,
    /// Noise; where two concern a packet the later one counts.
    pub noise: Vec<Noise>,
}

/// What happens to packets from one node to another on one network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathState {
    /// No packet passes.
    pub dropped: bool,
    /// Share of packets lost, in thousandths.
    pub loss_permille: u16,
    /// Least and greatest delay, in milliseconds.
    pub delay_ms: Option<(u32, u32)>,
}

impl NetworkFaults {
    /// Whether the network is whole.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds a lasting fault; faults of processes leave the network as it is.
    pub fn add(&mut self, fault: &Fault) {
        match fault {
            Fault::Kill(_) | Fault::Pause(_) | Fault::Resume(_) => {}
            Fault::Cut(node) => drop(self.cut.insert(node.clone())),
            Fault::LinkDown(node) => drop(self.link_down.insert(node.clone())),
            Fault::Partition(groups) => self.partition.clone_from(groups),
            Fault::Noise(noise) => self.noise.push(noise.clone()),
        }
    }

    /// Takes back what was done to `node` alone; partition and noise concern several and stay.
    pub fn heal_node(&mut self, node: &str) {
        self.cut.remove(node);
        self.link_down.remove(node);
    }

    /// What happens to a packet from node `from` to node `to` on `net`.
    #[must_use]
    pub fn path(&self, from: &str, to: &str, net: Net) -> PathState {
        let apart = !self.partition.is_empty() && self.group(from) != self.group(to);
        let noise = self.noise.iter().rev().find(|n| n.concerns(from, to, net));
        PathState {
            dropped: apart || self.cut.contains(from) || self.cut.contains(to),
            loss_permille: noise.map_or(0, |n| n.loss_permille),
            delay_ms: noise.and_then(|n| n.delay_ms),
        }
    }

    /// A node that no group names is alone with the others that no group names.
    fn group(&self, node: &str) -> Option<usize> {
        self.partition.iter().position(|group| group.contains(node))
    }
}

impl Fault {
    /// Reads `n1,n2|n3` as the groups of a partition.
    ///
    /// # Errors
    /// [`LabError::BadFault`] when there are fewer than two groups or a node is in two;
    /// [`LabError::NoSuchNode`] for a name the lab does not have.
    pub fn partition(text: &str, topology: &Topology) -> Result<Self, LabError> {
        let mut seen = BTreeSet::new();
        let mut groups = Vec::new();
        for part in text.split('|') {
            let mut group = BTreeSet::new();
            for name in part.split(',').map(str::trim).filter(|n| !n.is_empty()) {
                let node = topology.node(name)?.name.clone();
                if !seen.insert(node.clone()) {
                    let reason = format!("node {node} stands in two groups of {text:?}");
                    return Err(LabError::BadFault { reason });
                }
                group.insert(node);
            }
            if !group.is_empty() {
                groups.push(group);
            }
        }
        let rest: BTreeSet<String> =
            topology.nodes.iter().map(|n| n.name.clone()).filter(|n| !seen.contains(n)).collect();
        if !rest.is_empty() {
            groups.push(rest);
        }
        if groups.len() < 2 {
            let reason = format!("{text:?} has one side only; write the sides as n1,n2|n3");
            return Err(LabError::BadFault { reason });
        }
        Ok(Self::Partition(groups))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(node) => write!(f, "kill -9 of everything on {node}"),
            Self::Pause(node) => write!(f, "pause {node}"),
            Self::Resume(node) => write!(f, "resume {node}"),
            Self::Cut(node) => write!(f, "cut {node} off, carrier stays"),
            Self::LinkDown(node) => write!(f, "ports of {node} down"),
            Self::Partition(groups) => {
                let sides = groups.iter().map(|g| g.iter().cloned().collect::<Vec<_>>().join(","));
                write!(f, "partition {}", sides.collect::<Vec<_>>().join(" | "))
            }
            Self::Noise(noise) => {
                write!(f, "noise: {} ‰ lost", noise.loss_permille)?;
                noise.delay_ms.map_or(Ok(()), |(a, b)| write!(f, ", {a}–{b} ms delay"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Family;

    fn lab() -> Topology {
        Topology::new("t", 3, false, Family::V4).unwrap()
    }

    fn faults(list: &[Fault]) -> NetworkFaults {
        let mut state = NetworkFaults::default();
        list.iter().for_each(|f| state.add(f));
        state
    }

    #[test]
    fn a_partition_separates_sides_and_nothing_else() {
        let state = faults(&[Fault::partition("n1,n2|n3", &lab()).unwrap()]);
        assert!(!state.path("n1", "n2", Net::Client).dropped);
        assert!(state.path("n1", "n3", Net::Client).dropped);
        assert!(state.path("n3", "n2", Net::Heartbeat).dropped);
    }

    #[test]
    fn nodes_left_out_form_the_other_side() {
        let state = faults(&[Fault::partition("n2", &lab()).unwrap()]);
        assert!(state.path("n1", "n2", Net::Client).dropped);
        assert!(!state.path("n1", "n3", Net::Client).dropped);
    }

    #[test]
    fn partitions_that_separate_nothing_are_refused() {
        assert!(Fault::partition("n1,n2,n3", &lab()).is_err());
        assert!(Fault::partition("n1,n2|n2", &lab()).is_err());
        assert!(Fault::partition("n1|n7", &lab()).is_err());
    }

    #[test]
    fn noise_can_be_one_direction_of_one_network() {
        let state = faults(&[Fault::Noise(Noise {
            from: ["n1".to_owned()].into(),
            to: ["n2".to_owned()].into(),
            nets: [Net::Heartbeat].into(),
            loss_permille: 200,
            delay_ms: Some((0, 100)),
        })]);
        assert_eq!(state.path("n1", "n2", Net::Heartbeat).loss_permille, 200);
        assert_eq!(state.path("n2", "n1", Net::Heartbeat), PathState::default());
        assert_eq!(state.path("n1", "n2", Net::Client), PathState::default());
    }

    #[test]
    fn healing_a_node_takes_back_its_own_faults_only() {
        let lab = lab();
        let mut state =
            faults(&[Fault::Cut("n1".into()), Fault::partition("n1|n2,n3", &lab).unwrap()]);
        state.heal_node("n1");
        assert!(state.cut.is_empty() && !state.partition.is_empty());
    }
}
