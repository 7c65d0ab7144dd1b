//! The thread that starts children, and what it keeps away from them.
#![allow(unsafe_code, reason = "unshare and foreign descriptors have no safe wrapper")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};

use rustix::fs::Mode;
use rustix::io::FdFlags;
use tokio::signal::unix::SignalKind;
use tokio::sync::oneshot;

use super::call::Call;
use super::cgroup::{Cgroups, Leaf};
use super::family::MARK;

/// Enters the control group whose file is the first argument, gives up the daemon's protection from the
/// killer of processes where the second is not empty, and runs the rest. It does so itself, because a process
/// that has just been started by the daemon could have forked already when somebody else moved it; and it
/// stays, so that a child that ends its parent does not end the daemon.
const ENTER: &str = r#"[ -z "$1" ] || echo 0 2>/dev/null >"$1"
[ -z "$2" ] || echo 0 2>/dev/null >/proc/self/oom_score_adj
shift 2; trap : HUP INT TERM; "$@"; exit $?"#;

/// Why no child can be started at all.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The system refuses a thread.
    #[error("cannot start the thread that starts agents")]
    Thread(#[source] io::Error),
}

/// A child that runs.
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) leaf: Option<Leaf>,
    pub(super) mark: String,
}

struct Job {
    call: Call,
    number: u64,
    answer: oneshot::Sender<io::Result<Started>>,
}

/// Counts the calls of this process.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

type Turn = tokio::sync::Mutex<()>;

/// Starts children. Cheap to clone; the thread ends with the last clone.
#[derive(Clone, Debug)]
pub struct Launcher {
    jobs: mpsc::Sender<Job>,
    cgroups: Option<Cgroups>,
    turns: Arc<Mutex<BTreeMap<String, Weak<Turn>>>>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("call", &self.call).finish_non_exhaustive()
    }
}

impl Launcher {
    /// A launcher; without `cgroups` what a call started is known by process group and environment. To be called inside of a tokio runtime, once for a process:
    /// from here on descriptors that the process inherited are closed in its children, and signals that
    /// it was told to ignore are not ignored by them.
    ///
    /// # Errors
    /// [`LaunchError::Thread`]
    pub fn start(cgroups: Option<Cgroups>) -> Result<Self, LaunchError> {
        close_inherited();
        heed_signals();
        let (jobs, queue) = mpsc::channel();
        std::thread::Builder::new()
            .name("haven-launch".to_owned())
            .stack_size(256 * 1024)
            .spawn({
                let cgroups = cgroups.clone();
                move || serve(&queue, cgroups.as_ref())
            })
            .map_err(LaunchError::Thread)?;
        Ok(Self { jobs, cgroups, turns: Arc::default() })
    }

    /// The control groups of this launcher's children, where there are any.
    #[must_use]
    pub const fn cgroups(&self) -> Option<&Cgroups> {
        self.cgroups.as_ref()
    }

    pub(super) async fn spawn(&self, call: Call) -> io::Result<Started> {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let (answer, started) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts agents has ended");
        self.jobs.send(Job { call, number, answer }).map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }

    /// Waits until no other call of `scope` runs.
    pub(super) async fn turn(&self, scope: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            match turns.get(scope).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    let turn = Arc::new(Turn::default());
                    turns.insert(scope.to_owned(), Arc::downgrade(&turn));
                    turn
                }
            }
        };
        turn.lock_owned().await
    }
}

/// Takes ended children from the process table that the program before this one, under the same process
/// number, left behind. To be called before this program has children of its own.
pub fn bury_inherited() {
    let options = rustix::process::WaitOptions::NOHANG;
    while let Ok(Some(_)) = rustix::process::wait(options) {}
}

fn serve(queue: &mpsc::Receiver<Job>, cgroups: Option<&Cgroups>) {
    own_surroundings();
    let adjusted =
        fs::read_to_string("/proc/self/oom_score_adj").is_ok_and(|text| text.trim() != "0");
    for job in queue {
        let Job { call, number, answer } = job;
        let started = start(&call, number, cgroups, adjusted);
        if let Err(Ok(Started { mut child, .. })) = answer.send(started) {
            // Nobody waits any more.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// What children inherit from this thread instead of from the daemon.
fn own_surroundings() {
    // SAFETY: the thread gets a working directory and a file mode mask of its own; no descriptor and no
    // memory is concerned.
    let own = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS) };
    if own.is_ok() {
        rustix::process::umask(Mode::from_raw_mode(0o022));
        rustix::process::chdir("/").ok();
    }
    // Of this thread only; giving up priority is always allowed.
    rustix::process::setpriority_process(None, 0).ok();
    let ordinary = libc::sched_param { sched_priority: 0 };
    // SAFETY: `ordinary` is valid for the duration of the call; 0 means this thread.
    let _ordinary = unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const ordinary) };
}

fn start(
    call: &Call,
    number: u64,
    cgroups: Option<&Cgroups>,
    adjusted: bool,
) -> io::Result<Started> {
    runnable(&call.program)?;
    let leaf = cgroups.and_then(|groups| match groups.leaf(&call.scope, number) {
        Ok(leaf) => Some(leaf),
        Err(error) => {
            tracing::warn!(scope = call.scope, %error, "no control group for a call");
            None
        }
    });
    let mut mark = String::new();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", ENTER, "haven-enter"]);
    command.arg(leaf.as_ref().map_or_else(PathBuf::new, Leaf::entrance));
    command.arg(if adjusted { "0" } else { "" }).arg(&call.program);
    command.args(&call.args).env_clear().envs(&call.environment);
    if leaf.is_none() {
        // Services of an earlier life under the same process number keep their marks.
        let now = crate::drive::boot_time();
        mark = format!("{}.{}.{number}", std::process::id(), now.as_nanos());
        command.env(MARK, &mark);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn()?;
    Ok(Started { child, leaf, mark })
}

/// Tells a missing or unusable program from one that answers so itself.
fn runnable(program: &Path) -> io::Result<()> {
    let facts = fs::metadata(program)?;
    if !facts.is_file() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "not a file"));
    }
    rustix::fs::access(program, rustix::fs::Access::EXEC_OK)?;
    Ok(())
}

/// Descriptors that the process was started with are nobody's business in a child; its own ones have
/// the flag from the beginning.
fn close_inherited() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in numbers.filter(|number: &i32| *number > 2) {
        // SAFETY: the descriptor is only asked for its flags and given one more; a number that was
        // closed meanwhile is refused by the kernel.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        if let Ok(flags) = rustix::io::fcntl_getfd(fd)
            && !flags.contains(FdFlags::CLOEXEC)
        {
            rustix::io::fcntl_setfd(fd, flags | FdFlags::CLOEXEC).ok();
        }
    }
}

/// An ignored signal stays ignored across exec, one with a handler does not: so ignored ones get a
/// handler that does nothing.
fn heed_signals() {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    for number in 1..=31 {
        // The standard library sees to this one.
        let broken_pipe = number == libc::SIGPIPE;
        if ignored & (1_u64 << (number - 1)) != 0 && !broken_pipe {
            drop(tokio::signal::unix::signal(SignalKind::from_raw(number)));
        }
    }
}

/// Becomes readable when the process has ended.
pub(super) fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_child(child);
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}
