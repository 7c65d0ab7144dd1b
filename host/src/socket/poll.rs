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
pub fn wait(fds: &[Option<BorrowedFd<'_>>], timeout: Option<Duration>) -> io::Result<Ready> {
    assert!(fds.len() <= 64, "at most 64 descriptors, not {}", fds.len());
    let mut polled = Vec::with_capacity(fds.len());
    let mut places = Vec::with_capacity(fds.len());
    for (place, fd) in fds.iter().enumerate() {
        if let Some(fd) = fd {
            polled.push(PollFd::from_borrowed_fd(*fd, PollFlags::IN));
            places.push(place);
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
    let ready = polled.iter().zip(&places).filter(|(fd, _)| !fd.revents().is_empty());
    Ok(Ready(ready.fold(0, |ready, (_, place)| ready | 1 << place)))
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
    fn a_wake_up_from_another_thread_ends_the_wait() {
        let waker = Waker::new().unwrap();
        let fds = [None, Some(waker.fd())];
        assert!(wait(&fds, Some(Duration::from_millis(1))).unwrap().is_empty());
        let handle = waker.handle();
        let thread = std::thread::spawn(move || handle.wake());
        let ready = wait(&fds, Some(Duration::from_secs(10))).unwrap();
        assert!(ready.at(1) && !ready.at(0));
        thread.join().unwrap();
        waker.drain();
        assert!(wait(&fds, Some(Duration::ZERO)).unwrap().is_empty());
    }
}
