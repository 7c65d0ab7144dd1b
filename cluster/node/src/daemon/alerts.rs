//! Alerts: the operator's programs are called beside everything else, and never waited for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use haven_base::WallTime;
use haven_controller::Alert;
use haven_host::process::{Call, Launcher};
use tokio::sync::Semaphore;

/// Where they look for programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Programs that run at once.
const MAX_AT_ONCE: usize = 16;
/// Calls that run or wait; one more is dropped, with a line in the log.
const MAX_CALLS: usize = 256;
/// Kept of what a program prints, for the log.
const KEPT: usize = 1024;

/// Calls the operator's programs.
#[derive(Debug)]
pub(super) struct Alerts {
    launcher: Option<Launcher>,
    turns: Arc<Semaphore>,
    /// One permit for each call that runs or waits.
    places: Arc<Semaphore>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            launcher: None,
            turns: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            places: Arc::new(Semaphore::new(MAX_CALLS)),
        }
    }
}

impl Alerts {
    /// Calls a program, now or when it is its turn.
    pub(super) fn tell(&mut self, alert: Alert) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!(alert = alert.id, "dropped: {MAX_CALLS} alerts are waiting already");
            return;
        };
        let Some(launcher) = self.launcher() else { return };
        let turns = Arc::clone(&self.turns);
        tokio::spawn(async move {
            // A semaphore that is never closed.
            let _turn = turns.acquire_owned().await;
            call(&launcher, alert).await;
            drop(place);
        });
    }

    /// Made with the first alert: most clusters have none.
    fn launcher(&mut self) -> Option<Launcher> {
        if self.launcher.is_none() {
            match Launcher::start(None) {
                Ok(launcher) => self.launcher = Some(launcher),
                Err(error) => {
                    tracing::warn!("alerts cannot be run: {error}; restart the daemon");
                }
            }
        }
        self.launcher.clone()
    }
}

async fn call(launcher: &Launcher, alert: Alert) {
    let mut environment = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    environment.extend(alert.environment);
    let stamp = timestamp(&alert.timestamp_format, alert.at);
    environment.insert("CRM_alert_timestamp".to_owned(), stamp);
    let call = Call {
        scope: format!("alert {}", alert.id),
        program: PathBuf::from(&alert.program),
        args: Vec::new(),
        environment,
        stdout_max: KEPT,
        stderr_max: KEPT,
        note_prefix: "alert-note:",
    };
    let (id, program) = (alert.id, alert.program);
    match tokio::time::timeout(alert.timeout, launcher.call(call)).await {
        Ok(Ok(ended)) if ended.code == Some(0) => {}
        Ok(Ok(ended)) => {
            let said = ended.stderr.lines().last().unwrap_or_default();
            tracing::warn!(alert = id, code = ?ended.code, "{program} failed: {said}");
        }
        Ok(Err(error)) => tracing::warn!(alert = id, "{program} could not be run: {error}"),
        Err(_) => {
            let limit = alert.timeout.as_millis();
            tracing::warn!(alert = id, "{program} was ended after {limit} ms");
        }
    }
}

/// A time of this host's zone as `date` writes it; a format that it cannot follow is written as it is.
fn timestamp(format: &str, at: WallTime) -> String {
    let format = with_fraction(format, at.nanos);
    let nanos = i32::try_from(at.nanos).unwrap_or(0);
    let Ok(instant) = jiff::Timestamp::new(at.seconds, nanos) else { return format };
    let zoned = instant.to_zoned(jiff::tz::TimeZone::system());
    jiff::fmt::strtime::format(&format, &zoned).unwrap_or(format)
}

/// `%N`, `%6N`, `%06N`: digits of the second's fraction, which only `date` knows.
fn with_fraction(format: &str, nanos: u32) -> String {
    let digits = format!("{nanos:09}");
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = &from[1..];
        let count = after.chars().take_while(char::is_ascii_digit).count();
        if after[count..].starts_with('N') {
            let wanted: usize = after[..count].parse().unwrap_or(9);
            out.push_str(&digits[..wanted.clamp(1, 9)]);
            rest = &after[count + 1..];
        } else {
            let taken = after.chars().next().map_or(0, char::len_utf8);
            out.push('%');
            out.push_str(&after[..taken]);
            rest = &after[taken..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_date_does() {
        let at = WallTime { seconds: 1_700_000_000, nanos: 123_456_789 };
        assert_eq!(timestamp("%s.%06N", at), "1700000000.123456");
        assert_eq!(timestamp("%%N %N %3N", at), "%N 123456789 123");
        assert_eq!(timestamp("%Y %", at).split(' ').count(), 2, "never a panic");
        assert_eq!(timestamp("", at), "");
        assert_eq!(timestamp("%H:%M:%S.%06N", at).len(), 15);
    }
}
