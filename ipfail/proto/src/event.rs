//! What the agent tells the world, and what it shows when asked.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use haven_base::{Instant, MacAddr};
use serde::{Deserialize, Serialize};

use crate::params::OnConflict;

/// The lease under which a resource runs, as far as the agent needs to know it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// The lease group; resources of one group rise and fall together.
    pub group: String,
    /// The lease epoch.
    pub epoch: u64,
    /// When it ends unless renewed.
    pub end: Instant,
}

/// How long the steps of a start took, in their order; zero for one that was not needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Steps {
    /// Waiting for the interface.
    pub waited: Duration,
    /// Asking whether another station has an address (`run_arping`).
    pub probed: Duration,
    /// The kernel's part: addresses and their labels.
    pub added: Duration,
    /// Duplicate address detection (IPv6 without a lease).
    pub checked: Duration,
    /// To the first announcement, with `arp_bg=false` to the last of the burst.
    pub announced: Duration,
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            ("waiting for the interface", self.waited),
            ("probes", self.probed),
            ("the kernel", self.added),
            ("duplicate address detection", self.checked),
            ("announcements", self.announced),
        ];
        write!(f, "{:?}", named.iter().map(|(_, took)| *took).sum::<Duration>())?;
        let taken = named.iter().filter(|(_, took)| !took.is_zero());
        for (i, (name, took)) in taken.enumerate() {
            write!(f, "{} {name} {took:?}", if i == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

/// Something an operator or the cluster may want to know. Numbered and stamped by the receiver.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Event {
    /// The addresses of a resource are up and the first announcement has left.
    Started {
        /// Resource.
        resource: String,
        /// Its addresses.
        ips: Vec<IpAddr>,
        /// From the start's arrival, or the loss of its interface, to the first announcement.
        steps: Steps,
    },
    /// The addresses of a resource are gone.
    Stopped {
        /// Resource.
        resource: String,
    },
    /// The interface is missing; the address follows when it appears.
    Pending {
        /// Resource.
        resource: String,
        /// The interface as configured.
        nic: String,
    },
    /// Another station claims an address that is ours.
    Conflict {
        /// The address.
        ip: IpAddr,
        /// The station.
        mac: MacAddr,
        /// The interface its frame came in by.
        dev: String,
        /// What the agent does about it.
        action: OnConflict,
        /// Time left on our lease; none without a lease.
        lease_left: Option<Duration>,
    },
    /// An address was given up to another station (`on-conflict=yield`).
    Yielded {
        /// The address.
        ip: IpAddr,
        /// The station.
        mac: MacAddr,
    },
    /// Somebody changed an address of ours.
    Drift {
        /// The address.
        ip: IpAddr,
        /// What was found.
        found: String,
        /// Whether it was put back.
        repaired: bool,
    },
    /// Nobody asked through the address has answered; announcing goes on.
    AnnounceUnverified {
        /// The address.
        ip: IpAddr,
        /// Stations asked.
        asked: Vec<IpAddr>,
    },
    /// A neighbour answered to the address: the path is proven.
    AnnounceVerified {
        /// The address.
        ip: IpAddr,
        /// The neighbour.
        by: IpAddr,
        /// From the first announcement.
        took: Duration,
    },
    /// The interface of a held address has a new name.
    Renamed {
        /// Resource.
        resource: String,
        /// Name before.
        from: String,
        /// Name now.
        to: String,
    },
    /// An address moved so often that an EVPN fabric may suspend it (limit commonly 5 in 180 s).
    EvpnDupRisk {
        /// The address.
        ip: IpAddr,
        /// Moves within the last 180 s.
        moves: u32,
    },
    /// An address tagged ours which this node does not own was removed.
    CleanedUp {
        /// The address.
        ip: IpAddr,
        /// The interface it was on.
        dev: String,
    },
    /// The kernel refused a change, or a frame could not be sent.
    KernelRefused {
        /// What was attempted, on what, and the kernel's words.
        what: String,
    },
}

impl Event {
    /// True for events that call for a person's attention.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        // After our lease the next owner speaks, as it should.
        if let Self::Conflict { lease_left: Some(left), .. } = self
            && left.is_zero()
        {
            return false;
        }
        matches!(
            self,
            Self::Conflict { .. }
                | Self::Yielded { .. }
                | Self::Drift { .. }
                | Self::AnnounceUnverified { .. }
                | Self::EvpnDupRisk { .. }
                | Self::KernelRefused { .. }
                | Self::Pending { .. }
        )
    }
}

/// What to do about a station that has `ip` and should not.
pub(crate) fn rid_of_stranger(ip: IpAddr) -> String {
    format!(
        "find that station (`bridge fdb` or the switch's table for its port) and take {ip} off it"
    )
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { resource, ips, steps } => {
                write!(f, "{resource}: {} address(es) up and announced in {steps}", ips.len())
            }
            Self::Stopped { resource } => write!(f, "{resource}: addresses removed"),
            Self::Pending { resource, nic } => write!(
                f,
                "{resource}: interface {nic} does not exist; the address follows as soon as it does"
            ),
            Self::Conflict { ip, mac, dev, lease_left: Some(left), .. } if left.is_zero() => {
                write!(
                    f,
                    "{mac} speaks for {ip} on {dev}, and our lease of it has ended: most likely the next \
                 owner; this node stays silent"
                )
            }
            Self::Conflict { ip, mac, dev, action, lease_left } => {
                write!(f, "conflict: {mac} claims {ip} on {dev}; {}; ", rid_of_stranger(*ip))?;
                match lease_left {
                    Some(left) => {
                        write!(f, "our lease of {} ms more proves it ours, ", left.as_millis())?;
                    }
                    None => f.write_str("no lease proves the address ours, ")?,
                }
                write!(f, "on-conflict={}", action.word())
            }
            Self::Yielded { ip, mac } => write!(f, "{ip} given up: {mac} claims it"),
            Self::Drift { ip, found, repaired: true } => write!(f, "{ip} put back: {found}"),
            Self::Drift { ip, found, repaired: false } => {
                write!(f, "{ip} is not as configured: {found}")
            }
            Self::AnnounceUnverified { ip, asked } => write!(
                f,
                "nobody answers to {ip} ({} asked); announcing again; check cable, VLAN and port \
                 security of this node's switch port",
                asked.len()
            ),
            Self::AnnounceVerified { ip, by, took } => {
                write!(f, "{by} answered to {ip} {took:?} after the first announcement")
            }
            Self::Renamed { resource, from, to } => {
                write!(f, "{resource}: interface {from} is now called {to}; the address stays")
            }
            Self::EvpnDupRisk { ip, moves } => write!(
                f,
                "{ip} moved {moves} times within 180 s; EVPN fabrics suspend an address after 5"
            ),
            Self::CleanedUp { ip, dev } => {
                write!(f, "{ip} removed from {dev}: left by an earlier run, not ours now")
            }
            Self::KernelRefused { what } => f.write_str(what),
        }
    }
}

/// Whether neighbours were seen to find the address here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Confirmation {
    /// Not asked for, or nobody to ask.
    NotAsked,
    /// Asked, no answer yet.
    Waiting,
    /// A neighbour answered.
    Verified,
    /// Nobody answered.
    Unverified,
}

/// Where a held address stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum VipState {
    /// The interface is missing.
    Pending,
    /// A probe or duplicate address detection runs.
    Checking,
    /// On the interface and answering.
    Up,
    /// On no interface although it should be.
    Missing,
    /// Given up to another station, refused by duplicate address detection, or without the gate that it needs.
    Lost,
}

/// One held address, for status displays.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VipStatus {
    /// The resource it belongs to.
    pub resource: String,
    /// The address.
    pub ip: IpAddr,
    /// Interface, once chosen.
    pub dev: Option<String>,
    /// Prefix length, once known.
    pub prefix_len: Option<u8>,
    /// State.
    pub state: VipState,
    /// Announcements sent since start.
    pub announced: u64,
    /// Whether neighbours find it.
    pub confirmed: Confirmation,
    /// Conflicting claims seen since start.
    pub conflicts: u64,
    /// The station that last claimed it.
    pub last_conflict: Option<MacAddr>,
    /// It did so within the last minutes.
    pub contested: bool,
    /// Epoch of the lease; none without.
    pub epoch: Option<u64>,
    /// Time left on the lease; none without.
    pub lease_left: Option<Duration>,
}
