//! Seals and opens the datagrams of one node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_types::{BootId, LinkId, NodeId};
use ring::hkdf::Prk;

use crate::frame::{Header, KeyId, Kind, LINKS, MAX_PAYLOAD};
use crate::keyring::Keyring;
use crate::reject::Rejected;
use crate::session::{Allowance, Peer, Seal, Session};

/// Frames of an earlier life this long after a later one was accepted are not late: two processes run.
const LATE: Duration = Duration::from_secs(2);

/// Who seals: this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// This node's id.
    pub node: NodeId,
    /// This process's boot id, raised durably before the first frame. Not 0.
    pub boot: BootId,
    /// Fresh entropy of this process.
    pub salt: u64,
}

/// An authentic frame, seen for the first time, of a life of its sender that knows our present life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened<'d> {
    /// Who sent it.
    pub from: NodeId,
    /// The sender's life.
    pub boot: BootId,
    /// The link it was sent on: each link's copy of a beat is a frame of its own.
    pub link: LinkId,
    /// What the payload is.
    pub kind: Kind,
    /// The payload, within the datagram that was given.
    pub payload: &'d [u8],
}

/// Why a payload was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Payload above [`MAX_PAYLOAD`].
    #[error("cannot seal {length} bytes: a datagram carries at most {MAX_PAYLOAD}")]
    TooLong {
        /// Length of the payload in bytes.
        length: usize,
    },
    /// Not a member, or ourselves.
    #[error("cannot seal a frame for node {to}: it is not another member")]
    NotMember {
        /// The receiver named.
        to: NodeId,
    },
    /// A link number above 7.
    #[error("cannot seal a frame for link {link}: links are numbered 0 to 7")]
    NoSuchLink {
        /// The link named.
        link: LinkId,
    },
}

/// Seals and opens all datagrams of one node; owned by one thread, takes no lock and, once every peer
/// was heard, allocates nothing.
///
/// **Freshness.** A frame is accepted only when it names the present boot id of this node, which its
/// sender learns from our own frames. So recorded frames are worth nothing after a restart of either
/// end. It takes one beat each way: the first frames after a start are refused as
/// [`Rejected::NotFresh`].
///
/// ```text
///  unknown ──authentic, names another boot of ours──▶ candidate ──names our boot──▶ current
///     └─────────────authentic, names our boot──────────────────────────────────────▶ current
/// ```
/// A life with a smaller boot id than the current one is refused for ever.
#[derive(Debug)]
pub struct Frames {
    local: Local,
    keys: Keys,
    seal: Seal,
    key_id: KeyId,
    peers: BTreeMap<NodeId, Peer>,
    /// What is known of those that were members before, in this life of ours: one that is a member again, of the same
    /// number, goes on where it was. So no counter is used twice under one key, and no frame is accepted twice. At most
    /// one of each number, and the cluster gives none twice.
    former: BTreeMap<NodeId, Peer>,
    own_name: Allowance,
}

#[derive(Debug)]
struct Keys {
    ring: Keyring,
    accepted: Vec<(KeyId, Prk)>,
}

impl Keys {
    fn new(ring: Keyring) -> Self {
        assert!(ring.is_sound(), "a keyring holds 1 to 2 keys, rising, and its sealing key");
        let accepted = ring.accepted().iter().map(|key| (key.id(), key.extract())).collect();
        Self { ring, accepted }
    }

    fn find(&self, header: &Header) -> Result<&Prk, Rejected> {
        if let Some((_, prk)) = self.accepted.iter().find(|key| key.0 == header.key) {
            return Ok(prk);
        }
        let (from, epoch) = (header.from, header.key.epoch);
        let oldest = self.accepted.iter().map(|key| key.0.epoch).min().unwrap_or(0);
        Err(if epoch < oldest {
            Rejected::RetiredKey { from, epoch }
        } else {
            Rejected::WrongKey { from, epoch }
        })
    }

    fn seal(&self, local: Local) -> Seal {
        let sealing = self.ring.sealing();
        Seal::derive(&sealing.extract(), sealing.id(), local.node, local.boot, local.salt)
    }
}

impl Frames {
    /// A node without peers yet.
    ///
    /// # Panics
    /// When the keyring is not [sound](Keyring::is_sound) or the boot id is 0.
    #[must_use]
    pub fn new(local: Local, ring: Keyring) -> Self {
        assert!(local.boot != BootId(0), "boot ids start at 1");
        let keys = Keys::new(ring);
        let (seal, key_id) = (keys.seal(local), keys.ring.sealing().id());
        let own_name = Allowance::full(Instant::ZERO);
        let (peers, former) = (BTreeMap::new(), BTreeMap::new());
        Self { local, keys, seal, key_id, peers, former, own_name }
    }

    /// The process that seals.
    #[must_use]
    pub fn local(&self) -> Local {
        self.local
    }

    /// From now on frames come from and go to these nodes only; our own id among them is ignored. What
    /// is known of those that stay is kept, and of those that are members again: counters and windows go on.
    pub fn set_members(&mut self, now: Instant, members: &BTreeSet<NodeId>) {
        self.former.extend(self.peers.extract_if(.., |node, _| !members.contains(node)));
        for node in members.iter().filter(|node| **node != self.local.node) {
            let known = || self.former.remove(node).unwrap_or_else(|| Peer::new(now));
            self.peers.entry(*node).or_insert_with(known);
        }
    }

    /// From now on these keys are in use. Counters and windows go on.
    ///
    /// # Panics
    /// When the keyring is not [sound](Keyring::is_sound).
    pub fn set_keys(&mut self, ring: Keyring) {
        self.keys = Keys::new(ring);
        self.seal = self.keys.seal(self.local);
        self.key_id = self.keys.ring.sealing().id();
    }

    /// The life of a peer that is accepted, if one is.
    #[must_use]
    pub fn peer_boot(&self, node: NodeId) -> Option<BootId> {
        self.peers.get(&node)?.current.as_ref().map(|session| session.boot)
    }

    /// Seals one datagram for `to` to be sent on `link` into `out` (cleared first).
    ///
    /// # Errors
    /// [`SealError`]; `out` is then empty.
    pub fn seal(
        &mut self,
        to: NodeId,
        link: LinkId,
        kind: Kind,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        out.clear();
        if usize::from(link.0) >= LINKS {
            return Err(SealError::NoSuchLink { link });
        }
        if payload.len() > MAX_PAYLOAD {
            return Err(SealError::TooLong { length: payload.len() });
        }
        let Some(peer) = self.peers.get_mut(&to) else {
            return Err(SealError::NotMember { to });
        };
        let to_boot = peer.stamp();
        let counter = &mut peer.counters[usize::from(link.0)];
        *counter += 1;
        let header = Header {
            kind,
            from: self.local.node,
            to,
            link,
            key: self.key_id,
            boot: self.local.boot,
            salt: self.local.salt,
            to_boot,
            counter: *counter,
        };
        let sealed = self.seal.seal(&header, payload, out);
        assert!(sealed, "AES-256-GCM takes {} bytes", payload.len());
        Ok(())
    }

    /// Opens a datagram in place. Strangers' packets cost a few comparisons; forged ones under a
    /// member's name one decryption.
    ///
    /// # Errors
    /// [`Rejected`] is no failure but the answer for what must not be used: count it
    /// ([`Rejections`](crate::Rejections)) and go on.
    pub fn open<'d>(
        &mut self,
        now: Instant,
        datagram: &'d mut [u8],
    ) -> Result<Opened<'d>, Rejected> {
        let header = Header::decode(datagram).map_err(Rejected::Malformed)?;
        if header.from == self.local.node {
            return Err(self.under_our_name(now, &header, datagram));
        }
        if header.to != self.local.node {
            return Err(Rejected::NotForUs(header.to));
        }
        let Some(peer) = self.peers.get_mut(&header.from) else {
            return Err(Rejected::NotMember(header.from));
        };
        let prk = self.keys.find(&header)?;
        let payload = peer.open(now, &header, prk, self.local, datagram)?;
        Ok(Opened {
            from: header.from,
            boot: header.boot,
            link: header.link,
            kind: header.kind,
            payload,
        })
    }

    /// A frame that names us as its sender: an echo, a forgery, or another node with our id.
    fn under_our_name(&mut self, now: Instant, header: &Header, datagram: &mut [u8]) -> Rejected {
        let local = self.local;
        if (header.boot, header.salt) == (local.boot, local.salt) {
            return Rejected::Reflected;
        }
        let prk = match self.keys.find(header) {
            Ok(prk) => prk,
            Err(rejected) => return rejected,
        };
        if !self.own_name.take(now) {
            return Rejected::Hurried(header.from);
        }
        let seal = Seal::derive(prk, header.key, header.from, header.boot, header.salt);
        if seal.open(header, datagram).is_none() {
            return Rejected::Forged(header.from);
        }
        // Our own frames of an earlier boot may still be on their way, or be played back to us.
        if header.boot < local.boot {
            return Rejected::StaleBoot(header.from);
        }
        Rejected::DuplicateId { node: local.node, accepted: header.boot, other: local.boot }
    }
}

impl Peer {
    /// Opens a frame under this peer's name, and learns which of its lives is the present one.
    fn open<'d>(
        &mut self,
        now: Instant,
        header: &Header,
        prk: &Prk,
        local: Local,
        datagram: &'d mut [u8],
    ) -> Result<&'d [u8], Rejected> {
        match self.current.as_mut() {
            Some(current) if current.is_of(header) => {
                let opened = open_once(current, now, header, prk, datagram)?;
                fresh(header, local).map(|()| opened)
            }
            Some(current) if header.boot <= current.boot => {
                Err(self.refuse_other(now, header, prk, datagram))
            }
            _ => self.open_candidate(now, header, prk, local, datagram),
        }
    }

    /// A frame of a life that may become the current one.
    fn open_candidate<'d>(
        &mut self,
        now: Instant,
        header: &Header,
        prk: &Prk,
        local: Local,
        datagram: &'d mut [u8],
    ) -> Result<&'d [u8], Rejected> {
        let from = header.from;
        let held = self.candidate.as_ref().is_some_and(|candidate| candidate.is_of(header));
        let older = self.candidate.as_ref().is_some_and(|held| header.boot < held.boot);
        if !held {
            let seal = self.derive(now, header, prk, older)?;
            let mut session = Session::new(now, header, seal);
            let payload = open_once(&mut session, now, header, prk, datagram)?;
            self.candidate = Some(session);
            return self.promote(now, header, local).map(|()| payload);
        }
        let Some(candidate) = self.candidate.as_mut() else {
            return Err(Rejected::NotFresh(from));
        };
        let payload = open_once(candidate, now, header, prk, datagram)?;
        self.promote(now, header, local).map(|()| payload)
    }

    /// Derives the seal of a life not known yet, as often as the allowance permits.
    fn derive(
        &mut self,
        now: Instant,
        header: &Header,
        prk: &Prk,
        older: bool,
    ) -> Result<Seal, Rejected> {
        if older {
            return Err(Rejected::StaleBoot(header.from));
        }
        if !self.allowance.take(now) {
            return Err(Rejected::Hurried(header.from));
        }
        Ok(Seal::derive(prk, header.key, header.from, header.boot, header.salt))
    }

    /// After an authentic frame of the candidate: it becomes the current life if it knows ours.
    fn promote(&mut self, now: Instant, header: &Header, local: Local) -> Result<(), Rejected> {
        match fresh(header, local) {
            Ok(()) => {
                if let Some(mut session) = self.candidate.take() {
                    session.since = now;
                    if let Some(earlier) = self.current.replace(session) {
                        self.other = Some(earlier);
                    }
                }
                Ok(())
            }
            Err(rejected) => Err(self.parallel(now, header).unwrap_or(rejected)),
        }
    }

    /// Whether the candidate has been heard for long beside a current life that is heard, too.
    fn parallel(&self, now: Instant, header: &Header) -> Option<Rejected> {
        let (current, candidate) = (self.current.as_ref()?, self.candidate.as_ref()?);
        let both = now.since(candidate.since) >= LATE && current.heard > candidate.since;
        let recent = now.since(current.heard) < LATE;
        (both && recent).then_some(Rejected::DuplicateId {
            node: header.from,
            accepted: current.boot,
            other: candidate.boot,
        })
    }

    /// A frame of an earlier life, or of a second process with the same boot id.
    fn refuse_other(
        &mut self,
        now: Instant,
        header: &Header,
        prk: &Prk,
        datagram: &mut [u8],
    ) -> Rejected {
        let from = header.from;
        let Some((accepted, since)) = self.current.as_ref().map(|life| (life.boot, life.since))
        else {
            return Rejected::StaleBoot(from);
        };
        let late = header.boot < accepted && now.since(since) < LATE;
        if late || !self.others_allowance.take(now) {
            return Rejected::StaleBoot(from);
        }
        let held = self.other.as_ref().is_some_and(|other| other.is_of(header));
        let mut session = match self.other.take_if(|_| held) {
            Some(session) => session,
            None => {
                let seal = Seal::derive(prk, header.key, from, header.boot, header.salt);
                Session::new(now, header, seal)
            }
        };
        let opened = open_once(&mut session, now, header, prk, datagram).map(|_| ());
        // A forgery under a new boot id must not push out what is known.
        if held || opened.is_ok() {
            self.other = Some(session);
        }
        match opened {
            Ok(()) => Rejected::DuplicateId { node: from, accepted, other: header.boot },
            Err(rejected) => rejected,
        }
    }
}

/// Opens a frame of `session` that was not seen before.
fn open_once<'d>(
    session: &mut Session,
    now: Instant,
    header: &Header,
    prk: &Prk,
    datagram: &'d mut [u8],
) -> Result<&'d [u8], Rejected> {
    if !session.is_new(header) {
        return Err(Rejected::Replayed(header.from));
    }
    let Some(payload) = session.seal(header, prk).open(header, datagram) else {
        return Err(Rejected::Forged(header.from));
    };
    session.mark(now, header);
    Ok(payload)
}

/// Whether an authentic frame is for this life of ours. If it is for a later one, a second process runs
/// under our id and the sender accepts that one.
fn fresh(header: &Header, local: Local) -> Result<(), Rejected> {
    if header.to_boot == local.boot {
        Ok(())
    } else if header.to_boot > local.boot {
        let (accepted, other) = (header.to_boot, local.boot);
        Err(Rejected::DuplicateId { node: local.node, accepted, other })
    } else {
        Err(Rejected::NotFresh(header.from))
    }
}

#[cfg(test)]
mod tests;
