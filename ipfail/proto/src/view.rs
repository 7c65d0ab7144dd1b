//! What the kernel has, as last heard: interfaces and addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use haven_base::{Address, IfIndex, Link, MacAddr, OperState};

use crate::params::NicSpec;

/// Interfaces and addresses of this host. An address may be on several interfaces, and on one with
/// several prefix lengths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    links: BTreeMap<IfIndex, Link>,
    addresses: BTreeMap<IpAddr, Vec<Address>>,
}

impl View {
    /// Everything the kernel has.
    #[must_use]
    pub fn new(links: Vec<Link>, addresses: Vec<Address>) -> Self {
        let mut view = Self::default();
        for link in links {
            view.put_link(link);
        }
        for address in addresses {
            view.put_address(address);
        }
        view
    }

    /// An interface is new or changed.
    pub fn put_link(&mut self, link: Link) {
        self.links.insert(link.index, link);
    }

    /// An interface is gone, and its addresses with it.
    pub fn remove_link(&mut self, index: IfIndex) {
        self.links.remove(&index);
        self.addresses.retain(|_, places| {
            places.retain(|address| address.index != index);
            !places.is_empty()
        });
    }

    /// An address is new or changed.
    pub fn put_address(&mut self, address: Address) {
        let places = self.addresses.entry(address.ip).or_default();
        match places.iter_mut().find(|have| same_place(have, address.index, address.prefix_len)) {
            Some(have) => *have = address,
            None => places.push(address),
        }
    }

    /// An address is gone.
    pub fn remove_address(&mut self, index: IfIndex, ip: IpAddr, prefix_len: u8) {
        if let Some(places) = self.addresses.get_mut(&ip) {
            places.retain(|have| !same_place(have, index, prefix_len));
            if places.is_empty() {
                self.addresses.remove(&ip);
            }
        }
    }

    /// An interface by index.
    #[must_use]
    pub fn link(&self, index: IfIndex) -> Option<&Link> {
        self.links.get(&index)
    }

    /// All interfaces by index.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// Every place where `ip` is configured.
    #[must_use]
    pub fn places(&self, ip: IpAddr) -> &[Address] {
        self.addresses.get(&ip).map_or(&[], Vec::as_slice)
    }

    /// All addresses, ordered.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.values().flatten()
    }

    /// The interface a configuration means: by name, else by alternative name; by hardware address
    /// the one with the lowest index.
    #[must_use]
    pub fn find(&self, nic: &NicSpec) -> Option<&Link> {
        let alternative =
            |name: &String| self.links.values().find(|link| link.alt_names.contains(name));
        match nic {
            NicSpec::Name(name) => {
                self.links.values().find(|link| link.name == *name).or_else(|| alternative(name))
            }
            NicSpec::Alt(name) => alternative(name),
            NicSpec::Mac(mac) => self.links.values().find(|link| link.mac == Some(*mac)),
            NicSpec::Path(path) => {
                self.links.values().find(|link| link.parent_device.as_ref() == Some(path))
            }
        }
    }

    /// An interface's present name, or its number when it is gone.
    #[must_use]
    pub fn name(&self, index: IfIndex) -> String {
        self.links.get(&index).map_or_else(|| format!("#{index}"), |link| link.name.clone())
    }

    /// Whether `mac` belongs to any interface of this host.
    #[must_use]
    pub fn is_ours(&self, mac: MacAddr) -> bool {
        self.links.values().any(|link| link.mac == Some(mac))
    }

    /// Whether frames can leave by an interface.
    #[must_use]
    pub fn is_usable(&self, index: IfIndex) -> bool {
        self.links.get(&index).is_some_and(is_up)
    }
}

/// Administratively up and neither it nor the device below reports being down.
#[must_use]
pub fn is_up(link: &Link) -> bool {
    link.admin_up
        && !matches!(
            link.oper_state,
            OperState::Down | OperState::LowerLayerDown | OperState::NotPresent
        )
}

fn same_place(address: &Address, index: IfIndex, prefix_len: u8) -> bool {
    address.index == index && address.prefix_len == prefix_len
}
