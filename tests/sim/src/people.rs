//! What people ask of the cluster.

use std::net::{IpAddr, Ipv4Addr};

use haven_api::{Load, LoadMode, RequestBody, StandbyLifetime};
use haven_types::NodeId;

use crate::world::World;

/// The configuration that people want in the end.
pub(crate) fn configuration(resources: u16, unprotected: bool) -> String {
    let mut text = String::new();
    for number in 1..=resources {
        text.push_str(&format!(
            "primitive vip{number} ocf:haven:ip params ip=192.0.2.{number} \
             op start timeout=2s interval=0 op stop timeout=2s interval=0 \
             op monitor interval=1s timeout=1s\n"
        ));
    }
    if unprotected {
        text.push_str(&format!(
            "primitive open ocf:haven:ip params ip={OPEN} meta lease=off \
             op start timeout=2s interval=0 op stop timeout=2s interval=0 \
             op monitor interval=1s timeout=1s\n"
        ));
    }
    text
}

/// The address that needs no majority, and may have two owners.
pub(crate) const OPEN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));

/// The address of a resource of [`configuration`].
pub(crate) fn vip(number: u16) -> IpAddr {
    IpAddr::from([192, 0, 2, number as u8])
}

pub(crate) fn load(text: String, mode: LoadMode) -> RequestBody {
    RequestBody::ConfigureLoad(Load { text, mode, force: true, ..Load::default() })
}

pub(crate) fn standby(node: &str, on: bool) -> RequestBody {
    RequestBody::NodeStandby {
        node: Some(node.to_owned()),
        on,
        lifetime: StandbyLifetime::Forever,
        wait: false,
        timeout_ms: None,
    }
}

impl World {
    /// A request of a random kind, to a random running node.
    pub(crate) fn request(&mut self) {
        let running = self.running();
        if running.is_empty() {
            return;
        }
        let at = running[self.rng.below(running.len() as u64) as usize];
        let body = self.wish();
        let id = self.rng.next_u64() >> 1;
        self.ask(at, id, body);
    }

    fn wish(&mut self) -> RequestBody {
        let ids = self.ids();
        let node = ids[self.rng.below(ids.len() as u64) as usize];
        let name = self.name(node);
        let resources = u64::from(self.settings.resources);
        let resource = format!("vip{}", 1 + self.rng.below(resources));
        match self.rng.below(12) {
            0 | 1 => RequestBody::ResourceMove {
                resource,
                node: self.rng.chance(2, 3).then_some(name),
                lifetime: None,
                wait: false,
                timeout_ms: None,
            },
            2 | 3 => RequestBody::ResourceClear { resource: Some(resource), expired: false },
            4 => standby(&name, true),
            5 | 6 => standby(&name, false),
            7 => RequestBody::ResourceStop { resource, wait: false, timeout_ms: None },
            8 | 9 => RequestBody::ResourceStart { resource, wait: false, timeout_ms: None },
            10 => RequestBody::ResourceCleanup { resource: None, node: None },
            _ => {
                let text =
                    configuration(1 + self.rng.below(resources) as u16, self.settings.unprotected);
                let replace = self.rng.chance(1, 2);
                load(text, if replace { LoadMode::Replace } else { LoadMode::Update })
            }
        }
    }

    pub(crate) fn name(&self, node: NodeId) -> String {
        self.hosts.get(&node).map(|host| host.name.clone()).unwrap_or_default()
    }
}
