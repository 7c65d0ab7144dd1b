//! The measuring client: what somebody outside the cluster experiences, as raw observations.
//!
//! Each part is one thread in the client's namespace with realtime scheduling where that is
//! granted; none of them judges anything.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::LabError;
use crate::outage::{Connect, Connected, LongConnection, Probe, ProbeLog};
use haven_host::capture::realtime;

/// How long the client waits for a connection before it calls it lost.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long the long connection may be silent before the client opens it anew.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);
/// Pause between two messages of the long connection.
const LONG_PACE: Duration = Duration::from_millis(10);
/// How long answers may still come after the last probe.
const AFTERGLOW: Duration = Duration::from_millis(100);

/// Nanoseconds of the wall clock: the clock the kernel stamps frames with.
#[must_use]
pub fn wall_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Ends the threads of a measurement.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks the threads to end.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether they were asked to.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Calls `work` every `interval` until asked to stop. A call that comes too late is made once, not
/// made up for.
fn paced(stop: &Stop, interval: Duration, mut work: impl FnMut()) {
    let mut next = Instant::now();
    while !stop.asked() {
        work();
        next += interval;
        let now = Instant::now();
        match next.checked_duration_since(now) {
            Some(wait) => std::thread::sleep(wait),
            None => next = now,
        }
    }
}

/// Sends a UDP probe each `interval` and notes the answers, until asked to stop. Must run inside
/// the client's namespace.
///
/// # Errors
/// [`LabError::Io`] when no socket can be had.
pub fn probe(target: SocketAddr, interval: Duration, stop: &Stop) -> Result<Vec<Probe>, LabError> {
    let any: SocketAddr =
        if target.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket =
        UdpSocket::bind(any).map_err(LabError::io("open the probing socket of the client"))?;
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .map_err(LabError::io("set the timeout of the probing socket"))?;
    let mut log = ProbeLog::default();
    let ended = AtomicBool::new(false);
    let answers = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| receive_answers(&socket, &ended));
        realtime();
        let mut sequence: u64 = 0;
        paced(stop, interval, || {
            log.sent(sequence, wall_nanos());
            // No route, no neighbour, port unreachable: a lost probe like any other.
            drop(socket.send_to(&sequence.to_be_bytes(), target));
            sequence += 1;
        });
        std::thread::sleep(AFTERGLOW);
        ended.store(true, Ordering::Relaxed);
        receiver.join().unwrap_or_default()
    });
    for (sequence, at, node) in answers {
        log.answered(sequence, at, node);
    }
    Ok(log.into_probes())
}

fn receive_answers(socket: &UdpSocket, ended: &AtomicBool) -> Vec<(u64, u64, u8)> {
    realtime();
    let mut answers = Vec::new();
    let mut buffer = [0; 64];
    while !ended.load(Ordering::Relaxed) {
        let Ok((9, _)) = socket.recv_from(&mut buffer) else { continue };
        let at = wall_nanos();
        let mut sequence = [0; 8];
        sequence.copy_from_slice(&buffer[..8]);
        answers.push((u64::from_be_bytes(sequence), at, buffer[8]));
    }
    answers
}

struct Attempt {
    socket: Socket,
    begun: Instant,
    at_nanos: u64,
}

/// Opens a TCP connection each `interval`, until asked to stop; then waits for those under way.
/// Must run inside the client's namespace.
///
/// # Errors
/// [`LabError::Io`] when no socket can be had.
pub fn connect_often(
    target: SocketAddr,
    interval: Duration,
    stop: &Stop,
) -> Result<Vec<Connect>, LabError> {
    realtime();
    let mut done = Vec::new();
    let mut pending: Vec<Attempt> = Vec::new();
    let mut next = Instant::now();
    while !stop.asked() || !pending.is_empty() {
        let now = Instant::now();
        if !stop.asked() && now >= next {
            begin(target, &mut pending, &mut done)?;
            next = (next + interval).max(now);
        }
        let wait = next.saturating_duration_since(now).clamp(Duration::ZERO, interval);
        let wait = if stop.asked() { interval } else { wait };
        collect(&mut pending, wait, &mut done);
    }
    Ok(done)
}

fn begin(
    target: SocketAddr,
    pending: &mut Vec<Attempt>,
    done: &mut Vec<Connect>,
) -> Result<(), LabError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        // Closing resets: a thousand connections leave no port behind in TIME_WAIT.
        socket.set_linger(Some(Duration::ZERO))?;
        Ok(socket)
    };
    let socket = open().map_err(LabError::io("open a TCP socket of the client"))?;
    let (begun, at_nanos) = (Instant::now(), wall_nanos());
    match socket.connect(&target.into()) {
        Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => {
            done.push(Connect { at_nanos, end: Connected::Refused(Duration::ZERO) });
        }
        _ => pending.push(Attempt { socket, begun, at_nanos }),
    }
    Ok(())
}

/// Waits up to `wait` for greetings and moves what has ended from `pending` to `done`.
fn collect(pending: &mut Vec<Attempt>, wait: Duration, done: &mut Vec<Connect>) {
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
    let mut wanted: Vec<_> =
        pending.iter().map(|a| PollFd::new(&a.socket, PollFlags::IN)).collect();
    // An interrupted wait is a short one.
    let _ = poll(&mut wanted, Some(&timeout));
    let ready: Vec<bool> = wanted.iter().map(|p| !p.revents().is_empty()).collect();
    let mut ready = ready.into_iter();
    pending.retain_mut(|attempt| {
        let after = attempt.begun.elapsed();
        let end = if ready.next() == Some(true) {
            let mut greeting = [0];
            match attempt.socket.read(&mut greeting) {
                Ok(1) => Connected::After(after),
                _ => Connected::Refused(after),
            }
        } else if after >= CONNECT_LIMIT {
            Connected::Never
        } else {
            return true;
        };
        done.push(Connect { at_nanos: attempt.at_nanos, end });
        false
    });
}

/// Keeps one TCP connection open and sends a message each 10 ms, until asked to stop. Must run
/// inside the client's namespace.
#[must_use]
pub fn converse(target: SocketAddr, stop: &Stop) -> LongConnection {
    let mut story = LongConnection::default();
    while !stop.asked() {
        let before = story.echoed;
        let Ok(stream) = TcpStream::connect_timeout(&target, Duration::from_secs(1)) else {
            std::thread::sleep(LONG_PACE);
            continue;
        };
        let whole = talk(stream, stop, &mut story).is_ok();
        story.broken += u64::from(!whole && story.echoed > before);
    }
    story
}

fn talk(mut stream: TcpStream, stop: &Stop, story: &mut LongConnection) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut last = Instant::now();
    let mut expect = |stream: &mut TcpStream, story: &mut LongConnection| loop {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                story.longest_gap = story.longest_gap.max(last.elapsed());
                last = Instant::now();
                return Ok(());
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock) => {
                if stop.asked() {
                    story.longest_gap = story.longest_gap.max(last.elapsed());
                    return Ok(());
                }
                if last.elapsed() > SILENCE_LIMIT {
                    return Err(e);
                }
            }
            Err(e) => return Err(e),
        }
    };
    expect(&mut stream, story)?;
    while !stop.asked() {
        stream.write_all(&[1])?;
        expect(&mut stream, story)?;
        story.echoed += 1;
        std::thread::sleep(LONG_PACE);
    }
    Ok(())
}
