//! Waiting for a condition, with a limit.

use std::time::{Duration, Instant};

/// Asks `done` every `step` until it is true or `limit` has passed; returns whether it became true.
pub fn until(limit: Duration, step: Duration, mut done: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if done() {
            return true;
        }
        if started.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(step);
    }
}
