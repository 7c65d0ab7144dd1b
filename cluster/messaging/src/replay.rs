//! The replay window: which counters of one sender and link were seen.

/// Width of a window in counters. Frames to one peer on one link are numbered without gaps, so this is
/// how many frames may overtake another on one link: at 20 % loss and 100 ms of jitter the busiest link
/// tried had 400 in flight.
pub const WINDOW: u64 = 1024;

const WORDS: usize = 16;

/// What the window says about a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not seen before.
    New,
    /// Seen before.
    Replayed,
    /// More than [`WINDOW`] behind the newest: it cannot be told whether it was seen.
    TooOld,
}

/// A sliding bitmap over the newest [`WINDOW`] counters (the scheme of RFC 4303 §3.4.3).
///
/// [`check`](Self::check) before the frame is authenticated (it costs nothing), and
/// [`mark`](Self::mark) only after: a forged counter must not move the window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayWindow {
    /// The largest counter marked; 0 when none was, for counters start at 1.
    newest: u64,
    /// Bit `c % WINDOW` is set when counter `c` within the window was marked.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// A window that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a frame with this counter may be accepted.
    #[must_use]
    pub fn check(&self, counter: u64) -> Verdict {
        if counter == 0 {
            return Verdict::TooOld;
        }
        if counter > self.newest {
            return Verdict::New;
        }
        if self.newest - counter >= WINDOW {
            return Verdict::TooOld;
        }
        let (word, bit) = place(counter);
        if self.seen[word] & bit == 0 { Verdict::New } else { Verdict::Replayed }
    }

    /// Records an authenticated frame. Counters that [`check`](Self::check) refuses change nothing.
    pub fn mark(&mut self, counter: u64) {
        if self.check(counter) != Verdict::New {
            return;
        }
        if counter > self.newest {
            let steps = counter - self.newest;
            if steps >= WINDOW {
                self.seen = [0; WORDS];
            } else {
                for skipped in self.newest + 1..counter {
                    let (word, bit) = place(skipped);
                    self.seen[word] &= !bit;
                }
            }
            self.newest = counter;
        }
        let (word, bit) = place(counter);
        self.seen[word] |= bit;
    }

    /// The largest counter accepted so far; 0 when none was.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.newest
    }
}

/// Word and bit of a counter in the ring.
fn place(counter: u64) -> (usize, u64) {
    let slot = counter % WINDOW;
    let word = usize::try_from(slot / 64).unwrap_or(0);
    (word, 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use haven_base::Rng;

    use super::*;

    #[test]
    fn a_counter_is_accepted_once() {
        let mut window = ReplayWindow::new();
        assert_eq!(window.check(1), Verdict::New);
        window.mark(1);
        assert_eq!(window.check(1), Verdict::Replayed);
        assert_eq!(window.check(0), Verdict::TooOld);
        window.mark(u64::MAX);
        assert_eq!(window.check(u64::MAX), Verdict::Replayed);
        assert_eq!(window.check(1), Verdict::TooOld);
    }

    #[test]
    fn the_edge_of_the_window_is_exact() {
        let mut window = ReplayWindow::new();
        window.mark(5000);
        assert_eq!(window.check(5000 - WINDOW + 1), Verdict::New);
        assert_eq!(window.check(5000 - WINDOW), Verdict::TooOld);
    }

    #[test]
    fn it_agrees_with_a_set_of_all_counters_seen() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut window = ReplayWindow::new();
            let mut seen = BTreeSet::new();
            let mut top = 1_u64;
            for _ in 0..2_000 {
                let jump = if rng.chance(1, 50) { 3 * WINDOW } else { 8 };
                top += rng.below(jump);
                let counter = top.saturating_sub(rng.below(WINDOW + 200));
                let newest: u64 = seen.last().copied().unwrap_or(0);
                let expected = if counter == 0 || newest.saturating_sub(counter) >= WINDOW {
                    Verdict::TooOld
                } else if seen.contains(&counter) {
                    Verdict::Replayed
                } else {
                    Verdict::New
                };
                assert_eq!(window.check(counter), expected, "seed {seed} counter {counter}");
                window.mark(counter);
                if expected == Verdict::New {
                    seen.insert(counter);
                }
            }
        }
    }
}
