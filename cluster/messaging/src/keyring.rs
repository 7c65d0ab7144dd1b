//! Cluster keys, and the change from one to the next without a restart.

use std::fmt;
use std::time::Duration;

use haven_base::Instant;
use ring::hkdf;
use serde::{Deserialize, Serialize};

use crate::frame::KeyId;

/// Keys a node accepts at one time: the old, the new.
pub const MAX_KEYS: usize = 2;

/// A secret of the whole cluster and its number. Every change raises the epoch.
///
/// `Debug` prints the epoch and never the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterKey {
    /// 1 for the first key of a cluster.
    pub epoch: u32,
    /// 256 random bits.
    pub secret: [u8; 32],
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterKey").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// Output length for HKDF.
struct Bytes(usize);

impl hkdf::KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

impl ClusterKey {
    /// The pseudorandom key all others derive from (RFC 5869 §2.2).
    pub(crate) fn extract(&self) -> hkdf::Prk {
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"haven cluster key 1").extract(&self.secret)
    }

    /// What stands for this key in every frame's header; reveals nothing about the secret.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let mut tag = [0; 4];
        derive(&self.extract(), &[b"tag", &self.epoch.to_be_bytes()], &mut tag);
        KeyId { epoch: self.epoch, tag: u32::from_be_bytes(tag) }
    }

    /// What may be published about this key: the log carries it, the secret goes over TLS only.
    #[must_use]
    pub fn notice(&self) -> KeyNotice {
        let mut fingerprint = [0; 32];
        derive(&self.extract(), &[b"fingerprint", &self.epoch.to_be_bytes()], &mut fingerprint);
        KeyNotice { epoch: self.epoch, fingerprint }
    }
}

/// Fills `out` (at most 255 × 32 bytes, RFC 5869 §2.3) with key material bound to `info`.
fn derive(prk: &hkdf::Prk, info: &[&[u8]], out: &mut [u8]) {
    let filled = prk.expand(info, Bytes(out.len())).and_then(|okm| okm.fill(out));
    assert!(filled.is_ok(), "HKDF output of {} bytes is within its limit", out.len());
}

/// The payload of a `RotateKey` entry of the replicated log: which key comes next, without its secret.
///
/// A member that lacks the secret asks any other over the TLS channel (both ends are verified there by
/// certificate, so this works also when the key change was missed), and
/// [`matches`](Self::matches) decides whether it was given the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyNotice {
    /// Epoch of the key.
    pub epoch: u32,
    /// Derived from the key; reveals nothing about it.
    pub fingerprint: [u8; 32],
}

impl KeyNotice {
    /// Whether `key` is the one announced.
    #[must_use]
    pub fn matches(&self, key: &ClusterKey) -> bool {
        key.notice() == *self
    }
}

/// The keys in use: one seals, all of them open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyring {
    sealing: u32,
    keys: Vec<ClusterKey>,
}

impl Keyring {
    /// A ring of one key.
    #[must_use]
    pub fn new(key: ClusterKey) -> Self {
        Self { sealing: key.epoch, keys: vec![key] }
    }

    /// The key that seals.
    #[must_use]
    pub fn sealing(&self) -> &ClusterKey {
        let found = self.keys.iter().find(|key| key.epoch == self.sealing);
        // Every constructor and change keeps it; a ring read from a file is checked by `is_sound`.
        found.unwrap_or(&self.keys[0])
    }

    /// All keys accepted, oldest first.
    #[must_use]
    pub fn accepted(&self) -> &[ClusterKey] {
        &self.keys
    }

    /// The key of this epoch, if it is accepted.
    #[must_use]
    pub fn get(&self, epoch: u32) -> Option<&ClusterKey> {
        self.keys.iter().find(|key| key.epoch == epoch)
    }

    /// Epoch of the newest key accepted.
    #[must_use]
    pub fn newest(&self) -> u32 {
        self.keys.last().map_or(self.sealing, |newest| newest.epoch)
    }

    /// The ring without keys newer than `epoch`; `None` when the sealing one is among them.
    #[must_use]
    pub fn up_to(&self, epoch: u32) -> Option<Self> {
        let keys = self.keys.iter().filter(|key| key.epoch <= epoch).cloned().collect();
        (self.sealing <= epoch).then_some(Self { sealing: self.sealing, keys })
    }

    /// Whether a ring that was read from a file holds together: 1 to [`MAX_KEYS`] keys, rising epochs,
    /// the sealing one among them.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        !self.keys.is_empty()
            && self.keys.len() <= MAX_KEYS
            && self.keys.windows(2).all(|pair| pair[0].epoch < pair[1].epoch)
            && self.get(self.sealing).is_some()
    }
}

/// Why a key change cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyChangeError {
    /// The new epoch is not newer than those held.
    #[error(
        "cannot change to key {offered}: this node holds key {newest} already, and keys only go forward"
    )]
    NotNewer {
        /// Epoch of the key offered.
        offered: u32,
        /// Newest epoch held.
        newest: u32,
    },
    /// An earlier change has not ended.
    #[error(
        "cannot change to key {offered}: the change to key {running} is still under way; try again in {wait:?}"
    )]
    Running {
        /// Epoch of the key offered.
        offered: u32,
        /// Epoch of the change under way.
        running: u32,
        /// Time until it ends.
        wait: Duration,
    },
}

/// Moves a node from one cluster key to the next: accept the new one, later seal with it, later refuse
/// the old one. Driven by committed entries and time; every node runs its own.
///
/// ```text
///  install ──accept both, seal old──▶ +switch_after ──accept both, seal new──▶ +retire_after ──new only
/// ```
/// `switch_after` must exceed the time by which members apply the same entry apart from each other,
/// otherwise a slow one refuses the frames of a fast one for a while; whoever knows what the others hold
/// leads the change by [`switch`](Self::switch) and [`retire`](Self::retire) instead. A node that was
/// away longer is refused with [`Rejected::RetiredKey`](crate::Rejected::RetiredKey) and fetches the key over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    ring: Keyring,
    running: Option<Running>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Running {
    switch_at: Instant,
    retire_at: Instant,
}

impl Running {
    fn since(now: Instant, switch_after: Duration, retire_after: Duration) -> Self {
        let retire_after = retire_after.max(switch_after);
        Self { switch_at: now + switch_after, retire_at: now + retire_after }
    }
}

impl KeyChange {
    /// No change under way. A ring of two keys (the process ended during a change, or the ring was
    /// fetched from a member in the midst of one) goes on with the change, as if both had been accepted
    /// now: it seals as it says for `switch_after`, because others may not hold the new key yet.
    #[must_use]
    pub fn new(
        now: Instant,
        ring: Keyring,
        switch_after: Duration,
        retire_after: Duration,
    ) -> Self {
        let changes = ring.keys.len() > 1;
        let running = changes.then(|| Running::since(now, switch_after, retire_after));
        Self { ring, running }
    }

    /// The keys to use now.
    #[must_use]
    pub fn ring(&self) -> &Keyring {
        &self.ring
    }

    /// Begins the change to `key`. On success the ring has changed: write it down, then use it.
    /// A key that is already in the ring changes nothing.
    ///
    /// # Errors
    /// [`KeyChangeError`]; the ring is as before.
    pub fn install(
        &mut self,
        now: Instant,
        key: ClusterKey,
        switch_after: Duration,
        retire_after: Duration,
    ) -> Result<(), KeyChangeError> {
        if self.ring.get(key.epoch) == Some(&key) {
            return Ok(());
        }
        let newest = self.ring.newest();
        if let Some(running) = self.running {
            return Err(KeyChangeError::Running {
                offered: key.epoch,
                running: newest,
                wait: running.retire_at.since(now),
            });
        }
        if key.epoch <= newest {
            return Err(KeyChangeError::NotNewer { offered: key.epoch, newest });
        }
        self.ring.keys.push(key);
        self.running = Some(Running::since(now, switch_after, retire_after));
        Ok(())
    }

    /// Seals with the newest key from now on, whatever the time. True when the ring changed.
    pub fn switch(&mut self) -> bool {
        let newest = self.ring.newest();
        let changed = self.ring.sealing != newest;
        self.ring.sealing = newest;
        changed
    }

    /// Ends the change, whatever the time: only the newest key is left. True when the ring changed.
    pub fn retire(&mut self) -> bool {
        let newest = self.ring.newest();
        let before = self.ring.keys.len();
        self.ring.sealing = newest;
        self.ring.keys.retain(|key| key.epoch == newest);
        self.running = None;
        self.ring.keys.len() != before
    }

    /// Lets time pass, for a node that knows nothing of the others' progress. True when the ring
    /// changed: write it down, then use it.
    pub fn tick(&mut self, now: Instant) -> bool {
        let Some(running) = self.running else { return false };
        if now >= running.retire_at {
            return self.retire();
        }
        now >= running.switch_at && self.switch()
    }

    /// When the next [`tick`](Self::tick) is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let running = self.running?;
        let newest = self.ring.keys.last()?.epoch;
        Some(if self.ring.sealing == newest { running.retire_at } else { running.switch_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(epoch: u32) -> ClusterKey {
        ClusterKey { epoch, secret: [u8::try_from(epoch).unwrap(); 32] }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    const SWITCH: Duration = Duration::from_secs(10);
    const RETIRE: Duration = Duration::from_secs(60);

    fn fresh(key: ClusterKey) -> KeyChange {
        KeyChange::new(at(0), Keyring::new(key), SWITCH, RETIRE)
    }

    #[test]
    fn a_change_accepts_both_then_seals_new_then_refuses_old() {
        let mut change = fresh(key(1));
        change.install(at(100), key(2), SWITCH, RETIRE).unwrap();
        assert_eq!(change.ring().sealing().epoch, 1);
        assert_eq!(change.ring().accepted().len(), 2);
        assert_eq!(change.deadline(), Some(at(110)));
        assert!(!change.tick(at(109)));
        assert!(change.tick(at(110)));
        assert_eq!(change.ring().sealing().epoch, 2);
        assert_eq!(change.ring().accepted().len(), 2);
        assert!(!change.tick(at(159)));
        assert!(change.tick(at(160)));
        assert_eq!(change.ring(), &Keyring::new(key(2)));
        assert_eq!(change.deadline(), None);
    }

    #[test]
    fn only_newer_keys_are_taken_and_one_change_at_a_time() {
        let mut change = fresh(key(1));
        let other = ClusterKey { epoch: 1, secret: [8; 32] };
        let refused = change.install(at(0), other, SWITCH, RETIRE).unwrap_err();
        assert_eq!(refused, KeyChangeError::NotNewer { offered: 1, newest: 1 });
        change.install(at(0), key(2), SWITCH, RETIRE).unwrap();
        change.install(at(0), key(2), SWITCH, RETIRE).unwrap();
        let refused = change.install(at(50), key(3), SWITCH, RETIRE).unwrap_err();
        let wait = Duration::from_secs(10);
        assert_eq!(refused, KeyChangeError::Running { offered: 3, running: 2, wait });
    }

    #[test]
    fn a_restart_during_a_change_ends_it() {
        let mut before = fresh(key(1));
        before.install(at(0), key(2), SWITCH, RETIRE).unwrap();
        let mut after = KeyChange::new(at(5), before.ring().clone(), SWITCH, RETIRE);
        assert_eq!(after.ring().sealing().epoch, 1, "others may not hold the new one yet");
        assert!(after.tick(at(15)));
        assert_eq!(after.ring().sealing().epoch, 2);
        let mut later = KeyChange::new(at(20), after.ring().clone(), SWITCH, RETIRE);
        assert_eq!(later.ring().sealing().epoch, 2, "what has begun is not taken back");
        assert!(later.tick(at(80)));
        assert_eq!(later.ring(), &Keyring::new(key(2)));
    }

    #[test]
    fn a_change_can_be_led_by_what_others_are_known_to_hold() {
        let mut change = fresh(key(1));
        assert!(!change.switch() && !change.retire(), "nothing to change");
        change.install(at(0), key(2), SWITCH, RETIRE).unwrap();
        assert_eq!(change.ring().up_to(1), Some(Keyring::new(key(1))));
        assert!(change.switch());
        assert!(!change.switch());
        assert_eq!(change.ring().up_to(1), None, "it seals with a newer one");
        assert_eq!(change.deadline(), Some(at(60)));
        assert!(change.retire());
        assert_eq!((change.ring(), change.deadline()), (&Keyring::new(key(2)), None));
    }

    #[test]
    fn a_notice_recognises_its_key_and_debug_hides_the_secret() {
        assert!(key(2).notice().matches(&key(2)));
        let other = ClusterKey { epoch: 2, secret: [9; 32] };
        assert!(!key(2).notice().matches(&other));
        assert_ne!(key(2).id(), other.id());
        assert_eq!(format!("{:?}", key(7)), "ClusterKey { epoch: 7, .. }");
    }

    #[test]
    fn unsound_rings_are_recognised() {
        assert!(Keyring::new(key(1)).is_sound());
        assert!(!Keyring { sealing: 2, keys: vec![key(1)] }.is_sound());
        assert!(!Keyring { sealing: 1, keys: vec![] }.is_sound());
        assert!(!Keyring { sealing: 1, keys: vec![key(2), key(1)] }.is_sound());
    }
}
