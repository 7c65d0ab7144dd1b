//! New cluster keys.
//!
//! The replicated log carries only a [`KeyNotice`]: which key comes next, without its secret. The secret
//! goes from member to member over the TLS channel, where both ends are proved by certificate. So neither
//! the log, nor its snapshots and backups, nor datagrams sealed with a key that may have leaked ever
//! contain the next key.

use haven_host::identity::{EntropyError, fill};
use haven_messaging::{ClusterKey, KeyNotice, Keyring};
use serde::{Deserialize, Serialize};

use super::message::{decode, encode};

/// A frame of the TLS channel about cluster keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyMessage {
    /// "I lack this key, which the log announces."
    Wanted(KeyNotice),
    /// "Here it is." To be used only if the notice in the log matches it.
    Key(ClusterKey),
    /// "I lack it, too."
    Unknown(KeyNotice),
}

impl KeyMessage {
    /// The bytes for the channel.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads [`encode`](Self::encode)'s bytes; `None` when they are something else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes).ok()
    }

    /// The answer to [`Wanted`](Self::Wanted), from the keys held.
    #[must_use]
    pub fn answer(wanted: KeyNotice, held: &Keyring) -> Self {
        let found = held.accepted().iter().find(|key| wanted.matches(key));
        found.map_or(Self::Unknown(wanted), |key| Self::Key(key.clone()))
    }
}

/// Draws the key that follows those of the ring.
///
/// # Errors
/// When the kernel gives no entropy.
pub fn next_key(held: &Keyring) -> Result<ClusterKey, EntropyError> {
    let mut secret = [0; 32];
    fill(&mut secret)?;
    let newest = held.accepted().iter().map(|key| key.epoch).max().unwrap_or(0);
    Ok(ClusterKey { epoch: newest.saturating_add(1), secret })
}
