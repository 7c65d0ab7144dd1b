//! Ctrl-C: whatever stands is removed before the program ends.

use std::path::PathBuf;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::bed::Bed;
use crate::cli::say;
use crate::error::LabError;

/// Whether the lab is being removed, and with it what the main thread works at.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// How often in a row nothing must be found, and how long to wait between two looks: the main thread may be
/// laying a cable just now, and what it laid meanwhile goes as well.
const EMPTY_LOOKS: u32 = 3;
const LOOK: Duration = Duration::from_millis(30);
/// Looks before what still comes is left to the operator.
const LOOKS: u32 = 100;

/// Does not return once an interrupt removes the lab: the main thread fails at what is gone, and its status and
/// its own clearing up are not what the operator asked for.
pub(crate) fn give_way() {
    while is_under_way() {
        std::thread::park();
    }
}

/// Whether an interrupt removes the lab.
pub(crate) fn is_under_way() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

fn remove_all(name: &str, dir: Option<&PathBuf>) -> Result<(), LabError> {
    let (mut empty, mut last) = (0, Ok(false));
    for _ in 0..LOOKS {
        last = Bed::remove(name, dir.cloned());
        empty = if matches!(last, Ok(false)) { empty + 1 } else { 0 };
        if empty == EMPTY_LOOKS {
            break;
        }
        std::thread::sleep(LOOK);
    }
    last.map(|_| ())
}

/// From now on SIGINT and SIGTERM remove the labs of these names and run directories, and end the program
/// with status 130.
///
/// # Errors
/// [`LabError::Io`] when no handler can be installed.
pub(crate) fn remove_on_interrupt(labs: Vec<(String, Option<PathBuf>)>) -> Result<(), LabError> {
    let failed = || LabError::io("watch for SIGINT and SIGTERM");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed())?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed())?;
    drop(guard);
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        INTERRUPTED.store(true, Ordering::SeqCst);
        say("\ninterrupted: removing the lab");
        for (name, dir) in labs {
            if let Err(error) = remove_all(&name, dir.as_ref()) {
                say(&format!("{error}; `haven lab --name {name} down` removes the rest"));
            }
        }
        #[allow(clippy::exit, reason = "the main thread may be waiting for a node that is gone")]
        exit(130);
    });
    Ok(())
}
