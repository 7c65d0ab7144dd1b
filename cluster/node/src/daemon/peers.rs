//! Other nodes: small messages as express datagrams, large ones over the channel, and those who want
//! to become members.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haven_api::{ApiError, Code, ReplyBody, Token};
use haven_base::WallTime;
use haven_controller::{Input, JoinRefusal, Member, Role};
use haven_host::drive::{boot_time, wall_time};
use haven_host::socket::channel::{ChannelPeer, Stranger};
use haven_host::socket::tls::fingerprint;
use haven_messaging::express::{self, MAX_MESSAGE};
use haven_messaging::{Class, Keyring};
use haven_types::{LinkId, NodeId};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Daemon, Happening};
use crate::beat;
use crate::config::NodeConfig;
use crate::trust::{
    Admission, AdmissionRequest, Admitted, Contact, Identity, JoinServer, JoinToken, KeyMessage,
    Refused,
};

/// The express stream of everything whose order matters.
const ORDERED: Class = Class::Ordered(1);
/// First byte of a frame of the channel: a controller's message follows.
const CONTROLLER: u8 = 1;
/// A message about keys follows.
const KEYS: u8 = 2;
/// A consensus message that could not leave for so long is replaced by a newer one anyway.
const STALE: Duration = Duration::from_secs(1);

impl Daemon {
    pub(super) fn send(&mut self, to: NodeId, bytes: Vec<u8>, ordered: bool) {
        if bytes.len() > MAX_MESSAGE {
            self.send_tagged(to, CONTROLLER, &bytes);
            return;
        }
        let class = if ordered { ORDERED } else { Class::Unordered };
        let expires = (!ordered).then(|| boot_time() + STALE);
        self.step_express(express::Input::Send { to, class, bytes, expires });
    }

    pub(super) fn send_keys(&self, to: NodeId, message: &KeyMessage) {
        self.send_tagged(to, KEYS, &message.encode());
    }

    fn send_tagged(&self, to: NodeId, tag: u8, bytes: &[u8]) {
        let Some(member) = self.members.get(&to) else { return };
        let frame = Bytes::from([&[tag], bytes].concat());
        if let Err(error) = self.channel.send(&member.name, frame) {
            tracing::debug!("a message to {} by the channel is lost: {error}", member.name);
        }
    }

    /// A frame of a member, by the channel. One with another tag is of a newer version.
    pub(super) fn on_frame(&mut self, peer: &str, boot: u64, frame: &[u8]) {
        let Some(from) = self.member_named(peer) else { return };
        match frame.split_first() {
            Some((&CONTROLLER, bytes)) => {
                let boot = haven_types::BootId(boot);
                self.step(Input::Peer { from, boot, bytes: bytes.to_vec() });
            }
            Some((&KEYS, bytes)) => self.on_key_message(from, bytes),
            Some((tag, _)) => tracing::warn!(
                "{peer} sent a message of kind {tag}, which this version does not know; run the \
                 same version of haven on all nodes"
            ),
            None => {}
        }
    }

    pub(super) fn member_named(&self, name: &str) -> Option<NodeId> {
        self.members.values().find(|member| member.name == name).map(|member| member.id)
    }

    pub(super) fn step_express(&mut self, input: express::Input) {
        for output in self.express.step(boot_time(), input) {
            match output {
                express::Output::Transmit { to, link, bytes } => {
                    self.beat.send(beat::Order::Transmit { to, link, bytes });
                }
                express::Output::Delivered { from, boot, bytes, .. } => {
                    self.step(Input::Peer { from, boot, bytes });
                }
                express::Output::PeerReset { peer, .. } => self.step(Input::PeerReset(peer)),
                express::Output::Overflow { to, length, cause, .. } => {
                    tracing::warn!(
                        "{length} bytes to node {to} were not sent: {}",
                        cause.describe()
                    );
                }
                express::Output::Expired { .. } => {}
            }
        }
    }

    pub(super) fn set_members(&mut self, members: BTreeMap<NodeId, Member>) {
        let gone: Vec<NodeId> =
            self.members.keys().filter(|node| !members.contains_key(node)).copied().collect();
        self.members = members;
        for peer in gone {
            self.step_express(express::Input::PeerGone { peer });
        }
        let others = || self.members.values().filter(|member| member.id != self.node);
        let peers = others()
            .map(|member| ChannelPeer {
                name: member.name.clone(),
                address: member.channel,
                key: (member.key != [0; 32]).then_some(member.key),
            })
            .collect();
        self.channel.set_peers(peers);
        self.beat.send(peers_order(&self.members, self.node));
        let others = others().map(|member| member.id).collect();
        self.step_keys(crate::trust::KeyInput::Peers(others));
    }

    pub(super) fn on_link(&mut self, peer: NodeId, link: LinkId, up: bool) {
        self.step_express(express::Input::LinkState { peer, link, up });
        if !up {
            return;
        }
        if let Some(member) = self.members.get(&peer) {
            self.channel.kick(&member.name);
        }
    }
}

/// Who the other members are and where their links end, for the heartbeat thread.
pub(super) fn peers_order(members: &BTreeMap<NodeId, Member>, own: NodeId) -> beat::Order {
    let others = || members.values().filter(|member| member.id != own);
    let addresses: BTreeMap<(NodeId, LinkId), SocketAddr> = others()
        .flat_map(|member| member.links.iter().map(|(link, at)| ((member.id, *link), *at)))
        .collect();
    let members: BTreeSet<NodeId> = others().map(|member| member.id).collect();
    beat::Order::Peers { members, addresses }
}

/// A verified joiner that waits for the cluster's decision.
#[derive(Debug)]
pub(super) struct Admit {
    request: AdmissionRequest,
    answer: oneshot::Sender<Result<Admitted, Refused>>,
}

/// Asks the main task, which asks the cluster.
#[derive(Debug)]
struct AskCluster {
    happenings: mpsc::UnboundedSender<Happening>,
}

impl Admission for AskCluster {
    async fn admit(&self, request: AdmissionRequest) -> Result<Admitted, Refused> {
        let (answer, decision) = oneshot::channel();
        let admit = Admit { request, answer };
        // A main task that has ended drops the answer, which is the answer.
        let _sent = self.happenings.send(Happening::Admit(Box::new(admit)));
        decision.await.unwrap_or(Err(Refused::NoQuorum))
    }
}

/// Joiners under way, and tokens being made.
#[derive(Debug)]
pub(super) struct Admissions {
    authority: [u8; 32],
    listen: SocketAddr,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Admitted, Refused>>>,
    minting: BTreeMap<u64, JoinToken>,
    next: u64,
    /// The ring that joiners are given; dropping it would end the server.
    keys: watch::Sender<Keyring>,
}

impl Admissions {
    /// Begins to serve joiners.
    pub(super) fn new(
        identity: Identity,
        config: &NodeConfig,
        strangers: mpsc::Receiver<Stranger>,
        happenings: mpsc::UnboundedSender<Happening>,
    ) -> Self {
        let (keys, ring) = watch::channel(identity.keys.clone());
        let authority = fingerprint(&identity.authority);
        let server = JoinServer::new(Arc::new(identity), ring, AskCluster { happenings });
        tokio::spawn(server.run(strangers, || (boot_time(), wall_time())));
        let (waiting, minting) = (BTreeMap::new(), BTreeMap::new());
        Self { authority, listen: config.channel, waiting, minting, next: 1, keys }
    }

    /// Joiners are given this ring from now on.
    pub(super) fn give_keys(&self, ring: Keyring) {
        self.keys.send_replace(ring);
    }
}

impl Daemon {
    pub(super) fn admit(&mut self, admit: Admit) {
        let Admit { request, answer } = admit;
        let number = self.admissions.next;
        self.admissions.next += 1;
        self.admissions.waiting.insert(number, answer);
        let member = Member {
            id: NodeId(0),
            name: request.name,
            role: match request.role {
                crate::trust::Role::Full => Role::Full,
                crate::trust::Role::Witness => Role::Witness,
            },
            links: request.links,
            channel: request.channel,
            key: request.key,
        };
        self.step(Input::Admit { request: number, member, token: request.token });
    }

    pub(super) fn admitted(&mut self, request: u64, result: Result<Member, JoinRefusal>) {
        let Some(answer) = self.admissions.waiting.remove(&request) else { return };
        let decision = match result {
            Ok(member) => Ok(Admitted {
                node: member.id,
                members: self.controller.state().members.values().map(contact).collect(),
            }),
            Err(refusal) => Err(refused(refusal)),
        };
        // The joiner may have gone; asking again with the same token and key gets the same answer.
        let _told = answer.send(decision);
    }

    pub(super) fn mint_token(&mut self, id: u64, lifetime: Option<Duration>) {
        let mut token = match JoinToken::mint(wall_time(), self.admissions.authority) {
            Ok(token) => token,
            Err(error) => {
                let error = ApiError::new(Code::Unavailable, error.to_string());
                self.desk.answer(id, false, Err(error));
                return;
            }
        };
        if let Some(lifetime) = lifetime.filter(|lifetime| *lifetime < crate::trust::LIFETIME) {
            let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(0);
            token.expires = WallTime::from_seconds(wall_time().seconds + seconds);
        }
        let record = token.record();
        self.admissions.minting.insert(id, token);
        self.step(Input::MintToken { request: id, token: record.token, expires: record.expires });
    }

    pub(super) fn token_minted(&mut self, request: u64, result: Result<(), String>) {
        let Some(token) = self.admissions.minting.remove(&request) else { return };
        let body = match result {
            Ok(()) => {
                let seconds = token.expires.seconds - wall_time().seconds;
                Ok(ReplyBody::Token(Token {
                    address: self.admissions.listen.to_string(),
                    token: token.text(),
                    command: token.command(&[self.admissions.listen]),
                    expires_in_ms: u64::try_from(seconds).unwrap_or(0) * 1000,
                    cost: self.controller.cost_of_growth(),
                }))
            }
            Err(reason) => Err(ApiError::new(Code::NoCoordinator, reason).remedy(
                "see `haven status`; a token needs a majority: start nodes again or restore links",
            )),
        };
        self.desk.answer(request, false, body);
    }
}

fn contact(member: &Member) -> Contact {
    Contact {
        id: member.id,
        name: member.name.clone(),
        role: match member.role {
            Role::Full => crate::trust::Role::Full,
            Role::Witness => crate::trust::Role::Witness,
        },
        links: member.links.clone(),
        channel: member.channel,
        key: member.key,
    }
}

fn refused(refusal: JoinRefusal) -> Refused {
    match refusal {
        JoinRefusal::UnknownToken => Refused::UnknownToken,
        JoinRefusal::ExpiredToken => Refused::ExpiredToken,
        JoinRefusal::UsedToken => Refused::UsedToken,
        JoinRefusal::NameTaken { name, by } => Refused::NameTaken { name, by },
        JoinRefusal::AddressTaken { address, by } => Refused::AddressTaken { address, by },
        JoinRefusal::NoCoordinator => Refused::NoQuorum,
    }
}
