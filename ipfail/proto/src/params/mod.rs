//! Parameters of the `ip` resource: typed, checked as a whole, every finding at once.

mod error;
mod parse;
pub mod table;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use haven_base::{Lifetime, MacAddr};
use serde::{Deserialize, Serialize};

pub use error::{ParamError, ParamErrors};
pub use parse::{Parsed, parse};

/// `IFA_PROTO` of addresses this agent adds: how it knows its own after a crash.
pub const PROTOCOL_TAG: u8 = 0x68;

/// Most addresses one resource may list.
pub const IPS_MAX: usize = 1024;

/// How the interface is named in the configuration.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum NicSpec {
    /// By its present name.
    Name(String),
    /// By hardware address (`mac=`).
    Mac(MacAddr),
    /// By the device it sits on, such as a PCI address (`path=`).
    Path(String),
    /// By an alternative name (`alt=`).
    Alt(String),
}

impl std::fmt::Display for NicSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Mac(mac) => write!(f, "mac={mac}"),
            Self::Path(path) => write!(f, "path={path}"),
            Self::Alt(alt) => write!(f, "alt={alt}"),
        }
    }
}

/// How the IPv4 broadcast address is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Broadcast {
    /// None is set.
    #[default]
    Unset,
    /// `+`: all host bits set.
    AllOnes,
    /// `-`: all host bits clear.
    AllZeros,
    /// As written.
    Explicit(Ipv4Addr),
}

/// The shape of a burst of announcements.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Burst {
    /// 0, 50, 200, 600, 1200, 2500, 5000 ms.
    #[default]
    Schedule,
    /// `count` frames `interval` apart, the same again 5 s after the last.
    Even {
        /// Spacing, 1 ms to 60 s.
        interval: Duration,
        /// Frames, 1 to 100.
        count: u32,
    },
}

/// Which parts of announcing are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Announce {
    /// The schedule after start.
    pub burst: bool,
    /// Ask whether the address is found; announce again until it is.
    pub confirm: bool,
    /// Once more every 60 s ± 10 %.
    pub refresh: bool,
}

impl Default for Announce {
    fn default() -> Self {
        Self { burst: true, confirm: true, refresh: true }
    }
}

/// What to do when another station claims the address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum OnConflict {
    /// Announce at once, at most once in 10 s, while the lease is valid.
    #[default]
    Defend,
    /// Give the address up and fail.
    Yield,
    /// Keep it and fail the monitor: the operation's `on-fail` decides what follows.
    Fence,
    /// Report only.
    Alert,
}

impl OnConflict {
    /// The word of the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Defend => "defend",
            Self::Yield => "yield",
            Self::Fence => "fence",
            Self::Alert => "alert",
        }
    }
}

/// What to do when somebody changes the address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Reconcile {
    /// Put it back at once.
    #[default]
    Repair,
    /// Tell only.
    Report,
    /// Neither.
    Off,
}

/// The checked parameters of one `ip` resource.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IpParams {
    /// The addresses; at least one, no two alike, in configured order.
    pub ips: Vec<IpAddr>,
    /// The interface; none lets the routes decide.
    pub nic: Option<NicSpec>,
    /// Prefix length; none takes the connected route's.
    pub prefix_len: Option<u8>,
    /// IPv4 broadcast address.
    pub broadcast: Broadcast,
    /// IPv4 label without the interface's name.
    pub label: Option<String>,
    /// Swap with the same address on loopback.
    pub lvs_support: bool,
    /// RFC 6724 label number for IPv6 addresses.
    pub addr_label: Option<u32>,
    /// Preferred lifetime.
    pub preferred: Lifetime,
    /// No route to the prefix.
    pub noprefixroute: bool,
    /// `IFA_PROTO`, 1 to 255.
    pub protocol: u8,
    /// Probe before start (IPv4).
    pub run_arping: bool,
    /// Skip duplicate address detection (IPv6).
    pub nodad: bool,
    /// Shape of a burst.
    pub burst: Burst,
    /// Announcements on each monitor, 0 to 100.
    pub count_refresh: u32,
    /// Start does not wait for the burst.
    pub background: bool,
    /// A link that is down counts as not running.
    pub check_link_status: bool,
    /// Clone instance k holds ip + k.
    pub unique_clone_address: bool,
    /// Parts of announcing.
    pub announce: Announce,
    /// Whom to ask for confirmation; empty chooses gateways and neighbours.
    pub verify_targets: Vec<IpAddr>,
    /// Conflicts.
    pub on_conflict: OnConflict,
    /// A missing interface fails the start.
    pub require_dev: bool,
    /// Drift.
    pub reconcile: Reconcile,
}

impl IpParams {
    /// All defaults for these addresses.
    #[must_use]
    pub fn new(ips: Vec<IpAddr>) -> Self {
        Self {
            ips,
            nic: None,
            prefix_len: None,
            broadcast: Broadcast::Unset,
            label: None,
            lvs_support: false,
            addr_label: Some(99),
            preferred: Lifetime::Forever,
            noprefixroute: false,
            protocol: PROTOCOL_TAG,
            run_arping: false,
            nodad: false,
            burst: Burst::Schedule,
            count_refresh: 0,
            background: true,
            check_link_status: true,
            unique_clone_address: false,
            announce: Announce::default(),
            verify_targets: Vec::new(),
            on_conflict: OnConflict::Defend,
            require_dev: false,
            reconcile: Reconcile::Repair,
        }
    }

    /// These parameters for clone instance `k`: with `unique_clone_address` each address + `k`.
    ///
    /// # Errors
    /// When an address + `k` passes the end of the address space.
    pub fn for_clone_instance(&self, k: u32) -> Result<Self, ParamError> {
        if !self.unique_clone_address {
            return Ok(self.clone());
        }
        let shift = |ip: &IpAddr| {
            let moved = match ip {
                IpAddr::V4(v4) => {
                    u32::from(*v4).checked_add(k).map(|n| IpAddr::V4(Ipv4Addr::from(n)))
                }
                IpAddr::V6(v6) => {
                    u128::from(*v6).checked_add(u128::from(k)).map(|n| Ipv6Addr::from(n).into())
                }
            };
            moved.ok_or_else(|| ParamError::BadValue {
                name: "ip".to_owned(),
                value: ip.to_string(),
                expected: format!("an address that leaves room for clone instance {k}"),
            })
        };
        let ips = self.ips.iter().map(shift).collect::<Result<_, _>>()?;
        Ok(Self { ips, ..self.clone() })
    }

    /// The full IPv4 label on interface `nic`.
    #[must_use]
    pub fn label_on(&self, nic: &str) -> Option<String> {
        self.label.as_ref().map(|label| format!("{nic}:{label}"))
    }

    /// The broadcast address of `ip`/`prefix_len` under these parameters; none for IPv6.
    #[must_use]
    pub fn broadcast_of(&self, ip: IpAddr, prefix_len: u8) -> Option<Ipv4Addr> {
        let IpAddr::V4(v4) = ip else { return None };
        let host = u32::MAX.checked_shr(u32::from(prefix_len)).unwrap_or(0);
        match self.broadcast {
            Broadcast::Unset => None,
            Broadcast::AllOnes => Some(Ipv4Addr::from(u32::from(v4) | host)),
            Broadcast::AllZeros => Some(Ipv4Addr::from(u32::from(v4) & !host)),
            Broadcast::Explicit(address) => Some(address),
        }
    }
}
