//! Realtime scheduling and locked memory for the heartbeat thread.
#![allow(unsafe_code, reason = "sched_setscheduler and mlockall have no safe wrapper")]

use std::io;

/// Why the thread runs as any other. Leases are longer then (floor 250 ms instead of 60 ms).
#[derive(Debug, thiserror::Error)]
pub enum RealtimeError {
    /// The scheduler refused.
    #[error(
        "the heartbeat thread is refused realtime scheduling ({0}), so leases last at least 250 ms: give \
         the daemon CAP_SYS_NICE, and a cgroup with a realtime budget, then restart it"
    )]
    Schedule(#[source] io::Error),
    /// The memory manager refused.
    #[error(
        "memory cannot be locked ({0}): raise the memlock limit (LimitMEMLOCK=infinity); until then \
         a page fault can delay a beat"
    )]
    Lock(#[source] io::Error),
}

/// Puts the calling thread under `SCHED_FIFO` at `priority` (1 to 99) and locks the process's memory
/// as it is touched. Returns what was refused.
#[must_use]
pub fn realtime_thread(priority: i32) -> Vec<RealtimeError> {
    let mut refusals = Vec::new();
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: `param` is a valid sched_param for the duration of the call; 0 means this thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) } != 0 {
        refusals.push(RealtimeError::Schedule(io::Error::last_os_error()));
    }
    let flags = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: mlockall takes flags only and touches no memory of ours.
    if unsafe { libc::mlockall(flags) } != 0 {
        refusals.push(RealtimeError::Lock(io::Error::last_os_error()));
    }
    refusals
}

/// Asks for a higher share of the processor for the whole process (nice −10). A refusal costs speed
/// under load and nothing else, so it is only reported.
///
/// # Errors
/// What the kernel said.
pub fn prefer_this_process() -> io::Result<()> {
    rustix::process::setpriority_process(None, -10).map_err(io::Error::from)
}

/// The opposite of [`prefer_this_process`] (nice 10), for work that services beside must not feel; done only
/// where the process may be preferred again afterwards.
///
/// # Errors
/// What the kernel said.
pub fn defer_this_process() -> io::Result<()> {
    prefer_this_process()?;
    rustix::process::setpriority_process(None, 10).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_scheduling_is_told_with_what_it_means_and_its_remedy() {
        // As the kernel answers without the capability.
        let said = RealtimeError::Schedule(io::Error::from_raw_os_error(1)).to_string();
        for part in ["Operation not permitted", "at least 250 ms", "give the daemon CAP_SYS_NICE"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
