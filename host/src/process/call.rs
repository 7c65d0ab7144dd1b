//! One call of a child, from its turn to the last of what it started.
#![allow(unsafe_code, reason = "tokio takes the validity of a pidfd on trust")]

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::family::Family;
use super::launch::{Launcher, Started, pidfd};
use super::output::{self, Keep, Kept};

/// Between TERM and KILL for a call that is given up.
pub const GRACE: Duration = Duration::from_secs(5);
/// How often a dying call is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How long killed processes may take to vanish before the scope is free again.
const VANISH: Duration = Duration::from_secs(2);

/// What to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// Calls of one scope (a resource) never overlap; also the name of its control group.
    pub scope: String,
    /// The file to run.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// Bytes of standard output that are kept, the first.
    pub stdout_max: usize,
    /// Bytes of standard error that are kept, the last.
    pub stderr_max: usize,
    /// Lines of standard error with this beginning are kept apart, the last 16.
    pub note_prefix: &'static str,
}

/// How a child ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Exit code; absent where a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Beginning of its standard output.
    pub stdout: String,
    /// End of its standard error.
    pub stderr: String,
    /// The rest of the lines of standard error that began with the prefix.
    pub notes: Vec<String>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No such file, or not one that can be run.
    #[error("cannot run {program}: {source}")]
    NotRunnable {
        /// The file.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused a process, a pipe, memory.
    #[error("cannot run {program}: {source}")]
    System {
        /// The file.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The call was ended with the daemon.
    #[error("the call was given up")]
    GivenUp,
}

impl Launcher {
    /// Runs a child and waits for its end; what it left running stays. Dropping the future gives the
    /// call up: all it started gets TERM and, [`GRACE`] later, KILL. Until then the scope is busy.
    ///
    /// # Errors
    /// [`CallError`]; a child that ran is no error, whatever it answered.
    pub async fn call(&self, call: Call) -> Result<Ended, CallError> {
        let turn = self.turn(&call.scope).await;
        let (interest, given_up) = oneshot::channel::<()>();
        let task = tokio::spawn(supervise(self.clone(), call, given_up, turn));
        let ended = task.await.map_err(|_| CallError::GivenUp)?;
        drop(interest);
        ended
    }
}

async fn supervise(
    launcher: Launcher,
    call: Call,
    mut given_up: oneshot::Receiver<()>,
    turn: OwnedMutexGuard<()>,
) -> Result<Ended, CallError> {
    let program = call.program.clone();
    let what = format!("{} {}", program.display(), call.args.join(" "));
    let scope = call.scope.clone();
    let keep = (Keep::First(call.stdout_max), Keep::Last(call.stderr_max, call.note_prefix));
    let started = launcher.spawn(call).await.map_err(|source| not_started(&program, source))?;
    let system = |source| CallError::System { program: program.clone(), source };
    let Started { mut child, leaf, mark } = started;
    let mut family = Family { leader: Pid::from_child(&child), leaf, mark, armed: true };
    let stdout = child.stdout.take().map(|pipe| output::read(OwnedFd::from(pipe), keep.0));
    let stderr = child.stderr.take().map(|pipe| output::read(OwnedFd::from(pipe), keep.1));
    let end = pidfd(&child).map_err(system)?;
    // SAFETY: the descriptor is owned by `end`, which neither closes nor replaces it while it lives.
    let end = unsafe { AsyncFd::register_with_interest(end, Interest::READABLE) }
        .map_err(|error| system(io::Error::from(error)))?;
    let ended = tokio::select! {
        biased;
        readable = end.readable() => readable.is_ok(),
        _ = &mut given_up => false,
    };
    if !ended {
        terminate(&family, &end, (&scope, &what)).await;
    } else if killed(&end) {
        // Its parent ends by a signal only where somebody sends one to it: nobody answers for the rest.
        family.kill();
        vanished(&family, &end, VANISH).await;
    } else if let Some(leaf) = &family.leaf {
        leaf.keep_rest();
    }
    family.armed = false;
    if !ended {
        bury(child, family, turn);
        return Err(CallError::GivenUp);
    }
    let status = child.wait();
    // Its number is free from here on; its group is not looked at any more.
    drop(family);
    let status = status.map_err(|source| CallError::System { program: program.clone(), source })?;
    let (stdout, stderr) = (finish(stdout).await, finish(stderr).await);
    drop(turn);
    let (code, signal) = told(status);
    Ok(Ended {
        code,
        signal,
        stdout: String::from_utf8_lossy(&stdout.bytes).into_owned(),
        stderr: String::from_utf8_lossy(&stderr.bytes).into_owned(),
        notes: stderr.notes,
    })
}

/// Exit code or signal of the program, from those of the shell between it and the daemon: 128 and the number stand for a signal
/// (POSIX.1-2017, Shell & Utilities 2.8.2). Real-time signals cannot be told from codes that agents use.
fn told(status: ExitStatus) -> (Option<i32>, Option<i32>) {
    match status.code() {
        Some(code @ 129..=159) => (None, Some(code - 128)),
        code => (code, status.signal()),
    }
}

/// Whether the child was ended by a signal; it stays in the process table.
fn killed(end: &AsyncFd<OwnedFd>) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let status = waitid(WaitId::PidFd(end.get_ref().as_fd()), options);
    status.ok().flatten().is_some_and(|status| status.killed() || status.dumped())
}

/// Takes a killed child from the process table. One that hangs in the kernel keeps its scope busy.
fn bury(mut child: Child, family: Family, turn: OwnedMutexGuard<()>) {
    tokio::task::spawn_blocking(move || {
        drop(child.wait());
        drop(family);
        drop(turn);
    });
}

fn not_started(program: &std::path::Path, source: io::Error) -> CallError {
    let program = program.to_owned();
    let file = matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
    if file || source.raw_os_error() == Some(libc::ENOEXEC) {
        CallError::NotRunnable { program, source }
    } else {
        CallError::System { program, source }
    }
}

async fn finish(reading: Option<io::Result<output::Reading>>) -> Kept {
    match reading {
        Some(Ok(reading)) => reading.finish().await,
        Some(Err(_)) | None => Kept::default(),
    }
}

/// Ends all of a call: asks, waits, kills, and waits for the end of that.
async fn terminate(family: &Family, end: &AsyncFd<OwnedFd>, (scope, what): (&str, &str)) {
    family.signal(Signal::TERM);
    // Stopped processes hear it only when they go on.
    family.signal(Signal::CONT);
    if vanished(family, end, GRACE).await {
        return;
    }
    family.kill();
    if !vanished(family, end, VANISH).await {
        tracing::error!("{}", hanging(scope, what, &family.left(ended(end))));
    }
}

/// What there is to say of processes that do not end although they were killed.
fn hanging(scope: &str, what: &str, pids: &[u32]) -> String {
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    format!(
        "{scope}: processes of `{what}` do not end although they were killed ({}): they hang in the kernel, \
         /proc/PID/stack says where; nothing else is run for {scope} until they end, reboot this host if they do not",
        pids.join(", ")
    )
}

async fn vanished(family: &Family, end: &AsyncFd<OwnedFd>, patience: Duration) -> bool {
    let looks = patience.as_millis() / LOOK.as_millis();
    for _look in 0..looks {
        let leader_ended = ended(end);
        if family.gone(leader_ended) {
            return true;
        }
        tokio::time::sleep(LOOK).await;
    }
    false
}

fn ended(end: &AsyncFd<OwnedFd>) -> bool {
    let mut fds = [rustix::event::PollFd::new(end, rustix::event::PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_named_with_what_waits_for_it() {
        let text = hanging("db", "/usr/lib/ocf/resource.d/x/y stop", &[7, 8]);
        for said in ["db: ", "x/y stop`", "(7, 8)", "/proc/PID/stack", "run for db until", "reboot"]
        {
            assert!(text.contains(said), "{said}: {text}");
        }
    }
}
