//! What the kernel says about its network, as plain values: links, addresses, routes, neighbours.
//!
//! `host` reads and writes them, pure cores decide on them; neither needs the other for that.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// A 48-bit Ethernet hardware address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// `ff:ff:ff:ff:ff:ff`: every station.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// `00:00:00:00:00:00`: "unknown" in an ARP request's target.
    pub const ZERO: Self = Self([0; 6]);

    /// The address in `bytes`, when there are exactly six.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// True when the group bit is set: broadcast or multicast.
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A kernel interface index: positive, stable across a rename, never across a re-creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct IfIndex(pub NonZeroU32);

impl IfIndex {
    /// The index `raw`; none for 0, which the kernel uses for "no interface".
    #[must_use]
    pub fn new(raw: u32) -> Option<Self> {
        NonZeroU32::new(raw).map(Self)
    }

    /// The number as the kernel counts it.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for IfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// RFC 2863 `ifOperStatus` as Linux reports it (`IFLA_OPERSTATE`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum OperState {
    /// The driver does not report it (loopback, tun): taken as usable.
    #[default]
    Unknown,
    /// A component is missing.
    NotPresent,
    /// No carrier, or administratively down.
    Down,
    /// The device below (of a VLAN, macvlan, bond) is down.
    LowerLayerDown,
    /// In a test mode.
    Testing,
    /// Waiting for an external event such as 802.1X.
    Dormant,
    /// Ready to pass packets.
    Up,
}

/// A network interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link {
    /// Its index: the identity.
    pub index: IfIndex,
    /// Its present name (`IFNAMSIZ`: at most 15 bytes).
    pub name: String,
    /// Alternative names (`ip link property add … altname`).
    pub alt_names: Vec<String>,
    /// Its hardware address; none where it is not 6 bytes (InfiniBand, tunnels, loopback is zero).
    pub mac: Option<MacAddr>,
    /// `IFF_UP`: an administrator wants it up.
    pub admin_up: bool,
    /// `IFF_LOWER_UP`: the driver sees a carrier.
    pub carrier: bool,
    /// Operational state.
    pub oper_state: OperState,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
    /// `IFF_NOARP`: the link resolves no neighbours.
    pub no_arp: bool,
    /// IPv6 forwarding is on: this host answers as a router there.
    pub ipv6_forwarding: bool,
    /// The device that delivers it (`IFLA_PARENT_DEV_NAME`, for example a PCI address), where known.
    pub parent_device: Option<String>,
}

/// How long the kernel keeps an address (`ifa_cacheinfo`), in whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Lifetime {
    /// Until somebody deletes it.
    Forever,
    /// This many seconds from the moment of writing or reading, 0 to 4 294 967 294.
    Seconds(u32),
}

/// One address on one interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Address {
    /// The interface that has it.
    pub index: IfIndex,
    /// The address itself.
    pub ip: IpAddr,
    /// Prefix length, 0 to 32 or 0 to 128.
    pub prefix_len: u8,
    /// IPv4 broadcast address.
    pub broadcast: Option<Ipv4Addr>,
    /// IPv4 label (`eth0:vip`).
    pub label: Option<String>,
    /// Flags.
    pub flags: AddressFlags,
    /// `IFA_PROTO` (kernel 5.18): who configured it; 0 is unspecified.
    pub protocol: u8,
    /// Time until the kernel removes it.
    pub valid: Lifetime,
    /// Time until it is deprecated, that is no longer chosen as a source.
    pub preferred: Lifetime,
}

/// `IFA_F_*` flags that matter here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AddressFlags {
    /// Duplicate address detection is skipped (IPv6).
    pub nodad: bool,
    /// Duplicate address detection still runs (IPv6): the address does not answer yet.
    pub tentative: bool,
    /// Another station answered duplicate address detection (IPv6): unusable.
    pub dad_failed: bool,
    /// No route to the prefix was made.
    pub noprefixroute: bool,
    /// Another address of the same prefix is primary; it goes when that one goes (IPv4).
    pub secondary: bool,
}

/// A change to the kernel's addresses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AddressChange {
    /// Add the address, or give an existing one these lifetimes and flags. `secondary`, `tentative`
    /// and `dad_failed` are the kernel's to set and are ignored.
    Set(Address),
    /// Remove the address.
    Delete {
        /// Interface.
        index: IfIndex,
        /// Address.
        ip: IpAddr,
        /// Its prefix length.
        prefix_len: u8,
    },
    /// Give an IPv6 address (/128) a source selection label of its own (RFC 6724 §2.1).
    Label {
        /// Address.
        ip: Ipv6Addr,
        /// Label number, below 4 294 967 295.
        label: u32,
    },
    /// Remove that label.
    Unlabel {
        /// Address.
        ip: Ipv6Addr,
        /// Label number it was given.
        label: u32,
    },
}

/// A unicast route of the main table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Route {
    /// Destination network.
    pub destination: IpAddr,
    /// Its prefix length; 0 is the default route.
    pub prefix_len: u8,
    /// Next hop; none when the network is on the link itself.
    pub gateway: Option<IpAddr>,
    /// Interface it leaves by.
    pub index: IfIndex,
    /// Metric; lower wins.
    pub metric: u32,
}

/// What the kernel knows about a neighbour's hardware address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Neighbour {
    /// Interface it was seen on.
    pub index: IfIndex,
    /// Its address.
    pub ip: IpAddr,
    /// Its hardware address, unknown while unresolved.
    pub mac: Option<MacAddr>,
    /// True for `NUD_REACHABLE`, `NUD_DELAY` and `NUD_PROBE`: in use lately.
    pub recent: bool,
    /// True when the neighbour calls itself a router (`NTF_ROUTER`, IPv6).
    pub router: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_prints_as_people_write_it() {
        assert_eq!(MacAddr([2, 0, 0x5e, 0, 0x10, 0x33]).to_string(), "02:00:5e:00:10:33");
        assert!(MacAddr::BROADCAST.is_group());
        assert!(MacAddr::from_slice(&[1, 2, 3]).is_none());
    }

    #[test]
    fn index_zero_is_no_interface() {
        assert!(IfIndex::new(0).is_none());
        assert_eq!(IfIndex::new(3).map(IfIndex::get), Some(3));
    }
}
