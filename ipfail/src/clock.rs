//! The node's clock, and waiting for a point on it.

use haven_base::Instant;

pub(crate) fn now() -> Instant {
    haven_host::drive::boot_time()
}

/// Returns once `at` has come; never for none. tokio waits in whole milliseconds and stands still with a
/// suspended machine, which makes a deadline late, never early.
pub(crate) async fn reached(at: Option<Instant>) {
    let Some(at) = at else { return std::future::pending().await };
    loop {
        let left = at.since(now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}
