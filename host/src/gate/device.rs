//! The devices of this network namespace, as far as the gate cares.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_ROUTE;

use super::clsact;
use super::netlink::{
    Channel, Message, NLM_F_ACK, NLM_F_DUMP, Received, attribute, half, text, word,
};
use super::program::Framing;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTNLGRP_LINK: u32 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
/// Length of `struct ifinfomsg`.
const LINK_HEADER: usize = 16;

/// A device frames pass through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) framing: Framing,
    /// Its frames belong to a bridge device, which has a gate of its own.
    pub(super) port: bool,
}

fn device(link: &Received) -> Option<Device> {
    let kind = half(&link.payload, 2);
    let attributes = link.payload.get(LINK_HEADER..)?;
    if link.kind != RTM_NEWLINK || kind == ARPHRD_LOOPBACK {
        return None;
    }
    let port = attribute(attributes, IFLA_LINKINFO)
        .and_then(|info| attribute(info, IFLA_INFO_SLAVE_KIND))
        .is_some_and(|kind| matches!(text(kind).as_str(), "bridge" | "openvswitch"));
    let framing = if kind == ARPHRD_ETHER { Framing::Ethernet } else { Framing::Other };
    Some(Device {
        index: word(&link.payload, 4),
        name: attribute(attributes, IFLA_IFNAME).map_or_else(String::new, text),
        framing,
        port: port && framing == Framing::Ethernet,
    })
}

/// The device an event is about; none where it changes nothing for the gate, or is about a block of filters that
/// devices share.
fn concerned(event: &Received) -> Option<u32> {
    let concerns =
        matches!(event.kind, RTM_NEWLINK | RTM_DELLINK) || clsact::takes_away(event.kind);
    // struct ifinfomsg and struct tcmsg have it in the same place.
    let index = word(&event.payload, 4);
    (concerns && i32::try_from(index).is_ok_and(i32::is_positive)).then_some(index)
}

/// What became of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// It is there, as described.
    Present(Device),
    /// It is gone, or one that has no gate.
    Gone(u32),
}

/// More devices at once than this are looked at by listing all.
const MAX_NEWS: usize = 16;

/// Lists devices and hears of new ones.
#[derive(Debug)]
pub(super) struct Devices {
    requests: Channel,
    events: Channel,
}

impl Devices {
    /// Subscribes first, so that no device can appear between a listing and the subscription.
    pub(super) fn open() -> io::Result<Self> {
        let events = Channel::subscribe(NETLINK_ROUTE, RTNLGRP_LINK)?;
        Ok(Self { requests: Channel::open(NETLINK_ROUTE)?, events })
    }

    /// Hears from here on of filters that somebody takes off a device, too, as [`News`] of that device. Of `tcx`
    /// programs that are taken off the kernel tells nobody.
    pub(super) fn hear_of_filters(&self) -> io::Result<()> {
        self.events.hear(clsact::RTNLGRP_TC)
    }

    /// All devices but loopback ones.
    pub(super) fn list(&mut self) -> io::Result<Vec<Device>> {
        let answers =
            self.requests.request(Message::new(RTM_GETLINK, NLM_F_DUMP, &[0; LINK_HEADER]))?;
        Ok(answers.iter().filter_map(device).collect())
    }

    /// What has become of the devices the kernel has told of since; `None` when there is too much of it,
    /// so all must be looked at.
    ///
    /// A message may carry part of a device's attributes only (wireless, bridge), so it merely names the
    /// device, which is then asked for.
    pub(super) fn news(&mut self) -> io::Result<Option<Vec<News>>> {
        let mut indices = BTreeSet::new();
        let mut lost = false;
        loop {
            match self.events.events() {
                Ok(events) if events.is_empty() => break,
                Ok(events) => indices.extend(events.iter().filter_map(concerned)),
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => lost = true,
                Err(e) => return Err(e),
            }
        }
        if lost || indices.len() > MAX_NEWS {
            return Ok(None);
        }
        indices
            .into_iter()
            .map(|index| self.ask(index))
            .collect::<io::Result<Vec<News>>>()
            .map(Some)
    }

    fn ask(&mut self, index: u32) -> io::Result<News> {
        let mut header = [0; LINK_HEADER];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        // With NLM_F_ACK the answer is followed by an acknowledgement, which ends the collection.
        let request = Message::new(RTM_GETLINK, NLM_F_ACK, &header);
        match self.requests.request(request) {
            Ok(answers) => {
                Ok(answers.iter().find_map(device).map_or(News::Gone(index), News::Present))
            }
            Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Ok(News::Gone(index)),
            Err(e) => Err(e),
        }
    }

    pub(super) fn requests(&mut self) -> &mut Channel {
        &mut self.requests
    }

    /// Readable when there is news.
    pub(super) fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, index: u32) -> Received {
        let mut payload = vec![0; 20];
        payload[4..8].copy_from_slice(&index.to_ne_bytes());
        Received { kind, sequence: 0, payload }
    }

    #[test]
    fn what_takes_something_away_concerns_its_device_and_what_adds_or_asks_none() {
        // Devices new, changed and gone; a queueing discipline and a filter that go.
        for kind in [16, 17, 37, 45] {
            assert_eq!(concerned(&event(kind, 7)), Some(7), "{kind}");
        }
        // The same that come, of which the gate's own look is told as well; classes, actions (whose messages name no
        // device), chains.
        for kind in [36, 44, 40, 41, 48, 49, 100, 101] {
            assert_eq!(concerned(&event(kind, 7)), None, "{kind}");
        }
        for index in [0, u32::MAX] {
            assert_eq!(concerned(&event(45, index)), None, "a shared block of filters");
        }
        assert_eq!(concerned(&Received { payload: Vec::new(), ..event(16, 7) }), None, "cut");
    }
}
