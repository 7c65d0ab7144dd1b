//! Ctrl-C: whatever stands is removed before the program ends.

use std::path::PathBuf;
use std::process::exit;

use tokio::signal::unix::{SignalKind, signal};

use crate::bed::Bed;
use crate::cli::say;
use crate::error::LabError;

/// From now on SIGINT and SIGTERM remove the lab called `name` and end the program with status
/// 130.
///
/// # Errors
/// [`LabError::Io`] when no handler can be installed.
pub fn remove_on_interrupt(name: &str, dir: Option<PathBuf>) -> Result<(), LabError> {
    let failed = || LabError::io("watch for SIGINT and SIGTERM");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed())?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed())?;
    drop(guard);
    let name = name.to_owned();
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        say("\ninterrupted: removing the lab");
        // The main thread may be laying a cable just now: what it laid meanwhile goes as well.
        let removed = Bed::remove(&name, dir.clone()).and_then(|_| Bed::remove(&name, dir));
        if let Err(error) = removed {
            say(&format!("{error}; `haven lab --name {name} down` removes the rest"));
        }
        #[allow(clippy::exit, reason = "the main thread may be waiting for a node that is gone")]
        exit(130);
    });
    Ok(())
}
