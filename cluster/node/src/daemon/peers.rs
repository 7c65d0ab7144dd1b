//! Other nodes: what goes over the channel, where their links end, and those who want to become members.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haven_api::{ApiError, Code, ReplyBody, Token};
use haven_base::WallTime;
use haven_controller::{JoinRefusal, Local, Member, Role, TokenRefusal};
use haven_host::drive::{boot_time, wall_time};
use haven_host::socket::channel::{ChannelPeer, Stranger};
use haven_host::socket::tls::fingerprint;
use haven_hub::{Frame, Happening};
use haven_messaging::{Keyring, Names};
use haven_types::{LinkId, LogIndex, NodeId};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Daemon, Done};
use crate::beat;
use crate::config::NodeConfig;
use crate::trust::{
    Admission, AdmissionRequest, Admitted, Contact, Identity, JoinServer, JoinToken, KeyMessage,
    Refused,
};

impl Daemon {
    pub(super) fn stream(&self, to: NodeId, frame: Bytes) {
        let Some(member) = self.hub.members().get(&to) else { return };
        if let Err(error) = self.channel.send(&member.name, frame) {
            tracing::debug!("a message to {} by the channel is lost: {error}", member.name);
        }
    }

    pub(super) fn send_keys(&self, to: NodeId, message: &KeyMessage) {
        self.stream(to, Frame::of_keys(&message.encode()));
    }

    pub(super) fn reconnect(&self, to: NodeId) {
        if let Some(member) = self.hub.members().get(&to) {
            self.channel.kick(&member.name);
        }
    }

    pub(super) fn set_others(&mut self, others: &BTreeMap<NodeId, Member>) {
        let peers = others
            .values()
            .map(|member| ChannelPeer {
                name: member.name.clone(),
                address: member.channel,
                key: (member.key != [0; 32]).then_some(member.key),
            })
            .collect();
        self.channel.set_peers(peers);
        // Behind the list: whoever is turned away by the one before is told no later entry than that was of.
        self.channel.set_word(self.controller().members_as_of().map_or_else(Vec::new, word));
        self.beat.send(peers_order(others.values()));
        self.step_keys(crate::trust::KeyInput::Peers(others.keys().copied().collect()));
    }
}

/// First byte of the word to nodes that are no members.
const WORD: u8 = 1;

/// What a node of this cluster is told that is no member as of this entry of the log.
fn word(as_of: LogIndex) -> Vec<u8> {
    [WORD].into_iter().chain(as_of.0.to_be_bytes()).collect()
}

/// As of which entry whoever said this word does not know this node as a member.
pub(super) fn heard_word(word: &[u8]) -> Option<LogIndex> {
    let (&WORD, as_of) = word.split_first()? else { return None };
    Some(LogIndex(u64::from_be_bytes(as_of.try_into().ok()?)))
}

/// Who the other members are and where their links end, for the heartbeat thread.
pub(super) fn peers_order<'a>(others: impl Iterator<Item = &'a Member>) -> beat::Order {
    let (mut members, mut names) = (BTreeSet::new(), Names::new());
    let mut addresses: BTreeMap<(NodeId, LinkId), SocketAddr> = BTreeMap::new();
    for member in others {
        members.insert(member.id);
        names.insert(member.id, member.name.clone());
        addresses.extend(member.links.iter().map(|(link, at)| ((member.id, *link), *at)));
    }
    beat::Order::Peers { members, names, addresses }
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
    done: mpsc::UnboundedSender<Done>,
}

impl Admission for AskCluster {
    async fn admit(&self, request: AdmissionRequest) -> Result<Admitted, Refused> {
        let (answer, decision) = oneshot::channel();
        let admit = Admit { request, answer };
        // A main task that has ended drops the answer, which is the answer.
        let _sent = self.done.send(Done::Admit(Box::new(admit)));
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
        done: mpsc::UnboundedSender<Done>,
    ) -> Self {
        let (keys, ring) = watch::channel(identity.keys.clone());
        let authority = fingerprint(&identity.authority);
        let server = JoinServer::new(Arc::new(identity), ring, AskCluster { done });
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
        // Whoever was not answered in time has been told so.
        self.admissions.waiting.retain(|_, waiting| !waiting.is_closed());
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
        self.tell(Happening::Local(Local::Admit { request: number, member, token: request.token }));
    }

    pub(super) fn admitted(&mut self, request: u64, result: Result<Member, JoinRefusal>) {
        let Some(answer) = self.admissions.waiting.remove(&request) else { return };
        let decision = match result {
            Ok(member) => Ok(Admitted {
                node: member.id,
                members: self.controller().state().members.values().map(contact).collect(),
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
        let (token, expires) = (record.token, record.expires);
        self.tell(Happening::Local(Local::MintToken { request: id, token, expires }));
    }

    pub(super) fn token_minted(&mut self, request: u64, result: Result<(), TokenRefusal>) {
        let Some(token) = self.admissions.minting.remove(&request) else { return };
        let body = match result {
            Ok(()) => {
                let seconds = token.expires.seconds - wall_time().seconds;
                Ok(ReplyBody::Token(Token {
                    address: self.admissions.listen.to_string(),
                    token: token.text(),
                    command: token.command(&[self.admissions.listen]),
                    expires_in_ms: u64::try_from(seconds).unwrap_or(0) * 1000,
                    cost: self.controller().cost_of_growth(),
                }))
            }
            Err(refusal) => Err(no_token(refusal)),
        };
        self.desk.answer(request, false, body);
    }
}

fn no_token(refusal: TokenRefusal) -> ApiError {
    let (code, remedy) = match refusal {
        TokenRefusal::NoCoordinator => (
            Code::NoCoordinator,
            "see `haven status`; a token needs a majority: start nodes again or restore links",
        ),
        TokenRefusal::TooMany => (
            Code::Unavailable,
            "join with one that was printed before, or wait until they expire, a day after they were printed at the latest",
        ),
    };
    ApiError::new(code, refusal.to_string()).remedy(remedy)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_nobody_joins_with_are_told_apart_from_a_cluster_that_cannot_decide() {
        let [without, many] = [TokenRefusal::NoCoordinator, TokenRefusal::TooMany].map(no_token);
        assert_eq!((without.code, many.code), (Code::NoCoordinator, Code::Unavailable));
        assert!(many.message.contains("64 tokens"), "{}", many.message);
        assert!(many.remedy.is_some_and(|remedy| remedy.contains("expire")));
    }

    #[test]
    fn the_word_to_strangers_names_an_entry_and_any_other_bytes_name_none() {
        for index in [0, 1, u64::MAX] {
            assert_eq!(heard_word(&word(LogIndex(index))), Some(LogIndex(index)));
        }
        let sound = word(LogIndex(7));
        assert!(sound.len() <= haven_host::socket::channel::MAX_WORD);
        let longer = [&sound[..], &[0]].concat();
        for other in [&[][..], &[WORD], &sound[..8], &longer, b"\x02\0\0\0\0\0\0\0\x07"] {
            assert_eq!(heard_word(other), None, "{other:?}");
        }
    }
}
