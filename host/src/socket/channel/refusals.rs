//! Refused connections: told once in a while, counted always.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// The same refusal of the same address is told once in this time.
const EVERY: Duration = Duration::from_secs(10);
/// Refusals told apart; the rest are counted together.
const KINDS: usize = 64;

/// Who was refused, and why; nobody in particular when there are too many to tell apart.
type Kind = Option<(IpAddr, String)>;

#[derive(Debug, Default)]
pub(super) struct Refusals {
    known: BTreeMap<Kind, (Instant, u64)>,
}

impl Refusals {
    /// Counts a refusal; how often it happened since it was told last, if it is to be told now.
    pub(super) fn note(&mut self, now: Instant, from: IpAddr, reason: &str) -> Option<u64> {
        let mut kind = Some((from, reason.to_owned()));
        if !self.known.contains_key(&kind) && self.known.len() >= KINDS {
            let quiet = |since: Instant| now.duration_since(since) >= EVERY;
            self.known.retain(|_, (told, times)| !quiet(*told) || *times > 0);
            if self.known.len() >= KINDS {
                kind = None;
            }
        }
        let Some((told, times)) = self.known.get_mut(&kind) else {
            self.known.insert(kind, (now, 0));
            return Some(1);
        };
        *times += 1;
        if now.duration_since(*told) < EVERY {
            return None;
        }
        *told = now;
        Some(std::mem::take(times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_refusals_is_told_once_in_ten_seconds_with_its_number() {
        let mut refusals = Refusals::default();
        let start = Instant::now();
        let from: IpAddr = "192.0.2.1".parse().unwrap();
        let told: Vec<u64> = (0..250)
            .filter_map(|n| refusals.note(start + Duration::from_millis(n * 100), from, "noise"))
            .collect();
        assert_eq!(told, [1, 100, 100]);
        assert_eq!(refusals.note(start, "192.0.2.2".parse().unwrap(), "noise"), Some(1));
    }

    #[test]
    fn many_addresses_share_one_line() {
        let mut refusals = Refusals::default();
        let now = Instant::now();
        let told = (0..10_000_u32)
            .filter_map(|n| refusals.note(now, IpAddr::from(n.to_be_bytes()), "noise"))
            .count();
        assert_eq!(told, KINDS + 1);
        assert_eq!(refusals.known.len(), KINDS + 1);
    }
}
