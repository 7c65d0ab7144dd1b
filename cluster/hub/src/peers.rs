//! Other nodes: small messages by the delivery over datagrams, large ones by the connection; and who is
//! a member at all.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use haven_api::EventSeverity;
use haven_controller::{Clock, Input, Member};
use haven_messaging::Class;
use haven_messaging::express;
use haven_types::{BootId, LinkId, LogIndex, NodeId};

use crate::frame::Frame;
use crate::hub::{Core, Hub};
use crate::port::Effect;

/// The stream of everything whose order matters.
const ORDERED: Class = Class::Ordered(1);
/// A message whose order does not matter and that could not leave for so long is replaced by a newer one
/// anyway.
pub const STALE: Duration = Duration::from_secs(1);

impl<C: Core> Hub<C> {
    /// The member of a name.
    #[must_use]
    pub fn member_named(&self, name: &str) -> Option<NodeId> {
        self.members.values().find(|member| member.name == name).map(|member| member.id)
    }

    pub(crate) fn send(&mut self, clock: Clock, to: NodeId, bytes: Vec<u8>, ordered: bool) {
        if bytes.len() > self.config.large {
            if self.members.contains_key(&to) {
                let frame = Frame::of_controller(&bytes);
                self.effect(Effect::Stream { to, frame });
            }
            return;
        }
        let class = if ordered { ORDERED } else { Class::Unordered };
        let expires = (!ordered).then(|| clock.now + STALE);
        self.deliver(clock, express::Input::Send { to, class, bytes, expires });
    }

    pub(crate) fn deliver(&mut self, clock: Clock, input: express::Input) {
        for output in self.express.step(clock.now, input) {
            match output {
                express::Output::Transmit { to, link, bytes } => {
                    self.effect(Effect::Transmit { to, link, bytes });
                }
                express::Output::Delivered { from, boot, bytes, .. } => {
                    self.decide(clock, Input::Peer { from, boot, bytes });
                }
                express::Output::PeerReset { peer, .. } => {
                    self.decide(clock, Input::PeerReset(peer));
                }
                express::Output::Overflow { to, length, cause, .. } => {
                    let why = cause.describe();
                    let name = self.members.get(&to).map_or("a stranger", |it| it.name.as_str());
                    let text = format!("{length} bytes to {name} (node {to}) were not sent: {why}");
                    self.line(EventSeverity::Warning, text);
                }
                express::Output::Expired { .. } => {}
            }
        }
    }

    /// Tells the delivery something of a member. What was under way of one that is none any more leaves
    /// nothing behind.
    pub(crate) fn hear(&mut self, clock: Clock, peer: NodeId, input: express::Input) {
        if self.members.contains_key(&peer) {
            self.deliver(clock, input);
        }
    }

    pub(crate) fn on_connected(&mut self, clock: Clock, peer: &str) {
        if let Some(node) = self.member_named(peer) {
            self.effect(Effect::Connected(node));
            // What was too large for a datagram was lost while there was no connection.
            self.decide(clock, Input::PeerReset(node));
        }
    }

    /// A member does not take this node for one.
    pub(crate) fn on_turned_away(&mut self, clock: Clock, peer: &str, as_of: LogIndex) {
        if let Some(by) = self.member_named(peer) {
            self.decide(clock, Input::TurnedAway { by, as_of });
        }
    }

    /// A frame by a connection: of a member, or of one that is none any more.
    pub(crate) fn on_frame(&mut self, clock: Clock, peer: &str, boot: BootId, frame: Bytes) {
        let Some(from) = self.member_named(peer) else { return };
        match Frame::decode(frame) {
            Some(Frame::Controller(bytes)) => {
                self.decide(clock, Input::Peer { from, boot, bytes: bytes.into() });
            }
            Some(Frame::Keys(bytes)) => self.effect(Effect::KeyMessage { from, bytes }),
            Some(Frame::Unknown(kind)) => {
                let text = format!(
                    "{peer} sent a message of kind {kind}, which this version does not know; run \
                     the same version of haven on all nodes"
                );
                self.line(EventSeverity::Warning, text);
            }
            None => {}
        }
    }

    pub(crate) fn on_link(&mut self, clock: Clock, peer: NodeId, link: LinkId, up: bool) {
        self.hear(clock, peer, express::Input::LinkState { peer, link, up });
        if up && self.members.contains_key(&peer) {
            self.effect(Effect::Reconnect(peer));
        }
    }

    pub(crate) fn set_members(&mut self, clock: Clock, members: BTreeMap<NodeId, Member>) {
        let gone: Vec<NodeId> =
            self.members.keys().filter(|node| !members.contains_key(node)).copied().collect();
        self.members = members;
        for peer in gone {
            self.deliver(clock, express::Input::PeerGone { peer });
        }
        let mut others = self.members.clone();
        others.remove(&self.config.node);
        self.effect(Effect::Members(others));
    }
}
