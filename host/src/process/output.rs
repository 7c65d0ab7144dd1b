//! What a child prints: read for as long as anybody writes, kept up to a bound.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;

/// Read at once.
const CHUNK: usize = 64 * 1024;
/// Beyond this much a child prints more slowly, because the daemon has better things to read.
const FREE: u64 = 1024 * 1024;
/// Between two chunks of a flood: 12 MiB/s at most.
const PACE: Duration = Duration::from_millis(5);
/// Longest line that is looked at for a prefix.
const LINE_MAX: usize = 4096;
/// Lines with the prefix that are kept, the latest.
const NOTES_MAX: usize = 16;

/// Which part of the output is of interest.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keep {
    /// The first bytes.
    First(usize),
    /// The last bytes, and the last lines that begin with this.
    Last(usize, &'static str),
}

/// What was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) bytes: Vec<u8>,
    pub(super) notes: Vec<String>,
    pub(super) total: u64,
}

/// A pipe that is being read.
pub(super) struct Reading {
    ended: Option<oneshot::Sender<()>>,
    kept: oneshot::Receiver<Kept>,
}

/// Begins to read. Goes on until the last writer has closed, so that a service that keeps the pipe as
/// its standard error is neither blocked nor killed by it.
pub(super) fn read(pipe: OwnedFd, keep: Keep) -> std::io::Result<Reading> {
    let pipe = Receiver::from_owned_fd(pipe)?;
    let (ended, child_ended) = oneshot::channel();
    let (answer, kept) = oneshot::channel();
    tokio::spawn(drain(pipe, Sink::new(keep), child_ended, answer));
    Ok(Reading { ended: Some(ended), kept })
}

impl Reading {
    /// The child has ended: all that it wrote is in the pipe now.
    pub(super) async fn finish(mut self) -> Kept {
        drop(self.ended.take());
        self.kept.await.unwrap_or_default()
    }
}

async fn drain(
    pipe: Receiver,
    mut sink: Sink,
    mut child_ended: oneshot::Receiver<()>,
    answer: oneshot::Sender<Kept>,
) {
    let mut buffer = vec![0; CHUNK];
    loop {
        tokio::select! {
            biased;
            _ = &mut child_ended => break,
            ready = pipe.readable() => if ready.is_err() { break },
        }
        match pipe.try_read(&mut buffer) {
            Ok(0) => {
                // Nobody can write any more.
                drop(answer.send(sink.finish()));
                return;
            }
            Ok(count) => sink.take(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => break,
        }
        if sink.total > FREE {
            tokio::time::sleep(PACE).await;
        }
    }
    // A pipe holds no more than this; what comes later is by somebody else.
    for _round in 0..16 {
        match rustix::io::read(&pipe, &mut buffer) {
            Ok(count) if count > 0 => sink.take(buffer.get(..count).unwrap_or_default()),
            Ok(_) | Err(_) => break,
        }
    }
    drop(answer.send(sink.finish()));
    discard(&pipe, &mut buffer).await;
}

/// Somebody may live on with the other end.
async fn discard(pipe: &Receiver, buffer: &mut [u8]) {
    while pipe.readable().await.is_ok() {
        match pipe.try_read(buffer) {
            Ok(0) => return,
            Ok(_) => tokio::time::sleep(PACE).await,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

struct Sink {
    keep: Keep,
    kept: Vec<u8>,
    line: Vec<u8>,
    notes: Vec<String>,
    total: u64,
}

impl Sink {
    fn new(keep: Keep) -> Self {
        Self { keep, kept: Vec::new(), line: Vec::new(), notes: Vec::new(), total: 0 }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        match self.keep {
            Keep::First(most) => {
                let room = most.saturating_sub(self.kept.len()).min(bytes.len());
                self.kept.extend(bytes.iter().take(room));
            }
            Keep::Last(most, prefix) => {
                self.kept.extend_from_slice(bytes);
                let surplus = self.kept.len().saturating_sub(most);
                self.kept.drain(..surplus);
                self.note_lines(bytes, prefix);
            }
        }
    }

    fn note_lines(&mut self, bytes: &[u8], prefix: &str) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_MAX.saturating_sub(self.line.len()).min(part.len());
            self.line.extend(part.iter().take(room));
            if part.ends_with(b"\n") {
                self.end_line(prefix);
            }
        }
    }

    fn end_line(&mut self, prefix: &str) {
        if let Some(rest) = self.line.strip_prefix(prefix.as_bytes()) {
            self.notes.push(String::from_utf8_lossy(rest).trim().to_owned());
            if self.notes.len() > NOTES_MAX {
                self.notes.remove(0);
            }
        }
        self.line.clear();
    }

    fn finish(&mut self) -> Kept {
        if let Keep::Last(_, prefix) = self.keep {
            self.end_line(prefix);
        }
        Kept {
            bytes: std::mem::take(&mut self.kept),
            notes: std::mem::take(&mut self.notes),
            total: self.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noted_lines_survive_a_flood_and_pieces() {
        let mut sink = Sink::new(Keep::Last(8, "why:"));
        sink.take(b"noise\nwh");
        sink.take(b"y: the disk\nis full\n");
        for _flood in 0..1000 {
            sink.take(b"0123456789");
        }
        let kept = sink.finish();
        assert_eq!(kept.notes, ["the disk"]);
        assert_eq!(kept.bytes, b"23456789");
        assert_eq!(kept.total, 10_028);
    }

    #[test]
    fn the_first_bytes_are_kept_of_what_is_a_document() {
        let mut sink = Sink::new(Keep::First(4));
        sink.take(b"abc");
        sink.take(b"def");
        assert_eq!(sink.finish().bytes, b"abcd");
    }
}
