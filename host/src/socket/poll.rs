//! Waiting for descriptors, and waking the one who waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// Which of the descriptors given to [`wait`] have something to read (or an error to report).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready(u64);

impl Ready {
    /// As if every descriptor but the one at place 0 had something.
    pub const ALL_BUT_FIRST: Self = Self(!1);

    /// Whether the descriptor at this place is ready.
    #[must_use]
    pub fn at(self, place: usize) -> bool {
        place < 64 && self.0 & (1 << place) != 0
    }

    /// Whether none is: the time is over, or a signal came.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Waits until one of at most 64 descriptors can be read or the time is over; `None` waits for ever.
/// Places without a descriptor are skipped. The time is rounded up to the timer's resolution, and a
/// signal ends the wait early.
///
/// # Errors
/// When the kernel refuses the call (out of memory).
///
/// # Panics
/// With more than 64 descriptors.
pub fn wait<'fd>(
    fds: impl IntoIterator<Item = Option<BorrowedFd<'fd>>>,
    timeout: Option<Duration>,
) -> io::Result<Ready> {
    let mut polled = Vec::with_capacity(16);
    let mut places = 0_u64;
    for (place, fd) in fds.into_iter().enumerate() {
        assert!(place < 64, "at most 64 descriptors");
        if let Some(fd) = fd {
            polled.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            places |= 1 << place;
        }
    }
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    });
    match poll(&mut polled, timeout.as_ref()) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
        Err(error) => return Err(error.into()),
    }
    let mut ready = 0;
    for fd in &polled {
        let place = places & places.wrapping_neg();
        places ^= place;
        if !fd.revents().is_empty() {
            ready |= place;
        }
    }
    Ok(Ready(ready))
}

/// A descriptor that becomes readable when somebody calls [`WakeHandle::wake`].
#[derive(Debug)]
pub struct Waker {
    event: Arc<OwnedFd>,
}

/// Wakes the thread that waits on the [`Waker`]; cheap to clone, safe from any thread.
#[derive(Clone, Debug)]
pub struct WakeHandle {
    event: Arc<OwnedFd>,
}

impl Waker {
    /// A new event descriptor.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { event: Arc::new(event) })
    }

    /// What to give to [`wait`].
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// A handle for another thread.
    #[must_use]
    pub fn handle(&self) -> WakeHandle {
        WakeHandle { event: Arc::clone(&self.event) }
    }

    /// Forgets the wake-ups so far. Call it before looking for what they announce.
    pub fn drain(&self) {
        let mut count = [0; 8];
        // Nothing to read means nobody woke; no other error is possible on an event descriptor.
        let _count = rustix::io::read(&*self.event, &mut count);
    }
}

impl WakeHandle {
    /// Makes the waker readable. Wake-ups before the next drain merge into one.
    pub fn wake(&self) {
        // A full counter (2⁶⁴ − 2 wake-ups) is readable already.
        let _written = rustix::io::write(&*self.event, &1_u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_descriptors_those_ready_are_told_by_their_places() {
        let wakers = [Waker::new().unwrap(), Waker::new().unwrap(), Waker::new().unwrap()];
        let [first, second, third] = wakers.each_ref().map(|waker| Some(waker.fd()));
        let fds = [None, first, None, second, third];
        for (waker, ready) in wakers.iter().zip([1, 3, 4]) {
            waker.handle().wake();
            let found = wait(fds, Some(Duration::from_secs(10))).unwrap();
            assert_eq!(found, Ready(1 << ready));
            wakers.iter().for_each(Waker::drain);
        }
        wakers[0].handle().wake();
        wakers[2].handle().wake();
        let found = wait(fds, Some(Duration::from_secs(10))).unwrap();
        assert_eq!(found, Ready(1 << 1 | 1 << 4));
        assert!(
            !Ready::ALL_BUT_FIRST.at(0)
                && Ready::ALL_BUT_FIRST.at(1)
                && Ready::ALL_BUT_FIRST.at(63)
        );
    }

    #[test]
    fn a_wake_up_from_another_thread_ends_the_wait() {
        let waker = Waker::new().unwrap();
        let fds = [None, Some(waker.fd())];
        assert!(wait(fds, Some(Duration::from_millis(1))).unwrap().is_empty());
        let handle = waker.handle();
        let thread = std::thread::spawn(move || handle.wake());
        let ready = wait(fds, Some(Duration::from_secs(10))).unwrap();
        assert!(ready.at(1) && !ready.at(0));
        thread.join().unwrap();
        waker.drain();
        assert!(wait(fds, Some(Duration::ZERO)).unwrap().is_empty());
    }
}
