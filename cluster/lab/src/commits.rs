//! How many changes of the configuration a cluster commits each second.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use haven_api::{AttributeLifetime, Code, Reply, Request, RequestBody, decode_line, encode_line};

/// Changes that were committed, and those that another one overtook.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    committed: AtomicU64,
    overtaken: AtomicU64,
}

/// Has so many clients of the daemon at `socket` each set an attribute of its own in the configuration
/// again and again, the next as soon as the last is committed; commits a second, and overtaken changes.
pub(crate) fn rate(socket: &Path, clients: u32, span: Duration) -> Result<(f64, u64)> {
    let (counted, over) = (Counted::default(), AtomicBool::new(false));
    let began = Instant::now();
    let ended: Vec<Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|number| {
                let (counted, over) = (&counted, &over);
                scope.spawn(move || client(socket, number, counted, over))
            })
            .collect();
        std::thread::sleep(span);
        over.store(true, Ordering::Relaxed);
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => bail!("a client ended by a fault of its own"),
        });
        joined.collect()
    });
    ended.into_iter().collect::<Result<Vec<()>>>()?;
    let commits = u32::try_from(counted.committed.into_inner()).unwrap_or(u32::MAX);
    Ok((f64::from(commits) / began.elapsed().as_secs_f64(), counted.overtaken.into_inner()))
}

fn client(socket: &Path, number: u32, counted: &Counted, over: &AtomicBool) -> Result<()> {
    let stream =
        UnixStream::connect(socket).with_context(|| format!("connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(Duration::from_secs(15)))?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    for id in 1.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let body = RequestBody::NodeAttributeSet {
            node: None,
            name: format!("client{number}"),
            value: Some(id.to_string()),
            lifetime: AttributeLifetime::Forever,
            delay_ms: None,
            private: false,
        };
        reader.get_mut().write_all(&encode_line(&Request::new(id, body)))?;
        line.clear();
        reader.read_until(b'\n', &mut line).context("wait for a commit")?;
        let reply: Reply = decode_line(&line)?;
        match reply.body {
            Ok(_) => counted.committed.fetch_add(1, Ordering::Relaxed),
            Err(error) if error.code == Code::StaleWrite => {
                counted.overtaken.fetch_add(1, Ordering::Relaxed)
            }
            Err(error) => bail!("a change was refused: {}", error.message),
        };
    }
    Ok(())
}
