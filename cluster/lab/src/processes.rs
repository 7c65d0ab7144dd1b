//! The processes of a namespace: found by what they live in, not by who started them.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::LabError;
use crate::namespace;

/// Processes whose network namespace is the one called `name`, in ascending order of their id.
///
/// # Errors
/// [`LabError::Io`] when the namespace is missing.
pub fn of(name: &str) -> Result<Vec<Pid>, LabError> {
    let path = namespace::path(name);
    let wanted = std::fs::metadata(&path)
        .map_err(LabError::io(format!("look at namespace {}", path.display())))?;
    let mut found = Vec::new();
    let entries = std::fs::read_dir("/proc").map_err(LabError::io("list /proc"))?;
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else {
            continue;
        };
        // A process that ends meanwhile, or a zombie, has no namespace any more.
        let Ok(its) = std::fs::metadata(Path::new("/proc").join(pid.to_string()).join("ns/net"))
        else {
            continue;
        };
        if (its.dev(), its.ino()) == (wanted.dev(), wanted.ino()) {
            found.extend(Pid::from_raw(pid));
        }
    }
    found.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
    Ok(found)
}

/// Sends `signal` to every process of the namespace called `name`; returns how many there were.
/// SIGKILL and SIGSTOP are repeated until no new process appears, so that a fork is not missed.
///
/// # Errors
/// Those of [`of`].
pub fn signal_all(name: &str, signal: Signal) -> Result<usize, LabError> {
    let mut reached = std::collections::BTreeSet::new();
    loop {
        let mut fresh = 0;
        for pid in of(name)? {
            if reached.insert(pid.as_raw_nonzero()) {
                fresh += 1;
                // Gone already is as good as signalled.
                let _ = kill_process(pid, signal);
            }
        }
        if fresh == 0 {
            return Ok(reached.len());
        }
    }
}

/// The command line of a process, its words separated by blanks; empty when it has ended.
fn command_line(pid: Pid) -> String {
    let path = Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join("cmdline");
    std::fs::read_to_string(path).unwrap_or_default().replace('\0', " ")
}

/// Kills every process of the namespace called `name` and waits until the last one has ended.
///
/// # Errors
/// Those of [`of`]; [`LabError::TimedOut`] after 5 s.
pub fn kill_all(name: &str) -> Result<(), LabError> {
    let started = Instant::now();
    while signal_all(name, Signal::KILL)? > 0 {
        if started.elapsed() > Duration::from_secs(5) {
            return Err(LabError::TimedOut {
                what: format!("the end of the killed processes of {name}"),
                seconds: 5,
                hint: "look for processes in uninterruptible sleep with `ps`".to_owned(),
            });
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// CPU time used and memory resident, summed over the processes of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// User and system time since each process started.
    pub cpu: Duration,
    /// Resident set, in KiB.
    pub rss_kib: u64,
}

/// What the processes of the namespace called `name` use, those whose command line satisfies
/// `wanted`.
///
/// # Errors
/// Those of [`of`].
pub fn usage(name: &str, wanted: impl Fn(&str) -> bool) -> Result<Usage, LabError> {
    let mut sum = Usage::default();
    let tick = rustix::param::clock_ticks_per_second().max(1);
    for pid in of(name)? {
        let base = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
        let read = |file: &str| std::fs::read_to_string(base.join(file)).unwrap_or_default();
        if !wanted(&command_line(pid)) {
            continue;
        }
        let (ticks, kib) = (cpu_ticks(&read("stat")), resident_kib(&read("status")));
        let coarse = || Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / tick));
        sum.cpu += run_time(&base).unwrap_or_else(coarse);
        sum.rss_kib += kib;
    }
    Ok(sum)
}

/// Time its threads ran, to the nanosecond: first field of each thread's schedstat, where the
/// kernel keeps it (CONFIG_SCHED_INFO).
fn run_time(process: &Path) -> Option<Duration> {
    let threads = std::fs::read_dir(process.join("task")).ok()?.flatten();
    let each = threads.map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    each.sum::<Option<u64>>().map(Duration::from_nanos)
}

/// Fields 14 and 15 of /proc/PID/stat (proc(5)); the name in field 2 may hold blanks and brackets.
fn cpu_ticks(stat: &str) -> u64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<_> = after_name.split_whitespace().collect();
    let field = |n: usize| fields.get(n - 3).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    field(14) + field(15)
}

fn resident_kib(status: &str) -> u64 {
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_past_a_name_with_brackets() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu_ticks(stat), 42);
    }

    #[test]
    fn resident_memory_is_read_from_status() {
        assert_eq!(resident_kib("Name:\tx\nVmRSS:\t  12345 kB\n"), 12345);
        assert_eq!(resident_kib(""), 0);
    }
}
