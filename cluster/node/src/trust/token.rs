//! The text an operator carries from a member to a new node.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haven_base::WallTime;
use haven_host::identity::{EntropyError, fill};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// How long a token can be used.
pub const LIFETIME: Duration = haven_controller::TOKEN_LIFETIME;

const PREFIX: &str = "haven1-";
const CHECK: usize = 4;
/// Expiry 8, fingerprint 32, secret 32, check 4.
const LENGTH: usize = 8 + 32 + 32 + CHECK;

/// Proof of an operator's permission to join, and of which cluster.
///
/// Text form: `haven1-` and 102 characters of URL-safe base64 (expiry, fingerprint of the authority,
/// secret, four bytes of SHA-256 over these). Whoever has it can join once until it expires.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// SHA-256 of the certificate of the cluster's authority.
    pub authority: [u8; 32],
    /// 256 random bits.
    pub secret: [u8; 32],
    /// From then on it is refused.
    pub expires: WallTime,
}

/// What the cluster stores about a token: nothing from which it could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TokenRecord {
    /// SHA-256 of the secret.
    pub token: [u8; 32],
    /// From then on it is refused.
    pub expires: WallTime,
}

/// Why a text is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not begin like one.
    #[error(
        "this is no join token: it must begin with {PREFIX}; copy the line that `haven cluster token` printed"
    )]
    Prefix,
    /// Characters are missing, added or changed.
    #[error("the join token is damaged: characters are missing or changed; copy it again, whole")]
    Damaged,
    /// Its time is over.
    #[error("the join token expired {} ago (by this host's clock); print a new one with `haven cluster token`", match ago.as_secs() { seconds @ 0..120 => format!("{seconds} s"), seconds => format!("{} min", seconds / 60) })]
    Expired {
        /// Time since it expired.
        ago: Duration,
    },
}

impl JoinToken {
    /// A new token for the cluster whose authority has this fingerprint.
    ///
    /// # Errors
    /// When the kernel gives no entropy.
    pub fn mint(now: WallTime, authority: [u8; 32]) -> Result<Self, EntropyError> {
        let mut secret = [0; 32];
        fill(&mut secret)?;
        let lifetime = i64::try_from(LIFETIME.as_secs()).unwrap_or(i64::MAX);
        let expires = WallTime::from_seconds(now.seconds.saturating_add(lifetime));
        Ok(Self { authority, secret, expires })
    }

    /// What to store in the cluster.
    #[must_use]
    pub fn record(&self) -> TokenRecord {
        TokenRecord { token: hash(&self.secret), expires: self.expires }
    }

    /// The line to type on the new node; the addresses are those of the channels of members, tried in
    /// this order.
    #[must_use]
    pub fn command(&self, addresses: &[SocketAddr]) -> String {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        format!("haven cluster join {} {}", addresses.join(","), self.text())
    }

    /// The token as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend(self.expires.seconds.to_be_bytes());
        bytes.extend(self.authority);
        bytes.extend(self.secret);
        let check = digest(&SHA256, &bytes);
        bytes.extend(&check.as_ref()[..CHECK]);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Whether it can still be used.
    ///
    /// # Errors
    /// [`TokenError::Expired`].
    pub fn check_time(&self, now: WallTime) -> Result<(), TokenError> {
        let over = now.seconds.saturating_sub(self.expires.seconds);
        match u64::try_from(over) {
            Ok(over) => Err(TokenError::Expired { ago: Duration::from_secs(over) }),
            Err(_) => Ok(()),
        }
    }
}

/// The form in which a secret is stored.
pub(super) fn hash(secret: &[u8; 32]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, secret).as_ref());
    out
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    /// Reads the text form; whether its time is over is another question
    /// ([`check_time`](Self::check_time)).
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Damaged)?;
        let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| TokenError::Damaged)?;
        let (body, check) = bytes.split_at(LENGTH - CHECK);
        if digest(&SHA256, body).as_ref()[..CHECK] != *check {
            return Err(TokenError::Damaged);
        }
        let mut expires = [0; 8];
        let (mut authority, mut secret) = ([0; 32], [0; 32]);
        expires.copy_from_slice(&body[..8]);
        authority.copy_from_slice(&body[8..40]);
        secret.copy_from_slice(&body[40..72]);
        let expires = WallTime::from_seconds(i64::from_be_bytes(expires));
        Ok(Self { authority, secret, expires })
    }
}

#[cfg(test)]
mod tests {
    use haven_base::Rng;

    use super::*;

    fn token() -> JoinToken {
        JoinToken::mint(WallTime::from_seconds(1_000), [7; 32]).unwrap()
    }

    #[test]
    fn the_text_form_reads_back_and_fits_a_command_line() {
        let token = token();
        assert_eq!(token.text().parse(), Ok(token.clone()));
        assert_eq!(format!(" {}\n", token.text()).parse(), Ok(token.clone()));
        let addresses = ["10.77.0.1:5406".parse().unwrap(), "[fd00::1]:5406".parse().unwrap()];
        let command = token.command(&addresses);
        let rest = command.strip_prefix("haven cluster join 10.77.0.1:5406,[fd00::1]:5406 haven1-");
        assert_eq!(rest.map(str::len), Some(102), "{command}");
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        assert!(rest.unwrap().chars().all(safe), "no quoting needed: {command}");
    }

    #[test]
    fn debug_and_record_do_not_reveal_the_secret() {
        let token = token();
        assert_ne!(token.record().token, token.secret);
        assert_eq!(token.record().expires, WallTime::from_seconds(1_000 + 86_400));
        assert!(!format!("{token:?}").contains("secret"));
        assert_ne!(token.secret, self::token().secret);
    }

    #[test]
    fn it_expires_after_a_day() {
        let token = token();
        assert_eq!(token.check_time(WallTime::from_seconds(1_000 + 86_399)), Ok(()));
        let late = token.check_time(WallTime::from_seconds(1_000 + 86_400 + 600)).unwrap_err();
        assert_eq!(late, TokenError::Expired { ago: Duration::from_secs(600) });
        assert!(late.to_string().contains("10 min ago"));
    }

    #[test]
    fn no_changed_text_passes_for_a_token() {
        assert_eq!("hello".parse::<JoinToken>(), Err(TokenError::Prefix));
        let text = token().text();
        let mut rng = Rng::new(3);
        for _ in 0..20_000 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..=rng.below(3) {
                let place = rng.below(bytes.len() as u64) as usize;
                match rng.below(3) {
                    0 => bytes[place] = b' ' + rng.below(95) as u8,
                    1 => bytes.truncate(place.max(1)),
                    _ => bytes.insert(place, b' ' + rng.below(95) as u8),
                }
            }
            let changed = String::from_utf8(bytes).unwrap();
            if changed.trim() != text {
                assert!(changed.parse::<JoinToken>().is_err(), "{changed}");
            }
        }
    }
}
