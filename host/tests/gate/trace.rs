//! Stops another process at a chosen step: before or after each system call, or after any instruction.
#![allow(unsafe_code, reason = "ptrace(2) has no safe wrapper")]

use std::io;

/// Where a traced order stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// At the step asked for; what it is about to enter or has left.
    Step(Call),
    /// Behind the number of instructions asked for.
    Instruction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// The call's number and first argument.
    Entering(u64, u64),
    Left(i64),
}

/// A thread under trace; it runs on when this is dropped.
#[derive(Debug)]
pub(crate) struct Trace {
    thread: i32,
}

fn ptrace(request: u32, thread: i32, address: usize, data: usize) -> io::Result<i64> {
    // SAFETY: the requests used here take numbers, or (GET_SYSCALL_INFO) a buffer its caller keeps alive.
    match unsafe { libc::ptrace(request, thread, address, data) } {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

impl Trace {
    /// Stops `thread`.
    pub(crate) fn seize(thread: i32) -> Self {
        let options = usize::try_from(libc::PTRACE_O_TRACESYSGOOD).unwrap();
        ptrace(libc::PTRACE_SEIZE, thread, 0, options).unwrap();
        ptrace(libc::PTRACE_INTERRUPT, thread, 0, 0).unwrap();
        let trace = Self { thread };
        trace.wait();
        trace
    }

    fn wait(&self) {
        let mut status = 0;
        // SAFETY: `status` is a live integer.
        let waited = unsafe { libc::waitpid(self.thread, &raw mut status, libc::__WALL) };
        assert_eq!(waited, self.thread, "{}", io::Error::last_os_error());
        assert!(libc::WIFSTOPPED(status), "the process ended: {status:x}");
    }

    /// To the next entry to or exit from a system call.
    fn next_call(&self) -> Call {
        loop {
            ptrace(libc::PTRACE_SYSCALL, self.thread, 0, 0).unwrap();
            self.wait();
            // SAFETY: all zeroes is a valid value of this plain structure.
            let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
            let size = size_of_val(&info);
            let place = (&raw mut info).addr();
            ptrace(libc::PTRACE_GET_SYSCALL_INFO, self.thread, size, place).unwrap();
            match info.op {
                libc::PTRACE_SYSCALL_INFO_ENTRY => {
                    // SAFETY: `op` says that the kernel filled in this member.
                    return unsafe { Call::Entering(info.u.entry.nr, info.u.entry.args[0]) };
                }
                libc::PTRACE_SYSCALL_INFO_EXIT => {
                    // SAFETY: `op` says that the kernel filled in this member.
                    return Call::Left(unsafe { info.u.exit.sval });
                }
                _ => {}
            }
        }
    }

    /// Runs until the thread, blocked in a read, has been given its order.
    pub(crate) fn until_order(&self) {
        let mut reading = false;
        loop {
            match self.next_call() {
                Call::Entering(number, _) => reading = number == number_of(libc::SYS_read),
                Call::Left(length) if reading && length > 0 => return,
                Call::Left(_) => {}
            }
        }
    }

    /// The `count`th entry or exit of a system call from here; none when the answer comes first.
    pub(crate) fn calls(&self, count: u32) -> Option<Reached> {
        let mut reached = None;
        for _ in 0..count {
            let call = self.next_call();
            if call == Call::Entering(number_of(libc::SYS_write), 1) {
                return None;
            }
            reached = Some(Reached::Step(call));
        }
        reached
    }

    /// `count` instructions further, unless `answered` says before that the order is done; a system call
    /// counts as one.
    pub(crate) fn instructions(&self, count: u32, answered: impl Fn() -> bool) -> Option<Reached> {
        for _ in 0..count {
            if answered() {
                return None;
            }
            ptrace(libc::PTRACE_SINGLESTEP, self.thread, 0, 0).unwrap();
            self.wait();
        }
        Some(Reached::Instruction)
    }

    /// Waits for the end of the thread, which has been killed.
    pub(crate) fn reap(&self) {
        let mut status = 0;
        loop {
            // SAFETY: `status` is a live integer.
            let waited = unsafe { libc::waitpid(self.thread, &raw mut status, libc::__WALL) };
            if waited < 0 || libc::WIFSIGNALED(status) || libc::WIFEXITED(status) {
                return;
            }
        }
    }
}

fn number_of(call: libc::c_long) -> u64 {
    u64::try_from(call).unwrap()
}

impl Drop for Trace {
    fn drop(&mut self) {
        // A process killed meanwhile has no thread left to let go.
        drop(ptrace(libc::PTRACE_DETACH, self.thread, 0, 0));
    }
}
