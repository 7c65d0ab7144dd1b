//! What a lab consists of and what everything in it is called: derived, never discovered.
//!
//! A lab is one namespace per node, one for the client, and one for the two bridges, so that the
//! host's own namespace is never touched. Node *i* has the last address byte *i* on both networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::error::LabError;

/// The most nodes one lab can hold; the limit is the width of the names and of the packet marks.
pub const MAX_NODES: u8 = 30;

/// UDP and TCP port of the small service that runs on every node behind the VIP.
pub const SERVICE_PORT: u16 = 7700;

/// UDP port of the heartbeats, TCP port of the reliable channel is the next one.
pub const HEARTBEAT_PORT: u16 = 5405;

/// Which address families a lab uses for links and VIPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Family {
    /// IPv4 links, one IPv4 VIP.
    #[value(name = "4")]
    V4,
    /// IPv6 links, one IPv6 VIP.
    #[value(name = "6")]
    V6,
    /// Link 0 over IPv4, link 1 over IPv6, one VIP of each family.
    #[value(name = "both")]
    Both,
}

/// One of the two networks of a lab.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Net {
    /// Link 0: heartbeats between nodes, nothing else.
    #[value(name = "hb")]
    Heartbeat,
    /// Link 1: clients, VIPs, and heartbeats as well.
    #[value(name = "client")]
    Client,
}

impl Net {
    /// Both networks, heartbeat first.
    pub const ALL: [Self; 2] = [Self::Heartbeat, Self::Client];

    /// The interface's name inside a node.
    #[must_use]
    pub const fn interface(self) -> &'static str {
        match self {
            Self::Heartbeat => "hb",
            Self::Client => "client",
        }
    }

    /// The bridge's name in the namespace of the bridges.
    #[must_use]
    pub const fn bridge(self) -> &'static str {
        match self {
            Self::Heartbeat => "br-hb",
            Self::Client => "br-client",
        }
    }

    const fn subnet(self) -> u8 {
        match self {
            Self::Heartbeat => 0,
            Self::Client => 1,
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Heartbeat => 'h',
            Self::Client => 'c',
        }
    }

    /// Address of host `host` (1..=254) of this network; `v6` chooses the family.
    #[must_use]
    pub const fn address(self, host: u8, v6: bool) -> IpAddr {
        if v6 {
            // The decimal text of the host number is kept readable: host 250 is ::250.
            let digits =
                (host / 100) as u16 * 256 + (host / 10 % 10) as u16 * 16 + (host % 10) as u16;
            IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, self.subnet() as u16, 0, 0, 0, digits))
        } else {
            IpAddr::V4(Ipv4Addr::new(10, 77, self.subnet(), host))
        }
    }
}

/// A member of the lab's cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `n1`, `n2`, …; the witness is `w1`.
    pub name: String,
    /// 1-based position; last byte of the node's addresses.
    pub index: u8,
    /// Votes and answers beats, runs no resource.
    pub witness: bool,
}

impl Node {
    /// Name of the bridge-side end of this node's cable to `net`.
    #[must_use]
    pub fn port(&self, net: Net) -> String {
        format!("{}{}", self.name, net.letter())
    }
}

/// A place where a command can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The namespace of the node with this name.
    Node(String),
    /// The client's namespace.
    Client,
    /// The namespace that holds the two bridges.
    Bridges,
}

/// The plan of a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Name of the lab: 1 to 16 lower-case letters, digits or `-`.
    pub name: String,
    /// Nodes in order of their index; a witness is the last one.
    pub nodes: Vec<Node>,
    /// Address families in use.
    pub family: Family,
}

/// Host number of the client on the client network.
const CLIENT_HOST: u8 = 250;
/// Host number of the VIP on the client network.
const VIP_HOST: u8 = 100;

impl Topology {
    /// Plans a lab of `nodes` full nodes and, if asked, a witness.
    ///
    /// # Errors
    /// [`LabError::BadName`] and [`LabError::BadNodeCount`] when an argument is outside its range.
    pub fn new(name: &str, nodes: u8, witness: bool, family: Family) -> Result<Self, LabError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 16 || !name.chars().all(plain) {
            return Err(LabError::BadName { name: name.to_owned() });
        }
        if nodes == 0 || nodes + u8::from(witness) > MAX_NODES {
            return Err(LabError::BadNodeCount { asked: nodes, most: MAX_NODES });
        }
        let full = (1..=nodes).map(|i| Node { name: format!("n{i}"), index: i, witness: false });
        let last = witness.then(|| Node { name: "w1".to_owned(), index: nodes + 1, witness: true });
        Ok(Self { name: name.to_owned(), nodes: full.chain(last).collect(), family })
    }

    /// Whether the neighbours of all nodes fit a table of `most` entries, which the kernel keeps for each family and
    /// shares among all namespaces. Each node has every other on each network of that family, and the client.
    ///
    /// # Errors
    /// [`LabError::NeighbourTable`] when they do not.
    pub fn fits_neighbours(&self, family: &'static str, most: u32) -> Result<(), LabError> {
        let nodes = u8::try_from(self.nodes.len()).unwrap_or(u8::MAX);
        let over = |net: &Net| self.is_v6(*net) == (family == "ipv6");
        let networks = Net::ALL.iter().filter(|net| over(net)).count();
        let each = u32::try_from(networks).unwrap_or(0) * u32::from(nodes.saturating_sub(1));
        let needed = u32::from(nodes) * (each + 2);
        if needed > most {
            return Err(LabError::NeighbourTable { nodes, needed, most, family });
        }
        Ok(())
    }

    /// What every namespace name of the lab called `name` starts with.
    #[must_use]
    pub fn namespace_prefix(name: &str) -> String {
        format!("hvlab-{name}.")
    }

    /// Name of the namespace of `place`.
    #[must_use]
    pub fn namespace(&self, place: &Place) -> String {
        let prefix = Self::namespace_prefix(&self.name);
        match place {
            Place::Node(node) => format!("{prefix}{node}"),
            Place::Client => format!("{prefix}client"),
            Place::Bridges => format!("{prefix}net"),
        }
    }

    /// Every place of the lab: bridges, client, nodes.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let nodes = self.nodes.iter().map(|n| Place::Node(n.name.clone()));
        [Place::Bridges, Place::Client].into_iter().chain(nodes).collect()
    }

    /// The node called `name`.
    ///
    /// # Errors
    /// [`LabError::NoSuchNode`] names the nodes there are.
    pub fn node(&self, name: &str) -> Result<&Node, LabError> {
        self.nodes.iter().find(|n| n.name == name).ok_or_else(|| LabError::NoSuchNode {
            node: name.to_owned(),
            known: self.nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Nodes that can run resources.
    pub fn workers(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|n| !n.witness)
    }

    /// The families in use, as "is it IPv6".
    #[must_use]
    pub fn families(&self) -> Vec<bool> {
        match self.family {
            Family::V4 => vec![false],
            Family::V6 => vec![true],
            Family::Both => vec![false, true],
        }
    }

    /// The virtual addresses of the lab, one per family.
    #[must_use]
    pub fn vips(&self) -> Vec<IpAddr> {
        self.families().into_iter().map(|v6| Net::Client.address(VIP_HOST, v6)).collect()
    }

    /// The client's addresses on the client network, one per family.
    #[must_use]
    pub fn client_addresses(&self) -> Vec<IpAddr> {
        self.families().into_iter().map(|v6| Net::Client.address(CLIENT_HOST, v6)).collect()
    }

    /// The address `node` uses for its cluster link on `net`.
    #[must_use]
    pub fn link_address(&self, node: &Node, net: Net) -> IpAddr {
        net.address(node.index, self.is_v6(net))
    }

    /// Whether the cluster link on `net` uses IPv6.
    fn is_v6(&self, net: Net) -> bool {
        match self.family {
            Family::V4 => false,
            Family::V6 => true,
            Family::Both => net == Net::Client,
        }
    }

    /// Every ordered pair of different nodes.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&Node, &Node)> {
        let all = self.nodes.iter().flat_map(|a| self.nodes.iter().map(move |b| (a, b)));
        all.filter(|(a, b)| a.index != b.index).collect()
    }
}

/// Prefix length of every network of a lab.
#[must_use]
pub const fn prefix_length(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 24,
        IpAddr::V6(_) => 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_follow_from_the_index() {
        let lab = Topology::new("demo", 3, false, Family::Both).unwrap();
        assert_eq!(lab.namespace(&Place::Node("n2".into())), "hvlab-demo.n2");
        assert_eq!(lab.nodes[1].port(Net::Client), "n2c");
        assert_eq!(lab.link_address(&lab.nodes[1], Net::Heartbeat).to_string(), "10.77.0.2");
        assert_eq!(lab.link_address(&lab.nodes[1], Net::Client).to_string(), "fd77:0:0:1::2");
        let vips: Vec<_> = lab.vips().iter().map(ToString::to_string).collect();
        assert_eq!(vips, ["10.77.1.100", "fd77:0:0:1::100"]);
        assert_eq!(lab.client_addresses()[1].to_string(), "fd77:0:0:1::250");
    }

    #[test]
    fn the_witness_is_one_more_node() {
        let lab = Topology::new("w", 2, true, Family::V4).unwrap();
        assert_eq!(lab.nodes.len(), 3);
        assert_eq!(lab.workers().count(), 2);
        assert_eq!(lab.node("w1").unwrap().index, 3);
    }

    #[test]
    fn more_nodes_than_the_kernel_knows_neighbours_are_refused_with_what_to_do() {
        let of = |nodes, family| Topology::new("many", nodes, false, family).unwrap();
        assert!(of(22, Family::V4).fits_neighbours("ipv4", 1_024).is_ok());
        assert!(of(30, Family::V4).fits_neighbours("ipv6", 1_024).is_ok());
        assert!(of(30, Family::Both).fits_neighbours("ipv4", 1_024).is_ok());
        assert!(of(30, Family::V4).fits_neighbours("ipv4", 8_192).is_ok());
        let refused = of(23, Family::V6).fits_neighbours("ipv6", 1_024).unwrap_err().to_string();
        let remedy = "a lab of 23 nodes has 1058 neighbours, and this kernel keeps 1024 for all namespaces: run \
                      `sysctl -w net.ipv6.neigh.default.gc_thresh3=8192 net.ipv6.neigh.default.gc_thresh2=4096`";
        assert!(refused.starts_with(remedy), "{refused}");
    }

    #[test]
    fn bad_arguments_are_named() {
        assert!(Topology::new("Has Space", 3, false, Family::V4).is_err());
        assert!(Topology::new("", 3, false, Family::V4).is_err());
        assert!(Topology::new("x", 0, false, Family::V4).is_err());
        assert!(Topology::new("x", 30, true, Family::V4).is_err());
        let lab = Topology::new("x", 2, false, Family::V4).unwrap();
        let message = lab.node("n9").unwrap_err().to_string();
        assert!(message.contains("n9") && message.contains("n1, n2"), "{message}");
    }

    #[test]
    fn a_prefix_of_another_labs_name_is_no_prefix_of_its_namespaces() {
        let long = Topology::new("demo2", 1, false, Family::V4).unwrap();
        let prefix = Topology::namespace_prefix("demo");
        assert!(!long.namespace(&Place::Client).starts_with(&prefix));
    }
}
