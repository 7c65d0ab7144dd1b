//! What a node remembers of one peer: the keys and replay windows of its lives.

use std::fmt;
use std::time::Duration;

use haven_base::Instant;
use haven_types::{BootId, NodeId};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::Prk;

use crate::frame::{HEADER, Header, KeyId, LINKS, MAX_DATAGRAM, OVERHEAD, TAG};
use crate::replay::{ReplayWindow, Verdict};

/// The seal of one process under one cluster key.
pub(crate) struct Seal {
    id: KeyId,
    key: LessSafeKey,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Seal {
    /// Derives the key of process (`node`, `boot`, `salt`) from a cluster key.
    pub(crate) fn derive(prk: &Prk, id: KeyId, node: NodeId, boot: BootId, salt: u64) -> Self {
        let info = [
            b"frame".as_slice(),
            &id.epoch.to_be_bytes(),
            &node.0.to_be_bytes(),
            &boot.0.to_be_bytes(),
            &salt.to_be_bytes(),
        ];
        let Ok(okm) = prk.expand(&info, &AES_256_GCM) else {
            // One key is far below HKDF's limit of 255 blocks.
            unreachable!("HKDF gives 32 bytes")
        };
        Self { id, key: LessSafeKey::new(UnboundKey::from(okm)) }
    }

    /// Writes the sealed datagram to `out`, replacing what was there. False when the payload exceeds
    /// what the cipher takes; the caller's limit is far below.
    pub(crate) fn seal(&self, header: &Header, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let clear = header.encode();
        out.clear();
        out.reserve(payload.len() + OVERHEAD);
        out.extend_from_slice(&clear);
        out.extend_from_slice(payload);
        let nonce = Nonce::assume_unique_for_key(header.nonce());
        let sealed =
            self.key.seal_in_place_separate_tag(nonce, Aad::from(clear), &mut out[HEADER..]);
        let Ok(tag) = sealed else {
            out.clear();
            return false;
        };
        out.extend_from_slice(tag.as_ref());
        debug_assert!(out.len() <= MAX_DATAGRAM, "the caller bounds payloads");
        true
    }

    /// Opens a datagram in place; `None` when it is not authentic.
    pub(crate) fn open<'d>(&self, header: &Header, datagram: &'d mut [u8]) -> Option<&'d [u8]> {
        let (clear, sealed) = datagram.split_at_mut_checked(HEADER)?;
        if sealed.len() < TAG {
            return None;
        }
        let nonce = Nonce::assume_unique_for_key(header.nonce());
        self.key.open_in_place(nonce, Aad::from(&*clear), sealed).ok().map(|payload| &*payload)
    }
}

/// One life of a peer as far as its frames have shown it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) boot: BootId,
    pub(crate) salt: u64,
    /// When its first frame came; for the accepted life, when it was accepted.
    pub(crate) since: Instant,
    /// When its newest authentic frame came.
    pub(crate) heard: Instant,
    seals: Vec<Seal>,
    windows: [ReplayWindow; LINKS],
}

impl Session {
    pub(crate) fn new(now: Instant, header: &Header, seal: Seal) -> Self {
        Self {
            boot: header.boot,
            salt: header.salt,
            since: now,
            heard: now,
            seals: vec![seal],
            windows: std::array::from_fn(|_| ReplayWindow::new()),
        }
    }

    pub(crate) fn is_of(&self, header: &Header) -> bool {
        self.boot == header.boot && self.salt == header.salt
    }

    pub(crate) fn is_new(&self, header: &Header) -> bool {
        self.windows[usize::from(header.link.0)].check(header.counter) == Verdict::New
    }

    pub(crate) fn mark(&mut self, now: Instant, header: &Header) {
        self.heard = now;
        self.windows[usize::from(header.link.0)].mark(header.counter);
    }

    /// The seal of this life under the header's key, derived at its first use.
    pub(crate) fn seal(&mut self, header: &Header, prk: &Prk) -> &Seal {
        let held = self.seals.iter().position(|seal| seal.id == header.key);
        let at = held.unwrap_or_else(|| {
            // Two epochs are accepted at most, so the oldest of three is unused.
            if self.seals.len() >= crate::keyring::MAX_KEYS {
                self.seals.remove(0);
            }
            self.seals.push(Seal::derive(prk, header.key, header.from, self.boot, self.salt));
            self.seals.len() - 1
        });
        &self.seals[at]
    }
}

/// Deriving a key costs some microseconds: strangers who invent boot ids get a thousand a second, which
/// is half a percent of a core and leaves room for a node that restarts meanwhile.
#[derive(Debug)]
pub(crate) struct Allowance {
    left: u32,
    refilled: Instant,
}

impl Allowance {
    const BURST: u32 = 64;
    const EVERY: Duration = Duration::from_millis(1);

    pub(crate) fn full(now: Instant) -> Self {
        Self { left: Self::BURST, refilled: now }
    }

    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let gained = now.since(self.refilled).as_millis() / Self::EVERY.as_millis();
        if gained > 0 {
            let gained = u32::try_from(gained).unwrap_or(Self::BURST).min(Self::BURST);
            self.left = (self.left + gained).min(Self::BURST);
            self.refilled = now;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

/// A peer and its lives.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The life whose frames are accepted: it has proved to know of our own present life.
    pub(crate) current: Option<Session>,
    /// A later life that is authentic and has not proved that yet: perhaps recorded frames.
    pub(crate) candidate: Option<Session>,
    /// An earlier or parallel life, kept to tell a late frame from a second process.
    pub(crate) other: Option<Session>,
    pub(crate) allowance: Allowance,
    /// The same for earlier and parallel lives, so that they cannot keep out a new one.
    pub(crate) others_allowance: Allowance,
    /// Numbers of the datagrams sent to this peer, by link.
    pub(crate) counters: [u64; LINKS],
}

impl Peer {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            current: None,
            candidate: None,
            other: None,
            allowance: Allowance::full(now),
            others_allowance: Allowance::full(now),
            counters: [0; LINKS],
        }
    }

    /// The boot id to stamp on frames to this peer; 0 when none is known.
    ///
    /// Never that of a candidate beside a current life: a node that restarted learns our boot id from
    /// frames stamped with its earlier one and shows it, and then it is the current life; a second
    /// process that does not hear us must not take the frames of the one that does.
    pub(crate) fn stamp(&self) -> BootId {
        let known = self.current.as_ref().or(self.candidate.as_ref());
        known.map_or(BootId(0), |session| session.boot)
    }
}
