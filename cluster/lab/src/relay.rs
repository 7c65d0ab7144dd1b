//! The relay: delays frames between nodes, each by its own random time.
//!
//! One process per lab, in the bridges' namespace, alive only while a delay is asked for. The
//! queue is pure; the process around it reads, asks when, and sends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use haven_base::Rng;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::bed::Bed;
use crate::error::LabError;
use crate::namespace;
use crate::ruleset::{DelayedPath, delayed_paths};
use crate::topology::Place;
use haven_host::capture::{FRAME_ROOM, PacketSocket, realtime};

/// Most frames in flight; what comes on top is dropped, as a switch would. At 20,000 frames a
/// second and 100 ms of delay 2,000 are.
const MOST_IN_FLIGHT: usize = 65_536;

/// When it is due, in which order it came, its path, the frame.
type InFlight = (haven_base::Instant, u64, usize, Vec<u8>);

/// Frames in flight, each due at its own time; frames due at the same time keep their order.
#[derive(Debug, Default)]
pub struct DelayQueue {
    waiting: BinaryHeap<Reverse<InFlight>>,
    taken: u64,
    dropped: u64,
}

impl DelayQueue {
    /// Takes a frame of path `path` that is to leave at `due`; drops it when too many wait.
    pub fn push(&mut self, due: haven_base::Instant, path: usize, frame: Vec<u8>) {
        if self.waiting.len() >= MOST_IN_FLIGHT {
            self.dropped += 1;
            return;
        }
        self.taken += 1;
        self.waiting.push(Reverse((due, self.taken, path, frame)));
    }

    /// The next frame whose time has come, with its path.
    pub fn pop(&mut self, now: haven_base::Instant) -> Option<(usize, Vec<u8>)> {
        self.waiting.peek().filter(|Reverse((due, ..))| *due <= now)?;
        self.waiting.pop().map(|Reverse((_, _, path, frame))| (path, frame))
    }

    /// When the next frame is due.
    #[must_use]
    pub fn deadline(&self) -> Option<haven_base::Instant> {
        self.waiting.peek().map(|Reverse((due, ..))| *due)
    }

    /// Frames dropped because too many waited.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Ends the relay of `bed` and takes its cables away, then, if there are paths to delay, lays new
/// cables and starts a relay that has begun to read when this returns.
pub(crate) fn replace(bed: &Bed, old: &[DelayedPath], new: &[DelayedPath]) -> Result<(), LabError> {
    let bridges = bed.topology().namespace(&Place::Bridges);
    let pid_file = bed.dir().join("relay.pid");
    if let Ok(text) = std::fs::read_to_string(&pid_file) {
        if let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) {
            // An id may have been given to somebody else since: only what lives there is ours.
            let ours = crate::processes::of(&bridges)?.contains(&pid);
            if ours {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        std::fs::remove_file(&pid_file)
            .map_err(LabError::io(format!("remove {}", pid_file.display())))?;
    }
    let gone: String = old.iter().map(|p| format!("link del dev {}\n", p.entry)).collect();
    if !gone.is_empty() {
        namespace::ip_batch(Some(&bridges), &gone)?;
    }
    if new.is_empty() {
        return Ok(());
    }
    let laid: String = new
        .iter()
        .map(|DelayedPath { entry, intake, .. }| {
            format!(
                "link add name {entry} type veth peer name {intake}\n\
                 link set dev {entry} up\nlink set dev {intake} up\n"
            )
        })
        .collect();
    namespace::ip_batch(Some(&bridges), &laid)?;
    let mut command = Command::new(bed.haven());
    command.args(["lab", "--name", &bed.topology().name, "--dir"]).arg(bed.dir()).arg("relay");
    bed.spawn(&Place::Bridges, &mut command, &bed.dir().join("relay.log"))?;
    crate::wait::until(Duration::from_secs(10), Duration::from_millis(5), || pid_file.exists())
        .then_some(())
        .ok_or_else(|| LabError::TimedOut {
            what: "the start of the relay".to_owned(),
            seconds: 10,
            hint: format!("see {}", bed.dir().join("relay.log").display()),
        })
}

/// Runs the relay of the lab in the calling thread's namespace until it is killed.
///
/// # Errors
/// [`LabError::Io`] when a port is gone.
pub fn run(bed: &Bed) -> Result<(), LabError> {
    realtime();
    let paths = delayed_paths(bed.topology(), bed.faults());
    let intakes: Result<Vec<_>, _> =
        paths.iter().map(|p| PacketSocket::intake(&p.intake)).collect();
    let outlets: Result<Vec<_>, _> = paths.iter().map(|p| PacketSocket::outlet(&p.port)).collect();
    let (intakes, outlets) = (intakes?, outlets?);
    announce(&bed.dir().join("relay.pid"))?;
    let origin = Instant::now();
    let now = || haven_base::Instant::from_nanos(nanos(origin.elapsed()));
    let mut rng = Rng::new(u64::from(std::process::id()));
    let mut queue = DelayQueue::default();
    let mut buffer = vec![0; FRAME_ROOM];
    loop {
        while let Some((path, frame)) = queue.pop(now()) {
            outlets[path].send(&frame);
        }
        let wait = queue.deadline().map(|due| timespec(due.since(now())));
        let mut polled: Vec<_> = intakes.iter().map(|s| PollFd::new(s, PollFlags::IN)).collect();
        // An interrupted wait is a short one.
        let _ = poll(&mut polled, wait.as_ref());
        let ready: Vec<_> = polled.iter().map(|p| !p.revents().is_empty()).collect();
        for (path, _) in ready.iter().enumerate().filter(|(_, ready)| **ready) {
            let (least, most) = paths[path].delay_ms;
            let [least, most] = [least, most].map(|ms| Duration::from_millis(u64::from(ms)));
            while let Some(received) = intakes[path].receive(&mut buffer)? {
                let due = now() + rng.between(least, most);
                queue.push(due, path, buffer[..received.length].to_vec());
            }
        }
    }
}

fn announce(pid_file: &Path) -> Result<(), LabError> {
    let fresh = pid_file.with_extension("new");
    std::fs::write(&fresh, std::process::id().to_string())
        .and_then(|()| std::fs::rename(&fresh, pid_file))
        .map_err(LabError::io(format!("write {}", pid_file.display())))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> haven_base::Instant {
        haven_base::Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn frames_leave_when_due_and_not_before() {
        let mut queue = DelayQueue::default();
        queue.push(at(30), 0, vec![1]);
        queue.push(at(10), 1, vec![2]);
        assert_eq!(queue.deadline(), Some(at(10)));
        assert_eq!(queue.pop(at(9)), None);
        assert_eq!(queue.pop(at(10)), Some((1, vec![2])));
        assert_eq!(queue.pop(at(29)), None);
        assert_eq!(queue.pop(at(31)), Some((0, vec![1])));
    }

    #[test]
    fn a_constant_delay_keeps_the_order() {
        let mut queue = DelayQueue::default();
        for frame in [9, 3, 7, 1] {
            queue.push(at(5), 0, vec![frame]);
        }
        let out: Vec<_> = std::iter::from_fn(|| queue.pop(at(5))).map(|(_, f)| f[0]).collect();
        assert_eq!(out, [9, 3, 7, 1]);
    }

    #[test]
    fn the_queue_is_bounded_and_says_what_it_dropped() {
        let mut queue = DelayQueue::default();
        for _ in 0..=MOST_IN_FLIGHT {
            queue.push(at(1), 0, Vec::new());
        }
        assert_eq!(queue.dropped(), 1);
    }
}
